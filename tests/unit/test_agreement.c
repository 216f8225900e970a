/* Digests of the state at run time: taken, counted, compared; a member whose state was changed in memory stops, whoever
 * it is, and the others go on; members with equal states never stop. */
#include "tests/unit/consensus_fixture.h"

#include <signal.h>
#include <time.h>

#include "fsm/apply.h"
#include "raft/log_read.h"

static int setup3(void **state)
{
    *state = consensus_fixture_new(3);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* --- counting --------------------------------------------------------------------------------------------------- */

static struct raft_node_status group_of(unsigned n, uint64_t self)
{
    struct raft_node_status s = {.id = self, .members_n = n};
    for (unsigned i = 0; i < n; i++) s.members[i].id = i + 1;
    return s;
}

static struct agreement_digest digest_of(uint64_t index, uint8_t byte)
{
    struct agreement_digest d = {.index = index};
    memset(d.digest, byte, sizeof d.digest);
    return d;
}

static void set_own(struct agreement *a, uint64_t index, uint8_t byte)
{
    a->own[index / AGREEMENT_EVERY % AGREEMENT_KEPT] = digest_of(index, byte);
    a->newest = index;
}

static void test_majority_decides(void **state)
{
    (void)state;
    struct agreement a = {0};
    struct raft_node_status s = group_of(3, 1);
    struct fsm_cmd_digest wish;
    struct agreement_digest d = digest_of(1024, 7), other = digest_of(1024, 8), old = digest_of(512, 7);
    struct err e = {0};
    set_own(&a, 1024, 7);
    assert_false(agreement_wish(&a, &s, &wish)); /* One of three. */
    agreement_report(&a, 2, &old);
    assert_false(agreement_wish(&a, &s, &wish)); /* Another index. */
    agreement_report(&a, 9, &d);
    assert_false(agreement_wish(&a, &s, &wish)); /* No voter. */
    agreement_report(&a, 2, &other);
    assert_false(agreement_wish(&a, &s, &wish));
    agreement_report(&a, 3, &other);
    assert_true(agreement_wish(&a, &s, &wish)); /* The leader is the one that differs. */
    assert_int_equal(wish.index, 1024);
    assert_int_equal(wish.digest[0], 8);
    assert_int_equal(agreement_check(&a, &wish, "/var/lib/regent", &e), -EBADMSG);
    print_message("    %s\n", e.text);
    const char *const parts[] = {"1024", "0707070707", "0808080808", "regent log check", "/var/lib/regent", "new id"};
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) assert_non_null(strstr(e.text, parts[i]));
    assert_false(agreement_wish(&a, &s, &wish)); /* Decided. */
}

static void test_without_majority_nobody_stops(void **state)
{
    (void)state;
    struct agreement a = {0};
    struct raft_node_status s = group_of(2, 1);
    struct fsm_cmd_digest wish;
    struct agreement_digest d = digest_of(2048, 8);
    struct err e = {0};
    set_own(&a, 2048, 7);
    agreement_report(&a, 2, &d);
    assert_false(agreement_wish(&a, &s, &wish));
    assert_int_equal(a.doubted, 2048);
    /* An index that this manager has no digest of is passed over. */
    wish = (struct fsm_cmd_digest){.index = 1024};
    assert_int_equal(agreement_check(&a, &wish, "x", &e), 0);
    assert_int_equal(a.decided, 1024);
}

static void test_look_takes_the_state_at_the_multiple(void **state)
{
    (void)state;
    struct agreement a = {0};
    struct fsm_state *s = malloc(sizeof *s);
    struct agreement_digest own;
    uint8_t expected[PROTO_DIGEST_SIZE];
    fsm_init(s);
    s->index = 1000;
    agreement_look(&a, s, 1024);
    assert_false(agreement_own(&a, &own)); /* 1024 itself is to come. */
    s->index = 1023; /* 1024 is a barrier. */
    assert_true(proto_state_digest(s, expected));
    agreement_look(&a, s, 1025);
    assert_true(agreement_own(&a, &own));
    assert_int_equal(own.index, 1024);
    assert_memory_equal(own.digest, expected, sizeof expected);
    s->index = 2500; /* A snapshot was installed behind 2048. */
    agreement_look(&a, s, 2501);
    assert_true(agreement_own(&a, &own) && own.index == 1024);
    free(s);
}

