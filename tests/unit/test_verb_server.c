/* Every verb against real MariaDB servers, under exactly the grants of docs/accounts.md; effects are looked up on the
 * servers, as root, never in the verb's own outcome alone. */
#include "tests/unit/verb_rig.h"

static void test_enrol(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_ENROL, DB1, 10);
    v.is_master = true;
    struct verb_outcome o = rig_do(DB1, &v);
    assert_string_equal(o.identity, "identity-of-1");
    assert_int_equal(o.server_id, 1);
    assert_string_equal(rig_sql(DB1, "SELECT CONCAT(identity,' ',token,' ',epoch) FROM regent.fence"),
                        "identity-of-1 10 2");
    rig_await(DB2, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME='reign'", "1");
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME='fence'"), "0");
    char before[256];
    snprintf(before, sizeof(before), "%s", rig_sql(DB2, "SELECT @@gtid_binlog_pos"));
    v = rig_verb(VERB_ENROL, DB2, 10);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT @@gtid_binlog_pos"), before); /* Unlogged. */
    /* Again: the identity that is there is kept. */
    TEXT_COPY(v.identity, "another");
    v.token = 11;
    o = rig_do(DB2, &v);
    assert_string_equal(o.identity, "identity-of-2");
    assert_string_equal(rig_sql(DB2, "SELECT CONCAT(identity,' ',token) FROM regent.fence"), "identity-of-2 11");
    v.token = 5;
    assert_true(rig_refuse(DB2, &v, "newer plan").stale);
    assert_string_equal(rig_sql(DB2, "SELECT token FROM regent.fence"), "11");
    /* Replica made the schema before the master did: the logged part passes. */
    v = rig_verb(VERB_ENROL, DB3, 10);
    rig_do(DB3, &v);
    insert_rows(DB1, 1);
    rig_await(DB3, "SELECT COUNT(*) FROM t.t", "1");
}

/* The whole failover as the plan does it, db1 killed. */
static void test_failover(void **state)
{
    (void)state;
    insert_rows(DB1, 5);
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    char target[FSM_GTID_SIZE];
    TEXT_COPY(target, o.received);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    assert_string_equal(rig_channel(DB2, "Slave_SQL_Running"), "Yes");
    assert_string_equal(rig_sql(DB2, "SELECT CONCAT(token,' ',epoch) FROM regent.fence"), "100 2");
    v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, target);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "5");
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, target);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT CONCAT(@@global.read_only, @@global.rpl_semi_sync_master_enabled,"
                                     " @@global.rpl_semi_sync_slave_enabled)"), "ONONOFF");
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    rig_refuse(DB2, &v, "0 ackers attached");
    assert_string_equal(rig_sql(DB2, "SELECT @@global.read_only"), "1");
    v = rig_verb(VERB_FOLLOW, DB3, RIG_TOKEN);
    rig_source(&v, DB2);
    v.is_acker = true;
    rig_do(DB3, &v);
    v = rig_verb(VERB_ATTACHED, DB2, RIG_TOKEN);
    v.k = 1;
    rig_do(DB2, &v);
    v = rig_verb(VERB_REIGN_ROW, DB2, RIG_TOKEN);
    v.k = 1;
    o = rig_do(DB2, &v);
    rig_await(DB3, "SELECT CONCAT(cluster,' ',epoch,' ',master,' ',token) FROM regent.reign", "shop 2 db2 100");
    assert_string_equal(o.executed, rig_sql(DB3, "SELECT @@gtid_slave_pos"));
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT @@global.read_only"), "0");
    v = rig_verb(VERB_CLEAR, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    assert_string_equal(rig_channel(DB2, "Master_Port"), "");
    insert_rows(DB2, 2);
    rig_await(DB3, "SELECT COUNT(*) FROM t.t", "7");
}

