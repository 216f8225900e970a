/* Reading a view: which observation to believe, and how old it may be. PURE. Private to plan/. */
#ifndef REGENT_PLAN_SIGHT_H
#define REGENT_PLAN_SIGHT_H

#include "plan/view.h"

/* How many of the configured managers are a majority. */
unsigned sight_majority(const struct view *view);

/* The oldest attempt, in milliseconds, that still tells something of a server of 'cluster': two probes and a little,
 * and never less than the cluster's timeout. */
int64_t sight_fresh_ms(const struct fsm_cluster *cluster);

/* The manager's newest attempt is recent and: brought facts; or got no answer of any kind. */
bool sight_ok(const struct fsm_cluster *cluster, const struct view_observation *o);
bool sight_fails(const struct fsm_cluster *cluster, const struct view_observation *o);

/* How long ago the question of the newest attempt was sent; INT64_MAX: never. The server answered it at some moment
 * between then and age_ms ago, so age_ms tells that something is recent, and this that it is not too old. */
int64_t sight_asked_ms(const struct view_observation *o);
/* What 'o' tells was read after what happened 'since_ms' ago (a verb ended, a step began): it was asked later than
 * that. In the same millisecond is not after it. */
bool sight_is_after(const struct view_observation *o, int64_t since_ms);
/* Some recent answer of a server of 'cluster' may have been read before what happened 'since_ms' ago. */
bool sight_has_older(const struct fsm_cluster *cluster, const struct view *view, int64_t since_ms);

/* True for the leader itself and for every manager whose observations are valid. */
bool sight_heard(const struct view *view, uint8_t manager);

/* What the leader itself sees of 'server'. Verbs are performed by the leader, so reaching a server means this. */
const struct view_observation *sight_self(const struct view *view, uint8_t server);
/* True when the leader's newest attempt at 'server' brought facts. */
bool sight_reached(const struct fsm_cluster *cluster, const struct view *view, uint8_t server);

/* The newest observation with facts that any heard manager has of 'server', or NULL when none is recent: the one that
 * was answered last; or the one that was asked last, of which most is known to have been read after. */
const struct view_observation *sight_best(const struct fsm_cluster *cluster, const struct view *view, uint8_t server);
const struct view_observation *sight_asked_last(const struct fsm_cluster *cluster, const struct view *view,
                                                uint8_t server);

/* True when a heard manager failed to reach 'server' within the last 'within_ms'. */
bool sight_failed_within(const struct fsm_cluster *cluster, const struct view *view, uint8_t server, int64_t within_ms);

/* True when 'facts' carry the identity of another server than the one enrolled as 'server'. None at all is no proof. */
bool sight_is_foreign(const struct fsm_cluster *cluster, uint8_t server, const struct view_facts *facts);

/* The channel of a server with these 'facts' that comes from the server with 'address' (host:port) and 'server_id' (0:
 * unknown), or NULL. Server ids decide where both are known; before the first connection only the address is. */
const struct view_channel *sight_channel(const struct view_facts *facts, const char *address, uint32_t server_id);
/* The same for a server of 'cluster'. */
const struct view_channel *sight_channel_from(const struct fsm_cluster *cluster, const struct view_facts *facts,
                                              uint8_t source);

/* Splits "host:port" ("[v6]:port" too). Returns false, with host empty and port 0, when it has another shape. */
bool sight_address(const char *address, char host[FSM_ADDRESS_SIZE], uint16_t *port);

#endif
