/* 20,000 random commands, most of them plausible walks of plans: what holds in every state holds after each, a replica
 * that was restored from a snapshot stays byte-equal (S4), repeated requests are recognized, epochs never fall. */
#include <errno.h>

#include "proto/convert.h"
#include "tests/unit/fsm_fixture.h"

enum { COMMANDS = 20000, CHECK_EVERY = 400, CLUSTERS = 3, SERVERS = 6 };

struct run {
    uint64_t random;
    struct fsm_state *state;
    struct fsm_state *twin; /* Restored from a snapshot of 'state' now and then; gets the same commands. */
    struct fsm_command command;
    struct fsm_command old; /* Applied some time ago. */
    uint64_t index;
    uint64_t seq;
    uint64_t epochs[CLUSTERS];
    unsigned codes[FSM_CODES_N];
    unsigned steps[STEP_DONE + 1];
    unsigned proofs[2]; /* Given, withdrawn. */
    unsigned unfenced;  /* Commands after which a reign that was given up was listed. */
    unsigned repeats;
};

static uint64_t next_random(struct run *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random;
}

static unsigned below(struct run *r, unsigned n)
{
    return (unsigned)(next_random(r) >> 20) % n;
}

static bool chance(struct run *r, unsigned percent)
{
    return below(r, 100) < percent;
}

static uint8_t some_server(struct run *r)
{
    return chance(r, 10) ? FSM_SERVER_NONE : (uint8_t)below(r, SERVERS);
}

/* A member other than 'a' and 'b', mostly. */
static uint8_t some_member(struct run *r, const struct fsm_cluster *c, uint8_t a, uint8_t b)
{
    for (int i = 0; i < 20 && chance(r, 97); i++) {
        uint8_t s = (uint8_t)below(r, SERVERS);
        if (s != a && s != b && s < c->servers_n && c->servers[s].state == SERVER_MEMBER) return s;
    }
    return some_server(r);
}

static void text_of(struct run *r, char *to, size_t size, const char *what)
{
    struct text t = text_on(to, size);

    text_addf(&t, "%s-%u", what, below(r, 1000));
}
#define SOME_TEXT(r, array, what) text_of((r), (array), sizeof(array), (what))

static void name_of(unsigned cluster, char *to, size_t size)
{
    struct text t = text_on(to, size);

    text_addf(&t, "cluster%u", cluster);
}

static void make_cluster_set(struct run *r)
{
    struct fsm_cluster_spec *spec = &r->command.u.cluster_set.spec;
    unsigned n = chance(r, 90) ? SERVERS : 1 + below(r, SERVERS);

    r->command.kind = CMD_CLUSTER_SET;
    r->command.u.cluster_set.create = chance(r, 30);
    name_of(below(r, CLUSTERS), spec->name, sizeof(spec->name));
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = (enum fsm_durability)(chance(r, 3) ? below(r, 5) : 1 + below(r, 3));
    SOME_TEXT(r, spec->defaults_file, "/etc/x");
    spec->probe_ms = 500;
    spec->timeout_ms = 1000 + below(r, 9);
    for (unsigned i = 0; i < n; i++) {
        char server[16], address[32];
        struct text s = TEXT_ON(server), a = TEXT_ON(address);
        text_addf(&s, "db%u", i + 1);
        text_addf(&a, "127.0.0.1:%u", 3301 + i + 10 * (unsigned)chance(r, 1));
        fixture_server(spec, server, address, i == 0 ? ROLE_MASTER : i == 1 ? ROLE_BACKUP : ROLE_REPLICA);
    }
}

static void make_server_state(struct run *r, unsigned cluster)
{
    struct fsm_cmd_server_state *c = &r->command.u.server_state;
    struct text t = TEXT_ON(c->server);

    r->command.kind = CMD_SERVER_STATE;
    name_of(cluster, c->cluster, sizeof(c->cluster));
    text_addf(&t, "db%u", 1 + below(r, SERVERS + 1));
    c->state = chance(r, 75) ? SERVER_MEMBER : (enum fsm_server_state)below(r, 5);
    if (chance(r, 80)) SOME_TEXT(r, c->reason, "reason");
}

