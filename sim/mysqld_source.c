/* Dump threads of a simulated server: what its replicas are sent. See mysqld_private.h, FACTS.md.
 *
 * Happy path: a session asks for the binlog from a position; it is sent what is published from there on, and heartbeats
 * when nothing was sent for their period; acknowledgements come back on the same stream. Failure modes: the position
 * is not in the binlog, or purged: 1236; the replica goes away: the thread (and with it a client of semi-sync) stays
 * until its second attempt to send something; the replica comes back under the same server id: the old one ends. */
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_private.h"

enum { QUEUED_MESSAGES_MAX = 32, SENDS_UNNOTICED = 1 };

struct dump {
    struct dump *next;
    struct session *s;
    uint32_t server_id, heartbeat_us;
    bool is_semi;
    uint64_t serial;
    sim_node peer;
    struct pos start;
    size_t next_index;
    int64_t sent_us;
    unsigned sends_after_close;
    sim_event timer, again;
};

static void pump(struct dump *d);

struct peer_message *peer_new(enum peer_kind kind, unsigned n)
{
    struct peer_message *message = calloc(1, sizeof(*message) + n * sizeof(message->t[0]));
    MUST(message);
    message->head.kind = WIRE_OTHER;
    message->head.blob = (struct sim_blob){1, peer_free};
    message->kind = kind;
    message->n = n;
    return message;
}

