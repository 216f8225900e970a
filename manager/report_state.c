/* In one word: how a cluster is, and how a server is. PURE: functions of state, view and diagnosis.
 *
 * The words are what an operator sees first at night and what monitoring compares, so each has one meaning, and each
 * but "ok" comes with a text: what is wrong, with which server, what happens or is to be done next. */
#include "manager/report.h"

#include <inttypes.h>
#include <string.h>

#include "plan/plan.h"

const char *report_state_name(enum report_state state)
{
    switch (state) {
#define X(id, name)                                                                                                   \
    case REPORT_##id: return #name;
        REPORT_STATES(X)
#undef X
    }
    return "?";
}

/* The observation to believe of a server: this manager's own when it got an answer, else that of one who did (one
 * manager cut off must not paint a healthy server as down), else this manager's. NULL: nobody tried yet. */
static const struct view_observation *best_observation(const struct view *view, uint8_t server)
{
    const struct view_observation *own = NULL;
    if (view == NULL) return NULL;
    if (view->self < VIEW_MANAGERS_MAX) own = &view->managers[view->self].servers[server];
    if (own != NULL && own->outcome == VIEW_OK) return own;
    for (uint8_t m = 0; m < view->managers_n && m < VIEW_MANAGERS_MAX; m++) {
        const struct view_manager *manager = &view->managers[m];
        if (manager->heard && manager->servers[server].outcome == VIEW_OK) return &manager->servers[server];
    }
    return own != NULL && own->outcome != VIEW_NONE ? own : NULL;
}

const struct view_facts *report_facts(const struct view *view, uint8_t server)
{
    const struct view_observation *o = best_observation(view, server);
    return o != NULL && o->outcome == VIEW_OK && o->facts.set ? &o->facts : NULL;
}

/* How long an attempt has failed: "for 12.3 s". */
static void add_failing(const struct view_observation *o, struct text *text)
{
    text_add(text, view_outcome_text(o->outcome));
    if (o->failing_ms > 0)
        text_addf(text, " for %" PRId64 ".%" PRId64 " s", o->failing_ms / 1000, o->failing_ms % 1000 / 100);
    if (o->error[0] != '\0') text_addf(text, " (%s)", o->error);
}

/* A server that gave no facts this time. */
static const char *health_without_facts(const struct report_cluster *c, const struct view_observation *o,
                                        struct text *text)
{
    if (o == NULL || o->outcome == VIEW_NONE) {
        text_add(text, "not probed yet");
        return "unknown";
    }
    add_failing(o, text);
    switch (o->outcome) {
    case VIEW_REFUSED:
    case VIEW_LOST: return "down";
    case VIEW_TIMED_OUT:
    case VIEW_UNREACHABLE: return "unreachable";
    case VIEW_LOGIN_REFUSED:
        text_addf(text, ": check group [%s] of %s on the managers", c->cluster->group, c->cluster->defaults_file);
        return "login-refused";
    case VIEW_TOO_MANY: return "too-many-connections";
    case VIEW_UNSUPPORTED: return "unsupported";
    case VIEW_NONE:
    case VIEW_OK:
    case VIEW_FAILED:
    case VIEW_OUTCOMES_N: break;
    }
    return "failing";
}

static const char *health_of_replica(const struct view_facts *f, struct text *text)
{
    if (f->channels_n == 0) {
        text_add(text, "does not replicate: it has no channel");
        return "stopped";
    }
    const struct view_channel *ch = &f->channels[0];
    if (ch->sql_errno != 0 || ch->io_errno != 0) {
        if (ch->sql_errno != 0) text_addf(text, "applier stopped by error %" PRIu32, ch->sql_errno);
        else text_addf(text, "receiver has error %" PRIu32, ch->io_errno);
        if (ch->error[0] != '\0') text_addf(text, ": %s", ch->error);
        return "broken";
    }
    if (ch->io == VIEW_IO_NO || !ch->applier) {
        const char *who = ch->io != VIEW_IO_NO ? "applier" : ch->applier ? "receiver" : "receiver and applier";
        text_addf(text, "%s stopped", who);
        return "stopped";
    }
    if (ch->io == VIEW_IO_CONNECTING) {
        text_addf(text, "receiver cannot connect to %s:%u", ch->source_host, ch->source_port);
        return "broken";
    }
    if (!f->read_only) {
        text_add(text, "accepts writes, but is not the master");
        return "writable";
    }
    return "ok";
}

