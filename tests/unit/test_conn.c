/* lib/conn.h: each test runs in the clear and over TLS; what can go wrong in each state of a connection. */
#include "tests/unit/conn_fixture.h"

#include <signal.h>
#include <sys/mman.h>

#include "lib/address.h"
#include "lib/conn_private.h"

static int setup_plain(void **state)
{
    *state = world_new(false);
    return 0;
}

static int setup_tls(void **state)
{
    *state = world_new(true);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

/* Writes 'size' bytes of the pattern from 'at' on. */
static int write_pattern(struct conn *conn, uint64_t at, size_t size)
{
    static uint8_t bytes[300000];
    assert_true(size <= sizeof bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = pattern(at + i);
    return conn_write(conn, bytes, size);
}

/* --- the main path ------------------------------------------------------------------------------------------------ */

static void test_both_sides_know_each_other_and_talk(void **state)
{
    struct world *w = *state;
    w->in.echoes = true;
    world_connect(w);
    assert_int_equal(conn_protocol(w->in.conn), FRAME_PEER);
    assert_int_equal(conn_protocol(w->out.conn), FRAME_PEER);
    if (w->with_tls) {
        assert_int_equal(conn_identity(w->in.conn)->id, 2);
        assert_string_equal(conn_identity(w->out.conn)->name, "m1");
        assert_non_null(strstr(conn_name(w->in.conn), "manager m2 (id 2) at 127.0.0.1:"));
    } else {
        assert_int_equal(conn_identity(w->in.conn)->role, TLS_NOBODY);
    }
    struct iovec parts[3] = {{"", 0}, {"", 0}, {"", 0}};
    assert_int_equal(conn_writev(w->out.conn, parts, 3), 0);
    assert_int_equal(write_pattern(w->out.conn, 0, 1), 0);
    assert_int_equal(write_pattern(w->out.conn, 1, 300000), 0);
    WAIT_UNTIL(w, w->out.received == 300001);
    assert_true(w->in.is_in_order && w->out.is_in_order);
    conn_close(w->out.conn, "enough");
    assert_int_equal(w->out.closed_n, 0); /* Never inside the call. */
    assert_int_equal(conn_write(w->out.conn, "x", 1), -EPIPE);
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_string_equal(w->in.why, "the other side closed the connection");
    assert_string_equal(w->out.why, "enough");
}

static void test_names_and_ipv6_are_dialled(void **state)
{
    struct world *w = *state;
    char address[64];
    (void)snprintf(address, sizeof address, "localhost:%u", w->port); /* Where ::1 comes first, it refuses. */
    world_dial(w, address);
    WAIT_UNTIL(w, w->out.ready && w->in.ready);
    conn_close(w->out.conn, "done");
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    end_init(&w->in, w);
    end_init(&w->out, w);
    uv_close((uv_handle_t *)&w->server, NULL);
    world_turn_for(w, 10);
    if (!world_listen(w, "::1")) {
        print_message("SKIP: no IPv6 on this host\n");
        return;
    }
    world_connect(w);
}

static void test_finish_sends_what_is_queued(void **state)
{
    struct world *w = *state;
    uint64_t sent = 0;
    world_connect(w);
    conn_pause(w->in.conn);
    while (!conn_is_full(w->out.conn)) {
        assert_int_equal(write_pattern(w->out.conn, sent, 100000), 0);
        sent += 100000;
    }
    conn_finish(w->out.conn, "all said");
    assert_int_equal(write_pattern(w->out.conn, sent, 1), -EPIPE);
    world_turn_for(w, 30);
    assert_int_equal(w->out.closed_n, 0);
    conn_resume(w->in.conn);
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_int_equal(w->in.received, sent);
    assert_true(w->in.is_in_order);
    assert_string_equal(w->out.why, "all said");
}

/* --- back-pressure ------------------------------------------------------------------------------------------------ */

enum { MEGA = 1 << 20, FLOOD = 110 * MEGA };

static uint64_t flood_sent, queued_max;

static void flood(struct end *end)
{
    while (flood_sent < FLOOD && end->conn != NULL && !conn_is_full(end->conn)) {
        assert_int_equal(write_pattern(end->conn, flood_sent, 64 << 10), 0);
        flood_sent += 64 << 10;
        if (conn_queued(end->conn) > queued_max) queued_max = conn_queued(end->conn);
    }
}

/* Reads in fits and starts. */
static void pause_often(struct end *end, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    if (end->received / MEGA % 7 == 3) conn_pause(end->conn);
}

static void test_a_slow_reader_slows_the_writer(void **state)
{
    struct world *w = *state;
    flood_sent = queued_max = 0;
    w->out.on_drained = flood;
    w->in.on_bytes = pause_often;
    world_connect(w);
    flood(&w->out);
    int64_t end = world_ms() + 60000;
    while (w->in.received < FLOOD && w->in.closed_n == 0 && world_ms() < end) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        if (w->in.conn != NULL) conn_resume(w->in.conn);
    }
    assert_int_equal(w->in.received, FLOOD);
    assert_true(w->in.is_in_order);
    assert_true(w->out.drained_n > 10);
    assert_true(queued_max <= CONN_QUEUE_HIGH + (128 << 10));
}

/* The sink of a relay: it has its own connection, and the relay writes into that. */
struct relay {
    struct end *from, *to;
};

static void relay_bytes(struct end *end, const uint8_t *data, size_t size)
{
    struct relay *r = end->arg;
    assert_int_equal(conn_write(r->to->conn, data, size), 0);
    if (conn_queued(r->to->conn) > queued_max) queued_max = conn_queued(r->to->conn);
    if (conn_is_full(r->to->conn)) conn_pause(end->conn);
}

static void relay_drained(struct end *end)
{
    struct relay *r = end->arg;
    if (r->from->conn != NULL) conn_resume(r->from->conn);
}

/* Source -> relay -> sink: the relay holds little, whoever is slow. */
static void test_a_relay_holds_back_its_source(void **state)
{
    struct world *w = *state;
    struct end relay_in, source;
    struct relay relay = {&relay_in, &w->out};
    flood_sent = queued_max = 0;
    world_connect(w); /* w->out (relay) -> w->in (sink) */
    struct end sink = w->in;
    struct conn_hooks hooks = end_hooks(&sink);
    conn_set_hooks(sink.conn, &hooks);
    end_init(&w->in, w);
    end_init(&source, w);
    hooks = end_hooks(&source);
    source.on_drained = flood;
    source.conn = conn_dial(&w->dialling, w->address, FRAME_PEER, &hooks);
    WAIT_UNTIL(w, source.ready && w->in.ready);
    relay_in = w->in;
    hooks = end_hooks(&relay_in);
    conn_set_hooks(relay_in.conn, &hooks);
    w->in.conn = NULL;
    relay_in.on_bytes = relay_bytes;
    w->out.on_drained = relay_drained;
    relay_in.arg = w->out.arg = &relay;
    conn_pause(sink.conn); /* Until the relay is full: a quick sink would let the kernel's buffers do. */
    flood(&source);
    WAIT_UNTIL(w, conn_is_full(w->out.conn));
    int64_t end = world_ms() + 60000;
    for (unsigned turn = 0; sink.received < FLOOD && world_ms() < end; turn++) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        if (turn % 64 == 0) conn_pause(sink.conn);
        if (turn % 64 == 32) conn_resume(sink.conn);
    }
    assert_int_equal(sink.received, FLOOD);
    assert_true(sink.is_in_order);
    assert_true(queued_max <= CONN_QUEUE_HIGH + 3 * CONN_READ_SIZE);
    assert_true(w->out.drained_n > 0);
    conn_close(source.conn, "done");
    WAIT_UNTIL(w, relay_in.closed_n == 1 && source.closed_n == 1);
    conn_close(w->out.conn, "done");
    WAIT_UNTIL(w, sink.closed_n == 1 && w->out.closed_n == 1);
}

