/* Bounds-checked copies between generated protobuf messages and our structs. Private to proto/.
 *
 * A decoder runs through all fields; the first thing that is wrong sticks in struct fields, later ones are ignored, and
 * what is returned for a wrong value is a harmless 0. */
#ifndef REGENT_PROTO_FIELDS_H
#define REGENT_PROTO_FIELDS_H

#include <protobuf-c/protobuf-c.h>

#include "fsm/state.h"
#include "lib/base/err.h"

struct fields {
    struct err *e;    /* Borrowed; may be NULL. */
    const char *what; /* "command": for error texts. Borrowed. */
    int code;         /* 0, or what is wrong. */
};

/* --- reading --- */

/* Notes that the field 'name' is wrong: "<what>: <name> <why>". The first one sticks; 'code' is negative. */
void fields_fail(struct fields *f, int code, const char *name, const char *why);

/* Unpacks 'size' bytes of at most 'max'. NULL and noted when they are no such message. Free it with
 * protobuf_c_message_free_unpacked(). */
ProtobufCMessage *fields_unpack(struct fields *f, const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                                size_t max);

/* False and noted when the message 'm' is missing or has fields that this version does not know (-ENOTSUP). */
bool fields_message(struct fields *f, const char *name, const ProtobufCMessage *m);

/* Copies a text into the zeroed 'to' of 'size' bytes. Wrong: does not fit, or has a NUL inside. */
void fields_text(struct fields *f, const char *name, const ProtobufCBinaryData *from, char *to, size_t size);
#define FIELDS_TEXT(f, from, array) fields_text((f), #array, &(from), (array), sizeof(array))

/* Returns 'value', which must be below 'limit'. */
uint32_t fields_below(struct fields *f, const char *name, uint32_t value, uint32_t limit);
#define FIELDS_ENUM(f, value, NAME) ((enum NAME)fields_below((f), #NAME, (value), (uint32_t)NAME##_count))

/* Place of a server: below FSM_SERVERS_MAX, or FSM_SERVER_NONE. */
uint8_t fields_server(struct fields *f, const char *name, uint32_t value);

/* Set of servers. */
fsm_set fields_set(struct fields *f, const char *name, uint32_t value);

/* Number of repeated fields: at most 'max', else noted and 0. */
size_t fields_count(struct fields *f, const char *name, size_t n, size_t max);

/* Copies 'n' numbers, one a server, into the zeroed 'to' of FSM_SERVERS_MAX. Wrong: too many, or the last one is 0 (so
 * that equal numbers are equal bytes). */
void fields_started(struct fields *f, const uint64_t *from, size_t n, uint64_t *to);

/* Copies exactly 'size' bytes, which may be any. Wrong: another length. */
void fields_raw_to(struct fields *f, const char *name, const ProtobufCBinaryData *from, uint8_t *to, size_t size);
#define FIELDS_RAW(f, from, array) fields_raw_to((f), #array, &(from), (array), sizeof(array))

/* --- writing --- */

/* Bytes as a field; borrows them. */
ProtobufCBinaryData fields_raw(const uint8_t *bytes, size_t size);

/* A text as a field; borrows 's'. */
ProtobufCBinaryData fields_bytes(const char *s);

/* How many of the FSM_SERVERS_MAX numbers are written: all up to the last that is not 0. */
size_t fields_started_n(const uint64_t *started_s);

/* Packs 'm' into malloc'd bytes: the caller frees '*data'. Returns 0 or -ENOMEM. */
int fields_pack(const ProtobufCMessage *m, void **data, size_t *size) MUST_CHECK;

#endif
