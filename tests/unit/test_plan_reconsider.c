/* Is a failover that has touched nothing still wanted? (S6, plan/reconsider.c), condition by condition.
 *
 * "shop" of handmade.h: plan 117 is to replace db1, and has come to its commit; all is well meanwhile: three managers
 * read db1, open, and its acker db2 receives from it. Each test takes away one thing of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/work.h"
#include "tests/unit/handmade.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };
enum { YOUNG_MS = 200, LATE_MS = 6000, OLD_PLAN = 60 }; /* How long the step is driven; handmade.h reads 10 ms ago. */

static struct handmade *h;
static struct fsm_cluster *cluster;
static struct fsm_plan *plan;
static struct plan_update update;
static enum diagnosis_row row;
static int64_t step_ms;

static int setup(void **state)
{
    (void)state;
    h = handmade_new();
    cluster = &h->state.clusters[0];
    plan = handmade_plan(h, PLAN_STATE_RUNNING, STEP_REVOKE);
    row = DIAGNOSIS_OK;
    step_ms = YOUNG_MS;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(h);
    return 0;
}

enum what { GOES_ON, WAITS, ENDS_UNNEEDED, ENDS_UNDECIDED };

static enum what decide(void)
{
    struct plan_input in = {.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .step_ms = step_ms,
                            .may_act = true, .wall = {HANDMADE_TIME + step_ms * 1000}};
    struct work w = {.in = &in, .cluster = cluster, .plan = plan, .update = &update};
    memset(&update, 0, sizeof(update));
    update.diagnosis.row = row;
    if (!failover_reconsider(&w)) return GOES_ON;
    assert_int_equal(update.verbs_n, 0);
    if (!update.propose) return WAITS;
    assert_int_equal(update.command.kind, CMD_PLAN_END);
    return strstr(update.command.u.plan_end.reason, "works again") != NULL ? ENDS_UNNEEDED : ENDS_UNDECIDED;
}

static struct view_observation *read_by(uint8_t manager, uint8_t server)
{
    return &h->view.managers[manager].servers[server];
}

/* Only manager 0 reads the master. */
static void others_lose_the_master(void)
{
    for (uint8_t m = 1; m < 3; m++) read_by(m, DB1)->outcome = VIEW_TIMED_OUT;
}

static void a_master_that_works_again_stays(void **state)
{
    (void)state;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    read_by(1, DB1)->outcome = VIEW_TIMED_OUT; /* Two of three. */
    assert_int_equal(decide(), ENDS_UNNEEDED);
    read_by(2, DB1)->facts.read_only = true;
    assert_int_equal(decide(), WAITS);
    read_by(2, DB1)->facts.read_only = false;
    h->view.managers[2].heard = false;
    assert_int_equal(decide(), WAITS);
    h->view.managers[2].heard = true;
    plan->by_operator = true; /* He knows why. */
    assert_int_equal(decide(), GOES_ON);
}

/* What was read before this leader drove the step, of another server, or before a verb ended, tells nothing. */
static void only_young_readings_count(void **state)
{
    struct verb_outcome *asked = &h->outcomes[DB1];
    (void)state;
    for (uint8_t m = 0; m < 3; m++) {
        for (uint8_t i = 0; i < cluster->servers_n; i++) read_by(m, i)->took_ms = 99; /* Answered 10 ms ago. */
    }
    step_ms = 109;
    assert_int_equal(decide(), WAITS);
    step_ms = 110;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    HANDMADE_FACTS(h, DB2, f->identity[0] = 'x');
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB2, TEXT_COPY(f->identity, cluster->servers[DB2].identity));
    *asked = (struct verb_outcome){.kind = VERB_CLOSE, .token = 117, .state = VERB_STATE_RUNNING, .age_ms = 150};
    assert_int_equal(decide(), WAITS);
    asked->state = VERB_STATE_FAILED;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    asked->age_ms = 109;
    assert_int_equal(decide(), WAITS);
    asked->token = OLD_PLAN; /* Of an earlier plan. */
    assert_int_equal(decide(), ENDS_UNNEEDED);
    asked->state = VERB_STATE_RUNNING;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    *asked = (struct verb_outcome){.token = 117, .state = VERB_STATE_RUNNING}; /* None. */
    assert_int_equal(decide(), ENDS_UNNEEDED);
}

static void its_acker_must_receive_and_acknowledge(void **state)
{
    (void)state;
    HANDMADE_FACTS(h, DB2, f->channels[0].io = VIEW_IO_CONNECTING);
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB2, (f->channels[0].io = VIEW_IO_YES, f->replica_enabled = false));
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB2, (f->replica_enabled = true, f->replica_on = false));
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB2, (f->replica_on = true, f->channels[0].source_server_id = 13));
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB3, f->replica_enabled = f->replica_on = true); /* No acker of the reign. */
    assert_int_equal(decide(), WAITS);
    HANDMADE_FACTS(h, DB2, f->channels[0].source_server_id = 11);
    assert_int_equal(decide(), ENDS_UNNEEDED);
}

