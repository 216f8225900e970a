/* Bytes of commands, snapshots and observations: round trips, and bytes that are damaged, cut off or hostile. */
#include <errno.h>
#include <endian.h>
#include <zlib.h>

#include "proto/command.pb-c.h"
#include "proto/convert.h"
#include "proto/observation.pb-c.h"
#include "proto/snapshot.pb-c.h"
#include "tests/unit/fsm_fixture.h"

/* Fills a text to its end, so that a copy that is one short or one long shows. */
#define FILL(array) fill_text((array), sizeof(array))
static void fill_text(char *to, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++) to[i] = (char)('a' + i % 26);
    to[size - 1] = '\0';
}

/* --- commands --- */

static void fill_cluster_set(struct fsm_cmd_cluster_set *c)
{
    FILL(c->spec.name);
    c->spec.flavour = FLAVOUR_NDB;
    c->spec.durability = DURABILITY_ASYNC;
    FILL(c->spec.defaults_file);
    FILL(c->spec.group);
    c->spec.probe_ms = UINT32_MAX;
    c->spec.timeout_ms = 1;
    c->spec.servers_n = FSM_SERVERS_MAX;
    for (int i = 0; i < FSM_SERVERS_MAX; i++) {
        FILL(c->spec.servers[i].name);
        FILL(c->spec.servers[i].address);
        c->spec.servers[i].role = ROLE_REPLICA;
    }
    c->create = true;
}

static void fill_started(uint64_t *started_s)
{
    for (int i = 0; i < FSM_SERVERS_MAX; i++) started_s[i] = UINT64_MAX - (uint64_t)i;
}

static void fill_step(struct fsm_cmd_plan_step *c)
{
    c->token = UINT64_MAX;
    c->done = STEP_REVOKE;
    c->next = STEP_DONE;
    c->revoked = 0xffff;
    c->fence = FENCE_F2_CLOSED;
    c->to = 15;
    c->holder = FSM_SERVER_NONE;
    c->acker = 0;
    FILL(c->target);
    for (int i = 0; i < FSM_SERVERS_MAX; i++) {
        c->found[i].set = i != 3;
        if (i == 3) continue;
        FILL(c->found[i].received);
        FILL(c->found[i].executed);
        FILL(c->identity[i]);
        c->server_id[i] = UINT32_MAX - (uint32_t)i;
    }
    fill_started(c->started_s);
    c->no_tx = 12;
    c->set_aside = 0x8001;
    FILL(c->reason);
    FILL(c->evidence);
}

static void fill_member(struct fsm_cmd_member *c)
{
    c->act = MEMBER_ACT_JOIN;
    c->id = UINT64_MAX;
    c->role = MEMBER_GONE;
    FILL(c->name);
    FILL(c->address);
    memset(c->hash, 0xff, sizeof(c->hash));
    c->nonce[3] = 1;
    FILL(c->reason);
    c->members_n = FSM_MEMBERS_MAX;
    for (int i = 0; i < FSM_MEMBERS_MAX; i++) {
        c->members[i].id = UINT64_MAX - (uint64_t)i;
        FILL(c->members[i].name);
        FILL(c->members[i].address);
    }
}

/* The fullest command of a kind. */
static void fill_command(struct fsm_command *c, enum fsm_command_kind kind)
{
    memset(c, 0, sizeof(*c));
    c->id = (struct fsm_request_id){UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 2};
    c->time.us = -5;
    c->version = 1;
    c->kind = kind;
    switch (kind) {
    case CMD_CLUSTER_SET: fill_cluster_set(&c->u.cluster_set); return;
    case CMD_SERVER_STATE:
        FILL(c->u.server_state.cluster);
        FILL(c->u.server_state.server);
        c->u.server_state.state = SERVER_QUARANTINED;
        FILL(c->u.server_state.reason);
        return;
    case CMD_PLAN_BEGIN:
        FILL(c->u.plan_begin.cluster);
        c->u.plan_begin.kind = PLAN_CLOSE;
        c->u.plan_begin.epoch = UINT64_MAX;
        c->u.plan_begin.from = 1;
        c->u.plan_begin.to = FSM_SERVER_NONE;
        c->u.plan_begin.acker = 15;
        c->u.plan_begin.accept_loss = true;
        c->u.plan_begin.by_operator = true;
        FILL(c->u.plan_begin.verdict);
        FILL(c->u.plan_begin.evidence);
        return;
    case CMD_PLAN_STEP: fill_step(&c->u.plan_step); return;
    case CMD_PLAN_END:
        c->u.plan_end.token = 9;
        c->u.plan_end.state = PLAN_STATE_ABORTED;
        c->u.plan_end.by_operator = true;
        FILL(c->u.plan_end.reason);
        return;
    case CMD_CLUSTER_PAUSE:
        FILL(c->u.cluster_pause.cluster);
        c->u.cluster_pause.paused = true;
        return;
    case CMD_EVENT:
        FILL(c->u.event.cluster);
        FILL(c->u.event.kind);
        FILL(c->u.event.text);
        FILL(c->u.event.evidence);
        return;
    case CMD_REIGN_PROOF:
        FILL(c->u.reign_proof.cluster);
        c->u.reign_proof.epoch = UINT64_MAX;
        c->u.reign_proof.lossless = true;
        FILL(c->u.reign_proof.since);
        fill_started(c->u.reign_proof.started_s);
        c->u.reign_proof.no_tx = UINT64_MAX;
        FILL(c->u.reign_proof.reason);
        return;
    case CMD_DIGEST: c->u.digest = (struct fsm_cmd_digest){UINT64_MAX, {0x5a, 1}}; return;
    case CMD_VERSION:
        c->u.version.from = 1;
        c->u.version.to = UINT32_MAX;
        return;
    case CMD_RECOVERED: c->u.recovered = (struct fsm_cmd_recovered){UINT64_MAX, UINT64_MAX, UINT64_MAX}; return;
    case CMD_MEMBER: fill_member(&c->u.member); return;
    case CMD_TOKEN:
        FILL(c->u.token.name);
        FILL(c->u.token.address);
        memset(c->u.token.hash, 0, sizeof(c->u.token.hash));
        c->u.token.expires.us = INT64_MIN;
        return;
    case CMD_NONE: return;
    }
}

