/* ENROL: adopt a running cluster, configured by an operator, as epoch 1. PURE.
 *
 * Happy path: the declared master is read and understood; PREPARE gives it and each replica that follows it an
 * identity; VERIFY reads that the backup acknowledges for it (A7): a position of the master, then the backup which has
 * received it, then the master again with its counter unmoved; DONE.
 * Failure modes: the master is not as declared (no plan begins; 'why' says what is wrong and what to do); a replica is
 * not understood (set aside with a reason; nothing is written to it); semi-sync is not on (lossless: the plan fails;
 * else the reign begins degraded). */
#include <string.h>

#include "lib/base/mark.h"
#include "plan/proof.h"
#include "plan/sight.h"
#include "plan/work.h"

enum {
    REPLICAS_MS = 5000,        /* For replicas to become understood. */
    PROOF_MS = 5000,           /* For the backup to be seen acknowledging. */
};

static uint8_t with_role(const struct fsm_cluster *cluster, enum fsm_role declared)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (cluster->servers[i].declared == declared) return i;
    }
    return FSM_SERVER_NONE;
}

/* --- what is wrong --- */

static const char *unread_advice(enum view_outcome outcome)
{
    switch (outcome) {
    case VIEW_NONE: return "wait for the first probe";
    case VIEW_REFUSED: return "start it, or correct its address";
    case VIEW_TIMED_OUT:
    case VIEW_LOST: return "look at the server and the network";
    case VIEW_UNREACHABLE: return "correct its address, or the network";
    case VIEW_LOGIN_REFUSED: return "correct user and password in the credentials file, or the account's grants";
    case VIEW_TOO_MANY: return "raise max_connections, or set extra_port";
    case VIEW_FAILED: return "look at the error";
    case VIEW_UNSUPPORTED: return "install a supported version";
    case VIEW_OK:
    case VIEW_OUTCOMES_N: break;
    }
    return "look again";
}

/* What every server must have to be understood. */
static const char *settings_problem(const struct work *w, const struct view_facts *f)
{
    if (!f->supported) return "its version is not supported: install a supported one";
    if (!f->binlog_on) return "its binary log is off: set log_bin";
    if (!f->gtid_strict && w->cluster->flavour == FLAVOUR_MARIADB) return "gtid_strict_mode is off: set it";
    return NULL;
}

/* Two clusters that manage one server would each close what the other opens. */
static const char *owner_problem(const struct work *w, const struct view_facts *f)
{
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        const struct fsm_cluster *other = &w->in->state->clusters[c];
        if (!other->used || c == w->in->cluster || f->identity[0] == '\0') continue;
        for (uint8_t i = 0; i < other->servers_n; i++) {
            if (!text_equal(other->servers[i].identity, f->identity)) continue;
            return "it is a server of another cluster of this group: take it out of this declaration (a copy of that "
                   "server: drop its table regent.fence, unlogged)";
        }
    }
    return NULL;
}

static const char *master_problem(const struct work *w, uint8_t master)
{
    const struct view_facts *f = &sight_self(w->in->view, master)->facts;
    const char *problem = settings_problem(w, f);
    if (problem == NULL) problem = owner_problem(w, f);
    if (problem != NULL) return problem;
    if (f->read_only) return "it is read-only: is it the master? Open it, or correct the declared roles";
    if (f->channels_n > 0) return "it replicates from another server: correct the declared roles, or drop its channel";
    return NULL;
}

/* Appends what keeps the declared master from being adopted. Returns false when nothing does. */
static bool add_master_problem(const struct work *w, uint8_t master, struct text *t)
{
    const struct fsm_server *s = &w->cluster->servers[master];
    const struct view_observation *o = sight_self(w->in->view, master);
    text_addf(t, "master %s (%s): ", s->name, s->address);
    if (!sight_ok(w->cluster, o)) {
        text_addf(t, "%s", view_outcome_text(o->outcome));
        if (o->error[0] != '\0') text_addf(t, " (%s)", o->error);
        text_addf(t, ": %s", unread_advice(o->outcome));
        return true;
    }
    const char *problem = master_problem(w, master);
    if (problem != NULL) text_add(t, problem);
    return problem != NULL;
}

