/* Building blocks of the verbs' statements, and the questions that the scripts ask. PURE.
 *
 * The guard (S3) is written before each statement of a block, since a block may be frozen between two of them. */
#include "mysql/verb_script.h"

#include "lib/base/mutant.h"
#include "mysql/probe.h"

/* No statement of the control session may reach the binlog (it would wait for an ack) or wait without bound. */
const char script_session_settings[] = "SET SESSION sql_mode = '', time_zone = '+00:00', autocommit = 1,"
                                       " sql_log_bin = 0, lock_wait_timeout = 2, innodb_lock_wait_timeout = 2,"
                                       " wait_timeout = 30;\n";

static const char signal_guard[] = " IF @regent <> 0 THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = @regent,"
                                   " MESSAGE_TEXT = 'regent: refused by the guard'; END IF;\n";

void script_add_deadline(struct text *sql, const struct verb_run *run)
{
    text_addf(sql, "UNIX_TIMESTAMP(SYSDATE(6)) >= %s + %u.%03u", run->clock, run->clock_left_ms / 1000,
              run->clock_left_ms % 1000);
}

static const char lock_control[] = "regent.control", lock_aside[] = "regent.close";

/* 'lock': that this session must hold; NULL: none. */
static void add_guard(struct script *s, bool is_taken, const char *lock)
{
    const struct verb_run *run = s->run;
    unsigned long long token = run->verb.token, term = run->verb.term;

    text_addf(&s->sql, "SET @regent = IFNULL((SELECT CASE WHEN token > %llu OR (token = %llu AND term > %llu) THEN %d",
              token, token, term, MUTANT(ignore_token) ? 0 : (int)GUARD_STALE);
    if (is_taken) text_addf(&s->sql, " WHEN token < %llu OR term < %llu THEN %d", token, term, GUARD_NO_TOKEN);
    text_add(&s->sql, " WHEN identity <> ");
    text_add_sql(&s->sql, run->verb.identity);
    text_addf(&s->sql, " THEN %d WHEN ", GUARD_IDENTITY);
    script_add_deadline(&s->sql, run);
    text_addf(&s->sql, " THEN %d", GUARD_LATE);
    if (lock != NULL && !MUTANT(no_lock)) {
        text_addf(&s->sql, " WHEN NOT (IS_USED_LOCK('%s') <=> CONNECTION_ID()) OR @@sql_log_bin THEN %d", lock,
                  GUARD_NO_LOCK);
    }
    text_addf(&s->sql, " ELSE 0 END FROM regent.fence WHERE id = 1), %d);", GUARD_NOT_ENROLLED);
    text_add(&s->sql, signal_guard);
}

void script_block(struct script *s)
{
    text_add(&s->sql, "BEGIN NOT ATOMIC\n");
}

void script_guard(struct script *s)
{
    bool has_lock = s->run->verb.kind != VERB_REIGN_ROW;

    add_guard(s, true, has_lock ? lock_control : NULL);
}

void script_guard_aside(struct script *s)
{
    add_guard(s, true, lock_aside);
}

enum verb_next script_send(struct script *s)
{
    text_add(&s->sql, "END;\n");
    probe_write(s->run->flavour, &s->sql);
    if (s->sql.cut) return script_fail(s, "a statement of this verb does not fit: names or password too long");
    return VERB_SEND;
}

enum verb_next script_send_aside(struct script *s)
{
    text_add(&s->sql, "END;\n");
    MUST(!s->sql.cut);
    s->run->aside_code = 0;
    s->run->aside_error[0] = '\0';
    return VERB_SEND_ASIDE;
}

void script_on_channel(struct script *s, const struct flavour_statement *statement, const char *channel)
{
    script_guard(s);
    flavour_add(&s->sql, statement, channel);
    text_add(&s->sql, ";\n");
}

