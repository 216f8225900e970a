/* A member that stands still is made to follow (plan/follow.c): as acker or not, and when it is not begun at all. What
 * happens in order is in tests/golden/plan_follow*.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_world.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct world *w;

static void begin(enum fsm_durability durability)
{
    w = world_begin(4, durability);
}

static int teardown(void **state)
{
    (void)state;
    return world_end_clean(w);
}

static void restart(uint8_t server)
{
    world_restart_and_forget(&w->servers[server]);
}

static const struct fsm_plan *newest(void)
{
    const struct fsm_plan *plan = NULL;
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        const struct fsm_plan *p = &w->state->plans[i];
        if (p->token != 0 && (plan == NULL || p->token > plan->token)) plan = p;
    }
    return plan;
}

static bool follows(uint8_t server)
{
    return w->servers[server].receiving && w->servers[server].source == (int)world_cluster(w)->master;
}

static void assert_left_alone(uint8_t server, const char *why)
{
    char buffer[FSM_TEXT_SIZE * 2];
    struct text t = TEXT_ON(buffer);
    world_run(w, 3000);
    assert_int_equal(newest()->kind, PLAN_ENROL);
    assert_false(follows(server));
    plan_tell_standing(w->state, 0, w->view, server, &t);
    if (strstr(buffer, why) == NULL) fail_msg("expected \"%s\" in \"%s\"", why, buffer);
}

/* Two in A, as after a failover whose first acker did not attach. */
static struct fsm_reign *grow(uint8_t server)
{
    struct fsm_reign *reign = &w->state->clusters[0].reigns[0];
    reign->ackers |= FSM_BIT(server);
    return reign;
}

static void test_plain_when_another_acknowledges(void **state)
{
    (void)state;
    begin(DURABILITY_LOSSLESS);
    struct fsm_reign *reign = grow(DB3);
    restart(DB3);
    world_run(w, 3000);
    assert_int_equal(newest()->kind, PLAN_FOLLOW);
    assert_int_equal(newest()->state, PLAN_STATE_FINISHED);
    assert_int_equal(newest()->acker, FSM_SERVER_NONE);
    assert_true(follows(DB3) && !w->servers[DB3].replica_flag);
    assert_int_equal(reign->ackers, FSM_BIT(DB2)); /* It has left A, so that the reign can be proven. */
    world_run(w, 3000);
    assert_true(reign->lossless);
}

static void test_acker_when_nobody_else_does(void **state)
{
    (void)state;
    begin(DURABILITY_LOSSLESS);
    struct fsm_reign *reign = grow(DB3);
    w->servers[DB2].receiving = false; /* Stopped by hand. */
    restart(DB3);
    world_run(w, 6000);
    assert_int_equal(newest()->from, DB3);
    assert_int_equal(newest()->acker, DB3);
    assert_true(follows(DB3) && w->servers[DB3].replica_flag && !follows(DB2));
    assert_int_equal(reign->ackers, FSM_BIT(DB2) | FSM_BIT(DB3));
}

static void test_nobody_leaves_a_before_the_others_have_all(void **state)
{
    (void)state;
    begin(DURABILITY_LOSSLESS);
    struct fsm_reign *reign = grow(DB3);
    restart(DB3);
    for (int i = 0; i < 100 && world_cluster(w)->plan == 0; i++) world_tick(w);
    assert_int_equal(newest()->acker, FSM_SERVER_NONE);
    w->servers[DB2].receiving = false; /* What the master writes now, db3 alone could have acknowledged. */
    world_write(&w->servers[DB1], 1);
    world_run(w, 20000);
    assert_true(follows(DB3));
    assert_int_equal(world_cluster(w)->plan, 0);
    assert_int_equal(reign->ackers, FSM_BIT(DB2) | FSM_BIT(DB3));
}

