/* Status and topology: the two pictures that an operator looks at first. */
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/render.h"
#include "lib/base/must.h"

enum { TREE_MAX = 64 }; /* Servers of one tree; a cluster has at most FSM_SERVERS_MAX. */

static const char *or_nobody(const char *name)
{
    return name[0] != '\0' ? name : "nobody";
}

static void render_head(const struct style *s, json_t *status)
{
    if (!field_is_true(status, "stale")) {
        fprintf(s->out, "leader %s, term %s, index %s\n", or_nobody(field(status, "leader")), field(status, "term"),
                field(status, "index"));
        return;
    }
    fprintf(s->out, "%sNO LEADER: this is what %s remembers (term %s, index %s), and it may be out of date.%s\n",
            colour_of(s, "failed"), field(status, "from"), field(status, "term"), field(status, "index"),
            colour_end(s));
    fputs("No failover can happen until a majority of the managers run and reach each other: `regent member list`.\n",
          s->out);
}

/* What a server is, in one word: the committed state where that says more than what is seen. */
static const char *word_of(json_t *server)
{
    const char *health = field(server, "health");
    return health[0] != '\0' ? health : field(server, "state");
}

static const char *lag_of(json_t *server)
{
    const char *lag = field(server, "lag_ms");
    return lag[0] != '\0' ? lag : "-";
}

static const char *mode_of(json_t *server)
{
    json_t *read_only = json_object_get(server, "read_only");
    if (!json_is_boolean(read_only)) return "-";
    return json_is_true(read_only) ? "ro" : "RW";
}

static void colour_cell(const struct style *s, struct libscols_line *line, size_t column, const char *word)
{
    const char *colour = colour_name(s, word);
    if (colour != NULL) MUST(scols_cell_set_color(scols_line_get_cell(line, column), colour) == 0);
}

/* One line for each server that is not well: its name, and why. */
static void render_reasons(const struct style *s, json_t *servers)
{
    json_t *server;
    size_t i;
    json_array_foreach(servers, i, server)
    {
        const char *word = word_of(server), *reason = field(server, "reason");
        if (reason[0] == '\0' || strcmp(word, "ok") == 0) continue;
        fprintf(s->out, "  %s%s: %s%s: ", colour_of(s, word), field(server, "name"), word, colour_end(s));
        put_safe(s->out, reason);
        fputc('\n', s->out);
    }
}

static void render_cluster_head(const struct style *s, json_t *cluster)
{
    const char *state = field(cluster, "state");
    fprintf(s->out, "\ncluster %s: %s%s%s", field(cluster, "name"), colour_of(s, state), state, colour_end(s));
    const char *text = field(cluster, "text");
    if (text[0] != '\0') {
        fputs(": ", s->out);
        put_safe(s->out, text);
    }
    fputc('\n', s->out);
    bool is_lossless = field_is_true(cluster, "lossless");
    fprintf(s->out, "  epoch %s, master %s, backup %s, %s: %s%s%s, acknowledged by %s\n", field(cluster, "epoch"),
            or_nobody(field(cluster, "master")), or_nobody(field(cluster, "backup")), field(cluster, "durability"),
            colour_of(s, is_lossless ? "lossless" : "not lossless"), is_lossless ? "lossless now" : "not lossless now",
            colour_end(s), field_names(cluster, "ackers"));
    json_t *plan = json_object_get(cluster, "plan");
    if (json_is_object(plan))
        fprintf(s->out, "  plan %s: %s, step %s\n", field(plan, "token"), field(plan, "kind"), field(plan, "step"));
}

static void render_cluster(const struct style *s, json_t *cluster)
{
    static const char *const columns[] = {"SERVER", "ADDRESS", "ROLE", "STATE", "MODE", ">LAG ms", "GTID", NULL};
    json_t *servers = field_array(cluster, "servers"), *server;
    size_t i;
    render_cluster_head(s, cluster);
    struct libscols_table *t = table_new(s, columns);
    json_array_foreach(servers, i, server)
    {
        const char *word = word_of(server);
        struct libscols_line *line =
            table_line(t, NULL, (const char *const[]){field(server, "name"), field(server, "address"),
                                                      field(server, "role"), word, mode_of(server), lag_of(server),
                                                      field(server, "gtid"), NULL});
        colour_cell(s, line, 3, word);
    }
    table_print(s, t, 2);
    render_reasons(s, servers);
}

