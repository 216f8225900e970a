/* What a stopped node's files may go through: seeded flips, truncations, zeroed pages, lost and swapped files.
 *
 * A group of three; one node's directory is copied while it runs (as after a crash: open segments) and after it stopped
 * (closed ones). Each seed puts such a copy back, damages one file, and starts the node: it must catch up and have the
 * state of the others, byte by byte, or refuse to start with a text that says how to come back under a new id. The
 * others go on meanwhile, with a new leader for each seed: a leader would take a node that lost what it acknowledged
 * for a slow one. SEED=n runs one seed. */
#include "tests/unit/consensus_fixture.h"

#include <dirent.h>
#include <signal.h>

#include "raft/log_read.h"

enum { SEEDS = 100, BLOCK = 4096, NAMES_MAX = 64, COPY_MAX = 64 << 20 };

enum file_kind {
    FILE_NODE, FILE_SEAL, FILE_LOCK, FILE_METADATA_NEW, FILE_METADATA_OLD, FILE_SNAPSHOT, FILE_META, FILE_SNAPSHOT_OLD,
    FILE_META_OLD, FILE_CLOSED_FIRST, FILE_CLOSED, FILE_CLOSED_LAST, FILE_OPEN, FILE_PREPARED, FILES_N,
};
static const char *const file_names[] = {
    "node", "seal", "lock", "metadata (new)", "metadata (old)", "snapshot", "snapshot.meta", "snapshot (old)",
    "snapshot.meta (old)", "closed (first)", "closed (any)", "closed (last)", "open", "open (unused)",
};

enum fault_kind {
    FAULT_FLIP, FAULT_FLIPS, FAULT_CUT, FAULT_EMPTY, FAULT_ZERO_TAIL, FAULT_ZERO_PAGE, FAULT_REMOVE, FAULT_SWAP,
    FAULT_SHORTER, FAULTS_N,
};
static const char *const fault_names[] = {
    "bit flipped", "bits flipped", "cut", "emptied", "tail zeroed", "page zeroed", "removed", "swapped",
    "last batches gone",
};

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit == 0 ? 0 : (uint32_t)((random_state >> 16) % limit);
}

/* --- directories ------------------------------------------------------------------------------------------------ */

struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes file_bytes(const char *path)
{
    struct bytes b = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_size < COPY_MAX);
    b.size = (size_t)st.st_size;
    b.data = malloc(b.size + 1);
    assert_int_equal(read(fd, b.data, b.size), b.size);
    (void)close(fd);
    return b;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    (void)close(fd);
}

static void copy_flat(const char *from, const char *to)
{
    DIR *d = opendir(from);
    assert_non_null(d);
    assert_true(mkdir(to, 0700) == 0 || errno == EEXIST);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        char a[600], b[600];
        if (entry->d_type != DT_REG) continue;
        (void)snprintf(a, sizeof a, "%.300s/%.255s", from, entry->d_name);
        (void)snprintf(b, sizeof b, "%.300s/%.255s", to, entry->d_name);
        struct bytes bytes = file_bytes(a);
        write_bytes(b, bytes.data, bytes.size);
        free(bytes.data);
    }
    closedir(d);
}

static void copy_dir(const char *from, const char *to)
{
    char a[400], b[400];
    remove_tree(to);
    copy_flat(from, to);
    (void)snprintf(a, sizeof a, "%.300s/raft", from);
    (void)snprintf(b, sizeof b, "%.300s/raft", to);
    copy_flat(a, b);
}

/* --- which file ------------------------------------------------------------------------------------------------- */

struct names {
    char list[NAMES_MAX][100];
    unsigned n;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Files of DIR/raft that begin with 'prefix' and end with 'suffix', sorted; closed segments begin with a digit. */
static void list_names(const char *dir, const char *prefix, const char *suffix, struct names *out)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%.300s/raft", dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    out->n = 0;
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        const char *name = entry->d_name;
        size_t n = strlen(name), k = strlen(suffix);
        bool closed = strcmp(prefix, "0") == 0 && name[0] >= '0' && name[0] <= '9';
        if (!closed && strncmp(name, prefix, strlen(prefix)) != 0) continue;
        if (n < k || strcmp(name + n - k, suffix) != 0) continue;
        if (k == 0 && strcmp(prefix, "snapshot") == 0 && strstr(name, ".meta") != NULL) continue;
        assert_true(out->n < NAMES_MAX);
        (void)snprintf(out->list[out->n++], sizeof out->list[0], "%.99s", name);
    }
    closedir(d);
    qsort(out->list, out->n, sizeof out->list[0], compare_names);
}

