/* The fuzz targets without a fuzzer: fresh seeds must be taken, and the committed corpus, whole, cut off and bent,
 * must break nothing. Each input that once broke something stays in tests/fuzz/corpus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "tests/fuzz/targets.h"

enum {
    TARGET_MS = 600,   /* For what is made of the corpus' files; the files themselves always run. */
    VARIANTS_MAX = 64, /* Of one file. */
    CORPUS_MAX = 200,
    CORPUS_BYTES_MAX = 256 << 10, /* Of one target: it is in git. */
};

static const struct fuzz_target *current;
static unsigned seeds_n;

static void take_seed(const void *data, size_t size)
{
    if (!fuzz_run_exact(current, data, size)) fail_msg("%s: seed %u is refused", current->name, seeds_n);
    seeds_n++;
}

static void test_seeds_are_taken(void **state)
{
    unsigned targets_n = 0;

    (void)state;
    fuzz_sink = take_seed;
    for (current = fuzz_targets; current != NULL; current = current->next) {
        seeds_n = 0;
        current->seed();
        assert_true(seeds_n >= 2);
        targets_n++;
    }
    assert_true(targets_n >= 22);
}

/* The file cut off and with one byte changed, at places spread over it. */
static void run_bent(const struct fuzz_target *target, uint8_t *data, size_t size)
{
    size_t step = size / VARIANTS_MAX + 1;

    for (size_t i = 0; i < size; i += step) {
        uint8_t kept = data[i];

        (void)fuzz_run_exact(target, data, i);
        data[i] = (uint8_t)(kept ^ (1u << (i % 8)));
        (void)fuzz_run_exact(target, data, size);
        data[i] = 0xff;
        (void)fuzz_run_exact(target, data, size);
        data[i] = kept;
    }
}

/* Returns the bytes of the corpus' files; '*taken_n' and '*files_n' are counted. */
static size_t run_corpus(const struct fuzz_target *target, unsigned *files_n, unsigned *taken_n)
{
    char dir[128], path[512];
    const struct dirent *entry;
    size_t bytes = 0;
    struct mono start = clock_mono();
    DIR *d;

    (void)snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s", target->name);
    d = opendir(dir);
    if (d == NULL) fail_msg("%s is missing: tests/fuzz/run corpus %s", dir, target->name);
    while ((entry = readdir(d)) != NULL) {
        char *data;
        size_t size;

        if (entry->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        assert_int_equal(file_read(path, FUZZ_FILE_MAX, &data, &size, NULL), 0);
        *taken_n += fuzz_run_exact(target, data, size);
        if (clock_mono().us - start.us < TARGET_MS * 1000) run_bent(target, (uint8_t *)data, size);
        free(data);
        bytes += size;
        (*files_n)++;
    }
    (void)closedir(d);
    return bytes;
}

static void test_corpus_breaks_nothing(void **state)
{
    (void)state;
    for (const struct fuzz_target *t = fuzz_targets; t != NULL; t = t->next) {
        unsigned files_n = 0, taken_n = 0;
        size_t bytes = run_corpus(t, &files_n, &taken_n);

        if (files_n < 2 || files_n > CORPUS_MAX || bytes > CORPUS_BYTES_MAX) {
            fail_msg("%s: %u files, %zu bytes in its corpus", t->name, files_n, bytes);
        }
        /* A corpus that no decoder takes any more is of an old format. */
        if (taken_n == 0) fail_msg("%s: no file of its corpus is taken: tests/fuzz/run corpus %s", t->name, t->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_are_taken),
        cmocka_unit_test(test_corpus_breaks_nothing),
    };

    log_init(LOG_LEVEL_ERR, false, "fuzz");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
