/* FAILOVER: from an acting verdict to an open new master. PURE. Its first step is in plan/revoke.c.
 *
 * Happy path: REVOKE, APPLY (the candidate executes what it received), [CATCH_UP from the holder of the rest], PROMOTE,
 * ESTABLISH (an acker attaches, the reign row is acknowledged), OPEN, REPOINT (the others follow), DONE.
 * Failure modes: the acker does not attach (another one is listed and tried; then none, unless the cluster is
 * lossless); the holder is lost (set aside when the candidate proves all by itself); the candidate is lost (the plan
 * fails, and the next one has to account for it; not so easily once it was asked to open); a replica does not follow
 * (set aside). */
#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/choose.h"
#include "plan/position.h"
#include "plan/proof.h"
#include "plan/sight.h"
#include "plan/work.h"

enum {
    ACKER_MS = 3000,        /* For an acker to attach, before the next one is tried. */
    ACKER_LOST_MS = 200,    /* The same when its process is known to be gone. */
    NO_ACKER_MS = 8000,     /* Before a reign begins without one, where that is allowed. */
    IDLE_MS = 15000,        /* Of a candidate that applies nothing, before another one is tried. */
    UNFOLLOWED_MS = 20000,  /* Of ackers that do not attach, one after the other, before another candidate is tried. */
    OWN_MS = 1000,          /* Who has led for so long before a step has driven all of it. */
    LOST_MS = 3000,         /* Of no answer from the candidate or the holder, or of one that is of no use. */
    OPEN_MS = 30000,        /* For the candidate to open: it may be open already, so patience beats a new plan. */
    REPOINT_MS = 5000,      /* For replicas to follow. */
};

/* --- begin --- */

static void say_no_candidate(struct work *w)
{
    struct text t = TEXT_ON(w->update->why);
    text_addf(&t, "%s must be replaced, but nobody can be promoted:", work_name(w, w->cluster->master));
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i == w->cluster->master) continue;
        text_addf(&t, " %s: %s;", work_name(w, i), choose_problem(w, i));
    }
}

void failover_propose(struct work *w, uint8_t to, uint8_t acker)
{
    struct diagnosis *d = &w->update->diagnosis;
    struct fsm_cmd_plan_begin *b = &work_propose(w, CMD_PLAN_BEGIN)->u.plan_begin;
    (void)TEXT_COPY(b->cluster, w->cluster->name);
    b->kind = PLAN_FAILOVER;
    b->epoch = w->cluster->epoch;
    b->from = w->cluster->master;
    b->to = to;
    b->acker = acker;
    (void)TEXT_COPY(b->verdict, d->acts ? diagnosis_name(d->row) : "open-successor");
    diagnose_tell(w->cluster, w->in->view, d);
    (void)TEXT_COPY(b->evidence, d->evidence);
    if (to == b->from) {
        WORK_WHY(w, "%s: %s goes on as master itself", diagnosis_text(d->row), work_name(w, to));
    } else if (d->acts) {
        WORK_WHY(w, "%s: %s replaces %s", diagnosis_text(d->row), work_name(w, to), work_name(w, b->from));
    } else {
        WORK_WHY(w, "an earlier failover opened %s and was not finished: it goes on", work_name(w, to));
    }
}

/* S6: a master that the verdict calls gone or silent, and that answers the leader by now, may work, with an acker that
 * nobody has asked yet or without any: only what its ackers tell (F1) is a proof then. To close it would end it. */
static bool may_close_master(const struct work *w)
{
    enum diagnosis_row row = w->update->diagnosis.row;
    return row != DIAGNOSIS_GONE && row != DIAGNOSIS_SILENT;
}