static uint64_t metadata_version(const char *dir, int n)
{
    char path[400];
    uint64_t version = 0;
    (void)snprintf(path, sizeof path, "%.300s/raft/metadata%d", dir, n);
    struct bytes b = file_bytes(path);
    memcpy(&version, b.data + 8, sizeof version);
    free(b.data);
    return version;
}

/* Of an open segment: has it entries? */
static bool is_written(const char *dir, const char *name)
{
    char path[500];
    (void)snprintf(path, sizeof path, "%.300s/raft/%s", dir, name);
    struct bytes b = file_bytes(path);
    bool written = b.size >= 8 && b.data[0] != 0;
    free(b.data);
    return written;
}

/* The path of a file of that kind; false when the copy has none. */
static bool choose_file(const char *dir, enum file_kind kind, char *to, size_t size)
{
    static struct names names;
    const char *name = NULL;
    switch (kind) {
    case FILE_NODE:
    case FILE_SEAL:
    case FILE_LOCK: (void)snprintf(to, size, "%.300s/%s", dir, file_names[kind]); return true;
    case FILE_METADATA_NEW:
    case FILE_METADATA_OLD: {
        bool second = metadata_version(dir, 2) > metadata_version(dir, 1);
        name = second == (kind == FILE_METADATA_NEW) ? "metadata2" : "metadata1";
        break;
    }
    case FILE_SNAPSHOT:
    case FILE_SNAPSHOT_OLD: list_names(dir, "snapshot", "", &names); break;
    case FILE_META:
    case FILE_META_OLD: list_names(dir, "snapshot", ".meta", &names); break;
    case FILE_CLOSED_FIRST:
    case FILE_CLOSED:
    case FILE_CLOSED_LAST: list_names(dir, "0", "", &names); break;
    case FILE_OPEN:
    case FILE_PREPARED: list_names(dir, "open-", "", &names); break;
    case FILES_N: break;
    }
    if (name == NULL && names.n == 0) return false;
    if (kind == FILE_SNAPSHOT || kind == FILE_META || kind == FILE_CLOSED_LAST) name = names.list[names.n - 1];
    if (kind == FILE_SNAPSHOT_OLD || kind == FILE_META_OLD) {
        if (names.n < 2) return false;
        name = names.list[0];
    }
    if (kind == FILE_CLOSED_FIRST) name = names.list[0];
    if (kind == FILE_CLOSED) name = names.list[random_below(names.n)];
    for (unsigned i = 0; i < names.n && (kind == FILE_OPEN || kind == FILE_PREPARED); i++) {
        if (is_written(dir, names.list[i]) == (kind == FILE_OPEN)) name = names.list[i];
    }
    if (name == NULL) return false;
    (void)snprintf(to, size, "%.300s/raft/%s", dir, name);
    return true;
}

/* --- which fault ------------------------------------------------------------------------------------------------ */

static void flip(struct bytes *b, size_t span, unsigned n)
{
    for (unsigned i = 0; i < n && span > 0; i++) {
        b->data[random_below((uint32_t)span)] ^= (uint8_t)(1u << random_below(8));
    }
}

static void zero(struct bytes *b, size_t from, size_t n)
{
    if (from >= b->size) return;
    memset(b->data + from, 0, n < b->size - from ? n : b->size - from);
}

/* Where the batches of a segment begin; returns how many. */
static unsigned batches_of(const struct bytes *b, size_t *starts, unsigned max)
{
    unsigned n = 0;
    size_t at = 8;
    while (at + 16 <= b->size && n < max) {
        uint64_t entries = 0, total = 0;
        memcpy(&entries, b->data + at + 8, sizeof entries);
        if (entries == 0) break;
        for (uint64_t i = 0; i < entries; i++) {
            uint32_t size = 0;
            memcpy(&size, b->data + at + 16 + i * 16 + 12, sizeof size);
            total += size;
        }
        starts[n++] = at;
        at += 16 + entries * 16 + total;
    }
    starts[n] = at;
    return n;
}

