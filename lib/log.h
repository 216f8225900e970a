/* Levelled logging: logfmt lines to stderr, or native datagrams to journald.
 *
 *   log_info("failover.promote", "cluster=%s server=%s epoch=%" PRIu64, ...);
 *
 * A line has a stable event name, then key=value pairs (values with spaces in quotes: "text=\"...\""). Never a secret.
 * ERR: somebody must act. WARN. INFO: state changes only. DEBUG. Any thread. */
#ifndef REGENT_LOG_H
#define REGENT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/must.h"

enum log_level { LOG_LEVEL_ERR = 0, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* 'journal' true: datagrams to /run/systemd/journal/socket, stderr when that fails. 'node' is put into each line. */
void log_init(enum log_level level, bool journal, const char *node);
enum log_level log_level(void);
/* The level of that name, or -1. */
int log_level_parse(const char *name);

/* Writes one line when 'level' is enabled. A line over 4 KiB is cut and ends in "...". Control characters are escaped,
 * so text of others cannot forge a line. A quote inside a quoted value is escaped too, unless it looks like the value's
 * end (" key=" follows): the line is for people and tools, not proof. */
void log_write(enum log_level level, const char *event, const char *format, ...) REGENT_PRINTF(3, 4);

/* State of one call site that is limited: at most 'burst' lines in 'per_ms'; then one line tells how many were lost. */
struct log_limit {
    uint32_t burst, per_ms;
    int64_t window_start_us;
    uint32_t written, dropped;
};
/* True when a line may be written now. Loop thread only. */
bool log_limit_pass(struct log_limit *limit, const char *event);

#define log_err(event, ...) log_write(LOG_LEVEL_ERR, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

/* At most 5 lines in 10 s from this call site. */
#define log_limited(level, event, ...)                                                                                \
    do {                                                                                                              \
        static struct log_limit limit_ = {.burst = 5, .per_ms = 10000};                                               \
        if (log_limit_pass(&limit_, event)) log_write(level, event, __VA_ARGS__);                                     \
    } while (0)

#endif