static void round_trip(const struct fsm_command *c)
{
    struct fsm_command back;
    struct err e = {0};
    void *data;
    size_t size;

    memset(&back, 0xa5, sizeof(back));
    assert_int_equal(proto_command_encode(c, &data, &size), 0);
    if (proto_command_decode(&back, data, size, &e) != 0) fail_msg("kind %d: %s", (int)c->kind, e.text);
    assert_memory_equal(&back, c, sizeof(back));
    free(data);
}

static void commands_round_trip(void **arg)
{
    struct fsm_command c;

    (void)arg;
    for (int kind = CMD_CLUSTER_SET; kind <= CMD_RECOVERED; kind++) {
        fill_command(&c, (enum fsm_command_kind)kind);
        round_trip(&c);
        memset(&c.u, 0, sizeof(c.u)); /* All defaults: the part is there though it is empty. */
        round_trip(&c);
    }
}

/* Decodes 'size' bytes from a block of exactly that size, so that reading past them is seen. */
static int decode_command(struct fsm_command *c, const void *data, size_t size, struct err *e)
{
    void *exact = malloc(size + (size == 0));
    int rc;

    memcpy(exact, data, size);
    memset(c, 0xa5, sizeof(*c));
    rc = proto_command_decode(c, exact, size, e);
    free(exact);
    return rc;
}

static bool all_zero(const void *data, size_t size)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < size; i++) {
        if (p[i] != 0) return false;
    }
    return true;
}

/* What may come out of damaged bytes: a command within all enums, or an error and zeros. */
static void check_decoded(int rc, struct fsm_command *c)
{
    void *data;
    size_t size;

    if (rc == -ENOTSUP) {
        c->id = (struct fsm_request_id){0};
        c->time.us = 0;
        c->version = 0;
    }
    if (rc != 0) {
        assert_true(rc == -EPROTO || rc == -ENOTSUP);
        assert_true(all_zero(c, sizeof(*c)));
        return;
    }
    assert_true(fsm_command_needs(c) == 1);
    if (c->kind == CMD_PLAN_STEP) {
        assert_true(c->u.plan_step.done < fsm_step_count && c->u.plan_step.next < fsm_step_count);
        assert_true(c->u.plan_step.fence < fsm_fence_count);
        assert_true(c->u.plan_step.to < FSM_SERVERS_MAX || c->u.plan_step.to == FSM_SERVER_NONE);
        assert_true((c->u.plan_step.revoked >> FSM_SERVERS_MAX) == 0);
    }
    if (c->kind == CMD_CLUSTER_SET) {
        assert_true(c->u.cluster_set.spec.servers_n <= FSM_SERVERS_MAX);
        assert_true(c->u.cluster_set.spec.flavour < fsm_flavour_count);
        assert_true(c->u.cluster_set.spec.servers[0].role < fsm_role_count);
    }
    /* It can be encoded again: every text ends, every count is in range. */
    assert_int_equal(proto_command_encode(c, &data, &size), 0);
    free(data);
}

