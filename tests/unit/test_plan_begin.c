/* What the leader begins by what it sees alone: to close a server that is open and is not the master (S1), and to let a
 * restarted master go on (A4). Condition by condition, on the view of handmade.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/work.h"
#include "tests/unit/handmade.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct handmade *h;
static struct fsm_cluster *cluster;
static struct plan_update update;

static int setup(void **state)
{
    (void)state;
    h = handmade_new();
    cluster = &h->state.clusters[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(h);
    return 0;
}

/* Asks 'begin'. Returns the plan that it proposes, or NULL. */
static const struct fsm_cmd_plan_begin *begins(bool (*begin)(struct work *), enum diagnosis_row row)
{
    struct plan_input in = {.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .led_ms = 60000,
                            .may_act = true, .wall = {HANDMADE_TIME + 100000000}};
    struct work w = {.in = &in, .cluster = cluster, .update = &update};
    memset(&update, 0, sizeof(update));
    update.diagnosis = (struct diagnosis){.row = row, .acts = row != DIAGNOSIS_OK};
    (void)begin(&w);
    return update.propose ? &update.command.u.plan_begin : NULL;
}

static const struct fsm_cmd_plan_begin *closes(void)
{
    return begins(close_begin, DIAGNOSIS_OK);
}

static const struct fsm_cmd_plan_begin *reopens(void)
{
    return begins(reopen_begin, DIAGNOSIS_RESTARTED);
}

/* --- CLOSE --- */

static void who_is_open_and_no_master_is_closed(void **state)
{
    const struct fsm_cmd_plan_begin *b;
    (void)state;
    assert_null(closes());
    HANDMADE_FACTS(h, DB3, f->read_only = false);
    b = closes();
    assert_non_null(b);
    assert_int_equal(b->kind, PLAN_CLOSE);
    assert_int_equal(b->from, DB3);
    assert_int_equal(b->epoch, 1);
    cluster->servers[DB3].maintenance = true;
    assert_null(closes());
    cluster->servers[DB3].maintenance = false;
    HANDMADE_FACTS(h, DB3, f->identity[0] = 'x'); /* Another server at its address. */
    assert_null(closes());
    cluster->servers[DB3].identity[0] = '\0'; /* Not enrolled: it was never ours. */
    HANDMADE_FACTS(h, DB3, f->identity[0] = '\0');
    assert_null(closes());
}

/* What was read before is of before; and a candidate of a failover that is to go on is no stranger. */
static void nobody_is_closed_by_an_old_look_or_on_his_way(void **state)
{
    struct fsm_plan *last;
    (void)state;
    HANDMADE_FACTS(h, DB3, f->read_only = false);
    last = handmade_plan(h, PLAN_STATE_FINISHED, STEP_DONE);
    assert_non_null(closes());
    last->ended.us = HANDMADE_TIME + 99500000; /* Half a second ago. */
    assert_null(closes());
    last->ended.us = HANDMADE_TIME;
    cluster->reigns[cluster->reigns_n++] = (struct fsm_reign){.epoch = 2, .master = DB3, .k = 1, .opened = true};
    assert_null(closes());
    cluster->reigns_n--;
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    assert_null(closes());
}

/* --- a master that goes on --- */

static void as_restarted(void)
{
    HANDMADE_FACTS(h, DB1, (f->read_only = true, f->started_s++, f->source_on = f->source_enabled = false));
}

static void a_restarted_master_goes_on_with_an_acker(void **state)
{
    const struct fsm_cmd_plan_begin *b;
    (void)state;
    as_restarted();
    b = reopens();
    assert_non_null(b);
    assert_int_equal(b->from, DB1);
    assert_int_equal(b->to, DB1);
    assert_int_equal(b->acker, DB2);
    assert_null(begins(reopen_begin, DIAGNOSIS_CLOSED)); /* Somebody closed it. */
    assert_null(begins(reopen_begin, DIAGNOSIS_GONE));
    for (uint8_t i = DB2; i <= DB4; i++) handmade_fails(h, i, VIEW_TIMED_OUT);
    assert_int_equal(reopens()->acker, FSM_SERVER_NONE);
    cluster->durability = DURABILITY_LOSSLESS;
    assert_null(reopens());
}

static void an_unfit_master_does_not_go_on(void **state)
{
    struct view_facts *own = &h->view.managers[0].servers[DB1].facts, fit;
    (void)state;
    as_restarted();
    fit = *own;
#define UNFIT(statement)                                                                                              \
    statement;                                                                                                        \
    assert_null(reopens());                                                                                           \
    *own = fit;                                                                                                       \
    assert_non_null(reopens())
    UNFIT(own->durable = false);
    UNFIT(own->read_only = false);
    UNFIT(own->supported = false);
    UNFIT(own->binlog_on = false);
    UNFIT(own->log_replica_updates = false);
    UNFIT(own->identity[0] = 'x');
    UNFIT((own->channels_n = 1, own->channels[0].io = VIEW_IO_CONNECTING));
    UNFIT((own->channels_n = 1, own->channels[0].io = VIEW_IO_NO, own->channels[0].applier = true));
#undef UNFIT
    own->channels_n = 1; /* That of its own time as a replica stands still. */
    own->channels[0] = (struct view_channel){.io = VIEW_IO_NO};
    assert_non_null(reopens());
    cluster->servers[DB1].maintenance = true;
    assert_null(reopens());
    cluster->servers[DB1].maintenance = false;
    h->view.managers[0].servers[DB1].outcome = VIEW_TIMED_OUT;
    assert_null(reopens());
}

/* S6, A8: not over a candidate that may be open, nor while another listed reign may still acknowledge. */
static void other_reigns_come_first(void **state)
{
    struct fsm_reign *r = &cluster->reigns[1];
    (void)state;
    as_restarted();
    cluster->reigns_n = 2;
    *r = (struct fsm_reign){.epoch = 2, .master = DB3, .k = 1, .ackers = FSM_BIT(DB4), .lossless = true};
    for (uint8_t i = 0; i < 4; i++) r->started_s[i] = HANDMADE_STARTED_S;
    assert_non_null(reopens());
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    assert_null(reopens());
    handmade_fails(h, DB4, VIEW_OK);
    r->opened = true;
    HANDMADE_FACTS(h, DB3, f->read_only = false);
    assert_null(reopens());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_open_and_no_master_is_closed),
        TEST(nobody_is_closed_by_an_old_look_or_on_his_way),
        TEST(a_restarted_master_goes_on_with_an_acker),
        TEST(an_unfit_master_does_not_go_on),
        TEST(other_reigns_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
