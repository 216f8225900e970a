/* The simulated network, part one: links and datagrams. Part two, streams: net_stream.c. See net.h. */
#include "sim/net_private.h"

#include <stdlib.h>

enum { LATENCY_US = 100, JITTER_US = 50 };

void sim_blob_ref(struct sim_blob *blob)
{
    blob->refs++;
}

void sim_blob_unref(struct sim_blob *blob)
{
    if (--blob->refs == 0) blob->free(blob);
}

/* --- links -------------------------------------------------------------------------------------------------------- */

struct sim_link *sim_link(struct sim *sim, sim_node from, sim_node to)
{
    MUST(from < SIM_NODES_MAX && to < SIM_NODES_MAX);
    return &sim_net(sim)->links[from * SIM_NODES_MAX + to];
}

bool net_carries(struct net *net, sim_node from, sim_node to)
{
    if (sim_link(net->sim, from, to)->cut && from != to) return false;
    return sim_host(net->sim, from) == SIM_HOST_UP && sim_host(net->sim, to) == SIM_HOST_UP;
}

int64_t net_latency(struct net *net, sim_node from, sim_node to)
{
    const struct sim_link *link = sim_link(net->sim, from, to);
    return link->latency_us + (int64_t)rng_below(&net->rng, link->jitter_us + 1u);
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

static void datagram_free(struct datagram *d)
{
    sim_blob_unref(d->blob);
    free(d);
}

static void unlink_datagram(struct datagram *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
}

static void drop_inbox(struct port *port)
{
    while (port->inbox) {
        struct datagram *d = port->inbox;
        port->inbox = d->next;
        datagram_free(d);
    }
    port->inbox_tail = &port->inbox;
}

static void drain_inbox(void *arg)
{
    struct port *port = arg;
    port->wake = 0;
    while (port->inbox) {
        struct datagram *d = port->inbox;
        const struct receiver *r = &port->receivers[d->channel];
        port->inbox = d->next;
        if (!port->inbox) port->inbox_tail = &port->inbox;
        bool is_taken = r->fn && r->incarnation == sim_incarnation(port->net->sim, port->node);
        if (is_taken) r->fn(r->arg, d->from, d->blob);
        datagram_free(d);
    }
}

static void datagram_arrives(void *arg)
{
    struct datagram *d = arg;
    struct net *net = d->net;
    struct port *port = &net->ports[d->to];
    unlink_datagram(d);
    if (!net_carries(net, d->from, d->to) || sim_process(net->sim, d->to) == SIM_DEAD) {
        datagram_free(d);
        return;
    }
    d->next = NULL;
    *port->inbox_tail = d;
    port->inbox_tail = &d->next;
    if (sim_process(net->sim, d->to) == SIM_RUNNING) sim_run_as(net->sim, d->to, drain_inbox, port);
    else if (port->wake == 0) port->wake = sim_after(net->sim, d->to, 0, drain_inbox, port);
}

static void put_on_wire(struct net *net, struct datagram *d)
{
    d->next = &net->wire;
    d->prev = net->wire.prev;
    d->prev->next = d->next->prev = d;
    int64_t latency = net_latency(net, d->from, d->to);
    sim_after(net->sim, SIM_WORLD, latency, datagram_arrives, d);
}

static void send_one(struct net *net, sim_node from, sim_node to, unsigned channel, struct sim_blob *blob)
{
    struct datagram *d = malloc(sizeof *d);
    MUST(d);
    *d = (struct datagram){.net = net, .from = from, .to = to, .channel = channel, .blob = blob};
    put_on_wire(net, d);
}

void sim_send(struct sim *sim, sim_node from, sim_node to, unsigned channel, struct sim_blob *blob)
{
    struct net *net = sim_net(sim);
    const struct sim_link *link = sim_link(sim, from, to);
    MUST(channel < NET_CHANNELS);
    bool is_lost = rng_chance(&net->rng, link->loss_ppm) || link->cut;
    bool is_doubled = rng_chance(&net->rng, link->dup_ppm);
    if (is_lost) {
        sim_blob_unref(blob);
        return;
    }
    if (is_doubled) {
        sim_blob_ref(blob);
        send_one(net, from, to, channel, blob);
    }
    send_one(net, from, to, channel, blob);
}

void sim_receive(struct sim *sim, sim_node node, unsigned channel, sim_datagram_fn *fn, void *arg)
{
    MUST(channel < NET_CHANNELS);
    sim_net(sim)->ports[node].receivers[channel] = (struct receiver){sim_incarnation(sim, node), fn, arg};
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct net *net_new(struct sim *sim, uint64_t seed)
{
    struct net *net = calloc(1, sizeof *net);
    MUST(net);
    net->sim = sim;
    rng_init(&net->rng, seed, "net", 0);
    size_t links_n = (size_t)SIM_NODES_MAX * SIM_NODES_MAX;
    net->links = calloc(links_n, sizeof *net->links);
    MUST(net->links);
    for (size_t i = 0; i < links_n; i++)
        net->links[i] = (struct sim_link){.latency_us = LATENCY_US, .jitter_us = JITTER_US};
    net->wire.next = net->wire.prev = &net->wire;
    for (sim_node n = 0; n < SIM_NODES_MAX; n++) {
        net->ports[n].net = net;
        net->ports[n].node = n;
        net->ports[n].inbox_tail = &net->ports[n].inbox;
    }
    return net;
}

void net_process_died(struct net *net, sim_node node, bool silent)
{
    drop_inbox(&net->ports[node]);
    net->ports[node].wake = 0;
    net->ports[node].accept = NULL;
    net_streams_died(net, node, silent);
}

void net_free(struct net *net)
{
    net_streams_free(net);
    while (net->wire.next != &net->wire) {
        struct datagram *d = net->wire.next;
        unlink_datagram(d);
        datagram_free(d);
    }
    free(net->links);
    free(net);
}
