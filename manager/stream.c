/* Framed streams. See stream.h. */
#include "manager/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

struct stream {
    struct conn *conn;
    stream_frame_fn *on_frame;
    stream_closed_fn *on_closed;
    void *arg;
    struct frame_reader reader;
    uint64_t idle_ms, began_ms; /* 'began_ms': uv_now() at the first byte of the frame that is not whole yet. */
    bool in_frame;              /* The deadline of the connection is for the rest of a frame, else for the next one. */
    bool closing;
};

/* The deadline of a frame runs from its first byte, whatever part of it comes; only bytes at a fair pace move it. */
static void set_deadline(struct stream *s)
{
    size_t have = s->reader.len;
    uint64_t now_ms = uv_now(conn_loop(s->conn));
    if (have == 0) {
        s->in_frame = false;
        conn_set_deadline(s->conn, s->idle_ms, CONN_NOT_REFUSED, "nothing came for the idle time");
        return;
    }
    if (!s->in_frame) s->began_ms = now_ms;
    s->in_frame = true;
    uint64_t end_ms = s->began_ms + STREAM_FRAME_MS + have / STREAM_FRAME_BYTES_MS;
    conn_set_deadline(s->conn, end_ms > now_ms ? end_ms - now_ms : 1, CONN_REFUSED_DEADLINE, "a frame came too slowly");
}

static void on_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct stream *s = arg;
    struct frame_header header;
    const uint8_t *body;
    if (s->closing) return;
    int rc = frame_reader_push(&s->reader, data, size);
    if (rc == -ENOMEM) {
        conn_close(conn, "out of memory");
        return;
    }
    while (rc == 0 && !s->closing && frame_reader_peek(&s->reader, &header, &body) == 1) {
        s->on_frame(s->arg, s, &header, body);
        frame_reader_pop(&s->reader);
        s->in_frame = false;
        rc = frame_reader_push(&s->reader, NULL, 0); /* Looks at the length of the next one. */
    }
    if (rc != 0) conn_refuse(conn, CONN_REFUSED_BYTES, "a frame is longer than allowed");
    else if (!s->closing) set_deadline(s);
}

static void on_ready(void *arg, struct conn *conn)
{
    (void)arg;
    (void)conn;
    MUST_NOT_REACH(); /* It was ready before it came here. */
}

static void on_closed(void *arg, struct conn *conn, const char *why)
{
    struct stream *s = arg;
    (void)conn;
    s->closing = true;
    s->on_closed(s->arg, s, why);
    frame_reader_fini(&s->reader);
    free(s);
}

/* Whoever dialled it dials again. */
static void on_old(void *arg, struct conn *conn)
{
    (void)arg;
    conn_close(conn, "it is old");
}

struct stream *stream_take(struct conn *conn, stream_frame_fn *frame_fn, stream_closed_fn *closed_fn, void *arg)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s) {
        conn_close(conn, "out of memory");
        return NULL;
    }
    const struct conn_hooks hooks = {
        .arg = s, .ready = on_ready, .bytes = on_bytes, .closed = on_closed, .old = on_old};
    s->conn = conn;
    s->on_frame = frame_fn;
    s->on_closed = closed_fn;
    s->arg = arg;
    frame_reader_init(&s->reader);
    conn_set_hooks(conn, &hooks);
    set_deadline(s);
    return s;
}

void stream_set_idle(struct stream *stream, uint64_t ms)
{
    stream->idle_ms = ms;
    if (!stream->closing && !stream->in_frame) set_deadline(stream);
}

int stream_send(struct stream *stream, const struct frame_header *header, const void *body)
{
    uint8_t head[FRAME_HEADER_SIZE];
    if (header->body_size > FRAME_BODY_MAX) return -EMSGSIZE;
    frame_header_write(head, header);
    const struct iovec parts[] = {{head, sizeof head}, {(void *)body, header->body_size}};
    return conn_writev(stream->conn, parts, 2);
}

size_t stream_queued(const struct stream *stream)
{
    return conn_queued(stream->conn);
}

struct conn *stream_conn(const struct stream *stream)
{
    return stream->conn;
}

void stream_close(struct stream *stream)
{
    stream->closing = true;
    conn_close(stream->conn, "closed");
}
