/* Chance: xoshiro256** (Blackman and Vigna), seeded through splitmix64. See env.h. */
#include "sim/env.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed, const char *purpose, uint64_t index)
{
    uint64_t x = seed;
    for (const char *p = purpose; *p; p++) {
        x ^= (unsigned char)*p;
        x = splitmix(&x);
    }
    x ^= index;
    for (unsigned i = 0; i < 4; i++) rng->s[i] = splitmix(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
    MUST(n >= 1);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    for (;;) {
        uint64_t x = rng_u64(rng);
        if (x < limit) return x % n;
    }
}

int64_t rng_between(struct rng *rng, int64_t low, int64_t high)
{
    MUST(low <= high);
    return low + (int64_t)rng_below(rng, (uint64_t)(high - low) + 1);
}

int64_t rng_log_between(struct rng *rng, int64_t low, int64_t high)
{
    MUST(low >= 1 && low <= high);
    unsigned powers = 0;
    while (powers < 62 && (low << (powers + 1)) <= high) powers++;
    int64_t from = low << rng_below(rng, powers + 1u);
    int64_t to = from * 2 - 1 < high ? from * 2 - 1 : high;
    return rng_between(rng, from, to);
}

bool rng_chance(struct rng *rng, uint32_t ppm)
{
    return rng_below(rng, 1000000) < ppm;
}
