/* Frames: the bytes on the wire, and the reader under every way to cut a stream. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/frame.h"

static void the_preamble_has_fixed_bytes(void **state)
{
    const uint8_t expected[FRAME_PREAMBLE_SIZE] = {'R', 'G', 'N', 'T', 1, 3, 0, 0};
    uint8_t bytes[FRAME_PREAMBLE_SIZE];

    (void)state;
    frame_preamble(bytes, FRAME_CLIENT);
    assert_memory_equal(bytes, expected, sizeof expected);
    for (int protocol = FRAME_RAFT; protocol <= FRAME_CLIENT; protocol++) {
        frame_preamble(bytes, (enum frame_protocol)protocol);
        assert_int_equal(frame_preamble_read(bytes), protocol);
    }
}

static void any_other_preamble_is_refused(void **state)
{
    uint8_t bytes[FRAME_PREAMBLE_SIZE];

    (void)state;
    for (unsigned i = 0; i < FRAME_PREAMBLE_SIZE; i++) {
        frame_preamble(bytes, FRAME_PEER);
        bytes[i] = (uint8_t)(bytes[i] + 0x40);
        assert_int_equal(frame_preamble_read(bytes), -EPROTO);
    }
    frame_preamble(bytes, FRAME_PEER);
    bytes[5] = 0;
    assert_int_equal(frame_preamble_read(bytes), -EPROTO);
    bytes[5] = 4;
    assert_int_equal(frame_preamble_read(bytes), -EPROTO);
}

static void the_header_is_little_endian(void **state)
{
    const uint8_t expected[FRAME_HEADER_SIZE] = {0x03, 0x02, 0x01, 0, 0x22, 0x11, 0x44, 0x33,
                                                 8,    7,    6,    5, 4,    3,    2,    0xff};
    struct frame_header h = {.body_size = 0x010203, .type = 0x1122, .flags = 0x3344, .request = 0xff02030405060708u};
    struct frame_header again;
    uint8_t bytes[FRAME_HEADER_SIZE];

    (void)state;
    frame_header_write(bytes, &h);
    assert_memory_equal(bytes, expected, sizeof expected);
    assert_int_equal(frame_header_read(&again, bytes), 0);
    assert_int_equal(again.body_size, h.body_size);
    assert_int_equal(again.type, h.type);
    assert_int_equal(again.flags, h.flags);
    assert_true(again.request == h.request);
}

static void a_length_beyond_the_bound_is_refused(void **state)
{
    struct frame_header h = {.body_size = FRAME_BODY_MAX};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_reader r;

    (void)state;
    frame_header_write(bytes, &h);
    assert_int_equal(frame_header_read(&h, bytes), 0);
    bytes[0] = 1;
    assert_int_equal(frame_header_read(&h, bytes), -EMSGSIZE);
    frame_reader_init(&r);
    assert_int_equal(frame_reader_push(&r, bytes, FRAME_HEADER_SIZE - 1), 0);
    assert_int_equal(frame_reader_push(&r, bytes + FRAME_HEADER_SIZE - 1, 1), -EMSGSIZE);
    assert_true(r.size <= 4096); /* Nothing was allocated for the promise. */
    frame_reader_fini(&r);
}

enum { STREAM_FRAMES = 5 };
static const uint32_t stream_sizes[STREAM_FRAMES] = {0, 1, 7, 0, 40};

/* Frames with bodies of known sizes; byte j of body i is i * 16 + j. Returns the length. */
static size_t make_stream(uint8_t *to)
{
    size_t len = 0;

    for (uint32_t i = 0; i < STREAM_FRAMES; i++) {
        struct frame_header h = {.body_size = stream_sizes[i], .type = (uint16_t)(i + 1), .request = i};

        frame_header_write(to + len, &h);
        len += FRAME_HEADER_SIZE;
        for (uint32_t j = 0; j < stream_sizes[i]; j++) to[len++] = (uint8_t)(i * 16 + j);
    }
    return len;
}

/* Pops what is whole and checks it against the stream from frame number 'from'. Returns the next number. */
static unsigned pop_all(struct frame_reader *r, unsigned from)
{
    struct frame_header h;
    const uint8_t *body;

    while (frame_reader_peek(r, &h, &body) == 1) {
        assert_true(from < STREAM_FRAMES);
        assert_int_equal(h.type, from + 1);
        assert_int_equal(h.body_size, stream_sizes[from]);
        for (uint32_t j = 0; j < h.body_size; j++) assert_int_equal(body[j], (uint8_t)(from * 16 + j));
        frame_reader_pop(r);
        from++;
    }
    return from;
}

