/* Exchange of observations. See peers.h. */
#include "manager/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/log.h"
#include "manager/config.h"
#include "manager/stream.h"

struct peers {
    struct uv_loop_s *loop;
    struct peers_hooks hooks;
    uint64_t id, term;
    char name[FSM_NAME_SIZE];
    uint64_t leader_id;  /* To whom we connect; 0: nobody. */
    char leader_address[FSM_ADDRESS_SIZE];
    struct stream *out;  /* NULL: none. */
    uv_tcp_t *dialling;  /* A connection under way; NULL: none. */
    uv_timer_t retry;
    unsigned incoming_n;
    unsigned refs;       /* Handles and streams that still point here. */
    bool stopping;
    struct stream *incoming[PEERS_INCOMING_MAX];
    struct proto_observation observation; /* Encoded from, decoded into. */
};

static void peers_unref(struct peers *p)
{
    MUST(p->refs > 0);
    if (--p->refs == 0) free(p);
}

struct peers *peers_new(struct uv_loop_s *loop, const char *self_name, const struct peers_hooks *hooks)
{
    struct peers *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->loop = loop;
    p->hooks = *hooks;
    TEXT_COPY(p->name, self_name);
    uv_timer_init(loop, &p->retry);
    p->retry.data = p;
    p->refs = 1;
    return p;
}

/* --- to the leader ---------------------------------------------------------------------------------------------- */

static void dial(struct peers *p);

static void on_retry(uv_timer_t *timer)
{
    dial(timer->data);
}

static void retry_later(struct peers *p)
{
    if (!p->stopping && p->leader_id != 0) uv_timer_start(&p->retry, on_retry, PEERS_RETRY_MS, 0);
}

static void out_frame(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    (void)arg; /* The leader says nothing on this connection. */
    (void)header;
    (void)body;
    stream_close(stream);
}

static void out_closed(void *arg, struct stream *stream, const char *why)
{
    struct peers *p = arg;
    (void)why;
    if (p->out == stream) {
        p->out = NULL;
        retry_later(p);
    }
    peers_unref(p);
}

static void dial_closed(uv_handle_t *handle)
{
    struct peers *p = handle->data;
    free(handle);
    peers_unref(p);
}

static void dial_done(uv_connect_t *request, int status)
{
    uv_tcp_t *tcp = (uv_tcp_t *)request->handle;
    struct peers *p = tcp->data;
    free(request);
    bool wanted = p->dialling == tcp && !p->stopping;
    if (p->dialling == tcp) p->dialling = NULL;
    if (status != 0 || !wanted) {
        if (!uv_is_closing((uv_handle_t *)tcp)) uv_close((uv_handle_t *)tcp, dial_closed);
        if (wanted) retry_later(p);
        return;
    }
    uv_tcp_nodelay(tcp, 1);
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    frame_preamble(preamble, FRAME_PEER);
    p->out = stream_take((uv_stream_t *)tcp, out_frame, out_closed, p);
    if (!p->out) {
        peers_unref(p);
        return;
    }
    if (stream_send_raw(p->out, preamble, sizeof preamble) != 0) return; /* It closes; out_closed() tries again. */
    p->hooks.connected(p->hooks.arg);
}

static bool leader_sockaddr(const struct peers *p, struct sockaddr_storage *to)
{
    char host[256];
    uint16_t port;
    if (config_split_address(p->leader_address, host, sizeof host, &port) != 0) return false;
    return uv_ip4_addr(host, port, (struct sockaddr_in *)to) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)to) == 0;
}

static void dial(struct peers *p)
{
    struct sockaddr_storage to;
    if (p->stopping || p->leader_id == 0 || p->out || p->dialling || !leader_sockaddr(p, &to)) return;
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    uv_connect_t *request = malloc(sizeof *request);
    if (!tcp || !request || uv_tcp_init(p->loop, tcp) != 0) {
        free(tcp);
        free(request);
        retry_later(p);
        return;
    }
    tcp->data = p;
    p->refs++;
    p->dialling = tcp;
    if (uv_tcp_connect(request, tcp, (struct sockaddr *)&to, dial_done) == 0) return;
    free(request);
    p->dialling = NULL;
    uv_close((uv_handle_t *)tcp, dial_closed);
    retry_later(p);
}

