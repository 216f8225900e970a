/* The state machine without plans: declarations, servers, pause, events, dedup, names. */
#include "tests/unit/fsm_fixture.h"

/* --- names --- */

static void names_agree_with_parsers(void **arg)
{
    (void)arg;
    for (int i = 1; i < (int)fsm_durability_count; i++) {
        assert_int_equal(fsm_durability_parse(fsm_durability_name((enum fsm_durability)i)), i);
    }
    for (int i = 1; i < (int)fsm_role_count; i++) {
        assert_int_equal(fsm_role_parse(fsm_role_name((enum fsm_role)i)), i);
    }
    for (int i = 1; i < (int)fsm_flavour_count; i++) {
        assert_int_equal(fsm_flavour_parse(fsm_flavour_name((enum fsm_flavour)i)), i);
    }
    assert_string_equal(fsm_durability_name(DURABILITY_PREFER_LOSSLESS), "prefer-lossless");
    assert_string_equal(fsm_step_name(STEP_CATCH_UP), "catch_up");
    assert_string_equal(fsm_fence_name(FENCE_F1_ACKS_REVOKED), "acks-revoked");
    assert_string_equal(fsm_plan_kind_name(fsm_plan_kind_none), "none");
    assert_string_equal(fsm_plan_state_name((enum fsm_plan_state)99), "?");
    assert_int_equal(fsm_role_parse("none"), 0);
    assert_int_equal(fsm_role_parse("king"), 0);
    for (int i = 0; i < (int)FSM_CODES_N; i++) {
        assert_string_not_equal(fsm_code_name((enum fsm_code)i), "?");
        assert_string_not_equal(fsm_code_text((enum fsm_code)i), "?");
    }
    assert_string_equal(fsm_code_name(FSM_NOT_FOUND), "not_found");
    assert_string_equal(fsm_code_name((enum fsm_code)99), "?");
}

/* --- cluster set: create --- */

static void create_declares(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_cluster *c;

    fixture_spec(x, true);
    fixture_ok(x);
    c = fixture_shop(x);
    assert_int_equal(c->servers_n, 4);
    assert_int_equal(c->master, FSM_SERVER_NONE);
    assert_int_equal(c->backup, FSM_SERVER_NONE);
    assert_int_equal(c->epoch, 0);
    assert_int_equal(c->version, 1);
    assert_int_equal(c->servers[DB2].state, SERVER_NEW);
    assert_int_equal(c->servers[DB2].role, ROLE_BACKUP);
    assert_int_equal(fsm_server_find(c, "db3"), DB3);
    assert_int_equal(fsm_server_find(c, "db9"), FSM_SERVER_NONE);
    assert_string_equal(fixture_last_event(x)->kind, "cluster.add");
    assert_string_equal(fixture_last_event(x)->cluster, "shop");
    fixture_spec(x, true);
    fixture_refused(x, FSM_EXISTS, "shop");
}

#define REFUSED_SPEC(change, expected)                                                                                \
    do {                                                                                                              \
        struct fsm_cluster_spec *spec = fixture_spec(x, true);                                                        \
        change;                                                                                                       \
        fixture_refused(x, FSM_INVALID, expected);                                                                    \
    } while (0)

static void create_checks_the_declaration(void **arg)
{
    struct fixture *x = *arg;

    REFUSED_SPEC(spec->name[0] = '\0', "is not a name");
    REFUSED_SPEC((void)TEXT_COPY(spec->name, "a shop"), "is not a name");
    REFUSED_SPEC((void)TEXT_COPY(spec->name, "-shop"), "is not a name");
    REFUSED_SPEC(spec->flavour = fsm_flavour_none, "flavour");
    REFUSED_SPEC(spec->durability = fsm_durability_count, "durability");
    REFUSED_SPEC(spec->probe_ms = 0, "probe");
    REFUSED_SPEC(spec->probe_ms = 700000, "probe");
    REFUSED_SPEC(spec->timeout_ms = 0, "timeout");
    REFUSED_SPEC(spec->timeout_ms = 700000, "timeout");
    REFUSED_SPEC(spec->servers_n = 0, "1 to 16 servers");
    REFUSED_SPEC(spec->servers_n = 17, "1 to 16 servers");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].name, "db'3"), "is not a name");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].name, "db1"), "declared twice");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].address, "127.0.0.1:3301"), "same address");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].address, "127.0.0.1"), "host:port");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].address, ":3301"), "host:port");
    REFUSED_SPEC((void)TEXT_COPY(spec->servers[2].address, "h:65536"), "host:port");
    REFUSED_SPEC(spec->servers[2].role = fsm_role_none, "role");
    REFUSED_SPEC(spec->servers[2].role = ROLE_MASTER, "one master, not 2");
    REFUSED_SPEC(spec->servers[0].role = ROLE_REPLICA, "one master, not 0");
    REFUSED_SPEC(spec->servers[2].role = ROLE_BACKUP, "one backup, not 2");
}

