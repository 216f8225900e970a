/* What operators and programs are shown: states in a table, shapes as golden files (tests/golden/report_*.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/handmade.h"

static struct fsm_cluster *shop(struct handmade *h)
{
    return &h->state.clusters[0];
}

/* ---- states of a cluster ---- */

static void as_it_is(struct handmade *h)
{
    (void)h;
}

static void failover_runs(struct handmade *h)
{
    handmade_plan(h, PLAN_STATE_RUNNING, STEP_PROMOTE);
    handmade_fails(h, 0, VIEW_REFUSED);
    shop(h)->paused = true; /* A plan that runs is told first, whatever else is true. */
}

static void close_runs(struct handmade *h)
{
    handmade_plan(h, PLAN_STATE_RUNNING, STEP_PREPARE)->kind = PLAN_CLOSE;
}

static void not_enrolled(struct handmade *h)
{
    shop(h)->epoch = 0;
    shop(h)->master = shop(h)->backup = FSM_SERVER_NONE;
    shop(h)->reigns_n = 0;
    h->diagnosis.row = DIAGNOSIS_NOT_ENROLLED;
}

static void enrolment_failed(struct handmade *h)
{
    not_enrolled(h);
    struct fsm_plan *p = handmade_plan(h, PLAN_STATE_FAILED, STEP_PREPARE);
    p->kind = PLAN_ENROL;
    TEXT_COPY(p->reason, "db2 is not a replica of db1");
}

static void enrolment_failed_before_it_worked(struct handmade *h)
{
    enrolment_failed(h);
    h->state.plans[1] = h->state.plans[0];
    h->state.plans[1].token = 119; /* The youngest plan counts. */
    h->state.plans[1].state = PLAN_STATE_RUNNING;
}

static void declared_master_quarantined(struct handmade *h)
{
    not_enrolled(h);
    shop(h)->servers[0].state = SERVER_QUARANTINED;
    TEXT_COPY(shop(h)->servers[0].reason, "wrong password");
}

static void master_quarantined(struct handmade *h)
{
    shop(h)->servers[0].state = SERVER_QUARANTINED;
    TEXT_COPY(shop(h)->servers[0].reason, "another server answers there");
}

static void verdict(struct handmade *h, enum diagnosis_row row)
{
    h->diagnosis.row = row;
}

static void master_gone(struct handmade *h)
{
    verdict(h, DIAGNOSIS_GONE);
}

static void master_silent_and_last_failed(struct handmade *h)
{
    verdict(h, DIAGNOSIS_SILENT);
    TEXT_COPY(handmade_plan(h, PLAN_STATE_FAILED, STEP_REVOKE)->reason, "db2 is not reachable: start it");
}

static void master_restarted(struct handmade *h)
{
    verdict(h, DIAGNOSIS_RESTARTED);
    HANDMADE_FACTS(h, 0, f->read_only = true);
}

static void master_closed(struct handmade *h)
{
    HANDMADE_FACTS(h, 0, f->read_only = true);
    diagnose(shop(h), &h->view, &h->diagnosis);
    assert_int_equal(h->diagnosis.row, DIAGNOSIS_CLOSED);
}

/* Nobody answers, and nobody follows who could tell: it is not replaced, which must not look like a small matter. */
static void master_dead_without_witness(struct handmade *h)
{
    verdict(h, DIAGNOSIS_WAITING);
    handmade_fails(h, 0, VIEW_REFUSED);
}

static void master_waited_for(struct handmade *h)
{
    master_dead_without_witness(h);
    for (uint8_t m = 0; m < 3; m++) h->view.managers[m].servers[0].failing_ms = shop(h)->timeout_ms;
}

/* The others cannot read it at all. */
static void master_closed_for_one(struct handmade *h)
{
    master_waited_for(h);
    struct view_observation *o = &h->view.managers[1].servers[0];
    *o = (struct view_observation){.outcome = VIEW_OK, .age_ms = 5, .facts = o->facts};
    o->facts.read_only = true;
}

static void paused(struct handmade *h)
{
    shop(h)->paused = true;
    verdict(h, DIAGNOSIS_PAUSED);
}

static void paused_without_master(struct handmade *h)
{
    paused(h);
    handmade_fails(h, 0, VIEW_REFUSED);
}

static void paused_and_seen_by_one(struct handmade *h)
{
    paused_without_master(h);
    h->view.managers[2].servers[0].outcome = VIEW_TOO_MANY;
}

static void blocked(struct handmade *h)
{
    verdict(h, DIAGNOSIS_BLOCKED);
    handmade_fails(h, 1, VIEW_REFUSED);
}

