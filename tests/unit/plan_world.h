/* A small world for the tests of plan/: servers that replicate, managers that look at them, verbs that act on them, and
 * the real fsm. Time moves in steps of 10 ms. It is no simulator: no lost messages, no clocks that differ; what it does
 * check at every step is that the planner's proposals are never refused and that nobody is opened out of turn (S1). */
#ifndef REGENT_TEST_PLAN_WORLD_H
#define REGENT_TEST_PLAN_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "lib/base/text.h"
#include "plan/plan.h"

enum { WORLD_TICK_MS = 10, WORLD_MANAGERS = 3, WORLD_FIRST_PORT = 3311, WORLD_START_MS = 1000000 };

struct world_server {
    bool alive, frozen, read_only, supported, gtid_strict;
    bool applier, slow_applier; /* slow: executes nothing until told. */
    bool has_forgotten;         /* Restarted: how far it had received is not known, until it receives again. */
    bool never_attaches;        /* FOLLOW does not end in a connected receiver. */
    bool source_enabled, replica_flag;
    int64_t down_at; /* Since when dead or frozen. */
    int64_t heard_at; /* Last event or heartbeat from the source. */
    int source;      /* Index, or -1: no channel. */
    bool receiving;  /* The receiver thread runs. */
    uint32_t sql_errno;
    uint64_t received, executed; /* Sequence numbers: in the relay log; in the binlog. */
    uint64_t applied;            /* Of those executed, what came by replication: all that a replica says of itself. */
    uint8_t wrote_by, came_from; /* Server id of who wrote the last executed one, the last applied one; 0: a master. */
    uint64_t started;            /* Incarnation. */
    uint64_t no_tx, yes_tx;
    bool is_busy;                /* Some commit waits at every moment. */
    int64_t acked_at;            /* Of a busy one: when a commit was acknowledged last. */
    unsigned strangers;          /* Undeclared semi-sync clients. */
    uint32_t heartbeat_ms;
    bool never_closes;           /* CLOSE does not end. */
    bool source_off, after_commit, no_wait, not_durable, relay_not_durable;
    char identity[FSM_NAME_SIZE];
    uint64_t token;
    bool cut[WORLD_MANAGERS];
    bool login_refused;
    int64_t cut_at[WORLD_MANAGERS];
};

struct world_verb {
    bool running;
    int64_t began, due, ended;
    struct verb verb;
    struct verb_outcome outcome;
    char told[FSM_TEXT_SIZE]; /* Last failure in the transcript. */
};

struct world {
    struct fsm_state *state;
    struct view *view;
    struct plan_update *update;
    int64_t now; /* Milliseconds. */
    struct world_server servers[FSM_SERVERS_MAX];
    uint8_t servers_n;
    bool has_no_past[WORLD_MANAGERS]; /* A manager that has seen one count of each server, so it knows no difference. */
    struct world_verb verbs[FSM_SERVERS_MAX];
    uint64_t seq; /* Of proposals. */
    int64_t step_at, led_at;
    uint64_t token;
    enum fsm_step step;
    uint64_t random;
    unsigned refused_n; /* Proposals that the fsm refused. */
    char broken[FSM_TEXT_SIZE]; /* First rule that was broken; empty: none. */
    FILE *out;          /* Transcript, or NULL. */
    char told[FSM_TEXT_SIZE * 2];
};

static inline struct fsm_cluster *world_cluster(struct world *w)
{
    return &w->state->clusters[0];
}

