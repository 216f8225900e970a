/* The checker of what persons change on a master behind Regent's back: S2. See check.h.
 *
 * Semi-sync off, or a stranger that acknowledges: what is answered with OK then may be lost with the master, and so may
 * the proof that its reign has ended (A3, A6, A7). DESIGN §2 does not cover the writes of that time, but demands that
 * it is noticed and told: the proof of the reign is withdrawn. From then on all rules hold again. Failure mode: it is
 * never withdrawn, although everybody could see it for half a minute. */
#include "sim/check_private.h"

enum { TOLD_US = 30 * SIM_S };

static struct sim *sim_of(const struct check_site *cs)
{
    return cs->site->world->sim;
}

bool check_meddle(struct check *check, struct site *site, const struct mysqld *stranger)
{
    struct check_site *cs = &check->sites[site->index];
    unsigned i = 0;
    if (cs->master >= site->servers_n || !cs->is_lossless || cs->plan != 0) return false;
    if (check_is_meddled(cs, cs->master)) return false; /* One at a time is noted. */
    while (i < site->servers_n && site->servers[i] != stranger) i++;
    if (stranger && (i == site->servers_n || fsm_set_has(cs->ackers, (uint8_t)i))) return false; /* It is none. */
    const struct mysqld *master = site->servers[cs->master];
    cs->meddled[cs->master] = (struct meddling){true, stranger == NULL, (uint8_t)i,
                                                sim_incarnation(sim_of(cs), mysqld_node(master)),
                                                sim_now_us(sim_of(cs))};
    return true;
}

static bool is_in_force(const struct check_site *cs, const struct meddling *m, unsigned server)
{
    const struct mysqld *master = cs->site->servers[server];
    if (sim_incarnation(sim_of(cs), mysqld_node(master)) != m->incarnation) return false;
    if (m->is_source) return !mysqld_has_source_flag(master);
    return m->stranger < cs->site->servers_n &&
           mysqld_acknowledges(cs->site->servers[m->stranger], mysqld_node(master));
}

bool check_is_meddled(struct check_site *cs, unsigned server)
{
    struct meddling *m = &cs->meddled[server];
    bool is_new = m->is_on && sim_now_us(sim_of(cs)) - m->since_us < SIM_S; /* It is just being done. */
    if (m->is_on && !is_new && !is_in_force(cs, m, server)) m->is_on = false;
    return m->is_on;
}

void check_meddle_told(struct check_site *cs, unsigned server)
{
    cs->meddled[server].is_on = false;
}

void check_meddle_end(struct check_site *cs)
{
    unsigned master = cs->master;
    struct world *w = cs->site->world;
    if (master >= cs->site->servers_n || !check_is_meddled(cs, master) || cs->plan != 0 || !world_leader(w)) return;
    const struct mysqld *m = cs->site->servers[master];
    bool is_seen = sim_now_us(sim_of(cs)) - cs->meddled[master].since_us > TOLD_US && mysqld_is_open(m);
    /* One outside the core may be seen by nobody, or by too few to be believed. */
    if (!is_seen || !world_in_core(w, mysqld_node(m)) || sim_host(sim_of(cs), mysqld_node(m)) != SIM_HOST_UP) return;
    world_break(w, WORLD_SAFETY, "S2: commits of %s %s, and its reign is still called lossless",
                sim_node_name(sim_of(cs), mysqld_node(m)),
                cs->meddled[master].is_source ? "wait for nobody" : "are acknowledged by a stranger");
}