/* All that a verb could have changed, as one text (static). */
static const char *state_of(struct rig_server *s)
{
    static char text[2048];
    size_t n = 0;

    n += (size_t)snprintf(text, sizeof(text), "%s ",
                          rig_sql(s, "SELECT CONCAT_WS(' ', @@global.read_only, @@global.rpl_semi_sync_master_enabled,"
                                     " @@global.rpl_semi_sync_slave_enabled, @@global.gtid_binlog_pos, identity, token,"
                                     " term, epoch) FROM regent.fence"));
    static const char *const columns[] = {"Slave_IO_Running", "Slave_SQL_Running", "Master_Port", "Gtid_IO_Pos"};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", rig_channel(s, columns[i]));
    }
    return text;
}

static void assert_unchanged(struct rig_server *s, const char *before)
{
    assert_string_equal(state_of(s), before);
}

static void test_stale_token_changes_nothing(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, rig_sql(DB1, "SELECT @@gtid_binlog_pos"));
    rig_do(DB2, &v);
    char before[2048];
    snprintf(before, sizeof(before), "%s", state_of(DB2));
    session_end(&DB2->control);
    DB2->locked = false;
    for (int round = 0; round < 2 * (VERB_KINDS_N - 1); round++) {
        /* An older plan; then the same one under an older leader. */
        bool is_old_plan = round % 2 == 0;
        v = rig_verb((enum verb_kind)(VERB_none + 1 + round / 2), DB2, is_old_plan ? RIG_TOKEN - 1 : RIG_TOKEN);
        if (!is_old_plan) v.term = RIG_TERM - 1;
        rig_source(&v, DB3);
        assert_true(rig_refuse(DB2, &v, "newer plan").stale);
        assert_unchanged(DB2, before);
        /* And a session that believes that it holds the lock under its old token. */
        DB2->locked = true;
        DB2->locked_token = v.token;
        assert_true(rig_refuse(DB2, &v, "newer plan").stale);
        assert_unchanged(DB2, before);
    }
}

/* The text that holds 'what', taken from a run of the verb on db2. */
static void capture(const struct verb *v, const char *what, char *sql)
{
    static struct verb_run run;

    verb_begin(&run, v, FLAVOUR_MARIADB, "u", "p");
    run.left_ms = v->deadline_ms;
    session_begin(&DB2->control, DB2, "regent-control", "control-secret");
    enum verb_next next = verb_next(&run, NULL);
    while (next == VERB_SEND && strstr(run.sql, what) == NULL) {
        next = verb_next(&run, session_run(&DB2->control, run.sql));
    }
    assert_int_equal(next, VERB_SEND);
    strcpy(sql, run.sql);
}

static void capture_revoke(char *sql, uint32_t deadline_ms)
{
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);

    v.deadline_ms = deadline_ms;
    capture(&v, "STOP SLAVE", sql);
}

static void test_guard_on_the_server(void **state)
{
    (void)state;
    static char sql[VERB_SQL_SIZE];
    static char before[2048];
    static struct session other;

    capture_revoke(sql, 60000);
    snprintf(before, sizeof(before), "%s", state_of(DB2));
    /* Another session, without the lock. */
    session_begin(&other, DB2, "regent-control", "control-secret");
    assert_int_equal(session_run(&other, "SET SESSION sql_log_bin=0")->status, DB_OK);
    assert_int_equal(session_run(&other, sql)->code, 30001);
    session_end(&other);
    assert_unchanged(DB2, before);
    /* Another identity, another token in the row. */
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET identity='stranger'");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30004);
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET identity='identity-of-2', token=101");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30002);
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET token=99");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30003);
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET token=100, term=6");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30002);
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET term=4");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30003);
    rig_sql(DB2, "SET sql_log_bin=0; UPDATE regent.fence SET term=5");
    assert_unchanged(DB2, before);
    /* Whole again: it acts. So the refusals above were the guard's doing. */
    assert_int_equal(session_run(&DB2->control, sql)->status, DB_OK);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    TEXT_COPY(v.identity, "identity-of-2");
    rig_refuse(DB3, &v, "another server answers");
    assert_string_equal(rig_sql(DB3, "SELECT token FROM regent.fence"), "10");
}

