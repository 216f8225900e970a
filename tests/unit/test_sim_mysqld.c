/* Every verb against the simulated mysqld: what test_verb_server.c asks of real servers. Effects are looked up on the
 * servers, never in the verb's own outcome alone. */
#include "tests/unit/sim_rig.h"

static const char clients[] = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                              " 'RPL_SEMI_SYNC_MASTER_CLIENTS'";
static const char waiting[] = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                              " 'RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS'";
static const char rows[] = "SELECT COUNT(*) FROM t.t";

static void freeze(struct rig_server *s)
{
    sim_pause(rig.sim, mysqld_node(s->m));
}

static void thaw(struct rig_server *s)
{
    sim_resume(rig.sim, mysqld_node(s->m));
}

static void test_enrol(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_ENROL, DB1, 10);

    v.is_master = true;
    struct verb_outcome o = rig_do(DB1, &v);
    assert_string_equal(o.identity, "identity-of-1");
    assert_int_equal(o.server_id, 1);
    assert_int_equal(mysqld_fence(DB1->m)->token, 10);
    assert_int_equal(mysqld_fence(DB1->m)->epoch, 2);
    rig_await(DB2, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME='reign'", "1");
    assert_string_equal(rig_sql(DB2, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME='fence'"), "0");
    char before[256];
    snprintf(before, sizeof(before), "%s", rig_sql(DB2, "SELECT @@gtid_binlog_pos"));
    v = rig_verb(VERB_ENROL, DB2, 10);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, "SELECT @@gtid_binlog_pos"), before);
    TEXT_COPY(v.identity, "another");
    v.token = 11;
    o = rig_do(DB2, &v);
    assert_string_equal(o.identity, "identity-of-2");
    v.token = 5;
    assert_true(rig_refuse(DB2, &v, "newer plan").stale);
    assert_int_equal(mysqld_fence(DB2->m)->token, 11);
    v = rig_verb(VERB_ENROL, DB3, 10);
    rig_do(DB3, &v);
    insert_rows(DB1, 1);
    rig_await(DB3, rows, "1");
}

static void test_enrol_refuses_what_boots_wrong(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_ENROL, DB3, 10);

    rig_kill(DB3);
    mysqld_file(DB3->m)->read_only = false;
    rig_launch(DB3);
    rig_refuse(DB3, &v, "boots open");
    rig_kill(DB3);
    mysqld_file(DB3->m)->read_only = true;
    mysqld_file(DB3->m)->replica_flag = true;
    rig_launch(DB3);
    rig_refuse(DB3, &v, "would acknowledge by itself after a restart");
    assert_string_equal(mysqld_fence(DB3->m)->identity, "");
    rig_kill(DB3);
    mysqld_file(DB3->m)->replica_flag = false;
    rig_launch(DB3);
    rig_sql(DB3, "SET GLOBAL read_only = 0; SET GLOBAL rpl_semi_sync_slave_enabled = 1");
    rig_do(DB3, &v);
}

static void make_master(struct rig_server *s, struct rig_server *acker, const char *target)
{
    struct verb v = rig_verb(VERB_APPLY, s, RIG_TOKEN);

    TEXT_COPY(v.target, target);
    rig_do(s, &v);
    v.kind = VERB_PROMOTE;
    rig_do(s, &v);
    v = rig_verb(VERB_OPEN, s, RIG_TOKEN);
    v.k = 1;
    rig_refuse(s, &v, "0 ackers attached");
    assert_false(mysqld_is_open(s->m));
    v = rig_verb(VERB_FOLLOW, acker, RIG_TOKEN);
    rig_source(&v, s);
    v.is_acker = true;
    rig_do(acker, &v);
    static const enum verb_kind kinds[] = {VERB_ATTACHED, VERB_REIGN_ROW, VERB_OPEN, VERB_CLEAR};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        v = rig_verb(kinds[i], s, RIG_TOKEN);
        v.k = 1;
        rig_do(s, &v);
    }
    assert_true(mysqld_is_open(s->m) && mysqld_can_acknowledge(s->m));
}

