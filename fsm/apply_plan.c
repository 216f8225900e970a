/* PLAN_BEGIN, PLAN_STEP, PLAN_END: the life of a plan. What each step must uphold is in fsm/step_*.c. PURE. */
#include <string.h>

#include "fsm/internal.h"
#include "fsm/step.h"
#include "lib/base/mutant.h"

/* --- begin --- */

static bool acker_is_possible(const struct fsm_cluster *cluster, const struct fsm_cmd_plan_begin *c)
{
    return c->acker == FSM_SERVER_NONE || (c->acker < cluster->servers_n && c->acker != c->to);
}

static enum fsm_code check_enrol(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;

    if (cluster->epoch != 0) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s is enrolled already", cluster->name);
    }
    if (c->to >= cluster->servers_n || cluster->servers[c->to].state == SERVER_QUARANTINED) {
        return FSM_REFUSE(a, FSM_INVALID, "enrolment of %s: %s cannot be adopted as its master", cluster->name,
                          fsm_server_name(cluster, c->to));
    }
    if (!acker_is_possible(cluster, c)) {
        return FSM_REFUSE(a, FSM_INVALID, "enrolment of %s: no such acker", cluster->name);
    }
    return FSM_OK;
}

static enum fsm_code check_failover(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;

    if (cluster->epoch == 0) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s is not enrolled yet", cluster->name);
    }
    if (c->from != cluster->master) {
        return FSM_REFUSE(a, FSM_INVALID, "failover of %s: %s is not its master", cluster->name,
                          fsm_server_name(cluster, c->from));
    }
    /* To the master itself only by a leader: it was restarted and goes on, under another reign (A4). */
    if (!fsm_server_is(cluster, c->to, SERVER_MEMBER) || (c->to == cluster->master && c->by_operator) ||
        cluster->servers[c->to].maintenance) {
        return FSM_REFUSE(a, FSM_INVALID, "failover of %s: %s cannot be promoted", cluster->name,
                          fsm_server_name(cluster, c->to));
    }
    if (!acker_is_possible(cluster, c) || c->acker == c->from) {
        return FSM_REFUSE(a, FSM_INVALID, "failover of %s: %s cannot be the acker", cluster->name,
                          fsm_server_name(cluster, c->acker));
    }
    return FSM_OK;
}

static enum fsm_code check_close(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;

    if (cluster->epoch == 0) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s is not enrolled yet", cluster->name);
    }
    if (c->from >= cluster->servers_n || c->from == cluster->master) {
        return FSM_REFUSE(a, FSM_INVALID, "close: %s is not a replaced master of %s",
                          fsm_server_name(cluster, c->from), cluster->name);
    }
    return FSM_OK;
}

/* A6: nobody outside of A has its flag on. Who may still acknowledge for a reign that was given up stays as it is. */
static enum fsm_code check_follow_acker(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;
    const struct fsm_reign *reign = fsm_reign_current(cluster);

    if (fsm_set_has(fsm_unfenced_ackers(cluster, NULL, 0), c->from)) {
        return FSM_REFUSE(a, FSM_UNSAFE, "follow: %s may still acknowledge for a reign that was given up",
                          fsm_server_name(cluster, c->from));
    }
    if (c->acker == FSM_SERVER_NONE) return FSM_OK;
    if (c->acker == c->from && reign != NULL && fsm_set_has(reign->ackers, c->from)) return FSM_OK;
    return FSM_REFUSE(a, FSM_UNSAFE, "follow: %s is not an acker of epoch %llu", fsm_server_name(cluster, c->acker),
                      (unsigned long long)cluster->epoch);
}

static enum fsm_code check_follow(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;

    if (cluster->epoch == 0) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s is not enrolled yet", cluster->name);
    }
    if (c->to != cluster->master) {
        return FSM_REFUSE(a, FSM_INVALID, "follow: %s is not the master of %s", fsm_server_name(cluster, c->to),
                          cluster->name);
    }
    if (!fsm_server_is(cluster, c->from, SERVER_MEMBER) || c->from == cluster->master ||
        cluster->servers[c->from].maintenance) {
        return FSM_REFUSE(a, FSM_INVALID, "follow: %s is not a replica of %s", fsm_server_name(cluster, c->from),
                          cluster->name);
    }
    return check_follow_acker(a, cluster);
}

static enum fsm_code check_begin(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;

    if (cluster->plan != 0) {
        return FSM_REFUSE(a, FSM_BUSY, "plan %llu runs on %s", (unsigned long long)cluster->plan, cluster->name);
    }
    if (c->epoch != cluster->epoch) {
        return FSM_REFUSE(a, FSM_STALE, "%s is at epoch %llu now, not %llu: look again", cluster->name,
                          (unsigned long long)cluster->epoch, (unsigned long long)c->epoch);
    }
    if (cluster->paused && !c->by_operator) {
        return FSM_REFUSE(a, FSM_UNSAFE, "%s is paused: only an operator begins plans", cluster->name);
    }
    switch (c->kind) {
    case PLAN_ENROL: return check_enrol(a, cluster);
    case PLAN_FAILOVER: return check_failover(a, cluster);
    case PLAN_CLOSE: return check_close(a, cluster);
    case PLAN_FOLLOW: return check_follow(a, cluster);
    case fsm_plan_kind_none:
    case fsm_plan_kind_count: break;
    }
    return FSM_REFUSE(a, FSM_INVALID, "no such kind of plan");
}