/* S3: what lies in the socket of a frozen server does nothing when it wakes after the deadline. */
static void test_frozen_server_wakes_late(void **state)
{
    (void)state;
    static char sql[VERB_SQL_SIZE];
    static char before[2048];

    capture_revoke(sql, 300);
    snprintf(before, sizeof(before), "%s", state_of(DB2));
    rig_freeze(DB2);
    session_send(&DB2->control, sql);
    nap_ms(350);
    kill(DB2->pid, SIGCONT);
    assert_int_equal(session_read(&DB2->control)->code, 30005);
    assert_unchanged(DB2, before);
    /* The same with a deadline that has not passed acts. */
    capture_revoke(sql, 60000);
    rig_freeze(DB2);
    session_send(&DB2->control, sql);
    nap_ms(350);
    kill(DB2->pid, SIGCONT);
    assert_int_equal(session_read(&DB2->control)->status, DB_OK);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
}

static void test_takeover_ends_the_old_session(void **state)
{
    (void)state;
    static struct session old;
    struct verb v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);

    rig_do(DB2, &v);
    old = DB2->control; /* It stays, as that of a leader that was paused. */
    DB2->control = (struct session){0};
    DB2->locked = false;
    v.token = RIG_TOKEN + 1;
    rig_do(DB2, &v);
    assert_int_equal(session_run(&old, "SELECT 1")->status, DB_LOST);
    session_end(&old);
    assert_string_equal(rig_sql(DB2, "SELECT token FROM regent.fence"), "101");
    assert_string_equal(rig_sql(DB2, "SELECT IS_USED_LOCK('regent.control') IS NOT NULL"), "1");
    /* Its session lost without its knowledge: taken again. */
    session_end(&DB2->control);
    rig_await(DB2, "SELECT IS_USED_LOCK('regent.control') IS NULL", "1");
    rig_do(DB2, &v);
}

/* Rows that the acker acknowledged and has not applied: nothing may lose them. */
static void test_unapplied_relay_log(void **state)
{
    (void)state;
    static struct session blocker;

    session_begin(&blocker, DB2, "root", "");
    assert_int_equal(session_run(&blocker, "LOCK TABLES t.t READ")->status, DB_OK);
    insert_rows(DB1, 5);
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome revoked = rig_do(DB2, &v);
    assert_string_not_equal(revoked.received, revoked.executed);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    rig_refuse(DB2, &v, "all that was received");
    v = rig_verb(VERB_FOLLOW, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    v.deadline_ms = 300;
    rig_refuse(DB2, &v, "the applier to execute");
    assert_string_equal(rig_channel(DB2, "Slave_SQL_Running"), "Yes");
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, revoked.received);
    v.deadline_ms = 300;
    rig_refuse(DB2, &v, "not in time");
    session_end(&blocker);
    v.deadline_ms = 5000;
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "5");
}

/* hazards A8: the applier had been stopped; starting it after the receiver would throw the rows away. */
static void test_stopped_applier_is_started_in_time(void **state)
{
    (void)state;
    rig_sql(DB2, "STOP SLAVE SQL_THREAD");
    insert_rows(DB1, 5);
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "5");
}

