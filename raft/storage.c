/* The data directory: lock, identity file, checks, and the operator's text for each way in which it can be wrong. */
#include "raft/storage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "raft/compat.h"

enum { IDENTITY_SIZE_MAX = 8192 };

static uint64_t fnv1a(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t storage_group_id(const char *group_name, const struct raft_node_member *members, unsigned n)
{
    uint64_t hash = fnv1a(UINT64_C(0xcbf29ce484222325), group_name, strlen(group_name) + 1);
    for (unsigned i = 0; i < n; i++) {
        char id[32];
        int length = snprintf(id, sizeof id, "%" PRIu64, members[i].id);
        hash = fnv1a(hash, id, (size_t)length + 1);
        hash = fnv1a(hash, members[i].name, strlen(members[i].name) + 1);
        hash = fnv1a(hash, members[i].address, strlen(members[i].address) + 1);
    }
    return hash != 0 ? hash : 1;
}

int storage_path(char *to, const char *dir, const char *name, struct err *e)
{
    int n = snprintf(to, STORAGE_PATH_MAX, "%s/%s", dir, name);
    if (n > 0 && n < STORAGE_PATH_MAX) return 0;
    return err_set(e, -ENAMETOOLONG, "data_dir is too long (at most %d bytes): choose a shorter one",
                   STORAGE_PATH_MAX - 16);
}

int storage_lock(const char *dir, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    struct stat st;
    int rc = storage_path(path, dir, "lock", e);
    if (rc != 0) return rc;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_set(e, -ENOENT, "data_dir %s is not bootstrapped (no such directory): run 'regentd --bootstrap' "
                       "with this configuration once on each first member", dir);
    }
    struct err inner = {0};
    int fd = file_lock(path, &inner);
    if (fd == -EBUSY) {
        return err_set(e, -EBUSY, "data_dir %s is in use (%s): stop that regentd, or give this node a data_dir of its "
                       "own", dir, inner.text);
    }
    if (fd == -ENOSPC) return storage_raft_error(dir, RAFT_NOSPACE, "create the lock file", e);
    return fd >= 0 ? fd : err_set(e, fd, "%s", inner.text);
}

/* One line "key value" of the identity file; 'value' is where the value begins. NULL when the key differs. */
static const char *line_value(const char *line, const char *key)
{
    size_t n = strlen(key);
    if (strncmp(line, key, n) != 0 || line[n] != ' ') return NULL;
    return line + n + 1;
}

static bool parse_hex(const char *s, uint64_t *out)
{
    char *end = NULL;
    if (*s == '\0' || *s == '-' || *s == '+' || *s == ' ') return false;
    errno = 0;
    unsigned long long value = strtoull(s, &end, 16);
    if (errno != 0 || *end != '\0') return false;
    *out = value;
    return true;
}

/* "<id> <address> <name>" */
static bool parse_member(char *value, struct storage_identity *out)
{
    if (out->members_n == RAFT_NODE_MEMBERS_MAX) return false;
    struct raft_node_member *m = &out->members[out->members_n];
    char *rest = NULL;
    char *id = strtok_r(value, " ", &rest);
    char *address = strtok_r(NULL, " ", &rest);
    if (id == NULL || address == NULL || rest == NULL) return false;
    if (!text_to_u64(id, &m->id) || m->id == 0) return false;
    if (!TEXT_COPY(m->address, address) || !TEXT_COPY(m->name, rest)) return false;
    out->members_n++;
    return true;
}

static bool parse_line(char *line, struct storage_identity *out)
{
    const char *v = line_value(line, "group_name");
    if (v != NULL) return TEXT_COPY(out->group_name, v);
    v = line_value(line, "group_id");
    if (v != NULL) return parse_hex(v, &out->group_id);
    v = line_value(line, "id");
    if (v != NULL) return text_to_u64(v, &out->id);
    v = line_value(line, "address");
    if (v != NULL) return TEXT_COPY(out->address, v);
    v = line_value(line, "generation");
    if (v != NULL) return text_to_u64(v, &out->generation);
    v = line_value(line, "recovering");
    if (v != NULL) return out->recovering = strcmp(v, "1") == 0;
    v = line_value(line, "joining");
    if (v != NULL) return out->joining = strcmp(v, "1") == 0;
    v = line_value(line, "member");
    if (v != NULL) return parse_member(line + (v - line), out);
    return false;
}

