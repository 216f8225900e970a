/* CLOSE: a server that another reign has replaced answers and is writable: end its clients, make it read-only (F2).
 * PURE.
 *
 * Happy path: SHUT asks CLOSE of the server, DONE. Failure modes: it vanishes again, or its clients do not end: the
 * plan fails after a while and is begun anew after the back-off, as long as the server is seen open. */
#include "lib/base/mark.h"
#include "plan/choose.h"
#include "plan/sight.h"
#include "plan/work.h"

/* Open, and known to be ours: nothing is written to a server that is not understood. */
static bool is_open_stranger(const struct work *w, uint8_t server)
{
    const struct fsm_server *s = &w->cluster->servers[server];
    const struct view_observation *o = sight_self(w->in->view, server);
    if (server == w->cluster->master || s->maintenance || s->identity[0] == '\0') return false;
    if (choose_was_promoted(w, server)) return false; /* No stranger: the failover to it goes on. */
    if (!sight_ok(w->cluster, o) || o->facts.read_only) return false;
    return text_equal(o->facts.identity, s->identity);
}

bool close_begin(struct work *w)
{
    /* What was seen before the last plan ended may be a server that this plan has closed. */
    int64_t ended_ms = work_decided_ms(w);
    bool is_early = ended_ms <= sight_fresh_ms(w->cluster) || sight_has_older(w->cluster, w->in->view, ended_ms);
    if (ended_ms >= 0 && is_early) return false;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (!is_open_stranger(w, i)) continue;
        if (work_backs_off(w, PLAN_CLOSE)) return true;
        MARK(close_begins);
        struct fsm_cmd_plan_begin *b = &work_propose(w, CMD_PLAN_BEGIN)->u.plan_begin;
        (void)TEXT_COPY(b->cluster, w->cluster->name);
        b->kind = PLAN_CLOSE;
        b->epoch = w->cluster->epoch;
        b->from = i;
        b->to = b->acker = FSM_SERVER_NONE;
        (void)TEXT_COPY(b->verdict, "open-stranger");
        struct text evidence = TEXT_ON(b->evidence);
        text_addf(&evidence, "%s: answers and is writable, but %s is the master of epoch %llu\n", work_name(w, i),
                  work_name(w, w->cluster->master), (unsigned long long)w->cluster->epoch);
        WORK_WHY(w, "%s is writable, but not the master: it is closed", work_name(w, i));
        return true;
    }
    return false;
}

void close_step(struct work *w)
{
    uint8_t from = w->plan->from;
    (void)work_ask(w, from, VERB_CLOSE);
    if (work_is_done(w, from, VERB_CLOSE)) {
        (void)work_advance(w, STEP_DONE);
        return;
    }
    if (w->update->diagnosis.acts) {
        MARK(close_master_first);
        struct text reason = work_fail(w);
        text_addf(&reason, "the master %s must be replaced first", work_name(w, w->cluster->master));
        return;
    }
    const struct verb_outcome *o = work_outcome(w, from, VERB_CLOSE);
    if (work_step_ms(w) >= WORK_GIVE_UP_MS) {
        MARK(close_given_up);
        struct text reason = work_fail(w);
        text_addf(&reason, "%s could not be closed: %s", work_name(w, from), o != NULL ? o->error : "no answer");
        return;
    }
    WORK_WHY(w, "ending the clients of %s and making it read-only", work_name(w, from));
}
