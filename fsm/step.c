/* Which step may follow which, and the rules of all steps but REVOKE. PURE. */
#include "fsm/step.h"

#include <string.h>

#include "lib/base/mutant.h"

/* --- checks --- */

static bool is_successor(const struct fsm_plan *plan, const struct fsm_cmd_plan_step *c)
{
    enum fsm_step next = c->next;

    switch (plan->step) {
    case STEP_PREPARE: return next == STEP_VERIFY;
    case STEP_VERIFY: return next == STEP_DONE;
    case STEP_REVOKE: return next == STEP_APPLY;
    case STEP_APPLY: return next == (plan->holder == FSM_SERVER_NONE ? STEP_PROMOTE : STEP_CATCH_UP);
    case STEP_CATCH_UP: return next == STEP_PROMOTE;
    case STEP_PROMOTE: return next == STEP_ESTABLISH;
    case STEP_ESTABLISH: return next == STEP_OPEN || next == STEP_ESTABLISH;
    case STEP_OPEN: return next == STEP_REPOINT || next == STEP_ESTABLISH;
    case STEP_REPOINT: return next == STEP_DONE || (next == STEP_REPOINT && (c->set_aside | c->revoked) != 0);
    case STEP_SHUT: return next == STEP_DONE;
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: break;
    }
    return false;
}

/* The servers that the plan cannot go on without after this step. */
static fsm_set needed(const struct fsm_step_context *s)
{
    const struct fsm_plan *plan = s->plan;
    fsm_set keep = s->cluster->epoch > 0 ? fsm_set_one(s->cluster->master) : 0;

    switch (plan->step) {
    case STEP_REVOKE: return keep | fsm_set_one(s->c->to) | fsm_set_one(s->c->holder) | fsm_set_one(s->c->acker);
    case STEP_APPLY: return keep | fsm_set_one(plan->to) | fsm_set_one(plan->holder);
    case STEP_PROMOTE: return keep | fsm_set_one(plan->to) | fsm_set_one(s->c->acker);
    case STEP_ESTABLISH:
    case STEP_OPEN:
        if (s->c->next == STEP_ESTABLISH) return keep | fsm_set_one(plan->to) | fsm_set_one(s->c->acker);
        return keep | fsm_set_one(plan->to) | fsm_set_one(plan->acker);
    case STEP_CATCH_UP:
        if (!fsm_holder_is_dispensable(plan)) keep |= fsm_set_one(plan->holder);
        return keep | fsm_set_one(plan->to);
    case STEP_PREPARE: return keep | fsm_set_one(plan->to);
    case STEP_VERIFY:
    case STEP_REPOINT:
    case STEP_SHUT: return keep | fsm_set_one(plan->to) | fsm_set_one(plan->acker);
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: break;
    }
    return fsm_set_all(s->cluster);
}

static enum fsm_code check_set_aside(const struct fsm_step_context *s)
{
    fsm_set wanted = s->c->set_aside & needed(s);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if ((s->c->set_aside & ~fsm_set_all(s->cluster)) != 0) {
        return FSM_REFUSE(s->a, FSM_INVALID, "set aside: no such server");
    }
    if (wanted == 0) return FSM_OK;
    fsm_text_servers(&text, s->cluster, wanted);
    return FSM_REFUSE(s->a, FSM_INVALID, "cannot be set aside, the plan needs it: %s", buffer);
}

static enum fsm_code check_prepare(const struct fsm_step_context *s)
{
    const struct fsm_cmd_plan_step *c = s->c;

    if (c->identity[s->plan->to][0] == '\0') {
        return FSM_REFUSE(s->a, FSM_INVALID, "the master %s has no identity", fsm_server_name(s->cluster, s->plan->to));
    }
    for (uint8_t i = 0; i < s->cluster->servers_n; i++) {
        for (uint8_t j = 0; j < i && c->identity[i][0] != '\0'; j++) {
            bool is_same_id = c->server_id[i] != 0 && c->server_id[i] == c->server_id[j];

            if (c->identity[j][0] == '\0') continue;
            if (!is_same_id && !text_equal(c->identity[i], c->identity[j])) continue;
            return FSM_REFUSE(s->a, FSM_INVALID, "%s and %s have the same %s", fsm_server_name(s->cluster, j),
                              fsm_server_name(s->cluster, i), is_same_id ? "server_id" : "identity");
        }
    }
    if (!fsm_reign_fits(s->cluster, s->plan, s->plan->to)) {
        return FSM_REFUSE(s->a, FSM_FULL, "%d reigns may still acknowledge: that is the limit", FSM_REIGNS_MAX);
    }
    return FSM_OK;
}

