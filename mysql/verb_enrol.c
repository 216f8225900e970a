/* ENROL: install regent's own schema on a server that is understood, and give it its identity. PURE.
 *
 * The control session is taken here and not by the sequencer, since before the first enrolment there is no fence row
 * to guard by: until it exists, the stored token counts as 0.
 * regent.fence is local (never in the binlog). On the master regent.reign is created with the binlog on, so that it
 * reaches every replica; replicas that already made the schema regent by themselves skip that part. Failure modes: a
 * server that is not understood is refused before anything is written; the logged part is not begun on a master whose
 * commits would wait for ever. */
#include "mysql/verb_script.h"

enum { STAGE_FENCE = 1u << 0, STAGE_REIGN = 1u << 1 };

static const char schema[] = "CREATE DATABASE IF NOT EXISTS regent;\n";

static const char fence_table[] =
    "CREATE TABLE IF NOT EXISTS regent.fence (id TINYINT UNSIGNED NOT NULL PRIMARY KEY,"
    " identity VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, token BIGINT UNSIGNED NOT NULL,"
    " epoch BIGINT UNSIGNED NOT NULL, term BIGINT UNSIGNED NOT NULL DEFAULT 0) ENGINE=InnoDB;\n";

/* A table of an early version. Asked first, since ALTER needs a privilege even when there is nothing to do. */
static const char fence_term[] =
    "IF NOT EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'regent' AND TABLE_NAME = 'fence'"
    " AND COLUMN_NAME = 'term') THEN ALTER TABLE regent.fence ADD COLUMN IF NOT EXISTS term BIGINT UNSIGNED NOT NULL"
    " DEFAULT 0; END IF;\n";

/* Rows have a number of their own: a repeated attempt must not wait for the row lock of the one before. */
static const char reign_table[] =
    "CREATE TABLE IF NOT EXISTS regent.reign (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
    " cluster VARCHAR(63) NOT NULL, epoch BIGINT UNSIGNED NOT NULL, master VARCHAR(63) NOT NULL,"
    " token BIGINT UNSIGNED NOT NULL, at DATETIME(6) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n";

static const char privileges[] = "SELECT 'RELOAD' AS p UNION SELECT 'PROCESS' UNION SELECT 'CONNECTION ADMIN' UNION"
                                 " SELECT 'READ_ONLY ADMIN' UNION SELECT 'BINLOG ADMIN' UNION"
                                 " SELECT 'REPLICATION MASTER ADMIN' UNION SELECT 'REPLICATION SLAVE ADMIN' UNION"
                                 " SELECT 'SLAVE MONITOR'";

/* Why this server is not understood; NULL when it is. */
static const char *refusal(const struct verb *verb, const struct view_facts *facts)
{
    if (!facts->binlog_on) return "the binary log is off: set log_bin";
    if (!facts->log_replica_updates) return "log_slave_updates is off: set it, a promoted replica needs its binlog";
    if (!facts->gtid_strict) return "gtid_strict_mode is off: set it";
    for (unsigned c = 0; c < script_channels(facts); c++) {
        if (facts->channels[c].gtid) continue;
        return "a channel replicates without GTID: CHANGE MASTER TO MASTER_USE_GTID=slave_pos";
    }
    if (!verb->is_master) return NULL;
    if (script_is_receiving(facts)) return "declared master, but it replicates from another server";
    if (facts->source_enabled && facts->source_clients == 0) {
        return "semi-sync is on and no acker is attached: commits wait; attach the backup first";
    }
    return NULL;
}

static void add_late_guard(struct script *s)
{
    text_add(&s->sql, "IF ");
    script_add_deadline(&s->sql, s->run);
    text_addf(&s->sql, " THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %d; END IF;\n", GUARD_LATE);
}