static void one_replica_broken(struct handmade *h)
{
    HANDMADE_FACTS(h, 2, (f->channels[0].applier = false, f->channels[0].sql_errno = 1062));
}

static void two_replicas_trouble(struct handmade *h)
{
    one_replica_broken(h);
    handmade_fails(h, 3, VIEW_TIMED_OUT);
}

static void old_master_quarantined(struct handmade *h)
{
    shop(h)->servers[3].state = SERVER_QUARANTINED;
    TEXT_COPY(shop(h)->servers[3].reason, "was master of epoch 1");
}

static void reign_not_lossless(struct handmade *h)
{
    shop(h)->reigns[0].lossless = false;
}

static void no_reign_but_async(struct handmade *h)
{
    shop(h)->reigns_n = 0;
    shop(h)->durability = DURABILITY_ASYNC;
    HANDMADE_FACTS(h, 1, f->replica_enabled = f->replica_on = false);
}

static void no_backup(struct handmade *h)
{
    shop(h)->backup = FSM_SERVER_NONE;
}

static void minority(struct handmade *h)
{
    verdict(h, DIAGNOSIS_MINORITY);
}

static void receivers_alive(struct handmade *h)
{
    verdict(h, DIAGNOSIS_RECEIVERS_ALIVE);
}

static void alarm_row(struct handmade *h)
{
    verdict(h, DIAGNOSIS_ALARM);
}

static void only_this_manager_cut_off(struct handmade *h)
{
    for (uint8_t i = 0; i < 4; i++) h->view.managers[0].servers[i].outcome = VIEW_TIMED_OUT;
}

struct state_row {
    const char *name;
    void (*bend)(struct handmade *h);
    enum report_state state;
    const char *text; /* A part of it; "": empty. */
};
#define ROW(bend, state, text) {#bend, bend, REPORT_##state, text}

static const struct state_row state_rows[] = {
    ROW(as_it_is, OK, ""),
    ROW(only_this_manager_cut_off, OK, ""),
    ROW(no_reign_but_async, OK, ""),
    ROW(close_runs, OK, ""),
    ROW(failover_runs, FAILING_OVER, "plan 117 replaces db1 by db2, now at step promote"),
    ROW(not_enrolled, NO_MASTER, "not enrolled yet"),
    ROW(enrolment_failed, NO_MASTER, "(enrol 117) failed: db2 is not a replica of db1"),
    ROW(enrolment_failed_before_it_worked, NO_MASTER, "nobody is failed over"),
    ROW(declared_master_quarantined, QUARANTINED, "db1, the declared master, is quarantined: wrong password"),
    ROW(master_quarantined, QUARANTINED, "db1, the master, is quarantined: another server answers there"),
    ROW(master_gone, NO_MASTER, "db1: the master's process is gone"),
    ROW(master_silent_and_last_failed, NO_MASTER, "(failover 117) failed: db2 is not reachable: start it"),
    ROW(master_restarted, NO_MASTER, "read-only"),
    ROW(master_closed, NO_MASTER, "it stays so until an operator opens it again"),
    ROW(master_dead_without_witness, NO_MASTER, "bring it back, or regent failover shop"),
    ROW(master_waited_for, DEGRADED, "(verdict waiting)"),
    ROW(master_closed_for_one, NO_MASTER, "db1 is read-only for the managers that read it"),
    ROW(paused, PAUSED, "no failover begins by itself"),
    ROW(paused_without_master, NO_MASTER, "the cluster is paused: no failover begins by itself"),
    ROW(paused_and_seen_by_one, PAUSED, "paused by an operator"),
    ROW(blocked, STALLED, "commits on db1 wait for an acknowledgement; acker db2 is down"),
    ROW(one_replica_broken, DEGRADED, "db3: broken: applier stopped by error 1062"),
    ROW(two_replicas_trouble, DEGRADED, "and 1 more"),
    ROW(old_master_quarantined, DEGRADED, "db4: quarantined: was master of epoch 1"),
    ROW(reign_not_lossless, DEGRADED, "may lose writes"),
    ROW(no_backup, DEGRADED, "there is no backup master"),
    ROW(minority, DEGRADED, "minority-view"),
    ROW(receivers_alive, DEGRADED, "receivers-alive"),
    ROW(alarm_row, DEGRADED, "(verdict alarm)"),
};