/* A command with something in every field, but short. */
static void fill_short(struct fsm_command *c, enum fsm_command_kind kind)
{
    memset(c, 0, sizeof(*c));
    c->id = (struct fsm_request_id){0x1122334455667788, 300, 200};
    c->time.us = 1700000000000000;
    c->kind = kind;
    if (kind == CMD_CLUSTER_SET) {
        (void)TEXT_COPY(c->u.cluster_set.spec.name, "shop");
        c->u.cluster_set.spec.flavour = FLAVOUR_MARIADB;
        c->u.cluster_set.spec.durability = DURABILITY_LOSSLESS;
        c->u.cluster_set.spec.probe_ms = 500;
        fixture_server(&c->u.cluster_set.spec, "db1", "h:1", ROLE_MASTER);
        fixture_server(&c->u.cluster_set.spec, "db2", "h:2", ROLE_BACKUP);
        return;
    }
    c->u.plan_step.token = 12;
    c->u.plan_step.done = STEP_REVOKE;
    c->u.plan_step.next = STEP_APPLY;
    c->u.plan_step.revoked = 2;
    c->u.plan_step.fence = FENCE_F1_ACKS_REVOKED;
    c->u.plan_step.to = 1;
    c->u.plan_step.holder = FSM_SERVER_NONE;
    c->u.plan_step.acker = 2;
    (void)TEXT_COPY(c->u.plan_step.target, "0-1-9");
    fixture_found(&c->u.plan_step, 1, "0-1-9");
    fixture_found(&c->u.plan_step, 2, "0-1-8");
    (void)TEXT_COPY(c->u.plan_step.identity[1], "id");
    c->u.plan_step.server_id[1] = 7;
    c->u.plan_step.started_s[1] = 1700000000;
    c->u.plan_step.no_tx = 3;
    c->u.plan_step.set_aside = 8;
    (void)TEXT_COPY(c->u.plan_step.reason, "why");
}

static void damaged_commands_never_pass_unchecked(void **arg)
{
    static const enum fsm_command_kind kinds[] = {CMD_CLUSTER_SET, CMD_PLAN_STEP};

    (void)arg;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct fsm_command c, back;
        struct err e;
        uint8_t *data;
        size_t size;

        fill_short(&c, kinds[k]);
        assert_int_equal(proto_command_encode(&c, (void **)&data, &size), 0);
        for (size_t n = 0; n < size; n++) check_decoded(decode_command(&back, data, n, &e), &back);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check_decoded(decode_command(&back, data, size, &e), &back);
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(data);
    }
}

/* Packs a hand-made message and expects its refusal. */
static void refused_command(const Regent__Command__Command *m, int expected, const char *text)
{
    struct fsm_command c;
    struct err e = {0};
    uint8_t data[4096];
    size_t size = regent__command__command__get_packed_size(m);

    assert_true(size <= sizeof(data));
    regent__command__command__pack(m, data);
    assert_int_equal(decode_command(&c, data, size, &e), expected);
    if (strstr(e.text, text) == NULL) fail_msg("expected \"%s\", got \"%s\"", text, e.text);
    assert_int_equal(c.kind, CMD_NONE);
    if (expected == -ENOTSUP) assert_int_equal(c.id.client, m->client);
    if (expected == -EPROTO) assert_true(all_zero(&c, sizeof(c)));
}

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)data};
}

static void hostile_kinds_are_refused(void **arg)
{
    Regent__Command__Command m = REGENT__COMMAND__COMMAND__INIT;
    Regent__Command__PlanEnd end = REGENT__COMMAND__PLAN_END__INIT;
    Regent__Command__Event event = REGENT__COMMAND__EVENT__INIT;

    (void)arg;
    m.client = 5;
    refused_command(&m, -ENOTSUP, "kind");
    m.kind = 200;
    refused_command(&m, -ENOTSUP, "kind");
    m.kind = CMD_PLAN_END;
    refused_command(&m, -EPROTO, "missing");
    m.event = &event;
    refused_command(&m, -EPROTO, "another kind");
    m.plan_end = &end;
    refused_command(&m, -EPROTO, "another kind");
    m.event = NULL;
    end.state = (uint32_t)fsm_plan_state_count;
    refused_command(&m, -EPROTO, "fsm_plan_state");
    end.state = UINT32_MAX;
    refused_command(&m, -EPROTO, "fsm_plan_state");
    end.state = 1;
    end.reason = bytes("a\0b", 3);
    refused_command(&m, -EPROTO, "NUL inside");
    end.reason = bytes("a\0", 2);
    refused_command(&m, -EPROTO, "NUL inside");
}