static uint64_t entries_in(const struct bytes *b, const size_t *starts, unsigned n)
{
    uint64_t total = 0, entries = 0;
    for (unsigned i = 0; i < n; i++) {
        memcpy(&entries, b->data + starts[i] + 8, sizeof entries);
        total += entries;
    }
    return total;
}

/* Takes the last whole batches away, cleanly: as if their writes had never reached the disk. False: there are none. */
static bool shorten(const char *path)
{
    static size_t starts[4097];
    struct bytes b = file_bytes(path);
    const char *name = strrchr(path, '/') + 1;
    unsigned n = batches_of(&b, starts, 4096);
    unsigned left = n > 1 ? 1 + random_below(n - 1) : 0;
    if (strncmp(name, "open-", 5) == 0) {
        if (n == 0) return false;
        zero(&b, starts[left], b.size);
        write_bytes(path, b.data, b.size);
    } else if (left == 0) {
        assert_int_equal(unlink(path), 0);
    } else {
        unsigned long long first = strtoull(name, NULL, 10);
        char shorter[500];
        (void)snprintf(shorter, sizeof shorter, "%.*s%016llu-%016llu", (int)(name - path), path, first,
                       first + (unsigned long long)entries_in(&b, starts, left) - 1);
        write_bytes(shorter, b.data, starts[left]);
        assert_int_equal(unlink(path), 0);
    }
    free(b.data);
    return true;
}

/* Exchanges the two metadata files, or puts what another member has into this one. */
static bool swap(const struct fixture *f, enum file_kind kind, const char *dir, const char *path)
{
    char one[400], two[400];
    if (kind != FILE_METADATA_NEW && kind != FILE_METADATA_OLD && kind != FILE_SEAL && kind != FILE_NODE) return false;
    if (kind == FILE_METADATA_OLD) {
        (void)snprintf(one, sizeof one, "%.300s/raft/metadata1", dir);
        (void)snprintf(two, sizeof two, "%.300s/raft/metadata2", dir);
    } else {
        (void)snprintf(one, sizeof one, "%.300s", path);
        (void)snprintf(two, sizeof two, "%.100s/m1%.200s", f->dir, path + strlen(dir));
    }
    struct bytes x = file_bytes(one), y = file_bytes(two);
    write_bytes(one, y.data, y.size);
    if (kind == FILE_METADATA_OLD) write_bytes(two, x.data, x.size);
    free(x.data);
    free(y.data);
    return true;
}

/* Damages the file; false when this fault has no meaning for it. */
static bool damage_file(const struct fixture *f, enum file_kind kind, enum fault_kind fault, const char *dir,
                        const char *path)
{
    if (fault == FAULT_SWAP) return swap(f, kind, dir, path);
    if (fault == FAULT_SHORTER) return (kind == FILE_OPEN || kind == FILE_CLOSED_LAST) && shorten(path);
    if (fault == FAULT_REMOVE) return unlink(path) == 0;
    struct bytes b = file_bytes(path);
    size_t starts[65], span = b.size;
    if (kind == FILE_OPEN) span = starts[batches_of(&b, starts, 64)] + 500; /* A megabyte of zeros follows. */
    size_t at = random_below((uint32_t)span), size = b.size;
    switch (fault) {
    case FAULT_FLIP: flip(&b, span, 1); break;
    case FAULT_FLIPS: flip(&b, span, 2 + random_below(20)); break;
    case FAULT_CUT: size = at; break;
    case FAULT_EMPTY: size = 0; break;
    case FAULT_ZERO_TAIL: zero(&b, at, b.size); break;
    case FAULT_ZERO_PAGE: zero(&b, at / BLOCK * BLOCK, BLOCK); break;
    case FAULT_REMOVE:
    case FAULT_SWAP:
    case FAULT_SHORTER:
    case FAULTS_N: break;
    }
    write_bytes(path, b.data, size);
    free(b.data);
    return true;
}

