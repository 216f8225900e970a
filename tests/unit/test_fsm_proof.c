/* What a proof rests on, how it is withdrawn and given anew, and reigns that nobody proved to have ended. */
#include "tests/unit/fsm_fixture.h"

static const struct fsm_reign *current(const struct fixture *x)
{
    return fsm_reign_current(fixture_shop(x));
}

/* --- REIGN_PROOF (A7) --- */

static void a_withdrawn_proof_counts_no_more(void **arg)
{
    struct fixture *x = *arg;
    uint64_t events;

    fixture_enrolled(x);
    assert_true(current(x)->lossless);
    fixture_proof(x, false);
    fixture_ok(x);
    assert_false(current(x)->lossless);
    assert_string_equal(current(x)->since, "");
    assert_int_equal(current(x)->started_s[DB1], 1000); /* Of the last proof: nothing newer was given. */
    assert_int_equal(current(x)->no_tx, 3);
    assert_string_equal(fixture_last_event(x)->kind, "reign.unproven");
    assert_non_null(strstr(fixture_last_event(x)->text, "epoch 1 of db1"));
    assert_non_null(strstr(fixture_last_event(x)->text, "db4 acknowledges, too"));
    events = x->state->events_n;
    fixture_proof(x, false);
    fixture_ok(x);
    assert_int_equal(x->state->events_n, events);
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4);
    fixture_refused(x, FSM_UNSAFE, "not lossless");
}

static void a_proof_is_given_anew(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_reign_proof *c;

    fixture_enrolled(x);
    fixture_proof(x, false);
    fixture_ok(x);
    c = fixture_proof(x, true);
    c->started_s[DB2] = 2002; /* It was restarted, and caught up. */
    c->no_tx = 4;
    fixture_ok(x);
    assert_true(current(x)->lossless);
    assert_string_equal(current(x)->since, "0-1-77");
    assert_int_equal(current(x)->started_s[DB2], 2002);
    assert_int_equal(current(x)->started_s[DB3], 0); /* No member of A. */
    assert_int_equal(current(x)->no_tx, 4);
    assert_string_equal(fixture_last_event(x)->kind, "reign.proven");
    assert_non_null(strstr(fixture_last_event(x)->text, "lossless since 0-1-77"));
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4); /* db2 of before its restart. */
    fixture_refused(x, FSM_UNSAFE, "db2");
    fixture_revoke(x, DB3, DB4)->started_s[DB2] = 2002;
    fixture_ok(x);
}

static void a_proof_needs_all_it_rests_on(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_proof(x, true);
    fixture_refused(x, FSM_STALE, "epoch 0");
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_proof(x, false);
    fixture_refused(x, FSM_BUSY, "plan");
    fixture_prepare(x);
    fixture_ok(x);
    fixture_verify(x);
    fixture_ok(x);
    fixture_proof(x, true)->epoch = 2;
    fixture_refused(x, FSM_STALE, "epoch 1 now, not 2");
    fixture_proof(x, true)->since[0] = '\0';
    fixture_refused(x, FSM_INVALID, "since");
    fixture_proof(x, true)->started_s[DB1] = 0;
    fixture_refused(x, FSM_INVALID, "incarnation of db1");
    fixture_proof(x, true)->started_s[DB2] = 0;
    fixture_refused(x, FSM_INVALID, "incarnation of db2");
    fixture_proof(x, false)->reason[0] = '\0';
    fixture_refused(x, FSM_INVALID, "reason");
    (void)TEXT_COPY(fixture_proof(x, true)->cluster, "nowhere");
    fixture_refused(x, FSM_NOT_FOUND, "nowhere");
    fixture_proof(x, true)->started_s[DB3] = 0; /* No acker. */
    fixture_ok(x);
    fixture_begin(x, PLAN_CLOSE)->from = DB4;
    fixture_ok(x);
    fixture_proof(x, false); /* A CLOSE decides nothing about the reign. */
    fixture_ok(x);
}

