/* A cluster by hand for the tests of reports and answers.
 *
 * "shop" has master db1, acker db2, replicas db3 and db4, epoch 1, no plan; three managers read every server, and all
 * is well. A test bends what it is about. */
#ifndef REGENT_TESTS_HANDMADE_H
#define REGENT_TESTS_HANDMADE_H

#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "lib/base/text.h"
#include "lib/file.h"
#include "manager/answer.h"

/* 2026-11-21T02:08:03.123456Z */
#define HANDMADE_TIME 1795226883123456
#define HANDMADE_STARTED_S 1795220000 /* Every server. */

struct handmade {
    struct fsm_state state;
    struct view view;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    struct report_node node;
    struct diagnosis diagnosis;
    struct answer_world world;
    const char *next; /* What the driver says. */
    bool blind;       /* No plan input. */
};

static void handmade_server(struct handmade *h, uint8_t i, enum fsm_role role)
{
    struct fsm_server *s = &h->state.clusters[0].servers[i];
    struct text name = TEXT_ON(s->name), address = TEXT_ON(s->address), identity = TEXT_ON(s->identity);
    text_addf(&name, "db%u", i + 1u);
    text_addf(&address, "127.0.0.1:%u", 3311u + i);
    text_addf(&identity, "identity-of-db%u", i + 1u);
    s->role = s->declared = role;
    s->state = SERVER_MEMBER;
    s->server_id = 11u + i;
}

static void handmade_facts(struct view_facts *f, const struct fsm_cluster *c, uint8_t i)
{
    *f = (struct view_facts){.set = true, .supported = true, .server_id = 11u + i, .token = 5, .fence_epoch = 1,
                             .started_s = HANDMADE_STARTED_S, .read_only = true,
                             .source_enabled = i == 0, .source_on = i == 0,
                             .source_clients = i == 0 ? 1 : 0, .replica_enabled = i == 1, .replica_on = i == 1,
                             .after_sync = true, .wait_no_replica = true, .source_timeout_ms = 4294967295,
                             .kill_conn_timeout_s = 1, .durable = true, .relay_durable = true, .binlog_on = true,
                             .log_replica_updates = true, .gtid_strict = true, .acked_ms = -1};
    TEXT_COPY(f->version, "10.11.14-MariaDB");
    TEXT_COPY(f->identity, c->servers[i].identity);
    TEXT_COPY(f->executed, "0-11-1234");
    TEXT_COPY(f->binlog, "0-11-1234");
    if (i == 0) {
        f->read_only = false;
        return;
    }
    f->channels_n = 1;
    struct view_channel *ch = &f->channels[0];
    *ch = (struct view_channel){.source_port = 3311, .source_server_id = 11, .io = VIEW_IO_YES, .applier = true,
                                .heartbeat_period_ms = 250, .gtid = true, .lag_ms = 1000 * (i - 1), .idle_ms = 40};
    TEXT_COPY(ch->source_host, "127.0.0.1");
    TEXT_COPY(ch->received, "0-11-1234");
}

static void handmade_view(struct handmade *h)
{
    h->view.managers_n = 3;
    for (uint8_t m = 0; m < 3; m++) {
        struct view_manager *manager = &h->view.managers[m];
        struct text name = TEXT_ON(manager->name);
        manager->heard = true;
        manager->id = m + 1u;
        text_addf(&name, "m%u", m + 1u);
        for (uint8_t i = 0; i < 4; i++) {
            manager->servers[i] = (struct view_observation){
                .outcome = VIEW_OK, .age_ms = 10, .ok_age_ms = 10, .alive_age_ms = 10};
            handmade_facts(&manager->servers[i].facts, &h->state.clusters[0], i);
        }
    }
}

static void handmade_group(struct handmade *h)
{
    h->node = (struct report_node){
        .name = "m1", .id = 1, .term = 3, .index = 120, .leader_id = 1, .established = true, .members_n = 3};
    h->node.version = 1;
    for (unsigned i = 0; i < 3; i++) {
        struct raft_node_member *m = &h->node.members[i];
        struct text name = TEXT_ON(m->name), address = TEXT_ON(m->address);
        m->id = i + 1u;
        text_addf(&name, "m%u", i + 1u);
        text_addf(&address, "127.0.0.1:%u", 7401u + i);
    }
}

static void handmade_cluster(struct handmade *h)
{
    struct fsm_cluster *c = &h->state.clusters[0];
    const enum fsm_role roles[] = {ROLE_MASTER, ROLE_BACKUP, ROLE_REPLICA, ROLE_REPLICA};
    c->used = true;
    TEXT_COPY(c->name, "shop");
    c->flavour = FLAVOUR_MARIADB;
    c->durability = DURABILITY_PREFER_LOSSLESS;
    TEXT_COPY(c->defaults_file, "/etc/regent/my.cnf");
    TEXT_COPY(c->group, "regent");
    c->probe_ms = 500;
    c->timeout_ms = 1000;
    c->servers_n = 4;
    for (uint8_t i = 0; i < 4; i++) handmade_server(h, i, roles[i]);
    c->master = 0;
    c->backup = 1;
    c->epoch = c->epoch_used = 1;
    c->reigns_n = 1;
    c->reigns[0] = (struct fsm_reign){
        .epoch = 1, .master = 0, .k = 1, .ackers = FSM_BIT(1), .lossless = true, .since = "0-11-3", .token = 5,
        .opened = true};
    for (uint8_t i = 0; i < 2; i++) c->reigns[0].started_s[i] = HANDMADE_STARTED_S;
    c->version = 4;
}

