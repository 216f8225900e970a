/* Bound checks that `make fuzz-selftest` can switch off, to prove that the fuzzer finds a missing one.
 *
 * In every build but the fuzzer's (REGENT_BOUND_SWITCH) BOUND() is its condition and nothing else. */
#ifndef REGENT_BOUND_H
#define REGENT_BOUND_H

#ifdef REGENT_BOUND_SWITCH
#include <stdbool.h>

/* True for the bound that REGENT_BOUND_OFF in the environment names. Defined in tests/fuzz/bound.c. */
bool bound_is_off(const char *name);
#define BOUND(name, exceeded) (!bound_is_off(#name) && (exceeded))
#else
#define BOUND(name, exceeded) (exceeded)
#endif

#endif
