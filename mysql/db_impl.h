/* Inside of the connections to servers: what the loop's half (db.c), the thread's half (db_thread.c) and the library's
 * half (db_session.c) share. Included by these three and by no one else.
 *
 * Who touches what: fields under 'mutex' belong to both sides; 'loop side' fields only to the loop thread; the session
 * and its MYSQL only to the connection's thread. The loop may shutdown(2) the published fd, always with the mutex held;
 * the thread takes the fd back under the mutex before it closes it, so a number that is used again is not shut down. */
#ifndef REGENT_MYSQL_DB_IMPL_H
#define REGENT_MYSQL_DB_IMPL_H

#include <uv.h>

#include "lib/arena.h"
#include "mysql/db.h"

/* A result together with the memory that its names and cells live in. */
struct db_reply {
    struct db_result result;
    struct arena arena; /* Holds what 'result' points to. */
    size_t bytes;       /* Counted against DB_BYTES_MAX. */
};

/* Never NULL. */
struct db_reply *db_reply_new(void);
/* NULL is accepted. */
void db_reply_free(struct db_reply *reply);

struct db_job {
    char *sql;
    bool abandoned; /* Nobody waits any more: its reply is dropped. */
};

/* The library's half: one MYSQL, used by the thread alone. */
struct db_session {
    struct st_mysql *mysql; /* NULL: no session. */
    bool fresh;             /* No result of this session has been handed over yet. */
};

/* Connects within the endpoint's connect timeout. Returns true with a session, or false with status, code and error of
 * 'result' set. Blocks. */
bool db_session_connect(struct db_session *session, const struct db_endpoint *endpoint, struct db_result *result);
/* The session's socket; -1 without a session. */
int db_session_fd(const struct db_session *session);
/* Runs 'sql' and copies every result into 'reply', within the bounds of mysql/result.h. Blocks until the server has
 * answered or the socket was shut down. With reply->result.session_lost the caller must close the session. */
void db_session_run(struct db_session *session, const char *sql, struct db_reply *reply);
/* True when the number is the client library's own (it gave up), false when a server sent it. */
bool db_is_client_error(unsigned code);
/* Closes the session, if any. */
void db_session_close(struct db_session *session);

/* The hang-up watch of one session: the loop polls a duplicate of its fd while the session is idle. */
struct db_watch {
    uv_poll_t poll;
    struct db_conn *conn;
    int fd;          /* Duplicate; closed together with the watch. */
    uint64_t serial; /* Of the session that it watches. */
};

struct db_conn {
    struct db_endpoint endpoint; /* Read-only while the thread lives. */

    /* Loop side. */
    uv_loop_t *loop;
    uv_async_t async;
    uv_timer_t timer; /* Deadline of the outstanding request, or 0 ms for one that is already decided. */
    uv_thread_t thread;
    struct db_watch *watch; /* NULL: no session is known to the loop. */
    db_hangup_fn *on_hangup;
    void *on_hangup_arg;
    db_done_fn *done; /* NULL: no request is outstanding. */
    void *done_arg;
    bool is_canceled; /* The outstanding request ends with DB_CANCELED, whatever comes. */
    bool is_closing;
    bool is_joined;
    unsigned handles_n; /* Handles that libuv still knows; the memory is freed at 0. */
    void (*closed)(void *arg);
    void *closed_arg;

    /* Both sides, under 'mutex'. */
    uv_mutex_t mutex;
    uv_cond_t wake;         /* Signalled when next, must_drop or must_quit was set. */
    struct db_job *next;    /* Waits for the thread. */
    struct db_job *running; /* In the thread's hands. */
    struct db_reply *reply; /* Waits for the loop. */
    int fd;                 /* Published socket of the session; -1: none, or still connecting. */
    uint64_t serial;        /* Of the session behind 'fd'; counts up. */
    bool must_drop;
    bool must_quit;
    bool has_exited; /* The thread's last word: uv_thread_join() does not block. */
};

/* The thread's half; 'arg' is the struct db_conn. Ends after must_quit was set. */
void db_thread_main(void *arg);

/* Frees a job; NULL is accepted. */
void db_job_free(struct db_job *job);

#endif
