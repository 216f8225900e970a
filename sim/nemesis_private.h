/* What nemesis.c (managers, network) and nemesis_server.c share. Not for others. */
#ifndef REGENT_SIM_NEMESIS_PRIVATE_H
#define REGENT_SIM_NEMESIS_PRIVATE_H

#include "sim/check.h"
#include "sim/nemesis.h"

enum { NEMESIS_KINDS_MAX = 32 };

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

/* --- nemesis_server.c --- */
fault_fn nemesis_transfer, nemesis_kill_server, nemesis_power_server, nemesis_pause_server, nemesis_stop_server,
    nemesis_server_disk, nemesis_server_applier, nemesis_server_logins, nemesis_server_clock, nemesis_purge,
    nemesis_errant, nemesis_operator_failover;
/* A master is lost. */
void nemesis_blow(struct nemesis *n);
/* The servers that run go on without trouble; some of the dead ones are started, others stay dead. */
void nemesis_heal_site(struct nemesis *n, struct site *site);

#endif
