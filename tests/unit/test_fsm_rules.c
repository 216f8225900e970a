/* Single rules of the state machine that no walk through a plan decides: each is asked directly, or set up for the one
 * moment at which it matters. */
#include "fsm/step.h"
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

static void only_ackers_of_that_incarnation_are_intact(void **arg)
{
    (void)arg;
    struct fsm_reign reign = two_ackers();
    uint64_t started_s[FSM_SERVERS_MAX] = {0, 1001, 2002, 1003};

    reign.started_s[DB4] = 1003; /* It was an acker once. */
    assert_int_equal(fsm_reign_intact(&reign, started_s), FSM_BIT(DB2));
}

/* The end of REVOKE, as the leader tells it in 'c'. */
static bool is_proven(const struct fsm_reign *reign, const struct fsm_cmd_plan_step *c)
{
    struct fsm_cluster cluster = {.epoch = 5};
    struct fsm_plan plan = {.from = DB1};
    struct fsm_step_context s = {.cluster = &cluster, .plan = &plan, .c = c};

    return fsm_revoke_is_proven(&s, reign);
}

/* Closed, so it acknowledges no more. What it acknowledged is accounted for by itself, or by enough of its ackers;
 * where it was not lossless, by nobody. */
static void a_closed_master_is_accounted_for(void **arg)
{
    (void)arg;
    static struct fsm_cmd_plan_step c;
    struct fsm_reign reign = two_ackers();

    c = (struct fsm_cmd_plan_step){.to = DB4, .fence = FENCE_F2_CLOSED, .started_s = {0, 1001, 1002}};
    assert_false(is_proven(&reign, &c));
    c.found[DB1].set = true;
    assert_true(is_proven(&reign, &c));
    c.found[DB1].set = false;
    c.found[DB2].set = true;
    assert_false(is_proven(&reign, &c));
    c.found[DB3].set = true;
    assert_true(is_proven(&reign, &c));
    c.started_s[DB3] = 7;
    assert_false(is_proven(&reign, &c));
    reign.k = 3; /* More than there are: nothing was acknowledged by them. */
    assert_false(is_proven(&reign, &c));
    reign.lossless = false;
    assert_true(is_proven(&reign, &c));
    reign.master = DB4; /* The candidate's own. */
    assert_true(is_proven(&reign, &c));
    reign.master = DB3; /* Somebody else was closed. */
    assert_false(is_proven(&reign, &c));
}

/* An operator's word for one reign is no fence for the plan, whatever proves the end of the others. */
static void one_unproven_reign_makes_an_unproven_promotion(void **arg)
{
    (void)arg;
    static struct fsm_cmd_plan_step c;
    static struct fsm_plan plan;
    struct fsm_cluster cluster = {.epoch = 5, .servers_n = 4, .reigns_n = 2};
    struct fsm_step_context s = {.cluster = &cluster, .plan = &plan, .c = &c};

    plan = (struct fsm_plan){.from = DB1, .to = DB4, .accept_loss = true, .by_operator = true};
    c = (struct fsm_cmd_plan_step){.to = DB4, .fence = FENCE_F1_ACKS_REVOKED, .revoked = FSM_BIT(DB2) | FSM_BIT(DB3),
                                   .started_s = {0, 1001, 1002}};
    c.found[DB2].set = c.found[DB3].set = true;
    cluster.reigns[1] = two_ackers();
    cluster.reigns[0] = two_ackers();
    cluster.reigns[0].lossless = false;
    fsm_revoke_enact(&s);
    assert_int_equal(plan.fence, fsm_fence_none);
    assert_int_equal(plan.unproven, 1);
    assert_int_equal(plan.past_n, 2);
    assert_int_equal(cluster.reigns_n, 0);
    cluster.reigns_n = 2;
    cluster.reigns[0] = cluster.reigns[1] = two_ackers();
    plan.unproven = 0;
    fsm_revoke_enact(&s);
    assert_int_equal(plan.fence, FENCE_F1_ACKS_REVOKED);
    assert_int_equal(plan.unproven, 0);
}

/* --- A8: the list --- */

