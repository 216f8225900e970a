/* Connections of lib/conn.h on one loop, between two nets ("m1" accepts, "m2" dials), in the clear or over TLS. */
#ifndef REGENT_TESTS_CONN_FIXTURE_H
#define REGENT_TESTS_CONN_FIXTURE_H

#include "tests/unit/tls_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "lib/conn.h"
#include "lib/log.h"

enum { WAIT_MS = 20000 };

/* What a hook of one end does, for the tests of closing. */
enum end_act { ACT_NOTHING, ACT_CLOSE_READY, ACT_CLOSE_BYTES, ACT_CLOSE_DRAINED };

struct end {
    struct world *w;
    struct conn *conn;
    bool ready, echoes;
    unsigned drained_n, closed_n, old_n;
    enum end_act act;
    uint64_t received;  /* Bytes. */
    bool is_in_order;   /* They were what pattern() says. */
    char why[CONN_TEXT_SIZE];
    void (*on_bytes)(struct end *end, const uint8_t *data, size_t size);
    void (*on_drained)(struct end *end);
    void *arg;
};

struct world {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_tcp_t server;
    bool with_tls;
    struct tls_fixture files;
    struct conn_net accepting, dialling;
    struct tls *accepting_tls, *dialling_tls;
    struct end in, out; /* The last accepted; what dial() makes. */
    unsigned accepted_n;
    char address[64];
    uint16_t port;
};

static inline uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void end_ready(void *arg, struct conn *conn)
{
    struct end *end = arg;
    assert_false(end->ready);
    end->ready = true;
    if (end->act == ACT_CLOSE_READY) conn_close(conn, "by the test");
    else conn_set_deadline(conn, 0, CONN_NOT_REFUSED, NULL);
}

static void end_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    struct end *end = arg;
    assert_true(end->ready);
    assert_int_equal(end->closed_n, 0);
    for (size_t i = 0; i < size; i++)
        if (data[i] != pattern(end->received + i)) end->is_in_order = false;
    end->received += size;
    if (end->echoes) assert_int_equal(conn_write(conn, data, size), 0);
    if (end->act == ACT_CLOSE_BYTES) conn_close(conn, "by the test");
    if (end->on_bytes != NULL) end->on_bytes(end, data, size);
}

static void end_drained(void *arg, struct conn *conn)
{
    struct end *end = arg;
    end->drained_n++;
    if (end->act == ACT_CLOSE_DRAINED) conn_close(conn, "by the test");
    else if (end->on_drained != NULL) end->on_drained(end);
}

static void end_closed(void *arg, struct conn *conn, const char *why)
{
    struct end *end = arg;
    end->closed_n++;
    if (end->conn == conn) end->conn = NULL; /* Else an earlier one of several strangers. */
    (void)TEXT_COPY(end->why, why);
}

static void end_old(void *arg, struct conn *conn)
{
    struct end *end = arg;
    (void)conn;
    end->old_n++;
}

static void end_init(struct end *end, struct world *w)
{
    memset(end, 0, sizeof *end);
    end->w = w;
    end->is_in_order = true;
}

static struct conn_hooks end_hooks(struct end *end)
{
    return (struct conn_hooks){end, end_ready, end_bytes, end_drained, end_closed, end_old};
}

static void on_server(uv_stream_t *server, int status)
{
    struct world *w = server->data;
    struct conn_hooks hooks = end_hooks(&w->in);
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    assert_int_equal(status, 0);
    assert_int_equal(uv_tcp_init(&w->loop, tcp), 0);
    assert_int_equal(uv_accept(server, (uv_stream_t *)tcp), 0);
    w->in.conn = conn_accept(&w->accepting, (uv_stream_t *)tcp, false, &hooks);
    assert_non_null(w->in.conn);
    w->accepted_n++;
}

