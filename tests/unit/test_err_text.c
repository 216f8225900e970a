/* Error texts, bounded text and the clock. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/err.h"
#include "lib/base/text.h"
#include "lib/clock.h"

static void err_holds_code_and_text(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(err_set(&e, -EINVAL, "%s has %d", "a", 1), -EINVAL);
    assert_int_equal(e.code, -EINVAL);
    assert_string_equal(e.text, "a has 1");
    assert_int_equal(err_errno(&e, -ENOENT, "open %s", "/x"), -ENOENT);
    assert_string_equal(e.text, "open /x: No such file or directory");
    assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
    assert_int_equal(err_errno(NULL, -EIO, "x"), -EIO);
}

static void err_wraps_from_the_outside(void **state)
{
    struct err e = {0};

    (void)state;
    (void)err_set(&e, -EIO, "CRC differs");
    assert_int_equal(err_wrap(&e, -EINVAL, "load %s", "snapshot"), -EIO); /* The first code stays. */
    assert_int_equal(err_wrap(&e, -EINVAL, "start"), -EIO);
    assert_string_equal(e.text, "start: load snapshot: CRC differs");
    e = (struct err){0};
    assert_int_equal(err_wrap(&e, -EINVAL, "alone"), -EINVAL);
    assert_string_equal(e.text, "alone");
    assert_int_equal(err_wrap(NULL, -EBUSY, "x"), -EBUSY);
}

static void err_arguments_may_be_its_own_text(void **state)
{
    struct err e = {0};

    (void)state;
    (void)err_set(&e, -EIO, "inner");
    (void)err_set(&e, -EBUSY, "outer (%s)", e.text);
    assert_string_equal(e.text, "outer (inner)");
    (void)err_errno(&e, -EPERM, "%s", e.text);
    assert_string_equal(e.text, "outer (inner): Operation not permitted");
    (void)err_wrap(&e, -EIO, "<%s>", e.text);
    assert_string_equal(e.text, "<outer (inner): Operation not permitted>: outer (inner): Operation not permitted");
}

static void err_text_loses_its_end(void **state)
{
    char longer[2 * ERR_TEXT_SIZE];
    struct err e = {0};

    (void)state;
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    (void)err_set(&e, -EIO, "b%s", longer);
    assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(e.text[0], 'b');
    (void)err_wrap(&e, -EIO, "context");
    assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
    assert_memory_equal(e.text, "context: ba", 11);
}

static void text_is_cut_never_overrun(void **state)
{
    struct {
        char buffer[8];
        char guard[8];
    } room;
    struct text t;

    (void)state;
    memset(&room, '#', sizeof room);
    t = TEXT_ON(room.buffer);
    assert_string_equal(room.buffer, "");
    text_add(&t, "abc");
    text_addf(&t, "%04d", 12);
    assert_string_equal(room.buffer, "abc0012");
    assert_int_equal(t.len, 7);
    assert_false(t.cut);
    text_add(&t, "");
    text_addf(&t, "%s", "");
    assert_false(t.cut);
    text_add(&t, "x");
    assert_true(t.cut);
    assert_string_equal(room.buffer, "abc0012");
    text_addf(&t, "%d", 7);
    assert_int_equal(t.len, 7);
    assert_memory_equal(room.guard, "########", 8);

    t = TEXT_ON(room.buffer);
    text_addf(&t, "%s", "0123456789");
    assert_true(t.cut);
    assert_string_equal(room.buffer, "0123456");
    t = text_on(room.buffer, 1);
    text_add(&t, "a");
    assert_true(t.cut);
    assert_string_equal(room.buffer, "");
}

static void sql_literals_cannot_be_left(void **state)
{
    char buffer[64], small[8];
    struct text t = TEXT_ON(buffer);

    (void)state;
    text_add_sql(&t, "a'b\\c\"d");
    text_add_sql(&t, "");
    assert_string_equal(buffer, "'a''b\\\\c\"d'''");
    t = TEXT_ON(small);
    text_add_sql(&t, "123456");
    assert_true(t.cut); /* So the owner does not send it. */
    assert_string_equal(small, "'123456");
}

static void text_copies_report_a_cut(void **state)
{
    char to[4];

    (void)state;
    assert_true(TEXT_COPY(to, "abc"));
    assert_string_equal(to, "abc");
    assert_false(TEXT_COPY(to, "abcd"));
    assert_string_equal(to, "abc");
    assert_true(text_copy(to, sizeof to, to + 1)); /* Overlap is allowed. */
    assert_string_equal(to, "bc");
    assert_true(text_equal("a", "a"));
    assert_false(text_equal("a", "A"));
}

static void numbers_are_read_whole(void **state)
{
    static const char *const bad[] = {"",    " 1",  "1 ",  "+1", "-1",
                                      "0x1", "1.0", "١", "18446744073709551616", "99999999999999999999"};
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (text_to_u64(bad[i], &value)) fail_msg("\"%s\" was read", bad[i]);
    }
    assert_int_equal(value, 7);
    assert_true(text_to_u64("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(text_to_u64("007", &value));
    assert_int_equal(value, 7);
}

static void numbers_are_written_whole(void **state)
{
    char base[64], cut_base[4];
    struct text t = TEXT_ON(base), cut = TEXT_ON(cut_base);

    (void)state;
    text_add_u64(&t, 0, 0);
    text_add(&t, " ");
    text_add_u64(&t, UINT64_MAX, 0);
    text_add(&t, " ");
    text_add_u64(&t, 42, 6);
    text_add(&t, " ");
    text_add_u64(&t, 1234567, 6);
    assert_string_equal(base, "0 18446744073709551615 000042 1234567");
    assert_false(t.cut);
    text_add_u64(&cut, 1234, 0);
    assert_true(cut.cut);
    assert_string_equal(cut_base, "123");
}

static void must_tells_the_place_and_aborts(void **state)
{
    char said[512] = "";
    int pipe_fds[2], status;
    ssize_t n;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        must_fail("file.c", 12, "a == b");
    }
    (void)close(pipe_fds[1]);
    n = read(pipe_fds[0], said, sizeof said - 1);
    assert_true(n > 0);
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_memory_equal(said, "file.c:12: this cannot be: a == b\n", 34);
}

static void clocks_go_forward_and_print(void **state)
{
    struct mono a = clock_mono(), b = clock_mono();
    char text[32];

    (void)state;
    assert_true(mono_is_set(a));
    assert_false(mono_before(b, a));
    assert_true(clock_wall().us > INT64_C(1700000000000000));
    clock_print((struct wall){INT64_C(1795226883123456)}, text);
    assert_string_equal(text, "2026-11-21T02:08:03.123456Z");
    clock_print((struct wall){-1}, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    clock_print((struct wall){INT64_MAX}, text);
    assert_string_equal(text, "294247-01-10T04:00:54.775807Z");
    assert_true(clock_random() != clock_random());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_holds_code_and_text),
        cmocka_unit_test(err_wraps_from_the_outside),
        cmocka_unit_test(err_arguments_may_be_its_own_text),
        cmocka_unit_test(err_text_loses_its_end),
        cmocka_unit_test(text_is_cut_never_overrun),
        cmocka_unit_test(sql_literals_cannot_be_left),
        cmocka_unit_test(text_copies_report_a_cut),
        cmocka_unit_test(numbers_are_read_whole),
        cmocka_unit_test(numbers_are_written_whole),
        cmocka_unit_test(must_tells_the_place_and_aborts),
        cmocka_unit_test(clocks_go_forward_and_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
