/* Files that are whole or absent.
 *
 * A file is replaced by writing a neighbour, making that durable, renaming it over the old one and making the rename
 * durable. A crash leaves the old file, or the new one; a left-over neighbour is overwritten next time. */
#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"

enum { FILE_PARENT_MODE = 0755 };

/* The directory that holds 'path', into 'to' of PATH_MAX bytes. 'path' fits. */
static void parent_of(const char *path, char *to)
{
    char *slash;

    (void)text_copy(to, PATH_MAX, path);
    slash = strrchr(to, '/');
    if (slash == NULL) {
        (void)text_copy(to, PATH_MAX, ".");
    } else {
        slash[slash == to ? 1 : 0] = '\0';
    }
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    int fd, rv = 0;

    parent_of(path, parent);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    if (fsync(fd) != 0) rv = -errno;
    (void)close(fd);
    return rv;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -ENOSPC;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int fill(int fd, const void *data, size_t size, mode_t mode)
{
    int rv = write_all(fd, data, size);

    if (rv == 0 && fchmod(fd, mode) != 0) rv = -errno; /* The umask is not asked. */
    if (rv == 0 && fsync(fd) != 0) rv = -errno;
    return rv;
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *e)
{
    char neighbour[PATH_MAX];
    struct text t = TEXT_ON(neighbour);
    int fd, rv;

    text_addf(&t, "%s.new", path);
    if (t.cut) return err_errno(e, -ENAMETOOLONG, "save %s", path);
    (void)unlink(neighbour); /* Left over from a crash. */
    fd = open(neighbour, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return err_errno(e, -errno, "save %s: create %s", path, neighbour);
    rv = fill(fd, data, size, mode);
    if (close(fd) != 0 && rv == 0) rv = -errno;
    if (rv == 0 && rename(neighbour, path) != 0) rv = -errno;
    if (rv == 0) rv = sync_parent(path);
    if (rv == 0) return 0;
    (void)unlink(neighbour);
    return err_errno(e, rv, "save %s", path);
}

/* Reads to the end of the file, at most 'max' + 1 bytes. Returns the number of bytes or negative errno. */
static ssize_t read_to_end(int fd, char *to, size_t max)
{
    size_t len = 0;

    while (len <= max) {
        ssize_t n = read(fd, to + len, max + 1 - len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

int file_read(const char *path, size_t max, char **data, size_t *size, struct err *e)
{
    char *buffer;
    ssize_t n;
    int fd;

    *data = NULL;
    *size = 0;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return err_errno(e, -errno, "read %s", path);
    buffer = malloc(max + 2);
    if (buffer == NULL) {
        (void)close(fd);
        return err_errno(e, -ENOMEM, "read %s", path);
    }
    n = read_to_end(fd, buffer, max);
    (void)close(fd);
    if (n < 0 || (size_t)n > max) {
        free(buffer);
        if (n < 0) return err_errno(e, (int)n, "read %s", path);
        return err_set(e, -EFBIG, "read %s: it has more than %zu bytes", path, max);
    }
    buffer[n] = '\0';
    *data = buffer;
    *size = (size_t)n;
    return 0;
}

/* Creates one directory; one that is there is fine. */
static int make_dir(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0) return sync_parent(path);
    if (errno != EEXIST) return -errno;
    if (stat(path, &st) != 0) return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_make_dirs(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];
    size_t len;
    int rv;

    if (path[0] == '\0') return err_set(e, -EINVAL, "create directory: its name is empty");
    if (!TEXT_COPY(part, path)) return err_errno(e, -ENAMETOOLONG, "create directory %s", path);
    len = strlen(part);
    while (len > 1 && part[len - 1] == '/') part[--len] = '\0';
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/' || part[i - 1] == '/') continue;
        part[i] = '\0';
        rv = make_dir(part, FILE_PARENT_MODE);
        if (rv != 0) return err_errno(e, rv, "create directory %s", part);
        part[i] = '/';
    }
    rv = make_dir(part, mode);
    return rv == 0 ? 0 : err_errno(e, rv, "create directory %s", part);
}

/* Who holds the lock, as he wrote it into the file; for the message only. */
static void read_holder(int fd, char *to, size_t size)
{
    ssize_t n = pread(fd, to, size - 1, 0);

    to[n > 0 ? n : 0] = '\0';
    to[strspn(to, "0123456789")] = '\0';
}

int file_lock(const char *path, struct err *e)
{
    char holder[16];
    int fd, rv;

    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(e, -errno, "lock %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rv = errno == EWOULDBLOCK ? -EBUSY : -errno;
        read_holder(fd, holder, sizeof holder);
        (void)close(fd);
        if (rv != -EBUSY) return err_errno(e, rv, "lock %s", path);
        if (holder[0] == '\0') return err_set(e, rv, "lock %s: another process holds it", path);
        return err_set(e, rv, "lock %s: process %s holds it", path, holder);
    }
    /* The number only helps a message: on a full disk the lock holds all the same. */
    if (ftruncate(fd, 0) == 0) (void)dprintf(fd, "%d\n", (int)getpid());
    return fd;
}
