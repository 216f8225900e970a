/* CLUSTER_SET: declares a cluster, or changes a declaration. PURE.
 *
 * A declaration says what an operator wants; it never touches who is master, epochs or reigns. */
#include <string.h>

#include "fsm/internal.h"

enum { PERIOD_MIN_MS = 10, PERIOD_MAX_MS = 600000 };

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool fsm_name_is_valid(const char *name)
{
    if (!is_name_char(name[0])) return false;
    for (size_t i = 1; name[i] != '\0'; i++) {
        if (!is_name_char(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-') return false;
    }
    return true;
}

bool fsm_address_is_valid(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;

    return colon != NULL && colon != address && text_to_u64(colon + 1, &port) && port >= 1 && port <= 65535;
}

/* The place of the server with that name in 'spec', or FSM_SERVER_NONE. */
static uint8_t spec_find(const struct fsm_cluster_spec *spec, const char *name)
{
    for (uint8_t i = 0; i < spec->servers_n; i++) {
        if (text_equal(spec->servers[i].name, name)) return i;
    }
    return FSM_SERVER_NONE;
}

static enum fsm_code check_server(struct fsm_apply *a, const struct fsm_cluster_spec *spec, uint8_t i)
{
    const char *name = spec->servers[i].name;

    if (!fsm_name_is_valid(name)) return FSM_REFUSE(a, FSM_INVALID, "server %d: \"%s\" is not a name", i + 1, name);
    if (!fsm_address_is_valid(spec->servers[i].address)) {
        return FSM_REFUSE(a, FSM_INVALID, "server %s: \"%s\" is not host:port", name, spec->servers[i].address);
    }
    if (spec->servers[i].role <= fsm_role_none || spec->servers[i].role >= fsm_role_count) {
        return FSM_REFUSE(a, FSM_INVALID, "server %s: no such role", name);
    }
    for (uint8_t j = 0; j < i; j++) {
        if (text_equal(spec->servers[j].name, name)) {
            return FSM_REFUSE(a, FSM_INVALID, "server %s is declared twice", name);
        }
        if (text_equal(spec->servers[j].address, spec->servers[i].address)) {
            return FSM_REFUSE(a, FSM_INVALID, "servers %s and %s have the same address", spec->servers[j].name, name);
        }
    }
    return FSM_OK;
}

static enum fsm_code check_servers(struct fsm_apply *a, const struct fsm_cluster_spec *spec)
{
    unsigned masters = 0;
    unsigned backups = 0;

    if (spec->servers_n < 1 || spec->servers_n > FSM_SERVERS_MAX) {
        return FSM_REFUSE(a, FSM_INVALID, "a cluster has 1 to %d servers, not %d", FSM_SERVERS_MAX, spec->servers_n);
    }
    for (uint8_t i = 0; i < spec->servers_n; i++) {
        enum fsm_code code = check_server(a, spec, i);
        if (code != FSM_OK) return code;
        masters += spec->servers[i].role == ROLE_MASTER;
        backups += spec->servers[i].role == ROLE_BACKUP;
    }
    if (masters != 1) return FSM_REFUSE(a, FSM_INVALID, "a cluster declares one master, not %u", masters);
    if (backups > 1) return FSM_REFUSE(a, FSM_INVALID, "a cluster declares at most one backup, not %u", backups);
    return FSM_OK;
}

static enum fsm_code check_spec(struct fsm_apply *a, const struct fsm_cluster_spec *spec)
{
    if (!fsm_name_is_valid(spec->name)) {
        return FSM_REFUSE(a, FSM_INVALID, "\"%s\" is not a name: letters, digits, then also . _ -", spec->name);
    }
    if (spec->flavour <= fsm_flavour_none || spec->flavour >= fsm_flavour_count) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s: no such flavour", spec->name);
    }
    if (spec->durability <= fsm_durability_none || spec->durability >= fsm_durability_count) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s: no such durability", spec->name);
    }
    if (spec->probe_ms < PERIOD_MIN_MS || spec->probe_ms > PERIOD_MAX_MS || spec->timeout_ms < PERIOD_MIN_MS ||
        spec->timeout_ms > PERIOD_MAX_MS) {
        return FSM_REFUSE(a, FSM_INVALID, "cluster %s: probe and timeout are %d ms to %d ms", spec->name,
                          PERIOD_MIN_MS, PERIOD_MAX_MS);
    }
    return check_servers(a, spec);
}

static void set_settings(struct fsm_apply *a, struct fsm_cluster *cluster, const struct fsm_cluster_spec *spec)
{
    cluster->durability = spec->durability;
    FSM_TEXT_SET(cluster->defaults_file, spec->defaults_file);
    FSM_TEXT_SET(cluster->group, spec->group);
    cluster->probe_ms = spec->probe_ms;
    cluster->timeout_ms = spec->timeout_ms;
    cluster->version = a->index;
}

