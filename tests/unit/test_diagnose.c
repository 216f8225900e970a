/* The table of DESIGN §8: one test a row of plan/diagnose.h, and the borders between the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_world.h"

enum { M1 = 0, M2 = 1, M3 = 2, DB1 = 0, DB2 = 1, DB3 = 2, DB4 = 3 };

static struct world *w;
static struct diagnosis d;

static int setup(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    world_enrol(w);
    world_look(w);
    return w->broken[0] == '\0' && w->refused_n == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    world_free(w);
    return 0;
}

static struct view_observation *seen(uint8_t manager, uint8_t server)
{
    return &w->view->managers[manager].servers[server];
}

static enum diagnosis_row row(void)
{
    diagnose(world_cluster(w), w->view, &d);
    return d.row;
}

#define assert_row(expected) assert_string_equal(diagnosis_name(row()), diagnosis_name(DIAGNOSIS_##expected))
#define assert_says(text) assert_non_null(strstr(d.evidence, (text)))

static void refuse(uint8_t manager, uint32_t n, int64_t span_ms)
{
    struct view_observation *o = seen(manager, DB1);
    *o = (struct view_observation){.outcome = VIEW_REFUSED, .age_ms = 4, .ok_age_ms = 300, .alive_age_ms = 300,
                                   .refused_n = n, .refused_span_ms = span_ms, .failing_ms = span_ms + 4};
}

static void time_out(uint8_t manager, int64_t failing_ms)
{
    struct view_observation *o = seen(manager, DB1);
    *o = (struct view_observation){.outcome = VIEW_TIMED_OUT, .age_ms = 4, .ok_age_ms = failing_ms,
                                   .alive_age_ms = failing_ms, .failing_ms = failing_ms};
}

/* What all managers read of a follower's receiver, 'age_ms' ago. */
static void receiver(uint8_t server, enum view_io io, int64_t idle_ms, int64_t age_ms)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        struct view_observation *o = seen(m, server);
        o->age_ms = o->ok_age_ms = age_ms;
        o->facts.channels[0].io = io;
        o->facts.channels[0].io_errno = io == VIEW_IO_CONNECTING ? 2003 : 0;
        o->facts.channels[0].idle_ms = idle_ms;
    }
}

static void receivers(enum view_io io, int64_t idle_ms, int64_t age_ms)
{
    for (uint8_t i = DB2; i <= DB4; i++) receiver(i, io, idle_ms, age_ms);
}

static void unreadable(uint8_t server)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        *seen(m, server) = (struct view_observation){.outcome = VIEW_REFUSED, .age_ms = 2, .ok_age_ms = -1,
                                                     .alive_age_ms = -1, .refused_n = 9, .failing_ms = 200};
    }
}

static void killed(void)
{
    refuse(M1, 2, 23);
    refuse(M2, 2, 21);
    refuse(M3, 2, 20);
    receivers(VIEW_IO_CONNECTING, 30, 3);
}

static void frozen(void)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) time_out(m, 1000);
    receivers(VIEW_IO_YES, 1010, 3);
}

/* --- one a row --- */

static void test_ok(void **state)
{
    (void)state;
    assert_row(OK);
    assert_false(d.acts);
    assert_false(d.suspicious);
    assert_says("m1 -> db1: answered, writable");
    assert_says("db2 receiver: connected");
    assert_true(d.change[0] != '\0');
}

static void test_not_enrolled(void **state)
{
    (void)state;
    world_cluster(w)->epoch = 0;
    world_cluster(w)->master = FSM_SERVER_NONE;
    killed();
    assert_row(NOT_ENROLLED);
    assert_false(d.acts);
    assert_says("m1 -> db1: refused 2x in 23 ms");
}

static void test_gone(void **state)
{
    (void)state;
    killed();
    assert_row(GONE);
    assert_true(d.acts);
    assert_true(d.suspicious);
    assert_says("m1 -> db1: refused 2x in 23 ms");
    assert_says("db2 receiver: connecting, errno 2003, idle 30 ms");
}

