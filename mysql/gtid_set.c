/* MySQL's GTID sets: intervals per uuid and tag. PURE.
 *
 * A set is kept canonical at every moment: sids sorted, the intervals of a sid sorted, disjoint and not adjacent, no
 * sid without intervals. So equal sets are equal member by member, and an interval that is contained lies in one
 * interval of the other set.
 *
 * Accepted text (what servers print, and what operators write after it): sids separated by commas with optional space
 * and line ends; "uuid" then ":interval" or ":tag" parts, a tag holding for the intervals behind it (MySQL prints
 * "uuid:1-3:tag:4-5"); intervals in any order. The bounds hold at every step, not only for the end result. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/bound.h"
#include "lib/base/text.h"
#include "mysql/gtid.h"
#include "mysql/gtid_scan.h"

enum { UUID_TEXT_LENGTH = 36 };

/* The servers' own bound (a signed number); below it last + 1 cannot overflow. */
static const uint64_t NUMBER_MAX = INT64_MAX;

static int compare_names(const struct gtid_sid *a, const struct gtid_sid *b)
{
    int order = memcmp(a->uuid, b->uuid, sizeof(a->uuid));
    return order != 0 ? order : strcmp(a->tag, b->tag);
}

/* Index of the first sid that is not before 'name'. */
static unsigned find(const struct gtid_set *set, const struct gtid_sid *name)
{
    unsigned i = 0;
    while (i < set->sids_n && compare_names(&set->sids[i], name) < 0) i++;
    return i;
}

static const struct gtid_sid *find_equal(const struct gtid_set *set, const struct gtid_sid *name)
{
    unsigned i = find(set, name);
    return i < set->sids_n && compare_names(&set->sids[i], name) == 0 ? &set->sids[i] : NULL;
}

/* Replaces 'drop_n' intervals at 'at' of sid 'i' by 'iv'; the room must have been checked. */
static void splice(struct gtid_set *set, unsigned i, unsigned at, unsigned drop_n, struct gtid_interval iv)
{
    unsigned tail = at + drop_n;
    memmove(&set->iv[at + 1], &set->iv[tail], (set->iv_n - tail) * sizeof(set->iv[0]));
    set->iv[at] = iv;
    set->iv_n = (uint16_t)(set->iv_n + 1 - drop_n);
    set->sids[i].n = (uint16_t)(set->sids[i].n + 1 - drop_n);
    for (unsigned k = i + 1; k < set->sids_n; k++) set->sids[k].start = (uint16_t)(set->sids[k].start + 1 - drop_n);
}

/* Makes a sid without intervals at index 'i'; add() gives it its first one. */
static void insert_sid(struct gtid_set *set, unsigned i, const struct gtid_sid *name)
{
    memmove(&set->sids[i + 1], &set->sids[i], (set->sids_n - i) * sizeof(set->sids[0]));
    set->sids[i] = *name;
    set->sids[i].start = i < set->sids_n ? set->sids[i + 1].start : set->iv_n;
    set->sids[i].n = 0;
    set->sids_n++;
}

/* set := set union {name: iv}. -E2BIG leaves the set unchanged. */
static int add(struct gtid_set *set, const struct gtid_sid *name, struct gtid_interval iv)
{
    unsigned i = find(set, name);
    bool is_new = i == set->sids_n || compare_names(&set->sids[i], name) != 0;
    if (is_new) {
        if (set->sids_n == GTID_SIDS_MAX || set->iv_n == GTID_INTERVALS_MAX) return -E2BIG;
        insert_sid(set, i, name);
    }
    unsigned end = set->sids[i].start + set->sids[i].n;
    unsigned at = set->sids[i].start;
    while (at < end && set->iv[at].last + 1 < iv.first) at++;
    unsigned drop_n = 0; /* Those that 'iv' overlaps or touches melt into it. */
    while (at + drop_n < end && set->iv[at + drop_n].first <= iv.last + 1) {
        const struct gtid_interval *old = &set->iv[at + drop_n++];
        if (old->first < iv.first) iv.first = old->first;
        if (old->last > iv.last) iv.last = old->last;
    }
    if (drop_n == 0 && set->iv_n == GTID_INTERVALS_MAX) return -E2BIG;
    splice(set, i, at, drop_n, iv);
    return 0;
}