static void plans_that_decide_about_the_reign_come_first(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_proof(x, false);
    fixture_refused(x, FSM_BUSY, "plan");
    fixture_proof(x, true);
    fixture_refused(x, FSM_BUSY, "plan");
}

static void some_reigns_are_never_lossless(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled_as(x, DURABILITY_ASYNC);
    assert_non_null(fixture_event(x, "reign.unproven"));
    assert_int_equal(current(x)->started_s[DB1], 1000); /* Known all the same: "restarted" needs it. */
    fixture_proof(x, true);
    fixture_refused(x, FSM_UNSAFE, "async");
    fixture_spec(x, false);
    fixture_ok(x);
    fixture_proof(x, true);
    fixture_ok(x);
    fixture_failover_until(x, STEP_PROMOTE);
    fixture_step(x, STEP_ESTABLISH);
    fixture_ok(x);
    fixture_step(x, STEP_OPEN);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_proof(x, true);
    fixture_refused(x, FSM_UNSAFE, "nobody acknowledges for db2");
}

/* --- the incarnations of VERIFY, ESTABLISH and REVOKE (A4) --- */

static void verify_and_establish_keep_the_incarnations(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    assert_int_equal(current(x)->started_s[DB1], 1000);
    assert_int_equal(current(x)->started_s[DB2], 1001);
    assert_int_equal(current(x)->started_s[DB3], 0);
    assert_int_equal(current(x)->no_tx, 3);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_establish(x)->no_tx = 9;
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].started_s[DB2], 1001);
    assert_int_equal(fixture_shop(x)->reigns[0].started_s[DB3], 1002);
    assert_int_equal(fixture_shop(x)->reigns[0].started_s[DB1], 0);
    assert_int_equal(fixture_shop(x)->reigns[0].no_tx, 9);
}

static void unknown_incarnations_prove_nothing(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x);
    fixture_ok(x);
    fixture_verify(x)->started_s[DB2] = 0;
    fixture_ok(x);
    assert_false(current(x)->lossless);
    assert_string_equal(current(x)->since, "");
    assert_non_null(strstr(fixture_event(x, "reign.unproven")->text, "when its acker was started"));
    fixture_proof(x, true);
    fixture_ok(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_establish(x)->started_s[DB2] = 0;
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
    assert_true(fixture_shop(x)->reigns[0].opened);
    assert_non_null(strstr(fixture_event(x, "reign.unproven")->text, "when the master was started"));
}

static void a_restarted_acker_does_not_count(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_revoke(x, DB2, DB3)->started_s[DB2] = 1999; /* Its relay log may be gone. */
    fixture_refused(x, FSM_UNSAFE, "db2");
    fixture_revoke(x, DB2, DB3)->started_s[DB2] = 0;
    fixture_refused(x, FSM_UNSAFE, "db2");
    c = fixture_revoke(x, DB2, DB3); /* The master is closed, but it still accounts for nothing. */
    c->fence = FENCE_F2_CLOSED;
    c->started_s[DB2] = 1999;
    fixture_refused(x, FSM_UNSAFE, "db2");
    c = fixture_revoke(x, DB2, DB3);
    c->fence = FENCE_F2_CLOSED;
    c->started_s[DB2] = 1999;
    fixture_found(c, DB1, "0-1-101");
    fixture_ok(x);
}

/* An acker that was only listed: neither its proof nor its revocation says in which incarnation. */
static void unknown_on_both_sides_is_not_equal(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    fixture_ok(x);
    fixture_establish(x)->started_s[DB3] = 0;
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_true(current(x)->lossless);
    fixture_failover(x, DB4, FSM_SERVER_NONE);
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked = FSM_BIT(DB3) | FSM_BIT(DB4);
    fixture_found(c, DB3, "0-1-100");
    c->started_s[DB3] = 0;
    fixture_refused(x, FSM_UNSAFE, "revoke db3");
}

