/* raft/: changes of the configuration. Real nodes on loopback: growing, shrinking, replacing, under load; what libraft
 * forgets in between; and nodes that were removed, moved, or belong elsewhere. */
#include "tests/unit/raft_fixture.h"

#include "lib/base/text.h"
#include "raft/internal.h" /* What libraft has noted of configurations: it tells nobody. */
#include "raft/storage.h"

/* Five members, of which the first three form the group. */
static int setup(void **state)
{
    struct fixture *f = fixture_new(5);
    f->n = 3;
    fixture_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->n = 5;
    fixture_free(f);
    return 0;
}

struct told {
    bool told;
    int status;
};

static void on_told(void *arg, int status, uint64_t index)
{
    struct told *t = arg;
    (void)index;
    t->told = true;
    t->status = status;
}

static struct member *by_id(struct fixture *f, uint64_t id)
{
    return &f->members[id - 1];
}

/* Makes the change at whoever leads; again after one whose outcome is unknown and that did not happen. */
static void change(struct fixture *f, uint64_t id, enum raft_node_change kind)
{
    int64_t deadline = now_ms() + WAIT_MS;
    struct raft_node_peer what = {.id = id};
    (void)TEXT_COPY(what.address, by_id(f, id)->config.address);
    for (;;) {
        struct told t = {0};
        struct member *leader = fixture_elect(f);
        int rc = raft_node_change(leader->node, &what, kind, on_told, &t);
        if (rc == 0) {
            WAIT_UNTIL(f, t.told);
            rc = t.status;
        }
        if (rc == 0) return;
        if (now_ms() > deadline) fail_msg("change %d of %" PRIu64 ": %s", (int)kind, id, strerror(-rc));
        fixture_turn_for(f, 20);
    }
}

static void join(struct fixture *f, uint64_t id)
{
    struct raft_node_identity who;
    struct err e = {0};
    assert_int_equal(raft_node_identity(f->members[0].dir, &who, &e), 0);
    memcpy(who.members, f->list, sizeof who.members[0] * (size_t)id);
    who.members_n = (unsigned)id;
    if (raft_node_join(&by_id(f, id)->config, &who, &e) != 0) fail_msg("join: %s", e.text);
    if (f->n < id) f->n = (unsigned)id;
    member_start(by_id(f, id));
}

static void grow(struct fixture *f, uint64_t id)
{
    join(f, id);
    change(f, id, RAFT_NODE_ADD);
    change(f, id, RAFT_NODE_TO_STANDBY);
    change(f, id, RAFT_NODE_TO_VOTER);
}

static const struct raft_node_peer *peer_of(struct member *m, uint64_t id)
{
    static struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX];
    bool settled;
    unsigned n = raft_node_peers(m->node, peers, &settled);
    for (unsigned i = 0; i < n; i++) {
        if (peers[i].id == id) return &peers[i];
    }
    return NULL;
}

static bool is_settled(struct member *m)
{
    struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX];
    bool settled;
    (void)raft_node_peers(m->node, peers, &settled);
    return settled;
}

/* --- growing and shrinking ---------------------------------------------------------------------------------------- */

struct load {
    struct fixture *f;
    uv_timer_t timer;
    unsigned sent, acks;
    bool closed;
};

static void on_load_done(void *arg, int status, uint64_t index)
{
    struct load *l = arg;
    (void)index;
    l->acks += status == 0;
}

static void on_load(uv_timer_t *timer)
{
    struct load *l = timer->data;
    struct member *leader = fixture_leader(l->f);
    for (unsigned i = 0; leader != NULL && i < 4; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "load %u", l->sent);
        if (raft_node_propose(leader->node, text, (size_t)n, on_load_done, l) == 0) l->sent++;
    }
}

static void load_start(struct load *l, struct fixture *f)
{
    *l = (struct load){.f = f};
    assert_int_equal(uv_timer_init(&f->loop, &l->timer), 0);
    l->timer.data = l;
    assert_int_equal(uv_timer_start(&l->timer, on_load, 1, 3), 0);
}

static void on_load_closed(uv_handle_t *handle)
{
    ((struct load *)handle->data)->closed = true;
}

static void load_stop(struct load *l)
{
    struct fixture *f = l->f;
    uv_close((uv_handle_t *)&l->timer, on_load_closed);
    WAIT_UNTIL(f, l->closed);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_true(l->acks > 0);
}

static unsigned voters_of(struct member *m)
{
    raft_node_status(m->node, &m->status);
    return m->status.members_n;
}

