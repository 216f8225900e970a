/* Connections to database servers: our seam before the client library.
 *
 * Nothing outside mysql/ includes <mysql.h>. One db_conn is one session with one server and one kind of work (probe,
 * control, reign), run by its own small-stack thread: libmariadb's non-blocking API blocks under TLS (ecosystem.md §3).
 * All functions below are called on the loop thread only; results come back on the loop thread.
 *
 * The happy path of a request: db_query() copies the text and wakes the thread; the thread connects if there is no
 * session, runs the text, copies all results, uv_async_send()s; on the loop, 'done' is called once. Failure modes:
 * - deadline passed: the loop shuts the published fd down, 'done' gets DB_TIMED_OUT at once; the thread catches up and
 *   the session is gone (during connect there is no fd yet: 'done' is called all the same, the thread's late result is
 *   dropped, and new requests wait until it is back or fail with DB_TIMED_OUT at their own deadline);
 * - the server hangs up on an idle session: 'on_hangup' is called once, within a loop turn (the fd is watched);
 * - db_close(): a running request ends with DB_CANCELED. */
#ifndef REGENT_MYSQL_DB_H
#define REGENT_MYSQL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "mysql/result.h"

struct uv_loop_s;
struct db_conn;

struct db_endpoint {
    char host[256];
    uint16_t port;
    char user[128];
    char password[256];      /* From a file or a my.cnf group; wiped by db_close(). */
    char tls_ca[256];        /* Non-empty: TLS with verification of the server against this CA. */
    char tls_cert[256], tls_key[256];
    bool tls_verify_host;        /* False: the CA alone is checked. libmariadb 3.4 and later always checks both. */
    uint32_t connect_timeout_ms; /* Of one attempt; rounded up to whole seconds for the library. */
    char program[64];            /* Connection attribute program_name. */
    const char *init_sql;        /* Static text run after each connect (session settings), or NULL. */
};

/* Fills user, password and TLS of '*to' from group 'group' of the option file 'path' (keys user, password, ssl-ca,
 * ssl-cert, ssl-key, ssl-verify-server-cert). Returns 0, or -ENOENT, -EACCES, -EINVAL with a text that names file,
 * line and key. Never logs a secret. */
int db_endpoint_read(struct db_endpoint *to, const char *path, const char *group, struct err *e) MUST_CHECK;

/* Once per process, before the first db_open(). */
void db_library_init(void);
void db_library_end(void);

/* 'result' is the callee's to read until it returns; it is freed after. */
typedef void db_done_fn(void *arg, const struct db_result *result);
typedef void db_hangup_fn(void *arg);

/* Starts a connection's thread; connects lazily at the first request. Copies 'endpoint'. Keeps 'loop' and 'arg'.
 * Returns NULL with errno text in 'e' when no thread or handle can be had. */
struct db_conn *db_open(struct uv_loop_s *loop, const struct db_endpoint *endpoint, db_hangup_fn *on_hangup, void *arg,
                        struct err *e);

/* Runs 'sql' (one or several statements separated by ';'; all results are returned) with a deadline of 'deadline_ms'
 * from now, connecting first if needed. At most one request is outstanding (else -EBUSY). 'done' runs once, later. */
int db_query(struct db_conn *conn, const char *sql, uint32_t deadline_ms, db_done_fn *done, void *arg) MUST_CHECK;

/* True when a session is established and no request is outstanding. */
bool db_is_idle(const struct db_conn *conn);

/* Drops the session, if any (the next request connects anew). An outstanding request ends with DB_CANCELED. */
void db_drop(struct db_conn *conn);

/* Ends thread and handles; memory is freed when both are gone. 'closed' (may be NULL) runs once on the loop then. */
void db_close(struct db_conn *conn, void (*closed)(void *arg), void *arg);

#endif
