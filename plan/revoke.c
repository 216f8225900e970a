/* REVOKE, the first step of a failover: end every listed reign, read what was received, choose (A3, A4, A8). PURE.
 *
 * Happy path: REVOKE is asked of all ackers of all listed reigns (needed) and of every other follower (wished for), in
 * parallel. When every reign is fenced, the others have a short while; then the union of what was received is the
 * target, the candidate is confirmed, and APPLY begins. A master that still answers is asked to CLOSE; when an operator
 * replaces a living one, first, with its ackers attached, so that commits that wait are acknowledged.
 * Somebody may have written on a replica, with the number of a transaction that was acknowledged meanwhile: what was
 * received of that is left behind with who has it, and nothing is fetched from who wrote it.
 * Failure modes: an acker cannot be reached (the plan fails after a while and names it, unless the master itself was
 * closed and holds all it acknowledged); the candidate cannot be reached (another one is taken); received positions
 * contradict (what no acker has is set aside). */
#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/choose.h"
#include "plan/position.h"
#include "plan/sight.h"
#include "plan/work.h"

enum {
    WISHED_MS = 300,   /* For followers that prove nothing, after the needed ones are done. */
    DRAIN_MS = 500,    /* For the candidate to receive the end of a closed master. */
    NO_PROOF_MS = 3000 /* Before an operator's --accept-loss is made use of. */
};

struct revoke {
    fsm_set ackers;  /* Of all listed reigns. */
    fsm_set asked;   /* Servers that were asked something. */
    fsm_set done;    /* Followers that are revoked and have said what they received. */
    fsm_set errant;  /* Those of them, no ackers, that have received what is not their master's. */
    fsm_set given_up; /* Those of them that are quarantined, and ackers only of reigns whose loss was accepted. */
    fsm_set stuck;   /* Those of them whose applier has stopped, so that what they received is executed nowhere. */
    fsm_set quiet;   /* The old master, when it was seen to receive nothing after it was closed. */
    fsm_set told;    /* Others, that have forgotten what they received, and have said what they executed. */
    fsm_set stopped; /* Others that are revoked, and have forgotten it: who had nothing to acknowledge needs no more. */
    uint64_t started_s[FSM_SERVERS_MAX]; /* Incarnations of those. */
    bool is_closed;  /* The old master is. */
    int64_t last_ms; /* Age of the youngest outcome that is needed. */
    struct fsm_finding found[FSM_SERVERS_MAX];
    char target[FSM_GTID_SIZE];
    fsm_set set_aside;
};

static uint8_t old_master(const struct work *w)
{
    return w->plan->from;
}

/* --- asking --- */

static bool is_ours(const struct work *w, uint8_t server)
{
    return text_equal(sight_self(w->in->view, server)->facts.identity, w->cluster->servers[server].identity);
}

static bool can_be_closed(const struct work *w)
{
    return sight_reached(w->cluster, w->in->view, old_master(w)) && is_ours(w, old_master(w));
}

/* A candidate of an earlier plan that is open: it is closed before it begins a reign anew, or is replaced. CLOSE ends
 * the sessions of probes, too: not to be read for a moment is no reason to leave it open. And who was revoked while
 * nobody could read it is closed when it is seen to be open after that. */
static bool is_to_close(const struct work *w, uint8_t server)
{
    const struct view_observation *seen = sight_self(w->in->view, server);
    const struct verb_outcome *revoked = work_outcome(w, server, VERB_REVOKE);
    if (!choose_was_promoted(w, server) || work_is_done(w, server, VERB_CLOSE)) return false;
    if (!sight_reached(w->cluster, w->in->view, server) || !is_ours(w, server)) {
        return work_outcome(w, server, VERB_CLOSE) != NULL;
    }
    bool is_older = revoked != NULL &&
                    (revoked->state == VERB_STATE_RUNNING || !sight_is_after(seen, revoked->age_ms));
    if (seen->facts.read_only || is_older) return false;
    MARK(revoke_closes_promoted);
    return true;
}