static void opened_but_unproven_reigns_need_more_than_f1(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_establish(x)->started_s[DB3] = 0;
    fixture_ok(x);
    fixture_end(x, PLAN_STATE_FAILED); /* At OPEN: db2 may be open, and nobody knows whether it waits. */
    fixture_ok(x);
    fixture_failover(x, DB3, DB4);
    fixture_revoke(x, DB3, DB4)->revoked |= FSM_BIT(DB3);
    fixture_refused(x, FSM_UNSAFE, "epoch 2 of db2");
}

/* --- a candidate that is chosen again --- */

static void a_candidate_keeps_its_earlier_ackers(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_failover(x, DB2, DB4);
    fixture_revoke(x, DB2, DB4); /* db3 is not revoked: it may attach to db2 again by itself. */
    fixture_ok(x);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB3) | FSM_BIT(DB4));
    assert_int_equal(fixture_shop(x)->reigns[0].k, 1);
    fixture_establish(x);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_failover(x, DB4, DB3);
    c = fixture_revoke(x, DB4, DB3);
    c->revoked = FSM_BIT(DB4);
    fixture_refused(x, FSM_UNSAFE, "db3");
    c = fixture_revoke(x, DB4, DB3);
    c->revoked = FSM_BIT(DB3) | FSM_BIT(DB4);
    fixture_found(c, DB3, "0-1-100");
    fixture_ok(x);
}

static void revoked_ackers_are_forgotten(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_failover(x, DB2, DB4);
    c = fixture_revoke(x, DB2, DB4);
    c->revoked |= FSM_BIT(DB3);
    fixture_found(c, DB3, "0-1-100");
    fixture_ok(x);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB4));
    assert_true(fixture_shop(x)->reigns[0].opened); /* It may have been, under the first plan. */
}

/* --- back from OPEN, and REPOINT --- */

static void open_goes_back_for_another_acker(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *r;

    fixture_enrolled_as(x, DURABILITY_LOSSLESS);
    fixture_failover_until(x, STEP_OPEN);
    r = &fixture_shop(x)->reigns[0];
    fixture_step(x, STEP_ESTABLISH)->acker = DB3;
    fixture_refused(x, FSM_INVALID, "already");
    fixture_step(x, STEP_ESTABLISH);
    fixture_refused(x, FSM_UNSAFE, "no acker");
    fixture_step(x, STEP_ESTABLISH)->acker = DB1;
    fixture_refused(x, FSM_INVALID, "db1 cannot acknowledge");
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    x->command.u.plan_step.set_aside = FSM_BIT(DB3);
    x->command.u.plan_step.started_s[DB4] = 1003;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->step, STEP_ESTABLISH);
    assert_int_equal(fixture_plan(x)->acker, DB4);
    assert_int_equal(r->ackers, FSM_BIT(DB3) | FSM_BIT(DB4));
    assert_int_equal(r->started_s[DB4], 1003);
    assert_true(r->lossless); /* The first acker's proof holds. */
    assert_true(r->opened);
    assert_int_equal(fixture_shop(x)->master, DB1);
    fixture_end(x, PLAN_STATE_ABORTED);
    fixture_refused(x, FSM_UNSAFE, "must go on");
    fixture_establish(x);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->backup, DB4);
}

static void back_from_open_without_acker_is_not_lossless(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_step(x, STEP_ESTABLISH);
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
    assert_string_equal(fixture_shop(x)->reigns[0].since, "");
    assert_int_equal(fixture_shop(x)->reigns[0].k, 0);
    assert_non_null(fixture_event(x, "reign.degraded"));
}

/* Opens db2 with A = {db3, db4}: db3 did not attach in time. */
static void open_with_two(struct fixture *x)
{
    fixture_enrolled(x);
    fixture_failover_until(x, STEP_ESTABLISH);
    fixture_step(x, STEP_ESTABLISH)->acker = DB4;
    fixture_ok(x);
    fixture_establish(x);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    assert_int_equal(current(x)->ackers, FSM_BIT(DB3) | FSM_BIT(DB4));
}

