/* Inside of the simulated mysqld: what its parts share. Included by sim/mysqld*.c and by no one else.
 *
 *   mysqld.c         life, disk, recovery, inspectors         mysqld_commit.c   group commit, semi-sync, read_only
 *   mysqld_log.c     binlog, positions                        mysqld_source.c   dump threads
 *   mysqld_session.c logins, requests, KILL, user lock        mysqld_replica.c  channel: receiver and applier
 *   mysqld_lex.c, mysqld_parse*.c   text to program           mysqld_run*.c     programs, tables, result sets */
#ifndef REGENT_SIM_MYSQLD_PRIVATE_H
#define REGENT_SIM_MYSQLD_PRIVATE_H

#include "lib/base/text.h"
#include "mysql/result.h"
#include "sim/mysqld.h"
#include "sim/net.h"
#include "sim/wire.h"

enum {
    USER_LOCKS_MAX = 4, SESSIONS_MAX = 1024,     /* Of one server. */
    QUEUED_MAX = 16,
    POS_TEXT_SIZE = MYSQLD_DOMAINS_MAX * 48,
    HOST_SIZE = 64,
    BATCH_MAX = 64,          /* Transactions of one message between servers. */
    SERVER_ERROR_SIZE = 256,
};

/* --- positions (mysqld_log.c) ----------------------------------------------------------------------------------- */

struct pos {
    uint8_t n;
    struct gtid_domain d[MYSQLD_DOMAINS_MAX]; /* Sorted by domain. */
};

/* pos_find(): the last transaction of the domain; NULL when the position has none. */
void pos_set(struct pos *pos, uint32_t domain, uint32_t server, uint64_t seq);
const struct gtid_domain *pos_find(const struct pos *pos, uint32_t domain);
bool pos_contains(const struct pos *a, const struct pos *b);
/* "" for the empty position. */
void pos_print(const struct pos *pos, char *to, size_t size);
/* False: malformed or beyond the bounds. */
bool pos_parse(struct pos *pos, const char *text);

/* --- the binlog, which is the history of the data (log_slave_updates is on) ------------------------------------- */

enum {
    F_ENGINE = 1,  /* Committed in the engine: visible. */
    F_APPLIED = 2, /* By the applier: counts for gtid_slave_pos. */
    F_LOST = 4,    /* In the binlog, and its data was lost with power (innodb_flush_log_at_trx_commit is not 1). */
};

struct entry {
    struct mysqld_trx t;
    int64_t at_us; /* Written. */
};

struct log {
    struct entry *e;
    size_t n, room;
    size_t published_n; /* Dump threads may send these. */
    size_t synced_n;    /* Survive a loss of power. */
    size_t purged_n;    /* No longer in any file. */
    uint32_t file_n;    /* Number of the current file. */
    uint64_t file_pos;
    struct pos last;    /* gtid_binlog_pos */
    struct pos base;    /* gtid_slave_pos as somebody has set it. */
    struct pos applied; /* gtid_slave_pos */
    /* Rows of the clients' table: write id -> index + 1 (open addressing). */
    uint64_t *row_ids;
    size_t *row_at;
    size_t rows_room, rows_n;
    uint64_t *unlogged; /* Rows that were written with sql_log_bin=0. */
    size_t unlogged_n;
    uint64_t visible_n; /* Rows that readers see. */
};

void log_free(struct log *log); /* Empty after it. */
/* Appends; returns the index. */
size_t log_append(struct log *log, const struct mysqld_trx *t, int64_t now_us);
/* Readers see it from now on. */
void log_commit(struct log *log, size_t index);
/* Index of the transaction, or SIZE_MAX. */
size_t log_find(const struct log *log, const struct gtid_domain *gtid);
/* Entry that holds the client's row; SIZE_MAX: there is none; LOG_UNLOGGED: it is there without an entry. */
size_t log_find_row(const struct log *log, uint64_t id);
#define LOG_UNLOGGED (SIZE_MAX - 1)
/* A row that the binlog does not have. */
void log_add_unlogged(struct log *log, uint64_t id);
/* Cuts everything from 'n' on, and reads the rest anew. */
void log_truncate(struct log *log, size_t n);
/* Recomputes positions and rows from the entries. */
void log_rebuild(struct log *log);
/* "binlog.000001" */
void log_file_name(const struct log *log, char *to, size_t size);

/* --- programs (mysqld_lex.c, mysqld_parse.c) -------------------------------------------------------------------- */

enum { LITERALS_MAX = 512, STACK_MAX = 96, LOCALS_MAX = 16, CURSORS_MAX = 4, LOOP_IDS_MAX = 512, USER_VARS_MAX = 4 };

