/* The disk of one simulated manager. See disk.h. */
#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size ? size : 1);
    MUST(copy);
    if (size) memcpy(copy, data, size);
    return copy;
}

static void entries_free(struct disk_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) free(entries[i].data);
}

static void snapshot_free(struct disk_snapshot *snapshot)
{
    free(snapshot->configuration);
    free(snapshot->data);
    memset(snapshot, 0, sizeof *snapshot);
}

static void write_free(struct disk_write *write)
{
    entries_free(write->entries, write->n);
    free(write->entries);
    snapshot_free(&write->snapshot);
    free(write);
}

static void disk_add(struct disk *disk, struct disk_entry *entry)
{
    if (disk->n == disk->room) {
        disk->room = disk->room ? disk->room * 2 : 64;
        disk->entries = realloc(disk->entries, disk->room * sizeof *disk->entries);
        MUST(disk->entries);
    }
    disk->entries[disk->n++] = *entry;
    *entry = (struct disk_entry){0};
}

void disk_init(struct disk *disk, uint64_t seed, unsigned index, const struct raft_configuration *first)
{
    struct raft_buffer buf;
    memset(disk, 0, sizeof *disk);
    rng_init(&disk->rng, seed, "disk", index);
    disk->writes_tail = &disk->writes;
    disk->first = 1;
    disk->term = 1;
    disk->version = 1;
    disk->seal = (struct seal_state){.id = index + 1, .version = 1, .term = 1, .index = 1};
    disk->seal_durable = disk->seal;
    disk->fsync_us = 500;
    disk->jitter_us = 500;
    MUST(raft_configuration_encode(first, &buf) == 0);
    struct disk_entry entry = {1, RAFT_CHANGE, buf.len, copy_of(buf.base, buf.len)};
    raft_free(buf.base);
    disk_add(disk, &entry);
}

void disk_free(struct disk *disk)
{
    while (disk->writes) {
        struct disk_write *write = disk->writes;
        disk->writes = write->next;
        write_free(write);
    }
    entries_free(disk->entries, disk->n);
    free(disk->entries);
    snapshot_free(&disk->snapshot);
}

raft_index disk_last(const struct disk *disk)
{
    return disk->first + disk->n - 1;
}

bool disk_crashes_now(struct disk *disk)
{
    return disk->crash_in != 0 && --disk->crash_in == 0;
}

struct disk_write *disk_submit(struct disk *disk, const struct disk_write *write, int64_t now_us)
{
    struct disk_write *w = malloc(sizeof *w);
    MUST(w);
    *w = *write;
    w->next = NULL;
    int64_t takes_us = disk->fsync_us + (int64_t)rng_below(&disk->rng, disk->jitter_us + 1u) + disk->extra_us;
    if (w->kind == DISK_SNAPSHOT) takes_us *= 4;
    int64_t from_us = now_us;
    for (const struct disk_write *other = disk->writes; other; other = other->next) from_us = other->done_us;
    w->done_us = (from_us > now_us ? from_us : now_us) + takes_us;
    *disk->writes_tail = w;
    disk->writes_tail = &w->next;
    return w;
}

static void drop_before(struct disk *disk, raft_index index)
{
    size_t gone = index > disk->first ? (size_t)(index - disk->first) : 0;
    if (gone > disk->n) gone = disk->n;
    entries_free(disk->entries, gone);
    memmove(disk->entries, disk->entries + gone, (disk->n - gone) * sizeof *disk->entries);
    disk->n -= gone;
    disk->first += gone;
}

static void drop_from(struct disk *disk, raft_index index)
{
    if (index < disk->first) index = disk->first;
    if (index > disk_last(disk)) return;
    size_t left = (size_t)(index - disk->first);
    entries_free(disk->entries + left, disk->n - left);
    disk->n = left;
}

/* As raft_uv: 'trailing' 0 means that a leader sent it, and the whole log goes. */
static void take_snapshot(struct disk *disk, struct disk_write *write)
{
    snapshot_free(&disk->snapshot);
    disk->snapshot = write->snapshot;
    memset(&write->snapshot, 0, sizeof write->snapshot);
    if (write->trailing == 0) {
        drop_from(disk, disk->first);
        disk->first = disk->snapshot.index + 1;
    } else if (disk->snapshot.index > write->trailing) {
        drop_before(disk, disk->snapshot.index - write->trailing + 1);
    }
}

static void apply_oldest(struct disk *disk)
{
    struct disk_write *write = disk->writes;
    disk->writes = write->next;
    if (!disk->writes) disk->writes_tail = &disk->writes;
    switch (write->kind) {
    case DISK_APPEND:
        MUST(write->index == disk_last(disk) + 1);
        for (unsigned i = 0; i < write->n; i++) disk_add(disk, &write->entries[i]);
        break;
    case DISK_TRUNCATE: drop_from(disk, write->index); break;
    case DISK_SNAPSHOT: take_snapshot(disk, write); break;
    }
    write_free(write);
}

void disk_done(struct disk *disk)
{
    MUST(disk->writes);
    apply_oldest(disk);
}

void disk_crash(struct disk *disk, bool power_lost)
{
    unsigned n = 0;
    for (const struct disk_write *w = disk->writes; w && !w->is_void; w = w->next) n++;
    uint64_t done = rng_below(&disk->rng, n + 1u);
    while (done-- > 0) apply_oldest(disk);
    while (disk->writes) {
        struct disk_write *write = disk->writes;
        disk->writes = write->next;
        write_free(write);
    }
    disk->writes_tail = &disk->writes;
    disk->crash_in = 0;
    bool is_forgotten = power_lost && rng_chance(&disk->rng, 500000);
    if (is_forgotten) disk->seal = disk->seal_durable;
}
