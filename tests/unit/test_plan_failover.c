/* The steps of a failover after REVOKE, rule by rule (plan/failover.c): each test says what the servers answered and
 * what is seen of them, and looks at what is asked next, or proposed.
 *
 * "shop" of handmade.h: plan 117 replaces db1, which is gone, by db2, with db3 as its acker; db4 follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/work.h"
#include "tests/unit/handmade.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };
enum { PLAN = 117, SOON_MS = 1000, LATE_MS = 4000, GIVE_UP_MS = 10000, OPEN_MS = 30000, SEEN_MS = 10 };

static struct handmade *h;
static struct fsm_cluster *cluster;
static struct fsm_plan *plan;
static struct plan_update update;
static int64_t step_ms;

static int setup(void **state)
{
    (void)state;
    h = handmade_new();
    cluster = &h->state.clusters[0];
    step_ms = SOON_MS;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(h);
    return 0;
}

/* The plan has come to 'step'; from ESTABLISH on its reign is listed in place of db1's. */
static void at_step(enum fsm_step step)
{
    plan = handmade_plan(h, PLAN_STATE_RUNNING, step);
    plan->step_at[step].us = HANDMADE_TIME;
    handmade_fails(h, DB1, VIEW_REFUSED);
    HANDMADE_FACTS(h, DB2, f->token = PLAN);
    if (step < STEP_ESTABLISH) return;
    plan->past[plan->past_n++] = cluster->reigns[0];
    cluster->reigns[0] = (struct fsm_reign){.epoch = 2, .master = DB2, .k = 1, .ackers = FSM_BIT(DB3), .token = PLAN};
    HANDMADE_FACTS(h, DB2, (f->source_enabled = f->source_on = true, f->source_clients = 1, f->channels_n = 0));
    if (step != STEP_REPOINT) return;
    cluster->epoch = 2;
    cluster->master = DB2;
    cluster->reigns[0].opened = true;
    HANDMADE_FACTS(h, DB2, f->read_only = false);
}

static struct verb_outcome *says(uint8_t server, enum verb_kind kind, enum verb_state state, int64_t age_ms)
{
    struct verb_outcome *o = &h->outcomes[server];
    *o = (struct verb_outcome){.kind = kind, .token = PLAN, .step = plan->step, .state = state, .age_ms = age_ms,
                               .started_s = HANDMADE_STARTED_S};
    TEXT_COPY(o->error, "what it said");
    return o;
}

static void decide(void)
{
    struct plan_input in = {.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .step_ms = step_ms,
                            .led_ms = 60000, .may_act = true, .wall = {HANDMADE_TIME + step_ms * 1000}};
    struct work w = {.in = &in, .cluster = cluster, .plan = plan, .update = &update};
    memset(&update, 0, sizeof(update));
    diagnose_verdict(cluster, &h->view, &update.diagnosis);
    failover_step(&w);
    if (update.propose) assert_int_equal(update.verbs_n, 0);
}

/* What is asked of 'server' now; NULL: nothing. */
static const struct verb *asked(uint8_t server)
{
    decide();
    for (uint8_t i = 0; i < update.verbs_n; i++) {
        if (update.verbs[i].server == server) return &update.verbs[i];
    }
    return NULL;
}

static enum verb_kind kind_asked(uint8_t server)
{
    const struct verb *v = asked(server);
    return v != NULL ? v->kind : VERB_none;
}

static void assert_stays(void)
{
    decide();
    if (update.propose && update.command.kind == CMD_PLAN_END) fail_msg("%s", update.command.u.plan_end.reason);
    assert_false(update.propose);
}

static const struct fsm_cmd_plan_step *assert_goes_on(enum fsm_step next)
{
    decide();
    if (!update.propose) fail_msg("waits: %s", update.why);
    if (update.command.kind != CMD_PLAN_STEP) fail_msg("%s", update.command.u.plan_end.reason);
    assert_int_equal(update.command.u.plan_step.next, next);
    return &update.command.u.plan_step;
}

static void assert_fails(void)
{
    decide();
    assert_true(update.propose);
    assert_int_equal(update.command.kind, CMD_PLAN_END);
    assert_string_not_equal(update.command.u.plan_end.reason, "");
}