enum fsm_code fsm_step_refuse_taken(const struct fsm_step_context *s, fsm_set taken)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    fsm_text_servers(&text, s->cluster, taken);
    return FSM_REFUSE(s->a, FSM_UNSAFE, "may still acknowledge for a reign that was given up, revoke it first: %s",
                      buffer);
}

static enum fsm_code check_acker(const struct fsm_step_context *s, uint8_t to)
{
    uint8_t acker = s->c->acker;
    fsm_set revoked = s->plan->step == STEP_REVOKE ? s->c->revoked : s->plan->revoked;
    fsm_set taken = fsm_unfenced_ackers(s->cluster, s->plan, revoked) & fsm_set_one(acker);

    if (acker == FSM_SERVER_NONE) return FSM_OK;
    if (!fsm_server_is(s->cluster, acker, SERVER_MEMBER) || acker == to || acker == s->plan->from ||
        s->cluster->servers[acker].maintenance) {
        return FSM_REFUSE(s->a, FSM_INVALID, "%s cannot acknowledge for %s", fsm_server_name(s->cluster, acker),
                          fsm_server_name(s->cluster, to));
    }
    return taken != 0 ? fsm_step_refuse_taken(s, taken) : FSM_OK;
}

/* ESTABLISH is entered, or repeated with another acker, also from OPEN. */
static enum fsm_code check_establish(const struct fsm_step_context *s)
{
    enum fsm_code code = check_acker(s, s->plan->to);

    if (code != FSM_OK) return code;
    if (s->c->acker == FSM_SERVER_NONE && s->cluster->durability == DURABILITY_LOSSLESS) {
        return FSM_REFUSE(s->a, FSM_UNSAFE, "%s is lossless and has no acker: bring a replica back",
                          s->cluster->name);
    }
    if (s->plan->step != STEP_PROMOTE) {
        if (s->c->acker != s->plan->acker) return FSM_OK;
        return FSM_REFUSE(s->a, FSM_INVALID, "%s is the acker already", fsm_server_name(s->cluster, s->c->acker));
    }
    if (!fsm_reign_fits(s->cluster, s->plan, s->plan->to)) {
        return FSM_REFUSE(s->a, FSM_FULL, "%d reigns may still acknowledge: close or revoke one first", FSM_REIGNS_MAX);
    }
    return FSM_OK;
}

static enum fsm_code check_open(const struct fsm_step_context *s)
{
    const struct fsm_reign *reign = fsm_reign_find(s->cluster, s->plan->epoch);

    MUST(reign != NULL);
    if (reign->k > 0 && s->c->target[0] == '\0') {
        return FSM_REFUSE(s->a, FSM_INVALID, "the position at which the reign was acknowledged is missing");
    }
    return FSM_OK;
}

/* A plain replica that was a member of A may leave it, as long as k others are there to acknowledge (A2). */
static enum fsm_code check_follow(const struct fsm_step_context *s)
{
    const struct fsm_reign *reign = fsm_reign_current(s->cluster);
    fsm_set left = s->c->revoked;

    if (s->c->next != STEP_DONE || s->c->set_aside != 0) {
        return FSM_REFUSE(s->a, FSM_INVALID, "a follow has one step, and sets nobody aside");
    }
    if (left == 0) return FSM_OK;
    MUST(reign != NULL);
    if (left != fsm_set_one(s->plan->from) || s->plan->acker != FSM_SERVER_NONE ||
        fsm_set_count(reign->ackers & ~left) < reign->k) {
        return FSM_REFUSE(s->a, FSM_UNSAFE, "%s cannot leave the ackers of epoch %llu",
                          fsm_server_name(s->cluster, s->plan->from), (unsigned long long)s->cluster->epoch);
    }
    return FSM_OK;
}

/* Only what the reign does not rest on may have been shrunk away: its acker stays (A2). */
static enum fsm_code check_repoint(const struct fsm_step_context *s)
{
    if (s->plan->kind == PLAN_FOLLOW) return check_follow(s);

    fsm_set kept = fsm_set_one(s->plan->to) | fsm_set_one(s->plan->acker);

