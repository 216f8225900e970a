/* FOLLOW: which server may be made to receive from the master, as acker or not, and who may leave A at its end. */
#include "tests/unit/fsm_fixture.h"

/* 'from' is to follow the master of "shop"; as its acker, or not. */
static struct fsm_cmd_plan_begin *begin(struct fixture *x, uint8_t from, bool is_acker)
{
    struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_FOLLOW);

    c->from = from;
    c->to = fixture_shop(x)->master;
    c->acker = is_acker ? from : FSM_SERVER_NONE;
    return c;
}

static void a_follow_has_one_step(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    begin(x, DB3, false);
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->step, STEP_REPOINT);
    assert_int_equal(fixture_plan(x)->epoch, 1);
    assert_int_equal(fixture_shop(x)->epoch_used, 1);
    assert_non_null(strstr(fixture_last_event(x)->text, "db3 is to receive from db1 again"));
    fixture_step(x, STEP_REPOINT);
    fixture_refused(x, FSM_INVALID, "cannot follow");
    fixture_step(x, STEP_DONE)->set_aside = FSM_BIT(DB4);
    fixture_refused(x, FSM_INVALID, "sets nobody aside");
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->plan, 0);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB2));
    assert_true(fixture_shop(x)->reigns[0].lossless);
}

static void only_members_follow_the_master(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    begin(x, DB3, false)->to = DB2;
    fixture_refused(x, FSM_INVALID, "not the master");
    begin(x, DB1, false);
    fixture_refused(x, FSM_INVALID, "not a replica");
    begin(x, FSM_SERVER_NONE, false);
    fixture_refused(x, FSM_INVALID, "not a replica");
    begin(x, DB3, false)->epoch = 2;
    fixture_refused(x, FSM_STALE, "look again");
    x->state->clusters[0].servers[DB3].maintenance = true;
    begin(x, DB3, false);
    fixture_refused(x, FSM_INVALID, "not a replica");
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "rebuild it");
    fixture_ok(x);
    begin(x, DB4, false);
    fixture_refused(x, FSM_INVALID, "not a replica");
    x->command.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
    x->command.u.cluster_pause.paused = true;
    fixture_ok(x);
    begin(x, DB2, true);
    fixture_refused(x, FSM_UNSAFE, "paused");
}

static void nobody_follows_before_the_enrolment(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    begin(x, DB3, false);
    fixture_refused(x, FSM_INVALID, "not enrolled");
}

static void only_members_of_a_acknowledge(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    begin(x, DB3, true);
    fixture_refused(x, FSM_UNSAFE, "db3 is not an acker of epoch 1");
    begin(x, DB3, false)->acker = DB2;
    fixture_refused(x, FSM_UNSAFE, "db2 is not an acker");
    x->state->clusters[0].reigns[0].ackers |= FSM_BIT(DB3); /* Who is in A acknowledges for nobody but itself. */
    begin(x, DB3, false)->acker = DB2;
    fixture_refused(x, FSM_UNSAFE, "db2 is not an acker");
    x->state->clusters[0].reigns[0].ackers = FSM_BIT(DB2);
    begin(x, DB2, true);
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->acker, DB2);
    fixture_server_state(x, "db2", SERVER_QUARANTINED, "rebuild it");
    fixture_refused(x, FSM_BUSY, "uses db2");
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2);
    fixture_refused(x, FSM_UNSAFE, "cannot leave");
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB2));
}

static void who_is_in_the_plan_is_not_quarantined(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    begin(x, DB3, false);
    fixture_ok(x);
    fixture_server_state(x, "db3", SERVER_QUARANTINED, "rebuild it");
    fixture_refused(x, FSM_BUSY, "uses db3");
}

static void an_acker_of_a_reign_given_up_stays_as_it_is(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster *c;

    fixture_enrolled(x);
    c = &x->state->clusters[0];
    c->reigns[1] = c->reigns[0];
    c->reigns[1].epoch = c->epoch_used = 2;
    c->reigns[0].unfenced = true;
    c->reigns[0].ackers = FSM_BIT(DB4);
    c->reigns[0].master = DB3;
    fixture_all_started(c->reigns[0].started_s);
    c->reigns_n = 2;
    c->epoch = 2;
    begin(x, DB4, false);
    fixture_refused(x, FSM_UNSAFE, "given up");
}

static void a_plain_replica_may_leave_a(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_reign *reign;

    fixture_enrolled(x);
    reign = &x->state->clusters[0].reigns[0];
    begin(x, DB2, false);
    fixture_ok(x);
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2); /* Nobody else is in A. */
    fixture_refused(x, FSM_UNSAFE, "cannot leave");
    reign->ackers |= FSM_BIT(DB3);
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB3);
    fixture_refused(x, FSM_UNSAFE, "cannot leave");
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2);
    reign->started_s[DB3] = 1003;
    fixture_ok(x);
    assert_int_equal(reign->ackers, FSM_BIT(DB3));
    assert_int_equal(reign->started_s[DB2], 0);
}

/* It was made to acknowledge: also when k others could, it stays. */
static void an_acker_of_the_plan_stays_in_a(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    begin(x, DB2, true);
    fixture_ok(x);
    x->state->clusters[0].reigns[0].ackers |= FSM_BIT(DB3);
    x->state->clusters[0].reigns[0].started_s[DB3] = 1003;
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2);
    fixture_refused(x, FSM_UNSAFE, "cannot leave");
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB2) | FSM_BIT(DB3));
}

static void invariants_know_a_follow(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_plan *p;

    fixture_enrolled(x);
    begin(x, DB2, true);
    fixture_ok(x);
    p = &x->state->plans[fixture_plan(x) - x->state->plans];
    p->acker = DB3;
    assert_non_null(strstr(fsm_invariant(x->state), "member of A (A6)"));
    p->acker = DB2;
    p->to = DB3;
    assert_non_null(strstr(fsm_invariant(x->state), "follows the master"));
    p->to = DB1;
    p->step = STEP_SHUT;
    assert_non_null(strstr(fsm_invariant(x->state), "one of its kind"));
    p->step = STEP_REPOINT;
    assert_null(fsm_invariant(x->state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FSM_TEST(a_follow_has_one_step),
        FSM_TEST(only_members_follow_the_master),
        FSM_TEST(nobody_follows_before_the_enrolment),
        FSM_TEST(only_members_of_a_acknowledge),
        FSM_TEST(who_is_in_the_plan_is_not_quarantined),
        FSM_TEST(an_acker_of_a_reign_given_up_stays_as_it_is),
        FSM_TEST(a_plain_replica_may_leave_a),
        FSM_TEST(an_acker_of_the_plan_stays_in_a),
        FSM_TEST(invariants_know_a_follow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
