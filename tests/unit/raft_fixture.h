/* Nodes of one Raft group in one process and on one loop, over loopback, each with a small listener as manager/ has it.
 *
 * A member's state is the whole history of what was applied to it ([u32 size][bytes] each), so "equal order and bytes"
 * is one memcmp, and its snapshot is that history. raft_node_run() is called only when the node asked for it by its
 * wake hook: a wake that is missing makes a test hang and fail at its deadline. */
#ifndef REGENT_TESTS_RAFT_FIXTURE_H
#define REGENT_TESTS_RAFT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "lib/conn.h"
#include "lib/log.h"
#include "raft/node.h"
#include "tests/unit/free_port.h"

#define GROUP_NAME "unit"

enum { MEMBERS_MAX = 5, WAIT_MS = 30000 };

struct fixture;

struct member {
    struct fixture *f;
    struct raft_node_config config;
    struct conn_net net;
    char dir[300];
    uv_tcp_t *listener; /* NULL: the process of this member is down. */
    int port;
    struct raft_node *node;
    struct raft_node_status status; /* As of the last turn. */
    bool woken, closed, refuses_restore;
    unsigned char *history;
    size_t history_size, history_room;
    unsigned applied_n, restores;
    uint64_t last_applied;
    char fatal[512];
    uint64_t removed;      /* Bit i: this member knows that id i is removed. */
    const char *moved[8]; /* By id: where it listens now, as this member knows; NULL: as configured. */
    void *owner; /* Of f->start(). */
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    char dir[200];
    bool mounted;
    unsigned n;
    struct member members[MEMBERS_MAX];
    struct raft_node_member list[MEMBERS_MAX];
    /* Not NULL: starts what owns the node (and holds a state of its own) in place of raft_node_start(). */
    struct raft_node *(*start)(struct member *m, struct err *e);
    void (*free_owner)(struct member *m); /* After the node is closed. */
    void (*after_turn)(struct fixture *f);
    unsigned acks, unknown, refused; /* Outcomes of fixture_propose(). */
    int last_status;
    uint64_t last_index;
};

static void history_add(struct member *m, const void *data, size_t size)
{
    if (m->history_size + size > m->history_room) {
        m->history_room = (m->history_size + size) * 2;
        m->history = realloc(m->history, m->history_room);
        assert_non_null(m->history);
    }
    memcpy(m->history + m->history_size, data, size);
    m->history_size += size;
}

static void hook_apply(void *arg, uint64_t index, const void *data, size_t size)
{
    struct member *m = arg;
    uint32_t size32 = (uint32_t)size;
    assert_true(index > m->last_applied);
    m->last_applied = index;
    m->applied_n++;
    history_add(m, &size32, sizeof size32);
    history_add(m, data, size);
}

static int hook_snapshot(void *arg, void **data, size_t *size)
{
    struct member *m = arg;
    *size = m->history_size + 1;
    *data = malloc(*size);
    if (*data == NULL) return -ENOMEM;
    *(unsigned char *)*data = 'S';
    memcpy((unsigned char *)*data + 1, m->history, m->history_size);
    return 0;
}

static int hook_restore(void *arg, const void *data, size_t size, struct err *e)
{
    struct member *m = arg;
    if (m->refuses_restore || size < 1 || *(const unsigned char *)data != 'S') return err_set(e, -EBADMSG, "no good");
    m->history_size = 0;
    history_add(m, (const unsigned char *)data + 1, size - 1);
    m->restores++;
    return 0;
}

static void hook_wake(void *arg)
{
    ((struct member *)arg)->woken = true;
}

static void hook_fatal(void *arg, const char *text)
{
    struct member *m = arg;
    assert_string_equal(m->fatal, "");
    (void)snprintf(m->fatal, sizeof m->fatal, "%s", text);
}

static bool hook_is_removed(void *arg, uint64_t id)
{
    return id < 64 && (((struct member *)arg)->removed >> id & 1) != 0;
}

static bool hook_address_of(void *arg, uint64_t id, char address[128])
{
    const struct member *m = arg;
    if (id >= ARRAY_LEN(m->moved) || m->moved[id] == NULL) return false;
    (void)snprintf(address, 128, "%s", m->moved[id]);
    return true;
}

static void on_stranger_closed(void *arg, struct conn *conn, const char *why)
{
    (void)arg;
    (void)conn;
    (void)why;
}

static void on_stranger_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    (void)arg;
    (void)conn;
    (void)data;
    (void)size;
    fail_msg("bytes for nobody");
}

static void on_stranger_ready(void *arg, struct conn *conn)
{
    struct member *m = arg;
    if (m->node != NULL && conn_protocol(conn) == FRAME_RAFT) raft_node_accept(m->node, conn);
    else conn_close(conn, "not here");
}

