/* Numbers in bytes, little endian, at any address: what our files and messages, and those of libraft, are made of. */
#ifndef REGENT_BYTES_H
#define REGENT_BYTES_H

#include <stdint.h>

static inline uint16_t bytes_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static inline uint32_t bytes_u32(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline uint64_t bytes_u64(const uint8_t *from)
{
    return bytes_u32(from) | (uint64_t)bytes_u32(from + 4) << 32;
}

static inline void bytes_put_u16(uint8_t *to, uint16_t v)
{
    to[0] = (uint8_t)v;
    to[1] = (uint8_t)(v >> 8);
}

static inline void bytes_put_u32(uint8_t *to, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) to[i] = (uint8_t)(v >> (8 * i));
}

static inline void bytes_put_u64(uint8_t *to, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) to[i] = (uint8_t)(v >> (8 * i));
}

#endif
