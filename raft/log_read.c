/* The offline reader: lists DATA_DIR/raft, then reads what libraft's loader would read, in its order.
 *
 * Happy path: the newest snapshot, the closed segments that join on to it, the open ones behind them. Failure modes:
 * damage is noted in the image and ends the reading there; so is what libraft would take for good and number wrongly
 * (an open segment carries no index: a missing one before it would give its entries the indexes of others). */
#include "raft/log_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "raft/log_internal.h"

enum { METADATA_SIZE = 32, INDEX_DIGITS = 16 };

/* What is in the directory. */
struct listing {
    struct log_segment *segments;
    size_t segments_n, room;
};

void log_problem(struct log_image *image, const char *format, ...)
{
    va_list ap;
    if (image->problems_n++ > 0) return;
    va_start(ap, format);
    (void)vsnprintf(image->problem, sizeof image->problem, format, ap);
    va_end(ap);
}

/* Reads to the end, at most 'size' bytes. */
static int read_all(int fd, uint8_t *to, size_t *size)
{
    size_t have = 0;
    while (have < *size) {
        ssize_t n = read(fd, to + have, *size - have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        have += (size_t)n;
    }
    *size = have;
    return 0;
}

int log_read_file(const struct log_image *image, const char *name, size_t max, uint8_t **data, size_t *size)
{
    char path[STORAGE_PATH_MAX + LOG_NAME_SIZE + 16];
    struct stat st;
    *data = NULL;
    *size = 0;
    (void)snprintf(path, sizeof path, "%s/raft/%s", image->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return -errno;
    int rc = fstat(fd, &st) != 0 ? -errno : !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max ? -EFBIG : 0;
    if (rc == 0) {
        *size = (size_t)st.st_size;
        *data = malloc(*size + 1);
        rc = *data == NULL ? -ENOMEM : read_all(fd, *data, size);
    }
    (void)close(fd);
    if (rc == 0) return 0;
    free(*data);
    *data = NULL;
    return rc;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

/* Reads a decimal and moves '*at' behind it. */
static bool take_number(const char **at, uint64_t *out)
{
    char digits[24];
    size_t n = strspn(*at, "0123456789");
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, *at, n);
    digits[n] = '\0';
    *at += n;
    return text_to_u64(digits, out);
}

static bool take_text(const char **at, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*at, text, n) != 0) return false;
    *at += n;
    return true;
}

static bool parse_segment(const char *name, struct log_segment *s)
{
    const char *at = name;
    memset(s, 0, sizeof *s);
    if (!TEXT_COPY(s->name, name)) return false;
    s->open = take_text(&at, "open-");
    if (s->open) return take_number(&at, &s->counter) && *at == '\0';
    return strcspn(name, "-") >= INDEX_DIGITS && take_number(&at, &s->first) && take_text(&at, "-") &&
           take_number(&at, &s->end) && *at == '\0';
}

