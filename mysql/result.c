/* Lookup in results by column name. PURE. */
#include "mysql/result.h"

#include <string.h>
#include <strings.h>

#include "lib/base/text.h"

bool db_is_name(const char *a, const char *b)
{
    /* Most names differ in their first letter, whatever its case, or in length; most that are equal are so in case. */
    if (((*a ^ *b) & ~0x20) != 0) return false;
    return strcmp(a, b) == 0 || (strlen(a) == strlen(b) && strcasecmp(a, b) == 0);
}

const char *db_read(struct db_reader *reader, unsigned r, const char *name)
{
    const struct db_set *set = reader->set;
    if (set == NULL || r >= set->rows_n) return NULL;
    for (size_t i = 0, c = reader->next; i < set->columns_n; i++, c++) {
        if (c >= set->columns_n) c = 0;
        if (!db_is_name(set->names[c], name)) continue;
        reader->next = c + 1;
        return set->cells[(size_t)r * set->columns_n + c];
    }
    return NULL;
}

static uint64_t to_u64(const char *cell, uint64_t missing)
{
    uint64_t value = 0;
    return cell != NULL && text_to_u64(cell, &value) ? value : missing;
}

uint64_t db_read_u64(struct db_reader *reader, unsigned r, const char *name, uint64_t missing)
{
    return to_u64(db_read(reader, r, name), missing);
}

struct db_reader db_reader_of(const struct db_result *result, const char *name)
{
    for (unsigned s = 0; s < result->sets_n; s++) {
        const struct db_set *set = &result->sets[s];
        for (size_t c = 0; c < set->columns_n; c++)
            if (db_is_name(set->names[c], name)) return (struct db_reader){set, c};
    }
    return (struct db_reader){NULL, 0};
}

const char *db_cell(const struct db_result *result, unsigned s, unsigned r, const char *name)
{
    if (s >= result->sets_n) return NULL;
    struct db_reader reader = {&result->sets[s], 0};
    return db_read(&reader, r, name);
}

uint64_t db_cell_u64(const struct db_result *result, unsigned s, unsigned r, const char *name, uint64_t missing)
{
    return to_u64(db_cell(result, s, r, name), missing);
}