static void test_broken_applier_keeps_relay_log(void **state)
{
    (void)state;
    rig_sql(DB2, "SET sql_log_bin=0; INSERT INTO t.t VALUES (1, 'mine')");
    insert_rows(DB1, 5);
    rig_await(DB2, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_SQL'", "0");
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    char space[64];
    snprintf(space, sizeof(space), "%s", rig_channel(DB2, "Relay_Log_Space"));
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_refuse(DB2, &v, "error 1062");
    v = rig_verb(VERB_FOLLOW, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    rig_refuse(DB2, &v, "error 1062");
    v = rig_verb(VERB_CATCH_UP, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    TEXT_COPY(v.target, o.received);
    rig_refuse(DB2, &v, "error 1062");
    assert_string_equal(rig_channel(DB2, "Relay_Log_Space"), space);
    assert_string_equal(rig_channel(DB2, "Gtid_IO_Pos"), o.received);
}

/* A4: after its restart an acker does not know how much it had received; it must not pass for one that has it all. */
static void test_restarted_acker_proves_nothing(void **state)
{
    (void)state;
    rig_sql(DB2, "STOP SLAVE SQL_THREAD");
    insert_rows(DB1, 5);
    rig_kill(DB2);
    rig_launch(DB2, "gtid_strict_mode=1\n");
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_refuse(DB2, &v, "proves nothing");
    /* It follows the living master again, and then it does. */
    v = rig_verb(VERB_FOLLOW, DB2, RIG_TOKEN);
    rig_source(&v, DB1);
    v.is_acker = true;
    rig_do(DB2, &v);
    insert_rows(DB1, 1);
    rig_kill(DB1);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "6");
}

/* A FOLLOW that was cut off between CHANGE and START, after a restart: the server does not know what it received, but
 * its relay log is empty. It can be revoked, else it could never be again. */
static void test_follow_cut_off(void **state)
{
    (void)state;
    insert_rows(DB1, 2);
    rig_await(DB2, "SELECT COUNT(*) FROM t.t", "2");
    rig_kill(DB2);
    rig_launch(DB2, "gtid_strict_mode=1\n");
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_refuse(DB2, &v, "proves nothing");
    rig_sql(DB2, "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%u, MASTER_USE_GTID=slave_pos", DB1->port);
    assert_string_equal(rig_channel(DB2, "Gtid_IO_Pos"), "");
    struct verb_outcome o = rig_do(DB2, &v);
    assert_string_equal(o.received, rig_sql(DB2, "SELECT @@gtid_slave_pos"));
    rig_kill(DB2);
    rig_launch(DB2, "gtid_strict_mode=1\n");
    struct verb_outcome again = rig_do(DB2, &v);
    assert_true(again.started_s >= o.started_s && o.started_s > 1700000000);
}

/* S3, S6: who was paused in PROMOTE while another opened the server must not close it. */
static void test_promote_leaves_an_open_server(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_PROMOTE, DB1, RIG_TOKEN);

    rig_refuse(DB1, &v, "open already");
    assert_string_equal(rig_sql(DB1, "SELECT @@global.read_only"), "0");
    insert_rows(DB1, 1);
}

/* A candidate of a plan that failed goes back to the old master: its applier does not wait for acks of its own. */
static void test_promoted_server_follows(void **state)
{
    (void)state;
    insert_rows(DB1, 1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT @@global.rpl_semi_sync_master_enabled"), "1");
    v = rig_verb(VERB_FOLLOW, DB2, RIG_TOKEN);
    rig_source(&v, DB1);
    v.is_acker = true;
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT @@global.rpl_semi_sync_master_enabled"), "0");
    insert_rows(DB1, 2);
    rig_await(DB2, "SELECT COUNT(*) FROM t.t", "3");
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled = 1"); /* Open: nothing is switched off under its clients. */
    v = rig_verb(VERB_FOLLOW, DB1, RIG_TOKEN);
    rig_source(&v, DB2);
    rig_refuse(DB1, &v, "transactions of its own");
    assert_string_equal(rig_sql(DB1, "SELECT @@global.rpl_semi_sync_master_enabled"), "1");
}

/* A6, at the moment of opening, on the server itself: no acker, the acker, the acker and a stranger. */
static void test_open_counts_ackers(void **state)
{
    (void)state;
    static char sql[VERB_SQL_SIZE];
    static const char clients[] = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                                  " 'RPL_SEMI_SYNC_MASTER_CLIENTS'";

    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    rig_sql(DB3, "STOP SLAVE");
    rig_follow(DB3, DB2, true);
    rig_await(DB2, clients, "1");
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    v.deadline_ms = 30000;
    capture(&v, "SET GLOBAL read_only = 0", sql);
    rig_sql(DB3, "STOP SLAVE");
    rig_await(DB2, clients, "0");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30008);
    rig_sql(DB3, "START SLAVE");
    rig_launch(DB1, "gtid_strict_mode=1\n");
    rig_follow(DB1, DB2, true);
    rig_await(DB2, clients, "2");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30008);
    rig_refuse(DB2, &v, "2 ackers attached, expected 1");
    v.kind = VERB_ATTACHED;
    v.deadline_ms = 200;
    rig_refuse(DB2, &v, "no other: 2 are");
    assert_string_equal(rig_sql(DB2, "SELECT @@global.read_only"), "1");
    rig_kill(DB1);
    rig_await(DB2, clients, "1");
    assert_int_equal(session_run(&DB2->control, sql)->status, DB_OK);
    assert_string_equal(rig_sql(DB2, "SELECT @@global.read_only"), "0");
    rig_kill(DB3); /* Opened is opened. */
    rig_await(DB2, clients, "0");
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    rig_do(DB2, &v);
}

