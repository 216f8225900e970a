/* The table of members and tokens: who gets in, what is refused, and that no id is ever given twice. */
#include "proto/convert.h"
#include "tests/unit/fsm_fixture.h"

static struct fsm_cmd_member *member_command(struct fixture *x, enum fsm_member_act act, uint64_t id)
{
    x->command.kind = CMD_MEMBER;
    x->command.u.member.act = act;
    x->command.u.member.id = id;
    return &x->command.u.member;
}

static struct fsm_cmd_member *first_command(struct fixture *x, uint8_t n)
{
    struct fsm_cmd_member *c = member_command(x, MEMBER_ACT_FIRST, 0);

    c->members_n = n;
    for (uint8_t i = 0; i < n; i++) {
        struct text name = TEXT_ON(c->members[i].name), address = TEXT_ON(c->members[i].address);
        c->members[i].id = i + 1u;
        text_addf(&name, "m%u", i + 1u);
        text_addf(&address, "127.0.0.1:%u", 7401u + i);
    }
    return c;
}

static enum fsm_code first(struct fixture *x, uint8_t n)
{
    (void)first_command(x, n);
    return fixture_apply(x);
}

static enum fsm_code token(struct fixture *x, const char *name, uint8_t secret, int64_t expires_us)
{
    struct fsm_cmd_token *c = &x->command.u.token;

    x->command.kind = CMD_TOKEN;
    (void)TEXT_COPY(c->name, name);
    memset(c->hash, secret, sizeof(c->hash));
    c->expires.us = expires_us;
    return fixture_apply(x);
}

static struct fsm_cmd_member *join_command(struct fixture *x, uint64_t id, const char *name, uint8_t secret)
{
    struct fsm_cmd_member *c = member_command(x, MEMBER_ACT_JOIN, id);
    struct text address = TEXT_ON(c->address);

    (void)TEXT_COPY(c->name, name);
    text_addf(&address, "127.0.0.1:%u", 7400u + (unsigned)id);
    memset(c->hash, secret, sizeof(c->hash));
    memset(c->nonce, 5, sizeof(c->nonce));
    c->role = MEMBER_VOTER;
    return c;
}

static enum fsm_code act(struct fixture *x, enum fsm_member_act which, uint64_t id, enum fsm_member_role role)
{
    member_command(x, which, id)->role = role;
    return fixture_apply(x);
}

static const char *last_event(const struct fixture *x)
{
    return x->state->events[(x->state->events_n - 1) % FSM_EVENTS_MAX].kind;
}

static void the_first_members_are_recorded_once(void **arg)
{
    struct fixture *x = *arg;

    assert_int_equal(token(x, "m4", 1, 9000000), FSM_BUSY);
    assert_int_equal(first(x, 0), FSM_INVALID);
    assert_int_equal(first(x, 3), FSM_OK);
    assert_string_equal(last_event(x), "member.first");
    assert_int_equal(x->state->members_n, 3);
    assert_int_equal(x->state->members_next, 4);
    assert_int_equal(first(x, 3), FSM_EXISTS);
    assert_false(fsm_member_is_removed(x->state, 3));
    assert_false(fsm_member_is_removed(x->state, 4)); /* Not given yet: a lagging manager can not know. */
}

/* Two rows of one id, name or address would be two members to Raft, or none. */
static void first_members_that_contradict_are_refused(void **arg)
{
    struct fixture *x = *arg;

    for (unsigned i = 0; i < 8; i++) {
        struct fsm_cmd_member *c = first_command(x, 3);
        if (i == 0) c->members[2].id = 0;
        if (i == 1) c->members[2].id = UINT64_MAX;
        if (i == 2) c->members[2].id = 1;
        if (i == 3) (void)TEXT_COPY(c->members[2].name, "m1");
        if (i == 4) (void)TEXT_COPY(c->members[2].address, "127.0.0.1:7401");
        if (i == 5) (void)TEXT_COPY(c->members[2].name, "no name");
        if (i == 6) (void)TEXT_COPY(c->members[2].address, "nowhere");
        if (i == 7) c->members_n = FSM_MEMBERS_MAX + 1;
        if (fixture_apply(x) != FSM_INVALID) fail_msg("taken in spite of %u", i);
        assert_int_equal(x->state->members_next, 0);
    }
}

