/* Choices among the servers of a cluster: candidate, acker, proof. PURE. */
#include "plan/choose.h"

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/position.h"
#include "plan/sight.h"

static const struct view_facts *facts_of(const struct work *w, uint8_t server)
{
    return &sight_self(w->in->view, server)->facts;
}

static bool is_member(const struct work *w, uint8_t server)
{
    const struct fsm_server *s = &w->cluster->servers[server];
    return s->state == SERVER_MEMBER && !s->maintenance;
}

static const char *settings_problem(const struct work *w, const struct view_facts *f)
{
    if (!f->supported) return "its version is not supported";
    if (!f->binlog_on) return "its binary log is off";
    if (!f->log_replica_updates) return "it does not log what it replicates (log_slave_updates)";
    if (!f->gtid_strict && w->cluster->flavour == FLAVOUR_MARIADB) return "gtid_strict_mode is off";
    return NULL;
}

bool choose_is_errant(const struct work *w, const char *position)
{
    const struct fsm_cluster *c = w->cluster;
    const struct fsm_reign *reign = fsm_reign_current(c);
    struct position_authors authors = {0};
    if (reign == NULL || !reign->lossless) return false;
    for (uint8_t i = 0; i < c->reigns_n; i++) authors.id[authors.n++] = c->servers[c->reigns[i].master].server_id;
    return position_is_foreign(c->flavour, position, reign->since, &authors);
}

static const struct view_channel *first_channel(const struct view_facts *f)
{
    return f->channels_n > 0 ? &f->channels[0] : NULL;
}

const char *choose_problem(const struct work *w, uint8_t server)
{
    if (server >= w->cluster->servers_n) return "there is no such server";
    const struct fsm_server *s = &w->cluster->servers[server];
    if (server == w->cluster->master) return "it is the master";
    if (s->state != SERVER_MEMBER) return "it is quarantined or not enrolled";
    if (s->maintenance) return "it is in maintenance";
    if (!sight_reached(w->cluster, w->in->view, server)) return "the leader cannot reach it";
    const struct view_facts *f = facts_of(w, server);
    if (!text_equal(f->identity, s->identity)) return "it is not the server that was enrolled (identity differs)";
    if (!f->read_only && !choose_was_promoted(w, server)) {
        MARK(choose_writable);
        return "it is writable";
    }
    const struct view_channel *ch = first_channel(f);
    if (ch != NULL && ch->sql_errno != 0) {
        MARK(choose_applier_stopped);
        return "its applier stopped on an error";
    }
    if (choose_is_errant(w, f->executed)) return "it has a transaction that is not its master's: rebuild it";
    return settings_problem(w, f);
}

const char *choose_received(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server);
    const struct view_channel *ch = first_channel(f);
    bool has_received = ch != NULL && ch->received[0] != '\0' && !MUTANT(choose_executed);
    return has_received ? ch->received : f->executed;
}

/* True when 'a' is known to have received more than 'b'. */
static bool has_more(const struct work *w, uint8_t a, uint8_t b)
{
    const char *pa = choose_received(w, a), *pb = choose_received(w, b);
    return position_contains(w->cluster->flavour, pa, pb) && !position_contains(w->cluster->flavour, pb, pa);
}

fsm_set choose_ackers(const struct fsm_cluster *cluster)
{
    fsm_set all = 0;
    for (uint8_t i = 0; i < cluster->reigns_n; i++) all |= cluster->reigns[i].ackers;
    return all;
}

bool choose_was_promoted(const struct work *w, uint8_t server)
{
    const struct fsm_cluster *c = w->cluster;
    for (uint8_t i = 0; i < c->reigns_n; i++) {
        const struct fsm_reign *r = &c->reigns[i];
        bool is_own = w->plan != NULL && r->epoch == w->plan->epoch; /* Of the plan itself: it is on its way. */
        if (r->master == server && r->epoch > c->epoch && !is_own) return true;
    }
    for (uint8_t i = 0; w->plan != NULL && i < w->plan->past_n; i++) {
        if (w->plan->past[i].master == server && w->plan->past[i].epoch > c->epoch) return true;
    }
    return false;
}

