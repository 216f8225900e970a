/* The sequencer of verbs: read, take the control session over, then ask the verb's script until it is satisfied. PURE.
 *
 * The happy path: the probe alone (server's clock, identity, stored token); without the lock the takeover (DESIGN §7):
 * kill the other sessions of the control account, GET_LOCK, store token, term and epoch; then the script.
 * Failure modes: a greater stored token, or ours under a greater term, ends the verb as stale before anything is
 * changed, also when it comes back for a session that was taken from it; another identity or no fence row fails it; a
 * session that was lost between two requests has lost the lock with it, so the guard refuses and the takeover is done
 * again, once; a request without an answer leaves the outcome UNKNOWN. */
#include "mysql/verb.h"

#include "lib/base/mutant.h"
#include "mysql/probe.h"
#include "mysql/verb_script.h"

enum { PHASE_START = 0, PHASE_READ, PHASE_TAKEOVER, PHASE_SCRIPT };

enum { STAGE_RETAKEN = 1u << 31 };

static const struct {
    script_fn *script;
    bool needs_lock;
} scripts[VERB_KINDS_N] = {
    [VERB_ENROL] = {script_enrol, false}, /* Takes the lock by itself: there may be no fence row yet. */
    [VERB_REVOKE] = {script_revoke, true},
    [VERB_APPLY] = {script_apply, true},
    [VERB_CATCH_UP] = {script_catch_up, true},
    [VERB_PROMOTE] = {script_promote, true},
    [VERB_FOLLOW] = {script_follow, true},
    [VERB_ATTACHED] = {script_attached, true},
    [VERB_REIGN_ROW] = {script_reign_row, false}, /* Its own session (DESIGN §7). */
    [VERB_OPEN] = {script_open, true},
    [VERB_CLEAR] = {script_clear, true},
    [VERB_CLOSE] = {script_close, true},
};

void verb_begin(struct verb_run *run, const struct verb *verb, enum fsm_flavour flavour, const char *repl_user,
                const char *repl_password)
{
    MUST(verb->kind > VERB_none && verb->kind < VERB_KINDS_N);
    *run = (struct verb_run){
        .verb = *verb,
        .flavour = flavour,
        .repl_user = repl_user,
        .repl_password = repl_password,
        .left_ms = verb->deadline_ms,
        .outcome = {.kind = verb->kind, .token = verb->token, .step = verb->step, .state = VERB_STATE_RUNNING},
    };
}

static enum verb_next send_probe(struct verb_run *run, unsigned phase)
{
    struct text sql = TEXT_ON(run->sql);

    run->secret = false;
    run->phase = phase;
    probe_write(run->flavour, &sql);
    MUST(!sql.cut);
    return VERB_SEND;
}

static enum verb_next end_unknown(struct verb_run *run, const struct db_result *result)
{
    struct text error = TEXT_ON(run->outcome.error);

    run->locked = false;
    run->outcome.state = VERB_STATE_UNKNOWN;
    (void)probe_failure(result, &error);
    return VERB_END;
}

/* The session that held the lock is gone, or its lock is: everything begins anew, but only once a run. */
static enum verb_next retake(struct script *s)
{
    s->run->locked = false;
    if (!script_once(s, STAGE_RETAKEN)) return script_fail(s, "the control session was lost twice");
    s->run->stage = STAGE_RETAKEN;
    return send_probe(s->run, PHASE_READ);
}

static enum verb_next fail_stale(struct script *s)
{
    s->run->outcome.stale = true;
    return script_fail(s, "a newer plan holds this server: this manager is no longer the one that acts");
}

/* The server answered with an error: nothing of the statement that failed was done; what came before it shows in the
 * facts when the verb is tried again. */
static enum verb_next after_error(struct script *s)
{
    switch ((enum script_guard)s->result->code) {
    case GUARD_NO_LOCK:
    case GUARD_NO_TOKEN:
        return retake(s);
    case GUARD_STALE:
        return fail_stale(s);
    case GUARD_IDENTITY:
        return script_fail(s, "another server answers at this address than the one enrolled");
    case GUARD_LATE:
        return script_fail(s, "the deadline passed on the server's clock: nothing was done");
    case GUARD_NOT_ENROLLED:
        return script_fail(s, "the server has no fence row: it is not enrolled");
    case GUARD_LOCK_BUSY:
        return script_fail(s, "the control session was not granted: the old one does not end");
    case GUARD_NO_ACKER:
        return script_fail(s, "other ackers were attached at the moment of opening than the plan listed: not opened");
    case GUARD_OPEN:
        return script_fail(s, "the server is open and a semi-sync source: it is closed before it follows anybody");
    case GUARD_BOOTS_ACKER:
        return script_fail(s, "not enrolled: it would acknowledge by itself after a restart: take "
                              "rpl_semi_sync_slave_enabled out of its option file and set it at run time "
                              "(docs/servers.md)");
    case GUARD_BOOTS_OPEN:
        return script_fail(s, "not enrolled: it boots open: put read_only=1 and skip-slave-start into its option file, "
                              "restart it, then SET GLOBAL read_only=0 on the master only (docs/servers.md)");
    case GUARD_GRANTS:
        return script_fail(s, "%s: grant it directly, not by a role (docs/accounts.md)", s->result->error);
    }
    return script_fail(s, "error %u: %s", s->result->code, s->result->error);
}

