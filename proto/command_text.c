/* Commands told field by field: walks the generated message by its descriptors. See command_text.h. */
#include "proto/command_text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/text.h"
#include "proto/command.pb-c.h"
#include "proto/fields.h"

enum { COMMAND_SIZE_MAX = 64 << 10 };

#define NAME_OF(NAME)                                                                                                 \
    static const char *NAME##_of(uint32_t value) { return NAME##_name((enum NAME)value); }
NAME_OF(fsm_flavour)
NAME_OF(fsm_durability)
NAME_OF(fsm_role)
NAME_OF(fsm_server_state)
NAME_OF(fsm_plan_kind)
NAME_OF(fsm_step)
NAME_OF(fsm_plan_state)
NAME_OF(fsm_fence)
NAME_OF(fsm_member_role)

static const char *member_act_of(uint32_t value)
{
    static const char *const names[] = {
        "none",
#define X(id, text) #text,
        FSM_MEMBER_ACTS(X)
#undef X
    };
    return value < ARRAY_LEN(names) ? names[value] : "?";
}

/* Numbers that mean something else than their value. */
static const struct meaning {
    const char *message, *field;
    enum proto_field_type type; /* When 'name' is NULL. */
    const char *(*name)(uint32_t value);
} meanings[] = {
    {"ClusterSet", "flavour", 0, fsm_flavour_of},
    {"ClusterSet", "durability", 0, fsm_durability_of},
    {"ClusterSet.Server", "role", 0, fsm_role_of},
    {"ServerState", "state", 0, fsm_server_state_of},
    {"PlanBegin", "kind", 0, fsm_plan_kind_of},
    {"PlanBegin", "from", PROTO_FIELD_SERVER, NULL},
    {"PlanBegin", "to", PROTO_FIELD_SERVER, NULL},
    {"PlanBegin", "acker", PROTO_FIELD_SERVER, NULL},
    {"PlanStep", "done", 0, fsm_step_of},
    {"PlanStep", "next", 0, fsm_step_of},
    {"PlanStep", "fence", 0, fsm_fence_of},
    {"PlanStep", "revoked", PROTO_FIELD_SET, NULL},
    {"PlanStep", "set_aside", PROTO_FIELD_SET, NULL},
    {"PlanStep", "to", PROTO_FIELD_SERVER, NULL},
    {"PlanStep", "holder", PROTO_FIELD_SERVER, NULL},
    {"PlanStep", "acker", PROTO_FIELD_SERVER, NULL},
    {"PlanStep.Finding", "server", PROTO_FIELD_SERVER, NULL},
    {"PlanStep.Identity", "server", PROTO_FIELD_SERVER, NULL},
    {"PlanEnd", "state", 0, fsm_plan_state_of},
    {"Member", "act", 0, member_act_of},
    {"Member", "role", 0, fsm_member_role_of},
    {"Token", "expires_us", PROTO_FIELD_TIME, NULL},
};

struct walk {
    const struct proto_visitor *visitor;
    struct proto_field field;
    const struct meaning *meaning;
    bool newer;
};

static const struct meaning *meaning_of(const ProtobufCMessageDescriptor *d, const char *field)
{
    const char *name = d->name + strlen("regent.command.");
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
        if (strcmp(meanings[i].message, name) == 0 && strcmp(meanings[i].field, field) == 0) return &meanings[i];
    }
    return NULL;
}

static void emit_text(struct walk *w, const char *text, size_t size, enum proto_field_type type)
{
    w->field.type = type;
    w->field.text = text;
    w->field.size = size;
    if (w->visitor != NULL) w->visitor->field(w->visitor->arg, &w->field);
    w->field.text = "";
    w->field.size = 0;
}

static void emit_number(struct walk *w, uint64_t value, enum proto_field_type type)
{
    const struct meaning *m = w->meaning;
    if (m != NULL && m->name != NULL) {
        const char *name = value <= UINT32_MAX ? m->name((uint32_t)value) : "?";
        if (value != 0) emit_text(w, name, strlen(name), PROTO_FIELD_TEXT);
        return;
    }
    if (m != NULL) type = m->type;
    if (value == 0 && type != PROTO_FIELD_SERVER) return;
    w->field.type = type;
    w->field.number = value;
    if (w->visitor != NULL) w->visitor->field(w->visitor->arg, &w->field);
    w->field.number = 0;
}

static bool is_printable(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] < ' ' && data[i] != '\n' && data[i] != '\t') return false;
    }
    return true;
}

