/* A small model of a MariaDB server, and the verbs' sequencer run against it: what test_verb.c (the transcript) and
 * test_verb_rules.c (rule by rule) share. Header only. */
#ifndef REGENT_TESTS_VERB_MODEL_H
#define REGENT_TESTS_VERB_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "mysql/probe.h"
#include "mysql/verb.h"
#include "tests/unit/probe_answer.h"

enum { TRANSCRIPT_SIZE = 1 << 18, GUARDS_MAX = 1024, REQUESTS_MAX = 400 };

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
    unsigned stop_after;    /* Probes until a stopped receiver is seen stopped; 0: at once. */
    const char *late_clients; /* Attached ackers at the moment of opening, other than the probe before told. */
    unsigned blocks, takeovers;
    unsigned bars_for, bars_until; /* Probes until read_only of the second session takes effect; 0: at once. */
    const char *ignores;    /* Statements that begin so do nothing. */
    const char *aside_error; /* One-shot: number and text: why the second session fails. */
    char log[1 << 20]; /* Every line that came in a block, in order. */
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

    if (model.ignores != NULL && starts(line, model.ignores)) return;
    if (starts(line, "UPDATE regent.fence") || starts(line, "INSERT IGNORE INTO regent.fence")) {
        model.s.token = "100";
        model.s.term = "7";
        model.s.epoch = "2";
        if (model.s.identity[0] == '\0') model.s.identity = "id-db2";
    }
    if (strstr(line, "GET_LOCK('regent.control'") != NULL) {
        model.has_lock = true;
        model.takeovers++;
    }
    if (starts(line, "STOP SLAVE ''")) c->io = model.stop_after == 0 ? "No" : "Yes";
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
        bool is_closed = text_equal(model.s.read_only, "1");
        model.s.close_left = !is_closed || text_equal(model.s.close_last, "") ? "2" : "0";
        if (is_closed) model.s.close_last = "77";
        model.s.close_connections = "40";
        model.s.close_bars = model.bars_until != 0 ? "1" : "0";
    }
}

static void model_probe(void)
{
    model.probes++;
    if (model.apply_after != 0 && model.probes >= model.apply_after) model.s.executed_replica = model.then_executed;
    if (model.stop_after != 0 && model.probes >= model.stop_after) {
        model.s.channels[0].io = "No";
        model.stop_after = 0;
    }
    if (model.bars_until != 0 && model.probes >= model.bars_until) {
        model.s.read_only = "1";
        model.bars_until = 0;
    }
    if (model.attach_after != 0 && model.probes >= model.attach_after) model.s.clients = "1";
}

/* The condition of OPEN, as the server would see it. */
static bool refuses_to_open(void)
{
    char wanted[80];

    if (model.late_clients == NULL || strstr(run.sql, "SET GLOBAL read_only = 0") == NULL) return false;
    model.s.clients = model.late_clients;
    snprintf(wanted, sizeof(wanted), "'RPL_SEMI_SYNC_MASTER_CLIENTS' AND VARIABLE_VALUE + 0 = %s)) = 2",
             model.late_clients);
    return strstr(run.sql, "MYSQL_ERRNO = 30008") != NULL && strstr(run.sql, wanted) == NULL;
}

static void model_log(const char *sql)
{
    size_t n = strlen(model.log);

    assert_true(n + strlen(sql) < sizeof(model.log));
    strcpy(model.log + n, sql);
}

/* The second session: its read_only stands for some probes, while others commit. */
static void model_aside(void)
{
    static char copy[VERB_SQL_SIZE];

    if (model.aside_error == NULL) model_log(run.sql);
    if (model.aside_error != NULL) {
        run.aside_code = (uint32_t)strtoul(model.aside_error, NULL, 10);
        (void)TEXT_COPY(run.aside_error, model.aside_error);
        model.aside_error = NULL;
        return;
    }
    model.bars_until = model.probes + model.bars_for;
    if (model.bars_for > 0) return;
    strcpy(copy, run.sql);
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) model_line(line);
}

