/* Events: the bounded history that operators read, and the texts in it. PURE. */
#include <string.h>

#include "fsm/internal.h"

void fsm_text_set(char *to, size_t size, const char *s)
{
    size_t used;

    text_copy(to, size, s);
    used = strlen(to);
    memset(to + used, 0, size - used);
}

void fsm_event_add(struct fsm_apply *a, const struct fsm_note *note)
{
    struct fsm_event *event = &a->state->events[a->state->events_n % FSM_EVENTS_MAX];

    memset(event, 0, sizeof(*event));
    event->index = a->index;
    event->time = a->command->time;
    if (note->cluster != NULL) {
        FSM_TEXT_SET(event->cluster, note->cluster->name);
        event->epoch = note->cluster->epoch;
    }
    FSM_TEXT_SET(event->kind, note->kind);
    FSM_TEXT_SET(event->text, note->text);
    FSM_TEXT_SET(event->evidence, note->evidence);
    a->state->events_n++;
}

const char *fsm_server_name(const struct fsm_cluster *cluster, uint8_t server)
{
    return server < cluster->servers_n ? cluster->servers[server].name : "nobody";
}

void fsm_text_servers(struct text *t, const struct fsm_cluster *cluster, fsm_set servers)
{
    const char *separator = "";

    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (!fsm_set_has(servers, i)) continue;
        text_addf(t, "%s%s", separator, cluster->servers[i].name);
        separator = ", ";
    }
    if (separator[0] == '\0') text_add(t, "nobody");
}

void fsm_quarantine(struct fsm_apply *a, struct fsm_cluster *cluster, uint8_t server, const char *reason)
{
    struct fsm_server *s = &cluster->servers[server];
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    s->state = SERVER_QUARANTINED;
    FSM_TEXT_SET(s->reason, reason);
    text_addf(&text, "%s is quarantined: %s", s->name, reason);
    fsm_event_add(a, &(struct fsm_note){cluster, "server.quarantined", buffer, ""});
}

void fsm_quarantine_set(struct fsm_apply *a, struct fsm_cluster *cluster, fsm_set servers, const char *reason)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (fsm_set_has(servers, i)) fsm_quarantine(a, cluster, i, reason);
    }
}
