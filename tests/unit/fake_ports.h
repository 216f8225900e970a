/* A fake world behind manager/ports.h for the unit tests of observer, executor and driver: time stands still until
 * it is moved, requests and proposals are kept until the test answers them. */
#ifndef REGENT_TEST_FAKE_PORTS_H
#define REGENT_TEST_FAKE_PORTS_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "lib/base/text.h"
#include "manager/ports.h"

enum { FAKE_REQUESTS_MAX = 4096, FAKE_DROPS_MAX = 64, FAKE_STARTED_S = 1795226000 /* As answer_replica() says. */ };

struct fake_request {
    struct port_request request;
    char sql[8192];
    bool open; /* Not answered yet. */
};

struct fake {
    struct ports ports;
    struct mono now;
    struct wall wall;
    struct mono wake_at;
    bool established;
    uint64_t term;
    struct fsm_state *state;
    struct fake_request *requests;
    unsigned requests_n;
    int query_rc; /* What query() returns when it is not 0. */
    unsigned drops_n, pushes_n, proposals_n;
    struct port_request drops[FAKE_DROPS_MAX];
    bool proposal_open;
    struct fsm_command proposal;
    port_proposed_fn *proposal_done;
    void *proposal_arg;
    uint64_t random;
};

static inline struct mono fake_now(void *ctx) { return ((struct fake *)ctx)->now; }
static inline struct wall fake_wall(void *ctx) { return ((struct fake *)ctx)->wall; }
static inline uint64_t fake_random(void *ctx) { return ++((struct fake *)ctx)->random; }
static inline void fake_wake_at(void *ctx, struct mono at)
{
    struct fake *f = ctx;
    f->wake_at = mono_earlier(f->wake_at, at);
}
static inline bool fake_established(void *ctx, uint64_t *term)
{
    struct fake *f = ctx;
    *term = f->term;
    return f->established;
}
static inline const struct fsm_state *fake_state(void *ctx) { return ((struct fake *)ctx)->state; }
static inline int fake_propose(void *ctx, const struct fsm_command *command, port_proposed_fn *done, void *arg)
{
    struct fake *f = ctx;
    MUST(!f->proposal_open); /* One cluster: at most one proposal in flight. */
    f->proposal = *command;
    f->proposal_open = true;
    f->proposal_done = done;
    f->proposal_arg = arg;
    f->proposals_n++;
    return 0;
}
static inline int fake_query(void *ctx, const struct port_request *request)
{
    struct fake *f = ctx;
    if (f->query_rc != 0) return f->query_rc;
    MUST(f->requests_n < FAKE_REQUESTS_MAX);
    struct fake_request *r = &f->requests[f->requests_n++];
    r->request = *request;
    r->open = true;
    TEXT_COPY(r->sql, request->sql);
    return 0;
}
static inline void fake_drop(void *ctx, uint8_t cluster, uint8_t server, enum port_session session)
{
    struct fake *f = ctx;
    MUST(f->drops_n < FAKE_DROPS_MAX);
    f->drops[f->drops_n++] = (struct port_request){.cluster = cluster, .server = server, .session = session};
}
static inline bool fake_account(void *ctx, uint8_t cluster, const char **user, const char **password)
{
    (void)ctx;
    (void)cluster;
    *user = "repl";
    *password = "secret";
    return true;
}
static inline uint8_t fake_managers(void *ctx, struct port_manager *out, uint8_t max, uint8_t *self)
{
    (void)ctx;
    MUST(max >= 3);
    for (uint8_t i = 0; i < 3; i++) {
        out[i].id = i + 1u;
        TEXT_COPY(out[i].name, i == 0 ? "m1" : i == 1 ? "m2" : "m3");
    }
    *self = 0;
    return 3;
}
static inline void fake_push(void *ctx, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n)
{
    (void)cluster;
    (void)mine;
    (void)servers_n;
    ((struct fake *)ctx)->pushes_n++;
}

