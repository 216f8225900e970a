/* The members of the group, on its leader. See members.h. */
#include "manager/members.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"

enum { WAIT_MS = 50, RETRY_MS = 1000, BACKGROUND_MS = 1000 };

/* --- what is to be done: PURE ---------------------------------------------------------------------------------------
 * */

bool members_is_live(const struct members_sight *sight, const struct raft_node_peer *peer)
{
    return peer->contact_ms >= 0 && peer->contact_ms <= sight->live_ms;
}

static const struct raft_node_peer *find_peer(const struct members_sight *s, uint64_t id)
{
    for (unsigned i = 0; i < s->peers_n; i++) {
        if (s->peers[i].id == id) return &s->peers[i];
    }
    return NULL;
}

static const char *name_of(const struct members_sight *s, const struct raft_node_peer *peer)
{
    const struct fsm_member *row = fsm_member_find(s->state, peer->id);
    return row != NULL ? row->name : peer->address;
}

bool members_may_leave(const struct members_sight *sight, uint64_t id, struct text *why)
{
    const struct raft_node_peer *leaving = find_peer(sight, id);
    char buffer[FSM_TEXT_SIZE];
    struct text silent = TEXT_ON(buffer);
    unsigned remaining = 0, live = 0;
    if (leaving == NULL || leaving->role != RAFT_NODE_VOTER) return true;
    for (unsigned i = 0; i < sight->peers_n; i++) {
        const struct raft_node_peer *p = &sight->peers[i];
        if (p == leaving || p->role != RAFT_NODE_VOTER) continue;
        remaining++;
        live += members_is_live(sight, p);
        if (!members_is_live(sight, p)) text_addf(&silent, "%s%s", silent.len > 0 ? ", " : "", name_of(sight, p));
    }
    if (live > remaining / 2) return true;
    if (remaining == 0) {
        text_addf(why, "%s is the last voter", name_of(sight, leaving));
        return false;
    }
    text_addf(why, "of the %u voters that would remain %u answer%s, and %u must: bring back %s first, or remove a dead "
              "member instead of %s", remaining, live, live == 1 ? "s" : "", remaining / 2 + 1, buffer,
              name_of(sight, leaving));
    return false;
}

static void record(struct members_todo *out, enum fsm_member_act act, uint64_t id, enum fsm_member_role role)
{
    out->step = MEMBERS_RECORD;
    out->command.act = act;
    out->command.id = id;
    out->command.role = role;
}

static void record_first(const struct raft_node_status *status, struct members_todo *out)
{
    struct fsm_cmd_member *c = &out->command;
    record(out, MEMBER_ACT_FIRST, 0, fsm_member_role_none);
    for (unsigned i = 0; i < status->members_n && i < FSM_MEMBERS_MAX; i++) {
        c->members[i].id = status->members[i].id;
        TEXT_COPY(c->members[i].name, status->members[i].name);
        TEXT_COPY(c->members[i].address, status->members[i].address);
        c->members_n++;
    }
}

/* A row that the configuration does not have (any more, or yet). */
static void next_absent(const struct fsm_member *row, struct members_todo *out)
{
    if (row->want == MEMBER_GONE) {
        record(out, MEMBER_ACT_IS, row->id, MEMBER_GONE);
    } else if (row->role == MEMBER_JOINING) {
        out->step = MEMBERS_CHANGE;
        out->change = RAFT_NODE_ADD;
        out->peer.id = row->id;
        TEXT_COPY(out->peer.address, row->address);
    } else {
        record(out, MEMBER_ACT_WANT, row->id, MEMBER_GONE); /* Lost by a recovery of the group: its id is used up. */
    }
}

static void change(struct members_todo *out, const struct raft_node_peer *peer, enum raft_node_change what)
{
    out->step = MEMBERS_CHANGE;
    out->change = what;
    out->peer = *peer;
}

/* Makes a voter something less, or takes a member away. */
static void next_leave(const struct members_sight *s, const struct raft_node_status *status,
                       const struct fsm_member *row, struct members_todo *out)
{
    const struct raft_node_peer *peer = find_peer(s, row->id);
    char buffer[FSM_TEXT_SIZE];
    struct text why = TEXT_ON(buffer);
    bool may_leave = members_may_leave(s, row->id, &why);
    if (!may_leave && s->is_new) {
        out->waiting = true;
    } else if (!may_leave) {
        record(out, MEMBER_ACT_KEEP, row->id, fsm_member_role_none);
        TEXT_COPY(out->command.reason, buffer);
    } else if (row->id == status->id) {
        out->step = MEMBERS_HAND_OVER;
    } else {
        change(out, peer, row->want == MEMBER_GONE ? RAFT_NODE_REMOVE : RAFT_NODE_TO_STANDBY);
    }
}

/* A standby becomes a voter when it answers and is not far behind: until then it would only weaken the group. */
static void next_promote(const struct members_sight *s, const struct raft_node_status *status,
                         const struct raft_node_peer *peer, struct members_todo *out)
{
    bool near = peer->match_index > 0 && status->last_index < peer->match_index + MEMBERS_LAG_MAX;
    if (members_is_live(s, peer) && near) change(out, peer, RAFT_NODE_TO_VOTER);
    else out->waiting = true;
}

