/* From request to answer: who may answer, what is proposed, how results become codes, how events are paged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/frame.h"
#include "tests/unit/handmade.h"

struct asked {
    struct handmade *h;
    struct client_request request;
    struct client_answer answer;
    struct fsm_command command;
    uint64_t next_index;
    json_t *json;
};

static int setup(void **state)
{
    struct asked *a = calloc(1, sizeof(*a));
    a->h = handmade_new();
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    struct asked *a = *state;
    client_answer_fini(&a->answer);
    json_decref(a->json);
    free(a->h);
    free(a);
    return 0;
}

static void parse(struct asked *a)
{
    json_decref(a->json);
    a->json = a->answer.json != NULL ? json_loads(a->answer.json, 0, NULL) : NULL;
}

static enum answer_kind ask(struct asked *a, enum client_op op, const char *cluster)
{
    client_answer_fini(&a->answer);
    a->request.op = op;
    strcpy(a->request.cluster, cluster);
    enum answer_kind kind = answer_request(&a->h->world, &a->request, &a->command, &a->answer, &a->next_index);
    parse(a);
    return kind;
}

static void not_leader(struct asked *a, uint64_t leader_id)
{
    a->h->node.established = false;
    a->h->node.leader_id = leader_id;
}

static const char *text_at(json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "(null)";
}

static void leader_answers_reads(void **state)
{
    struct asked *a = *state;
    handmade_plan(a->h, PLAN_STATE_FINISHED, STEP_DONE);
    a->request.number = 117;
    const enum client_op reads[] = {CLIENT_STATUS,    CLIENT_EVENTS,      CLIENT_EXPLAIN, CLIENT_PLAN_LIST,
                                    CLIENT_PLAN_SHOW, CLIENT_MEMBER_LIST, CLIENT_CLUSTER_SHOW};
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        assert_int_equal(ask(a, reads[i], "shop"), ANSWER_NOW);
        assert_int_equal(a->answer.code, CLIENT_OK);
        assert_non_null(a->json);
        assert_string_equal(a->answer.text, "");
    }
}

static void explain_tells_row_and_next(void **state)
{
    struct asked *a = *state;
    ask(a, CLIENT_EXPLAIN, "shop");
    assert_string_equal(text_at(a->json, "verdict"), "ok");
    assert_string_equal(text_at(a->json, "next"), "nothing to do");
    a->h->blind = true;
    ask(a, CLIENT_EXPLAIN, "shop");
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_non_null(strstr(a->answer.text, "has seen nothing of cluster shop yet"));
}

/* Every operation but the version is sent to the leader by a follower, changes and reads alike. */
static void follower_redirects(void **state)
{
    struct asked *a = *state;
    not_leader(a, 2);
    for (int op = 1; op < CLIENT_OPS_N; op++) {
        if (op == CLIENT_VERSION) continue;
        assert_int_equal(ask(a, (enum client_op)op, "shop"), ANSWER_NOW);
        assert_int_equal(a->answer.code, CLIENT_REDIRECT);
        assert_string_equal(a->answer.leader, "127.0.0.1:7402");
    }
    ask(a, CLIENT_VERSION, "");
    assert_int_equal(a->answer.code, CLIENT_OK);
    assert_string_equal(text_at(a->json, "version"), REGENT_VERSION);
}

static void no_leader_is_told(void **state)
{
    struct asked *a = *state;
    not_leader(a, 0);
    ask(a, CLIENT_STATUS, "");
    assert_int_equal(a->answer.code, CLIENT_NO_LEADER);
    assert_null(a->answer.json);
    assert_non_null(strstr(a->answer.text, "m1 knows no leader"));
    not_leader(a, 1); /* Itself, before its barrier: no redirect to itself. */
    ask(a, CLIENT_STATUS, "");
    assert_int_equal(a->answer.code, CLIENT_NO_LEADER);
    assert_non_null(strstr(a->answer.text, "not ready yet"));
}

static void stale_reads_are_marked(void **state)
{
    struct asked *a = *state;
    not_leader(a, 0);
    a->request.stale_ok = true;
    assert_int_equal(ask(a, CLIENT_STATUS, ""), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_NO_LEADER);
    assert_true(json_is_true(json_object_get(a->json, "stale")));
    assert_true(json_is_null(json_object_get(a->json, "leader")));
    assert_non_null(strstr(a->answer.text, "There is no leader"));
    assert_int_equal(json_array_size(json_object_get(a->json, "clusters")), 1);
}

