/* What a simulated server tells about itself: virtual tables, variables, status, channels. See mysqld_program.h. */
#include <string.h>

#include "sim/mysqld_program.h"

/* --- variables -------------------------------------------------------------------------------------------------- */

const char *pos_text(struct mysqld *m, unsigned slot, const struct pos *pos)
{
    MUST(slot < ARRAY_LEN(m->shown));
    if (m->shown[slot].pos.n != pos->n || memcmp(m->shown[slot].pos.d, pos->d, pos->n * sizeof(pos->d[0])) != 0) {
        m->shown[slot].pos = *pos;
        pos_print(pos, m->shown[slot].text, sizeof(m->shown[slot].text));
    }
    return m->shown[slot].text;
}

static struct value boolean(bool is)
{
    return number(is);
}

struct value system_value(struct session *s, enum system name)
{
    struct mysqld *m = s->m;
    struct pos pos;
    switch (name) {
    case SYSTEM_SERVER_ID: return number(m->now.server_id);
    case SYSTEM_READ_ONLY: return boolean(m->read_only);
    case SYSTEM_SLAVE_POS: return text_value(pos_text(m, 0, &m->log.applied));
    case SYSTEM_CURRENT_POS:
        current_pos(m, &pos);
        return text_value(pos_text(m, 1, &pos));
    case SYSTEM_BINLOG_POS: return text_value(pos_text(m, 2, &m->log.last));
    case SYSTEM_STRICT: return boolean(m->gtid_strict);
    case SYSTEM_LOG_BIN: return boolean(m->now.binlog);
    case SYSTEM_LOG_UPDATES: return boolean(m->now.log_replica_updates);
    case SYSTEM_SYNC_BINLOG: return number(m->now.sync_binlog);
    case SYSTEM_FLUSH_LOG: return number(m->now.flush_log);
    case SYSTEM_SYNC_RELAY: return number(m->now.sync_relay_log);
    case SYSTEM_SOURCE_ENABLED: return boolean(m->source_flag);
    case SYSTEM_REPLICA_ENABLED: return boolean(m->replica_flag);
    case SYSTEM_SOURCE_TIMEOUT: return number((int64_t)m->source_timeout_ms);
    case SYSTEM_WAIT_POINT: return text_value(m->after_sync ? "AFTER_SYNC" : "AFTER_COMMIT");
    case SYSTEM_WAIT_NO_SLAVE: return boolean(m->wait_no_slave);
    case SYSTEM_KILL_CONN: return number(m->kill_conn_timeout_s);
    case SYSTEM_NET_TIMEOUT: return number(m->now.slave_net_timeout_s);
    case SYSTEM_MAX_CONNECTIONS: return number(m->now.max_connections);
    case SYSTEM_SQL_LOG_BIN: return boolean(s->log_bin);
    case SYSTEM_LOCK_WAIT: return number(s->lock_wait_s);
    case SYSTEM_WAIT_TIMEOUT: return number(s->wait_timeout_s);
    case SYSTEM_IGNORED: case SYSTEMS_N: break;
    }
    not_understood("a variable that has no value in the model", "", "");
}

/* --- tables ----------------------------------------------------------------------------------------------------- */

enum status { STATUS_CLIENTS, STATUS_NO_TX, STATUS_SOURCE, STATUS_WAITING, STATUS_YES_TX, STATUS_REPLICA, STATUS_UPTIME,
              STATUS_N };

static const char *const status_names[STATUS_N] = {
    "RPL_SEMI_SYNC_MASTER_CLIENTS", "RPL_SEMI_SYNC_MASTER_NO_TX", "RPL_SEMI_SYNC_MASTER_STATUS",
    "RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS", "RPL_SEMI_SYNC_MASTER_YES_TX", "RPL_SEMI_SYNC_SLAVE_STATUS", "UPTIME"};

static struct value status_cell(const struct mysqld *m, uint32_t row, enum column column)
{
    if (column == COLUMN_VARIABLE_NAME) return text_value(status_names[row]);
    switch ((enum status)row) {
    case STATUS_CLIENTS: return number(source_clients(m));
    case STATUS_NO_TX: return number((int64_t)m->commits.no_tx);
    case STATUS_SOURCE: return text_value(m->source_flag && m->commits.is_on ? "ON" : "OFF");
    case STATUS_WAITING: return number(m->commits.waiting.first && m->commits.is_waiting);
    case STATUS_YES_TX: return number((int64_t)m->commits.yes_tx);
    case STATUS_REPLICA: return text_value(m->channel.io != IO_NO && m->channel.is_semi ? "ON" : "OFF");
    case STATUS_UPTIME: /* Of a clock that was set back before the start, too: it wraps. */
        return (struct value){VALUE_UNSIGNED, 0, sim_wall(m->sim, m->node).us / SIM_S - m->started_wall_s, NULL};
    case STATUS_N: break;
    }
    MUST_NOT_REACH();
}