static void next_row(const struct members_sight *s, const struct raft_node_status *status,
                     const struct fsm_member *row, struct members_todo *out)
{
    const struct raft_node_peer *peer = find_peer(s, row->id);
    if (peer == NULL) {
        next_absent(row, out);
        return;
    }
    enum fsm_member_role found = peer->role == RAFT_NODE_VOTER ? MEMBER_VOTER : MEMBER_STANDBY;
    if (row->want == MEMBER_GONE || (found == MEMBER_VOTER && row->want == MEMBER_STANDBY)) {
        next_leave(s, status, row, out);
    } else if (peer->role == RAFT_NODE_SPARE) {
        change(out, peer, RAFT_NODE_TO_STANDBY);
    } else if (found != row->role) {
        record(out, MEMBER_ACT_IS, row->id, found);
    } else if (found == MEMBER_STANDBY && row->want == MEMBER_VOTER) {
        next_promote(s, status, peer, out);
    }
}

void members_next(const struct members_sight *sight, const struct raft_node_status *status, struct members_todo *out)
{
    const struct fsm_state *state = sight->state;
    memset(out, 0, sizeof *out);
    if (state->members_next == 0) {
        record_first(status, out);
        return;
    }
    for (uint8_t i = 0; i < state->members_n && out->step == MEMBERS_NOTHING; i++) {
        next_row(sight, status, &state->members[i], out);
    }
}

/* --- doing it -------------------------------------------------------------------------------------------------------
 * */

struct members {
    struct consensus *consensus;
    int64_t live_ms;
    bool busy; /* A proposal, a change or a hand-over is under way. */
    struct mono not_before;
    uint64_t term;         /* Led now, */
    struct mono led_since; /* since then. */
    struct fsm_request_id id;
    struct members_todo todo;
};

int64_t members_live_ms(uint32_t election_ms)
{
    return 2 * (int64_t)election_ms > MEMBERS_LIVE_MIN_MS ? 2 * (int64_t)election_ms : MEMBERS_LIVE_MIN_MS;
}

struct members *members_new(struct consensus *consensus, uint32_t election_ms)
{
    struct members *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->consensus = consensus;
    m->live_ms = members_live_ms(election_ms);
    m->id.client = clock_random() | 1;
    m->not_before = clock_mono();
    return m;
}

static void finished(struct members *m, int status)
{
    m->busy = false;
    m->not_before = mono_add_ms(clock_mono(), status == 0 ? 0 : RETRY_MS);
}

static void on_proposed(void *arg, int status, const struct fsm_result *result)
{
    struct members *m = arg;
    bool refused = status == 0 && result->code != FSM_OK;
    if (refused) log_warn("members.refused", "text=\"%s\"", result->text);
    finished(m, refused ? -1 : status);
}

static void on_changed(void *arg, int status, uint64_t index)
{
    struct members *m = arg;
    (void)index;
    if (status != 0)
        log_warn("members.change_failed", "id=%" PRIu64 " change=%d errno=%d text=\"a change of the group did not go "
                 "through; it is tried again\"", m->todo.peer.id, (int)m->todo.change, -status);
    finished(m, status);
}

static void on_handed_over(void *arg, int status, uint64_t index)
{
    (void)index;
    if (status != 0) log_warn("members.hand_over_failed", "text=\"no other voter took over; it is tried again\"");
    finished(arg, status);
}

static int propose(struct members *m)
{
    static struct fsm_command command; /* Large; loop thread only. */
    memset(&command, 0, sizeof command);
    m->id.seq++;
    m->id.since = consensus_state(m->consensus)->index;
    command.id = m->id;
    command.time = clock_wall();
    command.kind = CMD_MEMBER;
    command.u.member = m->todo.command;
    return consensus_propose(m->consensus, &command, on_proposed, m);
}

static void do_it(struct members *m)
{
    struct raft_node *node = consensus_node(m->consensus);
    int rc = 0;
    m->busy = true;
    switch (m->todo.step) {
    case MEMBERS_NOTHING: m->busy = false; return;
    case MEMBERS_RECORD: rc = propose(m); break;
    case MEMBERS_HAND_OVER: rc = raft_node_transfer(node, 0, on_handed_over, m); break;
    case MEMBERS_CHANGE:
        log_info("members.change", "id=%" PRIu64 " change=%d", m->todo.peer.id, (int)m->todo.change);
        rc = raft_node_change(node, &m->todo.peer, m->todo.change, on_changed, m);
        break;
    }
    if (rc != 0) finished(m, rc);
}

int64_t members_run(struct members *members, const struct raft_node_status *status)
{
    struct members *m = members;
    struct raft_node_peer peers[RAFT_NODE_MEMBERS_MAX];
    bool settled;
    if (!status->established || m->busy) return -1;
    int64_t left_ms = mono_since_ms(m->not_before, clock_mono());
    if (left_ms > 0) return left_ms;
    struct members_sight sight = {.state = consensus_state(m->consensus), .peers = peers, .live_ms = m->live_ms};
    sight.peers_n = raft_node_peers(consensus_node(m->consensus), peers, &settled);
    if (!settled) return WAIT_MS;
    if (m->term != status->term) m->led_since = clock_mono();
    m->term = status->term;
    sight.is_new = mono_since_ms(clock_mono(), m->led_since) < m->live_ms;
    members_next(&sight, status, &m->todo);
    do_it(m);
    if (m->busy) return -1;
    return m->todo.step != MEMBERS_NOTHING || m->todo.waiting ? WAIT_MS : BACKGROUND_MS;
}

void members_free(struct members *members)
{
    free(members);
}
