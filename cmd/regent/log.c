/* `regent log`: what its commands share: a data directory, opened without a manager, under its lock. */
#include "cmd/regent/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/convert.h"
#include "raft/storage.h"

static bool fail(const char *path, const struct err *e)
{
    fprintf(stderr, "regent: %s: %s\n", path, e->text);
    return false;
}

bool log_dir_open(struct log_dir *d, const char *path)
{
    struct err e = {0};
    *d = (struct log_dir){.path = path};
    if (!storage_has_log(path)) {
        (void)err_set(&e, -ENOENT, "it is no data directory of a manager: it has no directory raft/");
        return fail(path, &e);
    }
    d->lock_fd = storage_lock(path, &e);
    if (d->lock_fd < 0) return fail(path, &e);
    if (storage_read(path, &d->identity, &e) != 0) {
        fail(path, &e); /* The log may be good: go on. */
        d->identity.id = 0;
    }
    if (log_read(path, &d->image, &e) == 0) return true;
    close(d->lock_fd);
    return fail(path, &e);
}

void log_dir_close(struct log_dir *d)
{
    log_image_free(d->image);
    close(d->lock_fd);
}

bool log_state_digest(const struct fsm_state *state, char to[LOG_DIGEST_TEXT_SIZE])
{
    uint8_t hash[PROTO_DIGEST_SIZE];
    if (!proto_state_digest(state, hash)) return false;
    for (unsigned i = 0; i < sizeof hash; i++) (void)snprintf(to + 2 * i, 3, "%02x", hash[i]);
    return true;
}
