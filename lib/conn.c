/* Connections: life, reading, writing, deadlines. See conn.h.
 *
 * Happy path: conn_greet() starts to read; the preamble or the TLS handshake makes it ready; each read goes to the
 * owner's 'bytes', through TLS or not. Writes go to the kernel at once when nothing is queued; only what it does not
 * take is copied. Failure modes: all go through conn_close(), which closes the handles; when the last one is closed,
 * 'closed' runs and the memory is freed. So no callback of libuv finds freed memory, and 'closed' never runs inside a
 * call of the owner. */
#include "lib/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/address.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/conn_private.h"

enum {
    KEEPALIVE_S = 1, /* Silence before the first probe, then between probes; given up after the second. */
    KEEPALIVE_PROBES = 2,
    USER_TIMEOUT_MS = 2000,         /* Between managers: so that a healed network is used at once. */
    CLIENT_USER_TIMEOUT_MS = 30000, /* A person may pause what follows events. */
};

struct queued {
    uv_write_t request;
    struct conn *conn;
    uint8_t data[];
};

/* libuv fills it and hands it over at once, so that one serves all connections of a thread. */
static _Thread_local uint8_t read_buffer[CONN_READ_SIZE];

/* --- life --------------------------------------------------------------------------------------------------------- */

void conn_net_init(struct conn_net *net, struct uv_loop_s *loop, struct tls *tls)
{
    *net = (struct conn_net){.loop = loop, .tls = tls};
}

void conn_stream_freed(uv_handle_t *handle)
{
    free(handle);
}

void conn_unref(struct conn *conn)
{
    MUST(conn->handles_n > 0);
    if (--conn->handles_n != 0) return;
    *conn->link = conn->next;
    if (conn->next != NULL) conn->next->link = conn->link;
    conn->hooks.closed(conn->hooks.arg, conn, conn->why);
    conn_tls_free(conn);
    free(conn);
}

static void on_timer_closed(uv_handle_t *handle)
{
    conn_unref(handle->data);
}

static void on_stream_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    free(handle);
    conn_unref(conn);
}

void conn_close(struct conn *conn, const char *why)
{
    if (conn->closing) return;
    conn->closing = true;
    (void)TEXT_COPY(conn->why, why);
    if (conn->dial != NULL) conn_dial_stop(conn);
    if (conn->stream != NULL) {
        if (conn->ssl != NULL) conn_tls_bye(conn);
        uv_close((uv_handle_t *)conn->stream, on_stream_closed);
    }
    uv_close((uv_handle_t *)&conn->deadline, on_timer_closed);
    uv_close((uv_handle_t *)&conn->kick, on_timer_closed);
}

void conn_fail(struct conn *conn, enum conn_refusal kind, const char *why)
{
    if (conn->closing) return;
    if (conn->accepted && !conn->settled) conn_note_refused(conn, kind, why);
    conn_close(conn, why);
}

void conn_finish(struct conn *conn, const char *why)
{
    if (conn->closing) return;
    conn->finishing = true;
    (void)TEXT_COPY(conn->why, why);
    if (conn->stream == NULL || conn_queued(conn) == 0) conn_close(conn, why);
}

static void on_deadline(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->settled) {
        if (conn->deadline_kind != CONN_NOT_REFUSED) conn_note_refused(conn, conn->deadline_kind, conn->deadline_why);
        conn_close(conn, conn->deadline_why);
        return;
    }
    conn_fail(conn, CONN_REFUSED_DEADLINE,
              conn->accepted ? "its handshake was not complete within 3 s" : "no connection within 3 s");
}

static void start_deadline(struct conn *conn, uint64_t ms)
{
    uv_update_time(conn->net->loop);
    MUST(uv_timer_start(&conn->deadline, on_deadline, ms, 0) == 0);
}

void conn_set_deadline(struct conn *conn, uint64_t ms, enum conn_refusal kind, const char *why)
{
    if (conn->closing) return;
    if (!conn->settled && conn->accepted) conn_note_welcome(conn);
    conn->settled = true;
    conn->deadline_kind = kind;
    conn->deadline_why = why;
    if (ms == 0) (void)uv_timer_stop(&conn->deadline);
    else start_deadline(conn, ms);
}

