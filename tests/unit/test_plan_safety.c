/* What the planner must never do, whatever it sees.
 *
 * S6: no failover is proposed while a majority of the managers reads a writable master (random views).
 * Random walks: servers die, freeze, restart, lag, are cut off, leaders change, a writer writes, operators repair and
 * ask for failovers. At every step plan_world.h checks that no proposal is refused by the fsm, that its invariants
 * hold, and that nobody is opened out of turn (S1); here: that at most one server can have writes acknowledged, and
 * that a new master has every acknowledged write (S2). PLAN_SEEDS=n runs more of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_world.h"

enum { VIEWS_N = 120000, SEEDS_N = 40, WALK_TICKS = 3000 };

static struct world *w;

static unsigned pick(unsigned n)
{
    return (unsigned)(world_random(w) % n);
}

static bool chance(unsigned one_in)
{
    return pick(one_in) == 0;
}

/* --- S6 --- */

static int64_t any_ms(void)
{
    static const int64_t some[] = {-1, 0, 1, 5, 19, 20, 100, 249, 250, 251, 500, 999, 1000, 1200, 1201, 60000};
    return some[pick(ARRAY_LEN(some))];
}

static void any_channel(struct view_channel *ch)
{
    ch->io = (enum view_io)pick(3);
    ch->idle_ms = any_ms();
    ch->applier = chance(2);
    ch->sql_errno = chance(4) ? 1062 : 0;
    ch->source_server_id = chance(4) ? pick(5) : ch->source_server_id;
}

static void any_observation(struct view_observation *o)
{
    o->outcome = (enum view_outcome)pick(VIEW_OUTCOMES_N);
    o->age_ms = any_ms();
    o->ok_age_ms = any_ms();
    o->alive_age_ms = any_ms();
    o->refused_n = pick(4);
    o->refused_span_ms = any_ms();
    o->failing_ms = any_ms();
    o->facts.set = !chance(8);
    o->facts.read_only = chance(2);
    o->facts.wait_sessions = chance(4) ? pick(5) : 0;
    o->facts.yes_tx = pick(3);
    o->facts.stalled_ms = any_ms();
    o->facts.acked_ms = any_ms();
    o->facts.source_clients = pick(3);
    if (o->facts.channels_n > 0) any_channel(&o->facts.channels[0]);
}

/* Anything at all, or (more telling) what is seen of a dead, frozen or healthy master, with some of it falsified. */
static void any_view(void)
{
    struct world_server *master = &w->servers[0];
    bool is_wild = chance(3);
    master->alive = !chance(3);
    master->frozen = master->alive && chance(3);
    master->down_at = w->now - pick(3000);
    for (uint8_t i = 1; i < w->servers_n; i++) w->servers[i].heard_at = w->now - pick(3000);
    w->view->self = (uint8_t)pick(WORLD_MANAGERS);
    world_look(w);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        w->view->managers[m].heard = !chance(8);
        for (uint8_t i = 0; i < w->servers_n; i++) {
            if (is_wild ? !chance(4) : chance(16)) any_observation(&w->view->managers[m].servers[i]);
        }
    }
    master->alive = true;
    master->frozen = false;
}

/* Written anew on purpose, without the planner's helpers: recent, answered, writable, for two of three managers. */
static unsigned readers_of_open_master(void)
{
    unsigned n = 0;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        const struct view_observation *o = &w->view->managers[m].servers[world_cluster(w)->master];
        bool is_heard = m == w->view->self || w->view->managers[m].heard;
        bool is_recent = o->age_ms >= 0 && o->age_ms <= 1200;
        n += is_heard && is_recent && o->outcome == VIEW_OK && o->facts.set && !o->facts.read_only;
    }
    return n;
}

static bool proposes_failover(void)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    plan_step(&in, w->update);
    return w->update->propose && w->update->command.kind == CMD_PLAN_BEGIN &&
           w->update->command.u.plan_begin.kind == PLAN_FAILOVER;
}

