/* Failover in the state machine: from the end of REVOKE to DONE, and plans that fail on the way. */
#include "tests/unit/fsm_fixture.h"

/* --- the end of REVOKE --- */

static void revoke_ends_all_reigns(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_plan *p;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    c = fixture_revoke(x, DB3, DB4);
    c->set_aside = FSM_BIT(DB2);
    (void)TEXT_COPY(c->evidence, "db2 0-1-100");
    fixture_ok(x);
    p = fixture_plan(x);
    assert_int_equal(p->step, STEP_APPLY);
    assert_int_equal(p->to, DB3);
    assert_int_equal(p->acker, DB4);
    assert_int_equal(p->holder, FSM_SERVER_NONE);
    assert_int_equal(p->fence, FENCE_F1_ACKS_REVOKED);
    assert_int_equal(p->revoked, FSM_BIT(DB2));
    assert_string_equal(p->target, "0-1-100");
    assert_true(p->found[DB2].set);
    assert_string_equal(p->found[DB2].received, "0-1-100");
    assert_string_equal(p->found[DB2].executed, "0-1-100");
    assert_int_equal(p->step_at[STEP_APPLY].us, (int64_t)x->index * 1000);
    assert_false(p->found[DB4].set);
    assert_int_equal(fixture_shop(x)->reigns_n, 0);
    assert_int_equal(p->past_n, 1);
    assert_int_equal(p->past[0].epoch, 1);
    assert_int_equal(fixture_shop(x)->servers[DB2].state, SERVER_QUARANTINED);
    assert_non_null(strstr(fixture_shop(x)->servers[DB2].reason, "set aside by plan"));
    assert_string_equal(fixture_last_event(x)->kind, "plan.step");
    assert_string_equal(fixture_last_event(x)->evidence, "db2 0-1-100");
    assert_non_null(strstr(fixture_last_event(x)->text, "revoked db2; candidate db3"));
}

static void a_reign_that_may_acknowledge_is_not_passed_over(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4)->revoked = 0;
    fixture_refused(x, FSM_UNSAFE, "revoke db2");
    fixture_revoke(x, DB3, DB4)->revoked = FSM_BIT(DB3); /* Not a member of A. */
    fixture_refused(x, FSM_UNSAFE, "revoke db2");
    fixture_revoke(x, DB3, DB4)->fence = fsm_fence_none;
    fixture_refused(x, FSM_UNSAFE, "no fence");
    fixture_revoke(x, DB3, DB4)->fence = (enum fsm_fence)7;
    fixture_refused(x, FSM_INVALID, "fence");
    fixture_revoke(x, DB3, DB4)->revoked |= FSM_BIT(9);
    fixture_refused(x, FSM_INVALID, "no such server");
    fixture_revoke(x, DB3, DB4)->found[DB2].set = false; /* Stopped, but what it received is not known (A4). */
    fixture_refused(x, FSM_UNSAFE, "revoke db2");
}

static void f1_proves_nothing_while_not_lossless(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled_as(x, DURABILITY_ASYNC);
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4);
    fixture_refused(x, FSM_UNSAFE, "not lossless");
    c = fixture_revoke(x, DB3, DB4);
    c->fence = FENCE_F2_CLOSED;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->fence, FENCE_F2_CLOSED);
    assert_non_null(strstr(fixture_last_event(x)->text, "may be lost"));
}

static void a_closed_master_needs_no_acks_revoked(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover(x, DB3, DB4);
    c = fixture_revoke(x, DB3, DB4);
    c->fence = FENCE_F2_CLOSED;
    c->revoked = 0;
    c->found[DB2].set = false; /* Nobody accounts for what was acknowledged. */
    fixture_refused(x, FSM_UNSAFE, "may still acknowledge");
    c = fixture_revoke(x, DB3, DB4);
    c->fence = FENCE_F2_CLOSED;
    c->revoked = 0;
    c->found[DB2].set = false;
    fixture_found(c, DB1, "0-1-100"); /* The closed master itself does. */
    fixture_ok(x);
}

