/* Plots: several faults together, each aimed at one rule of the failover, with the timing that a single fault hits once
 * in thousands of seeds. See nemesis.h.
 *
 * lag: acknowledged rows are received and not executed when the master is lost (A4).
 * acker: the acker restarts just before that, or after; what it held is forgotten (A4).
 * deaf: some managers lose the master, and only they (S6).
 * hide: managers lose the master, and then its acker, which hears it all the time (S6).
 * alone: the master waits for nobody any more, and is cut off, with its clients (A7).
 * wake: the master stands still, or is cut off, for as long as a failover takes, its clients waiting (A3).
 * split: the other replicas lag behind the acker, and it is not the one to be promoted (A4); or they receive
 * slowly (A5, A6).
 * wait: the acker is cut off, so that commits wait while the master is closed (§7: no KILL QUERY, semi-sync on). */
#include <stdlib.h>

#include "sim/nemesis_private.h"

/* Whom a plot is about. */
struct plot {
    struct nemesis *n;
    struct site *site;
    struct victim master, acker; /* acker.m NULL: there is none. */
};

static bool begin(struct nemesis *n, struct plot *p)
{
    struct world *w = n->world;
    struct site *site = &w->sites[rng_below(&n->rng, w->sites_n)];
    uint8_t master = check_master(w->check, site), acker = check_acker(w->check, site);
    *p = (struct plot){.n = n, .site = site};
    if (master >= site->servers_n) return false;
    p->master = nemesis_server(n, site, master);
    if (acker < site->servers_n) p->acker = nemesis_server(n, site, acker);
    return true;
}

static uint64_t bit_of(const struct victim *v)
{
    return UINT64_C(1) << v->node;
}

/* Each manager with this chance. */
static uint64_t some_managers(struct nemesis *n, uint32_t ppm)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < n->world->managers_n; i++)
        if (rng_chance(&n->rng, ppm)) bits |= UINT64_C(1) << n->world->managers[i].node;
    return bits;
}

/* Replicas that are neither master nor acker, each with this chance. */
static uint64_t some_replicas(const struct plot *p, uint32_t ppm)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < p->site->servers_n; i++) {
        struct victim v = nemesis_server(p->n, p->site, i);
        bool is_in = rng_chance(&p->n->rng, ppm);
        if (is_in && v.m != p->master.m && v.m != p->acker.m) bits |= bit_of(&v);
    }
    return bits;
}

/* --- losing a server ---------------------------------------------------------------------------------------------- */

enum loss { LOSS_KILL, LOSS_POWER, LOSS_FREEZE, LOSS_CUT, LOSSES_N };

struct blow {
    struct victim v;
    enum loss loss;
    int64_t for_us; /* Frozen, cut off. */
    uint64_t from;  /* Cut off from these nodes. */
};

static void strike(void *arg)
{
    struct blow *b = arg;
    struct nemesis *n = b->v.nemesis;
    static const char *const names[] = {"is killed", "loses power", "stands still", "is cut off"};
    if (!n->is_over) {
        SIM_TRACE(n->sim, b->v.node, "FAULT %s", names[b->loss]);
        n->world->stats.faults++;
        if (b->loss == LOSS_KILL) sim_kill(n->sim, b->v.node);
        if (b->loss == LOSS_POWER) sim_host_off(n->sim, b->v.node);
        if (b->loss == LOSS_FREEZE) {
            sim_host_freeze(n->sim, b->v.node);
            nemesis_later(&b->v, b->for_us, nemesis_go_on);
        }
        if (b->loss == LOSS_CUT) nemesis_cut_both(n, UINT64_C(1) << b->v.node, b->from, b->for_us);
    }
    free(b);
}

static void strike_later(const struct victim *v, enum loss loss, int64_t after_us, int64_t for_us)
{
    struct nemesis *n = v->nemesis;
    struct blow *b = malloc(sizeof *b);
    MUST(n);
    MUST(b);
    *b = (struct blow){.v = *v, .loss = loss, .for_us = for_us};
    for (unsigned i = 0; i < n->world->managers_n; i++) b->from |= UINT64_C(1) << n->world->managers[i].node;
    for (unsigned i = 0; i < v->site->servers_n; i++) b->from |= UINT64_C(1) << mysqld_node(v->site->servers[i]);
    b->from &= ~(UINT64_C(1) << v->node);
    sim_after(n->sim, SIM_WORLD, after_us, strike, b);
}

