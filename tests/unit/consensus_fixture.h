/* Members of raft_fixture.h that hold the replicated state: each is a struct consensus, as in regentd. */
#ifndef REGENT_TESTS_CONSENSUS_FIXTURE_H
#define REGENT_TESTS_CONSENSUS_FIXTURE_H

#include "tests/unit/raft_fixture.h"

#include "lib/base/text.h"
#include "manager/consensus.h"
#include "proto/convert.h"

static void consensus_applied(void *arg)
{
    (void)arg;
}

static struct raft_node *consensus_member_start(struct member *m, struct err *e)
{
    const struct consensus_hooks hooks = {m, consensus_applied, hook_wake, hook_fatal};
    struct consensus *c = consensus_start(&m->f->loop, &m->config, &hooks, e);
    m->owner = c;
    return c != NULL ? consensus_node(c) : NULL;
}

static void consensus_member_free(struct member *m)
{
    consensus_free(m->owner);
    m->owner = NULL;
}

/* What manager/peers.c does: the others tell the leader the digests of their states. */
static void relay_digests(struct fixture *f)
{
    struct agreement_digest digest;
    struct member *leader = fixture_leader(f);
    for (unsigned i = 0; i < f->n && leader != NULL; i++) {
        struct member *m = &f->members[i];
        if (m->node == NULL || m == leader || !consensus_digest(m->owner, &digest)) continue;
        consensus_report(leader->owner, m->config.id, &digest);
    }
    if (leader != NULL) consensus_run(leader->owner);
}

static inline struct fixture *consensus_fixture_new(unsigned n)
{
    struct fixture *f = fixture_new(n);
    f->start = consensus_member_start;
    f->free_owner = consensus_member_free;
    f->after_turn = relay_digests;
    return f;
}

static inline const struct fsm_state *member_state(const struct member *m)
{
    return consensus_state(m->owner);
}

/* True when both have the same state, byte by byte as their snapshots. */
static inline bool same_state(const struct member *a, const struct member *b)
{
    void *x = NULL, *y = NULL;
    size_t n = 0, k = 0;
    assert_int_equal(proto_snapshot_encode(member_state(a), &x, &n), 0);
    assert_int_equal(proto_snapshot_encode(member_state(b), &y, &k), 0);
    bool same = n == k && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

static unsigned event_extra; /* More bytes of evidence in each event of commit_events(). */

/* A command: an event with 'evidence_n' bytes of evidence. */
static inline void fill_event(struct fsm_command *c, uint64_t seq, unsigned evidence_n)
{
    memset(c, 0, sizeof *c);
    /* Each is committed behind the index of its number, and 64 are under way at most. */
    c->id = (struct fsm_request_id){77, seq, seq > 64 ? seq - 64 : 0};
    c->time.us = (int64_t)seq * 1000;
    c->kind = CMD_EVENT;
    (void)TEXT_COPY(c->u.event.kind, "test");
    (void)snprintf(c->u.event.text, sizeof c->u.event.text, "command %" PRIu64, seq);
    memset(c->u.event.evidence, 'e', evidence_n < FSM_EVIDENCE_SIZE - 1 ? evidence_n : FSM_EVIDENCE_SIZE - 1);
}

/* Commits 'n' more events, numbered from '*seq' on; an unknown outcome is repeated under the same id. */
static inline void commit_events(struct fixture *f, unsigned n, uint64_t *seq)
{
    int64_t deadline = now_ms() + WAIT_MS;
    for (unsigned done = 0; done < n;) {
        unsigned sent = 0, before = f->acks + f->unknown + f->refused, acks = f->acks;
        struct member *leader = fixture_leader(f);
        if (now_ms() > deadline) fail_msg("only %u of %u events committed", done, n);
        for (; leader != NULL && sent < 64 && done + sent < n; sent++) {
            static struct fsm_command c;
            void *data = NULL;
            size_t size = 0;
            fill_event(&c, *seq + sent + 1, event_extra + (unsigned)((*seq + sent) % 200));
            assert_int_equal(proto_command_encode(&c, &data, &size), 0);
            int rc = raft_node_propose(leader->node, data, size, on_proposed, f);
            free(data);
            if (rc != 0) break;
        }
        do fixture_turn(f);
        while (f->acks + f->unknown + f->refused - before < sent);
        if (f->acks - acks != sent) continue; /* All again: the dedup window takes care. */
        *seq += sent;
        done += sent;
    }
}

/* All running members have applied all that the leader has, and have its state. */
static inline bool states_are_settled(struct fixture *f)
{
    struct member *leader = fixture_leader(f);
    if (leader == NULL || leader->status.applied_index < leader->status.last_index) return false;
    for (unsigned i = 0; i < f->n; i++) {
        if (f->members[i].node == NULL) continue;
        if (f->members[i].status.applied_index != leader->status.applied_index) return false;
    }
    return true;
}

#endif
