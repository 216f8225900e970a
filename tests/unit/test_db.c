/* mysql/db.c on a real mariadbd and on sockets that behave badly: every status, the deadline, the hang-up watch, the
 * way down. Times are asserted with room for a loaded machine; what was measured is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "mysql/db.h"
#include "tests/unit/mariadb_fixture.h"

enum {
    WAIT_MS = 20000, /* Longest wait for anything; a test that needs it has failed. */
    LATE_MS = 250,   /* Scheduling on a loaded machine. */
};

static struct mariadb_fixture fixture;
static struct mariadb_server *server;
static uv_loop_t loop;
static uv_timer_t ticker; /* So that uv_run(ONCE) always returns. */

/* What one request answered. */
struct answer {
    unsigned done_n;
    enum db_status status;
    unsigned code;
    bool session_lost, connected, cut;
    unsigned sets_n;
    uint32_t rows_n[DB_SETS_MAX];
    char first[DB_SETS_MAX][64]; /* First cell of each set. */
    uint64_t affected;           /* Of the last set. */
    char error[DB_ERROR_SIZE];
    int64_t start_ms, took_ms;
};

static unsigned hangups_n;
static unsigned closed_n;

enum { CONNS_MAX = 16 };
static struct db_conn *conns_open[CONNS_MAX]; /* So that a failed test does not leave any to the next one. */

static void count_hangup(void *arg)
{
    (void)arg;
    hangups_n++;
}

static void count_closed(void *arg)
{
    (void)arg;
    closed_n++;
}

static void keep_answer(void *arg, const struct db_result *r)
{
    struct answer *a = arg;
    a->done_n++;
    a->status = r->status;
    a->code = r->code;
    a->session_lost = r->session_lost;
    a->connected = r->connected;
    a->cut = r->cut;
    a->sets_n = r->sets_n;
    a->took_ms = mariadb_now_ms() - a->start_ms;
    snprintf(a->error, sizeof(a->error), "%s", r->error);
    for (unsigned s = 0; s < r->sets_n; s++) {
        const struct db_set *set = &r->sets[s];
        bool has_cell = set->rows_n > 0 && set->columns_n > 0 && set->cells[0] != NULL;
        a->rows_n[s] = set->rows_n;
        a->affected = set->affected;
        snprintf(a->first[s], sizeof(a->first[s]), "%s", has_cell ? set->cells[0] : "");
    }
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

static struct db_endpoint endpoint_of(uint16_t port)
{
    struct db_endpoint e = {.host = "127.0.0.1",
                            .port = port,
                            .user = FIXTURE_USER,
                            .password = FIXTURE_PASSWORD,
                            .connect_timeout_ms = 1000,
                            .program = "regent-test"};
    return e;
}

static struct db_conn *open_endpoint(const struct db_endpoint *endpoint)
{
    struct err e = {0};
    struct db_conn *conn = db_open(&loop, endpoint, count_hangup, NULL, &e);
    assert_non_null(conn);
    unsigned i = 0;
    while (conns_open[i] != NULL) assert_true(++i < CONNS_MAX);
    conns_open[i] = conn;
    return conn;
}

static struct db_conn *open_port(uint16_t port)
{
    struct db_endpoint e = endpoint_of(port);
    return open_endpoint(&e);
}

static void start(struct db_conn *conn, const char *sql, uint32_t deadline_ms, struct answer *a)
{
    *a = (struct answer){.start_ms = mariadb_now_ms()};
    assert_int_equal(db_query(conn, sql, deadline_ms, keep_answer, a), 0);
}

static void ask(struct db_conn *conn, const char *sql, uint32_t deadline_ms, struct answer *a)
{
    start(conn, sql, deadline_ms, a);
    WAIT_FOR(a->done_n > 0);
    assert_int_equal(a->done_n, 1);
}

static void forget(const struct db_conn *conn)
{
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        if (conns_open[i] == conn) conns_open[i] = NULL;
    }
}

static void close_and_wait(struct db_conn *conn)
{
    closed_n = 0;
    forget(conn);
    db_close(conn, count_closed, NULL);
    WAIT_FOR(closed_n == 1);
}

