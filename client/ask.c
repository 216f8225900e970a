/* Asking the group.
 *
 * Happy path: the first address answers, or sends us to the leader, who answers; the connection is kept. Before the
 * first attempt of a change a manager is asked for an index (CLIENT_VERSION): the request's id says since when it
 * exists (fsm_dedup_is_expired()). The same answer names the addresses of the group, for the time when the manager that
 * we were told of is gone: a leader that is removed ends while its removal is followed.
 * Failure modes: an address is dead or frozen -> the next one; no leader yet, or a round over all addresses failed ->
 * again after a pause that grows, has a bound, and is drawn by chance, until the patience ends; the answer to a change
 * is lost -> repeated under the same request id, which the managers know again; they know it no more -> unknown, or
 * under a younger 'since' when no attempt can have been applied; nobody answers at all -> given up after a second,
 * since no election can be the reason. */
#include "client/ask.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "lib/base/text.h"
#include "lib/clock.h"

enum {
    CONNECT_MS = 700,
    HELLO_MS = 700,
    ANSWER_MS = 1500,
    PAUSE_FIRST_MS = 20,
    PAUSE_MAX_MS = 200,
};

int asker_init(struct asker *k, const char *list, struct err *e)
{
    memset(k, 0, sizeof(*k));
    k->patience_ms = ASK_PATIENCE_MS;
    k->dead_ms = ASK_DEAD_MS;
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
    link_fini(&k->link);
}

int asker_set_tls_dir(struct asker *k, const char *dir, struct err *e)
{
    int rv = link_set_tls_dir(&k->link, dir);
    return rv == 0 ? 0 : err_errno(e, rv, "%s", dir);
}

/* What one asker_ask() went through. */
struct attempt {
    struct mono started, deadline;
    bool is_change;
    bool heard;      /* Some manager answered something. */
    bool in_flight;  /* A change was sent and its outcome is not known. */
    bool is_forgotten; /* ... and will not be: the managers remember no longer. */
    bool is_redirect;  /* The last answer named a leader, and the one before it did not. */
    unsigned tried;   /* Addresses, one after the other. */
    int64_t pause_ms; /* The next pause is at most so long. */
    struct err error; /* The last failure of a connection that the caller named. */
};

static void forget_leader(struct asker *k)
{
    link_close(&k->link);
    k->leader[0] = '\0';
}

static void learn_index(struct asker *k, const struct client_answer *a)
{
    if (a->index > k->index) k->index = a->index;
}

static unsigned addresses_n(const struct asker *k)
{
    return k->endpoints_n + k->members_n;
}

/* Takes what the answer to a hello says of the group; a manager that says nothing changes nothing. An address is never
 * a path: it would be a socket of this machine. */
static void learn_members(struct asker *k, const struct client_answer *a)
{
    json_t *json = a->json != NULL ? json_loads(a->json, 0, NULL) : NULL, *address;
    json_t *list = json_object_get(json, "addresses");
    size_t i;
    if (json_array_size(list) > 0) k->members_n = 0;
    json_array_foreach(list, i, address)
    {
        const char *s = json_string_value(address);
        if (k->members_n == ASK_MEMBERS_MAX) break;
        if (s == NULL || s[0] == '\0' || strchr(s, '/') != NULL) continue;
        if (TEXT_COPY(k->members[k->members_n], s)) k->members_n++;
    }
    json_decref(json);
}

/* To the leader if it is known, else to the next address. What fails at a member that nobody named is no text for the
 * operator (without certificates, that is each one on another machine). */
static bool open_link(struct asker *k, struct attempt *t)
{
    struct err unnamed = {0}, *e = &t->error;
    const char *address = k->leader;
    if (link_is_open(&k->link)) return true;
    if (k->leader[0] == '\0') {
        unsigned i = k->next++ % addresses_n(k);
        address = i < k->endpoints_n ? k->endpoints[i] : k->members[i - k->endpoints_n];
        if (i >= k->endpoints_n) e = &unnamed;
        t->tried++;
    }
    return link_open(&k->link, address, mono_add_ms(clock_mono(), CONNECT_MS), e) == 0;
}

/* Asks the manager on this connection for an index, so that a change can say since when it exists, and for the
 * addresses of the group. */
static bool say_hello(struct asker *k, struct attempt *t)
{
    struct client_request hello = {.op = CLIENT_VERSION};
    struct client_answer a;
    struct mono deadline = mono_add_ms(clock_mono(), HELLO_MS);
    if (link_send(&k->link, &hello, deadline, &t->error) != 0) return false;
    if (link_receive(&k->link, &a, deadline, &t->error) != 0) return false;
    t->heard = true;
    k->has_said_hello = true;
    learn_index(k, &a);
    learn_members(k, &a);
    client_answer_fini(&a);
    return true;
}

/* Asks the leader if it is known, else the next address. Returns true with '*a' filled. */
static bool try_once(struct asker *k, struct client_request *r, struct attempt *t, struct client_answer *a)
{
    bool is_new = !link_is_open(&k->link);
    bool is_fresh = t->is_change && !t->in_flight; /* No attempt so far can have been applied. */
    bool is_polite = is_new ? is_fresh || r->follow : is_fresh && !k->has_said_hello;
    if (!open_link(k, t) || (is_polite && !say_hello(k, t))) {
        forget_leader(k);
        return false;
    }
    if (is_fresh) r->id.since = k->id.since = k->index;
    struct mono deadline = mono_add_ms(clock_mono(), ANSWER_MS);
    if (link_send(&k->link, r, deadline, &t->error) == 0 && link_receive(&k->link, a, deadline, &t->error) == 0) {
        t->heard = true;
        learn_index(k, a);
        return true;
    }
    if (t->is_change) t->in_flight = true; /* It may have arrived. */
    forget_leader(k);
    return false;
}

