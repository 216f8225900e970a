/* REVOKE, rule by rule (plan/revoke.c): whom it asks what, whose word ends a reign, what counts as received, who may
 * hold it. Each test says what the servers answered, and looks at what follows from that alone.
 *
 * "shop" of handmade.h: db1 was its master and is gone, A = {db2}, db3 and db4 follow; plan 117 replaces db1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/work.h"
#include "tests/unit/handmade.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };
enum { LATE_MS = 400, SOON_MS = 100, SEEN_MS = 10 }; /* Ages: others are waited for no longer; a while; of the view. */

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
    plan = handmade_plan(h, PLAN_STATE_RUNNING, STEP_REVOKE);
    plan->revoked = 0;
    memset(plan->found, 0, sizeof(plan->found));
    plan->target[0] = '\0';
    plan->epoch = 9;
    handmade_fails(h, DB1, VIEW_REFUSED);
    step_ms = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(h);
    return 0;
}

static struct verb_outcome *says(uint8_t server, enum verb_kind kind, enum verb_state state, int64_t age_ms)
{
    struct verb_outcome *o = &h->outcomes[server];
    *o = (struct verb_outcome){.kind = kind, .token = 117, .step = STEP_REVOKE, .state = state, .age_ms = age_ms,
                               .started_s = HANDMADE_STARTED_S};
    return o;
}

static struct verb_outcome *is_revoked(uint8_t server, int64_t age_ms, const char *received, const char *executed)
{
    struct verb_outcome *o = says(server, VERB_REVOKE, VERB_STATE_DONE, age_ms);
    TEXT_COPY(o->received, received);
    TEXT_COPY(o->executed, executed);
    return o;
}

static struct verb_outcome *is_closed(uint8_t server, int64_t age_ms, const char *executed)
{
    struct verb_outcome *o = says(server, VERB_CLOSE, VERB_STATE_DONE, age_ms);
    TEXT_COPY(o->received, executed);
    TEXT_COPY(o->executed, executed);
    return o;
}

/* It receives no more, and has forgotten how far it had. */
static void has_forgotten(uint8_t server, const char *executed)
{
    struct verb_outcome *o = says(server, VERB_REVOKE, VERB_STATE_FAILED, LATE_MS);
    o->forgotten = true;
    TEXT_COPY(o->executed, executed);
}

/* The old master answers again, read-only, in the incarnation that acknowledged. */
static void master_returns(void)
{
    for (uint8_t m = 0; m < 3; m++) {
        struct view_observation *o = &h->view.managers[m].servers[DB1];
        *o = (struct view_observation){.outcome = VIEW_OK, .age_ms = SEEN_MS, .ok_age_ms = SEEN_MS,
                                       .alive_age_ms = SEEN_MS};
        handmade_facts(&o->facts, cluster, DB1);
        o->facts.read_only = true;
    }
}

/* A candidate of an earlier plan, which was asked to open: epoch 2, with 'ackers'. */
static struct fsm_reign *was_promoted(uint8_t server, fsm_set ackers)
{
    struct fsm_reign *r = &cluster->reigns[cluster->reigns_n++];
    *r = (struct fsm_reign){.epoch = cluster->epoch + cluster->reigns_n - 1u, .master = server, .k = 1,
                            .ackers = ackers, .lossless = true, .since = "0-11-3", .token = 60, .opened = true};
    for (uint8_t i = 0; i < 4; i++) r->started_s[i] = HANDMADE_STARTED_S;
    return r;
}

static void decide(void)
{
    struct plan_input in = {.state = &h->state, .cluster = 0, .view = &h->view, .outcomes = h->outcomes,
                            .step_ms = step_ms, .may_act = true, .wall = {HANDMADE_TIME + step_ms * 1000}};
    struct work w = {.in = &in, .cluster = cluster, .plan = plan, .update = &update};
    memset(&update, 0, sizeof(update));
    revoke_step(&w);
}

/* What is asked of 'server' now; VERB_none: nothing. */
static enum verb_kind asked(uint8_t server)
{
    decide();
    for (uint8_t i = 0; i < update.verbs_n; i++) {
        if (update.verbs[i].server == server) return update.verbs[i].kind;
    }
    return VERB_none;
}

