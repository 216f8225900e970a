/* Logging: the line, levels, text of others inside a line, the limit of a call site, the journal's fall-back. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"

static int real_stderr = -1, captured = -1;
static char said[256 << 10];

/* Sends stderr into a file without a name until said_end(). */
static void said_begin(void)
{
    (void)fflush(stderr);
    captured = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(captured >= 0);
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_true(dup2(captured, STDERR_FILENO) >= 0);
}

/* Gives stderr back; what was written is in 'said'. */
static void said_end(void)
{
    ssize_t n = pread(captured, said, sizeof said - 1, 0);

    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    (void)close(captured);
    assert_true(n >= 0);
    said[n] = '\0';
}

static int reset(void **state)
{
    (void)state;
    log_init(LOG_LEVEL_INFO, false, "m1");
    return 0;
}

static unsigned count(const char *part)
{
    unsigned n = 0;

    for (const char *p = said; (p = strstr(p, part)) != NULL; p++) n++;
    return n;
}

/* Checks that what was said is one line that ends in 'tail' behind its event. */
static void expect_line(const char *level, const char *tail)
{
    char expected[512];
    struct text t = TEXT_ON(expected);

    text_addf(&t, " level=%s node=m1 event=%s\n", level, tail);
    assert_memory_equal(said, "time=20", 7);
    assert_int_equal(said[7 + 25], ' '); /* time=2026-11-21T02:08:03.123456Z */
    assert_string_equal(said + 7 + 25, expected);
}

static void a_line_is_logfmt(void **state)
{
    (void)state;
    said_begin();
    log_info("plan.begin", "cluster=%s epoch=%d text=\"%s\"", "shop", 3, "two words");
    said_end();
    expect_line("info", "plan.begin cluster=shop epoch=3 text=\"two words\"");
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    said_begin();
    log_debug("a.b", "x=1");
    log_init(LOG_LEVEL_ERR, false, "m1");
    log_warn("a.b", "x=2");
    log_err("a.b", "x=3");
    said_end();
    expect_line("err", "a.b x=3");
    assert_int_equal(log_level(), LOG_LEVEL_ERR);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("err"), LOG_LEVEL_ERR);
    assert_int_equal(log_level_parse("warn"), LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse("info"), LOG_LEVEL_INFO);
    assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse("INFO"), -1);
    assert_int_equal(log_level_parse(""), -1);
}

static void nobody_writes_a_second_line(void **state)
{
    (void)state;
    said_begin();
    log_info("a", "text=\"%s\"", "x\nlevel=err event=forged\r\x1b[2J\x7f\ty");
    said_end();
    expect_line("info", "a text=\"x\\nlevel=err event=forged\\x0d\\x1b[2J\\x7f\\x09y\"");
}

static void quotes_inside_a_value_are_escaped(void **state)
{
    (void)state;
    said_begin();
    log_info("a", "text=\"%s\" next=1 last=\"%s\"", "You have an error near '\"x\"' at", "\"");
    said_end();
    expect_line("info", "a text=\"You have an error near '\\\"x\\\"' at\" next=1 last=\"\\\"\"");
    said_begin();
    log_info("a", "text=\"%s\"", "already \\\"escaped\\\" stays");
    said_end();
    expect_line("info", "a text=\"already \\\"escaped\\\" stays\"");
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    char *text = malloc(20000);
    size_t len;

    (void)state;
    assert_non_null(text);
    memset(text, '\n', 19999); /* Each becomes two characters. */
    text[19999] = '\0';
    said_begin();
    log_info("a", "text=\"%s\"", text);
    said_end();
    len = strlen(said);
    assert_true(len < 4500);
    assert_string_equal(said + len - 4, "...\n");
    assert_int_equal(count("\n"), 1);
    free(text);
}

