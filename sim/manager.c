/* A simulated manager: its life, its rounds and its ports. See manager.h.
 *
 * The twin of manager/shell.c: the same modules in the same order. */
#include "sim/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "sim/check.h"
#include "sim/world.h"

enum { TURN_US = 30 }; /* From a wake to the round: the loop's turn. */

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct manager *manager_of_loop(struct uv_loop_s *loop)
{
    return (struct manager *)loop;
}

static struct uv_loop_s *loop_of(struct manager *m)
{
    return (struct uv_loop_s *)m;
}

/* --- calls that must come later ----------------------------------------------------------------------------------- */

static void run_deferred(struct manager *m)
{
    while (m->deferred) {
        struct deferred *d = m->deferred;
        m->deferred = d->next;
        if (!m->deferred) m->deferred_tail = &m->deferred;
        d->fn(d->arg);
        free(d);
    }
}

static void on_later(void *arg)
{
    struct manager *m = arg;
    m->later = 0;
    run_deferred(m);
}

void manager_later(struct manager *manager, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = malloc(sizeof *d);
    MUST(d);
    *d = (struct deferred){NULL, fn, arg};
    *manager->deferred_tail = d;
    manager->deferred_tail = &d->next;
    bool lives = sim_process(manager->sim, manager->node) != SIM_DEAD; /* Else the end of its life runs it. */
    if (manager->later == 0 && lives) manager->later = sim_after(manager->sim, manager->node, 0, on_later, manager);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void run_round(void *arg);

void manager_wake(struct manager *manager)
{
    bool lives = sim_process(manager->sim, manager->node) != SIM_DEAD;
    if (lives && manager->round == 0)
        manager->round = sim_after(manager->sim, manager->node, TURN_US, run_round, manager);
}

static void on_timer(void *arg)
{
    struct manager *m = arg;
    m->timer = 0;
    manager_wake(m);
}

/* libuv's timers count whole milliseconds. */
static void arm(struct manager *m)
{
    sim_cancel(m->sim, &m->timer);
    if (!mono_is_set(m->wake_at)) return;
    struct mono now = sim_mono(m->sim, m->node);
    int64_t in_us = m->wake_at.us - now.us;
    if (in_us <= 0) {
        manager_wake(m);
        return;
    }
    struct mono at = mono_add_ms(now, (in_us + 999) / 1000);
    m->timer = sim_at(m->sim, m->node, sim_true_us(m->sim, m->node, at), on_timer, m);
}

static void note_leader(struct manager *m)
{
    const struct raft_node_status *s = &m->status;
    bool is_same = s->leader_id == m->told_leader && s->established == m->told_established;
    if (is_same && s->term == m->told_term) return;
    SIM_TRACE(m->sim, m->node, "raft term %llu leader %llu%s", (unsigned long long)s->term,
              (unsigned long long)s->leader_id, s->established ? ", established" : "");
    if (s->established && !m->told_established) world_note_leader(m->world, m);
    m->told_term = s->term;
    m->told_leader = s->leader_id;
    m->told_established = s->established;
}

/* What the planner says, when it says something new. */
static void trace_why(struct manager *m)
{
    const struct fsm_state *state = manager_state(m);
    for (uint8_t c = 0; c < CLUSTERS_MAX; c++) {
        const struct plan_update *update = state->clusters[c].used ? driver_update(m->driver, c) : NULL;
        if (!update || text_equal(update->why, m->told_why[c])) continue;
        (void)TEXT_COPY(m->told_why[c], update->why);
        sim_trace(m->sim, m->node, "%s: %s", state->clusters[c].name, update->why);
    }
}

static void run_round(void *arg)
{
    struct manager *m = arg;
    m->round = 0;
    m->wake_at = MONO_NEVER;
    m->in_round = true;
    backend_fire(m->backend);
    raft_node_run(consensus_node(m->consensus));
    if (m->is_dying) return;
    raft_node_status(consensus_node(m->consensus), &m->status);
    note_leader(m);
    peers_follow(m);
    if (m->applied) {
        m->applied = false;
        driver_poke_all(m->driver);
    }
    observe_run(m->observe);
    driver_run(m->driver);
    execute_run(m->execute);
    hand_over_run(m->hand_over);
    if (sim_tracing(m->sim)) trace_why(m);
    m->in_round = false;
    arm(m);
}

/* --- ports -------------------------------------------------------------------------------------------------------- */

static struct mono port_now(void *ctx)
{
    struct manager *m = ctx;
    return sim_mono(m->sim, m->node);
}

static struct wall port_wall(void *ctx)
{
    struct manager *m = ctx;
    return sim_wall(m->sim, m->node);
}

static uint64_t port_random(void *ctx)
{
    struct manager *m = ctx;
    return rng_u64(&m->rng);
}

static void port_wake_at(void *ctx, struct mono at)
{
    struct manager *m = ctx;
    if (mono_is_set(m->wake_at) && !mono_before(at, m->wake_at)) return;
    m->wake_at = at;
    bool lives = sim_process(m->sim, m->node) != SIM_DEAD;
    if (!m->in_round && lives) arm(m); /* At its end a round does it by itself. */
}

static bool port_established(void *ctx, uint64_t *term)
{
    struct manager *m = ctx;
    return consensus_is_established(m->consensus, term);
}

static const struct fsm_state *port_state(void *ctx)
{
    struct manager *m = ctx;
    return consensus_state(m->consensus);
}

/* A command that was proposed: its answer is looked at, and handed on. */
struct asked {
    struct manager *m;
    uint64_t since;
    port_proposed_fn *done;
    void *arg;
};

static void on_answer(void *arg, int status, const struct fsm_result *result)
{
    struct asked asked = *(struct asked *)arg;
    free(arg);
    if (status == 0) check_answer(asked.m->world->check, asked.m, asked.since, result);
    asked.done(asked.arg, status, result);
}

int manager_propose(struct manager *manager, const struct fsm_command *command, port_proposed_fn *done, void *arg)
{
    struct asked *asked = malloc(sizeof *asked);
    MUST(asked);
    *asked = (struct asked){manager, command->id.since, done, arg};
    int rc = consensus_propose(manager->consensus, command, on_answer, asked);
    if (rc != 0) free(asked);
    return rc;
}

static int port_propose(void *ctx, const struct fsm_command *command, port_proposed_fn *done, void *arg)
{
    struct manager *m = ctx;
    int rc = manager_propose(m, command, done, arg);
    bool is_failover = command->kind == CMD_PLAN_BEGIN && command->u.plan_begin.kind == PLAN_FAILOVER;
    if (rc == 0 && is_failover) world_note_proposal(m->world, m);
    return rc;
}

static int port_query(void *ctx, const struct port_request *request)
{
    struct manager *m = ctx;
    m->world->stats.probes += request->session == PORT_PROBE;
    return m->sessions ? sessions_query(m->sessions, request) : -EBUSY;
}

static void port_drop(void *ctx, uint8_t cluster, uint8_t server, enum port_session session)
{
    struct manager *m = ctx;
    if (m->sessions) sessions_drop(m->sessions, cluster, server, session);
}

static bool port_account(void *ctx, uint8_t cluster, const char **user, const char **password)
{
    struct manager *m = ctx;
    return m->sessions && sessions_replication_account(m->sessions, cluster, user, password);
}

_Static_assert(sizeof((struct port_manager *)0)->name == sizeof((struct raft_node_member *)0)->name, "copied whole");

static uint8_t port_managers(void *ctx, struct port_manager *out, uint8_t max, uint8_t *self)
{
    struct manager *m = ctx;
    const struct raft_node_status *status = &m->status; /* Of this round. */
    uint8_t n = 0;
    MUST(m->in_round);
    for (unsigned i = 0; i < status->members_n && n < max; i++) {
        out[n].id = status->members[i].id;
        memcpy(out[n].name, status->members[i].name, sizeof out[n].name);
        memcpy(out[n].address, status->members[i].address, sizeof out[n].address);
        if (out[n].id == m->id) *self = n;
        n++;
    }
    return n;
}

static void port_push(void *ctx, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n)
{
    peers_send(ctx, cluster, mine, servers_n);
}

static void fill_ports(struct manager *m)
{
    m->ports = (struct ports){
        .ctx = m,
        .clock = {port_now, port_wall, port_random, port_wake_at},
        .consensus = {port_established, port_state, port_propose},
        .servers = {port_query, port_drop, port_account},
        .peers = {port_managers, port_push},
    };
}

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static void on_applied(void *arg)
{
    struct manager *m = arg;
    m->applied = true;
    world_note_applied(m->world, m);
}

static void on_wake(void *arg)
{
    manager_wake(arg);
}

static void on_fatal(void *arg, const char *text)
{
    manager_dies(arg, text);
}

static void on_changed(void *arg, uint8_t cluster)
{
    struct manager *m = arg;
    if (m->driver) driver_poke(m->driver, cluster);
    manager_wake(m);
}

static void on_hangup(void *arg, uint8_t cluster, uint8_t server, enum port_session session)
{
    struct manager *m = arg;
    if (session == PORT_PROBE) observe_hangup(m->observe, cluster, server);
    if (session == PORT_CONTROL) execute_hangup(m->execute, cluster, server);
    manager_wake(m);
}

/* --- what other managers send ------------------------------------------------------------------------------------- */

static void on_received(void *arg, struct sim_blob *blob)
{
    struct incoming *in = arg;
    const struct word_head *head = (const struct word_head *)blob;
    if (head->word == WORD_RAFT) backend_receive(in->manager->backend, SIM_WORLD, blob);
    else peers_take(in, blob);
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct incoming *in = arg, **at = &in->manager->incoming;
    (void)why;
    while (*at != in) at = &(*at)->next;
    *at = in->next;
    free(in);
}

static void welcome_free(struct sim_blob *blob)
{
    free(blob);
}

/* With TLS who connects hears of us before it sends. */
static void welcome(struct sim_stream *stream)
{
    struct word_head *w = malloc(sizeof *w);
    MUST(w);
    *w = (struct word_head){{1, welcome_free}, WORD_WELCOME};
    (void)sim_stream_send(stream, &w->blob);
}

static bool on_accept(void *arg, struct sim_stream *stream, sim_node from)
{
    static const struct sim_stream_ops ops = {NULL, on_received, on_closed};
    struct manager *m = arg;
    struct incoming *in = calloc(1, sizeof *in);
    (void)from;
    MUST(in);
    in->manager = m;
    in->next = m->incoming;
    m->incoming = in;
    transit_begin(&in->transit, clock_mono());
    sim_stream_take(stream, &ops, in);
    welcome(stream);
    return true;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void on_die(void *arg)
{
    struct manager *m = arg;
    if (m->is_dying) sim_kill(m->sim, m->node);
}

void manager_dies(struct manager *manager, const char *why)
{
    if (manager->is_dying) return;
    manager->is_dying = true;
    (void)TEXT_COPY(manager->fatal, why);
    SIM_TRACE(manager->sim, manager->node, "fatal: %s", why);
    sim_after(manager->sim, SIM_WORLD, 0, on_die, manager);
}

static const struct fsm_state *sessions_state(void *arg)
{
    return port_state(arg);
}

static bool start_modules(struct manager *m)
{
    struct sessions_hooks sessions_hooks = {m, sessions_state, on_hangup};
    struct consensus_hooks hooks = {m, on_applied, on_wake, on_fatal};
    struct err e = {0};
    m->consensus = consensus_start(loop_of(m), &m->config, &hooks, &e);
    if (!m->consensus) {
        if (e.code == -EBADMSG) world_break(m->world, WORLD_SAFETY, "S4: %s lost a promise: %s", m->name, e.text);
        manager_dies(m, e.text);
        return false;
    }
    fill_ports(m);
    m->sessions = sessions_new(loop_of(m), &sessions_hooks);
    m->observe = observe_new(&m->ports, on_changed, m);
    m->execute = execute_new(&m->ports, on_changed, m);
    m->driver = driver_new(&m->ports, m->observe, m->execute);
    m->hand_over = hand_over_new(m->consensus, m->observe, m->driver);
    MUST(m->sessions && m->observe && m->execute && m->driver && m->hand_over);
    return true;
}

static void boot_as(void *arg)
{
    struct manager *m = arg;
    m->backend = backend_new(m);
    sim_listen(m->sim, m->node, on_accept, m);
    backend_listen(m->backend);
    if (start_modules(m)) manager_wake(m);
}

bool manager_boot(struct manager *manager)
{
    struct manager *m = manager;
    sim_boot(m->sim, m->node);
    m->round = m->timer = m->later = 0;
    m->wake_at = MONO_NEVER;
    m->in_round = m->applied = m->is_dying = m->is_held = false;
    m->fatal[0] = '\0';
    m->peers = (struct peer_link){0};
    m->told_term = m->told_leader = 0;
    m->told_established = false;
    memset(&m->status, 0, sizeof m->status);
    SIM_TRACE(m->sim, m->node, "boots");
    sim_run_as(m->sim, m->node, boot_as, m);
    return !m->is_dying;
}

static void sessions_closed(void *arg)
{
    ((struct manager *)arg)->sessions = NULL;
}

/* The process is gone: what is left of it in our memory goes, without a trace in the world. */
static void killed(void *arg, bool power_lost)
{
    struct manager *m = arg;
    m->is_dying = true;
    if (m->execute) execute_cancel_all(m->execute);
    if (m->sessions) sessions_stop(m->sessions, sessions_closed, m);
    if (m->consensus) consensus_stop(m->consensus, NULL, NULL);
    run_deferred(m);
    disk_crash(&m->disk, power_lost);
    while (m->incoming) {
        struct incoming *in = m->incoming;
        m->incoming = in->next;
        free(in);
    }
    if (m->driver) driver_free(m->driver);
    if (m->execute) execute_free(m->execute);
    if (m->observe) observe_free(m->observe);
    consensus_free(m->consensus);
    hand_over_free(m->hand_over);
    backend_free(m->backend);
    m->driver = NULL;
    m->execute = NULL;
    m->observe = NULL;
    m->consensus = NULL;
    m->hand_over = NULL;
    m->backend = NULL;
}

static void glyph(void *arg, char *to)
{
    const struct manager *m = arg;
    static const char *const roles[] = {"f", "c", "l", "u"};
    (void)snprintf(to, 8, "%s", m->status.established ? "L" : roles[m->status.role]);
}

void manager_init(struct manager *manager, struct world *world, unsigned index)
{
    struct manager *m = manager;
    const struct sim_node_hooks hooks = {m, killed, glyph};
    memset(m, 0, sizeof *m);
    m->world = world;
    m->sim = world->sim;
    m->index = index;
    m->id = index + 1;
    m->deferred_tail = &m->deferred;
    (void)snprintf(m->name, sizeof m->name, "m%u", index + 1);
    (void)snprintf(m->address, sizeof m->address, "m%u:4001", index + 1);
    m->node = sim_node_add(m->sim, m->name, &hooks);
    rng_init(&m->rng, world->seed, "manager", index);
    m->config.data_dir = m->name;
    m->config.id = m->id;
    m->config.net = &m->net;
    (void)TEXT_COPY(m->config.address, m->address);
}

void manager_free(struct manager *manager)
{
    disk_free(&manager->disk);
}

bool manager_lives(const struct manager *manager)
{
    return manager->consensus != NULL && !manager->is_dying;
}

bool manager_leads(const struct manager *manager)
{
    return manager_lives(manager) && manager->status.role == RAFT_NODE_LEADER && manager->status.established;
}

const struct fsm_state *manager_state(const struct manager *manager)
{
    return manager->consensus ? consensus_state(manager->consensus) : NULL;
}
