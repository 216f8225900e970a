/* The simulated network, part two: streams. See net.h.
 *
 * A connection is two ends. What an end sent waits in its 'out' queue until the network carries it to the other host
 * (only the first message has an event: order is kept), then in the other end's 'in' queue until that process takes it.
 * The handshake, FIN and RST are messages in the same queues. */
#include "sim/net_private.h"

#include <stdlib.h>

enum { RTO_MIN_US = 200 * SIM_MS, RTO_SHIFT_MAX = 5 }; /* 0.2 s doubling to 6.4 s (Linux: to 120 s). */

enum packet { PACKET_SYN, PACKET_SYN_ACK, PACKET_REFUSED, PACKET_DATA, PACKET_FIN, PACKET_RST, PACKET_GIVEN_UP };

struct message {
    struct message *next;
    enum packet packet;
    struct sim_blob *blob; /* PACKET_DATA. */
    int64_t sent_us, arrive_us;
    unsigned tries;
};

struct queue {
    struct message *first, **tail;
    unsigned n;
};

struct sim_stream {
    struct conn *conn;
    sim_node node;
    const struct sim_stream_ops *ops;
    void *arg;
    bool is_held;    /* The application has it. */
    bool is_known;   /* The host's kernel knows the connection. */
    bool is_pending; /* Not accepted yet. */
    bool is_open;    /* May send: the handshake is done as far as this end knows. */
    struct queue out, in;
    sim_event arrival, wake;
    int64_t last_arrive_us;
};

struct conn {
    struct conn *next, *prev;
    struct net *net;
    struct sim_stream ends[2]; /* Who connected; who listens. */
    unsigned busy;
};

static void message_arrives(void *arg);
static void deliver(void *arg);

