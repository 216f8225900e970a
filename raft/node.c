/* One member of the group: start, the run that deals with what libraft recorded, status, and closing.
 *
 * Happy path: raft_node_start() locks and checks the data directory, wires our transport and the guarded disk back end
 * into libraft and starts it; libraft's callbacks note and wake; raft_node_run() delivers. As soon as the node is
 * leader it asks for a barrier of its own; when that is applied the node is established.
 *
 * Failure modes: each failure of the start has its code and text and leaves nothing locked. A failure later (disk,
 * corrupt log, unusable snapshot, libraft unavailable) closes libraft at once, so that nothing is retried on a broken
 * disk, and is told by hooks->fatal once. Closing: raft_close(), then, outside of libraft's callbacks, raft_uv_close(),
 * the lock, the outstanding 'done' functions, and 'closed'. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/log.h"
#include "raft/internal.h"

void node_wake(struct raft_node *node)
{
    if (node->woken || node->stopping) return;
    node->woken = true;
    node->hooks.wake(node->hooks.arg);
}

void node_fail(struct raft_node *node, const char *format, ...)
{
    va_list ap;
    if (node->failure[0] != '\0') return;
    va_start(ap, format);
    (void)vsnprintf(node->failure, sizeof node->failure, format, ap);
    va_end(ap);
    node_wake(node);
}

/* After each step of libraft: wakes when role, term or leader changed. */
static void on_step(struct raft *r)
{
    struct raft_node *node = r->data;
    raft_id leader = 0;
    const char *address = NULL;
    raft_leader(r, &leader, &address);
    enum raft_state state = raft_state(r);
    uint64_t term = RAFT_COMPAT_TERM(r);
    if (state == node->seen_state && term == node->seen_term && leader == node->seen_leader) return;
    node->seen_state = state;
    node->seen_term = term;
    node->seen_leader = leader;
    node_wake(node);
}

static void check_disk(struct raft_node *node)
{
    bool low = node->guard.io.capacity < SEGMENT_KB;
    bool full = low && storage_is_full(node->data_dir, 2 * SEGMENT_BYTES);
    if (full != node->disk_full) {
        log_write(full ? LOG_LEVEL_ERR : LOG_LEVEL_INFO, full ? "raft.disk_full" : "raft.disk_has_space",
                  "data_dir=%s reserved_kb=%u text=\"free space under data_dir: commands are refused when the reserve "
                  "is used up\"", node->data_dir, (unsigned)node->guard.io.capacity);
    }
    node->disk_full = full;
}

/* A leader whose log can not grow any more: others can go on, and nobody waits for its disk. */
static bool should_hand_over(struct raft_node *node)
{
    if (!node->disk_full || node->guard.io.capacity >= HAND_OVER_KB || node->closing) return false;
    return raft_state(&node->raft) == RAFT_LEADER && node->raft.configuration.n > 1 && !node->transfer.flying &&
           uv_now(node->loop) >= node->hand_over_at_ms;
}

static void on_handed_over(void *arg, int status, uint64_t index)
{
    struct raft_node *node = arg;
    (void)index;
    if (status != 0 && status != -EIO) {
        log_limited(LOG_LEVEL_WARN, "raft.hand_over", "data_dir=%s text=\"no other member could take the lead from "
                    "this one, whose disk is full\"", node->data_dir);
    }
}

static void hand_over_when_full(struct raft_node *node)
{
    if (!should_hand_over(node)) return;
    node->hand_over_at_ms = uv_now(node->loop) + HAND_OVER_RETRY_MS;
    if (raft_node_transfer(node, 0, on_handed_over, node) != 0) return;
    log_warn("raft.hand_over", "data_dir=%s text=\"the disk is full: another member shall lead\"", node->data_dir);
}

