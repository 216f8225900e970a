/* raft/: three real nodes on loopback; what the manager relies on, and what goes wrong around it. */
#include "tests/unit/raft_fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/resource.h>

#include "raft/internal.h"

static int setup3(void **state)
{
    struct fixture *f = fixture_new(3);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* --- the main path -------------------------------------------------------------------------------------------- */

static void test_applies_1000_commands_in_equal_order(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    assert_int_equal(leader->status.members_n, 3);
    assert_string_equal(leader->status.members[1].name, "m2");
    assert_string_equal(leader->status.leader_address, leader->config.address);
    fixture_propose(f, 1000);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_true(f->members[0].applied_n >= 1000);
    assert_true(f->acks >= 1000);
}

static void test_sizes_at_the_limits(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    char *big = malloc(RAFT_NODE_COMMAND_MAX + 1);
    memset(big, 'b', RAFT_NODE_COMMAND_MAX + 1);
    assert_int_equal(raft_node_propose(leader->node, big, RAFT_NODE_COMMAND_MAX + 1, on_proposed, f), -E2BIG);
    assert_int_equal(raft_node_propose(leader->node, big, 0, on_proposed, f), -EINVAL);
    for (size_t size = 1; size <= 17; size++) {
        assert_int_equal(raft_node_propose(leader->node, big, size, on_proposed, f), 0);
    }
    assert_int_equal(raft_node_propose(leader->node, big, RAFT_NODE_COMMAND_MAX, on_proposed, f), 0);
    free(big);
    WAIT_UNTIL(f, f->acks + f->unknown + f->refused == 18);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_int_equal(f->acks, 18);
    size_t expected = 18 * sizeof(uint32_t) + 17 * 18 / 2 + RAFT_NODE_COMMAND_MAX;
    assert_int_equal(leader->history_size, expected);
    /* All stopped and started: the big entry, larger than a segment, is read back. */
    for (unsigned i = 0; i < f->n; i++) member_stop(&f->members[i]);
    for (unsigned i = 0; i < f->n; i++) member_start(&f->members[i]);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_int_equal(f->members[0].history_size, expected);
}

static void test_follower_refuses(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    WAIT_UNTIL(f, fixture_follower(f) != NULL);
    struct member *follower = fixture_follower(f);
    assert_int_equal(raft_node_propose(follower->node, "x", 1, on_proposed, f), -ENOTCONN);
    assert_int_equal(raft_node_barrier(follower->node, on_proposed, f), -ENOTCONN);
    assert_int_equal(raft_node_transfer(follower->node, 0, on_proposed, f), -ENOTCONN);
    assert_int_equal(follower->status.leader_id, leader->config.id);
    assert_string_equal(follower->status.leader_address, leader->config.address);
    assert_false(follower->status.established);
    fixture_turn_for(f, 100);
    assert_int_equal(f->acks + f->unknown + f->refused, 0);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    unsigned taken = 0;
    int rc = 0;
    while (taken <= RAFT_NODE_QUEUE_MAX && (rc = raft_node_propose(leader->node, "x", 1, on_proposed, f)) == 0) taken++;
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(taken, RAFT_NODE_QUEUE_MAX);
    WAIT_UNTIL(f, f->acks + f->unknown + f->refused == taken);
    assert_int_equal(f->acks, taken);
    fixture_propose(f, 1);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

struct barrier_seen {
    struct member *m;
    unsigned applied_n, told;
    int status;
};

static void on_barrier(void *arg, int status, uint64_t index)
{
    struct barrier_seen *b = arg;
    (void)index;
    b->status = status;
    b->applied_n = b->m->applied_n;
    b->told++;
}

static void test_barriers_wait_and_share(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    struct barrier_seen seen[10];
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(raft_node_propose(leader->node, "x", 1, on_proposed, f), 0);
    }
    uint64_t before = 0;
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        seen[i] = (struct barrier_seen){.m = leader, .status = 1};
        assert_int_equal(raft_node_barrier(leader->node, on_barrier, &seen[i]), 0);
        if (i == 0) {
            raft_node_status(leader->node, &leader->status);
            before = leader->status.last_index;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) WAIT_UNTIL(f, seen[i].told == 1);
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        assert_int_equal(seen[i].status, 0);
        assert_true(seen[i].applied_n >= 10);
    }
    raft_node_status(leader->node, &leader->status);
    assert_int_equal(leader->status.last_index, before + 1); /* Nine shared one entry. */
}

