/* Bounds-checked copies between generated protobuf messages and our structs: see the header. */
#include "proto/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bound.h"

void fields_fail(struct fields *f, int code, const char *name, const char *why)
{
    if (f->code != 0) return;
    f->code = err_set(f->e, code, "%s: %s %s", f->what, name, why);
}

ProtobufCMessage *fields_unpack(struct fields *f, const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                                size_t max)
{
    ProtobufCMessage *m;

    if (size > max) {
        fields_fail(f, -EPROTO, "the message", "is too long");
        return NULL;
    }
    m = protobuf_c_message_unpack(type, NULL, size, data);
    if (m == NULL) fields_fail(f, -EPROTO, "the message", "is malformed");
    return m;
}

bool fields_message(struct fields *f, const char *name, const ProtobufCMessage *m)
{
    if (m == NULL) {
        fields_fail(f, -EPROTO, name, "is missing");
        return false;
    }
    /* Ignoring what a newer version said would make two managers disagree. */
    if (m->n_unknown_fields != 0) fields_fail(f, -ENOTSUP, name, "has fields of a newer version");
    return true;
}

void fields_text(struct fields *f, const char *name, const ProtobufCBinaryData *from, char *to, size_t size)
{
    if (from->len == 0) return;
    if (BOUND(text_field, from->len >= size)) {
        fields_fail(f, -EPROTO, name, "is too long");
        return;
    }
    if (memchr(from->data, '\0', from->len) != NULL) {
        fields_fail(f, -EPROTO, name, "has a NUL inside");
        return;
    }
    memcpy(to, from->data, from->len);
}

uint32_t fields_below(struct fields *f, const char *name, uint32_t value, uint32_t limit)
{
    if (value < limit) return value;
    fields_fail(f, -EPROTO, name, "is out of range");
    return 0;
}

uint8_t fields_server(struct fields *f, const char *name, uint32_t value)
{
    if (value == FSM_SERVER_NONE) return FSM_SERVER_NONE;
    return (uint8_t)fields_below(f, name, value, FSM_SERVERS_MAX);
}

fsm_set fields_set(struct fields *f, const char *name, uint32_t value)
{
    return fields_below(f, name, value, FSM_BIT(FSM_SERVERS_MAX));
}

size_t fields_count(struct fields *f, const char *name, size_t n, size_t max)
{
    if (n <= max) return n;
    fields_fail(f, -EPROTO, name, "are too many");
    return 0;
}

void fields_started(struct fields *f, const uint64_t *from, size_t n, uint64_t *to)
{
    n = fields_count(f, "started_s", n, FSM_SERVERS_MAX);
    if (n > 0 && from[n - 1] == 0) fields_fail(f, -EPROTO, "started_s", "ends with 0");
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

size_t fields_started_n(const uint64_t *started_s)
{
    size_t n = FSM_SERVERS_MAX;

    while (n > 0 && started_s[n - 1] == 0) n--;
    return n;
}

ProtobufCBinaryData fields_bytes(const char *s)
{
    return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)(uintptr_t)s};
}

int fields_pack(const ProtobufCMessage *m, void **data, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(m);
    *data = malloc(*size + 1); /* Never of 0 bytes: NULL means failure. */
    if (*data == NULL) {
        *size = 0;
        return -ENOMEM;
    }
    MUST(protobuf_c_message_pack(m, *data) == *size);
    return 0;
}

void fields_raw_to(struct fields *f, const char *name, const ProtobufCBinaryData *from, uint8_t *to, size_t size)
{
    if (from->len != size) {
        fields_fail(f, -EPROTO, name, "has the wrong length");
        return;
    }
    memcpy(to, from->data, size);
}

ProtobufCBinaryData fields_raw(const uint8_t *bytes, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)bytes};
}
