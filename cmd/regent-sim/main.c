/* regent-sim: runs the simulator (sim/) over seeds. See sim/README.md.
 *
 * The first line tells seed and build, the last "sim: N seeds, N simulated seconds, N failovers, N faults, N
 * violations". A seed that fails runs again with its trace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "sim/mutant.h"
#include "sim/run.h"
#include "sim_build.h"

static const char usage[] =
    "regent-sim [--seed N] [--seeds N] [--from N] [--jobs N] [--trace] [--minimise] [--mutant NAME] [--hours H]\n"
    "\n"
    "  --seed N       this one seed\n"
    "  --seeds N      so many seeds (default 1) from --from N (default 1)\n"
    "  --jobs N       processes (default: one a core)\n"
    "  --trace        one line an event, a column a node\n"
    "  --minimise     leave out the faults that a failing seed does not need\n"
    "  --only LIST    of the faults only these, by number (what --minimise prints)\n"
    "  --mutant NAME  with this rule broken (a build with MUTANTS=1); --mutants lists them\n"
    "  --hours H      seeds until the time is up\n"
    "  --clusters N   at most N clusters (default 4); 0: managers alone\n"
    "  --no-plots     no faults at moments chosen against a rule (--plots: with them, as ever)\n"
    "  --quiet        no traces of failing seeds\n"
    "  --no-live      safety only: not L1, L2 and L3 after the healing (--live: with them, as ever)\n"
    "  --marks        how many seeds reached each mark (a build with MUTANTS=1)\n"
    "  --first        end at the first seed that fails\n"
    "\n"
    "exit: 0 ok, 1 safety, 2 usage, 3 liveness, 4 crash\n";

static int fail_usage(const char *what, const char *value)
{
    fprintf(stderr, "regent-sim: %s %s\n%s", what, value, usage);
    return RUN_USAGE;
}

/* "3,17,20": all other faults are left out. */
static bool read_only_list(struct run_options *o, const char *list)
{
    for (unsigned i = 0; i < NEMESIS_FAULTS_MAX; i++) o->world.leave_out[i] = true;
    while (*list) {
        char *end = NULL;
        unsigned long number = strtoul(list, &end, 10);
        if (end == list || number >= NEMESIS_FAULTS_MAX || (*end != ',' && *end != '\0')) return false;
        o->world.leave_out[number] = false;
        list = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool set_number(struct run_options *o, const char *name, const char *value)
{
    uint64_t n = 0;
    if (text_equal(name, "--hours")) {
        o->hours = strtod(value, NULL);
        return o->hours > 0;
    }
    if (!text_to_u64(value, &n)) return false;
    if (text_equal(name, "--seed")) {
        o->from = n;
        o->seeds = 1;
    }
    if (text_equal(name, "--seeds")) o->seeds = n;
    if (text_equal(name, "--from")) o->from = n;
    if (text_equal(name, "--jobs")) o->jobs = n > RUN_JOBS_MAX ? RUN_JOBS_MAX : (unsigned)n;
    if (text_equal(name, "--pretend")) { /* Not for users: tests of the exit codes. */
        o->world.pretended = (int)n;
        return n == WORLD_SAFETY || n == WORLD_LIVENESS || n == WORLD_CRASH;
    }
    if (text_equal(name, "--clusters")) o->world.sites_max = n > CLUSTERS_MAX ? CLUSTERS_MAX : (unsigned)n;
    return o->jobs > 0;
}

static bool is_number_option(const char *name)
{
    static const char *const names[] = {"--seed", "--seeds", "--from", "--jobs", "--hours", "--clusters",
                                        "--pretend"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (text_equal(name, names[i])) return true;
    return false;
}

/* Returns 0, or RUN_USAGE; '*at' is moved over the option's value. */
static int take_option(struct run_options *o, char **argv, int *at)
{
    const char *name = argv[*at], *value = argv[*at + 1];
    if (text_equal(name, "--trace")) o->is_traced = true;
    else if (text_equal(name, "--minimise")) o->is_minimised = true;
    else if (text_equal(name, "--quiet")) o->is_quiet = true;
    else if (text_equal(name, "--live")) o->world.checks_live = true;
    else if (text_equal(name, "--no-live")) o->world.checks_live = false;
    else if (text_equal(name, "--marks")) o->tells_marks = true;
    else if (text_equal(name, "--first")) o->is_first = true;
    else if (text_equal(name, "--plots")) o->world.has_plots = true;
    else if (text_equal(name, "--no-plots")) o->world.has_plots = false;
    else if (!value) return fail_usage("unknown option, or its value is missing:", name);
    else if (is_number_option(name) && !set_number(o, name, value)) return fail_usage("not a number for", name);
    else if (text_equal(name, "--only") && !read_only_list(o, value)) return fail_usage("not a list of faults:", value);
    else if (text_equal(name, "--mutant") && !mutant_choose(value)) return fail_usage("no such mutant here:", value);
    else if (!is_number_option(name) && !text_equal(name, "--only") && !text_equal(name, "--mutant"))
        return fail_usage("unknown option", name);
    else ++*at;
    return 0;
}

int main(int argc, char **argv)
{
    struct run_options o = {.from = 1, .seeds = 1};
    o.world = (struct world_options){.sites_max = CLUSTERS_MAX, .has_plots = true, .checks_live = true};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o.jobs = cores > 0 && cores <= RUN_JOBS_MAX ? (unsigned)cores : 1;
    for (int i = 1; i < argc; i++) {
        if (text_equal(argv[i], "--help")) {
            fputs(usage, stdout);
            return 0;
        }
        if (text_equal(argv[i], "--mutants")) {
            mutant_list(stdout);
            return 0;
        }
        int code = take_option(&o, argv, &i);
        if (code != 0) return code;
    }
    if (o.is_traced) o.jobs = 1;
    printf("regent-sim %s: seed %llu", REGENT_VERSION, (unsigned long long)o.from);
    if (o.seeds > 1) printf(" to %llu", (unsigned long long)(o.from + o.seeds - 1));
    printf(", build %s%s%s\n", REGENT_BUILD, mutant_chosen() ? ", mutant " : "",
           mutant_chosen() ? mutant_chosen() : "");
    return run_seeds(&o);
}
