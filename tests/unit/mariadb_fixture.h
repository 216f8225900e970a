/* Real mariadbd servers for unit tests, each in its own directory and on a free port of 127.0.0.1.
 *
 *     struct mariadb_fixture fx;
 *     mariadb_fixture_begin(&fx);                          one mkdtemp directory with a data directory to copy from
 *     struct mariadb_server *s = mariadb_start(&fx, (const char *[]){"--server-id=1", "--log-bin", NULL});
 *     ... s->port, s->pid; account FIXTURE_USER with FIXTURE_PASSWORD and all privileges ...
 *     mariadb_fixture_end(&fx);                            ends every server by its pid, removes the directory
 *
 * When the test dies without mariadb_fixture_end() the kernel kills the servers (PDEATHSIG) and a janitor process,
 * which waits for the end of a pipe, removes the directory. Functions end the process with a message when the servers
 * cannot be had: no test can go on then. Uses no code of Regent, and libmariadb directly. */
#ifndef REGENT_TESTS_MARIADB_FIXTURE_H
#define REGENT_TESTS_MARIADB_FIXTURE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <mysql.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/free_port.h"

#define FIXTURE_USER "regent_test"
#define FIXTURE_PASSWORD "p#ss \"word'"

enum {
    FIXTURE_SERVERS_MAX = 8,
    FIXTURE_ARGS_MAX = 48,
    FIXTURE_PATH_SIZE = 256,
    FIXTURE_START_S = 60, /* A server that does not answer within this is not going to. */
};

struct mariadb_server {
    pid_t pid; /* 0: not running. */
    uint16_t port;
    char dir[FIXTURE_PATH_SIZE]; /* data/, log, s.sock, init.sql */
    char extra[FIXTURE_ARGS_MAX][FIXTURE_PATH_SIZE];
    unsigned extra_n;
};

struct mariadb_fixture {
    char dir[64];
    int janitor_pipe;
    pid_t janitor;
    unsigned servers_n;
    struct mariadb_server servers[FIXTURE_SERVERS_MAX];
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void mariadb_give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "mariadb_fixture: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static inline int64_t mariadb_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void mariadb_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static inline int mariadb_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void mariadb_remove_tree(const char *dir)
{
    (void)nftw(dir, mariadb_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline uint16_t mariadb_free_port(void)
{
    uint16_t port = free_port();
    if (port == 0) mariadb_give_up("no free port");
    return port;
}

/* Forks and executes; output to 'log'. The child dies with this process. */
static inline pid_t mariadb_spawn(char *const argv[], const char *log)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    for (int i = 3; i < 1024; i++) close(i);
    execvp(argv[0], argv);
    _exit(127);
}

static inline void mariadb_run(char *const argv[], const char *log)
{
    int status = 0;
    pid_t pid = mariadb_spawn(argv, log);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        mariadb_give_up("%s failed, see %s (run again with the directory kept)", argv[0], log);
    }
}

/* Waits in a process of its own until this one is gone, then removes the directory. */
static inline void mariadb_start_janitor(struct mariadb_fixture *f)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) mariadb_give_up("no pipe");
    f->janitor = fork();
    if (f->janitor == 0) {
        char c;
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        close(ends[1]);
        while (read(ends[0], &c, 1) > 0) {}
        for (int i = 0; i < 20 && access(f->dir, F_OK) == 0; i++) {
            mariadb_remove_tree(f->dir);
            mariadb_sleep_ms(50); /* A server that is being killed may still write. */
        }
        _exit(0);
    }
    close(ends[0]);
    f->janitor_pipe = ends[1];
}

static inline void mariadb_fixture_begin(struct mariadb_fixture *f)
{
    char data[FIXTURE_PATH_SIZE];
    char temporary[FIXTURE_PATH_SIZE + 16]; /* Not /tmp: see mariadb_boot(). */
    char log[FIXTURE_PATH_SIZE];
    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/regent-unit-XXXXXX");
    if (mkdtemp(f->dir) == NULL) mariadb_give_up("no temporary directory");
    mariadb_start_janitor(f);
    snprintf(data, sizeof(data), "--datadir=%s/template", f->dir);
    snprintf(log, sizeof(log), "%s/install.log", f->dir);
    snprintf(temporary, sizeof(temporary), "--tmpdir=%s", f->dir);
    char *argv[] = {"mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
                    "--skip-test-db", "--user=root", "--innodb-log-file-size=8M", data, temporary, NULL};
    mariadb_run(argv, log);
}

/* Asks a server directly. Returns the client library's error number, 0 when fine; the first cell of the first row goes
 * to 'answer' (may be NULL; empty when there is none). */
static inline unsigned mariadb_query(const struct mariadb_server *s, const char *sql, char *answer, size_t size)
{
    unsigned protocol = MYSQL_PROTOCOL_TCP;
    unsigned timeout_s = 2;
    MYSQL *m = mysql_init(NULL);
    mysql_options(m, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    if (size > 0) answer[0] = '\0';
    if (mysql_real_connect(m, "127.0.0.1", FIXTURE_USER, FIXTURE_PASSWORD, NULL, s->port, NULL, 0) != NULL &&
        mysql_query(m, sql) == 0) {
        MYSQL_RES *rows = mysql_store_result(m);
        MYSQL_ROW row = rows == NULL ? NULL : mysql_fetch_row(rows);
        if (row != NULL && row[0] != NULL && size > 0) snprintf(answer, size, "%s", row[0]);
        if (rows != NULL) mysql_free_result(rows);
    }
    unsigned code = mysql_errno(m);
    mysql_close(m);
    return code;
}

static inline void mariadb_write_init(const char *path)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) mariadb_give_up("%s cannot be written", path);
    fprintf(file,
            "SET SESSION sql_log_bin = 0;\n"
            "CREATE USER IF NOT EXISTS '" FIXTURE_USER "'@'%%' IDENTIFIED BY 'p#ss \"word''';\n"
            "GRANT ALL PRIVILEGES ON *.* TO '" FIXTURE_USER "'@'%%' WITH GRANT OPTION;\n");
    fclose(file);
}