static void assert_waits(void)
{
    decide();
    assert_false(update.propose);
}

static const char *assert_fails(void)
{
    decide();
    assert_true(update.propose);
    assert_int_equal(update.command.kind, CMD_PLAN_END);
    return update.command.u.plan_end.reason;
}

/* The step ends with 'to' as the candidate. */
static const struct fsm_cmd_plan_step *assert_goes_on(uint8_t to, const char *target)
{
    const struct fsm_cmd_plan_step *s = &update.command.u.plan_step;
    decide();
    if (!update.propose) fail_msg("waits: %s", update.why);
    if (update.command.kind != CMD_PLAN_STEP) fail_msg("%s", update.command.u.plan_end.reason);
    assert_int_equal(update.verbs_n, 0); /* Nothing is done beside what is yet to be committed (S1). */
    assert_int_equal(s->next, STEP_APPLY);
    assert_int_equal(s->to, to);
    assert_string_equal(s->target, target);
    return s;
}

/* --- whom it asks what --- */

static void a_promoted_one_is_closed_while_it_is_seen_open(void **state)
{
    (void)state;
    (void)was_promoted(DB3, FSM_BIT(DB4));
    assert_int_equal(asked(DB3), VERB_REVOKE);
    HANDMADE_FACTS(h, DB3, f->read_only = false);
    assert_int_equal(asked(DB3), VERB_CLOSE);
    assert_int_equal(asked(DB4), VERB_REVOKE);
    (void)is_closed(DB3, SOON_MS, "0-11-1234"); /* Once: then it is revoked, whatever an older look says. */
    assert_int_equal(asked(DB3), VERB_REVOKE);
    (void)says(DB3, VERB_REVOKE, VERB_STATE_RUNNING, SOON_MS);
    assert_int_equal(asked(DB3), VERB_none);
    (void)is_revoked(DB3, SEEN_MS, "0-11-1234", "0-11-1234"); /* Seen before that. */
    assert_int_equal(asked(DB3), VERB_none);
    (void)is_revoked(DB3, SOON_MS, "0-11-1234", "0-11-1234"); /* Seen to be open after that. */
    assert_int_equal(asked(DB3), VERB_CLOSE);
}

/* CLOSE ends the sessions of probes, too. */
static void a_promoted_one_that_is_not_read_is_closed_to_the_end(void **state)
{
    (void)state;
    (void)was_promoted(DB3, FSM_BIT(DB4));
    cluster->reigns[0].ackers |= FSM_BIT(DB3);
    HANDMADE_FACTS(h, DB3, f->read_only = false); /* As it was seen last. */
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    assert_int_equal(asked(DB3), VERB_REVOKE);
    HANDMADE_FACTS(h, DB3, f->read_only = true);
    (void)says(DB3, VERB_CLOSE, VERB_STATE_UNKNOWN, SOON_MS);
    assert_int_equal(asked(DB3), VERB_CLOSE);
}

static void another_server_at_its_address_is_not_closed(void **state)
{
    (void)state;
    (void)was_promoted(DB3, FSM_BIT(DB4));
    HANDMADE_FACTS(h, DB3, (f->read_only = false, TEXT_COPY(f->identity, "another one")));
    assert_int_equal(asked(DB3), VERB_REVOKE);
    master_returns();
    assert_int_equal(asked(DB1), VERB_CLOSE);
    HANDMADE_FACTS(h, DB1, TEXT_COPY(f->identity, "another one"));
    assert_int_equal(asked(DB1), VERB_none);
}

