/* Executor. See execute.h. */
#include "manager/execute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "mysql/verb.h"

enum { EXECUTE_PAUSE_MIN_MS = 20, EXECUTE_PAUSE_MAX_MS = 500 };

/* One server's seat: the verb that runs there, or the outcome of the last one. */
struct seat {
    struct execute *owner;
    uint8_t cluster, server;
    struct verb_run *run; /* While a verb runs. */
    enum port_session session;
    bool waiting;      /* A statement is outstanding. */
    bool send;         /* run->sql is to be sent in this round. */
    bool send_aside;   /* Likewise, in the second session. */
    bool aside_open;   /* The second session was used by this run: it is dropped at its end. */
    bool aside_waits;  /* A statement is outstanding there, of this run or of one before. */
    bool aside_ours;   /* It is of this run: its failure is told to it. */
    bool cancelled;    /* The outstanding statement's answer is to be dropped. */
    unsigned sent_n;   /* Statements of this run. */
    struct mono began_at, wake_at, ended_at;
    struct verb last;  /* The verb asked for last. */
    uint64_t lock_token; /* The control session holds regent.control under this token; 0: it does not. */
    struct verb_outcome *outcome; /* In cluster_seats.outcomes. */
};

struct cluster_seats {
    struct seat seats[FSM_SERVERS_MAX];
    struct verb_outcome outcomes[FSM_SERVERS_MAX]; /* What the planner reads. */
    fsm_set busy; /* Seats with a run. */
};

struct execute {
    const struct ports *ports;
    execute_changed_fn *changed;
    void *changed_arg;
    struct cluster_seats *clusters[FSM_CLUSTERS_MAX];
};

struct execute *execute_new(const struct ports *ports, execute_changed_fn *changed, void *arg)
{
    struct execute *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->ports = ports;
    x->changed = changed;
    x->changed_arg = arg;
    return x;
}

void execute_free(struct execute *execute)
{
    if (!execute) return;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        for (uint8_t i = 0; execute->clusters[c] && i < FSM_SERVERS_MAX; i++) free(execute->clusters[c]->seats[i].run);
        free(execute->clusters[c]);
    }
    free(execute);
}

static struct mono now_of(const struct execute *x)
{
    return x->ports->clock.now(x->ports->ctx);
}

static void wake_now(const struct execute *x)
{
    x->ports->clock.wake_at(x->ports->ctx, now_of(x));
}

static struct cluster_seats *seats_of(struct execute *x, uint8_t cluster)
{
    MUST(cluster < FSM_CLUSTERS_MAX);
    if (x->clusters[cluster]) return x->clusters[cluster];
    struct cluster_seats *seats = calloc(1, sizeof *seats);
    MUST(seats); /* One of at most 64; without memory for it the manager can not act at all. */
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
        seats->seats[i] = (struct seat){.owner = x, .cluster = cluster, .server = i, .outcome = &seats->outcomes[i]};
    x->clusters[cluster] = seats;
    return seats;
}

static bool verb_is_same(const struct verb *a, const struct verb *b)
{
    return a->kind == b->kind && a->token == b->token && a->step == b->step && a->k == b->k &&
           a->is_acker == b->is_acker && a->source_port == b->source_port &&
           text_equal(a->source_host, b->source_host) && text_equal(a->target, b->target);
}

static void seat_new_run(struct seat *s)
{
    s->run = calloc(1, sizeof *s->run);
    MUST(s->run);
    s->owner->clusters[s->cluster]->busy |= FSM_BIT(s->server);
}

static void seat_free_run(struct seat *s)
{
    free(s->run);
    s->run = NULL;
    s->owner->clusters[s->cluster]->busy &= (fsm_set)~FSM_BIT(s->server);
}

/* --- ending ---------------------------------------------------------------------------------------------------- */

static void seat_drop_aside(struct seat *s)
{
    if (s->aside_open) s->owner->ports->servers.drop(s->owner->ports->ctx, s->cluster, s->server, PORT_REIGN);
    s->aside_open = s->aside_ours = s->send_aside = false;
}

static void seat_end(struct seat *s, const struct verb_outcome *outcome)
{
    seat_drop_aside(s);
    uint32_t attempts = s->outcome->attempts;
    *s->outcome = *outcome;
    s->outcome->kind = s->last.kind;
    s->outcome->token = s->last.token;
    s->outcome->step = s->last.step;
    s->outcome->attempts = attempts;
    s->ended_at = now_of(s->owner);
    seat_free_run(s);
    s->send = false;
    s->wake_at = MONO_NEVER;
    s->owner->changed(s->owner->changed_arg, s->cluster);
}

static void seat_fail(struct seat *s, enum verb_state state, const char *error)
{
    struct verb_outcome *outcome = &s->run->outcome;
    outcome->state = state;
    TEXT_COPY(outcome->error, error);
    seat_end(s, outcome);
}

/* Drops the session; the answer to an outstanding statement is dropped too. */
static void seat_drop_session(struct seat *s)
{
    s->cancelled = s->waiting;
    if (s->session == PORT_CONTROL) s->lock_token = 0;
    s->owner->ports->servers.drop(s->owner->ports->ctx, s->cluster, s->server, s->session);
}

