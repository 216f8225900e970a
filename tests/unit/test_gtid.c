/* mysql/gtid.c and gtid_set.c by hand: texts as servers print them, texts that must be refused, and the algebra on
 * cases whose answer can be seen at a glance. test_gtid_prop.c does the rest by chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mysql/gtid.h"

#define U1 "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define U2 "3e11fa47-71ca-11e1-9e33-c80aa9429563"

static struct gtid_pos pos(const char *text)
{
    struct gtid_pos p;
    assert_int_equal(gtid_pos_parse(&p, text), 0);
    return p;
}

static struct gtid_set set(const char *text)
{
    struct gtid_set s;
    assert_int_equal(gtid_set_parse(&s, text), 0);
    return s;
}

static void pos_is(const struct gtid_pos *p, const char *text)
{
    char printed[4096];
    assert_true(gtid_pos_print(p, printed, sizeof(printed)));
    assert_string_equal(printed, text);
}

static void set_is(const struct gtid_set *s, const char *text)
{
    char printed[32768];
    assert_true(gtid_set_print(s, printed, sizeof(printed)));
    assert_string_equal(printed, text);
}

static void pos_reads_and_prints(const char *text, const char *printed)
{
    struct gtid_pos p = pos(text);
    pos_is(&p, printed);
}

static void set_reads_and_prints(const char *text, const char *printed)
{
    struct gtid_set s = set(text);
    set_is(&s, printed);
}

static void pos_texts(void **state)
{
    (void)state;
    pos_reads_and_prints("", "");
    pos_reads_and_prints(" \n", "");
    pos_reads_and_prints("0-1-5", "0-1-5");
    pos_reads_and_prints("2-7-9,0-1-5", "0-1-5,2-7-9");
    pos_reads_and_prints(" 0-1-5, 1-2-3,\n2-3-4 ", "0-1-5,1-2-3,2-3-4");
    pos_reads_and_prints("4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615");
}

static void pos_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        ",", "0-1-5,", ",0-1-5", "0-1", "0-1-", "0--1", "-0-1-5", "0-1-5-6", "0-1-5 6", "0-1-5;", "a-1-5", "0-1-x",
        "0-1-5,,1-1-1", "0-1-5,0-2-6", "4294967296-1-1", "0-4294967296-1", "0-1-18446744073709551616", "+0-1-5",
        "0 -1-5", "0-1-99999999999999999999999999", "0x1-1-1", U1 ":1",
    };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        struct gtid_pos p;
        memset(&p, 0xff, sizeof(p));
        if (gtid_pos_parse(&p, BAD[i]) != -EINVAL) fail_msg("accepted: %s", BAD[i]);
        assert_int_equal(p.n, 0);
    }
}

static void pos_bounds(void **state)
{
    (void)state;
    char text[2048] = "";
    for (unsigned i = 0; i < GTID_DOMAINS_MAX; i++) sprintf(text + strlen(text), "%s%u-1-1", i == 0 ? "" : ",", i);
    struct gtid_pos p = pos(text);
    assert_int_equal(p.n, GTID_DOMAINS_MAX);
    struct gtid_pos before = p;
    struct gtid_pos more = pos("7-2-9,1000-1-1");
    assert_int_equal(gtid_pos_union(&p, &more), -E2BIG);
    assert_true(gtid_pos_equal(&p, &before));
    strcat(text, ",1000-1-1");
    assert_int_equal(gtid_pos_parse(&p, text), -E2BIG);
    assert_int_equal(p.n, 0);
}

static void pos_cut(void **state)
{
    (void)state;
    char small[6];
    struct gtid_pos p = pos("0-1-5");
    assert_true(gtid_pos_print(&p, small, sizeof(small)));
    p = pos("0-1-15");
    assert_false(gtid_pos_print(&p, small, sizeof(small)));
    assert_string_equal(small, "0-1-1");
}

static void pos_algebra(void **state)
{
    (void)state;
    struct gtid_pos empty = pos("");
    struct gtid_pos a = pos("0-1-10,1-2-5");
    struct gtid_pos b = pos("0-3-9");
    assert_true(gtid_pos_contains(&a, &empty));
    assert_true(gtid_pos_contains(&empty, &empty));
    assert_false(gtid_pos_contains(&empty, &a));
    assert_true(gtid_pos_contains(&a, &b));
    assert_false(gtid_pos_contains(&b, &a));
    assert_true(gtid_pos_contains(&a, &a));
    struct gtid_pos c = pos("0-1-10,2-2-5");
    assert_false(gtid_pos_contains(&a, &c));
    assert_false(gtid_pos_equal(&a, &c));
    assert_int_equal(gtid_pos_union(&a, &c), 0);
    pos_is(&a, "0-1-10,1-2-5,2-2-5");
    struct gtid_pos newer = pos("0-9-11");
    assert_int_equal(gtid_pos_union(&a, &newer), 0);
    pos_is(&a, "0-9-11,1-2-5,2-2-5");
    /* The same number from another server is another transaction: contained by the rule, but not equal. */
    struct gtid_pos x = pos("0-1-8");
    struct gtid_pos y = pos("0-2-8");
    assert_true(gtid_pos_contains(&x, &y));
    assert_false(gtid_pos_equal(&x, &y));
}

