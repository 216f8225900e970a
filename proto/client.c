/* The client protocol between bytes and structs. The bytes are hostile: sizes, counts, enum values and NUL bytes inside
 * texts are checked, memory is bounded by the input's size, and on failure the output is all zero. */
#include "proto/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/frame.h"
#include "proto/client.pb-c.h"
#include "proto/fields.h"

/* A request is small: a bound far below a frame's keeps what a stranger can make us allocate small, too. */
enum { REQUEST_SIZE_MAX = 32 << 10 };

/* Copies 'from' into 'to' of 'size' bytes. Returns false when it does not fit or has a NUL inside. */
static bool bytes_to(char *to, size_t size, const ProtobufCBinaryData *from)
{
    if (from->len >= size || (from->len > 0 && memchr(from->data, 0, from->len) != NULL)) return false;
    if (from->len > 0) memcpy(to, from->data, from->len);
    to[from->len] = '\0';
    return true;
}

static bool has_member(enum client_op op)
{
    return op == CLIENT_TOKEN_CREATE || op == CLIENT_MEMBER_SET || op == CLIENT_MEMBER_JOIN;
}

bool client_request_changes(const struct client_request *r)
{
    if (r->op == CLIENT_FAILOVER) return !r->dry_run;
    return r->op == CLIENT_PLAN_ABORT || r->op == CLIENT_CLUSTER_SET || r->op == CLIENT_NOTE ||
           r->op == CLIENT_CLUSTER_PAUSE || r->op == CLIENT_CLUSTER_RESUME || r->op == CLIENT_TOKEN_REVOKE ||
           has_member(r->op);
}

static void spec_to_message(const struct fsm_cluster_spec *s, Regent__Client__Spec *m, Regent__Client__Server *servers,
                            Regent__Client__Server **pointers)
{
    m->name = fields_bytes(s->name);
    m->flavour = (uint32_t)s->flavour;
    m->durability = (uint32_t)s->durability;
    m->defaults_file = fields_bytes(s->defaults_file);
    m->group = fields_bytes(s->group);
    m->probe_ms = s->probe_ms;
    m->timeout_ms = s->timeout_ms;
    MUST(s->servers_n <= FSM_SERVERS_MAX);
    for (uint8_t i = 0; i < s->servers_n; i++) {
        regent__client__server__init(&servers[i]);
        servers[i].name = fields_bytes(s->servers[i].name);
        servers[i].address = fields_bytes(s->servers[i].address);
        servers[i].role = (uint32_t)s->servers[i].role;
        pointers[i] = &servers[i];
    }
    m->n_servers = s->servers_n;
    m->servers = pointers;
}

static void member_to_message(const struct client_request *r, Regent__Client__Member *m)
{
    const struct client_member *from = &r->member;
    bool joins = r->op == CLIENT_MEMBER_JOIN;
    m->address = fields_bytes(from->address);
    m->role = (uint32_t)from->role;
    m->hash = fields_raw(from->hash, r->op == CLIENT_TOKEN_CREATE ? sizeof(from->hash) : 0);
    m->secret = fields_raw(from->secret, joins ? sizeof(from->secret) : 0);
    m->nonce = fields_raw(from->nonce, joins ? sizeof(from->nonce) : 0);
    m->group = from->group;
    m->ttl_s = from->ttl_s;
}

int client_request_encode(const struct client_request *r, void **data, size_t *size)
{
    Regent__Client__Request m = REGENT__CLIENT__REQUEST__INIT;
    Regent__Client__Spec spec = REGENT__CLIENT__SPEC__INIT;
    Regent__Client__Server servers[FSM_SERVERS_MAX];
    Regent__Client__Server *pointers[FSM_SERVERS_MAX];
    Regent__Client__Member member = REGENT__CLIENT__MEMBER__INIT;

    m.op = (uint32_t)r->op;
    m.client = r->id.client;
    m.seq = r->id.seq;
    m.cluster = fields_bytes(r->cluster);
    m.server = fields_bytes(r->server);
    m.number = r->number;
    m.follow = r->follow;
    m.dry_run = r->dry_run;
    m.accept_loss = r->accept_loss;
    m.create = r->create;
    m.stale_ok = r->stale_ok;
    m.since = r->id.since;
    m.text = fields_bytes(r->text);
    if (r->op == CLIENT_CLUSTER_SET) {
        spec_to_message(&r->spec, &spec, servers, pointers);
        m.spec = &spec;
    }
    if (has_member(r->op)) {
        member_to_message(r, &member);
        m.member = &member;
    }
    return fields_pack(&m.base, data, size);
}

