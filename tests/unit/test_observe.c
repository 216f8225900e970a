/* The observer: when it probes, what it remembers of failures, what it takes from others (manager/observe.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "manager/observe.h"
#include "probe_answer.h"

static unsigned changes_n;

static void changed(void *arg, uint8_t cluster)
{
    (void)arg;
    (void)cluster;
    changes_n++;
}

static struct fake *f;
static struct observe *o;

static int setup(void **state)
{
    (void)state;
    f = fake_new();
    o = observe_new(&f->ports, changed, NULL);
    changes_n = 0;
    return o ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    observe_free(o);
    fake_free(f);
    return 0;
}

static const struct view_observation *mine(uint8_t server)
{
    return &observe_view(o, 0)->managers[0].servers[server];
}

static void each_server_is_probed_once_a_period(void **state)
{
    (void)state;
    observe_run(o);
    for (uint8_t i = 0; i < 3; i++) assert_int_equal(fake_sent(f, i, PORT_PROBE), 1);
    observe_run(o); /* Outstanding: not again. */
    for (uint8_t i = 0; i < 3; i++) assert_int_equal(fake_sent(f, i, PORT_PROBE), 1);
    assert_true(fake_fail(f, 2, PORT_PROBE, FAKE_FULL)); /* A replica in trouble makes nobody suspicious. */
    fake_pass(f, 499);
    observe_run(o);
    assert_int_equal(fake_sent(f, 2, PORT_PROBE), 1);
    fake_pass(f, 1);
    observe_run(o);
    assert_int_equal(fake_sent(f, 2, PORT_PROBE), 2);
}

static void a_hangup_is_followed_by_two_refusals_20_ms_apart(void **state)
{
    (void)state;
    observe_run(o);
    fake_fail(f, 0, PORT_PROBE, FAKE_FULL);
    assert_true(view_outcome_is_alive(mine(0)->outcome));
    fake_pass(f, 100);
    observe_hangup(o, 0, 0);
    assert_int_equal(mine(0)->outcome, VIEW_LOST);
    observe_run(o);
    assert_int_equal(fake_open(f, 0, PORT_PROBE), 1);
    fake_pass(f, 1);
    fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED);
    assert_int_equal(mine(0)->refused_n, 1);
    observe_run(o);
    fake_pass(f, 19);
    observe_run(o);
    assert_int_equal(fake_open(f, 0, PORT_PROBE), 0); /* Not before 20 ms. */
    fake_pass(f, 1);
    observe_run(o);
    assert_int_equal(fake_open(f, 0, PORT_PROBE), 1);
    fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED);
    assert_int_equal(mine(0)->refused_n, 2);
    assert_true(mine(0)->refused_span_ms >= 20);
    assert_int_equal(mine(0)->failing_ms, 21);
}

static void an_answer_between_refusals_begins_the_count_anew(void **state)
{
    (void)state;
    observe_run(o);
    fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED);
    observe_run(o);
    fake_pass(f, 30);
    observe_run(o);
    assert_true(fake_fail(f, 0, PORT_PROBE, FAKE_FULL));
    assert_int_equal(mine(0)->refused_n, 0);
    assert_int_equal(mine(0)->failing_ms, 0);
    fake_pass(f, 30);
    observe_run(o);
    assert_true(fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED));
    assert_int_equal(mine(0)->refused_n, 1);
    assert_int_equal(mine(0)->refused_span_ms, 0);
}

static void suspicion_probes_all_fast_and_not_for_ever(void **state)
{
    (void)state;
    observe_run(o);
    for (uint8_t i = 0; i < 3; i++) fake_fail(f, i, PORT_PROBE, i == 0 ? FAKE_REFUSED : FAKE_FULL);
    unsigned before = f->requests_n;
    for (int ms = 0; ms < 200; ms += 20) {
        observe_run(o);
        for (uint8_t i = 0; i < 3; i++) fake_fail(f, i, PORT_PROBE, i == 0 ? FAKE_REFUSED : FAKE_FULL);
        fake_pass(f, 20);
    }
    assert_in_range(f->requests_n - before, 24, 33); /* About ten probes of each of three servers. */
    fake_pass(f, 11000);
    observe_run(o);
    for (uint8_t i = 0; i < 3; i++) fake_fail(f, i, PORT_PROBE, i == 0 ? FAKE_REFUSED : FAKE_FULL);
    before = f->requests_n;
    for (int ms = 0; ms < 1000; ms += 20) {
        fake_pass(f, 20);
        observe_run(o);
        for (uint8_t i = 0; i < 3; i++) fake_fail(f, i, PORT_PROBE, i == 0 ? FAKE_REFUSED : FAKE_FULL);
    }
    assert_in_range(f->requests_n - before, 9, 18); /* Five a second of each. */
}

