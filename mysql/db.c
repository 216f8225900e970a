/* The loop's half of a connection: requests, deadlines, the hang-up watch, and the way down.
 *
 * The happy path of a request: db_query() puts a job, signals the thread, starts the timer; the thread puts the reply
 * and wakes 'async'; take_reply() calls 'done' and lets the watch look at the idle session. Failure modes:
 * - the timer fires: the job is abandoned and the fd shut down (give_up()), 'done' gets DB_TIMED_OUT at once;
 * - db_drop(), db_close(): as above, but 'done' gets DB_CANCELED from the timer, which is set to 0 ms, since a callback
 *   is never made from inside a call;
 * - the watched fd becomes readable while no request is outstanding: whatever the server has to say then, it is not an
 *   answer; the session is dropped and 'on_hangup' called.
 * The way down: db_close() sets must_quit; the thread closes its session and sets has_exited; on_async() joins it
 * (which does not block any more) and closes the handles; the last close callback frees the memory. */
#include "mysql/db_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#ifdef IS_SANITIZED
enum { STACK_BYTES = 2 << 20 }; /* Sanitizers make frames several times larger. */
#else
enum { STACK_BYTES = 256 << 10 };
#endif

static void on_closed(struct db_conn *conn)
{
    if (--conn->handles_n > 0) return;
    void (*closed)(void *arg) = conn->closed;
    void *closed_arg = conn->closed_arg;
    uv_mutex_destroy(&conn->mutex);
    uv_cond_destroy(&conn->wake);
    explicit_bzero(&conn->endpoint, sizeof(conn->endpoint));
    free(conn);
    if (closed != NULL) closed(closed_arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    on_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct db_watch *watch = handle->data;
    struct db_conn *conn = watch->conn;
    free(watch);
    on_closed(conn);
}

/* Stops watching. The duplicate is closed at once, so that the server sees the end of a session that we dropped. */
static void unwatch(struct db_conn *conn)
{
    struct db_watch *watch = conn->watch;
    if (watch == NULL) return;
    conn->watch = NULL;
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    (void)close(watch->fd);
}

/* Must be called with the mutex held: the session is established, and nobody uses it or is about to end it. */
static bool is_resting(const struct db_conn *conn)
{
    return conn->fd >= 0 && conn->next == NULL && conn->running == NULL && !conn->must_drop && !conn->must_quit;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; /* An error of the socket is an end of the session like any other. */
    (void)events;
    struct db_watch *watch = poll->data;
    struct db_conn *conn = watch->conn;
    uv_mutex_lock(&conn->mutex);
    bool is_ours = is_resting(conn) && conn->serial == watch->serial;
    if (is_ours) {
        conn->must_drop = true;
        uv_cond_signal(&conn->wake);
    }
    uv_mutex_unlock(&conn->mutex);
    unwatch(conn);
    if (is_ours && conn->on_hangup != NULL) conn->on_hangup(conn->on_hangup_arg);
}

/* Starts to watch 'fd', a duplicate that it takes over. libuv makes the socket non-blocking, and the duplicate shares
 * that flag with the library's: it is put back, since how the library copes with it under TLS differs by version. */
static void watch_fd(struct db_conn *conn, int fd, uint64_t serial)
{
    struct db_watch *watch = calloc(1, sizeof(*watch));
    MUST(watch != NULL);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || uv_poll_init(conn->loop, &watch->poll, fd) != 0) {
        (void)close(fd);
        free(watch);
        return;
    }
    (void)fcntl(fd, F_SETFL, flags);
    watch->conn = conn;
    watch->fd = fd;
    watch->serial = serial;
    watch->poll.data = watch;
    conn->watch = watch;
    conn->handles_n++;
}

