/* The connecting side: name look-up and attempts.
 *
 * Happy path: a numeric address at once, else a look-up, anew at every dial; then one attempt at each address in its
 * order, until one stands. Each gets its share of what is left of CONN_HANDSHAKE_MS, so that a silent first address
 * leaves time for the next. Failure modes: no address, refused, silent: the next; after the last one the connection
 * closes with the reason of the last. A look-up that runs can not be stopped: it lives on without its connection. libuv
 * lets look-ups use half of its threads at most, so that they never hold up writes to the log. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/address.h"
#include "lib/base/text.h"
#include "lib/conn_private.h"

enum { ATTEMPT_MS_MIN = 200, HOST_SIZE = 256 };

struct lookup {
    uv_getaddrinfo_t request;
    struct conn *conn; /* NULL: it has ended. */
};

/* libuv's stream comes first: the connection keeps and frees it as such. */
struct attempt {
    uv_tcp_t tcp;
    uv_connect_t request;
    struct conn *conn; /* NULL: given up. */
};

struct dial {
    uint16_t port;
    unsigned addresses_n, next;
    struct sockaddr_storage addresses[CONN_ADDRESSES_MAX];
    struct lookup *lookup;   /* NULL: none runs. */
    struct attempt *attempt; /* NULL: none runs. */
    char why[CONN_TEXT_SIZE]; /* What the last attempt failed by. */
};

void conn_sockaddr_print(const struct sockaddr_storage *sa, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool v6 = sa->ss_family == AF_INET6;
    uint16_t port = v6 ? ((const struct sockaddr_in6 *)sa)->sin6_port : ((const struct sockaddr_in *)sa)->sin_port;
    if (v6) (void)uv_ip6_name((const struct sockaddr_in6 *)sa, host, sizeof host);
    else (void)uv_ip4_name((const struct sockaddr_in *)sa, host, sizeof host);
    (void)snprintf(to, size, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(port));
}

static void give_up_attempt(struct dial *d)
{
    struct attempt *a = d->attempt;
    if (a == NULL) return;
    d->attempt = NULL;
    a->conn = NULL;
    uv_close((uv_handle_t *)&a->tcp, conn_stream_freed);
}

void conn_dial_stop(struct conn *conn)
{
    struct dial *d = conn->dial;
    if (d->lookup != NULL) {
        d->lookup->conn = NULL;
        (void)uv_cancel((uv_req_t *)&d->lookup->request);
    }
    give_up_attempt(d);
    (void)uv_timer_stop(&conn->kick);
    conn->dial = NULL;
    free(d);
}

static void try_next(struct conn *conn);

static void attempt_failed(struct conn *conn, const char *why)
{
    struct dial *d = conn->dial;
    char address[80];
    give_up_attempt(d);
    conn_sockaddr_print(&d->addresses[d->next - 1], address, sizeof address);
    (void)snprintf(d->why, sizeof d->why, "%s: %s", address, why);
    try_next(conn);
}

static void on_attempt_late(uv_timer_t *timer)
{
    attempt_failed(timer->data, "no answer");
}

static void on_connected(uv_connect_t *request, int status)
{
    struct attempt *a = request->data;
    struct conn *conn = a->conn;
    if (conn == NULL) return;
    if (status != 0) {
        attempt_failed(conn, uv_strerror(status));
        return;
    }
    conn->dial->attempt = NULL;
    conn_dial_stop(conn);
    conn_greet(conn, (uv_stream_t *)&a->tcp);
}

/* Returns 0 or an error of libuv. */
static int start_attempt(struct conn *conn, const struct sockaddr_storage *to)
{
    struct dial *d = conn->dial;
    struct attempt *a = calloc(1, sizeof *a);
    if (a == NULL) return UV_ENOMEM;
    MUST(uv_tcp_init(conn->net->loop, &a->tcp) == 0);
    a->conn = conn;
    a->request.data = a;
    d->attempt = a;
    int rc = uv_tcp_connect(&a->request, &a->tcp, (const struct sockaddr *)to, on_connected);
    if (rc != 0) return rc;
    uint64_t left_ms = uv_timer_get_due_in(&conn->deadline) / (d->addresses_n - d->next + 1);
    uv_update_time(conn->net->loop);
    MUST(uv_timer_start(&conn->kick, on_attempt_late, left_ms > ATTEMPT_MS_MIN ? left_ms : ATTEMPT_MS_MIN, 0) == 0);
    return 0;
}

