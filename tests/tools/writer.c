/* writer: a client that writes through a failover and keeps a record. Stands alone: no code of Regent, no question to
 * Regent; it knows a list of servers and what they answer.
 *
 *   writer --servers H:P,H:P,... --defaults-file FILE --group NAME --record FILE --table DB.TABLE
 *          [--period-ms 10] [--retry-ms 10] [--timeout-ms 300] [--connect-ms 50]
 *
 * It inserts one row a commit, about every --period-ms, keeps to the server that accepts, and after an error tries the
 * next one --retry-ms later, with a new sequence number: a row whose answer did not come is unknown, and is never
 * written again. A row is acknowledged by the server's OK only.
 *
 * The record has one line an attempt: "seq time_us server status". time_us is CLOCK_MONOTONIC when the answer came
 * or was given up; status is "ack", "refused:ERRNO" (the server said no), "failed:ERRNO" (no connection, so nothing was
 * sent) or "unknown:ERRNO" (sent, no answer).
 *
 * A server that accepts connections and then says nothing (frozen) must cost the writer little, else the outage that it
 * measures is its own: connecting and inserting go through libmariadb's non-blocking calls, each under a deadline in
 * milliseconds. SIGTERM and SIGINT end it after the attempt that runs. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <mysql.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SERVERS_MAX = 16, HOST_SIZE = 128, TEXT_SIZE = 256, ERROR_READ_ONLY = 1290 };

struct server {
    char name[HOST_SIZE]; /* host:port */
    char host[HOST_SIZE];
    unsigned port;
    MYSQL *mysql; /* NULL: not connected. */
};

struct writer {
    struct server servers[SERVERS_MAX];
    unsigned servers_n;
    const char *defaults_file;
    const char *group;
    const char *table;
    int record_fd;
    int64_t period_us;
    int64_t retry_us;
    int64_t timeout_us;
    int64_t connect_us;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_until(int64_t at_us)
{
    struct timespec t = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};

    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); /* A signal ends it early: the loop looks. */
}

/* Waits until the socket is ready for what the library asked for. Returns what happened, in the library's flags;
 * past the deadline it ends the connection, so that the suspended call returns with an error. */
static int wait_socket(MYSQL *mysql, int wanted, int64_t deadline_us)
{
    struct pollfd p = {.fd = (int)mysql_get_socket(mysql)};
    int64_t left_us = deadline_us - now_us();
    int got = 0;

    p.events = (short)(((wanted & MYSQL_WAIT_READ) ? POLLIN : 0) | ((wanted & MYSQL_WAIT_WRITE) ? POLLOUT : 0));
    if (left_us > 0 && poll(&p, 1, (int)((left_us + 999) / 1000)) > 0) {
        got |= (p.revents & (POLLIN | POLLHUP | POLLERR)) ? (wanted & MYSQL_WAIT_READ) : 0;
        got |= (p.revents & (POLLOUT | POLLHUP | POLLERR)) ? (wanted & MYSQL_WAIT_WRITE) : 0;
        if (got != 0)
            return got;
    }
    if (now_us() < deadline_us)
        return 0; /* Interrupted by a signal. */
    (void)shutdown(p.fd, SHUT_RDWR);
    return MYSQL_WAIT_TIMEOUT;
}

static void server_close(struct server *s)
{
    if (s->mysql == NULL)
        return;
    mysql_close(s->mysql);
    s->mysql = NULL;
}