/* --- a group ---------------------------------------------------------------------------------------------------- */

static unsigned digests_in(const struct member *m)
{
    struct log_image *image = NULL;
    struct err e = {0};
    struct fsm_command *c = malloc(sizeof *c);
    unsigned n = 0;
    assert_int_equal(log_read(m->dir, &image, &e), 0);
    for (size_t i = 0; i < image->entries_n; i++) {
        const struct log_entry *entry = &image->entries[i];
        if (entry->kind != LOG_ENTRY_COMMAND) continue;
        assert_int_equal(proto_command_decode(c, entry->data, entry->size, &e), 0);
        n += c->kind == CMD_DIGEST;
    }
    log_image_free(image);
    free(c);
    return n;
}

/* Over 5,000 commands with snapshots, restarts and new leaders: everybody goes on. */
static void test_equal_members_go_on(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    for (unsigned i = 0; i < 3; i++) {
        f->members[i].config.snapshot_threshold = 300;
        f->members[i].config.snapshot_trailing = 10000;
    }
    fixture_start(f);
    for (unsigned round = 0; round < 9; round++) {
        struct member *m = &f->members[round % 3];
        fixture_elect(f);
        commit_events(f, 300, &seq);
        member_stop(m); /* The leader every now and then. */
        commit_events(f, 300, &seq);
        member_start(m);
        WAIT_UNTIL(f, m->status.leader_id != 0 && states_are_settled(f));
        assert_true(same_state(m, &f->members[(round + 1) % 3]));
    }
    commit_events(f, 5, &seq);
    WAIT_UNTIL(f, states_are_settled(f));
    for (unsigned i = 0; i < 3; i++) assert_string_equal(f->members[i].fatal, "");
    unsigned n = digests_in(&f->members[0]);
    print_message("    %d commands, %u digests\n", (int)seq, n);
    assert_true(n >= 4);
}

static void wait_for_stop(struct fixture *f, struct member *wrong, uint64_t *seq)
{
    for (unsigned i = 0; i < 60 && wrong->fatal[0] == '\0'; i++) commit_events(f, 50, seq);
    if (wrong->fatal[0] == '\0') fail_msg("member %" PRIu64 " went on with a wrong state", wrong->config.id);
    print_message("    %s\n", wrong->fatal);
    assert_non_null(strstr(wrong->fatal, "at index"));
    assert_non_null(strstr(wrong->fatal, "regent log check"));
    assert_non_null(strstr(wrong->fatal, "under a new id"));
    uint64_t applied = member_state(wrong)->index;
    for (unsigned i = 0; i < f->n; i++) {
        if (&f->members[i] != wrong) assert_string_equal(f->members[i].fatal, "");
    }
    member_stop(wrong); /* As its process ends. */
    commit_events(f, 20, seq);
    WAIT_UNTIL(f, states_are_settled(f));
    assert_true(fixture_leader(f)->status.applied_index > applied);
}

/* A bit of the state turns in memory. There is no way in from outside: the test writes where it should only read. */
static void spoil(const struct member *m)
{
    struct fsm_state *s = (struct fsm_state *)(uintptr_t)member_state(m);
    s->events[0].text[0] ^= 1;
}

static void keep_status(void *arg, int status, const struct fsm_result *result)
{
    int *kept = arg;
    (void)result;
    *kept = status;
}

static void ignore_outcome(void *arg, int status, uint64_t index)
{
    (void)arg;
    (void)status;
    (void)index;
}

