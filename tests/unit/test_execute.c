/* The executor: one verb a server, bounded in time, honest about what is unknown (manager/execute.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "manager/execute.h"
#include "probe_answer.h"

static struct fake *f;
static struct execute *x;
static unsigned changes_n;

static void changed(void *arg, uint8_t cluster)
{
    (void)arg;
    (void)cluster;
    changes_n++;
}

static int setup(void **state)
{
    (void)state;
    f = fake_new();
    x = execute_new(&f->ports, changed, NULL);
    changes_n = 0;
    return x ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    execute_free(x);
    fake_free(f);
    return 0;
}

static struct verb verb_of(enum verb_kind kind, uint8_t server, uint64_t token)
{
    struct verb v;
    memset(&v, 0, sizeof v);
    v.kind = kind;
    v.server = server;
    v.token = token;
    v.step = STEP_REVOKE;
    v.epoch = 2;
    v.deadline_ms = 3000;
    TEXT_COPY(v.identity, f->state->clusters[0].servers[server].identity);
    return v;
}

static const struct verb_outcome *outcome(uint8_t server)
{
    return &execute_outcomes(x, 0)[server];
}

static void ask(struct verb v)
{
    execute_verb(x, &v);
    execute_run(x);
}

static void a_verb_runs_once_however_often_it_is_asked(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) ask(verb_of(VERB_REVOKE, 1, 20));
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 1);
    assert_int_equal(f->drops_n, 0);
    assert_int_equal(outcome(1)->state, VERB_STATE_RUNNING);
    assert_int_equal(outcome(1)->attempts, 1);
}

static void an_unreachable_server_is_a_failure_and_is_tried_again_after_a_growing_pause(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_true(fake_fail(f, 1, PORT_CONTROL, FAKE_REFUSED));
    assert_int_equal(outcome(1)->state, VERB_STATE_FAILED);
    assert_int_equal(changes_n, 1);
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 1);
    unsigned sent = 0;
    for (int ms = 0; ms < 10000; ms += 10) {
        fake_pass(f, 10);
        ask(verb_of(VERB_REVOKE, 1, 20));
        sent += fake_fail(f, 1, PORT_CONTROL, FAKE_REFUSED);
    }
    assert_in_range(sent, 15, 30); /* 40, 80, 160, 320, then every 500 ms. */
}

static void a_lost_session_means_unknown(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    fake_fail(f, 1, PORT_CONTROL, FAKE_LOST);
    assert_int_equal(outcome(1)->state, VERB_STATE_UNKNOWN);
}

/* What was sent first may act when it wakes, whatever became of the next connection. */
static void what_was_sent_before_makes_a_refusal_unknown(void **state)
{
    struct answer_server s = answer_replica();
    struct db_result answer;
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_true(fake_fail(f, 1, PORT_CONTROL, (struct db_result){.status = DB_UNREACHABLE, .session_lost = true}));
    assert_int_equal(outcome(1)->state, VERB_STATE_FAILED);
    s.identity = f->state->clusters[0].servers[2].identity;
    answer_make(&s, &answer);
    ask(verb_of(VERB_REVOKE, 2, 20));
    assert_true(fake_fail(f, 2, PORT_CONTROL, answer)); /* Read: now it takes the session. */
    execute_run(x);
    assert_true(fake_fail(f, 2, PORT_CONTROL, (struct db_result){.status = DB_UNREACHABLE, .session_lost = true}));
    assert_int_equal(outcome(2)->state, VERB_STATE_UNKNOWN);
}

static void nothing_is_sent_after_the_deadline(void **state)
{
    struct verb v = verb_of(VERB_REVOKE, 1, 20);
    (void)state;
    execute_verb(x, &v);
    fake_pass(f, v.deadline_ms);
    execute_run(x);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 0);
    assert_int_equal(outcome(1)->state, VERB_STATE_FAILED);
}

static void a_full_server_is_a_failure(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    fake_fail(f, 1, PORT_CONTROL, FAKE_FULL);
    assert_int_not_equal(outcome(1)->state, VERB_STATE_RUNNING);
    assert_int_not_equal(outcome(1)->state, VERB_STATE_DONE);
    assert_string_not_equal(outcome(1)->error, "");
}