/* Connects within the deadline. Returns 0, or the client library's or the server's error number. */
static unsigned server_connect(const struct writer *w, struct server *s)
{
    const int64_t deadline_us = now_us() + w->connect_us;
    const unsigned seconds = 2; /* The library's own limits; ours are shorter. */
    const my_bool no = 0;
    MYSQL *done = NULL;
    int status;

    s->mysql = mysql_init(NULL);
    if (s->mysql == NULL)
        return ENOMEM;
    mysql_options(s->mysql, MYSQL_OPT_NONBLOCK, 0);
    mysql_options(s->mysql, MYSQL_READ_DEFAULT_FILE, w->defaults_file);
    mysql_options(s->mysql, MYSQL_READ_DEFAULT_GROUP, w->group);
    mysql_options(s->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(s->mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
    mysql_options(s->mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    mysql_options(s->mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &no); /* Connector 3.4 asks for TLS without this. */
    status = mysql_real_connect_start(&done, s->mysql, s->host, NULL, NULL, NULL, s->port, NULL, 0);
    while (status != 0) {
        int got = wait_socket(s->mysql, status, deadline_us);

        if (got != 0)
            status = mysql_real_connect_cont(&done, s->mysql, got);
    }
    if (done != NULL)
        return 0;
    status = (int)mysql_errno(s->mysql);
    server_close(s);
    return status != 0 ? (unsigned)status : ETIMEDOUT;
}

/* Inserts within the deadline. Returns 0 on the server's OK, else an error number. */
static unsigned server_insert(const struct writer *w, struct server *s, uint64_t seq)
{
    const int64_t start_us = now_us();
    const int64_t deadline_us = start_us + w->timeout_us;
    char query[TEXT_SIZE * 2];
    int failed = 1;
    int status, size;

    size = snprintf(query, sizeof query, "INSERT INTO %s (seq, at_us, server) VALUES (%" PRIu64 ", %" PRId64 ", '%s')",
                    w->table, seq, start_us, s->name);
    if (size < 0 || (size_t)size >= sizeof query)
        return ENAMETOOLONG;
    status = mysql_real_query_start(&failed, s->mysql, query, (unsigned long)size);
    while (status != 0) {
        int got = wait_socket(s->mysql, status, deadline_us);

        if (got != 0)
            status = mysql_real_query_cont(&failed, s->mysql, got);
    }
    if (failed == 0)
        return 0;
    return mysql_errno(s->mysql) != 0 ? mysql_errno(s->mysql) : ETIMEDOUT;
}

/* One line with one write(), so that a reader never sees half a line of ours but at the end of the file. */
static void record(const struct writer *w, uint64_t seq, const char *server, const char *status, unsigned error)
{
    char line[TEXT_SIZE];
    int size;

    if (error == 0)
        size = snprintf(line, sizeof line, "%" PRIu64 " %" PRId64 " %s %s\n", seq, now_us(), server, status);
    else
        size = snprintf(line, sizeof line, "%" PRIu64 " %" PRId64 " %s %s:%u\n", seq, now_us(), server, status, error);
    if (size < 0 || write(w->record_fd, line, (size_t)size) != size) {
        perror("writer: record");
        exit(1); /* Without a record there is nothing to measure. */
    }
}

/* Tries one row at one server. True when it was acknowledged. */
static bool attempt(const struct writer *w, struct server *s, uint64_t seq)
{
    unsigned error;

    if (s->mysql == NULL) {
        error = server_connect(w, s);
        if (error != 0) {
            record(w, seq, s->name, "failed", error);
            return false;
        }
    }
    error = server_insert(w, s, seq);
    if (error == 0) {
        record(w, seq, s->name, "ack", 0);
        return true;
    }
    if (error == ERROR_READ_ONLY) { /* Sure that nothing was written; the session is good for the next round. */
        record(w, seq, s->name, "refused", error);
        return false;
    }
    record(w, seq, s->name, "unknown", error);
    server_close(s);
    return false;
}

static void run(struct writer *w)
{
    unsigned at = 0;
    int64_t next_us = now_us();

    for (uint64_t seq = 1; !stopped; seq++) {
        bool acknowledged = attempt(w, &w->servers[at], seq);

        if (!acknowledged)
            at = (at + 1) % w->servers_n;
        next_us = acknowledged ? next_us + w->period_us : now_us() + w->retry_us;
        if (next_us < now_us())
            next_us = now_us(); /* Late: no burst to catch up. */
        sleep_until(next_us);
    }
}

static int parse_servers(struct writer *w, char *list)
{
    char *rest = NULL;

    for (char *item = strtok_r(list, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        struct server *s = &w->servers[w->servers_n];
        char *colon = strrchr(item, ':');

        if (colon == NULL || strlen(item) >= HOST_SIZE || w->servers_n == SERVERS_MAX)
            return -1;
        memcpy(s->name, item, strlen(item) + 1);
        memcpy(s->host, item, (size_t)(colon - item));
        s->port = (unsigned)strtoul(colon + 1, NULL, 10);
        w->servers_n++;
    }
    return w->servers_n > 0 ? 0 : -1;
}

static int64_t milliseconds(const char *text)
{
    return strtoll(text, NULL, 10) * 1000;
}

static int parse_options(struct writer *w, int argc, char **argv)
{
    static const struct option options[] = {
        {"servers", required_argument, NULL, 's'},    {"defaults-file", required_argument, NULL, 'd'},
        {"group", required_argument, NULL, 'g'},      {"record", required_argument, NULL, 'r'},
        {"table", required_argument, NULL, 't'},      {"period-ms", required_argument, NULL, 'p'},
        {"retry-ms", required_argument, NULL, 'y'},   {"timeout-ms", required_argument, NULL, 'o'},
        {"connect-ms", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0},
    };
    int option;
    int rv = 0;

    while (rv == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's': rv = parse_servers(w, optarg); break;
        case 'd': w->defaults_file = optarg; break;
        case 'g': w->group = optarg; break;
        case 't': w->table = optarg; break;
        case 'p': w->period_us = milliseconds(optarg); break;
        case 'y': w->retry_us = milliseconds(optarg); break;
        case 'o': w->timeout_us = milliseconds(optarg); break;
        case 'c': w->connect_us = milliseconds(optarg); break;
        case 'r': w->record_fd = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); break;
        default: rv = -1; break;
        }
    }
    if (w->defaults_file == NULL || w->group == NULL || w->table == NULL || w->record_fd < 0 || w->servers_n == 0)
        rv = -1;
    return rv;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct writer w = {
        .record_fd = -1, .period_us = 10000, .retry_us = 10000, .timeout_us = 300000, .connect_us = 50000};

    if (parse_options(&w, argc, argv) != 0) {
        fprintf(stderr, "usage: writer --servers H:P,.. --defaults-file F --group G --record F --table DB.TABLE"
                        " [--period-ms N] [--retry-ms N] [--timeout-ms N] [--connect-ms N]\n");
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (mysql_library_init(0, NULL, NULL) != 0)
        return 1;
    run(&w);
    for (unsigned i = 0; i < w.servers_n; i++)
        server_close(&w.servers[i]);
    mysql_library_end();
    close(w.record_fd);
    return 0;
}
