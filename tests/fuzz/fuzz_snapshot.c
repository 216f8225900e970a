/* Fuzz: snapshots. Even first byte: the bytes as they came; odd: a body, to which a right header is made, since no
 * chance finds a CRC-32. What is decoded keeps the invariants and is the same after another round. */
#include <endian.h>
#include <errno.h>
#include <zlib.h>

#include "fsm/apply.h"
#include "proto/convert.h"
#include "tests/fuzz/commands.h"
#include "tests/fuzz/fuzz.h"

enum { HEADER = 24, BODY_MAX = 64 << 10 };

/* Magic, version 1, CRC and size: proto/convert.h. */
static void make_header(uint8_t to[HEADER], const uint8_t *body, size_t size)
{
    uint32_t version = htole32(1), crc = htole32((uint32_t)crc32_z(0, body, size));
    uint64_t body_size = htole64(size);

    memcpy(to, "RGNTSNAP", 8);
    memcpy(to + 8, &version, 4);
    memcpy(to + 12, &crc, 4);
    memcpy(to + 16, &body_size, 8);
}

static bool check(const uint8_t *data, size_t size)
{
    static struct fsm_state state, again;
    struct err e = {0};
    void *bytes, *bytes2;
    size_t n, n2;
    int rv = proto_snapshot_decode(&state, data, size, &e);

    MUST(rv == 0 || rv == -EPROTO || rv == -ENOTSUP);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && state.index == 0 && state.events_n == 0 && !state.clusters[0].used);
        return false;
    }
    MUST(fsm_invariant(&state) == NULL);
    MUST(proto_snapshot_encode(&state, &bytes, &n) == 0);
    MUST(proto_snapshot_decode(&again, bytes, n, NULL) == 0);
    MUST(memcmp(&state, &again, sizeof(state)) == 0);
    MUST(proto_snapshot_encode(&again, &bytes2, &n2) == 0);
    MUST(n == n2 && memcmp(bytes, bytes2, n) == 0);
    free(bytes);
    free(bytes2);
    return true;
}

static bool run(const uint8_t *data, size_t size)
{
    bool is_whole = fuzz_take(&data, &size) % 2 == 0;
    uint8_t *copy;
    bool good;

    if (is_whole) return check(data, size);
    if (size > BODY_MAX) return false;
    copy = malloc(HEADER + size); /* Exactly as long: one byte beyond is seen. */
    MUST(copy != NULL);
    make_header(copy, data, size);
    if (size > 0) memcpy(copy + HEADER, data, size);
    good = check(copy, HEADER + size);
    free(copy);
    return good;
}

static struct fsm_state life;

static void put_snapshot(bool is_whole)
{
    void *bytes;
    uint8_t *seed_bytes;
    size_t n, cut = is_whole ? 0 : HEADER;

    MUST(proto_snapshot_encode(&life, &bytes, &n) == 0);
    seed_bytes = malloc(n + 1);
    MUST(seed_bytes != NULL);
    seed_bytes[0] = is_whole ? 0 : 1;
    memcpy(seed_bytes + 1, (uint8_t *)bytes + cut, n - cut);
    fuzz_put(seed_bytes, n - cut + 1);
    free(seed_bytes);
    free(bytes);
}

static void put(const struct fsm_command *command)
{
    struct fsm_result result;

    fsm_apply(&life, life.index + 1, command, &result);
    put_snapshot(false);
}

static void seed(void)
{
    fsm_init(&life);
    put_snapshot(true);
    fuzz_commands(put);
    put_snapshot(true);
}

FUZZ_TARGET(snapshot, run, seed)
