/* How the leader decides. PURE: plan_step() is a function of its arguments only.
 *
 * The shell (manager/driver.c, sim/ later) performs an update in this order: propose the command and wait for its
 * commit; else perform the verbs; wake again at 'wake_ms'. While a proposal is in flight it does not call plan_step()
 * for that cluster. Level-triggered: a verb is asked for again until its outcome is there; the executor ignores a verb
 * that already runs. */
#ifndef REGENT_PLAN_PLAN_H
#define REGENT_PLAN_PLAN_H

#include "fsm/command.h"
#include "lib/base/text.h"
#include "plan/diagnose.h"
#include "plan/verb.h"
#include "plan/view.h"

struct plan_input {
    const struct fsm_state *state;
    uint8_t cluster;
    const struct view *view;
    const struct verb_outcome *outcomes; /* [FSM_SERVERS_MAX], for this cluster. */
    int64_t step_ms;                     /* How long this leader has driven the running plan's current step. */
    int64_t led_ms;                      /* How long it has led. */
    struct wall wall;                    /* For the commands' time. */
    bool may_act; /* False in a round of clock doubt (DESIGN §4.5): diagnose, do not act. */
    uint64_t random[FSM_SERVERS_MAX][2]; /* Fresh random numbers, for identities. */
};

struct plan_update {
    bool propose;
    struct fsm_command command; /* id is filled by the shell. */
    uint8_t verbs_n;
    struct verb verbs[FSM_SERVERS_MAX];
    int64_t wake_ms; /* At the latest; 0: the usual round. */
    struct diagnosis diagnosis;
    char why[FSM_TEXT_SIZE]; /* Why nothing (or this) is done. */
};

void plan_step(const struct plan_input *input, struct plan_update *update);

/* Fills the command that begins an operator's failover, or refuses with a code and a text. 'to': FSM_SERVER_NONE lets
 * the plan choose. 'dry' text: what the plan would do, one step a line, for --dry-run; it is filled either way. */
enum fsm_code plan_operator_failover(const struct plan_input *input, uint8_t to, bool accept_loss,
                                     struct fsm_command *command, struct text *dry);

/* Appends what is done about a replica that does not receive from the master because it stands still (plan/follow.c),
 * or why nothing is and what to do; nothing when it does not stand still. As this manager sees it. */
void plan_tell_standing(const struct fsm_state *state, uint8_t cluster, const struct view *view, uint8_t server,
                        struct text *t);

#endif