/* A second reign of the same master: whoever acknowledged for either counts, in the incarnation in which it did. */
static void a_reign_absorbs_the_one_before(void **arg)
{
    (void)arg;
    struct fsm_cluster cluster = {.epoch = 5, .servers_n = 4};
    struct fsm_reign older = two_ackers(), newer = two_ackers();

    older.ackers = FSM_BIT(DB3) | FSM_BIT(DB4);
    older.started_s[DB3] = 502;
    older.started_s[DB4] = 503;
    older.opened = true;
    newer.opened = false;
    newer.epoch = 6;
    fsm_reign_list(&cluster, &older);
    fsm_reign_list(&cluster, &newer);
    assert_int_equal(cluster.reigns_n, 1);
    assert_int_equal(cluster.reigns[0].epoch, 6);
    assert_int_equal(cluster.reigns[0].ackers, FSM_BIT(DB2) | FSM_BIT(DB3) | FSM_BIT(DB4));
    assert_true(cluster.reigns[0].started_s[DB2] == 1001 && cluster.reigns[0].started_s[DB3] == 1002);
    assert_true(cluster.reigns[0].started_s[DB4] == 503);
    assert_true(cluster.reigns[0].opened);
}

static void the_oldest_that_was_given_up_is_forgotten(void **arg)
{
    (void)arg;
    struct fsm_cluster cluster = {.epoch = 9, .servers_n = 4, .reigns_n = 4};
    static const uint64_t epochs[] = {1, 5, 3, 4};
    struct fsm_reign forgotten;

    for (uint8_t i = 0; i < 4; i++) {
        cluster.reigns[i] = (struct fsm_reign){.epoch = epochs[i], .master = i, .k = 1, .unfenced = i != 0};
    }
    assert_true(fsm_reigns_forget(&cluster, &forgotten));
    assert_int_equal(forgotten.epoch, 3);
    assert_int_equal(cluster.reigns_n, 3);
    assert_true(fsm_reigns_forget(&cluster, &forgotten));
    assert_int_equal(forgotten.epoch, 4);
    assert_true(fsm_reigns_forget(&cluster, &forgotten));
    assert_false(fsm_reigns_forget(&cluster, &forgotten)); /* Others are never forgotten. */
    assert_int_equal(cluster.reigns[0].epoch, 1);
}

/* What was given up is listed again without who cannot acknowledge for it any more, or not at all. */
static void what_was_given_up_is_kept_with_who_may_acknowledge(void **arg)
{
    (void)arg;
    static struct fsm_plan plan;
    struct fsm_cluster cluster = {.epoch = 9, .servers_n = 4};

    plan = (struct fsm_plan){.from = DB1, .to = DB2, .acker = DB4, .past_n = 2, .unproven = 1};
    plan.past[0] = two_ackers();
    plan.past[1] = two_ackers();
    fsm_reigns_keep_unfenced(&cluster, &plan);
    assert_int_equal(cluster.reigns_n, 1);
    assert_true(cluster.reigns[0].unfenced);
    assert_int_equal(cluster.reigns[0].ackers, FSM_BIT(DB3)); /* The new master replicates no more. */
    cluster.reigns_n = 0;
    plan.revoked = FSM_BIT(DB3);
    fsm_reigns_keep_unfenced(&cluster, &plan);
    assert_int_equal(cluster.reigns_n, 0);
    plan.revoked = 0;
    plan.acker = DB3; /* It follows the new master. */
    fsm_reigns_keep_unfenced(&cluster, &plan);
    assert_int_equal(cluster.reigns_n, 0);
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
        cmocka_unit_test(only_ackers_of_that_incarnation_are_intact),
        cmocka_unit_test(a_closed_master_is_accounted_for),
        cmocka_unit_test(one_unproven_reign_makes_an_unproven_promotion),
        cmocka_unit_test(a_reign_absorbs_the_one_before),
        cmocka_unit_test(the_oldest_that_was_given_up_is_forgotten),
        cmocka_unit_test(what_was_given_up_is_kept_with_who_may_acknowledge),
        cmocka_unit_test(a_holder_is_left_only_when_the_candidate_proves_all),
        FSM_TEST(a_holder_is_a_member),
        FSM_TEST(servers_in_maintenance_are_not_chosen),
        FSM_TEST(a_close_ends_no_reign_but_the_one_given_up),
        FSM_TEST(enrolment_without_a_position_is_not_lossless),
        FSM_TEST(values_outside_of_their_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