static void ask_followers(struct work *w, struct revoke *r)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct fsm_server *s = &w->cluster->servers[i];
        bool is_wished = s->state == SERVER_MEMBER && !s->maintenance && sight_reached(w->cluster, w->in->view, i);
        if (i == old_master(w) || s->identity[0] == '\0') continue;
        if (!fsm_set_has(r->ackers, i) && !is_wished) continue;
        r->asked |= FSM_BIT(i);
        (void)work_ask(w, i, is_to_close(w, i) ? VERB_CLOSE : VERB_REVOKE);
    }
}

/* True while an operator's replacement of a living master still has to close it, or lets its end flow out. */
static bool is_closing_first(struct work *w)
{
    uint8_t from = old_master(w);
    if (!w->plan->by_operator) return false;
    if (!work_is_done(w, from, VERB_CLOSE)) {
        WORK_WHY(w, "ending the clients of %s and making it read-only before anything else", work_name(w, from));
        return can_be_closed(w);
    }
    MARK(revoke_drains);
    const struct verb_outcome *o = work_outcome(w, from, VERB_CLOSE);
    WORK_WHY(w, "%s is closed; %s receives the rest", work_name(w, from), work_name(w, w->plan->to));
    return o->age_ms < DRAIN_MS &&
           !position_contains(w->cluster->flavour, choose_received(w, w->plan->to), o->executed);
}

/* --- what was found --- */

static void find(const struct work *w, struct revoke *r, uint8_t server, const struct verb_outcome *o)
{
    struct fsm_finding *f = &r->found[server];
    (void)TEXT_COPY(f->received, MUTANT(choose_executed) ? o->executed : o->received);
    (void)TEXT_COPY(f->executed, o->executed);
    /* Executed is received, whatever the relay log still says of it. */
    f->set = position_add(w->cluster->flavour, f->received, o->executed);
}

/* One that was promoted before has its own transactions in its binlog only, while its old channel is there: to be read
 * after it was revoked. */
static bool find_own(const struct work *w, struct revoke *r, uint8_t server, const struct verb_outcome *o)
{
    const struct view_observation *seen = sight_self(w->in->view, server);
    struct fsm_finding *f = &r->found[server];
    if (!choose_was_promoted(w, server)) return true;
    if (!sight_reached(w->cluster, w->in->view, server) || !is_ours(w, server)) return false;
    MARK(revoke_reads_promoted);
    if (!sight_is_after(seen, o->age_ms)) return false;
    return position_add(w->cluster->flavour, f->received, seen->facts.binlog) &&
           position_add(w->cluster->flavour, f->executed, seen->facts.binlog);
}

/* What it received is not known, so it proves nothing; what it executed can be fetched from it. */
static void find_forgotten(const struct work *w, struct revoke *r, uint8_t server, const struct verb_outcome *o)
{
    struct fsm_finding *f = &r->found[server];
    r->stopped |= FSM_BIT(server);
    r->started_s[server] = o->started_s;
    (void)TEXT_COPY(f->received, o->executed);
    (void)TEXT_COPY(f->executed, o->executed);
    if (find_own(w, r, server, o)) r->told |= FSM_BIT(server);
}

/* It stored the plan's token as it was closed, and then it was seen without a receiver, its flag off: if it was once an
 * acker of a reign that was given up, it is revoked (A3). */
static bool is_quiet(const struct work *w, uint8_t server, const struct verb_outcome *closed)
{
    const struct view_observation *o = sight_self(w->in->view, server);
    if (!sight_reached(w->cluster, w->in->view, server) || !is_ours(w, server)) return false;
    if (!sight_is_after(o, closed->age_ms) || o->facts.started_s != closed->started_s) return false;
    if (o->facts.replica_enabled) return false;
    for (uint8_t c = 0; c < o->facts.channels_n && c < VIEW_CHANNELS_MAX; c++) {
        if (o->facts.channels[c].io != VIEW_IO_NO) return false;
    }
    return o->facts.channels_n <= VIEW_CHANNELS_MAX;
}