static inline uint64_t world_random(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static inline void world_break(struct world *w, const char *rule)
{
    if (w->broken[0] == '\0') (void)TEXT_COPY(w->broken, rule);
    if (w->out) fprintf(w->out, "BROKEN: %s\n", rule);
}

#define WORLD_SAY(w, ...)                                                                                             \
    do {                                                                                                              \
        if ((w)->out) {                                                                                               \
            fprintf((w)->out, "%6lld ", (long long)((w)->now - WORLD_START_MS));                                      \
            fprintf((w)->out, __VA_ARGS__);                                                                           \
        }                                                                                                             \
    } while (0)

static inline const char *world_name(struct world *w, uint8_t i)
{
    return i < w->servers_n ? world_cluster(w)->servers[i].name : "-";
}

/* --- the view --- */

static inline void world_position_of(char to[FSM_GTID_SIZE], uint64_t seq, uint8_t author)
{
    if (seq == 0) to[0] = '\0';
    else snprintf(to, FSM_GTID_SIZE, "0-%u-%llu", author != 0 ? author : 1u, (unsigned long long)seq);
}

static inline void world_position(char to[FSM_GTID_SIZE], uint64_t seq)
{
    world_position_of(to, seq, 0);
}

static inline bool world_is_up(const struct world_server *s)
{
    return s->alive && !s->frozen;
}

static inline unsigned world_clients(const struct world *w, uint8_t master)
{
    unsigned n = w->servers[master].strangers;
    for (uint8_t i = 0; i < w->servers_n; i++) {
        const struct world_server *s = &w->servers[i];
        n += i != master && world_is_up(s) && s->source == master && s->receiving && s->replica_flag;
    }
    return n;
}

static inline enum view_io world_io(const struct world *w, const struct world_server *s)
{
    if (s->source < 0 || !s->receiving) return VIEW_IO_NO;
    return w->servers[s->source].alive ? VIEW_IO_YES : VIEW_IO_CONNECTING;
}

static inline void world_channel(struct world *w, const struct world_server *s, struct view_channel *ch)
{
    (void)TEXT_COPY(ch->source_host, "127.0.0.1");
    ch->source_port = (uint16_t)(WORLD_FIRST_PORT + s->source);
    ch->source_server_id = (uint32_t)s->source + 1;
    ch->io = world_io(w, s);
    ch->io_errno = ch->io == VIEW_IO_CONNECTING ? 2003 : 0;
    ch->applier = s->applier;
    ch->sql_errno = s->sql_errno;
    ch->gtid = true;
    ch->heartbeat_period_ms = s->heartbeat_ms;
    ch->idle_ms = w->now - s->heard_at;
    world_position_of(ch->received, s->has_forgotten ? 0 : s->received, s->came_from);
}

/* A replica tells what it has replicated; a server that was promoted keeps its old channel for a while. */
static inline uint64_t world_executed(const struct world_server *s)
{
    return s->source >= 0 && s->read_only ? s->applied : s->executed;
}

/* A transaction of the server's own. */
static inline void world_write(struct world_server *s, uint64_t n)
{
    s->executed += n;
}

/* It crashes and starts again, as its files say: closed, replication stopped, what it had not executed is gone. */
static inline void world_restart(struct world_server *s)
{
    s->alive = true;
    s->frozen = s->receiving = s->applier = s->replica_flag = s->source_enabled = false;
    s->read_only = true;
    s->started++;
    s->no_tx = 0;
    s->received = s->applied;
}

static inline void world_facts(struct world *w, uint8_t i, struct view_facts *f)
{
    const struct world_server *s = &w->servers[i];
    memset(f, 0, sizeof(*f));
    f->set = true;
    (void)TEXT_COPY(f->version, "10.11.19-MariaDB");
    f->supported = s->supported;
    f->server_id = i + 1u;
    (void)TEXT_COPY(f->identity, s->identity);
    f->token = s->token;
    f->started_s = s->started;
    f->read_only = s->read_only;
    world_position_of(f->executed, world_executed(s), s->came_from);
    world_position_of(f->binlog, s->executed, s->wrote_by);
    f->source_enabled = s->source_enabled;
    f->source_on = s->source_enabled && !s->source_off;
    f->no_tx = s->no_tx;
    f->wait_sessions = s->is_busy && s->source_enabled ? 1 : 0;
    f->yes_tx = s->yes_tx;
    f->acked_ms = s->acked_at != 0 ? w->now - s->acked_at : -1;
    f->stalled_ms = f->wait_sessions > 0 && s->acked_at != 0 ? f->acked_ms : 0;
    f->replica_enabled = s->replica_flag;
    f->replica_on = s->replica_flag && world_io(w, s) == VIEW_IO_YES;
    f->source_clients = world_clients(w, i);
    f->source_timeout_ms = 4294967295u;
    f->after_sync = !s->after_commit;
    f->wait_no_replica = !s->no_wait;
    f->durable = !s->not_durable;
    f->relay_durable = !s->relay_not_durable;
    f->log_replica_updates = f->binlog_on = true;
    f->gtid_strict = s->gtid_strict;
    if (s->source < 0) return;
    f->channels_n = 1;
    world_channel(w, s, &f->channels[0]);
}

static inline void world_fail(struct view_observation *o, enum view_outcome outcome, int64_t since, int64_t age)
{
    o->outcome = outcome;
    o->age_ms = age;
    o->failing_ms = since;
    o->refused_n = outcome == VIEW_REFUSED ? (uint32_t)(since / 20 + 1) : 0;
    o->refused_span_ms = outcome == VIEW_REFUSED ? since / 20 * 20 : 0;
}

static inline void world_observe(struct world *w, uint8_t m, uint8_t i)
{
    struct view_observation *o = &w->view->managers[m].servers[i];
    const struct world_server *s = &w->servers[i];
    int64_t since = w->now - s->down_at;
    /* The leader sees newer things than the others, and masters before their replicas were looked at again. */
    int64_t age = m == w->view->self ? 3 : 6 + 3 * m;
    bool is_late = s->frozen && since < 500;
    o->took_ms = m == w->view->self ? 2 : 102; /* As manager/observe_view.c counts what is told. */
    if (s->cut[m]) {
        world_fail(o, VIEW_TIMED_OUT, w->now - s->cut_at[m], 2);
    } else if (!s->alive) {
        world_fail(o, VIEW_REFUSED, since, 2);
    } else if (s->frozen && !is_late) {
        world_fail(o, VIEW_TIMED_OUT, since, 2);
    } else if (s->login_refused) {
        world_fail(o, VIEW_LOGIN_REFUSED, 0, 2);
    } else if (!s->supported) {
        world_fail(o, VIEW_UNSUPPORTED, 0, 2);
    } else {
        o->outcome = VIEW_OK;
        o->age_ms = o->ok_age_ms = o->alive_age_ms = is_late ? age + since : age;
        o->failing_ms = o->refused_n = 0;
        world_facts(w, i, &o->facts);
        if (w->has_no_past[m]) o->facts.stalled_ms = 0, o->facts.acked_ms = -1;
    }
}

static inline void world_look(struct world *w)
{
    for (uint8_t i = 0; i < w->servers_n; i++) {
        struct world_server *s = &w->servers[i];
        bool hears = s->source >= 0 && s->receiving && world_is_up(s) && world_is_up(&w->servers[s->source]);
        if (hears) s->heard_at = w->now;
    }
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        for (uint8_t i = 0; i < w->servers_n; i++) world_observe(w, m, i);
    }
}

