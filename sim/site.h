/* A cluster of simulated servers and its clients, and what an operator does with it. */
#ifndef REGENT_SIM_SITE_H
#define REGENT_SIM_SITE_H

#include "sim/world.h"

/* Draws the cluster's size and policies; its servers replicate as an operator has set them up, and run. */
void site_init(struct site *site, struct world *world, unsigned index);
void site_free(struct site *site);
/* The operator declares it (regent cluster add), again and again until a leader has taken it; clients begin to
 * write. */
void site_start(struct site *site);
/* Index of the server that lives on 'node', or FSM_SERVER_NONE. */
uint8_t site_server_at(const struct site *site, sim_node node);

#endif