static void make_begin(struct run *r, const struct fsm_cluster *cluster, unsigned number)
{
    struct fsm_cmd_plan_begin *c = &r->command.u.plan_begin;

    r->command.kind = CMD_PLAN_BEGIN;
    name_of(number, c->cluster, sizeof(c->cluster));
    c->kind = chance(r, 5) ? (enum fsm_plan_kind)below(r, 6) : PLAN_FAILOVER;
    if (cluster != NULL && cluster->epoch == 0 && chance(r, 95)) c->kind = PLAN_ENROL;
    c->epoch = cluster == NULL || chance(r, 3) ? below(r, 4) : cluster->epoch;
    c->from = cluster == NULL || chance(r, 3) ? some_server(r) : cluster->master;
    if (c->kind == PLAN_CLOSE) c->from = some_server(r);
    c->to = cluster == NULL ? some_server(r) : some_member(r, cluster, c->from, c->from);
    c->acker = cluster == NULL ? some_server(r) : some_member(r, cluster, c->from, c->to);
    if (c->kind == PLAN_FOLLOW) {
        c->from = some_server(r);
        if (cluster != NULL && chance(r, 95)) c->to = cluster->master;
        c->acker = chance(r, 50) ? FSM_SERVER_NONE : chance(r, 95) ? c->from : some_server(r);
    }
    c->by_operator = chance(r, 40);
    c->accept_loss = chance(r, 30);
    SOME_TEXT(r, c->verdict, "verdict");
    SOME_TEXT(r, c->evidence, "evidence");
}

static enum fsm_step plausible(struct run *r, const struct fsm_plan *p)
{
    switch (p->step) {
    case STEP_PREPARE: return STEP_VERIFY;
    case STEP_REVOKE: return STEP_APPLY;
    case STEP_APPLY: return p->holder == FSM_SERVER_NONE ? STEP_PROMOTE : STEP_CATCH_UP;
    case STEP_CATCH_UP: return STEP_PROMOTE;
    case STEP_PROMOTE: return STEP_ESTABLISH;
    case STEP_ESTABLISH: return chance(r, 80) ? STEP_OPEN : STEP_ESTABLISH;
    case STEP_OPEN: return chance(r, 80) ? STEP_REPOINT : STEP_ESTABLISH;
    case STEP_REPOINT: return chance(r, 80) ? STEP_DONE : STEP_REPOINT;
    case STEP_VERIFY:
    case STEP_SHUT:
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: break;
    }
    return STEP_DONE;
}

