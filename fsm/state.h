/* What the managers agree on.
 *
 * PURE: open structs of fixed size, no pointers, so that state can be copied, compared and snapshotted.
 * Only fsm_apply() (fsm/apply.h) changes it. Words: DESIGN §1. Rules named A1-A9, F1-F5, S1-S6: DESIGN §2, §6, §7. */
#ifndef REGENT_FSM_STATE_H
#define REGENT_FSM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mtime.h"
#include "lib/base/must.h"

enum {
    FSM_CLUSTERS_MAX = 64,
    FSM_SERVERS_MAX = 16,   /* Servers of one cluster. */
    FSM_REIGNS_MAX = 4,     /* Reigns of one cluster that may still acknowledge (A8). */
    FSM_EVENTS_MAX = 1024,  /* Youngest events kept. */
    FSM_PLANS_MAX = 128,    /* Youngest plans kept (ended ones as history). */
    FSM_DEDUP_MAX = 2048,   /* Youngest request ids kept. */
    FSM_NAME_SIZE = 64,
    FSM_ADDRESS_SIZE = 128, /* host:port */
    FSM_TEXT_SIZE = 256,    /* Reasons. */
    FSM_GTID_SIZE = 512,
    FSM_EVIDENCE_SIZE = 1536,
    FSM_PATH_SIZE = 256,
    FSM_MEMBERS_MAX = 7,    /* Managers of the group, of every role. */
    FSM_TOKENS_MAX = 16,    /* Unused tokens kept. */
    FSM_HASH_SIZE = 32,     /* SHA-256. */
    FSM_NONCE_SIZE = 16,
    FSM_GENERATIONS_MAX = 1000, /* Times that a group can be made anew from one survivor. */
};

/* Tokens of one generation are below this, times one more than the generation: fsm_token_at(). */
#define FSM_TOKEN_STEP (UINT64_C(1) << 44)

#define FSM_SERVER_NONE ((uint8_t)0xff)

/* Each enum comes from one list, so that name, text and parse agree. NONE is 0 and never valid in state. */
#define FSM_FLAVOURS(X) X(MARIADB, mariadb) X(MYSQL, mysql) X(NDB, ndb)
#define FSM_DURABILITIES(X) X(LOSSLESS, lossless) X(PREFER_LOSSLESS, prefer-lossless) X(ASYNC, async)
#define FSM_ROLES(X) X(MASTER, master) X(BACKUP, backup) X(REPLICA, replica)

/* NEW: declared, not yet understood, never written to. MEMBER: enrolled and trusted. QUARANTINED: never
 * chosen; its receiver is stopped when it is an acker of a listed reign (A8), it is closed when it is open, else it is
 * not touched; 'reason' says why and what to do. */
#define FSM_SERVER_STATES(X) X(NEW, new) X(MEMBER, member) X(QUARANTINED, quarantined)

/* ENROL: adopt a running cluster as epoch 1. FAILOVER: replace the master. CLOSE: make a server that another reign
 * has replaced read-only (it came back open). FOLLOW: make a member receive from the master again. */
#define FSM_PLAN_KINDS(X) X(ENROL, enrol) X(FAILOVER, failover) X(CLOSE, close) X(FOLLOW, follow)

/* Steps of all kinds of plan, in the order in which a plan walks through those that it has.
 * ENROL: PREPARE, VERIFY, DONE.  FAILOVER: REVOKE, APPLY, [CATCH_UP], PROMOTE, ESTABLISH, OPEN, REPOINT, DONE.
 * CLOSE: SHUT, DONE.  FOLLOW: REPOINT, DONE. */
