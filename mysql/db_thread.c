/* The thread's half of a connection: takes one job at a time, connects when there is no session, runs the job, hands
 * the reply over.
 *
 * Happy path: the loop puts a job into conn->next and signals; the thread takes it, publishes the fd of its session,
 * runs the job, puts conn->reply and wakes the loop. Failure modes:
 * - the job was abandoned (deadline, db_drop) while it ran: the loop has shut the fd down, the run returns with an
 *   error, the reply is dropped, must_drop ends the session before the next job;
 * - the job was abandoned while the thread connected: a session that comes up late is kept, set up and left idle, so
 *   that a server whose connects take longer than the deadline is not unreachable for ever;
 * - the session is lost: it is closed here at once, the next job connects anew. */
#include "mysql/db_impl.h"

#include <mysql.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/text.h"

void db_job_free(struct db_job *job)
{
    if (job == NULL) return;
    free(job->sql);
    free(job);
}

/* Takes the fd back, so that the loop cannot shut it down any more, then closes the session. */
static void end_session(struct db_conn *conn, struct db_session *session)
{
    if (session->mysql == NULL) return;
    uv_mutex_lock(&conn->mutex);
    conn->fd = -1;
    uv_mutex_unlock(&conn->mutex);
    db_session_close(session);
    MUST(uv_async_send(&conn->async) == 0);
}

static void publish(struct db_conn *conn, const struct db_session *session)
{
    uv_mutex_lock(&conn->mutex);
    conn->fd = db_session_fd(session);
    conn->serial++;
    /* The loop gave up in the mean time and wants no session: nothing may be left unwatched and running. */
    if (conn->must_drop || conn->must_quit) (void)shutdown(conn->fd, SHUT_RDWR);
    uv_mutex_unlock(&conn->mutex);
}

/* Runs the endpoint's session settings. They are part of the connect: when they fail there is no session. */
static bool set_up(struct db_conn *conn, struct db_session *session, struct db_reply *reply)
{
    if (conn->endpoint.init_sql == NULL) return true;
    struct db_reply *init = db_reply_new();
    db_session_run(session, conn->endpoint.init_sql, init);
    bool is_ok = init->result.status == DB_OK;
    if (!is_ok) {
        reply->result.status = init->result.status;
        reply->result.code = init->result.code;
        struct text t = TEXT_ON(reply->result.error);
        text_addf(&t, "session settings: %s", init->result.error);
    }
    db_reply_free(init);
    return is_ok;
}

static bool is_abandoned(struct db_conn *conn)
{
    uv_mutex_lock(&conn->mutex);
    bool yes = conn->running->abandoned;
    uv_mutex_unlock(&conn->mutex);
    return yes;
}

static struct db_reply *run(struct db_conn *conn, struct db_session *session, const char *sql)
{
    struct db_reply *reply = db_reply_new();
    if (session->mysql == NULL) {
        bool is_up = db_session_connect(session, &conn->endpoint, &reply->result);
        if (is_up) {
            publish(conn, session);
            is_up = set_up(conn, session, reply);
        }
        if (!is_up) {
            reply->result.session_lost = true;
            end_session(conn, session);
            return reply;
        }
    }
    if (is_abandoned(conn)) return reply;
    reply->result.connected = session->fresh;
    session->fresh = false;
    db_session_run(session, sql, reply);
    if (reply->result.session_lost) end_session(conn, session);
    return reply;
}

/* Puts the reply for the loop, or drops it when nobody waits. */
static void hand_over(struct db_conn *conn, struct db_reply *reply)
{
    uv_mutex_lock(&conn->mutex);
    struct db_job *job = conn->running;
    conn->running = NULL;
    if (!job->abandoned) {
        MUST(conn->reply == NULL);
        conn->reply = reply;
        reply = NULL;
    }
    uv_mutex_unlock(&conn->mutex);
    db_job_free(job);
    db_reply_free(reply);
    MUST(uv_async_send(&conn->async) == 0);
}

/* Waits for orders. Returns false when the thread must end. Without must_drop, conn->running is the job to run. */
static bool take_orders(struct db_conn *conn, bool *must_drop)
{
    uv_mutex_lock(&conn->mutex);
    while (!conn->must_quit && !conn->must_drop && conn->next == NULL) uv_cond_wait(&conn->wake, &conn->mutex);
    bool must_quit = conn->must_quit;
    *must_drop = conn->must_drop;
    conn->must_drop = false;
    if (!must_quit && !*must_drop) {
        conn->running = conn->next;
        conn->next = NULL;
    }
    uv_mutex_unlock(&conn->mutex);
    return !must_quit;
}

void db_thread_main(void *arg)
{
    struct db_conn *conn = arg;
    struct db_session session = {0};
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* Signals are the main thread's. */
    (void)mysql_thread_init();
    bool must_drop = false;
    while (take_orders(conn, &must_drop)) {
        if (must_drop) {
            end_session(conn, &session);
        } else {
            hand_over(conn, run(conn, &session, conn->running->sql));
        }
    }
    end_session(conn, &session);
    mysql_thread_end();
    uv_mutex_lock(&conn->mutex);
    conn->has_exited = true;
    uv_mutex_unlock(&conn->mutex);
    MUST(uv_async_send(&conn->async) == 0);
}
