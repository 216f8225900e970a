/* Faults of servers, and what an operator does. See nemesis.h. */
#include <stdlib.h>

#include "sim/nemesis_private.h"
#include "sim/site.h"
#include "sim/wire.h"

/* --- who ---------------------------------------------------------------------------------------------------------- */

struct victim nemesis_server(struct nemesis *n, struct site *site, unsigned server)
{
    struct mysqld *m = site->servers[server];
    return (struct victim){n, site, m, mysqld_node(m)};
}

/* The master more often than others, then its acker. */
static struct victim some_server(struct nemesis *n)
{
    struct world *w = n->world;
    struct site *site = &w->sites[rng_below(&n->rng, w->sites_n)];
    uint64_t draw = rng_below(&n->rng, 100);
    uint64_t any = rng_below(&n->rng, site->servers_n);
    uint8_t master = check_master(w->check, site), acker = check_acker(w->check, site);
    if (draw < 45 && master < site->servers_n) return nemesis_server(n, site, master);
    if (draw < 65 && acker < site->servers_n) return nemesis_server(n, site, acker);
    return nemesis_server(n, site, (unsigned)any);
}

void nemesis_later(const struct victim *v, int64_t us, sim_fn *fn)
{
    struct victim *copy = malloc(sizeof *copy);
    MUST(copy);
    *copy = *v;
    sim_after(v->nemesis->sim, SIM_WORLD, us, fn, copy);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void nemesis_start_server(struct sim *sim, struct mysqld *m)
{
    sim_node node = mysqld_node(m);
    sim_host_on(sim, node);
    if (sim_process(sim, node) != SIM_DEAD || sim_host(sim, node) != SIM_HOST_UP) return;
    SIM_TRACE(sim, node, "is started");
    mysqld_start(m);
}

void nemesis_boot(void *arg)
{
    struct victim *v = arg;
    if (!v->nemesis->is_over) nemesis_start_server(v->nemesis->sim, v->m);
    free(v);
}

/* Its unit, or a person; or nobody before the world heals. */
static void start_later(const struct victim *v)
{
    struct nemesis *n = v->nemesis;
    bool is_started = rng_chance(&n->rng, 700000);
    int64_t after_us = nemesis_time(n, 100 * SIM_MS, 60 * SIM_S);
    if (is_started) nemesis_later(v, after_us, nemesis_boot);
}

void nemesis_kill_server(struct nemesis *n)
{
    struct victim v = some_server(n);
    SIM_TRACE(n->sim, v.node, "killed");
    sim_kill(n->sim, v.node);
    start_later(&v);
}

void nemesis_power_server(struct nemesis *n)
{
    struct victim v = some_server(n);
    SIM_TRACE(n->sim, v.node, "host loses power");
    sim_host_off(n->sim, v.node);
    start_later(&v);
}

void nemesis_stop_server(struct nemesis *n)
{
    struct victim v = some_server(n);
    if (sim_process(n->sim, v.node) == SIM_DEAD) return;
    SIM_TRACE(n->sim, v.node, "gets SIGTERM");
    mysqld_stop(v.m);
    start_later(&v);
}

void nemesis_go_on(void *arg)
{
    struct victim *v = arg;
    if (!v->nemesis->is_over) {
        SIM_TRACE(v->nemesis->sim, v->node, "goes on");
        sim_resume(v->nemesis->sim, v->node);
        sim_host_thaw(v->nemesis->sim, v->node);
    }
    free(v);
}

void nemesis_pause_server(struct nemesis *n)
{
    struct victim v = some_server(n);
    bool is_host = rng_chance(&n->rng, 300000);
    int64_t for_us = nemesis_time(n, 50 * SIM_MS, 30 * SIM_S);
    SIM_TRACE(n->sim, v.node, "%s", is_host ? "host stands still" : "paused");
    if (is_host) sim_host_freeze(n->sim, v.node);
    else sim_pause(n->sim, v.node);
    nemesis_later(&v, for_us, nemesis_go_on);
}

/* --- trouble ------------------------------------------------------------------------------------------------------ */

void nemesis_relieve(struct mysqld *m)
{
    mysqld_slow_disk(m, 0);
    mysqld_hold_applier(m, false);
    mysqld_break_applier(m, 0);
    mysqld_refuse_logins(m, NULL, 0);
}

void nemesis_trouble_ends(void *arg)
{
    struct victim *v = arg;
    if (!v->nemesis->is_over) {
        SIM_TRACE(v->nemesis->sim, v->node, "has no trouble any more");
        nemesis_relieve(v->m);
    }
    free(v);
}

/* What was received and acknowledged is not executed yet when the master goes. */
static void lag(struct nemesis *n, struct site *site, int64_t for_us)
{
    uint8_t acker = check_acker(n->world->check, site);
    if (acker >= site->servers_n) return;
    struct victim v = nemesis_server(n, site, acker);
    SIM_TRACE(n->sim, v.node, "FAULT applier held");
    n->world->stats.faults++;
    mysqld_hold_applier(v.m, true);
    nemesis_later(&v, for_us, nemesis_trouble_ends);
}

static void lose_master(void *arg)
{
    struct victim *v = arg;
    struct nemesis *n = v->nemesis;
    if (!n->is_over) {
        SIM_TRACE(n->sim, v->node, "FAULT the master is lost");
        n->world->stats.faults++;
        if (rng_chance(&n->pace, 500000)) sim_kill(n->sim, v->node);
        else sim_host_off(n->sim, v->node);
    }
    free(v);
}

void nemesis_blow(struct nemesis *n)
{
    struct world *w = n->world;
    struct site *site = &w->sites[rng_below(&n->rng, w->sites_n)];
    uint8_t master = check_master(w->check, site);
    if (master >= site->servers_n) return;
    struct victim v = nemesis_server(n, site, master);
    int64_t after_us = nemesis_time(n, SIM_MS, 2 * SIM_S), lag_us = nemesis_time(n, 100 * SIM_MS, 5 * SIM_S);
    bool lags = rng_chance(&n->rng, 600000);
    if (lags) lag(n, site, after_us + lag_us);
    nemesis_later(&v, after_us, lose_master);
    start_later(&v);
}

void nemesis_server_disk(struct nemesis *n)
{
    struct victim v = some_server(n);
    uint32_t extra_us = (uint32_t)nemesis_time(n, 2 * SIM_MS, 1 * SIM_S);
    SIM_TRACE(n->sim, v.node, "disk is slower by %u us", extra_us);
    mysqld_slow_disk(v.m, extra_us);
    nemesis_later(&v, nemesis_time(n, 200 * SIM_MS, 20 * SIM_S), nemesis_trouble_ends);
}

void nemesis_server_applier(struct nemesis *n)
{
    struct victim v = some_server(n);
    bool is_held = rng_chance(&n->rng, 700000);
    SIM_TRACE(n->sim, v.node, "applier %s", is_held ? "held" : "stops with an error");
    if (is_held) mysqld_hold_applier(v.m, true);
    else mysqld_break_applier(v.m, 1062);
    nemesis_later(&v, nemesis_time(n, 200 * SIM_MS, 30 * SIM_S), nemesis_trouble_ends);
}

void nemesis_server_logins(struct nemesis *n)
{
    static const struct { const char *user; unsigned code; } kinds[] = {
        {NULL, 1040}, {WIRE_USER_PROBE, 1045}, {WIRE_USER_CONTROL, 1045}, {WIRE_USER_REPLICATION, 1045},
    };
    struct victim v = some_server(n);
    uint64_t kind = rng_below(&n->rng, ARRAY_LEN(kinds));
    SIM_TRACE(n->sim, v.node, "refuses logins of %s", kinds[kind].user ? kinds[kind].user : "all");
    mysqld_refuse_logins(v.m, kinds[kind].user, kinds[kind].code);
    nemesis_later(&v, nemesis_time(n, 200 * SIM_MS, 20 * SIM_S), nemesis_trouble_ends);
}

void nemesis_server_clock(struct nemesis *n)
{
    struct victim v = some_server(n);
    int64_t by_us = nemesis_time(n, SIM_MS, 600 * (int64_t)SIM_S);
    bool is_back = rng_chance(&n->rng, 500000);
    SIM_TRACE(n->sim, v.node, "wall clock jumps by %lld us", (long long)(is_back ? -by_us : by_us));
    sim_clock_jump(n->sim, v.node, is_back ? -by_us : by_us);
}

void nemesis_purge(struct nemesis *n)
{
    struct victim v = some_server(n);
    uint64_t keep_n = (uint64_t)nemesis_time(n, 1, 1000);
    SIM_TRACE(n->sim, v.node, "purges its binlog but for %llu", (unsigned long long)keep_n);
    mysqld_purge(v.m, keep_n);
}

/* A person writes on a replica as root. */
void nemesis_errant(struct nemesis *n)
{
    struct victim v = some_server(n);
    uint8_t master = check_master(n->world->check, v.site);
    uint64_t id = UINT64_C(0xe0) << 40 | n->number;
    if (master < v.site->servers_n && v.m == v.site->servers[master]) return;
    SIM_TRACE(n->sim, v.node, "errant write");
    mysqld_write_errant(v.m, id);
}

/* --- operators ---------------------------------------------------------------------------------------------------- */

static void ignore_index(void *arg, int status, uint64_t index)
{
    (void)arg;
    (void)status;
    (void)index;
}

void nemesis_transfer(struct nemesis *n)
{
    struct manager *leader = world_leader(n->world);
    uint64_t to = 1 + rng_below(&n->rng, n->world->managers_n);
    if (!leader || to == leader->id) return;
    SIM_TRACE(n->sim, leader->node, "is asked to hand over to m%llu", (unsigned long long)to);
    int rc = raft_node_transfer(consensus_node(leader->consensus), to, ignore_index, NULL);
    SIM_TRACE(n->sim, leader->node, "transfer: %d", rc);
}

/* An operator's command. His client does not always hear the answer, and asks whoever leads by then: with the same id,
 * at most twice. */
struct request {
    struct nemesis *n;
    struct fsm_command command;
    struct fsm_result first;
    unsigned flying_n;
    bool has_first, is_again;
};

static void request_drop(struct request *r)
{
    if (--r->flying_n == 0) free(r);
}

static void on_result(void *arg, int status, const struct fsm_result *result)
{
    struct request *r = arg;
    if (status == 0 && r->has_first) check_repeated(r->n->world->check, &r->first, result);
    if (status == 0) r->first = *result;
    r->has_first = r->has_first || status == 0;
    request_drop(r);
}

static void send_request(struct request *r, struct manager *leader)
{
    int rc = manager_propose(leader, &r->command, on_result, r);
    SIM_TRACE(leader->sim, leader->node, "%s: %d", r->is_again ? "proposed again" : "proposed", rc);
    if (rc != 0) request_drop(r);
}

struct wish {
    struct nemesis *n;
    struct site *site;
    struct manager *leader;
    struct request *again;
    uint8_t to;
    bool accepts_loss;
};

static void send_again(void *arg)
{
    const struct wish *wish = arg;
    wish->again->is_again = true;
    send_request(wish->again, wish->leader);
}

static void repeat(void *arg)
{
    struct request *r = arg;
    struct wish wish = {.n = r->n, .leader = world_leader(r->n->world), .again = r};
    if (wish.leader) sim_run_as(r->n->sim, wish.leader->node, send_again, &wish);
    else request_drop(r);
}

/* Sent now, and by chance again. */
static void request(struct nemesis *n, const struct fsm_command *command, struct manager *leader)
{
    bool is_repeated = rng_chance(&n->rng, 500000);
    int64_t after_us = nemesis_time(n, 1 * SIM_MS, 3 * SIM_S);
    struct request *r = calloc(1, sizeof *r);
    MUST(r);
    *r = (struct request){.n = n, .command = *command, .flying_n = is_repeated ? 2 : 1};
    if (is_repeated) sim_after(n->sim, SIM_WORLD, after_us, repeat, r);
    send_request(r, leader);
}

static void ask_failover(void *arg)
{
    static struct fsm_command command;
    static struct plan_input input;
    const struct wish *wish = arg;
    struct manager *m = wish->leader;
    char base[4096];
    struct text dry = TEXT_ON(base);
    const struct fsm_cluster *c = fsm_cluster_find(manager_state(m), wish->site->name);
    if (!c || !driver_input(m->driver, fsm_cluster_index(manager_state(m), c), &input)) return;
    enum fsm_code code = plan_operator_failover(&input, wish->to, false, &command, &dry);
    if (code == FSM_UNSAFE && wish->accepts_loss) {
        SIM_TRACE(m->sim, m->node, "an operator accepts the loss of acknowledged writes of %s", wish->site->name);
        code = plan_operator_failover(&input, wish->to, true, &command, &dry);
    }
    SIM_TRACE(m->sim, m->node, "an operator asks for a failover of %s: %s", wish->site->name, fsm_code_name(code));
    if (code != FSM_OK) return;
    command.id = driver_request_id(m->driver);
    request(wish->n, &command, m);
}

void nemesis_ask_failover(struct nemesis *n, struct site *site, uint8_t to)
{
    struct wish wish = {.n = n, .site = site, .leader = world_leader(n->world), .to = to};
    wish.accepts_loss = rng_chance(&n->rng, 400000);
    if (wish.leader) sim_run_as(n->sim, wish.leader->node, ask_failover, &wish);
}

void nemesis_operator_failover(struct nemesis *n)
{
    struct victim v = some_server(n);
    bool is_named = rng_chance(&n->rng, 500000);
    nemesis_ask_failover(n, v.site, is_named ? site_server_at(v.site, v.node) : FSM_SERVER_NONE);
}

static void set_right(void *arg)
{
    struct victim *v = arg;
    uint8_t master = check_master(v->nemesis->world->check, v->site);
    bool is_master = master < v->site->servers_n && v->m == v->site->servers[master];
    SIM_TRACE(v->nemesis->sim, v->node, "semi-sync is set right again");
    if (is_master) mysqld_set_source_flag(v->m, true);
    else mysqld_set_replica_flag(v->m, false);
    free(v);
}

bool nemesis_meddle_with(const struct victim *v)
{
    struct check *check = v->nemesis->world->check;
    uint8_t master = check_master(check, v->site), acker = check_acker(check, v->site);
    if (master >= v->site->servers_n || acker >= v->site->servers_n || v->m == v->site->servers[acker]) return false;
    bool is_master = v->m == v->site->servers[master];
    if (!is_master && !mysqld_follows(v->m, mysqld_node(v->site->servers[master]))) return false;
    if (!check_meddle(check, v->site, is_master ? NULL : v->m)) return false;
    SIM_TRACE(v->nemesis->sim, v->node, "a person switches semi-sync %s", is_master ? "off" : "on");
    if (is_master) mysqld_set_source_flag(v->m, false);
    else mysqld_set_replica_flag(v->m, true);
    return true;
}

void nemesis_meddle(struct nemesis *n)
{
    struct victim v = some_server(n);
    bool is_set_right = rng_chance(&n->rng, 700000);
    int64_t for_us = nemesis_time(n, 100 * SIM_MS, 60 * SIM_S);
    if (nemesis_meddle_with(&v) && is_set_right) nemesis_later(&v, for_us, set_right);
}

/* In a world that has healed, where everybody can see it, and for good: it must be told at its end. */
static void meddle_late(void *arg)
{
    struct victim *v = arg;
    (void)nemesis_meddle_with(v);
    free(v);
}

void nemesis_meddle_healed(struct nemesis *n, struct site *site)
{
    rng_init(&n->rng, n->world->seed, "meddling", site->index);
    bool is_meddled = n->world->options.has_plots && rng_chance(&n->rng, 150000);
    struct victim v = nemesis_server(n, site, (unsigned)rng_below(&n->rng, site->servers_n));
    if (is_meddled) nemesis_later(&v, rng_between(&n->rng, 5, 20) * SIM_S, meddle_late);
}
