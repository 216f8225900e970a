/* Asking the group.
 *
 * Happy path: the first address answers, or sends us to the leader, who answers; the connection is kept.
 * Failure modes: an address is dead or frozen -> the next one; no leader yet -> again every 100 ms for 5 s; the answer
 * to a change is lost -> repeated under the same request id, which the managers know again; nobody answers at all ->
 * given up after 1 s, since no election can be the reason.
 */
#include "client/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/text.h"
#include "lib/clock.h"

enum { CONNECT_MS = 700, ANSWER_MS = 1500, PAUSE_MS = 100, DEAD_MS = 1000, REDIRECTS_MAX = 4 };

int asker_init(struct asker *k, const char *list, struct err *e)
{
    memset(k, 0, sizeof(*k));
    link_init(&k->link);
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ", ");
        if (len >= FSM_PATH_SIZE) return err_set(e, -EINVAL, "an address is longer than %d bytes", FSM_PATH_SIZE);
        if (len > 0 && k->endpoints_n == ASK_ENDPOINTS_MAX)
            return err_set(e, -EINVAL, "more than %d addresses", ASK_ENDPOINTS_MAX);
        if (len > 0) memcpy(k->endpoints[k->endpoints_n++], p, len);
        p += len + (p[len] != '\0');
    }
    if (k->endpoints_n == 0) return err_set(e, -EINVAL, "no address to connect to");
    return 0;
}

void asker_fini(struct asker *k)
{
    link_close(&k->link);
}

static bool changes_something(const struct client_request *r)
{
    if (r->op == CLIENT_FAILOVER) return !r->dry_run;
    return r->op == CLIENT_PLAN_ABORT || r->op == CLIENT_CLUSTER_SET;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL); /* Woken early: the next try comes early. */
}

/* What one asker_ask() went through. */
struct attempt {
    struct mono started;
    bool heard;      /* Some manager answered something. */
    bool in_flight;  /* A change was sent and its outcome is not known. */
    unsigned redirects;
    unsigned tried;   /* Addresses of the list, one after the other. */
    struct err error; /* The last failure of a connection. */
};

/* Asks the leader if it is known, else the next address. Returns true with '*a' filled. */
static bool try_once(struct asker *k, const struct client_request *r, struct attempt *t, struct client_answer *a)
{
    struct mono now = clock_mono();
    if (k->link.fd < 0) {
        const char *address = k->leader;
        if (k->leader[0] == '\0') {
            address = k->endpoints[k->next++ % k->endpoints_n];
            t->tried++;
        }
        if (link_open(&k->link, address, mono_add_ms(now, CONNECT_MS), &t->error) != 0) {
            k->leader[0] = '\0';
            return false;
        }
    }
    struct mono deadline = mono_add_ms(clock_mono(), ANSWER_MS);
    if (link_send(&k->link, r, deadline, &t->error) == 0 && link_receive(&k->link, a, deadline, &t->error) == 0) {
        t->heard = true;
        if (a->code == CLIENT_UNKNOWN) t->in_flight = true;
        return true;
    }
    if (changes_something(r)) t->in_flight = true; /* It may have arrived. */
    link_close(&k->link);
    k->leader[0] = '\0';
    return false;
}

/* True when the answer ends the asking; else the asker is set to try elsewhere. */
static bool is_final(struct asker *k, struct attempt *t, const struct client_answer *a)
{
    if (a->code == CLIENT_REDIRECT && a->leader[0] != '\0') {
        link_close(&k->link);
        TEXT_COPY(k->leader, a->leader);
        if (++t->redirects % REDIRECTS_MAX == 0) sleep_ms(PAUSE_MS);
        return false;
    }
    if (a->code != CLIENT_NO_LEADER && a->code != CLIENT_UNKNOWN) return true;
    link_close(&k->link);
    k->leader[0] = '\0';
    if (k->next % k->endpoints_n == 0) sleep_ms(PAUSE_MS);
    return false;
}

/* Nobody answered in time. */
static enum client_code give_up(const struct asker *k, const struct attempt *t, struct client_answer *a)
{
    struct text text = TEXT_ON(a->text);
    a->code = t->in_flight ? CLIENT_UNKNOWN : CLIENT_NO_LEADER;
    if (t->in_flight)
        text_add(&text, "It is not known whether this was done: the connection was lost before the answer came. "
                        "See `regent events` and `regent plan list` before you repeat it. ");
    if (t->heard) {
        text_addf(&text, "The managers have had no leader for %d s: a majority of them must run and reach each other.",
                  ASK_PATIENCE_MS / 1000);
        return a->code;
    }
    text_addf(&text, "No manager answers: %s.", t->error.text);
    if (k->endpoints_n > 1) text_addf(&text, " All %u addresses were tried.", k->endpoints_n);
    text_add(&text, " Is regentd running there? --connect or REGENT_CONNECT name another.");
    return a->code;
}

/* One round over all addresses for what a single manager remembers. */
static bool ask_stale(struct asker *k, const struct client_request *r, struct attempt *t, struct client_answer *a)
{
    struct client_request stale = *r;
    stale.stale_ok = true;
    for (unsigned i = 0; i < k->endpoints_n; i++) {
        k->leader[0] = '\0';
        link_close(&k->link);
        if (!try_once(k, &stale, t, a)) continue;
        if (a->code != CLIENT_REDIRECT && (a->code != CLIENT_NO_LEADER || a->json != NULL)) return true;
        client_answer_fini(a);
    }
    memset(a, 0, sizeof(*a));
    return false;
}

/* Time to give up: sooner when nobody answered at all, but each address gets its try. */
static bool is_over(const struct asker *k, const struct attempt *t)
{
    int64_t spent_ms = mono_since_ms(clock_mono(), t->started);
    if (t->heard) return spent_ms >= ASK_PATIENCE_MS;
    return spent_ms >= DEAD_MS && t->tried >= k->endpoints_n;
}

enum client_code asker_ask(struct asker *k, struct client_request *r, bool stale_ok, struct client_answer *a)
{
    struct attempt t = {.started = clock_mono()};
    memset(a, 0, sizeof(*a));
    if (changes_something(r)) {
        if (k->id.client == 0) k->id.client = clock_random();
        k->id.seq++;
        r->id = k->id;
    }
    do {
        if (try_once(k, r, &t, a)) {
            if (is_final(k, &t, a)) return a->code;
            client_answer_fini(a);
        } else if (k->next % k->endpoints_n == 0) {
            sleep_ms(PAUSE_MS);
        }
    } while (!is_over(k, &t));
    if (stale_ok && t.heard && ask_stale(k, r, &t, a)) return a->code;
    memset(a, 0, sizeof(*a));
    return give_up(k, &t, a);
}

enum client_code asker_more(struct asker *k, int64_t ms, struct client_answer *a)
{
    struct err e = {0};
    memset(a, 0, sizeof(*a));
    if (k->link.fd >= 0 && link_receive(&k->link, a, mono_add_ms(clock_mono(), ms), &e) == 0) return a->code;
    link_close(&k->link);
    a->code = CLIENT_NO_LEADER;
    return a->code;
}