/* --- begin --- */

/* What a failover that is to begin now says, or NULL: none does. */
static const struct fsm_cmd_plan_begin *begins(enum diagnosis_row row)
{
    struct plan_input in = {.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .led_ms = 60000,
                            .may_act = true, .wall = {HANDMADE_TIME + 100000000}};
    struct work w = {.in = &in, .cluster = cluster, .update = &update};
    memset(&update, 0, sizeof(update));
    update.diagnosis = (struct diagnosis){.row = row, .acts = true};
    failover_begin(&w);
    if (!update.propose) return NULL;
    assert_int_equal(update.command.kind, CMD_PLAN_BEGIN);
    return &update.command.u.plan_begin;
}

/* S6: it answers the leader by now. Only what its ackers tell is a proof then; to close it would end it. */
static void a_master_that_answers_again_is_not_begun_to_be_closed(void **state)
{
    (void)state;
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    assert_null(begins(DIAGNOSIS_GONE));
    assert_null(begins(DIAGNOSIS_SILENT));
    assert_int_equal(begins(DIAGNOSIS_CLOSED)->from, DB1);
    handmade_fails(h, DB2, VIEW_OK);
    for (uint8_t m = 0; m < 3; m++) h->view.managers[m].servers[DB2].ok_age_ms = SEEN_MS;
    assert_int_equal(begins(DIAGNOSIS_GONE)->to, DB2);
    assert_int_equal(update.command.u.plan_begin.acker, DB3);
    assert_int_equal(update.command.u.plan_begin.epoch, 1);
}

static void a_lossless_cluster_begins_no_reign_without_an_acker(void **state)
{
    (void)state;
    handmade_fails(h, DB1, VIEW_REFUSED);
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    assert_int_equal(begins(DIAGNOSIS_GONE)->acker, FSM_SERVER_NONE);
    cluster->durability = DURABILITY_LOSSLESS;
    assert_null(begins(DIAGNOSIS_GONE));
}

/* --- APPLY, CATCH_UP: the candidate has all before it is promoted (A4) --- */

static void all_that_was_received_is_applied_first(void **state)
{
    (void)state;
    at_step(STEP_APPLY);
    assert_int_equal(kind_asked(DB2), VERB_APPLY);
    assert_string_equal(asked(DB2)->target, "0-11-1234");
    (void)says(DB2, VERB_APPLY, VERB_STATE_RUNNING, 10);
    assert_stays();
    says(DB2, VERB_APPLY, VERB_STATE_FAILED, 10)->past = true; /* It has something else: waiting does not mend it. */
    assert_fails();
    (void)says(DB2, VERB_APPLY, VERB_STATE_FAILED, 10);
    assert_stays();
    step_ms = GIVE_UP_MS;
    assert_fails();
    (void)says(DB2, VERB_APPLY, VERB_STATE_UNKNOWN, 10); /* Cut off, not refused. */
    assert_stays();
    (void)says(DB2, VERB_APPLY, VERB_STATE_DONE, 10);
    (void)assert_goes_on(STEP_PROMOTE);
    plan->holder = DB3;
    assert_int_equal(assert_goes_on(STEP_CATCH_UP)->holder, DB3);
}

static void what_the_candidate_lacks_is_fetched_from_the_holder(void **state)
{
    (void)state;
    at_step(STEP_CATCH_UP);
    plan->holder = DB4;
    assert_int_equal(kind_asked(DB2), VERB_CATCH_UP);
    assert_int_equal(asked(DB2)->source_port, 3314);
    assert_string_equal(asked(DB2)->target, "0-11-1234");
    assert_false(asked(DB2)->is_acker);
    (void)says(DB2, VERB_CATCH_UP, VERB_STATE_DONE, 10);
    (void)assert_goes_on(STEP_PROMOTE);
    says(DB2, VERB_CATCH_UP, VERB_STATE_FAILED, 10)->past = true;
    assert_fails();
    (void)says(DB2, VERB_CATCH_UP, VERB_STATE_RUNNING, 10);
    assert_stays();
}

