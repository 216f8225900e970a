/* Faults. See nemesis.h. */
#include "sim/nemesis_private.h"

#include <stdlib.h>

int64_t nemesis_time(struct nemesis *n, int64_t low_us, int64_t high_us)
{
    return rng_log_between(&n->rng, low_us, high_us);
}

static struct manager *some_manager(struct nemesis *n)
{
    struct world *w = n->world;
    struct manager *leader = world_leader(w);
    if (leader && rng_chance(&n->rng, 500000)) return leader;
    return &w->managers[rng_below(&n->rng, w->managers_n)];
}

/* --- managers ----------------------------------------------------------------------------------------------------- */

/* The core has healed: what outsiders would do for themselves is left. */
static bool is_over_for(const struct manager *m)
{
    return m->world->nemesis->is_over;
}

void nemesis_boot_manager(void *arg)
{
    struct manager *m = arg;
    if (is_over_for(m) || sim_process(m->sim, m->node) != SIM_DEAD) return;
    sim_host_on(m->sim, m->node);
    if (sim_host(m->sim, m->node) == SIM_HOST_UP) (void)manager_boot(m);
}

static void boot_later(struct nemesis *n, struct manager *m)
{
    sim_after(n->sim, SIM_WORLD, nemesis_time(n, 20 * SIM_MS, 20 * SIM_S), nemesis_boot_manager, m);
}

static void kill_manager(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    SIM_TRACE(n->sim, m->node, "FAULT killed");
    sim_kill(n->sim, m->node);
    boot_later(n, m);
}

static void power_off_manager(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    SIM_TRACE(n->sim, m->node, "FAULT host loses power");
    sim_host_off(n->sim, m->node);
    boot_later(n, m);
}

void nemesis_resume_manager(void *arg)
{
    struct manager *m = arg;
    if (is_over_for(m)) return;
    m->is_held = false;
    sim_resume(m->sim, m->node);
    sim_host_thaw(m->sim, m->node);
    SIM_TRACE(m->sim, m->node, "goes on");
}

static void pause_manager(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    bool is_host = rng_chance(&n->rng, 300000);
    SIM_TRACE(n->sim, m->node, "FAULT %s", is_host ? "host stands still" : "paused");
    if (is_host) {
        sim_host_freeze(n->sim, m->node);
    } else {
        m->is_held = true;
        sim_pause(n->sim, m->node);
    }
    sim_after(n->sim, SIM_WORLD, nemesis_time(n, 50 * SIM_MS, 20 * SIM_S), nemesis_resume_manager, m);
}

static void crash_at_write(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    m->disk.crash_in = (unsigned)rng_log_between(&n->rng, 1, 30);
    SIM_TRACE(n->sim, m->node, "FAULT will crash at its write number %u", m->disk.crash_in);
    boot_later(n, m);
}

static void mend_disk(void *arg)
{
    struct manager *m = arg;
    if (is_over_for(m)) return;
    m->disk.is_full = false;
    m->disk.extra_us = 0;
    SIM_TRACE(m->sim, m->node, "disk is well again");
    if (m->consensus == NULL) nemesis_boot_manager(m);
}

static void trouble_disk(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    bool is_full = rng_chance(&n->rng, 400000);
    SIM_TRACE(n->sim, m->node, "FAULT disk is %s", is_full ? "full" : "slow");
    if (is_full) m->disk.is_full = true;
    else m->disk.extra_us = (uint32_t)rng_log_between(&n->rng, 5 * SIM_MS, 2 * SIM_S);
    sim_after(n->sim, SIM_WORLD, nemesis_time(n, 200 * SIM_MS, 20 * SIM_S), mend_disk, m);
}

static void trouble_clock(struct nemesis *n)
{
    struct manager *m = some_manager(n);
    if (rng_chance(&n->rng, 500000)) {
        int64_t by_us = rng_log_between(&n->rng, SIM_MS, 3600 * (int64_t)SIM_S);
        if (rng_chance(&n->rng, 500000)) by_us = -by_us;
        SIM_TRACE(n->sim, m->node, "FAULT wall clock jumps by %lld us", (long long)by_us);
        sim_clock_jump(n->sim, m->node, by_us);
    } else {
        int32_t ppm = (int32_t)rng_between(&n->rng, -1000, 1000);
        SIM_TRACE(n->sim, m->node, "FAULT clocks drift by %d ppm", ppm);
        sim_clock_drift(n->sim, m->node, ppm);
    }
}

/* --- network ------------------------------------------------------------------------------------------------------ */

struct cut {
    struct nemesis *nemesis;
    uint64_t side[2]; /* Bits of nodes: from the first to the second. */
};

static void set_cut(struct nemesis *n, const struct cut *cut, bool is_cut)
{
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++)
        for (sim_node b = 1; b < sim_nodes_n(n->sim); b++)
            if ((cut->side[0] >> a & 1) && (cut->side[1] >> b & 1)) sim_link(n->sim, a, b)->cut = is_cut;
}

