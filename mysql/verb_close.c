/* CLOSE: ends the clients of a master that is to be one no more, and makes it read-only (fence F2). PURE.
 *
 * Two sessions. Whoever waits for an ack leads a commit group; when his session is killed, MariaDB answers OK to the
 * others of his group, though no acker has their writes (sim/FACTS.md SS-6). So nobody may join a group while sessions
 * are killed. `SET GLOBAL read_only` bars new writers from the moment on at which it begins to wait for the commits
 * that are under way (RO-2), but it hangs behind them. A second session, the bar, hangs there; this one looks for it
 * in the process list, and only while it stands ends the clients: those who wait for an ack last. Then all who could
 * have been told OK have no connection any more, the commits end, and the bar's read_only takes effect.
 *
 * Happy path: no commit waits: the bar sets read_only at once, the clients that are left are ended, done.
 * Failure modes: the bar is refused, or ends: it is sent again; it may hang for as long as the verb may take, so it
 * does not give way while sessions are killed. Its leader is deposed: the next one ends its session, and takes the
 * bar's user lock before he acts (script_take_lock()), so it can do nothing later (S3). */
#include "lib/base/mutant.h"
#include "mysql/gtid.h"
#include "mysql/verb_script.h"

enum { STAGE_BEGUN = 1u << 0, STAGE_SENT = 1u << 1, STAGE_STOOD = 1u << 2 };

enum {
    MARK_LAST_ID = 0,
    MARK_SENT = 1,        /* Time left when the bar was sent, in ms. */
    MARK_CONNECTIONS = 2, /* max_connections before make_room(). */
    MARK_ROOMS = 3,       /* Times that it was sent. */
};

enum { TOO_MANY_CONNECTIONS = 1040 };

enum {
    BAR_AGAIN_MS = 1500, /* A bar that does not show by then is sent again. */
    BAR_REFUSED_MS = 20,
    PATIENCE_MS = 500,   /* Statements that nobody's ack holds up may end by themselves for so long. */
    ROOMS_MAX = 16,      /* Times that make_room() is sent. */
};

/* Sessions of clients. Dump threads stay: they end with their receivers, and write nothing. */
static const char client_sessions[] = "USER NOT IN ('system user', 'event_scheduler') AND COMMAND NOT IN"
                                      " ('Binlog Dump', 'Daemon', 'Slave_IO', 'Slave_SQL', 'Slave_worker')";

static const char waits_for_ack[] = "STATE = 'Waiting for semi-sync ACK from slave'";

static void begin_block(struct script *s)
{
    script_block(s);
    text_add(&s->sql, "DECLARE missing TEXT;\nDECLARE bars, waits INT;\nDECLARE CONTINUE HANDLER FOR 1094 BEGIN"
                      " END;\n");
    script_need(&s->sql, "SELECT 'PROCESS' AS p UNION SELECT 'CONNECTION ADMIN'");
}

/* What script_close() looks at next: find_set(). */
static void add_set(struct script *s, const char *where)
{
    text_addf(&s->sql,
              "SELECT @@GLOBAL.read_only AS closed, (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <>"
              " CONNECTION_ID() AND %s) AS sessions_left, (SELECT MAX(ID) FROM information_schema.PROCESSLIST) AS"
              " last_id, bars, @@GLOBAL.max_connections AS connections;\n",
              where);
}

static void kill_clients(struct script *s, const char *where)
{
    char ordered[FSM_TEXT_SIZE * 2];
    struct text text = TEXT_ON(ordered);

    text_addf(&text, "%s ORDER BY IFNULL(STATE, '') = 'Waiting for semi-sync ACK from slave'", where);
    MUST(!text.cut);
    script_guard(s);
    script_kill(s, ordered);
}

/* --- the bar --- */

/* A bar of an earlier attempt is ended first: nobody knows when it will give way. */
static enum verb_next begin(struct script *s)
{
    begin_block(s);
    script_guard(s);
    if (MUTANT(close_semi_sync_off)) script_set_global(s, s->flavour->variables.source_enabled, "0");
    script_kill(s, "ID = IS_USED_LOCK('regent.close')");
    add_set(s, client_sessions);
    return script_send(s);
}

static enum verb_next send_bar(struct script *s)
{
    struct verb_run *run = s->run;

    run->mark[MARK_SENT] = run->left_ms;
    run->stage = (run->stage | STAGE_SENT) & ~(unsigned)STAGE_STOOD;
    text_add(&s->sql, script_session_settings);
    text_addf(&s->sql, "SET SESSION lock_wait_timeout = %u;\n", run->left_ms / 1000 + 1);
    script_block(s);
    script_signal_unless(&s->sql, "GET_LOCK('regent.close', 1) <=> 1", GUARD_LOCK_BUSY);
    script_guard_aside(s);
    text_add(&s->sql, "SET GLOBAL read_only = 1;\n");
    return script_send_aside(s);
}

/* Full, and clients that come back take every connection that becomes free. The last one is not for them (CONNECTION
 * ADMIN), but they hold it while they are being refused; those that are let in stop to try. Given back at the end. */
static enum verb_next make_room(struct script *s)
{
    s->run->mark[MARK_ROOMS]++;
    s->run->stage &= ~(unsigned)STAGE_SENT;
    script_block(s);
    script_set_global(s, "max_connections", "@@GLOBAL.max_connections + 8");
    return script_send(s);
}