static void hang_up(struct peers *p)
{
    uv_timer_stop(&p->retry);
    if (p->out) {
        struct stream *out = p->out;
        p->out = NULL;
        stream_close(out);
    }
    if (p->dialling) {
        uv_tcp_t *tcp = p->dialling;
        p->dialling = NULL;
        uv_close((uv_handle_t *)tcp, dial_closed);
    }
}

void peers_run(struct peers *peers, const struct raft_node_status *status)
{
    peers->id = status->id;
    peers->term = status->term;
    uint64_t wanted = status->leader_id == status->id ? 0 : status->leader_id;
    bool is_same = text_equal(peers->leader_address, status->leader_address);
    if (wanted == peers->leader_id && (wanted == 0 || is_same)) return;
    hang_up(peers);
    peers->leader_id = wanted;
    TEXT_COPY(peers->leader_address, status->leader_address);
    dial(peers);
}

void peers_push(struct peers *peers, const struct fsm_cluster *cluster, const struct view_manager *mine)
{
    if (!peers->out || stream_queued(peers->out) > PEERS_QUEUE_MAX) return;
    struct proto_observation *o = &peers->observation;
    memset(o, 0, sizeof *o);
    o->manager_id = peers->id;
    o->term = peers->term;
    TEXT_COPY(o->manager, peers->name);
    TEXT_COPY(o->cluster, cluster->name);
    o->servers_n = cluster->servers_n;
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        TEXT_COPY(o->names[i], cluster->servers[i].name);
        o->servers[i] = mine->servers[i];
    }
    void *data = NULL;
    size_t size = 0;
    if (proto_observation_encode(o, &data, &size) != 0 || size > FRAME_BODY_MAX) {
        log_limited(LOG_LEVEL_WARN, "peers.encode", "cluster=%s text=\"observations could not be encoded\"",
                    cluster->name);
        free(data);
        return;
    }
    struct frame_header header = {.body_size = (uint32_t)size, .type = PEERS_FRAME_OBSERVATION};
    int rc = stream_send(peers->out, &header, data); /* Failed: the stream closes, and we connect anew. */
    if (rc != 0) log_limited(LOG_LEVEL_WARN, "peers.send", "cluster=%s errno=%d", cluster->name, -rc);
    free(data);
}

/* --- from the others -------------------------------------------------------------------------------------------- */

static void in_frame(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    struct peers *p = arg;
    struct err e = {0};
    if (p->stopping) return;
    if (header->type != PEERS_FRAME_OBSERVATION) return; /* Of a newer version: observations are best effort. */
    if (proto_observation_decode(&p->observation, body, header->body_size, &e) != 0) {
        log_limited(LOG_LEVEL_WARN, "peers.bad", "text=\"a manager sent what is not an observation: %s\"", e.text);
        stream_close(stream);
        return;
    }
    p->hooks.received(p->hooks.arg, &p->observation);
}

static void in_closed(void *arg, struct stream *stream, const char *why)
{
    struct peers *p = arg;
    (void)why;
    for (unsigned i = 0; i < PEERS_INCOMING_MAX; i++) {
        if (p->incoming[i] != stream) continue;
        p->incoming[i] = NULL;
        p->incoming_n--;
    }
    peers_unref(p);
}

static void refused_freed(uv_handle_t *handle)
{
    free(handle);
}

void peers_accept(struct peers *peers, struct uv_stream_s *stream)
{
    unsigned i = 0;
    while (i < PEERS_INCOMING_MAX && peers->incoming[i]) i++;
    if (i == PEERS_INCOMING_MAX || peers->stopping) {
        log_limited(LOG_LEVEL_WARN, "peers.full", "text=\"more than %d managers are connected: one was refused\"",
                    PEERS_INCOMING_MAX);
        uv_close((uv_handle_t *)stream, refused_freed);
        return;
    }
    peers->refs++;
    peers->incoming[i] = stream_take(stream, in_frame, in_closed, peers);
    if (peers->incoming[i]) peers->incoming_n++;
    else peers_unref(peers);
}

static void retry_closed(uv_handle_t *handle)
{
    peers_unref(handle->data);
}

void peers_stop(struct peers *peers)
{
    peers->stopping = true;
    hang_up(peers);
    for (unsigned i = 0; i < PEERS_INCOMING_MAX; i++)
        if (peers->incoming[i]) stream_close(peers->incoming[i]);
    uv_close((uv_handle_t *)&peers->retry, retry_closed);
}
