/* Fuzz: MySQL sets with tags: two texts, split at the first ';', and the laws of their algebra. */
#include <errno.h>

#include "mysql/gtid.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT_MAX = 8192, PRINTED_MAX = 64 << 10 };

/* Sorted, disjoint and not adjacent within each sid; sids in order of their intervals. */
static void check_shape(const struct gtid_set *s)
{
    unsigned at = 0;

    MUST(s->sids_n <= GTID_SIDS_MAX && s->iv_n <= GTID_INTERVALS_MAX);
    for (unsigned i = 0; i < s->sids_n; i++) {
        const struct gtid_sid *sid = &s->sids[i];

        MUST(sid->start == at && sid->n > 0 && FUZZ_IS_TEXT(sid->tag));
        at += sid->n;
        MUST(at <= s->iv_n);
        for (unsigned j = sid->start; j < at; j++) {
            MUST(s->iv[j].first >= 1 && s->iv[j].first <= s->iv[j].last);
            MUST(j == sid->start || s->iv[j - 1].last < s->iv[j].first - 1);
        }
    }
    MUST(at == s->iv_n);
}

static bool parse(struct gtid_set *set, const char *text)
{
    static char printed[PRINTED_MAX];
    static struct gtid_set again;
    int rv = gtid_set_parse(set, text);

    MUST(rv == 0 || rv == -EINVAL || rv == -E2BIG);
    if (rv != 0) {
        MUST(set->sids_n == 0 && set->iv_n == 0);
        return false;
    }
    check_shape(set);
    MUST(gtid_set_print(set, printed, sizeof(printed)));
    MUST(gtid_set_parse(&again, printed) == 0);
    MUST(gtid_set_equal(set, &again) && gtid_set_contains(set, &again));
    MUST(gtid_set_count(set) == gtid_set_count(&again));
    return true;
}

static void check_algebra(const struct gtid_set *a, const struct gtid_set *b)
{
    static struct gtid_set both, less;

    both = *a;
    less = *a;
    if (gtid_set_subtract(&less, b) == 0) {
        check_shape(&less);
        MUST(gtid_set_contains(a, &less));
        MUST((less.iv_n == 0) == gtid_set_contains(b, a));
    } else {
        MUST(gtid_set_equal(&less, a));
    }
    if (gtid_set_union(&both, b) != 0) {
        MUST(gtid_set_equal(&both, a));
        return;
    }
    check_shape(&both);
    MUST(gtid_set_contains(&both, a) && gtid_set_contains(&both, b));
    MUST(gtid_set_equal(&both, a) == gtid_set_contains(a, b));
    less = both;
    if (gtid_set_subtract(&less, a) == 0) MUST(gtid_set_contains(b, &less));
}

static bool run(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    static struct gtid_set a, b;
    char *second;

    if (size >= sizeof(text)) return false;
    memcpy(text, data, size);
    text[size] = '\0';
    second = strchr(text, ';');
    if (second != NULL) *second++ = '\0';
    if (!parse(&a, text)) return false;
    if (second == NULL) return true;
    if (!parse(&b, second)) return false;
    check_algebra(&a, &b);
    return true;
}

static void seed(void)
{
    fuzz_put_text("");
    fuzz_put_text("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
    fuzz_put_text("3E11FA47-71CA-11E1-9E33-C80AA9429562:7:1-5:6,\n00000000-0000-0000-0000-000000000001:9");
    fuzz_put_text("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:tag_1:4-5:b:9;3e11fa47-71ca-11e1-9e33-c80aa9429562:2-8");
    fuzz_put_text("3e11fa47-71ca-11e1-9e33-c80aa9429562:abcdefghijklmnopqrstuvwxyz012345:1-9223372036854775806");
}

FUZZ_TARGET(gtid_set, run, seed)
