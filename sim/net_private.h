/* What net.c (links, datagrams) and net_stream.c share. Not for others. */
#ifndef REGENT_SIM_NET_PRIVATE_H
#define REGENT_SIM_NET_PRIVATE_H

#include "sim/net.h"

struct datagram {
    struct datagram *next, *prev; /* On the wire. */
    struct net *net;
    sim_node from, to;
    unsigned channel;
    struct sim_blob *blob;
};

struct receiver {
    uint32_t incarnation;
    sim_datagram_fn *fn;
    void *arg;
};

/* What one node's kernel keeps for its process. */
struct port {
    struct net *net;
    sim_node node;
    struct receiver receivers[NET_CHANNELS];
    uint32_t listener_incarnation;
    sim_accept_fn *accept;
    void *accept_arg;
    struct datagram *inbox, **inbox_tail; /* Arrived, the process is paused. */
    sim_event wake;
};

struct conn;

struct net {
    struct sim *sim;
    struct rng rng;
    struct sim_link *links; /* [NODES_MAX * NODES_MAX] */
    struct port ports[SIM_NODES_MAX];
    struct datagram wire; /* Ring. */
    struct conn *conns;
};

/* True when what was sent from 'from' reaches the host of 'to' now. */
bool net_carries(struct net *net, sim_node from, sim_node to);
int64_t net_latency(struct net *net, sim_node from, sim_node to);
void net_streams_died(struct net *net, sim_node node, bool silent);
void net_streams_free(struct net *net);

#endif