/* A candidate that wrote its reign row and is chosen again: the row is the target, and only its own binlog has it. */
static void test_candidate_is_chosen_again(void **state)
{
    (void)state;
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_FOLLOW, DB3, RIG_TOKEN);
    rig_source(&v, DB2);
    v.is_acker = true;
    rig_do(DB3, &v);
    v = rig_verb(VERB_REIGN_ROW, DB2, RIG_TOKEN);
    v.k = 1;
    struct verb_outcome row = rig_do(DB2, &v);
    v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN + 1);
    struct verb_outcome acker = rig_do(DB3, &v);
    assert_string_equal(acker.received, row.executed);
    static const enum verb_kind kinds[] = {VERB_REVOKE, VERB_APPLY, VERB_CATCH_UP, VERB_PROMOTE};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        v = rig_verb(kinds[i], DB2, RIG_TOKEN + 1);
        TEXT_COPY(v.target, acker.received);
        rig_do(DB2, &v);
    }
}

/* A4: another replica received more than the acker. */
static void test_catch_up(void **state)
{
    (void)state;
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_sql(DB2, "STOP SLAVE IO_THREAD");
    insert_rows(DB1, 5);
    rig_await(DB3, "SELECT COUNT(*) FROM t.t", "5");
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    struct verb_outcome holder = rig_do(DB3, &v);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    assert_string_not_equal(o.received, holder.received);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "target");
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "not received");
    v = rig_verb(VERB_CATCH_UP, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    TEXT_COPY(v.target, holder.received);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "5");
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    rig_do(DB2, &v);
    assert_int_equal(rig.requests, 1);
}

/* A4: somebody has written on the only server that holds what was acknowledged, under the same number. */
static void test_catch_up_from_who_wrote_himself(void **state)
{
    (void)state;
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_sql(DB2, "STOP SLAVE IO_THREAD");
    rig_sql(DB3, "INSERT INTO t.t (v) VALUES ('written here')");
    insert_rows(DB1, 1);
    for (unsigned i = 0; i < 1000 && !text_equal(rig_channel(DB3, "Last_SQL_Errno"), "1950"); i++) nap_ms(5);
    assert_string_equal(rig_channel(DB3, "Last_SQL_Errno"), "1950"); /* Received, and out of order. */
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    struct verb_outcome holder = rig_do(DB3, &v);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_CATCH_UP, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "not the target");
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t WHERE v = 'written here'"), "1");
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "not the target");
}

static void test_follow(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_FOLLOW, DB3, RIG_TOKEN);
    rig_source(&v, DB1);
    v.is_acker = true;
    rig_do(DB3, &v); /* Same source: only the flag changes, by a restart of the receiver. */
    assert_string_equal(rig_status(DB3, "RPL_SEMI_SYNC_SLAVE_STATUS"), "ON");
    rig_do(DB3, &v);
    assert_int_equal(rig.requests, 1);
    v.is_acker = false;
    rig_do(DB3, &v);
    assert_string_equal(rig_status(DB3, "RPL_SEMI_SYNC_SLAVE_STATUS"), "OFF");
    insert_rows(DB1, 3);
    rig_source(&v, DB2); /* A live receiver is led elsewhere, nothing is lost on the way. */
    rig_do(DB3, &v);
    insert_rows(DB1, 3);
    rig_await(DB3, "SELECT COUNT(*) FROM t.t", "6");
    rig_sql(DB3, "STOP SLAVE");
    rig_do(DB3, &v);
    rig_sql(DB3, "STOP SLAVE; SET GLOBAL read_only=0; INSERT INTO t.t (v) VALUES ('errant'); SET GLOBAL read_only=1");
    rig_refuse(DB3, &v, "transactions of its own");
    rig_source(&v, DB1);
    rig_refuse(DB3, &v, "transactions of its own");
    assert_string_equal(rig_channel(DB3, "Slave_IO_Running"), "No");
}