/* A4: it is left only when the candidate proves all by itself; then it is rebuilt, never repointed. */
static void a_lost_holder_is_left_only_when_it_may_be(void **state)
{
    (void)state;
    at_step(STEP_CATCH_UP);
    plan->holder = DB4;
    plan->past_n = 1;
    plan->past[0] = cluster->reigns[0]; /* Its only acker is the candidate. */
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    for (uint8_t m = 0; m < 3; m++) h->view.managers[m].servers[DB4].failing_ms = LATE_MS;
    assert_stays();
    step_ms = LATE_MS;
    /* First its receiver, which still tries to reach the holder, is stopped: PROMOTE would refuse. */
    (void)says(DB2, VERB_CATCH_UP, VERB_STATE_FAILED, 10);
    assert_int_equal(kind_asked(DB2), VERB_REVOKE);
    assert_stays();
    (void)says(DB2, VERB_REVOKE, VERB_STATE_RUNNING, 10);
    assert_stays();
    (void)says(DB2, VERB_REVOKE, VERB_STATE_FAILED, 10);
    assert_stays();
    says(DB2, VERB_REVOKE, VERB_STATE_FAILED, 10)->forgotten = true; /* It never connected to the holder. */
    (void)assert_goes_on(STEP_PROMOTE);
    (void)says(DB2, VERB_REVOKE, VERB_STATE_DONE, 10);
    const struct fsm_cmd_plan_step *s = assert_goes_on(STEP_PROMOTE);
    assert_int_equal(s->set_aside, FSM_BIT(DB4));
    assert_string_not_equal(s->reason, "");
    plan->past[0].ackers |= FSM_BIT(DB4);
    assert_fails();
    plan->past[0].ackers = FSM_BIT(DB2);
    plan->holder = cluster->master; /* What the old master has was not given up by anybody. */
    step_ms = GIVE_UP_MS;
    assert_fails();
}

/* Nobody attaches for 20 s: by the timer of who has driven the step from its begin, whatever the wall clock says. */
static void a_clock_that_jumps_leaves_no_candidate(void **state)
{
    (void)state;
    at_step(STEP_ESTABLISH);
    cluster->durability = DURABILITY_LOSSLESS;
    plan->step_at[STEP_PROMOTE].us = HANDMADE_TIME - 60000000;
    assert_stays();
    step_ms = 20000;
    assert_fails();
}

/* --- PROMOTE: who is listed as its acker --- */

static void a_candidate_is_promoted_with_all_of_the_target(void **state)
{
    (void)state;
    at_step(STEP_PROMOTE);
    assert_int_equal(kind_asked(DB2), VERB_PROMOTE);
    assert_string_equal(asked(DB2)->target, "0-11-1234");
    (void)says(DB2, VERB_PROMOTE, VERB_STATE_RUNNING, 10);
    assert_stays();
    says(DB2, VERB_PROMOTE, VERB_STATE_FAILED, 10)->past = true;
    assert_fails();
    (void)says(DB2, VERB_PROMOTE, VERB_STATE_DONE, 10);
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB3);
}

static void the_listed_acker_is_one_that_can_acknowledge(void **state)
{
    struct fsm_server *acker;
    (void)state;
    at_step(STEP_PROMOTE);
    acker = &cluster->servers[DB3];
    (void)says(DB2, VERB_PROMOTE, VERB_STATE_DONE, 10);
    acker->maintenance = true;
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
    acker->maintenance = false;
    acker->state = SERVER_QUARANTINED;
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
    acker->state = SERVER_MEMBER;
    cluster->reigns[cluster->reigns_n++] = (struct fsm_reign){
        .epoch = 1, .master = DB1, .k = 1, .ackers = FSM_BIT(DB3), .lossless = true, .unfenced = true};
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4); /* It may still acknowledge for that one. */
    plan->revoked = FSM_BIT(DB3);
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB3);
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, FSM_SERVER_NONE);
    cluster->durability = DURABILITY_LOSSLESS;
    assert_stays();
    step_ms = GIVE_UP_MS;
    assert_fails();
}

/* --- ESTABLISH (A5) --- */