/* What it alone has nobody counts on any more: an operator gave it up, and it waits to be rebuilt (S5). */
static bool is_given_up(const struct work *w, uint8_t server)
{
    if (w->cluster->servers[server].state == SERVER_MEMBER) return false;
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *reign = &w->cluster->reigns[i];
        if (!reign->unfenced && fsm_set_has(reign->ackers, server)) return false;
    }
    return true;
}

static void find_all(const struct work *w, struct revoke *r)
{
    r->last_ms = INT64_MAX;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct verb_outcome *o = work_outcome(w, i, VERB_REVOKE);
        if (i == old_master(w) || o == NULL) continue;
        if (o->state == VERB_STATE_FAILED && o->forgotten) find_forgotten(w, r, i, o);
        if (o->state != VERB_STATE_DONE) continue;
        find(w, r, i, o);
        if (r->found[i].set) r->found[i].set = find_own(w, r, i, o);
        if (!r->found[i].set) continue;
        r->done |= FSM_BIT(i);
        r->started_s[i] = o->started_s;
        if (o->stuck) r->stuck |= FSM_BIT(i);
        if (is_given_up(w, i)) r->given_up |= FSM_BIT(i);
        bool is_acker = fsm_set_has(r->ackers, i);
        if (!is_acker && choose_is_errant(w, r->found[i].received)) r->errant |= FSM_BIT(i);
        if (is_acker && o->age_ms < r->last_ms) r->last_ms = o->age_ms;
    }
    if (!work_is_done(w, old_master(w), VERB_CLOSE)) return;
    const struct verb_outcome *o = work_outcome(w, old_master(w), VERB_CLOSE);
    find(w, r, old_master(w), o);
    r->is_closed = r->found[old_master(w)].set;
    if (is_quiet(w, old_master(w), o)) {
        r->quiet = FSM_BIT(old_master(w));
        r->started_s[old_master(w)] = o->started_s;
    }
    if (r->is_closed && o->age_ms < r->last_ms) r->last_ms = o->age_ms;
}

/* The layer on which a promotion of 'to' would rest; none: not proven (yet). */
static enum fsm_fence fence_of(const struct work *w, const struct revoke *r, uint8_t to)
{
    enum fsm_fence fence = FENCE_F1_ACKS_REVOKED;
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *reign = &w->cluster->reigns[i];
        if (reign->master == to || reign->unfenced) continue;
        if (MUTANT(open_unfenced)) continue;
        /* A reign that was never open has acknowledged nothing: that its ackers are stopped is enough. */
        fsm_set stopped = reign->opened ? 0 : r->stopped;
        if (fsm_reign_is_revoked(w->cluster, reign, r->done | stopped, r->started_s)) continue;
        if (!r->is_closed || !choose_master_proves(w, reign)) return fsm_fence_none;
        MARK(revoke_fence_closed);
        fence = FENCE_F2_CLOSED;
    }
    if (to != old_master(w)) return fence;
    /* It holds all that it acknowledged (A4), and goes on when it is known to be closed. */
    const struct fsm_reign *own = fsm_reign_current(w->cluster);
    return r->is_closed && own != NULL && choose_master_proves(w, own) ? FENCE_F2_CLOSED : fsm_fence_none;
}

/* --- the choice (A4) --- */

static bool add_found(const struct work *w, struct revoke *r, fsm_set servers)
{
    r->target[0] = '\0';
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(servers, i)) continue;
        if (!position_add(w->cluster->flavour, r->target, r->found[i].received)) return false;
    }
    return true;
}

static bool has_target(const struct work *w, const struct revoke *r, uint8_t server)
{
    return position_contains(w->cluster->flavour, r->found[server].received, r->target);
}

/* What somebody wrote on this follower would be fetched in the place of what it received (A4). Where the reign was not
 * lossless nobody knows from when on only its master has written: then what the follower itself wrote last tells. */