static void only_an_operator_accepts_loss(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    for (int i = 0; i < 3; i++) {
        struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_FAILOVER);
        c->to = DB3;
        c->acker = DB4;
        c->accept_loss = i != 0;
        c->by_operator = i != 1;
        fixture_ok(x);
        fixture_revoke(x, DB3, DB4)->revoked = 0;
        if (i == 2) break;
        fixture_refused(x, FSM_UNSAFE, "db2");
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->fence, fsm_fence_none); /* It rests on no layer, whatever was said. */
    assert_non_null(strstr(fixture_last_event(x)->text, "NOT PROVEN"));
}

static void the_choice_is_checked(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "x");
    fixture_ok(x);
    fixture_failover(x, DB2, DB3);
    fixture_revoke(x, DB1, DB3); /* The old master. */
    fixture_refused(x, FSM_INVALID, "db1 cannot be promoted");
    fixture_revoke(x, DB4, DB3); /* Quarantined. */
    fixture_refused(x, FSM_INVALID, "db4 cannot be promoted");
    fixture_revoke(x, DB2, DB3)->to = FSM_SERVER_NONE;
    fixture_refused(x, FSM_INVALID, "nobody cannot be promoted");
    fixture_revoke(x, DB2, DB3)->set_aside = FSM_BIT(DB2);
    fixture_refused(x, FSM_INVALID, "db2");
    fixture_revoke(x, DB3, FSM_SERVER_NONE)->found[DB3].set = false;
    fixture_refused(x, FSM_INVALID, "db3 cannot be promoted: its position was not read");
    fixture_revoke(x, DB2, DB1);
    fixture_refused(x, FSM_INVALID, "db1 cannot acknowledge");
    fixture_revoke(x, DB2, DB2);
    fixture_refused(x, FSM_INVALID, "db2 cannot acknowledge");
    fixture_revoke(x, DB2, DB4);
    fixture_refused(x, FSM_INVALID, "db4 cannot acknowledge");
    fixture_revoke(x, DB2, DB3)->set_aside = FSM_BIT(DB3);
    fixture_refused(x, FSM_INVALID, "needs it: db3");
    fixture_revoke(x, DB2, DB3)->set_aside = FSM_BIT(DB1); /* The master, until the new one is open. */
    fixture_refused(x, FSM_INVALID, "needs it: db1");
    fixture_revoke(x, DB2, DB3)->set_aside = FSM_BIT(7);
    fixture_refused(x, FSM_INVALID, "no such server");
    fixture_revoke(x, DB2, DB3)->holder = DB3; /* Nothing was read from it. */
    fixture_refused(x, FSM_INVALID, "from db3");
    fixture_revoke(x, DB2, DB3)->holder = DB2;
    fixture_refused(x, FSM_INVALID, "from db2");
    x->state->clusters[0].servers[DB3].maintenance = true; /* No command sets it yet. */
    fixture_revoke(x, DB2, DB3);
    fixture_refused(x, FSM_INVALID, "db3 cannot acknowledge");
    fixture_revoke(x, DB3, FSM_SERVER_NONE);
    fixture_refused(x, FSM_INVALID, "db3 cannot be promoted");
    x->state->clusters[0].servers[DB3].maintenance = false;
    fixture_revoke(x, DB2, DB3);
    fixture_ok(x);
}

/* --- CATCH_UP --- */

static void until_catch_up(struct fixture *x, uint8_t to, uint8_t holder)
{
    struct fsm_cmd_plan_step *c;

    fixture_failover(x, to, FSM_SERVER_NONE);
    c = fixture_revoke(x, to, FSM_SERVER_NONE);
    (void)TEXT_COPY(c->target, "0-1-101");
    fixture_found(c, holder, "0-1-101");
    c->holder = holder;
    fixture_ok(x);
    fixture_step(x, STEP_CATCH_UP);
    fixture_ok(x);
}

