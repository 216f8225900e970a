/* Commands between bytes and structs: see proto/convert.h. The bytes come from the log and are treated as hostile. */
#include <errno.h>
#include <string.h>

#include "fsm/version.h"
#include "proto/command.pb-c.h"
#include "proto/convert.h"
#include "proto/fields.h"

enum { COMMAND_SIZE_MAX = 64 << 10 };

typedef Regent__Command__Command command_message;

/* --- encoding: each fills the message of one kind, which borrows the command's texts, and packs the whole --- */

static int encode_cluster_set(command_message *m, const struct fsm_cmd_cluster_set *c, void **data, size_t *size)
{
    const struct fsm_cluster_spec *spec = &c->spec;
    Regent__Command__ClusterSet body = REGENT__COMMAND__CLUSTER_SET__INIT;
    Regent__Command__ClusterSet__Server servers[FSM_SERVERS_MAX];
    Regent__Command__ClusterSet__Server *pointers[FSM_SERVERS_MAX];

    MUST(spec->servers_n <= FSM_SERVERS_MAX);
    for (uint8_t i = 0; i < spec->servers_n; i++) {
        regent__command__cluster_set__server__init(&servers[i]);
        servers[i].name = fields_bytes(spec->servers[i].name);
        servers[i].address = fields_bytes(spec->servers[i].address);
        servers[i].role = (uint32_t)spec->servers[i].role;
        pointers[i] = &servers[i];
    }
    body.name = fields_bytes(spec->name);
    body.flavour = (uint32_t)spec->flavour;
    body.durability = (uint32_t)spec->durability;
    body.defaults_file = fields_bytes(spec->defaults_file);
    body.group = fields_bytes(spec->group);
    body.probe_ms = spec->probe_ms;
    body.timeout_ms = spec->timeout_ms;
    body.n_servers = spec->servers_n;
    body.servers = pointers;
    body.create = c->create;
    m->cluster_set = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_server_state(command_message *m, const struct fsm_cmd_server_state *c, void **data, size_t *size)
{
    Regent__Command__ServerState body = REGENT__COMMAND__SERVER_STATE__INIT;

    body.cluster = fields_bytes(c->cluster);
    body.server = fields_bytes(c->server);
    body.state = (uint32_t)c->state;
    body.reason = fields_bytes(c->reason);
    m->server_state = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_plan_begin(command_message *m, const struct fsm_cmd_plan_begin *c, void **data, size_t *size)
{
    Regent__Command__PlanBegin body = REGENT__COMMAND__PLAN_BEGIN__INIT;

    body.cluster = fields_bytes(c->cluster);
    body.kind = (uint32_t)c->kind;
    body.epoch = c->epoch;
    body.from = c->from;
    body.to = c->to;
    body.acker = c->acker;
    body.accept_loss = c->accept_loss;
    body.by_operator = c->by_operator;
    body.verdict = fields_bytes(c->verdict);
    body.evidence = fields_bytes(c->evidence);
    m->plan_begin = &body;
    return fields_pack(&m->base, data, size);
}

struct step_parts { /* Of a plan step: what was found, and the identities. */
    Regent__Command__PlanStep__Finding found[FSM_SERVERS_MAX];
    Regent__Command__PlanStep__Finding *found_pointers[FSM_SERVERS_MAX];
    size_t found_n;
    Regent__Command__PlanStep__Identity identities[FSM_SERVERS_MAX];
    Regent__Command__PlanStep__Identity *identity_pointers[FSM_SERVERS_MAX];
    size_t identities_n;
};

static void fill_parts(struct step_parts *parts, const struct fsm_cmd_plan_step *c)
{
    parts->found_n = 0;
    parts->identities_n = 0;
    for (uint32_t i = 0; i < FSM_SERVERS_MAX; i++) {
        if (c->found[i].set) {
            Regent__Command__PlanStep__Finding *f = &parts->found[parts->found_n];
            regent__command__plan_step__finding__init(f);
            f->server = i;
            f->received = fields_bytes(c->found[i].received);
            f->executed = fields_bytes(c->found[i].executed);
            parts->found_pointers[parts->found_n++] = f;
        }
        if (c->identity[i][0] != '\0') {
            Regent__Command__PlanStep__Identity *id = &parts->identities[parts->identities_n];
            regent__command__plan_step__identity__init(id);
            id->server = i;
            id->identity = fields_bytes(c->identity[i]);
            id->server_id = c->server_id[i];
            parts->identity_pointers[parts->identities_n++] = id;
        }
    }
}

static int encode_plan_step(command_message *m, const struct fsm_cmd_plan_step *c, void **data, size_t *size)
{
    Regent__Command__PlanStep body = REGENT__COMMAND__PLAN_STEP__INIT;
    struct step_parts parts;

    fill_parts(&parts, c);
    body.token = c->token;
    body.done = (uint32_t)c->done;
    body.next = (uint32_t)c->next;
    body.revoked = c->revoked;
    body.fence = (uint32_t)c->fence;
    body.to = c->to;
    body.holder = c->holder;
    body.acker = c->acker;
    body.target = fields_bytes(c->target);
    body.n_found = parts.found_n;
    body.found = parts.found_pointers;
    body.n_identities = parts.identities_n;
    body.identities = parts.identity_pointers;
    body.set_aside = c->set_aside;
    body.reason = fields_bytes(c->reason);
    body.evidence = fields_bytes(c->evidence);
    body.n_started_s = fields_started_n(c->started_s);
    body.started_s = (uint64_t *)(uintptr_t)c->started_s; /* Borrowed; packing does not change it. */
    body.no_tx = c->no_tx;
    m->plan_step = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_plan_end(command_message *m, const struct fsm_cmd_plan_end *c, void **data, size_t *size)
{
    Regent__Command__PlanEnd body = REGENT__COMMAND__PLAN_END__INIT;

    body.token = c->token;
    body.state = (uint32_t)c->state;
    body.by_operator = c->by_operator;
    body.reason = fields_bytes(c->reason);
    m->plan_end = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_cluster_pause(command_message *m, const struct fsm_cmd_cluster_pause *c, void **data, size_t *size)
{
    Regent__Command__ClusterPause body = REGENT__COMMAND__CLUSTER_PAUSE__INIT;

    body.cluster = fields_bytes(c->cluster);
    body.paused = c->paused;
    m->cluster_pause = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_event(command_message *m, const struct fsm_cmd_event *c, void **data, size_t *size)
{
    Regent__Command__Event body = REGENT__COMMAND__EVENT__INIT;

    body.cluster = fields_bytes(c->cluster);
    body.kind = fields_bytes(c->kind);
    body.text = fields_bytes(c->text);
    body.evidence = fields_bytes(c->evidence);
    m->event = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_reign_proof(command_message *m, const struct fsm_cmd_reign_proof *c, void **data, size_t *size)
{
    Regent__Command__ReignProof body = REGENT__COMMAND__REIGN_PROOF__INIT;

    body.cluster = fields_bytes(c->cluster);
    body.epoch = c->epoch;
    body.lossless = c->lossless;
    body.since = fields_bytes(c->since);
    body.n_started_s = fields_started_n(c->started_s);
    body.started_s = (uint64_t *)(uintptr_t)c->started_s; /* Borrowed; packing does not change it. */
    body.no_tx = c->no_tx;
    body.reason = fields_bytes(c->reason);
    m->reign_proof = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_member(command_message *m, const struct fsm_cmd_member *c, void **data, size_t *size)
{
    Regent__Command__Member body = REGENT__COMMAND__MEMBER__INIT;
    Regent__Command__Member__First first[FSM_MEMBERS_MAX];
    Regent__Command__Member__First *pointers[FSM_MEMBERS_MAX];

    MUST(c->members_n <= FSM_MEMBERS_MAX);
    for (uint8_t i = 0; i < c->members_n; i++) {
        regent__command__member__first__init(&first[i]);
        first[i].id = c->members[i].id;
        first[i].name = fields_bytes(c->members[i].name);
        first[i].address = fields_bytes(c->members[i].address);
        pointers[i] = &first[i];
    }
    body.act = (uint32_t)c->act;
    body.id = c->id;
    body.role = (uint32_t)c->role;
    body.name = fields_bytes(c->name);
    body.address = fields_bytes(c->address);
    body.hash = fields_raw(c->hash, c->act == MEMBER_ACT_JOIN ? sizeof(c->hash) : 0);
    body.nonce = fields_raw(c->nonce, c->act == MEMBER_ACT_JOIN ? sizeof(c->nonce) : 0);
    body.reason = fields_bytes(c->reason);
    body.n_members = c->members_n;
    body.members = pointers;
    m->member = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_token(command_message *m, const struct fsm_cmd_token *c, void **data, size_t *size)
{
    Regent__Command__Token body = REGENT__COMMAND__TOKEN__INIT;

    body.name = fields_bytes(c->name);
    body.address = fields_bytes(c->address);
    body.hash = fields_raw(c->hash, sizeof(c->hash));
    body.expires_us = c->expires.us;
    m->token = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_version(command_message *m, const struct fsm_cmd_version *c, void **data, size_t *size)
{
    Regent__Command__Version body = REGENT__COMMAND__VERSION__INIT;

    body.from = c->from;
    body.to = c->to;
    m->version = &body;
    return fields_pack(&m->base, data, size);
}

static int encode_digest(command_message *m, const struct fsm_cmd_digest *c, void **data, size_t *size)
{
    Regent__Command__Digest body = REGENT__COMMAND__DIGEST__INIT;

    body.index = c->index;
    body.digest = fields_raw(c->digest, sizeof(c->digest));
    m->digest = &body;
    return fields_pack(&m->base, data, size);
}
#ifdef REGENT_NEXT_VERSION
static int encode_label(command_message *m, const char *label, void **data, size_t *size)
{
    Regent__Command__Label body = REGENT__COMMAND__LABEL__INIT;

    body.label = fields_bytes(label);
    m->label = &body;
    return fields_pack(&m->base, data, size);
}
#endif

static int encode_recovered(command_message *m, const struct fsm_cmd_recovered *c, void **data, size_t *size)
{
    Regent__Command__Recovered body = REGENT__COMMAND__RECOVERED__INIT;

    body.survivor = c->survivor;
    body.group_id = c->group_id;
    body.generation = c->generation;
    m->recovered = &body;
    return fields_pack(&m->base, data, size);
}

int proto_command_encode(const struct fsm_command *command, void **data, size_t *size)
{
    command_message m = REGENT__COMMAND__COMMAND__INIT;

    m.client = command->id.client;
    m.seq = command->id.seq;
    m.since = command->id.since;
    m.needs = command->version != 0 ? command->version : fsm_command_needs(command);
    m.time_us = command->time.us;
    m.kind = (uint32_t)command->kind;
    switch (command->kind) {
    case CMD_CLUSTER_SET: return encode_cluster_set(&m, &command->u.cluster_set, data, size);
    case CMD_SERVER_STATE: return encode_server_state(&m, &command->u.server_state, data, size);
    case CMD_PLAN_BEGIN: return encode_plan_begin(&m, &command->u.plan_begin, data, size);
    case CMD_PLAN_STEP: return encode_plan_step(&m, &command->u.plan_step, data, size);
    case CMD_PLAN_END: return encode_plan_end(&m, &command->u.plan_end, data, size);
    case CMD_CLUSTER_PAUSE: return encode_cluster_pause(&m, &command->u.cluster_pause, data, size);
    case CMD_EVENT: return encode_event(&m, &command->u.event, data, size);
    case CMD_REIGN_PROOF: return encode_reign_proof(&m, &command->u.reign_proof, data, size);
    case CMD_MEMBER: return encode_member(&m, &command->u.member, data, size);
    case CMD_TOKEN: return encode_token(&m, &command->u.token, data, size);
    case CMD_VERSION: return encode_version(&m, &command->u.version, data, size);
    case CMD_DIGEST: return encode_digest(&m, &command->u.digest, data, size);
    case CMD_RECOVERED: return encode_recovered(&m, &command->u.recovered, data, size);
#ifdef REGENT_NEXT_VERSION
    case CMD_LABEL: return encode_label(&m, command->u.label, data, size);
#endif
    case CMD_NONE: break;
    }
    return fields_pack(&m.base, data, size);
}

/* --- decoding: each checks one kind's message and fills the zeroed struct --- */

static void decode_cluster_set(struct fields *f, const Regent__Command__ClusterSet *m, struct fsm_cmd_cluster_set *c)
{
    struct fsm_cluster_spec *spec = &c->spec;

    FIELDS_TEXT(f, m->name, spec->name);
    spec->flavour = FIELDS_ENUM(f, m->flavour, fsm_flavour);
    spec->durability = FIELDS_ENUM(f, m->durability, fsm_durability);
    FIELDS_TEXT(f, m->defaults_file, spec->defaults_file);
    FIELDS_TEXT(f, m->group, spec->group);
    spec->probe_ms = m->probe_ms;
    spec->timeout_ms = m->timeout_ms;
    spec->servers_n = (uint8_t)fields_count(f, "servers", m->n_servers, FSM_SERVERS_MAX);
    for (uint8_t i = 0; i < spec->servers_n; i++) {
        if (!fields_message(f, "server", &m->servers[i]->base)) return;
        FIELDS_TEXT(f, m->servers[i]->name, spec->servers[i].name);
        FIELDS_TEXT(f, m->servers[i]->address, spec->servers[i].address);
        spec->servers[i].role = FIELDS_ENUM(f, m->servers[i]->role, fsm_role);
    }
    c->create = m->create;
}

static void decode_server_state(struct fields *f, const Regent__Command__ServerState *m, struct fsm_cmd_server_state *c)
{
    FIELDS_TEXT(f, m->cluster, c->cluster);
    FIELDS_TEXT(f, m->server, c->server);
    c->state = FIELDS_ENUM(f, m->state, fsm_server_state);
    FIELDS_TEXT(f, m->reason, c->reason);
}

static void decode_plan_begin(struct fields *f, const Regent__Command__PlanBegin *m, struct fsm_cmd_plan_begin *c)
{
    FIELDS_TEXT(f, m->cluster, c->cluster);
    c->kind = FIELDS_ENUM(f, m->kind, fsm_plan_kind);
    c->epoch = m->epoch;
    c->from = fields_server(f, "from", m->from);
    c->to = fields_server(f, "to", m->to);
    c->acker = fields_server(f, "acker", m->acker);
    c->accept_loss = m->accept_loss;
    c->by_operator = m->by_operator;
    FIELDS_TEXT(f, m->verdict, c->verdict);
    FIELDS_TEXT(f, m->evidence, c->evidence);
}

static void decode_found(struct fields *f, const Regent__Command__PlanStep *m, struct fsm_cmd_plan_step *c)
{
    size_t n = fields_count(f, "findings", m->n_found, FSM_SERVERS_MAX);

    for (size_t i = 0; i < n; i++) {
        const Regent__Command__PlanStep__Finding *from = m->found[i];
        struct fsm_finding *to = &c->found[fields_below(f, "finding's server", from->server, FSM_SERVERS_MAX)];

        if (!fields_message(f, "finding", &from->base)) return;
        if (to->set) {
            fields_fail(f, -EPROTO, "finding", "is there twice");
            return;
        }
        to->set = true;
        FIELDS_TEXT(f, from->received, to->received);
        FIELDS_TEXT(f, from->executed, to->executed);
    }
}

static void decode_identities(struct fields *f, const Regent__Command__PlanStep *m, struct fsm_cmd_plan_step *c)
{
    size_t n = fields_count(f, "identities", m->n_identities, FSM_SERVERS_MAX);

    for (size_t i = 0; i < n; i++) {
        const Regent__Command__PlanStep__Identity *from = m->identities[i];
        uint32_t server = fields_below(f, "identity's server", from->server, FSM_SERVERS_MAX);

        if (!fields_message(f, "identity", &from->base)) return;
        if (c->identity[server][0] != '\0' || from->identity.len == 0) {
            fields_fail(f, -EPROTO, "identity", "is there twice or empty");
            return;
        }
        FIELDS_TEXT(f, from->identity, c->identity[server]);
        c->server_id[server] = from->server_id;
    }
}

static void decode_plan_step(struct fields *f, const Regent__Command__PlanStep *m, struct fsm_cmd_plan_step *c)
{
    c->token = m->token;
    c->done = FIELDS_ENUM(f, m->done, fsm_step);
    c->next = FIELDS_ENUM(f, m->next, fsm_step);
    c->revoked = fields_set(f, "revoked", m->revoked);
    c->fence = FIELDS_ENUM(f, m->fence, fsm_fence);
    c->to = fields_server(f, "to", m->to);
    c->holder = fields_server(f, "holder", m->holder);
    c->acker = fields_server(f, "acker", m->acker);
    FIELDS_TEXT(f, m->target, c->target);
    decode_found(f, m, c);
    decode_identities(f, m, c);
    c->set_aside = fields_set(f, "set_aside", m->set_aside);
    FIELDS_TEXT(f, m->reason, c->reason);
    FIELDS_TEXT(f, m->evidence, c->evidence);
    fields_started(f, m->started_s, m->n_started_s, c->started_s);
    c->no_tx = m->no_tx;
}

static void decode_plan_end(struct fields *f, const Regent__Command__PlanEnd *m, struct fsm_cmd_plan_end *c)
{
    c->token = m->token;
    c->state = FIELDS_ENUM(f, m->state, fsm_plan_state);
    c->by_operator = m->by_operator;
    FIELDS_TEXT(f, m->reason, c->reason);
}

static void decode_event(struct fields *f, const Regent__Command__Event *m, struct fsm_cmd_event *c)
{
    FIELDS_TEXT(f, m->cluster, c->cluster);
    FIELDS_TEXT(f, m->kind, c->kind);
    FIELDS_TEXT(f, m->text, c->text);
    FIELDS_TEXT(f, m->evidence, c->evidence);
}

static void decode_reign_proof(struct fields *f, const Regent__Command__ReignProof *m, struct fsm_cmd_reign_proof *c)
{
    FIELDS_TEXT(f, m->cluster, c->cluster);
    c->epoch = m->epoch;
    c->lossless = m->lossless;
    FIELDS_TEXT(f, m->since, c->since);
    fields_started(f, m->started_s, m->n_started_s, c->started_s);
    c->no_tx = m->no_tx;
    FIELDS_TEXT(f, m->reason, c->reason);
}

static void decode_member(struct fields *f, const Regent__Command__Member *m, struct fsm_cmd_member *c)
{
    c->act = FIELDS_ENUM(f, m->act, fsm_member_act);
    c->id = m->id;
    c->role = FIELDS_ENUM(f, m->role, fsm_member_role);
    FIELDS_TEXT(f, m->name, c->name);
    FIELDS_TEXT(f, m->address, c->address);
    if (c->act == MEMBER_ACT_JOIN) {
        FIELDS_RAW(f, m->hash, c->hash);
        FIELDS_RAW(f, m->nonce, c->nonce);
    } else if (m->hash.len + m->nonce.len > 0) {
        fields_fail(f, -EPROTO, "hash", "belongs to a join");
    }
    FIELDS_TEXT(f, m->reason, c->reason);
    c->members_n = (uint8_t)fields_count(f, "members", m->n_members, FSM_MEMBERS_MAX);
    for (uint8_t i = 0; i < c->members_n; i++) {
        if (!fields_message(f, "member", &m->members[i]->base)) return;
        c->members[i].id = m->members[i]->id;
        FIELDS_TEXT(f, m->members[i]->name, c->members[i].name);
        FIELDS_TEXT(f, m->members[i]->address, c->members[i].address);
    }
}

static void decode_token(struct fields *f, const Regent__Command__Token *m, struct fsm_cmd_token *c)
{
    FIELDS_TEXT(f, m->name, c->name);
    FIELDS_TEXT(f, m->address, c->address);
    FIELDS_RAW(f, m->hash, c->hash);
    c->expires.us = m->expires_us;
}

/* The part that belongs to the kind; NULL when it is missing. Any other part is wrong. */
static const ProtobufCMessage *find_body(struct fields *f, const command_message *m)
{
    const ProtobufCMessage *const parts[] = {
        [CMD_CLUSTER_SET] = (const ProtobufCMessage *)m->cluster_set,
        [CMD_SERVER_STATE] = (const ProtobufCMessage *)m->server_state,
        [CMD_PLAN_BEGIN] = (const ProtobufCMessage *)m->plan_begin,
        [CMD_PLAN_STEP] = (const ProtobufCMessage *)m->plan_step,
        [CMD_PLAN_END] = (const ProtobufCMessage *)m->plan_end,
        [CMD_CLUSTER_PAUSE] = (const ProtobufCMessage *)m->cluster_pause,
        [CMD_EVENT] = (const ProtobufCMessage *)m->event,
        [CMD_REIGN_PROOF] = (const ProtobufCMessage *)m->reign_proof,
        [CMD_MEMBER] = (const ProtobufCMessage *)m->member,
        [CMD_TOKEN] = (const ProtobufCMessage *)m->token,
        [CMD_VERSION] = (const ProtobufCMessage *)m->version,
        [CMD_DIGEST] = (const ProtobufCMessage *)m->digest,
        [CMD_RECOVERED] = (const ProtobufCMessage *)m->recovered,
#ifdef REGENT_NEXT_VERSION
        [CMD_LABEL] = (const ProtobufCMessage *)m->label,
#endif
    };

    for (uint32_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i] != NULL && i != m->kind) fields_fail(f, -EPROTO, "a part", "is of another kind");
    }
    if (fsm_kind_needs(m->kind) == 0 || m->kind >= ARRAY_LEN(parts)) {
        fields_fail(f, -ENOTSUP, "the kind", "is not known to this version");
        return NULL;
    }
    return parts[m->kind];
}

static void decode_body(struct fields *f, const command_message *m, struct fsm_command *command)
{
    const ProtobufCMessage *body = find_body(f, m);

    if (f->code != 0 || !fields_message(f, "the part of its kind", body)) return;
    command->kind = (enum fsm_command_kind)m->kind;
    switch (command->kind) {
    case CMD_CLUSTER_SET: decode_cluster_set(f, m->cluster_set, &command->u.cluster_set); return;
    case CMD_SERVER_STATE: decode_server_state(f, m->server_state, &command->u.server_state); return;
    case CMD_PLAN_BEGIN: decode_plan_begin(f, m->plan_begin, &command->u.plan_begin); return;
    case CMD_PLAN_STEP: decode_plan_step(f, m->plan_step, &command->u.plan_step); return;
    case CMD_PLAN_END: decode_plan_end(f, m->plan_end, &command->u.plan_end); return;
    case CMD_CLUSTER_PAUSE:
        FIELDS_TEXT(f, m->cluster_pause->cluster, command->u.cluster_pause.cluster);
        command->u.cluster_pause.paused = m->cluster_pause->paused;
        return;
    case CMD_EVENT: decode_event(f, m->event, &command->u.event); return;
    case CMD_REIGN_PROOF: decode_reign_proof(f, m->reign_proof, &command->u.reign_proof); return;
    case CMD_MEMBER: decode_member(f, m->member, &command->u.member); return;
    case CMD_TOKEN: decode_token(f, m->token, &command->u.token); return;
    case CMD_VERSION:
        command->u.version.from = m->version->from;
        command->u.version.to = m->version->to;
        return;
    case CMD_DIGEST:
        command->u.digest.index = m->digest->index;
        FIELDS_RAW(f, m->digest->digest, command->u.digest.digest);
        return;
    case CMD_RECOVERED:
        command->u.recovered.survivor = m->recovered->survivor;
        command->u.recovered.group_id = m->recovered->group_id;
        command->u.recovered.generation = m->recovered->generation;
        return;
#ifdef REGENT_NEXT_VERSION
    case CMD_LABEL: FIELDS_TEXT(f, m->label->label, command->u.label); return;
#endif
    case CMD_NONE: break;
    }
    MUST_NOT_REACH();
}

static uint32_t version_of(const command_message *m)
{
    return m->needs != 0 ? m->needs : FSM_VERSION_FIRST;
}

int proto_command_decode_at(struct fsm_command *command, const void *data, size_t size, uint32_t active, struct err *e)
{
    struct fields f = {.e = e, .what = "command"};
    command_message *m;

    memset(command, 0, sizeof(*command));
    m = (command_message *)fields_unpack(&f, &regent__command__command__descriptor, data, size, COMMAND_SIZE_MAX);
    if (m == NULL) return f.code;
    if (version_of(m) > active) fields_fail(&f, -ENOTSUP, "it", "needs a newer version");
    (void)fields_message(&f, "the command", &m->base);
    if (version_of(m) <= active) decode_body(&f, m, command);
    if (f.code != 0) memset(command, 0, sizeof(*command));
    if (f.code == 0 || f.code == -ENOTSUP) {
        command->id.client = m->client;
        command->id.seq = m->seq;
        command->id.since = m->since;
        command->time.us = m->time_us;
        command->version = version_of(m);
    }
    regent__command__command__free_unpacked(m, NULL);
    return f.code;
}

int proto_command_decode(struct fsm_command *command, const void *data, size_t size, struct err *e)
{
    return proto_command_decode_at(command, data, size, FSM_VERSION_MAX, e);
}
