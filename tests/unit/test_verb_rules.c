/* The verbs rule by rule, against the model of verb_model.h: each test fails when the one rule that it names is taken
 * out of mysql/verb*.c. The transcript of test_verb.c shows the same statements in one piece. */
#include "tests/unit/verb_model.h"

static int begin(void **state)
{
    (void)state;
    transcript = TEXT_ON(transcript_room);
    reset_model();
    return 0;
}

/* Performs; the verb must fail, say 'text', and have sent no block. */
static void refused(const struct verb *v, const char *text)
{
    const struct verb_outcome *o = perform("", v);

    if (o->state != VERB_STATE_FAILED) fail_msg("not refused, but state %d", (int)o->state);
    if (strstr(o->error, text) == NULL) fail_msg("\"%s\" does not say \"%s\"", o->error, text);
    assert_int_equal(model.blocks, 0);
}

static void done(const struct verb *v)
{
    expect("", v, VERB_STATE_DONE);
}

/* Where 'what' stands in all that was sent; fails the test when it is not there. */
static size_t at(const char *what)
{
    const char *found = strstr(model.log, what);

    if (found == NULL) fail_msg("never sent: %s", what);
    return found == NULL ? 0 : (size_t)(found - model.log);
}

/* --- S3: whose session acts --- */

static void test_older_term_of_the_same_plan_is_stale(void **state)
{
    (void)state;
    for (int kind = VERB_none + 1; kind < VERB_KINDS_N; kind++) {
        struct verb v = a_verb((enum verb_kind)kind);
        reset_model();
        as_revoked();
        model.s.term = "8";
        refused(&v, "newer plan");
        assert_true(run.outcome.stale);
        v.term = 8;
        (void)perform("", &v);
        assert_false(run.outcome.stale);
    }
    struct verb v = a_verb(VERB_REVOKE);
    reset_model();
    model.s.term = "8"; /* Of another, older plan: it does not count. */
    done(&v);
}

/* The session was taken by a newer leader of the same plan: it is not taken back. */
static void test_deposed_leader_does_not_retake(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_OPEN);
    struct db_result answer;

    as_promoted();
    model.s.clients = "1";
    verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
    run.locked = true;
    run.left_ms = 1000;
    assert_int_equal(verb_next(&run, NULL), VERB_SEND);
    answer_make(&model.s, &answer);
    assert_int_equal(verb_next(&run, &answer), VERB_SEND);
    assert_non_null(strstr(run.sql, "SET GLOBAL read_only = 0"));
    answer = (struct db_result){.status = DB_ERROR, .code = 30001};
    assert_int_equal(verb_next(&run, &answer), VERB_SEND); /* Looks again. */
    assert_null(strstr(run.sql, "KILL"));
    model.s.term = "8";
    answer_make(&model.s, &answer);
    assert_int_equal(verb_next(&run, &answer), VERB_END);
    assert_true(run.outcome.stale);
}

/* What is stored is compared although this session holds the lock. */
static void test_session_counts_only_with_token_term_and_epoch(void **state)
{
    (void)state;
    static const char *const stored[][3] = {{"99", "7", "2"}, {"100", "6", "2"}, {"100", "7", "1"}};
    struct verb v = a_verb(VERB_APPLY);

    as_revoked();
    done(&v);
    assert_int_equal(model.takeovers, 0);
    for (size_t i = 0; i < ARRAY_LEN(stored); i++) {
        as_revoked();
        model.s.token = stored[i][0];
        model.s.term = stored[i][1];
        model.s.epoch = stored[i][2];
        done(&v);
        assert_int_equal(model.takeovers, 1);
    }
    as_revoked();
    model.has_lock = false;
    done(&v);
    assert_int_equal(model.takeovers, 1);
    (void)at("KILL CONNECTION");
    assert_true(at("KILL CONNECTION") < at("GET_LOCK") && at("GET_LOCK") < at("UPDATE regent.fence"));
}

static void test_another_identity_is_left_alone(void **state)
{
    (void)state;
    for (int kind = VERB_none + 1; kind < VERB_KINDS_N; kind++) {
        struct verb v = a_verb((enum verb_kind)kind);
        if (kind == VERB_ENROL) continue;
        as_revoked();
        model.s.identity = "id-other";
        refused(&v, "its identity is id-other, expected id-db2");
        reset_model(); /* Also when it would have to take the session first. */
        model.s.identity = "id-other";
        refused(&v, "its identity is id-other, expected id-db2");
        assert_int_equal(model.takeovers, 0);
    }
}

