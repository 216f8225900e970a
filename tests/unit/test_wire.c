/* raft/wire.h: messages as libraft writes them pass, at every cut; each bound, broken by one, is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "raft/compat.h"
#include "raft/wire.h"

enum { ME = 3, MESSAGE_MAX = 4096 };

struct message {
    uint8_t bytes[MESSAGE_MAX];
    size_t size;
};

static void put(struct message *m, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) m->bytes[m->size++] = (uint8_t)(value >> (8 * i));
}

static void set(struct message *m, size_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) m->bytes[at + i] = (uint8_t)(value >> (8 * i));
}

static void begin(struct message *m, unsigned type, unsigned version, uint64_t header)
{
    m->size = 0;
    put(m, type, 2);
    put(m, version, 6);
    put(m, header, 8);
}

static void make_fixed(struct message *m, unsigned type, size_t header)
{
    begin(m, type, 2, header);
    for (size_t i = 0; i < header; i += 8) put(m, i == 8 ? ME : 7, 8);
}

/* Entries of 8 and 16 bytes. */
static void make_append(struct message *m, unsigned n)
{
    begin(m, RAFT_APPEND_ENTRIES, 0, 48 + 16 * n);
    for (unsigned i = 0; i < 4; i++) put(m, 9, 8);
    put(m, n, 8);
    for (unsigned i = 0; i < n; i++) {
        put(m, 1, 8);
        put(m, i % 2 == 0 ? RAFT_COMMAND : RAFT_BARRIER, 4);
        put(m, i % 2 == 0 ? 8 : 16, 4);
    }
    put(m, 0, 8);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < (i % 2 == 0 ? 1u : 2u); k++) put(m, 0xabcdef, 8);
}

/* Two servers "a:1" and "b:2": 1 + 8 + 2 x (8 + 4 + 1) = 35, padded to 40. */
enum { CONF_AT = 16 + 40, CONF_SIZE = 40, SERVER_SIZE = 13 };

static void make_snapshot(struct message *m)
{
    begin(m, RAFT_INSTALL_SNAPSHOT, 0, 56 + CONF_SIZE);
    for (unsigned i = 0; i < 4; i++) put(m, 5, 8);
    put(m, CONF_SIZE, 8);
    put(m, 1, 1);
    put(m, 2, 8);
    for (unsigned i = 0; i < 2; i++) {
        put(m, i + 1, 8);
        memcpy(m->bytes + m->size, i == 0 ? "a:1" : "b:2", 4);
        m->size += 4;
        put(m, RAFT_VOTER, 1);
    }
    put(m, 0, 5);
    put(m, 24, 8);
    put(m, 0, 8);
    for (unsigned i = 0; i < 3; i++) put(m, 0x5555, 8);
}

/* Feeds 'm' in pieces of 'piece' bytes; what passes must be 'm' itself, nothing of it before its header is whole.
 * Returns 0, or -EPROTO. */
static int feed(const struct message *m, size_t piece)
{
    static struct wire w;
    static uint8_t passed[MESSAGE_MAX];
    size_t passed_n = 0;
    memset(&w, 0, sizeof w);
    w.id = ME;
    for (size_t at = 0; at < m->size;) {
        const uint8_t *data = m->bytes + at, *out;
        size_t size = m->size - at < piece ? m->size - at : piece, out_size;
        int rc;
        at += size;
        while ((rc = wire_next(&w, &data, &size, &out, &out_size)) == 1) {
            assert_true(passed_n + out_size <= at);
            memcpy(passed + passed_n, out, out_size);
            passed_n += out_size;
        }
        if (rc == 0) continue;
        assert_int_equal(rc, -EPROTO);
        assert_non_null(w.why);
        assert_int_equal(passed_n, 0);
        data = m->bytes;
        size = m->size;
        assert_int_equal(wire_next(&w, &data, &size, &out, &out_size), -EPROTO); /* For good. */
        return rc;
    }
    assert_int_equal(passed_n, m->size);
    assert_memory_equal(passed, m->bytes, m->size);
    return 0;
}

static void expect_passes(const struct message *m)
{
    for (size_t piece = 1; piece < m->size + 3; piece++) assert_int_equal(feed(m, piece), 0);
}

