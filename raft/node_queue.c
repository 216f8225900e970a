/* Commands on their way into libraft and out of it.
 *
 * In: raft_node_propose() copies a command into libraft's format, u32 length (little endian), the bytes, zeros up to a
 * multiple of 8 (raft_uv refuses other lengths), always as one buffer. Out: libraft's callbacks only append to our
 * queues and wake; raft_node_run() calls the hooks and the 'done' functions, commits before dones, each in order.
 *
 * Failure modes: not leader or queue full (refused at once), disk full at a majority (-ENOSPC, not applied), leadership
 * lost or closing (-EIO: unknown, may still be applied), a committed entry that is not ours (the log is corrupt: the
 * node stops). A snapshot is refused as busy while committed commands wait here: it would claim more than the state. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft/internal.h"
#include "raft/node_frame.h"

static void commit_push(struct raft_node *node, struct commit *c)
{
    c->next = NULL;
    *node->commits_tail = c;
    node->commits_tail = &c->next;
    node_wake(node);
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct raft_node *node = fsm->data;
    uint64_t index = raft_last_applied(&node->raft) + 1;
    size_t size = node_framed_size(buf->base, buf->len);
    *result = NULL;
    if (size == 0) {
        node_fail(node, "log entry %" PRIu64 " under %s is no command of Regent: move the directory away and re-add "
                  "this node under a new id", index, node->data_dir);
        return RAFT_CORRUPT;
    }
    struct commit *c = malloc(sizeof *c + size);
    if (c == NULL) {
        node_fail(node, "out of memory for a committed command of %zu bytes", size);
        return RAFT_NOMEM;
    }
    c->index = index;
    c->snapshot = NULL;
    c->size = size;
    memcpy(c->data, (const uint8_t *)buf->base + NODE_FRAME_SIZE, size);
    commit_push(node, c);
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct raft_node *node = fsm->data;
    void *data = NULL;
    size_t size = 0;
    /* The head of the queue stays in it while its hook runs, so this also covers a half-applied command. */
    if (node->commits != NULL || node->failure[0] != '\0') return RAFT_BUSY;
    struct raft_buffer *buf = raft_malloc(sizeof *buf);
    if (buf == NULL) return RAFT_NOMEM;
    int rc = node->hooks.snapshot(node->hooks.arg, &data, &size);
    if (rc != 0) {
        raft_free(buf);
        return rc == -EBUSY ? RAFT_BUSY : RAFT_NOMEM;
    }
    MUST(data != NULL && size > 0);
    buf->base = data; /* malloc'd; libraft's default heap frees it with free(). */
    buf->len = size;
    *bufs = buf;
    *n_bufs = 1;
    return 0;
}

/* Takes the bytes over; raft_node_run() restores. A snapshot that the hook refuses then stops the node. */
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct raft_node *node = fsm->data;
    struct commit *c = malloc(sizeof *c);
    if (c == NULL) return RAFT_NOMEM;
    c->index = 0;
    c->snapshot = buf->base;
    c->size = buf->len;
    commit_push(node, c);
    return 0;
}

void node_fsm_init(struct raft_node *node)
{
    node->fsm.version = 1;
    node->fsm.data = node;
    node->fsm.apply = fsm_apply;
    node->fsm.snapshot = fsm_snapshot;
    node->fsm.restore = fsm_restore;
    node->commits_tail = &node->commits;
    node->finished_tail = &node->finished;
}

static void commit_pop(struct raft_node *node)
{
    struct commit *c = node->commits;
    node->commits = c->next;
    if (node->commits == NULL) node->commits_tail = &node->commits;
    raft_free(c->snapshot);
    free(c);
}

static void deliver_commit(struct raft_node *node, const struct commit *c)
{
    struct err e = {0};
    if (c->snapshot == NULL) {
        node->hooks.apply(node->hooks.arg, c->index, c->data, c->size);
        node->applied_index = c->index;
    } else if (node->hooks.restore(node->hooks.arg, c->snapshot, c->size, &e) != 0) {
        const char *todo = e.code == -ENOTSUP ? "" : ": move the directory away and re-add this node under a new id";
        node_fail(node, "the snapshot under %s can not be used (%s)%s", node->data_dir, e.text, todo);
    }
}

void node_deliver_commits(struct raft_node *node)
{
    while (node->commits != NULL && node->failure[0] == '\0' && !node->stopping) {
        deliver_commit(node, node->commits);
        commit_pop(node);
    }
    if (node->commits == NULL && !node->closing) node->applied_index = raft_last_applied(&node->raft);
}

static int status_of(int raft_code)
{
    if (raft_code == 0) return 0;
    return raft_code == RAFT_NOSPACE ? -ENOSPC : -EIO;
}

static void proposal_finish(struct proposal *p, int status)
{
    struct raft_node *node = p->node;
    p->status = status;
    p->next = NULL;
    *node->finished_tail = p;
    node->finished_tail = &p->next;
    node_wake(node);
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    struct proposal *p = req->data;
    (void)result;
    p->index = status == 0 ? req->index : 0;
    proposal_finish(p, status_of(status));
}

static bool can_propose(struct raft_node *node)
{
    return !node->closing && node->failure[0] == '\0' && raft_state(&node->raft) == RAFT_LEADER &&
           !node->transfer.draining;
}

