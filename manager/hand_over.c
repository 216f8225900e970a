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
    struct driver *driver;
    uint64_t term;
    struct mono not_before, led_since;
    struct mono due_since[FSM_CLUSTERS_MAX]; /* Another one would better begin its plan, or carry it on. */
    bool busy;
    struct mono asked_at[FSM_CLUSTERS_MAX]; /* When it was looked at who would begin, */
    uint8_t would[FSM_CLUSTERS_MAX];        /* and who. */
    struct view scratch;
    struct plan_update update;
};

struct hand_over *hand_over_new(struct consensus *consensus, struct observe *observe, struct driver *driver)
{
    struct hand_over *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->consensus = consensus;
    h->observe = observe;
    h->driver = driver;
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
    memset(h->asked_at, 0, sizeof h->asked_at);
}

/* Each look costs as much as a round of every manager, and what it looks for should last. */
static uint8_t who_would_begin(struct hand_over *h, uint8_t cluster)
{
    struct mono now = clock_mono();
    struct plan_input input;
    if (mono_is_set(h->asked_at[cluster]) && mono_since_ms(now, h->asked_at[cluster]) < HAND_OVER_LOOK_MS)
        return h->would[cluster];
    h->asked_at[cluster] = now;
    bool has_input = driver_input(h->driver, cluster, &input);
    h->would[cluster] = has_input ? plan_hand_over_to_begin(&input, &h->scratch, &h->update) : HAND_OVER_NONE;
    return h->would[cluster];
}

static uint8_t better_leader(struct hand_over *h, uint8_t cluster, bool *is_urgent)
{
    const struct fsm_state *state = consensus_state(h->consensus);
    const struct view *view = state->clusters[cluster].used ? observe_view(h->observe, cluster) : NULL;
    if (!view) return HAND_OVER_NONE;
    uint8_t to = plan_hand_over(state, cluster, view, is_urgent);
    if (to == HAND_OVER_NONE && state->clusters[cluster].plan == 0) to = who_would_begin(h, cluster);
    return to < view->managers_n ? to : HAND_OVER_NONE;
}

void hand_over_run(struct hand_over *hand_over)
{
    struct hand_over *h = hand_over;
    const struct fsm_state *state = consensus_state(h->consensus);
    uint64_t term;
    if (h->busy || mono_before(clock_mono(), h->not_before) || !consensus_is_established(h->consensus, &term)) return;
    follow_term(h, term);
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX && !h->busy; c++) {
        bool is_urgent = false;
        uint8_t to = better_leader(h, c, &is_urgent);
        if (!is_due(h, c, to, is_urgent)) continue;
        const struct view *view = observe_view(h->observe, c);
        hand_over_to(h, &state->clusters[c], &view->managers[to]);
    }
}

void hand_over_free(struct hand_over *hand_over)
{
    free(hand_over);
}
