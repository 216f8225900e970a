/* The simulated mysqld: life, disk and recovery; what the checkers see. See mysqld.h, FACTS.md.
 *
 * Happy path: mysqld_start() boots the process; recovery commits what the binlog holds; it listens. Failure modes: kill
 * -9 keeps all that was written; a loss of power keeps what was fsynced, and of the rest a part that is drawn. */
#include "sim/mysqld.h"

#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_private.h"

enum { STOP_US = 60 * SIM_MS, ENGINE_FLUSH_US = SIM_S };

static struct mysqld *servers; /* Of every world. */

/* --- small things ----------------------------------------------------------------------------------------------- */

struct mysqld *mysqld_at(struct sim *sim, sim_node node)
{
    struct mysqld *m = servers;
    while (m && (m->sim != sim || m->node != node)) m = m->next;
    return m;
}

sim_node node_of_host(struct sim *sim, const char *host)
{
    for (sim_node n = 1; n < sim_nodes_n(sim); n++)
        if (text_equal(sim_node_name(sim, n), host)) return n;
    return SIM_WORLD;
}

int64_t work_us(struct mysqld *m, int64_t low_us, int64_t high_us)
{
    return rng_between(&m->rng, low_us, high_us);
}

int64_t fsync_us(struct mysqld *m)
{
    return (int64_t)m->now.fsync_us + m->slow_us + rng_between(&m->rng, 0, m->now.fsync_jitter_us);
}

void mysqld_changed(struct session *s)
{
    struct mysqld *m = s->m;
    if (s->account != ACCOUNT_CONTROL || !m->on_change) return;
    m->on_change(m->on_change_arg, m, s->guard_token, s->guard_term);
}

void current_pos(const struct mysqld *m, struct pos *pos)
{
    *pos = m->log.applied;
    for (unsigned i = 0; i < m->log.last.n; i++) {
        const struct gtid_domain *own = &m->log.last.d[i], *applied = pos_find(pos, own->domain);
        if (own->server == m->now.server_id && (!applied || applied->seq < own->seq))
            pos_set(pos, own->domain, own->server, own->seq);
    }
}

/* --- the end of a process --------------------------------------------------------------------------------------- */

/* innodb_flush_log_at_trx_commit is not 1: commits of the last second may be gone, though the binlog has them. */
static void lose_commits(struct mysqld *m)
{
    struct log *log = &m->log;
    size_t first = log->n;
    int64_t since = sim_now_us(m->sim) - ENGINE_FLUSH_US;
    if (m->now.flush_log == 1) return;
    while (first > 0 && log->e[first - 1].at_us > since) first--;
    if (first == log->n) return;
    first += (size_t)rng_below(&m->rng, log->n - first + 1);
    for (size_t i = first; i < log->n; i++) log->e[i].t.flags = (uint8_t)((log->e[i].t.flags & ~F_APPLIED) | F_LOST);
}

static void lose_power(struct mysqld *m)
{
    struct log *log = &m->log;
    if (log->synced_n < log->n) {
        size_t left = log->synced_n + (size_t)rng_below(&m->rng, log->n - log->synced_n + 1);
        log->n = left > log->purged_n ? left : log->purged_n;
    }
    lose_commits(m);
}

static void killed(void *arg, bool power_lost)
{
    struct mysqld *m = arg;
    source_free(m);
    sessions_free(m);
    commit_free(m);
    if (power_lost) lose_power(m);
    replica_free(m, power_lost);
    m->died_us = sim_now_us(m->sim);
    m->is_ready = false;
}

static void glyph(void *arg, char *to)
{
    const struct mysqld *m = arg;
    bool is_waiting = m->commits.waiting.first && m->commits.is_waiting;
    const char *text = !m->is_ready ? "up" : m->read_only ? "r" : is_waiting ? "Mw" : "M";
    memcpy(to, text, strlen(text) + 1);
}

/* --- boot ------------------------------------------------------------------------------------------------------- */

/* In role SLAVE what is only prepared in the engine is cut off the binlog; so are commits that were not flushed yet,
 * also when a client has been told of them (hazards.md A14). */
static void cut_prepared(struct mysqld *m)
{
    struct log *log = &m->log;
    size_t first = m->flushed_n < log->n ? m->flushed_n : log->n;
    while (first < log->n && (log->e[first].t.flags & F_ENGINE) && log->e[first].at_us < m->died_us - ENGINE_FLUSH_US)
        first++;
    if (first < log->purged_n) first = log->purged_n;
    log_truncate(log, first);
}