/* Begins the replacement of the master by somebody else, or says why not. True when it proposed. */
static bool replace_master(struct work *w)
{
    uint8_t to = choose_candidate(w, w->cluster->backup, choose_reached(w));
    uint8_t open = choose_open(w);
    if (to == FSM_SERVER_NONE && open != FSM_SERVER_NONE) {
        MARK(failover_open_unreached);
        const char *problem = choose_problem(w, open);
        WORK_WHY(w, "%s may have been opened by an earlier failover and is not known to be gone, so nobody else is "
                    "promoted%s%s", work_name(w, open), problem != NULL ? ": " : "", problem != NULL ? problem : "");
        return false;
    }
    if (to == FSM_SERVER_NONE) {
        MARK(failover_no_candidate);
        say_no_candidate(w);
        return false;
    }
    char missing[FSM_TEXT_SIZE];
    struct text t = TEXT_ON(missing);
    if (!choose_is_provable(w, to, may_close_master(w), &t)) {
        MARK(failover_no_proof);
        WORK_WHY(w, "%s must be replaced, but no proof can be had: %s", work_name(w, w->cluster->master), missing);
        return false;
    }
    uint8_t acker = choose_acker(w, to, 0);
    if (acker == FSM_SERVER_NONE && w->cluster->durability == DURABILITY_LOSSLESS) {
        MARK(failover_no_acker);
        WORK_WHY(w, "%s could be promoted, but nobody could acknowledge for it, and the cluster is lossless: bring "
                    "back a replica", work_name(w, to));
        return false;
    }
    failover_propose(w, to, acker);
    return true;
}

void failover_begin(struct work *w)
{
    int64_t ended_ms = work_decided_ms(w);
    bool is_by_facts = w->update->diagnosis.row == DIAGNOSIS_RESTARTED || !w->update->diagnosis.acts;
    bool is_early = ended_ms <= sight_fresh_ms(w->cluster) || sight_has_older(w->cluster, w->in->view, ended_ms);
    if (is_by_facts && ended_ms >= 0 && is_early) {
        MARK(failover_looks_again);
        WORK_WHY(w, "by a probe that may be older than the last plan's end: looking again");
        return;
    }
    if (reopen_is_due(w) && reopen_begin(w)) return;
    if (!replace_master(w)) (void)reopen_begin(w);
}

/* --- steps --- */

/* True when the leader has had no answer from 'server' for a while. */
static bool is_lost(const struct work *w, uint8_t server, int64_t after_ms)
{
    const struct view_observation *o = sight_self(w->in->view, server);
    return sight_fails(w->cluster, o) && o->failing_ms >= after_ms && work_step_ms(w) >= after_ms;
}

static const char *error_of(const struct work *w, uint8_t server, enum verb_kind kind)
{
    const struct verb_outcome *o = work_outcome(w, server, kind);
    return o != NULL && o->error[0] != '\0' ? o->error : "no answer yet";
}

/* The candidate is lost, or says again and again that it cannot. Running and cancelled verbs only take their time. */
static bool fail_if_stuck(struct work *w, enum verb_kind kind)
{
    uint8_t to = w->plan->to;
    const struct verb_outcome *o = work_outcome(w, to, kind);
    bool is_refused = o != NULL && o->state == VERB_STATE_FAILED && (o->past || work_step_ms(w) >= WORK_GIVE_UP_MS);
    if (!is_refused && !is_lost(w, to, LOST_MS)) return false;
    struct text reason = work_fail(w);
    if (is_refused) {
        MARK(candidate_refuses);
        text_addf(&reason, "%s on %s fails: %s", verb_name(kind), work_name(w, to), o->error);
        return true;
    }
    MARK(candidate_lost);
    text_addf(&reason, "the candidate %s is lost at step %s: bring it back", work_name(w, to),
              fsm_step_name(w->plan->step));
    return true;
}

static void wait_for(struct work *w, uint8_t server, enum verb_kind kind)
{
    WORK_WHY(w, "%s: %s on %s (%s)", fsm_step_name(w->plan->step), verb_name(kind), work_name(w, server),
             error_of(w, server, kind));
}

static bool can_replace_candidate(const struct work *w, uint8_t server)
{
    if (server == w->plan->to || server == w->plan->from || choose_problem(w, server) != NULL) return false;
    const struct fsm_finding *found = w->plan->found;
    return position_contains(w->cluster->flavour, found[server].received, found[w->plan->to].received);
}

/* It has executed nothing since REVOKE read it: its applier hangs, or is at one long transaction. Somebody else who has
 * received as much may be faster, and the next plan tries him first (choose_candidate). */
