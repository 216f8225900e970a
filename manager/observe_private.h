/* What observe.c and observe_view.c share. Not for others. */
#ifndef REGENT_MANAGER_OBSERVE_PRIVATE_H
#define REGENT_MANAGER_OBSERVE_PRIVATE_H

#include <errno.h>

#include "lib/base/text.h"
#include "manager/observe.h"
#include "mysql/probe.h"

enum {
    OBSERVE_FAST_MS = 20,        /* While something is suspicious: DESIGN §8, "refused twice, 20 ms apart". */
    OBSERVE_SLOW_MS = 200,       /* When it stays suspicious for long. */
    OBSERVE_FAST_FOR_MS = 10000, /* How long a suspicion may be probed at the fast rate. */
    OBSERVE_TOLD_MS = 100,       /* What a report is under way for at least (manager/transit.h counts the rest). */
    VIEW_HEARD_MS = 2000,        /* A manager that pushed nothing for so long (and four probes) is not heard. */
};

struct observe_server {
    struct observe *owner;
    uint8_t cluster, server;
    bool running; /* A probe is outstanding. */
    struct mono due_at, started_at, ended_at, ok_at, alive_at, failing_since, refused_first;
    uint64_t mark[VIEW_CHANNELS_MAX];
    struct mono mark_at[VIEW_CHANNELS_MAX];
    struct mono ok_asked_at;   /* When the last whole answer was asked for. */
    struct mono waiting_since; /* Commits have surely waited, and none was acknowledged. Never: nobody waits. */
    struct mono acked_at;      /* A commit was acknowledged then, or later. Never: not seen in this incarnation. */
    int64_t took_ms; /* The last whole answer. */
};

/* Ages of a pushed observation as of its arrival. */
struct observe_ages {
    int64_t age_ms, ok_age_ms, alive_age_ms, failing_ms, acked_ms;
    int64_t idle_ms[VIEW_CHANNELS_MAX];
};

/* Who the managers are in this round. */
struct observe_managers {
    struct port_manager managers[VIEW_MANAGERS_MAX];
    uint8_t n, self;
};

struct observe_cluster {
    uint8_t cluster;
    uint64_t version; /* Of the declaration. */
    enum fsm_flavour flavour;
    uint32_t probe_ms, timeout_ms;
    uint8_t servers_n, master;
    fsm_set members;
    bool suspicious, suspected_by_leader;
    bool dirty;    /* Push in this round. */
    bool pushable; /* Something ended since the last push. */
    struct mono fast_until, pushed_at;
    struct observe_server servers[FSM_SERVERS_MAX];
    struct mono arrived[VIEW_MANAGERS_MAX]; /* Last report of each other manager. */
    struct observe_ages ages[VIEW_MANAGERS_MAX][FSM_SERVERS_MAX];
    char names[FSM_SERVERS_MAX][FSM_NAME_SIZE];
    struct view view;
};

struct observe {
    const struct ports *ports;
    observe_changed_fn *changed;
    void *changed_arg;
    struct observe_cluster *clusters[FSM_CLUSTERS_MAX];
    struct view_facts scratch;
    char sql[PROBE_SQL_SIZE]; /* Empty, or the probe of 'sql_flavour'. */
    enum fsm_flavour sql_flavour;
};

/* Probe period of a cluster at this moment, in ms. */
int64_t observe_period_ms(const struct observe_cluster *cl, struct mono now);
/* True while a probe of the cluster is outstanding. */
bool observe_is_running(const struct observe_cluster *cl);
/* Begins to observe a declared cluster. Returns NULL when memory is out (tried again in the next round). */
struct observe_cluster *observe_cluster_new(struct observe *o, uint8_t c, const struct fsm_cluster *declared);
/* Asks who the managers are: once a round, not once a cluster. */
void observe_managers(struct observe *o, struct observe_managers *group);
/* Takes over who is master and member, and who the managers are. */
void observe_cluster_follow(struct observe_cluster *cl, const struct fsm_cluster *declared,
                            const struct observe_managers *group);
/* Pushes this manager's observations when they changed, or once a probe period. */
void observe_push(struct observe *o, struct observe_cluster *cl, struct mono now);

#endif