/* A copy of a data directory carries identity and server_id of its origin. */
static const char *twin_problem(const struct work *w, uint8_t server)
{
    const struct view_facts *f = &sight_self(w->in->view, server)->facts;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        const struct view_observation *o = sight_self(w->in->view, i);
        if (i == server || !sight_ok(w->cluster, o)) continue;
        bool is_older = i == with_role(w->cluster, ROLE_MASTER) || i < server;
        if (!is_older) continue;
        if (f->server_id == o->facts.server_id) return "it has the server_id of another one: give it its own";
        if (f->identity[0] != '\0' && text_equal(f->identity, o->facts.identity)) {
            return "it carries the identity of another server (a copy?): drop its table regent.fence, unlogged";
        }
    }
    return NULL;
}

static const char *channel_problem(const struct work *w, const struct view_facts *f, uint8_t master)
{
    const struct view_facts *m = &sight_self(w->in->view, master)->facts;
    const struct view_channel *ch = sight_channel(f, w->cluster->servers[master].address, m->server_id);
    if (ch == NULL) return "it is not a replica of the declared master: make it one, or take it out of the cluster";
    if (f->channels_n > 1) return "it has more than one channel: drop the others";
    if (!ch->gtid) return "it replicates without GTID: use MASTER_USE_GTID=slave_pos";
    if (ch->heartbeat_period_ms == 0 || ch->heartbeat_period_ms > w->cluster->timeout_ms / 4) {
        return "its heartbeats are too rare to tell silence: set MASTER_HEARTBEAT_PERIOD to a quarter of the timeout";
    }
    if (ch->io != VIEW_IO_YES) return "its receiver is not connected to the master: look at its last error";
    if (!ch->applier) return "its applier is stopped: look at its last error";
    return NULL;
}

/* Why a replica is not understood: a static text, or NULL. */
static const char *replica_problem(const struct work *w, uint8_t server, uint8_t master)
{
    const struct view_observation *o = sight_self(w->in->view, server);
    if (!sight_ok(w->cluster, o)) return unread_advice(o->outcome);
    const struct view_facts *f = &o->facts;
    const char *problem = settings_problem(w, f);
    if (problem == NULL) problem = owner_problem(w, f);
    if (problem == NULL && !f->log_replica_updates) problem = "it does not log what it replicates: log_slave_updates";
    if (problem == NULL) problem = channel_problem(w, f, master);
    if (problem == NULL && !f->read_only) problem = "it is writable: set read_only, and look for writes of its own";
    return problem != NULL ? problem : twin_problem(w, server);
}

static const char *source_problem(const struct view_facts *m)
{
    const char *problem = proof_source_problem(m);
    if (problem != NULL) return problem;
    if (m->source_clients < 1) return "no replica is attached for semi-sync";
    if (m->source_clients > 1) return "more than one replica is attached for semi-sync: only the backup may be";
    if (!m->durable) return "the master is not durable: sync_binlog=1, innodb_flush_log_at_trx_commit=1";
    return NULL;
}

/* Why commits are not known to wait for the backup, and only for it (A6): a static text, or NULL. */
static const char *lossless_problem(const struct work *w, uint8_t master, uint8_t backup)
{
    const struct view_observation *m = sight_self(w->in->view, master);
    if (backup == FSM_SERVER_NONE) return "there is no backup";
    const struct view_observation *b = sight_self(w->in->view, backup);
    if (!sight_ok(w->cluster, m) || !sight_ok(w->cluster, b)) return "master or backup cannot be read";
    const char *problem = source_problem(&m->facts);
    if (problem != NULL) return problem;
    if (!b->facts.replica_enabled || !b->facts.replica_on) return "the backup does not acknowledge";
    if (!b->facts.relay_durable) return "the backup's relay log is not durable: sync_relay_log=1";
    return proof_stranger(w, master, FSM_BIT(backup));
}

