/* Which manager a plan would be better off with as leader. PURE.
 *
 * Verbs are performed by the leader. One that cannot reach a server that a running plan needs can only wait, while
 * another manager may see it well. DESIGN §4.6. */
#ifndef REGENT_PLAN_HAND_OVER_H
#define REGENT_PLAN_HAND_OVER_H

#include "fsm/state.h"
#include "plan/view.h"

#define HAND_OVER_NONE ((uint8_t)0xff)

/* The place in view->managers of a voter that reaches all servers that the running plan of 'cluster' needs, when this
 * manager has not reached one of them for the cluster's timeout; else HAND_OVER_NONE. */
uint8_t plan_hand_over(const struct fsm_state *state, uint8_t cluster, const struct view *view);

#endif