static void assert_about(int64_t took_ms, int64_t expected_ms)
{
    if (took_ms < expected_ms - 5 || took_ms > expected_ms + LATE_MS) {
        fail_msg("took %lld ms, expected about %lld", (long long)took_ms, (long long)expected_ms);
    }
}

/* Server as it should be for the next test. */
static int each_setup(void **state)
{
    (void)state;
    if (server->pid == 0) mariadb_boot(server);
    hangups_n = 0;
    return 0;
}

static int each_teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        if (conns_open[i] != NULL) close_and_wait(conns_open[i]);
    }
    if (server->pid != 0) mariadb_signal(server, SIGCONT);
    return 0;
}

static void query_and_sets(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    assert_false(db_is_idle(conn));
    ask(conn, "SELECT 'x' AS a, NULL AS b UNION ALL SELECT 'y', 'z'; SET @v = 7; SELECT @v AS v; DO 1", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.connected);
    assert_int_equal(a.sets_n, 4);
    assert_int_equal(a.rows_n[0], 2);
    assert_string_equal(a.first[0], "x");
    assert_int_equal(a.rows_n[1], 0);
    assert_string_equal(a.first[2], "7");
    assert_true(db_is_idle(conn));
    ask(conn, "SELECT @v", 5000, &a);
    assert_false(a.connected);
    assert_string_equal(a.first[0], "7"); /* The same session. */
    ask(conn, "CREATE TEMPORARY TABLE test_t (a INT) ENGINE=MEMORY", 5000, &a);
    close_and_wait(conn);
}

static struct db_set cells_set;
static char cells_b[16];
static uint64_t cells_n;

static void keep_cells(void *arg, const struct db_result *r)
{
    (void)arg;
    cells_set = r->sets[0];
    assert_null(db_cell(r, 0, 0, "b"));
    assert_null(db_cell(r, 0, 0, "absent"));
    assert_null(db_cell(r, 1, 0, "b"));
    assert_null(db_cell(r, 0, 9, "b"));
    snprintf(cells_b, sizeof(cells_b), "%s", db_cell(r, 0, 1, "B"));
    cells_n = db_cell_u64(r, 0, 1, "n", 99);
    assert_int_equal(db_cell_u64(r, 0, 0, "n", 99), 99);
    assert_int_equal(db_cell_u64(r, 0, 0, "a", 98), 98);
}

static void cells(void **state)
{
    (void)state;
    struct db_conn *conn = open_port(server->port);
    cells_n = 0;
    static const char SQL[] = "SELECT 'x' AS a, NULL AS b, -1 AS n UNION ALL SELECT 'y', 'z', 18446744073709551615";
    assert_int_equal(db_query(conn, SQL, 5000, keep_cells, NULL), 0);
    WAIT_FOR(cells_n != 0);
    assert_int_equal(cells_set.columns_n, 3);
    assert_string_equal(cells_b, "z");
    assert_true(cells_n == UINT64_MAX);
    close_and_wait(conn);
}

static void server_error(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT 1; SELECT * FROM nowhere.nothing; SELECT 3", 5000, &a);
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 1146);
    assert_int_equal(a.sets_n, 1);
    assert_false(a.session_lost);
    assert_true(db_is_idle(conn));
    ask(conn, "BEGIN NOT ATOMIC SELECT 5; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31999; END", 5000, &a);
    assert_int_equal(a.code, 31999);
    assert_int_equal(a.sets_n, 1);
    ask(conn, "SELECT 2", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_false(a.connected);
    close_and_wait(conn);
}

static void wrong_password(void **state)
{
    (void)state;
    struct answer a;
    struct db_endpoint e = endpoint_of(server->port);
    snprintf(e.password, sizeof(e.password), "wrong");
    struct db_conn *conn = open_endpoint(&e);
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 1045);
    assert_true(a.session_lost);
    assert_false(db_is_idle(conn));
    assert_null(strstr(a.error, "wrong"));
    close_and_wait(conn);
}

