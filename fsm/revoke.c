/* The end of REVOKE: every listed reign is fenced, the candidate is chosen. PURE.
 *
 * Here a failover becomes safe or is refused. A3, A4, A8, F1, F2: DESIGN §6, §7. */
#include "lib/base/mutant.h"
#include "fsm/step.h"

static fsm_set found_set(const struct fsm_cmd_plan_step *c)
{
    fsm_set found = 0;

    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        if (c->found[i].set) found |= FSM_BIT(i);
    }
    return found;
}

bool fsm_revoke_is_proven(const struct fsm_step_context *s, const struct fsm_reign *reign)
{
    fsm_set found = found_set(s->c) & fsm_reign_intact(reign, s->c->started_s);
    unsigned ackers = fsm_set_count(reign->ackers);

    /* A superseded candidate that is chosen again: it holds its own reign's writes and is the one to be opened. */
    if (reign->master == s->c->to) return true;
    if (s->c->fence == FENCE_F2_CLOSED && reign->master == s->plan->from) {
        /* Closed, so it acknowledges no more (F2). What it acknowledged must be accounted for (A4), by itself or by
         * its ackers; nothing can account for a reign that was not lossless (A7: the event tells the possible loss). */
        if (!reign->lossless || s->c->found[reign->master].set) return true;
        return reign->k <= ackers && fsm_set_count(found) >= ackers - reign->k + 1;
    }
    /* Who has forgotten what it received accounts for nothing. A reign that was never open has acknowledged nothing:
     * that its ackers are stopped is enough. */
    fsm_set revoked = reign->opened ? s->c->revoked & found_set(s->c) : s->c->revoked;
    return fsm_reign_is_revoked(s->cluster, reign, revoked, s->c->started_s);
}

static enum fsm_code check_fences(const struct fsm_step_context *s)
{
    fsm_set missing;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (s->plan->accept_loss && s->plan->by_operator) return FSM_OK;
    if (s->c->fence == fsm_fence_none && !MUTANT(open_unfenced)) {
        return FSM_REFUSE(s->a, FSM_UNSAFE, "no fence layer is confirmed");
    }
    for (uint8_t i = 0; i < s->cluster->reigns_n; i++) {
        const struct fsm_reign *reign = &s->cluster->reigns[i];

        if (reign->unfenced || fsm_revoke_is_proven(s, reign)) continue;
        if (MUTANT(open_unfenced)) continue;
        missing = reign->ackers & ~(s->c->revoked & found_set(s->c));
        if (missing == 0 && reign->lossless) missing = reign->ackers & ~fsm_reign_intact(reign, s->c->started_s);
        fsm_text_servers(&text, s->cluster, missing);
        return FSM_REFUSE(s->a, FSM_UNSAFE,
                          "epoch %llu of %s may still acknowledge%s: bring back or revoke %s, or close %s",
                          (unsigned long long)reign->epoch, fsm_server_name(s->cluster, reign->master),
                          reign->lossless ? "" : " (it was not lossless)", buffer,
                          fsm_server_name(s->cluster, reign->master));
    }
    return FSM_OK;
}

static enum fsm_code check_choice(const struct fsm_step_context *s)
{
    const struct fsm_cmd_plan_step *c = s->c;
    const struct fsm_cluster *cluster = s->cluster;
    fsm_set taken = fsm_unfenced_ackers(cluster, NULL, c->revoked);

    bool goes_on = s->plan->to == s->plan->from; /* The master itself: begun so, and kept so. */

    if (!fsm_server_is(cluster, c->to, SERVER_MEMBER) || (c->to == s->plan->from) != goes_on ||
        cluster->servers[c->to].maintenance) {
        return FSM_REFUSE(s->a, FSM_INVALID, "%s cannot be promoted", fsm_server_name(cluster, c->to));
    }
    if (goes_on && (c->fence != FENCE_F2_CLOSED || c->holder != FSM_SERVER_NONE)) {
        return FSM_REFUSE(s->a, FSM_UNSAFE, "%s goes on as master only after it was closed, with all it has",
                          fsm_server_name(cluster, c->to));
    }
    if (!c->found[c->to].set) {
        return FSM_REFUSE(s->a, FSM_INVALID, "%s cannot be promoted: its position was not read",
                          cluster->servers[c->to].name);
    }
    taken &= fsm_set_one(c->to) | fsm_set_one(c->holder);
    if (taken != 0) return fsm_step_refuse_taken(s, taken);
    if (c->holder == FSM_SERVER_NONE) return FSM_OK;
    if (!fsm_server_is(cluster, c->holder, SERVER_MEMBER) || c->holder == c->to || !c->found[c->holder].set) {
        return FSM_REFUSE(s->a, FSM_INVALID, "%s cannot be caught up from %s", cluster->servers[c->to].name,
                          fsm_server_name(cluster, c->holder));
    }
    return FSM_OK;
}

enum fsm_code fsm_revoke_check(const struct fsm_step_context *s)
{
    enum fsm_code code;

    if (s->c->fence < fsm_fence_none || s->c->fence >= fsm_fence_count) {
        return FSM_REFUSE(s->a, FSM_INVALID, "no such fence");
    }
    if ((s->c->revoked & ~fsm_set_all(s->cluster)) != 0) {
        return FSM_REFUSE(s->a, FSM_INVALID, "revoked: no such server");
    }
    code = check_choice(s);
    return code == FSM_OK ? check_fences(s) : code;
}

/* What an operator gave up must not keep the cluster without a master: the oldest such reign makes room. Its ackers
 * were quarantined when it was given up. */
static void make_room(const struct fsm_step_context *s)
{
    struct fsm_reign forgotten;
    char buffer[FSM_TEXT_SIZE];

    while (!fsm_reign_fits(s->cluster, s->plan, s->c->to) && fsm_reigns_forget(s->cluster, &forgotten)) {
        struct text text = TEXT_ON(buffer);

        text_addf(&text, "epoch %llu of %s is watched no longer, a newer reign needs its place: close %s for good; "
                         "ackers: ", (unsigned long long)forgotten.epoch, fsm_server_name(s->cluster, forgotten.master),
                  fsm_server_name(s->cluster, forgotten.master));
        fsm_text_servers(&text, s->cluster, forgotten.ackers);
        fsm_event_add(s->a, &(struct fsm_note){s->cluster, "reign.forgotten", buffer, ""});
    }
}

void fsm_revoke_enact(const struct fsm_step_context *s)
{
    struct fsm_plan *plan = s->plan;
    bool is_proven = true;

    make_room(s);
    for (uint8_t i = 0; i < s->cluster->reigns_n; i++) {
        const struct fsm_reign *reign = &s->cluster->reigns[i];
        bool is_fenced = fsm_revoke_is_proven(s, reign);

        is_proven = is_proven && (is_fenced || reign->unfenced);
        if (!is_fenced) plan->unproven |= (uint8_t)(1u << i);
    }
    /* A promotion that rests on an operator's word rests on no layer. */
    plan->fence = is_proven ? s->c->fence : fsm_fence_none;
    plan->revoked = s->c->revoked;
    plan->to = s->c->to;
    plan->holder = s->c->holder;
    plan->acker = s->c->acker;
    FSM_TEXT_SET(plan->target, s->c->target);
    for (uint8_t i = 0; i < s->cluster->servers_n; i++) {
        if (!s->c->found[i].set) continue;
        plan->found[i].set = true;
        FSM_TEXT_SET(plan->found[i].received, s->c->found[i].received);
        FSM_TEXT_SET(plan->found[i].executed, s->c->found[i].executed);
    }
    fsm_reigns_end(s->cluster, plan);
}
