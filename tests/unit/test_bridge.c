/* raft/bridge.h: what libraft writes at one end comes out at the other, and neither a slow libraft nor a slow network
 * makes anybody hold much. In the clear and over TLS. */
#include "tests/unit/conn_fixture.h"

#include <signal.h>

#include "raft/bridge.h"
#include "raft/compat.h"

enum {
    ENTRY_SIZE = 1 << 20,
    MESSAGE_SIZE = WIRE_PREAMBLE_SIZE + 64 + ENTRY_SIZE,
    MESSAGES_N = 110,
    BRIDGE_HOLDS_MAX = (1 << 20) + (4 * CONN_READ_SIZE),
};

/* Both ends with their bridges, and libraft's streams. */
struct rig {
    struct world *w;
    struct bridge *out, *in;
    uv_stream_t *writer, *reader;
    uint8_t *message;
    unsigned written_n, lost_n, old_n, ended_n;
    bool ended_reader;
    uint64_t received;
    size_t held_max;
};

static void on_lost(void *arg, uint64_t id, bool old)
{
    struct rig *r = arg;
    assert_int_equal(id, 7);
    if (old) r->old_n++;
    else r->lost_n++;
}

static void on_ended(void *arg, struct bridge *bridge)
{
    struct rig *r = arg;
    if (bridge == r->out) r->out = NULL;
    else r->in = NULL;
    r->ended_n++;
}

static void on_freed(uv_handle_t *handle)
{
    free(handle);
}

static int setup(void **state, bool with_tls)
{
    struct rig *r = calloc(1, sizeof *r);
    const struct bridge_hooks hooks = {r, on_lost, on_ended};
    r->w = world_new(with_tls);
    world_connect(r->w);
    r->out = bridge_new(r->w->out.conn, 7, true, &hooks, &r->writer);
    r->in = bridge_new(r->w->in.conn, 7, false, &hooks, &r->reader);
    assert_true(r->out != NULL && r->in != NULL && r->writer != NULL && r->reader != NULL);
    r->w->out.conn = r->w->in.conn = NULL; /* The bridges'. */
    r->writer->data = r->reader->data = r;
    *state = r;
    return 0;
}

static int setup_plain(void **state)
{
    return setup(state, false);
}

static int setup_tls(void **state)
{
    return setup(state, true);
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->writer != NULL) uv_close((uv_handle_t *)r->writer, on_freed);
    if (r->reader != NULL) uv_close((uv_handle_t *)r->reader, on_freed);
    if (r->out != NULL) bridge_close(r->out, "end of the test");
    if (r->in != NULL) bridge_close(r->in, "end of the test");
    WAIT_UNTIL(r->w, r->ended_n == 2);
    world_free(r->w);
    free(r->message);
    free(r);
    return 0;
}

/* AppendEntries with one entry of 1 MiB. */
static void make_message(struct rig *r)
{
    static const uint8_t head[WIRE_PREAMBLE_SIZE] = {RAFT_APPEND_ENTRIES, 0, 0, 0, 0, 0, 0, 0, 64};
    r->message = calloc(1, MESSAGE_SIZE);
    assert_non_null(r->message);
    memcpy(r->message, head, sizeof head);
    r->message[WIRE_PREAMBLE_SIZE + 32] = 1;                /* Count. */
    r->message[WIRE_PREAMBLE_SIZE + 48] = RAFT_COMMAND;
    r->message[WIRE_PREAMBLE_SIZE + 48 + 4 + 2] = ENTRY_SIZE >> 16;
    for (size_t i = WIRE_PREAMBLE_SIZE + 64; i < MESSAGE_SIZE; i++) r->message[i] = pattern(i);
}

static void write_next(struct rig *r);

static void on_message_written(uv_write_t *request, int status)
{
    struct rig *r = request->data;
    free(request);
    if (status == 0) write_next(r);
}

/* As libraft: the next one when the last is taken. */
static void write_next(struct rig *r)
{
    uv_write_t *request = r->written_n < MESSAGES_N ? malloc(sizeof *request) : NULL;
    uv_buf_t buf = uv_buf_init((char *)r->message, MESSAGE_SIZE);
    if (request == NULL) return;
    r->written_n++;
    request->data = r;
    assert_int_equal(uv_write(request, r->writer, &buf, 1, on_message_written), 0);
}

static void on_reader_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char bytes[CONN_READ_SIZE];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_reader(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct rig *r = stream->data;
    if (n < 0) {
        r->ended_reader = true;
        (void)uv_read_stop(stream);
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        if ((uint8_t)buf->base[i] != r->message[(r->received + (size_t)i) % MESSAGE_SIZE]) fail_msg("other bytes");
    r->received += (size_t)n;
}

static void look(struct rig *r)
{
    size_t out = r->out->conn == NULL ? 0 : conn_queued(r->out->conn);
    size_t in = uv_stream_get_write_queue_size((uv_stream_t *)&r->in->pipe);
    if (out > r->held_max) r->held_max = out;
    if (in > r->held_max) r->held_max = in;
}

static void test_nobody_holds_much(void **state)
{
    struct rig *r = *state;
    int64_t end = world_ms() + 60000;
    make_message(r);
    write_next(r);
    world_turn_for(r->w, 300); /* Nobody reads: all stands still, and little lies anywhere. */
    look(r);
    assert_true(r->written_n < 12);
    for (unsigned turn = 0; r->received < (uint64_t)MESSAGES_N * MESSAGE_SIZE && world_ms() < end; turn++) {
        if (turn % 50 == 0) (void)uv_read_start(r->reader, on_reader_alloc, on_reader);
        if (turn % 50 == 25) (void)uv_read_stop(r->reader);
        (void)uv_run(&r->w->loop, UV_RUN_NOWAIT);
        look(r);
    }
    assert_int_equal(r->received, (uint64_t)MESSAGES_N * MESSAGE_SIZE);
    if (r->held_max > BRIDGE_HOLDS_MAX) fail_msg("it held %zu bytes", r->held_max);
}

static void test_ends_are_told(void **state)
{
    struct rig *r = *state;
    make_message(r);
    (void)uv_read_start(r->reader, on_reader_alloc, on_reader);
    write_next(r);
    conn_net_renew(&r->w->dialling);
    assert_int_equal(r->old_n, 1);
    /* libraft closes after a message: the message arrives, then the end; nothing is lost. */
    r->written_n = MESSAGES_N;
    WAIT_UNTIL(r->w, r->received == MESSAGE_SIZE);
    uv_close((uv_handle_t *)r->writer, on_freed);
    r->writer = NULL;
    WAIT_UNTIL(r->w, r->ended_reader);
    assert_int_equal(r->lost_n, 0);
}

static void test_the_end_of_the_other_side_is_lost(void **state)
{
    struct rig *r = *state;
    bridge_close(r->in, "by the test");
    WAIT_UNTIL(r->w, r->lost_n == 1);
    assert_int_equal(r->old_n, 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_init(LOG_LEVEL_ERR, false, "test");
    const struct CMUnitTest tests[] = {
        {"test_nobody_holds_much/plain", test_nobody_holds_much, setup_plain, teardown, NULL},
        {"test_nobody_holds_much/tls", test_nobody_holds_much, setup_tls, teardown, NULL},
        {"test_ends_are_told/tls", test_ends_are_told, setup_tls, teardown, NULL},
        {"test_the_end_of_the_other_side_is_lost/tls", test_the_end_of_the_other_side_is_lost, setup_tls, teardown,
         NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