enum value_kind { VALUE_NULL, VALUE_NUMBER, VALUE_UNSIGNED, VALUE_TEXT }; /* UNSIGNED: only to be shown. */

struct value {
    enum value_kind kind;
    uint8_t decimals;  /* 0, 3 or 6 shown; 'number' counts millionths when not 0. */
    int64_t number;
    const char *text;  /* VALUE_TEXT. */
};

struct program;

/* The literals of one text, in order. Shared by whoever runs that text. */
struct literals {
    unsigned refs, n;
    struct value *v; /* Lies behind, texts too. */
};

/* The program of a text; never NULL: a text that is not understood ends the process and is printed. '*literals' gets a
 * reference for the caller: literals_drop(). Programs are kept for ever, and are shared by all servers. */
const struct program *program_of(const char *sql, size_t size, struct literals **literals);
void literals_drop(struct literals *literals);

/* Tokens of a text, its literals replaced: what programs are kept by. Kinds of a token: */
enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_USER, TOKEN_SYSTEM, TOKEN_MARK };

struct token {
    enum token_kind kind;
    const char *text; /* WORD, USER and SYSTEM without their @; MARK: "(", "<=>", ... NUMBER, TEXT: "". */
    unsigned literal; /* NUMBER, TEXT: which. */
};

/* mysqld_parse.c: 'tokens' (ended by TOKEN_END) live as long as the program. 'sql' is for the complaint only. */
const struct program *program_parse(const struct token *tokens, const char *sql);
/* Tokens of a constant text, kept for ever. */
const struct token *tokens_of(const char *text);
/* Ends the process: the simulation met a text that the model does not understand. */
REGENT_NORETURN void not_understood(const char *why, const char *near, const char *sql);

/* --- sessions (mysqld_session.c) -------------------------------------------------------------------------------- */

enum account { ACCOUNT_PROBE, ACCOUNT_CONTROL, ACCOUNT_REPLICATION, ACCOUNT_CLIENT, ACCOUNT_ROOT };

enum wait { WAIT_NONE, WAIT_TIME, WAIT_LOCK, WAIT_COMMIT, WAIT_READ_ONLY, WAIT_WRITE, WAIT_REPLICA };

enum kill { KILL_NONE, KILL_ONE_QUERY, KILL_SESSION };

struct cursor {
    uint32_t row; /* Next row of the virtual table. */
    uint8_t table;
};

/* A statement list being run. */
struct frame {
    const struct program *program;
    struct literals *literals;
    uint32_t pc, statement_end;
    unsigned depth, cursors_n, loop_n, loop_i;
    struct value stack[STACK_MAX], locals[LOCALS_MAX];
    struct cursor cursors[CURSORS_MAX];
    struct value aggregate[CURSORS_MAX];
    uint64_t loop_ids[LOOP_IDS_MAX];
    unsigned error, pending_error; /* pending: in an EXIT handler, for RESIGNAL. */
    char error_text[SERVER_ERROR_SIZE];
    unsigned stage;               /* Of the present operation: it was begun, and has waited. */
    uint32_t rows_room;           /* Of the set that is being made. */
    uint16_t sets_n;              /* Before the present statement. */
};

struct committer;

struct session {
    struct mysqld *m;
    struct session *next, *prev;
    struct sim_stream *stream; /* NULL: the peer is gone. */
    uint64_t id;
    char user[64];
    enum account account;
    bool is_in;        /* Logged in. */
    bool is_busy;
    enum kill kill;
    enum wait wait;
    sim_event event;   /* Of WAIT_TIME, and the time-out of the others. */
    sim_event wake;
    bool timed_out;
    int64_t waited_us; /* When the present wait for a lock began. */
    unsigned wait_lock; /* WAIT_LOCK: which one. */
    struct sim_blob *queued[QUEUED_MAX]; /* Requests that wait behind the one that runs. */
    unsigned queued_n;
    struct dump *dump;
    int64_t idle_us;   /* Since when. */
    sim_event idle_event;
    uint32_t wait_timeout_s;
    /* Session variables. */
    bool log_bin;
    uint32_t lock_wait_s;
    struct { char name[16]; struct value value; } vars[USER_VARS_MAX];
    uint64_t guard_token, guard_term; /* Of the guard that was evaluated last. */
    struct frame frame;
    struct wire_reply *reply;
    struct committer *commit;
    char statement[64]; /* For the process list. */
};