static void test_who_never_reads_is_closed(void **state)
{
    struct world *w = *state;
    world_connect(w);
    conn_pause(w->in.conn);
    int rc = 0;
    for (unsigned i = 0; i < 100 && rc == 0; i++) rc = write_pattern(w->out.conn, 0, 300000);
    assert_int_equal(rc, -ENOBUFS);
    WAIT_UNTIL(w, w->out.closed_n == 1);
    assert_string_equal(w->out.why, "the other side does not take what it is sent");
}

/* Who asks TLS for new keys again and again and never reads the answers makes nobody hold them without end. */
static void test_who_never_reads_answers_of_tls_is_closed(void **state)
{
    struct world *w = *state;
    size_t held_max = 0;
    uint8_t record[256];
    world_connect(w);
    conn_set_user_timeout(w->in.conn, 60000); /* A slow machine must not look like a peer that is gone. */
    conn_pause(w->out.conn);
    while (conn_queued(w->in.conn) + 40000 < CONN_QUEUE_MAX)
        assert_int_equal(write_pattern(w->in.conn, 0, 32000), 0);
    for (unsigned i = 0; i < 60000 && w->in.closed_n == 0; i++) {
        SSL *ssl = w->out.conn->ssl;
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
        int n = BIO_read(SSL_get_wbio(ssl), record, sizeof record);
        assert_true(n > 0);
        if (conn_raw_write(w->out.conn, record, (size_t)n) != 0) break;
        if (i % 100 != 0) continue;
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        if (w->in.conn != NULL && conn_queued(w->in.conn) > held_max) held_max = conn_queued(w->in.conn);
    }
    WAIT_UNTIL(w, w->in.closed_n == 1);
    assert_string_equal(w->in.why, "the other side does not take what it is sent");
    assert_true(held_max < CONN_QUEUE_MAX + CONN_QUEUE_HIGH);
}

