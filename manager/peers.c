/* Exchange of observations. See peers.h. */
#include "manager/peers.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "manager/stream.h"
#include "manager/transit.h"

struct peers {
    struct conn_net *net;
    struct peers_hooks hooks;
    uint64_t id, term;
    char name[FSM_NAME_SIZE];
    uint64_t leader_id;  /* To whom we connect; 0: nobody. */
    char leader_address[FSM_ADDRESS_SIZE];
    struct stream *out;  /* NULL: none. */
    struct conn *dialling; /* A connection under way; NULL: none. */
    unsigned failures_n; /* In a row. */
    uv_timer_t retry;
    unsigned incoming_n;
    unsigned refs;       /* Handles, connections and streams that still point here. */
    bool stopping;
    struct stream *incoming[PEERS_INCOMING_MAX];
    struct hello hellos[PEERS_INCOMING_MAX]; /* Of incoming[i]; id 0: nothing was said yet. */
    struct transit transits[PEERS_INCOMING_MAX];
    struct proto_observation observation; /* Encoded from, decoded into. */
};

static void peers_unref(struct peers *p)
{
    MUST(p->refs > 0);
    if (--p->refs == 0) free(p);
}

struct peers *peers_new(struct conn_net *net, const char *self_name, const struct peers_hooks *hooks)
{
    struct peers *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->net = net;
    p->hooks = *hooks;
    TEXT_COPY(p->name, self_name);
    uv_timer_init(net->loop, &p->retry);
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

/* Sooner or later by chance, so that the managers do not come all at once; longer after each failure. */
static void retry_later(struct peers *p)
{
    unsigned shift = p->failures_n < 4 ? p->failures_n : 4;
    uint64_t ms = ((uint64_t)PEERS_RETRY_MS << shift) * (100 + clock_random() % 100) / 100;
    if (!p->stopping && p->leader_id != 0) uv_timer_start(&p->retry, on_retry, ms, 0);
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
    log_debug("peers.closed", "address=%s text=\"%s\"", p->leader_address, why);
    if (p->out == stream) {
        p->out = NULL;
        retry_later(p);
    }
    peers_unref(p);
}

static void dial_closed(void *arg, struct conn *conn, const char *why)
{
    struct peers *p = arg;
    if (p->dialling == conn) {
        p->dialling = NULL;
        p->failures_n++;
        log_limited(LOG_LEVEL_INFO, "peers.unreachable", "address=%s text=\"%s\"", p->leader_address, why);
        retry_later(p);
    }
    peers_unref(p);
}

/* True when who answers is the leader, as far as it can be known. */
static bool is_leader(const struct peers *p, struct conn *conn)
{
    return p->net->tls == NULL || conn_identity(conn)->id == p->leader_id;
}

/* First of all, so that the leader knows which versions this manager speaks as long as it is connected. */
static void say_hello(struct peers *p)
{
    struct hello hello = hello_own(p->id);
    struct frame_header header = {.type = PEERS_FRAME_HELLO};
    void *data = NULL;
    size_t size = 0;
    int rc = hello_encode(&hello, &data, &size);
    header.body_size = (uint32_t)size;
    if (rc == 0) rc = stream_send(p->out, &header, data);
    if (rc != 0) log_limited(LOG_LEVEL_WARN, "peers.send", "errno=%d text=\"no hello was sent\"", -rc);
    free(data);
}

static void dial_ready(void *arg, struct conn *conn)
{
    struct peers *p = arg;
    if (!is_leader(p, conn)) {
        char why[CONN_TEXT_SIZE + 64];
        struct text text = TEXT_ON(why);
        text_addf(&text, "%s answers, member %llu is wanted: check the addresses of the group", conn_name(conn),
                  (unsigned long long)p->leader_id);
        conn_close(conn, why);
        return;
    }
    struct stream *out = stream_take(conn, out_frame, out_closed, p);
    if (!out) return; /* dial_closed() follows. */
    p->dialling = NULL;
    p->failures_n = 0;
    p->out = out;
    say_hello(p);
    p->hooks.connected(p->hooks.arg);
}

static void dial_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    (void)arg;
    (void)conn;
    (void)data;
    (void)size;
    MUST_NOT_REACH(); /* Nothing comes before dial_ready(), and then it is a stream. */
}

static void dial(struct peers *p)
{
    const struct conn_hooks hooks = {.arg = p, .ready = dial_ready, .bytes = dial_bytes, .closed = dial_closed};
    if (p->stopping || p->leader_id == 0 || p->out || p->dialling) return;
    p->dialling = conn_dial(p->net, p->leader_address, FRAME_PEER, &hooks);
    if (p->dialling) p->refs++;
    else retry_later(p);
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
        struct conn *dialling = p->dialling;
        p->dialling = NULL;
        conn_close(dialling, "another manager leads");
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
    peers->failures_n = 0;
    peers->leader_id = wanted;
    TEXT_COPY(peers->leader_address, status->leader_address);
    dial(peers);
}