static void the_row_is_written_when_the_acker_is_attached(void **state)
{
    const struct verb *v;
    (void)state;
    at_step(STEP_ESTABLISH);
    v = asked(DB3);
    assert_int_equal(v->kind, VERB_FOLLOW);
    assert_true(v->is_acker);
    assert_int_equal(v->source_port, 3312);
    assert_int_equal(kind_asked(DB2), VERB_ATTACHED);
    assert_int_equal(asked(DB2)->k, 1);
    (void)says(DB2, VERB_ATTACHED, VERB_STATE_RUNNING, 10);
    assert_int_equal(kind_asked(DB2), VERB_none);
    (void)says(DB2, VERB_ATTACHED, VERB_STATE_DONE, 10);
    v = asked(DB2);
    assert_int_equal(v->kind, VERB_REIGN_ROW);
    assert_int_equal(v->k, 1);
    assert_string_equal(v->master_name, "db2");
    (void)says(DB2, VERB_REIGN_ROW, VERB_STATE_UNKNOWN, 10); /* It may be written, and wait. */
    assert_int_equal(kind_asked(DB2), VERB_REIGN_ROW);
    (void)says(DB2, VERB_REIGN_ROW, VERB_STATE_FAILED, 10); /* Who is attached is looked at again. */
    assert_int_equal(kind_asked(DB2), VERB_ATTACHED);
    plan->acker = FSM_SERVER_NONE;
    assert_int_equal(asked(DB2)->k, 0);
    assert_int_equal(kind_asked(DB3), VERB_REVOKE); /* It is listed, and acknowledges no more. */
}

static void the_proof_rests_on_who_wrote_and_who_acknowledged(void **state)
{
    const struct fsm_cmd_plan_step *s;
    struct verb_outcome *row;
    (void)state;
    at_step(STEP_ESTABLISH);
    row = says(DB2, VERB_REIGN_ROW, VERB_STATE_DONE, 10);
    TEXT_COPY(row->executed, "0-12-1235");
    row->started_s = 71;
    row->no_tx = 5;
    assert_stays(); /* Its acker has not told its incarnation, and can. */
    says(DB3, VERB_FOLLOW, VERB_STATE_DONE, 10)->started_s = 72;
    cluster->reigns[0].ackers |= FSM_BIT(DB4);
    s = assert_goes_on(STEP_OPEN);
    assert_string_equal(s->target, "0-12-1235");
    assert_true(s->started_s[DB2] == 71 && s->no_tx == 5);
    assert_true(s->started_s[DB3] == 72);
    assert_true(s->started_s[DB4] == HANDMADE_STARTED_S); /* As it was seen last. */
    assert_true(s->started_s[DB1] == 0);
    (void)says(DB3, VERB_FOLLOW, VERB_STATE_RUNNING, 10);
    assert_stays();
    handmade_fails(h, DB3, VIEW_TIMED_OUT); /* It cannot be asked. */
    (void)assert_goes_on(STEP_OPEN);
}

/* A6: exactly the one on which the reign rests may be attached. */
static void replaced_ackers_are_stopped_again(void **state)
{
    (void)state;
    at_step(STEP_ESTABLISH);
    assert_int_equal(kind_asked(DB4), VERB_none);
    cluster->reigns[0].ackers |= FSM_BIT(DB4) | FSM_BIT(DB1);
    assert_int_equal(kind_asked(DB4), VERB_REVOKE);
    assert_int_equal(kind_asked(DB3), VERB_FOLLOW);
    assert_int_equal(kind_asked(DB1), VERB_none); /* That is CLOSE's. */
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    assert_int_equal(kind_asked(DB4), VERB_none);
    cluster->reigns[0].epoch = 7; /* Of another plan. */
    handmade_fails(h, DB4, VIEW_OK);
    assert_int_equal(kind_asked(DB4), VERB_none);
}

/* One that did follow, and was restarted since, receives no more. */
static void a_restarted_acker_follows_anew(void **state)
{
    struct verb_outcome *o;
    (void)state;
    at_step(STEP_ESTABLISH);
    o = says(DB3, VERB_FOLLOW, VERB_STATE_DONE, 100);
    assert_int_equal(kind_asked(DB3), VERB_none);
    o->started_s = 7; /* Another incarnation is seen since. */
    assert_int_equal(kind_asked(DB3), VERB_REVOKE);
    o->age_ms = SEEN_MS; /* Seen before it followed. */
    assert_int_equal(kind_asked(DB3), VERB_none);
    (void)says(DB3, VERB_REVOKE, VERB_STATE_RUNNING, 10);
    assert_int_equal(kind_asked(DB3), VERB_none);
    (void)says(DB3, VERB_REVOKE, VERB_STATE_DONE, 10);
    assert_int_equal(kind_asked(DB3), VERB_FOLLOW);
}

