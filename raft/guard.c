/* Fail-stop around libraft's disk back end: guard.h says which errors libraft forgets and what that costs.
 *
 * Happy path: each method passes through. Failure modes: a synchronous error of set_term, set_vote, append, truncate or
 * snapshot_put, a snapshot that was not written, or a failed log write that only the tracer tells about, set 'failed';
 * from then on received messages are freed, ticks do nothing, sends complete as cancelled, and appends are accepted but
 * never reported as written. What hangs in such an append leaks on purpose: the process ends. */
#include "raft/guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mutant.h"
#include "lib/base/text.h"
#include "lib/log.h"
#include "raft/transport.h"

enum { RESULT_VERSION = 2, RESULT_FEATURES = 1 }; /* As libraft 0.22 fills them (message.h). */

static struct guard *guard_of(struct raft_io *io)
{
    return (struct guard *)((char *)io - offsetof(struct guard, io));
}

static void fail(struct guard *g, const char *what, int rv)
{
    if (g->failed || g->closing) return;
    g->failed = true;
    const char *why = g->io.errmsg[0] != '\0' ? g->io.errmsg : raft_strerror(rv);
    (void)snprintf(g->text, sizeof g->text, "%s: %.200s", what, why);
    log_err("raft.disk_failed", "text=\"%s\"", g->text);
}

bool guard_failed(struct guard *g)
{
    if (!g->failed && !g->closing && atomic_load_explicit(&g->trace_failed, memory_order_acquire)) {
        g->failed = true;
        (void)snprintf(g->text, sizeof g->text, "write the log: %s", g->trace_text);
        log_err("raft.disk_failed", "text=\"%s\"", g->text);
    }
    return g->failed;
}

void guard_closing(struct guard *g)
{
    g->closing = true;
}

/* A leader's tick takes peers for lost that did not answer since the last one: once per heartbeat, and a heartbeat
 * timeout of 0 within it makes it send to all, so that the next one finds their answers. */
static void run_tick(struct guard *g)
{
    g->ticks++;
    if (raft_state(g->raft) != RAFT_LEADER) {
        g->tick(&g->io);
        return;
    }
    if (g->ticks * GUARD_TICK_MS < g->heartbeat_ms) return;
    g->ticks = 0;
    raft_set_heartbeat_timeout(g->raft, 0);
    g->tick(&g->io);
    raft_set_heartbeat_timeout(g->raft, GUARD_TICK_MS);
}

static void on_tick(struct raft_io *io)
{
    struct guard *g = guard_of(io);
    if (!guard_failed(g)) run_tick(g);
    g->on_tick(g->arg);
}

/* Frees what libraft would have taken over from a received message. */
static void drop_message(struct raft_message *m)
{
    if (m->type == RAFT_INSTALL_SNAPSHOT) {
        raft_configuration_close(&m->install_snapshot.conf);
        raft_free(m->install_snapshot.data.base);
    }
    if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.n_entries > 0) {
        raft_free(m->append_entries.entries[0].batch); /* One batch holds the data of all of a message's entries. */
        raft_free(m->append_entries.entries);
    }
}

/* True when this follower has not heard of its leader for the baseline election timeout. */
static bool is_leader_silent(struct guard *g)
{
    const struct raft *r = g->raft;
    if (raft_state(g->raft) != RAFT_FOLLOWER) return false;
    return g->io.time(&g->io) >= r->election_timer_start + r->election_timeout - g->heartbeat_ms;
}

/* Notes the contact: in the entry of 'id', else in an unused one, else in the oldest. */
static void note_contact(struct guard *g, raft_id id)
{
    struct guard_contact *to = &g->contacts[0];
    for (struct guard_contact *c = g->contacts; c < g->contacts + GUARD_PEERS_MAX && to->id != id; c++) {
        if (c->id == id || c->at < to->at) to = c;
    }
    *to = (struct guard_contact){id, g->io.time(&g->io)};
}

