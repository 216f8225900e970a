/* `regent state export` and `import`: the declared state, for backups: clusters as their files declare them, and who
 * the managers are. The history, plans and proofs are not in it: after an import each cluster is examined and enrolled
 * anew. Failure modes: a file that is no export changes nothing; of several clusters each is told, and one that cannot
 * be declared does not keep the others from it (exit code of the worst). */
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/render.h"
#include "cmd/regent/run.h"
#include "lib/base/text.h"

enum { STATE_FORMAT = 1 };

/* Asks, and gives the answer's JSON or NULL after telling why not. */
static json_t *ask_json(struct asker *k, struct client_request *r, enum client_code *code)
{
    struct client_answer a;
    *code = asker_ask(k, r, false, &a);
    json_t *json = *code == CLIENT_OK ? answer_json(&a) : NULL;
    if (*code != CLIENT_OK) (void)tell(&a);
    else if (json == NULL) *code = CLIENT_FAILED;
    client_answer_fini(&a);
    return json;
}

static enum client_code collect(struct asker *k, const json_t *status, json_t *clusters)
{
    enum client_code code = CLIENT_OK;
    size_t i;
    json_t *cluster;
    json_array_foreach(json_object_get(status, "clusters"), i, cluster)
    {
        struct client_request r = {.op = CLIENT_CLUSTER_SHOW};
        if (!take_name(r.cluster, field(cluster, "name"))) return CLIENT_FAILED;
        json_t *declaration = ask_json(k, &r, &code);
        if (declaration == NULL) return code;
        MUST(json_array_append_new(clusters, declaration) == 0);
    }
    return CLIENT_OK;
}

enum client_code run_state_export(const struct cli *cli)
{
    struct asker k;
    enum client_code code;
    struct client_request status = {.op = CLIENT_STATUS}, members = {.op = CLIENT_MEMBER_LIST};
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    json_t *clusters = json_array();
    json_t *seen = ask_json(&k, &status, &code);
    if (seen != NULL) code = collect(&k, seen, clusters);
    json_t *group = code == CLIENT_OK ? ask_json(&k, &members, &code) : NULL;
    asker_fini(&k);
    if (group != NULL) {
        json_t *out = json_pack("{s:i, s:O, s:O}", "regent_state", STATE_FORMAT, "group", group, "clusters", clusters);
        MUST(out != NULL);
        print_json(out);
        json_decref(out);
    }
    json_decref(group);
    json_decref(seen);
    json_decref(clusters);
    return code;
}

/* ---- import ---- */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static bool read_servers(const json_t *servers, struct fsm_cluster_spec *spec)
{
    size_t n = json_array_size(servers);
    if (n > FSM_SERVERS_MAX) return false;
    spec->servers_n = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *from = json_array_get(servers, i);
        spec->servers[i].role = fsm_role_parse(text_at(from, "role"));
        if (!TEXT_COPY(spec->servers[i].name, text_at(from, "name")) ||
            !TEXT_COPY(spec->servers[i].address, text_at(from, "address")) || spec->servers[i].role == 0)
            return false;
    }
    return true;
}

static bool read_ms(const json_t *object, const char *key, uint32_t *ms)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    *ms = value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
    return *ms != 0;
}

/* False when it is no declaration; what it means is judged by the group. */
static bool read_spec(const json_t *from, struct fsm_cluster_spec *spec)
{
    const json_t *credentials = json_object_get(from, "credentials"), *detect = json_object_get(from, "detect");
    memset(spec, 0, sizeof *spec);
    spec->flavour = fsm_flavour_parse(text_at(from, "flavour"));
    spec->durability = fsm_durability_parse(text_at(from, "durability"));
    return spec->flavour != 0 && spec->durability != 0 && TEXT_COPY(spec->name, text_at(from, "cluster")) &&
           spec->name[0] != '\0' && TEXT_COPY(spec->defaults_file, text_at(credentials, "defaults_file")) &&
           TEXT_COPY(spec->group, text_at(credentials, "group")) && read_ms(detect, "probe_ms", &spec->probe_ms) &&
           read_ms(detect, "timeout_ms", &spec->timeout_ms) && read_servers(json_object_get(from, "servers"), spec);
}

/* Reads all before anything is asked for. Returns how many, or -1 after telling what is wrong. */
static int read_export(const char *path, struct fsm_cluster_spec *specs)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    const json_t *clusters = json_object_get(root, "clusters");
    size_t n = json_array_size(clusters);
    bool good = json_integer_value(json_object_get(root, "regent_state")) == STATE_FORMAT && json_is_array(clusters) &&
                n <= FSM_CLUSTERS_MAX;
    if (root == NULL) fprintf(stderr, "regent: %s:%d: %s\n", path, error.line, error.text);
    else if (!good) fprintf(stderr, "regent: %s is no `regent state export` of this version\n", path);
    for (size_t i = 0; i < n && good; i++) {
        good = read_spec(json_array_get(clusters, i), &specs[i]);
        if (!good) fprintf(stderr, "regent: %s: cluster %zu is no declaration: nothing was changed\n", path, i + 1);
    }
    json_decref(root);
    return good ? (int)n : -1;
}

enum client_code run_state_import(const struct cli *cli)
{
    struct fsm_cluster_spec *specs = calloc(FSM_CLUSTERS_MAX, sizeof *specs);
    enum client_code worst = CLIENT_OK;
    MUST(specs != NULL);
    int n = read_export(cli->args[0], specs);
    for (int i = 0; i < n; i++) {
        struct client_request r = {.op = CLIENT_CLUSTER_SET, .create = true};
        r.spec = specs[i];
        enum client_code code = ask_change(cli, &r);
        if (code > worst) worst = code;
        if (code == CLIENT_NO_LEADER || code == CLIENT_UNKNOWN) break;
    }
    free(specs);
    return n < 0 ? CLIENT_FAILED : worst;
}