static void a_holder_of_acknowledged_writes_stays(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    until_catch_up(x, DB3, DB2); /* Only db2, the acker, has all that was acknowledged. */
    fixture_step(x, STEP_PROMOTE)->set_aside = FSM_BIT(DB2);
    fixture_refused(x, FSM_INVALID, "needs it: db2");
}

static void only_accepted_loss_leaves_that_holder(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    for (int i = 0; i < 2; i++) {
        struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_FAILOVER);
        struct fsm_cmd_plan_step *step;

        c->to = DB3;
        c->acker = FSM_SERVER_NONE;
        c->by_operator = true;
        c->accept_loss = i == 1;
        fixture_ok(x);
        step = fixture_revoke(x, DB3, FSM_SERVER_NONE);
        step->holder = DB2;
        fixture_ok(x);
        fixture_step(x, STEP_CATCH_UP);
        fixture_ok(x);
        fixture_step(x, STEP_PROMOTE)->set_aside = FSM_BIT(DB2);
        if (i == 1) break;
        fixture_refused(x, FSM_INVALID, "needs it: db2");
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
    fixture_ok(x);
}

static void a_holder_set_aside_later_changes_no_target(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    until_catch_up(x, DB2, DB4);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB3;
    x->command.u.plan_step.set_aside = FSM_BIT(DB4);
    fixture_ok(x);
    assert_string_equal(fixture_plan(x)->target, "0-1-101");
}

static void a_holder_of_a_tail_can_be_left(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    until_catch_up(x, DB2, DB4); /* db2, the acker, is promoted: what only db4 has was never acknowledged. */
    fixture_step(x, STEP_PROMOTE)->set_aside = FSM_BIT(DB4);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->servers[DB4].state, SERVER_QUARANTINED);
    assert_int_equal(fixture_plan(x)->holder, FSM_SERVER_NONE);
    assert_string_equal(fixture_plan(x)->target, "0-1-100");
}

/* --- ESTABLISH --- */

static void establish_lists_the_reign_first(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *r;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    r = &fixture_shop(x)->reigns[0];
    assert_int_equal(r->epoch, 2);
    assert_int_equal(r->master, DB2);
    assert_int_equal(r->k, 1);
    assert_int_equal(r->ackers, FSM_BIT(DB3));
    assert_int_equal(r->token, fixture_plan(x)->token);
    assert_false(r->lossless);
    assert_int_equal(fixture_shop(x)->master, DB1); /* Until OPEN is done. */
    assert_int_equal(fixture_shop(x)->epoch, 1);
    fixture_step(x, STEP_OPEN);
    fixture_refused(x, FSM_INVALID, "position");
    fixture_establish(x);
    fixture_ok(x);
    assert_true(r->lossless);
    assert_string_equal(r->since, "0-2-101");
}

static void establish_takes_the_acker_of_its_own_command(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_step(x, STEP_ESTABLISH)->acker = DB2;
    fixture_refused(x, FSM_INVALID, "db2 cannot acknowledge");
    fixture_step(x, STEP_ESTABLISH)->acker = DB1;
    fixture_refused(x, FSM_INVALID, "db1 cannot acknowledge");
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->acker, DB4);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB4));
}

static void lossless_clusters_need_an_acker(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled_as(x, DURABILITY_LOSSLESS);
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_step(x, STEP_ESTABLISH);
    fixture_refused(x, FSM_UNSAFE, "no acker");
    fixture_step(x, STEP_ESTABLISH)->acker = DB3;
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH);
    fixture_refused(x, FSM_UNSAFE, "no acker");
}

static void others_may_begin_degraded_and_say_so(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_step(x, STEP_ESTABLISH);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].k, 0);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, 0);
    assert_non_null(fixture_event(x, "reign.degraded"));
    fixture_step(x, STEP_ESTABLISH)->acker = DB4; /* One came back; then it is gone again. */
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].k, 1);
    fixture_step(x, STEP_ESTABLISH);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].k, 0);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB4));
    fixture_establish(x);
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->backup, FSM_SERVER_NONE);
}