static void repoint_shrinks_the_acker_set(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    open_with_two(x);
    fixture_step(x, STEP_REPOINT)->revoked = FSM_BIT(DB4);
    fixture_refused(x, FSM_INVALID, "the acker itself");
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2);
    fixture_refused(x, FSM_INVALID, "the acker itself");
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(9);
    fixture_refused(x, FSM_INVALID, "no such server");
    fixture_step(x, STEP_REPOINT)->revoked = FSM_BIT(DB3) | FSM_BIT(DB1);
    fixture_ok(x);
    assert_int_equal(current(x)->ackers, FSM_BIT(DB4));
    assert_int_equal(current(x)->started_s[DB3], 0);
    assert_true(current(x)->lossless);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_failover(x, DB4, FSM_SERVER_NONE); /* db3 is dead now. That is nothing to db2's reign. */
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked = FSM_BIT(DB4);
    fixture_ok(x);
}

static void the_end_of_repoint_shrinks_too(void **arg)
{
    struct fixture *x = *arg;

    open_with_two(x);
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB3);
    fixture_ok(x);
    assert_int_equal(current(x)->ackers, FSM_BIT(DB4));
}

/* --- accepted loss leaves reigns unfenced --- */

/* db1 and its acker db2 cannot be reached; an operator promotes db3 with db4. Stops when 'step' is the intent. */
static void give_up_db1(struct fixture *x, enum fsm_step step)
{
    struct fsm_cmd_plan_begin *b;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    b = fixture_begin(x, PLAN_FAILOVER);
    b->to = DB3;
    b->acker = DB4;
    b->accept_loss = b->by_operator = true;
    fixture_ok(x);
    c = fixture_revoke(x, DB3, DB4);
    c->revoked = 0;
    c->found[DB2].set = false;
    c->fence = fsm_fence_none;
    fixture_ok(x);
    for (enum fsm_step next = STEP_PROMOTE; fixture_plan(x) != NULL && fixture_plan(x)->step != step;) {
        if (next == STEP_OPEN) {
            fixture_establish(x);
        } else {
            fixture_step(x, next)->acker = next == STEP_ESTABLISH ? DB4 : FSM_SERVER_NONE;
        }
        fixture_ok(x);
        next++;
        if (next == STEP_SHUT) next = STEP_DONE;
    }
}

static void what_was_given_up_stays_listed(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_cluster *c;

    give_up_db1(x, STEP_OPEN);
    c = fixture_shop(x);
    assert_int_equal(c->reigns_n, 1);
    assert_int_equal(fsm_unfenced_ackers(c, fixture_plan(x), 0), FSM_BIT(DB2));
    assert_int_equal(fsm_unfenced_ackers(c, fixture_plan(x), FSM_BIT(DB2)), 0);
    assert_int_equal(c->servers[DB2].state, SERVER_MEMBER); /* Until the new master is open. */
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    assert_int_equal(c->reigns_n, 2);
    assert_int_equal(c->reigns[0].epoch, 2);
    assert_false(c->reigns[0].unfenced);
    assert_int_equal(c->reigns[1].epoch, 1);
    assert_int_equal(c->reigns[1].ackers, FSM_BIT(DB2));
    assert_true(c->reigns[1].unfenced);
    assert_int_equal(fsm_unfenced_ackers(c, NULL, 0), FSM_BIT(DB2));
    assert_int_equal(c->servers[DB2].state, SERVER_QUARANTINED);
    assert_non_null(strstr(c->servers[DB2].reason, "may still acknowledge for db1 (epoch 1)"));
    assert_int_equal(c->servers[DB1].state, SERVER_QUARANTINED);
    assert_int_equal(c->servers[DB4].state, SERVER_MEMBER);
}