static void cluster_states(void **unused)
{
    (void)unused;
    unsigned wrong = 0;
    for (size_t i = 0; i < ARRAY_LEN(state_rows); i++) {
        const struct state_row *row = &state_rows[i];
        struct handmade *h = handmade_new();
        char buffer[FSM_TEXT_SIZE * 3];
        struct text text = TEXT_ON(buffer);
        row->bend(h);
        struct report_cluster c = handmade_report(h);
        enum report_state state = report_cluster_state(&c, &text);
        bool good_text = row->text[0] == '\0' ? buffer[0] == '\0' : strstr(buffer, row->text) != NULL;
        if (state != row->state || !good_text) {
            wrong++;
            print_error("%s: is %s (%s), should be %s (%s)\n", row->name, report_state_name(state), buffer,
                        report_state_name(row->state), row->text);
        }
        free(h);
    }
    assert_int_equal(wrong, 0);
}

/* Without a view only the committed state is judged: the answer of a manager that has seen nothing yet. */
static void cluster_state_without_view(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    char buffer[FSM_TEXT_SIZE * 3];
    struct text text = TEXT_ON(buffer);
    struct report_cluster c = handmade_report(h);
    c.view = NULL;
    c.diagnosis = NULL;
    assert_int_equal(report_cluster_state(&c, &text), REPORT_OK);
    reign_not_lossless(h);
    assert_int_equal(report_cluster_state(&c, &text), REPORT_DEGRADED);
    free(h);
}

static void state_names(void **unused)
{
    (void)unused;
    const char *const names[] = {"failing_over", "quarantined", "no_master", "paused", "stalled", "degraded", "ok"};
    for (int i = 0; i < (int)ARRAY_LEN(names); i++)
        assert_string_equal(report_state_name((enum report_state)i), names[i]);
}

/* ---- health of a server ---- */

struct health_row {
    uint8_t server;
    enum view_outcome outcome;
    const char *health, *text;
};

static void health_of_outcomes(void **unused)
{
    (void)unused;
    const struct health_row rows[] = {
        {0, VIEW_REFUSED, "down", "connection refused for 2.3 s (what the server said)"},
        {0, VIEW_LOST, "down", "connection lost"},
        {1, VIEW_TIMED_OUT, "unreachable", "no answer in time"},
        {1, VIEW_UNREACHABLE, "unreachable", "host unknown"},
        {2, VIEW_LOGIN_REFUSED, "login-refused", "check group [regent] of /etc/regent/my.cnf on the managers"},
        {2, VIEW_TOO_MANY, "too-many-connections", "too many"},
        {3, VIEW_FAILED, "failing", "query failed"},
        {3, VIEW_UNSUPPORTED, "unsupported", "version"},
        {3, VIEW_NONE, "unknown", "not probed yet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct handmade *h = handmade_new();
        char buffer[FSM_TEXT_SIZE * 2];
        struct text text = TEXT_ON(buffer);
        handmade_fails(h, rows[i].server, rows[i].outcome);
        struct report_cluster c = handmade_report(h);
        assert_string_equal(report_server_health(&c, rows[i].server, &text), rows[i].health);
        assert_non_null(strstr(buffer, rows[i].text));
        free(h);
    }
}

static void expect_health(struct handmade *h, uint8_t server, const char *health, const char *part)
{
    char buffer[FSM_TEXT_SIZE * 2];
    struct text text = TEXT_ON(buffer);
    struct report_cluster c = handmade_report(h);
    assert_string_equal(report_server_health(&c, server, &text), health);
    if (part[0] == '\0') assert_string_equal(buffer, "");
    else assert_non_null(strstr(buffer, part));
    free(h);
}

static void health_of_facts(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    expect_health(h, 0, "ok", "");
    h = handmade_new();
    HANDMADE_FACTS(h, 0, f->read_only = true);
    expect_health(h, 0, "read-only", "is master");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->channels_n = 0);
    expect_health(h, 2, "stopped", "no channel");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->channels[0].io = VIEW_IO_NO);
    expect_health(h, 2, "stopped", "receiver stopped");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->channels[0].applier = false);
    expect_health(h, 2, "stopped", "applier stopped");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->channels[0].io_errno = 1236);
    expect_health(h, 2, "broken", "1236");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->channels[0].io = VIEW_IO_CONNECTING);
    expect_health(h, 2, "broken", "cannot connect to 127.0.0.1:3311");
    h = handmade_new();
    HANDMADE_FACTS(h, 2, f->read_only = false);
    expect_health(h, 2, "writable", "not the master");
    h = handmade_new();
    HANDMADE_FACTS(h, 1, f->relay_durable = false); /* Known to diagnose_server() only. */
    expect_health(h, 1, "attention", "sync_relay_log");
    h = handmade_new();
    shop(h)->servers[2].maintenance = true;
    expect_health(h, 2, "maintenance", "never chosen");
    h = handmade_new();
    shop(h)->servers[2].state = SERVER_NEW;
    expect_health(h, 2, "new", "nothing is written to it");
}

/* ---- shapes ---- */

