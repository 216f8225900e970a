/* JSON of what operators and programs ask for. Shapes: issue 2 and docs/regent.md; keys are added, none is changed. */
#include "manager/report.h"

#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"

static void put(json_t *object, const char *key, json_t *value)
{
    MUST(json_object_set_new(object, key, value) == 0);
}

static void push(json_t *array, json_t *value)
{
    MUST(json_array_append_new(array, value) == 0);
}

/* A JSON string of any bytes. Texts of servers, and texts cut to their field's size, may be no valid UTF-8: what is not
 * ASCII is then replaced, for a report must never fail for that. */
static json_t *string_of(const char *s)
{
    json_t *value = json_string(s);
    if (value != NULL) return value;
    char clean[FSM_EVIDENCE_SIZE];
    struct text t = TEXT_ON(clean);
    text_add(&t, s);
    for (char *p = clean; *p != '\0'; p++)
        if ((*p & 0x80) != 0) *p = '?';
    value = json_string(clean);
    MUST(value != NULL);
    return value;
}

static void put_string(json_t *object, const char *key, const char *value)
{
    put(object, key, string_of(value));
}

/* null instead of an empty text. */
static void put_name(json_t *object, const char *key, const char *value)
{
    put(object, key, value == NULL || value[0] == '\0' ? json_null() : string_of(value));
}

static void put_number(json_t *object, const char *key, uint64_t value)
{
    put(object, key, json_integer((json_int_t)value));
}

static void put_time(json_t *object, const char *key, struct wall t)
{
    char text[32];
    if (t.us == 0) {
        put(object, key, json_null());
        return;
    }
    clock_print(t, text);
    put_string(object, key, text);
}

/* NULL for FSM_SERVER_NONE. */
static const char *server_name(const struct fsm_cluster *c, uint8_t server)
{
    return server < c->servers_n ? c->servers[server].name : NULL;
}

static json_t *names_of_set(const struct fsm_cluster *c, fsm_set set)
{
    json_t *names = json_array();
    for (uint8_t i = 0; i < c->servers_n; i++)
        if (fsm_set_has(set, i)) push(names, string_of(c->servers[i].name));
    return names;
}

json_t *report_lines(const char *text)
{
    json_t *lines = json_array();
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        char line[FSM_EVIDENCE_SIZE];
        struct text t = TEXT_ON(line);
        text_addf(&t, "%.*s", (int)len, text);
        if (len > 0) push(lines, string_of(line));
        text += len + (text[len] == '\n');
    }
    return lines;
}

/* ---- nodes ---- */

static const char *configured_name(const struct config *config, const struct raft_node_member *member)
{
    for (unsigned i = 0; i < config->group_n; i++)
        if (text_equal(config->group[i].address, member->address)) return config->group[i].name;
    if (member->id >= 1 && member->id <= config->group_n) return config->group[member->id - 1].name;
    return member->address;
}

void report_node_fill(struct report_node *out, const struct raft_node_status *status, const struct config *config)
{
    memset(out, 0, sizeof(*out));
    TEXT_COPY(out->name, config->node);
    out->id = status->id;
    out->term = status->term;
    out->index = status->applied_index;
    out->leader_id = status->leader_id;
    out->established = status->established;
    out->members_n = status->members_n <= RAFT_NODE_MEMBERS_MAX ? status->members_n : RAFT_NODE_MEMBERS_MAX;
    for (unsigned i = 0; i < out->members_n; i++) {
        out->members[i] = status->members[i];
        TEXT_COPY(out->members[i].name, configured_name(config, &status->members[i]));
    }
}

const char *report_leader_name(const struct report_node *node)
{
    for (unsigned i = 0; node->leader_id != 0 && i < node->members_n; i++)
        if (node->members[i].id == node->leader_id) return node->members[i].name;
    return "";
}

json_t *report_group_head(const struct report_node *node)
{
    json_t *head = json_object();
    put_name(head, "leader", report_leader_name(node));
    put_number(head, "term", node->term);
    put_number(head, "index", node->index);
    put_number(head, "group_version", node->version);
    put(head, "stale", json_boolean(!node->established));
    put_string(head, "from", node->name);
    return head;
}

static json_t *speaks(const struct hello *hello)
{
    json_t *range = json_pack("[i, i]", (int)hello->version_min, (int)hello->version_max);
    MUST(range != NULL);
    return range;
}