static void unreadable_credentials_are_neither_life_nor_death(void **state)
{
    (void)state;
    f->query_rc = -ENOENT;
    observe_run(o);
    fake_pass(f, 5000);
    observe_run(o);
    assert_int_equal(mine(0)->outcome, VIEW_NONE);
    assert_int_equal(mine(0)->failing_ms, 0);
    assert_false(view_outcome_is_alive(mine(0)->outcome));
}

/* We ended it ourselves, or it still runs: the server said nothing. */
static void what_did_not_end_tells_nothing(void **state)
{
    (void)state;
    observe_run(o);
    observe_hangup(o, 0, 0);
    assert_int_equal(mine(0)->outcome, VIEW_NONE);
    assert_true(fake_fail(f, 0, PORT_PROBE, (struct db_result){.status = DB_CANCELED, .session_lost = true}));
    assert_int_equal(mine(0)->outcome, VIEW_NONE);
    assert_int_equal(mine(0)->failing_ms, 0);
    observe_hangup(o, 0, 9); /* No such server, no such cluster. */
    observe_hangup(o, 5, 0);
    assert_int_equal(changes_n, 0);
}

static struct proto_observation *told_by(uint64_t manager)
{
    static struct proto_observation t;
    memset(&t, 0, sizeof t);
    t.manager_id = manager;
    TEXT_COPY(t.cluster, "shop");
    t.declaration = 1;
    t.servers_n = 3;
    TEXT_COPY(t.names[0], "db1");
    TEXT_COPY(t.names[1], "db2");
    TEXT_COPY(t.names[2], "db3");
    for (unsigned i = 0; i < 3; i++)
        t.servers[i] = (struct view_observation){
            .outcome = VIEW_OK, .age_ms = 5, .ok_age_ms = 5, .alive_age_ms = 5,
            .facts = {.set = true, .channels_n = i ? 1 : 0, .channels = {{.io = VIEW_IO_YES, .idle_ms = 40}}}};
    return &t;
}

static void reports_of_others_grow_old_as_a_whole(void **state)
{
    (void)state;
    observe_run(o);
    assert_false(observe_view(o, 0)->managers[1].heard);
    observe_receive(o, told_by(2));
    assert_int_equal(changes_n, 1);
    fake_pass(f, 100);
    const struct view_manager *m2 = &observe_view(o, 0)->managers[1];
    assert_true(m2->heard);
    assert_int_equal(m2->servers[1].age_ms, 105);
    assert_int_equal(m2->servers[1].facts.channels[0].idle_ms, 140); /* So idle - age stays what the probe saw. */
    assert_int_equal(m2->servers[1].failing_ms, 0);
    fake_pass(f, 1901);
    assert_false(observe_view(o, 0)->managers[1].heard);
}

/* It stood still in the network: what it tells is older than it says, and it is not heard for as long (S6). */
static void reports_that_come_late_are_as_old_as_they_are(void **state)
{
    (void)state;
    observe_run(o);
    struct proto_observation *t = told_by(2);
    t->late_ms = 1500;
    observe_receive(o, t);
    const struct view_manager *m2 = &observe_view(o, 0)->managers[1];
    assert_true(m2->heard);
    assert_int_equal(m2->servers[1].age_ms, 1505);
    fake_pass(f, 501);
    assert_false(observe_view(o, 0)->managers[1].heard);
}

static void answer_replica_probe(uint8_t server)
{
    struct answer_server a = answer_replica();
    struct db_result result;
    answer_make(&a, &result);
    assert_true(fake_fail(f, server, PORT_PROBE, result));
}

/* What an answer tells is as old as its question (S6): idle - age is what is known of the moment of that. */
static void slow_answers_make_nobody_deaf(void **state)
{
    (void)state;
    const struct view_observation *v;
    observe_run(o);
    answer_replica_probe(1);
    assert_int_equal(mine(1)->facts.channels[0].idle_ms, 0);
    fake_pass(f, 500);
    observe_run(o);
    fake_pass(f, 200); /* So long is the second answer under way. */
    answer_replica_probe(1);
    v = mine(1);
    assert_int_equal(v->age_ms, 0);
    assert_int_equal(v->facts.channels[0].idle_ms, 500);
    fake_pass(f, 30);
    assert_int_equal(mine(1)->facts.channels[0].idle_ms, 530);
}

