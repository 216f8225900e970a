/* The first configuration of a group, written once into an empty data directory.
 *
 * raft/ is made whole as raft.new/ and renamed, then comes the seal; the file 'node' comes last and makes the directory
 * a node's. A crash before the rename leaves nothing that counts; one after it leaves raft/ without 'node', which the
 * next bootstrap and the next start report with what to do. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "raft/internal.h"

static bool is_line_text(const char *s, bool spaces)
{
    if (*s == '\0') return false;
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < ' ' || c == 127 || (c == ' ' && !spaces)) return false;
    }
    return true;
}

static int check_members(const struct raft_node_config *config, const struct raft_node_member *members, unsigned n,
                         struct err *e)
{
    bool found = false;
    if (n < 1 || n > RAFT_NODE_MEMBERS_MAX) {
        return err_set(e, -EINVAL, "a group has 1 to %d members, the configuration has %u", RAFT_NODE_MEMBERS_MAX, n);
    }
    for (unsigned i = 0; i < n; i++) {
        const struct raft_node_member *m = &members[i];
        if (m->id == 0 || !is_line_text(m->name, true) || !is_line_text(m->address, false)) {
            return err_set(e, -EINVAL, "member %u of the group needs an id, a name and an address in printable text",
                           i + 1);
        }
        for (unsigned j = 0; j < i; j++) {
            if (members[j].id != m->id && strcmp(members[j].address, m->address) != 0) continue;
            return err_set(e, -EINVAL, "members %s and %s of the group have the same id or address", members[j].name,
                           m->name);
        }
        found |= m->id == config->id && strcmp(m->address, config->address) == 0;
    }
    if (found) return 0;
    return err_set(e, -EINVAL, "the group has no member with the id %" PRIu64 " and the address %s of this node",
                   config->id, config->address);
}

static int no_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm;
    (void)buf;
    *result = NULL;
    return RAFT_INVALID;
}

static void on_closed(struct raft *r)
{
    *(bool *)r->data = true;
}

static int fill_configuration(struct raft_configuration *c, const struct raft_node_member *members, unsigned n)
{
    int rv = 0;
    raft_configuration_init(c);
    for (unsigned i = 0; i < n && rv == 0; i++) {
        rv = raft_configuration_add(c, members[i].id, members[i].address, RAFT_VOTER);
    }
    return rv;
}

int bootstrap_write(uv_loop_t *loop, const char *dir, const struct storage_identity *who, bootstrap_fn *write,
                    char text[RAFT_ERRMSG_BUF_SIZE])
{
    struct conn_net net; /* Nothing connects. */
    struct transport transport;
    struct raft_io io = {0};
    struct raft_fsm fsm = {.version = 1, .apply = no_apply};
    struct raft raft;
    struct raft_configuration c;
    bool closed = false;
    memset(&raft, 0, sizeof raft);
    conn_net_init(&net, loop, NULL);
    transport_init(&transport, &net, who->group_id);
    int rv = raft_uv_init(&io, loop, dir, &transport.raft);
    if (rv != 0) return rv;
    raft_uv_set_segment_size(&io, SEGMENT_BYTES);
    rv = raft_init(&raft, &io, &fsm, who->id, who->address);
    (void)text_copy(text, RAFT_ERRMSG_BUF_SIZE, raft.errmsg);
    if (rv == 0) {
        raft.data = &closed;
        rv = fill_configuration(&c, who->members, who->members_n);
        if (rv == 0) rv = write(&raft, &c);
        (void)text_copy(text, RAFT_ERRMSG_BUF_SIZE, io.errmsg);
        raft_configuration_close(&c);
        raft_close(&raft, on_closed);
        (void)uv_run(loop, UV_RUN_DEFAULT);
        MUST(closed);
    }
    raft_uv_close(&io);
    return rv;
}

/* Makes DATA_DIR/raft whole. */
static int make_raft(const char *data_dir, const struct storage_identity *who, struct err *e)
{
    char new_dir[STORAGE_PATH_MAX], dir[STORAGE_PATH_MAX], text[RAFT_ERRMSG_BUF_SIZE] = "";
    uv_loop_t loop;
    int rc = storage_path(new_dir, data_dir, "raft.new", e);
    if (rc == 0) rc = storage_path(dir, data_dir, "raft", e);
    if (rc == 0) rc = storage_remove(new_dir, e); /* Of an interrupted bootstrap. */
    if (rc != 0) return rc;
    if (mkdir(new_dir, 0700) != 0) return err_errno(e, -errno, "create %s", new_dir);
    if (uv_loop_init(&loop) != 0) return err_set(e, -ENOMEM, "an event loop can not be made");
    int rv = bootstrap_write(&loop, new_dir, who, raft_bootstrap, text);
    MUST(uv_loop_close(&loop) == 0);
    if (rv != 0) {
        return storage_raft_error(data_dir, rv, text, e); /* raft.new is cleared by the next try. */
    }
    if (rename(new_dir, dir) != 0) return err_errno(e, -errno, "rename %s to %s", new_dir, dir);
    return 0;
}