static void expect_json(json_t *json, const char *path)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    assert_non_null(text);
    size_t len = strlen(text);
    text = realloc(text, len + 2);
    assert_non_null(text);
    memcpy(text + len, "\n", 2);
    bool equal = golden_equal(path, text);
    free(text);
    json_decref(json);
    assert_true(equal);
}

static void status_shape(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    handmade_plan(h, PLAN_STATE_RUNNING, STEP_PROMOTE);
    old_master_quarantined(h);
    handmade_fails(h, 0, VIEW_REFUSED);
    struct report_cluster c = handmade_report(h);
    expect_json(report_status(&h->node, &c, 1), "tests/golden/report_status.json");
    free(h);
}

static void explain_shape(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    one_replica_broken(h);
    strcpy(h->diagnosis.evidence, "m1 db1: read ok\nm2 db1: read ok\n");
    strcpy(h->diagnosis.change, "two managers that read nothing of db1");
    struct report_cluster c = handmade_report(h);
    expect_json(report_explain(&c, "nothing to do"), "tests/golden/report_explain.json");
    free(h);
}

static void plan_shapes(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct fsm_plan *p = handmade_plan(h, PLAN_STATE_FAILED, STEP_PROMOTE);
    TEXT_COPY(p->reason, "db2 does not answer");
    expect_json(report_plan(&h->state, p, true), "tests/golden/report_plan.json");
    h->state.plans[3] = h->state.plans[0];
    h->state.plans[3].token = 140; /* Younger, in a later slot: listed first. */
    h->state.plans[3].state = PLAN_STATE_FINISHED;
    expect_json(report_plans(&h->state, shop(h)), "tests/golden/report_plans.json");
    free(h);
}

static void other_shapes(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    handmade_event(h, 118, "shop", "step apply begins");
    expect_json(report_event(&h->state.events[0]), "tests/golden/report_event.json");
    h->node.hellos_n = 1;
    h->node.hellos[0] = (struct hello){.manager_id = 2, .program = "0.1.9", .not_after_s = 1829000000};
    h->node.live_ms = 1000;
    h->node.last_index = 120;
    h->node.peers_n = 1;
    h->node.peers[0] = (struct raft_node_peer){.id = 2, .role = RAFT_NODE_VOTER, .match_index = 117, .contact_ms = 33};
    expect_json(report_members(&h->node, &h->state), "tests/golden/report_members.json");
    expect_json(report_declaration(shop(h)), "tests/golden/report_declaration.json");
    free(h);
}

/* A server's error text in another encoding, and a text cut inside a character, make no report fail. */
static void texts_of_any_bytes(void **unused)
{
    (void)unused;
    struct fsm_event e = {.index = 1};
    strcpy(e.kind, "x");
    strcpy(e.text, "caf\xe9 \x01");
    strcpy(e.evidence, "cut \xc3");
    json_t *json = report_event(&e);
    assert_string_equal(json_string_value(json_object_get(json, "text")), "caf? \x01");
    assert_string_equal(json_string_value(json_object_get(json, "evidence")), "cut ?");
    json_decref(json);
}

static void node_names(void **unused)
{
    (void)unused;
    struct raft_node_status s = {.id = 2, .term = 4, .applied_index = 9, .leader_id = 3, .members_n = 3};
    struct config config = {.node = "m2", .group_n = 2, .group = {{"m1", "10.0.0.1:7401"}, {"m2", "10.0.0.2:7401"}}};
    struct report_node node;
    for (unsigned i = 0; i < 3; i++) s.members[i].id = i + 1u;
    strcpy(s.members[0].address, "10.0.0.9:7401"); /* Moved: known by its id. */
    strcpy(s.members[1].address, "10.0.0.2:7401");
    strcpy(s.members[2].address, "10.0.0.3:7401"); /* Joined later: not in the file. */
    report_node_fill(&node, &s, &config);
    assert_string_equal(node.name, "m2");
    assert_string_equal(node.members[0].name, "m1");
    assert_string_equal(node.members[1].name, "m2");
    assert_string_equal(report_leader_name(&node), "10.0.0.3:7401");
    node.leader_id = 0;
    assert_string_equal(report_leader_name(&node), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_states),     cmocka_unit_test(cluster_state_without_view),
        cmocka_unit_test(state_names),        cmocka_unit_test(health_of_outcomes),
        cmocka_unit_test(health_of_facts),    cmocka_unit_test(status_shape),
        cmocka_unit_test(explain_shape),      cmocka_unit_test(plan_shapes),
        cmocka_unit_test(other_shapes),       cmocka_unit_test(texts_of_any_bytes),
        cmocka_unit_test(node_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
