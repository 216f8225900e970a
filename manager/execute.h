/* Executor: performs the verbs that a committed plan step asks for, one at a time on each server.
 *
 * Reaches the world only through manager/ports.h. The statements are written and judged by mysql/verb.c; this file
 * carries them to the server and back. Happy path: execute_verb() prepares a run, execute_run() sends its statement,
 * the answer is judged, the next is sent, until the outcome is complete; the driver reads it. Failure modes:
 * - the session is lost, or the verb's deadline passes, after something was sent: outcome UNKNOWN, session dropped;
 * - the server cannot be reached: FAILED, nothing was sent; asked again, it is tried again after a short, growing
 *   pause;
 * - the verb asked for is not the one that runs (the plan went on, a new leader's plan): the old one is cancelled.
 * All functions run on the loop thread. */
#ifndef REGENT_MANAGER_EXECUTE_H
#define REGENT_MANAGER_EXECUTE_H

#include "manager/ports.h"
#include "plan/verb.h"

struct execute;

/* Called with the index of a cluster when a verb's outcome is complete. */
typedef void execute_changed_fn(void *arg, uint8_t cluster);

/* Makes an executor. Borrows 'ports' for its life. NULL when memory is out. */
struct execute *execute_new(const struct ports *ports, execute_changed_fn *changed, void *arg);
/* No verb may run any more (execute_cancel_all() and the answers that it brings come first). */
void execute_free(struct execute *execute);

/* Asks for a verb. Ignored when the same verb (kind, token, step, source) runs, is done, or failed a moment ago. */
void execute_verb(struct execute *execute, const struct verb *verb);

/* One round: sends what is due, gives up what is over its deadline, asks to be woken. */
void execute_run(struct execute *execute);

/* The idle control session with a server ended, and the user lock with it. */
void execute_hangup(struct execute *execute, uint8_t cluster, uint8_t server);

/* This manager does not lead any more, or its plan ended: stop everything and forget all outcomes. A statement that is
 * on its way may still act, until the next leader takes the server's control session (S3). */
void execute_cancel_all(struct execute *execute);

/* Outcomes of a cluster's servers with ages as of now: [FSM_SERVERS_MAX]; borrowed until the next call. */
const struct verb_outcome *execute_outcomes(struct execute *execute, uint8_t cluster);

#endif
