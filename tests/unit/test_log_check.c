/* `regent log dump` and `regent log check`, run on directories of real nodes: as they are, with an entry changed under
 * good checksums, with a changed state in a snapshot, with an end that was never committed, and damaged. */
#include "tests/unit/consensus_fixture.h"

#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>

#include "raft/log_internal.h"

enum { OUTPUT_MAX = 4 << 20 };

static char output[OUTPUT_MAX];

static const char *program(void)
{
    const char *build = getenv("REGENT_BUILD");
    static char path[300];
    (void)snprintf(path, sizeof path, "%.280s/regent", build != NULL ? build : "build/asan");
    if (access(path, X_OK) != 0) fail_msg("%s is missing: make build", path);
    return path;
}

/* Runs `regent ARGUMENTS`, keeps what it says in 'output', and returns its exit code. */
static int regent(const char *format, ...) REGENT_PRINTF(1, 2);
static int regent(const char *format, ...)
{
    char arguments[2000], line[2400];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(arguments, sizeof arguments, format, ap);
    va_end(ap);
    (void)snprintf(line, sizeof line, "%s %s 2>&1", program(), arguments);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int check3(const struct fixture *f)
{
    return regent("log check %s %s %s", f->members[0].dir, f->members[1].dir, f->members[2].dir);
}

static const char *last_line(void)
{
    size_t n = strlen(output);
    assert_true(n > 0 && output[n - 1] == '\n');
    output[n - 1] = '\0';
    char *newline = strrchr(output, '\n');
    return newline != NULL ? newline + 1 : output;
}

/* --- the group -------------------------------------------------------------------------------------------------- */

struct world {
    struct fixture *f;
    uint64_t seq, index;
    char digest[65];
};

/* Snapshots of 50 commands, a log behind them, all stopped and equal. */
static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    struct fixture *f = w->f = consensus_fixture_new(3);
    uint8_t hash[PROTO_DIGEST_SIZE];
    for (unsigned i = 0; i < 3; i++) {
        f->members[i].config.snapshot_threshold = 50;
        f->members[i].config.snapshot_trailing = 100;
    }
    fixture_start(f);
    fixture_elect(f);
    for (unsigned i = 0; i < 4; i++) {
        commit_events(f, 60, &w->seq);
        WAIT_UNTIL(f, states_are_settled(f));
        fixture_turn_for(f, 50);
    }
    w->index = f->members[0].status.last_index;
    assert_true(proto_state_digest(member_state(&f->members[1]), hash));
    for (unsigned i = 0; i < sizeof hash; i++) (void)snprintf(w->digest + 2 * i, 3, "%02x", hash[i]);
    return w;
}

static void stop_all(struct fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) member_stop(&f->members[i]);
}

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    fixture_free(w->f);
    free(w);
    return 0;
}

static struct log_image *read_image(const char *dir)
{
    struct log_image *image = NULL;
    struct err e = {0};
    if (log_read(dir, &image, &e) != 0) fail_msg("%s", e.text);
    assert_string_equal(image->problem, "");
    return image;
}

