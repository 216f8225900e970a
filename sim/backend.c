/* libraft's I/O of one life of a manager. See backend.h. */
#include "sim/backend_private.h"

#include <stdlib.h>
#include <string.h>

enum { BACKEND_CAPACITY_KB = 2048 };

struct backend *backend_new(struct manager *manager)
{
    struct backend *b = calloc(1, sizeof *b);
    MUST(b);
    b->manager = manager;
    b->sim = manager->sim;
    b->disk = &manager->disk;
    return b;
}

void backend_free(struct backend *backend)
{
    free(backend);
}

static struct backend *backend_of(struct raft_io *io)
{
    return io->impl;
}

/* The armed crash comes at one write; what the process does in the rest of the event goes nowhere. */
static bool crashes(struct backend *b)
{
    if (b->is_dead || !disk_crashes_now(b->disk)) return b->is_dead;
    b->is_dead = true;
    manager_dies(b->manager, "crashes while it writes");
    return true;
}

/* --- completed requests ------------------------------------------------------------------------------------------- */

/* libraft queues the callbacks of requests that are done, and its own raft_uv calls them at each turn of the loop. The
 * function that does it is not exported, so this is done here; the queue and the requests are in its header. */
void backend_fire(struct backend *backend)
{
    struct raft *r = backend->io ? backend->io->data : NULL;
    if (!r) return;
    void **queue = r->legacy.requests;
    while (queue[0] != (void *)queue) {
        void **at = queue[0];
        ((void **)at[1])[0] = at[0];
        ((void **)at[0])[1] = at[1];
        void *request = (char *)at - offsetof(struct raft_apply, queue);
        struct raft_apply *apply = request;
        struct raft_barrier *barrier = request;
        struct raft_change *change = request;
        struct raft_transfer *transfer = request;
        switch (apply->type) {
        case RAFT_COMMAND: apply->cb(apply, apply->status, apply->result); break;
        case RAFT_BARRIER: barrier->cb(barrier, barrier->status); break;
        case RAFT_CHANGE: change->cb(change, change->status); break;
        default: transfer->cb(transfer); break;
        }
    }
}

/* --- term and vote ------------------------------------------------------------------------------------------------ */

/* A write that blocks the loop. */
static void stall(struct backend *b)
{
    if (b->disk->extra_us == 0 || b->stalled != 0) return;
    sim_pause(b->sim, b->manager->node);
    b->stalled = sim_after(b->sim, SIM_WORLD, b->disk->extra_us, backend_stall_ends, b->manager);
}

