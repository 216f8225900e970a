/* What env.c and env_node.c share. Not for others. */
#ifndef REGENT_SIM_ENV_PRIVATE_H
#define REGENT_SIM_ENV_PRIVATE_H

#include "lib/base/text.h"
#include "sim/env.h"
#include "sim/net.h"

#define SLOT_NONE UINT32_MAX

struct entry {
    int64_t at_us;
    uint64_t seq;
    uint32_t slot;
};

struct slot {
    sim_fn *fn; /* NULL: cancelled, or free. */
    void *arg;
    uint32_t generation, incarnation, next;
    uint32_t heap_at; /* SLOT_NONE: not in the heap. */
    sim_node node;
};

/* A clock that runs too fast by 'ppm' since 'true_us', when it read 'read_us'. */
struct drifting {
    int64_t true_us, read_us;
    int32_t ppm;
};

struct node {
    char name[SIM_NAME_SIZE];
    enum sim_process process;
    enum sim_host host;
    uint32_t incarnation;
    struct sim_node_hooks hooks;
    struct drifting mono;
    int64_t wall_ahead_us; /* Of the monotonic clock. */
    uint32_t *held; /* Slots of events that wait for the process to go on. */
    uint32_t held_n, held_room;
};

struct sim {
    uint64_t seed, seq, events_n, digest;
    int64_t now_us;
    struct entry *heap;
    size_t heap_n, heap_room;
    struct slot *slots;
    uint32_t slots_n, slots_free;
    struct node nodes[SIM_NODES_MAX];
    sim_node nodes_n, current;
    struct sim_set touched; /* By the present event. */
    struct net *net;
    sim_fn *after_event;
    void *after_event_arg;
    bool tracing;
};

#endif
