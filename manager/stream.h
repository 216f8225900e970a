/* A framed byte stream over libuv: what connections of managers and clients have in common (lib/frame.h).
 *
 * Happy path: stream_take() begins to read; each whole frame goes to 'on_frame'; stream_send() queues copies. Failure
 * modes: end of file, a read or write error, a frame that is too long, or more than STREAM_QUEUE_MAX bytes not yet
 * taken by the other side: the stream closes, 'on_closed' is called once with the reason, memory is freed after it.
 * Loop thread only. */
#ifndef REGENT_MANAGER_STREAM_H
#define REGENT_MANAGER_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/frame.h"

struct uv_stream_s;
struct stream;

enum { STREAM_QUEUE_MAX = 8 << 20 };

/* 'body' is borrowed until the callee returns. The callee may call stream_send() and stream_close(). */
typedef void stream_frame_fn(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body);
/* 'why': static text, or "closed" after stream_close(). The stream must not be used after it. */
typedef void stream_closed_fn(void *arg, struct stream *stream, const char *why);

/* Takes over an open uv stream whose memory came from malloc, and reads from it. Returns NULL when memory is out (then
 * 'handle' is closed and freed). 'arg' is kept. */
struct stream *stream_take(struct uv_stream_s *handle, stream_frame_fn *on_frame, stream_closed_fn *on_closed,
                           void *arg);

/* Queues one frame (body copied). Returns 0, -EMSGSIZE, -ENOMEM, -EPIPE (closing), or -ENOBUFS when the queue is
 * full. */
int stream_send(struct stream *stream, const struct frame_header *header, const void *body) MUST_CHECK;

/* Queues raw bytes, for a preamble. As stream_send(). */
int stream_send_raw(struct stream *stream, const void *data, size_t size) MUST_CHECK;

/* Bytes that are queued and not yet taken by the other side. */
size_t stream_queued(const struct stream *stream);

/* Closes; 'on_closed' follows in a later turn of the loop. Harmless when it closes already. */
void stream_close(struct stream *stream);

#endif
