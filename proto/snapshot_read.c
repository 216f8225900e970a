/* The records of a snapshot, read: each is checked field by field and put where it belongs. */
#include <errno.h>

#include "fsm/command.h"
#include "proto/snapshot_record.h"

enum { RECORD_SIZE_MAX = 64 << 10 };

static void read_head(struct snapshot_reader *r, const Regent__Snapshot__Head *m)
{
    if (!fields_message(&r->f, "the head", &m->base)) return;
    if (r->has_head) fields_fail(&r->f, -EPROTO, "the head", "is there twice");
    r->has_head = true;
    r->state->index = m->index;
    r->state->plans_next = fields_below(&r->f, "plans_next", m->plans_next, FSM_PLANS_MAX);
    r->state->events_n = m->events_n;
    r->state->dedup_n = m->dedup_n;
    r->state->dedup_floor = m->dedup_floor;
    r->state->version_since = m->version_since;
    r->state->generation = m->generation;
#ifdef REGENT_NEXT_VERSION
    FIELDS_TEXT(&r->f, m->label, r->state->label);
#endif
}

static void read_reigns(struct fields *f, Regent__Snapshot__Reign *const *from, size_t n, struct fsm_reign *to)
{
    for (size_t i = 0; i < n; i++) {
        if (!fields_message(f, "reign", &from[i]->base)) return;
        to[i].epoch = from[i]->epoch;
        to[i].master = fields_server(f, "reign's master", from[i]->master);
        to[i].k = (uint8_t)fields_below(f, "k", from[i]->k, FSM_SERVERS_MAX + 1);
        to[i].ackers = fields_set(f, "ackers", from[i]->ackers);
        to[i].lossless = from[i]->lossless;
        FIELDS_TEXT(f, from[i]->since, to[i].since);
        to[i].token = from[i]->token;
        fields_started(f, from[i]->started_s, from[i]->n_started_s, to[i].started_s);
        to[i].no_tx = from[i]->no_tx;
        to[i].opened = from[i]->opened;
        to[i].unfenced = from[i]->unfenced;
    }
}

static void read_server(struct fields *f, const Regent__Snapshot__Server *m, struct fsm_server *s)
{
    if (!fields_message(f, "server", &m->base)) return;
    FIELDS_TEXT(f, m->name, s->name);
    FIELDS_TEXT(f, m->address, s->address);
    s->role = FIELDS_ENUM(f, m->role, fsm_role);
    s->declared = FIELDS_ENUM(f, m->declared, fsm_role);
    s->state = FIELDS_ENUM(f, m->state, fsm_server_state);
    FIELDS_TEXT(f, m->reason, s->reason);
    FIELDS_TEXT(f, m->identity, s->identity);
    s->server_id = m->server_id;
    s->maintenance = m->maintenance;
}

static void fill_cluster(struct fields *f, const Regent__Snapshot__Cluster *m, struct fsm_cluster *c)
{
    c->used = true;
    FIELDS_TEXT(f, m->name, c->name);
    c->flavour = FIELDS_ENUM(f, m->flavour, fsm_flavour);
    c->durability = FIELDS_ENUM(f, m->durability, fsm_durability);
    FIELDS_TEXT(f, m->defaults_file, c->defaults_file);
    FIELDS_TEXT(f, m->group, c->group);
    c->probe_ms = m->probe_ms;
    c->timeout_ms = m->timeout_ms;
    c->paused = m->paused;
    c->master = fields_server(f, "master", m->master);
    c->backup = fields_server(f, "backup", m->backup);
    c->epoch = m->epoch;
    c->epoch_used = m->epoch_used;
    c->plan = m->plan;
    c->version = m->version;
}

static void read_cluster(struct snapshot_reader *r, const Regent__Snapshot__Cluster *m)
{
    struct fields *f = &r->f;
    struct fsm_cluster *c = &r->state->clusters[fields_below(f, "cluster's slot", m->slot, FSM_CLUSTERS_MAX)];

    if (!fields_message(f, "cluster", &m->base)) return;
    if (c->used) fields_fail(f, -EPROTO, "cluster", "is there twice");
    fill_cluster(f, m, c);
    c->servers_n = (uint8_t)fields_count(f, "servers", m->n_servers, FSM_SERVERS_MAX);
    for (uint8_t i = 0; i < c->servers_n; i++) read_server(f, m->servers[i], &c->servers[i]);
    c->reigns_n = (uint8_t)fields_count(f, "reigns", m->n_reigns, FSM_REIGNS_MAX);
    read_reigns(f, m->reigns, c->reigns_n, c->reigns);
}

