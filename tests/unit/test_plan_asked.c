/* What a slow answer tells is as old as its question (plan/sight.h): each rule that needs something read after a verb's
 * end, or within a step, asks for that. Each test shows one moment twice: asked a moment ago, and asked before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/proof.h"
#include "plan/sight.h"
#include "plan_world.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3, QUICK_MS = 2, SLOW_MS = 20000 };

static struct world *w;

static int setup(void **state)
{
    (void)state;
    w = world_begin(4, DURABILITY_PREFER_LOSSLESS);
    return 0;
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

static struct view_observation *mine(uint8_t server)
{
    return seen(w->view->self, server);
}

/* All managers were answered by 'server' 'age_ms' ago, to questions that they had sent 'took_ms' before. */
static void asked(uint8_t server, int64_t age_ms, int64_t took_ms)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, server)->age_ms = age_ms;
        seen(m, server)->took_ms = took_ms;
    }
}

static struct fsm_plan *running(void)
{
    const struct fsm_plan *p = fsm_plan_find(w->state, world_cluster(w)->plan);
    assert_non_null(p);
    return &w->state->plans[p - w->state->plans];
}

static void down(uint8_t server, bool is_frozen)
{
    w->servers[server].alive = is_frozen;
    w->servers[server].frozen = is_frozen;
    w->servers[server].down_at = w->now;
}

/* The master dies, and its failover comes to 'step', with nothing asked in it yet. */
static void fail_over_to(enum fsm_step step)
{
    int64_t end = w->now + 20000;
    down(DB1, false);
    while (w->now < end && (world_cluster(w)->plan == 0 || running()->step != step)) world_tick(w);
    assert_int_equal(running()->step, step);
    (void)step_once(); /* The step's time begins. */
    w->now += 500;
    world_look(w);
}

/* A verb ended on 'server' 10 ms ago. */
static struct verb_outcome *ended(uint8_t server, enum verb_kind kind, enum verb_state state)
{
    struct world_verb *v = &w->verbs[server];
    const struct fsm_plan *p = running();
    memset(v, 0, sizeof(*v));
    v->verb.kind = kind;
    v->verb.token = p->token;
    v->verb.step = p->step;
    v->ended = w->now - 10;
    v->outcome = (struct verb_outcome){.kind = kind, .token = p->token, .step = p->step, .state = state,
                                       .server_id = server + 1u, .started_s = 1};
    (void)TEXT_COPY(v->outcome.received, "0-1-105");
    (void)TEXT_COPY(v->outcome.executed, "0-1-105");
    return &v->outcome;
}

static bool asks(uint8_t server, enum verb_kind kind)
{
    const struct plan_update *u = step_once();
    for (uint8_t i = 0; i < u->verbs_n; i++) {
        if (u->verbs[i].server == server && u->verbs[i].kind == kind) return true;
    }
    return false;
}

static bool fails(void)
{
    const struct plan_update *u = step_once();
    return u->propose && u->command.kind == CMD_PLAN_END && u->command.u.plan_end.state == PLAN_STATE_FAILED;
}

static bool goes_on_with(enum fsm_step step)
{
    const struct plan_update *u = step_once();
    return u->propose && u->command.kind == CMD_PLAN_STEP && u->command.u.plan_step.next == step;
}

static bool begins(enum fsm_plan_kind kind)
{
    const struct plan_update *u = step_once();
    return u->propose && u->command.kind == CMD_PLAN_BEGIN && u->command.u.plan_begin.kind == kind;
}

/* --- reading --- */

static void test_asked_is_older_than_answered(void **state)
{
    (void)state;
    struct view_observation o = {.outcome = VIEW_OK, .age_ms = 5, .took_ms = 30, .facts = {.set = true}};
    assert_int_equal(sight_asked_ms(&o), 35);
    assert_true(sight_is_after(&o, 36));
    assert_false(sight_is_after(&o, 35)); /* In the same millisecond: nobody knows which was first. */
    o.age_ms = -1; /* Never. */
    assert_false(sight_is_after(&o, INT64_MAX));
}

