/* Applying commands: dispatch, dedup, and the commands that touch no plan's step. PURE. */
#include "fsm/apply.h"

#include <string.h>

#include "fsm/internal.h"
#include "fsm/version.h"

void fsm_init(struct fsm_state *state)
{
    memset(state, 0, sizeof(*state)); /* Padding too: states are compared by bytes. */
    fsm_init_zeroed(state);
}

void fsm_init_zeroed(struct fsm_state *state)
{
    state->version = FSM_VERSION_FIRST;
}

struct fsm_cluster *fsm_apply_cluster(struct fsm_apply *a, const char *name)
{
    const struct fsm_cluster *cluster = fsm_cluster_find(a->state, name);

    if (cluster == NULL) {
        (void)FSM_REFUSE(a, FSM_NOT_FOUND, "there is no cluster \"%s\"", name);
        return NULL;
    }
    return &a->state->clusters[fsm_cluster_index(a->state, cluster)];
}

struct fsm_plan *fsm_apply_running(struct fsm_state *state, const struct fsm_cluster *cluster)
{
    const struct fsm_plan *plan = fsm_plan_find(state, cluster->plan);

    return plan == NULL ? NULL : &state->plans[plan - state->plans];
}

static bool plan_uses(const struct fsm_plan *plan, uint8_t server)
{
    if (plan == NULL) return false;
    if (plan->kind == PLAN_FOLLOW && plan->from == server) return true;
    return plan->to == server || plan->acker == server || plan->holder == server;
}

static enum fsm_code server_state_check(struct fsm_apply *a, const struct fsm_cluster *cluster, uint8_t server)
{
    const struct fsm_cmd_server_state *c = &a->command->u.server_state;

    if (c->state <= fsm_server_state_none || c->state >= fsm_server_state_count) {
        return FSM_REFUSE(a, FSM_INVALID, "no such server state");
    }
    if (server == cluster->master) {
        return FSM_REFUSE(a, FSM_UNSAFE, "%s is the master of %s: fail over first", c->server, cluster->name);
    }
    if (plan_uses(fsm_apply_running(a->state, cluster), server)) {
        return FSM_REFUSE(a, FSM_BUSY, "plan %llu uses %s: wait until it ends", (unsigned long long)cluster->plan,
                          c->server);
    }
    if (c->state == SERVER_QUARANTINED && c->reason[0] == '\0') {
        return FSM_REFUSE(a, FSM_INVALID, "a quarantine needs a reason");
    }
    return FSM_OK;
}

enum fsm_code fsm_apply_server_state(struct fsm_apply *a)
{
    const struct fsm_cmd_server_state *c = &a->command->u.server_state;
    struct fsm_cluster *cluster = fsm_apply_cluster(a, c->cluster);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    struct fsm_server *s;
    enum fsm_code code;
    uint8_t server;

    if (cluster == NULL) return FSM_NOT_FOUND;
    server = fsm_server_find(cluster, c->server);
    if (server == FSM_SERVER_NONE) {
        return FSM_REFUSE(a, FSM_NOT_FOUND, "cluster %s has no server \"%s\"", cluster->name, c->server);
    }
    code = server_state_check(a, cluster, server);
    if (code != FSM_OK) return code;
    if (c->state == SERVER_QUARANTINED) {
        fsm_quarantine(a, cluster, server, c->reason);
        return FSM_OK;
    }
    /* Cleared. What it becomes is not the operator's choice: only an enrolled server can be trusted. */
    s = &cluster->servers[server];
    s->state = s->identity[0] != '\0' ? SERVER_MEMBER : SERVER_NEW;
    FSM_TEXT_SET(s->reason, "");
    text_addf(&text, "%s is %s again", s->name, s->state == SERVER_MEMBER ? "a member" : "new");
    if (c->reason[0] != '\0') text_addf(&text, ": %s", c->reason);
    fsm_event_add(a, &(struct fsm_note){cluster, "server.cleared", buffer, ""});
    return FSM_OK;
}

static enum fsm_code apply_pause(struct fsm_apply *a)
{
    const struct fsm_cmd_cluster_pause *c = &a->command->u.cluster_pause;
    struct fsm_cluster *cluster = fsm_apply_cluster(a, c->cluster);
    struct fsm_note note;

