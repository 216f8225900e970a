/* Leader driver. See driver.h. */
#include "manager/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mark.h"

enum {
    DRIVER_ROUND_MS = 250,       /* A cluster is looked at no less often. */
    DRIVER_REFUSED_MS = 20,      /* Before a proposal that was refused is made again. */
    DRIVER_LAG_MAX_MS = 1000,    /* DESIGN §4.5. */
    DRIVER_VERDICT_HOLD_MS = 1000,  /* A verdict without a plan is told when it has held for so long, */
    DRIVER_VERDICT_PAUSE_MS = 5000, /* and no more often than this. */
};

struct driver_cluster {
    struct driver *owner;
    uint8_t cluster;
    bool proposing;
    struct mono due_at;
    struct mono held_until; /* A command was refused: nothing is asked before, whatever wakes this cluster. */
    uint64_t token; /* Running plan and step, as last seen, */
    enum fsm_step step;
    struct mono step_at; /* and since when this leader drives it. */
    enum diagnosis_row row, told; /* Verdict now, and told last. */
    struct mono row_at, told_at;
    struct plan_update update;
};

struct driver {
    const struct ports *ports;
    struct observe *observe;
    struct execute *execute;
    bool led;        /* In the last round. */
    struct mono led_at; /* Since then, the last time. */
    uint64_t term;
    uint64_t client; /* Random: this process. */
    uint64_t seq;
    struct mono ran_at;
    struct wall ran_wall;
    bool poked[FSM_CLUSTERS_MAX];
    struct driver_cluster *clusters[FSM_CLUSTERS_MAX];
};

struct driver *driver_new(const struct ports *ports, struct observe *observe, struct execute *execute)
{
    struct driver *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->ports = ports;
    d->observe = observe;
    d->execute = execute;
    d->client = ports->clock.random(ports->ctx) | 1;
    return d;
}

void driver_free(struct driver *driver)
{
    if (!driver) return;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) free(driver->clusters[c]);
    free(driver);
}

void driver_poke(struct driver *driver, uint8_t cluster)
{
    MUST(cluster < FSM_CLUSTERS_MAX);
    driver->poked[cluster] = true;
}

void driver_poke_all(struct driver *driver)
{
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) driver->poked[c] = true;
}

struct fsm_request_id driver_request_id(struct driver *driver)
{
    const struct fsm_state *state = driver->ports->consensus.state(driver->ports->ctx);
    return (struct fsm_request_id){.client = driver->client, .seq = ++driver->seq, .since = state->index};
}

/* --- proposals ------------------------------------------------------------------------------------------------- */

static void proposed(void *arg, int status, const struct fsm_result *result)
{
    struct driver_cluster *dc = arg;
    const struct ports *ports = dc->owner->ports;
    struct mono now = ports->clock.now(ports->ctx);
    /* As on a full disk: asked at once, it is refused at once. What the group refused, too: each of its answers wakes
     * us, and it would be asked for ever, a command of the log each time. */
    bool is_refused = status == 0 ? result->code != FSM_OK : status != -EIO;
    /* Known or not: the state is read again, and the planner decides anew. */
    if (status != 0) MARK(driver_proposal_lost);
    else if (result->code != FSM_OK) MARK(driver_command_refused);
    dc->proposing = false;
    if (is_refused) dc->due_at = dc->held_until = mono_add_ms(now, DRIVER_REFUSED_MS);
    else dc->owner->poked[dc->cluster] = true;
    ports->clock.wake_at(ports->ctx, is_refused ? dc->due_at : now);
}

static void propose(struct driver *d, struct driver_cluster *dc, struct fsm_command *command)
{
    command->id = driver_request_id(d);
    command->time = d->ports->clock.wall(d->ports->ctx);
    dc->proposing = d->ports->consensus.propose(d->ports->ctx, command, proposed, dc) == 0;
    if (dc->proposing) return;
    MARK(driver_proposal_refused);
    dc->due_at = mono_add_ms(d->ports->clock.now(d->ports->ctx), DRIVER_REFUSED_MS);
}

