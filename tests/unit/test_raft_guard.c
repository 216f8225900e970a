/* The guard around libraft's real disk back end (raft/guard.h): what is in the files after each call. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/internal.h"
#include "raft/log_read.h"
#include "raft/preflight.h"

static char dir[] = "/tmp/regent-guard-XXXXXX";
static uv_loop_t loop;
static struct conn_net net;
static struct transport transport;
static struct guard guard;
static struct raft_fsm fsm;
static struct raft raft;
static bool is_closed;

static void on_closed(struct raft *r)
{
    (void)r;
    is_closed = true;
}

static int no_apply(struct raft_fsm *f, const struct raft_buffer *buf, void **result)
{
    (void)f;
    (void)buf;
    (void)result;
    return RAFT_INVALID;
}

static int open_guarded(void **state)
{
    struct raft_node_member member = {.id = 1, .name = "m1", .address = "m1:1"};
    struct raft_node_config config = {.id = 1, .address = "m1:1", .data_dir = dir};
    struct seal_state sealed;
    struct err e = {0};
    char path[256];
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(raft_node_bootstrap(&config, &member, 1, "shop", &e), 0);
    assert_int_equal(preflight(dir, 1, &sealed, &e), 0);
    assert_int_equal(seal_open(&guard.seal, dir, &sealed, &e), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    conn_net_init(&net, &loop, NULL);
    transport_init(&transport, &net, 1);
    (void)snprintf(path, sizeof path, "%s/raft", dir);
    assert_int_equal(raft_uv_init(&guard.io, &loop, path, &transport.raft), 0);
    guard_wrap(&guard, &raft, 100);
    fsm = (struct raft_fsm){.version = 1, .apply = no_apply};
    assert_int_equal(raft_init(&raft, &guard.io, &fsm, 1, "m1:1"), 0);
    return 0;
}

static int close_guarded(void **state)
{
    char command[300];
    (void)state;
    raft_close(&raft, on_closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    raft_uv_close(&guard.io);
    seal_close(&guard.seal);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* As a crash at this very moment leaves the files. */
static void assert_kept(uint64_t term, uint64_t vote)
{
    struct log_image *image = NULL;
    struct seal_state seal;
    struct err e = {0};
    assert_int_equal(log_read(dir, &image, &e), 0);
    assert_int_equal(seal_read(dir, &seal, &e), 0);
    assert_int_equal(image->term, term);
    assert_int_equal(image->vote, vote);
    if (preflight_compare(image, &seal, &e) != 0) fail_msg("%s", e.text);
    log_image_free(image);
}

/* libraft sets the term before each vote, also the one that it has: raft_uv then writes "no vote", which a crash before
 * the vote would leave behind. Asked again for the same vote, a node forgot it so. */
static void a_vote_is_kept_while_it_is_given_again(void **state)
{
    (void)state;
    assert_int_equal(guard.io.set_term(&guard.io, 7), 0);
    assert_kept(7, 0);
    assert_int_equal(guard.io.set_vote(&guard.io, 1), 0);
    assert_kept(7, 1);
    assert_int_equal(guard.io.set_term(&guard.io, 7), 0);
    assert_kept(7, 1);
    assert_int_equal(guard.io.set_vote(&guard.io, 1), 0);
    assert_kept(7, 1);
    assert_int_equal(guard.io.set_term(&guard.io, 8), 0);
    assert_kept(8, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_vote_is_kept_while_it_is_given_again, open_guarded, close_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
