/* The list of all targets, for programs that link them all. */
#ifndef REGENT_TESTS_FUZZ_TARGETS_H
#define REGENT_TESTS_FUZZ_TARGETS_H

#include "tests/fuzz/fuzz.h"

enum { FUZZ_FILE_MAX = 64 << 10 };

/* The target of that name, or NULL. */
const struct fuzz_target *fuzz_find(const char *name);

/* Runs a target on a copy of exactly 'size' bytes, so that the sanitizer sees a read beyond them. */
bool fuzz_run_exact(const struct fuzz_target *target, const void *data, size_t size);

#endif
