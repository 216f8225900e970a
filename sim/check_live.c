/* Liveness: L1, L2 and L3 of one cluster. See check.h.
 *
 * What must come true is worked out here from the committed state and from what the servers truly are, by the rules of
 * DESIGN §2 and §6, and not by the code of plan/; what Regent says of it comes from the functions that answer
 * `regent status`. Each must have come true when its condition has held for a while in the healed core. What this
 * version leaves to an operator (docs/limits.md) is no violation as long as it is told. */
#include <string.h>

#include "manager/report.h"
#include "sim/check_private.h"

enum {
    MASTER_US = 45 * SIM_S, /* L1: one plan that gives up (30 s at OPEN), the back-off (5 s), one that succeeds. */
    PLACE_US = 30 * SIM_S,  /* L2 */
    STEP_US = 45 * SIM_S,   /* L3: no step takes longer. */
    TRY_US = 12 * SIM_S,    /* L3: for one leader (10 s before it gives a step up). */
    LEAD_US = 2900 * SIM_MS, /* L3: no leader gives a candidate up sooner (3 s). */
};

/* What the leader says of a cluster now. */
struct word {
    const struct fsm_cluster *cluster;
    struct report_cluster report;
    const char *why;
    enum report_state state;
    char text[FSM_TEXT_SIZE * 3];
};

static struct sim *sim_of(const struct check_site *cs)
{
    return cs->site->world->sim;
}

static const char *name_of(const struct check_site *cs, unsigned server)
{
    return sim_node_name(sim_of(cs), mysqld_node(cs->site->servers[server]));
}

/* It runs, within the core or outside. */
static bool runs(const struct check_site *cs, uint8_t server)
{
    sim_node node = mysqld_node(cs->site->servers[server]);
    bool is_running = sim_process(sim_of(cs), node) == SIM_RUNNING && sim_host(sim_of(cs), node) == SIM_HOST_UP;
    return is_running && mysqld_is_up(cs->site->servers[server]);
}

/* It is of the core, and runs: it counts as candidate, acker, proof. Nothing is asked of servers outside. */
static bool is_up(const struct check_site *cs, uint8_t server)
{
    return world_in_core(cs->site->world, mysqld_node(cs->site->servers[server])) && runs(cs, server);
}

/* Something that it sends reaches a follower, or a manager. */
static bool is_heard(const struct check_site *cs, uint8_t server)
{
    const struct world *w = cs->site->world;
    sim_node node = mysqld_node(cs->site->servers[server]);
    for (unsigned i = 0; i < w->managers_n; i++)
        if (!sim_link(w->sim, node, w->managers[i].node)->cut) return true;
    for (uint8_t i = 0; i < cs->site->servers_n; i++)
        if (i != server && runs(cs, i) && !sim_link(w->sim, node, mysqld_node(cs->site->servers[i]))->cut) return true;
    return false;
}

static bool is_read(const struct check_site *cs, uint8_t server)
{
    const struct world *w = cs->site->world;
    sim_node node = mysqld_node(cs->site->servers[server]);
    unsigned n = 0;
    for (unsigned i = 0; i < w->managers_n; i++) {
        sim_node m = w->managers[i].node;
        n += world_in_core(w, m) && !sim_link(w->sim, node, m)->cut && !sim_link(w->sim, m, node)->cut;
    }
    return n > w->managers_n / 2;
}

/* A master outside that a follower hears, and that too few managers can read: for all that anybody knows it commits its
 * clients' writes, so that it is neither replaced (S6) nor known to be closed. */
static bool is_veiled(const struct check_site *cs, const struct fsm_cluster *c)
{
    if (c->master >= c->servers_n || is_up(cs, c->master) || !runs(cs, c->master)) return false;
    if (is_read(cs, c->master)) return false;
    for (uint8_t i = 0; i < c->servers_n; i++)
        if (runs(cs, i) && mysqld_follows(cs->site->servers[i], mysqld_node(cs->site->servers[c->master]))) return true;
    return false;
}

/* One outside is open for the clients, who reach all servers: it is not replaced as long as it is heard (S6). */
static bool has_open_master(const struct check_site *cs, const struct fsm_cluster *c)
{
    if (c->master >= c->servers_n || !runs(cs, c->master)) return false;
    return mysqld_is_open(cs->site->servers[c->master]) && (is_up(cs, c->master) || is_heard(cs, c->master));
}

