/* Applying commands: the deterministic heart. PURE. */
#ifndef REGENT_FSM_APPLY_H
#define REGENT_FSM_APPLY_H

#include "fsm/command.h"

/* Sets 'state' to the empty state at index 0. */
void fsm_init(struct fsm_state *state);

/* Applies 'command', which stands at Raft index 'index' (greater than state->index), and fills '*result'. Total: never
 * fails; a command that breaks a rule is refused by a code and changes nothing but index and dedup window.
 * Deterministic: equal states and commands give equal bytes (S4). Borrows all. */
void fsm_apply(struct fsm_state *state, uint64_t index, const struct fsm_command *command, struct fsm_result *result);

/* Notes that Raft index 'index' held nothing for us (a barrier, a configuration). */
void fsm_skip(struct fsm_state *state, uint64_t index);

/* Checks what must hold in every state (S1, A8 and the shape of the arrays). Returns NULL, or a static text naming the
 * broken invariant. Test builds call it after each apply (REGENT_CHECK_INVARIANTS). */
const char *fsm_invariant(const struct fsm_state *state);

#endif
