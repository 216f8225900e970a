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
    bool is_urgent;
    return plan_hand_over(&h->state, 0, &h->view, &is_urgent);
}

static bool is_urgent(struct handmade *h)
{
    bool urgent;
    assert_int_not_equal(plan_hand_over(&h->state, 0, &h->view, &urgent), HAND_OVER_NONE);
    return urgent;
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
    assert_true(is_urgent(h));
    h = (free(h), failover());
    lose(h, self, 1, 60000);
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

/* Two clusters whose plans each need what only one of two managers reaches: who leads carries his own one on. */
static void a_plan_that_can_go_on_keeps_its_leader(void **state)
{
    struct handmade *h = failover();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    assert_false(plan_hand_over_hurts(&h->state, 0, &h->view, other));
    lose(h, other, 3, 5000); /* Not of the plan. */
    assert_false(plan_hand_over_hurts(&h->state, 0, &h->view, other));
    lose(h, other, 1, 5000);
    assert_true(plan_hand_over_hurts(&h->state, 0, &h->view, other));
    lose(h, self, 1, 5000);
    assert_false(plan_hand_over_hurts(&h->state, 0, &h->view, other));
    free(h);
}

/* A lossless cluster waits for an acker, and this leader reaches none of those who could be it. */
static void who_reaches_more_ackers_carries_on(void **state)
{
    struct handmade *h = failover();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    h->state.clusters[0].durability = DURABILITY_LOSSLESS;
    for (enum fsm_step step = STEP_PROMOTE; step <= STEP_ESTABLISH; step++) {
        h->state.plans[0].step = step;
        assert_int_equal(target(h), HAND_OVER_NONE);
        lose(h, self, 3, 5000);
        assert_int_equal(target(h), other);
        assert_false(is_urgent(h));
        lose(h, other, 1, 5000); /* It would wait for the candidate instead. */
        assert_int_not_equal(target(h), other);
        h = (free(h), failover());
        h->state.clusters[0].durability = DURABILITY_LOSSLESS;
    }
    lose(h, self, 3, 5000);
    h->state.plans[0].step = STEP_OPEN;
    assert_int_equal(target(h), HAND_OVER_NONE);
    h->state.plans[0].step = STEP_ESTABLISH;
    h->state.clusters[0].servers[3].state = SERVER_QUARANTINED; /* Nobody asks it. */
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 0, 5000); /* The old master does not acknowledge for the new one, */
    assert_int_equal(target(h), HAND_OVER_NONE);
    h->state.plans[0].to = 0; /* unless it goes on itself. */
    assert_int_equal(target(h), other);
    free(h);
}

/* --- before a plan --- */

/* No plan runs; the master is closed and was restarted, so that it is to be replaced. */
static struct handmade *closed(void)
{
    struct handmade *h = handmade_new();
    for (uint8_t m = 0; m < h->view.managers_n; m++) {
        struct view_facts *f = &h->view.managers[m].servers[0].facts;
        f->read_only = true;
        f->started_s++;
    }
    return h;
}

static void who_reaches_more_begins(void **state)
{
    struct handmade *h = closed();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 2, h->state.clusters[0].timeout_ms - 1);
    assert_int_equal(target(h), HAND_OVER_NONE);
    lose(h, self, 2, 5000);
    assert_int_equal(target(h), other);
    h->state.clusters[0].paused = true;
    assert_int_equal(target(h), HAND_OVER_NONE);
    h->state.clusters[0].paused = false;
    h->state.clusters[0].servers[2].state = SERVER_QUARANTINED; /* Nobody misses it. */
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