static void hostile_texts_and_counts_are_refused(void **arg)
{
    Regent__Command__Command m = REGENT__COMMAND__COMMAND__INIT;
    Regent__Command__ClusterSet set = REGENT__COMMAND__CLUSTER_SET__INIT;
    Regent__Command__ClusterSet__Server server = REGENT__COMMAND__CLUSTER_SET__SERVER__INIT;
    Regent__Command__ClusterSet__Server *servers[FSM_SERVERS_MAX + 1];
    char name[FSM_NAME_SIZE];

    (void)arg;
    memset(name, 'x', sizeof(name));
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) servers[i] = &server;
    m.kind = CMD_CLUSTER_SET;
    m.cluster_set = &set;
    set.servers = servers;
    set.n_servers = FSM_SERVERS_MAX + 1;
    refused_command(&m, -EPROTO, "servers are too many");
    set.n_servers = 1;
    set.name = bytes(name, FSM_NAME_SIZE); /* No room for its NUL. */
    refused_command(&m, -EPROTO, "name is too long");
    set.name = bytes(NULL, 0);
    server.role = (uint32_t)fsm_role_count;
    refused_command(&m, -EPROTO, "fsm_role");
    server.role = 1;
    set.durability = 4;
    refused_command(&m, -EPROTO, "fsm_durability");
}

static void hostile_incarnations_are_refused(void **arg)
{
    Regent__Command__Command m = REGENT__COMMAND__COMMAND__INIT;
    Regent__Command__ReignProof proof = REGENT__COMMAND__REIGN_PROOF__INIT;
    uint64_t started_s[FSM_SERVERS_MAX + 1];

    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(started_s); i++) started_s[i] = i + 1;
    m.kind = CMD_REIGN_PROOF;
    m.reign_proof = &proof;
    proof.started_s = started_s;
    proof.n_started_s = ARRAY_LEN(started_s);
    refused_command(&m, -EPROTO, "started_s are too many");
    proof.n_started_s = 2;
    started_s[1] = 0; /* Equal numbers are equal bytes. */
    refused_command(&m, -EPROTO, "started_s ends with 0");
}

static void hostile_steps_are_refused(void **arg)
{
    Regent__Command__Command m = REGENT__COMMAND__COMMAND__INIT;
    Regent__Command__PlanStep step = REGENT__COMMAND__PLAN_STEP__INIT;
    Regent__Command__PlanStep__Finding finding = REGENT__COMMAND__PLAN_STEP__FINDING__INIT;
    Regent__Command__PlanStep__Finding *found[] = {&finding, &finding};
    Regent__Command__PlanStep__Identity identity = REGENT__COMMAND__PLAN_STEP__IDENTITY__INIT;
    Regent__Command__PlanStep__Identity *identities[] = {&identity, &identity};

    (void)arg;
    m.kind = CMD_PLAN_STEP;
    m.plan_step = &step;
    step.to = FSM_SERVERS_MAX;
    refused_command(&m, -EPROTO, "to is out of range");
    step.to = 1;
    step.acker = 256 + 1; /* 1 in eight bits */
    refused_command(&m, -EPROTO, "acker");
    step.acker = 1;
    step.revoked = 0x10000;
    refused_command(&m, -EPROTO, "revoked");
    step.revoked = 0;
    step.fence = (uint32_t)fsm_fence_count;
    refused_command(&m, -EPROTO, "fsm_fence");
    step.fence = 0;
    step.found = found;
    step.n_found = 2;
    refused_command(&m, -EPROTO, "finding is there twice");
    step.n_found = 1;
    finding.server = FSM_SERVERS_MAX;
    refused_command(&m, -EPROTO, "finding's server");
    step.n_found = 0;
    step.identities = identities;
    step.n_identities = 1;
    refused_command(&m, -EPROTO, "identity is there twice or empty");
    identity.identity = bytes("x", 1);
    step.n_identities = 2;
    refused_command(&m, -EPROTO, "identity is there twice");
}

static void unknown_fields_are_not_passed_over(void **arg)
{
    struct fsm_command c, back;
    struct err e = {0};
    uint8_t data[64], *encoded;
    size_t size;

    (void)arg;
    memset(&c, 0, sizeof(c));
    c.id.client = 5;
    c.kind = CMD_PLAN_END;
    assert_int_equal(proto_command_encode(&c, (void **)&encoded, &size), 0);
    memcpy(data, encoded, size);
    free(encoded);
    data[size++] = 0xa0; /* Field 100 (varint), from a version to come. */
    data[size++] = 0x06;
    data[size++] = 1;
    assert_int_equal(decode_command(&back, data, size, &e), -ENOTSUP);
    assert_int_equal(back.id.client, 5);
    assert_int_equal(back.kind, CMD_NONE);
    assert_non_null(strstr(e.text, "newer version"));
}

static void huge_commands_are_refused(void **arg)
{
    struct fsm_command c;
    struct err e = {0};
    uint8_t *data = calloc(1, 1 << 20);

    (void)arg;
    assert_int_equal(proto_command_decode(&c, data, 1 << 20, &e), -EPROTO);
    assert_non_null(strstr(e.text, "too long"));
    free(data);
}

/* --- snapshots --- */

enum { HEADER = 24 };

