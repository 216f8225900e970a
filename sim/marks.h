/* The marks of the production code (lib/base/mark.h) that this process has reached. */
#ifndef REGENT_SIM_MARKS_H
#define REGENT_SIM_MARKS_H

#include <stdint.h>

enum { MARKS_MAX = 512 };

/* How many there are in this program (0 in a build without MUTANTS=1); their numbers are the same in every process of
 * it. Ends the process when two have one name, or there are more than MARKS_MAX. */
unsigned marks_n(void);
/* Sets bit i % 8 of out[i / 8] for each mark i that was reached. */
void marks_read(uint8_t out[MARKS_MAX / 8]);
/* Prints a line "mark NAME SEEDS" for each, by name, then "marks: N of N reached". 'seeds': how many reached each. */
void marks_print(const uint64_t seeds[MARKS_MAX]);

#endif