static bool is_loopback(const char *host)
{
    struct sockaddr_storage sa = {0};
    if (strchr(host, ':') != NULL) assert_int_equal(uv_ip6_addr(host, 7, (struct sockaddr_in6 *)&sa), 0);
    else assert_int_equal(uv_ip4_addr(host, 7, (struct sockaddr_in *)&sa), 0);
    return address_is_loopback((const struct sockaddr *)&sa);
}

static void test_plaintext_is_for_this_machine(void **state)
{
    (void)state;
    assert_true(is_loopback("127.0.0.1") && is_loopback("127.255.0.9") && is_loopback("::1"));
    assert_true(is_loopback("::ffff:127.0.0.1"));
    assert_false(is_loopback("128.0.0.1") || is_loopback("126.255.255.255") || is_loopback("0.0.0.0"));
    assert_false(is_loopback("::") || is_loopback("::2") || is_loopback("fe80::1") || is_loopback("::ffff:10.0.0.1"));
    assert_false(is_loopback("::127.0.0.1"));
    const struct sockaddr nowhere = {.sa_family = AF_UNIX};
    assert_false(address_is_loopback(&nowhere));
}

/* --- failures of dialling ----------------------------------------------------------------------------------------- */

static void expect_dial_fails(struct world *w, const char *address, const char *why)
{
    end_init(&w->out, w);
    world_dial(w, address);
    assert_int_equal(w->out.closed_n, 0);
    WAIT_UNTIL(w, w->out.closed_n == 1);
    assert_false(w->out.ready);
    if (strstr(w->out.why, why) == NULL) fail_msg("%s: \"%s\" is not in \"%s\"", address, why, w->out.why);
}

