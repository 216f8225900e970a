/* Runs many seeds, in processes of their own, and tells what came of them. */
#ifndef REGENT_SIM_RUN_H
#define REGENT_SIM_RUN_H

#include "sim/world.h"

enum { RUN_OK = 0, RUN_SAFETY = 1, RUN_USAGE = 2, RUN_LIVENESS = 3, RUN_CRASH = WORLD_CRASH, RUN_JOBS_MAX = 64 };

struct run_options {
    uint64_t from, seeds;  /* seeds 0: until the time is up. */
    unsigned jobs;
    double hours;          /* 0: no limit. */
    bool is_traced, is_minimised, is_quiet;
    bool tells_marks; /* How many seeds reached each mark. */
    bool is_first; /* No seed begins after one has failed. */
    struct world_options world;
};

/* Runs them and prints: a line a failing seed, its trace, the sums. Returns the exit code: the worst that came. */
int run_seeds(const struct run_options *options);

#endif
