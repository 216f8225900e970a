/* The proof of the current reign: compared with what the managers see in every round without a plan. PURE.
 *
 * Happy path: nothing differs. When semi-sync was switched off, a commit went by unacknowledged, master or acker were
 * restarted, or a stranger may acknowledge, the proof is withdrawn by a commit (F1 counts no more, A7); when all is
 * well again and the ackers have received what was committed meanwhile, it is given anew by another.
 * Failure modes: readings from before the last change say nothing, so both wait for younger ones; one manager alone is
 * not believed. An acker that is away is no reason: commits wait for it (BLOCKED), in whichever incarnation it had. */
#include "plan/proof.h"

#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/position.h"
#include "plan/sight.h"

enum {
    WITNESSES_N = 2,           /* Managers that must have seen it. */
    TIMEOUT_MIN_MS = 86400000, /* A semi-sync time-out below a day is no "wait for ever". */
};

static const char is_stranger[] = "it may acknowledge, but is no acker: SET GLOBAL rpl_semi_sync_slave_enabled = 0,"
                                  " and restart its receiver";

const char *proof_source_problem(const struct view_facts *m)
{
    if (!m->source_enabled) return "semi-sync is off on the master: SET GLOBAL rpl_semi_sync_master_enabled = 1";
    if (!m->source_on) return "semi-sync has fallen back to asynchronous on the master: bring the acker back";
    if (!m->after_sync) return "the wait point is not AFTER_SYNC: set rpl_semi_sync_master_wait_point";
    if (!m->wait_no_replica) {
        return "the master does not wait when no replica is there: SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1";
    }
    if (m->source_timeout_ms < TIMEOUT_MIN_MS) return "the master's semi-sync time-out is too short: set 4294967295";
    return NULL;
}

static bool is_ours(const struct work *w, uint8_t server, const struct view_facts *f)
{
    const char *identity = w->cluster->servers[server].identity;
    return identity[0] == '\0' || text_equal(identity, f->identity);
}

/* A recent reading of 'server' by manager 'm', or NULL. */
static const struct view_observation *reading(const struct work *w, uint8_t m, uint8_t server)
{
    const struct view_observation *o = &w->in->view->managers[m].servers[server];
    bool is_usable = sight_heard(w->in->view, m) && sight_ok(w->cluster, o) && is_ours(w, server, &o->facts);
    return is_usable ? o : NULL;
}

static const struct view_observation *best_reading(const struct work *w, uint8_t server)
{
    const struct view_observation *best = sight_asked_last(w->cluster, w->in->view, server);
    return best != NULL && is_ours(w, server, &best->facts) ? best : NULL;
}

/* --- who may acknowledge --- */

/* The flag acts when a receiver starts: on a server that has a channel from the master it may do so at any moment. */
static bool may_acknowledge(const struct work *w, const struct view_facts *f, uint8_t master)
{
    if (MUTANT(ignore_strangers)) return false;
    return f->replica_on || (f->replica_enabled && sight_channel_from(w->cluster, f, master) != NULL);
}

const char *proof_stranger(const struct work *w, uint8_t master, fsm_set ackers)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct view_observation *best = sight_best(w->cluster, w->in->view, i);
        if (i == master || fsm_set_has(ackers, i)) continue;
        if (best != NULL && may_acknowledge(w, &best->facts, master)) return "another server may acknowledge, too";
        /* What was enrolled was understood, and acknowledges only when told to. */
        if (best == NULL && w->cluster->servers[i].identity[0] == '\0') {
            return "a server that is not enrolled cannot be read, and might acknowledge: bring it back, or take it out";
        }
    }
    return NULL;
}

/* --- proving --- */

