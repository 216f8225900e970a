/* A simulated manager: the production objects of fsm/, plan/, proto/, mysql/verb*, mysql/probe, raft/node*, raft/guard
 * and manager/{consensus,driver,execute,observe,sessions} in a process of the simulated world.
 *
 * What manager/shell.c, shell_ports.c and peers.c do over libuv is done here over the world's events: the same rounds
 * in the same order, the same ports. A life begins with manager_boot() and ends with sim_kill() or sim_host_off() of
 * its node; what libraft stored stays on its disk. */
#ifndef REGENT_SIM_MANAGER_H
#define REGENT_SIM_MANAGER_H

#include "lib/conn.h"
#include "manager/consensus.h"
#include "manager/driver.h"
#include "manager/hand_over.h"
#include "manager/sessions.h"
#include "manager/transit.h"
#include "sim/backend.h"

struct world;
struct deferred;

enum { MANAGERS_MAX = 5, MANAGER_ADDRESS_SIZE = 32 };

/* To the leader: where this manager's observations go. */
struct peer_link {
    struct sim_stream *stream;
    bool is_open;
    uint64_t leader_id; /* 0: nobody. */
    sim_event retry;
};

/* A connection that another manager began. Freed with the life, or when it closes. */
struct incoming {
    struct manager *manager;
    struct transit transit;
    struct incoming *next;
};

struct manager {
    struct world *world;
    struct sim *sim;
    sim_node node;
    unsigned index;
    uint64_t id;
    char name[SIM_NAME_SIZE], address[MANAGER_ADDRESS_SIZE];
    struct disk disk;
    struct rng rng; /* Of lib/clock.h and libraft. */
    struct raft_node_config config;
    struct conn_net net; /* Empty: no TLS; the connections are the simulator's. */

    /* One life. NULL while it is dead. */
    struct backend *backend;
    struct ports ports;
    struct consensus *consensus;
    struct sessions *sessions;
    struct observe *observe;
    struct execute *execute;
    struct driver *driver;
    struct hand_over *hand_over;
    struct peer_link peers;
    struct incoming *incoming;
    sim_event round, timer, later;
    struct mono wake_at;
    bool in_round, applied, is_dying;
    bool is_held; /* Paused by a fault: a write that ends does not resume it. */
    char fatal[256];
    struct deferred *deferred, **deferred_tail;
    uint64_t told_term, told_leader;
    bool told_established;
    char told_why[4][FSM_TEXT_SIZE]; /* By cluster. */
    struct raft_node_status status; /* As of the last round. */
};

/* Proposes a command in the name of whoever asks this manager, and checks its answer. As ports.consensus.propose(). */
int manager_propose(struct manager *manager, const struct fsm_command *command, port_proposed_fn *done, void *arg);

/* Adds the manager's node, dead, with a disk that holds the first configuration. */
void manager_init(struct manager *manager, struct world *world, unsigned index);
void manager_free(struct manager *manager);
/* Starts the dead process. False: it ended at once (text in manager->fatal). */
bool manager_boot(struct manager *manager);
bool manager_lives(const struct manager *manager);
/* It leads, and a barrier of its term is applied. */
bool manager_leads(const struct manager *manager);
/* NULL while it is dead. */
const struct fsm_state *manager_state(const struct manager *manager);
/* The process will end when the present event has: until then nothing leaves it. */
void manager_dies(struct manager *manager, const char *why);
/* A round follows in a moment. */
void manager_wake(struct manager *manager);

/* The call is made later, as this manager, or at the end of its life. */
void manager_later(struct manager *manager, void (*fn)(void *arg), void *arg);
/* Behind the pointer that the production code was given as its loop. */
struct manager *manager_of_loop(struct uv_loop_s *loop);

/* --- sim/peers.c -------------------------------------------------------------------------------------------------- */

/* Follows the leader; pushes observations to it; takes what others push. */
void peers_follow(struct manager *manager);
void peers_send(struct manager *manager, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n);
void peers_take(struct incoming *incoming, struct sim_blob *blob);

#endif