static void seat_cancel(struct seat *s)
{
    seat_drop_aside(s);
    seat_drop_session(s);
    seat_free_run(s);
    s->send = false;
    s->wake_at = MONO_NEVER;
}

/* --- running --------------------------------------------------------------------------------------------------- */

static int64_t left_ms(const struct seat *s, struct mono now)
{
    return (int64_t)s->last.deadline_ms - mono_since_ms(now, s->began_at);
}

/* Asks the sequencer what comes next; sending is left to execute_run(). */
static void seat_advance(struct seat *s, const struct db_result *result)
{
    struct mono now = now_of(s->owner);
    int64_t left = left_ms(s, now);
    s->run->left_ms = left > 0 ? (uint32_t)left : 0;
    enum verb_next next = verb_next(s->run, result);
    if (s->session == PORT_CONTROL) s->lock_token = s->run->locked ? s->last.token : 0;
    s->send = next == VERB_SEND;
    s->send_aside = next == VERB_SEND_ASIDE;
    if (next == VERB_END) {
        MUST(s->run->outcome.state != VERB_STATE_RUNNING && s->run->outcome.state != VERB_STATE_IDLE);
        seat_end(s, &s->run->outcome);
        return;
    }
    if (next == VERB_WAIT) s->wake_at = mono_add_ms(now, s->run->wait_ms);
}

static void seat_begin(struct seat *s, const struct verb *verb)
{
    struct execute *x = s->owner;
    const char *user = "", *password = "";
    const struct fsm_state *state = x->ports->consensus.state(x->ports->ctx);
    seat_new_run(s);
    if (!verb_is_same(&s->last, verb)) s->outcome->attempts = 0;
    s->last = *verb;
    (void)x->ports->consensus.is_established(x->ports->ctx, &s->last.term);
    s->session = verb->kind == VERB_REIGN_ROW ? PORT_REIGN : PORT_CONTROL;
    s->outcome->attempts++;
    s->outcome->kind = verb->kind;
    s->outcome->token = verb->token;
    s->outcome->step = verb->step;
    s->outcome->state = VERB_STATE_RUNNING;
    s->outcome->stale = false;
    s->sent_n = 0;
    s->began_at = now_of(x);
    if (!x->ports->servers.replication_account(x->ports->ctx, verb->cluster, &user, &password)) {
        seat_fail(s, VERB_STATE_FAILED, "the replication account cannot be read on this manager: see its log");
        return;
    }
    verb_begin(s->run, &s->last, state->clusters[verb->cluster].flavour, user, password);
    s->run->locked = s->session == PORT_CONTROL && s->lock_token == verb->token && verb->token != 0;
    seat_advance(s, NULL);
}

/* A failed attempt is followed by a pause that doubles, so that a dead server is not hammered. */
static bool is_pausing(const struct seat *s, struct mono now)
{
    uint32_t shift = s->outcome->attempts > 5 ? 5 : s->outcome->attempts;
    int64_t pause_ms = (int64_t)EXECUTE_PAUSE_MIN_MS << shift;
    if (pause_ms > EXECUTE_PAUSE_MAX_MS) pause_ms = EXECUTE_PAUSE_MAX_MS;
    return mono_since_ms(now, s->ended_at) < pause_ms;
}

void execute_verb(struct execute *execute, const struct verb *verb)
{
    MUST(verb->server < FSM_SERVERS_MAX && verb->kind != VERB_none);
    struct seat *s = &seats_of(execute, verb->cluster)->seats[verb->server];
    bool same = verb_is_same(&s->last, verb);
    if (s->run && same) return;
    if (s->run) {
        MARK(verb_superseded);
        seat_cancel(s);
    }
    if (s->cancelled) { /* The session still ends: asked again in a moment. */
        MARK(verb_session_ends);
        execute->ports->clock.wake_at(execute->ports->ctx, mono_add_ms(now_of(execute), 5));
        return;
    }
    if (same && s->outcome->state == VERB_STATE_DONE) return;
    if (same && is_pausing(s, now_of(execute))) return;
    seat_begin(s, verb);
    wake_now(execute);
}

/* The session ended under the verb: what it had sent may or may not have acted. */
static void seat_lost(struct seat *s, const struct db_result *result)
{
    bool sent = s->sent_n > 1 || (result->status != DB_REFUSED && result->status != DB_UNREACHABLE);
    if (sent) MARK(verb_unknown);
    else MARK(verb_not_sent);
    if (s->session == PORT_CONTROL) s->lock_token = 0;
    enum verb_state unknown = MUTANT(unknown_is_done) ? VERB_STATE_DONE : VERB_STATE_UNKNOWN;
    seat_fail(s, sent ? unknown : VERB_STATE_FAILED, result->error);
}

