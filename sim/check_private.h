/* What the checkers share. Not for others. */
#ifndef REGENT_SIM_CHECK_PRIVATE_H
#define REGENT_SIM_CHECK_PRIVATE_H

#include "sim/check.h"

enum { CHECK_TERMS_MAX = 4096, CHECK_SNAPSHOT_EVERY = 64 };

/* A row that a server answered with OK. */
struct row {
    uint64_t id;      /* 0: free slot. */
    bool is_lossless; /* The reign of its server was proven lossless when it answered. */
    bool is_acked;    /* The client has the OK. */
    bool is_false;    /* No acker had it, and commits were to wait for one. */
};

/* What a person changed on a master, so that a commit may be answered with OK that no acker has. S2 does not cover it
 * (DESIGN §2), but it is to be noticed: by a commit that withdraws the proof. */
struct meddling {
    bool is_on;
    bool is_source;  /* Semi-sync is off; else 'stranger' acknowledges. */
    uint8_t stranger;
    uint32_t incarnation; /* Of the master then. */
    int64_t since_us;
};

struct check_site {
    struct check *check;
    struct site *site;
    struct sim_set nodes; /* Its servers'. */
    struct row *rows; /* Open addressing by id. */
    size_t rows_room, rows_n;
    bool was_open[CLUSTER_SERVERS_MAX];
    uint64_t token[CLUSTER_SERVERS_MAX], term[CLUSTER_SERVERS_MAX]; /* Greatest under which it was changed. */
    /* As committed: of the newest index that any manager has applied. */
    uint8_t cluster; /* FSM_CLUSTERS_MAX: not declared yet. */
    uint8_t master;
    uint8_t written; /* Master of the newest reign whose OPEN was committed, also when that plan has failed since. */
    uint64_t epoch, plan;
    uint64_t epoch_given; /* S1: the greatest that a plan was given. */
    bool is_judged; /* S6 is done with the running plan. */
    char verdict[FSM_NAME_SIZE]; /* That it was begun for. */
    fsm_set ackers;
    uint8_t k;
    bool is_lossless; /* The current reign is proven. */
    bool has_reign[CLUSTER_SERVERS_MAX]; /* It is master of a listed reign that is proven lossless. */
    bool was_proven[CLUSTER_SERVERS_MAX]; /* The last reign that listed it as master was, also when it has ended. */
    enum fsm_step step; /* Of the running plan. */
    uint64_t opens[CLUSTER_SERVERS_MAX]; /* Token of the plan whose committed step OPEN named it last. */
    struct meddling meddled[CLUSTER_SERVERS_MAX]; /* As masters. */
    bool loss_accepted; /* An operator has; S2 says nothing of this site any more. */
    int64_t healthy_since_us; /* S6: the master has been able to commit since. */
    int64_t silent_until_us;  /* S6: when last no follower had heard of it for the timeout; 0: never. */
    int64_t last_ok_us;
    uint64_t acks;
    /* S5: of each server, in its present life. */
    uint32_t lives[CLUSTER_SERVERS_MAX];
    uint64_t logged_n[CLUSTER_SERVERS_MAX];
    struct gtid_pos applied[CLUSTER_SERVERS_MAX];
    bool was_master[CLUSTER_SERVERS_MAX]; /* Once, by a commit. */
    int64_t step_since_us; /* L3: the running plan stands at its step since. */
    /* L1, L2: since when there is no open master, and a server is out of its place; 0: it is not so. */
    int64_t no_master_since_us, astray_since_us[CLUSTER_SERVERS_MAX];
    uint64_t live_epoch;
};

struct check {
    struct world *world;
    /* S4 */
    uint64_t *at_index;  /* Digest of the state behind each index; 0: not seen. */
    uint64_t *snapshots; /* Digest of the snapshot's bytes at each index % CHECK_SNAPSHOT_EVERY == 0. */
    size_t indexes_room;
    uint64_t applied[MANAGERS_MAX]; /* Last seen, of the present life. */
    uint32_t incarnation[MANAGERS_MAX];
    uint64_t leaders[CHECK_TERMS_MAX]; /* Id of the leader of a term; 0: none. */
    int64_t healed_us; /* The liveness phase began. */
    int64_t leaderless_since_us; /* In the liveness phase; 0: somebody leads. */
    int64_t lead_since_us, lead_before_us; /* The leader, and the one before, were established then. */
    uint64_t newest; /* Greatest index that any manager has applied. */
    struct check_site sites[CLUSTERS_MAX];
};

/* check_site.c */
void check_site_init(struct check *check, struct check_site *cs, struct site *site);
void check_site_free(struct check_site *cs);
/* A server of it may have changed. */
void check_site_look(struct check_site *cs);
/* 'state' is the newest that is committed. */
void check_site_follow(struct check_site *cs, const struct fsm_state *state);
void check_site_end(struct check_site *cs);
/* Nothing has failed since it was declared. */
void check_site_calm(struct check_site *cs);

/* check_meddled.c: S2, where persons change what commits wait for. True while that is in force on 'server', and no
 * commit has withdrawn the proof of its reign since. */
bool check_is_meddled(struct check_site *cs, unsigned server);
/* The reign of 'server' is not lossless any more, as committed. */
void check_meddle_told(struct check_site *cs, unsigned server);
/* At the end: what was changed long ago is told. */
void check_meddle_end(struct check_site *cs);

/* check_kept.c: S5. What the server has is not less than before; what replaced masters have, 'cluster' tells of. */
void check_kept_init(struct check_site *cs);
void check_kept(struct check_site *cs, unsigned server);
void check_kept_demoted(struct check_site *cs, const struct fsm_cluster *cluster);

/* check_live.c: L3 after each command, before check_site_follow() takes note of its plan; L1, L2, L3 each
 * second of the liveness phase; what is told, at the end. */
void check_live_follow(struct check_site *cs, const struct fsm_state *state, const struct fsm_cluster *cluster);
void check_live_look(struct check_site *cs);
void check_live_end(struct check_site *cs);

/* Digests for comparisons. */
uint64_t check_fold(uint64_t h, uint64_t value);
uint64_t check_fold_text(uint64_t h, const char *text);
uint64_t check_fold_bytes(uint64_t h, const void *data, size_t size);

/* 'node' is outside the core, and cut off from a manager of it, in one direction at least. */
bool check_is_cut_off(const struct world *world, sim_node node);

#endif