/* --- the group -------------------------------------------------------------------------------------------------- */

struct world {
    struct fixture *f;
    struct member *victim;
    char live[300], stopped[300];
    uint64_t seq;
    unsigned started, refused;
    unsigned outcomes[FILES_N][2];
};

static void on_moved(void *arg, int status, uint64_t index)
{
    (void)status;
    (void)index;
    *(bool *)arg = true;
}

/* Leadership goes to a member other than the victim; how it comes there does not matter. */
static void move_leader(struct world *w)
{
    struct fixture *f = w->f;
    bool moved = false;
    struct member *leader = fixture_elect(f);
    uint64_t target = leader == &f->members[0] ? 2 : 1;
    if (raft_node_transfer(leader->node, target, on_moved, &moved) == 0) WAIT_UNTIL(f, moved);
    fixture_elect(f);
}

/* Snapshots, closed and open segments, several terms, a vote. */
static void world_open(struct world *w, unsigned trailing)
{
    struct fixture *f = consensus_fixture_new(3);
    memset(w, 0, sizeof *w);
    w->f = f;
    w->victim = &f->members[2];
    for (unsigned i = 0; i < 3; i++) {
        f->members[i].config.snapshot_threshold = 50;
        f->members[i].config.snapshot_trailing = trailing;
    }
    fixture_start(f);
    for (unsigned i = 0; i < 4; i++) {
        commit_events(f, 60, &w->seq);
        move_leader(w);
        if (i == 1) {
            member_stop(w->victim);
            member_start(w->victim);
        }
    }
    commit_events(f, 30, &w->seq);
    WAIT_UNTIL(f, states_are_settled(f));
    (void)snprintf(w->live, sizeof w->live, "%s/live", f->dir);
    (void)snprintf(w->stopped, sizeof w->stopped, "%s/stopped", f->dir);
    fixture_turn_for(f, 200); /* A snapshot closes the segment of that time; what follows stays in an open one. */
    commit_events(f, 8, &w->seq);
    WAIT_UNTIL(f, states_are_settled(f));
    copy_dir(w->victim->dir, w->live);
    member_stop(w->victim);
    copy_dir(w->victim->dir, w->stopped);
}

static void check_refusal(const char *text, const char *what)
{
    if (strstr(text, "re-add this node") != NULL && strstr(text, "under a new id") != NULL) return;
    fail_msg("%s: the refusal does not say how to go on: %s", what, text);
}

/* The victim runs: waits until it has the leader's state or has ended itself. */
static void follow_start(struct world *w, const char *what)
{
    struct fixture *f = w->f;
    struct member *v = w->victim;
    int64_t deadline = now_ms() + WAIT_MS;
    while (v->fatal[0] == '\0' && !(v->status.leader_id != 0 && states_are_settled(f))) {
        if (now_ms() > deadline) {
            fail_msg("%s: neither caught up nor ended: at %" PRIu64 " of %" PRIu64, what, v->status.applied_index,
                     fixture_leader(f) != NULL ? fixture_leader(f)->status.applied_index : 0);
        }
        fixture_turn(f);
    }
    if (v->fatal[0] != '\0') {
        check_refusal(v->fatal, what);
    } else if (!same_state(v, &f->members[0]) || !same_state(v, &f->members[1])) {
        fail_msg("%s: its state differs from the others'", what);
    }
}

/* Entries that two directories both have must be the same, also those that no state shows. */
static void check_logs(const struct world *w, const char *what)
{
    struct log_image *a = NULL, *b = NULL;
    struct err e = {0};
    assert_int_equal(log_read(w->f->members[0].dir, &a, &e), 0);
    assert_int_equal(log_read(w->victim->dir, &b, &e), 0);
    if (b->problem[0] != '\0') fail_msg("%s: after it ran: %s", what, b->problem);
    for (size_t i = 0; i < b->entries_n; i++) {
        const struct log_entry *y = &b->entries[i], *x = log_entry_at(a, y->index);
        if (x == NULL) continue;
        bool same = x->term == y->term && x->kind == y->kind && x->size == y->size;
        if (!same || (x->size > 0 && memcmp(x->data, y->data, x->size) != 0)) {
            fail_msg("%s: entry %" PRIu64 " differs", what, y->index);
        }
    }
    log_image_free(a);
    log_image_free(b);
}

