/* One seed's world: managers, clusters of simulated servers, clients, faults, checks.
 *
 * world_new() draws everything about it from the seed (swarm: each seed has its own sizes, rates and mix of faults);
 * world_run() lives through it: set-up and enrolment, the safety phase with faults, then the healing of a random core
 * and the liveness phase while the rest stays broken, then the checks of the end. It returns at the first violation. */
#ifndef REGENT_SIM_WORLD_H
#define REGENT_SIM_WORLD_H

#include "sim/manager.h"
#include "sim/mysqld.h"

enum { CLUSTERS_MAX = 4, CLUSTER_SERVERS_MAX = 6, CLUSTER_CLIENTS_MAX = 4, NEMESIS_FAULTS_MAX = 1024 };

enum world_verdict { WORLD_OK = 0, WORLD_SAFETY = 1, WORLD_LIVENESS = 3 };
enum { WORLD_CRASH = 4 }; /* Never a verdict: the process ends. */

struct world_options {
    uint64_t seed;
    bool is_traced;
    unsigned sites_max; /* Clusters: 1 to so many; 0: managers alone. */
    unsigned faults_n; /* Of the world that is minimised. */
    bool has_plots;    /* Faults at moments chosen against a rule, too (nemesis_plot.c, nemesis_strike.c). */
    bool checks_live;  /* L1 to L3 in the liveness phase, too. */
    int pretended;     /* Each seed ends so, before its first fault: an enum world_verdict, or WORLD_CRASH; 0: not. */
    bool leave_out[NEMESIS_FAULTS_MAX]; /* Faults that do not come, by number (--minimise). */
};

struct world_stats {
    int64_t simulated_us;
    uint64_t events, failovers, faults, writes, acks, probes, leader_changes, restores;
    bool leader_changed_in_plan;
    uint64_t digest;
};

struct check;
struct nemesis;
struct client;

/* A cluster of the world. */
struct site {
    struct world *world;
    unsigned index;
    char name[FSM_NAME_SIZE];
    enum fsm_durability durability;
    uint32_t probe_ms, timeout_ms;
    unsigned servers_n, clients_n;
    struct mysqld *servers[CLUSTER_SERVERS_MAX];
    struct client *clients[CLUSTER_CLIENTS_MAX];
    bool is_declared;
};

struct world {
    struct sim *sim;
    struct world_options options;
    uint64_t seed;
    struct rng rng; /* Of the swarm's draws. */
    bool raft_datagrams;
    bool is_healing; /* The liveness phase has begun. */
    uint64_t core;   /* Nodes of the managers and servers that were healed, as bits; 0 before. */
    unsigned managers_n;
    struct manager managers[MANAGERS_MAX];
    unsigned sites_n;
    struct site sites[CLUSTERS_MAX];
    struct check *check;
    struct nemesis *nemesis;
    struct world_stats stats;
    enum world_verdict verdict;
    char broken[512]; /* First rule that was broken, with its number. */
};

/* The world that is being simulated: for what the production code asks of its host (sim/host.c). */
extern struct world *the_world;

/* Never NULL; becomes the_world. */
struct world *world_new(const struct world_options *options);
void world_free(struct world *world);
/* Lives through it. What happened is in world->stats, verdict and broken. */
void world_run(struct world *world);
/* Notes a violation; the first one counts. */
void world_break(struct world *world, enum world_verdict verdict, const char *format, ...) REGENT_PRINTF(3, 4);

/* --- for sim/manager.c and what it stands on ---------------------------------------------------------------------- */

/* Node of the manager with that Raft id. */
sim_node world_manager_node(const struct world *world, uint64_t id);
/* By its name, which is also its data_dir. */
struct manager *world_manager(struct world *world, const char *name);
/* The node of that name: hosts are named so. */
sim_node world_node_named(const struct world *world, const char *name);
/* Fills the list of managers that the group began with. */
void world_members(const struct world *world, struct raft_node_member *out, unsigned *n);
/* The managers' option files cannot be read. */
bool world_credentials_missing(const struct world *world);
/* A manager's leadership is established; a manager has applied a command or restored a snapshot. */
void world_note_leader(struct world *world, struct manager *manager);
void world_note_applied(struct world *world, struct manager *manager);
/* The leader has proposed a failover of its own accord; nothing is committed yet. */
void world_note_proposal(struct world *world, struct manager *leader);
/* A plan of kind failover begins. */
void world_note_plan(struct world *world, const struct site *site);
/* It is at another step. */
void world_note_step(struct world *world, struct site *site, const struct fsm_plan *plan);
/* It is healed, and stays well. */
bool world_in_core(const struct world *world, sim_node node);
/* The manager that leads and is not paused; NULL: none. */
struct manager *world_leader(struct world *world);

#endif
