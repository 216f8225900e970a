/* What the offline log commands share. */
#ifndef REGENT_CMD_LOG_H
#define REGENT_CMD_LOG_H

#include "raft/log_read.h"
#include "raft/seal.h"

enum { LOG_DIRS_MAX = 7, LOG_DIGEST_TEXT_SIZE = 65 };

/* A data directory that is locked and read. */
struct log_dir {
    const char *path; /* As it was given. */
    int lock_fd;
    struct storage_identity identity; /* id 0: its file 'node' can not be read. */
    struct log_image *image;
};

/* Locks and reads; says on stderr what is wrong. False: nothing is open, and a directory that is no manager's is as it
 * was. Damage of the log is in image->problem. */
bool log_dir_open(struct log_dir *d, const char *path);
void log_dir_close(struct log_dir *d);

/* What managers compare (proto_state_digest) as text. False: no memory. */
struct fsm_state;
bool log_state_digest(const struct fsm_state *state, char to[LOG_DIGEST_TEXT_SIZE]);

#endif