static void test_leader_stops_and_comes_back(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *first = fixture_elect(f);
    fixture_propose(f, 50);
    f->acks = f->unknown = f->refused = 0;
    assert_int_equal(raft_node_propose(first->node, "late", 4, on_proposed, f), 0);
    member_stop(first);
    assert_int_equal(f->unknown, 1); /* Told -EIO: it may or may not be applied. */
    struct member *second = fixture_elect(f);
    assert_ptr_not_equal(first, second);
    fixture_propose(f, 50);
    WAIT_UNTIL(f, fixture_is_settled(f));
    member_start(first);
    WAIT_UNTIL(f, first->status.leader_id != 0 && fixture_is_settled(f));
    assert_true(same_history(first, fixture_leader(f)));
}

static void test_transfer_moves_the_leader(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    fixture_propose(f, 10);
    WAIT_UNTIL(f, fixture_is_settled(f));
    uint64_t target = leader->config.id % 3 + 1;
    f->last_status = 1;
    assert_int_equal(raft_node_transfer(leader->node, leader->config.id, on_proposed, f), -EINVAL);
    assert_int_equal(raft_node_transfer(leader->node, 77, on_proposed, f), -EINVAL);
    f->acks = f->refused = f->unknown = 0;
    struct barrier_seen seen = {.m = leader, .status = 1};
    assert_int_equal(raft_node_transfer(leader->node, target, on_barrier, &seen), 0);
    assert_int_equal(raft_node_transfer(leader->node, target, on_barrier, &seen), -EBUSY);
    WAIT_UNTIL(f, seen.told == 1);
    assert_int_equal(seen.status, 0);
    WAIT_UNTIL(f, fixture_leader(f) != NULL && fixture_leader(f)->config.id == target);
}

static void test_end_of_leader_is_seen_at_once(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    fixture_expect_end_of_leader_seen(f, 5);
}

/* libraft alone takes up to a heartbeat for each of these. */
static void test_command_after_idle_is_fast(void **state)
{
    struct fixture *f = *state;
    unsigned slow = 0;
    fixture_start(f);
    fixture_elect(f);
    for (unsigned i = 0; i < 12; i++) {
        fixture_turn_for(f, 250);
        int64_t start = now_ms();
        fixture_propose(f, 1);
        if (now_ms() - start > 25) slow++;
    }
    assert_true(slow <= 3);
}

/* A node that fails between libraft's "applied" and the hook: 'done' must not tell what the hook has not seen. */
static void test_done_never_comes_before_apply(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    fixture_propose(f, 3);
    unsigned applied = leader->applied_n, unknown = f->unknown;
    assert_int_equal(raft_node_propose(leader->node, "x", 1, on_proposed, f), 0);
    while (leader->node->finished == NULL) (void)uv_run(&f->loop, UV_RUN_ONCE); /* And no raft_node_run(). */
    assert_int_equal(leader->node->finished->status, 0);
    node_fail(leader->node, "by the test");
    raft_node_run(leader->node);
    assert_int_equal(leader->applied_n, applied);
    assert_int_equal(f->unknown, unknown + 1);
    assert_string_equal(leader->fatal, "by the test");
}

/* --- snapshots ------------------------------------------------------------------------------------------------ */

static void test_far_behind_is_caught_up_by_snapshot(void **state)
{
    struct fixture *f = *state;
    fixture_small_snapshots(f);
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, 20);
    WAIT_UNTIL(f, fixture_follower(f) != NULL);
    struct member *behind = fixture_follower(f);
    member_stop(behind);
    fixture_propose(f, 500);
    member_start(behind);
    WAIT_UNTIL(f, behind->status.leader_id != 0 && fixture_is_settled(f));
    assert_true(behind->restores >= 1);
    fixture_propose(f, 20);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

static void test_all_restart_from_snapshot_and_log(void **state)
{
    struct fixture *f = *state;
    fixture_small_snapshots(f);
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, 300);
    WAIT_UNTIL(f, fixture_is_settled(f));
    size_t size = f->members[0].history_size;
    for (unsigned i = 0; i < f->n; i++) member_stop(&f->members[i]);
    for (unsigned i = 0; i < f->n; i++) member_start(&f->members[i]);
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_int_equal(f->members[0].history_size, size);
    assert_true(f->members[0].restores >= 1);
}

static void test_refused_snapshot_is_fatal(void **state)
{
    struct fixture *f = *state;
    fixture_small_snapshots(f);
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, 200);
    WAIT_UNTIL(f, fixture_is_settled(f));
    struct member *m = fixture_follower(f);
    member_stop(m);
    m->refuses_restore = true;
    member_start(m);
    WAIT_UNTIL(f, m->fatal[0] != '\0');
    assert_non_null(strstr(m->fatal, "snapshot"));
    assert_non_null(strstr(m->fatal, "no good"));
    WAIT_UNTIL(f, m->status.role == RAFT_NODE_UNAVAILABLE);
    fixture_propose(f, 5); /* The others go on. */
}

