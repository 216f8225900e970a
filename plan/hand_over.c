/* Which manager a plan would be better off with as leader. See the header. PURE. */
#include "plan/hand_over.h"

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

uint8_t plan_hand_over(const struct fsm_state *state, uint8_t cluster, const struct view *view)
{
    const struct fsm_cluster *c = &state->clusters[cluster];
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);
    fsm_set servers;
    bool lost = false;

    if (plan == NULL || plan->state != PLAN_STATE_RUNNING) return HAND_OVER_NONE;
    servers = needed(c, plan);
    for (uint8_t i = 0; i < c->servers_n; i++) lost |= fsm_set_has(servers, i) && is_lost(c, sight_self(view, i));
    for (uint8_t m = 0; lost && m < view->managers_n; m++) {
        if (m != view->self && sight_heard(view, m) && reaches_all(c, &view->managers[m], servers)) return m;
    }
    return HAND_OVER_NONE;
}