static void test_best_is_who_was_asked_last(void **state)
{
    (void)state;
    world_look(w);
    asked(DB2, 5, 300);
    seen(1, DB2)->age_ms = 90;
    seen(1, DB2)->took_ms = 10;
    assert_ptr_equal(sight_asked_last(world_cluster(w), w->view, DB2), seen(1, DB2));
    assert_ptr_equal(sight_best(world_cluster(w), w->view, DB2), seen(0, DB2));
    assert_true(sight_has_older(world_cluster(w), w->view, 305));
    assert_false(sight_has_older(world_cluster(w), w->view, 306));
    seen(0, DB2)->outcome = seen(2, DB2)->outcome = VIEW_TIMED_OUT; /* Nothing was read. */
    assert_false(sight_has_older(world_cluster(w), w->view, 150));
}

/* --- the verdict --- */

static enum diagnosis_row row(void)
{
    struct diagnosis d;
    diagnose_verdict(world_cluster(w), w->view, &d);
    return d.row;
}

static void test_death_is_told_by_who_was_asked_after_it(void **state)
{
    (void)state;
    down(DB1, false);
    w->now += 50;
    world_look(w);
    assert_int_equal(row(), DIAGNOSIS_GONE);
    asked(DB3, 3, 200);
    assert_int_equal(row(), DIAGNOSIS_WAITING);
    asked(DB3, 3, QUICK_MS);
    assert_int_equal(row(), DIAGNOSIS_GONE);
    /* The newest answer is a slow one, and may be from before that: it vetoes all the same. */
    seen(1, DB3)->age_ms = 1;
    seen(1, DB3)->took_ms = 200;
    seen(1, DB3)->facts.channels[0].io = VIEW_IO_YES;
    assert_int_equal(row(), DIAGNOSIS_RECEIVERS_ALIVE);
    seen(1, DB3)->age_ms = 4;
    assert_int_equal(row(), DIAGNOSIS_GONE);
}

/* It is counted up to the question anyway: a follower that is always slow does not veto for ever. */
static void test_silence_is_told_by_slow_answers_too(void **state)
{
    (void)state;
    down(DB1, true);
    w->now += 1600;
    world_look(w);
    for (uint8_t i = DB2; i <= DB4; i++) asked(i, 3, 450);
    assert_int_equal(row(), DIAGNOSIS_SILENT);
}

/* --- before anything is revoked --- */

static void test_a_master_works_again_by_what_was_asked_in_the_step(void **state)
{
    (void)state;
    fail_over_to(STEP_REVOKE);
    w->servers[DB1].alive = true;
    world_look(w);
    asked(DB1, 3, 600);
    assert_false(fails());
    asked(DB1, 3, QUICK_MS);
    assert_true(fails());
    asked(DB2, 3, 600); /* And so does its acker. */
    assert_false(fails());
    asked(DB2, 3, QUICK_MS);
    (void)ended(DB2, VERB_REVOKE, VERB_STATE_FAILED); /* It may have been revoked after all. */
    assert_true(fails());
    asked(DB2, 3, 8);
    assert_false(fails());
}

/* --- REVOKE --- */

/* DB2 was promoted by an earlier plan, which took it off the list. */
static void was_promoted(void)
{
    running()->past_n = 1;
    running()->past[0].master = DB2;
    running()->past[0].epoch = world_cluster(w)->epoch + 1;
}

static void test_own_transactions_are_read_after_the_revocation(void **state)
{
    (void)state;
    fail_over_to(STEP_REVOKE);
    was_promoted();
    for (uint8_t i = DB2; i <= DB4; i++) (void)ended(i, VERB_REVOKE, VERB_STATE_DONE);
    asked(DB2, 3, 8);
    assert_false(goes_on_with(STEP_APPLY));
    asked(DB2, 3, QUICK_MS);
    assert_true(goes_on_with(STEP_APPLY));
}

