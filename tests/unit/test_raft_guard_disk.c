/* The guard's fail-stop around the disk (raft/guard.h): the first failure stops the node, whatever libraft makes of it,
 * and the seal never says more than is durable, nor less than was acknowledged.
 *
 * The disk below the guard is a stub that answers when it is told to; the seal is a file. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/guard.h"

enum { TERM = 5, VOTE = 2, LAST = 10, LAST_TERM = 4 };

static char dir[] = "/tmp/regent-guard-disk-XXXXXX";
static struct guard guard;
static struct raft raft;
static unsigned calls_n, told_n; /* Of the disk; what libraft is told. */
static int disk_result, told;
static uint64_t disk_term, disk_vote, disk_cut;
static struct raft_io_append *writing, append_req;
static raft_io_append_cb written;
static struct raft_io_snapshot_put *putting, put_req;
static raft_io_snapshot_put_cb put_done;

/* In place of libraft's: there is no raft_uv. */
void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer);
void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer)
{
    (void)io;
    (void)tracer;
}

static int disk_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    calls_n++;
    disk_term = term;
    return disk_result;
}

static int disk_set_vote(struct raft_io *io, raft_id vote)
{
    (void)io;
    calls_n++;
    disk_vote = vote;
    return disk_result;
}

static int disk_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
                       raft_io_append_cb cb)
{
    (void)io;
    (void)entries;
    (void)n;
    calls_n++;
    if (disk_result != 0) return disk_result;
    writing = req;
    written = cb;
    return 0;
}

static int disk_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    calls_n++;
    disk_cut = index;
    return disk_result;
}

static int disk_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                    const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    (void)io;
    (void)trailing;
    (void)snapshot;
    calls_n++;
    if (disk_result != 0) return disk_result;
    putting = req;
    put_done = cb;
    return 0;
}

static int wrap(void **state)
{
    struct seal_state sealed = {.id = 1, .version = 3, .term = TERM, .vote = VOTE, .index = LAST,
                                .index_term = LAST_TERM};
    struct err e = {0};
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/regent-guard-disk-XXXXXX");
    if (mkdtemp(dir) == NULL || seal_create(dir, &sealed, &e) != 0) return -1;
    memset(&guard, 0, sizeof(guard));
    calls_n = told_n = 0;
    disk_result = told = 0;
    disk_term = disk_vote = disk_cut = 0;
    writing = NULL;
    putting = NULL;
    guard.io = (struct raft_io){.set_term = disk_set_term, .set_vote = disk_set_vote, .append = disk_append,
                                .truncate = disk_truncate, .snapshot_put = disk_put};
    guard.append_next = LAST + 1;
    guard_wrap(&guard, &raft, 100);
    return seal_open(&guard.seal, dir, &sealed, &e);
}

