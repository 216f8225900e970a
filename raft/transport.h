/* The stream seam of raft/: libraft gets streams from us, so that one listener serves Raft, managers and clients, and
 * TLS is ours (lib/conn.h, raft/bridge.h).
 *
 * When the connection is ready (lib/conn.h) the connecting side sends, little endian:
 *   u64 its id | u64 the id it wants to reach | u64 group id | u16 address length (1..127) | its address
 * The accepting side answers one byte, TRANSPORT_WELCOME or, before it closes, TRANSPORT_REMOVED; or it just closes,
 * when the wanted id or the group id is not its own, or when the id is not that of the caller's certificate. The
 * connecting side has checked before that who answers is whom it wants. All of it, connecting and TLS included, within
 * CONN_HANDSHAKE_MS. From then on only the connecting side sends, and what it sends is libraft's.
 *
 * Without TLS there is no certificate, and every process of this host is believed. */
#ifndef REGENT_RAFT_TRANSPORT_H
#define REGENT_RAFT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conn.h"
#include "raft/bridge.h"
#include "raft/compat.h"

enum {
    TRANSPORT_WELCOME = 0x52,
    TRANSPORT_REMOVED = 0x58,   /* The other answer, before the end: to who is a member no more. */
    TRANSPORT_GREETS_MAX = 64,  /* Accepted connections without a whole handshake. */
    TRANSPORT_DIALS_MAX = 32,
    TRANSPORT_BRIDGES_MAX = 64,
    TRANSPORT_ACCEPTED_MAX = 2, /* Of one id: the new one and one that is about to end; an older one is closed. */
    TRANSPORT_PEERS_MAX = 16,
    TRANSPORT_JITTER_MS = 100,  /* After a failure a dial waits up to that long, on top of libraft's own delay. */
    HANDSHAKE_FIXED_SIZE = 26,
    HANDSHAKE_ADDRESS_MAX = 127,
    HANDSHAKE_SIZE_MAX = HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX,
};

struct handshake {
    uint64_t id, wanted, group;
    char address[HANDSHAKE_ADDRESS_MAX + 1];
};

/* Writes a handshake to 'to' (at least HANDSHAKE_SIZE_MAX bytes). Returns its size. */
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
    struct conn_net *net;
    /* The other side has closed a connection that libraft has from us: its process ended, or it did not want us. Must
     * make libraft drop that connection. 'old': the same, but nothing has happened to the other side. */
    void (*on_lost)(void *arg, uint64_t id, bool old);
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
    struct dial *dials;     /* Also those whose handles are still closing. */
    struct greet *greets;   /* The same. */
    struct bridge *bridges; /* The same. The newest first. */
    unsigned dials_n, greets_n, bridges_n;
    struct transport_peer peers[TRANSPORT_PEERS_MAX]; /* By first use; a peer beyond these is not logged. */
};

/* Prepares t->raft for raft_uv_init(). Borrows 'net'. */
void transport_init(struct transport *t, struct conn_net *net, uint64_t group_id);

/* Reads the handshake from an accepted connection that is ready and speaks FRAME_RAFT, and hands it to libraft, or ends
 * it. */
void transport_accept(struct transport *t, struct conn *conn);

/* Ends the connections of members that were removed since: when they come again they are told. */
void transport_drop_removed(struct transport *t);

/* For transport_dial.c and transport.c. */
int transport_connect(struct raft_uv_transport *raft, struct raft_uv_connect *req, raft_id id, const char *address,
                      raft_uv_connect_cb cb);
void transport_dials_cancel(struct transport *t);
void transport_maybe_closed(struct transport *t);
/* Puts a bridge between 'conn' and the stream that it returns for libraft. NULL: 'conn' is closed. */
uv_stream_t *transport_bridge(struct transport *t, struct conn *conn, uint64_t id, bool dialled);

#endif
