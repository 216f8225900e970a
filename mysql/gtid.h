/* GTID algebra for both flavours. PURE: no allocation beyond the caller's struct, no I/O.
 *
 * MariaDB: a position is a list "domain-server-seq,..."; within a domain, history is linear (gtid_strict_mode), so a
 * position contains another if, in each of its domains, it has a seq at least as great.
 * MySQL: a set of intervals per uuid and tag, "uuid:1-5:7,uuid:tag:1-3" (tags since 8.3).
 * Empty text is the empty position or set. Parsing is strict and bounded: text comes from servers. */
#ifndef REGENT_MYSQL_GTID_H
#define REGENT_MYSQL_GTID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

enum {
    GTID_DOMAINS_MAX = 64,
    GTID_SIDS_MAX = 32,       /* uuid and tag pairs of one set. */
    GTID_INTERVALS_MAX = 512, /* Of one set, over all sids. */
    GTID_TAG_SIZE = 33,       /* Up to 32 characters. */
};

struct gtid_domain {
    uint32_t domain;
    uint32_t server;
    uint64_t seq;
};

/* Sorted by domain, one entry a domain. */
struct gtid_pos {
    uint16_t n;
    struct gtid_domain d[GTID_DOMAINS_MAX];
};

/* Returns 0; -EINVAL malformed (or a domain twice); -E2BIG beyond the bounds. On failure '*pos' is empty. */
int gtid_pos_parse(struct gtid_pos *pos, const char *text) MUST_CHECK;
/* Writes canonical text. Returns false when it does not fit into 'size' bytes (then 'to' is cut, NUL-terminated). */
bool gtid_pos_print(const struct gtid_pos *pos, char *to, size_t size) MUST_CHECK;
/* True when 'a' contains all of 'b'. */
bool gtid_pos_contains(const struct gtid_pos *a, const struct gtid_pos *b);
bool gtid_pos_equal(const struct gtid_pos *a, const struct gtid_pos *b);
/* True when 'pos' ends, in some domain, with a transaction that server 'id' wrote and 'within' does not contain. */
bool gtid_pos_has_own(const struct gtid_pos *pos, const struct gtid_pos *within, uint32_t id);
/* a := a union b. Returns -E2BIG (a unchanged) beyond the bounds. */
int gtid_pos_union(struct gtid_pos *a, const struct gtid_pos *b) MUST_CHECK;

struct gtid_interval {
    uint64_t first, last; /* Inclusive, 1 <= first <= last. */
};

struct gtid_sid {
    uint8_t uuid[16];
    char tag[GTID_TAG_SIZE]; /* Lower case; empty: untagged. */
    uint16_t start, n;       /* Its intervals: iv[start .. start+n). */
};

/* Sorted by (uuid, tag); intervals sorted, disjoint and not adjacent. */
struct gtid_set {
    uint16_t sids_n, iv_n;
    struct gtid_sid sids[GTID_SIDS_MAX];
    struct gtid_interval iv[GTID_INTERVALS_MAX];
};

/* Returns 0; -EINVAL malformed; -E2BIG beyond the bounds. On failure '*set' is empty. Intervals may come in any order;
 * a tag holds for the intervals behind it ("uuid:1-3:tag:4-5"). */
int gtid_set_parse(struct gtid_set *set, const char *text) MUST_CHECK;
/* Writes canonical text, one "uuid:tag" an item. Returns false when it does not fit into 'size' bytes (it is cut). */
bool gtid_set_print(const struct gtid_set *set, char *to, size_t size) MUST_CHECK;
/* True when 'a' contains all of 'b'. */
bool gtid_set_contains(const struct gtid_set *a, const struct gtid_set *b);
/* True when both hold the same transactions. */
bool gtid_set_equal(const struct gtid_set *a, const struct gtid_set *b);
/* a := a union b; a := a minus b. -E2BIG (a unchanged) beyond the bounds. */
int gtid_set_union(struct gtid_set *a, const struct gtid_set *b) MUST_CHECK;
int gtid_set_subtract(struct gtid_set *a, const struct gtid_set *b) MUST_CHECK;
/* Number of transactions; UINT64_MAX when it is greater than that. */
uint64_t gtid_set_count(const struct gtid_set *a);

#endif
