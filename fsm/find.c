/* Finders in the replicated state. PURE. */
#include "fsm/state.h"
#include "lib/base/text.h"

const struct fsm_cluster *fsm_cluster_find(const struct fsm_state *state, const char *name)
{
    for (size_t i = 0; i < FSM_CLUSTERS_MAX; i++) {
        const struct fsm_cluster *cluster = &state->clusters[i];
        if (cluster->used && text_equal(cluster->name, name)) return cluster;
    }
    return NULL;
}

uint8_t fsm_cluster_index(const struct fsm_state *state, const struct fsm_cluster *cluster)
{
    MUST(cluster >= state->clusters && cluster < state->clusters + FSM_CLUSTERS_MAX);
    return (uint8_t)(cluster - state->clusters);
}

uint8_t fsm_server_find(const struct fsm_cluster *cluster, const char *name)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (text_equal(cluster->servers[i].name, name)) return i;
    }
    return FSM_SERVER_NONE;
}

const struct fsm_plan *fsm_plan_find(const struct fsm_state *state, uint64_t token)
{
    if (token == 0) return NULL;
    for (size_t i = 0; i < FSM_PLANS_MAX; i++) {
        if (state->plans[i].token == token) return &state->plans[i];
    }
    return NULL;
}

const struct fsm_member *fsm_member_find(const struct fsm_state *state, uint64_t id)
{
    for (uint8_t i = 0; i < state->members_n; i++) {
        if (state->members[i].id == id) return &state->members[i];
    }
    return NULL;
}

const struct fsm_member *fsm_member_named(const struct fsm_state *state, const char *name)
{
    for (uint8_t i = 0; i < state->members_n; i++) {
        if (text_equal(state->members[i].name, name)) return &state->members[i];
    }
    return NULL;
}

const struct fsm_token *fsm_token_find(const struct fsm_state *state, uint64_t id)
{
    for (uint8_t i = 0; i < state->tokens_n; i++) {
        if (state->tokens[i].id == id) return &state->tokens[i];
    }
    return NULL;
}

bool fsm_member_is_removed(const struct fsm_state *state, uint64_t id)
{
    return id < state->members_next && fsm_member_find(state, id) == NULL && fsm_token_find(state, id) == NULL;
}

const struct fsm_reign *fsm_reign_current(const struct fsm_cluster *cluster)
{
    if (cluster->epoch == 0) return NULL;
    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        if (cluster->reigns[i].epoch == cluster->epoch) return &cluster->reigns[i];
    }
    return NULL;
}