/* Gives the framed command to libraft. Returns 0 when 'done' will run, else as raft_node_propose(). */
static int proposal_submit(struct raft_node *node, struct proposal *p, struct raft_buffer *buf)
{
    int rv = raft_apply(&node->raft, &p->req, buf, 1, on_applied);
    if (rv == 0) return 0;
    if (rv == RAFT_NOTLEADER) {
        raft_free(buf->base);
        return -ENOTCONN;
    }
    if (rv == RAFT_NOSPACE) {
        raft_free(buf->base);
        proposal_finish(p, -ENOSPC);
        return 0;
    }
    /* Out of memory, half done: libraft may have freed the buffer already and its log is not consistent any more. */
    node_fail(node, "libraft refused a command: %s", raft_errmsg(&node->raft));
    return -EAGAIN;
}

int raft_node_propose(struct raft_node *node, const void *data, size_t size, raft_node_done_fn *done, void *arg)
{
    if (size > RAFT_NODE_COMMAND_MAX) return -E2BIG;
    if (size == 0) return -EINVAL;
    if (!can_propose(node)) return -ENOTCONN;
    if (node->proposals_n >= RAFT_NODE_QUEUE_MAX) return -EAGAIN;
    struct raft_buffer buf = {.len = node_padded_size(size)};
    struct proposal *p = calloc(1, sizeof *p);
    buf.base = raft_malloc(buf.len);
    if (p == NULL || buf.base == NULL) {
        free(p);
        raft_free(buf.base);
        return -EAGAIN;
    }
    node_frame(buf.base, data, size);
    p->node = node;
    p->done = done;
    p->arg = arg;
    p->req.data = p;
    int rc = proposal_submit(node, p, &buf);
    if (rc != 0) {
        free(p);
        return rc;
    }
    node->proposals_n++;
    return 0;
}

static void on_barrier(struct raft_barrier *req, int status)
{
    struct raft_node *node = req->data;
    struct barriers *b = &node->barriers;
    b->flying = false;
    b->finished = true;
    b->status = status_of(status);
    b->index = status == 0 ? req->index : 0;
    node_wake(node);
}

/* Submits a barrier for b->current. Returns 0 when its outcome will be told, -ENOTCONN when nothing was done. */
static int barrier_submit(struct raft_node *node)
{
    struct barriers *b = &node->barriers;
    if (!can_propose(node)) return -ENOTCONN;
    b->req.data = node;
    b->flying = true;
    int rv = raft_barrier(&node->raft, &b->req, on_barrier);
    if (rv != 0) b->flying = false;
    if (rv == RAFT_NOTLEADER) return -ENOTCONN;
    if (rv != 0) {
        b->finished = true;
        b->status = status_of(rv);
        b->index = 0;
        node_wake(node);
    }
    return 0;
}

int raft_node_barrier(struct raft_node *node, raft_node_done_fn *done, void *arg)
{
    struct barriers *b = &node->barriers;
    if (!can_propose(node)) return -ENOTCONN;
    if (b->waiters_n >= RAFT_NODE_QUEUE_MAX) return -EAGAIN;
    struct waiter *w = calloc(1, sizeof *w);
    if (w == NULL) return -EAGAIN;
    w->done = done;
    w->arg = arg;
    bool busy = b->flying || b->finished;
    struct waiter **list = busy ? &b->next : &b->current;
    w->next = *list;
    *list = w;
    b->waiters_n++;
    if (busy || barrier_submit(node) == 0) return 0;
    b->current = w->next;
    b->waiters_n--;
    free(w);
    return -ENOTCONN;
}

static void tell_waiters(struct raft_node *node, struct waiter *list, int status, uint64_t index)
{
    while (list != NULL) {
        struct waiter *w = list;
        list = w->next;
        node->barriers.waiters_n--;
        w->done(w->arg, status, index);
        free(w);
    }
}

static void deliver_barrier(struct raft_node *node)
{
    struct barriers *b = &node->barriers;
    if (!b->finished) return;
    struct waiter *list = b->current, *refused = NULL;
    int status = b->status;
    uint64_t index = b->index;
    b->finished = false;
    b->current = b->next;
    b->next = NULL;
    if (b->current != NULL && barrier_submit(node) != 0) {
        refused = b->current;
        b->current = NULL;
    }
    tell_waiters(node, list, status, index);
    tell_waiters(node, refused, -ENOTCONN, 0);
}

static void deliver_proposals(struct raft_node *node)
{
    struct proposal *list = node->finished;
    node->finished = NULL;
    node->finished_tail = &node->finished;
    while (list != NULL) {
        struct proposal *p = list;
        list = p->next;
        node->proposals_n--;
        /* Committed, but a node that failed or stops gives no more commits to the hook: nobody knows the result. */
        if (p->status == 0 && p->index > node->applied_index) p->status = -EIO;
        p->done(p->arg, p->status, p->index);
        free(p);
    }
}

void node_deliver_done(struct raft_node *node)
{
    deliver_proposals(node);
    deliver_barrier(node);
    node_deliver_transfer(node);
    node_deliver_change(node);
}

void node_drain(struct raft_node *node)
{
    while (node->commits != NULL) commit_pop(node);
    /* libraft's closing has ended all requests, and 'done' functions can not add any. */
    deliver_proposals(node);
    MUST(node->proposals_n == 0);
    node->barriers.finished = true;
    if (node->barriers.status == 0) node->barriers.status = -EIO;
    deliver_barrier(node);
    node_deliver_transfer(node);
    node_drain_change(node);
    MUST(node->barriers.waiters_n == 0);
}