/* --- begin --- */

void enrol_begin(struct work *w)
{
    uint8_t master = with_role(w->cluster, ROLE_MASTER), backup = with_role(w->cluster, ROLE_BACKUP);
    char wrong[FSM_TEXT_SIZE];
    struct text t = TEXT_ON(wrong);
    if (master == FSM_SERVER_NONE) {
        WORK_WHY(w, "not enrolled: no server is declared as master");
        return;
    }
    if (add_master_problem(w, master, &t)) {
        MARK(enrol_master_wrong);
        WORK_WHY(w, "not enrolled: %s", wrong);
        return;
    }
    bool is_lossless = w->cluster->durability == DURABILITY_LOSSLESS;
    const char *problem = backup == FSM_SERVER_NONE ? "there is none declared" : replica_problem(w, backup, master);
    if (problem == NULL) problem = lossless_problem(w, master, backup);
    if (is_lossless && problem != NULL) {
        MARK(enrol_no_acker);
        WORK_WHY(w, "not enrolled: a lossless cluster needs a backup that acknowledges. %s: %s",
                 work_name(w, backup), problem);
        return;
    }
    struct fsm_cmd_plan_begin *b = &work_propose(w, CMD_PLAN_BEGIN)->u.plan_begin;
    (void)TEXT_COPY(b->cluster, w->cluster->name);
    b->kind = PLAN_ENROL;
    b->from = FSM_SERVER_NONE;
    b->to = master;
    b->acker = backup;
    (void)TEXT_COPY(b->verdict, diagnosis_name(w->update->diagnosis.row));
    diagnose_tell(w->cluster, w->in->view, &w->update->diagnosis);
    (void)TEXT_COPY(b->evidence, w->update->diagnosis.evidence);
    WORK_WHY(w, "%s is as declared: the cluster is adopted", work_name(w, master));
}

/* --- PREPARE --- */

static void ask_enrol(struct work *w, uint8_t server, bool is_master)
{
    const char *known = sight_self(w->in->view, server)->facts.identity;
    struct verb *v = work_ask(w, server, VERB_ENROL);
    if (v == NULL) return;
    v->is_master = is_master;
    struct text identity = TEXT_ON(v->identity);
    if (known[0] != '\0') {
        text_add(&identity, known);
        return;
    }
    const uint64_t *random = w->in->random[server];
    text_addf(&identity, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
}

/* Asks ENROL of all replicas that are understood. Returns those that are not enrolled (yet), with the reasons. */
static fsm_set ask_replicas(struct work *w, struct text *reason)
{
    fsm_set missing = 0;
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (i == w->plan->to || work_is_done(w, i, VERB_ENROL)) continue;
        const struct view_observation *o = sight_self(w->in->view, i);
        const char *problem = replica_problem(w, i, w->plan->to);
        const struct verb_outcome *outcome = work_outcome(w, i, VERB_ENROL);
        missing |= FSM_BIT(i);
        if (problem == NULL) ask_enrol(w, i, false);
        text_addf(reason, "%s: ", work_name(w, i));
        if (!sight_ok(w->cluster, o)) text_addf(reason, "%s: ", view_outcome_text(o->outcome));
        text_addf(reason, "%s; ", problem != NULL ? problem : outcome != NULL ? outcome->error : "no answer");
    }
    return missing;
}

static void fail_prepare(struct work *w, const char *what, const char *why)
{
    struct text reason = work_fail(w);
    text_addf(&reason, "%s: %s", what, why);
}

