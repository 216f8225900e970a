/* Answers to clients: what is asked, of whom it may be answered, and in which words it is refused. No sockets. */
#include "manager/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "lib/frame.h"
#include "manager/answer_member.h"
#include "manager/answer_private.h"

/* Events of one answer: so few that even texts full of control characters (six bytes each in JSON) fit a frame. */
enum { EVENTS_PAGE = 200, DRY_SIZE = 4096, JSON_MAX = FRAME_BODY_MAX - 8192 };

bool answer_needs_barrier(const struct client_request *request)
{
    return request->op != CLIENT_VERSION && !request->stale_ok;
}

/* As attach(). Code OK, or NO_LEADER when it is only what this node remembers. */
static enum answer_kind give(const struct answer_world *w, struct client_answer *a, json_t *json)
{
    attach(a, json);
    if (strlen(a->json) > JSON_MAX) {
        free(a->json);
        a->json = NULL;
        return say(a, CLIENT_FAILED, "the answer is too long; ask for one cluster");
    }
    if (w->node->established) return ANSWER_NOW;
    return say(a, CLIENT_NO_LEADER,
               "There is no leader: this is what %s remembers, and it may be out of date. No failover can happen until "
               "a majority of the managers talk to each other again.",
               w->node->name);
}

void answer_not_leader(const struct answer_world *w, struct client_answer *a)
{
    memset(a, 0, sizeof(*a));
    for (unsigned i = 0; i < w->node->members_n; i++) {
        const struct raft_node_member *m = &w->node->members[i];
        if (w->node->leader_id == 0 || m->id != w->node->leader_id || m->id == w->node->id) continue;
        a->code = CLIENT_REDIRECT;
        TEXT_COPY(a->leader, m->address);
        return;
    }
    say(a, CLIENT_NO_LEADER,
        w->node->leader_id == w->node->id && w->node->id != 0
            ? "%s has just become leader and is not ready yet"
            : "%s knows no leader: fewer than a majority of the managers run or reach each other; start the others",
        w->node->name);
}

/* ---- finding what a request names ---- */

static const struct fsm_cluster *find_cluster(const struct answer_world *w, const struct client_request *r,
                                              struct client_answer *a)
{
    const struct fsm_cluster *cluster = fsm_cluster_find(w->state, r->cluster);
    if (cluster != NULL) return cluster;
    struct text t = TEXT_ON(a->text);
    a->code = CLIENT_FAILED;
    text_addf(&t, "no cluster \"%s\"", r->cluster);
    unsigned n = 0;
    for (unsigned i = 0; i < FSM_CLUSTERS_MAX; i++) {
        const struct fsm_cluster *known = &w->state->clusters[i];
        if (known->used) text_addf(&t, "%s%s", n++ == 0 ? "; there is: " : ", ", known->name);
    }
    if (n == 0) text_add(&t, "; none is declared yet: `regent cluster add FILE`");
    return NULL;
}

static uint8_t find_server(const struct fsm_cluster *cluster, const struct client_request *r, struct client_answer *a)
{
    uint8_t server = fsm_server_find(cluster, r->server);
    if (server != FSM_SERVER_NONE) return server;
    struct text t = TEXT_ON(a->text);
    a->code = CLIENT_FAILED;
    text_addf(&t, "cluster %s has no server \"%s\"; it has", cluster->name, r->server);
    for (uint8_t i = 0; i < cluster->servers_n; i++) text_addf(&t, "%s %s", i > 0 ? "," : "", cluster->servers[i].name);
    return FSM_SERVER_NONE;
}

static bool input_of(const struct answer_world *w, const struct fsm_cluster *cluster, struct plan_input *input,
                     const char **next)
{
    *next = NULL;
    memset(input, 0, sizeof(*input));
    return w->plan_input(w->ctx, fsm_cluster_index(w->state, cluster), input, next) && input->view != NULL;
}

/* ---- reads ---- */

/* One cluster of a status: report and the diagnosis it points at. */
struct seen {
    struct report_cluster report;
    struct diagnosis diagnosis;
};

static void see(const struct answer_world *w, const struct fsm_cluster *cluster, struct seen *out)
{
    struct plan_input input;
    const char *next;
    out->report = (struct report_cluster){.state = w->state, .cluster = cluster};
    if (!input_of(w, cluster, &input, &next)) return;
    diagnose(cluster, input.view, &out->diagnosis);
    out->report.view = input.view;
    out->report.diagnosis = &out->diagnosis;
}

