/* Single rules of the planner that no script shows: each test sets up the one moment at which the rule decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_world.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct world *w;

static int setup(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    world_enrol(w);
    return w->broken[0] == '\0' && w->refused_n == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return world_end_clean(w);
}

static const struct plan_update *step_once(void)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    plan_step(&in, w->update);
    return w->update;
}

static struct view_observation *seen(uint8_t manager, uint8_t server)
{
    return &w->view->managers[manager].servers[server];
}

static struct fsm_plan *running(void)
{
    const struct fsm_plan *p = fsm_plan_find(w->state, world_cluster(w)->plan);
    return p != NULL ? &w->state->plans[p - w->state->plans] : NULL;
}

static struct fsm_reign *reign(void)
{
    return &world_cluster(w)->reigns[0];
}

static void down(uint8_t server, bool is_frozen)
{
    w->servers[server].alive = is_frozen;
    w->servers[server].frozen = is_frozen;
    w->servers[server].down_at = w->now;
}

/* Runs until the running plan has come to 'step'; fails when it does not within 20 s. */
static void run_until(enum fsm_step step)
{
    int64_t end = w->now + 20000;
    while (w->now < end && (running() == NULL || running()->step != step)) world_tick(w);
    assert_non_null(running());
    assert_int_equal(running()->step, step);
}

static const struct fsm_plan *newest_plan(void)
{
    const struct fsm_plan *newest = &w->state->plans[0];
    for (unsigned i = 1; i < FSM_PLANS_MAX; i++) {
        if (w->state->plans[i].token > newest->token) newest = &w->state->plans[i];
    }
    return newest;
}

/* --- enrolment --- */

/* The same servers declared under a second name: each cluster would close what the other opens. */
static void test_a_server_has_one_cluster(void **state)
{
    (void)state;
    struct world *enrolled = w;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    w->state->clusters[1] = w->state->clusters[0];
    (void)TEXT_COPY(w->state->clusters[1].name, "bank");
    (void)TEXT_COPY(w->servers[DB1].identity, "of the bank");
    (void)TEXT_COPY(w->state->clusters[1].servers[DB2].identity, "of the bank");
    world_run(w, 2000);
    assert_null(running());
    assert_non_null(strstr(w->update->why, "another cluster"));
    w->servers[DB1].identity[0] = '\0';
    (void)TEXT_COPY(w->servers[DB3].identity, "of the bank");
    world_run(w, 20000);
    assert_int_equal(world_cluster(w)->master, DB1);
    assert_int_equal(world_cluster(w)->servers[DB3].state, SERVER_QUARANTINED);
    assert_non_null(strstr(world_cluster(w)->servers[DB3].reason, "another cluster"));
    assert_string_equal(world_cluster(w)->servers[DB3].identity, "");
    world_free(w);
    w = enrolled;
}

/* --- fencing --- */

/* The master restarted and its acker is out of reach: only its closing fences it (F2), its being reached does not. */
static void test_f2_needs_the_close(void **state)
{
    (void)state;
    down(DB2, true);
    world_run(w, 600);
    world_restart(&w->servers[DB1]);
    w->servers[DB1].never_closes = true;
    run_until(STEP_REVOKE);
    world_run(w, 5000);
    assert_int_equal(running()->step, STEP_REVOKE);
    w->servers[DB1].never_closes = false;
    run_until(STEP_OPEN);
    assert_int_equal(running()->fence, FENCE_F2_CLOSED);
}

/* S6: the acker was cut off from the managers a moment ago, and may hear the master that they do not. The leader's last
 * look at it still counts as reached. */
static void test_a_hidden_acker_is_no_proof(void **state)
{
    (void)state;
    down(DB1, true);
    w->now += 1010;
    world_look(w);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->age_ms = 300;
    seen(1, DB2)->outcome = VIEW_TIMED_OUT;
    seen(1, DB2)->age_ms = 5;
    assert_int_equal(step_once()->diagnosis.row, DIAGNOSIS_SILENT);
    assert_false(w->update->propose);
    assert_non_null(strstr(w->update->why, "bring back db2"));
    seen(0, DB2)->age_ms = 3;
    assert_true(step_once()->propose);
}