static void an_acker_that_does_not_attach_is_replaced(void **state)
{
    (void)state;
    at_step(STEP_ESTABLISH);
    assert_stays();
    step_ms = LATE_MS;
    const struct fsm_cmd_plan_step *s = assert_goes_on(STEP_ESTABLISH);
    assert_int_equal(s->acker, DB4);
    assert_true(s->started_s[DB4] == HANDMADE_STARTED_S);
    cluster->reigns[0].ackers |= FSM_BIT(DB4); /* Tried, too: nobody is left, for which there is time. */
    assert_stays();
    step_ms = GIVE_UP_MS;
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, FSM_SERVER_NONE);
    cluster->durability = DURABILITY_LOSSLESS; /* By turns, for ever. */
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
    cluster->durability = DURABILITY_PREFER_LOSSLESS;
    cluster->reigns[0].ackers = FSM_BIT(DB3);
    step_ms = SOON_MS;
    handmade_fails(h, DB3, VIEW_REFUSED); /* Its process is gone: at once. */
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
}

/* What PROMOTE had set is gone with it. */
static void a_restarted_candidate_is_promoted_anew(void **state)
{
    static const enum fsm_step steps[] = {STEP_ESTABLISH, STEP_OPEN};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        at_step(steps[i]);
        HANDMADE_FACTS(h, DB2, f->source_enabled = f->source_on = false);
        step_ms = SOON_MS;
        assert_stays();
        step_ms = 3000;
        assert_fails();
        HANDMADE_FACTS(h, DB2, f->identity[0] = 'x'); /* That tells nothing of it. */
        decide();
        assert_true(!update.propose || update.command.kind == CMD_PLAN_STEP);
        (void)teardown(state);
        (void)setup(state);
    }
}

/* --- OPEN (S1) --- */

static void open_is_asked_with_as_many_ackers_as_are_listed(void **state)
{
    (void)state;
    at_step(STEP_OPEN);
    assert_int_equal(kind_asked(DB2), VERB_OPEN);
    assert_int_equal(asked(DB2)->k, 1);
    assert_int_equal(asked(DB2)->epoch, 2);
    assert_int_equal(asked(DB2)->token, PLAN);
    plan->acker = FSM_SERVER_NONE;
    assert_int_equal(asked(DB2)->k, 0);
    (void)says(DB2, VERB_OPEN, VERB_STATE_DONE, 10);
    (void)assert_goes_on(STEP_REPOINT);
}

/* OPEN did its work when it is seen open under this plan's token, by a probe that began in this step. */
static void open_is_known_by_a_probe_of_this_step(void **state)
{
    struct view_observation *seen;
    (void)state;
    at_step(STEP_OPEN);
    seen = &h->view.managers[0].servers[DB2];
    seen->took_ms = 99; /* Answered 10 ms ago. */
    assert_stays();
    seen->facts.read_only = false;
    (void)assert_goes_on(STEP_REPOINT);
    step_ms = 109;
    assert_stays();
    step_ms = 110;
    (void)assert_goes_on(STEP_REPOINT);
    seen->facts.token = PLAN - 1;
    assert_stays();
    seen->facts.token = PLAN;
    seen->facts.identity[0] = 'x';
    assert_stays();
    TEXT_COPY(seen->facts.identity, cluster->servers[DB2].identity);
    seen->outcome = VIEW_TIMED_OUT;
    assert_stays();
}