static void heal_cut(void *arg)
{
    struct cut *cut = arg;
    bool is_over = cut->nemesis->is_over;
    if (!is_over) SIM_TRACE(cut->nemesis->sim, SIM_WORLD, "network heals");
    if (!is_over) set_cut(cut->nemesis, cut, false);
    free(cut);
}

void nemesis_cut(struct nemesis *n, uint64_t from, uint64_t to, int64_t for_us)
{
    struct cut *cut = malloc(sizeof *cut);
    MUST(cut);
    *cut = (struct cut){n, {from, to}};
    SIM_TRACE(n->sim, SIM_WORLD, "FAULT cut from %llx to %llx", (unsigned long long)from, (unsigned long long)to);
    set_cut(n, cut, true);
    sim_after(n->sim, SIM_WORLD, for_us, heal_cut, cut);
}

void nemesis_cut_both(struct nemesis *n, uint64_t a, uint64_t b, int64_t for_us)
{
    nemesis_cut(n, a, b, for_us);
    nemesis_cut(n, b, a, for_us);
}

static void partition(struct nemesis *n)
{
    uint64_t all = 0, side = 0;
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++) {
        all |= UINT64_C(1) << a;
        if (rng_chance(&n->rng, 400000)) side |= UINT64_C(1) << a;
    }
    int64_t for_us = nemesis_time(n, 100 * SIM_MS, 30 * SIM_S);
    bool is_one_way = rng_chance(&n->rng, 300000);
    nemesis_cut(n, side, all & ~side, for_us);
    if (!is_one_way) nemesis_cut(n, all & ~side, side, for_us);
}

static void isolate(struct nemesis *n)
{
    uint64_t all = 0, node = UINT64_C(1) << (1 + rng_below(&n->rng, sim_nodes_n(n->sim) - 1u));
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++) all |= UINT64_C(1) << a;
    int64_t for_us = nemesis_time(n, 100 * SIM_MS, 30 * SIM_S);
    uint64_t way = rng_below(&n->rng, 3);
    if (way != 0) nemesis_cut(n, node, all & ~node, for_us);
    if (way != 1) nemesis_cut(n, all & ~node, node, for_us);
}

static void cut_pair(struct nemesis *n)
{
    uint64_t nodes = sim_nodes_n(n->sim) - 1u;
    uint64_t a = 1 + rng_below(&n->rng, nodes), b = 1 + rng_below(&n->rng, nodes);
    if (a == b) return;
    int64_t for_us = nemesis_time(n, 100 * SIM_MS, 30 * SIM_S);
    nemesis_cut(n, UINT64_C(1) << a, UINT64_C(1) << b, for_us);
    if (rng_chance(&n->rng, 600000)) nemesis_cut(n, UINT64_C(1) << b, UINT64_C(1) << a, for_us);
}

static void calm_network(void *arg)
{
    struct nemesis *n = arg;
    if (n->is_over) return;
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++) {
        for (sim_node b = 1; b < sim_nodes_n(n->sim); b++) {
            struct sim_link *link = sim_link(n->sim, a, b);
            *link = (struct sim_link){.cut = link->cut, .latency_us = 100, .jitter_us = 50};
        }
    }
}

static void bad_network(struct nemesis *n)
{
    uint32_t loss_ppm = (uint32_t)rng_log_between(&n->rng, 100, 200000);
    uint32_t dup_ppm = (uint32_t)rng_log_between(&n->rng, 100, 200000);
    uint32_t latency_us = (uint32_t)rng_log_between(&n->rng, 100, 50 * SIM_MS);
    uint32_t jitter_us = (uint32_t)rng_log_between(&n->rng, 50, 20 * SIM_MS);
    SIM_TRACE(n->sim, SIM_WORLD, "FAULT network: latency %u us, jitter %u us, loss %u ppm", latency_us, jitter_us,
              loss_ppm);
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++) {
        for (sim_node b = 1; b < sim_nodes_n(n->sim); b++) {
            struct sim_link *link = sim_link(n->sim, a, b);
            *link = (struct sim_link){link->cut, latency_us, jitter_us, loss_ppm, dup_ppm};
        }
    }
    sim_after(n->sim, SIM_WORLD, nemesis_time(n, 500 * SIM_MS, 20 * SIM_S), calm_network, n);
}

