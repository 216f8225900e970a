/* Commits of a simulated server: group commit, semi-sync (AFTER_SYNC), read_only. See mysqld_private.h, FACTS.md.
 *
 * Happy path: committers queue; all that wait when the lock of the binlog is free make a group: it gets its GTIDs, is
 * written and fsynced, is published to the dump threads, waits for an ack, is committed in the engine, and answered.
 * Two groups are under way at most: one that waits for its ack, and behind it one that is in the binlog already.
 * Failure modes: nobody acknowledges: everything behind waits. The leader of a group waits for all of it: when it is
 * killed, none of its group waits any more, and the others are answered with OK. */
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_private.h"

enum { TIMEOUT_MS_MAX = 1000 * 86400 * 7 }; /* Longer ones are for ever. */

static void advance(struct mysqld *m);

static void group_push(struct group *g, struct committer *c)
{
    if (!g->first) g->tail = &g->first;
    c->next = NULL;
    *g->tail = c;
    g->tail = &c->next;
}

static void group_free(struct group *g)
{
    while (g->first) {
        struct committer *c = g->first;
        g->first = c->next;
        free(c);
    }
}

void commit_free(struct mysqld *m)
{
    group_free(&m->commits.queue);
    group_free(&m->commits.logged);
    group_free(&m->commits.waiting);
    m->commits = (struct commits){0};
}

unsigned commit_waiting_n(const struct mysqld *m)
{
    return m->commits.waiting.first != NULL && m->commits.is_waiting;
}

/* --- binlog ----------------------------------------------------------------------------------------------------- */

uint64_t gtid_next_seq(const struct mysqld *m)
{
    const struct gtid_domain *last = pos_find(&m->log.last, m->now.domain_id);
    const struct gtid_domain *applied = pos_find(&m->log.applied, m->now.domain_id);
    uint64_t seq = last ? last->seq : 0;
    if (applied && applied->seq > seq) seq = applied->seq;
    return seq + 1;
}

static void on_synced(void *arg)
{
    struct mysqld *m = arg;
    struct commits *cs = &m->commits;
    cs->event = 0;
    cs->is_syncing = false;
    cs->is_synced = true;
    m->log.published_n = m->log.n;
    if (m->now.sync_binlog == 1) m->log.synced_n = m->log.n;
    advance(m);
    source_publish(m);
}

static void write_group(struct mysqld *m)
{
    struct commits *cs = &m->commits;
    cs->logged = cs->queue;
    cs->queue = (struct group){0};
    /* Preparing these has flushed the engine's log, and with it the commits before. */
    m->flushed_n = m->log.n;
    while (m->flushed_n > 0 && !(m->log.e[m->flushed_n - 1].t.flags & F_ENGINE)) m->flushed_n--;
    for (struct committer *c = cs->logged.first; c; c = c->next) {
        if (!c->is_applier) c->t.seq = gtid_next_seq(m);
        c->index = log_append(&m->log, &c->t, sim_now_us(m->sim));
    }
    cs->is_syncing = true;
    int64_t us = m->now.sync_binlog == 1 || m->now.flush_log == 1 ? fsync_us(m) : work_us(m, 20, 60);
    cs->event = sim_after(m->sim, m->node, us, on_synced, m);
}

/* --- the end of a group ----------------------------------------------------------------------------------------- */

static void answer(struct mysqld *m, struct committer *c)
{
    struct session *s = c->session;
    const struct mysqld_trx *t = &m->log.e[c->index].t;
    m->commits.active_n--;
    if (c->is_applier) applier_committed(m);
    if (!s) return;
    s->commit = NULL;
    bool is_ok = s->kill != KILL_SESSION && s->stream;
    if (is_ok && m->on_ok && s->account == ACCOUNT_CLIENT) m->on_ok(m->on_ok_arg, m, t, c->ok);
    session_wake(s);
}

static void end_group(struct mysqld *m)
{
    struct group done = m->commits.waiting;
    m->commits.waiting = (struct group){0};
    m->commits.is_waiting = false;
    sim_cancel(m->sim, &m->commits.timeout);
    for (struct committer *c = done.first; c; c = c->next) log_commit(&m->log, c->index);
    for (struct committer *c = done.first; c; c = c->next) answer(m, c);
    group_free(&done);
    read_only_look(m);
}

/* --- semi-sync -------------------------------------------------------------------------------------------------- */

static void on_timeout(void *arg)
{
    struct mysqld *m = arg;
    m->commits.timeout = 0;
    m->commits.is_on = false;
    commit_look(m);
}