enum diagnosis_row choose_row(const struct work *w, uint8_t server, uint64_t epoch)
{
    struct fsm_cluster as_master = *w->cluster;
    struct diagnosis d;
    as_master.master = server;
    as_master.epoch = as_master.epoch_used = epoch;
    as_master.paused = false;
    diagnose(&as_master, w->in->view, &d);
    return d.row;
}

static bool is_over(enum diagnosis_row row)
{
    return row == DIAGNOSIS_GONE || row == DIAGNOSIS_SILENT || row == DIAGNOSIS_RESTARTED || row == DIAGNOSIS_CLOSED;
}

uint8_t choose_open(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *r = &w->cluster->reigns[i];
        if (!r->opened || r->unfenced || !choose_was_promoted(w, r->master)) continue;
        if (is_over(choose_row(w, r->master, r->epoch))) {
            MARK(choose_open_is_over);
            continue;
        }
        MARK(choose_open_successor);
        return r->master;
    }
    return FSM_SERVER_NONE;
}

fsm_set choose_unfenced(const struct work *w)
{
    return fsm_unfenced_ackers(w->cluster, w->plan, w->plan != NULL ? w->plan->revoked : 0);
}

/* The last failover failed with it before it was asked to open: it applied nothing, or nobody attached to it. Others
 * come first, and it again after them. */
static bool has_failed(const struct work *w, uint8_t server)
{
    const struct fsm_plan *last = work_newest_ended(w, PLAN_FAILOVER);
    if (last == NULL || last->state != PLAN_STATE_FAILED || last->to != server) return false;
    return last->step == STEP_APPLY || last->step == STEP_ESTABLISH;
}

static bool is_better(const struct work *w, uint8_t server, uint8_t than, fsm_set ackers)
{
    bool is_acker = fsm_set_has(ackers, server), than_is = fsm_set_has(ackers, than);
    if (has_failed(w, server) || has_failed(w, than)) return has_failed(w, than);
    return is_acker != than_is ? is_acker : has_more(w, server, than);
}

uint8_t choose_candidate(const struct work *w, uint8_t prefer, fsm_set among)
{
    fsm_set ackers = choose_ackers(w->cluster);
    uint8_t best = FSM_SERVER_NONE, open = choose_open(w);
    if (open != FSM_SERVER_NONE) {
        return fsm_set_has(among, open) && choose_problem(w, open) == NULL ? open : FSM_SERVER_NONE;
    }
    bool is_preferred = fsm_set_has(among, prefer) && choose_problem(w, prefer) == NULL;
    if (is_preferred && !has_failed(w, prefer)) return prefer;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(among, i) || choose_problem(w, i) != NULL) continue;
        if (best == FSM_SERVER_NONE || is_better(w, i, best, ackers)) best = i;
    }
    return best;
}

static bool can_acknowledge(const struct work *w, uint8_t server, uint8_t to)
{
    uint8_t from = w->plan != NULL ? w->plan->from : w->cluster->master;
    if (server == to || server == from || !is_member(w, server)) return false;
    if (!sight_reached(w->cluster, w->in->view, server)) return false;
    const struct view_facts *f = facts_of(w, server);
    return f->supported && f->read_only && text_equal(f->identity, w->cluster->servers[server].identity);
}

static bool is_healthy_acker(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server);
    const struct view_channel *ch = first_channel(f);
    return f->relay_durable && (ch == NULL || ch->sql_errno == 0) && !choose_is_errant(w, f->executed);
}