/* '*since_us' as long as 'is_so'. True when it has been so for 'bound_us'. */
static bool lasts(const struct check_site *cs, int64_t *since_us, bool is_so, int64_t bound_us)
{
    int64_t now_us = sim_now_us(sim_of(cs));
    if (!is_so) *since_us = 0;
    else if (*since_us == 0) *since_us = now_us;
    return is_so && now_us - *since_us >= bound_us;
}

/* Fills '*word'. False while the leader has not looked at the cluster yet. */
static bool ask(const struct check_site *cs, struct word *word)
{
    const struct manager *leader = world_leader(cs->site->world);
    const struct fsm_state *state = leader ? manager_state(leader) : NULL;
    *word = (struct word){.cluster = state ? fsm_cluster_find(state, cs->site->name) : NULL};
    if (!word->cluster) return false;
    uint8_t at = fsm_cluster_index(state, word->cluster);
    const struct plan_update *update = driver_update(leader->driver, at);
    const struct view *view = observe_view(leader->observe, at);
    if (!update || !view) return false;
    word->why = update->why;
    word->report = (struct report_cluster){state, word->cluster, view, &update->diagnosis};
    struct text text = TEXT_ON(word->text);
    word->state = report_cluster_state(&word->report, &text);
    return true;
}

/* --- L3: plans are carried on ------------------------------------------------------------------------------------- */

/* A candidate is given up, at the earliest, when a leader has tried for a while: a new one that gives up at once has
 * not carried the plan on. (At REVOKE positions may show at once that nobody can be promoted.) */
static void check_failed(struct check_site *cs, const struct fsm_plan *plan)
{
    const struct check *check = cs->check;
    int64_t now_us = sim_now_us(sim_of(cs)), since_us = cs->step_since_us;
    int64_t lead_us = check->lead_since_us > since_us ? check->lead_since_us : since_us;
    int64_t before_us = check->lead_before_us > since_us ? check->lead_before_us : since_us;
    bool has_tried = now_us - lead_us >= LEAD_US || check->lead_since_us - before_us >= LEAD_US;
    if (plan->reason[0] == '\0')
        world_break(cs->site->world, WORLD_LIVENESS, "L3: plan %llu %s without a reason",
                    (unsigned long long)plan->token, fsm_plan_state_name(plan->state));
    if (plan->kind != PLAN_FAILOVER || plan->state != PLAN_STATE_FAILED || plan->step == STEP_REVOKE) return;
    if (strstr(plan->reason, " fails: ")) return; /* It was asked, and said that it cannot. */
    if (strstr(plan->reason, " fetched ")) return; /* It did, and has something else: to wait does not mend that. */
    if (!has_tried && cs->site->world->options.checks_live)
        world_break(cs->site->world, WORLD_LIVENESS, "L3: plan %llu was given up at step %s by a leader that had just "
                    "come: %s", (unsigned long long)plan->token, fsm_step_name(plan->step), plan->reason);
}

void check_live_follow(struct check_site *cs, const struct fsm_state *state, const struct fsm_cluster *c)
{
    const struct fsm_plan *plan = fsm_plan_find(state, cs->plan);
    if (plan && plan->state != PLAN_STATE_RUNNING && plan->state != PLAN_STATE_FINISHED) check_failed(cs, plan);
    plan = fsm_plan_find(state, c->plan);
    bool is_new = c->plan != cs->plan;
    if (!plan || (!is_new && plan->step == cs->step)) return;
    bool is_again = plan->step == STEP_ESTABLISH && cs->step == STEP_OPEN; /* With another acker. */
    if (!is_new && plan->step < cs->step && !is_again)
        world_break(cs->site->world, WORLD_LIVENESS, "L3: plan %llu goes back from step %s to %s",
                    (unsigned long long)plan->token, fsm_step_name(cs->step), fsm_step_name(plan->step));
    cs->step_since_us = sim_now_us(sim_of(cs));
}

/* A member of the core, neither the candidate of the plan nor who is replaced. */
static bool is_other(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_plan *plan, uint8_t i)
{
    return i != plan->to && i != plan->from && c->servers[i].state == SERVER_MEMBER && is_up(cs, i);
}

