/* Changes of the group's configuration, one at a time, and who is in it.
 *
 * Happy path: raft_node_change() asks libraft; libraft commits the new configuration and calls back; a barrier follows;
 * when that is applied, 'done' runs. The barrier is for the others: a follower that gets a second configuration before
 * it knows that the first is committed never notes the first one as committed (replication.c,
 * replicationApplyConfigurationChange); should the second then be rolled back, it would fall back behind the first.
 *
 * A hand-over begins by refusing proposals; when the target has all that was appended, libraft is asked. libraft alone
 * sends its only TimeoutNow at the target's next answer, and a target that has not written everything by then ignores
 * it (replication.c, replicationUpdate; recv_timeout_now.c): under load a hand-over then failed after a time-out.
 *
 * Failure modes: refused at once; the member to promote does not catch up (libraft gives up: RAFT_NOCONNECTION);
 * leadership lost (unknown); a submission that fails inside libraft, which then keeps a pointer to our request and
 * never calls back (legacy.c, raft_assign and legacyCheckChangeRequest): the request lives as long as the node, and
 * after CHANGE_MS we take the pointer away. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/log.h"
#include "raft/internal.h"

static enum raft_node_member_role role_of(int role)
{
    if (role == RAFT_VOTER) return RAFT_NODE_VOTER;
    return role == RAFT_STANDBY ? RAFT_NODE_STANDBY : RAFT_NODE_SPARE;
}

unsigned raft_node_peers(const struct raft_node *node, struct raft_node_peer *out, bool *settled)
{
    struct raft_node *n = (struct raft_node *)node; /* libraft's getters are not const; they change nothing. */
    const struct raft_configuration *c = &node->raft.configuration;
    unsigned count = 0;
    *settled = false;
    if (node->closing) return 0;
    *settled = node->raft.configuration_uncommitted_index == 0 && !n->change.flying && !n->change.confirming &&
               !n->change.finished;
    for (unsigned i = 0; i < c->n && count < RAFT_NODE_MEMBERS_MAX; i++) {
        struct raft_node_peer *p = &out[count++];
        raft_index match = 0;
        memset(p, 0, sizeof *p);
        p->id = c->servers[i].id;
        p->role = role_of(c->servers[i].role);
        (void)TEXT_COPY(p->address, c->servers[i].address);
        if (raft_match_index(&n->raft, p->id, &match) == 0) p->match_index = match; /* Leaders only. */
        p->contact_ms = p->id == node->config.id ? 0 : guard_contact_ms(&n->guard, p->id);
    }
    return count;
}

static const struct raft_server *find_server(const struct raft_node *node, uint64_t id)
{
    const struct raft_configuration *c = &node->raft.configuration;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id) return &c->servers[i];
    }
    return NULL;
}

static int check_change(const struct raft_node *node, const struct raft_node_peer *what, enum raft_node_change change)
{
    const struct raft_server *server = find_server(node, what->id);
    if (what->id == 0 || what->id == node->config.id) return -EINVAL;
    switch (change) {
    case RAFT_NODE_ADD:
        if (server != NULL || what->address[0] == '\0') return -EINVAL;
        return node->raft.configuration.n < RAFT_NODE_MEMBERS_MAX ? 0 : -ENOSPC;
    case RAFT_NODE_TO_STANDBY: return server != NULL && server->role != RAFT_STANDBY ? 0 : -EINVAL;
    case RAFT_NODE_TO_VOTER: return server != NULL && server->role != RAFT_VOTER ? 0 : -EINVAL;
    case RAFT_NODE_REMOVE: return server != NULL ? 0 : -EINVAL;
    }
    MUST_NOT_REACH();
}

static int status_of(int raft_code)
{
    if (raft_code == 0) return 0;
    return raft_code == RAFT_NOCONNECTION ? -ETIMEDOUT : -EIO;
}

static void on_changed(struct raft_change *req, int status)
{
    struct raft_node *node = req->data;
    if (!node->change.flying) return; /* Given up before. */
    node->change.flying = false;
    node->change.finished = true;
    node->change.status = status_of(status);
    node_wake(node);
}

static int submit(struct raft_node *node, const struct raft_node_peer *what, enum raft_node_change change)
{
    struct raft *r = &node->raft;
    struct raft_change *req = &node->change.req;
    switch (change) {
    case RAFT_NODE_ADD: return raft_add(r, req, what->id, what->address, on_changed);
    case RAFT_NODE_TO_STANDBY: return raft_assign(r, req, what->id, RAFT_STANDBY, on_changed);
    case RAFT_NODE_TO_VOTER: return raft_assign(r, req, what->id, RAFT_VOTER, on_changed);
    case RAFT_NODE_REMOVE: return raft_remove(r, req, what->id, on_changed);
    }
    MUST_NOT_REACH();
}

int raft_node_change(struct raft_node *node, const struct raft_node_peer *what, enum raft_node_change change,
                     raft_node_done_fn *done, void *arg)
{
    struct change *c = &node->change;
    if (node->closing || node->failure[0] != '\0' || raft_state(&node->raft) != RAFT_LEADER) return -ENOTCONN;
    if (node->established_term != RAFT_COMPAT_TERM(&node->raft)) return -ENOTCONN;
    if (c->flying || c->finished || c->confirming || node->transfer.flying) return -EBUSY;
    int rc = check_change(node, what, change);
    if (rc != 0) return rc;
    memset(&c->req, 0, sizeof c->req);
    c->req.data = node;
    c->flying = true;
    c->done = done;
    c->arg = arg;
    c->since_ms = uv_now(node->loop);
    int rv = submit(node, what, change);
    if (rv == 0) return 0;
    c->flying = false;
    RAFT_COMPAT_CHANGE(&node->raft) = NULL; /* raft_assign() leaves it set. */
    if (rv == RAFT_NOTLEADER) return -ENOTCONN;
    return rv == RAFT_CANTCHANGE ? -EBUSY : -EAGAIN;
}

