/* Rig for test_verb_server.c and test_close_server.c: real MariaDB servers on loopback, sessions by libmariadb, verbs
 * run to their end.
 *
 * Every server has a copy of one fresh data directory in the rig's temporary directory and dies with the test process
 * (PR_SET_PDEATHSIG), or by its pid in rig_stop(). Header only. */
#ifndef REGENT_TESTS_VERB_RIG_H
#define REGENT_TESTS_VERB_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "mysql/probe.h"
#include "mysql/verb.h"
#include "tests/unit/free_port.h"

#define DB1 (&rig.s[0])
#define DB2 (&rig.s[1])
#define DB3 (&rig.s[2])

enum { RIG_SERVERS = 3, RIG_TOKEN = 100, RIG_TERM = 5, RIG_EPOCH = 2 };

struct session {
    MYSQL *my;
    struct db_result result;
    char *kept[65536]; /* What 'result' points to. */
    size_t kept_n;
};

struct rig_server {
    pid_t pid;
    unsigned id;
    uint16_t port;
    char dir[256];
    char identity[FSM_NAME_SIZE];
    struct session control;
    bool locked;
    uint64_t locked_token;
};

static struct {
    char dir[128];
    struct rig_server s[RIG_SERVERS];
    char sql[VERB_SQL_SIZE]; /* Last statement of the last verb. */
    double ms;               /* Of the last verb. */
    unsigned requests;
    unsigned refused;        /* Error number of the last session that could not be begun. */
} rig;

/* The grants of docs/accounts.md, word for word. */
static const char *const rig_accounts[] = {
    "CREATE USER 'regent'@'%' IDENTIFIED BY 'probe-secret'",
    "GRANT SLAVE MONITOR ON *.* TO 'regent'@'%'",
    "GRANT SELECT ON regent.* TO 'regent'@'%'",
    "CREATE USER 'regent-control'@'%' IDENTIFIED BY 'control-secret'",
    ("GRANT RELOAD, PROCESS, CONNECTION ADMIN, READ_ONLY ADMIN, BINLOG ADMIN, REPLICATION MASTER ADMIN,"
     " REPLICATION SLAVE ADMIN, SLAVE MONITOR ON *.* TO 'regent-control'@'%'"),
    "GRANT CREATE, SELECT, INSERT, UPDATE ON regent.* TO 'regent-control'@'%'",
    "CREATE USER 'regent-replication'@'%' IDENTIFIED BY 'replication-secret'",
    "GRANT REPLICATION SLAVE ON *.* TO 'regent-replication'@'%'",
};

static inline int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void nap_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

/* --- processes --- */

static inline pid_t rig_spawn(char *const argv[], const char *log)
{
    pid_t parent = getpid(), pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) _exit(126);
    execvp(argv[0], argv);
    _exit(127);
}