/* The managers' oldest and newest recent readings of the master. False when one of them shows trouble. */
static bool read_twice(const struct work *w, uint8_t master, unsigned ackers_n, const struct view_observation *out[2])
{
    out[0] = out[1] = NULL;
    for (uint8_t m = 0; m < w->in->view->managers_n; m++) {
        const struct view_observation *o = reading(w, m, master);
        if (o == NULL) continue;
        if (proof_source_problem(&o->facts) != NULL || o->facts.source_clients != ackers_n) return false;
        if (out[0] == NULL || sight_asked_ms(o) > sight_asked_ms(out[0])) out[0] = o;
        if (out[1] == NULL || sight_asked_ms(o) < sight_asked_ms(out[1])) out[1] = o;
    }
    /* One manager alone has one reading: its own status then stands for the second one. */
    if (out[0] == NULL || (out[0] == out[1] && w->in->view->managers_n > 1)) return false;
    const struct view_facts *oldest = &out[0]->facts, *newest = &out[1]->facts;
    return oldest->no_tx == newest->no_tx && oldest->started_s == newest->started_s && oldest->binlog[0] != '\0';
}

static bool has_received(const struct work *w, uint8_t master, const struct view_facts *f, const char *position)
{
    const struct view_channel *ch = sight_channel_from(w->cluster, f, master);
    return ch != NULL && position_contains(w->cluster->flavour, ch->received, position);
}

bool proof_find(const struct work *w, uint8_t master, fsm_set ackers, struct proof *proof)
{
    const struct view_observation *m[2];
    if (ackers == 0 || !read_twice(w, master, fsm_set_count(ackers), m)) return false;
    if (proof_stranger(w, master, ackers) != NULL) return false;
    *proof = (struct proof){.since = m[0]->facts.binlog, .no_tx = m[1]->facts.no_tx};
    proof->started_s[master] = m[1]->facts.started_s;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(ackers, i)) continue;
        const struct view_observation *o = best_reading(w, i);
        if (o == NULL || sight_asked_ms(o) > sight_asked_ms(m[0])) return false;
        if (w->in->view->managers_n > 1 && sight_asked_ms(m[1]) > sight_asked_ms(o)) return false;
        if (!o->facts.replica_enabled || !o->facts.replica_on) return false;
        if (!has_received(w, master, &o->facts, proof->since)) return false;
        proof->started_s[i] = o->facts.started_s;
    }
    return true;
}

bool proof_has_caught_up(const struct work *w, uint8_t master, fsm_set ackers, int64_t within_ms)
{
    /* The leader's own: how old another manager's reading is, the leader knows only about. */
    const struct view_observation *m = reading(w, w->in->view->self, master);
    if (m == NULL || !sight_is_after(m, within_ms)) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(ackers, i)) continue;
        const struct view_observation *o = best_reading(w, i);
        /* What it has received is a fact, whenever it was read: nothing received is ever lost in one incarnation. */
        if (o == NULL || !o->facts.replica_on || !has_received(w, master, &o->facts, m->facts.binlog)) return false;
    }
    return true;
}

/* --- withdrawing --- */

/* How the master's 'facts' differ from what the proof rests on; NULL: they do not. */
static const char *master_trouble(const struct fsm_reign *reign, const struct view_facts *f)
{
    uint64_t started_s = reign->started_s[reign->master];
    if (started_s != 0 && f->started_s != started_s) {
        MARK(proof_master_restarted);
        return "it was restarted: what it committed since then is not proven to be acknowledged";
    }
    const char *problem = proof_source_problem(f);
    if (problem != NULL) {
        MARK(proof_source_problem);
        return problem;
    }
    if (started_s != 0 && f->no_tx != reign->no_tx) {
        MARK(proof_no_tx_moved);
        return "it committed without an acknowledgement: semi-sync was off, or timed out, for a while";
    }
    if (f->source_clients > fsm_set_count(reign->ackers) && !MUTANT(ignore_strangers)) {
        MARK(proof_too_many_clients);
        return "more servers are attached for semi-sync than there are ackers: look for it in SHOW PROCESSLIST";
    }
    return NULL;
}

static const char *acker_trouble(const struct fsm_reign *reign, uint8_t server, const struct view_facts *f)
{
    uint64_t started_s = reign->started_s[server];
    if (started_s == 0 || f->started_s == started_s || MUTANT(trust_restarted)) return NULL;
    MARK(proof_acker_restarted);
    return "the acker was restarted: what it had acknowledged may be lost with its relay log";
}

