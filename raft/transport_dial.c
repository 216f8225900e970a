/* The connecting side of the stream seam.
 *
 * Happy path: resolve the address (no look-up for a numeric one), connect, write preamble and handshake, give the
 * stream to libraft. Failure modes: each step failing, the deadline over all of them, and the transport closing:
 * libraft's callback runs once with RAFT_NOCONNECTION (RAFT_CANCELED when closing) and it tries again later by itself.
 * A look-up can not be stopped once it runs: the dial then stays, answered, until the look-up ends. libraft is never
 * called back from inside transport_connect().
 *
 * libraft never reads from these streams, so it would notice a peer's end only by a message that is lost, such as the
 * vote for a peer that was restarted since (an election then takes 0.5 s to 1 s more, measured). So we read, expect
 * nothing, and tell 'on_lost' at the end of the stream. */
#include "raft/transport.h"

#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/frame.h"
#include "lib/log.h"

/* What libraft gets as a stream, and frees as a whole. */
struct link {
    uv_tcp_t tcp; /* First. 'data' is libraft's. */
    struct transport *t;
    raft_id id;
};

struct dial {
    struct transport *t;
    struct dial *next;
    struct raft_uv_connect *req; /* NULL once answered. */
    uv_tcp_t *tcp;               /* In a struct link. NULL once handed over or closing. */
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    raft_id id;
    char address[HANDSHAKE_ADDRESS_MAX + 1];
    uint8_t hello[FRAME_PREAMBLE_SIZE + HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX];
    size_t hello_size;
    bool resolving;
    unsigned open; /* Handles and look-ups that still refer to us. */
};

static void dial_unref(struct dial *d)
{
    struct transport *t = d->t;
    if (--d->open != 0) return;
    for (struct dial **p = &t->dials; *p != NULL; p = &(*p)->next) {
        if (*p != d) continue;
        *p = d->next;
        break;
    }
    t->dials_n--;
    free(d);
    transport_maybe_closed(t);
}

static void on_timer_closed(uv_handle_t *handle)
{
    dial_unref(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    free(handle);
    dial_unref(d);
}

static void log_change(const struct dial *d, bool failing, const char *why)
{
    for (struct transport_peer *p = d->t->peers; p < d->t->peers + TRANSPORT_PEERS_MAX; p++) {
        if (p->id != 0 && p->id != d->id) continue;
        p->id = d->id;
        if (p->failing == failing) return;
        p->failing = failing;
        if (failing) log_warn("raft.peer_unreachable", "peer=%llu address=%s text=\"%s\"", d->id, d->address, why);
        if (!failing) log_info("raft.peer_reached", "peer=%llu address=%s", d->id, d->address);
        return;
    }
}

static void on_link_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char unwanted[64]; /* The other side sends nothing; what comes is thrown away. */
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(unwanted, sizeof unwanted);
}

static void on_link_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    const struct link *link = (const struct link *)stream;
    struct transport *t = link->t;
    if (n > 0 && (uint8_t)buf->base[0] == TRANSPORT_REMOVED && !t->closing) t->on_removed(t->arg, link->id);
    if (n >= 0) return;
    (void)uv_read_stop(stream);
    /* libuv refuses writes after a read error (not after an end), and libraft would keep such a stream for ever: so
     * 'on_lost' must make it drop the stream. */
    if (!link->t->closing) link->t->on_lost(link->t->arg, link->id);
}

/* Answers libraft once. status 0 hands over the stream; else 'why' says what failed. */
static void dial_finish(struct dial *d, int status, const char *why)
{
    struct raft_uv_connect *req = d->req;
    uv_tcp_t *tcp = d->tcp;
    if (req == NULL) return;
    d->req = NULL;
    d->tcp = NULL;
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    if (status == 0) {
        tcp->data = NULL;
        d->open--; /* The timer still holds us. */
        (void)uv_read_start((uv_stream_t *)tcp, on_link_alloc, on_link_read);
        log_change(d, false, NULL);
        req->cb(req, (struct uv_stream_s *)tcp, 0);
        return;
    }
    if (status != RAFT_CANCELED) log_change(d, true, why);
    uv_close((uv_handle_t *)tcp, on_tcp_closed);
    req->cb(req, NULL, status);
}

static void dial_fail(struct dial *d, int uv_code)
{
    dial_finish(d, RAFT_NOCONNECTION, uv_strerror(uv_code));
}

static void on_deadline(uv_timer_t *timer)
{
    dial_finish(timer->data, RAFT_NOCONNECTION, "no connection within 2 s");
}