static int hex_value(char c)
{
    if (gtid_scan_is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool scan_uuid(const char **s, uint8_t *uuid)
{
    unsigned nibbles_n = 0;
    for (unsigned i = 0; i < UUID_TEXT_LENGTH; i++) {
        char c = (*s)[i]; /* A NUL is neither dash nor digit, so this never reads behind the text. */
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-') return false;
            continue;
        }
        int value = hex_value(c);
        if (value < 0) return false;
        uint8_t *byte = &uuid[nibbles_n / 2];
        *byte = (uint8_t)(nibbles_n % 2 == 0 ? value << 4 : *byte | value);
        nibbles_n++;
    }
    *s += UUID_TEXT_LENGTH;
    return true;
}

static bool is_tag_start(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool scan_tag(const char **s, char *tag)
{
    unsigned n = 0;
    for (; is_tag_start(**s) || gtid_scan_is_digit(**s); (*s)++) {
        if (BOUND(gtid_tag, n == GTID_TAG_SIZE - 1)) return false;
        char c = **s;
        tag[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    /* The rest stays zero, as in every sid, so that sids can be copied and compared whole. */
    memset(tag + n, 0, GTID_TAG_SIZE - n);
    return true;
}

static bool scan_interval(const char **s, struct gtid_interval *iv)
{
    if (!gtid_scan_number(s, NUMBER_MAX, &iv->first)) return false;
    iv->last = iv->first;
    if (**s == '-') {
        (*s)++;
        if (!gtid_scan_number(s, NUMBER_MAX, &iv->last)) return false;
    }
    return iv->first >= 1 && iv->first <= iv->last;
}

/* "uuid:1-3:7:tag:4-5": everything up to the comma. */
static int scan_uuid_parts(const char **s, struct gtid_set *set)
{
    struct gtid_sid name = {0};
    if (!scan_uuid(s, name.uuid)) return -EINVAL;
    bool has_interval = false; /* Behind the uuid, and behind each tag, at least one must follow. */
    while (**s == ':') {
        (*s)++;
        if (is_tag_start(**s)) {
            bool is_after_tag = name.tag[0] != '\0' && !has_interval;
            if (is_after_tag || !scan_tag(s, name.tag)) return -EINVAL;
            has_interval = false;
            continue;
        }
        struct gtid_interval iv;
        if (!scan_interval(s, &iv)) return -EINVAL;
        int rv = add(set, &name, iv);
        if (rv != 0) return rv;
        has_interval = true;
    }
    return has_interval ? 0 : -EINVAL;
}

static int parse(struct gtid_set *set, const char *text)
{
    const char *s = gtid_scan_space(text);
    if (*s == '\0') return 0;
    for (;;) {
        int rv = scan_uuid_parts(&s, set);
        if (rv != 0) return rv;
        s = gtid_scan_space(s);
        if (*s == '\0') return 0;
        if (*s != ',') return -EINVAL;
        s = gtid_scan_space(s + 1);
    }
}

int gtid_set_parse(struct gtid_set *set, const char *text)
{
    *set = (struct gtid_set){0};
    int rv = parse(set, text);
    if (rv != 0) *set = (struct gtid_set){0};
    return rv;
}

static void print_name(struct text *t, const struct gtid_sid *sid)
{
    for (unsigned i = 0; i < sizeof(sid->uuid); i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        text_addf(t, "%s%02x", has_dash ? "-" : "", sid->uuid[i]);
    }
    if (sid->tag[0] != '\0') text_addf(t, ":%s", sid->tag);
}

bool gtid_set_print(const struct gtid_set *set, char *to, size_t size)
{
    struct text t = text_on(to, size);
    for (unsigned i = 0; i < set->sids_n; i++) {
        const struct gtid_sid *sid = &set->sids[i];
        if (i > 0) text_add(&t, ",");
        print_name(&t, sid);
        for (unsigned k = sid->start; k < (unsigned)sid->start + sid->n; k++) {
            text_addf(&t, ":%" PRIu64, set->iv[k].first);
            if (set->iv[k].last != set->iv[k].first) text_addf(&t, "-%" PRIu64, set->iv[k].last);
        }
    }
    return !t.cut;
}

/* True when the intervals of 'a' contain those of 'b'. Both are walked once. */
static bool sid_contains(const struct gtid_interval *a, unsigned a_n, const struct gtid_interval *b, unsigned b_n)
{
    unsigned i = 0;
    for (unsigned k = 0; k < b_n; k++) {
        while (i < a_n && a[i].last < b[k].first) i++;
        if (i == a_n || a[i].first > b[k].first || a[i].last < b[k].last) return false;
    }
    return true;
}

bool gtid_set_contains(const struct gtid_set *a, const struct gtid_set *b)
{
    for (unsigned i = 0; i < b->sids_n; i++) {
        const struct gtid_sid *of_b = &b->sids[i];
        const struct gtid_sid *of_a = find_equal(a, of_b);
        if (of_a == NULL) return false;
        if (!sid_contains(&a->iv[of_a->start], of_a->n, &b->iv[of_b->start], of_b->n)) return false;
    }
    return true;
}

bool gtid_set_equal(const struct gtid_set *a, const struct gtid_set *b)
{
    if (a->sids_n != b->sids_n || a->iv_n != b->iv_n) return false;
    for (unsigned i = 0; i < a->sids_n; i++) {
        if (compare_names(&a->sids[i], &b->sids[i]) != 0 || a->sids[i].n != b->sids[i].n) return false;
    }
    return memcmp(a->iv, b->iv, a->iv_n * sizeof(a->iv[0])) == 0;
}

int gtid_set_union(struct gtid_set *a, const struct gtid_set *b)
{
    struct gtid_set sum = *a;
    for (unsigned i = 0; i < b->sids_n; i++) {
        const struct gtid_sid *sid = &b->sids[i];
        for (unsigned k = sid->start; k < (unsigned)sid->start + sid->n; k++) {
            int rv = add(&sum, sid, b->iv[k]);
            if (rv != 0) return rv;
        }
    }
    *a = sum;
    return 0;
}

/* to := to union ({name: iv} minus the intervals b). */
static int add_rest(struct gtid_set *to, const struct gtid_sid *name, struct gtid_interval iv,
                    const struct gtid_interval *b, unsigned b_n)
{
    for (unsigned k = 0; k < b_n && iv.first <= iv.last; k++) {
        if (b[k].last < iv.first) continue;
        if (b[k].first > iv.last) break;
        if (b[k].first > iv.first) {
            int rv = add(to, name, (struct gtid_interval){iv.first, b[k].first - 1});
            if (rv != 0) return rv;
        }
        iv.first = b[k].last + 1;
    }
    return iv.first <= iv.last ? add(to, name, iv) : 0;
}

int gtid_set_subtract(struct gtid_set *a, const struct gtid_set *b)
{
    struct gtid_set rest = {0};
    for (unsigned i = 0; i < a->sids_n; i++) {
        const struct gtid_sid *sid = &a->sids[i];
        const struct gtid_sid *taken = find_equal(b, sid);
        const struct gtid_interval *holes = taken == NULL ? NULL : &b->iv[taken->start];
        unsigned holes_n = taken == NULL ? 0 : taken->n;
        for (unsigned k = sid->start; k < (unsigned)sid->start + sid->n; k++) {
            int rv = add_rest(&rest, sid, a->iv[k], holes, holes_n);
            if (rv != 0) return rv;
        }
    }
    *a = rest;
    return 0;
}

uint64_t gtid_set_count(const struct gtid_set *a)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < a->iv_n; k++) {
        uint64_t n = a->iv[k].last - a->iv[k].first + 1;
        if (n > UINT64_MAX - sum) return UINT64_MAX;
        sum += n;
    }
    return sum;
}
