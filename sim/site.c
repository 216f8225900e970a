/* A cluster of simulated servers. See site.h. */
#include "sim/site.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/client.h"

enum { DECLARE_RETRY_US = 100 * SIM_MS };

/* --- declaring ---------------------------------------------------------------------------------------------------- */

static void fill_spec(const struct site *site, struct fsm_cluster_spec *spec)
{
    (void)TEXT_COPY(spec->name, site->name);
    (void)TEXT_COPY(spec->defaults_file, "/etc/regent/my.cnf");
    (void)TEXT_COPY(spec->group, "regent");
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = site->durability;
    spec->probe_ms = site->probe_ms;
    spec->timeout_ms = site->timeout_ms;
    spec->servers_n = (uint8_t)site->servers_n;
    for (unsigned i = 0; i < site->servers_n; i++) {
        const char *name = sim_node_name(site->world->sim, mysqld_node(site->servers[i]));
        (void)TEXT_COPY(spec->servers[i].name, name);
        (void)snprintf(spec->servers[i].address, FSM_ADDRESS_SIZE, "%s:3306", name);
        spec->servers[i].role = i == 0 ? ROLE_MASTER : i == 1 ? ROLE_BACKUP : ROLE_REPLICA;
    }
}

static void declare(void *arg);

static void declared(void *arg, int status, const struct fsm_result *result)
{
    struct site *site = arg;
    if (status == 0 && (result->code == FSM_OK || result->code == FSM_EXISTS)) site->is_declared = true;
}

static void declare(void *arg)
{
    static struct fsm_command command;
    struct site *site = arg;
    struct world *w = site->world;
    if (site->is_declared) return;
    struct manager *leader = world_leader(w);
    if (leader) {
        memset(&command, 0, sizeof command);
        command.id = driver_request_id(leader->driver);
        command.time = sim_wall(w->sim, leader->node);
        command.kind = CMD_CLUSTER_SET;
        command.u.cluster_set.create = true;
        fill_spec(site, &command.u.cluster_set.spec);
        int rc = manager_propose(leader, &command, declared, site);
        SIM_TRACE(w->sim, leader->node, "an operator declares cluster %s: %d", site->name, rc);
    }
    sim_after(w->sim, SIM_WORLD, DECLARE_RETRY_US, declare, site);
}

void site_start(struct site *site)
{
    declare(site);
    for (unsigned i = 0; i < site->clients_n; i++) client_start(site->clients[i]);
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

static void make_server(struct site *site, unsigned i)
{
    struct rng *rng = &site->world->rng;
    struct mysqld_options options = mysqld_options(site->index * 16 + i + 1);
    char name[SIM_NAME_SIZE];
    (void)snprintf(name, sizeof name, "%c%u", 'a' + (int)site->index, i + 1);
    options.fsync_us = (uint32_t)rng_log_between(rng, 100, 3000);
    options.fsync_jitter_us = options.fsync_us / 2;
    options.boot_ms = (uint32_t)rng_log_between(rng, 200, 4000);
    site->servers[i] = mysqld_new(site->world->sim, name, &options);
}

void site_init(struct site *site, struct world *world, unsigned index)
{
    struct rng *rng = &world->rng;
    memset(site, 0, sizeof *site);
    site->world = world;
    site->index = index;
    (void)snprintf(site->name, sizeof site->name, "%c", 'a' + (int)index);
    uint64_t policy = rng_below(rng, 10);
    site->durability = policy < 6 ? DURABILITY_LOSSLESS : policy < 9 ? DURABILITY_PREFER_LOSSLESS : DURABILITY_ASYNC;
    site->probe_ms = rng_chance(rng, 600000) ? 1000 : (uint32_t)rng_log_between(rng, 100, 1000);
    site->timeout_ms = rng_chance(rng, 700000) ? 1000 : (uint32_t)rng_log_between(rng, 1000, 4000);
    site->servers_n = (unsigned)rng_log_between(rng, 2, CLUSTER_SERVERS_MAX);
    for (unsigned i = 0; i < site->servers_n; i++) make_server(site, i);
    mysqld_set_up_master(site->servers[0], site->durability != DURABILITY_ASYNC);
    for (unsigned i = 1; i < site->servers_n; i++)
        mysqld_set_up_replica(site->servers[i], site->servers[0], i == 1 && site->durability != DURABILITY_ASYNC);
    for (unsigned i = 0; i < site->servers_n; i++) mysqld_start(site->servers[i]);
    site->clients_n = (unsigned)rng_between(rng, 1, CLUSTER_CLIENTS_MAX);
    for (unsigned i = 0; i < site->clients_n; i++) site->clients[i] = client_new(site, i);
}

void site_free(struct site *site)
{
    for (unsigned i = 0; i < site->clients_n; i++) client_free(site->clients[i]);
    for (unsigned i = 0; i < site->servers_n; i++) mysqld_free(site->servers[i]);
}

uint8_t site_server_at(const struct site *site, sim_node node)
{
    for (unsigned i = 0; i < site->servers_n; i++)
        if (mysqld_node(site->servers[i]) == node) return (uint8_t)i;
    return FSM_SERVER_NONE;
}
