/* The shell, part two: the ports of manager/ports.h filled with the real world, and the modules' hooks. */
#include <errno.h>

#include "lib/log.h"
#include "manager/shell_private.h"

/* --- clock ------------------------------------------------------------------------------------------------------ */

static struct mono clock_now(void *ctx)
{
    (void)ctx;
    return clock_mono();
}

static struct wall clock_time(void *ctx)
{
    (void)ctx;
    return clock_wall();
}

static uint64_t clock_draw(void *ctx)
{
    (void)ctx;
    return clock_random();
}

static void wake_at(void *ctx, struct mono at)
{
    struct shell *s = ctx;
    if (mono_is_set(s->wake_at) && !mono_before(at, s->wake_at)) return;
    s->wake_at = at;
    if (!s->in_round) shell_arm(s); /* At its end a round does it by itself. */
}

/* --- consensus and servers -------------------------------------------------------------------------------------- */

static bool is_established(void *ctx, uint64_t *term)
{
    struct shell *s = ctx;
    return consensus_is_established(s->consensus, term) && recovery_is_done(&s->recovery);
}

const struct fsm_state *shell_state(void *arg)
{
    struct shell *s = arg;
    return consensus_state(s->consensus);
}

static const struct fsm_state *state_of(void *ctx)
{
    return shell_state(ctx);
}

static int propose(void *ctx, const struct fsm_command *command, port_proposed_fn *done, void *arg)
{
    struct shell *s = ctx;
    return consensus_propose(s->consensus, command, done, arg);
}

static int query(void *ctx, const struct port_request *request)
{
    struct shell *s = ctx;
    return s->sessions ? sessions_query(s->sessions, request) : -EBUSY;
}

static void drop(void *ctx, uint8_t cluster, uint8_t server, enum port_session session)
{
    struct shell *s = ctx;
    if (s->sessions) sessions_drop(s->sessions, cluster, server, session);
}

static bool replication_account(void *ctx, uint8_t cluster, const char **user, const char **password)
{
    struct shell *s = ctx;
    return s->sessions && sessions_replication_account(s->sessions, cluster, user, password);
}

/* --- the group --------------------------------------------------------------------------------------------------- */

void shell_status(struct shell *s, struct raft_node_status *status)
{
    const struct fsm_state *state = consensus_state(s->consensus);
    raft_node_status(consensus_node(s->consensus), status);
    status->established &= recovery_is_done(&s->recovery);
    const struct fsm_member *leader = fsm_member_find(state, status->leader_id);
    if (leader != NULL) TEXT_COPY(status->leader_address, leader->address);
}

static void fill_node(struct shell *s, struct report_node *node)
{
    struct raft_node_status status;
    bool settled;
    shell_status(s, &status);
    report_node_fill(node, &status, s->config);
    report_node_name(node, consensus_state(s->consensus));
    node->last_index = status.last_index;
    node->group = s->identity.group_id;
    TEXT_COPY(node->group_name, s->identity.group_name);
    node->live_ms = members_live_ms(s->config->election_ms);
    node->peers_n = raft_node_peers(consensus_node(s->consensus), node->peers, &settled);
}

/* --- peers ------------------------------------------------------------------------------------------------------ */

static uint8_t managers(void *ctx, struct port_manager *out, uint8_t max, uint8_t *self)
{
    struct shell *s = ctx;
    struct report_node node;
    uint8_t n = 0;
    bool votes = false;
    fill_node(s, &node);
    for (unsigned i = 0; i < node.members_n && n < max; i++) {
        out[n].id = node.members[i].id;
        TEXT_COPY(out[n].name, node.members[i].name);
        TEXT_COPY(out[n].address, node.members[i].address);
        if (out[n].id == node.id) *self = n;
        votes |= out[n].id == node.id;
        n++;
    }
    if (votes) return n;
    /* A standby sees for itself only: no verdict rests on it, and the leader does not count it. */
    if (n == max) n--;
    *self = n;
    out[n].id = node.id;
    TEXT_COPY(out[n].name, node.name);
    TEXT_COPY(out[n].address, s->config->listen);
    return (uint8_t)(n + 1);
}

static void push(void *ctx, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n)
{
    struct shell *s = ctx;
    const struct fsm_cluster *declared = &consensus_state(s->consensus)->clusters[cluster];
    if (declared->servers_n == servers_n) peers_push(s->peers, declared, mine);
}