static void refused(void **state)
{
    (void)state;
    struct answer a;
    static const char *const HOSTS[] = {"127.0.0.1", "localhost"};
    for (unsigned i = 0; i < 2; i++) {
        struct db_endpoint e = endpoint_of(mariadb_free_port());
        snprintf(e.host, sizeof(e.host), "%s", HOSTS[i]);
        struct db_conn *conn = open_endpoint(&e);
        ask(conn, "SELECT 1", 5000, &a);
        assert_int_equal(a.status, DB_REFUSED);
        assert_true(a.session_lost);
        assert_non_null(strstr(a.error, "refused"));
        print_message("refused, seen after %lld ms: %s\n", (long long)a.took_ms, a.error);
        close_and_wait(conn);
    }
}

static void unknown_host(void **state)
{
    (void)state;
    struct answer a;
    struct db_endpoint e = endpoint_of(server->port);
    snprintf(e.host, sizeof(e.host), "no-such-host.invalid");
    struct db_conn *conn = open_endpoint(&e);
    ask(conn, "SELECT 1", 15000, &a);
    assert_int_equal(a.status, DB_UNREACHABLE);
    close_and_wait(conn);
}

static void localhost_is_tcp(void **state)
{
    (void)state;
    struct answer a;
    struct db_endpoint e = endpoint_of(server->port);
    snprintf(e.host, sizeof(e.host), "localhost");
    struct db_conn *conn = open_endpoint(&e);
    ask(conn, "SELECT SUBSTRING_INDEX(host, ':', 1) FROM information_schema.processlist WHERE id = CONNECTION_ID()",
        5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_string_equal(a.first[0], "127.0.0.1");
    close_and_wait(conn);
}

static void settings_and_name(void **state)
{
    (void)state;
    struct answer a;
    struct db_endpoint e = endpoint_of(server->port);
    e.init_sql = "SET SESSION lock_wait_timeout = 2, sql_log_bin = 0; SET @made = 1";
    struct db_conn *conn = open_endpoint(&e);
    for (unsigned i = 0; i < 2; i++) {
        ask(conn, "SELECT CONCAT(@@lock_wait_timeout, @@sql_log_bin + 0, @made); SELECT attr_value FROM "
                  "performance_schema.session_connect_attrs WHERE processlist_id = CONNECTION_ID() AND "
                  "attr_name = 'program_name'; SELECT @@character_set_client", 5000, &a);
        assert_int_equal(a.status, DB_OK);
        assert_true(a.connected);
        assert_string_equal(a.first[0], "201");
        assert_string_equal(a.first[1], "regent-test");
        assert_string_equal(a.first[2], "utf8mb4");
        db_drop(conn);
        assert_false(db_is_idle(conn));
    }
    close_and_wait(conn);
    e.init_sql = "SET no_such_variable = 1";
    conn = open_endpoint(&e);
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_ERROR);
    assert_int_equal(a.code, 1193);
    assert_true(a.session_lost);
    assert_false(db_is_idle(conn));
    close_and_wait(conn);
}

static void deadline(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT 1", 5000, &a);
    ask(conn, "SELECT SLEEP(10)", 200, &a);
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_true(a.session_lost);
    assert_about(a.took_ms, 200);
    assert_false(db_is_idle(conn));
    ask(conn, "SELECT 1", 5000, &a); /* At once: the thread has to find out first. */
    assert_int_equal(a.status, DB_OK);
    assert_true(a.connected);
    assert_true(a.took_ms < 1000);
    assert_int_equal(hangups_n, 0);
    /* A loop turn that took long is not taken off the deadline. */
    mariadb_sleep_ms(300);
    ask(conn, "SELECT SLEEP(0.05)", 250, &a);
    assert_int_equal(a.status, DB_OK);
    close_and_wait(conn);
}

static void deadline_zero_keeps_watching(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    for (unsigned i = 0; i < 20; i++) {
        ask(conn, "SELECT 1", 0, &a);
        assert_true(a.status == DB_TIMED_OUT || a.status == DB_OK);
    }
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    WAIT_FOR(db_is_idle(conn));
    mariadb_kill(server);
    WAIT_FOR(hangups_n == 1);
    close_and_wait(conn);
}

