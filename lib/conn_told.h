/* What the log has said of whom: a peer that is refused for the same reason at each of its attempts (an old member that
 * knocks for days) is told once, then every CONN_TOLD_AGAIN_MS with the number of times, and at once when the reason
 * is another one or when it was let in meanwhile.
 *
 * Pure: no clock, no memory of its own. At most CONN_TOLD_MAX pairs are known; the one told longest ago is forgotten
 * for a new one. */
#ifndef REGENT_CONN_TOLD_H
#define REGENT_CONN_TOLD_H

#include <stdbool.h>
#include <stdint.h>

enum { CONN_TOLD_MAX = 64, CONN_TOLD_AGAIN_MS = 600 * 1000 };

/* All zeros: nothing was told. Times are those of one clock that never goes back. */
struct conn_told {
    struct conn_told_entry {
        uint64_t who, what; /* Digests. Both 0: this entry is free. */
        uint64_t at_ms;     /* When it was told. */
        uint32_t since_n;   /* How often it happened since. */
    } entries[CONN_TOLD_MAX];
};

/* 'what' has happened with 'who' (digests that are not both 0). True: tell it; '*again_n' is how often it has happened
 * since it was told last. */
bool conn_told_is_due(struct conn_told *told, uint64_t who, uint64_t what, uint64_t now_ms, uint32_t *again_n);

/* All is well with 'who': what happens next is news. */
void conn_told_forget(struct conn_told *told, uint64_t who);

#endif