static void fill_plan(struct fields *f, const Regent__Snapshot__Plan *m, struct fsm_plan *p)
{
    p->token = m->token;
    p->kind = FIELDS_ENUM(f, m->kind, fsm_plan_kind);
    p->state = FIELDS_ENUM(f, m->state, fsm_plan_state);
    p->step = FIELDS_ENUM(f, m->step, fsm_step);
    p->cluster = (uint8_t)fields_below(f, "plan's cluster", m->cluster, FSM_CLUSTERS_MAX);
    p->from = fields_server(f, "from", m->from);
    p->to = fields_server(f, "to", m->to);
    p->acker = fields_server(f, "acker", m->acker);
    p->holder = fields_server(f, "holder", m->holder);
    p->epoch = m->epoch;
    p->fence = FIELDS_ENUM(f, m->fence, fsm_fence);
    p->accept_loss = m->accept_loss;
    p->by_operator = m->by_operator;
    p->revoked = fields_set(f, "revoked", m->revoked);
    p->unproven = (uint8_t)fields_below(f, "unproven", m->unproven, 1u << FSM_REIGNS_MAX);
    FIELDS_TEXT(f, m->target, p->target);
    p->started.us = m->started_us;
    p->ended.us = m->ended_us;
    FIELDS_TEXT(f, m->verdict, p->verdict);
    FIELDS_TEXT(f, m->reason, p->reason);
}

static void read_found(struct fields *f, const Regent__Snapshot__Plan *m, struct fsm_plan *p)
{
    size_t n = fields_count(f, "findings", m->n_found, FSM_SERVERS_MAX);

    for (size_t i = 0; i < n; i++) {
        struct fsm_finding *to = &p->found[fields_below(f, "finding's server", m->found[i]->server, FSM_SERVERS_MAX)];

        if (!fields_message(f, "finding", &m->found[i]->base)) return;
        if (to->set) {
            fields_fail(f, -EPROTO, "finding", "is there twice");
            return;
        }
        to->set = true;
        FIELDS_TEXT(f, m->found[i]->received, to->received);
        FIELDS_TEXT(f, m->found[i]->executed, to->executed);
    }
}

static void read_plan(struct snapshot_reader *r, const Regent__Snapshot__Plan *m)
{
    struct fields *f = &r->f;
    struct fsm_plan *p = &r->state->plans[fields_below(f, "plan's slot", m->slot, FSM_PLANS_MAX)];
    size_t steps = fields_count(f, "times of steps", m->n_step_at_us, ARRAY_LEN(p->step_at));

    if (!fields_message(f, "plan", &m->base)) return;
    if (p->token != 0 || m->token == 0) fields_fail(f, -EPROTO, "plan", "is there twice or has no token");
    fill_plan(f, m, p);
    p->past_n = (uint8_t)fields_count(f, "past reigns", m->n_past, FSM_REIGNS_MAX);
    read_reigns(f, m->past, p->past_n, p->past);
    read_found(f, m, p);
    for (size_t i = 0; i < steps; i++) p->step_at[i].us = m->step_at_us[i];
}

static void read_member(struct fields *f, const Regent__Snapshot__Member *m, struct fsm_member *to)
{
    if (!fields_message(f, "member", &m->base)) return;
    to->id = m->id;
    FIELDS_TEXT(f, m->name, to->name);
    FIELDS_TEXT(f, m->address, to->address);
    to->role = FIELDS_ENUM(f, m->role, fsm_member_role);
    to->want = FIELDS_ENUM(f, m->want, fsm_member_role);
    if (m->hash.len + m->nonce.len == 0) return;
    FIELDS_RAW(f, m->hash, to->hash);
    FIELDS_RAW(f, m->nonce, to->nonce);
}

static void read_token(struct fields *f, const Regent__Snapshot__Token *m, struct fsm_token *to)
{
    if (!fields_message(f, "token", &m->base)) return;
    to->id = m->id;
    FIELDS_TEXT(f, m->name, to->name);
    FIELDS_TEXT(f, m->address, to->address);
    FIELDS_RAW(f, m->hash, to->hash);
    to->expires.us = m->expires_us;
}

