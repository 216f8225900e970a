/* The offline reader, the seal and the check before a start, against directories that real nodes wrote; a node that is
 * far behind; the size of a directory. Damage of all kinds: test_storage_faults.c. */
#include "tests/unit/consensus_fixture.h"

#include <dirent.h>
#include <signal.h>

#include "raft/log_read.h"
#include "raft/preflight.h"

static int setup3(void **state)
{
    *state = consensus_fixture_new(3);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static struct log_image *read_image(const char *dir)
{
    struct log_image *image = NULL;
    struct err e = {0};
    if (log_read(dir, &image, &e) != 0) fail_msg("%s", e.text);
    return image;
}

static void commit_and_settle(struct fixture *f, unsigned n, uint64_t *seq)
{
    commit_events(f, n, seq);
    WAIT_UNTIL(f, states_are_settled(f));
}

/* --- the reader ------------------------------------------------------------------------------------------------- */

/* Counts the entries of each kind and checks that they follow each other. A command that was proposed again, since its
 * leader was lost, is in the log twice and counts once. */
static void count_entries(const struct log_image *image, unsigned counts[4])
{
    struct fsm_command *c = malloc(sizeof *c);
    struct err e = {0};
    bool seen[512] = {false};
    memset(counts, 0, 4 * sizeof *counts);
    for (size_t i = 0; i < image->entries_n; i++) {
        const struct log_entry *entry = &image->entries[i];
        assert_int_equal(entry->index, image->start_index + i);
        if (entry->kind == LOG_ENTRY_COMMAND) {
            assert_int_equal(proto_command_decode(c, entry->data, entry->size, &e), 0);
            assert_int_equal(c->kind, CMD_EVENT);
            assert_true(c->id.seq < ARRAY_LEN(seen));
            counts[entry->kind] += !seen[c->id.seq];
            seen[c->id.seq] = true;
            continue;
        }
        counts[entry->kind]++;
        if (entry->kind == LOG_ENTRY_CHANGE) {
            struct log_configuration configuration;
            assert_true(log_configuration_decode(entry->data, entry->size, &configuration));
            assert_int_equal(configuration.n, 3);
            assert_int_equal(configuration.members[2].id, 3);
            assert_int_equal(configuration.members[2].role, LOG_VOTER);
        }
    }
    free(c);
}

static void test_reads_what_nodes_wrote(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    unsigned counts[4];
    fixture_start(f);
    fixture_elect(f);
    commit_and_settle(f, 300, &seq);
    for (unsigned i = 0; i < 3; i++) {
        struct member *m = &f->members[i];
        raft_node_status(m->node, &m->status);
        /* While it runs (open segments), and after it stopped (closed ones). */
        for (unsigned stopped = 0; stopped < 2; stopped++) {
            struct raft_node_status status = m->status;
            if (stopped == 1) member_stop(m);
            struct log_image *image = read_image(m->dir);
            assert_string_equal(image->problem, "");
            if (stopped == 0) assert_int_equal(image->term, status.term);
            if (stopped == 0) assert_int_equal(log_last_index(image), status.last_index);
            assert_true(log_last_index(image) > 300);
            assert_int_equal(image->start_index, 1);
            count_entries(image, counts);
            assert_int_equal(counts[LOG_ENTRY_COMMAND], 300);
            assert_int_equal(counts[LOG_ENTRY_CHANGE], 1);
            assert_true(counts[LOG_ENTRY_BARRIER] >= 1);
            log_image_free(image);
        }
    }
}

static void test_reads_snapshots(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    struct err e = {0};
    for (unsigned i = 0; i < 3; i++) {
        f->members[i].config.snapshot_threshold = 50;
        f->members[i].config.snapshot_trailing = 20;
    }
    fixture_start(f);
    fixture_elect(f);
    commit_and_settle(f, 100, &seq);
    commit_and_settle(f, 150, &seq);
    fixture_turn_for(f, 200);
    struct log_image *image = read_image(f->members[0].dir);
    struct fsm_state *fsm = malloc(sizeof *fsm);
    assert_string_equal(image->problem, "");
    assert_int_equal(image->snapshots_n, 2);
    const struct log_snapshot *s = log_newest(image);
    assert_int_equal(s->configuration.n, 3);
    assert_int_equal(s->configuration.index, 1);
    assert_string_equal(s->configuration.members[1].address, f->members[1].config.address);
    assert_true(image->start_index > 1 && image->start_index <= s->index + 1);
    assert_int_equal(proto_snapshot_decode(fsm, s->data, s->size, &e), 0);
    assert_true(fsm->index <= s->index && fsm->index > 0);
    free(fsm);
    log_image_free(image);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Flips one bit of DIR/raft/NAME and back; true when the reader found it. */
static bool is_flip_found(const char *dir, const char *name, uint32_t *random)
{
    char path[600];
    struct stat st;
    uint8_t byte;
    (void)snprintf(path, sizeof path, "%.300s/raft/%.200s", dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0);
    off_t at = (off_t)(next_random(random) % (uint32_t)st.st_size);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    uint8_t flipped = byte ^ (uint8_t)(1u << next_random(random) % 8);
    assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
    struct log_image *image = read_image(dir);
    bool found = image->problem[0] != '\0';
    log_image_free(image);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
    return found;
}

/* Every bit of closed segments and of the newest snapshot's meta data counts. */
static void test_each_flip_is_found(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    uint64_t seq = 0;
    uint32_t random = 7;
    unsigned flips = 0;
    char path[400];
    for (unsigned i = 0; i < 3; i++) f->members[i].config.snapshot_threshold = 50;
    fixture_start(f);
    fixture_elect(f);
    commit_and_settle(f, 100, &seq);
    fixture_turn_for(f, 100);
    member_stop(m);
    struct log_image *image = read_image(m->dir);
    (void)snprintf(path, sizeof path, "%.300s/raft", m->dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        const char *name = entry->d_name;
        bool meta = strstr(name, ".meta") != NULL && strncmp(name, log_newest(image)->name, strlen(name) - 5) == 0;
        for (unsigned i = 0; i < 60 && (meta || name[0] == '0'); i++, flips++) {
            if (!is_flip_found(m->dir, name, &random)) fail_msg("flip %u in %s was not found", i, name);
        }
    }
    closedir(d);
    log_image_free(image);
    assert_true(flips >= 180);
}

/* --- the seal --------------------------------------------------------------------------------------------------- */

static struct seal_state seal_of(const struct member *m)
{
    struct seal_state s = {0};
    struct err e = {0};
    if (seal_read(m->dir, &s, &e) != 0) fail_msg("%s", e.text);
    return s;
}

static void test_seal_follows_the_log(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    fixture_start(f);
    fixture_elect(f);
    for (unsigned round = 0; round < 3; round++) {
        commit_and_settle(f, 40, &seq);
        for (unsigned i = 0; i < 3; i++) {
            struct member *m = &f->members[i];
            /* What a majority has is applied: the write of this one may still be under way. */
            WAIT_UNTIL(f, seal_of(m).index == m->status.last_index);
            struct log_image *image = read_image(m->dir);
            struct seal_state s = seal_of(m);
            assert_int_equal(s.id, m->config.id);
            assert_int_equal(s.index, log_last_index(image));
            assert_int_equal(s.index_term, log_term_at(image, s.index));
            assert_int_equal(s.version, image->metadata_version);
            assert_int_equal(s.term, image->term);
            assert_int_equal(s.vote, image->vote);
            log_image_free(image);
        }
        struct member *leader = fixture_leader(f);
        member_stop(leader);
        fixture_elect(f);
        member_start(leader);
        WAIT_UNTIL(f, leader->status.leader_id != 0);
    }
}

/* A deposed leader's entries are cut off by the next one: the seal goes back with them, and the node starts again. */
static void test_seal_goes_back_with_a_cut_log(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    static struct fsm_command c;
    fixture_start(f);
    struct member *old = fixture_elect(f), *a = NULL, *b = NULL;
    commit_and_settle(f, 20, &seq);
    for (unsigned i = 0; i < 3; i++) {
        if (&f->members[i] == old) continue;
        *(a == NULL ? &a : &b) = &f->members[i];
    }
    member_stop(a);
    member_stop(b);
    for (unsigned i = 0; i < 30; i++) {
        void *data = NULL;
        size_t size = 0;
        fill_event(&c, 1000 + i, 10);
        c.id.since = 0;
        assert_int_equal(proto_command_encode(&c, &data, &size), 0);
        assert_int_equal(raft_node_propose(old->node, data, size, on_proposed, f), 0);
        free(data);
    }
    fixture_turn_for(f, 200);
    uint64_t high = seal_of(old).index;
    member_stop(old);
    assert_int_equal(f->unknown, 30);
    member_start(a);
    member_start(b);
    fixture_elect(f);
    commit_and_settle(f, 2, &seq);
    member_start(old);
    WAIT_UNTIL(f, old->status.leader_id != 0 && states_are_settled(f));
    assert_true(same_state(old, a));
    assert_true(seal_of(old).index < high);
    for (unsigned i = 0; i < 2; i++) { /* It starts on what is left, and again on what it appended to that. */
        member_stop(old);
        member_start(old);
        commit_events(f, 2, &seq);
        WAIT_UNTIL(f, old->status.leader_id != 0 && states_are_settled(f));
        WAIT_UNTIL(f, seal_of(old).index == old->status.last_index);
    }
}

/* A crash between metadata and seal: the vote was not sent yet, the seal follows. libraft writes a new term, then "no
 * vote yet" in it: the same content twice (found by the simulator). Anything else was never written. */
static void test_metadata_may_be_one_ahead(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct seal_state s, again;
    struct err e = {0};
    fixture_start(f);
    fixture_elect(f);
    member_stop(m);
    s = seal_of(m);
    struct log_image *image = read_image(m->dir);
    const struct {
        struct seal_state seal;
        bool good;
    } cases[] = {
        {{1, s.version, s.term, s.vote, s.index, 0}, true},
        {{1, s.version - 1, s.term - 1, 3, s.index, 0}, s.vote == 0},
        {{1, s.version - 1, s.term, 0, s.index, 0}, true},
        {{1, s.version - 1, s.term, s.vote, s.index, 0}, true},
        {{1, s.version - 1, s.term, s.vote + 1, s.index, 0}, false},
        {{1, s.version - 2, s.term, 0, s.index, 0}, false},
        {{1, s.version + 1, s.term + 1, 0, s.index, 0}, false},
        {{1, s.version, s.term + 1, s.vote, s.index, 0}, false},
        {{1, s.version, s.term, s.vote + 1, s.index, 0}, false},
        {{1, s.version, s.term, s.vote, s.index + 1, 0}, false},
        {{1, s.version, s.term, s.vote, s.index - 1, 0}, true},
        {{1, s.version, s.term, s.vote, s.index, s.index_term + 1}, false},
        {{2, s.version, s.term, s.vote, s.index, 0}, false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        memset(&e, 0, sizeof e);
        assert_int_equal(seal_create(m->dir, &cases[i].seal, &e), 0);
        int rc = preflight(m->dir, 1, &again, &e);
        if ((rc == 0) != cases[i].good) fail_msg("case %u: %d %s", i, rc, e.text);
        if (rc != 0) assert_non_null(strstr(e.text, "under a new id"));
        if (rc == 0) assert_int_equal(seal_of(m).version, image->metadata_version);
        if (rc == 0) assert_int_equal(seal_of(m).vote, image->vote);
    }
    log_image_free(image);
}

/* --- far behind, and idle --------------------------------------------------------------------------------------- */

static void test_10500_commands_behind(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    fixture_start(f); /* Thresholds as in regentd. */
    fixture_elect(f);
    commit_and_settle(f, 30, &seq);
    struct member *behind = fixture_follower(f);
    uint64_t at = behind->status.applied_index;
    member_stop(behind);
    commit_events(f, 10500, &seq);
    int64_t start = now_ms();
    member_start(behind);
    WAIT_UNTIL(f, behind->status.leader_id != 0 && states_are_settled(f));
    print_message("    from %d to %d in %d ms\n", (int)at, (int)behind->status.applied_index, (int)(now_ms() - start));
    assert_true(behind->status.applied_index > at + 10000);
    for (unsigned i = 0; i < 3; i++) assert_true(same_state(behind, &f->members[i]));
    /* It got a snapshot: no log of its own goes back to where it stopped. */
    struct log_image *image = read_image(behind->dir);
    assert_string_equal(image->problem, "");
    assert_true(image->snapshots_n >= 1 && image->start_index > at + 1);
    log_image_free(image);
    member_stop(behind);
    member_start(behind);
    WAIT_UNTIL(f, behind->status.leader_id != 0 && states_are_settled(f));
    assert_true(same_state(behind, &f->members[0]));
}

/* --- a full disk ------------------------------------------------------------------------------------------------ */

/* Uses up what is left on the disk of 'dir'. */
static void fill_disk(const char *dir, char path[400])
{
    static char block[64 * 1024];
    (void)snprintf(path, 400, "%.300s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t size = sizeof block; size >= 512; size /= 2) {
        while (write(fd, block, size) == (ssize_t)size) continue;
    }
    (void)close(fd);
}

static void on_moved(void *arg, int status, uint64_t index)
{
    (void)status;
    (void)index;
    *(bool *)arg = true;
}

static void lead_by(struct fixture *f, struct member *m)
{
    int64_t deadline = now_ms() + WAIT_MS;
    while (fixture_leader(f) != m && now_ms() < deadline) {
        bool moved = false;
        struct member *leader = fixture_elect(f);
        if (leader == m || raft_node_transfer(leader->node, m->config.id, on_moved, &moved) != 0) continue;
        WAIT_UNTIL(f, moved);
        fixture_elect(f);
    }
    assert_ptr_equal(fixture_leader(f), m);
}

/* The leader's disk is full: another one leads, commits go on, nobody ends; with space again the node takes part, in
 * the same process, and has all. */
static void test_full_disk_of_the_leader(void **state)
{
    struct fixture *f = *state;
    struct member *full = &f->members[0];
    uint64_t seq = 0;
    char filler[400];
    assert_int_equal(mkdir(full->dir, 0700), 0);
    if (mount("regent-test", full->dir, "tmpfs", 0, "size=24m") != 0) {
        print_message("SKIP test_full_disk_of_the_leader: a tmpfs can not be mounted: %s\n", strerror(errno));
        skip();
    }
    f->mounted = true;
    fixture_start(f);
    commit_and_settle(f, 20, &seq);
    lead_by(f, full);
    fill_disk(full->dir, filler);
    event_extra = 1200;
    for (unsigned i = 0; i < 60 && fixture_leader(f) == full; i++) commit_events(f, 64, &seq);
    print_message("    after %d commands another one leads\n", (int)seq);
    struct member *leader = fixture_elect(f);
    assert_ptr_not_equal(leader, full);
    uint64_t before = leader->status.applied_index;
    commit_events(f, 2500, &seq); /* More than its prepared segments hold: it can not follow. */
    event_extra = 0;
    assert_ptr_not_equal(fixture_elect(f), full);
    assert_true(fixture_leader(f)->status.applied_index >= before + 2500);
    for (unsigned i = 0; i < 3; i++) assert_string_equal(f->members[i].fatal, "");
    assert_true(seal_of(full).index < before + 2500);
    assert_int_equal(unlink(filler), 0);
    WAIT_UNTIL(f, states_are_settled(f) && seal_of(full).index == full->status.last_index && !full->status.disk_full);
    assert_true(same_state(full, fixture_leader(f)));
    lead_by(f, full); /* It can lead again. */
    commit_and_settle(f, 20, &seq);
    member_stop(full);
    struct log_image *image = read_image(full->dir);
    assert_string_equal(image->problem, "");
    log_image_free(image);
}

static uint64_t tree_bytes;

static int add_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path;
    (void)flag;
    (void)ftw;
    tree_bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

static void test_idle_directory_is_small(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    fixture_start(f);
    fixture_elect(f);
    commit_and_settle(f, 20, &seq);
    fixture_turn_for(f, 500);
    for (unsigned i = 0; i < 3; i++) {
        tree_bytes = 0;
        assert_int_equal(nftw(f->members[i].dir, add_entry, 16, FTW_PHYS), 0);
        print_message("    node %u: %.1f MiB\n", i + 1, (double)tree_bytes / (1 << 20));
        assert_true(tree_bytes > 0 && tree_bytes <= 8 << 20);
    }
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_what_nodes_wrote, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_reads_snapshots, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_each_flip_is_found, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_seal_follows_the_log, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_seal_goes_back_with_a_cut_log, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_metadata_may_be_one_ahead, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_10500_commands_behind, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk_of_the_leader, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_idle_directory_is_small, setup3, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