static int spec_from_message(struct fsm_cluster_spec *s, const Regent__Client__Spec *m, struct err *e)
{
    if (m->base.n_unknown_fields != 0) return err_set(e, -EPROTO, "cluster: it has fields of a newer version");
    if (!bytes_to(s->name, sizeof(s->name), &m->name)) return err_set(e, -EPROTO, "cluster name: malformed");
    if (!bytes_to(s->defaults_file, sizeof(s->defaults_file), &m->defaults_file))
        return err_set(e, -EPROTO, "defaults_file: malformed");
    if (!bytes_to(s->group, sizeof(s->group), &m->group)) return err_set(e, -EPROTO, "group: malformed");
    if (m->flavour == 0 || m->flavour >= fsm_flavour_count)
        return err_set(e, -EPROTO, "flavour: unknown value %u", m->flavour);
    if (m->durability == 0 || m->durability >= fsm_durability_count)
        return err_set(e, -EPROTO, "durability: unknown value %u", m->durability);
    if (m->n_servers > FSM_SERVERS_MAX)
        return err_set(e, -EPROTO, "%zu servers, at most %d are possible", m->n_servers, FSM_SERVERS_MAX);
    s->flavour = (enum fsm_flavour)m->flavour;
    s->durability = (enum fsm_durability)m->durability;
    s->probe_ms = m->probe_ms;
    s->timeout_ms = m->timeout_ms;
    s->servers_n = (uint8_t)m->n_servers;
    for (uint8_t i = 0; i < s->servers_n; i++) {
        const Regent__Client__Server *from = m->servers[i];
        if (from->base.n_unknown_fields != 0)
            return err_set(e, -EPROTO, "server %u: it has fields of a newer version", i);
        if (!bytes_to(s->servers[i].name, sizeof(s->servers[i].name), &from->name) ||
            !bytes_to(s->servers[i].address, sizeof(s->servers[i].address), &from->address))
            return err_set(e, -EPROTO, "server %u: malformed name or address", i);
        if (from->role == 0 || from->role >= fsm_role_count)
            return err_set(e, -EPROTO, "server %u: unknown role %u", i, from->role);
        s->servers[i].role = (enum fsm_role)from->role;
    }
    return 0;
}

/* Exactly 'want' bytes, or none when 'want' is 0. */
static bool raw_to(uint8_t *to, size_t want, const ProtobufCBinaryData *from)
{
    if (from->len != want) return false;
    if (want > 0) memcpy(to, from->data, want);
    return true;
}

static int member_from_message(struct client_request *r, const Regent__Client__Member *m, struct err *e)
{
    struct client_member *to = &r->member;
    bool joins = r->op == CLIENT_MEMBER_JOIN;
    if (m->base.n_unknown_fields != 0) return err_set(e, -EPROTO, "member: it has fields of a newer version");
    if (!bytes_to(to->address, sizeof(to->address), &m->address)) return err_set(e, -EPROTO, "address: malformed");
    if (m->role >= fsm_member_role_count) return err_set(e, -EPROTO, "member: unknown role %u", m->role);
    to->role = (enum fsm_member_role)m->role;
    if (!raw_to(to->hash, r->op == CLIENT_TOKEN_CREATE ? sizeof(to->hash) : 0, &m->hash) ||
        !raw_to(to->secret, joins ? sizeof(to->secret) : 0, &m->secret) ||
        !raw_to(to->nonce, joins ? sizeof(to->nonce) : 0, &m->nonce))
        return err_set(e, -EPROTO, "member: a secret, hash or nonce of the wrong length");
    to->group = m->group;
    to->ttl_s = m->ttl_s;
    return 0;
}