#define FSM_STEPS(X)                                                                                                   \
    X(PREPARE, prepare)     /* install regent's schema, give each server its identity */                             \
    X(VERIFY, verify)       /* the acker set acknowledges for the master: lossless since g (A7) */                    \
    X(REVOKE, revoke)       /* end every listed reign: stop the receivers of its ackers (A3, A8) */                   \
    X(APPLY, apply)         /* candidate executes all that it received (A4) */                                        \
    X(CATCH_UP, catch_up)   /* candidate fetches the rest of the target from the server that holds it (A4) */        \
    X(PROMOTE, promote)     /* candidate stops replicating, semi-sync source on, still read-only */                  \
    X(ESTABLISH, establish) /* acker of the new reign attaches; reign row acknowledged (A5) */                       \
    X(OPEN, open)           /* candidate accepts writes (S1) */                                                      \
    X(REPOINT, repoint)     /* the other replicas follow the new master; its old channel is dropped. FOLLOW: one */  \
    X(SHUT, shut)           /* clients of a replaced master ended, read_only on (F2) */                              \
    X(DONE, done)

#define FSM_PLAN_STATES(X) X(RUNNING, running) X(FINISHED, finished) X(FAILED, failed) X(ABORTED, aborted)

/* The fence layer that a promotion rests on (DESIGN §7). */
#define FSM_FENCES(X) X(F1_ACKS_REVOKED, acks-revoked) X(F2_CLOSED, closed)

/* A manager's place in the Raft group. JOINING: admitted, not in the configuration yet. STANDBY: has the log, no vote.
 * GONE: wanted while it is being removed; the row then goes, and its id is never given again. */
#define FSM_MEMBER_ROLES(X) X(JOINING, joining) X(STANDBY, standby) X(VOTER, voter) X(GONE, gone)

#define FSM_ENUM(NAME, LIST)                                                                                          \
    enum NAME { NAME##_none = 0, LIST(FSM_ENUM_ITEM_##NAME) NAME##_count }

#define FSM_ENUM_ITEM_fsm_flavour(id, text) FLAVOUR_##id,
#define FSM_ENUM_ITEM_fsm_durability(id, text) DURABILITY_##id,
#define FSM_ENUM_ITEM_fsm_role(id, text) ROLE_##id,
#define FSM_ENUM_ITEM_fsm_server_state(id, text) SERVER_##id,
#define FSM_ENUM_ITEM_fsm_plan_kind(id, text) PLAN_##id,
#define FSM_ENUM_ITEM_fsm_step(id, text) STEP_##id,
#define FSM_ENUM_ITEM_fsm_plan_state(id, text) PLAN_STATE_##id,
#define FSM_ENUM_ITEM_fsm_fence(id, text) FENCE_##id,
#define FSM_ENUM_ITEM_fsm_member_role(id, text) MEMBER_##id,

FSM_ENUM(fsm_flavour, FSM_FLAVOURS);
FSM_ENUM(fsm_durability, FSM_DURABILITIES);
FSM_ENUM(fsm_role, FSM_ROLES);
FSM_ENUM(fsm_server_state, FSM_SERVER_STATES);
FSM_ENUM(fsm_plan_kind, FSM_PLAN_KINDS);
FSM_ENUM(fsm_step, FSM_STEPS);
FSM_ENUM(fsm_plan_state, FSM_PLAN_STATES);
FSM_ENUM(fsm_fence, FSM_FENCES);
FSM_ENUM(fsm_member_role, FSM_MEMBER_ROLES);

/* Names as operators see them ("prefer-lossless"); "none" for 0; "?" outside the enum. */
const char *fsm_flavour_name(enum fsm_flavour v);
const char *fsm_durability_name(enum fsm_durability v);
const char *fsm_role_name(enum fsm_role v);
const char *fsm_server_state_name(enum fsm_server_state v);
const char *fsm_plan_kind_name(enum fsm_plan_kind v);
const char *fsm_step_name(enum fsm_step v);
const char *fsm_plan_state_name(enum fsm_plan_state v);
const char *fsm_fence_name(enum fsm_fence v);
const char *fsm_member_role_name(enum fsm_member_role v);
/* The value with that name, or 0 (none). */
enum fsm_flavour fsm_flavour_parse(const char *name);
enum fsm_durability fsm_durability_parse(const char *name);
enum fsm_role fsm_role_parse(const char *name);

/* Set of servers of one cluster: bit i is servers[i]. */
typedef uint32_t fsm_set;
#define FSM_BIT(i) ((fsm_set)1u << (i))
static inline bool fsm_set_has(fsm_set s, uint8_t i) { return i < FSM_SERVERS_MAX && (s & FSM_BIT(i)) != 0; }
static inline unsigned fsm_set_count(fsm_set s)
{
    unsigned n = 0;

    for (; s != 0; s &= s - 1) n++; /* No __builtin_popcount: it calls libgcc. */
    return n;
}

struct fsm_server {
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE]; /* host:port, as declared. */
    enum fsm_role role;             /* Current: follows the committed decisions. */
    enum fsm_role declared;         /* As the cluster file says. */
    enum fsm_server_state state;
    char reason[FSM_TEXT_SIZE];     /* Why quarantined and what to do; else empty. */
    char identity[FSM_NAME_SIZE];   /* Random id in regent.fence of that server; empty until enrolled. */
    uint32_t server_id;             /* @@server_id; 0 until enrolled. */
    bool maintenance;               /* An operator works on it: as QUARANTINED. No command sets it yet. */
};

