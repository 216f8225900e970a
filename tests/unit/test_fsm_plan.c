/* Plans in the state machine: what begins, which step may follow, and the rule that each step upholds. */
#include "tests/unit/fsm_fixture.h"

/* --- begin --- */

static void begin_gives_token_epoch_and_first_step(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_plan *p;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    p = fixture_plan(x);
    assert_int_equal(p->token, x->index);
    assert_int_equal(x->result.value, x->index);
    assert_int_equal(p->epoch, 2);
    assert_int_equal(p->from, DB1);
    assert_int_equal(p->to, DB2);
    assert_int_equal(p->acker, DB3);
    assert_int_equal(p->holder, FSM_SERVER_NONE);
    assert_int_equal(p->started.us, (int64_t)x->index * 1000);
    assert_int_equal(p->ended.us, 0);
    assert_int_equal(fixture_shop(x)->epoch_used, 2);
    assert_int_equal(fixture_shop(x)->epoch, 1);
    assert_int_equal(p->step, STEP_REVOKE);
    assert_int_equal(p->step_at[STEP_REVOKE].us, (int64_t)x->index * 1000);
    assert_string_equal(p->verdict, "gone");
    assert_string_equal(fixture_last_event(x)->kind, "plan.begin");
    assert_string_equal(fixture_last_event(x)->evidence, "m1: refused twice");
    assert_non_null(strstr(fixture_last_event(x)->text, "db2"));
    assert_non_null(strstr(fixture_last_event(x)->text, "gone"));
}

static void one_plan_a_cluster(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_begin(x, PLAN_FAILOVER)->to = DB2;
    fixture_refused(x, FSM_BUSY, "runs on shop");
}

static void begin_needs_the_epoch(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_begin *c;

    fixture_enrolled(x);
    c = fixture_begin(x, PLAN_FAILOVER);
    c->to = DB2;
    c->acker = DB3;
    c->epoch = 0;
    fixture_refused(x, FSM_STALE, "epoch 1 now");
    c = fixture_begin(x, PLAN_FAILOVER);
    (void)TEXT_COPY(c->cluster, "barn");
    fixture_refused(x, FSM_NOT_FOUND, "barn");
    c = fixture_begin(x, (enum fsm_plan_kind)9);
    fixture_refused(x, FSM_INVALID, "kind");
}

static void paused_clusters_begin_only_for_operators(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_begin *c;

    fixture_enrolled(x);
    x->command.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(x->command.u.cluster_pause.cluster, "shop");
    x->command.u.cluster_pause.paused = true;
    fixture_ok(x);
    c = fixture_begin(x, PLAN_FAILOVER);
    c->to = DB2;
    c->acker = DB3;
    fixture_refused(x, FSM_UNSAFE, "paused");
    c = fixture_begin(x, PLAN_FAILOVER);
    c->to = DB2;
    c->acker = DB3;
    c->by_operator = true;
    fixture_ok(x);
}

static void enrol_only_once(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_refused(x, FSM_INVALID, "enrolled already");
}

static void enrol_needs_a_master(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL)->to = FSM_SERVER_NONE;
    fixture_refused(x, FSM_INVALID, "nobody");
    fixture_begin(x, PLAN_ENROL)->to = 4;
    fixture_refused(x, FSM_INVALID, "nobody");
    fixture_begin(x, PLAN_ENROL)->acker = DB1;
    fixture_refused(x, FSM_INVALID, "acker");
    fixture_server_state(x, "db1", SERVER_QUARANTINED, "x");
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_refused(x, FSM_INVALID, "db1");
}

static void failover_and_close_need_enrolment(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_begin *c;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_FAILOVER)->to = DB2;
    fixture_refused(x, FSM_INVALID, "not enrolled");
    c = fixture_begin(x, PLAN_CLOSE);
    c->from = DB2;
    fixture_refused(x, FSM_INVALID, "not enrolled");
}

static void refused_failover(struct fixture *x, uint8_t from, uint8_t to, uint8_t acker)
{
    struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_FAILOVER);

    c->from = from;
    c->to = to;
    c->acker = acker;
    fixture_refused(x, FSM_INVALID, "failover of shop");
}

static void failover_checks_its_servers(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    refused_failover(x, DB3, DB2, DB4); /* Not the master. */
    refused_failover(x, DB1, FSM_SERVER_NONE, DB2);
    refused_failover(x, DB1, DB2, DB2);
    refused_failover(x, DB1, DB2, DB1);
    refused_failover(x, DB1, DB2, 4);
    fixture_server_state(x, "db2", SERVER_QUARANTINED, "x");
    fixture_ok(x);
    refused_failover(x, DB1, DB2, DB3);
    fixture_failover(x, DB3, FSM_SERVER_NONE);
}