/* A change is never made from memory, whatever the client allows; nor is a stale follow kept open. */
static void stale_changes_are_not(void **state)
{
    struct asked *a = *state;
    not_leader(a, 2);
    a->request.stale_ok = true;
    a->request.id.client = 9;
    const enum client_op ops[] = {CLIENT_FAILOVER, CLIENT_PLAN_ABORT, CLIENT_CLUSTER_SET, CLIENT_NOTE};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_int_equal(ask(a, ops[i], "shop"), ANSWER_NOW);
        assert_int_equal(a->answer.code, CLIENT_REDIRECT);
    }
    a->request.follow = true;
    assert_int_equal(ask(a, CLIENT_EVENTS, ""), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_NO_LEADER);
}

static void status_of_one_cluster(void **state)
{
    struct asked *a = *state;
    a->h->state.clusters[5] = a->h->state.clusters[0];
    strcpy(a->h->state.clusters[5].name, "bank");
    ask(a, CLIENT_STATUS, "");
    assert_int_equal(json_array_size(json_object_get(a->json, "clusters")), 2);
    ask(a, CLIENT_STATUS, "bank");
    json_t *clusters = json_object_get(a->json, "clusters");
    assert_int_equal(json_array_size(clusters), 1);
    assert_string_equal(text_at(json_array_get(clusters, 0), "name"), "bank");
}

static void unknown_names_list_the_known(void **state)
{
    struct asked *a = *state;
    const enum client_op ops[] = {CLIENT_STATUS, CLIENT_EVENTS, CLIENT_EXPLAIN, CLIENT_PLAN_LIST, CLIENT_CLUSTER_SHOW};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ask(a, ops[i], "shpo");
        assert_int_equal(a->answer.code, CLIENT_FAILED);
        assert_string_equal(a->answer.text, "no cluster \"shpo\"; there is: shop");
    }
    a->request.id.client = 9;
    strcpy(a->request.server, "db9");
    ask(a, CLIENT_FAILOVER, "shop");
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_string_equal(a->answer.text, "cluster shop has no server \"db9\"; it has db1, db2, db3, db4");
    a->request.number = 4;
    ask(a, CLIENT_PLAN_SHOW, "");
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_non_null(strstr(a->answer.text, "no plan 4"));
    a->h->state.clusters[0].used = false;
    ask(a, CLIENT_EXPLAIN, "shop");
    assert_non_null(strstr(a->answer.text, "none is declared yet"));
}

/* ---- changes ---- */

static void failover_is_proposed_under_the_clients_id(void **state)
{
    struct asked *a = *state;
    a->request.id = (struct fsm_request_id){.client = 77, .seq = 3};
    strcpy(a->request.server, "db2");
    assert_int_equal(ask(a, CLIENT_FAILOVER, "shop"), ANSWER_PROPOSE);
    assert_int_equal(a->command.kind, CMD_PLAN_BEGIN);
    assert_int_equal(a->command.id.client, 77);
    assert_int_equal(a->command.id.seq, 3);
    assert_int_equal(a->command.time.us, HANDMADE_TIME);
    assert_int_equal(a->command.u.plan_begin.to, 1);
    assert_true(a->command.u.plan_begin.by_operator);
    assert_false(a->command.u.plan_begin.accept_loss);
}

static void dry_run_proposes_nothing(void **state)
{
    struct asked *a = *state;
    a->request.dry_run = true;
    assert_int_equal(ask(a, CLIENT_FAILOVER, "shop"), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_OK);
    assert_true(json_array_size(json_object_get(a->json, "steps")) > 3);
    assert_string_equal(text_at(a->json, "result"), "ok");
}

