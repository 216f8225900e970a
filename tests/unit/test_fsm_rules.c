/* Single rules of the state machine that no walk through a plan decides: each is asked directly, or set up for the one
 * moment at which it matters. */
#include "tests/unit/fsm_fixture.h"

/* --- F1: what proves that a reign acknowledges no more (A3, A4, A7) --- */

static struct fsm_reign two_ackers(void)
{
    struct fsm_reign reign = {.epoch = 5, .master = DB1, .k = 1, .ackers = FSM_BIT(DB2) | FSM_BIT(DB3),
                              .lossless = true, .opened = true};

    reign.started_s[DB2] = 1001;
    reign.started_s[DB3] = 1002;
    return reign;
}

static void f1_needs_enough_ackers_that_lost_nothing(void **arg)
{
    (void)arg;
    const fsm_set both = FSM_BIT(DB2) | FSM_BIT(DB3);
    struct fsm_cluster cluster = {.epoch = 5};
    struct fsm_reign reign = two_ackers();
    uint64_t started_s[FSM_SERVERS_MAX] = {0, 1001, 1002};

    assert_true(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    assert_false(fsm_reign_is_revoked(&cluster, &reign, FSM_BIT(DB2), started_s));
    assert_false(fsm_reign_is_revoked(&cluster, &reign, FSM_BIT(DB2) | FSM_BIT(DB4), started_s));
    started_s[DB3] = 2002; /* Restarted since. */
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign.unfenced = true; /* What it acknowledged was given up. */
    assert_true(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign = two_ackers();
    reign.started_s[DB3] = started_s[DB3] = 0; /* Not known is not the same. */
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
}

static void f1_proves_nothing_without_acknowledgements(void **arg)
{
    (void)arg;
    const fsm_set both = FSM_BIT(DB2) | FSM_BIT(DB3);
    struct fsm_cluster cluster = {.epoch = 5};
    uint64_t started_s[FSM_SERVERS_MAX] = {0, 1001, 1002};
    struct fsm_reign reign = two_ackers();

    reign.k = 0;
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign.k = 1;
    reign.ackers = 0; /* Fewer than it waits for: nobody can have been asked. */
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign = two_ackers();
    reign.lossless = false;
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign.opened = false; /* The current one, unproven: clients wrote to it, whatever the list says. */
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign.epoch = 6; /* A candidate that never opened: nothing was acknowledged, whoever restarted. */
    started_s[DB3] = 0;
    assert_true(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
    reign.opened = true;
    assert_false(fsm_reign_is_revoked(&cluster, &reign, both, started_s));
}

/* --- A4: may a plan go on without its holder? --- */

static void a_holder_is_left_only_when_the_candidate_proves_all(void **arg)
{
    (void)arg;
    struct fsm_plan plan = {.to = DB2, .past_n = 1};
    struct fsm_reign reign = two_ackers();

    reign.ackers = FSM_BIT(DB2);
    plan.past[0] = reign;
    assert_true(fsm_holder_is_dispensable(&plan));
    plan.past[0].ackers = FSM_BIT(DB3); /* Another one acknowledged. */
    assert_false(fsm_holder_is_dispensable(&plan));
    plan.past[0].ackers = FSM_BIT(DB2) | FSM_BIT(DB3); /* Either of them may have. */
    assert_false(fsm_holder_is_dispensable(&plan));
    plan.past[0] = reign;
    plan.past[0].lossless = false;
    assert_false(fsm_holder_is_dispensable(&plan));
    plan.past[0].master = DB2; /* Its own reign: it holds what it wrote. */
    assert_true(fsm_holder_is_dispensable(&plan));
    plan.past[0].master = DB1;
    plan.accept_loss = true; /* Nobody but an operator accepts it. */
    assert_false(fsm_holder_is_dispensable(&plan));
    plan.by_operator = true;
    assert_true(fsm_holder_is_dispensable(&plan));
}

/* --- plans --- */

static void a_holder_is_a_member(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "diverged");
    fixture_ok(x);
    fixture_failover(x, DB2, DB3);
    c = fixture_revoke(x, DB2, DB3);
    fixture_found(c, DB4, "0-1-200");
    c->holder = DB4;
    fixture_refused(x, FSM_INVALID, "db2 cannot be caught up from db4");
}

static void servers_in_maintenance_are_not_chosen(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_begin *c;

    fixture_enrolled(x);
    x->state->clusters[0].servers[DB2].maintenance = true; /* No command sets it yet. */
    c = fixture_begin(x, PLAN_FAILOVER);
    c->to = DB2;
    c->acker = DB3;
    fixture_refused(x, FSM_INVALID, "db2 cannot be promoted");
}

/* Only what was given up ends by the closing of its master: another reign of it may still be opened, and its ackers be
 * attached again (A8). */
static void a_close_ends_no_reign_but_the_one_given_up(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    fixture_begin(x, PLAN_CLOSE)->from = DB2;
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    assert_int_equal(fixture_shop(x)->reigns[1].master, DB2);
}

/* Incarnations alone prove nothing: there is no position that the acker had to have. */
static void enrolment_without_a_position_is_not_lossless(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x);
    fixture_ok(x);
    fixture_verify(x)->target[0] = '\0';
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
    assert_non_null(fixture_event(x, "reign.unproven"));
}

/* --- values outside their enums --- */

static void values_outside_of_their_range_are_refused(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true)->flavour = fsm_flavour_count;
    fixture_refused(x, FSM_INVALID, "no such flavour");
    fixture_spec(x, true)->durability = fsm_durability_none;
    fixture_refused(x, FSM_INVALID, "no such durability");
    fixture_spec(x, true)->servers[3].role = fsm_role_count;
    fixture_refused(x, FSM_INVALID, "no such role");
    fixture_enrolled(x);
    fixture_server_state(x, "db4", fsm_server_state_count, "x");
    fixture_refused(x, FSM_INVALID, "no such server state");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f1_needs_enough_ackers_that_lost_nothing),
        cmocka_unit_test(f1_proves_nothing_without_acknowledgements),
        cmocka_unit_test(a_holder_is_left_only_when_the_candidate_proves_all),
        FSM_TEST(a_holder_is_a_member),
        FSM_TEST(servers_in_maintenance_are_not_chosen),
        FSM_TEST(a_close_ends_no_reign_but_the_one_given_up),
        FSM_TEST(enrolment_without_a_position_is_not_lossless),
        FSM_TEST(values_outside_of_their_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
