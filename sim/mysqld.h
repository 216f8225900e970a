/* One simulated mysqld: the statements that Regent sends in, struct db_result out, as a real MariaDB would answer.
 *
 * It is a node of the world (sim/env.h) that listens (sim/net.h) and speaks the session protocol (sim/wire.h); servers
 * replicate from each other over streams of their own. It models what decides whether data is lost, and each such fact
 * is a line of sim/FACTS.md that a script of sim/conform/ compares with the real server. It is no SQL engine: text is
 * parsed strictly, and what it does not know ends the process with that text (a statement that production sends and the
 * model does not understand must be noticed).
 *
 * Happy path: mysqld_new() adds a dead node with an empty, durable disk; mysqld_start() boots it; some time later it
 * listens; sessions log in and query; a commit goes through queue, binlog, fsync, the wait for an ack, the engine, OK.
 * Failure modes come from the world: sim_kill(), sim_host_off(), sim_pause(), links that are cut; and from here:
 * mysqld_stop(), mysqld_refuse_logins(), mysqld_break_applier(), ... What a crash leaves is decided by what was written
 * and fsynced; draws come from a stream of the server's own.
 *
 * Names: MASTER_HOST of CHANGE MASTER is the name of a node; ports are remembered, and not looked at. */
#ifndef REGENT_SIM_MYSQLD_H
#define REGENT_SIM_MYSQLD_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/state.h"
#include "mysql/gtid.h"
#include "sim/env.h"

struct mysqld;

enum { MYSQLD_DOMAINS_MAX = 4, MYSQLD_WRITE_IDS_MIN = 1 };

/* What its option file says, and how its host behaves. mysqld_options() has what docs/servers.md asks for. */
struct mysqld_options {
    enum fsm_flavour flavour; /* FLAVOUR_MARIADB only: others end the process. */
    const char *version;      /* Static. */
    uint32_t server_id, domain_id;
    uint16_t port;
    /* At every boot: */
    bool read_only, replica_flag, source_flag;
    bool skip_slave_start; /* False: both threads start by themselves. */
    bool init_role_slave;  /* --init-rpl-role=SLAVE: recovery cuts off what was not committed in the engine. */
    bool binlog, log_replica_updates, gtid_strict, wait_no_slave, after_sync;
    uint64_t source_timeout_ms;
    uint32_t kill_conn_timeout_s, slave_net_timeout_s;
    uint32_t sync_binlog, flush_log, sync_relay_log; /* 1: durable. */
    uint32_t max_connections;
    /* The host: */
    uint32_t fsync_us, fsync_jitter_us, statement_us, boot_ms;
};

/* The recommended settings for a server of that id: boots read-only, lossless, durable. */
struct mysqld_options mysqld_options(uint32_t server_id);

/* Adds the server's node to the world under 'name' (at most SIM_NAME_SIZE - 1 characters, unique). Dead; start it.
 * 'sim' must outlive it; free it before the world. Never NULL. */
struct mysqld *mysqld_new(struct sim *sim, const char *name, const struct mysqld_options *options);
/* NULL is accepted. Ends its process first, if it lives. */
void mysqld_free(struct mysqld *m);

sim_node mysqld_node(const struct mysqld *m); /* Its node. */
/* The server that lives on 'node'; NULL: none does. */
struct mysqld *mysqld_at(struct sim *sim, sim_node node);

/* --- life (kill, freeze, power: sim/env.h) ---------------------------------------------------------------------- */

/* Boots the dead process on its disk; it listens when recovery is done. The host must be up. */
void mysqld_start(struct mysqld *m);
/* The option file, to be changed while it is down (or for the next boot). */
struct mysqld_options *mysqld_file(struct mysqld *m);
/* SIGTERM: waiting commits become local, their clients lose the session; the process ends in a moment. A paused process
 * gets it when it is resumed. */
void mysqld_stop(struct mysqld *m);
/* Before its first start: it replicates from 'source' (a declaration made by hand, as an operator does), as acker or
 * not, and holds what the source holds; its threads start at boot in spite of skip_slave_start, once. */
void mysqld_set_up_replica(struct mysqld *m, const struct mysqld *source, bool is_acker);
/* Before its first start: an open master, semi-sync on, once. */
void mysqld_set_up_master(struct mysqld *m, bool is_lossless);

/* --- faults of its own ------------------------------------------------------------------------------------------ */

/* While set, new logins of 'user' (NULL: of all) are answered with error 'code' (1045, 1040, ...); 0 lifts it. */
void mysqld_refuse_logins(struct mysqld *m, const char *user, unsigned code);
/* The applier stops at the next transaction with this error (1062, 1032, ...) until mysqld_break_applier(m, 0). */
void mysqld_break_applier(struct mysqld *m, unsigned code);
/* While true, nothing is applied: a long transaction or a table lock holds the applier; it runs. */
void mysqld_hold_applier(struct mysqld *m, bool is_held);
/* Storage: each fsync takes 'extra_us' longer. */
void mysqld_slow_disk(struct mysqld *m, uint32_t extra_us);
/* A person writes here as root, read-only or not: an errant transaction when it is a replica. 'write_id' as in a
 * client's INSERT. Nothing when it does not run. */
void mysqld_write_errant(struct mysqld *m, uint64_t write_id);
/* A person switches semi-sync off on a master, or on again: SET GLOBAL rpl_semi_sync_master_enabled. */
void mysqld_set_source_flag(struct mysqld *m, bool on);
/* A person sets the replica flag, and restarts the receiver if it runs (the applier runs on). */
void mysqld_set_replica_flag(struct mysqld *m, bool on);
/* FLUSH BINARY LOGS, and all files but the last 'keep_n' transactions' are purged. */
void mysqld_purge(struct mysqld *m, uint64_t keep_n);