static const char *trouble(const struct work *w, const struct fsm_reign *reign, uint8_t server,
                           const struct view_facts *f)
{
    if (server == reign->master) return master_trouble(reign, f);
    if (fsm_set_has(reign->ackers, server)) return acker_trouble(reign, server, f);
    if (!may_acknowledge(w, f, reign->master)) return NULL;
    MARK(proof_stranger);
    return is_stranger;
}

/* What enough managers see wrong with 'server', the one that looked last among them. */
static const char *agreed_trouble(const struct work *w, const struct fsm_reign *reign, uint8_t server)
{
    const struct view_observation *newest = NULL;
    unsigned n = 0, managers_n = w->in->view->managers_n;
    for (uint8_t m = 0; m < managers_n; m++) {
        const struct view_observation *o = reading(w, m, server);
        if (o == NULL) continue;
        n += trouble(w, reign, server, &o->facts) != NULL;
        if (newest == NULL || sight_asked_ms(o) < sight_asked_ms(newest)) newest = o;
    }
    if (newest == NULL || n < (managers_n < WITNESSES_N ? managers_n : WITNESSES_N)) return NULL;
    return trouble(w, reign, server, &newest->facts);
}

static struct fsm_cmd_reign_proof *propose_proof(struct work *w, bool is_lossless)
{
    struct fsm_cmd_reign_proof *c = &work_propose(w, CMD_REIGN_PROOF)->u.reign_proof;
    (void)TEXT_COPY(c->cluster, w->cluster->name);
    c->epoch = w->cluster->epoch;
    c->lossless = is_lossless;
    return c;
}

/* The last readings may be from before what was decided last. */
static bool is_settling(const struct work *w, const char *event_kind)
{
    int64_t plan_ms = work_ended_ms(w), event_ms = work_event_ms(w, event_kind);
    bool is_plan_newer = event_ms < 0 || (plan_ms >= 0 && plan_ms < event_ms);
    int64_t since_ms = is_plan_newer ? plan_ms : event_ms;
    if (since_ms < 0) return false;
    return since_ms <= sight_fresh_ms(w->cluster) || sight_has_older(w->cluster, w->in->view, since_ms);
}

bool proof_withdraw(struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    if (reign == NULL || !reign->lossless || MUTANT(keep_proof)) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const char *what = agreed_trouble(w, reign, i);
        if (what == NULL) continue;
        if (is_settling(w, "reign.proven")) {
            MARK(proof_settles);
            return false;
        }
        MARK(proof_withdrawn);
        struct fsm_cmd_reign_proof *c = propose_proof(w, false);
        const struct view_observation *m = best_reading(w, reign->master);
        if (m != NULL && !m->facts.read_only) {
            /* The incarnation that is the master now: a later restart is told from it. */
            c->started_s[reign->master] = m->facts.started_s;
            c->no_tx = m->facts.no_tx;
        }
        struct text reason = TEXT_ON(c->reason);
        text_addf(&reason, "%s: %s", work_name(w, i), what);
        WORK_WHY(w, "not lossless any more. %s: %s", work_name(w, i), what);
        return true;
    }
    return false;
}

bool proof_restore(struct work *w)
{
    const struct fsm_reign *reign = fsm_reign_current(w->cluster);
    struct proof proof;
    if (reign == NULL || reign->lossless || reign->k == 0 || w->cluster->durability == DURABILITY_ASYNC) return false;
    if (is_settling(w, "reign.unproven") || !proof_find(w, reign->master, reign->ackers, &proof)) return false;
    MARK(proof_restored);
    struct fsm_cmd_reign_proof *c = propose_proof(w, true);
    (void)TEXT_COPY(c->since, proof.since);
    memcpy(c->started_s, proof.started_s, sizeof(c->started_s));
    c->no_tx = proof.no_tx;
    WORK_WHY(w, "every commit is acknowledged, since %s", proof.since);
    return true;
}
