/* Choices among the servers of a cluster: candidate, acker, proof. PURE. */
#include "plan/choose.h"

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
    if (!f->read_only) return "it is writable";
    const struct view_channel *ch = first_channel(f);
    if (ch != NULL && ch->sql_errno != 0) return "its applier stopped on an error";
    return settings_problem(w, f);
}

const char *choose_received(const struct work *w, uint8_t server)
{
    const struct view_facts *f = facts_of(w, server);
    const struct view_channel *ch = first_channel(f);
    return ch != NULL && ch->received[0] != '\0' ? ch->received : f->executed;
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

uint8_t choose_candidate(const struct work *w, uint8_t prefer, fsm_set among)
{
    fsm_set ackers = choose_ackers(w->cluster);
    uint8_t best = FSM_SERVER_NONE;
    if (fsm_set_has(among, prefer) && choose_problem(w, prefer) == NULL) return prefer;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!fsm_set_has(among, i) || choose_problem(w, i) != NULL) continue;
        if (best == FSM_SERVER_NONE) {
            best = i;
            continue;
        }
        bool is_acker = fsm_set_has(ackers, i), best_is = fsm_set_has(ackers, best);
        if (is_acker != best_is ? is_acker : has_more(w, i, best)) best = i;
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
    return f->relay_durable && (ch == NULL || ch->sql_errno == 0);
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

bool choose_acks_revoked(const struct fsm_cluster *cluster, const struct fsm_reign *reign, fsm_set revoked)
{
    unsigned ackers = fsm_set_count(reign->ackers);
    if (reign->k == 0 || reign->k > ackers) return false;
    /* A reign beyond the current one was never opened: its master is read-only and waits for its ackers. */
    if (!reign->lossless && reign->epoch <= cluster->epoch) return false;
    return fsm_set_count(reign->ackers & revoked) >= ackers - reign->k + 1;
}

bool choose_master_proves(const struct work *w, const struct fsm_reign *reign)
{
    if (reign->master != w->cluster->master || !sight_reached(w->cluster, w->in->view, reign->master)) return false;
    return !reign->lossless || facts_of(w, reign->master)->durable;
}

static void add_unproven(const struct work *w, const struct fsm_reign *r, fsm_set reached, struct text *t)
{
    const char *master = work_name(w, r->master);
    if (choose_acks_revoked(w->cluster, r, r->ackers)) {
        text_add(t, "bring back ");
        work_names(t, w->cluster, r->ackers & ~reached);
        text_addf(t, " (acker of epoch %llu: it proves what was acknowledged) or %s", (unsigned long long)r->epoch,
                  master);
        return;
    }
    text_addf(t, "epoch %llu of %s was not lossless, so nothing proves that it stopped: bring back %s, or "
                 "regent failover %s --accept-loss",
              (unsigned long long)r->epoch, master, master, w->cluster->name);
}

bool choose_is_provable(const struct work *w, uint8_t to, struct text *t)
{
    fsm_set reached = choose_reached(w);
    for (uint8_t i = 0; i < w->cluster->reigns_n; i++) {
        const struct fsm_reign *r = &w->cluster->reigns[i];
        if (r->master == to || choose_master_proves(w, r) || choose_acks_revoked(w->cluster, r, reached)) continue;
        add_unproven(w, r, reached, t);
        return false;
    }
    return true;
}
