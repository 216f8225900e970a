/* Files that are whole or absent. */
#ifndef REGENT_FILE_H
#define REGENT_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Replaces 'path' by 'size' bytes at 'data': write to path.new, fsync, rename, fsync of the directory. 'path' is whole
 * (old or new) at any moment. Returns 0 or negative errno (-ENOSPC also for a short write). */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *e) MUST_CHECK;

/* Reads a whole file of at most 'max' bytes into malloc'd memory with a NUL behind. The caller frees '*data'. */
int file_read(const char *path, size_t max, char **data, size_t *size, struct err *e) MUST_CHECK;

/* Creates 'path' and its missing parents (mode for the last). Existing directories are fine. */
int file_make_dirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* Opens (creating) and locks 'path' for this process: returns the fd (keep it open), -EBUSY when another holds it. */
int file_lock(const char *path, struct err *e) MUST_CHECK;

#endif
