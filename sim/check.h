/* The checkers: what must always be true (DESIGN §2), looked at after every event; what must be true at the end.
 *
 * Cheap and incremental: what an event can have changed is looked at, no more. Each violation is told by world_break()
 * with the rule's number first. */
#ifndef REGENT_SIM_CHECK_H
#define REGENT_SIM_CHECK_H

#include "sim/world.h"

/* After the sites are made. */
struct check *check_new(struct world *world);
void check_free(struct check *check);

/* After each event of the world. */
void check_after_event(struct check *check);
/* A manager applied a command, or restored a snapshot (S4, the invariants of fsm/). */
void check_applied(struct check *check, const struct manager *manager);
/* A command that was made at index 'since' has its answer: it took effect after that, and once (S4). */
void check_answer(struct check *check, const struct manager *manager, uint64_t since, const struct fsm_result *result);
/* The same command was asked twice, and both had an answer (S4). */
void check_repeated(struct check *check, const struct fsm_result *first, const struct fsm_result *again);
/* A client of the site got OK for the row 'id' from server 'server'. */
void check_acked(struct check *check, struct site *site, unsigned server, uint64_t id);
/* A manager's leadership is established: one a term. */
void check_leader(struct check *check, const struct manager *manager);
/* As committed: the master of the site, one of its ackers; FSM_SERVER_NONE: none. */
uint8_t check_master(const struct check *check, const struct site *site);
uint8_t check_acker(const struct check *check, const struct site *site);
/* A person is about to change what commits of the site's master wait for: switches semi-sync off there ('stranger'
 * NULL), or lets 'stranger', no acker, acknowledge. False: no proof rests on it just now; better leave it. */
bool check_meddle(struct check *check, struct site *site, const struct mysqld *stranger);
/* Before the first fault: what was declared is enrolled, and acknowledges as its durability asks for (L1). */
void check_calm(struct check *check);
/* Each second of the liveness phase: L1, L2, L3. */
void check_live(struct check *check);
/* At the end of the liveness phase. */
void check_end(struct check *check);

#endif
