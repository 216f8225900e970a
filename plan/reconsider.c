/* Is a failover that has touched nothing yet still wanted? (S6) PURE.
 *
 * Evidence is judged when a failover is proposed; it may be committed much later, by another leader, when the master
 * works again. So before the first verb of REVOKE the master is judged anew.
 *
 * Happy path: the verdict still acts, and so does the plan, at once. Failure modes: the master works again (the plan
 * ends itself); this leader cannot tell yet (it waits for what the probes will say, WAIT_MS at most; while nobody is
 * seen who could prove anything, until the plan is given up); a verb of this plan may have had an effect, of an earlier
 * leader too (the plan goes on: what it revoked only a new reign mends). */
#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/choose.h"
#include "plan/sight.h"
#include "plan/work.h"

enum {
    WAIT_MS = 5000, /* For evidence, of either kind. */
};

/* A verb of this plan has had an effect there: the first one is that it stores the plan's token. */
static bool is_touched(const struct work *w, uint8_t server)
{
    const struct verb_outcome *o = &w->in->outcomes[server];
    if (o->kind != VERB_none && o->token == w->plan->token && o->state == VERB_STATE_DONE) return true;
    for (uint8_t m = 0; m < w->in->view->managers_n; m++) {
        const struct view_facts *f = &w->in->view->managers[m].servers[server].facts;
        if (f->set && f->token == w->plan->token) return true;
    }
    return false;
}

/* Read after this leader began to drive the step, and after the verbs that it asked of the server ended. */
static bool is_young(const struct work *w, uint8_t server, const struct view_observation *o)
{
    const struct verb_outcome *asked = &w->in->outcomes[server];
    bool is_asked = asked->kind != VERB_none && asked->token == w->plan->token;
    if (!sight_ok(w->cluster, o) || !sight_is_after(o, work_step_ms(w))) return false;
    if (!text_equal(o->facts.identity, w->cluster->servers[server].identity)) return false;
    return !is_asked || (asked->state != VERB_STATE_RUNNING && sight_is_after(o, asked->age_ms));
}

/* The youngest sight of a server that tells what became of this plan's verbs there; NULL: there is none. */
static const struct view_observation *young_sight(const struct work *w, uint8_t server)
{
    const struct view_observation *o = sight_asked_last(w->cluster, w->in->view, server);
    return o != NULL && is_young(w, server, o) ? o : NULL;
}

static bool has_begun(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (is_touched(w, i)) return true;
    }
    return false;
}

/* Managers that read the master, open, now. */
static unsigned readers(const struct work *w)
{
    unsigned n = 0;
    for (uint8_t m = 0; m < w->in->view->managers_n; m++) {
        const struct view_observation *o = &w->in->view->managers[m].servers[w->cluster->master];
        n += sight_heard(w->in->view, m) && is_young(w, w->cluster->master, o) && !o->facts.read_only;
    }
    return n;
}

static bool is_receiving(const struct work *w, uint8_t acker)
{
    const struct view_observation *o = young_sight(w, acker);
    const struct view_channel *ch =
        o != NULL ? sight_channel_from(w->cluster, &o->facts, w->cluster->master) : NULL;
    return ch != NULL && ch->io == VIEW_IO_YES && o->facts.replica_enabled && o->facts.replica_on;
}

/* The master's ackers that receive from it. */
static fsm_set receiving_ackers(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    fsm_set receiving = 0;
    for (uint8_t i = 0; reign != NULL && i < w->cluster->servers_n; i++) {
        if (fsm_set_has(reign->ackers, i) && is_receiving(w, i)) receiving |= FSM_BIT(i);
    }
    return receiving;
}

/* What was done there last let it follow the master of this very reign. */
static bool was_followed(const struct work *w, uint64_t token)
{
    const struct fsm_plan *p = fsm_plan_find(w->in->state, token);
    return p != NULL && p->kind == PLAN_FOLLOW && p->state == PLAN_STATE_FINISHED && p->cluster == w->in->cluster &&
           p->epoch == w->cluster->epoch;
}

/* Those on which nothing was done since the reign began: an earlier failover may have revoked them, and failed. */
static fsm_set untouched_ackers(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    fsm_set untouched = 0;
    for (uint8_t i = 0; reign != NULL && i < w->cluster->servers_n; i++) {
        const struct view_observation *o = young_sight(w, i);
        if (!fsm_set_has(reign->ackers, i) || o == NULL) continue;
        if (o->facts.token <= reign->token || was_followed(w, o->facts.token)) untouched |= FSM_BIT(i);
    }
    return untouched;
}

static unsigned ackers_needed(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    return reign != NULL ? reign->k : 0;
}

