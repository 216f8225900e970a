/* What operators and programs are shown: JSON built from the replicated state and from what the managers see.
 *
 * Shapes are fixed (issue 2): keys are added, none is changed. Every builder returns a new jansson object that the
 * caller releases, and never fails but for memory, which is MUST. Text for people is made of this JSON by the CLI. */
#ifndef REGENT_MANAGER_REPORT_H
#define REGENT_MANAGER_REPORT_H

#include <jansson.h>

#include "fsm/state.h"
#include "manager/config.h"
#include "plan/diagnose.h"
#include "plan/view.h"
#include "proto/hello.h"
#include "raft/node.h"

/* States of a cluster as shown, worst first; the first that fits is shown (report_cluster_state). */
#define REPORT_STATES(X)                                                                                              \
    X(FAILING_OVER, failing_over) /* a failover plan runs */                                                          \
    X(QUARANTINED, quarantined)   /* the master, or the declared one, is quarantined: an operator is needed */        \
    X(NO_MASTER, no_master)       /* no server accepts writes: not enrolled yet, or the master is gone */             \
    X(PAUSED, paused)             /* an operator paused it; the master answers */                                     \
    X(STALLED, stalled)           /* commits wait for an acker */                                                     \
    X(DEGRADED, degraded)         /* it works, but something is missing */                                            \
    X(OK, ok)

enum report_state {
#define X(id, name) REPORT_##id,
    REPORT_STATES(X)
#undef X
};

/* The word as shown and compared: "ok", "failing_over", ... Static. */
const char *report_state_name(enum report_state state);

enum { REPORT_HELLOS_MAX = 24 };

/* This manager and the group, as shown. */
struct report_node {
    char name[FSM_NAME_SIZE];
    uint64_t id, term, index; /* index: last applied. */
    uint64_t leader_id;       /* 0: none known. */
    bool established;         /* raft_node_status.established: answers are the group's, not a follower's memory. */
    unsigned members_n;
    struct raft_node_member members[RAFT_NODE_MEMBERS_MAX]; /* The voters, with names. */
    uint64_t last_index, group;
    char group_name[64];
    int64_t live_ms; /* Who was heard within is live. */
    unsigned peers_n;
    struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX]; /* The whole configuration. */
    uint32_t version; /* The group's active one: fsm/version.h. */
    unsigned hellos_n;
    struct hello hellos[REPORT_HELLOS_MAX]; /* Which programs run: of this manager; on the leader of all connected. */
};

/* Fills '*out' from a status; the names of members come from config->group by address, else by id (ids are positions
 * in it, from 1); an unknown member is named by its address. */
void report_node_fill(struct report_node *out, const struct raft_node_status *status, const struct config *config);

/* Takes names and addresses of the voters from the table of members, where it has them. */
void report_node_name(struct report_node *node, const struct fsm_state *state);

/* The leader's name, or "" when none is known. Borrowed from 'node'. */
const char *report_leader_name(const struct report_node *node);

/* All that is known of one cluster. 'view' may be NULL (nothing seen yet). Borrows all. */
struct report_cluster {
    const struct fsm_state *state;
    const struct fsm_cluster *cluster;
    const struct view *view;
    const struct diagnosis *diagnosis; /* NULL exactly when view is NULL. */
};

/* PURE. The state to show; fills 'text' (not empty unless the state is ok) with what is wrong, with which server, and
 * what happens or is to be done next. */
enum report_state report_cluster_state(const struct report_cluster *c, struct text *text);

/* PURE. How a server is, in one word: ok, down, unreachable, login-refused, too-many-connections, failing,
 * unsupported, stopped, broken, read-only, writable (a replica that accepts writes), attention, unknown, maintenance,
 * new, quarantined. Fills 'text' with why, unless it is ok. */
const char *report_server_health(const struct report_cluster *c, uint8_t server, struct text *text);

/* PURE. What a server said of itself in its last answer: to this manager, else to another. NULL: no answer now. */
const struct view_facts *report_facts(const struct view *view, uint8_t server);

/* {leader, term, index, stale, from, clusters:[...]}; 'clusters_n' entries at 'clusters'. */
json_t *report_status(const struct report_node *node, const struct report_cluster *clusters, unsigned clusters_n);
/* {cluster, state, verdict, means, acts, evidence:[lines], change, next, servers:[{name, health, reason}]}. 'next':
 * what the manager does about it now, or why nothing; may be "". c->diagnosis must be set. */
json_t *report_explain(const struct report_cluster *c, const char *next);
/* {leader, term, index, stale, from}: what each answer about the group begins with. */
json_t *report_group_head(const struct report_node *node);
/* The non-empty lines of a text, as an array of strings. */
json_t *report_lines(const char *text);
/* One line of `events --json`: {index, time, cluster, epoch, kind, text, evidence}. */
json_t *report_event(const struct fsm_event *event);
/* One entry of `plan list`, and the whole of `plan show`. */
json_t *report_plan(const struct fsm_state *state, const struct fsm_plan *plan, bool whole);
/* {plans:[...]}, youngest first; 'cluster' NULL: of all clusters. */
json_t *report_plans(const struct fsm_state *state, const struct fsm_cluster *cluster);
/* {leader, term, stale, group, members:[{id, name, address, leader, self, role, want, match_index, lag, contact_ms,
 * version, certificate_expires}]}. role: joining, standby, voter, leaving. What only a leader knows is null elsewhere.
 * */
json_t *report_members(const struct report_node *node, const struct fsm_state *state);
/* {version, node, group_version, speaks:[lowest, highest], managers:[{id, version, speaks}], addresses:[...]}: of the
 * program that answers, of the group, and of the programs that it knows of (on the leader: of all that are connected);
 * and where the voters are, so that a client finds the others when this one ends. */
json_t *report_versions(const struct report_node *node);
/* The declaration in the keys of a cluster file, and what is committed: {cluster, flavour, durability, credentials,
 * detect, servers, epoch, master, version}. */
json_t *report_declaration(const struct fsm_cluster *cluster);

#endif
