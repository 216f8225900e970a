/* What nemesis.c (managers, network) and nemesis_server.c share. Not for others. */
#ifndef REGENT_SIM_NEMESIS_PRIVATE_H
#define REGENT_SIM_NEMESIS_PRIVATE_H

#include "sim/check.h"
#include "sim/nemesis.h"

enum { NEMESIS_KINDS_MAX = 48 };

struct nemesis {
    struct world *world;
    struct sim *sim;
    struct rng pace; /* Which fault comes when. */
    struct rng rng;  /* Of the present fault. */
    struct rng strikes; /* Of the blows in the middle of plans. */
    bool is_over;
    unsigned number; /* Of the next fault. */
    uint32_t weight[NEMESIS_KINDS_MAX]; /* 0: not in this seed's mix. */
    uint32_t weights_sum;
    int64_t pause_max_us; /* Between faults. */
};

typedef void fault_fn(struct nemesis *n);

/* A time between 'low' and 'high', short ones likelier. */
int64_t nemesis_time(struct nemesis *n, int64_t low_us, int64_t high_us);

/* Cuts the links from each node of 'from' to each of 'to' (bits of nodes), for a while. */
void nemesis_cut(struct nemesis *n, uint64_t from, uint64_t to, int64_t for_us);
/* The same in both directions. */
void nemesis_cut_both(struct nemesis *n, uint64_t a, uint64_t b, int64_t for_us);
/* Boots the manager 'arg' (a struct manager) if it is dead; resumes it. */
sim_fn nemesis_boot_manager, nemesis_resume_manager;

/* --- nemesis_server.c --- */

struct victim {
    struct nemesis *nemesis;
    struct site *site;
    struct mysqld *m;
    sim_node node;
};

/* Server number 'server' of the site. */
struct victim nemesis_server(struct nemesis *n, struct site *site, unsigned server);
/* 'fn' gets a copy of the victim after a while; it frees it. */
void nemesis_later(const struct victim *v, int64_t us, sim_fn *fn);
/* For nemesis_later(): it is started, goes on, has no trouble any more. */
sim_fn nemesis_boot, nemesis_go_on, nemesis_trouble_ends;
/* A person changes what commits wait for: semi-sync off when 'v' is the master, on when it is no acker (A6, A7). False:
 * there is nothing to be changed on it. */
bool nemesis_meddle_with(const struct victim *v);
/* An operator asks the leader to fail over to server 'to' (FSM_SERVER_NONE: to any). */
void nemesis_ask_failover(struct nemesis *n, struct site *site, uint8_t to);

fault_fn nemesis_transfer, nemesis_kill_server, nemesis_power_server, nemesis_pause_server, nemesis_stop_server,
    nemesis_server_disk, nemesis_server_applier, nemesis_server_logins, nemesis_server_clock, nemesis_purge,
    nemesis_errant, nemesis_meddle, nemesis_operator_failover;
/* Starts the dead process, on a host that is switched on; nothing when it lives. */
void nemesis_start_server(struct sim *sim, struct mysqld *m);
/* In a world that has healed a person may change what commits wait for, for good. */
void nemesis_meddle_healed(struct nemesis *n, struct site *site);
/* Its disk, its applier and its logins are well again. */
void nemesis_relieve(struct mysqld *m);
/* A master is lost. */
void nemesis_blow(struct nemesis *n);
/* --- nemesis_plot.c --- */
fault_fn nemesis_plot_lag, nemesis_plot_acker, nemesis_plot_deaf, nemesis_plot_hide, nemesis_plot_wake,
    nemesis_plot_split, nemesis_plot_wait, nemesis_plot_alone;

#endif