/* Lets the watch follow the session: the old one ends with its session, a resting session is watched. */
static void refresh_watch(struct db_conn *conn)
{
    uv_mutex_lock(&conn->mutex);
    bool is_stale = conn->watch != NULL && (conn->fd < 0 || conn->serial != conn->watch->serial);
    bool must_watch = conn->done == NULL && is_resting(conn);
    bool is_new = must_watch && (conn->watch == NULL || is_stale);
    uint64_t serial = conn->serial;
    int fd = is_new ? fcntl(conn->fd, F_DUPFD_CLOEXEC, 0) : -1;
    uv_mutex_unlock(&conn->mutex);
    if (is_stale) unwatch(conn);
    if (fd >= 0) watch_fd(conn, fd, serial);
    if (must_watch && conn->watch != NULL) {
        MUST(uv_poll_start(&conn->watch->poll, UV_READABLE | UV_DISCONNECT, on_readable) == 0);
    }
}

/* Must be called with the mutex held. Nobody waits for the outstanding job any more. 'must_drop': the session is not
 * wanted either, also when it is only now being made. */
static void give_up(struct db_conn *conn, bool must_drop)
{
    db_job_free(conn->next);
    conn->next = NULL;
    if (conn->running != NULL) {
        conn->running->abandoned = true;
        if (conn->fd >= 0) (void)shutdown(conn->fd, SHUT_RDWR);
    }
    if (must_drop || conn->fd >= 0) conn->must_drop = true;
    uv_cond_signal(&conn->wake);
}

/* Ends the outstanding request. The caller must not use 'conn' afterwards, except through what the loop still holds. */
static void finish(struct db_conn *conn, const struct db_result *result)
{
    db_done_fn *done = conn->done;
    conn->done = NULL;
    conn->is_canceled = false;
    (void)uv_timer_stop(&conn->timer);
    done(conn->done_arg, result);
}

static void finish_with(struct db_conn *conn, enum db_status status, const char *text)
{
    struct db_result result = {.status = status, .session_lost = true};
    (void)TEXT_COPY(result.error, text);
    finish(conn, &result);
}

/* Calls 'done' when the thread has put a reply. A canceled request does not get its reply: the order came first. */
static void take_reply(struct db_conn *conn)
{
    uv_mutex_lock(&conn->mutex);
    struct db_reply *reply = conn->reply;
    conn->reply = NULL;
    uv_mutex_unlock(&conn->mutex);
    if (reply != NULL && conn->done != NULL && !conn->is_canceled) finish(conn, &reply->result);
    db_reply_free(reply);
}

static void on_timer(uv_timer_t *timer)
{
    struct db_conn *conn = timer->data;
    if (!conn->is_canceled) take_reply(conn); /* It may be there already, in the same loop turn. */
    if (conn->done == NULL || uv_is_active((uv_handle_t *)timer)) return;
    if (conn->is_canceled) {
        finish_with(conn, DB_CANCELED, "canceled");
        return;
    }
    uv_mutex_lock(&conn->mutex);
    give_up(conn, false);
    uv_mutex_unlock(&conn->mutex);
    finish_with(conn, DB_TIMED_OUT, "no answer within the deadline");
    if (!conn->is_closing) refresh_watch(conn);
}

