/* Fail-stop around libraft's disk back end.
 *
 * libraft 0.22.1 goes on when its disk does not: a term or vote that was not written counts in memory (after a restart
 * this node could vote twice), errors of ticks and received messages are dropped, and a failed log write is retried by
 * a timer with the wrong argument (uv_append.c: memory corruption after disk_retry). So each method of raft_io goes
 * through here: the first failure stops the node: nothing goes in or out any more, and the process ends with the text.
 *
 * It keeps the seal (seal.h): a vote is in it before it is sent, the log's end before it is acknowledged. And it writes
 * a term once: libraft sets it before each vote anew, and raft_uv writes "no vote" with it, so that a crash just then
 * would lose the vote that was given in that term before (the seal would tell, and the node could not start any more).
 *
 * It also drops an InstallSnapshot that comes while a snapshot is being taken (legacy.c takeSnapshotCb would follow a
 * null pointer) or installed (libraft would leak it); the leader sends it again.
 *
 * It cuts a received batch of entries before each configuration in it: libraft notes the index of the batch's first new
 * entry for every configuration (replication.c, replicationAppend), so it would never take that one for committed,
 * never allow another change, and put a stale configuration into its snapshots. The leader sends the rest again.
 *
 * It answers AppendEntries and InstallSnapshot of an older term itself: libraft's answer carries a last_log_index (and,
 * to a snapshot, rejected = 0) that was never set. A leader that meanwhile leads in the answer's term would take that
 * garbage for what this node has stored, and could commit by it (fixed in libraft after 0.22.1: e0928710).
 *
 * It drops votes that come when this node is no candidate any more: libraft then looks at candidate_state.in_pre_vote,
 * which shares its memory with follower_state (a pointer), and by what happens to be there a late answer to a pre-vote,
 * whose term is the next one, bumps the term and so deposes a healthy leader.
 *
 * It notes that this node leads when libraft forgot to: a member with a full disk that is elected gets "no space" for
 * the barrier that libraft submits then, and libraft leaves with that error before it has noted the new state. When
 * such a leader steps down, its pending requests are not ended: they stay, and the first entry of another leader at
 * their index ends them with success, an OK for a command that is not in the log (convert.c, legacy.c; the simulator's
 * seed 837).
 *
 * And it keeps time better than libraft does; safety does not rest on any of this.
 * - Commands after an idle time: at a tick, libraft takes a peer that did not answer since the last tick for lost,
 *   sends it entries only once per heartbeat from then on, and sends no heartbeat when it sent an entry just before. A
 *   quarter of all single commands took up to 100 ms (measured). Here a leader's tick always sends a heartbeat.
 * - Elections: libraft looks at its timer only once per heartbeat, and a follower refuses votes until its own random
 *   timeout has run out: the longer of two timeouts. Here non-leaders look every GUARD_TICK_MS, and a vote is not
 *   refused for a leader that was silent for the election timeout less one heartbeat (Raft thesis 9.6: the baseline
 *   timeout).
 * - Elections after a partition: guard_tell_term(). */
#ifndef REGENT_RAFT_GUARD_H
#define REGENT_RAFT_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "raft/compat.h"
#include "raft/seal.h"

enum { GUARD_TICK_MS = 20, GUARD_PEERS_MAX = 16 };

/* When the last message of a peer came. */
struct guard_contact {
    raft_id id; /* 0: unused. */
    raft_time at;
};

struct guard {
    struct raft_io io;    /* What libraft uses. */
    struct raft_io inner; /* The methods of raft_uv. */
    struct raft *raft;
    struct seal seal;
    uint64_t append_next; /* Index of the next entry that is appended. */
    unsigned cuts;        /* Counts truncations and installed snapshots: appends from before raise no seal. */
    struct raft_tracer tracer;
    raft_io_tick_cb tick;
    unsigned ticks, heartbeat_ms;
    raft_io_recv_cb recv;
    struct raft_io_snapshot_put put;      /* Ours, in place of put_req: at most one snapshot is written at a time. */
    struct raft_io_snapshot_put *put_req; /* libraft's. */
    uint64_t install_index, install_term; /* Of a leader's snapshot that is being written; 0: none is. */
    bool closing;
    bool failed;              /* Loop thread: nothing goes in or out. */
    atomic_bool trace_claimed;
    atomic_bool trace_failed; /* Set by the tracer, maybe on a worker thread, after trace_text. */
    char text[300];           /* The first failure. */
    char trace_text[200];
    struct guard_contact contacts[GUARD_PEERS_MAX];
    void *arg;
    bool (*is_removed)(void *arg, uint64_t id); /* Messages of these are dropped. NULL: none. */
    void (*on_tick)(void *arg); /* Each GUARD_TICK_MS, also when failed; only records and wakes. */
};

/* Wraps g->io between raft_uv_init() and raft_init(); g->seal is open. 'g' must stay until libraft is closed. libraft's
 * own heartbeat timeout must be set to GUARD_TICK_MS: it is the least time between two messages to a peer that is taken
 * for lost. */
void guard_wrap(struct guard *g, struct raft *raft, unsigned heartbeat_ms);

/* The connection to a peer has ended: makes libraft drop it and connect anew for its next message, and, when the peer
 * is our leader, brings the next election near: the first remaining voter at once, each further one three ticks later,
 * so that they do not split the vote. With pre-vote a false alarm changes nothing: the others, who hear the leader,
 * refuse. */
void guard_peer_lost(struct guard *g, raft_id id);

/* Milliseconds since the last message of 'id' came; -1: none came yet. */
int64_t guard_contact_ms(struct guard *g, raft_id id);

/* Makes libraft close its connection to a peer and connect anew for its next message. */
void guard_drop_connection(struct guard *g, raft_id id);

/* A vote that comes when 'r' is no candidate any more: it must not reach libraft (see above). Borrows both. */
bool guard_is_late_vote(struct raft *r, const struct raft_message *message);

/* Called when libraft has handled a message: see above. True when the state had to be noted. */
bool guard_note_lead(struct raft *r);

/* What to send in place of 'message': itself, or '*copy' (the caller's), where a refused pre-vote names our term.
 * libraft answers a pre-vote with the term of the request, so a member that is two or more terms behind never learns
 * of it. When it is the one with the longer log, the others cannot win without it, nor it without them: a majority runs
 * and nobody leads, for ever (recv_request_vote.c; tests/unit/test_raft_safety.c plays it). Borrows all. */
const struct raft_message *guard_tell_term(const struct raft *r, const struct raft_message *message,
                                           struct raft_message *copy);

/* True when the disk failed; g->text says how. Loop thread. */
bool guard_failed(struct guard *g);

/* Call it right before raft_close(): from now on cancelled writes are no failures. */
void guard_closing(struct guard *g);

#endif
