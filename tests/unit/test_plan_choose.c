/* Whom a failover may choose, and what counts as proof (plan/choose.c, plan/proof.c), condition by condition: a view of
 * handmade.h ("shop": master db1, acker db2, replicas db3 and db4), one thing bent at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/choose.h"
#include "plan/proof.h"
#include "plan/sight.h"
#include "tests/unit/handmade.h"

enum { DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3, ALL = FSM_BIT(DB1) | FSM_BIT(DB2) | FSM_BIT(DB3) | FSM_BIT(DB4) };

static struct handmade *h;
static struct fsm_cluster *cluster;
static struct fsm_reign *reign;
static struct plan_input in;
static struct plan_update update;
static struct work w;

static int setup(void **state)
{
    (void)state;
    h = handmade_new();
    cluster = &h->state.clusters[0];
    reign = &cluster->reigns[0];
    in = (struct plan_input){.state = &h->state, .view = &h->view, .outcomes = h->outcomes, .may_act = true,
                             .wall = {HANDMADE_TIME}};
    w = (struct work){.in = &in, .cluster = cluster, .update = &update};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(h);
    return 0;
}

static void plan_runs(void)
{
    w.plan = handmade_plan(h, PLAN_STATE_RUNNING, STEP_REVOKE);
}

static struct fsm_reign *list(uint64_t epoch, uint8_t master, fsm_set ackers)
{
    struct fsm_reign *r = &cluster->reigns[cluster->reigns_n++];
    *r = (struct fsm_reign){.epoch = epoch, .master = master, .k = 1, .ackers = ackers, .lossless = true,
                            .since = "0-11-3", .opened = true};
    for (uint8_t i = 0; i < 4; i++) r->started_s[i] = HANDMADE_STARTED_S;
    return r;
}

static void has_received(uint8_t server, const char *received)
{
    HANDMADE_FACTS(h, server, TEXT_COPY(f->channels[0].received, received));
}

static void read_ms_ago(uint8_t server, int64_t age_ms)
{
    for (uint8_t m = 0; m < 3; m++) h->view.managers[m].servers[server].age_ms = age_ms;
}

/* --- candidates --- */

static void each_trouble_forbids_a_promotion(void **state)
{
    struct view_facts *f = &h->view.managers[0].servers[DB3].facts;
    struct view_facts good = *f;
    (void)state;
    assert_null(choose_problem(&w, DB3));
    assert_non_null(choose_problem(&w, 4));
    assert_non_null(choose_problem(&w, DB1));
#define FORBIDS(statement)                                                                                            \
    statement;                                                                                                        \
    assert_non_null(choose_problem(&w, DB3));                                                                         \
    *f = good;                                                                                                        \
    assert_null(choose_problem(&w, DB3))
    FORBIDS(f->read_only = false);
    FORBIDS(f->channels[0].sql_errno = 1062);
    FORBIDS(TEXT_COPY(f->executed, "0-13-1240"));
    FORBIDS(f->supported = false);
    FORBIDS(f->binlog_on = false);
    FORBIDS(f->log_replica_updates = false);
    FORBIDS(f->gtid_strict = false);
    FORBIDS(f->identity[0] = 'x');
#undef FORBIDS
    f->channels_n = 0; /* That of an earlier one is no trouble. */
    f->channels[0].sql_errno = 1062;
    assert_null(choose_problem(&w, DB3));
    TEXT_COPY(f->executed, "0-13-1240"); /* Not lossless: nobody knows from when on only the master has written. */
    reign->lossless = false;
    assert_null(choose_problem(&w, DB3));
}

static void what_was_received_is_the_channels_word_while_there_is_one(void **state)
{
    (void)state;
    has_received(DB3, "0-11-1240");
    assert_string_equal(choose_received(&w, DB3), "0-11-1240");
    has_received(DB3, "");
    assert_string_equal(choose_received(&w, DB3), "0-11-1234");
    has_received(DB3, "0-11-1240");
    HANDMADE_FACTS(h, DB3, f->channels_n = 0);
    assert_string_equal(choose_received(&w, DB3), "0-11-1234");
}

