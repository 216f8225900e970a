/* raft/ over mutual TLS: three real nodes, and callers whose certificate is good and whose words are not. */
#include "tests/unit/raft_fixture.h"
#include "tests/unit/tls_fixture.h"

#include <signal.h>
#include <sys/syscall.h>

#include "lib/conn_private.h"
#include "raft/storage.h"
#include "raft/transport.h"

enum { NODES = 3 };

static unsigned pairs_refused; /* So many socketpairs are not to be had, as when all descriptors are used up. */

/* In place of libc's. */
int socketpair(int domain, int type, int protocol, int fds[2])
{
    if (pairs_refused == 0) return (int)syscall(SYS_socketpair, domain, type, protocol, fds);
    pairs_refused--;
    errno = EMFILE;
    return -1;
}

/* A caller with a certificate of the group. */
struct caller {
    struct conn_net net;
    struct conn *conn; /* NULL: ended. */
    bool ready;
    unsigned welcomes, removals, others; /* Bytes that came. */
    char why[CONN_TEXT_SIZE];
};

struct rig {
    struct fixture *f;
    struct tls_fixture files;
    struct tls *tls[NODES], *stranger;
    struct caller caller;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->f = fixture_new(NODES);
    fixture_init(&r->files);
    for (unsigned i = 0; i < NODES; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%u", i + 1);
        fixture_issue(&r->files, TLS_MANAGER, name, i + 1);
        r->f->members[i].net.tls = r->tls[i] = fixture_open(&r->files, name, NULL);
    }
    fixture_issue(&r->files, TLS_MANAGER, "m9", 9);
    r->stranger = fixture_open(&r->files, "m9", NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->caller.conn != NULL) conn_close(r->caller.conn, "end of the test");
    fixture_turn_for(r->f, 5);
    fixture_free(r->f);
    for (unsigned i = 0; i < NODES; i++) tls_close(r->tls[i]);
    tls_close(r->stranger);
    fixture_fini(&r->files);
    free(r);
    return 0;
}

static void test_a_group_works_over_tls(void **state)
{
    struct fixture *f = ((struct rig *)*state)->f;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    fixture_propose(f, 1000);
    WAIT_UNTIL(f, fixture_is_settled(f));
    /* The largest command, and a snapshot for who was away. */
    struct member *behind = fixture_follower(f);
    char *big = malloc(RAFT_NODE_COMMAND_MAX);
    memset(big, 'b', RAFT_NODE_COMMAND_MAX);
    member_stop(behind);
    assert_int_equal(raft_node_propose(leader->node, big, RAFT_NODE_COMMAND_MAX, on_proposed, f), 0);
    free(big);
    fixture_small_snapshots(f);
    member_stop(leader);
    member_start(leader);
    member_start(behind);
    fixture_elect(f);
    fixture_propose(f, 100);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

static void test_end_of_leader_is_seen_at_once(void **state)
{
    struct fixture *f = ((struct rig *)*state)->f;
    fixture_start(f);
    fixture_expect_end_of_leader_seen(f, 4);
}

/* Connections that are made anew because they are old disturb nobody: no election, no lost command. */
static void test_old_connections_are_renewed_in_peace(void **state)
{
    struct fixture *f = ((struct rig *)*state)->f;
    fixture_start(f);
    struct member *leader = fixture_elect(f);
    fixture_propose(f, 5);
    uint64_t term = leader->status.term;
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < f->n; k++) conn_net_renew(&f->members[k].net);
        fixture_propose(f, 20);
        fixture_turn_for(f, 60);
    }
    WAIT_UNTIL(f, fixture_is_settled(f));
    assert_ptr_equal(fixture_leader(f), leader);
    assert_int_equal(leader->status.term, term);
    assert_int_equal(f->unknown + f->refused, 0);
}