void shell_fill_ports(struct shell *s)
{
    s->ports = (struct ports){
        .ctx = s,
        .clock = {clock_now, clock_time, clock_draw, wake_at},
        .consensus = {is_established, state_of, propose},
        .servers = {query, drop, replication_account},
        .peers = {managers, push},
    };
}

/* --- hooks ------------------------------------------------------------------------------------------------------ */

void shell_hangup(void *arg, uint8_t cluster, uint8_t server, enum port_session session)
{
    struct shell *s = arg;
    if (s->stopping) return;
    if (session == PORT_PROBE) observe_hangup(s->observe, cluster, server);
    if (session == PORT_CONTROL) execute_hangup(s->execute, cluster, server);
    shell_wake(s);
}

void shell_observed(void *arg, const struct proto_observation *observation)
{
    struct shell *s = arg;
    observe_receive(s->observe, observation);
}

void shell_digest(void *arg, uint64_t id, const struct agreement_digest *digest)
{
    struct shell *s = arg;
    consensus_report(s->consensus, id, digest);
    shell_wake(s);
}

void shell_leader_connected(void *arg)
{
    struct shell *s = arg;
    s->told_digest = 0;
    observe_push_all(s->observe);
    shell_wake(s);
}

void shell_changed(void *arg, uint8_t cluster)
{
    struct shell *s = arg;
    if (s->driver) driver_poke(s->driver, cluster);
    shell_wake(s);
}

static bool plan_input(void *ctx, uint8_t cluster, struct plan_input *out, const char **next)
{
    struct shell *s = ctx;
    const struct plan_update *update = driver_update(s->driver, cluster);
    if (next) *next = update ? update->why : NULL;
    return driver_input(s->driver, cluster, out);
}

/* Those who said hello on a connection that stands, and this manager. */
static unsigned all_hellos(const struct shell *s, uint64_t id, struct hello *out, unsigned max)
{
    unsigned n = s->stopping ? 0 : peers_hellos(s->peers, out, max - 1); /* They end before the last answers. */
    out[n] = hello_own(id);
    if (s->net.tls != NULL) out[n].not_after_s = tls_self(s->net.tls)->not_after_s;
    return n + 1;
}

static void add_member(struct upgrade_view *view, uint64_t id)
{
    for (unsigned i = 0; i < view->members_n; i++)
        if (view->members[i] == id) return;
    MUST(view->members_n < UPGRADE_MEMBERS_MAX);
    view->members[view->members_n++] = id;
}

/* Members are those of the table and those that vote: the two may differ while the leader changes the group. */
void shell_upgrade(struct shell *s, const struct raft_node_status *status)
{
    const struct fsm_state *state = consensus_state(s->consensus);
    struct upgrade_view view = {0};
    for (unsigned i = 0; i < status->members_n; i++) add_member(&view, status->members[i].id);
    for (uint8_t i = 0; i < state->members_n; i++) add_member(&view, state->members[i].id);
    view.hellos_n = all_hellos(s, status->id, view.hellos, UPGRADE_MEMBERS_MAX);
    upgrade_run(s->upgrade, &view);
}

void shell_world(void *arg, struct answer_world *world)
{
    struct shell *s = arg;
    fill_node(s, &s->node);
    s->node.version = consensus_state(s->consensus)->version;
    s->node.hellos_n = all_hellos(s, s->node.id, s->node.hellos, REPORT_HELLOS_MAX);
    world->state = consensus_state(s->consensus);
    world->node = &s->node;
    world->wall = clock_wall();
    world->ctx = s;
    world->plan_input = plan_input;
}

void shell_applied(void *arg)
{
    struct shell *s = arg;
    s->applied = true;
}

void shell_woken(void *arg)
{
    shell_wake(arg);
}

void shell_fatal(void *arg, const char *text)
{
    struct shell *s = arg;
    if (s->fatal) return;
    s->fatal = true;
    TEXT_COPY(s->fatal_text, text);
    shell_stop(s);
}

void shell_accept(void *arg, enum frame_protocol protocol, struct conn *conn)
{
    struct shell *s = arg;
    switch (protocol) {
    case FRAME_RAFT: raft_node_accept(consensus_node(s->consensus), conn); return;
    case FRAME_PEER: peers_accept(s->peers, conn); return;
    case FRAME_CLIENT: clients_accept(s->clients, conn); return;
    case FRAME_AGENT: conn_refuse(conn, CONN_REFUSED_BYTES, "this version has no use for agents"); return;
    }
    MUST_NOT_REACH();
}