static void fill_step(struct run *r, struct fsm_cmd_plan_step *c, const struct fsm_cluster *cluster,
                      const struct fsm_plan *p)
{
    c->to = chance(r, 90) ? p->to : some_server(r);
    c->acker = chance(r, 70) && p->acker != FSM_SERVER_NONE && cluster->servers[p->acker].state == SERVER_MEMBER
                   ? p->acker
                   : some_member(r, cluster, p->from, p->to);
    c->holder = chance(r, 80) ? FSM_SERVER_NONE : some_member(r, cluster, p->to, p->from);
    c->fence = chance(r, 90) ? FENCE_F1_ACKS_REVOKED : (enum fsm_fence)below(r, 3);
    for (uint8_t i = 0; i < SERVERS; i++) {
        if (chance(r, 95)) {
            struct text t = TEXT_ON(c->identity[i]);
            text_addf(&t, "id-%u", i);
            c->server_id[i] = i + 1u;
        }
        if (chance(r, 85)) {
            c->revoked |= FSM_BIT(i);
            c->found[i].set = true;
            SOME_TEXT(r, c->found[i].received, "0-1");
            SOME_TEXT(r, c->found[i].executed, "0-1");
        }
        if (chance(r, 3)) c->set_aside |= FSM_BIT(i);
        if (chance(r, 98)) c->started_s[i] = 1000u + i + chance(r, 1);
    }
    c->no_tx = below(r, 3);
    if (p->step == STEP_REPOINT && p->acker != FSM_SERVER_NONE) c->revoked &= ~(FSM_BIT(p->to) | FSM_BIT(p->acker));
    if (p->step == STEP_REPOINT) c->revoked &= ~FSM_BIT(p->to);
    if (p->kind == PLAN_FOLLOW && chance(r, 90)) c->set_aside = 0;
    if (p->kind == PLAN_FOLLOW && chance(r, 70)) c->revoked = 0;
    else if (p->kind == PLAN_FOLLOW && chance(r, 90)) c->revoked &= FSM_BIT(p->from);
    if (chance(r, 90)) SOME_TEXT(r, c->target, "0-1");
    if (chance(r, 50)) SOME_TEXT(r, c->reason, "reason");
    SOME_TEXT(r, c->evidence, "evidence");
}

static void make_step(struct run *r, const struct fsm_cluster *cluster)
{
    const struct fsm_plan *p = fsm_plan_find(r->state, cluster->plan);
    struct fsm_cmd_plan_step *c = &r->command.u.plan_step;

    r->command.kind = CMD_PLAN_STEP;
    c->token = chance(r, 97) ? p->token : p->token - 1;
    c->done = chance(r, 97) ? p->step : (enum fsm_step)below(r, STEP_DONE + 1);
    c->next = chance(r, 93) ? plausible(r, p) : (enum fsm_step)below(r, STEP_DONE + 1);
    fill_step(r, c, cluster, p);
}

static void make_end(struct run *r, const struct fsm_cluster *cluster)
{
    struct fsm_cmd_plan_end *c = &r->command.u.plan_end;

    r->command.kind = CMD_PLAN_END;
    c->token = cluster->plan;
    c->state = chance(r, 95) ? PLAN_STATE_FAILED : (enum fsm_plan_state)below(r, 5);
    c->by_operator = chance(r, 50);
    SOME_TEXT(r, c->reason, "reason");
}

static void make_proof(struct run *r, const struct fsm_cluster *cluster)
{
    struct fsm_cmd_reign_proof *c = &r->command.u.reign_proof;

    r->command.kind = CMD_REIGN_PROOF;
    (void)TEXT_COPY(c->cluster, cluster->name);
    c->epoch = chance(r, 95) ? cluster->epoch : below(r, 9);
    c->lossless = chance(r, 70);
    if (chance(r, 95)) SOME_TEXT(r, c->since, "0-1");
    if (chance(r, 95)) SOME_TEXT(r, c->reason, "reason");
    for (uint8_t i = 0; i < SERVERS; i++) {
        if (chance(r, 99)) c->started_s[i] = 1000u + i;
    }
    c->no_tx = below(r, 3);
}

static void make_small(struct run *r, unsigned number)
{
    switch (below(r, 3)) {
    case 0:
        r->command.kind = CMD_CLUSTER_PAUSE;
        name_of(number, r->command.u.cluster_pause.cluster, FSM_NAME_SIZE);
        r->command.u.cluster_pause.paused = chance(r, 20);
        return;
    case 1:
        r->command.kind = CMD_EVENT;
        if (chance(r, 80)) name_of(number, r->command.u.event.cluster, FSM_NAME_SIZE);
        if (chance(r, 95)) SOME_TEXT(r, r->command.u.event.kind, "kind");
        SOME_TEXT(r, r->command.u.event.text, "text");
        return;
    default:
        r->command.kind = CMD_NONE;
        return;
    }
}

