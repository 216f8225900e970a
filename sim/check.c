/* The checkers of agreement: S4, one leader a term, the invariants of fsm/. See check.h. */
#include "sim/check_private.h"

#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "proto/convert.h"

enum { LEADERLESS_US = 10 * SIM_S, LOOK_US = 3 * SIM_S };

uint64_t check_fold(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

uint64_t check_fold_text(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return check_fold(h, 0);
}

uint64_t check_fold_bytes(uint64_t h, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    return check_fold(h, size);
}

struct check *check_new(struct world *world)
{
    struct check *check = calloc(1, sizeof *check);
    MUST(check);
    check->world = world;
    for (unsigned i = 0; i < world->sites_n; i++) check_site_init(check, &check->sites[i], &world->sites[i]);
    return check;
}

void check_free(struct check *check)
{
    if (!check) return;
    for (unsigned i = 0; i < check->world->sites_n; i++) check_site_free(&check->sites[i]);
    free(check->at_index);
    free(check->snapshots);
    free(check);
}

/* --- S4 ----------------------------------------------------------------------------------------------------------- */

static uint64_t fold_reign(uint64_t h, const struct fsm_reign *r)
{
    h = check_fold(h, r->epoch);
    h = check_fold(h, r->token);
    h = check_fold(h, (uint64_t)r->master << 32 | r->k);
    h = check_fold(h, r->ackers);
    h = check_fold(h, (r->lossless ? 4u : 0) + (r->opened ? 2u : 0) + (r->unfenced ? 1u : 0));
    return check_fold_text(h, r->since);
}

static uint64_t fold_cluster(uint64_t h, const struct fsm_cluster *c)
{
    h = check_fold(h, c->epoch);
    h = check_fold(h, c->epoch_used);
    h = check_fold(h, c->plan);
    h = check_fold(h, c->version);
    h = check_fold(h, (uint64_t)c->master << 16 | (uint64_t)c->backup << 8 | c->paused);
    for (uint8_t i = 0; i < c->servers_n; i++) {
        h = check_fold(h, (uint64_t)c->servers[i].role << 8 | c->servers[i].state);
        h = check_fold_text(h, c->servers[i].reason);
        h = check_fold_text(h, c->servers[i].identity);
    }
    for (uint8_t i = 0; i < c->reigns_n; i++) h = fold_reign(h, &c->reigns[i]);
    return h;
}

/* Of what commands change; every CHECK_SNAPSHOT_EVERY-th index the snapshot's bytes are compared too. */
static uint64_t digest_of(const struct fsm_state *state)
{
    uint64_t h = check_fold(0, state->index);
    h = check_fold(h, state->events_n);
    h = check_fold(h, state->dedup_n);
    if (state->events_n > 0) {
        const struct fsm_event *e = &state->events[(state->events_n - 1) % FSM_EVENTS_MAX];
        h = check_fold(h, e->index);
        h = check_fold_text(h, e->kind);
        h = check_fold_text(h, e->text);
    }
    for (uint8_t c = 0; c < CLUSTERS_MAX; c++) {
        const struct fsm_cluster *cluster = &state->clusters[c];
        if (!cluster->used) continue;
        h = fold_cluster(h, cluster);
        const struct fsm_plan *plan = cluster->plan ? fsm_plan_find(state, cluster->plan) : NULL;
        if (!plan) continue;
        h = check_fold(h, (uint64_t)plan->step << 8 | plan->state);
        h = check_fold(h, (uint64_t)plan->to << 16 | (uint64_t)plan->acker << 8 | plan->holder);
        h = check_fold_text(h, plan->target);
    }
    return h | 1;
}

static void make_room(struct check *check, uint64_t index)
{
    size_t room = check->indexes_room;
    if (index < room) return;
    while (room <= index) room = room ? room * 2 : 1024;
    check->at_index = realloc(check->at_index, room * sizeof *check->at_index);
    check->snapshots = realloc(check->snapshots, room * sizeof *check->snapshots);
    MUST(check->at_index && check->snapshots);
    size_t more = room - check->indexes_room;
    memset(check->at_index + check->indexes_room, 0, more * sizeof *check->at_index);
    memset(check->snapshots + check->indexes_room, 0, more * sizeof *check->snapshots);
    check->indexes_room = room;
}

static void compare(struct check *check, const struct manager *m, uint64_t *seen, uint64_t digest)
{
    uint64_t index = manager_state(m)->index;
    if (*seen == 0) *seen = digest;
    if (*seen != digest)
        world_break(check->world, WORLD_SAFETY, "S4: %s holds another state behind index %llu than others have held",
                    m->name, (unsigned long long)index);
}

static void check_snapshot(struct check *check, const struct manager *m)
{
    const struct fsm_state *state = manager_state(m);
    void *data = NULL;
    size_t size = 0;
    MUST(proto_snapshot_encode(state, &data, &size) == 0);
    uint64_t h = check_fold_bytes(0, data, size);
    free(data);
    /* And what a snapshot may have left out: who restored one lacks it. */
    for (uint8_t c = 0; c < CLUSTERS_MAX; c++)
        if (state->clusters[c].used) h = check_fold_bytes(h, &state->clusters[c], sizeof state->clusters[c]);
    for (unsigned p = 0; p < FSM_PLANS_MAX; p++)
        if (state->plans[p].token != 0) h = check_fold_bytes(h, &state->plans[p], sizeof state->plans[p]);
    compare(check, m, &check->snapshots[state->index], h | 1);
}

void check_applied(struct check *check, const struct manager *manager)
{
    const struct fsm_state *state = manager_state(manager);
    unsigned i = manager->index;
    if (check->incarnation[i] != sim_incarnation(check->world->sim, manager->node)) {
        check->incarnation[i] = sim_incarnation(check->world->sim, manager->node);
        check->applied[i] = 0;
    }
    if (state->index < check->applied[i]) /* Equal: a snapshot of what it holds. */
        world_break(check->world, WORLD_SAFETY, "S4: %s went back from index %llu to %llu", manager->name,
                    (unsigned long long)check->applied[i], (unsigned long long)state->index);
    check->applied[i] = state->index;
    make_room(check, state->index);
    compare(check, manager, &check->at_index[state->index], digest_of(state));
    if (state->index % CHECK_SNAPSHOT_EVERY == 0) check_snapshot(check, manager);
    const char *broken = fsm_invariant(state);
    if (broken) world_break(check->world, WORLD_SAFETY, "FSM: %s: at index %llu of %s", broken,
                            (unsigned long long)state->index, manager->name);
    if (state->index <= check->newest) return;
    check->newest = state->index;
    if (sim_tracing(check->world->sim) && state->events_n > 0) {
        const struct fsm_event *e = &state->events[(state->events_n - 1) % FSM_EVENTS_MAX];
        bool is_new = e->index == state->index;
        bool has_evidence = is_new && e->evidence[0] != '\0';
        if (is_new) sim_trace(check->world->sim, manager->node, "%s %s: %s", e->cluster, e->kind, e->text);
        if (has_evidence) sim_trace(check->world->sim, manager->node, "%s evidence: %s", e->cluster, e->evidence);
    }
    for (unsigned s = 0; s < check->world->sites_n; s++) check_site_follow(&check->sites[s], state);
}

void check_answer(struct check *check, const struct manager *manager, uint64_t since, const struct fsm_result *result)
{
    if (result->code == FSM_EXPIRED || result->index > since) return;
    world_break(check->world, WORLD_SAFETY, "S4: a command that %s made after index %llu has the answer of index %llu",
                manager->name, (unsigned long long)since, (unsigned long long)result->index);
}

void check_repeated(struct check *check, const struct fsm_result *first, const struct fsm_result *again)
{
    bool is_expired = first->code == FSM_EXPIRED || again->code == FSM_EXPIRED; /* It never takes effect. */
    if (is_expired || first->index == again->index) return;
    world_break(check->world, WORLD_SAFETY, "S4: a command took effect at index %llu, and again at index %llu",
                (unsigned long long)first->index, (unsigned long long)again->index);
}

void check_leader(struct check *check, const struct manager *manager)
{
    uint64_t term = manager->status.term;
    MUST(term < CHECK_TERMS_MAX);
    uint64_t *leader = &check->leaders[term];
    if (*leader != 0 && *leader != manager->id)
        world_break(check->world, WORLD_SAFETY, "S4: m%llu and m%llu led in term %llu", (unsigned long long)*leader,
                    (unsigned long long)manager->id, (unsigned long long)term);
    *leader = manager->id;
    check->lead_before_us = check->lead_since_us;
    check->lead_since_us = sim_now_us(check->world->sim);
    for (unsigned i = 0; i < check->world->sites_n; i++)
        if (check->sites[i].plan != 0 && check->sites[i].epoch != 0) check->world->stats.leader_changed_in_plan = true;
}

uint8_t check_master(const struct check *check, const struct site *site)
{
    return check->sites[site->index].master;
}

uint8_t check_acker(const struct check *check, const struct site *site)
{
    fsm_set ackers = check->sites[site->index].ackers;
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
        if (fsm_set_has(ackers, i)) return i;
    return FSM_SERVER_NONE;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

void check_after_event(struct check *check)
{
    for (unsigned i = 0; i < check->world->sites_n; i++)
        if (sim_touched_any(check->world->sim, &check->sites[i].nodes)) check_site_look(&check->sites[i]);
}

void check_calm(struct check *check)
{
    for (unsigned i = 0; i < check->world->sites_n; i++) check_site_calm(&check->sites[i]);
}

void check_live(struct check *check)
{
    if (check->healed_us == 0) check->healed_us = sim_now_us(check->world->sim);
    bool is_led = world_leader(check->world) != NULL;
    if (is_led) check->leaderless_since_us = 0;
    else if (check->leaderless_since_us == 0) check->leaderless_since_us = sim_now_us(check->world->sim);
    if (!is_led) return;
    for (unsigned i = 0; i < check->world->sites_n; i++) check_live_look(&check->sites[i]);
}

bool check_is_cut_off(const struct world *world, sim_node node)
{
    if (world_in_core(world, node)) return false;
    for (unsigned i = 0; i < world->managers_n; i++) {
        sim_node m = world->managers[i].node;
        bool is_cut = sim_link(world->sim, node, m)->cut || sim_link(world->sim, m, node)->cut;
        if (world_in_core(world, m) && is_cut) return true;
    }
    return false;
}

/* A manager outside the core holds the lead, and those of the core that it is cut off from cannot take it over: who
 * hears it votes for nobody else. It may commit nothing, when who hears it cannot write (docs/limits.md). */
static bool is_held_outside(const struct world *w)
{
    for (unsigned i = 0; i < w->managers_n; i++) {
        const struct manager *leader = &w->managers[i];
        bool is_leader = manager_lives(leader) && leader->status.role == RAFT_NODE_LEADER;
        if (is_leader && check_is_cut_off(w, leader->node)) return true;
    }
    return false;
}

void check_end(struct check *check)
{
    struct world *w = check->world;
    uint64_t index = 0;
    for (unsigned i = 0; i < w->managers_n; i++) {
        if (!manager_lives(&w->managers[i])) continue;
        const struct fsm_state *state = manager_state(&w->managers[i]);
        if (state->index > index) index = state->index;
        make_room(check, state->index);
        check_snapshot(check, &w->managers[i]);
    }
    /* One that is handing over, or has just come, has not looked at its clusters yet. */
    int64_t now_us = sim_now_us(w->sim);
    bool is_led = world_leader(w) != NULL, is_settled = is_led && now_us - check->lead_since_us >= LOOK_US;
    bool is_long = check->leaderless_since_us != 0 && now_us - check->leaderless_since_us >= LEADERLESS_US;
    if (!is_led && is_long && !is_held_outside(w))
        world_break(w, WORLD_LIVENESS, "L: a healed majority of managers has no leader");
    for (unsigned i = 0; i < w->sites_n; i++) check_site_end(&check->sites[i]);
    for (unsigned i = 0; w->options.checks_live && is_settled && i < w->sites_n; i++) check_live_end(&check->sites[i]);
}
