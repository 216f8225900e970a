/* What a node's data directory holds, read without libraft: terms and votes, log entries, snapshots.
 *
 * For the check before each start (preflight.h) and for the offline tools. Reads and changes nothing; the caller holds
 * the directory's lock. Every length, count and checksum is checked before it is used; what libraft's own loader would
 * pass over or crash on is a finding here. Nothing outside raft/ knows the format of these files. */
#ifndef REGENT_RAFT_LOG_READ_H
#define REGENT_RAFT_LOG_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "raft/storage.h"

enum {
    LOG_MEMBERS_MAX = 16,
    LOG_SNAPSHOTS_MAX = 8,
    LOG_NAME_SIZE = 96,
    LOG_PROBLEM_SIZE = 320,
};

/* As in libraft. */
enum log_role { LOG_STANDBY = 0, LOG_VOTER = 1, LOG_SPARE = 2 };

struct log_member {
    uint64_t id;
    char address[128];
    enum log_role role;
};

struct log_configuration {
    uint64_t index; /* Of the log entry that it is from. */
    unsigned n;
    struct log_member members[LOG_MEMBERS_MAX];
};

struct log_snapshot {
    char name[LOG_NAME_SIZE]; /* "snapshot-TERM-INDEX-TIME", in raft/. */
    uint64_t term, index, stamp;
    struct log_configuration configuration;
    uint8_t *data; /* The replicated state as bytes. */
    size_t size;
    char problem[LOG_PROBLEM_SIZE]; /* Not empty: damaged; data and configuration are not there. */
};

enum log_entry_kind { LOG_ENTRY_COMMAND = 1, LOG_ENTRY_BARRIER = 2, LOG_ENTRY_CHANGE = 3 };

struct log_entry {
    uint64_t index, term;
    enum log_entry_kind kind;
    const uint8_t *data; /* A command's bytes as they were proposed; an encoded configuration; nothing (NULL). */
    size_t size;
};

struct log_image {
    char dir[STORAGE_PATH_MAX];
    uint64_t metadata_version, term, vote; /* 0, 0, 0: none. */
    unsigned snapshots_n;                  /* Oldest first; the last one is the start of the state. */
    struct log_snapshot snapshots[LOG_SNAPSHOTS_MAX];
    uint64_t start_index; /* Of the first entry; also when there is none. */
    size_t entries_n;
    struct log_entry *entries; /* One after the other, without a gap. */
    /* Not empty: what is wrong, as a sentence that begins with the file. Entries before it are good; a node must not
     * start on this. */
    char problem[LOG_PROBLEM_SIZE];
    unsigned problems_n; /* Found in all; 'problem' is the first. */
    size_t entries_room;
    void **buffers; /* Files that the entries point into. */
    size_t buffers_n, buffers_room, bytes;
};

/* Reads DATA_DIR/raft. Returns 0 with '*out' (log_image_free()), also when it is damaged: then out->problem says how.
 * Negative errno with a text when it can not be read at all: -ENOENT no such directory, -ENOMEM, -EACCES, -EFBIG. */
int log_read(const char *data_dir, struct log_image **out, struct err *e) MUST_CHECK;
void log_image_free(struct log_image *image);

/* The newest snapshot, or NULL. */
const struct log_snapshot *log_newest(const struct log_image *image);
/* Index of the last entry or, without entries behind it, of the newest snapshot; 0: nothing is there. */
uint64_t log_last_index(const struct log_image *image);
/* Term of the entry or the newest snapshot at 'index'; 0: not known. */
uint64_t log_term_at(const struct log_image *image, uint64_t index);
/* The entry at 'index', or NULL. */
const struct log_entry *log_entry_at(const struct log_image *image, uint64_t index);
/* Decodes the data of an entry LOG_ENTRY_CHANGE. False when it is malformed. */
bool log_configuration_decode(const void *data, size_t size, struct log_configuration *out);

#endif