static void give_room_back(struct script *s)
{
    char before[24];
    struct text text = TEXT_ON(before);

    if (s->run->mark[MARK_ROOMS] == 0) return;
    text_addf(&text, "%llu", (unsigned long long)s->run->mark[MARK_CONNECTIONS]);
    script_set_global(s, "max_connections", before);
}

/* Kills only while the bar stands: asked on the server, in the request that kills. 'is_patient': and only when
 * somebody waits for an ack, since what does not wait ends by itself. */
static enum verb_next kill_behind_bar(struct script *s, bool is_patient)
{
    char where[FSM_TEXT_SIZE * 2];
    struct text text = TEXT_ON(where);

    begin_block(s);
    text_add(&s->sql, "SET bars = (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID ="
                      " IS_USED_LOCK('regent.close') AND STATE = 'Waiting for backup lock');\n");
    text_addf(&s->sql, "SET waits = (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE %s);\n", waits_for_ack);
    text_addf(&s->sql, "IF bars = 1%s THEN\n", is_patient ? " AND waits > 0" : "");
    text_addf(&text, "ID <> IFNULL(IS_USED_LOCK('regent.close'), 0) AND %s", client_sessions);
    MUST(!text.cut);
    kill_clients(s, where);
    text_add(&s->sql, "END IF;\n");
    add_set(s, client_sessions);
    return script_send(s);
}

/* --- the clients that are left --- */

static enum verb_next end_sessions(struct script *s)
{
    uint64_t last_id = s->run->mark[MARK_LAST_ID];
    char where[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(where);

    text_add(&text, client_sessions);
    if (last_id != 0) text_addf(&text, " AND ID <= %llu", (unsigned long long)last_id);
    MUST(!text.cut);
    begin_block(s);
    give_room_back(s);
    kill_clients(s, where);
    add_set(s, where);
    return script_send(s);
}

/* Sessions begun after read_only was seen on cannot write; the ones before it must end: session ids tell which. */
static enum verb_next end_the_rest(struct script *s, int set)
{
    struct verb_run *run = s->run;

    if (set < 0) return end_sessions(s);
    if (run->mark[MARK_LAST_ID] == 0) {
        if (db_cell_u64(s->result, (unsigned)set, 0, "closed", 0) != 1) return end_sessions(s);
        run->mark[MARK_LAST_ID] = db_cell_u64(s->result, (unsigned)set, 0, "last_id", 0);
    }
    if (db_cell_u64(s->result, (unsigned)set, 0, "sessions_left", 1) == 0) return script_done(s);
    return script_poll(s, "client sessions to end");
}

/* The set that add_set() made; -1 when this answer has none. */
static int find_set(const struct db_result *result)
{
    for (unsigned set = 0; set < result->sets_n; set++) {
        if (db_cell(result, set, 0, "sessions_left") != NULL) return (int)set;
    }
    return -1;
}

static enum verb_next await_read_only(struct script *s)
{
    const char *refused = s->run->aside_error;

    text_addf(&s->error, "%s%s", refused, refused[0] != '\0' ? ": " : "");
    return script_poll(s, "read_only");
}

/* A closed master may have the channel of its own time as a replica still, when that could not be cleared. It then
 * shows the position of a replica, and what it wrote itself is in its binlog alone. */
static bool keep_own(struct script *s)
{
    struct gtid_pos all, own;

    return gtid_pos_parse(&all, s->facts->executed) == 0 && gtid_pos_parse(&own, s->facts->binlog) == 0 &&
           gtid_pos_union(&all, &own) == 0 &&
           gtid_pos_print(&all, s->run->outcome.executed, sizeof(s->run->outcome.executed));
}

enum verb_next script_close(struct script *s)
{
    struct verb_run *run = s->run;
    int set = find_set(s->result);

    if (!keep_own(s)) {
        return script_fail(s, "its positions cannot be read: %s and %s", s->facts->executed, s->facts->binlog);
    }
    if (MUTANT(close_by_word)) return script_done(s);
    if (s->facts->read_only) return end_the_rest(s, set);
    if (run->left_ms == 0) return await_read_only(s);
    if (script_once(s, STAGE_BEGUN)) return begin(s);
    if ((run->stage & STAGE_SENT) == 0) return send_bar(s);
    uint64_t since_ms = run->mark[MARK_SENT] - run->left_ms;
    if (set < 0) return kill_behind_bar(s, since_ms < PATIENCE_MS);
    bool stands = db_cell_u64(s->result, (unsigned)set, 0, "bars", 0) == 1;
    if (stands) run->stage |= STAGE_STOOD;
    if (run->mark[MARK_ROOMS] == 0) {
        run->mark[MARK_CONNECTIONS] = db_cell_u64(s->result, (unsigned)set, 0, "connections", 0);
    }
    bool is_full = run->aside_code == TOO_MANY_CONNECTIONS && run->mark[MARK_CONNECTIONS] != 0;
    if (is_full && run->mark[MARK_ROOMS] < ROOMS_MAX) return make_room(s);
    bool is_refused = run->aside_error[0] != '\0' && since_ms >= BAR_REFUSED_MS;
    bool has_ended = (run->stage & STAGE_STOOD) != 0 || is_refused || since_ms >= BAR_AGAIN_MS;
    if (!stands && has_ended) return send_bar(s);
    return await_read_only(s);
}
