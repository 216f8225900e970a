/* One member of the Raft group. The only interface of raft/: nothing outside this folder includes <raft.h>.
 *
 * Everything runs on the loop thread. 'apply', 'restore', 'fatal' and the 'done' functions are called from
 * raft_node_run() only (and, with -EIO, while raft_node_stop() closes), never from inside libraft's own callbacks, so
 * they may call anything here (libraft.md §3.3). 'snapshot' and 'wake' are called from inside libraft: 'snapshot' only
 * reads the state, 'wake' only makes a note, and neither calls anything here. */
#ifndef REGENT_RAFT_NODE_H
#define REGENT_RAFT_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct uv_loop_s;
struct conn;
struct conn_net;
struct raft_node;

enum { RAFT_NODE_MEMBERS_MAX = 7, RAFT_NODE_COMMAND_MAX = 1 << 20, RAFT_NODE_QUEUE_MAX = 1024 };

struct raft_node_member {
    uint64_t id; /* Never 0, never reused. */
    char name[64];
    char address[128]; /* host:port of its manager's listener. */
};

/* The newest snapshot, or a command of the log, committed or not. Borrowed. */
struct raft_node_stored {
    bool is_snapshot;
    uint64_t index;
    const void *data;
    size_t size;
};

struct raft_node_hooks {
    void *arg;
    /* Applies a committed command. 'size' is what was proposed (padding removed). Must be total and deterministic. */
    void (*apply)(void *arg, uint64_t index, const void *data, size_t size);
    /* Gives the whole state as bytes (at least 1), malloc'd; the node frees it. Returns 0; -ENOMEM; -EBUSY not now.
     * Called when all that was committed has been given to 'apply'. */
    int (*snapshot)(void *arg, void **data, size_t *size);
    /* Replaces the state. Returns 0; else the old state is whole and 'e' says why. */
    int (*restore)(void *arg, const void *data, size_t size, struct err *e);
    /* Looks at what is stored, before the node starts; NULL: at nothing. Returns 0; else the start fails with that code
     * and the text in 'e', and all is left as it is. */
    int (*stored)(void *arg, const struct raft_node_stored *stored, struct err *e);
    /* Something changed that raft_node_run() should deal with: the shell makes sure that it is called this turn (or the
     * next, without sleeping in between). Also called within raft_node_start(). */
    void (*wake)(void *arg);
    /* Who was a member and is none any more: their connections and messages are refused. Must be sure: false for an id
     * that is not known. Optional. Only reads. */
    bool (*is_removed)(void *arg, uint64_t id);
    /* Where 'id' listens, when that is known better than by libraft's configuration, which keeps the address with which
     * a member was added. False: use that one. Optional. Only reads. */
    bool (*address_of)(void *arg, uint64_t id, char address[128]);
    /* The node can not go on (corrupt log, disk failure, removed from the group): the process must end with this
     * text. */
    void (*fatal)(void *arg, const char *text);
};

struct raft_node_config {
    const char *data_dir; /* Copied. Its sub-directory raft/ holds log and snapshots. Locked while the node lives. */
    struct conn_net *net; /* Borrowed; connections to the others are made with it. Not needed by the bootstrap. */
    uint64_t id;          /* With TLS, that of the certificate. */
    char address[128];
    uint32_t heartbeat_ms;          /* 0: 100. At least 20. */
    uint32_t election_timeout_ms;   /* 0: 500. At least twice heartbeat_ms. */
    uint32_t snapshot_threshold;    /* Entries; 0: 1024. */
    uint32_t snapshot_trailing;     /* Entries; 0: 2048 (libraft takes 0 for something else). */
};

/* Writes the first configuration into an empty data directory (created when missing), so that raft_node_start() will
 * form the group of 'members' (the same list, names and addresses too, on every first member: it makes the group id).
 * Only data_dir, id and address of 'config' count. Returns 0; -EEXIST when the directory holds a node already or
 * anything else; -EBUSY in use; -EINVAL the list has no such node, or a bad entry; -ENOSPC. Runs a loop of its own. */
int raft_node_bootstrap(const struct raft_node_config *config, const struct raft_node_member *members, unsigned n,
                        const char *group_name, struct err *e) MUST_CHECK;

