/* The verbs' sequencer against a small model of a MariaDB server: the golden transcript, and the rules that every text
 * sent must keep. Run from the top of the checkout; GOLDEN=write rewrites the golden file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/file.h"
#include "mysql/probe.h"
#include "mysql/verb.h"
#include "tests/unit/probe_answer.h"

static const char golden_path[] = "tests/golden/verbs_mariadb.txt";

enum { TRANSCRIPT_SIZE = 1 << 18, GUARDS_MAX = 64, REQUESTS_MAX = 400 };

/* The model: a server that does what the statements say, line by line. */
static struct model {
    struct answer_server s;
    bool has_lock;
    unsigned attach_after; /* Probes until an acker is attached. */
    unsigned apply_after;  /* Probes until all received is executed; 0: at once. */
    unsigned probes;
    const char *then_executed;
    unsigned fail_code; /* One-shot error for the next block. */
    enum db_status fail_status;
    bool connected; /* One-shot: the request needed a new session. */
    char host[64], port[8];
} model;

static char transcript_room[TRANSCRIPT_SIZE];
static struct text transcript;
static char guards[GUARDS_MAX][768];
static unsigned guards_n;
static struct verb_run run;

/* --- model --- */

static void model_set(const char *line)
{
    static const struct { const char *variable; size_t cell; } map[] = {
        {"read_only", offsetof(struct answer_server, read_only)},
        {"rpl_semi_sync_slave_enabled", offsetof(struct answer_server, replica_enabled)},
        {"rpl_semi_sync_master_enabled", offsetof(struct answer_server, source_enabled)},
        {"rpl_semi_sync_master_wait_no_slave", offsetof(struct answer_server, wait_no_replica)},
    };

    for (size_t i = 0; i < ARRAY_LEN(map); i++) {
        if (strncmp(line + 11, map[i].variable, strlen(map[i].variable)) != 0) continue;
        bool on = strstr(line, "= 1;") != NULL;
        *(const char **)((char *)&model.s + map[i].cell) = on ? "1" : "0";
        if (i == 2) model.s.source_on = on ? "ON" : "OFF";
    }
}

static void model_change(const char *line)
{
    struct answer_channel *c = &model.s.channels[0];
    unsigned port = 0;

    (void)sscanf(strstr(line, "MASTER_HOST='") + 13, "%63[^']", model.host);
    (void)sscanf(strstr(line, "MASTER_PORT="), "MASTER_PORT=%u", &port);
    snprintf(model.port, sizeof(model.port), "%u", port);
    if (model.s.channels_n == 0) *c = answer_replica().channels[0];
    model.s.channels_n = 1;
    c->host = model.host;
    c->port = model.port;
    c->received = model.s.executed_replica;
}

static bool starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

static void model_line(const char *line)
{
    struct answer_channel *c = &model.s.channels[0];

    if (starts(line, "UPDATE regent.fence") || starts(line, "INSERT IGNORE INTO regent.fence")) {
        model.s.token = "100";
        model.s.epoch = "2";
        if (model.s.identity[0] == '\0') model.s.identity = "id-db2";
    }
    if (strstr(line, "GET_LOCK") != NULL) model.has_lock = true;
    if (starts(line, "STOP SLAVE ''")) c->io = "No";
    if (starts(line, "STOP SLAVE '';")) c->sql = "No";
    if (starts(line, "START SLAVE ''") && strstr(line, "SQL_THREAD") == NULL) {
        c->io = "Yes";
        model.s.replica_on = text_equal(model.s.replica_enabled, "1") ? "ON" : "OFF";
    }
    if (starts(line, "START SLAVE ''") && strstr(line, "IO_THREAD") == NULL) c->sql = "Yes";
    if (starts(line, "RESET SLAVE")) model.s.channels_n = 0;
    if (starts(line, "CHANGE MASTER")) model_change(line);
    if (starts(line, "SET GLOBAL")) model_set(line);
    if (starts(line, "INSERT INTO regent.reign")) model.s.binlog = "0-2-101";
    if (starts(line, "SELECT @@GLOBAL.read_only AS closed")) {
        model.s.close_left = text_equal(model.s.close_last, "") ? "2" : "0";
        model.s.close_last = "77";
    }
}

static void model_probe(void)
{
    model.probes++;
    if (model.apply_after != 0 && model.probes >= model.apply_after) model.s.executed_replica = model.then_executed;
    if (model.attach_after != 0 && model.probes >= model.attach_after) model.s.clients = "1";
}

