/* A short log of a mixed group, as bytes: what the version of today and the one to come (REGENT_NEXT_VERSION) must read
 * alike, to the same state. test_version prints what comes out for `--crc`; test_version_next compares. */
#ifndef REGENT_TESTS_VERSION_LOG_H
#define REGENT_TESTS_VERSION_LOG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "fsm/apply.h"
#include "fsm/version.h"
#include "proto/command.pb-c.h"
#include "proto/convert.h"

enum { VERSION_LOG_ENTRY_MAX = 512 };

struct version_log {
    struct fsm_state state;
    uint64_t index;
    struct fsm_result result;
    int decoded; /* What the decoder returned. */
};

static inline struct version_log *version_log_new(void)
{
    struct version_log *l = malloc(sizeof(*l));
    memset(l, 0, sizeof(*l));
    fsm_init(&l->state);
    return l;
}

/* Takes one entry as manager/consensus.c does. */
static inline enum fsm_code version_log_entry(struct version_log *l, const void *data, size_t size)
{
    static struct fsm_command command;
    l->index++;
    l->decoded = proto_command_decode_at(&command, data, size, l->state.version, NULL);
    assert_true(l->decoded == 0 || l->decoded == -ENOTSUP);
    assert_false(fsm_command_is_beyond(&l->state, &command));
    fsm_apply(&l->state, l->index, &command, &l->result);
    assert_null(fsm_invariant(&l->state));
    return l->result.code;
}

/* A note of request 'seq', declared to need 'needs', with 'more' behind it. */
static inline enum fsm_code version_log_note(struct version_log *l, uint64_t seq, uint32_t needs, const char *more)
{
    struct fsm_command command = {.id = {7, seq, l->index}, .kind = CMD_EVENT, .version = needs};
    uint8_t bytes[VERSION_LOG_ENTRY_MAX];
    void *data;
    size_t size;
    strcpy(command.u.event.kind, "note");
    assert_int_equal(proto_command_encode(&command, &data, &size), 0);
    memcpy(bytes, data, size);
    memcpy(bytes + size, more, strlen(more));
    free(data);
    return version_log_entry(l, bytes, size + strlen(more));
}

/* The head of a command that only version 2 has: kind 127, its part in field 127 (as the next version's "label"). */
static inline enum fsm_code version_log_label(struct version_log *l, uint64_t seq, uint32_t needs, const char *label)
{
    Regent__Command__Command m = REGENT__COMMAND__COMMAND__INIT;
    uint8_t bytes[VERSION_LOG_ENTRY_MAX];
    size_t size, n = strlen(label);
    m.client = 7;
    m.seq = seq;
    m.since = l->index;
    m.kind = 127;
    m.needs = needs;
    size = regent__command__command__pack(&m, bytes);
    /* Field 127 with one field 1 of bytes. */
    const uint8_t head[] = {0xfa, 0x07, (uint8_t)(n + 2), 0x0a, (uint8_t)n};
    memcpy(bytes + size, head, sizeof(head));
    memcpy(bytes + size + sizeof(head), label, n);
    return version_log_entry(l, bytes, size + sizeof(head) + n);
}

/* A group at version 1 with managers of both versions. Every refusal is a result like any other. */
static inline void version_log_mixed(struct version_log *l)
{
    assert_int_equal(version_log_note(l, 1, 0, ""), FSM_OK);
    assert_int_equal(version_log_note(l, 2, 1, ""), FSM_OK);
    /* It needs version 2, whatever it is, and even if its body is nonsense for those who know version 2. */
    assert_int_equal(version_log_note(l, 3, 2, ""), FSM_UNKNOWN);
    assert_int_equal(version_log_label(l, 4, 2, "blue"), FSM_UNKNOWN);
    assert_int_equal(version_log_label(l, 5, 9, "blue"), FSM_UNKNOWN);
    assert_int_equal(version_log_note(l, 6, 2, "\xa0\x06\x01"), FSM_UNKNOWN);
    /* It says version 1 and has a kind, or a field (100), of a later one. */
    assert_int_equal(version_log_label(l, 7, 1, "blue"), FSM_UNKNOWN);
    assert_int_equal(version_log_label(l, 8, 0, "blue"), FSM_UNKNOWN);
    assert_int_equal(version_log_note(l, 9, 1, "\xa0\x06\x01"), FSM_UNKNOWN);
    /* Repeated: the first result again, by all. */
    assert_int_equal(version_log_label(l, 4, 2, "blue"), FSM_UNKNOWN);
    assert_true(l->result.repeated);
    assert_int_equal(version_log_note(l, 10, 0, ""), FSM_OK);
    assert_int_equal(l->state.version, 1);
    assert_int_equal(l->state.events_n, 3);
    assert_int_equal(l->state.dedup_n, 10);
}

static inline uint32_t version_log_crc(const struct version_log *l)
{
    void *data;
    size_t size;
    assert_int_equal(proto_snapshot_encode(&l->state, &data, &size), 0);
    uint32_t crc = (uint32_t)crc32_z(0, data, size);
    free(data);
    return crc;
}

static inline enum fsm_code version_log_raise(struct version_log *l, uint64_t seq, uint32_t from, uint32_t to)
{
    struct fsm_command command = {.id = {8, seq, l->index}, .kind = CMD_VERSION, .u.version = {from, to}};
    void *data;
    size_t size;
    assert_int_equal(proto_command_encode(&command, &data, &size), 0);
    enum fsm_code code = version_log_entry(l, data, size);
    free(data);
    return code;
}

#endif
