/* The channel of a simulated server: the receiver, its relay log, and the applier. See mysqld_private.h, FACTS.md.
 *
 * Happy path: the receiver connects, logs in, asks for the binlog from its position; what comes is appended to the
 * relay log, fsynced, and, if the connection was made with the flag on, acknowledged; the applier commits one
 * transaction after the other. Failure modes: the source goes away: it connects again, at once and then every
 * MASTER_CONNECT_RETRY; nothing comes for slave_net_timeout: likewise; 1236: the receiver ends. Both threads stopped,
 * and one started: the relay log is thrown away, and what it held and was not executed with it (GTID). */
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_program.h"

enum { RELAY_FILE_BYTES = 256, RELAY_HEADER_BYTES = 664, RELAY_EVENT_BYTES = 205, RELAY_FIRST = 64,
       STOP_FROZEN_S = 2, STOP_FOR_EVER_S = 24 };

static void connect_source(struct mysqld *m);
static void sync_relay(struct mysqld *m);

/* --- relay log -------------------------------------------------------------------------------------------------- */

static void relay_add(struct relay *r, const struct mysqld_trx *t, int64_t now_us)
{
    if (r->n == r->room && r->head > r->n / 2) { /* Executed ones make room. */
        memmove(r->e, &r->e[r->head], (r->n - r->head) * sizeof(*r->e));
        r->dropped += r->head;
        r->n -= r->head;
        r->head = 0;
    }
    if (r->n == r->room) {
        r->room = r->room ? r->room * 2 : RELAY_FIRST;
        r->e = realloc(r->e, r->room * sizeof(*r->e));
        MUST(r->e);
    }
    r->e[r->n++] = (struct entry){*t, now_us};
    r->space += RELAY_EVENT_BYTES;
}

/* A statement throws it away, with what was not executed. */
static void relay_purge(struct mysqld *m)
{
    struct relay *r = &m->channel.relay;
    for (size_t i = r->head; m->on_drop && i < r->n; i++) m->on_drop(m->on_drop_arg, m, &r->e[i].t);
    r->head = r->n = r->synced = r->dropped = 0;
    r->space = RELAY_FILE_BYTES;
}

/* --- the receiver's end ----------------------------------------------------------------------------------------- */

static void wake_stoppers(struct mysqld *m)
{
    for (struct session *s = m->sessions; s; s = s->next)
        if (s->wait == WAIT_REPLICA) session_wake(s);
}

static void drop_streams(struct mysqld *m)
{
    struct channel *c = &m->channel;
    if (c->stream) sim_stream_close(c->stream);
    if (c->killer) sim_stream_close(c->killer);
    c->stream = c->killer = NULL;
    sim_cancel(m->sim, &c->timer);
    sim_cancel(m->sim, &c->retry);
    sim_cancel(m->sim, &c->stopped);
}

/* What was written is fsynced before the thread ends. */
static void receiver_ended(struct mysqld *m)
{
    struct channel *c = &m->channel;
    drop_streams(m);
    if (m->now.sync_relay_log == 1) c->relay.synced = c->relay.dropped + c->relay.n;
    sim_cancel(m->sim, &c->sync);
    c->io = IO_NO;
    c->is_stopping = c->is_semi = c->is_unsynced = false;
    c->thread_id = 0;
    wake_stoppers(m);
}

static void on_stopped(void *arg)
{
    struct mysqld *m = arg;
    m->channel.stopped = 0;
    receiver_ended(m);
}

/* --- stopping: a receiver that acknowledged has its dump thread killed ------------------------------------------ */

static void on_killer_opened(void *arg)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    struct wire_login *login = wire_login_new(c->user, c->password, "receiver");
    struct peer_message *message = peer_new(PEER_KILL, 0);
    message->thread_id = c->thread_id;
    (void)sim_stream_send(c->killer, &login->head.blob);
    (void)sim_stream_send(c->killer, &message->head.blob);
}

static void on_killer_received(void *arg, struct sim_blob *blob)
{
    struct mysqld *m = arg;
    (void)blob;
    if (++m->channel.kill_replies_n == 2) receiver_ended(m); /* To the login, to the KILL. */
}