static void test_dialling_nowhere(void **state)
{
    struct world *w = *state;
    char address[64];
    expect_dial_fails(w, "nowhere", "not host:port");
    expect_dial_fails(w, "", "not host:port");
    expect_dial_fails(w, "no-such-host.invalid:7", "no-such-host.invalid:7: ");
    if (!w->with_tls) {
        expect_dial_fails(w, "192.0.2.1:7", "without TLS only loopback");
        expect_dial_fails(w, "[2001:db8::1]:7", "without TLS only loopback");
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", w->port);
    uv_close((uv_handle_t *)&w->server, NULL);
    world_turn_for(w, 10);
    expect_dial_fails(w, address, "connection refused");
    assert_true(world_listen(w, "127.0.0.1"));
}

static void test_a_look_up_is_cancelled(void **state)
{
    struct world *w = *state;
    world_dial(w, "no-such-host.invalid:7");
    conn_close(w->out.conn, "changed my mind");
    conn_close(w->out.conn, "twice");
    WAIT_UNTIL(w, w->out.closed_n == 1);
    assert_string_equal(w->out.why, "changed my mind");
}

/* --- closing, wherever it is -------------------------------------------------------------------------------------- */

/* After 'turns' of the loop since the dial, one side ends. */
static void close_after(struct world *w, unsigned turns, bool by_dialler)
{
    end_init(&w->in, w);
    end_init(&w->out, w);
    world_dial(w, w->address);
    for (unsigned i = 0; i < turns; i++) (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    struct end *who = by_dialler || w->in.conn == NULL ? &w->out : &w->in;
    if (who->conn != NULL) conn_close(who->conn, "by the test");
    WAIT_UNTIL(w, w->out.closed_n == 1 && w->in.conn == NULL);
    world_turn_for(w, 2);
    assert_int_equal(w->out.closed_n, 1);
    assert_true(w->in.closed_n <= 1);
}

static void test_closed_in_every_state(void **state)
{
    struct world *w = *state;
    for (unsigned turns = 0; turns < 14; turns++) {
        close_after(w, turns, true);
        close_after(w, turns, false);
    }
    assert_int_equal(w->accepting.list == NULL && w->dialling.list == NULL, true);
}

static void close_by(struct world *w, enum end_act act)
{
    end_init(&w->in, w);
    end_init(&w->out, w);
    if (act == ACT_CLOSE_READY) w->out.act = act;
    world_dial(w, w->address);
    WAIT_UNTIL(w, w->out.ready);
    if (act == ACT_CLOSE_BYTES) w->in.act = act;
    w->out.act = act;
    if (act != ACT_CLOSE_READY) {
        WAIT_UNTIL(w, w->in.ready);
        if (act == ACT_CLOSE_DRAINED) conn_pause(w->in.conn);
        while (!conn_is_full(w->out.conn)) assert_int_equal(write_pattern(w->out.conn, 0, 1000), 0);
        conn_resume(w->in.conn);
    }
    WAIT_UNTIL(w, w->out.closed_n == 1 && w->in.conn == NULL);
}

static void test_closed_inside_each_hook(void **state)
{
    struct world *w = *state;
    close_by(w, ACT_CLOSE_READY);
    assert_string_equal(w->out.why, "by the test");
    close_by(w, ACT_CLOSE_BYTES);
    assert_string_equal(w->in.why, "by the test");
    close_by(w, ACT_CLOSE_DRAINED);
    assert_string_equal(w->out.why, "by the test");
    assert_true(w->out.drained_n == 1);
}

static void test_the_other_side_resets(void **state)
{
    struct world *w = *state;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = -1;
    world_connect(w);
    assert_int_equal(uv_fileno((uv_handle_t *)w->in.conn->stream, &fd), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    struct conn *in = w->in.conn;
    in->ssl == NULL ? (void)0 : conn_tls_free(in); /* No good-bye. */
    conn_close(in, "reset");
    WAIT_UNTIL(w, w->out.closed_n == 1);
    assert_string_equal(w->out.why, "reading failed: connection reset by peer");
}

/* --- deadlines ---------------------------------------------------------------------------------------------------- */

/* Connections stay in its backlog: it says nothing. */
static int mute_server(char address[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    (void)snprintf(address, 64, "127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

/* A ClientHello that goes on and on, so that it could take for ever. */
static const uint8_t tls_hello[] = {22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};

static void test_half_and_slow_handshakes_end_in_time(void **state)
{
    struct world *w = *state;
    char mute_address[64];
    int mute = mute_server(mute_address);
    uint8_t begun[FRAME_PREAMBLE_SIZE];
    const uint8_t *bytes = w->with_tls ? tls_hello : begun;
    frame_preamble(begun, FRAME_CLIENT);
    int silent = world_stranger(w), half = world_stranger(w), slow = world_stranger(w);
    int64_t start = world_ms();
    size_t sent = 0;
    assert_int_equal(send(half, bytes, 6, MSG_NOSIGNAL), 6);
    world_dial(w, mute_address);
    while (!is_closed_by_peer(slow) && world_ms() - start < WAIT_MS) {
        bool is_time = sent < 7 && (world_ms() - start) / 700 >= (int64_t)sent;
        if (is_time && send(slow, bytes + sent, 1, MSG_NOSIGNAL) == 1) sent++;
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
    int64_t took = world_ms() - start;
    world_turn_for(w, 50);
    assert_true(is_closed_by_peer(silent) && is_closed_by_peer(half));
    assert_true(took >= CONN_HANDSHAKE_MS - 50);
    assert_true(took < CONN_HANDSHAKE_MS + 2000);
    assert_false(w->in.ready);
    assert_int_equal(w->out.ready, !w->with_tls); /* In the clear nothing is waited for. */
    if (w->with_tls) assert_string_equal(w->out.why, "no connection within 3 s");
    close(mute);
    close(silent);
    close(half);
    close(slow);
}

static void test_the_owner_sets_deadlines(void **state)
{
    struct world *w = *state;
    world_connect(w);
    conn_set_deadline(w->in.conn, 50, CONN_NOT_REFUSED, "too long");
    conn_set_deadline(w->in.conn, 0, CONN_NOT_REFUSED, NULL);
    world_turn_for(w, 100);
    assert_int_equal(w->in.closed_n, 0);
    conn_set_deadline(w->in.conn, 50, CONN_NOT_REFUSED, "too long");
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_string_equal(w->in.why, "too long");
}

/* --- who may talk ------------------------------------------------------------------------------------------------- */

/* What a stranger sends is refused at once, and says so in the log. */
static void expect_refused(struct world *w, const void *bytes, size_t size, const char *why)
{
    int fd = world_stranger(w);
    int64_t start = world_ms();
    end_init(&w->in, w);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    WAIT_UNTIL(w, w->in.closed_n == 1);
    assert_true(world_ms() - start < 2500);
    assert_false(w->in.ready);
    if (strstr(w->in.why, why) == NULL) fail_msg("\"%s\" is not in \"%s\"", why, w->in.why);
    close(fd);
}

static void test_strange_bytes_are_refused(void **state)
{
    struct world *w = *state;
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    frame_preamble(preamble, FRAME_RAFT);
    if (w->with_tls) {
        expect_refused(w, preamble, sizeof preamble, "does not speak TLS");
        expect_refused(w, "GET / HTTP/1.1\r\n\r\n", 18, "does not speak TLS");
    } else {
        expect_refused(w, tls_hello, sizeof tls_hello, "does not speak a protocol of Regent");
        preamble[5] = FRAME_AGENT; /* Over TLS only. */
        expect_refused(w, preamble, sizeof preamble, "does not speak a protocol of Regent");
    }
}

/* Of one who takes nothing any more: even the first write to him fails. */
static void refuse_deaf(struct world *w, const void *bytes, size_t size)
{
    const struct conn_hooks hooks = end_hooks(&w->in);
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(uv_tcp_init(&w->loop, tcp), 0);
    assert_int_equal(uv_tcp_open(tcp, fds[0]), 0);
    assert_int_equal(send(fds[1], bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    assert_int_equal(shutdown(fds[1], SHUT_RD), 0);
    end_init(&w->in, w);
    w->in.conn = conn_accept(&w->accepting, (uv_stream_t *)tcp, false, &hooks);
    WAIT_UNTIL(w, w->in.closed_n == 1);
    close(fds[1]);
}

/* The first bytes of a client of TLS. Returns their number. */
static size_t make_hello(struct world *w, const unsigned char *alpn, uint8_t to[2048])
{
    SSL *ssl = tls_connect_new(w->dialling_tls, FRAME_PEER);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    if (alpn != NULL) assert_int_equal(SSL_set_alpn_protos(ssl, alpn, 1u + alpn[0]), 0);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    int n = BIO_read(out, to, 2048);
    assert_true(n > 0);
    SSL_free(ssl);
    return (size_t)n;
}

/* Runs first: the log has a limit on each kind of refusal. */
static void test_who_is_gone_is_told_all_the_same(void **state)
{
    struct world *w = *state;
    static uint8_t strange[2048], good[2048];
    char said[4096];
    size_t strange_size = make_hello(w, (const unsigned char *)"\2h2", strange), good_size = make_hello(w, NULL, good);
    int file = memfd_create("stderr", MFD_CLOEXEC), real = dup(STDERR_FILENO);
    log_init(LOG_LEVEL_WARN, false, "test");
    assert_true(file >= 0 && real >= 0 && dup2(file, STDERR_FILENO) >= 0);
    refuse_deaf(w, strange, strange_size);
    refuse_deaf(w, good, good_size);
    assert_true(dup2(real, STDERR_FILENO) >= 0);
    log_init(LOG_LEVEL_ERR, false, "test");
    ssize_t size = pread(file, said, sizeof said - 1, 0);
    said[size > 0 ? size : 0] = '\0';
    close(file);
    close(real);
    print_message("%s", said);
    const char *first = strstr(said, "event=conn.refused ");
    assert_true(first != NULL && strstr(first, "no protocol that we know") != NULL);
    const char *second = strstr(first + 1, "event=conn.refused ");
    assert_true(second != NULL && strstr(second, "writing failed: broken pipe") != NULL);
}

static void test_an_agent_gets_no_peer_protocol(void **state)
{
    struct world *w = *state;
    fixture_issue(&w->files, TLS_AGENT, "db1", 0);
    tls_close(w->dialling_tls);
    w->dialling.tls = w->dialling_tls = fixture_open(&w->files, "db1", NULL);
    world_dial(w, w->address);
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_false(w->in.ready);
    assert_non_null(strstr(w->in.why, "wrong role: agent db1"));
    assert_non_null(strstr(w->out.why, "the other side refused us"));
}

/* One that fails over and over waits for its turn; so does a good one at the same address, but never for long. */
static void test_who_fails_often_waits_for_its_turn(void **state)
{
    struct world *w = *state;
    struct tls *good = w->dialling_tls;
    fixture_issue(&w->files, TLS_AGENT, "db1", 0);
    struct tls *bad = fixture_open(&w->files, "db1", NULL);
    w->dialling.tls = bad;
    int64_t start = world_ms();
    for (unsigned i = 0; i < 2 * CONN_PACE_BURST; i++) {
        end_init(&w->in, w);
        end_init(&w->out, w);
        world_dial(w, w->address);
        WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
        assert_non_null(strstr(w->in.why, "wrong role: agent db1"));
    }
    assert_true(world_ms() - start >= (CONN_PACE_BURST - 3) * CONN_PACE_SLOT_MS); /* The burst went at once. */
    end_init(&w->in, w);
    end_init(&w->out, w);
    w->dialling.tls = good;
    start = world_ms();
    world_connect(w);
    assert_true(world_ms() - start < CONN_PACE_WAIT_MS + 1000);
    tls_close(bad);
}

/* More than may wait: turned away at once, and told so; what was in line gets its turn. */
static void test_more_than_may_wait_are_turned_away(void **state)
{
    struct world *w = *state;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage sa = {0};
    memcpy(&sa, &from, sizeof from);
    uv_update_time(&w->loop);
    for (unsigned i = 0; i < 4 * CONN_PACE_BURST; i++) conn_pace_failed(&w->accepting.pace, &sa, uv_now(&w->loop));
    while (conn_pace_take(&w->accepting.pace, &sa, uv_now(&w->loop)) >= 0) continue;
    int64_t start = world_ms();
    world_dial(w, w->address);
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_non_null(strstr(w->in.why, "too many connections from its address were refused lately"));
    assert_true(world_ms() - start < CONN_PACE_SLOT_MS + 1000);
    world_turn_for(w, 2 * CONN_PACE_SLOT_MS);
    end_init(&w->in, w);
    end_init(&w->out, w);
    start = world_ms();
    world_connect(w);
    assert_in_range(world_ms() - start, CONN_PACE_SLOT_MS, CONN_PACE_WAIT_MS + 1000); /* Behind the others. */
}

static void test_a_revoked_one_is_cut_off_and_others_are_not(void **state)
{
    struct world *w = *state;
    struct err e = {0};
    char serial[TLS_SERIAL_SIZE];
    world_connect(w);
    (void)TEXT_COPY(serial, conn_identity(w->in.conn)->serial);
    conn_net_check(&w->accepting);
    conn_net_check(&w->dialling);
    world_turn_for(w, 20);
    assert_int_equal(w->in.closed_n + w->out.closed_n, 0);
    fixture_write_crl(&w->files, "crl", serial, FIXTURE_DAY_S * 10);
    assert_int_equal(tls_reload(w->accepting_tls, &e), 0);
    conn_net_check(&w->accepting);
    WAIT_UNTIL(w, w->in.closed_n == 1 && w->out.closed_n == 1);
    assert_non_null(strstr(w->in.why, "revoked"));
    end_init(&w->out, w);
    world_dial(w, w->address); /* It learns that only after its own side of the handshake is complete. */
    WAIT_UNTIL(w, w->out.closed_n == 1);
    assert_non_null(strstr(w->out.why, "our certificate was revoked"));
}

static void test_an_old_dialled_connection_is_told(void **state)
{
    struct world *w = *state;
    world_connect(w);
    w->out.conn->born_ms -= CONN_AGE_MAX_S * 800;
    w->in.conn->born_ms -= CONN_AGE_MAX_S * 1100;
    conn_net_check(&w->accepting);
    conn_net_check(&w->dialling);
    assert_int_equal(w->out.old_n, 0);
    w->out.conn->born_ms -= CONN_AGE_MAX_S * 300;
    conn_net_check(&w->accepting);
    conn_net_check(&w->dialling);
    assert_int_equal(w->out.old_n, 1);
    assert_int_equal(w->in.old_n, 0);
}

#define BOTH(test)                                                                                                    \
    {#test "/plain", test, setup_plain, teardown, NULL}, {#test "/tls", test, setup_tls, teardown, NULL}
#define TLS(test) {#test "/tls", test, setup_tls, teardown, NULL}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_init(LOG_LEVEL_ERR, false, "test");
    if (getenv("TEST_FILTER") != NULL) cmocka_set_test_filter(getenv("TEST_FILTER"));
    const struct CMUnitTest tests[] = {
        TLS(test_who_is_gone_is_told_all_the_same),
        BOTH(test_both_sides_know_each_other_and_talk),
        BOTH(test_names_and_ipv6_are_dialled),
        BOTH(test_finish_sends_what_is_queued),
        BOTH(test_a_slow_reader_slows_the_writer),
        BOTH(test_a_relay_holds_back_its_source),
        BOTH(test_who_never_reads_is_closed),
        TLS(test_who_never_reads_answers_of_tls_is_closed),
        cmocka_unit_test(test_plaintext_is_for_this_machine),
        BOTH(test_dialling_nowhere),
        BOTH(test_a_look_up_is_cancelled),
        BOTH(test_closed_in_every_state),
        BOTH(test_closed_inside_each_hook),
        BOTH(test_the_other_side_resets),
        BOTH(test_half_and_slow_handshakes_end_in_time),
        BOTH(test_the_owner_sets_deadlines),
        BOTH(test_strange_bytes_are_refused),
        TLS(test_an_agent_gets_no_peer_protocol),
        TLS(test_who_fails_often_waits_for_its_turn),
        TLS(test_more_than_may_wait_are_turned_away),
        TLS(test_a_revoked_one_is_cut_off_and_others_are_not),
        BOTH(test_an_old_dialled_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
