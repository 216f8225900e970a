/* Fuzz: libraft's files as the offline reader takes them (raft/log_read.h): segments, a snapshot's meta data, metadata.
 *
 * Input: u8 which file | u8 last index of a closed segment | the file. Checksums are made right first, as far as the
 * lengths lead to them: else hardly an input would come further than to the first one. */

#include "lib/base/bytes.h"
#include "raft/log_internal.h"
#include "raft/node_frame.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/fuzz.h"

enum { OPEN, CLOSED, META, TERMS, FILES_N, FILE_MAX = 16 << 10 };

static struct fuzz_dir dir;

static void remove_dir(void)
{
    fuzz_dir_end(&dir);
}

/* Batches from byte 8 on: CRC of the header, CRC of the data, count, 16 bytes for each entry, their data. */
static void mend_segment(uint8_t *file, size_t size)
{
    for (size_t at = 8; size >= 16 && at <= size - 16;) {
        uint64_t n = bytes_u64(file + at + 8), total = 0;
        size_t left = size - at - 16;

        if (n == 0 || n > left / 16) return;
        bytes_put_u32(file + at, log_crc(0, file + at + 8, 8 + 16 * (size_t)n));
        for (uint64_t i = 0; i < n; i++) total += bytes_u32(file + at + 16 + 16 * i + 12);
        if (total > left - 16 * n) return;
        bytes_put_u32(file + at + 4, log_crc(0, file + at + 16 + 16 * n, (size_t)total));
        at += 16 + 16 * (size_t)n + (size_t)total;
    }
}

static void mend_meta(uint8_t *file, size_t size)
{
    if (size < 32 || bytes_u64(file + 24) > size - 32) return;
    bytes_put_u64(file + 8, log_crc(0, file + 16, 16 + (size_t)bytes_u64(file + 24)));
}

/* All that the image says can be read, and holds together. */
static void check(const struct log_image *image)
{
    static volatile uint8_t sink;

    MUST(FUZZ_IS_TEXT(image->problem) && (image->problems_n > 0) == (image->problem[0] != '\0'));
    for (size_t i = 0; i < image->entries_n; i++) {
        const struct log_entry *e = &image->entries[i];

        MUST(e->index == image->start_index + i && e->term > 0 && (i == 0 || e->term >= e[-1].term));
        MUST(log_entry_at(image, e->index) == e && (e->data != NULL || e->size == 0));
        for (size_t k = 0; k < e->size; k++) sink = (uint8_t)(sink ^ e->data[k]);
    }
    for (unsigned i = 0; i < image->snapshots_n; i++) {
        const struct log_snapshot *s = &image->snapshots[i];

        MUST(FUZZ_IS_TEXT(s->name) && FUZZ_IS_TEXT(s->problem) && s->configuration.n <= LOG_MEMBERS_MAX);
        MUST(s->problem[0] == '\0' || s->data == NULL);
        for (unsigned k = 0; k < s->configuration.n; k++) MUST(FUZZ_IS_TEXT(s->configuration.members[k].address));
    }
}

static bool read_back(int which)
{
    struct log_image *image = NULL;
    struct err e = {0};
    bool taken = false;
    int rv = log_read(dir.path, &image, &e);

    MUST(rv <= 0 && (rv == 0) == (image != NULL));
    if (rv != 0) {
        MUST(e.text[0] != '\0');
        return false;
    }
    check(image);
    if (which == OPEN || which == CLOSED) taken = image->entries_n > 0;
    else if (which == META) taken = image->snapshots_n == 1 && image->snapshots[0].problem[0] == '\0';
    else taken = image->metadata_version > 0;
    log_image_free(image);
    return taken;
}