/* What Regent does about it, or why nothing. */
static void add_standing(const struct report_cluster *c, uint8_t server, struct text *text)
{
    char buffer[FSM_TEXT_SIZE * 2];
    struct text t = TEXT_ON(buffer);
    if (c->view == NULL || server == c->cluster->master) return;
    plan_tell_standing(c->state, fsm_cluster_index(c->state, c->cluster), c->view, server, &t);
    if (t.len > 0) text_addf(text, "; %s", buffer);
}

const char *report_server_health(const struct report_cluster *c, uint8_t server, struct text *text)
{
    const struct fsm_server *s = &c->cluster->servers[server];
    if (s->state == SERVER_QUARANTINED) {
        text_add(text, s->reason);
        return "quarantined";
    }
    if (s->maintenance) {
        text_add(text, "in maintenance: not acted on and never chosen");
        return "maintenance";
    }
    const struct view_facts *facts = report_facts(c->view, server);
    if (facts == NULL) return health_without_facts(c, best_observation(c->view, server), text);
    if (s->state == SERVER_NEW) {
        text_add(text, "declared, not enrolled yet: nothing is written to it");
        return "new";
    }
    const char *health = "ok";
    if (server == c->cluster->master) {
        if (facts->read_only) {
            text_add(text, "is master, but read-only");
            health = "read-only";
        }
    } else {
        health = health_of_replica(facts, text);
    }
    const char *more = diagnose_server(c->cluster, c->view, server);
    bool is_ok = strcmp(health, "ok") == 0;
    if (is_ok && more != NULL) text_add(text, more);
    if (!is_ok || more != NULL) add_standing(c, server, text);
    return is_ok && more != NULL ? "attention" : health;
}

static const char *name_of(const struct fsm_cluster *cluster, uint8_t server)
{
    return server < cluster->servers_n ? cluster->servers[server].name : "nobody";
}

/* The master, or the one declared as such before enrolment. */
static uint8_t master_or_declared(const struct fsm_cluster *cluster)
{
    if (cluster->master != FSM_SERVER_NONE) return cluster->master;
    for (uint8_t i = 0; i < cluster->servers_n; i++)
        if (cluster->servers[i].declared == ROLE_MASTER) return i;
    return FSM_SERVER_NONE;
}

/* The youngest plan of the cluster, when it failed; else NULL. It tells why nothing more happens. */
static const struct fsm_plan *last_failed(const struct report_cluster *c)
{
    uint8_t slot = fsm_cluster_index(c->state, c->cluster);
    const struct fsm_plan *last = NULL;
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        const struct fsm_plan *p = &c->state->plans[i];
        if (p->token != 0 && p->cluster == slot && (last == NULL || p->token > last->token)) last = p;
    }
    return last != NULL && last->state == PLAN_STATE_FAILED ? last : NULL;
}

static void add_last_failed(const struct report_cluster *c, struct text *text)
{
    const struct fsm_plan *p = last_failed(c);
    if (p == NULL) return;
    text_addf(text, "; the last plan (%s %" PRIu64 ") failed: %s", fsm_plan_kind_name(p->kind), p->token,
              p->reason[0] != '\0' ? p->reason : "no reason was recorded");
}

/* True when some manager got an answer from the master; unknown counts as yes. */
static bool master_answers(const struct report_cluster *c)
{
    if (c->view == NULL || c->cluster->master >= FSM_SERVERS_MAX) return true;
    bool tried = false;
    for (uint8_t m = 0; m < c->view->managers_n && m < VIEW_MANAGERS_MAX; m++) {
        const struct view_manager *manager = &c->view->managers[m];
        enum view_outcome outcome = manager->servers[c->cluster->master].outcome;
        if (!manager->heard && m != c->view->self) continue;
        if (view_outcome_is_alive(outcome)) return true;
        if (outcome != VIEW_NONE) tried = true;
    }
    return !tried;
}