static void frozen_server(void **state)
{
    (void)state;
    struct answer a;
    struct answer b;
    struct db_conn *conn = open_port(server->port);
    struct db_conn *fresh = open_port(server->port);
    ask(conn, "SELECT 1", 5000, &a);
    mariadb_signal(server, SIGSTOP);
    start(conn, "SELECT 2", 200, &a);
    start(fresh, "SELECT 3", 200, &b); /* Connects: there is no fd to shut down. */
    assert_int_equal(db_query(conn, "SELECT 2", 200, keep_answer, &a), -EBUSY);
    WAIT_FOR(a.done_n == 1 && b.done_n == 1);
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_int_equal(b.status, DB_TIMED_OUT);
    assert_about(a.took_ms, 200);
    assert_about(b.took_ms, 200);
    ask(fresh, "SELECT 4", 100, &b); /* The thread is still in its first connect. */
    assert_int_equal(b.status, DB_TIMED_OUT);
    assert_about(b.took_ms, 100);
    start(fresh, "SELECT 5", 15000, &b);
    mariadb_signal(server, SIGCONT);
    WAIT_FOR(b.done_n == 1);
    assert_int_equal(b.status, DB_OK);
    assert_string_equal(b.first[0], "5"); /* Not an answer of an older request. */
    assert_true(b.connected);
    close_and_wait(fresh);
    close_and_wait(conn);
}

/* A connect that comes up after its deadline leaves an idle session that is watched. */
static void late_connect(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    mariadb_signal(server, SIGSTOP);
    ask(conn, "SELECT 1", 100, &a);
    assert_int_equal(a.status, DB_TIMED_OUT);
    mariadb_signal(server, SIGCONT);
    WAIT_FOR(db_is_idle(conn));
    ask(conn, "SELECT 2", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.connected);
    db_drop(conn);
    mariadb_signal(server, SIGSTOP);
    ask(conn, "SELECT 1", 100, &a);
    db_drop(conn); /* Dropped while it connects: not even a late session is wanted. */
    mariadb_signal(server, SIGCONT);
    ask(conn, "SELECT 3", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.connected);
    close_and_wait(conn);
}

/* Learns of the end of the server on a connection of its own, in a thread that does nothing else: the earliest moment
 * at which anybody can know. */
struct witness {
    int fd;
    uint64_t end_ns;
};

static void watch_end(void *arg)
{
    struct witness *w = arg;
    char greeting[512];
    while (recv(w->fd, greeting, sizeof(greeting), 0) > 0) {}
    w->end_ns = uv_hrtime();
}