int64_t guard_contact_ms(struct guard *g, raft_id id)
{
    for (const struct guard_contact *c = g->contacts; c < g->contacts + GUARD_PEERS_MAX; c++) {
        if (c->id == id && id != 0) return (int64_t)(g->io.time(&g->io) - c->at);
    }
    return -1;
}

/* guard.h says why. What is cut lies in the same batch, which is freed as a whole. */
static void cut_before_configuration(struct raft_append_entries *m)
{
    for (unsigned i = 1; i < m->n_entries; i++) {
        if (m->entries[i].type != RAFT_CHANGE) continue;
        m->n_entries = i;
        return;
    }
}

static void on_refused(struct raft_io_send *req, int status)
{
    (void)status;
    free(req);
}

/* Answers a leader of an older term in libraft's place: guard.h. */
static void refuse_old_term(struct guard *g, const struct raft_message *m)
{
    struct raft_message reply = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = m->server_id,
                                 .server_address = m->server_address};
    reply.append_entries_result = (struct raft_append_entries_result){
        .version = RESULT_VERSION, .term = RAFT_COMPAT_TERM(g->raft), .rejected = 1, .last_log_index = 0,
        .features = RESULT_FEATURES, .capacity = g->io.capacity};
    struct raft_io_send *req = calloc(1, sizeof *req);
    if (req != NULL && g->io.send(&g->io, req, &reply, on_refused) != 0) free(req);
}

bool guard_note_lead(struct raft *r)
{
    if (raft_state(r) != RAFT_LEADER || RAFT_COMPAT_NOTED_STATE(r) == RAFT_LEADER) return false;
    RAFT_COMPAT_NOTED_STATE(r) = RAFT_LEADER;
    return true;
}

bool guard_is_late_vote(struct raft *r, const struct raft_message *message)
{
    return message->type == RAFT_REQUEST_VOTE_RESULT && raft_state(r) != RAFT_CANDIDATE;
}

static bool is_of_old_term(struct guard *g, const struct raft_message *m)
{
    uint64_t term = RAFT_COMPAT_TERM(g->raft);
    if (m->type == RAFT_APPEND_ENTRIES) return m->append_entries.term < term;
    return m->type == RAFT_INSTALL_SNAPSHOT && m->install_snapshot.term < term;
}

static void on_recv(struct raft_io *io, struct raft_message *m)
{
    struct guard *g = guard_of(io);
    if (!g->closing && g->is_removed != NULL && g->is_removed(g->arg, m->server_id)) {
        drop_message(m);
        return;
    }
    note_contact(g, m->server_id);
    if (m->type == RAFT_APPEND_ENTRIES) cut_before_configuration(&m->append_entries);
    bool unsafe_snapshot = m->type == RAFT_INSTALL_SNAPSHOT && RAFT_COMPAT_SNAPSHOT_BUSY(g->raft);
    if (!g->closing && (guard_failed(g) || unsafe_snapshot)) {
        drop_message(m);
        return;
    }
    if (!g->closing && is_of_old_term(g, m)) {
        refuse_old_term(g, m);
        drop_message(m);
        return;
    }
    if (guard_is_late_vote(g->raft, m)) return;
    if (m->type == RAFT_REQUEST_VOTE && is_leader_silent(g)) m->request_vote.disrupt_leader = true;
    g->recv(io, m);
    (void)guard_note_lead(g->raft);
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct guard *g = guard_of(io);
    g->tick = tick;
    g->recv = recv;
    return g->inner.start(io, msecs, on_tick, on_recv);
}

/* The code of libraft for an error of the seal. */
static int seal_code(int rc)
{
    if (rc == 0) return 0;
    return rc == -ENOSPC ? RAFT_NOSPACE : RAFT_IOERR;
}

/* libraft sets the term before each vote, also the one that is there, and raft_uv writes "no vote" with it: a crash
 * before the vote follows would lose one that was given before in that term. */