/* --- the servers replicate --- */

static inline void world_acknowledge(struct world *w, int source)
{
    w->servers[source].yes_tx++;
    w->servers[source].acked_at = w->now;
}

static inline void world_replicate(struct world *w)
{
    for (uint8_t i = 0; i < w->servers_n; i++) {
        struct world_server *s = &w->servers[i];
        if (!world_is_up(s)) continue;
        const struct world_server *source = s->source >= 0 ? &w->servers[s->source] : NULL;
        bool receives = source != NULL && s->receiving && world_is_up(source);
        if (receives && source->executed > s->received) s->received = source->executed;
        if (receives && s->replica_flag && source->is_busy) world_acknowledge(w, s->source);
        if (!s->applier || s->slow_applier) continue;
        if (s->wrote_by != 0 && s->received > s->applied) {
            s->applier = false; /* What it is to execute is out of order behind what was written here. */
            s->sql_errno = 1950;
            continue;
        }
        if (s->received > s->executed) s->executed = s->received;
        if (s->received > s->applied) s->applied = s->received;
    }
}

/* --- verbs --- */

/* Performs 'v' on server 's'. Returns NULL when done, else why not yet; "!..." fails at once. */
static inline const char *world_follow(struct world *w, struct world_server *s, const struct verb *v)
{
    int source = v->source_port - WORLD_FIRST_PORT;
    if (!world_is_up(&w->servers[source])) return "!source cannot be reached";
    if (s->executed > w->servers[source].executed) return "!1236: ahead of the source";
    if (s->executed > s->applied) return "!transactions of its own";
    if (s->never_attaches) return "receiver does not connect";
    s->source = source;
    s->receiving = s->applier = true;
    s->has_forgotten = false;
    s->received = s->executed;
    s->replica_flag = v->is_acker;
    return NULL;
}

static inline uint64_t world_target(const char *text)
{
    const char *dash = strrchr(text, '-');
    return dash ? strtoull(dash + 1, NULL, 10) : 0;
}

