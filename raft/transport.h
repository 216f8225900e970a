/* The stream seam of raft/: libraft gets streams from us, so that one listener serves Raft, managers and clients, and
 * mutual TLS later replaces only this file and its .c files.
 *
 * After the preamble of lib/frame.h (protocol FRAME_RAFT) the connecting side sends, little endian:
 *   u64 its id | u64 the id it wants to reach | u64 group id | u16 address length (1..127) | its address
 * The accepting side closes the connection when the wanted id or the group id is not its own, and after
 * TRANSPORT_DEADLINE_MS without a whole handshake. Only a removed member is answered, TRANSPORT_REMOVED; from then on
 * the stream is libraft's, and only the connecting side writes to it.
 *
 * Streams that libraft gets lie in memory from malloc() (libraft frees them with its default heap, which is free()). */
#ifndef REGENT_RAFT_TRANSPORT_H
#define REGENT_RAFT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raft/compat.h"

enum {
    TRANSPORT_REMOVED = 0x58,         /* Answered, before the end, to who is a member no more. */
    TRANSPORT_DEADLINE_MS = 2000,     /* Connect and handshake together; also for the accepting side. */
    TRANSPORT_USER_TIMEOUT_MS = 2000, /* Unacknowledged data for that long: reconnect, so that a healed net is used. */
    TRANSPORT_GREETS_MAX = 64,        /* Accepted connections without a whole handshake. */
    TRANSPORT_DIALS_MAX = 32,
    TRANSPORT_PEERS_MAX = 16,
    HANDSHAKE_FIXED_SIZE = 26,
    HANDSHAKE_ADDRESS_MAX = 127,
};

struct handshake {
    uint64_t id, wanted, group;
    char address[HANDSHAKE_ADDRESS_MAX + 1];
};

/* Writes a handshake to 'to' (at least HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX bytes). Returns its size. */
size_t handshake_write(uint8_t *to, const struct handshake *h);
/* Bytes that the whole handshake has, told by its fixed part; 0: the address length is not allowed. */
size_t handshake_size(const uint8_t from[HANDSHAKE_FIXED_SIZE]);
/* Reads a whole handshake. False when its address is no printable text. */
bool handshake_read(struct handshake *h, const uint8_t *from, size_t size);

/* An address that can not be connected to. */
#define TRANSPORT_NOWHERE "-"

struct dial;
struct greet;

/* Whether the last connection attempt to a peer failed: only changes are logged. */
struct transport_peer {
    uint64_t id;
    bool failing;
};

struct transport {
    struct raft_uv_transport raft; /* What libraft uses; raft.impl is this struct. */
    struct uv_loop_s *loop;
    /* The other side has closed a connection that libraft has from us: its process ended, or it did not want us. Must
     * make libraft drop that connection. */
    void (*on_lost)(void *arg, uint64_t id);
    /* Member 'id' says that this node is removed from the group. */
    void (*on_removed)(void *arg, uint64_t id);
    /* True: 'id' is removed from the group for sure, and is told so. NULL: nobody is. */
    bool (*is_removed)(void *arg, uint64_t id);
    /* Where 'id' listens, when that is known better than by libraft. NULL, or false: take libraft's. */
    bool (*address_of)(void *arg, uint64_t id, char address[HANDSHAKE_ADDRESS_MAX + 1]);
    void *arg;
    uint64_t id, group;
    char address[HANDSHAKE_ADDRESS_MAX + 1];
    raft_uv_accept_cb accept_cb; /* NULL: not listening (yet, or any more). */
    raft_uv_transport_close_cb close_cb;
    bool closing;
    struct dial *dials;   /* Also those whose handles are still closing. */
    struct greet *greets; /* The same. */
    unsigned dials_n, greets_n;
    struct transport_peer peers[TRANSPORT_PEERS_MAX]; /* By first use; a peer beyond these is not logged. */
};

/* Prepares t->raft for raft_uv_init(). */
void transport_init(struct transport *t, struct uv_loop_s *loop, uint64_t group_id);

/* Reads the handshake from an accepted stream (preamble already read) and hands it to libraft, or closes and frees
 * it. */
void transport_accept(struct transport *t, struct uv_stream_s *stream);

/* For transport_dial.c and transport.c. */
int transport_connect(struct raft_uv_transport *raft, struct raft_uv_connect *req, raft_id id, const char *address,
                      raft_uv_connect_cb cb);
void transport_dials_cancel(struct transport *t);
void transport_maybe_closed(struct transport *t);
/* Latency and dead-peer settings of a TCP stream; others are left alone. */
void transport_tune(struct uv_stream_s *stream);

#endif
