/* One seed's world. See world.h. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/check.h"
#include "sim/nemesis.h"
#include "sim/site.h"

struct world *the_world;

/* --- for managers ------------------------------------------------------------------------------------------------- */

sim_node world_manager_node(const struct world *world, uint64_t id)
{
    MUST(id >= 1 && id <= world->managers_n);
    return world->managers[id - 1].node;
}

struct manager *world_manager(struct world *world, const char *name)
{
    for (unsigned i = 0; i < world->managers_n; i++)
        if (text_equal(world->managers[i].name, name)) return &world->managers[i];
    MUST_NOT_REACH();
}

sim_node world_node_named(const struct world *world, const char *name)
{
    for (sim_node n = 1; n < sim_nodes_n(world->sim); n++)
        if (text_equal(sim_node_name(world->sim, n), name)) return n;
    MUST_NOT_REACH();
}

void world_members(const struct world *world, struct raft_node_member *out, unsigned *n)
{
    *n = world->managers_n;
    for (unsigned i = 0; i < world->managers_n; i++) {
        out[i].id = world->managers[i].id;
        (void)TEXT_COPY(out[i].name, world->managers[i].name);
        (void)TEXT_COPY(out[i].address, world->managers[i].address);
    }
}

bool world_credentials_missing(const struct world *world)
{
    (void)world;
    return false;
}

void world_note_leader(struct world *world, struct manager *manager)
{
    world->stats.leader_changes++;
    check_leader(world->check, manager);
}

void world_note_applied(struct world *world, struct manager *manager)
{
    check_applied(world->check, manager);
}

void world_note_proposal(struct world *world, struct manager *leader)
{
    if (world->nemesis) nemesis_propose(world->nemesis, leader);
}

void world_note_plan(struct world *world, const struct site *site)
{
    if (world->nemesis) nemesis_strike(world->nemesis, site);
}

void world_note_step(struct world *world, struct site *site, const struct fsm_plan *plan)
{
    if (world->nemesis) nemesis_step(world->nemesis, site, plan);
}

bool world_in_core(const struct world *world, sim_node node)
{
    return world->core >> node & 1;
}

struct manager *world_leader(struct world *world)
{
    struct manager *found = NULL;
    for (unsigned i = 0; i < world->managers_n; i++) {
        struct manager *m = &world->managers[i];
        bool runs = sim_process(world->sim, m->node) == SIM_RUNNING && sim_host(world->sim, m->node) == SIM_HOST_UP;
        bool is_newer = !found || m->status.term > found->status.term;
        if (runs && manager_leads(m) && is_newer) found = m;
    }
    return found;
}