static void clusters_are_limited(void **arg)
{
    struct fixture *x = *arg;

    for (int i = 0; i < FSM_CLUSTERS_MAX; i++) {
        struct text t = TEXT_ON(fixture_spec(x, true)->name);
        text_addf(&t, "c%d", i);
        fixture_ok(x);
    }
    fixture_spec(x, true);
    fixture_refused(x, FSM_FULL, "64 clusters");
}

/* --- cluster set: change --- */

static void change_needs_the_cluster(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, false);
    fixture_refused(x, FSM_NOT_FOUND, "shop");
}

static void change_sets_what_may_change(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster_spec *spec;
    struct fsm_cluster was;
    const struct fsm_cluster *c;

    fixture_enrolled(x);
    was = *fixture_shop(x);
    spec = fixture_spec(x, false);
    spec->durability = DURABILITY_ASYNC;
    (void)TEXT_COPY(spec->defaults_file, "/x");
    (void)TEXT_COPY(spec->group, "g");
    spec->probe_ms = 100;
    spec->timeout_ms = 200;
    spec->servers[DB2].role = ROLE_REPLICA;
    spec->servers[DB3].role = ROLE_BACKUP;
    fixture_server(spec, "db5", "127.0.0.1:3305", ROLE_REPLICA);
    fixture_ok(x);
    c = fixture_shop(x);
    assert_int_equal(c->durability, DURABILITY_ASYNC);
    assert_string_equal(c->defaults_file, "/x");
    assert_string_equal(c->group, "g");
    assert_int_equal(c->probe_ms, 100);
    assert_int_equal(c->timeout_ms, 200);
    assert_int_equal(c->version, x->index);
    assert_int_equal(c->servers[DB3].declared, ROLE_BACKUP);
    assert_int_equal(c->servers[DB3].role, ROLE_REPLICA); /* Only a decision gives roles. */
    assert_int_equal(c->servers_n, 5);
    assert_int_equal(c->servers[4].state, SERVER_NEW);
    assert_int_equal(c->epoch, was.epoch);
    assert_int_equal(c->master, was.master);
    assert_int_equal(c->backup, was.backup);
    assert_memory_equal(c->reigns, was.reigns, sizeof(was.reigns));
    assert_string_equal(fixture_last_event(x)->kind, "cluster.apply");
}

static void change_is_refused_while_a_plan_runs(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_spec(x, false);
    fixture_refused(x, FSM_BUSY, "plan");
}

static void change_keeps_servers_and_flavour(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster_spec *spec;

    fixture_enrolled(x);
    spec = fixture_spec(x, false);
    spec->servers_n = 3;
    fixture_refused(x, FSM_INVALID, "db4 of shop is missing");
    spec = fixture_spec(x, false);
    (void)TEXT_COPY(spec->servers[DB1].name, "db9"); /* The master is gone. */
    fixture_refused(x, FSM_INVALID, "db1 of shop is missing");
    fixture_spec(x, false)->flavour = FLAVOUR_MYSQL;
    fixture_refused(x, FSM_INVALID, "flavour");
}

static void change_moves_only_untrusted_servers(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    (void)TEXT_COPY(fixture_spec(x, false)->servers[DB4].address, "127.0.0.1:4444"); /* New: allowed. */
    fixture_ok(x);
    assert_string_equal(fixture_shop(x)->servers[DB4].address, "127.0.0.1:4444");
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x);
    fixture_ok(x);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_spec(x, false); /* Back to 3304: a member now. */
    fixture_refused(x, FSM_INVALID, "db4");
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "moves");
    fixture_ok(x);
    fixture_spec(x, false);
    fixture_ok(x);
    assert_string_equal(fixture_shop(x)->servers[DB4].address, "127.0.0.1:3304");
}

/* --- server state --- */