static void close_closes_a_server_that_is_not_master(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_begin(x, PLAN_CLOSE);
    fixture_refused(x, FSM_INVALID, "db1");
    fixture_begin(x, PLAN_CLOSE)->from = 4;
    fixture_refused(x, FSM_INVALID, "nobody");
    fixture_begin(x, PLAN_CLOSE)->from = DB4;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->epoch, 1);
    assert_int_equal(fixture_plan(x)->step, STEP_SHUT);
    assert_int_equal(fixture_shop(x)->epoch_used, 1);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->plan, 0);
    assert_string_equal(fixture_last_event(x)->kind, "plan.done");
}

static void epochs_of_failed_plans_are_not_given_again(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_failover(x, DB2, DB3);
    assert_int_equal(fixture_plan(x)->epoch, 3);
}

static void running_plans_are_never_overwritten(void **arg)
{
    struct fixture *x = *arg;
    uint64_t token;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    token = x->result.value;
    (void)TEXT_COPY(fixture_spec(x, true)->name, "barn");
    fixture_ok(x);
    for (int i = 0; i < FSM_PLANS_MAX + 3; i++) {
        struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_ENROL);
        (void)TEXT_COPY(c->cluster, "barn");
        c->epoch = 0;
        fixture_ok(x);
        x->command.u.plan_end.token = x->result.value;
        x->command.kind = CMD_PLAN_END;
        x->command.u.plan_end.state = PLAN_STATE_FAILED;
        (void)TEXT_COPY(x->command.u.plan_end.reason, "again");
        assert_string_equal(fsm_plan_find(x->state, x->result.value)->reason, ""); /* Nothing of the old slot. */
        assert_int_equal(fsm_plan_find(x->state, x->result.value)->ended.us, 0);
        assert_int_equal(fsm_plan_find(x->state, x->result.value)->from, FSM_SERVER_NONE);
        fixture_ok(x);
    }
    assert_non_null(fsm_plan_find(x->state, token));
    assert_int_equal(fixture_plan(x)->token, token);
}

/* --- steps: order --- */

static void step_needs_a_running_plan(void **arg)
{
    struct fixture *x = *arg;
    uint64_t token;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    token = fixture_shop(x)->plan;
    fixture_revoke(x, DB2, DB3)->token = token + 1;
    fixture_refused(x, FSM_STALE, "does not run");
    fixture_revoke(x, DB2, DB3)->done = STEP_APPLY;
    fixture_refused(x, FSM_STALE, "at step revoke");
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    x->command.kind = CMD_PLAN_STEP;
    x->command.u.plan_step.token = token;
    x->command.u.plan_step.done = STEP_REVOKE;
    fixture_refused(x, FSM_STALE, "does not run");
}

/* From the step at which the plan is, only the steps of 'legal' (bit: 1 << step) may follow. */
static void only(struct fixture *x, unsigned legal)
{
    for (int next = 0; next <= (int)fsm_step_count; next++) {
        if (legal & (1u << next)) continue;
        fixture_step(x, (enum fsm_step)next);
        fixture_refused(x, FSM_INVALID, "cannot follow");
    }
}

static void steps_follow_their_order(void **arg)
{
    struct fixture *x = *arg;
    static const struct {
        enum fsm_step step;
        unsigned legal;
    } rows[] = {
        {STEP_REVOKE, 1u << STEP_APPLY},
        {STEP_APPLY, 1u << STEP_PROMOTE},
        {STEP_PROMOTE, 1u << STEP_ESTABLISH},
        {STEP_ESTABLISH, 1u << STEP_ESTABLISH | 1u << STEP_OPEN},
        {STEP_OPEN, 1u << STEP_ESTABLISH | 1u << STEP_REPOINT},
        {STEP_REPOINT, 1u << STEP_DONE}, /* Again only with something set aside or revoked. */
    };

    fixture_enrolled(x);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_failover_until(x, rows[i].step);
        only(x, rows[i].legal);
        if (rows[i].step == STEP_REPOINT) break;
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
}

static void enrol_and_close_follow_their_order(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    only(x, 1u << STEP_VERIFY);
    fixture_prepare(x);
    fixture_ok(x);
    only(x, 1u << STEP_DONE);
    fixture_step(x, STEP_DONE);
    fixture_ok(x);
    fixture_begin(x, PLAN_CLOSE)->from = DB4;
    fixture_ok(x);
    only(x, 1u << STEP_DONE);
}

