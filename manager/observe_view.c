/* Observation, part two: the table of all managers' observations, with ages that are right at the moment of use. */
#include "manager/observe_private.h"

#include <stdlib.h>
#include <string.h>

bool observe_is_running(const struct observe_cluster *cl)
{
    for (uint8_t i = 0; i < cl->servers_n; i++)
        if (cl->servers[i].running) return true;
    return false;
}

/* Of the declared servers; nobody looks at the others. */
static void manager_clear(struct observe_cluster *cl, uint8_t m)
{
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        struct view_observation *v = &cl->view.managers[m].servers[i];
        memset(v, 0, sizeof *v);
        v->age_ms = v->ok_age_ms = v->alive_age_ms = -1;
    }
}

struct observe_cluster *observe_cluster_new(struct observe *o, uint8_t c, const struct fsm_cluster *declared)
{
    struct observe_cluster *cl = calloc(1, sizeof *cl);
    if (!cl) return NULL;
    struct mono now = o->ports->clock.now(o->ports->ctx);
    cl->cluster = c;
    cl->version = declared->version;
    cl->flavour = declared->flavour;
    cl->probe_ms = declared->probe_ms;
    cl->timeout_ms = declared->timeout_ms;
    cl->servers_n = declared->servers_n;
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        cl->servers[i] = (struct observe_server){.owner = o, .cluster = c, .server = i, .due_at = now};
        TEXT_COPY(cl->names[i], declared->servers[i].name);
    }
    for (uint8_t m = 0; m < VIEW_MANAGERS_MAX; m++) manager_clear(cl, m);
    return cl;
}

void observe_managers(struct observe *o, struct observe_managers *group)
{
    group->self = 0;
    group->n = o->ports->peers.managers(o->ports->ctx, group->managers, VIEW_MANAGERS_MAX, &group->self);
    MUST(group->n >= 1 && group->n <= VIEW_MANAGERS_MAX && group->self < group->n);
}

static void follow_managers(struct observe_cluster *cl, const struct observe_managers *group)
{
    cl->view.managers_n = group->n;
    cl->view.self = group->self;
    for (uint8_t m = 0; m < group->n; m++) {
        struct view_manager *v = &cl->view.managers[m];
        const struct port_manager *manager = &group->managers[m];
        if (v->id == manager->id && text_equal(v->name, manager->name)) continue;
        v->id = manager->id;
        TEXT_COPY(v->name, manager->name);
        cl->arrived[m] = MONO_NEVER;
        manager_clear(cl, m);
    }
}

void observe_cluster_follow(struct observe_cluster *cl, const struct fsm_cluster *declared,
                            const struct observe_managers *group)
{
    cl->master = declared->master;
    cl->members = 0;
    for (uint8_t i = 0; i < declared->servers_n; i++)
        if (declared->servers[i].state == SERVER_MEMBER) cl->members |= FSM_BIT(i);
    follow_managers(cl, group);
}

/* --- the view -------------------------------------------------------------------------------------------------- */

static int64_t age_of(struct mono now, struct mono at)
{
    return mono_is_set(at) ? mono_since_ms(now, at) : -1;
}

/* Idle less age is for how long nothing had arrived when the server was asked (plan/diagnose.c): an answer that was
 * long under way must not make a follower look deaf. */
static int64_t idle_of(const struct observe_server *s, unsigned channel, struct mono now)
{
    int64_t idle_ms = age_of(now, s->mark_at[channel]);
    if (idle_ms < 0) return idle_ms;
    return idle_ms > s->took_ms ? idle_ms - s->took_ms : 0;
}

static void fill_own_ages(struct observe_cluster *cl, struct mono now)
{
    struct view_manager *mine = &cl->view.managers[cl->view.self];
    mine->heard = true;
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        const struct observe_server *s = &cl->servers[i];
        struct view_observation *v = &mine->servers[i];
        v->age_ms = age_of(now, s->ended_at);
        v->ok_age_ms = age_of(now, s->ok_at);
        v->alive_age_ms = age_of(now, s->alive_at);
        v->failing_ms = mono_is_set(s->failing_since) ? mono_since_ms(now, s->failing_since) : 0;
        v->facts.acked_ms = age_of(now, s->acked_at);
        for (uint8_t c = 0; c < v->facts.channels_n && c < VIEW_CHANNELS_MAX; c++)
            v->facts.channels[c].idle_ms = idle_of(s, c, now);
    }
}

static int64_t aged(int64_t age_ms, int64_t by_ms)
{
    return age_ms < 0 ? -1 : age_ms + by_ms;
}