static void on_listen(uv_stream_t *server, int status)
{
    struct member *m = server->data;
    const struct conn_hooks hooks = {
        .arg = m, .ready = on_stranger_ready, .bytes = on_stranger_bytes, .closed = on_stranger_closed};
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    assert_int_equal(status, 0);
    assert_non_null(tcp);
    assert_int_equal(uv_tcp_init(&m->f->loop, tcp), 0);
    assert_int_equal(uv_accept(server, (uv_stream_t *)tcp), 0);
    assert_non_null(conn_accept(&m->net, (uv_stream_t *)tcp, false, &hooks));
}

static void listener_open(struct member *m)
{
    struct sockaddr_in a;
    m->listener = malloc(sizeof *m->listener);
    assert_non_null(m->listener);
    assert_int_equal(uv_tcp_init(&m->f->loop, m->listener), 0);
    m->listener->data = m;
    if (m->port == 0) m->port = free_port();
    assert_int_not_equal(m->port, 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", m->port, &a), 0);
    assert_int_equal(uv_tcp_bind(m->listener, (struct sockaddr *)&a, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)m->listener, 128, on_listen), 0);
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

static void listener_close(struct member *m)
{
    if (m->listener != NULL) uv_close((uv_handle_t *)m->listener, on_listener_closed);
    m->listener = NULL;
}

static void on_fixture_tick(uv_timer_t *timer)
{
    (void)timer; /* Only ends a sleep of the loop, so that deadlines are looked at. */
}

/* One turn of the loop, then each woken node's run, as the shell's uv_check does it. */
static void fixture_turn(struct fixture *f)
{
    (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (unsigned i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        while (m->node != NULL && m->woken) {
            m->woken = false;
            raft_node_run(m->node);
        }
        if (m->node != NULL) raft_node_status(m->node, &m->status);
    }
    if (f->after_turn != NULL) f->after_turn(f);
}

static int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* Turns the loop until 'condition' holds; fails the test after WAIT_MS. */
#define WAIT_UNTIL(f, condition)                                                                                      \
    do {                                                                                                              \
        int64_t deadline_ = now_ms() + WAIT_MS;                                                                       \
        while (!(condition)) {                                                                                        \
            if (now_ms() > deadline_) fail_msg("not within %d ms: %s", WAIT_MS, #condition);                          \
            fixture_turn(f);                                                                                          \
        }                                                                                                             \
    } while (0)

static inline void fixture_turn_for(struct fixture *f, int64_t ms)
{
    int64_t end = now_ms() + ms;
    while (now_ms() < end) fixture_turn(f);
}

static int member_try_start(struct member *m, struct err *e)
{
    const struct raft_node_hooks hooks = {
        .arg = m,
        .apply = hook_apply,
        .snapshot = hook_snapshot,
        .restore = hook_restore,
        .wake = hook_wake,
        .is_removed = hook_is_removed,
        .address_of = hook_address_of,
        .fatal = hook_fatal,
    };
    memset(e, 0, sizeof *e);
    m->woken = m->closed = false;
    m->fatal[0] = '\0';
    m->history_size = 0;
    m->last_applied = 0;
    m->node = m->f->start != NULL ? m->f->start(m, e) : raft_node_start(&m->f->loop, &m->config, &hooks, e);
    return m->node == NULL ? e->code : 0;
}

static void member_start(struct member *m)
{
    struct err e;
    if (m->listener == NULL) listener_open(m);
    if (member_try_start(m, &e) != 0) fail_msg("start of member %" PRIu64 ": %s", m->config.id, e.text);
}

static void on_node_closed(void *arg)
{
    ((struct member *)arg)->closed = true;
}

/* Stops the node as its process would end, but in order. */
static void member_stop(struct member *m)
{
    struct raft_node *node = m->node;
    listener_close(m);
    if (node == NULL) return;
    m->node = NULL;
    memset(&m->status, 0, sizeof m->status);
    raft_node_stop(node, on_node_closed, m);
    WAIT_UNTIL(m->f, m->closed);
    if (m->f->free_owner != NULL) m->f->free_owner(m);
}

static struct member *fixture_leader(struct fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->members[i].node != NULL && f->members[i].status.established) return &f->members[i];
    }
    return NULL;
}

static inline struct member *fixture_follower(struct fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        if (m->node != NULL && m->status.role == RAFT_NODE_FOLLOWER && m->status.leader_id != 0) return m;
    }
    return NULL;
}

static inline struct member *fixture_elect(struct fixture *f)
{
    WAIT_UNTIL(f, fixture_leader(f) != NULL);
    return fixture_leader(f);
}

static void on_proposed(void *arg, int status, uint64_t index)
{
    struct fixture *f = arg;
    f->last_status = status;
    f->last_index = index;
    if (status == 0) {
        assert_true(index > 0);
        f->acks++;
    } else if (status == -EIO) {
        f->unknown++;
    } else {
        f->refused++;
    }
}

