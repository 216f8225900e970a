/* Verbs as statements: what is sent to a server to perform one verb, and how its answers are judged.
 *
 * PURE sequencer: verb_begin(), then verb_next() with the result of the statement before, until it says END. The
 * executor (manager/execute.c), the simulator and the golden tests drive the same sequencer, so the model sees the very
 * statements that production sends.
 *
 * Every statement that changes something is guarded ON THE SERVER (DESIGN §7, S3): it runs only if this session holds
 * the user lock regent.control, the stored token and term are ours, the stored identity is the expected one, and the
 * server's SYSDATE(6) is before the verb's deadline. A greater token, or ours under a greater term: stale. */
#ifndef REGENT_MYSQL_VERB_H
#define REGENT_MYSQL_VERB_H

#include "lib/base/text.h"
#include "mysql/result.h"
#include "plan/verb.h"

enum { VERB_SQL_SIZE = 8192 };

enum verb_next {
    VERB_SEND,      /* Send run->sql, come back with its result. */
    VERB_SEND_ASIDE, /* Send run->sql in a second session of the same account and come back at once without a result:
                        its effect is looked for on the server. One that still runs there is dropped first. When it
                        fails, code and text go to run->aside_code and run->aside_error. */
    VERB_WAIT,      /* Come back in run->wait_ms without a result; then it sends again (polling with a deadline). */
    VERB_END,       /* run->outcome is complete: DONE or FAILED. */
};

struct verb_run {
    struct verb verb;
    enum fsm_flavour flavour;
    const char *repl_user;     /* Borrowed: account of replication. */
    const char *repl_password; /* Borrowed. */
    bool locked;   /* In: this session holds regent.control under verb.token (takeover was done). Out: likewise. */
    uint32_t left_ms; /* In, before each call: time left until the verb's deadline. */
    /* Private to mysql/verb*.c until wait_ms. */
    unsigned phase;        /* What the awaited result answers. */
    unsigned stage;        /* Bits: actions of the script that were sent. */
    unsigned polls;
    char clock[24];        /* The server's clock (Unix seconds) at the last read; with clock_left_ms: the deadline. */
    uint32_t clock_left_ms;
    uint64_t stored_term;  /* Beside the stored token at the last read. */
    uint64_t mark[4];      /* Numbers that a script keeps between its steps. */
    uint32_t wait_ms;
    char sql[VERB_SQL_SIZE];
    bool secret; /* sql holds a password: never log it. */
    uint32_t aside_code;             /* In: the server's number, 0 when there is none; and */
    char aside_error[FSM_TEXT_SIZE]; /* why the statement that was sent aside failed; "": it did not, yet. */
    struct verb_outcome outcome;
};

/* Prepares '*run' for 'verb'. Borrows the credentials for the life of the run. */
void verb_begin(struct verb_run *run, const struct verb *verb, enum fsm_flavour flavour, const char *repl_user,
                const char *repl_password);

/* 'result': of the statement sent last; NULL at the first call and after VERB_WAIT. */
enum verb_next verb_next(struct verb_run *run, const struct db_result *result);

#endif