static int request_from_message(struct client_request *r, const Regent__Client__Request *m, struct err *e)
{
    /* What a newer client asks for in addition must not be left out silently. */
    if (m->base.n_unknown_fields != 0) return err_set(e, -EPROTO, "request: it has fields of a newer version");
    if (m->op == 0 || m->op >= CLIENT_OPS_N) return err_set(e, -EPROTO, "request: unknown operation %u", m->op);
    r->op = (enum client_op)m->op;
    r->id = (struct fsm_request_id){.client = m->client, .seq = m->seq, .since = m->since};
    if (!bytes_to(r->cluster, sizeof(r->cluster), &m->cluster)) return err_set(e, -EPROTO, "cluster: malformed");
    if (!bytes_to(r->server, sizeof(r->server), &m->server)) return err_set(e, -EPROTO, "server: malformed");
    r->number = m->number;
    r->follow = m->follow != 0;
    r->dry_run = m->dry_run != 0;
    r->accept_loss = m->accept_loss != 0;
    r->create = m->create != 0;
    r->stale_ok = m->stale_ok != 0;
    if (!bytes_to(r->text, sizeof(r->text), &m->text)) return err_set(e, -EPROTO, "text: malformed");
    if ((m->spec != NULL) != (r->op == CLIENT_CLUSTER_SET))
        return err_set(e, -EPROTO, "request: a cluster's declaration belongs to CLUSTER_SET and to nothing else");
    if ((m->member != NULL) != has_member(r->op))
        return err_set(e, -EPROTO, "request: a member belongs to requests about members and to nothing else");
    if (m->member != NULL) return member_from_message(r, m->member, e);
    return m->spec != NULL ? spec_from_message(&r->spec, m->spec, e) : 0;
}

int client_request_decode(struct client_request *r, const void *data, size_t size, struct err *e)
{
    memset(r, 0, sizeof(*r));
    if (size > REQUEST_SIZE_MAX) return err_set(e, -EPROTO, "request of %zu bytes is too long", size);
    Regent__Client__Request *m = regent__client__request__unpack(NULL, size, data);
    if (m == NULL) return err_set(e, -EPROTO, "request: not a message of this protocol");
    int rv = request_from_message(r, m, e);
    regent__client__request__free_unpacked(m, NULL);
    if (rv != 0) memset(r, 0, sizeof(*r));
    return rv;
}

int client_answer_encode(const struct client_answer *a, void **data, size_t *size)
{
    Regent__Client__Answer m = REGENT__CLIENT__ANSWER__INIT;
    m.code = (uint32_t)a->code;
    m.text = fields_bytes(a->text);
    m.leader = fields_bytes(a->leader);
    m.index = a->index;
    if (a->json != NULL) m.json = fields_bytes(a->json);
    int rv = fields_pack(&m.base, data, size);
    if (rv == 0 && *size > FRAME_BODY_MAX) {
        free(*data);
        *data = NULL;
        *size = 0;
        rv = -EMSGSIZE;
    }
    return rv;
}

/* The codes are no dense enum: a new one must be listed here before it is believed. */
static bool code_is_known(uint32_t code)
{
    return code <= CLIENT_REFUSED || code == CLIENT_REDIRECT || code == CLIENT_MORE || code == CLIENT_EXPIRED;
}

static int answer_from_message(struct client_answer *a, const Regent__Client__Answer *m, struct err *e)
{
    if (!code_is_known(m->code)) return err_set(e, -EPROTO, "answer: unknown code %u", m->code);
    a->code = (enum client_code)m->code;
    a->index = m->index;
    if (!bytes_to(a->text, sizeof(a->text), &m->text)) return err_set(e, -EPROTO, "answer: malformed text");
    if (!bytes_to(a->leader, sizeof(a->leader), &m->leader)) return err_set(e, -EPROTO, "answer: malformed leader");
    if (m->json.len == 0) return 0;
    a->json = malloc(m->json.len + 1);
    if (a->json == NULL) return err_set(e, -ENOMEM, "answer: out of memory");
    if (!bytes_to(a->json, m->json.len + 1, &m->json)) return err_set(e, -EPROTO, "answer: malformed JSON");
    return 0;
}

int client_answer_decode(struct client_answer *a, const void *data, size_t size, struct err *e)
{
    memset(a, 0, sizeof(*a));
    if (size > FRAME_BODY_MAX) return err_set(e, -EPROTO, "answer of %zu bytes is too long", size);
    Regent__Client__Answer *m = regent__client__answer__unpack(NULL, size, data);
    if (m == NULL) return err_set(e, -EPROTO, "answer: not a message of this protocol");
    int rv = answer_from_message(a, m, e);
    regent__client__answer__free_unpacked(m, NULL);
    if (rv != 0) {
        client_answer_fini(a);
        memset(a, 0, sizeof(*a));
    }
    return rv;
}

void client_answer_fini(struct client_answer *a)
{
    free(a->json);
    a->json = NULL;
}