/* Who has no descriptor left for libraft's end ends that connection and makes another, on both sides. */
static void test_no_descriptors_for_a_while(void **state)
{
    struct fixture *f = ((struct rig *)*state)->f;
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, 5);
    WAIT_UNTIL(f, fixture_is_settled(f));
    pairs_refused = 12;
    for (unsigned i = 0; i < f->n; i++)
        for (struct conn *c = f->members[i].net.list; c != NULL; c = c->next) conn_close(c, "by the test");
    WAIT_UNTIL(f, pairs_refused == 0);
    fixture_elect(f);
    fixture_propose(f, 20);
    WAIT_UNTIL(f, fixture_is_settled(f));
}

/* --- whose certificate it is -------------------------------------------------------------------------------------- */

static void test_a_node_needs_its_own_certificate(void **state)
{
    struct rig *r = *state;
    struct member *m = &r->f->members[0];
    struct err e;
    fixture_bootstrap(r->f);
    m->net.tls = r->tls[1];
    assert_int_equal(member_try_start(m, &e), -EPERM);
    print_message("    %s\n", e.text);
    assert_non_null(strstr(e.text, "this is node 1, but the certificate is of m2 with id 2"));
    assert_non_null(strstr(e.text, "regent pki issue manager NAME --id 1"));
    m->net.tls = r->tls[0];
    member_start(m);
}

/* A member shows, from some moment on, the certificate of another: nobody lets it in and nobody talks to it. */
static void test_a_member_with_another_id_is_shut_out(void **state)
{
    struct rig *r = *state;
    struct fixture *f = r->f;
    fixture_start(f);
    fixture_elect(f);
    WAIT_UNTIL(f, fixture_follower(f) != NULL);
    struct member *odd = fixture_follower(f);
    struct tls *own = odd->net.tls;
    fixture_propose(f, 5);
    WAIT_UNTIL(f, fixture_is_settled(f));
    odd->net.tls = r->stranger;
    for (struct conn *c = odd->net.list; c != NULL; c = c->next) conn_close(c, "by the test");
    fixture_turn_for(f, 200);
    unsigned applied = odd->applied_n;
    fixture_propose(f, 50);
    fixture_turn_for(f, 500);
    assert_int_equal(odd->applied_n, applied);
    odd->net.tls = own;
    WAIT_UNTIL(f, fixture_is_settled(f));
}

/* --- what a caller says ------------------------------------------------------------------------------------------- */

static void caller_ready(void *arg, struct conn *conn)
{
    (void)conn;
    ((struct caller *)arg)->ready = true;
}

static void caller_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct caller *c = arg;
    (void)conn;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == TRANSPORT_WELCOME) c->welcomes++;
        else if (data[i] == TRANSPORT_REMOVED) c->removals++;
        else c->others++;
    }
}

static void caller_closed(void *arg, struct conn *conn, const char *why)
{
    struct caller *c = arg;
    (void)conn;
    c->conn = NULL;
    (void)TEXT_COPY(c->why, why);
}

/* Calls member 1 with the certificate 'tls' and says "I am 'id', and want 'wanted', of the right group". */
static void call(struct rig *r, struct caller *c, struct tls *tls, uint64_t id, uint64_t wanted)
{
    const struct conn_hooks hooks = {.arg = c, .ready = caller_ready, .bytes = caller_bytes, .closed = caller_closed};
    struct handshake h = {.id = id, .wanted = wanted, .address = "127.0.0.1:1"};
    uint8_t bytes[HANDSHAKE_SIZE_MAX];
    memset(c, 0, sizeof *c);
    conn_net_init(&c->net, &r->f->loop, tls);
    h.group = storage_group_id(GROUP_NAME, r->f->list, r->f->n);
    c->conn = conn_dial(&c->net, r->f->members[0].config.address, FRAME_RAFT, &hooks);
    WAIT_UNTIL(r->f, c->ready);
    conn_set_deadline(c->conn, 0, CONN_NOT_REFUSED, NULL);
    assert_int_equal(conn_write(c->conn, bytes, handshake_write(bytes, &h)), 0);
}

/* It is closed within a second, without a welcome. */
static void expect_unwelcome(struct rig *r)
{
    int64_t start = now_ms();
    WAIT_UNTIL(r->f, r->caller.conn == NULL);
    assert_true(now_ms() - start < 1000);
    assert_int_equal(r->caller.welcomes, 0);
}

