/* The probe: what is read from good answers, and that a bad one is never half believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mysql/flavour.h"
#include "mysql/probe.h"
#include "tests/unit/probe_answer.h"

static struct view_facts facts;
static char why[512];

static enum view_outcome read_answer(struct answer_server *s)
{
    struct db_result result;
    struct text error = TEXT_ON(why);

    answer_make(s, &result);
    return probe_read(FLAVOUR_MARIADB, &result, &facts, &error);
}

static void test_replica(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();

    s.channels[0].lag_s = "3";
    s.waiting = "2";
    s.yes_tx = "4711";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_true(facts.set && facts.supported && facts.read_only && facts.durable && facts.relay_durable);
    assert_true(facts.replica_enabled && facts.replica_on && !facts.source_enabled && !facts.source_on);
    assert_true(facts.after_sync && facts.wait_no_replica && facts.gtid_strict && facts.binlog_on);
    assert_true(facts.log_replica_updates);
    assert_int_equal(facts.server_id, 2);
    assert_int_equal(facts.source_timeout_ms, 4294967295);
    assert_int_equal(facts.started_s, 1795226000);
    assert_int_equal(facts.token, 10);
    assert_int_equal(facts.fence_epoch, 1);
    assert_int_equal(facts.wait_sessions, 2);
    assert_int_equal(facts.yes_tx, 4711);
    assert_int_equal(facts.stalled_ms, -1);
    assert_int_equal(facts.acked_ms, -1);
    assert_string_equal(facts.identity, "id-db2");
    assert_string_equal(facts.version, "10.11.19-MariaDB-0+deb12u1-log");
    assert_int_equal(facts.channels_n, 1);
    const struct view_channel *c = &facts.channels[0];
    assert_string_equal(c->source_host, "db1");
    assert_int_equal(c->source_port, 3311);
    assert_int_equal(c->source_server_id, 1);
    assert_int_equal(c->io, VIEW_IO_YES);
    assert_true(c->applier && c->gtid);
    assert_int_equal(c->heartbeat_period_ms, 250);
    assert_int_equal(c->heartbeats, 7);
    assert_int_equal(c->lag_ms, 3000);
    assert_int_equal(c->idle_ms, -1);
}

static void test_states_of_a_channel(void **state)
{
    (void)state;
    static const struct { const char *text; enum view_io io; } cases[] = {
        {"Yes", VIEW_IO_YES},
        {"No", VIEW_IO_NO},
        {"Connecting", VIEW_IO_CONNECTING},
        {"Preparing", VIEW_IO_CONNECTING},
    };
    struct answer_server s = answer_replica();

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        s.channels[0].io = cases[i].text;
        assert_int_equal(read_answer(&s), VIEW_OK);
        assert_int_equal(facts.channels[0].io, cases[i].io);
    }
    s.channels[0].sql = "No";
    s.channels[0].sql_errno = "1062";
    s.channels[0].sql_error = "Duplicate entry";
    s.channels[0].io_error = "not this one";
    s.channels[0].lag_s = NULL;
    s.channels[0].using_gtid = "No";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.channels[0].error, "Duplicate entry");
    assert_int_equal(facts.channels[0].lag_ms, -1);
    assert_false(facts.channels[0].applier || facts.channels[0].gtid);
}

/* The mark moves with anything that arrives, and with nothing else. */
static void test_receive_mark(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();

    assert_int_equal(read_answer(&s), VIEW_OK);
    uint64_t mark = facts.channels[0].receive_mark;
    s.channels[0].lag_s = "9";
    s.executed_replica = "0-1-99";
    s.now = "1795226999.0";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_true(facts.channels[0].receive_mark == mark);
    struct answer_channel *c = &s.channels[0];
    const char **cells[] = {&c->heartbeats, &c->log_pos, &c->received, &c->log};
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        const char *old = *cells[i];
        *cells[i] = "0-1-101";
        assert_int_equal(read_answer(&s), VIEW_OK);
        assert_true(facts.channels[0].receive_mark != mark);
        *cells[i] = old;
    }
}