/* Not exactly the target is executed: as script_is_past(). */
static inline const char *world_past(struct world *w, uint8_t i, const struct verb *v)
{
    struct world_server *s = &w->servers[i];
    char executed[FSM_GTID_SIZE];
    world_position_of(executed, world_executed(s), s->came_from);
    if (s->came_from == 0 || text_equal(executed, v->target)) return NULL;
    w->verbs[i].outcome.past = true;
    return "!it executed something else than the target";
}

static inline const char *world_open(struct world *w, uint8_t i, const struct verb *v)
{
    const struct fsm_cluster *c = world_cluster(w);
    const struct fsm_plan *p = fsm_plan_find(w->state, v->token);
    struct world_server *s = &w->servers[i];
    if (p == NULL || p->step != STEP_OPEN || p->to != i) world_break(w, "opened outside its plan's step open (S1)");
    if (c->reigns_n < 1 || c->reigns[0].master != i) world_break(w, "opened while another reign is listed (S1, A8)");
    if (!s->read_only) return NULL;
    if (v->k > 0 && !s->source_enabled) return "!semi-sync is off";
    if (v->k > 0 && world_clients(w, i) != v->k) return "!not exactly its ackers are attached";
    s->read_only = false;
    return NULL;
}

static inline const char *world_act(struct world *w, uint8_t i, const struct verb *v)
{
    struct world_server *s = &w->servers[i];
    switch (v->kind) {
    case VERB_ENROL:
        if (s->identity[0] == '\0') (void)TEXT_COPY(s->identity, v->identity);
        return NULL;
    case VERB_REVOKE:
        if (s->has_forgotten) return "!it was restarted: what it received is not known";
        s->receiving = s->replica_flag = false;
        return NULL;
    case VERB_APPLY: return s->executed >= world_target(v->target) ? NULL : "the applier executes";
    case VERB_CATCH_UP: {
        const struct world_server *source = &w->servers[v->source_port - WORLD_FIRST_PORT];
        if (!world_is_up(source)) return "!source cannot be reached";
        if (s->executed > s->applied) return "!transactions of its own";
        if (source->executed < world_target(v->target)) return "the source executes";
        s->applied = s->received = s->executed = source->wrote_by ? source->executed : world_target(v->target);
        s->came_from = s->wrote_by = source->wrote_by;
        return world_past(w, i, v);
    }
    case VERB_PROMOTE:
        if (!s->read_only) return "!it is open already";
        if (world_past(w, i, v) != NULL) return world_past(w, i, v);
        if (s->executed < world_target(v->target) || s->executed < s->received) return "!not all is executed";
        s->receiving = false;
        s->source_enabled = true;
        return NULL;
    case VERB_FOLLOW: return world_follow(w, s, v);
    case VERB_ATTACHED:
        if (v->k == 0) s->source_enabled = false;
        else if (!s->source_enabled) return "!semi-sync is not set: promote first";
        return v->k == world_clients(w, i) ? NULL : "ackers to attach";
    case VERB_REIGN_ROW:
        if (v->k != world_clients(w, i)) return "!not exactly its ackers are attached";
        if (v->k == 0 && s->source_enabled) return "!semi-sync is on without ackers";
        world_write(s, 1);
        return NULL;
    case VERB_OPEN: return world_open(w, i, v);
    case VERB_CLEAR:
        s->source = -1;
        return NULL;
    case VERB_CLOSE:
        if (s->never_closes) return "client sessions to end";
        s->read_only = true;
        return NULL;
    case VERB_none:
    case VERB_KINDS_N: break;
    }
    return "!no such verb";
}

static inline void world_end(struct world *w, struct world_verb *wv, enum verb_state state, const char *error)
{
    const struct world_server *s = &w->servers[wv->verb.server];
    wv->running = false;
    wv->ended = w->now;
    wv->outcome.state = state;
    uint64_t executed = wv->verb.kind == VERB_REIGN_ROW ? s->executed : world_executed(s);
    world_position_of(wv->outcome.received, s->received > executed ? s->received : executed, s->came_from);
    world_position_of(wv->outcome.executed, executed, s->came_from);
    wv->outcome.forgotten = wv->verb.kind == VERB_REVOKE && s->has_forgotten;
    wv->outcome.stuck = wv->verb.kind == VERB_REVOKE && s->received > executed && !s->applier;
    wv->outcome.started_s = s->started;
    wv->outcome.no_tx = s->no_tx;
    (void)TEXT_COPY(wv->outcome.identity, s->identity);
    wv->outcome.server_id = wv->verb.server + 1u;
    (void)TEXT_COPY(wv->outcome.error, error);
    if (state == VERB_STATE_DONE) {
        wv->told[0] = '\0';
        return;
    }
    if (text_equal(wv->told, error)) return;
    (void)TEXT_COPY(wv->told, error);
    WORLD_SAY(w, "verb %s on %s: %s%s\n", verb_name(wv->verb.kind), world_name(w, wv->verb.server),
              wv->outcome.stale ? "stale: " : "", error);
}

