/* The simulator's kernel: order of events, lives of processes, and streams that behave as TCP does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/text.h"
#include "sim/net.h"

enum { LOG_SIZE = 256 };

static struct sim *sim;
static sim_node a, b;
static char said_base[LOG_SIZE];
static struct text said;
static struct sim_stream *accepted;

struct word {
    struct sim_blob blob;
    const char *text;
};

static void say(void *arg)
{
    text_addf(&said, "%s ", (const char *)arg);
}

static void free_word(struct sim_blob *blob)
{
    free(blob);
}

static struct sim_blob *word(const char *text)
{
    struct word *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->blob = (struct sim_blob){1, free_word};
    w->text = text;
    return &w->blob;
}

static void on_opened(void *arg)
{
    text_addf(&said, "%s-opened ", (const char *)arg);
}

static void on_received(void *arg, struct sim_blob *blob)
{
    text_addf(&said, "%s<%s ", (const char *)arg, ((struct word *)blob)->text);
}

static void on_closed(void *arg, enum sim_closed why)
{
    static const char *const names[] = {"refused", "by-peer", "reset", "timed-out"};
    text_addf(&said, "%s-closed-%s ", (const char *)arg, names[why]);
}

static const struct sim_stream_ops ops = {on_opened, on_received, on_closed};

static bool on_accept(void *arg, struct sim_stream *stream, sim_node from)
{
    assert_int_equal(from, a);
    accepted = stream;
    sim_stream_take(stream, &ops, arg);
    return true;
}

static void on_datagram(void *arg, sim_node from, struct sim_blob *blob)
{
    (void)from;
    text_addf(&said, "%s<<%s ", (const char *)arg, ((struct word *)blob)->text);
}

static void run_us(int64_t us)
{
    int64_t until = sim_now_us(sim) + us;
    while (sim_step(sim, until)) {}
}

static void expect(const char *text)
{
    assert_string_equal(said_base, text);
    said = text_on(said_base, sizeof said_base);
}

static int setup(void **state)
{
    static const struct sim_node_hooks no_hooks;
    (void)state;
    sim = sim_new(7);
    said = text_on(said_base, sizeof said_base);
    a = sim_node_add(sim, "a", &no_hooks);
    b = sim_node_add(sim, "b", &no_hooks);
    sim_boot(sim, a);
    sim_boot(sim, b);
    sim_listen(sim, b, on_accept, "b");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_free(sim);
    return 0;
}

static struct sim_stream *connected(void)
{
    struct sim_stream *s = sim_connect(sim, a, b, &ops, "a");
    run_us(SIM_S);
    expect("a-opened ");
    return s;
}

static void events_run_in_order_of_time_then_of_asking(void **state)
{
    (void)state;
    sim_after(sim, a, 20, say, "3");
    sim_after(sim, a, 10, say, "1");
    sim_after(sim, b, 10, say, "2");
    sim_event cancelled = sim_after(sim, b, 10, say, "never");
    sim_cancel(sim, &cancelled);
    sim_cancel(sim, &cancelled);
    run_us(100);
    expect("1 2 3 ");
    assert_int_equal(sim_events_n(sim), 3);
}

static void a_paused_process_does_it_later_and_a_dead_one_never(void **state)
{
    (void)state;
    sim_pause(sim, a);
    sim_after(sim, a, 10, say, "first");
    sim_after(sim, a, 20, say, "second");
    sim_after(sim, b, 10, say, "b");
    run_us(SIM_S);
    expect("b ");
    sim_resume(sim, a);
    run_us(0);
    expect("first second ");
    sim_after(sim, a, 10, say, "lost");
    sim_kill(sim, a);
    sim_boot(sim, a);
    run_us(SIM_S);
    expect("");
}

static void clocks_drift_and_a_timer_is_never_early(void **state)
{
    (void)state;
    sim_clock_drift(sim, a, 300);
    run_us(10 * SIM_S);
    assert_int_equal(sim_mono(sim, a).us - sim_mono(sim, b).us, 3000);
    for (int64_t us = 1; us < 1000; us++) {
        struct mono at = {sim_mono(sim, a).us + us};
        int64_t wait = sim_true_us(sim, a, at) - sim_now_us(sim);
        assert_true(wait <= us && wait >= us - 2);
    }
    int64_t before = sim_wall(sim, a).us;
    sim_clock_jump(sim, a, -5 * SIM_S);
    assert_int_equal(sim_wall(sim, a).us, before - 5 * SIM_S);
}

static void a_stream_keeps_order_over_a_cut(void **state)
{
    (void)state;
    struct sim_stream *s = connected();
    sim_link(sim, a, b)->cut = true;
    sim_stream_send(s, word("1"));
    run_us(SIM_S);
    sim_stream_send(s, word("2"));
    sim_stream_send(accepted, word("3"));
    run_us(SIM_S);
    expect("a<3 ");
    assert_int_equal(sim_stream_queued(s), 2);
    sim_link(sim, a, b)->cut = false;
    run_us(10 * SIM_S);
    expect("b<1 b<2 ");
    sim_stream_send(s, word("4"));
    sim_stream_close(s);
    run_us(SIM_S);
    expect("b<4 b-closed-by-peer ");
}

static void a_dead_process_is_known_and_a_dead_host_is_not(void **state)
{
    (void)state;
    connected();
    sim_kill(sim, b);
    run_us(SIM_S);
    expect("a-closed-by-peer ");
    (void)sim_connect(sim, a, b, &ops, "a");
    run_us(SIM_S);
    expect("a-closed-refused ");
    sim_boot(sim, b);
    sim_listen(sim, b, on_accept, "b");
    struct sim_stream *s = connected();
    sim_host_off(sim, b);
    run_us(5 * SIM_S);
    sim_stream_send(s, word("lost"));
    run_us(5 * SIM_S);
    expect("");
    sim_host_on(sim, b);
    run_us(10 * SIM_S);
    expect("a-closed-reset ");
}

static void a_frozen_server_finds_the_statement_in_its_socket(void **state)
{
    (void)state;
    struct sim_stream *s = connected();
    sim_pause(sim, b);
    sim_stream_send(s, word("late"));
    sim_stream_close(s);
    s = sim_connect(sim, a, b, &ops, "a2");
    sim_stream_send(s, word("later"));
    run_us(SIM_S);
    expect("a2-opened "); /* By the kernel. */
    sim_resume(sim, b);
    run_us(SIM_S);
    expect("b<late b-closed-by-peer b<later ");
    sim_host_freeze(sim, b);
    sim_stream_send(s, word("x"));
    run_us(NET_GIVE_UP_US + 20 * SIM_S);
    expect("a2-closed-timed-out ");
}