/* The last id is never given: the next one would be 0, and then those of the first members again. */
static void ids_end(void **arg)
{
    struct fixture *x = *arg;

    assert_int_equal(first(x, 3), FSM_OK);
    x->state->members_next = UINT64_MAX - 1;
    assert_int_equal(token(x, "m4", 1, 9000000), FSM_OK);
    assert_int_equal(token(x, "m5", 1, 9000000), FSM_FULL);
    assert_int_equal(x->state->members_next, UINT64_MAX);
}

static void a_member_joins_by_its_token_and_becomes_a_voter(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    assert_int_equal(token(x, "m4", 1, 9000000), FSM_OK);
    assert_int_equal(x->result.value, 4);
    assert_false(fsm_member_is_removed(x->state, 4));
    join_command(x, 4, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_OK);
    assert_int_equal(x->result.value, 4);
    assert_string_equal(last_event(x), "member.joined");
    assert_int_equal(x->state->tokens_n, 0);
    assert_int_equal(fsm_member_find(x->state, 4)->role, MEMBER_JOINING);
    assert_int_equal(act(x, MEMBER_ACT_IS, 4, MEMBER_STANDBY), FSM_OK);
    assert_string_equal(last_event(x), "member.added");
    assert_int_equal(act(x, MEMBER_ACT_IS, 4, MEMBER_VOTER), FSM_OK);
    assert_string_equal(last_event(x), "member.promoted");
    assert_int_equal(token(x, "m4", 2, 9000000), FSM_EXISTS);
}

static void a_join_is_repeated_by_its_own_directory_only(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    token(x, "m4", 1, 9000000);
    join_command(x, 4, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_OK);
    join_command(x, 4, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_OK);
    assert_int_equal(x->result.value, 4);
    assert_int_equal(x->state->members_n, 4);
    join_command(x, 4, "m4", 1)->nonce[0] = 6;
    assert_int_equal(fixture_apply(x), FSM_EXISTS);
    assert_non_null(strstr(x->result.text, "another data directory"));
    join_command(x, 4, "m4", 2);
    assert_int_equal(fixture_apply(x), FSM_EXISTS);
    (void)TEXT_COPY(join_command(x, 4, "m4", 1)->address, "127.0.0.1:9");
    assert_int_equal(fixture_apply(x), FSM_EXISTS);
}

static void bad_tokens_are_refused(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    token(x, "m4", 1, 9000000);
    join_command(x, 4, "m4", 9);
    assert_int_equal(fixture_apply(x), FSM_NOT_FOUND);
    join_command(x, 5, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_NOT_FOUND);
    join_command(x, 4, "m5", 1);
    assert_int_equal(fixture_apply(x), FSM_INVALID);
    (void)TEXT_COPY(join_command(x, 4, "m4", 1)->address, "127.0.0.1:7402");
    assert_int_equal(fixture_apply(x), FSM_EXISTS);
    join_command(x, 4, "m4", 1)->role = MEMBER_GONE;
    assert_int_equal(fixture_apply(x), FSM_INVALID);
    /* Expired: the proposer's clock decides. */
    assert_int_equal(token(x, "m5", 1, (int64_t)(x->index + 2) * 1000), FSM_OK);
    join_command(x, 5, "m5", 1);
    assert_int_equal(fixture_apply(x), FSM_STALE);
    assert_non_null(strstr(x->result.text, "expired"));
    assert_int_equal(token(x, "m6", 1, 0), FSM_INVALID);
    assert_int_equal(token(x, "../m6", 1, 9000000), FSM_INVALID);
    assert_int_equal(token(x, "m2", 1, 9000000), FSM_EXISTS);
}

static enum fsm_code revoke(struct fixture *x, const char *name)
{
    (void)TEXT_COPY(member_command(x, MEMBER_ACT_REVOKE, 0)->name, name);
    return fixture_apply(x);
}

