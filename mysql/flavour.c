/* The table of flavours. PURE. Sources: MariaDB 10.11 on loopback (reference/servers.md E, hazards.md A). */
#include "mysql/flavour.h"

#include <string.h>

static const char *const mariadb_series[] = {"10.11", "11.8", NULL};

static const struct flavour mariadb = {
    .name = "MariaDB",
    .mark = "MariaDB",
    .series = mariadb_series,
    .show_channels = "SHOW ALL SLAVES STATUS",
    .stop_receiver = {"STOP SLAVE ", " IO_THREAD"},
    .stop_replica = {"STOP SLAVE ", ""},
    .start_receiver = {"START SLAVE ", " IO_THREAD"},
    .start_applier = {"START SLAVE ", " SQL_THREAD"},
    .start_replica = {"START SLAVE ", ""},
    .reset_replica = {"RESET SLAVE ", " ALL"},
    .change = {"CHANGE MASTER ", " TO "},
    .opt_host = "MASTER_HOST=",
    .opt_port = "MASTER_PORT=",
    .opt_user = "MASTER_USER=",
    .opt_password = "MASTER_PASSWORD=",
    /* Heartbeats at a quarter of a second: the diagnosis reads their absence (DESIGN §8). */
    .opt_rest = "MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=0.25, MASTER_CONNECT_RETRY=1",
    .columns = {
        .channel = "Connection_name",
        .source_host = "Master_Host",
        .source_port = "Master_Port",
        .source_server_id = "Master_Server_Id",
        .source_log = "Master_Log_File",
        .source_log_pos = "Read_Master_Log_Pos",
        .receiver_runs = "Slave_IO_Running",
        .applier_runs = "Slave_SQL_Running",
        .receiver_errno = "Last_IO_Errno",
        .receiver_error = "Last_IO_Error",
        .applier_errno = "Last_SQL_Errno",
        .applier_error = "Last_SQL_Error",
        .received = "Gtid_IO_Pos",
        .heartbeats = "Slave_received_heartbeats",
        .heartbeat_period = "Slave_heartbeat_period",
        .gtid_mode = "Using_Gtid",
        .lag_s = "Seconds_Behind_Master",
        .relay_space = "Relay_Log_Space",
    },
    .variables = {
        .source_enabled = "rpl_semi_sync_master_enabled",
        .replica_enabled = "rpl_semi_sync_slave_enabled",
        .source_timeout = "rpl_semi_sync_master_timeout",
        .wait_point = "rpl_semi_sync_master_wait_point",
        .wait_no_replica = "rpl_semi_sync_master_wait_no_slave",
        .kill_conn_timeout = "rpl_semi_sync_slave_kill_conn_timeout",
        .executed_replica = "gtid_slave_pos",
        .executed_any = "gtid_current_pos",
        .binlog = "gtid_binlog_pos",
        .gtid_strict = "gtid_strict_mode",
        .log_replica_updates = "log_slave_updates",
    },
    .status = {
        .source_on = "RPL_SEMI_SYNC_MASTER_STATUS",
        .replica_on = "RPL_SEMI_SYNC_SLAVE_STATUS",
        .source_clients = "RPL_SEMI_SYNC_MASTER_CLIENTS",
        .no_tx = "RPL_SEMI_SYNC_MASTER_NO_TX",
        .yes_tx = "RPL_SEMI_SYNC_MASTER_YES_TX",
        .wait_sessions = "RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS",
    },
};

const struct flavour *flavour_find(enum fsm_flavour flavour)
{
    return flavour == FLAVOUR_MARIADB ? &mariadb : NULL;
}

static bool is_of_series(const char *version, const char *series)
{
    size_t n = strlen(series);

    return strncmp(version, series, n) == 0 && version[n] == '.';
}

bool flavour_supports(enum fsm_flavour flavour, const char *version, struct text *error)
{
    const struct flavour *row = flavour_find(flavour);

    if (row == NULL) {
        text_addf(error, "flavour %s is not supported by this version of Regent (MariaDB 10.11 and 11.8 are); the "
                         "server says %s",
                  fsm_flavour_name(flavour), version);
        return false;
    }
    if (strstr(version, row->mark) == NULL) {
        text_addf(error, "the server says %s, which is not %s: correct 'flavour' in the cluster file", version,
                  row->name);
        return false;
    }
    for (const char *const *series = row->series; *series != NULL; series++) {
        if (is_of_series(version, *series)) return true;
    }
    text_addf(error, "version %s is not supported: use %s", version, row->name);
    for (const char *const *series = row->series; *series != NULL; series++) {
        text_addf(error, "%s%s", series == row->series ? " " : " or ", *series);
    }
    return false;
}

void flavour_add(struct text *sql, const struct flavour_statement *statement, const char *channel)
{
    text_add(sql, statement->head);
    text_add_sql(sql, channel);
    text_add(sql, statement->tail);
}