static void promoted_is_who_has_a_reign_past_the_current_one(void **state)
{
    struct fsm_plan *plan;
    (void)state;
    assert_false(choose_was_promoted(&w, DB1));
    (void)list(7, DB3, FSM_BIT(DB4));
    assert_true(choose_was_promoted(&w, DB3));
    assert_false(choose_was_promoted(&w, DB4));
    plan_runs();
    plan = &h->state.plans[0];
    plan->epoch = 7; /* It is on its way. */
    assert_false(choose_was_promoted(&w, DB3));
    plan->past_n = 2; /* What the plan took off the list. */
    plan->past[0] = (struct fsm_reign){.epoch = 1, .master = DB2};
    plan->past[1] = (struct fsm_reign){.epoch = 2, .master = DB4};
    assert_true(choose_was_promoted(&w, DB4));
    assert_false(choose_was_promoted(&w, DB2));
    assert_false(choose_was_promoted(&w, DB3));
}

/* S6: it may commit its clients' writes, so a failover goes on with it or not at all. */
static void nobody_is_promoted_over_an_open_successor(void **state)
{
    struct fsm_reign *r = list(2, DB3, FSM_BIT(DB4));
    (void)state;
    HANDMADE_FACTS(h, DB3, (f->read_only = false, f->channels_n = 0, f->source_enabled = f->source_on = true));
    assert_int_equal(choose_open(&w), DB3);
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
    assert_int_equal(choose_candidate(&w, DB2, FSM_BIT(DB2) | FSM_BIT(DB4)), FSM_SERVER_NONE);
    cluster->servers[DB3].maintenance = true;
    assert_int_equal(choose_candidate(&w, DB2, ALL), FSM_SERVER_NONE);
    cluster->servers[DB3].maintenance = false;
    r->opened = false;
    assert_int_equal(choose_open(&w), FSM_SERVER_NONE);
    r->opened = r->unfenced = true; /* An operator gave it up. */
    assert_int_equal(choose_open(&w), FSM_SERVER_NONE);
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB2);
    r->unfenced = false;
    cluster->paused = true; /* It is no less open. */
    assert_int_equal(choose_open(&w), DB3);
}

static void an_acker_comes_before_who_has_more(void **state)
{
    (void)state;
    reign->ackers |= FSM_BIT(DB4);
    has_received(DB3, "0-11-1240");
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB2);
    cluster->servers[DB2].maintenance = true;
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB4);
    assert_int_equal(choose_candidate(&w, DB2, FSM_BIT(DB3)), DB3);
    reign->ackers = FSM_BIT(DB2);
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
    has_received(DB4, "0-11-1250");
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB4);
    has_received(DB4, "1-11-7"); /* Neither has all of the other's. */
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
}

/* It applied nothing, or nobody attached: others first. */
static void who_failed_last_comes_last(void **state)
{
    struct fsm_plan *last = handmade_plan(h, PLAN_STATE_FAILED, STEP_APPLY);
    (void)state;
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
    assert_int_equal(choose_candidate(&w, DB2, FSM_BIT(DB2)), DB2);
    last->step = STEP_OPEN; /* It may be open: it is gone on with. */
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB2);
    last->step = STEP_ESTABLISH;
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
    last->state = PLAN_STATE_FINISHED;
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB2);
    last->state = PLAN_STATE_FAILED;
    last->to = DB4;
    cluster->servers[DB2].maintenance = true;
    has_received(DB4, "0-11-1250");
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB3);
    last->to = DB3;
    assert_int_equal(choose_candidate(&w, DB2, ALL), DB4);
}

static void a_healthy_acker_comes_before_who_has_more(void **state)
{
    struct view_facts *f = &h->view.managers[0].servers[DB3].facts;
    (void)state;
    has_received(DB3, "0-11-1240");
    assert_int_equal(choose_acker(&w, DB2, 0), DB3);
    f->relay_durable = false;
    assert_int_equal(choose_acker(&w, DB2, 0), DB4);
    assert_int_equal(choose_acker(&w, DB2, FSM_BIT(DB4)), DB3);
    f->relay_durable = true;
    f->channels[0].sql_errno = 1062;
    assert_int_equal(choose_acker(&w, DB2, 0), DB4);
    f->channels[0].sql_errno = 0;
    TEXT_COPY(f->executed, "0-13-1240");
    assert_int_equal(choose_acker(&w, DB2, 0), DB4);
    TEXT_COPY(f->executed, "0-11-1240");
    f->channels_n = 0;
    assert_int_equal(choose_acker(&w, DB2, 0), DB3);
}

/* --- whether a reign's end can be proven --- */

