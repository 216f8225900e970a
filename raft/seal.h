/* DATA_DIR/seal: what this node has promised, apart from libraft's files and with a checksum.
 *
 * libraft starts on less than was there without a word: its two metadata files (term, vote) have no checksum and an
 * older one stands in for a lost one; an open segment ends where a batch does not fit; open segments carry no index. A
 * node that forgot a vote or an entry that it acknowledged can vote twice, or make a majority for a log that lacks what
 * was committed. So each vote is written here too, and how far the log was durable; preflight.h compares at each start.
 *
 * Order: libraft's metadata first, then the seal, both durable before the vote is sent: metadata may be one version
 * ahead. The log's end is written when libraft says that it is durable, before anything is acknowledged, and left to
 * the kernel to bring to the disk: after a power cut it may be too low, never too high. It is lowered, durably, before
 * the log is cut. The record is one sector of the disk and overwritten in place. */
#ifndef REGENT_RAFT_SEAL_H
#define REGENT_RAFT_SEAL_H

#include <stdint.h>

#include "lib/base/err.h"

struct seal_state {
    uint64_t id;      /* Of the node. */
    uint64_t version; /* Of libraft's metadata. */
    uint64_t term, vote;
    uint64_t index;      /* The log is durable up to here. */
    uint64_t index_term; /* Term of that entry; 0: not known. */
};

struct seal {
    int fd; /* -1: not open. */
    struct seal_state state;
};

/* Reads DATA_DIR/seal. -ENOENT there is none; -EBADMSG it is damaged. */
int seal_read(const char *dir, struct seal_state *out, struct err *e) MUST_CHECK;
/* Writes DATA_DIR/seal anew, durably, whole or not at all. For a directory that no node runs on. */
int seal_create(const char *dir, const struct seal_state *state, struct err *e) MUST_CHECK;
/* Opens the seal that is there for writing; 'state' as seal_read() gave it. */
int seal_open(struct seal *seal, const char *dir, const struct seal_state *state, struct err *e) MUST_CHECK;
void seal_close(struct seal *seal);

/* Metadata of the next version is durable. Returns 0 or negative errno: then the node must stop. */
int seal_vote(struct seal *seal, uint64_t term, uint64_t vote) MUST_CHECK;
/* The log will be cut before 'index' (and may end there at any moment from now on). As seal_vote(). */
int seal_lower(struct seal *seal, uint64_t index) MUST_CHECK;
/* The log is durable up to 'index'. A failure leaves the seal too low, which is safe, and is not told. */
void seal_raise(struct seal *seal, uint64_t index, uint64_t term);

#endif
