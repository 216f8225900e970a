/* A leader that cannot reach what a plan needs, a running one or one that is due, hands over to a manager that can,
 * also in the middle of a plan; and one that cannot begin a failover to a manager that would.
 *
 * Happy path: plan_hand_over() or plan_hand_over_to_begin() names a manager, the hand-over is asked for, and the
 * next leader carries the plan on, or begins it. Failure modes: that manager does not take over (tried again after
 * the pause); it reaches the servers no more by then (the same rule applies to it); two clusters need two leaders,
 * or a plan that only this one could carry on never ends (by turns). At most once per HAND_OVER_PAUSE_MS. Loop
 * thread only. */
#ifndef REGENT_MANAGER_HAND_OVER_H
#define REGENT_MANAGER_HAND_OVER_H

#include "manager/consensus.h"
#include "manager/driver.h"
#include "manager/observe.h"

enum {
    HAND_OVER_PAUSE_MS = 10000,
    HAND_OVER_DUE_MS = 2000, /* For so long another manager must be better placed, where this one can go on. */
    HAND_OVER_LOOK_MS = 500, /* How often it is looked who would begin. */
    HAND_OVER_LED_MS = 6000, /* For so long who came to lead tries first what it can do itself. */
    HAND_OVER_TURN_MS = 15000, /* For so long the plan of another cluster, which would wait there, goes first. */
};

struct hand_over;

/* Borrows all. NULL when memory is out. */
struct hand_over *hand_over_new(struct consensus *consensus, struct observe *observe, struct driver *driver);
/* Once a round of an established leader. */
void hand_over_run(struct hand_over *hand_over);
/* After the node has ended. */
void hand_over_free(struct hand_over *hand_over);

#endif
