/* Arena: a list of chunks, the newest of which is used up from its front. */
#include "lib/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_SIZE = 4096 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t used, size; /* Of 'bytes'. */
    _Alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t unit = _Alignof(max_align_t);
    MUST(size <= SIZE_MAX / 2);
    size_t whole = (size + unit - 1) / unit * unit;
    struct arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < whole) {
        size_t room = whole > CHUNK_SIZE ? whole : CHUNK_SIZE;
        chunk = malloc(sizeof *chunk + room);
        MUST(chunk);
        *chunk = (struct arena_chunk){.older = arena->chunks, .size = room};
        arena->chunks = chunk;
        arena->taken_size += sizeof *chunk + room;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += whole;
    return memory;
}

void arena_free(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->older;
        free(chunk);
    }
    arena->taken_size = 0;
}