/* Keeps the server's clock: with the time left it makes the deadline of the statements to come. */
static bool keep_clock(struct verb_run *run, const struct db_result *result)
{
    const char *now = script_cell(result, 0, "server_now");

    if (now == NULL) return false;
    for (const char *c = now; *c != '\0'; c++) {
        if ((*c < '0' || *c > '9') && *c != '.') return false;
    }
    run->clock_left_ms = run->left_ms;
    return TEXT_COPY(run->clock, now);
}

static bool keep_term(struct verb_run *run, const struct db_result *result)
{
    const char *term = script_cell(result, 0, "fence_term");

    return term != NULL && text_to_u64(term, &run->stored_term);
}

/* What every verb tells: positions, identity, server id, incarnation, commits that did not wait. */
static bool keep_facts(struct verb_run *run, const struct view_facts *facts)
{
    struct gtid_pos all;

    if (gtid_pos_parse(&all, facts->executed) != 0) return false;
    for (unsigned c = 0; c < script_channels(facts); c++) {
        struct gtid_pos received;
        if (gtid_pos_parse(&received, facts->channels[c].received) != 0) return false;
        if (gtid_pos_union(&all, &received) != 0) return false;
    }
    run->outcome.server_id = facts->server_id;
    run->outcome.started_s = facts->started_s;
    run->outcome.no_tx = facts->no_tx;
    return gtid_pos_print(&all, run->outcome.received, sizeof(run->outcome.received)) &&
           TEXT_COPY(run->outcome.executed, facts->executed) && TEXT_COPY(run->outcome.identity, facts->identity);
}

static enum verb_next take_over(struct script *s)
{
    s->run->phase = PHASE_TAKEOVER;
    script_take_session(s);
    return script_send(s);
}

static enum verb_next decide(struct script *s)
{
    struct verb_run *run = s->run;
    const struct view_facts *facts = s->facts;
    bool taken = run->phase == PHASE_TAKEOVER;

    bool is_same_plan = facts->token == run->verb.token;
    bool is_stale = facts->token > run->verb.token || (is_same_plan && run->stored_term > run->verb.term);
    if (is_stale && !MUTANT(ignore_token)) return fail_stale(s);
    if (run->verb.kind != VERB_ENROL) {
        if (facts->identity[0] == '\0') return script_fail(s, "the server has no fence row: it is not enrolled");
        if (!text_equal(facts->identity, run->verb.identity)) {
            return script_fail(s, "another server answers at this address: its identity is %s, expected %s",
                               facts->identity, run->verb.identity);
        }
    }
    if (facts->channels_n > VIEW_CHANNELS_MAX) return script_fail(s, "the server has too many channels to be led");
    if (taken) run->locked = true;
    bool is_ours = run->locked && script_is_stored(s) && facts->fence_epoch >= run->verb.epoch;
    if (scripts[run->verb.kind].needs_lock && !is_ours) return taken ? retake(s) : take_over(s);
    run->phase = PHASE_SCRIPT;
    return scripts[run->verb.kind].script(s);
}

enum verb_next verb_next(struct verb_run *run, const struct db_result *result)
{
    struct view_facts facts;
    char why[FSM_TEXT_SIZE];
    struct text error = TEXT_ON(why);
    struct script s = {.run = run, .flavour = flavour_find(run->flavour), .facts = &facts, .result = result};

    if (result == NULL && run->left_ms == 0) {
        if (run->outcome.error[0] == '\0') (void)TEXT_COPY(run->outcome.error, "not in time: nothing was sent");
        run->outcome.state = VERB_STATE_FAILED;
        return VERB_END;
    }
    if (result == NULL) return send_probe(run, run->phase == PHASE_START ? PHASE_READ : run->phase);
    s.sql = TEXT_ON(run->sql);
    s.error = TEXT_ON(run->outcome.error);
    run->secret = false;
    if (result->connected || result->session_lost) run->locked = false;
    if (result->status == DB_LOST || result->status == DB_TIMED_OUT || result->status == DB_CANCELED) {
        return end_unknown(run, result);
    }
    if (result->status == DB_ERROR && run->phase != PHASE_READ) return after_error(&s);
    if (probe_read(run->flavour, result, &facts, &error) != VIEW_OK) return script_fail(&s, "%s", why);
    if (!keep_clock(run, result) || !keep_term(run, result) || !keep_facts(run, &facts)) {
        return script_fail(&s, "the server's clock, fence or positions cannot be read");
    }
    return decide(&s);
}