/* The answer to run.sql. */
static void model_answer(struct db_result *result)
{
    static char copy[VERB_SQL_SIZE];
    bool has_block = strstr(run.sql, "BEGIN NOT ATOMIC\n") != NULL;

    if (has_block && (model.fail_code != 0 || model.fail_status != DB_OK)) {
        enum db_status status = model.fail_status != DB_OK ? model.fail_status : DB_ERROR;
        *result = (struct db_result){.status = status, .code = model.fail_code, .error = "the server's words",
                                     .session_lost = status != DB_ERROR};
        model.fail_code = 0;
        model.fail_status = DB_OK;
        return;
    }
    model.s.close_left = NULL;
    strcpy(copy, run.sql);
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) model_line(line);
    model_probe();
    answer_make(&model.s, result);
    result->connected = model.connected;
    model.connected = false;
}

/* --- transcript --- */

static void transcribe_line(const char *line)
{
    if (!starts(line, "SET @regent")) {
        text_addf(&transcript, "    %s\n", line);
        return;
    }
    for (unsigned i = 0; i < guards_n; i++) {
        if (!text_equal(guards[i], line)) continue;
        text_addf(&transcript, "    [guard %u]\n", i);
        return;
    }
    assert_true(guards_n < GUARDS_MAX);
    assert_true(TEXT_COPY(guards[guards_n], line));
    text_addf(&transcript, "    [guard %u =] %s\n", guards_n++, line);
}

static void transcribe_request(void)
{
    static char copy[VERB_SQL_SIZE], probe[PROBE_SQL_SIZE];
    struct text t = TEXT_ON(probe);

    probe_write(FLAVOUR_MARIADB, &t);
    strcpy(copy, run.sql);
    char *end = strstr(copy, probe);
    assert_non_null(end); /* Every request ends with the probe, */
    assert_string_equal(end, probe);
    *end = '\0';
    text_addf(&transcript, "  send%s%s\n", copy[0] == '\0' ? " the probe" : "", run.secret ? " (secret)" : "");
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) transcribe_line(line);
}

/* S3, on the text itself: what changes the server stands right behind a guard. */
static void check_guards(void)
{
    static const char *const changes[] = {"STOP ",  "START ",     "CHANGE ",
                                          "RESET ", "SET GLOBAL", "INSERT INTO regent.reign"};
    static char copy[VERB_SQL_SIZE];
    const char *before = "";

    strcpy(copy, run.sql);
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL; before = line) {
        bool is_change = false;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++) is_change = is_change || starts(line, changes[i]);
        if (!is_change || starts(before, "IF EXISTS (SELECT 1 FROM information_schema.PROCESSLIST")) continue;
        if (!starts(before, "SET @regent") || strstr(before, "; IF @regent <> 0 THEN SIGNAL") == NULL) {
            fail_msg("not guarded: %s", line);
        }
        bool is_reign = run.verb.kind == VERB_REIGN_ROW;
        assert_non_null(strstr(before, "token > 100"));
        assert_non_null(strstr(before, "token < 100"));
        assert_non_null(strstr(before, "identity <> 'id-db2'"));
        assert_non_null(strstr(before, "SYSDATE(6)) >= 1795226883.123456 + "));
        assert_true(is_reign || strstr(before, "IS_USED_LOCK('regent.control') <=> CONNECTION_ID()") != NULL);
    }
    assert_int_equal(run.secret, strstr(run.sql, "s3cr't") != NULL || strstr(run.sql, "s3cr''t") != NULL);
}

/* --- running --- */

static struct verb a_verb(enum verb_kind kind)
{
    struct verb v = {.kind = kind, .server = 1, .token = 100, .step = STEP_REVOKE, .epoch = 2, .source_port = 3313,
                     .deadline_ms = 3000, .k = 1};

    TEXT_COPY(v.identity, "id-db2");
    TEXT_COPY(v.target, "0-1-100");
    TEXT_COPY(v.source_host, "db3");
    TEXT_COPY(v.cluster_name, "shop");
    TEXT_COPY(v.master_name, "db2");
    return v;
}

static void reset_model(void)
{
    model = (struct model){.s = answer_replica()};
    model.s.close_last = "";
}

/* A candidate whose receiver was revoked and whose lock is held. */
static void as_revoked(void)
{
    reset_model();
    model.has_lock = true;
    model.s.token = "100";
    model.s.epoch = "2";
    model.s.channels[0].io = "No";
    model.s.replica_enabled = "0";
    model.s.replica_on = "OFF";
}

static void as_promoted(void)
{
    as_revoked();
    model.s.channels[0].sql = "No";
    model.s.source_enabled = "1";
    model.s.source_on = "ON";
}