static void a_revoked_token_is_void_and_its_id_used_up(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    assert_int_equal(revoke(x, "m4"), FSM_NOT_FOUND);
    assert_non_null(strstr(x->result.text, "no token of m4"));
    token(x, "m4", 1, 9000000);
    token(x, "m5", 2, 9000000);
    assert_int_equal(revoke(x, "m4"), FSM_OK);
    assert_int_equal(x->result.value, 4);
    assert_int_equal(x->state->tokens_n, 1);
    assert_string_equal(x->state->tokens[0].name, "m5");
    assert_string_equal(fixture_last_event(x)->kind, "token.revoked");
    assert_int_equal(revoke(x, "m4"), FSM_NOT_FOUND);
    join_command(x, 4, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_NOT_FOUND);
    assert_int_equal(token(x, "m4", 1, 9000000), FSM_OK);
    assert_int_equal(x->result.value, 6);
    join_command(x, 5, "m5", 2);
    assert_int_equal(fixture_apply(x), FSM_OK);
    assert_int_equal(revoke(x, "m5"), FSM_NOT_FOUND); /* It was used. */
    assert_non_null(strstr(x->result.text, "member remove m5"));
    assert_int_equal(x->state->members_n, 4);
}

static void a_token_may_bind_the_address_and_is_replaced_by_a_younger_one(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    (void)TEXT_COPY(x->command.u.token.address, "127.0.0.1:7777");
    assert_int_equal(token(x, "m4", 1, 9000000), FSM_OK);
    join_command(x, 4, "m4", 1);
    assert_int_equal(fixture_apply(x), FSM_INVALID);
    assert_int_equal(token(x, "m4", 2, 9000000), FSM_OK);
    assert_int_equal(x->result.value, 5);
    assert_int_equal(x->state->tokens_n, 1);
    assert_true(fsm_member_is_removed(x->state, 4));
    (void)TEXT_COPY(join_command(x, 4, "m4", 1)->address, "127.0.0.1:7777");
    assert_int_equal(fixture_apply(x), FSM_NOT_FOUND);
}

static void a_removed_id_is_never_given_again(void **arg)
{
    struct fixture *x = *arg;
    void *data;
    size_t size;
    struct err e = {0};

    first(x, 3);
    assert_int_equal(act(x, MEMBER_ACT_IS, 3, MEMBER_GONE), FSM_STALE); /* Nobody wanted it. */
    assert_int_equal(act(x, MEMBER_ACT_WANT, 3, MEMBER_GONE), FSM_OK);
    assert_string_equal(last_event(x), "member.remove");
    assert_int_equal(act(x, MEMBER_ACT_WANT, 3, MEMBER_VOTER), FSM_BUSY);
    assert_false(fsm_member_is_removed(x->state, 3));
    assert_int_equal(act(x, MEMBER_ACT_IS, 3, MEMBER_GONE), FSM_OK);
    assert_string_equal(last_event(x), "member.removed");
    assert_true(fsm_member_is_removed(x->state, 3));
    /* Over a snapshot, too. */
    assert_int_equal(proto_snapshot_encode(x->state, &data, &size), 0);
    assert_int_equal(proto_snapshot_decode(x->before, data, size, &e), 0);
    assert_memory_equal(x->before, x->state, sizeof(*x->state));
    free(data);
    assert_true(fsm_member_is_removed(x->before, 3));
    assert_int_equal(token(x, "m3", 1, 9000000), FSM_OK);
    assert_int_equal(x->result.value, 4);
}

static void the_last_voter_stays(void **arg)
{
    struct fixture *x = *arg;

    first(x, 2);
    assert_int_equal(act(x, MEMBER_ACT_WANT, 1, MEMBER_STANDBY), FSM_OK);
    assert_int_equal(act(x, MEMBER_ACT_WANT, 2, MEMBER_GONE), FSM_UNSAFE);
    assert_int_equal(act(x, MEMBER_ACT_WANT, 2, MEMBER_STANDBY), FSM_UNSAFE);
    assert_int_equal(act(x, MEMBER_ACT_IS, 2, MEMBER_STANDBY), FSM_UNSAFE);
    assert_int_equal(act(x, MEMBER_ACT_IS, 1, MEMBER_STANDBY), FSM_OK);
    assert_string_equal(last_event(x), "member.demoted");
    assert_int_equal(act(x, MEMBER_ACT_WANT, 9, MEMBER_GONE), FSM_NOT_FOUND);
    assert_int_equal(act(x, MEMBER_ACT_WANT, 2, MEMBER_JOINING), FSM_INVALID);
}

