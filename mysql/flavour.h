/* Flavours: every statement, variable and column name that differs between server products, as one table. PURE.
 *
 * probe.c and verb*.c take the words from here, so that a further flavour is a further row. Only MariaDB has a row now:
 * the semi-sync, GTID and compound-statement rules of MySQL differ (reference/protocol-review.md §0), and a flavour is
 * either really usable or refused with a clear text. */
#ifndef REGENT_MYSQL_FLAVOUR_H
#define REGENT_MYSQL_FLAVOUR_H

#include "fsm/state.h"
#include "lib/base/text.h"

/* Statements about one channel: "<head>'<channel>'<tail>". */
struct flavour_statement {
    const char *head, *tail;
};

/* Columns of the answer about channels. */
struct flavour_columns {
    const char *channel, *source_host, *source_port, *source_server_id, *source_log, *source_log_pos;
    const char *receiver_runs, *applier_runs, *receiver_errno, *receiver_error, *applier_errno, *applier_error;
    const char *received, *heartbeats, *heartbeat_period, *gtid_mode, *lag_s, *relay_space;
};

/* Global variables; each is read as @@GLOBAL.<name> and set with SET GLOBAL <name>. */
struct flavour_variables {
    const char *source_enabled, *replica_enabled, *source_timeout, *wait_point, *wait_no_replica, *kill_conn_timeout;
    const char *executed_replica, *executed_any, *binlog, *gtid_strict, *log_replica_updates;
};

/* Status counters, as information_schema.GLOBAL_STATUS names them (upper case). */
struct flavour_status {
    const char *source_on, *replica_on, *source_clients, *no_tx, *yes_tx, *wait_sessions;
};

struct flavour {
    const char *name;
    const char *mark;          /* A version of this flavour contains it. */
    const char *const *series; /* Supported "major.minor", NULL at the end. */
    const char *show_channels;
    struct flavour_statement stop_receiver, stop_replica, start_receiver, start_applier, start_replica, reset_replica;
    struct flavour_statement change; /* Behind it: options, comma separated. */
    const char *opt_host, *opt_port, *opt_user, *opt_password; /* Of 'change', with '='. */
    const char *opt_rest;      /* The others: GTID position, heartbeat, retry. */
    struct flavour_columns columns;
    struct flavour_variables variables;
    struct flavour_status status;
};

/* The row of a flavour; NULL when this version of Regent does not support it (yet). Static. */
const struct flavour *flavour_find(enum fsm_flavour flavour);

/* True when a server that calls itself 'version' is supported as 'flavour'. Else false, and a sentence for operators
 * in 'error' that names what was found and what is supported. */
bool flavour_supports(enum fsm_flavour flavour, const char *version, struct text *error);

/* Appends "<head>'<channel>'<tail>". */
void flavour_add(struct text *sql, const struct flavour_statement *statement, const char *channel);

#endif