static void make(struct run *r)
{
    unsigned number = below(r, CLUSTERS);
    char name[FSM_NAME_SIZE];
    const struct fsm_cluster *cluster;

    memset(&r->command, 0, sizeof(r->command));
    name_of(number, name, sizeof(name));
    cluster = fsm_cluster_find(r->state, name);
    if (cluster == NULL || chance(r, 3)) {
        make_cluster_set(r);
    } else if (chance(r, 12)) {
        make_server_state(r, number);
    } else if (chance(r, 6)) {
        make_small(r, number);
    } else if (chance(r, cluster->plan == 0 ? 25 : 2)) {
        make_proof(r, cluster);
    } else if (cluster->plan == 0 || chance(r, 2)) {
        make_begin(r, cluster, number);
    } else if (chance(r, 93)) {
        make_step(r, cluster);
    } else {
        make_end(r, cluster);
    }
    r->command.id = (struct fsm_request_id){42, ++r->seq, r->state->index};
    /* Now and then a straggler, made long ago: one in two of them too long. */
    if (r->seq % 97 == 0) r->command.id.since -= r->state->index < 6000 ? r->state->index : r->seq % 2 ? 6000 : 1000;
    r->command.time.us = (int64_t)r->seq * 1000;
    r->command.version = 1;
}

/* Sends the command through its bytes, as the log does. */
static void through_bytes(struct run *r)
{
    struct fsm_command decoded;
    struct err e = {0};
    void *data;
    size_t size;
    int rc;

    assert_int_equal(proto_command_encode(&r->command, &data, &size), 0);
    rc = proto_command_decode(&decoded, data, size, &e);
    free(data);
    if (rc == -ENOTSUP) {
        assert_int_equal(r->command.kind, CMD_NONE);
        return;
    }
    /* Values outside an enum are refused by the decoder; those do not get into the log. */
    if (rc != 0) {
        assert_int_equal(rc, -EPROTO);
        memset(&decoded, 0, sizeof(decoded));
        decoded.id = r->command.id;
        decoded.time = r->command.time;
    } else {
        assert_memory_equal(&decoded, &r->command, sizeof(decoded));
    }
    r->command = decoded;
}

static void apply_to_both(struct run *r, struct fsm_result *result)
{
    struct fsm_result other;
    const char *broken;

    r->index += 1 + below(r, 3);
    fsm_apply(r->state, r->index, &r->command, result);
    fsm_apply(r->twin, r->index, &r->command, &other);
    assert_memory_equal(result, &other, sizeof(other));
    broken = fsm_invariant(r->state);
    if (broken != NULL) fail_msg("command %llu: %s", (unsigned long long)r->seq, broken);
}

static bool is_any_unfenced(const struct run *r)
{
    for (unsigned i = 0; i < FSM_CLUSTERS_MAX; i++) {
        const struct fsm_cluster *c = &r->state->clusters[i];
        for (uint8_t j = 0; j < c->reigns_n; j++) {
            if (c->reigns[j].unfenced) return true;
        }
    }
    return false;
}

static void check_epochs(struct run *r)
{
    for (unsigned i = 0; i < CLUSTERS; i++) {
        const struct fsm_cluster *c;
        char name[FSM_NAME_SIZE];

        name_of(i, name, sizeof(name));
        c = fsm_cluster_find(r->state, name);
        if (c == NULL) continue;
        assert_true(c->epoch >= r->epochs[i]);
        r->epochs[i] = c->epoch;
    }
}

static void repeat_an_old_one(struct run *r)
{
    uint64_t dedup_n = r->state->dedup_n, events_n = r->state->events_n;
    struct fsm_command now = r->command;
    struct fsm_result result;

    r->command = r->old;
    apply_to_both(r, &result);
    assert_true(result.repeated);
    assert_int_equal(r->state->dedup_n, dedup_n);
    assert_int_equal(r->state->events_n, events_n);
    r->command = now;
    r->repeats++;
}

