/* Verbs that end in a new open master: PROMOTE, ATTACHED, REIGN_ROW, OPEN, CLEAR. PURE.
 *
 * Order (A5, S1): semi-sync source on while still read-only, an acker attached, the reign row acknowledged, then open.
 * Failure modes: everything before OPEN may be repeated or left as it is, the server stays read-only; REIGN_ROW may
 * wait for an ack for ever and has a session of its own for that reason. */
#include "lib/base/mutant.h"
#include "mysql/verb_script.h"

enum { STAGE_DID = 1u << 0 };

enum { MARK_NO_TX = 0, MARK_STARTED = 1 };

#define TIMEOUT_MAX_MS 4294967295u /* 49 days: the greatest that all versions take. */
#define TIMEOUT_MAX "4294967295"

static bool waits_for_ackers(const struct view_facts *facts)
{
    return facts->source_enabled && facts->after_sync && facts->wait_no_replica &&
           facts->source_timeout_ms >= TIMEOUT_MAX_MS;
}

/* Exactly k: one more is a stranger whose acknowledgement would end a commit's wait (A6). With MariaDB's k of one the
 * listed acker is the only server that may have the flag. */
static bool has_ackers(const struct view_facts *facts, uint8_t k)
{
    return waits_for_ackers(facts) && facts->source_on && facts->source_clients == k;
}

static enum verb_next fail_ackers(struct script *s, const char *what)
{
    const struct view_facts *facts = s->facts;
    unsigned k = s->run->verb.k, clients = facts->source_clients;
    bool is_on = facts->source_on && waits_for_ackers(facts);

    text_addf(&s->error, "%s: %u ackers attached, expected %u, semi-sync %s", what, clients, k,
              is_on ? "on" : "off or not lossless");
    if (clients > k) {
        text_add(&s->error, "; a stranger acknowledges: switch its rpl_semi_sync_slave_enabled off and restart its"
                            " receiver");
    }
    return script_failed(s);
}

/* --- PROMOTE --- */

static enum verb_next make_source(struct script *s)
{
    const struct flavour_variables *v = &s->flavour->variables;

    script_block(s);
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        script_on_channel(s, &s->flavour->stop_replica, s->facts->channels[c].name);
    }
    script_set_global(s, v->replica_enabled, "0");
    script_set_global(s, v->source_timeout, TIMEOUT_MAX);
    script_set_global(s, v->wait_point, "'AFTER_SYNC'");
    script_set_global(s, v->wait_no_replica, "1");
    script_set_global(s, v->source_enabled, "1");
    return script_send(s);
}

enum verb_next script_promote(struct script *s)
{
    const struct view_facts *facts = s->facts;

    /* Closed by nobody but CLOSE: who finds it open may be a leader that was paused since before that (S3, S6). */
    if (!facts->read_only) return script_fail(s, "not promoted: the server is open already; it is left as it is");
    if (!MUTANT(open_unapplied) && script_is_past(facts, s->run->verb.target)) {
        return script_fail_past(s, "not promoted");
    }
    if (!MUTANT(open_unapplied) && !script_has_executed(facts, s->run->verb.target)) {
        return script_fail(s, "not promoted: executed %s does not contain the target %s", facts->executed,
                           s->run->verb.target);
    }
    if (!MUTANT(open_unapplied) && !script_has_all_received(facts)) {
        return script_fail(s, "not promoted: executed %s does not contain all that was received, %s", facts->executed,
                           s->run->outcome.received);
    }
    if (script_is_receiving(facts)) {
        return script_fail(s, "not promoted: a receiver runs, so somebody started it after it was revoked");
    }
    bool is_set = !facts->replica_enabled && waits_for_ackers(facts);
    if (is_set && !script_is_applying(facts)) return script_done(s);
    if (!script_once(s, STAGE_DID)) return script_fail(s, "the settings of a master do not show after they were set");
    return make_source(s);
}

/* --- ATTACHED --- */

/* Degraded by a committed decision (A7): nobody may wait for an ack. */
static enum verb_next switch_source_off(struct script *s)
{
    if (!script_once(s, STAGE_DID)) return script_fail(s, "semi-sync stays on");
    script_block(s);
    script_set_global(s, s->flavour->variables.source_enabled, "0");
    return script_send(s);
}

enum verb_next script_attached(struct script *s)
{
    const struct view_facts *facts = s->facts;
    char awaited[80];
    struct text text = TEXT_ON(awaited);

    (void)TEXT_COPY(s->run->outcome.executed, facts->binlog);
    if (s->run->verb.k == 0) return facts->source_enabled ? switch_source_off(s) : script_done(s);
    if (!waits_for_ackers(facts)) return script_fail(s, "semi-sync is not set as a master needs it: promote first");
    if (has_ackers(facts, s->run->verb.k)) return script_done(s);
    /* Waited for also when there are too many: a receiver that ended is counted until the server notices. */
    text_addf(&text, "%u ackers to be attached and no other: %u are", (unsigned)s->run->verb.k, facts->source_clients);
    return script_poll(s, awaited);
}