static enum answer_kind answer_status(const struct answer_world *w, const struct client_request *r,
                                      struct client_answer *a)
{
    if (r->cluster[0] != '\0' && find_cluster(w, r, a) == NULL) return ANSWER_NOW;
    struct seen *seen = calloc(FSM_CLUSTERS_MAX, sizeof(*seen));
    struct report_cluster *reports = calloc(FSM_CLUSTERS_MAX, sizeof(*reports));
    MUST(seen != NULL && reports != NULL);
    unsigned n = 0;
    for (unsigned i = 0; i < FSM_CLUSTERS_MAX; i++) {
        const struct fsm_cluster *cluster = &w->state->clusters[i];
        if (!cluster->used || (r->cluster[0] != '\0' && !text_equal(r->cluster, cluster->name))) continue;
        see(w, cluster, &seen[n]);
        reports[n] = seen[n].report;
        n++;
    }
    json_t *json = report_status(w->node, reports, n);
    free(reports);
    free(seen);
    return give(w, a, json);
}

static enum answer_kind answer_explain(const struct answer_world *w, const struct client_request *r,
                                       struct client_answer *a)
{
    const struct fsm_cluster *cluster = find_cluster(w, r, a);
    if (cluster == NULL) return ANSWER_NOW;
    struct plan_input input;
    struct diagnosis diagnosis;
    const char *next;
    if (!input_of(w, cluster, &input, &next))
        return say(a, CLIENT_FAILED, "%s has seen nothing of cluster %s yet; ask again in a second", w->node->name,
                   cluster->name);
    diagnose(cluster, input.view, &diagnosis);
    struct report_cluster c = {.state = w->state, .cluster = cluster, .view = input.view, .diagnosis = &diagnosis};
    return give(w, a, report_explain(&c, next != NULL ? next : ""));
}

/* Collects events at '*next_index' and later; never splits those of one index. Returns how many. */
static unsigned collect_events(const struct answer_world *w, const struct client_request *r, uint64_t *next_index,
                               json_t *list, bool *more)
{
    const struct fsm_state *s = w->state;
    uint64_t first = s->events_n > FSM_EVENTS_MAX ? s->events_n - FSM_EVENTS_MAX : 0;
    uint64_t from = *next_index;
    unsigned n = 0;
    *more = false;
    for (uint64_t i = first; i < s->events_n; i++) {
        const struct fsm_event *event = &s->events[i % FSM_EVENTS_MAX];
        if (event->index < from) continue;
        if (r->cluster[0] != '\0' && !text_equal(event->cluster, r->cluster)) continue;
        if (n >= EVENTS_PAGE && event->index >= *next_index) {
            *more = true;
            break;
        }
        MUST(json_array_append_new(list, report_event(event)) == 0);
        *next_index = event->index + 1;
        n++;
    }
    return n;
}

static json_t *events_json(const struct answer_world *w, json_t *list, uint64_t next_index, bool more)
{
    json_t *out = json_object();
    MUST(json_object_set_new(out, "events", list) == 0);
    MUST(json_object_set_new(out, "next", json_integer((json_int_t)next_index)) == 0);
    MUST(json_object_set_new(out, "more", json_boolean(more)) == 0);
    MUST(json_object_set_new(out, "stale", json_boolean(!w->node->established)) == 0);
    return out;
}

bool answer_events_since(const struct answer_world *w, const struct client_request *r, uint64_t *next_index,
                         struct client_answer *a)
{
    json_t *list = json_array();
    bool more;
    if (collect_events(w, r, next_index, list, &more) == 0) {
        json_decref(list);
        return false;
    }
    memset(a, 0, sizeof(*a));
    a->code = CLIENT_MORE;
    give(w, a, events_json(w, list, *next_index, more));
    return true;
}

static enum answer_kind answer_events(const struct answer_world *w, const struct client_request *r,
                                      struct client_answer *a, uint64_t *next_index)
{
    if (r->cluster[0] != '\0' && find_cluster(w, r, a) == NULL) return ANSWER_NOW;
    json_t *list = json_array();
    bool more;
    *next_index = r->number;
    collect_events(w, r, next_index, list, &more);
    give(w, a, events_json(w, list, *next_index, more));
    if (!r->follow || a->code != CLIENT_OK) return ANSWER_NOW;
    a->code = CLIENT_MORE;
    return ANSWER_FOLLOW;
}