void backend_stall_ends(void *arg)
{
    struct manager *m = arg;
    if (m->backend) m->backend->stalled = 0;
    if (!m->is_held) sim_resume(m->sim, m->node);
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct backend *b = backend_of(io);
    if (b->is_dead) return 0;
    bool is_crash = crashes(b);
    if (is_crash && rng_chance(&b->disk->rng, 500000)) return 0;
    b->disk->term = term;
    b->disk->version++;
    b->disk->vote = 0;
    stall(b);
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    struct backend *b = backend_of(io);
    if (b->is_dead) return 0;
    bool is_crash = crashes(b);
    if (is_crash && rng_chance(&b->disk->rng, 500000)) return 0;
    b->disk->vote = id;
    b->disk->version++;
    stall(b);
    return 0;
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void write_done(void *arg)
{
    struct backend *b = arg;
    struct disk_write *write = b->disk->writes;
    MUST(write);
    void *request = write->request;
    enum disk_kind kind = write->kind;
    disk_done(b->disk);
    b->write_event = 0;
    backend_arm(b);
    if (kind == DISK_APPEND) ((struct raft_io_append *)request)->cb(request, 0);
    if (kind == DISK_SNAPSHOT) ((struct raft_io_snapshot_put *)request)->cb(request, 0);
    backend_fire(b);
}

void backend_arm(struct backend *b)
{
    if (b->write_event != 0 || !b->disk->writes || b->is_dead) return;
    b->write_event = sim_at(b->sim, b->manager->node, b->disk->writes->done_us, write_done, b);
}

static void submit(struct backend *b, const struct disk_write *write)
{
    struct disk_write *w = disk_submit(b->disk, write, sim_now_us(b->sim));
    w->is_void = b->is_dead; /* It ends as cancelled with the others. */
    if (!crashes(b)) backend_arm(b);
}

static int io_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
                     raft_io_append_cb cb)
{
    struct backend *b = backend_of(io);
    req->cb = cb;
    struct disk_write write = {.kind = DISK_APPEND, .index = b->next, .n = n, .request = req};
    write.entries = calloc(n, sizeof *write.entries);
    MUST(write.entries);
    for (unsigned i = 0; i < n; i++) {
        const struct raft_entry *e = &entries[i];
        write.entries[i] = (struct disk_entry){e->term, (int)e->type, e->buf.len, malloc(e->buf.len ? e->buf.len : 1)};
        MUST(write.entries[i].data);
        memcpy(write.entries[i].data, e->buf.base, e->buf.len);
    }
    b->next += n;
    submit(b, &write);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct backend *b = backend_of(io);
    if (index >= b->next) return 0;
    struct disk_write write = {.kind = DISK_TRUNCATE, .index = index};
    b->next = index;
    submit(b, &write);
    return 0;
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct backend *b = backend_of(io);
    struct raft_buffer buf;
    req->cb = cb;
    MUST(snapshot->n_bufs == 1);
    struct disk_write write = {.kind = DISK_SNAPSHOT, .trailing = trailing, .request = req};
    struct disk_snapshot *s = &write.snapshot;
    s->index = snapshot->index;
    s->term = snapshot->term;
    s->configuration_index = snapshot->configuration_index;
    MUST(raft_configuration_encode(&snapshot->configuration, &buf) == 0);
    s->configuration_size = buf.len;
    s->configuration = buf.base; /* From malloc(): libraft's default heap. */
    s->size = snapshot->bufs[0].len;
    s->data = malloc(s->size);
    MUST(s->data);
    memcpy(s->data, snapshot->bufs[0].base, s->size);
    if (trailing == 0) b->next = snapshot->index + 1;
    submit(b, &write);
    return 0;
}

static struct raft_snapshot *read_snapshot(const struct disk *disk)
{
    const struct disk_snapshot *s = &disk->snapshot;
    struct raft_buffer conf = {.base = s->configuration, .len = s->configuration_size};
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    MUST(snapshot);
    snapshot->index = s->index;
    snapshot->term = s->term;
    snapshot->configuration_index = s->configuration_index;
    MUST(raft_configuration_decode(&conf, &snapshot->configuration) == 0);
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    MUST(snapshot->bufs);
    snapshot->n_bufs = 1;
    snapshot->bufs[0].len = s->size;
    snapshot->bufs[0].base = raft_malloc(s->size);
    MUST(snapshot->bufs[0].base);
    memcpy(snapshot->bufs[0].base, s->data, s->size);
    return snapshot;
}