static void another_acker_is_added_to_the_first(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_step(x, STEP_ESTABLISH)->acker = DB3;
    fixture_refused(x, FSM_INVALID, "already");
    c = fixture_step(x, STEP_ESTABLISH);
    c->acker = DB4;
    c->set_aside = FSM_BIT(DB4);
    fixture_refused(x, FSM_INVALID, "needs it: db4");
    c = fixture_step(x, STEP_ESTABLISH);
    c->acker = DB4;
    c->set_aside = FSM_BIT(DB3);
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->step, STEP_ESTABLISH);
    assert_int_equal(fixture_plan(x)->acker, DB4);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB3) | FSM_BIT(DB4));
    assert_int_equal(fixture_shop(x)->reigns[0].k, 1);
    assert_int_equal(fixture_shop(x)->servers[DB3].state, SERVER_QUARANTINED);
    fixture_establish(x);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    /* The next failover has to revoke both. */
    fixture_failover(x, DB4, FSM_SERVER_NONE);
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked = FSM_BIT(DB4);
    fixture_refused(x, FSM_UNSAFE, "db3");
}

/* --- OPEN and REPOINT --- */

static void open_makes_the_master(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_cluster *c;
    uint64_t token;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_REPOINT);
    c = fixture_shop(x);
    assert_int_equal(c->master, DB2);
    assert_int_equal(c->backup, DB3);
    assert_int_equal(c->epoch, 2);
    assert_int_equal(c->servers[DB2].role, ROLE_MASTER);
    assert_int_equal(c->servers[DB3].role, ROLE_BACKUP);
    assert_int_equal(c->servers[DB1].role, ROLE_REPLICA);
    assert_int_equal(c->servers[DB1].state, SERVER_QUARANTINED);
    assert_non_null(strstr(c->servers[DB1].reason, "do not open it"));
    assert_non_null(strstr(c->servers[DB1].reason, "epoch 2"));
    assert_int_equal(fsm_reign_current(c)->master, DB2);
    token = c->plan;
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(c->plan, 0);
    assert_int_equal(c->reigns_n, 1);
    assert_int_equal(fsm_plan_find(x->state, token)->state, PLAN_STATE_FINISHED);
    assert_int_equal(fsm_plan_find(x->state, token)->ended.us, (int64_t)x->index * 1000);
    assert_string_equal(fixture_last_event(x)->kind, "plan.done");
}

static void repoint_repeats_only_with_progress(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_REPOINT);
    fixture_step(x, STEP_REPOINT);
    fixture_refused(x, FSM_INVALID, "cannot follow");
    fixture_step(x, STEP_REPOINT)->set_aside = FSM_BIT(DB3);
    fixture_refused(x, FSM_INVALID, "needs it: db3");
    fixture_step(x, STEP_REPOINT)->set_aside = FSM_BIT(DB2);
    fixture_refused(x, FSM_INVALID, "needs it: db2");
    c = fixture_step(x, STEP_REPOINT);
    c->set_aside = FSM_BIT(DB4);
    (void)TEXT_COPY(c->reason, "1236");
    fixture_ok(x);
    assert_string_equal(fixture_shop(x)->servers[DB4].reason, "1236");
    assert_int_equal(fixture_plan(x)->step, STEP_REPOINT);
}

/* --- end --- */

static void ends_are_checked(void **arg)
{
    struct fixture *x = *arg;
    uint64_t token;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    token = fixture_shop(x)->plan;
    fixture_end(x, PLAN_STATE_FAILED)->token = 999;
    fixture_refused(x, FSM_NOT_FOUND, "no plan 999");
    fixture_end(x, PLAN_STATE_FINISHED);
    fixture_refused(x, FSM_INVALID, "failed or aborted");
    fixture_end(x, PLAN_STATE_ABORTED);
    fixture_ok(x);
    assert_int_equal(fsm_plan_find(x->state, token)->state, PLAN_STATE_ABORTED);
    assert_string_equal(fsm_plan_find(x->state, token)->reason, "db3 does not attach");
    assert_int_equal(fsm_plan_find(x->state, token)->ended.us, (int64_t)x->index * 1000);
    assert_string_equal(fixture_last_event(x)->kind, "plan.aborted");
    fixture_end(x, PLAN_STATE_FAILED)->token = token;
    fixture_refused(x, FSM_STALE, "does not run");
}

