/* Marks: rare branches that the simulator must reach, or nobody knows whether they work (`make sim-marks`).
 *
 * MARK(name) stands in the branch, as a statement. It is nothing in every build but the one with MUTANTS=1
 * (lib/base/mutant.h), whose objects are never shipped; there it counts in the section regent_marks, which
 * sim/marks.c reads. So the list of marks is the program itself. A mark that no seed can reach is excused, with the
 * reason, in sim/marks.txt. Names are unique. */
#ifndef REGENT_MARK_H
#define REGENT_MARK_H

struct mark {
    const char *name;
    unsigned long reached_n;
} __attribute__((aligned(16)));

#ifdef REGENT_MUTANTS
#define MARK(id)                                                                                                       \
    do {                                                                                                               \
        static struct mark mark_##id __attribute__((section("regent_marks"), used)) = {#id, 0};                        \
        mark_##id.reached_n++;                                                                                         \
    } while (0)
#else
/* Named, so that two branches that only count are not the same to who reads the code, clang-tidy among them. */
#define MARK(id)                                                                                                       \
    do {                                                                                                               \
        (void)#id;                                                                                                     \
    } while (0)
#endif

#endif