/* The master is asked when it is due, and answers 20 ms later: so many commits wait, so many were acknowledged. */
static const struct view_facts *look_at_master(const char *waiting, const char *yes_tx, const char *uptime)
{
    struct answer_server a = answer_replica();
    struct db_result result;
    a.channels_n = 0;
    a.waiting = waiting;
    a.yes_tx = yes_tx;
    a.uptime = uptime;
    answer_make(&a, &result);
    fake_pass(f, 500);
    observe_run(o);
    fake_pass(f, 20);
    assert_true(fake_fail(f, 0, PORT_PROBE, result));
    return &mine(0)->facts;
}

/* From the answer of the one probe to the question of the other: in between, that is certain. */
static void commits_stand_still_while_the_count_does(void **state)
{
    (void)state;
    assert_int_equal(look_at_master("1", "5", "883")->stalled_ms, 0); /* Seen to wait: for how long is unknown. */
    assert_int_equal(look_at_master("3", "5", "883")->stalled_ms, 500);
    assert_int_equal(look_at_master("1", "5", "883")->stalled_ms, 1020);
    fake_pass(f, 100); /* What came since is unknown. */
    assert_int_equal(mine(0)->facts.stalled_ms, 1020);
    fake_pass(f, -100);
    assert_int_equal(look_at_master("1", "6", "883")->stalled_ms, 0); /* One was acknowledged, whoever waits now. */
    assert_int_equal(look_at_master("1", "6", "883")->stalled_ms, 500);
    assert_int_equal(look_at_master("0", "6", "883")->stalled_ms, 0); /* Nobody waits. */
    assert_int_equal(look_at_master("1", "6", "883")->stalled_ms, 0); /* Who waits now has begun since. */
    assert_int_equal(look_at_master("1", "6", "883")->stalled_ms, 500);
    assert_int_equal(look_at_master("1", "6", "882")->stalled_ms, 0); /* Restarted: it counts from another beginning. */
    assert_int_equal(look_at_master("1", "6", "882")->stalled_ms, 500);
}

/* The count has not moved, so nothing was acknowledged while nobody could look. */
static void commits_stand_still_while_nobody_can_look(void **state)
{
    (void)state;
    (void)look_at_master("1", "5", "883");
    fake_pass(f, 500);
    observe_run(o);
    assert_true(fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED));
    assert_int_equal(look_at_master("1", "5", "883")->stalled_ms, 1000);
}

/* The acknowledgement came after the question of the probe that did not count it yet: so long ago at most. */
static void acknowledgements_age(void **state)
{
    (void)state;
    assert_int_equal(look_at_master("1", "5", "883")->acked_ms, -1); /* Any time before. */
    assert_int_equal(look_at_master("0", "5", "883")->acked_ms, -1);
    assert_int_equal(look_at_master("1", "6", "883")->acked_ms, 540);
    fake_pass(f, 100);
    assert_int_equal(mine(0)->facts.acked_ms, 640);
    fake_pass(f, -100);
    assert_int_equal(look_at_master("1", "6", "883")->acked_ms, 1060);
    assert_int_equal(look_at_master("1", "7", "882")->acked_ms, -1); /* Restarted. */
}

static void told_stalls_stand_and_told_acknowledgements_age(void **state)
{
    struct proto_observation *t = told_by(2);
    (void)state;
    observe_run(o);
    for (unsigned i = 0; i < 3; i++) {
        t->servers[i].facts.stalled_ms = i == 2 ? -1 : 700;
        t->servers[i].facts.acked_ms = i == 2 ? -1 : 40;
    }
    observe_receive(o, t);
    fake_pass(f, 100);
    const struct view_observation *told = observe_view(o, 0)->managers[1].servers;
    assert_int_equal(told[0].facts.stalled_ms, 700);
    assert_int_equal(told[0].facts.acked_ms, 140);
    assert_int_equal(told[2].facts.stalled_ms, -1); /* An older manager cannot tell. */
    assert_int_equal(told[2].facts.acked_ms, -1);
}