static void on_killer_closed(void *arg, enum sim_closed why)
{
    struct mysqld *m = arg;
    (void)why;
    m->channel.killer = NULL;
    receiver_ended(m);
}

static const struct sim_stream_ops killer_ops = {on_killer_opened, on_killer_received, on_killer_closed};

static void begin_stop(struct mysqld *m)
{
    struct channel *c = &m->channel;
    c->is_stopping = true;
    sim_cancel(m->sim, &c->retry);
    bool must_kill = c->was_semi && c->thread_id != 0 && c->source != SIM_WORLD;
    int64_t us = work_us(m, 300, 1500);
    if (must_kill) {
        int64_t s = m->kill_conn_timeout_s;
        us = (s == 0 ? STOP_FOR_EVER_S : s < STOP_FROZEN_S ? s : STOP_FROZEN_S) * SIM_S;
        c->kill_replies_n = 0;
        c->killer = sim_connect(m->sim, m->node, c->source, &killer_ops, m);
    }
    c->stopped = sim_after(m->sim, m->node, us, on_stopped, m);
}

/* --- receiving -------------------------------------------------------------------------------------------------- */

static void on_retry(void *arg)
{
    struct mysqld *m = arg;
    m->channel.retry = 0;
    connect_source(m);
}

static void connect_later(struct mysqld *m, unsigned code, const char *text)
{
    struct channel *c = &m->channel;
    c->io = IO_CONNECTING;
    c->io_errno = code;
    (void)TEXT_COPY(c->io_error, text);
    sim_cancel(m->sim, &c->timer);
    sim_cancel(m->sim, &c->retry);
    c->retry = sim_after(m->sim, m->node, (int64_t)c->retry_s * SIM_S, on_retry, m);
}

static void on_relay_synced(void *arg)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    c->sync = 0;
    if (m->now.sync_relay_log == 1 && c->sync_n > c->relay.synced) c->relay.synced = c->sync_n;
    if (c->io != IO_YES || c->is_stopping) return;
    /* Over the connection that it came by, or not at all. */
    if (c->is_semi && c->stream && c->sync_serial == c->serial) {
        struct peer_message *ack = peer_new(PEER_ACK, 0);
        ack->index = c->sync_index;
        (void)sim_stream_send(c->stream, &ack->head.blob);
    }
    if (c->is_unsynced) sync_relay(m);
}

/* With sync_relay_log=1 the ack waits for the fsync (A6); else it does not, and a loss of power takes what was acked.
 */
static void sync_relay(struct mysqld *m)
{
    struct channel *c = &m->channel;
    c->is_unsynced = true;
    if (c->sync != 0) return;
    c->is_unsynced = false;
    c->sync_index = c->index;
    c->sync_serial = c->serial;
    c->sync_n = c->relay.dropped + c->relay.n;
    int64_t us = m->now.sync_relay_log == 1 ? fsync_us(m) : work_us(m, 10, 40);
    c->sync = sim_after(m->sim, m->node, us, on_relay_synced, m);
}

static void take_events(struct mysqld *m, const struct peer_message *message)
{
    struct channel *c = &m->channel;
    c->thread_id = message->thread_id;
    c->file_n = message->file_n;
    c->file_pos = message->file_pos;
    c->source_id = message->source_id;
    if (message->index == SIZE_MAX) {
        c->relay.space += RELAY_HEADER_BYTES;
        return;
    }
    for (unsigned i = 0; i < message->n; i++) {
        const struct mysqld_trx *t = &message->t[i];
        relay_add(&c->relay, t, sim_now_us(m->sim));
        pos_set(&c->received, t->domain, t->server, t->seq);
    }
    c->index = message->index;
    sync_relay(m);
    applier_look(m);
}

static void ask(struct mysqld *m)
{
    struct channel *c = &m->channel;
    const struct mysqld *source = mysqld_at(m->sim, c->source);
    struct peer_message *request = peer_new(PEER_REQUEST, 0);
    request->server_id = m->now.server_id;
    request->heartbeat_us = c->heartbeat_us;
    request->start = c->received;
    request->is_semi = c->is_semi = m->replica_flag;
    request->serial = c->serial = ++m->next_serial;
    c->io = IO_YES;
    c->io_errno = 0;
    c->io_error[0] = '\0';
    if (source) c->source_id = source->now.server_id;
    (void)sim_stream_send(c->stream, &request->head.blob);
}

