/* FOLLOW: a member whose receiver stands still, by a restart or by a plan of ours, receives from the master again (L2).
 * PURE. DESIGN A3, A6, §6 traps.
 *
 * Happy path: REPOINT asks FOLLOW of the one server, DONE. An acker's proof is then restored by plan/proof.c.
 *
 * When. By its files a server boots closed and without replication, and only a verb with a token starts a receiver
 * (A3), so somebody has to. It is done for a server, one a plan, when all of this is so:
 * - The master is read by a majority and by this leader, open, a moment ago, in the incarnation of its reign, or with
 *   durable settings, and no other listed reign was opened. MariaDB throws the relay log away when a thread is started
 *   while both are stopped; it is harmless because the master has all of it. So the verb is not asked either while the
 *   master is not read so: a master that dies now is then accounted for by no less than before.
 * - It is a member, not in maintenance, the one that was enrolled, closed, with one channel, without an error of its
 *   receiver or applier, and has nothing that the master has not.
 * - It is our business: it was restarted and no receiver started since (nobody stops one in that way by hand: then the
 *   position is still known), or it holds the token of a failover or FOLLOW that failed or was aborted. Whatever else
 *   stands still was stopped by an operator, and is told.
 * - An acker that was restarted: the proof of the reign has been withdrawn. What it acknowledged before may be gone
 *   with its relay log, and from here on nobody but the master proves it (A4), until the proof is made anew.
 * As acker, with the flag on, exactly when it is in A and fewer than k others of A are attached (A6); else as a plain
 * replica. One that was in A then leaves it, when the others have received what the master had after that (A2): a proof
 * needs all of A to be attached.
 *
 * Failure modes: the master must be replaced (it ends at once); the server is lost, or does not attach in time: the
 * plan fails and says why, and the next one for this server begins after a back-off that doubles. Nobody else waits. */
#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/choose.h"
#include "plan/position.h"
#include "plan/proof.h"
#include "plan/sight.h"
#include "plan/work.h"

enum {
    REFUSED_MS = 2500,     /* Of attempts that fail, */
    FOLLOW_MS = 6000,      /* or for one that takes its time: then the plan is given up. */
    LOST_MS = 2000,        /* Of no answer from the server. */
    YOUNG_MS = 100,        /* How much older than a probe period what was read of the master may be. */
    CLOCKS_MS = 100,       /* Between the clocks of two managers. */
    BACKOFF_MS = 15000,    /* After the first failure; then it doubles, */
    BACKOFF_DOUBLINGS = 5, /* up to this often: 8 min. */
    AGAIN_MS = 5000,       /* Between two that succeeded. */
};

static const struct view_facts *facts_of(const struct work *w, uint8_t server)
{
    return &sight_self(w->in->view, server)->facts;
}

static bool is_ours(const struct work *w, uint8_t server)
{
    return sight_reached(w->cluster, w->in->view, server) &&
           text_equal(facts_of(w, server)->identity, w->cluster->servers[server].identity);
}

static const struct view_channel *only_channel(const struct view_facts *f)
{
    return f->channels_n == 1 ? &f->channels[0] : NULL;
}

/* --- the master --- */

static bool is_master_open(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    uint8_t master = w->cluster->master;
    enum diagnosis_row row = w->update->diagnosis.row;
    if (row != DIAGNOSIS_OK && row != DIAGNOSIS_BLOCKED && row != DIAGNOSIS_PAUSED) return false;
    if (reign == NULL || !is_ours(w, master)) return false;
    const struct view_facts *f = facts_of(w, master);
    int64_t young_ms = (int64_t)w->cluster->probe_ms + YOUNG_MS;
    /* Another incarnation was opened by hand, or its clock was set: it has all that it ever had when it is durable. */
    bool has_all = f->started_s == reign->started_s[master] || f->durable;
    return !f->read_only && sight_self(w->in->view, master)->age_ms <= young_ms && has_all;
}

/* No other server may be open, or be opened: what it acknowledged would be missing in the master (A8). */
static bool is_sole_reign(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *r = &w->cluster->reigns[i];
        if (r->epoch != w->cluster->epoch && r->opened && !r->unfenced) return false;
    }
    return true;
}

/* --- the server --- */