/* --- what every outcome tells --- */

static void test_outcome_tells_the_incarnation(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    model.s.no_tx = "5";
    done(&v);
    assert_int_equal(run.outcome.started_s, 1795226000);
    assert_int_equal(run.outcome.no_tx, 5);
    assert_int_equal(run.outcome.server_id, 2);
}

/* --- REVOKE --- */

static void test_revoke_waits_until_the_receiver_is_seen_stopped(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    model.stop_after = 6;
    done(&v);
    assert_string_equal(model.s.channels[0].io, "No");
    assert_true(run.polls > 0);
    assert_int_equal(model.blocks, 2); /* Takeover, one stop: no stop after stop. */
    reset_model();
    model.stop_after = 1000000;
    v.deadline_ms = 100;
    expect("", &v, VERB_STATE_FAILED);
    assert_non_null(strstr(run.outcome.error, "the receiver to stop"));
}

/* The flag goes with the receiver: a receiver that somebody starts again is no acker. */
static void test_revoke_switches_the_flag_off_in_the_same_request(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    done(&v);
    assert_int_equal(model.blocks, 2);
    assert_string_equal(model.s.replica_enabled, "0");
    as_revoked();
    model.s.replica_enabled = "1"; /* No receiver runs, but the flag is on. */
    done(&v);
    assert_string_equal(model.s.replica_enabled, "0");
}

/* A4; and what a FOLLOW leaves that is cut off between CHANGE and START. */
static void test_revoke_of_a_server_that_has_forgotten(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    as_revoked();
    model.s.channels[0].received = "";
    refused(&v, "proves nothing");
    model.s.channels[0].relay_space = "513";
    refused(&v, "proves nothing");
    model.s.channels[0].relay_space = NULL;
    refused(&v, "proves nothing");
    model.s.channels[0].relay_space = "256";
    done(&v);
    assert_string_equal(run.outcome.received, "0-1-100");
    model.s.channels[0].relay_space = "512"; /* The same after one more restart. */
    done(&v);
}

/* What it received and will not execute can be fetched from nobody: the plan has to know. */
static void test_revoke_of_a_server_whose_applier_has_stopped(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    as_revoked();
    model.s.channels[0].received = "0-1-105";
    done(&v);
    assert_false(run.outcome.stuck); /* It is being executed. */
    model.s.channels[0].sql = "No";
    done(&v);
    assert_true(run.outcome.stuck);
    model.s.channels[0].received = "0-1-100";
    done(&v);
    assert_false(run.outcome.stuck);
}

/* --- APPLY, CATCH_UP, FOLLOW --- */

/* hazards A8: with both threads stopped, a start drops the relay log. */
static void test_applier_is_not_started_without_a_receiver(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_APPLY, VERB_CATCH_UP, VERB_FOLLOW};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct verb v = a_verb(kinds[i]);
        TEXT_COPY(v.target, "0-1-105");
        as_revoked();
        model.s.channels[0].sql = "No";
        model.s.channels[0].received = "0-1-105";
        refused(&v, "throw the relay log away");
        assert_string_equal(model.s.channels[0].sql, "No");
    }
}

static void test_stopped_applier_is_started_before_the_receiver_stops(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    model.s.channels[0].sql = "No";
    done(&v);
    assert_true(at("COMMAND = 'Slave_IO') THEN\nSTART SLAVE '' SQL_THREAD") < at("STOP SLAVE '' IO_THREAD"));
    v = a_verb(VERB_APPLY);
    TEXT_COPY(v.target, "0-1-105");
    as_revoked();
    model.s.channels[0] = answer_replica().channels[0];
    model.s.channels[0].sql = "No";
    model.s.channels[0].received = model.then_executed = "0-1-105";
    model.apply_after = 3;
    done(&v);
    (void)at("COMMAND = 'Slave_IO') THEN\nSTART SLAVE '' SQL_THREAD");
}

/* A6: its start position would count as an acknowledgement. */
static void test_server_with_own_transactions_does_not_attach(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_CATCH_UP, VERB_FOLLOW};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct verb v = a_verb(kinds[i]);
        TEXT_COPY(v.target, "0-1-105");
        as_revoked();
        model.s.binlog = "0-2-101";
        refused(&v, "transactions of its own");
        assert_string_equal(model.s.channels[0].host, "db1");
    }
}