/* That a master accounts for what it acknowledged is asked again when the plan rests on it. */
static void test_only_a_durable_master_is_a_fence(void **state)
{
    (void)state;
    down(DB2, true);
    world_run(w, 600);
    world_restart(&w->servers[DB1]);
    w->servers[DB1].never_closes = true;
    run_until(STEP_REVOKE);
    w->servers[DB1].not_durable = true;
    w->servers[DB1].never_closes = false;
    world_run(w, 3000);
    assert_true(w->servers[DB1].read_only);
    assert_int_equal(running()->step, STEP_REVOKE);
    w->servers[DB1].not_durable = false;
    run_until(STEP_OPEN);
    assert_int_equal(running()->fence, FENCE_F2_CLOSED);
}

/* A master that may have lost transactions in its crash does not account for what it acknowledged (A4). */
static void test_only_a_durable_master_proves(void **state)
{
    (void)state;
    down(DB2, true);
    w->servers[DB1].not_durable = true;
    world_run(w, 600);
    world_restart(&w->servers[DB1]);
    world_run(w, 3000);
    assert_null(running());
    assert_non_null(strstr(w->update->why, "no proof can be had"));
    w->servers[DB1].not_durable = false;
    world_run(w, 200);
    assert_non_null(running());
}

/* A candidate whose plan failed is listed with its acker. That it can be reached proves nothing of its reign. */
static void test_only_the_current_master_proves(void **state)
{
    (void)state;
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = true;
    down(DB1, false);
    run_until(STEP_ESTABLISH);
    down(DB2, true);
    while (running() != NULL) world_tick(w);
    assert_int_equal(world_cluster(w)->reigns_n, 2);
    w->servers[DB2].frozen = false;
    w->servers[DB3].login_refused = true; /* The acker of the second reign. */
    world_look(w);
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    static struct fsm_command command;
    static char buffer[2048];
    struct text dry = TEXT_ON(buffer);
    world_input(w, &in, outcomes);
    assert_int_equal(plan_operator_failover(&in, DB4, false, &command, &dry), FSM_UNSAFE);
    assert_non_null(strstr(buffer, "bring back db3"));
}

/* Asks for a failover by an operator who accepts loss. */
static void operator_accepts_loss(uint8_t to)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    static struct fsm_command command;
    static char buffer[2048];
    struct text dry = TEXT_ON(buffer);
    world_look(w);
    world_input(w, &in, outcomes);
    assert_int_equal(plan_operator_failover(&in, to, true, &command, &dry), FSM_OK);
    assert_int_equal(world_propose(w, &command), FSM_OK);
}

/* What an operator gave up in this very plan may still acknowledge for the old master: it is no acker of the new one,
 * also when it comes back while that one needs another. The fsm would refuse it, round by round. */
static void test_who_was_given_up_does_not_acknowledge(void **state)
{
    (void)state;
    down(DB1, false);
    down(DB2, false);
    w->servers[DB4].never_attaches = true;
    world_run(w, 500);
    operator_accepts_loss(DB3);
    run_until(STEP_ESTABLISH);
    assert_int_equal(running()->acker, DB4);
    w->servers[DB2].alive = true; /* As it was: its receiver looks for db1. */
    world_run(w, 20000);
    assert_int_equal(w->refused_n, 0);
    assert_null(running());
    assert_int_equal(world_cluster(w)->master, DB3);
    assert_int_equal(newest_plan()->acker, FSM_SERVER_NONE);
}

/* A server with another identity at an acker's address (a copy, a rebuilt one) is no acker. */
static void test_only_the_enrolled_one_acknowledges(void **state)
{
    (void)state;
    (void)TEXT_COPY(w->servers[DB3].identity, "another one");
    down(DB1, false);
    run_until(STEP_APPLY);
    assert_int_equal(running()->to, DB2);
    assert_int_equal(running()->acker, DB4);
}

/* Two that cannot acknowledge are not tried by turns for ever: where that is allowed, nobody is taken (L1). */
static void test_hopeless_ackers_end(void **state)
{
    (void)state;
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = true;
    down(DB1, false);
    run_until(STEP_ESTABLISH);
    world_run(w, 20000);
    assert_int_equal(world_cluster(w)->master, DB2);
    assert_false(w->servers[DB2].read_only);
}

