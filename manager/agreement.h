/* Agreement checked at run time: do the managers' states stay equal (S4)?
 *
 * At each multiple of AGREEMENT_EVERY in the log each manager takes a digest of its state as it was there, and tells it
 * to the leader. When a majority of the voters has the same digest, the leader puts (index, digest) through the log;
 * each manager compares when it applies that, and one that differs stops itself. So it is never more than a minority
 * that stops, the leader too when it is the one, and a wrong leader cannot stop the others. A manager that has no
 * digest of that index (it restarted, or a snapshot was installed) passes over it. Without a majority nobody stops,
 * and it is logged.
 *
 * Pure of I/O: manager/consensus.c feeds it. Loop thread only. */
#ifndef REGENT_MANAGER_AGREEMENT_H
#define REGENT_MANAGER_AGREEMENT_H

#include "fsm/command.h"
#include "lib/base/err.h"
#include "proto/convert.h"
#include "raft/node.h"

enum { AGREEMENT_EVERY = 1024, AGREEMENT_KEPT = 16 };

struct agreement_digest {
    uint64_t index; /* 0: none. */
    uint8_t digest[PROTO_DIGEST_SIZE];
};

struct agreement {
    struct agreement_digest own[AGREEMENT_KEPT]; /* Ring by index. */
    uint64_t newest;                             /* Of own. */
    uint64_t decided;                            /* Newest index whose digest came through the log. */
    uint64_t doubted;                            /* Newest index without a majority that was logged. */
    struct {
        uint64_t id; /* 0: unused. */
        struct agreement_digest digest;
    } reports[RAFT_NODE_MEMBERS_MAX]; /* The newest of each other member. */
};

/* Before the command at 'index' is applied to 'state': takes the digest at a multiple that lies between the two. */
void agreement_look(struct agreement *a, const struct fsm_state *state, uint64_t index);
/* The newest own digest that the log has not decided; false: none. */
bool agreement_own(const struct agreement *a, struct agreement_digest *out);
/* What another member told. */
void agreement_report(struct agreement *a, uint64_t id, const struct agreement_digest *digest);
/* On the leader: true when a majority of 'voters' has the same digest of an index that is not decided: fills '*out'. */
bool agreement_wish(struct agreement *a, const struct raft_node_status *status, struct fsm_cmd_digest *out);
/* A digest came through the log. 0: equal, or nothing to compare with. -EBADMSG: this manager must stop; 'e' says so,
 * and what to do. 'data_dir' is for the text. */
int agreement_check(struct agreement *a, const struct fsm_cmd_digest *digest, const char *data_dir,
                    struct err *e) MUST_CHECK;

#endif
