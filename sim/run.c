/* Runs many seeds. See run.h.
 *
 * Happy path: each seed is lived through by a child process, --jobs of them at once, which writes one struct told into
 * its pipe. Failure modes: a child dies (a MUST, a sanitizer's finding, a fault of the model): its seed counts as
 * crashed. The order of the children's words does not matter: sums are sums, and failing seeds are told in order at the
 * end. */
#include "sim/run.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "sim/marks.h"

enum { FAILURES_MAX = 256, TRACED_MAX = 3 };

/* What a child tells of a seed. */
struct told {
    uint64_t seed;
    enum world_verdict verdict;
    struct world_stats stats;
    int64_t cpu_us; /* That the child took, user and system. */
    char broken[256];
    uint8_t marks[MARKS_MAX / 8]; /* Reached. */
};

struct job {
    pid_t pid;
    int fd;
    uint64_t seed; /* It is in this one. */
    struct told told;
    size_t have;
};

struct failure {
    uint64_t seed;
    int code;
    char broken[256];
};

struct run {
    const struct run_options *options;
    uint64_t next; /* Seed that nobody has yet. */
    time_t end_at; /* 0: no limit. */
    struct job jobs[RUN_JOBS_MAX];
    struct failure failures[FAILURES_MAX];
    unsigned failures_n;
    uint64_t done_n, violations_n, with_failover_n, with_change_n;
    struct world_stats sum;
    int64_t cpu_us;
    int64_t shortest_us;
    uint64_t fewest_faults;
    uint64_t marks[MARKS_MAX]; /* Seeds that reached it. */
    int code;
};

/* --- one seed ----------------------------------------------------------------------------------------------------- */

static int64_t own_cpu_us(void)
{
    struct rusage used;
    MUST(getrusage(RUSAGE_SELF, &used) == 0);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * (int64_t)SIM_S + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static void live(const struct run_options *o, uint64_t seed, struct told *told)
{
    struct world_options options = o->world;
    /* Replicated states are megabytes, most of them never touched, and made anew at each boot: their pages come zeroed
     * from the kernel, one by one. All the rest is kept. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 18);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    memset(told, 0, sizeof *told);
    options.seed = told->seed = seed;
    options.is_traced = o->is_traced;
    struct world *w = world_new(&options);
    world_run(w);
    told->verdict = w->verdict;
    told->stats = w->stats;
    (void)TEXT_COPY(told->broken, w->broken);
    world_free(w);
    told->cpu_us = own_cpu_us();
    marks_read(told->marks);
}

/* --- children ----------------------------------------------------------------------------------------------------- */

static void write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) _exit(RUN_CRASH);
        at += n;
        size -= (size_t)n;
    }
}

static bool start_job(struct run *r, struct job *job)
{
    const struct run_options *o = r->options;
    int fds[2];
    bool is_over = r->end_at != 0 ? time(NULL) >= r->end_at : r->next >= o->from + o->seeds;
    if (is_over || (o->is_first && r->failures_n > 0)) return false;
    job->seed = r->next++;
    job->have = 0;
    fflush(stdout);
    MUST(pipe(fds) == 0);
    job->pid = fork();
    MUST(job->pid >= 0);
    if (job->pid == 0) {
        struct told told;
        close(fds[0]);
        live(o, job->seed, &told);
        fflush(stdout);
        write_all(fds[1], &told, sizeof told);
        _exit(0);
    }
    close(fds[1]);
    job->fd = fds[0];
    return true;
}

static void note_failure(struct run *r, uint64_t seed, int code, const char *broken)
{
    r->violations_n++;
    if (r->code == RUN_OK || code == RUN_CRASH || (code == RUN_SAFETY && r->code == RUN_LIVENESS)) r->code = code;
    if (r->failures_n == FAILURES_MAX) return;
    struct failure *f = &r->failures[r->failures_n++];
    f->seed = seed;
    f->code = code;
    (void)TEXT_COPY(f->broken, broken);
}

