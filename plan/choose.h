/* Choices: who is promoted, who acknowledges for it, and whether A4 can be proven at all. PURE. Private to plan/. */
#ifndef REGENT_PLAN_CHOOSE_H
#define REGENT_PLAN_CHOOSE_H

#include "plan/work.h"

/* Why 'server' cannot be promoted: a static text, or NULL when it can. */
const char *choose_problem(const struct work *w, uint8_t server);

/* The best server of 'among' to promote: 'prefer' when it can be, else an acker before others, then who has received
 * most. FSM_SERVER_NONE when none can. */
uint8_t choose_candidate(const struct work *w, uint8_t prefer, fsm_set among);

/* The verdict on 'server' as if it were the master already, of the reign of 'epoch'. */
enum diagnosis_row choose_row(const struct work *w, uint8_t server, uint64_t epoch);

/* A candidate of an earlier plan that failed when it may have been opened, and that is not known to be gone or closed:
 * it may commit its clients' writes, so a failover goes on with it and nobody else is promoted over it (S6).
 * FSM_SERVER_NONE: there is none. */
uint8_t choose_open(const struct work *w);

/* True when 'server' is the master of a listed reign other than the current one, or of one that the running plan took
 * off the list: it was promoted before, and has transactions of its own. */
bool choose_was_promoted(const struct work *w, uint8_t server);

/* Ackers of reigns that an operator gave up, also by the running plan: they may still acknowledge for these, so they
 * are used only by a plan that has revoked them. */
fsm_set choose_unfenced(const struct work *w);

/* The best acker for a reign of 'to', not one of 'except' (nor the master that is replaced): who has received most.
 * FSM_SERVER_NONE when there is none. */
uint8_t choose_acker(const struct work *w, uint8_t to, fsm_set except);

/* Received whole transactions of 'server' by the newest view: relay log, or executed without a channel. "" unknown. */
const char *choose_received(const struct work *w, uint8_t server);

/* Servers to which the leader has a working connection and which are the ones that were enrolled. */
fsm_set choose_reached(const struct work *w);

/* True when the old master, once it is closed (F2), accounts by itself for all that it acknowledged in 'reign' (A4):
 * it lost nothing in a crash. For a reign that was not lossless there is nothing better. */
bool choose_master_proves(const struct work *w, const struct fsm_reign *reign);

/* True when 'position' ends with a transaction that no master of a listed reign wrote, and that is younger than the
 * proof of the current one: somebody wrote it on a replica. One number a domain: it may hide an acknowledged one. */
bool choose_is_errant(const struct work *w, const char *position);

/* The ackers of all listed reigns (A8). */
fsm_set choose_ackers(const struct fsm_cluster *cluster);

/* True when enough ackers of every listed reign to end it (A3) are reached, and were read a moment ago: they are among
 * the followers that a verdict on the master has asked. */
bool choose_reads_ackers(const struct work *w);

/* Tells whether the end of every listed reign could be proven with the servers that the leader reaches now, if 'to' is
 * promoted; 'may_close': closing the current master counts as a proof (F2); without it, only what its ackers said a
 * moment ago. If not, says in 't' which server to bring back. */
bool choose_is_provable(const struct work *w, uint8_t to, bool may_close, struct text *t);

#endif