static void a_holder_makes_catch_up_follow(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover(x, DB2, DB3);
    c = fixture_revoke(x, DB2, DB3);
    fixture_found(c, DB4, "0-1-101");
    c->holder = DB4;
    fixture_ok(x);
    assert_int_equal(fixture_plan(x)->holder, DB4);
    only(x, 1u << STEP_CATCH_UP);
    fixture_step(x, STEP_CATCH_UP);
    fixture_ok(x);
    only(x, 1u << STEP_PROMOTE);
    fixture_step(x, STEP_PROMOTE);
    fixture_ok(x);
}

/* --- enrolment --- */

static void enrolment_makes_epoch_one(void **arg)
{
    struct fixture *x = *arg;
    const struct fsm_reign *r;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x)->identity[DB4][0] = '\0';
    fixture_ok(x);
    /* Listed before anything relies on it, and nothing is proven yet. */
    assert_int_equal(fixture_shop(x)->epoch, 0);
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    r = &fixture_shop(x)->reigns[0];
    assert_int_equal(r->epoch, 1);
    assert_int_equal(r->master, DB1);
    assert_int_equal(r->k, 1);
    assert_int_equal(r->ackers, FSM_BIT(DB2));
    assert_int_equal(r->token, fixture_plan(x)->token);
    assert_false(r->lossless);
    assert_int_equal(fixture_shop(x)->master, DB1);
    assert_int_equal(fixture_shop(x)->backup, DB2);
    assert_int_equal(fixture_shop(x)->servers[DB2].state, SERVER_MEMBER);
    assert_string_equal(fixture_shop(x)->servers[DB2].identity, "identity-2");
    assert_int_equal(fixture_shop(x)->servers[DB2].server_id, 2);
    assert_int_equal(fixture_shop(x)->servers[DB4].state, SERVER_NEW);
    fixture_verify(x);
    fixture_ok(x);
    assert_true(r->lossless);
    assert_string_equal(r->since, "0-1-10");
    assert_int_equal(fixture_shop(x)->epoch, 1);
    assert_ptr_equal(fsm_reign_current(fixture_shop(x)), r);
    assert_int_equal(fixture_shop(x)->plan, 0);
    assert_string_equal(fixture_last_event(x)->kind, "plan.done");
    assert_non_null(strstr(fixture_last_event(x)->text, "lossless since 0-1-10"));
}

static void enrolment_is_lossless_only_when_proven(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x);
    fixture_ok(x);
    fixture_step(x, STEP_DONE); /* No position. */
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
}

static void async_is_never_lossless(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled_as(x, DURABILITY_ASYNC);
    assert_false(fixture_shop(x)->reigns[0].lossless);
    assert_string_equal(fixture_shop(x)->reigns[0].since, "");
}

static void enrolment_needs_the_masters_identity(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x)->identity[DB1][0] = '\0';
    fixture_refused(x, FSM_INVALID, "db1 has no identity");
    (void)TEXT_COPY(fixture_prepare(x)->identity[DB3], "identity-1");
    fixture_refused(x, FSM_INVALID, "db1 and db3 have the same identity");
    fixture_prepare(x)->server_id[DB3] = 1;
    fixture_refused(x, FSM_INVALID, "same server_id");
    fixture_prepare(x)->set_aside = FSM_BIT(DB1);
    fixture_refused(x, FSM_INVALID, "needs it: db1");
}

static void enrolment_without_acker_is_told(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cmd_plan_step *c;

    fixture_spec(x, true);
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    c = fixture_prepare(x);
    c->set_aside = FSM_BIT(DB2) | FSM_BIT(DB4);
    (void)TEXT_COPY(c->reason, "no GTID strict mode: set it, then clear");
    fixture_ok(x);
    assert_int_equal(fixture_shop(x)->servers[DB2].state, SERVER_QUARANTINED);
    assert_string_equal(fixture_shop(x)->servers[DB4].reason, "no GTID strict mode: set it, then clear");
    assert_int_equal(fixture_shop(x)->backup, FSM_SERVER_NONE);
    assert_int_equal(fixture_shop(x)->reigns[0].k, 0);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, 0);
    assert_non_null(fixture_event(x, "reign.degraded"));
    fixture_verify(x);
    fixture_ok(x);
    assert_false(fixture_shop(x)->reigns[0].lossless);
}