static void test_seen_open_after_the_revocation(void **state)
{
    (void)state;
    fail_over_to(STEP_REVOKE);
    was_promoted();
    (void)ended(DB2, VERB_REVOKE, VERB_STATE_DONE);
    mine(DB2)->facts.read_only = false;
    asked(DB2, 3, 8);
    assert_false(asks(DB2, VERB_CLOSE));
    asked(DB2, 3, QUICK_MS);
    assert_true(asks(DB2, VERB_CLOSE));
}

static bool revokes(uint8_t server)
{
    assert_true(goes_on_with(STEP_APPLY));
    return fsm_set_has(w->update->command.u.plan_step.revoked, server);
}

static void test_a_closed_master_is_quiet_when_asked_after_that(void **state)
{
    (void)state;
    fail_over_to(STEP_REVOKE);
    for (uint8_t i = DB2; i <= DB4; i++) (void)ended(i, VERB_REVOKE, VERB_STATE_DONE);
    (void)ended(DB1, VERB_CLOSE, VERB_STATE_DONE);
    fsm_set ackers = world_cluster(w)->reigns[0].ackers;
    world_cluster(w)->reigns[0].ackers |= FSM_BIT(DB1); /* As one that was given up counts it. */
    w->servers[DB1].alive = w->servers[DB1].read_only = true;
    world_look(w);
    assert_true(revokes(DB1));
    asked(DB1, 3, 8);
    assert_false(revokes(DB1));
    world_cluster(w)->reigns[0].ackers = ackers;
}

/* --- ESTABLISH and OPEN --- */

static void test_an_acker_restarted_after_it_followed(void **state)
{
    (void)state;
    fail_over_to(STEP_ESTABLISH);
    (void)ended(DB3, VERB_FOLLOW, VERB_STATE_DONE);
    mine(DB3)->facts.started_s = 2;
    asked(DB3, 3, 8);
    assert_false(asks(DB3, VERB_REVOKE));
    asked(DB3, 3, QUICK_MS);
    assert_true(asks(DB3, VERB_REVOKE));
}

static void test_a_candidate_restarted_after_the_promotion(void **state)
{
    (void)state;
    fail_over_to(STEP_ESTABLISH);
    w->now += 3000;
    world_look(w);
    mine(DB2)->facts.source_enabled = false;
    asked(DB2, 3, 3600);
    assert_false(fails());
    asked(DB2, 3, QUICK_MS);
    assert_true(fails());
}

static void test_seen_open_within_the_step(void **state)
{
    (void)state;
    fail_over_to(STEP_OPEN);
    mine(DB2)->facts.read_only = false;
    asked(DB2, 3, 600);
    assert_false(goes_on_with(STEP_REPOINT));
    asked(DB2, 3, QUICK_MS);
    assert_true(goes_on_with(STEP_REPOINT));
}

static void test_seen_alone_after_the_refusal(void **state)
{
    (void)state;
    fail_over_to(STEP_OPEN);
    down(DB3, false);
    w->now += 300;
    world_look(w);
    (void)ended(DB2, VERB_OPEN, VERB_STATE_FAILED);
    asked(DB2, 3, 8);
    assert_false(goes_on_with(STEP_ESTABLISH));
    asked(DB2, 3, QUICK_MS);
    assert_true(goes_on_with(STEP_ESTABLISH));
    w->servers[DB3].alive = true;
}

/* --- the ackers (A2), and the proof --- */

/* Only the leader knows how old its own reading is. */
static void test_who_leaves_a_was_off_before_the_master_was_asked(void **state)
{
    (void)state;
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    struct work x = {.in = &in, .cluster = world_cluster(w), .update = w->update};
    world_look(w);
    assert_true(proof_has_caught_up(&x, DB1, FSM_BIT(DB2), 50));
    mine(DB1)->took_ms = 60;
    assert_false(proof_has_caught_up(&x, DB1, FSM_BIT(DB2), 50));
    asked(DB1, 3, QUICK_MS);
    mine(DB1)->outcome = VIEW_TIMED_OUT;
    assert_false(proof_has_caught_up(&x, DB1, FSM_BIT(DB2), 50));
}

