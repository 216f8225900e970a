/* Commands for seeds: a short life of one cluster (declared, enrolled, failed over, proof withdrawn), as the leader
 * would propose it. Header only. */
#ifndef REGENT_TESTS_FUZZ_COMMANDS_H
#define REGENT_TESTS_FUZZ_COMMANDS_H

#include <string.h>

#include "fsm/command.h"
#include "lib/base/text.h"

enum { FUZZ_DB1, FUZZ_DB2, FUZZ_DB3 };

/* A command and where it goes. */
struct fuzz_life {
    struct fsm_command command;
    uint64_t seq;
    void (*put)(const struct fsm_command *command);
};

static inline void fuzz_life_put(struct fuzz_life *l, enum fsm_command_kind kind)
{
    l->command.kind = kind;
    l->command.id = (struct fsm_request_id){.client = 7, .seq = ++l->seq};
    l->command.time.us = (int64_t)l->seq * 1000;
    l->put(&l->command);
    l->command = (struct fsm_command){0};
}

static inline void fuzz_life_declare(struct fuzz_life *l, bool create)
{
    static const char *const names[] = {"db1", "db2", "db3"};
    static const char *const addresses[] = {"127.0.0.1:3301", "127.0.0.1:3302", "db3.example:3306"};
    struct fsm_cluster_spec *spec = &l->command.u.cluster_set.spec;

    l->command.u.cluster_set.create = create;
    (void)TEXT_COPY(spec->name, "shop");
    (void)TEXT_COPY(spec->defaults_file, "/etc/regent/shop.cnf");
    (void)TEXT_COPY(spec->group, "regent");
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = DURABILITY_PREFER_LOSSLESS;
    spec->probe_ms = 500;
    spec->timeout_ms = 1000;
    for (uint8_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)TEXT_COPY(spec->servers[i].name, names[i]);
        (void)TEXT_COPY(spec->servers[i].address, addresses[i]);
        spec->servers[i].role = i == FUZZ_DB1 ? ROLE_MASTER : i == FUZZ_DB2 ? ROLE_BACKUP : ROLE_REPLICA;
    }
    spec->servers_n = ARRAY_LEN(names);
    fuzz_life_put(l, CMD_CLUSTER_SET);
}

static inline uint64_t fuzz_life_begin(struct fuzz_life *l, enum fsm_plan_kind kind, uint64_t epoch)
{
    struct fsm_cmd_plan_begin *c = &l->command.u.plan_begin;

    (void)TEXT_COPY(c->cluster, "shop");
    c->kind = kind;
    c->epoch = epoch;
    c->from = kind == PLAN_ENROL ? FSM_SERVER_NONE : FUZZ_DB1;
    c->to = kind == PLAN_ENROL ? FUZZ_DB1 : FUZZ_DB2;
    c->acker = kind == PLAN_ENROL ? FUZZ_DB2 : FUZZ_DB3;
    (void)TEXT_COPY(c->verdict, "gone");
    (void)TEXT_COPY(c->evidence, "m1: refused twice; m2: refused twice");
    fuzz_life_put(l, CMD_PLAN_BEGIN);
    return l->seq; /* The token: commands stand at the index of their place. */
}

static inline struct fsm_cmd_plan_step *fuzz_life_step(struct fuzz_life *l, uint64_t token, enum fsm_step done,
                                                       enum fsm_step next)
{
    struct fsm_cmd_plan_step *c = &l->command.u.plan_step;

    c->token = token;
    c->done = done;
    c->next = next;
    c->to = c->holder = c->acker = FSM_SERVER_NONE;
    for (uint8_t i = 0; i < 3; i++) c->started_s[i] = 1000u + i;
    return c;
}

static inline void fuzz_life_enrol(struct fuzz_life *l)
{
    uint64_t token = fuzz_life_begin(l, PLAN_ENROL, 0);
    struct fsm_cmd_plan_step *c = fuzz_life_step(l, token, STEP_PREPARE, STEP_VERIFY);

    for (uint8_t i = 0; i < 3; i++) {
        struct text t = TEXT_ON(c->identity[i]);

        text_addf(&t, "identity-%d", i);
        c->server_id[i] = i + 1u;
    }
    fuzz_life_put(l, CMD_PLAN_STEP);
    c = fuzz_life_step(l, token, STEP_VERIFY, STEP_DONE);
    (void)TEXT_COPY(c->target, "0-1-10");
    c->no_tx = 3;
    fuzz_life_put(l, CMD_PLAN_STEP);
}

