/* The disk of one simulated manager: what libraft stored there, and the writes that are on their way.
 *
 * Term and vote are written at once (raft_uv writes them synchronously). Log appends, truncations and snapshots are
 * writes in order, each done after a time of its own; what was submitted and not done when the process dies is there
 * up to a random one of them, and nothing behind it: an append is one batch with a checksum, so a torn one is as good
 * as none. disk_arm_crash() ends the process at its n-th write from now, in the middle of an event.
 *
 * Failure modes: full (appends within the reserve still work: raft_uv writes into prepared segments), slow. */
#ifndef REGENT_SIM_DISK_H
#define REGENT_SIM_DISK_H

#include "raft/compat.h"
#include "raft/seal.h"
#include "sim/env.h"

struct disk_entry {
    raft_term term;
    int type;
    size_t size;
    void *data;
};

struct disk_snapshot {
    raft_index index;
    raft_term term;
    raft_index configuration_index;
    size_t configuration_size, size;
    void *configuration, *data;
};

enum disk_kind { DISK_APPEND = 1, DISK_TRUNCATE, DISK_SNAPSHOT };

/* One write on its way. */
struct disk_write {
    struct disk_write *next;
    enum disk_kind kind;
    raft_index index; /* APPEND: of the first entry; TRUNCATE: first that goes. */
    struct disk_entry *entries;
    unsigned n;
    struct disk_snapshot snapshot;
    unsigned trailing;
    int64_t done_us;
    void *request; /* The backend's. */
    bool is_void;  /* Submitted by a process that had crashed in this very event: it never reached the disk. */
};

struct disk {
    raft_term term;
    raft_id vote;
    uint64_t version; /* Of term and vote. */
    struct seal_state seal, seal_durable; /* raft/seal.h; 'durable' is what a loss of power leaves. */
    raft_index first; /* Of the log; entries[0]. */
    struct disk_entry *entries;
    size_t n, room;
    struct disk_snapshot snapshot; /* index 0: none. */
    struct disk_write *writes, **writes_tail;
    struct rng rng;
    uint32_t fsync_us, jitter_us, extra_us;
    bool is_full;
    unsigned crash_in; /* The n-th write from now ends the process; 0: none. */
};

/* A new disk that holds the first configuration. */
void disk_init(struct disk *disk, uint64_t seed, unsigned index, const struct raft_configuration *first);
void disk_free(struct disk *disk);

/* Index of the log's last entry; first - 1 when it is empty. */
raft_index disk_last(const struct disk *disk);
/* Counts a write. True when the armed crash is now: the caller ends the process, and whether this write is done is up
 * to chance. */
bool disk_crashes_now(struct disk *disk);
/* Submits a write; takes over what it holds. It is to be ended by disk_done() at write->done_us. */
struct disk_write *disk_submit(struct disk *disk, const struct disk_write *write, int64_t now_us);
/* The oldest write is done: it is on disk. Frees it. */
void disk_done(struct disk *disk);
/* The process died: some of the writes on their way are done, the others are not; without power, what was not fsynced
 * may be gone as well. */
void disk_crash(struct disk *disk, bool power_lost);

#endif
