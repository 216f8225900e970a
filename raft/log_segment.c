/* One segment of libraft's log: u64 format, then batches until the end of the file (closed) or the first place that is
 * no batch (open: the file was made in full size, of zeros).
 *
 * A batch: u32 CRC of the header, u32 CRC of the data; header: u64 n, n times (u64 term, u8 kind, 3 bytes, u32 size);
 * data: n times the entry, each filled up to 8 bytes. All numbers are little endian.
 *
 * A batch that was being written when the machine went down ends an open segment; libraft passes over it, since nobody
 * was told that it is there. Whether it was is for preflight.c to know. All other damage is noted. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft/log_internal.h"
#include "raft/node_frame.h"

enum { FORMAT_SIZE = 8, CRCS_SIZE = 8, COUNT_SIZE = 8, ENTRY_HEADER_SIZE = 16, BATCH_ENTRIES_MAX = (8 << 20) / 32 };

uint32_t log_crc(uint32_t crc, const void *data, size_t size)
{
    static uint32_t table[256];
    const uint8_t *bytes = data;
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i << 24;
            for (int bit = 0; bit < 8; bit++) c = (c & 0x80000000u) != 0 ? c << 1 ^ 0x04c11db7u : c << 1;
            table[i] = c;
        }
    }
    for (size_t i = 0; i < size; i++) crc = crc << 8 ^ table[(crc >> 24 ^ bytes[i]) & 0xff];
    return crc;
}

/* A segment that is being read. */
struct reader {
    struct log_image *image;
    const struct log_segment *segment;
    const uint8_t *data;
    size_t size, at;
    uint64_t index; /* Of the next entry. */
};

enum batch_end {
    BATCH_GOOD,
    BATCH_BAD,   /* What libraft passes over at the end of an open segment. */
    BATCH_FATAL, /* What it refuses, or frees twice. */
    BATCH_NO_MEMORY,
};

static bool has(const struct reader *r, size_t at, size_t n)
{
    return at <= r->size && n <= r->size - at;
}

/* True when the batch at r->at is whole; '*n' entries, '*data_size' bytes behind the header. */
static enum batch_end check_batch(const struct reader *r, uint64_t *n, size_t *data_size)
{
    const uint8_t *batch = r->data + r->at;
    if (!has(r, r->at, CRCS_SIZE + COUNT_SIZE)) return BATCH_FATAL;
    *n = bytes_u64(batch + CRCS_SIZE);
    if (*n == 0 || *n > BATCH_ENTRIES_MAX) return BATCH_BAD;
    size_t header_size = COUNT_SIZE + (size_t)*n * ENTRY_HEADER_SIZE;
    if (!has(r, r->at, CRCS_SIZE + header_size)) return BATCH_FATAL;
    if (bytes_u32(batch) != log_crc(0, batch + CRCS_SIZE, header_size)) return BATCH_BAD;
    const uint8_t *header = batch + CRCS_SIZE + COUNT_SIZE;
    uint64_t total = 0;
    for (uint64_t i = 0; i < *n; i++, header += ENTRY_HEADER_SIZE) {
        uint32_t size = bytes_u32(header + 12);
        if (header[8] < LOG_ENTRY_COMMAND || header[8] > LOG_ENTRY_CHANGE || size % 8 != 0) return BATCH_FATAL;
        total += size;
    }
    *data_size = (size_t)total;
    if (!has(r, r->at + CRCS_SIZE + header_size, (size_t)total)) return BATCH_FATAL;
    return bytes_u32(batch + 4) == log_crc(0, batch + CRCS_SIZE + header_size, (size_t)total) ? BATCH_GOOD : BATCH_BAD;
}

static struct log_entry *new_entry(struct log_image *image)
{
    if (image->entries_n == image->entries_room) {
        size_t room = image->entries_room == 0 ? 1024 : 2 * image->entries_room;
        struct log_entry *entries = realloc(image->entries, room * sizeof *entries);
        if (entries == NULL) return NULL;
        image->entries = entries;
        image->entries_room = room;
    }
    return &image->entries[image->entries_n++];
}

/* Fills an entry from its header and its bytes. False, and noted, when it can not be one of ours. */
static bool fill_entry(const struct reader *r, struct log_entry *entry, const uint8_t *header, const uint8_t *data)
{
    struct log_image *image = r->image;
    uint64_t before = image->entries_n > 1 ? entry[-1].term : 0;
    struct log_configuration configuration;
    *entry = (struct log_entry){.index = r->index, .term = bytes_u64(header), .kind = (enum log_entry_kind)header[8],
                                .data = data, .size = bytes_u32(header + 12)};
    const char *why = NULL;
    if (entry->term < before || entry->term == 0) why = "has a lower term than the one before it";
    if (entry->kind == LOG_ENTRY_COMMAND) {
        entry->size = node_framed_size(data, entry->size);
        entry->data = data + NODE_FRAME_SIZE;
        if (entry->size == 0) why = "is no command of Regent";
    } else if (entry->kind == LOG_ENTRY_BARRIER) {
        entry->data = NULL;
        entry->size = 0;
    } else if (!log_configuration_decode(data, entry->size, &configuration)) {
        why = "is no configuration";
    }
    if (why != NULL) log_problem(image, "%s: entry %" PRIu64 " %s", r->segment->name, r->index, why);
    return why == NULL;
}

