/* The commands that ask one question and show one answer. failover and events have files of their own. */
#include "cmd/regent/run.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/regent/render.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "manager/config.h"

enum client_code tell(const struct client_answer *a)
{
    if (a->code != CLIENT_OK && a->text[0] != '\0') fprintf(stderr, "regent: %s\n", a->text);
    return a->code == CLIENT_REDIRECT || a->code == CLIENT_MORE ? CLIENT_FAILED : a->code;
}

json_t *answer_json(const struct client_answer *a)
{
    json_error_t error;
    json_t *json = a->json != NULL ? json_loads(a->json, 0, &error) : NULL;
    if (json_is_object(json)) return json;
    fprintf(stderr, "regent: the manager's answer cannot be read: %s\n",
            a->json == NULL ? "it is empty" : json == NULL ? error.text : "it is no JSON object");
    json_decref(json);
    return NULL;
}

void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
}

bool start_asker(const struct cli *cli, struct asker *k)
{
    struct err e = {0};
    if (asker_init(k, cli->connect, &e) != 0) {
        fprintf(stderr, "regent: --connect or REGENT_CONNECT: %s\n", e.text);
        return false;
    }
    if (asker_set_tls_dir(k, cli->tls_dir, &e) == 0) return true;
    fprintf(stderr, "regent: --tls-dir or REGENT_TLS_DIR: %s\n", e.text);
    asker_fini(k);
    return false;
}

bool take_name(char to[FSM_NAME_SIZE], const char *name)
{
    if (name == NULL || text_copy(to, FSM_NAME_SIZE, name)) return true;
    fprintf(stderr, "regent: a name has at most %d characters: \"%.40s...\"\n", FSM_NAME_SIZE - 1, name);
    return false;
}

typedef void show_fn(const struct style *s, json_t *json, const struct cli *cli);

/* Asks 'r' (with the cluster named first on the command line) and shows the JSON of the answer, also a stale one. */
static enum client_code ask_and_show(const struct cli *cli, struct client_request *r, show_fn *show)
{
    struct asker k;
    struct client_answer a;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = asker_ask(&k, r, true, &a);
    asker_fini(&k);
    json_t *json = code == CLIENT_OK || (code == CLIENT_NO_LEADER && a.json != NULL) ? answer_json(&a) : NULL;
    if (json == NULL) {
        code = tell(&a);
        if (code == CLIENT_OK) code = CLIENT_FAILED; /* answer_json() told why. */
    } else if (cli->json) {
        (void)tell(&a);
        print_json(json);
    } else {
        struct style s = style_stdout();
        show(&s, json, cli);
    }
    json_decref(json);
    client_answer_fini(&a);
    return code;
}

static void show_status(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    render_status(s, json);
}

static void show_topology(const struct style *s, json_t *json, const struct cli *cli)
{
    render_topology(s, json, cli->args[0]);
}

static void show_explain(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    render_explain(s, json);
}

static void show_plans(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    render_plans(s, json);
}

static void show_plan(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    render_plan(s, json);
}

static void show_members(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    render_members(s, json);
}

static void show_tokens(const struct style *s, json_t *json, const struct cli *cli)
{
    char now[32];
    (void)cli;
    clock_print(clock_wall(), now);
    render_tokens(s, json, now);
}

static void show_declaration(const struct style *s, json_t *json, const struct cli *cli)
{
    (void)cli;
    if (!render_declaration(s, json)) fputs("regent: the manager's answer is no declaration\n", stderr);
}

/* A read of a cluster, or of all. */
static enum client_code read_cluster(const struct cli *cli, enum client_op op, show_fn *show)
{
    struct client_request r = {.op = op};
    if (!take_name(r.cluster, cli->args[0])) return CLIENT_USAGE;
    return ask_and_show(cli, &r, show);
}

enum client_code run_status(const struct cli *cli)
{
    return read_cluster(cli, CLIENT_STATUS, show_status);
}

enum client_code run_topology(const struct cli *cli)
{
    return read_cluster(cli, CLIENT_STATUS, show_topology);
}

enum client_code run_explain(const struct cli *cli)
{
    return read_cluster(cli, CLIENT_EXPLAIN, show_explain);
}

enum client_code run_plan_list(const struct cli *cli)
{
    return read_cluster(cli, CLIENT_PLAN_LIST, show_plans);
}

enum client_code run_cluster_show(const struct cli *cli)
{
    return read_cluster(cli, CLIENT_CLUSTER_SHOW, show_declaration);
}

