/* A master that was restarted and goes on itself (plan/reopen.c): when nobody else can, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_world.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct world *w;

static void begin(uint8_t servers_n, enum fsm_durability durability)
{
    w = world_begin(servers_n, durability);
}

static int teardown(void **state)
{
    (void)state;
    return world_end_clean(w);
}

static void restart_and_forget(uint8_t server)
{
    world_restart_and_forget(&w->servers[server]);
}

static void assert_master(uint8_t server)
{
    const struct fsm_cluster *c = world_cluster(w);
    assert_int_equal(c->plan, 0);
    assert_int_equal(c->master, server);
    assert_false(w->servers[server].read_only);
    for (uint8_t i = 0; i < w->servers_n; i++)
        if (i != server && w->servers[i].alive) assert_true(w->servers[i].read_only);
}

/* A lossless cluster of two: nobody could acknowledge for the backup. */
static void test_one_of_two_goes_on(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    uint64_t epoch = world_cluster(w)->epoch;
    world_restart(&w->servers[DB1]);
    world_run(w, 3000);
    assert_master(DB1);
    assert_true(world_cluster(w)->epoch > epoch);
    assert_int_equal(world_cluster(w)->servers[DB1].state, SERVER_MEMBER);
    assert_int_equal(w->servers[DB2].source, DB1);
    assert_true(w->servers[DB2].replica_flag);
    const struct fsm_reign *reign = fsm_reign_current(world_cluster(w));
    assert_true(reign->lossless);
    assert_int_equal(reign->ackers, FSM_BIT(DB2));
}

/* All restart together, a site without power: who had received what is forgotten, and the master has it all. */
static void test_all_restart(void **state)
{
    (void)state;
    begin(4, DURABILITY_LOSSLESS);
    for (uint8_t i = DB1; i <= DB4; i++) restart_and_forget(i);
    w->servers[DB1].has_forgotten = false; /* It receives nothing. */
    world_run(w, 8000);
    assert_master(DB1);
    assert_true(fsm_reign_current(world_cluster(w))->lossless);
    assert_int_equal(w->servers[DB3].source, DB1);
    assert_true(w->servers[DB3].receiving);
}

/* Master and backup restart together, and the third cannot be promoted either. */
static void test_after_a_failover_that_failed(void **state)
{
    (void)state;
    begin(3, DURABILITY_LOSSLESS);
    w->servers[DB3].never_attaches = true;
    restart_and_forget(DB2);
    world_restart(&w->servers[DB1]);
    w->servers[DB3].login_refused = true;
    world_run(w, 40000);
    assert_master(DB1);
}

/* Somebody else can be promoted: faster, and not on the host that has just failed. */
static void test_another_one_is_promoted(void **state)
{
    (void)state;
    begin(3, DURABILITY_LOSSLESS);
    world_restart(&w->servers[DB1]);
    world_run(w, 8000);
    assert_master(DB2);
    assert_int_equal(world_cluster(w)->servers[DB1].state, SERVER_QUARANTINED);
}

/* Its acker has what it lost in its crash: it must not be opened. */
static void test_not_behind_its_acker(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    world_restart(&w->servers[DB1]);
    w->servers[DB1].executed -= 3;
    world_run(w, 60000);
    assert_true(w->servers[DB1].read_only);
    assert_true(w->servers[DB2].read_only);
}

static void test_not_without_durable_settings(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    w->servers[DB1].not_durable = true;
    world_restart(&w->servers[DB1]);
    world_run(w, 10000);
    assert_true(w->servers[DB1].read_only);
    assert_int_equal(world_cluster(w)->plan, 0);
}

/* It is closed first, by a verb under the plan's token: a client may have come in since it was read (F2). */
static void test_not_before_it_is_closed(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    world_restart(&w->servers[DB1]);
    w->servers[DB1].never_closes = true;
    world_run(w, 5000);
    const struct fsm_plan *plan = fsm_plan_find(w->state, world_cluster(w)->plan);
    assert_non_null(plan);
    assert_int_equal(plan->step, STEP_REVOKE);
    w->servers[DB1].never_closes = false;
    world_run(w, 5000);
    assert_master(DB1);
}

/* Its acker dies meanwhile: nobody writes to a lossless cluster that nobody acknowledges for. */
static void test_not_without_an_acker(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    w->servers[DB2].alive = false;
    w->servers[DB2].down_at = w->now;
    world_restart(&w->servers[DB1]);
    world_run(w, 20000);
    assert_true(w->servers[DB1].read_only);
    w->servers[DB2].alive = true;
    world_run(w, 20000);
    assert_master(DB1);
}

/* --- clocks --- */

/* The leader before had a clock that was ahead: its last plan seems to end in the future. That is not waited for. */
static void test_clock_of_another_leader(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) w->state->plans[i].ended.us += 50 * INT64_C(1000000);
    world_lead(w, 1);
    world_restart(&w->servers[DB1]);
    world_run(w, 6000);
    assert_master(DB1);
}