static void set_texts(void **state)
{
    (void)state;
    set_reads_and_prints("", "");
    set_reads_and_prints("\n ", "");
    set_reads_and_prints(U1 ":1", U1 ":1");
    set_reads_and_prints(U1 ":1-5:7", U1 ":1-5:7");
    set_reads_and_prints(U2 ":1-5,\n" U1 ":7", U1 ":7," U2 ":1-5"); /* As MySQL prints several. */
    set_reads_and_prints("3E11FA47-71CA-11E1-9E33-C80AA9429562:1", U1 ":1");
    set_reads_and_prints(U1 ":7:1-5:6", U1 ":1-7"); /* Unsorted and adjacent. */
    set_reads_and_prints(U1 ":1-10:3-4", U1 ":1-10");
    set_reads_and_prints(U1 ":3-4:1-10", U1 ":1-10");
    set_reads_and_prints(U1 ":1-2," U1 ":3", U1 ":1-3");
    set_reads_and_prints(U1 ":9223372036854775807", U1 ":9223372036854775807");
    /* Tags (MySQL 8.3 and later). */
    set_reads_and_prints(U1 ":tag:1-5", U1 ":tag:1-5");
    set_reads_and_prints(U1 ":1-3:tag:4-5", U1 ":1-3," U1 ":tag:4-5");
    set_reads_and_prints(U1 ":1-3:7:b:4-5:9:A_1:2,\n" U2 ":1", U1 ":1-3:7," U1 ":a_1:2," U1 ":b:4-5:9," U2 ":1");
    set_reads_and_prints(U1 ":Tag:1," U1 ":tAG:2," U1 ":_:1", U1 ":_:1," U1 ":tag:1-2");
    set_reads_and_prints(U1 ":abcdefghijklmnopqrstuvwxyz_01234:1", U1 ":abcdefghijklmnopqrstuvwxyz_01234:1");
}

static void set_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        U1, U1 ":", U1 ":0", U1 ":0-5", U1 ":5-3", U1 ":1-", U1 ":-1", U1 ":1--2", U1 ":1,", "," U1 ":1", U1 ":1,,",
        U1 ":1 :2", U1 ": 1", U1 ":1-5x", U1 ":1:", U1 ":1::2", U1 ":tag", U1 ":tag:", U1 ":tag:other:1", U1 ":1:tag",
        U1 ":tag-x:1", U1 ":1tag:1", U1 ":9223372036854775808", U1 ":1-99999999999999999999", U1 ":1;" U2 ":1",
        U1 ":abcdefghijklmnopqrstuvwxyz_012345:1", U1 ":t\xc3\xa4g:1", "3e11fa4771ca11e19e33c80aa9429562:1",
        "3e11fa47-71ca-11e1-9e33-c80aa942956:1", "3e11fa47-71ca-11e1-9e33-c80aa94295622:1",
        "ge11fa47-71ca-11e1-9e33-c80aa9429562:1", "3e11fa47-71ca-11e1-9e33", "{" U1 "}:1", "0-1-5", ":1", "x",
    };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        struct gtid_set s;
        memset(&s, 0xff, sizeof(s));
        if (gtid_set_parse(&s, BAD[i]) != -EINVAL) fail_msg("accepted: %s", BAD[i]);
        assert_int_equal(s.sids_n, 0);
        assert_int_equal(s.iv_n, 0);
    }
}