static bool has_written(const struct work *w, uint8_t server)
{
    const struct view_facts *f = &sight_self(w->in->view, server)->facts;
    bool is_replica = server != old_master(w) && !choose_was_promoted(w, server);
    if (choose_is_errant(w, f->binlog)) return true;
    if (!is_replica) return false;
    return position_is_own(w->cluster->flavour, f->binlog, f->executed, w->cluster->servers[server].server_id);
}

static bool has_executed_target(const struct work *w, const struct revoke *r, uint8_t server)
{
    return position_contains(w->cluster->flavour, r->found[server].executed, r->target);
}

/* It may still acknowledge for a reign that was given up, so nothing is taken from it and it is not promoted (A8). */
static bool is_taken(const struct work *w, const struct revoke *r, uint8_t server)
{
    return fsm_set_has(choose_unfenced(w) & ~(r->done | r->stopped | r->quiet), server);
}

static bool can_hold(const struct work *w, const struct revoke *r, uint8_t server)
{
    if (w->cluster->servers[server].state != SERVER_MEMBER || !has_target(w, r, server)) return false;
    if (is_taken(w, r, server)) return false;
    return !has_written(w, server) && (!fsm_set_has(r->stuck, server) || has_executed_target(w, r, server));
}

/* No follower that proves what was acknowledged can give it: what they received stays in their relay logs. Others have
 * executed it: the closed master, who wrote it, or one that has forgotten what else it received. */
static uint8_t find_other_holder(const struct work *w, struct revoke *r, uint8_t to)
{
    uint8_t from = old_master(w);
    if (r->is_closed && can_hold(w, r, from)) {
        MARK(revoke_holder_closed);
        return from;
    }
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i == to || !fsm_set_has(r->told, i) || !can_hold(w, r, i)) continue;
        r->found[i].set = true;
        return i;
    }
    return FSM_SERVER_NONE;
}

/* The server from which the candidate can fetch the target: best one that has executed it all already. */
static uint8_t find_holder(const struct work *w, struct revoke *r, uint8_t to, fsm_set among)
{
    uint8_t holder = FSM_SERVER_NONE;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i == to || !fsm_set_has(among, i) || !can_hold(w, r, i)) continue;
        if (has_executed_target(w, r, i)) return i;
        if (holder == FSM_SERVER_NONE) holder = i;
    }
    return holder != FSM_SERVER_NONE ? holder : find_other_holder(w, r, to);
}

/* What 'sources' received is the target; the candidate has it, or '*holder'. */
static bool choose_among(const struct work *w, struct revoke *r, fsm_set sources, uint8_t to, uint8_t *holder)
{
    *holder = FSM_SERVER_NONE;
    if (!add_found(w, r, sources)) return false;
    if (has_target(w, r, to)) return true;
    /* A master that goes on fetches nothing: who has more of its reigns is to be promoted in its place. */
    if (to == old_master(w)) return false;
    *holder = find_holder(w, r, to, sources & ~r->set_aside);
    if (*holder != FSM_SERVER_NONE) MARK(revoke_holder);
    return *holder != FSM_SERVER_NONE;
}

/* Fills r->target and the holder ('*holder' FSM_SERVER_NONE: the candidate has it all). Returns false when what was
 * received contradicts so that nobody has the union. */