/* Proposes until 'n' commands were acknowledged, wherever the leader is; unknown and refused ones are repeated. */
static inline void fixture_propose(struct fixture *f, unsigned n)
{
    unsigned open = 0, sent = 0, before = f->acks + f->unknown + f->refused, acks = f->acks;
    int64_t deadline = now_ms() + WAIT_MS;
    while (f->acks - acks < n) {
        struct member *leader = fixture_leader(f);
        if (now_ms() > deadline) fail_msg("only %u of %u commands acknowledged", f->acks - acks, n);
        open = sent - (f->acks + f->unknown + f->refused - before);
        while (leader != NULL && open < 64 && f->acks - acks + open < n) {
            char text[256];
            int length = snprintf(text, sizeof text, "command %u of %" PRIu64 " %.*s", sent, leader->config.id,
                                  (int)(sent % 128), "................................................................"
                                  "................................................................");
            if (raft_node_propose(leader->node, text, (size_t)length, on_proposed, f) != 0) break;
            sent++;
            open++;
        }
        fixture_turn(f);
    }
}

static bool same_history(const struct member *a, const struct member *b)
{
    if (a->history_size == 0 || b->history_size == 0) return a->history_size == b->history_size;
    return a->history_size == b->history_size && memcmp(a->history, b->history, a->history_size) == 0;
}

/* All running members have applied the same, and all that the leader has. */
static inline bool fixture_is_settled(struct fixture *f)
{
    struct member *leader = fixture_leader(f);
    if (leader == NULL || leader->status.applied_index < leader->status.last_index) return false;
    for (unsigned i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        if (m->node == NULL) continue;
        if (m->status.applied_index != leader->status.applied_index || !same_history(m, leader)) return false;
    }
    return true;
}

/* Snapshots are taken soon, from the next start of each member on. */
static inline void fixture_small_snapshots(struct fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        f->members[i].config.snapshot_threshold = 40;
        f->members[i].config.snapshot_trailing = 20;
    }
}

/* The end of the leader's process is seen by its connections, before any timeout; also after restarts, when the others
 * still hold connections to the processes of before. The best of the rounds counts: the machine may be busy. */
static inline void fixture_expect_end_of_leader_seen(struct fixture *f, unsigned rounds)
{
    int64_t best = INT64_MAX;
    for (unsigned i = 0; i < rounds; i++) {
        struct member *leader = fixture_elect(f);
        fixture_propose(f, 5);
        WAIT_UNTIL(f, fixture_is_settled(f));
        int64_t start = now_ms();
        member_stop(leader);
        fixture_elect(f);
        int64_t took = now_ms() - start;
        if (took < best) best = took;
        member_start(leader);
        WAIT_UNTIL(f, leader->status.leader_id != 0);
    }
    print_message("    best of %u: %d ms\n", rounds, (int)best);
    assert_true(best < 400);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline void fixture_bootstrap(struct fixture *f)
{
    struct err e = {0};
    for (unsigned i = 0; i < f->n; i++) {
        int rc = raft_node_bootstrap(&f->members[i].config, f->list, f->n, GROUP_NAME, &e);
        if (rc != 0) fail_msg("bootstrap of member %u: %s", i + 1, e.text);
    }
}

static inline struct fixture *fixture_new(unsigned n)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    assert_non_null(f);
    f->n = n;
    (void)snprintf(f->dir, sizeof f->dir, "%.100s/regent-raft-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(uv_timer_init(&f->loop, &f->tick), 0);
    assert_int_equal(uv_timer_start(&f->tick, on_fixture_tick, 10, 10), 0);
    for (unsigned i = 0; i < n; i++) {
        struct member *m = &f->members[i];
        m->f = f;
        m->config.net = &m->net;
        conn_net_init(&m->net, &f->loop, NULL);
        listener_open(m);
        (void)snprintf(m->dir, sizeof m->dir, "%s/m%u", f->dir, i + 1);
        m->config.data_dir = m->dir;
        m->config.id = f->list[i].id = i + 1;
        (void)snprintf(m->config.address, sizeof m->config.address, "127.0.0.1:%d", m->port);
        memcpy(f->list[i].address, m->config.address, sizeof f->list[i].address);
        (void)snprintf(f->list[i].name, sizeof f->list[i].name, "m%u", i + 1);
    }
    return f;
}

static inline void fixture_start(struct fixture *f)
{
    fixture_bootstrap(f);
    for (unsigned i = 0; i < f->n; i++) member_start(&f->members[i]);
}

/* Stops all, and checks that nothing of the nodes is left on the loop. Asserts only after it has cleaned up. */
static inline void fixture_free(struct fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct member *m = &f->members[i];
        listener_close(m);
        if (m->node != NULL) raft_node_stop(m->node, NULL, NULL);
        m->node = NULL;
    }
    uv_close((uv_handle_t *)&f->tick, NULL);
    int64_t deadline = now_ms() + WAIT_MS;
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0 && now_ms() < deadline) (void)poll(NULL, 0, 1);
    int rc = uv_loop_close(&f->loop);
    for (unsigned i = 0; i < f->n; i++) {
        if (f->free_owner != NULL) f->free_owner(&f->members[i]);
        free(f->members[i].history);
    }
    if (f->mounted) (void)umount2(f->members[0].dir, MNT_DETACH);
    remove_tree(f->dir);
    free(f);
    assert_int_equal(rc, 0);
}

#endif
