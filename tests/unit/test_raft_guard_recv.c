/* What the guard lets libraft hear of its peers, and its peers of libraft (raft/guard.h): no bytes that libraft never
 * set, no vote that comes too late, nobody who was removed, nothing at all after the disk failed.
 *
 * The guard stands between stubs: 'deliver' is a message of the network, 'heard' is what libraft gets, 'sent' what goes
 * out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "raft/guard.h"
#include "raft/transport.h"

enum { PEER = 2, OTHER = 3, TERM = 5, HEARTBEAT_MS = 100, ELECTION_MS = 1000, NOW_MS = 50000, CAPACITY = 7 };

static struct guard guard;
static struct raft raft;
static raft_time now_ms;
static raft_io_recv_cb deliver;
static raft_io_tick_cb tick;
static struct raft_message heard, sent;
static unsigned heard_n, sent_n, ticks_n, rounds_n, told_n;
static int send_result, told;
static unsigned heartbeat_timeout; /* As libraft's tick sees it. */
static bool is_traced;
static unsigned short becomes;     /* What libraft is when it has handled a message. */

/* In place of libraft's: there is no raft_uv. */
void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer);
void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer)
{
    (void)io;
    assert_ptr_equal(tracer, &guard.tracer);
    is_traced = true;
}

static raft_time fake_time(struct raft_io *io)
{
    (void)io;
    return now_ms;
}

static int fake_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb on_tick, raft_io_recv_cb on_recv)
{
    (void)io;
    assert_int_equal(msecs, GUARD_TICK_MS);
    tick = on_tick;
    deliver = on_recv;
    return 0;
}

static int fake_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                     raft_io_send_cb cb)
{
    (void)io;
    sent = *message;
    sent_n++;
    if (send_result != 0 && strcmp(message->server_address, TRANSPORT_NOWHERE) != 0) return send_result;
    cb(req, 0);
    return 0;
}

static void libraft_ticks(struct raft_io *io)
{
    (void)io;
    ticks_n++;
    heartbeat_timeout = raft.heartbeat_timeout;
}

static void on_round(void *arg)
{
    (void)arg;
    rounds_n++;
}

static void free_held(const struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.entries != NULL) {
        raft_free(m->append_entries.entries[0].batch);
        raft_free(m->append_entries.entries);
    }
    if (m->type == RAFT_INSTALL_SNAPSHOT) raft_free(m->install_snapshot.data.base);
}

/* libraft takes over what hangs in a message. */
static void libraft_hears(struct raft_io *io, struct raft_message *m)
{
    (void)io;
    heard = *m;
    heard_n++;
    free_held(m);
    raft.state = becomes;
}

static int wrap(void **state)
{
    (void)state;
    memset(&guard, 0, sizeof(guard));
    memset(&raft, 0, sizeof(raft));
    now_ms = NOW_MS;
    heard_n = sent_n = ticks_n = rounds_n = told_n = 0;
    send_result = told = 0;
    raft.current_term = TERM;
    raft.election_timeout = ELECTION_MS;
    raft.election_timer_start = NOW_MS;
    raft.heartbeat_timeout = GUARD_TICK_MS;
    becomes = raft.state = RAFT_FOLLOWER;
    guard.io = (struct raft_io){.start = fake_start, .send = fake_send, .time = fake_time, .capacity = CAPACITY};
    guard.on_tick = on_round;
    guard_wrap(&guard, &raft, HEARTBEAT_MS);
    return guard.io.start(&guard.io, GUARD_TICK_MS, libraft_ticks, libraft_hears);
}

static void libraft_is(unsigned short what)
{
    becomes = raft.state = what;
}

static struct raft_message of_peer(unsigned short type)
{
    return (struct raft_message){.type = type, .server_id = PEER, .server_address = "m2:1"};
}

/* True when libraft hears it. Borrows the message itself; what hangs in it is gone. */
static bool hears(struct raft_message m)
{
    unsigned before = heard_n;
    deliver(&guard.io, &m);
    return heard_n > before;
}

