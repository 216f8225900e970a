/* Checks libraft's messages before libraft sees them. See wire.h. */
#include "raft/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/bytes.h"
#include "raft/compat.h"

enum {
    VOTE_SIZE = 40,
    VOTE_RESULT_SIZE = 24,
    APPEND_FIXED_SIZE = 48, /* Term, previous index and term, commit, count; and 8 unused bytes behind the entries. */
    APPEND_RESULT_SIZE = 32,
    SNAPSHOT_FIXED_SIZE = 56, /* Term, index, term, index, length of the configuration; behind it length, 8 unused. */
    TIMEOUT_NOW_SIZE = 24,
    VERSION_MAX = 3,
};

static int refuse(struct wire *w, const char *why)
{
    w->why = why;
    return -EPROTO;
}

/* Returns 0 when the preamble and the length in it are allowed. */
static int check_preamble(struct wire *w)
{
    static const uint8_t zeros[5];
    uint64_t len = bytes_u64(w->head + 8);
    if (w->head[1] != 0 || w->head[2] > VERSION_MAX || memcmp(w->head + 3, zeros, sizeof zeros) != 0)
        return refuse(w, "a Raft message does not begin like one");
    if (len == 0 || len > WIRE_HEADER_MAX) return refuse(w, "the header of a Raft message is longer than allowed");
    return 0;
}

static int check_fixed(struct wire *w, size_t size, size_t expected)
{
    return size == expected ? 0 : refuse(w, "the header of a Raft message has not the length of its type");
}

static int check_vote(struct wire *w, const uint8_t *header, size_t size)
{
    int rc = check_fixed(w, size, VOTE_SIZE);
    if (rc != 0 || bytes_u64(header + 8) == w->id) return rc;
    return refuse(w, "it asks for votes for another member");
}

static int check_append(struct wire *w, const uint8_t *header, size_t size)
{
    uint64_t total = 0;
    if (size < APPEND_FIXED_SIZE) return refuse(w, "the header of Raft entries is too short");
    uint64_t n = bytes_u64(header + 32);
    if (n > WIRE_ENTRIES_MAX || size != APPEND_FIXED_SIZE + 16 * n)
        return refuse(w, "the header of Raft entries has not the length of its count");
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *entry = header + 40 + 16 * i;
        uint64_t bytes = bytes_u64(entry + 8) >> 32;
        uint8_t type = entry[8];
        if (type != RAFT_COMMAND && type != RAFT_BARRIER && type != RAFT_CHANGE)
            return refuse(w, "a Raft entry is of no known type");
        if (bytes == 0 || bytes % 8 != 0 || bytes > WIRE_ENTRY_MAX)
            return refuse(w, "a Raft entry has a length that is not allowed");
        total += bytes;
    }
    if (total > WIRE_ENTRIES_BYTES_MAX) return refuse(w, "Raft entries are longer together than allowed");
    w->payload_left = total;
    return 0;
}

/* One server of a configuration: u64 id, address and NUL, u8 role. */
struct server {
    uint64_t id;
    const char *address; /* In the header. */
};

/* Reads the server at *from and steps over it. False: not well-formed. */
static bool read_server(struct server *s, const uint8_t **from, const uint8_t *end)
{
    if (end - *from < 10) return false;
    const uint8_t *text = *from + 8, *nul = memchr(text, 0, (size_t)(end - text));
    if (nul == NULL || nul == text || nul - text >= WIRE_ADDRESS_SIZE || nul + 1 == end) return false;
    s->id = bytes_u64(*from);
    s->address = (const char *)text;
    *from = nul + 2;
    return s->id != 0 && (nul[1] == RAFT_STANDBY || nul[1] == RAFT_VOTER || nul[1] == RAFT_SPARE);
}

/* version 1 | u64 count | servers | zeros to a multiple of 8. libraft frees its half-made list twice when an id, an
 * address or a role is refused. */