static const struct verb_outcome *perform(const char *title, const struct verb *v)
{
    struct db_result answer;
    const struct db_result *result = NULL;

    verb_begin(&run, v, FLAVOUR_MARIADB, "repl", "s3cr't");
    run.locked = model.has_lock && v->kind != VERB_REIGN_ROW;
    text_addf(&transcript, "%s%s\n", title, run.locked ? ", session held" : "");
    uint32_t left = v->deadline_ms;
    for (unsigned n = 0; n < REQUESTS_MAX; n++) {
        run.left_ms = left;
        enum verb_next next = verb_next(&run, result);
        result = NULL;
        if (next == VERB_END) break;
        if (next == VERB_WAIT) {
            assert_in_range(run.wait_ms, 1, 20);
            text_addf(&transcript, "  wait %u ms\n", run.wait_ms);
            left = left > run.wait_ms ? left - run.wait_ms : 0;
            continue;
        }
        transcribe_request();
        check_guards();
        model_answer(&answer);
        result = &answer;
    }
    const struct verb_outcome *o = &run.outcome;
    assert_true(o->state == VERB_STATE_DONE || o->state == VERB_STATE_FAILED || o->state == VERB_STATE_UNKNOWN);
    text_addf(&transcript, "  %s%s received=%s executed=%s identity=%s server_id=%u%s%s\n\n",
              o->state == VERB_STATE_DONE ? "DONE" : o->state == VERB_STATE_FAILED ? "FAILED" : "UNKNOWN",
              o->stale ? " stale" : "", o->received, o->executed, o->identity, o->server_id,
              o->error[0] != '\0' && o->state != VERB_STATE_DONE ? ": " : "",
              o->state != VERB_STATE_DONE ? o->error : "");
    return o;
}

static void expect(const char *title, const struct verb *v, enum verb_state state)
{
    const struct verb_outcome *o = perform(title, v);

    if (o->state != state) fail_msg("%s: state %d, error \"%s\"", title, (int)o->state, o->error);
}

static void enrol_and_revoke(void)
{
    struct verb v = a_verb(VERB_ENROL);

    reset_model();
    model.s.identity = "";
    model.s.token = model.s.epoch = "0";
    expect("ENROL of a replica", &v, VERB_STATE_DONE);
    model.s.channels_n = 0;
    model.s.replica_enabled = "0";
    v.is_master = true;
    expect("ENROL of the master, which has an identity", &v, VERB_STATE_DONE);
    model.s.source_enabled = "1";
    expect("ENROL of a master whose commits wait", &v, VERB_STATE_FAILED);
    model.s.log_bin = "0";
    expect("ENROL without binlog", &v, VERB_STATE_FAILED);

    v = a_verb(VERB_REVOKE);
    reset_model();
    expect("REVOKE of an acker, with takeover", &v, VERB_STATE_DONE);
    assert_true(run.locked);
    expect("REVOKE again", &v, VERB_STATE_DONE);
    reset_model();
    model.s.channels[0].sql = "No";
    expect("REVOKE where the applier was stopped", &v, VERB_STATE_DONE);
    reset_model();
    model.s.channels_n = 0;
    model.s.replica_enabled = "0";
    expect("REVOKE of a server without a channel", &v, VERB_STATE_DONE);
    as_revoked();
    model.s.channels[0].received = "";
    expect("REVOKE of a server that restarted", &v, VERB_STATE_FAILED);
}

static void apply_and_catch_up(void)
{
    struct verb v = a_verb(VERB_APPLY);

    as_revoked();
    model.s.executed_replica = "0-1-98";
    model.then_executed = "0-1-100";
    model.apply_after = 3;
    expect("APPLY with a backlog", &v, VERB_STATE_DONE);
    as_revoked();
    model.s.executed_replica = "0-1-98";
    v.deadline_ms = 30;
    expect("APPLY that takes too long", &v, VERB_STATE_FAILED);
    v.deadline_ms = 3000;
    model.s.channels[0].sql = "No";
    model.s.channels[0].sql_errno = "1062";
    model.s.channels[0].sql_error = "Duplicate entry";
    expect("APPLY with a broken applier", &v, VERB_STATE_FAILED);
    v = a_verb(VERB_CATCH_UP);
    expect("CATCH_UP with a broken applier", &v, VERB_STATE_FAILED);
    v.is_acker = true;
    v.kind = VERB_FOLLOW;
    expect("FOLLOW with a broken applier", &v, VERB_STATE_FAILED);

    as_revoked();
    v = a_verb(VERB_CATCH_UP);
    TEXT_COPY(v.target, "0-1-105");
    model.then_executed = "0-1-105";
    model.apply_after = 4;
    expect("CATCH_UP from the holder", &v, VERB_STATE_DONE);
    v = a_verb(VERB_APPLY);
    TEXT_COPY(v.target, "0-1-106");
    expect("APPLY of what was not received", &v, VERB_STATE_FAILED);
}