/* Each key but "member" stands there once: of two values nobody could say which one holds. */
static bool is_repeated(const char *line, unsigned *seen)
{
    static const char *const keys[] = {"group_name", "group_id",   "id",     "address",
                                       "generation", "recovering", "joining"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        if (line_value(line, keys[i]) == NULL) continue;
        bool repeated = (*seen & 1u << i) != 0;
        *seen |= 1u << i;
        return repeated;
    }
    return false;
}

/* The file: "regent-node 1", key lines, and as its last line "crc XXXXXXXX" over all before it. */
static bool identity_parse(char *data, size_t size, struct storage_identity *out)
{
    char *crc_line = strstr(data, "\ncrc ");
    uint64_t crc = 0;
    memset(out, 0, sizeof *out);
    if (crc_line == NULL || strlen(data) != size || data[size - 1] != '\n') return false;
    data[size - 1] = '\0';
    if (!parse_hex(crc_line + 5, &crc)) return false;
    if (crc != crc32(0, (const Bytef *)data, (uInt)(crc_line + 1 - data))) return false;
    *crc_line = '\0';
    char *rest = NULL;
    unsigned seen = 0;
    char *line = strtok_r(data, "\n", &rest);
    if (line == NULL || strcmp(line, "regent-node 1") != 0) return false;
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
        if (is_repeated(line, &seen) || !parse_line(line, out)) return false;
    }
    return out->id != 0 && out->group_id != 0 && out->address[0] != '\0';
}

static int check_owner(const char *dir, uint64_t id, const char *address, const struct storage_identity *have,
                       struct err *e)
{
    if (have->recovering) {
        return err_set(e, -EBADMSG, "the recovery of data_dir %s was interrupted: run `regent recover` on it again",
                       dir);
    }
    if (have->id != id) {
        return err_set(e, -EPERM, "data_dir %s belongs to node %" PRIu64 " (%s), this configuration is node %" PRIu64
                       " (%s): set data_dir to the directory of this node; if that is lost, re-add this node to the "
                       "group under a new id", dir, have->id, have->address, id, address);
    }
    if (strcmp(have->address, address) != 0) {
        return err_set(e, -EPERM, "data_dir %s belongs to node %" PRIu64 " at address %s, the configuration says %s: "
                       "the group knows the old address; put it back, or re-add this node under a new id", dir, id,
                       have->address, address);
    }
    return 0;
}

bool storage_has_log(const char *dir)
{
    char path[STORAGE_PATH_MAX];
    struct stat st;
    return storage_path(path, dir, "raft", NULL) == 0 && stat(path, &st) == 0;
}

int storage_read(const char *dir, struct storage_identity *out, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    char *data = NULL;
    size_t size = 0;
    int rc = storage_path(path, dir, "node", e);
    if (rc != 0) return rc;
    rc = file_read(path, IDENTITY_SIZE_MAX, &data, &size, e);
    if (rc == -ENOENT && storage_has_log(dir)) {
        return err_set(e, -EBADMSG, "data_dir %s has raft/ but no file 'node': it was lost, then move %s away and "
                       "re-add this node to the group under a new id; or a bootstrap was interrupted and this node "
                       "never ran, then empty the directory and bootstrap again", dir, dir);
    }
    if (rc == -ENOENT) {
        return err_set(e, -ENOENT, "data_dir %s is not bootstrapped (it has no file 'node'): run 'regentd --bootstrap' "
                       "with this configuration once on each first member", dir);
    }
    if (rc != 0 && rc != -EFBIG) return rc;
    bool good = rc == 0 && identity_parse(data, size, out);
    free(data);
    if (!good) {
        return err_set(e, -EBADMSG, "%s is damaged: move %s away and re-add this node to the group under a new id",
                       path, dir);
    }
    return 0;
}

int storage_load(const char *dir, uint64_t id, const char *address, struct storage_identity *out, struct err *e)
{
    int rc = storage_read(dir, out, e);
    return rc == 0 ? check_owner(dir, id, address, out, e) : rc;
}

