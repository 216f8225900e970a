/* Frames (lib/frame.h) over a connection (lib/conn.h): what connections of managers and clients have in common.
 *
 * Happy path: stream_take() begins to read; each whole frame goes to 'on_frame'; stream_send() queues copies. Failure
 * modes: whatever ends the connection; a frame that is too long, or that is not whole within its deadline; silence for
 * the idle time: 'on_closed' is called once with the reason, memory is freed after it. Loop thread only. */
#ifndef REGENT_MANAGER_STREAM_H
#define REGENT_MANAGER_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/conn.h"

struct stream;

enum {
    STREAM_FRAME_MS = 4000,     /* From a frame's first byte to its last, header and body together; a long one gets a */
    STREAM_FRAME_BYTES_MS = 64, /* millisecond more for each 64 bytes that have come, not for those it says will. */
};

/* 'body' is borrowed until the callee returns. The callee may call stream_send() and stream_close(). */
typedef void stream_frame_fn(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body);
/* 'why': borrowed text. The stream must not be used after it. */
typedef void stream_closed_fn(void *arg, struct stream *stream, const char *why);

/* Takes over a connection that is ready. Returns NULL when memory is out (then 'conn' is closed and nothing is called).
 * 'arg' is kept. There is no idle time yet. */
struct stream *stream_take(struct conn *conn, stream_frame_fn *on_frame, stream_closed_fn *on_closed, void *arg);

/* From now on, and after each frame, the other side has 'ms' to begin the next one; 0: for ever. */
void stream_set_idle(struct stream *stream, uint64_t ms);

/* Queues one frame (body copied). Returns 0, -EMSGSIZE, -ENOMEM, -EPIPE (closing), or -ENOBUFS when the queue is
 * full. */
int stream_send(struct stream *stream, const struct frame_header *header, const void *body) MUST_CHECK;

/* Bytes that are queued and not yet taken by the other side. */
size_t stream_queued(const struct stream *stream);

/* Who is there. Borrowed, as long as the stream lives. */
struct conn *stream_conn(const struct stream *stream);

/* Closes; 'on_closed' follows in a later turn of the loop. Harmless when it closes already. */
void stream_close(struct stream *stream);

#endif
