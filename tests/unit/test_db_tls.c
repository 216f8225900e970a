/* mysql/db.c under TLS: who is trusted, that nobody falls back to plain text, and that deadline and hang-up watch work
 * as without it (the library's own TLS waits do not; ecosystem.md §3). Needs the program openssl for certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <uv.h>

#include "mysql/db.h"
#include "tests/unit/mariadb_fixture.h"

enum { WAIT_MS = 20000, LATE_MS = 250 };

static struct mariadb_fixture fixture;
static struct mariadb_server *server, *plain;
static uv_loop_t loop;
static uv_timer_t ticker;
static bool has_openssl;

struct answer {
    unsigned done_n;
    enum db_status status;
    unsigned code;
    bool connected;
    char first[128];
    char error[DB_ERROR_SIZE];
    int64_t start_ms, took_ms;
};

static unsigned hangups_n;
static bool is_closed;

static void count_hangup(void *arg)
{
    (void)arg;
    hangups_n++;
}

static void set_closed(void *arg)
{
    (void)arg;
    is_closed = true;
}

static void keep_answer(void *arg, const struct db_result *r)
{
    struct answer *a = arg;
    bool has_cell = r->sets_n > 0 && r->sets[0].rows_n > 0 && r->sets[0].cells[0] != NULL;
    a->done_n++;
    a->status = r->status;
    a->code = r->code;
    a->connected = r->connected;
    a->took_ms = mariadb_now_ms() - a->start_ms;
    snprintf(a->first, sizeof(a->first), "%s", has_cell ? r->sets[0].cells[0] : "");
    snprintf(a->error, sizeof(a->error), "%s", r->error);
}

static void tick(uv_timer_t *timer)
{
    (void)timer;
}

#define WAIT_FOR(condition)                                                                                           \
    do {                                                                                                              \
        int64_t end_ms_ = mariadb_now_ms() + WAIT_MS;                                                                 \
        while (!(condition)) {                                                                                        \
            if (mariadb_now_ms() > end_ms_) fail_msg("waited in vain for %s", #condition);                            \
            uv_run(&loop, UV_RUN_ONCE);                                                                               \
        }                                                                                                             \
    } while (0)

static void start(struct db_conn *conn, const char *sql, uint32_t deadline_ms, struct answer *a)
{
    *a = (struct answer){.start_ms = mariadb_now_ms()};
    assert_int_equal(db_query(conn, sql, deadline_ms, keep_answer, a), 0);
}

static void ask(struct db_conn *conn, const char *sql, uint32_t deadline_ms, struct answer *a)
{
    start(conn, sql, deadline_ms, a);
    WAIT_FOR(a->done_n > 0);
}

/* 'ca' NULL: no TLS asked for. */
static struct db_conn *open_to(const struct mariadb_server *s, const char *host, const char *ca, bool must_verify_host)
{
    struct db_endpoint e = {.port = s->port,
                            .user = FIXTURE_USER,
                            .password = FIXTURE_PASSWORD,
                            .tls_verify_host = must_verify_host,
                            .connect_timeout_ms = 1000};
    struct err err = {0};
    snprintf(e.host, sizeof(e.host), "%s", host);
    if (ca != NULL) snprintf(e.tls_ca, sizeof(e.tls_ca), "%s/%s", fixture.dir, ca);
    struct db_conn *conn = db_open(&loop, &e, count_hangup, NULL, &err);
    assert_non_null(conn);
    return conn;
}

static void close_and_wait(struct db_conn *conn)
{
    is_closed = false;
    db_close(conn, set_closed, NULL);
    WAIT_FOR(is_closed);
}

/* One session; the answer is its cipher. */
static void once(const struct mariadb_server *s, const char *host, const char *ca, bool must_verify, struct answer *a)
{
    struct db_conn *conn = open_to(s, host, ca, must_verify);
    ask(conn, "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'SSL_CIPHER'", 5000,
        a);
    close_and_wait(conn);
}

#define NEEDS_OPENSSL()                                                                                               \
    do {                                                                                                              \
        if (!has_openssl) {                                                                                           \
            print_message("skipped: the program openssl is missing\n");                                               \
            skip();                                                                                                   \
        }                                                                                                             \
    } while (0)

static void trust(void **state)
{
    (void)state;
    NEEDS_OPENSSL();
    struct answer a;
    once(server, "localhost", "ca.pem", true, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.first[0] != '\0');
    once(server, "127.0.0.1", "ca.pem", false, &a); /* The certificate names localhost only. */
    assert_int_equal(a.status, DB_OK);
    assert_true(a.first[0] != '\0');
    once(server, "127.1", "ca.pem", true, &a); /* The same host; 3.4 trusts the name 127.0.0.1. */
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 2026);
    once(server, "localhost", "stranger.pem", true, &a);
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 2026);
    once(server, "localhost", "stranger.pem", false, &a);
    assert_int_equal(a.status, DB_ERROR);
    print_message("unknown CA: %s\n", a.error);
    once(server, "localhost", NULL, false, &a);
    assert_int_equal(a.status, DB_OK);
    assert_string_equal(a.first, "");
}

