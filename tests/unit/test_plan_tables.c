/* Tables of the planner, one line a rule: what keeps a cluster from being enrolled, a server from being promoted, an
 * acker set from shrinking; and what is done with followers whose positions contradict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/choose.h"
#include "plan/proof.h"
#include "plan/sight.h"
#include "plan_world.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct world *w;

static int declared(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_LOSSLESS);
    world_look(w);
    return w->broken[0] == '\0' ? 0 : -1;
}

static int enrolled(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    world_enrol(w);
    world_look(w);
    return w->broken[0] == '\0' ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    world_free(w);
    return 0;
}

static struct view_facts *facts(uint8_t server)
{
    return &w->view->managers[w->view->self].servers[server].facts;
}

static const struct plan_update *step_once(void)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    plan_step(&in, w->update);
    return w->update;
}

/* --- ENROL --- */

static void set_identities(struct view_facts *a, struct view_facts *b)
{
    (void)TEXT_COPY(a->identity, "one");
    (void)TEXT_COPY(b->identity, "one");
}

static void break_server(unsigned i, struct view_facts *f)
{
    if (i == 0) f->supported = false;
    if (i == 1) f->binlog_on = false;
    if (i == 2) f->gtid_strict = false;
}

static void break_backup(unsigned i, struct view_facts *f)
{
    break_server(i, f);
    if (i == 3) f->log_replica_updates = false;
    if (i == 4) f->channels_n = 2;
    if (i == 5) f->channels[0].gtid = false;
    if (i == 6) f->channels[0].heartbeat_period_ms = 0;
    if (i == 7) f->channels[0].io = VIEW_IO_CONNECTING;
    if (i == 8) f->channels[0].applier = false;
    if (i == 9) f->read_only = false;
    if (i == 10) f->server_id = facts(DB1)->server_id;
    if (i == 11) set_identities(f, facts(DB1));
    if (i == 12) f->replica_enabled = false;
    if (i == 13) f->replica_on = false;
    if (i == 14) f->relay_durable = false;
    if (i == 15) f->channels_n = 0;
}

/* A lossless cluster is enrolled with a backup that is understood, or not at all. */
static void test_what_keeps_a_backup_from_being_enrolled(void **state)
{
    (void)state;
    static const char *const says[] = {
        "its version is not supported", "its binary log is off", "gtid_strict_mode is off", "log_slave_updates",
        "more than one channel", "without GTID", "heartbeats are too rare", "receiver is not connected",
        "applier is stopped", "it is writable", "the server_id of another", "carries the identity of another",
        "does not acknowledge", "does not acknowledge", "relay log is not durable", "not a replica of the declared"};

    assert_true(step_once()->propose);
    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        world_look(w);
        break_backup(i, facts(DB2));
        if (step_once()->propose) fail_msg("enrolled in spite of: %s", says[i]);
        if (strstr(w->update->why, says[i]) == NULL) fail_msg("\"%s\" does not say: %s", w->update->why, says[i]);
    }
}

/* A6, A7: commits wait for the backup, and for nobody else. */
static void test_what_keeps_commits_from_waiting(void **state)
{
    (void)state;
    static const char *const says[] = {"semi-sync is off", "fallen back to asynchronous", "not AFTER_SYNC",
                                       "does not wait when no replica", "time-out is too short",
                                       "no replica is attached", "more than one replica is attached", "not durable",
                                       "another server may acknowledge"};

    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        world_look(w);
        if (i == 0) facts(DB1)->source_enabled = false;
        if (i == 1) facts(DB1)->source_on = false;
        if (i == 2) facts(DB1)->after_sync = false;
        if (i == 3) facts(DB1)->wait_no_replica = false;
        if (i == 4) facts(DB1)->source_timeout_ms = 10000;
        if (i == 5) facts(DB1)->source_clients = 0;
        if (i == 6) facts(DB1)->source_clients = 2;
        if (i == 7) facts(DB1)->durable = false;
        if (i == 8) facts(DB3)->replica_enabled = true;
        if (step_once()->propose) fail_msg("enrolled in spite of: %s", says[i]);
        if (strstr(w->update->why, says[i]) == NULL) fail_msg("\"%s\" does not say: %s", w->update->why, says[i]);
    }
}

