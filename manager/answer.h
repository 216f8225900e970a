/* From a client's request to its answer: all of the client server's thinking, none of its sockets.
 *
 * The shell (manager/clients.c) decodes a request, asks answer_request(), and does what it says:
 *   ANSWER_NOW      send '*answer' (encode, client_answer_fini).
 *   ANSWER_PROPOSE  propose '*command' through the leader's path (its id is the request's: a repeated request gets the
 *                   first result again); then answer_result() makes the answer from what came of it.
 *   ANSWER_FOLLOW   send '*answer' (code CLIENT_MORE) and keep the connection: at once, and whenever state->index
 *                   grew, call answer_events_since() with the number that it gave last and send what it fills, until it
 *                   returns false. When the node stops being an established leader send answer_not_leader() and close.
 *   ANSWER_TRANSFER raft_node_transfer() to '*next_index' (0: whoever); then answer_transferred().
 * Every answer made here fits into one frame.
 * Before a read that must be the group's (every op but VERSION, and not request.stale_ok), an established leader asks
 * for a barrier (raft_node_barrier), and calls answer_request() when it is done; if it fails: answer_not_leader().
 * Nothing here blocks, proposes or keeps a pointer. */
#ifndef REGENT_MANAGER_ANSWER_H
#define REGENT_MANAGER_ANSWER_H

#include "manager/report.h"
#include "plan/plan.h"
#include "proto/client.h"

struct answer_world {
    const struct fsm_state *state;
    const struct report_node *node;
    struct wall wall;
    void *ctx;
    /* Fills the input that plan_step() would get for cluster slot 'cluster' (view, outcomes, ...), and '*next' (may be
     * left NULL): the driver's last plan_update.why, borrowed. Returns false when nothing has been seen of it yet. */
    bool (*plan_input)(void *ctx, uint8_t cluster, struct plan_input *out, const char **next);
};

enum answer_kind { ANSWER_NOW = 0, ANSWER_PROPOSE, ANSWER_FOLLOW, ANSWER_TRANSFER };

/* True when the request needs a barrier before answer_request() on an established leader. */
bool answer_needs_barrier(const struct client_request *request);

/* '*answer' is initialised here, always; '*command' only for ANSWER_PROPOSE. '*next_index' (ANSWER_FOLLOW) is what
 * answer_events_since() wants. Not an established leader: CLIENT_REDIRECT with the leader's address, or
 * CLIENT_NO_LEADER with a text, unless request->stale_ok allows an answer from this node's memory (code
 * CLIENT_NO_LEADER, JSON with "stale": true). */
enum answer_kind answer_request(const struct answer_world *world, const struct client_request *request,
                                struct fsm_command *command, struct client_answer *answer, uint64_t *next_index);

/* The answer to a proposed request. 'status' as port_proposed_fn: 0 and '*result', or negative: -ENOTCONN (not leader,
 * not applied: redirect), -EAGAIN and -ENOSPC (not applied), others: outcome unknown. Codes: refused by a rule (UNSAFE,
 * BUSY, STALE) 5, other refusals 1. */
void answer_result(const struct answer_world *world, const struct client_request *request, int status,
                   const struct fsm_result *result, struct client_answer *answer);

/* The answer to a hand-over: 'status' as raft_node_transfer() returned it or told it. */
void answer_transferred(const struct answer_world *world, const struct client_request *request, int status,
                        struct client_answer *answer);

/* Events at index '*next_index' and later, of request->cluster or of all: fills '*answer' (CLIENT_MORE) and moves
 * '*next_index' on. Returns false, and fills nothing, when there is none. Bounded: when more are there than fit into
 * one answer, the rest comes with the next call ("more": true in the JSON). */
bool answer_events_since(const struct answer_world *world, const struct client_request *request, uint64_t *next_index,
                         struct client_answer *answer);

/* CLIENT_REDIRECT to the known leader, else CLIENT_NO_LEADER. */
void answer_not_leader(const struct answer_world *world, struct client_answer *answer);

#endif