static const struct fsm_plan *find_plan(const struct answer_world *w, const struct client_request *r,
                                        struct client_answer *a)
{
    const struct fsm_plan *plan = r->number != 0 ? fsm_plan_find(w->state, r->number) : NULL;
    if (plan == NULL)
        say(a, CLIENT_FAILED, "no plan %" PRIu64 "; the last %d plans are kept: `regent plan list`", r->number,
            FSM_PLANS_MAX);
    return plan;
}

static enum answer_kind answer_plans(const struct answer_world *w, const struct client_request *r,
                                     struct client_answer *a)
{
    const struct fsm_cluster *cluster = NULL;
    if (r->cluster[0] != '\0' && (cluster = find_cluster(w, r, a)) == NULL) return ANSWER_NOW;
    return give(w, a, report_plans(w->state, cluster));
}

static enum answer_kind answer_plan(const struct answer_world *w, const struct client_request *r,
                                    struct client_answer *a)
{
    const struct fsm_plan *plan = find_plan(w, r, a);
    return plan == NULL ? ANSWER_NOW : give(w, a, report_plan(w->state, plan, true));
}

static enum answer_kind answer_declaration(const struct answer_world *w, const struct client_request *r,
                                           struct client_answer *a)
{
    const struct fsm_cluster *cluster = find_cluster(w, r, a);
    return cluster == NULL ? ANSWER_NOW : give(w, a, report_declaration(cluster));
}

static enum answer_kind answer_version(const struct answer_world *w, struct client_answer *a)
{
    json_t *json = report_versions(w->node);
#ifdef REGENT_NEXT_VERSION
    MUST(json_object_set_new(json, "label", json_string(w->state->label)) == 0);
#endif
    attach(a, json);
    return ANSWER_NOW;
}

/* ---- changes ---- */

static enum client_code code_of(enum fsm_code code)
{
    switch (code) {
    case FSM_OK: return CLIENT_OK;
    case FSM_UNSAFE:
    case FSM_BUSY:
    case FSM_STALE: return CLIENT_REFUSED;
    case FSM_EXPIRED: return CLIENT_EXPIRED;
    case FSM_NOT_FOUND:
    case FSM_EXISTS:
    case FSM_INVALID:
    case FSM_FULL:
    case FSM_UNKNOWN:
    case FSM_CODES_N: break;
    }
    return CLIENT_FAILED;
}

/* What the FSM or the plan said, or what the code means. That it was a safety rule is always said. */
static void say_refused(struct client_answer *a, enum fsm_code code, const char *text)
{
    if (text[0] == '\0') say(a, code_of(code), "%s", fsm_code_text(code));
    else if (code == FSM_UNSAFE) say(a, code_of(code), "%s: %s", fsm_code_text(code), text);
    else say(a, code_of(code), "%s", text);
}

static enum answer_kind answer_dry(struct client_answer *a, enum fsm_code code, const char *dry)
{
    json_t *json = json_pack("{s:b, s:s, s:o}", "dry_run", 1, "result", fsm_code_name(code), "steps",
                             report_lines(dry));
    attach(a, json);
    return say(a, code_of(code), "%s", code == FSM_OK ? "" : fsm_code_text(code));
}

static enum answer_kind answer_failover(const struct answer_world *w, const struct client_request *r,
                                        struct fsm_command *command, struct client_answer *a)
{
    const struct fsm_cluster *cluster = find_cluster(w, r, a);
    if (cluster == NULL) return ANSWER_NOW;
    uint8_t to = FSM_SERVER_NONE;
    if (r->server[0] != '\0' && (to = find_server(cluster, r, a)) == FSM_SERVER_NONE) return ANSWER_NOW;
    struct plan_input input;
    const char *next;
    if (!input_of(w, cluster, &input, &next))
        return say(a, CLIENT_FAILED, "%s has seen nothing of cluster %s yet; ask again in a second", w->node->name,
                   cluster->name);
    char buffer[DRY_SIZE];
    struct text dry = TEXT_ON(buffer);
    enum fsm_code code = plan_operator_failover(&input, to, r->accept_loss, command, &dry);
    if (r->dry_run) return answer_dry(a, code, buffer);
    if (code == FSM_OK) return ANSWER_PROPOSE;
    buffer[strcspn(buffer, "\n")] = '\0';
    say_refused(a, code, buffer);
    return ANSWER_NOW;
}

static enum answer_kind answer_abort(const struct answer_world *w, const struct client_request *r,
                                     struct fsm_command *command, struct client_answer *a)
{
    if (find_plan(w, r, a) == NULL) return ANSWER_NOW;
    command->kind = CMD_PLAN_END;
    command->u.plan_end.token = r->number;
    command->u.plan_end.state = PLAN_STATE_ABORTED;
    command->u.plan_end.by_operator = true;
    TEXT_COPY(command->u.plan_end.reason, "aborted by an operator");
    return ANSWER_PROPOSE;
}