static void set_crc(uint8_t *data, size_t size)
{
    uint32_t crc = htole32((uint32_t)crc32_z(0, data + HEADER, size - HEADER));
    uint64_t body = htole64(size - HEADER);

    memcpy(data + 12, &crc, sizeof(crc));
    memcpy(data + 16, &body, sizeof(body));
}

/* A state in which every kind of record occurs: enrolled, one failover failed, one in its midst, holder and all. */
static void busy_state(struct fixture *x)
{
    struct fsm_cmd_plan_step *c;

    fixture_enrolled(x);
    fixture_failover_until(x, STEP_OPEN);
    fixture_end(x, PLAN_STATE_FAILED);
    fixture_ok(x);
    fixture_server_state(x, "db4", SERVER_QUARANTINED, "disk is full");
    fixture_ok(x);
    fixture_failover(x, DB2, DB3);
    c = fixture_revoke(x, DB2, DB3);
    fixture_found(c, DB3, "0-1-101");
    c->holder = DB3;
    fixture_ok(x);
    x->state->clusters[0].servers[DB4].maintenance = true; /* No command sets it yet. */
    x->state->clusters[0].paused = true;
}

static uint8_t *encode_state(const struct fixture *x, size_t *size)
{
    void *data;

    assert_int_equal(proto_snapshot_encode(x->state, &data, size), 0);
    return data;
}

static void snapshots_round_trip(void **arg)
{
    struct fixture *x = *arg;
    struct err e = {0};
    uint8_t *data, *again;
    size_t size, again_size;

    for (int i = 0; i < 2; i++) { /* The empty state, then a busy one. */
        data = encode_state(x, &size);
        memset(x->before, 0xa5, sizeof(*x->before));
        if (proto_snapshot_decode(x->before, data, size, &e) != 0) fail_msg("%s", e.text);
        assert_memory_equal(x->before, x->state, sizeof(*x->state));
        assert_int_equal(proto_snapshot_encode(x->before, (void **)&again, &again_size), 0);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, data, size);
        free(data);
        free(again);
        if (i == 0) busy_state(x);
    }
}

static void refused_snapshot(struct fixture *x, const void *data, size_t size, int expected, const char *text)
{
    struct err e = {0};

    x->before->index = 77;
    assert_int_equal(proto_snapshot_decode(x->before, data, size, &e), expected);
    if (strstr(e.text, text) == NULL) fail_msg("expected \"%s\", got \"%s\"", text, e.text);
    assert_int_equal(x->before->version, 1);
    x->before->version = 0;
    assert_true(all_zero(x->before, sizeof(*x->before)));
}

static void the_header_is_checked(void **arg)
{
    struct fixture *x = *arg;
    uint8_t *data;
    size_t size;

    busy_state(x);
    data = encode_state(x, &size);
    assert_memory_equal(data, "RGNTSNAP\1\0\0\0", 12);
    for (size_t n = 0; n < HEADER; n++) refused_snapshot(x, data, n, -EPROTO, "shorter");
    refused_snapshot(x, data, size - 1, -EPROTO, "bytes instead of");
    data[0] ^= 1;
    refused_snapshot(x, data, size, -EPROTO, "not one of Regent");
    data[0] ^= 1;
    data[8] = 2;
    refused_snapshot(x, data, size, -ENOTSUP, "speaks versions 1 to 1");
    data[8] = 0;
    refused_snapshot(x, data, size, -EPROTO, "version 0");
    data[8] = 1;
    for (size_t i = 12; i < 16; i++) {
        data[i] ^= 0x10;
        refused_snapshot(x, data, size, -EPROTO, "CRC");
        data[i] ^= 0x10;
    }
    for (size_t i = HEADER; i < size; i += 97) {
        data[i] ^= 0x10;
        refused_snapshot(x, data, size, -EPROTO, "CRC");
        data[i] ^= 0x10;
    }
    free(data);
}

/* Bytes whose CRC fits, as a bug or an attacker would make them. */
static void damaged_snapshots_break_no_rule(void **arg)
{
    struct fixture *x = *arg;
    uint8_t *data, *copy;
    size_t size;
    unsigned passed = 0;

    busy_state(x);
    data = encode_state(x, &size);
    copy = malloc(size);
    for (size_t i = HEADER; i < size; i++) {
        int rc;

        memcpy(copy, data, size);
        copy[i] ^= (uint8_t)(1u << i % 8);
        set_crc(copy, size);
        rc = proto_snapshot_decode(x->before, copy, size, NULL);
        assert_true(rc == 0 || rc == -EPROTO || rc == -ENOTSUP);
        if (rc == 0) assert_null(fsm_invariant(x->before));
        passed += rc == 0;
    }
    assert_true(passed > 0 && passed < size - HEADER);
    free(copy);
    free(data);
}

