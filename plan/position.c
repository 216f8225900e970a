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