/* Once a verb had an effect only going on is safe: what was revoked only a new reign mends. */
static void a_plan_that_has_touched_a_server_goes_on(void **state)
{
    struct verb_outcome *o = &h->outcomes[DB3];
    (void)state;
    *o = (struct verb_outcome){.kind = VERB_REVOKE, .token = 117, .state = VERB_STATE_DONE, .age_ms = 150};
    assert_int_equal(decide(), GOES_ON);
    o->token = OLD_PLAN;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    o->token = 117;
    o->state = VERB_STATE_FAILED;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    *o = (struct verb_outcome){.token = 117, .state = VERB_STATE_DONE};
    assert_int_equal(decide(), ENDS_UNNEEDED);
    read_by(2, DB4)->facts.token = 117; /* Of an earlier leader: it is stored there. */
    assert_int_equal(decide(), GOES_ON);
    read_by(2, DB4)->facts.set = false;
    assert_int_equal(decide(), ENDS_UNNEEDED);
}

static void a_verdict_that_still_acts_is_acted_on(void **state)
{
    (void)state;
    row = DIAGNOSIS_SILENT;
    assert_int_equal(decide(), GOES_ON);
    row = DIAGNOSIS_GONE;
    assert_int_equal(decide(), GOES_ON);
    for (uint8_t m = 0; m < 3; m++) read_by(m, DB2)->age_ms = 300; /* Its ackers may hear it: not read lately. */
    step_ms = 1000;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    row = DIAGNOSIS_RESTARTED;
    assert_int_equal(decide(), GOES_ON);
    row = DIAGNOSIS_CLOSED;
    assert_int_equal(decide(), GOES_ON);
    row = DIAGNOSIS_BLOCKED;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    HANDMADE_FACTS(h, DB1, TEXT_COPY(f->identity, "another one")); /* Its clients do not reach it. */
    assert_int_equal(decide(), GOES_ON);
}

/* A candidate of an earlier plan may be open: the failover goes on with it. */
static void an_open_successor_is_gone_on_with(void **state)
{
    (void)state;
    cluster->reigns[cluster->reigns_n++] = (struct fsm_reign){
        .epoch = 2, .master = DB3, .k = 1, .ackers = FSM_BIT(DB4), .lossless = true, .opened = true};
    plan->epoch = 3;
    HANDMADE_FACTS(h, DB3, f->read_only = false);
    assert_int_equal(decide(), GOES_ON);
    cluster->reigns[1].opened = false;
    assert_int_equal(decide(), ENDS_UNNEEDED);
}

/* To pause keeps plans from being begun, not from being carried on. */
static void a_pause_is_no_verdict(void **state)
{
    (void)state;
    row = DIAGNOSIS_PAUSED;
    cluster->paused = true;
    assert_int_equal(decide(), ENDS_UNNEEDED);
    HANDMADE_FACTS(h, DB1, (f->read_only = true, f->started_s++));
    assert_int_equal(decide(), GOES_ON);
}

/* --- when it cannot be told --- */

static void nothing_is_ended_undecided_at_once(void **state)
{
    (void)state;
    others_lose_the_master();
    assert_int_equal(decide(), WAITS);
    step_ms = LATE_MS;
    assert_int_equal(decide(), ENDS_UNDECIDED);
}

/* The acker's token: something was done there since the reign began, other than to let it follow again. */
static void an_acker_that_may_be_revoked_makes_the_plan_go_on(void **state)
{
    struct fsm_plan *follow = &h->state.plans[1];
    (void)state;
    others_lose_the_master();
    read_by(0, DB1)->facts.source_clients = 0;
    step_ms = LATE_MS;
    assert_int_equal(decide(), ENDS_UNDECIDED);
    HANDMADE_FACTS(h, DB2, f->token = OLD_PLAN);
    assert_int_equal(decide(), GOES_ON);
    *follow = (struct fsm_plan){.token = OLD_PLAN, .kind = PLAN_FOLLOW, .state = PLAN_STATE_FINISHED, .epoch = 1};
    assert_int_equal(decide(), ENDS_UNDECIDED);
    follow->kind = PLAN_FAILOVER;
    assert_int_equal(decide(), GOES_ON);
    follow->kind = PLAN_FOLLOW;
    follow->state = PLAN_STATE_FAILED;
    assert_int_equal(decide(), GOES_ON);
    follow->state = PLAN_STATE_FINISHED;
    follow->cluster = 1;
    assert_int_equal(decide(), GOES_ON);
    follow->cluster = 0;
    follow->epoch = 7;
    assert_int_equal(decide(), GOES_ON);
    follow->epoch = 1;
    cluster->reigns[0].ackers |= FSM_BIT(DB3); /* Both of them have to be as they were. */
    cluster->reigns[0].k = 2;
    assert_int_equal(decide(), ENDS_UNDECIDED);
    HANDMADE_FACTS(h, DB3, f->token = 61);
    assert_int_equal(decide(), GOES_ON);
}