    if ((s->c->revoked & kept) == 0 && (s->c->revoked & ~fsm_set_all(s->cluster)) == 0) return FSM_OK;
    return FSM_REFUSE(s->a, FSM_INVALID, "revoked at the end of repoint: no such server, or the acker itself");
}

static enum fsm_code check_rule(const struct fsm_step_context *s)
{
    switch (s->plan->step) {
    case STEP_PREPARE: return check_prepare(s);
    case STEP_REVOKE: {
        enum fsm_code code = check_acker(s, s->c->to);
        return code == FSM_OK ? fsm_revoke_check(s) : code;
    }
    case STEP_PROMOTE: return check_establish(s);
    case STEP_ESTABLISH: return s->c->next == STEP_OPEN ? check_open(s) : check_establish(s);
    case STEP_OPEN: return s->c->next == STEP_ESTABLISH ? check_establish(s) : FSM_OK;
    case STEP_REPOINT: return check_repoint(s);
    case STEP_VERIFY:
    case STEP_APPLY:
    case STEP_CATCH_UP:
    case STEP_SHUT:
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: break;
    }
    return FSM_OK;
}

enum fsm_code fsm_step_check(const struct fsm_step_context *s)
{
    enum fsm_code code;

    if (!is_successor(s->plan, s->c)) {
        return FSM_REFUSE(s->a, FSM_INVALID, "step %s cannot follow %s", fsm_step_name(s->c->next),
                          fsm_step_name(s->plan->step));
    }
    code = check_set_aside(s);
    return code == FSM_OK ? check_rule(s) : code;
}

/* --- effects --- */

static void note_degraded(const struct fsm_step_context *s)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    text_addf(&text, "epoch %llu of %s begins with nobody to acknowledge: a write may be lost if %s fails",
              (unsigned long long)s->plan->epoch, s->cluster->name, fsm_server_name(s->cluster, s->plan->to));
    fsm_event_add(s->a, &(struct fsm_note){s->cluster, "reign.degraded", buffer, ""});
}

/* Lists the reign of the plan (A8). 'acker' FSM_SERVER_NONE: nobody acknowledges, which is told. */
static void list_reign(const struct fsm_step_context *s, uint8_t acker)
{
    struct fsm_reign reign;

    memset(&reign, 0, sizeof(reign)); /* Padding too. */
    reign.epoch = s->plan->epoch;
    reign.master = s->plan->to;
    reign.token = s->plan->token;
    reign.k = acker != FSM_SERVER_NONE;
    reign.ackers = fsm_set_one(acker);
    reign.opened = s->plan->kind == PLAN_ENROL;
    fsm_reign_absorb_past(&reign, s->plan);
    fsm_reign_list(s->cluster, &reign);
    if (acker == FSM_SERVER_NONE) note_degraded(s);
}

static void enact_prepare(const struct fsm_step_context *s)
{
    struct fsm_plan *plan = s->plan;

    for (uint8_t i = 0; i < s->cluster->servers_n; i++) {
        struct fsm_server *server = &s->cluster->servers[i];

        if (s->c->identity[i][0] == '\0') continue;
        FSM_TEXT_SET(server->identity, s->c->identity[i]);
        server->server_id = s->c->server_id[i];
        if (server->state == SERVER_NEW) server->state = SERVER_MEMBER;
    }
    if (!fsm_server_is(s->cluster, plan->acker, SERVER_MEMBER)) plan->acker = FSM_SERVER_NONE;
    s->cluster->master = plan->to;
    s->cluster->backup = plan->acker;
    list_reign(s, plan->acker);
}

static bool is_started_known(const struct fsm_step_context *s, uint8_t server)
{
    return server < FSM_SERVERS_MAX && s->c->started_s[server] != 0;
}

/* Why the reign is not lossless from the given position on, or NULL. */
static const char *find_unproven(const struct fsm_step_context *s, const struct fsm_reign *reign)
{
    if (s->cluster->durability == DURABILITY_ASYNC) return "the cluster is async";
    if (reign->k == 0) return "nobody acknowledges";
    if (s->c->target[0] == '\0') return s->c->reason[0] != '\0' ? s->c->reason : "no position was acknowledged";
    if (!is_started_known(s, reign->master)) return "it is not known when the master was started";
    if (!is_started_known(s, s->plan->acker)) return "it is not known when its acker was started";
    return NULL;
}