/* The first result of a request that is repeated (its answer was lost on the way), or that nobody can know it any more;
 * or false. Asked before the request is judged anew: its own plan would make it look refused. */
static bool find_repeated(const struct fsm_state *s, struct fsm_request_id id, struct fsm_result *result)
{
    const struct fsm_dedup *d = fsm_dedup_find(s, id);
    if (d != NULL) {
        *result = (struct fsm_result){
            .code = (enum fsm_code)d->code, .index = d->index, .value = d->value, .repeated = true};
        return true;
    }
    *result = (struct fsm_result){.code = FSM_EXPIRED};
    return fsm_dedup_is_expired(s, id);
}

static enum answer_kind answer_note(const struct answer_world *w, const struct client_request *r,
                                    struct fsm_command *command, struct client_answer *a)
{
    if (r->text[0] == '\0') return say(a, CLIENT_FAILED, "a note needs a text");
    if (r->cluster[0] != '\0' && find_cluster(w, r, a) == NULL) return ANSWER_NOW;
    command->kind = CMD_EVENT;
    TEXT_COPY(command->u.event.cluster, r->cluster);
    TEXT_COPY(command->u.event.kind, "note");
    TEXT_COPY(command->u.event.text, r->text);
#ifdef REGENT_NEXT_VERSION
    if (strncmp(r->text, "label=", 6) == 0) { /* The command line is that of today. */
        memset(command, 0, sizeof(*command));
        command->kind = CMD_LABEL;
        TEXT_COPY(command->u.label, r->text + 6);
    }
#endif
    return ANSWER_PROPOSE;
}

static enum answer_kind answer_pause(const struct answer_world *w, const struct client_request *r,
                                     struct fsm_command *command, struct client_answer *a)
{
    if (find_cluster(w, r, a) == NULL) return ANSWER_NOW;
    command->kind = CMD_CLUSTER_PAUSE;
    TEXT_COPY(command->u.cluster_pause.cluster, r->cluster);
    command->u.cluster_pause.paused = r->op == CLIENT_CLUSTER_PAUSE;
    return ANSWER_PROPOSE;
}

/* The log may hold what a later version understands; this one must not take on what it cannot look after. */
static enum answer_kind answer_declare(const struct client_request *r, struct fsm_command *command,
                                       struct client_answer *a)
{
    if (r->spec.flavour != FLAVOUR_MARIADB)
        return say(a, CLIENT_FAILED, "cluster %s was not declared: flavour %s is not supported by this version;"
                   " mariadb is (10.11 and 11.8)", r->spec.name, fsm_flavour_name(r->spec.flavour));
    command->kind = CMD_CLUSTER_SET;
    command->u.cluster_set.spec = r->spec;
    command->u.cluster_set.create = r->create;
    return ANSWER_PROPOSE;
}

static enum answer_kind answer_change(const struct answer_world *w, const struct client_request *r,
                                      struct fsm_command *command, struct client_answer *a)
{
    struct fsm_result before;
    if (r->id.client == 0) return say(a, CLIENT_FAILED, "the request has no id: it could not be repeated safely");
    if (find_repeated(w->state, r->id, &before)) {
        answer_result(w, r, 0, &before, a);
        return ANSWER_NOW;
    }
    memset(command, 0, sizeof(*command));
    enum answer_kind kind = ANSWER_PROPOSE;
    if (r->op == CLIENT_FAILOVER) {
        kind = answer_failover(w, r, command, a);
    } else if (r->op == CLIENT_PLAN_ABORT) {
        kind = answer_abort(w, r, command, a);
    } else if (answer_is_member(r->op)) {
        kind = answer_member(w, r, command, a);
    } else if (r->op == CLIENT_CLUSTER_PAUSE || r->op == CLIENT_CLUSTER_RESUME) {
        kind = answer_pause(w, r, command, a);
    } else if (r->op == CLIENT_NOTE) {
        kind = answer_note(w, r, command, a);
    } else {
        kind = answer_declare(r, command, a);
    }
    command->id = r->id;
    command->time = w->wall;
    return kind;
}

