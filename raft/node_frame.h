/* How a command stands in the log: u32 size (little endian), the bytes, zeros up to a multiple of 8 (raft_uv refuses
 * other lengths). */
#ifndef REGENT_RAFT_NODE_FRAME_H
#define REGENT_RAFT_NODE_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/bytes.h"
#include "raft/node.h"

enum { NODE_FRAME_SIZE = 4 };

static inline size_t node_padded_size(size_t size)
{
    return (NODE_FRAME_SIZE + size + 7) & ~(size_t)7;
}

/* Writes a command of 'size' bytes into 'to' of node_padded_size(size) bytes. */
static inline void node_frame(uint8_t *to, const void *data, size_t size)
{
    bytes_put_u32(to, (uint32_t)size);
    memcpy(to + NODE_FRAME_SIZE, data, size);
    memset(to + NODE_FRAME_SIZE + size, 0, node_padded_size(size) - NODE_FRAME_SIZE - size);
}

/* The size of the command in 'len' bytes, or 0 when they were not made by node_frame(). */
static inline size_t node_framed_size(const uint8_t *from, size_t len)
{
    if (from == NULL || len < 8) return 0;
    size_t size = bytes_u32(from);
    return size >= 1 && size <= RAFT_NODE_COMMAND_MAX && node_padded_size(size) == len ? size : 0;
}

#endif
