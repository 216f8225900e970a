/* When a leader is better replaced in the middle of a plan. */
#include "plan/hand_over.h"
#include "tests/unit/handmade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* "shop" with a failover from db1 to db2, acknowledged by db3, at PROMOTE. */
static struct handmade *failover(void)
{
    struct handmade *h = handmade_new();
    struct fsm_plan *p = handmade_plan(h, PLAN_STATE_RUNNING, STEP_PROMOTE);
    p->from = 0;
    p->to = 1;
    p->acker = 2;
    p->holder = FSM_SERVER_NONE;
    h->state.clusters[0].plan = p->token;
    return h;
}

static void lose(struct handmade *h, uint8_t manager, uint8_t server, int64_t ms)
{
    struct view_observation *o = &h->view.managers[manager].servers[server];
    o->outcome = VIEW_TIMED_OUT;
    o->age_ms = 10;
    o->ok_age_ms = o->failing_ms = ms;
}

static uint8_t target(struct handmade *h)
{
    return plan_hand_over(&h->state, 0, &h->view);
}

static void only_a_lost_server_of_the_plan_counts(void **state)
{
    struct handmade *h = failover();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 0, 60000); /* The old master is expected to be away. */
    lose(h, self, 3, 60000); /* Not of the plan. */
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 1, h->state.clusters[0].timeout_ms - 1);
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 1, h->state.clusters[0].timeout_ms);
    assert_int_equal(target(h), other);
    h->state.plans[0].state = PLAN_STATE_FAILED;
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

static void the_other_must_reach_all_of_them(void **state)
{
    struct handmade *h = failover();
    uint8_t self = h->view.self;
    (void)state;
    lose(h, self, 2, 5000);
    for (uint8_t m = 0; m < h->view.managers_n; m++) lose(h, m, 1, 5000);
    assert_int_equal(target(h), HAND_OVER_NONE);
    h = (free(h), failover());
    lose(h, self, 1, 5000);
    for (uint8_t m = 0; m < h->view.managers_n; m++) h->view.managers[m].heard = false;
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

static void ackers_to_be_revoked_are_needed(void **state)
{
    struct handmade *h = failover();
    (void)state;
    h->state.plans[0].step = STEP_REVOKE;
    h->state.clusters[0].reigns[0].ackers = FSM_BIT(3);
    lose(h, h->view.self, 3, 5000);
    assert_int_not_equal(target(h), HAND_OVER_NONE);
    h->state.plans[0].revoked = FSM_BIT(3);
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_lost_server_of_the_plan_counts),
        cmocka_unit_test(the_other_must_reach_all_of_them),
        cmocka_unit_test(ackers_to_be_revoked_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
