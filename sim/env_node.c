/* The world kernel, part two: nodes, their clocks, and the trace. See env.h. */
#include "sim/env_private.h"

#include <stdarg.h>
#include <stdio.h>

/* 2026-11-21 00:00:00 UTC at true time 0. */
#define WALL_START_US (INT64_C(1795219200) * SIM_S)

sim_node sim_node_add(struct sim *sim, const char *name, const struct sim_node_hooks *hooks)
{
    MUST(sim->nodes_n < SIM_NODES_MAX);
    struct node *node = &sim->nodes[sim->nodes_n];
    (void)TEXT_COPY(node->name, name);
    node->hooks = *hooks;
    node->mono = (struct drifting){sim->now_us, sim->now_us, 0};
    node->wall_ahead_us = WALL_START_US;
    return sim->nodes_n++;
}

uint64_t sim_seed(const struct sim *sim)
{
    return sim->seed;
}

int64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

uint64_t sim_events_n(const struct sim *sim)
{
    return sim->events_n;
}

uint64_t sim_digest(const struct sim *sim)
{
    return sim->digest;
}

unsigned sim_nodes_n(const struct sim *sim)
{
    return sim->nodes_n;
}

const char *sim_node_name(const struct sim *sim, sim_node node)
{
    return sim->nodes[node].name;
}

enum sim_process sim_process(const struct sim *sim, sim_node node)
{
    return sim->nodes[node].process;
}

enum sim_host sim_host(const struct sim *sim, sim_node node)
{
    return sim->nodes[node].host;
}

uint32_t sim_incarnation(const struct sim *sim, sim_node node)
{
    return sim->nodes[node].incarnation;
}

sim_node sim_current(const struct sim *sim)
{
    return sim->current;
}

struct net *sim_net(const struct sim *sim)
{
    return sim->net;
}

/* --- clocks ------------------------------------------------------------------------------------------------------- */

static int64_t read_us(const struct drifting *clock, int64_t now_us)
{
    int64_t since = now_us - clock->true_us;
    return clock->read_us + since + since / SIM_S * clock->ppm + since % SIM_S * clock->ppm / SIM_S;
}

struct mono sim_mono(const struct sim *sim, sim_node node)
{
    return (struct mono){read_us(&sim->nodes[node].mono, sim->now_us)};
}

struct wall sim_wall(const struct sim *sim, sim_node node)
{
    return (struct wall){sim_mono(sim, node).us + sim->nodes[node].wall_ahead_us};
}

int64_t sim_true_us(const struct sim *sim, sim_node node, struct mono at)
{
    const struct drifting *clock = &sim->nodes[node].mono;
    int64_t left = at.us - sim_mono(sim, node).us;
    if (left <= 0) return sim->now_us;
    int64_t wait = left / (SIM_S + clock->ppm) * SIM_S + left % (SIM_S + clock->ppm) * SIM_S / (SIM_S + clock->ppm);
    /* Rounding may leave it microseconds early, and the process would look at its clock and wait again. */
    while (read_us(clock, sim->now_us + wait) < at.us) wait++;
    return sim->now_us + wait;
}

void sim_clock_drift(struct sim *sim, sim_node node, int32_t ppm)
{
    MUST(ppm > -SIM_S / 2 && ppm < SIM_S / 2);
    sim->nodes[node].mono = (struct drifting){sim->now_us, sim_mono(sim, node).us, ppm};
}

void sim_clock_jump(struct sim *sim, sim_node node, int64_t by_us)
{
    sim->nodes[node].wall_ahead_us += by_us;
}

/* --- trace -------------------------------------------------------------------------------------------------------- */

void sim_trace_on(struct sim *sim, bool on)
{
    sim->tracing = on;
}

bool sim_tracing(const struct sim *sim)
{
    return sim->tracing;
}

static void column(struct sim *sim, sim_node n, bool is_own)
{
    const struct node *node = &sim->nodes[n];
    char glyph[8] = ".";
    if (node->process == SIM_DEAD) (void)TEXT_COPY(glyph, node->host == SIM_HOST_OFF ? "off" : "x");
    else if (node->host == SIM_HOST_FROZEN) (void)TEXT_COPY(glyph, "zzz");
    else if (node->process == SIM_PAUSED) (void)TEXT_COPY(glyph, "z");
    else if (node->hooks.glyph) node->hooks.glyph(node->hooks.arg, glyph);
    printf("%c%-3.3s", is_own ? '!' : ' ', glyph);
}

void sim_trace(struct sim *sim, sim_node node, const char *format, ...)
{
    int64_t us = sim->now_us - 1000 * (int64_t)SIM_S;
    printf("%4lld.%06lld ", (long long)(us / SIM_S), (long long)(us % SIM_S));
    for (sim_node n = 1; n < sim->nodes_n; n++) column(sim, n, n == node);
    printf(" %s: ", sim->nodes[node].name);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout); /* A process that crashes has told all that led to it. */
}