static void ackers_must_have_been_read_a_moment_ago(void **state)
{
    (void)state;
    assert_true(choose_reads_ackers(&w));
    read_ms_ago(DB2, 300);
    assert_false(choose_reads_ackers(&w));
    reign->unfenced = true; /* Reigns that no acker can prove the end of are not asked about. */
    assert_true(choose_reads_ackers(&w));
    reign->unfenced = false;
    reign->k = 2;
    assert_true(choose_reads_ackers(&w));
    reign->k = 0;
    reign->ackers = 0;
    assert_true(choose_reads_ackers(&w));
    reign->k = 1;
    reign->ackers = FSM_BIT(DB2) | FSM_BIT(DB3); /* Both of them are needed. */
    assert_false(choose_reads_ackers(&w));
    reign->k = 2;
    assert_true(choose_reads_ackers(&w));
}

static bool is_provable(uint8_t to, bool may_close)
{
    char buffer[FSM_TEXT_SIZE];
    struct text t = TEXT_ON(buffer);
    return choose_is_provable(&w, to, may_close, &t);
}

static void an_end_is_proven_by_ackers_or_by_closing(void **state)
{
    (void)state;
    assert_true(is_provable(DB2, false));
    read_ms_ago(DB2, 300); /* To be reached is enough where the master may be closed. */
    assert_false(is_provable(DB2, false));
    handmade_fails(h, DB1, VIEW_REFUSED);
    assert_true(is_provable(DB2, true));
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    assert_false(is_provable(DB3, true));
    free(h);
    (void)setup(state);
    handmade_fails(h, DB2, VIEW_TIMED_OUT);
    assert_false(is_provable(DB3, false));
    assert_true(is_provable(DB3, true));
    HANDMADE_FACTS(h, DB1, f->durable = false);
    assert_false(is_provable(DB3, true));
    reign->lossless = false; /* Nothing better is to be had (A7). */
    assert_true(is_provable(DB3, true));
    assert_false(is_provable(DB3, false));
    reign->lossless = true;
    reign->unfenced = true;
    assert_true(is_provable(DB3, false));
    reign->unfenced = false;
    HANDMADE_FACTS(h, DB1, f->durable = true);
    (void)list(2, DB4, FSM_BIT(DB2)); /* A candidate's own reign is not to be ended; another's is. */
    assert_true(is_provable(DB4, true));
    assert_false(is_provable(DB3, true));
}

/* --- the proof of a reign (A7) --- */

static void is_read(uint8_t manager, uint8_t server, int64_t age_ms)
{
    h->view.managers[manager].servers[server].age_ms = age_ms;
}

static bool finds(void)
{
    struct proof proof;
    return proof_find(&w, DB1, reign->ackers, &proof);
}

/* The master, then its acker, then the master again: by two managers. */
static void a_proof_is_an_acker_between_two_looks_at_the_master(void **state)
{
    (void)state;
    for (uint8_t m = 0; m < 3; m++) {
        is_read(m, DB1, m == 0 ? 90 : m == 1 ? 30 : 60);
        is_read(m, DB2, 50);
    }
    assert_true(finds());
    read_ms_ago(DB2, 100);
    assert_false(finds());
    read_ms_ago(DB2, 20);
    assert_false(finds());
    read_ms_ago(DB2, 50);
    h->view.managers[0].heard = h->view.managers[1].heard = h->view.managers[2].heard = false;
    is_read(0, DB1, 50);
    assert_false(finds()); /* One look. */
    h->view.managers_n = 1; /* There is no other manager. */
    assert_true(finds());
    read_ms_ago(DB2, 20);
    assert_true(finds());
}

static void whatever_is_not_as_it_must_be_is_no_proof(void **state)
{
    (void)state;
    for (uint8_t m = 0; m < 3; m++) {
        is_read(m, DB1, m == 0 ? 90 : m == 1 ? 30 : 60);
        is_read(m, DB2, 50);
    }
    assert_true(finds());
    HANDMADE_FACTS(h, DB1, f->source_clients = 2);
    assert_false(finds());
    HANDMADE_FACTS(h, DB1, (f->source_clients = 1, f->binlog[0] = '\0'));
    assert_false(finds());
    HANDMADE_FACTS(h, DB1, TEXT_COPY(f->binlog, "0-11-1234"));
    h->view.managers[1].servers[DB1].facts.no_tx = 7;
    assert_false(finds());
    h->view.managers[1].servers[DB1].facts.no_tx = 0;
    h->view.managers[1].servers[DB1].facts.started_s++;
    assert_false(finds());
    h->view.managers[1].servers[DB1].facts.started_s--;
    HANDMADE_FACTS(h, DB2, f->replica_on = false);
    assert_false(finds());
    HANDMADE_FACTS(h, DB2, (f->replica_on = true, f->replica_enabled = false));
    assert_false(finds());
    HANDMADE_FACTS(h, DB2, f->replica_enabled = true);
    has_received(DB2, "0-11-1233");
    assert_false(finds());
    has_received(DB2, "0-11-1234");
    HANDMADE_FACTS(h, DB2, f->channels_n = 0);
    assert_false(finds());
    HANDMADE_FACTS(h, DB2, f->channels_n = 1);
    assert_true(finds());
    reign->ackers = 0;
    HANDMADE_FACTS(h, DB1, f->source_clients = 0);
    assert_false(finds());
}