/* The reign row waits for an ack; neither it nor its session may bar the next leader. */
static void test_reign_row_waits(void **state)
{
    (void)state;
    static struct session reign;
    static struct verb_run run;
    struct verb v = rig_verb(VERB_APPLY, DB1, RIG_TOKEN);

    rig_do(DB1, &v);
    rig_freeze(DB2);
    v = rig_verb(VERB_REIGN_ROW, DB1, RIG_TOKEN);
    v.k = 1;
    verb_begin(&run, &v, FLAVOUR_MARIADB, "u", "p");
    run.left_ms = 5000;
    session_begin(&reign, DB1, "regent-control", "control-secret");
    assert_int_equal(verb_next(&run, NULL), VERB_SEND);
    assert_int_equal(verb_next(&run, session_run(&reign, run.sql)), VERB_SEND);
    session_send(&reign, run.sql);
    rig_await(DB1, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                   " 'RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS'", "1");
    v = rig_verb(VERB_APPLY, DB1, RIG_TOKEN + 1);
    DB1->locked = false;
    rig_do(DB1, &v);
    assert_int_equal(session_read(&reign)->status, DB_LOST);
    kill(DB2->pid, SIGCONT);
    /* The old token writes no row any more; the new one does, acknowledged. */
    v = rig_verb(VERB_REIGN_ROW, DB1, RIG_TOKEN);
    v.k = 1;
    assert_true(rig_refuse(DB1, &v, "newer plan").stale);
    v.token = RIG_TOKEN + 1;
    rig_do(DB1, &v);
    rig_await(DB2, "SELECT COUNT(*) FROM regent.reign WHERE token = 101", "1");
    /* Semi-sync switched off: the row proves nothing, and the verb says so. */
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_refuse(DB1, &v, "semi-sync off");
}

/* servers.md: how long the revocation takes when the master does not answer. */
static void test_revoke_from_frozen_master(void **state)
{
    (void)state;
    insert_rows(DB1, 3);
    rig_freeze(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    v.deadline_ms = 3000;
    rig_do(DB2, &v);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "3");
    kill(DB1->pid, SIGCONT);
    /* Revoked: the old master lives again and cannot get an acknowledgement. */
    static struct session app;
    session_begin(&app, DB1, "app", "a");
    session_send(&app, "INSERT INTO t.t (v) VALUES ('late')");
    rig_await(DB1, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                   " 'RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS'", "1");
    nap_ms(300);
    assert_string_equal(rig_status(DB1, "RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS"), "1");
    mysql_close(app.my);
    app.my = NULL;
}

/* The master dies while a long transaction is on its way: half of it is in the relay log. It counts as not received,
 * the applier that holds its first half open does not hinder the promotion, and none of it stays. */
static void test_half_received_transaction(void **state)
{
    (void)state;
    static struct session app;
    char received[FSM_GTID_SIZE];

    insert_rows(DB1, 1);
    rig_await(DB2, "SELECT COUNT(*) FROM t.t", "1");
    TEXT_COPY(received, rig_channel(DB2, "Gtid_IO_Pos"));
    session_begin(&app, DB1, "app", "a");
    session_send(&app, "INSERT INTO t.t (v) SELECT REPEAT('x', 50000) FROM t.seq_1_to_1000");
    int64_t end = now_us() + 20000000;
    while (strtoull(rig_channel(DB2, "Relay_Log_Space"), NULL, 10) < 4000000) {
        if (now_us() > end) fail_msg("the transaction does not arrive");
    }
    rig_kill(DB1);
    mysql_close(app.my);
    app.my = NULL;
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    print_message("  relay log %s bytes, received %s\n", rig_channel(DB2, "Relay_Log_Space"), o.received);
    assert_string_equal(o.received, received);
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_do(DB2, &v);
    v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_FOLLOW, DB3, RIG_TOKEN);
    rig_source(&v, DB2);
    v.is_acker = true;
    rig_do(DB3, &v);
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    rig_do(DB2, &v);
    insert_rows(DB2, 1);
    rig_await(DB3, "SELECT COUNT(*) FROM t.t", "2");
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM t.t"), "2");
}