static void quarantine_and_clear(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_server *s;

    fixture_enrolled(x);
    s = &fixture_shop(x)->servers[DB4];
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "disk is full");
    fixture_ok(x);
    assert_int_equal(s->state, SERVER_QUARANTINED);
    assert_string_equal(s->reason, "disk is full");
    assert_string_equal(fixture_last_event(x)->kind, "server.quarantined");
    assert_non_null(strstr(fixture_last_event(x)->text, "db4"));
    fixture_server_state(x, "db4", SERVER_MEMBER, "");
    fixture_ok(x);
    assert_int_equal(s->state, SERVER_MEMBER);
    assert_string_equal(s->reason, "");
    assert_string_equal(fixture_last_event(x)->kind, "server.cleared");
}

static void cleared_without_identity_is_new(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "unknown");
    fixture_ok(x);
    fixture_server_state(x, "db4", SERVER_MEMBER, "");
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->servers[DB4].state, SERVER_NEW);
}

static void server_state_is_checked(void **arg)
{
    struct fixture *x = *arg;

    fixture_server_state(x, "db4", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_NOT_FOUND, "shop");
    fixture_enrolled(x);
    fixture_server_state(x, "db9", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_NOT_FOUND, "db9");
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "");
    fixture_refused(x, FSM_INVALID, "reason");
    fixture_server_state(x, "db4", fsm_server_state_none, "x");
    fixture_refused(x, FSM_INVALID, "state");
    fixture_server_state(x, "db1", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_UNSAFE, "db1 is the master");
}

static void server_in_a_plan_is_busy(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_server_state(x, "db2", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_BUSY, "db2");
    fixture_server_state(x, "db3", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_BUSY, "db3");
    c = fixture_revoke(x, DB2, DB3);
    fixture_found(c, DB4, "0-1-101");
    c->holder = DB4;
    fixture_ok(x);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "x");
    fixture_refused(x, FSM_BUSY, "db4");
}

static void a_bystander_of_a_plan_can_be_quarantined(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "x");
    fixture_ok(x);
}

/* --- pause, event, unknown --- */