/* Somebody of the core could do without a candidate that is outside. */
static bool is_spared(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_plan *plan)
{
    for (uint8_t i = 0; i < c->servers_n; i++) {
        if (is_other(cs, c, plan, i) && mysqld_has_all(cs->site->servers[i], cs->site->servers[plan->to])) return true;
    }
    return false;
}

/* A lossless cluster waits at ESTABLISH until somebody can acknowledge. A candidate outside the core, which its acker
 * may not reach, is not waited for when two of the core could do without it. */
static bool waits_for_acker(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_plan *plan)
{
    unsigned others_n = 0;
    if (plan->step != STEP_ESTABLISH || c->durability != DURABILITY_LOSSLESS) return false;
    for (uint8_t i = 0; i < c->servers_n; i++) {
        others_n += is_other(cs, c, plan, i) && mysqld_can_follow(cs->site->servers[i], cs->site->servers[plan->to]);
    }
    return is_up(cs, plan->to) ? others_n < 1 : others_n < 2 || !is_spared(cs, c, plan);
}

/* A candidate outside whose applier is held, and nobody of the core has, or will have, what it received. */
static bool waits_for_applier(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_plan *plan)
{
    return plan->step == STEP_APPLY && !is_up(cs, plan->to) && !is_spared(cs, c, plan);
}

/* Somebody made another server acknowledge, too: OPEN refuses, and names what to do (A6). */
static bool waits_for_stranger(const struct check_site *cs, const struct fsm_plan *plan)
{
    if (plan->step != STEP_ESTABLISH && plan->step != STEP_OPEN) return false;
    sim_node to = mysqld_node(cs->site->servers[plan->to]);
    for (uint8_t i = 0; i < cs->site->servers_n; i++)
        if (i != plan->acker && mysqld_acknowledges(cs->site->servers[i], to)) return true;
    return false;
}

static bool is_excused(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_plan *plan)
{
    return waits_for_acker(cs, c, plan) || waits_for_applier(cs, c, plan) || waits_for_stranger(cs, plan);
}

/* For each leader it counts anew how long a step has been tried. */
static bool is_young_leader(const struct check_site *cs)
{
    return sim_now_us(sim_of(cs)) - cs->check->lead_since_us < TRY_US;
}

static void check_plan(struct check_site *cs, const struct fsm_state *state, const struct fsm_cluster *c)
{
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);
    int64_t healed_us = cs->check->healed_us, since_us = cs->step_since_us;
    if (since_us < healed_us) since_us = healed_us;
    if (!plan || sim_now_us(sim_of(cs)) - since_us < STEP_US || is_excused(cs, c, plan)) return;
    if (is_young_leader(cs)) return;
    struct word word;
    (void)ask(cs, &word);
    world_break(cs->site->world, WORLD_LIVENESS, "L3: plan %llu of %s stands still at step %s: %s",
                (unsigned long long)c->plan, cs->site->name, fsm_step_name(plan->step), word.why ? word.why : "");
}

/* --- L1: an open master ------------------------------------------------------------------------------------------- */

/* Enough ackers of the reign run, in the incarnation in which they acknowledged (A4). */
static bool is_proven_by_ackers(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_reign *r)
{
    unsigned there = 0, ackers = fsm_set_count(r->ackers);
    if (r->k == 0 || (!r->lossless && (r->opened || r->epoch <= c->epoch))) return false;
    for (uint8_t i = 0; i < c->servers_n; i++) {
        bool is_same = !r->lossless || r->started_s[i] == mysqld_started_s(cs->site->servers[i]);
        there += fsm_set_has(r->ackers, i) && is_up(cs, i) && is_same;
    }
    return there + r->k > ackers;
}

/* They do, or its own master runs. */
static bool is_accounted_for(const struct check_site *cs, const struct fsm_cluster *c, const struct fsm_reign *r)
{
    return (r->master == c->master && is_up(cs, r->master)) || is_proven_by_ackers(cs, c, r);
}

/* It can be promoted, or acknowledge for who is. */
static bool is_fit(const struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    const struct mysqld *m = cs->site->servers[server];
    bool is_member = c->servers[server].state == SERVER_MEMBER && server != c->master;
    return is_member && is_up(cs, server) && !mysqld_is_open(m) && mysqld_applier_error(m) == 0 &&
           mysqld_knows_received(m);
}

static bool is_acker(const struct fsm_cluster *c, uint8_t server)
{
    for (uint8_t r = 0; r < c->reigns_n; r++)
        if (!c->reigns[r].unfenced && fsm_set_has(c->reigns[r].ackers, server)) return true;
    return false;
}