/* The oldest slot that holds no running plan. There is one: each cluster runs at most one plan. */
static struct fsm_plan *take_slot(struct fsm_state *state)
{
    for (size_t i = 0; i < FSM_PLANS_MAX; i++) {
        struct fsm_plan *plan = &state->plans[state->plans_next];

        state->plans_next = (state->plans_next + 1) % FSM_PLANS_MAX;
        if (plan->token == 0 || plan->state != PLAN_STATE_RUNNING) {
            memset(plan, 0, sizeof(*plan));
            return plan;
        }
    }
    MUST_NOT_REACH();
}

static void fill_kind(struct fsm_plan *plan, struct fsm_cluster *cluster, const struct fsm_cmd_plan_begin *c)
{
    plan->from = c->kind == PLAN_ENROL ? FSM_SERVER_NONE : c->from;
    plan->to = c->kind == PLAN_CLOSE ? FSM_SERVER_NONE : c->to;
    plan->acker = c->kind == PLAN_CLOSE ? FSM_SERVER_NONE : c->acker;
    plan->holder = FSM_SERVER_NONE;
    plan->epoch = cluster->epoch;
    if (c->kind == PLAN_ENROL || c->kind == PLAN_FAILOVER) {
        /* Epochs of failed plans are never given again: their verbs may have stored them on servers. */
        bool is_used = cluster->epoch_used > cluster->epoch && !MUTANT(epoch_again);
        uint64_t highest = is_used ? cluster->epoch_used : cluster->epoch;
        plan->epoch = highest + 1;
        cluster->epoch_used = plan->epoch;
    }
    switch (c->kind) {
    case PLAN_ENROL: plan->step = STEP_PREPARE; return;
    case PLAN_FAILOVER: plan->step = STEP_REVOKE; return;
    case PLAN_CLOSE: plan->step = STEP_SHUT; return;
    case PLAN_FOLLOW: plan->step = STEP_REPOINT; return;
    case fsm_plan_kind_none:
    case fsm_plan_kind_count: break;
    }
    MUST_NOT_REACH();
}

static void note_begin(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    text_addf(&text, "%s %llu begins%s", fsm_plan_kind_name(plan->kind), (unsigned long long)plan->token,
              plan->by_operator ? ", asked for by an operator" : "");
    if (plan->kind == PLAN_CLOSE) {
        text_addf(&text, ": make %s read-only", fsm_server_name(cluster, plan->from));
    } else if (plan->kind == PLAN_FOLLOW) {
        text_addf(&text, ": %s is to receive from %s again%s", fsm_server_name(cluster, plan->from),
                  fsm_server_name(cluster, plan->to), plan->acker != FSM_SERVER_NONE ? ", as its acker" : "");
    } else {
        text_addf(&text, ": %s to be master of epoch %llu", fsm_server_name(cluster, plan->to),
                  (unsigned long long)plan->epoch);
    }
    if (plan->kind == PLAN_FAILOVER && plan->from == plan->to) text_add(&text, " again");
    else if (plan->kind == PLAN_FAILOVER) text_addf(&text, " in place of %s", fsm_server_name(cluster, plan->from));
    if (plan->accept_loss) text_add(&text, ", loss of acknowledged writes accepted");
    if (plan->verdict[0] != '\0') text_addf(&text, "; verdict %s", plan->verdict);
    fsm_event_add(a, &(struct fsm_note){cluster, "plan.begin", buffer, c->evidence});
}

enum fsm_code fsm_apply_plan_begin(struct fsm_apply *a)
{
    const struct fsm_cmd_plan_begin *c = &a->command->u.plan_begin;
    struct fsm_cluster *cluster = fsm_apply_cluster(a, c->cluster);
    struct fsm_plan *plan;
    enum fsm_code code;

    if (cluster == NULL) return FSM_NOT_FOUND;
    code = check_begin(a, cluster);
    if (code != FSM_OK) return code;
    plan = take_slot(a->state);
    plan->token = fsm_token_at(a->state, a->index);
    plan->kind = c->kind;
    plan->state = PLAN_STATE_RUNNING;
    plan->cluster = fsm_cluster_index(a->state, cluster);
    plan->accept_loss = c->accept_loss;
    plan->by_operator = c->by_operator;
    FSM_TEXT_SET(plan->verdict, c->verdict);
    fill_kind(plan, cluster, c);
    plan->started = a->command->time;
    plan->step_at[plan->step] = a->command->time;
    cluster->plan = plan->token;
    a->result->value = plan->token;
    note_begin(a, cluster, plan);
    return FSM_OK;
}

/* --- step --- */

