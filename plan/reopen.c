/* A master that was restarted goes on: a failover to itself. PURE.
 *
 * Its own data directory holds all that it acknowledged, so it needs no acker to prove it (A4). Somebody else is
 * promoted before it is, as long as somebody can be: that is faster, and its host has just failed. It goes on when
 * nobody else can: a lossless cluster of two has nobody left to acknowledge for the other one, and a backup that was
 * restarted with it has forgotten what it had received.
 *
 * Happy path: the failover's own: REVOKE closes it once more (F2) and stops its ackers, its reign is ended and another
 * one begins, under the next epoch; an acker attaches, OPEN, REPOINT. Nobody is quarantined. Failure modes: an acker
 * has more than it (it lost data: the plan fails at REVOKE, the next one promotes the acker); none attaches. */
#include "lib/base/mark.h"
#include "plan/choose.h"
#include "plan/sight.h"
#include "plan/work.h"

/* It was restarted and no receiver started since: REVOKE of it would prove nothing (mysql/verb_receive.c). */
static bool has_forgotten(const struct work *w, uint8_t server)
{
    const struct view_facts *f = &sight_self(w->in->view, server)->facts;
    const struct view_channel *ch = f->channels_n > 0 ? &f->channels[0] : NULL;
    return ch != NULL && ch->gtid && ch->io == VIEW_IO_NO && ch->received[0] == '\0' && f->executed[0] != '\0';
}

static bool can_anybody(const struct work *w)
{
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (choose_problem(w, i) == NULL && !has_forgotten(w, i)) return true;
    }
    return false;
}

bool reopen_is_due(const struct work *w)
{
    const struct fsm_plan *last = work_newest_ended(w, PLAN_FAILOVER);
    bool is_of_now = last != NULL && text_equal(last->verdict, diagnosis_name(DIAGNOSIS_RESTARTED));
    /* By turns: what failed although the master was back has its chance again after the other one. */
    if (is_of_now && last->state == PLAN_STATE_FAILED) return last->from != last->to;
    return !can_anybody(w);
}

/* The channel of its own time as a replica may still be there, when its failover could not clear it. */
static bool replicates(const struct view_facts *f)
{
    for (uint8_t c = 0; c < f->channels_n && c < VIEW_CHANNELS_MAX; c++) {
        if (f->channels[c].io != VIEW_IO_NO || f->channels[c].applier) return true;
    }
    return false;
}

static bool is_fit(const struct work *w, uint8_t master)
{
    const struct view_facts *f = &sight_self(w->in->view, master)->facts;
    const struct fsm_server *s = &w->cluster->servers[master];
    const struct fsm_reign *own = fsm_reign_current(w->cluster);
    if (!sight_reached(w->cluster, w->in->view, master) || !text_equal(f->identity, s->identity)) return false;
    if (s->maintenance || own == NULL || !choose_master_proves(w, own)) return false;
    return f->read_only && f->supported && f->binlog_on && f->log_replica_updates && !replicates(f);
}

bool reopen_begin(struct work *w)
{
    uint8_t master = w->cluster->master;
    char missing[FSM_TEXT_SIZE];
    struct text t = TEXT_ON(missing);
    if (w->update->diagnosis.row != DIAGNOSIS_RESTARTED || choose_open(w) != FSM_SERVER_NONE) return false;
    if (!is_fit(w, master) || !choose_is_provable(w, master, true, &t)) return false;
    uint8_t acker = choose_acker(w, master, choose_unfenced(w));
    if (acker == FSM_SERVER_NONE && w->cluster->durability == DURABILITY_LOSSLESS) return false;
    MARK(reopen_begins);
    failover_propose(w, master, acker);
    return true;
}
