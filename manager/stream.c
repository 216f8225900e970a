/* Framed streams. See stream.h. */
#include "manager/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { STREAM_READ_SIZE = 64 << 10 };

struct stream {
    uv_stream_t *handle;
    stream_frame_fn *on_frame;
    stream_closed_fn *on_closed;
    void *arg;
    struct frame_reader reader;
    bool closing;
    const char *why;
    char buffer[STREAM_READ_SIZE];
};

struct stream_write {
    uv_write_t request;
    struct stream *stream;
    uint8_t data[];
};

static void handle_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    s->on_closed(s->arg, s, s->why);
    frame_reader_fini(&s->reader);
    free(handle);
    free(s);
}

static void close_because(struct stream *s, const char *why)
{
    if (s->closing) return;
    s->closing = true;
    s->why = why;
    uv_close((uv_handle_t *)s->handle, handle_closed);
}

void stream_close(struct stream *stream)
{
    close_because(stream, "closed");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct stream *s = handle->data;
    *buf = uv_buf_init(s->buffer, sizeof s->buffer);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = handle->data;
    if (n < 0) {
        close_because(s, n == UV_EOF ? "the other side closed the connection" : "reading failed");
        return;
    }
    if (n == 0) return;
    int rc = frame_reader_push(&s->reader, buf->base, (size_t)n);
    if (rc != 0) {
        close_because(s, rc == -ENOMEM ? "out of memory" : "a frame is longer than allowed");
        return;
    }
    struct frame_header header;
    const uint8_t *body;
    while (!s->closing && frame_reader_peek(&s->reader, &header, &body) == 1) {
        s->on_frame(s->arg, s, &header, body);
        if (!s->closing) frame_reader_pop(&s->reader);
    }
}

static void free_unused(uv_handle_t *handle)
{
    free(handle);
}

struct stream *stream_take(struct uv_stream_s *handle, stream_frame_fn *on_frame, stream_closed_fn *on_closed,
                           void *arg)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s) {
        uv_close((uv_handle_t *)handle, free_unused);
        return NULL;
    }
    s->handle = handle;
    s->on_frame = on_frame;
    s->on_closed = on_closed;
    s->arg = arg;
    frame_reader_init(&s->reader);
    handle->data = s;
    if (uv_read_start(handle, on_alloc, on_read) != 0) close_because(s, "reading failed");
    return s;
}

static void on_written(uv_write_t *request, int status)
{
    struct stream_write *w = request->data;
    if (status < 0 && status != UV_ECANCELED) close_because(w->stream, "writing failed");
    free(w);
}

static int write_parts(struct stream *s, const void *head, size_t head_size, const void *body, size_t body_size)
{
    if (s->closing) return -EPIPE;
    if (stream_queued(s) + head_size + body_size > STREAM_QUEUE_MAX) {
        close_because(s, "the other side does not take what it is sent");
        return -ENOBUFS;
    }
    struct stream_write *w = malloc(sizeof *w + head_size + body_size);
    if (!w) return -ENOMEM;
    w->stream = s;
    w->request.data = w;
    memcpy(w->data, head, head_size);
    if (body_size > 0) memcpy(w->data + head_size, body, body_size);
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)(head_size + body_size));
    int rc = uv_write(&w->request, s->handle, &buf, 1, on_written);
    if (rc == 0) return 0;
    free(w);
    close_because(s, "writing failed");
    return -EPIPE;
}

int stream_send(struct stream *stream, const struct frame_header *header, const void *body)
{
    uint8_t head[FRAME_HEADER_SIZE];
    if (header->body_size > FRAME_BODY_MAX) return -EMSGSIZE;
    frame_header_write(head, header);
    return write_parts(stream, head, sizeof head, body, header->body_size);
}

int stream_send_raw(struct stream *stream, const void *data, size_t size)
{
    return write_parts(stream, data, size, NULL, 0);
}

size_t stream_queued(const struct stream *stream)
{
    return uv_stream_get_write_queue_size(stream->handle);
}
