/* Commands: the only way to change what the managers agree on.
 *
 * PURE. proto/command.h converts them to and from bytes. Every command is total: it is applied or refused, and a
 * refusal is a result with a code, never an error of the log (DESIGN §5). Every command has a request id; a repeated
 * id gives the first result again (LEADERSHIPLOST means unknown, so proposers repeat); one that is older than what is
 * remembered is EXPIRED. */
#ifndef REGENT_FSM_COMMAND_H
#define REGENT_FSM_COMMAND_H

#include "fsm/state.h"

/* Result codes. REFUSED_* leave the state untouched but for the dedup window. */
#define FSM_CODES(X)                                                                                                  \
    X(OK, "applied")                                                                                                  \
    X(NOT_FOUND, "no such cluster, server or plan")                                                                   \
    X(EXISTS, "a cluster of that name exists")                                                                        \
    X(INVALID, "the command does not fit the rules")                                                                  \
    X(BUSY, "another plan runs on the cluster")                                                                       \
    X(STALE, "the state moved on since the command was made")                                                         \
    X(FULL, "a limit is reached")                                                                                     \
    X(UNSAFE, "refused by a safety rule")                                                                             \
    X(UNKNOWN, "this version does not know the command")                                                              \
    X(EXPIRED, "the request is so old that nobody remembers whether it was applied")

enum fsm_code {
#define X(id, text) FSM_##id,
    FSM_CODES(X)
#undef X
    FSM_CODES_N
};

const char *fsm_code_name(enum fsm_code code); /* "ok", "not_found", ... */
const char *fsm_code_text(enum fsm_code code);

struct fsm_request_id {
    uint64_t client; /* Random, non-zero, one a process. */
    uint64_t seq;    /* Grows with each command of that client. */
    uint64_t since;  /* An index that was committed when the id was made, before its first attempt; the same in all
                        attempts. The higher the better: see fsm_dedup_is_expired(). */
};

enum fsm_command_kind {
    CMD_NONE = 0,
    CMD_CLUSTER_SET = 1,  /* Declare a cluster, or change a declaration. */
    CMD_SERVER_STATE = 2, /* Quarantine a server, or clear it. */
    CMD_PLAN_BEGIN = 3,
    CMD_PLAN_STEP = 4, /* Ends the current step and is the intent of the next. */
    CMD_PLAN_END = 5,  /* Failed or aborted. */
    CMD_CLUSTER_PAUSE = 6,
    CMD_EVENT = 7, /* Something worth remembering that changes nothing. */
    CMD_REIGN_PROOF = 8, /* A7: the current reign is not proven lossless any more, or is again. */
    CMD_MEMBER = 9,      /* Changes the table of members. */
    CMD_TOKEN = 10,      /* Reserves an id for a member to come. */
    CMD_VERSION = 11,    /* Raises the active version: fsm/version.h. */
    CMD_DIGEST = 12,     /* What a majority's states are like at an index: manager/agreement.h. */
    CMD_RECOVERED = 13,  /* The group was made anew from one survivor: fsm/recover.c. */
#ifdef REGENT_NEXT_VERSION
    CMD_LABEL = 127,     /* Gives the group a label. */
#endif
};

struct fsm_cluster_spec { /* What a cluster file says. */
    char name[FSM_NAME_SIZE];
    enum fsm_flavour flavour;
    enum fsm_durability durability;
    char defaults_file[FSM_PATH_SIZE];
    char group[FSM_NAME_SIZE];
    uint32_t probe_ms;
    uint32_t timeout_ms;
    uint8_t servers_n;
    struct {
        char name[FSM_NAME_SIZE];
        char address[FSM_ADDRESS_SIZE];
        enum fsm_role role;
    } servers[FSM_SERVERS_MAX];
};

struct fsm_cmd_cluster_set {
    struct fsm_cluster_spec spec;
    bool create; /* True: refuse if it exists (add). False: refuse if it does not and change it (apply). */
};

struct fsm_cmd_server_state {
    char cluster[FSM_NAME_SIZE];
    char server[FSM_NAME_SIZE];
    enum fsm_server_state state;
    char reason[FSM_TEXT_SIZE];
};