static void read_members(struct snapshot_reader *r, const Regent__Snapshot__Members *m)
{
    struct fsm_state *s = r->state;

    if (!fields_message(&r->f, "members", &m->base)) return;
    if (s->members_next != 0 || m->next == 0) fields_fail(&r->f, -EPROTO, "members", "are there twice or have no ids");
    s->members_next = m->next;
    s->members_n = (uint8_t)fields_count(&r->f, "members", m->n_members, FSM_MEMBERS_MAX);
    for (uint8_t i = 0; i < s->members_n; i++) read_member(&r->f, m->members[i], &s->members[i]);
    s->tokens_n = (uint8_t)fields_count(&r->f, "tokens", m->n_tokens, FSM_TOKENS_MAX);
    for (uint8_t i = 0; i < s->tokens_n; i++) read_token(&r->f, m->tokens[i], &s->tokens[i]);
}

static void read_event(struct snapshot_reader *r, const Regent__Snapshot__Event *m)
{
    uint64_t n = r->state->events_n;
    uint64_t first = n < FSM_EVENTS_MAX ? 0 : n - FSM_EVENTS_MAX;
    struct fsm_event *event = &r->state->events[(first + r->events) % FSM_EVENTS_MAX];

    if (!fields_message(&r->f, "event", &m->base)) return;
    if (r->events++ >= n - first) {
        fields_fail(&r->f, -EPROTO, "events", "are too many");
        return;
    }
    event->index = m->index;
    event->time.us = m->time_us;
    FIELDS_TEXT(&r->f, m->cluster, event->cluster);
    event->epoch = m->epoch;
    FIELDS_TEXT(&r->f, m->kind, event->kind);
    FIELDS_TEXT(&r->f, m->text, event->text);
    FIELDS_TEXT(&r->f, m->evidence, event->evidence);
}

static void read_dedup(struct snapshot_reader *r, const Regent__Snapshot__Dedup *m)
{
    uint64_t n = r->state->dedup_n;
    uint64_t first = n < FSM_DEDUP_MAX ? 0 : n - FSM_DEDUP_MAX;
    struct fsm_dedup *entry = &r->state->dedup[(first + r->dedup) % FSM_DEDUP_MAX];

    if (!fields_message(&r->f, "request id", &m->base)) return;
    if (r->dedup++ >= n - first) {
        fields_fail(&r->f, -EPROTO, "request ids", "are too many");
        return;
    }
    entry->client = m->client;
    entry->seq = m->seq;
    entry->index = m->index;
    entry->code = (int32_t)fields_below(&r->f, "code", m->code, FSM_CODES_N);
    entry->value = m->value;
}

static void read_part(struct snapshot_reader *r, const Regent__Snapshot__Record *m)
{
    int parts = (m->head != NULL) + (m->cluster != NULL) + (m->plan != NULL) + (m->event != NULL) + (m->dedup != NULL) +
                (m->members != NULL);

    if (!fields_message(&r->f, "record", &m->base)) return;
    if (parts != 1) fields_fail(&r->f, -EPROTO, "record", "has not one part");
    if (m->head == NULL && !r->has_head) fields_fail(&r->f, -EPROTO, "the head", "is not the first record");
    if (r->f.code != 0) return;
    if (m->head != NULL) read_head(r, m->head);
    if (m->cluster != NULL) read_cluster(r, m->cluster);
    if (m->plan != NULL) read_plan(r, m->plan);
    if (m->members != NULL) read_members(r, m->members);
    if (m->event != NULL) read_event(r, m->event);
    if (m->dedup != NULL) read_dedup(r, m->dedup);
}

void snapshot_read_record(struct snapshot_reader *r, const uint8_t *data, size_t size)
{
    ProtobufCMessage *m = fields_unpack(&r->f, &regent__snapshot__record__descriptor, data, size, RECORD_SIZE_MAX);

    if (m == NULL) return;
    read_part(r, (const Regent__Snapshot__Record *)m);
    protobuf_c_message_free_unpacked(m, NULL);
}

void snapshot_read_end(struct snapshot_reader *r)
{
    uint64_t events = r->state->events_n < FSM_EVENTS_MAX ? r->state->events_n : FSM_EVENTS_MAX;
    uint64_t dedup = r->state->dedup_n < FSM_DEDUP_MAX ? r->state->dedup_n : FSM_DEDUP_MAX;

    if (!r->has_head) fields_fail(&r->f, -EPROTO, "the head", "is missing");
    if (r->events != events) fields_fail(&r->f, -EPROTO, "events", "are missing");
    if (r->dedup != dedup) fields_fail(&r->f, -EPROTO, "request ids", "are missing");
}
