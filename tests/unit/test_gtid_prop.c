/* mysql/gtid.c and gtid_set.c against a slow, obvious model: which transactions are in it, as an array of booleans
 * (sets) or of numbers by domain (positions). Cases are made by chance from a seed that is printed; REGENT_SEED repeats
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "mysql/gtid.h"

enum {
    SET_CASES = 60000,
    POS_CASES = 60000,
    HOSTILE_CASES = 200000,
    NAMES = 6,    /* uuid and tag pairs of the model. */
    NUMBERS = 40, /* Transactions 1 .. NUMBERS-1 of each. */
    DOMAINS = 8,
    TEXT_SIZE = 8192,
};

static uint64_t seed, random_state;

static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned below(unsigned n)
{
    return (unsigned)((draw() >> 11) % n);
}

/* Every case has a seed of its own, so that one can be repeated alone. */
static void begin_case(uint64_t number)
{
    random_state = seed + number * 0x9e3779b97f4a7c15u;
    if (random_state == 0) random_state = 1;
    for (unsigned i = 0; i < 4; i++) (void)draw();
}

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) fail_msg("REGENT_SEED=%" PRIu64 " case %u: %s", seed, number, #condition);                  \
    } while (0)

/* Sets. */

struct model {
    bool has[NAMES][NUMBERS];
};

static const char *const UUIDS[3] = {"00000000-0000-0000-0000-000000000001", "3e11fa47-71ca-11e1-9e33-c80aa9429562",
                                     "ffffffff-ffff-ffff-ffff-ffffffffffff"};
static const char *const TAGS[2] = {"", "tag_1"};

static void append(char *text, const char *format, ...) REGENT_PRINTF(2, 3);

static void append(char *text, const char *format, ...)
{
    size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + length, TEXT_SIZE - length, format, args);
    va_end(args);
    assert_true(strlen(text) < TEXT_SIZE - 1);
}

static struct model draw_model(void)
{
    struct model m = {0};
    unsigned names = below(NAMES + 1);
    for (unsigned k = 0; k < names; k++) {
        bool *has = m.has[below(NAMES)];
        for (unsigned runs = below(5); runs > 0; runs--) {
            unsigned first = 1 + below(NUMBERS - 1);
            unsigned n = 1 + below(8);
            for (unsigned i = first; i < NUMBERS && i < first + n; i++) has[i] = true;
        }
    }
    return m;
}

/* Canonical text: what gtid_set_print() must write, byte by byte. */
static void print_model(const struct model *m, char *text)
{
    text[0] = '\0';
    for (unsigned k = 0; k < NAMES; k++) {
        bool is_first = true;
        for (unsigned i = 1; i < NUMBERS; i++) {
            if (!m->has[k][i] || m->has[k][i - 1]) continue;
            unsigned last = i;
            while (last + 1 < NUMBERS && m->has[k][last + 1]) last++;
            const char *tag = TAGS[k % 2];
            if (is_first) append(text, "%s%s%s%s", text[0] == '\0' ? "" : ",", UUIDS[k / 2], *tag ? ":" : "", tag);
            append(text, last == i ? ":%u" : ":%u-%u", i, last);
            is_first = false;
        }
    }
}

/* Name 'k' behind a comma. A tag also as "uuid:1-3:tag": after some of the untagged ones once more. */
static void write_name(const struct model *m, unsigned k, char *text)
{
    append(text, "%s%s", text[0] == '\0' ? "" : below(2) == 0 ? "," : ",\n ", UUIDS[k / 2]);
    if (k % 2 == 0) return;
    bool is_mixed = below(2) == 0;
    for (unsigned j = 1; j < NUMBERS; j++) {
        if (is_mixed && m->has[k - 1][j] && below(4) == 0) append(text, ":%u", j);
    }
    append(text, is_mixed ? ":Tag_1" : ":TAG_1");
}

/* The same set as somebody could write it: pieces in any order, overlapping, tags mixed, odd case and space. */
static void write_odd(const struct model *m, char *text)
{
    text[0] = '\0';
    for (unsigned k = 0; k < NAMES; k++) {
        bool is_first = true;
        for (unsigned i = NUMBERS - 1; i > 0; i--) {
            if (!m->has[k][i]) continue;
            unsigned last = i;
            while (last + 1 < NUMBERS && m->has[k][last + 1] && below(3) > 0) last++;
            if (is_first || below(4) == 0) write_name(m, k, text);
            append(text, last == i ? ":%u" : ":%u-%u", i, last);
            is_first = false;
        }
    }
}