static void test_silent(void **state)
{
    (void)state;
    frozen();
    assert_row(SILENT);
    assert_true(d.acts);
    assert_says("no answer for 1000 ms");
}

static void read_only(uint8_t manager, uint64_t started_s)
{
    seen(manager, DB1)->facts.read_only = true;
    seen(manager, DB1)->facts.started_s = started_s;
}

static void test_restarted(void **state)
{
    (void)state;
    read_only(M1, 2);
    read_only(M3, 2);
    assert_row(RESTARTED);
    assert_true(d.acts);
    /* One manager alone saw another incarnation. */
    read_only(M3, 1);
    assert_row(CLOSED);
    /* What was never written down cannot be compared. */
    read_only(M1, 1);
    world_cluster(w)->reigns[0].started_s[DB1] = 0;
    assert_row(RESTARTED);
}

static void test_closed(void **state)
{
    (void)state;
    read_only(M1, 1);
    read_only(M2, 1);
    assert_row(CLOSED);
    assert_false(d.acts);
    assert_non_null(strstr(d.change, "regent failover"));
    /* A failover that did not come to its end has closed it: nobody else would open it. */
    world_cluster(w)->epoch_used++;
    assert_row(RESTARTED);
    assert_true(d.acts);
}

/* All managers read of the master: so many commits wait, and for so long none was acknowledged. */
static void commits_wait(uint32_t n, int64_t stalled_ms, uint32_t clients)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, DB1)->facts.wait_sessions = n;
        seen(m, DB1)->facts.stalled_ms = stalled_ms;
        seen(m, DB1)->facts.source_clients = clients;
    }
}

static void test_blocked(void **state)
{
    (void)state;
    commits_wait(3, 0, 0);
    assert_row(BLOCKED); /* Who could acknowledge is not there: that tells at once. */
    assert_false(d.acts);
    assert_says("3 commits wait, 0 ackers");
    /* Commits that wait for an acker that is there are the normal case. */
    commits_wait(3, 5000, 1);
    assert_row(OK);
    assert_says("3 commits wait, 1 ackers, none acknowledged for 5000 ms");
}

/* The connection of an acker that lost its power is counted for minutes; the managers do not reach it. */
static void test_blocked_by_a_lost_acker(void **state)
{
    (void)state;
    commits_wait(3, 1000, 1);
    seen(M2, DB2)->outcome = VIEW_TIMED_OUT;
    assert_row(OK);
    seen(M1, DB2)->outcome = VIEW_TIMED_OUT;
    assert_row(BLOCKED);
    assert_false(d.acts);
    seen(M1, DB2)->outcome = VIEW_OK;
    assert_row(OK);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->facts.channels[0].io = VIEW_IO_CONNECTING;
    assert_row(BLOCKED);
    commits_wait(0, 0, 1);
    assert_row(OK);
    /* It follows, and does not acknowledge. */
    commits_wait(3, 1000, 1);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->facts.channels[0].io = VIEW_IO_YES;
    assert_row(OK);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->facts.replica_on = false;
    assert_row(BLOCKED);
}

/* No manager reaches the acker; the master does. */
static void lose_acker(void)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->outcome = VIEW_TIMED_OUT;
}

/* On a busy master some commit waits whenever one looks, and yet commits flow. */
static void test_not_blocked_while_commits_flow(void **state)
{
    (void)state;
    lose_acker();
    commits_wait(3, 0, 1);
    assert_row(OK);
    commits_wait(3, 999, 1);
    assert_row(OK);
    commits_wait(3, 1000, 1);
    assert_row(BLOCKED);
}

/* Each manager counts from when it began to look: the one that has looked longest knows most. */
static void test_blocked_for_whom_looked_longest(void **state)
{
    (void)state;
    lose_acker();
    commits_wait(3, 0, 1);
    seen(M1, DB1)->age_ms = seen(M2, DB1)->age_ms = 1;
    seen(M3, DB1)->age_ms = 100;
    seen(M3, DB1)->facts.stalled_ms = 1000;
    assert_row(BLOCKED);
    /* But the count has moved since he looked, or it counts from another start of the server. */
    seen(M3, DB1)->facts.yes_tx = 7;
    assert_row(OK);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB1)->facts.yes_tx = 7;
    assert_row(BLOCKED);
    seen(M3, DB1)->facts.started_s--;
    assert_row(OK);
    seen(M3, DB1)->facts.started_s++;
    w->view->managers[M3].heard = false;
    assert_row(OK);
}