static void say_applied(const struct client_request *r, const struct fsm_result *result, struct client_answer *a)
{
    uint64_t token = r->op == CLIENT_FAILOVER ? result->value : r->number;
    if (r->op == CLIENT_FAILOVER)
        say(a, CLIENT_OK, "failover of %s began: plan %" PRIu64, r->cluster, token);
    else if (r->op == CLIENT_PLAN_ABORT)
        say(a, CLIENT_OK, "plan %" PRIu64 " is aborted", token);
    else if (r->op == CLIENT_CLUSTER_PAUSE)
        say(a, CLIENT_OK, "%s is paused: no plan begins by itself, also not when its master dies", r->cluster);
    else if (r->op == CLIENT_CLUSTER_RESUME)
        say(a, CLIENT_OK, "%s is resumed: plans begin by themselves again", r->cluster);
    else if (r->op == CLIENT_NOTE)
        say(a, CLIENT_OK, "noted at index %" PRIu64 "; see `regent events`", result->index);
    else
        say(a, CLIENT_OK, "cluster %s is %s; its servers are examined now: `regent status %s`", r->spec.name,
            r->create ? "added" : "changed", r->spec.name);
}

void answer_result(const struct answer_world *w, const struct client_request *r, int status,
                   const struct fsm_result *result, struct client_answer *a)
{
    memset(a, 0, sizeof(*a));
    if (status == -ENOTCONN) {
        answer_not_leader(w, a);
        return;
    }
    if (status == -EAGAIN || status == -ENOSPC) {
        say(a, CLIENT_FAILED, "nothing was changed: %s", status == -ENOSPC ? "the leader's disk is full" :
            "the leader has too much to do; try again");
        return;
    }
    if (status != 0) {
        say(a, CLIENT_UNKNOWN, "the leader was lost before it could say whether this was done; see `regent events`");
        return;
    }
    if (result->code == FSM_OK && answer_is_member(r->op)) {
        answer_member_applied(w, r, result, a);
        return;
    }
    if (result->code == FSM_OK)
        say_applied(r, result, a);
    else
        say_refused(a, result->code, result->text);
    json_t *json = json_pack("{s:s, s:I, s:I, s:b}", "result", fsm_code_name(result->code), "index",
                             (json_int_t)result->index, "token", (json_int_t)result->value, "repeated",
                             (int)result->repeated);
    attach(a, json);
}

/* ---- the way in ---- */

static enum answer_kind answer_read(const struct answer_world *w, const struct client_request *r,
                                    struct client_answer *a, uint64_t *next_index)
{
    struct fsm_command unused;
    switch (r->op) {
    case CLIENT_STATUS: return answer_status(w, r, a);
    case CLIENT_EVENTS: return answer_events(w, r, a, next_index);
    case CLIENT_EXPLAIN: return answer_explain(w, r, a);
    case CLIENT_PLAN_LIST: return answer_plans(w, r, a);
    case CLIENT_PLAN_SHOW: return answer_plan(w, r, a);
    case CLIENT_MEMBER_LIST: return give(w, a, report_members(w->node, w->state));
    case CLIENT_CLUSTER_SHOW: return answer_declaration(w, r, a);
    case CLIENT_MEMBER_TRANSFER: return answer_member_transfer(w, r, a, next_index);
    case CLIENT_FAILOVER: return answer_failover(w, r, &unused, a); /* Dry run: the only read of this kind. */
    case CLIENT_VERSION:
    case CLIENT_PLAN_ABORT:
    case CLIENT_CLUSTER_SET:
    case CLIENT_NOTE:
    case CLIENT_CLUSTER_PAUSE:
    case CLIENT_CLUSTER_RESUME:
    case CLIENT_TOKEN_CREATE:
    case CLIENT_TOKEN_REVOKE:
    case CLIENT_MEMBER_SET:
    case CLIENT_MEMBER_JOIN:
    case CLIENT_none:
    case CLIENT_OPS_N: break;
    }
    return say(a, CLIENT_FAILED, "this version (%s) does not know the request", REGENT_VERSION);
}

enum answer_kind answer_request(const struct answer_world *w, const struct client_request *r,
                                struct fsm_command *command, struct client_answer *a, uint64_t *next_index)
{
    memset(a, 0, sizeof(*a));
    *next_index = 0;
    if (r->op == CLIENT_VERSION) return answer_version(w, a);
    bool is_change = client_request_changes(r);
    bool for_leader = is_change || r->op == CLIENT_FAILOVER || r->op == CLIENT_MEMBER_TRANSFER;
    if (!w->node->established && (for_leader || !r->stale_ok)) {
        answer_not_leader(w, a);
        return ANSWER_NOW;
    }
    return is_change ? answer_change(w, r, command, a) : answer_read(w, r, a, next_index);
}