static void test_grows_to_five_and_shrinks_to_three_under_load(void **state)
{
    struct fixture *f = *state;
    static struct load load;
    fixture_elect(f);
    load_start(&load, f);
    grow(f, 4);
    grow(f, 5);
    for (unsigned i = 0; i < 5; i++) WAIT_UNTIL(f, voters_of(&f->members[i]) == 5);
    assert_true(peer_of(fixture_elect(f), 5)->match_index > 0);
    /* Two of the first go; the leader must not be among them: it hands over first. */
    for (uint64_t id = 1; id <= 2; id++) {
        struct member *leader = fixture_elect(f);
        struct told t = {0};
        if (leader->config.id == id) {
            assert_int_equal(raft_node_transfer(leader->node, 4, on_told, &t), 0);
            WAIT_UNTIL(f, t.told);
            WAIT_UNTIL(f, fixture_leader(f) != NULL && fixture_leader(f) != leader);
        }
        change(f, id, RAFT_NODE_REMOVE);
        member_stop(by_id(f, id));
    }
    WAIT_UNTIL(f, fixture_leader(f) != NULL && voters_of(fixture_leader(f)) == 3);
    load_stop(&load);
    /* Every acknowledged command is there, in all of them. */
    assert_true(fixture_leader(f)->applied_n >= load.acks);
    for (unsigned i = 2; i < 5; i++) assert_true(same_history(&f->members[i], fixture_leader(f)));
}

static void test_one_change_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    struct told t = {0};
    struct raft_node_peer what = {.id = 4, .address = "127.0.0.1:1"};
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_REMOVE, on_told, &t), -EINVAL);
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_TO_VOTER, on_told, &t), -EINVAL);
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_ADD, on_told, &t), 0);
    assert_false(is_settled(leader));
    what.id = 5;
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_ADD, on_told, &t), -EBUSY);
    WAIT_UNTIL(f, t.told);
    assert_int_equal(t.status, 0);
    assert_true(is_settled(leader));
    what.id = leader->config.id;
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_REMOVE, on_told, &t), -EINVAL);
    what.id = leader->config.id % 3 + 1;
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_TO_VOTER, on_told, &t), -EINVAL);
    WAIT_UNTIL(f, fixture_follower(f) != NULL);
    assert_int_equal(raft_node_change(fixture_follower(f)->node, &what, RAFT_NODE_REMOVE, on_told, &t), -ENOTCONN);
    /* A dead standby is not promoted. */
    assert_int_equal(peer_of(leader, 4)->contact_ms, -1);
    assert_true(peer_of(leader, what.id)->contact_ms >= 0);
}

/* --- the barrier between two changes ------------------------------------------------------------------------------ */

enum { CHANGES = 40 };

static struct {
    uint64_t index[1 + CHANGES]; /* Of each configuration in the log. */
    unsigned n, seen;            /* 'seen': how often a follower held one that was not yet committed. */
} configurations;

/* Whoever holds a configuration that is not committed knows the one before it as committed: else a rollback would take
 * it back behind that one. */
static void check_configurations(struct fixture *f)
{
    for (unsigned m = 0; m < f->n; m++) {
        if (f->members[m].node == NULL) continue;
        const struct raft *r = &f->members[m].node->raft;
        for (unsigned i = 1; i < configurations.n; i++) {
            if (r->configuration_uncommitted_index != configurations.index[i]) continue;
            configurations.seen += r->state == RAFT_FOLLOWER;
            if (r->configuration_committed_index == configurations.index[i - 1]) continue;
            fail_msg("member %u holds configuration %u (index %llu), and would fall back to index %llu, not %llu",
                     m + 1, i, (unsigned long long)configurations.index[i],
                     (unsigned long long)r->configuration_committed_index,
                     (unsigned long long)configurations.index[i - 1]);
        }
    }
}

/* Each change begins in the turn in which the one before is told as done, so that nothing but the barrier stands
 * between them in the log. */
static void test_a_change_waits_until_the_one_before_is_known_to_be_committed(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    WAIT_UNTIL(f, fixture_is_settled(f) && is_settled(leader));
    memset(&configurations, 0, sizeof configurations);
    configurations.index[configurations.n++] = leader->node->raft.configuration_committed_index;
    f->after_turn = check_configurations;
    for (unsigned i = 0; i < CHANGES; i++) {
        struct raft_node_peer what = {.id = 4, .address = "127.0.0.1:1"};
        struct told t = {0};
        enum raft_node_change kind = i % 2 == 0 ? RAFT_NODE_ADD : RAFT_NODE_REMOVE;
        assert_int_equal(raft_node_change(leader->node, &what, kind, on_told, &t), 0);
        configurations.index[configurations.n++] = leader->node->raft.configuration_uncommitted_index;
        WAIT_UNTIL(f, t.told);
        assert_int_equal(t.status, 0);
    }
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_true(configurations.seen >= CHANGES); /* Two followers: else the check looked at nothing. */
    f->after_turn = NULL;
}