static bool model_contains(const struct model *a, const struct model *b)
{
    for (unsigned k = 0; k < NAMES; k++) {
        for (unsigned i = 0; i < NUMBERS; i++) {
            if (b->has[k][i] && !a->has[k][i]) return false;
        }
    }
    return true;
}

static struct model model_combine(const struct model *a, const struct model *b, bool is_union, uint64_t *count)
{
    struct model m = {0};
    *count = 0;
    for (unsigned k = 0; k < NAMES; k++) {
        for (unsigned i = 0; i < NUMBERS; i++) {
            bool x = a->has[k][i];
            bool y = b->has[k][i];
            m.has[k][i] = is_union ? x || y : x && !y;
            *count += m.has[k][i];
        }
    }
    return m;
}

static void check_against(const struct gtid_set *set, const struct model *m, unsigned number)
{
    static char expected[TEXT_SIZE];
    static char printed[TEXT_SIZE];
    struct gtid_set again;
    print_model(m, expected);
    CHECK(gtid_set_print(set, printed, sizeof(printed)));
    CHECK(strcmp(printed, expected) == 0);
    CHECK(gtid_set_parse(&again, printed) == 0);
    CHECK(gtid_set_equal(&again, set));
}

static void one_set_case(unsigned number)
{
    static char text[TEXT_SIZE];
    struct model ma = draw_model();
    struct model mb = below(4) == 0 ? ma : draw_model();
    struct gtid_set a;
    struct gtid_set b;
    write_odd(&ma, text);
    CHECK(gtid_set_parse(&a, text) == 0);
    check_against(&a, &ma, number);
    write_odd(&mb, text);
    CHECK(gtid_set_parse(&b, text) == 0);
    check_against(&b, &mb, number);
    CHECK(gtid_set_contains(&a, &b) == model_contains(&ma, &mb));
    CHECK(gtid_set_contains(&b, &a) == model_contains(&mb, &ma));
    CHECK(gtid_set_equal(&a, &b) == (memcmp(&ma, &mb, sizeof(ma)) == 0));

    uint64_t count;
    struct gtid_set sum = a;
    struct model msum = model_combine(&ma, &mb, true, &count);
    CHECK(gtid_set_union(&sum, &b) == 0);
    check_against(&sum, &msum, number);
    CHECK(gtid_set_count(&sum) == count);
    struct gtid_set other = b;
    CHECK(gtid_set_union(&other, &a) == 0 && gtid_set_equal(&other, &sum));
    CHECK(gtid_set_contains(&sum, &a) && gtid_set_contains(&sum, &b));

    struct gtid_set rest = a;
    struct model mrest = model_combine(&ma, &mb, false, &count);
    CHECK(gtid_set_subtract(&rest, &b) == 0);
    check_against(&rest, &mrest, number);
    CHECK(gtid_set_count(&rest) == count);
    CHECK((count == 0) == gtid_set_contains(&b, &a));
    CHECK(gtid_set_union(&rest, &b) == 0 && gtid_set_equal(&rest, &sum)); /* (a - b) + b = a + b */
}

static void sets(void **state)
{
    (void)state;
    for (unsigned number = 0; number < SET_CASES; number++) {
        begin_case(number);
        one_set_case(number);
    }
}

/* Positions: the model is the number by domain, 0 for none, and its server. */

struct pos_model {
    uint64_t seq[DOMAINS];
    uint32_t server[DOMAINS];
};

static const uint32_t DOMAIN_IDS[DOMAINS] = {0, 1, 2, 10, 11, 100, 70000, UINT32_MAX};

static struct pos_model draw_pos(void)
{
    struct pos_model m = {0};
    for (unsigned i = 0; i < DOMAINS; i++) {
        if (below(2) == 0) continue;
        m.seq[i] = below(8) == 0 ? UINT64_MAX - below(2) : 1 + below(6);
        m.server[i] = below(8) == 0 ? UINT32_MAX : below(3);
    }
    return m;
}

static void write_pos(const struct pos_model *m, char *text, bool is_odd)
{
    text[0] = '\0';
    unsigned first = is_odd ? below(DOMAINS) : 0;
    for (unsigned k = 0; k < DOMAINS; k++) {
        unsigned i = (first + k) % DOMAINS;
        if (m->seq[i] == 0) continue;
        const char *comma = text[0] == '\0' ? "" : is_odd && below(2) == 0 ? " ,\n" : ",";
        append(text, "%s%" PRIu32 "-%" PRIu32 "-%" PRIu64, comma, DOMAIN_IDS[i], m->server[i], m->seq[i]);
    }
}

