/* The examples of tests/golden/config as seeds. Header only. */
#ifndef REGENT_TESTS_FUZZ_CONFIG_FILES_H
#define REGENT_TESTS_FUZZ_CONFIG_FILES_H

#include <glob.h>

#include "lib/file.h"
#include "tests/fuzz/fuzz.h"

/* Puts the files whose names match, as far as 'is_good' takes them: seeds are good. */
static inline void fuzz_put_files(const char *pattern, bool (*is_good)(const uint8_t *data, size_t size))
{
    glob_t found;

    if (glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *data;
        size_t size;

        MUST(file_read(found.gl_pathv[i], 64 << 10, &data, &size, NULL) == 0);
        if (is_good((const uint8_t *)data, size)) fuzz_put(data, size);
        free(data);
    }
    globfree(&found);
}

#endif
