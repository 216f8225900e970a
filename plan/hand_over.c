/* Which manager a plan would be better off with as leader. See the header. PURE. */
#include "plan/hand_over.h"

#include "lib/base/mark.h"
#include "plan/diagnose.h"
#include "plan/sight.h"

static fsm_set one(uint8_t server)
{
    return server < FSM_SERVERS_MAX ? FSM_BIT(server) : 0;
}

/* Servers on which the plan has still something to do. The replaced master is none: it is expected to be away
 * (unless it goes on itself). */
static fsm_set needed(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    fsm_set servers = one(plan->to) | one(plan->acker) | one(plan->holder);

    if (plan->kind == PLAN_CLOSE || plan->kind == PLAN_FOLLOW) return one(plan->from);
    for (uint8_t i = 0; plan->step == STEP_REVOKE && i < cluster->reigns_n; i++) {
        servers |= cluster->reigns[i].ackers & ~plan->revoked;
    }
    return plan->from == plan->to ? servers : servers & ~one(plan->from);
}

/* Tried, and without success for the cluster's timeout: not just a probe that is under way. */
static bool is_lost(const struct fsm_cluster *cluster, const struct view_observation *o)
{
    return o->age_ms >= 0 && !sight_ok(cluster, o) && (o->ok_age_ms < 0 || o->ok_age_ms >= cluster->timeout_ms);
}

static bool reaches_all(const struct fsm_cluster *cluster, const struct view_manager *manager, fsm_set servers)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (fsm_set_has(servers, i) && !sight_ok(cluster, &manager->servers[i])) return false;
    }
    return true;
}

static bool has_lost(const struct fsm_cluster *cluster, const struct view *view, fsm_set servers)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (fsm_set_has(servers, i) && is_lost(cluster, sight_self(view, i))) return true;
    }
    return false;
}

/* It reaches one of 'servers' that this manager has lost, and all that this one reaches. */
static bool reaches_more(const struct fsm_cluster *cluster, const struct view *view, uint8_t manager, fsm_set servers)
{
    bool is_more = false;
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        bool is_theirs = sight_ok(cluster, &view->managers[manager].servers[i]);
        if (!fsm_set_has(servers, i)) continue;
        if (sight_reached(cluster, view, i) && !is_theirs) return false;
        is_more |= is_theirs && is_lost(cluster, sight_self(view, i));
    }
    return is_more;
}

/* --- before a plan --- */

/* An earlier failover may have opened another one, and was not finished. */
static bool has_successor(const struct fsm_cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        const struct fsm_reign *r = &cluster->reigns[i];
        if (r->opened && !r->unfenced && r->epoch > cluster->epoch) return true;
    }
    return false;
}

static bool is_open_stranger(const struct fsm_cluster *cluster, const struct view *view, uint8_t server)
{
    const struct view_observation *o = sight_best(cluster, view, server);
    return server != cluster->master && o != NULL && !o->facts.read_only && !cluster->servers[server].maintenance;
}

/* Servers with which a plan would begin, if the leader saw them as others do: a failover, or the closing of one that
 * is open beside the master. The master is one of them. */
static fsm_set wished(const struct fsm_cluster *cluster, const struct view *view)
{
    fsm_set servers = 0;
    struct diagnosis d;
    diagnose_verdict(cluster, view, &d);
    /* What becomes of the master is for one to say that sees it. */
    bool is_blind = is_lost(cluster, sight_self(view, cluster->master));
    bool is_due = d.acts || is_blind || has_successor(cluster);
    for (uint8_t i = 0; i < cluster->reigns_n && is_due; i++) servers |= cluster->reigns[i].ackers;
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (is_due && cluster->servers[i].state == SERVER_MEMBER) servers |= one(i);
        if (is_open_stranger(cluster, view, i)) servers |= one(i);
    }
    return servers;
}

