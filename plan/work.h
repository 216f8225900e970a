/* What the files of plan/ share while one update is made: the input, the update, verbs and findings. PURE. Private. */
#ifndef REGENT_PLAN_WORK_H
#define REGENT_PLAN_WORK_H

#include "plan/plan.h"

struct work {
    const struct plan_input *in;
    const struct fsm_cluster *cluster;
    const struct fsm_plan *plan; /* The running one, or NULL. */
    struct plan_update *update;
};

enum {
    WORK_WAKE_MS = 20,          /* While something is under way. */
    WORK_GIVE_UP_MS = 10000,    /* A step that cannot be done ends the plan. */
    WORK_BACKOFF_MS = 5000,     /* Between a plan that failed and the next one. */
};

/* Says, printf-formatted, why this (or nothing) is done. The last one counts. */
#define WORK_WHY(w, ...)                                                                                              \
    do {                                                                                                              \
        struct text why_ = TEXT_ON((w)->update->why);                                                                 \
        text_addf(&why_, __VA_ARGS__);                                                                                \
    } while (0)

/* The outcome of 'kind' on 'server' under the running plan's current step, or NULL: nothing is known of it. */
const struct verb_outcome *work_outcome(const struct work *w, uint8_t server, enum verb_kind kind);
bool work_is_done(const struct work *w, uint8_t server, enum verb_kind kind);

/* Asks for a verb, unless it runs or is done. Returns it for its other fields to be filled, or NULL when it is not
 * asked. Verbs of every kind carry token, step, epoch, identity and names. */
struct verb *work_ask(struct work *w, uint8_t server, enum verb_kind kind);
/* Lets 'verb' (may be NULL) receive from server 'source'. */
void work_source(const struct work *w, struct verb *verb, uint8_t source);
void work_target(struct verb *verb, const char *target);

/* How long the current step's intent has stood, also when it was committed again. Milliseconds. */
int64_t work_step_ms(const struct work *w);

/* An empty command of 'kind', to be proposed. */
struct fsm_command *work_propose(struct work *w, enum fsm_command_kind kind);
/* Proposes to end the current step and to go on with 'next', with the plan's choices as they are. */
struct fsm_cmd_plan_step *work_advance(struct work *w, enum fsm_step next);
/* Proposes to end the running plan as failed. Returns the empty reason, to be filled with what to do. */
struct text work_fail(struct work *w);

/* The newest ended plan of this cluster, of 'kind' (none: of any); NULL when there is none. */
const struct fsm_plan *work_newest_ended(const struct work *w, enum fsm_plan_kind kind);
/* How long ago 'ended' (may be NULL: -1) ended, by the wall clock. Milliseconds. */
int64_t work_since_ms(const struct work *w, const struct fsm_plan *ended);
/* How long ago the newest plan of this cluster ended, by the wall clock; -1: there is none. Milliseconds. */
int64_t work_ended_ms(const struct work *w);
/* The same of those that open or close servers: all but FOLLOW. */
int64_t work_decided_ms(const struct work *w);
/* How long ago the newest event of 'kind' of this cluster was recorded, likewise. */
int64_t work_event_ms(const struct work *w, const char *kind);
/* True while a plan of 'kind' that failed or was aborted is so young that the next one has to wait; says so. */
bool work_backs_off(struct work *w, enum fsm_plan_kind kind);

/* Appends names of servers: "db2, db3". */
void work_names(struct text *t, const struct fsm_cluster *cluster, fsm_set servers);
/* Name of a server, or "nobody". */
const char *work_name(const struct work *w, uint8_t server);

/* --- one a kind of plan --- */
void enrol_begin(struct work *w);
void enrol_step(struct work *w);
void failover_begin(struct work *w);
/* Proposes a failover to 'to', for which 'acker' is to acknowledge (FSM_SERVER_NONE: nobody). */
void failover_propose(struct work *w, uint8_t to, uint8_t acker);
void failover_step(struct work *w);
bool reopen_is_due(const struct work *w); /* A restarted master is to go on itself, before others are thought of. */
bool reopen_begin(struct work *w); /* True when it can: proposed. */
void revoke_step(struct work *w);
/* Before REVOKE does anything: judges anew whether the failover is wanted (S6). True when nothing is to be asked now:
 * it proposed to end the plan, or waits for what the probes will tell. */
bool failover_reconsider(struct work *w);
bool close_begin(struct work *w); /* True when there is something to close. */
void close_step(struct work *w);
bool follow_begin(struct work *w); /* True when it proposed. */
void follow_step(struct work *w);

#endif
