/* The checkers of one cluster: S1, S2, S3 and S6. See check.h.
 *
 * What is committed is taken from the newest index that any manager has applied; what is true of the servers from
 * their inspectors (sim/mysqld.h). */
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/check_private.h"

enum {
    HEALTHY_US = 4 * SIM_S,
    OK_FRESH_US = SIM_S,
    SILENCE_SLACK_US = 500 * SIM_MS, /* For the commit, and for the first verb to reach a server. */
};

static struct sim *sim_of(const struct check_site *cs)
{
    return cs->site->world->sim;
}

static const char *name_of(const struct check_site *cs, unsigned server)
{
    return sim_node_name(sim_of(cs), mysqld_node(cs->site->servers[server]));
}

/* --- rows that were answered with OK ------------------------------------------------------------------------------ */

static struct row *row_slot(struct check_site *cs, uint64_t id)
{
    size_t mask = cs->rows_room - 1, at = (size_t)(id * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (cs->rows[at].id != 0 && cs->rows[at].id != id) at = (at + 1) & mask;
    return &cs->rows[at];
}

static void rows_grow(struct check_site *cs)
{
    struct row *old = cs->rows;
    size_t old_room = cs->rows_room;
    cs->rows_room = old_room ? old_room * 2 : 1024;
    cs->rows = calloc(cs->rows_room, sizeof *cs->rows);
    MUST(cs->rows);
    for (size_t i = 0; i < old_room; i++)
        if (old[i].id != 0) *row_slot(cs, old[i].id) = old[i];
    free(old);
}

static void on_ok(void *arg, struct mysqld *m, const struct mysqld_trx *trx, enum mysqld_ok ok)
{
    struct check_site *cs = arg;
    unsigned server = 0;
    if (trx->kind != MYSQLD_TRX_WRITE) return;
    while (cs->site->servers[server] != m) server++;
    if ((cs->rows_n + 1) * 2 > cs->rows_room) rows_grow(cs);
    struct row *row = row_slot(cs, trx->id);
    cs->rows_n += row->id == 0;
    /* After the end of its reign a server can answer only what an acker had before that (A3): it must be there, too. */
    bool is_lossless = ok == MYSQLD_OK_OF_KILLED ? cs->has_reign[server] : cs->was_proven[server];
    if (check_is_meddled(cs, server)) is_lossless = false;
    *row = (struct row){trx->id, is_lossless, false, ok == MYSQLD_OK_FALSE};
    cs->last_ok_us = sim_now_us(sim_of(cs));
    if (ok != MYSQLD_OK) SIM_TRACE(sim_of(cs), mysqld_node(m), "false OK for %llx", (unsigned long long)trx->id);
}

void check_acked(struct check *check, struct site *site, unsigned server, uint64_t id)
{
    struct check_site *cs = &check->sites[site->index];
    struct row *row = cs->rows_room ? row_slot(cs, id) : NULL;
    if (!row || row->id != id) {
        world_break(site->world, WORLD_SAFETY, "model: OK for a row that %s did not answer", name_of(cs, server));
        return;
    }
    row->is_acked = true;
    if (row->is_false && row->is_lossless && !cs->loss_accepted)
        world_break(site->world, WORLD_SAFETY, "S2: %s answered OK for the row %llx, which no acker had",
                    name_of(cs, server), (unsigned long long)id);
    cs->acks++;
}

/* S2: 'server' holds all that was acknowledged under a reign that was proven lossless. */
static void check_rows(struct check_site *cs, unsigned server, const char *when)
{
    if (cs->loss_accepted) return;
    for (size_t i = 0; i < cs->rows_room; i++) {
        const struct row *row = &cs->rows[i];
        if (row->id == 0 || !row->is_acked || !row->is_lossless) continue;
        if (mysqld_has_write(cs->site->servers[server], row->id)) continue;
        world_break(cs->site->world, WORLD_SAFETY, "S2: %s lacks the acknowledged row %llx %s", name_of(cs, server),
                    (unsigned long long)row->id, when);
        return;
    }
}

/* --- S1 ----------------------------------------------------------------------------------------------------------- */

/* It was opened: by a committed step OPEN that names it. */
static void check_opening(struct check_site *cs, unsigned server)
{
    struct world *w = cs->site->world;
    uint64_t token = mysqld_fence(cs->site->servers[server])->token;
    if (token != 0 && token == cs->opens[server]) return;
    if (token == 0 && cs->epoch == 0) return; /* By the operator, before Regent knew it. */
    world_break(w, WORLD_SAFETY, "S1: %s was opened under plan %llu, whose step open was never committed for it",
                name_of(cs, server), (unsigned long long)token);
}

static void check_open(struct check_site *cs)
{
    unsigned first = CLUSTER_SERVERS_MAX;
    for (unsigned i = 0; i < cs->site->servers_n; i++) {
        const struct mysqld *m = cs->site->servers[i];
        bool is_open = mysqld_is_open(m);
        if (is_open && !cs->was_open[i] && cs->cluster != FSM_CLUSTERS_MAX) {
            SIM_TRACE(sim_of(cs), mysqld_node(m), "is open");
            check_opening(cs, i);
            check_rows(cs, i, "as it opens");
        }
        cs->was_open[i] = is_open;
        if (!is_open || !mysqld_can_acknowledge(m) || check_is_meddled(cs, i)) continue;
        if (first == CLUSTER_SERVERS_MAX) first = i;
        else if (!cs->loss_accepted)
            world_break(cs->site->world, WORLD_SAFETY, "S1: %s and %s are both open, and both can acknowledge",
                        name_of(cs, first), name_of(cs, i));
    }
}

/* --- S6 ----------------------------------------------------------------------------------------------------------- */

static bool runs(const struct check_site *cs, unsigned server)
{
    sim_node node = mysqld_node(cs->site->servers[server]);
    return sim_process(sim_of(cs), node) == SIM_RUNNING && sim_host(sim_of(cs), node) == SIM_HOST_UP;
}

static bool are_linked(const struct check_site *cs, unsigned a, unsigned b)
{
    sim_node x = mysqld_node(cs->site->servers[a]), y = mysqld_node(cs->site->servers[b]);
    return !sim_link(sim_of(cs), x, y)->cut && !sim_link(sim_of(cs), y, x)->cut;
}

/* The master can commit, and k ackers can acknowledge to it. */
static bool is_healthy(const struct check_site *cs)
{
    unsigned master = cs->master, ackers = 0;
    if (master >= cs->site->servers_n || !runs(cs, master)) return false;
    const struct mysqld *m = cs->site->servers[master];
    if (!mysqld_is_open(m) || !mysqld_can_acknowledge(m)) return false;
    for (unsigned i = 0; i < cs->site->servers_n; i++) {
        if (!fsm_set_has(cs->ackers, (uint8_t)i)) continue;
        bool is_receiving = false;
        sim_node source = mysqld_source(cs->site->servers[i], &is_receiving);
        bool follows = is_receiving && source == mysqld_node(m);
        ackers += follows && runs(cs, i) && are_linked(cs, i, master);
    }
    return ackers >= cs->k;
}

/* No follower has heard anything of the master for the timeout, whatever kept it from that: it is silent (§8). */
static bool is_silent(const struct check_site *cs)
{
    sim_node master = mysqld_node(cs->site->servers[cs->master]);
    int64_t since_us = sim_now_us(sim_of(cs)) - (int64_t)cs->site->timeout_ms * SIM_MS;
    for (unsigned i = 0; i < cs->site->servers_n; i++) {
        bool is_receiving = false;
        bool follows = mysqld_source(cs->site->servers[i], &is_receiving) == master && is_receiving;
        if (follows && runs(cs, i) && mysqld_heard_us(cs->site->servers[i]) > since_us) return false;
    }
    return true;
}

static void follow_health(struct check_site *cs)
{
    int64_t now_us = sim_now_us(sim_of(cs));
    if (!is_healthy(cs)) cs->healthy_since_us = now_us;
    if (cs->master < cs->site->servers_n && is_silent(cs)) cs->silent_until_us = now_us;
}

static void follow_begin(struct check_site *cs, const struct fsm_plan *plan)
{
    bool has_epoch = plan->kind == PLAN_FAILOVER || plan->kind == PLAN_ENROL;
    if (has_epoch && plan->epoch <= cs->epoch_given)
        world_break(cs->site->world, WORLD_SAFETY, "S1: plan %llu is given the epoch %llu, which an earlier one had",
                    (unsigned long long)plan->token, (unsigned long long)plan->epoch);
    if (has_epoch) cs->epoch_given = plan->epoch;
    cs->is_judged = plan->kind != PLAN_FAILOVER || plan->by_operator;
    if (plan->kind != PLAN_FAILOVER) return;
    SIM_TRACE(sim_of(cs), SIM_WORLD, "plan %llu begins: %s replaces %s, verdict %s", (unsigned long long)plan->token,
              name_of(cs, plan->to), name_of(cs, plan->from), plan->verdict);
    if (plan->accept_loss) cs->loss_accepted = true;
    (void)TEXT_COPY(cs->verdict, plan->verdict);
    world_note_plan(cs->site->world, cs->site);
}

/* A failover that nobody asked for is judged as it changes a server for the first time: that one stores its token,
 * before anything is stopped or closed. To begin one is no harm; it may still end itself (plan/reconsider.c). */
static void check_first_change(struct check_site *cs, uint64_t token)
{
    int64_t now = sim_now_us(sim_of(cs));
    if (cs->is_judged || cs->plan == 0 || token != cs->plan) return;
    cs->is_judged = true;
    follow_health(cs);
    /* What followers hear is looked at a moment before (plan/diagnose.c): a connection that lost packets for the whole
     * timeout may carry commits again just as the first server is told. */
    int64_t evidence_us = (int64_t)cs->site->timeout_ms * SIM_MS / 4 + SILENCE_SLACK_US;
    bool was_silent = cs->silent_until_us != 0 && now - cs->silent_until_us < evidence_us;
    bool is_false = now - cs->healthy_since_us > HEALTHY_US && now - cs->last_ok_us < OK_FRESH_US && !was_silent;
    if (is_false)
        world_break(cs->site->world, WORLD_SAFETY, "S6: %s is being replaced (%s), and it commits its clients' writes",
                    name_of(cs, cs->master), cs->verdict);
}

/* --- S3 ----------------------------------------------------------------------------------------------------------- */

static void on_change(void *arg, struct mysqld *m, uint64_t token, uint64_t term)
{
    struct check_site *cs = arg;
    unsigned i = 0;
    while (cs->site->servers[i] != m) i++;
    bool is_older = token < cs->token[i] || (token == cs->token[i] && term < cs->term[i]);
    if (is_older)
        world_break(cs->site->world, WORLD_SAFETY, "S3: %s was changed under token %llu, term %llu, after %llu, term "
                    "%llu", name_of(cs, i), (unsigned long long)token, (unsigned long long)term,
                    (unsigned long long)cs->token[i], (unsigned long long)cs->term[i]);
    cs->token[i] = token;
    cs->term[i] = term;
    check_kept(cs, i);
    check_first_change(cs, token);
}

/* --- following ---------------------------------------------------------------------------------------------------- */

/* The master of the newest reign that was asked to open: its clients' rows are there, whatever became of its plan. */
static void follow_written(struct check_site *cs, const struct fsm_reign *reigns, uint8_t n, uint64_t *newest)
{
    for (uint8_t i = 0; i < n; i++) {
        if (!reigns[i].opened || reigns[i].epoch < *newest) continue;
        *newest = reigns[i].epoch;
        cs->written = reigns[i].master;
    }
}

static void follow_reigns(struct check_site *cs, const struct fsm_state *state, const struct fsm_cluster *c)
{
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);
    const struct fsm_reign *current = fsm_reign_current(c);
    memset(cs->has_reign, 0, sizeof cs->has_reign);
    for (uint8_t i = 0; i < c->reigns_n; i++) {
        uint8_t master = c->reigns[i].master;
        if (master < CLUSTER_SERVERS_MAX && !c->reigns[i].lossless) check_meddle_told(cs, master);
        if (master < CLUSTER_SERVERS_MAX) cs->has_reign[master] = cs->was_proven[master] = c->reigns[i].lossless;
    }
    cs->written = cs->master;
    uint64_t newest = 0;
    if (plan) follow_written(cs, plan->past, plan->past_n, &newest); /* It has ended them, and opened nobody yet. */
    follow_written(cs, c->reigns, c->reigns_n, &newest);
    cs->is_lossless = current && current->lossless;
    cs->ackers = current ? current->ackers : 0;
    cs->k = current ? current->k : 0;
}

