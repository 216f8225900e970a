/* Reading a view: freshness, majorities, and the channel between two servers. PURE. */
#include "plan/sight.h"

#include <string.h>

#include "lib/base/text.h"

enum { FRESH_SLACK_MS = 200 };

unsigned sight_majority(const struct view *view)
{
    return view->managers_n / 2u + 1u;
}

int64_t sight_fresh_ms(const struct fsm_cluster *cluster)
{
    int64_t two_probes_ms = 2 * (int64_t)cluster->probe_ms + FRESH_SLACK_MS;
    return two_probes_ms > cluster->timeout_ms ? two_probes_ms : cluster->timeout_ms;
}

static bool is_fresh(const struct fsm_cluster *cluster, const struct view_observation *o)
{
    return o->outcome != VIEW_NONE && o->age_ms >= 0 && o->age_ms <= sight_fresh_ms(cluster);
}

bool sight_ok(const struct fsm_cluster *cluster, const struct view_observation *o)
{
    return is_fresh(cluster, o) && o->outcome == VIEW_OK && o->facts.set;
}

bool sight_fails(const struct fsm_cluster *cluster, const struct view_observation *o)
{
    return is_fresh(cluster, o) && !view_outcome_is_alive(o->outcome);
}

int64_t sight_asked_ms(const struct view_observation *o)
{
    return o->age_ms < 0 ? INT64_MAX : o->age_ms + o->took_ms;
}

bool sight_is_after(const struct view_observation *o, int64_t since_ms)
{
    return sight_asked_ms(o) < since_ms;
}

bool sight_heard(const struct view *view, uint8_t manager)
{
    return manager < view->managers_n && (manager == view->self || view->managers[manager].heard);
}

const struct view_observation *sight_self(const struct view *view, uint8_t server)
{
    return &view->managers[view->self].servers[server];
}

bool sight_reached(const struct fsm_cluster *cluster, const struct view *view, uint8_t server)
{
    return server < cluster->servers_n && sight_ok(cluster, sight_self(view, server));
}

typedef int64_t time_fn(const struct view_observation *o);

static int64_t answered_ms(const struct view_observation *o)
{
    return o->age_ms;
}

static const struct view_observation *last(const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                                           time_fn *ago_ms)
{
    const struct view_observation *best = NULL;
    for (uint8_t m = 0; m < view->managers_n; m++) {
        const struct view_observation *o = &view->managers[m].servers[server];
        if (!sight_heard(view, m) || !sight_ok(cluster, o)) continue;
        if (best == NULL || ago_ms(o) < ago_ms(best)) best = o;
    }
    return best;
}

const struct view_observation *sight_best(const struct fsm_cluster *cluster, const struct view *view, uint8_t server)
{
    return last(cluster, view, server, answered_ms);
}

const struct view_observation *sight_asked_last(const struct fsm_cluster *cluster, const struct view *view,
                                                uint8_t server)
{
    return last(cluster, view, server, sight_asked_ms);
}

bool sight_has_older(const struct fsm_cluster *cluster, const struct view *view, int64_t since_ms)
{
    for (uint8_t m = 0; m < view->managers_n; m++) {
        for (uint8_t i = 0; i < cluster->servers_n; i++) {
            const struct view_observation *o = &view->managers[m].servers[i];
            if (sight_heard(view, m) && sight_ok(cluster, o) && !sight_is_after(o, since_ms)) return true;
        }
    }
    return false;
}

bool sight_failed_within(const struct fsm_cluster *cluster, const struct view *view, uint8_t server, int64_t within_ms)
{
    for (uint8_t m = 0; m < view->managers_n; m++) {
        const struct view_observation *o = &view->managers[m].servers[server];
        if (sight_heard(view, m) && sight_fails(cluster, o) && o->age_ms <= within_ms) return true;
    }
    return false;
}

bool sight_is_foreign(const struct fsm_cluster *cluster, uint8_t server, const struct view_facts *facts)
{
    const char *enrolled = cluster->servers[server].identity;
    return facts->set && enrolled[0] != '\0' && facts->identity[0] != '\0' && !text_equal(facts->identity, enrolled);
}

bool sight_address(const char *address, char host[FSM_ADDRESS_SIZE], uint16_t *port)
{
    uint64_t number = 0;
    const char *colon = strrchr(address, ':');
    host[0] = '\0';
    *port = 0;
    if (colon == NULL || !text_to_u64(colon + 1, &number) || number == 0 || number > UINT16_MAX) return false;

    size_t len = (size_t)(colon - address);
    bool is_bracketed = len >= 2 && address[0] == '[' && colon[-1] == ']';
    const char *start = is_bracketed ? address + 1 : address;
    if (is_bracketed) len -= 2;
    if (len == 0 || len >= FSM_ADDRESS_SIZE) return false;
    memcpy(host, start, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return true;
}

const struct view_channel *sight_channel(const struct view_facts *facts, const char *address, uint32_t server_id)
{
    char host[FSM_ADDRESS_SIZE];
    uint16_t port;
    bool has_address = sight_address(address, host, &port);
    for (uint8_t i = 0; i < facts->channels_n && i < VIEW_CHANNELS_MAX; i++) {
        const struct view_channel *ch = &facts->channels[i];
        bool ids_known = server_id != 0 && ch->source_server_id != 0;
        if (ids_known && ch->source_server_id == server_id) return ch;
        if (!ids_known && has_address && ch->source_port == port && text_equal(ch->source_host, host)) return ch;
    }
    return NULL;
}

const struct view_channel *sight_channel_from(const struct fsm_cluster *cluster, const struct view_facts *facts,
                                              uint8_t source)
{
    const struct fsm_server *s = &cluster->servers[source];
    return sight_channel(facts, s->address, s->server_id);
}