static struct witness witness_of(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct witness w = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(connect(w.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return w;
}

static void killed_while_idle(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    for (unsigned i = 0; i < 3; i++) {
        if (server->pid == 0) mariadb_boot(server);
        hangups_n = 0;
        ask(conn, "SELECT 1", 5000, &a);
        assert_true(db_is_idle(conn));
        uv_run(&loop, UV_RUN_NOWAIT);
        uv_thread_t thread;
        struct witness witness = witness_of(server->port);
        assert_int_equal(uv_thread_create(&thread, watch_end, &witness), 0);
        assert_int_equal(hangups_n, 0);
        uint64_t start_ns = uv_hrtime();
        kill(server->pid, SIGKILL);
        WAIT_FOR(hangups_n == 1);
        uint64_t seen_ns = uv_hrtime();
        uv_thread_join(&thread);
        close(witness.fd);
        assert_false(db_is_idle(conn));
        ask(conn, "SELECT 1", 5000, &a);
        uint64_t refused_ns = uv_hrtime();
        assert_true(a.status == DB_REFUSED || a.status == DB_UNREACHABLE);
        mariadb_kill(server);
        print_message("SIGKILL while idle: kernel closed sockets after %.2f ms, on_hangup %.2f ms, next connect %s "
                      "%.2f ms\n", (double)(witness.end_ns - start_ns) / 1e6, (double)(seen_ns - start_ns) / 1e6,
                      a.status == DB_REFUSED ? "refused" : "unreachable", (double)(refused_ns - start_ns) / 1e6);
        assert_true(seen_ns < witness.end_ns + 50 * 1000000ull);
        uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(hangups_n, 1);
    }
    close_and_wait(conn);
}

static void killed_while_running(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT 1", 5000, &a);
    start(conn, "SELECT SLEEP(30)", 15000, &a);
    char count[16];
    do {
        assert_int_equal(mariadb_query(server, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = "
                                       "'SELECT SLEEP(30)'", count, sizeof(count)), 0);
    } while (strcmp(count, "1") != 0);
    mariadb_kill(server);
    int64_t killed_ms = mariadb_now_ms();
    WAIT_FOR(a.done_n == 1);
    assert_int_equal(a.status, DB_LOST);
    assert_true(a.session_lost);
    assert_true(mariadb_now_ms() - killed_ms < LATE_MS);
    assert_int_equal(hangups_n, 0); /* The answer tells it. */
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_REFUSED);
    close_and_wait(conn);
}

/* An administrator's KILL: of a running statement's session, and of an idle one. */
static void session_killed(void **state)
{
    (void)state;
    struct answer a;
    char sql[128];
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT CONNECTION_ID()", 5000, &a);
    snprintf(sql, sizeof(sql), "KILL CONNECTION %s", a.first[0]);
    assert_int_equal(mariadb_query(server, sql, NULL, 0), 0);
    WAIT_FOR(hangups_n == 1);
    ask(conn, "SELECT CONNECTION_ID()", 5000, &a);
    assert_true(a.connected);
    snprintf(sql, sizeof(sql), "KILL CONNECTION %s", a.first[0]);
    start(conn, "SELECT SLEEP(20)", 15000, &a);
    assert_int_equal(mariadb_query(server, sql, NULL, 0), 0);
    WAIT_FOR(a.done_n == 1);
    assert_true(a.status == DB_LOST || (a.status == DB_ERROR && a.session_lost));
    print_message("KILL CONNECTION of a running session: status %d code %u\n", (int)a.status, a.code);
    close_and_wait(conn);
}

static void drop_while_running(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT 1", 5000, &a);
    start(conn, "SELECT SLEEP(10)", 15000, &a);
    uv_run(&loop, UV_RUN_NOWAIT);
    db_drop(conn);
    assert_int_equal(a.done_n, 0); /* Never from inside the call. */
    WAIT_FOR(a.done_n == 1);
    assert_int_equal(a.status, DB_CANCELED);
    assert_true(a.took_ms < LATE_MS);
    ask(conn, "SELECT 1", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.connected);
    close_and_wait(conn);
}

static void close_while_running(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "SELECT 1", 5000, &a);
    start(conn, "SELECT SLEEP(10)", 15000, &a);
    uv_run(&loop, UV_RUN_NOWAIT);
    int64_t start_ms = mariadb_now_ms();
    closed_n = 0;
    forget(conn);
    db_close(conn, count_closed, NULL);
    assert_int_equal(a.done_n, 0);
    WAIT_FOR(closed_n == 1);
    assert_int_equal(a.done_n, 1);
    assert_int_equal(a.status, DB_CANCELED);
    assert_true(mariadb_now_ms() - start_ms < LATE_MS);
    conn = open_port(server->port); /* Closed before it did anything, and before its first request was taken. */
    close_and_wait(conn);
    conn = open_port(server->port);
    start(conn, "SELECT SLEEP(10)", 15000, &a);
    close_and_wait(conn);
    assert_int_equal(a.status, DB_CANCELED);
}

/* A chain of requests, each made from inside the answer to the one before; the last one closes. */
struct chain {
    struct db_conn *conn;
    unsigned left, bad;
    bool is_closed;
};

static void chain_closed(void *arg)
{
    ((struct chain *)arg)->is_closed = true;
}

static void chain_next(void *arg, const struct db_result *r)
{
    struct chain *c = arg;
    if (r->status != DB_OK || db_cell_u64(r, 0, 0, "n", 0) != c->left) c->bad++;
    if (--c->left == 0) {
        forget(c->conn);
        db_close(c->conn, chain_closed, c);
        return;
    }
    char sql[32];
    snprintf(sql, sizeof(sql), "SELECT %u AS n", c->left);
    if (db_query(c->conn, sql, 5000, chain_next, c) != 0) c->bad++;
}