static bool fail_idle(struct work *w)
{
    const struct view_observation *seen = sight_self(w->in->view, w->plan->to);
    const struct fsm_finding *found = &w->plan->found[w->plan->to];
    if (w->plan->by_operator || work_step_ms(w) < IDLE_MS || !sight_ok(w->cluster, seen)) return false;
    if (!position_contains(w->cluster->flavour, found->executed, seen->facts.executed)) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!can_replace_candidate(w, i)) continue;
        struct text reason = work_fail(w);
        text_addf(&reason, "%s has applied nothing for %d s, and %s has received as much, so that one is tried: check "
                           "what holds the applier", work_name(w, w->plan->to), IDLE_MS / 1000, work_name(w, i));
        return true;
    }
    return false;
}

static void apply_step(struct work *w)
{
    uint8_t to = w->plan->to;
    work_target(work_ask(w, to, VERB_APPLY), w->plan->found[to].received);
    if (work_is_done(w, to, VERB_APPLY)) {
        (void)work_advance(w, w->plan->holder != FSM_SERVER_NONE ? STEP_CATCH_UP : STEP_PROMOTE);
    } else if (!fail_if_stuck(w, VERB_APPLY) && !fail_idle(w)) {
        wait_for(w, to, VERB_APPLY);
    }
}

/* The candidate's receiver still tries to reach the holder: PROMOTE would refuse, for who receives is not revoked. */
static bool has_hung_up(struct work *w)
{
    uint8_t to = w->plan->to;
    (void)work_ask(w, to, VERB_REVOKE);
    const struct verb_outcome *o = work_outcome(w, to, VERB_REVOKE);
    /* It never connected, so its received position is gone; what it had received is executed (APPLY). */
    if (o != NULL && (o->state == VERB_STATE_DONE || o->forgotten)) return true;
    wait_for(w, to, VERB_REVOKE);
    return false;
}

static void leave_holder(struct work *w)
{
    uint8_t holder = w->plan->holder;
    if (!fsm_holder_is_dispensable(w->plan) || holder == w->cluster->master) {
        MARK(holder_needed);
        struct text reason = work_fail(w);
        text_addf(&reason, "%s cannot fetch what only %s has: bring it back (%s)", work_name(w, w->plan->to),
                  work_name(w, holder), error_of(w, w->plan->to, VERB_CATCH_UP));
        return;
    }
    if (!has_hung_up(w)) return;
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_PROMOTE);
    MARK(holder_left_behind);
    step->set_aside = FSM_BIT(holder);
    struct text reason = TEXT_ON(step->reason);
    text_addf(&reason, "has transactions that %s could not fetch from it; none was acknowledged: rebuild it",
              work_name(w, w->plan->to));
}

static bool is_past(const struct work *w, uint8_t server, enum verb_kind kind)
{
    const struct verb_outcome *o = work_outcome(w, server, kind);
    return o != NULL && o->state == VERB_STATE_FAILED && o->past;
}

/* Somebody wrote on the holder, and the candidate has fetched that in the place of what was acknowledged. Neither is
 * used by the next plan: what they have shows (choose_is_errant). */
static void fail_past(struct work *w)
{
    const struct verb_outcome *o = work_outcome(w, w->plan->to, VERB_CATCH_UP);
    const char *holder = work_name(w, w->plan->holder), *to = work_name(w, w->plan->to);
    struct text reason = work_fail(w);
    text_addf(&reason, "%s fetched %s from %s, where somebody has written, not what was acknowledged (%s): bring back "
                       "the old master %s, rebuild %s", to, o->executed, holder, w->plan->target,
              work_name(w, w->plan->from), to);
}

/* For long it could not be reached, by the leader or by the candidate. */
static bool is_holder_lost(const struct work *w)
{
    return is_lost(w, w->plan->holder, LOST_MS) || work_step_ms(w) >= WORK_GIVE_UP_MS;
}

static void catch_up_step(struct work *w)
{
    uint8_t to = w->plan->to;
    if (work_is_done(w, to, VERB_CATCH_UP)) {
        MARK(caught_up_from_holder);
        (void)work_advance(w, STEP_PROMOTE);
        return;
    }
    if (is_past(w, to, VERB_CATCH_UP)) {
        fail_past(w);
        return;
    }
    if (is_holder_lost(w) && !is_lost(w, to, LOST_MS)) {
        leave_holder(w);
        return;
    }
    struct verb *v = work_ask(w, to, VERB_CATCH_UP);
    work_source(w, v, w->plan->holder);
    work_target(v, w->plan->target);
    if (is_lost(w, to, LOST_MS)) (void)fail_if_stuck(w, VERB_CATCH_UP);
    else wait_for(w, to, VERB_CATCH_UP);
}

