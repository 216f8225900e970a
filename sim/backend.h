/* libraft's I/O of one life of a simulated manager: a raft_io over sim/disk.h and sim/net.h.
 *
 * The production objects of raft/ (node, node_queue, guard) run unchanged above it: backend.c defines raft_uv_init()
 * and what else they ask of libuv, of the data directory and of the transport; the linker takes these in place of the
 * real ones. 'loop' and 'data_dir' that the node is started with both name the manager (sim/manager.h).
 *
 * Messages travel over one stream to each peer, as raft_uv has one connection to each: in order, lost with the
 * connection, which is made again 100 ms later; a connection whose data is not taken for 2 s is given up
 * (TCP_USER_TIMEOUT). Or, in worlds that ask for it, as datagrams: lost, doubled, out of order. */
#ifndef REGENT_SIM_BACKEND_H
#define REGENT_SIM_BACKEND_H

#include "sim/disk.h"
#include "sim/net.h"

enum { BACKEND_PEERS_MAX = 8 };

struct manager;
struct backend;

/* Of a life that begins. 'manager' outlives it. Never NULL. */
struct backend *backend_new(struct manager *manager);
void backend_free(struct backend *backend);

/* First member of what managers send each other. */
enum manager_word { WORD_RAFT = 1, WORD_OBSERVATION, WORD_WELCOME };
struct word_head {
    struct sim_blob blob;
    enum manager_word word;
};

/* A message of a peer's libraft arrived (sim/manager.c takes it from the stream). */
void backend_receive(struct backend *backend, sim_node from, struct sim_blob *blob);
/* Calls the callbacks of libraft's requests that are done. */
void backend_fire(struct backend *backend);
/* Takes datagrams too. */
void backend_listen(struct backend *backend);

#endif