static int unwrap(void **state)
{
    char path[64];
    (void)state;
    seal_close(&guard.seal);
    (void)snprintf(path, sizeof path, "%s/seal", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static struct seal_state sealed(void)
{
    struct seal_state s;
    struct err e = {0};
    if (seal_read(dir, &s, &e) != 0) fail_msg("%s", e.text);
    return s;
}

static void assert_sealed_index(uint64_t index, uint64_t term)
{
    struct seal_state s = sealed();
    assert_int_equal(s.index, index);
    assert_int_equal(s.index_term, term);
}

static void break_seal(void)
{
    seal_close(&guard.seal);
}

/* --- term, vote --- */

static void a_term_is_durable_twice_before_it_counts(void **state)
{
    (void)state;
    assert_int_equal(guard.io.set_term(&guard.io, TERM), 0); /* There already: raft_uv would write "no vote" with it. */
    assert_int_equal(calls_n, 0);
    assert_int_equal(sealed().vote, VOTE);
    assert_int_equal(guard.io.set_term(&guard.io, TERM + 1), 0);
    assert_int_equal(disk_term, TERM + 1);
    assert_int_equal(sealed().term, TERM + 1);
    assert_int_equal(sealed().vote, 0);
    assert_int_equal(guard.io.set_vote(&guard.io, 3), 0);
    assert_int_equal(disk_vote, 3);
    assert_int_equal(sealed().term, TERM + 1);
    assert_int_equal(sealed().vote, 3);
    assert_false(guard_failed(&guard));
}

static void a_term_that_is_not_written_stops_the_node(void **state)
{
    (void)state;
    disk_result = RAFT_NOSPACE;
    (void)snprintf(guard.io.errmsg, sizeof guard.io.errmsg, "no room on /dev/x");
    assert_int_equal(guard.io.set_term(&guard.io, TERM + 1), RAFT_NOSPACE);
    assert_true(guard_failed(&guard));
    assert_string_equal(guard.text, "write the term: no room on /dev/x");
    assert_int_equal(sealed().term, TERM);
    disk_result = 0; /* The disk works again: too late. */
    assert_int_equal(guard.io.set_term(&guard.io, TERM), RAFT_IOERR);
    assert_int_equal(guard.io.set_term(&guard.io, TERM + 1), RAFT_IOERR);
    assert_int_equal(guard.io.set_vote(&guard.io, 3), RAFT_IOERR);
    assert_int_equal(calls_n, 1);
    assert_string_equal(guard.text, "write the term: no room on /dev/x"); /* The first failure is told. */
}

static void a_vote_that_is_not_written_stops_the_node(void **state)
{
    (void)state;
    disk_result = RAFT_IOERR;
    assert_int_equal(guard.io.set_vote(&guard.io, 3), RAFT_IOERR);
    assert_true(guard_failed(&guard));
    assert_int_equal(sealed().vote, VOTE);
}

static void a_promise_that_is_not_sealed_stops_the_node(void **state)
{
    (void)state;
    break_seal();
    assert_int_equal(guard.io.set_term(&guard.io, TERM + 1), RAFT_IOERR);
    assert_true(guard_failed(&guard));
    guard.failed = false;
    assert_int_equal(guard.io.set_vote(&guard.io, 3), RAFT_IOERR);
    assert_true(guard_failed(&guard));
}

/* --- the log --- */

static void on_written(struct raft_io_append *req, int status)
{
    assert_ptr_equal(req, &append_req);
    told_n++;
    told = status;
}

static void append(unsigned n)
{
    struct raft_entry entries[3] = {{.term = TERM - 1}, {.term = TERM}, {.term = TERM + 1}};
    assert_int_equal(guard.io.append(&guard.io, &append_req, entries, n, on_written), 0);
}

static void the_seal_follows_the_log_before_it_is_told(void **state)
{
    (void)state;
    append(2);
    assert_sealed_index(LAST, LAST_TERM);
    written(writing, 0);
    assert_int_equal(told_n, 1);
    assert_int_equal(told, 0);
    assert_sealed_index(LAST + 2, TERM);
    append(1);
    assert_int_equal(guard.io.truncate(&guard.io, LAST + 4), 0); /* As before each append: there is nothing to cut. */
    written(writing, 0);
    assert_sealed_index(LAST + 3, TERM - 1);
}

static void what_was_cut_or_not_written_is_not_sealed(void **state)
{
    struct raft_io_append *old;
    (void)state;
    append(2);
    old = writing;
    assert_int_equal(guard.io.truncate(&guard.io, LAST + 3), 0); /* Nothing to cut: that is the next one. */
    assert_int_equal(disk_cut, LAST + 3);
    assert_sealed_index(LAST, LAST_TERM);
    assert_int_equal(guard.io.truncate(&guard.io, LAST - 1), 0);
    assert_int_equal(disk_cut, LAST - 1);
    assert_sealed_index(LAST - 2, 0);
    written(old, 0);
    assert_sealed_index(LAST - 2, 0);
    append(1);
    written(writing, RAFT_CANCELED);
    assert_int_equal(told, RAFT_CANCELED);
    assert_sealed_index(LAST - 2, 0);
    assert_int_equal(guard.io.truncate(&guard.io, LAST - 1), 0);
    append(1);
    written(writing, 0);
    assert_sealed_index(LAST - 1, TERM - 1);
    assert_int_equal(told_n, 3);
}

/* An error would make libraft free the entries twice; success would acknowledge them. */
static void an_append_that_fails_is_never_told(void **state)
{
    (void)state;
    disk_result = RAFT_NOSPACE;
    append(1);
    assert_true(guard_failed(&guard));
    disk_result = 0;
    append(1);
    assert_int_equal(calls_n, 1); /* Not asked again. */
    assert_int_equal(told_n, 0);
    assert_sealed_index(LAST, LAST_TERM);
    assert_int_equal(guard.io.truncate(&guard.io, 3), 0);
    assert_int_equal(calls_n, 1);
    assert_sealed_index(LAST, LAST_TERM);
}

/* raft_close() ends what is being written. */
static void nothing_fails_any_more_while_closing(void **state)
{
    (void)state;
    guard_closing(&guard);
    disk_result = RAFT_CANCELED;
    append(1);
    assert_int_equal(guard.io.truncate(&guard.io, LAST), 0);
    assert_false(guard_failed(&guard));
}

static void a_log_that_is_not_cut_stops_the_node(void **state)
{
    (void)state;
    disk_result = RAFT_IOERR;
    assert_int_equal(guard.io.truncate(&guard.io, LAST), 0);
    assert_true(guard_failed(&guard));
}

static void a_log_is_not_cut_before_the_seal_is_lower(void **state)
{
    (void)state;
    break_seal();
    assert_int_equal(guard.io.truncate(&guard.io, LAST), 0);
    assert_true(guard_failed(&guard));
    assert_int_equal(calls_n, 0);
}

/* --- snapshots --- */

static void on_put(struct raft_io_snapshot_put *req, int status)
{
    assert_ptr_equal(req, &put_req);
    told_n++;
    told = status;
}

static int put(unsigned trailing, uint64_t index)
{
    struct raft_snapshot s = {.index = index, .term = TERM};
    return guard.io.snapshot_put(&guard.io, trailing, &put_req, &s, on_put);
}

static void a_snapshot_of_our_own_leaves_the_seal_alone(void **state)
{
    (void)state;
    assert_int_equal(put(100, LAST - 4), 0);
    put_done(putting, 0);
    assert_int_equal(told_n, 1);
    assert_int_equal(told, 0);
    assert_sealed_index(LAST, LAST_TERM);
    append(1);
    assert_int_equal(put(100, LAST - 2), 0);
    put_done(putting, 0);
    written(writing, 0); /* Nothing was cut meanwhile. */
    assert_sealed_index(LAST + 1, TERM - 1);
}

/* The whole log goes: what was being appended to it is sealed no more, and the seal is lowered before. */
static void a_leaders_snapshot_replaces_the_log(void **state)
{
    (void)state;
    append(1);
    assert_int_equal(put(0, LAST - 4), 0);
    assert_sealed_index(0, 0);
    written(writing, 0);
    assert_sealed_index(0, 0);
    put_done(putting, 0);
    assert_sealed_index(LAST - 4, TERM);
    assert_int_equal(put(0, LAST + 20), 0); /* Ahead of the seal, which may stay. */
    assert_sealed_index(LAST - 4, TERM);
    put_done(putting, 0);
    assert_sealed_index(LAST + 20, TERM);
    guard.append_next = LAST + 21;
    assert_int_equal(guard.io.truncate(&guard.io, LAST + 6), 0);
    assert_int_equal(put(100, LAST + 5), 0); /* Our own one installs nothing. */
    put_done(putting, 0);
    assert_sealed_index(LAST + 5, 0);
    assert_int_equal(told_n, 4); /* Three snapshots, one append. */
}

static void a_snapshot_that_is_not_written_stops_the_node(void **state)
{
    (void)state;
    assert_int_equal(put(0, LAST + 20), 0);
    put_done(putting, RAFT_CANCELED); /* As raft_close() does. */
    assert_int_equal(told, RAFT_CANCELED);
    assert_false(guard_failed(&guard));
    assert_sealed_index(LAST, LAST_TERM);
    assert_int_equal(put(100, LAST), 0);
    put_done(putting, RAFT_IOERR);
    assert_int_equal(told, RAFT_IOERR);
    assert_true(guard_failed(&guard));
    assert_int_equal(put(100, LAST), RAFT_IOERR);
    assert_int_equal(calls_n, 2);
}

static void a_snapshot_that_is_not_begun_stops_the_node(void **state)
{
    (void)state;
    disk_result = RAFT_NOSPACE;
    assert_int_equal(put(100, LAST), RAFT_NOSPACE);
    assert_true(guard_failed(&guard));
    assert_int_equal(told_n, 0);
}

static void a_snapshot_is_not_installed_before_the_seal_is_lower(void **state)
{
    (void)state;
    break_seal();
    assert_int_equal(put(0, LAST), RAFT_IOERR);
    assert_true(guard_failed(&guard));
    assert_int_equal(calls_n, 0);
}

/* --- the tracer is all that tells of a write that failed later --- */

static void trace(int type, const char *message)
{
    struct raft_tracer_info info = {.version = 1};
    info.diagnostic.message = message;
    guard.tracer.emit(&guard.tracer, type, &info);
}

static void a_write_that_fails_later_stops_the_node(void **state)
{
    (void)state;
    trace(RAFT_TRACER_DIAGNOSTIC, "an election begins");
    assert_false(guard_failed(&guard));
    trace(RAFT_TRACER_DIAGNOSTIC + 1, "truncate segment 1: no space");
    assert_false(guard_failed(&guard));
    trace(RAFT_TRACER_DIAGNOSTIC, "truncate segment 1: no space");
    trace(RAFT_TRACER_DIAGNOSTIC, "retry failed write"); /* The first one is told. */
    assert_true(guard_failed(&guard));
    assert_string_equal(guard.text, "write the log: truncate segment 1: no space");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wrap, unwrap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_term_is_durable_twice_before_it_counts),
        TEST(a_term_that_is_not_written_stops_the_node),
        TEST(a_vote_that_is_not_written_stops_the_node),
        TEST(a_promise_that_is_not_sealed_stops_the_node),
        TEST(the_seal_follows_the_log_before_it_is_told),
        TEST(what_was_cut_or_not_written_is_not_sealed),
        TEST(an_append_that_fails_is_never_told),
        TEST(nothing_fails_any_more_while_closing),
        TEST(a_log_that_is_not_cut_stops_the_node),
        TEST(a_log_is_not_cut_before_the_seal_is_lower),
        TEST(a_snapshot_of_our_own_leaves_the_seal_alone),
        TEST(a_leaders_snapshot_replaces_the_log),
        TEST(a_snapshot_that_is_not_written_stops_the_node),
        TEST(a_snapshot_that_is_not_begun_stops_the_node),
        TEST(a_snapshot_is_not_installed_before_the_seal_is_lower),
        TEST(a_write_that_fails_later_stops_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