/* --- what the checkers see (true at this instant, at no cost to the server) ------------------------------------- */

enum mysqld_trx_kind { MYSQLD_TRX_WRITE = 1, MYSQLD_TRX_REIGN, MYSQLD_TRX_SCHEMA };

struct mysqld_trx {
    uint32_t domain, server;
    uint64_t seq;
    uint64_t id;     /* WRITE: the client's number. REIGN: the epoch. */
    uint64_t token;  /* REIGN */
    uint8_t kind;
    uint8_t flags;   /* Private. */
};

/* The process lives (paused or not) and read_only is off. */
bool mysqld_is_open(const struct mysqld *m);
/* It is open, and a write begun now would be acknowledged to its client as things stand: semi-sync off, or a receiver
 * that lives acknowledges to it (a network that is cut between them does not count: it may heal). */
bool mysqld_can_acknowledge(const struct mysqld *m);
/* Its connections are all taken: error 1040. */
bool mysqld_is_full(const struct mysqld *m);
/* Commits that wait for an acker now. */
unsigned mysqld_waiting_n(const struct mysqld *m);
/* Its commits wait for an ack, or would without a fallback of its own: semi-sync is on. */
bool mysqld_has_source_flag(const struct mysqld *m);
/* It lives, and what it receives from 'source' it acknowledges. */
bool mysqld_acknowledges(const struct mysqld *m, sim_node source);
/* Life or death aside: process lives and listens. */
bool mysqld_is_up(const struct mysqld *m);
/* Transactions of its binlog, oldest first, in all: also purged ones. */
uint64_t mysqld_trx_n(const struct mysqld *m);
/* Number 'i' < mysqld_trx_n(). '*is_visible' (may be NULL): committed in the engine, so that others read it. */
const struct mysqld_trx *mysqld_trx(const struct mysqld *m, uint64_t i, bool *is_visible);
/* True when the engine holds the write: it is visible to readers (of a dead server: what recovery will bring). */
bool mysqld_has_write(const struct mysqld *m, uint64_t write_id);
/* gtid_binlog_pos; gtid_slave_pos; what its relay logs hold beyond (whole transactions; by true knowledge, also when
 * the server itself has forgotten). */
void mysqld_binlog_pos(const struct mysqld *m, struct gtid_pos *pos);
void mysqld_applied_pos(const struct mysqld *m, struct gtid_pos *pos);
void mysqld_received_pos(const struct mysqld *m, struct gtid_pos *pos);
/* Node of the server that its receiver is set to; SIM_WORLD: none. '*is_receiving': the receiver is not stopped. */
sim_node mysqld_source(const struct mysqld *m, bool *is_receiving);
/* When its receiver last heard anything of its source; 0: never. */
int64_t mysqld_heard_us(const struct mysqld *m);
/* It lives, its receiver is connected to 'source', and its applier runs. */
bool mysqld_follows(const struct mysqld *m, sim_node source);
/* Errno with which the applier stopped; 0: none. */
unsigned mysqld_applier_error(const struct mysqld *m);
/* It can say how far it has received: it has forgotten after a restart, and its relay log is not empty. */
bool mysqld_knows_received(const struct mysqld *m);
/* It has written nothing of its own since it follows, what it received is executed or will be, 'source' has all that it
 * has, and has not purged what it lacks. */
bool mysqld_can_follow(const struct mysqld *m, const struct mysqld *source);
/* It has executed all that 'other' holds, or will: its applier goes on. */
bool mysqld_has_all(const struct mysqld *m, const struct mysqld *other);
/* When it was started, seconds since 1970 by its own clock: its incarnation, as it tells it. */
uint64_t mysqld_started_s(const struct mysqld *m);
/* Its binlog or its relay log has the transaction, visible or not. */
bool mysqld_holds(const struct mysqld *m, const struct mysqld_trx *trx);
/* Stored in regent.fence; identity is "" before it is enrolled. */
struct mysqld_fence {
    char identity[FSM_NAME_SIZE];
    uint64_t token, term, epoch;
};
const struct mysqld_fence *mysqld_fence(const struct mysqld *m);

/* Called when a statement of Regent's control account has changed the server (read_only, threads, channel, flags, fence
 * row), after the change: for S3. 'token' and 'term' are those that the guard before it was asked for. */
typedef void mysqld_changed_fn(void *arg, struct mysqld *m, uint64_t token, uint64_t term);
void mysqld_on_change(struct mysqld *m, mysqld_changed_fn *fn, void *arg);
/* Called when a client's write is answered with OK. FALSE: no acker had it and semi-sync was on (KILL QUERY, semi-sync
 * switched off, ...). OF_KILLED: the same, of a group whose leader's session was killed (FACTS.md SS-6, a limit). */
enum mysqld_ok { MYSQLD_OK, MYSQLD_OK_OF_KILLED, MYSQLD_OK_FALSE };
typedef void mysqld_ok_fn(void *arg, struct mysqld *m, const struct mysqld_trx *trx, enum mysqld_ok ok);
void mysqld_on_ok(struct mysqld *m, mysqld_ok_fn *fn, void *arg);
/* Called for each received and not executed transaction, before a statement (CHANGE, START, RESET) throws it away with
 * the relay log: for S5. */
typedef void mysqld_dropped_fn(void *arg, struct mysqld *m, const struct mysqld_trx *trx);
void mysqld_on_drop(struct mysqld *m, mysqld_dropped_fn *fn, void *arg);

#endif