static inline void world_verb_run(struct world *w, struct world_verb *wv)
{
    struct world_server *s = &w->servers[wv->verb.server];
    if (w->now < wv->due) return;
    bool is_late = w->now - wv->began >= wv->verb.deadline_ms;
    if (!s->alive || s->cut[w->view->self]) {
        world_end(w, wv, VERB_STATE_FAILED, "connection refused");
    } else if (s->frozen) {
        if (is_late) world_end(w, wv, VERB_STATE_UNKNOWN, "deadline passed");
    } else if (s->token > wv->verb.token) {
        wv->outcome.stale = true;
        world_end(w, wv, VERB_STATE_FAILED, "a greater token is stored");
    } else if (wv->verb.kind != VERB_ENROL && !text_equal(s->identity, wv->verb.identity)) {
        world_end(w, wv, VERB_STATE_FAILED, "another identity");
    } else {
        s->token = wv->verb.token;
        const char *error = world_act(w, wv->verb.server, &wv->verb);
        if (error == NULL) world_end(w, wv, VERB_STATE_DONE, "");
        else if (error[0] == '!') world_end(w, wv, VERB_STATE_FAILED, error + 1);
        else if (is_late) world_end(w, wv, VERB_STATE_UNKNOWN, error);
    }
}

static inline void world_verbs_run(struct world *w)
{
    for (uint8_t i = 0; i < w->servers_n; i++) {
        if (w->verbs[i].running) world_verb_run(w, &w->verbs[i]);
    }
}

static inline void world_ask(struct world *w, const struct verb *v)
{
    struct world_verb *wv = &w->verbs[v->server];
    bool is_same = wv->verb.kind == v->kind && wv->verb.token == v->token && wv->verb.step == v->step &&
                   wv->verb.source_port == v->source_port && wv->verb.is_acker == v->is_acker;
    const struct fsm_plan *p = fsm_plan_find(w->state, world_cluster(w)->plan);
    if (p == NULL || p->token != v->token || p->step != v->step) world_break(w, "a verb outside its plan's step");
    if (wv->running && is_same) return;
    if (is_same && wv->outcome.state != VERB_STATE_DONE && w->now - wv->ended < 100) return;
    if (!is_same) {
        WORLD_SAY(w, "verb %s on %s%s%s%s%s%s\n", verb_name(v->kind), world_name(w, v->server),
                  v->target[0] ? " target " : "", v->target,
                  v->source_port ? " source " : "",
                  v->source_port ? world_name(w, (uint8_t)(v->source_port - WORLD_FIRST_PORT)) : "",
                  v->is_acker ? " as acker" : "");
    }
    if (!is_same) wv->told[0] = '\0';
    wv->running = true;
    wv->began = w->now;
    wv->due = w->now + WORLD_TICK_MS;
    wv->verb = *v;
    memset(&wv->outcome, 0, sizeof(wv->outcome));
    wv->outcome.kind = v->kind;
    wv->outcome.token = v->token;
    wv->outcome.step = v->step;
    wv->outcome.state = VERB_STATE_RUNNING;
    wv->outcome.attempts = 1;
}

/* --- the leader --- */

static inline void world_say_begin(struct world *w, const struct fsm_cmd_plan_begin *b)
{
    WORLD_SAY(w, "propose %s from %s to %s acker %s verdict %s%s\n", fsm_plan_kind_name(b->kind),
              world_name(w, b->from), world_name(w, b->to), world_name(w, b->acker), b->verdict,
              b->accept_loss ? " accept-loss" : "");
}