static void end_prepare(struct work *w, fsm_set missing, const char *reason)
{
    if (w->cluster->durability == DURABILITY_LOSSLESS && fsm_set_has(missing, w->plan->acker)) {
        MARK(enrol_backup_missing);
        fail_prepare(w, "a lossless cluster needs its backup", reason);
        return;
    }
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_VERIFY);
    for (uint8_t i = 0; i < w->cluster->servers_n; i++) {
        if (fsm_set_has(missing, i)) continue;
        const struct verb_outcome *o = work_outcome(w, i, VERB_ENROL);
        (void)TEXT_COPY(step->identity[i], o->identity);
        step->server_id[i] = o->server_id != 0 ? o->server_id : sight_self(w->in->view, i)->facts.server_id;
    }
    step->set_aside = missing;
    if (missing == 0) return;
    MARK(enrol_sets_aside);
    struct text t = TEXT_ON(step->reason);
    text_addf(&t, "not understood at enrolment, and not written to. %s", reason);
}

static void prepare_step(struct work *w)
{
    uint8_t master = w->plan->to;
    char reason[FSM_TEXT_SIZE];
    struct text t = TEXT_ON(reason);
    if (!work_is_done(w, master, VERB_ENROL)) {
        const struct verb_outcome *o = work_outcome(w, master, VERB_ENROL);
        const char *error = o != NULL && o->error[0] != '\0' ? o->error : "no answer";
        ask_enrol(w, master, true);
        if (work_step_ms(w) >= WORK_GIVE_UP_MS) fail_prepare(w, work_name(w, master), error);
        else WORK_WHY(w, "installing regent's tables on %s (%s)", work_name(w, master), error);
        return;
    }
    fsm_set missing = ask_replicas(w, &t);
    if (missing == 0 || work_step_ms(w) >= REPLICAS_MS) {
        end_prepare(w, missing, reason);
        return;
    }
    WORK_WHY(w, "waiting for: %s", reason);
}

/* --- VERIFY --- */

/* Ends the step, with the proof when there is one. The incarnations are told in any case. */
static struct fsm_cmd_plan_step *end_verify(struct work *w, const struct proof *proof)
{
    struct fsm_cmd_plan_step *step = work_advance(w, STEP_DONE);
    const struct view_facts *m = &sight_self(w->in->view, w->plan->to)->facts;
    step->started_s[w->plan->to] = m->started_s;
    step->no_tx = m->no_tx;
    if (proof == NULL) return step;
    (void)TEXT_COPY(step->target, proof->since);
    memcpy(step->started_s, proof->started_s, sizeof(step->started_s));
    step->no_tx = proof->no_tx;
    return step;
}

static void verify_step(struct work *w)
{
    bool is_lossless = w->cluster->durability == DURABILITY_LOSSLESS;
    const char *problem = lossless_problem(w, w->plan->to, w->plan->acker);
    struct proof proof;
    bool is_proven = problem == NULL && proof_find(w, w->plan->to, FSM_BIT(w->plan->acker), &proof);
    const char *missing = problem != NULL ? problem : "the backup was not seen to have received all";
    if (is_proven || w->cluster->durability == DURABILITY_ASYNC) {
        end_verify(w, is_proven ? &proof : NULL);
    } else if (is_lossless && work_step_ms(w) >= WORK_GIVE_UP_MS) {
        MARK(enrol_unproven);
        struct text reason = work_fail(w);
        text_addf(&reason, "the cluster is declared lossless, but %s", missing);
    } else if (!is_lossless && work_step_ms(w) >= PROOF_MS) {
        MARK(enrol_degraded);
        struct fsm_cmd_plan_step *step = end_verify(w, NULL);
        struct text t = TEXT_ON(step->evidence);
        text_addf(&t, "not lossless: %s\n", missing);
        (void)TEXT_COPY(step->reason, missing);
        WORK_WHY(w, "enrolled, but not lossless: %s", missing);
    } else {
        WORK_WHY(w, "is every commit acknowledged? Not known yet: %s", missing);
    }
}

void enrol_step(struct work *w)
{
    if (w->plan->step == STEP_PREPARE) prepare_step(w);
    else if (w->plan->step == STEP_VERIFY) verify_step(w);
    else WORK_WHY(w, "an enrolment has no step %s", fsm_step_name(w->plan->step));
}
