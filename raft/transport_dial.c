/* The connecting side of the stream seam.
 *
 * Happy path: dial (lib/conn.h: look-up, connect, TLS), check who answers, write the handshake, wait for the welcome,
 * put a bridge between connection and libraft, give libraft its end. Failure modes: each step failing, the deadline
 * over all of them, and the transport closing: libraft's callback runs once with RAFT_NOCONNECTION (RAFT_CANCELED when
 * closing), and it tries again later by itself. libraft is never called back from inside transport_connect().
 *
 * libraft waits the same time after each failure. So that members that lost the same one do not come back in step, a
 * dial to a peer that failed last time begins after a random wait. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "raft/transport.h"

struct dial {
    struct transport *t;
    struct dial *next;
    struct raft_uv_connect *req; /* NULL once answered. */
    struct conn *conn;           /* NULL: not begun, handed over, or ended. */
    uv_timer_t wait;
    raft_id id;
    unsigned refs; /* Timer, connection. */
    char address[HANDSHAKE_ADDRESS_MAX + 1];
};

static void dial_unref(struct dial *d)
{
    struct transport *t = d->t;
    if (--d->refs != 0) return;
    struct dial **p = &t->dials;
    while (*p != d) p = &(*p)->next;
    *p = d->next;
    t->dials_n--;
    free(d);
    transport_maybe_closed(t);
}

static void on_wait_closed(uv_handle_t *handle)
{
    dial_unref(handle->data);
}

static struct transport_peer *find_peer(struct transport *t, raft_id id)
{
    for (struct transport_peer *p = t->peers; p < t->peers + TRANSPORT_PEERS_MAX; p++) {
        if (p->id != 0 && p->id != id) continue;
        p->id = id;
        return p;
    }
    return NULL;
}

static void log_change(const struct dial *d, bool failing, const char *why)
{
    struct transport_peer *p = find_peer(d->t, d->id);
    if (p == NULL || p->failing == failing) return;
    p->failing = failing;
    if (failing) log_warn("raft.peer_unreachable", "peer=%llu address=%s text=\"%s\"", d->id, d->address, why);
    else log_info("raft.peer_reached", "peer=%llu address=%s", d->id, d->address);
}

/* Answers libraft once: with a stream, or with what failed. */
static void dial_answer(struct dial *d, uv_stream_t *stream, int status, const char *why)
{
    struct raft_uv_connect *req = d->req;
    if (req == NULL) return;
    d->req = NULL;
    uv_close((uv_handle_t *)&d->wait, on_wait_closed);
    if (status != RAFT_CANCELED) log_change(d, status != 0, why);
    req->cb(req, stream, status);
}

static void on_closed(void *arg, struct conn *conn, const char *why)
{
    struct dial *d = arg;
    (void)conn;
    d->conn = NULL;
    dial_answer(d, NULL, RAFT_NOCONNECTION, why);
    dial_unref(d);
}

/* True when who answers is whom we want, as far as it can be known. */
static bool is_wanted(const struct dial *d)
{
    const struct tls_identity *who = conn_identity(d->conn);
    return d->t->net->tls == NULL || (who->role == TLS_MANAGER && who->id == d->id);
}

static void on_ready(void *arg, struct conn *conn)
{
    struct dial *d = arg;
    struct handshake h = {.id = d->t->id, .wanted = d->id, .group = d->t->group};
    uint8_t hello[HANDSHAKE_SIZE_MAX];
    if (!is_wanted(d)) {
        char why[CONN_TEXT_SIZE + 80];
        (void)snprintf(why, sizeof why, "%s answers, member %llu is wanted: check the addresses of the group",
                       conn_name(conn), d->id);
        conn_close(conn, why);
        return;
    }
    (void)TEXT_COPY(h.address, d->t->address);
    if (conn_write(conn, hello, handshake_write(hello, &h)) != 0) return; /* It closes. */
}

static void on_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct dial *d = arg;
    if (size == 1 && data[0] == TRANSPORT_REMOVED) {
        if (!d->t->closing) d->t->on_removed(d->t->arg, d->id);
        conn_close(conn, "it says that this node is removed from the group");
        return;
    }
    if (size != 1 || data[0] != TRANSPORT_WELCOME) {
        conn_close(conn, "it does not answer as a member does");
        return;
    }
    uv_stream_t *stream = transport_bridge(d->t, conn, d->id, true);
    if (stream == NULL) return;
    d->conn = NULL;
    dial_answer(d, stream, 0, NULL);
    dial_unref(d);
}

static bool dial_begin(struct dial *d)
{
    const struct conn_hooks hooks = {.arg = d, .ready = on_ready, .bytes = on_bytes, .closed = on_closed};
    d->conn = conn_dial(d->t->net, d->address, FRAME_RAFT, &hooks);
    if (d->conn == NULL) return false;
    d->refs++;
    return true;
}

static void on_waited(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    if (!dial_begin(d)) dial_answer(d, NULL, RAFT_NOCONNECTION, "out of memory");
}

int transport_connect(struct raft_uv_transport *raft, struct raft_uv_connect *req, raft_id id, const char *address,
                      raft_uv_connect_cb cb)
{
    struct transport *t = raft->impl;
    if (t->closing || t->dials_n >= TRANSPORT_DIALS_MAX) return RAFT_NOCONNECTION;
    if (strcmp(address, TRANSPORT_NOWHERE) == 0) return RAFT_NOCONNECTION;
    if (t->is_removed != NULL && t->is_removed(t->arg, id)) return RAFT_NOCONNECTION; /* libraft never stops. */
    struct dial *d = calloc(1, sizeof *d);
    if (d == NULL || !TEXT_COPY(d->address, address)) {
        free(d);
        return RAFT_NOCONNECTION;
    }
    if (t->address_of != NULL) (void)t->address_of(t->arg, id, d->address);
    const struct transport_peer *peer = find_peer(t, id);
    uint64_t wait_ms = peer != NULL && peer->failing ? clock_random() % TRANSPORT_JITTER_MS : 0;
    req->cb = cb;
    d->t = t;
    d->req = req;
    d->id = id;
    d->refs = 1;
    d->next = t->dials;
    t->dials = d;
    t->dials_n++;
    MUST(uv_timer_init(t->net->loop, &d->wait) == 0);
    d->wait.data = d;
    uv_update_time(t->net->loop);
    MUST(uv_timer_start(&d->wait, on_waited, wait_ms, 0) == 0);
    return 0;
}

void transport_dials_cancel(struct transport *t)
{
    for (struct dial *d = t->dials; d != NULL; d = d->next) {
        if (d->conn != NULL) conn_close(d->conn, "stopping");
        dial_answer(d, NULL, RAFT_CANCELED, "stopping");
    }
}
