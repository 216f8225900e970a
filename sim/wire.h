/* What a client and a simulated mysqld say to each other over a stream (sim/net.h): the session protocol.
 *
 * Client: one wire_login, then wire_query, one at a time (a next one may be sent before the answer: it waits in the
 * socket). Server: one wire_reply to the login and one to each query, in order. A refused login is answered with
 * DB_ERROR 1045 (1040: too many connections) and the stream is closed. Who closes or dies: net.h.
 * Between servers (receiver and dump thread) sim/mysqld defines its own messages. */
#ifndef REGENT_SIM_WIRE_H
#define REGENT_SIM_WIRE_H

#include "lib/arena.h"
#include "mysql/result.h"
#include "sim/net.h"

/* First member of every message on such a stream. */
enum wire_kind { WIRE_LOGIN = 1, WIRE_QUERY, WIRE_REPLY, WIRE_OTHER };

struct wire_head {
    struct sim_blob blob;
    enum wire_kind kind;
};

struct wire_login {
    struct wire_head head;
    char user[64], password[64];
    char program[32]; /* "regent-probe", "regent-control", "client", "receiver". */
};

struct wire_query {
    struct wire_head head;
    size_t size;
    char sql[]; /* NUL-terminated. */
};

/* 'result' points into 'arena' (or to static text). */
struct wire_reply {
    struct wire_head head;
    struct arena arena;
    struct db_result result; /* DB_OK or DB_ERROR. */
};

/* All with one reference, never NULL. */
struct wire_login *wire_login_new(const char *user, const char *password, const char *program);
struct wire_query *wire_query_new(const char *sql);
struct wire_reply *wire_reply_new(void); /* DB_OK, no sets. */

/* Accounts of the simulated clusters; passwords are not modelled beyond equality. */
#define WIRE_PASSWORD "sim"
#define WIRE_USER_PROBE "regent"           /* All that the enrolment page asks of the probe's account. */
#define WIRE_USER_CONTROL "regent_control" /* Of the control and the reign sessions. */
#define WIRE_USER_REPLICATION "regent_repl"
#define WIRE_USER_CLIENT "app"             /* No SUPER, no READ_ONLY ADMIN. */

#endif