static void promote_and_open(void)
{
    struct verb v = a_verb(VERB_PROMOTE);

    as_revoked();
    expect("PROMOTE", &v, VERB_STATE_DONE);
    expect("PROMOTE again", &v, VERB_STATE_DONE);
    as_revoked();
    model.s.channels[0].received = "0-1-101";
    expect("PROMOTE with received transactions left", &v, VERB_STATE_FAILED);
    as_revoked();
    TEXT_COPY(v.target, "0-1-101");
    expect("PROMOTE below the target", &v, VERB_STATE_FAILED);
    v = a_verb(VERB_PROMOTE);
    model.s.channels[0].io = "Connecting";
    expect("PROMOTE with a receiver that lives again", &v, VERB_STATE_FAILED);

    as_promoted();
    v = a_verb(VERB_ATTACHED);
    model.attach_after = 3;
    expect("ATTACHED", &v, VERB_STATE_DONE);
    v = a_verb(VERB_REIGN_ROW);
    expect("REIGN_ROW", &v, VERB_STATE_DONE);
    assert_string_equal(run.outcome.executed, "0-2-101");
    v = a_verb(VERB_OPEN);
    expect("OPEN", &v, VERB_STATE_DONE);
    assert_string_equal(model.s.read_only, "0");
    v = a_verb(VERB_CLEAR);
    model.s.executed_any = "0-2-101";
    expect("CLEAR", &v, VERB_STATE_DONE);
    as_promoted();
    v = a_verb(VERB_REIGN_ROW);
    expect("REIGN_ROW without an acker", &v, VERB_STATE_FAILED);
    v = a_verb(VERB_OPEN);
    expect("OPEN without an acker", &v, VERB_STATE_FAILED);
    model.s.clients = "1";
    model.s.timeout = "10000";
    expect("OPEN with a semi-sync time-out", &v, VERB_STATE_FAILED);
    model.s.timeout = "4294967295";
    model.fail_code = 30008;
    expect("OPEN, the acker gone at the last moment", &v, VERB_STATE_FAILED);
    assert_string_equal(model.s.read_only, "1");
    v.k = 0;
    expect("OPEN degraded", &v, VERB_STATE_DONE);
}

static void follow_and_close(void)
{
    struct verb v = a_verb(VERB_FOLLOW);

    v.is_acker = true;
    as_revoked();
    expect("FOLLOW as the acker of the new master", &v, VERB_STATE_DONE);
    expect("FOLLOW again", &v, VERB_STATE_DONE);
    v.is_acker = false;
    expect("FOLLOW the same as no acker", &v, VERB_STATE_DONE);
    reset_model();
    expect("FOLLOW while still receiving from the old master", &v, VERB_STATE_DONE);
    as_revoked();
    model.s.binlog = "0-2-101";
    expect("FOLLOW of a server with transactions of its own", &v, VERB_STATE_FAILED);
    as_revoked();
    model.s.channels_n = 2;
    model.s.channels[1] = model.s.channels[0];
    expect("FOLLOW of a server with two channels", &v, VERB_STATE_FAILED);

    v = a_verb(VERB_CLOSE);
    as_promoted();
    model.s.channels_n = 0;
    model.s.read_only = "0";
    expect("CLOSE", &v, VERB_STATE_DONE);
    assert_string_equal(model.s.read_only, "1");
}