/* The channel does not receive from the master. One that tries to is the network's, or the account's, trouble. */
static bool stands_still(const struct work *w, const struct view_facts *f)
{
    const struct view_channel *ch = only_channel(f);
    return ch != NULL && (ch->io == VIEW_IO_NO || sight_channel_from(w->cluster, f, w->cluster->master) != ch);
}

static bool was_restarted(const struct view_channel *ch)
{
    return ch->io == VIEW_IO_NO && !ch->applier && ch->received[0] == '\0';
}

/* A plan of ours touched it last, and ended before it could set it right. */
static bool was_left(const struct work *w, uint8_t server)
{
    const struct fsm_plan *p = fsm_plan_find(w->in->state, facts_of(w, server)->token);
    if (p == NULL || p->cluster != w->in->cluster || (p->kind != PLAN_FAILOVER && p->kind != PLAN_FOLLOW)) return false;
    return p->state == PLAN_STATE_FAILED || p->state == PLAN_STATE_ABORTED;
}

static bool has_error(const struct view_channel *ch)
{
    return ch->sql_errno != 0 || (ch->io == VIEW_IO_NO && ch->io_errno != 0);
}

/* It has what the master has not, or not there: it would not attach, or diverge (A6). */
static bool is_diverged(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server), *m = facts_of(w, w->cluster->master);
    enum fsm_flavour flavour = w->cluster->flavour;
    return !position_contains(flavour, m->binlog, f->executed) || !position_contains(flavour, f->executed, f->binlog) ||
           choose_is_errant(w, f->executed);
}

/* Why Regent leaves it alone although it stands still, and what to do; NULL: it does not. */
static const char *refusal(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server);
    const struct view_channel *ch = only_channel(f);
    if (has_error(ch)) return "it stopped on an error: mend that, then START SLAVE there";
    if (!ch->gtid) return "it replicates without GTID: CHANGE MASTER TO MASTER_USE_GTID = slave_pos";
    if (!was_restarted(ch) && !was_left(w, server)) return "somebody stopped it by hand: START SLAVE when it may go on";
    if (fsm_set_has(fsm_unfenced_ackers(w->cluster, NULL, 0), server)) {
        return "it may still acknowledge for a reign that was given up: rebuild it";
    }
    if (is_diverged(w, server)) return "it has transactions that the master has not: rebuild it";
    return NULL;
}

/* --- the flag --- */

static const struct fsm_reign *reign_of_acker(const struct work *w, uint8_t server)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    return reign != NULL && fsm_set_has(reign->ackers, server) ? reign : NULL;
}

static bool is_attached(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server);
    const struct view_channel *ch = sight_channel_from(w->cluster, f, w->cluster->master);
    return is_ours(w, server) && ch != NULL && ch->io == VIEW_IO_YES && f->replica_enabled && f->replica_on;
}

/* It is in A, and without it too few are attached. */
static bool is_to_acknowledge(const struct work *w, uint8_t server)
{
    const struct fsm_reign *reign = reign_of_acker(w, server);
    unsigned others = 0;
    if (reign == NULL) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        others += i != server && fsm_set_has(reign->ackers, i) && is_attached(w, i);
    }
    return others < reign->k;
}

/* The proof still rests on what an acker that restarted has forgotten. */
static bool is_still_proven(const struct work *w, uint8_t server)
{
    const struct fsm_reign *reign = reign_of_acker(w, server);
    if (reign == NULL || !reign->lossless) return false;
    uint64_t started_s = reign->started_s[server];
    return started_s != 0 && started_s != facts_of(w, server)->started_s;
}

/* --- when --- */

/* The newest ended FOLLOW of 'server' that is older than 'before'; NULL: none. */
static const struct fsm_plan *ended_before(const struct work *w, uint8_t server, uint64_t before)
{
    const struct fsm_plan *newest = NULL;
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        const struct fsm_plan *p = &w->in->state->plans[i];
        if (p->token == 0 || p->token >= before || p->cluster != w->in->cluster || p->kind != PLAN_FOLLOW) continue;
        if (p->from != server || p->state == PLAN_STATE_RUNNING) continue;
        if (newest == NULL || p->token > newest->token) newest = p;
    }
    return newest;
}