static inline void world_say_step(struct world *w, const struct fsm_cmd_plan_step *s)
{
    char revoked[FSM_TEXT_SIZE] = "", set_aside[FSM_TEXT_SIZE] = "";
    for (uint8_t i = 0; i < w->servers_n; i++) {
        if (fsm_set_has(s->revoked, i)) strcat(strcat(revoked, " "), world_name(w, i));
        if (fsm_set_has(s->set_aside, i)) strcat(strcat(set_aside, " "), world_name(w, i));
    }
    WORLD_SAY(w, "propose %s -> %s", fsm_step_name(s->done), fsm_step_name(s->next));
    if (!w->out) return;
    if (s->done == STEP_REVOKE) {
        fprintf(w->out, ": fence %s revoked%s to %s holder %s", fsm_fence_name(s->fence), revoked,
                world_name(w, s->to), world_name(w, s->holder));
    }
    if (s->done == STEP_REVOKE || s->next == STEP_ESTABLISH) fprintf(w->out, " acker %s", world_name(w, s->acker));
    if (s->target[0]) fprintf(w->out, " target %s", s->target);
    if (s->set_aside) fprintf(w->out, " set aside%s (%s)", set_aside, s->reason);
    fprintf(w->out, "\n");
}

static inline enum fsm_code world_propose(struct world *w, struct fsm_command *c)
{
    static struct fsm_result result;
    c->id = (struct fsm_request_id){7, ++w->seq, w->state->index};
    if (c->kind == CMD_PLAN_BEGIN) world_say_begin(w, &c->u.plan_begin);
    if (c->kind == CMD_PLAN_STEP) world_say_step(w, &c->u.plan_step);
    if (c->kind == CMD_PLAN_END) WORLD_SAY(w, "propose failed: %s\n", c->u.plan_end.reason);
    if (c->kind == CMD_REIGN_PROOF) {
        const struct fsm_cmd_reign_proof *proof = &c->u.reign_proof;
        WORLD_SAY(w, "propose proof %s%s\n", proof->lossless ? "since " : "withdrawn: ",
                  proof->lossless ? proof->since : proof->reason);
    }
    fsm_apply(w->state, w->state->index + 1, c, &result);
    if (result.code != FSM_OK) {
        w->refused_n++;
        WORLD_SAY(w, "refused: %s: %s\n", fsm_code_name(result.code), result.text);
    }
    const char *broken = fsm_invariant(w->state);
    if (broken != NULL) world_break(w, broken);
    return result.code;
}

static inline void world_input(struct world *w, struct plan_input *in, struct verb_outcome outcomes[FSM_SERVERS_MAX])
{
    const struct fsm_cluster *c = world_cluster(w);
    const struct fsm_plan *p = c->plan != 0 ? fsm_plan_find(w->state, c->plan) : NULL;
    uint64_t token = p != NULL ? p->token : 0;
    enum fsm_step step = p != NULL ? p->step : fsm_step_none;
    if (token != w->token || step != w->step) w->step_at = w->now;
    w->token = token;
    w->step = step;
    memset(in, 0, sizeof(*in));
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        const struct world_verb *v = &w->verbs[i];
        outcomes[i] = v->outcome;
        outcomes[i].age_ms = w->now - (v->running ? v->began : v->ended);
        in->random[i][0] = world_random(w);
        in->random[i][1] = world_random(w);
    }
    in->state = w->state;
    in->view = w->view;
    in->outcomes = outcomes;
    in->step_ms = p != NULL ? w->now - w->step_at : 0;
    in->led_ms = w->now - w->led_at;
    in->wall.us = w->now * 1000;
    in->may_act = true;
}

static inline void world_tell(struct world *w)
{
    char now[sizeof(w->told)];
    snprintf(now, sizeof(now), "%s%s%s", diagnosis_name(w->update->diagnosis.row), w->token ? "" : "; ",
             w->token ? "" : w->update->why);
    if (text_equal(now, w->told)) return;
    WORLD_SAY(w, "verdict %s\n", now);
    (void)TEXT_COPY(w->told, now);
}

/* One round of the leader, as manager/driver.c does it. */
static inline void world_round(struct world *w)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    plan_step(&in, w->update);
    world_tell(w);
    if (w->update->propose) {
        (void)world_propose(w, &w->update->command);
        return;
    }
    for (uint8_t i = 0; i < w->update->verbs_n; i++) world_ask(w, &w->update->verbs[i]);
}

static inline void world_tick(struct world *w)
{
    w->now += WORLD_TICK_MS;
    world_replicate(w);
    world_verbs_run(w);
    world_look(w);
    world_round(w);
}

static inline void world_run(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end;) world_tick(w);
}

