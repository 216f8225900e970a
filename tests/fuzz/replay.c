/* All fuzz targets in one program, built by any compiler:
 *
 *     replay                       names of the targets
 *     replay --seed NAME DIR       writes the seeds of a target as DIR/seed-NN
 *     replay NAME FILE...          runs a target on files, to look into what the fuzzer found
 */
#include <stdio.h>

#include "lib/file.h"
#include "tests/fuzz/targets.h"

static const char *seed_dir;
static unsigned seeds_n;

static void write_seed(const void *data, size_t size)
{
    char path[512];
    struct err e = {0};

    (void)snprintf(path, sizeof(path), "%s/seed-%02u", seed_dir, seeds_n++);
    if (file_write_atomic(path, data, size, 0644, &e) == 0) return;
    (void)fprintf(stderr, "%s\n", e.text);
    exit(1);
}

static int run_files(const struct fuzz_target *target, char **paths)
{
    for (; *paths != NULL; paths++) {
        char *data;
        size_t size;
        struct err e = {0};

        if (file_read(*paths, FUZZ_FILE_MAX, &data, &size, &e) != 0) {
            (void)fprintf(stderr, "%s\n", e.text);
            return 1;
        }
        (void)printf("%s: %s\n", *paths, fuzz_run_exact(target, data, size) ? "taken" : "refused");
        free(data);
    }
    return 0;
}

int main(int argc, char **argv)
{
    bool is_seeding = argc == 4 && strcmp(argv[1], "--seed") == 0;
    const struct fuzz_target *target;

    if (argc == 1) {
        for (target = fuzz_targets; target != NULL; target = target->next) (void)printf("%s\n", target->name);
        return 0;
    }
    target = fuzz_find(argv[is_seeding ? 2 : 1]);
    if (target == NULL) {
        (void)fprintf(stderr, "no target %s\n", argv[is_seeding ? 2 : 1]);
        return 2;
    }
    if (!is_seeding) return run_files(target, argv + 2);
    seed_dir = argv[3];
    fuzz_sink = write_seed;
    target->seed();
    return 0;
}