static void note_told(struct run *r, const struct told *t)
{
    const struct world_stats *s = &t->stats;
    r->sum.simulated_us += s->simulated_us;
    r->sum.events += s->events;
    r->sum.failovers += s->failovers;
    r->sum.faults += s->faults;
    r->sum.writes += s->writes;
    r->sum.acks += s->acks;
    r->sum.probes += s->probes;
    r->sum.digest ^= s->digest; /* Of all seeds, in any order. */
    r->cpu_us += t->cpu_us;
    r->with_failover_n += s->failovers > 0;
    r->with_change_n += s->leader_changed_in_plan;
    if (r->shortest_us == 0 || s->simulated_us < r->shortest_us) r->shortest_us = s->simulated_us;
    if (r->done_n == 1 || s->faults < r->fewest_faults) r->fewest_faults = s->faults;
    for (unsigned i = 0; i < marks_n(); i++) r->marks[i] += t->marks[i / 8] >> (i % 8) & 1;
    if (t->verdict != WORLD_OK) note_failure(r, t->seed, (int)t->verdict, t->broken);
}

/* The child has ended. */
static void end_job(struct run *r, struct job *job)
{
    int status = 0;
    close(job->fd);
    while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR) {}
    r->done_n++;
    if (job->have == sizeof job->told) note_told(r, &job->told);
    else note_failure(r, job->seed, RUN_CRASH, "crashed: the process ended");
    job->pid = 0;
    (void)start_job(r, job);
}

static void read_job(struct run *r, struct job *job)
{
    ssize_t n = read(job->fd, (char *)&job->told + job->have, sizeof job->told - job->have);
    if (n < 0 && errno == EINTR) return;
    if (n > 0) job->have += (size_t)n;
    if (n <= 0 || job->have == sizeof job->told) end_job(r, job);
}

static bool wait_for_jobs(struct run *r)
{
    struct pollfd fds[RUN_JOBS_MAX];
    struct job *jobs[RUN_JOBS_MAX];
    nfds_t n = 0;
    for (unsigned i = 0; i < r->options->jobs; i++) {
        if (r->jobs[i].pid == 0) continue;
        fds[n] = (struct pollfd){.fd = r->jobs[i].fd, .events = POLLIN};
        jobs[n++] = &r->jobs[i];
    }
    if (n == 0) return false;
    if (poll(fds, n, -1) < 0) return true;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents != 0) read_job(r, jobs[i]);
    return true;
}

/* --- failing seeds ------------------------------------------------------------------------------------------------ */

/* Runs one seed in a child; its output goes where ours goes. Returns the verdict, or RUN_CRASH. */
static int try_seed(const struct run_options *o, uint64_t seed, struct told *told)
{
    struct run r = {.options = o, .next = seed};
    struct run_options one = *o;
    one.from = seed;
    one.seeds = 1;
    r.options = &one;
    MUST(start_job(&r, &r.jobs[0]));
    one.seeds = 0; /* No next one. */
    while (r.jobs[0].pid != 0) read_job(&r, &r.jobs[0]);
    if (r.code == RUN_CRASH) return RUN_CRASH;
    *told = r.jobs[0].told;
    return (int)told->verdict;
}

static bool fails_alike(const struct run_options *o, const struct failure *f)
{
    struct told told;
    memset(&told, 0, sizeof told);
    int code = try_seed(o, f->seed, &told);
    return code == f->code && (code == RUN_CRASH || strncmp(told.broken, f->broken, 3) == 0);
}

/* Leaves out faults 'at' .. 'at' + 'piece' - 1, when the seed breaks the same rule without them. True: they are out. */
static bool leave_out(struct run_options *o, const struct failure *f, unsigned at, unsigned piece)
{
    struct run_options tried = *o;
    bool is_change = false;
    for (unsigned i = at; i < at + piece && i < NEMESIS_FAULTS_MAX; i++) {
        is_change |= !tried.world.leave_out[i] && i < o->world.faults_n;
        tried.world.leave_out[i] = true;
    }
    bool is_out = is_change && fails_alike(&tried, f);
    if (is_out) *o = tried;
    return is_out;
}

