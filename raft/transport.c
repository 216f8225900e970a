/* The accepting side of the stream seam, the handshake's format, and closing.
 *
 * Happy path: transport_accept() reads exactly the handshake (never a byte beyond it: what follows is libraft's),
 * checks it and calls libraft's accept callback, which owns the stream from then on. Failure modes: end of stream,
 * deadline, oversized or wrong handshake, too many at once, transport closing: the stream is closed and freed
 * here, with one line in the log, rate limited. */
#include "raft/transport.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "lib/base/bound.h"
#include "lib/log.h"

enum { HANDSHAKE_SIZE_MAX = HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX };

struct greet {
    struct transport *t;
    struct greet *next;
    uv_stream_t *stream; /* NULL once handed over or closed. */
    uv_timer_t timer;
    uint8_t buf[HANDSHAKE_SIZE_MAX];
    size_t have, want;
    unsigned open; /* Handles whose close callback is still to come. */
    bool done;
};

static void put_u64(uint8_t *to, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) v |= (uint64_t)from[i] << (8 * i);
    return v;
}

size_t handshake_write(uint8_t *to, const struct handshake *h)
{
    size_t n = strlen(h->address);
    MUST(n >= 1 && n <= HANDSHAKE_ADDRESS_MAX);
    put_u64(to, h->id);
    put_u64(to + 8, h->wanted);
    put_u64(to + 16, h->group);
    to[24] = (uint8_t)n;
    to[25] = 0;
    memcpy(to + HANDSHAKE_FIXED_SIZE, h->address, n);
    return HANDSHAKE_FIXED_SIZE + n;
}

size_t handshake_size(const uint8_t from[HANDSHAKE_FIXED_SIZE])
{
    size_t n = (size_t)(from[24] | (unsigned)from[25] << 8);
    return n >= 1 && !BOUND(handshake_address, n > HANDSHAKE_ADDRESS_MAX) ? HANDSHAKE_FIXED_SIZE + n : 0;
}

bool handshake_read(struct handshake *h, const uint8_t *from, size_t size)
{
    MUST(size > HANDSHAKE_FIXED_SIZE && size <= HANDSHAKE_SIZE_MAX);
    size_t n = size - HANDSHAKE_FIXED_SIZE;
    h->id = get_u64(from);
    h->wanted = get_u64(from + 8);
    h->group = get_u64(from + 16);
    memcpy(h->address, from + HANDSHAKE_FIXED_SIZE, n);
    h->address[n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (h->address[i] <= ' ' || h->address[i] > '~') return false;
    }
    return true;
}

void transport_tune(struct uv_stream_s *stream)
{
    int fd = -1;
    int timeout_ms = TRANSPORT_USER_TIMEOUT_MS, interval_s = 1, count = 2;
    if (stream->type != UV_TCP || uv_fileno((uv_handle_t *)stream, &fd) != 0) return;
    (void)uv_tcp_nodelay((uv_tcp_t *)stream, 1);
    (void)uv_tcp_keepalive((uv_tcp_t *)stream, 1, 1);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

static void greet_unref(struct greet *g)
{
    struct transport *t = g->t;
    if (--g->open != 0) return;
    for (struct greet **p = &t->greets; *p != NULL; p = &(*p)->next) {
        if (*p != g) continue;
        *p = g->next;
        break;
    }
    t->greets_n--;
    free(g);
    transport_maybe_closed(t);
}

static void on_greet_timer_closed(uv_handle_t *handle)
{
    greet_unref(handle->data);
}

static void on_greet_stream_closed(uv_handle_t *handle)
{
    struct greet *g = handle->data;
    free(handle);
    greet_unref(g);
}

/* Ends the handshake: 'accepted' takes the stream out, else it is closed because of 'why'. */
static void greet_finish(struct greet *g, const char *why)
{
    if (g->done) return;
    g->done = true;
    if (why != NULL) {
        log_limited(LOG_LEVEL_WARN, "raft.handshake_refused", "text=\"%s\"", why);
        uv_close((uv_handle_t *)g->stream, on_greet_stream_closed);
    } else {
        g->open--; /* libraft owns the stream now; the timer still holds us. */
    }
    g->stream = NULL;
    uv_close((uv_handle_t *)&g->timer, on_greet_timer_closed);
}

static const char REMOVED[] = "the caller is removed from the group: stop it, its data directory is of no more use";

static const char *greet_check(const struct greet *g, const struct handshake *h)
{
    const struct transport *t = g->t;
    if (t->accept_cb == NULL) return "this node is starting or stopping";
    if (h->wanted != t->id) return "the caller wants another node: check the addresses of the group";
    if (h->group != t->group) return "the caller belongs to another group: check name and members of the group";
    if (t->is_removed != NULL && t->is_removed(t->arg, h->id)) return REMOVED;
    if (h->id == 0 || h->id == t->id) return "the caller has our own id or none: check the data directories";
    return NULL;
}

static void greet_whole(struct greet *g)
{
    struct handshake h;
    struct transport *t = g->t;
    uv_stream_t *stream = g->stream;
    const char *why = handshake_read(&h, g->buf, g->want) ? greet_check(g, &h) : "its address is no text";
    if (why == REMOVED) {
        char byte = TRANSPORT_REMOVED;
        uv_buf_t buf = uv_buf_init(&byte, 1);
        (void)uv_try_write(stream, &buf, 1); /* Lost: it asks again. */
    }
    if (why != NULL) {
        greet_finish(g, why);
        return;
    }
    (void)uv_read_stop(stream);
    greet_finish(g, NULL);
    stream->data = NULL;
    t->accept_cb(&t->raft, h.id, h.address, stream);
}

static void on_greet_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct greet *g = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)g->buf + g->have, (unsigned)(g->want - g->have));
}

