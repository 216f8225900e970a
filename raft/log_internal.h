/* What the files of the offline reader share. Private to raft/. */
#ifndef REGENT_RAFT_LOG_INTERNAL_H
#define REGENT_RAFT_LOG_INTERNAL_H

#include "lib/base/bytes.h"
#include "raft/log_read.h"

enum {
    LOG_FORMAT = 1,                /* Of all files of libraft. */
    LOG_SEGMENTS_MAX = 8192,       /* Each start and each snapshot closes one; trailing entries bound them. */
    LOG_SEGMENT_BYTES_MAX = 16 << 20,
    LOG_SNAPSHOT_BYTES_MAX = 256 << 20,
    LOG_BYTES_MAX = 1 << 30,       /* All segments together. */
};

struct log_segment {
    char name[LOG_NAME_SIZE];
    bool open;
    uint64_t first, end; /* Closed: indexes, both included. */
    uint64_t counter;    /* Open: they were filled in this order. */
};

/* CRC-32 as libraft computes it: polynomial 0x04c11db7, highest bit first, nothing inverted. */
uint32_t log_crc(uint32_t crc, const void *data, size_t size);

/* Notes what is wrong; the first text stays. */
void log_problem(struct log_image *image, const char *format, ...) REGENT_PRINTF(2, 3);

/* Reads DATA_DIR/raft/NAME of at most 'max' bytes into malloc'd memory (at least one byte). -ENOENT, -EFBIG. */
int log_read_file(const struct log_image *image, const char *name, size_t max, uint8_t **data, size_t *size);

/* log_segment.c: reads the entries of one segment behind those that are there. Returns 0 or negative errno; what is
 * wrong with the bytes is noted in the image. '*cut' of an open one: it has an end that is no whole batch. */
int log_segment_read(struct log_image *image, const struct log_segment *segment, bool *cut);

/* log_snapshot.c: reads meta data and bytes of a snapshot whose name is filled in. */
int log_snapshot_read(struct log_image *image, struct log_snapshot *snapshot);

#endif
