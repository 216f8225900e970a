/* An operator's failover: checked like the leader's own, and told before it is done (--dry-run). PURE. */
#include <string.h>

#include "lib/base/mark.h"
#include "plan/choose.h"
#include "plan/sight.h"
#include "plan/work.h"

struct wish {
    uint8_t to;
    uint8_t acker;
    bool accept_loss;
    bool is_proven;
    char missing[FSM_TEXT_SIZE]; /* Proof that cannot be had. */
};

static enum fsm_code refuse(struct text *dry, enum fsm_code code)
{
    text_addf(dry, "\nrefused: %s\n", fsm_code_text(code));
    return code;
}

/* Why no plan can begin at all. */
static enum fsm_code check_cluster(const struct work *w, struct text *dry)
{
    const struct fsm_cluster *c = w->cluster;
    if (!c->used) {
        text_add(dry, "no such cluster");
        return refuse(dry, FSM_NOT_FOUND);
    }
    if (c->epoch == 0 || c->master >= c->servers_n) {
        text_addf(dry, "%s is not enrolled yet: see regent explain %s", c->name, c->name);
        return refuse(dry, FSM_INVALID);
    }
    if (c->plan != 0) {
        MARK(operator_busy);
        text_addf(dry, "plan %llu runs on %s: wait, or regent plan abort", (unsigned long long)c->plan, c->name);
        return refuse(dry, FSM_BUSY);
    }
    return FSM_OK;
}

static enum fsm_code check_candidate(const struct work *w, struct wish *wish, struct text *dry)
{
    if (wish->to != FSM_SERVER_NONE) {
        const char *problem = choose_problem(w, wish->to);
        if (problem == NULL) return FSM_OK;
        MARK(operator_candidate_unfit);
        text_addf(dry, "%s cannot be promoted: %s", work_name(w, wish->to), problem);
        return refuse(dry, FSM_UNSAFE);
    }
    wish->to = choose_candidate(w, w->cluster->backup, choose_reached(w));
    if (wish->to != FSM_SERVER_NONE) return FSM_OK;
    MARK(operator_nobody);
    text_add(dry, "nobody can be promoted:");
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i != w->cluster->master) text_addf(dry, " %s: %s;", work_name(w, i), choose_problem(w, i));
    }
    return refuse(dry, FSM_UNSAFE);
}

static enum fsm_code check_safety(const struct work *w, struct wish *wish, struct text *dry)
{
    struct text missing = TEXT_ON(wish->missing);
    wish->is_proven = choose_is_provable(w, wish->to, true, &missing);
    if (!wish->is_proven && !wish->accept_loss) {
        MARK(operator_unsafe);
        text_addf(dry, "an acknowledged write could be lost: %s", wish->missing);
        return refuse(dry, FSM_UNSAFE);
    }
    wish->acker = choose_acker(w, wish->to, 0);
    if (wish->acker == FSM_SERVER_NONE && w->cluster->durability == DURABILITY_LOSSLESS) {
        MARK(operator_no_acker);
        text_addf(dry, "nobody could acknowledge for %s, and %s is lossless: bring back a replica",
                  work_name(w, wish->to), w->cluster->name);
        return refuse(dry, FSM_UNSAFE);
    }
    return FSM_OK;
}

static void describe(const struct work *w, const struct wish *wish, struct text *dry)
{
    const char *from = work_name(w, w->cluster->master), *to = work_name(w, wish->to);
    bool is_reached = sight_reached(w->cluster, w->in->view, w->cluster->master);
    uint64_t epoch = w->cluster->epoch, used = w->cluster->epoch_used;
    text_addf(dry, "%s: %s replaces %s, epoch %llu becomes %llu\n", w->cluster->name, to, from,
              (unsigned long long)epoch, (unsigned long long)(used > epoch ? used : epoch) + 1);
    if (is_reached) text_addf(dry, "close: end all clients of %s, make it read-only\n", from);
    else text_addf(dry, "close: %s cannot be reached, so it is not closed\n", from);
    text_add(dry, "revoke: stop the receivers of ");
    work_names(dry, w->cluster, choose_ackers(w->cluster));
    text_add(dry, " and of all other followers, read what they received\n");
    if (!wish->is_proven) text_addf(dry, "LOSS ACCEPTED: %s\n", wish->missing);
    text_addf(dry, "apply: %s executes all that was received; what it lacks it fetches from who has it\n", to);
    text_addf(dry, "promote: %s stops replicating, still read-only\n", to);
    if (wish->acker != FSM_SERVER_NONE) {
        text_addf(dry, "establish: %s follows %s and acknowledges; the reign row is written\n",
                  work_name(w, wish->acker), to);
    } else {
        text_addf(dry, "establish: nobody can acknowledge for %s: the reign begins degraded\n", to);
    }
    text_addf(dry, "open: %s accepts writes\n", to);
    text_addf(dry, "repoint: the other replicas follow %s; %s is quarantined\n", to, from);
}

static void fill(const struct work *w, const struct wish *wish, struct fsm_command *command)
{
    memset(command, 0, sizeof(*command));
    command->kind = CMD_PLAN_BEGIN;
    command->time = w->in->wall;
    struct fsm_cmd_plan_begin *b = &command->u.plan_begin;
    (void)TEXT_COPY(b->cluster, w->cluster->name);
    b->kind = PLAN_FAILOVER;
    b->epoch = w->cluster->epoch;
    b->from = w->cluster->master;
    b->to = wish->to;
    b->acker = wish->acker;
    b->accept_loss = wish->accept_loss;
    b->by_operator = true;
    (void)TEXT_COPY(b->verdict, "operator");
    struct diagnosis d;
    diagnose(w->cluster, w->in->view, &d);
    (void)TEXT_COPY(b->evidence, d.evidence);
}

enum fsm_code plan_operator_failover(const struct plan_input *input, uint8_t to, bool accept_loss,
                                     struct fsm_command *command, struct text *dry)
{
    MUST(input->cluster < FSM_CLUSTERS_MAX);
    const struct work w = {.in = input, .cluster = &input->state->clusters[input->cluster]};
    struct wish wish = {.to = to, .acker = FSM_SERVER_NONE, .accept_loss = accept_loss};
    memset(command, 0, sizeof(*command));
    enum fsm_code code = check_cluster(&w, dry);
    if (code == FSM_OK) code = check_candidate(&w, &wish, dry);
    if (code == FSM_OK) code = check_safety(&w, &wish, dry);
    if (code != FSM_OK) return code;
    describe(&w, &wish, dry);
    fill(&w, &wish, command);
    return FSM_OK;
}