static void another_verb_takes_the_seat_and_late_answers_are_dropped(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    ask(verb_of(VERB_REVOKE, 1, 30)); /* A newer plan. */
    assert_int_equal(f->drops_n, 1);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 1); /* The old session still ends. */
    assert_true(fake_fail(f, 1, PORT_CONTROL, (struct db_result){.status = DB_CANCELED, .session_lost = true}));
    ask(verb_of(VERB_REVOKE, 1, 30));
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 2);
    assert_int_equal(outcome(1)->token, 30);
    assert_int_equal(outcome(1)->state, VERB_STATE_RUNNING);
}

/* A step that is committed again, with another acker or none, asks for other verbs of the same kind, token and step. */
static void a_verb_is_another_by_each_of_its_fields(void **state)
{
    (void)state;
    struct verb v = verb_of(VERB_FOLLOW, 1, 20);
    ask(v);
    for (unsigned i = 0; i < 7; i++) {
        if (i == 5) v.step = STEP_REPOINT;
        if (i == 6) v.kind = VERB_CATCH_UP;
        if (i == 0) v.k = 1;
        if (i == 1) v.is_acker = true;
        if (i == 2) v.source_port = 3399;
        if (i == 3) TEXT_COPY(v.source_host, "db9");
        if (i == 4) TEXT_COPY(v.target, "0-1-7");
        ask(v);
        assert_int_equal(f->drops_n, i + 1);
        assert_true(fake_fail(f, 1, PORT_CONTROL, (struct db_result){.status = DB_CANCELED, .session_lost = true}));
        ask(v);
        assert_int_equal(fake_sent(f, 1, PORT_CONTROL), i + 2);
    }
}

static void a_request_carries_no_more_time_than_the_verb_has_left(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_int_equal(f->requests[0].request.deadline_ms, 3000);
    fake_pass(f, 3000);
    fake_fail(f, 1, PORT_CONTROL, FAKE_TIMED_OUT);
    assert_int_equal(outcome(1)->state, VERB_STATE_UNKNOWN);
}

static void the_reign_row_has_its_own_session(void **state)
{
    (void)state;
    ask(verb_of(VERB_REIGN_ROW, 1, 20));
    assert_int_equal(fake_sent(f, 1, PORT_REIGN), 1);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 0);
}

static void cancelling_forgets_everything(void **state)
{
    (void)state;
    ask(verb_of(VERB_REVOKE, 1, 20));
    ask(verb_of(VERB_REVOKE, 2, 20));
    fake_fail(f, 2, PORT_CONTROL, FAKE_REFUSED);
    execute_cancel_all(x);
    assert_int_equal(f->drops_n, 1);
    for (uint8_t i = 0; i < 3; i++) assert_int_equal(outcome(i)->state, VERB_STATE_IDLE);
    fake_fail(f, 1, PORT_CONTROL, FAKE_LOST); /* Late. */
    assert_int_equal(outcome(1)->state, VERB_STATE_IDLE);
    execute_run(x);
    assert_int_equal(fake_open(f, 1, PORT_CONTROL), 0);
}

/* Answers all that is asked of server 1 as a replica whose receiver is stopped and that holds 'token'. Returns how
 * often the control session was taken over. */
static unsigned play(const char *token)
{
    unsigned takeovers = 0;
    for (int i = 0; i < 20; i++) {
        execute_run(x);
        if (fake_open(f, 1, PORT_CONTROL) == 0) {
            if (outcome(1)->state != VERB_STATE_RUNNING) break;
            fake_pass(f, 20);
            continue;
        }
        struct answer_server a = answer_replica();
        struct db_result result;
        a.identity = "identity-1";
        a.token = token;
        a.epoch = "2";
        a.replica_enabled = "0";
        a.replica_on = "OFF";
        a.channels[0].io = "No";
        answer_make(&a, &result);
        takeovers += strstr(f->requests[f->requests_n - 1].sql, "GET_LOCK") != NULL;
        fake_fail(f, 1, PORT_CONTROL, result);
    }
    return takeovers;
}

