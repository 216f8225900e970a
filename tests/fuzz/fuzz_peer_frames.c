/* Fuzz: what a manager sends to the leader: a stream of frames, each decoded by its type (manager/peers.c). However the
 * stream is cut, the same frames come out of it.
 *
 * Input: u8 size of the first piece | stream. */
#include <errno.h>

#include "lib/base/text.h"
#include "lib/frame.h"
#include "manager/peers.h"
#include "proto/convert.h"
#include "proto/hello.h"
#include "tests/fuzz/fuzz.h"

enum { STREAM_MAX = 16 << 10 };

/* How many frames were good, and whether the connection is then closed for what came. */
struct taken {
    int good_n;
    bool is_closed;
};

static bool is_good(const struct frame_header *h, const uint8_t *body)
{
    static struct proto_observation observation;
    struct agreement_digest digest;
    struct hello hello;
    struct err e = {0};
    uint64_t id;

    if (h->type == PEERS_FRAME_DIGEST) return peers_digest_decode(body, h->body_size, &id, &digest);
    if (h->type == PEERS_FRAME_HELLO) {
        if (hello_decode(&hello, body, h->body_size, &e) == 0) return hello.manager_id != 0;
        MUST(e.text[0] != '\0');
        return false;
    }
    if (h->type != PEERS_FRAME_OBSERVATION) return true; /* Passed over. */
    memset(&observation, 0xa5, sizeof(observation));
    if (proto_observation_decode(&observation, body, h->body_size, &e) == 0)
        return observation.servers_n <= FSM_SERVERS_MAX && FUZZ_IS_TEXT(observation.manager);
    MUST(e.text[0] != '\0');
    return false;
}

static void feed(struct frame_reader *r, const uint8_t *data, size_t size, struct taken *t)
{
    struct frame_header h;
    const uint8_t *body;
    int rv = t->is_closed ? -EPIPE : frame_reader_push(r, data, size);

    while (rv == 0 && frame_reader_peek(r, &h, &body) == 1) {
        if (!is_good(&h, body)) break;
        t->good_n++;
        frame_reader_pop(r);
        rv = frame_reader_push(r, NULL, 0);
    }
    t->is_closed = rv != 0 || frame_reader_peek(r, &h, &body) == 1;
}

static struct taken take(const uint8_t *data, size_t size, size_t first)
{
    struct frame_reader r;
    struct taken t = {0};

    frame_reader_init(&r);
    if (first > size) first = size;
    feed(&r, data, first, &t);
    feed(&r, data + first, size - first, &t);
    frame_reader_fini(&r);
    return t;
}

static bool run(const uint8_t *data, size_t size)
{
    size_t first = fuzz_take(&data, &size);
    struct taken whole, pieces;

    if (size > STREAM_MAX) return false;
    whole = take(data, size, size);
    pieces = take(data, size, first);
    MUST(whole.good_n == pieces.good_n && whole.is_closed == pieces.is_closed);
    return whole.good_n > 0 && !whole.is_closed;
}

static uint8_t bytes[8192];
static size_t bytes_n;

static void add(uint16_t type, const void *body, size_t size)
{
    frame_header_write(bytes + bytes_n, &(struct frame_header){.body_size = (uint32_t)size, .type = type});
    memcpy(bytes + bytes_n + FRAME_HEADER_SIZE, body, size);
    bytes_n += FRAME_HEADER_SIZE + size;
}

static void seed(void)
{
    static struct proto_observation o;
    const struct hello hello = {.manager_id = 3, .program = "regentd 0.1.0", .version_min = 1, .version_max = 2};
    uint8_t digest[16 + PROTO_DIGEST_SIZE] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 4};
    void *body;
    size_t size;

    bytes[0] = 20;
    bytes_n = 1;
    add(PEERS_FRAME_DIGEST, digest, sizeof(digest));
    fuzz_put(bytes, bytes_n);
    MUST(hello_encode(&hello, &body, &size) == 0);
    add(PEERS_FRAME_HELLO, body, size);
    free(body);
    o = (struct proto_observation){.manager_id = 3, .term = 12, .manager = "m3", .cluster = "shop", .servers_n = 1};
    (void)TEXT_COPY(o.names[0], "db1");
    o.servers[0] = (struct view_observation){.outcome = VIEW_REFUSED, .age_ms = 20, .ok_age_ms = -1, .refused_n = 4};
    MUST(proto_observation_encode(&o, &body, &size) == 0);
    add(PEERS_FRAME_OBSERVATION, body, size);
    free(body);
    add(99, "of a newer version", 18);
    fuzz_put(bytes, bytes_n);
}

FUZZ_TARGET(peer_frames, run, seed)