/* Starts the server of 's' on its directory and port, and waits until it answers. Also after mariadb_kill(). */
static inline void mariadb_boot(struct mariadb_server *s)
{
    char arg[10][FIXTURE_PATH_SIZE + 32];
    char log[FIXTURE_PATH_SIZE + 8];
    char *argv[FIXTURE_ARGS_MAX + 24] = {"mariadbd", "--no-defaults", "--user=root", "--bind-address=127.0.0.1",
                                         "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
                                         "--innodb-log-file-size=8M", "--skip-slave-start"};
    unsigned n = 8;
    snprintf(arg[0], sizeof(arg[0]), "--datadir=%s/data", s->dir);
    snprintf(arg[1], sizeof(arg[1]), "--socket=%s/s.sock", s->dir);
    snprintf(arg[2], sizeof(arg[2]), "--pid-file=%s/pid", s->dir);
    snprintf(arg[3], sizeof(arg[3]), "--init-file=%s/init.sql", s->dir);
    snprintf(arg[4], sizeof(arg[4]), "--port=%u", s->port);
    snprintf(log, sizeof(log), "%s/log", s->dir);
    /* Not /tmp: a server that starts deletes the temporary tables of others in its tmpdir. */
    snprintf(arg[5], sizeof(arg[5]), "--tmpdir=%s", s->dir);
    for (unsigned i = 0; i < 6; i++) argv[n++] = arg[i];
    for (unsigned i = 0; i < s->extra_n; i++) argv[n++] = s->extra[i];
    s->pid = mariadb_spawn(argv, log);
    for (int64_t end_ms = mariadb_now_ms() + FIXTURE_START_S * 1000; mariadb_query(s, "SELECT 1", NULL, 0) != 0;) {
        if (mariadb_now_ms() > end_ms || waitpid(s->pid, NULL, WNOHANG) != 0) {
            char *show[] = {"cat", log, NULL};
            mariadb_run(show, "/dev/stderr");
            mariadb_give_up("mariadbd does not start");
        }
        mariadb_sleep_ms(20);
    }
}

/* A new server; 'extra' is a NULL-terminated list of further arguments, or NULL. Valid until mariadb_fixture_end(). */
static inline struct mariadb_server *mariadb_start(struct mariadb_fixture *f, const char *const *extra)
{
    char from[FIXTURE_PATH_SIZE];
    char to[FIXTURE_PATH_SIZE + 16];
    char log[FIXTURE_PATH_SIZE + 16];
    if (f->servers_n == FIXTURE_SERVERS_MAX) mariadb_give_up("more than %d servers", FIXTURE_SERVERS_MAX);
    struct mariadb_server *s = &f->servers[f->servers_n];
    char base[sizeof(f->dir)]; /* A copy: snprintf() wants source and target in different objects. */
    memcpy(base, f->dir, sizeof(base));
    snprintf(s->dir, sizeof(s->dir), "%s/server%u", base, f->servers_n++);
    if (mkdir(s->dir, 0700) != 0) mariadb_give_up("mkdir %s", s->dir);
    for (; extra != NULL && extra[s->extra_n] != NULL && s->extra_n < FIXTURE_ARGS_MAX; s->extra_n++) {
        snprintf(s->extra[s->extra_n], FIXTURE_PATH_SIZE, "%s", extra[s->extra_n]);
    }
    snprintf(from, sizeof(from), "%s/template", f->dir);
    snprintf(to, sizeof(to), "%s/data", s->dir);
    snprintf(log, sizeof(log), "%s/copy.log", s->dir);
    char *copy[] = {"cp", "-a", from, to, NULL};
    mariadb_run(copy, log);
    snprintf(to, sizeof(to), "%s/init.sql", s->dir);
    mariadb_write_init(to);
    s->port = mariadb_free_port();
    mariadb_boot(s);
    return s;
}

/* Sends 'signal' to the server; SIGKILL waits for its end. */
static inline void mariadb_signal(struct mariadb_server *s, int signal)
{
    if (s->pid == 0) return;
    kill(s->pid, signal);
    if (signal == SIGSTOP) waitpid(s->pid, NULL, WUNTRACED); /* Until all its threads stand. */
    if (signal != SIGKILL) return;
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void mariadb_kill(struct mariadb_server *s)
{
    mariadb_signal(s, SIGKILL);
}

/* Ends all servers and removes the directory. Also after a failed test: call it from the group's teardown. */
static inline void mariadb_fixture_end(struct mariadb_fixture *f)
{
    for (unsigned i = 0; i < f->servers_n; i++) mariadb_kill(&f->servers[i]);
    mariadb_remove_tree(f->dir);
    close(f->janitor_pipe);
    waitpid(f->janitor, NULL, 0);
    f->servers_n = 0;
}

#endif
