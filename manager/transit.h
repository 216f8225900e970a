/* How long a report of another manager was under way. PURE.
 *
 * A report tells how old each observation was when it was sent. One that stood still in the network, or in a socket
 * whose reader was paused, must not pass for fresh: a master that was lost then may work again (S6). The clocks of two
 * hosts cannot be compared, but their difference is the same for all reports of one connection, up to their drift: the
 * least difference that was seen of late belongs to a report that came at once, and what one has above it is its delay.
 * The first report has nothing to be compared with; it was sent after the connection was begun, and counts from there
 * (with TLS its sender needs our answer before it can send).
 *
 * Failure modes: a clock that jumps, or drifts, counts as delay for two TRANSIT_WINDOW_MS at most. */
#ifndef REGENT_MANAGER_TRANSIT_H
#define REGENT_MANAGER_TRANSIT_H

#include "lib/base/mtime.h"

enum { TRANSIT_WINDOW_MS = 5000 };

/* Of one connection. */
struct transit {
    struct mono begun; /* The connection, by our clock. */
    struct mono since; /* The window; not set: nothing came yet. */
    int64_t least_us[2]; /* Our clock less the sender's: in this window, and in the one before. */
};

/* The connection began at 'begun'. */
void transit_begin(struct transit *transit, struct mono begun);

/* For how many ms, at most, a report was under way that was sent at 'sent' by its sender's clock and came 'now'. 0 when
 * 'sent' is not set (of a manager that does not tell). */
int64_t transit_late_ms(struct transit *transit, struct mono sent, struct mono now);

#endif