/* In any way; a dead one may be started again. */
static void lose_later(const struct victim *v, int64_t after_us)
{
    struct nemesis *n = v->nemesis;
    enum loss loss = (enum loss)rng_below(&n->rng, LOSSES_N);
    int64_t for_us = nemesis_time(n, 500 * SIM_MS, 20 * SIM_S), back_us = nemesis_time(n, 100 * SIM_MS, 40 * SIM_S);
    bool comes_back = rng_chance(&n->rng, 600000);
    strike_later(v, loss, after_us, for_us);
    if (comes_back) nemesis_later(v, after_us + back_us, nemesis_boot);
}

static void hold_applier(const struct victim *v, int64_t for_us)
{
    SIM_TRACE(v->nemesis->sim, v->node, "FAULT applier held");
    mysqld_hold_applier(v->m, true);
    nemesis_later(v, for_us, nemesis_trouble_ends);
}

/* --- plots -------------------------------------------------------------------------------------------------------- */

void nemesis_plot_lag(struct nemesis *n)
{
    struct plot p;
    int64_t after_us = nemesis_time(n, 100 * SIM_MS, 3 * SIM_S), more_us = nemesis_time(n, 300 * SIM_MS, 8 * SIM_S);
    if (!begin(n, &p) || !p.acker.m) return;
    hold_applier(&p.acker, after_us + more_us);
    for (unsigned i = 0; i < p.site->servers_n; i++) {
        struct victim v = nemesis_server(n, p.site, i);
        bool lags = rng_chance(&n->rng, 400000);
        if (lags && v.m != p.master.m && v.m != p.acker.m) hold_applier(&v, after_us + more_us);
    }
    lose_later(&p.master, after_us);
}

void nemesis_plot_acker(struct nemesis *n)
{
    struct plot p;
    int64_t hold_us = nemesis_time(n, 50 * SIM_MS, 2 * SIM_S), boot_us = nemesis_time(n, SIM_MS, 500 * SIM_MS);
    int64_t master_us = hold_us + rng_between(&n->rng, -40, 800) * SIM_MS;
    bool is_power = rng_chance(&n->rng, 400000), is_master_lost = rng_chance(&n->rng, 800000);
    if (!begin(n, &p) || !p.acker.m) return;
    hold_applier(&p.acker, hold_us + 2 * SIM_S);
    strike_later(&p.acker, is_power ? LOSS_POWER : LOSS_KILL, hold_us, 0);
    nemesis_later(&p.acker, hold_us + boot_us, nemesis_boot);
    if (is_master_lost) lose_later(&p.master, master_us > 0 ? master_us : 0);
}

void nemesis_plot_deaf(struct nemesis *n)
{
    struct plot p;
    static const uint32_t chances[] = {1000000, 700000, 350000};
    uint64_t managers = some_managers(n, chances[rng_below(&n->rng, ARRAY_LEN(chances))]);
    uint64_t lost = some_managers(n, 250000);
    bool is_one_way = rng_chance(&n->rng, 300000), are_replicas_deaf = rng_chance(&n->rng, 600000);
    int64_t for_us = nemesis_time(n, 2 * SIM_S, 12 * SIM_S);
    if (!begin(n, &p)) return;
    uint64_t master = bit_of(&p.master), replicas = some_replicas(&p, 800000);
    if (!p.acker.m && are_replicas_deaf) replicas = some_replicas(&p, 1000000); /* Nobody hears it, and it commits. */
    nemesis_cut(n, master, managers, for_us);
    if (!is_one_way) nemesis_cut(n, managers, master, for_us);
    if (are_replicas_deaf) nemesis_cut_both(n, master, replicas, for_us);
    for (unsigned i = 0; i < n->world->managers_n; i++) {
        struct manager *m = &n->world->managers[i];
        if (!(lost >> m->node & 1)) continue;
        SIM_TRACE(n->sim, m->node, "FAULT killed");
        sim_kill(n->sim, m->node);
        sim_after(n->sim, SIM_WORLD, for_us, nemesis_boot_manager, m);
    }
}

struct hiding {
    struct victim acker;
    int64_t for_us;
};

static void hide(void *arg)
{
    struct hiding *h = arg;
    struct nemesis *n = h->acker.nemesis;
    if (!n->is_over) nemesis_cut_both(n, bit_of(&h->acker), some_managers(n, 1000000), h->for_us);
    free(h);
}

/* The master commits, and its acker is the last one that says so: until no manager reaches that one either. What the
 * leader read of it before still looks fresh just then. */
