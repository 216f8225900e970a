/* Faults. Each seed has its own mix: every kind of fault is in it or not, and comes at a rate of its own. */
#ifndef REGENT_SIM_NEMESIS_H
#define REGENT_SIM_NEMESIS_H

#include "sim/world.h"

/* Draws the mix. Never NULL. */
struct nemesis *nemesis_new(struct world *world);
/* After the world's end. */
void nemesis_free(struct nemesis *nemesis);
/* The safety phase begins: faults come, and some go. */
void nemesis_start(struct nemesis *nemesis);
/* A leader has proposed a failover: it may be committed much later, by another one. */
void nemesis_propose(struct nemesis *nemesis, struct manager *leader);
/* A failover begins: the next blow may come while it runs. */
void nemesis_strike(struct nemesis *nemesis, const struct site *site);
/* A step of a failover is committed: whoever takes part in it may be hit. */
void nemesis_step(struct nemesis *nemesis, struct site *site, const struct fsm_plan *plan);
/* No fault comes any more, and none goes; a random core is healed: a majority of the managers, and of each cluster any
 * set of servers. The rest stays broken. Fills world->core. (sim/nemesis_core.c) */
void nemesis_heal(struct nemesis *nemesis);

#endif