/* A manager whose state failed applies nothing more: what was proposed behind that has no result. */
static void test_proposal_behind_a_failure_is_unknown(void **state)
{
    struct fixture *f = *state;
    static struct fsm_command c;
    int status = 1;
    fixture_start(f);
    fixture_elect(f);
    struct member *leader = fixture_leader(f);
    assert_int_equal(raft_node_propose(leader->node, "no command", 10, ignore_outcome, NULL), 0);
    fill_event(&c, 1, 10);
    assert_int_equal(consensus_propose(leader->owner, &c, keep_status, &status), 0);
    WAIT_UNTIL(f, status != 1);
    assert_int_equal(status, -EIO);
    assert_non_null(strstr(leader->fatal, "corrupt at index"));
}

static void test_wrong_follower_stops(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    fixture_start(f);
    fixture_elect(f);
    commit_events(f, 100, &seq);
    WAIT_UNTIL(f, fixture_follower(f) != NULL);
    struct member *wrong = fixture_follower(f);
    spoil(wrong);
    wait_for_stop(f, wrong, &seq);
    /* Its disk is right: no snapshot was taken since. It comes back with the right state. */
    member_start(wrong);
    WAIT_UNTIL(f, wrong->status.leader_id != 0 && states_are_settled(f));
    assert_string_equal(wrong->fatal, "");
    assert_true(same_state(wrong, fixture_leader(f)));
}

static void test_wrong_leader_stops(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;
    fixture_start(f);
    struct member *wrong = fixture_elect(f);
    commit_events(f, 100, &seq);
    spoil(wrong);
    wait_for_stop(f, wrong, &seq);
}

/* --- cost ------------------------------------------------------------------------------------------------------- */

static int64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void print_cost(const char *what, const struct fsm_state *s)
{
    uint8_t digest[PROTO_DIGEST_SIZE];
    void *data = NULL;
    size_t size = 0;
    int64_t best = INT64_MAX;
    assert_int_equal(proto_snapshot_encode(s, &data, &size), 0);
    free(data);
    for (unsigned i = 0; i < 5; i++) {
        int64_t start = cpu_us();
        assert_true(proto_state_digest(s, digest));
        if (cpu_us() - start < best) best = cpu_us() - start;
    }
    print_message("    %s: %zu KiB, %d us\n", what, size / 1024, (int)best);
}

/* Printed, not judged: sanitizers and a busy machine. The figures are in docs/limits.md. */
static void test_cost_of_a_digest(void **state)
{
    (void)state;
    struct fsm_state *s = malloc(sizeof *s);
    struct fsm_command *c = calloc(1, sizeof *c);
    struct fsm_result result;
    fsm_init(s);
    for (uint64_t i = 1; i <= 3000; i++) {
        fill_event(c, i, 200);
        fsm_apply(s, i, c, &result);
        assert_int_equal(result.code, FSM_OK);
    }
    print_cost("events and request ids, all slots, usual texts", s);
    for (uint64_t i = 3001; i <= 6000; i++) {
        fill_event(c, i, FSM_EVIDENCE_SIZE);
        fsm_apply(s, i, c, &result);
    }
    for (unsigned i = 0; i < FSM_PLANS_MAX; i++) {
        s->plans[i].token = i + 1;
        for (unsigned k = 0; k < FSM_SERVERS_MAX; k++) {
            s->plans[i].found[k].set = true;
            memset(s->plans[i].found[k].received, 'g', 100);
            memset(s->plans[i].found[k].executed, 'g', 100);
        }
    }
    for (unsigned i = 0; i < FSM_CLUSTERS_MAX; i++) {
        s->clusters[i].used = true;
        s->clusters[i].servers_n = FSM_SERVERS_MAX;
        for (unsigned k = 0; k < FSM_SERVERS_MAX; k++) memset(s->clusters[i].servers[k].reason, 'r', 100);
    }
    print_cost("everything full", s);
    free(s);
    free(c);
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_majority_decides),
        cmocka_unit_test(test_without_majority_nobody_stops),
        cmocka_unit_test(test_look_takes_the_state_at_the_multiple),
        cmocka_unit_test_setup_teardown(test_equal_members_go_on, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_proposal_behind_a_failure_is_unknown, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_follower_stops, setup3, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_leader_stops, setup3, teardown),
        cmocka_unit_test(test_cost_of_a_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