static bool needs_acker(const struct work *w)
{
    return w->cluster->durability == DURABILITY_LOSSLESS;
}

/* The acker to list with the reign: the plan's choice while it can, else the best one now. */
static uint8_t acker_now(const struct work *w)
{
    uint8_t acker = w->plan->acker;
    bool is_there = acker < w->cluster->servers_n && sight_reached(w->cluster, w->in->view, acker) &&
                    w->cluster->servers[acker].state == SERVER_MEMBER && !w->cluster->servers[acker].maintenance &&
                    !fsm_set_has(choose_unfenced(w), acker);
    if (is_there) return acker;
    MARK(promote_other_acker);
    return choose_acker(w, w->plan->to, choose_unfenced(w));
}

static void promote_step(struct work *w)
{
    uint8_t to = w->plan->to;
    work_target(work_ask(w, to, VERB_PROMOTE), w->plan->target);
    if (!work_is_done(w, to, VERB_PROMOTE)) {
        if (!fail_if_stuck(w, VERB_PROMOTE)) wait_for(w, to, VERB_PROMOTE);
        return;
    }
    uint8_t acker = acker_now(w);
    if (acker != FSM_SERVER_NONE || !needs_acker(w)) {
        work_advance(w, STEP_ESTABLISH)->acker = acker;
    } else if (work_step_ms(w) >= WORK_GIVE_UP_MS) {
        MARK(promote_given_up);
        struct text reason = work_fail(w);
        text_addf(&reason, "nobody can acknowledge for %s, and the cluster is lossless: bring back a replica",
                  work_name(w, to));
    } else {
        MARK(promote_waits_for_acker);
        WORK_WHY(w, "%s is ready, but nobody can acknowledge for it: bring back a replica", work_name(w, to));
    }
}

/* The acker to try after the plan's: the best of those that were not tried yet. A lossless cluster then begins anew, by
 * turns, for one of them may have come to its senses; else there is nobody. */
static uint8_t next_acker(const struct work *w)
{
    const struct fsm_reign *reign = &w->cluster->reigns[0];
    fsm_set tried = reign->epoch == w->plan->epoch ? reign->ackers : 0;
    fsm_set except = FSM_BIT(w->plan->acker) | choose_unfenced(w);
    uint8_t next = choose_acker(w, w->plan->to, except | tried), n = w->cluster->servers_n;
    for (uint8_t i = 1; needs_acker(w) && next == FSM_SERVER_NONE && i < n; i++) {
        uint8_t server = (uint8_t)((w->plan->acker + i) % n);
        if (!fsm_set_has(except, server)) next = choose_acker(w, w->plan->to, ~FSM_BIT(server));
    }
    return next;
}

/* The acker does not attach: list another one, or none where that is allowed. True when it proposed. */
static bool replace_acker(struct work *w)
{
    uint8_t acker = w->plan->acker;
    if (acker == FSM_SERVER_NONE) return false;
    bool is_late = work_step_ms(w) >= ACKER_MS || is_lost(w, acker, ACKER_LOST_MS);
    if (!is_late || !sight_reached(w->cluster, w->in->view, w->plan->to)) return false;

    uint8_t next = next_acker(w);
    if (next == FSM_SERVER_NONE && (needs_acker(w) || work_step_ms(w) < NO_ACKER_MS)) return false;
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_ESTABLISH);
    step->acker = next;
    if (next == FSM_SERVER_NONE) MARK(acker_replaced_by_none);
    else MARK(acker_replaced);
    if (next != FSM_SERVER_NONE) step->started_s[next] = sight_self(w->in->view, next)->facts.started_s;
    struct text t = TEXT_ON(step->evidence);
    text_addf(&t, "%s did not attach: %s\n", work_name(w, acker), error_of(w, acker, VERB_FOLLOW));
    WORK_WHY(w, "%s does not attach to %s; %s is tried", work_name(w, acker), work_name(w, w->plan->to),
             work_name(w, next));
    return true;
}