/* "Read after" is judged by the question: how long its answer was under way is never understated. */
static void it_is_known_how_long_an_attempt_took(void **state)
{
    (void)state;
    observe_run(o);
    answer_replica_probe(1); /* At once: 0 would mean that nobody knows. */
    assert_int_equal(mine(1)->took_ms, 1);
    fake_pass(f, 200);
    f->now.us += 1;
    fake_fail(f, 2, PORT_PROBE, FAKE_REFUSED);
    assert_int_equal(mine(2)->took_ms, 201);
    fake_pass(f, 60);
    assert_int_equal(mine(2)->took_ms, 201);
    assert_int_equal(mine(2)->age_ms, 60);

    struct proto_observation *t = told_by(2);
    t->servers[0].took_ms = 30;
    observe_receive(o, t);
    fake_pass(f, 50);
    const struct view_manager *m2 = &observe_view(o, 0)->managers[1];
    assert_int_equal(m2->servers[0].took_ms, 130); /* The telling took time, too. */
    assert_int_equal(m2->servers[1].took_ms, 600); /* Not told: as long as an attempt may take. */
}

static void reports_that_do_not_fit_are_ignored(void **state)
{
    (void)state;
    observe_run(o);
    observe_receive(o, told_by(9)); /* No such manager. */
    observe_receive(o, told_by(1)); /* Ourselves: nobody else may speak for us. */
    struct proto_observation *t = told_by(2);
    TEXT_COPY(t->names[2], "db9"); /* Of another declaration. */
    observe_receive(o, t);
    t = told_by(2);
    t->servers_n = 2;
    observe_receive(o, t);
    t = told_by(2);
    t->declaration = 2; /* The same names, perhaps at other addresses. */
    observe_receive(o, t);
    assert_int_equal(changes_n, 0);
    for (unsigned m = 1; m < 3; m++) assert_false(observe_view(o, 0)->managers[m].heard);
}

static void changes_are_pushed_at_once_and_the_rest_once_a_period(void **state)
{
    (void)state;
    observe_run(o);
    f->pushes_n = 0;
    for (uint8_t i = 0; i < 3; i++) fake_fail(f, i, PORT_PROBE, FAKE_FULL);
    observe_run(o);
    assert_int_equal(f->pushes_n, 1); /* Three changes, one frame. */
    observe_run(o);
    assert_int_equal(f->pushes_n, 1);
    observe_push_all(o);
    observe_run(o);
    assert_int_equal(f->pushes_n, 2);
}

static void a_changed_declaration_is_observed_anew(void **state)
{
    (void)state;
    observe_run(o);
    fake_fail(f, 0, PORT_PROBE, FAKE_REFUSED);
    f->state->clusters[0].version = 2;
    assert_null(observe_view(o, 0)); /* What was seen belongs to the old one, */
    observe_run(o);                  /* and two probes of it are outstanding: wait for them. */
    assert_null(observe_view(o, 0));
    fake_fail(f, 1, PORT_PROBE, FAKE_REFUSED);
    observe_receive(o, told_by(2)); /* He does not know the new one yet. */
    fake_fail(f, 2, PORT_PROBE, FAKE_REFUSED);
    assert_null(observe_view(o, 0));
    observe_run(o);
    assert_false(observe_view(o, 0)->managers[1].heard);
    for (uint8_t i = 0; i < 3; i++) {
        assert_int_equal(mine(i)->outcome, VIEW_NONE);
        assert_int_equal(fake_open(f, i, PORT_PROBE), 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_server_is_probed_once_a_period),
        T(a_hangup_is_followed_by_two_refusals_20_ms_apart),
        T(an_answer_between_refusals_begins_the_count_anew),
        T(suspicion_probes_all_fast_and_not_for_ever),
        T(unreadable_credentials_are_neither_life_nor_death),
        T(what_did_not_end_tells_nothing),
        T(reports_of_others_grow_old_as_a_whole),
        T(reports_that_come_late_are_as_old_as_they_are),
        T(slow_answers_make_nobody_deaf),
        T(commits_stand_still_while_the_count_does),
        T(commits_stand_still_while_nobody_can_look),
        T(acknowledgements_age),
        T(told_stalls_stand_and_told_acknowledgements_age),
        T(it_is_known_how_long_an_attempt_took),
        T(reports_that_do_not_fit_are_ignored),
        T(changes_are_pushed_at_once_and_the_rest_once_a_period),
        T(a_changed_declaration_is_observed_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
