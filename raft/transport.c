/* The accepting side of the stream seam, the handshake's format, and closing.
 *
 * Happy path: transport_accept() collects the handshake, checks it, answers one byte, puts a bridge between connection
 * and libraft, and calls libraft's accept callback. Failure modes: end of stream, deadline (lib/conn.h), oversized or
 * wrong handshake, an id that is not the certificate's, too many at once, transport closing: the connection ends, with
 * one line in the log, rate limited. */
#include "raft/transport.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/base/bound.h"
#include "lib/base/bytes.h"

struct greet {
    struct transport *t;
    struct greet *next;
    struct conn *conn;
    uint8_t buf[HANDSHAKE_SIZE_MAX];
    size_t have;
};

size_t handshake_write(uint8_t *to, const struct handshake *h)
{
    size_t n = strlen(h->address);
    MUST(n >= 1 && n <= HANDSHAKE_ADDRESS_MAX);
    bytes_put_u64(to, h->id);
    bytes_put_u64(to + 8, h->wanted);
    bytes_put_u64(to + 16, h->group);
    bytes_put_u16(to + 24, (uint16_t)n);
    memcpy(to + HANDSHAKE_FIXED_SIZE, h->address, n);
    return HANDSHAKE_FIXED_SIZE + n;
}

size_t handshake_size(const uint8_t from[HANDSHAKE_FIXED_SIZE])
{
    size_t n = bytes_u16(from + 24);
    return n >= 1 && !BOUND(handshake_address, n > HANDSHAKE_ADDRESS_MAX) ? HANDSHAKE_FIXED_SIZE + n : 0;
}

bool handshake_read(struct handshake *h, const uint8_t *from, size_t size)
{
    MUST(size > HANDSHAKE_FIXED_SIZE && size <= HANDSHAKE_SIZE_MAX);
    size_t n = size - HANDSHAKE_FIXED_SIZE;
    h->id = bytes_u64(from);
    h->wanted = bytes_u64(from + 8);
    h->group = bytes_u64(from + 16);
    memcpy(h->address, from + HANDSHAKE_FIXED_SIZE, n);
    h->address[n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (h->address[i] <= ' ' || h->address[i] > '~') return false;
    }
    return true;
}

/* --- bridges ------------------------------------------------------------------------------------------------------ */

static void on_bridge_lost(void *arg, uint64_t id, bool old)
{
    struct transport *t = arg;
    if (!t->closing) t->on_lost(t->arg, id, old);
}

static void on_bridge_ended(void *arg, struct bridge *bridge)
{
    struct transport *t = arg;
    struct bridge **p = &t->bridges;
    while (*p != bridge) p = &(*p)->next;
    *p = bridge->next;
    t->bridges_n--;
    transport_maybe_closed(t);
}

/* Who was restarted, or cut off, comes again before its old connection ends here. */
static void drop_older(struct transport *t, uint64_t id)
{
    unsigned n = 0;
    for (struct bridge *b = t->bridges; b != NULL; b = b->next) {
        if (b->dialled || b->left || b->id != id || ++n < TRANSPORT_ACCEPTED_MAX) continue;
        bridge_close(b, "the other side has connected anew");
    }
}

void transport_drop_removed(struct transport *t)
{
    if (t->is_removed == NULL || t->closing) return;
    for (struct bridge *b = t->bridges; b != NULL; b = b->next) {
        if (!b->left && t->is_removed(t->arg, b->id)) bridge_close(b, "the other side is removed from the group");
    }
}

