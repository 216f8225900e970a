/* One byte stream to another process: TCP, with mutual TLS or (on loopback only) in the clear, or the Unix socket.
 *
 * Happy path, accepting: conn_accept() takes a stream from a listener; when it is known who is there and which protocol
 * they speak (TLS: certificate and ALPN; else the preamble of lib/frame.h) 'ready' runs, then 'bytes' for what comes.
 * Dialling: conn_dial() looks the name up, tries each address, shakes hands; then the same. Who owns the connection may
 * change: conn_set_hooks() in 'ready'.
 *
 * Failure modes: each ends the connection, 'closed' runs once with the reason, always in a later turn of the loop.
 *   not ready within CONN_HANDSHAKE_MS, name look-up and slow bytes included     - a deadline set by the owner passes
 *   wrong preamble, refused certificate, broken TLS                             - end of stream, reset
 *   the other side does not take what is written (CONN_QUEUE_MAX)                - out of memory
 * The handshake of an accepted one begins when its first message (ClientHello) is whole, and later when many from its
 * address were refused lately (lib/conn_pace.h): until then it has cost nothing.
 * An accepted connection that ends within its handshake is logged as refused. The handshake is over when the owner
 * calls conn_set_deadline(): a protocol with a handshake of its own does that at the end of it.
 *
 * Back-pressure: conn_is_full() says when the writer should pause, 'drained' when to go on; conn_pause() and
 * conn_resume() are for the reader. Decrypted bytes that wait for conn_resume() are at most CONN_READ_SIZE.
 *
 * Loop thread only. */
#ifndef REGENT_CONN_H
#define REGENT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/mtime.h"
#include "lib/base/must.h"
#include "lib/conn_pace.h"
#include "lib/conn_told.h"
#include "lib/frame.h"
#include "lib/tls.h"

struct uv_loop_s;
struct uv_stream_s;
struct conn;

enum {
    CONN_HANDSHAKE_MS = 3000,
    CONN_QUEUE_HIGH = 1 << 20,  /* conn_is_full() from here on, */
    CONN_QUEUE_LOW = 256 << 10, /* and 'drained' when it has fallen to this. */
    CONN_QUEUE_MAX = 8 << 20,   /* A write beyond this ends the connection. */
    CONN_READ_SIZE = 64 << 10,
    CONN_ADDRESSES_MAX = 8,     /* Addresses of a name that are tried. */
    CONN_TEXT_SIZE = 256,
    CONN_AGE_MAX_S = 3600,      /* A dialled connection is then made anew, so that keys and certificates are fresh. */
};

/* What the connections of this process have in common. Memory is the owner's, and outlives all of them. */
struct conn_net {
    struct uv_loop_s *loop;
    struct tls *tls;   /* Borrowed. NULL: TCP in the clear, with loopback addresses only. */
    struct conn *list; /* All that are not ended. */
    struct conn_pace pace; /* Who failed: the next handshakes of that address are paced. */
    struct conn_told told; /* Who was told in the log to be refused, and why. */
};

struct conn_hooks {
    void *arg;
    /* It is known who is there; from here on conn_write() may be called. The deadline of the handshake runs until
     * conn_set_deadline(). */
    void (*ready)(void *arg, struct conn *conn);
    /* 'data' is borrowed until the callee returns. */
    void (*bytes)(void *arg, struct conn *conn, const uint8_t *data, size_t size);
    /* After conn_is_full(): there is room again. */
    void (*drained)(void *arg, struct conn *conn);
    /* The last call; 'conn' is freed after it. 'why' is borrowed. */
    void (*closed)(void *arg, struct conn *conn, const char *why);
    /* The connection, which we dialled, is older than CONN_AGE_MAX_S: make another one when it suits. May be NULL. */
    void (*old)(void *arg, struct conn *conn);
};

/* Why a connection is refused: each kind has its own limit on lines in the log. What a certificate or a member says is
 * told once, until it changes (lib/conn_told.h); for the others each connection is news. */