uint8_t choose_acker(const struct work *w, uint8_t to, fsm_set except)
{
    uint8_t best = FSM_SERVER_NONE;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (fsm_set_has(except, i) || !can_acknowledge(w, i, to)) continue;
        if (best == FSM_SERVER_NONE) {
            best = i;
            continue;
        }
        bool is_healthy = is_healthy_acker(w, i), best_is = is_healthy_acker(w, best);
        if (is_healthy != best_is) MARK(choose_healthy_acker);
        if (is_healthy != best_is ? is_healthy : has_more(w, i, best)) best = i;
    }
    return best;
}

fsm_set choose_reached(const struct work *w)
{
    fsm_set reached = 0;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        bool is_ours = text_equal(facts_of(w, i)->identity, w->cluster->servers[i].identity);
        if (is_ours && sight_reached(w->cluster, w->in->view, i)) reached |= FSM_BIT(i);
    }
    return reached;
}

bool choose_master_proves(const struct work *w, const struct fsm_reign *reign)
{
    if (reign->master != w->cluster->master || !sight_reached(w->cluster, w->in->view, reign->master)) return false;
    MARK(choose_master_proves);
    return !reign->lossless || facts_of(w, reign->master)->durable;
}

static void add_unproven(const struct work *w, const struct fsm_reign *r, fsm_set reached, struct text *t)
{
    const char *master = work_name(w, r->master);
    fsm_set missing = r->ackers & ~reached;
    if (!fsm_reign_is_revoked(w->cluster, r, r->ackers, r->started_s)) {
        MARK(unprovable_not_lossless);
        text_addf(t, "epoch %llu of %s was not lossless, so nothing proves that it stopped: bring back %s, or "
                     "regent failover %s --accept-loss",
                  (unsigned long long)r->epoch, master, master, w->cluster->name);
    } else if (missing != 0) {
        MARK(unprovable_acker_away);
        text_add(t, "bring back ");
        work_names(t, w->cluster, missing);
        text_addf(t, " (acker of epoch %llu: it proves what was acknowledged) or %s", (unsigned long long)r->epoch,
                  master);
    } else {
        MARK(unprovable_acker_restarted);
        work_names(t, w->cluster, r->ackers);
        text_addf(t, " was restarted since it acknowledged for epoch %llu, so it proves nothing: bring back %s, or "
                     "regent failover %s --accept-loss", (unsigned long long)r->epoch, master, w->cluster->name);
    }
}

/* Those of 'servers' that a manager read a moment ago. What was read before that a server may have outlived unseen, and
 * acknowledge: "silent" asks followers that can be read, and this one cannot any more (S6). */
static fsm_set read_lately(const struct work *w, fsm_set servers)
{
    fsm_set read = 0;
    if (MUTANT(one_view)) return servers;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct view_observation *o = sight_best(w->cluster, w->in->view, i);
        bool is_late = o == NULL || o->age_ms > (int64_t)w->cluster->timeout_ms / 4;
        if (fsm_set_has(servers, i) && !is_late) read |= FSM_BIT(i);
    }
    return read;
}

bool choose_reads_ackers(const struct work *w)
{
    fsm_set read = read_lately(w, choose_reached(w));
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *r = &w->cluster->reigns[i];
        unsigned ackers = fsm_set_count(r->ackers);
        if (r->unfenced || ackers == 0 || r->k > ackers) continue;
        if (fsm_set_count(r->ackers & read) < ackers - r->k + 1) return false;
    }
    return true;
}

bool choose_is_provable(const struct work *w, uint8_t to, bool may_close, struct text *t)
{
    fsm_set reached = may_close ? choose_reached(w) : read_lately(w, choose_reached(w));
    uint64_t started_s[FSM_SERVERS_MAX];
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) started_s[i] = facts_of(w, i)->started_s;
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *r = &w->cluster->reigns[i];
        if (r->master == to || r->unfenced) continue;
        if (MUTANT(open_unfenced)) continue;
        if (may_close && choose_master_proves(w, r)) continue;
        if (fsm_reign_is_revoked(w->cluster, r, reached, started_s)) continue;
        add_unproven(w, r, reached, t);
        return false;
    }
    return true;
}
