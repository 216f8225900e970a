/* What a verb does not do, and what it says then: servers that cannot be read, sessions that end, statements whose
 * effect does not show. On the model of verb_model.h. */
#include "tests/unit/verb_model.h"

static int begin(void **state)
{
    (void)state;
    transcript = TEXT_ON(transcript_room);
    reset_model();
    return 0;
}

/* The verb must fail and say 'text'. */
static void fails(const struct verb *v, const char *text)
{
    const struct verb_outcome *o = perform("", v);

    if (o->state != VERB_STATE_FAILED) fail_msg("not failed, but state %d, for: %s", (int)o->state, text);
    if (strstr(o->error, text) == NULL) fail_msg("\"%s\" does not say \"%s\"", o->error, text);
}

/* And it must have sent nothing that changes the server. */
static void refused(const struct verb *v, const char *text)
{
    fails(v, text);
    assert_int_equal(model.blocks, 0);
}

/* --- what cannot be read is left alone --- */

static void break_answer(unsigned i)
{
    struct answer_server *s = &model.s;

    if (i == 0) s->now = NULL;
    if (i == 1) s->now = "1795226883:1"; /* It is put into statements. */
    if (i == 2) s->now = "1795226883 1";
    if (i == 3) s->term = NULL;
    if (i == 4) s->term = "seven";
    if (i == 5) s->executed_replica = "garbage";
    if (i == 6) s->channels[0].received = "garbage";
    if (i == 7) s->version = "5.5.68-MariaDB";
    if (i == 8) s->identity = "";
    if (i == 9) s->channels_n = 5;
}

static void test_what_cannot_be_read_is_left_alone(void **state)
{
    (void)state;
    static const char *const says[] = {
        "cannot be read", "cannot be read", "cannot be read", "cannot be read", "cannot be read", "cannot be read",
        "cannot be read", "5.5.68", "not enrolled", "too many channels"};

    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        struct verb v = a_verb(VERB_REVOKE);
        reset_model();
        for (unsigned c = 1; c < 5; c++) model.s.channels[c] = model.s.channels[0];
        break_answer(i);
        refused(&v, says[i]);
    }
}

/* Nobody knows what became of a statement that was not answered. One that found no server was not sent. */
static void test_a_lost_answer_is_unknown(void **state)
{
    (void)state;
    static const struct { enum db_status status; enum verb_state state; } ends[] = {
        {DB_REFUSED, VERB_STATE_FAILED},    {DB_UNREACHABLE, VERB_STATE_FAILED}, {DB_LOST, VERB_STATE_UNKNOWN},
        {DB_TIMED_OUT, VERB_STATE_UNKNOWN}, {DB_CANCELED, VERB_STATE_UNKNOWN}};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct verb v = a_verb(VERB_REVOKE);
        reset_model();
        model.fail_status = ends[i].status;
        expect("", &v, ends[i].state);
        assert_false(run.locked);
    }
}

static void test_who_is_not_understood_is_not_enrolled(void **state)
{
    (void)state;
    static const char *const says[] = {"binary log is off", "log_slave_updates is off", "gtid_strict_mode is off",
                                       "without GTID", "it replicates from another server", "commits wait"};

    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        struct verb v = a_verb(VERB_ENROL);
        reset_model();
        v.is_master = i >= 4;
        if (i == 0) model.s.log_bin = "0";
        if (i == 1) model.s.log_updates = "0";
        if (i == 2) model.s.strict = "0";
        if (i == 3) model.s.channels[0].using_gtid = "No";
        if (i == 5) {
            model.s.channels_n = 0;
            model.s.source_enabled = "1";
        }
        refused(&v, says[i]);
    }
}

/* --- REVOKE: the channels that the verb names --- */

static void test_revoke_stops_the_channel_of_its_source_alone(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    v.deadline_ms = 100;
    model.s.channels_n = 3;
    for (unsigned c = 1; c < 3; c++) model.s.channels[c] = model.s.channels[0];
    model.s.channels[0].name = "other";
    model.s.channels[1].name = "ours";
    model.s.channels[1].host = "db3";
    model.s.channels[1].port = "3313";
    model.s.channels[2].name = "stopped";
    model.s.channels[2].io = "No";
    fails(&v, "waited for the receiver to stop");
    assert_non_null(strstr(model.log, "STOP SLAVE 'ours' IO_THREAD"));
    assert_null(strstr(model.log, "'other'"));
    assert_null(strstr(model.log, "'stopped'"));
    /* When none is from that source, it may be known there by another name: all are stopped. */
    model.log[0] = '\0';
    model.s.channels[1].host = "10.0.0.3";
    fails(&v, "waited for the receiver to stop");
    assert_non_null(strstr(model.log, "STOP SLAVE 'ours' IO_THREAD"));
    assert_non_null(strstr(model.log, "STOP SLAVE 'other' IO_THREAD"));
    assert_null(strstr(model.log, "'stopped'"));
}

