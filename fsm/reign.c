/* The list of reigns that may still acknowledge (A8), and what proves that one cannot any more (A3). PURE.
 *
 * The list never names a server twice: a second reign of the same server absorbs the first one's ackers. So a candidate
 * that fails again and again does not fill the list. */
#include <string.h>

#include "lib/base/mutant.h"
#include "fsm/internal.h"

fsm_set fsm_reign_intact(const struct fsm_reign *reign, const uint64_t started_s[FSM_SERVERS_MAX])
{
    fsm_set intact = 0;

    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        bool is_same = reign->started_s[i] != 0 && started_s[i] == reign->started_s[i];
        if (fsm_set_has(reign->ackers, i) && (is_same || MUTANT(trust_restarted))) intact |= FSM_BIT(i);
    }
    return intact;
}

bool fsm_reign_is_revoked(const struct fsm_cluster *cluster, const struct fsm_reign *reign, fsm_set revoked,
                          const uint64_t started_s[FSM_SERVERS_MAX])
{
    unsigned ackers = fsm_set_count(reign->ackers);

    if (reign->k == 0 || reign->k > ackers) return false;
    /* A reign past the current one that never came to OPEN: its master is read-only and waits for its ackers, so F1
     * counts although nothing was proven, and no acker has anything to account for. A7 forbids the others. */
    bool is_unproven = !reign->lossless && (reign->opened || reign->epoch <= cluster->epoch);
    if (is_unproven && !MUTANT(f1_unproven)) return false;
    if (MUTANT(any_revoked)) return true;
    if (reign->lossless && !reign->unfenced) revoked &= fsm_reign_intact(reign, started_s);
    return fsm_set_count(reign->ackers & revoked) >= ackers - reign->k + 1;
}

fsm_set fsm_unfenced_ackers(const struct fsm_cluster *cluster, const struct fsm_plan *plan, fsm_set revoked)
{
    fsm_set ackers = 0;

    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        if (cluster->reigns[i].unfenced) ackers |= cluster->reigns[i].ackers;
    }
    if (plan == NULL || plan->step >= STEP_REPOINT) return ackers & ~revoked; /* What stays is listed again. */
    for (uint8_t i = 0; i < plan->past_n; i++) {
        if ((plan->unproven & (1u << i)) != 0) ackers |= plan->past[i].ackers;
    }
    return ackers & ~revoked;
}

bool fsm_holder_is_dispensable(const struct fsm_plan *plan)
{
    if (plan->accept_loss && plan->by_operator) return true;
    for (uint8_t i = 0; i < plan->past_n; i++) {
        const struct fsm_reign *reign = &plan->past[i];

        if (reign->master == plan->to) continue;
        if (!reign->lossless || !fsm_set_has(reign->ackers, plan->to) || fsm_set_count(reign->ackers) != reign->k) {
            return false;
        }
    }
    return true;
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

/* One reign that is fenced only when both are: all ackers of both count but for the revoked ones. */
static void absorb(struct fsm_reign *into, const struct fsm_reign *older, fsm_set revoked)
{
    fsm_set ackers = older->ackers & ~revoked & ~FSM_BIT(into->master);

    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        /* The incarnation in which the older proof saw it: in that one it has all that it acknowledged for either. */
        if (fsm_set_has(ackers & ~into->ackers, i)) into->started_s[i] = older->started_s[i];
    }
    into->ackers |= ackers;
    into->opened = into->opened || older->opened;
}

void fsm_reign_absorb_past(struct fsm_reign *reign, const struct fsm_plan *plan)
{
    for (uint8_t i = 0; i < plan->past_n; i++) {
        if (plan->past[i].master == reign->master) absorb(reign, &plan->past[i], plan->revoked);
    }
}

void fsm_reign_list(struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    struct fsm_reign *slot = NULL;
    struct fsm_reign merged = *reign;

    for (uint8_t i = 0; i < cluster->reigns_n && slot == NULL; i++) {
        if (cluster->reigns[i].master == reign->master) slot = &cluster->reigns[i];
    }
    if (slot != NULL) {
        absorb(&merged, slot, 0);
        if (!merged.lossless && slot->k < merged.k) merged.k = slot->k; /* The weaker proof. */
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
    for (uint8_t i = 0; i < newer_n; i++) {
        /* A master that was to go on: its reign is the one before, with the ackers of both. */
        if (newer[i].master == cluster->master) newer[i].epoch = cluster->epoch;
        fsm_reign_list(cluster, &newer[i]);
    }
    plan->past_n = 0;
    plan->unproven = 0;
    memset(plan->past, 0, sizeof(plan->past));
}

void fsm_reigns_keep_unfenced(struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    for (uint8_t i = 0; i < plan->past_n; i++) {
        struct fsm_reign reign;

        if ((plan->unproven & (1u << i)) == 0) continue;
        memcpy(&reign, &plan->past[i], sizeof(reign));
        reign.unfenced = true;
        fsm_reign_list(cluster, &reign);
    }
    /* The new master replicates no more, and its acker follows it. */
    fsm_reigns_shrink_unfenced(cluster, plan->revoked | fsm_set_one(plan->to) | fsm_set_one(plan->acker));
}

static void drop(struct fsm_cluster *cluster, uint8_t i)
{
    cluster->reigns_n--;
    memmove(&cluster->reigns[i], &cluster->reigns[i + 1], (size_t)(cluster->reigns_n - i) * sizeof(cluster->reigns[0]));
    memset(&cluster->reigns[cluster->reigns_n], 0, sizeof(cluster->reigns[0]));
}

void fsm_reigns_shrink_unfenced(struct fsm_cluster *cluster, fsm_set confirmed)
{
    for (uint8_t i = cluster->reigns_n; i-- > 0;) {
        struct fsm_reign *reign = &cluster->reigns[i];

        /* A master that was not lossless commits without ackers: only its closing ends that reign. */
        if (!reign->unfenced || !reign->lossless) continue;
        reign->ackers &= ~confirmed;
        if (reign->k > fsm_set_count(reign->ackers)) drop(cluster, i);
    }
}

void fsm_reigns_drop_unfenced(struct fsm_cluster *cluster, uint8_t master)
{
    for (uint8_t i = cluster->reigns_n; i-- > 0;) {
        if (cluster->reigns[i].unfenced && cluster->reigns[i].master == master) drop(cluster, i);
    }
}

bool fsm_reigns_forget(struct fsm_cluster *cluster, struct fsm_reign *forgotten)
{
    uint8_t oldest = FSM_REIGNS_MAX;

    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        if (!cluster->reigns[i].unfenced) continue;
        if (oldest == FSM_REIGNS_MAX || cluster->reigns[i].epoch < cluster->reigns[oldest].epoch) oldest = i;
    }
    if (oldest == FSM_REIGNS_MAX) return false;
    memcpy(forgotten, &cluster->reigns[oldest], sizeof(*forgotten));
    drop(cluster, oldest);
    return true;
}

void fsm_roles_set(struct fsm_cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        struct fsm_server *s = &cluster->servers[i];
        s->role = i == cluster->master ? ROLE_MASTER : i == cluster->backup ? ROLE_BACKUP : ROLE_REPLICA;
    }
}
