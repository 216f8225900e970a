/* Verbs about receiving: REVOKE, APPLY, CATCH_UP, FOLLOW. PURE.
 *
 * The trap that shapes them (MariaDB, hazards.md A8): when both threads of a channel are stopped, starting either one
 * throws the relay log away, and CHANGE MASTER does so always. So the receiver alone is stopped, the applier keeps
 * running until all that was received is executed, and only then is anything else stopped or started. A stopped
 * applier is started only while the receiver still lives. Failure mode: an applier that is stopped with an error while
 * received transactions are left makes the verb fail and say so; nothing is thrown away. */
#include "lib/base/mutant.h"
#include "mysql/verb_script.h"

enum {
    STAGE_STOPPED = 1u << 0,
    STAGE_FLAG = 1u << 1,
    STAGE_APPLIER = 1u << 2,
    STAGE_POINTED = 1u << 3,
    STAGE_RESTARTED = 1u << 4,
    STAGE_NO_SOURCE = 1u << 5,
};

/* Only while a receiver lives on the server itself, checked there: else the start would drop the relay log. */
static void add_start_applier(struct script *s, const char *channel)
{
    script_guard(s);
    text_add(&s->sql, "IF EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_IO') THEN\n");
    flavour_add(&s->sql, &s->flavour->start_applier, channel);
    text_add(&s->sql, ";\nEND IF;\n");
}

static enum verb_next fail_not_applied(struct script *s)
{
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        const struct view_channel *channel = &s->facts->channels[c];
        if (channel->applier || script_contains(s->facts->executed, channel->received)) continue;
        return script_fail(s,
                           "received up to %s, executed %s, and the applier is stopped: starting it would throw the "
                           "relay log away; save the relay log, then repair (error %u: %s)",
                           channel->received, s->facts->executed, channel->sql_errno, channel->error);
    }
    return script_fail(s, "received transactions are not executed and no applier runs");
}

static bool is_from_source(const struct view_channel *channel, const struct verb *verb)
{
    return channel->source_port == verb->source_port && text_equal(channel->source_host, verb->source_host);
}

/* --- REVOKE --- */

/* The channels to stop: those from the source that the verb names; all of them when it names none, or when none
 * matches (the server may know its master by another name; stopping too much is safe, too little is not). */
static bool is_to_revoke(const struct script *s, const struct view_channel *channel)
{
    const struct verb *verb = &s->run->verb;

    if (verb->source_host[0] == '\0' || is_from_source(channel, verb)) return true;
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        if (is_from_source(&s->facts->channels[c], verb)) return false;
    }
    return true;
}

/* The receiver alone: the applier runs on, or the relay log would be lost. */
static const struct flavour_statement *stop_for_good(const struct script *s)
{
    return MUTANT(start_both) ? &s->flavour->stop_replica : &s->flavour->stop_receiver;
}

static enum verb_next stop_receivers(struct script *s)
{
    bool is_single = script_channels(s->facts) == 1;

    script_block(s);
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        const struct view_channel *channel = &s->facts->channels[c];
        if (channel->io == VIEW_IO_NO || !is_to_revoke(s, channel)) continue;
        if (!channel->applier && is_single) add_start_applier(s, channel->name);
        script_on_channel(s, stop_for_good(s), channel->name);
        if (MUTANT(start_both)) script_on_channel(s, &s->flavour->start_applier, channel->name);
    }
    script_set_global(s, s->flavour->variables.replica_enabled, "0");
    return script_send(s);
}

/* A relay log without a transaction: the header of the only file, 256 bytes, and of one more after a restart. With a
 * single small transaction it is past 1,100, for the source's own header comes before it (measured, 10.11). */
static bool has_empty_relay_log(const struct script *s, unsigned c)
{
    enum { EMPTY_MAX = 512 };
    uint64_t space = 0;
    const char *text = script_cell(s->result, c, s->flavour->columns.relay_space);

    return text != NULL && text_to_u64(text, &space) && space <= EMPTY_MAX;
}

/* mysqld forgets at its end how far it had received: the position is empty until a receiver is started again. What the
 * relay log holds beyond the executed position may have been acknowledged, so this server proves nothing (A4). With an
 * empty relay log there is nothing beyond: a FOLLOW or CATCH_UP was cut off between CHANGE and START. (What CHANGE
 * itself threw away was executed: point() sees to it.) */
static bool has_forgotten(const struct script *s, unsigned c)
{
    const struct view_channel *channel = &s->facts->channels[c];

    if (MUTANT(trust_restarted)) return false;
    return channel->gtid && channel->io == VIEW_IO_NO && channel->received[0] == '\0' &&
           s->facts->executed[0] != '\0' && !has_empty_relay_log(s, c);
}

