/* Positions as text, whatever the flavour. PURE. */
#include "plan/position.h"

#include "lib/base/text.h"
#include "mysql/gtid.h"

/* MySQL and NDB have sets of intervals; MariaDB has one sequence a domain. */
static bool has_sets(enum fsm_flavour flavour)
{
    return flavour != FLAVOUR_MARIADB;
}

bool position_is_valid(enum fsm_flavour flavour, const char *text)
{
    struct gtid_set set;
    struct gtid_pos pos;
    return has_sets(flavour) ? gtid_set_parse(&set, text) == 0 : gtid_pos_parse(&pos, text) == 0;
}

bool position_contains(enum fsm_flavour flavour, const char *a, const char *b)
{
    if (has_sets(flavour)) {
        struct gtid_set sa, sb;
        return gtid_set_parse(&sa, a) == 0 && gtid_set_parse(&sb, b) == 0 && gtid_set_contains(&sa, &sb);
    }
    struct gtid_pos pa, pb;
    return gtid_pos_parse(&pa, a) == 0 && gtid_pos_parse(&pb, b) == 0 && gtid_pos_contains(&pa, &pb);
}

static bool is_author(const struct position_authors *authors, uint32_t server_id)
{
    for (unsigned i = 0; i < authors->n; i++) {
        if (authors->id[i] == server_id) return true;
    }
    return false;
}

static bool is_foreign_behind(const struct gtid_domain *last, const struct gtid_pos *since,
                              const struct position_authors *authors)
{
    for (uint16_t i = 0; i < since->n; i++) {
        const struct gtid_domain *d = &since->d[i];
        if (d->domain != last->domain || !is_author(authors, d->server)) continue;
        return last->seq > d->seq && !is_author(authors, last->server);
    }
    return false;
}

bool position_is_foreign(enum fsm_flavour flavour, const char *a, const char *since,
                         const struct position_authors *authors)
{
    struct gtid_pos pa, pb;
    if (has_sets(flavour) || gtid_pos_parse(&pa, a) != 0 || gtid_pos_parse(&pb, since) != 0) return false;
    for (uint16_t i = 0; i < pa.n; i++) {
        if (is_foreign_behind(&pa.d[i], &pb, authors)) return true;
    }
    return false;
}

bool position_is_own(enum fsm_flavour flavour, const char *a, const char *b, uint32_t id)
{
    struct gtid_pos pa, pb;
    if (has_sets(flavour) || gtid_pos_parse(&pa, a) != 0 || gtid_pos_parse(&pb, b) != 0) return false;
    return gtid_pos_has_own(&pa, &pb, id);
}

static bool add_set(char out[FSM_GTID_SIZE], const char *a, const char *b)
{
    struct gtid_set sa, sb;
    return gtid_set_parse(&sa, a) == 0 && gtid_set_parse(&sb, b) == 0 && gtid_set_union(&sa, &sb) == 0 &&
           gtid_set_print(&sa, out, FSM_GTID_SIZE);
}

static bool add_pos(char out[FSM_GTID_SIZE], const char *a, const char *b)
{
    struct gtid_pos pa, pb;
    return gtid_pos_parse(&pa, a) == 0 && gtid_pos_parse(&pb, b) == 0 && gtid_pos_union(&pa, &pb) == 0 &&
           gtid_pos_print(&pa, out, FSM_GTID_SIZE);
}

bool position_add(enum fsm_flavour flavour, char into[FSM_GTID_SIZE], const char *add)
{
    char out[FSM_GTID_SIZE];
    bool is_done = has_sets(flavour) ? add_set(out, into, add) : add_pos(out, into, add);
    if (is_done) (void)text_copy(into, FSM_GTID_SIZE, out);
    return is_done;
}