struct conn *conn_new(struct conn_net *net, const struct conn_hooks *hooks)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) return NULL;
    conn->net = net;
    conn->begun = clock_mono();
    conn_set_hooks(conn, hooks);
    conn->next = net->list;
    conn->link = &net->list;
    if (conn->next != NULL) conn->next->link = &conn->next;
    net->list = conn;
    MUST(uv_timer_init(net->loop, &conn->deadline) == 0 && uv_timer_init(net->loop, &conn->kick) == 0);
    conn->deadline.data = conn->kick.data = conn;
    conn->handles_n = 2;
    start_deadline(conn, CONN_HANDSHAKE_MS);
    return conn;
}

void conn_set_hooks(struct conn *conn, const struct conn_hooks *hooks)
{
    MUST(hooks->ready != NULL && hooks->bytes != NULL && hooks->closed != NULL);
    conn->hooks = *hooks;
}

void conn_net_check(struct conn_net *net)
{
    uint64_t now_ms = uv_now(net->loop);
    for (struct conn *c = net->list, *next; c != NULL; c = next) {
        struct err e = {0};
        next = c->next; /* Nothing is freed here: 'closed' comes later. */
        if (c->closing || c->state != CONN_READY) continue;
        if (c->ssl != NULL && net->tls != NULL && tls_check_again(net->tls, &c->identity, &e) != 0) {
            conn_refuse(c, CONN_REFUSED_LATER, "%s", e.text);
            continue;
        }
        /* By up to an eighth earlier, each another one, so that not all change at once. */
        uint64_t age_max_ms = CONN_AGE_MAX_S * 1000ULL - ((uintptr_t)c / 64 * 7919) % (CONN_AGE_MAX_S * 125ULL);
        if (!c->accepted && c->hooks.old != NULL && now_ms - c->born_ms > age_max_ms) c->hooks.old(c->hooks.arg, c);
    }
}

