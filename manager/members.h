/* The members of the group, on its leader: works towards what the table of members wants (fsm/members.c), one change of
 * Raft's configuration at a time.
 *
 * Happy path of a new member: its join is committed (row "joining") -> added to the configuration as a spare ->
 * standby, gets the log -> caught up -> voter; each found state is recorded in the table. Of one that goes: removed
 * from the configuration -> its row goes; the leader itself hands over first, and the next leader removes it. Failure
 * modes:
 * - leadership lost at any point: the next leader compares table and configuration, and goes on;
 * - a removal or demotion that would leave too few live voters: given up, recorded as "member.kept" with the numbers;
 * - a member that does not answer is not promoted: it stays a standby until it answers;
 * - a change that libraft gives up or loses: again after a pause.
 * Loop thread only. */
#ifndef REGENT_MANAGER_MEMBERS_H
#define REGENT_MANAGER_MEMBERS_H

#include "lib/base/text.h"
#include "manager/consensus.h"

enum { MEMBERS_LIVE_MIN_MS = 1000, MEMBERS_LAG_MAX = 1000 };

/* What the leader sees of the members. */
struct members_sight {
    const struct fsm_state *state;
    const struct raft_node_peer *peers;
    unsigned peers_n;
    int64_t live_ms; /* Who was heard within is live. */
    bool is_new;     /* This leader leads for less than that: who was not heard may only not have spoken to it yet. */
};

/* True when the group keeps a majority of live voters without 'id' as a voter. Else 'why' gets the numbers and what to
 * do. Issue 3: "refused when the remaining live voters would not be a majority of the remaining voters". PURE. */
bool members_may_leave(const struct members_sight *sight, uint64_t id, struct text *why);

/* True when 'peer' was heard within sight->live_ms. PURE. */
bool members_is_live(const struct members_sight *sight, const struct raft_node_peer *peer);

/* The next thing to do about the table and the configuration. PURE: filled by members_next(). */
enum members_step {
    MEMBERS_NOTHING, /* ... or to wait for something. */
    MEMBERS_RECORD,  /* Propose 'command'. */
    MEMBERS_CHANGE,  /* Make 'change' of 'peer'. */
    MEMBERS_HAND_OVER,
};
struct members_todo {
    enum members_step step;
    bool waiting; /* Something is wanted that can not be done yet: look again soon. */
    struct fsm_cmd_member command;
    struct raft_node_peer peer;
    enum raft_node_change change;
};
void members_next(const struct members_sight *sight, const struct raft_node_status *status, struct members_todo *out);

struct members;

/* How long ago a live member was heard at most. */
int64_t members_live_ms(uint32_t election_ms);

/* Borrows 'consensus'. NULL when memory is out. */
struct members *members_new(struct consensus *consensus, uint32_t election_ms);
/* Once a round. Returns in how many ms to look again; -1: when something changes. */
int64_t members_run(struct members *members, const struct raft_node_status *status);
/* After the consensus has ended all proposals. */
void members_free(struct members *members);

#endif