static void test_proof_is_withdrawn_first(void **state)
{
    (void)state;
    begin(DURABILITY_LOSSLESS);
    restart(DB2);
    w->servers[DB2].cut[1] = w->servers[DB2].cut[2] = true; /* One manager alone is not believed. */
    for (int i = 0; i < 300; i++) {
        world_tick(w);
        if (world_cluster(w)->plan != 0) assert_false(fsm_reign_current(world_cluster(w))->lossless);
    }
    assert_true(fsm_reign_current(world_cluster(w))->lossless);
    assert_false(follows(DB2));
    w->servers[DB2].cut[1] = w->servers[DB2].cut[2] = false;
    world_run(w, 6000);
    assert_true(follows(DB2) && w->servers[DB2].replica_flag);
    assert_true(fsm_reign_current(world_cluster(w))->lossless);
}

static void test_errant_is_left_alone(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    w->servers[DB3].executed++;
    w->servers[DB3].wrote_by = DB3 + 1;
    assert_left_alone(DB3, "rebuild it");
}

static void test_error_is_left_alone(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    w->servers[DB3].sql_errno = 1062;
    assert_left_alone(DB3, "mend that");
}

static void test_stopped_by_hand_is_left_alone(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    w->servers[DB3].receiving = w->servers[DB3].applier = false;
    assert_left_alone(DB3, "by hand");
}

static void test_stranger_is_left_alone(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    (void)TEXT_COPY(w->servers[DB3].identity, "another");
    assert_left_alone(DB3, "this manager does not read both");
}

static void test_maintenance_is_left_alone(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    w->state->clusters[0].servers[DB3].maintenance = true;
    assert_left_alone(DB3, "");
}

static void test_not_while_another_reign_was_opened(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    struct fsm_cluster *c = &w->state->clusters[0];
    c->reigns[1] = (struct fsm_reign){.epoch = 2, .master = DB4, .k = 1, .ackers = FSM_BIT(DB3), .opened = true};
    c->reigns_n = 2;
    c->epoch_used = 2;
    restart(DB3); /* db4 is read-only: its reign is over, and db3 may have acknowledged what only these two have. */
    assert_left_alone(DB3, "an earlier failover was not finished");
}

/* Committed late: the master may be lost by now, and what the verb throws away is with nobody else. */
static void test_master_is_read_before_the_verb(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    for (int i = 0; i < 100 && world_cluster(w)->plan == 0; i++) world_tick(w);
    assert_int_equal(newest()->kind, PLAN_FOLLOW);
    w->servers[DB1].cut[0] = true;
    w->servers[DB1].cut_at[0] = w->now;
    world_run(w, 1000);
    assert_int_not_equal(w->verbs[DB3].verb.token, newest()->token);
    w->servers[DB1].cut[0] = false;
    world_run(w, 1000);
    assert_true(follows(DB3));
}

static void test_token_of_a_plan_that_did_its_work(void **state)
{
    (void)state;
    begin(DURABILITY_PREFER_LOSSLESS);
    restart(DB3);
    world_run(w, 3000);
    assert_true(follows(DB3));
    uint64_t token = newest()->token;
    w->servers[DB3].receiving = false; /* By hand, after Regent's plan. */
    world_run(w, 9000);
    assert_int_equal(newest()->token, token);
    assert_false(follows(DB3));
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        T(test_plain_when_another_acknowledges), T(test_acker_when_nobody_else_does),
        T(test_nobody_leaves_a_before_the_others_have_all), T(test_proof_is_withdrawn_first),
        T(test_errant_is_left_alone), T(test_error_is_left_alone), T(test_stopped_by_hand_is_left_alone),
        T(test_stranger_is_left_alone), T(test_maintenance_is_left_alone),
        T(test_not_while_another_reign_was_opened), T(test_master_is_read_before_the_verb),
        T(test_token_of_a_plan_that_did_its_work),
    };
    return cmocka_run_group_tests_name("plan_follow", tests, NULL, NULL);
}