static void close_handles(struct db_conn *conn)
{
    conn->is_joined = true;
    MUST(uv_thread_join(&conn->thread) == 0);
    if (conn->done != NULL) finish_with(conn, DB_CANCELED, "canceled");
    unwatch(conn);
    uv_close((uv_handle_t *)&conn->async, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
}

static void on_async(uv_async_t *async)
{
    struct db_conn *conn = async->data;
    take_reply(conn);
    uv_mutex_lock(&conn->mutex);
    bool has_exited = conn->has_exited;
    uv_mutex_unlock(&conn->mutex);
    if (has_exited && !conn->is_joined) {
        close_handles(conn);
    } else if (!conn->is_closing) {
        refresh_watch(conn);
    }
}

struct db_conn *db_open(struct uv_loop_s *loop, const struct db_endpoint *endpoint, db_hangup_fn *on_hangup, void *arg,
                        struct err *e)
{
    struct db_conn *conn = calloc(1, sizeof(*conn));
    MUST(conn != NULL);
    conn->endpoint = *endpoint;
    conn->loop = loop;
    conn->on_hangup = on_hangup;
    conn->on_hangup_arg = arg;
    conn->fd = -1;
    conn->handles_n = 2;
    MUST(uv_mutex_init(&conn->mutex) == 0);
    MUST(uv_cond_init(&conn->wake) == 0);
    int rv = uv_async_init(loop, &conn->async, on_async);
    if (rv != 0) {
        (void)err_errno(e, rv, "handle for %s:%u", endpoint->host, endpoint->port);
        conn->handles_n = 1;
        on_closed(conn);
        return NULL;
    }
    MUST(uv_timer_init(loop, &conn->timer) == 0);
    conn->timer.data = conn;
    conn->async.data = conn;
    uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    rv = uv_thread_create_ex(&conn->thread, &options, db_thread_main, conn);
    if (rv != 0) {
        (void)err_errno(e, rv, "start of a thread for %s:%u", endpoint->host, endpoint->port);
        uv_close((uv_handle_t *)&conn->async, on_handle_closed);
        uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
        return NULL;
    }
    return conn;
}

/* libuv counts timers from the start of the loop turn; what has passed of the turn is added. */
static uint64_t turn_ms(const uv_loop_t *loop)
{
    uint64_t now_ms = uv_hrtime() / 1000000;
    uint64_t turn_start_ms = uv_now(loop);
    return now_ms > turn_start_ms ? now_ms - turn_start_ms : 0;
}

int db_query(struct db_conn *conn, const char *sql, uint32_t deadline_ms, db_done_fn *done, void *arg)
{
    MUST(!conn->is_closing && done != NULL);
    if (conn->done != NULL) return -EBUSY;
    struct db_job *job = calloc(1, sizeof(*job));
    MUST(job != NULL);
    job->sql = strdup(sql);
    MUST(job->sql != NULL);
    conn->done = done;
    conn->done_arg = arg;
    if (conn->watch != NULL) (void)uv_poll_stop(&conn->watch->poll);
    MUST(uv_timer_start(&conn->timer, on_timer, deadline_ms + turn_ms(conn->loop), 0) == 0);
    uv_mutex_lock(&conn->mutex);
    MUST(conn->next == NULL);
    conn->next = job;
    uv_cond_signal(&conn->wake);
    uv_mutex_unlock(&conn->mutex);
    return 0;
}

bool db_is_idle(const struct db_conn *conn)
{
    struct db_conn *c = (struct db_conn *)conn; /* The mutex is not part of what is const. */
    uv_mutex_lock(&c->mutex);
    bool is_idle = conn->done == NULL && is_resting(conn);
    uv_mutex_unlock(&c->mutex);
    return is_idle;
}

/* Decides the outstanding request, if any; 'done' is called in the next loop turn. */
static void cancel(struct db_conn *conn)
{
    if (conn->done == NULL) return;
    conn->is_canceled = true;
    MUST(uv_timer_start(&conn->timer, on_timer, 0, 0) == 0);
}

void db_drop(struct db_conn *conn)
{
    MUST(!conn->is_closing);
    uv_mutex_lock(&conn->mutex);
    give_up(conn, true);
    uv_mutex_unlock(&conn->mutex);
    unwatch(conn);
    cancel(conn);
}

void db_close(struct db_conn *conn, void (*closed)(void *arg), void *arg)
{
    MUST(!conn->is_closing);
    conn->is_closing = true;
    conn->closed = closed;
    conn->closed_arg = arg;
    uv_mutex_lock(&conn->mutex);
    conn->must_quit = true;
    give_up(conn, false);
    uv_mutex_unlock(&conn->mutex);
    unwatch(conn);
    cancel(conn);
}
