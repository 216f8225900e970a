/* The leader driver: who may act, when, and one thing at a time (manager/driver.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "manager/driver.h"
#include "probe_answer.h"

static struct fake *f;
static struct observe *o;
static struct execute *x;
static struct driver *d;

static void changed(void *arg, uint8_t cluster)
{
    (void)arg;
    if (d) driver_poke(d, cluster);
}

static int setup(void **state)
{
    (void)state;
    f = fake_new();
    o = observe_new(&f->ports, changed, NULL);
    x = execute_new(&f->ports, changed, NULL);
    d = driver_new(&f->ports, o, x);
    f->established = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    driver_free(d);
    d = NULL;
    execute_free(x);
    observe_free(o);
    fake_free(f);
    return 0;
}

static void round_of(int64_t ms)
{
    fake_pass(f, ms);
    observe_run(o);
    driver_run(d);
    execute_run(x);
}

static struct view_facts follower_facts(bool hears)
{
    struct view_facts v = {.set = true, .supported = true, .read_only = true, .binlog_on = true, .gtid_strict = true,
                           .log_replica_updates = true, .durable = true, .relay_durable = true, .channels_n = 1};
    TEXT_COPY(v.version, "10.11.19-MariaDB");
    TEXT_COPY(v.executed, "0-1-100");
    TEXT_COPY(v.binlog, "0-1-100");
    v.token = 5;
    v.fence_epoch = 1;
    v.started_s = FAKE_STARTED_S;
    struct view_channel *c = &v.channels[0];
    TEXT_COPY(c->source_host, "127.0.0.1");
    c->source_port = 3301;
    c->source_server_id = 1;
    c->io = hears ? VIEW_IO_YES : VIEW_IO_CONNECTING;
    c->applier = true;
    c->gtid = true;
    c->io_errno = hears ? 0 : 2003;
    c->idle_ms = hears ? 10 : 40;
    TEXT_COPY(c->received, "0-1-100");
    return v;
}

static void tell(uint64_t manager, bool dead)
{
    static struct proto_observation t;
    memset(&t, 0, sizeof t);
    t.manager_id = manager;
    TEXT_COPY(t.cluster, "shop");
    t.declaration = f->state->clusters[0].version;
    t.servers_n = 3;
    for (unsigned i = 0; i < 3; i++) {
        struct view_observation *v = &t.servers[i];
        TEXT_COPY(t.names[i], f->state->clusters[0].servers[i].name);
        *v = (struct view_observation){.outcome = VIEW_OK, .age_ms = 1, .ok_age_ms = 1, .alive_age_ms = 1,
                                       .took_ms = 1};
        v->facts = follower_facts(!dead);
        TEXT_COPY(v->facts.identity, f->state->clusters[0].servers[i].identity);
        v->facts.server_id = i + 1;
        v->facts.replica_enabled = v->facts.replica_on = i == 1;
    }
    struct view_observation *master = &t.servers[0];
    master->facts.channels_n = 0;
    master->facts.read_only = false;
    master->facts.source_enabled = master->facts.source_on = true;
    master->facts.source_clients = 1;
    if (dead) {
        master->outcome = VIEW_REFUSED;
        master->ok_age_ms = master->alive_age_ms = 60;
        master->refused_n = 3;
        master->refused_span_ms = 41;
        master->failing_ms = 50;
    }
    observe_receive(o, &t);
}

/* Answers this manager's own outstanding probes: the followers read well, the master is refused when 'dead'. */
static void answer_probes(bool dead)
{
    for (uint8_t i = 0; i < 3; i++) {
        struct answer_server a = answer_replica();
        struct db_result result;
        char id[8], identity[32];
        snprintf(id, sizeof id, "%d", i + 1);
        snprintf(identity, sizeof identity, "identity-%d", i);
        a.server_id = id;
        a.identity = identity;
        a.channels[0].host = "127.0.0.1";
        a.channels[0].port = "3301";
        a.channels[0].io = dead ? "Connecting" : "Yes";
        if (i == 0) {
            a.channels_n = 0;
            a.read_only = "0";
            a.source_enabled = "1";
            a.source_on = "ON";
            a.clients = "1";
        }
        answer_make(&a, &result);
        (void)fake_fail(f, i, PORT_PROBE, i == 0 && dead ? FAKE_REFUSED : result);
    }
}

/* Two of three managers saw the process gone; this one began to see it. */
static void tell_death(void)
{
    tell(2, true);
    tell(3, true);
    answer_probes(true);
}

