/* What a manager tells the leader of itself: which program it runs, and which versions that speaks (fsm/version.h). */
#ifndef REGENT_PROTO_HELLO_H
#define REGENT_PROTO_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { HELLO_PROGRAM_SIZE = 32 };

struct hello {
    uint64_t manager_id; /* 0: nobody. */
    char program[HELLO_PROGRAM_SIZE];
    uint32_t version_min, version_max;
    int64_t not_after_s; /* End of the certificate of the connection that it came on; not said in it. 0: no TLS. */
};

/* This program's, for manager 'id'. */
struct hello hello_own(uint64_t id);
/* Packs it; '*data' is malloc'd, the caller frees it. -ENOMEM. */
int hello_encode(const struct hello *hello, void **data, size_t *size) MUST_CHECK;
/* Hostile bytes: -EPROTO with a text, and the output is all zero. Refuses an id of 0 and a range that is none. */
int hello_decode(struct hello *hello, const void *data, size_t size, struct err *e) MUST_CHECK;

#endif