static void recover(struct mysqld *m)
{
    struct log *log = &m->log;
    if (m->now.init_role_slave) cut_prepared(m);
    log_rebuild(log);
    for (size_t i = 0; i < log->n; i++) log_commit(log, i);
    log->published_n = log->synced_n = m->flushed_n = log->n;
    log->file_n++;
    log->file_pos = 325;
}

/* What an operator has done by SET GLOBAL before Regent came. */
static void set_up_once(struct mysqld *m)
{
    m->set_at_run_time[0] = m->set_up_master; /* As docs/servers.md says: SET GLOBAL, by a person. */
    m->set_at_run_time[1] = m->set_up_replica && m->set_up_acker;
    if (m->set_up_master) {
        m->read_only = false;
        m->set_at_run_time[0] = true;
        m->source_flag = m->commits.is_on = m->set_up_lossless;
    }
    if (m->set_up_replica) m->replica_flag = m->set_at_run_time[1] = m->set_up_acker;
    replica_boot(m, m->set_up_replica || !m->now.skip_slave_start);
    m->set_up_master = m->set_up_replica = false;
}

static void on_ready(void *arg)
{
    struct mysqld *m = arg;
    recover(m);
    m->is_ready = true;
    set_up_once(m);
    sessions_listen(m);
}

void mysqld_start(struct mysqld *m)
{
    sim_boot(m->sim, m->node);
    m->now = m->file;
    MUST(m->now.flavour == FLAVOUR_MARIADB);
    m->read_only = m->now.read_only;
    m->replica_flag = m->now.replica_flag;
    m->source_flag = m->commits.is_on = m->now.source_flag;
    m->wait_no_slave = m->now.wait_no_slave;
    m->after_sync = m->now.after_sync;
    m->gtid_strict = m->now.gtid_strict;
    m->source_timeout_ms = m->now.source_timeout_ms;
    m->kill_conn_timeout_s = m->now.kill_conn_timeout_s;
    m->set_at_run_time[0] = m->set_at_run_time[1] = false;
    m->next_session_id = 10;
    m->started_wall_s = sim_wall(m->sim, m->node).us / SIM_S;
    sim_after(m->sim, m->node, (int64_t)m->now.boot_ms * SIM_MS + work_us(m, 0, 50 * SIM_MS), on_ready, m);
}

static void on_exit_event(void *arg)
{
    struct mysqld *m = arg;
    sim_kill(m->sim, m->node);
}

static void on_term(void *arg)
{
    struct mysqld *m = arg;
    sim_listen(m->sim, m->node, NULL, NULL);
    for (struct session *s = m->sessions, *next; s; s = next) {
        next = s->next;
        if (!s->dump) session_kill(s, KILL_SESSION);
    }
    sim_after(m->sim, m->node, STOP_US, on_exit_event, m);
}

void mysqld_stop(struct mysqld *m)
{
    if (sim_process(m->sim, m->node) != SIM_DEAD) sim_after(m->sim, m->node, 0, on_term, m);
}

/* --- making ----------------------------------------------------------------------------------------------------- */

struct mysqld_options mysqld_options(uint32_t server_id)
{
    return (struct mysqld_options){
        .flavour = FLAVOUR_MARIADB, .version = "10.11.19-MariaDB-sim", .server_id = server_id, .port = 3306,
        .read_only = true, .skip_slave_start = true, .binlog = true, .log_replica_updates = true, .gtid_strict = true,
        .wait_no_slave = true, .after_sync = true, .source_timeout_ms = 4294967295u, .kill_conn_timeout_s = 1,
        .slave_net_timeout_s = 4, .sync_binlog = 1, .flush_log = 1, .sync_relay_log = 1, .max_connections = 100,
        .fsync_us = 300, .fsync_jitter_us = 400, .statement_us = 60, .boot_ms = 150};
}

struct mysqld *mysqld_new(struct sim *sim, const char *name, const struct mysqld_options *options)
{
    struct mysqld *m = calloc(1, sizeof(*m));
    MUST(m && strlen(name) < sizeof(m->name));
    m->sim = sim;
    (void)TEXT_COPY(m->name, name);
    m->file = m->now = *options;
    m->node = sim_node_add(sim, name, &(struct sim_node_hooks){m, killed, glyph});
    rng_init(&m->rng, sim_seed(sim), "mysqld", m->node);
    m->next = servers;
    servers = m;
    return m;
}

void mysqld_free(struct mysqld *m)
{
    if (!m) return;
    sim_kill(m->sim, m->node);
    struct mysqld **at = &servers;
    while (*at != m) at = &(*at)->next;
    *at = m->next;
    log_free(&m->log);
    free(m->channel.relay.e);
    free(m);
}

sim_node mysqld_node(const struct mysqld *m)
{
    return m->node;
}

struct mysqld_options *mysqld_file(struct mysqld *m)
{
    return &m->file;
}

