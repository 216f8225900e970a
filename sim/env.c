/* The world kernel, part one: events, time and processes. Chance: rng.c; clocks and trace: env_node.c. See env.h. */
#include "sim/env_private.h"

#include <stdlib.h>
#include <string.h>

enum { START_US = 1000 * SIM_S, SLOTS_FIRST = 1024 };

/* --- the heap: indices of slots, earliest first ------------------------------------------------------------------- */

static bool is_earlier(const struct entry *a, const struct entry *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->seq < b->seq);
}

static void heap_put(struct sim *sim, size_t at, struct entry entry)
{
    sim->heap[at] = entry;
    sim->slots[entry.slot].heap_at = (uint32_t)at;
}

/* The place 'at' is free: 'entry' goes there or above. */
static void heap_rise(struct sim *sim, size_t at, struct entry entry)
{
    while (at > 0) {
        size_t parent = (at - 1) / 4;
        if (!is_earlier(&entry, &sim->heap[parent])) break;
        heap_put(sim, at, sim->heap[parent]);
        at = parent;
    }
    heap_put(sim, at, entry);
}

static void heap_push(struct sim *sim, struct entry entry)
{
    if (sim->heap_n == sim->heap_room) {
        sim->heap_room = sim->heap_room ? sim->heap_room * 2 : SLOTS_FIRST;
        sim->heap = realloc(sim->heap, sim->heap_room * sizeof *sim->heap);
        MUST(sim->heap);
    }
    heap_rise(sim, sim->heap_n++, entry);
}

static void heap_remove(struct sim *sim, size_t at)
{
    sim->slots[sim->heap[at].slot].heap_at = SLOT_NONE;
    struct entry last = sim->heap[--sim->heap_n];
    if (at == sim->heap_n) return;
    for (;;) {
        size_t first = at * 4 + 1, best = first;
        if (first >= sim->heap_n) break;
        for (size_t c = first + 1; c < first + 4 && c < sim->heap_n; c++)
            if (is_earlier(&sim->heap[c], &sim->heap[best])) best = c;
        if (!is_earlier(&sim->heap[best], &last)) break;
        heap_put(sim, at, sim->heap[best]);
        at = best;
    }
    heap_rise(sim, at, last);
}

/* --- slots: what an event does ------------------------------------------------------------------------------------ */

static uint32_t slot_take(struct sim *sim)
{
    if (sim->slots_free == SLOT_NONE) {
        uint32_t n = sim->slots_n ? sim->slots_n * 2 : SLOTS_FIRST;
        sim->slots = realloc(sim->slots, n * sizeof *sim->slots);
        MUST(sim->slots);
        memset(sim->slots + sim->slots_n, 0, (n - sim->slots_n) * sizeof *sim->slots);
        for (uint32_t i = n; i-- > sim->slots_n;) {
            sim->slots[i].generation = 1;
            sim->slots[i].heap_at = SLOT_NONE;
            sim->slots[i].next = sim->slots_free;
            sim->slots_free = i;
        }
        sim->slots_n = n;
    }
    uint32_t index = sim->slots_free;
    sim->slots_free = sim->slots[index].next;
    return index;
}

static void slot_give(struct sim *sim, uint32_t index)
{
    struct slot *slot = &sim->slots[index];
    slot->fn = NULL;
    slot->generation++;
    slot->next = sim->slots_free;
    sim->slots_free = index;
}

sim_event sim_at(struct sim *sim, sim_node node, int64_t at_us, sim_fn *fn, void *arg)
{
    MUST(node < sim->nodes_n && sim->nodes[node].process != SIM_DEAD);
    uint32_t index = slot_take(sim);
    struct slot *slot = &sim->slots[index];
    slot->fn = fn;
    slot->arg = arg;
    slot->node = node;
    slot->incarnation = sim->nodes[node].incarnation;
    heap_push(sim, (struct entry){at_us < sim->now_us ? sim->now_us : at_us, ++sim->seq, index});
    return (uint64_t)slot->generation << 32 | index;
}

sim_event sim_after(struct sim *sim, sim_node node, int64_t delay_us, sim_fn *fn, void *arg)
{
    return sim_at(sim, node, sim->now_us + delay_us, fn, arg);
}