/* A lossless cluster waits, and each of three has his turn: the last one, too, in whom least is seen. */
static void test_each_acker_has_its_turn(void **state)
{
    (void)state;
    enum { DB5 = 4 };
    world_free(w);
    w = world_new(NULL);
    world_declare(w, 5, DURABILITY_LOSSLESS);
    world_enrol(w);
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = w->servers[DB5].never_attaches = true;
    down(DB1, false);
    run_until(STEP_ESTABLISH);
    world_run(w, 9500); /* The first round is over, and each has another turn before another candidate is tried. */
    assert_true(w->servers[DB2].read_only);
    w->servers[DB5].never_attaches = false;
    world_run(w, 9500);
    assert_false(w->servers[DB2].read_only);
}

/* The leader reaches db2, and nobody else does: db2 itself can follow another one. */
static void test_unfollowed_candidate_is_left(void **state)
{
    (void)state;
    world_free(w);
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_LOSSLESS);
    world_enrol(w);
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = true;
    down(DB1, false);
    run_until(STEP_ESTABLISH);
    assert_int_equal(running()->to, DB2);
    world_run(w, 19000);
    assert_int_equal(running()->to, DB2);
    world_run(w, 12000);
    assert_true(w->servers[DB2].read_only);
    assert_true(world_cluster(w)->master == DB3 || world_cluster(w)->master == DB4);
    assert_false(w->servers[world_cluster(w)->master].read_only);
}

/* With fence F2 the old master is closed once more before the new one opens: it may have restarted, and boot open. */
static void test_closed_again_before_opening(void **state)
{
    (void)state;
    down(DB2, true);
    world_run(w, 600);
    world_restart(&w->servers[DB1]);
    run_until(STEP_OPEN);
    w->servers[DB1].read_only = false;
    w->servers[DB1].started++;
    w->servers[DB1].never_closes = true;
    world_run(w, 3000);
    assert_int_equal(running()->step, STEP_OPEN);
    assert_true(w->servers[running()->to].read_only);
    w->servers[DB1].never_closes = false;
    run_until(STEP_REPOINT);
    assert_true(w->servers[DB1].read_only);
}

/* --- the holder --- */

/* db2 has the proof; db3 has more that nobody acknowledged. Ends where db2 fetches that. */
static void begin_catch_up(void)
{
    w->servers[DB3].received = w->servers[DB3].applied = w->servers[DB3].executed += 5;
    down(DB1, false);
    run_until(STEP_CATCH_UP);
    assert_int_equal(running()->to, DB2);
    assert_int_equal(running()->holder, DB3);
    down(DB3, false);
}

static void test_holder_is_dispensable(void **state)
{
    (void)state;
    begin_catch_up();
    run_until(STEP_OPEN);
    assert_int_equal(running()->holder, FSM_SERVER_NONE);
}

static void fails_for_the_holder(void)
{
    while (running() != NULL && running()->step == STEP_CATCH_UP) world_tick(w);
    assert_null(running());
    assert_int_equal(newest_plan()->state, PLAN_STATE_FAILED);
    assert_non_null(strstr(newest_plan()->reason, "bring it back"));
}

static void test_holder_is_needed_beside_other_ackers(void **state)
{
    (void)state;
    begin_catch_up();
    running()->past[0].ackers |= FSM_BIT(DB4); /* |A| > k: what db4 acknowledged alone may be at the holder only. */
    running()->past[0].started_s[DB4] = 1;
    fails_for_the_holder();
}

static void test_holder_is_needed_by_one_that_is_no_acker(void **state)
{
    (void)state;
    begin_catch_up();
    running()->past[0].ackers = FSM_BIT(DB4);
    running()->past[0].started_s[DB4] = 1;
    fails_for_the_holder();
}

static void test_holder_is_needed_when_not_lossless(void **state)
{
    (void)state;
    begin_catch_up();
    running()->past[0].lossless = false;
    running()->past[0].since[0] = '\0';
    fails_for_the_holder();
}

static void test_closed_master_as_holder_is_needed(void **state)
{
    (void)state;
    begin_catch_up();
    running()->holder = DB1;
    fails_for_the_holder();
}

/* db2 alone has acknowledged five more, and they stay in its relay log: its applier has stopped. */
static void strand_at_db2(void)
{
    w->servers[DB1].executed += 5;
    w->servers[DB2].received = w->servers[DB1].executed;
    w->servers[DB2].applier = false;
    w->servers[DB2].sql_errno = 1062;
    w->servers[DB3].receiving = w->servers[DB4].receiving = false;
    down(DB1, false);
}

static void opens_with_all(uint8_t holder)
{
    run_until(STEP_CATCH_UP);
    assert_int_equal(running()->holder, holder);
    run_until(STEP_REPOINT);
    assert_true(w->servers[running()->to].executed >= 105);
}

