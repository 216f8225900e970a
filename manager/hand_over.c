/* Handing over to a manager that reaches what a plan needs. See hand_over.h. */
#include "manager/hand_over.h"

#include <stdlib.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "plan/hand_over.h"

struct hand_over {
    struct consensus *consensus;
    struct observe *observe;
    struct mono not_before;
    bool busy;
};

struct hand_over *hand_over_new(struct consensus *consensus, struct observe *observe)
{
    struct hand_over *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->consensus = consensus;
    h->observe = observe;
    h->not_before = clock_mono();
    return h;
}

static void on_handed_over(void *arg, int status, uint64_t index)
{
    struct hand_over *h = arg;
    (void)index;
    h->busy = false;
    if (status != 0) log_warn("hand_over.failed", "errno=%d text=\"this manager leads on\"", -status);
}

static void hand_over_to(struct hand_over *h, const struct fsm_cluster *cluster, const struct view_manager *to)
{
    log_warn("hand_over", "cluster=%s to=%s text=\"the running plan needs a server that %s reaches and this manager "
             "does not\"", cluster->name, to->name, to->name);
    h->busy = raft_node_transfer(consensus_node(h->consensus), to->id, on_handed_over, h) == 0;
    h->not_before = mono_add_ms(clock_mono(), HAND_OVER_PAUSE_MS);
}

void hand_over_run(struct hand_over *hand_over)
{
    struct hand_over *h = hand_over;
    const struct fsm_state *state = consensus_state(h->consensus);
    uint64_t term;
    if (h->busy || mono_before(clock_mono(), h->not_before) || !consensus_is_established(h->consensus, &term)) return;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX && !h->busy; c++) {
        if (!state->clusters[c].used || state->clusters[c].plan == 0) continue;
        const struct view *view = observe_view(h->observe, c);
        uint8_t to = view ? plan_hand_over(state, c, view) : HAND_OVER_NONE;
        if (to != HAND_OVER_NONE) hand_over_to(h, &state->clusters[c], &view->managers[to]);
    }
}

void hand_over_free(struct hand_over *hand_over)
{
    free(hand_over);
}