/* Ends the step: the row is acknowledged. The proof rests on the incarnations that wrote and acknowledged it. */
static void end_establish(struct work *w)
{
    uint8_t to = w->plan->to;
    const struct fsm_reign *reign = &w->cluster->reigns[0];
    const struct verb_outcome *row = work_outcome(w, to, VERB_REIGN_ROW);
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_OPEN);
    (void)TEXT_COPY(step->target, row->executed);
    step->started_s[to] = row->started_s;
    step->no_tx = row->no_tx;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (reign->epoch != w->plan->epoch || !fsm_set_has(reign->ackers, i)) continue;
        /* One that was replaced may still attach, in the incarnation in which it was asked to. */
        step->started_s[i] = work_is_done(w, i, VERB_FOLLOW) ? work_outcome(w, i, VERB_FOLLOW)->started_s
                                                             : sight_self(w->in->view, i)->facts.started_s;
    }
}

/* The acker has told its incarnation, or cannot be asked: then the one that was seen last counts. */
static bool is_acker_known(const struct work *w)
{
    uint8_t acker = w->plan->acker;
    return acker == FSM_SERVER_NONE || work_is_done(w, acker, VERB_FOLLOW) ||
           !sight_reached(w->cluster, w->in->view, acker);
}

/* Ackers that were replaced are stopped again: exactly the one that the reign rests on may be attached (A6). */
static void revoke_replaced(struct work *w)
{
    const struct fsm_reign *reign = &w->cluster->reigns[0];
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (reign->epoch != w->plan->epoch || !fsm_set_has(reign->ackers, i) || i == w->plan->acker) continue;
        MARK(acker_revoked_again);
        if (i != w->plan->from && sight_reached(w->cluster, w->in->view, i)) (void)work_ask(w, i, VERB_REVOKE);
    }
}

static void ask_open(struct work *w)
{
    struct verb *v = work_ask(w, w->plan->to, VERB_OPEN);
    if (v != NULL) v->k = w->plan->acker != FSM_SERVER_NONE ? 1 : 0;
}

/* Asks the acker to follow. One that did, and was restarted since, receives no more: it is asked anew, after a REVOKE,
 * for what is done is not asked again. */
static void ask_acker(struct work *w)
{
    uint8_t acker = w->plan->acker;
    if (acker == FSM_SERVER_NONE) return;
    const struct verb_outcome *o = work_outcome(w, acker, VERB_FOLLOW), *r = work_outcome(w, acker, VERB_REVOKE);
    const struct view_observation *seen = sight_self(w->in->view, acker);
    bool is_done = o != NULL && o->state == VERB_STATE_DONE;
    bool is_over = is_done && sight_ok(w->cluster, seen) && sight_is_after(seen, o->age_ms) &&
                   seen->facts.started_s != o->started_s;
    if (is_over) {
        MARK(acker_follows_anew);
        (void)work_ask(w, acker, VERB_REVOKE);
    }
    if (is_over || (r != NULL && r->state == VERB_STATE_RUNNING)) return;
    struct verb *follow = work_ask(w, acker, VERB_FOLLOW);
    work_source(w, follow, w->plan->to);
    if (follow != NULL) follow->is_acker = true;
}

/* The candidate was restarted after PROMOTE: what that had set is gone, and is not set again by this plan. The next
 * one promotes it, or another one, anew. */
static bool fail_restarted(struct work *w)
{
    uint8_t to = w->plan->to;
    const struct view_observation *seen = sight_self(w->in->view, to);
    bool is_seen = sight_ok(w->cluster, seen) && sight_is_after(seen, work_step_ms(w)) &&
                   text_equal(seen->facts.identity, w->cluster->servers[to].identity);
    bool is_set = seen->facts.source_enabled || !seen->facts.read_only;
    if (w->plan->acker == FSM_SERVER_NONE || !is_seen || is_set || work_step_ms(w) < LOST_MS) return false;
    MARK(candidate_restarted);
    struct text reason = work_fail(w);
    text_addf(&reason, "the candidate %s was restarted at step %s, so it is to be promoted anew", work_name(w, to),
              fsm_step_name(w->plan->step));
    return true;
}

static bool has_other_candidate(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i != w->plan->to && i != w->plan->from && choose_problem(w, i) == NULL) return true;
    }
    return false;
}

/* For how long ackers have been tried: by all leaders, as far as the wall clocks tell; who has led since before the
 * step was begun knows it for certain, though a clock jumps. */
