/* lib/conn_pace.h: who is held up, for how long, and who is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/conn_pace.h"

enum { SLOT = CONN_PACE_SLOT_MS, BURST = CONN_PACE_BURST, WAIT = CONN_PACE_WAIT_MS };

static struct conn_pace pace;

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage sa = {0};
    if (strchr(text, ':') == NULL) {
        sa.ss_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, text, &((struct sockaddr_in *)&sa)->sin_addr), 1);
    } else {
        sa.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&sa)->sin6_addr), 1);
    }
    return sa;
}

static int take(const char *from, uint64_t now_ms)
{
    struct sockaddr_storage sa = address(from);
    return conn_pace_take(&pace, &sa, now_ms);
}

static void fail_n(const char *from, unsigned n, uint64_t now_ms)
{
    struct sockaddr_storage sa = address(from);
    for (unsigned i = 0; i < n; i++) conn_pace_failed(&pace, &sa, now_ms);
}

static int setup(void **state)
{
    (void)state;
    memset(&pace, 0, sizeof pace);
    return 0;
}

static void who_never_failed_is_never_held_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10000; i++) assert_int_equal(take("10.0.0.1", 1000), 0);
}

static void a_few_failures_cost_nothing_and_more_cost_a_wait(void **state)
{
    (void)state;
    fail_n("10.0.0.1", BURST, 5000);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(take("10.0.0.1", 5000), 0);
    fail_n("10.0.0.1", 1, 5000);
    for (int i = 0; i <= WAIT / SLOT; i++) assert_int_equal(take("10.0.0.1", 5000), i * SLOT);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(take("10.0.0.1", 5000), -EBUSY);
    assert_int_equal(take("10.0.0.1", 5000 + SLOT), WAIT); /* A place is free again. */
    assert_int_equal(take("10.0.0.1", 5000 + SLOT), -EBUSY);
}

static void others_are_not_held_up(void **state)
{
    (void)state;
    fail_n("10.0.0.1", 1000, 5000);
    fail_n("2001:db8:1:2::1", 1000, 5000);
    for (unsigned i = 0; i < 50; i++) (void)take("10.0.0.1", 5000);
    assert_int_equal(take("10.0.0.2", 5000), 0);
    assert_int_equal(take("2001:db8:1:3::1", 5000), 0);
    assert_int_equal(take("a00:1::", 5000), 0); /* The bytes of 10.0.0.1, but IPv6. */
}

static void an_address_is_known_in_every_form(void **state)
{
    (void)state;
    fail_n("10.0.0.1", BURST + 2, 5000);
    assert_int_equal(take("::ffff:10.0.0.1", 5000), 0); /* The first slot ... */
    assert_int_equal(take("10.0.0.1", 5000), SLOT);     /* ... and the second. */
    fail_n("2001:db8:1:2::1", BURST + 2, 5000);
    assert_int_equal(take("2001:db8:1:2:ffff::9", 5000), 0);
    assert_int_equal(take("2001:db8:1:2:aaaa::7", 5000), SLOT);
}

static void debt_is_paid_off_by_time_and_has_an_end(void **state)
{
    (void)state;
    fail_n("10.0.0.1", 100000, 5000);
    assert_int_equal(take("10.0.0.1", 5000), 0);
    assert_int_equal(take("10.0.0.1", 5000), SLOT);
    uint64_t later = 5000 + BURST * SLOT; /* Half of the most that one can owe. */
    for (unsigned i = 0; i < 100; i++) assert_int_equal(take("10.0.0.1", later), 0);
}

/* Whoever fails at each chance that he gets is let in once in a slot, for ever. */
static void a_flood_costs_a_handshake_a_slot(void **state)
{
    (void)state;
    unsigned begun = 0;
    for (uint64_t now = 1000; now < 61000; now++) {
        int wait = take("10.0.0.1", now);
        assert_true(wait == -EBUSY || (wait >= 0 && wait <= WAIT));
        if (wait < 0) continue;
        begun++;
        fail_n("10.0.0.1", 1, now);
    }
    assert_in_range(begun, 60000 / SLOT, 60000 / SLOT + BURST + WAIT / SLOT + 2);
}

/* More addresses than there is room for: who owes most is kept. */
static void many_addresses_do_not_hide_one(void **state)
{
    (void)state;
    fail_n("10.0.0.1", BURST + 2, 5000);
    for (unsigned i = 0; i < 10000; i++) {
        char text[32];
        struct in_addr in = {.s_addr = htonl(0x0b000000 + i)};
        fail_n(inet_ntop(AF_INET, &in, text, sizeof text), 1, 5000);
    }
    assert_int_equal(take("10.0.0.1", 5000), 0);
    assert_int_equal(take("10.0.0.1", 5000), SLOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_never_failed_is_never_held_up, setup),
        cmocka_unit_test_setup(a_few_failures_cost_nothing_and_more_cost_a_wait, setup),
        cmocka_unit_test_setup(others_are_not_held_up, setup),
        cmocka_unit_test_setup(an_address_is_known_in_every_form, setup),
        cmocka_unit_test_setup(debt_is_paid_off_by_time_and_has_an_end, setup),
        cmocka_unit_test_setup(a_flood_costs_a_handshake_a_slot, setup),
        cmocka_unit_test_setup(many_addresses_do_not_hide_one, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