static void snapshots_that_are_cut_off_are_refused(void **arg)
{
    struct fixture *x = *arg;
    uint8_t *data;
    size_t size;

    busy_state(x);
    data = encode_state(x, &size);
    for (size_t n = HEADER; n < size; n += 3) {
        uint8_t *exact = malloc(n);

        memcpy(exact, data, n);
        set_crc(exact, n);
        assert_true(proto_snapshot_decode(x->before, exact, n, NULL) < 0); /* The head says how much follows. */
        free(exact);
    }
    free(data);
}

/* Appends a record to the snapshot of 'x' and expects its refusal. */
static void refused_record(struct fixture *x, const Regent__Snapshot__Record *m, const char *text)
{
    size_t size, more = regent__snapshot__record__get_packed_size(m);
    uint8_t *data = encode_state(x, &size);
    uint32_t length = htole32((uint32_t)more);

    data = realloc(data, size + 4 + more);
    memcpy(data + size, &length, 4);
    regent__snapshot__record__pack(m, data + size + 4);
    set_crc(data, size + 4 + more);
    refused_snapshot(x, data, size + 4 + more, -EPROTO, text);
    free(data);
}

static void hostile_records_are_refused(void **arg)
{
    struct fixture *x = *arg;
    Regent__Snapshot__Record m = REGENT__SNAPSHOT__RECORD__INIT;
    Regent__Snapshot__Head head = REGENT__SNAPSHOT__HEAD__INIT;
    Regent__Snapshot__Cluster cluster = REGENT__SNAPSHOT__CLUSTER__INIT;
    Regent__Snapshot__Event event = REGENT__SNAPSHOT__EVENT__INIT;
    Regent__Snapshot__Dedup dedup = REGENT__SNAPSHOT__DEDUP__INIT;
    Regent__Snapshot__Plan plan = REGENT__SNAPSHOT__PLAN__INIT;

    busy_state(x);
    refused_record(x, &m, "not one part");
    m.head = &head;
    refused_record(x, &m, "head is there twice");
    m.event = &event;
    refused_record(x, &m, "not one part");
    m.head = NULL;
    refused_record(x, &m, "events are too many");
    m.event = NULL;
    m.dedup = &dedup;
    refused_record(x, &m, "request ids are too many");
    m.dedup = NULL;
    m.cluster = &cluster;
    refused_record(x, &m, "cluster is there twice");
    cluster.slot = FSM_CLUSTERS_MAX;
    refused_record(x, &m, "slot is out of range");
    cluster.slot = 1;
    refused_record(x, &m, "broken rule");
    cluster.name = bytes("a\0b", 3);
    refused_record(x, &m, "NUL inside");
    m.cluster = NULL;
    m.plan = &plan;
    plan.token = 1;
    refused_record(x, &m, "plan is there twice");
    plan.slot = 9;
    plan.kind = (uint32_t)fsm_plan_kind_count;
    refused_record(x, &m, "fsm_plan_kind");
}

/* --- observations --- */

static void fill_channel(struct view_channel *c)
{
    FILL(c->name);
    FILL(c->source_host);
    c->source_port = 65535;
    c->source_server_id = 1;
    c->io = VIEW_IO_YES;
    c->applier = true;
    c->io_errno = 2;
    c->sql_errno = 3;
    FILL(c->error);
    FILL(c->received);
    c->heartbeats = 4;
    c->heartbeat_period_ms = 5;
    c->receive_mark = UINT64_MAX;
    c->gtid = true;
    c->lag_ms = -1;
    c->idle_ms = 6;
}

static void fill_facts(struct view_facts *f)
{
    f->set = true;
    FILL(f->version);
    f->supported = true;
    f->server_id = 1;
    FILL(f->identity);
    f->token = 2;
    f->fence_epoch = 3;
    f->started_s = 4;
    f->read_only = true;
    FILL(f->executed);
    FILL(f->binlog);
    f->source_enabled = f->replica_enabled = f->source_on = f->replica_on = true;
    f->source_clients = 5;
    f->no_tx = 6;
    f->wait_sessions = 7;
    f->yes_tx = UINT64_MAX;
    f->stalled_ms = 9;
    f->acked_ms = -1;
    f->source_timeout_ms = 4294967295;
    f->after_sync = f->wait_no_replica = true;
    f->kill_conn_timeout_s = 8;
    f->durable = f->relay_durable = f->log_replica_updates = f->gtid_strict = f->binlog_on = true;
    f->channels_n = VIEW_CHANNELS_MAX + 3;
    for (int i = 0; i < VIEW_CHANNELS_MAX; i++) fill_channel(&f->channels[i]);
}