static void test_failover(void **state)
{
    (void)state;
    char target[FSM_GTID_SIZE];

    insert_rows(DB1, 5);
    assert_true(mysqld_can_acknowledge(DB1->m));
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    TEXT_COPY(target, o.received);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
    assert_string_equal(rig_channel(DB2, "Slave_SQL_Running"), "Yes");
    v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    make_master(DB2, DB3, target);
    assert_string_equal(rig_sql(DB2, rows), "5");
    assert_string_equal(rig_channel(DB2, "Master_Port"), "");
    insert_rows(DB2, 2);
    rig_await(DB3, rows, "7");
    bool is_visible;
    uint64_t n = mysqld_trx_n(DB3->m);
    const struct mysqld_trx *reign = mysqld_trx(DB3->m, n - 3, &is_visible);
    assert_int_equal(reign->kind, MYSQLD_TRX_REIGN);
    assert_int_equal(reign->id, RIG_EPOCH);
    assert_int_equal(reign->token, RIG_TOKEN);
    assert_true(is_visible && mysqld_has_write(DB3->m, 7) && !mysqld_has_write(DB3->m, 8));
}

static void test_stale_token_changes_nothing(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);

    rig_do(DB2, &v);
    session_end(&DB2->control);
    DB2->locked = false;
    for (int round = 0; round < 2 * (VERB_KINDS_N - 1); round++) {
        bool is_old_plan = round % 2 == 0;
        v = rig_verb((enum verb_kind)(VERB_none + 1 + round / 2), DB2, is_old_plan ? RIG_TOKEN - 1 : RIG_TOKEN);
        if (!is_old_plan) v.term = RIG_TERM - 1;
        rig_source(&v, DB3);
        assert_true(rig_refuse(DB2, &v, "newer plan").stale);
        DB2->locked = true;
        DB2->locked_token = v.token;
        assert_true(rig_refuse(DB2, &v, "newer plan").stale);
        assert_int_equal(mysqld_fence(DB2->m)->token, RIG_TOKEN);
        assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "Yes");
    }
}

/* The text that holds 'what', taken from a run of the verb on db2. */
static void capture(const struct verb *v, const char *what, char *sql)
{
    static struct verb_run run;

    verb_begin(&run, v, FLAVOUR_MARIADB, WIRE_USER_REPLICATION, WIRE_PASSWORD);
    run.left_ms = v->deadline_ms;
    session_begin(&DB2->control, DB2, WIRE_USER_CONTROL);
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

static void test_frozen_server_wakes_late(void **state)
{
    (void)state;
    static char sql[VERB_SQL_SIZE];

    capture_revoke(sql, 300);
    freeze(DB2);
    session_send(&DB2->control, sql);
    run_us(350 * SIM_MS);
    thaw(DB2);
    assert_int_equal(session_read(&DB2->control, SIM_S)->code, 30005);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "Yes");
    capture_revoke(sql, 60000);
    freeze(DB2);
    session_send(&DB2->control, sql);
    run_us(350 * SIM_MS);
    assert_false(DB2->control.is_answered);
    thaw(DB2);
    assert_int_equal(session_read(&DB2->control, SIM_S)->status, DB_OK);
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
}

static void test_takeover_ends_the_old_session(void **state)
{
    (void)state;
    struct session old;
    struct verb v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);

    rig_do(DB2, &v);
    uint64_t token = RIG_TOKEN + 1;
    v.token = token;
    static struct rig_server other;
    other = *DB2; /* Another leader, with sessions of its own. */
    other.control = other.root = (struct session){0};
    other.locked = false;
    rig_do(&other, &v);
    assert_int_equal(session_run(&DB2->control, "SELECT 1")->status, DB_LOST);
    assert_int_equal(mysqld_fence(DB2->m)->token, token);
    session_end(&other.control);
    old = DB2->control;
    assert_null(old.stream);
    rig_await(DB2, "SELECT IS_USED_LOCK('regent.control') IS NULL", "1");
}