static void on_tick(void *arg)
{
    struct raft_node *node = arg;
    bool want_barrier = raft_state(&node->raft) == RAFT_LEADER && node->establishing_term == 0 &&
                        node->established_term != RAFT_COMPAT_TERM(&node->raft);
    /* A barrier or a configuration was applied: no hook hears of it, but the index moved on. */
    bool moved = node->commits == NULL && node->applied_index != raft_last_applied(&node->raft);
    check_disk(node);
    node_members_tick(node);
    node_transfer_tick(node);
    on_step(&node->raft);
    if (want_barrier || moved || guard_failed(&node->guard) || should_hand_over(node)) node_wake(node);
}

static void on_peer_lost(void *arg, uint64_t id, bool old)
{
    struct raft_node *node = arg;
    if (old) guard_drop_connection(&node->guard, id);
    else guard_peer_lost(&node->guard, id);
}

static void on_closer_closed(uv_handle_t *handle)
{
    struct raft_node *node = handle->data;
    void (*closed)(void *) = node->closed;
    void *arg = node->closed_arg;
    node_drain(node);
    raft_uv_close(&node->guard.io);
    seal_close(&node->guard.seal);
    close(node->lock_fd);
    free(node);
    if (closed != NULL) closed(arg);
}

static void finish_closing(struct raft_node *node)
{
    if (node->raft_closed && node->stopping) uv_close((uv_handle_t *)&node->closer, on_closer_closed);
}

static void on_raft_closed(struct raft *r)
{
    struct raft_node *node = r->data;
    node->raft_closed = true;
    finish_closing(node);
}

static void begin_closing(struct raft_node *node)
{
    if (node->closing) return;
    node->closing = true;
    guard_closing(&node->guard);
    raft_close(&node->raft, on_raft_closed);
}

void raft_node_stop(struct raft_node *node, void (*closed)(void *arg), void *arg)
{
    MUST(!node->stopping);
    node->stopping = true;
    node->closed = closed;
    node->closed_arg = arg;
    if (node->raft_closed) {
        finish_closing(node);
    } else {
        begin_closing(node);
    }
}

static void tell_failure(struct raft_node *node)
{
    if (node->failure[0] == '\0' && guard_failed(&node->guard)) {
        struct err e;
        bool full = storage_is_full(node->data_dir, 64 * 1024);
        (void)storage_raft_error(node->data_dir, full ? RAFT_NOSPACE : RAFT_IOERR, node->guard.text, &e);
        node_fail(node, "%.*s", (int)sizeof node->failure - 1, e.text);
    }
    if (node->failure[0] == '\0' && !node->closing && raft_state(&node->raft) == RAFT_UNAVAILABLE) {
        node_fail(node, "libraft has stopped: %s", raft_errmsg(&node->raft));
    }
    if (node->failure[0] == '\0' || node->failure_told) return;
    node->failure_told = true;
    begin_closing(node);
    node->hooks.fatal(node->hooks.arg, node->failure);
}

static void on_established(void *arg, int status, uint64_t index)
{
    struct raft_node *node = arg;
    uint64_t term = node->establishing_term;
    node->establishing_term = 0;
    if (status != 0 || node->closing || raft_state(&node->raft) != RAFT_LEADER) return;
    if (term != RAFT_COMPAT_TERM(&node->raft)) return;
    node->established_term = term;
    log_info("raft.established", "term=%" PRIu64 " index=%" PRIu64, term, index);
}

/* A leader's first act in its term. Refused (disk full) or lost: the next tick asks again. */
static void establish(struct raft_node *node)
{
    if (node->closing || raft_state(&node->raft) != RAFT_LEADER || node->establishing_term != 0) return;
    uint64_t term = RAFT_COMPAT_TERM(&node->raft);
    if (node->established_term == term) return;
    if (raft_node_barrier(node, on_established, node) == 0) node->establishing_term = term;
}

void raft_node_run(struct raft_node *node)
{
    if (node->running || node->stopping) return;
    node->running = true;
    node->woken = false;
    tell_failure(node);
    if (!node->stopping) node_deliver_commits(node);
    if (!node->stopping) establish(node);
    if (!node->stopping) hand_over_when_full(node);
    if (!node->stopping) node_deliver_done(node);
    if (!node->stopping) tell_failure(node);
    node->running = false;
}