static void answered(void *arg, const struct db_result *result)
{
    struct seat *s = arg;
    s->waiting = false;
    if (!s->run) { /* Cancelled; execute_verb() begins no other run before this. */
        MARK(verb_answer_dropped);
        s->cancelled = false;
        wake_now(s->owner);
        return;
    }
    bool is_lost = result->status == DB_ERROR ? result->session_lost : result->status != DB_OK;
    if (is_lost) {
        seat_lost(s, result);
    } else {
        seat_advance(s, result);
    }
    wake_now(s->owner);
}

static void seat_send(struct seat *s, struct mono now)
{
    int64_t left = left_ms(s, now);
    s->send = false;
    if (left <= 0) {
        MARK(verb_deadline);
        seat_drop_session(s);
        seat_fail(s, s->sent_n ? VERB_STATE_UNKNOWN : VERB_STATE_FAILED, "the verb's deadline passed");
        return;
    }
    const struct ports *p = s->owner->ports;
    struct port_request request = {s->cluster, s->server, s->session, s->run->sql, (uint32_t)left, answered, s};
    int rc = p->servers.query(p->ctx, &request);
    if (rc == -EBUSY) { /* A dropped session still ends. */
        MARK(verb_session_busy);
        s->send = true;
        s->wake_at = mono_add_ms(now, 5);
        return;
    }
    if (rc != 0) {
        seat_fail(s, VERB_STATE_FAILED, "the cluster's credentials cannot be read on this manager: see its log");
        return;
    }
    s->waiting = true;
    s->sent_n++;
    s->wake_at = MONO_NEVER;
}

static void answered_aside(void *arg, const struct db_result *result)
{
    struct seat *s = arg;
    if (s->aside_ours && s->run && result->status != DB_OK) {
        s->run->aside_code = result->code;
        TEXT_COPY(s->run->aside_error, result->error);
    }
    s->aside_waits = s->aside_ours = false;
    wake_now(s->owner);
}

/* The verb goes on without waiting for the answer. */
static void seat_send_aside(struct seat *s, struct mono now)
{
    const struct ports *p = s->owner->ports;
    int64_t left = left_ms(s, now);
    struct port_request request = {s->cluster, s->server, PORT_REIGN, s->run->sql, (uint32_t)(left > 1 ? left : 1),
                                   answered_aside, s};
    seat_drop_aside(s);
    int rc = s->aside_waits ? -EBUSY : p->servers.query(p->ctx, &request);
    if (rc == -EBUSY && left > 0) { /* The one before still ends. */
        s->send_aside = true;
        s->wake_at = mono_add_ms(now, 5);
        return;
    }
    if (rc != 0) {
        seat_fail(s, VERB_STATE_FAILED, "the second session cannot be had: see the log of this manager");
        return;
    }
    s->aside_open = s->aside_waits = s->aside_ours = true;
    s->wake_at = MONO_NEVER;
    seat_advance(s, NULL);
}

static void seat_run(struct seat *s, struct mono now)
{
    if (!s->run || s->waiting) return;
    bool due = !mono_is_set(s->wake_at) || !mono_before(now, s->wake_at);
    if (due && !s->send && !s->send_aside) {
        s->wake_at = MONO_NEVER;
        seat_advance(s, NULL);
    }
    if (s->run && s->send_aside && due) seat_send_aside(s, now);
    if (s->run && s->send && due) seat_send(s, now);
    if (mono_is_set(s->wake_at)) s->owner->ports->clock.wake_at(s->owner->ports->ctx, s->wake_at);
}

void execute_run(struct execute *execute)
{
    struct mono now = now_of(execute);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        struct cluster_seats *seats = execute->clusters[c];
        for (uint8_t i = 0; seats && seats->busy != 0 && i < FSM_SERVERS_MAX; i++)
            if (fsm_set_has(seats->busy, i)) seat_run(&seats->seats[i], now);
    }
}

void execute_hangup(struct execute *execute, uint8_t cluster, uint8_t server)
{
    if (!execute->clusters[cluster]) return;
    if (execute->clusters[cluster]->seats[server].lock_token != 0) MARK(verb_lock_lost);
    execute->clusters[cluster]->seats[server].lock_token = 0;
}

static void seat_forget(struct seat *s)
{
    if (s->run) seat_cancel(s);
    if (s->lock_token != 0) {
        s->session = PORT_CONTROL;
        MARK(verb_lock_given_back);
        seat_drop_session(s); /* Gives the user lock back at once. */
    }
    memset(s->outcome, 0, sizeof *s->outcome);
    memset(&s->last, 0, sizeof s->last);
}

void execute_cancel_all(struct execute *execute)
{
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        if (!execute->clusters[c]) continue;
        for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) seat_forget(&execute->clusters[c]->seats[i]);
    }
}

const struct verb_outcome *execute_outcomes(struct execute *execute, uint8_t cluster)
{
    struct cluster_seats *seats = seats_of(execute, cluster);
    struct mono now = now_of(execute);
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        const struct seat *s = &seats->seats[i];
        s->outcome->age_ms = s->run ? mono_since_ms(now, s->began_at)
                             : mono_is_set(s->ended_at) ? mono_since_ms(now, s->ended_at) : 0;
    }
    return seats->outcomes;
}
