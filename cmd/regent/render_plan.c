/* Plans, events, explain, members, declarations as text. */
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/declaration.h"
#include "cmd/regent/render.h"
#include "lib/base/must.h"
#include "manager/config.h"

static void put_line(FILE *out, const char *label, const char *text)
{
    if (text[0] == '\0') return;
    fprintf(out, "%-10s ", label);
    put_safe(out, text);
    fputc('\n', out);
}

static void put_indented(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        char line[2048];
        snprintf(line, sizeof(line), "%.*s", (int)len, text);
        if (len > 0) {
            fputs("    ", out);
            put_safe(out, line);
            fputc('\n', out);
        }
        text += len + (text[len] == '\n');
    }
}

void render_event(const struct style *s, json_t *event)
{
    const char *cluster = field(event, "cluster");
    fprintf(s->out, "%s  #%s  %s%s%s  ", short_time(field(event, "time")), field(event, "index"), cluster,
            cluster[0] != '\0' ? "  " : "", field(event, "kind"));
    put_safe(s->out, field(event, "text"));
    fputc('\n', s->out);
    put_indented(s->out, field(event, "evidence"));
}

static void put_lines(FILE *out, json_t *lines)
{
    json_t *line;
    size_t i;
    json_array_foreach(lines, i, line)
    {
        if (!json_is_string(line)) continue;
        put_indented(out, json_string_value(line));
    }
}

void render_explain(const struct style *s, json_t *e)
{
    const char *state = field(e, "state");
    fprintf(s->out, "cluster %s: %s%s%s\n", field(e, "cluster"), colour_of(s, state), state, colour_end(s));
    put_line(s->out, "text:", field(e, "text"));
    put_line(s->out, "master:", field(e, "master"));
    fprintf(s->out, "%-10s %s: ", "verdict:", field(e, "verdict"));
    put_safe(s->out, field(e, "means"));
    fprintf(s->out, "\n%-10s %s\n", "acts:",
            field_is_true(e, "acts") ? "yes, this verdict calls for a plan" : "no, this verdict calls for no plan");
    put_line(s->out, "now:", field(e, "next"));
    put_line(s->out, "changes:", field(e, "change"));
    fputs("evidence:\n", s->out);
    put_lines(s->out, field_array(e, "evidence"));
    json_t *servers = field_array(e, "servers"), *server;
    size_t i;
    fputs("servers:\n", s->out);
    json_array_foreach(servers, i, server)
    {
        const char *health = field(server, "health"), *reason = field(server, "reason");
        fprintf(s->out, "    %s (%s): %s%s%s%s", field(server, "name"), field(server, "role"), colour_of(s, health),
                health, colour_end(s), reason[0] != '\0' ? ": " : "");
        put_safe(s->out, reason);
        fputc('\n', s->out);
    }
}

void render_plans(const struct style *s, json_t *plans)
{
    static const char *const columns[] = {">PLAN", "CLUSTER", "KIND", "STATE",   "STEP",     "FROM",
                                          "TO",    ">EPOCH",  "STARTED", ">TOOK ms", "REASON", NULL};
    json_t *list = field_array(plans, "plans"), *p;
    size_t i;
    struct libscols_table *t = table_new(s, columns);
    json_array_foreach(list, i, p)
    {
        const char *state = field(p, "state");
        struct libscols_line *line = table_line(
            t, NULL,
            (const char *const[]){field(p, "token"), field(p, "cluster"), field(p, "kind"), state, field(p, "step"),
                                  field(p, "from"), field(p, "to"), field(p, "epoch"), short_time(field(p, "started")),
                                  field(p, "took_ms"), field(p, "reason"), NULL});
        const char *colour = colour_name(s, state);
        if (colour != NULL) MUST(scols_cell_set_color(scols_line_get_cell(line, 3), colour) == 0);
    }
    table_print(s, t, 0);
    if (json_array_size(list) == 0) fputs("No plan has run yet.\n", s->out);
}

static void render_steps(const struct style *s, json_t *plan)
{
    static const char *const columns[] = {"STEP", "BEGAN", ">TOOK ms", NULL};
    json_t *steps = field_array(plan, "steps"), *step;
    size_t i;
    struct libscols_table *t = table_new(s, columns);
    json_array_foreach(steps, i, step)
    {
        const char *at = short_time(field(step, "at"));
        table_line(t, NULL, (const char *const[]){field(step, "step"), at, field(step, "took_ms"), NULL});
    }
    table_print(s, t, 2);
}

