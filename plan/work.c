/* Verbs, outcomes and proposals of one update. PURE. */
#include "plan/work.h"

#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/sight.h"

/* Milliseconds from a verb's start to its cancellation. */
static uint32_t deadline_ms(enum verb_kind kind)
{
    switch (kind) {
    case VERB_ENROL: return 5000;
    case VERB_REVOKE: return 3000;
    case VERB_APPLY: return 2000;
    case VERB_CATCH_UP: return 5000;
    case VERB_PROMOTE: return 2000;
    case VERB_FOLLOW: return 3000;
    case VERB_ATTACHED: return 2000;
    case VERB_REIGN_ROW: return 3000;
    case VERB_OPEN: return 1000;
    case VERB_CLEAR: return 2000;
    case VERB_CLOSE: return 5000;
    case VERB_none:
    case VERB_KINDS_N: break;
    }
    MUST_NOT_REACH();
}

const struct verb_outcome *work_outcome(const struct work *w, uint8_t server, enum verb_kind kind)
{
    if (server >= w->cluster->servers_n) return NULL;
    const struct verb_outcome *o = &w->in->outcomes[server];
    bool is_ours = o->kind == kind && o->token == w->plan->token && o->step == w->plan->step;
    return is_ours ? o : NULL;
}

bool work_is_done(const struct work *w, uint8_t server, enum verb_kind kind)
{
    const struct verb_outcome *o = work_outcome(w, server, kind);
    return o != NULL && o->state == VERB_STATE_DONE;
}

struct verb *work_ask(struct work *w, uint8_t server, enum verb_kind kind)
{
    const struct verb_outcome *o = work_outcome(w, server, kind);
    if (o != NULL && (o->state == VERB_STATE_DONE || o->state == VERB_STATE_RUNNING)) return NULL;
    MUST(w->update->verbs_n < FSM_SERVERS_MAX && server < w->cluster->servers_n);

    const struct fsm_server *s = &w->cluster->servers[server];
    struct verb *v = &w->update->verbs[w->update->verbs_n++];
    *v = (struct verb){
        .kind = kind,
        .cluster = w->in->cluster,
        .server = server,
        .token = w->plan->token,
        .step = w->plan->step,
        .epoch = w->plan->epoch,
        .deadline_ms = deadline_ms(kind),
    };
    (void)TEXT_COPY(v->identity, s->identity);
    (void)TEXT_COPY(v->cluster_name, w->cluster->name);
    return v;
}

void work_source(const struct work *w, struct verb *verb, uint8_t source)
{
    if (verb == NULL) return;
    MUST(source < w->cluster->servers_n);
    (void)sight_address(w->cluster->servers[source].address, verb->source_host, &verb->source_port);
}

void work_target(struct verb *verb, const char *target)
{
    if (verb != NULL) (void)TEXT_COPY(verb->target, target);
}

int64_t work_step_ms(const struct work *w)
{
    /* A step that is repeated (ESTABLISH with another acker) is a new intent, which the shell's timer does not see. */
    int64_t since_ms = (w->in->wall.us - w->plan->step_at[w->plan->step].us) / 1000;
    return since_ms >= 0 && since_ms < w->in->step_ms ? since_ms : w->in->step_ms;
}

struct fsm_command *work_propose(struct work *w, enum fsm_command_kind kind)
{
    struct fsm_command *c = &w->update->command;
    w->update->propose = true;
    w->update->verbs_n = 0;
    memset(c, 0, sizeof(*c));
    c->kind = kind;
    c->time = w->in->wall;
    return c;
}

struct fsm_cmd_plan_step *work_advance(struct work *w, enum fsm_step next)
{
    struct fsm_cmd_plan_step *step = &work_propose(w, CMD_PLAN_STEP)->u.plan_step;
    step->token = w->plan->token;
    step->done = w->plan->step;
    step->next = next;
    step->to = w->plan->to;
    step->acker = w->plan->acker;
    step->holder = w->plan->holder;
    WORK_WHY(w, "%s is done", fsm_step_name(w->plan->step));
    return step;
}