enum verb_next script_revoke(struct script *s)
{
    bool is_receiving = false;

    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        const struct view_channel *channel = &s->facts->channels[c];
        if (channel->io != VIEW_IO_NO && is_to_revoke(s, channel)) is_receiving = !MUTANT(keep_receiving);
    }
    if (is_receiving && script_once(s, STAGE_STOPPED)) return stop_receivers(s);
    if (is_receiving) return script_poll(s, "the receiver to stop");
    if (s->facts->replica_enabled) {
        if (!script_once(s, STAGE_FLAG)) return script_fail(s, "the semi-sync replica flag stays on");
        script_block(s);
        script_set_global(s, s->flavour->variables.replica_enabled, "0");
        return script_send(s);
    }
    for (unsigned c = 0; c < script_channels(s->facts); c++) {
        s->run->outcome.forgotten |= is_to_revoke(s, &s->facts->channels[c]) && has_forgotten(s, c);
    }
    s->run->outcome.stuck = !script_has_all_received(s->facts) && !script_is_applying(s->facts);
    if (!s->run->outcome.forgotten) return script_done(s);
    return script_fail(s,
                       "it was restarted and its receiver not started since: what its relay log holds beyond %s"
                       " is not known, so it proves nothing; bring the old master back, or apply the relay log"
                       " by hand",
                       s->facts->executed);
}

/* --- APPLY --- */

enum verb_next script_apply(struct script *s)
{
    const struct view_facts *facts = s->facts;
    const char *target = s->run->verb.target;

    if (MUTANT(open_unapplied) || script_has_executed(facts, target)) return script_done(s);
    if (script_is_past(facts, target)) return script_fail_past(s, "not to be promoted");
    if (!script_contains(s->run->outcome.received, target)) {
        return script_fail(s, "the target %s was not received: received is %s", target, s->run->outcome.received);
    }
    if (script_is_applying(facts)) return script_poll(s, "the applier to execute the target");
    if (facts->channels_n == 1 && facts->channels[0].io != VIEW_IO_NO && script_once(s, STAGE_APPLIER)) {
        script_block(s);
        add_start_applier(s, facts->channels[0].name);
        return script_send(s);
    }
    return fail_not_applied(s);
}

/* --- pointing at a source --- */

static const struct view_channel *the_channel(const struct script *s)
{
    return s->facts->channels_n == 1 ? &s->facts->channels[0] : NULL;
}

static const char *channel_name(const struct script *s)
{
    return s->facts->channels_n == 1 ? s->facts->channels[0].name : "";
}

/* A server that has transactions of its own must not attach: its start position would count as an acknowledgement of
 * what it never received (A6), or the source would refuse it. */
static bool has_own_transactions(const struct script *s)
{
    const char *applied = script_cell(s->result, 0, "executed_replica");

    return applied == NULL || !script_contains(applied, s->facts->binlog);
}

/* --- no source any more --- */

/* A transaction of its own is in its binlog, which its applier has not written: somebody may wait for its ack. */
static bool has_written(const struct script *s)
{
    const char *applied = script_cell(s->result, 0, "executed_replica");
    struct gtid_pos pos, binlog;

    if (applied == NULL || gtid_pos_parse(&pos, applied) != 0 || gtid_pos_parse(&binlog, s->facts->binlog) != 0) {
        return true;
    }
    return gtid_pos_has_own(&binlog, &pos, s->facts->server_id);
}

/* A server that a failed plan promoted is a semi-sync source still: its applier would wait for acks, as any commit
 * does, and could not even be stopped (SS-15). Nobody else waits there: it is closed, and has written nothing. */
static bool is_idle_source(const struct script *s)
{
    return s->facts->source_enabled && s->facts->read_only && !has_written(s);
}

static enum verb_next stop_being_source(struct script *s)
{
    script_block(s);
    script_signal_unless(&s->sql, "@@GLOBAL.read_only", GUARD_OPEN);
    script_set_global(s, s->flavour->variables.source_enabled, "0");
    return script_send(s);
}

static enum verb_next point_at_source(struct script *s, const char *flag)
{
    const struct flavour *f = s->flavour;
    const struct verb_run *run = s->run;
    const char *name = channel_name(s);