/* --- the wire ------------------------------------------------------------------------------------------------- */

/* A client that sends 'size' bytes to the member's listener. */
static int raw_connect(const struct member *m, const void *data, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)m->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
    return fd;
}

/* How long until the other side closes, or -1 when it does not within 'limit_ms'. Ends the connection. */
static int64_t ms_until_closed(struct fixture *f, int fd, int64_t limit_ms)
{
    int64_t start = now_ms(), took = -1;
    char byte;
    while (now_ms() - start < limit_ms) {
        fixture_turn(f);
        ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            took = now_ms() - start;
            break;
        }
    }
    close(fd);
    return took;
}

static size_t hello(uint8_t *to, const struct fixture *f, uint64_t id, uint64_t wanted)
{
    struct handshake h = {.id = id, .wanted = wanted, .address = "127.0.0.1:1"};
    h.group = storage_group_id(GROUP_NAME, f->list, f->n);
    frame_preamble(to, FRAME_RAFT);
    return FRAME_PREAMBLE_SIZE + handshake_write(to + FRAME_PREAMBLE_SIZE, &h);
}

static void test_bad_handshakes_are_closed(void **state)
{
    struct fixture *f = *state;
    uint8_t good[256], bad[256];
    fixture_start(f);
    fixture_elect(f);
    struct member *m = &f->members[0];
    size_t size = hello(good, f, 3, 1);
    /* The control: a right one stays open, so the test can tell. */
    assert_int_equal(ms_until_closed(f, raw_connect(m, good, size), 500), -1);
    memcpy(bad, good, size);
    bad[0] = 'X'; /* Preamble. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    (void)hello(bad, f, 3, 2); /* Wants another node. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    (void)hello(bad, f, 1, 1); /* Says it is us. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    memcpy(bad, good, size);
    bad[FRAME_PREAMBLE_SIZE + 16] ^= 1; /* Group id. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    memcpy(bad, good, size);
    bad[FRAME_PREAMBLE_SIZE + 24] = 128; /* Address length. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    bad[FRAME_PREAMBLE_SIZE + 25] = 0xff;
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    memcpy(bad, good, size);
    bad[FRAME_PREAMBLE_SIZE + 26] = '\0'; /* Address text. */
    assert_in_range(ms_until_closed(f, raw_connect(m, bad, size), 3000), 0, 1000);
    /* Half a handshake, then silence: the deadline of 3 s ends it, not earlier. */
    assert_in_range(ms_until_closed(f, raw_connect(m, good, size / 2), 5000), 2500, 4500);
    assert_in_range(ms_until_closed(f, raw_connect(m, good, size - 1), 5000), 2500, 4500);
    fixture_propose(f, 20);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

static void test_too_many_half_handshakes(void **state)
{
    struct fixture *f = *state;
    uint8_t good[256];
    int fds[TRANSPORT_GREETS_MAX];
    fixture_start(f);
    fixture_elect(f);
    struct member *m = &f->members[0];
    size_t size = hello(good, f, 3, 1);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) fds[i] = raw_connect(m, good, size - 1);
    fixture_turn_for(f, 200);
    assert_in_range(ms_until_closed(f, raw_connect(m, good, size - 1), 1000), 0, 500);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) close(fds[i]);
    fixture_propose(f, 20);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

/* --- the data directory --------------------------------------------------------------------------------------- */

static void expect_start(struct member *m, int code, const char *text1, const char *text2)
{
    struct err e;
    int rc = member_try_start(m, &e);
    if (rc == 0) fail_msg("it started, expected %d", code);
    print_message("    %d: %s\n", rc, e.text);
    assert_int_equal(rc, code);
    assert_non_null(strstr(e.text, text1));
    assert_non_null(strstr(e.text, text2));
    assert_non_null(strstr(e.text, m->config.data_dir));
    fixture_turn_for(m->f, 30);
}

static void damage(const struct member *m, const char *name, long offset)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", m->dir, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    int c = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 0x20, file), c ^ 0x20);
    assert_int_equal(fclose(file), 0);
}

