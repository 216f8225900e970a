/* A group on libraft's fixture (virtual time, disk and network in memory), each member with our replicated state.
 *
 * What the members apply is compared index by index as it happens (State Machine Safety): the first member to apply an
 * index says what stands there, and any other one that applies other bytes, or comes to another result, ends the test.
 * All chance comes from one seed. Header only. */
#ifndef REGENT_TESTS_RAFT_WORLD_H
#define REGENT_TESTS_RAFT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fsm/apply.h"
#include "lib/base/text.h"
#include "proto/convert.h"
#include "raft/compat.h"
#include "raft/guard.h"

#include <raft/fixture.h>

enum { WORLD_MEMBERS_MAX = 5, WORLD_INDEXES_MAX = 8192, WORLD_PENDING_MAX = 4096 };

struct world_member {
    struct world *w;
    unsigned i;
    struct raft_fsm fsm;
    struct fsm_state *state;
    int (*send)(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message, raft_io_send_cb cb);
    int (*start)(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv);
    raft_io_recv_cb recv;
    uint64_t last; /* Index applied last. */
    unsigned applied_n;
};

struct world {
    struct raft_fixture fixture;
    unsigned n;
    struct world_member members[WORLD_MEMBERS_MAX];
    uint64_t seed, random;
    uint64_t chosen[WORLD_INDEXES_MAX]; /* By index: a hash of bytes and result; 0: not yet applied by anyone. */
    char broken[256];                   /* Not empty: what must never be was seen. */
    unsigned proposed_n, acknowledged_n, unknown_n;
    struct raft_apply *pending[WORLD_PENDING_MAX]; /* Freed at the end: libraft keeps some for ever. */
    unsigned pending_n;
    uint64_t seq;
};

static inline uint64_t world_random(struct world *w, uint64_t below)
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * UINT64_C(2685821657736338717) >> 16) % below;
}

static inline struct raft *world_raft(struct world *w, unsigned i)
{
    return raft_fixture_get(&w->fixture, i);
}

static inline bool world_is_leader(struct world *w, unsigned i)
{
    return raft_fixture_alive(&w->fixture, i) && raft_state(world_raft(w, i)) == RAFT_LEADER;
}

/* Compares with what others applied at 'index'. */
static inline void world_compare(struct world_member *m, uint64_t index, uint64_t hash)
{
    struct world *w = m->w;

    MUST(index < WORLD_INDEXES_MAX && index > m->last);
    m->last = index;
    m->applied_n++;
    if (w->chosen[index] == 0) w->chosen[index] = hash;
    if (w->chosen[index] == hash || w->broken[0] != '\0') return;
    (void)snprintf(w->broken, sizeof(w->broken), "seed %" PRIu64 ": member %u applies another command at index %" PRIu64
                   " than others did", w->seed, m->i, index);
}

static inline int world_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    static struct fsm_command command;
    static struct fsm_result outcome;
    struct world_member *m = fsm->data;
    uint64_t index = raft_last_applied(world_raft(m->w, m->i)) + 1, hash;
    uint32_t size;

    *result = NULL;
    memcpy(&size, buf->base, sizeof(size));
    MUST(size + sizeof(size) <= buf->len);
    MUST(proto_command_decode(&command, (const uint8_t *)buf->base + sizeof(size), size, NULL) == 0);
    fsm_apply(m->state, index, &command, &outcome);
    hash = (uint64_t)crc32_z(1, buf->base, buf->len) << 32;
    hash |= crc32_z((uLong)outcome.code, (const uint8_t *)outcome.text, strlen(outcome.text)) | 1u;
    world_compare(m, index, hash);
    return 0;
}

static inline int world_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n)
{
    (void)fsm;
    (void)bufs;
    *n = 0;
    return RAFT_BUSY;
}

static inline int world_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm;
    (void)buf;
    return RAFT_MALFORMED;
}

static struct world *world_current; /* libraft gives a send no way to find us. */

static inline unsigned world_member_of(const struct raft_io *io)
{
    unsigned i = 0;

    while (world_raft(world_current, i)->io != io) i++;
    return i;
}

/* As raft/guard.c does it: what libraft judges or answers by bytes that were never set would make a seed another run
 * each time. */
static inline void world_recv(struct raft_io *io, struct raft_message *message)
{
    unsigned i = world_member_of(io);

    if (!guard_is_late_vote(world_raft(world_current, i), message)) world_current->members[i].recv(io, message);
}

static inline int world_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct world_member *m = &world_current->members[world_member_of(io)];

    m->recv = recv;
    return m->start(io, msecs, tick, world_recv);
}

