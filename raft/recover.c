/* A new group out of one survivor, when the majority of the old one is lost for ever (Raft has no answer to that).
 *
 * In place, so that nothing has to be moved: first a copy of all as it was, then the file 'node' with the new group id
 * and the mark "recovering", then libraft writes a configuration of this node alone behind its log, then the mark goes.
 * A crash leaves the directory as it was, perhaps with a copy beside it that the next call makes anew; or marked: a
 * marked one is refused by each start, and the next call goes on.
 * A configuration that was written twice does no harm. What the rest of Regent does with the state is the business of
 * fsm/recover.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "raft/internal.h"
#include "raft/log_read.h"

enum { COPY_FILE_MAX = 64 << 20 };

static int copy_file(const char *from_dir, const char *to_dir, const char *name, struct err *e)
{
    char from[STORAGE_PATH_MAX + 256], to[STORAGE_PATH_MAX + 256];
    char *data = NULL;
    size_t size = 0;
    (void)snprintf(from, sizeof from, "%s/%s", from_dir, name);
    (void)snprintf(to, sizeof to, "%s/%s", to_dir, name);
    int rc = file_read(from, COPY_FILE_MAX, &data, &size, e);
    if (rc == 0) rc = file_write_atomic(to, data, size, 0600, e);
    free(data);
    return rc;
}

static bool is_file(DIR *d, const char *name)
{
    struct stat st;
    return fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int copy_raft(const char *from, const char *to, struct err *e)
{
    int rc = 0;
    DIR *d = opendir(from);
    if (d == NULL) return err_errno(e, -errno, "open %s", from);
    for (struct dirent *entry = readdir(d); entry != NULL && rc == 0; entry = readdir(d)) {
        if (is_file(d, entry->d_name)) rc = copy_file(from, to, entry->d_name, e);
    }
    closedir(d);
    return rc;
}

static int remove_copy(const char *copy, struct err *e)
{
    char raft[STORAGE_PATH_MAX + 16];
    (void)snprintf(raft, sizeof raft, "%s/raft", copy);
    int rc = storage_remove(raft, e);
    return rc == 0 ? storage_remove(copy, e) : rc;
}

/* A copy that is there already is of a call that ended before the mark. The node may have run since: it goes, whole or
 * not, and no file of it gets into the new one. What it is a copy of is still there. */
static int back_up(const char *dir, const char *backup, struct err *e)
{
    char raft[STORAGE_PATH_MAX], to[STORAGE_PATH_MAX + 8], to_raft[STORAGE_PATH_MAX + 16];
    int rc = storage_path(raft, dir, "raft", e);
    if (rc != 0) return rc;
    (void)snprintf(to, sizeof to, "%s.new", backup);
    (void)snprintf(to_raft, sizeof to_raft, "%s/raft", to);
    rc = remove_copy(to, e);
    if (rc == 0) rc = file_make_dirs(to_raft, 0700, e);
    if (rc == 0) rc = copy_file(dir, to, "node", e);
    if (rc == 0) rc = copy_file(dir, to, "seal", e);
    if (rc == 0) rc = copy_raft(raft, to_raft, e);
    if (rc == 0) rc = remove_copy(backup, e);
    if (rc != 0) return rc;
    if (rename(to, backup) != 0) return err_errno(e, -errno, "rename %s to %s", to, backup);
    return 0;
}

/* Lets libraft append the configuration of this node alone. */
static int append_configuration(const char *dir, const struct storage_identity *who, struct err *e)
{
    char raft[STORAGE_PATH_MAX], text[RAFT_ERRMSG_BUF_SIZE] = "";
    uv_loop_t loop;
    int rc = storage_path(raft, dir, "raft", e);
    if (rc != 0) return rc;
    if (uv_loop_init(&loop) != 0) return err_set(e, -ENOMEM, "an event loop can not be made");
    int rv = bootstrap_write(&loop, raft, who, raft_recover, text);
    MUST(uv_loop_close(&loop) == 0);
    return rv == 0 ? 0 : storage_raft_error(dir, rv, text, e);
}

/* Only what a start would accept can be a survivor. */
static int check_log(const char *dir, const struct storage_identity *who, struct err *e)
{
    struct seal_state sealed;
    if (who->joining) {
        return err_set(e, -ENOENT, "data_dir %s is of a node that never got the group's log: take another one", dir);
    }
    return preflight(dir, who->id, &sealed, e);
}

static void make_alone(struct storage_identity *who, uint64_t group_id)
{
    struct raft_node_member self = {.id = who->id};
    for (unsigned i = 0; i < who->members_n; i++) {
        if (who->members[i].id == who->id) self = who->members[i];
    }
    (void)TEXT_COPY(self.address, who->address);
    if (self.name[0] == '\0') (void)snprintf(self.name, sizeof self.name, "node-%" PRIu64, who->id);
    memset(who->members, 0, sizeof who->members);
    who->members[0] = self;
    who->members_n = 1;
    if (who->recovering) return;
    who->recovering = true;
    who->generation++;
    who->group_id = group_id;
}

static int recover_locked(const char *dir, uint64_t group_id, char *backup, struct err *e)
{
    char name[48];
    struct storage_identity who;
    int rc = storage_read(dir, &who, e);
    if (rc == 0) rc = check_log(dir, &who, e);
    if (rc != 0) return rc;
    bool is_new = !who.recovering;
    (void)snprintf(name, sizeof name, "before-recovery-%" PRIu64, who.generation + (is_new ? 1 : 0));
    rc = storage_path(backup, dir, name, e);
    if (rc == 0 && is_new) rc = back_up(dir, backup, e);
    if (rc != 0) return rc;
    make_alone(&who, group_id);
    rc = storage_save(dir, &who, e);
    if (rc == 0) rc = append_configuration(dir, &who, e);
    if (rc != 0) return rc;
    who.recovering = false;
    return storage_save(dir, &who, e);
}

int raft_node_recover(const char *data_dir, uint64_t group_id, char *backup, struct err *e)
{
    int fd = storage_lock(data_dir, e);
    if (fd < 0) return fd;
    int rc = recover_locked(data_dir, group_id, backup, e);
    close(fd);
    return rc;
}
