/* Ports: all that driver, observer and executor see of the world.
 *
 * Production fills these tables in manager/shell.c (libuv, libraft, client threads); the simulator fills them with its
 * own. The objects of manager/{driver,execute,observe}.c have no undefined uv_*, raft_* or mysql_* symbol
 * (tests/tidy). All calls and callbacks are on one thread; a callback is never made from inside the call. */
#ifndef REGENT_MANAGER_PORTS_H
#define REGENT_MANAGER_PORTS_H

#include "fsm/command.h"
#include "lib/base/mtime.h"
#include "mysql/result.h"
#include "plan/view.h"

/* Kinds of session with a server; each has its own thread and session. */
enum port_session { PORT_PROBE = 0, PORT_CONTROL, PORT_REIGN, PORT_SESSIONS_N };

struct ports_clock {
    struct mono (*now)(void *ctx);
    struct wall (*wall)(void *ctx);
    uint64_t (*random)(void *ctx);
    /* Run the modules again at 'at' at the latest. */
    void (*wake_at)(void *ctx, struct mono at);
};

/* status as raft_node_done_fn; 'result' is meaningful when status is 0. */
typedef void port_proposed_fn(void *arg, int status, const struct fsm_result *result);

struct ports_consensus {
    bool (*is_established)(void *ctx, uint64_t *term); /* Leader with a barrier of its term applied. */
    const struct fsm_state *(*state)(void *ctx);
    /* Encodes and proposes once. status -EIO: unknown; propose again with the same request id, or read the state
     * again. */
    int (*propose)(void *ctx, const struct fsm_command *command, port_proposed_fn *done, void *arg);
};

typedef void port_answer_fn(void *arg, const struct db_result *result);

struct port_request {
    uint8_t cluster, server;
    enum port_session session;
    const char *sql; /* Borrowed until query() returns. */
    uint32_t deadline_ms;
    port_answer_fn *done; /* Once, later. */
    void *arg;
};

struct ports_servers {
    /* Sends a request to a server of a cluster over the session of that kind. One outstanding request a session.
     * Returns 0; -EBUSY; -ENOENT when the cluster's credentials cannot be read (text in the log). */
    int (*query)(void *ctx, const struct port_request *request);
    void (*drop)(void *ctx, uint8_t cluster, uint8_t server, enum port_session session);
    /* Replication account of the cluster; borrowed until the next call. False when it cannot be read. */
    bool (*replication_account)(void *ctx, uint8_t cluster, const char **user, const char **password);
};

struct port_manager {
    uint64_t id;
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE];
};

struct ports_peers {
    /* Configured managers (voters); *self is the index of this one. Returns how many. */
    uint8_t (*managers)(void *ctx, struct port_manager *out, uint8_t max, uint8_t *self);
    /* Pushes this manager's observations of a cluster to the leader (best effort, newest wins). */
    void (*push)(void *ctx, uint8_t cluster, const struct view_manager *mine, uint8_t servers_n);
};

struct ports {
    void *ctx;
    struct ports_clock clock;
    struct ports_consensus consensus;
    struct ports_servers servers;
    struct ports_peers peers;
};

#endif