static void test_stop_with_a_change_under_way(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    struct told t = {0};
    struct raft_node_peer what = {.id = 4, .address = "127.0.0.1:1"};
    assert_int_equal(raft_node_change(leader->node, &what, RAFT_NODE_ADD, on_told, &t), 0);
    member_stop(leader);
    assert_true(t.told);
    assert_int_equal(t.status, -EIO);
}

/* libraft notes a configuration that comes inside a batch under the index of the batch's first entry. Without the cut
 * of guard.c the member that got it so could never change the group as leader, and its snapshots were stale. */
static void test_a_configuration_inside_a_batch_is_noted(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    uint64_t late = leader->config.id % 3 + 1;
    struct told t = {0};
    WAIT_UNTIL(f, fixture_is_settled(f));
    member_stop(by_id(f, late));
    fixture_propose(f, 5);
    change(f, 4, RAFT_NODE_ADD);
    fixture_propose(f, 5);
    change(f, 4, RAFT_NODE_REMOVE);
    change(f, 5, RAFT_NODE_ADD);
    fixture_propose(f, 5);
    member_start(by_id(f, late));
    WAIT_UNTIL(f, fixture_is_settled(f));
    WAIT_UNTIL(f, is_settled(by_id(f, late)));
    assert_int_equal(raft_node_transfer(fixture_elect(f)->node, late, on_told, &t), 0);
    WAIT_UNTIL(f, fixture_leader(f) != NULL && fixture_leader(f)->config.id == late);
    assert_non_null(peer_of(by_id(f, late), 5));
    change(f, 5, RAFT_NODE_REMOVE);
    assert_int_equal(fixture_leader(f)->config.id, late);
}

static void test_a_joined_node_catches_up_by_snapshot(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < f->n; i++) member_stop(&f->members[i]);
    for (unsigned i = 0; i < f->n; i++) {
        f->members[i].config.snapshot_threshold = 32;
        f->members[i].config.snapshot_trailing = 8;
        member_start(&f->members[i]);
    }
    fixture_propose(f, 200);
    WAIT_UNTIL(f, fixture_is_settled(f));
    grow(f, 4);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_true(by_id(f, 4)->restores > 0);
    assert_int_equal(voters_of(by_id(f, 4)), 4);
    /* It can lead and change the group: it knows the configuration as committed. */
    struct told t = {0};
    assert_int_equal(raft_node_transfer(fixture_elect(f)->node, 4, on_told, &t), 0);
    WAIT_UNTIL(f, fixture_leader(f) != NULL && fixture_leader(f)->config.id == 4);
    change(f, 1, RAFT_NODE_REMOVE);
}

/* --- who does not belong ------------------------------------------------------------------------------------------ */

static void forget(struct fixture *f, uint64_t id)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->members[i].config.id != id) f->members[i].removed |= UINT64_C(1) << id;
    }
}

static void test_a_dead_member_is_replaced_and_told_when_it_returns(void **state)
{
    struct fixture *f = *state;
    static struct load load;
    struct member *leader = fixture_elect(f);
    uint64_t dead = leader->config.id % 3 + 1;
    fixture_propose(f, 10);
    WAIT_UNTIL(f, fixture_is_settled(f));
    member_stop(by_id(f, dead));
    load_start(&load, f);
    change(f, dead, RAFT_NODE_REMOVE);
    forget(f, dead);
    grow(f, 4);
    load_stop(&load);
    leader = fixture_elect(f);
    uint64_t term = leader->status.term;
    member_start(by_id(f, dead));
    WAIT_UNTIL(f, by_id(f, dead)->fatal[0] != '\0');
    assert_non_null(strstr(by_id(f, dead)->fatal, "is removed from the group"));
    assert_non_null(strstr(by_id(f, dead)->fatal, "join with a new token"));
    /* It disturbed nobody. */
    assert_ptr_equal(fixture_leader(f), leader);
    assert_int_equal(leader->status.term, term);
    print_message("    %s\n", by_id(f, dead)->fatal);
}

/* A live member that is removed hears no leader any more. It may ask for votes, and gets none. */
static void test_a_removed_live_member_disturbs_nobody(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    uint64_t gone = leader->config.id % 3 + 1, term = leader->status.term;
    WAIT_UNTIL(f, fixture_is_settled(f));
    change(f, gone, RAFT_NODE_REMOVE);
    fixture_turn_for(f, 2500); /* Several election timeouts, over the connections that it has. */
    assert_ptr_equal(fixture_leader(f), leader);
    assert_int_equal(leader->status.term, term);
    fixture_propose(f, 5);
    assert_string_equal(by_id(f, gone)->fatal, "");
    forget(f, gone); /* Now the others know for sure: they end its connections, and tell it when it comes again. */
    WAIT_UNTIL(f, by_id(f, gone)->fatal[0] != '\0');
    assert_int_equal(leader->status.term, term);
}

