/* The probe: what is asked and how the answer is read. PURE.
 *
 * One request, five statements: session settings, version, variables, status, channels, fence row. The sets are found
 * by their columns, not by their place, since verbs send the same statements behind a block of their own.
 * Failure modes: a server of another flavour or version answers the version and then an error about a name that it
 * does not know (UNSUPPORTED); a cut or odd answer is FAILED, never half believed; a GTID that does not fit is FAILED,
 * since a cut GTID would be a wrong one. */
#include "mysql/probe.h"

#include <string.h>
#include <strings.h>

#include "mysql/flavour.h"

static void add_variable(struct text *sql, const char *name, const char *alias)
{
    text_addf(sql, ", @@GLOBAL.%s AS %s", name, alias);
}

static void add_variables(struct text *sql, const struct flavour_variables *v)
{
    text_add(sql, "SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS server_now");
    add_variable(sql, "server_id", "server_id");
    add_variable(sql, "read_only", "is_read_only");
    add_variable(sql, v->executed_replica, "executed_replica");
    add_variable(sql, v->executed_any, "executed_any");
    add_variable(sql, v->binlog, "binlog_pos");
    add_variable(sql, v->gtid_strict, "gtid_strict");
    add_variable(sql, "log_bin", "binlog_on");
    add_variable(sql, v->log_replica_updates, "log_replica_updates");
    add_variable(sql, "sync_binlog", "sync_binlog");
    add_variable(sql, "innodb_flush_log_at_trx_commit", "flush_log");
    add_variable(sql, "sync_relay_log", "sync_relay_log");
    add_variable(sql, v->source_enabled, "source_enabled");
    add_variable(sql, v->replica_enabled, "replica_enabled");
    add_variable(sql, v->source_timeout, "source_timeout");
    add_variable(sql, v->wait_point, "wait_point");
    add_variable(sql, v->wait_no_replica, "wait_no_replica");
    add_variable(sql, v->kill_conn_timeout, "kill_conn_timeout");
    text_add(sql, ";\n");
}

static void add_status(struct text *sql, const struct flavour_status *s)
{
    /* UNIX_TIMESTAMP() and Uptime count from the same start of the statement: their difference is the server's start,
     * the same number at every probe. */
    text_addf(sql,
              "SELECT VARIABLE_NAME AS status_name, VARIABLE_VALUE AS status_value, UNIX_TIMESTAMP() AS at_s"
              " FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('UPTIME', '%s', '%s', '%s', '%s',"
              " '%s', '%s');\n",
              s->source_on, s->replica_on, s->source_clients, s->no_tx, s->yes_tx, s->wait_sessions);
}

void probe_write(enum fsm_flavour flavour, struct text *sql)
{
    const struct flavour *row = flavour_find(flavour);

    text_add(sql, "SET SESSION sql_mode = '', time_zone = '+00:00';\nSELECT VERSION() AS version;\n");
    if (row == NULL) return;
    add_variables(sql, &row->variables);
    add_status(sql, &row->status);
    text_addf(sql, "%s;\n", row->show_channels);
    /* No table or no schema: not enrolled. No column term: enrolled by an early version. Anything else that fails must
     * be seen. */
    text_add(sql, "BEGIN NOT ATOMIC DECLARE i VARCHAR(255) DEFAULT ''; DECLARE t, e, m BIGINT UNSIGNED DEFAULT 0;"
                  " DECLARE CONTINUE HANDLER FOR 1049, 1146, 1054 BEGIN END;"
                  " SELECT identity, token, epoch INTO i, t, e FROM regent.fence WHERE id = 1;"
                  " SELECT term INTO m FROM regent.fence WHERE id = 1;"
                  " SELECT i AS fence_identity, t AS fence_token, e AS fence_epoch, m AS fence_term; END");
}

/* --- reading --- */

static const char *cell(struct db_reader *in, unsigned r, const char *name)
{
    const char *value = db_read(in, r, name);

    return value == NULL ? "" : value;
}

/* "1", "ON", "YES": servers differ by variable and version. */
static bool is_on(const char *value)
{
    if (value[0] == '0' || value[0] == '1') return text_equal(value, "1");
    return strcasecmp(value, "ON") == 0 || strcasecmp(value, "YES") == 0;
}