static void thousand_queries(void **state)
{
    (void)state;
    enum { N = 1000, CONNS = 4 };
    struct chain chains[CONNS] = {0};
    int64_t start_ms = mariadb_now_ms();
    for (unsigned i = 0; i < CONNS; i++) {
        chains[i] = (struct chain){.conn = open_port(server->port), .left = N};
        assert_int_equal(db_query(chains[i].conn, "SELECT 1000 AS n", 5000, chain_next, &chains[i]), 0);
    }
    for (unsigned i = 0; i < CONNS; i++) WAIT_FOR(chains[i].is_closed);
    for (unsigned i = 0; i < CONNS; i++) assert_int_equal(chains[i].bad, 0);
    double took_ms = (double)(mariadb_now_ms() - start_ms);
    print_message("%d requests over %d connections: %.0f us each\n", N * CONNS, CONNS, took_ms * 1000 / (N * CONNS));
    assert_int_equal(hangups_n, 0);
}

/* Sockets that listen and never answer, or are full. */
static int listen_silently(uint16_t *port, int backlog)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void blackhole(void **state)
{
    (void)state;
    struct answer a;
    uint16_t port;
    int fd = listen_silently(&port, 8);
    struct db_conn *conn = open_port(port);
    ask(conn, "SELECT 1", 200, &a);
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_about(a.took_ms, 200);
    int64_t start_ms = mariadb_now_ms();
    close_and_wait(conn); /* Bounded by the connect timeout. */
    assert_true(mariadb_now_ms() - start_ms < 1000 + LATE_MS);
    conn = open_port(port);
    ask(conn, "SELECT 1", 10000, &a); /* Here the connect timeout is what ends it. */
    assert_int_equal(a.status, DB_TIMED_OUT);
    assert_about(a.took_ms, 1000);
    close_and_wait(conn);
    close(fd);
}

static void full_backlog(void **state)
{
    (void)state;
    struct answer a;
    uint16_t port;
    int fd = listen_silently(&port, 0);
    int fillers[4];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    for (unsigned i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&to, sizeof(to));
    }
    struct db_conn *conn = open_port(port);
    ask(conn, "SELECT 1", 10000, &a);
    assert_int_equal(a.status, DB_TIMED_OUT); /* SYN without an answer, as of a host that is down. */
    assert_about(a.took_ms, 1000);
    close_and_wait(conn);
    for (unsigned i = 0; i < 4; i++) close(fillers[i]);
    close(fd);
}

static void accept_and_close(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    int fd;
    uv_fileno((uv_handle_t *)poll, &fd);
    int peer = accept(fd, NULL, NULL);
    if (peer >= 0) close(peer);
}

/* Something that is not a server: takes connections and ends them. */
static void hung_up_in_handshake(void **state)
{
    (void)state;
    struct answer a;
    uint16_t port;
    uv_poll_t poll;
    int fd = listen_silently(&port, 8);
    uv_poll_init(&loop, &poll, fd);
    uv_poll_start(&poll, UV_READABLE, accept_and_close);
    struct db_conn *conn = open_port(port);
    ask(conn, "SELECT 1", 10000, &a);
    assert_int_equal(a.status, DB_UNREACHABLE);
    assert_true(a.took_ms < 1000);
    close_and_wait(conn);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    close(fd);
}

static void bounds(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
#define ROWS(n) "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < " #n ") SELECT n, NULL FROM t"
    ask(conn, "SET max_recursive_iterations = 1000000", 5000, &a);
    ask(conn, ROWS(2048), 5000, &a);
    assert_int_equal(a.rows_n[0], DB_ROWS_MAX);
    assert_false(a.cut);
    ask(conn, ROWS(2049) "; SELECT 5", 5000, &a);
    assert_int_equal(a.status, DB_OK);
    assert_true(a.cut);
    assert_int_equal(a.rows_n[0], DB_ROWS_MAX);
    ask(conn, "SELECT REPEAT('x', 1048570) AS x", 5000, &a);
    assert_false(a.cut);
    ask(conn, "SELECT REPEAT('x', 1048577)", 5000, &a);
    assert_true(a.cut);
    ask(conn, ROWS(200000), 10000, &a); /* Read to the end without keeping it. */
    assert_true(a.cut);
    ask(conn, "SELECT 'a\\0b'", 5000, &a);
    assert_true(a.cut);
    ask(conn, "SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;"
              "SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 16", 5000, &a);
    assert_int_equal(a.sets_n, 16);
    assert_false(a.cut);
    ask(conn, "SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;"
              "SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 1;SELECT 17", 5000, &a);
    assert_int_equal(a.sets_n, 16);
    assert_true(a.cut);
    char sql[2048] = "SELECT 1";
    for (unsigned i = 1; i < 130; i++) strcat(sql, ",1");
    ask(conn, sql, 5000, &a);
    assert_true(a.cut);
    ask(conn, "SELECT 6", 5000, &a); /* The session is still in step. */
    assert_string_equal(a.first[0], "6");
    assert_false(a.connected);
    assert_false(a.cut);
    close_and_wait(conn);
}