static void revoke_with_takeover(void)
{
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_int_equal(play("20"), 1);
    assert_int_equal(outcome(1)->state, VERB_STATE_DONE);
}

static struct verb apply_verb(uint64_t token)
{
    struct verb v = verb_of(VERB_APPLY, 1, token);
    v.step = STEP_APPLY;
    TEXT_COPY(v.target, "0-1-100");
    return v;
}

static void the_lock_of_a_plan_serves_its_next_verb(void **state)
{
    (void)state;
    revoke_with_takeover();
    ask(apply_verb(20));
    assert_int_equal(play("20"), 0);
    assert_int_equal(outcome(1)->state, VERB_STATE_DONE);
}

/* The planner asks for it in every round until its step is over. */
static void a_verb_that_is_done_is_not_done_again(void **state)
{
    (void)state;
    revoke_with_takeover();
    unsigned sent = fake_sent(f, 1, PORT_CONTROL);
    fake_pass(f, 5000);
    ask(verb_of(VERB_REVOKE, 1, 20));
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), sent);
    assert_int_equal(outcome(1)->state, VERB_STATE_DONE);
    ask(verb_of(VERB_REVOKE, 1, 21)); /* Of another plan it is another verb. */
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), sent + 1);
}

static void a_lock_whose_session_hung_up_is_taken_again(void **state)
{
    (void)state;
    revoke_with_takeover();
    execute_hangup(x, 0, 1);
    ask(apply_verb(20));
    assert_int_equal(play("20"), 1);
}

static void a_lock_of_a_lost_session_is_taken_again(void **state)
{
    (void)state;
    revoke_with_takeover();
    ask(apply_verb(20));
    fake_fail(f, 1, PORT_CONTROL, FAKE_LOST);
    assert_int_equal(outcome(1)->state, VERB_STATE_UNKNOWN);
    fake_pass(f, 1000);
    ask(apply_verb(20));
    assert_int_equal(play("20"), 1);
}

static void the_lock_of_an_older_plan_does_not_serve_another(void **state)
{
    (void)state;
    revoke_with_takeover();
    ask(apply_verb(30));
    assert_int_equal(play("30"), 1);
}

static void a_deposed_leader_gives_the_lock_back(void **state)
{
    (void)state;
    revoke_with_takeover();
    execute_cancel_all(x);
    assert_int_equal(f->drops_n, 1);
    assert_int_equal(f->drops[0].session, PORT_CONTROL);
    assert_int_equal(f->drops[0].server, 1);
}

static void verbs_carry_the_term_of_the_leader(void **state)
{
    (void)state;
    f->established = true;
    f->term = 777001;
    ask(verb_of(VERB_REVOKE, 1, 20));
    bool is_sent = false;
    for (int i = 0; i < 5; i++) {
        (void)play("20");
        ask(verb_of(VERB_REVOKE, 1, 20));
    }
    for (unsigned i = 0; i < f->requests_n; i++) is_sent = is_sent || strstr(f->requests[i].sql, "777001") != NULL;
    assert_true(is_sent);
}

/* Answers as the open master that is closed, until nothing is asked of the control session any more or what it was
 * asked contains 'until'. Returns whether it does. */
static bool play_close(const char *read_only, const char *bars, const char *until)
{
    for (int i = 0; i < 40; i++) {
        execute_run(x);
        if (fake_open(f, 1, PORT_CONTROL) == 0) {
            if (outcome(1)->state != VERB_STATE_RUNNING) break;
            fake_pass(f, 20);
            continue;
        }
        const struct fake_request *last = &f->requests[f->requests_n - 1];
        while (last->request.session != PORT_CONTROL) last--;
        if (until != NULL && strstr(last->sql, until) != NULL) return true;
        struct answer_server a = answer_replica();
        struct db_result result;
        a.identity = "identity-1";
        a.token = "20";
        a.epoch = "2";
        a.read_only = read_only;
        if (strstr(last->sql, " AS closed") != NULL) {
            a.close_left = text_equal(read_only, "1") ? "0" : "3";
            a.close_last = "77";
            a.close_bars = bars;
            a.close_connections = "40";
        }
        answer_make(&a, &result);
        fake_fail(f, 1, PORT_CONTROL, result);
    }
    return false;
}