/* Another manager leads: it knows no outcome, and its timers begin anew. */
static inline void world_lead(struct world *w, uint8_t manager)
{
    w->view->self = manager;
    memset(w->verbs, 0, sizeof(w->verbs));
    w->token = 0;
    w->led_at = w->now;
}

/* --- setting up --- */

static inline struct world *world_new(FILE *out)
{
    struct world *w = calloc(1, sizeof(*w));
    w->state = calloc(1, sizeof(*w->state));
    w->view = calloc(1, sizeof(*w->view));
    w->update = calloc(1, sizeof(*w->update));
    w->out = out;
    w->now = WORLD_START_MS;
    w->random = 88172645463325252u;
    fsm_init(w->state);
    w->view->managers_n = WORLD_MANAGERS;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        w->view->managers[m].heard = true;
        w->view->managers[m].id = m + 1u;
        snprintf(w->view->managers[m].name, FSM_NAME_SIZE, "m%d", m + 1);
        for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
            struct view_observation *o = &w->view->managers[m].servers[i];
            o->age_ms = o->ok_age_ms = o->alive_age_ms = -1;
        }
    }
    return w;
}

static inline void world_free(struct world *w)
{
    free(w->state);
    free(w->view);
    free(w->update);
    free(w);
}

/* Declares a cluster "shop": db1 master, db2 backup, the rest replicas, as an operator would set them up. */
static inline void world_declare(struct world *w, uint8_t servers_n, enum fsm_durability durability)
{
    static struct fsm_command c;
    memset(&c, 0, sizeof(c));
    struct fsm_cluster_spec *spec = &c.u.cluster_set.spec;
    c.kind = CMD_CLUSTER_SET;
    c.time.us = w->now * 1000;
    c.u.cluster_set.create = true;
    (void)TEXT_COPY(spec->name, "shop");
    (void)TEXT_COPY(spec->defaults_file, "/etc/regent/my.cnf");
    (void)TEXT_COPY(spec->group, "regent");
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = durability;
    spec->probe_ms = 500;
    spec->timeout_ms = 1000;
    spec->servers_n = w->servers_n = servers_n;
    for (uint8_t i = 0; i < servers_n; i++) {
        snprintf(spec->servers[i].name, FSM_NAME_SIZE, "db%d", i + 1);
        snprintf(spec->servers[i].address, FSM_ADDRESS_SIZE, "127.0.0.1:%d", WORLD_FIRST_PORT + i);
        spec->servers[i].role = i == 0 ? ROLE_MASTER : i == 1 ? ROLE_BACKUP : ROLE_REPLICA;
        w->servers[i] = (struct world_server){.alive = true, .read_only = i > 0, .supported = true, .applier = i > 0,
                                              .gtid_strict = true, .source = i > 0 ? 0 : -1, .receiving = i > 0,
                                              .source_enabled = i == 0, .replica_flag = i == 1,
                                              .received = 100, .executed = 100, .applied = 100, .started = 1,
                                              .heartbeat_ms = 250};
    }
    if (world_propose(w, &c) != FSM_OK) world_break(w, "the cluster was not declared");
}

static inline void world_enrol(struct world *w)
{
    FILE *out = w->out;
    w->out = NULL;
    for (int i = 0; i < 100 && (world_cluster(w)->epoch == 0 || world_cluster(w)->plan != 0); i++) world_tick(w);
    if (world_cluster(w)->epoch == 0) world_break(w, "the cluster was not enrolled");
    world_run(w, 6000); /* Past all that follows an ended plan. */
    w->out = out;
}

/* An enrolled cluster of 'servers_n' that its clients have written to. */
static inline struct world *world_begin(uint8_t servers_n, enum fsm_durability durability)
{
    struct world *w = world_new(NULL);
    world_declare(w, servers_n, durability);
    world_enrol(w);
    world_write(&w->servers[0], 5);
    world_run(w, 100);
    return w;
}

/* For teardowns: nothing that cannot be was seen, and the group refused no command. */
static inline int world_end_clean(struct world *w)
{
    assert_string_equal(w->broken, "");
    assert_int_equal(w->refused_n, 0);
    world_free(w);
    return 0;
}

/* After a restart nothing tells how far it had received. */
static inline void world_restart_and_forget(struct world_server *s)
{
    world_restart(s);
    s->has_forgotten = true;
}

#endif