/* A6: by its flag in force, or by a flag that is set and a channel from the master, which may restart. */
static void a_stranger_is_who_acknowledges_or_may_soon(void **state)
{
    (void)state;
    assert_null(proof_stranger(&w, DB1, reign->ackers));
    HANDMADE_FACTS(h, DB3, f->replica_on = true);
    assert_non_null(proof_stranger(&w, DB1, reign->ackers));
    assert_null(proof_stranger(&w, DB1, reign->ackers | FSM_BIT(DB3)));
    HANDMADE_FACTS(h, DB3, (f->replica_on = false, f->replica_enabled = true));
    assert_non_null(proof_stranger(&w, DB1, reign->ackers));
    HANDMADE_FACTS(h, DB3, f->channels_n = 0);
    assert_null(proof_stranger(&w, DB1, reign->ackers));
    HANDMADE_FACTS(h, DB1, f->replica_on = true); /* The master itself has nobody to acknowledge to. */
    assert_null(proof_stranger(&w, DB1, reign->ackers));
    handmade_fails(h, DB4, VIEW_TIMED_OUT); /* What was enrolled acknowledges only when told to. */
    assert_null(proof_stranger(&w, DB1, reign->ackers));
    cluster->servers[DB4].identity[0] = '\0';
    assert_non_null(proof_stranger(&w, DB1, reign->ackers));
}

static bool withdraws(void)
{
    memset(&update, 0, sizeof(update));
    return proof_withdraw(&w);
}

/* Two managers must see it, and the one that looked last among them. */
static void a_proof_is_withdrawn_on_the_word_of_two(void **state)
{
    (void)state;
    for (uint8_t m = 0; m < 3; m++) is_read(m, DB1, 30 - 10 * m);
    assert_false(withdraws());
    h->view.managers[2].servers[DB1].facts.no_tx = 1;
    assert_false(withdraws());
    h->view.managers[0].servers[DB1].facts.no_tx = 1;
    assert_true(withdraws());
    const struct fsm_cmd_reign_proof *c = &update.command.u.reign_proof;
    assert_false(c->lossless);
    assert_true(c->started_s[DB1] == HANDMADE_STARTED_S); /* The incarnation that goes on, without a proof. */
    assert_int_equal(c->no_tx, 1);
    HANDMADE_FACTS(h, DB1, f->read_only = true); /* It does not. */
    assert_true(withdraws());
    assert_true(c->started_s[DB1] == 0);
    HANDMADE_FACTS(h, DB1, f->read_only = false);
    h->view.managers[1].servers[DB1].facts.no_tx = 1;
    h->view.managers[2].servers[DB1].facts.no_tx = 0; /* The last look shows none. */
    assert_false(withdraws());
    for (uint8_t m = 0; m < 3; m++) is_read(m, DB1, 30 + 10 * m); /* The other way round. */
    assert_true(withdraws());
    reign->started_s[DB1] = 0; /* Nobody knows what the counter was then. */
    assert_false(withdraws());
    HANDMADE_FACTS(h, DB1, (f->no_tx = 0, f->started_s++));
    assert_false(withdraws());
    reign->started_s[DB1] = HANDMADE_STARTED_S;
    assert_true(withdraws());
    HANDMADE_FACTS(h, DB1, f->started_s--);
    assert_false(withdraws());
    HANDMADE_FACTS(h, DB2, f->started_s++);
    assert_true(withdraws());
    reign->started_s[DB2] = 0;
    assert_false(withdraws());
}

/* --- since when a majority is refused (S6) --- */

/* Four of five managers were refused the master's port, the last of a majority of them 100 ms ago; one of them has had
 * an answer 'answered_ms' ago. */