static uint8_t better_placed(const struct fsm_cluster *cluster, const struct view *view)
{
    if (cluster->paused || cluster->epoch == 0 || !has_lost(cluster, view, ~(fsm_set)0)) return HAND_OVER_NONE;
    fsm_set servers = wished(cluster, view);
    for (uint8_t m = 0; servers != 0 && m < view->managers_n; m++) {
        bool is_other = m != view->self && sight_heard(view, m);
        if (!is_other || !reaches_more(cluster, view, m, servers)) continue;
        MARK(hand_over_to_begin);
        return m;
    }
    return HAND_OVER_NONE;
}

/* As another manager sees it, were it the leader. */
static bool would_begin(const struct plan_input *in, uint8_t manager, struct view *scratch, struct plan_update *update)
{
    struct plan_input as = *in;
    *scratch = *in->view;
    scratch->managers[scratch->self].heard = true;
    scratch->self = manager;
    as.view = scratch;
    plan_step(&as, update);
    return update->propose && update->command.kind == CMD_PLAN_BEGIN &&
           update->command.u.plan_begin.kind == PLAN_FAILOVER;
}

uint8_t plan_hand_over_to_begin(const struct plan_input *in, struct view *scratch, struct plan_update *update)
{
    const struct fsm_cluster *c = &in->state->clusters[in->cluster];
    if (c->paused || c->epoch == 0 || c->plan != 0 || !has_lost(c, in->view, ~(fsm_set)0)) return HAND_OVER_NONE;
    plan_step(in, update);
    if (update->propose || (!update->diagnosis.acts && !has_successor(c))) return HAND_OVER_NONE;
    for (uint8_t m = 0; m < in->view->managers_n; m++) {
        if (m == in->view->self || !sight_heard(in->view, m) || !would_begin(in, m, scratch, update)) continue;
        MARK(hand_over_who_would_begin);
        return m;
    }
    return HAND_OVER_NONE;
}

bool plan_hand_over_hurts(const struct fsm_state *state, uint8_t cluster, const struct view *view, uint8_t to)
{
    const struct fsm_cluster *c = &state->clusters[cluster];
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);
    if (plan == NULL || plan->state != PLAN_STATE_RUNNING || to >= view->managers_n) return false;
    fsm_set servers = needed(c, plan);
    for (uint8_t i = 0; i < c->servers_n; i++) {
        bool is_theirs = sight_heard(view, to) && sight_ok(c, &view->managers[to].servers[i]);
        if (fsm_set_has(servers, i) && sight_reached(c, view, i) && !is_theirs) return true;
    }
    return false;
}

/* --- in the middle of a plan --- */

/* Those of whom one must acknowledge for the new master: to try others, too, a leader has to reach them. */
static fsm_set possible_ackers(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    fsm_set servers = one(plan->to);
    bool waits = plan->kind == PLAN_FAILOVER && (plan->step == STEP_PROMOTE || plan->step == STEP_ESTABLISH);
    if (!waits || cluster->durability != DURABILITY_LOSSLESS) return 0;
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (cluster->servers[i].state == SERVER_MEMBER) servers |= one(i);
    }
    return plan->from == plan->to ? servers : servers & ~one(plan->from);
}

uint8_t plan_hand_over(const struct fsm_state *state, uint8_t cluster, const struct view *view, bool *is_urgent)
{
    const struct fsm_cluster *c = &state->clusters[cluster];
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);

    *is_urgent = false;
    if (plan == NULL || plan->state != PLAN_STATE_RUNNING) return better_placed(c, view);
    fsm_set servers = needed(c, plan), ackers = possible_ackers(c, plan);
    bool is_stuck = has_lost(c, view, servers), is_short = has_lost(c, view, ackers);
    for (uint8_t m = 0; (is_stuck || is_short) && m < view->managers_n; m++) {
        if (m == view->self || !sight_heard(view, m)) continue;
        *is_urgent = is_stuck && reaches_all(c, &view->managers[m], servers);
        bool is_better = is_short && reaches_more(c, view, m, ackers);
        if (is_better && !*is_urgent) MARK(hand_over_for_acker);
        if (*is_urgent || is_better) return m;
    }
    return HAND_OVER_NONE;
}
