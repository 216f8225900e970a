/* The listener and framed streams: what strangers may do to a manager's sockets (manager/listen.h,
 * manager/stream.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "manager/listen.h"
#include "manager/stream.h"
#include "tests/unit/free_port.h"

static uv_loop_t loop;
static struct conn_net net;
static char directory[64], path[96], address[64];
static uint16_t port;
static struct listen *listener;
static struct stream *taken;
static int accepted_n, closed_n, frames_n;
static bool swallows; /* Frames of any size, without an echo. */
static enum frame_protocol accepted;
static char closed_why[128], frame_body[64];

static void on_frame(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    (void)arg;
    frames_n++;
    if (swallows) return;
    assert_true(header->body_size < sizeof frame_body);
    memcpy(frame_body, body, header->body_size);
    frame_body[header->body_size] = '\0';
    assert_int_equal(stream_send(stream, header, body), 0); /* An echo. */
}

static void on_closed(void *arg, struct stream *stream, const char *why)
{
    (void)arg;
    assert_ptr_equal(stream, taken);
    taken = NULL;
    closed_n++;
    TEXT_COPY(closed_why, why);
}

static void on_accept(void *arg, enum frame_protocol protocol, struct conn *conn)
{
    (void)arg;
    accepted_n++;
    accepted = protocol;
    taken = stream_take(conn, on_frame, on_closed, NULL);
    assert_non_null(taken);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    TEXT_COPY(directory, "/tmp/regent-listen-XXXXXX");
    if (!mkdtemp(directory)) return -1;
    port = free_port();
    snprintf(path, sizeof path, "%s/sock", directory);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    accepted_n = closed_n = frames_n = 0;
    swallows = false;
    taken = NULL;
    uv_loop_init(&loop);
    conn_net_init(&net, &loop, NULL);
    listener = listen_start(&net, address, path, &e);
    if (!listener || listen_open(listener, on_accept, NULL, &e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (listener) listen_stop(listener);
    if (taken) stream_close(taken);
    uv_run(&loop, UV_RUN_DEFAULT);
    unlink(path);
    rmdir(directory);
    return uv_loop_close(&loop); /* No handle is left. */
}

static int connect_tcp(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static int connect_unix(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    TEXT_COPY(un.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    return fd;
}

static void send_bytes(int fd, const void *data, size_t size)
{
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Runs the loop until 'done' holds or 'ms' have passed; true when it holds. */
static bool run_until(bool (*done)(int fd), int fd, int64_t ms)
{
    struct mono until = mono_add_ms(clock_mono(), ms);
    while (!done(fd)) {
        if (!mono_before(clock_mono(), until)) return false;
        uv_run(&loop, UV_RUN_NOWAIT);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return true;
}

static bool is_closed_by_peer(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static bool is_accepted(int fd)
{
    (void)fd;
    return accepted_n > 0;
}

static bool is_stream_closed(int fd)
{
    (void)fd;
    return closed_n > 0;
}

static bool has_frame(int fd)
{
    (void)fd;
    return frames_n > 0;
}

static bool has_answer(int fd)
{
    char c[FRAME_HEADER_SIZE + 5];
    return recv(fd, c, sizeof c, MSG_DONTWAIT | MSG_PEEK) == (ssize_t)sizeof c;
}

static void a_preamble_names_the_protocol_and_nothing_behind_it_is_eaten(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE + 5];
    int fd = connect_tcp();
    frame_preamble(bytes, FRAME_CLIENT);
    frame_header_write(bytes + FRAME_PREAMBLE_SIZE, &(struct frame_header){.body_size = 5, .type = 1, .request = 7});
    memcpy(bytes + FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE, "hello", 5);
    send_bytes(fd, bytes, 3);
    uv_run(&loop, UV_RUN_NOWAIT);
    send_bytes(fd, bytes + 3, sizeof bytes - 3);
    assert_true(run_until(has_answer, fd, 5000));
    assert_int_equal(accepted, FRAME_CLIENT);
    assert_int_equal(frames_n, 1);
    assert_string_equal(frame_body, "hello");
    close(fd);
    assert_true(run_until(is_stream_closed, fd, 5000));
}

static void strange_bytes_are_closed(void **state)
{
    (void)state;
    int fd = connect_tcp();
    send_bytes(fd, "GET / HTTP/1.1\r\n", 16);
    assert_true(run_until(is_closed_by_peer, fd, 1500)); /* Before the deadline for silence. */
    assert_int_equal(accepted_n, 0);
    close(fd);
}

static void silence_is_closed_within_its_deadline(void **state)
{
    (void)state;
    int fd = connect_tcp();
    send_bytes(fd, "RG", 2);
    assert_true(run_until(is_closed_by_peer, fd, CONN_HANDSHAKE_MS + 3000));
    assert_int_equal(accepted_n, 0);
    close(fd);
}

static void only_clients_use_the_unix_socket(void **state)
{
    (void)state;
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    int raft = connect_unix();
    frame_preamble(preamble, FRAME_RAFT);
    send_bytes(raft, preamble, sizeof preamble);
    assert_true(run_until(is_closed_by_peer, raft, 1500));
    assert_int_equal(accepted_n, 0);
    int client = connect_unix();
    frame_preamble(preamble, FRAME_CLIENT);
    send_bytes(client, preamble, sizeof preamble);
    assert_true(run_until(is_accepted, client, 5000));
    close(raft);
    close(client);
}

static void a_length_beyond_the_limit_closes_the_stream(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE];
    int fd = connect_tcp();
    frame_preamble(bytes, FRAME_PEER);
    memset(bytes + FRAME_PREAMBLE_SIZE, 0xff, FRAME_HEADER_SIZE);
    send_bytes(fd, bytes, sizeof bytes);
    assert_true(run_until(is_stream_closed, fd, 5000));
    assert_string_equal(closed_why, "a frame is longer than allowed");
    close(fd);
}

/* A request that never comes to its end, byte by byte. */
static void a_frame_that_comes_too_slowly_is_closed(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE];
    int fd = connect_tcp();
    struct mono start = clock_mono();
    frame_preamble(bytes, FRAME_CLIENT);
    frame_header_write(bytes + FRAME_PREAMBLE_SIZE, &(struct frame_header){.body_size = 50, .type = 1});
    send_bytes(fd, bytes, sizeof bytes);
    for (int i = 0; i < 20 && !run_until(is_stream_closed, fd, 300); i++) (void)send(fd, "x", 1, MSG_NOSIGNAL);
    assert_true(is_stream_closed(fd));
    assert_string_equal(closed_why, "a frame came too slowly");
    assert_true(mono_since_ms(clock_mono(), start) >= STREAM_FRAME_MS - 100);
    assert_int_equal(frames_n, 0);
    close(fd);
}

/* The longest header and then a body, each within what one of them may take: the bound is for both together. And the
 * length that a header names buys no time. */
static void header_and_body_share_one_deadline(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE];
    int fd = connect_tcp();
    frame_preamble(bytes, FRAME_CLIENT);
    frame_header_write(bytes + FRAME_PREAMBLE_SIZE, &(struct frame_header){.body_size = FRAME_BODY_MAX, .type = 1});
    send_bytes(fd, bytes, FRAME_PREAMBLE_SIZE);
    assert_true(run_until(is_accepted, fd, 5000));
    struct mono start = clock_mono();
    for (size_t i = 0; i < FRAME_HEADER_SIZE; i++) {
        send_bytes(fd, bytes + FRAME_PREAMBLE_SIZE + i, 1);
        assert_false(run_until(is_stream_closed, fd, 3200 / FRAME_HEADER_SIZE));
    }
    for (int i = 0; i < 30 && !run_until(is_stream_closed, fd, 100); i++) (void)send(fd, "x", 1, MSG_NOSIGNAL);
    assert_true(is_stream_closed(fd));
    assert_string_equal(closed_why, "a frame came too slowly");
    assert_in_range(mono_since_ms(clock_mono(), start), STREAM_FRAME_MS - 100, 5000);
    close(fd);
}

/* 4 MB at about 700 bytes a millisecond, with a beginning that took its time: bytes that come buy time. */
static void a_long_frame_at_a_fair_pace_is_taken(void **state)
{
    (void)state;
    static uint8_t piece[64 << 10];
    uint8_t bytes[FRAME_PREAMBLE_SIZE + FRAME_HEADER_SIZE];
    int fd = connect_tcp();
    swallows = true;
    frame_preamble(bytes, FRAME_CLIENT);
    frame_header_write(bytes + FRAME_PREAMBLE_SIZE, &(struct frame_header){.body_size = FRAME_BODY_MAX, .type = 1});
    send_bytes(fd, bytes, sizeof bytes);
    assert_false(run_until(is_stream_closed, fd, 1000));
    for (size_t sent = 0; sent < FRAME_BODY_MAX; sent += sizeof piece) {
        send_bytes(fd, piece, sizeof piece);
        assert_false(run_until(is_stream_closed, fd, 60)); /* Nearly 4 s for all: 5 s with the beginning. */
    }
    assert_true(run_until(has_frame, fd, 5000));
    close(fd);
    assert_true(run_until(is_stream_closed, fd, 5000));
}

/* One who is let in. */
static int connect_client(void)
{
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    int fd = connect_tcp();
    frame_preamble(preamble, FRAME_CLIENT);
    send_bytes(fd, preamble, sizeof preamble);
    assert_true(run_until(is_accepted, fd, 5000));
    return fd;
}

static void silence_after_a_frame_is_closed_when_asked_for(void **state)
{
    (void)state;
    int fd = connect_client();
    assert_false(run_until(is_stream_closed, fd, 200));
    stream_set_idle(taken, 100);
    assert_true(run_until(is_stream_closed, fd, 5000));
    assert_string_equal(closed_why, "nothing came for the idle time");
    close(fd);
}

static void a_side_that_does_not_read_is_closed(void **state)
{
    (void)state;
    int fd = connect_client();
    char *body = calloc(1, FRAME_BODY_MAX);
    struct frame_header header = {.body_size = FRAME_BODY_MAX, .type = 1};
    int rc = 0;
    for (int i = 0; i < 20 && rc == 0; i++) rc = stream_send(taken, &header, body);
    free(body);
    assert_int_equal(rc, -ENOBUFS);
    assert_true(run_until(is_stream_closed, fd, 5000));
    close(fd);
}

static void a_taken_port_and_a_taken_socket_are_told(void **state)
{
    (void)state;
    struct err e = {0};
    char other[64];
    assert_null(listen_start(&net, address, "", &e));
    assert_int_equal(e.code, -EADDRINUSE);
    assert_non_null(strstr(e.text, address));
    snprintf(other, sizeof other, "127.0.0.1:%u", free_port());
    assert_null(listen_start(&net, other, path, &e));
    assert_int_equal(e.code, -EADDRINUSE);
    assert_non_null(strstr(e.text, path));
}

static void a_dead_socket_is_replaced_and_a_file_is_not(void **state)
{
    (void)state;
    struct err e = {0};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char dead[96], other[64];
    snprintf(dead, sizeof dead, "%s/dead", directory);
    snprintf(other, sizeof other, "127.0.0.1:%u", free_port());
    TEXT_COPY(un.sun_path, dead);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    struct listen *second = listen_start(&net, other, dead, &e);
    assert_non_null(second);
    struct stat st;
    assert_int_equal(stat(dead, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    listen_stop(second);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(access(dead, F_OK), -1);
    FILE *file = fopen(dead, "w");
    fclose(file);
    assert_null(listen_start(&net, other, dead, &e));
    assert_int_equal(access(dead, F_OK), 0);
    unlink(dead);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_preamble_names_the_protocol_and_nothing_behind_it_is_eaten),
        T(strange_bytes_are_closed),
        T(silence_is_closed_within_its_deadline),
        T(only_clients_use_the_unix_socket),
        T(a_length_beyond_the_limit_closes_the_stream),
        T(a_frame_that_comes_too_slowly_is_closed),
        T(header_and_body_share_one_deadline),
        T(a_long_frame_at_a_fair_pace_is_taken),
        T(silence_after_a_frame_is_closed_when_asked_for),
        T(a_side_that_does_not_read_is_closed),
        T(a_taken_port_and_a_taken_socket_are_told),
        T(a_dead_socket_is_replaced_and_a_file_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
