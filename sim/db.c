/* Sessions with simulated servers: fills mysql/db.h over the session protocol (sim/wire.h), so that the production
 * manager/sessions.c runs unchanged above it.
 *
 * Happy path: the first request connects, logs in, runs the session's settings, then the request. Failure modes as
 * mysql/db.c has them: the deadline passes (told at once, the session is gone); the server closes an idle session
 * (on_hangup); the session ends while a request runs (DB_LOST); db_drop() and db_close() (DB_CANCELED). */
#include "mysql/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/manager.h"
#include "sim/wire.h"
#include "sim/world.h"

enum db_stage { STAGE_NONE, STAGE_CONNECTING, STAGE_LOGIN, STAGE_SETTINGS, STAGE_READY };

struct db_conn {
    struct manager *manager;
    struct db_endpoint endpoint;
    db_hangup_fn *on_hangup;
    void *on_hangup_arg;
    enum db_stage stage;
    struct sim_stream *stream;
    char *sql; /* To be sent when the session is ready. */
    bool is_fresh, is_canceled, is_closing;
    db_done_fn *done; /* NULL: no request is outstanding. */
    void *done_arg;
    sim_event deadline, connect_deadline;
    void (*closed)(void *arg);
    void *closed_arg;
};

int db_endpoint_read(struct db_endpoint *to, const char *path, const char *group, struct err *e)
{
    (void)path;
    if (world_credentials_missing(the_world)) return err_set(e, -EACCES, "option file cannot be read");
    bool is_control = strstr(group, "-control") != NULL, is_replication = strstr(group, "-replication") != NULL;
    const char *user = is_control ? WIRE_USER_CONTROL : is_replication ? WIRE_USER_REPLICATION : WIRE_USER_PROBE;
    (void)TEXT_COPY(to->user, user);
    (void)TEXT_COPY(to->password, WIRE_PASSWORD);
    return 0;
}

/* --- ending a request --------------------------------------------------------------------------------------------- */

static void finish(struct db_conn *conn, const struct db_result *result)
{
    db_done_fn *done = conn->done;
    conn->done = NULL;
    conn->is_canceled = false;
    free(conn->sql);
    conn->sql = NULL;
    sim_cancel(conn->manager->sim, &conn->deadline);
    done(conn->done_arg, result);
}

static void finish_with(struct db_conn *conn, enum db_status status, const char *text)
{
    static struct db_result result; /* Large; only its head is set. */
    result.status = status;
    result.session_lost = true;
    (void)TEXT_COPY(result.error, text);
    finish(conn, &result);
}

static void hang_up(struct db_conn *conn)
{
    struct manager *m = conn->manager;
    bool lives = sim_process(m->sim, m->node) != SIM_DEAD; /* Else its streams are gone already. */
    sim_cancel(m->sim, &conn->connect_deadline);
    if (conn->stream && lives) sim_stream_close(conn->stream);
    conn->stream = NULL;
    conn->stage = STAGE_NONE;
}

static void on_deadline(void *arg)
{
    struct db_conn *conn = arg;
    conn->deadline = 0;
    hang_up(conn);
    finish_with(conn, DB_TIMED_OUT, "no answer within the deadline");
}

static void on_connect_deadline(void *arg)
{
    struct db_conn *conn = arg;
    conn->connect_deadline = 0;
    hang_up(conn);
    if (conn->done && !conn->is_canceled) finish_with(conn, DB_TIMED_OUT, "cannot connect in time");
}

/* --- the session -------------------------------------------------------------------------------------------------- */

static void send_sql(struct db_conn *conn, const char *sql)
{
    (void)sim_stream_send(conn->stream, &wire_query_new(sql)->head.blob);
}

static void ready(struct db_conn *conn)
{
    conn->stage = STAGE_READY;
    sim_cancel(conn->manager->sim, &conn->connect_deadline);
    if (conn->done && !conn->is_canceled) send_sql(conn, conn->sql);
}

static void on_opened(void *arg)
{
    struct db_conn *conn = arg;
    conn->stage = STAGE_LOGIN;
    struct wire_login *login = wire_login_new(conn->endpoint.user, conn->endpoint.password, conn->endpoint.program);
    (void)sim_stream_send(conn->stream, &login->head.blob);
}

