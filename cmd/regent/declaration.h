/* A cluster's declaration as the managers give it in JSON: `cluster show` and `state export` print it, `state import`
 * reads it back. */
#ifndef REGENT_CMD_DECLARATION_H
#define REGENT_CMD_DECLARATION_H

#include <jansson.h>
#include <stdbool.h>

#include "fsm/command.h"

/* False when it is no declaration; what it means is judged by the group. */
bool declaration_read(json_t *declaration, struct fsm_cluster_spec *spec);

#endif