static void test_no_false_failover(void **state)
{
    (void)state;
    unsigned healthy = 0, failovers = 0;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    world_enrol(w);
    while (healthy < VIEWS_N) {
        any_view();
        /* Where chance did not make the master healthy, make it so for most views: the others show that we can fail. */
        for (uint8_t m = 0; m < 2 && !chance(3); m++) {
            struct view_observation *o = &w->view->managers[(w->view->self + m) % WORLD_MANAGERS].servers[0];
            world_observe(w, (uint8_t)((w->view->self + m) % WORLD_MANAGERS), 0);
            w->view->managers[(w->view->self + m) % WORLD_MANAGERS].heard = true;
            o->age_ms = (int64_t)pick(1201);
        }
        bool is_healthy = readers_of_open_master() >= 2;
        bool is_failover = proposes_failover();
        if (is_healthy && is_failover) {
            fail_msg("view %u: %s\n%s", healthy, w->update->why, w->update->diagnosis.evidence);
        }
        healthy += is_healthy;
        failovers += is_failover;
    }
    assert_true(failovers > 100);
    world_free(w);
}

/* A round of clock doubt observes and does not act (DESIGN §4.5). */
static void test_doubtful_clock_does_not_act(void **state)
{
    (void)state;
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    world_enrol(w);
    w->servers[0].alive = false;
    w->servers[0].down_at = w->now;
    w->now += 100;
    world_look(w);
    world_input(w, &in, outcomes);
    in.may_act = false;
    plan_step(&in, w->update);
    assert_int_equal(w->update->diagnosis.row, DIAGNOSIS_GONE);
    assert_false(w->update->propose);
    assert_int_equal(w->update->verbs_n, 0);
    in.may_act = true;
    plan_step(&in, w->update);
    assert_true(w->update->propose);
    world_free(w);
}

/* --- random walks --- */

static uint64_t acked;             /* Highest sequence number acknowledged to a client under semi-sync. */
static bool pending[FSM_SERVERS_MAX]; /* A commit waits for its ack. */
static unsigned failovers_n, opened_n;

static bool is_received_by_acker(uint8_t master)
{
    for (uint8_t i = 0; i < w->servers_n; i++) {
        const struct world_server *s = &w->servers[i];
        bool acks = i != master && world_is_up(s) && s->source == master && s->receiving && s->replica_flag;
        if (acks && s->received >= w->servers[master].executed) return true;
    }
    return false;
}

/* Clients that write wherever it goes, one commit at a time on each server. */
static void write_some(void)
{
    for (uint8_t i = 0; i < w->servers_n; i++) {
        struct world_server *s = &w->servers[i];
        if (!world_is_up(s) || s->read_only) {
            pending[i] = false;
            continue;
        }
        if (pending[i] && s->source_enabled && is_received_by_acker(i)) {
            if (s->executed > acked) acked = s->executed;
            pending[i] = false;
        }
        if (pending[i] && s->source_enabled) continue;
        world_write(s, 1);
        pending[i] = true;
    }
}

static void check_one_acknowledges(void)
{
    unsigned n = 0;
    for (uint8_t i = 0; i < w->servers_n; i++) {
        const struct world_server *s = &w->servers[i];
        n += world_is_up(s) && !s->read_only && s->source_enabled && world_clients(w, i) > 0;
    }
    if (n > 1) world_break(w, "two servers can have writes acknowledged (S1)");
}

static void check_new_master(uint64_t epoch_before)
{
    const struct fsm_cluster *c = world_cluster(w);
    if (c->epoch == epoch_before) return;
    const struct fsm_plan *p = fsm_plan_find(w->state, c->plan);
    bool is_covered = p != NULL && p->fence != fsm_fence_none;
    opened_n++;
    if (is_covered && w->servers[c->master].executed < acked) world_break(w, "an acknowledged write is lost (S2)");
    if (!is_covered) acked = w->servers[c->master].executed;
}

static void restart(struct world_server *s, uint8_t i)
{
    world_restart(s);
    pending[i] = false;
}

