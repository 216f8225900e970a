/* Observation, part one: probing the servers. Part two, what the others tell: manager/observe_view.c. */
#include "manager/observe_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mark.h"
#include "mysql/probe.h"

struct observe *observe_new(const struct ports *ports, observe_changed_fn *changed, void *arg)
{
    struct observe *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->ports = ports;
    o->changed = changed;
    o->changed_arg = arg;
    return o;
}

static void cluster_forget(struct observe *o, uint8_t c)
{
    free(o->clusters[c]);
    o->clusters[c] = NULL;
}

void observe_free(struct observe *observe)
{
    if (!observe) return;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) cluster_forget(observe, c);
    free(observe);
}

static struct mono now_of(const struct observe *o)
{
    return o->ports->clock.now(o->ports->ctx);
}

/* Marks what a decision may rest on as changed. */
static void note_change(struct observe *o, uint8_t c)
{
    o->clusters[c]->dirty = true;
    o->changed(o->changed_arg, c);
}

/* --- one probe ------------------------------------------------------------------------------------------------- */

/* Keeps the time at which each channel's receive mark last changed: a follower that is sent nothing grows idle. */
static void note_receive_marks(struct observe_server *s, const struct view_facts *facts, struct mono now)
{
    for (uint8_t i = 0; i < VIEW_CHANNELS_MAX; i++) {
        bool exists = i < facts->channels_n;
        uint64_t mark = exists ? facts->channels[i].receive_mark : 0;
        if (mono_is_set(s->mark_at[i]) && mark == s->mark[i]) continue;
        s->mark[i] = mark;
        s->mark_at[i] = exists ? now : MONO_NEVER;
    }
}

static bool is_same_incarnation(const struct view_facts *a, const struct view_facts *b)
{
    return a->set && a->started_s == b->started_s && text_equal(a->identity, b->identity);
}

/* What two whole answers make certain of the commits between them, the second of which has just come. The count moved:
 * one was acknowledged since the first was asked for. It did not, and some wait in both: none was since the first came,
 * whatever was not read meanwhile. Returns stalled_ms. */
static int64_t note_flow(struct observe_server *s, const struct view_facts *was, const struct view_facts *is,
                         struct mono now)
{
    bool is_same = is_same_incarnation(was, is);
    bool has_moved = is_same && was->yes_tx != is->yes_tx;
    if (!is_same) s->acked_at = MONO_NEVER;
    if (has_moved) s->acked_at = s->ok_asked_at;
    s->ok_asked_at = s->started_at;

    if (is->wait_sessions == 0) s->waiting_since = MONO_NEVER;
    else if (!is_same || has_moved || !mono_is_set(s->waiting_since)) s->waiting_since = now;
    bool is_long = mono_is_set(s->waiting_since) && mono_before(s->waiting_since, s->started_at);
    return is_long ? mono_since_ms(s->started_at, s->waiting_since) : 0;
}

/* True when a decision may depend on the difference between two probes. */
static bool facts_differ(const struct view_facts *a, const struct view_facts *b)
{
    if (a->set != b->set || a->read_only != b->read_only || a->source_clients != b->source_clients) return true;
    if (a->source_on != b->source_on || a->replica_on != b->replica_on || a->channels_n != b->channels_n) return true;
    if (a->token != b->token || a->started_s != b->started_s || a->wait_sessions != b->wait_sessions) return true;
    if (!text_equal(a->identity, b->identity)) return true;
    for (uint8_t i = 0; i < a->channels_n && i < VIEW_CHANNELS_MAX; i++) {
        const struct view_channel *x = &a->channels[i], *y = &b->channels[i];
        if (x->io != y->io || x->applier != y->applier || x->source_port != y->source_port) return true;
    }
    return false;
}

static void note_failure_run(struct observe_server *s, struct view_observation *mine, struct mono now)
{
    if (view_outcome_is_alive(mine->outcome)) {
        s->failing_since = MONO_NEVER;
        s->alive_at = now;
    } else if (!mono_is_set(s->failing_since)) {
        s->failing_since = mono_is_set(s->started_at) ? s->started_at : now;
    }
    if (mine->outcome != VIEW_REFUSED) {
        mine->refused_n = 0;
        s->refused_first = MONO_NEVER;
        return;
    }
    if (!mono_is_set(s->refused_first)) s->refused_first = now;
    if (mine->refused_n < 1000) mine->refused_n++;
    mine->refused_span_ms = mono_since_ms(now, s->refused_first);
}