static int bootstrap_locked(const struct raft_node_config *config, const struct storage_identity *who, struct err *e)
{
    struct seal_state sealed;
    int rc = storage_check_empty(config->data_dir, e);
    if (rc == 0) rc = make_raft(config->data_dir, who, e);
    if (rc == 0) rc = preflight(config->data_dir, who->id, &sealed, e); /* Makes the seal. */
    if (rc == 0) rc = storage_save(config->data_dir, who, e); /* Its fsync of the directory covers the rename too. */
    return rc;
}

/* Who 'identity' is, checked. */
static int fill_identity(const struct raft_node_config *config, const struct raft_node_identity *from,
                         struct storage_identity *who, struct err *e)
{
    memset(who, 0, sizeof *who);
    int rc = check_members(config, from->members, from->members_n, e);
    if (rc != 0) return rc;
    if (!is_line_text(from->group_name, true) || !TEXT_COPY(who->group_name, from->group_name)) {
        return err_set(e, -EINVAL, "the group's name must be 1 to 63 printable characters");
    }
    who->id = config->id;
    who->group_id = from->group_id;
    (void)TEXT_COPY(who->address, config->address);
    memcpy(who->members, from->members, from->members_n * sizeof *from->members);
    who->members_n = from->members_n;
    return 0;
}

/* One file, whole or not there: a crash leaves nothing that counts. raft/ is made by the first start. */
static int join_locked(const struct raft_node_config *config, const struct storage_identity *who, struct err *e)
{
    char dir[STORAGE_PATH_MAX];
    int rc = storage_path(dir, config->data_dir, "raft", e);
    if (rc != 0) return rc;
    (void)rmdir(dir); /* Empty, it is nobody's. Not empty: the check tells. */
    rc = storage_check_empty(config->data_dir, e);
    return rc != 0 ? rc : storage_save(config->data_dir, who, e);
}

int raft_node_join(const struct raft_node_config *config, const struct raft_node_identity *identity, struct err *e)
{
    struct storage_identity who;
    int rc = fill_identity(config, identity, &who, e);
    if (rc == 0) rc = file_make_dirs(config->data_dir, 0700, e);
    if (rc != 0) return rc;
    who.joining = true;
    int fd = storage_lock(config->data_dir, e);
    if (fd < 0) return fd;
    rc = join_locked(config, &who, e);
    close(fd);
    return rc;
}

int raft_node_identity(const char *data_dir, struct raft_node_identity *out, struct err *e)
{
    struct storage_identity who;
    memset(out, 0, sizeof *out);
    int rc = storage_read(data_dir, &who, e);
    if (rc != 0) return rc;
    (void)TEXT_COPY(out->group_name, who.group_name);
    out->group_id = who.group_id;
    out->generation = who.generation;
    out->id = who.id;
    (void)TEXT_COPY(out->address, who.address);
    memcpy(out->members, who.members, sizeof out->members);
    out->members_n = who.members_n;
    return 0;
}

int raft_node_move(const struct raft_node_config *config, struct err *e)
{
    struct storage_identity who;
    int fd = storage_lock(config->data_dir, e);
    if (fd < 0) return fd;
    int rc = storage_read(config->data_dir, &who, e);
    if (rc == 0 && (who.id != config->id || !is_line_text(config->address, false))) {
        rc = err_set(e, -EPERM, "data_dir %s belongs to node %" PRIu64, config->data_dir, who.id);
    }
    if (rc == 0) {
        (void)TEXT_COPY(who.address, config->address);
        for (unsigned i = 0; i < who.members_n; i++) {
            if (who.members[i].id == who.id) (void)TEXT_COPY(who.members[i].address, config->address);
        }
        rc = storage_save(config->data_dir, &who, e);
    }
    close(fd);
    return rc;
}

int raft_node_bootstrap(const struct raft_node_config *config, const struct raft_node_member *members, unsigned n,
                        const char *group_name, struct err *e)
{
    struct storage_identity who;
    memset(&who, 0, sizeof who);
    int rc = check_members(config, members, n, e);
    if (rc != 0) return rc;
    if (!is_line_text(group_name, true) || !TEXT_COPY(who.group_name, group_name)) {
        return err_set(e, -EINVAL, "the group's name must be 1 to 63 printable characters");
    }
    who.id = config->id;
    who.group_id = storage_group_id(group_name, members, n);
    (void)TEXT_COPY(who.address, config->address);
    memcpy(who.members, members, n * sizeof *members);
    who.members_n = n;
    rc = file_make_dirs(config->data_dir, 0700, e);
    if (rc != 0) return rc;
    int fd = storage_lock(config->data_dir, e);
    if (fd < 0) return fd;
    rc = bootstrap_locked(config, &who, e);
    close(fd);
    return rc;
}