static int64_t unfollowed_ms(const struct work *w)
{
    int64_t wall_ms = (w->in->wall.us - w->plan->step_at[STEP_PROMOTE].us) / 1000;
    bool is_own = w->in->led_ms > w->in->step_ms + OWN_MS;
    return is_own && w->in->step_ms < wall_ms ? w->in->step_ms : wall_ms;
}

/* A lossless cluster waits until somebody acknowledges; but nobody may ever reach this candidate, which the leader
 * reaches. The next plan tries another one (choose_candidate). */
static bool fail_unfollowed(struct work *w)
{
    int64_t since_ms = unfollowed_ms(w);
    if (!needs_acker(w) || w->plan->by_operator || since_ms < UNFOLLOWED_MS || !has_other_candidate(w)) return false;
    if (w->plan->from == w->plan->to || w->plan->step_at[STEP_PROMOTE].us == 0) return false;
    if (w->in->led_ms < 2 * ACKER_MS) return false; /* What another leader did not reach this one may (L3). */
    MARK(candidate_unfollowed);
    uint8_t acker = w->plan->acker;
    struct text reason = work_fail(w);
    text_addf(&reason, "nobody attaches to %s to acknowledge for it, so another one is tried: check the network to it "
                       "(%s: %s)", work_name(w, w->plan->to), work_name(w, acker), error_of(w, acker, VERB_FOLLOW));
    return true;
}

/* Says why its acker does not attach, too: who knows only that none is there cannot mend it. */
static void wait_for_acker(struct work *w, enum verb_kind kind)
{
    uint8_t to = w->plan->to, acker = w->plan->acker;
    wait_for(w, to, kind);
    const struct verb_outcome *o = work_outcome(w, acker, VERB_FOLLOW);
    if (o == NULL || o->error[0] == '\0') return;
    WORK_WHY(w, "%s: %s does not acknowledge for %s yet: %s", fsm_step_name(w->plan->step), work_name(w, acker),
             work_name(w, to), o->error);
}

static void establish_step(struct work *w)
{
    uint8_t to = w->plan->to, acker = w->plan->acker;
    /* The reign row is asked for once the acker was seen; its own acknowledgement is the proof that counts. A row that
     * was refused sends us back to look again who is attached. */
    const struct verb_outcome *row = work_outcome(w, to, VERB_REIGN_ROW);
    bool is_attached = work_is_done(w, to, VERB_ATTACHED) || (row != NULL && row->state != VERB_STATE_FAILED);
    if (row != NULL && row->state == VERB_STATE_FAILED) MARK(reign_row_refused);
    if (row != NULL && row->state == VERB_STATE_UNKNOWN) MARK(reign_row_unknown);
    if (work_is_done(w, to, VERB_REIGN_ROW) && is_acker_known(w)) {
        end_establish(w);
        if (MUTANT(act_uncommitted)) ask_open(w);
        return;
    }
    if (fail_restarted(w) || fail_unfollowed(w)) return;
    revoke_replaced(w);
    ask_acker(w);
    enum verb_kind kind = is_attached ? VERB_REIGN_ROW : VERB_ATTACHED;
    struct verb *v = work_ask(w, to, kind);
    if (v != NULL) {
        v->k = acker != FSM_SERVER_NONE ? 1 : 0;
        (void)TEXT_COPY(v->master_name, work_name(w, to));
    }
    if (replace_acker(w) || is_lost(w, to, LOST_MS)) {
        if (!w->update->propose) (void)fail_if_stuck(w, kind);
        return;
    }
    wait_for_acker(w, kind);
}

/* --- open --- */

/* A server that was asked to open may be open, whatever became of the answer. Only when it is gone, or for long neither
 * opens nor answers, is the plan given up: the next one has to close it, or to go on with it. */
static bool fail_opening(struct work *w)
{
    uint8_t to = w->plan->to;
    enum diagnosis_row row = choose_row(w, to, w->plan->epoch);
    bool is_gone = work_step_ms(w) >= LOST_MS && (row == DIAGNOSIS_GONE || row == DIAGNOSIS_SILENT);
    if (!is_gone && work_step_ms(w) < OPEN_MS) return false;
    struct text reason = work_fail(w);
    if (is_gone) {
        MARK(opening_gone);
        text_addf(&reason, "the candidate %s is gone at step open: bring it back", work_name(w, to));
    } else {
        MARK(opening_given_up);
        text_addf(&reason, "%s does not open: %s", work_name(w, to), error_of(w, to, VERB_OPEN));
    }
    return true;
}