static void fill_observation(struct proto_observation *o)
{
    memset(o, 0, sizeof(*o));
    o->manager_id = 3;
    o->term = 9;
    FILL(o->manager);
    FILL(o->cluster);
    o->declaration = 7;
    o->sent.us = 123456789;
    o->servers_n = FSM_SERVERS_MAX;
    for (int i = 0; i < FSM_SERVERS_MAX; i++) {
        struct view_observation *v = &o->servers[i];
        FILL(o->names[i]);
        v->outcome = VIEW_UNSUPPORTED;
        v->age_ms = -1;
        v->ok_age_ms = 0;
        v->alive_age_ms = INT32_MAX;
        v->took_ms = 700;
        v->refused_n = 2;
        v->refused_span_ms = 20;
        v->failing_ms = 30;
        FILL(v->error);
        if (i != 5) fill_facts(&v->facts);
    }
}

/* Ages are added to one another: no manager means years by them. */
static void ages_of_observations_are_bounded(void **arg)
{
    struct proto_observation *o = calloc(1, sizeof(*o));
    struct err e = {0};
    void *data;
    size_t size;

    (void)arg;
    o->servers_n = 1;
    o->servers[0].age_ms = INT64_MAX;
    o->servers[0].ok_age_ms = INT64_MIN;
    o->servers[0].alive_age_ms = INT32_MAX;
    o->servers[0].took_ms = INT64_MAX;
    o->servers[0].facts.set = true;
    o->servers[0].facts.acked_ms = INT64_MAX;
    o->servers[0].facts.stalled_ms = INT64_MIN;
    assert_int_equal(proto_observation_encode(o, &data, &size), 0);
    assert_int_equal(proto_observation_decode(o, data, size, &e), 0);
    assert_int_equal(o->servers[0].age_ms, INT32_MAX);
    assert_int_equal(o->servers[0].ok_age_ms, -1);
    assert_int_equal(o->servers[0].alive_age_ms, INT32_MAX);
    assert_int_equal(o->servers[0].took_ms, INT32_MAX);
    assert_int_equal(o->servers[0].facts.acked_ms, INT32_MAX);
    assert_int_equal(o->servers[0].facts.stalled_ms, -1);
    free(data);
    free(o);
}

