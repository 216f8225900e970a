/* Ages of what was seen (manager/observe_view.c): what a verdict rests on is as old as it is, whoever saw it (S6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "manager/observe.h"
#include "probe_answer.h"

static struct fake *f;
static struct observe *o;

static void changed(void *arg, uint8_t cluster)
{
    (void)arg;
    (void)cluster;
}

static int setup(void **state)
{
    (void)state;
    f = fake_new();
    o = observe_new(&f->ports, changed, NULL);
    return o ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    observe_free(o);
    fake_free(f);
    return 0;
}

static const struct view_observation *seen(uint8_t manager, uint8_t server)
{
    return &observe_view(o, 0)->managers[manager].servers[server];
}

/* Manager 2 tells that db1 fails for 700 ms, and that it has never read db2. */
static void be_told(void)
{
    static struct proto_observation t;
    const struct fsm_cluster *declared = &f->state->clusters[0];
    memset(&t, 0, sizeof t);
    TEXT_COPY(t.cluster, declared->name);
    t.declaration = declared->version;
    t.manager_id = 2;
    t.servers_n = declared->servers_n;
    for (uint8_t i = 0; i < t.servers_n; i++) TEXT_COPY(t.names[i], declared->servers[i].name);
    t.servers[0] = (struct view_observation){
        .outcome = VIEW_TIMED_OUT, .age_ms = 5, .ok_age_ms = 900, .alive_age_ms = 800, .failing_ms = 700};
    t.servers[1] = (struct view_observation){
        .outcome = VIEW_LOGIN_REFUSED, .age_ms = 6, .ok_age_ms = -1, .alive_age_ms = 6};
    t.servers[2] = (struct view_observation){.age_ms = -1, .ok_age_ms = -1, .alive_age_ms = -1};
    observe_receive(o, &t);
}

static void all_that_another_told_grows_old(void **state)
{
    (void)state;
    observe_run(o);
    be_told();
    for (int64_t by_ms = 0; by_ms <= 600; by_ms += 300) {
        assert_int_equal(seen(1, 0)->age_ms, 5 + by_ms);
        assert_int_equal(seen(1, 0)->ok_age_ms, 900 + by_ms);
        assert_int_equal(seen(1, 0)->alive_age_ms, 800 + by_ms);
        assert_int_equal(seen(1, 0)->failing_ms, 700 + by_ms);
        assert_int_equal(seen(1, 1)->alive_age_ms, 6 + by_ms);
        assert_int_equal(seen(1, 1)->ok_age_ms, -1); /* Never stays never. */
        assert_int_equal(seen(1, 1)->failing_ms, 0);
        assert_int_equal(seen(1, 2)->age_ms, -1);
        fake_pass(f, 300);
    }
}

/* Read; then it answers, and does not let us in; then nothing. */
static void what_was_seen_here_grows_old(void **state)
{
    struct answer_server s = answer_replica();
    struct db_result answer;
    (void)state;
    answer_make(&s, &answer);
    observe_run(o);
    assert_true(fake_fail(f, 1, PORT_PROBE, answer));
    assert_int_equal(seen(0, 1)->ok_age_ms, 0);
    fake_pass(f, 500);
    observe_run(o);
    assert_true(fake_fail(f, 1, PORT_PROBE, FAKE_FULL));
    assert_int_equal(seen(0, 1)->ok_age_ms, 500);
    assert_int_equal(seen(0, 1)->alive_age_ms, 0);
    fake_pass(f, 500);
    observe_run(o);
    assert_true(fake_fail(f, 1, PORT_PROBE, FAKE_REFUSED));
    fake_pass(f, 3);
    assert_int_equal(seen(0, 1)->ok_age_ms, 1003);
    assert_int_equal(seen(0, 1)->alive_age_ms, 503);
    assert_int_equal(seen(0, 1)->age_ms, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(all_that_another_told_grows_old),
        T(what_was_seen_here_grows_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