/* The twin becomes what a manager that is restored from a snapshot has. */
static void restore_twin(struct run *r)
{
    struct err e = {0};
    void *data, *again;
    size_t size, again_size;

    assert_memory_equal(r->state, r->twin, sizeof(*r->state));
    assert_int_equal(proto_snapshot_encode(r->state, &data, &size), 0);
    memset(r->twin, 0x5a, sizeof(*r->twin));
    if (proto_snapshot_decode(r->twin, data, size, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(r->state, r->twin, sizeof(*r->state));
    assert_int_equal(proto_snapshot_encode(r->twin, &again, &again_size), 0);
    assert_int_equal(size, again_size);
    assert_memory_equal(data, again, size);
    free(data);
    free(again);
}

/* A test that never got anywhere proves nothing. */
static void check_coverage(const struct run *r)
{
    for (int i = STEP_PREPARE; i <= (int)STEP_DONE; i++) {
        if (r->steps[i] == 0) fail_msg("step %s was never reached", fsm_step_name((enum fsm_step)i));
    }
    for (int i = 0; i < (int)FSM_CODES_N; i++) {
        /* The limit on reigns needs more failures in a row than chance brings; test_fsm_failover.c has it. */
        if (r->codes[i] == 0 && i != FSM_FULL) fail_msg("code %s was never given", fsm_code_name((enum fsm_code)i));
    }
    assert_true(r->proofs[0] > 20 && r->proofs[1] > 20);
    assert_true(r->unfenced > 100);
    assert_true(r->repeats > 100);
    assert_true(r->epochs[0] > 20);
    assert_true(r->state->events_n > FSM_EVENTS_MAX);
    assert_true(r->state->dedup_n > FSM_DEDUP_MAX);
}

static void run_with(uint64_t seed)
{
    struct run *r = calloc(1, sizeof(*r));

    print_message("seed %llu\n", (unsigned long long)seed);
    r->random = seed;
    r->state = malloc(sizeof(*r->state));
    r->twin = malloc(sizeof(*r->twin));
    fsm_init(r->state);
    fsm_init(r->twin);
    for (int i = 0; i < COMMANDS; i++) {
        struct fsm_result result;

        make(r);
        through_bytes(r);
        apply_to_both(r, &result);
        assert_false(result.repeated);
        r->codes[result.code]++;
        if (result.code == FSM_OK && r->command.kind == CMD_PLAN_STEP) r->steps[r->command.u.plan_step.next]++;
        if (result.code == FSM_OK && r->command.kind == CMD_PLAN_BEGIN) {
            r->steps[fsm_plan_find(r->state, result.value)->step]++;
        }
        if (result.code == FSM_OK && r->command.kind == CMD_REIGN_PROOF) {
            r->proofs[r->command.u.reign_proof.lossless ? 0 : 1]++;
        }
        r->unfenced += is_any_unfenced(r);
        check_epochs(r);
        if (i % 100 == 0 && result.code != FSM_EXPIRED) r->old = r->command;
        if (chance(r, 5)) repeat_an_old_one(r);
        if (i % CHECK_EVERY == CHECK_EVERY - 1) restore_twin(r);
    }
    for (int i = 0; i < (int)FSM_CODES_N; i++) {
        print_message("%s %u, ", fsm_code_name((enum fsm_code)i), r->codes[i]);
    }
    for (int i = 1; i <= (int)STEP_DONE; i++) print_message("%s %u, ", fsm_step_name((enum fsm_step)i), r->steps[i]);
    print_message("epoch %llu\n", (unsigned long long)r->epochs[0]);
    check_coverage(r);
    free(r->state);
    free(r->twin);
    free(r);
}

static void random_commands_keep_the_rules(void **arg)
{
    (void)arg;
    run_with(20240607);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_commands_keep_the_rules)};

    return cmocka_run_group_tests_name("fsm_random", tests, NULL, NULL);
}