static void test_revoke_is_done_when_the_channel_of_its_source_has_stopped(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    model.s.channels_n = 3;
    for (unsigned c = 1; c < 3; c++) model.s.channels[c] = model.s.channels[0];
    model.s.channels[0].host = "db3";
    model.s.channels[0].port = "3313";
    model.s.channels[1].name = "other";
    model.s.channels[2].name = "forgotten"; /* Of a server that was restarted; not what is asked about. */
    model.s.channels[2].io = "No";
    model.s.channels[2].received = "";
    expect("", &v, VERB_STATE_DONE);
    assert_null(strstr(model.log, "'other'"));
    /* Without a source: of all. */
    reset_model();
    model.s.channels_n = 2;
    model.s.channels[1] = model.s.channels[0];
    model.s.channels[1].name = "other";
    v.source_host[0] = '\0';
    v.deadline_ms = 100;
    fails(&v, "waited for the receiver to stop");
    assert_non_null(strstr(model.log, "STOP SLAVE 'other' IO_THREAD"));
}

/* The process list does not tell whose receiver lives: with several channels an applier that is started might be the
 * one whose relay log is thrown away for it. */
static void test_no_applier_is_started_beside_other_channels(void **state)
{
    (void)state;
    static const enum verb_kind kinds[] = {VERB_REVOKE, VERB_APPLY};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct verb v = a_verb(kinds[i]);
        as_revoked();
        v.deadline_ms = 100;
        (void)TEXT_COPY(v.target, "0-1-101");
        model.s.channels[0].io = "Yes";
        model.s.channels[0].sql = "No";
        model.s.channels[0].received = "0-1-101";
        model.s.channels_n = 2;
        model.s.channels[1] = model.s.channels[0];
        model.s.channels[1].name = "other";
        (void)perform("", &v);
        assert_int_not_equal(run.outcome.state, VERB_STATE_DONE);
        assert_null(strstr(model.log, "START SLAVE"));
    }
}

/* --- FOLLOW: the flag acts when the receiver starts (A2) --- */

static void as_following(const char *flag, const char *status)
{
    as_revoked();
    model.s.channels[0].host = "db3";
    model.s.channels[0].port = "3313";
    model.s.channels[0].io = "Yes";
    model.s.replica_enabled = flag;
    model.s.replica_on = status;
}

static void test_follow_restarts_a_receiver_that_the_flag_does_not_describe(void **state)
{
    (void)state;
    static const struct { bool is_acker; const char *flag, *status; unsigned blocks; } cases[] = {
        {false, "0", "OFF", 0}, {false, "0", "ON", 1}, {false, "1", "OFF", 1}, {false, "1", "ON", 1},
        {true, "1", "ON", 0},   {true, "1", "OFF", 1}, {true, "0", "ON", 1},   {true, "0", "OFF", 1}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verb v = a_verb(VERB_FOLLOW);
        v.is_acker = cases[i].is_acker;
        as_following(cases[i].flag, cases[i].status);
        expect("", &v, VERB_STATE_DONE);
        assert_int_equal(model.blocks, cases[i].blocks);
        assert_string_equal(model.s.replica_enabled, v.is_acker ? "1" : "0");
        assert_string_equal(model.s.replica_on, v.is_acker ? "ON" : "OFF");
        assert_null(strstr(model.log, "CHANGE MASTER"));
    }
}

static void test_follow_is_done_when_the_receiver_is_connected(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_FOLLOW);

    v.is_acker = true;
    v.deadline_ms = 100;
    as_following("1", "ON");
    model.s.channels[0].io = "Connecting";
    refused(&v, "waited for the receiver to connect");
}

/* From the right source, but not as it must be: it is pointed there anew. */
static void test_follow_points_anew_what_is_not_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct verb v = a_verb(VERB_FOLLOW);
        v.deadline_ms = 100;
        as_following("0", "OFF");
        if (i == 0) model.s.channels[0].using_gtid = "No";
        if (i == 1) model.s.channels[0].sql = "No";
        if (i == 2) model.s.channels[0].port = "3314";
        if (i == 3) model.s.channels[0].io = "No";
        (void)perform("", &v);
        if (strstr(model.log, "CHANGE MASTER") == NULL) fail_msg("not pointed anew: %u", i);
    }
}

/* --- an effect that does not show --- */

static void test_a_session_that_is_lost_twice_is_given_up(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REVOKE);

    model.ignores = "UPDATE regent.fence";
    fails(&v, "the control session was lost twice");
    assert_int_equal(model.takeovers, 2);
}