static void write_file(const char *dir, const char *name, const void *data, size_t size)
{
    char path[500];
    (void)snprintf(path, sizeof path, "%.300s/raft/%s", dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Replaces 'from' by 'to', of equal length, in the batch of the closed segment that holds it, and its checksum. Returns
 * false when the segment does not hold it. */
static bool change_segment(const char *dir, const char *name, const char *from, const char *to)
{
    struct log_image image = {.start_index = 1};
    uint8_t *data = NULL;
    size_t size = 0;
    (void)TEXT_COPY(image.dir, dir);
    assert_int_equal(log_read_file(&image, name, LOG_SEGMENT_BYTES_MAX, &data, &size), 0);
    uint8_t *found = memmem(data, size, from, strlen(from));
    size_t at = 8;
    while (found != NULL && at < size) {
        uint64_t n = bytes_u64(data + at + 8), total = 0;
        for (uint64_t i = 0; i < n; i++) total += bytes_u32(data + at + 16 + i * 16 + 12);
        uint8_t *payload = data + at + 16 + n * 16;
        at = (size_t)(payload - data) + total;
        if (found < payload || found >= payload + total) continue;
        memcpy(found, to, strlen(to));
        uint32_t crc = log_crc(0, payload, total);
        memcpy(payload - n * 16 - 12, &crc, sizeof crc);
        write_file(dir, name, data, size);
        break;
    }
    free(data);
    return found != NULL;
}

/* The index of the entry whose event says 'text'. */
static uint64_t index_of(const struct log_image *image, const char *text)
{
    for (size_t i = 0; i < image->entries_n; i++) {
        const struct log_entry *entry = &image->entries[i];
        if (entry->size > 0 && memmem(entry->data, entry->size, text, strlen(text)) != NULL) return entry->index;
    }
    return 0;
}

/* --- check ------------------------------------------------------------------------------------------------------ */

static void test_equal_logs_agree(void **state)
{
    struct world *w = *state;
    unsigned long long entries = 0;
    char digest[100] = "";
    stop_all(w->f);
    assert_int_equal(check3(w->f), 0);
    print_message("%s", output);
    assert_int_equal(sscanf(last_line(), "logs agree: %llu entries, digest %64s", &entries, digest), 2);
    assert_string_equal(digest, w->digest);
    assert_true(entries >= 100);
    assert_int_equal(regent("log check %s", w->f->members[0].dir), 0); /* One by itself. */
    assert_non_null(strstr(last_line(), w->digest));
}

static void test_running_node_is_left_alone(void **state)
{
    struct world *w = *state;
    assert_int_equal(check3(w->f), 1);
    assert_non_null(strstr(output, "in use"));
    assert_int_equal(regent("log dump %s", w->f->members[0].dir), 1);
    assert_non_null(strstr(output, "in use"));
    assert_int_equal(regent("log check %s/nowhere", w->f->dir), 1);
}

static void test_changed_entry_is_named(void **state)
{
    struct world *w = *state;
    struct member *m = &w->f->members[2];
    char expected[100];
    bool changed = false;
    stop_all(w->f);
    struct log_image *image = read_image(m->dir);
    uint64_t index = index_of(image, "command 230");
    assert_true(index > 0);
    log_image_free(image);
    DIR *d = opendir((snprintf(expected, sizeof expected, "%.80s/m3/raft", w->f->dir), expected));
    assert_non_null(d);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (entry->d_name[0] == '0') changed |= change_segment(m->dir, entry->d_name, "command 230", "COMMAND 230");
    }
    closedir(d);
    assert_true(changed);
    assert_int_equal(check3(w->f), 1);
    print_message("%s", output);
    (void)snprintf(expected, sizeof expected, "differ at index %" PRIu64, index);
    assert_string_equal(last_line(), expected);
    assert_non_null(strstr(output, m->dir));
    assert_int_equal(regent("log check %s %s", w->f->members[0].dir, w->f->members[1].dir), 0);
}

static void test_changed_state_is_named(void **state)
{
    struct world *w = *state;
    struct member *m = &w->f->members[1];
    struct fsm_state *fsm = malloc(sizeof *fsm);
    struct err e = {0};
    void *data = NULL;
    size_t size = 0;
    stop_all(w->f);
    struct log_image *image = read_image(m->dir);
    const struct log_snapshot *s = log_newest(image);
    assert_non_null(s);
    assert_int_equal(proto_snapshot_decode(fsm, s->data, s->size, &e), 0);
    fsm->events[0].text[0] ^= 1;
    assert_int_equal(proto_snapshot_encode(fsm, &data, &size), 0);
    write_file(m->dir, s->name, data, size);
    free(data);
    free(fsm);
    log_image_free(image);
    assert_int_equal(check3(w->f), 1);
    print_message("%s", output);
    assert_non_null(strstr(output, "the list of events"));
    assert_non_null(strstr(output, m->dir));
    assert_memory_equal(last_line(), "differ at index ", 16);
    assert_int_equal(regent("log check %s", m->dir), 1); /* Its two snapshots do not follow from each other. */
}

static void test_uncommitted_end_is_no_difference(void **state)
{
    struct world *w = *state;
    struct fixture *f = w->f;
    static struct fsm_command c;
    struct member *old = fixture_elect(f);
    for (unsigned i = 0; i < 3; i++) {
        if (&f->members[i] != old) member_stop(&f->members[i]);
    }
    for (unsigned i = 0; i < 5; i++) {
        void *data = NULL;
        size_t size = 0;
        fill_event(&c, 5000 + i, 10);
        assert_int_equal(proto_command_encode(&c, &data, &size), 0);
        assert_int_equal(raft_node_propose(old->node, data, size, on_proposed, f), 0);
        free(data);
    }
    fixture_turn_for(f, 200);
    member_stop(old);
    for (unsigned i = 0; i < 3; i++) {
        if (&f->members[i] != old) member_start(&f->members[i]);
    }
    fixture_elect(f);
    commit_events(f, 8, &w->seq);
    WAIT_UNTIL(f, states_are_settled(f));
    stop_all(f);
    assert_int_equal(check3(f), 0);
    print_message("%s", output);
    assert_non_null(strstr(output, "were never committed"));
    assert_memory_equal(last_line(), "logs agree: ", 12);
}

static void test_damage_is_told(void **state)
{
    struct world *w = *state;
    struct member *m = &w->f->members[0];
    stop_all(w->f);
    struct log_image *image = read_image(m->dir);
    write_file(m->dir, "metadata1", "x", 1);
    write_file(m->dir, "metadata2", image->dir, 40);
    log_image_free(image);
    assert_int_equal(check3(w->f), 1);
    assert_non_null(strstr(output, "is damaged"));
    assert_null(strstr(output, "agree"));
    assert_int_equal(regent("log dump %s", m->dir), 1);
    assert_non_null(strstr(output, "is damaged"));
    assert_non_null(strstr(output, "command 230")); /* What can be read is told all the same. */
}

/* --- dump ------------------------------------------------------------------------------------------------------- */

static void test_dump_as_text(void **state)
{
    struct world *w = *state;
    stop_all(w->f);
    assert_int_equal(regent("log dump %s", w->f->members[0].dir), 0);
    assert_memory_equal(output, "snapshot ", 9);
    assert_non_null(strstr(output, " event id=000000000000004d:230 "));
    assert_non_null(strstr(output, "text=\"command 230\""));
    assert_non_null(strstr(output, "1970-01-01T00:00:00.230000Z"));
    assert_memory_equal(last_line(), "node 1 at 127.0.0.1:", 20);
}

static void test_dump_as_json(void **state)
{
    struct world *w = *state;
    unsigned commands = 0, lines = 0;
    uint64_t index = 0;
    char *rest = NULL;
    stop_all(w->f);
    assert_int_equal(regent("--json log dump %s", w->f->members[0].dir), 0);
    for (char *line = strtok_r(output, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest), lines++) {
        json_error_t error;
        json_t *json = json_loads(line, 0, &error);
        if (json == NULL) fail_msg("%s: %s", error.text, line);
        const char *type = json_string_value(json_object_get(json, "type"));
        if (lines == 0) assert_string_equal(type, "snapshot");
        if (strcmp(type, "command") == 0) {
            const json_t *fields = json_object_get(json, "fields");
            uint64_t at = (uint64_t)json_integer_value(json_object_get(json, "index"));
            assert_true(at > index);
            index = at;
            assert_string_equal(json_string_value(json_object_get(json, "kind")), "event");
            assert_string_equal(json_string_value(json_object_get(fields, "kind")), "test");
            assert_non_null(json_object_get(json_object_get(json, "request"), "seq"));
            commands++;
        }
        json_decref(json);
    }
    assert_true(commands >= 100);
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_logs_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_running_node_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_entry_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_state_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uncommitted_end_is_no_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump_as_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
