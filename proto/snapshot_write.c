/* The records of a snapshot, written: only used slots, rings from the oldest entry to the youngest. */
#include <string.h>

#include "lib/base/mutant.h"
#include "proto/snapshot_record.h"

struct writer {
    const struct fsm_state *state;
    int (*add)(void *arg, const Regent__Snapshot__Record *record);
    void *arg;
};

static int write_head(const struct writer *w)
{
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Head m = REGENT__SNAPSHOT__HEAD__INIT;

    m.index = w->state->index;
    m.plans_next = w->state->plans_next;
    m.events_n = w->state->events_n;
    m.dedup_n = MUTANT(dedup_lost) ? 0 : w->state->dedup_n;
    m.dedup_floor = MUTANT(dedup_lost) ? 0 : w->state->dedup_floor;
    m.version_since = w->state->version_since;
    m.generation = w->state->generation;
#ifdef REGENT_NEXT_VERSION
    m.label = fields_bytes(w->state->label);
#endif
    record.head = &m;
    return w->add(w->arg, &record);
}

static void fill_server(Regent__Snapshot__Server *m, const struct fsm_server *s)
{
    regent__snapshot__server__init(m);
    m->name = fields_bytes(s->name);
    m->address = fields_bytes(s->address);
    m->role = (uint32_t)s->role;
    m->declared = (uint32_t)s->declared;
    m->state = (uint32_t)s->state;
    m->reason = fields_bytes(s->reason);
    m->identity = fields_bytes(s->identity);
    m->server_id = s->server_id;
    m->maintenance = s->maintenance;
}

/* 'm' borrows the numbers of 'r', which protobuf-c does not change. */
static void fill_reign(Regent__Snapshot__Reign *m, const struct fsm_reign *r)
{
    regent__snapshot__reign__init(m);
    m->epoch = r->epoch;
    m->master = r->master;
    m->k = r->k;
    m->ackers = r->ackers;
    m->lossless = r->lossless;
    m->since = fields_bytes(r->since);
    m->token = r->token;
    m->n_started_s = fields_started_n(r->started_s);
    m->started_s = (uint64_t *)(uintptr_t)r->started_s;
    m->no_tx = r->no_tx;
    m->opened = r->opened;
    m->unfenced = r->unfenced;
}

static void fill_cluster(Regent__Snapshot__Cluster *m, const struct fsm_cluster *c)
{
    m->name = fields_bytes(c->name);
    m->flavour = (uint32_t)c->flavour;
    m->durability = (uint32_t)c->durability;
    m->defaults_file = fields_bytes(c->defaults_file);
    m->group = fields_bytes(c->group);
    m->probe_ms = c->probe_ms;
    m->timeout_ms = c->timeout_ms;
    m->paused = c->paused;
    m->master = c->master;
    m->backup = c->backup;
    m->epoch = c->epoch;
    m->epoch_used = c->epoch_used;
    m->plan = c->plan;
    m->version = c->version;
}

static int write_cluster(const struct writer *w, uint32_t slot)
{
    const struct fsm_cluster *c = &w->state->clusters[slot];
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Cluster m = REGENT__SNAPSHOT__CLUSTER__INIT;
    Regent__Snapshot__Server servers[FSM_SERVERS_MAX], *server_pointers[FSM_SERVERS_MAX];
    Regent__Snapshot__Reign reigns[FSM_REIGNS_MAX], *reign_pointers[FSM_REIGNS_MAX];

    if (!c->used) return 0;
    MUST(c->servers_n <= FSM_SERVERS_MAX && c->reigns_n <= FSM_REIGNS_MAX);
    m.slot = slot;
    fill_cluster(&m, c);
    for (uint8_t i = 0; i < c->servers_n; i++) {
        fill_server(&servers[i], &c->servers[i]);
        server_pointers[i] = &servers[i];
    }
    m.n_servers = c->servers_n;
    m.servers = server_pointers;
    for (uint8_t i = 0; i < c->reigns_n; i++) {
        fill_reign(&reigns[i], &c->reigns[i]);
        reign_pointers[i] = &reigns[i];
    }
    m.n_reigns = c->reigns_n;
    m.reigns = reign_pointers;
    record.cluster = &m;
    return w->add(w->arg, &record);
}

static void fill_plan(Regent__Snapshot__Plan *m, const struct fsm_plan *p)
{
    m->token = p->token;
    m->kind = (uint32_t)p->kind;
    m->state = (uint32_t)p->state;
    m->step = (uint32_t)p->step;
    m->cluster = p->cluster;
    m->from = p->from;
    m->to = p->to;
    m->acker = p->acker;
    m->holder = p->holder;
    m->epoch = p->epoch;
    m->fence = (uint32_t)p->fence;
    m->accept_loss = p->accept_loss;
    m->by_operator = p->by_operator;
    m->revoked = MUTANT(snapshot_lacks) ? 0 : p->revoked;
    m->unproven = p->unproven;
    m->target = fields_bytes(p->target);
    m->started_us = p->started.us;
    m->ended_us = p->ended.us;
    m->verdict = fields_bytes(p->verdict);
    m->reason = fields_bytes(p->reason);
}

/* Fills 'found' with what is set in 'p' and returns how many. */
static size_t fill_found(const struct fsm_plan *p, Regent__Snapshot__Finding *found,
                         Regent__Snapshot__Finding **pointers)
{
    size_t n = 0;

    for (uint32_t i = 0; i < FSM_SERVERS_MAX; i++) {
        if (!p->found[i].set) continue;
        regent__snapshot__finding__init(&found[n]);
        found[n].server = i;
        found[n].received = fields_bytes(p->found[i].received);
        found[n].executed = fields_bytes(p->found[i].executed);
        pointers[n] = &found[n];
        n++;
    }
    return n;
}

