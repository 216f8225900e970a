/* Positions, and the binlog of a simulated server. See mysqld_private.h.
 *
 * The binlog is the history of the server's data, since log_slave_updates is on: an entry with F_ENGINE is visible, one
 * without is written and waits (for fsync or for an ack). Within a domain its numbers only rise (gtid_strict_mode). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_private.h"

enum { ENTRIES_FIRST = 64, ROWS_FIRST = 128, EVENT_BYTES = 205 };

/* --- positions -------------------------------------------------------------------------------------------------- */

void pos_set(struct pos *pos, uint32_t domain, uint32_t server, uint64_t seq)
{
    unsigned i = 0;
    while (i < pos->n && pos->d[i].domain < domain) i++;
    if (i == pos->n || pos->d[i].domain != domain) {
        MUST(pos->n < MYSQLD_DOMAINS_MAX);
        memmove(&pos->d[i + 1], &pos->d[i], (pos->n - i) * sizeof(pos->d[0]));
        pos->n++;
    }
    pos->d[i] = (struct gtid_domain){domain, server, seq};
}

const struct gtid_domain *pos_find(const struct pos *pos, uint32_t domain)
{
    for (unsigned i = 0; i < pos->n; i++)
        if (pos->d[i].domain == domain) return &pos->d[i];
    return NULL;
}

bool pos_contains(const struct pos *a, const struct pos *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct gtid_domain *d = pos_find(a, b->d[i].domain);
        if (!d || d->seq < b->d[i].seq) return false;
    }
    return true;
}

void pos_print(const struct pos *pos, char *to, size_t size)
{
    struct text t = text_on(to, size);
    for (unsigned i = 0; i < pos->n; i++) {
        if (i > 0) text_add(&t, ",");
        text_add_u64(&t, pos->d[i].domain, 0);
        text_add(&t, "-");
        text_add_u64(&t, pos->d[i].server, 0);
        text_add(&t, "-");
        text_add_u64(&t, pos->d[i].seq, 0);
    }
    MUST(!t.cut);
}

bool pos_parse(struct pos *pos, const char *text)
{
    struct gtid_pos parsed;
    *pos = (struct pos){0};
    if (gtid_pos_parse(&parsed, text) != 0 || parsed.n > MYSQLD_DOMAINS_MAX) return false;
    for (unsigned i = 0; i < parsed.n; i++) pos_set(pos, parsed.d[i].domain, parsed.d[i].server, parsed.d[i].seq);
    return true;
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

static size_t row_slot(const struct log *log, uint64_t id)
{
    size_t i = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & (log->rows_room - 1);
    while (log->row_at[i] != 0 && log->row_ids[i] != id) i = (i + 1) & (log->rows_room - 1);
    return i;
}

static void rows_grow(struct log *log)
{
    uint64_t *ids = log->row_ids;
    size_t *at = log->row_at, room = log->rows_room;
    log->rows_room = room ? room * 2 : ROWS_FIRST;
    log->row_ids = calloc(log->rows_room, sizeof(*ids));
    log->row_at = calloc(log->rows_room, sizeof(*at));
    MUST(log->row_ids && log->row_at);
    for (size_t i = 0; i < room; i++) {
        if (at[i] == 0) continue;
        size_t slot = row_slot(log, ids[i]);
        log->row_ids[slot] = ids[i];
        log->row_at[slot] = at[i];
    }
    free(ids);
    free(at);
}

static void row_add(struct log *log, uint64_t id, size_t index)
{
    if (log->rows_n * 2 >= log->rows_room) rows_grow(log);
    size_t slot = row_slot(log, id);
    if (log->row_at[slot] == 0) log->rows_n++;
    log->row_ids[slot] = id;
    log->row_at[slot] = index + 1;
}

size_t log_find_row(const struct log *log, uint64_t id)
{
    return log->rows_room ? log->row_at[row_slot(log, id)] - 1 : SIZE_MAX;
}

void log_add_unlogged(struct log *log, uint64_t id)
{
    log->unlogged = realloc(log->unlogged, (log->unlogged_n + 1) * sizeof(*log->unlogged));
    MUST(log->unlogged);
    log->unlogged[log->unlogged_n++] = id;
    row_add(log, id, LOG_UNLOGGED);
    log->visible_n++;
}

/* --- entries ---------------------------------------------------------------------------------------------------- */

void log_free(struct log *log)
{
    free(log->e);
    free(log->row_ids);
    free(log->row_at);
    free(log->unlogged);
    *log = (struct log){0};
}

static void note(struct log *log, size_t index)
{
    const struct mysqld_trx *t = &log->e[index].t;
    pos_set(&log->last, t->domain, t->server, t->seq);
    if (t->kind == MYSQLD_TRX_WRITE) row_add(log, t->id, index);
}

size_t log_append(struct log *log, const struct mysqld_trx *t, int64_t now_us)
{
    if (log->n == log->room) {
        log->room = log->room ? log->room * 2 : ENTRIES_FIRST;
        log->e = realloc(log->e, log->room * sizeof(*log->e));
        MUST(log->e);
    }
    log->e[log->n] = (struct entry){*t, now_us};
    note(log, log->n);
    log->file_pos += EVENT_BYTES;
    return log->n++;
}

void log_commit(struct log *log, size_t index)
{
    struct mysqld_trx *t = &log->e[index].t;
    if (t->flags & F_ENGINE) return;
    t->flags |= F_ENGINE;
    if (t->kind == MYSQLD_TRX_WRITE && !(t->flags & F_LOST)) log->visible_n++;
    if (t->flags & F_APPLIED) pos_set(&log->applied, t->domain, t->server, t->seq);
}

size_t log_find(const struct log *log, const struct gtid_domain *gtid)
{
    for (size_t i = log->n; i-- > 0;) { /* From the end: what is asked for is nearly always young. */
        const struct mysqld_trx *t = &log->e[i].t;
        if (t->domain != gtid->domain || t->seq > gtid->seq) continue;
        return t->seq == gtid->seq && t->server == gtid->server ? i : SIZE_MAX;
    }
    return SIZE_MAX;
}

void log_rebuild(struct log *log)
{
    free(log->row_ids);
    free(log->row_at);
    log->row_ids = NULL;
    log->row_at = NULL;
    log->rows_room = log->rows_n = 0;
    log->visible_n = 0;
    log->last = (struct pos){0};
    log->applied = log->base;
    for (size_t i = 0; i < log->n; i++) {
        struct mysqld_trx *t = &log->e[i].t;
        note(log, i);
        bool is_committed = t->flags & F_ENGINE;
        t->flags &= (uint8_t)~F_ENGINE;
        if (is_committed) log_commit(log, i);
    }
    for (size_t i = 0; i < log->unlogged_n; i++) row_add(log, log->unlogged[i], LOG_UNLOGGED);
    log->visible_n += log->unlogged_n;
}

void log_truncate(struct log *log, size_t n)
{
    MUST(n <= log->n && n >= log->purged_n);
    log->n = n;
    log_rebuild(log);
}

void log_file_name(const struct log *log, char *to, size_t size)
{
    struct text t = text_on(to, size);
    text_addf(&t, "binlog.%06u", log->file_n);
}
