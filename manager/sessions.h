/* Sessions with database servers: fills ports.servers from the declared addresses and the managers' option files.
 *
 * Happy path: the first request of a kind opens a connection (mysql/db.h) with the account of its kind; it stays open.
 * Failure modes: the option file cannot be read (-ENOENT, logged; tried again at the next request); the server refuses
 * the login (the file is read again, at most every 2 s: an operator may have changed the password); the declaration
 * changed (all connections of the cluster are closed and opened anew). Loop thread only. */
#ifndef REGENT_MANAGER_SESSIONS_H
#define REGENT_MANAGER_SESSIONS_H

#include "manager/ports.h"

struct uv_loop_s;
struct sessions;

struct sessions_hooks {
    void *arg;
    const struct fsm_state *(*state)(void *arg);
    void (*hangup)(void *arg, uint8_t cluster, uint8_t server, enum port_session session);
};

/* Copies 'hooks'; keeps 'loop'. NULL when memory is out. */
struct sessions *sessions_new(struct uv_loop_s *loop, const struct sessions_hooks *hooks);

/* As ports.servers. */
int sessions_query(struct sessions *sessions, const struct port_request *request) MUST_CHECK;
void sessions_drop(struct sessions *sessions, uint8_t cluster, uint8_t server, enum port_session session);
bool sessions_replication_account(struct sessions *sessions, uint8_t cluster, const char **user, const char **password);

/* Closes all connections: outstanding requests end with DB_CANCELED on the loop, then 'closed' runs once and the memory
 * is freed. */
void sessions_stop(struct sessions *sessions, void (*closed)(void *arg), void *arg);

#endif