static struct value variable_cell(const struct mysqld *m, uint32_t row, enum column column)
{
    bool is_read_only = row == 0, is_on = is_read_only ? m->read_only : m->replica_flag;
    if (column == COLUMN_VARIABLE_NAME) return text_value(is_read_only ? "READ_ONLY" : "RPL_SEMI_SYNC_SLAVE_ENABLED");
    if (column == COLUMN_ORIGIN) return text_value(m->set_at_run_time[row] ? "SQL" : "CONFIG");
    return text_value(is_on ? "ON" : "OFF");
}

static const struct session *nth_session(const struct mysqld *m, uint32_t row)
{
    const struct session *s = m->sessions;
    while (s && row-- > 0) s = s->next;
    return s;
}

static const char *command_of(const struct session *s)
{
    if (s->kill == KILL_SESSION) return "Killed";
    if (s->dump) return "Binlog Dump";
    return !s->is_in ? "Connect" : s->is_busy ? "Query" : "Sleep";
}

static const char *state_of(const struct session *s)
{
    const struct commits *c = &s->m->commits;
    if (s->wait == WAIT_READ_ONLY || s->wait == WAIT_WRITE) return "Waiting for backup lock";
    if (s->wait != WAIT_COMMIT) return "";
    bool is_leader = c->waiting.first && c->waiting.first->session == s;
    return is_leader ? "Waiting for semi-sync ACK from slave" : "Commit";
}

/* Threads of replication are rows behind the sessions: the receiver, then the applier. */
static struct value thread_cell(const struct mysqld *m, uint32_t row, enum column column)
{
    bool is_io = m->channel.io != IO_NO && row == m->sessions_n;
    if (column == COLUMN_ID) return number(is_io ? 5 : 6);
    if (column == COLUMN_USER) return text_value("system user");
    if (column == COLUMN_COMMAND) return text_value(is_io ? "Slave_IO" : "Slave_SQL");
    return text_value("");
}

static struct value session_cell(const struct mysqld *m, uint32_t row, enum column column)
{
    const struct session *s = nth_session(m, row);
    if (!s) return thread_cell(m, row, column);
    if (column == COLUMN_ID) return number((int64_t)s->id);
    if (column == COLUMN_USER) return text_value(s->is_in ? s->user : "unauthenticated user");
    if (column == COLUMN_COMMAND) return text_value(command_of(s));
    if (column == COLUMN_STATE) return text_value(state_of(s));
    return text_value(s->is_busy ? s->statement : "");
}

static uint32_t tables_n(const struct mysqld *m)
{
    return (m->has_fence ? 1u : 0u) + (m->has_reign ? 1u : 0u);
}

bool table_has_row(const struct mysqld *m, enum table table, uint32_t row)
{
    switch (table) {
    case TABLE_FENCE: return row == 0 && m->has_fence_row;
    case TABLE_SESSIONS: return row < m->sessions_n + (m->channel.io != IO_NO ? 1u : 0u) + (m->channel.sql ? 1u : 0u);
    case TABLE_STATUS: return row < STATUS_N;
    case TABLE_VARIABLES: return row < 2;
    case TABLE_COLUMNS: return row < (m->has_fence && m->has_term ? 1u : 0u);
    case TABLE_TABLES: return row < tables_n(m);
    case TABLE_SCHEMAS: return row < (m->has_schema ? 2u : 1u);
    case TABLES_N: break;
    }
    MUST_NOT_REACH();
}

static struct value fence_cell(const struct mysqld *m, enum column column)
{
    if (column == COLUMN_ID) return number(1);
    if (column == COLUMN_IDENTITY) return text_value(m->fence.identity);
    return number((int64_t)(column == COLUMN_TOKEN ? m->fence.token : column == COLUMN_EPOCH ? m->fence.epoch
                                                                                             : m->fence.term));
}