/* Rounded up, and never 0, which on the wire means that it was not told. */
static int64_t took_ms(const struct observe_server *s, struct mono now)
{
    int64_t took_us = mono_is_set(s->started_at) ? now.us - s->started_at.us : 0;
    return took_us > 1000 ? (took_us + 999) / 1000 : 1;
}

/* An attempt ended: 'facts' is set when it was a whole answer. */
static void note_attempt(struct observe *o, struct observe_server *s, enum view_outcome outcome, const char *error,
                         const struct view_facts *facts)
{
    struct observe_cluster *cl = o->clusters[s->cluster];
    struct view_observation *mine = &cl->view.managers[cl->view.self].servers[s->server];
    struct mono now = now_of(o);
    bool changed = mine->outcome != outcome || outcome == VIEW_REFUSED;

    mine->outcome = outcome;
    TEXT_COPY(mine->error, error);
    s->ended_at = now;
    mine->took_ms = took_ms(s, now);
    note_failure_run(s, mine, now);
    if (facts) {
        changed = changed || facts_differ(&mine->facts, facts);
        note_receive_marks(s, facts, now);
        int64_t stalled_ms = note_flow(s, &mine->facts, facts, now);
        s->took_ms = mine->took_ms;
        mine->facts = *facts;
        mine->facts.stalled_ms = stalled_ms;
        s->ok_at = now;
    }
    cl->pushable = true;
    if (changed) note_change(o, s->cluster);
}

static void probe_answered(void *arg, const struct db_result *result)
{
    struct observe_server *s = arg;
    struct observe *o = s->owner;
    s->running = false;
    struct observe_cluster *cl = o->clusters[s->cluster];
    if (result->status == DB_CANCELED) {
        MARK(probe_dropped);
        return;
    }
    char error_base[VIEW_ERROR_SIZE] = "";
    struct text error = TEXT_ON(error_base);
    struct view_facts *facts = &o->scratch;
    bool lost = result->status == DB_LOST; /* The next attempt says more, and at once. */
    enum view_outcome outcome = result->status == DB_OK ? probe_read(cl->flavour, result, facts, &error)
                                                        : probe_failure(result, &error);
    note_attempt(o, s, outcome, error_base, outcome == VIEW_OK ? facts : NULL);
    s->due_at = mono_add_ms(s->ended_at, lost ? 0 : observe_period_ms(cl, s->ended_at));
    o->ports->clock.wake_at(o->ports->ctx, s->due_at);
}

/* The text is the same at every probe of a flavour. */
static const char *probe_sql(struct observe *o, enum fsm_flavour flavour)
{
    if (o->sql[0] != '\0' && o->sql_flavour == flavour) return o->sql;
    struct text sql = TEXT_ON(o->sql);
    probe_write(flavour, &sql);
    MUST(!sql.cut);
    o->sql_flavour = flavour;
    return o->sql;
}

static void probe_start(struct observe *o, struct observe_server *s, struct mono now)
{
    struct observe_cluster *cl = o->clusters[s->cluster];
    const char *sql = probe_sql(o, cl->flavour);
    s->started_at = now;
    uint32_t deadline_ms = view_deadline_ms(cl->timeout_ms);
    struct port_request request = {s->cluster, s->server, PORT_PROBE, sql, deadline_ms, probe_answered, s};
    int rc = o->ports->servers.query(o->ports->ctx, &request);
    if (rc == 0) {
        s->running = true;
        return;
    }
    s->due_at = mono_add_ms(now, rc == -ENOENT ? 1000 : OBSERVE_FAST_MS); /* -EBUSY: an older probe still ends. */
    if (rc != -ENOENT) return;
    /* We did not look, so we know nothing: neither alive nor failing. */
    struct view_observation *mine = &cl->view.managers[cl->view.self].servers[s->server];
    mine->outcome = VIEW_NONE;
    mine->refused_n = 0;
    TEXT_COPY(mine->error, "this manager cannot read the cluster's credentials: see its log");
    s->failing_since = s->refused_first = MONO_NEVER;
    cl->pushable = true;
}

void observe_hangup(struct observe *observe, uint8_t cluster, uint8_t server)
{
    struct observe_cluster *cl = observe->clusters[cluster];
    if (!cl || server >= cl->servers_n) return;
    struct observe_server *s = &cl->servers[server];
    if (s->running) return; /* The running probe will tell. */
    s->started_at = now_of(observe);
    MARK(probe_hangup);
    note_attempt(observe, s, VIEW_LOST, "the server closed the idle session", NULL);
    s->due_at = s->ended_at;
    observe->ports->clock.wake_at(observe->ports->ctx, s->due_at);
}