/* --- the mix ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    fault_fn *fn;
    bool on_servers;
} faults[] = {
    {"kill-manager", kill_manager, false},
    {"power-manager", power_off_manager, false},
    {"pause-manager", pause_manager, false},
    {"crash-at-write", crash_at_write, false},
    {"manager-disk", trouble_disk, false},
    {"manager-clock", trouble_clock, false},
    {"transfer", nemesis_transfer, false},
    {"partition", partition, false},
    {"isolate", isolate, false},
    {"cut-pair", cut_pair, false},
    {"bad-network", bad_network, false},
    {"kill-server", nemesis_kill_server, true},
    {"power-server", nemesis_power_server, true},
    {"pause-server", nemesis_pause_server, true},
    {"stop-server", nemesis_stop_server, true},
    {"server-disk", nemesis_server_disk, true},
    {"server-applier", nemesis_server_applier, true},
    {"server-logins", nemesis_server_logins, true},
    {"server-clock", nemesis_server_clock, true},
    {"purge", nemesis_purge, true},
    {"errant", nemesis_errant, true},
    {"operator-failover", nemesis_operator_failover, true},
    {"blow", nemesis_blow, true},
    {"plot-lag", nemesis_plot_lag, true},
    {"plot-acker", nemesis_plot_acker, true},
    {"plot-deaf", nemesis_plot_deaf, true},
    {"plot-wake", nemesis_plot_wake, true},
    {"plot-split", nemesis_plot_split, true},
    {"plot-wait", nemesis_plot_wait, true},
    {"plot-hide", nemesis_plot_hide, true},
    {"meddle", nemesis_meddle, true},
    {"plot-alone", nemesis_plot_alone, true},
};

enum { PLOTS_FROM = 23 }; /* The first plot in 'faults'. */

/* Each fault has chance of its own, so that leaving one out (--minimise) does not change what the others are. */
static void next_fault(void *arg)
{
    struct nemesis *n = arg;
    if (n->is_over) return;
    uint64_t at = rng_below(&n->pace, n->weights_sum);
    unsigned kind = 0;
    while (at >= n->weight[kind]) at -= n->weight[kind++];
    unsigned number = n->number++;
    rng_init(&n->rng, n->world->seed, "fault", number);
    bool is_left_out = number < NEMESIS_FAULTS_MAX && n->world->options.leave_out[number];
    if (!is_left_out) {
        n->world->stats.faults++;
        SIM_TRACE(n->sim, SIM_WORLD, "FAULT %u: %s", number, faults[kind].name);
        faults[kind].fn(n);
    }
    int64_t pause_us = rng_log_between(&n->pace, 10 * SIM_MS, n->pause_max_us);
    sim_after(n->sim, SIM_WORLD, pause_us, next_fault, n);
}

struct nemesis *nemesis_new(struct world *world)
{
    struct nemesis *n = calloc(1, sizeof *n);
    MUST(n);
    n->world = world;
    n->sim = world->sim;
    rng_init(&n->pace, world->seed, "nemesis", 0);
    rng_init(&n->strikes, world->seed, "strikes", 0);
    while (n->weights_sum == 0) {
        for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
            if (i >= PLOTS_FROM && !world->options.has_plots) break;
            struct rng *rng = i >= PLOTS_FROM ? &n->strikes : &n->pace; /* So that groups alone live as ever. */
            bool is_in = rng_chance(rng, 500000);
            uint32_t weight = (uint32_t)rng_log_between(rng, 1, 64);
            n->weight[i] = is_in && (world->sites_n > 0 || !faults[i].on_servers) ? weight : 0;
            n->weights_sum += n->weight[i];
        }
    }
    n->pause_max_us = rng_log_between(&n->pace, 4, 30) * SIM_S;
    return n;
}

void nemesis_free(struct nemesis *nemesis)
{
    free(nemesis);
}

/* Most seeds begin with a plot against clusters that are whole: later ones find less to break. */
static void begin_with_plots(struct nemesis *n)
{
    static fault_fn *const openings[] = {
        nemesis_blow, nemesis_plot_lag, nemesis_plot_acker, nemesis_plot_deaf, nemesis_plot_wake, nemesis_plot_split,
        nemesis_plot_wait, nemesis_plot_hide, nemesis_plot_alone,
    };
    for (unsigned i = 0; i < n->world->sites_n; i++) {
        rng_init(&n->rng, n->world->seed, "opening", i);
        bool comes = rng_chance(&n->rng, 700000);
        uint64_t kind = rng_below(&n->rng, ARRAY_LEN(openings));
        bool is_deaf = n->world->sites[i].durability == DURABILITY_ASYNC && kind > 0; /* Without an acker. */
        if (comes) (is_deaf ? nemesis_plot_deaf : openings[kind])(n);
    }
    int64_t after_us = nemesis_time(n, SIM_MS, 8 * SIM_S);
    sim_after(n->sim, SIM_WORLD, after_us, next_fault, n);
}

void nemesis_start(struct nemesis *nemesis)
{
    bool has_sites = nemesis->world->sites_n > 0;
    if (has_sites && nemesis->world->options.has_plots) {
        begin_with_plots(nemesis);
        return;
    }
    rng_init(&nemesis->rng, nemesis->world->seed, "opening", 0);
    if (has_sites && rng_chance(&nemesis->rng, 500000)) nemesis_blow(nemesis);
    next_fault(nemesis);
}