static enum raft_node_role role_of(struct raft_node *node)
{
    if (node->closing || node->failure[0] != '\0') return RAFT_NODE_UNAVAILABLE;
    switch (raft_state(&node->raft)) {
    case RAFT_FOLLOWER: return RAFT_NODE_FOLLOWER;
    case RAFT_CANDIDATE: return RAFT_NODE_CANDIDATE;
    case RAFT_LEADER: return RAFT_NODE_LEADER;
    case RAFT_UNAVAILABLE: break;
    }
    return RAFT_NODE_UNAVAILABLE;
}

/* NULL: it was added since the bootstrap. */
static const struct raft_node_member *first_member(const struct raft_node *node, uint64_t id)
{
    for (unsigned i = 0; i < node->identity.members_n; i++) {
        if (node->identity.members[i].id == id) return &node->identity.members[i];
    }
    return NULL;
}

static void fill_members(const struct raft_node *node, struct raft_node_status *out)
{
    const struct raft_configuration *c = &node->raft.configuration;
    for (unsigned i = 0; i < c->n && out->members_n < RAFT_NODE_MEMBERS_MAX; i++) {
        if (c->servers[i].role != RAFT_VOTER) continue;
        struct raft_node_member *m = &out->members[out->members_n++];
        const struct raft_node_member *first = first_member(node, c->servers[i].id);
        m->id = c->servers[i].id;
        if (first != NULL) memcpy(m->name, first->name, sizeof m->name);
        (void)TEXT_COPY(m->address, c->servers[i].address);
    }
}

void raft_node_status(const struct raft_node *node, struct raft_node_status *out)
{
    struct raft *r = (struct raft *)&node->raft; /* libraft's getters are not const; they change nothing. */
    raft_id leader = 0;
    const char *address = NULL;
    memset(out, 0, sizeof *out);
    out->role = role_of((struct raft_node *)node);
    out->id = node->config.id;
    out->applied_index = node->applied_index;
    out->disk_full = node->disk_full;
    if (node->closing) return;
    if (node->commits == NULL) out->applied_index = raft_last_applied(r);
    out->term = RAFT_COMPAT_TERM(r);
    out->last_index = raft_last_index(r);
    out->established = out->role == RAFT_NODE_LEADER && node->established_term == out->term;
    raft_leader(r, &leader, &address);
    out->leader_id = leader;
    if (leader != 0 && address != NULL) (void)TEXT_COPY(out->leader_address, address);
    fill_members(node, out);
}

bool raft_node_is_established(const struct raft_node *node, uint64_t *term)
{
    *term = node->closing ? 0 : RAFT_COMPAT_TERM((struct raft *)&node->raft);
    if (node->closing || role_of((struct raft_node *)node) != RAFT_NODE_LEADER) return false;
    return node->established_term == *term;
}

static void default_u32(uint32_t *value, uint32_t value_default)
{
    if (*value == 0) *value = value_default;
}

static int config_check(struct raft_node *node, const struct raft_node_config *config, struct err *e)
{
    node->config = *config;
    default_u32(&node->config.heartbeat_ms, 100);
    default_u32(&node->config.election_timeout_ms, 500);
    default_u32(&node->config.snapshot_threshold, 1024);
    default_u32(&node->config.snapshot_trailing, 2048);
    if (!TEXT_COPY(node->data_dir, config->data_dir) || config->data_dir[0] == '\0' || config->id == 0) {
        return err_set(e, -EINVAL, "data_dir (1 to %d bytes) and the node's id must be set", STORAGE_PATH_MAX - 16);
    }
    node->config.data_dir = node->data_dir;
    if (node->config.heartbeat_ms < GUARD_TICK_MS ||
        node->config.election_timeout_ms < 2 * node->config.heartbeat_ms) {
        return err_set(e, -EINVAL, "the heartbeat must be at least %d ms, the election timeout twice that",
                       GUARD_TICK_MS);
    }
    return 0;
}

