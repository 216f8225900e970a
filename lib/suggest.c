/* The word that was meant: the fewest edits between two words, or one that is the beginning of the other. */
#include "lib/suggest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { WORD_MAX = 40 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from 'a' to 'b', letter case aside. Both < WORD_MAX long. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][WORD_MAX + 1], *before2 = rows[0], *before = rows[1], *row = rows[2], *spare;
    size_t b_len = strlen(b);

    for (unsigned j = 0; j <= b_len; j++) before[j] = before2[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);

            row[j] = min3(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x == y ? 0 : 1));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2])) {
                row[j] = min3(row[j], before2[j - 2] + 1, row[j]);
            }
        }
        spare = before2;
        before2 = before;
        before = row;
        row = spare;
    }
    return before[b_len];
}

const char *suggest(const char *word, const char *const *names, unsigned names_n)
{
    size_t len = strlen(word);
    unsigned best = len < 4 ? 2 : 3; /* One edit in a short word, two in a longer one. */
    const char *found = NULL;

    if (len == 0 || len >= WORD_MAX) return NULL;
    for (unsigned i = 0; i < names_n; i++) {
        size_t name_len = strlen(names[i]), common = len < name_len ? len : name_len;
        unsigned distance;

        if (name_len >= WORD_MAX) continue;
        distance = edit_distance(word, names[i]);
        if (distance < best && distance < name_len) {
            best = distance;
            found = names[i];
        } else if (found == NULL && common >= 3 && strncasecmp(word, names[i], common) == 0) {
            found = names[i]; /* One is the beginning of the other. */
        }
    }
    return found;
}