/* Somebody has seen that a commit was acknowledged on the master since this leader began to look. */
static bool has_flow(const struct work *w)
{
    for (uint8_t m = 0; m < w->in->view->managers_n; m++) {
        const struct view_observation *o = &w->in->view->managers[m].servers[w->cluster->master];
        if (!sight_heard(w->in->view, m) || !is_young(w, w->cluster->master, o)) continue;
        if (o->facts.acked_ms >= 0 && o->facts.acked_ms <= work_step_ms(w)) return true;
    }
    return false;
}

/* The master says itself that commits come through: enough ackers are attached, and none waits, or others were
 * acknowledged (on a busy master some wait at nearly every moment); or it waits for nobody, since somebody switched
 * semi-sync off. */
static bool is_serving(const struct work *w)
{
    const struct view_observation *o = young_sight(w, w->cluster->master);
    if (o == NULL || o->facts.read_only) return false;
    if (!o->facts.source_on) return true;
    return o->facts.source_clients >= ackers_needed(w) && (o->facts.wait_sessions == 0 || has_flow(w));
}

/* Somebody is seen who could prove the end of the reign: the master, closed (F2), or enough of its ackers (F1). While
 * nobody is, REVOKE proves nothing: it would only stop others, of a master that may work. */
static bool is_provable(const struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    unsigned seen = 0, ackers = reign != NULL ? fsm_set_count(reign->ackers) : 0;
    for (uint8_t i = 0; reign != NULL && i < w->cluster->servers_n; i++) {
        seen += fsm_set_has(reign->ackers, i) && young_sight(w, i) != NULL;
    }
    bool is_f1 = ackers > 0 && reign->k <= ackers && seen >= ackers - reign->k + 1;
    return is_f1 || young_sight(w, w->cluster->master) != NULL;
}

/* Another server answers at its address: whatever became of the master, its clients do not reach it. */
static bool has_other_server(const struct work *w)
{
    const struct view_observation *o = sight_best(w->cluster, w->in->view, w->cluster->master);
    return o != NULL && sight_is_foreign(w->cluster, w->cluster->master, &o->facts);
}

/* The verdict, as if nobody had paused the cluster: that keeps plans from being begun, not from being carried on. */
static enum diagnosis_row verdict(const struct work *w)
{
    if (!w->cluster->paused) return w->update->diagnosis.row;
    struct fsm_cluster resumed = *w->cluster;
    struct diagnosis d;
    resumed.paused = false;
    diagnose_verdict(&resumed, w->in->view, &d);
    return d.row;
}

static bool is_wanted(const struct work *w)
{
    enum diagnosis_row row = verdict(w);
    if (row == DIAGNOSIS_RESTARTED || row == DIAGNOSIS_CLOSED || has_other_server(w)) return true;
    if (choose_open(w) != FSM_SERVER_NONE) return true;
    return (row == DIAGNOSIS_GONE || row == DIAGNOSIS_SILENT) && choose_reads_ackers(w);
}

static void end_unneeded(struct work *w)
{
    const char *master = work_name(w, w->cluster->master);
    struct text reason = work_fail(w);
    text_addf(&reason, "the master works again: %u of %u managers read %s", readers(w), w->in->view->managers_n,
              master);
    if (ackers_needed(w) > 0) {
        text_add(&reason, ", and it is followed by its acker ");
        work_names(&reason, w->cluster, receiving_ackers(w));
    }
    text_add(&reason, "; nothing was changed");
}

static void end_undecided(struct work *w)
{
    enum diagnosis_row row = verdict(w);
    struct text reason = work_fail(w);
    text_addf(&reason, "what was seen of %s as the failover began is not seen any more (%s), nor does it surely work; "
                       "nothing was changed; it begins anew when all is certain", work_name(w, w->cluster->master),
              diagnosis_name(row));
}

bool failover_reconsider(struct work *w)
{
    if (MUTANT(stale_begin)) return false;
    if (w->plan->by_operator || has_begun(w) || is_wanted(w)) return false;

    unsigned k = ackers_needed(w);
    if (readers(w) >= sight_majority(w->in->view) && fsm_set_count(receiving_ackers(w)) >= k) {
        end_unneeded(w);
    } else if (work_step_ms(w) < WAIT_MS) {
        WORK_WHY(w, "%s may work again (%s): looking at it before anything is revoked",
                 work_name(w, w->cluster->master), diagnosis_name(verdict(w)));
    } else if (fsm_set_count(untouched_ackers(w)) >= k || is_serving(w)) {
        end_undecided(w);
    } else if (!is_provable(w) && work_step_ms(w) < WORK_GIVE_UP_MS) {
        MARK(reconsider_sees_nobody);
        WORK_WHY(w, "%s may work, and neither it nor its ackers are seen: looking before anything is revoked",
                 work_name(w, w->cluster->master));
    } else {
        return false; /* An acker that may have been revoked is not seen: only going on is safe. */
    }
    return true;
}