/* True when the answer ends the asking; else the asker is set to try elsewhere. */
static bool is_final(struct asker *k, struct attempt *t, const struct client_answer *a)
{
    bool was_redirect = t->is_redirect;
    t->is_redirect = false;
    switch (a->code) {
    case CLIENT_REDIRECT:
        link_close(&k->link);
        TEXT_COPY(k->leader, a->leader);
        t->is_redirect = !was_redirect && a->leader[0] != '\0';
        return false;
    case CLIENT_UNKNOWN: t->in_flight |= t->is_change; break;
    case CLIENT_NO_LEADER: break;
    case CLIENT_EXPIRED: /* Else it is only that our index was old: the answer gave a younger one. */
        t->is_forgotten = t->in_flight;
        return false;
    case CLIENT_OK:
    case CLIENT_FAILED:
    case CLIENT_USAGE:
    case CLIENT_REFUSED:
    case CLIENT_MORE: return true;
    }
    forget_leader(k);
    return false;
}

/* The next attempt follows at once when it goes somewhere else: to the leader that was just named, or to the next
 * address of this round. Else it waits, at least half of t->pause_ms: many clients must not come back together. */
static void pause_between(const struct asker *k, struct attempt *t)
{
    if (t->is_redirect || (k->leader[0] == '\0' && k->next % addresses_n(k) != 0)) return;
    int64_t left_ms = mono_since_ms(t->deadline, clock_mono());
    int64_t ms = t->pause_ms / 2 + (int64_t)(clock_random() % (uint64_t)(t->pause_ms / 2 + 1));
    if (ms > left_ms) ms = left_ms > 0 ? left_ms : 0;
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL); /* Woken early: the next try comes early. */
    t->pause_ms = 2 * t->pause_ms < PAUSE_MAX_MS ? 2 * t->pause_ms : PAUSE_MAX_MS;
}

static const char OUTCOME_UNKNOWN[] = "It is not known whether this was done: %s. See `regent events` and `regent plan "
                                      "list` before you repeat it. ";

/* Nobody gave an answer that settles it. */
static enum client_code give_up(const struct asker *k, const struct attempt *t, struct client_answer *a)
{
    struct text text = TEXT_ON(a->text);
    a->code = t->in_flight ? CLIENT_UNKNOWN : CLIENT_NO_LEADER;
    if (t->is_forgotten) {
        text_addf(&text, OUTCOME_UNKNOWN, "an answer was lost, and by now so much else was done that the managers do "
                  "not remember the request; they will not do it any more");
        return a->code;
    }
    if (t->in_flight) text_addf(&text, OUTCOME_UNKNOWN, "the connection was lost before the answer came");
    if (t->heard) {
        text_addf(&text, "The managers have had no leader for %lld s: a majority of them must run and reach each "
                  "other.", (long long)k->patience_ms / 1000);
        return a->code;
    }
    bool is_refused = t->error.code == -EKEYREJECTED;
    text_addf(&text, "%s: %s.", is_refused ? "No manager was asked, because of certificates" : "No manager answers",
              t->error.text);
    if (addresses_n(k) > 1) text_addf(&text, " All %u addresses were tried.", addresses_n(k));
    if (!is_refused) text_add(&text, " Is regentd running there? --connect or REGENT_CONNECT name another.");
    return a->code;
}

/* One round over all addresses for what a single manager remembers. */
static bool ask_stale(struct asker *k, const struct client_request *r, struct attempt *t, struct client_answer *a)
{
    struct client_request stale = *r;
    stale.stale_ok = true;
    for (unsigned i = 0, n = addresses_n(k); i < n; i++) {
        forget_leader(k);
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
    struct mono now = clock_mono();
    if (t->is_forgotten || !mono_before(now, t->deadline)) return true;
    return !t->heard && !t->in_flight && mono_since_ms(now, t->started) >= k->dead_ms && t->tried >= addresses_n(k);
}

enum client_code asker_ask(struct asker *k, struct client_request *r, bool stale_ok, struct client_answer *a)
{
    struct attempt t = {.started = clock_mono(), .is_change = client_request_changes(r), .pause_ms = PAUSE_FIRST_MS};
    memset(a, 0, sizeof(*a));
    t.deadline = mono_add_ms(t.started, k->patience_ms);
    if (t.is_change) {
        if (k->id.client == 0) k->id.client = clock_random();
        k->id.seq++;
        r->id = k->id;
    }
    do {
        bool is_answered = try_once(k, r, &t, a);
        if (is_answered && is_final(k, &t, a)) return a->code;
        if (is_answered) client_answer_fini(a);
        if (!is_answered) t.is_redirect = false;
        if (!is_over(k, &t)) pause_between(k, &t);
    } while (!is_over(k, &t));
    if (stale_ok && t.heard && !t.is_change && ask_stale(k, r, &t, a)) return a->code;
    memset(a, 0, sizeof(*a));
    return give_up(k, &t, a);
}

enum client_code asker_more(struct asker *k, int64_t ms, struct client_answer *a)
{
    struct err e = {0};
    memset(a, 0, sizeof(*a));
    if (link_is_open(&k->link) && link_receive(&k->link, a, mono_add_ms(clock_mono(), ms), &e) == 0) return a->code;
    link_close(&k->link);
    a->code = CLIENT_NO_LEADER;
    return a->code;
}