static void affected_rows(void **state)
{
    (void)state;
    struct answer a;
    struct db_conn *conn = open_port(server->port);
    ask(conn, "CREATE TEMPORARY TABLE mysql.regent_t (a INT); INSERT INTO mysql.regent_t VALUES (1), (2), (3)", 5000,
        &a);
    assert_int_equal(a.status, DB_OK);
    assert_int_equal(a.sets_n, 2);
    assert_int_equal(a.affected, 3);
    close_and_wait(conn);
}

static unsigned open_fds(bool *are_cloexec)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    *are_cloexec = true;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct stat st;
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd < 3 || fd == dirfd(dir)) continue;
        n++;
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) *are_cloexec = false;
    }
    closedir(dir);
    return n;
}

/* No fd is left behind by any way to end a session, and none is inherited by programs that we start. */
static void file_descriptors(void **state)
{
    (void)state;
    struct answer a;
    bool are_cloexec;
    unsigned before_n = open_fds(&are_cloexec);
    enum { N = 8 };
    struct db_conn *conns[N];
    for (unsigned i = 0; i < N; i++) {
        conns[i] = open_port(server->port);
        ask(conns[i], "SELECT 1", 5000, &a);
    }
    (void)open_fds(&are_cloexec);
    assert_true(are_cloexec);
    for (unsigned i = 0; i < N; i++) ask(conns[i], "SELECT SLEEP(5)", 20, &a);
    for (unsigned i = 0; i < N; i++) ask(conns[i], "SELECT 1", 5000, &a);
    for (unsigned i = 0; i < N; i++) db_drop(conns[i]);
    for (unsigned i = 0; i < N; i++) ask(conns[i], "SELECT 1", 5000, &a);
    mariadb_kill(server);
    WAIT_FOR(hangups_n == N);
    for (unsigned i = 0; i < N; i++) ask(conns[i], "SELECT 1", 5000, &a);
    for (unsigned i = 0; i < N; i++) close_and_wait(conns[i]);
    assert_int_equal(open_fds(&are_cloexec), before_n);
}

static int group_setup(void **state)
{
    (void)state;
    db_library_init();
    mariadb_fixture_begin(&fixture);
    server = mariadb_start(&fixture, (const char *const[]){"--performance-schema=ON", NULL});
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_init(&loop, &ticker);
    uv_timer_start(&ticker, tick, 5, 5);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    mariadb_fixture_end(&fixture);
    uv_close((uv_handle_t *)&ticker, NULL);
    for (unsigned i = 0; i < 100 && uv_loop_close(&loop) != 0; i++) uv_run(&loop, UV_RUN_ONCE);
    db_library_end();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)

/* Argument: a pattern of test names (cmocka's, with *). */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(query_and_sets),     TEST(cells),
        TEST(server_error),       TEST(wrong_password),
        TEST(refused),            TEST(unknown_host),
        TEST(localhost_is_tcp),   TEST(settings_and_name),
        TEST(deadline),           TEST(deadline_zero_keeps_watching),
        TEST(frozen_server),      TEST(late_connect),
        TEST(killed_while_idle),  TEST(killed_while_running),
        TEST(session_killed),     TEST(drop_while_running),
        TEST(close_while_running), TEST(thousand_queries),
        TEST(blackhole),          TEST(full_backlog),
        TEST(hung_up_in_handshake), TEST(bounds),
        TEST(affected_rows),      TEST(file_descriptors),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