/* An acker is asked in any case: without it nothing is proven. */
static void only_members_that_are_reached_are_wished_for(void **state)
{
    (void)state;
    assert_int_equal(asked(DB3), VERB_REVOKE);
    cluster->servers[DB3].maintenance = true;
    assert_int_equal(asked(DB3), VERB_none);
    cluster->servers[DB3].maintenance = false;
    cluster->servers[DB3].state = SERVER_QUARANTINED;
    assert_int_equal(asked(DB3), VERB_none);
    cluster->servers[DB3].state = SERVER_MEMBER;
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    assert_int_equal(asked(DB3), VERB_none);
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    cluster->servers[DB2].maintenance = true;
    assert_int_equal(asked(DB2), VERB_REVOKE);
    assert_int_equal(asked(DB4), VERB_REVOKE);
    cluster->servers[DB4].identity[0] = '\0'; /* Not enrolled. */
    assert_int_equal(asked(DB4), VERB_none);
}

/* An operator replaces a living master: closed first, its ackers attached, so that waiting commits are acknowledged;
 * then its end flows out, for a while. */
static void an_operator_closes_first_and_lets_the_end_flow_out(void **state)
{
    (void)state;
    plan->by_operator = true;
    master_returns();
    assert_int_equal(asked(DB1), VERB_CLOSE);
    assert_int_equal(asked(DB2), VERB_none);
    (void)is_closed(DB1, SOON_MS, "0-11-1240"); /* db2 was seen to have received 1234. */
    assert_int_equal(asked(DB2), VERB_none);
    (void)is_closed(DB1, SOON_MS, "0-11-1234");
    assert_int_equal(asked(DB2), VERB_REVOKE);
    (void)is_closed(DB1, 600, "0-11-1240");
    assert_int_equal(asked(DB2), VERB_REVOKE);
}

/* --- whose word ends a reign --- */

static void others_are_waited_for_a_short_while(void **state)
{
    (void)state;
    (void)is_revoked(DB2, SOON_MS, "0-11-1234", "0-11-1234");
    assert_waits();
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, SEEN_MS, "0-11-1234", "0-11-1234"); /* Who was only wished for. */
    assert_goes_on(DB2, "0-11-1234");
    cluster->reigns[0].ackers |= FSM_BIT(DB3); /* The last one that is needed counts. */
    cluster->reigns[0].started_s[DB3] = HANDMADE_STARTED_S;
    (void)is_revoked(DB2, SOON_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    assert_waits();
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    assert_goes_on(DB2, "0-11-1234");
    master_returns();
    (void)is_closed(DB1, SOON_MS, "0-11-1234"); /* As is the master, once it tells what it has. */
    assert_waits();
    (void)is_closed(DB1, LATE_MS, "0-11-1234");
    assert_goes_on(DB2, "0-11-1234");
    h->outcomes[DB2].age_ms = SOON_MS;
    assert_waits();
}

/* Who has forgotten what it received accounts for nothing that was acknowledged. */
static void who_has_forgotten_ends_no_reign_that_was_open(void **state)
{
    (void)state;
    has_forgotten(DB2, "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-11-1234", "0-11-1234");
    step_ms = LATE_MS;
    assert_waits();
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    struct fsm_reign *never_open = was_promoted(DB3, FSM_BIT(DB4));
    never_open->lossless = never_open->opened = false;
    has_forgotten(DB4, "0-11-1230");
    h->outcomes[DB4].started_s = 77;
    const struct fsm_cmd_plan_step *s = assert_goes_on(DB2, "0-11-1234");
    assert_int_equal(s->revoked, FSM_BIT(DB2) | FSM_BIT(DB4));
    assert_true(s->started_s[DB4] == 77);
    assert_false(s->found[DB4].set);
    never_open->opened = never_open->lossless = true;
    never_open->started_s[DB4] = 77;
    assert_waits();
}

/* The candidate's own reign needs no fence, for it is the one to be opened. */
static void a_candidates_own_reign_needs_no_fence(void **state)
{
    (void)state;
    (void)was_promoted(DB3, FSM_BIT(DB4));
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    plan->to = DB3;
    plan->acker = DB2;
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    assert_goes_on(DB3, "0-11-1234");
    cluster->servers[DB3].maintenance = true;
    assert_waits();
}