static void test_what_keeps_a_master_from_being_enrolled(void **state)
{
    (void)state;
    static const char *const says[] = {"its version is not supported", "its binary log is off",
                                       "gtid_strict_mode is off", "it is read-only", "replicates from another"};

    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        world_look(w);
        break_server(i, facts(DB1));
        if (i == 3) facts(DB1)->read_only = true;
        if (i == 4) facts(DB1)->channels_n = 1;
        if (step_once()->propose) fail_msg("enrolled in spite of: %s", says[i]);
        if (strstr(w->update->why, says[i]) == NULL) fail_msg("\"%s\" does not say: %s", w->update->why, says[i]);
    }
    world_look(w);
    world_cluster(w)->servers[DB1].declared = ROLE_REPLICA;
    assert_false(step_once()->propose);
    assert_non_null(strstr(w->update->why, "no server is declared as master"));
}

/* --- who may be promoted, who may acknowledge --- */

static struct work work_of(struct plan_input *in, struct verb_outcome outcomes[FSM_SERVERS_MAX])
{
    world_input(w, in, outcomes);
    return (struct work){.in = in, .cluster = world_cluster(w), .update = w->update};
}

static void break_candidate(unsigned i, struct view_facts *f)
{
    struct fsm_server *s = &world_cluster(w)->servers[DB2];

    break_server(i, f);
    if (i == 3) f->log_replica_updates = false;
    if (i == 4) f->read_only = false;
    if (i == 5) f->channels[0].sql_errno = 1062;
    if (i == 6) (void)TEXT_COPY(f->identity, "another");
    if (i == 7) w->view->managers[w->view->self].servers[DB2].outcome = VIEW_TIMED_OUT;
    if (i == 8) s->maintenance = true;
    if (i == 9) s->state = SERVER_QUARANTINED;
}

static void test_what_keeps_a_server_from_being_promoted(void **state)
{
    (void)state;
    static const char *const says[] = {"version is not supported", "binary log is off", "gtid_strict_mode is off",
                                       "does not log what it replicates", "writable", "applier stopped",
                                       "identity differs", "cannot reach", "maintenance", "quarantined"};
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct plan_input in;
    struct work x = work_of(&in, outcomes);

    assert_null(choose_problem(&x, DB2));
    assert_string_equal(choose_problem(&x, DB1), "it is the master");
    assert_non_null(choose_problem(&x, world_cluster(w)->servers_n));
    for (unsigned i = 0; i < ARRAY_LEN(says); i++) {
        world_look(w);
        world_cluster(w)->servers[DB2].maintenance = false;
        break_candidate(i, facts(DB2));
        const char *problem = choose_problem(&x, DB2);
        if (problem == NULL || strstr(problem, says[i]) == NULL) fail_msg("%s: %s", says[i], problem ? problem : "-");
        assert_int_not_equal(choose_candidate(&x, DB2, FSM_BIT(DB2) | FSM_BIT(DB3)), DB2);
    }
}

static void test_what_keeps_a_server_from_acknowledging(void **state)
{
    (void)state;
    static const unsigned breaks[] = {0, 4, 6, 7, 8, 9};
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct plan_input in;
    struct work x = work_of(&in, outcomes);
    fsm_set others = ~FSM_BIT(DB2);

    assert_int_equal(choose_acker(&x, DB3, others), DB2);
    assert_int_equal(choose_acker(&x, DB2, others), FSM_SERVER_NONE);
    assert_int_equal(choose_acker(&x, DB3, ~FSM_BIT(DB1)), FSM_SERVER_NONE); /* The master that is replaced. */
    for (unsigned i = 0; i < ARRAY_LEN(breaks); i++) {
        world_look(w);
        world_cluster(w)->servers[DB2].maintenance = false;
        break_candidate(breaks[i], facts(DB2));
        if (choose_acker(&x, DB3, others) != FSM_SERVER_NONE) fail_msg("acknowledges in spite of %u", breaks[i]);
    }
}

/* --- A2: who leaves the acker set --- */

static void test_a_shrinks_when_the_rest_has_caught_up(void **state)
{
    (void)state;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct plan_input in;
    struct work x = work_of(&in, outcomes);

    for (unsigned i = 0; i < 7; i++) {
        world_look(w);
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            struct view_observation *master = &w->view->managers[m].servers[DB1];
            struct view_observation *acker = &w->view->managers[m].servers[DB2];
            if (i == 1) (void)TEXT_COPY(master->facts.binlog, "0-1-101"); /* Not received. */
            if (i == 2) acker->facts.replica_on = false;
            if (i == 3) acker->outcome = VIEW_TIMED_OUT;
            if (i == 4) master->outcome = VIEW_TIMED_OUT;
            if (i == 5) master->age_ms = 50; /* Read before the one that leaves was off. */
            if (i == 6) (void)TEXT_COPY(acker->facts.identity, "another");
        }
        assert_int_equal(proof_has_caught_up(&x, DB1, FSM_BIT(DB2), 50), i == 0);
    }
}