static void test_stuck_acker_is_no_holder(void **state)
{
    (void)state;
    strand_at_db2();
    run_until(STEP_REVOKE);
    while (running() != NULL) {
        assert_int_equal(running()->step, STEP_REVOKE);
        world_tick(w);
    }
    assert_int_equal(newest_plan()->state, PLAN_STATE_FAILED);
    assert_non_null(strstr(newest_plan()->reason, "mend the applier of db2"));
    assert_non_null(strstr(newest_plan()->reason, "Bring back the old master db1"));
}

static void test_closed_master_gives_what_is_stuck(void **state)
{
    (void)state;
    strand_at_db2();
    world_restart(&w->servers[DB1]);
    opens_with_all(DB1);
}

/* db4 has forgotten what it received beyond that, and proves nothing; db2 does. */
static void strand_at_db4_too(void)
{
    strand_at_db2();
    w->servers[DB4].executed = w->servers[DB4].applied = w->servers[DB4].received = 105;
    w->servers[DB4].receiving = w->servers[DB4].applier = false;
    w->servers[DB4].has_forgotten = true;
}

static void test_one_that_has_forgotten_gives_what_is_stuck(void **state)
{
    (void)state;
    strand_at_db4_too();
    opens_with_all(DB4);
}

/* What db2 wrote itself it wrote before the proof began: what it wrote last tells. */
static void test_who_wrote_before_the_proof_is_no_holder(void **state)
{
    (void)state;
    strand_at_db4_too();
    (void)TEXT_COPY(reign()->since, "0-1-104");
    w->servers[DB2].applier = w->servers[DB2].slow_applier = true;
    w->servers[DB2].sql_errno = 0;
    w->servers[DB2].executed = 103;
    w->servers[DB2].wrote_by = 2;
    world_cluster(w)->servers[DB2].maintenance = true; /* So it is not promoted itself. */
    opens_with_all(DB4);
}

/* db2 hangs on what it received; db3 has received the same. */
static void test_idle_candidate_is_left(void **state)
{
    (void)state;
    w->servers[DB2].slow_applier = true;
    w->servers[DB1].executed += 5;
    w->servers[DB2].received = w->servers[DB3].received = w->servers[DB1].executed;
    down(DB1, false);
    run_until(STEP_APPLY);
    assert_int_equal(running()->to, DB2);
    world_run(w, 14000);
    assert_int_equal(running()->to, DB2);
    world_run(w, 9000);
    assert_int_equal(world_cluster(w)->master, DB3);
    assert_false(w->servers[DB3].read_only);
}

/* Nobody else has it: to wait is all there is. */
static void test_idle_candidate_is_needed(void **state)
{
    (void)state;
    strand_at_db2();
    w->servers[DB2].applier = w->servers[DB2].slow_applier = true;
    w->servers[DB2].sql_errno = 0;
    run_until(STEP_APPLY);
    world_run(w, 40000);
    assert_int_equal(running()->step, STEP_APPLY);
    w->servers[DB2].slow_applier = false;
    run_until(STEP_REPOINT);
    assert_int_equal(running()->to, DB2);
}

/* --- old readings --- */

static void all_read_only(uint8_t server, bool is_read_only, uint64_t started)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, server)->facts.read_only = is_read_only;
        seen(m, server)->facts.started_s = started;
    }
}

/* Right after an opening the last probes still tell of a read-only server, in whatever incarnation. */
static void test_old_reading_of_a_new_master(void **state)
{
    (void)state;
    down(DB1, false);
    run_until(STEP_REPOINT);
    while (running() != NULL) world_tick(w);
    world_look(w);
    all_read_only(DB2, true, 9);
    assert_int_equal(step_once()->diagnosis.row, DIAGNOSIS_RESTARTED);
    assert_false(w->update->propose);
    world_run(w, 1300);
    all_read_only(DB2, true, 9);
    assert_true(step_once()->propose);
}

/* OPEN's answer was lost and its acker left at once: what the server shows is enough. */
static void test_open_is_seen(void **state)
{
    (void)state;
    down(DB1, false);
    run_until(STEP_OPEN);
    w->servers[DB2].read_only = false;
    down(DB3, false);
    (void)step_once(); /* The step's time begins. */
    w->now += 200;
    world_look(w);
    assert_true(step_once()->propose);
    assert_int_equal(w->update->command.u.plan_step.next, STEP_REPOINT);
    /* Not under another token: that opening was somebody else's. */
    seen(w->view->self, DB2)->facts.token--;
    assert_false(step_once()->propose);
    seen(w->view->self, DB2)->facts.token++;
    /* Nor on another server. */
    (void)TEXT_COPY(seen(w->view->self, DB2)->facts.identity, "somebody else");
    assert_false(step_once()->propose);
}