/* --- a candidate that is restarted after it was promoted --- */

/* Its files leave semi-sync off, and PROMOTE is done: at ESTABLISH and OPEN it could never be attached to (L1). */
static void candidate_restarts_at(enum fsm_step step)
{
    begin(4, DURABILITY_LOSSLESS);
    w->servers[DB1].alive = false;
    w->servers[DB1].down_at = w->now;
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = step == STEP_ESTABLISH;
    const struct fsm_plan *plan = NULL;
    for (int i = 0; i < 1000 && (plan == NULL || plan->step != step); i++) {
        world_tick(w);
        plan = fsm_plan_find(w->state, world_cluster(w)->plan);
    }
    assert_non_null(plan);
    assert_int_equal(plan->step, step);
    uint8_t to = plan->to;
    world_restart(&w->servers[to]);
    w->servers[DB3].never_attaches = w->servers[DB4].never_attaches = false;
    world_run(w, 15000);
    assert_int_equal(world_cluster(w)->plan, 0);
    assert_false(w->servers[world_cluster(w)->master].read_only);
}

static void test_candidate_restarts_at_establish(void **state)
{
    (void)state;
    candidate_restarts_at(STEP_ESTABLISH);
}

static void test_candidate_restarts_at_open(void **state)
{
    (void)state;
    candidate_restarts_at(STEP_OPEN);
}

/* It followed, and nobody else can: its restart must not end in waiting for it for ever. */
static void test_only_acker_restarts_after_it_followed(void **state)
{
    (void)state;
    begin(3, DURABILITY_LOSSLESS);
    w->servers[DB1].alive = false;
    w->servers[DB1].down_at = w->now;
    const struct verb_outcome *o = &w->verbs[DB3].outcome;
    for (int i = 0; i < 1000 && (o->kind != VERB_FOLLOW || o->state != VERB_STATE_DONE); i++) world_tick(w);
    assert_int_equal(o->kind, VERB_FOLLOW);
    assert_int_equal(o->step, STEP_ESTABLISH);
    restart_and_forget(DB3);
    world_run(w, 15000);
    assert_master(DB2);
    assert_true(fsm_reign_current(world_cluster(w))->lossless);
}

/* The reign of db2, and what only 'ackers' of it had received, was given up by an operator; db1 is master since. */
static void give_up_reign_of_db2(fsm_set ackers)
{
    struct fsm_cluster *c = world_cluster(w);
    c->epoch = c->epoch_used = c->reigns[0].epoch = 2;
    c->reigns[c->reigns_n++] = (struct fsm_reign){
        .epoch = 1, .master = DB2, .k = 1, .ackers = ackers, .opened = true, .unfenced = true};
}

/* It was an acker of db2, whose reign an operator gave up. That it is closed and receives nothing revokes it (A8): else
 * the fsm refuses it as master, again and again. */
static void test_an_acker_of_a_reign_that_was_given_up_goes_on(void **state)
{
    (void)state;
    begin(2, DURABILITY_LOSSLESS);
    give_up_reign_of_db2(FSM_BIT(DB1));
    world_restart(&w->servers[DB1]);
    world_run(w, 3000);
    assert_master(DB1);
    assert_true(world_cluster(w)->epoch > 2);
}

/* db3 was quarantined, and its reign's loss accepted: what it alone has was given up, so it hinders nobody. */
static void test_what_was_given_up_does_not_count(void **state)
{
    (void)state;
    begin(3, DURABILITY_PREFER_LOSSLESS);
    struct fsm_cluster *c = world_cluster(w);
    give_up_reign_of_db2(FSM_BIT(DB3));
    c->servers[DB3].state = SERVER_QUARANTINED;
    (void)TEXT_COPY(c->servers[DB3].reason, "replaced: rebuild it");
    w->servers[DB3].receiving = false;
    struct world_server *s = &w->servers[DB3];
    s->received = s->executed = s->applied = w->servers[DB1].executed + 7;
    restart_and_forget(DB2);
    world_restart(&w->servers[DB1]);
    world_run(w, 3000);
    assert_master(DB1);
    assert_true(c->epoch > 2);
    assert_int_equal(c->servers[DB3].state, SERVER_QUARANTINED);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        T(test_one_of_two_goes_on), T(test_all_restart), T(test_after_a_failover_that_failed),
        T(test_another_one_is_promoted), T(test_not_behind_its_acker), T(test_not_without_durable_settings),
        T(test_not_before_it_is_closed), T(test_not_without_an_acker),
        T(test_clock_of_another_leader), T(test_only_acker_restarts_after_it_followed),
        T(test_candidate_restarts_at_establish), T(test_candidate_restarts_at_open),
        T(test_an_acker_of_a_reign_that_was_given_up_goes_on), T(test_what_was_given_up_does_not_count),
    };
    return cmocka_run_group_tests_name("plan_reopen", tests, NULL, NULL);
}
