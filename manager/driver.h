/* Leader driver: runs the pure planner for every cluster while this manager leads, and carries out what it says.
 *
 * Reaches the world only through manager/ports.h, manager/observe.h and manager/execute.h. Happy path: something
 * changed (an observation, an outcome, the replicated state) or a wake time passed; plan_step() is asked; its
 * command is proposed, or its verbs go to the executor. Failure modes:
 * - the outcome of a proposal is unknown: the replicated state is read again, the planner decides anew (commands name
 *   the token and step that they end, so one that did commit makes its repetition stale);
 * - this manager is deposed: verbs are cancelled, outcomes forgotten;
 * - the loop stood still for more than a second, or the clock jumped: that round diagnoses and does not act (DESIGN
 *   §4.5).
 * All functions run on the loop thread. */
#ifndef REGENT_MANAGER_DRIVER_H
#define REGENT_MANAGER_DRIVER_H

#include "manager/execute.h"
#include "manager/observe.h"
#include "plan/plan.h"

struct driver;

/* Makes a driver. Borrows all. NULL when memory is out. */
struct driver *driver_new(const struct ports *ports, struct observe *observe, struct execute *execute);
/* No proposal of the driver may be outstanding. */
void driver_free(struct driver *driver);

/* One round over the clusters that are due. */
void driver_run(struct driver *driver);

/* Something about a cluster changed: decide in the next round. */
void driver_poke(struct driver *driver, uint8_t cluster);
void driver_poke_all(struct driver *driver);

/* What the planner said last of a cluster (this manager leads), or NULL. Borrowed until the next round. */
const struct plan_update *driver_update(const struct driver *driver, uint8_t cluster);

/* Fills what plan_step() would get for a cluster now (also on a manager that does not lead: then it holds its own
 * observations only). Borrowed until the next round. False when the cluster is not observed yet. */
bool driver_input(struct driver *driver, uint8_t cluster, struct plan_input *input);

/* The next request id of this process: for commands that others propose through the same consensus. */
struct fsm_request_id driver_request_id(struct driver *driver);

#endif
