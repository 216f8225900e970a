/* Hostile bytes as a file, for decoders that take a path: one file in memory, used again and again. Header only. */
#ifndef REGENT_TESTS_FUZZ_FILE_H
#define REGENT_TESTS_FUZZ_FILE_H

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/must.h"

/* The path of a file with these bytes; good until the next call. */
static inline const char *fuzz_file(const void *data, size_t size)
{
    static char path[32];
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        MUST(fd >= 0 && fchmod(fd, 0600) == 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    MUST(ftruncate(fd, 0) == 0);
    MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

#endif