static void set_options(struct raft_node *node)
{
    struct raft *r = &node->raft;
    const struct raft_node_config *c = &node->config;
    r->data = node;
    r->tracer = NULL; /* libraft would format a text for each step and throw it away. */
    raft_set_heartbeat_timeout(r, GUARD_TICK_MS); /* The guard times the heartbeats. */
    raft_set_election_timeout(r, c->election_timeout_ms);
    raft_set_install_snapshot_timeout(r, INSTALL_SNAPSHOT_TIMEOUT_MS);
    raft_set_snapshot_threshold(r, c->snapshot_threshold);
    raft_set_snapshot_trailing(r, c->snapshot_trailing);
    raft_set_pre_vote(r, true);
    raft_set_max_catch_up_rounds(r, CATCH_UP_ROUNDS);
    raft_set_max_catch_up_round_duration(r, CATCH_UP_ROUND_MS);
    raft_set_capacity_threshold(r, CAPACITY_MIN_KB);
    RAFT_COMPAT_STEP_CB(r) = on_step;
}

static void on_removed(void *arg, uint64_t id)
{
    struct raft_node *node = arg;
    node_fail(node, "this manager (id %" PRIu64 ") is removed from the group, as member %" PRIu64 " says: its data_dir "
              "%s is of no more use; to take the host in again, move that directory away and join with a new token",
              node->config.id, id, node->data_dir);
}

static bool address_of(void *arg, uint64_t id, char *address)
{
    const struct raft_node *node = arg;
    return node->hooks.address_of != NULL && node->hooks.address_of(node->hooks.arg, id, address);
}

static bool is_removed(void *arg, uint64_t id)
{
    const struct raft_node *node = arg;
    return node->hooks.is_removed != NULL && node->hooks.is_removed(node->hooks.arg, id);
}

/* raft_uv and libraft over it, not started. On failure nothing is left open. */
static int open_raft(struct raft_node *node, struct err *e)
{
    char dir[STORAGE_PATH_MAX];
    struct raft_io *io = &node->guard.io;
    int rv = storage_path(dir, node->data_dir, "raft", e);
    if (rv != 0) return rv;
    uv_update_time(node->loop);
    transport_init(&node->transport, node->config.net, node->identity.group_id);
    node->transport.on_lost = on_peer_lost;
    node->transport.on_removed = on_removed;
    node->transport.is_removed = is_removed;
    node->transport.address_of = address_of;
    node->transport.arg = node;
    rv = raft_uv_init(io, node->loop, dir, &node->transport.raft);
    if (rv != 0) return storage_raft_error(node->data_dir, rv, io->errmsg, e);
    raft_uv_set_segment_size(io, SEGMENT_BYTES);
    raft_uv_set_auto_recovery(io, false);
    raft_uv_set_connect_retry_delay(io, CONNECT_RETRY_MS);
    raft_uv_set_disk_retry(io, DISK_RETRY_MS);
    node->guard.arg = node;
    node->guard.on_tick = on_tick;
    node->guard.is_removed = is_removed;
    guard_wrap(&node->guard, &node->raft, node->config.heartbeat_ms);
    node_fsm_init(node);
    rv = raft_init(&node->raft, io, &node->fsm, node->config.id, node->config.address);
    if (rv == 0) return 0;
    rv = storage_raft_error(node->data_dir, rv, node->raft.errmsg, e);
    raft_uv_close(io);
    return rv;
}

static int start_raft(struct raft_node *node, struct err *e)
{
    set_options(node);
    int rv = raft_start(&node->raft);
    if (rv != 0) return storage_raft_error(node->data_dir, rv, raft_errmsg(&node->raft), e);
    if (guard_failed(&node->guard)) return storage_raft_error(node->data_dir, RAFT_IOERR, node->guard.text, e);
    if (node->raft.configuration.n == 0 && !node->identity.joining) {
        return storage_raft_error(node->data_dir, RAFT_CORRUPT, "its raft/ holds no log, which it had once", e);
    }
    if (node->guard.io.capacity == 0) {
        return storage_raft_error(node->data_dir, RAFT_NOSPACE, "a log segment of 1 MiB can not be prepared", e);
    }
    return 0;
}