static void fill_told_ages(struct observe_cluster *cl, uint8_t m, struct mono now)
{
    struct view_manager *told = &cl->view.managers[m];
    int64_t heard_ms = 4 * (int64_t)cl->probe_ms > VIEW_HEARD_MS ? 4 * (int64_t)cl->probe_ms : VIEW_HEARD_MS;
    int64_t by_ms = age_of(now, cl->arrived[m]);
    told->heard = by_ms >= 0 && by_ms <= heard_ms;
    if (by_ms < 0) return;
    for (uint8_t i = 0; i < cl->servers_n; i++) {
        const struct observe_ages *a = &cl->ages[m][i];
        struct view_observation *v = &told->servers[i];
        v->age_ms = aged(a->age_ms, by_ms);
        v->ok_age_ms = aged(a->ok_age_ms, by_ms);
        v->alive_age_ms = aged(a->alive_age_ms, by_ms);
        v->failing_ms = a->failing_ms > 0 ? a->failing_ms + by_ms : 0;
        v->facts.acked_ms = aged(a->acked_ms, by_ms);
        /* Grows with the age of the probe; plan/diagnose.c takes that age off, since what came later is unknown. */
        for (uint8_t c = 0; c < v->facts.channels_n && c < VIEW_CHANNELS_MAX; c++)
            v->facts.channels[c].idle_ms = aged(a->idle_ms[c], by_ms);
    }
}

static uint64_t declared_version(const struct observe *o, uint8_t c)
{
    return o->ports->consensus.state(o->ports->ctx)->clusters[c].version;
}

const struct view *observe_view(struct observe *observe, uint8_t cluster)
{
    MUST(cluster < FSM_CLUSTERS_MAX);
    struct observe_cluster *cl = observe->clusters[cluster];
    if (!cl || cl->view.managers_n == 0 || cl->version != declared_version(observe, cluster)) return NULL;
    struct mono now = observe->ports->clock.now(observe->ports->ctx);
    fill_own_ages(cl, now);
    for (uint8_t m = 0; m < cl->view.managers_n; m++)
        if (m != cl->view.self) fill_told_ages(cl, m, now);
    return &cl->view;
}

/* --- exchange -------------------------------------------------------------------------------------------------- */

void observe_push(struct observe *o, struct observe_cluster *cl, struct mono now)
{
    bool due = cl->pushable && mono_since_ms(now, cl->pushed_at) >= (int64_t)cl->probe_ms;
    if (!cl->dirty && !due) return;
    cl->dirty = cl->pushable = false;
    cl->pushed_at = now;
    fill_own_ages(cl, now);
    o->ports->peers.push(o->ports->ctx, cl->cluster, &cl->view.managers[cl->view.self], cl->servers_n);
}

void observe_push_all(struct observe *observe)
{
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++)
        if (observe->clusters[c]) observe->clusters[c]->dirty = true;
}

static struct observe_cluster *cluster_by_name(struct observe *o, const char *name)
{
    const struct fsm_state *state = o->ports->consensus.state(o->ports->ctx);
    const struct fsm_cluster *declared = fsm_cluster_find(state, name);
    return declared ? o->clusters[fsm_cluster_index(state, declared)] : NULL;
}

/* How long its attempt took, and the telling; a manager of an older version does not say how long. */
static int64_t told_took_ms(const struct observe_cluster *cl, const struct view_observation *told)
{
    int64_t took_ms = told->took_ms > 0 ? told->took_ms : view_deadline_ms(cl->timeout_ms);
    return took_ms + OBSERVE_TOLD_MS;
}

static void take_observation(struct observe_cluster *cl, uint8_t m, uint8_t i, const struct view_observation *told)
{
    struct observe_ages *a = &cl->ages[m][i];
    cl->view.managers[m].servers[i] = *told;
    cl->view.managers[m].servers[i].took_ms = told_took_ms(cl, told);
    *a = (struct observe_ages){told->age_ms,     told->ok_age_ms,      told->alive_age_ms,
                               told->failing_ms, told->facts.acked_ms, {0}};
    for (uint8_t c = 0; c < VIEW_CHANNELS_MAX; c++) a->idle_ms[c] = told->facts.channels[c].idle_ms;
}

void observe_receive(struct observe *observe, const struct proto_observation *report)
{
    struct observe_cluster *cl = cluster_by_name(observe, report->cluster);
    if (!cl || report->declaration != cl->version || report->servers_n != cl->servers_n) return;
    for (uint8_t i = 0; i < cl->servers_n; i++)
        if (!text_equal(cl->names[i], report->names[i])) return;
    uint8_t m = 0;
    while (m < cl->view.managers_n && cl->view.managers[m].id != report->manager_id) m++;
    if (m == cl->view.managers_n || m == cl->view.self) return;
    for (uint8_t i = 0; i < cl->servers_n; i++) take_observation(cl, m, i, &report->servers[i]);
    cl->arrived[m] = mono_add_ms(observe->ports->clock.now(observe->ports->ctx), -report->late_ms);
    observe->changed(observe->changed_arg, cl->cluster);
}