/* The acker left before the opening. Another one is listed only when the candidate was seen closed and alone after the
 * refusal: an OPEN that is under way may still find the first one attached. */
static void test_acker_is_replaced_before_opening(void **state)
{
    (void)state;
    down(DB1, false);
    run_until(STEP_OPEN);
    (void)step_once();
    down(DB3, false);
    w->now += 300;
    world_look(w);
    w->verbs[DB2].running = false;
    w->verbs[DB2].ended = w->now - 10;
    w->verbs[DB2].outcome = (struct verb_outcome){.kind = VERB_OPEN, .token = running()->token, .step = STEP_OPEN,
                                                  .state = VERB_STATE_FAILED};
    seen(w->view->self, DB2)->age_ms = 20;
    assert_false(step_once()->propose);
    seen(w->view->self, DB2)->age_ms = 5;
    assert_true(step_once()->propose);
    assert_int_equal(w->update->command.u.plan_step.next, STEP_ESTABLISH);
    assert_int_equal(w->update->command.u.plan_step.acker, DB4);
    /* Not while it may be open, or a client is attached. */
    seen(w->view->self, DB2)->facts.source_clients = 1;
    assert_false(step_once()->propose);
    seen(w->view->self, DB2)->facts.source_clients = 0;
    w->verbs[DB2].outcome.state = VERB_STATE_UNKNOWN;
    assert_false(step_once()->propose);
    w->servers[DB3].alive = true;
}

/* A candidate that an earlier plan had opened is closed by this one, under its token, before the ackers are revoked.
 * What was seen in between is not the opening of this step. */
static void test_open_is_not_seen_before_the_step(void **state)
{
    (void)state;
    down(DB1, false);
    run_until(STEP_OPEN);
    (void)step_once(); /* The step's time begins. */
    w->now += 200;
    world_look(w);
    seen(w->view->self, DB2)->facts.read_only = false;
    seen(w->view->self, DB2)->age_ms = 300;
    assert_false(step_once()->propose);
    seen(w->view->self, DB2)->age_ms = 150; /* Ended in the step, but was asked before it. */
    seen(w->view->self, DB2)->took_ms = 60;
    assert_false(step_once()->propose);
    seen(w->view->self, DB2)->took_ms = 2;
    assert_true(step_once()->propose);
    world_look(w);
}

/* --- the proof --- */

static bool withdraws(void)
{
    return step_once()->propose && w->update->command.kind == CMD_REIGN_PROOF &&
           !w->update->command.u.reign_proof.lossless;
}

static bool restores(void)
{
    return step_once()->propose && w->update->command.kind == CMD_REIGN_PROOF &&
           w->update->command.u.reign_proof.lossless;
}

static void test_two_managers_withdraw(void **state)
{
    (void)state;
    world_look(w);
    assert_false(withdraws());
    seen(0, DB1)->facts.no_tx = 1;
    assert_false(withdraws());
    seen(2, DB1)->facts.no_tx = 1;
    assert_true(withdraws());
    w->view->managers[2].heard = false;
    assert_false(withdraws());
    /* A younger reading says that it is over. */
    w->view->managers[2].heard = true;
    seen(0, DB1)->facts.no_tx = seen(2, DB1)->facts.no_tx = 0;
    seen(1, DB1)->facts.source_clients = seen(2, DB1)->facts.source_clients = 2;
    assert_false(withdraws());
}

/* One change at both, each a reason of its own. */
static void test_what_withdraws(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        world_look(w);
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            struct view_facts *f = &seen(m, DB1)->facts;
            if (i == 0) f->source_enabled = false;
            if (i == 1) f->source_on = false;
            if (i == 2) f->no_tx++;
            if (i == 3) f->started_s++;
            if (i == 4) f->source_clients = 2;
            if (i == 5) f->source_timeout_ms = 10000;
            if (i == 6) f->after_sync = false;
            if (i == 7) f->wait_no_replica = false;
            if (i == 8) seen(m, DB2)->facts.started_s++;
            if (i == 9) seen(m, DB3)->facts.replica_enabled = true;
        }
        if (!withdraws()) fail_msg("change %u does not withdraw the proof", i);
    }
    world_look(w);
    /* The acker is away: commits wait for it. */
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, DB1)->facts.source_clients = 0;
        seen(m, DB1)->facts.wait_sessions = 3;
        seen(m, DB2)->facts.replica_on = false;
        seen(m, DB2)->facts.channels[0].io = VIEW_IO_CONNECTING;
    }
    assert_false(withdraws());
    assert_int_equal(w->update->diagnosis.row, DIAGNOSIS_BLOCKED);
}