static void tell(struct raft_node *node, int status, uint64_t index)
{
    struct change *c = &node->change;
    c->flying = c->finished = c->confirming = false;
    c->done(c->arg, status, index);
}

static void on_confirmed(void *arg, int status, uint64_t index)
{
    struct raft_node *node = arg;
    if (!node->change.confirming) return;
    tell(node, status == 0 ? 0 : -EIO, index);
}

void node_deliver_change(struct raft_node *node)
{
    struct change *c = &node->change;
    if (!c->finished) return;
    c->finished = false;
    c->confirming = true;
    if (c->status != 0) tell(node, c->status, 0);
    else if (raft_node_barrier(node, on_confirmed, node) != 0) tell(node, -EIO, 0);
}

void node_drain_change(struct raft_node *node)
{
    struct change *c = &node->change;
    if (c->flying || c->finished || c->confirming) tell(node, -EIO, 0);
}

/* From now on an empty raft/ means that the log was lost. */
static void end_joining(struct raft_node *node)
{
    struct err e = {0};
    node->identity.joining = false;
    if (storage_save(node->data_dir, &node->identity, &e) != 0) node_fail(node, "%.350s", e.text);
    else log_info("raft.joined", "id=%" PRIu64 " group=%016" PRIx64, node->config.id, node->identity.group_id);
}

void node_members_tick(struct raft_node *node)
{
    struct change *c = &node->change;
    if (node->closing) return;
    transport_drop_removed(&node->transport);
    if (node->identity.joining && node->raft.configuration.n > 0 && node->raft.last_stored > 0) end_joining(node);
    if (!c->flying || uv_now(node->loop) - c->since_ms < CHANGE_MS) return;
    RAFT_COMPAT_CHANGE(&node->raft) = NULL;
    c->flying = false;
    c->finished = true;
    c->status = -EIO;
    node_wake(node);
}

/* --- hand-over ---------------------------------------------------------------------------------------------------- */

static void on_transferred(struct raft_transfer *req)
{
    struct raft_node *node = req->data;
    node->transfer.draining = false;
    node->transfer.finished = true;
    node_wake(node);
}

static void transfer_submit(struct raft_node *node)
{
    struct transfer *t = &node->transfer;
    memset(&t->req, 0, sizeof t->req);
    t->req.data = node;
    t->draining = false; /* libraft refuses proposals from here on. */
    if (raft_transfer(&node->raft, &t->req, t->target, on_transferred) != 0) on_transferred(&t->req);
}

void node_transfer_tick(struct raft_node *node)
{
    struct transfer *t = &node->transfer;
    raft_index match = 0;
    if (!t->draining || node->closing) return;
    bool leads = raft_state(&node->raft) == RAFT_LEADER;
    if (leads) (void)raft_match_index(&node->raft, t->target, &match);
    bool late = uv_now(node->loop) - t->since_ms > node->config.election_timeout_ms;
    if (leads && match == raft_last_index(&node->raft)) transfer_submit(node);
    else if (!leads || late) on_transferred(&t->req);
}

static uint64_t choose_target(struct raft_node *node)
{
    struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX];
    const struct raft_node_peer *best = NULL;
    bool settled;
    unsigned n = raft_node_peers(node, peers, &settled);
    for (unsigned i = 0; i < n; i++) {
        const struct raft_node_peer *p = &peers[i];
        bool hears = p->contact_ms >= 0 && p->contact_ms < (int64_t)node->config.election_timeout_ms;
        if (p->id == node->config.id || p->role != RAFT_NODE_VOTER || !hears) continue;
        if (best == NULL || p->match_index > best->match_index) best = p;
    }
    return best == NULL ? 0 : best->id;
}

int raft_node_transfer(struct raft_node *node, uint64_t id, raft_node_done_fn *done, void *arg)
{
    struct transfer *t = &node->transfer;
    if (node->closing || node->failure[0] != '\0' || raft_state(&node->raft) != RAFT_LEADER) return -ENOTCONN;
    if (t->flying || node->change.flying) return -EBUSY;
    if (id == 0) id = choose_target(node);
    const struct raft_server *server = id == node->config.id ? NULL : find_server(node, id);
    if (server == NULL || server->role != RAFT_VOTER) return -EINVAL;
    t->target = id;
    t->done = done;
    t->arg = arg;
    t->req.data = node;
    t->flying = t->draining = true;
    t->since_ms = uv_now(node->loop);
    node_transfer_tick(node);
    return 0;
}

void node_deliver_transfer(struct raft_node *node)
{
    struct transfer *t = &node->transfer;
    raft_id leader = 0;
    const char *address = NULL;
    if (node->closing && t->flying) t->finished = true;
    if (!t->finished) return;
    t->flying = t->finished = t->draining = false;
    if (!node->closing) raft_leader(&node->raft, &leader, &address);
    t->done(t->arg, node->closing ? -EIO : leader == t->target ? 0 : -ETIMEDOUT, 0);
}
