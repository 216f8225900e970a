/* Choices: who is promoted, who acknowledges for it, and whether A4 can be proven at all. PURE. Private to plan/. */
#ifndef REGENT_PLAN_CHOOSE_H
#define REGENT_PLAN_CHOOSE_H

#include "plan/work.h"

/* Why 'server' cannot be promoted: a static text, or NULL when it can. */
const char *choose_problem(const struct work *w, uint8_t server);

/* The best server of 'among' to promote: 'prefer' when it can be, else an acker before others, then who has received
 * most. FSM_SERVER_NONE when none can. */
uint8_t choose_candidate(const struct work *w, uint8_t prefer, fsm_set among);

/* The best acker for a reign of 'to', not one of 'except' (nor the master that is replaced): who has received most.
 * FSM_SERVER_NONE when there is none. */
uint8_t choose_acker(const struct work *w, uint8_t to, fsm_set except);

/* Received whole transactions of 'server' by the newest view: relay log, or executed without a channel. "" unknown. */
const char *choose_received(const struct work *w, uint8_t server);

/* Servers to which the leader has a working connection and which are the ones that were enrolled. */
fsm_set choose_reached(const struct work *w);

/* True when enough of the reign's ackers are in 'revoked' and revocation proves something for it (F1: A3, A7). */
bool choose_acks_revoked(const struct fsm_cluster *cluster, const struct fsm_reign *reign, fsm_set revoked);

/* True when the old master, once it is closed (F2), accounts by itself for all that it acknowledged in 'reign' (A4):
 * it lost nothing in a crash. For a reign that was not lossless there is nothing better. */
bool choose_master_proves(const struct work *w, const struct fsm_reign *reign);

/* The ackers of all listed reigns (A8). */
fsm_set choose_ackers(const struct fsm_cluster *cluster);

/* Tells whether the end of every listed reign could be proven with the servers that the leader reaches now, if 'to' is
 * promoted. If not, says in 't' which server to bring back. */
bool choose_is_provable(const struct work *w, uint8_t to, struct text *t);

#endif
