/* The healing: a random core becomes whole, and the rest stays broken. See nemesis.h.
 *
 * The core is a majority of the managers and, of each cluster, any set of servers; clients belong to it. Its processes
 * run, its disks and clocks are well, and the links within it carry everything at once. Who is outside stays as broken
 * as he was, or is broken anew: dead, frozen, cut off from all of the core or from some of it, in one direction or
 * both, behind links that lose, on a disk that is slow or full, with an applier that goes no further. That lasts to the
 * end of the world: the repairs that faults had scheduled for themselves come to nothing. Clients reach all servers, so
 * that one outside that is open is open for them. */
#include "sim/nemesis_private.h"

enum {
    LOSS_MIN_PPM = 20000,
    LOSS_MAX_PPM = 400000,
    LATENCY_US = 100, /* Of a good link. */
    JITTER_US = 50,
};

struct healing {
    struct nemesis *n;
    struct rng rng;
    uint64_t core;  /* Managers and servers of it. */
    uint64_t peers; /* All managers and servers. */
};

static uint64_t bit(sim_node node)
{
    return UINT64_C(1) << node;
}

static bool is_in(uint64_t set, sim_node node)
{
    return set >> node & 1;
}

/* --- who ---------------------------------------------------------------------------------------------------------- */

static void draw_managers(struct healing *h)
{
    struct world *w = h->n->world;
    unsigned left = w->managers_n, wanted = (unsigned)rng_between(&h->rng, w->managers_n / 2 + 1, w->managers_n);
    for (unsigned i = 0; i < w->managers_n; i++, left--) {
        bool is_drawn = rng_below(&h->rng, left) < wanted;
        h->peers |= bit(w->managers[i].node);
        if (!is_drawn) continue;
        h->core |= bit(w->managers[i].node);
        wanted--;
    }
}

static void draw_site(struct healing *h, const struct site *site)
{
    bool is_whole = rng_chance(&h->rng, 250000);
    for (unsigned i = 0; i < site->servers_n; i++) {
        sim_node node = mysqld_node(site->servers[i]);
        bool is_drawn = rng_chance(&h->rng, 700000);
        h->peers |= bit(node);
        if (is_whole || is_drawn) h->core |= bit(node);
    }
}

/* --- the core ----------------------------------------------------------------------------------------------------- */

static void go_on(struct sim *sim, sim_node node)
{
    sim_resume(sim, node);
    sim_host_thaw(sim, node);
}

static void heal_manager(struct manager *m)
{
    m->is_held = false;
    go_on(m->sim, m->node);
    sim_clock_drift(m->sim, m->node, 0);
    m->disk.is_full = false;
    m->disk.extra_us = 0;
    m->disk.crash_in = 0;
    sim_host_on(m->sim, m->node);
    if (sim_process(m->sim, m->node) == SIM_DEAD) (void)manager_boot(m);
}

static void heal_server(struct sim *sim, struct mysqld *m)
{
    go_on(sim, mysqld_node(m));
    nemesis_relieve(m);
    nemesis_start_server(sim, m);
}

static void heal_link(struct sim *sim, sim_node from, sim_node to)
{
    *sim_link(sim, from, to) = (struct sim_link){.latency_us = LATENCY_US, .jitter_us = JITTER_US};
}

/* Within the core, and of the clients. */
static void heal_links(struct healing *h)
{
    struct sim *sim = h->n->sim;
    uint64_t outside = h->peers & ~h->core;
    for (sim_node a = 1; a < sim_nodes_n(sim); a++) {
        for (sim_node b = 1; b < sim_nodes_n(sim); b++) {
            bool is_clients = !is_in(h->peers, a) || !is_in(h->peers, b);
            if (is_clients || (!is_in(outside, a) && !is_in(outside, b))) heal_link(sim, a, b);
        }
    }
}

/* --- outside ------------------------------------------------------------------------------------------------------ */

enum way { WAY_BOTH, WAY_IN, WAY_OUT, WAYS_N };

static void cut_off(struct healing *h, sim_node node, uint64_t from)
{
    struct sim *sim = h->n->sim;
    enum way way = (enum way)rng_below(&h->rng, WAYS_N);
    SIM_TRACE(sim, node, "FAULT stays cut off from %llx (%d)", (unsigned long long)from, (int)way);
    for (sim_node other = 1; other < sim_nodes_n(sim); other++) {
        if (!is_in(from, other)) continue;
        if (way != WAY_OUT) sim_link(sim, other, node)->cut = true;
        if (way != WAY_IN) sim_link(sim, node, other)->cut = true;
    }
}

static uint64_t some_of(struct healing *h, uint64_t set)
{
    uint64_t some = 0;
    for (sim_node a = 1; a < sim_nodes_n(h->n->sim); a++) {
        bool is_drawn = rng_chance(&h->rng, 500000);
        if (is_in(set, a) && is_drawn) some |= bit(a);
    }
    return some;
}

static void lose(struct healing *h, sim_node node)
{
    struct sim *sim = h->n->sim;
    uint32_t loss_ppm = (uint32_t)rng_log_between(&h->rng, LOSS_MIN_PPM, LOSS_MAX_PPM);
    uint32_t latency_us = (uint32_t)rng_log_between(&h->rng, LATENCY_US, 50 * SIM_MS);
    SIM_TRACE(sim, node, "FAULT stays behind links that lose %u ppm", loss_ppm);
    for (sim_node other = 1; other < sim_nodes_n(sim); other++) {
        if (!is_in(h->core, other)) continue;
        struct sim_link *to = sim_link(sim, node, other), *from = sim_link(sim, other, node);
        to->loss_ppm = from->loss_ppm = loss_ppm;
        to->latency_us = from->latency_us = latency_us;
    }
}