static void no_fallback(void **state)
{
    (void)state;
    NEEDS_OPENSSL();
    struct answer a;
    once(plain, "localhost", "ca.pem", true, &a);
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 2026);
    once(plain, "localhost", NULL, false, &a);
    assert_int_equal(a.status, DB_OK);
}

static void deadlines(void **state)
{
    (void)state;
    NEEDS_OPENSSL();
    struct answer a;
    struct answer b;
    struct db_conn *conn = open_to(server, "localhost", "ca.pem", true);
    struct db_conn *fresh = open_to(server, "localhost", "ca.pem", true);
    for (unsigned i = 0; i < 300; i++) {
        ask(conn, "SELECT 1", 5000, &a);
        assert_int_equal(a.status, DB_OK);
        assert_true(a.connected == (i == 0));
    }
    ask(conn, "SELECT SLEEP(1.2)", 5000, &a); /* Longer than the connect timeout. */
    assert_int_equal(a.status, DB_OK);
    ask(conn, "SELECT SLEEP(10)", 200, &a);
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_true(a.took_ms < 200 + LATE_MS);
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    mariadb_signal(server, SIGSTOP);
    start(conn, "SELECT 1", 200, &a);
    start(fresh, "SELECT 1", 200, &b);
    WAIT_FOR(a.done_n > 0 && b.done_n > 0);
    mariadb_signal(server, SIGCONT);
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_int_equal(b.status, DB_TIMED_OUT);
    assert_true(a.took_ms < 200 + LATE_MS && b.took_ms < 200 + LATE_MS);
    ask(fresh, "SELECT 1", 5000, &b);
    assert_int_equal(b.status, DB_OK);
    close_and_wait(conn);
    close_and_wait(fresh);
}

static void killed(void **state)
{
    (void)state;
    NEEDS_OPENSSL();
    struct answer a;
    struct db_conn *idle = open_to(server, "localhost", "ca.pem", true);
    struct db_conn *busy = open_to(server, "localhost", "ca.pem", true);
    ask(idle, "SELECT 1", 5000, &a);
    for (int64_t end_ms = mariadb_now_ms() + 200; mariadb_now_ms() < end_ms;) uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(hangups_n, 0); /* Late TLS messages are not a hang-up. */
    assert_true(db_is_idle(idle));
    ask(busy, "SELECT 1", 5000, &a);
    start(busy, "SELECT SLEEP(30)", 15000, &a);
    mariadb_kill(server);
    int64_t killed_ms = mariadb_now_ms();
    WAIT_FOR(a.done_n == 1 && hangups_n == 1);
    assert_int_equal(a.status, DB_LOST);
    assert_true(mariadb_now_ms() - killed_ms < LATE_MS);
    ask(busy, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_REFUSED);
    close_and_wait(idle);
    close_and_wait(busy);
}

static void make_certificates(const char *dir)
{
    char script[2048];
    snprintf(script, sizeof(script),
             "set -e; cd %s; for ca in ca stranger; do openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$ca "
             "-keyout $ca.key -out $ca.pem; done; "
             "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr; "
             "printf 'subjectAltName=DNS:localhost' > s.ext; openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key "
             "-CAcreateserial -days 2 -extfile s.ext -out s.pem", dir);
    char log[128];
    snprintf(log, sizeof(log), "%s/openssl.log", dir);
    char *argv[] = {"sh", "-c", script, NULL};
    mariadb_run(argv, log);
}

static int group_setup(void **state)
{
    (void)state;
    db_library_init();
    has_openssl = system("command -v openssl > /dev/null") == 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_init(&loop, &ticker);
    uv_timer_start(&ticker, tick, 5, 5);
    if (!has_openssl) return 0;
    char args[3][128];
    mariadb_fixture_begin(&fixture);
    make_certificates(fixture.dir);
    snprintf(args[0], sizeof(args[0]), "--ssl-ca=%s/ca.pem", fixture.dir);
    snprintf(args[1], sizeof(args[1]), "--ssl-cert=%s/s.pem", fixture.dir);
    snprintf(args[2], sizeof(args[2]), "--ssl-key=%s/s.key", fixture.dir);
    server = mariadb_start(&fixture, (const char *const[]){args[0], args[1], args[2], NULL});
    plain = mariadb_start(&fixture, (const char *const[]){"--skip-ssl", NULL});
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (has_openssl) mariadb_fixture_end(&fixture);
    uv_close((uv_handle_t *)&ticker, NULL);
    for (unsigned i = 0; i < 100 && uv_loop_close(&loop) != 0; i++) uv_run(&loop, UV_RUN_ONCE);
    db_library_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trust),
        cmocka_unit_test(no_fallback),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(killed),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