/* A replica's own transaction must not make it look as if it had its master's. */
static void test_executed(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();

    s.executed_any = "0-2-101";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-1-100");
    s.channels[0].io = s.channels[0].sql = "No"; /* Stopped, read-only: a candidate. */
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-1-100");
    s.read_only = "0"; /* Promoted and open, its old channel not yet cleared. */
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-2-101");
    s.channels[0].io = "Connecting"; /* Open, and replicating all the same. */
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-1-100");
    s.channels[0].io = "No";
    s.channels[0].sql = "Yes";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-1-100");
    s.channels[0].sql = "No";
    s.read_only = "1";
    s.channels_n = 0;
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.executed, "0-2-101");
    char sql[PROBE_SQL_SIZE];
    struct text text = TEXT_ON(sql);
    probe_write(FLAVOUR_MARIADB, &text);
    assert_non_null(strstr(sql, "@@GLOBAL.gtid_slave_pos AS executed_replica"));
    assert_non_null(strstr(sql, "@@GLOBAL.gtid_current_pos AS executed_any"));
}

static void test_not_enrolled_and_many_channels(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();

    s.identity = "";
    s.token = s.epoch = "0";
    s.channels_n = ANSWER_CHANNELS_MAX;
    for (unsigned i = 1; i < ANSWER_CHANNELS_MAX; i++) s.channels[i] = s.channels[0];
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_string_equal(facts.identity, "");
    assert_int_equal(facts.channels_n, ANSWER_CHANNELS_MAX);
}

static void test_settings(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();

    s.flush_log = "2";
    s.sync_relay = "10000";
    s.strict = "0";
    s.wait_point = "AFTER_COMMIT";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_false(facts.durable || facts.relay_durable || facts.gtid_strict || facts.after_sync);
    s.flush_log = "1";
    s.sync_binlog = "0";
    assert_int_equal(read_answer(&s), VIEW_OK);
    assert_false(facts.durable);
}

static void test_versions(void **state)
{
    (void)state;
    static const struct { const char *version; enum view_outcome outcome; const char *text; } cases[] = {
        {"10.11.19-MariaDB-0+deb12u1-log", VIEW_OK, ""},
        {"11.8.2-MariaDB-deb13", VIEW_OK, ""},
        {"10.1.48-MariaDB", VIEW_UNSUPPORTED, "version 10.1.48-MariaDB is not supported: use MariaDB 10.11 or 11.8"},
        {"10.110.1-MariaDB", VIEW_UNSUPPORTED, "not supported"},
        {"8.4.3", VIEW_UNSUPPORTED, "the server says 8.4.3, which is not MariaDB"},
    };
    struct answer_server s = answer_replica();

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        s.version = cases[i].version;
        assert_int_equal(read_answer(&s), cases[i].outcome);
        assert_non_null(strstr(why, cases[i].text));
        assert_string_equal(facts.version, cases[i].version);
        assert_int_equal(facts.set, cases[i].outcome == VIEW_OK);
    }
    /* A server that does not know our variables: the version came before the error. */
    struct db_result result;
    struct text error = TEXT_ON(why);
    s.version = "8.4.3";
    answer_make(&s, &result);
    result.sets_n = 2;
    result.status = DB_ERROR;
    result.code = 1193;
    assert_int_equal(probe_read(FLAVOUR_MARIADB, &result, &facts, &error), VIEW_UNSUPPORTED);
    assert_int_equal(probe_read(FLAVOUR_MYSQL, &result, &facts, &error), VIEW_UNSUPPORTED);
    assert_int_equal(probe_read(FLAVOUR_NDB, &result, &facts, &error), VIEW_UNSUPPORTED);
    assert_non_null(strstr(why, "flavour mysql is not supported"));
}