/* Seen open under this plan's token: OPEN did its work, even if its answer, or its acker, was lost right after. Only a
 * probe that began in this step tells: a candidate that was open already has our token from the moment at which REVOKE
 * began to close it. */
static bool is_open(const struct work *w)
{
    const struct view_observation *o = sight_self(w->in->view, w->plan->to);
    if (work_is_done(w, w->plan->to, VERB_OPEN)) return true;
    bool is_ours = text_equal(o->facts.identity, w->cluster->servers[w->plan->to].identity);
    if (!sight_is_after(o, work_step_ms(w))) return false;
    bool is_seen = sight_ok(w->cluster, o) && is_ours && !o->facts.read_only && o->facts.token == w->plan->token;
    if (is_seen) MARK(open_by_probe);
    return is_seen;
}

/* Where the promotion rests on the old master being closed, it must be so at this very moment: it may have been
 * restarted meanwhile, and boot open. True while that is not known. */
static bool is_closing_again(struct work *w)
{
    uint8_t from = w->plan->from;
    if (from == w->plan->to) return false; /* It is the one to be opened. */
    if (w->plan->fence != FENCE_F2_CLOSED || work_is_done(w, from, VERB_CLOSE)) return false;
    const struct view_observation *o = sight_self(w->in->view, from);
    bool is_there = sight_ok(w->cluster, o) && text_equal(o->facts.identity, w->cluster->servers[from].identity);
    if (!is_there) return false;
    MARK(open_closes_again);
    (void)work_ask(w, from, VERB_CLOSE);
    WORK_WHY(w, "open: %s must be closed before %s opens (%s)", work_name(w, from), work_name(w, w->plan->to),
             error_of(w, from, VERB_CLOSE));
    return true;
}

/* The acker left before the opening: another one attaches first. Not once OPEN may still be under way. */
static bool replace_before_opening(struct work *w)
{
    const struct verb_outcome *o = work_outcome(w, w->plan->to, VERB_OPEN);
    const struct view_observation *seen = sight_self(w->in->view, w->plan->to);
    if (o == NULL || o->state != VERB_STATE_FAILED || !sight_ok(w->cluster, seen)) return false;
    bool is_alone = seen->facts.read_only && seen->facts.source_clients == 0;
    if (!sight_is_after(seen, o->age_ms) || !is_alone || !replace_acker(w)) return false;
    MARK(open_replaces_acker);
    return true;
}

static void open_step(struct work *w)
{
    uint8_t to = w->plan->to;
    if (is_open(w)) {
        (void)work_advance(w, STEP_REPOINT);
        return;
    }
    if (fail_restarted(w) || replace_before_opening(w) || fail_opening(w) || is_closing_again(w)) return;
    ask_open(w);
    wait_for(w, to, VERB_OPEN);
}

/* --- repoint --- */

static bool is_to_follow(const struct work *w, uint8_t server)
{
    const struct fsm_server *s = &w->cluster->servers[server];
    if (server == w->plan->to || server == w->plan->acker || server == w->plan->from) return false;
    return s->state == SERVER_MEMBER && !s->maintenance;
}

/* It has what the new master never had: it would stop, or diverge. */
static bool is_ahead(const struct work *w, uint8_t server)
{
    const struct fsm_finding *f = &w->plan->found[server];
    return f->set && !position_contains(w->cluster->flavour, w->plan->target, f->received);
}

/* Asks the others to follow. Returns those that do not yet; '*hopeless' those of them that never will. */
static fsm_set ask_to_follow(struct work *w, fsm_set *hopeless)
{
    fsm_set missing = 0;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!is_to_follow(w, i) || work_is_done(w, i, VERB_FOLLOW)) continue;
        missing |= FSM_BIT(i);
        if (is_ahead(w, i)) {
            MARK(repoint_hopeless);
            *hopeless |= FSM_BIT(i);
            continue;
        }
        work_source(w, work_ask(w, i, VERB_FOLLOW), w->plan->to);
    }
    return missing;
}

