/* The listener: one TCP address and one Unix socket for Raft, managers and clients.
 *
 * Every connection starts with the preamble of lib/frame.h; exactly that is read, then the stream is handed over by its
 * protocol. Failure modes: a wrong preamble or none within LISTEN_PREAMBLE_MS closes the connection (logged, limited);
 * more than LISTEN_PENDING_MAX connections without a preamble: the newest are closed; out of descriptors: accepting
 * pauses until the next connection event. Loop thread only. */
#ifndef REGENT_MANAGER_LISTEN_H
#define REGENT_MANAGER_LISTEN_H

#include "lib/base/err.h"
#include "lib/frame.h"

struct uv_loop_s;
struct uv_stream_s;
struct listen;

enum { LISTEN_PREAMBLE_MS = 2000, LISTEN_PENDING_MAX = 128 };

/* Takes 'stream' (malloc'd; the callee closes and frees it). */
typedef void listen_accept_fn(void *arg, enum frame_protocol protocol, struct uv_stream_s *stream);

/* Listens on 'address' (host:port) and, unless empty, on the Unix socket 'path' (mode 0660; a dead one is replaced,
 * one that answers is -EADDRINUSE). Raft and peer connections are refused on the Unix socket. Returns NULL with the
 * operator's text in 'e'. */
struct listen *listen_start(struct uv_loop_s *loop, const char *address, const char *path, struct err *e);

/* Connections go to 'accept' from now on; until then they wait in the backlog. Returns 0 or negative errno. */
int listen_open(struct listen *listen, listen_accept_fn *accept, void *arg, struct err *e) MUST_CHECK;

/* Closes everything and removes the socket file; memory is freed on the loop. */
void listen_stop(struct listen *listen);

#endif