static void take_login_reply(struct mysqld *m, const struct wire_reply *reply)
{
    struct channel *c = &m->channel;
    if (reply->result.status == DB_OK) {
        ask(m);
        return;
    }
    sim_stream_close(c->stream);
    c->stream = NULL;
    connect_later(m, reply->result.code, "error connecting to master");
}

static void take_failure(struct mysqld *m, const struct peer_message *message)
{
    struct channel *c = &m->channel;
    c->io_errno = message->code;
    struct text t = TEXT_ON(c->io_error);
    text_addf(&t, "Got fatal error %u from master when reading data from binary log: '%s'", message->code,
              message->text);
    if (!c->is_stopping) receiver_ended(m);
}

static void on_opened(void *arg)
{
    struct mysqld *m = arg;
    struct wire_login *login = wire_login_new(m->channel.user, m->channel.password, "receiver");
    (void)sim_stream_send(m->channel.stream, &login->head.blob);
}

static void on_received(void *arg, struct sim_blob *blob)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    const struct wire_head *head = (const struct wire_head *)blob;
    c->heard_us = sim_now_us(m->sim);
    if (c->is_stopping) return; /* Its loop was left. */
    if (head->kind == WIRE_REPLY) {
        take_login_reply(m, (const struct wire_reply *)blob);
        return;
    }
    const struct peer_message *message = (const struct peer_message *)blob;
    if (message->kind == PEER_EVENTS) take_events(m, message);
    if (message->kind == PEER_FAILED) take_failure(m, message);
    if (message->kind == PEER_HEARTBEAT) {
        c->heartbeats++;
        c->thread_id = message->thread_id;
        c->file_n = message->file_n;
        c->file_pos = message->file_pos;
    }
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    bool was_on = c->io == IO_YES;
    c->stream = NULL;
    if (c->is_stopping || c->io == IO_NO) return;
    c->io = IO_CONNECTING;
    c->is_semi = false;
    if (why == SIM_CLOSED_REFUSED) connect_later(m, 2003, "error reconnecting to master: Can't connect to server");
    else if (was_on) connect_source(m);
    else connect_later(m, 2013, "error reconnecting to master: Lost connection to server");
}

static const struct sim_stream_ops receiver_ops = {on_opened, on_received, on_closed};

/* Nothing was heard for slave_net_timeout. */
static void on_silence(void *arg)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    int64_t due = c->heard_us + (int64_t)m->now.slave_net_timeout_s * SIM_S;
    c->timer = 0;
    if (c->is_stopping || c->io == IO_NO) return;
    if (due > sim_now_us(m->sim)) {
        c->timer = sim_at(m->sim, m->node, due, on_silence, m);
        return;
    }
    bool was_on = c->io == IO_YES;
    if (c->stream) sim_stream_close(c->stream);
    c->stream = NULL;
    c->io = IO_CONNECTING;
    c->is_semi = false;
    if (was_on) connect_source(m);
    else connect_later(m, 2013, "error reconnecting to master: Lost connection to server at 'handshake'");
}

static void connect_source(struct mysqld *m)
{
    struct channel *c = &m->channel;
    c->heard_us = sim_now_us(m->sim);
    sim_cancel(m->sim, &c->timer);
    if (c->source == SIM_WORLD) {
        connect_later(m, 2005, "error connecting to master: Unknown server host");
        return;
    }
    c->stream = sim_connect(m->sim, m->node, c->source, &receiver_ops, m);
    c->timer = sim_after(m->sim, m->node, (int64_t)m->now.slave_net_timeout_s * SIM_S, on_silence, m);
}

bool replica_is_acking(const struct mysqld *m, sim_node source, uint64_t serial)
{
    const struct channel *c = &m->channel;
    return sim_process(m->sim, m->node) != SIM_DEAD && c->io == IO_YES && !c->is_stopping && c->is_semi && c->stream &&
           c->source == source && c->serial == serial;
}