static enum diagnosis_row refused_by_four(const int64_t since_ms[4], int64_t answered_ms)
{
    struct diagnosis d;
    h->view.managers_n = 5;
    h->view.managers[3] = h->view.managers[4] = h->view.managers[2];
    handmade_fails(h, DB1, VIEW_REFUSED);
    for (uint8_t m = 0; m < 4; m++) {
        struct view_observation *o = &h->view.managers[m].servers[DB1];
        *o = (struct view_observation){.outcome = VIEW_REFUSED, .refused_n = 3, .age_ms = 10, .failing_ms = since_ms[m],
                                       .refused_span_ms = since_ms[m] - 10};
    }
    h->view.managers[4].servers[DB1] = (struct view_observation){
        .outcome = VIEW_LOGIN_REFUSED, .age_ms = answered_ms, .ok_age_ms = 900, .alive_age_ms = answered_ms};
    for (uint8_t i = DB2; i <= DB4; i++) {
        for (uint8_t m = 0; m < 5; m++) {
            h->view.managers[m].servers[i].age_ms = 10;
            h->view.managers[m].servers[i].facts.channels[0].io = VIEW_IO_CONNECTING;
        }
    }
    diagnose_verdict(cluster, &h->view, &d);
    return d.row;
}

static void an_answer_after_a_majority_was_refused_contradicts(void **state)
{
    static const int64_t orders[][4] = {{200, 150, 100, 40}, {40, 100, 150, 200}, {200, 150, 40, 100},
                                        {100, 40, 200, 150}, {150, 200, 40, 100}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        assert_int_not_equal(refused_by_four(orders[i], 60), DIAGNOSIS_GONE);
        assert_int_not_equal(refused_by_four(orders[i], 99), DIAGNOSIS_GONE);
        assert_int_equal(refused_by_four(orders[i], 120), DIAGNOSIS_GONE);
    }
}

/* --- who follows whom --- */

/* By server id where both are known, else by address: a copy at the same address is another server. */
static void a_channel_is_from_whom_it_names(void **state)
{
    struct view_facts *f = &h->view.managers[0].servers[DB3].facts;
    struct view_channel *ch = &f->channels[0];
    (void)state;
    assert_ptr_equal(sight_channel(f, "127.0.0.1:3311", 11), ch);
    assert_ptr_equal(sight_channel(f, "db1.example:3306", 11), ch);
    assert_null(sight_channel(f, "127.0.0.1:3311", 12));
    ch->source_server_id = 0; /* Not connected yet. */
    assert_ptr_equal(sight_channel(f, "127.0.0.1:3311", 12), ch);
    assert_null(sight_channel(f, "127.0.0.1:3312", 11));
    assert_null(sight_channel(f, "127.0.0.2:3311", 11));
    assert_null(sight_channel(f, "not an address", 11));
    ch->source_server_id = 11;
    assert_ptr_equal(sight_channel(f, "127.0.0.1:3311", 0), ch);
    assert_null(sight_channel(f, "127.0.0.2:3311", 0));
    f->channels_n = 0;
    assert_null(sight_channel(f, "127.0.0.1:3311", 11));
}

static void an_address_has_a_host_and_a_port(void **state)
{
    static const struct { const char *address, *host; unsigned port; } good[] = {
        {"db1:3306", "db1", 3306}, {"[::1]:3306", "::1", 3306}, {"fe80::2:3306", "fe80::2", 3306}};
    static const char *const bad[] = {"", "db1", "db1:", ":3306", "db1:0", "db1:65536", "db1:x", "[]:3306"};
    char host[FSM_ADDRESS_SIZE];
    uint16_t port;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(sight_address(good[i].address, host, &port));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(sight_address(bad[i], host, &port));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_trouble_forbids_a_promotion),
        TEST(what_was_received_is_the_channels_word_while_there_is_one),
        TEST(promoted_is_who_has_a_reign_past_the_current_one),
        TEST(nobody_is_promoted_over_an_open_successor),
        TEST(an_acker_comes_before_who_has_more),
        TEST(who_failed_last_comes_last),
        TEST(a_healthy_acker_comes_before_who_has_more),
        TEST(ackers_must_have_been_read_a_moment_ago),
        TEST(an_end_is_proven_by_ackers_or_by_closing),
        TEST(a_proof_is_an_acker_between_two_looks_at_the_master),
        TEST(whatever_is_not_as_it_must_be_is_no_proof),
        TEST(a_stranger_is_who_acknowledges_or_may_soon),
        TEST(a_proof_is_withdrawn_on_the_word_of_two),
        TEST(an_answer_after_a_majority_was_refused_contradicts),
        TEST(a_channel_is_from_whom_it_names),
        TEST(an_address_has_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
