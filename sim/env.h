/* The world kernel of the simulator: virtual time, events, chance, processes and their clocks, the trace.
 *
 * One thread, one seed. Nothing in sim/ may take time or chance from anywhere else, order anything by addresses, or let
 * the compiler choose the order of two draws (never two rng_*() calls in one expression or argument list): the same
 * seed must give the same bytes with every compiler.
 *
 * Happy path: sim_at() queues a function; sim_step() takes the earliest event (ties: the one queued first), moves time,
 * and calls it. An event belongs to a node, a process on a host of its own:
 * - when the node's process has died since the event was queued, the event is dropped without a call: who passes memory
 *   of his own as 'arg' frees it in the node's 'killed' hook;
 * - while the process is paused, its events wait, in order, and run when it is resumed;
 * - SIM_WORLD never dies and never pauses: faults, checks and the network itself run as SIM_WORLD.
 * The network is in sim/net.h. */
#ifndef REGENT_SIM_ENV_H
#define REGENT_SIM_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mtime.h"
#include "lib/base/must.h"

struct sim;

typedef uint16_t sim_node;
typedef uint64_t sim_event; /* 0: none. */
typedef void sim_fn(void *arg);

enum {
    SIM_WORLD = 0,      /* The node that always runs. */
    SIM_NODES_MAX = 96,
    SIM_NAME_SIZE = 16,
    SIM_MS = 1000,      /* Microseconds. */
    SIM_S = 1000000,
};

/* Nodes; {{0}}: none. */
struct sim_set {
    uint64_t bits[SIM_NODES_MAX / 64 + 1];
};
void sim_set_add(struct sim_set *set, sim_node node);

/* --- chance ------------------------------------------------------------------------------------------------------ */

/* xoshiro256**, seeded by splitmix64. One stream a purpose: what one subsystem draws never moves another's. */
struct rng {
    uint64_t s[4];
};

/* The stream 'purpose' (static text, such as "net" or "mysqld") number 'index' of the world's seed. */
void rng_init(struct rng *rng, uint64_t seed, const char *purpose, uint64_t index);
uint64_t rng_u64(struct rng *rng);
/* 0 .. n-1, n >= 1, without bias. */
uint64_t rng_below(struct rng *rng, uint64_t n);
/* low .. high, both inclusive. */
int64_t rng_between(struct rng *rng, int64_t low, int64_t high);
/* low .. high with small values likelier: each power of two as likely as the next. low >= 1. */
int64_t rng_log_between(struct rng *rng, int64_t low, int64_t high);
/* True in 'ppm' of a million. */
bool rng_chance(struct rng *rng, uint32_t ppm);

/* --- the world --------------------------------------------------------------------------------------------------- */

/* Never NULL. Time starts at 1,000 s (0 means "never" in struct mono). */
struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);
uint64_t sim_seed(const struct sim *sim);
/* True time, that no process sees. */
int64_t sim_now_us(const struct sim *sim);
/* Events run so far, and a digest of all of them: two runs of a seed must agree in both. */
uint64_t sim_events_n(const struct sim *sim);
uint64_t sim_digest(const struct sim *sim);
/* Folds a number that matters into the digest (a reply's size, a position, ...). */
void sim_digest_add(struct sim *sim, uint64_t value);

/* Calls fn(arg) as 'node' at true time 'at_us' (now, when that is past). The event belongs to the node's present life.
 * Must not be called for a node whose process does not live. */
sim_event sim_at(struct sim *sim, sim_node node, int64_t at_us, sim_fn *fn, void *arg);
sim_event sim_after(struct sim *sim, sim_node node, int64_t delay_us, sim_fn *fn, void *arg);
/* The event will not run; '*event' is 0 after it. Harmless for one that ran, was dropped, or is 0. */
void sim_cancel(struct sim *sim, sim_event *event);
/* Runs the earliest event that is due until 'until_us'. False: there was none, and it is 'until_us' now. */
bool sim_step(struct sim *sim, int64_t until_us);
/* Called after each event (the checks). */
void sim_set_after_event(struct sim *sim, sim_fn *fn, void *arg);
/* True when the present (or last) event ran code of a node of 'set', or its process began or ended in it. */
bool sim_touched_any(const struct sim *sim, const struct sim_set *set);

