/* A replicated state to play with: builds commands, applies them, and checks what holds for all of them: a refusal has
 * a text and changes nothing but index and dedup window, and the invariants hold after each. */
#ifndef REGENT_TESTS_FSM_FIXTURE_H
#define REGENT_TESTS_FSM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/apply.h"
#include "lib/base/text.h"

enum { DB1, DB2, DB3, DB4 };

struct fixture {
    struct fsm_state *state;
    struct fsm_state *before;
    struct fsm_command command; /* The one that is being built; cleared by fixture_apply(). */
    struct fsm_result result;
    uint64_t index;
    uint64_t seq;
};

static inline int fixture_setup(void **arg)
{
    struct fixture *x = calloc(1, sizeof(*x));

    x->state = malloc(sizeof(*x->state));
    x->before = malloc(sizeof(*x->before));
    memset(x->state, 0xa5, sizeof(*x->state)); /* fsm_init() must clear padding, too. */
    fsm_init(x->state);
    *arg = x;
    return 0;
}

static inline int fixture_teardown(void **arg)
{
    struct fixture *x = *arg;

    free(x->state);
    free(x->before);
    free(x);
    return 0;
}

/* Equal but for index and dedup window. */
static inline bool fixture_is_unchanged(struct fixture *x)
{
    x->before->index = x->state->index;
    x->before->dedup_n = x->state->dedup_n;
    x->before->dedup_floor = x->state->dedup_floor;
    memcpy(x->before->dedup, x->state->dedup, sizeof(x->state->dedup));
    return memcmp(x->before, x->state, sizeof(*x->state)) == 0;
}

/* Applies x->command under the next index and request id. */
static inline enum fsm_code fixture_apply(struct fixture *x)
{
    const char *broken;

    x->index++;
    x->command.id = (struct fsm_request_id){7, ++x->seq, x->state->index};
    x->command.time.us = (int64_t)x->index * 1000;
    memcpy(x->before, x->state, sizeof(*x->state));
    fsm_apply(x->state, x->index, &x->command, &x->result);
    assert_int_equal(x->state->index, x->index);
    assert_int_equal(x->result.index, x->index);
    assert_false(x->result.repeated);
    if (x->result.code != FSM_OK) {
        assert_string_not_equal(x->result.text, "");
        assert_true(fixture_is_unchanged(x));
    } else {
        assert_string_equal(x->result.text, "");
    }
    broken = fsm_invariant(x->state);
    if (broken != NULL) fail_msg("broken: %s", broken);
    memset(&x->command, 0, sizeof(x->command));
    return x->result.code;
}

static inline void fixture_server(struct fsm_cluster_spec *spec, const char *name, const char *address,
                                  enum fsm_role role)
{
    uint8_t i = spec->servers_n++;

    (void)TEXT_COPY(spec->servers[i].name, name);
    (void)TEXT_COPY(spec->servers[i].address, address);
    spec->servers[i].role = role;
}

/* Starts a CLUSTER_SET of "shop": db1 master, db2 backup, db3 and db4 replicas. */
static inline struct fsm_cluster_spec *fixture_spec(struct fixture *x, bool create)
{
    struct fsm_cluster_spec *spec = &x->command.u.cluster_set.spec;

    x->command.kind = CMD_CLUSTER_SET;
    x->command.u.cluster_set.create = create;
    (void)TEXT_COPY(spec->name, "shop");
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = DURABILITY_PREFER_LOSSLESS;
    (void)TEXT_COPY(spec->defaults_file, "/etc/regent/shop.cnf");
    (void)TEXT_COPY(spec->group, "regent");
    spec->probe_ms = 500;
    spec->timeout_ms = 1000;
    fixture_server(spec, "db1", "127.0.0.1:3301", ROLE_MASTER);
    fixture_server(spec, "db2", "127.0.0.1:3302", ROLE_BACKUP);
    fixture_server(spec, "db3", "127.0.0.1:3303", ROLE_REPLICA);
    fixture_server(spec, "db4", "127.0.0.1:3304", ROLE_REPLICA);
    return spec;
}

static inline const struct fsm_cluster *fixture_shop(const struct fixture *x)
{
    return fsm_cluster_find(x->state, "shop");
}

static inline const struct fsm_plan *fixture_plan(const struct fixture *x)
{
    return fsm_plan_find(x->state, fixture_shop(x)->plan);
}

