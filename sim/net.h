/* The simulated network: datagrams and TCP-like streams between nodes.
 *
 * Every ordered pair of nodes is a link of its own, so partitions may be one-way and partial. What crosses the network
 * is a blob: a struct of the sender's that begins with struct sim_blob; it is never serialised, so it must hold no
 * pointer to anything that one of the two processes may free. Who is given a blob borrows it until he returns.
 *
 * Streams are TCP as the kernels do it:
 * - messages arrive whole, once, in order; a cut or lossy link delays them (retransmission with growing pauses), and a
 *   link that heals carries them then; a connection that carried nothing for NET_GIVE_UP_US is given up by the sender;
 * - the process dies: its kernel closes the connection, and the peer learns it when the network carries it;
 * - the host loses power or freezes: silence; after it is on again, what is sent to the old connection is answered by
 *   a reset;
 * - a paused process: the kernel completes connections, and what arrives waits in the socket; all of it is delivered
 *   at resume, in order, also when the sender has closed meanwhile.
 * Datagrams may be lost, duplicated and reordered. They wait for a paused process, and are lost at a dead one. */
#ifndef REGENT_SIM_NET_H
#define REGENT_SIM_NET_H

#include "sim/env.h"

enum {
    NET_GIVE_UP_US = 120 * SIM_S,
    NET_QUEUE_MAX = 4096, /* Messages of one direction of a stream that are not delivered yet. */
    NET_CHANNELS = 4,     /* Datagram channels of a node. */
};

struct sim_blob {
    uint32_t refs; /* 1 when made; whoever keeps the blob adds one. */
    void (*free)(struct sim_blob *blob); /* Called when refs falls to 0. */
};

/* Keeps the blob: one sim_blob_unref() more is owed. */
void sim_blob_ref(struct sim_blob *blob);
/* Gives a reference back; the last one frees. */
void sim_blob_unref(struct sim_blob *blob);

/* --- links ------------------------------------------------------------------------------------------------------- */

struct sim_link {
    bool cut;
    uint32_t latency_us, jitter_us; /* Each crossing takes latency + 0..jitter. */
    uint32_t loss_ppm, dup_ppm;
};

/* The link from -> to, to be changed freely; changes act on what arrives from then on. */
struct sim_link *sim_link(struct sim *sim, sim_node from, sim_node to);

/* --- datagrams --------------------------------------------------------------------------------------------------- */

typedef void sim_datagram_fn(void *arg, sim_node from, struct sim_blob *blob);

/* This life of the node's process takes what comes on 'channel'. */
void sim_receive(struct sim *sim, sim_node node, unsigned channel, sim_datagram_fn *fn, void *arg);
/* Takes the caller's reference over. */
void sim_send(struct sim *sim, sim_node from, sim_node to, unsigned channel, struct sim_blob *blob);

/* --- streams ----------------------------------------------------------------------------------------------------- */

struct sim_stream; /* One end of a connection; belongs to one life of a process. */

enum sim_closed {
    SIM_CLOSED_REFUSED,   /* Never stood: nothing listens there. */
    SIM_CLOSED_BY_PEER,   /* Closed by the peer, or its process ended. */
    SIM_CLOSED_RESET,     /* The peer's host does not know this connection. */
    SIM_CLOSED_TIMED_OUT, /* Given up. */
};

struct sim_stream_ops {
    void (*opened)(void *arg); /* Who connected: the connection stands. */
    void (*received)(void *arg, struct sim_blob *blob); /* May send or close. */
    /* Last call; the end is gone when it returns. Not after sim_stream_close(), nor when the own process died. */
    void (*closed)(void *arg, enum sim_closed why);
};

/* Somebody connected. Returns true when the stream is taken (after sim_stream_take()); false closes it. */
typedef bool sim_accept_fn(void *arg, struct sim_stream *stream, sim_node from);

/* This life of the node's process listens ('accept' NULL: no more). One listener a node. */
void sim_listen(struct sim *sim, sim_node node, sim_accept_fn *accept, void *arg);
void sim_stream_take(struct sim_stream *stream, const struct sim_stream_ops *ops, void *arg);

/* Connects; never NULL; no call is made from inside. What is sent before it stands is carried when it does. 'ops' is
 * static. There is no time-out but NET_GIVE_UP_US: the caller has his own. */
struct sim_stream *sim_connect(struct sim *sim, sim_node from, sim_node to, const struct sim_stream_ops *ops,
                               void *arg);
/* Takes the caller's reference over. False (and freed) when NET_QUEUE_MAX messages wait. */
bool sim_stream_send(struct sim_stream *stream, struct sim_blob *blob);
/* Messages that this end sent and that were not delivered yet: TCP's send queue and the peer's socket. */
unsigned sim_stream_queued(const struct sim_stream *stream);
/* The end is gone; the peer gets what was sent, then 'closed'. */
void sim_stream_close(struct sim_stream *stream);
sim_node sim_stream_peer(const struct sim_stream *stream);

/* --- for sim/env.c only ------------------------------------------------------------------------------------------ */

/* The network of a new world. Never NULL. */
struct net *net_new(struct sim *sim, uint64_t seed);
/* Drops all that is on the wire. */
void net_free(struct net *net);
/* The process of 'node' died; with 'silent' no peer is told. */
void net_process_died(struct net *net, sim_node node, bool silent);

#endif
