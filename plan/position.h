/* Positions as text, whatever the flavour: the algebra of mysql/gtid.h behind one door. PURE. Private to plan/. */
#ifndef REGENT_PLAN_POSITION_H
#define REGENT_PLAN_POSITION_H

#include "fsm/state.h"

/* True when 'text' can be read as a position of that flavour (empty: the empty position). */
bool position_is_valid(enum fsm_flavour flavour, const char *text);

/* True when 'a' contains all of 'b'. False when one of them cannot be read. */
bool position_contains(enum fsm_flavour flavour, const char *a, const char *b);

/* Server ids of those who may have written. */
struct position_authors {
    unsigned n;
    uint32_t id[FSM_SERVERS_MAX];
};

/* True when 'a' ends with a transaction of none of the 'authors', behind 'since' and in a domain in which the last of
 * 'since' is theirs. Always false for flavours whose positions are sets: there such a one hides no other. */
bool position_is_foreign(enum fsm_flavour flavour, const char *a, const char *since,
                         const struct position_authors *authors);

/* True when 'a' ends, in some domain, with a transaction of server 'id' that 'b' does not contain: it was written
 * there. */
bool position_is_own(enum fsm_flavour flavour, const char *a, const char *b, uint32_t id);

/* into := into union 'add', in canonical text. Returns false, with 'into' unchanged, when one cannot be read or the
 * union does not fit. */
bool position_add(enum fsm_flavour flavour, char into[FSM_GTID_SIZE], const char *add);

#endif