static void note_step(struct fsm_apply *a, const struct fsm_step_context *s, enum fsm_step done)
{
    const struct fsm_cmd_plan_step *c = &a->command->u.plan_step;
    bool is_over = c->next == STEP_DONE;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    text_addf(&text, "%s %llu: ", fsm_plan_kind_name(s->plan->kind), (unsigned long long)s->plan->token);
    if (is_over) {
        text_add(&text, "done");
    } else if (done == c->next) {
        text_addf(&text, "%s goes on", fsm_step_name(done));
    } else {
        text_addf(&text, "%s is done, %s begins", fsm_step_name(done), fsm_step_name(c->next));
    }
    fsm_step_describe(s, done, &text);
    fsm_event_add(a, &(struct fsm_note){s->cluster, is_over ? "plan.done" : "plan.step", buffer, c->evidence});
}

static void finish(struct fsm_apply *a, const struct fsm_step_context *s)
{
    s->plan->state = PLAN_STATE_FINISHED;
    s->plan->ended = a->command->time;
    s->cluster->plan = 0;
}

/* Finds the running plan of 'token' and its cluster. */
static enum fsm_code find_running(struct fsm_apply *a, uint64_t token, struct fsm_step_context *s)
{
    const struct fsm_plan *plan = fsm_plan_find(a->state, token);

    if (plan == NULL || plan->state != PLAN_STATE_RUNNING) {
        return FSM_REFUSE(a, FSM_STALE, "plan %llu does not run", (unsigned long long)token);
    }
    s->plan = &a->state->plans[plan - a->state->plans];
    s->cluster = &a->state->clusters[plan->cluster];
    return FSM_OK;
}

enum fsm_code fsm_apply_plan_step(struct fsm_apply *a)
{
    const struct fsm_cmd_plan_step *c = &a->command->u.plan_step;
    struct fsm_step_context s = {.a = a, .c = c};
    enum fsm_code code = find_running(a, c->token, &s);

    if (code != FSM_OK) return code;
    if (c->done != s.plan->step) {
        return FSM_REFUSE(a, FSM_STALE, "plan %llu is at step %s, not %s", (unsigned long long)c->token,
                          fsm_step_name(s.plan->step), fsm_step_name(c->done));
    }
    code = fsm_step_check(&s);
    if (code != FSM_OK) return code;
    fsm_step_enact(&s);
    s.plan->step = c->next;
    s.plan->step_at[c->next] = a->command->time;
    if (c->next == STEP_DONE) finish(a, &s);
    note_step(a, &s, c->done);
    return FSM_OK;
}

/* --- end --- */

/* True while the plan's candidate may have an acker or be open: from then on only going forward is safe. */
static bool is_past_establish(const struct fsm_plan *plan)
{
    return plan->kind == PLAN_FAILOVER && plan->step >= STEP_ESTABLISH && plan->step <= STEP_REPOINT;
}

static enum fsm_code check_end(struct fsm_apply *a, const struct fsm_plan *plan)
{
    const struct fsm_cmd_plan_end *c = &a->command->u.plan_end;

    if (c->state != PLAN_STATE_FAILED && c->state != PLAN_STATE_ABORTED) {
        return FSM_REFUSE(a, FSM_INVALID, "a plan ends as failed or aborted");
    }
    if (c->state == PLAN_STATE_ABORTED && is_past_establish(plan)) {
        return FSM_REFUSE(a, FSM_UNSAFE, "plan %llu is at step %s: its new master may be open, it must go on",
                          (unsigned long long)plan->token, fsm_step_name(plan->step));
    }
    return FSM_OK;
}

enum fsm_code fsm_apply_plan_end(struct fsm_apply *a)
{
    const struct fsm_cmd_plan_end *c = &a->command->u.plan_end;
    struct fsm_step_context s = {.a = a};
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code;
    bool is_failed = c->state == PLAN_STATE_FAILED;

    if (fsm_plan_find(a->state, c->token) == NULL) {
        return FSM_REFUSE(a, FSM_NOT_FOUND, "there is no plan %llu", (unsigned long long)c->token);
    }
    code = find_running(a, c->token, &s);
    if (code != FSM_OK) return code;
    code = check_end(a, s.plan);
    if (code != FSM_OK) return code;
    /* Once OPEN is done the old reigns are history. Before that they may acknowledge again (A8); so may the new one. */
    if (s.plan->kind == PLAN_FAILOVER && s.plan->step < STEP_REPOINT) fsm_reigns_restore(s.cluster, s.plan);
    s.plan->state = c->state;
    s.plan->ended = a->command->time;
    FSM_TEXT_SET(s.plan->reason, c->reason);
    s.cluster->plan = 0;
    text_addf(&text, "%s %llu %s at step %s%s: %s", fsm_plan_kind_name(s.plan->kind), (unsigned long long)c->token,
              is_failed ? "failed" : "was aborted", fsm_step_name(s.plan->step),
              c->by_operator ? " by an operator" : "", c->reason[0] != '\0' ? c->reason : "no reason given");
    fsm_event_add(a, &(struct fsm_note){s.cluster, is_failed ? "plan.failed" : "plan.aborted", buffer, ""});
    return FSM_OK;
}
