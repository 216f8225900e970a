/* The first command of a group that was made anew from one survivor (raft_node_recover()): CMD_RECOVERED.
 *
 * Happy path: the survivor leads its group of one, its data directory is one generation ahead of the replicated state,
 * so it proposes the command; until that is applied it counts as not established, and nobody acts (no driver, no
 * client). Failure modes: the proposal is lost or not taken: it is proposed again under the same id. Members that join
 * later have the generation of the state. Loop thread only. */
#ifndef REGENT_MANAGER_RECOVERY_H
#define REGENT_MANAGER_RECOVERY_H

#include "manager/consensus.h"

struct recovery {
    struct raft_node_identity *who; /* Borrowed. */
    struct consensus *consensus;    /* Borrowed. */
    struct fsm_request_id id;
    bool busy;
};

/* Borrows both for the life of '*r'. */
void recovery_init(struct recovery *r, struct consensus *consensus, struct raft_node_identity *who);

/* True when the replicated state knows of every recovery of this data directory. */
bool recovery_is_done(const struct recovery *r);

/* Once a round; 'leads': this node is leader with a barrier of its term applied. */
void recovery_run(struct recovery *r, bool leads);

#endif
