/* What else raft/node.c asks of libuv, of raft_uv, of the data directory and of the transport. See backend.h.
 *
 * These definitions take the place of the real ones: the link pulls neither raft/storage.o nor raft/transport.o. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "lib/base/text.h"
#include "raft/log_read.h"
#include "raft/seal.h"
#include "sim/backend_private.h"

/* --- libuv -------------------------------------------------------------------------------------------------------- */

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle)
{
    handle->loop = loop;
    return 0;
}

void uv_update_time(uv_loop_t *loop)
{
    (void)loop;
}

uint64_t uv_now(const uv_loop_t *loop)
{
    const struct manager *m = (const struct manager *)loop;
    return (uint64_t)(sim_mono(m->sim, m->node).us / SIM_MS);
}

struct closing {
    uv_handle_t *handle;
    uv_close_cb cb;
};

static void handle_closed(void *arg)
{
    struct closing *c = arg, copy = *c;
    free(c);
    copy.cb(copy.handle);
}

void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
    struct closing *c = malloc(sizeof *c);
    MUST(c);
    *c = (struct closing){handle, cb};
    manager_later(manager_of_loop(handle->loop), handle_closed, c);
}

/* --- raft_uv ------------------------------------------------------------------------------------------------------ */

void raft_uv_close(struct raft_io *io)
{
    (void)io; /* The backend is the manager's. */
}

void raft_uv_set_segment_size(struct raft_io *io, size_t size)
{
    (void)io;
    (void)size;
}

void raft_uv_set_auto_recovery(struct raft_io *io, bool flag)
{
    (void)io;
    MUST(!flag);
}

void raft_uv_set_connect_retry_delay(struct raft_io *io, unsigned msecs)
{
    (void)io;
    (void)msecs;
}

void raft_uv_set_disk_retry(struct raft_io *io, unsigned msecs)
{
    (void)io;
    (void)msecs;
}

void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer)
{
    (void)io;
    (void)tracer;
}

/* --- raft/transport.h --------------------------------------------------------------------------------------------- */

void transport_init(struct transport *t, struct conn_net *net, uint64_t group_id)
{
    (void)net;
    t->raft.impl = t;
    t->group = group_id;
}

void transport_accept(struct transport *t, struct conn *conn)
{
    (void)t;
    (void)conn;
    MUST_NOT_REACH(); /* sim/manager.c accepts. */
}

void transport_drop_removed(struct transport *t)
{
    (void)t; /* Members do not change in a simulated group yet. */
}

/* --- raft/storage.h ----------------------------------------------------------------------------------------------- */

int storage_path(char *to, const char *dir, const char *name, struct err *e)
{
    (void)e;
    (void)snprintf(to, STORAGE_PATH_MAX, "%s/%s", dir, name);
    return 0;
}

int storage_lock(const char *dir, struct err *e)
{
    (void)dir;
    (void)e;
    return open("/dev/null", O_RDONLY | O_CLOEXEC); /* The node closes it. */
}

int storage_load(const char *dir, uint64_t id, const char *address, struct storage_identity *out, struct err *e)
{
    (void)e;
    memset(out, 0, sizeof *out);
    (void)TEXT_COPY(out->group_name, "sim");
    (void)TEXT_COPY(out->address, address);
    out->group_id = 1;
    out->id = id;
    (void)dir;
    world_members(the_world, out->members, &out->members_n);
    return 0;
}

int storage_save(const char *dir, const struct storage_identity *identity, struct err *e)
{
    (void)dir;
    (void)identity;
    return err_set(e, -ENOSYS, "no manager joins a simulated group yet");
}

bool storage_is_full(const char *dir, uint64_t bytes)
{
    (void)bytes;
    return world_manager(the_world, dir)->disk.is_full;
}

int storage_raft_error(const char *dir, int raft_code, const char *message, struct err *e)
{
    return err_set(e, raft_code == RAFT_NOSPACE ? -ENOSPC : -EIO, "disk of %s: %s", dir, message ? message : "");
}

/* --- raft/log_read.h: what the production preflight.c and node.c look at before libraft starts -------------------- */