static void what_can_not_be_done_is_kept(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    act(x, MEMBER_ACT_WANT, 3, MEMBER_GONE);
    (void)TEXT_COPY(member_command(x, MEMBER_ACT_KEEP, 3)->reason, "2 of 2 remaining voters do not answer");
    assert_int_equal(fixture_apply(x), FSM_OK);
    assert_string_equal(last_event(x), "member.kept");
    assert_int_equal(fsm_member_find(x->state, 3)->want, MEMBER_VOTER);
}

static void addresses_move(void **arg)
{
    struct fixture *x = *arg;

    first(x, 3);
    (void)TEXT_COPY(member_command(x, MEMBER_ACT_MOVE, 2)->address, "10.0.0.2:7402");
    assert_int_equal(fixture_apply(x), FSM_OK);
    assert_string_equal(last_event(x), "member.moved");
    assert_string_equal(fsm_member_find(x->state, 2)->address, "10.0.0.2:7402");
    (void)TEXT_COPY(member_command(x, MEMBER_ACT_MOVE, 2)->address, "127.0.0.1:7403");
    assert_int_equal(fixture_apply(x), FSM_EXISTS);
    (void)TEXT_COPY(member_command(x, MEMBER_ACT_MOVE, 2)->address, "nowhere");
    assert_int_equal(fixture_apply(x), FSM_INVALID);
}

static void limits_hold(void **arg)
{
    struct fixture *x = *arg;

    first(x, FSM_MEMBERS_MAX);
    for (unsigned i = 0; i < FSM_TOKENS_MAX + 1u; i++) {
        char name[16];
        struct text t = TEXT_ON(name);
        text_addf(&t, "n%u", i);
        assert_int_equal(token(x, name, 1, 9000000), i < FSM_TOKENS_MAX ? FSM_OK : FSM_FULL);
    }
    join_command(x, FSM_MEMBERS_MAX + 1, "n0", 1);
    assert_int_equal(fixture_apply(x), FSM_FULL);
    /* Expired ones make room. */
    x->index += 9000;
    assert_int_equal(token(x, "late", 1, 99000000), FSM_OK);
    assert_int_equal(x->state->tokens_n, 1);
}

/* --- random walks --- */

enum { COMMANDS = 6000, NAMES = 10 };

struct walk {
    struct fixture *x;
    uint64_t random, ids_seen;
    unsigned codes[FSM_CODES_N], acts[fsm_member_act_count], tokens, removed;
};

static unsigned below(struct walk *w, unsigned n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 20) % n;
}

static uint64_t some_id(struct walk *w)
{
    const struct fsm_state *s = w->x->state;

    if (s->members_n > 0 && below(w, 10) < 8) return s->members[below(w, s->members_n)].id;
    return below(w, (unsigned)s->members_next + 2);
}

static void make_token(struct walk *w)
{
    struct fsm_cmd_token *c = &w->x->command.u.token;
    struct text name = TEXT_ON(c->name), address = TEXT_ON(c->address);

    w->x->command.kind = CMD_TOKEN;
    text_addf(&name, "m%u", 1 + below(w, NAMES));
    if (below(w, 3) == 0) text_addf(&address, "127.0.0.1:%u", 7400 + below(w, NAMES));
    memset(c->hash, 1 + (int)below(w, 2), sizeof(c->hash));
    c->expires.us = (int64_t)(w->x->index + below(w, 60)) * 1000;
}

static void make_join(struct walk *w)
{
    const struct fsm_state *s = w->x->state;
    const struct fsm_token *t = s->tokens_n > 0 ? &s->tokens[below(w, s->tokens_n)] : NULL;
    struct fsm_cmd_member *c = join_command(w->x, t != NULL ? t->id : some_id(w), t != NULL ? t->name : "m1", 1);
    struct text address = TEXT_ON(c->address);

    if (t != NULL && t->address[0] != '\0' && below(w, 5) > 0) text_add(&address, t->address);
    else text_addf(&address, "127.0.0.1:%u", 7400 + below(w, NAMES));
    if (t != NULL && below(w, 8) > 0) memcpy(c->hash, t->hash, sizeof(c->hash));
    c->nonce[0] = (uint8_t)below(w, 2);
    c->role = below(w, 3) == 0 ? MEMBER_STANDBY : MEMBER_VOTER;
}

static void make_revocation(struct walk *w)
{
    const struct fsm_state *s = w->x->state;
    struct fsm_cmd_member *c = member_command(w->x, MEMBER_ACT_REVOKE, 0);
    struct text name = TEXT_ON(c->name);

    if (s->tokens_n > 0 && below(w, 6) > 0) text_add(&name, s->tokens[below(w, s->tokens_n)].name);
    else text_addf(&name, "m%u", 1 + below(w, NAMES));
}

