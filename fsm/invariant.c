/* What must hold in every state: the shape of the arrays, S1 and A8. PURE. */
#include <string.h>

#include "fsm/apply.h"
#include "fsm/internal.h"
#include "fsm/version.h"

/* Returns from the calling check when 'condition' is broken. */
#define HOLDS(condition, what)                                                                                        \
    do {                                                                                                              \
        if (!(condition)) return (what);                                                                              \
    } while (0)

#define IS_TEXT(array) (memchr((array), '\0', sizeof(array)) != NULL)
#define IN_ENUM(value, NAME) ((int)(value) > 0 && (int)(value) < (int)NAME##_count)

static bool is_server(const struct fsm_cluster *cluster, uint8_t server)
{
    return server == FSM_SERVER_NONE || server < cluster->servers_n;
}

static const char *check_server(const struct fsm_cluster *cluster, uint8_t i)
{
    const struct fsm_server *s = &cluster->servers[i];

    HOLDS(IS_TEXT(s->name) && s->name[0] != '\0', "a server has a name");
    HOLDS(IS_TEXT(s->address) && IS_TEXT(s->reason) && IS_TEXT(s->identity), "a server's texts end");
    HOLDS(IN_ENUM(s->role, fsm_role) && IN_ENUM(s->declared, fsm_role), "a server has a role");
    HOLDS(IN_ENUM(s->state, fsm_server_state), "a server has a state");
    HOLDS(s->state != SERVER_MEMBER || s->identity[0] != '\0', "a member has an identity");
    HOLDS(s->state != SERVER_QUARANTINED || s->reason[0] != '\0', "a quarantine has a reason");
    HOLDS(fsm_server_find(cluster, s->name) == i, "names of servers are unique");
    return NULL;
}

static const char *check_reign(const struct fsm_cluster *cluster, const struct fsm_reign *reign)
{
    unsigned known = 0;

    HOLDS(reign->epoch > 0 && reign->epoch <= cluster->epoch_used, "a reign's epoch was given to a plan");
    HOLDS(reign->master < cluster->servers_n, "a reign has a master");
    HOLDS((reign->ackers & ~fsm_set_all(cluster)) == 0, "ackers are servers");
    HOLDS(!fsm_set_has(reign->ackers, reign->master), "a master does not acknowledge for itself");
    HOLDS(reign->k <= fsm_set_count(reign->ackers), "k is at most |A|");
    HOLDS(!reign->lossless || (reign->k > 0 && reign->since[0] != '\0'), "a lossless reign has ackers and a start");
    HOLDS(IS_TEXT(reign->since), "a reign's text ends");
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) known += fsm_set_has(reign->ackers, i) && reign->started_s[i] != 0;
    HOLDS(!reign->lossless || (reign->started_s[reign->master] != 0 && known >= reign->k),
          "a proof knows the incarnations that it rests on (A4)");
    HOLDS(!reign->lossless || reign->opened, "only a reign that was opened is proven lossless");
    return NULL;
}

static const char *check_reigns(const struct fsm_cluster *cluster, const struct fsm_reign *reigns, uint8_t n)
{
    HOLDS(n <= FSM_REIGNS_MAX, "the list of reigns has its size");
    for (uint8_t i = 0; i < n; i++) {
        const char *broken = check_reign(cluster, &reigns[i]);

        if (broken != NULL) return broken;
        for (uint8_t j = 0; j < i; j++) {
            HOLDS(reigns[j].epoch != reigns[i].epoch, "an epoch has one reign");
            HOLDS(reigns[j].master != reigns[i].master, "a server leads one listed reign");
        }
    }
    return NULL;
}

/* While a failover is past the end of REVOKE, the old reigns are in plan->past and only the new one is listed. */
static bool is_past_revoke(const struct fsm_plan *plan)
{
    return plan != NULL && plan->kind == PLAN_FAILOVER && plan->step > STEP_REVOKE && plan->step < STEP_REPOINT;
}

static const char *check_current(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    const struct fsm_reign *current = fsm_reign_current(cluster);

    HOLDS(fsm_server_is(cluster, cluster->master, SERVER_MEMBER), "the master is a member");
    HOLDS(current == NULL || current->master == cluster->master, "the current reign is the master's");
    HOLDS(current != NULL || is_past_revoke(plan), "the current reign is listed (A8)");
    for (uint8_t i = 0; i < cluster->reigns_n; i++) {
        HOLDS(!cluster->reigns[i].unfenced || cluster->reigns[i].epoch < cluster->epoch,
              "a reign is given up only for a newer one that is open");
    }
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        enum fsm_role role = cluster->servers[i].role;

        HOLDS((role == ROLE_MASTER) == (i == cluster->master), "only the master has the role master");
        HOLDS((role == ROLE_BACKUP) == (i == cluster->backup), "only the backup has the role backup");
    }
    return NULL;
}

