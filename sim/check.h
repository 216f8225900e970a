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
/* A client of the site got OK for the row 'id' from server 'server'. */
void check_acked(struct check *check, struct site *site, unsigned server, uint64_t id);
/* A manager's leadership is established: one a term. */
void check_leader(struct check *check, const struct manager *manager);
/* As committed: the master of the site, one of its ackers; FSM_SERVER_NONE: none. */
uint8_t check_master(const struct check *check, const struct site *site);
uint8_t check_acker(const struct check *check, const struct site *site);
/* Each second of the liveness phase: L1, L2, L3. */
void check_live(struct check *check);
/* At the end of the liveness phase. */
void check_end(struct check *check);

#endif