/* True when this one of the waiting group waits no more; counts it. */
static bool is_released(struct mysqld *m, struct committer *c)
{
    struct commits *cs = &m->commits;
    const struct session *leader = cs->waiting.first->session;
    bool is_killed = leader && leader->kill != KILL_NONE;
    bool is_alone = source_clients(m) == 0 && !m->wait_no_slave;
    if (c->is_settled) return true;
    if (m->source_flag && cs->is_on && cs->acked_n > c->index) {
        cs->yes_tx++;
    } else if (!m->source_flag && !c->has_waited) {
        c->ok = cs->is_waiting ? MYSQLD_OK_FALSE : MYSQLD_OK; /* Semi-sync is off: nothing is counted. */
    } else if (!m->source_flag || !cs->is_on || is_killed || is_alone) {
        cs->no_tx++;
        if (is_killed && leader->kill == KILL_SESSION) c->ok = MYSQLD_OK_OF_KILLED;
        else if (is_killed || cs->is_waiting) c->ok = MYSQLD_OK_FALSE;
    } else {
        c->has_waited = true;
        return false;
    }
    c->is_settled = true;
    return true;
}

static void wait_for_ack(struct mysqld *m)
{
    struct commits *cs = &m->commits;
    for (struct committer *c = cs->waiting.first; c; c = c->next) {
        if (is_released(m, c)) continue;
        cs->is_waiting = true;
        bool is_bounded = m->source_timeout_ms < TIMEOUT_MS_MAX;
        if (is_bounded && cs->timeout == 0)
            cs->timeout = sim_after(m->sim, m->node, (int64_t)m->source_timeout_ms * 1000, on_timeout, m);
        return;
    }
    end_group(m);
}

static void advance(struct mysqld *m)
{
    struct commits *cs = &m->commits;
    for (;;) {
        if (cs->waiting.first) wait_for_ack(m);
        if (cs->waiting.first) break;
        if (!cs->logged.first || !cs->is_synced) break;
        cs->waiting = cs->logged;
        cs->logged = (struct group){0};
        cs->is_synced = false;
    }
    if (!cs->logged.first && cs->queue.first) write_group(m);
}

void commit_look(struct mysqld *m)
{
    struct commits *cs = &m->commits;
    if (m->source_flag && !cs->is_on && cs->acked_n >= m->log.published_n) cs->is_on = true;
    if (cs->waiting.first) advance(m);
}

static void on_look(void *arg)
{
    struct mysqld *m = arg;
    m->commits.look = 0;
    commit_look(m);
}

void commit_look_soon(struct mysqld *m)
{
    if (m->commits.look == 0) m->commits.look = sim_after(m->sim, m->node, work_us(m, 20, 300), on_look, m);
}

void commit_enable(struct mysqld *m, bool on)
{
    if (on == m->source_flag) return;
    m->source_flag = on;
    m->commits.is_on = on;
    m->commits.acked_n = 0;
    commit_look(m);
}

/* --- beginning -------------------------------------------------------------------------------------------------- */

static void begin(struct mysqld *m, struct committer *c)
{
    m->commits.active_n++;
    group_push(&m->commits.queue, c);
    advance(m);
}

void commit_begin(struct mysqld *m, struct session *s, const struct mysqld_trx *t)
{
    if (s && !s->log_bin) { /* The engine only: nobody is waited for. */
        MUST(t->kind == MYSQLD_TRX_WRITE);
        log_add_unlogged(&m->log, t->id);
        session_wake(s);
        return;
    }
    struct committer *c = calloc(1, sizeof(*c));
    MUST(c);
    c->session = s;
    c->t = *t;
    if (s) s->commit = c;
    begin(m, c);
}

void commit_begin_applied(struct mysqld *m, const struct mysqld_trx *t)
{
    struct committer *c = malloc(sizeof(*c));
    MUST(c);
    *c = (struct committer){.is_applier = true, .t = *t};
    c->t.flags = F_APPLIED;
    begin(m, c);
}

/* --- read_only -------------------------------------------------------------------------------------------------- */

static void wake_all(struct mysqld *m, enum wait wait)
{
    for (struct session *s = m->sessions; s; s = s->next)
        if (s->wait == wait) session_wake(s);
}

bool read_only_begin(struct session *s, bool on)
{
    struct mysqld *m = s->m;
    if (!on || m->read_only) {
        m->read_only = on;
        return true;
    }
    if (m->read_only_waiter) return false;
    m->read_only_waiter = s;
    read_only_look(m);
    return false;
}

void read_only_look(struct mysqld *m)
{
    if (!m->read_only_waiter || m->commits.active_n > 0) return;
    m->read_only = true;
    m->read_only_waiter = NULL;
    wake_all(m, WAIT_READ_ONLY);
    wake_all(m, WAIT_WRITE);
}

void read_only_abandon(struct session *s)
{
    struct mysqld *m = s->m;
    if (m->read_only_waiter != s) return;
    m->read_only_waiter = NULL;
    for (struct session *other = m->sessions; other; other = other->next)
        if (other != s && other->wait == WAIT_READ_ONLY) m->read_only_waiter = other;
    if (m->read_only_waiter) read_only_look(m);
    else wake_all(m, WAIT_WRITE);
}