void world_break(struct world *world, enum world_verdict verdict, const char *format, ...)
{
    va_list args;
    if (world->verdict != WORLD_OK) return;
    world->verdict = verdict;
    va_start(args, format);
    (void)vsnprintf(world->broken, sizeof world->broken, format, args);
    va_end(args);
    SIM_TRACE(world->sim, SIM_WORLD, "VIOLATION %s", world->broken);
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

static void make_managers(struct world *w)
{
    struct raft_configuration first;
    raft_configuration_init(&first);
    w->managers_n = rng_chance(&w->rng, 300000) ? 5 : 3;
    for (unsigned i = 0; i < w->managers_n; i++) manager_init(&w->managers[i], w, i);
    for (unsigned i = 0; i < w->managers_n; i++)
        MUST(raft_configuration_add(&first, w->managers[i].id, w->managers[i].address, RAFT_VOTER) == 0);
    uint32_t threshold = (uint32_t)rng_log_between(&w->rng, 16, 2048);
    uint32_t trailing = (uint32_t)rng_log_between(&w->rng, 1, 2048);
    for (unsigned i = 0; i < w->managers_n; i++) {
        struct manager *m = &w->managers[i];
        disk_init(&m->disk, w->seed, i, &first);
        m->disk.fsync_us = (uint32_t)rng_log_between(&w->rng, 100, 4000);
        m->disk.jitter_us = m->disk.fsync_us;
        m->config.snapshot_threshold = threshold;
        m->config.snapshot_trailing = trailing;
    }
    raft_configuration_close(&first);
}

static void boot_manager(void *arg)
{
    (void)manager_boot(arg);
}

static void after_event(void *arg)
{
    check_after_event(((struct world *)arg)->check);
}

struct world *world_new(const struct world_options *options)
{
    struct world *w = calloc(1, sizeof *w);
    MUST(w);
    the_world = w;
    w->options = *options;
    w->seed = options->seed;
    w->sim = sim_new(w->seed);
    rng_init(&w->rng, w->seed, "swarm", 0);
    w->raft_datagrams = rng_chance(&w->rng, 300000);
    make_managers(w);
    for (unsigned i = 0; i < 2 && options->sites_max > 0; i++) { /* One cluster more often than four. */
        unsigned drawn = (unsigned)rng_log_between(&w->rng, 1, options->sites_max);
        if (w->sites_n == 0 || drawn < w->sites_n) w->sites_n = drawn;
    }
    for (unsigned i = 0; i < w->sites_n; i++) site_init(&w->sites[i], w, i);
    w->check = check_new(w);
    w->nemesis = nemesis_new(w);
    sim_trace_on(w->sim, options->is_traced);
    sim_set_after_event(w->sim, after_event, w);
    return w;
}

void world_free(struct world *world)
{
    for (unsigned i = 0; i < world->sites_n; i++) site_free(&world->sites[i]);
    sim_free(world->sim);
    for (unsigned i = 0; i < world->managers_n; i++) manager_free(&world->managers[i]);
    nemesis_free(world->nemesis);
    check_free(world->check);
    free(world);
    the_world = NULL;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

/* False at a violation. */
static bool run_until(struct world *w, int64_t until_us)
{
    while (w->verdict == WORLD_OK && sim_step(w->sim, until_us)) {}
    return w->verdict == WORLD_OK;
}

/* For tests of what regent-sim does with a seed that fails. */
static void pretend(struct world *w)
{
    MUST(w->options.pretended != WORLD_CRASH);
    world_break(w, (enum world_verdict)w->options.pretended, "pretended: as --pretend asked for");
}

/* The liveness phase. */
static bool converge(struct world *w, int64_t until_us)
{
    while (sim_now_us(w->sim) < until_us) {
        int64_t next_us = sim_now_us(w->sim) + SIM_S;
        if (!run_until(w, next_us < until_us ? next_us : until_us)) return false;
        check_live(w->check);
    }
    return w->verdict == WORLD_OK;
}

static bool live(struct world *w)
{
    int64_t start_us = sim_now_us(w->sim);
    for (unsigned i = 0; i < w->managers_n; i++)
        sim_after(w->sim, SIM_WORLD, rng_between(&w->rng, 0, 300 * SIM_MS), boot_manager, &w->managers[i]);
    for (unsigned i = 0; i < w->sites_n; i++) site_start(&w->sites[i]);
    if (!run_until(w, start_us + 15 * SIM_S)) return false;
    check_calm(w->check);
    if (w->options.pretended != 0) pretend(w);
    nemesis_start(w->nemesis);
    int64_t storm_us = rng_between(&w->rng, 60, 180) * SIM_S;
    if (!run_until(w, sim_now_us(w->sim) + storm_us)) return false;
    w->is_healing = true;
    nemesis_heal(w->nemesis);
    if (!converge(w, start_us + storm_us + 75 * SIM_S)) return false;
    check_end(w->check);
    return w->verdict == WORLD_OK;
}

void world_run(struct world *world)
{
    int64_t start_us = sim_now_us(world->sim);
    (void)live(world);
    world->stats.simulated_us = sim_now_us(world->sim) - start_us;
    world->stats.events = sim_events_n(world->sim);
    world->stats.digest = sim_digest(world->sim);
}