/* --- processes and hosts ----------------------------------------------------------------------------------------- */

enum sim_process { SIM_DEAD, SIM_RUNNING, SIM_PAUSED };
enum sim_host { SIM_HOST_UP, SIM_HOST_FROZEN, SIM_HOST_OFF }; /* Frozen: a paused VM; silent, but nothing is lost. */

struct sim_node_hooks {
    void *arg;
    /* The process died (its events and streams are gone already): free what it had in memory; what it had on disk
     * stays. 'power_lost': what was not fsynced is lost as well. May be NULL. */
    void (*killed)(void *arg, bool power_lost);
    /* One to three characters that tell its state in the trace's column ("L", "ro"), written to 'to' (8 bytes). May be
     * NULL. */
    void (*glyph)(void *arg, char *to);
};

/* Adds a node, dead, its host up. Names are for the trace. Nodes are never removed. */
sim_node sim_node_add(struct sim *sim, const char *name, const struct sim_node_hooks *hooks);
unsigned sim_nodes_n(const struct sim *sim);
const char *sim_node_name(const struct sim *sim, sim_node node);
enum sim_process sim_process(const struct sim *sim, sim_node node);
enum sim_host sim_host(const struct sim *sim, sim_node node);
/* Counts the lives of the process; the events of an older life never run. */
uint32_t sim_incarnation(const struct sim *sim, sim_node node);
/* Which node's event runs now; SIM_WORLD outside of events. */
sim_node sim_current(const struct sim *sim);

/* A new life of a dead process on a host that is up. The caller starts the program. */
void sim_boot(struct sim *sim, sim_node node);
/* kill -9: peers see their connections closed, as far as the network carries it. Nothing when dead already. */
void sim_kill(struct sim *sim, sim_node node);
/* SIGSTOP and SIGCONT. The kernel still accepts connections and takes what arrives (net.h). */
void sim_pause(struct sim *sim, sim_node node);
void sim_resume(struct sim *sim, sim_node node);
/* The whole host stands still, and goes on. A process paused by sim_pause() stays paused. */
void sim_host_freeze(struct sim *sim, sim_node node);
void sim_host_thaw(struct sim *sim, sim_node node);
/* Power loss: the process dies, and no peer is told. sim_host_on() does not boot the process. */
void sim_host_off(struct sim *sim, sim_node node);
void sim_host_on(struct sim *sim, sim_node node);

/* --- clocks of a host -------------------------------------------------------------------------------------------- */

/* What the node's process reads. Time goes on while it is paused, frozen or off. */
struct mono sim_mono(const struct sim *sim, sim_node node);
struct wall sim_wall(const struct sim *sim, sim_node node);
/* True time at which the node's monotonic clock will read 'at', as it runs now; never before now. */
int64_t sim_true_us(const struct sim *sim, sim_node node, struct mono at);
/* From now on both clocks run too fast (or slow, when negative) by 'ppm'. */
void sim_clock_drift(struct sim *sim, sim_node node, int32_t ppm);
/* The wall clock jumps. */
void sim_clock_jump(struct sim *sim, sim_node node, int64_t by_us);

/* --- the trace --------------------------------------------------------------------------------------------------- */

/* Off at first: then sim_trace() must not be called (SIM_TRACE looks). */
void sim_trace_on(struct sim *sim, bool on);
/* Whether lines are wanted. */
bool sim_tracing(const struct sim *sim);
/* One line: true time, a column a node (its glyph, "!" before it at 'node'), the node's name, the text. */
void sim_trace(struct sim *sim, sim_node node, const char *format, ...) REGENT_PRINTF(3, 4);
#define SIM_TRACE(sim, node, ...)                                                                                      \
    do {                                                                                                               \
        if (sim_tracing(sim)) sim_trace((sim), (node), __VA_ARGS__);                                                   \
    } while (0)

/* --- for sim/net.c only ------------------------------------------------------------------------------------------ */

struct net;
/* The world's network. */
struct net *sim_net(const struct sim *sim);
/* Runs fn(arg) as 'node' within the present event. The node must be SIM_RUNNING. */
void sim_run_as(struct sim *sim, sim_node node, sim_fn *fn, void *arg);

#endif