static bool hears_vote_result(void)
{
    struct raft_message m = of_peer(RAFT_REQUEST_VOTE_RESULT);
    m.request_vote_result = (struct raft_request_vote_result){.version = 2, .term = TERM + 1, .vote_granted = true,
                                                              .pre_vote = true};
    return hears(m);
}

static struct raft_message entries(uint64_t term, unsigned n)
{
    struct raft_message m = of_peer(RAFT_APPEND_ENTRIES);
    m.append_entries = (struct raft_append_entries){.version = 1, .term = term, .n_entries = n};
    if (n == 0) return m;
    m.append_entries.entries = raft_calloc(n, sizeof(struct raft_entry));
    void *batch = raft_malloc(64);
    for (unsigned i = 0; i < n; i++) {
        m.append_entries.entries[i] = (struct raft_entry){.term = term, .type = RAFT_COMMAND, .batch = batch};
    }
    return m;
}

static struct raft_message snapshot(uint64_t term)
{
    struct raft_message m = of_peer(RAFT_INSTALL_SNAPSHOT);
    m.install_snapshot = (struct raft_install_snapshot){.version = 1, .term = term, .last_index = 9};
    m.install_snapshot.data = (struct raft_buffer){.base = raft_malloc(64), .len = 64};
    return m;
}

static void fail_disk(void)
{
    struct raft_tracer_info info = {.version = 1};
    info.diagnostic.message = "retry failed write of segment 1";
    guard.tracer.emit(&guard.tracer, RAFT_TRACER_DIAGNOSTIC, &info);
}

/* --- what is heard --- */

/* libraft would look at candidate_state.in_pre_vote, whose memory is a pointer of follower_state then. */
static void a_vote_counts_for_a_candidate_only(void **state)
{
    (void)state;
    libraft_is(RAFT_CANDIDATE);
    assert_true(hears_vote_result());
    libraft_is(RAFT_FOLLOWER);
    assert_false(hears_vote_result());
    libraft_is(RAFT_LEADER);
    assert_false(hears_vote_result());
    assert_true(hears(of_peer(RAFT_APPEND_ENTRIES_RESULT)));
    assert_int_equal(sent_n, 0);
}

/* libraft's own answer has a last_log_index that was never set; a leader could commit by it. */
static void assert_refused(struct raft_message m)
{
    sent_n = 0;
    assert_false(hears(m));
    assert_int_equal(sent_n, 1);
    assert_int_equal(sent.type, RAFT_APPEND_ENTRIES_RESULT);
    assert_int_equal(sent.server_id, PEER);
    assert_string_equal(sent.server_address, "m2:1");
    assert_int_equal(sent.append_entries_result.term, TERM);
    assert_int_equal(sent.append_entries_result.rejected, 1);
    assert_int_equal(sent.append_entries_result.last_log_index, 0);
    assert_int_equal(sent.append_entries_result.capacity, CAPACITY);
}

static void a_leader_of_an_older_term_is_answered_by_the_guard(void **state)
{
    (void)state;
    assert_refused(entries(TERM - 1, 0));
    assert_refused(entries(TERM - 1, 3));
    assert_refused(snapshot(TERM - 1));
    sent_n = 0;
    assert_true(hears(entries(TERM, 2)));
    assert_true(hears(entries(TERM + 1, 0)));
    assert_true(hears(snapshot(TERM)));
    assert_true(hears(snapshot(TERM + 1)));
    assert_int_equal(sent_n, 0);
}

static bool is_other(void *arg, uint64_t id)
{
    (void)arg;
    return id == OTHER;
}

static void who_was_removed_is_not_heard(void **state)
{
    struct raft_message m = of_peer(RAFT_REQUEST_VOTE);
    (void)state;
    guard.is_removed = is_other;
    assert_true(hears(m));
    assert_true(guard_contact_ms(&guard, PEER) >= 0);
    m.server_id = OTHER;
    assert_false(hears(m));
    assert_int_equal(guard_contact_ms(&guard, OTHER), -1);
    m = snapshot(TERM);
    m.server_id = OTHER;
    assert_false(hears(m));
    guard_closing(&guard); /* libraft frees what still comes. */
    m = of_peer(RAFT_REQUEST_VOTE);
    m.server_id = OTHER;
    assert_true(hears(m));
}