    script_block(s);
    if (s->facts->channels_n == 1) script_on_channel(s, &f->stop_replica, name);
    script_set_global(s, f->variables.replica_enabled, flag);
    script_guard(s);
    flavour_add(&s->sql, &f->change, name);
    text_add(&s->sql, f->opt_host);
    text_add_sql(&s->sql, run->verb.source_host);
    text_addf(&s->sql, ", %s%u, %s", f->opt_port, (unsigned)run->verb.source_port, f->opt_user);
    text_add_sql(&s->sql, run->repl_user);
    text_addf(&s->sql, ", %s", f->opt_password);
    text_add_sql(&s->sql, run->repl_password);
    text_addf(&s->sql, ", %s;\n", f->opt_rest);
    script_on_channel(s, &f->start_replica, name);
    s->run->secret = true;
    return script_send(s);
}

/* Same source, but the flag in force is the wrong one: it acts when a receiver starts (A2). The applier runs on, so
 * the relay log stays. */
static enum verb_next restart_receiver(struct script *s, const char *flag)
{
    script_block(s);
    script_on_channel(s, &s->flavour->stop_receiver, channel_name(s));
    script_set_global(s, s->flavour->variables.replica_enabled, flag);
    script_on_channel(s, &s->flavour->start_receiver, channel_name(s));
    return script_send(s);
}

/* Brings the only channel to the verb's source. Called while it is not there or not in order. */
static enum verb_next point(struct script *s, bool is_acker)
{
    const struct view_facts *facts = s->facts;
    const struct view_channel *channel = the_channel(s);
    const char *flag = is_acker ? "1" : "0";

    if (facts->channels_n > 1) return script_fail(s, "the server has %u channels, expected one", facts->channels_n);
    if ((s->run->stage & STAGE_POINTED) != 0) {
        if (channel != NULL && channel->io == VIEW_IO_NO && channel->io_errno != 0) {
            return script_fail(s, "the receiver stopped with error %u: %s", channel->io_errno, channel->error);
        }
        return script_poll(s, "the receiver to connect");
    }
    if (channel != NULL && channel->io != VIEW_IO_NO && script_once(s, STAGE_STOPPED)) {
        script_block(s);
        script_on_channel(s, &s->flavour->stop_receiver, channel->name);
        return script_send(s);
    }
    if (channel != NULL && channel->io != VIEW_IO_NO) return script_poll(s, "the receiver to stop");
    if (!script_has_all_received(facts)) {
        if (script_is_applying(facts)) return script_poll(s, "the applier to execute what was received");
        return fail_not_applied(s);
    }
    /* Only now: an applier that works writes its binlog before its position. */
    if (has_own_transactions(s)) {
        return script_fail(s, "the server has transactions of its own (%s): it must be rewound or rebuilt first",
                           facts->binlog);
    }
    s->run->stage |= STAGE_POINTED;
    return point_at_source(s, flag);
}

static bool is_following(const struct script *s)
{
    const struct view_channel *channel = the_channel(s);

    return channel != NULL && is_from_source(channel, &s->run->verb) && channel->gtid && channel->io != VIEW_IO_NO &&
           channel->applier;
}

/* --- CATCH_UP, FOLLOW --- */

enum verb_next script_catch_up(struct script *s)
{
    if (is_idle_source(s) && script_once(s, STAGE_NO_SOURCE)) return stop_being_source(s);
    if (script_has_executed(s->facts, s->run->verb.target)) {
        if (!script_is_receiving(s->facts)) return script_done(s);
        if (script_once(s, STAGE_FLAG)) return stop_receivers(s);
        return script_poll(s, "the receiver to stop");
    }
    if (script_is_past(s->facts, s->run->verb.target)) {
        /* The source sent what it should not have: no more of it. */
        if (script_is_receiving(s->facts) && script_once(s, STAGE_FLAG)) return stop_receivers(s);
        return script_fail_past(s, "not caught up");
    }
    if (is_following(s)) return script_poll(s, "the target to be received and executed");
    return point(s, false);
}

enum verb_next script_follow(struct script *s)
{
    bool is_acker = s->run->verb.is_acker;
    bool was_touched = (s->run->stage & (STAGE_POINTED | STAGE_RESTARTED)) != 0;

    if (is_idle_source(s) && script_once(s, STAGE_NO_SOURCE)) return stop_being_source(s);
    if (!is_following(s)) return point(s, is_acker);
    if (s->facts->channels[0].io != VIEW_IO_YES) return script_poll(s, "the receiver to connect");
    if (s->facts->replica_enabled == is_acker && s->facts->replica_on == is_acker) return script_done(s);
    if (was_touched) return script_poll(s, "the semi-sync replica status to follow its flag");
    s->run->stage |= STAGE_RESTARTED;
    return restart_receiver(s, is_acker ? "1" : "0");
}