static bool choose_target(const struct work *w, struct revoke *r, enum fsm_fence fence, uint8_t to, uint8_t *holder)
{
    /* A closed master is asked for the end only where no acker proves it; else its tail was never acknowledged. */
    fsm_set followers = r->done & ~r->errant & ~r->given_up;
    fsm_set sources = followers | (fence == FENCE_F2_CLOSED ? FSM_BIT(old_master(w)) : 0);
    r->set_aside = r->errant;
    if (MUTANT(target_own)) sources = FSM_BIT(to);
    if (choose_among(w, r, sources, to, holder)) return true;

    MARK(revoke_contradiction);
    /* Nobody has the union: a follower that proves nothing has something of its own. It is left behind. */
    fsm_set kept = sources & (r->ackers | FSM_BIT(to) | FSM_BIT(old_master(w)));
    if (!add_found(w, r, kept)) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(sources & ~kept, i)) continue;
        if (position_contains(w->cluster->flavour, r->target, r->found[i].received)) continue;
        MARK(revoke_sets_aside);
        r->set_aside |= FSM_BIT(i);
    }
    if (choose_among(w, r, kept, to, holder)) return true;
    /* Nobody to fetch it from: the closed master has at least what it acknowledged. */
    return r->is_closed && choose_among(w, r, kept | FSM_BIT(old_master(w)), to, holder);
}

static void add_evidence(const struct work *w, const struct revoke *r, struct fsm_cmd_plan_step *step)
{
    struct text t = TEXT_ON(step->evidence);
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct fsm_finding *f = &r->found[i];
        if (f->set) text_addf(&t, "%s: received %s, executed %s\n", work_name(w, i), f->received, f->executed);
    }
    if (r->set_aside == 0) return;
    struct text reason = TEXT_ON(step->reason);
    text_add(&reason, "has transactions that no acker has: rebuild it from the new master");
}

static void fail_diverged(struct work *w, const struct revoke *r)
{
    MARK(revoke_diverged);
    struct text reason = work_fail(w);
    if (w->plan->to == w->plan->from) {
        text_addf(&reason, "%s cannot go on, for an acker has transactions that it lacks: bring back who can "
                           "acknowledge for that one, or who has been master since", work_name(w, w->plan->from));
        return;
    }
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(r->done & r->ackers, i) || !has_target(w, r, i) || can_hold(w, r, i)) continue;
        text_addf(&reason, "what was acknowledged cannot be fetched from %s: ", work_name(w, i));
        if (has_written(w, i)) text_addf(&reason, "somebody wrote %s there", sight_self(w->in->view, i)->facts.binlog);
        else text_addf(&reason, "its applier has stopped at %s", r->found[i].executed);
        text_addf(&reason, ". Bring back the old master %s, or mend the applier of %s", work_name(w, old_master(w)),
                  work_name(w, i));
        return;
    }
    text_addf(&reason, "what the followers received contradicts, so nobody can be promoted without loss: compare the "
                       "positions, quarantine the wrong one, or regent failover %s --accept-loss", w->cluster->name);
}

/* Ends the step: all that can be known is known. */
static void end_revoke(struct work *w, struct revoke *r, uint8_t to)
{
    enum fsm_fence fence = fence_of(w, r, to);
    uint8_t holder;
    if (!choose_target(w, r, fence, to, &holder)) {
        bool may_be_closed = !r->is_closed && can_be_closed(w) && work_step_ms(w) < WORK_GIVE_UP_MS;
        if (may_be_closed) WORK_WHY(w, "%s is to tell what it has, after it is closed", work_name(w, old_master(w)));
        else fail_diverged(w, r);
        return;
    }
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_APPLY);
    step->to = to;
    step->holder = holder;
    step->fence = fence;
    step->revoked = (r->done | r->stopped | r->quiet) & r->ackers;
    memcpy(step->started_s, r->started_s, sizeof(step->started_s));
    step->acker = choose_acker(w, to, r->set_aside | (choose_unfenced(w) & ~r->done));
    step->set_aside = r->set_aside;
    memcpy(step->found, r->found, sizeof(step->found));
    (void)TEXT_COPY(step->target, r->target);
    add_evidence(w, r, step);
}

/* --- the step --- */

static void add_missing(const struct work *w, const struct revoke *r, struct text *t)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(r->ackers & ~r->done, i) || i == old_master(w)) continue;
        const struct verb_outcome *o = work_outcome(w, i, VERB_REVOKE);
        text_addf(t, "%s (%s); ", work_name(w, i), o != NULL && o->error[0] != '\0' ? o->error : "no answer yet");
    }
}