/* It restarted, and is to go on: it holds all that it acknowledged when nothing was lost in its crash (A4). */
static void a_master_goes_on_when_it_is_closed_and_durable(void **state)
{
    (void)state;
    plan->to = DB1;
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    master_returns();
    step_ms = LATE_MS;
    assert_waits();
    (void)is_closed(DB1, LATE_MS, "0-11-1240");
    assert_int_equal(assert_goes_on(DB1, "0-11-1240")->fence, FENCE_F2_CLOSED);
    HANDMADE_FACTS(h, DB1, f->durable = false);
    assert_waits();
}

/* It was an acker of a reign that was given up: is it revoked for that one? */
static bool master_counts_as_revoked(void)
{
    const struct fsm_cmd_plan_step *s = assert_goes_on(DB2, "0-11-1234");
    assert_int_equal(s->revoked & ~FSM_BIT(DB1), FSM_BIT(DB2));
    if ((s->revoked & FSM_BIT(DB1)) != 0) assert_true(s->started_s[DB1] == HANDMADE_STARTED_S);
    return (s->revoked & FSM_BIT(DB1)) != 0;
}

static void a_closed_master_is_revoked_when_it_was_seen_to_receive_nothing(void **state)
{
    struct view_observation *seen = &h->view.managers[0].servers[DB1];
    (void)state;
    was_promoted(DB4, FSM_BIT(DB1))->unfenced = true;
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    master_returns();
    (void)is_closed(DB1, LATE_MS, "0-11-1234");
    assert_true(master_counts_as_revoked());
    seen->age_ms = LATE_MS; /* Seen before it was closed. */
    assert_false(master_counts_as_revoked());
    seen->age_ms = SEEN_MS;
    seen->facts.started_s++;
    assert_false(master_counts_as_revoked());
    seen->facts.started_s--;
    seen->facts.replica_enabled = true;
    assert_false(master_counts_as_revoked());
    seen->facts.replica_enabled = false;
    seen->facts.channels_n = 2;
    seen->facts.channels[0].io = seen->facts.channels[1].io = VIEW_IO_NO;
    assert_true(master_counts_as_revoked());
    seen->facts.channels[1].io = VIEW_IO_CONNECTING;
    assert_false(master_counts_as_revoked());
    seen->facts.channels_n = 1;
    assert_true(master_counts_as_revoked());
    seen->facts.channels_n = VIEW_CHANNELS_MAX + 1; /* More than can be looked at. */
    assert_false(master_counts_as_revoked());
    seen->facts.channels_n = 0;
    TEXT_COPY(seen->facts.identity, "another one");
    assert_false(master_counts_as_revoked());
    TEXT_COPY(seen->facts.identity, cluster->servers[DB1].identity);
    seen->outcome = VIEW_TIMED_OUT;
    assert_false(master_counts_as_revoked());
}

/* A lossless cluster begins no reign for which nobody can acknowledge; others may. */
static void only_a_lossless_cluster_needs_an_acker(void **state)
{
    (void)state;
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    handmade_fails(h, DB4, VIEW_TIMED_OUT);
    assert_int_equal(assert_goes_on(DB2, "0-11-1234")->acker, FSM_SERVER_NONE);
    cluster->durability = DURABILITY_LOSSLESS;
    assert_waits();
}

/* --- what was received (A4) --- */

/* Its own transactions stand in its binlog only: read after it was revoked. */
static void what_a_promoted_one_wrote_itself_counts(void **state)
{
    const struct fsm_cmd_plan_step *s;
    (void)state;
    (void)was_promoted(DB3, FSM_BIT(DB4));
    plan->to = DB3;
    HANDMADE_FACTS(h, DB3, TEXT_COPY(f->binlog, "0-13-1236"));
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-11-1234", "0-11-1234");
    s = assert_goes_on(DB3, "0-13-1236");
    assert_string_equal(s->found[DB3].executed, "0-13-1236");
    (void)is_revoked(DB3, SEEN_MS, "0-11-1234", "0-11-1234"); /* Read before. */
    assert_false(assert_goes_on(DB2, "0-11-1234")->found[DB3].set);
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    HANDMADE_FACTS(h, DB3, TEXT_COPY(f->identity, "another one"));
    cluster->reigns[0].ackers |= FSM_BIT(DB3);
    cluster->reigns[0].k = 2; /* One of both is enough. */
    plan->by_operator = true;
    plan->to = DB2;
    cluster->reigns[0].started_s[DB3] = HANDMADE_STARTED_S;
    s = assert_goes_on(DB2, "0-11-1234");
    assert_false(s->found[DB3].set);
    HANDMADE_FACTS(h, DB3, TEXT_COPY(f->identity, cluster->servers[DB3].identity));
    handmade_fails(h, DB3, VIEW_TIMED_OUT);
    s = assert_goes_on(DB2, "0-11-1234");
    assert_false(s->found[DB3].set);
}