static inline int world_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                             raft_io_send_cb cb)
{
    struct raft_message copy, whole = *message;
    unsigned i = world_member_of(io);

    message = guard_tell_term(world_raft(world_current, i), message, &copy);
    if (message->type == RAFT_APPEND_ENTRIES_RESULT && message->append_entries_result.rejected > 0) {
        raft_index last = raft_last_index(world_raft(world_current, i));
        raft_index rejected = message->append_entries_result.rejected;

        /* libraft's own rule, which it leaves out in an answer to an older term. */
        whole.append_entries_result.last_log_index = last < rejected ? last : rejected - 1;
        message = &whole;
    }
    return world_current->members[i].send(io, req, message, cb);
}

/* Starts 'n' voters from 'seed'. */
static inline void world_open(struct world *w, unsigned n, uint64_t seed)
{
    static struct fsm_state states[WORLD_MEMBERS_MAX]; /* Large: not made anew for each seed. */
    struct raft_configuration configuration;

    memset(w, 0, sizeof(*w));
    world_current = w;
    w->n = n;
    w->seed = seed;
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    MUST(raft_fixture_initialize(&w->fixture) == 0);
    for (unsigned i = 0; i < n; i++) {
        struct world_member *m = &w->members[i];

        *m = (struct world_member){.w = w, .i = i, .state = &states[i]};
        fsm_init(m->state);
        m->fsm = (struct raft_fsm){.version = 1, .data = m, .apply = world_apply, .snapshot = world_snapshot,
                                   .restore = world_restore};
        MUST(raft_fixture_grow(&w->fixture, &m->fsm) == 0);
        world_raft(w, i)->tracer = NULL; /* It would print each event. */
        m->start = world_raft(w, i)->io->start;
        world_raft(w, i)->io->start = world_start;
        m->send = world_raft(w, i)->io->send;
        world_raft(w, i)->io->send = world_send;
        raft_set_snapshot_threshold(world_raft(w, i), 1u << 30);
        raft_set_pre_vote(world_raft(w, i), true);
    }
    MUST(raft_fixture_configuration(&w->fixture, n, &configuration) == 0);
    MUST(raft_fixture_bootstrap(&w->fixture, &configuration) == 0);
    raft_configuration_close(&configuration);
}

static inline void world_close(struct world *w)
{
    raft_fixture_close(&w->fixture);
    for (unsigned i = 0; i < w->pending_n; i++) free(w->pending[i]);
}

static inline void world_on_done(struct raft_apply *req, int status, void *result)
{
    struct world *w = req->data;

    (void)result;
    if (status == 0) w->acknowledged_n++;
    else w->unknown_n++;
}

/* Lets member 'i' append the command, if it believes to be leader. */
static inline bool world_propose(struct world *w, unsigned i, const struct fsm_command *command)
{
    struct raft_buffer buf = {0};
    struct raft_apply *req;
    void *data;
    size_t size;
    uint32_t size32;

    if (!world_is_leader(w, i) || w->pending_n == WORLD_PENDING_MAX) return false;
    MUST(proto_command_encode(command, &data, &size) == 0);
    size32 = (uint32_t)size;
    buf.len = (sizeof(size32) + size + 7) & ~(size_t)7;
    buf.base = raft_calloc(1, buf.len);
    req = calloc(1, sizeof(*req));
    MUST(buf.base != NULL && req != NULL);
    memcpy(buf.base, &size32, sizeof(size32));
    memcpy((uint8_t *)buf.base + sizeof(size32), data, size);
    free(data);
    req->data = w;
    if (raft_apply(world_raft(w, i), req, &buf, 1, world_on_done) != 0) {
        raft_free(buf.base);
        free(req);
        return false;
    }
    w->pending[w->pending_n++] = req;
    w->proposed_n++;
    return true;
}

/* A command that says 'text' and changes nothing else. */
static inline void world_note(struct world *w, struct fsm_command *c, const char *text)
{
    *c = (struct fsm_command){.kind = CMD_EVENT, .time.us = 1, .id = {.client = 9, .seq = ++w->seq}};
    (void)TEXT_COPY(c->u.event.kind, "note");
    (void)TEXT_COPY(c->u.event.text, text);
}

/* Both directions between two members. */
static inline void world_cut(struct world *w, unsigned a, unsigned b)
{
    raft_fixture_saturate(&w->fixture, a, b);
    raft_fixture_saturate(&w->fixture, b, a);
}

static inline void world_join(struct world *w, unsigned a, unsigned b)
{
    raft_fixture_desaturate(&w->fixture, a, b);
    raft_fixture_desaturate(&w->fixture, b, a);
}

static inline void world_isolate(struct world *w, unsigned a)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (i != a) world_cut(w, a, i);
    }
}

static inline void world_heal(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (!raft_fixture_alive(&w->fixture, i)) raft_fixture_revive(&w->fixture, i);
        for (unsigned j = 0; j < w->n; j++) {
            if (i != j) raft_fixture_desaturate(&w->fixture, i, j);
        }
    }
}

#endif