void conn_net_renew(struct conn_net *net)
{
    for (struct conn *c = net->list, *next; c != NULL; c = next) {
        next = c->next;
        bool is_ours = !c->closing && c->state == CONN_READY && !c->accepted;
        if (is_ours && c->hooks.old != NULL) c->hooks.old(c->hooks.arg, c);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool is_plain_greeting(const struct conn *conn)
{
    return conn->state == CONN_GREETING && conn->ssl == NULL;
}

/* In the clear exactly the preamble is read first: what follows belongs to the next owner. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *conn = handle->data;
    (void)suggested;
    if (is_plain_greeting(conn)) *buf = uv_buf_init((char *)conn->preamble + conn->have,
                                                    (unsigned)(sizeof conn->preamble - conn->have));
    else *buf = uv_buf_init((char *)read_buffer, sizeof read_buffer);
}

static void on_preamble(struct conn *conn, size_t n)
{
    conn->have += n;
    if (conn->have < sizeof conn->preamble) return;
    int protocol = frame_preamble_read(conn->preamble);
    if (protocol < 0 || (conn->local && protocol != FRAME_CLIENT)) {
        conn_fail(conn, CONN_REFUSED_BYTES, "it does not speak a protocol of Regent");
        return;
    }
    conn->protocol = (enum frame_protocol)protocol;
    conn_become_ready(conn);
}

static void on_read_end(struct conn *conn, ssize_t n)
{
    char why[CONN_TEXT_SIZE];
    struct text text = TEXT_ON(why);
    if (n == UV_EOF) text_add(&text, "the other side closed the connection");
    else text_addf(&text, "reading failed: %s", uv_strerror((int)n));
    if (!conn->settled) text_add(&text, " within its handshake");
    conn_fail(conn, CONN_REFUSED_END, why);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    (void)buf;
    if (conn->closing || n == 0) return;
    if (n < 0) on_read_end(conn, n);
    else if (is_plain_greeting(conn)) on_preamble(conn, (size_t)n);
    else if (conn->ssl != NULL) conn_tls_input(conn, read_buffer, (size_t)n);
    else conn->hooks.bytes(conn->hooks.arg, conn, read_buffer, (size_t)n);
}

void conn_start_reading(struct conn *conn)
{
    int rc = uv_read_start(conn->stream, on_alloc, on_read);
    if (rc != 0 && rc != UV_EALREADY) conn_close(conn, "the stream can not be read");
}

void conn_pause(struct conn *conn)
{
    conn->paused = true;
    if (!conn->closing && conn->stream != NULL) (void)uv_read_stop(conn->stream);
}

static void on_kick(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->closing || conn->paused) return;
    conn_tls_run(conn);
    if (!conn->closing && !conn->paused) conn_start_reading(conn);
}

void conn_resume(struct conn *conn)
{
    if (!conn->paused) return;
    conn->paused = false;
    if (conn->closing || conn->stream == NULL) return;
    if (conn->ssl != NULL && conn_tls_has_more(conn)) MUST(uv_timer_start(&conn->kick, on_kick, 0, 0) == 0);
    else conn_start_reading(conn);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

size_t conn_queued(const struct conn *conn)
{
    return conn->stream == NULL ? 0 : uv_stream_get_write_queue_size(conn->stream);
}

bool conn_is_full(const struct conn *conn)
{
    return conn->full;
}

static void on_written(uv_write_t *request, int status)
{
    struct queued *q = request->data;
    struct conn *conn = q->conn;
    free(q);
    if (conn->closing) return;
    if (status != 0) {
        char why[CONN_TEXT_SIZE];
        (void)snprintf(why, sizeof why, "writing failed: %s", uv_strerror(status));
        conn_fail(conn, CONN_REFUSED_END, why);
        return;
    }
    if (conn->finishing && conn_queued(conn) == 0) {
        char why[CONN_TEXT_SIZE];
        (void)TEXT_COPY(why, conn->why);
        conn_close(conn, why);
        return;
    }
    if (!conn->full || conn_queued(conn) > CONN_QUEUE_LOW) return;
    conn->full = false;
    if (conn->hooks.drained != NULL) conn->hooks.drained(conn->hooks.arg, conn);
}

static int close_unread(struct conn *conn)
{
    conn_close(conn, "the other side does not take what it is sent");
    return -ENOBUFS;
}

/* What the kernel did not take at once. The bound is for what TLS answers by itself, as often as it is asked: the
 * owner's writes have met theirs before, without what encryption adds. */
static int queue_rest(struct conn *conn, const uint8_t *data, size_t size)
{
    if (conn_queued(conn) + size > CONN_QUEUE_MAX + CONN_QUEUE_HIGH) return close_unread(conn);
    struct queued *q = malloc(sizeof *q + size);
    if (q == NULL) {
        conn_close(conn, "out of memory");
        return -ENOMEM;
    }
    q->conn = conn;
    q->request.data = q;
    memcpy(q->data, data, size);
    uv_buf_t buf = uv_buf_init((char *)q->data, (unsigned)size);
    if (uv_write(&q->request, conn->stream, &buf, 1, on_written) != 0) {
        free(q);
        conn_close(conn, "writing failed");
        return -EPIPE;
    }
    if (conn_queued(conn) > CONN_QUEUE_HIGH) conn->full = true;
    return 0;
}

int conn_raw_write(struct conn *conn, const void *data, size_t size)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)size);
    int n = conn_queued(conn) > 0 ? UV_EAGAIN : uv_try_write(conn->stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        char why[CONN_TEXT_SIZE];
        (void)snprintf(why, sizeof why, "writing failed: %s", uv_strerror(n));
        conn_fail(conn, CONN_REFUSED_END, why);
        return -EPIPE;
    }
    size_t done = n < 0 ? 0 : (size_t)n;
    return done == size ? 0 : queue_rest(conn, (const uint8_t *)data + done, size - done);
}

/* Up to 'size' bytes of the parts from *offset on, in one piece: small parts leave in one packet or record. */
static size_t gather(const struct iovec *parts, unsigned parts_n, size_t offset, uint8_t *to, size_t size)
{
    size_t n = 0;
    for (unsigned i = 0; i < parts_n && n < size; i++) {
        size_t len = parts[i].iov_len;
        if (offset >= len) {
            offset -= len;
            continue;
        }
        size_t take = len - offset < size - n ? len - offset : size - n;
        memcpy(to + n, (const uint8_t *)parts[i].iov_base + offset, take);
        n += take;
        offset = 0;
    }
    return n;
}

int conn_writev(struct conn *conn, const struct iovec *parts, unsigned parts_n)
{
    static _Thread_local uint8_t piece[CONN_PIECE_SIZE];
    size_t size = 0, done = 0;
    int rc = 0;
    if (conn->closing || conn->finishing || conn->state != CONN_READY) return -EPIPE;
    for (unsigned i = 0; i < parts_n; i++) size += parts[i].iov_len;
    if (conn_queued(conn) + size > CONN_QUEUE_MAX) return close_unread(conn);
    while (rc == 0 && done < size) {
        size_t n = gather(parts, parts_n, done, piece, sizeof piece);
        rc = conn->ssl != NULL ? conn_tls_write(conn, piece, n) : conn_raw_write(conn, piece, n);
        done += n;
    }
    return rc;
}