static void on_written(uv_write_t *write, int status)
{
    struct dial *d = write->data;
    if (d->req == NULL) return; /* Answered; the stream is closing. */
    if (status != 0) {
        dial_fail(d, status);
    } else {
        dial_finish(d, 0, NULL);
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct dial *d = connect->data;
    if (d->req == NULL) return;
    if (status == 0) {
        uv_buf_t buf = uv_buf_init((char *)d->hello, (unsigned)d->hello_size);
        transport_tune((uv_stream_t *)d->tcp);
        status = uv_write(&d->write, (uv_stream_t *)d->tcp, &buf, 1, on_written);
    }
    if (status != 0) dial_fail(d, status);
}

static int dial_connect(struct dial *d, const struct sockaddr *to)
{
    return uv_tcp_connect(&d->connect, d->tcp, to, on_connected);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct dial *d = resolve->data;
    d->resolving = false;
    if (d->req != NULL) {
        if (status == 0) status = dial_connect(d, found->ai_addr);
        if (status != 0) dial_fail(d, status);
    }
    uv_freeaddrinfo(found);
    dial_unref(d);
}

/* Splits "host:port" or "[host]:port". */
static bool split_address(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || !text_copy(port, port_size, colon + 1)) return false;
    size_t n = (size_t)(colon - address);
    if (address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    if (n == 0 || n >= host_size) return false;
    memcpy(host, address, n);
    host[n] = '\0';
    return true;
}

/* Starts with a numeric address at once, else with a look-up. Returns 0 or an error of libuv. */
static int dial_start(struct dial *d)
{
    char host[HANDSHAKE_ADDRESS_MAX + 1], port[16];
    uint64_t number = 0;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (!split_address(d->address, host, sizeof host, port, sizeof port)) return UV_EINVAL;
    if (!text_to_u64(port, &number) || number == 0 || number > 65535) return UV_EINVAL;
    if (uv_ip4_addr(host, (int)number, &v4) == 0) return dial_connect(d, (const struct sockaddr *)&v4);
    if (uv_ip6_addr(host, (int)number, &v6) == 0) return dial_connect(d, (const struct sockaddr *)&v6);
    int rv = uv_getaddrinfo(d->t->loop, &d->resolve, on_resolved, host, port, &hints);
    d->resolving = rv == 0;
    if (d->resolving) d->open++;
    return rv;
}

static void dial_hello(struct dial *d)
{
    struct handshake h = {.id = d->t->id, .wanted = d->id, .group = d->t->group};
    (void)TEXT_COPY(h.address, d->t->address);
    frame_preamble(d->hello, FRAME_RAFT);
    d->hello_size = FRAME_PREAMBLE_SIZE + handshake_write(d->hello + FRAME_PREAMBLE_SIZE, &h);
}

int transport_connect(struct raft_uv_transport *raft, struct raft_uv_connect *req, raft_id id, const char *address,
                      raft_uv_connect_cb cb)
{
    struct transport *t = raft->impl;
    if (t->closing || t->dials_n >= TRANSPORT_DIALS_MAX) return RAFT_NOCONNECTION;
    if (strcmp(address, TRANSPORT_NOWHERE) == 0) return RAFT_NOCONNECTION;
    struct dial *d = calloc(1, sizeof *d);
    struct link *link = calloc(1, sizeof *link);
    if (d == NULL || link == NULL || !TEXT_COPY(d->address, address) || uv_tcp_init(t->loop, &link->tcp) != 0) {
        free(d);
        free(link);
        return RAFT_NOCONNECTION;
    }
    if (t->address_of != NULL) (void)t->address_of(t->arg, id, d->address);
    uv_tcp_t *tcp = &link->tcp;
    link->t = t;
    link->id = id;
    req->cb = cb;
    d->t = t;
    d->req = req;
    d->id = id;
    d->tcp = tcp;
    d->open = 2;
    d->next = t->dials;
    t->dials = d;
    t->dials_n++;
    tcp->data = d->resolve.data = d->connect.data = d->write.data = d;
    dial_hello(d);
    MUST(uv_timer_init(t->loop, &d->timer) == 0);
    d->timer.data = d;
    MUST(uv_timer_start(&d->timer, on_deadline, TRANSPORT_DEADLINE_MS, 0) == 0);
    int rv = dial_start(d);
    if (rv == 0) return 0;
    /* libraft retries after its delay; the handles close by themselves. */
    log_change(d, true, uv_strerror(rv));
    d->req = NULL;
    d->tcp = NULL;
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    uv_close((uv_handle_t *)tcp, on_tcp_closed);
    return RAFT_NOCONNECTION;
}

void transport_dials_cancel(struct transport *t)
{
    for (struct dial *d = t->dials; d != NULL; d = d->next) {
        if (d->resolving) (void)uv_cancel((uv_req_t *)&d->resolve);
        dial_finish(d, RAFT_CANCELED, "stopping");
    }
}
