/* Exchange of observations between simulated managers: what manager/peers.c does over libuv, with the production
 * encoding. One stream to the leader; made again PEERS_RETRY_MS after it ended. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "manager/peers.h"
#include "proto/convert.h"
#include "sim/manager.h"
#include "sim/world.h"

struct observation_word {
    struct word_head head;
    void *data;
    size_t size;
};

static struct proto_observation scratch; /* Encoded from, decoded into. */

static void word_free(struct sim_blob *blob)
{
    struct observation_word *w = (struct observation_word *)blob;
    free(w->data);
    free(w);
}

static void dial(void *arg);

static void on_opened(void *arg)
{
    (void)arg; /* The leader's process may stand still. */
}

/* The welcome; the leader says nothing else on this connection. */
static void on_received(void *arg, struct sim_blob *blob)
{
    struct manager *m = arg;
    (void)blob;
    m->peers.is_open = true;
    observe_push_all(m->observe);
    manager_wake(m);
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct manager *m = arg;
    (void)why;
    m->peers.stream = NULL;
    m->peers.is_open = false;
    sim_cancel(m->sim, &m->peers.retry);
    if (m->peers.leader_id != 0) m->peers.retry = sim_after(m->sim, m->node, PEERS_RETRY_MS * SIM_MS, dial, m);
}

static void dial(void *arg)
{
    static const struct sim_stream_ops ops = {on_opened, on_received, on_closed};
    struct manager *m = arg;
    m->peers.retry = 0;
    if (m->peers.stream || m->peers.leader_id == 0) return;
    m->peers.stream = sim_connect(m->sim, m->node, world_manager_node(m->world, m->peers.leader_id), &ops, m);
}

void peers_follow(struct manager *manager)
{
    struct manager *m = manager;
    uint64_t wanted = m->status.leader_id == m->id ? 0 : m->status.leader_id;
    if (wanted == m->peers.leader_id) return;
    sim_cancel(m->sim, &m->peers.retry);
    if (m->peers.stream) sim_stream_close(m->peers.stream);
    m->peers.stream = NULL;
    m->peers.is_open = false;
    m->peers.leader_id = wanted;
    dial(m);
}

void peers_send(struct manager *manager, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n)
{
    enum { QUEUE_MAX = 64 };
    struct manager *m = manager;
    const struct fsm_cluster *declared = &manager_state(m)->clusters[cluster];
    if (!m->peers.is_open || declared->servers_n != servers_n) return;
    if (sim_stream_queued(m->peers.stream) > QUEUE_MAX) return;
    struct proto_observation *o = &scratch;
    o->manager_id = m->id;
    o->term = m->status.term;
    (void)TEXT_COPY(o->manager, m->name);
    (void)TEXT_COPY(o->cluster, declared->name);
    o->declaration = declared->version;
    o->sent = clock_mono();
    o->servers_n = servers_n;
    for (uint8_t i = 0; i < servers_n; i++) {
        (void)TEXT_COPY(o->names[i], declared->servers[i].name);
        o->servers[i] = mine->servers[i];
    }
    struct observation_word *w = calloc(1, sizeof *w);
    MUST(w);
    w->head = (struct word_head){{1, word_free}, WORD_OBSERVATION};
    MUST(proto_observation_encode(o, &w->data, &w->size) == 0);
    (void)sim_stream_send(m->peers.stream, &w->head.blob);
}

void peers_take(struct incoming *incoming, struct sim_blob *blob)
{
    const struct observation_word *w = (const struct observation_word *)blob;
    struct manager *m = incoming->manager;
    struct err e = {0};
    if (m->is_dying) return;
    MUST(proto_observation_decode(&scratch, w->data, w->size, &e) == 0);
    scratch.late_ms = transit_late_ms(&incoming->transit, scratch.sent, clock_mono());
    observe_receive(m->observe, &scratch);
}