/* What an acker of a reign that was not given up holds may have been acknowledged, quarantined or not (S2). */
static void what_a_quarantined_acker_holds_counts(void **state)
{
    (void)state;
    cluster->servers[DB2].state = SERVER_QUARANTINED;
    (void)is_revoked(DB2, LATE_MS, "0-11-1240", "0-11-1240");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-11-1234", "0-11-1234");
    (void)assert_fails(); /* It may not be fetched from. */
    (void)is_revoked(DB3, LATE_MS, "0-11-1240", "0-11-1234");
    assert_goes_on(DB3, "0-11-1240");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-11-1234", "0-11-1234");
    was_promoted(DB4, FSM_BIT(DB2))->unfenced = true; /* Given up for one reign, not for the other. */
    (void)assert_fails();
}

/* A follower that proves nothing, and has what is not its master's, is left behind; an acker's is not judged. */
static void what_somebody_wrote_on_a_follower_does_not_count(void **state)
{
    const struct fsm_cmd_plan_step *s;
    (void)state;
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-14-1240", "0-14-1240");
    s = assert_goes_on(DB2, "0-11-1234");
    assert_int_equal(s->set_aside, FSM_BIT(DB4));
    assert_int_equal(s->acker, DB3);
    assert_string_not_equal(s->reason, "");
    (void)is_revoked(DB4, LATE_MS, "0-11-1234", "0-11-1234");
    s = assert_goes_on(DB2, "0-11-1234");
    assert_int_equal(s->set_aside, 0);
    assert_string_equal(s->reason, "");
    (void)is_revoked(DB2, LATE_MS, "0-14-1240", "0-11-1234");
    s = assert_goes_on(DB2, "0-14-1240");
    assert_int_equal(s->set_aside, 0);
}

/* --- who holds it --- */

/* db2, the only acker, has all; it cannot be promoted itself. */
static void db3_is_to_fetch(void)
{
    cluster->servers[DB2].maintenance = true;
    (void)is_revoked(DB2, LATE_MS, "0-11-1240", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB4, LATE_MS, "0-11-1230", "0-11-1230");
    plan->to = DB3;
}

static void a_holder_gives_what_the_candidate_lacks(void **state)
{
    (void)state;
    db3_is_to_fetch();
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB2);
    (void)is_revoked(DB4, LATE_MS, "0-11-1240", "0-11-1240"); /* Best who has executed it. */
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB4);
}

static void nothing_is_fetched_from_a_stopped_applier(void **state)
{
    (void)state;
    db3_is_to_fetch();
    h->outcomes[DB2].stuck = true;
    assert_non_null(strstr(assert_fails(), "applier"));
    TEXT_COPY(h->outcomes[DB2].executed, "0-11-1240"); /* It has executed all of it. */
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB2);
}

/* What somebody wrote there would be fetched in the place of what was acknowledged. */
static void nothing_is_fetched_from_who_was_written_to(void **state)
{
    (void)state;
    db3_is_to_fetch();
    HANDMADE_FACTS(h, DB2, TEXT_COPY(f->binlog, "0-12-1236"));
    assert_non_null(strstr(assert_fails(), "wrote"));
    HANDMADE_FACTS(h, DB2, TEXT_COPY(f->binlog, "0-99-1236")); /* Through it, from elsewhere. */
    assert_non_null(strstr(assert_fails(), "wrote"));
    HANDMADE_FACTS(h, DB2, TEXT_COPY(f->binlog, "0-11-1236"));
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB2);
}