static void make(struct walk *w)
{
    unsigned which = below(w, 100);
    struct fsm_cmd_member *c;

    if (which < 20) {
        make_token(w);
        return;
    }
    if (which < 45) {
        make_join(w);
        return;
    }
    if (which < 49) {
        make_revocation(w);
        return;
    }
    c = member_command(w->x, (enum fsm_member_act)(MEMBER_ACT_WANT + below(w, 4)), some_id(w));
    c->role = (enum fsm_member_role)(1 + below(w, 4));
    if (c->act == MEMBER_ACT_IS && below(w, 2) == 0) c->role = MEMBER_GONE;
    if (c->act == MEMBER_ACT_KEEP) (void)TEXT_COPY(c->reason, "reason");
    if (c->act == MEMBER_ACT_MOVE) {
        struct text address = TEXT_ON(c->address);
        text_addf(&address, "127.0.0.1:%u", 7400 + below(w, NAMES));
    }
}

/* Through bytes, as the log does; then through a snapshot, as a lagging manager gets it. */
static void check_bytes(struct walk *w)
{
    struct fsm_command decoded;
    struct err e = {0};
    void *data;
    size_t size;

    w->x->command.version = 1;
    assert_int_equal(proto_command_encode(&w->x->command, &data, &size), 0);
    if (proto_command_decode(&decoded, data, size, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(&decoded, &w->x->command, sizeof(decoded));
    free(data);
}

static void check_snapshot(struct walk *w)
{
    struct err e = {0};
    void *data;
    size_t size;

    assert_int_equal(proto_snapshot_encode(w->x->state, &data, &size), 0);
    if (proto_snapshot_decode(w->x->before, data, size, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(w->x->before, w->x->state, sizeof(*w->x->state));
    free(data);
}

static void random_walks_keep_the_rules(void **arg)
{
    struct fixture *x = *arg;
    struct walk w = {.x = x, .random = 88172645463325252u};

    first(x, 3);
    for (unsigned i = 0; i < COMMANDS; i++) {
        uint64_t next = x->state->members_next, before_n = x->state->members_n;
        enum fsm_command_kind kind;
        enum fsm_member_act which;

        make(&w);
        check_bytes(&w);
        kind = x->command.kind;
        which = x->command.u.member.act;
        w.codes[fixture_apply(x)]++;
        assert_true(x->state->members_next >= next);
        if (kind == CMD_TOKEN && x->result.code == FSM_OK) {
            assert_int_equal(x->result.value, next); /* Never given before. */
            w.tokens++;
        }
        if (kind == CMD_MEMBER && x->result.code == FSM_OK) w.acts[which]++;
        w.removed += x->state->members_n < before_n;
        if (i % 20 == 0) check_snapshot(&w);
    }
    assert_true(w.tokens > 100 && w.removed > 50);
    for (int i = MEMBER_ACT_JOIN; i < (int)fsm_member_act_count; i++) assert_true(w.acts[i] > 50);
    for (int i = 0; i < (int)FSM_CODES_N; i++) {
        if (i == FSM_UNKNOWN || i == FSM_EXPIRED) continue; /* Of no command of members. */
        if (w.codes[i] == 0) fail_msg("code %s was never given", fsm_code_name((enum fsm_code)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FSM_TEST(the_first_members_are_recorded_once),
        FSM_TEST(first_members_that_contradict_are_refused),
        FSM_TEST(ids_end),
        FSM_TEST(a_member_joins_by_its_token_and_becomes_a_voter),
        FSM_TEST(a_join_is_repeated_by_its_own_directory_only),
        FSM_TEST(bad_tokens_are_refused),
        FSM_TEST(a_revoked_token_is_void_and_its_id_used_up),
        FSM_TEST(a_token_may_bind_the_address_and_is_replaced_by_a_younger_one),
        FSM_TEST(a_removed_id_is_never_given_again),
        FSM_TEST(the_last_voter_stays),
        FSM_TEST(what_can_not_be_done_is_kept),
        FSM_TEST(addresses_move),
        FSM_TEST(limits_hold),
        FSM_TEST(random_walks_keep_the_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
