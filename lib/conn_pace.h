/* How often one address may cost us a handshake of TLS: about a millisecond of the loop thread each, in which no
 * command is committed.
 *
 * Who fails goes into debt, CONN_PACE_SLOT_MS for each failure, and time pays it off. An address whose debt is small
 * (up to CONN_PACE_BURST failures) is never held up. Of one that owes more a handshake begins each CONN_PACE_SLOT_MS:
 * the others wait in line for CONN_PACE_WAIT_MS at most; what would have to wait longer is turned away at once. Who
 * shares an address with such a caller (one host, one NAT) waits in the same line; everybody else is not held up at
 * all. Of IPv6 the first 64 bits count: a host has all addresses behind them.
 *
 * Pure: no clock, no memory of its own. At most CONN_PACE_ADDRESSES are known; the one that owes least is forgotten
 * for a new one. */
#ifndef REGENT_CONN_PACE_H
#define REGENT_CONN_PACE_H

#include <stdint.h>

enum {
    CONN_PACE_ADDRESSES = 64,
    CONN_PACE_SLOT_MS = 200,
    CONN_PACE_BURST = 8,
    CONN_PACE_WAIT_MS = 1600, /* Well within CONN_HANDSHAKE_MS, which goes on meanwhile. */
};

struct sockaddr_storage;

/* All zeros: nobody has failed. Times are those of one clock that never goes back. */
struct conn_pace {
    struct conn_pace_address {
        uint8_t key[9];    /* Family, then the address or its first 64 bits. Family 0: this entry is free. */
        uint64_t free_ms;  /* When all debt is paid off. */
        uint64_t slot_ms;  /* When the next handshake may begin. */
    } addresses[CONN_PACE_ADDRESSES];
};

/* A handshake of 'from' is about to begin. Returns after how many milliseconds it may (0: at once), or -EBUSY: not
 * within CONN_PACE_WAIT_MS. */
int conn_pace_take(struct conn_pace *pace, const struct sockaddr_storage *from, uint64_t now_ms);

/* A handshake of 'from' was for nothing. */
void conn_pace_failed(struct conn_pace *pace, const struct sockaddr_storage *from, uint64_t now_ms);

#endif
