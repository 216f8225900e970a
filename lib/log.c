/* Logging: one line is built on the stack and leaves in one system call, so that lines of several threads never mix.
 *
 * Text of others (server messages, file names) may hold anything: control characters are escaped, so that nobody
 * writes a second line, and a quote inside a quoted value is escaped, so that the line stays logfmt. */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/clock.h"

enum { LOG_LINE_SIZE = 4096, LOG_NODE_SIZE = 64 };

static const char journal_path[] = "/run/systemd/journal/socket";
static const char *const level_names[] = {"err", "warn", "info", "debug"};
static const int level_priorities[] = {3, 4, 6, 7}; /* As syslog(3) has them. */

/* Written by log_init() before threads start; read by all. */
static struct {
    enum log_level level;
    int journal_fd; /* -1: stderr. */
    char node[LOG_NODE_SIZE];
} logger = {.level = LOG_LEVEL_INFO, .journal_fd = -1};

void log_init(enum log_level level, bool journal, const char *node)
{
    logger.level = level;
    (void)TEXT_COPY(logger.node, node == NULL ? "" : node);
    if (logger.journal_fd >= 0) (void)close(logger.journal_fd);
    logger.journal_fd = journal ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
}

enum log_level log_level(void)
{
    return logger.level;
}

int log_level_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (text_equal(name, level_names[i])) return (int)i;
    }
    return -1;
}

/* A quote ends a value when the line ends there or another key follows: space, then letters up to "=". */
static bool quote_ends_value(const char *after)
{
    size_t n;

    if (*after == '\0') return true;
    if (*after != ' ') return false;
    n = strspn(after + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    return n > 0 && after[1 + n] == '=';
}

static void add_clean(struct text *t, const char *s)
{
    bool quoted = false;

    for (const char *p = s; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '\n') {
            text_add(t, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            text_addf(t, "\\x%02x", c);
        } else if (c != '"') {
            text_addf(t, "%c", c);
        } else if (!quoted && p > s && p[-1] == '=') {
            quoted = true;
            text_add(t, "\"");
        } else if (!quoted || quote_ends_value(p + 1)) {
            quoted = false;
            text_add(t, "\"");
        } else {
            text_add(t, p[-1] == '\\' ? "\"" : "\\\"");
        }
    }
}

static bool send_journal(enum log_level level, const char *event, const char *body)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char packet[LOG_LINE_SIZE + 512];
    struct text t = TEXT_ON(packet);

    if (logger.journal_fd < 0) return false;
    (void)TEXT_COPY(to.sun_path, journal_path);
    text_addf(&t, "PRIORITY=%d\nSYSLOG_IDENTIFIER=regent\nREGENT_NODE=%s\nREGENT_EVENT=%s\nMESSAGE=%s\n",
              level_priorities[level], logger.node, event, body);
    return sendto(logger.journal_fd, packet, t.len, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
                  sizeof to) >= 0;
}

static void send_stderr(enum log_level level, const char *body)
{
    char line[LOG_LINE_SIZE + 256], now[32];
    struct text t = TEXT_ON(line);

    clock_print(clock_wall(), now);
    text_addf(&t, "time=%s level=%s ", now, level_names[level]);
    if (logger.node[0] != '\0') text_addf(&t, "node=%s ", logger.node);
    text_add(&t, body);
    MUST(!t.cut);
    line[t.len++] = '\n'; /* In place of the NUL: the line is written by its length. */
    /* Nothing to be done about a log that cannot be written. */
    if (write(STDERR_FILENO, line, t.len) < 0) return;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    char raw[LOG_LINE_SIZE], body[LOG_LINE_SIZE];
    struct text t = TEXT_ON(body);
    va_list args;

    if (level > logger.level) return;
    va_start(args, format);
    (void)vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_addf(&t, "event=%s ", event);
    add_clean(&t, raw);
    if (t.cut) memcpy(body + sizeof body - 4, "...", 4);
    if (!send_journal(level, event, body)) send_stderr(level, body);
}

bool log_limit_pass(struct log_limit *limit, const char *event)
{
    int64_t now_us = clock_mono().us;

    if (limit->window_start_us == 0 || now_us - limit->window_start_us >= (int64_t)limit->per_ms * 1000) {
        uint32_t dropped = limit->dropped;

        limit->window_start_us = now_us;
        limit->written = 0;
        limit->dropped = 0;
        if (dropped > 0) log_warn("log.dropped", "of=%s lines=%u in_ms=%u", event, dropped, limit->per_ms);
    }
    if (limit->written >= limit->burst) {
        limit->dropped++;
        return false;
    }
    limit->written++;
    return true;
}