/* F2: it may have been restarted since it was closed, and boot open. */
static void a_closed_master_is_closed_again_before_opening(void **state)
{
    (void)state;
    at_step(STEP_OPEN);
    plan->fence = FENCE_F2_CLOSED;
    assert_int_equal(kind_asked(DB2), VERB_OPEN); /* It is not there. */
    for (uint8_t m = 0; m < 3; m++) {
        h->view.managers[m].servers[DB1].outcome = VIEW_OK;
        h->view.managers[m].servers[DB1].refused_n = 0;
    }
    assert_int_equal(kind_asked(DB1), VERB_CLOSE);
    assert_int_equal(kind_asked(DB2), VERB_none);
    (void)says(DB1, VERB_CLOSE, VERB_STATE_FAILED, 10);
    assert_int_equal(kind_asked(DB1), VERB_CLOSE);
    assert_int_equal(kind_asked(DB2), VERB_none);
    (void)says(DB1, VERB_CLOSE, VERB_STATE_DONE, 10);
    assert_int_equal(kind_asked(DB2), VERB_OPEN);
    memset(&h->outcomes[DB1], 0, sizeof(h->outcomes[DB1]));
    HANDMADE_FACTS(h, DB1, f->identity[0] = 'x'); /* Another one at its address. */
    assert_int_equal(kind_asked(DB2), VERB_OPEN);
    HANDMADE_FACTS(h, DB1, TEXT_COPY(f->identity, cluster->servers[DB1].identity));
    plan->fence = FENCE_F1_ACKS_REVOKED; /* It cannot acknowledge, whatever it is. */
    assert_int_equal(kind_asked(DB2), VERB_OPEN);
    assert_int_equal(kind_asked(DB1), VERB_none);
}

/* Not once OPEN may still be under way, or have been done. */
static void an_acker_that_left_before_the_opening_is_replaced(void **state)
{
    struct view_observation *seen;
    struct verb_outcome *o;
    (void)state;
    at_step(STEP_OPEN);
    seen = &h->view.managers[0].servers[DB2];
    seen->facts.source_clients = 0;
    o = says(DB2, VERB_OPEN, VERB_STATE_FAILED, 100);
    step_ms = LATE_MS;
    assert_int_equal(assert_goes_on(STEP_ESTABLISH)->acker, DB4);
    seen->facts.source_clients = 1;
    assert_stays();
    seen->facts.source_clients = 0;
    seen->age_ms = 100; /* Seen before it was refused. */
    assert_stays();
    seen->age_ms = SEEN_MS;
    o->state = VERB_STATE_UNKNOWN;
    assert_stays();
    o->state = VERB_STATE_RUNNING;
    assert_stays();
    o->state = VERB_STATE_FAILED;
    seen->facts.read_only = false;
    seen->facts.token = PLAN - 1;
    assert_stays();
}

/* It was asked to open, and may be open: not given up while it may be. */
static void an_opening_is_given_up_late(void **state)
{
    (void)state;
    at_step(STEP_OPEN);
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    step_ms = OPEN_MS - 1;
    assert_stays();
    step_ms = OPEN_MS;
    assert_fails();
}

/* --- REPOINT --- */

static void the_others_follow_as_plain_replicas(void **state)
{
    const struct verb *v;
    (void)state;
    at_step(STEP_REPOINT);
    assert_int_equal(kind_asked(DB2), VERB_CLEAR);
    v = asked(DB4);
    assert_int_equal(v->kind, VERB_FOLLOW);
    assert_false(v->is_acker);
    assert_int_equal(v->source_port, 3312);
    assert_int_equal(kind_asked(DB3), VERB_none);
    assert_int_equal(kind_asked(DB1), VERB_none);
    (void)says(DB4, VERB_FOLLOW, VERB_STATE_DONE, 10);
    assert_stays();
    (void)says(DB2, VERB_CLEAR, VERB_STATE_DONE, 10);
    const struct fsm_cmd_plan_step *s = assert_goes_on(STEP_DONE);
    assert_int_equal(s->set_aside, 0);
    assert_int_equal(s->revoked, 0);
    cluster->servers[DB4].maintenance = true;
    memset(&h->outcomes[DB4], 0, sizeof(h->outcomes[DB4]));
    assert_int_equal(assert_goes_on(STEP_DONE)->set_aside, 0);
    cluster->servers[DB4].maintenance = false;
    assert_stays();
    step_ms = 5000;
    assert_int_equal(assert_goes_on(STEP_DONE)->set_aside, FSM_BIT(DB4));
    cluster->servers[DB4].state = SERVER_QUARANTINED;
    assert_int_equal(assert_goes_on(STEP_DONE)->set_aside, 0);
}

