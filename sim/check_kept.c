/* S5: nothing is deleted silently. See check.h.
 *
 * A server keeps its binlog and its position while it lives; a relay log that a statement throws away holds nothing
 * that nobody else has; and a replaced master that has transactions which the master of today lacks is quarantined, so
 * that an operator hears of them. */
#include "sim/check_private.h"

static const char *name_of(const struct check_site *cs, unsigned server)
{
    return sim_node_name(cs->site->world->sim, mysqld_node(cs->site->servers[server]));
}

static void on_drop(void *arg, struct mysqld *m, const struct mysqld_trx *trx)
{
    struct check_site *cs = arg;
    unsigned server = 0;
    for (unsigned i = 0; i < cs->site->servers_n; i++) {
        const struct mysqld *other = cs->site->servers[i];
        if (other == m) server = i;
        else if (mysqld_holds(other, trx)) return;
    }
    world_break(cs->site->world, WORLD_SAFETY, "S5: %s threw away the only copy of %u-%u-%llu with its relay log",
                name_of(cs, server), trx->domain, trx->server, (unsigned long long)trx->seq);
}

static bool is_rewound(const struct gtid_pos *before, const struct gtid_pos *now)
{
    for (unsigned i = 0; i < before->n; i++) {
        unsigned k = 0;
        while (k < now->n && now->d[k].domain != before->d[i].domain) k++;
        if (k == now->n || now->d[k].seq < before->d[i].seq) return true;
    }
    return false;
}

void check_kept(struct check_site *cs, unsigned server)
{
    const struct mysqld *m = cs->site->servers[server];
    struct world *w = cs->site->world;
    uint32_t life = sim_incarnation(w->sim, mysqld_node(m));
    uint64_t logged_n = mysqld_trx_n(m);
    struct gtid_pos applied;
    if (!mysqld_is_up(m)) return;
    mysqld_applied_pos(m, &applied);
    bool is_same = cs->lives[server] == life;
    if (is_same && (logged_n < cs->logged_n[server] || is_rewound(&cs->applied[server], &applied)))
        world_break(w, WORLD_SAFETY, "S5: %s lost transactions while it ran", name_of(cs, server));
    cs->lives[server] = life;
    cs->logged_n[server] = logged_n;
    cs->applied[server] = applied;
}

/* A client's write that 'server' shows and 'master' has not; NULL: none. */
static const struct mysqld_trx *errant_of(const struct mysqld *server, const struct mysqld *master)
{
    for (uint64_t i = mysqld_trx_n(server); i-- > 0;) {
        bool is_visible = false;
        const struct mysqld_trx *trx = mysqld_trx(server, i, &is_visible);
        if (is_visible && trx->kind == MYSQLD_TRX_WRITE && !mysqld_has_write(master, trx->id)) return trx;
    }
    return NULL;
}

void check_kept_demoted(struct check_site *cs, const struct fsm_cluster *c)
{
    if (cs->master >= cs->site->servers_n || c->master != cs->master) return;
    const struct mysqld *master = cs->site->servers[cs->master];
    if (!mysqld_is_open(master)) return;
    for (unsigned i = 0; i < cs->site->servers_n; i++) {
        bool is_hidden = cs->was_master[i] && i != cs->master && c->servers[i].state != SERVER_QUARANTINED;
        const struct mysqld_trx *trx = is_hidden ? errant_of(cs->site->servers[i], master) : NULL;
        if (!trx) continue;
        world_break(cs->site->world, WORLD_SAFETY, "S5: %s was master, has %u-%u-%llu, which %s lacks, and is not "
                    "quarantined", name_of(cs, i), trx->domain, trx->server, (unsigned long long)trx->seq,
                    name_of(cs, cs->master));
    }
}

void check_kept_init(struct check_site *cs)
{
    for (unsigned i = 0; i < cs->site->servers_n; i++) mysqld_on_drop(cs->site->servers[i], on_drop, cs);
}
