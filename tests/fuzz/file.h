/* Hostile bytes as a file, for decoders that take a path: one file in memory, used again and again; and for those that
 * take a directory, one in /dev/shm that goes away with the process. Header only. */
#ifndef REGENT_TESTS_FUZZ_FILE_H
#define REGENT_TESTS_FUZZ_FILE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

struct fuzz_dir {
    char path[64]; /* "": not made yet. */
    char sub[16];  /* Of the directory inside that the files lie in; "": none. */
};

/* Makes the directory when it is not there yet. A finding leaves it behind. */
static inline void fuzz_dir_make(struct fuzz_dir *d, const char *sub)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char path[96];

    if (d->path[0] != '\0') return;
    (void)snprintf(d->path, sizeof(d->path), "%s/regent-fuzz-XXXXXX", base);
    MUST(mkdtemp(d->path) != NULL);
    (void)snprintf(d->sub, sizeof(d->sub), "%s", sub);
    (void)snprintf(path, sizeof(path), "%s/%s", d->path, sub);
    MUST(sub[0] == '\0' || mkdir(path, 0700) == 0);
}

/* Makes or replaces the file 'name'. */
static inline void fuzz_dir_put(struct fuzz_dir *d, const char *name, const void *data, size_t size)
{
    char path[256];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", d->path, d->sub, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
}

static inline void fuzz_dir_drop(struct fuzz_dir *d, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s/%s", d->path, d->sub, name);
    (void)unlink(path);
}

/* Removes the directory, which holds no file any more. */
static inline void fuzz_dir_end(struct fuzz_dir *d)
{
    char path[96];

    if (d->path[0] == '\0') return;
    (void)snprintf(path, sizeof(path), "%s/%s", d->path, d->sub);
    if (d->sub[0] != '\0') (void)rmdir(path);
    (void)rmdir(d->path);
}

#endif
