/* Blows in the middle of a plan: as it is proposed, at its begin, and as each of its steps is committed, one of those
 * that take part is hit. See nemesis.h. Their chance is a stream of its own, drawn at that moment. */
#include <stdlib.h>

#include "sim/nemesis_private.h"

/* --- the leader, as a plan begins --------------------------------------------------------------------------------- */

/* The same manager leads as a moment before; it dies, stands still, is cut off, or hands over. */
static void strike_leader(void *arg)
{
    struct nemesis *n = arg;
    struct manager *m = world_leader(n->world);
    if (n->is_over || !m) return;
    n->world->stats.faults++;
    SIM_TRACE(n->sim, m->node, "FAULT in the middle of a plan");
    switch (rng_below(&n->rng, 4)) {
    case 0: sim_kill(n->sim, m->node); break;
    case 1: sim_host_off(n->sim, m->node); break;
    case 2: m->is_held = true; sim_pause(n->sim, m->node); break;
    default: nemesis_transfer(n); return;
    }
    int64_t after_us = nemesis_time(n, 20 * SIM_MS, 10 * SIM_S);
    sim_after(n->sim, SIM_WORLD, after_us, m->is_held ? nemesis_resume_manager : nemesis_boot_manager, m);
}

void nemesis_strike(struct nemesis *n, const struct site *site)
{
    struct rng *rng = &n->strikes;
    (void)site;
    bool comes = rng_chance(rng, 600000);
    int64_t after_us = rng_log_between(rng, 100, 400 * SIM_MS);
    if (comes && !n->is_over) sim_after(n->sim, SIM_WORLD, after_us, strike_leader, n);
}

static uint64_t all_managers(const struct nemesis *n)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < n->world->managers_n; i++) bits |= UINT64_C(1) << n->world->managers[i].node;
    return bits;
}

/* --- the managers, between the proposal of a plan and its commit -------------------------------------------------- */

/* Blows between proposal and commit: the answers to the leader are lost at once, then the managers lose each other.
 * What was proposed is in the logs of most by then, and committed by another leader when they meet again: long after
 * the master that it replaces has come back (S6; plan/reconsider.c). */
enum { HEARD_US = 20 * SIM_MS, APART_MIN_S = 5, APART_MAX_S = 14 };

struct parting {
    struct nemesis *n;
    int64_t for_us;
};

static void part(void *arg)
{
    struct parting *p = arg;
    uint64_t managers = all_managers(p->n);
    if (!p->n->is_over) nemesis_cut(p->n, managers, managers, p->for_us);
    free(p);
}

void nemesis_propose(struct nemesis *n, struct manager *leader)
{
    if (!n->world->options.has_plots) return;
    bool comes = rng_chance(&n->strikes, 100000);
    int64_t for_us = rng_between(&n->strikes, APART_MIN_S, APART_MAX_S) * SIM_S;
    if (!comes || n->is_over) return;
    struct parting *p = malloc(sizeof *p);
    MUST(p);
    *p = (struct parting){n, for_us};
    n->world->stats.faults++;
    SIM_TRACE(n->sim, leader->node, "FAULT as it proposes a failover");
    nemesis_cut(n, all_managers(n) & ~(UINT64_C(1) << leader->node), UINT64_C(1) << leader->node, for_us);
    sim_after(n->sim, SIM_WORLD, HEARD_US, part, p);
}

/* --- whoever takes part, as a step begins ------------------------------------------------------------------------- */

enum strike_kind {
    STRIKE_ISOLATE_LEADER, /* What it has sent arrives when the network heals: a stale actor (S3). */
    STRIKE_PAUSE_LEADER,
    STRIKE_KILL_CANDIDATE,
    STRIKE_FREEZE_CANDIDATE,
    STRIKE_HIDE_CANDIDATE, /* From the managers: it may be open, and nobody knows (A8). */
    STRIKE_RESTART_ACKER,
    STRIKE_RETURN_MASTER,  /* The old one is there again, clients and all. */
    STRIKES_N,
};

struct strike {
    struct nemesis *n;
    struct site *site;
    enum strike_kind kind;
    int64_t for_us;
    bool is_deaf; /* The leader, when it goes on. */
    uint8_t from, to, acker;
};

static uint64_t all_but(const struct nemesis *n, sim_node node)
{
    uint64_t bits = 0;
    for (sim_node a = 1; a < sim_nodes_n(n->sim); a++) bits |= UINT64_C(1) << a;
    return bits & ~(UINT64_C(1) << node);
}