/* A reign that may still acknowledge: (epoch, master, k, A), A8. Enters by the commit of its A, before any receiver
 * points at its master; leaves when its revocation or fencing is committed.
 *
 * While a failover runs, past REVOKE, the older reigns are in plan->past and only the one to come is listed. A plan
 * that ends before OPEN is done puts them back beside it. So after one that failed at OPEN the list holds the reign of
 * the master as before and that of the candidate, 'opened': either may be open, and the next failover must fence
 * both, or choose the candidate again. */
struct fsm_reign {
    uint64_t epoch;
    uint8_t master; /* Index into servers. */
    uint8_t k;
    fsm_set ackers;
    bool lossless; /* Commits waited for k ackers since 'since'; else F1 proves nothing (A7). */
    char since[FSM_GTID_SIZE];
    /* What the proof rests on: the incarnations (view_facts.started_s) of master and ackers and the master's no_tx
     * counter when it was made. Another incarnation proves nothing (A4), a moved counter ends it (A7). 0: not known. */
    uint64_t started_s[FSM_SERVERS_MAX];
    uint64_t no_tx;
    uint64_t token; /* Of the plan that began it. */
    bool opened;    /* Its master was given the step OPEN (or was adopted): clients may have written to it. */
    /* An operator accepted the loss of what it may still acknowledge; a newer reign is open. It blocks
     * no failover any more, but none of its ackers is used (candidate, holder, acker) unless the plan revoked it. It
     * leaves the list when enough ackers are revoked (in any later plan), when a CLOSE of its master is done, or when a
     * new reign needs its place. */
    bool unfenced;
};

/* What a step found on one server; filled by the command that ends the step. */
struct fsm_finding {
    bool set;
    char received[FSM_GTID_SIZE]; /* Received whole transactions (relay log plus executed). */
    char executed[FSM_GTID_SIZE];
};

struct fsm_plan {
    uint64_t token; /* fsm_token_at() of the command that began it; also its id. 0: slot unused. */
    enum fsm_plan_kind kind;
    enum fsm_plan_state state;
    enum fsm_step step; /* Intent: its verbs may be performed, no others. */
    uint8_t cluster;
    uint8_t from;   /* Old master, or the server to close, or to follow; FSM_SERVER_NONE if none. */
    uint8_t to;     /* Candidate; may be chosen anew by the end of REVOKE. FOLLOW: the master. */
    uint8_t acker;  /* Acker of the reign to come; FSM_SERVER_NONE: degraded by policy. FOLLOW: 'from' when it is to
                       acknowledge, else NONE. */
    uint8_t holder; /* Server to catch up from; FSM_SERVER_NONE if none. */
    uint64_t epoch; /* Of the reign to come (FAILOVER, ENROL); of the current one (CLOSE, FOLLOW). */
    enum fsm_fence fence;
    bool accept_loss;   /* An operator said so: promotion without proof is allowed and told. */
    bool by_operator;
    fsm_set revoked;    /* Ackers whose receivers are confirmed stopped. */
    uint8_t past_n;     /* Reigns that the end of REVOKE took off the list; put back if OPEN is never done. */
    struct fsm_reign past[FSM_REIGNS_MAX];
    uint8_t unproven;   /* Bit i: past[i] was not fenced, its loss is accepted: listed as unfenced when OPEN is done. */
    char target[FSM_GTID_SIZE]; /* What the new master must have executed before it opens (A4). */
    struct fsm_finding found[FSM_SERVERS_MAX];
    struct wall started;
    struct wall ended;
    struct wall step_at[STEP_DONE + 1]; /* When each step's intent was committed. */
    char verdict[FSM_NAME_SIZE];        /* Row of the diagnosis that matched. */
    char reason[FSM_TEXT_SIZE];         /* Why it failed or was aborted; what to do. */
};

