/* `regent log check DIR...`: do the logs of stopped managers agree, and do the states that follow from them?
 *
 * Entries: each index that two directories both have must hold the same term, kind and bytes. The end of a log may
 * differ when it was never committed (the leader of its term was deposed): the log that a new leader would have wins,
 * and the rest of the other, from the first other term on, counts only if that node had applied it (it is behind its
 * snapshot). States: from every snapshot, and from the first entry, up to the highest index that all have; their
 * snapshots must be equal byte by byte. Without a word in common nothing is claimed.
 *
 * Last line: "logs agree: N entries, digest X" (exit 0), or "differ at index N" (exit 1) after what differs. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/commands.h"
#include "cmd/regent/log.h"
#include "manager/replay.h"
#include "proto/convert.h"

struct check {
    struct log_dir dirs[LOG_DIRS_MAX];
    unsigned n;
    uint64_t agreed[LOG_DIRS_MAX]; /* Last index of each log that counts. */
    uint64_t differs_at;           /* 0: nowhere yet. */
    char what[1024];
    /* The first state that was made at the common index, and who made it. */
    struct fsm_state *state;
    void *bytes;
    size_t size;
    char from[300];
};

static const char *path_of(const struct check *c, unsigned i)
{
    return c->dirs[i].path;
}

/* Notes the lowest index at which something differs. */
static void differ(struct check *c, uint64_t index, const char *format, ...) REGENT_PRINTF(3, 4);
static void differ(struct check *c, uint64_t index, const char *format, ...)
{
    va_list ap;
    if (c->differs_at != 0 && c->differs_at <= index) return;
    c->differs_at = index;
    va_start(ap, format);
    (void)vsnprintf(c->what, sizeof c->what, format, ap);
    va_end(ap);
}

/* --- entries ---------------------------------------------------------------------------------------------------- */

static const char *kind_name(enum log_entry_kind kind)
{
    return kind == LOG_ENTRY_COMMAND ? "a command" : kind == LOG_ENTRY_BARRIER ? "a barrier" : "a configuration";
}

static bool same_entry(const struct log_entry *a, const struct log_entry *b)
{
    return a->term == b->term && a->kind == b->kind && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* True when the log of 'a' would win an election against that of 'b'. */
static bool is_newer(const struct log_image *a, const struct log_image *b)
{
    uint64_t x = log_term_at(a, log_last_index(a)), y = log_term_at(b, log_last_index(b));
    return x != y ? x > y : log_last_index(a) >= log_last_index(b);
}

/* The log of 'loser' has entries of another term from 'index' on. */
static void other_term(struct check *c, unsigned winner, unsigned loser, uint64_t index)
{
    const struct log_image *a = c->dirs[winner].image, *b = c->dirs[loser].image;
    const struct log_snapshot *applied = log_newest(b);
    if (applied != NULL && applied->index >= index) {
        differ(c, index, "entry %" PRIu64 " is of term %" PRIu64 " in %s and of term %" PRIu64 " in %s, which applied "
               "it", index, log_term_at(a, index), path_of(c, winner), log_term_at(b, index), path_of(c, loser));
        return;
    }
    if (c->agreed[loser] < index) return;
    printf("%s: entries %" PRIu64 " to %" PRIu64 " were never committed: %s has others of a later leader\n",
           path_of(c, loser), index, c->agreed[loser], path_of(c, winner));
    c->agreed[loser] = index - 1;
}

static void compare_logs(struct check *c, unsigned i, unsigned k)
{
    bool first = is_newer(c->dirs[i].image, c->dirs[k].image);
    unsigned winner = first ? i : k, loser = first ? k : i;
    const struct log_image *a = c->dirs[winner].image, *b = c->dirs[loser].image;
    for (size_t at = 0; at < b->entries_n; at++) {
        const struct log_entry *y = &b->entries[at], *x = log_entry_at(a, y->index);
        if (x == NULL || y->index > c->agreed[loser] || y->index > c->agreed[winner] || same_entry(x, y)) continue;
        if (x->term != y->term) {
            other_term(c, winner, loser, y->index);
        } else {
            differ(c, y->index, "entry %" PRIu64 " of term %" PRIu64 " is %s of %zu bytes in %s and %s of %zu bytes in "
                   "%s, with other content", y->index, y->term, kind_name(x->kind), x->size, path_of(c, winner),
                   kind_name(y->kind), y->size, path_of(c, loser));
        }
        return;
    }
}

/* Indexes that at least two logs hold (with one directory: that it holds). */
static uint64_t count_compared(const struct check *c)
{
    uint64_t from = UINT64_MAX, to = 0, compared = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->dirs[i].image->start_index < from) from = c->dirs[i].image->start_index;
        if (c->agreed[i] > to) to = c->agreed[i];
    }
    for (uint64_t index = from; index <= to; index++) {
        unsigned holders = 0;
        for (unsigned i = 0; i < c->n; i++) {
            holders += index <= c->agreed[i] && log_entry_at(c->dirs[i].image, index) != NULL;
        }
        compared += c->n == 1 ? holders == 1 : holders >= 2;
    }
    return compared;
}

/* --- states ----------------------------------------------------------------------------------------------------- */

/* The part in which two states differ. */
static const char *part_of(const struct fsm_state *a, const struct fsm_state *b)
{
    static char text[FSM_NAME_SIZE + 32];
    for (unsigned i = 0; i < FSM_CLUSTERS_MAX; i++) {
        if (memcmp(&a->clusters[i], &b->clusters[i], sizeof a->clusters[i]) == 0) continue;
        (void)snprintf(text, sizeof text, "cluster %s", a->clusters[i].used ? a->clusters[i].name
                                                                            : b->clusters[i].name);
        return text;
    }
    if (memcmp(a->plans, b->plans, sizeof a->plans) != 0) return "the list of plans";
    if (a->events_n != b->events_n || memcmp(a->events, b->events, sizeof a->events) != 0) return "the list of events";
    if (a->dedup_n != b->dedup_n || memcmp(a->dedup, b->dedup, sizeof a->dedup) != 0) return "the list of request ids";
    return "the state";
}