/* Dead for all that anybody sees, and not replaced: nobody is left who could tell that it is not just cut off. */
static bool is_given_no_verdict(const struct report_cluster *c)
{
    const struct view_observation *o = best_observation(c->view, c->cluster->master);
    bool is_long = o != NULL && o->failing_ms > 2 * (int64_t)c->cluster->timeout_ms;
    return c->diagnosis->row == DIAGNOSIS_WAITING && is_long && !master_answers(c);
}

/* Where a majority cannot read the master, whoever does read it tells that it is closed. */
static bool is_seen_closed(const struct report_cluster *c)
{
    const struct view_observation *o = best_observation(c->view, c->cluster->master);
    enum diagnosis_row row = c->diagnosis->row;
    if (row == DIAGNOSIS_OK || row == DIAGNOSIS_BLOCKED || o == NULL) return false;
    return o->outcome == VIEW_OK && o->facts.set && o->facts.read_only;
}

static bool has_no_master(const struct report_cluster *c, struct text *text)
{
    const struct fsm_cluster *cluster = c->cluster;
    const char *name = name_of(cluster, cluster->master);
    if (cluster->epoch == 0 || cluster->master == FSM_SERVER_NONE) {
        text_add(text, "not enrolled yet: its servers are being examined, nobody is failed over");
        add_last_failed(c, text);
        return true;
    }
    if (c->diagnosis == NULL) return false;
    enum diagnosis_row row = c->diagnosis->row;
    bool is_closed = row == DIAGNOSIS_RESTARTED || row == DIAGNOSIS_CLOSED;
    if (row == DIAGNOSIS_GONE || row == DIAGNOSIS_SILENT || is_closed) {
        text_addf(text, "%s: %s", name, diagnosis_text(row));
        if (row == DIAGNOSIS_CLOSED) text_addf(text, "; it stays so until %s", c->diagnosis->change);
        add_last_failed(c, text);
        return true;
    }
    if (is_given_no_verdict(c)) {
        text_addf(text, "%s answers no manager, and no follower of it is there to confirm its end, so it is not "
                        "replaced by itself: bring it back, or regent failover %s", name, cluster->name);
        return true;
    }
    if (is_seen_closed(c)) {
        text_addf(text, "%s is read-only for the managers that read it (%s)", name, diagnosis_text(row));
        add_last_failed(c, text);
        return true;
    }
    if (cluster->paused && !master_answers(c)) {
        text_addf(text, "%s answers no manager, and the cluster is paused: no failover begins by itself", name);
        return true;
    }
    return false;
}

/* Counts what is missing; the first finding goes into 'text'. */
struct findings {
    unsigned n;
    struct text *text;
};

static void found(struct findings *f, const char *who, const char *what)
{
    if (f->n++ == 0) text_addf(f->text, "%s%s%s", who, who[0] != '\0' ? ": " : "", what);
}

static void find_reign(const struct report_cluster *c, struct findings *f)
{
    const struct fsm_cluster *cluster = c->cluster;
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    if (cluster->durability == DURABILITY_ASYNC) return;
    if (reign == NULL || !reign->lossless || reign->ackers == 0)
        found(f, "", "commits are not acknowledged by a backup: a failover now may lose writes");
    else if (cluster->backup == FSM_SERVER_NONE)
        found(f, "", "there is no backup master");
}