static void pause_and_resume(void **arg)
{
    struct fixture *x = *arg;
    uint64_t events;

    x->command.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
    fixture_refused(x, FSM_NOT_FOUND, "shop");
    fixture_spec(x, true);
    fixture_ok(x);
    for (int i = 0; i < 2; i++) { /* The second changes nothing. */
        events = x->state->events_n;
        x->command.kind = CMD_CLUSTER_PAUSE;
        (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
        x->command.u.cluster_pause.paused = true;
        fixture_ok(x);
        assert_true(fixture_shop(x)->paused);
        assert_int_equal(x->state->events_n - events, i == 0);
    }
    assert_string_equal(fixture_last_event(x)->kind, "cluster.paused");
    x->command.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
    fixture_ok(x);
    assert_false(fixture_shop(x)->paused);
    assert_string_equal(fixture_last_event(x)->kind, "cluster.resumed");
}

static void set_event(struct fixture *x, const char *cluster, const char *kind)
{
    x->command.kind = CMD_EVENT;
    (void)TEXT_COPY(x->command.u.event.cluster, cluster);
    (void)TEXT_COPY(x->command.u.event.kind, kind);
    (void)TEXT_COPY(x->command.u.event.text, "db1 does not answer");
    (void)TEXT_COPY(x->command.u.event.evidence, "m1: refused");
}

static void events_are_recorded(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_event *event;

    set_event(x, "shop", "verdict");
    fixture_refused(x, FSM_NOT_FOUND, "shop");
    set_event(x, "", "");
    fixture_refused(x, FSM_INVALID, "kind");
    fixture_enrolled(x);
    set_event(x, "shop", "verdict");
    fixture_ok(x);
    event = fixture_last_event(x);
    assert_string_equal(event->cluster, "shop");
    assert_string_equal(event->kind, "verdict");
    assert_string_equal(event->text, "db1 does not answer");
    assert_string_equal(event->evidence, "m1: refused");
    assert_int_equal(event->epoch, 1);
    assert_int_equal(event->index, x->index);
    assert_int_equal(event->time.us, (int64_t)x->index * 1000);
    set_event(x, "", "group.member");
    fixture_ok(x);
    assert_string_equal(fixture_last_event(x)->cluster, "");
}

static void events_are_bounded(void **arg)
{
    struct fixture *x = *arg;
    uint64_t first;

    fixture_enrolled(x);
    set_event(x, "shop", "tick");
    fixture_ok(x);
    first = x->state->events_n - 1; /* Its slot is used again, for an event of the group. */
    for (int i = 0; i < FSM_EVENTS_MAX; i++) {
        set_event(x, "", "tick");
        x->index++;
        x->command.id = (struct fsm_request_id){9, (uint64_t)i + 1, x->index - 1};
        fsm_apply(x->state, x->index, &x->command, &x->result);
    }
    assert_int_equal(x->state->events_n, FSM_EVENTS_MAX + first + 1);
    assert_int_equal(x->state->events[first].index, x->index);
    assert_int_equal(x->state->events[first + 1].index, x->index - FSM_EVENTS_MAX + 1);
    assert_string_equal(x->state->events[first].cluster, "");
    assert_int_equal(x->state->events[first].epoch, 0);
    assert_null(fsm_invariant(x->state));
}

static void unknown_commands_change_nothing(void **arg)
{
    struct fixture *x = *arg;

    x->command.kind = (enum fsm_command_kind)77;
    fixture_refused(x, FSM_UNKNOWN, "77");
    fixture_refused(x, FSM_UNKNOWN, "0"); /* CMD_NONE */
    assert_int_equal(x->state->dedup_n, 2);
}

/* --- dedup --- */

static void a_repeated_id_gives_the_first_result(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_command first;
    uint64_t token, events;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    first = x->command;
    first.id = (struct fsm_request_id){7, x->seq + 1, 0};
    fixture_ok(x);
    token = x->result.value;
    assert_int_equal(token, x->index);
    events = x->state->events_n;
    fsm_apply(x->state, x->index + 5, &first, &x->result);
    assert_true(x->result.repeated);
    assert_int_equal(x->result.code, FSM_OK);
    assert_int_equal(x->result.index, token);
    assert_int_equal(x->result.value, token);
    assert_string_equal(x->result.text, "");
    assert_int_equal(x->state->index, token + 5);
    assert_int_equal(x->state->events_n, events);
}

static void a_repeated_refusal_stays_one(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_command first;

    fixture_spec(x, false);
    first = x->command;
    first.id = (struct fsm_request_id){7, 1, 0};
    fixture_refused(x, FSM_NOT_FOUND, "shop");
    fixture_spec(x, true);
    fixture_ok(x);
    fsm_apply(x->state, ++x->index, &first, &x->result);
    assert_true(x->result.repeated);
    assert_int_equal(x->result.code, FSM_NOT_FOUND);
}

static void ids_differ_by_client_and_number(void **arg)
{
    struct fixture *x = *arg;

    x->command.kind = CMD_NONE;
    x->command.id = (struct fsm_request_id){1, 2, 0};
    fsm_apply(x->state, 1, &x->command, &x->result);
    x->command.id = (struct fsm_request_id){2, 2, 0};
    fsm_apply(x->state, 2, &x->command, &x->result);
    assert_false(x->result.repeated);
    x->command.id = (struct fsm_request_id){1, 1, 0};
    fsm_apply(x->state, 3, &x->command, &x->result);
    assert_false(x->result.repeated);
    x->command.id = (struct fsm_request_id){1, 2, 0};
    fsm_apply(x->state, 4, &x->command, &x->result);
    assert_true(x->result.repeated);
}

/* Applies a note under the id at the next index. Returns the code. */
static enum fsm_code note(struct fixture *x, uint64_t client, uint64_t seq, uint64_t since)
{
    set_event(x, "", "tick");
    x->command.id = (struct fsm_request_id){client, seq, since};
    fsm_apply(x->state, ++x->index, &x->command, &x->result);
    assert_null(fsm_invariant(x->state));
    return x->result.code;
}

/* Request 1 of client 1 is applied first, then so many others that it just leaves the window. */
static void fill_the_window(struct fixture *x)
{
    for (uint64_t i = 1; i <= FSM_DEDUP_MAX; i++) assert_int_equal(note(x, 1, i, x->index), FSM_OK);
    assert_int_equal(x->state->dedup_floor, 0);
    assert_int_equal(note(x, 1, 1, 0), FSM_OK);
    assert_true(x->result.repeated);
    assert_int_equal(note(x, 1, FSM_DEDUP_MAX + 1, x->index), FSM_OK);
    assert_int_equal(x->state->dedup_floor, 1);
}

static void what_left_the_window_is_expired(void **arg)
{
    struct fixture *x = *arg;
    uint64_t events;

    fill_the_window(x);
    assert_int_equal(note(x, 1, 2, 1), FSM_OK);
    assert_true(x->result.repeated);
    events = x->state->events_n;
    memcpy(x->before, x->state, sizeof(*x->state));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(note(x, 1, 1, 0), FSM_EXPIRED);
        assert_false(x->result.repeated);
        assert_non_null(strstr(x->result.text, "forgotten"));
    }
    assert_int_equal(x->state->events_n, events);
    x->before->index = x->state->index; /* Nothing else changed: no younger id was pushed out. */
    assert_memory_equal(x->before, x->state, sizeof(*x->state));
}