static inline const struct fsm_event *fixture_last_event(const struct fixture *x)
{
    assert_true(x->state->events_n > 0);
    return &x->state->events[(x->state->events_n - 1) % FSM_EVENTS_MAX];
}

/* The newest event of 'kind', or NULL. */
static inline const struct fsm_event *fixture_event(const struct fixture *x, const char *kind)
{
    for (uint64_t i = 1; i <= x->state->events_n && i <= FSM_EVENTS_MAX; i++) {
        const struct fsm_event *event = &x->state->events[(x->state->events_n - i) % FSM_EVENTS_MAX];
        if (text_equal(event->kind, kind)) return event;
    }
    return NULL;
}

/* --- plans --- */

/* Gives the incarnation of each server of the set: that of server i is 1000 + i unless a test changes it. */
static inline void fixture_started(uint64_t *started_s, fsm_set servers)
{
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        if (fsm_set_has(servers, i)) started_s[i] = 1000u + i;
    }
}

static inline void fixture_all_started(uint64_t *started_s)
{
    fixture_started(started_s, FSM_BIT(DB1) | FSM_BIT(DB2) | FSM_BIT(DB3) | FSM_BIT(DB4));
}

/* Starts a PLAN_BEGIN of 'kind' at the current epoch. */
static inline struct fsm_cmd_plan_begin *fixture_begin(struct fixture *x, enum fsm_plan_kind kind)
{
    struct fsm_cmd_plan_begin *c = &x->command.u.plan_begin;

    x->command.kind = CMD_PLAN_BEGIN;
    (void)TEXT_COPY(c->cluster, "shop");
    c->kind = kind;
    c->epoch = fixture_shop(x)->epoch;
    c->from = kind == PLAN_ENROL ? FSM_SERVER_NONE : fixture_shop(x)->master;
    c->to = kind == PLAN_CLOSE ? FSM_SERVER_NONE : DB1;
    c->acker = kind == PLAN_CLOSE ? FSM_SERVER_NONE : DB2;
    (void)TEXT_COPY(c->verdict, "gone");
    (void)TEXT_COPY(c->evidence, "m1: refused twice");
    return c;
}

/* Starts the PLAN_STEP that ends the running plan's step. */
static inline struct fsm_cmd_plan_step *fixture_step(struct fixture *x, enum fsm_step next)
{
    struct fsm_cmd_plan_step *c = &x->command.u.plan_step;

    x->command.kind = CMD_PLAN_STEP;
    c->token = fixture_shop(x)->plan;
    c->done = fixture_plan(x)->step;
    c->next = next;
    c->to = c->holder = c->acker = FSM_SERVER_NONE;
    return c;
}

static inline void fixture_found(struct fsm_cmd_plan_step *c, uint8_t server, const char *received)
{
    c->found[server].set = true;
    (void)TEXT_COPY(c->found[server].received, received);
    (void)TEXT_COPY(c->found[server].executed, received);
}

/* End of PREPARE with an identity for db1 to db4. */
static inline struct fsm_cmd_plan_step *fixture_prepare(struct fixture *x)
{
    struct fsm_cmd_plan_step *c = fixture_step(x, STEP_VERIFY);

    for (uint8_t i = 0; i < 4; i++) {
        struct text t = TEXT_ON(c->identity[i]);
        text_addf(&t, "identity-%d", i + 1);
        c->server_id[i] = i + 1u;
    }
    return c;
}

/* End of REVOKE: db2 revoked (F1), 'to' chosen, 'acker' to come. */
static inline struct fsm_cmd_plan_step *fixture_revoke(struct fixture *x, uint8_t to, uint8_t acker)
{
    struct fsm_cmd_plan_step *c = fixture_step(x, STEP_APPLY);

    c->revoked = FSM_BIT(DB2);
    c->fence = FENCE_F1_ACKS_REVOKED;
    c->to = to;
    c->acker = acker;
    (void)TEXT_COPY(c->target, "0-1-100");
    fixture_all_started(c->started_s);
    fixture_found(c, DB2, "0-1-100");
    fixture_found(c, to, "0-1-100");
    return c;
}

static inline void fixture_ok(struct fixture *x)
{
    enum fsm_code code = fixture_apply(x);

    if (code != FSM_OK) fail_msg("refused: %s: %s", fsm_code_name(code), x->result.text);
}