static void resume_b(void *arg)
{
    (void)arg;
    sim_resume(sim, b);
}

/* The last packet arrives as the process goes on, before it has looked at what waits for it: the connection is gone
 * when it does. */
static void a_connection_ends_as_its_process_goes_on(void **state)
{
    (void)state;
    struct sim_stream *s = connected();
    sim_link(sim, a, b)->jitter_us = 0;
    sim_pause(sim, b);
    sim_stream_send(s, word("waits"));
    run_us(SIM_S);
    sim_at(sim, SIM_WORLD, sim_now_us(sim) + sim_link(sim, a, b)->latency_us, resume_b, NULL);
    sim_stream_close(s);
    run_us(SIM_S);
    expect("b<waits b-closed-by-peer ");
}

static void datagrams_wait_for_a_paused_process(void **state)
{
    (void)state;
    sim_receive(sim, b, 1, on_datagram, "b");
    sim_link(sim, a, b)->dup_ppm = 1000000;
    sim_send(sim, a, b, 1, word("1"));
    sim_pause(sim, b);
    run_us(SIM_S);
    expect("");
    sim_resume(sim, b);
    run_us(0);
    expect("b<<1 b<<1 ");
    sim_link(sim, a, b)->loss_ppm = 1000000;
    sim_send(sim, a, b, 1, word("2"));
    sim_link(sim, a, b)->loss_ppm = 0;
    sim_send(sim, a, b, 1, word("3"));
    sim_kill(sim, b);
    run_us(SIM_S);
    expect("");
}

/* Chance must never change: kept seeds depend on it. */
static void chance_is_the_same_for_ever(void **state)
{
    (void)state;
    struct rng rng, other;
    rng_init(&rng, 1, "net", 0);
    rng_init(&other, 1, "net", 1);
    uint64_t first = rng_u64(&rng);
    assert_true(first != rng_u64(&other));
    rng_init(&rng, 1, "net", 0);
    assert_true(rng_u64(&rng) == first);
    unsigned seen = 0, low = 0;
    for (int i = 0; i < 10000; i++) {
        seen |= 1u << rng_below(&rng, 7);
        int64_t drawn = rng_log_between(&rng, 10, 10000);
        assert_true(drawn >= 10 && drawn <= 10000);
        low += drawn < 160;
    }
    assert_int_equal(seen, 127);
    assert_true(low > 3000 && low < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_run_in_order_of_time_then_of_asking, setup, teardown),
        cmocka_unit_test_setup_teardown(a_paused_process_does_it_later_and_a_dead_one_never, setup, teardown),
        cmocka_unit_test_setup_teardown(clocks_drift_and_a_timer_is_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_keeps_order_over_a_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_process_is_known_and_a_dead_host_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frozen_server_finds_the_statement_in_its_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_ends_as_its_process_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(datagrams_wait_for_a_paused_process, setup, teardown),
        cmocka_unit_test(chance_is_the_same_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