/* A6: a receiver takes the flag that stands when it starts. */
static void test_flag_is_set_before_the_receiver_starts(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_FOLLOW);

    v.is_acker = true;
    as_revoked();
    done(&v);
    assert_int_equal(model.blocks, 1);
    assert_string_equal(model.s.replica_on, "ON");
    assert_true(at("SET GLOBAL rpl_semi_sync_slave_enabled = 1") < at("CHANGE MASTER"));
    assert_true(at("CHANGE MASTER") < at("START SLAVE ''"));
    model.log[0] = '\0';
    v.is_acker = false; /* The same source: the receiver is restarted around the flag. */
    done(&v);
    assert_string_equal(model.s.replica_on, "OFF");
    assert_true(at("STOP SLAVE '' IO_THREAD") < at("SET GLOBAL rpl_semi_sync_slave_enabled = 0"));
    assert_true(at("SET GLOBAL rpl_semi_sync_slave_enabled = 0") < at("START SLAVE '' IO_THREAD"));
}

/* A plan that failed had promoted it: as a semi-sync source its applier would wait for acks for ever (SS-15). */
static void test_follower_is_no_source(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_FOLLOW, VERB_CATCH_UP};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct verb v = a_verb(kinds[i]);
        TEXT_COPY(v.target, "0-1-101");
        as_revoked();
        model.s.source_enabled = "1";
        model.s.read_only = "1";
        if (kinds[i] == VERB_CATCH_UP) model.s.executed_replica = model.s.executed_any = model.s.binlog = "0-1-101";
        done(&v);
        assert_string_equal(model.s.source_enabled, "0");
        assert_true(at("IF NOT (@@GLOBAL.read_only)") < at("SET GLOBAL rpl_semi_sync_master_enabled = 0"));
        model.log[0] = '\0';
    }
    struct verb v = a_verb(VERB_FOLLOW);
    as_revoked();
    model.s.source_enabled = "1";
    model.s.read_only = "0"; /* Open: commits of clients may wait, and would be told OK. */
    (void)perform("", &v);
    assert_string_equal(model.s.source_enabled, "1");
    as_revoked();
    model.s.source_enabled = model.s.read_only = "1";
    model.s.binlog = "0-2-102"; /* Its reign row, which waits. */
    refused(&v, "transactions of its own");
    assert_string_equal(model.s.source_enabled, "1");
}

/* The candidate is chosen again: its reign row is in its own binlog, and the target names it. */
static void test_own_reign_row_counts_as_executed(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_APPLY);

    TEXT_COPY(v.target, "0-2-101");
    as_revoked();
    refused(&v, "was not received");
    model.s.binlog = "0-2-101";
    done(&v);
    v.kind = VERB_CATCH_UP;
    done(&v);
    v.kind = VERB_PROMOTE;
    done(&v);
    v.kind = VERB_APPLY;
    as_revoked();
    model.s.binlog = "0-2-102"; /* More of its own than the target knows: not that one. */
    refused(&v, "was not received");
    TEXT_COPY(v.target, "0-1-101");
    model.s.binlog = "0-1-101"; /* Of another server, and not applied. */
    refused(&v, "was not received");
}

/* One number a domain: a transaction of another origin has the number of the acknowledged one, or a greater one. */
static void test_only_the_very_target_is_executed(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_APPLY, VERB_CATCH_UP, VERB_PROMOTE};
    static const char *const pasts[] = {"0-3-101", "0-3-102", "0-1-102", "0-1-101,5-1-8"};
    for (size_t i = 0; i < ARRAY_LEN(kinds) * ARRAY_LEN(pasts); i++) {
        struct verb v = a_verb(kinds[i / ARRAY_LEN(pasts)]);
        TEXT_COPY(v.target, "0-1-101,5-1-7");
        as_revoked();
        model.s.executed_replica = model.s.executed_any = pasts[i % ARRAY_LEN(pasts)];
        model.s.binlog = model.s.channels[0].received = model.s.executed_replica;
        refused(&v, "not the target 0-1-101,5-1-7");
        assert_true(run.outcome.past);
        model.s.executed_replica = model.s.executed_any = "0-1-101,5-1-7,6-4-9"; /* Of no domain of the target. */
        model.s.binlog = model.s.channels[0].received = model.s.executed_replica;
        done(&v);
        assert_false(run.outcome.past);
    }
}