/* An enrolled cluster "shop" of epoch 1: db1 master, db2 backup and acker, db3 replica. */
static inline void fake_cluster(struct fsm_state *state)
{
    struct fsm_cluster *c = &state->clusters[0];
    static const char *const names[] = {"db1", "db2", "db3"};
    c->used = true;
    TEXT_COPY(c->name, "shop");
    c->flavour = FLAVOUR_MARIADB;
    c->durability = DURABILITY_PREFER_LOSSLESS;
    TEXT_COPY(c->defaults_file, "/nowhere");
    TEXT_COPY(c->group, "regent");
    c->probe_ms = 500;
    c->timeout_ms = 1000;
    c->servers_n = 3;
    for (uint8_t i = 0; i < 3; i++) {
        struct fsm_server *s = &c->servers[i];
        struct text address = TEXT_ON(s->address);
        TEXT_COPY(s->name, names[i]);
        text_addf(&address, "127.0.0.1:%d", 3301 + i);
        s->role = s->declared = i == 0 ? ROLE_MASTER : i == 1 ? ROLE_BACKUP : ROLE_REPLICA;
        s->state = SERVER_MEMBER;
        s->server_id = i + 1u;
        struct text identity = TEXT_ON(s->identity);
        text_addf(&identity, "identity-%d", i);
    }
    c->master = 0;
    c->backup = 1;
    c->epoch = c->epoch_used = 1;
    c->version = 1;
    c->reigns_n = 1;
    c->reigns[0] = (struct fsm_reign){
        .epoch = 1, .master = 0, .k = 1, .ackers = FSM_BIT(1), .lossless = true, .since = "0-1-1"};
    c->reigns[0].opened = true;
    for (uint8_t i = 0; i < 2; i++) c->reigns[0].started_s[i] = FAKE_STARTED_S;
    state->index = 10;
}

static inline struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof *f);
    MUST(f);
    f->requests = calloc(FAKE_REQUESTS_MAX, sizeof *f->requests);
    f->state = malloc(sizeof *f->state);
    MUST(f->requests && f->state);
    fsm_init(f->state);
    fake_cluster(f->state);
    f->now = (struct mono){1000000};
    f->wall = (struct wall){1700000000000000};
    f->term = 1;
    f->ports = (struct ports){
        .ctx = f,
        .clock = {fake_now, fake_wall, fake_random, fake_wake_at},
        .consensus = {fake_established, fake_state, fake_propose},
        .servers = {fake_query, fake_drop, fake_account},
        .peers = {fake_managers, fake_push},
    };
    return f;
}

static inline void fake_free(struct fake *f)
{
    free(f->requests);
    free(f->state);
    free(f);
}

static inline void fake_pass(struct fake *f, int64_t ms)
{
    f->now.us += ms * 1000;
    f->wall.us += ms * 1000;
    f->wake_at = MONO_NEVER;
}

/* Answers the youngest open request of a server and kind with a failure. Returns false when there is none. */
static inline bool fake_fail(struct fake *f, uint8_t server, enum port_session session, struct db_result result)
{
    for (unsigned i = f->requests_n; i-- > 0;) {
        struct fake_request *r = &f->requests[i];
        if (!r->open || r->request.server != server || r->request.session != session) continue;
        r->open = false;
        r->request.done(r->request.arg, &result);
        return true;
    }
    return false;
}

static inline unsigned fake_open(const struct fake *f, uint8_t server, enum port_session session)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->requests_n; i++) {
        const struct fake_request *r = &f->requests[i];
        n += r->open && r->request.server == server && r->request.session == session;
    }
    return n;
}

static inline unsigned fake_sent(const struct fake *f, uint8_t server, enum port_session session)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->requests_n; i++)
        n += f->requests[i].request.server == server && f->requests[i].request.session == session;
    return n;
}

static const struct db_result FAKE_REFUSED = {
    .status = DB_REFUSED, .code = 2002, .session_lost = true, .error = "refused"};
static const struct db_result FAKE_TIMED_OUT = {.status = DB_TIMED_OUT, .session_lost = true, .error = "timed out"};
static const struct db_result FAKE_LOST = {.status = DB_LOST, .code = 2013, .session_lost = true, .error = "lost"};
static const struct db_result FAKE_FULL = {
    .status = DB_ERROR, .code = 1040, .session_lost = true, .error = "Too many connections"};

#endif
