/* Clients of a cluster: each writes a row, waits for the OK, thinks, and writes the next; when its server does not take
 * it, it looks for another. What was acknowledged is told to the checkers. */
#ifndef REGENT_SIM_CLIENT_H
#define REGENT_SIM_CLIENT_H

#include "sim/world.h"

struct client;

/* Adds the client's node, and boots it. It writes as soon as client_start() is called. */
struct client *client_new(struct site *site, unsigned index);
void client_free(struct client *client);
void client_start(struct client *client);

#endif