static void a_snapshot_waits_for_the_one_that_is_written(void **state)
{
    (void)state;
    raft.legacy.snapshot_taking = true;
    assert_false(hears(snapshot(TERM)));
    assert_true(hears(entries(TERM, 1)));
    raft.legacy.snapshot_taking = false;
    raft.snapshot.installing = true;
    assert_false(hears(snapshot(TERM)));
    raft.snapshot.installing = false;
    assert_true(hears(snapshot(TERM)));
}

static void a_batch_ends_before_a_configuration(void **state)
{
    struct raft_message m = entries(TERM, 4);
    (void)state;
    m.append_entries.entries[0].type = RAFT_CHANGE;
    m.append_entries.entries[2].type = RAFT_CHANGE;
    m.append_entries.entries[3].type = RAFT_CHANGE;
    assert_true(hears(m));
    assert_int_equal(heard.append_entries.n_entries, 2);
    assert_true(hears(entries(TERM, 4)));
    assert_int_equal(heard.append_entries.n_entries, 4);
}

static void nothing_is_heard_or_said_after_the_disk_failed(void **state)
{
    (void)state;
    assert_true(is_traced);
    fail_disk();
    assert_false(hears(of_peer(RAFT_REQUEST_VOTE)));
    assert_false(hears(entries(TERM, 2)));
    assert_false(hears(entries(TERM - 1, 2)));
    assert_false(hears(snapshot(TERM)));
    assert_true(guard_failed(&guard));
    assert_non_null(strstr(guard.text, "retry failed write"));
    tick(&guard.io);
    assert_int_equal(ticks_n, 0);
    assert_int_equal(rounds_n, 1); /* That is how the node is told. */
    guard_peer_lost(&guard, PEER);
    guard_drop_connection(&guard, PEER);
    assert_int_equal(sent_n, 0);
}

/* raft_close() ends what is being written: that is no failure, and libraft frees what still comes. */
static void closing_is_no_failure(void **state)
{
    (void)state;
    guard_closing(&guard);
    fail_disk();
    assert_false(guard_failed(&guard));
    assert_true(hears(entries(TERM - 1, 2)));
    raft.snapshot.installing = true;
    assert_true(hears(snapshot(TERM)));
    guard_drop_connection(&guard, PEER);
    assert_int_equal(sent_n, 0);
}

static bool is_disruptive(unsigned short what, raft_time at_ms)
{
    libraft_is(what);
    now_ms = at_ms;
    assert_true(hears(of_peer(RAFT_REQUEST_VOTE)));
    return heard.request_vote.disrupt_leader;
}

/* A vote is not refused for the sake of a leader that is silent (Raft thesis 9.6), and is for one that is not. */
static void a_silent_leader_does_not_hold_up_votes(void **state)
{
    raft_time silent_ms = NOW_MS + ELECTION_MS - HEARTBEAT_MS;
    (void)state;
    assert_false(is_disruptive(RAFT_FOLLOWER, NOW_MS));
    assert_false(is_disruptive(RAFT_FOLLOWER, silent_ms - 1));
    assert_true(is_disruptive(RAFT_FOLLOWER, silent_ms));
    assert_true(hears(of_peer(RAFT_TIMEOUT_NOW)));
    assert_false(heard.request_vote.disrupt_leader); /* Another message has other bytes there. */
    assert_false(is_disruptive(RAFT_LEADER, silent_ms + ELECTION_MS));
    assert_false(is_disruptive(RAFT_CANDIDATE, silent_ms + ELECTION_MS));
}

/* Elected with a full disk, libraft forgets to note that it leads. */
static void a_leader_is_noted_after_the_message_that_made_it_one(void **state)
{
    (void)state;
    libraft_is(RAFT_CANDIDATE);
    RAFT_COMPAT_NOTED_STATE(&raft) = RAFT_CANDIDATE;
    becomes = RAFT_LEADER;
    assert_true(hears_vote_result());
    assert_int_equal(RAFT_COMPAT_NOTED_STATE(&raft), RAFT_LEADER);
}