static void test_directory_errors_have_clear_texts(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct err e = {0};
    struct raft_node_config saved = m->config;
    expect_start(m, -ENOENT, "not bootstrapped", "--bootstrap");
    assert_int_equal(mkdir(m->dir, 0700), 0);
    expect_start(m, -ENOENT, "not bootstrapped", "--bootstrap");
    m->config.id = 9;
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, 3, GROUP_NAME, &e), -EINVAL);
    m->config = saved;
    fixture_bootstrap(f);
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, 3, GROUP_NAME, &e), -EEXIST);
    assert_non_null(strstr(e.text, "holds a node already"));
    m->config.id = 2;
    expect_start(m, -EPERM, "belongs to node 1", "this configuration is node 2");
    m->config = saved;
    (void)snprintf(m->config.address, sizeof m->config.address, "127.0.0.1:1");
    expect_start(m, -EPERM, "belongs to node 1", "address");
    m->config = saved;
    member_start(m);
    struct member twin = *m;
    expect_start(&twin, -EBUSY, "in use", "data_dir of its own");
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, 3, GROUP_NAME, &e), -EBUSY);
    member_stop(m);
    member_start(m); /* Unlocked again. */
    member_stop(m);
    damage(m, "node", 20);
    expect_start(m, -EBADMSG, "damaged", "under a new id");
    damage(m, "node", 20);
    damage(m, "raft/0000000000000001-0000000000000001", 30);
    expect_start(m, -EBADMSG, "corrupt", "under a new id");
}