void sessions_listen(struct mysqld *m); /* New sessions are taken from now on. */
void sessions_free(struct mysqld *m); /* The process died: no peer is told. */
/* The statement that waited goes on, from an event of its own. */
void session_wake(struct session *s);
/* 'frame' came to its end, or to an error: the reply is sent. */
void session_answer(struct session *s);
void session_kill(struct session *s, enum kill kill);
struct session *session_find(struct mysqld *m, uint64_t id);
/* WAIT_LOCK: user locks, by name. Taken: true when the session holds it. Who waits for one that is free is woken. */
bool lock_take(struct session *s, const char *name);
void lock_release(struct session *s, const char *name);
const struct session *lock_owner(struct mysqld *m, const char *name); /* NULL: it is free. */
/* A session that runs no statement and whose peer is gone ends. */
void session_end(struct session *s);
/* Runs until the frame ends (answered), or waits. */
void session_run(struct session *s);

/* --- commits (mysqld_commit.c) ---------------------------------------------------------------------------------- */

/* Somebody who commits: a session, or the applier. */
struct committer {
    struct committer *next;
    struct session *session; /* NULL: the applier, or a client whose session has ended. */
    bool is_applier;
    bool has_waited, is_settled;
    struct mysqld_trx t;
    size_t index;            /* In the binlog, once logged. */
    enum mysqld_ok ok;
};

struct group {
    struct committer *first, **tail;
};

struct commits {
    struct group queue, logged, waiting;
    bool is_syncing, is_synced; /* Of 'logged': fsync runs; is done. */
    unsigned active_n;          /* Statements in the way of read_only. */
    sim_event event, timeout, look;
    /* Semi-sync. */
    bool is_on;
    bool is_waiting;            /* The leader of 'waiting' waits for an ack. */
    uint64_t yes_tx, no_tx;
    size_t acked_n;             /* An acker has these of the binlog (index + 1). */
};

/* The session's write goes to the commit; WAIT_COMMIT until it is done. */
void commit_begin(struct mysqld *m, struct session *s, const struct mysqld_trx *t);
/* The applier's. Calls applier_committed(). */
void commit_begin_applied(struct mysqld *m, const struct mysqld_trx *t);
/* An ack came, a waiter was killed, semi-sync was switched, the number of clients changed. */
void commit_look(struct mysqld *m);
/* The same when the threads that were woken get to it: another waiter may be killed before. */
void commit_look_soon(struct mysqld *m);
void commit_enable(struct mysqld *m, bool on);
void commit_free(struct mysqld *m);
unsigned commit_waiting_n(const struct mysqld *m);
/* read_only: true when the change is done; false: it waits (WAIT_READ_ONLY). */
bool read_only_begin(struct session *s, bool on);
/* Somebody who was in its way has ended, or it was given up. */
void read_only_look(struct mysqld *m);
void read_only_abandon(struct session *s);

/* --- dump threads (mysqld_source.c) ----------------------------------------------------------------------------- */

struct dump;
/* Further transactions may be sent. */
void source_publish(struct mysqld *m);
void source_free(struct mysqld *m);
/* Rpl_semi_sync_master_clients */
unsigned source_clients(const struct mysqld *m);
/* The session asked for the binlog: it becomes a dump thread. */
void source_begin(struct session *s, struct sim_blob *request);
/* KILL of a dump thread by its session id. False: none has it. */
bool source_kill(struct mysqld *m, uint64_t id);
/* From the receiver; its stream ended. */
void source_acked(struct session *s, size_t index);
void source_closed(struct session *s);
/* A receiver lives that acknowledges to this server. */
bool source_has_acker(const struct mysqld *m);

/* Messages between servers. */
enum peer_kind { PEER_REQUEST = 1, PEER_EVENTS, PEER_HEARTBEAT, PEER_FAILED, PEER_ACK, PEER_KILL };

struct peer_message {
    struct wire_head head; /* WIRE_OTHER */
    enum peer_kind kind;
    /* REQUEST */
    uint32_t server_id, heartbeat_us;
    struct pos start;
    bool is_semi;
    uint64_t serial;       /* Of the receiver's connection. */
    /* EVENTS, ACK: up to this number of the source's binlog. */
    size_t index;
    uint64_t thread_id;    /* EVENTS, HEARTBEAT: the dump thread's. KILL. */
    uint32_t source_id, file_n;
    uint64_t file_pos;
    /* FAILED */
    unsigned code;
    char text[SERVER_ERROR_SIZE];
    unsigned n;
    struct mysqld_trx t[];
};

/* With room for 'n' transactions and one reference; never NULL. */
struct peer_message *peer_new(enum peer_kind kind, unsigned n);
void peer_free(struct sim_blob *blob);

/* --- the channel (mysqld_replica.c) ----------------------------------------------------------------------------- */

enum io { IO_NO, IO_CONNECTING, IO_YES };

