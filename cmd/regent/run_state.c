/* `regent state export` and `import`: the declared state, for backups: clusters as their files declare them, and who
 * the managers are. The history, plans and proofs are not in it: after an import each cluster is examined and enrolled
 * anew. Failure modes: a file that is no export changes nothing; of several clusters each is told, and one that cannot
 * be declared does not keep the others from it (exit code of the worst). */
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/declaration.h"
#include "cmd/regent/render.h"
#include "cmd/regent/run.h"

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
        good = declaration_read(json_array_get(clusters, i), &specs[i]);
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
