/* What backend.c (disk), backend_send.c (messages) and backend_uv.c (the rest of libuv) share. Not for others. */
#ifndef REGENT_SIM_BACKEND_PRIVATE_H
#define REGENT_SIM_BACKEND_PRIVATE_H

#include "raft/storage.h"
#include "raft/transport.h"
#include "sim/manager.h"
#include "sim/world.h"

struct backend_peer {
    struct backend *owner;
    uint64_t id;
    struct sim_stream *stream;
    bool is_open;
    int64_t retry_us;  /* No new connection before. */
    int64_t queued_us; /* Since when something waits; 0: nothing. */
};

struct backend {
    struct manager *manager;
    struct sim *sim;
    struct disk *disk;
    struct raft_io *io;
    struct transport *transport;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    unsigned tick_ms;
    raft_index next; /* Of the next append. */
    sim_event tick_event, write_event, get_event, stalled;
    struct raft_io_snapshot_get *get, *get_next;
    struct backend_peer peers[BACKEND_PEERS_MAX];
    unsigned peers_n;
    bool is_dead; /* Nothing goes out any more. */
};

/* The oldest write of the disk ends at its time. */
void backend_arm(struct backend *backend);
/* Event: a write that blocked the loop is done; 'arg' is the manager. */
void backend_stall_ends(void *arg);
/* raft_io.send. */
int backend_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                 raft_io_send_cb cb);

#endif