/* A manager of an older version read the master last, and cannot tell: it counts that some wait. */
static void test_blocked_for_all_that_an_older_manager_tells(void **state)
{
    (void)state;
    lose_acker();
    commits_wait(3, 0, 1);
    seen(M1, DB1)->age_ms = seen(M3, DB1)->age_ms = 100;
    seen(M2, DB1)->age_ms = 1;
    seen(M2, DB1)->facts.stalled_ms = -1;
    assert_row(BLOCKED);
    seen(M2, DB1)->age_ms = 200;
    assert_row(OK);
}

/* A host without power answers nothing for longer than a probe is fresh. */
static void test_blocked_by_an_acker_that_is_long_in_telling(void **state)
{
    (void)state;
    commits_wait(3, 1000, 1);
    lose_acker();
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        seen(m, DB2)->failing_ms = 20000;
        seen(m, DB2)->age_ms = 3000;
    }
    assert_row(BLOCKED);
}

/* Somebody has switched semi-sync on where no acker is. */
static void test_blocked_without_ackers(void **state)
{
    (void)state;
    world_cluster(w)->reigns[0].k = 0;
    world_cluster(w)->reigns[0].ackers = 0;
    commits_wait(3, 0, 0);
    assert_row(BLOCKED);
    commits_wait(3, 5000, 1);
    assert_row(OK);
}

static void test_alarm(void **state)
{
    (void)state;
    seen(M1, DB1)->outcome = VIEW_TOO_MANY;
    seen(M2, DB1)->outcome = VIEW_LOGIN_REFUSED;
    seen(M3, DB1)->outcome = VIEW_TOO_MANY;
    assert_row(ALARM);
    assert_false(d.acts);
    assert_says("too many connections");
}

static void test_minority(void **state)
{
    (void)state;
    refuse(M1, 5, 100);
    w->view->managers[M3].heard = false;
    assert_row(MINORITY);
    assert_false(d.acts);
    assert_true(d.suspicious);
    assert_says("m3 -> db1: not heard from");
}

static void test_receivers_alive(void **state)
{
    (void)state;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) time_out(m, 5000);
    assert_row(RECEIVERS_ALIVE);
    assert_false(d.acts);
}

static void test_waiting(void **state)
{
    (void)state;
    refuse(M1, 1, 0);
    refuse(M2, 1, 0);
    refuse(M3, 1, 0);
    receivers(VIEW_IO_CONNECTING, 10, 1);
    assert_row(WAITING);
    assert_false(d.acts);
    assert_true(d.suspicious);
}

static void test_blind(void **state)
{
    (void)state;
    killed();
    w->view->managers[M2].heard = false;
    w->view->managers[M3].heard = false;
    assert_row(BLIND);
    assert_false(d.acts);
}

static void test_paused(void **state)
{
    (void)state;
    world_cluster(w)->paused = true;
    killed();
    assert_row(PAUSED);
    assert_false(d.acts);
}

/* --- the borders of GONE --- */

static void test_gone_needs_a_majority(void **state)
{
    (void)state;
    killed();
    seen(M2, DB1)->refused_n = 1;
    assert_row(GONE);
    seen(M3, DB1)->refused_n = 1;
    assert_row(WAITING);
    /* Nor do followers that were read this very moment make up for the managers that are missing. */
    receivers(VIEW_IO_CONNECTING, 30, 0);
    assert_row(WAITING);
    seen(M3, DB1)->refused_n = 2;
    assert_row(GONE);
    for (uint8_t m = M2; m <= M3; m++) world_observe(w, m, DB1);
    seen(M1, DB1)->age_ms = 0;
    assert_row(OK);
    for (uint8_t m = M2; m <= M3; m++) seen(m, DB1)->age_ms = 1201;
    assert_row(MINORITY);
}