/* Nobody left to promote: refused by a safety rule, dry or not, with the names of those who are missing. */
static void unsafe_failover_is_refused(void **state)
{
    struct asked *a = *state;
    for (uint8_t i = 1; i < 4; i++) handmade_fails(a->h, i, VIEW_REFUSED);
    a->request.id.client = 77;
    assert_int_equal(ask(a, CLIENT_FAILOVER, "shop"), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_REFUSED);
    assert_non_null(strstr(a->answer.text, "db2"));
    assert_null(strchr(a->answer.text, '\n'));
    a->request.dry_run = true;
    ask(a, CLIENT_FAILOVER, "shop");
    assert_int_equal(a->answer.code, CLIENT_REFUSED);
    assert_string_equal(text_at(a->json, "result"), "unsafe");
}

static void busy_cluster_refuses_a_failover(void **state)
{
    struct asked *a = *state;
    handmade_plan(a->h, PLAN_STATE_RUNNING, STEP_APPLY);
    a->request.id.client = 77;
    ask(a, CLIENT_FAILOVER, "shop");
    assert_int_equal(a->answer.code, CLIENT_REFUSED);
    assert_non_null(strstr(a->answer.text, "117"));
}

static void remember(struct handmade *h, enum fsm_code code)
{
    h->state.dedup[h->state.dedup_n++] =
        (struct fsm_dedup){.client = 77, .seq = 3, .index = 117, .code = (int32_t)code, .value = 117};
}

/* The client repeats a failover whose answer was lost: it gets the first result, not "busy with your own plan". */
static void repeated_request_gets_the_first_result(void **state)
{
    struct asked *a = *state;
    handmade_plan(a->h, PLAN_STATE_RUNNING, STEP_APPLY);
    remember(a->h, FSM_OK);
    a->request.id = (struct fsm_request_id){.client = 77, .seq = 3};
    assert_int_equal(ask(a, CLIENT_FAILOVER, "shop"), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_OK);
    assert_int_equal(json_integer_value(json_object_get(a->json, "token")), 117);
    assert_true(json_is_true(json_object_get(a->json, "repeated")));
    a->request.id.seq = 4; /* Another request of that client is judged anew. */
    ask(a, CLIENT_FAILOVER, "shop");
    assert_int_equal(a->answer.code, CLIENT_REFUSED);
}

/* A repetition so late that its first result is forgotten is not judged anew: "refused" would say it was not done. */
static void expired_request_is_not_judged_anew(void **state)
{
    struct asked *a = *state;
    handmade_plan(a->h, PLAN_STATE_RUNNING, STEP_APPLY);
    a->h->state.dedup_floor = 118;
    a->request.id = (struct fsm_request_id){.client = 77, .seq = 3, .since = 117};
    assert_int_equal(ask(a, CLIENT_FAILOVER, "shop"), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_EXPIRED);
    a->request.id.since = 118;
    ask(a, CLIENT_FAILOVER, "shop");
    assert_int_equal(a->answer.code, CLIENT_REFUSED);
}

static void note_is_proposed_as_an_event(void **state)
{
    struct asked *a = *state;
    a->request.id = (struct fsm_request_id){.client = 77, .seq = 3, .since = 9};
    ask(a, CLIENT_NOTE, "shop");
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_non_null(strstr(a->answer.text, "needs a text"));
    strcpy(a->request.text, "disk of db2 replaced");
    ask(a, CLIENT_NOTE, "shpo");
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_int_equal(ask(a, CLIENT_NOTE, "shop"), ANSWER_PROPOSE);
    assert_int_equal(a->command.kind, CMD_EVENT);
    assert_int_equal(a->command.id.since, 9);
    assert_string_equal(a->command.u.event.cluster, "shop");
    assert_string_equal(a->command.u.event.kind, "note");
    assert_string_equal(a->command.u.event.text, "disk of db2 replaced");
}

static void change_without_id_is_refused(void **state)
{
    struct asked *a = *state;
    a->request.number = 117;
    handmade_plan(a->h, PLAN_STATE_RUNNING, STEP_APPLY);
    const enum client_op ops[] = {CLIENT_FAILOVER, CLIENT_PLAN_ABORT, CLIENT_CLUSTER_SET, CLIENT_NOTE};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_int_equal(ask(a, ops[i], "shop"), ANSWER_NOW);
        assert_int_equal(a->answer.code, CLIENT_FAILED);
        assert_non_null(strstr(a->answer.text, "no id"));
    }
}