/* --- what is said --- */

static void on_told(struct raft_io_send *req, int status)
{
    (void)req;
    told_n++;
    told = status;
}

static void say(struct raft_message m)
{
    static struct raft_io_send req;
    assert_int_equal(guard.io.send(&guard.io, &req, &m, on_told), 0);
}

/* An error of its own would make libraft free received entries twice. */
static void a_send_that_fails_is_told_and_no_error(void **state)
{
    (void)state;
    say(of_peer(RAFT_REQUEST_VOTE));
    assert_int_equal(told_n, 1);
    assert_int_equal(told, 0);
    send_result = RAFT_NOCONNECTION;
    say(of_peer(RAFT_REQUEST_VOTE));
    assert_int_equal(told_n, 2);
    assert_int_equal(told, RAFT_NOCONNECTION);
    assert_int_equal(sent_n, 2);
    send_result = RAFT_IOERR; /* It would fail for ever: the connection is made anew. */
    say(of_peer(RAFT_REQUEST_VOTE));
    assert_int_equal(told_n, 3);
    assert_int_equal(sent_n, 4);
    assert_int_equal(sent.server_id, PEER);
    assert_string_equal(sent.server_address, TRANSPORT_NOWHERE);
    send_result = 0;
    fail_disk();
    say(of_peer(RAFT_REQUEST_VOTE));
    assert_int_equal(told_n, 4);
    assert_int_equal(told, RAFT_CANCELED);
    assert_int_equal(sent_n, 4);
}

static uint64_t said_term(unsigned short type, struct raft_request_vote_result result)
{
    struct raft_message m = of_peer(type);
    m.request_vote_result = result;
    say(m);
    return sent.request_vote_result.term;
}

/* Who is two terms behind learns it from a refused pre-vote; no other answer is touched. */
static void a_refused_pre_vote_names_our_term(void **state)
{
    struct raft_request_vote_result r = {.version = 2, .term = TERM - 2, .pre_vote = true};
    (void)state;
    assert_int_equal(said_term(RAFT_REQUEST_VOTE_RESULT, r), TERM);
    r.vote_granted = true;
    assert_int_equal(said_term(RAFT_REQUEST_VOTE_RESULT, r), TERM - 2);
    r.vote_granted = r.pre_vote = false;
    assert_int_equal(said_term(RAFT_REQUEST_VOTE_RESULT, r), TERM - 2);
    r.pre_vote = true;
    assert_int_equal(said_term(RAFT_TIMEOUT_NOW, r), TERM - 2);
    assert_int_equal(said_term(RAFT_REQUEST_VOTE_RESULT, r), TERM);
    assert_int_equal(sent.server_id, PEER);
    r = (struct raft_request_vote_result){.version = 2, .term = TERM + 1, .pre_vote = true};
    assert_int_equal(said_term(RAFT_REQUEST_VOTE_RESULT, r), TERM + 1);
}

/* --- ticks, peers --- */

/* A leader's tick takes for lost who did not answer since the last one: once a heartbeat, and it sends to all. */
static void a_leader_ticks_once_a_heartbeat(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) tick(&guard.io);
    assert_int_equal(ticks_n, 10);
    assert_int_equal(heartbeat_timeout, GUARD_TICK_MS);
    libraft_is(RAFT_LEADER);
    guard.ticks = ticks_n = 0;
    for (unsigned i = 0; i < 10; i++) tick(&guard.io);
    assert_int_equal(ticks_n, 10 * GUARD_TICK_MS / HEARTBEAT_MS);
    assert_int_equal(heartbeat_timeout, 0);
    assert_int_equal(raft.heartbeat_timeout, GUARD_TICK_MS);
    assert_int_equal(rounds_n, 20);
}

