/* Lookup in results by column name. PURE. */
#include "mysql/result.h"

#include <strings.h>

#include "lib/base/text.h"

const char *db_cell(const struct db_result *result, unsigned s, unsigned r, const char *name)
{
    if (s >= result->sets_n) return NULL;
    const struct db_set *set = &result->sets[s];
    if (r >= set->rows_n) return NULL;
    for (size_t c = 0; c < set->columns_n; c++) {
        if (strcasecmp(set->names[c], name) == 0) return set->cells[(size_t)r * set->columns_n + c];
    }
    return NULL;
}

uint64_t db_cell_u64(const struct db_result *result, unsigned s, unsigned r, const char *name, uint64_t missing)
{
    const char *cell = db_cell(result, s, r, name);
    uint64_t value = 0;
    return cell != NULL && text_to_u64(cell, &value) ? value : missing;
}
