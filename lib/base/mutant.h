/* Mutants: places in the production code where a rule can be broken on purpose, so that the simulator proves that it
 * would notice (`make sim-mutants`).
 *
 * MUTANT(name) stands at the line that upholds the rule. It is 0 in every build but the one with MUTANTS=1 (`make
 * MUTANTS=1`), whose objects are never shipped; there it is true when regent-sim was started with --mutant NAME. */
#ifndef REGENT_MUTANT_H
#define REGENT_MUTANT_H

/* Name, the property that must catch it (DESIGN §2), what is broken. */
#define MUTANTS(X)                                                                                                     \
    X(open_unapplied, "S2", "APPLY and PROMOTE do not wait for what was received")

enum mutant {
    MUTANT_none,
#define X(name, property, text) MUTANT_##name,
    MUTANTS(X)
#undef X
    MUTANTS_N
};

#ifdef REGENT_MUTANTS
extern unsigned regent_mutant; /* lib/base/mutant.c */
#define MUTANT(name) (regent_mutant == MUTANT_##name)
#else
#define MUTANT(name) 0
#endif

#endif
