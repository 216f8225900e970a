/* regent events: what happened, page by page, then as it happens.
 *
 * Happy path: pages until "more" is false; with --follow the manager keeps the connection and sends on.
 * Failure modes: the manager dies, freezes or loses leadership while we follow -> asked anew, of the leader, from the
 * event after the last one shown; nothing is shown twice and nothing is left out while the managers keep it.
 */
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/render.h"
#include "cmd/regent/run.h"

/* A manager that has nothing to tell is asked anew after this time: it may be frozen, or deposed without knowing. */
enum { FOLLOW_QUIET_MS = 5000 };

struct stream {
    const struct cli *cli;
    struct asker asker;
    struct client_request request;
    json_t *kept; /* With --last: all so far, shown when the end is reached; else NULL. */
};

static void show(const struct cli *cli, json_t *event)
{
    struct style s = style_stdout();
    if (!cli->json) {
        render_event(&s, event);
        return;
    }
    json_dumpf(event, stdout, JSON_COMPACT);
    fputc('\n', stdout);
}

/* Shows or keeps one page and moves the request on. Returns false when the page cannot be read. */
static bool take_page(struct stream *t, const struct client_answer *a, bool *more)
{
    json_t *page = answer_json(a), *event;
    size_t i;
    if (page == NULL) return false;
    json_array_foreach(field_array(page, "events"), i, event)
    {
        if (t->kept != NULL) MUST(json_array_append(t->kept, event) == 0);
        else show(t->cli, event);
    }
    json_t *next = json_object_get(page, "next");
    if (json_is_integer(next)) t->request.number = (uint64_t)json_integer_value(next);
    *more = field_is_true(page, "more");
    json_decref(page);
    (void)fflush(stdout);
    return true;
}

/* The end of what is there: with --last, the last of what was kept is shown now. */
static void show_kept(struct stream *t)
{
    json_t *event;
    size_t i, n = json_array_size(t->kept);
    if (t->kept == NULL) return;
    json_array_foreach(t->kept, i, event) if (n - i <= t->cli->last) show(t->cli, event);
    json_decref(t->kept);
    t->kept = NULL;
    (void)fflush(stdout);
}

/* Reads what the manager sends on this connection until it ends. */
static void follow(struct stream *t, bool more)
{
    for (;;) {
        struct client_answer a;
        if (!more) show_kept(t);
        enum client_code code = asker_more(&t->asker, FOLLOW_QUIET_MS, &a);
        bool good = code == CLIENT_MORE && take_page(t, &a, &more);
        client_answer_fini(&a);
        if (!good) return;
    }
}

/* One question, and all that follows from it. CLIENT_MORE: ask again. */
static enum client_code ask_page(struct stream *t)
{
    struct client_answer a;
    bool more = false;
    enum client_code code = asker_ask(&t->asker, &t->request, !t->cli->follow, &a);
    bool has_page = a.json != NULL && (code == CLIENT_OK || code == CLIENT_MORE || code == CLIENT_NO_LEADER);
    if (has_page && !take_page(t, &a, &more)) code = CLIENT_FAILED;
    if (code == CLIENT_NO_LEADER || !has_page) code = tell(&a);
    client_answer_fini(&a);
    if (code == CLIENT_MORE) follow(t, more);
    if (code == CLIENT_OK && more) return CLIENT_MORE;
    return code;
}

enum client_code run_events(const struct cli *cli)
{
    struct stream t = {.cli = cli, .request = {.op = CLIENT_EVENTS, .follow = cli->follow}};
    if (!take_name(t.request.cluster, cli->args[0])) return CLIENT_USAGE;
    if (!start_asker(cli, &t.asker)) return CLIENT_USAGE;
    if (cli->last > 0) t.kept = json_array();
    enum client_code code = CLIENT_MORE;
    while (code == CLIENT_MORE) code = ask_page(&t);
    show_kept(&t);
    asker_fini(&t.asker);
    return code;
}