/* Never seen, but made before the floor: nobody can tell it from one that was applied and forgotten. Made at the floor
 * or after it: it was not. */
static void an_unseen_request_is_judged_by_its_age(void **arg)
{
    struct fixture *x = *arg;

    fill_the_window(x);
    assert_int_equal(note(x, 2, 1, 0), FSM_EXPIRED);
    assert_int_equal(note(x, 2, 1, 1), FSM_OK);
    assert_false(x->result.repeated);
    assert_int_equal(x->state->dedup_floor, 2);
    assert_int_equal(note(x, 2, 2, 1), FSM_EXPIRED);
    assert_int_equal(note(x, 2, 2, 2), FSM_OK);
}

/* Its age matters only for what the window does not hold: a repeat that comes late is a repeat. */
static void a_request_in_the_window_never_expires(void **arg)
{
    struct fixture *x = *arg;

    fill_the_window(x);
    assert_int_equal(note(x, 2, 1, 1), FSM_OK); /* From here on index 1 is before the floor. */
    assert_int_equal(x->state->dedup_floor, 2);
    assert_false(fsm_dedup_is_expired(x->state, (struct fsm_request_id){2, 1, 1}));
    assert_true(fsm_dedup_is_expired(x->state, (struct fsm_request_id){2, 2, 1}));
    assert_false(fsm_dedup_is_expired(x->state, (struct fsm_request_id){2, 2, 2}));
    assert_int_equal(note(x, 2, 1, 1), FSM_OK);
    assert_true(x->result.repeated);
}

static void a_request_from_the_future_is_refused(void **arg)
{
    struct fixture *x = *arg;

    assert_int_equal(note(x, 1, 1, 1), FSM_INVALID); /* It stands at index 1 itself. */
    assert_int_equal(note(x, 1, 2, UINT64_MAX), FSM_INVALID);
    assert_int_equal(x->state->events_n, 0);
    assert_int_equal(note(x, 1, 1, 1), FSM_INVALID); /* That it is past by now does not make it true. */
    assert_true(x->result.repeated);
}

static void a_command_without_id_is_refused(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fsm_apply(x->state, 1, &x->command, &x->result);
    assert_int_equal(x->result.code, FSM_INVALID);
    assert_int_equal(x->state->dedup_n, 0);
    assert_null(fixture_shop(x));
}

static void skip_moves_the_index(void **arg)
{
    struct fixture *x = *arg;

    fsm_skip(x->state, 9);
    assert_int_equal(x->state->index, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_agree_with_parsers),
        FSM_TEST(create_declares),
        FSM_TEST(create_checks_the_declaration),
        FSM_TEST(clusters_are_limited),
        FSM_TEST(change_needs_the_cluster),
        FSM_TEST(change_sets_what_may_change),
        FSM_TEST(change_is_refused_while_a_plan_runs),
        FSM_TEST(change_keeps_servers_and_flavour),
        FSM_TEST(change_moves_only_untrusted_servers),
        FSM_TEST(quarantine_and_clear),
        FSM_TEST(cleared_without_identity_is_new),
        FSM_TEST(server_state_is_checked),
        FSM_TEST(server_in_a_plan_is_busy),
        FSM_TEST(a_bystander_of_a_plan_can_be_quarantined),
        FSM_TEST(pause_and_resume),
        FSM_TEST(events_are_recorded),
        FSM_TEST(events_are_bounded),
        FSM_TEST(unknown_commands_change_nothing),
        FSM_TEST(a_repeated_id_gives_the_first_result),
        FSM_TEST(a_repeated_refusal_stays_one),
        FSM_TEST(ids_differ_by_client_and_number),
        FSM_TEST(what_left_the_window_is_expired),
        FSM_TEST(a_request_in_the_window_never_expires),
        FSM_TEST(an_unseen_request_is_judged_by_its_age),
        FSM_TEST(a_request_from_the_future_is_refused),
        FSM_TEST(a_command_without_id_is_refused),
        FSM_TEST(skip_moves_the_index),
    };

    return cmocka_run_group_tests_name("fsm", tests, NULL, NULL);
}