static void stop(struct healing *h, sim_node node, bool is_dead, bool is_host)
{
    struct sim *sim = h->n->sim;
    SIM_TRACE(sim, node, "FAULT stays %s", is_dead ? "dead" : is_host ? "frozen" : "paused");
    if (is_dead && is_host) sim_host_off(sim, node);
    else if (is_dead) sim_kill(sim, node);
    else if (is_host) sim_host_freeze(sim, node);
    else sim_pause(sim, node);
}

enum breaking { BREAK_DEAD, BREAK_STANDS_STILL, BREAK_CUT_ALL, BREAK_CUT_SOME, BREAK_LOSES, BREAK_DISK, BREAK_OTHER,
                BREAKS_N };

/* Breaks 'node' by cuts, losses or its end; false: in another way, by the caller. */
static bool break_node(struct healing *h, sim_node node, enum breaking how)
{
    bool is_host = rng_chance(&h->rng, 500000);
    uint64_t some = some_of(h, h->core);
    switch (how) {
    case BREAK_DEAD:
    case BREAK_STANDS_STILL: stop(h, node, how == BREAK_DEAD, is_host); return true;
    case BREAK_CUT_ALL: cut_off(h, node, h->core); return true;
    case BREAK_CUT_SOME: cut_off(h, node, some); return true;
    case BREAK_LOSES: lose(h, node); return true;
    case BREAK_DISK:
    case BREAK_OTHER:
    case BREAKS_N: break;
    }
    return false;
}

static void break_manager(struct healing *h, struct manager *m)
{
    enum breaking how = (enum breaking)rng_below(&h->rng, BREAKS_N);
    uint32_t slow_us = (uint32_t)rng_log_between(&h->rng, 5 * SIM_MS, 2 * SIM_S);
    if (how != BREAK_DEAD) heal_manager(m);
    if (break_node(h, m->node, how)) {
        m->is_held = sim_process(m->sim, m->node) == SIM_PAUSED;
        return;
    }
    SIM_TRACE(m->sim, m->node, "FAULT disk stays %s", how == BREAK_DISK ? "full" : "slow");
    if (how == BREAK_DISK) m->disk.is_full = true;
    else m->disk.extra_us = slow_us;
}

static void break_server(struct healing *h, struct mysqld *m)
{
    struct sim *sim = h->n->sim;
    sim_node node = mysqld_node(m);
    enum breaking how = (enum breaking)rng_below(&h->rng, BREAKS_N);
    uint32_t slow_us = (uint32_t)rng_log_between(&h->rng, 5 * SIM_MS, 1 * SIM_S);
    if (how != BREAK_DEAD) heal_server(sim, m);
    if (break_node(h, node, how)) return;
    SIM_TRACE(sim, node, "FAULT stays with %s", how == BREAK_DISK ? "a slow disk" : "its applier held");
    if (how == BREAK_DISK) mysqld_slow_disk(m, slow_us);
    else mysqld_hold_applier(m, true);
}

/* Not dead, not standing still, and reached by the core: staying as it is it would be well. */
static bool is_well(const struct healing *h, sim_node node)
{
    struct sim *sim = h->n->sim;
    if (sim_process(sim, node) != SIM_RUNNING || sim_host(sim, node) != SIM_HOST_UP) return false;
    for (sim_node other = 1; other < sim_nodes_n(sim); other++)
        if (is_in(h->core, other) && (sim_link(sim, node, other)->cut || sim_link(sim, other, node)->cut)) return false;
    return true;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void heal_managers(struct healing *h)
{
    struct world *w = h->n->world;
    for (unsigned i = 0; i < w->managers_n; i++) {
        struct manager *m = &w->managers[i];
        bool stays = rng_chance(&h->rng, 300000);
        if (is_in(h->core, m->node)) heal_manager(m);
        else if (!stays || is_well(h, m->node)) break_manager(h, m);
    }
}

static void heal_site(struct healing *h, struct site *site)
{
    for (unsigned i = 0; i < site->servers_n; i++) {
        sim_node node = mysqld_node(site->servers[i]);
        bool stays = rng_chance(&h->rng, 300000);
        if (is_in(h->core, node)) heal_server(h->n->sim, site->servers[i]);
        else if (!stays || is_well(h, node)) break_server(h, site->servers[i]);
    }
    nemesis_meddle_healed(h->n, site);
}

void nemesis_heal(struct nemesis *nemesis)
{
    struct world *w = nemesis->world;
    struct healing h = {.n = nemesis};
    nemesis->is_over = true;
    rng_init(&h.rng, w->seed, "core", 0);
    draw_managers(&h);
    for (unsigned i = 0; i < w->sites_n; i++) draw_site(&h, &w->sites[i]);
    w->core = h.core;
    SIM_TRACE(w->sim, SIM_WORLD, "the core heals: %llx of %llx", (unsigned long long)h.core,
              (unsigned long long)h.peers);
    heal_links(&h);
    heal_managers(&h);
    for (unsigned i = 0; i < w->sites_n; i++) heal_site(&h, &w->sites[i]);
}
