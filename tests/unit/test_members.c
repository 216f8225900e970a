/* What the leader does about the members: who may leave, and the next step from any state of table and configuration.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "manager/members.h"

enum { LIVE_MS = 1000 };

struct group {
    struct fsm_state state;
    struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX];
    struct members_sight sight;
    struct raft_node_status status;
    struct members_todo todo;
    char why[FSM_TEXT_SIZE];
};

/* Rows m1.. that are voters and want to be, in the configuration and heard; m1 leads. */
static int setup(void **state)
{
    struct group *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->sight = (struct members_sight){.state = &g->state, .peers = g->peers, .live_ms = LIVE_MS};
    g->status.id = 1;
    g->status.last_index = 5000;
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void add(struct group *g, enum raft_node_member_role role, int64_t contact_ms)
{
    struct raft_node_peer *p = &g->peers[g->sight.peers_n++];
    struct fsm_member *row = &g->state.members[g->state.members_n++];
    struct text name = TEXT_ON(row->name), address = TEXT_ON(row->address);
    p->id = row->id = g->sight.peers_n;
    text_addf(&name, "m%u", g->sight.peers_n);
    text_addf(&address, "127.0.0.1:%u", 7400 + g->sight.peers_n);
    p->role = role;
    p->contact_ms = contact_ms;
    p->match_index = g->status.last_index;
    row->role = row->want = role == RAFT_NODE_VOTER ? MEMBER_VOTER : MEMBER_STANDBY;
    g->state.members_next = row->id + 1;
}

static void voters(struct group *g, unsigned live, unsigned dead)
{
    for (unsigned i = 0; i < live + dead; i++) add(g, RAFT_NODE_VOTER, i == 0 ? 0 : i < live ? 100 : i % 2 ? -1 : 5000);
}

static bool may_leave(struct group *g, uint64_t id)
{
    struct text why = TEXT_ON(g->why);
    return members_may_leave(&g->sight, id, &why);
}

static void next(struct group *g)
{
    members_next(&g->sight, &g->status, &g->todo);
}

/* One row a case: live and dead voters; whether a live and whether a dead one may leave. */
static void a_majority_of_live_voters_must_remain(void **state)
{
    static const struct {
        unsigned live, dead;
        bool live_may, dead_may;
    } rows[] = {
        {1, 0, false, false}, {2, 0, true, false}, {1, 1, false, true}, {3, 0, true, false}, {2, 1, false, true},
        {4, 0, true, false},  {3, 1, true, true},  {5, 0, true, false}, {4, 1, true, true},  {3, 2, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group *g = *state;
        memset(&g->state, 0, sizeof g->state);
        g->sight.peers_n = 0;
        voters(g, rows[i].live, rows[i].dead);
        if (may_leave(g, rows[i].live) != rows[i].live_may) fail_msg("row %zu, a live one: %s", i, g->why);
        if (rows[i].dead == 0) continue;
        if (may_leave(g, rows[i].live + 1) != rows[i].dead_may) fail_msg("row %zu, a dead one: %s", i, g->why);
    }
}

static void a_refusal_names_the_numbers(void **state)
{
    struct group *g = *state;
    voters(g, 2, 1);
    assert_false(may_leave(g, 2));
    assert_string_equal(g->why, "of the 2 voters that would remain 1 answers, and 2 must: bring back m3 first, or "
                        "remove a dead member instead of m2");
    /* Standbys do not count, and may always leave. */
    add(g, RAFT_NODE_STANDBY, 50);
    assert_false(may_leave(g, 2));
    assert_true(may_leave(g, 4));
}

static void a_settled_group_needs_nothing(void **state)
{
    struct group *g = *state;
    voters(g, 3, 0);
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_NOTHING);
    assert_false(g->todo.waiting);
}

static void the_first_leader_records_the_members(void **state)
{
    struct group *g = *state;
    g->status.members_n = 3;
    for (unsigned i = 0; i < 3; i++) g->status.members[i].id = i + 1;
    strcpy(g->status.members[2].name, "m3");
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_RECORD);
    assert_int_equal(g->todo.command.act, MEMBER_ACT_FIRST);
    assert_int_equal(g->todo.command.members_n, 3);
    assert_string_equal(g->todo.command.members[2].name, "m3");
}

static void expect_change(struct group *g, enum raft_node_change change, uint64_t id)
{
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_CHANGE);
    assert_int_equal(g->todo.change, change);
    assert_int_equal(g->todo.peer.id, id);
}

static void expect_record(struct group *g, enum fsm_member_act act, uint64_t id, enum fsm_member_role role)
{
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_RECORD);
    assert_int_equal(g->todo.command.act, act);
    assert_int_equal(g->todo.command.id, id);
    assert_int_equal(g->todo.command.role, role);
}