static void read_done(void *arg)
{
    struct backend *b = arg;
    struct raft_io_snapshot_get *req = b->get;
    b->get = b->get_next;
    b->get_next = NULL;
    b->get_event = b->get ? sim_after(b->sim, b->manager->node, b->disk->fsync_us + 1, read_done, b) : 0;
    MUST(b->disk->snapshot.index != 0);
    req->cb(req, read_snapshot(b->disk), 0);
    backend_fire(b);
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct backend *b = backend_of(io);
    req->cb = cb;
    if (b->is_dead || b->get_next) return RAFT_BUSY;
    if (b->get) {
        b->get_next = req;
        return 0;
    }
    b->get = req;
    b->get_event = sim_after(b->sim, b->manager->node, b->disk->fsync_us + 1, read_done, b);
    return 0;
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

/* libraft's, not ours. */
#define LOAD_PARAMETERS                                                                                                \
    struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot, raft_index *start_index, \
        struct raft_entry *entries[], size_t *n_entries

static int io_load(LOAD_PARAMETERS)
{
    struct backend *b = backend_of(io);
    const struct disk *disk = b->disk;
    size_t total = 0;
    *term = disk->term;
    *voted_for = disk->vote;
    *snapshot = disk->snapshot.index ? read_snapshot(disk) : NULL;
    *start_index = disk->first;
    *n_entries = disk->n;
    *entries = NULL;
    b->next = disk_last(disk) + 1;
    if (disk->n == 0) return 0;
    for (size_t i = 0; i < disk->n; i++) total += disk->entries[i].size;
    char *batch = raft_malloc(total ? total : 1);
    *entries = raft_calloc(disk->n, sizeof **entries);
    MUST(batch && *entries);
    char *to = batch;
    for (size_t i = 0; i < disk->n; i++) {
        const struct disk_entry *from = &disk->entries[i];
        struct raft_entry *e = &(*entries)[i];
        e->term = from->term;
        e->type = (unsigned short)from->type;
        e->buf.base = to;
        e->buf.len = from->size;
        e->batch = batch;
        memcpy(to, from->data, from->size);
        to += from->size;
    }
    return 0;
}

static void on_tick(void *arg)
{
    struct backend *b = arg;
    b->tick_event = sim_after(b->sim, b->manager->node, (int64_t)b->tick_ms * SIM_MS, on_tick, b);
    b->io->capacity = b->disk->is_full ? 0 : BACKEND_CAPACITY_KB;
    b->tick(b->io);
    backend_fire(b);
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct backend *b = backend_of(io);
    b->tick_ms = msecs;
    b->tick = tick;
    b->recv = recv;
    b->tick_event = sim_after(b->sim, b->manager->node, (int64_t)msecs * SIM_MS, on_tick, b);
    return 0;
}

/* Only when the process ends: its disk was left as it is by disk_crash(), and all requests end as cancelled. */
static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct backend *b = backend_of(io);
    b->is_dead = true;
    for (struct disk_write *w = b->disk->writes; w; w = w->next) {
        if (w->kind == DISK_APPEND) ((struct raft_io_append *)w->request)->cb(w->request, RAFT_CANCELED);
        if (w->kind == DISK_SNAPSHOT) ((struct raft_io_snapshot_put *)w->request)->cb(w->request, RAFT_CANCELED);
        w->request = NULL;
    }
    struct raft_io_snapshot_get *gets[] = {b->get, b->get_next};
    b->get = b->get_next = NULL;
    /* Not cancelled: libraft would close a configuration that it has not filled. Its send goes nowhere. */
    for (unsigned i = 0; i < 2; i++)
        if (gets[i]) gets[i]->cb(gets[i], read_snapshot(b->disk), 0);
    if (cb) cb(io);
}

static raft_time io_time(struct raft_io *io)
{
    struct backend *b = backend_of(io);
    return (raft_time)(sim_mono(b->sim, b->manager->node).us / SIM_MS);
}

static int io_random(struct raft_io *io, int min, int max)
{
    return (int)rng_between(&backend_of(io)->manager->rng, min, max - 1);
}

static int io_never(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    return RAFT_IOERR;
}

int raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir, struct raft_uv_transport *transport)
{
    struct backend *b = manager_of_loop(loop)->backend;
    (void)dir;
    memset(io, 0, sizeof *io);
    b->io = io;
    b->transport = transport->impl;
    io->version = 1;
    io->capacity = b->disk->is_full ? 0 : BACKEND_CAPACITY_KB;
    io->impl = b;
    io->init = io_init;
    io->close = io_close;
    io->load = io_load;
    io->start = io_start;
    io->bootstrap = io_never;
    io->recover = io_never;
    io->set_term = io_set_term;
    io->set_vote = io_set_vote;
    io->send = backend_send;
    io->append = io_append;
    io->truncate = io_truncate;
    io->snapshot_put = io_snapshot_put;
    io->snapshot_get = io_snapshot_get;
    io->time = io_time;
    io->random = io_random;
    return 0;
}
