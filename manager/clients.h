/* The client server: connections of `regent` over TCP and the Unix socket.
 *
 * Happy path: a request frame is decoded; reads of the group's state wait for a Raft barrier; manager/answer.c
 * makes the answer, or the command to propose; the answer goes back with the request's id. `events --follow` keeps
 * its connection and is served in each round. Failure modes: not the leader (redirected); the outcome of a proposal
 * is unknown (told so: the client repeats with the same request id); bytes that are no request (answered with
 * CLIENT_USAGE, closed); a certificate that does not allow it (answered with CLIENT_REFUSED); silence for
 * CLIENTS_IDLE_MS (closed); more than CLIENTS_MAX connections (the newest is refused); the client goes away while its
 * request runs (the answer is dropped). Loop thread only. */
#ifndef REGENT_MANAGER_CLIENTS_H
#define REGENT_MANAGER_CLIENTS_H

#include "manager/answer.h"
#include "manager/consensus.h"

struct conn;
struct clients;

enum { CLIENTS_MAX = 256, CLIENTS_IDLE_MS = 60000 };

struct clients_hooks {
    void *arg;
    /* Fills what the answers are made from, as of now; borrowed until the next round. */
    void (*world)(void *arg, struct answer_world *world);
};

/* Borrows 'consensus'; copies 'hooks'. NULL when memory is out. */
struct clients *clients_new(struct consensus *consensus, const struct clients_hooks *hooks);
/* Takes an accepted connection that speaks FRAME_CLIENT. */
void clients_accept(struct clients *clients, struct conn *conn);
/* Once a round: serves those that follow events. */
void clients_run(struct clients *clients);
/* Closes all connections. */
void clients_stop(struct clients *clients);
/* After the loop has closed all connections and the consensus has ended all proposals. */
void clients_free(struct clients *clients);

#endif
