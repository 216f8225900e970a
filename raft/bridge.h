/* Between libraft and a connection: libraft can only use a uv_stream_t, and TLS is none. So libraft gets one end of a
 * socketpair, and the bytes are pumped between the other end and the connection, in the clear and encrypted alike.
 *
 * Happy path: on the connecting side libraft writes and the bridge sends; on the accepting side each message is checked
 * (raft/wire.h) and libraft reads it; a side that is full stops the other. Failure modes: libraft closes its end: the
 * connection ends after what was written. The connection ends, or a message is refused: libraft's end reads an end of
 * stream, and 'lost' runs on the connecting side, where libraft never reads. */
#ifndef REGENT_RAFT_BRIDGE_H
#define REGENT_RAFT_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/conn.h"
#include "raft/wire.h"

struct bridge;

struct bridge_hooks {
    void *arg;
    /* The other side has gone while libraft still uses its end. Must make libraft close it: libraft would notice only
     * by a message that is lost. 'old': nothing is wrong, but the connection should be made anew. */
    void (*lost)(void *arg, uint64_t id, bool old);
    /* The last call; 'bridge' is freed after it. */
    void (*ended)(void *arg, struct bridge *bridge);
};

struct bridge {
    struct bridge *next; /* The owner's list. */
    uint64_t id;         /* Of the other side. */
    bool dialled;
    struct bridge_hooks hooks;
    struct conn *conn;   /* NULL: ended. */
    uv_pipe_t pipe;      /* Our end. */
    bool left;           /* libraft has closed its end, or we are told to end. */
    unsigned refs;       /* Pipe and connection. */
    struct wire wire;    /* Of what comes from the other side. */
};

/* Takes over a connection on which nothing but libraft's messages follows. Returns the bridge, for the owner's list,
 * and libraft's end in *out (its memory is from malloc(), for libraft to free). No memory or no descriptors: returns
 * NULL, and the connection is as it was, with its hooks. */
struct bridge *bridge_new(struct conn *conn, uint64_t id, bool dialled, const struct bridge_hooks *hooks,
                          uv_stream_t **out);

/* Ends both sides; 'ended' follows, 'lost' does not. */
void bridge_close(struct bridge *bridge, const char *why);

#endif