static void a_majority_that_saw_the_death_begins_a_failover(void **state)
{
    (void)state;
    round_of(1);
    assert_int_equal(f->proposals_n, 0);
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 1);
    assert_int_equal(f->proposal.kind, CMD_PLAN_BEGIN);
    assert_int_equal(f->proposal.u.plan_begin.kind, PLAN_FAILOVER);
    assert_int_equal(f->proposal.u.plan_begin.to, 1);
    assert_int_not_equal(f->proposal.id.client, 0);
    assert_int_equal(f->proposal.time.us, f->wall.us);
}

static void nothing_else_happens_while_a_proposal_is_in_flight(void **state)
{
    (void)state;
    round_of(1);
    tell_death();
    round_of(1);
    for (int i = 0; i < 10; i++) {
        tell_death();
        round_of(20);
    }
    assert_int_equal(f->proposals_n, 1); /* fake_propose() would have failed too. */
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 0);
    uint64_t seq = f->proposal.id.seq;
    f->proposal_open = false;
    f->proposal_done(f->proposal_arg, -EIO, &(struct fsm_result){0});
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 2); /* Unknown: decided anew, under a new id. */
    assert_true(f->proposal.id.seq > seq);
}

/* A leader with a full disk would do nothing else. */
static void a_refused_proposal_is_not_repeated_at_once(void **state)
{
    (void)state;
    round_of(1);
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 1);
    f->proposal_open = false;
    f->proposal_done(f->proposal_arg, -ENOSPC, &(struct fsm_result){0});
    for (int i = 0; i < 15; i++) round_of(1);
    assert_int_equal(f->proposals_n, 1);
    tell_death();
    for (int i = 0; i < 10; i++) round_of(1);
    assert_int_equal(f->proposals_n, 2);
}

/* The group refused what this leader proposed. Its own state, and every other cluster's commands, wake it: without a
 * pause it would fill the log with the same command. */
static void what_the_group_refuses_is_proposed_again_after_a_pause(void **state)
{
    (void)state;
    round_of(1);
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 1);
    f->proposal_open = false;
    f->proposal_done(f->proposal_arg, 0, &(struct fsm_result){.code = FSM_UNSAFE});
    for (int i = 0; i < 15; i++) {
        driver_poke_all(d);
        round_of(1);
    }
    assert_int_equal(f->proposals_n, 1);
    tell_death();
    for (int i = 0; i < 10; i++) round_of(1);
    assert_int_equal(f->proposals_n, 2);
}

static void one_manager_alone_moves_nothing(void **state)
{
    (void)state;
    round_of(1);
    for (int i = 0; i < 100; i++) {
        tell(2, true);
        tell(3, false);
        answer_probes(false);
        round_of(20);
        if (f->proposal_open) assert_int_equal(f->proposal.kind, CMD_EVENT);
    }
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 0);
}

static void a_follower_of_raft_does_nothing(void **state)
{
    (void)state;
    f->established = false;
    round_of(1);
    for (int i = 0; i < 100; i++) {
        tell_death();
        round_of(20);
    }
    assert_int_equal(f->proposals_n, 0);
    assert_null(driver_update(d, 0));
    for (uint8_t i = 0; i < 3; i++) assert_int_equal(fake_sent(f, i, PORT_CONTROL), 0);
}

static void a_round_after_a_pause_does_not_act(void **state)
{
    (void)state;
    round_of(1);
    fake_pass(f, 1500);
    tell_death();
    driver_run(d);
    assert_int_equal(f->proposals_n, 0);
    round_of(20); /* Asked anew: the answers of before the pause are no proof. */
    tell_death();
    round_of(250);
    assert_int_equal(f->proposals_n, 1);
}

static void a_round_after_a_clock_jump_does_not_act(void **state)
{
    (void)state;
    round_of(1);
    f->wall.us -= 3600 * 1000000LL;
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 0);
    round_of(20); /* The next probe: what the acker said must be young. */
    tell_death();
    round_of(230);
    assert_int_equal(f->proposals_n, 1);
}

/* As a host that was suspended and goes on: its monotonic clock may have stood still. */
static void a_round_after_a_clock_jump_ahead_does_not_act(void **state)
{
    (void)state;
    round_of(1);
    f->wall.us += 3600 * 1000000LL;
    tell_death();
    round_of(1);
    assert_int_equal(f->proposals_n, 0);
}

/* Applies what was proposed, as the group would. */
static void commit(void)
{
    struct fsm_result result;
    assert_true(f->proposal_open);
    fsm_apply(f->state, f->state->index + 1, &f->proposal, &result);
    assert_int_equal(result.code, FSM_OK);
    f->proposal_open = false;
    f->proposal_done(f->proposal_arg, 0, &result);
}