static void a_new_member_goes_all_the_way(void **state)
{
    struct group *g = *state;
    voters(g, 4, 0);
    struct fsm_member *row = &g->state.members[3];
    struct raft_node_peer *peer = &g->peers[3];
    row->role = MEMBER_JOINING;
    g->sight.peers_n = 3;
    expect_change(g, RAFT_NODE_ADD, 4);
    assert_string_equal(g->todo.peer.address, row->address);
    g->sight.peers_n = 4;
    peer->role = RAFT_NODE_SPARE;
    peer->match_index = 0;
    peer->contact_ms = -1;
    expect_change(g, RAFT_NODE_TO_STANDBY, 4);
    peer->role = RAFT_NODE_STANDBY;
    expect_record(g, MEMBER_ACT_IS, 4, MEMBER_STANDBY);
    row->role = MEMBER_STANDBY;
    /* Neither silent nor far behind it becomes a voter. */
    next(g);
    assert_true(g->todo.step == MEMBERS_NOTHING && g->todo.waiting);
    peer->contact_ms = 50;
    peer->match_index = g->status.last_index - MEMBERS_LAG_MAX;
    next(g);
    assert_true(g->todo.step == MEMBERS_NOTHING && g->todo.waiting);
    peer->match_index++;
    expect_change(g, RAFT_NODE_TO_VOTER, 4);
    peer->role = RAFT_NODE_VOTER;
    expect_record(g, MEMBER_ACT_IS, 4, MEMBER_VOTER);
}

/* Before that it would only weaken the group: a vote that is asked for and not given. */
static void who_does_not_answer_or_lags_is_not_promoted(void **state)
{
    static const struct { int64_t contact_ms; uint64_t match; bool promotes; } cases[] = {
        {100, 5000, true}, {-1, 5000, false}, {LIVE_MS + 1, 5000, false}, {100, 0, false},
        {100, 5000 - MEMBERS_LAG_MAX, false}, {100, 5001 - MEMBERS_LAG_MAX, true}};
    struct group *g = *state;
    voters(g, 3, 0);
    add(g, RAFT_NODE_STANDBY, 100);
    g->state.members[3].want = MEMBER_VOTER;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        g->peers[3].contact_ms = cases[i].contact_ms;
        g->peers[3].match_index = cases[i].match;
        next(g);
        if (cases[i].promotes) assert_int_equal(g->todo.change, RAFT_NODE_TO_VOTER);
        else assert_true(g->todo.step == MEMBERS_NOTHING && g->todo.waiting);
    }
    g->status.last_index = 5; /* All of a young group's log is within the lag: who has nothing still has nothing. */
    g->peers[3].contact_ms = 100;
    g->peers[3].match_index = 0;
    next(g);
    assert_true(g->todo.step == MEMBERS_NOTHING && g->todo.waiting);
}

/* It takes no vote with it, so nobody has to answer for it. */
static void a_standby_may_always_leave(void **state)
{
    struct group *g = *state;
    voters(g, 1, 2);
    add(g, RAFT_NODE_STANDBY, 100);
    assert_true(may_leave(g, 4));
    assert_true(may_leave(g, 77)); /* In no configuration any more. */
    assert_false(may_leave(g, 1));
}

static void a_member_leaves(void **state)
{
    struct group *g = *state;
    voters(g, 3, 0);
    g->state.members[1].want = MEMBER_GONE;
    expect_change(g, RAFT_NODE_REMOVE, 2);
    g->state.members[1].want = MEMBER_STANDBY;
    expect_change(g, RAFT_NODE_TO_STANDBY, 2);
    /* The situation has changed since it was wanted: it stays, with the numbers. */
    g->peers[2].contact_ms = 9000;
    g->state.members[1].want = MEMBER_GONE;
    g->sight.is_new = true; /* It may be silent only because nobody else led it before. */
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_NOTHING);
    assert_true(g->todo.waiting);
    g->sight.is_new = false;
    expect_record(g, MEMBER_ACT_KEEP, 2, fsm_member_role_none);
    assert_non_null(strstr(g->todo.command.reason, "bring back m3 first"));
    /* It is out of the configuration: its row goes. */
    g->peers[2].contact_ms = 10;
    g->peers[1] = g->peers[2];
    g->sight.peers_n = 2;
    expect_record(g, MEMBER_ACT_IS, 2, MEMBER_GONE);
}

static void a_leader_hands_over_before_it_leaves(void **state)
{
    struct group *g = *state;
    voters(g, 3, 0);
    g->state.members[0].want = MEMBER_GONE;
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_HAND_OVER);
    g->state.members[0].want = MEMBER_STANDBY;
    next(g);
    assert_int_equal(g->todo.step, MEMBERS_HAND_OVER);
    /* A leader with a dead majority behind it stays. */
    g->peers[1].contact_ms = g->peers[2].contact_ms = -1;
    next(g);
    assert_int_equal(g->todo.command.act, MEMBER_ACT_KEEP);
}

static void who_was_lost_with_the_configuration_is_let_go(void **state)
{
    struct group *g = *state;
    voters(g, 3, 0);
    g->sight.peers_n = 1;
    expect_record(g, MEMBER_ACT_WANT, 2, MEMBER_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define MEMBERS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
        MEMBERS_TEST(a_majority_of_live_voters_must_remain),
        MEMBERS_TEST(a_refusal_names_the_numbers),
        MEMBERS_TEST(a_settled_group_needs_nothing),
        MEMBERS_TEST(the_first_leader_records_the_members),
        MEMBERS_TEST(a_new_member_goes_all_the_way),
        MEMBERS_TEST(who_does_not_answer_or_lags_is_not_promoted),
        MEMBERS_TEST(a_standby_may_always_leave),
        MEMBERS_TEST(a_member_leaves),
        MEMBERS_TEST(a_leader_hands_over_before_it_leaves),
        MEMBERS_TEST(who_was_lost_with_the_configuration_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