void mysqld_set_up_replica(struct mysqld *m, const struct mysqld *source, bool is_acker)
{
    struct channel *c = &m->channel;
    MUST(!c->exists && m->log.n == 0);
    *c = (struct channel){.exists = true, .gtid = true, .port = source->file.port, .heartbeat_us = 250 * SIM_MS,
                          .retry_s = 1, .source = source->node, .relay = {.space = 256}};
    (void)TEXT_COPY(c->host, source->name);
    (void)TEXT_COPY(c->user, WIRE_USER_REPLICATION);
    (void)TEXT_COPY(c->password, WIRE_PASSWORD);
    for (size_t i = 0; i < source->log.n; i++) {
        struct mysqld_trx t = source->log.e[i].t;
        t.flags = F_APPLIED | F_ENGINE;
        (void)log_append(&m->log, &t, source->log.e[i].at_us);
    }
    m->set_up_replica = true;
    m->set_up_acker = is_acker;
}

void mysqld_set_up_master(struct mysqld *m, bool is_lossless)
{
    m->set_up_master = true;
    m->set_up_lossless = is_lossless;
}

/* --- faults ----------------------------------------------------------------------------------------------------- */

void mysqld_refuse_logins(struct mysqld *m, const char *user, unsigned code)
{
    (void)TEXT_COPY(m->refused_user, user ? user : "");
    m->refuse_code = code;
}

void mysqld_break_applier(struct mysqld *m, unsigned code)
{
    m->break_code = code;
}

void mysqld_hold_applier(struct mysqld *m, bool is_held)
{
    m->is_held = is_held;
    if (sim_process(m->sim, m->node) != SIM_DEAD) applier_look(m);
}

void mysqld_slow_disk(struct mysqld *m, uint32_t extra_us)
{
    m->slow_us = extra_us;
}

void mysqld_write_errant(struct mysqld *m, uint64_t write_id)
{
    struct mysqld_trx t = {.domain = m->now.domain_id, .server = m->now.server_id, .id = write_id,
                           .kind = MYSQLD_TRX_WRITE};
    if (sim_process(m->sim, m->node) == SIM_RUNNING && m->is_ready) commit_begin(m, NULL, &t);
}

void mysqld_set_source_flag(struct mysqld *m, bool on)
{
    if (sim_process(m->sim, m->node) == SIM_RUNNING && m->is_ready) commit_enable(m, on);
}

void mysqld_purge(struct mysqld *m, uint64_t keep_n)
{
    size_t n = m->log.published_n > keep_n ? m->log.published_n - (size_t)keep_n : 0;
    if (n > m->log.purged_n) m->log.purged_n = n;
}

/* --- what the checkers see -------------------------------------------------------------------------------------- */

bool mysqld_is_up(const struct mysqld *m)
{
    return sim_process(m->sim, m->node) != SIM_DEAD && m->is_ready;
}

bool mysqld_is_open(const struct mysqld *m)
{
    return mysqld_is_up(m) && !m->read_only;
}

bool mysqld_can_acknowledge(const struct mysqld *m)
{
    if (!mysqld_is_open(m)) return false;
    if (!m->source_flag || !m->commits.is_on) return true;
    if (source_clients(m) == 0 && !m->wait_no_slave) return true;
    return source_has_acker(m);
}

bool mysqld_has_source_flag(const struct mysqld *m)
{
    return m->source_flag;
}

uint64_t mysqld_trx_n(const struct mysqld *m)
{
    return m->log.n;
}

const struct mysqld_trx *mysqld_trx(const struct mysqld *m, uint64_t i, bool *is_visible)
{
    MUST(i < m->log.n);
    const struct mysqld_trx *t = &m->log.e[i].t;
    if (is_visible) *is_visible = (t->flags & F_ENGINE) && !(t->flags & F_LOST);
    return t;
}

bool mysqld_has_write(const struct mysqld *m, uint64_t write_id)
{
    size_t at = log_find_row(&m->log, write_id);
    if (at == SIZE_MAX || at == LOG_UNLOGGED) return at == LOG_UNLOGGED;
    if (at >= m->log.n || m->log.e[at].t.id != write_id) return false; /* Lost with power, and not booted since. */
    uint8_t flags = m->log.e[at].t.flags;
    bool is_dead = sim_process(m->sim, m->node) == SIM_DEAD;
    return !(flags & F_LOST) && ((flags & F_ENGINE) || is_dead);
}

static void export(const struct pos *from, struct gtid_pos *to)
{
    *to = (struct gtid_pos){.n = from->n};
    memcpy(to->d, from->d, from->n * sizeof(from->d[0]));
}