static bool backs_off(const struct work *w, uint8_t server)
{
    const struct fsm_plan *last = ended_before(w, server, UINT64_MAX), *p = last;
    int64_t pause_ms = BACKOFF_MS;
    if (last == NULL) return false;
    if (last->state == PLAN_STATE_FINISHED) return work_since_ms(w, last) < AGAIN_MS;
    for (unsigned n = 0; n < BACKOFF_DOUBLINGS; n++) {
        p = ended_before(w, server, p->token);
        if (p == NULL || p->state == PLAN_STATE_FINISHED) break;
        pause_ms *= 2;
    }
    return work_since_ms(w, last) < pause_ms;
}

/* What was seen before the last plan ended may be what that plan has mended. */
static bool is_seen_anew(const struct work *w, uint8_t server)
{
    int64_t ended_ms = work_ended_ms(w);
    return ended_ms < 0 || sight_is_after(sight_self(w->in->view, server), ended_ms - CLOCKS_MS);
}

static bool is_due(const struct work *w, uint8_t server)
{
    const struct fsm_server *s = &w->cluster->servers[server];
    if (server == w->cluster->master || s->state != SERVER_MEMBER || s->maintenance) return false;
    if (!is_ours(w, server) || !facts_of(w, server)->supported || !facts_of(w, server)->read_only) return false;
    return stands_still(w, facts_of(w, server)) && refusal(w, server) == NULL && is_seen_anew(w, server) &&
           !is_still_proven(w, server) && !backs_off(w, server);
}

static void propose(struct work *w, uint8_t server)
{
    uint8_t master = w->cluster->master;
    bool is_acker = is_to_acknowledge(w, server);
    bool is_restart = was_restarted(only_channel(facts_of(w, server)));
    struct fsm_cmd_plan_begin *b = &work_propose(w, CMD_PLAN_BEGIN)->u.plan_begin;
    (void)TEXT_COPY(b->cluster, w->cluster->name);
    b->kind = PLAN_FOLLOW;
    b->epoch = w->cluster->epoch;
    b->from = server;
    b->to = master;
    b->acker = is_acker ? server : FSM_SERVER_NONE;
    (void)TEXT_COPY(b->verdict, is_restart ? "replica-restarted" : "replica-left");
    struct text evidence = TEXT_ON(b->evidence);
    text_addf(&evidence, "%s: closed, its receiver stands still, %s; executed %s\n%s: open, %s\n", work_name(w, server),
              is_restart ? "restarted since it last received" : "last touched by a plan that did not succeed",
              facts_of(w, server)->executed, work_name(w, master), facts_of(w, master)->binlog);
    WORK_WHY(w, "%s stands still: it is to receive from %s again%s", work_name(w, server), work_name(w, master),
             is_acker ? ", as its acker" : "");
}

bool follow_begin(struct work *w)
{
    uint8_t best = FSM_SERVER_NONE;
    if (!is_master_open(w) || !is_sole_reign(w)) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!is_due(w, i)) continue;
        if (is_to_acknowledge(w, i)) MARK(follow_acker);
        if (best == FSM_SERVER_NONE || (is_to_acknowledge(w, i) && !is_to_acknowledge(w, best))) best = i;
    }
    if (best == FSM_SERVER_NONE || MUTANT(never_follows)) return false;
    MARK(follow_begins);
    propose(w, best);
    return true;
}

/* --- telling --- */

static void tell_last(const struct work *w, uint8_t server, struct text *t)
{
    const struct fsm_plan *last = ended_before(w, server, UINT64_MAX);
    if (w->cluster->paused) {
        text_add(t, "Regent makes it follow again when the cluster is resumed");
    } else if (last != NULL && last->state != PLAN_STATE_FINISHED && last->epoch == w->cluster->epoch) {
        text_addf(t, "Regent tries again; plan %llu did not succeed: %s", (unsigned long long)last->token,
                  last->reason);
    } else if (is_sole_reign(w)) {
        text_addf(t, "Regent makes it follow again while it reads %s open", work_name(w, w->cluster->master));
    } else {
        text_add(t, "an earlier failover was not finished, so Regent leaves it alone: regent failover to one of them");
    }
}