static void abort_and_set_are_proposed(void **state)
{
    struct asked *a = *state;
    a->request.id = (struct fsm_request_id){.client = 77, .seq = 3};
    a->request.number = 117;
    handmade_plan(a->h, PLAN_STATE_RUNNING, STEP_APPLY);
    assert_int_equal(ask(a, CLIENT_PLAN_ABORT, ""), ANSWER_PROPOSE);
    assert_int_equal(a->command.kind, CMD_PLAN_END);
    assert_int_equal(a->command.u.plan_end.token, 117);
    assert_int_equal(a->command.u.plan_end.state, PLAN_STATE_ABORTED);
    assert_true(a->command.u.plan_end.by_operator);
    a->request.create = true;
    strcpy(a->request.spec.name, "bank");
    a->request.spec.flavour = FLAVOUR_MYSQL;
    assert_int_equal(ask(a, CLIENT_CLUSTER_SET, ""), ANSWER_NOW);
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_non_null(strstr(a->answer.text, "flavour mysql is not supported"));
    a->request.spec.flavour = FLAVOUR_MARIADB;
    assert_int_equal(ask(a, CLIENT_CLUSTER_SET, ""), ANSWER_PROPOSE);
    assert_int_equal(a->command.kind, CMD_CLUSTER_SET);
    assert_true(a->command.u.cluster_set.create);
    assert_string_equal(a->command.u.cluster_set.spec.name, "bank");
    assert_int_equal(a->command.id.client, 77);
}

/* ---- results ---- */

static void result_codes(void **state)
{
    struct asked *a = *state;
    const enum client_code codes[FSM_CODES_N] = {
        [FSM_OK] = CLIENT_OK,           [FSM_NOT_FOUND] = CLIENT_FAILED, [FSM_EXISTS] = CLIENT_FAILED,
        [FSM_INVALID] = CLIENT_FAILED,  [FSM_BUSY] = CLIENT_REFUSED,     [FSM_STALE] = CLIENT_REFUSED,
        [FSM_FULL] = CLIENT_FAILED,     [FSM_UNSAFE] = CLIENT_REFUSED,   [FSM_UNKNOWN] = CLIENT_FAILED,
        [FSM_EXPIRED] = CLIENT_EXPIRED,
    };
    a->request.op = CLIENT_PLAN_ABORT;
    for (int i = 0; i < FSM_CODES_N; i++) {
        struct fsm_result r = {.code = (enum fsm_code)i, .index = 200};
        if (i != FSM_OK) strcpy(r.text, "the reason");
        answer_result(&a->h->world, &a->request, 0, &r, &a->answer);
        assert_int_equal(a->answer.code, codes[i]);
        if (i != FSM_OK) assert_non_null(strstr(a->answer.text, "the reason"));
        assert_int_equal(strncmp(a->answer.text, "refused by a safety rule: ", 26) == 0, i == FSM_UNSAFE);
        client_answer_fini(&a->answer);
    }
}

static void lost_proposals(void **state)
{
    struct asked *a = *state;
    const struct fsm_result none = {0};
    a->request.op = CLIENT_FAILOVER;
    answer_result(&a->h->world, &a->request, -EIO, &none, &a->answer);
    assert_int_equal(a->answer.code, CLIENT_UNKNOWN);
    answer_result(&a->h->world, &a->request, -ENOSPC, &none, &a->answer);
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    assert_non_null(strstr(a->answer.text, "nothing was changed: the leader's disk is full"));
    answer_result(&a->h->world, &a->request, -EAGAIN, &none, &a->answer);
    assert_int_equal(a->answer.code, CLIENT_FAILED);
    not_leader(a, 3);
    answer_result(&a->h->world, &a->request, -ENOTCONN, &none, &a->answer);
    assert_int_equal(a->answer.code, CLIENT_REDIRECT);
    assert_string_equal(a->answer.leader, "127.0.0.1:7403");
}

static void barrier_where_the_group_is_asked(void **state)
{
    struct asked *a = *state;
    a->request.op = CLIENT_STATUS;
    assert_true(answer_needs_barrier(&a->request));
    a->request.stale_ok = true;
    assert_false(answer_needs_barrier(&a->request));
    a->request.stale_ok = false;
    a->request.op = CLIENT_VERSION;
    assert_false(answer_needs_barrier(&a->request));
}