/* The answer to run.sql. */
static void model_answer(struct db_result *result)
{
    static char copy[VERB_SQL_SIZE];
    bool has_block = strstr(run.sql, "BEGIN NOT ATOMIC\n") != NULL;

    if (refuses_to_open()) model.fail_code = 30008;
    if (has_block && (model.fail_code != 0 || model.fail_status != DB_OK)) {
        enum db_status status = model.fail_status != DB_OK ? model.fail_status : DB_ERROR;
        *result = (struct db_result){.status = status, .code = model.fail_code, .error = "the server's words",
                                     .session_lost = status != DB_ERROR};
        model.fail_code = 0;
        model.fail_status = DB_OK;
        return;
    }
    model.s.close_left = NULL;
    if (has_block) model.blocks++;
    strcpy(copy, run.sql);
    if (has_block) model_log(copy);
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

static void transcribe_request(bool is_aside)
{
    static char copy[VERB_SQL_SIZE], probe[PROBE_SQL_SIZE];
    struct text t = TEXT_ON(probe);

    probe_write(FLAVOUR_MARIADB, &t);
    strcpy(copy, run.sql);
    char *end = strstr(copy, probe);
    assert_true((end != NULL) == !is_aside); /* Every request ends with the probe, one that is sent aside has none. */
    if (end != NULL) assert_string_equal(end, probe);
    if (end != NULL) *end = '\0';
    text_addf(&transcript, "  send%s%s%s\n", is_aside ? " aside" : "", copy[0] == '\0' ? " the probe" : "",
              run.secret ? " (secret)" : "");
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) transcribe_line(line);
}

/* S3, on the text itself: what changes the server stands right behind a guard. */
static void check_guards(bool is_aside)
{
    const char *lock = is_aside ? "IS_USED_LOCK('regent.close') <=> CONNECTION_ID()"
                                : "IS_USED_LOCK('regent.control') <=> CONNECTION_ID()";
    static const char *const changes[] = {"STOP ",  "START ",     "CHANGE ",
                                          "RESET ", "SET GLOBAL", "INSERT INTO regent.reign"};
    static const char asks[] = "IF EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_IO')";
    static char copy[VERB_SQL_SIZE];
    const char *before = "";
    char newer[80], older[80];
    unsigned term = (unsigned)run.verb.term;

    snprintf(newer, sizeof(newer), "WHEN token > 100 OR (token = 100 AND term > %u) THEN 30002", term);
    snprintf(older, sizeof(older), "WHEN token < 100 OR term < %u THEN 30003", term);
    strcpy(copy, run.sql);
    for (char *rest = copy, *line; (line = strtok_r(rest, "\n", &rest)) != NULL; before = line) {
        bool is_change = false;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++) is_change = is_change || starts(line, changes[i]);
        is_change = is_change || (starts(line, "UPDATE regent.fence") && run.verb.kind != VERB_ENROL);
        bool is_asked = starts(before, asks);
        /* An applier that is started without a receiver throws the relay log away. */
        bool is_applier = starts(line, "START SLAVE") && strstr(line, "SQL_THREAD") != NULL;
        assert_int_equal(is_asked, is_applier);
        if (is_asked) is_change = false; /* Its IF stands behind the guard. */
        if (starts(line, asks)) is_change = true;
        if (!is_change) continue;
        if (!starts(before, "SET @regent") || strstr(before, "; IF @regent <> 0 THEN SIGNAL") == NULL) {
            fail_msg("not guarded: %s", line);
        }
        bool is_reign = run.verb.kind == VERB_REIGN_ROW;
        assert_non_null(strstr(before, newer));
        if (!starts(line, "UPDATE")) assert_non_null(strstr(before, older));
        assert_non_null(strstr(before, "identity <> 'id-db2'"));
        assert_non_null(strstr(before, "SYSDATE(6)) >= 1795226883.123456 + "));
        assert_true(is_reign || strstr(before, lock) != NULL);
    }
    assert_int_equal(run.secret, strstr(run.sql, "s3cr't") != NULL || strstr(run.sql, "s3cr''t") != NULL);
}

/* --- running --- */

static struct verb a_verb(enum verb_kind kind)
{
    struct verb v = {.kind = kind, .server = 1, .token = 100, .term = 7, .step = STEP_REVOKE, .epoch = 2,
                     .source_port = 3313, .deadline_ms = 3000, .k = 1};

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
    model.s.term = "7";
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
        bool is_aside = next == VERB_SEND_ASIDE;
        transcribe_request(is_aside);
        check_guards(is_aside);
        if (is_aside) {
            model_aside();
            continue;
        }
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

#endif
