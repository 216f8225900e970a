/* Bounded text: see the header. The one place where pure code meets printf. */
#include "lib/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text text_on(char *base, size_t size)
{
    MUST(base != NULL);
    MUST(size >= 1);
    base[0] = '\0';
    return (struct text){.base = base, .size = size};
}

static void add_bytes(struct text *t, const char *from, size_t n)
{
    size_t room = t->size - 1 - t->len;

    if (n > room) {
        t->cut = true;
        n = room;
    }
    memcpy(t->base + t->len, from, n);
    t->len += n;
    t->base[t->len] = '\0';
}

void text_addf(struct text *t, const char *format, ...)
{
    size_t room = t->size - t->len; /* With the NUL. */
    va_list args;
    int n;

    MUST(t->len < t->size);
    va_start(args, format);
    n = vsnprintf(t->base + t->len, room, format, args);
    va_end(args);
    MUST(n >= 0);
    if ((size_t)n >= room) {
        t->cut = true;
        t->len = t->size - 1;
        return;
    }
    t->len += (size_t)n;
}

void text_add(struct text *t, const char *s)
{
    MUST(t->len < t->size);
    add_bytes(t, s, strlen(s));
}

void text_add_u64(struct text *t, uint64_t n, unsigned digits)
{
    char base[20];
    size_t at = sizeof(base);

    MUST(t->len < t->size && digits <= sizeof(base));
    do {
        base[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0 || sizeof(base) - at < digits);
    add_bytes(t, base + at, sizeof(base) - at);
}

void text_add_sql(struct text *t, const char *s)
{
    text_add(t, "'");
    for (; *s != '\0'; s++) {
        if (*s == '\'' || *s == '\\') add_bytes(t, s, 1);
        add_bytes(t, s, 1);
    }
    text_add(t, "'");
}

bool text_copy(char *to, size_t size, const char *s)
{
    size_t n = strlen(s);
    bool fits = n < size;

    MUST(size >= 1);
    if (!fits) n = size - 1;
    memmove(to, s, n);
    to[n] = '\0';
    return fits;
}

bool text_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool text_to_u64(const char *s, uint64_t *out)
{
    uint64_t value = 0;

    if (*s == '\0') return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value)) return false;
    }
    *out = value;
    return true;
}