static void set_bounds(void **state)
{
    (void)state;
    static char text[32768];
    strcpy(text, U1);
    for (unsigned i = 0; i < GTID_INTERVALS_MAX; i++) sprintf(text + strlen(text), ":%u", 2 * i + 1);
    struct gtid_set s = set(text);
    assert_int_equal(s.iv_n, GTID_INTERVALS_MAX);
    set_is(&s, text);
    struct gtid_set before = s;
    struct gtid_set more = set(U1 ":4000");
    assert_int_equal(gtid_set_union(&s, &more), -E2BIG);
    assert_true(gtid_set_equal(&s, &before));
    more = set(U2 ":1");
    assert_int_equal(gtid_set_union(&s, &more), -E2BIG);
    assert_true(gtid_set_equal(&s, &before));
    more = set(U1 ":2"); /* Melts two into one: fits. */
    assert_int_equal(gtid_set_union(&s, &more), 0);
    assert_int_equal(s.iv_n, GTID_INTERVALS_MAX - 1);
    strcat(text, ":4000");
    assert_int_equal(gtid_set_parse(&s, text), -E2BIG);
    assert_int_equal(s.sids_n, 0);

    struct gtid_set all = set(U1 ":1-5000");
    struct gtid_set whole = all;
    struct gtid_set holes = before; /* 512 holes at 1, 3, ...: 512 pieces, the last one up to 5000. */
    assert_int_equal(gtid_set_subtract(&all, &holes), 0);
    assert_int_equal(all.iv_n, GTID_INTERVALS_MAX);
    more = set(U1 ":2-3");
    holes = set(U1 ":2000," U1 ":3000");
    assert_int_equal(gtid_set_subtract(&all, &holes), -E2BIG);
    assert_int_equal(all.iv_n, GTID_INTERVALS_MAX);
    assert_true(gtid_set_contains(&whole, &all));

    text[0] = '\0';
    for (unsigned i = 0; i <= GTID_SIDS_MAX; i++) {
        if (i == GTID_SIDS_MAX) assert_int_equal(gtid_set_parse(&s, text), 0);
        sprintf(text + strlen(text), "%s" U1 ":t%u:1", i == 0 ? "" : ",", i);
    }
    assert_int_equal(gtid_set_parse(&s, text), -E2BIG);
}

static void set_cut(void **state)
{
    (void)state;
    char small[sizeof(U1 ":1-5")];
    struct gtid_set s = set(U1 ":1-5");
    assert_true(gtid_set_print(&s, small, sizeof(small)));
    assert_false(gtid_set_print(&s, small, sizeof(small) - 1));
    assert_string_equal(small, U1 ":1-");
}

static void subtract_is(const char *a, const char *b, const char *rest)
{
    struct gtid_set x = set(a);
    struct gtid_set y = set(b);
    assert_int_equal(gtid_set_subtract(&x, &y), 0);
    set_is(&x, rest);
}

static void set_algebra(void **state)
{
    (void)state;
    subtract_is(U1 ":1-10", U1 ":1-10", "");
    subtract_is(U1 ":1-10", "", U1 ":1-10");
    subtract_is("", U1 ":1-10", "");
    subtract_is(U1 ":1-10", U1 ":1", U1 ":2-10");
    subtract_is(U1 ":1-10", U1 ":10", U1 ":1-9");
    subtract_is(U1 ":1-10", U1 ":4-5", U1 ":1-3:6-10");
    subtract_is(U1 ":1-10:20-30", U1 ":5-25", U1 ":1-4:26-30");
    subtract_is(U1 ":1-10", U1 ":tag:1-10", U1 ":1-10"); /* A tag is another name. */
    subtract_is(U1 ":1-10," U2 ":1-3", U1 ":1-10", U2 ":1-3");
    subtract_is(U1 ":9223372036854775806-9223372036854775807", U1 ":9223372036854775807", U1 ":9223372036854775806");
    struct gtid_set a = set(U1 ":1-10:20-30:t:5," U2 ":1-3");
    struct gtid_set b = set(U1 ":20:25-30:t:5");
    assert_true(gtid_set_contains(&a, &b));
    assert_false(gtid_set_contains(&b, &a));
    assert_int_equal((int)gtid_set_count(&a), 25);
    b = set(U1 ":10-20");
    assert_false(gtid_set_contains(&a, &b));
    b = set(U1 ":u:5");
    assert_false(gtid_set_contains(&a, &b));
    b = set(U1 ":11-19:t:4:6," U2 ":4-9");
    assert_int_equal(gtid_set_union(&a, &b), 0);
    set_is(&a, U1 ":1-30," U1 ":t:4-6," U2 ":1-9");
    assert_int_equal(gtid_set_union(&a, &a), 0);
    set_is(&a, U1 ":1-30," U1 ":t:4-6," U2 ":1-9");
    assert_int_equal(gtid_set_subtract(&a, &a), 0);
    assert_int_equal((int)gtid_set_count(&a), 0);
    a = set(U1 ":1-9223372036854775807," U2 ":1-9223372036854775807:t:1-9223372036854775807");
    assert_true(gtid_set_count(&a) == UINT64_MAX); /* Saturates. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pos_texts),  cmocka_unit_test(pos_refused), cmocka_unit_test(pos_bounds),
        cmocka_unit_test(pos_cut),    cmocka_unit_test(pos_algebra), cmocka_unit_test(set_texts),
        cmocka_unit_test(set_refused), cmocka_unit_test(set_bounds), cmocka_unit_test(set_cut),
        cmocka_unit_test(set_algebra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