void peer_free(struct sim_blob *blob)
{
    free(blob);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void dump_free(struct mysqld *m, struct dump *d)
{
    struct dump **at = &m->dumps;
    while (*at != d) at = &(*at)->next;
    *at = d->next;
    sim_cancel(m->sim, &d->timer);
    sim_cancel(m->sim, &d->again);
    free(d);
}

static void dump_end(struct dump *d)
{
    struct session *s = d->s;
    struct mysqld *m = s->m;
    dump_free(m, d);
    s->dump = NULL;
    session_end(s);
    commit_look(m); /* rpl_semi_sync_master_wait_no_slave may be off. */
}

void source_free(struct mysqld *m)
{
    while (m->dumps) dump_free(m, m->dumps);
}

bool source_kill(struct mysqld *m, uint64_t id)
{
    for (struct dump *d = m->dumps; d; d = d->next) {
        if (d->s->id != id) continue;
        dump_end(d);
        return true;
    }
    return false;
}

void source_closed(struct session *s)
{
    (void)s; /* Noticed when something is sent. */
}

/* False: the peer is gone, and the thread with it. */
static bool is_noticed(struct dump *d)
{
    if (d->s->stream) return false;
    if (d->sends_after_close++ < SENDS_UNNOTICED) return false;
    dump_end(d);
    return true;
}

/* --- sending ---------------------------------------------------------------------------------------------------- */

static void fill(struct peer_message *message, const struct dump *d)
{
    const struct mysqld *m = d->s->m;
    message->thread_id = d->s->id;
    message->source_id = m->now.server_id;
    message->file_n = m->log.file_n;
    message->file_pos = m->log.file_pos;
}

static void send_message(struct dump *d, struct peer_message *message)
{
    d->sent_us = sim_now_us(d->s->m->sim);
    if (d->s->stream) (void)sim_stream_send(d->s->stream, &message->head.blob);
    else peer_free(&message->head.blob);
}

static void on_timer(void *arg)
{
    struct dump *d = arg;
    struct mysqld *m = d->s->m;
    d->timer = 0;
    int64_t due = d->sent_us + d->heartbeat_us, now = sim_now_us(m->sim);
    if (due <= now) {
        if (is_noticed(d)) return;
        bool has_room = !d->s->stream || sim_stream_queued(d->s->stream) < QUEUED_MESSAGES_MAX;
        struct peer_message *message = has_room ? peer_new(PEER_HEARTBEAT, 0) : NULL;
        if (message) fill(message, d);
        if (message) send_message(d, message);
        due = now + d->heartbeat_us;
    }
    d->timer = sim_at(m->sim, m->node, due, on_timer, d);
}

static void on_again(void *arg)
{
    struct dump *d = arg;
    d->again = 0;
    pump(d);
}

static bool is_wanted(const struct dump *d, const struct mysqld_trx *t)
{
    const struct gtid_domain *from = pos_find(&d->start, t->domain);
    return !from || t->seq > from->seq;
}

static unsigned count_batch(const struct dump *d, size_t *end)
{
    const struct log *log = &d->s->m->log;
    unsigned n = 0;
    size_t i = d->next_index;
    for (; i < log->published_n && n < BATCH_MAX; i++)
        if (is_wanted(d, &log->e[i].t)) n++;
    *end = i;
    return n;
}

static void send_batch(struct dump *d, unsigned n, size_t end)
{
    const struct log *log = &d->s->m->log;
    struct peer_message *message = peer_new(PEER_EVENTS, n);
    unsigned k = 0;
    for (size_t i = d->next_index; i < end; i++)
        if (is_wanted(d, &log->e[i].t)) message->t[k++] = log->e[i].t;
    for (unsigned i = 0; i < n; i++) message->t[i].flags = 0;
    message->index = end - 1;
    fill(message, d);
    send_message(d, message);
}

static void pump(struct dump *d)
{
    struct mysqld *m = d->s->m;
    while (d->next_index < m->log.published_n) {
        if (d->s->stream && sim_stream_queued(d->s->stream) >= QUEUED_MESSAGES_MAX) {
            if (d->again == 0) d->again = sim_after(m->sim, m->node, 20 * SIM_MS, on_again, d);
            return;
        }
        size_t end;
        unsigned n = count_batch(d, &end);
        if (n > 0 && is_noticed(d)) return;
        if (n > 0) send_batch(d, n, end);
        d->next_index = end;
    }
}

void source_publish(struct mysqld *m)
{
    for (struct dump *d = m->dumps, *next; d; d = next) {
        next = d->next;
        pump(d);
    }
}

/* --- the beginning ---------------------------------------------------------------------------------------------- */

/* 0, or why the position cannot be served; '*from' is the first entry to look at. */
static unsigned find_start(const struct mysqld *m, const struct pos *start, size_t *from, const char **why)
{
    const struct log *log = &m->log;
    size_t first = SIZE_MAX;
    for (unsigned i = 0; i < start->n; i++) {
        size_t at = log_find(log, &start->d[i]);
        const struct gtid_domain *own = pos_find(&log->base, start->d[i].domain);
        bool is_base = own && own->seq == start->d[i].seq && own->server == start->d[i].server;
        if (at == SIZE_MAX && !is_base) {
            *why = "Error: connecting slave requested to start from a GTID which is not in the master's binlog";
            return 1236;
        }
        size_t behind = at == SIZE_MAX ? 0 : at + 1;
        if (behind < first) first = behind;
    }
    for (unsigned i = 0; i < log->last.n; i++)
        if (!pos_find(start, log->last.d[i].domain)) first = 0;
    if (first == SIZE_MAX) first = 0;
    if (first < log->purged_n) {
        *why = "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old"
               " and required binlog files have been purged.";
        return 1236;
    }
    *from = first;
    return 0;
}

static void refuse(struct session *s, unsigned code, const char *why)
{
    struct peer_message *message = peer_new(PEER_FAILED, 0);
    message->code = code;
    (void)TEXT_COPY(message->text, why);
    if (s->stream) (void)sim_stream_send(s->stream, &message->head.blob);
    else peer_free(&message->head.blob);
    session_end(s);
}

static void end_namesake(struct mysqld *m, uint32_t server_id)
{
    struct dump *d = m->dumps;
    while (d && d->server_id != server_id) d = d->next;
    if (d) dump_end(d);
}

void source_begin(struct session *s, struct sim_blob *blob)
{
    const struct peer_message *request = (const struct peer_message *)blob;
    struct mysqld *m = s->m;
    size_t from = 0;
    const char *why = NULL;
    unsigned code = find_start(m, &request->start, &from, &why);
    end_namesake(m, request->server_id);
    if (code != 0) {
        refuse(s, code, why);
        return;
    }
    struct dump *d = calloc(1, sizeof(*d));
    MUST(d);
    *d = (struct dump){.next = m->dumps, .s = s, .server_id = request->server_id, .heartbeat_us = request->heartbeat_us,
                       .is_semi = request->is_semi, .serial = request->serial, .start = request->start,
                       .next_index = from, .sent_us = sim_now_us(m->sim)};
    d->peer = s->stream ? sim_stream_peer(s->stream) : SIM_WORLD;
    m->dumps = d;
    s->dump = d;
    s->is_busy = true;
    if (d->heartbeat_us > 0) d->timer = sim_after(m->sim, m->node, d->heartbeat_us, on_timer, d);
    /* The source's own header comes first: the replica's relay log is not empty any more. */
    struct peer_message *hello = peer_new(PEER_EVENTS, 0);
    hello->index = SIZE_MAX;
    fill(hello, d);
    send_message(d, hello);
    pump(d);
}

/* --- semi-sync -------------------------------------------------------------------------------------------------- */

unsigned source_clients(const struct mysqld *m)
{
    unsigned n = 0;
    for (const struct dump *d = m->dumps; d; d = d->next) n += d->is_semi;
    return n;
}

void source_acked(struct session *s, size_t index)
{
    struct commits *cs = &s->m->commits;
    if (!s->dump->is_semi) return;
    if (index + 1 > cs->acked_n) cs->acked_n = index + 1;
    commit_look(s->m);
}

bool source_has_acker(const struct mysqld *m)
{
    for (const struct dump *d = m->dumps; d; d = d->next) {
        const struct mysqld *peer = mysqld_at(m->sim, d->peer);
        if (d->is_semi && d->s->stream && peer && replica_is_acking(peer, m->node, d->serial)) return true;
    }
    return false;
}
