/* Memory that is freed all at once: for what belongs together and dies together, as one reply of a server.
 *
 * Not for several threads at a time. No single piece can be freed. */
#ifndef REGENT_ARENA_H
#define REGENT_ARENA_H

#include <stddef.h>

#include "lib/base/must.h"

struct arena_chunk;

/* All zero is an empty arena. */
struct arena {
    struct arena_chunk *chunks; /* Newest first. */
    size_t taken_size;          /* Bytes taken from malloc, with what is not used of them. */
};

/* Gives 'size' bytes (0 is legal), not initialised, aligned for any pointer or integer; they live until arena_free().
 * Never NULL: that memory is out ends the process, so the caller bounds what it asks for. */
void *arena_alloc(struct arena *arena, size_t size);

/* Frees everything; the arena is empty then and can be used again. */
void arena_free(struct arena *arena);

#endif