static void expect_refused(const struct message *m)
{
    assert_int_equal(feed(m, 1), -EPROTO);
    assert_int_equal(feed(m, 7), -EPROTO);
    assert_int_equal(feed(m, m->size), -EPROTO);
}

static void good_messages_pass_at_every_cut(void **state)
{
    struct message m;
    (void)state;
    make_fixed(&m, RAFT_REQUEST_VOTE, 40);
    expect_passes(&m);
    make_fixed(&m, RAFT_REQUEST_VOTE_RESULT, 24);
    expect_passes(&m);
    make_fixed(&m, RAFT_APPEND_ENTRIES_RESULT, 32);
    expect_passes(&m);
    make_fixed(&m, RAFT_TIMEOUT_NOW, 24);
    expect_passes(&m);
    make_append(&m, 0);
    expect_passes(&m);
    make_append(&m, 5);
    expect_passes(&m);
    make_snapshot(&m);
    expect_passes(&m);
}

static void messages_follow_each_other(void **state)
{
    struct message m, all = {.size = 0};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        if (i == 0) make_append(&m, 3);
        else if (i == 1) make_fixed(&m, RAFT_TIMEOUT_NOW, 24);
        else if (i == 2) make_snapshot(&m);
        else make_append(&m, 0);
        memcpy(all.bytes + all.size, m.bytes, m.size);
        all.size += m.size;
    }
    expect_passes(&all);
}

static void a_preamble_is_checked(void **state)
{
    static const uint64_t lengths[] = {0, 23, 25, WIRE_HEADER_MAX + 1, UINT64_C(1) << 32, UINT64_MAX};
    struct message m;
    (void)state;
    for (unsigned at = 1; at < 8; at++) {
        make_fixed(&m, RAFT_TIMEOUT_NOW, 24);
        m.bytes[at] = 9;
        expect_refused(&m);
    }
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        make_fixed(&m, RAFT_TIMEOUT_NOW, 24);
        set(&m, 8, lengths[i], 8);
        if (lengths[i] == 25) put(&m, 0, 1);
        expect_refused(&m);
    }
    for (unsigned type = 0; type < 256; type++) {
        make_fixed(&m, type, 24);
        if (type != RAFT_REQUEST_VOTE_RESULT && type != RAFT_TIMEOUT_NOW) expect_refused(&m);
    }
}

static void votes_are_for_oneself(void **state)
{
    struct message m;
    (void)state;
    make_fixed(&m, RAFT_REQUEST_VOTE, 40);
    set(&m, 16 + 8, ME + 1, 8);
    expect_refused(&m);
}

static void entries_are_counted_and_bounded(void **state)
{
    static const uint32_t sizes[] = {0, 1, 9, 15, WIRE_ENTRY_MAX + 8, UINT32_MAX};
    static const uint64_t counts[] = {0, 1, 3, WIRE_ENTRIES_MAX + 1, UINT32_MAX, UINT64_C(1) << 60, UINT64_MAX};
    struct message m;
    (void)state;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        make_append(&m, 2);
        set(&m, 16 + 32, counts[i], 8);
        expect_refused(&m);
    }
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make_append(&m, 2);
        set(&m, 16 + 40 + 16 + 12, sizes[i], 4);
        expect_refused(&m);
    }
    make_append(&m, 2);
    m.bytes[16 + 40 + 8] = 77; /* Type. */
    expect_refused(&m);
    make_append(&m, 70); /* Together beyond the bound, each within it. */
    for (unsigned i = 0; i < 70; i++) set(&m, 16 + 40 + 16 * i + 12, 1 << 20, 4);
    expect_refused(&m);
}

static void configurations_are_well_formed(void **state)
{
    static const uint64_t counts[] = {1, 3, WIRE_SERVERS_MAX + 1, UINT64_MAX};
    static const struct {
        size_t at;
        uint8_t value;
    } bytes[] = {
        {0, 2},                   /* Version. */
        {9, 0},                   /* Id 0. */
        {9, 2},                   /* The id of the other. */
        {9 + 8, 0},               /* Address empty. */
        {9 + SERVER_SIZE + 8, 'a'},  /* With the next: the address of the other. */
        {9 + 12, 3},              /* Role. */
        {9 + SERVER_SIZE + 11, 1}, /* Its NUL. */
    };
    struct message m;
    (void)state;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        make_snapshot(&m);
        set(&m, CONF_AT + 1, counts[i], 8);
        expect_refused(&m);
    }
    for (unsigned i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        make_snapshot(&m);
        m.bytes[CONF_AT + bytes[i].at] = bytes[i].value;
        if (bytes[i].value == 'a') m.bytes[CONF_AT + bytes[i].at + 2] = '1';
        if (bytes[i].value == 1) memset(m.bytes + CONF_AT + bytes[i].at, 1, CONF_SIZE - bytes[i].at);
        expect_refused(&m);
    }
}

