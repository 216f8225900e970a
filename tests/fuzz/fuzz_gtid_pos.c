/* Fuzz: MariaDB positions: two texts, split at the first ';', and the laws of their algebra. */
#include <errno.h>

#include "mysql/gtid.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT_MAX = 4096 };

/* Parsed, printed, parsed again: the same. */
static bool parse(struct gtid_pos *pos, const char *text)
{
    char printed[TEXT_MAX];
    struct gtid_pos again;
    int rv = gtid_pos_parse(pos, text);

    MUST(rv == 0 || rv == -EINVAL || rv == -E2BIG);
    if (rv != 0) {
        MUST(pos->n == 0);
        return false;
    }
    MUST(pos->n <= GTID_DOMAINS_MAX);
    for (unsigned i = 1; i < pos->n; i++) MUST(pos->d[i - 1].domain < pos->d[i].domain);
    MUST(gtid_pos_print(pos, printed, sizeof(printed)));
    MUST(gtid_pos_parse(&again, printed) == 0);
    MUST(gtid_pos_equal(pos, &again) && gtid_pos_contains(pos, &again) && gtid_pos_contains(&again, pos));
    return true;
}

static bool run(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    struct gtid_pos a, b, both;
    char *second, tiny[7];

    if (size >= sizeof(text)) return false;
    memcpy(text, data, size);
    text[size] = '\0';
    second = strchr(text, ';');
    if (second != NULL) *second++ = '\0';
    if (!parse(&a, text)) return false;
    if (!gtid_pos_print(&a, tiny, sizeof(tiny))) MUST(FUZZ_IS_TEXT(tiny));
    if (second == NULL) return true;
    if (!parse(&b, second)) return false;
    both = a;
    if (gtid_pos_union(&both, &b) != 0) {
        MUST(gtid_pos_equal(&both, &a) && a.n + b.n > GTID_DOMAINS_MAX);
        return true;
    }
    MUST(gtid_pos_contains(&both, &a) && gtid_pos_contains(&both, &b));
    MUST(gtid_pos_contains(&a, &b) == gtid_pos_equal(&both, &a) || gtid_pos_contains(&a, &both));
    return true;
}

static void seed(void)
{
    fuzz_put_text("");
    fuzz_put_text("0-1-100");
    fuzz_put_text("0-1-100,1-2-3;1-4-9,7-1-18446744073709551615");
    fuzz_put_text("4294967295-4294967295-1, 2-2-2,\n3-3-3");
}

FUZZ_TARGET(gtid_pos, run, seed)
