/* What a server must be set to before a verb says that it is done (A5, A7, S1, S2), one setting wrong at a time; and
 * the moment from which on CLOSE counts sessions. Against the model of verb_model.h, as test_verb_rules.c. */
#include "tests/unit/verb_model.h"

static int begin(void **state)
{
    (void)state;
    transcript = TEXT_ON(transcript_room);
    reset_model();
    return 0;
}

static const char *fails(const struct verb *v)
{
    const struct verb_outcome *o = perform("", v);
    if (o->state != VERB_STATE_FAILED) fail_msg("verb %d does not fail, but ends in state %d", v->kind, (int)o->state);
    return o->error;
}

/* A master whose acker is attached, all its settings right. */
static void as_master(void)
{
    as_promoted();
    model.s.clients = "1";
}

enum { WRONG_N = 4 };

/* With any of these a commit may be told OK without an ack. */
static void set_wrong(unsigned which)
{
    if (which == 0) model.s.wait_point = "AFTER_COMMIT";
    if (which == 1) model.s.wait_no_replica = "0";
    if (which == 2) model.s.timeout = "10000";
    if (which == 3) model.s.source_enabled = "0";
}

/* --- PROMOTE --- */

static void promote_sets_what_makes_commits_wait(void **state)
{
    struct verb v = a_verb(VERB_PROMOTE);
    (void)state;
    for (unsigned i = 0; i < WRONG_N; i++) {
        as_promoted();
        set_wrong(i);
        (void)perform("", &v); /* The model does not know all settings. */
        assert_non_null(strstr(model.log, "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'"));
        assert_non_null(strstr(model.log, "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1"));
        assert_non_null(strstr(model.log, "SET GLOBAL rpl_semi_sync_master_timeout = 4294967295"));
        assert_non_null(strstr(model.log, "SET GLOBAL rpl_semi_sync_master_enabled = 1"));
    }
    as_promoted();
    expect("", &v, VERB_STATE_DONE);
    assert_int_equal(model.blocks, 0);
}

/* It would acknowledge to whom it follows next, and apply what nobody revoked. */
static void promote_leaves_no_replica(void **state)
{
    struct verb v = a_verb(VERB_PROMOTE);
    (void)state;
    as_promoted();
    model.s.replica_enabled = "1";
    expect("", &v, VERB_STATE_DONE);
    assert_string_equal(model.s.replica_enabled, "0");
    as_promoted();
    model.s.channels[0].sql = "Yes";
    expect("", &v, VERB_STATE_DONE);
    assert_string_equal(model.s.channels[0].sql, "No");
}

/* --- ATTACHED, REIGN_ROW, OPEN --- */

static void attached_needs_a_master_whose_commits_wait(void **state)
{
    struct verb v = a_verb(VERB_ATTACHED);
    (void)state;
    for (unsigned i = 0; i < WRONG_N; i++) {
        as_master();
        set_wrong(i);
        assert_non_null(strstr(fails(&v), "promote first"));
    }
    as_master();
    model.s.binlog = "0-2-120"; /* What it has, told with it. */
    expect("", &v, VERB_STATE_DONE);
    assert_string_equal(run.outcome.executed, "0-2-120");
    model.s.source_on = "OFF";
    v.deadline_ms = 100;
    (void)fails(&v);
}

static void no_row_is_written_whose_commit_would_not_wait(void **state)
{
    struct verb v = a_verb(VERB_REIGN_ROW);
    (void)state;
    for (unsigned i = 0; i <= WRONG_N; i++) {
        as_master();
        if (i == WRONG_N) model.s.source_on = "OFF";
        else set_wrong(i);
        assert_non_null(strstr(fails(&v), "not lossless"));
        assert_null(strstr(model.log, "INSERT INTO regent.reign"));
    }
    as_master();
    expect("", &v, VERB_STATE_DONE);
    assert_non_null(strstr(model.log, "INSERT INTO regent.reign"));
}

static void nothing_is_opened_whose_commits_would_not_wait(void **state)
{
    struct verb v = a_verb(VERB_OPEN);
    (void)state;
    for (unsigned i = 0; i <= WRONG_N; i++) {
        as_master();
        if (i == WRONG_N) model.s.source_on = "OFF";
        else set_wrong(i);
        assert_non_null(strstr(fails(&v), "not lossless"));
        assert_string_equal(model.s.read_only, "1");
        model.s.read_only = "0"; /* Open already: that is not what was asked for. */
        assert_non_null(strstr(fails(&v), "not lossless"));
    }
}

/* --- CLOSE --- */

/* The list of sessions was made, then the bar gave way, then the probe read: who began between them could write. Only
 * ids that were read while it was closed tell who could not. */
static void close_counts_from_when_it_was_seen_closed(void **state)
{
    struct verb v = a_verb(VERB_CLOSE);
    struct db_result answer;
    (void)state;
    as_master();
    model.s.close_left = "0";
    model.s.close_last = "77";
    model.s.close_bars = model.s.close_connections = "1";
    verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
    run.locked = true;
    assert_int_equal(verb_next(&run, NULL), VERB_SEND);
    answer_make(&model.s, &answer);
    model.s.close[0] = "0";
    assert_int_equal(verb_next(&run, &answer), VERB_SEND);
    assert_non_null(strstr(run.sql, "KILL CONNECTION"));
    assert_null(strstr(run.sql, "ID <= 77"));
    model.s.close_last = "78";
    answer_make(&model.s, &answer); /* Closed, and nobody is left. */
    assert_int_equal(verb_next(&run, &answer), VERB_END);
    assert_int_equal(run.outcome.state, VERB_STATE_DONE);
}

/* --- the session --- */

/* Nobody knows whether the statement still runs: the session, lock or not, is not gone on with. */
static void an_unknown_end_gives_the_session_up(void **state)
{
    static const enum db_status ends[] = {DB_LOST, DB_TIMED_OUT, DB_CANCELED};
    struct verb v = a_verb(VERB_OPEN);
    struct db_result answer;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        as_master();
        verb_begin(&run, &v, FLAVOUR_MARIADB, "repl", "x");
        run.locked = true;
        assert_int_equal(verb_next(&run, NULL), VERB_SEND);
        answer_make(&model.s, &answer);
        assert_int_equal(verb_next(&run, &answer), VERB_SEND);
        answer = (struct db_result){.status = ends[i]};
        assert_int_equal(verb_next(&run, &answer), VERB_END);
        assert_int_equal(run.outcome.state, VERB_STATE_UNKNOWN);
        assert_false(run.locked);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(promote_sets_what_makes_commits_wait),
        T(promote_leaves_no_replica),
        T(attached_needs_a_master_whose_commits_wait),
        T(no_row_is_written_whose_commit_would_not_wait),
        T(nothing_is_opened_whose_commits_would_not_wait),
        T(close_counts_from_when_it_was_seen_closed),
        T(an_unknown_end_gives_the_session_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