void peers_push(struct peers *peers, const struct fsm_cluster *cluster, const struct view_manager *mine)
{
    if (!peers->out || stream_queued(peers->out) > PEERS_QUEUE_MAX) return;
    struct proto_observation *o = &peers->observation;
    memset(o, 0, proto_observation_size(0));
    o->manager_id = peers->id;
    o->term = peers->term;
    TEXT_COPY(o->manager, peers->name);
    TEXT_COPY(o->cluster, cluster->name);
    o->declaration = cluster->version;
    o->sent = clock_mono();
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

/* The body of PEERS_FRAME_DIGEST: who, index, digest. */
enum { DIGEST_BODY_SIZE = 16 + PROTO_DIGEST_SIZE };

bool peers_digest_decode(const uint8_t *body, size_t size, uint64_t *id, struct agreement_digest *out)
{
    uint64_t head[2];
    if (size != DIGEST_BODY_SIZE) return false;
    memcpy(head, body, sizeof head);
    memcpy(out->digest, body + sizeof head, PROTO_DIGEST_SIZE);
    *id = le64toh(head[0]);
    out->index = le64toh(head[1]);
    return true;
}

bool peers_tell_digest(struct peers *peers, const struct agreement_digest *digest)
{
    uint8_t body[DIGEST_BODY_SIZE];
    const uint64_t head[2] = {htole64(peers->id), htole64(digest->index)};
    if (!peers->out || stream_queued(peers->out) > PEERS_QUEUE_MAX) return false;
    memcpy(body, head, sizeof head);
    memcpy(body + sizeof head, digest->digest, PROTO_DIGEST_SIZE);
    struct frame_header header = {.body_size = sizeof body, .type = PEERS_FRAME_DIGEST};
    return stream_send(peers->out, &header, body) == 0;
}

/* --- from the others -------------------------------------------------------------------------------------------- */

/* With TLS who sends must be who it says; false: the connection is refused. */
static bool is_sender(const struct peers *p, struct stream *stream, uint64_t id)
{
    struct conn *conn = stream_conn(stream);
    if (!p->net->tls || id == conn_identity(conn)->id) return true;
    conn_refuse(conn, CONN_REFUSED_ID, "it sends what member %llu is said to have seen", (unsigned long long)id);
    return false;
}

static void in_hello(struct peers *p, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    struct err e = {0};
    struct hello hello;
    if (hello_decode(&hello, body, header->body_size, &e) != 0) {
        log_limited(LOG_LEVEL_WARN, "peers.bad", "text=\"a manager's hello is none: %s\"", e.text);
        stream_close(stream);
        return;
    }
    if (!is_sender(p, stream, hello.manager_id)) return;
    hello.not_after_s = conn_identity(stream_conn(stream))->not_after_s;
    for (unsigned i = 0; i < PEERS_INCOMING_MAX; i++)
        if (p->incoming[i] == stream) p->hellos[i] = hello;
}

unsigned peers_hellos(const struct peers *peers, struct hello *out, unsigned max)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PEERS_INCOMING_MAX && n < max; i++)
        if (peers->incoming[i] && peers->hellos[i].manager_id != 0) out[n++] = peers->hellos[i];
    return n;
}

static void in_digest(struct peers *p, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    struct agreement_digest digest;
    uint64_t id;
    if (!peers_digest_decode(body, header->body_size, &id, &digest)) {
        log_limited(LOG_LEVEL_WARN, "peers.bad", "text=\"a manager sent a digest of %u bytes\"", header->body_size);
        stream_close(stream);
        return;
    }
    if (is_sender(p, stream, id)) p->hooks.digest(p->hooks.arg, id, &digest);
}

static int64_t late_ms(struct peers *p, struct stream *stream, struct mono sent)
{
    unsigned i = 0;
    while (i < PEERS_INCOMING_MAX && p->incoming[i] != stream) i++;
    MUST(i < PEERS_INCOMING_MAX); /* It is listed from peers_accept() to in_closed(), its last call. */
    return transit_late_ms(&p->transits[i], sent, clock_mono());
}

static void in_frame(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    struct peers *p = arg;
    struct err e = {0};
    if (p->stopping) return;
    if (header->type == PEERS_FRAME_DIGEST) in_digest(p, stream, header, body);
    if (header->type == PEERS_FRAME_HELLO) in_hello(p, stream, header, body);
    if (header->type != PEERS_FRAME_OBSERVATION) return; /* Of a newer version: observations are best effort. */
    if (proto_observation_decode(&p->observation, body, header->body_size, &e) != 0) {
        log_limited(LOG_LEVEL_WARN, "peers.bad", "text=\"a manager sent what is not an observation: %s\"", e.text);
        stream_close(stream);
        return;
    }
    if (!is_sender(p, stream, p->observation.manager_id)) return;
    p->observation.late_ms = late_ms(p, stream, p->observation.sent);
    p->hooks.received(p->hooks.arg, &p->observation);
}

static void in_closed(void *arg, struct stream *stream, const char *why)
{
    struct peers *p = arg;
    (void)why;
    for (unsigned i = 0; i < PEERS_INCOMING_MAX; i++) {
        if (p->incoming[i] != stream) continue;
        p->incoming[i] = NULL;
        p->hellos[i] = (struct hello){0};
        p->incoming_n--;
    }
    peers_unref(p);
}

/* Who comes again has ended its old connection, whether we see that yet or not. */
static void drop_older(struct peers *p, uint64_t id)
{
    for (unsigned i = 0; i < PEERS_INCOMING_MAX; i++)
        if (p->incoming[i] && conn_identity(stream_conn(p->incoming[i]))->id == id) stream_close(p->incoming[i]);
}

void peers_accept(struct peers *peers, struct conn *conn)
{
    unsigned i = 0;
    while (i < PEERS_INCOMING_MAX && peers->incoming[i]) i++;
    if (i == PEERS_INCOMING_MAX || peers->stopping) {
        conn_refuse(conn, CONN_REFUSED_LIMIT, "more than %d managers are connected", PEERS_INCOMING_MAX);
        return;
    }
    if (peers->net->tls) drop_older(peers, conn_identity(conn)->id);
    peers->incoming[i] = stream_take(conn, in_frame, in_closed, peers);
    if (!peers->incoming[i]) return;
    transit_begin(&peers->transits[i], conn_begun(conn));
    peers->refs++;
    peers->incoming_n++;
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