static void contacts_are_of_the_last_message(void **state)
{
    struct raft_message m = of_peer(RAFT_APPEND_ENTRIES_RESULT);
    (void)state;
    assert_int_equal(guard_contact_ms(&guard, PEER), -1);
    assert_int_equal(guard_contact_ms(&guard, 0), -1);
    (void)hears(m);
    now_ms += 8;
    (void)hears(m);
    assert_int_equal(guard_contact_ms(&guard, PEER), 0);
    now_ms += 40;
    m.server_id = OTHER;
    (void)hears(m);
    now_ms += 3;
    (void)hears(m);
    now_ms += 2;
    assert_int_equal(guard_contact_ms(&guard, PEER), 45);
    assert_int_equal(guard_contact_ms(&guard, OTHER), 2);
    for (unsigned i = 0; i < GUARD_PEERS_MAX - 1; i++) { /* The table is full: the oldest goes. */
        now_ms++;
        m.server_id = 100 + i;
        (void)hears(m);
    }
    assert_int_equal(guard_contact_ms(&guard, PEER), -1);
    assert_true(guard_contact_ms(&guard, OTHER) > 0);
}

static raft_time hurried(raft_id lost)
{
    raft.election_timer_start = NOW_MS;
    guard_peer_lost(&guard, lost);
    return raft.election_timer_start;
}

/* The connection to the leader has ended: the first voter that remains stands at once, each further one later. */
static void a_lost_leader_brings_the_election_near(void **state)
{
    struct raft_server servers[] = {{.id = PEER, .role = RAFT_VOTER}, {.id = 7, .role = RAFT_SPARE},
                                    {.id = OTHER, .role = RAFT_VOTER}, {.id = 1, .role = RAFT_VOTER},
                                    {.id = 9, .role = RAFT_VOTER}};
    (void)state;
    raft.id = 1;
    raft.configuration.servers = servers;
    raft.configuration.n = ARRAY_LEN(servers);
    raft.follower_state.current_leader.id = PEER;
    raft.follower_state.randomized_election_timeout = ELECTION_MS + 500;
    assert_int_equal(hurried(OTHER), NOW_MS);
    assert_int_equal(sent_n, 1);
    assert_string_equal(sent.server_address, TRANSPORT_NOWHERE);
    assert_int_equal(hurried(PEER), NOW_MS - ELECTION_MS - 500 + 3 * GUARD_TICK_MS);
    raft.id = OTHER;
    assert_int_equal(hurried(PEER), NOW_MS - ELECTION_MS - 500);
    raft.id = 99; /* Not, or no more, a member. */
    assert_int_equal(hurried(PEER), NOW_MS - ELECTION_MS - 500 + 9 * GUARD_TICK_MS);
    now_ms = 10; /* No timer has run for so long. */
    assert_int_equal(hurried(PEER), NOW_MS);
    now_ms = NOW_MS;
    libraft_is(RAFT_CANDIDATE);
    assert_int_equal(hurried(PEER), NOW_MS);
    libraft_is(RAFT_FOLLOWER);
    guard_closing(&guard);
    assert_int_equal(hurried(PEER), NOW_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_vote_counts_for_a_candidate_only, wrap),
        cmocka_unit_test_setup(a_leader_of_an_older_term_is_answered_by_the_guard, wrap),
        cmocka_unit_test_setup(who_was_removed_is_not_heard, wrap),
        cmocka_unit_test_setup(a_snapshot_waits_for_the_one_that_is_written, wrap),
        cmocka_unit_test_setup(a_batch_ends_before_a_configuration, wrap),
        cmocka_unit_test_setup(nothing_is_heard_or_said_after_the_disk_failed, wrap),
        cmocka_unit_test_setup(closing_is_no_failure, wrap),
        cmocka_unit_test_setup(a_silent_leader_does_not_hold_up_votes, wrap),
        cmocka_unit_test_setup(a_leader_is_noted_after_the_message_that_made_it_one, wrap),
        cmocka_unit_test_setup(a_send_that_fails_is_told_and_no_error, wrap),
        cmocka_unit_test_setup(a_refused_pre_vote_names_our_term, wrap),
        cmocka_unit_test_setup(a_leader_ticks_once_a_heartbeat, wrap),
        cmocka_unit_test_setup(contacts_are_of_the_last_message, wrap),
        cmocka_unit_test_setup(a_lost_leader_brings_the_election_near, wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
