/* Messages of libraft over the simulated network. See backend.h. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/backend_private.h"

enum { RAFT_CHANNEL = 0, USER_TIMEOUT_US = 2 * SIM_S };

struct raft_word {
    struct word_head head;
    struct raft_message message; /* Without pointers: what they led to follows. */
    uint64_t from;
    char address[MANAGER_ADDRESS_SIZE];
    struct raft_entry *entries; /* One block with their bytes. */
    struct raft_buffer conf, data;
};

static void word_free(struct sim_blob *blob)
{
    struct raft_word *w = (struct raft_word *)blob;
    free(w->entries);
    free(w->conf.base);
    free(w->data.base);
    free(w);
}

/* Copies entries into one block: the array, then the bytes; the array's 'batch' is NULL. */
static struct raft_entry *pack_entries(const struct raft_entry *from, unsigned n)
{
    size_t total = n * sizeof *from;
    for (unsigned i = 0; i < n; i++) total += from[i].buf.len;
    struct raft_entry *entries = malloc(total);
    MUST(entries);
    char *to = (char *)(entries + n);
    for (unsigned i = 0; i < n; i++) {
        entries[i] = from[i];
        entries[i].batch = NULL;
        entries[i].buf.base = to;
        memcpy(to, from[i].buf.base, from[i].buf.len);
        to += from[i].buf.len;
    }
    return entries;
}