bool mysqld_acknowledges(const struct mysqld *m, sim_node source)
{
    return replica_is_acking(m, source, m->channel.serial);
}

/* --- the applier ------------------------------------------------------------------------------------------------ */

static void applier_stopped(struct mysqld *m)
{
    m->channel.sql = m->channel.sql_is_stopping = false;
    wake_stoppers(m);
}

static void applier_failed(struct mysqld *m, unsigned code, const char *text)
{
    struct channel *c = &m->channel;
    c->sql_errno = code;
    (void)TEXT_COPY(c->sql_error, text);
    applier_stopped(m);
}

static void skip_own(struct mysqld *m, const struct mysqld_trx *t)
{
    pos_set(&m->log.base, t->domain, t->server, t->seq);
    pos_set(&m->log.applied, t->domain, t->server, t->seq);
    m->channel.relay.head++;
}

static void on_apply(void *arg)
{
    struct mysqld *m = arg;
    struct channel *c = &m->channel;
    c->apply = 0;
    if (!c->sql || c->sql_is_stopping || m->is_held || c->relay.head == c->relay.n) return;
    const struct mysqld_trx *t = &c->relay.e[c->relay.head].t;
    const struct gtid_domain *last = pos_find(&m->log.last, t->domain);
    bool is_duplicate = t->kind == MYSQLD_TRX_WRITE && log_find_row(&m->log, t->id) != SIZE_MAX;
    if (t->server == m->now.server_id) {
        skip_own(m, t);
        applier_look(m);
    } else if (m->break_code != 0) {
        applier_failed(m, m->break_code, "the applier was broken by the test");
    } else if (is_duplicate) {
        applier_failed(m, 1062, "Duplicate entry for key 'PRIMARY'");
    } else if (m->gtid_strict && last && last->seq >= t->seq) {
        applier_failed(m, 1950, "An attempt was made to binlog a GTID which would create an out-of-order number");
    } else if (m->read_only_waiter) { /* FTWRL is pending. */
        c->apply = sim_after(m->sim, m->node, SIM_MS, on_apply, m);
    } else {
        c->is_applying = true;
        commit_begin_applied(m, t);
    }
}

void applier_look(struct mysqld *m)
{
    struct channel *c = &m->channel;
    if (!c->sql || c->sql_is_stopping || m->is_held || c->is_applying || c->apply != 0) return;
    if (c->relay.head < c->relay.n) c->apply = sim_after(m->sim, m->node, work_us(m, 50, 400), on_apply, m);
}

/* The schema comes with the transactions that make it. */
static void apply_schema(struct mysqld *m, const struct mysqld_trx *t)
{
    if (t->kind != MYSQLD_TRX_SCHEMA) return;
    if (t->id == DDL_SCHEMA || t->id == DDL_SCHEMA_IF) m->has_schema = true;
    if (t->id == DDL_REIGN_IF) m->has_reign = true;
}

void applier_committed(struct mysqld *m)
{
    struct channel *c = &m->channel;
    c->is_applying = false;
    apply_schema(m, &c->relay.e[c->relay.head].t);
    c->relay.head++;
    if (c->sql_is_stopping) applier_stopped(m);
    else applier_look(m);
}

/* --- statements ------------------------------------------------------------------------------------------------- */

unsigned replica_start_threads(struct mysqld *m, bool io, bool sql)
{
    struct channel *c = &m->channel;
    if (!c->exists) return 1200;
    if (c->gtid && c->io == IO_NO && !c->sql) {
        relay_purge(m);
        c->received = m->log.applied;
    }
    if (io && c->io == IO_NO) {
        c->io = IO_CONNECTING;
        c->io_errno = 0;
        c->io_error[0] = '\0';
        c->was_semi = m->replica_flag;
        connect_source(m);
    }
    if (sql && !c->sql) {
        c->sql = true;
        c->sql_errno = 0;
        c->sql_error[0] = '\0';
        applier_look(m);
    }
    return 0;
}

