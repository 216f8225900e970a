/* Files that are whole or absent, also on a full disk; directories; the lock of a process. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "lib/file.h"

static char dir[64];
static char full_dir[80]; /* A tiny tmpfs; empty when it could not be mounted. */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    (void)TEXT_COPY(dir, "/tmp/regent-test-file.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (full_dir[0] != '\0') (void)umount2(full_dir, MNT_DETACH);
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* 'name' below the temporary directory; lives until the next but one call. */
static const char *in_dir(const char *name)
{
    static char paths[2][256];
    static unsigned next;
    char *path = paths[next++ % 2];
    struct text t = text_on(path, sizeof paths[0]);

    text_addf(&t, "%s/%s", dir, name);
    return path;
}

static void expect_content(const char *path, const char *expected)
{
    char *data;
    size_t size;

    assert_int_equal(file_read(path, 1 << 20, &data, &size, NULL), 0);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

static void a_file_is_replaced_whole(void **state)
{
    const char *path = in_dir("a");
    struct stat st;
    mode_t mask = umask(077);

    (void)state;
    assert_int_equal(file_write_atomic(path, "one", 3, 0644, NULL), 0);
    expect_content(path, "one");
    assert_int_equal(file_write_atomic(path, "", 0, 0600, NULL), 0);
    expect_content(path, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_write_atomic(path, "two", 3, 0644, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644); /* As asked, whatever the umask. */
    assert_int_equal(access(in_dir("a.new"), F_OK), -1);
    (void)umask(mask);
}

static void a_left_over_neighbour_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/full", in_dir("b.new")), 0);
    assert_int_equal(file_write_atomic(in_dir("b"), "one", 3, 0600, NULL), 0);
    expect_content(in_dir("b"), "one");
}

static void a_missing_directory_is_told(void **state)
{
    char expected[512];
    struct err e = {0};
    struct text t = TEXT_ON(expected);

    (void)state;
    assert_int_equal(file_write_atomic(in_dir("none/a"), "x", 1, 0600, &e), -ENOENT);
    text_addf(&t, "save %s/none/a: create %s/none/a.new: No such file or directory", dir, dir);
    assert_string_equal(e.text, expected);
}

/* Mounts a tmpfs of 64 KiB. Skips the test, with a reason, where that is not possible. */
static void mount_full_dir(void)
{
    struct text t = TEXT_ON(full_dir);

    text_addf(&t, "%s/full", dir);
    assert_int_equal(mkdir(full_dir, 0700), 0);
    /* In a namespace of our own the mount ends with this process, however that ends. */
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", full_dir, "tmpfs", 0, "size=64k") == 0) {
        return;
    }
    print_message("SKIP: no tmpfs can be mounted here (%s), so no disk is full\n", strerror(errno));
    full_dir[0] = '\0';
    skip();
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    static char large[256 << 10];
    struct err e = {0};
    char path[128];
    struct text t = TEXT_ON(path);

    (void)state;
    mount_full_dir();
    text_addf(&t, "%s/node", full_dir);
    assert_int_equal(file_write_atomic(path, "old", 3, 0600, &e), 0);
    assert_int_equal(file_write_atomic(path, large, sizeof large, 0600, &e), -ENOSPC);
    assert_non_null(strstr(e.text, "/full/node: No space left on device"));
    expect_content(path, "old");
    text_add(&t, ".new");
    assert_int_equal(access(path, F_OK), -1); /* The disk is not left fuller than it was. */
}

static void reading_is_bounded(void **state)
{
    const char *path = in_dir("c");
    struct err e = {0};
    char *data;
    size_t size;

    (void)state;
    assert_int_equal(file_write_atomic(path, "a\0c", 3, 0600, NULL), 0);
    assert_int_equal(file_read(path, 3, &data, &size, &e), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "a\0c", 4);
    free(data);
    assert_int_equal(file_read(path, 2, &data, &size, &e), -EFBIG);
    assert_null(data);
    assert_non_null(strstr(e.text, "it has more than 2 bytes"));
    assert_int_equal(file_read(in_dir("none"), 2, &data, &size, &e), -ENOENT);
    assert_int_equal(file_read(dir, 2, &data, &size, &e), -EISDIR);
    assert_int_equal(file_read("/dev/zero", 1000, &data, &size, &e), -EFBIG); /* Has no end. */
}

static void directories_are_made_with_their_parents(void **state)
{
    struct err e = {0};
    struct stat st;

    (void)state;
    assert_int_equal(file_make_dirs(in_dir("x/y//z/"), 0700, &e), 0);
    assert_int_equal(stat(in_dir("x/y/z"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(file_make_dirs(in_dir("x/y/z"), 0755, &e), 0); /* There: fine, and left as it is. */
    assert_int_equal(stat(in_dir("x/y/z"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(file_write_atomic(in_dir("x/file"), "", 0, 0600, NULL), 0);
    assert_int_equal(file_make_dirs(in_dir("x/file"), 0700, &e), -ENOTDIR);
    assert_int_equal(file_make_dirs(in_dir("x/file/deeper"), 0700, &e), -ENOTDIR);
    assert_non_null(strstr(e.text, "/x/file: Not a directory"));
    assert_int_equal(file_make_dirs("", 0700, &e), -EINVAL);
    assert_int_equal(file_make_dirs("/", 0700, &e), 0);
}

/* Takes the lock in another process. Returns that process's exit code: 0 taken, 1 busy, 2 else. */
static int lock_elsewhere(const char *path, int *code)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int rv = file_lock(path, NULL);

        _exit(rv >= 0 ? 0 : rv == -EBUSY ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *code = WEXITSTATUS(status);
    return WIFEXITED(status);
}

static void one_process_holds_a_lock(void **state)
{
    const char *path = in_dir("lock");
    char expected[64];
    struct text t = TEXT_ON(expected);
    struct err e = {0};
    int code, fd = file_lock(path, &e);

    (void)state;
    assert_true(fd >= 0);
    assert_true(lock_elsewhere(path, &code));
    assert_int_equal(code, 1);
    assert_int_equal(file_lock(path, &e), -EBUSY); /* This process too has it only once. */
    text_addf(&t, "process %d holds it", (int)getpid());
    assert_non_null(strstr(e.text, expected));
    assert_int_equal(close(fd), 0);
    assert_true(lock_elsewhere(path, &code));
    assert_int_equal(code, 0);
    assert_int_equal(file_lock(in_dir("none/lock"), &e), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_left_over_neighbour_does_no_harm),
        cmocka_unit_test(a_missing_directory_is_told),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(reading_is_bounded),
        cmocka_unit_test(directories_are_made_with_their_parents),
        cmocka_unit_test(one_process_holds_a_lock),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