static void find_servers(const struct report_cluster *c, struct findings *f)
{
    for (uint8_t i = 0; i < c->cluster->servers_n; i++) {
        char buffer[FSM_TEXT_SIZE * 2];
        struct text why = TEXT_ON(buffer);
        const char *health = report_server_health(c, i, &why);
        if (strcmp(health, "ok") == 0) continue;
        if (c->view == NULL && strcmp(health, "unknown") == 0) continue; /* Judged by the committed state alone. */
        char line[FSM_TEXT_SIZE * 3];
        struct text t = TEXT_ON(line);
        text_addf(&t, "%s: %s", health, buffer);
        found(f, c->cluster->servers[i].name, line);
    }
}

static bool verdict_is_good(const struct report_cluster *c)
{
    return c->diagnosis == NULL || c->diagnosis->row == DIAGNOSIS_OK || c->diagnosis->row == DIAGNOSIS_PAUSED;
}

static bool is_degraded(const struct report_cluster *c, struct text *text)
{
    struct findings f = {.text = text};
    if (!verdict_is_good(c)) {
        char line[FSM_TEXT_SIZE];
        struct text t = TEXT_ON(line);
        text_addf(&t, "%s (verdict %s)", diagnosis_text(c->diagnosis->row), diagnosis_name(c->diagnosis->row));
        found(&f, name_of(c->cluster, c->cluster->master), line);
    }
    find_servers(c, &f);
    find_reign(c, &f);
    if (f.n > 1) text_addf(text, "; and %u more", f.n - 1);
    return f.n > 0;
}

/* Commits wait: names who should acknowledge and how he is. */
static void add_stalled(const struct report_cluster *c, struct text *text)
{
    const struct fsm_reign *reign = fsm_reign_current(c->cluster);
    text_addf(text, "commits on %s wait for an acknowledgement", name_of(c->cluster, c->cluster->master));
    for (uint8_t i = 0; reign != NULL && i < c->cluster->servers_n; i++) {
        if (!fsm_set_has(reign->ackers, i)) continue;
        text_addf(text, "; acker %s is ", c->cluster->servers[i].name);
        char buffer[FSM_TEXT_SIZE * 2];
        struct text why = TEXT_ON(buffer);
        text_add(text, report_server_health(c, i, &why));
        if (why.len > 0) text_addf(text, " (%s)", buffer);
    }
    text_add(text, "; writes go on when it is back");
}

enum report_state report_cluster_state(const struct report_cluster *c, struct text *text)
{
    const struct fsm_cluster *cluster = c->cluster;
    const struct fsm_plan *plan = cluster->plan != 0 ? fsm_plan_find(c->state, cluster->plan) : NULL;
    if (plan != NULL && plan->kind == PLAN_FAILOVER && plan->state == PLAN_STATE_RUNNING) {
        if (plan->from == plan->to) {
            text_addf(text, "plan %" PRIu64 " opens %s again, now at step %s; `regent plan show %"
                            PRIu64 "` tells more", plan->token, name_of(cluster, plan->to), fsm_step_name(plan->step),
                      plan->token);
            return REPORT_FAILING_OVER;
        }
        text_addf(text, "plan %" PRIu64 " replaces %s by %s, now at step %s; `regent plan show %" PRIu64 "` tells more",
                  plan->token, name_of(cluster, plan->from), name_of(cluster, plan->to), fsm_step_name(plan->step),
                  plan->token);
        return REPORT_FAILING_OVER;
    }
    uint8_t master = master_or_declared(cluster);
    if (master < cluster->servers_n && cluster->servers[master].state == SERVER_QUARANTINED) {
        text_addf(text, "%s, the %smaster, is quarantined: %s", cluster->servers[master].name,
                  cluster->epoch == 0 ? "declared " : "", cluster->servers[master].reason);
        return REPORT_QUARANTINED;
    }
    if (has_no_master(c, text)) return REPORT_NO_MASTER;
    if (cluster->paused) {
        text_add(text, "paused by an operator: no failover begins by itself");
        return REPORT_PAUSED;
    }
    if (c->diagnosis != NULL && c->diagnosis->row == DIAGNOSIS_BLOCKED) {
        add_stalled(c, text);
        return REPORT_STALLED;
    }
    return is_degraded(c, text) ? REPORT_DEGRADED : REPORT_OK;
}
