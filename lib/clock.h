/* The only place that reads clocks and draws random numbers. */
#ifndef REGENT_CLOCK_H
#define REGENT_CLOCK_H

#include <stdint.h>

#include "lib/base/mtime.h"

struct mono clock_mono(void); /* CLOCK_BOOTTIME */
struct wall clock_wall(void);
uint64_t clock_random(void); /* getrandom(2); never 0. */
/* "2026-11-21T02:08:03.123456Z"; 'to' has at least 32 bytes. */
void clock_print(struct wall t, char *to);

#endif