static void enrolment_tried_again_keeps_earlier_ackers(void **arg)
{
    struct fixture *x = *arg;

    fixture_spec(x, true);
    fixture_ok(x);
    for (int i = 0; i < 2; i++) {
        fixture_begin(x, PLAN_ENROL)->acker = i == 0 ? DB2 : DB3;
        fixture_ok(x);
        fixture_prepare(x);
        fixture_ok(x);
        if (i == 0) fixture_end(x, PLAN_STATE_FAILED);
        if (i == 0) fixture_ok(x);
    }
    assert_int_equal(fixture_shop(x)->reigns_n, 1);
    assert_int_equal(fixture_shop(x)->reigns[0].epoch, 2);
    assert_int_equal(fixture_shop(x)->reigns[0].ackers, FSM_BIT(DB2) | FSM_BIT(DB3));
}

static void reigns_of_failed_enrolments_are_limited(void **arg)
{
    struct fixture *x = *arg;
    struct fsm_cluster_spec *spec = fixture_spec(x, true);

    fixture_server(spec, "db5", "127.0.0.1:3305", ROLE_REPLICA);
    fixture_ok(x);
    for (uint8_t i = 0; i < 5; i++) {
        fixture_begin(x, PLAN_ENROL)->to = i;
        x->command.u.plan_begin.acker = FSM_SERVER_NONE;
        fixture_ok(x);
        (void)TEXT_COPY(fixture_prepare(x)->identity[4], "identity-5");
        if (i == FSM_REIGNS_MAX) break;
        fixture_ok(x);
        fixture_end(x, PLAN_STATE_FAILED);
        fixture_ok(x);
    }
    fixture_refused(x, FSM_FULL, "4 reigns");
}

/* --- invariants: each broken by hand is named --- */

#define BREAKS(x, change, expected)                                                                                   \
    do {                                                                                                              \
        struct fsm_cluster *c = &(x)->state->clusters[0];                                                             \
        const char *broken_;                                                                                          \
        memcpy((x)->before, (x)->state, sizeof(*(x)->state));                                                         \
        (void)c;                                                                                                      \
        change;                                                                                                       \
        broken_ = fsm_invariant((x)->state);                                                                          \
        assert_non_null(broken_);                                                                                     \
        if (strstr(broken_, expected) == NULL) fail_msg("expected \"%s\", got \"%s\"", expected, broken_);             \
        memcpy((x)->state, (x)->before, sizeof(*(x)->state));                                                         \
    } while (0)

