/* The replicated state, between raft/ (bytes) and fsm/ (meaning): fills ports.consensus.
 *
 * Happy path: a command is encoded and proposed; when it is committed, raft/ calls back with its bytes, they are
 * decoded and applied, the result is kept for the proposer, whose callback runs in the same round. Failure modes:
 * leadership lost (-EIO, outcome unknown); a command of a newer version is refused by code, never guessed; bytes
 * that do not decode mean that the log is corrupt: the process ends with a text; so it does when the group is raised to
 * a version that this program does not speak. Loop thread only. */
#ifndef REGENT_MANAGER_CONSENSUS_H
#define REGENT_MANAGER_CONSENSUS_H

#include "manager/agreement.h"
#include "manager/ports.h"
#include "raft/node.h"

struct consensus;

struct consensus_hooks {
    void *arg;
    void (*applied)(void *arg); /* The replicated state changed. */
    void (*wake)(void *arg);
    void (*fatal)(void *arg, const char *text);
};

/* Makes the state and starts the node. Copies 'hooks'. NULL with the operator's text in 'e'. */
struct consensus *consensus_start(struct uv_loop_s *loop, const struct raft_node_config *config,
                                  const struct consensus_hooks *hooks, struct err *e);
struct raft_node *consensus_node(struct consensus *consensus);
const struct fsm_state *consensus_state(const struct consensus *consensus);
/* As ports.consensus.propose. */
int consensus_propose(struct consensus *consensus, const struct fsm_command *command, port_proposed_fn *done,
                      void *arg) MUST_CHECK;
/* True while this manager is leader and has applied a barrier of its term. */
bool consensus_is_established(const struct consensus *consensus, uint64_t *term);
/* Once a round, behind raft_node_run(): the leader puts the digest that a majority has through the log. */
void consensus_run(struct consensus *consensus);
/* The newest digest of this manager's state that the leader should be told; false: none. */
bool consensus_digest(const struct consensus *consensus, struct agreement_digest *out);
/* Member 'id' told this manager, as the leader, its digest. */
void consensus_report(struct consensus *consensus, uint64_t id, const struct agreement_digest *digest);
/* Stops the node; 'closed' runs on the loop; then consensus_free(). */
void consensus_stop(struct consensus *consensus, void (*closed)(void *arg), void *arg);
void consensus_free(struct consensus *consensus);

#endif