/* Tells a verdict that calls for no plan, so that `events` shows why nothing was done. */
static bool verdict_is_to_be_told(struct driver_cluster *dc, struct mono now)
{
    if (dc->update.diagnosis.row != dc->row) {
        dc->row = dc->update.diagnosis.row;
        dc->row_at = now;
    }
    if (dc->row == dc->told || dc->update.diagnosis.acts) return false;
    if (mono_since_ms(now, dc->row_at) < DRIVER_VERDICT_HOLD_MS) return false;
    return !mono_is_set(dc->told_at) || mono_since_ms(now, dc->told_at) >= DRIVER_VERDICT_PAUSE_MS;
}

static void tell_verdict(struct driver *d, struct driver_cluster *dc, struct mono now)
{
    const struct fsm_cluster *cluster = &d->ports->consensus.state(d->ports->ctx)->clusters[dc->cluster];
    struct fsm_command *command = &dc->update.command;
    memset(command, 0, sizeof *command);
    command->kind = CMD_EVENT;
    struct fsm_cmd_event *event = &command->u.event;
    TEXT_COPY(event->cluster, cluster->name);
    TEXT_COPY(event->kind, "verdict");
    struct text text = TEXT_ON(event->text);
    text_addf(&text, "%s: %s", diagnosis_name(dc->row), diagnosis_text(dc->row));
    const struct view *view = observe_view(d->observe, dc->cluster);
    MUST(view); /* The verdict rests on it. */
    diagnose_tell(cluster, view, &dc->update.diagnosis);
    TEXT_COPY(event->evidence, dc->update.diagnosis.evidence);
    dc->told = dc->row;
    dc->told_at = now;
    propose(d, dc, command);
}

/* --- rounds ---------------------------------------------------------------------------------------------------- */

static struct driver_cluster *cluster_of(struct driver *d, uint8_t c)
{
    if (d->clusters[c]) return d->clusters[c];
    struct driver_cluster *dc = calloc(1, sizeof *dc);
    MUST(dc); /* One of at most 64; a leader without memory must not pretend to watch. */
    dc->owner = d;
    dc->cluster = c;
    dc->row = dc->told = DIAGNOSIS_OK;
    d->clusters[c] = dc;
    return dc;
}

static void follow_step(struct driver_cluster *dc, const struct fsm_state *state, struct mono now)
{
    const struct fsm_cluster *cluster = &state->clusters[dc->cluster];
    const struct fsm_plan *plan = cluster->plan ? fsm_plan_find(state, cluster->plan) : NULL;
    uint64_t token = plan ? plan->token : 0;
    enum fsm_step step = plan ? plan->step : 0;
    if (token == dc->token && step == dc->step) return;
    dc->token = token;
    dc->step = step;
    dc->step_at = now;
}

static bool fill_input(struct driver *d, struct driver_cluster *dc, struct plan_input *in, struct mono now)
{
    memset(in, 0, sizeof *in);
    in->state = d->ports->consensus.state(d->ports->ctx);
    in->cluster = dc->cluster;
    follow_step(dc, in->state, now);
    in->outcomes = execute_outcomes(d->execute, dc->cluster);
    in->step_ms = dc->token ? mono_since_ms(now, dc->step_at) : 0;
    in->led_ms = mono_is_set(d->led_at) ? mono_since_ms(now, d->led_at) : 0;
    in->wall = d->ports->clock.wall(d->ports->ctx);
    /* Last: should this process stand still here, what was read looks older, never younger than what was done. */
    in->view = observe_view(d->observe, dc->cluster);
    if (!in->view) return false;
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
        for (unsigned k = 0; k < 2; k++) in->random[i][k] = d->ports->clock.random(d->ports->ctx);
    return true;
}

static void cluster_round(struct driver *d, uint8_t c, bool may_act, struct mono now)
{
    struct driver_cluster *dc = cluster_of(d, c);
    if (dc->proposing) return;
    bool is_held = mono_is_set(dc->held_until) && mono_before(now, dc->held_until);
    bool due = (d->poked[c] || !mono_before(now, dc->due_at)) && !is_held;
    if (!due) {
        d->ports->clock.wake_at(d->ports->ctx, is_held ? dc->held_until : dc->due_at);
        return;
    }
    d->poked[c] = false;
    dc->due_at = mono_add_ms(now, DRIVER_ROUND_MS);
    struct plan_input input;
    if (fill_input(d, dc, &input, now)) {
        input.may_act = may_act;
        plan_step(&input, &dc->update);
        observe_suspect(d->observe, c, dc->update.diagnosis.suspicious);
        if (dc->update.wake_ms > 0 && dc->update.wake_ms < DRIVER_ROUND_MS)
            dc->due_at = mono_add_ms(now, dc->update.wake_ms);
        if (dc->update.propose) {
            propose(d, dc, &dc->update.command);
        } else if (verdict_is_to_be_told(dc, now) && dc->token == 0) {
            tell_verdict(d, dc, now);
        }
        for (uint8_t i = 0; i < dc->update.verbs_n; i++) /* None beside a command: work_propose(). */
            execute_verb(d->execute, &dc->update.verbs[i]);
    }
    if (!dc->proposing) d->ports->clock.wake_at(d->ports->ctx, dc->due_at);
}