static int io_set_term(struct raft_io *io, raft_term term)
{
    struct guard *g = guard_of(io);
    if (term == g->seal.state.term && !guard_failed(g)) return 0;
    int rv = guard_failed(g) ? RAFT_IOERR : g->inner.set_term(io, term);
    if (rv == 0) rv = seal_code(seal_vote(&g->seal, term, 0));
    if (rv != 0) fail(g, "write the term", rv);
    return rv;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    struct guard *g = guard_of(io);
    if (MUTANT(lose_vote)) return 0;
    int rv = guard_failed(g) ? RAFT_IOERR : g->inner.set_vote(io, id);
    if (rv == 0) rv = seal_code(seal_vote(&g->seal, g->seal.state.term, id));
    if (rv != 0) fail(g, "write the vote", rv);
    return rv;
}

/* An append on its way to the disk, in place of libraft's request. */
struct append {
    struct raft_io_append req; /* First. */
    struct guard *g;
    struct raft_io_append *orig;
    uint64_t index, term; /* Of its last entry. */
    unsigned cuts;
};

static void on_append(struct raft_io_append *req, int status)
{
    struct append *a = (struct append *)req;
    struct raft_io_append *orig = a->orig;
    /* What was cut meanwhile is durable and gone. */
    if (status == 0 && a->cuts == a->g->cuts) seal_raise(&a->g->seal, a->index, a->term);
    free(a);
    orig->cb(orig, status);
}

/* Never returns an error: libraft frees the entries twice when append or truncate fail. */
static int io_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
                     raft_io_append_cb cb)
{
    struct guard *g = guard_of(io);
    req->cb = cb;
    if (guard_failed(g)) return 0;
    struct append *a = calloc(1, sizeof *a);
    int rv = a == NULL ? RAFT_NOMEM : 0;
    if (rv == 0) {
        *a = (struct append){.g = g, .orig = req, .index = g->append_next + n - 1, .cuts = g->cuts};
        a->term = entries[n - 1].term;
        rv = g->inner.append(io, &a->req, entries, n, on_append);
    }
    if (rv == 0) {
        g->append_next += n;
        return 0;
    }
    free(a);
    fail(g, "append to the log", rv);
    return 0;
}

/* libraft calls this before each append with its first index; mostly there is nothing to cut. */
static int io_truncate(struct raft_io *io, raft_index index)
{
    struct guard *g = guard_of(io);
    if (guard_failed(g)) return 0;
    int rv = 0;
    if (index != g->append_next) {
        g->cuts++;
        rv = seal_code(seal_lower(&g->seal, index));
    }
    g->append_next = index;
    if (rv == 0) rv = g->inner.truncate(io, index);
    if (rv != 0) fail(g, "truncate the log", rv);
    return 0;
}

static void on_nowhere(struct raft_io_send *req, int status)
{
    (void)status;
    free(req);
}

/* A message for another address of the same peer makes libraft close its connection; it stays queued for nowhere until
 * the next real message, for the real address, replaces that connection too, and connects. */
void guard_drop_connection(struct guard *g, raft_id id)
{
    struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT, .server_id = id, .server_address = TRANSPORT_NOWHERE};
    if (g->closing || guard_failed(g)) return;
    struct raft_io_send *req = calloc(1, sizeof *req);
    if (req != NULL && g->inner.send(&g->io, req, &m, on_nowhere) != 0) free(req);
}

const struct raft_message *guard_tell_term(const struct raft *r, const struct raft_message *message,
                                           struct raft_message *copy)
{
    const struct raft_request_vote_result *vote = &message->request_vote_result;
    if (message->type != RAFT_REQUEST_VOTE_RESULT || !vote->pre_vote || vote->vote_granted) return message;
    if (vote->term >= r->current_term) return message;
    *copy = *message;
    copy->request_vote_result.term = r->current_term;
    return copy;
}

/* Never returns an error either: it would make libraft free received entries that it has already taken over. */
static int io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                   raft_io_send_cb cb)
{
    struct guard *g = guard_of(io);
    struct raft_message copy;
    message = guard_tell_term(g->raft, message, &copy);
    req->cb = cb;
    int rv = guard_failed(g) ? RAFT_CANCELED : g->inner.send(io, req, message, cb);
    if (rv == RAFT_IOERR) guard_drop_connection(g, message->server_id); /* It would fail for ever. */
    if (rv != 0) cb(req, rv);
    return 0;
}