int storage_save(const char *dir, const struct storage_identity *identity, struct err *e)
{
    char path[STORAGE_PATH_MAX], data[IDENTITY_SIZE_MAX];
    struct text t = TEXT_ON(data);
    int rc = storage_path(path, dir, "node", e);
    if (rc != 0) return rc;
    text_addf(&t, "regent-node 1\ngroup_name %s\ngroup_id %016" PRIx64 "\nid %" PRIu64 "\naddress %s\n",
              identity->group_name, identity->group_id, identity->id, identity->address);
    if (identity->generation != 0) text_addf(&t, "generation %" PRIu64 "\n", identity->generation);
    if (identity->recovering) text_add(&t, "recovering 1\n");
    if (identity->joining) text_add(&t, "joining 1\n");
    for (unsigned i = 0; i < identity->members_n; i++) {
        const struct raft_node_member *m = &identity->members[i];
        text_addf(&t, "member %" PRIu64 " %s %s\n", m->id, m->address, m->name);
    }
    text_addf(&t, "crc %08lx\n", (unsigned long)crc32(0, (const Bytef *)data, (uInt)t.len));
    MUST(!t.cut);
    rc = file_write_atomic(path, data, t.len, 0600, e);
    if (rc == -ENOSPC) return storage_raft_error(dir, RAFT_NOSPACE, "write the file 'node'", e);
    return rc;
}

static bool is_ours_to_ignore(const char *name)
{
    static const char *const names[] = {".", "..", "lock", "lost+found", "raft.new", "node.new", "seal.new"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return strncmp(name, "join", 4) == 0; /* Of a join under way. */
}

static int found_text(const char *dir, bool node, bool raft, const char *other, struct err *e)
{
    if (node) {
        return err_set(e, -EEXIST, "data_dir %s holds a node already: start regentd without --bootstrap; nothing was "
                       "changed", dir);
    }
    if (raft) {
        return err_set(e, -EEXIST, "data_dir %s has raft/ but no file 'node': a bootstrap was interrupted, or the file "
                       "was lost; if this node never ran, empty the directory and bootstrap again, else restore the "
                       "file", dir);
    }
    return err_set(e, -EEXIST, "data_dir %s is not empty (it has '%s'): choose an empty directory; nothing was changed",
                   dir, other);
}

int storage_check_empty(const char *dir, struct err *e)
{
    char other[64] = "";
    bool node = false, raft = false;
    DIR *d = opendir(dir);
    if (d == NULL) return err_errno(e, -errno, "open data_dir %s", dir);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (is_ours_to_ignore(entry->d_name)) continue;
        node |= strcmp(entry->d_name, "node") == 0;
        raft |= strcmp(entry->d_name, "raft") == 0;
        (void)TEXT_COPY(other, entry->d_name);
    }
    closedir(d);
    return other[0] == '\0' ? 0 : found_text(dir, node, raft, other, e);
}

int storage_remove(const char *path, struct err *e)
{
    int rc = 0;
    DIR *d = opendir(path);
    if (d == NULL) return errno == ENOENT ? 0 : err_errno(e, -errno, "open %s", path);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlinkat(dirfd(d), entry->d_name, 0) != 0) rc = -errno;
    }
    closedir(d);
    if (rc == 0 && rmdir(path) != 0) rc = -errno;
    return rc == 0 ? 0 : err_errno(e, rc, "remove %s", path);
}

bool storage_is_full(const char *dir, uint64_t bytes)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0) return false;
    return (uint64_t)fs.f_bavail * fs.f_frsize < bytes;
}

int storage_raft_error(const char *dir, int raft_code, const char *message, struct err *e)
{
    const char *text = message != NULL && message[0] != '\0' ? message : raft_strerror(raft_code);
    /* libraft reports some full disks as plain I/O errors. */
    if (raft_code == RAFT_IOERR && storage_is_full(dir, 64 * 1024)) raft_code = RAFT_NOSPACE;
    switch (raft_code) {
    case RAFT_NOSPACE:
        return err_set(e, -ENOSPC, "no space left under data_dir %s (%s): free at least 8 MiB there, then start again",
                       dir, text);
    case RAFT_CORRUPT:
    case RAFT_MALFORMED:
        return err_set(e, -EBADMSG, "the log under data_dir %s is corrupt (%s): move %s away and re-add this node to "
                       "the group under a new id; do not repair it by hand", dir, text, dir);
    case RAFT_NOMEM:
        return err_set(e, -ENOMEM, "out of memory while opening data_dir %s", dir);
    case RAFT_CANTBOOTSTRAP:
        return err_set(e, -EEXIST, "data_dir %s holds a node already (%s)", dir, text);
    default:
        return err_set(e, -EIO, "data_dir %s can not be used (%s): check permissions, file system and disk", dir, text);
    }
}