void plan_tell_standing(const struct fsm_state *state, uint8_t cluster, const struct view *view, uint8_t server,
                        struct text *t)
{
    const struct fsm_cluster *c = &state->clusters[cluster];
    struct plan_input in = {.state = state, .cluster = cluster, .view = view};
    struct work w = {.in = &in, .cluster = c};
    if (c->epoch == 0 || c->plan != 0 || server >= c->servers_n || server == c->master) return;
    const struct view_observation *o = sight_best(c, view, server);
    if (o == NULL || c->servers[server].state != SERVER_MEMBER || !stands_still(&w, &o->facts)) return;
    if (!is_ours(&w, server) || !is_ours(&w, c->master)) {
        text_addf(t, "this manager does not read both it and %s, so does nothing about it: see to the network between "
                     "them, or START SLAVE there", work_name(&w, c->master));
        return;
    }
    const char *why = refusal(&w, server);
    if (why != NULL) text_add(t, why);
    else tell_last(&w, server, t);
}

/* --- the step --- */

static bool is_lost(const struct work *w, uint8_t server)
{
    const struct view_observation *o = sight_self(w->in->view, server);
    return sight_fails(w->cluster, o) && o->failing_ms >= LOST_MS && work_step_ms(w) >= LOST_MS;
}

/* True when it proposed to end the plan. */
static bool give_up(struct work *w)
{
    uint8_t server = w->plan->from;
    const struct verb_outcome *o = work_outcome(w, server, VERB_FOLLOW);
    const char *name = work_name(w, server), *master = work_name(w, w->cluster->master);
    if (w->update->diagnosis.acts) {
        MARK(follow_master_first);
        struct text reason = work_fail(w);
        text_addf(&reason, "the master %s must be replaced first", master);
        return true;
    }
    if (is_lost(w, server)) {
        MARK(follow_lost);
        struct text reason = work_fail(w);
        text_addf(&reason, "%s does not answer any more: bring it back", name);
        return true;
    }
    bool has_failed = o != NULL && o->state != VERB_STATE_RUNNING;
    if (work_step_ms(w) < (has_failed ? REFUSED_MS : FOLLOW_MS)) return false;
    MARK(follow_given_up);
    struct text reason = work_fail(w);
    text_addf(&reason, "%s does not follow %s; it is tried again later, or mend it and START SLAVE by hand: %s", name,
              master, o != NULL && o->error[0] != '\0' ? o->error : "no answer");
    return true;
}

/* Ends the step when it follows; or waits for the others to catch up, when it is to leave A. False: it does not follow
 * yet. */
static bool end_step(struct work *w)
{
    uint8_t server = w->plan->from;
    const struct fsm_reign *reign = reign_of_acker(w, server);
    if (!work_is_done(w, server, VERB_FOLLOW)) return false;
    fsm_set others = reign != NULL && w->plan->acker != server ? reign->ackers & ~FSM_BIT(server) : 0;
    bool is_to_leave = others != 0 && fsm_set_count(others) >= reign->k;
    int64_t since_ms = work_outcome(w, server, VERB_FOLLOW)->age_ms;
    bool has_left = is_to_leave && proof_has_caught_up(w, w->plan->to, others, since_ms);
    if (is_to_leave && !has_left && !w->update->diagnosis.acts && work_step_ms(w) < FOLLOW_MS) {
        WORK_WHY(w, "%s follows; it leaves the ackers when the others have caught up", work_name(w, server));
        return true;
    }
    if (has_left) MARK(follow_leaves_ackers);
    work_advance(w, STEP_DONE)->revoked = has_left ? FSM_BIT(server) : 0;
    return true;
}

void follow_step(struct work *w)
{
    uint8_t server = w->plan->from;
    if (end_step(w)) return;
    if (give_up(w)) return;
    /* An attached acker may leave, or semi-sync be switched off, at this time as at any other (A6, A7). */
    if (is_master_open(w) && proof_withdraw(w)) return;
    if (!is_master_open(w)) {
        MARK(follow_waits_for_master);
        WORK_WHY(w, "%s must be read, open, before %s is told to follow it", work_name(w, w->cluster->master),
                 work_name(w, server));
        return;
    }
    struct verb *v = work_ask(w, server, VERB_FOLLOW);
    work_source(w, v, w->plan->to);
    if (v != NULL) v->is_acker = w->plan->acker == server;
    WORK_WHY(w, "making %s receive from %s again", work_name(w, server), work_name(w, w->plan->to));
}