void render_status(const struct style *s, json_t *status)
{
    json_t *clusters = field_array(status, "clusters"), *cluster;
    size_t i;
    render_head(s, status);
    json_array_foreach(clusters, i, cluster) render_cluster(s, cluster);
    if (json_array_size(clusters) == 0)
        fputs("No cluster is declared yet: `regent cluster add FILE`.\n", s->out);
}

/* ---- topology ---- */

struct tree {
    const struct style *style;
    struct libscols_table *table;
    json_t *servers;
    bool shown[TREE_MAX];
};

static const char *ack_of(json_t *server, json_t *cluster)
{
    bool on = field_is_true(server, "semi_sync");
    if (strcmp(field(server, "name"), field(cluster, "master")) == 0) return on ? "waits" : "";
    if (field_is_true(server, "acker")) return on ? "acks" : "acker, detached";
    return on ? "acks, uninvited" : "";
}

static struct libscols_line *tree_line(struct tree *t, struct libscols_line *parent, json_t *server, json_t *cluster)
{
    const char *word = word_of(server);
    struct libscols_line *line = table_line(
        t->table, parent, (const char *const[]){field(server, "name"), field(server, "role"), word, mode_of(server),
                                                ack_of(server, cluster), lag_of(server), field(server, "gtid"), NULL});
    colour_cell(t->style, line, 2, word);
    return line;
}

/* Shows 'index' and below it all that replicate from it. A server is shown once, so a ring ends. */
static void tree_add(struct tree *t, struct libscols_line *parent, size_t index, json_t *cluster)
{
    json_t *server = json_array_get(t->servers, index), *other;
    size_t i;
    t->shown[index] = true;
    struct libscols_line *line = tree_line(t, parent, server, cluster);
    json_array_foreach(t->servers, i, other)
    {
        if (i >= TREE_MAX || t->shown[i] || strcmp(field(other, "source"), field(server, "name")) != 0) continue;
        tree_add(t, line, i, cluster);
    }
}

/* True when it replicates from a server of this cluster: then it stands below that one. */
static bool has_parent(const struct tree *t, json_t *server)
{
    json_t *other;
    size_t i;
    json_array_foreach(t->servers, i, other)
        if (strcmp(field(server, "source"), field(other, "name")) == 0) return true;
    return false;
}

static void tree_build(struct tree *t, json_t *cluster)
{
    json_t *server;
    size_t i;
    /* First the master, then other heads of trees, then rings, which have no head. */
    json_array_foreach(t->servers, i, server)
        if (i < TREE_MAX && strcmp(field(server, "name"), field(cluster, "master")) == 0) tree_add(t, NULL, i, cluster);
    json_array_foreach(t->servers, i, server)
        if (i < TREE_MAX && !t->shown[i] && !has_parent(t, server)) tree_add(t, NULL, i, cluster);
    json_array_foreach(t->servers, i, server)
        if (i < TREE_MAX && !t->shown[i]) tree_add(t, NULL, i, cluster);
}

static void render_tree(const struct style *s, json_t *cluster)
{
    static const char *const columns[] = {"|SERVER", "ROLE", "STATE", "MODE", "SEMI-SYNC", ">LAG ms", "GTID", NULL};
    const char *state = field(cluster, "state");
    struct tree t = {.style = s, .servers = field_array(cluster, "servers")};
    fprintf(s->out, "cluster %s: %s%s%s, epoch %s\n", field(cluster, "name"), colour_of(s, state), state, colour_end(s),
            field(cluster, "epoch"));
    /* What a degraded cluster lacks stands below the tree, with its servers. */
    const char *text = field(cluster, "text");
    if (text[0] != '\0' && strcmp(state, "degraded") != 0) {
        fputs("  ", s->out);
        put_safe(s->out, text);
        fputc('\n', s->out);
    }
    t.table = table_new(s, columns);
    tree_build(&t, cluster);
    table_print(s, t.table, 2);
    render_reasons(s, t.servers);
}

void render_topology(const struct style *s, json_t *status, const char *name)
{
    json_t *clusters = field_array(status, "clusters"), *cluster;
    size_t i;
    if (field_is_true(status, "stale")) render_head(s, status);
    json_array_foreach(clusters, i, cluster)
        if (name == NULL || strcmp(name, field(cluster, "name")) == 0) render_tree(s, cluster);
    if (json_array_size(clusters) == 0) fputs("No cluster is declared yet: `regent cluster add FILE`.\n", s->out);
}
