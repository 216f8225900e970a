/* RECOVERED: the first command of a group that one survivor made anew after the majority was lost for ever. PURE.
 *
 * What the dead majority committed last may be missing here, so nothing of this state is taken for proven: all clusters
 * are paused, no reign counts as lossless until its proof is made anew from what the servers say, and a plan that ran
 * is over. The dead may come back, too, as a group of their own with the old data: so that servers tell the two apart,
 * every token from here on is greater than any of theirs (fsm_token_at()), and the next epochs leave theirs behind. */
#include <string.h>

#include "fsm/internal.h"

/* Plans that the old group can have made after what the survivor knows. Each would have to promote a master. */
enum { EPOCHS_LEFT_BEHIND = 1000 };

uint64_t fsm_token_at(const struct fsm_state *state, uint64_t index)
{
    MUST(index < FSM_TOKEN_STEP && state->generation <= FSM_GENERATIONS_MAX);
    return state->generation * FSM_TOKEN_STEP + index;
}

static enum fsm_code check(struct fsm_apply *a)
{
    const struct fsm_cmd_recovered *c = &a->command->u.recovered;

    if (c->generation != a->state->generation + 1 || c->generation > FSM_GENERATIONS_MAX) {
        return FSM_REFUSE(a, FSM_STALE, "this is generation %llu of the group, which %llu does not follow",
                          (unsigned long long)a->state->generation, (unsigned long long)c->generation);
    }
    if (fsm_member_find(a->state, c->survivor) == NULL) {
        return FSM_REFUSE(a, FSM_NOT_FOUND, "the group has no member with the id %llu",
                          (unsigned long long)c->survivor);
    }
    return FSM_OK;
}

static void end_plan(struct fsm_apply *a, struct fsm_cluster *cluster)
{
    struct fsm_plan *plan = fsm_apply_running(a->state, cluster);

    if (plan == NULL) return;
    if (plan->kind == PLAN_FAILOVER && plan->step < STEP_REPOINT) fsm_reigns_restore(cluster, plan);
    plan->state = PLAN_STATE_FAILED;
    plan->ended = a->command->time;
    FSM_TEXT_SET(plan->reason, "the group of managers was made anew from one survivor: what this plan had done by then "
                               "is not known");
    cluster->plan = 0;
}

static void doubt_cluster(struct fsm_apply *a, struct fsm_cluster *cluster)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    uint64_t highest = cluster->epoch > cluster->epoch_used ? cluster->epoch : cluster->epoch_used;

    end_plan(a, cluster);
    cluster->paused = true;
    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        cluster->reigns[i].lossless = false;
        FSM_TEXT_SET(cluster->reigns[i].since, "");
    }
    if (cluster->epoch != 0) cluster->epoch_used = highest + EPOCHS_LEFT_BEHIND;
    text_addf(&text, "paused: the group of managers was made anew, and may not know the last master; compare `regent "
                     "status %s` with the servers, then resume it", cluster->name);
    fsm_event_add(a, &(struct fsm_note){cluster, "cluster.paused", buffer, ""});
}

static void keep_survivor(struct fsm_state *state, uint64_t id)
{
    struct fsm_member survivor = *fsm_member_find(state, id);

    memset(state->members, 0, sizeof(state->members));
    memset(state->tokens, 0, sizeof(state->tokens));
    state->tokens_n = 0;
    state->members_n = 1;
    state->members[0] = survivor;
    state->members[0].role = MEMBER_VOTER;
    state->members[0].want = MEMBER_VOTER;
}

enum fsm_code fsm_apply_recovered(struct fsm_apply *a)
{
    const struct fsm_cmd_recovered *c = &a->command->u.recovered;
    enum fsm_code code = check(a);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (code != FSM_OK) return code;
    a->state->generation = c->generation;
    keep_survivor(a->state, c->survivor);
    text_addf(&text, "made anew from the log of %s, as generation %llu with the group id %016llx",
              a->state->members[0].name, (unsigned long long)c->generation, (unsigned long long)c->group_id);
    fsm_event_add(a, &(struct fsm_note){NULL, "group.recovered", buffer, ""});
    for (size_t i = 0; i < FSM_CLUSTERS_MAX; i++) {
        if (a->state->clusters[i].used) doubt_cluster(a, &a->state->clusters[i]);
    }
    return FSM_OK;
}
