/* Exchange of observations: each manager that does not lead keeps one connection to the leader and pushes what it sees.
 *
 * Happy path: a leader is known, the connection stands, peers_push() sends one frame a change. With TLS, who answers
 * must be the leader by its certificate, and who sends must be who it says has seen it. Failure modes: no leader; the
 * connection ends (tried again after PEERS_RETRY_MS, longer each time; observations are best effort, the newest wins);
 * the leader does not take what it is sent (frames are left out); a frame that does not decode (connection closed,
 * logged). Loop thread only. */
#ifndef REGENT_MANAGER_PEERS_H
#define REGENT_MANAGER_PEERS_H

#include "lib/frame.h"
#include "manager/agreement.h"
#include "manager/ports.h"
#include "proto/convert.h"
#include "proto/hello.h"
#include "raft/node.h"

struct conn;
struct conn_net;
struct peers;

enum {
    PEERS_RETRY_MS = 100,
    PEERS_FRAME_OBSERVATION = 1,
    PEERS_FRAME_DIGEST = 2,
    PEERS_FRAME_HELLO = 3,
    PEERS_INCOMING_MAX = 32,
    PEERS_QUEUE_MAX = 256 << 10,
};

struct peers_hooks {
    void *arg;
    void (*received)(void *arg, const struct proto_observation *observation);
    /* Member 'id' told the digest of its state (agreement.h). */
    void (*digest)(void *arg, uint64_t id, const struct agreement_digest *digest);
    /* A connection to a leader stands: push everything. */
    void (*connected)(void *arg);
};

/* Copies 'hooks'; borrows 'net'. NULL when memory is out. */
struct peers *peers_new(struct conn_net *net, const char *self_name, const struct peers_hooks *hooks);
/* Follows the leader: connects to it, or drops the connection to another one. Called once a round. */
void peers_run(struct peers *peers, const struct raft_node_status *status);
/* Sends this manager's observations of a cluster; nothing happens without a leader or when this one leads. */
void peers_push(struct peers *peers, const struct fsm_cluster *cluster, const struct view_manager *mine);
/* Tells the leader the digest of this manager's state. False: nothing was sent. */
bool peers_tell_digest(struct peers *peers, const struct agreement_digest *digest);
/* The body of a PEERS_FRAME_DIGEST of 'size' bytes. False: it is none, and nothing is filled in. */
bool peers_digest_decode(const uint8_t *body, size_t size, uint64_t *id, struct agreement_digest *out);
/* What the managers that are connected now said of themselves; at most 'max'. Returns how many. Only a leader has
 * any. */
unsigned peers_hellos(const struct peers *peers, struct hello *out, unsigned max);
/* Takes an accepted connection that speaks FRAME_PEER. */
void peers_accept(struct peers *peers, struct conn *conn);
/* Closes everything; memory is freed on the loop. */
void peers_stop(struct peers *peers);

#endif