static void broken_states_are_noticed(void **arg)
{
    struct fixture *x = *arg;

    fixture_enrolled(x);
    BREAKS(x, c->name[0] = '\0', "a cluster has a name");
    BREAKS(x, c->durability = fsm_durability_count, "durability");
    BREAKS(x, c->flavour = fsm_flavour_none, "flavour");
    BREAKS(x, memset(c->group, 'x', FSM_NAME_SIZE), "texts end");
    BREAKS(x, c->servers[DB3].name[0] = '\0', "a server has a name");
    BREAKS(x, c->servers[DB3].role = fsm_role_none, "a server has a role");
    BREAKS(x, c->servers[DB3].declared = fsm_role_count, "a server has a role");
    BREAKS(x, x->state->plans[0].cluster = 9, "a plan has a cluster");
    BREAKS(x, x->state->plans[0].kind = fsm_plan_kind_count, "kind and state");
    BREAKS(x, x->state->plans[0].state = fsm_plan_state_none, "kind and state");
    BREAKS(x, x->state->plans[0].fence = fsm_fence_count, "fence is known");
    BREAKS(x, x->state->plans[0].to = 4, "servers exist");
    BREAKS(x, x->state->plans[0].revoked = FSM_BIT(4), "servers exist");
    BREAKS(x, x->state->plans[0].found[4].set = true, "finding has a server");
    BREAKS(x, memset(x->state->plans[0].target, 'x', FSM_GTID_SIZE), "texts end");
    BREAKS(x, memset(x->state->plans[0].found[0].executed, 'x', FSM_GTID_SIZE), "texts end");
    BREAKS(x, memset(x->state->events[0].text, 'x', FSM_TEXT_SIZE), "texts end");
    BREAKS(x, c->plan = 77, "plan runs");
    BREAKS(x, c->plan = x->state->plans[0].token, "plan");
    BREAKS(x, c->epoch = 5, "in order");
    BREAKS(x, c->reigns_n = 0, "listed (A8)");
    BREAKS(x, c->reigns[0].master = DB2; c->reigns[0].ackers = FSM_BIT(DB1), "current reign is the master's");
    BREAKS(x, c->reigns[0].ackers |= FSM_BIT(9), "ackers are servers");
    BREAKS(x, c->reigns[0].ackers |= FSM_BIT(DB1), "for itself");
    BREAKS(x, c->reigns[0].k = 2, "k is at most");
    BREAKS(x, c->reigns[0].ackers = 0; c->reigns[0].k = 0, "lossless reign");
    BREAKS(x, c->reigns[0].epoch = 2, "given to a plan");
    BREAKS(x, c->reigns[0].started_s[DB1] = 0, "knows the incarnations");
    BREAKS(x, c->reigns[0].started_s[DB2] = 0, "knows the incarnations");
    BREAKS(x, c->reigns[0].opened = false, "that was opened");
    BREAKS(x, c->reigns[0].unfenced = true, "given up only for a newer one");
    BREAKS(x, x->state->plans[0].unproven = 1, "unproven reigns are past ones");
    BREAKS(x, c->reigns_n = 2; c->reigns[1] = c->reigns[0], "an epoch has one reign");
    BREAKS(x, c->servers[DB1].state = SERVER_QUARANTINED; c->servers[DB1].reason[0] = 'x', "master is a member");
    BREAKS(x, c->servers[DB3].role = ROLE_MASTER, "role master");
    BREAKS(x, c->servers[DB3].state = SERVER_QUARANTINED, "has a reason");
    BREAKS(x, c->servers[DB3].identity[0] = '\0', "has an identity");
    BREAKS(x, memcpy(c->servers[DB3].name, "db2", 4), "unique");
    BREAKS(x, memset(c->servers[DB3].reason, 'x', FSM_TEXT_SIZE), "texts end");
    BREAKS(x, c->backup = DB1, "another server");
    BREAKS(x, c->master = 9, "are servers");
    BREAKS(x, c->servers_n = 17, "has servers");
    BREAKS(x, x->state->plans[0].step = STEP_SHUT, "one of its kind");
    BREAKS(x, x->state->plans_next = FSM_PLANS_MAX, "ring of plans");
    BREAKS(x, x->state->events[0].index = 99, "in order");
    BREAKS(x, x->state->dedup[0].client = 0, "its shape");
    BREAKS(x, x->state->dedup[0].code = 99, "remembered result");
    fixture_failover_until(x, STEP_OPEN);
    BREAKS(x, x->state->plans[1].acker = DB4, "before it attaches");
    BREAKS(x, x->state->plans[1].acker = FSM_SERVER_NONE; c->durability = DURABILITY_LOSSLESS, "with an acker (A5)");
    BREAKS(x, x->state->plans[1].from = x->state->plans[1].to, "only after it was closed");
    BREAKS(x, x->state->plans[1].from = FSM_SERVER_NONE, "has its servers");
    BREAKS(x, c->reigns[0].token = 0; c->reigns[0].master = DB4; c->reigns[0].lossless = false, "before it opens");
    BREAKS(x, c->reigns[0].epoch = 1, "current reign is the master's");
    BREAKS(x, c->reigns_n = 2; c->reigns[1] = x->state->plans[1].past[0], "older reigns (S1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FSM_TEST(begin_gives_token_epoch_and_first_step),
        FSM_TEST(one_plan_a_cluster),
        FSM_TEST(begin_needs_the_epoch),
        FSM_TEST(paused_clusters_begin_only_for_operators),
        FSM_TEST(enrol_only_once),
        FSM_TEST(enrol_needs_a_master),
        FSM_TEST(failover_and_close_need_enrolment),
        FSM_TEST(failover_checks_its_servers),
        FSM_TEST(close_closes_a_server_that_is_not_master),
        FSM_TEST(epochs_of_failed_plans_are_not_given_again),
        FSM_TEST(running_plans_are_never_overwritten),
        FSM_TEST(step_needs_a_running_plan),
        FSM_TEST(steps_follow_their_order),
        FSM_TEST(enrol_and_close_follow_their_order),
        FSM_TEST(a_holder_makes_catch_up_follow),
        FSM_TEST(enrolment_makes_epoch_one),
        FSM_TEST(enrolment_is_lossless_only_when_proven),
        FSM_TEST(async_is_never_lossless),
        FSM_TEST(enrolment_needs_the_masters_identity),
        FSM_TEST(enrolment_without_acker_is_told),
        FSM_TEST(enrolment_tried_again_keeps_earlier_ackers),
        FSM_TEST(reigns_of_failed_enrolments_are_limited),
        FSM_TEST(broken_states_are_noticed),
    };

    return cmocka_run_group_tests_name("fsm_plan", tests, NULL, NULL);
}
