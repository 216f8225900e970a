/* JSON of the group's members: the table of members, and what this manager sees of each. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "manager/report.h"

static void put(json_t *object, const char *key, json_t *value)
{
    MUST(json_object_set_new(object, key, value) == 0);
}

void report_node_name(struct report_node *node, const struct fsm_state *state)
{
    for (unsigned i = 0; i < node->members_n; i++) {
        const struct fsm_member *row = fsm_member_find(state, node->members[i].id);
        if (row == NULL) continue;
        TEXT_COPY(node->members[i].name, row->name);
        TEXT_COPY(node->members[i].address, row->address);
    }
}

static const struct raft_node_peer *find_peer(const struct report_node *node, uint64_t id)
{
    for (unsigned i = 0; i < node->peers_n; i++)
        if (node->peers[i].id == id) return &node->peers[i];
    return NULL;
}

static void put_end(json_t *out, int64_t not_after_s)
{
    char text[32];
    if (not_after_s == 0) return;
    clock_print((struct wall){not_after_s * 1000000}, text);
    put(out, "certificate_expires", json_string(text));
}

/* Only the leader hears all, and knows what each has. */
static void put_seen(json_t *out, const struct report_node *node, uint64_t id)
{
    const struct raft_node_peer *peer = find_peer(node, id);
    bool knows = peer != NULL && node->established && node->leader_id == node->id;
    uint64_t lag = knows && peer->match_index < node->last_index ? node->last_index - peer->match_index : 0;
    put(out, "match_index", knows ? json_integer((json_int_t)peer->match_index) : json_null());
    put(out, "lag", knows ? json_integer((json_int_t)lag) : json_null());
    put(out, "contact_ms", knows && peer->contact_ms >= 0 ? json_integer(peer->contact_ms) : json_null());
    put(out, "version", id == node->id ? json_string(REGENT_VERSION) : json_null());
    put(out, "certificate_expires", json_null());
    for (unsigned i = 0; i < node->hellos_n; i++) {
        if (node->hellos[i].manager_id != id) continue;
        put(out, "version", json_string(node->hellos[i].program));
        put_end(out, node->hellos[i].not_after_s);
    }
}

static json_t *member_of(const struct report_node *node, const struct raft_node_member *m)
{
    json_t *out = json_pack("{s:I, s:s, s:s, s:b, s:b}", "id", (json_int_t)m->id, "name", m->name, "address",
                            m->address, "leader", m->id == node->leader_id, "self", m->id == node->id);
    MUST(out != NULL);
    return out;
}

static json_t *row_of(const struct report_node *node, const struct fsm_member *row)
{
    struct raft_node_member m = {.id = row->id};
    TEXT_COPY(m.name, row->name);
    TEXT_COPY(m.address, row->address);
    json_t *out = member_of(node, &m);
    put(out, "role", json_string(row->want == MEMBER_GONE ? "leaving" : fsm_member_role_name(row->role)));
    put(out, "want", json_string(fsm_member_role_name(row->want)));
    put_seen(out, node, row->id);
    return out;
}

/* Before the first leader has recorded the table: the voters. */
static json_t *voter_of(const struct report_node *node, const struct raft_node_member *m)
{
    json_t *out = member_of(node, m);
    put(out, "role", json_string("voter"));
    put(out, "want", json_string("voter"));
    put_seen(out, node, m->id);
    return out;
}

/* Without their hashes, which are nobody's business. */
static json_t *tokens_of(const struct fsm_state *state)
{
    json_t *list = json_array();
    for (uint8_t i = 0; i < state->tokens_n; i++) {
        const struct fsm_token *t = &state->tokens[i];
        char expires[32];
        clock_print(t->expires, expires);
        json_t *one = json_pack("{s:I, s:s, s:s, s:s}", "id", (json_int_t)t->id, "name", t->name, "address",
                                t->address, "expires", expires);
        MUST(one != NULL && json_array_append_new(list, one) == 0);
    }
    return list;
}

json_t *report_members(const struct report_node *node, const struct fsm_state *state)
{
    json_t *out = report_group_head(node);
    json_t *members = json_array();
    char group[24];
    snprintf(group, sizeof group, "%016" PRIx64, node->group);
    put(out, "group", json_string(group));
    for (uint8_t i = 0; i < state->members_n; i++)
        MUST(json_array_append_new(members, row_of(node, &state->members[i])) == 0);
    for (unsigned i = 0; state->members_n == 0 && i < node->members_n; i++)
        MUST(json_array_append_new(members, voter_of(node, &node->members[i])) == 0);
    put(out, "members", members);
    put(out, "tokens", tokens_of(state));
    return out;
}
