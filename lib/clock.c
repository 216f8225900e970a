/* Clocks and chance: the only place that asks the kernel for either. */
#include "lib/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "lib/base/text.h"

enum { CLOCK_TEXT_SIZE = 32 };

static int64_t read_us(clockid_t id)
{
    struct timespec t;

    MUST(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct mono clock_mono(void)
{
    return (struct mono){read_us(CLOCK_BOOTTIME)};
}

struct wall clock_wall(void)
{
    return (struct wall){read_us(CLOCK_REALTIME)};
}

uint64_t clock_random(void)
{
    uint64_t value = 0;

    while (value == 0) {
        ssize_t n = getrandom(&value, sizeof value, 0);

        /* Fewer than 256 bytes come whole or, before the pool is ready, interrupted. */
        if (n == (ssize_t)sizeof value) continue;
        MUST(n < 0 && errno == EINTR);
        value = 0;
    }
    return value;
}

void clock_print(struct wall t, char *to)
{
    int64_t s = t.us / 1000000, us = t.us % 1000000;
    struct text text;
    struct tm tm;
    time_t seconds;

    if (us < 0) {
        us += 1000000;
        s--;
    }
    seconds = (time_t)s;
    MUST(gmtime_r(&seconds, &tm) != NULL);
    text = text_on(to, CLOCK_TEXT_SIZE);
    text_addf(&text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
              tm.tm_min, tm.tm_sec, (int)us);
}
