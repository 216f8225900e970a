/* Time as types: a monotonic instant and a wall-clock instant cannot be mixed.
 *
 * Pure code is told the time; only lib/clock.h reads a clock. Durations are int64_t with their unit in the
 * name (_ms, _us). The monotonic clock is CLOCK_BOOTTIME: it goes on during suspend. */
#ifndef REGENT_MTIME_H
#define REGENT_MTIME_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
    int64_t us; /* Microseconds since boot. 0 means "never". */
};

struct wall {
    int64_t us; /* Microseconds since 1970-01-01 UTC. 0 means "unknown". */
};

#define MONO_NEVER ((struct mono){0})

static inline bool mono_is_set(struct mono t)
{
    return t.us != 0;
}

static inline int64_t mono_since_ms(struct mono now, struct mono then)
{
    return (now.us - then.us) / 1000;
}

static inline struct mono mono_add_ms(struct mono t, int64_t ms)
{
    return (struct mono){t.us + ms * 1000};
}

static inline bool mono_before(struct mono a, struct mono b)
{
    return a.us < b.us;
}

/* The earlier of two instants, where "never" is later than all. */
static inline struct mono mono_earlier(struct mono a, struct mono b)
{
    if (!mono_is_set(a)) return b;
    if (!mono_is_set(b)) return a;
    return a.us < b.us ? a : b;
}

#endif