static void verbs_follow_the_committed_intent_only(void **state)
{
    (void)state;
    round_of(1);
    tell_death();
    round_of(1);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 0); /* Proposed is not committed. */
    commit();
    tell_death();
    round_of(1);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 1);
    assert_int_equal(execute_outcomes(x, 0)[1].kind, VERB_REVOKE);
    assert_int_equal(execute_outcomes(x, 0)[1].token, f->state->clusters[0].plan);
}

static void a_deposed_leader_stops(void **state)
{
    (void)state;
    verbs_follow_the_committed_intent_only(NULL);
    f->established = false;
    round_of(1);
    assert_true(f->drops_n >= 1);
    for (uint8_t i = 0; i < 3; i++) assert_int_equal(execute_outcomes(x, 0)[i].state, VERB_STATE_IDLE);
    unsigned sent = f->requests_n;
    tell_death();
    driver_run(d);
    execute_run(x);
    assert_int_equal(f->requests_n, sent);
}

static void another_term_begins_from_the_replicated_state(void **state)
{
    (void)state;
    verbs_follow_the_committed_intent_only(NULL);
    f->term = 2; /* Deposed and elected again between two rounds. */
    round_of(1);
    assert_true(f->drops_n >= 1);
    fake_fail(f, 1, PORT_CONTROL, (struct db_result){.status = DB_CANCELED, .session_lost = true});
    tell_death();
    round_of(20);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 2); /* Asked for again, from the plan alone. */
}

/* `regent explain` asked this manager about the plan long before it came to lead: the step's time begins then. */
static void a_step_is_timed_from_the_beginning_of_the_lead(void **state)
{
    static struct plan_input input;
    (void)state;
    round_of(1);
    tell_death();
    round_of(1);
    commit(); /* Of a leader elsewhere, as far as this test goes. */
    f->established = false;
    round_of(1);
    assert_true(driver_input(d, 0, &input));
    for (int i = 0; i < 60; i++) round_of(250);
    f->established = true;
    tell_death();
    round_of(200); /* Asked anew after 15 s in which nobody answered. */
    tell_death();
    round_of(50);
    if (f->proposal_open) assert_int_not_equal(f->proposal.kind, CMD_PLAN_END);
    assert_true(driver_input(d, 0, &input));
    assert_in_range(input.step_ms, 0, 250);
    assert_int_equal(fake_sent(f, 1, PORT_CONTROL), 1);
}

/* Patience is of one step of one plan, and it ends: a time that began anew in every round would never be up. */
static void a_step_grows_old_and_the_next_one_begins_anew(void **state)
{
    static struct plan_input input;
    struct fsm_plan *plan;
    (void)state;
    verbs_follow_the_committed_intent_only(NULL);
    plan = &f->state->plans[0];
    assert_int_equal(plan->token, f->state->clusters[0].plan);
    f->established = false; /* Asked about by somebody who does not act: nothing else moves. */
    driver_run(d);
    for (int i = 0; i < 8; i++) {
        fake_pass(f, 250);
        assert_true(driver_input(d, 0, &input));
    }
    assert_in_range(input.step_ms, 2000, 2100);
    plan->step = STEP_APPLY;
    assert_true(driver_input(d, 0, &input));
    assert_int_equal(input.step_ms, 0);
    fake_pass(f, 250);
    assert_true(driver_input(d, 0, &input));
    assert_int_equal(input.step_ms, 250);
    f->state->clusters[0].plan = plan->token = plan->token + 7; /* Another plan, at the same step. */
    assert_true(driver_input(d, 0, &input));
    assert_int_equal(input.step_ms, 0);
}

static void a_verdict_without_a_plan_is_told_once(void **state)
{
    (void)state;
    round_of(1);
    unsigned told = 0;
    for (int i = 0; i < 300; i++) {
        tell(2, true); /* And the third is not heard: fewer than a majority see it fail. */
        round_of(20);
        if (!f->proposal_open) continue;
        assert_string_equal(f->proposal.u.event.kind, "verdict");
        told++;
        commit();
    }
    assert_in_range(told, 1, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_majority_that_saw_the_death_begins_a_failover),
        T(nothing_else_happens_while_a_proposal_is_in_flight),
        T(a_refused_proposal_is_not_repeated_at_once),
        T(what_the_group_refuses_is_proposed_again_after_a_pause),
        T(one_manager_alone_moves_nothing),
        T(a_follower_of_raft_does_nothing),
        T(a_round_after_a_pause_does_not_act),
        T(a_round_after_a_clock_jump_does_not_act),
        T(a_round_after_a_clock_jump_ahead_does_not_act),
        T(verbs_follow_the_committed_intent_only),
        T(a_deposed_leader_stops),
        T(another_term_begins_from_the_replicated_state),
        T(a_step_is_timed_from_the_beginning_of_the_lead),
        T(a_step_grows_old_and_the_next_one_begins_anew),
        T(a_verdict_without_a_plan_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
