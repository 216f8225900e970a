/* MariaDB's positions: one (server, seq) a domain. PURE.
 *
 * A domain that is absent counts as seq 0: nothing of it was seen. */
#include "mysql/gtid.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/text.h"
#include "mysql/gtid_scan.h"

/* Index of the first entry whose domain is not below 'domain'; pos->n when all are. */
static unsigned find(const struct gtid_pos *pos, uint32_t domain)
{
    unsigned i = 0;
    while (i < pos->n && pos->d[i].domain < domain) i++;
    return i;
}

static bool has_domain_at(const struct gtid_pos *pos, unsigned i, uint32_t domain)
{
    return i < pos->n && pos->d[i].domain == domain;
}

static int insert(struct gtid_pos *pos, unsigned i, struct gtid_domain entry)
{
    if (pos->n == GTID_DOMAINS_MAX) return -E2BIG;
    memmove(&pos->d[i + 1], &pos->d[i], (pos->n - i) * sizeof(pos->d[0]));
    pos->d[i] = entry;
    pos->n++;
    return 0;
}

/* "domain-server-seq" */
static bool scan_entry(const char **s, struct gtid_domain *entry)
{
    uint64_t domain = 0;
    uint64_t server = 0;
    if (!gtid_scan_number(s, UINT32_MAX, &domain) || *(*s)++ != '-') return false;
    if (!gtid_scan_number(s, UINT32_MAX, &server) || *(*s)++ != '-') return false;
    entry->domain = (uint32_t)domain;
    entry->server = (uint32_t)server;
    return gtid_scan_number(s, UINT64_MAX, &entry->seq);
}

static int parse(struct gtid_pos *pos, const char *text)
{
    const char *s = gtid_scan_space(text);
    if (*s == '\0') return 0;
    for (;;) {
        struct gtid_domain entry;
        if (!scan_entry(&s, &entry)) return -EINVAL;
        unsigned i = find(pos, entry.domain);
        if (has_domain_at(pos, i, entry.domain)) return -EINVAL;
        int rv = insert(pos, i, entry);
        if (rv != 0) return rv;
        s = gtid_scan_space(s);
        if (*s == '\0') return 0;
        if (*s != ',') return -EINVAL;
        s = gtid_scan_space(s + 1);
    }
}

int gtid_pos_parse(struct gtid_pos *pos, const char *text)
{
    *pos = (struct gtid_pos){0};
    int rv = parse(pos, text);
    if (rv != 0) *pos = (struct gtid_pos){0};
    return rv;
}

bool gtid_pos_print(const struct gtid_pos *pos, char *to, size_t size)
{
    struct text t = text_on(to, size);
    for (unsigned i = 0; i < pos->n; i++) {
        const struct gtid_domain *d = &pos->d[i];
        text_addf(&t, "%s%" PRIu32 "-%" PRIu32 "-%" PRIu64, i == 0 ? "" : ",", d->domain, d->server, d->seq);
    }
    return !t.cut;
}

bool gtid_pos_contains(const struct gtid_pos *a, const struct gtid_pos *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        unsigned j = find(a, b->d[i].domain);
        uint64_t have = has_domain_at(a, j, b->d[i].domain) ? a->d[j].seq : 0;
        if (have < b->d[i].seq) return false;
    }
    return true;
}

bool gtid_pos_has_own(const struct gtid_pos *pos, const struct gtid_pos *within, uint32_t id)
{
    for (unsigned i = 0; i < pos->n; i++) {
        struct gtid_pos last = {.n = 1, .d = {pos->d[i]}};
        if (pos->d[i].server == id && !gtid_pos_contains(within, &last)) return true;
    }
    return false;
}

bool gtid_pos_equal(const struct gtid_pos *a, const struct gtid_pos *b)
{
    if (a->n != b->n) return false;
    for (unsigned i = 0; i < a->n; i++) {
        const struct gtid_domain *x = &a->d[i];
        const struct gtid_domain *y = &b->d[i];
        if (x->domain != y->domain || x->server != y->server || x->seq != y->seq) return false;
    }
    return true;
}

int gtid_pos_union(struct gtid_pos *a, const struct gtid_pos *b)
{
    struct gtid_pos sum = *a;
    for (unsigned i = 0; i < b->n; i++) {
        unsigned j = find(&sum, b->d[i].domain);
        if (!has_domain_at(&sum, j, b->d[i].domain)) {
            int rv = insert(&sum, j, b->d[i]);
            if (rv != 0) return rv;
        } else if (sum.d[j].seq < b->d[i].seq) {
            sum.d[j] = b->d[i];
        }
    }
    *a = sum;
    return 0;
}