void mysqld_set_replica_flag(struct mysqld *m, bool on)
{
    struct channel *c = &m->channel;
    if (sim_process(m->sim, m->node) != SIM_RUNNING || !m->is_ready || !c->exists) return;
    m->replica_flag = on;
    if (c->io == IO_NO || c->is_stopping || !c->sql) return;
    receiver_ended(m);
    (void)replica_start_threads(m, true, false);
}

bool replica_stop(struct session *s, bool io, bool sql)
{
    struct mysqld *m = s->m;
    struct channel *c = &m->channel;
    if (io && c->io != IO_NO && !c->is_stopping) begin_stop(m);
    if (sql && c->sql && !c->is_applying) applier_stopped(m);
    if (sql && c->sql) c->sql_is_stopping = true;
    return (!io || c->io == IO_NO) && (!sql || !c->sql);
}

static bool is_running(const struct channel *c)
{
    return c->io != IO_NO || c->sql;
}

unsigned replica_reset_all(struct session *s)
{
    struct channel *c = &s->m->channel;
    if (is_running(c)) return 1198;
    relay_purge(s->m);
    free(c->relay.e);
    *c = (struct channel){0};
    return 0;
}

static void change_one(struct mysqld *m, const struct code *option, const struct value *v)
{
    struct channel *c = &m->channel;
    switch ((enum change)option->a) {
    case CHANGE_HOST:
        (void)TEXT_COPY(c->host, v->text);
        c->source = node_of_host(m->sim, v->text);
        c->source_id = 0;
        break;
    case CHANGE_PORT: c->port = (uint16_t)v->number; break;
    case CHANGE_USER: (void)TEXT_COPY(c->user, v->text); break;
    case CHANGE_PASSWORD: (void)TEXT_COPY(c->password, v->text); break;
    case CHANGE_GTID: c->gtid = true; break;
    case CHANGE_HEARTBEAT: c->heartbeat_us = (uint32_t)(v->decimals ? v->number : v->number * SIM_S); break;
    case CHANGE_RETRY: c->retry_s = (uint32_t)v->number; break;
    }
}

unsigned replica_change(struct session *s, const struct program *p, uint32_t first, uint32_t n)
{
    struct mysqld *m = s->m;
    struct channel *c = &m->channel;
    if (is_running(c)) return 1198;
    if (!c->exists)
        *c = (struct channel){.exists = true, .gtid = true, .retry_s = 60,
                              .heartbeat_us = m->now.slave_net_timeout_s * SIM_S / 2};
    for (uint32_t i = 0; i < n; i++) change_one(m, &p->code[first + i], &s->frame.literals->v[p->code[first + i].c]);
    relay_purge(m);
    c->heartbeats = 0;
    c->file_n = 0;
    c->file_pos = 4;
    c->io_errno = c->sql_errno = 0;
    c->io_error[0] = c->sql_error[0] = '\0';
    return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

/* The declaration and the relay log stay; the rest is forgotten. */
void replica_free(struct mysqld *m, bool power_lost)
{
    struct channel *c = &m->channel, kept = *c;
    struct relay *r = &kept.relay;
    if (!c->exists) return;
    if (power_lost && r->synced < r->dropped + r->n) {
        size_t unsynced = r->dropped + r->n - r->synced;
        if (unsynced > r->n) unsynced = r->n;
        r->n -= (size_t)rng_below(&m->rng, unsynced + 1);
        if (r->head > r->n) r->head = r->n;
    }
    r->synced = r->dropped + r->n;
    r->space += RELAY_FILE_BYTES; /* A new file is begun at the next boot. */
    *c = (struct channel){.exists = true, .port = kept.port, .gtid = kept.gtid, .heartbeat_us = kept.heartbeat_us,
                          .retry_s = kept.retry_s, .source = kept.source, .relay = *r, .file_pos = 4};
    memcpy(c->host, kept.host, sizeof(c->host));
    memcpy(c->user, kept.user, sizeof(c->user));
    memcpy(c->password, kept.password, sizeof(c->password));
}

void replica_boot(struct mysqld *m, bool autostart)
{
    if (m->channel.exists && autostart) (void)replica_start_threads(m, true, true);
}