void script_set_global(struct script *s, const char *variable, const char *value)
{
    script_guard(s);
    text_addf(&s->sql, "SET GLOBAL %s = %s;\n", variable, value);
}

void script_signal_unless(struct text *sql, const char *condition, enum script_guard code)
{
    text_addf(sql, "IF NOT (%s) THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = 'regent: refused';"
                   " END IF;\n",
              condition, (int)code);
}

void script_need(struct text *sql, const char *privileges)
{
    text_addf(sql, "SELECT GROUP_CONCAT(p) INTO missing FROM (%s) AS needed WHERE p NOT IN (SELECT PRIVILEGE_TYPE FROM"
                   " information_schema.USER_PRIVILEGES WHERE GRANTEE = CONCAT('''', LEFT(CURRENT_USER(),"
                   " LENGTH(CURRENT_USER()) - LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), '''@''',"
                   " SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''));\n"
                   "IF missing IS NOT NULL THEN SET missing = LEFT(CONCAT(CURRENT_USER(), ' lacks ', missing), 120);"
                   " SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = missing; END IF;\n",
              privileges, (int)GUARD_GRANTS);
}

void script_kill(struct script *s, const char *where)
{
    text_addf(&s->sql, "FOR r IN (SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND %s)"
                       " DO KILL %s r.ID; END FOR;\n",
              where, MUTANT(kill_query) ? "QUERY" : "CONNECTION");
}

void script_take_lock(struct script *s)
{
    if (MUTANT(no_lock)) return;
    script_kill(s, "USER = (SELECT USER FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())");
    script_signal_unless(&s->sql, "GET_LOCK('regent.control', 1) <=> 1", GUARD_LOCK_BUSY);
    script_signal_unless(&s->sql, "GET_LOCK('regent.close', 1) <=> 1", GUARD_LOCK_BUSY);
    text_add(&s->sql, "SET @released = RELEASE_LOCK('regent.close');\n");
}

void script_store(struct script *s)
{
    const struct verb *verb = &s->run->verb;

    text_addf(&s->sql,
              "UPDATE regent.fence SET token = %llu, term = %llu, epoch = GREATEST(epoch, %llu) WHERE id = 1;\n",
              (unsigned long long)verb->token, (unsigned long long)verb->term, (unsigned long long)verb->epoch);
}

void script_take_session(struct script *s)
{
    text_add(&s->sql, script_session_settings);
    script_block(s);
    text_add(&s->sql, "DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;\n");
    add_guard(s, false, NULL);
    script_take_lock(s);
    add_guard(s, false, lock_control);
    script_store(s);
}

enum verb_next script_done(struct script *s)
{
    s->run->outcome.state = VERB_STATE_DONE;
    return VERB_END;
}

enum verb_next script_failed(struct script *s)
{
    s->run->outcome.state = VERB_STATE_FAILED;
    return VERB_END;
}

enum verb_next script_poll(struct script *s, const char *awaited)
{
    struct verb_run *run = s->run;
    uint32_t wait_ms = run->polls < 10 ? 2 : run->polls < 40 ? 5 : 20;

    /* Stays in the outcome if the deadline passes while we wait. */
    text_addf(&s->error, "not in time: waited for %s", awaited);
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        const struct view_channel *channel = &s->facts->channels[c];
        uint32_t code = channel->sql_errno != 0 ? channel->sql_errno : channel->io_errno;
        if (code != 0) text_addf(&s->error, " (error %u: %s)", code, channel->error);
    }
    if (run->left_ms == 0) return script_failed(s);
    if (run->polls < UINT32_MAX) run->polls++;
    run->wait_ms = wait_ms < run->left_ms ? wait_ms : run->left_ms;
    return VERB_WAIT;
}

bool script_once(struct script *s, unsigned bit)
{
    if ((s->run->stage & bit) != 0) return false;
    s->run->stage |= bit;
    return true;
}