static void test_a_node_with_data_of_another_group_gets_nothing(void **state)
{
    struct fixture *f = *state;
    struct raft_node_identity who = {.group_name = "other", .group_id = 42, .members_n = 4};
    struct err e = {0};
    struct member *stranger = by_id(f, 4);
    fixture_elect(f);
    memcpy(who.members, f->list, sizeof who.members[0] * 4);
    assert_int_equal(raft_node_join(&stranger->config, &who, &e), 0);
    f->n = 4;
    member_start(stranger);
    change(f, 4, RAFT_NODE_ADD);
    change(f, 4, RAFT_NODE_TO_STANDBY);
    fixture_propose(f, 5);
    fixture_turn_for(f, 1000);
    assert_int_equal(stranger->status.last_index, 0);
    assert_int_equal(stranger->status.role, RAFT_NODE_FOLLOWER);
    assert_int_equal(peer_of(fixture_elect(f), 4)->contact_ms, -1);
    member_stop(stranger);
}

/* --- data directories --------------------------------------------------------------------------------------------- */

static void expect_start(struct member *m, int code, const char *text)
{
    struct err e;
    assert_int_equal(member_try_start(m, &e), code);
    if (strstr(e.text, text) == NULL) fail_msg("\"%s\" has no \"%s\"", e.text, text);
}

static void test_only_a_joined_directory_may_have_no_log(void **state)
{
    struct fixture *f = *state;
    struct member *m = by_id(f, 4);
    struct raft_node_identity who;
    struct err e = {0};
    char path[400];
    fixture_elect(f);
    /* An empty raft/ is in nobody's way. */
    assert_int_equal(mkdir(m->dir, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/raft", m->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    join(f, 4);
    fixture_turn_for(f, 300);
    assert_int_equal(m->status.last_index, 0);
    member_stop(m);
    member_start(m); /* Still nothing of the group: it may start again and again. */
    assert_int_equal(raft_node_identity(m->dir, &who, &e), 0);
    assert_int_equal(who.id, 4);
    assert_int_equal(who.members_n, 4);
    assert_int_equal(raft_node_join(&m->config, &who, &e), -EBUSY);
    change(f, 4, RAFT_NODE_ADD);
    change(f, 4, RAFT_NODE_TO_STANDBY);
    WAIT_UNTIL(f, fixture_is_settled(f));
    fixture_turn_for(f, 100);
    member_stop(m);
    assert_int_equal(raft_node_join(&m->config, &who, &e), -EEXIST);
    /* Now it had a log once. */
    remove_tree(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_start(m, -EBADMSG, "new id");
}

static void test_a_member_moves_to_another_address(void **state)
{
    struct fixture *f = *state;
    struct member *leader = fixture_elect(f);
    struct member *m = by_id(f, leader->config.id % 3 + 1);
    struct err e = {0};
    char old[128];
    assert_int_equal(raft_node_move(&m->config, &e), -EBUSY);
    member_stop(m);
    (void)TEXT_COPY(old, m->config.address);
    m->port = 0;
    listener_open(m);
    (void)snprintf(m->config.address, sizeof m->config.address, "127.0.0.1:%d", m->port);
    expect_start(m, -EPERM, old);
    assert_int_equal(raft_node_move(&m->config, &e), 0);
    for (unsigned i = 0; i < f->n; i++) f->members[i].moved[m->config.id] = m->config.address;
    member_start(m);
    fixture_propose(f, 5);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_int_equal(m->applied_n, leader->applied_n);
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "unit");
    const struct CMUnitTest tests[] = {
#define MEMBERS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
        MEMBERS_TEST(test_grows_to_five_and_shrinks_to_three_under_load),
        MEMBERS_TEST(test_one_change_at_a_time),
        MEMBERS_TEST(test_a_change_waits_until_the_one_before_is_known_to_be_committed),
        MEMBERS_TEST(test_stop_with_a_change_under_way),
        MEMBERS_TEST(test_a_configuration_inside_a_batch_is_noted),
        MEMBERS_TEST(test_a_joined_node_catches_up_by_snapshot),
        MEMBERS_TEST(test_a_dead_member_is_replaced_and_told_when_it_returns),
        MEMBERS_TEST(test_a_removed_live_member_disturbs_nobody),
        MEMBERS_TEST(test_a_node_with_data_of_another_group_gets_nothing),
        MEMBERS_TEST(test_only_a_joined_directory_may_have_no_log),
        MEMBERS_TEST(test_a_member_moves_to_another_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