void mysqld_binlog_pos(const struct mysqld *m, struct gtid_pos *pos)
{
    export(&m->log.last, pos);
}

void mysqld_applied_pos(const struct mysqld *m, struct gtid_pos *pos)
{
    export(&m->log.applied, pos);
}

void mysqld_received_pos(const struct mysqld *m, struct gtid_pos *pos)
{
    struct pos all = m->log.applied;
    const struct relay *r = &m->channel.relay;
    for (size_t i = r->head; i < r->n; i++) pos_set(&all, r->e[i].t.domain, r->e[i].t.server, r->e[i].t.seq);
    export(&all, pos);
}

sim_node mysqld_source(const struct mysqld *m, bool *is_receiving)
{
    *is_receiving = sim_process(m->sim, m->node) != SIM_DEAD && m->channel.io != IO_NO;
    return m->channel.exists ? m->channel.source : SIM_WORLD;
}

bool mysqld_follows(const struct mysqld *m, sim_node source)
{
    const struct channel *c = &m->channel;
    return mysqld_is_up(m) && c->exists && c->source == source && c->io == IO_YES && !c->is_stopping && c->sql;
}

unsigned mysqld_applier_error(const struct mysqld *m)
{
    return m->channel.exists ? m->channel.sql_errno : 0;
}

bool mysqld_knows_received(const struct mysqld *m)
{
    enum { EMPTY_MAX = 512 }; /* As mysql/verb_receive.c judges it. */
    const struct channel *c = &m->channel;
    return !c->exists || c->io != IO_NO || c->received.n > 0 || c->relay.space <= EMPTY_MAX;
}

static bool has(const struct mysqld *m, const struct mysqld_trx *t)
{
    struct gtid_domain gtid = {t->domain, t->server, t->seq};
    return log_find(&m->log, &gtid) != SIZE_MAX;
}

bool mysqld_holds(const struct mysqld *m, const struct mysqld_trx *trx)
{
    const struct relay *r = &m->channel.relay;
    if (has(m, trx)) return true;
    for (size_t i = r->head; i < r->n; i++) {
        const struct mysqld_trx *t = &r->e[i].t;
        if (t->domain == trx->domain && t->server == trx->server && t->seq == trx->seq) return true;
    }
    return false;
}

bool mysqld_is_full(const struct mysqld *m)
{
    return m->sessions_n >= m->now.max_connections;
}

unsigned mysqld_waiting_n(const struct mysqld *m)
{
    return commit_waiting_n(m);
}

/* Nothing waits in its relay log, or it will be executed. */
static bool executes(const struct mysqld *m)
{
    const struct channel *c = &m->channel;
    return c->relay.head == c->relay.n || (c->sql && c->sql_errno == 0);
}

/* The last one tells of all before it: who has it has come the same way. */
static bool holds_all(const struct mysqld *m, const struct mysqld *other)
{
    const struct relay *r = &other->channel.relay;
    for (size_t i = r->head; i < r->n; i++)
        if (!mysqld_holds(m, &r->e[i].t)) return false;
    return m == other || other->log.n == 0 || mysqld_holds(m, &other->log.e[other->log.n - 1].t);
}

bool mysqld_has_all(const struct mysqld *m, const struct mysqld *other)
{
    return executes(m) && holds_all(m, other);
}

bool mysqld_can_follow(const struct mysqld *m, const struct mysqld *source)
{
    size_t purged_n = source->log.purged_n;
    if (!executes(m) || m->channel.sql_errno != 0 || !holds_all(source, m)) return false;
    if (purged_n > 0 && !has(m, &source->log.e[purged_n - 1].t)) return false;
    for (unsigned i = 0; i < m->log.last.n; i++) {
        const struct gtid_domain *own = &m->log.last.d[i], *applied = pos_find(&m->log.applied, own->domain);
        if (!applied || applied->seq < own->seq) return false;
    }
    return true;
}

int64_t mysqld_heard_us(const struct mysqld *m)
{
    return m->channel.heard_us;
}

uint64_t mysqld_started_s(const struct mysqld *m)
{
    return (uint64_t)m->started_wall_s;
}

const struct mysqld_fence *mysqld_fence(const struct mysqld *m)
{
    return &m->fence;
}

void mysqld_on_change(struct mysqld *m, mysqld_changed_fn *fn, void *arg)
{
    m->on_change = fn;
    m->on_change_arg = arg;
}

void mysqld_on_ok(struct mysqld *m, mysqld_ok_fn *fn, void *arg)
{
    m->on_ok = fn;
    m->on_ok_arg = arg;
}

void mysqld_on_drop(struct mysqld *m, mysqld_dropped_fn *fn, void *arg)
{
    m->on_drop = fn;
    m->on_drop_arg = arg;
}