/* S1: before the new master opens, no older reign is listed. */
static const char *check_failover(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    bool is_listed = plan->step >= STEP_ESTABLISH;

    HOLDS(plan->from < cluster->servers_n && plan->to < cluster->servers_n, "a failover has its servers");
    HOLDS(plan->from != plan->to || plan->step == STEP_REVOKE || plan->fence == FENCE_F2_CLOSED,
          "a master goes on only after it was closed (A4, F2)");
    HOLDS(fsm_server_is(cluster, plan->to, SERVER_MEMBER), "a candidate is a member");
    if (plan->step == STEP_REVOKE) return NULL;
    HOLDS(plan->step >= STEP_REPOINT || cluster->reigns_n == (is_listed ? 1 : 0),
          "a failover ended all older reigns (S1, A8)");
    HOLDS(!is_listed || (cluster->reigns_n > 0 && cluster->reigns[0].epoch == plan->epoch &&
                         cluster->reigns[0].master == plan->to),
          "the reign to come is listed before it opens (A5, A8)");
    HOLDS(!is_listed || plan->acker == FSM_SERVER_NONE || fsm_set_has(cluster->reigns[0].ackers, plan->acker),
          "the acker is listed before it attaches (A8)");
    HOLDS(plan->step < STEP_OPEN || plan->step == STEP_DONE || plan->acker != FSM_SERVER_NONE ||
              cluster->durability != DURABILITY_LOSSLESS,
          "a lossless cluster opens with an acker (A5)");
    return NULL;
}

static const char *check_follow(const struct fsm_cluster *cluster, const struct fsm_plan *plan)
{
    const struct fsm_reign *current = fsm_reign_current(cluster);

    HOLDS(plan->to == cluster->master && plan->from != plan->to && plan->epoch == cluster->epoch,
          "who is to follow follows the master");
    HOLDS(plan->acker == FSM_SERVER_NONE ||
              (plan->acker == plan->from && current != NULL && fsm_set_has(current->ackers, plan->from)),
          "who is to acknowledge is a member of A (A6)");
    return NULL;
}

static bool step_fits(enum fsm_plan_kind kind, enum fsm_step step)
{
    if (step == STEP_DONE) return true;
    switch (kind) {
    case PLAN_ENROL: return step == STEP_PREPARE || step == STEP_VERIFY;
    case PLAN_FAILOVER: return step >= STEP_REVOKE && step <= STEP_REPOINT;
    case PLAN_CLOSE: return step == STEP_SHUT;
    case PLAN_FOLLOW: return step == STEP_REPOINT;
    case fsm_plan_kind_none:
    case fsm_plan_kind_count: break;
    }
    return false;
}

static const char *check_plan(const struct fsm_state *state, const struct fsm_plan *plan)
{
    const struct fsm_cluster *cluster = &state->clusters[plan->cluster % FSM_CLUSTERS_MAX];
    bool is_running = plan->state == PLAN_STATE_RUNNING;

    HOLDS(plan->token <= fsm_token_at(state, state->index) && plan->token % FSM_TOKEN_STEP <= state->index,
          "a plan is not newer than the state");
    HOLDS(plan->cluster < FSM_CLUSTERS_MAX && cluster->used, "a plan has a cluster");
    HOLDS(IN_ENUM(plan->kind, fsm_plan_kind) && IN_ENUM(plan->state, fsm_plan_state), "a plan has kind and state");
    HOLDS(IN_ENUM(plan->step, fsm_step) && step_fits(plan->kind, plan->step), "a plan's step is one of its kind");
    HOLDS((int)plan->fence >= 0 && (int)plan->fence < (int)fsm_fence_count, "a plan's fence is known");
    HOLDS(is_server(cluster, plan->from) && is_server(cluster, plan->to) && is_server(cluster, plan->acker) &&
              is_server(cluster, plan->holder) && (plan->revoked & ~fsm_set_all(cluster)) == 0,
          "a plan's servers exist");
    HOLDS(plan->past_n <= FSM_REIGNS_MAX && (plan->unproven >> plan->past_n) == 0, "unproven reigns are past ones");
    HOLDS(plan->epoch <= cluster->epoch_used, "a plan's epoch was given to it");
    HOLDS((plan->state == PLAN_STATE_FINISHED) == (plan->step == STEP_DONE), "a finished plan is done");
    HOLDS(is_running == (cluster->plan == plan->token), "a cluster's plan is the one that runs");
    HOLDS(IS_TEXT(plan->target) && IS_TEXT(plan->verdict) && IS_TEXT(plan->reason), "a plan's texts end");
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) {
        HOLDS(IS_TEXT(plan->found[i].received) && IS_TEXT(plan->found[i].executed), "a finding's texts end");
        HOLDS(!plan->found[i].set || i < cluster->servers_n, "a finding has a server");
    }
    if (is_running && plan->kind == PLAN_FAILOVER) {
        const char *broken = check_failover(cluster, plan);
        if (broken != NULL) return broken;
    }
    if (is_running && plan->kind == PLAN_FOLLOW) {
        const char *broken = check_follow(cluster, plan);
        if (broken != NULL) return broken;
    }
    return check_reigns(cluster, plan->past, plan->past_n);
}