static enum batch_end read_batch(struct reader *r)
{
    uint64_t n = 0;
    size_t data_size = 0;
    enum batch_end end = check_batch(r, &n, &data_size);
    if (end != BATCH_GOOD) return end;
    const uint8_t *header = r->data + r->at + CRCS_SIZE + COUNT_SIZE;
    const uint8_t *data = header + n * ENTRY_HEADER_SIZE;
    for (uint64_t i = 0; i < n; i++, header += ENTRY_HEADER_SIZE) {
        struct log_entry *entry = new_entry(r->image);
        if (entry == NULL) return BATCH_NO_MEMORY;
        if (!fill_entry(r, entry, header, data)) {
            r->image->entries_n--;
            return BATCH_FATAL;
        }
        data += bytes_u32(header + 12);
        r->index++;
    }
    r->at += CRCS_SIZE + COUNT_SIZE + (size_t)n * ENTRY_HEADER_SIZE + data_size;
    return BATCH_GOOD;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0) return false;
    }
    return true;
}

static int read_open(struct reader *r, bool *cut)
{
    const char *name = r->segment->name;
    *cut = true;
    if (r->size == 0) return 0;
    if (r->size >= FORMAT_SIZE && is_zero(r->data, r->size)) return 0; /* Made and never written. */
    if (r->size < FORMAT_SIZE || bytes_u64(r->data) != LOG_FORMAT) {
        log_problem(r->image, "%s: it does not begin as a segment", name);
        return 0;
    }
    r->at = FORMAT_SIZE;
    while (r->at < r->size) {
        size_t at = r->at;
        enum batch_end end = read_batch(r);
        if (end == BATCH_NO_MEMORY) return -ENOMEM;
        if (end == BATCH_GOOD) continue;
        *cut = !is_zero(r->data + at, r->size - at);
        if (end == BATCH_FATAL) {
            log_problem(r->image, "%s: the batch at byte %zu, entry %" PRIu64 ", is no whole one", name, at, r->index);
        }
        return 0;
    }
    *cut = false;
    return 0;
}

static int read_closed(struct reader *r)
{
    const struct log_segment *s = r->segment;
    if (r->size < FORMAT_SIZE || bytes_u64(r->data) != LOG_FORMAT) {
        log_problem(r->image, "%s: it does not begin as a segment", s->name);
        return 0;
    }
    r->at = FORMAT_SIZE;
    do {
        size_t at = r->at;
        enum batch_end end = read_batch(r);
        if (end == BATCH_NO_MEMORY) return -ENOMEM;
        if (end == BATCH_GOOD) continue;
        log_problem(r->image, "%s: the batch at byte %zu, entry %" PRIu64 ", is damaged", s->name, at, r->index);
        return 0;
    } while (r->at < r->size);
    if (r->index != s->end + 1) {
        log_problem(r->image, "%s: its last entry is %" PRIu64 ", not %" PRIu64, s->name, r->index - 1, s->end);
    }
    return 0;
}

/* Keeps 'data' until the image is freed. */
static int keep(struct log_image *image, uint8_t *data)
{
    if (image->buffers_n == image->buffers_room) {
        size_t room = image->buffers_room == 0 ? 64 : 2 * image->buffers_room;
        void **buffers = realloc(image->buffers, room * sizeof *buffers);
        if (buffers == NULL) {
            free(data);
            return -ENOMEM;
        }
        image->buffers = buffers;
        image->buffers_room = room;
    }
    image->buffers[image->buffers_n++] = data;
    return 0;
}

int log_segment_read(struct log_image *image, const struct log_segment *segment, bool *cut)
{
    uint8_t *data = NULL;
    struct reader r = {.image = image, .segment = segment, .index = image->start_index + image->entries_n};
    int rc = log_read_file(image, segment->name, LOG_SEGMENT_BYTES_MAX, &data, &r.size);
    *cut = false;
    if (rc == -EFBIG || rc == -ENOENT) {
        log_problem(image, "%s: %s", segment->name, rc == -EFBIG ? "it is too large" : "it is gone");
        return 0;
    }
    if (rc == 0) rc = keep(image, data);
    if (rc != 0) return rc;
    image->bytes += r.size;
    if (image->bytes > LOG_BYTES_MAX) return -EFBIG;
    r.data = data;
    return segment->open ? read_open(&r, cut) : read_closed(&r);
}
