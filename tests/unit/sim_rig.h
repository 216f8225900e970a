/* Rig for test_sim_mysqld.c: simulated servers, sessions by the wire protocol, verbs run to their end. The questions
 * are those of tests/unit/verb_rig.h, which asks real servers. Header only: one test includes it. */
#ifndef REGENT_TESTS_SIM_RIG_H
#define REGENT_TESTS_SIM_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mysql/probe.h"
#include "mysql/verb.h"
#include "sim/mysqld.h"
#include "sim/net.h"
#include "sim/wire.h"

enum { RIG_SERVERS = 3, RIG_TOKEN = 100, RIG_TERM = 5, RIG_EPOCH = 2, RIG_AWAIT_US = 20 * SIM_S };

struct session {
    struct sim_stream *stream;
    bool is_in, is_answered, is_lost, is_new;
    struct wire_reply *reply;
};

struct rig_server {
    struct mysqld *m;
    unsigned id;
    char name[SIM_NAME_SIZE];
    char identity[FSM_NAME_SIZE];
    struct session control, root;
    bool locked;
    uint64_t locked_token;
};

static struct {
    struct sim *sim;
    sim_node node;
    struct rig_server s[RIG_SERVERS];
    uint64_t row;
    unsigned requests;
    int64_t us;
} rig;

#define DB1 (&rig.s[0])
#define DB2 (&rig.s[1])
#define DB3 (&rig.s[2])

/* --- sessions --- */

static void run_us(int64_t us)
{
    int64_t until = sim_now_us(rig.sim) + us;
    while (sim_step(rig.sim, until)) {}
}

static void on_received(void *arg, struct sim_blob *blob)
{
    struct session *c = arg;
    struct wire_reply *reply = (struct wire_reply *)blob;

    c->is_answered = true;
    if (!c->is_in) {
        c->is_in = reply->result.status == DB_OK;
        return;
    }
    sim_blob_ref(blob);
    c->reply = reply;
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct session *c = arg;

    (void)why;
    c->stream = NULL;
    c->is_lost = c->is_answered = true;
}

static const struct sim_stream_ops session_ops = {.received = on_received, .closed = on_closed};

static void session_end(struct session *c)
{
    if (c->stream != NULL) sim_stream_close(c->stream);
    if (c->reply != NULL) sim_blob_unref(&c->reply->head.blob);
    *c = (struct session){0};
}

static bool session_wait(struct session *c, int64_t us)
{
    int64_t until = sim_now_us(rig.sim) + us;
    while (!c->is_answered && sim_step(rig.sim, until)) {}
    return c->is_answered;
}

/* Connects when there is no session. */
static bool session_begin(struct session *c, struct rig_server *s, const char *user)
{
    if (c->stream != NULL && !c->is_lost) return true;
    session_end(c);
    c->is_new = true;
    c->stream = sim_connect(rig.sim, rig.node, mysqld_node(s->m), &session_ops, c);
    struct wire_login *login = wire_login_new(user, WIRE_PASSWORD, "test");
    (void)sim_stream_send(c->stream, &login->head.blob);
    if (session_wait(c, SIM_S) && c->is_in) return true;
    session_end(c);
    return false;
}

static void session_send(struct session *c, const char *sql)
{
    struct wire_query *query = wire_query_new(sql);

    if (c->reply != NULL) sim_blob_unref(&c->reply->head.blob);
    c->reply = NULL;
    c->is_answered = c->is_lost;
    if (c->stream != NULL) (void)sim_stream_send(c->stream, &query->head.blob);
    else sim_blob_unref(&query->head.blob);
}

/* Valid until the next request of the session. */
static const struct db_result *session_read(struct session *c, int64_t deadline_us)
{
    static struct db_result lost;

    bool is_in_time = session_wait(c, deadline_us);
    if (c->reply != NULL) return &c->reply->result;
    lost = (struct db_result){.status = is_in_time ? DB_LOST : DB_TIMED_OUT, .session_lost = true};
    session_end(c);
    return &lost;
}

static const struct db_result *session_run(struct session *c, const char *sql)
{
    session_send(c, sql);
    return session_read(c, RIG_AWAIT_US);
}

/* --- questions, as root --- */