static struct sim_stream *peer_of(struct sim_stream *end)
{
    return &end->conn->ends[end == &end->conn->ends[0]];
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static void queue_push(struct queue *queue, struct message *m)
{
    m->next = NULL;
    *queue->tail = m;
    queue->tail = &m->next;
    queue->n++;
}

static struct message *queue_pop(struct queue *queue)
{
    struct message *m = queue->first;
    queue->first = m->next;
    if (!queue->first) queue->tail = &queue->first;
    queue->n--;
    return m;
}

static void message_free(struct message *m)
{
    if (m->blob) sim_blob_unref(m->blob);
    free(m);
}

static void queue_drop(struct queue *queue)
{
    while (queue->first) message_free(queue_pop(queue));
}

static void end_drop(struct sim_stream *end)
{
    struct sim *sim = end->conn->net->sim;
    sim_cancel(sim, &end->arrival);
    sim_cancel(sim, &end->wake);
    queue_drop(&end->out);
    queue_drop(&end->in);
}

static void conn_free(struct conn *conn)
{
    end_drop(&conn->ends[0]);
    end_drop(&conn->ends[1]);
    conn->prev->next = conn->next;
    conn->next->prev = conn->prev;
    free(conn);
}

/* Nobody is left who could be told anything. */
static void conn_release(struct conn *conn)
{
    for (unsigned i = 0; i < 2; i++)
        if (conn->ends[i].is_held || conn->ends[i].is_pending) return;
    if (conn->busy == 0) conn_free(conn);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void arm(struct sim_stream *end)
{
    if (end->arrival != 0 || !end->out.first) return;
    enum packet packet = end->out.first->packet;
    if (!end->is_open && (packet == PACKET_DATA || packet == PACKET_FIN)) return;
    end->arrival = sim_at(end->conn->net->sim, SIM_WORLD, end->out.first->arrive_us, message_arrives, end);
}

static void put(struct sim_stream *end, enum packet packet, struct sim_blob *blob)
{
    struct net *net = end->conn->net;
    struct message *m = malloc(sizeof *m); /* calloc() never takes what free() has kept for the next malloc(). */
    MUST(m);
    *m = (struct message){.packet = packet, .blob = blob, .sent_us = sim_now_us(net->sim)};
    int64_t latency = net_latency(net, end->node, peer_of(end)->node);
    uint32_t loss_ppm = sim_link(net->sim, end->node, peer_of(end)->node)->loss_ppm;
    for (unsigned i = 0; i < RTO_SHIFT_MAX && rng_chance(&net->rng, loss_ppm); i++) latency += RTO_MIN_US << i;
    m->arrive_us = m->sent_us + latency;
    if (m->arrive_us < end->last_arrive_us) m->arrive_us = end->last_arrive_us;
    end->last_arrive_us = m->arrive_us;
    queue_push(&end->out, m);
    arm(end);
}

/* The network does not carry the first message now. */
static void try_later(struct sim_stream *end)
{
    struct net *net = end->conn->net;
    struct message *m = end->out.first;
    int64_t now = sim_now_us(net->sim);
    if (now - m->sent_us > NET_GIVE_UP_US) {
        queue_drop(&end->out);
        m = calloc(1, sizeof *m);
        MUST(m);
        m->packet = PACKET_GIVEN_UP;
        queue_push(&end->in, m);
        sim_run_as(net->sim, SIM_WORLD, deliver, end);
        return;
    }
    int64_t rto = RTO_MIN_US << (m->tries < RTO_SHIFT_MAX ? m->tries : RTO_SHIFT_MAX);
    int64_t extra = (int64_t)rng_below(&net->rng, (uint64_t)rto / 4);
    m->tries++;
    m->arrive_us = now + rto + extra;
    arm(end);
}

/* --- arriving ----------------------------------------------------------------------------------------------------- */

static bool is_listening(struct net *net, sim_node node)
{
    const struct port *port = &net->ports[node];
    return port->accept && port->listener_incarnation == sim_incarnation(net->sim, node);
}

/* The connection's first packet reaches the host of the end that listens. */
static void syn_arrives(struct sim_stream *end)
{
    if (!is_listening(end->conn->net, end->node)) {
        put(end, PACKET_REFUSED, NULL);
        return;
    }
    end->is_known = end->is_pending = end->is_open = true;
    put(end, PACKET_SYN_ACK, NULL);
}

static void message_arrives(void *arg)
{
    struct sim_stream *from = arg, *to = peer_of(from);
    struct conn *conn = from->conn;
    from->arrival = 0;
    conn->busy++;
    if (!net_carries(conn->net, from->node, to->node)) {
        try_later(from);
    } else {
        struct message *m = queue_pop(&from->out);
        bool is_for_life = m->packet == PACKET_DATA || m->packet == PACKET_FIN;
        if (m->packet == PACKET_SYN) syn_arrives(to);
        if (m->packet == PACKET_DATA && !to->is_known) put(to, PACKET_RST, NULL);
        bool is_refused = m->packet == PACKET_SYN && !to->is_known;
        bool is_kept = !is_refused && (!is_for_life || to->is_known);
        if (is_kept) queue_push(&to->in, m);
        else message_free(m);
        arm(from);
        deliver(to);
    }
    conn->busy--;
    conn_release(conn);
}

static void tell_closed(struct sim_stream *end, enum sim_closed why)
{
    end->is_known = false;
    if (!end->is_held) return;
    end->is_held = false;
    end->ops->closed(end->arg, why);
}

static void accept_one(struct sim_stream *end)
{
    const struct port *port = &end->conn->net->ports[end->node];
    end->is_pending = false;
    end->is_held = true;
    bool is_taken = is_listening(end->conn->net, end->node) && port->accept(port->accept_arg, end, peer_of(end)->node);
    if (!is_taken && end->is_held) sim_stream_close(end);
    else if (end->is_held) MUST(end->ops);
}

static void handle(struct sim_stream *end, struct message *m)
{
    switch (m->packet) {
    case PACKET_SYN: accept_one(end); return;
    case PACKET_SYN_ACK:
        end->is_open = end->is_known = true;
        arm(end);
        if (end->is_held && end->ops->opened) end->ops->opened(end->arg);
        return;
    case PACKET_REFUSED: tell_closed(end, SIM_CLOSED_REFUSED); return;
    case PACKET_DATA:
        if (end->is_held) end->ops->received(end->arg, m->blob);
        return;
    case PACKET_FIN: tell_closed(end, SIM_CLOSED_BY_PEER); return;
    case PACKET_RST: tell_closed(end, SIM_CLOSED_RESET); return;
    case PACKET_GIVEN_UP: tell_closed(end, SIM_CLOSED_TIMED_OUT); return;
    }
    MUST_NOT_REACH();
}

static void take_in(void *arg)
{
    struct sim_stream *end = arg;
    struct conn *conn = end->conn;
    end->wake = 0;
    conn->busy++;
    while (end->in.first) {
        struct message *m = queue_pop(&end->in);
        handle(end, m);
        message_free(m);
    }
    conn->busy--;
    conn_release(conn);
}

/* Gives the process what has arrived, as soon as it runs. */
static void deliver(void *arg)
{
    struct sim_stream *end = arg;
    struct sim *sim = end->conn->net->sim;
    if (!end->in.first) return;
    bool is_awaited = (end->is_held || end->is_pending) && sim_process(sim, end->node) != SIM_DEAD;
    if (!is_awaited) {
        /* Closed by the application: the handshake still has to end, so that what it had sent is carried. */
        while (end->in.first) {
            struct message *m = queue_pop(&end->in);
            if (m->packet == PACKET_SYN_ACK) end->is_open = true;
            message_free(m);
        }
        arm(end);
        return;
    }
    bool is_running = sim_process(sim, end->node) == SIM_RUNNING && sim_host(sim, end->node) == SIM_HOST_UP;
    if (is_running) sim_cancel(sim, &end->wake); /* It is behind us in the queue, since the process goes on. */
    if (is_running) sim_run_as(sim, end->node, take_in, end);
    else if (end->wake == 0) end->wake = sim_after(sim, end->node, 0, take_in, end);
}

/* --- for processes ------------------------------------------------------------------------------------------------ */

void sim_listen(struct sim *sim, sim_node node, sim_accept_fn *accept, void *arg)
{
    struct port *port = &sim_net(sim)->ports[node];
    port->listener_incarnation = sim_incarnation(sim, node);
    port->accept = accept;
    port->accept_arg = arg;
}

void sim_stream_take(struct sim_stream *stream, const struct sim_stream_ops *ops, void *arg)
{
    stream->ops = ops;
    stream->arg = arg;
}

struct sim_stream *sim_connect(struct sim *sim, sim_node from, sim_node to, const struct sim_stream_ops *ops,
                               void *arg)
{
    struct net *net = sim_net(sim);
    struct conn *conn = calloc(1, sizeof *conn);
    MUST(conn);
    conn->net = net;
    if (!net->conns) { /* The ring's anchor. */
        net->conns = calloc(1, sizeof *net->conns);
        MUST(net->conns);
        net->conns->next = net->conns->prev = net->conns;
    }
    conn->next = net->conns;
    conn->prev = net->conns->prev;
    conn->prev->next = conn->next->prev = conn;
    for (unsigned i = 0; i < 2; i++) {
        struct sim_stream *end = &conn->ends[i];
        end->conn = conn;
        end->out.tail = &end->out.first;
        end->in.tail = &end->in.first;
        end->node = i == 0 ? from : to;
    }
    struct sim_stream *end = &conn->ends[0];
    end->ops = ops;
    end->arg = arg;
    end->is_held = end->is_known = true;
    put(end, PACKET_SYN, NULL);
    return end;
}

bool sim_stream_send(struct sim_stream *stream, struct sim_blob *blob)
{
    if (sim_stream_queued(stream) >= NET_QUEUE_MAX) {
        sim_blob_unref(blob);
        return false;
    }
    put(stream, PACKET_DATA, blob);
    return true;
}

unsigned sim_stream_queued(const struct sim_stream *stream)
{
    const struct sim_stream *peer = &stream->conn->ends[stream == &stream->conn->ends[0]];
    return stream->out.n + peer->in.n;
}

void sim_stream_close(struct sim_stream *stream)
{
    struct conn *conn = stream->conn;
    MUST(stream->is_held);
    stream->is_held = stream->is_known = false;
    sim_cancel(conn->net->sim, &stream->wake);
    queue_drop(&stream->in);
    put(stream, PACKET_FIN, NULL);
    conn_release(conn);
}

sim_node sim_stream_peer(const struct sim_stream *stream)
{
    return stream->conn->ends[stream == &stream->conn->ends[0]].node;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* The host went silent in the middle of the handshake: who connects asks again until somebody answers. */
static void connect_again(struct sim_stream *end)
{
    struct message *m = calloc(1, sizeof *m);
    MUST(m);
    m->packet = PACKET_SYN;
    m->sent_us = sim_now_us(end->conn->net->sim);
    m->arrive_us = m->sent_us + RTO_MIN_US;
    m->next = end->out.first;
    if (!end->out.first) end->out.tail = &m->next;
    end->out.first = m;
    end->out.n++;
    arm(end);
}

static void end_died(struct sim_stream *end, bool silent)
{
    bool was_known = end->is_known;
    end->is_held = end->is_known = end->is_pending = false;
    end->wake = 0; /* It died with the process. */
    queue_drop(&end->in);
    if (silent) {
        sim_cancel(end->conn->net->sim, &end->arrival);
        queue_drop(&end->out);
        struct sim_stream *first = &end->conn->ends[0];
        bool is_asking = end != first && was_known && first->is_held && !first->is_open;
        if (is_asking) connect_again(first);
    } else if (was_known) {
        put(end, PACKET_FIN, NULL);
    }
}

void net_streams_died(struct net *net, sim_node node, bool silent)
{
    struct conn *next = NULL;
    for (struct conn *c = net->conns ? net->conns->next : NULL; c && c != net->conns; c = next) {
        next = c->next;
        for (unsigned i = 0; i < 2; i++)
            if (c->ends[i].node == node) end_died(&c->ends[i], silent);
        conn_release(c);
    }
}

void net_streams_free(struct net *net)
{
    while (net->conns && net->conns->next != net->conns) conn_free(net->conns->next);
    free(net->conns);
}