/* ---- events ---- */

static size_t events_n(const struct asked *a)
{
    return json_array_size(json_object_get(a->json, "events"));
}

static void events_from_an_index(void **state)
{
    struct asked *a = *state;
    handmade_event(a->h, 100, "shop", "one");
    handmade_event(a->h, 101, "", "of the group");
    handmade_event(a->h, 103, "bank", "other");
    handmade_event(a->h, 104, "shop", "two");
    ask(a, CLIENT_EVENTS, "");
    assert_int_equal(events_n(a), 4);
    assert_int_equal(json_integer_value(json_object_get(a->json, "next")), 105);
    a->request.number = 101;
    ask(a, CLIENT_EVENTS, "");
    assert_int_equal(events_n(a), 3);
    ask(a, CLIENT_EVENTS, "shop");
    assert_int_equal(events_n(a), 1);
}

static void follow_goes_on_from_the_last(void **state)
{
    struct asked *a = *state;
    a->request.follow = true;
    handmade_event(a->h, 100, "shop", "one");
    assert_int_equal(ask(a, CLIENT_EVENTS, "shop"), ANSWER_FOLLOW);
    assert_int_equal(a->answer.code, CLIENT_MORE);
    assert_int_equal(events_n(a), 1);
    client_answer_fini(&a->answer);
    assert_false(answer_events_since(&a->h->world, &a->request, &a->next_index, &a->answer));
    handmade_event(a->h, 105, "bank", "not asked for");
    assert_false(answer_events_since(&a->h->world, &a->request, &a->next_index, &a->answer));
    handmade_event(a->h, 106, "shop", "two");
    assert_true(answer_events_since(&a->h->world, &a->request, &a->next_index, &a->answer));
    parse(a);
    assert_int_equal(a->answer.code, CLIENT_MORE);
    assert_int_equal(events_n(a), 1);
    assert_int_equal(a->next_index, 107);
}

/* All kept events come, in pages that fit a frame whatever their texts are, each once; those of one index together. */
static void pages_are_whole(void **state)
{
    struct asked *a = *state;
    size_t sum = 0, pages = 0;
    char nasty[FSM_TEXT_SIZE];
    memset(nasty, '\x01', sizeof(nasty) - 1); /* Six bytes each in JSON. */
    nasty[sizeof(nasty) - 1] = '\0';
    for (uint64_t i = 0; i < FSM_EVENTS_MAX + 100; i++) handmade_event(a->h, 1000 + i / 3, "shop", nasty);
    for (size_t i = 0; i < FSM_EVENTS_MAX; i++)
        memset(a->h->state.events[i].evidence, '\x02', sizeof(a->h->state.events[i].evidence) - 1);
    bool more = true;
    while (more) {
        ask(a, CLIENT_EVENTS, "");
        assert_int_equal(a->answer.code, CLIENT_OK);
        assert_true(strlen(a->answer.json) < FRAME_BODY_MAX - 4096);
        sum += events_n(a);
        more = json_is_true(json_object_get(a->json, "more"));
        a->request.number = (uint64_t)json_integer_value(json_object_get(a->json, "next"));
        assert_true(++pages < 20);
    }
    assert_int_equal(sum, FSM_EVENTS_MAX);
    assert_true(pages > 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leader_answers_reads),
        TEST(explain_tells_row_and_next),
        TEST(follower_redirects),
        TEST(no_leader_is_told),
        TEST(stale_reads_are_marked),
        TEST(stale_changes_are_not),
        TEST(status_of_one_cluster),
        TEST(unknown_names_list_the_known),
        TEST(failover_is_proposed_under_the_clients_id),
        TEST(dry_run_proposes_nothing),
        TEST(unsafe_failover_is_refused),
        TEST(busy_cluster_refuses_a_failover),
        TEST(repeated_request_gets_the_first_result),
        TEST(expired_request_is_not_judged_anew),
        TEST(note_is_proposed_as_an_event),
        TEST(change_without_id_is_refused),
        TEST(abort_and_set_are_proposed),
        TEST(result_codes),
        TEST(lost_proposals),
        TEST(barrier_where_the_group_is_asked),
        TEST(events_from_an_index),
        TEST(follow_goes_on_from_the_last),
        TEST(pages_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