/* What the source should not have sent is followed by no more of it. */
static void test_catch_up_that_is_past_its_target_ends_receiving(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CATCH_UP);

    TEXT_COPY(v.target, "0-1-101");
    as_revoked();
    model.s.channels[0].io = "Yes";
    model.s.executed_replica = model.s.executed_any = model.s.channels[0].received = "0-3-101";
    assert_int_equal(perform("", &v)->state, VERB_STATE_FAILED);
    assert_true(run.outcome.past);
    assert_string_equal(model.s.channels[0].io, "No");
    (void)at("STOP SLAVE '' IO_THREAD");
}

/* --- PROMOTE, CLEAR --- */

static void test_promote_never_touches_an_open_server(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_PROMOTE);

    as_promoted();
    model.s.read_only = "0";
    model.s.source_enabled = "0";
    refused(&v, "open already");
    assert_string_equal(model.s.read_only, "0");
}

static void test_promote_refuses_a_running_receiver(void **state)
{
    (void)state;
    static const char *const io[] = {"Yes", "Connecting", "Preparing"};
    struct verb v = a_verb(VERB_PROMOTE);

    for (size_t i = 0; i < ARRAY_LEN(io); i++) {
        as_revoked();
        model.s.channels[0].io = io[i];
        refused(&v, "a receiver runs");
    }
}

static void test_clear_keeps_what_is_not_executed(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLEAR);

    as_promoted();
    model.s.channels[0].received = "0-1-101";
    refused(&v, "not cleared: executed 0-1-100");
    assert_int_equal(model.s.channels_n, 1);
    model.s.channels[0].sql = "Yes";
    refused(&v, "replicates from another one");
}

/* --- A6: exactly the listed ackers --- */

static void test_strangers_do_not_count_as_ackers(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_REIGN_ROW, VERB_OPEN};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct verb v = a_verb(kinds[i]);
        as_promoted();
        model.s.clients = "2";
        refused(&v, "2 ackers attached, expected 1");
        assert_string_equal(model.s.read_only, "1");
    }
    struct verb v = a_verb(VERB_ATTACHED);
    v.deadline_ms = 100;
    refused(&v, "1 ackers to be attached and no other: 2 are");
    model.attach_after = model.probes + 3; /* It was an ended session. */
    done(&v);
}

static void test_open_looks_at_the_ackers_at_the_moment_of_opening(void **state)
{
    (void)state;
    static const char *const late[] = {"0", "2"};
    struct verb v = a_verb(VERB_OPEN);

    for (size_t i = 0; i < ARRAY_LEN(late); i++) {
        as_promoted();
        model.s.clients = "1";
        model.late_clients = late[i];
        refused(&v, "at the moment of opening");
        assert_string_equal(model.s.read_only, "1");
    }
    as_promoted();
    model.s.clients = model.late_clients = "1";
    done(&v);
    assert_true(at("'RPL_SEMI_SYNC_MASTER_STATUS' AND VARIABLE_VALUE = 'ON'") < at("SET GLOBAL read_only = 0"));
}

/* It would be a second place where writes come from, or would apply those of another master over its own clients'. */
static void test_open_refuses_a_server_that_replicates(void **state)
{
    (void)state;
    static const struct { const char *io, *sql, *read_only; } replicates[] = {
        {"Yes", "No", "1"}, {"Connecting", "No", "1"}, {"No", "Yes", "1"}, {"Yes", "Yes", "1"}, {"No", "Yes", "0"}};
    struct verb v = a_verb(VERB_OPEN);

    for (size_t i = 0; i < ARRAY_LEN(replicates); i++) {
        as_promoted();
        model.s.clients = "1";
        model.s.channels[0].io = replicates[i].io;
        model.s.channels[0].sql = replicates[i].sql;
        model.s.read_only = replicates[i].read_only;
        refused(&v, "not opened: it still replicates");
        assert_string_equal(model.s.read_only, replicates[i].read_only);
    }
}

/* Its effect is there: who attached or left since then does not undo it. */
static void test_open_again_is_done_whoever_is_attached(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_OPEN);

    as_promoted();
    model.s.read_only = "0";
    done(&v);
    assert_int_equal(model.blocks, 0);
    model.s.source_enabled = "0"; /* But it does not wait for acks: that was not asked. */
    model.s.source_on = "OFF";
    refused(&v, "semi-sync off");
}