int conn_write(struct conn *conn, const void *data, size_t size)
{
    struct iovec part = {(void *)data, size};
    return conn_writev(conn, &part, 1);
}

/* --- greeting ----------------------------------------------------------------------------------------------------- */

void conn_set_user_timeout(struct conn *conn, int ms)
{
    int fd = -1;
    if (conn->closing || conn->stream == NULL || conn->stream->type != UV_TCP) return;
    if (uv_fileno((uv_handle_t *)conn->stream, &fd) != 0) return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/* Latency, and an end for those who vanish. A Unix socket needs neither. */
static void tune(struct conn *conn)
{
    int fd = -1, interval_s = KEEPALIVE_S, probes = KEEPALIVE_PROBES;
    if (conn->stream->type != UV_TCP || uv_fileno((uv_handle_t *)conn->stream, &fd) != 0) return;
    (void)uv_tcp_nodelay((uv_tcp_t *)conn->stream, 1);
    (void)uv_tcp_keepalive((uv_tcp_t *)conn->stream, 1, KEEPALIVE_S);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    conn_set_user_timeout(conn, USER_TIMEOUT_MS);
}

void conn_become_ready(struct conn *conn)
{
    conn->state = CONN_READY;
    conn->born_ms = uv_now(conn->net->loop);
    if (conn->protocol == FRAME_CLIENT) conn_set_user_timeout(conn, CLIENT_USER_TIMEOUT_MS);
    conn->hooks.ready(conn->hooks.arg, conn);
}

static void greet_plain(struct conn *conn)
{
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    if (conn->accepted) return; /* on_preamble() follows. */
    frame_preamble(preamble, conn->protocol);
    if (conn_raw_write(conn, preamble, sizeof preamble) == 0) conn_become_ready(conn);
}

void conn_greet(struct conn *conn, uv_stream_t *stream)
{
    conn->stream = stream;
    conn->stream->data = conn;
    conn->handles_n++;
    conn->state = CONN_GREETING;
    tune(conn);
    bool encrypted = conn->net->tls != NULL && !conn->local;
    if (encrypted && conn_tls_begin(conn) != 0) {
        conn_close(conn, "out of memory");
        return;
    }
    conn_start_reading(conn);
    if (conn->closing) return;
    if (!encrypted) greet_plain(conn);
    else if (!conn->accepted) conn_tls_run(conn);
}

/* False when the other side may not speak with us in the clear. */
static bool note_peer(struct conn *conn, uv_stream_t *stream)
{
    struct sockaddr_storage *sa = &conn->from;
    int size = sizeof *sa;
    (void)TEXT_COPY(conn->peer, "the local socket");
    if (conn->local) return true;
    if (uv_tcp_getpeername((uv_tcp_t *)stream, (struct sockaddr *)sa, &size) != 0) return conn->net->tls != NULL;
    conn_sockaddr_print(sa, conn->peer, sizeof conn->peer);
    return conn->net->tls != NULL || address_is_loopback((const struct sockaddr *)sa);
}

struct conn *conn_accept(struct conn_net *net, struct uv_stream_s *stream, bool local, const struct conn_hooks *hooks)
{
    struct conn *conn = conn_new(net, hooks);
    if (conn == NULL) {
        uv_close((uv_handle_t *)stream, conn_stream_freed);
        return NULL;
    }
    conn->accepted = true;
    conn->local = local;
    bool allowed = note_peer(conn, stream);
    conn_greet(conn, stream);
    if (!allowed) conn_fail(conn, CONN_REFUSED_BYTES, "without TLS only this host may connect");
    return conn;
}

/* --- who ---------------------------------------------------------------------------------------------------------- */

const struct tls_identity *conn_identity(const struct conn *conn)
{
    return &conn->identity;
}

enum frame_protocol conn_protocol(const struct conn *conn)
{
    return conn->protocol;
}

bool conn_is_local(const struct conn *conn)
{
    return conn->local;
}

struct mono conn_begun(const struct conn *conn)
{
    return conn->begun;
}

struct uv_loop_s *conn_loop(const struct conn *conn)
{
    return conn->net->loop;
}