static void test_degraded(void **state)
{
    (void)state;
    rig_sql(DB3, "STOP SLAVE");
    struct verb v = rig_verb(VERB_PROMOTE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_REIGN_ROW, DB3, RIG_TOKEN);
    rig_refuse(DB3, &v, "it would wait");
    v = rig_verb(VERB_ATTACHED, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_REIGN_ROW, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_OPEN, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    assert_string_equal(rig_sql(DB3, "SELECT CONCAT(@@global.read_only, @@global.rpl_semi_sync_master_enabled)"),
                        "OFFOFF");
}

static int start_not_strict(void **state)
{
    (void)state;
    rig_make(DB1, 1, "gtid_strict_mode=0\n");
    rig_sql(DB1, "CREATE USER 'regent-control'@'%%' IDENTIFIED BY 'control-secret'; GRANT ALL ON *.* TO"
                 " 'regent-control'@'%%'");
    return 0;
}

/* A3: what the option file makes of a server at its next start. */
static void test_enrol_refuses_what_boots_wrong(void **state)
{
    (void)state;
    static const char schemas[] = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='regent'";
    static const struct { const char *extra, *says; } cases[] = {
        {"gtid_strict_mode=1\nread_only=0\n", "boots open"},
        {"gtid_strict_mode=1\nrpl_semi_sync_slave_enabled=1\n", "would acknowledge by itself after a restart"},
    };
    struct verb v = rig_verb(VERB_ENROL, DB1, 10);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rig_kill(DB1);
        rig_launch(DB1, cases[i].extra);
        rig_refuse(DB1, &v, cases[i].says);
        assert_string_equal(rig_sql(DB1, "%s", schemas), "0");
    }
    rig_kill(DB1);
    rig_launch(DB1, "gtid_strict_mode=1\n");
    rig_sql(DB1, "SET GLOBAL read_only=0; SET GLOBAL rpl_semi_sync_slave_enabled=1"); /* At run time: not the files. */
    rig_do(DB1, &v);
}

/* A table from before there was a term: readable, and completed without a word in the binlog. */
static void test_enrol_adds_the_term(void **state)
{
    (void)state;
    char before[256];
    struct verb v = rig_verb(VERB_ENROL, DB1, 11);

    rig_sql(DB1, "SET sql_log_bin=0; SET GLOBAL gtid_strict_mode=1; CREATE DATABASE regent; CREATE TABLE regent.fence"
                 " (id TINYINT UNSIGNED NOT NULL PRIMARY KEY, identity VARCHAR(63) NOT NULL, token BIGINT UNSIGNED NOT"
                 " NULL, epoch BIGINT UNSIGNED NOT NULL); INSERT INTO regent.fence VALUES (1, 'old', 12, 3)");
    snprintf(before, sizeof(before), "%s", rig_sql(DB1, "SELECT @@gtid_binlog_pos"));
    assert_true(rig_refuse(DB1, &v, "newer plan").stale);
    v.token = 12;
    struct verb_outcome o = rig_do(DB1, &v);
    assert_string_equal(o.identity, "old");
    assert_string_equal(rig_sql(DB1, "SELECT CONCAT_WS(' ', identity, token, term, epoch) FROM regent.fence"),
                        "old 12 5 3");
    assert_string_equal(rig_sql(DB1, "SELECT @@gtid_binlog_pos"), before);
    v.term = RIG_TERM - 1;
    assert_true(rig_refuse(DB1, &v, "newer plan").stale);
}

