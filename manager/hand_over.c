/* Handing over to a manager that reaches what a plan needs. See hand_over.h. */
#include "manager/hand_over.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "plan/hand_over.h"

struct hand_over {
    struct consensus *consensus;
    struct observe *observe;
    uint64_t term;
    struct mono not_before, led_since;
    struct mono due_since[FSM_CLUSTERS_MAX]; /* Another one would better begin its plan, or carry it on. */
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
    log_warn("hand_over", "cluster=%s to=%s text=\"%s needs a server that %s reaches and this manager does not\"",
             cluster->name, to->name, cluster->plan != 0 ? "the running plan" : "a plan that is due", to->name);
    h->busy = raft_node_transfer(consensus_node(h->consensus), to->id, on_handed_over, h) == 0;
    h->not_before = mono_add_ms(clock_mono(), HAND_OVER_PAUSE_MS);
}

/* Views list the managers in the same order. */
static bool hurts_another(struct hand_over *h, uint8_t cluster, uint8_t to)
{
    const struct fsm_state *state = consensus_state(h->consensus);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        if (c == cluster || !state->clusters[c].used || state->clusters[c].plan == 0) continue;
        const struct view *view = observe_view(h->observe, c);
        if (view && plan_hand_over_hurts(state, c, view, to)) return true;
    }
    return false;
}

/* What another one would better do is mostly done in a moment, by this leader. And the plans of other clusters have
 * their turn first. */
static bool is_due(struct hand_over *h, uint8_t cluster, uint8_t to, bool is_urgent)
{
    struct mono now = clock_mono();
    struct mono *since = &h->due_since[cluster];
    if (to == HAND_OVER_NONE) *since = MONO_NEVER;
    else if (!mono_is_set(*since)) *since = now;
    if (to == HAND_OVER_NONE) return false;
    int64_t wait_ms = is_urgent ? 0 : HAND_OVER_DUE_MS;
    if (hurts_another(h, cluster, to)) wait_ms = HAND_OVER_TURN_MS;
    bool has_led = is_urgent || mono_since_ms(now, h->led_since) >= HAND_OVER_LED_MS;
    return has_led && mono_since_ms(now, *since) >= wait_ms;
}

static void follow_term(struct hand_over *h, uint64_t term)
{
    if (term == h->term) return;
    h->term = term;
    h->led_since = clock_mono();
    memset(h->due_since, 0, sizeof h->due_since);
}

void hand_over_run(struct hand_over *hand_over)
{
    struct hand_over *h = hand_over;
    const struct fsm_state *state = consensus_state(h->consensus);
    uint64_t term;
    if (h->busy || mono_before(clock_mono(), h->not_before) || !consensus_is_established(h->consensus, &term)) return;
    follow_term(h, term);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX && !h->busy; c++) {
        const struct view *view = state->clusters[c].used ? observe_view(h->observe, c) : NULL;
        bool is_urgent = false;
        uint8_t to = view ? plan_hand_over(state, c, view, &is_urgent) : HAND_OVER_NONE;
        if (!is_due(h, c, to, is_urgent)) continue;
        hand_over_to(h, &state->clusters[c], &view->managers[to]);
    }
}

void hand_over_free(struct hand_over *hand_over)
{
    free(hand_over);
}