static void test_unapplied_relay_log(void **state)
{
    (void)state;
    mysqld_hold_applier(DB2->m, true);
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
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, revoked.received);
    v.deadline_ms = 300;
    rig_refuse(DB2, &v, "not in time");
    mysqld_hold_applier(DB2->m, false);
    v.deadline_ms = 5000;
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, rows), "5");
}

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
    assert_string_equal(rig_sql(DB2, rows), "5");
}

static void test_broken_applier_keeps_relay_log(void **state)
{
    (void)state;
    mysqld_break_applier(DB2->m, 1062);
    insert_rows(DB1, 5);
    run_us(SIM_S);
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    struct verb_outcome o = rig_do(DB2, &v);
    v = rig_verb(VERB_APPLY, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, o.received);
    rig_refuse(DB2, &v, "error 1062");
    v = rig_verb(VERB_FOLLOW, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    rig_refuse(DB2, &v, "error 1062");
    assert_string_equal(rig_channel(DB2, "Gtid_IO_Pos"), o.received);
    struct gtid_pos received;
    char text[FSM_GTID_SIZE];
    mysqld_received_pos(DB2->m, &received);
    assert_true(gtid_pos_print(&received, text, sizeof(text)));
    assert_string_equal(text, o.received);
}

static void test_restarted_acker_proves_nothing(void **state)
{
    (void)state;
    rig_sql(DB2, "STOP SLAVE SQL_THREAD");
    insert_rows(DB1, 5);
    rig_kill(DB2);
    rig_launch(DB2);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_refuse(DB2, &v, "proves nothing");
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
    assert_string_equal(rig_sql(DB2, rows), "6");
}

static void test_open_counts_ackers(void **state)
{
    (void)state;
    static char sql[VERB_SQL_SIZE];

    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_FOLLOW, DB3, RIG_TOKEN);
    rig_source(&v, DB2);
    v.is_acker = true;
    rig_do(DB3, &v);
    rig_await(DB2, clients, "1");
    v = rig_verb(VERB_OPEN, DB2, RIG_TOKEN);
    v.k = 1;
    v.deadline_ms = 30000;
    capture(&v, "SET GLOBAL read_only = 0", sql);
    rig_sql(DB3, "STOP SLAVE");
    rig_await(DB2, clients, "0");
    assert_int_equal(session_run(&DB2->control, sql)->code, 30008);
    assert_false(mysqld_is_open(DB2->m));
    rig_sql(DB3, "START SLAVE");
    rig_await(DB2, clients, "1");
    assert_int_equal(session_run(&DB2->control, sql)->status, DB_OK);
    assert_true(mysqld_is_open(DB2->m));
}

static void test_catch_up(void **state)
{
    (void)state;
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_sql(DB2, "STOP SLAVE IO_THREAD");
    insert_rows(DB1, 5);
    rig_await(DB3, rows, "5");
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    struct verb_outcome holder = rig_do(DB3, &v);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_PROMOTE, DB2, RIG_TOKEN);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "target");
    v = rig_verb(VERB_CATCH_UP, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    TEXT_COPY(v.target, holder.received);
    rig_do(DB2, &v);
    assert_string_equal(rig_sql(DB2, rows), "5");
    assert_string_equal(rig_channel(DB2, "Slave_IO_Running"), "No");
}