/* --- rounds ---------------------------------------------------------------------------------------------------- */

int64_t observe_period_ms(const struct observe_cluster *cl, struct mono now)
{
    if (!cl->suspicious && !cl->suspected_by_leader) return cl->probe_ms;
    int64_t slow = cl->probe_ms < OBSERVE_SLOW_MS ? cl->probe_ms : OBSERVE_SLOW_MS;
    return mono_before(now, cl->fast_until) ? OBSERVE_FAST_MS : slow;
}

/* A hint to look closer, from this manager's own observations alone; the verdict is the leader's (plan/diagnose.c). */
static bool looks_suspicious(const struct observe_cluster *cl)
{
    if (cl->master == FSM_SERVER_NONE) return false;
    const struct view_observation *mine = cl->view.managers[cl->view.self].servers;
    enum view_outcome at_master = mine[cl->master].outcome;
    if (at_master != VIEW_NONE && at_master != VIEW_OK) return true;
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        if (!fsm_set_has(cl->members, i) || i == cl->master || mine[i].outcome != VIEW_OK) continue;
        if (mine[i].facts.channels_n > 0 && mine[i].facts.channels[0].io != VIEW_IO_YES) return true;
    }
    return false;
}

static void update_suspicion(struct observe_cluster *cl, struct mono now)
{
    bool was = cl->suspicious || cl->suspected_by_leader;
    cl->suspicious = looks_suspicious(cl);
    if (was || !(cl->suspicious || cl->suspected_by_leader)) return;
    cl->fast_until = mono_add_ms(now, OBSERVE_FAST_FOR_MS);
    struct mono soon = mono_add_ms(now, OBSERVE_FAST_MS);
    for (uint8_t i = 0; i < cl->servers_n; i++) cl->servers[i].due_at = mono_earlier(cl->servers[i].due_at, soon);
}

void observe_suspect(struct observe *observe, uint8_t cluster, bool suspicious)
{
    struct observe_cluster *cl = observe->clusters[cluster];
    if (!cl || cl->suspected_by_leader == suspicious) return;
    bool was = cl->suspicious || cl->suspected_by_leader;
    cl->suspected_by_leader = suspicious;
    struct mono now = now_of(observe);
    if (!was && suspicious) {
        cl->fast_until = mono_add_ms(now, OBSERVE_FAST_FOR_MS);
        for (uint8_t i = 0; i < cl->servers_n; i++) cl->servers[i].due_at = now;
        observe->ports->clock.wake_at(observe->ports->ctx, now);
    }
}

static void cluster_run(struct observe *o, struct observe_cluster *cl, struct mono now)
{
    update_suspicion(cl, now);
    struct mono next = MONO_NEVER;
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        struct observe_server *s = &cl->servers[i];
        if (s->running) continue;
        if (!mono_before(now, s->due_at)) probe_start(o, s, now);
        if (!s->running) next = mono_earlier(next, s->due_at);
    }
    if (mono_is_set(next)) o->ports->clock.wake_at(o->ports->ctx, next);
    observe_push(o, cl, now);
}

/* Follows the declaration: a cluster that came, went or changed is observed anew where it differs. */
static void follow_declaration(struct observe *o, uint8_t c, const struct fsm_cluster *declared,
                               const struct observe_managers *group)
{
    struct observe_cluster *cl = o->clusters[c];
    if (!declared->used) {
        if (cl && !observe_is_running(cl)) cluster_forget(o, c);
        return;
    }
    /* Wait for the outstanding probes: they point into the old table, which nobody reads any more (observe_view()). */
    if (cl && cl->version != declared->version && observe_is_running(cl)) {
        MARK(probe_of_old_declaration);
        return;
    }
    if (!cl || cl->version != declared->version) {
        cluster_forget(o, c);
        o->clusters[c] = observe_cluster_new(o, c, declared);
        if (!o->clusters[c]) return;
    }
    observe_cluster_follow(o->clusters[c], declared, group);
}

void observe_run(struct observe *observe)
{
    const struct fsm_state *state = observe->ports->consensus.state(observe->ports->ctx);
    struct mono now = now_of(observe);
    struct observe_managers group = {.n = 0};
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        if (!state->clusters[c].used && !observe->clusters[c]) continue;
        if (group.n == 0) observe_managers(observe, &group);
        follow_declaration(observe, c, &state->clusters[c], &group);
        struct observe_cluster *cl = observe->clusters[c];
        if (cl && cl->version == state->clusters[c].version) cluster_run(observe, cl, now);
    }
}