static inline void fuzz_life_fail_over(struct fuzz_life *l)
{
    static const enum fsm_step walk[] = {STEP_APPLY, STEP_PROMOTE, STEP_ESTABLISH, STEP_OPEN, STEP_REPOINT, STEP_DONE};
    uint64_t token = fuzz_life_begin(l, PLAN_FAILOVER, 1);
    struct fsm_cmd_plan_step *c = fuzz_life_step(l, token, STEP_REVOKE, STEP_APPLY);

    c->revoked = FSM_BIT(FUZZ_DB2);
    c->fence = FENCE_F1_ACKS_REVOKED;
    c->to = FUZZ_DB2;
    c->acker = FUZZ_DB3;
    (void)TEXT_COPY(c->target, "0-1-100");
    for (uint8_t i = FUZZ_DB2; i <= FUZZ_DB3; i++) {
        c->found[i].set = true;
        (void)TEXT_COPY(c->found[i].received, "0-1-100");
        (void)TEXT_COPY(c->found[i].executed, "0-1-99");
    }
    fuzz_life_put(l, CMD_PLAN_STEP);
    for (size_t i = 0; walk[i] != STEP_DONE; i++) {
        c = fuzz_life_step(l, token, walk[i], walk[i + 1]);
        if (walk[i] == STEP_ESTABLISH) (void)TEXT_COPY(c->target, "0-2-101");
        if (walk[i + 1] == STEP_ESTABLISH) c->acker = FUZZ_DB3;
        fuzz_life_put(l, CMD_PLAN_STEP);
    }
}

/* Calls 'put' with one command after the other; the first stands at index 1. */
static inline void fuzz_commands(void (*put)(const struct fsm_command *command))
{
    static struct fuzz_life l;

    l = (struct fuzz_life){.put = put};
    fuzz_life_declare(&l, true);
    fuzz_life_enrol(&l);
    fuzz_life_fail_over(&l);
    (void)TEXT_COPY(l.command.u.reign_proof.cluster, "shop");
    l.command.u.reign_proof.epoch = 2;
    (void)TEXT_COPY(l.command.u.reign_proof.reason, "db1 acknowledges, too");
    fuzz_life_put(&l, CMD_REIGN_PROOF);
    (void)TEXT_COPY(l.command.u.server_state.cluster, "shop");
    (void)TEXT_COPY(l.command.u.server_state.server, "db3");
    l.command.u.server_state.state = SERVER_QUARANTINED;
    (void)TEXT_COPY(l.command.u.server_state.reason, "its disk is full: make room");
    fuzz_life_put(&l, CMD_SERVER_STATE);
    (void)TEXT_COPY(l.command.u.cluster_pause.cluster, "shop");
    l.command.u.cluster_pause.paused = true;
    fuzz_life_put(&l, CMD_CLUSTER_PAUSE);
    (void)TEXT_COPY(l.command.u.event.cluster, "shop");
    (void)TEXT_COPY(l.command.u.event.kind, "verdict");
    (void)TEXT_COPY(l.command.u.event.text, "blocked");
    fuzz_life_put(&l, CMD_EVENT);
    (void)TEXT_COPY(l.command.u.event.cluster, "shop");
    memset(l.command.u.event.kind, 'k', sizeof(l.command.u.event.kind) - 1);
    fuzz_life_put(&l, CMD_EVENT);
    l.command.u.plan_end.token = fuzz_life_begin(&l, PLAN_CLOSE, 2);
    l.command.u.plan_end.state = PLAN_STATE_ABORTED;
    l.command.u.plan_end.by_operator = true;
    (void)TEXT_COPY(l.command.u.plan_end.reason, "asked by an operator");
    fuzz_life_put(&l, CMD_PLAN_END);
    fuzz_life_declare(&l, false);
}

#endif
