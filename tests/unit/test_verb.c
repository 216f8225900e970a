/* The verbs' sequencer against a small model of a MariaDB server: the golden transcript, and the rules that every text
 * sent must keep. Run from the top of the checkout; GOLDEN=write rewrites the golden file. */
#include "tests/unit/verb_model.h"

#include "lib/file.h"

static const char golden_path[] = "tests/golden/verbs_mariadb.txt";

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
    as_promoted();
    model.s.read_only = "0";
    model.bars_for = 5;
    model.aside_error = "1040 Too many connections";
    expect("CLOSE of a full server whose commits wait", &v, VERB_STATE_DONE);
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
    model.s.term = "7";
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
        cmocka_unit_test(test_hostile_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