/* Else two of them would hand over to each other for ever. */
static void who_reaches_others_does_not(void **state)
{
    struct handmade *h = closed();
    uint8_t self = h->view.self;
    (void)state;
    lose(h, self, 2, 5000);
    for (uint8_t m = 0; m < h->view.managers_n; m++)
        if (m != self) lose(h, m, 1, 5000);
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

static void a_healthy_cluster_needs_nobody_else(void **state)
{
    struct handmade *h = handmade_new();
    uint8_t self = h->view.self;
    (void)state;
    lose(h, self, 2, 5000);
    assert_int_equal(target(h), HAND_OVER_NONE);
    /* Until one that only others reach is open beside the master, and is to be closed. */
    for (uint8_t m = 0; m < h->view.managers_n; m++) h->view.managers[m].servers[2].facts.read_only = false;
    assert_int_not_equal(target(h), HAND_OVER_NONE);
    free(h);
}

/* Whoever sees the master says what becomes of it: a leader that has lost it knows too little for a verdict. */
static void who_sees_the_master_judges_it(void **state)
{
    struct handmade *h = handmade_new();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    lose(h, self, 0, 5000);
    assert_int_equal(target(h), other);
    for (uint8_t m = 0; m < h->view.managers_n; m++)
        if (m != self) lose(h, m, 2, 5000); /* They would lose what this one reaches. */
    assert_int_equal(target(h), HAND_OVER_NONE);
    free(h);
}

static uint8_t who_would_begin(struct handmade *h)
{
    static struct view scratch;
    static struct plan_update update;
    struct plan_input in = {.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .may_act = true,
                            .led_ms = 60000, .wall = {HANDMADE_TIME}};
    return plan_hand_over_to_begin(&in, &scratch, &update);
}

/* This leader reaches a replica that nobody else does, and not the closed master; others could begin. */
static void who_could_begin_is_better(void **state)
{
    struct handmade *h = closed();
    uint8_t self = h->view.self, other = self == 0 ? 1 : 0;
    (void)state;
    for (uint8_t m = 0; m < h->view.managers_n; m++)
        if (m != self) lose(h, m, 3, 5000);
    assert_int_equal(who_would_begin(h), HAND_OVER_NONE); /* It begins itself. */
    for (uint8_t i = 0; i < 3; i++) lose(h, self, i, 5000);
    h->state.clusters[0].servers[3].maintenance = true;
    assert_int_equal(target(h), HAND_OVER_NONE);
    assert_int_equal(who_would_begin(h), other);
    assert_int_equal(h->view.self, self);
    h->view.managers[other].heard = false;
    assert_int_not_equal(who_would_begin(h), other);
    h->state.clusters[0].paused = true;
    assert_int_equal(who_would_begin(h), HAND_OVER_NONE);
    free(h);
    h = handmade_new(); /* Nothing is due. */
    lose(h, self, 1, 5000);
    assert_int_equal(who_would_begin(h), HAND_OVER_NONE);
    free(h);
}

/* An earlier failover may have opened db3, and was not finished. */
static void an_unfinished_failover_is_due(void **state)
{
    struct handmade *h = handmade_new();
    struct fsm_cluster *c = &h->state.clusters[0];
    (void)state;
    lose(h, h->view.self, 2, 5000);
    c->reigns[c->reigns_n++] = (struct fsm_reign){.epoch = c->epoch + 1, .master = 2, .opened = true};
    assert_int_not_equal(target(h), HAND_OVER_NONE);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_lost_server_of_the_plan_counts),
        cmocka_unit_test(the_other_must_reach_all_of_them),
        cmocka_unit_test(ackers_to_be_revoked_are_needed),
        cmocka_unit_test(a_plan_that_can_go_on_keeps_its_leader),
        cmocka_unit_test(who_reaches_more_ackers_carries_on),
        cmocka_unit_test(who_reaches_more_begins),
        cmocka_unit_test(who_reaches_others_does_not),
        cmocka_unit_test(a_healthy_cluster_needs_nobody_else),
        cmocka_unit_test(who_sees_the_master_judges_it),
        cmocka_unit_test(who_could_begin_is_better),
        cmocka_unit_test(an_unfinished_failover_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