static void add_left_behind(const struct work *w, fsm_set missing, fsm_set hopeless, struct text *t)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(missing, i)) continue;
        if (fsm_set_has(hopeless, i)) {
            text_addf(t, "%s has transactions that %s has not: rebuild it; ", work_name(w, i),
                      work_name(w, w->plan->to));
        } else {
            text_addf(t, "%s did not follow %s in time (%s): repoint it by hand or rebuild it; ", work_name(w, i),
                      work_name(w, w->plan->to), error_of(w, i, VERB_FOLLOW));
        }
    }
}

/* Ackers that were replaced before they attached and now follow as plain replicas: they cannot acknowledge any more.
 * They leave A when the acker has received all that the master had committed after that (A2). */
static fsm_set confirmed_off(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    fsm_set off = 0;
    int64_t youngest_ms = INT64_MAX;
    if (reign == NULL || w->plan->acker == FSM_SERVER_NONE) return 0;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i == w->plan->acker || !fsm_set_has(reign->ackers, i) || !work_is_done(w, i, VERB_FOLLOW)) continue;
        const struct verb_outcome *o = work_outcome(w, i, VERB_FOLLOW);
        off |= FSM_BIT(i);
        if (o->age_ms < youngest_ms) youngest_ms = o->age_ms;
    }
    if (off == 0) return 0;
    MARK(repoint_shrinks);
    bool is_caught_up = proof_has_caught_up(w, reign->master, FSM_BIT(w->plan->acker), youngest_ms);
    return is_caught_up ? off : 0;
}

/* True while a replaced acker is still to leave A. */
static bool is_shrinking(const struct work *w, fsm_set off)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    return reign != NULL && w->plan->acker != FSM_SERVER_NONE && (reign->ackers & ~off) != FSM_BIT(w->plan->acker);
}

static void repoint_step(struct work *w)
{
    fsm_set hopeless = 0;
    (void)work_ask(w, w->plan->to, VERB_CLEAR);
    fsm_set missing = ask_to_follow(w, &hopeless);
    fsm_set off = confirmed_off(w);
    bool is_all = (missing & ~hopeless) == 0 && work_is_done(w, w->plan->to, VERB_CLEAR) && !is_shrinking(w, off);
    /* The new master is open: nothing is worth waiting for when it must be replaced itself. (Not by the verdict
     * "restarted": the last probes may be from before the opening.) */
    enum diagnosis_row row = w->update->diagnosis.row;
    bool is_time = work_step_ms(w) >= REPOINT_MS || row == DIAGNOSIS_GONE || row == DIAGNOSIS_SILENT;
    if (!is_all && !is_time) {
        WORK_WHY(w, "%s is open; the others are made to follow it", work_name(w, w->plan->to));
        return;
    }
    if (!is_all) MARK(repoint_leaves_behind);
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_DONE);
    step->set_aside = missing;
    step->revoked = off;
    struct text reason = TEXT_ON(step->reason);
    add_left_behind(w, missing, hopeless, &reason);
}

/* The step was begun by another leader. For mutants. */
static bool is_resumed(const struct work *w)
{
    int64_t committed_ms = (w->in->wall.us - w->plan->step_at[w->plan->step].us) / 1000;
    return committed_ms > w->in->step_ms + 100;
}

/* The step to carry on with: what is committed, whoever began it (L3). */
static enum fsm_step step_to_do(const struct work *w)
{
    enum fsm_step step = w->plan->step;
    return MUTANT(resume_wrong_step) && step == STEP_ESTABLISH && is_resumed(w) ? STEP_OPEN : step;
}

void failover_step(struct work *w)
{
    if (MUTANT(begin_anew) && w->plan->step > STEP_REVOKE && is_resumed(w)) {
        struct text reason = work_fail(w);
        text_add(&reason, "another leader began it");
        return;
    }
    switch (step_to_do(w)) {
    case STEP_REVOKE:
        if (!failover_reconsider(w)) revoke_step(w);
        return;
    case STEP_APPLY: apply_step(w); return;
    case STEP_CATCH_UP: catch_up_step(w); return;
    case STEP_PROMOTE: promote_step(w); return;
    case STEP_ESTABLISH: establish_step(w); return;
    case STEP_OPEN: open_step(w); return;
    case STEP_REPOINT: repoint_step(w); return;
    case STEP_PREPARE:
    case STEP_VERIFY:
    case STEP_SHUT:
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: break;
    }
    WORK_WHY(w, "a failover has no step %s", fsm_step_name(w->plan->step));
}
