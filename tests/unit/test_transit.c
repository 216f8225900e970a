/* How long reports of another manager were under way. */
#include "manager/transit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BEGUN_MS = 1000000, APART_MS = 777000 }; /* The sender's clock is behind by so much. */

static struct mono at(int64_t ms)
{
    return (struct mono){ms * 1000};
}

/* A report that was sent at 'sent_ms' and came 'under_way_ms' later, both by our clock. */
static int64_t report(struct transit *t, int64_t sent_ms, int64_t under_way_ms)
{
    return transit_late_ms(t, at(sent_ms - APART_MS), at(sent_ms + under_way_ms));
}

/* Nothing is known of the other clock but that the report was sent after the connection was begun. */
static void the_first_report_counts_from_the_connection(void **state)
{
    struct transit t;
    (void)state;
    transit_begin(&t, at(BEGUN_MS));
    assert_int_equal(report(&t, BEGUN_MS + 3, 4000), 4003);
    /* One that comes at once shows how late that was, and each after it. */
    assert_int_equal(report(&t, BEGUN_MS + 4100, 1), 4); /* Older by no more than the handshake took. */
    assert_int_equal(report(&t, BEGUN_MS + 4200, 2500), 2503);
    transit_begin(&t, at(BEGUN_MS));
    assert_int_equal(report(&t, BEGUN_MS + 3, 0), 3);
}

static void late_is_what_is_above_the_least(void **state)
{
    struct transit t;
    (void)state;
    transit_begin(&t, at(BEGUN_MS));
    for (int64_t ms = 1; ms < 30000; ms += 500) assert_in_range(report(&t, BEGUN_MS + ms, 2), 0, 3);
    assert_int_equal(report(&t, BEGUN_MS + 30000, 1802), 1800);
    assert_int_equal(report(&t, BEGUN_MS + 31900, 2), 0);
    /* After a silence of any length the first one is known for what it is. */
    assert_int_equal(report(&t, BEGUN_MS + 90000, 1502), 1500);
}

/* 1.7 ms a second: one clock is too fast, the other one too slow, each by more than a quartz is. */
static void a_drift_is_not_a_delay(void **state)
{
    struct transit t;
    (void)state;
    transit_begin(&t, at(BEGUN_MS));
    for (int64_t ms = 1; ms < 600000; ms += 500) {
        int64_t late_ms = transit_late_ms(&t, at(BEGUN_MS + ms - ms * 17 / 10000), at(BEGUN_MS + ms));
        assert_in_range(late_ms, 0, 20);
    }
}

static void a_clock_that_was_set_back_is_forgiven(void **state)
{
    struct transit t;
    (void)state;
    transit_begin(&t, at(BEGUN_MS));
    assert_int_equal(report(&t, BEGUN_MS + 1, 0), 1);
    int64_t late_ms = 0;
    for (int64_t ms = 500; ms < 2 * TRANSIT_WINDOW_MS + 1500; ms += 500)
        late_ms = report(&t, BEGUN_MS + ms - 3000, 3000);
    assert_int_equal(late_ms, 0);
}

static void who_does_not_tell_is_not_late(void **state)
{
    struct transit t;
    (void)state;
    transit_begin(&t, at(BEGUN_MS));
    assert_int_equal(transit_late_ms(&t, MONO_NEVER, at(BEGUN_MS + 5000)), 0);
    /* Nonsense from outside hurts only its sender. */
    assert_int_equal(transit_late_ms(&t, (struct mono){INT64_MAX / 4}, at(BEGUN_MS)), 0);
    assert_true(transit_late_ms(&t, at(1), at(2 * BEGUN_MS)) > 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_report_counts_from_the_connection),
        cmocka_unit_test(late_is_what_is_above_the_least),
        cmocka_unit_test(a_drift_is_not_a_delay),
        cmocka_unit_test(a_clock_that_was_set_back_is_forgiven),
        cmocka_unit_test(who_does_not_tell_is_not_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