/* Listens on "127.0.0.1" or "::1"; false when this host has no such address. */
static inline bool world_listen(struct world *w, const char *host)
{
    struct sockaddr_storage sa = {0};
    int size = sizeof sa;
    bool v6 = strchr(host, ':') != NULL;
    assert_int_equal(uv_tcp_init(&w->loop, &w->server), 0);
    w->server.data = w;
    if (v6) assert_int_equal(uv_ip6_addr(host, 0, (struct sockaddr_in6 *)&sa), 0);
    else assert_int_equal(uv_ip4_addr(host, 0, (struct sockaddr_in *)&sa), 0);
    if (uv_tcp_bind(&w->server, (struct sockaddr *)&sa, 0) != 0) return false;
    if (uv_listen((uv_stream_t *)&w->server, 128, on_server) != 0) return false;
    assert_int_equal(uv_tcp_getsockname(&w->server, (struct sockaddr *)&sa, &size), 0);
    w->port = ntohs(v6 ? ((struct sockaddr_in6 *)&sa)->sin6_port : ((struct sockaddr_in *)&sa)->sin_port);
    (void)snprintf(w->address, sizeof w->address, v6 ? "[%s]:%u" : "%s:%u", host, w->port);
    return true;
}

static void on_world_tick(uv_timer_t *timer)
{
    (void)timer; /* Ends a sleep of the loop, so that deadlines are looked at. */
}

static inline struct world *world_new(bool with_tls)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->with_tls = with_tls;
    end_init(&w->in, w);
    end_init(&w->out, w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->tick), 0);
    assert_int_equal(uv_timer_start(&w->tick, on_world_tick, 5, 5), 0);
    if (with_tls) {
        fixture_init(&w->files);
        fixture_issue(&w->files, TLS_MANAGER, "m1", 1);
        fixture_issue(&w->files, TLS_MANAGER, "m2", 2);
        fixture_write_crl(&w->files, "crl", NULL, FIXTURE_DAY_S * 10);
        w->accepting_tls = fixture_open(&w->files, "m1", "crl");
        w->dialling_tls = fixture_open(&w->files, "m2", NULL);
    }
    conn_net_init(&w->accepting, &w->loop, w->accepting_tls);
    conn_net_init(&w->dialling, &w->loop, w->dialling_tls);
    assert_true(world_listen(w, "127.0.0.1"));
    return w;
}

/* Closes what is left, and checks that nothing stays on the loop. */
static inline void world_free(struct world *w)
{
    if (w->in.conn != NULL) conn_close(w->in.conn, "end of the test");
    if (w->out.conn != NULL) conn_close(w->out.conn, "end of the test");
    uv_close((uv_handle_t *)&w->server, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uint64_t end = uv_hrtime() + (uint64_t)WAIT_MS * 1000000;
    while (uv_run(&w->loop, UV_RUN_NOWAIT) != 0 && uv_hrtime() < end) (void)poll(NULL, 0, 1);
    int rc = uv_loop_close(&w->loop);
    bool empty = w->accepting.list == NULL && w->dialling.list == NULL;
    tls_close(w->accepting_tls);
    tls_close(w->dialling_tls);
    if (w->with_tls) fixture_fini(&w->files);
    free(w);
    assert_int_equal(rc, 0);
    assert_true(empty);
}

static inline int64_t world_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* Turns the loop until 'condition' holds; fails the test after WAIT_MS. */
#define WAIT_UNTIL(w, condition)                                                                                      \
    do {                                                                                                              \
        int64_t deadline_ = world_ms() + WAIT_MS;                                                                     \
        while (!(condition)) {                                                                                        \
            if (world_ms() > deadline_) fail_msg("not within %d ms: %s", WAIT_MS, #condition);                        \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);                                                                    \
        }                                                                                                             \
    } while (0)

static inline void world_turn_for(struct world *w, int64_t ms)
{
    int64_t end = world_ms() + ms;
    while (world_ms() < end) (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static inline void world_dial(struct world *w, const char *address)
{
    struct conn_hooks hooks = end_hooks(&w->out);
    w->out.conn = conn_dial(&w->dialling, address, FRAME_PEER, &hooks);
    assert_non_null(w->out.conn);
}

/* Both ends are ready. */
static inline void world_connect(struct world *w)
{
    world_dial(w, w->address);
    WAIT_UNTIL(w, w->out.ready && w->in.ready);
}

/* A blocking socket of a stranger. */
static inline int world_stranger(const struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline bool is_closed_by_peer(int fd)
{
    char bytes[512];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
    return n == 0 || errno != EAGAIN;
}

#endif