static void observations_round_trip(void **arg)
{
    struct proto_observation *o = malloc(sizeof(*o)), *back = malloc(sizeof(*back));
    struct err e = {0};
    void *data;
    size_t size;

    (void)arg;
    fill_observation(o);
    assert_int_equal(proto_observation_encode(o, &data, &size), 0);
    memset(back, 0xa5, sizeof(*back));
    if (proto_observation_decode(back, data, size, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(back, o, sizeof(*o));
    free(data);
    free(o);
    free(back);
}

/* A field that is added to a struct has to be carried here, too: then change the number. */
static void no_field_was_added_without_its_bytes(void **arg)
{
    (void)arg;
    assert_int_equal(sizeof(struct view_channel), 968);
    assert_int_equal(sizeof(struct view_facts), 5136);
    assert_int_equal(sizeof(struct view_observation), 5392);
    assert_int_equal(sizeof(struct fsm_server), 532);
    assert_int_equal(sizeof(struct fsm_reign), 688);
    assert_int_equal(sizeof(struct fsm_cluster), 11720);
    assert_int_equal(sizeof(struct fsm_plan), 20160);
    assert_int_equal(sizeof(struct fsm_event), 1944);
    assert_int_equal(sizeof(struct fsm_dedup), 40);
    assert_int_equal(sizeof(struct fsm_cmd_plan_step), 19968);
    assert_int_equal(sizeof(struct fsm_cmd_plan_begin), 1688);
    assert_int_equal(sizeof(struct fsm_cluster_spec), 3540);
}

static void damaged_observations_never_pass_unchecked(void **arg)
{
    struct proto_observation *o = malloc(sizeof(*o));
    uint8_t *data;
    size_t size;

    (void)arg;
    memset(o, 0, sizeof(*o));
    o->servers_n = 1;
    (void)TEXT_COPY(o->names[0], "db1");
    o->servers[0].outcome = VIEW_OK;
    o->servers[0].facts.set = true;
    o->servers[0].facts.read_only = true;
    o->servers[0].facts.channels_n = 1;
    o->servers[0].facts.channels[0].io = VIEW_IO_YES;
    (void)TEXT_COPY(o->servers[0].facts.channels[0].received, "0-1-9");
    assert_int_equal(proto_observation_encode(o, (void **)&data, &size), 0);
    for (size_t n = 0; n < size; n++) {
        void *exact = malloc(n + (n == 0));
        memcpy(exact, data, n);
        (void)!proto_observation_decode(o, exact, n, NULL);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (proto_observation_decode(o, data, size, NULL) != 0) {
            assert_true(all_zero(o, sizeof(*o)));
        } else {
            assert_true(o->servers[0].outcome < VIEW_OUTCOMES_N);
            assert_true(o->servers[0].facts.channels[0].io <= VIEW_IO_YES);
        }
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
    free(o);
}

/* It sends no message about the flow of commits. That must not read as "they flow", nor as "none was acknowledged". */
static void a_manager_of_an_older_version_cannot_tell_of_the_flow(void **arg)
{
    Regent__Observation__Observation m = REGENT__OBSERVATION__OBSERVATION__INIT;
    Regent__Observation__Server server = REGENT__OBSERVATION__SERVER__INIT, *servers[1] = {&server};
    Regent__Observation__Facts facts = REGENT__OBSERVATION__FACTS__INIT;
    struct proto_observation *o = malloc(sizeof(*o));
    uint8_t data[1024];

    (void)arg;
    m.n_servers = 1;
    m.servers = servers;
    server.facts = &facts;
    facts.wait_sessions = 3;
    size_t size = regent__observation__observation__pack(&m, data);
    assert_int_equal(proto_observation_decode(o, data, size, NULL), 0);
    assert_int_equal(o->servers[0].facts.wait_sessions, 3);
    assert_int_equal(o->servers[0].facts.stalled_ms, -1);
    assert_int_equal(o->servers[0].facts.acked_ms, -1);
    free(o);
}

static void refused_observation(const Regent__Observation__Observation *m, const char *text)
{
    struct proto_observation *o = malloc(sizeof(*o));
    struct err e = {0};
    uint8_t data[1024];
    size_t size = regent__observation__observation__get_packed_size(m);

    assert_true(size <= sizeof(data));
    regent__observation__observation__pack(m, data);
    assert_int_equal(proto_observation_decode(o, data, size, &e), -EPROTO);
    if (strstr(e.text, text) == NULL) fail_msg("expected \"%s\", got \"%s\"", text, e.text);
    free(o);
}

static void hostile_observations_are_refused(void **arg)
{
    Regent__Observation__Observation m = REGENT__OBSERVATION__OBSERVATION__INIT;
    Regent__Observation__Server server = REGENT__OBSERVATION__SERVER__INIT;
    Regent__Observation__Server *servers[FSM_SERVERS_MAX + 1];
    Regent__Observation__Facts facts = REGENT__OBSERVATION__FACTS__INIT;
    Regent__Observation__Channel channel = REGENT__OBSERVATION__CHANNEL__INIT;
    Regent__Observation__Channel *channels[VIEW_CHANNELS_MAX + 1];

    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) servers[i] = &server;
    for (size_t i = 0; i < ARRAY_LEN(channels); i++) channels[i] = &channel;
    m.servers = servers;
    m.n_servers = FSM_SERVERS_MAX + 1;
    refused_observation(&m, "servers are too many");
    m.n_servers = 1;
    server.outcome = VIEW_OUTCOMES_N;
    refused_observation(&m, "outcome");
    server.outcome = VIEW_OK;
    server.facts = &facts;
    facts.channels = channels;
    facts.channels_n = 2;
    facts.n_channels = 1;
    refused_observation(&m, "not as many as said");
    facts.channels_n = VIEW_CHANNELS_MAX + 1;
    facts.n_channels = VIEW_CHANNELS_MAX + 1;
    refused_observation(&m, "not as many as said");
    facts.channels_n = 256;
    refused_observation(&m, "channels_n");
    facts.channels_n = 1;
    facts.n_channels = 1;
    channel.io = VIEW_IO_YES + 1;
    refused_observation(&m, "io is out of range");
    channel.io = 0;
    channel.source_port = 65536;
    refused_observation(&m, "source_port");
    channel.source_port = 0;
    server.name = bytes("a\0b", 3);
    refused_observation(&m, "NUL inside");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_round_trip),
        cmocka_unit_test(damaged_commands_never_pass_unchecked),
        cmocka_unit_test(hostile_kinds_are_refused),
        cmocka_unit_test(hostile_texts_and_counts_are_refused),
        cmocka_unit_test(hostile_incarnations_are_refused),
        cmocka_unit_test(hostile_steps_are_refused),
        cmocka_unit_test(unknown_fields_are_not_passed_over),
        cmocka_unit_test(huge_commands_are_refused),
        FSM_TEST(snapshots_round_trip),
        FSM_TEST(the_header_is_checked),
        FSM_TEST(damaged_snapshots_break_no_rule),
        FSM_TEST(snapshots_that_are_cut_off_are_refused),
        FSM_TEST(hostile_records_are_refused),
        cmocka_unit_test(observations_round_trip),
        cmocka_unit_test(ages_of_observations_are_bounded),
        cmocka_unit_test(no_field_was_added_without_its_bytes),
        cmocka_unit_test(damaged_observations_never_pass_unchecked),
        cmocka_unit_test(hostile_observations_are_refused),
        cmocka_unit_test(a_manager_of_an_older_version_cannot_tell_of_the_flow),
    };

    return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
