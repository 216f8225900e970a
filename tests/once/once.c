/* Many clients at once that change the group's state, over whatever happens to its leaders, and write down what they
 * were told. tests/lib/exactly_once.py runs it, hits the leaders, and compares with what the managers applied.
 *
 *   once --connect ADDR,... [--tls-dir DIR] --clients N --commands N --seconds S --until FILE --out FILE
 *
 * Each client is a thread with an asker of its own (the client library) that sends one `note` after the other, until
 * all together sent --commands and FILE of --until exists, or --seconds are over. One line a command goes to --out:
 * "CLIENT SEQ OUTCOME INDEX", CLIENT in hex as in the managers' log; OUTCOME is
 *   ok       acknowledged: applied exactly once, at INDEX
 *   again    likewise, and the managers knew the request from an attempt whose answer was lost
 *   unknown  applied once or not at all
 *   none     told not to be applied: no leader in time, or refused */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ask.h"
#include "lib/base/text.h"
#include "lib/clock.h"

enum { CLIENTS_MAX = 64, PATIENCE_MS = 20000 };

struct run {
    const char *connect, *tls_dir, *until;
    unsigned clients;
    uint64_t commands;
    struct mono deadline;
    FILE *out;
    pthread_mutex_t out_lock;
    atomic_ullong sent;
};

struct client {
    struct run *run;
    unsigned number;
    pthread_t thread;
    struct asker asker;
};

static bool goes_on(const struct run *run)
{
    if (!mono_before(clock_mono(), run->deadline)) return false;
    return atomic_load(&run->sent) < run->commands || access(run->until, F_OK) != 0;
}

static void tell(struct run *run, const struct client_request *r, const struct client_answer *a)
{
    json_t *json = a->json != NULL ? json_loads(a->json, 0, NULL) : NULL;
    uint64_t index = (uint64_t)json_integer_value(json_object_get(json, "index"));
    bool is_again = json_is_true(json_object_get(json, "repeated"));
    const char *outcome = is_again ? "again" : "ok";
    if (a->code != CLIENT_OK) outcome = a->code == CLIENT_UNKNOWN ? "unknown" : "none";
    json_decref(json);
    (void)pthread_mutex_lock(&run->out_lock);
    fprintf(run->out, "%016" PRIx64 " %" PRIu64 " %s %" PRIu64 "\n", r->id.client, r->id.seq, outcome, index);
    (void)pthread_mutex_unlock(&run->out_lock);
    if (a->code != CLIENT_OK) fprintf(stderr, "once: %s\n", a->text);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    while (goes_on(c->run)) {
        struct client_request r = {.op = CLIENT_NOTE};
        struct client_answer a;
        struct text text = TEXT_ON(r.text);
        text_addf(&text, "command %llu of client %u", atomic_fetch_add(&c->run->sent, 1) + 1, c->number);
        (void)asker_ask(&c->asker, &r, false, &a);
        tell(c->run, &r, &a);
        client_answer_fini(&a);
    }
    asker_fini(&c->asker);
    return NULL;
}

static bool read_arguments(struct run *run, int argc, char **argv, const char **out)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'c'}, {"tls-dir", required_argument, NULL, 't'},
        {"clients", required_argument, NULL, 'n'}, {"commands", required_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'}, {"until", required_argument, NULL, 'u'},
        {"out", required_argument, NULL, 'o'},     {NULL, 0, NULL, 0}};
    int64_t seconds = 60;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'c') run->connect = optarg;
        else if (c == 't') run->tls_dir = optarg;
        else if (c == 'n') run->clients = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'm') run->commands = strtoull(optarg, NULL, 10);
        else if (c == 's') seconds = strtol(optarg, NULL, 10);
        else if (c == 'u') run->until = optarg;
        else if (c == 'o') *out = optarg;
        else return false;
    }
    run->deadline = mono_add_ms(clock_mono(), seconds * 1000);
    return run->connect != NULL && run->until != NULL && *out != NULL && run->clients >= 1 &&
           run->clients <= CLIENTS_MAX;
}

static bool start_client(struct run *run, struct client *c, unsigned number)
{
    struct err e = {0};
    c->run = run;
    c->number = number;
    int rc = asker_init(&c->asker, run->connect, &e);
    if (rc == 0 && run->tls_dir != NULL) rc = asker_set_tls_dir(&c->asker, run->tls_dir, &e);
    if (rc != 0) {
        fprintf(stderr, "once: %s\n", e.text);
        return false;
    }
    c->asker.next = number; /* Not all to the same manager first. */
    c->asker.patience_ms = c->asker.dead_ms = PATIENCE_MS;
    return pthread_create(&c->thread, NULL, client_main, c) == 0;
}

int main(int argc, char **argv)
{
    static struct run run = {.clients = 8, .commands = 1000, .out_lock = PTHREAD_MUTEX_INITIALIZER};
    static struct client clients[CLIENTS_MAX];
    const char *path = NULL;
    if (!read_arguments(&run, argc, argv, &path)) {
        fputs("usage: see the beginning of tests/once/once.c\n", stderr);
        return 2;
    }
    run.out = fopen(path, "w");
    if (run.out == NULL) {
        perror(path);
        return 1;
    }
    for (unsigned i = 0; i < run.clients; i++)
        if (!start_client(&run, &clients[i], i)) return 1;
    for (unsigned i = 0; i < run.clients; i++) (void)pthread_join(clients[i].thread, NULL);
    return fclose(run.out) == 0 ? 0 : 1;
}