/* Who a data directory belongs to. */
struct raft_node_identity {
    char group_name[64];
    uint64_t group_id;
    uint64_t generation; /* How often the group was made anew from this node's log (raft_node_recover()). */
    uint64_t id;
    char address[128];
    unsigned members_n;
    struct raft_node_member members[RAFT_NODE_MEMBERS_MAX]; /* As of bootstrap or join. */
};

/* Reads it without a lock. Returns 0; -ENOENT nobody's; -EBADMSG damaged. */
int raft_node_identity(const char *data_dir, struct raft_node_identity *out, struct err *e) MUST_CHECK;

/* Makes an empty data directory (created when missing) that of a node that joined the group of 'identity', whose
 * members contain the node itself. raft_node_start() will then wait for the group's leader. Returns 0; -EEXIST and
 * others as raft_node_bootstrap(). Files named "join..." in it are left alone: they belong to the caller. */
int raft_node_join(const struct raft_node_config *config, const struct raft_node_identity *identity,
                   struct err *e) MUST_CHECK;

/* Makes a group of one voter out of what the node, which does not run, has of its old group: the majority of that is
 * lost for ever. Its log stays, with all that it holds taken for committed; the group id becomes 'group_id' (another
 * one, so that the old members and the new group refuse each other) and the generation one more. A copy of all as it
 * was lies in DATA_DIR/before-recovery-GENERATION then ('backup', at least 900 bytes). Interrupted, the directory is as
 * it was, or refused by raft_node_start() until this is called again. Returns 0; -EBUSY it runs; -EBADMSG its log is
 * damaged, so that it is no survivor; -ENOSPC. Runs a loop of its own. */
int raft_node_recover(const char *data_dir, uint64_t group_id, char *backup, struct err *e) MUST_CHECK;

/* The node, which does not run, will listen at config->address from now on. Returns 0; -EBUSY it runs; -EPERM it is
 * another node. */
int raft_node_move(const struct raft_node_config *config, struct err *e) MUST_CHECK;

/* Opens the data directory, checks that it belongs to this node, and starts. Each failure has one clear text and code
 * in 'e': not bootstrapped (-ENOENT), of another node or certificate (-EPERM), in use (-EBUSY), corrupt (-EBADMSG: wipe
 * and re-add under a new id), disk full (-ENOSPC). Keeps 'loop' and hooks->arg. After a failure (NULL) handles may
 * still be closing: run 'loop' until it is empty before it is closed. What was stored is given to the hooks by the
 * first raft_node_run() (a snapshot) and when a leader tells that it is committed (the log behind it). */
struct raft_node *raft_node_start(struct uv_loop_s *loop, const struct raft_node_config *config,
                                  const struct raft_node_hooks *hooks, struct err *e);

/* Takes over an accepted connection that is ready and speaks FRAME_RAFT (lib/conn.h). It is the node's from now on,
 * whatever happens. */
void raft_node_accept(struct raft_node *node, struct conn *conn);

/* Deals with all that libraft recorded since the last call: calls hooks and 'done' functions. */
void raft_node_run(struct raft_node *node);

/* status 0: applied at 'index'. -ENOTCONN: not leader, certainly not applied. -EIO (leadership lost, shutting down):
 * unknown, propose again with the same request id. -ENOSPC, -EAGAIN (queue full): not applied. */
typedef void raft_node_done_fn(void *arg, int status, uint64_t index);

/* Proposes a command (copied; padded as libraft needs). 'done' runs once, from a later raft_node_run(), after
 * hooks->apply of that index. Returns 0, or -ENOTCONN, -EAGAIN, -E2BIG (over RAFT_NODE_COMMAND_MAX), -EINVAL (size 0)
 * at once (then 'done' never runs). */
int raft_node_propose(struct raft_node *node, const void *data, size_t size, raft_node_done_fn *done,
                      void *arg) MUST_CHECK;

/* A barrier: when 'done' gets 0, this node was leader after the call and has applied all that was committed before it.
 * Barriers asked for while one is under way share the next one. Returns and statuses as for raft_node_propose(). */