struct fsm_cmd_plan_begin {
    char cluster[FSM_NAME_SIZE];
    enum fsm_plan_kind kind;
    uint64_t epoch; /* Expected current epoch: refused as STALE if it moved. */
    uint8_t from;
    uint8_t to;    /* FAILOVER, ENROL: proposed master. CLOSE: unused. FOLLOW: the master. */
    uint8_t acker; /* Proposed acker of the reign to come. FOLLOW: 'from' as a member of A, or NONE. */
    bool accept_loss;
    bool by_operator;
    char verdict[FSM_NAME_SIZE];
    char evidence[FSM_EVIDENCE_SIZE];
};

/* Ends plan->step and moves to 'next'. The fields below 'next' are the findings of the ended step; each step uses
 * those that concern it, and fsm_apply() checks the rule that the step upholds. */
struct fsm_cmd_plan_step {
    uint64_t token;
    enum fsm_step done; /* Must equal the plan's step, else STALE. */
    enum fsm_step next;
    fsm_set revoked;        /* End of REVOKE. End of REPOINT, or while it lasts: those that follow 'to' with their flag
                               off; they leave A once k others have received the position read after that (A2).
                               FOLLOW: 'from' at most, which then follows as a plain replica. */
    enum fsm_fence fence;   /* End of REVOKE. */
    uint8_t to;             /* End of REVOKE: the choice of A4. */
    uint8_t holder;         /* End of REVOKE: where 'to' fetches what it lacks; NONE if nothing lacks. */
    uint8_t acker;          /* End of REVOKE (and whenever ESTABLISH is entered or repeated with another acker). */
    char target[FSM_GTID_SIZE]; /* End of REVOKE. End of VERIFY: "lossless since". */
    struct fsm_finding found[FSM_SERVERS_MAX]; /* End of REVOKE. */
    char identity[FSM_SERVERS_MAX][FSM_NAME_SIZE]; /* End of PREPARE; empty: not enrolled. */
    uint32_t server_id[FSM_SERVERS_MAX];           /* End of PREPARE. */
    uint64_t started_s[FSM_SERVERS_MAX]; /* Incarnations. End of REVOKE: of those found. End of VERIFY, of ESTABLISH: of
                                            the new reign's master and ackers; without those of its master and of
                                            plan->acker it is not lossless. OPEN back to ESTABLISH: of the new
                                            acker. 0: not known. */
    uint64_t no_tx;                      /* End of VERIFY, of ESTABLISH: the master's counter. */
    fsm_set set_aside; /* Servers that the step could not take along: they become QUARANTINED with 'reason'. */
    char reason[FSM_TEXT_SIZE];
    char evidence[FSM_EVIDENCE_SIZE];
};

struct fsm_cmd_plan_end {
    uint64_t token;
    enum fsm_plan_state state; /* FAILED or ABORTED. */
    bool by_operator;
    char reason[FSM_TEXT_SIZE];
};

struct fsm_cmd_cluster_pause {
    char cluster[FSM_NAME_SIZE];
    bool paused;
};

struct fsm_cmd_event {
    char cluster[FSM_NAME_SIZE];
    char kind[FSM_NAME_SIZE];
    char text[FSM_TEXT_SIZE];
    char evidence[FSM_EVIDENCE_SIZE];
};

/* Withdraws the proof of the current reign, or gives it anew. BUSY while a plan of kind ENROL or FAILOVER runs. Given:
 * refused (UNSAFE) when the cluster is async or nobody acknowledges; needs 'since' and the incarnations of the master
 * and of every acker. Withdrawn: needs a reason; incarnations of 0 and a no_tx of 0 keep those of the last proof. Event
 * "reign.proven" or "reign.unproven"; none when a withdrawn proof is withdrawn again.
 * DESIGN A7, and S2: "every window in which a loss is possible is opened by a committed command". */
struct fsm_cmd_reign_proof {
    char cluster[FSM_NAME_SIZE];
    uint64_t epoch;            /* Of the current reign; another one: STALE. */
    bool lossless;
    char since[FSM_GTID_SIZE]; /* When lossless: position that k ackers have received. */
    uint64_t started_s[FSM_SERVERS_MAX];
    uint64_t no_tx;
    char reason[FSM_TEXT_SIZE]; /* When not: what was seen, on which server. */
};