/* A4: somebody has written on the only server that holds what was acknowledged, under the same number. */
static void test_catch_up_from_who_wrote_himself(void **state)
{
    (void)state;
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_sql(DB2, "STOP SLAVE IO_THREAD");
    insert_rows(DB3, 1);
    insert_rows(DB1, 1);
    for (unsigned i = 0; i < 1000 && !text_equal(rig_channel(DB3, "Last_SQL_Errno"), "1950"); i++) run_us(5 * SIM_MS);
    rig_kill(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    struct verb_outcome holder = rig_do(DB3, &v);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    rig_do(DB2, &v);
    v = rig_verb(VERB_CATCH_UP, DB2, RIG_TOKEN);
    rig_source(&v, DB3);
    TEXT_COPY(v.target, holder.received);
    rig_refuse(DB2, &v, "not the target");
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
    rig_do(DB3, &v);
    assert_string_equal(rig_status(DB3, "RPL_SEMI_SYNC_SLAVE_STATUS"), "ON");
    v.is_acker = false;
    rig_do(DB3, &v);
    assert_string_equal(rig_status(DB3, "RPL_SEMI_SYNC_SLAVE_STATUS"), "OFF");
    insert_rows(DB1, 3);
    rig_source(&v, DB2);
    rig_do(DB3, &v);
    insert_rows(DB1, 3);
    rig_await(DB3, rows, "6");
    rig_sql(DB3, "STOP SLAVE");
    mysqld_write_errant(DB3->m, 1000);
    run_us(100 * SIM_MS);
    rig_refuse(DB3, &v, "transactions of its own");
}

static void test_close(void **state)
{
    (void)state;
    static struct session waiter, late;
    struct verb v = rig_verb(VERB_CLOSE, DB1, RIG_TOKEN);

    freeze(DB2);
    assert_true(session_begin(&waiter, DB1, WIRE_USER_CLIENT));
    assert_true(session_begin(&late, DB1, WIRE_USER_CLIENT));
    session_send(&waiter, "INSERT INTO t.t VALUES (77)");
    rig_await(DB1, waiting, "1");
    session_end(&DB1->root);
    rig_do(DB1, &v);
    assert_false(mysqld_is_open(DB1->m));
    assert_int_equal(session_read(&waiter, SIM_S)->status, DB_LOST);
    session_end(&late);
    assert_true(session_begin(&late, DB1, WIRE_USER_CLIENT));
    assert_int_equal(session_run(&late, "INSERT INTO t.t VALUES (78)")->code, 1290);
    session_end(&late);
    session_end(&waiter);
    thaw(DB2);
}

static void test_reign_row_waits(void **state)
{
    (void)state;
    static struct session reign;
    static struct verb_run run;
    struct verb v = rig_verb(VERB_APPLY, DB1, RIG_TOKEN);

    rig_do(DB1, &v);
    freeze(DB2);
    v = rig_verb(VERB_REIGN_ROW, DB1, RIG_TOKEN);
    v.k = 1;
    verb_begin(&run, &v, FLAVOUR_MARIADB, "u", "p");
    run.left_ms = 5000;
    session_begin(&reign, DB1, WIRE_USER_CONTROL);
    assert_int_equal(verb_next(&run, NULL), VERB_SEND);
    assert_int_equal(verb_next(&run, session_run(&reign, run.sql)), VERB_SEND);
    session_send(&reign, run.sql);
    rig_await(DB1, waiting, "1");
    v = rig_verb(VERB_APPLY, DB1, RIG_TOKEN + 1);
    DB1->locked = false;
    rig_do(DB1, &v);
    assert_int_equal(session_read(&reign, SIM_S)->status, DB_LOST);
    thaw(DB2);
    v = rig_verb(VERB_REIGN_ROW, DB1, RIG_TOKEN);
    v.k = 1;
    assert_true(rig_refuse(DB1, &v, "newer plan").stale);
    v.token = RIG_TOKEN + 1;
    rig_do(DB1, &v);
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled=0");
    rig_refuse(DB1, &v, "semi-sync off");
}

static void test_revoke_from_frozen_master(void **state)
{
    (void)state;
    static struct session app;

    insert_rows(DB1, 3);
    freeze(DB1);
    struct verb v = rig_verb(VERB_REVOKE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    assert_in_range(rig.us, 1, 500 * SIM_MS);
    v = rig_verb(VERB_REVOKE, DB2, RIG_TOKEN);
    v.deadline_ms = 3000;
    rig_do(DB2, &v);
    assert_in_range(rig.us, SIM_S, 2 * SIM_S); /* kill_conn_timeout=1 */
    assert_false(mysqld_can_acknowledge(DB1->m));
    thaw(DB1);
    assert_true(session_begin(&app, DB1, WIRE_USER_CLIENT));
    session_send(&app, "INSERT INTO t.t VALUES (77)");
    rig_await(DB1, waiting, "1");
    run_us(10 * SIM_S);
    assert_false(app.is_answered);
    session_end(&app);
}

static void test_degraded(void **state)
{
    (void)state;
    rig_sql(DB3, "STOP SLAVE");
    struct verb v = rig_verb(VERB_PROMOTE, DB3, RIG_TOKEN);
    rig_do(DB3, &v);
    v = rig_verb(VERB_REIGN_ROW, DB3, RIG_TOKEN);
    rig_refuse(DB3, &v, "it would wait");
    static const enum verb_kind kinds[] = {VERB_ATTACHED, VERB_REIGN_ROW, VERB_OPEN};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        v = rig_verb(kinds[i], DB3, RIG_TOKEN);
        rig_do(DB3, &v);
    }
    assert_true(mysqld_is_open(DB3->m) && mysqld_can_acknowledge(DB3->m));
}

static void test_probe(void **state)
{
    (void)state;
    static struct session c;
    char sql[PROBE_SQL_SIZE], why[256];
    struct text text = TEXT_ON(sql), error = TEXT_ON(why);
    struct view_facts f;

    probe_write(FLAVOUR_MARIADB, &text);
    assert_true(session_begin(&c, DB2, WIRE_USER_PROBE));
    assert_int_equal(probe_read(FLAVOUR_MARIADB, session_run(&c, sql), &f, &error), VIEW_OK);
    assert_string_equal(f.identity, "identity-of-2");
    assert_int_equal(f.token, 10);
    assert_true(f.read_only && f.replica_on && f.replica_enabled && f.durable && f.gtid_strict && f.relay_durable);
    assert_int_equal(f.channels_n, 1);
    assert_int_equal(f.channels[0].io, VIEW_IO_YES);
    assert_int_equal(f.channels[0].heartbeat_period_ms, 250);
    assert_string_equal(f.channels[0].source_host, "db1");
    assert_string_equal(f.channels[0].received, f.executed);
    uint64_t started = f.started_s, mark = f.channels[0].receive_mark;
    run_us(1400 * SIM_MS);
    sim_clock_jump(rig.sim, mysqld_node(DB2->m), -500 * SIM_MS);
    assert_int_equal(probe_read(FLAVOUR_MARIADB, session_run(&c, sql), &f, &error), VIEW_OK);
    assert_int_equal(f.started_s, started);
    assert_true(f.channels[0].receive_mark != mark);
    session_end(&c);
}

/* sync_relay_log=1 against the default: what an acker has acknowledged and not executed, and then loses power. */
static uint64_t received_after_power_loss(bool is_durable)
{
    rig_kill(DB2);
    mysqld_file(DB2->m)->sync_relay_log = is_durable ? 1 : 10000;
    rig_launch(DB2);
    rig_sql(DB2, "SET GLOBAL rpl_semi_sync_slave_enabled = 1; START SLAVE IO_THREAD");
    rig_await(DB1, clients, "1");
    insert_rows(DB1, 30);
    sim_host_off(rig.sim, mysqld_node(DB2->m));
    struct gtid_pos received;
    mysqld_received_pos(DB2->m, &received);
    sim_host_on(rig.sim, mysqld_node(DB2->m));
    session_end(&DB2->root);
    rig_launch(DB2);
    return received.n == 0 ? 0 : received.d[0].seq;
}

static void test_acker_loses_power(void **state)
{
    (void)state;
    uint64_t before = strtoull(rig_sql(DB1, "SELECT @@gtid_binlog_pos") + 4, NULL, 10);
    assert_int_equal(received_after_power_loss(true), before + 30);
    bool has_lost = false;
    for (int i = 0; i < 5 && !has_lost; i++) {
        uint64_t all = strtoull(rig_sql(DB1, "SELECT @@gtid_binlog_pos") + 4, NULL, 10) + 30;
        has_lost = received_after_power_loss(false) < all;
    }
    assert_true(has_lost);
}

/* With durable settings a master's loss of power takes nothing that was acknowledged. */
static void test_master_loses_power(void **state)
{
    (void)state;
    insert_rows(DB1, 20);
    sim_host_off(rig.sim, mysqld_node(DB1->m));
    session_end(&DB1->root);
    sim_host_on(rig.sim, mysqld_node(DB1->m));
    rig_launch(DB1);
    for (uint64_t id = 1; id <= 20; id++) assert_true(mysqld_has_write(DB1->m, id));
    assert_false(mysqld_is_open(DB1->m));
}

static unsigned false_oks, oks;

static void on_ok(void *arg, struct mysqld *m, const struct mysqld_trx *trx, enum mysqld_ok ok)
{
    (void)arg;
    (void)m;
    assert_int_equal(trx->kind, MYSQLD_TRX_WRITE);
    if (ok != MYSQLD_OK) false_oks++;
    else oks++;
}

static void test_false_ok_is_told(void **state)
{
    (void)state;
    static struct session app;

    false_oks = oks = 0;
    mysqld_on_ok(DB1->m, on_ok, NULL);
    assert_true(session_begin(&app, DB1, WIRE_USER_CLIENT));
    assert_int_equal(session_run(&app, "INSERT INTO shop.writes VALUES (501)")->status, DB_OK);
    freeze(DB2);
    session_send(&app, "INSERT INTO shop.writes VALUES (502)");
    rig_await(DB1, waiting, "1");
    rig_sql(DB1, "SET GLOBAL rpl_semi_sync_master_enabled = 0");
    assert_int_equal(session_read(&app, SIM_S)->status, DB_OK);
    assert_int_equal(oks, 1);
    assert_int_equal(false_oks, 1);
    session_end(&app);
}

/* FACTS.md SS-6: who is in the group of a leader that is killed gets an OK that nobody acknowledged. */
static void test_killed_leader_tells_its_group_ok(void **state)
{
    (void)state;
    static struct session apps[4];

    false_oks = oks = 0;
    mysqld_on_ok(DB1->m, on_ok, NULL);
    freeze(DB2);
    for (unsigned i = 0; i < ARRAY_LEN(apps); i++) {
        char sql[64];
        snprintf(sql, sizeof(sql), "INSERT INTO t.t VALUES (%u)", 700 + i);
        assert_true(session_begin(&apps[i], DB1, WIRE_USER_CLIENT));
        session_send(&apps[i], sql);
        run_us(20 * SIM_MS);
    }
    /* The first waits, the second is written behind it, the others are one group once that moves up. */
    for (unsigned i = 0; i < 3; i++) {
        const char *id = rig_sql(DB1, "SELECT MAX(ID) FROM information_schema.PROCESSLIST WHERE STATE ="
                                      " 'Waiting for semi-sync ACK from slave'");
        rig_sql(DB1, "KILL CONNECTION %s", id);
        run_us(100 * SIM_MS);
        assert_int_equal(session_read(&apps[i], SIM_S)->status, DB_LOST);
    }
    assert_int_equal(session_read(&apps[3], SIM_S)->status, DB_OK);
    assert_int_equal(oks, 0);
    assert_int_equal(false_oks, 1);
    for (unsigned i = 0; i < ARRAY_LEN(apps); i++) session_end(&apps[i]);
}

/* Same seed, same bytes. */
static void test_same_seed_same_run(void **state)
{
    uint64_t digests[2];

    for (int i = 0; i < 2; i++) {
        rig_start_enrolled(state);
        insert_rows(DB1, 10);
        rig_kill(DB1);
        run_us(3 * SIM_S);
        digests[i] = sim_digest(rig.sim);
        rig_stop(state);
    }
    assert_true(digests[0] == digests[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_enrol, rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_enrol_refuses_what_boots_wrong, rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_failover, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_stale_token_changes_nothing, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_frozen_server_wakes_late, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_takeover_ends_the_old_session, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_unapplied_relay_log, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_stopped_applier_is_started_in_time, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_broken_applier_keeps_relay_log, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_restarted_acker_proves_nothing, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_open_counts_ackers, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_catch_up, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_catch_up_from_who_wrote_himself, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_follow, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_close, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_reign_row_waits, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_revoke_from_frozen_master, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_degraded, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_probe, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_acker_loses_power, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_master_loses_power, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_false_ok_is_told, rig_start_enrolled, rig_stop),
        cmocka_unit_test_setup_teardown(test_killed_leader_tells_its_group_ok, rig_start_enrolled, rig_stop),
        cmocka_unit_test(test_same_seed_same_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