struct value table_cell(struct session *s, enum table table, uint32_t row, enum column column)
{
    const struct mysqld *m = s->m;
    switch (table) {
    case TABLE_FENCE: return fence_cell(m, column);
    case TABLE_SESSIONS: return session_cell(m, row, column);
    case TABLE_STATUS: return status_cell(m, row, column);
    case TABLE_VARIABLES: return variable_cell(m, row, column);
    case TABLE_COLUMNS:
        return text_value(column == COLUMN_TABLE_SCHEMA ? "regent" : column == COLUMN_TABLE_NAME ? "fence" : "term");
    case TABLE_TABLES:
        if (column == COLUMN_TABLE_SCHEMA) return text_value("regent");
        return text_value(row == 0 && m->has_fence ? "fence" : "reign");
    case TABLE_SCHEMAS: return text_value(row == 0 ? "t" : "regent");
    case TABLES_N: break;
    }
    MUST_NOT_REACH();
}

unsigned table_error(const struct mysqld *m, enum table table)
{
    return table == TABLE_FENCE && !m->has_fence ? 1146 : 0;
}

/* --- channels --------------------------------------------------------------------------------------------------- */

enum { CHANNEL_COLUMNS_N = 19 };

/* Those that Regent reads (mysql/flavour.c), and who is connected to. */
static const char *const channel_names[CHANNEL_COLUMNS_N] = {
    "Connection_name", "Master_Host", "Master_User", "Master_Port", "Master_Log_File", "Read_Master_Log_Pos",
    "Slave_IO_Running", "Slave_SQL_Running", "Relay_Log_Space", "Seconds_Behind_Master", "Last_IO_Errno",
    "Last_IO_Error", "Last_SQL_Errno", "Last_SQL_Error", "Master_Server_Id", "Using_Gtid", "Gtid_IO_Pos",
    "Slave_received_heartbeats", "Slave_heartbeat_period"};

static const char *number_text(struct session *s, uint64_t n)
{
    struct value v = number((int64_t)n);
    return text_of_number(s, &v);
}

static const char *copy(struct session *s, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(reply_text(s, size), text, size);
}

static const char *file_text(struct session *s, const struct channel *c)
{
    char name[32];
    struct text t = TEXT_ON(name);
    if (c->file_n > 0) {
        text_add(&t, "binlog.");
        text_add_u64(&t, c->file_n, 6);
    }
    return copy(s, name);
}

static const char *period_text(struct session *s, const struct channel *c)
{
    char period[32];
    struct text t = TEXT_ON(period);
    text_add_u64(&t, c->heartbeat_us / SIM_S, 0);
    text_add(&t, ".");
    text_add_u64(&t, c->heartbeat_us % SIM_S / 1000, 3);
    return copy(s, period);
}

/* Whole seconds since the oldest transaction that is received and not executed; 0 with none; NULL when not known. */
static const char *lag_text(struct session *s, const struct channel *c)
{
    const struct relay *r = &c->relay;
    if (!c->sql || c->io != IO_YES) return NULL;
    if (r->head == r->n) return "0";
    return number_text(s, (uint64_t)((sim_now_us(s->m->sim) - r->e[r->head].at_us) / SIM_S));
}

void show_channels(struct session *s)
{
    static const char *const io_texts[] = {"No", "Connecting", "Yes"};
    struct db_result *r = &s->reply->result;
    struct mysqld *m = s->m;
    const struct channel *c = &m->channel;
    MUST(r->sets_n < DB_SETS_MAX);
    struct db_set *set = &r->sets[r->sets_n++];
    *set = (struct db_set){.rows_n = c->exists, .columns_n = CHANNEL_COLUMNS_N, .names = channel_names};
    if (!c->exists) return;
    const char *cells[CHANNEL_COLUMNS_N] = {
        "", copy(s, c->host), copy(s, c->user), number_text(s, c->port), file_text(s, c), number_text(s, c->file_pos),
        io_texts[c->io], c->sql ? "Yes" : "No", number_text(s, c->relay.space), lag_text(s, c),
        number_text(s, c->io_errno), copy(s, c->io_error), number_text(s, c->sql_errno), copy(s, c->sql_error),
        number_text(s, c->source_id), c->gtid ? "Slave_Pos" : "No", copy(s, pos_text(m, 3, &c->received)),
        number_text(s, c->heartbeats), period_text(s, c)};
    set->cells = memcpy(reply_text(s, sizeof(cells)), cells, sizeof(cells));
}
