/* Fuzz: what a server answers to the probe.
 *
 * Input: one byte for status and flags, then sets of rows as text: fields end with TAB, rows with LF, sets with an
 * empty row; the first row of a set has the names, a field "\N" is NULL. */
#include <stdio.h>

#include "mysql/probe.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/probe_answer.h"

enum { INPUT_MAX = 16 << 10, FIELDS_MAX = 1024 };

struct table {
    char text[INPUT_MAX + 1];
    const char *fields[FIELDS_MAX];
    unsigned fields_n;
    unsigned row_ends[FIELDS_MAX]; /* Number of fields before the end of each row. */
    unsigned rows_n;
};

/* Cuts the text into fields, and fields into rows. */
static void cut_fields(struct table *t)
{
    char *field = t->text;

    t->fields_n = t->rows_n = 0;
    for (char *c = t->text; *c != '\0' && t->fields_n < FIELDS_MAX && t->rows_n < FIELDS_MAX; c++) {
        if (*c != '\t' && *c != '\n') continue;
        if (*c == '\t') t->fields[t->fields_n++] = strncmp(field, "\\N\t", 3) == 0 ? NULL : field;
        if (*c == '\n') t->row_ends[t->rows_n++] = t->fields_n;
        *c = '\0';
        field = c + 1;
    }
}

/* A name is never NULL. */
static unsigned count_names(const char *const *names, unsigned n)
{
    unsigned i = 0;

    while (i < n && names[i] != NULL) i++;
    return i;
}

/* Makes sets of the rows. A row that has not as many fields as its set has names ends the set. */
static void make_sets(const struct table *t, struct db_result *result)
{
    unsigned at = 0;
    struct db_set *set = NULL;

    for (unsigned r = 0; r < t->rows_n; r++) {
        unsigned n = t->row_ends[r] - at;

        if (set != NULL && n == set->columns_n && set->rows_n < DB_ROWS_MAX) {
            if (set->rows_n++ == 0) set->cells = t->fields + at;
        } else if (n == 0) {
            set = NULL;
        } else if (result->sets_n < DB_SETS_MAX && n <= DB_COLUMNS_MAX) {
            set = &result->sets[result->sets_n++];
            *set = (struct db_set){.columns_n = (uint16_t)count_names(t->fields + at, n), .names = t->fields + at};
        }
        at = t->row_ends[r];
    }
}

static void check_facts(const struct view_facts *f)
{
    MUST(FUZZ_IS_TEXT(f->version) && FUZZ_IS_TEXT(f->identity));
    MUST(FUZZ_IS_TEXT(f->executed) && FUZZ_IS_TEXT(f->binlog));
    for (unsigned i = 0; i < VIEW_CHANNELS_MAX; i++) {
        const struct view_channel *c = &f->channels[i];

        MUST(FUZZ_IS_TEXT(c->name) && FUZZ_IS_TEXT(c->source_host));
        MUST(FUZZ_IS_TEXT(c->error) && FUZZ_IS_TEXT(c->received) && c->lag_ms >= -1);
    }
}

static bool run(const uint8_t *data, size_t size)
{
    static struct table t;
    static struct view_facts facts;
    struct db_result result = {0};
    char error[VIEW_ERROR_SIZE];
    struct text text = TEXT_ON(error);
    enum view_outcome outcome;
    uint8_t flags = fuzz_take(&data, &size);

    if (size > INPUT_MAX) return false;
    memcpy(t.text, data, size);
    t.text[size] = '\0';
    cut_fields(&t);
    make_sets(&t, &result);
    result.status = (enum db_status)((flags & 7) % (DB_CANCELED + 1));
    result.cut = (flags & 8) != 0;
    result.code = (flags & 16) != 0 ? 1193 : 0;
    (void)TEXT_COPY(result.error, "Unknown system variable");
    memset(&facts, 0xa5, sizeof(facts));
    outcome = probe_read((flags & 32) != 0 ? FLAVOUR_MYSQL : FLAVOUR_MARIADB, &result, &facts, &text);
    MUST(outcome < VIEW_OUTCOMES_N && FUZZ_IS_TEXT(error));
    check_facts(&facts);
    MUST(facts.set == (outcome == VIEW_OK));
    MUST(outcome != VIEW_OK || (result.status == DB_OK && !result.cut && facts.supported));
    return outcome == VIEW_OK;
}

static void seed_answer(struct answer_server server)
{
    static char bytes[INPUT_MAX];
    struct text t;
    struct db_result result;

    bytes[0] = 1; /* Ended by NUL: replaced below by status OK. */
    t = text_on(bytes + 1, sizeof(bytes) - 1);
    answer_make(&server, &result);
    for (unsigned s = 0; s < result.sets_n; s++) {
        const struct db_set *set = &result.sets[s];

        for (unsigned c = 0; c < set->columns_n; c++) text_addf(&t, "%s\t", set->names[c]);
        for (unsigned i = 0; i < set->rows_n * set->columns_n; i++) {
            if (i % set->columns_n == 0) text_add(&t, "\n");
            text_addf(&t, "%s\t", set->cells[i] == NULL ? "\\N" : set->cells[i]);
        }
        text_add(&t, "\n\n");
    }
    MUST(!t.cut);
    bytes[0] = 0;
    fuzz_put(bytes, t.len + 1);
}

static void seed(void)
{
    struct answer_server s = answer_replica();

    seed_answer(s);
    s.channels_n = 2;
    s.channels[1] = s.channels[0];
    s.channels[1].name = "old";
    s.channels[1].lag_s = NULL;
    s.channels[1].io = "Connecting";
    seed_answer(s);
    s.channels_n = 0;
    s.read_only = "0";
    s.source_on = "ON";
    seed_answer(s);
}

FUZZ_TARGET(probe, run, seed)
