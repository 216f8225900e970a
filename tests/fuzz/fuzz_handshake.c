/* Fuzz: the first bytes that a peer's Raft connection sends. */
#include "raft/transport.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    struct handshake h;
    uint8_t back[HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX];
    uint8_t whole[HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX]; /* As long as the room of the accepting side. */
    size_t want;

    if (size < HANDSHAKE_FIXED_SIZE) return false;
    want = handshake_size(data);
    if (want == 0 || size < want) return false;
    memcpy(whole, data, want);
    if (!handshake_read(&h, whole, want)) return false;
    MUST(FUZZ_IS_TEXT(h.address));
    MUST(handshake_write(back, &h) == want);
    MUST(memcmp(back, data, want) == 0);
    return true;
}

static void seed_one(uint64_t id, const char *address)
{
    struct handshake h = {.id = id, .wanted = 2, .group = UINT64_C(0x1122334455667788)};
    uint8_t bytes[HANDSHAKE_FIXED_SIZE + HANDSHAKE_ADDRESS_MAX];

    memcpy(h.address, address, strlen(address) + 1);
    fuzz_put(bytes, handshake_write(bytes, &h));
}

static void seed(void)
{
    char longest[HANDSHAKE_ADDRESS_MAX + 1];

    memset(longest, 'a', sizeof(longest));
    longest[HANDSHAKE_ADDRESS_MAX] = '\0';
    seed_one(1, "127.0.0.1:7401");
    seed_one(UINT64_MAX, "[::1]:1");
    seed_one(3, longest);
}

FUZZ_TARGET(handshake, run, seed)