static void test_a_proof_needs_all_of_it(void **state)
{
    (void)state;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct plan_input in;
    struct work x = work_of(&in, outcomes);
    struct proof proof;

    for (unsigned i = 0; i < 7; i++) {
        world_look(w);
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            if (i == 5) (void)TEXT_COPY(w->view->managers[m].servers[DB1].facts.identity, "another");
            if (i == 6) (void)TEXT_COPY(w->view->managers[m].servers[DB2].facts.identity, "another");
            w->view->managers[m].servers[DB1].age_ms = m == 0 ? 2 : 40;
            w->view->managers[m].servers[DB2].age_ms = 5;
            if (i == 1) w->view->managers[m].servers[DB2].facts.replica_enabled = false; /* Off at its next start. */
            if (i == 2) w->view->managers[m].servers[DB2].outcome = VIEW_TIMED_OUT;
            if (i == 3 && m > 0) w->view->managers[m].heard = false; /* One reading is not two. */
            if (i == 4) w->view->managers[m].servers[DB2].age_ms = 1; /* Not again by the master after it. */
        }
        assert_int_equal(proof_find(&x, DB1, FSM_BIT(DB2), &proof), i == 0);
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) w->view->managers[m].heard = true;
    }
    world_look(w);
    assert_false(proof_find(&x, DB1, 0, &proof));
}

/* --- REVOKE: positions that contradict (A4) --- */

static void revoked(uint8_t server, const char *received)
{
    struct world_verb *v = &w->verbs[server];
    const struct fsm_cluster *c = world_cluster(w);

    memset(v, 0, sizeof(*v));
    v->verb.kind = VERB_REVOKE;
    v->verb.token = c->plan;
    v->verb.step = STEP_REVOKE;
    v->ended = w->now;
    v->outcome = (struct verb_outcome){.kind = VERB_REVOKE, .token = c->plan, .step = STEP_REVOKE,
                                       .state = VERB_STATE_DONE, .server_id = server + 1u, .started_s = 1};
    (void)TEXT_COPY(v->outcome.received, received);
    (void)TEXT_COPY(v->outcome.executed, "0-1-100");
}

/* The master is dead, the failover at its first step, and the followers stopped at these positions. */
static const struct plan_update *after_revoke(const char *const received[3])
{
    w->servers[DB1].alive = false;
    w->servers[DB1].down_at = w->now;
    for (int i = 0; i < 100 && world_cluster(w)->plan == 0; i++) world_tick(w);
    assert_int_not_equal(world_cluster(w)->plan, 0);
    for (uint8_t i = DB2; i <= DB4; i++) revoked(i, received[i - DB2]);
    return step_once();
}

static const struct fsm_cmd_plan_step *to_apply(const struct plan_update *u)
{
    assert_true(u->propose);
    assert_int_equal(u->command.kind, CMD_PLAN_STEP);
    assert_int_equal(u->command.u.plan_step.next, STEP_APPLY);
    return &u->command.u.plan_step;
}

/* A follower that proves nothing has transactions that no acker has: it is left behind, and none of them is adopted. */
static void test_a_follower_with_its_own_is_left_behind(void **state)
{
    (void)state;
    const struct fsm_cmd_plan_step *step =
        to_apply(after_revoke((const char *const[]){"0-1-100", "0-1-100,1-3-7", "0-1-101"}));

    assert_int_equal(step->to, DB2);
    assert_int_equal(step->holder, FSM_SERVER_NONE);
    assert_string_equal(step->target, "0-1-100");
    assert_int_equal(step->set_aside, FSM_BIT(DB3) | FSM_BIT(DB4));
    assert_int_equal(step->acker, FSM_SERVER_NONE);
}

/* What one follower has of all is fetched from it. */
static void test_the_union_is_fetched_from_who_has_it(void **state)
{
    (void)state;
    const struct fsm_cmd_plan_step *step =
        to_apply(after_revoke((const char *const[]){"0-1-100", "0-1-102", "0-1-101"}));

    assert_int_equal(step->to, DB2);
    assert_int_equal(step->holder, DB3);
    assert_string_equal(step->target, "0-1-102");
    assert_int_equal(step->set_aside, 0);
}

/* Two ackers contradict: nobody is promoted. */
static void test_ackers_that_contradict_end_the_plan(void **state)
{
    (void)state;
    struct fsm_reign *reign = &world_cluster(w)->reigns[0];

    reign->ackers = FSM_BIT(DB2) | FSM_BIT(DB3);
    reign->started_s[DB3] = 1;
    const struct plan_update *u = after_revoke((const char *const[]){"0-1-100,2-2-5", "0-1-100,3-3-5", "0-1-100"});
    assert_true(u->propose);
    assert_int_equal(u->command.kind, CMD_PLAN_END);
    assert_int_equal(u->command.u.plan_end.state, PLAN_STATE_FAILED);
    assert_non_null(strstr(u->command.u.plan_end.reason, "contradicts"));
}

