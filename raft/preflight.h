/* The check of a data directory before libraft opens it. Private to raft/. */
#ifndef REGENT_RAFT_PREFLIGHT_H
#define REGENT_RAFT_PREFLIGHT_H

#include "raft/log_read.h"
#include "raft/seal.h"

/* Reads all that libraft will read and compares it with the seal. Returns 0 with the seal as it is; -EBADMSG with the
 * operator's text when something is damaged, or less than this node has promised is there: a vote or acknowledged
 * entries. Makes the seal of a node that never ran (bootstrapped or to join). Nothing else is changed, so that what is
 * left can be looked at (`regent log dump`). */
int preflight(const char *dir, uint64_t id, struct seal_state *seal, struct err *e) MUST_CHECK;

/* Compares an image without a problem; 0, or -EBADMSG with the text. */
int preflight_compare(const struct log_image *image, const struct seal_state *seal, struct err *e) MUST_CHECK;

#endif