json_t *report_versions(const struct report_node *node)
{
    json_t *out = json_object(), *managers = json_array(), *addresses = json_array();
    put_string(out, "version", REGENT_VERSION);
    put_string(out, "node", node->name);
    put_number(out, "group_version", node->version);
    for (unsigned i = 0; i < node->hellos_n; i++) {
        json_t *manager = json_object();
        put_number(manager, "id", node->hellos[i].manager_id);
        put_string(manager, "version", node->hellos[i].program);
        put(manager, "speaks", speaks(&node->hellos[i]));
        push(managers, manager);
        if (node->hellos[i].manager_id == node->id) put(out, "speaks", speaks(&node->hellos[i]));
    }
    put(out, "managers", managers);
    for (unsigned i = 0; i < node->members_n; i++) push(addresses, string_of(node->members[i].address));
    put(out, "addresses", addresses);
    return out;
}

/* ---- status ---- */

/* Which server of the cluster a channel comes from: by server id where enrolled, else by address; else the address. */
static void put_source(json_t *object, const struct fsm_cluster *c, const struct view_channel *channel)
{
    char address[FSM_ADDRESS_SIZE + 8];
    struct text t = TEXT_ON(address);
    text_addf(&t, "%s:%u", channel->source_host, channel->source_port);
    for (uint8_t i = 0; i < c->servers_n; i++) {
        const struct fsm_server *s = &c->servers[i];
        bool by_id = s->server_id != 0 && s->server_id == channel->source_server_id;
        if (!by_id && !text_equal(s->address, address)) continue;
        put_string(object, "source", s->name);
        return;
    }
    put_string(object, "source", address);
}

static const char *receiver_name(enum view_io io)
{
    switch (io) {
    case VIEW_IO_NO: return "stopped";
    case VIEW_IO_CONNECTING: return "connecting";
    case VIEW_IO_YES: return "running";
    }
    return "?";
}

static void put_facts(json_t *object, const struct fsm_cluster *c, uint8_t server, const struct view_facts *f)
{
    const struct view_channel *channel = f != NULL && f->channels_n > 0 ? &f->channels[0] : NULL;
    bool is_master = server == c->master;
    if (is_master && f != NULL) put_number(object, "lag_ms", 0);
    else if (channel != NULL && channel->lag_ms >= 0) put_number(object, "lag_ms", (uint64_t)channel->lag_ms);
    else put(object, "lag_ms", json_null());
    put_name(object, "gtid", f != NULL ? f->executed : NULL);
    put(object, "read_only", f != NULL ? json_boolean(f->read_only) : json_null());
    put_name(object, "version", f != NULL ? f->version : NULL);
    if (channel == NULL || is_master) {
        put(object, "source", json_null());
        put(object, "receiver", json_null());
        put(object, "applier", json_null());
        return;
    }
    put_source(object, c, channel);
    put_string(object, "receiver", receiver_name(channel->io));
    put_string(object, "applier", channel->applier ? "running" : "stopped");
}

static json_t *status_server(const struct report_cluster *c, uint8_t i)
{
    const struct fsm_server *s = &c->cluster->servers[i];
    const struct fsm_reign *reign = fsm_reign_current(c->cluster);
    const struct view_facts *facts = report_facts(c->view, i);
    char buffer[FSM_TEXT_SIZE * 2];
    struct text reason = TEXT_ON(buffer);
    const char *health = report_server_health(c, i, &reason);

    json_t *out = json_object();
    put_string(out, "name", s->name);
    put_string(out, "address", s->address);
    put_string(out, "role", fsm_role_name(s->role));
    put_string(out, "state", fsm_server_state_name(s->state));
    put_string(out, "health", health);
    put_string(out, "reason", buffer);
    put_facts(out, c->cluster, i, facts);
    put(out, "acker", json_boolean(reign != NULL && fsm_set_has(reign->ackers, i)));
    bool attached = facts != NULL && (i == c->cluster->master ? facts->source_on : facts->replica_on);
    put(out, "semi_sync", facts != NULL ? json_boolean(attached) : json_null());
    return out;
}

static json_t *plan_brief(const struct fsm_plan *plan)
{
    if (plan == NULL) return json_null();
    json_t *out = json_object();
    put_number(out, "token", plan->token);
    put_string(out, "kind", fsm_plan_kind_name(plan->kind));
    put_string(out, "state", fsm_plan_state_name(plan->state));
    put_string(out, "step", fsm_step_name(plan->step));
    return out;
}

