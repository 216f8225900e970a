/* Digests of the replicated state, taken, counted and compared. See agreement.h. */
#include "manager/agreement.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/log.h"

static struct agreement_digest *own_of(struct agreement *a, uint64_t index)
{
    struct agreement_digest *d = &a->own[index / AGREEMENT_EVERY % AGREEMENT_KEPT];
    return index != 0 && d->index == index ? d : NULL;
}

void agreement_look(struct agreement *a, const struct fsm_state *state, uint64_t index)
{
    uint64_t at = (index - 1) / AGREEMENT_EVERY * AGREEMENT_EVERY;
    /* The state is as it was at 'at': what lies between are entries that are no commands. */
    if (at == 0 || state->index > at || a->newest >= at) return;
    struct agreement_digest *d = &a->own[at / AGREEMENT_EVERY % AGREEMENT_KEPT];
    memset(d, 0, sizeof *d);
    if (!proto_state_digest(state, d->digest)) return;
    d->index = at;
    a->newest = at;
}

bool agreement_own(const struct agreement *a, struct agreement_digest *out)
{
    if (a->newest <= a->decided) return false;
    *out = a->own[a->newest / AGREEMENT_EVERY % AGREEMENT_KEPT];
    return out->index != 0;
}

void agreement_report(struct agreement *a, uint64_t id, const struct agreement_digest *digest)
{
    unsigned at = RAFT_NODE_MEMBERS_MAX;
    if (id == 0) return;
    for (unsigned i = RAFT_NODE_MEMBERS_MAX; i-- > 0;) {
        if (a->reports[i].id == id) at = i;
        if (a->reports[i].id == 0 && at == RAFT_NODE_MEMBERS_MAX) at = i;
    }
    if (at == RAFT_NODE_MEMBERS_MAX) at = (unsigned)(id % RAFT_NODE_MEMBERS_MAX); /* Members came and went. */
    a->reports[at].id = id;
    a->reports[at].digest = *digest;
}

/* What member 'id' has at 'index', or NULL. */
static const struct agreement_digest *told_by(struct agreement *a, const struct raft_node_status *status, uint64_t id,
                                              uint64_t index)
{
    if (id == status->id) return own_of(a, index);
    for (unsigned i = 0; i < RAFT_NODE_MEMBERS_MAX; i++) {
        if (a->reports[i].id == id && a->reports[i].digest.index == index) return &a->reports[i].digest;
    }
    return NULL;
}

/* How many voters have the digest of 'as' at that index. '*told': how many have any. */
static unsigned count_equal(struct agreement *a, const struct raft_node_status *status,
                            const struct agreement_digest *as, unsigned *told)
{
    unsigned equal = 0;
    *told = 0;
    for (unsigned i = 0; i < status->members_n; i++) {
        const struct agreement_digest *d = told_by(a, status, status->members[i].id, as->index);
        if (d == NULL) continue;
        (*told)++;
        equal += memcmp(d->digest, as->digest, sizeof d->digest) == 0;
    }
    return equal;
}

bool agreement_wish(struct agreement *a, const struct raft_node_status *status, struct fsm_cmd_digest *out)
{
    unsigned told = 0;
    bool seen = false;
    for (unsigned i = 0; i < status->members_n; i++) {
        const struct agreement_digest *d = told_by(a, status, status->members[i].id, a->newest);
        if (d == NULL || d->index <= a->decided) continue;
        seen = true;
        if (count_equal(a, status, d, &told) <= status->members_n / 2) continue;
        out->index = d->index;
        memcpy(out->digest, d->digest, sizeof out->digest);
        return true;
    }
    if (seen && told == status->members_n && a->doubted != a->newest) {
        a->doubted = a->newest;
        log_err("agreement.no_majority", "index=%" PRIu64 " text=\"the managers' states differ at this index and no "
                "majority is equal: stop them one by one, and run `regent log check` on their data directories\"",
                a->newest);
    }
    return false;
}

static void add_hex(struct text *t, const uint8_t *digest)
{
    for (unsigned i = 0; i < PROTO_DIGEST_SIZE; i++) text_addf(t, "%02x", digest[i]);
}

int agreement_check(struct agreement *a, const struct fsm_cmd_digest *digest, const char *data_dir, struct err *e)
{
    char mine[2 * PROTO_DIGEST_SIZE + 1], theirs[2 * PROTO_DIGEST_SIZE + 1];
    const struct agreement_digest *own = own_of(a, digest->index);
    struct text t = TEXT_ON(mine), u = TEXT_ON(theirs);
    if (digest->index > a->decided) a->decided = digest->index;
    if (own == NULL || memcmp(own->digest, digest->digest, sizeof own->digest) == 0) return 0;
    add_hex(&t, own->digest);
    add_hex(&u, digest->digest);
    return err_set(e, -EBADMSG, "this manager's state is not that of the group: digest %s at index %" PRIu64 ", a "
                   "majority has %s; it stops. See `regent log check` on data directories of stopped managers; if this "
                   "comes back after a restart, move %.60s away and re-add it under a new id", mine, digest->index,
                   theirs, data_dir);
}
