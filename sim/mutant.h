/* Chooses the mutant of lib/base/mutant.h that is broken in this process. */
#ifndef REGENT_SIM_MUTANT_H
#define REGENT_SIM_MUTANT_H

#include <stdbool.h>
#include <stdio.h>

/* Breaks that rule from now on. False: no such mutant, or a build without mutants. */
bool mutant_choose(const char *name);
/* Its name; NULL: none is broken. */
const char *mutant_chosen(void);
/* One line a mutant: its name, the property that must catch it, what is broken. */
void mutant_list(FILE *out);

#endif