static void name_source(char *to, size_t size, const struct log_dir *d, unsigned source)
{
    if (source == REPLAY_EMPTY) (void)snprintf(to, size, "%.200s from its first entry", d->path);
    else (void)snprintf(to, size, "%.150s from %s", d->path, d->image->snapshots[source].name);
}

/* Compares with the state that was made first, or keeps this one as that. Takes 'state'. */
static void take_state(struct check *c, struct fsm_state *state, uint64_t index, const char *from)
{
    void *bytes = NULL;
    size_t size = 0;
    MUST(proto_snapshot_encode(state, &bytes, &size) == 0);
    if (c->state == NULL) {
        c->state = state;
        c->bytes = bytes;
        c->size = size;
        (void)snprintf(c->from, sizeof c->from, "%s", from);
        return;
    }
    if (size != c->size || memcmp(bytes, c->bytes, size) != 0) {
        differ(c, index, "%s differs at index %" PRIu64 " between %s and %s, although the entries are equal",
               part_of(c->state, state), index, c->from, from);
    }
    free(bytes);
    free(state);
}

/* Makes the state at 'index' from each place of one directory. Returns how many there were. */
static unsigned make_states(struct check *c, const struct log_dir *d, uint64_t index)
{
    unsigned made = 0;
    for (unsigned source = 0; source <= REPLAY_EMPTY; source++) {
        char from[300];
        struct err e = {0};
        if (!replay_can(d->image, source, index)) continue;
        struct fsm_state *state = malloc(sizeof *state);
        MUST(state != NULL);
        name_source(from, sizeof from, d, source);
        if (replay_to(d->image, source, index, state, &e) != 0) {
            differ(c, replay_index(d->image, source), "%s: %s", from, e.text);
            free(state);
            continue;
        }
        take_state(c, state, index, from);
        made++;
    }
    return made;
}

/* Highest index that all logs have. */
static uint64_t common_index(const struct check *c)
{
    uint64_t index = UINT64_MAX;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->agreed[i] < index) index = c->agreed[i];
    }
    return index;
}

static void compare_states(struct check *c)
{
    uint64_t index = common_index(c);
    for (unsigned i = 0; i < c->n && index > 0; i++) {
        const struct log_dir *d = &c->dirs[i];
        if (make_states(c, d, index) > 0 || c->differs_at != 0) continue;
        printf("%s: its state at index %" PRIu64 ", the last that all have, can not be made any more: its snapshots "
               "are later\n", d->path, index);
    }
    /* Each directory by itself at its own end too: its snapshots must follow from each other. */
    for (unsigned i = 0; i < c->n && c->differs_at == 0; i++) {
        if (c->agreed[i] == index) continue;
        struct check own = {.n = 1};
        (void)make_states(&own, &c->dirs[i], c->agreed[i]);
        if (own.differs_at != 0) differ(c, own.differs_at, "%s", own.what);
        free(own.state);
        free(own.bytes);
    }
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static void print_dir(const struct log_dir *d)
{
    const struct log_image *image = d->image;
    printf("%s: node %" PRIu64 ", term %" PRIu64 ", ", d->path, d->identity.id, image->term);
    if (image->entries_n > 0) {
        printf("entries %" PRIu64 " to %" PRIu64, image->start_index, image->start_index + image->entries_n - 1);
    } else {
        printf("no entries");
    }
    for (unsigned i = 0; i < image->snapshots_n; i++) {
        printf("%s%" PRIu64, i == 0 ? ", snapshots " : " and ", image->snapshots[i].index);
    }
    printf("\n");
}

static enum client_code conclude(struct check *c)
{
    char digest[LOG_DIGEST_TEXT_SIZE];
    uint64_t compared = count_compared(c);
    if (c->differs_at != 0) {
        printf("%s\ndiffer at index %" PRIu64 "\n", c->what, c->differs_at);
        return CLIENT_FAILED;
    }
    if (c->state == NULL) {
        printf("nothing to compare: no index has a state in %s\n", c->n == 1 ? "it" : "all of them");
        return CLIENT_FAILED;
    }
    MUST(log_state_digest(c->state, digest));
    printf("state at index %" PRIu64 ": %zu bytes\nlogs agree: %" PRIu64 " entries, digest %s\n", common_index(c),
           c->size, compared, digest);
    return CLIENT_OK;
}

static bool open_all(struct check *c, const struct cli *cli)
{
    bool good = true;
    for (unsigned i = 0; i < cli->args_n && good; i++) {
        struct log_dir *d = &c->dirs[i];
        if (!log_dir_open(d, cli->args[i])) return false;
        c->n++;
        c->agreed[i] = log_last_index(d->image);
        print_dir(d);
        if (d->image->problem[0] == '\0') continue;
        printf("%s is damaged: %s\n", d->path, d->image->problem);
        good = false;
    }
    return good;
}

enum client_code run_log_check(const struct cli *cli)
{
    struct check c = {0};
    enum client_code code = CLIENT_FAILED;
    if (open_all(&c, cli)) {
        for (unsigned i = 0; i < c.n; i++) {
            for (unsigned k = i + 1; k < c.n; k++) compare_logs(&c, i, k);
        }
        if (c.differs_at == 0) compare_states(&c);
        code = conclude(&c);
    }
    for (unsigned i = 0; i < c.n; i++) log_dir_close(&c.dirs[i]);
    free(c.state);
    free(c.bytes);
    return code;
}