static struct raft_word *word_new(struct backend *b, const struct raft_message *message)
{
    struct raft_word *w = malloc(sizeof *w);
    MUST(w);
    *w = (struct raft_word){.head = {{1, word_free}, WORD_RAFT}, .message = *message};
    w->message.server_address = NULL;
    w->from = b->manager->id;
    (void)TEXT_COPY(w->address, b->manager->address);
    if (message->type == RAFT_APPEND_ENTRIES && message->append_entries.n_entries > 0)
        w->entries = pack_entries(message->append_entries.entries, message->append_entries.n_entries);
    if (message->type == RAFT_INSTALL_SNAPSHOT) {
        const struct raft_install_snapshot *is = &message->install_snapshot;
        MUST(raft_configuration_encode(&is->conf, &w->conf) == 0);
        w->data.len = is->data.len;
        w->data.base = malloc(is->data.len);
        MUST(w->data.base);
        memcpy(w->data.base, is->data.base, is->data.len);
    }
    return w;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static void unpack_entries(struct raft_append_entries *to, const struct raft_word *w)
{
    unsigned n = to->n_entries;
    size_t total = 0;
    to->entries = NULL;
    if (n == 0) return;
    for (unsigned i = 0; i < n; i++) total += w->entries[i].buf.len;
    to->entries = raft_calloc(n, sizeof *to->entries);
    char *batch = raft_malloc(total ? total : 1);
    MUST(to->entries && batch);
    char *at = batch;
    for (unsigned i = 0; i < n; i++) {
        to->entries[i] = w->entries[i];
        to->entries[i].batch = batch;
        to->entries[i].buf.base = at;
        memcpy(at, w->entries[i].buf.base, w->entries[i].buf.len);
        at += w->entries[i].buf.len;
    }
}

void backend_receive(struct backend *backend, sim_node from, struct sim_blob *blob)
{
    struct raft_word *w = (struct raft_word *)blob;
    (void)from;
    if (!backend->recv || backend->is_dead) return;
    struct raft_message m = w->message;
    m.server_id = w->from;
    m.server_address = w->address;
    if (m.type == RAFT_APPEND_ENTRIES) unpack_entries(&m.append_entries, w);
    if (m.type == RAFT_INSTALL_SNAPSHOT) {
        struct raft_install_snapshot *is = &m.install_snapshot;
        MUST(raft_configuration_decode(&w->conf, &is->conf) == 0);
        is->data.len = w->data.len;
        is->data.base = raft_malloc(w->data.len);
        MUST(is->data.base);
        memcpy(is->data.base, w->data.base, w->data.len);
    }
    backend->recv(backend->io, &m);
    backend_fire(backend);
}

static void on_datagram(void *arg, sim_node from, struct sim_blob *blob)
{
    backend_receive(arg, from, blob);
}

void backend_listen(struct backend *backend)
{
    sim_receive(backend->sim, backend->manager->node, RAFT_CHANNEL, on_datagram, backend);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static struct backend_peer *peer_of(struct backend *b, uint64_t id)
{
    for (unsigned i = 0; i < b->peers_n; i++)
        if (b->peers[i].id == id) return &b->peers[i];
    MUST(b->peers_n < BACKEND_PEERS_MAX);
    struct backend_peer *p = &b->peers[b->peers_n++];
    p->owner = b;
    p->id = id;
    return p;
}

static void hang_up(struct backend_peer *p)
{
    if (p->stream) sim_stream_close(p->stream);
    p->stream = NULL;
    p->is_open = false;
    p->queued_us = 0;
}

static void on_opened(void *arg)
{
    struct backend_peer *p = arg;
    p->is_open = true;
}

static void on_received(void *arg, struct sim_blob *blob)
{
    (void)arg; /* Nothing is answered on a connection of ours. */
    (void)blob;
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct backend_peer *p = arg;
    struct transport *t = p->owner->transport;
    bool was_open = p->is_open;
    (void)why;
    p->stream = NULL;
    p->is_open = false;
    p->queued_us = 0;
    p->retry_us = sim_now_us(p->owner->sim) + 100 * SIM_MS;
    if (was_open) t->on_lost(t->arg, p->id, false);
}

static void send_on_stream(struct backend *b, uint64_t id, struct raft_word *w)
{
    static const struct sim_stream_ops ops = {on_opened, on_received, on_closed};
    struct backend_peer *p = peer_of(b, id);
    int64_t now = sim_now_us(b->sim);
    bool is_stuck = p->stream && sim_stream_queued(p->stream) > 0 && p->queued_us != 0 &&
                    now - p->queued_us > (int64_t)USER_TIMEOUT_US;
    if (is_stuck) hang_up(p);
    if (!p->stream && now >= p->retry_us) {
        p->stream = sim_connect(b->sim, b->manager->node, world_manager_node(b->manager->world, id), &ops, p);
        p->queued_us = now; /* What waits for the handshake waits, too. */
    }
    if (!p->stream) {
        sim_blob_unref(&w->head.blob);
        return;
    }
    if (sim_stream_queued(p->stream) == 0) p->queued_us = now;
    (void)sim_stream_send(p->stream, &w->head.blob);
}

/* S4: what is promised to another manager is on disk before the message goes. */
static void check_promise(struct manager *m, const struct raft_message *message)
{
    const struct disk *d = &m->disk;
    if (message->type == RAFT_REQUEST_VOTE_RESULT) {
        const struct raft_request_vote_result *r = &message->request_vote_result;
        bool is_promise = r->vote_granted && !r->pre_vote;
        if (is_promise && (d->term != r->term || d->vote != message->server_id))
            world_break(m->world, WORLD_SAFETY, "S4: %s gives m%llu its vote of term %llu before that is on disk",
                        m->name, (unsigned long long)message->server_id, (unsigned long long)r->term);
    } else if (message->type == RAFT_APPEND_ENTRIES_RESULT) {
        const struct raft_append_entries_result *r = &message->append_entries_result;
        if (r->rejected == 0 && r->last_log_index > disk_last(d))
            world_break(m->world, WORLD_SAFETY, "S4: %s acknowledges entry %llu, and %llu is the last on disk", m->name,
                        (unsigned long long)r->last_log_index, (unsigned long long)disk_last(d));
    }
}

int backend_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                 raft_io_send_cb cb)
{
    struct backend *b = io->impl;
    bool is_nowhere = strcmp(message->server_address, TRANSPORT_NOWHERE) == 0;
    if (is_nowhere) hang_up(peer_of(b, message->server_id));
    bool is_sent = !is_nowhere && !b->is_dead;
    if (is_sent) {
        check_promise(b->manager, message);
        struct raft_word *w = word_new(b, message);
        if (b->manager->world->raft_datagrams)
            sim_send(b->sim, b->manager->node, world_manager_node(b->manager->world, message->server_id), RAFT_CHANNEL,
                     &w->head.blob);
        else
            send_on_stream(b, message->server_id, w);
    }
    cb(req, is_sent ? 0 : RAFT_CANCELED); /* It has been copied. */
    return 0;
}