/* --- REIGN_ROW --- */

/* Every attempt inserts a row of its own: the ack of a later transaction proves that the earlier ones were received
 * too, while an earlier row that is found proves nothing about its ack. */
static enum verb_next insert_reign(struct script *s)
{
    const struct verb *verb = &s->run->verb;

    s->run->mark[MARK_NO_TX] = s->facts->no_tx;
    s->run->mark[MARK_STARTED] = s->facts->started_s;
    text_add(&s->sql, "SET SESSION sql_mode = '', time_zone = '+00:00', autocommit = 1, sql_log_bin = 1,"
                      " lock_wait_timeout = 2, innodb_lock_wait_timeout = 2, wait_timeout = 30;\n");
    script_block(s);
    script_guard(s);
    text_add(&s->sql, "INSERT INTO regent.reign (cluster, epoch, master, token, at) VALUES (");
    text_add_sql(&s->sql, verb->cluster_name);
    text_addf(&s->sql, ", %llu, ", (unsigned long long)verb->epoch);
    text_add_sql(&s->sql, verb->master_name);
    text_addf(&s->sql, ", %llu, SYSDATE(6));\n", (unsigned long long)verb->token);
    return script_send(s);
}

enum verb_next script_reign_row(struct script *s)
{
    const struct view_facts *facts = s->facts;
    uint8_t k = s->run->verb.k;

    (void)TEXT_COPY(s->run->outcome.executed, facts->binlog);
    if (!script_is_stored(s)) return script_fail(s, "our token is not stored on this server");
    if (script_once(s, STAGE_DID)) {
        if (k > 0 && !has_ackers(facts, k)) return fail_ackers(s, "the reign row is not written");
        if (k == 0 && facts->source_enabled) return script_fail(s, "semi-sync is on without ackers: it would wait");
        return insert_reign(s);
    }
    if (k == 0) return script_done(s);
    if (facts->started_s != s->run->mark[MARK_STARTED] || facts->no_tx != s->run->mark[MARK_NO_TX] ||
        !facts->source_on) {
        return script_fail(s, "the reign row was written without an ack: semi-sync was switched off meanwhile");
    }
    if (facts->source_clients > k) return fail_ackers(s, "a stranger may have acknowledged the reign row");
    return script_done(s);
}

/* --- OPEN, CLEAR --- */

static enum verb_next open_server(struct script *s)
{
    const struct flavour_status *names = &s->flavour->status;
    char condition[FSM_TEXT_SIZE * 2];
    struct text text = TEXT_ON(condition);

    script_block(s);
    if (s->run->verb.k == 0) {
        script_set_global(s, s->flavour->variables.source_enabled, "0");
    } else {
        text_addf(&text,
                  "(SELECT COUNT(*) FROM information_schema.GLOBAL_STATUS WHERE (VARIABLE_NAME = '%s' AND"
                  " VARIABLE_VALUE = 'ON') OR (VARIABLE_NAME = '%s' AND VARIABLE_VALUE + 0 = %u)) = 2",
                  names->source_on, names->source_clients, (unsigned)s->run->verb.k);
        script_signal_unless(&s->sql, condition, GUARD_NO_ACKER);
    }
    script_set_global(s, "read_only", "0");
    return script_send(s);
}

enum verb_next script_open(struct script *s)
{
    const struct view_facts *facts = s->facts;
    uint8_t k = s->run->verb.k;

    (void)TEXT_COPY(s->run->outcome.executed, facts->binlog);
    if (script_is_receiving(facts) || script_is_applying(facts)) {
        return script_fail(s, "not opened: it still replicates from another server");
    }
    /* Opened before: that an acker left or came since then changes only what commits wait for (A6, A7). */
    bool is_lossless = waits_for_ackers(facts) && facts->source_on;
    if (!facts->read_only && (k > 0 ? is_lossless : !facts->source_enabled)) return script_done(s);
    if (k > 0 && !has_ackers(facts, k)) return fail_ackers(s, "not opened");
    if (!script_once(s, STAGE_DID)) return script_fail(s, "read_only stays on after it was switched off");
    return open_server(s);
}

enum verb_next script_clear(struct script *s)
{
    const struct view_facts *facts = s->facts;

    if (facts->channels_n == 0) return script_done(s);
    if (script_is_receiving(facts) || script_is_applying(facts)) {
        return script_fail(s, "not cleared: the server replicates from another one");
    }
    if (!script_has_all_received(facts)) {
        return script_fail(s, "not cleared: executed %s does not contain all that was received, %s", facts->executed,
                           s->run->outcome.received);
    }
    if (!script_once(s, STAGE_DID)) return script_fail(s, "the channel is still there after its reset");
    script_block(s);
    for (unsigned c = 0; c < script_channels(facts); c++) {
        script_on_channel(s, &s->flavour->reset_replica, facts->channels[c].name);
    }
    return script_send(s);
}
