/* One update of one cluster: carry the running plan on, or begin one, or say why not. PURE.
 *
 * Failure modes: the round's clock is in doubt (diagnose only); a server holds a greater token than ours (we are the
 * deposed leader: nothing more is asked); a plan failed lately (back off). */
#include "plan/work.h"

#include <string.h>

#include "lib/base/mark.h"
#include "plan/choose.h"
#include "plan/proof.h"
#include "plan/sight.h"

/* A server that holds a greater token than the plan's: somebody newer acts. */
static uint8_t stale_server(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct verb_outcome *o = &w->in->outcomes[i];
        if (o->kind != VERB_none && o->token == w->plan->token && o->stale) return i;
    }
    return FSM_SERVER_NONE;
}

static void carry_on(struct work *w)
{
    uint8_t stale = stale_server(w);
    if (stale != FSM_SERVER_NONE && work_step_ms(w) >= WORK_GIVE_UP_MS) {
        MARK(stale_given_up);
        /* We still commit, so no newer leader of this group wrote it. */
        struct text reason = work_fail(w);
        text_addf(&reason, "%s holds a greater token, and not from this group of managers: stop the other group, then "
                           "drop the table regent.fence there, unlogged", work_name(w, stale));
        return;
    }
    if (stale != FSM_SERVER_NONE) {
        MARK(stale_waits);
        WORK_WHY(w, "%s holds a greater token than plan %llu: this leader is deposed and does nothing more",
                 work_name(w, stale), (unsigned long long)w->plan->token);
        return;
    }
    switch (w->plan->kind) {
    case PLAN_ENROL: enrol_step(w); return;
    case PLAN_FAILOVER: failover_step(w); return;
    case PLAN_CLOSE: close_step(w); return;
    case PLAN_FOLLOW: follow_step(w); return;
    case fsm_plan_kind_none:
    case fsm_plan_kind_count: break;
    }
    WORK_WHY(w, "this version does not know the kind of plan %llu", (unsigned long long)w->plan->token);
}

/* What the proof rests on can be looked at. While the master is not read the incarnations of the ackers judge alone. */
static bool is_master_read(enum diagnosis_row row)
{
    return row == DIAGNOSIS_OK || row == DIAGNOSIS_BLOCKED || row == DIAGNOSIS_CLOSED || row == DIAGNOSIS_PAUSED;
}

static void begin(struct work *w)
{
    const struct diagnosis *d = &w->update->diagnosis;
    if (is_master_read(d->row) && proof_withdraw(w)) return;
    if (w->cluster->paused) {
        WORK_WHY(w, "paused by an operator");
    } else if (w->cluster->epoch == 0) {
        if (!work_backs_off(w, PLAN_ENROL)) enrol_begin(w);
    } else if (d->acts || choose_open(w) != FSM_SERVER_NONE) {
        if (!work_backs_off(w, PLAN_FAILOVER)) failover_begin(w);
    } else if (!close_begin(w) && !follow_begin(w) && !proof_restore(w)) {
        WORK_WHY(w, "%s: %s", diagnosis_name(d->row), diagnosis_text(d->row));
    }
}

/* Not all of it: it is large, and work_propose() and work_ask() clear what they hand out. */
static void clear(struct plan_update *update)
{
    update->propose = false;
    update->command.kind = CMD_NONE;
    update->verbs_n = 0;
    update->wake_ms = 0;
    update->why[0] = '\0';
    update->diagnosis = (struct diagnosis){.row = DIAGNOSIS_NOT_ENROLLED};
}

void plan_step(const struct plan_input *input, struct plan_update *update)
{
    MUST(input->cluster < FSM_CLUSTERS_MAX);
    const struct fsm_cluster *cluster = &input->state->clusters[input->cluster];
    struct work w = {.in = input, .cluster = cluster, .update = update};
    clear(update);
    if (!cluster->used) {
        WORK_WHY(&w, "no such cluster");
        return;
    }
    if (cluster->plan != 0) w.plan = fsm_plan_find(input->state, cluster->plan);
    diagnose_verdict(cluster, input->view, &update->diagnosis);
    if (w.plan != NULL) update->diagnosis.suspicious = true; /* Its steps wait for what the probes will tell. */
    if (update->diagnosis.suspicious) update->wake_ms = WORK_WAKE_MS;

    if (!input->may_act) {
        MARK(clock_in_doubt);
        WORK_WHY(&w, "the clock of this round is in doubt: observed, not acted");
    } else if (w.plan != NULL) {
        carry_on(&w);
    } else {
        begin(&w);
    }
}
