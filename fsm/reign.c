/* The list of reigns that may still acknowledge (A8), and what proves that one cannot any more (A3). PURE.
 *
 * The list never names a server twice: a second reign of the same server absorbs the first one's ackers. So a candidate
 * that fails again and again does not fill the list. */
#include <string.h>

#include "fsm/internal.h"

bool fsm_reign_is_revoked(const struct fsm_cluster *cluster, const struct fsm_reign *reign, fsm_set revoked)
{
    unsigned ackers = fsm_set_count(reign->ackers);

    if (reign->k == 0 || reign->k > ackers) return false;
    /* A reign past the current one that is not lossless was never opened (its plan failed before that): its master
     * is read-only and waits for its ackers, so F1 counts although nothing was proven. A7 forbids the others. */
    if (!reign->lossless && reign->epoch <= cluster->epoch) return false;
    return fsm_set_count(reign->ackers & revoked) >= ackers - reign->k + 1;
}

bool fsm_reign_fits(const struct fsm_cluster *cluster, const struct fsm_plan *plan, uint8_t master)
{
    unsigned others = 0;

    for (uint8_t i = 0; i < cluster->reigns_n; i++) others += cluster->reigns[i].master != master;
    for (uint8_t i = 0; i < plan->past_n; i++) others += plan->past[i].master != master;
    return others + 1 <= FSM_REIGNS_MAX;
}

struct fsm_reign *fsm_reign_find(struct fsm_cluster *cluster, uint64_t epoch)
{
    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        if (cluster->reigns[i].epoch == epoch) return &cluster->reigns[i];
    }
    return NULL;
}

/* One reign that is fenced only when both are: all ackers of both count, and the weaker proof. */
static void absorb(struct fsm_reign *into, const struct fsm_reign *older)
{
    into->ackers |= older->ackers & ~FSM_BIT(into->master);
    if (!into->lossless && older->k < into->k) into->k = older->k;
}

void fsm_reign_list(struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    struct fsm_reign *slot = NULL;
    struct fsm_reign merged = *reign;

    for (uint8_t i = 0; i < cluster->reigns_n && slot == NULL; i++) {
        if (cluster->reigns[i].master == reign->master) slot = &cluster->reigns[i];
    }
    if (slot != NULL) {
        absorb(&merged, slot);
    } else {
        MUST(cluster->reigns_n < FSM_REIGNS_MAX);
        slot = &cluster->reigns[cluster->reigns_n++];
    }
    memcpy(slot, &merged, sizeof(*slot));
}

void fsm_reigns_end(struct fsm_cluster *cluster, struct fsm_plan *plan)
{
    plan->past_n = cluster->reigns_n;
    memcpy(plan->past, cluster->reigns, sizeof(plan->past));
    cluster->reigns_n = 0;
    memset(cluster->reigns, 0, sizeof(cluster->reigns));
}

void fsm_reigns_restore(struct fsm_cluster *cluster, struct fsm_plan *plan)
{
    struct fsm_reign newer[FSM_REIGNS_MAX];
    uint8_t newer_n = cluster->reigns_n;

    memcpy(newer, cluster->reigns, sizeof(newer));
    cluster->reigns_n = plan->past_n;
    memcpy(cluster->reigns, plan->past, sizeof(cluster->reigns));
    for (uint8_t i = 0; i < newer_n; i++) fsm_reign_list(cluster, &newer[i]);
    plan->past_n = 0;
    memset(plan->past, 0, sizeof(plan->past));
}

void fsm_roles_set(struct fsm_cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        struct fsm_server *s = &cluster->servers[i];
        s->role = i == cluster->master ? ROLE_MASTER : i == cluster->backup ? ROLE_BACKUP : ROLE_REPLICA;
    }
}