    if (cluster == NULL) return FSM_NOT_FOUND;
    if (cluster->paused == c->paused) return FSM_OK;
    cluster->paused = c->paused;
    note = c->paused
               ? (struct fsm_note){cluster, "cluster.paused", "paused: only an operator begins plans now", ""}
               : (struct fsm_note){cluster, "cluster.resumed", "resumed: plans begin by themselves again", ""};
    fsm_event_add(a, &note);
    return FSM_OK;
}

static enum fsm_code apply_event(struct fsm_apply *a)
{
    const struct fsm_cmd_event *c = &a->command->u.event;
    const struct fsm_cluster *cluster = NULL;

    if (c->kind[0] == '\0') return FSM_REFUSE(a, FSM_INVALID, "an event needs a kind");
    if (c->cluster[0] != '\0') {
        cluster = fsm_apply_cluster(a, c->cluster);
        if (cluster == NULL) return FSM_NOT_FOUND;
    }
    fsm_event_add(a, &(struct fsm_note){cluster, c->kind, c->text, c->evidence});
    return FSM_OK;
}

static enum fsm_code apply_digest(struct fsm_apply *a)
{
    if (a->command->u.digest.index < a->index) return FSM_OK;
    return FSM_REFUSE(a, FSM_INVALID, "the digest is of an index to come");
}

static enum fsm_code dispatch(struct fsm_apply *a)
{
    enum fsm_code code;

    if (a->command->id.client == 0) {
        return FSM_REFUSE(a, FSM_INVALID, "the command has no request id");
    }
    if (a->command->id.since >= a->index) { /* Or expiry would mean nothing. */
        return FSM_REFUSE(a, FSM_INVALID, "the request claims to know index %llu, which comes later than itself",
                          (unsigned long long)a->command->id.since);
    }
    code = fsm_version_check(a);
    if (code != FSM_OK) return code;
    switch (a->command->kind) {
    case CMD_CLUSTER_SET: return fsm_apply_cluster_set(a);
    case CMD_SERVER_STATE: return fsm_apply_server_state(a);
    case CMD_PLAN_BEGIN: return fsm_apply_plan_begin(a);
    case CMD_PLAN_STEP: return fsm_apply_plan_step(a);
    case CMD_PLAN_END: return fsm_apply_plan_end(a);
    case CMD_CLUSTER_PAUSE: return apply_pause(a);
    case CMD_EVENT: return apply_event(a);
    case CMD_REIGN_PROOF: return fsm_apply_reign_proof(a);
    case CMD_MEMBER: return fsm_apply_member(a);
    case CMD_TOKEN: return fsm_apply_token(a);
    case CMD_VERSION: return fsm_apply_version(a);
    case CMD_DIGEST: return apply_digest(a);
    case CMD_RECOVERED: return fsm_apply_recovered(a);
#ifdef REGENT_NEXT_VERSION
    case CMD_LABEL: return fsm_apply_label(a);
#endif
    case CMD_NONE: break;
    }
    return FSM_REFUSE(a, FSM_UNKNOWN, "this version does not know command %d: upgrade this manager",
                      (int)a->command->kind);
}

void fsm_apply(struct fsm_state *state, uint64_t index, const struct fsm_command *command, struct fsm_result *result)
{
    struct fsm_apply a = {.state = state, .index = index, .command = command, .result = result};
    const struct fsm_dedup *seen = command->id.client == 0 ? NULL : fsm_dedup_find(state, command->id);

    memset(result, 0, sizeof(*result));
    fsm_skip(state, index);
    if (seen != NULL) {
        result->code = (enum fsm_code)seen->code;
        result->index = seen->index;
        result->value = seen->value;
        result->repeated = true;
        return;
    }
    result->index = index;
    if (command->id.client != 0 && fsm_dedup_is_expired(state, command->id)) {
        /* Not remembered: it stays expired for ever, and must not push younger ones out. */
        result->code = FSM_REFUSE(&a, FSM_EXPIRED, "the request was made after index %llu, and what was applied up to "
                                  "index %llu is forgotten", (unsigned long long)command->id.since,
                                  (unsigned long long)state->dedup_floor);
        return;
    }
    result->code = dispatch(&a);
    if (command->id.client != 0) fsm_dedup_add(state, command->id, result);
#ifdef REGENT_CHECK_INVARIANTS
    MUST(fsm_invariant(state) == NULL);
#endif
}

void fsm_skip(struct fsm_state *state, uint64_t index)
{
    MUST(index > state->index);
    state->index = index;
}