enum conn_refusal {
    CONN_NOT_REFUSED = 0,  /* Not logged. */
    CONN_REFUSED_TLS,      /* Certificate or handshake. */
    CONN_REFUSED_END,      /* It ended by itself before it was ready. */
    CONN_REFUSED_DEADLINE,
    CONN_REFUSED_BYTES,    /* It does not speak a protocol of ours. */
    CONN_REFUSED_LIMIT,    /* Too many. */
    CONN_REFUSED_ID,       /* Its certificate is of somebody else. */
    CONN_REFUSED_GROUP,
    CONN_REFUSED_REMOVED,  /* A member no more. */
    CONN_REFUSED_LATER,    /* Certificate expired or revoked meanwhile. */
    CONN_REFUSED_PACE,     /* Too many of its address have failed. */
    CONN_REFUSALS_N,
};

/* Nothing is connected yet. Borrows 'loop' and 'tls'. */
void conn_net_init(struct conn_net *net, struct uv_loop_s *loop, struct tls *tls);

/* Looks at all connections again: ends those whose certificate has expired or was revoked since (tls_check_again()),
 * calls 'old' of those that are too old. For a timer and after tls_reload(). */
void conn_net_check(struct conn_net *net);

/* Our own certificate is another one: calls 'old' of all that we dialled. */
void conn_net_renew(struct conn_net *net);

/* Takes over a just accepted stream whose memory came from malloc (uv_tcp_t or uv_pipe_t). 'local': a Unix socket,
 * plaintext, client protocol only. No hook runs before this returns. Copies 'hooks'. NULL when memory is out; the
 * stream is then closed. */
struct conn *conn_accept(struct conn_net *net, struct uv_stream_s *stream, bool local,
                         const struct conn_hooks *hooks);

/* Connects to "host:port" and will speak 'protocol'. No hook runs before this returns. Copies all. NULL when memory is
 * out; every other failure is told by 'closed'. */
struct conn *conn_dial(struct conn_net *net, const char *address, enum frame_protocol protocol,
                       const struct conn_hooks *hooks);

/* Another owner: from now on these hooks are called. All but 'old' and 'drained' must be set. */
void conn_set_hooks(struct conn *conn, const struct conn_hooks *hooks);

/* Ends the connection in 'ms' because of 'why' (static text) unless set anew; 0: no deadline. Logged by 'kind'. */
void conn_set_deadline(struct conn *conn, uint64_t ms, enum conn_refusal kind, const char *why);

/* Queues bytes (copied when they can not be sent at once). Returns 0; -EPIPE: closing or not ready; -ENOBUFS, -ENOMEM:
 * it closes now. */
int conn_write(struct conn *conn, const void *data, size_t size) MUST_CHECK;
int conn_writev(struct conn *conn, const struct iovec *parts, unsigned parts_n) MUST_CHECK; /* The same, gathered. */

/* Bytes that are queued and not yet taken by the kernel, encrypted. */
size_t conn_queued(const struct conn *conn);
bool conn_is_full(const struct conn *conn);

/* Stops and goes on calling 'bytes'. Harmless when repeated. conn_resume() never calls it itself. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

/* Ends the connection now; what is queued is lost. 'closed' follows with 'why' (copied). Harmless when repeated. */
void conn_close(struct conn *conn, const char *why);
/* The same after what is queued was sent. Nothing more can be written; a deadline bounds the wait. */
void conn_finish(struct conn *conn, const char *why);
/* conn_close(), and one line in the log that says who was refused and why, limited per kind. */
void conn_refuse(struct conn *conn, enum conn_refusal kind, const char *format, ...) REGENT_PRINTF(3, 4);

/* TCP_USER_TIMEOUT: sent data or a full window of the other side for that long ends the connection. */
void conn_set_user_timeout(struct conn *conn, int ms);

/* Once ready. Plaintext: role TLS_NOBODY. */
const struct tls_identity *conn_identity(const struct conn *conn);
enum frame_protocol conn_protocol(const struct conn *conn);
bool conn_is_local(const struct conn *conn);
/* When it was accepted, or dialled: before anything was read. */
struct mono conn_begun(const struct conn *conn);
struct uv_loop_s *conn_loop(const struct conn *conn);
/* "manager m2 (id 2) at 10.0.0.2:4711": for texts. Borrowed until the next call. */
const char *conn_name(const struct conn *conn);

#endif
