/* Every verb against real MariaDB servers, under exactly the grants of docs/accounts.md; effects are looked up on the
 * servers, as root, never in the verb's own outcome alone. */
#include "tests/unit/verb_rig.h"

#define DB1 (&rig.s[0])
#define DB2 (&rig.s[1])
#define DB3 (&rig.s[2])

static void insert_rows(struct rig_server *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) rig_sql(s, "INSERT INTO t.t (v) VALUES ('x')");
}

static void test_enrol(void **state)
{
    (void)state;
    struct verb v = rig_verb(VERB_ENROL, DB1, 10);
    v.is_master = true;
    struct verb_outcome o = rig_do(DB1, &v);
    assert_string_equal(o.identity, "identity-of-1");
    assert_int_equal(o.server_id, 1);
    assert_string_equal(rig_sql(DB1, "SELECT CONCAT(identity,' ',token,' ',epoch) FROM regent.fence"), "identity-of-1 10 2");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_enrol, rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_failover, rig_start_enrolled, rig_stop),
    };

    return cmocka_run_group_tests(tests, rig_setup_template, rig_remove_template);
}
