/* See conn_told.h. */
#include "lib/conn_told.h"

#include <stddef.h>
#include <string.h>

static bool is_free(const struct conn_told_entry *t)
{
    return t->who == 0 && t->what == 0;
}

/* A free entry, or else the one that was told longest ago. */
static struct conn_told_entry *place_for_one(struct conn_told *told)
{
    struct conn_told_entry *best = &told->entries[0];
    for (unsigned i = 1; i < CONN_TOLD_MAX && !is_free(best); i++) {
        struct conn_told_entry *t = &told->entries[i];
        if (is_free(t) || t->at_ms < best->at_ms) best = t;
    }
    return best;
}

bool conn_told_is_due(struct conn_told *told, uint64_t who, uint64_t what, uint64_t now_ms, uint32_t *again_n)
{
    struct conn_told_entry *t = NULL;
    *again_n = 0;
    for (unsigned i = 0; i < CONN_TOLD_MAX && t == NULL; i++)
        if (told->entries[i].who == who && told->entries[i].what == what) t = &told->entries[i];
    if (t != NULL && now_ms - t->at_ms < CONN_TOLD_AGAIN_MS) {
        t->since_n++;
        return false;
    }
    if (t != NULL) *again_n = t->since_n;
    else t = place_for_one(told);
    *t = (struct conn_told_entry){.who = who, .what = what, .at_ms = now_ms};
    return true;
}

void conn_told_forget(struct conn_told *told, uint64_t who)
{
    for (unsigned i = 0; i < CONN_TOLD_MAX; i++)
        if (told->entries[i].who == who) memset(&told->entries[i], 0, sizeof told->entries[i]);
}