struct fsm_cluster {
    bool used;
    char name[FSM_NAME_SIZE];
    enum fsm_flavour flavour;
    enum fsm_durability durability;
    char defaults_file[FSM_PATH_SIZE]; /* Path on the managers; the secret itself is never replicated. */
    char group[FSM_NAME_SIZE];
    uint32_t probe_ms;   /* Probe period. */
    uint32_t timeout_ms; /* Silence before the verdict "silent". */
    bool paused;         /* No plan begins by itself. */
    uint8_t servers_n;
    struct fsm_server servers[FSM_SERVERS_MAX];
    uint8_t master; /* Index; FSM_SERVER_NONE before enrolment. */
    uint8_t backup; /* Promoted first; FSM_SERVER_NONE if there is none. */
    uint64_t epoch; /* Of the current reign; 0 before enrolment. Never falls. */
    uint64_t epoch_used; /* Highest epoch ever given to a plan; the next plan gets one more, also after a failed one. */
    uint8_t reigns_n;
    struct fsm_reign reigns[FSM_REIGNS_MAX];
    uint64_t plan; /* Token of the running plan, or 0. */
    uint64_t version; /* Raft index of the last change of the declaration. */
};

struct fsm_event {
    uint64_t index; /* Raft index. */
    struct wall time;
    char cluster[FSM_NAME_SIZE]; /* Empty: the group itself. */
    uint64_t epoch;
    char kind[FSM_NAME_SIZE]; /* Stable: "plan.begin", "plan.step", "server.quarantined", "verdict". */
    char text[FSM_TEXT_SIZE];
    char evidence[FSM_EVIDENCE_SIZE];
};

struct fsm_dedup {
    uint64_t client; /* 0: slot unused. */
    uint64_t seq;
    uint64_t index; /* At which it was applied. */
    int32_t code;   /* enum fsm_code. */
    uint64_t value; /* result.value at that time. */
};

/* A manager of the group. The configuration that Raft itself keeps is what counts for votes; this table says what is
 * wanted (the leader works towards it, one change at a time), where each manager listens, and under which name. */
struct fsm_member {
    uint64_t id; /* The Raft id. */
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE];
    enum fsm_member_role role; /* As the leader last found it in the configuration: JOINING, STANDBY or VOTER. */
    enum fsm_member_role want; /* STANDBY, VOTER or GONE. */
    uint8_t hash[FSM_HASH_SIZE];   /* Of the token that it joined with; zeros: a first member. */
    uint8_t nonce[FSM_NONCE_SIZE]; /* Of the data directory that joined: only that one may repeat its join. */
};

/* An unused permission to join. The secret itself is never in the state. */
struct fsm_token {
    uint64_t id; /* Reserved for the member to come. */
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE]; /* The member must listen there; empty: anywhere. */
    uint8_t hash[FSM_HASH_SIZE];    /* SHA-256 of the secret. */
    struct wall expires;
};