__attribute__((format(printf, 2, 3))) static const char *rig_sql(struct rig_server *s, const char *format, ...)
{
    static char answers[4][4096];
    static unsigned turn;
    char sql[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(sql, sizeof(sql), format, args);
    va_end(args);
    if (!session_begin(&s->root, s, "root")) fail_msg("%s takes no session", s->name);
    const struct db_result *r = session_run(&s->root, sql);
    if (r->status != DB_OK) fail_msg("%s: %s: status %d, error %u %s", s->name, sql, (int)r->status, r->code, r->error);
    char *answer = answers[turn++ % ARRAY_LEN(answers)];
    answer[0] = '\0';
    for (unsigned i = 0; i < r->sets_n; i++) {
        if (r->sets[i].rows_n == 0) continue;
        const char *cell = r->sets[i].cells[0];
        snprintf(answer, sizeof(answers[0]), "%s", cell == NULL ? "NULL" : cell);
        break;
    }
    return answer;
}

static const char *rig_channel(struct rig_server *s, const char *column)
{
    static char answers[4][256];
    static unsigned turn;
    char *answer = answers[turn++ % ARRAY_LEN(answers)];

    (void)session_begin(&s->root, s, "root");
    const struct db_result *r = session_run(&s->root, "SHOW ALL SLAVES STATUS");
    const char *cell = db_cell(r, 0, 0, column);
    snprintf(answer, sizeof(answers[0]), "%s", cell == NULL ? "" : cell);
    return answer;
}

static void rig_await(struct rig_server *s, const char *sql, const char *wanted)
{
    int64_t until = sim_now_us(rig.sim) + RIG_AWAIT_US;

    while (!text_equal(rig_sql(s, "%s", sql), wanted)) {
        if (sim_now_us(rig.sim) > until) fail_msg("%s: %s never became %s", s->name, sql, wanted);
        run_us(5 * SIM_MS);
    }
}

static const char *rig_status(struct rig_server *s, const char *name)
{
    return rig_sql(s, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '%s'", name);
}

static void insert_rows(struct rig_server *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) rig_sql(s, "INSERT INTO t.t VALUES (%llu)", (unsigned long long)++rig.row);
}

/* --- verbs --- */

static struct verb rig_verb(enum verb_kind kind, const struct rig_server *s, uint64_t token)
{
    struct verb v = {.kind = kind, .token = token, .term = RIG_TERM, .step = STEP_REVOKE,
                     .epoch = RIG_EPOCH, .deadline_ms = 5000};

    TEXT_COPY(v.identity, s->identity);
    TEXT_COPY(v.cluster_name, "shop");
    TEXT_COPY(v.master_name, s->name);
    return v;
}

static void rig_source(struct verb *v, const struct rig_server *source)
{
    TEXT_COPY(v->source_host, source->name);
    v->source_port = 3306;
}

/* As manager/execute.c does: nobody waits for its answer. */
static void rig_send_aside(struct session *aside, struct rig_server *s, struct verb_run *run)
{
    session_end(aside);
    if (session_begin(aside, s, WIRE_USER_CONTROL)) session_send(aside, run->sql);
    else (void)TEXT_COPY(run->aside_error, "refused");
}

static struct verb_outcome rig_drive(struct session *c, struct rig_server *s, struct verb_run *run)
{
    int64_t began = sim_now_us(rig.sim), end = began + (int64_t)run->verb.deadline_ms * SIM_MS;
    struct db_result result, *given = NULL;
    static struct session aside;

    rig.requests = 0;
    for (;;) {
        int64_t left = end - sim_now_us(rig.sim);
        run->left_ms = left > 0 ? (uint32_t)(left / SIM_MS) : 0;
        enum verb_next next = verb_next(run, given);
        given = NULL;
        if (next == VERB_END) break;
        if (next == VERB_WAIT) {
            run_us((int64_t)run->wait_ms * SIM_MS);
            continue;
        }
        if (next == VERB_SEND_ASIDE) {
            rig_send_aside(&aside, s, run);
            continue;
        }
        rig.requests++;
        bool is_up = session_begin(c, s, WIRE_USER_CONTROL);
        bool is_new = c->is_new;
        c->is_new = false;
        if (is_up) session_send(c, run->sql);
        result = is_up ? *session_read(c, left) : (struct db_result){.status = DB_REFUSED, .session_lost = true};
        result.connected = is_new;
        given = &result;
    }
    session_end(&aside);
    rig.us = sim_now_us(rig.sim) - began;
    return run->outcome;
}

static struct verb_outcome rig_perform(struct rig_server *s, const struct verb *verb)
{
    static struct verb_run run;
    static struct session reign;
    bool is_reign = verb->kind == VERB_REIGN_ROW;

    verb_begin(&run, verb, FLAVOUR_MARIADB, WIRE_USER_REPLICATION, WIRE_PASSWORD);
    run.locked = !is_reign && s->locked && s->locked_token == verb->token;
    struct verb_outcome o = rig_drive(is_reign ? &reign : &s->control, s, &run);
    if (is_reign) session_end(&reign);
    if (!is_reign) {
        s->locked = run.locked;
        s->locked_token = verb->token;
    }
    return o;
}

static struct verb_outcome rig_do(struct rig_server *s, const struct verb *verb)
{
    struct verb_outcome o = rig_perform(s, verb);

    if (o.state != VERB_STATE_DONE) fail_msg("verb %d on %s failed: %s", (int)verb->kind, s->name, o.error);
    return o;
}

/* The verb must fail with a text that contains 'text'. */
static struct verb_outcome rig_refuse(struct rig_server *s, const struct verb *verb, const char *text)
{
    struct verb_outcome o = rig_perform(s, verb);

    if (o.state != VERB_STATE_FAILED) fail_msg("verb %d on %s was not refused", (int)verb->kind, s->name);
    if (strstr(o.error, text) == NULL) fail_msg("the error \"%s\" does not contain \"%s\"", o.error, text);
    return o;
}

/* --- life --- */

static void rig_launch(struct rig_server *s)
{
    mysqld_start(s->m);
    while (!mysqld_is_up(s->m)) run_us(SIM_MS);
}

static void rig_kill(struct rig_server *s)
{
    sim_kill(rig.sim, mysqld_node(s->m));
    session_end(&s->root);
    session_end(&s->control);
    s->locked = false;
}

/* Master db1 open and lossless, acker db2, replica db3; nothing enrolled. */
static int rig_start(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    rig.sim = sim_new(7);
    for (unsigned i = 0; i < RIG_SERVERS; i++) {
        struct rig_server *s = &rig.s[i];
        struct mysqld_options options = mysqld_options(i + 1);
        s->id = i + 1;
        snprintf(s->name, sizeof(s->name), "db%u", s->id);
        snprintf(s->identity, sizeof(s->identity), "identity-of-%u", s->id);
        s->m = mysqld_new(rig.sim, s->name, &options);
    }
    rig.node = sim_node_add(rig.sim, "manager", &(struct sim_node_hooks){0});
    for (sim_node from = 0; from < sim_nodes_n(rig.sim); from++) {
        for (sim_node to = 0; to < sim_nodes_n(rig.sim); to++) {
            *sim_link(rig.sim, from, to) = (struct sim_link){.latency_us = 100, .jitter_us = 50};
        }
    }
    sim_boot(rig.sim, rig.node);
    mysqld_set_up_master(DB1->m, true);
    mysqld_set_up_replica(DB2->m, DB1->m, true);
    mysqld_set_up_replica(DB3->m, DB1->m, false);
    for (unsigned i = 0; i < RIG_SERVERS; i++) mysqld_start(rig.s[i].m);
    run_us(2 * SIM_S);
    return 0;
}

static int rig_start_enrolled(void **state)
{
    rig_start(state);
    for (unsigned i = 0; i < RIG_SERVERS; i++) {
        struct verb v = rig_verb(VERB_ENROL, &rig.s[i], 10);
        v.epoch = 1;
        v.is_master = i == 0;
        rig_do(&rig.s[i], &v);
    }
    rig_await(DB2, "SELECT @@gtid_slave_pos", rig_sql(DB1, "SELECT @@gtid_binlog_pos"));
    rig_await(DB3, "SELECT @@gtid_slave_pos", rig_sql(DB1, "SELECT @@gtid_binlog_pos"));
    return 0;
}

static int rig_stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RIG_SERVERS; i++) {
        session_end(&rig.s[i].root);
        session_end(&rig.s[i].control);
        mysqld_free(rig.s[i].m);
    }
    sim_free(rig.sim);
    return 0;
}

#endif