static bool run(const uint8_t *data, size_t size)
{
    static const uint8_t terms[32] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    static uint8_t file[FILE_MAX];
    int which = fuzz_take(&data, &size) % FILES_N;
    unsigned last = fuzz_take(&data, &size);
    char name[LOG_NAME_SIZE];
    bool taken;

    if (size > sizeof(file)) return false;
    memcpy(file, data, size);
    if (dir.path[0] == '\0') {
        fuzz_dir_make(&dir, "raft");
        (void)atexit(remove_dir);
    }
    if (which == OPEN) (void)snprintf(name, sizeof(name), "open-1");
    else if (which == CLOSED) (void)snprintf(name, sizeof(name), "%016u-%016u", 1, last);
    else if (which == META) (void)snprintf(name, sizeof(name), "snapshot-1-%u-1.meta", last);
    else (void)snprintf(name, sizeof(name), "metadata1");
    if (which == OPEN || which == CLOSED) mend_segment(file, size);
    if (which == META) {
        mend_meta(file, size);
        name[strlen(name) - 5] = '\0';
        fuzz_dir_put(&dir, name, "state", 5);
        name[strlen(name)] = '.';
    }
    fuzz_dir_put(&dir, "metadata2", terms, sizeof(terms));
    fuzz_dir_put(&dir, name, file, size);
    taken = read_back(which);
    fuzz_dir_drop(&dir, name);
    fuzz_dir_drop(&dir, "metadata2");
    if (which == META) {
        name[strlen(name) - 5] = '\0';
        fuzz_dir_drop(&dir, name);
    }
    return taken;
}

/* --- seeds --- */

static uint8_t bytes[1024];
static size_t bytes_n;

static void begin(uint8_t which, uint8_t last)
{
    memset(bytes, 0, sizeof(bytes));
    bytes[0] = which;
    bytes[1] = last;
    bytes_put_u64(bytes + 2, LOG_FORMAT);
    bytes_n = 10;
}

/* One batch of one entry. Checksums are made by run(). */
static void add_batch(uint64_t term, enum log_entry_kind kind, const uint8_t *data, uint32_t size)
{
    uint8_t *b = bytes + bytes_n;

    bytes_put_u64(b + 8, 1);
    bytes_put_u64(b + 16, term);
    b[24] = (uint8_t)kind;
    bytes_put_u32(b + 28, size);
    memcpy(b + 32, data, size);
    bytes_n += 32 + size;
}

/* Two members, as libraft encodes them. */
static uint32_t configuration(uint8_t to[64])
{
    memset(to, 0, 64);
    to[0] = 1;
    bytes_put_u64(to + 1, 2);
    bytes_put_u64(to + 9, 1);
    memcpy(to + 17, "a:1", 4);
    to[21] = LOG_VOTER;
    bytes_put_u64(to + 22, 2);
    memcpy(to + 30, "b:1", 4);
    to[34] = LOG_SPARE;
    return 40;
}

static void seed(void)
{
    static const uint8_t command[16] = {5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'}, barrier[8];
    uint8_t members[64];
    uint32_t members_n = configuration(members);

    for (uint8_t which = OPEN; which <= CLOSED; which++) {
        begin(which, 3);
        add_batch(1, LOG_ENTRY_CHANGE, members, members_n);
        add_batch(1, LOG_ENTRY_BARRIER, barrier, sizeof(barrier));
        add_batch(2, LOG_ENTRY_COMMAND, command, sizeof(command));
        if (which == OPEN) bytes_n += 64; /* It was made in full size. */
        fuzz_put(bytes, bytes_n);
    }
    begin(META, 9);
    bytes_put_u64(bytes + 18, 1);
    bytes_put_u64(bytes + 26, members_n);
    memcpy(bytes + 34, members, members_n);
    fuzz_put(bytes, 34 + members_n);
    begin(TERMS, 0);
    bytes_put_u64(bytes + 10, 4);
    bytes_put_u64(bytes + 18, 7);
    bytes_put_u64(bytes + 26, 1);
    fuzz_put(bytes, 34);
}

FUZZ_TARGET(log_files, run, seed)