static void check_ids(struct rig *r)
{
    call(r, &r->caller, r->tls[2], 3, 1); /* The control. */
    WAIT_UNTIL(r->f, r->caller.welcomes == 1);
    fixture_turn_for(r->f, 100);
    assert_non_null(r->caller.conn);
    conn_close(r->caller.conn, "enough");
    WAIT_UNTIL(r->f, r->caller.conn == NULL);
    call(r, &r->caller, r->tls[2], 2, 1); /* Says that it is 2, is 3. */
    expect_unwelcome(r);
    call(r, &r->caller, r->stranger, 3, 1); /* A manager of the CA, of no id that is known. */
    expect_unwelcome(r);
    call(r, &r->caller, r->tls[2], 3, 2); /* Wants another. */
    expect_unwelcome(r);
    r->f->members[0].removed = 1u << 3;
    call(r, &r->caller, r->tls[2], 3, 1);
    expect_unwelcome(r);
    assert_int_equal(r->caller.removals, 1);
    r->f->members[0].removed = 0;
}

/* After the welcome, a message that libraft would swallow: it must not see it. */
static void expect_message_ends_it(struct rig *r, const uint8_t *message, size_t size)
{
    call(r, &r->caller, r->tls[2], 3, 1);
    WAIT_UNTIL(r->f, r->caller.welcomes == 1);
    assert_int_equal(conn_write(r->caller.conn, message, size), 0);
    int64_t start = now_ms();
    WAIT_UNTIL(r->f, r->caller.conn == NULL);
    assert_true(now_ms() - start < 1000);
}

static void check_messages(struct rig *r)
{
    static const uint8_t huge[16] = {RAFT_REQUEST_VOTE, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}; /* 4 GiB of header. */
    static const uint8_t endless[16] = {
        RAFT_APPEND_ENTRIES, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t unknown[24] = {77, 0, 0, 0, 0, 0, 0, 0, 8};
    uint8_t count[16 + 48] = {RAFT_APPEND_ENTRIES, 0, 0, 0, 0, 0, 0, 0, 48};
    uint8_t vote[16 + 40] = {RAFT_REQUEST_VOTE, 0, 2, 0, 0, 0, 0, 0, 40};
    expect_message_ends_it(r, huge, sizeof huge);
    expect_message_ends_it(r, endless, sizeof endless);
    expect_message_ends_it(r, unknown, sizeof unknown);
    memset(count + 16 + 32, 0xff, 4); /* More entries than the header has. */
    expect_message_ends_it(r, count, sizeof count);
    vote[16 + 8] = 2; /* A vote for another. */
    expect_message_ends_it(r, vote, sizeof vote);
}

/* Who connects again and again does not fill the table: the older ones are closed. */
static void check_few_connections(struct rig *r)
{
    struct caller many[8];
    for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
        call(r, &many[i], r->tls[2], 3, 1);
        WAIT_UNTIL(r->f, many[i].welcomes == 1 || many[i].conn == NULL);
    }
    unsigned open = ARRAY_LEN(many);
    int64_t start = now_ms();
    while (open > TRANSPORT_ACCEPTED_MAX && now_ms() - start < 5000) {
        fixture_turn(r->f);
        open = 0;
        for (unsigned i = 0; i < ARRAY_LEN(many); i++) open += many[i].conn != NULL;
    }
    for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
        if (many[i].conn != NULL) conn_close(many[i].conn, "enough");
        WAIT_UNTIL(r->f, many[i].conn == NULL);
    }
    assert_true(open <= TRANSPORT_ACCEPTED_MAX);
}

/* One group for all: each check must leave it whole. */
static void test_bad_callers(void **state)
{
    struct rig *r = *state;
    fixture_start(r->f);
    fixture_elect(r->f);
    check_ids(r);
    check_messages(r);
    check_few_connections(r);
    fixture_propose(r->f, 20);
    WAIT_UNTIL(r->f, fixture_is_settled(r->f));
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_group_works_over_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_leader_is_seen_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_connections_are_renewed_in_peace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptors_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_needs_its_own_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_member_with_another_id_is_shut_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_callers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