static uint32_t cell_u32(struct db_reader *in, unsigned r, const char *name)
{
    uint64_t value = db_read_u64(in, r, name, 0);

    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* "0.250" seconds to 250; 0 for what is not a number. */
static uint32_t seconds_to_ms(const char *s)
{
    uint64_t ms = 0;
    uint64_t scale = 1000;
    bool fraction = false;

    for (; *s != '\0' && scale > 0 && ms < 1000000000u; s++) {
        if (*s == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (*s < '0' || *s > '9') return 0;
        if (fraction) {
            scale /= 10;
            ms += scale * (uint64_t)(*s - '0');
        } else {
            ms = ms * 10 + 1000 * (uint64_t)(*s - '0');
        }
    }
    return (uint32_t)ms;
}

static uint64_t mark_of(uint64_t mark, const char *s)
{
    for (; *s != '\0'; s++) mark = (mark ^ (uint8_t)*s) * 1099511628211u; /* FNV-1a */
    return (mark ^ '|') * 1099511628211u;
}

/* In the order of add_variables(). */
static bool read_variables(const struct db_result *result, struct view_facts *facts)
{
    struct db_reader in = db_reader_of(result, "server_now");

    if (in.set == NULL || in.set->rows_n != 1) return false;
    facts->server_id = cell_u32(&in, 0, "server_id");
    facts->read_only = is_on(cell(&in, 0, "is_read_only"));
    bool is_whole = TEXT_COPY(facts->binlog, cell(&in, 0, "binlog_pos"));
    facts->gtid_strict = is_on(cell(&in, 0, "gtid_strict"));
    facts->binlog_on = is_on(cell(&in, 0, "binlog_on"));
    facts->log_replica_updates = is_on(cell(&in, 0, "log_replica_updates"));
    bool is_binlog_synced = db_read_u64(&in, 0, "sync_binlog", 0) == 1;
    facts->durable = db_read_u64(&in, 0, "flush_log", 0) == 1 && is_binlog_synced;
    facts->relay_durable = db_read_u64(&in, 0, "sync_relay_log", 0) == 1;
    facts->source_enabled = is_on(cell(&in, 0, "source_enabled"));
    facts->replica_enabled = is_on(cell(&in, 0, "replica_enabled"));
    facts->source_timeout_ms = db_read_u64(&in, 0, "source_timeout", 0);
    facts->after_sync = strcasecmp(cell(&in, 0, "wait_point"), "AFTER_SYNC") == 0;
    facts->wait_no_replica = is_on(cell(&in, 0, "wait_no_replica"));
    facts->kill_conn_timeout_s = cell_u32(&in, 0, "kill_conn_timeout");
    return is_whole;
}

static bool read_status(const struct db_result *result, const struct flavour_status *names, struct view_facts *facts)
{
    struct db_reader in = db_reader_of(result, "status_name");
    bool started = false;

    if (in.set == NULL) return false;
    for (uint32_t r = 0; r < in.set->rows_n; r++) {
        const char *name = cell(&in, r, "status_name");
        const char *text = cell(&in, r, "status_value");
        uint64_t value = 0; /* Stays so for what is not a number. */
        (void)text_to_u64(text, &value);
        if (db_is_name(name, "UPTIME")) {
            facts->started_s = db_read_u64(&in, r, "at_s", 0) - value;
            started = true;
        }
        if (db_is_name(name, names->source_on)) facts->source_on = is_on(text);
        if (db_is_name(name, names->replica_on)) facts->replica_on = is_on(text);
        if (db_is_name(name, names->source_clients)) facts->source_clients = (uint32_t)value;
        if (db_is_name(name, names->no_tx)) facts->no_tx = value;
        if (db_is_name(name, names->yes_tx)) facts->yes_tx = value;
        if (db_is_name(name, names->wait_sessions)) facts->wait_sessions = (uint32_t)value;
    }
    return started;
}

static enum view_io read_io(const char *text)
{
    if (strcasecmp(text, "Yes") == 0) return VIEW_IO_YES;
    if (strcasecmp(text, "No") == 0) return VIEW_IO_NO;
    return VIEW_IO_CONNECTING; /* "Connecting", "Preparing" */
}

static void read_errors(struct db_reader *in, const struct flavour_columns *names, uint32_t r,
                        struct view_channel *channel)
{
    channel->io_errno = cell_u32(in, r, names->receiver_errno);
    const char *receiver_error = cell(in, r, names->receiver_error);
    channel->sql_errno = cell_u32(in, r, names->applier_errno);
    const char *applier_error = cell(in, r, names->applier_error);
    (void)TEXT_COPY(channel->error, channel->sql_errno != 0 ? applier_error : receiver_error);
}

/* In about the order of the servers' columns. */
static bool read_channel(struct db_reader *in, const struct flavour_columns *names, uint32_t r,
                         struct view_channel *channel)
{
    uint64_t lag_s = 0;
    bool is_whole = TEXT_COPY(channel->name, cell(in, r, names->channel));

    is_whole &= TEXT_COPY(channel->source_host, cell(in, r, names->source_host));
    channel->source_port = (uint16_t)db_read_u64(in, r, names->source_port, 0);
    const char *log = cell(in, r, names->source_log), *log_pos = cell(in, r, names->source_log_pos);
    channel->io = read_io(cell(in, r, names->receiver_runs));
    channel->applier = is_on(cell(in, r, names->applier_runs));
    const char *lag = db_read(in, r, names->lag_s);
    channel->lag_ms = lag != NULL && text_to_u64(lag, &lag_s) ? (int64_t)lag_s * 1000 : -1;
    read_errors(in, names, r, channel);
    channel->source_server_id = cell_u32(in, r, names->source_server_id);
    const char *gtid = cell(in, r, names->gtid_mode);
    channel->gtid = strcasecmp(gtid, "Slave_Pos") == 0 || strcasecmp(gtid, "Current_Pos") == 0;
    const char *received = cell(in, r, names->received);
    is_whole &= TEXT_COPY(channel->received, received);
    const char *heartbeats = cell(in, r, names->heartbeats);
    if (!text_to_u64(heartbeats, &channel->heartbeats)) channel->heartbeats = 0;
    channel->heartbeat_period_ms = seconds_to_ms(cell(in, r, names->heartbeat_period));
    channel->idle_ms = -1;
    uint64_t mark = mark_of(mark_of(14695981039346656037u, log), log_pos);
    channel->receive_mark = mark_of(mark_of(mark, heartbeats), received);
    return is_whole;
}

static bool read_channels(const struct db_result *result, const struct flavour_columns *names,
                          struct view_facts *facts)
{
    struct db_reader in = db_reader_of(result, names->channel);

    if (in.set == NULL) return false;
    facts->channels_n = in.set->rows_n > UINT8_MAX ? UINT8_MAX : (uint8_t)in.set->rows_n;
    for (uint32_t r = 0; r < facts->channels_n && r < VIEW_CHANNELS_MAX; r++) {
        if (!read_channel(&in, names, r, &facts->channels[r])) return false;
    }
    return true;
}

/* On a replica only the applied position counts: there, a transaction of the replica's own makes the position of the
 * whole server look as if it contained what its master did meanwhile. A server that has been promoted and opened still
 * has its old, stopped channel, but its own transactions count. */
static bool read_executed(const struct db_result *result, struct view_facts *facts)
{
    struct db_reader in = db_reader_of(result, "server_now");
    bool is_replica = facts->channels_n > 0 && facts->read_only;

    for (uint32_t c = 0; c < facts->channels_n && c < VIEW_CHANNELS_MAX; c++) {
        if (facts->channels[c].io != VIEW_IO_NO || facts->channels[c].applier) is_replica = true;
    }
    return TEXT_COPY(facts->executed, cell(&in, 0, is_replica ? "executed_replica" : "executed_any"));
}

static bool read_fence(const struct db_result *result, struct view_facts *facts)
{
    struct db_reader in = db_reader_of(result, "fence_identity");

    if (in.set == NULL || in.set->rows_n != 1) return false;
    bool is_whole = TEXT_COPY(facts->identity, cell(&in, 0, "fence_identity"));
    facts->token = db_read_u64(&in, 0, "fence_token", 0);
    facts->fence_epoch = db_read_u64(&in, 0, "fence_epoch", 0);
    return is_whole;
}

static const char *version_of(const struct db_result *result)
{
    struct db_reader in = db_reader_of(result, "version");

    return db_read(&in, 0, "version");
}

enum view_outcome probe_read(enum fsm_flavour flavour, const struct db_result *result, struct view_facts *facts,
                             struct text *error)
{
    const char *version = version_of(result);

    *facts = (struct view_facts){0};
    if (version != NULL) {
        (void)TEXT_COPY(facts->version, version);
        facts->supported = flavour_supports(flavour, version, error);
        if (!facts->supported) return VIEW_UNSUPPORTED;
    }
    if (result->status != DB_OK) return probe_failure(result, error);
    if (result->cut || version == NULL) {
        text_add(error, result->cut ? "the answer was too long" : "the answer names no version");
        return VIEW_FAILED;
    }
    const struct flavour *row = flavour_find(flavour);
    MUST(row != NULL);
    if (!read_variables(result, facts) || !read_status(result, &row->status, facts) ||
        !read_channels(result, &row->columns, facts) || !read_executed(result, facts) || !read_fence(result, facts)) {
        text_add(error, "the answer to the probe has not the expected shape");
        return VIEW_FAILED;
    }
    facts->stalled_ms = facts->acked_ms = -1; /* One probe does not tell. */
    facts->set = true;
    return VIEW_OK;
}

static enum view_outcome outcome_of_error(unsigned code)
{
    switch (code) {
    case 1044: /* Access denied for user to database. */
    case 1045: /* Access denied for user. */
    case 1698: /* Access denied (no password allowed). */
    case 1130: /* Host is not allowed to connect. */
    case 1129: /* Host is blocked. */
    case 1820: /* Password must be changed first. */
    case 1862: /* Password expired. */
    case 2026: /* TLS refused. */
    case 4151: /* Account locked. */
        return VIEW_LOGIN_REFUSED;
    case 1040: /* Too many connections. */
    case 1203: /* User has more than max_user_connections. */
    case 1226: /* Account exceeded a resource. */
        return VIEW_TOO_MANY;
    default:
        return VIEW_FAILED;
    }
}

enum view_outcome probe_failure(const struct db_result *result, struct text *error)
{
    text_add(error, result->error);
    switch (result->status) {
    case DB_REFUSED:
        return VIEW_REFUSED;
    case DB_UNREACHABLE:
        return VIEW_UNREACHABLE;
    case DB_LOST:
    case DB_CANCELED:
        return VIEW_LOST;
    case DB_TIMED_OUT:
        return VIEW_TIMED_OUT;
    case DB_ERROR:
        return outcome_of_error(result->code);
    case DB_OK:
        break;
    }
    return VIEW_FAILED;
}
