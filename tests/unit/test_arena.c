/* The arena: pieces do not overlap, are aligned, and all go at once (lib/arena.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/arena.h"

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    enum { PIECES = 500 };
    struct arena arena = {0};
    unsigned char *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(&arena, i * 7 % 300);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 0xff), i * 7 % 300);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < i * 7 % 300; k++) assert_int_equal(pieces[i][k], i & 0xff);
    arena_free(&arena);
}

static void a_piece_may_be_larger_than_a_chunk(void **state)
{
    (void)state;
    struct arena arena = {0};
    char *small = arena_alloc(&arena, 10);
    char *large = arena_alloc(&arena, 1 << 20);
    memset(small, 1, 10);
    memset(large, 2, 1 << 20);
    assert_int_equal(small[9], 1);
    assert_in_range(arena.taken_size, (1 << 20) + 10, (1 << 20) + 16384);
    arena_free(&arena);
}

static void it_is_empty_after_free_and_can_be_used_again(void **state)
{
    (void)state;
    struct arena arena = {0};
    arena_free(&arena);
    (void)arena_alloc(&arena, 100);
    arena_free(&arena);
    assert_null(arena.chunks);
    assert_int_equal(arena.taken_size, 0);
    assert_non_null(arena_alloc(&arena, 0));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(a_piece_may_be_larger_than_a_chunk),
        cmocka_unit_test(it_is_empty_after_free_and_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