static int write_plan(const struct writer *w, uint32_t slot)
{
    const struct fsm_plan *p = &w->state->plans[slot];
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Plan m = REGENT__SNAPSHOT__PLAN__INIT;
    Regent__Snapshot__Reign past[FSM_REIGNS_MAX], *past_pointers[FSM_REIGNS_MAX];
    Regent__Snapshot__Finding found[FSM_SERVERS_MAX], *found_pointers[FSM_SERVERS_MAX];
    int64_t step_at[STEP_DONE + 1];

    if (p->token == 0) return 0;
    MUST(p->past_n <= FSM_REIGNS_MAX);
    m.slot = slot;
    fill_plan(&m, p);
    for (uint8_t i = 0; i < p->past_n; i++) {
        fill_reign(&past[i], &p->past[i]);
        past_pointers[i] = &past[i];
    }
    m.n_past = p->past_n;
    m.past = past_pointers;
    m.n_found = fill_found(p, found, found_pointers);
    m.found = found_pointers;
    for (size_t i = 0; i <= STEP_DONE; i++) step_at[i] = p->step_at[i].us;
    m.n_step_at_us = ARRAY_LEN(step_at);
    m.step_at_us = step_at;
    record.plan = &m;
    return w->add(w->arg, &record);
}

static void fill_member(Regent__Snapshot__Member *m, const struct fsm_member *from)
{
    static const uint8_t zeros[FSM_HASH_SIZE];
    bool joined = memcmp(from->hash, zeros, sizeof(from->hash)) != 0;

    regent__snapshot__member__init(m);
    m->id = from->id;
    m->name = fields_bytes(from->name);
    m->address = fields_bytes(from->address);
    m->role = (uint32_t)from->role;
    m->want = (uint32_t)from->want;
    m->hash = fields_raw(from->hash, joined ? sizeof(from->hash) : 0);
    m->nonce = fields_raw(from->nonce, joined ? sizeof(from->nonce) : 0);
}

static void fill_token(Regent__Snapshot__Token *m, const struct fsm_token *from)
{
    regent__snapshot__token__init(m);
    m->id = from->id;
    m->name = fields_bytes(from->name);
    m->address = fields_bytes(from->address);
    m->hash = fields_raw(from->hash, sizeof(from->hash));
    m->expires_us = from->expires.us;
}

static int write_members(const struct writer *w)
{
    const struct fsm_state *s = w->state;
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Members m = REGENT__SNAPSHOT__MEMBERS__INIT;
    Regent__Snapshot__Member members[FSM_MEMBERS_MAX], *member_pointers[FSM_MEMBERS_MAX];
    Regent__Snapshot__Token tokens[FSM_TOKENS_MAX], *token_pointers[FSM_TOKENS_MAX];

    if (s->members_next == 0) return 0;
    MUST(s->members_n <= FSM_MEMBERS_MAX && s->tokens_n <= FSM_TOKENS_MAX);
    for (uint8_t i = 0; i < s->members_n; i++) {
        fill_member(&members[i], &s->members[i]);
        member_pointers[i] = &members[i];
    }
    for (uint8_t i = 0; i < s->tokens_n; i++) {
        fill_token(&tokens[i], &s->tokens[i]);
        token_pointers[i] = &tokens[i];
    }
    m.next = s->members_next;
    m.n_members = s->members_n;
    m.members = member_pointers;
    m.n_tokens = s->tokens_n;
    m.tokens = token_pointers;
    record.members = &m;
    return w->add(w->arg, &record);
}

static int write_event(const struct writer *w, const struct fsm_event *event)
{
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Event m = REGENT__SNAPSHOT__EVENT__INIT;

    m.index = event->index;
    m.time_us = event->time.us;
    m.cluster = fields_bytes(event->cluster);
    m.epoch = event->epoch;
    m.kind = fields_bytes(event->kind);
    m.text = fields_bytes(event->text);
    m.evidence = fields_bytes(event->evidence);
    record.event = &m;
    return w->add(w->arg, &record);
}

static int write_dedup(const struct writer *w, const struct fsm_dedup *entry)
{
    Regent__Snapshot__Record record = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Dedup m = REGENT__SNAPSHOT__DEDUP__INIT;

    m.client = entry->client;
    m.seq = entry->seq;
    m.index = entry->index;
    m.code = (uint32_t)entry->code;
    m.value = entry->value;
    record.dedup = &m;
    return w->add(w->arg, &record);
}

static uint64_t kept(uint64_t n, uint64_t max)
{
    return n < max ? n : max;
}

int snapshot_write_records(const struct fsm_state *state, int (*add)(void *arg, const Regent__Snapshot__Record *record),
                           void *arg)
{
    struct writer w = {state, add, arg};
    uint64_t events = kept(state->events_n, FSM_EVENTS_MAX);
    uint64_t dedup = MUTANT(dedup_lost) ? 0 : kept(state->dedup_n, FSM_DEDUP_MAX);
    int rc = write_head(&w);

    for (uint32_t i = 0; i < FSM_CLUSTERS_MAX && rc == 0; i++) rc = write_cluster(&w, i);
    for (uint32_t i = 0; i < FSM_PLANS_MAX && rc == 0; i++) rc = write_plan(&w, i);
    if (rc == 0) rc = write_members(&w);
    for (uint64_t i = state->events_n - events; i < state->events_n && rc == 0; i++) {
        rc = write_event(&w, &state->events[i % FSM_EVENTS_MAX]);
    }
    for (uint64_t i = state->dedup_n - dedup; i < state->dedup_n && rc == 0; i++) {
        rc = write_dedup(&w, &state->dedup[i % FSM_DEDUP_MAX]);
    }
    return rc;
}