/* The master's own word: enough ackers are attached and no commit waits, or it waits for nobody. */
static void a_master_that_serves_its_clients_stays(void **state)
{
    struct view_facts *own = &read_by(0, DB1)->facts;
    (void)state;
    others_lose_the_master();
    HANDMADE_FACTS(h, DB2, f->token = OLD_PLAN);
    step_ms = LATE_MS;
    assert_int_equal(decide(), ENDS_UNDECIDED);
    own->wait_sessions = 1;
    assert_int_equal(decide(), GOES_ON);
    own->source_on = false; /* Somebody switched it off. */
    assert_int_equal(decide(), ENDS_UNDECIDED);
    own->read_only = true;
    assert_int_equal(decide(), GOES_ON);
    own->read_only = false;
    own->source_on = true;
    own->wait_sessions = 0;
    own->source_clients = 0;
    assert_int_equal(decide(), GOES_ON);
}

/* Some commit waits at every moment on a busy master: that it goes on tells the count of those acknowledged. */
static void a_busy_master_stays_when_commits_flow(void **state)
{
    struct view_facts *own = &read_by(0, DB1)->facts, *other = &read_by(1, DB1)->facts;
    (void)state;
    others_lose_the_master();
    HANDMADE_FACTS(h, DB2, f->token = OLD_PLAN; f->replica_on = false);
    step_ms = LATE_MS;
    own->wait_sessions = 1;
    own->acked_ms = LATE_MS;
    assert_int_equal(decide(), ENDS_UNDECIDED);
    own->acked_ms = LATE_MS + 1; /* Perhaps before its acker was revoked. */
    assert_int_equal(decide(), GOES_ON);
    own->acked_ms = LATE_MS;
    own->source_clients = 0;
    assert_int_equal(decide(), GOES_ON);
    own->source_clients = 1;
    own->acked_ms = -1; /* This leader has not seen the count move; another manager that reads it now has. */
    other->acked_ms = 100;
    assert_int_equal(decide(), GOES_ON);
    read_by(1, DB1)->outcome = VIEW_OK;
    assert_int_equal(decide(), ENDS_UNDECIDED);
    h->view.managers[1].heard = false;
    assert_int_equal(decide(), GOES_ON);
}

/* REVOKE would prove nothing, and stop others of a master that may work. */
static void nobody_is_revoked_while_nobody_is_seen_who_could_prove_it(void **state)
{
    (void)state;
    handmade_fails(h, DB1, VIEW_TIMED_OUT);
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    step_ms = LATE_MS;
    assert_int_equal(decide(), WAITS);
    step_ms = WORK_GIVE_UP_MS;
    assert_int_equal(decide(), GOES_ON);
    step_ms = LATE_MS;
    cluster->reigns[0].ackers |= FSM_BIT(DB3); /* One of two is not enough when either may have acknowledged. */
    HANDMADE_FACTS(h, DB3, f->token = OLD_PLAN);
    assert_int_equal(decide(), WAITS);
    cluster->reigns[0].k = 2;
    assert_int_equal(decide(), GOES_ON);
    cluster->reigns[0].k = 3; /* Nobody can have acknowledged so: they prove nothing. */
    assert_int_equal(decide(), WAITS);
    cluster->reigns[0].k = 1;
    cluster->reigns[0].ackers = FSM_BIT(DB2);
    read_by(1, DB1)->outcome = VIEW_OK; /* The master may be closed. */
    read_by(1, DB1)->facts.read_only = true;
    assert_int_equal(decide(), GOES_ON);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_master_that_works_again_stays),
        TEST(only_young_readings_count),
        TEST(its_acker_must_receive_and_acknowledge),
        TEST(a_plan_that_has_touched_a_server_goes_on),
        TEST(a_verdict_that_still_acts_is_acted_on),
        TEST(an_open_successor_is_gone_on_with),
        TEST(a_pause_is_no_verdict),
        TEST(nothing_is_ended_undecided_at_once),
        TEST(an_acker_that_may_be_revoked_makes_the_plan_go_on),
        TEST(a_master_that_serves_its_clients_stays),
        TEST(a_busy_master_stays_when_commits_flow),
        TEST(nobody_is_revoked_while_nobody_is_seen_who_could_prove_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