static void hit_leader(const struct strike *s, struct manager *m)
{
    struct nemesis *n = s->n;
    if (s->kind == STRIKE_ISOLATE_LEADER) {
        nemesis_cut_both(n, UINT64_C(1) << m->node, all_but(n, m->node), s->for_us);
    } else {
        m->is_held = true;
        sim_pause(n->sim, m->node);
        sim_after(n->sim, SIM_WORLD, s->for_us, nemesis_resume_manager, m);
        /* When it goes on it has not heard yet that another one leads, and acts until it misses the others (S3). */
        uint64_t others = all_managers(n) & ~(UINT64_C(1) << m->node);
        if (s->is_deaf) nemesis_cut_both(n, UINT64_C(1) << m->node, others, s->for_us + 2 * SIM_S);
    }
}

static void hit_server(const struct strike *s, uint8_t server)
{
    struct nemesis *n = s->n;
    if (server >= s->site->servers_n) return;
    struct victim v = nemesis_server(n, s->site, server);
    SIM_TRACE(n->sim, v.node, "FAULT in the middle of a plan: %d", (int)s->kind);
    if (s->kind == STRIKE_HIDE_CANDIDATE) {
        nemesis_cut_both(n, UINT64_C(1) << v.node, all_managers(n), s->for_us);
    } else if (s->kind == STRIKE_FREEZE_CANDIDATE) {
        sim_host_freeze(n->sim, v.node);
        nemesis_later(&v, s->for_us, nemesis_go_on);
    } else if (s->kind == STRIKE_RETURN_MASTER) {
        nemesis_later(&v, 0, nemesis_go_on);
        nemesis_later(&v, 0, nemesis_boot);
    } else {
        sim_kill(n->sim, v.node);
        nemesis_later(&v, s->for_us, nemesis_boot);
    }
}

static void strike(void *arg)
{
    struct strike *s = arg;
    struct manager *leader = world_leader(s->n->world);
    bool is_leader = s->kind == STRIKE_ISOLATE_LEADER || s->kind == STRIKE_PAUSE_LEADER;
    if (!s->n->is_over) {
        s->n->world->stats.faults++;
        if (is_leader && leader) hit_leader(s, leader);
        else if (s->kind == STRIKE_RESTART_ACKER) hit_server(s, s->acker);
        else if (s->kind == STRIKE_RETURN_MASTER) hit_server(s, s->from);
        else if (!is_leader) hit_server(s, s->to);
    }
    free(s);
}

void nemesis_step(struct nemesis *n, struct site *site, const struct fsm_plan *plan)
{
    if (!n->world->options.has_plots) return;
    struct rng *rng = &n->strikes;
    bool is_open = plan->step == STEP_REPOINT; /* The new master is no sooner open than it is lost. */
    bool comes = rng_chance(rng, is_open ? 250000 : 200000);
    int64_t after_us = rng_log_between(rng, 10, is_open ? 500 * SIM_MS : 50 * SIM_MS);
    struct strike *s = malloc(sizeof *s);
    MUST(s);
    *s = (struct strike){.n = n, .site = site, .from = plan->from, .to = plan->to, .acker = plan->acker};
    s->kind = (enum strike_kind)rng_below(rng, STRIKES_N);
    s->is_deaf = rng_chance(rng, 700000);
    bool is_frozen = plan->from < site->servers_n &&
                     sim_host(n->sim, mysqld_node(site->servers[plan->from])) == SIM_HOST_FROZEN;
    if (is_open && rng_chance(rng, 500000)) s->kind = STRIKE_KILL_CANDIDATE;
    /* Long enough for another to lead, short enough for what was begun to be within its deadline still. */
    if (!is_open && rng_chance(rng, 300000)) s->kind = STRIKE_PAUSE_LEADER;
    if (s->kind == STRIKE_PAUSE_LEADER) s->for_us = rng_between(rng, 800, 2800) * SIM_MS;
    if (s->kind == STRIKE_HIDE_CANDIDATE && rng_chance(rng, 300000)) s->for_us = 40 * (int64_t)SIM_S;
    if (is_frozen && rng_chance(rng, 400000)) {
        s->kind = STRIKE_RETURN_MASTER;
        comes = true;
    }
    s->for_us = rng_log_between(rng, 200 * SIM_MS, 4 * SIM_S);
    if (comes && !n->is_over) sim_after(n->sim, SIM_WORLD, after_us, strike, s);
    else free(s);
}