static void test_a_fence_row_that_does_not_show_is_not_enrolled(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_ENROL);

    for (unsigned i = 0; i < 2; i++) {
        reset_model();
        model.ignores = ""; /* All of them. */
        if (i == 0) model.s.identity = "";
        fails(&v, "the fence row does not show");
        assert_false(run.locked);
    }
}

static void test_an_effect_that_does_not_show_is_a_failure(void **state)
{
    (void)state;
    static const struct { enum verb_kind kind; uint8_t k; const char *ignores, *says; } verbs[] = {
        {VERB_REVOKE, 1, "SET GLOBAL rpl_semi_sync_slave_enabled", "the semi-sync replica flag stays on"},
        {VERB_PROMOTE, 1, "SET GLOBAL rpl_semi_sync_master_enabled", "settings of a master do not show"},
        {VERB_ATTACHED, 0, "SET GLOBAL rpl_semi_sync_master_enabled", "semi-sync stays on"},
        {VERB_OPEN, 1, "SET GLOBAL read_only", "read_only stays on"},
        {VERB_CLEAR, 1, "RESET SLAVE", "the channel is still there"}};

    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        struct verb v = a_verb(verbs[i].kind);
        v.k = verbs[i].k;
        if (verbs[i].kind == VERB_REVOKE || verbs[i].kind == VERB_PROMOTE) as_revoked();
        else as_promoted();
        if (verbs[i].kind == VERB_REVOKE) model.s.replica_enabled = "1";
        model.s.clients = "1";
        model.ignores = verbs[i].ignores;
        fails(&v, verbs[i].says);
        assert_int_equal(model.blocks, 1); /* Sent once, and not again and again. */
    }
}

static void test_a_receiver_that_stops_on_an_error_is_told(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_FOLLOW);

    as_revoked();
    model.ignores = "START SLAVE";
    model.s.channels[0].io_errno = "1236";
    model.s.channels[0].io_error = "the source has not got it";
    fails(&v, "the receiver stopped with error 1236");
}

static void test_follow_waits_until_the_old_receiver_has_stopped(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_FOLLOW);

    as_revoked();
    v.is_acker = true;
    model.s.channels[0].io = "Yes";
    model.stop_after = 5;
    expect("", &v, VERB_STATE_DONE);
    const char *stop = strstr(model.log, "STOP SLAVE '' IO_THREAD"), *change = strstr(model.log, "CHANGE MASTER");
    assert_true(stop != NULL && change != NULL && stop < change);
    assert_true(model.probes > 5);
}

/* --- the way to an open master --- */

static void test_reign_row_needs_our_token(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_REIGN_ROW);

    as_promoted();
    model.s.clients = "1";
    model.s.token = "99";
    refused(&v, "our token is not stored");
    model.s.token = "100";
    model.s.term = "6";
    refused(&v, "our token is not stored");
}

static void test_clear_refuses_a_server_that_replicates(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_CLEAR);

    as_promoted();
    model.s.channels[0].io = "Yes";
    refused(&v, "replicates from another one");
    model.s.channels[0].io = "No";
    model.s.channels[0].sql = "Yes";
    refused(&v, "replicates from another one");
}

static void test_positions_that_cannot_be_read_contain_nothing(void **state)
{
    (void)state;
    struct verb v = a_verb(VERB_PROMOTE);

    as_revoked();
    model.s.binlog = "garbage";
    refused(&v, "does not contain the target");
    as_revoked();
    (void)TEXT_COPY(v.target, "garbage");
    refused(&v, "does not contain the target");
    v = a_verb(VERB_APPLY);
    (void)TEXT_COPY(v.target, "garbage");
    refused(&v, "was not received");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(test_what_cannot_be_read_is_left_alone),
        T(test_a_lost_answer_is_unknown),
        T(test_who_is_not_understood_is_not_enrolled),
        T(test_revoke_stops_the_channel_of_its_source_alone),
        T(test_revoke_is_done_when_the_channel_of_its_source_has_stopped),
        T(test_no_applier_is_started_beside_other_channels),
        T(test_follow_restarts_a_receiver_that_the_flag_does_not_describe),
        T(test_follow_is_done_when_the_receiver_is_connected),
        T(test_follow_points_anew_what_is_not_in_order),
        T(test_a_session_that_is_lost_twice_is_given_up),
        T(test_a_fence_row_that_does_not_show_is_not_enrolled),
        T(test_an_effect_that_does_not_show_is_a_failure),
        T(test_a_receiver_that_stops_on_an_error_is_told),
        T(test_follow_waits_until_the_old_receiver_has_stopped),
        T(test_reign_row_needs_our_token),
        T(test_clear_refuses_a_server_that_replicates),
        T(test_positions_that_cannot_be_read_contain_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