static bool changes_proof(bool is_lossless)
{
    const struct plan_update *u = step_once();
    return u->propose && u->command.kind == CMD_REIGN_PROOF && u->command.u.reign_proof.lossless == is_lossless;
}

static void test_a_proof_is_judged_by_who_was_asked_last(void **state)
{
    (void)state;
    world_look(w);
    seen(1, DB1)->facts.no_tx = seen(2, DB1)->facts.no_tx = 1;
    assert_false(changes_proof(false));
    mine(DB1)->took_ms = 300; /* It was read before the others saw the trouble. */
    assert_true(changes_proof(false));
}

static void test_a_proof_waits_for_who_was_asked_after_the_last_decision(void **state)
{
    (void)state;
    world_look(w);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB1)->facts.no_tx = 1;
    mine(DB2)->took_ms = SLOW_MS;
    assert_false(changes_proof(false));
    mine(DB2)->took_ms = QUICK_MS;
    assert_true(changes_proof(false));

    world_look(w);
    world_cluster(w)->reigns[0].lossless = false;
    asked(DB2, 12, QUICK_MS);
    asked(DB1, 40, QUICK_MS);
    mine(DB1)->age_ms = 3;
    seen(1, DB1)->age_ms = 5; /* The oldest reading, by its question. */
    seen(1, DB1)->took_ms = 300;
    (void)TEXT_COPY(seen(1, DB1)->facts.binlog, "0-1-99");
    assert_true(changes_proof(true));
    assert_string_equal(w->update->command.u.reign_proof.since, "0-1-99");
    mine(DB4)->took_ms = SLOW_MS;
    assert_false(changes_proof(true));
    world_cluster(w)->reigns[0].lossless = true;
}

/* --- beginning --- */

static void test_who_stands_still_was_asked_after_the_last_plan(void **state)
{
    (void)state;
    world_restart_and_forget(&w->servers[DB3]);
    world_look(w);
    asked(DB3, 3, SLOW_MS);
    assert_false(begins(PLAN_FOLLOW));
    asked(DB3, 3, QUICK_MS);
    assert_true(begins(PLAN_FOLLOW));
}

static void test_an_open_stranger_was_asked_after_the_last_plan(void **state)
{
    (void)state;
    w->servers[DB3].read_only = false;
    world_look(w);
    asked(DB3, 3, SLOW_MS);
    assert_false(begins(PLAN_CLOSE));
    asked(DB3, 3, QUICK_MS);
    assert_true(begins(PLAN_CLOSE));
}

static void test_a_restarted_master_was_asked_after_the_last_plan(void **state)
{
    (void)state;
    world_restart(&w->servers[DB1]);
    world_look(w);
    assert_int_equal(row(), DIAGNOSIS_RESTARTED);
    seen(1, DB1)->took_ms = SLOW_MS;
    assert_false(begins(PLAN_FAILOVER));
    seen(1, DB1)->took_ms = QUICK_MS;
    assert_true(begins(PLAN_FAILOVER));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_asked_is_older_than_answered),
        T(test_best_is_who_was_asked_last),
        T(test_death_is_told_by_who_was_asked_after_it),
        T(test_silence_is_told_by_slow_answers_too),
        T(test_a_master_works_again_by_what_was_asked_in_the_step),
        T(test_own_transactions_are_read_after_the_revocation),
        T(test_seen_open_after_the_revocation),
        T(test_a_closed_master_is_quiet_when_asked_after_that),
        T(test_an_acker_restarted_after_it_followed),
        T(test_a_candidate_restarted_after_the_promotion),
        T(test_seen_open_within_the_step),
        T(test_seen_alone_after_the_refusal),
        T(test_who_leaves_a_was_off_before_the_master_was_asked),
        T(test_a_proof_is_judged_by_who_was_asked_last),
        T(test_a_proof_waits_for_who_was_asked_after_the_last_decision),
        T(test_who_stands_still_was_asked_after_the_last_plan),
        T(test_an_open_stranger_was_asked_after_the_last_plan),
        T(test_a_restarted_master_was_asked_after_the_last_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