static void test_gone_needs_two_refusals_apart(void **state)
{
    (void)state;
    killed();
    seen(M1, DB1)->refused_span_ms = 19;
    seen(M2, DB1)->refused_span_ms = 19;
    assert_row(WAITING);
}

static void test_one_receiver_vetoes(void **state)
{
    (void)state;
    killed();
    receiver(DB3, VIEW_IO_YES, 5, 2);
    assert_row(RECEIVERS_ALIVE);
}

static void test_follower_read_before_the_refusals_is_no_proof(void **state)
{
    (void)state;
    killed();
    receivers(VIEW_IO_CONNECTING, 30, 200);
    assert_row(WAITING);
    receivers(VIEW_IO_YES, 2000, 200);
    assert_row(WAITING);
}

static void test_unreadable_follower_does_not_veto(void **state)
{
    (void)state;
    killed();
    unreadable(DB2);
    unreadable(DB3);
    assert_row(GONE);
    unreadable(DB4);
    assert_row(WAITING);
}

static void test_newer_answer_contradicts(void **state)
{
    (void)state;
    killed();
    world_observe(w, M3, DB1);
    seen(M3, DB1)->age_ms = 1;
    assert_row(WAITING);
    seen(M3, DB1)->age_ms = 25; /* At the very moment of the refusal that made a majority. */
    assert_row(WAITING);
    /* An answer from before the refusals contradicts nothing. */
    seen(M3, DB1)->age_ms = 300;
    assert_row(GONE);
}

static void test_old_attempts_count_for_nothing(void **state)
{
    (void)state;
    killed();
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB1)->age_ms = 1201;
    assert_row(BLIND);
}

/* --- the borders of SILENT --- */

static void test_silent_needs_the_timeout(void **state)
{
    (void)state;
    frozen();
    time_out(M1, 999);
    assert_row(SILENT);
    time_out(M2, 999);
    assert_row(WAITING);
}

static void test_heartbeat_vetoes(void **state)
{
    (void)state;
    frozen();
    receiver(DB4, VIEW_IO_YES, 240, 3);
    assert_row(RECEIVERS_ALIVE);
}

static void test_silence_must_be_seen_now(void **state)
{
    (void)state;
    frozen();
    receiver(DB4, VIEW_IO_YES, 1300, 251);
    assert_row(WAITING);
    /* Idle when it was probed, not idle since then. */
    receiver(DB4, VIEW_IO_YES, 1100, 200);
    assert_row(RECEIVERS_ALIVE);
    receiver(DB4, VIEW_IO_YES, 1300, 200);
    assert_row(SILENT);
}

static void test_silent_with_lost_connections(void **state)
{
    (void)state;
    frozen();
    receivers(VIEW_IO_CONNECTING, 1500, 3);
    assert_row(SILENT);
    receivers(VIEW_IO_CONNECTING, 500, 3);
    assert_row(WAITING);
}

static void test_unknown_idleness_is_no_silence(void **state)
{
    (void)state;
    frozen();
    receiver(DB3, VIEW_IO_YES, -1, 3);
    assert_row(WAITING);
}

static void test_missed_heartbeats_are_suspicious(void **state)
{
    (void)state;
    receiver(DB3, VIEW_IO_YES, 520, 3);
    assert_row(OK);
    assert_true(d.suspicious);
    receiver(DB3, VIEW_IO_YES, 520, 300);
    assert_row(OK);
    assert_false(d.suspicious);
}

/* A receiver whose heartbeats are rare, or switched off, may be idle and healthy: no witness of silence. */
static void test_rare_heartbeats_are_no_silence(void **state)
{
    (void)state;
    static const uint32_t periods_ms[] = {0, 251, 30000};
    frozen();
    for (unsigned p = 0; p < ARRAY_LEN(periods_ms); p++) {
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            seen(m, DB3)->facts.channels[0].heartbeat_period_ms = periods_ms[p];
        }
        assert_row(WAITING);
    }
    /* A lost connection is another matter. */
    receiver(DB3, VIEW_IO_CONNECTING, 1500, 3);
    assert_row(SILENT);
}

