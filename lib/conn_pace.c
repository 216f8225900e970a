/* Pacing of handshakes by address. See conn_pace.h. */
#include "lib/conn_pace.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum { DEBT_MAX_MS = 2 * CONN_PACE_BURST * CONN_PACE_SLOT_MS }; /* So that nobody is held up for long afterwards. */

static void key_of(const struct sockaddr_storage *from, uint8_t key[9])
{
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)from)->sin6_addr;
    memset(key, 0, 9);
    key[0] = 4;
    if (from->ss_family == AF_INET) memcpy(key + 1, &((const struct sockaddr_in *)from)->sin_addr, 4);
    else if (IN6_IS_ADDR_V4MAPPED(v6)) memcpy(key + 1, v6->s6_addr + 12, 4);
    else {
        key[0] = 6;
        memcpy(key + 1, v6, 8);
    }
}

static struct conn_pace_address *find(struct conn_pace *pace, const uint8_t key[9])
{
    for (unsigned i = 0; i < CONN_PACE_ADDRESSES; i++)
        if (memcmp(pace->addresses[i].key, key, 9) == 0) return &pace->addresses[i];
    return NULL;
}

int conn_pace_take(struct conn_pace *pace, const struct sockaddr_storage *from, uint64_t now_ms)
{
    uint8_t key[9];
    key_of(from, key);
    struct conn_pace_address *a = find(pace, key);
    if (a == NULL) return 0;
    bool owes_little = a->free_ms <= now_ms + (uint64_t)CONN_PACE_BURST * CONN_PACE_SLOT_MS;
    if (owes_little && a->slot_ms <= now_ms) return 0; /* Nobody stands in line. */
    uint64_t begin_ms = a->slot_ms > now_ms ? a->slot_ms : now_ms;
    if (begin_ms - now_ms > CONN_PACE_WAIT_MS) return -EBUSY;
    a->slot_ms = begin_ms + CONN_PACE_SLOT_MS;
    return (int)(begin_ms - now_ms);
}

void conn_pace_failed(struct conn_pace *pace, const struct sockaddr_storage *from, uint64_t now_ms)
{
    uint8_t key[9];
    key_of(from, key);
    struct conn_pace_address *a = find(pace, key);
    if (a == NULL) {
        a = &pace->addresses[0];
        for (unsigned i = 1; i < CONN_PACE_ADDRESSES; i++)
            if (pace->addresses[i].free_ms < a->free_ms) a = &pace->addresses[i];
        memset(a, 0, sizeof *a);
        memcpy(a->key, key, 9);
    }
    if (a->free_ms < now_ms) a->free_ms = now_ms;
    a->free_ms += CONN_PACE_SLOT_MS;
    if (a->free_ms > now_ms + DEBT_MAX_MS) a->free_ms = now_ms + DEBT_MAX_MS;
}