int raft_node_barrier(struct raft_node *node, raft_node_done_fn *done, void *arg) MUST_CHECK;

enum raft_node_role { RAFT_NODE_FOLLOWER, RAFT_NODE_CANDIDATE, RAFT_NODE_LEADER, RAFT_NODE_UNAVAILABLE };

struct raft_node_status {
    enum raft_node_role role;
    bool established; /* Leader, and a barrier of this term has been applied: only then it may act. */
    uint64_t id, term, last_index, applied_index;
    uint64_t leader_id; /* 0: unknown. */
    char leader_address[128];
    unsigned members_n;
    /* Current configuration (voters). Names are those of the bootstrap; empty for a member added since. */
    struct raft_node_member members[RAFT_NODE_MEMBERS_MAX];
    bool disk_full; /* No log segment can be prepared: new commands will be refused when the last one is used up. */
};

/* Fills 'out' as of now. Cheap; the loop thread, any time between raft_node_start() and raft_node_stop(). */
void raft_node_status(const struct raft_node *node, struct raft_node_status *out);

/* The part of it that is asked for most: true when this node is leader and established. '*term' is always set. */
bool raft_node_is_established(const struct raft_node *node, uint64_t *term);

/* Asks for an orderly hand-over of leadership to 'id' (0: the voter that answered and has most of the log). 'done' gets
 * 0 when another node is leader (that one, when 'id' was given), -ETIMEDOUT when not, after at most three election
 * timeouts. Proposals get -ENOTCONN meanwhile. Returns 0; -ENOTCONN not leader; -EBUSY one, or a change, is under way;
 * -EINVAL no such voter, or this node itself; -EAGAIN. */
int raft_node_transfer(struct raft_node *node, uint64_t id, raft_node_done_fn *done, void *arg) MUST_CHECK;

enum raft_node_member_role { RAFT_NODE_SPARE, RAFT_NODE_STANDBY, RAFT_NODE_VOTER };

/* A server of the current configuration, also one that is not committed yet. */
struct raft_node_peer {
    uint64_t id;
    enum raft_node_member_role role;
    char address[128];    /* With which it was added. */
    uint64_t match_index; /* Leader: what it has for sure. Else 0. */
    int64_t contact_ms;   /* Since the last message of it came; 0: this node; -1: none came yet. */
};

/* Fills 'out' (RAFT_NODE_MEMBERS_MAX entries) with the whole configuration. Returns how many. '*settled' is true when
 * that configuration is committed and no change is under way. */
unsigned raft_node_peers(const struct raft_node *node, struct raft_node_peer *out, bool *settled);

/* One change of the configuration. ADD: as a spare, to which nothing is sent. STANDBY: gets the log, does not vote;
 * also what demotes a voter. VOTER: a standby that has caught up; libraft waits for that, within bounds. REMOVE. */
enum raft_node_change { RAFT_NODE_ADD, RAFT_NODE_TO_STANDBY, RAFT_NODE_TO_VOTER, RAFT_NODE_REMOVE };

/* Asks for one change; 'address' is for ADD. 'done' gets 0 when it is committed, and with it a barrier behind it, so
 * that each other member sees it committed before it sees the next one (libraft forgets all but the last of two);
 * -ETIMEDOUT: the member does not catch up, nothing was changed; -EIO: unknown, look at raft_node_peers(). Returns 0;
 * -ENOTCONN not an established leader; -EBUSY another change or a transfer is under way; -EINVAL there is no such
 * member, or it is that already, or it is this node (hand over first); -ENOSPC the configuration is full; -EAGAIN. */
int raft_node_change(struct raft_node *node, const struct raft_node_peer *what, enum raft_node_change change,
                     raft_node_done_fn *done, void *arg) MUST_CHECK;

/* Closes everything. Outstanding 'done' functions get -EIO, then 'closed' runs once on the loop when the last handle is
 * gone, the directory is unlocked and 'node' is freed. No hook is called any more. May be called from a hook or a
 * 'done' function; 'node' must not be given to any function after it. */
void raft_node_stop(struct raft_node *node, void (*closed)(void *arg), void *arg);

#endif
