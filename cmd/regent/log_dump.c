/* `regent log dump DIR`: a stopped manager's log, readably: the snapshot that its state begins with, then one line an
 * entry, and last the node. Servers are told by name where the state of that moment is known. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/regent/commands.h"
#include "cmd/regent/log.h"
#include "cmd/regent/render.h"
#include "lib/base/text.h"
#include "manager/replay.h"
#include "proto/command_text.h"

struct dump {
    const struct log_dir *dir;
    bool json;
    struct fsm_state *state; /* As of before the entry; NULL: not known. */
    struct fsm_command *command;
    const struct fsm_cluster *cluster; /* Of the command that is told, or NULL. */
    char line[8192];
    struct text text;
    json_t *fields;
};

static void iso_time(struct wall at, char to[40])
{
    time_t s = (time_t)(at.us / 1000000);
    struct tm tm;
    char seconds[24];
    to[0] = '\0';
    if (at.us <= 0 || gmtime_r(&s, &tm) == NULL) return;
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(to, 40, "%s.%06dZ", seconds, (int)(at.us % 1000000));
}

/* --- fields of a command ---------------------------------------------------------------------------------------- */

/* Notes the cluster that a command is about, as the state of that moment knows it. */
static void find_cluster(void *arg, const struct proto_field *f)
{
    struct dump *d = arg;
    if (strcmp(f->path, "cluster") == 0 && f->type == PROTO_FIELD_TEXT) {
        d->cluster = fsm_cluster_find(d->state, f->text);
    } else if (strcmp(f->path, "token") == 0 && f->type == PROTO_FIELD_NUMBER) {
        const struct fsm_plan *plan = fsm_plan_find(d->state, f->number);
        if (plan != NULL) d->cluster = &d->state->clusters[plan->cluster];
    }
}

static void add_server(const struct dump *d, struct text *t, uint64_t server)
{
    const struct fsm_cluster *c = d->cluster;
    if (server == FSM_SERVER_NONE) text_add(t, "none");
    else if (c != NULL && server < c->servers_n && server < FSM_SERVERS_MAX) text_add(t, c->servers[server].name);
    else text_addf(t, "#%" PRIu64, server);
}

/* The value as text. */
static void field_text(const struct dump *d, const struct proto_field *f, struct text *t)
{
    char time[40];
    switch (f->type) {
    case PROTO_FIELD_TEXT: text_add(t, f->text); return;
    case PROTO_FIELD_BYTES:
        for (size_t i = 0; i < f->size; i++) text_addf(t, "%02x", (unsigned char)f->text[i]);
        return;
    case PROTO_FIELD_NUMBER: text_addf(t, "%" PRIu64, f->number); return;
    case PROTO_FIELD_SIGNED: text_addf(t, "%" PRId64, (int64_t)f->number); return;
    case PROTO_FIELD_TIME:
        iso_time((struct wall){(int64_t)f->number}, time);
        text_add(t, time);
        return;
    case PROTO_FIELD_TRUE: text_add(t, "true"); return;
    case PROTO_FIELD_SERVER: add_server(d, t, f->number); return;
    case PROTO_FIELD_SET: break;
    }
    for (uint64_t i = 0, n = 0; i < FSM_SERVERS_MAX; i++) {
        if ((f->number >> i & 1) == 0) continue;
        if (n++ > 0) text_add(t, ",");
        add_server(d, t, i);
    }
}

/* Appends key=value; a value with spaces or quotes in quotes, control characters as \xNN. */
static void add_pair(struct text *t, const char *key, const char *value)
{
    bool quote = value[0] == '\0' || strpbrk(value, " \"=\n\t") != NULL;
    text_addf(t, " %s=%s", key, quote ? "\"" : "");
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 127) text_addf(t, "\\x%02x", (unsigned char)*p);
        else text_addf(t, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
    }
    if (quote) text_add(t, "\"");
}

static json_t *json_text(const char *s)
{
    json_t *json = json_string(s);
    return json != NULL ? json : json_string("(not UTF-8)");
}