static void on_reply(struct db_conn *conn, struct wire_reply *reply)
{
    struct db_result *result = &reply->result;
    bool is_refused = result->status != DB_OK;
    switch (conn->stage) {
    case STAGE_LOGIN:
    case STAGE_SETTINGS:
        if (is_refused) {
            hang_up(conn);
            result->session_lost = true;
            if (conn->done && !conn->is_canceled) finish(conn, result);
        } else if (conn->stage == STAGE_LOGIN && conn->endpoint.init_sql) {
            conn->stage = STAGE_SETTINGS;
            send_sql(conn, conn->endpoint.init_sql);
        } else {
            ready(conn);
        }
        return;
    case STAGE_READY:
        result->connected = conn->is_fresh;
        conn->is_fresh = false;
        if (conn->done && !conn->is_canceled) finish(conn, result);
        return;
    case STAGE_NONE:
    case STAGE_CONNECTING: break;
    }
    MUST_NOT_REACH();
}

static void on_received(void *arg, struct sim_blob *blob)
{
    MUST(((struct wire_head *)blob)->kind == WIRE_REPLY);
    on_reply(arg, (struct wire_reply *)blob);
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct db_conn *conn = arg;
    enum db_stage stage = conn->stage;
    conn->stream = NULL;
    hang_up(conn);
    bool is_awaited = conn->done && !conn->is_canceled;
    if (!is_awaited) {
        if (stage == STAGE_READY && !conn->done && !conn->is_closing) conn->on_hangup(conn->on_hangup_arg);
        return;
    }
    if (why == SIM_CLOSED_REFUSED) finish_with(conn, DB_REFUSED, "connection refused");
    else if (why == SIM_CLOSED_TIMED_OUT && stage == STAGE_CONNECTING) finish_with(conn, DB_UNREACHABLE, "no route");
    else finish_with(conn, DB_LOST, "the session ended");
}

static void connect_now(struct db_conn *conn)
{
    static const struct sim_stream_ops ops = {on_opened, on_received, on_closed};
    struct manager *m = conn->manager;
    conn->stage = STAGE_CONNECTING;
    conn->is_fresh = true;
    conn->stream = sim_connect(m->sim, m->node, world_node_named(m->world, conn->endpoint.host), &ops, conn);
    int64_t within_us = (int64_t)(conn->endpoint.connect_timeout_ms + 999) / 1000 * SIM_S; /* libmariadb: whole s. */
    conn->connect_deadline = sim_after(m->sim, m->node, within_us ? within_us : SIM_S, on_connect_deadline, conn);
}

/* --- mysql/db.h --------------------------------------------------------------------------------------------------- */

struct db_conn *db_open(struct uv_loop_s *loop, const struct db_endpoint *endpoint, db_hangup_fn *on_hangup, void *arg,
                        struct err *e)
{
    struct db_conn *conn = calloc(1, sizeof *conn);
    (void)e;
    MUST(conn);
    conn->manager = manager_of_loop(loop);
    conn->endpoint = *endpoint;
    conn->on_hangup = on_hangup;
    conn->on_hangup_arg = arg;
    return conn;
}

int db_query(struct db_conn *conn, const char *sql, uint32_t deadline_ms, db_done_fn *done, void *arg)
{
    struct manager *m = conn->manager;
    MUST(!conn->is_closing);
    if (conn->done) return -EBUSY;
    conn->done = done;
    conn->done_arg = arg;
    conn->deadline = sim_after(m->sim, m->node, (int64_t)deadline_ms * SIM_MS, on_deadline, conn);
    if (conn->stage == STAGE_READY) {
        send_sql(conn, sql);
        return 0;
    }
    conn->sql = strdup(sql);
    MUST(conn->sql);
    if (conn->stage == STAGE_NONE) connect_now(conn);
    return 0;
}

bool db_is_idle(const struct db_conn *conn)
{
    return conn->stage == STAGE_READY && !conn->done;
}

static void tell_canceled(void *arg)
{
    struct db_conn *conn = arg;
    if (conn->done && conn->is_canceled) finish_with(conn, DB_CANCELED, "canceled");
}

static void free_later(void *arg)
{
    struct db_conn *conn = arg;
    if (conn->done) finish_with(conn, DB_CANCELED, "canceled");
    void (*closed)(void *) = conn->closed;
    void *closed_arg = conn->closed_arg;
    sim_cancel(conn->manager->sim, &conn->deadline);
    free(conn->sql);
    free(conn);
    if (closed) closed(closed_arg);
}

void db_drop(struct db_conn *conn)
{
    hang_up(conn);
    if (!conn->done || conn->is_canceled) return;
    conn->is_canceled = true;
    sim_cancel(conn->manager->sim, &conn->deadline);
    manager_later(conn->manager, tell_canceled, conn);
}

void db_close(struct db_conn *conn, void (*closed)(void *arg), void *arg)
{
    hang_up(conn);
    conn->is_closing = true;
    conn->is_canceled = conn->done != NULL;
    conn->closed = closed;
    conn->closed_arg = arg;
    manager_later(conn->manager, free_later, conn);
}

void db_library_init(void)
{
}

void db_library_end(void)
{
}
