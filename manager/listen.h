/* The listener: one TCP address and one Unix socket for Raft, managers and clients.
 *
 * Every accepted connection is shaken hands with (lib/conn.h: TLS with ALPN, or the preamble of lib/frame.h), then
 * handed over by its protocol. Failure modes: a handshake that fails or is not complete in time is closed and logged
 * there; more than LISTEN_PENDING_MAX connections within their handshake: the newest are closed; out of descriptors:
 * accepting pauses until the next connection event. Loop thread only. */
#ifndef REGENT_MANAGER_LISTEN_H
#define REGENT_MANAGER_LISTEN_H

#include "lib/base/err.h"
#include "lib/conn.h"

struct listen;

enum { LISTEN_PENDING_MAX = 128 };

/* Takes 'conn', which is ready: the callee sets its hooks. */
typedef void listen_accept_fn(void *arg, enum frame_protocol protocol, struct conn *conn);

/* Listens on 'address' (host:port) and, unless empty, on the Unix socket 'path' (mode 0660; a dead one is replaced,
 * one that answers is -EADDRINUSE). Raft and peer connections are refused on the Unix socket. Borrows 'net'. Returns
 * NULL with the operator's text in 'e'. */
struct listen *listen_start(struct conn_net *net, const char *address, const char *path, struct err *e);

/* Connections go to 'accept' from now on; until then they wait in the backlog. Returns 0 or negative errno. */
int listen_open(struct listen *listen, listen_accept_fn *accept, void *arg, struct err *e) MUST_CHECK;

/* Closes everything and removes the socket file; memory is freed on the loop. */
void listen_stop(struct listen *listen);

#endif