static const char look_for_bar[] = "SET bars = ";

static void close_goes_on_while_its_second_session_hangs(void **state)
{
    (void)state;
    ask(verb_of(VERB_CLOSE, 1, 20));
    assert_true(play_close("0", "0", look_for_bar));
    assert_int_equal(fake_open(f, 1, PORT_REIGN), 1);
    const struct fake_request *bar = &f->requests[f->requests_n - 1];
    while (bar->request.session != PORT_REIGN) bar--;
    assert_non_null(strstr(bar->sql, "SET GLOBAL read_only = 1"));
    assert_false(play_close("1", "0", NULL));
    assert_int_equal(outcome(1)->state, VERB_STATE_DONE);
    assert_int_equal(fake_sent(f, 1, PORT_REIGN), 1);
    assert_int_equal(f->drops_n, 1); /* Its user lock with it. */
    assert_int_equal(f->drops[0].session, PORT_REIGN);
    fake_fail(f, 1, PORT_REIGN, FAKE_LOST); /* Late. */
    assert_int_equal(outcome(1)->state, VERB_STATE_DONE);
}

static void a_refused_second_session_is_told_to_the_verb(void **state)
{
    (void)state;
    ask(verb_of(VERB_CLOSE, 1, 20));
    assert_true(play_close("0", "0", look_for_bar));
    assert_true(fake_fail(f, 1, PORT_REIGN, FAKE_FULL));
    assert_true(play_close("0", "0", "SET GLOBAL max_connections = @@GLOBAL.max_connections + 8"));
    assert_false(play_close("0", "0", "no such text"));
    assert_int_equal(fake_sent(f, 1, PORT_REIGN), 2);
}

static void a_cancelled_close_drops_both_sessions(void **state)
{
    (void)state;
    ask(verb_of(VERB_CLOSE, 1, 20));
    assert_true(play_close("0", "0", look_for_bar));
    execute_cancel_all(x);
    assert_int_equal(f->drops_n, 2);
    ask(verb_of(VERB_CLOSE, 1, 20));
    fake_fail(f, 1, PORT_CONTROL, FAKE_LOST);
    ask(verb_of(VERB_CLOSE, 1, 20));
    /* The old statement's end is not taken for the new one's, which waits for it. */
    assert_false(play_close("0", "0", look_for_bar));
    assert_int_equal(fake_sent(f, 1, PORT_REIGN), 1);
    fake_fail(f, 1, PORT_REIGN, FAKE_FULL);
    assert_true(play_close("0", "0", look_for_bar));
    assert_int_equal(fake_sent(f, 1, PORT_REIGN), 2);
    assert_false(play_close("0", "0", "max_connections = @@GLOBAL"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_verb_runs_once_however_often_it_is_asked),
        T(an_unreachable_server_is_a_failure_and_is_tried_again_after_a_growing_pause),
        T(a_lost_session_means_unknown),
        T(what_was_sent_before_makes_a_refusal_unknown),
        T(nothing_is_sent_after_the_deadline),
        T(a_full_server_is_a_failure),
        T(another_verb_takes_the_seat_and_late_answers_are_dropped),
        T(a_verb_is_another_by_each_of_its_fields),
        T(a_request_carries_no_more_time_than_the_verb_has_left),
        T(the_reign_row_has_its_own_session),
        T(cancelling_forgets_everything),
        T(the_lock_of_a_plan_serves_its_next_verb),
        T(a_verb_that_is_done_is_not_done_again),
        T(a_lock_whose_session_hung_up_is_taken_again),
        T(a_lock_of_a_lost_session_is_taken_again),
        T(the_lock_of_an_older_plan_does_not_serve_another),
        T(a_deposed_leader_gives_the_lock_back),
        T(verbs_carry_the_term_of_the_leader),
        T(close_goes_on_while_its_second_session_hangs),
        T(a_refused_second_session_is_told_to_the_verb),
        T(a_cancelled_close_drops_both_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
