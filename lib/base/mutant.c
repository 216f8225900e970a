/* Which rule is broken. See mutant.h. Empty but in a build with MUTANTS=1. */
#include "lib/base/mutant.h"

#ifdef REGENT_MUTANTS
unsigned regent_mutant;
#else
typedef int regent_no_mutants; /* ISO C wants something here. */
#endif
