/* What the production code asks of its host: clocks and chance (lib/clock.h), and its log (lib/log.h), which becomes
 * lines of the trace. Who asks is the node whose event runs. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "sim/world.h"

struct mono clock_mono(void)
{
    return sim_mono(the_world->sim, sim_current(the_world->sim));
}

struct wall clock_wall(void)
{
    return sim_wall(the_world->sim, sim_current(the_world->sim));
}

uint64_t clock_random(void)
{
    return rng_u64(&world_manager(the_world, sim_node_name(the_world->sim, sim_current(the_world->sim)))->rng) | 1;
}

void clock_print(struct wall t, char *to)
{
    (void)snprintf(to, 32, "%lld.%06lld", (long long)(t.us / SIM_S), (long long)(t.us % SIM_S));
}

void log_init(enum log_level level, bool journal, const char *node)
{
    (void)level;
    (void)journal;
    (void)node;
}

enum log_level log_level(void)
{
    return LOG_LEVEL_INFO;
}

int log_level_parse(const char *name)
{
    (void)name;
    return -1;
}

bool log_limit_pass(struct log_limit *limit, const char *event)
{
    (void)limit;
    (void)event;
    return true;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    char base[1024];
    va_list args;
    if (level > LOG_LEVEL_INFO || !the_world || !sim_tracing(the_world->sim)) return;
    va_start(args, format);
    (void)vsnprintf(base, sizeof base, format, args);
    va_end(args);
    sim_trace(the_world->sim, sim_current(the_world->sim), "%s %s", event, base);
}