static void a_failed_plan_gives_nothing_up(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 1);
    assert_false(fixture_shop(x)->reigns[0].unfenced);
    fixture_failover(x, DB4, FSM_SERVER_NONE);
    fixture_revoke(x, DB4, FSM_SERVER_NONE)->revoked = FSM_BIT(DB4);
    x->command.u.plan_step.revoked = 0;
    fixture_refused(x, FSM_UNSAFE, "epoch 1 of db1");
}

static void ackers_of_what_was_given_up_are_not_used(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    give_up_db1(x, STEP_ESTABLISH);
    fixture_step(x, STEP_ESTABLISH)->acker = DB2; /* It came back meanwhile, still following db1. */
    fixture_refused(x, FSM_UNSAFE, "revoke it first: db2");
    fixture_establish(x);
    fixture_ok(x);
    fixture_step(x, STEP_REPOINT);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_server_state(x, "db2", SERVER_MEMBER, "");
    fixture_ok(x);
    fixture_failover(x, DB2, DB4);
    c = fixture_revoke(x, DB2, DB4);
    c->revoked = FSM_BIT(DB4);
    fixture_found(c, DB4, "0-3-100");
    fixture_refused(x, FSM_UNSAFE, "revoke it first: db2");
    c = fixture_revoke(x, DB4, DB2);
    c->revoked = FSM_BIT(DB4);
    fixture_refused(x, FSM_UNSAFE, "revoke it first: db2");
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked = FSM_BIT(DB4);
    c->holder = DB2;
    fixture_refused(x, FSM_UNSAFE, "revoke it first: db2");
    c = fixture_revoke(x, DB4, DB2);
    c->revoked = FSM_BIT(DB4) | FSM_BIT(DB2);
    c->started_s[DB2] = 5; /* Restarted: what it acknowledged was given up, that it stopped is what counts. */
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->unproven, 0);
    assert_int_equal(fixture_plan(x)->fence, FENCE_F1_ACKS_REVOKED);
}

/* Fails over from db3 to db4, all the way, with 'revoked'. */
static void fail_over_again(struct fixture *x, fsm_set revoked)
{
    struct fsm_cmd_plan_step *c;

    fixture_failover(x, DB4, FSM_SERVER_NONE);
    c = fixture_revoke(x, DB4, FSM_SERVER_NONE);
    c->revoked = revoked;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->fence, FENCE_F1_ACKS_REVOKED);
    for (enum fsm_step next = STEP_PROMOTE; next <= STEP_REPOINT; next++) {
        fixture_step(x, next);
        fixture_ok(x);
    }
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
}

static void what_was_given_up_does_not_block(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_DONE);
    fail_over_again(x, FSM_BIT(DB4));
    assert_int_equal(fixture_shop(x)->master, DB4);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    assert_int_equal(fixture_shop(x)->reigns[1].epoch, 1);
    assert_true(fixture_shop(x)->reigns[1].unfenced);
}

/* Who was quarantined for it, and cleared by an operator, stays cleared. */
static void what_was_given_up_before_is_not_told_again(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_DONE);
    fixture_server_state(x, "db2", SERVER_MEMBER, "looked at it");
    fixture_ok(x);
    fail_over_again(x, FSM_BIT(DB4));
    assert_int_equal(fixture_shop(x)->servers[DB2].state, SERVER_MEMBER);
}

static void what_was_given_up_leaves_when_revoked(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_DONE);
    fail_over_again(x, FSM_BIT(DB4) | FSM_BIT(DB2));
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 3);
}

static void what_was_given_up_leaves_when_closed(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_DONE);
    fixture_begin(x, PLAN_CLOSE)->from = DB4;
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
    fixture_begin(x, PLAN_CLOSE)->from = DB1;
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 2);
}

static void what_was_given_up_leaves_when_its_acker_follows(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_REPOINT);
    fixture_step(x, STEP_REPOINT)->revoked = FSM_BIT(DB2);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_int_equal(fsm_unfenced_ackers(fixture_shop(x), fixture_plan(x), 0), 0);
}