/* S5: it has what the new master never had. */
static void who_is_ahead_is_not_made_to_follow(void **state)
{
    (void)state;
    at_step(STEP_REPOINT);
    plan->found[DB4].set = true;
    TEXT_COPY(plan->found[DB4].received, "0-14-1236");
    assert_int_equal(kind_asked(DB4), VERB_none);
    (void)says(DB2, VERB_CLEAR, VERB_STATE_DONE, 10);
    assert_int_equal(assert_goes_on(STEP_DONE)->set_aside, FSM_BIT(DB4));
    TEXT_COPY(plan->found[DB4].received, "0-11-1234");
    assert_int_equal(kind_asked(DB4), VERB_FOLLOW);
}

/* A2: a replaced acker leaves A when it follows with its flag off, and the acker has received all that the master had
 * committed after that. */
static void a_replaced_acker_leaves_when_the_other_has_all(void **state)
{
    (void)state;
    at_step(STEP_REPOINT);
    cluster->reigns[0].ackers |= FSM_BIT(DB4);
    (void)says(DB2, VERB_CLEAR, VERB_STATE_DONE, 10);
    (void)says(DB4, VERB_FOLLOW, VERB_STATE_DONE, 300);
    HANDMADE_FACTS(h, DB3, (f->replica_enabled = f->replica_on = true, f->channels[0].source_server_id = 12));
    assert_int_equal(assert_goes_on(STEP_DONE)->revoked, FSM_BIT(DB4));
    HANDMADE_FACTS(h, DB2, TEXT_COPY(f->binlog, "0-12-1240"));
    assert_stays(); /* db3 has not received that. */
    HANDMADE_FACTS(h, DB3, TEXT_COPY(f->channels[0].received, "0-12-1240"));
    assert_int_equal(assert_goes_on(STEP_DONE)->revoked, FSM_BIT(DB4));
    HANDMADE_FACTS(h, DB3, f->replica_on = false);
    assert_stays();
    HANDMADE_FACTS(h, DB3, f->replica_on = true);
    h->view.managers[0].servers[DB2].took_ms = 99; /* Answered 10 ms ago. */
    h->outcomes[DB4].age_ms = 109; /* The master's position is not surely younger than that. */
    assert_stays();
    h->outcomes[DB4].age_ms = 300;
    step_ms = 5000; /* It stays in A when it is not time to wait. */
    (void)says(DB4, VERB_FOLLOW, VERB_STATE_FAILED, 300);
    assert_int_equal(assert_goes_on(STEP_DONE)->revoked, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_master_that_answers_again_is_not_begun_to_be_closed),
        TEST(a_lossless_cluster_begins_no_reign_without_an_acker),
        TEST(all_that_was_received_is_applied_first),
        TEST(what_the_candidate_lacks_is_fetched_from_the_holder),
        TEST(a_lost_holder_is_left_only_when_it_may_be),
        TEST(a_clock_that_jumps_leaves_no_candidate),
        TEST(a_candidate_is_promoted_with_all_of_the_target),
        TEST(the_listed_acker_is_one_that_can_acknowledge),
        TEST(the_row_is_written_when_the_acker_is_attached),
        TEST(the_proof_rests_on_who_wrote_and_who_acknowledged),
        TEST(replaced_ackers_are_stopped_again),
        TEST(a_restarted_acker_follows_anew),
        TEST(an_acker_that_does_not_attach_is_replaced),
        TEST(a_restarted_candidate_is_promoted_anew),
        TEST(open_is_asked_with_as_many_ackers_as_are_listed),
        TEST(open_is_known_by_a_probe_of_this_step),
        TEST(a_closed_master_is_closed_again_before_opening),
        TEST(an_acker_that_left_before_the_opening_is_replaced),
        TEST(an_opening_is_given_up_late),
        TEST(the_others_follow_as_plain_replicas),
        TEST(who_is_ahead_is_not_made_to_follow),
        TEST(a_replaced_acker_leaves_when_the_other_has_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