static void render_found(const struct style *s, json_t *plan)
{
    static const char *const columns[] = {"SERVER", "RECEIVED", "EXECUTED", NULL};
    json_t *found = field_array(plan, "found"), *f;
    size_t i;
    if (json_array_size(found) == 0) return;
    fputs("found after the receivers were stopped:\n", s->out);
    struct libscols_table *t = table_new(s, columns);
    json_array_foreach(found, i, f) table_line(
        t, NULL, (const char *const[]){field(f, "server"), field(f, "received"), field(f, "executed"), NULL});
    table_print(s, t, 2);
}

void render_plan(const struct style *s, json_t *plan)
{
    const char *state = field(plan, "state"), *from = field(plan, "from"), *to = field(plan, "to");
    fprintf(s->out, "plan %s: %s of cluster %s, %s%s%s", field(plan, "token"), field(plan, "kind"),
            field(plan, "cluster"), colour_of(s, state), state, colour_end(s));
    if (strcmp(state, "finished") != 0) fprintf(s->out, " at step %s", field(plan, "step"));
    if (field(plan, "took_ms")[0] != '\0') fprintf(s->out, " after %s ms", field(plan, "took_ms"));
    fputc('\n', s->out);
    put_line(s->out, "reason:", field(plan, "reason"));
    if (from[0] != '\0' || to[0] != '\0')
        fprintf(s->out, "%-10s %s -> %s, epoch %s\n", "master:", from[0] != '\0' ? from : "nobody",
                to[0] != '\0' ? to : "nobody", field(plan, "epoch"));
    put_line(s->out, "verdict:", field(plan, "verdict"));
    put_line(s->out, "begun by:", field_is_true(plan, "by_operator") ? "an operator" : "the managers");
    put_line(s->out, "loss:", field_is_true(plan, "accept_loss") ? "accepted by the operator" : "not accepted");
    put_line(s->out, "fence:", field(plan, "fence"));
    put_line(s->out, "revoked:", field_names(plan, "revoked"));
    put_line(s->out, "acker:", field(plan, "acker"));
    put_line(s->out, "holder:", field(plan, "holder"));
    put_line(s->out, "target:", field(plan, "target"));
    render_steps(s, plan);
    render_found(s, plan);
}

/* "-" for what is not known. */
static const char *known(json_t *object, const char *key)
{
    const char *text = field(object, key);
    return text[0] != '\0' ? text : "-";
}

/* The day of a time. */
static const char *known_day(json_t *object, const char *key)
{
    const char *text = short_time(field(object, key));
    char *space = strchr(text, ' ');
    if (space != NULL) *space = '\0';
    return text[0] != '\0' ? text : "-";
}

void render_members(const struct style *s, json_t *members)
{
    static const char *const columns[] = {">ID",  "NAME",        "ADDRESS", "ROLE",        ">MATCH",
                                          ">LAG", ">HEARD (ms)", "VERSION", "CERTIFICATE", NULL};
    json_t *list = field_array(members, "members"), *m;
    size_t i;
    struct libscols_table *t = table_new(s, columns);
    bool is_stale = field_is_true(members, "stale");
    json_array_foreach(list, i, m)
    {
        const char *role = is_stale ? "unknown" : field_is_true(m, "leader") ? "leader" : field(m, "role");
        table_line(t, NULL, (const char *const[]){field(m, "id"), field(m, "name"), field(m, "address"), role,
                                                  known(m, "match_index"), known(m, "lag"), known(m, "contact_ms"),
                                                  known(m, "version"), known_day(m, "certificate_expires"), NULL});
    }
    if (is_stale)
        fprintf(s->out, "NO LEADER: this is what %s remembers.\n", field(members, "from"));
    table_print(s, t, 0);
}

void render_tokens(const struct style *s, json_t *members, const char *now)
{
    static const char *const columns[] = {">ID", "NAME", "ADDRESS", "EXPIRES", "STATE", NULL};
    json_t *list = field_array(members, "tokens"), *t;
    size_t i;
    if (field_is_true(members, "stale"))
        fprintf(s->out, "NO LEADER: this is what %s remembers.\n", field(members, "from"));
    if (json_array_size(list) == 0) {
        fputs("No unused tokens.\n", s->out);
        return;
    }
    struct libscols_table *table = table_new(s, columns);
    json_array_foreach(list, i, t)
    {
        const char *address = field(t, "address"), *expires = field(t, "expires");
        table_line(table, NULL, (const char *const[]){field(t, "id"), field(t, "name"), address[0] ? address : "any",
                                                      short_time(expires),
                                                      strcmp(expires, now) <= 0 ? "expired" : "unused", NULL});
    }
    table_print(s, table, 0);
}

bool render_declaration(const struct style *s, json_t *declaration)
{
    struct fsm_cluster_spec spec;
    bool good = declaration_read(declaration, &spec);
    if (good) config_print_cluster(&spec, s->out);
    return good;
}