struct fsm_state {
    uint64_t index; /* Last applied. */
    uint32_t version;       /* The active version of commands and snapshots: fsm/version.h. */
    uint64_t generation;    /* How often the group was made anew from one survivor (fsm/recover.c). */
    uint64_t version_since; /* Index of the command that raised it; 0: never raised. */
    struct fsm_cluster clusters[FSM_CLUSTERS_MAX];
    struct fsm_plan plans[FSM_PLANS_MAX]; /* Ring: plans_next is overwritten next, never a running one. */
    uint32_t plans_next;
    struct fsm_event events[FSM_EVENTS_MAX]; /* Ring. */
    uint64_t events_n;                       /* Ever recorded; newest at (events_n - 1) % MAX. */
    struct fsm_dedup dedup[FSM_DEDUP_MAX];   /* Ring. */
    uint64_t dedup_n;
    uint64_t dedup_floor; /* Raft index of the youngest request id that has left the ring; 0: none has. */
    uint64_t members_next; /* The next id to give; only grows. 0: the first members are not recorded yet. */
    uint8_t members_n;
    struct fsm_member members[FSM_MEMBERS_MAX]; /* By id. */
    uint8_t tokens_n;
    struct fsm_token tokens[FSM_TOKENS_MAX]; /* By id. */
#ifdef REGENT_NEXT_VERSION
    char label[FSM_NAME_SIZE]; /* Empty below version 2. */
#endif
};

/* The token of a plan that a command at 'index' begins: greater than all tokens before, also of earlier generations of
 * the group, which may have come further than this one knows. */
uint64_t fsm_token_at(const struct fsm_state *state, uint64_t index);

/* Finders; NULL or FSM_SERVER_NONE when there is none. The pointers live as long as 'state'. */
const struct fsm_cluster *fsm_cluster_find(const struct fsm_state *state, const char *name);
uint8_t fsm_cluster_index(const struct fsm_state *state, const struct fsm_cluster *cluster);
uint8_t fsm_server_find(const struct fsm_cluster *cluster, const char *name);
const struct fsm_plan *fsm_plan_find(const struct fsm_state *state, uint64_t token);
const struct fsm_member *fsm_member_find(const struct fsm_state *state, uint64_t id);
const struct fsm_member *fsm_member_named(const struct fsm_state *state, const char *name);
const struct fsm_token *fsm_token_find(const struct fsm_state *state, uint64_t id);
/* True when 'id' was a member once, or was reserved for one that never came, and is none any more. A manager that does
 * not know 'id' yet says false. */
bool fsm_member_is_removed(const struct fsm_state *state, uint64_t id);
/* True when F1 proves that 'reign' acknowledges no more: |A|-k+1 of its ackers are in 'revoked' (A3, not under A7). For
 * a lossless reign an acker counts only in the incarnation of the proof, 'started_s' by server, 0: not known (A4); for
 * an unfenced one in any, since what it acknowledged was given up. Planner and FSM must ask the same question. */
bool fsm_reign_is_revoked(const struct fsm_cluster *cluster, const struct fsm_reign *reign, fsm_set revoked,
                          const uint64_t started_s[FSM_SERVERS_MAX]);
/* The ackers of 'reign' whose incarnation is that of its proof. */
fsm_set fsm_reign_intact(const struct fsm_reign *reign, const uint64_t started_s[FSM_SERVERS_MAX]);
/* Servers that may still acknowledge for an unfenced reign of the list or, until OPEN is done, an unproven one of
 * plan->past ('plan' may be NULL) and are not in 'revoked': none of them may become candidate, holder or acker. */
fsm_set fsm_unfenced_ackers(const struct fsm_cluster *cluster, const struct fsm_plan *plan, fsm_set revoked);
/* True when the plan may go on without its holder, and leave behind what only that one has: the candidate itself holds
 * all that was acknowledged, for every member of A had to have it (|A| = k) and it is one (A4); or loss is accepted. */
bool fsm_holder_is_dispensable(const struct fsm_plan *plan);
/* The current reign (that of cluster->epoch) in the list of A8, or NULL. */
const struct fsm_reign *fsm_reign_current(const struct fsm_cluster *cluster);

#endif
