/* Bounded text: writing into a caller's fixed buffer, for pure code.
 *
 * A struct text never overflows: what does not fit is dropped and 'cut' is set. The buffer is always
 * NUL-terminated. No allocation. */
#ifndef REGENT_TEXT_H
#define REGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

struct text {
    char *base;  /* Borrowed from the caller. */
    size_t size; /* Bytes at 'base', including the NUL. At least 1. */
    size_t len;  /* Characters written, without the NUL. */
    bool cut;    /* Something did not fit. */
};

/* An empty text over 'base' of 'size' bytes (size >= 1). Borrows 'base' for its whole life. */
struct text text_on(char *base, size_t size);

#define TEXT_ON(array) text_on((array), sizeof(array))

/* Appends printf-formatted text. */
void text_addf(struct text *t, const char *format, ...) REGENT_PRINTF(2, 3);

/* Appends the NUL-terminated 's'. */
void text_add(struct text *t, const char *s);

/* Appends 'n' in decimal, with zeros before it to 'digits' (0 to 20) digits. Much cheaper than text_addf(). */
void text_add_u64(struct text *t, uint64_t n, unsigned digits);

/* Appends 's' as an SQL string literal: in quotes, with quote and backslash escaped (both flavours accept
 * doubled quotes; backslash is doubled too, so sessions must not run with NO_BACKSLASH_ESCAPES). */
void text_add_sql(struct text *t, const char *s);

/* Copies 's' into 'to' of 'size' bytes. Returns true when all of it fitted; else it is cut and ended by NUL. */
bool text_copy(char *to, size_t size, const char *s);

#define TEXT_COPY(array, s) text_copy((array), sizeof(array), (s))

/* True when both strings are equal. */
bool text_equal(const char *a, const char *b);

/* Parses a whole string as an unsigned decimal. Returns false (and leaves *out) on anything else. */
bool text_to_u64(const char *s, uint64_t *out);

#endif
