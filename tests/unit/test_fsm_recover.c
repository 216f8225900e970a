/* RECOVERED: what a group made anew from one survivor may still believe. */
#include "tests/unit/fsm_fixture.h"

static void first_members(struct fixture *x)
{
    struct fsm_cmd_member *c = &x->command.u.member;
    x->command.kind = CMD_MEMBER;
    c->act = MEMBER_ACT_FIRST;
    c->members_n = 3;
    for (uint8_t i = 0; i < 3; i++) {
        struct text name = TEXT_ON(c->members[i].name), address = TEXT_ON(c->members[i].address);
        c->members[i].id = i + 1u;
        text_addf(&name, "m%d", i + 1);
        text_addf(&address, "127.0.0.1:740%d", i + 1);
    }
    fixture_ok(x);
}

static enum fsm_code recovered(struct fixture *x, uint64_t survivor, uint64_t generation)
{
    x->command.kind = CMD_RECOVERED;
    x->command.u.recovered = (struct fsm_cmd_recovered){survivor, 0xabc, generation};
    return fixture_apply(x);
}

static void nothing_is_taken_for_proven(void **arg)
{
    struct fixture *x = *arg;
    first_members(x);
    fixture_enrolled(x);
    assert_true(fsm_reign_current(fixture_shop(x))->lossless);
    assert_int_equal(recovered(x, 2, 1), FSM_OK);
    assert_true(fixture_shop(x)->paused);
    assert_int_equal(fixture_shop(x)->epoch, 1);
    assert_false(fsm_reign_current(fixture_shop(x))->lossless);
    assert_string_equal(fsm_reign_current(fixture_shop(x))->since, "");
    assert_int_equal(x->state->members_n, 1);
    assert_string_equal(x->state->members[0].name, "m2");
    assert_int_equal(x->state->members_next, 4); /* Ids are never given again. */
    assert_non_null(fixture_event(x, "group.recovered"));
    assert_non_null(fixture_event(x, "cluster.paused"));
}

static void tokens_and_epochs_leave_the_old_group_behind(void **arg)
{
    struct fixture *x = *arg;
    first_members(x);
    fixture_enrolled(x);
    uint64_t old_index_max = FSM_TOKEN_STEP - 1;
    assert_int_equal(recovered(x, 1, 1), FSM_OK);
    x->command.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
    fixture_ok(x);
    fixture_failover(x, DB2, DB3);
    assert_true(fixture_plan(x)->token > old_index_max);
    assert_int_equal(fixture_plan(x)->token, FSM_TOKEN_STEP + x->index);
    assert_true(fixture_plan(x)->epoch > 1000);
}

static void a_running_plan_is_over(void **arg)
{
    struct fixture *x = *arg;
    first_members(x);
    fixture_enrolled(x);
    fixture_failover(x, DB3, DB4);
    (void)fixture_revoke(x, DB3, DB4);
    fixture_ok(x);
    uint64_t token = fixture_plan(x)->token;
    assert_int_equal(fixture_shop(x)->reigns_n, 0); /* In the plan's past. */
    assert_int_equal(recovered(x, 3, 1), FSM_OK);
    assert_null(fixture_plan(x));
    assert_int_equal(fsm_plan_find(x->state, token)->state, PLAN_STATE_FAILED);
    assert_int_equal(fixture_shop(x)->reigns_n, 1); /* It may still acknowledge (A8). */
}

static void once_a_generation(void **arg)
{
    struct fixture *x = *arg;
    first_members(x);
    assert_int_equal(recovered(x, 9, 1), FSM_NOT_FOUND);
    assert_int_equal(recovered(x, 1, 2), FSM_STALE);
    assert_int_equal(recovered(x, 1, 0), FSM_STALE);
    assert_int_equal(recovered(x, 1, 1), FSM_OK);
    assert_int_equal(recovered(x, 1, 1), FSM_STALE);
    assert_int_equal(recovered(x, 1, 2), FSM_OK);
    assert_int_equal(x->state->generation, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_taken_for_proven, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(tokens_and_epochs_leave_the_old_group_behind, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_running_plan_is_over, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(once_a_generation, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
