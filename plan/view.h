/* What the leader sees: observations of every manager of every server of one cluster.
 *
 * PURE data. Filled by manager/observe.c from probes and from what the other managers push; read by
 * plan/diagnose.c and plan/failover.c. Observations are never replicated; decisions are (DESIGN §4). */
#ifndef REGENT_PLAN_VIEW_H
#define REGENT_PLAN_VIEW_H

#include "fsm/state.h"

enum {
    VIEW_MANAGERS_MAX = 7,
    VIEW_CHANNELS_MAX = 4, /* Channels of one server that we look at; more: channels_n says how many. */
    VIEW_VERSION_SIZE = 64,
    VIEW_ERROR_SIZE = 192,
};

/* How the last attempt of a manager to look at a server ended. */
#define VIEW_OUTCOMES(X)                                                                                              \
    X(NONE, "not tried yet")                                                                                          \
    X(OK, "answered")                                                                                                 \
    X(REFUSED, "connection refused")         /* 2002/2003 with ECONNREFUSED */                                        \
    X(TIMED_OUT, "no answer in time")        /* connect or query */                                                   \
    X(LOST, "connection lost")               /* hang-up or 2006/2013; the next attempt says more */                   \
    X(UNREACHABLE, "host unknown or unreachable")                                                                     \
    X(LOGIN_REFUSED, "login refused")        /* 1044, 1045, 1698, TLS refused: alive, an alarm, not death */          \
    X(TOO_MANY, "too many connections")      /* 1040, 1203: alive */                                                  \
    X(FAILED, "query failed")                /* answered with an error: alive */                                      \
    X(UNSUPPORTED, "version not supported")

enum view_outcome {
#define X(id, text) VIEW_##id,
    VIEW_OUTCOMES(X)
#undef X
    VIEW_OUTCOMES_N
};

/* "connection refused", ...; "?" outside the enum. */
const char *view_outcome_text(enum view_outcome outcome);

/* The server answered something within its last attempt: it is not dead, whatever it said. */
static inline bool view_outcome_is_alive(enum view_outcome o)
{
    return o == VIEW_OK || o == VIEW_LOGIN_REFUSED || o == VIEW_TOO_MANY || o == VIEW_FAILED || o == VIEW_UNSUPPORTED;
}

enum view_io { VIEW_IO_NO = 0, VIEW_IO_CONNECTING, VIEW_IO_YES };

struct view_channel {
    char name[FSM_NAME_SIZE]; /* Empty: the default channel. */
    char source_host[FSM_ADDRESS_SIZE];
    uint16_t source_port;
    uint32_t source_server_id;
    enum view_io io;
    bool applier;           /* SQL thread runs. */
    uint32_t io_errno;
    uint32_t sql_errno;
    char error[VIEW_ERROR_SIZE]; /* The receiver's or the applier's last error. */
    char received[FSM_GTID_SIZE]; /* Gtid_IO_Pos: whole transactions received. */
    uint64_t heartbeats;
    uint32_t heartbeat_period_ms;
    uint64_t receive_mark; /* Changes whenever an event or a heartbeat arrived (built from counters and positions). */
    bool gtid;             /* Uses GTID slave_pos / auto position. */
    int64_t lag_ms;        /* -1 unknown. */
    int64_t idle_ms;       /* Since receive_mark was last seen to change, at the manager's clock. -1 unknown. */
};

/* What a server said of itself: the result of one probe. */
struct view_facts {
    bool set;
    char version[VIEW_VERSION_SIZE];
    bool supported;
    uint32_t server_id;
    char identity[FSM_NAME_SIZE]; /* regent.fence; empty when there is none. */
    uint64_t token;               /* regent.fence */
    uint64_t fence_epoch;         /* regent.fence: highest epoch stored. */
    uint64_t started_s;           /* Server's start, seconds since 1970 by its own clock: the incarnation. */
    bool read_only;
    char executed[FSM_GTID_SIZE]; /* Replica: gtid_slave_pos; else gtid_binlog_pos. Whole server: gtid_current_pos. */
    char binlog[FSM_GTID_SIZE];   /* gtid_binlog_pos */
    /* Semi-sync. */
    bool source_enabled;   /* rpl_semi_sync_master_enabled */
    bool replica_enabled;  /* rpl_semi_sync_slave_enabled */
    bool source_on;        /* Rpl_semi_sync_master_status = ON */
    bool replica_on;       /* Rpl_semi_sync_slave_status = ON */
    uint32_t source_clients;
    uint64_t no_tx;        /* Commits that did not wait: grows only while not lossless. */
    uint32_t wait_sessions;/* Commits that wait now: on a busy master some do at nearly every moment, and yet flow. */
    uint64_t yes_tx;       /* Commits that were acknowledged. Stands still while none is, whatever ends their waits. */
    /* What this manager makes of successive probes; each -1 when it cannot tell (also: it is of an older version). */
    int64_t stalled_ms;    /* For so long, when the server was asked, commits had surely waited without one being
                            * acknowledged. 0: nobody waits, or that has just begun. Does not grow with the age of the
                            * probe: what came later is unknown. */
    int64_t acked_ms;      /* Since a commit was acknowledged, at most, at the manager's clock. -1, too: not seen. */
    uint64_t source_timeout_ms;
    bool after_sync;       /* wait point */
    bool wait_no_replica;
    uint32_t kill_conn_timeout_s;
    /* Settings that the rules need (A3, A20). */
    bool durable;          /* sync_binlog=1, innodb_flush_log_at_trx_commit=1 */
    bool relay_durable;    /* sync_relay_log=1 */
    bool log_replica_updates;
    bool gtid_strict;
    bool binlog_on;
    uint8_t channels_n;    /* All channels of the server; at most VIEW_CHANNELS_MAX are described. */
    struct view_channel channels[VIEW_CHANNELS_MAX];
};

/* A probe of a cluster with this timeout is given up after so long. Milliseconds. */
static inline uint32_t view_deadline_ms(uint32_t timeout_ms)
{
    return timeout_ms / 2 < 100 ? 100 : timeout_ms / 2;
}

/* One manager's view of one server. Ages are as of the moment of use: the receiver of a pushed observation adds the
 * time since it arrived. */
struct view_observation {
    enum view_outcome outcome;
    int64_t age_ms;        /* Since the last attempt ended; -1: never. */
    int64_t ok_age_ms;     /* Since the last OK; -1: never. */
    int64_t alive_age_ms;  /* Since the last answer of any kind; -1: never. */
    /* From the question of the last attempt to its end, rounded up; what another manager told: and until it was heard.
     * Facts may be so much older than age_ms (plan/sight.h). */
    int64_t took_ms;
    uint32_t refused_n;    /* REFUSED in a row, without another outcome between. */
    int64_t refused_span_ms; /* Between the first and the last of these. */
    int64_t failing_ms;    /* How long attempts have failed without an answer; 0 when the last one was answered. */
    char error[VIEW_ERROR_SIZE];
    struct view_facts facts; /* Of the last OK probe (facts.set false: none yet). */
};

struct view_manager {
    bool heard;      /* This manager's observations arrived within their validity. */
    uint64_t id;
    char name[FSM_NAME_SIZE];
    struct view_observation servers[FSM_SERVERS_MAX];
};

/* One cluster, seen by all managers. The leader's own view is managers[self]. */
struct view {
    uint8_t managers_n; /* Configured managers (voters), heard or not: majorities count these. */
    uint8_t self;
    struct view_manager managers[VIEW_MANAGERS_MAX];
};

#endif
