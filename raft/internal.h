/* What the files of raft/ share: the node's parts. Nothing outside raft/ includes this. */
#ifndef REGENT_RAFT_INTERNAL_H
#define REGENT_RAFT_INTERNAL_H

#include <uv.h>

#include "raft/compat.h"
#include "raft/guard.h"
#include "raft/node.h"
#include "raft/preflight.h"
#include "raft/storage.h"
#include "raft/transport.h"

enum {
    SEGMENT_BYTES = 1 << 20,
    SEGMENT_KB = SEGMENT_BYTES / 1024,
    /* New commands are refused when a majority of voters has less than this left in prepared segments. libraft's own
     * default (4 MiB) is more than our two segments ever hold: it would refuse everything. */
    CAPACITY_MIN_KB = 256,
    HAND_OVER_KB = 512,       /* A leader with a full disk and less than this reserved lets another lead. */
    HAND_OVER_RETRY_MS = 2000,
    CONNECT_RETRY_MS = 100,
    DISK_RETRY_MS = 500,
    INSTALL_SNAPSHOT_TIMEOUT_MS = 5000, /* libraft's 30 s would delay a follower whose first copy was dropped. */
    CATCH_UP_ROUNDS = 10,
    CATCH_UP_ROUND_MS = 5000,
    CHANGE_MS = CATCH_UP_ROUNDS * CATCH_UP_ROUND_MS + 10000, /* Then libraft has forgotten the change. */
};

/* Committed and not yet given to the hooks; bounded by what libraft itself holds in its log. */
struct commit {
    struct commit *next;
    uint64_t index;
    void *snapshot; /* Not NULL: a restore; raft_malloc'd, ours. */
    size_t size;
    unsigned char data[];
};

/* A proposed command. libraft's request lives in it. */
struct proposal {
    struct raft_apply req;
    struct raft_node *node;
    struct proposal *next;
    raft_node_done_fn *done;
    void *arg;
    int status;
    uint64_t index;
};

struct waiter {
    struct waiter *next;
    raft_node_done_fn *done;
    void *arg;
};

/* One barrier is in flight at a time; who asks meanwhile shares the next one. */
struct barriers {
    struct raft_barrier req;
    bool flying, finished;
    int status;
    uint64_t index;
    struct waiter *current, *next;
    unsigned waiters_n;
};

struct transfer {
    struct raft_transfer req;
    bool flying, finished; /* Asked for; over. */
    bool draining;         /* Nothing is proposed any more; libraft is asked when the target has everything. */
    uint64_t target;
    uint64_t since_ms;     /* uv_now(). */
    raft_node_done_fn *done;
    void *arg;
};

/* One change of the configuration at a time. libraft keeps a pointer to 'req', also after some failures. */
struct change {
    struct raft_change req;
    bool flying, finished, confirming; /* Asked of libraft; told by it; its barrier flies. */
    int status;
    uint64_t since_ms; /* uv_now(). */
    raft_node_done_fn *done;
    void *arg;
};

struct raft_node {
    struct uv_loop_s *loop;
    struct raft_node_config config;
    char data_dir[STORAGE_PATH_MAX];
    struct raft_node_hooks hooks;
    struct storage_identity identity;
    int lock_fd;

    struct transport transport;
    struct guard guard; /* Holds the raft_io. */
    struct raft_fsm fsm;
    struct raft raft;
    uv_timer_t closer; /* Never started: its close callback frees us outside of libraft's callbacks. */

    struct commit *commits, **commits_tail;
    uint64_t applied_index; /* Given to the hooks. */

    unsigned proposals_n; /* In flight or finished, not yet told. */
    struct proposal *finished, **finished_tail;
    struct barriers barriers;
    struct transfer transfer;
    struct change change;

    uint64_t established_term, establishing_term; /* 0: none. */
    enum raft_state seen_state;                   /* What the last wake was for. */
    uint64_t seen_term, seen_leader;
    bool woken, running, disk_full;
    uint64_t hand_over_at_ms; /* Not before, uv_now(). */
    char failure[400]; /* Set: can not go on. */
    bool failure_told;
    bool closing, raft_closed, stopping;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* node.c */
void node_wake(struct raft_node *node);
/* Notes that the node can not go on (first text wins) and wakes; raft_node_run() tells it. */
void node_fail(struct raft_node *node, const char *format, ...) REGENT_PRINTF(2, 3);

/* node_queue.c */
void node_fsm_init(struct raft_node *node);
/* Gives committed commands and restores to the hooks. */
void node_deliver_commits(struct raft_node *node);
/* Calls the 'done' functions of what is finished. */
void node_deliver_done(struct raft_node *node);
/* At the end of closing: tells all that is outstanding -EIO and frees the queues. */
void node_drain(struct raft_node *node);

/* node_members.c */
/* Each tick: asks libraft for the hand-over once the target has everything. */
void node_transfer_tick(struct raft_node *node);
/* Calls the hand-over's 'done' when it is over. */
void node_deliver_transfer(struct raft_node *node);
/* Each tick: ends a change that libraft has forgotten, notes that a joined node has its log. */
void node_members_tick(struct raft_node *node);
/* Calls the change's 'done' when it is over. */
void node_deliver_change(struct raft_node *node);
/* At the end of closing. */
void node_drain_change(struct raft_node *node);

/* bootstrap.c */
typedef int bootstrap_fn(struct raft *r, const struct raft_configuration *c);
/* Lets libraft write into its directory 'dir', without starting it: 'write' gets the members of 'who' as a
 * configuration of voters. Returns a code of libraft, and its text. */
int bootstrap_write(uv_loop_t *loop, const char *dir, const struct storage_identity *who, bootstrap_fn *write,
                    char text[RAFT_ERRMSG_BUF_SIZE]);

#endif
