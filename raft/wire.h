/* Checks libraft's messages before libraft sees them.
 *
 * libraft 0.22.1 takes the lengths of a message as they come: it allocates what the 8 bytes of a header length say, and
 * reads as many entries or servers as a count promises, past the end of the header (uv_recv.c, uv_encoding.c). Who may
 * send is known by certificate, but one member that is broken must not take the others with it. So each message's
 * preamble and header are held back until they were checked; its payload passes as it comes.
 *
 *   preamble: u8 type | u8 0 | u8 version | 5 x 0 | u64 header length          (little endian, as all)
 *   header:   by type; its length must be exactly what type and counts make it
 *   payload:  entries or snapshot; its length stands in the header
 *
 * Failure mode: a violation is told by -EPROTO and a text; the connection must end. PURE. */
#ifndef REGENT_RAFT_WIRE_H
#define REGENT_RAFT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

enum {
    WIRE_PREAMBLE_SIZE = 16,
    WIRE_ENTRIES_MAX = 1024,           /* libraft sends 32 at a time. */
    WIRE_SERVERS_MAX = 64,
    WIRE_ADDRESS_SIZE = 128,
    WIRE_HEADER_MAX = 48 + 16 * WIRE_ENTRIES_MAX,
    WIRE_ENTRY_MAX = (1 << 20) + 8,    /* A command of RAFT_NODE_COMMAND_MAX with its length. */
    WIRE_ENTRIES_BYTES_MAX = 64 << 20,
    WIRE_SNAPSHOT_MAX = 64 << 20,
};

/* One direction of one connection. Zero it to begin, then set 'id'. */
struct wire {
    uint64_t id; /* Of the sender: it may ask for votes for itself only. */
    size_t have; /* Bytes of 'head'. */
    uint64_t payload_left;
    const char *why; /* After -EPROTO: static text. */
    uint8_t head[WIRE_PREAMBLE_SIZE + WIRE_HEADER_MAX];
};

/* Takes bytes off the front of *data (*size of them). Returns 1: *out (*out_size bytes, borrowed until the next call)
 * may go to libraft, call again; 0: all was taken, nothing to pass on; -EPROTO: see w->why. */
int wire_next(struct wire *w, const uint8_t **data, size_t *size, const uint8_t **out, size_t *out_size) MUST_CHECK;

#endif