static inline void rig_run(char *const argv[])
{
    char log[256];
    int status = 0;

    snprintf(log, sizeof(log), "%s/tool.log", rig.dir);
    pid_t pid = rig_spawn(argv, log);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("%s failed, see %s", argv[0], log);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* --- sessions --- */

static inline void session_forget(struct session *c)
{
    for (size_t i = 0; i < c->kept_n; i++) free(c->kept[i]);
    c->kept_n = 0;
    memset(&c->result, 0, sizeof(c->result));
}

static inline void *keep(struct session *c, void *p)
{
    assert_non_null(p);
    assert_true(c->kept_n < ARRAY_LEN(c->kept));
    c->kept[c->kept_n++] = p;
    return p;
}

static inline void session_end(struct session *c)
{
    if (c->my != NULL) mysql_close(c->my);
    c->my = NULL;
    session_forget(c);
}

/* SIGSTOP; returns when all threads stand, so that nothing sent from now on runs before it wakes. */
static inline void rig_freeze(const struct rig_server *s)
{
    int status = 0;

    assert_int_equal(kill(s->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(s->pid, &status, WUNTRACED), s->pid);
    assert_true(WIFSTOPPED(status));
}

static inline void rig_kill(struct rig_server *s)
{
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) continue;
    s->pid = 0;
    s->locked = false;
    session_end(&s->control);
}

static inline bool session_begin(struct session *c, const struct rig_server *s, const char *user, const char *password)
{
    unsigned timeout = 10;

    if (c->my != NULL) return true;
    c->my = mysql_init(NULL);
    mysql_options(c->my, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    mysql_options(c->my, MYSQL_OPT_READ_TIMEOUT, &timeout);
    if (mysql_real_connect(c->my, "127.0.0.1", user, password, NULL, s->port, NULL, CLIENT_MULTI_STATEMENTS) != NULL) {
        return true;
    }
    rig.refused = mysql_errno(c->my);
    mysql_close(c->my);
    c->my = NULL;
    return false;
}

static inline void read_set(struct session *c, MYSQL_RES *res)
{
    struct db_set *set = &c->result.sets[c->result.sets_n++];

    set->affected = mysql_affected_rows(c->my);
    if (res == NULL) return;
    set->columns_n = (uint16_t)mysql_num_fields(res);
    set->rows_n = (uint32_t)mysql_num_rows(res);
    const char **names = keep(c, calloc(set->columns_n, sizeof(*names)));
    const char **cells = keep(c, calloc((size_t)set->rows_n * set->columns_n + 1, sizeof(*cells)));
    for (unsigned i = 0; i < set->columns_n; i++) names[i] = keep(c, strdup(mysql_fetch_fields(res)[i].name));
    for (uint32_t r = 0; r < set->rows_n; r++) {
        MYSQL_ROW row = mysql_fetch_row(res);
        for (unsigned i = 0; i < set->columns_n; i++) {
            if (row[i] != NULL) cells[(size_t)r * set->columns_n + i] = keep(c, strdup(row[i]));
        }
    }
    set->names = names;
    set->cells = cells;
    mysql_free_result(res);
}

/* Reads all answers to what was sent. */
static inline const struct db_result *session_read(struct session *c)
{
    int rc = mysql_read_query_result(c->my) != 0 ? 1 : 0;

    while (rc == 0) {
        assert_true(c->result.sets_n < DB_SETS_MAX);
        read_set(c, mysql_store_result(c->my));
        rc = mysql_next_result(c->my);
        if (rc < 0) return &c->result;
    }
    c->result.code = mysql_errno(c->my);
    bool lost = c->result.code == 2006 || c->result.code == 2013 || c->result.code == 1927;
    c->result.status = lost ? DB_LOST : DB_ERROR;
    c->result.session_lost = lost;
    snprintf(c->result.error, sizeof(c->result.error), "%s", mysql_error(c->my));
    if (lost) {
        mysql_close(c->my);
        c->my = NULL;
    }
    return &c->result;
}

static inline void session_send(struct session *c, const char *sql)
{
    session_forget(c);
    assert_int_equal(mysql_send_query(c->my, sql, (unsigned long)strlen(sql)), 0);
}

static inline const struct db_result *session_run(struct session *c, const char *sql)
{
    session_forget(c);
    if (mysql_send_query(c->my, sql, (unsigned long)strlen(sql)) != 0) {
        c->result = (struct db_result){.status = DB_LOST, .session_lost = true, .code = mysql_errno(c->my)};
        mysql_close(c->my);
        c->my = NULL;
        return &c->result;
    }
    return session_read(c);
}

/* As root, in a session of its own; fails the test on an error. Returns the first cell of the last set (static). */
static inline const char *rig_sql(struct rig_server *s, const char *format, ...) REGENT_PRINTF(2, 3);
static inline const char *rig_sql(struct rig_server *s, const char *format, ...)
{
    static struct session root;
    static char answer[1024];
    char sql[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(sql, sizeof(sql), format, args);
    va_end(args);
    if (!session_begin(&root, s, "root", "")) fail_msg("no session with server %u", s->id);
    const struct db_result *r = session_run(&root, sql);
    if (r->status != DB_OK) fail_msg("%s: %s", sql, r->error);
    const struct db_set *last = &r->sets[r->sets_n - 1];
    const char *cell = last->rows_n > 0 && last->cells[0] != NULL ? last->cells[0] : "";
    snprintf(answer, sizeof(answer), "%s", cell);
    session_end(&root);
    return answer;
}

/* One column of SHOW ALL SLAVES STATUS (static); empty without a channel. */
static inline const char *rig_channel(struct rig_server *s, const char *column)
{
    static struct session root;
    static char answer[1024];

    assert_true(session_begin(&root, s, "root", ""));
    const char *cell = db_cell(session_run(&root, "SHOW ALL SLAVES STATUS"), 0, 0, column);
    snprintf(answer, sizeof(answer), "%s", cell != NULL ? cell : "");
    session_end(&root);
    return answer;
}

static inline const char *rig_status(struct rig_server *s, const char *name)
{
    return rig_sql(s, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '%s'", name);
}

static inline void insert_rows(struct rig_server *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) rig_sql(s, "INSERT INTO t.t (v) VALUES ('x')");
}

/* Polls a query until its first cell is 'value'. */
static inline void rig_await(struct rig_server *s, const char *sql, const char *value)
{
    int64_t end = now_us() + 10000000;

    while (!text_equal(rig_sql(s, "%s", sql), value)) {
        if (now_us() > end) fail_msg("server %u: %s is %s, awaited %s", s->id, sql, rig_sql(s, "%s", sql), value);
        nap_ms(5);
    }
}

/* --- servers --- */

static inline void rig_launch(struct rig_server *s, const char *extra)
{
    static const char settings[] =
        "bind_address=127.0.0.1\nskip_name_resolve=1\nmax_connections=60\ntable_open_cache=100\n"
        "innodb_buffer_pool_size=16M\ninnodb_log_file_size=8M\nkey_buffer_size=1M\naria_pagecache_buffer_size=1M\n"
        "performance_schema=0\nlog_bin=bin\nrelay_log=relay\nlog_slave_updates=1\nbinlog_format=ROW\nread_only=1\n"
        "skip_slave_start=1\nsync_binlog=1\ninnodb_flush_log_at_trx_commit=1\nsync_relay_log=1\n"
        "rpl_semi_sync_master_wait_point=AFTER_SYNC\nrpl_semi_sync_master_timeout=4294967295\n"
        "rpl_semi_sync_master_wait_no_slave=1\nrpl_semi_sync_slave_kill_conn_timeout=1\nslave_net_timeout=4\n"
        "report_host=127.0.0.1\n";
    char cnf[300], log[300], option[320];

    snprintf(cnf, sizeof(cnf), "%s.cnf", s->dir);
    snprintf(log, sizeof(log), "%s.log", s->dir);
    FILE *f = fopen(cnf, "w");
    assert_non_null(f);
    fprintf(f, "[mariadbd]\nuser=root\ndatadir=%s\nsocket=%s.sock\nport=%u\nreport_port=%u\nserver_id=%u\n%s%s", s->dir,
            s->dir, s->port, s->port, s->id, settings, extra);
    fclose(f);
    snprintf(option, sizeof(option), "--defaults-file=%s", cnf);
    char *argv[] = {"/usr/sbin/mariadbd", option, NULL};
    s->pid = rig_spawn(argv, log);
    int64_t end = now_us() + 30000000;
    static struct session c;
    while (!session_begin(&c, s, "root", "")) {
        if (waitpid(s->pid, NULL, WNOHANG) != 0 || now_us() > end) fail_msg("server %u does not start: %s", s->id, log);
        nap_ms(20);
    }
    session_end(&c);
}

static inline void rig_make(struct rig_server *s, unsigned id, const char *extra)
{
    char from[160];

    *s = (struct rig_server){.id = id, .port = free_port()};
    assert_int_not_equal(s->port, 0);
    snprintf(s->dir, sizeof(s->dir), "%s/db%u", rig.dir, id);
    snprintf(s->identity, sizeof(s->identity), "identity-of-%u", id);
    snprintf(from, sizeof(from), "%s/template", rig.dir);
    char *argv[] = {"cp", "-a", "--sparse=always", from, s->dir, NULL};
    rig_run(argv);
    rig_launch(s, extra);
}

static inline void rig_follow(struct rig_server *s, const struct rig_server *source, bool is_acker)
{
    rig_sql(s, "SET GLOBAL rpl_semi_sync_slave_enabled=%d; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%u,"
               " MASTER_SSL=0,"
               " MASTER_USER='regent-replication', MASTER_PASSWORD='replication-secret', MASTER_USE_GTID=slave_pos,"
               " MASTER_HEARTBEAT_PERIOD=0.25, MASTER_CONNECT_RETRY=1; START SLAVE",
            is_acker, source->port);
}

/* --- verbs --- */

static inline struct verb rig_verb(enum verb_kind kind, const struct rig_server *s, uint64_t token)
{
    struct verb v = {.kind = kind, .token = token, .term = RIG_TERM, .step = STEP_REVOKE,
                     .epoch = RIG_EPOCH, .deadline_ms = 5000};

    TEXT_COPY(v.identity, s->identity);
    TEXT_COPY(v.cluster_name, "shop");
    snprintf(v.master_name, sizeof(v.master_name), "db%u", s->id);
    return v;
}

static inline void rig_source(struct verb *v, const struct rig_server *source)
{
    TEXT_COPY(v->source_host, "127.0.0.1");
    v->source_port = source->port;
}

/* As manager/execute.c does: nobody waits for its answer. */
static inline void rig_send_aside(struct session *aside, struct rig_server *s, struct verb_run *run)
{
    session_end(aside);
    if (session_begin(aside, s, "regent-control", "control-secret")) {
        session_send(aside, run->sql);
        return;
    }
    run->aside_code = rig.refused;
    TEXT_COPY(run->aside_error, "refused");
}

/* Runs a sequence over a session as manager/execute.c does. */
static inline struct verb_outcome rig_drive(struct session *c, struct rig_server *s, struct verb_run *run)
{
    int64_t began = now_us(), end = began + (int64_t)run->verb.deadline_ms * 1000;
    const struct db_result *result = NULL;
    static struct session aside;

    rig.requests = 0;
    for (;;) {
        int64_t left = (end - now_us()) / 1000;
        run->left_ms = left > 0 ? (uint32_t)left : 0;
        enum verb_next next = verb_next(run, result);
        if (next == VERB_END) break;
        result = NULL;
        if (next == VERB_WAIT) {
            nap_ms(run->wait_ms);
            continue;
        }
        if (next == VERB_SEND_ASIDE) {
            rig_send_aside(&aside, s, run);
            continue;
        }
        bool is_new = c->my == NULL;
        if (!session_begin(c, s, "regent-control", "control-secret")) {
            session_forget(c);
            c->result = (struct db_result){.status = DB_REFUSED, .error = "refused"};
            result = &c->result;
            continue;
        }
        TEXT_COPY(rig.sql, run->sql);
        rig.requests++;
        result = session_run(c, run->sql);
        c->result.connected = is_new;
    }
    session_end(&aside);
    rig.ms = (double)(now_us() - began) / 1000;
    return run->outcome;
}

static inline struct verb_outcome rig_perform(struct rig_server *s, const struct verb *verb)
{
    static struct verb_run run;
    static struct session reign;
    bool is_reign = verb->kind == VERB_REIGN_ROW;

    verb_begin(&run, verb, FLAVOUR_MARIADB, "regent-replication", "replication-secret");
    run.locked = !is_reign && s->locked && s->locked_token == verb->token;
    struct verb_outcome o = rig_drive(is_reign ? &reign : &s->control, s, &run);
    if (is_reign) session_end(&reign);
    if (!is_reign) {
        s->locked = run.locked;
        s->locked_token = verb->token;
    }
    print_message("  verb %2d on db%u: state %d, %.1f ms, %u requests%s%s\n", (int)verb->kind, s->id, (int)o.state,
                  rig.ms, rig.requests, o.error[0] != '\0' ? ": " : "", o.error);
    return o;
}

static inline struct verb_outcome rig_do(struct rig_server *s, const struct verb *verb)
{
    struct verb_outcome o = rig_perform(s, verb);

    if (o.state != VERB_STATE_DONE) fail_msg("verb %d on db%u failed: %s", (int)verb->kind, s->id, o.error);
    return o;
}

/* The verb must fail with a text that contains 'text'. */
static inline struct verb_outcome rig_refuse(struct rig_server *s, const struct verb *verb, const char *text)
{
    struct verb_outcome o = rig_perform(s, verb);

    if (o.state != VERB_STATE_FAILED) fail_msg("verb %d on db%u was not refused", (int)verb->kind, s->id);
    if (strstr(o.error, text) == NULL) fail_msg("the error \"%s\" does not contain \"%s\"", o.error, text);
    return o;
}

/* --- life --- */

static inline int rig_setup_template(void **state)
{
    char option[200];

    (void)state;
    snprintf(rig.dir, sizeof(rig.dir), "/tmp/regent-verb-XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    snprintf(option, sizeof(option), "--datadir=%s/template", rig.dir);
    char *argv[] = {"mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
                    "--innodb-log-file-size=8M", "--user=root", option, NULL};
    rig_run(argv);
    return 0;
}

static inline int rig_remove_template(void **state)
{
    (void)state;
    return nftw(rig.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Master db1, acker db2, replica db3; accounts; table t.t; nothing enrolled. */
static inline int rig_start(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RIG_SERVERS; i++) rig_make(&rig.s[i], i + 1, "gtid_strict_mode=1\n");
    struct rig_server *m = &rig.s[0];
    rig_sql(m, "SET GLOBAL read_only=0");
    for (size_t i = 0; i < ARRAY_LEN(rig_accounts); i++) rig_sql(m, "%s", rig_accounts[i]);
    rig_sql(m, "CREATE USER app@'%%' IDENTIFIED BY 'a'; CREATE DATABASE t; GRANT ALL ON t.* TO app@'%%';"
               " CREATE TABLE t.t (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT) ENGINE=InnoDB");
    rig_follow(&rig.s[1], m, true);
    rig_follow(&rig.s[2], m, false);
    rig_await(m, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
                 " 'RPL_SEMI_SYNC_MASTER_CLIENTS'", "1");
    char position[256];
    snprintf(position, sizeof(position), "%s", rig_sql(m, "SELECT @@gtid_binlog_pos"));
    rig_await(&rig.s[1], "SELECT @@gtid_slave_pos", position);
    rig_await(&rig.s[2], "SELECT @@gtid_slave_pos", position);
    rig_sql(m, "SET GLOBAL rpl_semi_sync_master_enabled=1");
    return 0;
}

/* As rig_start(), and every server enrolled under token 10. */
static inline int rig_start_enrolled(void **state)
{
    rig_start(state);
    for (unsigned i = 0; i < RIG_SERVERS; i++) {
        struct verb v = rig_verb(VERB_ENROL, &rig.s[i], 10);
        v.epoch = 1;
        v.is_master = i == 0;
        rig_do(&rig.s[i], &v);
    }
    return 0;
}

static inline int rig_stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RIG_SERVERS; i++) {
        struct rig_server *s = &rig.s[i];
        rig_kill(s);
        if (s->dir[0] != '\0') (void)nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        s->dir[0] = '\0';
    }
    return 0;
}

#endif