static json_t *status_cluster(const struct report_cluster *c)
{
    const struct fsm_cluster *cluster = c->cluster;
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    char buffer[FSM_TEXT_SIZE * 3];
    struct text why = TEXT_ON(buffer);
    enum report_state state = report_cluster_state(c, &why);

    json_t *out = json_object();
    put_string(out, "name", cluster->name);
    put_string(out, "state", report_state_name(state));
    put_string(out, "text", buffer);
    put_number(out, "epoch", cluster->epoch);
    put_name(out, "master", server_name(cluster, cluster->master));
    put_name(out, "backup", server_name(cluster, cluster->backup));
    put_string(out, "flavour", fsm_flavour_name(cluster->flavour));
    put_string(out, "durability", fsm_durability_name(cluster->durability));
    put(out, "lossless", json_boolean(reign != NULL && reign->lossless));
    put(out, "paused", json_boolean(cluster->paused));
    put(out, "ackers", names_of_set(cluster, reign != NULL ? reign->ackers : 0));
    put(out, "plan", plan_brief(cluster->plan != 0 ? fsm_plan_find(c->state, cluster->plan) : NULL));
    put_name(out, "verdict", c->diagnosis != NULL ? diagnosis_name(c->diagnosis->row) : NULL);
    json_t *servers = json_array();
    for (uint8_t i = 0; i < cluster->servers_n; i++) push(servers, status_server(c, i));
    put(out, "servers", servers);
    return out;
}

json_t *report_status(const struct report_node *node, const struct report_cluster *clusters, unsigned clusters_n)
{
    json_t *out = report_group_head(node);
    json_t *list = json_array();
    for (unsigned i = 0; i < clusters_n; i++) push(list, status_cluster(&clusters[i]));
    put(out, "clusters", list);
    return out;
}

/* ---- explain, events ---- */

json_t *report_explain(const struct report_cluster *c, const char *next)
{
    char buffer[FSM_TEXT_SIZE * 3];
    struct text why = TEXT_ON(buffer);
    enum report_state state = report_cluster_state(c, &why);

    json_t *out = json_object();
    put_string(out, "cluster", c->cluster->name);
    put_string(out, "state", report_state_name(state));
    put_string(out, "text", buffer);
    put_name(out, "master", server_name(c->cluster, c->cluster->master));
    put_string(out, "verdict", diagnosis_name(c->diagnosis->row));
    put_string(out, "means", diagnosis_text(c->diagnosis->row));
    put(out, "acts", json_boolean(c->diagnosis->acts));
    put(out, "evidence", report_lines(c->diagnosis->evidence));
    put_string(out, "change", c->diagnosis->change);
    put_string(out, "next", next);
    put(out, "plan", plan_brief(c->cluster->plan != 0 ? fsm_plan_find(c->state, c->cluster->plan) : NULL));
    json_t *servers = json_array();
    for (uint8_t i = 0; i < c->cluster->servers_n; i++) {
        char line[FSM_TEXT_SIZE * 2];
        struct text reason = TEXT_ON(line);
        json_t *server = json_object();
        put_string(server, "name", c->cluster->servers[i].name);
        put_string(server, "role", fsm_role_name(c->cluster->servers[i].role));
        put_string(server, "health", report_server_health(c, i, &reason));
        put_string(server, "reason", line);
        push(servers, server);
    }
    put(out, "servers", servers);
    return out;
}

json_t *report_event(const struct fsm_event *event)
{
    json_t *out = json_object();
    put_number(out, "index", event->index);
    put_time(out, "time", event->time);
    put_name(out, "cluster", event->cluster);
    put_number(out, "epoch", event->epoch);
    put_string(out, "kind", event->kind);
    put_string(out, "text", event->text);
    put_string(out, "evidence", event->evidence);
    return out;
}

/* ---- plans ---- */

/* The steps that the plan went through, in their order, with how long each took (the last of a running plan: null). */
static json_t *plan_steps(const struct fsm_plan *plan)
{
    json_t *steps = json_array();
    json_t *last = NULL;
    struct wall last_at = {0};
    for (int s = STEP_PREPARE; s <= STEP_DONE; s++) {
        struct wall at = plan->step_at[s];
        if (at.us == 0) continue;
        if (last != NULL) put(last, "took_ms", json_integer((at.us - last_at.us) / 1000));
        last = json_object();
        last_at = at;
        put_string(last, "step", fsm_step_name((enum fsm_step)s));
        put_time(last, "at", at);
        put(last, "took_ms", json_null());
        push(steps, last);
    }
    if (last != NULL && plan->ended.us != 0)
        put(last, "took_ms", json_integer((plan->ended.us - last_at.us) / 1000));
    return steps;
}

