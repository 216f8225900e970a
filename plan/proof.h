/* Is every commit of the current reign acknowledged by its ackers, and only by them (A6, A7)? PURE. Private. */
#ifndef REGENT_PLAN_PROOF_H
#define REGENT_PLAN_PROOF_H

#include "plan/work.h"

/* What a proof rests on; the fields of fsm_reign. */
struct proof {
    const char *since; /* Borrowed from the view. */
    uint64_t started_s[FSM_SERVERS_MAX];
    uint64_t no_tx;
};

/* Why commits on a master with these 'facts' may be answered without an acknowledgement, and what to do: a static text,
 * or NULL. */
const char *proof_source_problem(const struct view_facts *facts);

/* Why others than 'ackers' may acknowledge for 'master' (A6): a static text, or NULL. */
const char *proof_stranger(const struct work *w, uint8_t master, fsm_set ackers);

/* Finds a position g of 'master' such that all 'ackers' have received g, and nobody else was attached and no commit
 * went by unacknowledged while that was read (A7): the managers' oldest recent reading of the master names g, then the
 * ackers were asked, then the master again, in the same incarnations. Returns false when these observations do not show
 * it. */
bool proof_find(const struct work *w, uint8_t master, fsm_set ackers, struct proof *proof);

/* True when all 'ackers' have received what 'master' had committed when this leader read it, later than 'within_ms'
 * ago. */
bool proof_has_caught_up(const struct work *w, uint8_t master, fsm_set ackers, int64_t within_ms);

/* Withdraws the proof of the current reign when what it rests on has changed: proposes, and returns true. */
bool proof_withdraw(struct work *w);
/* Proves the current reign (again) when all is well: proposes, and returns true. */
bool proof_restore(struct work *w);

#endif