enum client_code run_member_list(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_MEMBER_LIST};
    return ask_and_show(cli, &r, show_members);
}

enum client_code run_token_list(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_MEMBER_LIST};
    return ask_and_show(cli, &r, show_tokens);
}

static bool take_token(const struct cli *cli, uint64_t *token)
{
    if (text_to_u64(cli->args[0], token) && *token != 0) return true;
    fprintf(stderr, "regent: a plan is named by its number, not \"%s\": see `regent plan list`\n", cli->args[0]);
    return false;
}

enum client_code run_plan_show(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_PLAN_SHOW};
    if (!take_token(cli, &r.number)) return CLIENT_USAGE;
    return ask_and_show(cli, &r, show_plan);
}

enum client_code ask_change(const struct cli *cli, struct client_request *r)
{
    struct asker k;
    struct client_answer a;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = asker_ask(&k, r, false, &a);
    asker_fini(&k);
    if (cli->json && a.json != NULL) {
        json_t *json = answer_json(&a);
        if (json != NULL) print_json(json);
        json_decref(json);
    }
    if (code == CLIENT_OK && !cli->json) printf("%s\n", a.text);
    code = tell(&a);
    client_answer_fini(&a);
    return code;
}

enum client_code run_plan_abort(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_PLAN_ABORT};
    if (!take_token(cli, &r.number)) return CLIENT_USAGE;
    return ask_change(cli, &r);
}

enum client_code run_note(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_NOTE};
    if (!take_name(r.cluster, cli->args_n > 1 ? cli->args[0] : NULL)) return CLIENT_USAGE;
    if (!TEXT_COPY(r.text, cli->args[cli->args_n - 1])) {
        fprintf(stderr, "regent: a note has at most %d bytes\n", FSM_TEXT_SIZE - 1);
        return CLIENT_USAGE;
    }
    return ask_change(cli, &r);
}

static enum client_code set_paused(const struct cli *cli, enum client_op op)
{
    struct client_request r = {.op = op};
    return take_name(r.cluster, cli->args[0]) ? ask_change(cli, &r) : CLIENT_USAGE;
}

enum client_code run_cluster_pause(const struct cli *cli)
{
    return set_paused(cli, CLIENT_CLUSTER_PAUSE);
}

enum client_code run_cluster_resume(const struct cli *cli)
{
    return set_paused(cli, CLIENT_CLUSTER_RESUME);
}

static enum client_code set_cluster(const struct cli *cli, bool create)
{
    struct client_request r = {.op = CLIENT_CLUSTER_SET, .create = create};
    struct err e = {0};
    if (config_read_cluster(&r.spec, cli->args[0], &e) != 0) {
        fprintf(stderr, "regent: %s\n", e.text);
        return CLIENT_FAILED;
    }
    return ask_change(cli, &r);
}

enum client_code run_cluster_add(const struct cli *cli)
{
    return set_cluster(cli, true);
}

enum client_code run_cluster_apply(const struct cli *cli)
{
    return set_cluster(cli, false);
}

static void print_versions(json_t *manager)
{
    json_t *list = json_object_get(manager, "managers"), *m;
    size_t i;
    printf("regentd %s (%s)\n", field(manager, "version"), field(manager, "node"));
    printf("the group runs at version %s\n", field(manager, "group_version"));
    if (json_array_size(list) < 2) return; /* Only a leader knows of the others. */
    json_array_foreach(list, i, m)
    {
        json_t *speaks = json_object_get(m, "speaks");
        printf("manager %s: regentd %s, speaks versions %lld to %lld\n", field(m, "id"), field(m, "version"),
               json_integer_value(json_array_get(speaks, 0)), json_integer_value(json_array_get(speaks, 1)));
    }
}

/* Without a manager this program's own version is still an answer, so that is no failure. */
enum client_code run_version(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_VERSION};
    struct client_answer a;
    struct asker k;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = asker_ask(&k, &r, false, &a);
    asker_fini(&k);
    json_t *manager = code == CLIENT_OK ? answer_json(&a) : NULL;
    if (cli->json) {
        json_t *json = json_pack("{s:s, s:O?}", "version", REGENT_VERSION, "manager", manager);
        MUST(json != NULL);
        print_json(json);
        json_decref(json);
    } else {
        printf("regent %s\n", REGENT_VERSION);
        if (manager != NULL) print_versions(manager);
        else printf("no manager reached at %s\n", cli->connect);
    }
    json_decref(manager);
    client_answer_fini(&a);
    return CLIENT_OK;
}
