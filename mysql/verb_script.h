/* Inside of the verbs: what the scripts of mysql/verb_*.c share. PURE. Private to mysql/verb*.c.
 *
 * A script is a decision, not a list: it looks at the facts that the server just told and sends only what is missing,
 * so every verb is idempotent. Every request ends with the probe; so each answer brings the facts for the next
 * decision, and an effect counts only when it was seen. */
#ifndef REGENT_MYSQL_VERB_SCRIPT_H
#define REGENT_MYSQL_VERB_SCRIPT_H

#include "mysql/flavour.h"
#include "mysql/gtid.h"
#include "mysql/verb.h"
#include "plan/view.h"

/* Our own error numbers of the guard (SIGNAL); far above those of the servers, below 2^15. */
enum script_guard {
    GUARD_NO_LOCK = 30001,   /* This session does not hold regent.control, or would write to the binlog. */
    GUARD_STALE = 30002,     /* A greater token is stored, or ours under a greater term. */
    GUARD_NO_TOKEN = 30003,  /* Our token and term are not stored. */
    GUARD_IDENTITY = 30004,  /* Another server than the expected one. */
    GUARD_LATE = 30005,      /* The deadline has passed on the server's clock. */
    GUARD_NOT_ENROLLED = 30006,
    GUARD_LOCK_BUSY = 30007, /* GET_LOCK not granted within a second. */
    GUARD_NO_ACKER = 30008,  /* OPEN: too few or too many ackers attached at that very moment. */
    GUARD_GRANTS = 30009,    /* The control account lacks a privilege; the message names it. */
    GUARD_BOOTS_ACKER = 30010, /* ENROL: the replica flag comes from the option file (A3). */
    GUARD_BOOTS_OPEN = 30011,  /* ENROL: read_only is off by the option file or by default (A3). */
    GUARD_OPEN = 30012,      /* CATCH_UP, FOLLOW: it is open, so commits of clients may wait there. */
};

/* One decision. */
struct script {
    struct verb_run *run;
    const struct flavour *flavour;
    const struct view_facts *facts;
    const struct db_result *result; /* That brought 'facts'. */
    struct text sql;                /* On run->sql, empty. */
    struct text error;              /* On run->outcome.error, empty. */
};

typedef enum verb_next script_fn(struct script *s);

script_fn script_enrol, script_revoke, script_apply, script_catch_up, script_promote, script_follow, script_attached,
    script_reign_row, script_open, script_clear, script_close;

/* Building a request: script_block(), then per statement script_guard() and the statement with its ';', then
 * script_send(), which closes the block and puts the probe behind it. */
void script_block(struct script *s);
void script_guard(struct script *s);
enum verb_next script_send(struct script *s);
/* The same for the second session (VERB_SEND_ASIDE): its guard asks for the user lock regent.close instead, which it
 * takes first; its request has no probe. */
void script_guard_aside(struct script *s);
enum verb_next script_send_aside(struct script *s);
/* Guarded "<statement>'<channel>'<tail>;". */
void script_on_channel(struct script *s, const struct flavour_statement *statement, const char *channel);
/* Guarded "SET GLOBAL <variable> = <value>;". */
void script_set_global(struct script *s, const char *variable, const char *value);
/* "IF <condition> THEN SIGNAL ... END IF;" */
void script_signal_unless(struct text *sql, const char *condition, enum script_guard code);
/* Refuses when the account lacks one of 'privileges' ("SELECT 'A' AS p UNION SELECT 'B'"). For those whose lack shows
 * too late, or not at all: without PROCESS the process list looks empty. Needs "DECLARE missing TEXT;" in the block. */
void script_need(struct text *sql, const char *privileges);
/* The loop that ends sessions: KILL CONNECTION for each id that 'where' selects from the process list. Needs a
 * handler for 1094 (session gone meanwhile) in the block. */
void script_kill(struct script *s, const char *where);
/* Takes the control session on a server that has a fence row; for one that has none yet see verb_enrol.c. */
void script_take_session(struct script *s);
/* Inside a block: stores token, term and epoch of the verb. Behind a guard. */
void script_store(struct script *s);
/* Inside a block: ends the other sessions of the control account, takes the user lock; takes and gives back the one of
 * the second session, so that this is gone, too. */
void script_take_lock(struct script *s);
/* The condition that is true when the deadline has passed on the server's clock. */
void script_add_deadline(struct text *sql, const struct verb_run *run);
extern const char script_session_settings[];

/* The script is satisfied: its effect was seen. */
enum verb_next script_done(struct script *s);
/* FAILED with the text of s->error; script_fail() writes it first. */
enum verb_next script_failed(struct script *s);
#define script_fail(s, ...) (text_addf(&(s)->error, __VA_ARGS__), script_failed(s))
/* Look again soon; 'awaited' is told when the deadline passes, with the channels' errors. */
enum verb_next script_poll(struct script *s, const char *awaited);
/* True once per bit and run: a statement whose effect does not show is waited for, not sent again and again. */
bool script_once(struct script *s, unsigned bit);

/* Questions about the facts. */
bool script_contains(const char *whole, const char *part); /* GTID positions; false when either is malformed. */
/* Exactly 'target' is executed: in each of its domains the same transaction is the last. One number a domain says only
 * how far a server came, not by which way: a transaction that somebody wrote on a replica takes the number of the one
 * that was acknowledged meanwhile, and hides it. Beside what was applied, a transaction counts that the server wrote
 * itself when the target names that very one as the last of its domain: a candidate that is chosen again after its
 * reign row. */
bool script_has_executed(const struct view_facts *facts, const char *target);
/* The executed transaction is another one than the target's in some domain, and not one before it: nothing that is
 * waited for makes it right. */
bool script_is_past(const struct view_facts *facts, const char *target);
/* FAILED because of that; 'what' was not done. */
enum verb_next script_fail_past(struct script *s, const char *what);
bool script_is_stored(const struct script *s); /* Token and term on the server are those of this verb. */
/* Row 'row' of the first set that has the column; NULL: none has, or NULL there. */
const char *script_cell(const struct db_result *result, unsigned row, const char *column);
bool script_has_all_received(const struct view_facts *facts);
unsigned script_channels(const struct view_facts *facts); /* Described ones. */
bool script_is_receiving(const struct view_facts *facts); /* Any receiver of any channel not stopped. */
bool script_is_applying(const struct view_facts *facts);  /* Any applier runs. */

#endif