/* An acker outside that runs may be read, and counts then with what it holds. */
static bool may_tell(const struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    return is_up(cs, server) || (is_acker(c, server) && runs(cs, server));
}

/* No server that runs has what the master lacks: it would be the one to be promoted. */
static bool master_has_all(const struct check_site *cs, const struct fsm_cluster *c)
{
    const struct mysqld *master = cs->site->servers[c->master];
    for (uint8_t i = 0; i < c->servers_n; i++) {
        bool counts = i != c->master && may_tell(cs, c, i);
        if (counts && !mysqld_has_all(master, cs->site->servers[i])) return false;
    }
    return true;
}

/* The master runs, and somebody can acknowledge for it when it goes on. */
static bool could_go_on(const struct check_site *cs, const struct fsm_cluster *c)
{
    if (c->master >= c->servers_n || !is_up(cs, c->master) || !master_has_all(cs, c)) return false;
    bool is_enough = c->durability != DURABILITY_LOSSLESS;
    for (uint8_t i = 0; i < c->servers_n; i++) {
        const struct mysqld *m = cs->site->servers[i];
        bool is_replica = i != c->master && c->servers[i].state == SERVER_MEMBER && is_up(cs, i) && !mysqld_is_open(m);
        bool counts = is_replica && !fsm_set_has(fsm_unfenced_ackers(c, NULL, 0), i);
        if (counts && mysqld_can_follow(m, cs->site->servers[c->master])) is_enough = true;
    }
    return is_enough;
}

/* Only the master itself tells what was acknowledged in its reign: all that it has counts then. */
static bool is_sole_proof(const struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    const struct fsm_reign *r = fsm_reign_current(c);
    return server == c->master && r && !is_proven_by_ackers(cs, c, r);
}

/* It has all that the ackers who run hold, or will have executed it: it is to be promoted, or others can fetch it
 * there. What is in a relay log whose applier has stopped is nowhere to be had: an operator has to mend it
 * (docs/limits.md). */
static bool has_target(const struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    if (!is_up(cs, server) || c->servers[server].state != SERVER_MEMBER) return false;
    for (uint8_t i = 0; i < c->servers_n; i++) {
        bool counts = (is_acker(c, i) || is_sole_proof(cs, c, i)) && runs(cs, i);
        if (counts && !mysqld_has_all(cs->site->servers[server], cs->site->servers[i])) return false;
    }
    return true;
}

/* Enough of them can be promoted, and acknowledge, with what 'holder' has. */
static bool could_go_on_from(const struct check_site *cs, const struct fsm_cluster *c, uint8_t holder)
{
    fsm_set unfenced = fsm_unfenced_ackers(c, NULL, 0); /* They acknowledge for nobody else. */
    unsigned fit_n = 0, ackers_n = 0;
    for (uint8_t i = 0; i < c->servers_n; i++) {
        if (!is_fit(cs, c, i) || !mysqld_can_follow(cs->site->servers[i], cs->site->servers[holder])) continue;
        fit_n++;
        ackers_n += !fsm_set_has(unfenced, i);
    }
    return (fit_n > 1 && ackers_n > 0) || (fit_n > 0 && c->durability != DURABILITY_LOSSLESS);
}

/* Read-only in the incarnation in which it was opened: by somebody, who will open it again (DESIGN §8, "closed"). An
 * incarnation is the second of the start: a server whose clock was set back by as long as it had run, and that was
 * restarted then, looks the same (docs/limits.md). Not after a plan that failed: that one may have closed it. */
static bool looks_closed_by_hand(const struct check_site *cs, const struct fsm_cluster *c)
{
    const struct fsm_reign *r = fsm_reign_current(c);
    if (!r || c->epoch_used > c->epoch || !runs(cs, c->master)) return false;
    return r->started_s[c->master] == mysqld_started_s(cs->site->servers[c->master]);
}

/* A candidate outside the core was asked to open, and is heard: it may be open, so nobody else is promoted (A8). */
static bool may_be_open_outside(const struct check_site *cs, const struct fsm_cluster *c)
{
    for (uint8_t i = 0; i < c->reigns_n; i++) {
        const struct fsm_reign *r = &c->reigns[i];
        bool is_asked = r->opened && r->epoch > c->epoch && !r->unfenced && !is_up(cs, r->master);
        if (is_asked && runs(cs, r->master) && is_heard(cs, r->master)) return true;
    }
    return false;
}

