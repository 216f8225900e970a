/* The shell of regentd: joins loop, consensus, sessions, observer, driver, executor and the servers of sockets.
 *
 * One round runs the modules in a fixed order (DESIGN §4.5): raft -> observe -> driver -> execute -> clients.
 * Callbacks of libuv only record and wake; a round follows in the same turn of the loop. Failure modes: start-up
 * errors have one text each; a fatal error of the log ends the process; SIGINT and SIGTERM end it in order. */
#ifndef REGENT_MANAGER_SHELL_H
#define REGENT_MANAGER_SHELL_H

#include "lib/base/err.h"
#include "manager/config.h"

/* Runs the manager of 'config' until it is told to stop. Returns 0, or negative errno with the operator's text. */
int shell_run(const struct config *config, struct err *e) MUST_CHECK;

/* Initialises the empty data directory of this node for the group of 'config'. */
int shell_bootstrap(const struct config *config, struct err *e) MUST_CHECK;

#endif
