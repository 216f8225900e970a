/* Chooses a mutant. See mutant.h. */
#include "sim/mutant.h"

#include "lib/base/mutant.h"
#include "lib/base/text.h"

static const struct {
    const char *name, *property, *text;
} mutants[MUTANTS_N] = {
    {"none", "-", "nothing is broken"},
#define X(name, property, text) {#name, property, text},
    MUTANTS(X)
#undef X
};

static unsigned chosen;

bool mutant_choose(const char *name)
{
    for (unsigned i = 1; i < MUTANTS_N; i++) {
        if (!text_equal(mutants[i].name, name)) continue;
        chosen = i;
#ifdef REGENT_MUTANTS
        regent_mutant = i;
        return true;
#endif
    }
    return false;
}

const char *mutant_chosen(void)
{
    return chosen ? mutants[chosen].name : NULL;
}

void mutant_list(FILE *out)
{
    for (unsigned i = 1; i < MUTANTS_N; i++)
        fprintf(out, "%s\t%s\t%s\n", mutants[i].name, mutants[i].property, mutants[i].text);
}