/* A degraded master needs no acks: only its closing ends what was given up. */
static void without_acks_only_closing_ends_it(void **arg)
{
    struct fixture *x = *arg;

    give_up_db1(x, STEP_APPLY);
    x->state->plans[1].past[0].lossless = false;
    for (enum fsm_step next = STEP_PROMOTE; next <= STEP_REPOINT; next++) {
        fixture_step(x, next);
        fixture_ok(x);
    }
    fixture_step(x, STEP_DONE)->revoked = FSM_BIT(DB2);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->reigns_n, 2);
}

/* A list full of what was given up makes room, oldest first, and tells it. */
static void the_oldest_makes_room(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster *c;

    give_up_db1(x, STEP_DONE);
    fixture_server(fixture_spec(x, false), "db5", "127.0.0.1:3305", ROLE_REPLICA);
    fixture_ok(x);
    c = &x->state->clusters[0];
    c->epoch_used = c->epoch = c->reigns[0].epoch = 4; /* As if epochs 2 and 3, of db2 and db5, were given up, too. */
    for (uint8_t i = 2; i < FSM_REIGNS_MAX; i++) {
        c->reigns[i].epoch = i;
        c->reigns[i].master = i == 2 ? DB2 : 4;
        c->reigns[i].unfenced = true;
    }
    c->reigns_n = FSM_REIGNS_MAX;
    assert_null(fsm_invariant(x->state));
    fail_over_again(x, FSM_BIT(DB4));
    assert_string_equal(fixture_event(x, "reign.forgotten")->kind, "reign.forgotten");
    assert_non_null(strstr(fixture_event(x, "reign.forgotten")->text, "epoch 1 of db1"));
    assert_non_null(strstr(fixture_event(x, "reign.forgotten")->text, "ackers: db2"));
    assert_int_equal(c->reigns_n, 3);
    assert_int_equal(c->reigns[0].epoch, 5);
    assert_int_equal(c->reigns[1].epoch, 2);
    assert_int_equal(c->reigns[2].epoch, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FSM_TEST(a_withdrawn_proof_counts_no_more),
        FSM_TEST(a_proof_is_given_anew),
        FSM_TEST(a_proof_needs_all_it_rests_on),
        FSM_TEST(plans_that_decide_about_the_reign_come_first),
        FSM_TEST(some_reigns_are_never_lossless),
        FSM_TEST(verify_and_establish_keep_the_incarnations),
        FSM_TEST(unknown_incarnations_prove_nothing),
        FSM_TEST(a_restarted_acker_does_not_count),
        FSM_TEST(unknown_on_both_sides_is_not_equal),
        FSM_TEST(opened_but_unproven_reigns_need_more_than_f1),
        FSM_TEST(a_candidate_keeps_its_earlier_ackers),
        FSM_TEST(revoked_ackers_are_forgotten),
        FSM_TEST(open_goes_back_for_another_acker),
        FSM_TEST(back_from_open_without_acker_is_not_lossless),
        FSM_TEST(repoint_shrinks_the_acker_set),
        FSM_TEST(the_end_of_repoint_shrinks_too),
        FSM_TEST(what_was_given_up_stays_listed),
        FSM_TEST(a_failed_plan_gives_nothing_up),
        FSM_TEST(ackers_of_what_was_given_up_are_not_used),
        FSM_TEST(what_was_given_up_does_not_block),
        FSM_TEST(what_was_given_up_before_is_not_told_again),
        FSM_TEST(what_was_given_up_leaves_when_revoked),
        FSM_TEST(what_was_given_up_leaves_when_closed),
        FSM_TEST(what_was_given_up_leaves_when_its_acker_follows),
        FSM_TEST(without_acks_only_closing_ends_it),
        FSM_TEST(the_oldest_makes_room),
    };

    return cmocka_run_group_tests_name("fsm_proof", tests, NULL, NULL);
}
