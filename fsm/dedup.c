/* The dedup window: a repeated request gets its first result again, one older than the window is refused (DESIGN §5).
 * PURE. */
#include <string.h>

#include "fsm/apply.h"
#include "fsm/internal.h"
#include "lib/base/mutant.h"

const struct fsm_dedup *fsm_dedup_find(const struct fsm_state *state, struct fsm_request_id id)
{
    uint64_t kept = state->dedup_n < FSM_DEDUP_MAX ? state->dedup_n : FSM_DEDUP_MAX;

    /* Youngest first: repeats come soon after the first. */
    for (uint64_t i = 1; i <= kept; i++) {
        const struct fsm_dedup *entry = &state->dedup[(state->dedup_n - i) % FSM_DEDUP_MAX];
        bool is_client = entry->client == id.client || MUTANT(dedup_half);
        if (is_client && entry->seq == id.seq) return entry;
    }
    return NULL;
}

bool fsm_dedup_is_expired(const struct fsm_state *state, struct fsm_request_id id)
{
    return id.since < state->dedup_floor && fsm_dedup_find(state, id) == NULL;
}

void fsm_dedup_add(struct fsm_state *state, struct fsm_request_id id, const struct fsm_result *result)
{
    struct fsm_dedup *entry = &state->dedup[state->dedup_n % FSM_DEDUP_MAX];

    if (state->dedup_n >= FSM_DEDUP_MAX) state->dedup_floor = entry->index;
    memset(entry, 0, sizeof(*entry));
    entry->client = id.client;
    entry->seq = id.seq;
    entry->index = result->index;
    entry->code = (int32_t)result->code;
    entry->value = result->value;
    state->dedup_n++;
}