/* Appends server 'i' of 'spec'. Before enrolment its role is what the file says; later only a decision gives roles. */
static void add_server(struct fsm_cluster *cluster, const struct fsm_cluster_spec *spec, uint8_t i)
{
    struct fsm_server *s = &cluster->servers[cluster->servers_n++];

    memset(s, 0, sizeof(*s));
    FSM_TEXT_SET(s->name, spec->servers[i].name);
    FSM_TEXT_SET(s->address, spec->servers[i].address);
    s->declared = spec->servers[i].role;
    s->role = cluster->epoch == 0 ? s->declared : ROLE_REPLICA;
    s->state = SERVER_NEW;
}

static enum fsm_code create(struct fsm_apply *a, const struct fsm_cluster_spec *spec)
{
    struct fsm_cluster *cluster = NULL;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (fsm_cluster_find(a->state, spec->name) != NULL) {
        return FSM_REFUSE(a, FSM_EXISTS, "cluster %s exists: use apply to change it", spec->name);
    }
    for (size_t i = 0; i < FSM_CLUSTERS_MAX && cluster == NULL; i++) {
        if (!a->state->clusters[i].used) cluster = &a->state->clusters[i];
    }
    if (cluster == NULL) {
        return FSM_REFUSE(a, FSM_FULL, "the group has %d clusters already: that is the limit", FSM_CLUSTERS_MAX);
    }
    memset(cluster, 0, sizeof(*cluster));
    cluster->used = true;
    FSM_TEXT_SET(cluster->name, spec->name);
    cluster->flavour = spec->flavour;
    cluster->master = FSM_SERVER_NONE;
    cluster->backup = FSM_SERVER_NONE;
    set_settings(a, cluster, spec);
    for (uint8_t i = 0; i < spec->servers_n; i++) add_server(cluster, spec, i);
    text_addf(&text, "cluster %s is declared with %d servers", cluster->name, cluster->servers_n);
    fsm_event_add(a, &(struct fsm_note){cluster, "cluster.add", buffer, ""});
    return FSM_OK;
}

/* A server keeps its place for ever: plans, reigns and history name servers by place. So none can be left out, and
 * that holds for the master and the backup above all. */
static enum fsm_code check_change(struct fsm_apply *a, const struct fsm_cluster *cluster,
                                  const struct fsm_cluster_spec *spec)
{
    if (spec->flavour != cluster->flavour) {
        return FSM_REFUSE(a, FSM_INVALID, "the flavour of %s cannot change", cluster->name);
    }
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        const struct fsm_server *s = &cluster->servers[i];
        uint8_t at = spec_find(spec, s->name);

        if (at == FSM_SERVER_NONE) {
            return FSM_REFUSE(a, FSM_INVALID, "server %s of %s is missing: servers cannot be removed", s->name,
                              cluster->name);
        }
        if (s->state == SERVER_MEMBER && !text_equal(s->address, spec->servers[at].address)) {
            return FSM_REFUSE(a, FSM_INVALID, "%s is a member: quarantine it first to change its address", s->name);
        }
    }
    return FSM_OK;
}

static enum fsm_code change(struct fsm_apply *a, const struct fsm_cluster_spec *spec)
{
    struct fsm_cluster *cluster = fsm_apply_cluster(a, spec->name);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code;

    if (cluster == NULL) return FSM_NOT_FOUND;
    if (cluster->plan != 0) {
        return FSM_REFUSE(a, FSM_BUSY, "plan %llu runs on %s: wait until it ends", (unsigned long long)cluster->plan,
                          cluster->name);
    }
    code = check_change(a, cluster, spec);
    if (code != FSM_OK) return code;
    set_settings(a, cluster, spec);
    for (uint8_t i = 0; i < spec->servers_n; i++) {
        uint8_t at = fsm_server_find(cluster, spec->servers[i].name);

        if (at == FSM_SERVER_NONE) {
            add_server(cluster, spec, i);
            continue;
        }
        FSM_TEXT_SET(cluster->servers[at].address, spec->servers[i].address);
        cluster->servers[at].declared = spec->servers[i].role;
        if (cluster->epoch == 0) cluster->servers[at].role = spec->servers[i].role;
    }
    text_addf(&text, "the declaration of %s has changed: %d servers, durability %s", cluster->name, cluster->servers_n,
              fsm_durability_name(cluster->durability));
    fsm_event_add(a, &(struct fsm_note){cluster, "cluster.apply", buffer, ""});
    return FSM_OK;
}

enum fsm_code fsm_apply_cluster_set(struct fsm_apply *a)
{
    const struct fsm_cmd_cluster_set *c = &a->command->u.cluster_set;
    enum fsm_code code = check_spec(a, &c->spec);

    if (code != FSM_OK) return code;
    return c->create ? create(a, &c->spec) : change(a, &c->spec);
}