static bool handmade_input(void *ctx, uint8_t cluster, struct plan_input *out, const char **next)
{
    struct handmade *h = ctx;
    if (h->blind) return false;
    *out = (struct plan_input){.state = &h->state, .cluster = cluster, .view = &h->view, .outcomes = h->outcomes,
                               .may_act = true, .wall = {HANDMADE_TIME}};
    *next = h->next;
    return true;
}

/* A fresh world; free() it. */
static inline struct handmade *handmade_new(void)
{
    struct handmade *h = calloc(1, sizeof(*h));
    MUST(h != NULL);
    fsm_init(&h->state);
    h->state.index = 120;
    handmade_cluster(h);
    handmade_view(h);
    handmade_group(h);
    diagnose(&h->state.clusters[0], &h->view, &h->diagnosis);
    h->next = "nothing to do";
    h->world = (struct answer_world){.state = &h->state, .node = &h->node, .wall = {HANDMADE_TIME}, .ctx = h,
                                     .plan_input = handmade_input};
    return h;
}

static inline struct report_cluster handmade_report(const struct handmade *h)
{
    return (struct report_cluster){
        .state = &h->state, .cluster = &h->state.clusters[0], .view = &h->view, .diagnosis = &h->diagnosis};
}

/* Every manager's attempts at a server end in 'outcome' for 'failing_ms'. */
static inline void handmade_fails(struct handmade *h, uint8_t server, enum view_outcome outcome)
{
    for (uint8_t m = 0; m < 3; m++) {
        struct view_observation *o = &h->view.managers[m].servers[server];
        o->outcome = outcome;
        o->failing_ms = 2300;
        o->refused_n = outcome == VIEW_REFUSED ? 9 : 0;
        o->refused_span_ms = outcome == VIEW_REFUSED ? 2200 : 0;
        o->ok_age_ms = o->alive_age_ms = 2310;
        TEXT_COPY(o->error, "what the server said");
    }
}

/* Every manager sees the change of facts. */
#define HANDMADE_FACTS(h, server, statement)                                                                          \
    for (uint8_t m_ = 0; m_ < 3; m_++) {                                                                              \
        struct view_facts *f = &(h)->view.managers[m_].servers[server].facts;                                         \
        statement;                                                                                                    \
    }

/* Puts a failover plan from db1 to db2 into the first slot. */
static inline struct fsm_plan *handmade_plan(struct handmade *h, enum fsm_plan_state state, enum fsm_step step)
{
    struct fsm_plan *p = &h->state.plans[0];
    *p = (struct fsm_plan){.token = 117, .kind = PLAN_FAILOVER, .state = state, .step = step, .cluster = 0, .from = 0,
                           .to = 1, .acker = 2, .holder = FSM_SERVER_NONE, .epoch = 2, .fence = FENCE_F1_ACKS_REVOKED,
                           .revoked = FSM_BIT(1), .started = {HANDMADE_TIME}};
    TEXT_COPY(p->verdict, "gone");
    TEXT_COPY(p->target, "0-11-1234");
    p->found[1].set = true;
    TEXT_COPY(p->found[1].received, "0-11-1234");
    TEXT_COPY(p->found[1].executed, "0-11-1230");
    p->step_at[STEP_REVOKE].us = HANDMADE_TIME;
    if (step >= STEP_APPLY) p->step_at[STEP_APPLY].us = HANDMADE_TIME + 21000;
    if (step >= STEP_PROMOTE) p->step_at[STEP_PROMOTE].us = HANDMADE_TIME + 42000;
    if (state == PLAN_STATE_RUNNING) h->state.clusters[0].plan = p->token;
    else p->ended.us = HANDMADE_TIME + 99000;
    return p;
}

static inline void handmade_event(struct handmade *h, uint64_t index, const char *cluster, const char *text)
{
    struct fsm_event *e = &h->state.events[h->state.events_n++ % FSM_EVENTS_MAX];
    *e = (struct fsm_event){.index = index, .time = {HANDMADE_TIME}, .epoch = 1, .kind = "plan.step"};
    TEXT_COPY(e->cluster, cluster);
    TEXT_COPY(e->text, text);
    TEXT_COPY(e->evidence, "m1: refused\nm2: refused");
}

/* Compares with a golden file (run from the top of the checkout). GOLDEN=write rewrites it. */
static inline bool golden_equal(const char *path, const char *text)
{
    const char *mode = getenv("GOLDEN");
    char *golden = NULL;
    size_t size;
    if (mode != NULL && strcmp(mode, "write") == 0) MUST(file_write_atomic(path, text, strlen(text), 0644, NULL) == 0);
    MUST(file_read(path, 1 << 20, &golden, &size, NULL) == 0);
    bool equal = strcmp(golden, text) == 0;
    if (!equal) fprintf(stderr, "---- %s says:\n%s\n---- but this came:\n%s\n", path, golden, text);
    free(golden);
    return equal;
}

#endif
