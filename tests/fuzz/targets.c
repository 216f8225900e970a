/* The list of all targets: see the headers. */
#include "tests/fuzz/targets.h"

struct fuzz_target *fuzz_targets;
void (*fuzz_sink)(const void *data, size_t size);

const struct fuzz_target *fuzz_find(const char *name)
{
    const struct fuzz_target *t = fuzz_targets;

    while (t != NULL && strcmp(t->name, name) != 0) t = t->next;
    return t;
}

bool fuzz_run_exact(const struct fuzz_target *target, const void *data, size_t size)
{
    uint8_t *copy = malloc(size); /* Of 0 bytes, too: then nothing may be read. */
    bool taken;

    MUST(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    taken = target->run(copy, size);
    free(copy);
    return taken;
}