struct text work_fail(struct work *w)
{
    struct fsm_cmd_plan_end *end = &work_propose(w, CMD_PLAN_END)->u.plan_end;
    end->token = w->plan->token;
    end->state = PLAN_STATE_FAILED;
    WORK_WHY(w, "%s cannot be done", fsm_step_name(w->plan->step));
    return TEXT_ON(end->reason);
}

const struct fsm_plan *work_newest_ended(const struct work *w, enum fsm_plan_kind kind)
{
    const struct fsm_plan *newest = NULL;
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        const struct fsm_plan *p = &w->in->state->plans[i];
        if (p->token == 0 || p->cluster != w->in->cluster || p->state == PLAN_STATE_RUNNING) continue;
        if (kind != fsm_plan_kind_none && p->kind != kind) continue;
        if (newest == NULL || p->token > newest->token) newest = p;
    }
    return newest;
}

/* 'then' was written by the leader of that time. When it is yet to come, his clock is ahead of ours, and it was before
 * we led: what his clock says is not waited for. */
static int64_t since_wall_ms(const struct work *w, struct wall then)
{
    int64_t ms = (w->in->wall.us - then.us) / 1000;
    if (ms >= 0) return ms;
    MARK(work_clock_behind);
    return w->in->led_ms;
}

int64_t work_since_ms(const struct work *w, const struct fsm_plan *ended)
{
    return ended != NULL ? since_wall_ms(w, ended->ended) : -1;
}

int64_t work_event_ms(const struct work *w, const char *kind)
{
    const struct fsm_state *state = w->in->state;
    uint64_t kept = state->events_n < FSM_EVENTS_MAX ? state->events_n : FSM_EVENTS_MAX;
    for (uint64_t i = 1; i <= kept; i++) {
        const struct fsm_event *e = &state->events[(state->events_n - i) % FSM_EVENTS_MAX];
        if (text_equal(e->kind, kind) && text_equal(e->cluster, w->cluster->name)) return since_wall_ms(w, e->time);
    }
    return -1;
}

int64_t work_ended_ms(const struct work *w)
{
    return work_since_ms(w, work_newest_ended(w, fsm_plan_kind_none));
}

int64_t work_decided_ms(const struct work *w)
{
    static const enum fsm_plan_kind kinds[] = {PLAN_ENROL, PLAN_FAILOVER, PLAN_CLOSE};
    const struct fsm_plan *newest = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct fsm_plan *p = work_newest_ended(w, kinds[i]);
        if (p != NULL && (newest == NULL || p->token > newest->token)) newest = p;
    }
    return work_since_ms(w, newest);
}

bool work_backs_off(struct work *w, enum fsm_plan_kind kind)
{
    const struct fsm_plan *newest = work_newest_ended(w, kind);
    int64_t ms = work_since_ms(w, newest);
    if (ms < 0 || newest->state == PLAN_STATE_FINISHED) return false;
    if (ms >= WORK_BACKOFF_MS && !(MUTANT(never_again) && kind == PLAN_FAILOVER)) return false;
    MARK(work_backs_off);
    WORK_WHY(w, "%s %llu did not succeed: the next one begins %d s after it", fsm_plan_kind_name(kind),
             (unsigned long long)newest->token, WORK_BACKOFF_MS / 1000);
    return true;
}

void work_names(struct text *t, const struct fsm_cluster *cluster, fsm_set servers)
{
    const char *separator = "";
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (!fsm_set_has(servers, i)) continue;
        text_addf(t, "%s%s", separator, cluster->servers[i].name);
        separator = ", ";
    }
}

const char *work_name(const struct work *w, uint8_t server)
{
    return server < w->cluster->servers_n ? w->cluster->servers[server].name : "nobody";
}
