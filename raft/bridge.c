/* Between libraft and a connection. See bridge.h. */
#include "raft/bridge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/must.h"

enum {
    BRIDGE_READ_SIZE = 64 << 10,
    BRIDGE_QUEUE_HIGH = 1 << 20, /* libraft does not take it: reading from the other side stops here, */
    BRIDGE_QUEUE_LOW = 256 << 10, /* and goes on here. */
    BRIDGE_FLUSH_MS = 2000,
};

struct queued {
    uv_write_t request;
    struct bridge *bridge;
    uint8_t data[];
};

static _Thread_local uint8_t read_buffer[BRIDGE_READ_SIZE];

static void bridge_unref(struct bridge *b)
{
    if (--b->refs != 0) return;
    b->hooks.ended(b->hooks.arg, b);
    free(b);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    bridge_unref(handle->data);
}

static void close_pipe(struct bridge *b)
{
    if (!uv_is_closing((uv_handle_t *)&b->pipe)) uv_close((uv_handle_t *)&b->pipe, on_pipe_closed);
}

void bridge_close(struct bridge *bridge, const char *why)
{
    bridge->left = true;
    if (bridge->conn != NULL) conn_close(bridge->conn, why);
    close_pipe(bridge);
}

/* --- from libraft to the other side ------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init((char *)read_buffer, sizeof read_buffer);
}

static void libraft_left(struct bridge *b)
{
    b->left = true;
    close_pipe(b);
    if (b->conn == NULL) return;
    conn_resume(b->conn); /* So that its end is seen. */
    conn_set_deadline(b->conn, BRIDGE_FLUSH_MS, CONN_NOT_REFUSED, "what was written was not taken");
    conn_finish(b->conn, "libraft has closed its end");
}

static void on_pipe_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct bridge *b = stream->data;
    if (n == 0) return;
    if (n < 0) {
        libraft_left(b);
        return;
    }
    MUST(b->dialled); /* libraft never writes on the others. */
    if (b->conn == NULL || conn_write(b->conn, buf->base, (size_t)n) != 0) return; /* It closes. */
    if (conn_is_full(b->conn)) (void)uv_read_stop(stream);
}

static void on_drained(void *arg, struct conn *conn)
{
    struct bridge *b = arg;
    (void)conn;
    if (!uv_is_closing((uv_handle_t *)&b->pipe)) (void)uv_read_start((uv_stream_t *)&b->pipe, on_alloc, on_pipe_read);
}

/* --- from the other side to libraft ------------------------------------------------------------------------------- */

static size_t pipe_queued(const struct bridge *b)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&b->pipe);
}

static void on_written(uv_write_t *request, int status)
{
    struct queued *q = request->data;
    struct bridge *b = q->bridge;
    free(q);
    if (status != 0) libraft_left(b);
    else if (b->conn != NULL && pipe_queued(b) <= BRIDGE_QUEUE_LOW) conn_resume(b->conn);
}

static bool queue_rest(struct bridge *b, const uint8_t *data, size_t size)
{
    struct queued *q = malloc(sizeof *q + size);
    uv_buf_t buf = uv_buf_init(q == NULL ? NULL : (char *)q->data, (unsigned)size);
    if (q == NULL) return false;
    q->bridge = b;
    q->request.data = q;
    memcpy(q->data, data, size);
    if (uv_write(&q->request, (uv_stream_t *)&b->pipe, &buf, 1, on_written) == 0) return true;
    free(q);
    return false;
}

static bool pipe_write(struct bridge *b, const uint8_t *data, size_t size)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)size);
    int n = pipe_queued(b) > 0 ? UV_EAGAIN : uv_try_write((uv_stream_t *)&b->pipe, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) return false;
    size_t done = n < 0 ? 0 : (size_t)n;
    return done == size || queue_rest(b, data + done, size - done);
}

static void on_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct bridge *b = arg;
    const uint8_t *out;
    size_t out_size;
    int rc;
    if (b->dialled) {
        conn_refuse(conn, CONN_REFUSED_BYTES, "it sends on a connection that is for us to send on");
        return;
    }
    while ((rc = wire_next(&b->wire, &data, &size, &out, &out_size)) == 1) {
        if (uv_is_closing((uv_handle_t *)&b->pipe)) return;
        if (pipe_write(b, out, out_size)) continue;
        libraft_left(b);
        return;
    }
    if (rc != 0) conn_refuse(conn, CONN_REFUSED_BYTES, "%s", b->wire.why);
    else if (pipe_queued(b) > BRIDGE_QUEUE_HIGH) conn_pause(conn);
}

static void on_ready(void *arg, struct conn *conn)
{
    (void)arg;
    (void)conn;
    MUST_NOT_REACH(); /* It was ready before it came here. */
}

static void on_closed(void *arg, struct conn *conn, const char *why)
{
    struct bridge *b = arg;
    (void)conn;
    (void)why;
    b->conn = NULL;
    if (b->dialled && !b->left) b->hooks.lost(b->hooks.arg, b->id, false);
    close_pipe(b);
    bridge_unref(b);
}

static void on_old(void *arg, struct conn *conn)
{
    struct bridge *b = arg;
    (void)conn;
    if (!b->left) b->hooks.lost(b->hooks.arg, b->id, true);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

/* Two connected ends on the loop. When that fails, both are handles all the same and must be closed. */
static int open_pair(uv_loop_t *loop, uv_pipe_t *theirs, uv_pipe_t *ours)
{
    int fds[2];
    MUST(uv_pipe_init(loop, theirs, 0) == 0 && uv_pipe_init(loop, ours, 0) == 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) return -1;
    if (uv_pipe_open(theirs, fds[0]) != 0) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    if (uv_pipe_open(ours, fds[1]) == 0) return 0;
    close(fds[1]);
    return -1;
}

static void on_theirs_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Of a bridge that never was one. */
static void on_ours_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct bridge *bridge_new(struct conn *conn, uint64_t id, bool dialled, const struct bridge_hooks *hooks,
                          uv_stream_t **out)
{
    struct bridge *b = calloc(1, sizeof *b);
    uv_pipe_t *theirs = malloc(sizeof *theirs);
    if (b == NULL || theirs == NULL) {
        free(b);
        free(theirs);
        return NULL;
    }
    int rc = open_pair(conn_loop(conn), theirs, &b->pipe);
    b->pipe.data = b;
    if (rc == 0) rc = uv_read_start((uv_stream_t *)&b->pipe, on_alloc, on_pipe_read);
    if (rc != 0) {
        uv_close((uv_handle_t *)theirs, on_theirs_closed);
        uv_close((uv_handle_t *)&b->pipe, on_ours_closed);
        return NULL;
    }
    b->id = b->wire.id = id;
    b->dialled = dialled;
    b->hooks = *hooks;
    b->conn = conn;
    b->refs = 2;
    const struct conn_hooks mine = {b, on_ready, on_bytes, on_drained, on_closed, on_old};
    conn_set_hooks(conn, &mine);
    conn_set_deadline(conn, 0, CONN_NOT_REFUSED, NULL);
    *out = (uv_stream_t *)theirs;
    return b;
}