static json_t *plan_found(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    json_t *found = json_array();
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (!plan->found[i].set) continue;
        json_t *one = json_object();
        put_string(one, "server", cluster->servers[i].name);
        put_string(one, "received", plan->found[i].received);
        put_string(one, "executed", plan->found[i].executed);
        push(found, one);
    }
    return found;
}

json_t *report_plan(const struct fsm_state *state, const struct fsm_plan *plan, bool whole)
{
    MUST(plan->cluster < FSM_CLUSTERS_MAX);
    const struct fsm_cluster *cluster = &state->clusters[plan->cluster];
    json_t *out = json_object();
    put_number(out, "token", plan->token);
    put_string(out, "cluster", cluster->name);
    put_string(out, "kind", fsm_plan_kind_name(plan->kind));
    put_string(out, "state", fsm_plan_state_name(plan->state));
    put_string(out, "step", fsm_step_name(plan->step));
    put_name(out, "from", server_name(cluster, plan->from));
    put_name(out, "to", server_name(cluster, plan->to));
    put_number(out, "epoch", plan->epoch);
    put_string(out, "verdict", plan->verdict);
    put_time(out, "started", plan->started);
    put_time(out, "ended", plan->ended);
    put(out, "took_ms", plan->ended.us != 0 ? json_integer((plan->ended.us - plan->started.us) / 1000) : json_null());
    put_string(out, "reason", plan->reason);
    if (!whole) return out;
    put_name(out, "acker", server_name(cluster, plan->acker));
    put_name(out, "holder", server_name(cluster, plan->holder));
    put_name(out, "fence", plan->fence != fsm_fence_none ? fsm_fence_name(plan->fence) : NULL);
    put(out, "accept_loss", json_boolean(plan->accept_loss));
    put(out, "by_operator", json_boolean(plan->by_operator));
    put(out, "revoked", names_of_set(cluster, plan->revoked));
    put_string(out, "target", plan->target);
    put(out, "found", plan_found(cluster, plan));
    put(out, "steps", plan_steps(plan));
    return out;
}

/* The plan with the greatest token below 'below' (0: no bound), of one cluster slot or of all (FSM_CLUSTERS_MAX). */
static const struct fsm_plan *plan_before(const struct fsm_state *state, uint64_t below, unsigned slot)
{
    const struct fsm_plan *best = NULL;
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        const struct fsm_plan *p = &state->plans[i];
        if (p->token == 0 || (below != 0 && p->token >= below)) continue;
        if (slot != FSM_CLUSTERS_MAX && p->cluster != slot) continue;
        if (best == NULL || p->token > best->token) best = p;
    }
    return best;
}

json_t *report_plans(const struct fsm_state *state, const struct fsm_cluster *cluster)
{
    unsigned slot = cluster != NULL ? fsm_cluster_index(state, cluster) : FSM_CLUSTERS_MAX;
    json_t *out = json_object();
    json_t *plans = json_array();
    const struct fsm_plan *p = plan_before(state, 0, slot);
    for (; p != NULL; p = plan_before(state, p->token, slot)) push(plans, report_plan(state, p, false));
    put(out, "plans", plans);
    return out;
}

/* ---- declarations ---- */

json_t *report_declaration(const struct fsm_cluster *c)
{
    json_t *out = json_object();
    put_string(out, "cluster", c->name);
    put_string(out, "flavour", fsm_flavour_name(c->flavour));
    put_string(out, "durability", fsm_durability_name(c->durability));
    json_t *credentials = json_object();
    put_string(credentials, "defaults_file", c->defaults_file);
    put_string(credentials, "group", c->group);
    put(out, "credentials", credentials);
    json_t *detect = json_object();
    put_number(detect, "probe_ms", c->probe_ms);
    put_number(detect, "timeout_ms", c->timeout_ms);
    put(out, "detect", detect);
    json_t *servers = json_array();
    for (uint8_t i = 0; i < c->servers_n; i++) {
        json_t *server = json_object();
        put_string(server, "name", c->servers[i].name);
        put_string(server, "address", c->servers[i].address);
        put_string(server, "role", fsm_role_name(c->servers[i].declared));
        push(servers, server);
    }
    put(out, "servers", servers);
    put_number(out, "epoch", c->epoch);
    put_name(out, "master", server_name(c, c->master));
    put_number(out, "version", c->version);
    return out;
}