static const char *check_cluster(const struct fsm_state *state, const struct fsm_cluster *cluster)
{
    const struct fsm_plan *plan = fsm_plan_find(state, cluster->plan);
    const char *broken;

    HOLDS(IS_TEXT(cluster->name) && cluster->name[0] != '\0', "a cluster has a name");
    HOLDS(fsm_cluster_find(state, cluster->name) == cluster, "names of clusters are unique");
    HOLDS(IS_TEXT(cluster->defaults_file) && IS_TEXT(cluster->group), "a cluster's texts end");
    HOLDS(IN_ENUM(cluster->flavour, fsm_flavour) && IN_ENUM(cluster->durability, fsm_durability),
          "a cluster has flavour and durability");
    HOLDS(cluster->servers_n >= 1 && cluster->servers_n <= FSM_SERVERS_MAX, "a cluster has servers");
    HOLDS(cluster->version <= state->index, "a declaration is not newer than the state");
    HOLDS(cluster->epoch <= cluster->epoch_used, "epochs are given in order");
    HOLDS(is_server(cluster, cluster->master) && is_server(cluster, cluster->backup), "master and backup are servers");
    HOLDS(cluster->master == FSM_SERVER_NONE || cluster->master != cluster->backup, "the backup is another server");
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        broken = check_server(cluster, i);
        if (broken != NULL) return broken;
    }
    HOLDS(cluster->plan == 0 || (plan != NULL && plan->cluster == cluster - state->clusters &&
                                 plan->state == PLAN_STATE_RUNNING),
          "a cluster's plan runs");
    broken = check_reigns(cluster, cluster->reigns, cluster->reigns_n);
    if (broken != NULL || cluster->epoch == 0) return broken;
    return check_current(cluster, plan);
}

static const char *check_events(const struct fsm_state *state)
{
    uint64_t kept = state->events_n < FSM_EVENTS_MAX ? state->events_n : FSM_EVENTS_MAX;
    uint64_t newer = state->index;

    for (uint64_t i = 1; i <= kept; i++) {
        const struct fsm_event *event = &state->events[(state->events_n - i) % FSM_EVENTS_MAX];

        HOLDS(event->index <= newer && event->index > 0, "events are in order");
        HOLDS(IS_TEXT(event->cluster) && IS_TEXT(event->kind) && IS_TEXT(event->text) && IS_TEXT(event->evidence),
              "an event's texts end");
        newer = event->index;
    }
    return NULL;
}

static const char *check_dedup(const struct fsm_state *state)
{
    uint64_t kept = state->dedup_n < FSM_DEDUP_MAX ? state->dedup_n : FSM_DEDUP_MAX;

    HOLDS((state->dedup_floor != 0) == (state->dedup_n > FSM_DEDUP_MAX), "only a full window has forgotten something");
    for (uint64_t i = 0; i < FSM_DEDUP_MAX; i++) {
        const struct fsm_dedup *entry = &state->dedup[i];

        HOLDS((entry->client != 0) == (i < kept), "the dedup window has its shape");
        HOLDS(i >= kept || entry->index > state->dedup_floor, "what is remembered is younger than what is forgotten");
        HOLDS(entry->index <= state->index && entry->code >= 0 && entry->code < (int32_t)FSM_CODES_N,
              "a remembered result is one");
    }
    return NULL;
}

const char *fsm_invariant(const struct fsm_state *state)
{
    const char *broken = check_events(state);

    if (broken == NULL) broken = check_dedup(state);
    if (broken == NULL) broken = fsm_members_invariant(state);
    HOLDS(state->version >= FSM_VERSION_FIRST && state->version <= FSM_VERSION_MAX, "the active version is one");
    HOLDS((state->version > FSM_VERSION_FIRST) == (state->version_since > 0) && state->version_since <= state->index,
          "a command raised the active version");
    HOLDS(state->generation <= FSM_GENERATIONS_MAX && state->index < FSM_TOKEN_STEP, "tokens fit");
    HOLDS(state->plans_next < FSM_PLANS_MAX, "the ring of plans has its shape");
    for (size_t i = 0; i < FSM_CLUSTERS_MAX && broken == NULL; i++) {
        if (state->clusters[i].used) broken = check_cluster(state, &state->clusters[i]);
    }
    for (size_t i = 0; i < FSM_PLANS_MAX && broken == NULL; i++) {
        if (state->plans[i].token != 0) broken = check_plan(state, &state->plans[i]);
    }
    return broken;
}