/* Before there is a fence row only token and deadline can be checked; the lock is this session's while it lives. */
static void add_first_guard(struct script *s)
{
    unsigned long long token = s->run->verb.token, term = s->run->verb.term;

    text_add(&s->sql, "BEGIN DECLARE CONTINUE HANDLER FOR 1049, 1146, 1054 BEGIN END;"
                      " SELECT token INTO t FROM regent.fence WHERE id = 1;"
                      " SELECT term INTO m FROM regent.fence WHERE id = 1; END;\n");
    text_addf(&s->sql, "IF t > %llu OR (t = %llu AND m > %llu) THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %d;"
                       " END IF;\n",
              token, token, term, GUARD_STALE);
    add_late_guard(s);
}

/* A3: what the server does by itself after a restart. Only the origin of a value tells: one that was set at run time
 * says nothing about the files, so this finds the common mistake and not every one (docs/servers.md). */
static void add_boot_check(struct script *s, const char *variable, const char *value, enum script_guard code)
{
    char condition[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(condition);

    text_addf(&text,
              "(SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = '%s' AND GLOBAL_VALUE ="
              " '%s' AND GLOBAL_VALUE_ORIGIN <> 'SQL') = 0",
              variable, value);
    MUST(!text.cut);
    script_signal_unless(&s->sql, condition, code);
}

static enum verb_next make_fence(struct script *s)
{
    const struct verb *verb = &s->run->verb;

    text_add(&s->sql, script_session_settings);
    script_block(s);
    text_add(&s->sql, "DECLARE t, m BIGINT UNSIGNED DEFAULT 0;\nDECLARE missing TEXT;\n"
                      "DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;\n");
    add_first_guard(s);
    script_need(&s->sql, privileges);
    add_boot_check(s, s->flavour->variables.replica_enabled, "ON", GUARD_BOOTS_ACKER);
    add_boot_check(s, "read_only", "OFF", GUARD_BOOTS_OPEN);
    script_take_lock(s);
    add_first_guard(s);
    script_signal_unless(&s->sql, "@@sql_log_bin = 0", GUARD_NO_LOCK);
    text_add(&s->sql, schema);
    add_first_guard(s);
    text_add(&s->sql, fence_table);
    add_first_guard(s);
    text_add(&s->sql, fence_term);
    add_first_guard(s);
    text_add(&s->sql, "INSERT IGNORE INTO regent.fence (id, identity, token, epoch) VALUES (1, ");
    text_add_sql(&s->sql, verb->identity);
    text_add(&s->sql, ", 0, 0);\n");
    script_store(s);
    return script_send(s);
}

static enum verb_next make_reign(struct script *s)
{
    script_block(s);
    text_add(&s->sql, "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET SESSION sql_log_bin = 0; RESIGNAL; END;\n");
    script_guard(s);
    text_add(&s->sql, "IF NOT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'regent'"
                      " AND TABLE_NAME = 'reign') THEN\nSET SESSION sql_log_bin = 1;\n");
    text_add(&s->sql, schema);
    add_late_guard(s);
    text_add(&s->sql, reign_table);
    text_add(&s->sql, "SET SESSION sql_log_bin = 0;\nEND IF;\n");
    return script_send(s);
}

enum verb_next script_enrol(struct script *s)
{
    struct verb_run *run = s->run;
    const struct view_facts *facts = s->facts;
    const char *why = refusal(&run->verb, facts);

    if (why != NULL) return script_fail(s, "not enrolled: %s", why);
    if (script_once(s, STAGE_FENCE)) return make_fence(s);
    if (facts->identity[0] == '\0' || !script_is_stored(s)) {
        return script_fail(s, "the fence row does not show: is the table regent.fence another one?");
    }
    run->locked = true;
    /* An identity that was there before is kept, reported, and guards what follows. */
    (void)TEXT_COPY(run->verb.identity, facts->identity);
    if (run->verb.is_master && script_once(s, STAGE_REIGN)) return make_reign(s);
    return script_done(s);
}