void check_site_follow(struct check_site *cs, const struct fsm_state *state)
{
    const struct fsm_cluster *c = fsm_cluster_find(state, cs->site->name);
    if (!c) return;
    cs->cluster = fsm_cluster_index(state, c);
    if (c->epoch > cs->epoch && cs->epoch != 0) cs->site->world->stats.failovers++;
    if (c->epoch != cs->epoch) {
        SIM_TRACE(sim_of(cs), SIM_WORLD, "cluster %s: epoch %llu, master %s", cs->site->name,
                  (unsigned long long)c->epoch, name_of(cs, c->master));
        cs->healthy_since_us = sim_now_us(sim_of(cs));
    }
    cs->epoch = c->epoch;
    cs->master = c->master;
    follow_reigns(cs, state, c);
    if (c->master < CLUSTER_SERVERS_MAX) cs->was_master[c->master] = true;
    check_live_follow(cs, state, c);
    if (c->plan != 0 && c->plan != cs->plan) follow_begin(cs, fsm_plan_find(state, c->plan));
    cs->plan = c->plan;
    const struct fsm_plan *plan = c->plan != 0 ? fsm_plan_find(state, c->plan) : NULL;
    if (plan && plan->kind == PLAN_FAILOVER && plan->step != cs->step) world_note_step(cs->site->world, cs->site, plan);
    cs->step = plan ? plan->step : fsm_step_none;
    if (plan && plan->step == STEP_OPEN && plan->to < CLUSTER_SERVERS_MAX) cs->opens[plan->to] = plan->token;
}

