/* Frames: how managers and clients talk over a byte stream.
 *
 *   preamble, once, by the connecting side: 8 bytes "RGNT" 'version'=1 'protocol' 0 0   (protocol: enum frame_protocol)
 *             in plaintext only: with TLS, ALPN names the protocol (lib/tls.h)
 *   frame:  u32 body length | u16 type | u16 flags | u64 request id | body      (little endian)
 *
 * The length is checked against FRAME_BODY_MAX before anything is allocated. PURE but for the buffer's realloc. */
#ifndef REGENT_FRAME_H
#define REGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

enum { FRAME_HEADER_SIZE = 16, FRAME_PREAMBLE_SIZE = 8, FRAME_BODY_MAX = 4 << 20 };

/* FRAME_AGENT exists over TLS only: no preamble names it. */
enum frame_protocol { FRAME_RAFT = 1, FRAME_PEER = 2, FRAME_CLIENT = 3, FRAME_AGENT = 4 };

struct frame_header {
    uint32_t body_size;
    uint16_t type;
    uint16_t flags;
    uint64_t request;
};

/* Writes the preamble of a connection that will speak 'protocol'. */
void frame_preamble(uint8_t to[FRAME_PREAMBLE_SIZE], enum frame_protocol protocol);
/* Returns the protocol, or -EPROTO. */
int frame_preamble_read(const uint8_t from[FRAME_PREAMBLE_SIZE]);

/* Writes the 16 bytes of a header. h->body_size is at most FRAME_BODY_MAX. */
void frame_header_write(uint8_t to[FRAME_HEADER_SIZE], const struct frame_header *h);
/* Returns 0, or -EMSGSIZE when the length is beyond FRAME_BODY_MAX. */
int frame_header_read(struct frame_header *h, const uint8_t from[FRAME_HEADER_SIZE]) MUST_CHECK;

/* Collects bytes until frames are whole. Memory never exceeds one whole frame plus one read. */
struct frame_reader {
    uint8_t *base;
    size_t size, start, len; /* Bytes allocated; offset of the frame at the head; bytes from there. */
};
void frame_reader_init(struct frame_reader *r);
void frame_reader_fini(struct frame_reader *r);
/* Appends bytes. Returns 0, -ENOMEM, or -EMSGSIZE when the frame at the head is too long (close the connection). */
int frame_reader_push(struct frame_reader *r, const void *data, size_t size) MUST_CHECK;
/* Returns 1 and the whole frame at the head ('body' borrowed until the next push/pop call); 0: not whole yet. */
int frame_reader_peek(struct frame_reader *r, struct frame_header *h, const uint8_t **body);
void frame_reader_pop(struct frame_reader *r);

#endif