/* FIRST: 'members', of a group without a table. JOIN: the holder of token 'id' with its 'name', 'address', 'hash' and
 * 'nonce' becomes a member; 'role' is what it shall become (STANDBY or VOTER); a repetition by the same data directory
 * is OK again. WANT: an operator (or the leader, for a new member that caught up) wants 'role': STANDBY, VOTER, GONE.
 * KEEP: the leader gives up a WANT that it cannot carry out, for 'reason'. IS: the leader found 'role' in Raft's
 * configuration; GONE takes a row away whose want is GONE. MOVE: listens at 'address' from now on. REVOKE: the unused
 * token of 'name' is void; its id, the result's value, is never given again. */
#define FSM_MEMBER_ACTS(X)                                                                                            \
    X(FIRST, first) X(JOIN, join) X(WANT, want) X(KEEP, keep) X(IS, is) X(MOVE, move)                     \
    X(REVOKE, revoke)
#define FSM_ENUM_ITEM_fsm_member_act(id, text) MEMBER_ACT_##id,
FSM_ENUM(fsm_member_act, FSM_MEMBER_ACTS);

struct fsm_cmd_member {
    enum fsm_member_act act;
    uint64_t id;
    enum fsm_member_role role;
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE];
    uint8_t hash[FSM_HASH_SIZE];
    uint8_t nonce[FSM_NONCE_SIZE];
    char reason[FSM_TEXT_SIZE];
    uint8_t members_n; /* FIRST. */
    struct {
        uint64_t id;
        char name[FSM_NAME_SIZE];
        char address[FSM_ADDRESS_SIZE];
    } members[FSM_MEMBERS_MAX];
};

/* Result value: the reserved id. An unused token of the same name is void from then on. */
struct fsm_cmd_token {
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE]; /* May be empty. */
    uint8_t hash[FSM_HASH_SIZE];
    struct wall expires;
};

struct fsm_cmd_version {
    uint32_t from; /* Must be the active one, else STALE. */
    uint32_t to;   /* Greater. */
};

/* Changes nothing here: each manager compares it with its own (manager/agreement.h). */
struct fsm_cmd_digest {
    uint64_t index; /* Before this command. */
    uint8_t digest[FSM_HASH_SIZE];
};

struct fsm_cmd_recovered {
    uint64_t survivor;   /* The one member that is left. */
    uint64_t group_id;   /* The new one; for the event. */
    uint64_t generation; /* One more than the state's, else STALE. */
};

struct fsm_command {
    struct fsm_request_id id;
    struct wall time; /* Proposer's wall clock: the FSM reads no clock. */
    uint32_t version; /* Needed to understand the command; 0: what fsm_command_needs() says. */
    enum fsm_command_kind kind;
    union {
        struct fsm_cmd_cluster_set cluster_set;
        struct fsm_cmd_server_state server_state;
        struct fsm_cmd_plan_begin plan_begin;
        struct fsm_cmd_plan_step plan_step;
        struct fsm_cmd_plan_end plan_end;
        struct fsm_cmd_cluster_pause cluster_pause;
        struct fsm_cmd_event event;
        struct fsm_cmd_reign_proof reign_proof;
        struct fsm_cmd_member member;
        struct fsm_cmd_token token;
        struct fsm_cmd_version version;
        struct fsm_cmd_digest digest;
        struct fsm_cmd_recovered recovered;
#ifdef REGENT_NEXT_VERSION
        char label[FSM_NAME_SIZE];
#endif
    } u;
};

/* The first version that has the command's kind and all of its fields; 0 for a kind that this program does not know. */
uint32_t fsm_command_needs(const struct fsm_command *command);
/* The first version that has the kind; 0: this program does not know it. */
uint32_t fsm_kind_needs(uint32_t kind);

struct fsm_result {
    enum fsm_code code;
    uint64_t index;           /* At which the command was (first) applied. */
    uint64_t value;           /* PLAN_BEGIN: the plan's token. TOKEN, JOIN: the member's id. */
    bool repeated;            /* The id was seen before: nothing was applied now. */
    char text[FSM_TEXT_SIZE]; /* For an operator, when refused. Empty when repeated. */
};

#endif