static void put_field(void *arg, const struct proto_field *f)
{
    struct dump *d = arg;
    char value[4096];
    struct text t = TEXT_ON(value);
    if (d->json && f->type == PROTO_FIELD_NUMBER) {
        (void)json_object_set_new(d->fields, f->path, json_integer((json_int_t)f->number));
    } else if (d->json && f->type == PROTO_FIELD_TRUE) {
        (void)json_object_set_new(d->fields, f->path, json_true());
    } else {
        field_text(d, f, &t);
        if (d->json) (void)json_object_set_new(d->fields, f->path, json_text(value));
        else add_pair(&d->text, f->path, value);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------ */

static void print_line(json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    (void)fputc('\n', stdout);
    json_decref(json);
}

static void flush_text(struct dump *d)
{
    if (d->text.cut) (void)fprintf(stdout, "%s...\n", d->line);
    else (void)fprintf(stdout, "%s\n", d->line);
    d->text = TEXT_ON(d->line);
}

static json_t *members_json(const struct log_configuration *c)
{
    static const char *const roles[] = {"standby", "voter", "spare"};
    json_t *list = json_array();
    for (unsigned i = 0; i < c->n; i++) {
        const struct log_member *m = &c->members[i];
        (void)json_array_append_new(list, json_pack("{s:I,s:o,s:s}", "id", (json_int_t)m->id, "address",
                                                    json_text(m->address), "role", roles[m->role]));
    }
    return list;
}

static void add_members(struct text *t, const struct log_configuration *c)
{
    static const char *const roles[] = {" (standby)", "", " (spare)"};
    for (unsigned i = 0; i < c->n; i++) {
        text_addf(t, "%s%" PRIu64 " at %s%s", i > 0 ? ", " : " ", c->members[i].id, c->members[i].address,
                  roles[c->members[i].role]);
    }
}

static void dump_command(struct dump *d, const struct log_entry *entry)
{
    struct proto_command_head head;
    struct err e = {0};
    char time[40];
    const struct proto_visitor find = {find_cluster, d}, put = {put_field, d};
    d->cluster = NULL;
    int rc = proto_command_describe(entry->data, entry->size, &head, d->state != NULL ? &find : NULL, &e);
    iso_time(head.time, time);
    if (rc != 0) (void)TEXT_COPY(head.name, "malformed");
    if (d->json) {
        char client[20];
        (void)snprintf(client, sizeof client, "%016" PRIx64, head.id.client);
        d->fields = json_object();
        if (rc == 0) MUST(proto_command_describe(entry->data, entry->size, &head, &put, &e) == 0); /* As just now. */
        print_line(json_pack("{s:s,s:I,s:I,s:s,s:s,s:{s:s,s:I,s:I},s:b,s:o}", "type", "command", "index",
                             (json_int_t)entry->index, "term", (json_int_t)entry->term, "time", time, "kind", head.name,
                             "request", "client", client, "seq", (json_int_t)head.id.seq, "since",
                             (json_int_t)head.id.since, "newer", head.newer, "fields", d->fields));
        return;
    }
    text_addf(&d->text, "%" PRIu64 " term=%" PRIu64 " %s %s id=%016" PRIx64 ":%" PRIu64, entry->index, entry->term,
              time[0] != '\0' ? time : "-", head.name, head.id.client, head.id.seq);
    if (rc == 0) MUST(proto_command_describe(entry->data, entry->size, &head, &put, &e) == 0);
    if (head.newer) text_add(&d->text, " (with fields of a newer version)");
    flush_text(d);
}

static void dump_configuration(struct dump *d, const struct log_entry *entry)
{
    struct log_configuration c;
    MUST(log_configuration_decode(entry->data, entry->size, &c)); /* The reader has checked it. */
    if (d->json) {
        print_line(json_pack("{s:s,s:I,s:I,s:o}", "type", "configuration", "index", (json_int_t)entry->index, "term",
                             (json_int_t)entry->term, "members", members_json(&c)));
        return;
    }
    text_addf(&d->text, "%" PRIu64 " term=%" PRIu64 " - configuration", entry->index, entry->term);
    add_members(&d->text, &c);
    flush_text(d);
}

static void dump_barrier(struct dump *d, const struct log_entry *entry)
{
    if (d->json) {
        print_line(json_pack("{s:s,s:I,s:I}", "type", "barrier", "index", (json_int_t)entry->index, "term",
                             (json_int_t)entry->term));
        return;
    }
    text_addf(&d->text, "%" PRIu64 " term=%" PRIu64 " - barrier", entry->index, entry->term);
    flush_text(d);
}

static void dump_entry(struct dump *d, const struct log_entry *entry)
{
    struct err e = {0};
    switch (entry->kind) {
    case LOG_ENTRY_COMMAND: dump_command(d, entry); break;
    case LOG_ENTRY_BARRIER: dump_barrier(d, entry); break;
    case LOG_ENTRY_CHANGE: dump_configuration(d, entry); break;
    }
    if (d->state != NULL && replay_entry(d->state, entry, d->command, NULL, &e) != 0) {
        free(d->state);
        d->state = NULL;
    }
}

static void dump_snapshot(struct dump *d, const struct log_snapshot *s)
{
    char digest[LOG_DIGEST_TEXT_SIZE] = "-";
    struct err e = {0};
    struct fsm_state *state = malloc(sizeof *state);
    if (state != NULL && replay_begin(d->dir->image, d->dir->image->snapshots_n - 1, state, &e) == 0) {
        (void)log_state_digest(state, digest);
    }
    free(state);
    if (d->json) {
        print_line(json_pack("{s:s,s:I,s:I,s:I,s:s,s:s,s:o}", "type", "snapshot", "index", (json_int_t)s->index, "term",
                             (json_int_t)s->term, "bytes", (json_int_t)s->size, "digest", digest, "problem", e.text,
                             "members", members_json(&s->configuration)));
        return;
    }
    text_addf(&d->text, "snapshot %" PRIu64 " term=%" PRIu64 " bytes=%zu digest=%s members:", s->index, s->term,
              s->size, digest);
    add_members(&d->text, &s->configuration);
    if (e.text[0] != '\0') text_addf(&d->text, " (damaged: %s)", e.text);
    flush_text(d);
}

static void dump_node(struct dump *d)
{
    const struct log_image *image = d->dir->image;
    const struct storage_identity *who = &d->dir->identity;
    uint64_t first = image->start_index, last = log_last_index(image);
    if (d->json) {
        print_line(json_pack("{s:s,s:I,s:o,s:I,s:I,s:I,s:I,s:s}", "type", "node", "id", (json_int_t)who->id, "address",
                             json_text(who->address), "term", (json_int_t)image->term, "vote", (json_int_t)image->vote,
                             "entries", (json_int_t)image->entries_n, "last_index", (json_int_t)last, "problem",
                             image->problem));
        return;
    }
    text_addf(&d->text, "node %" PRIu64 " at %s: term %" PRIu64 ", vote %" PRIu64 ", %zu entries", who->id,
              who->address, image->term, image->vote, image->entries_n);
    if (image->entries_n > 0) text_addf(&d->text, " (%" PRIu64 " to %" PRIu64 ")", first, last);
    flush_text(d);
}

/* Begins with the oldest state that the log goes on from, so that as many entries as possible are told by names. */
static void begin_state(struct dump *d)
{
    const struct log_image *image = d->dir->image;
    struct err e = {0};
    uint64_t before = image->start_index - 1;
    for (unsigned i = 0; i <= image->snapshots_n; i++) {
        unsigned source = i == image->snapshots_n ? REPLAY_EMPTY : i;
        if (source == REPLAY_EMPTY ? before != 0 : !replay_can(image, source, log_last_index(image))) continue;
        d->state = malloc(sizeof *d->state);
        if (d->state != NULL && replay_begin(image, source, d->state, &e) == 0) return;
        free(d->state);
        d->state = NULL;
    }
}

enum client_code run_log_dump(const struct cli *cli)
{
    struct log_dir dir;
    struct dump *d = calloc(1, sizeof *d);
    MUST(d != NULL);
    if (!log_dir_open(&dir, cli->args[0])) {
        free(d);
        return CLIENT_FAILED;
    }
    d->dir = &dir;
    d->json = cli->json;
    d->text = TEXT_ON(d->line);
    d->command = malloc(sizeof *d->command);
    MUST(d->command != NULL);
    begin_state(d);
    const struct log_snapshot *s = log_newest(dir.image);
    if (s != NULL && s->problem[0] == '\0') dump_snapshot(d, s);
    for (size_t i = 0; i < dir.image->entries_n; i++) dump_entry(d, &dir.image->entries[i]);
    dump_node(d);
    bool good = dir.image->problem[0] == '\0';
    if (!good) fprintf(stderr, "regent: %s is damaged: %s\n", dir.path, dir.image->problem);
    log_dir_close(&dir);
    free(d->command);
    free(d->state);
    free(d);
    return good ? CLIENT_OK : CLIENT_FAILED;
}