static void give_up(struct work *w, const struct revoke *r, uint8_t to)
{
    struct text reason = work_fail(w);
    if ((r->ackers & ~r->done) == 0 && to != FSM_SERVER_NONE && fence_of(w, r, to) == fsm_fence_none) {
        MARK(revoke_unproven);
        text_addf(&reason, "every acker is revoked, but one was restarted since it acknowledged, or the reign was not "
                           "lossless: bring back the old master %s", work_name(w, old_master(w)));
        return;
    }
    if ((r->ackers & ~r->done) == 0) {
        MARK(revoke_nobody);
        text_addf(&reason, "every acker is revoked, but %s cannot be promoted: %s", work_name(w, w->plan->to),
                  to != FSM_SERVER_NONE ? "nobody can acknowledge for it: bring back a replica"
                                        : "bring it back, or name another one");
        return;
    }
    MARK(revoke_ackers_away);
    text_add(&reason, "bring back the ackers that prove what was acknowledged: ");
    add_missing(w, r, &reason);
    text_addf(&reason, "or the old master %s", work_name(w, old_master(w)));
}

static uint8_t candidate(const struct work *w, const struct revoke *r)
{
    uint8_t to = w->plan->to;
    if (to == old_master(w)) return r->is_closed ? to : FSM_SERVER_NONE;
    if (!w->plan->by_operator) return choose_candidate(w, to, r->done & ~r->errant & ~r->stuck);
    /* What an operator asked for is done or refused, not replaced. */
    return fsm_set_has(r->done & ~r->errant, to) && choose_problem(w, to) == NULL ? to : FSM_SERVER_NONE;
}

static bool is_ready(const struct work *w, const struct revoke *r, uint8_t to)
{
    bool is_lossless = w->cluster->durability == DURABILITY_LOSSLESS;
    if (to == FSM_SERVER_NONE || is_taken(w, r, to)) return false;
    if (is_lossless && choose_acker(w, to, choose_unfenced(w) & ~r->done) == FSM_SERVER_NONE) return false;
    if (fence_of(w, r, to) == fsm_fence_none) {
        if (!w->plan->accept_loss || !w->plan->by_operator || work_step_ms(w) < NO_PROOF_MS) return false;
        MARK(revoke_loss_accepted);
        return true;
    }
    fsm_set answered = r->done | (r->is_closed ? FSM_BIT(old_master(w)) : 0);
    if ((r->asked & ~answered) == 0) return true;
    return (r->last_ms == INT64_MAX ? work_step_ms(w) : r->last_ms) >= WISHED_MS;
}

void revoke_step(struct work *w)
{
    struct revoke r = {.ackers = choose_ackers(w->cluster)};
    if (can_be_closed(w)) {
        r.asked |= FSM_BIT(old_master(w));
        (void)work_ask(w, old_master(w), VERB_CLOSE);
    }
    if (is_closing_first(w)) {
        if (work_step_ms(w) < WORK_GIVE_UP_MS) return;
        MARK(revoke_cannot_close);
        const struct verb_outcome *o = work_outcome(w, old_master(w), VERB_CLOSE);
        struct text reason = work_fail(w);
        text_addf(&reason, "%s answers, but could not be closed: %s", work_name(w, old_master(w)),
                  o != NULL ? o->error : "no answer");
        return;
    }
    ask_followers(w, &r);
    find_all(w, &r);
    uint8_t to = candidate(w, &r);
    if (is_ready(w, &r, to)) {
        end_revoke(w, &r, to);
    } else if (work_step_ms(w) >= WORK_GIVE_UP_MS) {
        give_up(w, &r, to);
    } else {
        struct text why = TEXT_ON(w->update->why);
        text_add(&why, "ending the reign of ");
        text_addf(&why, "%s; missing: ", work_name(w, old_master(w)));
        add_missing(w, &r, &why);
    }
}