static void refusals(void)
{
    struct verb v = a_verb(VERB_OPEN);

    as_promoted();
    model.s.clients = "1";
    model.s.token = "101";
    expect("OPEN under a token that is too old", &v, VERB_STATE_FAILED);
    assert_true(run.outcome.stale);
    as_promoted();
    model.s.identity = "id-other";
    expect("OPEN of another server", &v, VERB_STATE_FAILED);
    model.s.identity = "";
    expect("OPEN of a server that is not enrolled", &v, VERB_STATE_FAILED);
    as_promoted();
    model.s.clients = "1";
    model.fail_code = 30002;
    expect("OPEN, a newer plan came in between", &v, VERB_STATE_FAILED);
    assert_true(run.outcome.stale);
    assert_string_equal(model.s.read_only, "1");
    model.fail_code = 30005;
    expect("OPEN, too late on the server's clock", &v, VERB_STATE_FAILED);
    model.fail_code = 30007;
    model.has_lock = false;
    expect("OPEN, lock not granted", &v, VERB_STATE_FAILED);
    model.has_lock = true;
    model.fail_code = 30001;
    expect("OPEN, the lock was lost: taken again", &v, VERB_STATE_DONE);
    as_promoted();
    model.s.clients = "1";
    model.connected = true;
    expect("OPEN in a new session: taken again", &v, VERB_STATE_DONE);
    as_promoted();
    model.s.clients = "1";
    model.fail_status = DB_LOST;
    expect("OPEN, session lost", &v, VERB_STATE_UNKNOWN);
    assert_false(run.locked);
    model.fail_code = 1227;
    model.has_lock = true;
    expect("OPEN without the privilege", &v, VERB_STATE_FAILED);
    v.deadline_ms = 0;
    expect("OPEN without time", &v, VERB_STATE_FAILED);
}

static void test_golden(void **state)
{
    (void)state;
    char probe[PROBE_SQL_SIZE];
    struct text t = TEXT_ON(probe);

    transcript = TEXT_ON(transcript_room);
    probe_write(FLAVOUR_MARIADB, &t);
    text_addf(&transcript, "The probe, which ends every request:\n%s\n\n", probe);
    enrol_and_revoke();
    apply_and_catch_up();
    promote_and_open();
    follow_and_close();
    refusals();
    assert_false(transcript.cut);
    const char *mode = getenv("GOLDEN");
    if (mode != NULL && text_equal(mode, "write")) {
        assert_int_equal(file_write_atomic(golden_path, transcript_room, transcript.len, 0644, NULL), 0);
    }
    char *golden = NULL;
    size_t size = 0;
    assert_int_equal(file_read(golden_path, TRANSCRIPT_SIZE, &golden, &size, NULL), 0);
    if (!text_equal(golden, transcript_room)) {
        size_t at = 0;
        while (golden[at] == transcript_room[at]) at++;
        print_message("differs from %s at byte %zu:\n%.400s\n", golden_path, at, transcript_room + at);
        free(golden);
        fail_msg("GOLDEN=write accepts the new text");
    }
    free(golden);
}

/* A reign row whose commit did not wait proves nothing. */
static void test_unacknowledged_reign_row(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REIGN_ROW);
    struct db_result answer;

    transcript = TEXT_ON(transcript_room);
    as_promoted();
    model.s.clients = "1";
    for (unsigned fault = 0; fault < 3; fault++) {
        verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
        assert_int_equal(verb_next(&run, NULL), VERB_SEND);
        answer_make(&model.s, &answer);
        assert_int_equal(verb_next(&run, &answer), VERB_SEND);
        struct answer_server old = model.s;
        if (fault == 0) model.s.no_tx = "1";
        if (fault == 1) model.s.source_on = "OFF";
        if (fault == 2) model.s.uptime = "1";
        answer_make(&model.s, &answer);
        assert_int_equal(verb_next(&run, &answer), VERB_END);
        assert_int_equal(run.outcome.state, VERB_STATE_FAILED);
        assert_non_null(strstr(run.outcome.error, "without an ack"));
        model.s = old;
    }
}

/* Texts that do not belong: names with quotes stay names, a clock that is no number fails the verb. */
static void test_hostile_values(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);
    struct db_result answer;

    transcript = TEXT_ON(transcript_room);
    reset_model();
    model.s.channels[0].name = "x'; DROP TABLE t; --";
    verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
    (void)verb_next(&run, NULL);
    answer_make(&model.s, &answer);
    (void)verb_next(&run, &answer);
    model.s.token = "100";
    model.s.epoch = "2";
    answer_make(&model.s, &answer);
    assert_int_equal(verb_next(&run, &answer), VERB_SEND);
    assert_non_null(strstr(run.sql, "STOP SLAVE 'x''; DROP TABLE t; --' IO_THREAD;"));
    model.s.now = "1); DROP";
    verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
    (void)verb_next(&run, NULL);
    answer_make(&model.s, &answer);
    assert_int_equal(verb_next(&run, &answer), VERB_END);
    assert_int_equal(run.outcome.state, VERB_STATE_FAILED);
    reset_model();
    model.s.channels[0].received = "nonsense";
    verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
    (void)verb_next(&run, NULL);
    answer_make(&model.s, &answer);
    assert_int_equal(verb_next(&run, &answer), VERB_END);
    assert_int_equal(run.outcome.state, VERB_STATE_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_unacknowledged_reign_row),
        cmocka_unit_test(test_hostile_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
