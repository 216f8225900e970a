/* Answers to the probe, made by hand: a server as a struct, turned into the sets that MariaDB would send. Header only.
 */
#ifndef REGENT_TESTS_PROBE_ANSWER_H
#define REGENT_TESTS_PROBE_ANSWER_H

#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "mysql/result.h"

enum { ANSWER_STATUS_N = 7, ANSWER_COLUMNS_N = 18, ANSWER_CHANNELS_MAX = 6 };

/* Cells as the server writes them. */
struct answer_channel {
    const char *name, *host, *port, *server_id, *log, *log_pos, *io, *sql, *io_errno, *io_error, *sql_errno, *sql_error;
    const char *received, *heartbeats, *period, *using_gtid, *lag_s, *relay_space;
};

struct answer_server {
    const char *version, *now, *at_s, *uptime, *server_id, *read_only;
    const char *executed_replica, *executed_any, *binlog;
    const char *strict, *log_bin, *log_updates, *sync_binlog, *flush_log, *sync_relay;
    const char *source_enabled, *replica_enabled, *timeout, *wait_point, *wait_no_replica, *kill_conn;
    const char *source_on, *replica_on, *clients, *no_tx, *yes_tx, *waiting;
    const char *identity, *token, *epoch, *term;
    unsigned channels_n;
    struct answer_channel channels[ANSWER_CHANNELS_MAX];
    const char *close_left, *close_last, *close_bars, *close_connections; /* Of CLOSE; NULL: no such set. */
    /* Room of answer_make(). */
    const char *status[ANSWER_STATUS_N * 3];
    const char *cells[ANSWER_CHANNELS_MAX * ANSWER_COLUMNS_N];
    const char *variables[20], *fence[4], *close[5];
};

static const char *const answer_names_version[] = {"version"};
static const char *const answer_names_variables[] = {
    "server_now",   "server_id",           "is_read_only",  "executed_replica", "executed_any",    "binlog_pos",
    "gtid_strict",  "binlog_on",           "log_replica_updates", "sync_binlog", "flush_log",      "sync_relay_log",
    "source_enabled", "replica_enabled",   "source_timeout", "wait_point",      "wait_no_replica", "kill_conn_timeout"};
static const char *const answer_names_status[] = {"status_name", "status_value", "at_s"};
static const char *const answer_names_fence[] = {"fence_identity", "fence_token", "fence_epoch", "fence_term"};
static const char *const answer_names_close[] = {"closed", "sessions_left", "last_id", "bars", "connections"};
static const char *const answer_names_channels[ANSWER_COLUMNS_N] = {
    "Connection_name", "Master_Host", "Master_Port", "Master_Server_Id", "Master_Log_File", "Read_Master_Log_Pos",
    "Slave_IO_Running", "Slave_SQL_Running", "Last_IO_Errno", "Last_IO_Error",    "Last_SQL_Errno",  "Last_SQL_Error",
    "Gtid_IO_Pos",     "Slave_received_heartbeats", "Slave_heartbeat_period", "Using_Gtid", "Seconds_Behind_Master",
    "Relay_Log_Space"};

static struct answer_server answer_replica(void)
{
    return (struct answer_server){
        .version = "10.11.19-MariaDB-0+deb12u1-log", .now = "1795226883.123456", .at_s = "1795226883", .uptime = "883",
        .server_id = "2", .read_only = "1", .executed_replica = "0-1-100", .executed_any = "0-1-100",
        .binlog = "0-1-100", .strict = "1", .log_bin = "1", .log_updates = "1", .sync_binlog = "1", .flush_log = "1",
        .sync_relay = "1", .source_enabled = "0", .replica_enabled = "1", .timeout = "4294967295",
        .wait_point = "AFTER_SYNC", .wait_no_replica = "1", .kill_conn = "1", .source_on = "OFF", .replica_on = "ON",
        .clients = "0", .no_tx = "0", .yes_tx = "0", .waiting = "0", .identity = "id-db2", .token = "10",
        .epoch = "1", .term = "1",
        .channels_n = 1,
        .channels = {{.name = "", .host = "db1", .port = "3311", .server_id = "1", .log = "bin.000001",
                      .log_pos = "4711", .io = "Yes", .sql = "Yes", .io_errno = "0", .io_error = "", .sql_errno = "0",
                      .sql_error = "", .received = "0-1-100", .heartbeats = "7", .period = "0.250",
                      .using_gtid = "Slave_Pos", .lag_s = "0", .relay_space = "1480"}},
    };
}

static void answer_add(struct db_result *r, const char *const *names, unsigned columns, const char *const *cells,
                       unsigned rows)
{
    r->sets[r->sets_n++] =
        (struct db_set){.rows_n = rows, .columns_n = (uint16_t)columns, .names = names, .cells = cells};
}

/* The whole answer; 'result' points into '*s'. */
static void answer_make(struct answer_server *s, struct db_result *result)
{
    const char *variables[] = {s->now, s->server_id, s->read_only, s->executed_replica, s->executed_any, s->binlog,
                               s->strict, s->log_bin, s->log_updates, s->sync_binlog, s->flush_log, s->sync_relay,
                               s->source_enabled, s->replica_enabled, s->timeout, s->wait_point, s->wait_no_replica,
                               s->kill_conn};
    const char *status[] = {"UPTIME", s->uptime, s->at_s,
                            "RPL_SEMI_SYNC_MASTER_STATUS", s->source_on, s->at_s,
                            "RPL_SEMI_SYNC_SLAVE_STATUS", s->replica_on, s->at_s,
                            "RPL_SEMI_SYNC_MASTER_CLIENTS", s->clients, s->at_s,
                            "RPL_SEMI_SYNC_MASTER_NO_TX", s->no_tx, s->at_s,
                            "RPL_SEMI_SYNC_MASTER_YES_TX", s->yes_tx, s->at_s,
                            "RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS", s->waiting, s->at_s};
    _Static_assert(sizeof(variables) <= sizeof(s->variables), "room");
    _Static_assert(sizeof(status) == sizeof(s->status), "room");
    memcpy(s->variables, variables, sizeof(variables));
    memcpy(s->status, status, sizeof(status));
    for (unsigned c = 0; c < s->channels_n; c++) {
        memcpy(&s->cells[c * ANSWER_COLUMNS_N], &s->channels[c], sizeof(s->channels[c]));
    }
    s->fence[0] = s->identity;
    s->fence[1] = s->token;
    s->fence[2] = s->epoch;
    s->fence[3] = s->term;
    *result = (struct db_result){.status = DB_OK};
    if (s->close_left != NULL) {
        s->close[0] = s->read_only;
        s->close[1] = s->close_left;
        s->close[2] = s->close_last;
        s->close[3] = s->close_bars;
        s->close[4] = s->close_connections;
        answer_add(result, answer_names_close, 5, s->close, 1);
    }
    result->sets_n++; /* SET SESSION: no columns. */
    answer_add(result, answer_names_version, 1, &s->version, 1);
    answer_add(result, answer_names_variables, ARRAY_LEN(answer_names_variables), s->variables, 1);
    answer_add(result, answer_names_status, 3, s->status, ANSWER_STATUS_N);
    answer_add(result, answer_names_channels, ANSWER_COLUMNS_N, s->cells, s->channels_n);
    answer_add(result, answer_names_fence, 4, s->fence, 1);
}

#endif