void sim_cancel(struct sim *sim, sim_event *event)
{
    uint32_t index = (uint32_t)*event;
    struct slot *slot = &sim->slots[index];
    bool is_queued = *event != 0 && slot->generation == (uint32_t)(*event >> 32);
    *event = 0;
    if (!is_queued) return;
    slot->fn = NULL; /* With a paused node it stays, and frees the slot when its turn comes. */
    if (slot->heap_at == SLOT_NONE) return;
    heap_remove(sim, slot->heap_at);
    slot_give(sim, index);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void hold(struct node *node, uint32_t slot)
{
    if (node->held_n == node->held_room) {
        node->held_room = node->held_room ? node->held_room * 2 : 16;
        node->held = realloc(node->held, node->held_room * sizeof *node->held);
        MUST(node->held);
    }
    node->held[node->held_n++] = slot;
}

static void release(struct sim *sim, struct node *node)
{
    if (node->process == SIM_PAUSED || node->host == SIM_HOST_FROZEN) return;
    for (uint32_t i = 0; i < node->held_n; i++)
        heap_push(sim, (struct entry){sim->now_us, ++sim->seq, node->held[i]});
    node->held_n = 0;
}

static void touch(struct sim *sim, sim_node node)
{
    sim_set_add(&sim->touched, node);
}

void sim_set_add(struct sim_set *set, sim_node node)
{
    set->bits[node / 64] |= UINT64_C(1) << (node % 64);
}

bool sim_touched_any(const struct sim *sim, const struct sim_set *set)
{
    uint64_t common = 0;
    for (unsigned i = 0; i < ARRAY_LEN(set->bits); i++) common |= sim->touched.bits[i] & set->bits[i];
    return common != 0;
}

void sim_run_as(struct sim *sim, sim_node node, sim_fn *fn, void *arg)
{
    touch(sim, node);
    sim_node before = sim->current;
    sim->current = node;
    fn(arg);
    sim->current = before;
}

static void fold(struct sim *sim, uint64_t value)
{
    sim->digest = (sim->digest ^ value) * 0x100000001b3u;
    sim->digest ^= sim->digest >> 29;
}

void sim_digest_add(struct sim *sim, uint64_t value)
{
    fold(sim, value);
}

/* True when the event did run (not cancelled, dropped or held). */
static bool run_slot(struct sim *sim, uint32_t index)
{
    struct slot slot = sim->slots[index];
    struct node *node = &sim->nodes[slot.node];
    bool is_dropped = !slot.fn || slot.incarnation != node->incarnation;
    if (!is_dropped && (node->process == SIM_PAUSED || node->host == SIM_HOST_FROZEN)) {
        hold(node, index);
        return false;
    }
    slot_give(sim, index);
    if (is_dropped) return false;
    sim->events_n++;
    sim->touched = (struct sim_set){{0}};
    fold(sim, (uint64_t)sim->now_us * 97 + slot.node);
    sim_run_as(sim, slot.node, slot.fn, slot.arg);
    if (sim->after_event) sim->after_event(sim->after_event_arg);
    return true;
}

bool sim_step(struct sim *sim, int64_t until_us)
{
    while (sim->heap_n > 0 && sim->heap[0].at_us <= until_us) {
        struct entry entry = sim->heap[0];
        heap_remove(sim, 0);
        sim->now_us = entry.at_us;
        if (run_slot(sim, entry.slot)) return true;
    }
    sim->now_us = until_us;
    return false;
}

void sim_set_after_event(struct sim *sim, sim_fn *fn, void *arg)
{
    sim->after_event = fn;
    sim->after_event_arg = arg;
}

/* --- processes and hosts ------------------------------------------------------------------------------------------ */

static void drop_held(struct sim *sim, struct node *node)
{
    for (uint32_t i = 0; i < node->held_n; i++) slot_give(sim, node->held[i]);
    node->held_n = 0;
}

static void die(struct sim *sim, sim_node n, bool power_lost)
{
    struct node *node = &sim->nodes[n];
    MUST(n != SIM_WORLD);
    if (node->process == SIM_DEAD) return;
    touch(sim, n);
    node->process = SIM_DEAD;
    node->incarnation++;
    drop_held(sim, node);
    net_process_died(sim->net, n, power_lost);
    if (node->hooks.killed) node->hooks.killed(node->hooks.arg, power_lost);
}

void sim_boot(struct sim *sim, sim_node n)
{
    struct node *node = &sim->nodes[n];
    MUST(node->process == SIM_DEAD && node->host == SIM_HOST_UP);
    touch(sim, n);
    node->process = SIM_RUNNING;
    node->incarnation++;
}

void sim_kill(struct sim *sim, sim_node node)
{
    die(sim, node, false);
}

void sim_pause(struct sim *sim, sim_node node)
{
    MUST(node != SIM_WORLD);
    if (sim->nodes[node].process == SIM_RUNNING) sim->nodes[node].process = SIM_PAUSED;
}

void sim_resume(struct sim *sim, sim_node node)
{
    if (sim->nodes[node].process == SIM_PAUSED) sim->nodes[node].process = SIM_RUNNING;
    release(sim, &sim->nodes[node]);
}

void sim_host_freeze(struct sim *sim, sim_node node)
{
    MUST(node != SIM_WORLD);
    if (sim->nodes[node].host == SIM_HOST_UP) sim->nodes[node].host = SIM_HOST_FROZEN;
}

void sim_host_thaw(struct sim *sim, sim_node node)
{
    if (sim->nodes[node].host == SIM_HOST_FROZEN) sim->nodes[node].host = SIM_HOST_UP;
    release(sim, &sim->nodes[node]);
}

void sim_host_off(struct sim *sim, sim_node node)
{
    die(sim, node, true);
    sim->nodes[node].host = SIM_HOST_OFF;
}

void sim_host_on(struct sim *sim, sim_node node)
{
    if (sim->nodes[node].host == SIM_HOST_OFF) sim->nodes[node].host = SIM_HOST_UP;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof *sim);
    MUST(sim);
    sim->seed = seed;
    sim->now_us = START_US;
    sim->digest = 0xcbf29ce484222325u;
    sim->slots_free = SLOT_NONE;
    sim->nodes_n = 1;
    (void)TEXT_COPY(sim->nodes[SIM_WORLD].name, "world");
    sim->nodes[SIM_WORLD].process = SIM_RUNNING;
    sim->net = net_new(sim, seed);
    return sim;
}

void sim_free(struct sim *sim)
{
    if (!sim) return;
    for (sim_node n = 1; n < sim->nodes_n; n++) {
        die(sim, n, false);
        free(sim->nodes[n].held);
    }
    net_free(sim->net);
    free(sim->heap);
    free(sim->slots);
    free(sim);
}
