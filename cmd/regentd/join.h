/* regentd --join: becomes a member of a group that exists.
 *
 * Happy path: the token file is read; the data directory gets a nonce of its own; the leader is asked, which admits
 * this manager with the id that the token reserved; the directory is made whole; regentd then starts as always, gets
 * the log from the leader, and is made a voter by it. Failure modes: each has one text, and nothing but the nonce is
 * left. The same directory may repeat its join after a crash at any point: the nonce tells that it is the same. Once it
 * is joined, --join does nothing, and the token is not needed any more. */
#ifndef REGENT_CMD_REGENTD_JOIN_H
#define REGENT_CMD_REGENTD_JOIN_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "manager/config.h"

struct join_options {
    const char *addresses;  /* Of managers, with commas between. */
    const char *token_file;
    bool standby;           /* Not to be made a voter. */
};

/* Returns 0 when the data directory of 'config' is that of a member. */
int join(const struct config *config, const struct join_options *options, struct err *e) MUST_CHECK;

#endif
