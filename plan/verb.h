/* Verbs: what a committed plan step does to one server. PURE data.
 *
 * plan/ asks for verbs, manager/execute.c performs them statement by statement (mysql/verb.c writes the statements),
 * the result comes back to plan/ in a verb_outcome. A verb carries its plan's token and acts only under it (S3). */
#ifndef REGENT_PLAN_VERB_H
#define REGENT_PLAN_VERB_H

#include "fsm/state.h"

#define VERB_KINDS(X)                                                                                                 \
    X(ENROL, enrol)          /* create regent.fence (unlogged) and, on the master, regent.reign; store identity */   \
    X(REVOKE, revoke)        /* store token and epoch durably, stop the receiver, confirm, read positions (A3) */     \
    X(APPLY, apply)          /* wait until 'target' is executed; applier must run */                                  \
    X(CATCH_UP, catch_up)    /* receive from 'source' until 'target' is executed, then stop the receiver */          \
    X(PROMOTE, promote)      /* executed contains received: stop replicating; semi-sync source on; stay read-only */ \
    X(FOLLOW, follow)        /* point at 'source'; as acker or not; until its receiver is connected */               \
    X(ATTACHED, attached)    /* on the new master: until 'k' ackers are attached and semi-sync is on */               \
    X(REIGN_ROW, reign_row)  /* first transaction of the reign, acknowledged; its own disposable session */          \
    X(OPEN, open)            /* semi-sync on, k ackers attached, token ours: read_only off */                        \
    X(CLEAR, clear)          /* drop the old channel of the new master (RESET SLAVE ALL) */                          \
    X(CLOSE, close)          /* end all client sessions, read_only on, none left (F2) */

enum verb_kind {
    VERB_none = 0,
#define X(id, name) VERB_##id,
    VERB_KINDS(X)
#undef X
    VERB_KINDS_N
};

/* "revoke", "reign_row", ...; "none" for VERB_none; "?" outside the enum. */
const char *verb_name(enum verb_kind kind);

struct verb {
    enum verb_kind kind;
    uint8_t cluster;
    uint8_t server;
    uint64_t token;                /* Of the plan: the fencing token. */
    uint64_t term;                 /* Raft term of the leader that acts; filled by the executor. Of two leaders of one
                                      plan the server obeys that of the greater term (S3). */
    enum fsm_step step;            /* Intent under which it is performed. */
    uint64_t epoch;                /* Of the reign to come. */
    char identity[FSM_NAME_SIZE];  /* Expected (or, for ENROL, to be stored). */
    char target[FSM_GTID_SIZE];
    char source_host[FSM_ADDRESS_SIZE];
    uint16_t source_port;
    char cluster_name[FSM_NAME_SIZE];
    char master_name[FSM_NAME_SIZE]; /* REIGN_ROW */
    bool is_acker;                 /* FOLLOW: replica flag on. */
    bool is_master;                /* ENROL: this one also creates regent.reign, logged. */
    uint8_t k;                     /* ATTACHED, OPEN; 0: degraded, semi-sync off. */
    uint32_t deadline_ms;          /* From its start; then it is cancelled and its outcome is unknown. */
};

#define VERB_STATES(X) X(IDLE, idle) X(RUNNING, running) X(DONE, done) X(FAILED, failed) X(UNKNOWN, unknown)
enum verb_state {
#define X(id, name) VERB_STATE_##id,
    VERB_STATES(X)
#undef X
};

/* What became of the last verb asked of a server under a plan step. FAILED: it had no effect, or its effect is known
 * and is not the wished one. UNKNOWN: the session was lost; the state must be re-read (DESIGN §4.3). */
struct verb_outcome {
    enum verb_kind kind; /* VERB_none: nothing asked yet. */
    uint64_t token;
    enum fsm_step step;
    enum verb_state state;
    uint32_t attempts;
    int64_t age_ms; /* Since it ended; since it started while RUNNING. */
    bool past;      /* FAILED because the server executed something else than its target: waiting does not mend it. */
    bool forgotten; /* REVOKE, FAILED: it receives no more, but nobody knows how far it had received. */
    bool stuck;     /* REVOKE, DONE: its applier has stopped: what it received beyond 'executed' stays where it is. */
    bool stale;     /* FAILED because the server holds a greater token: this leader is the stale actor (S3). */
    char received[FSM_GTID_SIZE];
    char executed[FSM_GTID_SIZE];
    char identity[FSM_NAME_SIZE];
    uint32_t server_id;
    uint64_t started_s; /* Incarnation of the server, as view_facts.started_s; 0: not learnt. */
    uint64_t no_tx;     /* As view_facts.no_tx. */
    char error[FSM_TEXT_SIZE];
};

#endif
