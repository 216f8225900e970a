/* Fuzz: libraft's messages on their way in. However the stream is cut, the same bytes pass, and only such as were sent.
 *
 * Input: u8 sender | u8 number of piece sizes, these sizes | stream. */
#include <errno.h>

#include "raft/wire.h"
#include "tests/fuzz/fuzz.h"

enum { STREAM_MAX = 16 << 10, PIECES_MAX = 8, VOTE = 3, APPEND = 1 };

struct pieces {
    uint8_t n, size[PIECES_MAX];
};

/* Feeds the stream; returns the bytes that passed (all from its beginning), '*rv' as wire_next() gave it last. */
static size_t feed(uint64_t sender, const struct pieces *pieces, const uint8_t *stream, size_t size, int *rv)
{
    static struct wire w;
    size_t passed = 0, fed = 0;

    memset(&w, 0, sizeof(w));
    w.id = sender;
    *rv = 0;
    for (unsigned i = 0; fed < size && *rv == 0; i++) {
        size_t piece = pieces->n == 0 ? size : pieces->size[i % pieces->n] + 1u, out_size;
        const uint8_t *data = stream + fed, *out;

        if (piece > size - fed) piece = size - fed;
        fed += piece;
        while ((*rv = wire_next(&w, &data, &piece, &out, &out_size)) == 1) {
            MUST(out_size > 0 && out_size <= size - passed);
            MUST(memcmp(stream + passed, out, out_size) == 0);
            passed += out_size;
        }
        MUST(*rv == 0 || (*rv == -EPROTO && w.why != NULL));
        MUST(*rv != 0 || piece == 0);
        MUST(w.have <= sizeof(w.head) && passed <= fed);
    }
    return passed;
}

static bool run(const uint8_t *data, size_t size)
{
    static const struct pieces whole;
    uint64_t sender = fuzz_take(&data, &size);
    struct pieces pieces = {.n = fuzz_take(&data, &size) % (PIECES_MAX + 1)};
    int rv, rv_whole;
    size_t passed;

    for (unsigned i = 0; i < pieces.n; i++) pieces.size[i] = fuzz_take(&data, &size);
    if (size > STREAM_MAX) return false;
    passed = feed(sender, &whole, data, size, &rv_whole);
    MUST(feed(sender, &pieces, data, size, &rv) == passed && rv == rv_whole);
    return rv == 0 && passed > 0;
}

static uint8_t bytes[4096];
static size_t bytes_n;

static void put_u64(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) bytes[bytes_n++] = (uint8_t)(v >> (8 * i));
}

/* Sender 1, pieces of 6 and 21 bytes; then a message of 'type' with 'words' numbers as header. */
static void begin(uint8_t type, const uint64_t *words, unsigned words_n)
{
    static const uint8_t head[] = {1, 2, 5, 20};

    if (bytes_n == 0) {
        memcpy(bytes, head, sizeof(head));
        bytes_n = sizeof(head);
    }
    put_u64(type | (uint64_t)1 << 16);
    put_u64(words_n * 8u);
    for (unsigned i = 0; i < words_n; i++) put_u64(words[i]);
}

static void end(void)
{
    fuzz_put(bytes, bytes_n);
    bytes_n = 0;
}

static void seed(void)
{
    static const uint64_t vote[] = {3, 1, 7, 2, 0}, votes_result[] = {3, 1, 0}, append_result[] = {3, 0, 9, 0};
    static const uint64_t heartbeat[] = {3, 7, 2, 7, 0, 0};
    static const uint64_t entry[] = {3, 7, 2, 7, 1, 3, (uint64_t)16 << 32 | 1, 0};

    bytes_n = 0;
    begin(VOTE, vote, 5);
    end();
    begin(4, votes_result, 3);
    begin(2, append_result, 4);
    end();
    begin(APPEND, heartbeat, 6);
    begin(APPEND, entry, 8);
    put_u64(5);
    put_u64(0);
    begin(APPEND, heartbeat, 6);
    end();
}

FUZZ_TARGET(wire, run, seed)