/* False when time can not be trusted in this round. */
static bool time_is_sane(struct driver *d, struct mono now)
{
    struct wall wall = d->ports->clock.wall(d->ports->ctx);
    int64_t since_us = now.us - d->ran_at.us;
    int64_t drift_us = (wall.us - d->ran_wall.us) - since_us;
    bool first = !mono_is_set(d->ran_at);
    d->ran_at = now;
    d->ran_wall = wall;
    if (first) return true;
    if (since_us > DRIVER_LAG_MAX_MS * 1000) {
        MARK(driver_lagged);
        return false;
    }
    if (drift_us <= DRIVER_LAG_MAX_MS * 1000 && drift_us >= -DRIVER_LAG_MAX_MS * 1000) return true;
    MARK(driver_clock_jumped);
    return false;
}

static void lose_leadership(struct driver *d)
{
    execute_cancel_all(d->execute);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) observe_suspect(d->observe, c, false);
}

static void mark_resumed(enum fsm_step step)
{
    switch (step) {
    case STEP_PREPARE: MARK(resume_prepare); return;
    case STEP_VERIFY: MARK(resume_verify); return;
    case STEP_REVOKE: MARK(resume_revoke); return;
    case STEP_APPLY: MARK(resume_apply); return;
    case STEP_CATCH_UP: MARK(resume_catch_up); return;
    case STEP_PROMOTE: MARK(resume_promote); return;
    case STEP_ESTABLISH: MARK(resume_establish); return;
    case STEP_OPEN: MARK(resume_open); return;
    case STEP_REPOINT: MARK(resume_repoint); return;
    case STEP_SHUT: MARK(resume_shut); return;
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: return;
    }
}

/* Steps are timed from here: one that was seen before, by driver_input(), was not driven by this manager. */
static void take_leadership(struct driver *d, struct mono now)
{
    d->led_at = now;
    const struct fsm_state *state = d->ports->consensus.state(d->ports->ctx);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        const struct fsm_plan *plan = fsm_plan_find(state, state->clusters[c].plan);
        if (plan) mark_resumed(plan->step);
        if (d->clusters[c]) d->clusters[c]->token = 0;
    }
    driver_poke_all(d);
}

void driver_run(struct driver *driver)
{
    struct driver *d = driver;
    struct mono now = d->ports->clock.now(d->ports->ctx);
    uint64_t term = 0;
    bool leads = d->ports->consensus.is_established(d->ports->ctx, &term);
    bool may_act = time_is_sane(d, now);
    if (d->led && (!leads || term != d->term)) lose_leadership(d);
    if (leads && (!d->led || term != d->term)) take_leadership(d, now);
    d->led = leads;
    d->term = term;
    d->ports->clock.wake_at(d->ports->ctx, mono_add_ms(now, DRIVER_ROUND_MS));
    if (!leads) return;
    const struct fsm_state *state = d->ports->consensus.state(d->ports->ctx);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++)
        if (state->clusters[c].used) cluster_round(d, c, may_act, now);
}

const struct plan_update *driver_update(const struct driver *driver, uint8_t cluster)
{
    if (!driver->led || cluster >= FSM_CLUSTERS_MAX || !driver->clusters[cluster]) return NULL;
    return &driver->clusters[cluster]->update;
}

bool driver_input(struct driver *driver, uint8_t cluster, struct plan_input *input)
{
    MUST(cluster < FSM_CLUSTERS_MAX);
    struct driver_cluster *dc = cluster_of(driver, cluster);
    if (!fill_input(driver, dc, input, driver->ports->clock.now(driver->ports->ctx))) return false;
    input->may_act = true;
    return true;
}