static void no_abort_once_the_new_reign_is_listed(void **arg)
{
    struct fixture *x = *arg;
    static const enum fsm_step steps[] = {STEP_PROMOTE, STEP_ESTABLISH, STEP_OPEN, STEP_REPOINT};

    fixture_enrolled(x);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        fixture_failover_until(x, steps[i]);
        fixture_end(x, PLAN_STATE_ABORTED);
        if (steps[i] == STEP_PROMOTE) {
            fixture_ok(x);
            continue;
        }
        fixture_refused(x, FSM_UNSAFE, "must go on");
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
}

static void a_failed_plan_puts_reigns_back(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_reign was;

    fixture_enrolled(x);
    was = fixture_shop(x)->reigns[0];
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_memory_equal(&fixture_shop(x)->reigns[0], &was, sizeof(was));
    assert_int_equal(fixture_shop(x)->plan, 0);
    assert_string_equal(fixture_last_event(x)->kind, "plan.failed");
}

static void a_failed_new_reign_stays_listed(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 1);
    assert_int_equal(fixture_shop(x)->reigns[1].epoch, 2);
    assert_int_equal(fixture_shop(x)->epoch, 1);
    /* db2 may be open: to promote db3, both reigns have to be ended. */
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4);
    fixture_refused(x, FSM_UNSAFE, "epoch 2 of db2");
    fixture_revoke(x, DB3, DB4)->fence = FENCE_F2_CLOSED; /* db1 is closed; that says nothing of db2. */
    fixture_refused(x, FSM_UNSAFE, "epoch 2 of db2");
    fixture_revoke(x, DB3, DB4)->revoked |= FSM_BIT(DB3);
    fixture_ok(x);
}

static void a_superseded_candidate_can_be_chosen_again(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_failover(x, DB2, DB4);
    fixture_revoke(x, DB2, DB4); /* Its own reign needs no fence: it is the one to be opened. */
    fixture_ok(x);
}

static void a_reign_that_never_opened_can_be_revoked(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4);
    fixture_refused(x, FSM_UNSAFE, "epoch 2 of db2");
    fixture_revoke(x, DB3, DB4)->revoked |= FSM_BIT(DB3);
    fixture_ok(x);
}