/* A row whose commit did not wait, or that a stranger acknowledged, proves nothing. */
static void test_reign_row_must_be_acknowledged_by_the_acker(void **state)
{
    (void)state;
    static const char *const says[] = {"without an ack", "without an ack", "without an ack", "a stranger"};
    struct verb v = a_verb(VERB_REIGN_ROW);
    struct db_result answer;

    for (unsigned fault = 0; fault < ARRAY_LEN(says); fault++) {
        as_promoted();
        model.s.clients = "1";
        verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
        assert_int_equal(verb_next(&run, NULL), VERB_SEND);
        answer_make(&model.s, &answer);
        assert_int_equal(verb_next(&run, &answer), VERB_SEND);
        if (fault == 0) model.s.no_tx = "1";
        if (fault == 1) model.s.source_on = "OFF";
        if (fault == 2) model.s.uptime = "1";
        if (fault == 3) model.s.clients = "2";
        answer_make(&model.s, &answer);
        assert_int_equal(verb_next(&run, &answer), VERB_END);
        assert_int_equal(run.outcome.state, VERB_STATE_FAILED);
        assert_non_null(strstr(run.outcome.error, says[fault]));
    }
}

/* --- CLOSE --- */

static const char kill_clients[] =
    "'Slave_worker') ORDER BY IFNULL(STATE, '') = 'Waiting for semi-sync ACK from slave') DO KILL CONNECTION";

/* Sessions that began after the server was closed cannot write: they are neither ended nor waited for. */
static void test_close_ends_only_sessions_from_before(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLOSE);

    as_promoted();
    model.s.read_only = "0";
    done(&v);
    assert_true(at("SET GLOBAL read_only = 1") < at("AND ID <= 77 ORDER BY "));
    assert_true(at("SET GLOBAL read_only = 1") < at(kill_clients)); /* Nobody was in its way. */
    (void)at("AND ID <= 77) AS sessions_left");
    assert_null(strstr(model.log, "ID <= 0"));
    assert_null(strstr(model.log, "max_connections = "));
}

/* FACTS.md SS-6: clients are ended before read_only is on only while the second session bars others, on the server's
 * own word; who waits for an ack goes last; for a while nobody is ended when nobody waits. */
static void test_close_ends_writers_behind_a_bar(void **state)
{
    (void)state;
    static const char patient[] = "IF bars = 1 AND waits > 0 THEN\n", impatient[] = "IF bars = 1 THEN\n";
    struct verb v = a_verb(VERB_CLOSE);

    as_promoted();
    model.s.read_only = "0";
    model.bars_for = 3;
    done(&v);
    assert_true(at("SET GLOBAL read_only = 1") < at(kill_clients));
    assert_true(at("AND STATE = 'Waiting for backup lock');\n") < at(patient));
    assert_true(at(patient) < at("ID <> IFNULL(IS_USED_LOCK('regent.close'), 0) AND USER NOT IN"));
    assert_null(strstr(model.log, impatient));
    as_promoted();
    model.s.read_only = "0";
    model.bars_for = 150;
    done(&v);
    assert_true(at(patient) < at(impatient));
}

/* The second session takes its user lock before it is guarded; it waits as long as the verb may last, since it must not
 * give way while sessions are ended. */
static void test_close_bars_under_a_guard(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLOSE);

    as_promoted();
    model.s.read_only = "0";
    done(&v);
    size_t lock = at("GET_LOCK('regent.close', 1) <=> 1");
    assert_true(at("SET SESSION lock_wait_timeout = 4;") < lock);
    assert_true(lock < at("WHEN NOT (IS_USED_LOCK('regent.close') <=> CONNECTION_ID())"));
    assert_true(at("ID = IS_USED_LOCK('regent.close')) DO KILL CONNECTION") < lock); /* An earlier one is ended. */
    /* Who takes over takes that lock, too, behind his own and before he stores his token; and gives it back. */
    as_promoted();
    model.has_lock = false;
    model.s.read_only = "0";
    done(&v);
    assert_true(at("GET_LOCK('regent.control', 1) <=> 1") < at("GET_LOCK('regent.close', 1) <=> 1"));
    assert_true(at("GET_LOCK('regent.close', 1) <=> 1") < at("SET @released = RELEASE_LOCK('regent.close');"));
    assert_true(at("SET @released = RELEASE_LOCK('regent.close');") < at("UPDATE regent.fence SET token"));
}