static bool configuration_is_right(const uint8_t *from, size_t size)
{
    struct server servers[WIRE_SERVERS_MAX];
    const uint8_t *end = from + size;
    if (size < 16 || size % 8 != 0 || from[0] != 1) return false;
    uint64_t n = bytes_u64(from + 1);
    from += 9;
    if (n > WIRE_SERVERS_MAX) return false;
    for (uint64_t i = 0; i < n; i++) {
        if (!read_server(&servers[i], &from, end)) return false;
        for (uint64_t k = 0; k < i; k++)
            if (servers[k].id == servers[i].id || strcmp(servers[k].address, servers[i].address) == 0) return false;
    }
    return end - from < 8;
}

static int check_snapshot(struct wire *w, const uint8_t *header, size_t size)
{
    if (size < SNAPSHOT_FIXED_SIZE) return refuse(w, "the header of a Raft snapshot is too short");
    uint64_t conf = bytes_u64(header + 32);
    if (conf != size - SNAPSHOT_FIXED_SIZE)
        return refuse(w, "the header of a Raft snapshot has not the length of its configuration");
    if (!configuration_is_right(header + 40, (size_t)conf))
        return refuse(w, "the configuration in a Raft snapshot is not well-formed");
    w->payload_left = bytes_u64(header + 40 + conf);
    if (w->payload_left == 0 || w->payload_left > WIRE_SNAPSHOT_MAX)
        return refuse(w, "a Raft snapshot has a length that is not allowed");
    return 0;
}

static int check_header(struct wire *w, const uint8_t *header, size_t size)
{
    switch (w->head[0]) {
    case RAFT_APPEND_ENTRIES: return check_append(w, header, size);
    case RAFT_APPEND_ENTRIES_RESULT: return check_fixed(w, size, APPEND_RESULT_SIZE);
    case RAFT_REQUEST_VOTE: return check_vote(w, header, size);
    case RAFT_REQUEST_VOTE_RESULT: return check_fixed(w, size, VOTE_RESULT_SIZE);
    case RAFT_INSTALL_SNAPSHOT: return check_snapshot(w, header, size);
    case RAFT_TIMEOUT_NOW: return check_fixed(w, size, TIMEOUT_NOW_SIZE);
    default: return refuse(w, "a Raft message is of no known type");
    }
}

/* Moves bytes into 'head' until it holds 'want'. True when it does. */
static bool collect(struct wire *w, const uint8_t **data, size_t *size, size_t want)
{
    size_t n = want - w->have < *size ? want - w->have : *size;
    memcpy(w->head + w->have, *data, n);
    w->have += n;
    *data += n;
    *size -= n;
    return w->have == want;
}

static int pass_payload(struct wire *w, const uint8_t **data, size_t *size, const uint8_t **out, size_t *out_size)
{
    *out = *data;
    *out_size = w->payload_left < *size ? (size_t)w->payload_left : *size;
    w->payload_left -= *out_size;
    *data += *out_size;
    *size -= *out_size;
    return 1;
}

int wire_next(struct wire *w, const uint8_t **data, size_t *size, const uint8_t **out, size_t *out_size)
{
    int rc;
    if (w->why != NULL) return -EPROTO;
    if (*size == 0) return 0;
    if (w->payload_left > 0) return pass_payload(w, data, size, out, out_size);
    if (w->have < WIRE_PREAMBLE_SIZE) {
        if (!collect(w, data, size, WIRE_PREAMBLE_SIZE)) return 0;
        rc = check_preamble(w);
        if (rc != 0) return rc;
    }
    size_t header = (size_t)bytes_u64(w->head + 8);
    if (!collect(w, data, size, WIRE_PREAMBLE_SIZE + header)) return 0;
    rc = check_header(w, w->head + WIRE_PREAMBLE_SIZE, header);
    if (rc != 0) return rc;
    *out = w->head;
    *out_size = w->have;
    w->have = 0;
    return 1;
}