static void has_no_channel(uint8_t server)
{
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, server)->facts.channels_n = 0;
}

/* A failover that failed has promoted the acker, and the old master is gone for good, or cut off. */
static void test_an_acker_without_channel_tells_the_end(void **state)
{
    struct fsm_reign *reign = &world_cluster(w)->reigns[0];
    (void)state;
    killed();
    for (uint8_t i = DB2; i < world_cluster(w)->servers_n; i++) has_no_channel(i);
    assert_row(GONE);
    reign->lossless = false; /* The master waits for nobody. */
    assert_row(WAITING);
    reign->lossless = true;
    reign->ackers = FSM_BIT(DB3); /* Of one that is no acker it says nothing. */
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB3)->outcome = VIEW_TIMED_OUT;
    assert_row(WAITING);
    reign->ackers = FSM_BIT(DB2);
    assert_row(GONE);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) (void)TEXT_COPY(seen(m, DB2)->facts.identity, "somebody-else");
    assert_row(WAITING);
}

static void test_an_acker_without_channel_tells_silence(void **state)
{
    (void)state;
    frozen();
    for (uint8_t i = DB2; i < world_cluster(w)->servers_n; i++) has_no_channel(i);
    assert_row(SILENT);
    /* More channels than are looked at. */
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
        struct view_facts *f = &seen(m, DB2)->facts;
        f->channels_n = VIEW_CHANNELS_MAX + 1;
        for (uint8_t i = 0; i < VIEW_CHANNELS_MAX; i++) f->channels[i].source_server_id = 99;
    }
    assert_row(WAITING);
}

static void test_manager_not_heard_from_is_no_witness(void **state)
{
    (void)state;
    killed();
    seen(M3, DB3)->age_ms = 1;
    seen(M3, DB3)->facts.channels[0].io = VIEW_IO_YES;
    seen(M3, DB3)->facts.channels[0].idle_ms = 5;
    assert_row(RECEIVERS_ALIVE);
    w->view->managers[M3].heard = false;
    assert_row(GONE);
}

/* --- the borders of OK (S6) --- */

/* Somebody else answers at the master's address: alive, but not the master, whatever it says of itself. */
static void test_another_server_is_an_alarm(void **state)
{
    (void)state;
    (void)TEXT_COPY(seen(M1, DB1)->facts.identity, "somebody-else");
    assert_row(OK);
    (void)TEXT_COPY(seen(M2, DB1)->facts.identity, "somebody-else");
    assert_row(ALARM);
    assert_says("m1 -> db1: answered, writable, another server than the one enrolled");
    read_only(M1, 9);
    read_only(M2, 9);
    assert_row(ALARM);
    seen(M1, DB1)->facts.wait_sessions = 1;
    seen(M1, DB1)->facts.source_clients = 0;
    assert_row(ALARM);
    /* None at all is what a server shows whose table was dropped. */
    seen(M1, DB1)->facts.identity[0] = seen(M2, DB1)->facts.identity[0] = '\0';
    seen(M1, DB1)->facts.wait_sessions = 0;
    seen(M1, DB1)->facts.read_only = false;
    assert_row(OK);
}

static void test_one_manager_cut_off(void **state)
{
    (void)state;
    time_out(M1, 60000);
    assert_row(OK);
    assert_true(d.suspicious);
    assert_says("m1 -> db1: no answer in time, no answer for 60000 ms");
    assert_says("m2 -> db1: answered, writable");
}

static void test_receivers_lost_but_master_read(void **state)
{
    (void)state;
    receivers(VIEW_IO_CONNECTING, 60000, 3);
    assert_row(OK);
    assert_true(d.suspicious);
}

static void test_one_reading_of_read_only_does_not_act(void **state)
{
    (void)state;
    seen(M1, DB1)->facts.read_only = true;
    assert_row(OK);
    w->view->managers[M3].heard = false;
    assert_row(OK);
}