static void failures_of_one_candidate_do_not_fill_the_list(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *r;

    fixture_enrolled(x);
    for (int i = 0; i < 2 * FSM_REIGNS_MAX; i++) {
        fixture_failover_until(x, STEP_PROMOTE);
        fixture_step(x, STEP_ESTABLISH)->acker = i == 0 ? DB4 : DB3;
        fixture_ok(x);
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    r = &fixture_shop(x)->reigns[1];
    assert_int_equal(r->master, DB2);
    assert_int_equal(r->epoch, 1 + 2 * FSM_REIGNS_MAX);
    assert_int_equal(r->ackers, FSM_BIT(DB3) | FSM_BIT(DB4)); /* Both may still acknowledge for db2. */
}

/* Fails a failover to db2 in OPEN, with 'acker'. */
static void fail_in_open(struct fixture *x, uint8_t acker)
{
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_step(x, STEP_ESTABLISH)->acker = acker;
    fixture_ok(x);
    fixture_establish(x);
    fixture_ok(x);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
}

static void two_reigns_of_one_server_count_as_the_weaker(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *r;

    fixture_enrolled(x);
    r = &fixture_shop(x)->reigns[1];
    fail_in_open(x, DB3);
    assert_int_equal(r->k, 1);
    fail_in_open(x, FSM_SERVER_NONE); /* It may be open without semi-sync now. */
    assert_int_equal(r->k, 0);
    assert_int_equal(r->ackers, FSM_BIT(DB3));
    assert_false(r->lossless);
    fixture_failover_until(x, STEP_ESTABLISH); /* Nothing proves that this changed. */
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(r->k, 0);
    fail_in_open(x, DB4); /* The reign row was acknowledged: semi-sync is on again. */
    assert_int_equal(r->k, 1);
    assert_true(r->lossless);
    assert_int_equal(r->ackers, FSM_BIT(DB3) | FSM_BIT(DB4));
}

/* Fails a failover to 'to' in ESTABLISH, or stops before it when that is refused. */
static enum fsm_code fail_in_establish(struct fixture *x, uint8_t to)
{
    struct fsm_cmd_plan_step *c;
    enum fsm_code code;

    fixture_failover(x, to, DB2);
    c = fixture_revoke(x, to, DB2);
    for (uint8_t i = 1; i < 6; i++) {
        c->revoked |= FSM_BIT(i);
        fixture_found(c, i, "0-1-100");
    }
    fixture_ok(x);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB2;
    code = fixture_apply(x);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    return code;
}

static void reigns_are_limited(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster_spec *spec;
    struct fsm_cmd_plan_step *c;

    spec = fixture_spec(x, true);
    fixture_server(spec, "db5", "127.0.0.1:3305", ROLE_REPLICA);
    fixture_server(spec, "db6", "127.0.0.1:3306", ROLE_REPLICA);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    c = fixture_prepare(x);
    (void)TEXT_COPY(c->identity[4], "identity-5");
    (void)TEXT_COPY(c->identity[5], "identity-6");
    fixture_ok(x);
    fixture_verify(x);
    fixture_ok(x);
    assert_int_equal(fail_in_establish(x, DB3), FSM_OK);
    assert_int_equal(fail_in_establish(x, DB4), FSM_OK);
    assert_int_equal(fail_in_establish(x, 4), FSM_OK);
    assert_int_equal(fixture_shop(x)->reigns_n, FSM_REIGNS_MAX);
    assert_int_equal(fail_in_establish(x, 5), FSM_FULL);
    assert_int_equal(fail_in_establish(x, 4), FSM_OK); /* One that is listed already fits. */
}

static void a_failure_while_repointing_only_ends(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_REPOINT);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->master, DB2);
    assert_int_equal(fixture_shop(x)->epoch, 2);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 2);
}

/* The plan to db2 failed at ESTABLISH; its acker db3 is stopped and has forgotten what it received. */
static void a_reign_that_never_opened_needs_no_position(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    fixture_failover(x, DB4, FSM_SERVER_NONE);
    fixture_revoke(x, DB4, FSM_SERVER_NONE); /* db3 was not stopped. */
    fixture_refused(x, FSM_UNSAFE, "db3");
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked |= FSM_BIT(DB3);
    fixture_ok(x);
}

/* --- a master that goes on --- */

/* Of a reopening of db1 with acker db2: the end of REVOKE, db1 closed. */
static struct fsm_cmd_plan_step *revoke_closed(struct fixture *x)
{
    struct fsm_cmd_plan_step *c = fixture_revoke(x, DB1, DB2);

    c->fence = FENCE_F2_CLOSED;
    return c;
}

static void until_reopened(struct fixture *x, enum fsm_step step)
{
    fixture_failover(x, DB1, DB2);
    revoke_closed(x);
    fixture_ok(x);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB2;
    fixture_ok(x);
    if (step == STEP_ESTABLISH) return;
    fixture_establish(x);
    fixture_ok(x);
}