struct relay {
    struct entry *e;
    size_t head, n, room;
    size_t dropped; /* Entries that were before e[0]. */
    size_t synced;  /* Entries, with the dropped ones, that survive a loss of power. */
    uint64_t space;
};

struct channel {
    bool exists;
    char host[HOST_SIZE], user[64], password[64];
    uint16_t port;
    bool gtid;
    uint32_t heartbeat_us, retry_s;
    /* In memory. */
    enum io io;
    bool is_stopping;      /* STOP was asked; io is still shown as it was. */
    bool sql;              /* The applier runs. */
    bool sql_is_stopping;
    bool is_applying;      /* One transaction is in the commit. */
    struct pos received;   /* Gtid_IO_Pos */
    bool is_semi;          /* This connection acknowledges. */
    uint32_t source_id, file_n;
    uint64_t file_pos, heartbeats, serial;
    unsigned io_errno, sql_errno;
    char io_error[SERVER_ERROR_SIZE], sql_error[SERVER_ERROR_SIZE];
    uint64_t thread_id;    /* Of the dump thread that serves us; 0: not learnt. */
    bool was_semi;         /* The flag when the receiver was started: its end is told to the source. */
    sim_node source;       /* Where it is set to. */
    struct sim_stream *stream, *killer;
    int64_t heard_us;
    unsigned kill_replies_n;
    sim_event timer, retry, stopped, apply, sync;
    size_t index, sync_index, sync_n; /* Received last; what the fsync that runs will cover (as relay.synced). */
    uint64_t sync_serial;
    bool is_unsynced;
    struct relay relay;    /* On disk. */
};

/* Statements; 0 or the error number. Those that take time end with session_wake(). */
unsigned replica_change(struct session *s, const struct program *p, uint32_t first, uint32_t n);
unsigned replica_start_threads(struct mysqld *m, bool io, bool sql);
/* True: stopped. False: WAIT_REPLICA. */
bool replica_stop(struct session *s, bool io, bool sql);
unsigned replica_reset_all(struct session *s);
void replica_boot(struct mysqld *m, bool autostart);
void replica_free(struct mysqld *m, bool power_lost);
void applier_committed(struct mysqld *m);
void applier_look(struct mysqld *m);
bool replica_is_acking(const struct mysqld *m, sim_node source, uint64_t serial);

/* --- the server ------------------------------------------------------------------------------------------------- */

struct mysqld {
    struct sim *sim;
    sim_node node;
    struct mysqld *next; /* Of all servers, of every world. */
    char name[SIM_NAME_SIZE];
    struct mysqld_options file, now; /* The option file; what was read at boot. */
    struct rng rng;

    /* On disk. */
    struct log log;
    size_t flushed_n;  /* Commits of these entries are in the engine's log on disk. */
    int64_t died_us;
    struct mysqld_fence fence;
    bool has_schema, has_fence, has_term, has_fence_row, has_reign;
    struct channel channel; /* Its declaration and its relay log. */
    bool set_up_replica, set_up_acker, set_up_master, set_up_lossless;

    /* In memory. */
    bool is_ready;
    int64_t started_wall_s;
    bool read_only, replica_flag, source_flag, wait_no_slave, after_sync, gtid_strict;
    bool set_at_run_time[2]; /* read_only, replica flag: value origin SQL. */
    uint64_t source_timeout_ms;
    uint32_t kill_conn_timeout_s;
    uint64_t next_session_id, next_serial;
    struct session *sessions; /* Newest first. */
    unsigned sessions_n;
    struct { char name[32]; struct session *owner; } locks[USER_LOCKS_MAX];
    struct session *read_only_waiter;
    struct commits commits;
    struct dump *dumps;
    unsigned write_waiters_n;

    /* Faults. */
    char refused_user[64];
    unsigned refuse_code;
    unsigned break_code;
    bool is_held;
    uint32_t slow_us;

    mysqld_changed_fn *on_change;
    void *on_change_arg;
    mysqld_ok_fn *on_ok;
    void *on_ok_arg;
    mysqld_dropped_fn *on_drop;
    void *on_drop_arg;
    /* Texts of the positions, made anew when they change. */
    struct { struct pos pos; char text[POS_TEXT_SIZE]; } shown[4];
};

/* How long one fsync takes now. */
int64_t fsync_us(struct mysqld *m);
/* A short time of work. */
int64_t work_us(struct mysqld *m, int64_t low_us, int64_t high_us);
/* Regent's control session changed something. */
void mysqld_changed(struct session *s);
/* gtid_current_pos */
void current_pos(const struct mysqld *m, struct pos *pos);
sim_node node_of_host(struct sim *sim, const char *host);
uint64_t gtid_next_seq(const struct mysqld *m);

#endif
