/* Fuzz: frames and preambles, in pieces of any size. What the reader gives must be what a reading of the whole gives.
 *
 * Input: one byte per piece size in turn (the first byte says how many of these), then the stream. */
#include <errno.h>

#include "lib/frame.h"
#include "tests/fuzz/fuzz.h"

enum { STREAM_MAX = 16 << 10, PIECES_MAX = 8 };

struct piece_sizes {
    uint8_t n, size[PIECES_MAX];
};

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Takes the frames that are whole off the reader; each must stand at '*at' of the stream. */
static unsigned pop_all(struct frame_reader *r, const uint8_t *stream, size_t *at)
{
    struct frame_header h;
    const uint8_t *body;
    unsigned n = 0;

    while (frame_reader_peek(r, &h, &body) == 1) {
        uint8_t back[FRAME_HEADER_SIZE];

        MUST(h.body_size <= FRAME_BODY_MAX);
        frame_header_write(back, &h);
        MUST(memcmp(back, stream + *at, sizeof(back)) == 0);
        MUST(memcmp(body, stream + *at + FRAME_HEADER_SIZE, h.body_size) == 0);
        *at += FRAME_HEADER_SIZE + (size_t)h.body_size;
        frame_reader_pop(r);
        n++;
    }
    return n;
}

/* Whole frames at the head of the stream; '*is_bad': then comes a length that is not allowed. */
static unsigned count_frames(const uint8_t *stream, size_t size, bool *is_bad)
{
    unsigned n = 0;

    *is_bad = false;
    while (size >= FRAME_HEADER_SIZE) {
        uint64_t whole = FRAME_HEADER_SIZE + (uint64_t)u32_at(stream);

        *is_bad = whole - FRAME_HEADER_SIZE > FRAME_BODY_MAX;
        if (*is_bad || whole > size) break;
        stream += whole;
        size -= (size_t)whole;
        n++;
    }
    return n;
}

static bool read_stream(const struct piece_sizes *pieces, const uint8_t *stream, size_t size)
{
    struct frame_reader r;
    size_t at = 0, fed = 0;
    unsigned got = 0, expected;
    bool is_bad;
    int rv = 0;

    expected = count_frames(stream, size, &is_bad);
    frame_reader_init(&r);
    for (unsigned i = 0; fed < size && rv == 0; i++) {
        size_t piece = pieces->n == 0 ? size : pieces->size[i % pieces->n] + 1u;

        if (piece > size - fed) piece = size - fed;
        rv = frame_reader_push(&r, stream + fed, piece);
        fed += piece;
        if (rv == 0) got += pop_all(&r, stream, &at);
        if (rv == 0) rv = frame_reader_push(&r, stream, 0); /* As the owner does: is the next head allowed? */
        MUST(r.size <= 2 * STREAM_MAX); /* Grows by what came, never by what a header promises. */
    }
    MUST(rv == 0 || rv == -EMSGSIZE);
    MUST((rv != 0) == is_bad);
    /* A bad head may come in one piece with frames before it; those before must not be lost when it came later. */
    MUST(got <= expected && (is_bad || got == expected));
    frame_reader_fini(&r);
    return !is_bad;
}

static bool run(const uint8_t *data, size_t size)
{
    struct piece_sizes pieces = {.n = fuzz_take(&data, &size) % (PIECES_MAX + 1)};

    for (unsigned i = 0; i < pieces.n; i++) pieces.size[i] = fuzz_take(&data, &size);
    if (size > STREAM_MAX) return false;
    if (size >= FRAME_PREAMBLE_SIZE) {
        int protocol = frame_preamble_read(data);

        if (protocol >= 0) {
            uint8_t back[FRAME_PREAMBLE_SIZE];

            frame_preamble(back, (enum frame_protocol)protocol);
            MUST(memcmp(back, data, sizeof(back)) == 0);
            data += FRAME_PREAMBLE_SIZE;
            size -= FRAME_PREAMBLE_SIZE;
        }
    }
    return read_stream(&pieces, data, size);
}

static void seed_stream(uint8_t pieces_n, enum frame_protocol protocol, unsigned frames_n, uint32_t body_size)
{
    static uint8_t bytes[8192];
    size_t n = 1;

    bytes[0] = pieces_n;
    for (uint8_t i = 0; i < pieces_n; i++) bytes[n++] = (uint8_t)(3 * i);
    frame_preamble(bytes + n, protocol);
    n += FRAME_PREAMBLE_SIZE;
    for (unsigned i = 0; i < frames_n; i++) {
        const struct frame_header h = {.body_size = body_size, .type = (uint16_t)(i + 1), .request = 77 + i};

        frame_header_write(bytes + n, &h);
        n += FRAME_HEADER_SIZE;
        memset(bytes + n, 'x', body_size);
        n += body_size;
    }
    fuzz_put(bytes, n);
}

static void seed(void)
{
    seed_stream(0, FRAME_CLIENT, 1, 0);
    seed_stream(0, FRAME_RAFT, 3, 5);
    seed_stream(4, FRAME_PEER, 2, 40);
    seed_stream(8, FRAME_CLIENT, 3, 1000);
}

FUZZ_TARGET(frame, run, seed)