static void prove_reign(const struct fsm_step_context *s)
{
    struct fsm_reign *reign = fsm_reign_find(s->cluster, s->plan->epoch);
    const char *why;

    MUST(reign != NULL);
    why = find_unproven(s, reign);
    fsm_reign_started_set(reign, s->c->started_s, s->c->no_tx);
    reign->lossless = why == NULL;
    FSM_TEXT_SET(reign->since, why == NULL ? s->c->target : "");
    /* That nobody acknowledges was told when the reign was listed. */
    if (why != NULL && reign->k > 0) fsm_note_unproven(s->a, s->cluster, reign, why);
}

static void enact_verify(const struct fsm_step_context *s)
{
    prove_reign(s);
    s->cluster->epoch = s->plan->epoch;
    fsm_roles_set(s->cluster);
}

static void enact_establish_again(const struct fsm_step_context *s)
{
    struct fsm_reign *reign = fsm_reign_find(s->cluster, s->plan->epoch);

    MUST(reign != NULL);
    /* A only grows here: the replaced acker may still acknowledge until it is revoked (A2). */
    reign->ackers |= fsm_set_one(s->c->acker);
    reign->k = s->c->acker != FSM_SERVER_NONE;
    s->plan->acker = s->c->acker;
    /* Back from OPEN: what the proof says of the first acker still holds, and the next one counts in the incarnation in
     * which it is about to attach. Without any acker nothing is proven. */
    fsm_reign_started_set(reign, s->c->started_s, reign->no_tx);
    if (s->c->acker != FSM_SERVER_NONE) return;
    reign->lossless = false;
    FSM_TEXT_SET(reign->since, "");
    note_degraded(s);
}

/* What an operator gave up stays listed, and its ackers are not used before somebody looked at them: they may still
 * acknowledge for the old master. */
static void keep_unfenced(const struct fsm_step_context *s, uint64_t epoch_before)
{
    fsm_set kept = fsm_set_one(s->plan->to) | fsm_set_one(s->plan->acker) | fsm_set_one(s->plan->from);

    fsm_reigns_keep_unfenced(s->cluster, s->plan);
    for (uint8_t i = 1; i < s->cluster->reigns_n; i++) {
        const struct fsm_reign *reign = &s->cluster->reigns[i];
        char buffer[FSM_TEXT_SIZE];
        struct text text = TEXT_ON(buffer);

        if (reign->epoch < epoch_before) continue; /* Given up before: told then. */
        text_addf(&text, "may still acknowledge for %s (epoch %llu), which was given up: stop its replication or "
                         "rebuild it",
                  fsm_server_name(s->cluster, reign->master), (unsigned long long)reign->epoch);
        fsm_quarantine_set(s->a, s->cluster, reign->ackers & ~kept, buffer);
    }
}

/* What followed the new master with its flag off acknowledges neither for it (A2) nor for a reign that was given up. */
static void enact_repoint(const struct fsm_step_context *s)
{
    struct fsm_reign *reign = fsm_reign_find(s->cluster, s->plan->epoch);

    MUST(reign != NULL);
    for (uint8_t i = 0; i < s->cluster->servers_n; i++) {
        if (!fsm_set_has(reign->ackers & s->c->revoked, i)) continue;
        reign->ackers &= ~FSM_BIT(i);
        reign->started_s[i] = 0;
    }
    fsm_reigns_shrink_unfenced(s->cluster, s->c->revoked);
}

static void enact_open_done(const struct fsm_step_context *s)
{
    uint64_t epoch_before = s->cluster->epoch;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    s->cluster->master = s->plan->to;
    s->cluster->backup = s->plan->acker;
    s->cluster->epoch = s->plan->epoch;
    keep_unfenced(s, epoch_before);
    text_addf(&text,
              "replaced by %s in epoch %llu; it may hold transactions that nobody acknowledged; do not open it; "
              "rebuild or rejoin it",
              fsm_server_name(s->cluster, s->plan->to), (unsigned long long)s->plan->epoch);
    if (s->plan->from != s->plan->to && !MUTANT(demote_unseen)) {
        fsm_quarantine(s->a, s->cluster, s->plan->from, buffer);
    }
    fsm_roles_set(s->cluster);
}

