/* regent failover: shows what would be done, asks, begins, and follows the plan to its end.
 *
 * Failure modes: the answer to the request is lost -> repeated under its id (ask.c); the leader dies while the plan
 * runs -> the next leader carries it on and is asked; nobody answers any more -> exit code 4, for the plan may go on.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/regent/render.h"
#include "cmd/regent/run.h"
#include "lib/clock.h"

enum { FOLLOW_MS = 120000, POLL_US = 50000 };

static void print_steps(FILE *out, json_t *dry)
{
    json_t *line;
    size_t i;
    json_array_foreach(field_array(dry, "steps"), i, line)
    {
        if (!json_is_string(line)) continue;
        fputs("  ", out);
        put_safe(out, json_string_value(line));
        fputc('\n', out);
    }
}

/* Asks what would be done and prints it to 'out' (as JSON to stdout with --dry-run --json). */
static enum client_code dry_run(const struct cli *cli, struct asker *k, const struct client_request *r, FILE *out)
{
    struct client_request dry = *r;
    struct client_answer a;
    dry.dry_run = true;
    (void)asker_ask(k, &dry, false, &a);
    json_t *json = a.json != NULL ? answer_json(&a) : NULL;
    if (json != NULL && cli->json && cli->dry_run) print_json(json);
    else if (json != NULL) print_steps(out, json);
    json_decref(json);
    enum client_code code = tell(&a);
    client_answer_fini(&a);
    return code;
}

/* Asks on the terminal. True when the answer begins with y. */
static bool confirm(const struct cli *cli)
{
    char answer[16] = "";
    fprintf(stderr, "Replace the master of %s now%s? [y/N] ", cli->args[0],
            cli->accept_loss ? ", and accept that acknowledged writes may be lost" : "");
    if (fgets(answer, sizeof(answer), stdin) == NULL) return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

/* Prints the steps of the plan from number '*shown' on. */
static void print_progress(json_t *plan, size_t *shown)
{
    json_t *steps = field_array(plan, "steps");
    for (; *shown < json_array_size(steps); (*shown)++) {
        json_t *step = json_array_get(steps, *shown);
        printf("%s  %s\n", short_time(field(step, "at")), field(step, "step"));
    }
    (void)fflush(stdout);
}

static enum client_code print_end(const struct cli *cli, json_t *plan)
{
    const char *state = field(plan, "state");
    bool finished = strcmp(state, "finished") == 0;
    if (cli->json) print_json(plan);
    else if (finished)
        printf("%s is master of %s, epoch %s, after %s ms\n", field(plan, "to"), field(plan, "cluster"),
               field(plan, "epoch"), field(plan, "took_ms"));
    if (!finished) {
        fprintf(stderr, "regent: plan %s %s at step %s: ", field(plan, "token"), state, field(plan, "step"));
        put_safe(stderr, field(plan, "reason"));
        fputc('\n', stderr);
    }
    return finished ? CLIENT_OK : CLIENT_FAILED;
}

/* Looks once. Returns CLIENT_MORE while the plan runs. */
static enum client_code look(const struct cli *cli, struct asker *k, uint64_t token, size_t *shown)
{
    struct client_request r = {.op = CLIENT_PLAN_SHOW, .number = token};
    struct client_answer a;
    enum client_code code = asker_ask(k, &r, false, &a);
    json_t *plan = code == CLIENT_OK ? answer_json(&a) : NULL;
    if (code != CLIENT_OK) (void)tell(&a);
    client_answer_fini(&a);
    if (plan == NULL) return CLIENT_UNKNOWN;
    if (!cli->json) print_progress(plan, shown);
    code = strcmp(field(plan, "state"), "running") == 0 ? CLIENT_MORE : print_end(cli, plan);
    json_decref(plan);
    return code;
}

static enum client_code follow_plan(const struct cli *cli, struct asker *k, uint64_t token)
{
    struct mono end = mono_add_ms(clock_mono(), FOLLOW_MS);
    size_t shown = 0;
    enum client_code code = CLIENT_MORE;
    while (code == CLIENT_MORE && mono_before(clock_mono(), end)) {
        code = look(cli, k, token, &shown);
        if (code == CLIENT_MORE) (void)usleep(POLL_US);
    }
    if (code != CLIENT_MORE && code != CLIENT_UNKNOWN) return code;
    fprintf(stderr, "regent: plan %" PRIu64 " has not ended yet, as far as is known: `regent plan show %" PRIu64 "`\n",
            token, token);
    return CLIENT_UNKNOWN;
}

/* Sends the request; on success gives the plan's token. */
static enum client_code begin(const struct cli *cli, struct asker *k, struct client_request *r, uint64_t *token)
{
    struct client_answer a;
    enum client_code code = asker_ask(k, r, false, &a);
    json_t *json = code == CLIENT_OK ? answer_json(&a) : NULL;
    *token = (uint64_t)json_integer_value(json_object_get(json, "token"));
    json_decref(json);
    if (code == CLIENT_OK && !cli->json) printf("%s\n", a.text);
    code = tell(&a);
    client_answer_fini(&a);
    if (code == CLIENT_OK && *token == 0) {
        fputs("regent: the manager did not name the plan; see `regent plan list`\n", stderr);
        code = CLIENT_UNKNOWN;
    }
    return code;
}

static enum client_code failover(const struct cli *cli, struct asker *k, struct client_request *r)
{
    uint64_t token;
    if (cli->dry_run) return dry_run(cli, k, r, stdout);
    if (!cli->yes) {
        enum client_code code = dry_run(cli, k, r, stderr);
        if (code != CLIENT_OK) return code;
        if (!confirm(cli)) {
            fputs("regent: nothing was done\n", stderr);
            return CLIENT_FAILED;
        }
    }
    enum client_code code = begin(cli, k, r, &token);
    return code == CLIENT_OK ? follow_plan(cli, k, token) : code;
}

enum client_code run_failover(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_FAILOVER, .accept_loss = cli->accept_loss};
    struct asker k;
    if (!take_name(r.cluster, cli->args[0]) || !take_name(r.server, cli->to)) return CLIENT_USAGE;
    if (!cli->yes && !cli->dry_run && !isatty(STDIN_FILENO)) {
        fputs("regent: no terminal to ask for confirmation: add --yes, or look first with --dry-run\n", stderr);
        return CLIENT_USAGE;
    }
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = failover(cli, &k, &r);
    asker_fini(&k);
    return code;
}