void nemesis_plot_hide(struct nemesis *n)
{
    struct plot p;
    int64_t more_us = nemesis_time(n, 10 * SIM_MS, 3 * SIM_S), for_us = nemesis_time(n, 1 * SIM_S, 8 * SIM_S);
    bool are_replicas_deaf = rng_chance(&n->rng, 800000);
    if (!begin(n, &p) || !p.acker.m) return;
    int64_t silent_us = p.site->timeout_ms * (int64_t)SIM_MS + more_us;
    struct hiding *h = malloc(sizeof *h);
    MUST(h);
    *h = (struct hiding){p.acker, for_us};
    nemesis_cut_both(n, bit_of(&p.master), some_managers(n, 1000000), silent_us + for_us);
    if (are_replicas_deaf) nemesis_cut_both(n, bit_of(&p.master), some_replicas(&p, 1000000), silent_us + for_us);
    sim_after(n->sim, SIM_WORLD, silent_us, hide, h);
}

/* To stop its ackers ends nothing: it goes on to answer its clients. Mostly everybody knows by then. */
void nemesis_plot_alone(struct nemesis *n)
{
    struct plot p;
    int64_t after_us = nemesis_time(n, 500 * SIM_MS, 10 * SIM_S), for_us = nemesis_time(n, 3 * SIM_S, 20 * SIM_S);
    if (!begin(n, &p) || !nemesis_meddle_with(&p.master)) return;
    strike_later(&p.master, LOSS_CUT, after_us, for_us);
}

void nemesis_plot_wake(struct nemesis *n)
{
    struct plot p;
    bool is_cut = rng_chance(&n->rng, 400000), is_again = rng_chance(&n->rng, 300000);
    int64_t beyond_us = rng_between(&n->rng, -200, 1500) * SIM_MS, again_us = nemesis_time(n, SIM_MS, 2 * SIM_S);
    if (!begin(n, &p)) return;
    int64_t for_us = p.site->timeout_ms * (int64_t)SIM_MS + beyond_us;
    strike_later(&p.master, is_cut ? LOSS_CUT : LOSS_FREEZE, 0, for_us);
    if (is_again) strike_later(&p.master, LOSS_FREEZE, for_us + again_us, for_us);
}

void nemesis_plot_split(struct nemesis *n)
{
    struct plot p;
    int64_t cut_us = nemesis_time(n, 100 * SIM_MS, 2 * SIM_S), more_us = nemesis_time(n, 1 * SIM_S, 8 * SIM_S);
    uint64_t way = rng_below(&n->rng, 3);
    uint32_t slow_us = (uint32_t)nemesis_time(n, 5 * SIM_MS, 300 * SIM_MS);
    bool are_slow = rng_chance(&n->rng, 400000);
    if (!begin(n, &p) || !p.acker.m) return;
    uint64_t replicas = some_replicas(&p, 900000), managers = some_managers(n, 1000000);
    nemesis_cut_both(n, bit_of(&p.master), replicas, cut_us + more_us);
    lose_later(&p.master, cut_us);
    if (way == 0) mysqld_break_applier(p.acker.m, 1062);
    if (way == 1) nemesis_cut_both(n, bit_of(&p.acker), managers, cut_us + more_us);
    if (way == 2) hold_applier(&p.acker, cut_us + more_us);
    if (way == 0) nemesis_later(&p.acker, cut_us + more_us, nemesis_trouble_ends);
    for (unsigned i = 0; are_slow && i < p.site->servers_n; i++) {
        struct victim v = nemesis_server(n, p.site, i);
        if (!(replicas >> v.node & 1)) continue;
        SIM_TRACE(n->sim, v.node, "FAULT disk is slower by %u us", slow_us);
        mysqld_slow_disk(v.m, slow_us);
        nemesis_later(&v, cut_us + more_us, nemesis_trouble_ends);
    }
}

static void operator_asks(void *arg)
{
    struct victim *v = arg;
    struct nemesis *n = v->nemesis;
    if (!n->is_over) nemesis_ask_failover(n, v->site, FSM_SERVER_NONE);
    free(v);
}

void nemesis_plot_wait(struct nemesis *n)
{
    struct plot p;
    int64_t wait_us = nemesis_time(n, 50 * SIM_MS, 1500 * SIM_MS), for_us = nemesis_time(n, 2 * SIM_S, 10 * SIM_S);
    bool is_asked = rng_chance(&n->rng, 600000);
    if (!begin(n, &p) || !p.acker.m) return;
    nemesis_cut_both(n, bit_of(&p.master), bit_of(&p.acker), for_us);
    if (is_asked) nemesis_later(&p.master, wait_us, operator_asks);
    else strike_later(&p.master, LOSS_FREEZE, wait_us, p.site->timeout_ms * (int64_t)SIM_MS + wait_us);
}
