/* Which manager a plan would be better off with as leader. PURE.
 *
 * Verbs are performed by the leader. One that cannot reach a server that a running plan needs can only wait, while
 * another manager may see it well. DESIGN §4.6. */
#ifndef REGENT_PLAN_HAND_OVER_H
#define REGENT_PLAN_HAND_OVER_H

#include "fsm/state.h"
#include "plan/plan.h"
#include "plan/view.h"

#define HAND_OVER_NONE ((uint8_t)0xff)

/* True when the running plan of 'cluster' needs a server that this manager reaches, and that the one at place 'to' of
 * its view does not: it would have to wait there, or two plans would send the leadership to and fro. */
bool plan_hand_over_hurts(const struct fsm_state *state, uint8_t cluster, const struct view *view, uint8_t to);

/* The place in view->managers of a voter with which the running plan of 'cluster' would be better off, else
 * HAND_OVER_NONE. '*is_urgent' is set when that one reaches all servers that the plan needs, and this manager has not
 * reached one of them for the cluster's timeout. Not urgent is, and should be so for a while before it is acted upon:
 * - a plan of a lossless cluster that is to have an acker: a voter that reaches more of those who could be it;
 * - without a plan, where one is due (a verdict that acts, an unfinished failover, a server that is open beside the
 *   master), and may be under way to its commit: a voter that reaches more of the servers that it would begin with.
 * Both reach all that this manager reaches of them, so that no two hand over to each other for ever. */
uint8_t plan_hand_over(const struct fsm_state *state, uint8_t cluster, const struct view *view, bool *is_urgent);

/* The place of a voter that would begin a failover of the cluster, by what it sees of the servers, where this manager
 * cannot: each of the two may reach a server that the other one does not. HAND_OVER_NONE: there is none, or this one
 * begins itself. For a while before it is acted upon, as above. Both others are room to work in: their content is
 * undefined before and after. */
uint8_t plan_hand_over_to_begin(const struct plan_input *in, struct view *scratch, struct plan_update *update);

#endif
