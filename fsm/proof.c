/* REIGN_PROOF: the proof that a reign is lossless is withdrawn, or given anew; and what a proof rests on. PURE.
 *
 * A proof holds for the incarnations in which it was made: an acker that restarted may have lost its relay log (A4), a
 * master that restarted may have semi-sync off (A7). */
#include <string.h>

#include "fsm/internal.h"

static fsm_set members(const struct fsm_reign *reign)
{
    return reign->ackers | FSM_BIT(reign->master);
}

void fsm_reign_started_set(struct fsm_reign *reign, const uint64_t *started_s, uint64_t no_tx)
{
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        if (fsm_set_has(members(reign), i) && started_s[i] != 0) reign->started_s[i] = started_s[i];
    }
    if (started_s[reign->master] != 0) reign->no_tx = no_tx;
}

/* The running plan that decides about the current reign itself, or NULL. */
static const struct fsm_plan *deciding_plan(struct fsm_apply *a, const struct fsm_cluster *cluster)
{
    const struct fsm_plan *plan = fsm_apply_running(a->state, cluster);

    return plan != NULL && (plan->kind == PLAN_FAILOVER || plan->kind == PLAN_ENROL) ? plan : NULL;
}

static enum fsm_code check_given(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    const struct fsm_cmd_reign_proof *c = &a->command->u.reign_proof;

    if (cluster->durability == DURABILITY_ASYNC) {
        return FSM_REFUSE(a, FSM_UNSAFE, "%s is async: its reigns are never lossless", cluster->name);
    }
    if (reign->k == 0) {
        return FSM_REFUSE(a, FSM_UNSAFE, "nobody acknowledges for %s", fsm_server_name(cluster, reign->master));
    }
    if (c->since[0] == '\0') return FSM_REFUSE(a, FSM_INVALID, "lossless since which position?");
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (!fsm_set_has(members(reign), i) || c->started_s[i] != 0) continue;
        return FSM_REFUSE(a, FSM_INVALID, "the incarnation of %s is missing", fsm_server_name(cluster, i));
    }
    return FSM_OK;
}

static enum fsm_code check_proof(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    const struct fsm_cmd_reign_proof *c = &a->command->u.reign_proof;
    const struct fsm_plan *plan = deciding_plan(a, cluster);

    if (plan != NULL) {
        return FSM_REFUSE(a, FSM_BUSY, "plan %llu runs on %s", (unsigned long long)plan->token, cluster->name);
    }
    if (reign == NULL || c->epoch != cluster->epoch) {
        return FSM_REFUSE(a, FSM_STALE, "%s is at epoch %llu now, not %llu: look again", cluster->name,
                          (unsigned long long)cluster->epoch, (unsigned long long)c->epoch);
    }
    if (c->lossless) return check_given(a, cluster, reign);
    if (c->reason[0] == '\0') return FSM_REFUSE(a, FSM_INVALID, "the withdrawal of a proof needs a reason");
    return FSM_OK;
}

void fsm_note_unproven(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_reign *reign,
                       const char *reason)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    text_addf(&text, "epoch %llu of %s is not proven lossless: %s", (unsigned long long)reign->epoch,
              fsm_server_name(cluster, reign->master), reason);
    fsm_event_add(a, &(struct fsm_note){cluster, "reign.unproven", buffer, ""});
}

static void note_proven(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    const struct fsm_cmd_reign_proof *c = &a->command->u.reign_proof;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    text_addf(&text, "epoch %llu of %s is lossless since %s%s%s", (unsigned long long)reign->epoch,
              fsm_server_name(cluster, reign->master), c->since, c->reason[0] != '\0' ? ": " : "", c->reason);
    fsm_event_add(a, &(struct fsm_note){cluster, "reign.proven", buffer, ""});
}

enum fsm_code fsm_apply_reign_proof(struct fsm_apply *a)
{
    const struct fsm_cmd_reign_proof *c = &a->command->u.reign_proof;
    struct fsm_cluster *cluster = fsm_apply_cluster(a, c->cluster);
    struct fsm_reign *reign;
    enum fsm_code code;
    bool was_lossless;

    if (cluster == NULL) return FSM_NOT_FOUND;
    reign = fsm_reign_find(cluster, cluster->epoch);
    code = check_proof(a, cluster, reign);
    if (code != FSM_OK) return code;
    was_lossless = reign->lossless;
    reign->lossless = c->lossless;
    FSM_TEXT_SET(reign->since, c->lossless ? c->since : "");
    fsm_reign_started_set(reign, c->started_s, c->no_tx);
    if (c->lossless) {
        note_proven(a, cluster, reign);
    } else if (was_lossless) {
        fsm_note_unproven(a, cluster, reign, c->reason);
    }
    return FSM_OK;
}