/* The old master is asked for its end when nobody else can give what an acker has: closed first. */
static void a_closed_master_is_the_last_holder(void **state)
{
    (void)state;
    db3_is_to_fetch();
    h->outcomes[DB2].stuck = true;
    master_returns();
    (void)says(DB1, VERB_CLOSE, VERB_STATE_UNKNOWN, SOON_MS);
    assert_waits();
    step_ms = WORK_GIVE_UP_MS;
    (void)assert_fails();
    step_ms = 0;
    (void)is_closed(DB1, LATE_MS, "0-11-1240");
    HANDMADE_FACTS(h, DB1, (TEXT_COPY(f->binlog, "0-11-1240"), TEXT_COPY(f->executed, "0-11-1200")));
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB1);
    was_promoted(DB4, FSM_BIT(DB1))->unfenced = true; /* It may still acknowledge for that one: not seen quiet. */
    HANDMADE_FACTS(h, DB1, f->replica_enabled = true);
    (void)assert_fails();
    HANDMADE_FACTS(h, DB1, f->replica_enabled = false);
    assert_int_equal(assert_goes_on(DB3, "0-11-1240")->holder, DB1);
}

/* What nobody can give, and no acker has, is left behind, with who has it, and with nobody else. */
static void what_no_acker_has_and_nobody_gives_is_left_behind(void **state)
{
    (void)state;
    (void)is_revoked(DB2, LATE_MS, "0-11-1234", "0-11-1234");
    (void)is_revoked(DB3, LATE_MS, "0-11-1230", "0-11-1230");
    is_revoked(DB4, LATE_MS, "0-11-1250", "0-11-1230")->stuck = true;
    assert_int_equal(assert_goes_on(DB2, "0-11-1234")->set_aside, FSM_BIT(DB4));
    h->outcomes[DB4].stuck = false;
    assert_int_equal(assert_goes_on(DB2, "0-11-1250")->set_aside, 0);
}

/* Who has forgotten what it received proves nothing, and can give what it executed. */
static void who_has_forgotten_can_give_what_it_executed(void **state)
{
    const struct fsm_cmd_plan_step *s;
    (void)state;
    db3_is_to_fetch();
    h->outcomes[DB2].stuck = true;
    has_forgotten(DB4, "0-11-1240");
    s = assert_goes_on(DB3, "0-11-1240");
    assert_int_equal(s->holder, DB4);
    assert_true(s->found[DB4].set);
    assert_string_equal(s->found[DB4].executed, "0-11-1240");
    (void)says(DB4, VERB_REVOKE, VERB_STATE_FAILED, LATE_MS); /* It says nothing. */
    (void)assert_fails();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_promoted_one_is_closed_while_it_is_seen_open),
        TEST(a_promoted_one_that_is_not_read_is_closed_to_the_end),
        TEST(another_server_at_its_address_is_not_closed),
        TEST(only_members_that_are_reached_are_wished_for),
        TEST(an_operator_closes_first_and_lets_the_end_flow_out),
        TEST(others_are_waited_for_a_short_while),
        TEST(who_has_forgotten_ends_no_reign_that_was_open),
        TEST(a_candidates_own_reign_needs_no_fence),
        TEST(a_master_goes_on_when_it_is_closed_and_durable),
        TEST(a_closed_master_is_revoked_when_it_was_seen_to_receive_nothing),
        TEST(only_a_lossless_cluster_needs_an_acker),
        TEST(what_a_promoted_one_wrote_itself_counts),
        TEST(what_a_quarantined_acker_holds_counts),
        TEST(what_somebody_wrote_on_a_follower_does_not_count),
        TEST(a_holder_gives_what_the_candidate_lacks),
        TEST(nothing_is_fetched_from_a_stopped_applier),
        TEST(nothing_is_fetched_from_who_was_written_to),
        TEST(a_closed_master_is_the_last_holder),
        TEST(what_no_acker_has_and_nobody_gives_is_left_behind),
        TEST(who_has_forgotten_can_give_what_it_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