/* In ever smaller pieces, at last one by one until each that is left is needed. */
static void minimise(struct run_options *o, const struct failure *f)
{
    unsigned left = 0;
    bool is_done = false;
    for (unsigned piece = NEMESIS_FAULTS_MAX / 2; !is_done; piece = piece > 1 ? piece / 2 : 1) {
        bool is_less = false;
        for (unsigned at = 0; at < NEMESIS_FAULTS_MAX; at += piece) is_less |= leave_out(o, f, at, piece);
        is_done = piece == 1 && !is_less;
    }
    printf("minimised: seed %llu with the faults", (unsigned long long)f->seed);
    for (unsigned i = 0; i < o->world.faults_n && i < NEMESIS_FAULTS_MAX; i++) {
        if (o->world.leave_out[i]) continue;
        printf("%s%u", left++ == 0 ? " " : ",", i);
    }
    printf("%s\n", left == 0 ? " none" : "");
}

static void show_failure(struct run *r, const struct failure *f)
{
    struct run_options o = *r->options;
    struct told told;
    memset(&told, 0, sizeof told);
    o.is_traced = false;
    if (o.is_minimised) {
        o.world.faults_n = NEMESIS_FAULTS_MAX;
        if (try_seed(&o, f->seed, &told) != RUN_CRASH) o.world.faults_n = (unsigned)told.stats.faults + 1;
        /* It had failed before these came; and what is left must fail without them. */
        for (unsigned i = o.world.faults_n; i < NEMESIS_FAULTS_MAX; i++) o.world.leave_out[i] = true;
        minimise(&o, f);
    }
    printf("--- trace of seed %llu: %s\n", (unsigned long long)f->seed, f->broken);
    o.is_traced = true;
    (void)try_seed(&o, f->seed, &told);
}

static int compare_failures(const void *a, const void *b)
{
    const struct failure *x = a, *y = b;
    return x->seed < y->seed ? -1 : x->seed > y->seed;
}

static void tell(struct run *r)
{
    const struct run_options *o = r->options;
    qsort(r->failures, r->failures_n, sizeof r->failures[0], compare_failures);
    for (unsigned i = 0; i < r->failures_n; i++)
        printf("FAILED seed %llu: %s\n", (unsigned long long)r->failures[i].seed, r->failures[i].broken);
    for (unsigned i = 0; i < r->failures_n && i < TRACED_MAX && !o->is_traced && !o->is_quiet; i++)
        show_failure(r, &r->failures[i]);
    uint64_t n = r->done_n ? r->done_n : 1, seconds = (uint64_t)(r->sum.simulated_us / SIM_S);
    if (seconds == 0) seconds = 1;
    printf("shares: %llu %% of seeds hold a failover, %llu %% a leader change during a plan\n",
           (unsigned long long)(r->with_failover_n * 100 / n), (unsigned long long)(r->with_change_n * 100 / n));
    printf("rates: %llu events, %llu writes, %llu probes a simulated second; each seed at least %lld s, %llu faults\n",
           (unsigned long long)(r->sum.events / seconds), (unsigned long long)(r->sum.writes / seconds),
           (unsigned long long)(r->sum.probes / seconds), (long long)(r->shortest_us / SIM_S),
           (unsigned long long)r->fewest_faults);
    if (o->tells_marks) marks_print(r->marks);
    /* Not to the standard output: that has the same bytes at every run. */
    fflush(stdout);
    if (r->cpu_us > 0)
        fprintf(stderr, "speed: %lld simulated seconds a CPU second on one core\n",
                (long long)(r->sum.simulated_us / r->cpu_us));
    printf("digest: %016llx\n", (unsigned long long)r->sum.digest);
    printf("sim: %llu seeds, %llu simulated seconds, %llu failovers, %llu faults, %llu violations\n",
           (unsigned long long)r->done_n, (unsigned long long)(r->sum.simulated_us / SIM_S),
           (unsigned long long)r->sum.failovers, (unsigned long long)r->sum.faults,
           (unsigned long long)r->violations_n);
}

int run_seeds(const struct run_options *options)
{
    struct run *r = calloc(1, sizeof *r);
    MUST(r);
    r->options = options;
    r->next = options->from;
    if (options->hours > 0) r->end_at = time(NULL) + (time_t)(options->hours * 3600);
    for (unsigned i = 0; i < options->jobs; i++) (void)start_job(r, &r->jobs[i]);
    while (wait_for_jobs(r)) {}
    tell(r);
    int code = r->code;
    free(r);
    return code;
}