static void on_greet_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct greet *g = stream->data;
    (void)buf;
    if (n < 0) {
        greet_finish(g, "the connection ended within the handshake");
        return;
    }
    g->have += (size_t)n;
    if (g->have < g->want) return;
    if (g->want > HANDSHAKE_FIXED_SIZE) {
        greet_whole(g);
        return;
    }
    g->want = handshake_size(g->buf);
    if (g->want == 0) greet_finish(g, "the length of its address is not allowed");
}

static void on_greet_deadline(uv_timer_t *timer)
{
    greet_finish(timer->data, "no whole handshake within 2 s");
}

static void on_refused_closed(uv_handle_t *handle)
{
    free(handle);
}

void transport_accept(struct transport *t, struct uv_stream_s *stream)
{
    struct greet *g = t->closing || t->greets_n >= TRANSPORT_GREETS_MAX ? NULL : calloc(1, sizeof *g);
    (void)uv_read_stop(stream);
    if (g == NULL) {
        log_limited(LOG_LEVEL_WARN, "raft.handshake_refused", "text=\"too many handshakes at once, or stopping\"");
        uv_close((uv_handle_t *)stream, on_refused_closed);
        return;
    }
    g->t = t;
    g->stream = stream;
    g->want = HANDSHAKE_FIXED_SIZE;
    g->open = 2;
    g->next = t->greets;
    t->greets = g;
    t->greets_n++;
    MUST(uv_timer_init(t->loop, &g->timer) == 0);
    g->timer.data = g;
    stream->data = g;
    transport_tune(stream);
    MUST(uv_timer_start(&g->timer, on_greet_deadline, TRANSPORT_DEADLINE_MS, 0) == 0);
    if (uv_read_start(stream, on_greet_alloc, on_greet_read) != 0) greet_finish(g, "the stream can not be read");
}

void transport_maybe_closed(struct transport *t)
{
    raft_uv_transport_close_cb cb = t->close_cb;
    if (!t->closing || cb == NULL || t->dials_n != 0 || t->greets_n != 0) return;
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
    for (struct greet *g = t->greets; g != NULL; g = g->next) greet_finish(g, "this node is stopping");
    transport_dials_cancel(t);
    t->close_cb = cb;
    transport_maybe_closed(t);
}

void transport_init(struct transport *t, struct uv_loop_s *loop, uint64_t group_id)
{
    memset(t, 0, sizeof *t);
    t->loop = loop;
    t->group = group_id;
    t->raft.version = 1;
    t->raft.impl = t;
    t->raft.init = transport_raft_init;
    t->raft.listen = transport_raft_listen;
    t->raft.connect = transport_connect;
    t->raft.close = transport_raft_close;
}