/* The leader is outside, and a manager of the core cannot tell it what it sees, while a majority, others outside among
 * them, follows it: Raft keeps it, and it may lack the views that a verdict needs (docs/limits.md). */
static bool is_led_half_deaf(const struct check_site *cs)
{
    const struct manager *leader = world_leader(cs->site->world);
    return leader && check_is_cut_off(cs->site->world, leader->node);
}

/* All that was acknowledged is with those who run, and one of them can be promoted, or the master can go on. */
static bool could_have_master(const struct check_site *cs, const struct fsm_cluster *c)
{
    if (looks_closed_by_hand(cs, c) || may_be_open_outside(cs, c) || is_veiled(cs, c)) return false;
    if (is_led_half_deaf(cs)) return false;
    for (uint8_t i = 0; i < c->reigns_n; i++)
        if (!c->reigns[i].unfenced && !is_accounted_for(cs, c, &c->reigns[i])) return false;
    for (uint8_t i = 0; i < c->servers_n; i++)
        if (has_target(cs, c, i) && could_go_on_from(cs, c, i)) return true;
    return could_go_on(cs, c);
}

static void check_master_opens(struct check_site *cs, const struct fsm_state *state, const struct fsm_cluster *c)
{
    const struct fsm_plan *plan = fsm_plan_find(state, c->plan);
    bool waits = plan && is_excused(cs, c, plan);
    bool is_amiss = c->epoch != 0 && !has_open_master(cs, c) && !waits && (plan || could_have_master(cs, c));
    if (!lasts(cs, &cs->no_master_since_us, is_amiss, MASTER_US) || (plan && is_young_leader(cs))) return;
    struct word word;
    if (ask(cs, &word))
        world_break(cs->site->world, WORLD_LIVENESS, "L1: %s has no open master, and could have one: %s (%s: %s)",
                    cs->site->name, word.why, report_state_name(word.state), word.text);
}

/* --- L2: every server is in its place, or told -------------------------------------------------------------------- */

/* The reason of a quarantine says what to do. */
static bool says_what_to_do(const char *reason)
{
    static const char *const words[] = {"rebuild", "rejoin", "bring", "repoint", "check", "stop", "give", "enrol"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(reason, words[i])) return true;
    return false;
}

/* A receiver that stands still is left alone for a reason that is told, with what to do; or it is about to be started.
 * NULL: the first, or the leader cannot read that server, which is told as well. */
static const char *find_promise(const struct check_site *cs, uint8_t server)
{
    static const char *const reasons[] = {"START SLAVE", "rebuild", "regent failover", "CHANGE MASTER", "Regent tries"};
    char buffer[FSM_TEXT_SIZE * 4];
    struct text text = TEXT_ON(buffer);
    struct word word;
    if (!ask(cs, &word) || !report_facts(word.report.view, server)) return NULL;
    (void)report_server_health(&word.report, server, &text);
    bool is_promised = strstr(buffer, "Regent makes it follow") != NULL;
    /* A master outside may never be read for long enough. */
    if (is_promised) return is_up(cs, word.cluster->master) ? "stands still, and is said to be made to follow" : NULL;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (strstr(buffer, reasons[i])) return NULL;
    return "does not replicate from the master, is not quarantined, and nothing says what to do";
}

/* How a server that runs is out of its place; NULL: it is not. A receiver that tries is the network's. */
static const char *find_astray(const struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    const struct mysqld *m = cs->site->servers[server];
    bool is_receiving = false;
    if (server == c->master) return NULL; /* L1 */
    /* One whose connections its waiting clients have taken lets nobody in to close it (docs/limits.md). */
    if (mysqld_is_open(m)) return mysqld_is_full(m) ? NULL : "is writable, and not the master";
    if (c->servers[server].state != SERVER_MEMBER) return NULL;
    bool is_set = mysqld_source(m, &is_receiving) == mysqld_node(cs->site->servers[c->master]);
    return is_set && is_receiving ? NULL : find_promise(cs, server);
}