static void test_bootstrap_keeps_off_other_data(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct err e = {0};
    char path[400];
    assert_int_equal(mkdir(m->dir, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/ibdata1", m->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, 3, GROUP_NAME, &e), -EEXIST);
    assert_non_null(strstr(e.text, "ibdata1"));
    assert_int_equal(rmdir(path), 0);
    /* What an interrupted bootstrap leaves: before the rename it does not count, after it an operator decides. */
    (void)snprintf(path, sizeof path, "%s/raft.new", m->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    fixture_bootstrap(f);
    (void)snprintf(path, sizeof path, "%s/node", m->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, 3, GROUP_NAME, &e), -EEXIST);
    assert_non_null(strstr(e.text, "interrupted"));
}

static void test_lost_log_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[400];
    fixture_bootstrap(f);
    (void)snprintf(path, sizeof path, "%s/raft", f->members[0].dir);
    remove_tree(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_start(&f->members[0], -EBADMSG, "no log", "under a new id");
}

static void test_other_group_is_kept_out(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    for (unsigned i = 0; i < 3; i++) {
        const char *name = i == 2 ? "another" : GROUP_NAME;
        assert_int_equal(raft_node_bootstrap(&f->members[i].config, f->list, 3, name, &e), 0);
        member_start(&f->members[i]);
    }
    fixture_elect(f);
    fixture_propose(f, 20);
    fixture_turn_for(f, 300);
    assert_int_equal(f->members[2].applied_n, 0);
    assert_int_equal(f->members[2].status.leader_id, 0);
}

/* --- the disk ------------------------------------------------------------------------------------------------- */

/* A term that can not be written must end the node before it answers anything with it. */
static void test_unwritable_term_is_fatal(void **state)
{
    struct fixture *f = *state;
    char path[400];
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, 10);
    WAIT_UNTIL(f, fixture_is_settled(f));
    struct member *m = fixture_follower(f), *leader = fixture_leader(f);
    for (int i = 1; i <= 2; i++) {
        (void)snprintf(path, sizeof path, "%s/raft/metadata%d", m->dir, i);
        (void)unlink(path);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    member_stop(leader);
    WAIT_UNTIL(f, m->fatal[0] != '\0');
    print_message("    %s\n", m->fatal);
    assert_non_null(strstr(m->fatal, m->dir));
    assert_int_equal(raft_node_propose(m->node, "x", 1, on_proposed, f), -ENOTCONN);
}

/* libraft retries a failed log write by a timer with the wrong argument: the node must be closed before that fires. */
static void test_failed_write_is_fatal(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    static char data[16 * 1024];
    struct rlimit saved, small;
    fixture_start(f);
    fixture_elect(f);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    small = saved;
    small.rlim_cur = 64 * 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    memset(data, 'd', sizeof data);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(raft_node_propose(m->node, data, sizeof data, on_proposed, f), 0);
    }
    int64_t deadline = now_ms() + 5000;
    while (m->fatal[0] == '\0' && now_ms() < deadline) fixture_turn(f);
    fixture_turn_for(f, 1200);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
    print_message("    %s\n", m->fatal);
    assert_non_null(strstr(m->fatal, "write the log"));
    assert_true(f->unknown > 0);
    assert_int_equal(f->acks + f->unknown, 8);
}

static void on_stop_wanted(void *arg, int status, uint64_t index)
{
    struct member *m = arg;
    struct raft_node *node = m->node;
    (void)index;
    assert_int_equal(status, 0);
    m->node = NULL;
    raft_node_stop(node, on_node_closed, m);
}

static void test_stop_from_a_done_function(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct member *m = fixture_elect(f);
    assert_int_equal(raft_node_propose(m->node, "x", 1, on_stop_wanted, m), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(raft_node_propose(m->node, "y", 1, on_proposed, f), 0);
        assert_int_equal(raft_node_barrier(m->node, on_proposed, f), 0);
    }
    WAIT_UNTIL(f, m->closed);
    assert_int_equal(f->acks + f->unknown + f->refused, 20); /* Each was told something. */
    memset(&m->status, 0, sizeof m->status);
    member_start(m);
    fixture_elect(f);
}

static void on_any(void *arg, int status, uint64_t index)
{
    (void)index;
    if (status == -ENOSPC) (*(unsigned *)arg)++;
}

/* Fills the group's disk until a proposal is refused as such; true when that was seen. */
static bool propose_until_full(struct fixture *f, struct member *m)
{
    static char data[16 * 1024];
    unsigned refused = 0;
    int64_t deadline = now_ms() + WAIT_MS;
    memset(data, 'd', sizeof data);
    while (refused == 0 && now_ms() < deadline) {
        int rc = raft_node_propose(m->node, data, sizeof data, on_any, &refused);
        assert_true(rc == 0 || rc == -ENOTCONN || rc == -EAGAIN);
        fixture_turn(f);
    }
    fixture_turn_for(f, 1200); /* Over two retries of libraft's. */
    return refused > 0;
}

/* On a disk of 8 KiB; afterwards the disk has its size again and is empty. */
static void expect_bootstrap_needs_space(struct fixture *f, const struct member *m)
{
    struct err e = {0};
    assert_int_equal(mount("regent-test", m->dir, "tmpfs", MS_REMOUNT, "size=8k"), 0);
    assert_int_equal(raft_node_bootstrap(&m->config, f->list, f->n, GROUP_NAME, &e), -ENOSPC);
    print_message("    %s\n", e.text);
    assert_non_null(strstr(e.text, "no space left"));
    assert_int_equal(mount("regent-test", m->dir, "tmpfs", MS_REMOUNT, "size=3m"), 0);
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct err e;
    assert_int_equal(mkdir(m->dir, 0700), 0);
    if (mount("regent-test", m->dir, "tmpfs", 0, "size=3m") != 0) {
        print_message("SKIP test_full_disk: a tmpfs can not be mounted: %s\n", strerror(errno));
        skip();
    }
    f->mounted = true;
    expect_bootstrap_needs_space(f, m);
    fixture_start(f);
    fixture_elect(f);
    assert_true(propose_until_full(f, m));
    assert_string_equal(m->fatal, "");
    assert_true(m->status.disk_full);
    assert_true(m->status.established);
    member_stop(m);
    /* Nothing left at all: the start says so. */
    char path[400];
    static char block[64 * 1024];
    (void)snprintf(path, sizeof path, "%s/filler", m->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    while (fwrite(block, sizeof block, 1, file) == 1 && fflush(file) == 0) continue;
    (void)fclose(file);
    expect_start(m, -ENOSPC, "no space left", "free at least");
    assert_int_equal(unlink(path), 0);
    if (member_try_start(m, &e) != 0) expect_start(m, -ENOSPC, "no space left", "free at least");
    /* With room again it starts and has all that was acknowledged. */
    assert_int_equal(mount("regent-test", m->dir, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    if (m->node == NULL) member_start(m);
    fixture_elect(f);
    fixture_propose(f, 10);
}

static int setup1(void **state)
{
    *state = fixture_new(1);
    return 0;
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_applies_1000_commands_in_equal_order, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_at_the_limits, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_follower_refuses, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_barriers_wait_and_share, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_leader_stops_and_comes_back, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_transfer_moves_the_leader, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_leader_is_seen_at_once, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_done_never_comes_before_apply, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_command_after_idle_is_fast, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_far_behind_is_caught_up_by_snapshot, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_all_restart_from_snapshot_and_log, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_refused_snapshot_is_fatal, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_bad_handshakes_are_closed, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_half_handshakes, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_directory_errors_have_clear_texts, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_bootstrap_keeps_off_other_data, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_lost_log_is_refused, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_other_group_is_kept_out, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_unwritable_term_is_fatal, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_failed_write_is_fatal, setup1, teardown),
        cmocka_unit_test_setup_teardown(test_stop_from_a_done_function, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup1, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