uv_stream_t *transport_bridge(struct transport *t, struct conn *conn, uint64_t id, bool dialled)
{
    const struct bridge_hooks hooks = {t, on_bridge_lost, on_bridge_ended};
    uv_stream_t *stream = NULL;
    if (!dialled) drop_older(t, id);
    struct bridge *b = t->bridges_n < TRANSPORT_BRIDGES_MAX ? bridge_new(conn, id, dialled, &hooks, &stream) : NULL;
    if (b == NULL) {
        conn_close(conn, "too many connections, or no descriptors or memory left");
        return NULL;
    }
    b->next = t->bridges;
    t->bridges = b;
    t->bridges_n++;
    return stream;
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static void greet_free(struct greet *g)
{
    struct transport *t = g->t;
    struct greet **p = &t->greets;
    while (*p != g) p = &(*p)->next;
    *p = g->next;
    t->greets_n--;
    free(g);
    transport_maybe_closed(t);
}

static void refuse_removed(struct conn *conn, uint64_t id)
{
    static const uint8_t removed = TRANSPORT_REMOVED;
    if (conn_write(conn, &removed, 1) != 0) return; /* It asks again. */
    conn_refuse(conn, CONN_REFUSED_REMOVED, "member %" PRIu64 " is removed from the group: stop it, its data directory "
                "is of no more use", id);
}

/* Says whether the caller may come in; else ends it. */
static bool greet_check(const struct greet *g, const struct handshake *h)
{
    const struct transport *t = g->t;
    const struct tls_identity *who = conn_identity(g->conn);
    if (t->accept_cb == NULL) {
        conn_close(g->conn, "this node is starting or stopping");
    } else if (t->net->tls != NULL && (who->role != TLS_MANAGER || who->id != h->id)) {
        conn_refuse(g->conn, CONN_REFUSED_ID, "it says that it is member %" PRIu64 ", its certificate is of another: "
                    "issue one with the id of its data directory", h->id);
    } else if (h->wanted != t->id) {
        conn_refuse(g->conn, CONN_REFUSED_ID, "member %" PRIu64 " wants member %" PRIu64 ", this is %" PRIu64
                    ": check the addresses of the group", h->id, h->wanted, t->id);
    } else if (h->group != t->group) {
        conn_refuse(g->conn, CONN_REFUSED_GROUP, "member %" PRIu64 " belongs to another group: check name and members "
                    "of the group", h->id);
    } else if (t->is_removed != NULL && t->is_removed(t->arg, h->id)) {
        refuse_removed(g->conn, h->id);
    } else if (h->id == 0 || h->id == t->id) {
        conn_refuse(g->conn, CONN_REFUSED_ID, "its id is %" PRIu64 ", which is ours or none: check the data "
                    "directories", h->id);
    } else {
        return true;
    }
    return false;
}

static void greet_whole(struct greet *g, size_t size)
{
    static const uint8_t welcome = TRANSPORT_WELCOME;
    struct handshake h;
    struct transport *t = g->t;
    struct conn *conn = g->conn;
    if (!handshake_read(&h, g->buf, size)) {
        conn_refuse(conn, CONN_REFUSED_BYTES, "the address in its handshake is no text");
        return;
    }
    if (!greet_check(g, &h) || conn_write(conn, &welcome, 1) != 0) return;
    uv_stream_t *stream = transport_bridge(t, conn, h.id, false);
    if (stream == NULL) return;
    greet_free(g);
    t->accept_cb(&t->raft, h.id, h.address, stream);
}

/* Nothing may follow the handshake before it is answered. */
static void on_greet_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct greet *g = arg;
    size_t whole = HANDSHAKE_FIXED_SIZE;
    if (size > sizeof g->buf - g->have) {
        conn_refuse(conn, CONN_REFUSED_BYTES, "its handshake is longer than allowed");
        return;
    }
    memcpy(g->buf + g->have, data, size);
    g->have += size;
    if (g->have >= HANDSHAKE_FIXED_SIZE) whole = handshake_size(g->buf);
    if (whole == 0) conn_refuse(conn, CONN_REFUSED_BYTES, "the length of the address in its handshake is not allowed");
    else if (g->have > whole) conn_refuse(conn, CONN_REFUSED_BYTES, "it sends before its handshake was answered");
    else if (g->have == whole && whole > HANDSHAKE_FIXED_SIZE) greet_whole(g, whole);
}

static void on_greet_ready(void *arg, struct conn *conn)
{
    (void)arg;
    (void)conn;
    MUST_NOT_REACH(); /* It was ready before it came here. */
}

static void on_greet_closed(void *arg, struct conn *conn, const char *why)
{
    (void)conn;
    (void)why;
    greet_free(arg);
}

void transport_accept(struct transport *t, struct conn *conn)
{
    struct greet *g = t->closing || t->greets_n >= TRANSPORT_GREETS_MAX ? NULL : calloc(1, sizeof *g);
    if (g == NULL) {
        conn_refuse(conn, CONN_REFUSED_LIMIT, "too many Raft handshakes at once, or stopping");
        return;
    }
    const struct conn_hooks hooks = {
        .arg = g, .ready = on_greet_ready, .bytes = on_greet_bytes, .closed = on_greet_closed};
    g->t = t;
    g->conn = conn;
    g->next = t->greets;
    t->greets = g;
    t->greets_n++;
    conn_set_hooks(conn, &hooks);
}

/* --- what libraft calls ------------------------------------------------------------------------------------------- */

void transport_maybe_closed(struct transport *t)
{
    raft_uv_transport_close_cb cb = t->close_cb;
    if (!t->closing || cb == NULL || t->dials_n != 0 || t->greets_n != 0 || t->bridges_n != 0) return;
    t->close_cb = NULL;
    cb(&t->raft); /* May free 't'. */
}

static int transport_raft_init(struct raft_uv_transport *raft, raft_id id, const char *address)
{
    struct transport *t = raft->impl;
    size_t n = strlen(address);
    if (n < 1 || n > HANDSHAKE_ADDRESS_MAX) return RAFT_INVALID;
    memcpy(t->address, address, n + 1);
    t->id = id;
    return 0;
}

static int transport_raft_listen(struct raft_uv_transport *raft, raft_uv_accept_cb cb)
{
    struct transport *t = raft->impl;
    t->accept_cb = cb;
    return 0;
}

static void transport_raft_close(struct raft_uv_transport *raft, raft_uv_transport_close_cb cb)
{
    struct transport *t = raft->impl;
    t->closing = true;
    t->accept_cb = NULL;
    for (struct greet *g = t->greets; g != NULL; g = g->next) conn_close(g->conn, "this node is stopping");
    for (struct bridge *b = t->bridges; b != NULL; b = b->next) bridge_close(b, "this node is stopping");
    transport_dials_cancel(t);
    t->close_cb = cb;
    transport_maybe_closed(t);
}

void transport_init(struct transport *t, struct conn_net *net, uint64_t group_id)
{
    memset(t, 0, sizeof *t);
    t->net = net;
    t->group = group_id;
    t->raft.version = 1;
    t->raft.impl = t;
    t->raft.init = transport_raft_init;
    t->raft.listen = transport_raft_listen;
    t->raft.connect = transport_connect;
    t->raft.close = transport_raft_close;
}