static void try_next(struct conn *conn)
{
    struct dial *d = conn->dial;
    int rc = 0;
    while (d->next < d->addresses_n) {
        const struct sockaddr_storage *to = &d->addresses[d->next++];
        if (conn->net->tls == NULL && !address_is_loopback((const struct sockaddr *)to)) {
            (void)TEXT_COPY(d->why, "without TLS only loopback addresses are connected to");
            continue;
        }
        rc = start_attempt(conn, to);
        if (rc == 0) return;
        give_up_attempt(d);
        (void)snprintf(d->why, sizeof d->why, "%s", uv_strerror(rc));
    }
    char why[CONN_TEXT_SIZE];
    (void)TEXT_COPY(why, d->why);
    conn_close(conn, why);
}

static void add_address(struct dial *d, const struct sockaddr *sa, size_t size)
{
    struct sockaddr_storage *to = &d->addresses[d->addresses_n];
    if (d->addresses_n == CONN_ADDRESSES_MAX || size > sizeof *to) return;
    memset(to, 0, sizeof *to);
    memcpy(to, sa, size);
    if (sa->sa_family == AF_INET6) ((struct sockaddr_in6 *)to)->sin6_port = htons(d->port);
    else ((struct sockaddr_in *)to)->sin_port = htons(d->port);
    d->addresses_n++;
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    struct conn *conn = lookup->conn;
    if (conn != NULL) {
        conn->dial->lookup = NULL;
        for (const struct addrinfo *a = status == 0 ? found : NULL; a != NULL; a = a->ai_next)
            if (a->ai_family == AF_INET || a->ai_family == AF_INET6) add_address(conn->dial, a->ai_addr, a->ai_addrlen);
        (void)snprintf(conn->dial->why, sizeof conn->dial->why, "%s: %s", conn->peer,
                       status == 0 ? "the name has no address" : uv_strerror(status));
        try_next(conn);
    }
    uv_freeaddrinfo(found);
    free(lookup);
}

static void start_lookup(struct conn *conn, const char *host)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    int rc = UV_ENOMEM;
    if (lookup != NULL) {
        lookup->conn = conn;
        lookup->request.data = lookup;
        rc = uv_getaddrinfo(conn->net->loop, &lookup->request, on_looked_up, host, NULL, &hints);
    }
    if (rc == 0) {
        conn->dial->lookup = lookup;
        return;
    }
    free(lookup);
    conn_close(conn, uv_strerror(rc));
}

static void on_dial(uv_timer_t *timer)
{
    try_next(timer->data);
}

/* Numeric addresses need no look-up; the first attempt is made in the next turn, so that no hook runs inside
 * conn_dial(). */
static void start_dial(struct conn *conn, const char *host)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(host, 0, &v4) == 0) add_address(conn->dial, (const struct sockaddr *)&v4, sizeof v4);
    else if (uv_ip6_addr(host, 0, &v6) == 0) add_address(conn->dial, (const struct sockaddr *)&v6, sizeof v6);
    if (conn->dial->addresses_n > 0) MUST(uv_timer_start(&conn->kick, on_dial, 0, 0) == 0);
    else start_lookup(conn, host);
}

struct conn *conn_dial(struct conn_net *net, const char *address, enum frame_protocol protocol,
                       const struct conn_hooks *hooks)
{
    char host[HOST_SIZE];
    struct conn *conn = conn_new(net, hooks);
    if (conn == NULL) return NULL;
    conn->protocol = protocol;
    conn->dial = calloc(1, sizeof *conn->dial);
    (void)TEXT_COPY(conn->peer, address);
    if (conn->dial == NULL) conn_close(conn, "out of memory");
    else if (address_split(address, host, sizeof host, &conn->dial->port) == 0) start_dial(conn, host);
    else conn_close(conn, "the address is not host:port");
    return conn;
}
