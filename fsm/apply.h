/* Applying commands: the deterministic heart. PURE. */
#ifndef REGENT_FSM_APPLY_H
#define REGENT_FSM_APPLY_H

#include "fsm/command.h"

/* Sets 'state' to the empty state at index 0, of the first version. */
void fsm_init(struct fsm_state *state);
/* The same for memory that is all zero already, which is not written: a state is megabytes, most of it never used. */
void fsm_init_zeroed(struct fsm_state *state);

/* True when 'command' raises the active version to one that this program does not speak: then it must end, before it
 * applies the command. */
bool fsm_command_is_beyond(const struct fsm_state *state, const struct fsm_command *command);

/* Applies 'command', which is not beyond this program and stands at Raft index 'index' (greater than state->index), and
 * fills '*result'. Total: never fails; a command that breaks a rule is refused by a code and changes nothing but index
 * and dedup window. Deterministic: equal states and commands give equal bytes (S4), in all programs that speak the
 * active version. Borrows all. */
void fsm_apply(struct fsm_state *state, uint64_t index, const struct fsm_command *command, struct fsm_result *result);

/* The entry of 'id' in the window of remembered requests, or NULL. Borrowed from 'state'. */
const struct fsm_dedup *fsm_dedup_find(const struct fsm_state *state, struct fsm_request_id id);

/* True when 'id', which is not in the window, may have been applied and forgotten: then it is never applied.
 *
 * False proves that it was not applied. Say it was, at index i, and has left the window since. Then i <= dedup_floor,
 * since ids leave in the order of their indexes. But all up to id.since was committed before the first attempt, so that
 * i > id.since; and not expired means id.since >= dedup_floor: a contradiction. (Also in the state of another manager,
 * or after a restore: the floor is replicated with the window.) */
bool fsm_dedup_is_expired(const struct fsm_state *state, struct fsm_request_id id);

/* Notes that Raft index 'index' held nothing for us (a barrier, a configuration). */
void fsm_skip(struct fsm_state *state, uint64_t index);

/* Checks what must hold in every state (S1, A8 and the shape of the arrays). Returns NULL, or a static text naming the
 * broken invariant. Test builds call it after each apply (REGENT_CHECK_INVARIANTS). */
const char *fsm_invariant(const struct fsm_state *state);

#endif