/* The name of a snapshot's meta data; 's->name' becomes that of its state. */
static bool parse_snapshot(const char *name, struct log_snapshot *s)
{
    const char *at = name;
    memset(s, 0, sizeof *s);
    if (!take_text(&at, "snapshot-") || !take_number(&at, &s->term) || !take_text(&at, "-")) return false;
    if (!take_number(&at, &s->index) || !take_text(&at, "-") || !take_number(&at, &s->stamp)) return false;
    size_t n = (size_t)(at - name);
    if (strcmp(at, ".meta") != 0 || n >= sizeof s->name) return false;
    memcpy(s->name, name, n);
    return true;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_segments(const void *a, const void *b)
{
    const struct log_segment *x = a, *y = b;
    if (x->open != y->open) return x->open ? 1 : -1;
    if (x->open) return compare_u64(x->counter, y->counter);
    int c = compare_u64(x->first, y->first);
    return c != 0 ? c : compare_u64(x->end, y->end);
}

static int compare_snapshots(const void *a, const void *b)
{
    const struct log_snapshot *x = a, *y = b;
    int c = compare_u64(x->term, y->term);
    if (c == 0) c = compare_u64(x->index, y->index);
    return c != 0 ? c : compare_u64(x->stamp, y->stamp);
}

/* --- listing ---------------------------------------------------------------------------------------------------- */

/* Libraft passes over a snapshot without bytes: it was being written when the machine went down. */
static bool has_bytes(const struct log_image *image, const char *name)
{
    char path[STORAGE_PATH_MAX + LOG_NAME_SIZE + 16];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/raft/%s", image->dir, name);
    return stat(path, &st) == 0 && st.st_size > 0;
}

static int add_segment(struct listing *list, const struct log_segment *s)
{
    if (list->segments_n == LOG_SEGMENTS_MAX) return -EFBIG;
    if (list->segments_n == list->room) {
        size_t room = list->room == 0 ? 64 : 2 * list->room;
        struct log_segment *segments = realloc(list->segments, room * sizeof *segments);
        if (segments == NULL) return -ENOMEM;
        list->segments = segments;
        list->room = room;
    }
    list->segments[list->segments_n++] = *s;
    return 0;
}

static int list_name(struct log_image *image, struct listing *list, const char *name)
{
    struct log_segment segment;
    struct log_snapshot snapshot;
    if (parse_segment(name, &segment)) return add_segment(list, &segment);
    if (!parse_snapshot(name, &snapshot) || !has_bytes(image, snapshot.name)) return 0;
    if (image->snapshots_n == LOG_SNAPSHOTS_MAX) return -EFBIG;
    image->snapshots[image->snapshots_n++] = snapshot;
    return 0;
}

static int list_all(struct log_image *image, struct listing *list, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    int rc = storage_path(path, image->dir, "raft", e);
    if (rc != 0) return rc;
    DIR *d = opendir(path);
    if (d == NULL) return err_errno(e, -errno, "open %s", path);
    for (struct dirent *entry = readdir(d); entry != NULL && rc == 0; entry = readdir(d)) {
        rc = list_name(image, list, entry->d_name);
    }
    closedir(d);
    if (rc != 0) return err_errno(e, rc, "list %s", path);
    if (list->segments_n > 0) qsort(list->segments, list->segments_n, sizeof *list->segments, compare_segments);
    qsort(image->snapshots, image->snapshots_n, sizeof *image->snapshots, compare_snapshots);
    return 0;
}

/* --- metadata --------------------------------------------------------------------------------------------------- */

/* One of the two files; libraft takes a short one for one that was being written. They have no checksum. */
static int read_metadata(struct log_image *image, const char *name, uint64_t *values)
{
    uint8_t *data = NULL;
    size_t size = 0;
    memset(values, 0, 3 * sizeof *values);
    int rc = log_read_file(image, name, METADATA_SIZE, &data, &size);
    if (rc == -ENOENT) return 0;
    if (rc == -EFBIG) log_problem(image, "%s: it is too large", name);
    if (rc != 0) return rc == -EFBIG ? 0 : rc;
    if (size == METADATA_SIZE) {
        for (unsigned i = 0; i < 3; i++) values[i] = bytes_u64(data + 8 + 8 * i);
        if (bytes_u64(data) != LOG_FORMAT || values[0] == 0) log_problem(image, "%s: it is damaged", name);
    }
    free(data);
    return 0;
}

static int read_both_metadata(struct log_image *image)
{
    uint64_t one[3], two[3];
    int rc = read_metadata(image, "metadata1", one);
    if (rc == 0) rc = read_metadata(image, "metadata2", two);
    if (rc != 0) return rc;
    if (one[0] != 0 && one[0] == two[0]) log_problem(image, "metadata1: it has the version of metadata2");
    const uint64_t *newest = one[0] > two[0] ? one : two;
    image->metadata_version = newest[0];
    image->term = newest[1];
    image->vote = newest[2];
    return 0;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static int read_snapshots(struct log_image *image)
{
    int rc = 0;
    for (unsigned i = 0; i < image->snapshots_n && rc == 0; i++) rc = log_snapshot_read(image, &image->snapshots[i]);
    const struct log_snapshot *newest = log_newest(image);
    if (newest != NULL && newest->problem[0] != '\0') log_problem(image, "%s", newest->problem);
    return rc;
}

/* Drops the closed segments that libraft drops: those before a gap, and those before a snapshot that was installed.
 * Sets where the entries begin. */
static void choose_segments(struct log_image *image, struct listing *list)
{
    const struct log_snapshot *newest = log_newest(image);
    uint64_t index = newest != NULL ? newest->index : 0;
    size_t closed = 0, from;
    image->start_index = index + 1;
    while (closed < list->segments_n && !list->segments[closed].open) closed++;
    if (closed == 0) return;
    if (newest != NULL && closed == list->segments_n && list->segments[closed - 1].end < index) {
        list->segments_n = 0;
        return;
    }
    for (from = closed - 1; from > 0; from--) {
        const struct log_segment *older = &list->segments[from - 1], *newer = &list->segments[from];
        if (older->end >= newer->first) log_problem(image, "%s: it overlaps %s", newer->name, older->name);
        if (older->end + 1 != newer->first) break;
    }
    if (list->segments[from].first > index + 1) {
        log_problem(image, "%s: entries %" PRIu64 " to %" PRIu64 " before it are missing", list->segments[from].name,
                    index + 1, list->segments[from].first - 1);
    }
    image->start_index = list->segments[from].first;
    memmove(list->segments, list->segments + from, (list->segments_n - from) * sizeof *list->segments);
    list->segments_n -= from;
}

static int read_segments(struct log_image *image, const struct listing *list)
{
    const struct log_segment *incomplete = NULL;
    unsigned problems_n = image->problems_n; /* Those of other files do not end the reading. */
    for (size_t i = 0; i < list->segments_n && image->problems_n == problems_n; i++) {
        const struct log_segment *s = &list->segments[i];
        size_t before = image->entries_n;
        bool cut = false;
        if (!s->open && (s->first > s->end || s->first != image->start_index + before)) {
            log_problem(image, "%s: its indexes do not follow the entries before it", s->name);
            return 0;
        }
        int rc = log_segment_read(image, s, &cut);
        if (rc != 0) return rc;
        if (incomplete != NULL && image->entries_n > before) {
            log_problem(image, "%s: it has entries, and %s before it has an end that is none", s->name,
                        incomplete->name);
            image->entries_n = before;
        }
        if (cut) incomplete = s;
    }
    return 0;
}

static void check_whole(struct log_image *image)
{
    const struct log_snapshot *newest = log_newest(image);
    uint64_t last = image->start_index + image->entries_n - 1;
    const struct log_entry *entry = log_entry_at(image, last);
    if (newest != NULL && last < newest->index) {
        log_problem(image, "the log ends at %" PRIu64 ", before the snapshot at %" PRIu64, last, newest->index);
    }
    if (newest != NULL) {
        const struct log_entry *at = log_entry_at(image, newest->index);
        if (at != NULL && at->term != newest->term) log_problem(image, "%s: its term is not the log's", newest->name);
    }
    uint64_t term = entry != NULL ? entry->term : newest != NULL ? newest->term : 0;
    if (term > image->term) {
        log_problem(image, "metadata1, metadata2: they are of term %" PRIu64 ", the log of term %" PRIu64, image->term,
                    term);
    }
}

static int read_all_parts(struct log_image *image, struct err *e)
{
    struct listing list = {0};
    int rc = list_all(image, &list, e);
    if (rc == 0) {
        rc = read_both_metadata(image);
        if (rc == 0) rc = read_snapshots(image);
        if (rc == 0) choose_segments(image, &list);
        if (rc == 0) rc = read_segments(image, &list);
        if (rc != 0) (void)err_errno(e, rc, "read %s/raft", image->dir);
    }
    if (rc == 0) check_whole(image);
    free(list.segments);
    return rc;
}

int log_read(const char *data_dir, struct log_image **out, struct err *e)
{
    struct log_image *image = calloc(1, sizeof *image);
    *out = NULL;
    if (image == NULL) return err_set(e, -ENOMEM, "out of memory");
    int rc = TEXT_COPY(image->dir, data_dir) ? read_all_parts(image, e)
                                             : err_errno(e, -ENAMETOOLONG, "read %s", data_dir);
    if (rc != 0) {
        log_image_free(image);
        return rc;
    }
    *out = image;
    return 0;
}

void log_image_free(struct log_image *image)
{
    if (image == NULL) return;
    for (unsigned i = 0; i < image->snapshots_n; i++) free(image->snapshots[i].data);
    for (size_t i = 0; i < image->buffers_n; i++) free(image->buffers[i]);
    free(image->buffers);
    free(image->entries);
    free(image);
}

const struct log_snapshot *log_newest(const struct log_image *image)
{
    return image->snapshots_n > 0 ? &image->snapshots[image->snapshots_n - 1] : NULL;
}

uint64_t log_last_index(const struct log_image *image)
{
    const struct log_snapshot *newest = log_newest(image);
    uint64_t last = image->entries_n > 0 ? image->start_index + image->entries_n - 1 : 0;
    return newest != NULL && newest->index > last ? newest->index : last;
}

const struct log_entry *log_entry_at(const struct log_image *image, uint64_t index)
{
    if (index < image->start_index || index - image->start_index >= image->entries_n) return NULL;
    return &image->entries[index - image->start_index];
}

uint64_t log_term_at(const struct log_image *image, uint64_t index)
{
    const struct log_entry *entry = log_entry_at(image, index);
    const struct log_snapshot *newest = log_newest(image);
    if (entry != NULL) return entry->term;
    return newest != NULL && newest->index == index ? newest->term : 0;
}