void check_site_look(struct check_site *cs)
{
    check_open(cs);
    follow_health(cs);
}

void check_site_calm(struct check_site *cs)
{
    struct world *w = cs->site->world;
    bool is_async = cs->site->durability == DURABILITY_ASYNC;
    if (cs->epoch == 0 || cs->plan != 0)
        world_break(w, WORLD_LIVENESS, "L1: %s is not enrolled, and nothing has failed since it was declared",
                    cs->site->name);
    else if (!mysqld_is_open(cs->site->servers[cs->master]) || cs->is_lossless == is_async)
        world_break(w, WORLD_LIVENESS, "L1: %s is not open, or not lossless, and nothing has failed", cs->site->name);
}

void check_site_end(struct check_site *cs)
{
    for (unsigned i = 0; i < cs->site->servers_n; i++) check_kept(cs, i);
    check_meddle_end(cs);
    if (cs->written < cs->site->servers_n) check_rows(cs, cs->written, "at the end");
}

void check_site_init(struct check *check, struct check_site *cs, struct site *site)
{
    cs->check = check;
    cs->site = site;
    cs->cluster = FSM_CLUSTERS_MAX;
    cs->master = cs->written = FSM_SERVER_NONE;
    for (unsigned i = 0; i < site->servers_n; i++) {
        sim_set_add(&cs->nodes, mysqld_node(site->servers[i]));
        mysqld_on_ok(site->servers[i], on_ok, cs);
        mysqld_on_change(site->servers[i], on_change, cs);
    }
    check_kept_init(cs);
}

void check_site_free(struct check_site *cs)
{
    free(cs->rows);
}