/* Every set missing, empty, or the whole cut: FAILED, and the facts are not set. */
static void test_bad_shapes(void **state)
{
    (void)state;
    struct answer_server s = answer_replica();
    struct db_result whole, r;
    struct text error = TEXT_ON(why);

    answer_make(&s, &whole);
    assert_int_equal(whole.sets_n, 6);
    for (unsigned gone = 1; gone < whole.sets_n; gone++) {
        r = whole;
        r.sets[gone] = r.sets[0];
        assert_int_equal(probe_read(FLAVOUR_MARIADB, &r, &facts, &error), VIEW_FAILED);
        assert_false(facts.set);
        if (gone == 4) continue; /* No channel is a good answer. */
        r = whole;
        r.sets[gone].rows_n = 0;
        assert_int_equal(probe_read(FLAVOUR_MARIADB, &r, &facts, &error), VIEW_FAILED);
    }
    r = whole;
    r.cut = true;
    assert_int_equal(probe_read(FLAVOUR_MARIADB, &r, &facts, &error), VIEW_FAILED);
    r.sets_n = 0;
    assert_int_equal(probe_read(FLAVOUR_MARIADB, &r, &facts, &error), VIEW_FAILED);
    char longer[FSM_GTID_SIZE + 8];
    memset(longer, '1', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    const char **cells[] = {&s.binlog, &s.executed_replica, &s.channels[0].received, &s.identity};
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        const char *old = *cells[i];
        *cells[i] = longer;
        assert_int_equal(read_answer(&s), VIEW_FAILED);
        assert_false(facts.set);
        *cells[i] = old;
    }
}

static void test_failures(void **state)
{
    (void)state;
    static const struct { enum db_status status; unsigned code; enum view_outcome outcome; } cases[] = {
        {DB_REFUSED, 2003, VIEW_REFUSED},     {DB_UNREACHABLE, 2005, VIEW_UNREACHABLE}, {DB_LOST, 2013, VIEW_LOST},
        {DB_CANCELED, 0, VIEW_LOST},          {DB_TIMED_OUT, 0, VIEW_TIMED_OUT},
        {DB_ERROR, 1045, VIEW_LOGIN_REFUSED}, {DB_ERROR, 1698, VIEW_LOGIN_REFUSED},
        {DB_ERROR, 4151, VIEW_LOGIN_REFUSED}, {DB_ERROR, 1040, VIEW_TOO_MANY},
        {DB_ERROR, 1203, VIEW_TOO_MANY},      {DB_ERROR, 1227, VIEW_FAILED},            {DB_ERROR, 1142, VIEW_FAILED},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct db_result r = {.status = cases[i].status, .code = cases[i].code, .error = "the words of the server"};
        struct text error = TEXT_ON(why);
        assert_int_equal(probe_failure(&r, &error), cases[i].outcome);
        assert_string_equal(why, "the words of the server");
        error = TEXT_ON(why);
        assert_int_equal(probe_read(FLAVOUR_MARIADB, &r, &facts, &error), cases[i].outcome);
        assert_false(facts.set);
    }
}

static void test_text_fits(void **state)
{
    (void)state;
    char sql[PROBE_SQL_SIZE];
    struct text text = TEXT_ON(sql);

    probe_write(FLAVOUR_MARIADB, &text);
    assert_false(text.cut);
    text = TEXT_ON(sql);
    probe_write(FLAVOUR_MYSQL, &text);
    assert_null(strstr(sql, "@@GLOBAL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replica),          cmocka_unit_test(test_states_of_a_channel),
        cmocka_unit_test(test_receive_mark),     cmocka_unit_test(test_executed),
        cmocka_unit_test(test_not_enrolled_and_many_channels),
        cmocka_unit_test(test_settings),         cmocka_unit_test(test_versions),
        cmocka_unit_test(test_bad_shapes),       cmocka_unit_test(test_failures),
        cmocka_unit_test(test_text_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