static void test_appliers_never_matter(void **state)
{
    (void)state;
    for (uint8_t i = DB2; i <= DB4; i++) {
        for (uint8_t m = 0; m < WORLD_MANAGERS; m++) {
            seen(m, i)->facts.channels[0].applier = false;
            seen(m, i)->facts.channels[0].sql_errno = 1062;
        }
    }
    assert_row(OK);
    assert_false(d.suspicious);
    assert_says("db3 applier: stopped, errno 1062 (no reason to replace the master)");
    assert_string_equal(diagnose_server(world_cluster(w), w->view, DB3), "applier stopped on an error");
}

/* --- diagnose_server --- */

#define assert_server(i, text) assert_string_equal(diagnose_server(world_cluster(w), w->view, (i)), (text))

static void test_servers(void **state)
{
    (void)state;
    for (uint8_t i = DB1; i <= DB4; i++) assert_null(diagnose_server(world_cluster(w), w->view, i));
    receiver(DB2, VIEW_IO_NO, 10, 3);
    assert_server(DB2, "receiver stopped");
    receiver(DB2, VIEW_IO_YES, 10, 3);
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB2)->facts.replica_on = false;
    assert_server(DB2, "an acker that does not acknowledge");
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB3)->facts.replica_enabled = true;
    assert_server(DB3, "may acknowledge, but is no acker: its semi-sync flag is on");
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, DB3)->facts.read_only = false;
    assert_server(DB3, "writable, but not the master");
    unreadable(DB4);
    assert_server(DB4, "cannot be read");
}

static void test_texts_are_bounded(void **state)
{
    (void)state;
    static struct view big;
    world_cluster(w)->servers_n = FSM_SERVERS_MAX;
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++) memset(world_cluster(w)->servers[i].name, 'x', FSM_NAME_SIZE - 1);
    big.managers_n = VIEW_MANAGERS_MAX;
    diagnose(world_cluster(w), &big, &d);
    assert_true(strlen(d.evidence) < sizeof(d.evidence));
    assert_string_equal(diagnosis_name(d.row), "blind");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(diagnosis_name(DIAGNOSIS_MINORITY), "minority-view");
    assert_string_equal(diagnosis_name(DIAGNOSIS_ROWS_N), "?");
    assert_string_equal(verb_name(VERB_REIGN_ROW), "reign_row");
    assert_string_equal(verb_name(VERB_none), "none");
    assert_string_equal(verb_name(VERB_KINDS_N), "?");
    assert_string_equal(view_outcome_text(VIEW_REFUSED), "connection refused");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ok), T(test_not_enrolled), T(test_gone), T(test_silent), T(test_restarted), T(test_closed),
        T(test_blocked), T(test_blocked_by_a_lost_acker), T(test_blocked_by_an_acker_that_is_long_in_telling),
        T(test_blocked_without_ackers),
        T(test_not_blocked_while_commits_flow), T(test_blocked_for_whom_looked_longest),
        T(test_blocked_for_all_that_an_older_manager_tells),
        T(test_rare_heartbeats_are_no_silence), T(test_manager_not_heard_from_is_no_witness),
        T(test_an_acker_without_channel_tells_the_end), T(test_an_acker_without_channel_tells_silence),
        T(test_another_server_is_an_alarm),
        T(test_alarm), T(test_minority), T(test_receivers_alive), T(test_waiting), T(test_blind), T(test_paused),
        T(test_gone_needs_a_majority), T(test_gone_needs_two_refusals_apart), T(test_one_receiver_vetoes),
        T(test_follower_read_before_the_refusals_is_no_proof), T(test_unreadable_follower_does_not_veto),
        T(test_newer_answer_contradicts), T(test_old_attempts_count_for_nothing), T(test_silent_needs_the_timeout),
        T(test_heartbeat_vetoes), T(test_silence_must_be_seen_now), T(test_silent_with_lost_connections),
        T(test_unknown_idleness_is_no_silence), T(test_missed_heartbeats_are_suspicious), T(test_one_manager_cut_off),
        T(test_receivers_lost_but_master_read), T(test_one_reading_of_read_only_does_not_act),
        T(test_appliers_never_matter), T(test_servers), T(test_texts_are_bounded), T(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