/* What an operator does in a later issue's stead: bring a server back below the master, and into the cluster. */
static void repair(uint8_t i)
{
    static struct fsm_command c;
    struct fsm_cluster *cluster = world_cluster(w);
    struct world_server *s = &w->servers[i], *m = &w->servers[cluster->master];
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    if (i == cluster->master || cluster->plan != 0 || !world_is_up(s) || !world_is_up(m) || reign == NULL) return;
    if (!s->read_only) return;
    if (cluster->servers[i].state == SERVER_QUARANTINED) {
        s->executed = s->executed < m->executed ? s->executed : m->executed; /* Rebuilt. */
        s->received = s->applied = s->executed;
        memset(&c, 0, sizeof(c));
        c.kind = CMD_SERVER_STATE;
        (void)TEXT_COPY(c.u.server_state.cluster, cluster->name);
        (void)TEXT_COPY(c.u.server_state.server, cluster->servers[i].name);
        c.u.server_state.state = SERVER_MEMBER;
        (void)world_propose(w, &c);
    }
    if (s->executed > m->executed || s->executed > s->applied) return;
    if (s->source != cluster->master || !s->applier) s->received = s->executed; /* CHANGE MASTER drops the relay log. */
    s->source = cluster->master;
    s->receiving = s->applier = true;
    s->sql_errno = 0;
    s->never_attaches = s->slow_applier = false;
    s->replica_flag = fsm_set_has(reign->ackers, i);
}

static void ask_operator(void)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    static struct fsm_command command;
    static char buffer[2048];
    struct text dry = TEXT_ON(buffer);
    uint8_t to = chance(2) ? FSM_SERVER_NONE : (uint8_t)pick(w->servers_n);
    world_input(w, &in, outcomes);
    if (plan_operator_failover(&in, to, chance(3), &command, &dry) == FSM_OK) (void)world_propose(w, &command);
    assert_true(dry.len > 0);
}

static void down(struct world_server *s, bool is_alive)
{
    if (!world_is_up(s)) return;
    s->alive = is_alive;
    s->frozen = is_alive;
    s->down_at = w->now;
}

static void happen(void)
{
    uint8_t i = (uint8_t)pick(w->servers_n), m = (uint8_t)pick(WORLD_MANAGERS);
    struct world_server *s = &w->servers[i];
    switch (pick(20)) {
    case 0: down(s, false); return;
    case 1: down(s, true); return;
    case 2:
    case 13: s->frozen = false; return;
    case 3: if (!s->alive) restart(s, i); return;
    case 4:
    case 12: if (!s->alive) restart(s, i); return;
    case 5: s->cut[m] = true, s->cut_at[m] = w->now; return;
    case 6: memset(s->cut, 0, sizeof(s->cut)); return;
    case 7: world_lead(w, m); return;
    case 8: s->slow_applier = !s->slow_applier; return;
    case 9: s->never_attaches = !s->never_attaches; return;
    case 10: if (chance(4)) ask_operator(); return;
    case 11: if (i != world_cluster(w)->master && chance(4)) s->receiving = false; return;
    default: repair(i); return;
    }
}

static void walk(uint64_t seed)
{
    static const enum fsm_durability durabilities[] = {DURABILITY_LOSSLESS, DURABILITY_PREFER_LOSSLESS};
    w = world_new(NULL);
    world_declare(w, (uint8_t)(3 + seed % 3), durabilities[seed % 2]);
    world_enrol(w);
    w->random = seed * 2654435761u + 1;
    acked = 0;
    memset(pending, 0, sizeof(pending));
    unsigned calm = 5 + pick(60);
    for (unsigned tick = 0; tick < WALK_TICKS && w->broken[0] == '\0' && w->refused_n == 0; tick++) {
        uint64_t epoch = world_cluster(w)->epoch;
        if (chance(calm)) happen();
        write_some();
        world_tick(w);
        check_new_master(epoch);
        failovers_n += world_cluster(w)->epoch != epoch;
        check_one_acknowledges();
    }
}

static void test_random_walks(void **state)
{
    (void)state;
    const char *more = getenv("PLAN_SEEDS");
    uint64_t seeds = more != NULL ? strtoull(more, NULL, 10) : SEEDS_N;
    failovers_n = opened_n = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        walk(seed);
        if (w->broken[0] != '\0' || w->refused_n != 0) {
            struct fsm_event *e = &w->state->events[(w->state->events_n - 1) % FSM_EVENTS_MAX];
            fail_msg("seed %llu at %lld ms: %s; %u refused; last event: %s", (unsigned long long)seed,
                     (long long)(w->now - WORLD_START_MS), w->broken, w->refused_n, e->text);
        }
        world_free(w);
    }
    print_message("%llu walks, %u new masters\n", (unsigned long long)seeds, opened_n);
    assert_true(opened_n > seeds / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_false_failover),
        cmocka_unit_test(test_doubtful_clock_does_not_act),
        cmocka_unit_test(test_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