/* A snapshot whose configuration takes 'conf' bytes: 'n' servers with addresses of 'length' bytes, then zeros. */
static void make_servers(struct message *m, size_t conf, unsigned n, size_t length)
{
    begin(m, RAFT_INSTALL_SNAPSHOT, 0, 56 + conf);
    for (unsigned i = 0; i < 4; i++) put(m, 5, 8);
    put(m, conf, 8);
    put(m, 1, 1);
    put(m, n, 8);
    for (unsigned i = 0; i < n; i++) {
        put(m, i + 1, 8);
        for (size_t k = 0; k < length; k++) put(m, k == 0 ? '0' + i : 'x', 1);
        put(m, 0, 1);
        if (m->size < CONF_AT + conf) put(m, RAFT_VOTER, 1);
    }
    while (m->size < CONF_AT + conf) put(m, 0, 1);
    put(m, 1, 8); /* Its low byte would be a role. */
    put(m, 0, 8);
    put(m, 0x55, 1);
}

static void configurations_are_bounded(void **state)
{
    struct message m;
    (void)state;
    make_servers(&m, 9 + 14 * 64 + 7, WIRE_SERVERS_MAX, 4);
    assert_int_equal(feed(&m, m.size), 0);
    make_servers(&m, 9 + 14 * 65 + 1, WIRE_SERVERS_MAX + 1, 4);
    expect_refused(&m);
    make_servers(&m, 9 + 8 + WIRE_ADDRESS_SIZE + 1 + 6, 1, WIRE_ADDRESS_SIZE - 1);
    assert_int_equal(feed(&m, m.size), 0);
    make_servers(&m, 9 + 8 + WIRE_ADDRESS_SIZE + 2 + 5, 1, WIRE_ADDRESS_SIZE);
    expect_refused(&m);
    make_servers(&m, 24, 1, 0); /* No address. */
    expect_refused(&m);
    make_servers(&m, 24, 1, 5);
    assert_int_equal(feed(&m, m.size), 0);
    make_servers(&m, 24, 1, 6); /* It ends before the role: what follows is none. */
    expect_refused(&m);
    make_servers(&m, 25, 1, 5);
    expect_refused(&m);
    make_servers(&m, 24, 1, 5); /* Shorter than the header says that it is. */
    set(&m, 8, 56 + 24 + 8, 8);
    put(&m, 0, 8);
    expect_refused(&m);
}

static void snapshots_are_bounded(void **state)
{
    static const uint64_t lengths[] = {0, WIRE_SNAPSHOT_MAX + 1, UINT64_MAX};
    static const uint64_t confs[] = {0, CONF_SIZE - 8, CONF_SIZE - 1, CONF_SIZE + 8, UINT64_MAX, UINT64_MAX - 55};
    struct message m;
    (void)state;
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        make_snapshot(&m);
        set(&m, CONF_AT + CONF_SIZE, lengths[i], 8);
        expect_refused(&m);
    }
    for (unsigned i = 0; i < sizeof confs / sizeof *confs; i++) {
        make_snapshot(&m);
        set(&m, 16 + 32, confs[i], 8);
        expect_refused(&m);
    }
    make_snapshot(&m);
    set(&m, 8, 48, 8); /* A header that ends before its fixed part. */
    expect_refused(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_messages_pass_at_every_cut), cmocka_unit_test(messages_follow_each_other),
        cmocka_unit_test(a_preamble_is_checked),           cmocka_unit_test(votes_are_for_oneself),
        cmocka_unit_test(entries_are_counted_and_bounded), cmocka_unit_test(configurations_are_well_formed),
        cmocka_unit_test(configurations_are_bounded),      cmocka_unit_test(snapshots_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