static void check_pos(const struct gtid_pos *pos, const struct pos_model *m, unsigned number)
{
    static char expected[TEXT_SIZE];
    static char printed[TEXT_SIZE];
    write_pos(m, expected, false);
    CHECK(gtid_pos_print(pos, printed, sizeof(printed)));
    CHECK(strcmp(printed, expected) == 0);
}

static void one_pos_case(unsigned number)
{
    static char text[TEXT_SIZE];
    struct pos_model ma = draw_pos();
    struct pos_model mb = below(4) == 0 ? ma : draw_pos();
    struct gtid_pos a;
    struct gtid_pos b;
    write_pos(&ma, text, true);
    CHECK(gtid_pos_parse(&a, text) == 0);
    check_pos(&a, &ma, number);
    write_pos(&mb, text, true);
    CHECK(gtid_pos_parse(&b, text) == 0);
    bool is_contained = true;
    bool is_equal = true;
    struct pos_model msum = ma;
    for (unsigned i = 0; i < DOMAINS; i++) {
        if (mb.seq[i] > ma.seq[i]) is_contained = false;
        if (mb.seq[i] != ma.seq[i] || mb.server[i] != ma.server[i]) is_equal = false;
        if (mb.seq[i] > ma.seq[i]) {
            msum.seq[i] = mb.seq[i];
            msum.server[i] = mb.server[i];
        }
    }
    CHECK(gtid_pos_contains(&a, &b) == is_contained);
    CHECK(gtid_pos_equal(&a, &b) == is_equal);
    struct gtid_pos sum = a;
    CHECK(gtid_pos_union(&sum, &b) == 0);
    check_pos(&sum, &msum, number);
    CHECK(gtid_pos_contains(&sum, &a) && gtid_pos_contains(&sum, &b));
    CHECK(gtid_pos_equal(&sum, &a) == is_contained);
}

static void positions(void **state)
{
    (void)state;
    for (unsigned number = 0; number < POS_CASES; number++) {
        begin_case(number);
        one_pos_case(number);
    }
}

/* Hostile texts: good ones with bytes changed, dropped and doubled, in memory that ends with the text, so that a
 * sanitizer sees every byte read behind it. What is accepted must be canonical again. */

static void damage(char *text)
{
    static const char BYTES[] = "0123456789-:,aftzAFTZ_ \n\t;#'\"\\\x01\x7f\xff";
    for (unsigned n = 1 + below(4); n > 0 && text[0] != '\0'; n--) {
        size_t at = below((unsigned)strlen(text));
        size_t length = strlen(text);
        switch (below(4)) {
        case 0: text[at] = BYTES[below(sizeof(BYTES) - 1)]; break;
        case 1: memmove(text + at, text + at + 1, length - at); break;
        case 2: text[at] = '\0'; break;
        default:
            if (2 * length + 1 < TEXT_SIZE) memmove(text + at + (length - at), text + at, length - at + 1);
            break;
        }
    }
}

static void one_hostile_case(unsigned number)
{
    static char text[TEXT_SIZE];
    static char printed[TEXT_SIZE * 2];
    struct gtid_set set;
    struct gtid_set set_again;
    struct gtid_pos pos;
    struct gtid_pos pos_again;
    struct model m = draw_model();
    struct pos_model mp = draw_pos();
    bool is_set = below(2) == 0;
    if (is_set) write_odd(&m, text);
    if (!is_set) write_pos(&mp, text, true);
    damage(text);
    char *exact = strdup(text);
    assert_non_null(exact);
    int rv = gtid_set_parse(&set, exact);
    CHECK(rv == 0 || rv == -EINVAL || rv == -E2BIG);
    CHECK(rv == 0 || set.sids_n == 0);
    if (rv == 0) {
        CHECK(gtid_set_print(&set, printed, sizeof(printed)));
        CHECK(gtid_set_parse(&set_again, printed) == 0 && gtid_set_equal(&set, &set_again));
    }
    rv = gtid_pos_parse(&pos, exact);
    CHECK(rv == 0 || rv == -EINVAL || rv == -E2BIG);
    CHECK(rv == 0 || pos.n == 0);
    if (rv == 0) {
        CHECK(gtid_pos_print(&pos, printed, sizeof(printed)));
        CHECK(gtid_pos_parse(&pos_again, printed) == 0 && gtid_pos_equal(&pos, &pos_again));
    }
    free(exact);
}

static void hostile(void **state)
{
    (void)state;
    for (unsigned number = 0; number < HOSTILE_CASES; number++) {
        begin_case(number);
        one_hostile_case(number);
    }
}

int main(void)
{
    const char *given = getenv("REGENT_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : clock_random();
    print_message("REGENT_SEED=%" PRIu64 "\n", seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets),
        cmocka_unit_test(positions),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