/* The others believe the certificate, libraft believes the directory. */
static int check_certificate(const struct raft_node *node, struct err *e)
{
    const struct tls *tls = node->config.net->tls;
    if (tls == NULL) return 0;
    const struct tls_identity *self = tls_self(tls);
    if (self->role == TLS_MANAGER && self->id == node->config.id) return 0;
    return err_set(e, -EPERM, "%s: this is node %" PRIu64 ", but the certificate is of %s with id %" PRIu64 ": nobody "
                   "would talk to it. Issue one with `regent pki issue manager NAME --id %" PRIu64 "`, or set "
                   "tls.cert and tls.key to that of this node", node->data_dir, node->config.id, self->name,
                   self->id, node->config.id);
}

/* Shows what is stored to hooks->stored, until it refuses. */
static int show_stored(const struct raft_node *node, struct err *e)
{
    struct log_image *image = NULL;
    if (node->hooks.stored == NULL) return 0;
    int rc = log_read(node->data_dir, &image, e);
    if (rc != 0) return rc;
    const struct log_snapshot *s = log_newest(image);
    if (s != NULL) {
        const struct raft_node_stored stored = {true, s->index, s->data, s->size};
        rc = node->hooks.stored(node->hooks.arg, &stored, e);
    }
    for (size_t i = 0; rc == 0 && i < image->entries_n; i++) {
        const struct log_entry *entry = &image->entries[i];
        const struct raft_node_stored stored = {false, entry->index, entry->data, entry->size};
        if (entry->kind == LOG_ENTRY_COMMAND) rc = node->hooks.stored(node->hooks.arg, &stored, e);
    }
    log_image_free(image);
    return rc == 0 ? 0 : err_wrap(e, rc, "%s", node->data_dir);
}

/* The first start after a join. */
static int make_raft_dir(const struct raft_node *node, struct err *e)
{
    char dir[STORAGE_PATH_MAX];
    if (!node->identity.joining) return 0;
    int rc = storage_path(dir, node->data_dir, "raft", e);
    if (rc != 0 || mkdir(dir, 0700) == 0 || errno == EEXIST) return rc;
    return err_errno(e, -errno, "create %s", dir);
}

/* Locks and reads the data directory, then opens libraft on it. */
static int open_node(struct raft_node *node, struct err *e)
{
    node->lock_fd = storage_lock(node->data_dir, e);
    if (node->lock_fd < 0) return node->lock_fd;
    struct seal *seal = &node->guard.seal;
    struct seal_state sealed;
    int rc = storage_load(node->data_dir, node->config.id, node->config.address, &node->identity, e);
    if (rc == 0) rc = check_certificate(node, e);
    if (rc == 0) rc = make_raft_dir(node, e);
    if (rc == 0) rc = preflight(node->data_dir, node->config.id, &sealed, e);
    if (rc == 0) rc = show_stored(node, e);
    if (rc == 0) rc = seal_open(seal, node->data_dir, &sealed, e);
    if (rc != 0) {
        close(node->lock_fd);
        return rc;
    }
    rc = open_raft(node, e);
    if (rc != 0) {
        seal_close(seal);
        close(node->lock_fd);
    }
    return rc;
}

struct raft_node *raft_node_start(struct uv_loop_s *loop, const struct raft_node_config *config,
                                  const struct raft_node_hooks *hooks, struct err *e)
{
    struct raft_node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        (void)err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    node->loop = loop;
    node->hooks = *hooks;
    if (config_check(node, config, e) != 0 || open_node(node, e) != 0) {
        free(node);
        return NULL;
    }
    MUST(uv_timer_init(loop, &node->closer) == 0);
    node->closer.data = node;
    if (start_raft(node, e) != 0) {
        raft_node_stop(node, NULL, NULL);
        return NULL;
    }
    node_wake(node);
    return node;
}

void raft_node_accept(struct raft_node *node, struct conn *conn)
{
    transport_accept(&node->transport, conn);
}
