/* How long a report was under way. See transit.h. PURE. */
#include "manager/transit.h"

void transit_begin(struct transit *transit, struct mono begun)
{
    *transit = (struct transit){.begun = begun};
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t transit_late_ms(struct transit *transit, struct mono sent, struct mono now)
{
    struct transit *t = transit;
    int64_t us = now.us - sent.us;
    if (!mono_is_set(sent)) return 0;
    if (!mono_is_set(t->since)) {
        t->since = now;
        t->least_us[0] = t->least_us[1] = least(us, t->begun.us - sent.us);
    } else if (mono_since_ms(now, t->since) >= TRANSIT_WINDOW_MS) {
        t->since = now;
        t->least_us[1] = t->least_us[0];
        t->least_us[0] = us;
    }
    t->least_us[0] = least(us, t->least_us[0]);
    return (us - least(t->least_us[0], t->least_us[1]) + 999) / 1000;
}