/* Servers that the step leaves behind. Their reason tells an operator what to do. */
static void enact_set_aside(const struct fsm_step_context *s)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (s->c->reason[0] != '\0') {
        text_add(&text, s->c->reason);
    } else {
        text_addf(&text, "set aside by plan %llu at step %s: check it",
                  (unsigned long long)s->plan->token, fsm_step_name(s->plan->step));
    }
    fsm_quarantine_set(s->a, s->cluster, s->c->set_aside, buffer);
    if (s->plan->step != STEP_CATCH_UP || !fsm_set_has(s->c->set_aside, s->plan->holder)) return;
    /* Without its holder, what the candidate received is all there is to execute. */
    FSM_TEXT_SET(s->plan->target, s->plan->found[s->plan->to].received);
    s->plan->holder = FSM_SERVER_NONE;
}

void fsm_step_enact(const struct fsm_step_context *s)
{
    enact_set_aside(s);
    switch (s->plan->step) {
    case STEP_PREPARE: enact_prepare(s); return;
    case STEP_VERIFY: enact_verify(s); return;
    case STEP_REVOKE: fsm_revoke_enact(s); return;
    case STEP_PROMOTE:
        s->plan->acker = s->c->acker;
        list_reign(s, s->c->acker);
        return;
    case STEP_ESTABLISH:
        if (s->c->next == STEP_OPEN) {
            prove_reign(s);
            fsm_reign_find(s->cluster, s->plan->epoch)->opened = true;
        } else {
            enact_establish_again(s);
        }
        return;
    case STEP_OPEN:
        if (s->c->next == STEP_REPOINT) {
            enact_open_done(s);
        } else {
            enact_establish_again(s);
        }
        return;
    case STEP_REPOINT: enact_repoint(s); return;
    case STEP_SHUT: fsm_reigns_drop_unfenced(s->cluster, s->plan->from); return;
    case STEP_APPLY:
    case STEP_CATCH_UP:
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: return;
    }
}

/* --- texts --- */

static void describe_reign(const struct fsm_step_context *s, struct text *text)
{
    const struct fsm_reign *reign = fsm_reign_find(s->cluster, s->plan->epoch);

    if (reign == NULL) return;
    if (reign->lossless) {
        text_addf(text, "; lossless since %s", reign->since);
    } else if (reign->k == 0) {
        text_add(text, "; not lossless: nobody acknowledges");
    } else {
        text_add(text, "; not lossless yet");
    }
}

static void describe_revoke(const struct fsm_step_context *s, struct text *text)
{
    const struct fsm_plan *plan = s->plan;
    bool may_lose = false;

    for (uint8_t i = 0; i < plan->past_n; i++) {
        may_lose = may_lose || (!plan->past[i].lossless && plan->past[i].epoch >= s->cluster->epoch);
    }
    text_addf(text, "; fence %s, revoked ", fsm_fence_name(plan->fence));
    fsm_text_servers(text, s->cluster, plan->revoked);
    text_addf(text, "; candidate %s", fsm_server_name(s->cluster, plan->to));
    if (plan->holder != FSM_SERVER_NONE) {
        text_addf(text, " fetches the rest from %s", fsm_server_name(s->cluster, plan->holder));
    }
    if (plan->fence == fsm_fence_none) {
        text_add(text, "; NOT PROVEN: acknowledged writes may be lost, an operator accepted that");
    } else if (may_lose) {
        text_add(text, "; an ended reign was not lossless: writes may be lost");
    }
}

void fsm_step_describe(const struct fsm_step_context *s, enum fsm_step done, struct text *text)
{
    const struct fsm_plan *plan = s->plan;

    switch (done) {
    case STEP_REVOKE: describe_revoke(s, text); return;
    case STEP_PREPARE:
    case STEP_PROMOTE:
        text_addf(text, "; master %s, acker %s", fsm_server_name(s->cluster, plan->to),
                  fsm_server_name(s->cluster, plan->acker));
        return;
    case STEP_ESTABLISH:
        text_addf(text, "; acker %s", fsm_server_name(s->cluster, plan->acker));
        describe_reign(s, text);
        return;
    case STEP_VERIFY:
    case STEP_OPEN:
        text_addf(text, "; %s is master of epoch %llu", fsm_server_name(s->cluster, plan->to),
                  (unsigned long long)plan->epoch);
        describe_reign(s, text);
        return;
    case STEP_APPLY:
    case STEP_CATCH_UP:
    case STEP_REPOINT:
    case STEP_SHUT:
    case STEP_DONE:
    case fsm_step_none:
    case fsm_step_count: return;
    }
}