/* The master as m3 and then m1 read it, the acker in between. */
static void look_in_order(void)
{
    world_look(w);
    seen(0, DB1)->age_ms = 2;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, DB2)->age_ms = 5;
        seen(m, DB1)->took_ms = seen(m, DB2)->took_ms = 1;
    }
    seen(1, DB1)->age_ms = 20;
    seen(2, DB1)->age_ms = 40;
}

static void test_what_restores(void **state)
{
    (void)state;
    reign()->lossless = false;
    reign()->since[0] = '\0';
    look_in_order();
    assert_true(restores());
    const struct fsm_cmd_reign_proof *c = &w->update->command.u.reign_proof;
    assert_string_equal(c->since, "0-1-100");
    assert_int_equal(c->started_s[DB1], 1);
    assert_int_equal(c->started_s[DB2], 1);
    for (unsigned i = 0; i < 9; i++) {
        look_in_order();
        if (i == 0) (void)TEXT_COPY(seen(2, DB1)->facts.binlog, "0-1-101"); /* Not received by the acker. */
        if (i == 1) seen(0, DB1)->facts.no_tx = 1;
        if (i == 2) seen(0, DB1)->facts.started_s = 2;
        if (i == 3) seen(1, DB1)->facts.source_clients = 2;
        if (i == 4) seen(2, DB1)->facts.source_clients = 0;
        if (i == 5) seen(1, DB1)->facts.source_on = false;
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            if (i == 6) seen(m, DB2)->age_ms = 50; /* Read before the master. */
            if (i == 7) seen(m, DB2)->facts.replica_on = false;
            if (i == 8) seen(m, DB4)->facts.replica_on = true;
        }
        if (restores()) fail_msg("restored in spite of %u", i);
    }
    look_in_order();
    reign()->k = 0;
    assert_false(restores());
    reign()->k = 1;
    world_cluster(w)->durability = DURABILITY_ASYNC;
    assert_false(restores());
}

/* What was read before the proof was withdrawn may be from before the trouble. */
static void test_restored_by_young_readings_only(void **state)
{
    (void)state;
    w->servers[DB1].strangers = 1;
    world_run(w, 50);
    assert_false(reign()->lossless);
    w->servers[DB1].strangers = 0;
    world_run(w, 1000);
    assert_false(reign()->lossless);
    world_run(w, 500);
    assert_true(reign()->lossless);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_server_has_one_cluster), T(test_f2_needs_the_close), T(test_a_hidden_acker_is_no_proof),
        T(test_only_a_durable_master_is_a_fence),
        T(test_only_a_durable_master_proves),
        T(test_only_the_current_master_proves),
        T(test_hopeless_ackers_end),
        T(test_each_acker_has_its_turn),
        T(test_unfollowed_candidate_is_left),
        T(test_who_was_given_up_does_not_acknowledge),
        T(test_only_the_enrolled_one_acknowledges), T(test_closed_again_before_opening), T(test_holder_is_dispensable),
        T(test_holder_is_needed_beside_other_ackers), T(test_holder_is_needed_by_one_that_is_no_acker),
        T(test_holder_is_needed_when_not_lossless), T(test_closed_master_as_holder_is_needed),
        T(test_idle_candidate_is_left), T(test_idle_candidate_is_needed),
        T(test_stuck_acker_is_no_holder), T(test_closed_master_gives_what_is_stuck),
        T(test_one_that_has_forgotten_gives_what_is_stuck), T(test_who_wrote_before_the_proof_is_no_holder),
        T(test_old_reading_of_a_new_master), T(test_open_is_seen), T(test_open_is_not_seen_before_the_step),
        T(test_acker_is_replaced_before_opening), T(test_two_managers_withdraw),
        T(test_what_withdraws), T(test_what_restores), T(test_restored_by_young_readings_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