/* F2: a master that still has the channel of its time as a replica shows the position of that time. What it wrote
 * itself is in its binlog, and belongs to what the closed master has. */
static void test_close_tells_what_it_wrote(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLOSE);

    as_promoted();
    model.s.read_only = "0";
    model.s.binlog = "0-2-120";
    const struct verb_outcome *o = perform("", &v);
    assert_int_equal(o->state, VERB_STATE_DONE);
    assert_string_equal(o->executed, "0-2-120");
}

static void test_close_makes_room_for_the_bar(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLOSE);

    as_promoted();
    model.s.read_only = "0";
    model.aside_error = "1040 Too many connections";
    done(&v);
    assert_true(at("SET GLOBAL max_connections = @@GLOBAL.max_connections + 8;") < at("SET GLOBAL read_only = 1"));
    assert_true(at("SET GLOBAL read_only = 1") < at("SET GLOBAL max_connections = 40;"));
    as_promoted();
    model.s.read_only = "0";
    model.aside_error = "1045 Access denied"; /* Tried again; nothing is changed for it. */
    done(&v);
    assert_null(strstr(model.log, "SET GLOBAL max_connections"));
    as_promoted();
    model.s.read_only = "0";
    model.bars_for = 100000;
    v.deadline_ms = 100;
    model.aside_error = "1045 Access denied";
    const struct verb_outcome *o = perform("", &v);
    assert_int_equal(o->state, VERB_STATE_FAILED);
    assert_non_null(strstr(o->error, "not in time: waited for read_only"));
}

/* --- ENROL --- */

static void test_enrol_asks_what_the_server_does_after_a_restart(void **state)
{
    (void)state;
    static const struct { unsigned code; const char *says, *condition; } rules[] = {
        {30010, "would acknowledge by itself after a restart", "'rpl_semi_sync_slave_enabled' AND GLOBAL_VALUE = 'ON'"},
        {30011, "boots open: put read_only=1", "'read_only' AND GLOBAL_VALUE = 'OFF' AND GLOBAL_VALUE_ORIGIN <> 'SQL'"},
    };
    struct verb v = a_verb(VERB_ENROL);

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        reset_model();
        model.fail_code = rules[i].code;
        refused(&v, rules[i].says);
        done(&v);
        assert_true(at(rules[i].condition) < at("CREATE DATABASE"));
    }
    assert_true(at("COLUMN_NAME = 'term'") < at("ALTER TABLE regent.fence ADD COLUMN IF NOT EXISTS term"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(test_older_term_of_the_same_plan_is_stale),
        T(test_deposed_leader_does_not_retake),
        T(test_session_counts_only_with_token_term_and_epoch),
        T(test_another_identity_is_left_alone),
        T(test_outcome_tells_the_incarnation),
        T(test_revoke_waits_until_the_receiver_is_seen_stopped),
        T(test_revoke_switches_the_flag_off_in_the_same_request),
        T(test_revoke_of_a_server_that_has_forgotten),
        T(test_revoke_of_a_server_whose_applier_has_stopped),
        T(test_applier_is_not_started_without_a_receiver),
        T(test_stopped_applier_is_started_before_the_receiver_stops),
        T(test_server_with_own_transactions_does_not_attach),
        T(test_flag_is_set_before_the_receiver_starts),
        T(test_follower_is_no_source), T(test_own_reign_row_counts_as_executed),
        T(test_only_the_very_target_is_executed),
        T(test_catch_up_that_is_past_its_target_ends_receiving),
        T(test_promote_never_touches_an_open_server),
        T(test_promote_refuses_a_running_receiver),
        T(test_clear_keeps_what_is_not_executed),
        T(test_strangers_do_not_count_as_ackers),
        T(test_open_looks_at_the_ackers_at_the_moment_of_opening),
        T(test_open_refuses_a_server_that_replicates),
        T(test_open_again_is_done_whoever_is_attached),
        T(test_reign_row_must_be_acknowledged_by_the_acker),
        T(test_close_ends_only_sessions_from_before),
        T(test_close_ends_writers_behind_a_bar),
        T(test_close_bars_under_a_guard),
        T(test_close_tells_what_it_wrote),
        T(test_close_makes_room_for_the_bar),
        T(test_enrol_asks_what_the_server_does_after_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
