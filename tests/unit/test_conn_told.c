/* lib/conn_told.h: what is told once, when again, and what stays known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/conn_told.h"

static struct conn_told told;

static int setup(void **state)
{
    (void)state;
    memset(&told, 0, sizeof told);
    return 0;
}

/* How often it had happened since it was told last; -1: it is not told. */
static int is_due(uint64_t who, uint64_t what, uint64_t now_ms)
{
    uint32_t again_n;
    return conn_told_is_due(&told, who, what, now_ms, &again_n) ? (int)again_n : -1;
}

static void the_same_is_told_once_and_then_with_a_count(void **state)
{
    (void)state;
    uint64_t now = 7000;
    assert_int_equal(is_due(1, 2, now), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) assert_int_equal(is_due(1, 2, now + CONN_TOLD_AGAIN_MS - 1), -1);
        now += CONN_TOLD_AGAIN_MS;
        assert_int_equal(is_due(1, 2, now), 100);
    }
}

static void another_reason_and_another_peer_are_news(void **state)
{
    (void)state;
    assert_int_equal(is_due(1, 2, 7000), 0);
    assert_int_equal(is_due(1, 3, 7000), 0);
    assert_int_equal(is_due(2, 2, 7000), 0);
    assert_int_equal(is_due(1, 2, 7001), -1);
    assert_int_equal(is_due(1, 3, 7001), -1);
    assert_int_equal(is_due(2, 2, 7001), -1);
}

static void who_was_let_in_is_news_again(void **state)
{
    (void)state;
    assert_int_equal(is_due(1, 2, 7000), 0);
    assert_int_equal(is_due(2, 2, 7000), 0);
    conn_told_forget(&told, 1);
    assert_int_equal(is_due(2, 2, 7001), -1);
    assert_int_equal(is_due(1, 2, 7001), 0);
}

static void what_was_told_longest_ago_makes_room(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < CONN_TOLD_MAX; i++) assert_int_equal(is_due(i, 9, 7000 + i), 0);
    assert_int_equal(is_due(100, 9, 8000), 0); /* In the place of who = 0. */
    for (uint64_t i = 1; i < CONN_TOLD_MAX; i++) assert_int_equal(is_due(i, 9, 8001), -1);
    assert_int_equal(is_due(100, 9, 8001), -1);
    assert_int_equal(is_due(0, 9, 8002), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_same_is_told_once_and_then_with_a_count, setup),
        cmocka_unit_test_setup(another_reason_and_another_peer_are_news, setup),
        cmocka_unit_test_setup(who_was_let_in_is_news_again, setup),
        cmocka_unit_test_setup(what_was_told_longest_ago_makes_room, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