static void a_stream_may_be_cut_anywhere(void **state)
{
    uint8_t stream[512];
    size_t len = make_stream(stream);

    (void)state;
    for (size_t piece = 1; piece <= len; piece++) {
        struct frame_reader r;
        unsigned seen = 0;

        frame_reader_init(&r);
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;

            assert_int_equal(frame_reader_push(&r, stream + at, n), 0);
            seen = pop_all(&r, seen);
        }
        assert_int_equal(seen, STREAM_FRAMES);
        assert_int_equal(r.len, 0);
        frame_reader_fini(&r);
    }
}

static void frames_may_be_popped_later(void **state)
{
    uint8_t stream[512];
    size_t len = make_stream(stream);
    struct frame_header h;
    const uint8_t *body;
    struct frame_reader r;

    (void)state;
    frame_reader_init(&r);
    for (int round = 0; round < 100; round++) {
        assert_int_equal(frame_reader_push(&r, stream, len), 0);
        /* One frame is left behind, so that the next push finds the reader in the middle of its buffer. */
        for (unsigned i = 0; i < STREAM_FRAMES; i++) {
            unsigned expected = (i + STREAM_FRAMES - (unsigned)(round % STREAM_FRAMES)) % STREAM_FRAMES;

            assert_int_equal(frame_reader_peek(&r, &h, &body), 1);
            assert_int_equal(h.type, expected + 1);
            if (i + 1 < STREAM_FRAMES) frame_reader_pop(&r);
        }
    }
    assert_true(r.size <= 1 << 16);
    frame_reader_fini(&r);
}

static void memory_stays_within_a_frame_and_a_read(void **state)
{
    enum { PIECE = 64 << 10 };
    struct frame_header h = {.body_size = FRAME_BODY_MAX, .type = 9};
    uint8_t head[FRAME_HEADER_SIZE], *piece = calloc(1, PIECE);
    const uint8_t *body;
    struct frame_reader r;

    (void)state;
    assert_non_null(piece);
    frame_reader_init(&r);
    frame_header_write(head, &h);
    assert_int_equal(frame_reader_push(&r, head, sizeof head), 0);
    for (size_t sent = 0; sent < FRAME_BODY_MAX; sent += PIECE) {
        assert_int_equal(frame_reader_peek(&r, &h, &body), 0);
        assert_int_equal(frame_reader_push(&r, piece, PIECE), 0);
    }
    assert_int_equal(frame_reader_peek(&r, &h, &body), 1);
    assert_true(r.size <= FRAME_HEADER_SIZE + FRAME_BODY_MAX + PIECE);
    /* Its owner does not pop: one more read is taken, then no more. */
    assert_int_equal(frame_reader_push(&r, piece, PIECE), 0);
    assert_int_equal(frame_reader_push(&r, piece, PIECE), -EMSGSIZE);
    frame_reader_pop(&r);
    assert_int_equal(r.len, PIECE);
    while (frame_reader_peek(&r, &h, &body) == 1) frame_reader_pop(&r); /* Zeroes are empty frames. */
    assert_int_equal(r.len, 0);
    assert_int_equal(r.size, 0); /* The large buffer went back. */
    frame_reader_fini(&r);
    free(piece);
}

static void a_bad_length_behind_a_good_frame_is_found(void **state)
{
    struct frame_header h = {.type = 1};
    uint8_t bytes[2 * FRAME_HEADER_SIZE];
    const uint8_t *body;
    struct frame_reader r;

    (void)state;
    frame_header_write(bytes, &h);
    memset(bytes + FRAME_HEADER_SIZE, 0xff, FRAME_HEADER_SIZE);
    frame_reader_init(&r);
    assert_int_equal(frame_reader_push(&r, bytes, sizeof bytes), 0);
    assert_int_equal(frame_reader_peek(&r, &h, &body), 1);
    frame_reader_pop(&r);
    assert_int_equal(frame_reader_peek(&r, &h, &body), 0);
    assert_int_equal(frame_reader_push(&r, bytes, 0), -EMSGSIZE);
    frame_reader_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preamble_has_fixed_bytes),
        cmocka_unit_test(any_other_preamble_is_refused),
        cmocka_unit_test(the_header_is_little_endian),
        cmocka_unit_test(a_length_beyond_the_bound_is_refused),
        cmocka_unit_test(a_stream_may_be_cut_anywhere),
        cmocka_unit_test(frames_may_be_popped_later),
        cmocka_unit_test(memory_stays_within_a_frame_and_a_read),
        cmocka_unit_test(a_bad_length_behind_a_good_frame_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
