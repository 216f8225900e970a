/* The steps of plans: what the end of each must show, and what it changes. PURE. Private to fsm/. */
#ifndef REGENT_FSM_STEP_H
#define REGENT_FSM_STEP_H

#include "fsm/internal.h"

struct fsm_step_context {
    struct fsm_apply *a;
    const struct fsm_cmd_plan_step *c;
    struct fsm_plan *plan;
    struct fsm_cluster *cluster;
};

/* Checks that c->next may follow, and the rule of the ended step. Changes nothing but the result's text. */
enum fsm_code fsm_step_check(const struct fsm_step_context *s);
/* Carries out what fsm_step_check() allowed; all but plan->step, which the caller moves. */
void fsm_step_enact(const struct fsm_step_context *s);
/* Appends what the ended step 'done' found, for the event's text. Called after fsm_step_enact(). */
void fsm_step_describe(const struct fsm_step_context *s, enum fsm_step done, struct text *text);

/* Refuses because the servers in 'taken' may still acknowledge for an unfenced reign. */
enum fsm_code fsm_step_refuse_taken(const struct fsm_step_context *s, fsm_set taken);

/* The end of REVOKE: fences (A3, A8, §7) and the choice (A4). */
enum fsm_code fsm_revoke_check(const struct fsm_step_context *s);
void fsm_revoke_enact(const struct fsm_step_context *s);
/* True when 'reign' is fenced by what the ended step found, without accepting loss. */
bool fsm_revoke_is_proven(const struct fsm_step_context *s, const struct fsm_reign *reign);

#endif