static inline void fixture_refused(struct fixture *x, enum fsm_code expected, const char *text)
{
    enum fsm_code code = fixture_apply(x);

    if (code != expected || strstr(x->result.text, text) == NULL) {
        fail_msg("expected %s \"%s\", got %s: %s", fsm_code_name(expected), text, fsm_code_name(code), x->result.text);
    }
}

/* End of VERIFY: db2 acknowledges. */
static inline struct fsm_cmd_plan_step *fixture_verify(struct fixture *x)
{
    struct fsm_cmd_plan_step *c = fixture_step(x, STEP_DONE);

    (void)TEXT_COPY(c->target, "0-1-10");
    fixture_all_started(c->started_s);
    c->no_tx = 3;
    return c;
}

/* End of ESTABLISH: the reign row is acknowledged. */
static inline struct fsm_cmd_plan_step *fixture_establish(struct fixture *x)
{
    struct fsm_cmd_plan_step *c = fixture_step(x, STEP_OPEN);

    (void)TEXT_COPY(c->target, "0-2-101");
    fixture_all_started(c->started_s);
    return c;
}

static inline struct fsm_cmd_reign_proof *fixture_proof(struct fixture *x, bool is_lossless)
{
    struct fsm_cmd_reign_proof *c = &x->command.u.reign_proof;

    x->command.kind = CMD_REIGN_PROOF;
    (void)TEXT_COPY(c->cluster, "shop");
    c->epoch = fixture_shop(x)->epoch;
    c->lossless = is_lossless;
    if (is_lossless) (void)TEXT_COPY(c->since, "0-1-77");
    if (is_lossless) fixture_all_started(c->started_s);
    if (!is_lossless) (void)TEXT_COPY(c->reason, "db4 acknowledges, too");
    return c;
}

/* "shop" enrolled: epoch 1, db1 master, db2 acker, lossless. */
static inline void fixture_enrolled_as(struct fixture *x, enum fsm_durability durability)
{
    fixture_spec(x, true)->durability = durability;
    fixture_ok(x);
    fixture_begin(x, PLAN_ENROL);
    fixture_ok(x);
    fixture_prepare(x);
    fixture_ok(x);
    fixture_verify(x);
    fixture_ok(x);
}

static inline void fixture_enrolled(struct fixture *x)
{
    fixture_enrolled_as(x, DURABILITY_PREFER_LOSSLESS);
}

/* Begins a failover from db1 to 'to' with 'acker'. */
static inline void fixture_failover(struct fixture *x, uint8_t to, uint8_t acker)
{
    struct fsm_cmd_plan_begin *c = fixture_begin(x, PLAN_FAILOVER);

    c->to = to;
    c->acker = acker;
    fixture_ok(x);
}

/* Walks a failover to db2 (acker db3) until 'step' is the intent. */
static inline void fixture_failover_until(struct fixture *x, enum fsm_step step)
{
    static const enum fsm_step walk[] = {STEP_REVOKE, STEP_APPLY, STEP_PROMOTE, STEP_ESTABLISH,
                                         STEP_OPEN,   STEP_REPOINT, STEP_DONE};

    fixture_failover(x, DB2, DB3);
    for (size_t i = 0; walk[i] != step; i++) {
        if (walk[i] == STEP_REVOKE) {
            fixture_revoke(x, DB2, DB3);
        } else {
            struct fsm_cmd_plan_step *c =
                walk[i] == STEP_ESTABLISH ? fixture_establish(x) : fixture_step(x, walk[i + 1]);
            if (c->next == STEP_ESTABLISH) c->acker = DB3;
        }
        fixture_ok(x);
    }
}

static inline struct fsm_cmd_plan_end *fixture_end(struct fixture *x, enum fsm_plan_state state)
{
    struct fsm_cmd_plan_end *c = &x->command.u.plan_end;

    x->command.kind = CMD_PLAN_END;
    c->token = fixture_shop(x)->plan;
    c->state = state;
    c->by_operator = state == PLAN_STATE_ABORTED;
    (void)TEXT_COPY(c->reason, "db3 does not attach");
    return c;
}

static inline struct fsm_cmd_server_state *fixture_server_state(struct fixture *x, const char *server,
                                                                enum fsm_server_state state, const char *reason)
{
    struct fsm_cmd_server_state *c = &x->command.u.server_state;

    x->command.kind = CMD_SERVER_STATE;
    (void)TEXT_COPY(c->cluster, "shop");
    (void)TEXT_COPY(c->server, server);
    c->state = state;
    (void)TEXT_COPY(c->reason, reason);
    return c;
}

#define FSM_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