static void a_restarted_master_goes_on(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled_as(x, DURABILITY_LOSSLESS);
    until_reopened(x, STEP_OPEN);
    assert_non_null(strstr(fixture_event(x, "plan.begin")->text, "db1 to be master of epoch 2 again"));
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->master, DB1);
    assert_int_equal(fixture_shop(x)->epoch, 2);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_true(fixture_shop(x)->reigns[0].lossless);
    assert_int_equal(fixture_shop(x)->servers[DB1].state, SERVER_MEMBER);
}

static void it_goes_on_only_closed_and_complete(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_begin(x, PLAN_FAILOVER)->by_operator = true; /* To db1. */
    fixture_refused(x, FSM_INVALID, "db1 cannot be promoted");
    fixture_failover(x, DB1, DB2);
    fixture_revoke(x, DB1, DB2);
    fixture_refused(x, FSM_UNSAFE, "only after it was closed");
    revoke_closed(x)->found[DB1].set = false;
    fixture_refused(x, FSM_INVALID, "its position was not read");
    revoke_closed(x)->holder = DB2;
    fixture_refused(x, FSM_UNSAFE, "with all it has");
    revoke_closed(x)->to = DB3; /* Begun for db1. */
    fixture_refused(x, FSM_INVALID, "db3 cannot be promoted");
    revoke_closed(x);
    fixture_ok(x);
}

/* It fails when an acker may be attached already: that one counts from now on, and F1 proves nothing. */
static void a_reopening_that_fails_keeps_its_ackers(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *reign;

    fixture_enrolled(x);
    fixture_failover(x, DB1, DB3);
    revoke_closed(x)->revoked = 0;
    fixture_ok(x);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB3;
    fixture_ok(x);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    reign = fsm_reign_current(fixture_shop(x));
    assert_non_null(reign);
    assert_int_equal(reign->master, DB1);
    assert_int_equal(reign->ackers, FSM_BIT(DB2) | FSM_BIT(DB3));
    assert_false(reign->lossless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FSM_TEST(a_reign_that_never_opened_needs_no_position),
        FSM_TEST(a_restarted_master_goes_on),
        FSM_TEST(it_goes_on_only_closed_and_complete),
        FSM_TEST(a_reopening_that_fails_keeps_its_ackers),
        FSM_TEST(revoke_ends_all_reigns),
        FSM_TEST(a_reign_that_may_acknowledge_is_not_passed_over),
        FSM_TEST(f1_proves_nothing_while_not_lossless),
        FSM_TEST(a_closed_master_needs_no_acks_revoked),
        FSM_TEST(only_an_operator_accepts_loss),
        FSM_TEST(the_choice_is_checked),
        FSM_TEST(a_holder_of_acknowledged_writes_stays),
        FSM_TEST(only_accepted_loss_leaves_that_holder),
        FSM_TEST(a_holder_set_aside_later_changes_no_target),
        FSM_TEST(a_holder_of_a_tail_can_be_left),
        FSM_TEST(establish_lists_the_reign_first),
        FSM_TEST(establish_takes_the_acker_of_its_own_command),
        FSM_TEST(lossless_clusters_need_an_acker),
        FSM_TEST(others_may_begin_degraded_and_say_so),
        FSM_TEST(another_acker_is_added_to_the_first),
        FSM_TEST(open_makes_the_master),
        FSM_TEST(repoint_repeats_only_with_progress),
        FSM_TEST(ends_are_checked),
        FSM_TEST(no_abort_once_the_new_reign_is_listed),
        FSM_TEST(a_failed_plan_puts_reigns_back),
        FSM_TEST(a_failed_new_reign_stays_listed),
        FSM_TEST(a_superseded_candidate_can_be_chosen_again),
        FSM_TEST(a_reign_that_never_opened_can_be_revoked),
        FSM_TEST(failures_of_one_candidate_do_not_fill_the_list),
        FSM_TEST(two_reigns_of_one_server_count_as_the_weaker),
        FSM_TEST(reigns_are_limited),
        FSM_TEST(a_failure_while_repointing_only_ends),
    };

    return cmocka_run_group_tests_name("fsm_failover", tests, NULL, NULL);
}
