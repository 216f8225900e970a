/* Frames: headers byte by byte, and the reader that collects what comes in pieces. */
#include "lib/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bound.h"
#include "lib/base/bytes.h"

enum {
    FRAME_VERSION = 1,
    READER_SIZE_MIN = 4096,
    READER_SIZE_KEPT = 64 << 10, /* An empty reader gives back a buffer larger than this. */
    FRAME_SIZE_MAX = FRAME_HEADER_SIZE + FRAME_BODY_MAX,
};

static const uint8_t magic[4] = {'R', 'G', 'N', 'T'};

void frame_preamble(uint8_t to[FRAME_PREAMBLE_SIZE], enum frame_protocol protocol)
{
    memset(to, 0, FRAME_PREAMBLE_SIZE);
    memcpy(to, magic, sizeof magic);
    to[4] = FRAME_VERSION;
    to[5] = (uint8_t)protocol;
}

int frame_preamble_read(const uint8_t from[FRAME_PREAMBLE_SIZE])
{
    if (memcmp(from, magic, sizeof magic) != 0) return -EPROTO;
    if (from[4] != FRAME_VERSION || from[6] != 0 || from[7] != 0) return -EPROTO;
    if (from[5] < FRAME_RAFT || from[5] > FRAME_CLIENT) return -EPROTO;
    return from[5];
}

void frame_header_write(uint8_t to[FRAME_HEADER_SIZE], const struct frame_header *h)
{
    MUST(h->body_size <= FRAME_BODY_MAX);
    bytes_put_u32(to, h->body_size);
    bytes_put_u16(to + 4, h->type);
    bytes_put_u16(to + 6, h->flags);
    bytes_put_u64(to + 8, h->request);
}

int frame_header_read(struct frame_header *h, const uint8_t from[FRAME_HEADER_SIZE])
{
    h->body_size = bytes_u32(from);
    h->type = bytes_u16(from + 4);
    h->flags = bytes_u16(from + 6);
    h->request = bytes_u64(from + 8);
    return BOUND(frame_body, h->body_size > FRAME_BODY_MAX) ? -EMSGSIZE : 0;
}

void frame_reader_init(struct frame_reader *r)
{
    *r = (struct frame_reader){0};
}

void frame_reader_fini(struct frame_reader *r)
{
    free(r->base);
    *r = (struct frame_reader){0};
}

/* Makes room for 'more' bytes behind what is there. Grows by what came, never by what a header promises. */
static int reserve(struct frame_reader *r, size_t more)
{
    size_t want = r->size < READER_SIZE_MIN ? READER_SIZE_MIN : r->size;
    uint8_t *grown;

    if (r->start + r->len + more <= r->size) return 0;
    if (r->start > 0) {
        memmove(r->base, r->base + r->start, r->len);
        r->start = 0;
    }
    while (want < r->len + more) want *= 2;
    if (want > FRAME_SIZE_MAX && r->size < r->len + more) want = r->len + more; /* The header's promise on memory. */
    if (want == r->size) return 0;
    grown = realloc(r->base, want);
    if (grown == NULL) return -ENOMEM;
    r->base = grown;
    r->size = want;
    return 0;
}

int frame_reader_push(struct frame_reader *r, const void *data, size_t size)
{
    struct frame_header h;
    int rv;

    /* More than a frame lies here unread: the owner does not pop, and would be made to hold without end. */
    if (r->len > FRAME_SIZE_MAX) return -EMSGSIZE;
    if (size > 0) {
        rv = reserve(r, size);
        if (rv != 0) return rv;
        memcpy(r->base + r->start + r->len, data, size);
        r->len += size;
    }
    if (r->len < FRAME_HEADER_SIZE) return 0;
    return frame_header_read(&h, r->base + r->start);
}

int frame_reader_peek(struct frame_reader *r, struct frame_header *h, const uint8_t **body)
{
    if (r->len < FRAME_HEADER_SIZE) return 0;
    if (frame_header_read(h, r->base + r->start) != 0) return 0; /* The next push says so. */
    if (r->len - FRAME_HEADER_SIZE < h->body_size) return 0;
    *body = r->base + r->start + FRAME_HEADER_SIZE;
    return 1;
}

void frame_reader_pop(struct frame_reader *r)
{
    struct frame_header h;
    const uint8_t *body;
    size_t whole;

    MUST(frame_reader_peek(r, &h, &body) == 1);
    whole = FRAME_HEADER_SIZE + (size_t)h.body_size;
    r->len -= whole;
    r->start = r->len == 0 ? 0 : r->start + whole;
    if (r->len == 0 && r->size > READER_SIZE_KEPT) frame_reader_fini(r);
}