/* Does the newest snapshot hold all of the removed or emptied segment at 'path'? Then nothing is lost with it. */
static bool is_covered(const char *dir, const char *path)
{
    struct log_image *image = NULL;
    struct err e = {0};
    uint64_t first, last;
    if (sscanf(strrchr(path, '/') + 1, "%" SCNu64 "-%" SCNu64, &first, &last) != 2) return false;
    assert_int_equal(log_read(dir, &image, &e), 0);
    const struct log_snapshot *snapshot = log_newest(image);
    bool is = snapshot != NULL && snapshot->index >= last;
    log_image_free(image);
    return is;
}

/* One seed: false when file and fault do not go together. */
static bool run_seed(struct world *w, uint64_t seed)
{
    char path[600], what[300];
    struct err e;
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    enum file_kind kind = (enum file_kind)(seed % FILES_N);
    (void)random_below(2);
    const char *copy = random_below(2) == 0 || kind == FILE_OPEN || kind == FILE_PREPARED ? w->live : w->stopped;
    enum fault_kind fault = (enum fault_kind)random_below(FAULTS_N);
    struct member *v = w->victim;
    copy_dir(copy, v->dir);
    if (!choose_file(v->dir, kind, path, sizeof path) || !damage_file(w->f, kind, fault, v->dir, path)) return false;
    (void)snprintf(what, sizeof what, "seed %" PRIu64 ": %s of %s %s (%s)", seed, file_names[kind],
                   copy == w->live ? "a crashed node" : "a stopped node", fault_names[fault], strrchr(path, '/') + 1);
    bool gone = fault == FAULT_REMOVE || fault == FAULT_EMPTY;
    bool must_refuse = fault == FAULT_SHORTER ||
                       (gone && (kind == FILE_NODE || kind == FILE_SEAL || kind == FILE_METADATA_NEW ||
                                kind == FILE_CLOSED_LAST || kind == FILE_OPEN));
    if (must_refuse && kind == FILE_CLOSED_LAST && is_covered(v->dir, path)) must_refuse = false;
    move_leader(w);
    commit_events(w->f, 2, &w->seq);
    if (v->listener == NULL) listener_open(v);
    if (getenv("VERBOSE") != NULL) print_message("    %s\n", what);
    if (member_try_start(v, &e) != 0) {
        check_refusal(e.text, what);
        if (getenv("VERBOSE") != NULL) print_message("      %s\n", e.text);
        w->refused++;
        w->outcomes[kind][1]++;
    } else {
        if (must_refuse) fail_msg("%s: it started", what);
        follow_start(w, what);
        bool ended = v->fatal[0] != '\0';
        member_stop(v);
        if (!ended) check_logs(w, what);
        w->started += !ended;
        w->refused += ended;
        w->outcomes[kind][ended]++;
    }
    return true;
}

static void run_seeds(uint64_t first, unsigned trailing)
{
    struct world w;
    world_open(&w, trailing);
    int64_t start = now_ms();
    uint64_t seed = first;
    const char *one = getenv("SEED");
    if (one != NULL) {
        (void)run_seed(&w, strtoull(one, NULL, 10));
    } else {
        while (w.started + w.refused < SEEDS) (void)run_seed(&w, seed++);
        assert_true(w.started > 10 && w.refused > 10);
    }
    print_message("    %u started and caught up, %u refused, %d ms\n", w.started, w.refused, (int)(now_ms() - start));
    for (unsigned i = 0; i < FILES_N && one == NULL; i++) {
        print_message("      %-20s %3u started %3u refused\n", file_names[i], w.outcomes[i][0], w.outcomes[i][1]);
    }
    fixture_free(w.f);
}

static void test_100_seeds_with_a_long_log(void **state)
{
    (void)state;
    run_seeds(1, 2048);
}

static void test_100_seeds_with_a_short_log(void **state)
{
    (void)state;
    run_seeds(100001, 30);
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_100_seeds_with_a_long_log),
        cmocka_unit_test(test_100_seeds_with_a_short_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