/* How many voters without 'lost' come before us in the configuration. */
static unsigned rank_without(const struct raft *r, raft_id lost)
{
    unsigned rank = 0;
    for (unsigned i = 0; i < r->configuration.n && r->configuration.servers[i].id != r->id; i++) {
        if (r->configuration.servers[i].role == RAFT_VOTER && r->configuration.servers[i].id != lost) rank++;
    }
    return rank;
}

/* Follower: the election timer runs out soon, as if the leader had been silent for that long. */
static void hurry_election(struct guard *g, raft_id lost)
{
    struct raft *r = g->raft;
    raft_time now = g->io.time(&g->io);
    if (raft_state(r) != RAFT_FOLLOWER || r->follower_state.current_leader.id != lost) return;
    unsigned timeout = r->follower_state.randomized_election_timeout;
    unsigned wait = rank_without(r, lost) * 3 * GUARD_TICK_MS;
    if (now > timeout) r->election_timer_start = now + wait - timeout;
}

void guard_peer_lost(struct guard *g, raft_id id)
{
    if (g->closing || guard_failed(g)) return;
    guard_drop_connection(g, id);
    hurry_election(g, id);
}

static void on_snapshot_put(struct raft_io_snapshot_put *put, int status)
{
    struct guard *g = put->data;
    struct raft_io_snapshot_put *req = g->put_req;
    if (status != 0 && status != RAFT_CANCELED) fail(g, "write a snapshot", status);
    if (status == 0 && g->install_index != 0) seal_raise(&g->seal, g->install_index, g->install_term);
    g->install_index = 0;
    g->put_req = NULL;
    req->cb(req, status);
}

/* A snapshot of the leader replaces the whole log, which may have gone on with other entries. */
static int begin_install(struct guard *g, const struct raft_snapshot *snapshot)
{
    g->cuts++;
    g->install_index = snapshot->index;
    g->install_term = snapshot->term;
    return g->seal.state.index < snapshot->index ? 0 : seal_code(seal_lower(&g->seal, 0));
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct guard *g = guard_of(io);
    if (guard_failed(g)) return RAFT_IOERR;
    MUST(g->put_req == NULL);
    int rv = trailing == 0 ? begin_install(g, snapshot) : 0;
    if (rv != 0) {
        fail(g, "write a snapshot", rv);
        return rv;
    }
    g->put_req = req;
    g->put.data = g;
    req->cb = cb;
    rv = g->inner.snapshot_put(io, trailing, &g->put, snapshot, on_snapshot_put);
    if (rv == 0) return 0;
    g->put_req = NULL;
    fail(g, "write a snapshot", rv);
    return rv;
}

/* libraft has no other sign of these two. A message is in a static buffer of its call site: it is read at once. */
static void on_trace(struct raft_tracer *t, int type, const void *data)
{
    static const char *const bad[] = {"retry failed write", "truncate segment "};
    struct guard *g = t->impl;
    const struct raft_tracer_info *info = data;
    if (type != RAFT_TRACER_DIAGNOSTIC) return;
    const char *message = info->diagnostic.message;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (strncmp(message, bad[i], strlen(bad[i])) != 0) continue;
        if (atomic_exchange(&g->trace_claimed, true)) return;
        (void)TEXT_COPY(g->trace_text, message);
        atomic_store_explicit(&g->trace_failed, true, memory_order_release);
    }
}

void guard_wrap(struct guard *g, struct raft *raft, unsigned heartbeat_ms)
{
    g->raft = raft;
    g->heartbeat_ms = heartbeat_ms;
    g->inner = g->io;
    g->io.start = io_start;
    g->io.set_term = io_set_term;
    g->io.set_vote = io_set_vote;
    g->io.append = io_append;
    g->io.truncate = io_truncate;
    g->io.send = io_send;
    g->io.snapshot_put = io_snapshot_put;
    g->tracer = (struct raft_tracer){.impl = g, .version = 2, .emit = on_trace};
    raft_uv_set_tracer(&g->io, &g->tracer);
}