static void image_entry(struct log_image *image, const struct disk *disk, size_t i)
{
    const struct disk_entry *from = &disk->entries[i];
    struct log_entry *to = &image->entries[i];
    const uint8_t *bytes = from->data;
    to->index = disk->first + i;
    to->term = from->term;
    to->kind = (enum log_entry_kind)from->type;
    to->data = bytes;
    to->size = from->size;
    if (from->type != RAFT_COMMAND) return;
    to->size = bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16;
    to->data = bytes + 4;
    MUST(to->size + 4 <= from->size);
}

int log_read(const char *data_dir, struct log_image **out, struct err *e)
{
    const struct disk *disk = &world_manager(the_world, data_dir)->disk;
    struct log_image *image = calloc(1, sizeof *image);
    (void)e;
    MUST(image);
    (void)TEXT_COPY(image->dir, data_dir);
    image->metadata_version = disk->version;
    image->term = disk->term;
    image->vote = disk->vote;
    image->start_index = disk->first;
    image->entries_n = disk->n;
    image->entries = calloc(disk->n + 1, sizeof *image->entries);
    MUST(image->entries);
    for (size_t i = 0; i < disk->n; i++) image_entry(image, disk, i);
    if (disk->snapshot.index != 0) {
        struct log_snapshot *s = &image->snapshots[image->snapshots_n++];
        s->term = disk->snapshot.term;
        s->index = disk->snapshot.index;
        s->data = disk->snapshot.data; /* Borrowed, as the entries are. */
        s->size = disk->snapshot.size;
    }
    *out = image;
    return 0;
}

void log_image_free(struct log_image *image)
{
    if (!image) return;
    free(image->entries);
    free(image);
}

const struct log_snapshot *log_newest(const struct log_image *image)
{
    return image->snapshots_n > 0 ? &image->snapshots[image->snapshots_n - 1] : NULL;
}

uint64_t log_last_index(const struct log_image *image)
{
    const struct log_snapshot *s = log_newest(image);
    if (image->entries_n > 0) return image->start_index + image->entries_n - 1;
    return s ? s->index : 0;
}

uint64_t log_term_at(const struct log_image *image, uint64_t index)
{
    const struct log_snapshot *s = log_newest(image);
    bool is_entry = index >= image->start_index && index - image->start_index < image->entries_n;
    if (is_entry) return image->entries[index - image->start_index].term;
    return s && s->index == index ? s->term : 0;
}

/* --- raft/seal.h -------------------------------------------------------------------------------------------------- */

int seal_read(const char *dir, struct seal_state *out, struct err *e)
{
    (void)e;
    *out = world_manager(the_world, dir)->disk.seal;
    return 0;
}

int seal_create(const char *dir, const struct seal_state *state, struct err *e)
{
    struct disk *disk = &world_manager(the_world, dir)->disk;
    (void)e;
    disk->seal = disk->seal_durable = *state;
    return 0;
}

int seal_open(struct seal *seal, const char *dir, const struct seal_state *state, struct err *e)
{
    struct manager *m = world_manager(the_world, dir);
    (void)e;
    seal->fd = (int)m->index;
    seal->state = *state;
    return 0;
}

void seal_close(struct seal *seal)
{
    seal->fd = -1;
}

static int seal_write(struct seal *seal, bool is_durable)
{
    struct manager *m = &the_world->managers[seal->fd];
    if (m->backend && m->backend->is_dead) return 0;
    m->disk.seal = seal->state;
    if (is_durable) m->disk.seal_durable = seal->state;
    return 0;
}

int seal_vote(struct seal *seal, uint64_t term, uint64_t vote)
{
    seal->state.version++;
    seal->state.term = term;
    seal->state.vote = vote;
    return seal_write(seal, true);
}

int seal_lower(struct seal *seal, uint64_t index)
{
    uint64_t last = index > 0 ? index - 1 : 0;
    if (seal->state.index <= last) return 0;
    seal->state.index = last;
    seal->state.index_term = 0;
    return seal_write(seal, true);
}

void seal_raise(struct seal *seal, uint64_t index, uint64_t term)
{
    if (index < seal->state.index) return;
    seal->state.index = index;
    seal->state.index_term = term;
    (void)seal_write(seal, false);
}