static void check_place(struct check_site *cs, const struct fsm_cluster *c, uint8_t server)
{
    const struct fsm_server *s = &c->servers[server];
    const char *how = has_open_master(cs, c) && c->plan == 0 && is_up(cs, server) ? find_astray(cs, c, server) : NULL;
    if (s->state == SERVER_QUARANTINED && !says_what_to_do(s->reason))
        world_break(cs->site->world, WORLD_LIVENESS, "L2: %s is quarantined, and not told what to do: %s",
                    name_of(cs, server), s->reason);
    if (lasts(cs, &cs->astray_since_us[server], how != NULL, PLACE_US))
        world_break(cs->site->world, WORLD_LIVENESS, "L2: %s %s", name_of(cs, server), how);
}

/* --- L2: what is wrong is told ------------------------------------------------------------------------------------ */

static void check_server_told(struct check_site *cs, const struct word *word, uint8_t server)
{
    const struct fsm_cluster *c = word->cluster;
    const struct mysqld *m = cs->site->servers[server];
    char buffer[FSM_TEXT_SIZE * 2];
    struct text text = TEXT_ON(buffer);
    bool is_ok = text_equal(report_server_health(&word->report, server, &text), "ok");
    bool is_led = has_open_master(cs, c);
    bool follows = is_led && mysqld_follows(m, mysqld_node(cs->site->servers[c->master]));
    /* Whoever is outside, or follows a master outside, may lose it, and find it again, between two probes. */
    bool is_fleeting = !is_led || !is_up(cs, c->master) || !is_up(cs, server);
    bool is_in_place = runs(cs, server) && (server == c->master ? mysqld_is_open(m) : follows || is_fleeting);
    if (!is_ok && buffer[0] == '\0')
        world_break(cs->site->world, WORLD_LIVENESS, "L2: nothing says what is wrong with %s", name_of(cs, server));
    if (is_ok && !is_in_place)
        world_break(cs->site->world, WORLD_LIVENESS, "L2: %s is not in its place, and is shown as ok",
                    name_of(cs, server));
}

static void check_cluster_told(struct check_site *cs, const struct word *word)
{
    const struct fsm_cluster *c = word->cluster;
    bool is_open = has_open_master(cs, c);
    bool takes_writes = is_open && mysqld_can_acknowledge(cs->site->servers[c->master]);
    /* It answers, and all its connections are taken, or one outside answers too few managers: nobody knows whether it
     * takes writes. And where nobody writes no commit waits, which is how the loss of an acker shows. */
    bool is_idle = is_open && mysqld_waiting_n(cs->site->servers[c->master]) == 0;
    bool is_unread = c->master < c->servers_n && !is_up(cs, c->master); /* Or now and then, behind links that lose. */
    bool is_unknown = is_idle || word->report.diagnosis->row == DIAGNOSIS_ALARM || is_unread;
    bool is_told = word->text[0] != '\0' && word->state != REPORT_OK &&
                   (word->state != REPORT_DEGRADED || is_unknown);
    if (!takes_writes && !is_told)
        world_break(cs->site->world, WORLD_LIVENESS, "L2: %s cannot be written to, and is shown as %s: %s",
                    cs->site->name, report_state_name(word->state), word->text);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

void check_live_look(struct check_site *cs)
{
    const struct fsm_state *state = manager_state(world_leader(cs->site->world));
    const struct fsm_cluster *c = fsm_cluster_find(state, cs->site->name);
    if (!c) return;
    if (c->epoch != cs->live_epoch) memset(cs->astray_since_us, 0, sizeof cs->astray_since_us);
    cs->live_epoch = c->epoch;
    check_kept_demoted(cs, c);
    if (!cs->site->world->options.checks_live) return;
    check_plan(cs, state, c);
    check_master_opens(cs, state, c);
    for (uint8_t i = 0; i < c->servers_n && c->master < c->servers_n; i++) check_place(cs, c, i);
}

void check_live_end(struct check_site *cs)
{
    struct word word;
    bool is_watched = ask(cs, &word);
    if (!is_watched && cs->cluster != FSM_CLUSTERS_MAX)
        world_break(cs->site->world, WORLD_LIVENESS, "L1: nobody watches cluster %s", cs->site->name);
    if (!is_watched) return;
    SIM_TRACE(sim_of(cs), SIM_WORLD, "%s is %s: %s (%s)", cs->site->name, report_state_name(word.state), word.text,
              word.why);
    check_cluster_told(cs, &word);
    for (uint8_t i = 0; i < cs->site->servers_n; i++) check_server_told(cs, &word, i);
}