/* --- what counts as seen --- */

static void test_old_or_empty_observations_tell_nothing(void **state)
{
    (void)state;
    const struct fsm_cluster *c = world_cluster(w);
    struct view_observation o = {.outcome = VIEW_OK, .facts = {.set = true}};

    assert_true(sight_ok(c, &o));
    o.age_ms = sight_fresh_ms(c);
    assert_true(sight_ok(c, &o));
    o.age_ms++;
    assert_false(sight_ok(c, &o));
    o.age_ms = -1; /* Never. */
    assert_false(sight_ok(c, &o));
    o.age_ms = 0;
    o.facts.set = false;
    assert_false(sight_ok(c, &o));
    o.facts.set = true;
    o.outcome = VIEW_NONE; /* Not tried: neither life nor death. */
    assert_false(sight_ok(c, &o) || sight_fails(c, &o));
    o.outcome = VIEW_REFUSED;
    assert_true(sight_fails(c, &o) && !sight_ok(c, &o));
    o.age_ms = sight_fresh_ms(c) + 1;
    assert_false(sight_fails(c, &o));
    o.age_ms = -1;
    assert_false(sight_fails(c, &o));
    o.age_ms = 0;
    o.outcome = VIEW_TOO_MANY; /* An alarm, not death. */
    assert_false(sight_ok(c, &o) || sight_fails(c, &o));
}

static void test_a_failure_counts_while_it_is_young_and_heard_of(void **state)
{
    (void)state;
    const struct fsm_cluster *c = world_cluster(w);
    struct view_observation *o = &w->view->managers[2].servers[DB2];

    assert_false(sight_failed_within(c, w->view, DB2, 250));
    *o = (struct view_observation){.outcome = VIEW_REFUSED, .age_ms = 250};
    assert_true(sight_failed_within(c, w->view, DB2, 250));
    o->age_ms = 251;
    assert_false(sight_failed_within(c, w->view, DB2, 250));
    o->age_ms = 0;
    w->view->managers[2].heard = false;
    assert_false(sight_failed_within(c, w->view, DB2, 250));
    w->view->managers[2].heard = true;
}

/* Another server at the address of one that was enrolled is not reached, whatever it answers. */
static void test_only_the_enrolled_are_reached(void **state)
{
    (void)state;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct plan_input in;
    struct work x = work_of(&in, outcomes);

    assert_true(fsm_set_has(choose_reached(&x), DB2));
    (void)TEXT_COPY(facts(DB2)->identity, "another");
    assert_false(fsm_set_has(choose_reached(&x), DB2));
    world_look(w);
    w->view->managers[w->view->self].servers[DB2].outcome = VIEW_TIMED_OUT;
    assert_false(fsm_set_has(choose_reached(&x), DB2));
}

/* --- addresses --- */

static void test_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "db1", "db1:", "db1:0", "db1:65536", "db1:x", ":3306", "[]:3306"};
    char host[FSM_ADDRESS_SIZE], longest[2 * FSM_ADDRESS_SIZE];
    uint16_t port;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (sight_address(bad[i], host, &port)) fail_msg("\"%s\" is taken for %s:%u", bad[i], host, port);
        assert_int_equal(port, 0);
    }
    memset(longest, 'x', sizeof(longest));
    memcpy(longest + FSM_ADDRESS_SIZE, ":1", 3);
    assert_false(sight_address(longest, host, &port));
    assert_true(sight_address("[::1]:3306", host, &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 3306);
}

int main(void)
{
#define T(setup, name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(declared, test_what_keeps_a_backup_from_being_enrolled),
        T(declared, test_what_keeps_commits_from_waiting),
        T(declared, test_what_keeps_a_master_from_being_enrolled),
        T(enrolled, test_what_keeps_a_server_from_being_promoted),
        T(enrolled, test_what_keeps_a_server_from_acknowledging),
        T(enrolled, test_a_shrinks_when_the_rest_has_caught_up),
        T(enrolled, test_a_proof_needs_all_of_it),
        T(enrolled, test_a_follower_with_its_own_is_left_behind),
        T(enrolled, test_the_union_is_fetched_from_who_has_it),
        T(enrolled, test_ackers_that_contradict_end_the_plan),
        T(enrolled, test_old_or_empty_observations_tell_nothing),
        T(enrolled, test_a_failure_counts_while_it_is_young_and_heard_of),
        T(enrolled, test_only_the_enrolled_are_reached),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