static void a_call_site_is_limited(void **state)
{
    struct log_limit limit = {.burst = 3, .per_ms = 50};
    struct mono end;

    (void)state;
    said_begin();
    for (int i = 0; i < 10; i++) {
        if (log_limit_pass(&limit, "x.y")) log_info("x.y", "i=%d", i);
    }
    end = mono_add_ms(clock_mono(), 5000);
    /* The window ends by itself; the first line of the next one comes behind the count. */
    while (!log_limit_pass(&limit, "x.y") && mono_before(clock_mono(), end)) (void)usleep(1000);
    log_info("x.y", "i=again");
    said_end();
    assert_int_equal(count("event=x.y i="), 4);
    assert_non_null(strstr(said, "event=x.y i=2\n"));
    assert_null(strstr(said, "event=x.y i=3\n"));
    assert_int_equal(count("event=log.dropped of=x.y lines="), 1);
    assert_true(strstr(said, "log.dropped") < strstr(said, "i=again"));
}

static void the_macro_limits_each_call_site_alone(void **state)
{
    (void)state;
    said_begin();
    for (int i = 0; i < 20; i++) {
        log_limited(LOG_LEVEL_WARN, "one", "i=%d", i);
        log_limited(LOG_LEVEL_WARN, "two", "i=%d", i);
    }
    said_end();
    assert_int_equal(count("event=one"), 5);
    assert_int_equal(count("event=two"), 5);
}

/* Length of a line with a body of 100 characters. */
static const size_t line_len =
    sizeof "time=2026-11-21T02:08:03.123456Z level=info node=m1 event=thread id=a text=\"\"" - 1 + 100;

static void *write_lines(void *arg)
{
    for (int i = 0; i < 200; i++) log_info("thread", "id=%c text=\"%0100d\"", *(const char *)arg, i);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    pthread_t threads[4];

    (void)state;
    said_begin();
    (void)fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &"abcd"[i]), 0);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    said_end();
    assert_int_equal(count("\n"), 800);
    for (char *save = NULL, *line = strtok_r(said, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        size_t len = strlen(line);

        assert_memory_equal(line, "time=20", 7);
        assert_int_equal(line[len - 1], '"');
        assert_int_equal(len, line_len);
    }
}

/* An empty /run of our own, so that the journal of this host gets nothing from a test. It ends with this process. */
static void hide_run(void)
{
    static bool hidden;

    if (!hidden) {
        hidden = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("tmpfs", "/run", "tmpfs", 0, "size=64k") == 0;
    }
    if (hidden) return;
    print_message("SKIP: no mount namespace here (%s), so no journal can be imitated\n", strerror(errno));
    skip();
}

static void the_journal_gets_fields(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
    char packet[1024] = "";
    int fd;

    (void)state;
    hide_run();
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(file_make_dirs("/run/systemd/journal", 0755, NULL), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    log_init(LOG_LEVEL_INFO, true, "m1");
    said_begin();
    log_err("plan.failed", "text=\"a\nPRIORITY=0\"");
    said_end();
    assert_string_equal(said, "");
    assert_true(recv(fd, packet, sizeof packet - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(packet, "PRIORITY=3\nSYSLOG_IDENTIFIER=regent\nREGENT_NODE=m1\nREGENT_EVENT=plan.failed\n"
                                "MESSAGE=event=plan.failed text=\"a\\nPRIORITY=0\"\n");
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(address.sun_path), 0);
}

static void without_a_journal_lines_go_to_stderr(void **state)
{
    (void)state;
    hide_run();
    log_init(LOG_LEVEL_INFO, true, "m1");
    said_begin();
    log_warn("a", "x=1");
    said_end();
    expect_line("warn", "a x=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_logfmt, reset),
        cmocka_unit_test_setup(lines_below_the_level_are_not_written, reset),
        cmocka_unit_test_setup(levels_have_names, reset),
        cmocka_unit_test_setup(nobody_writes_a_second_line, reset),
        cmocka_unit_test_setup(quotes_inside_a_value_are_escaped, reset),
        cmocka_unit_test_setup(a_long_line_is_cut_and_says_so, reset),
        cmocka_unit_test_setup(a_call_site_is_limited, reset),
        cmocka_unit_test_setup(the_macro_limits_each_call_site_alone, reset),
        cmocka_unit_test_setup(lines_of_threads_do_not_mix, reset),
        cmocka_unit_test_setup(the_journal_gets_fields, reset),
        cmocka_unit_test_setup(without_a_journal_lines_go_to_stderr, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