static void test_enrol_refuses(void **state)
{
    (void)state;
    static const char schemas[] = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='regent'";
    struct verb v = rig_verb(VERB_ENROL, DB1, 10);
    v.is_master = true;
    rig_refuse(DB1, &v, "gtid_strict_mode");
    assert_string_equal(rig_sql(DB1, "%s", schemas), "0");
    v = rig_verb(VERB_REVOKE, DB1, 10);
    rig_refuse(DB1, &v, "not enrolled");
    static struct verb_run run;
    rig_sql(DB1, "SET GLOBAL gtid_strict_mode=1; REVOKE PROCESS, RELOAD ON *.* FROM 'regent-control'@'%%'");
    session_end(&DB1->control);
    v = rig_verb(VERB_ENROL, DB1, 10);
    rig_refuse(DB1, &v, "lacks RELOAD,PROCESS");
    assert_string_equal(rig_sql(DB1, "%s", schemas), "0");
    verb_begin(&run, &v, FLAVOUR_MYSQL, "u", "p");
    struct verb_outcome o = rig_drive(&DB1->control, DB1, &run);
    assert_non_null(strstr(o.error, "flavour mysql is not supported"));
}

static void test_probe_account(void **state)
{
    (void)state;
    static struct session c;
    char sql[PROBE_SQL_SIZE], why[256];
    struct text text = TEXT_ON(sql), error = TEXT_ON(why);
    struct view_facts f;

    probe_write(FLAVOUR_MARIADB, &text);
    assert_true(session_begin(&c, DB2, "regent", "probe-secret"));
    int64_t began = now_us();
    const struct db_result *r = session_run(&c, sql);
    print_message("  probe: %.2f ms, %zu bytes\n", (double)(now_us() - began) / 1000, text.len);
    assert_int_equal(probe_read(FLAVOUR_MARIADB, r, &f, &error), VIEW_OK);
    assert_string_equal(f.identity, "identity-of-2");
    assert_int_equal(f.token, 10);
    assert_true(f.read_only && f.replica_on && f.replica_enabled && f.durable && f.gtid_strict && f.relay_durable);
    assert_int_equal(f.channels_n, 1);
    assert_int_equal(f.channels[0].io, VIEW_IO_YES);
    assert_int_equal(f.channels[0].heartbeat_period_ms, 250);
    assert_int_equal(f.channels[0].source_port, DB1->port);
    assert_string_equal(f.channels[0].received, f.executed);
    uint64_t started = f.started_s, mark = f.channels[0].receive_mark;
    for (int64_t end = now_us() + 10000000; f.channels[0].receive_mark == mark && now_us() < end;) {
        nap_ms(20);
        assert_int_equal(probe_read(FLAVOUR_MARIADB, session_run(&c, sql), &f, &error), VIEW_OK);
        assert_int_equal(f.started_s, started);
    }
    assert_true(f.channels[0].receive_mark != mark); /* A heartbeat. */
    session_end(&c);
    assert_true(session_begin(&c, DB1, "regent", "probe-secret"));
    assert_int_equal(session_run(&c, "UPDATE regent.fence SET token=7")->code, 1142);
    session_end(&c);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* One test by its name, "*" allowed. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_enrol, rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_enrol_refuses, start_not_strict, rig_stop),
        cmocka_unit_test_setup_teardown(test_enrol_refuses_what_boots_wrong, start_not_strict, rig_stop),
        cmocka_unit_test_setup_teardown(test_enrol_adds_the_term, start_not_strict, rig_stop),
        cmocka_unit_test_setup_teardown(test_probe_account, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_failover, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_stale_token_changes_nothing, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_guard_on_the_server, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_frozen_server_wakes_late, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_takeover_ends_the_old_session, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_unapplied_relay_log, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_stopped_applier_is_started_in_time, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_broken_applier_keeps_relay_log, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_restarted_acker_proves_nothing, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_follow_cut_off, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_promote_leaves_an_open_server, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_promoted_server_follows, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_open_counts_ackers, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_candidate_is_chosen_again, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_catch_up, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_catch_up_from_who_wrote_himself, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_follow, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_reign_row_waits, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_revoke_from_frozen_master, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_half_received_transaction, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_degraded, rig_start_enrolled, rig_stop),
    };

    return cmocka_run_group_tests(tests, rig_setup_template, rig_remove_template);
}