static void emit_bytes(struct walk *w, const ProtobufCBinaryData *b)
{
    char text[FSM_EVIDENCE_SIZE + 1];
    size_t size = b->len < sizeof text ? b->len : sizeof text - 1;
    if (size == 0) return;
    memcpy(text, b->data, size);
    text[size] = '\0';
    emit_text(w, text, size, is_printable(b->data, size) ? PROTO_FIELD_TEXT : PROTO_FIELD_BYTES);
}

/* One value at 'at', of any type but a message. */
static void emit_value(struct walk *w, ProtobufCType type, const void *at)
{
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    switch (type) {
    case PROTOBUF_C_TYPE_BYTES: emit_bytes(w, at); return;
    case PROTOBUF_C_TYPE_BOOL:
        if (*(const protobuf_c_boolean *)at != 0) emit_number(w, 1, PROTO_FIELD_TRUE);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        memcpy(&u32, at, sizeof u32);
        emit_number(w, u32, PROTO_FIELD_NUMBER);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        memcpy(&u64, at, sizeof u64);
        emit_number(w, u64, PROTO_FIELD_NUMBER);
        return;
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        memcpy(&u64, at, sizeof u64);
        emit_number(w, u64, PROTO_FIELD_SIGNED);
        return;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    emit_text(w, "?", 1, PROTO_FIELD_TEXT); /* command.proto has none of these. */
}

/* "prefix" + "name" + ".3" */
static void set_path(struct walk *w, const char *prefix, const char *name, const size_t *i)
{
    struct text t = TEXT_ON(w->field.path);
    text_addf(&t, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
    if (i != NULL) text_addf(&t, ".%zu", *i);
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM: return sizeof(uint32_t);
    }
    MUST_NOT_REACH();
}

/* The values of one field that is no message. */
static void walk_values(struct walk *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        const char *prefix)
{
    const uint8_t *at = (const uint8_t *)m + f->offset;
    size_t n;
    w->meaning = meaning_of(m->descriptor, f->name);
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        set_path(w, prefix, f->name, NULL);
        emit_value(w, f->type, at);
        return;
    }
    memcpy(&n, (const uint8_t *)m + f->quantifier_offset, sizeof n);
    const uint8_t *list;
    memcpy(&list, at, sizeof list);
    for (size_t i = 0; i < n; i++) {
        set_path(w, prefix, f->name, &i);
        emit_value(w, f->type, list + i * size_of(f->type));
    }
}

static void walk_flat(struct walk *w, const ProtobufCMessage *m, const char *prefix)
{
    w->newer |= m->n_unknown_fields != 0;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE) walk_values(w, m, f, prefix);
    }
}

/* A repeated message of the body; those have no messages of their own. */
static void walk_repeated(struct walk *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    ProtobufCMessage *const *list;
    char prefix[PROTO_PATH_SIZE];
    size_t n;
    memcpy(&n, (const uint8_t *)m + f->quantifier_offset, sizeof n);
    memcpy(&list, (const uint8_t *)m + f->offset, sizeof list);
    for (size_t i = 0; i < n; i++) {
        struct text t = TEXT_ON(prefix);
        text_addf(&t, "%s.%zu", f->name, i);
        walk_flat(w, list[i], prefix);
    }
}

static void walk_body(struct walk *w, const ProtobufCMessage *m)
{
    walk_flat(w, m, "");
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->label == PROTOBUF_C_LABEL_REPEATED) walk_repeated(w, m, f);
    }
}

int proto_command_describe(const void *data, size_t size, struct proto_command_head *head,
                           const struct proto_visitor *visitor, struct err *e)
{
    struct fields f = {.e = e, .what = "command"};
    struct walk w = {.visitor = visitor, .field = {.text = ""}};
    struct text name = TEXT_ON(head->name);
    memset(head, 0, sizeof *head);
    ProtobufCMessage *m = fields_unpack(&f, &regent__command__command__descriptor, data, size, COMMAND_SIZE_MAX);
    if (m == NULL) return f.code;
    const Regent__Command__Command *c = (const Regent__Command__Command *)m;
    head->id = (struct fsm_request_id){.client = c->client, .seq = c->seq, .since = c->since};
    head->time.us = c->time_us;
    head->kind = c->kind;
    w.newer = m->n_unknown_fields != 0;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
        const ProtobufCMessage *body = NULL;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        memcpy(&body, (const uint8_t *)m + field->offset, sizeof body);
        if (body == NULL) continue;
        text_addf(&name, "%s%s", name.len > 0 ? "+" : "", field->name);
        walk_body(&w, body);
    }
    if (name.len == 0) text_addf(&name, "unknown-%" PRIu32, head->kind);
    head->newer = w.newer;
    protobuf_c_message_free_unpacked(m, NULL);
    return 0;
}