bool script_contains(const char *whole, const char *part)
{
    struct gtid_pos a, b;

    return gtid_pos_parse(&a, whole) == 0 && gtid_pos_parse(&b, part) == 0 && gtid_pos_contains(&a, &b);
}

/* How what a server executed lies to the target, in one domain or in all. */
enum place { PLACE_BEFORE, PLACE_AT, PLACE_PAST };

static const struct gtid_domain *last_of(const struct gtid_pos *pos, uint32_t domain)
{
    for (uint16_t i = 0; i < pos->n; i++) {
        if (pos->d[i].domain == domain) return &pos->d[i];
    }
    return NULL;
}

static bool is_same(const struct gtid_domain *a, const struct gtid_domain *b)
{
    return a != NULL && a->server == b->server && a->seq == b->seq;
}

static enum place place_in(const struct gtid_domain *wanted, const struct gtid_pos *applied,
                           const struct gtid_pos *binlog, uint32_t server_id)
{
    const struct gtid_domain *last = last_of(applied, wanted->domain);

    if (wanted->server == server_id && is_same(last_of(binlog, wanted->domain), wanted)) return PLACE_AT;
    if (is_same(last, wanted)) return PLACE_AT;
    return last == NULL || last->seq < wanted->seq ? PLACE_BEFORE : PLACE_PAST;
}

/* What cannot be read is not there yet. */
static enum place place_of(const struct view_facts *facts, const char *target)
{
    struct gtid_pos wanted, applied, binlog;
    enum place all = PLACE_AT;

    if (gtid_pos_parse(&wanted, target) != 0 || gtid_pos_parse(&applied, facts->executed) != 0 ||
        gtid_pos_parse(&binlog, facts->binlog) != 0) {
        return PLACE_BEFORE;
    }
    for (uint16_t i = 0; i < wanted.n; i++) {
        enum place one = place_in(&wanted.d[i], &applied, &binlog, facts->server_id);
        if (one == PLACE_PAST) return PLACE_PAST;
        if (one == PLACE_BEFORE) all = PLACE_BEFORE;
    }
    return all;
}

bool script_has_executed(const struct view_facts *facts, const char *target)
{
    return place_of(facts, target) == PLACE_AT;
}

bool script_is_past(const struct view_facts *facts, const char *target)
{
    return place_of(facts, target) == PLACE_PAST;
}

enum verb_next script_fail_past(struct script *s, const char *what)
{
    s->run->outcome.past = true;
    return script_fail(s, "%s: it executed %s, not the target %s: a transaction of another origin may stand where an "
                          "acknowledged one belongs; compare the binlogs, then rebuild it",
                       what, s->facts->executed, s->run->verb.target);
}

bool script_is_stored(const struct script *s)
{
    return s->facts->token == s->run->verb.token && s->run->stored_term == s->run->verb.term;
}

const char *script_cell(const struct db_result *result, unsigned row, const char *column)
{
    for (unsigned set = 0; set < result->sets_n; set++) {
        const char *cell = db_cell(result, set, row, column);
        if (cell != NULL) return cell;
    }
    return NULL;
}

unsigned script_channels(const struct view_facts *facts)
{
    return facts->channels_n < VIEW_CHANNELS_MAX ? facts->channels_n : (unsigned)VIEW_CHANNELS_MAX;
}

bool script_has_all_received(const struct view_facts *facts)
{
    for (unsigned c = 0; c < script_channels(facts); c++) {
        if (!script_contains(facts->executed, facts->channels[c].received)) return false;
    }
    return true;
}

bool script_is_receiving(const struct view_facts *facts)
{
    for (unsigned c = 0; c < script_channels(facts); c++) {
        if (facts->channels[c].io != VIEW_IO_NO) return true;
    }
    return false;
}

bool script_is_applying(const struct view_facts *facts)
{
    for (unsigned c = 0; c < script_channels(facts); c++) {
        if (facts->channels[c].applier) return true;
    }
    return false;
}
