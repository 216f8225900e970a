/* Snapshots: header, CRC and records, see proto/convert.h and proto/snapshot.proto.
 *
 * Records are packed one by one into a growing buffer and unpacked one by one into a fresh state, so that memory stays
 * near the size of the bytes. Whatever is wrong with the bytes is named, and the state is empty then. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fsm/apply.h"
#include "fsm/version.h"
#include "lib/base/bound.h"
#include "lib/base/bytes.h"
#include "proto/convert.h"
#include "proto/snapshot_record.h"

enum {
    HEADER_SIZE = 24,
    LENGTH_SIZE = 4,
};
static const char magic[8] = {'R', 'G', 'N', 'T', 'S', 'N', 'A', 'P'};

/* --- encoding --- */

struct buffer {
    uint8_t *data;
    size_t size;
    size_t room;
};

/* Makes room for 'n' more bytes and returns where they go, or NULL. */
static uint8_t *extend(struct buffer *b, size_t n)
{
    if (b->room - b->size < n) {
        size_t room = 2 * b->room + n;
        uint8_t *data = realloc(b->data, room);

        if (data == NULL) return NULL;
        b->data = data;
        b->room = room;
    }
    b->size += n;
    return b->data + b->size - n;
}

static int add_record(void *arg, const Regent__Snapshot__Record *record)
{
    size_t size = protobuf_c_message_get_packed_size(&record->base);
    uint8_t *to = extend(arg, LENGTH_SIZE + size);

    if (to == NULL) return -ENOMEM;
    bytes_put_u32(to, (uint32_t)size);
    MUST(protobuf_c_message_pack(&record->base, to + LENGTH_SIZE) == size);
    return 0;
}

static uint32_t crc_of(const uint8_t *data, size_t size)
{
    return (uint32_t)crc32_z(0, data, size);
}

int proto_snapshot_encode(const struct fsm_state *state, void **data, size_t *size)
{
    struct buffer b = {0};
    int rc;

    *data = NULL;
    *size = 0;
    if (extend(&b, HEADER_SIZE) == NULL) return -ENOMEM;
    rc = snapshot_write_records(state, add_record, &b);
    if (rc != 0) {
        free(b.data);
        return rc;
    }
    memcpy(b.data, magic, sizeof(magic));
    bytes_put_u32(b.data + 8, state->version);
    bytes_put_u32(b.data + 12, crc_of(b.data + HEADER_SIZE, b.size - HEADER_SIZE));
    bytes_put_u64(b.data + 16, b.size - HEADER_SIZE);
    *data = b.data;
    *size = b.size;
    return 0;
}

/* --- digest --- */

struct hashing {
    EVP_MD_CTX *hash;
    struct buffer record; /* Room that is used again. */
};

static int hash_record(void *arg, const Regent__Snapshot__Record *record)
{
    struct hashing *h = arg;

    h->record.size = 0;
    if (add_record(&h->record, record) != 0) return -ENOMEM;
    return EVP_DigestUpdate(h->hash, h->record.data, h->record.size) == 1 ? 0 : -ENOMEM;
}

bool proto_state_digest(const struct fsm_state *state, uint8_t to[PROTO_DIGEST_SIZE])
{
    struct hashing h = {.hash = EVP_MD_CTX_new()};
    uint8_t version[4];
    bool good;

    bytes_put_u32(version, state->version);
    good = h.hash != NULL && EVP_DigestInit_ex(h.hash, EVP_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(h.hash, version, sizeof(version)) == 1 &&
           snapshot_write_records(state, hash_record, &h) == 0 && EVP_DigestFinal_ex(h.hash, to, NULL) == 1;
    EVP_MD_CTX_free(h.hash);
    free(h.record.data);
    return good;
}

/* --- decoding --- */

int proto_snapshot_check(const void *bytes, size_t size, struct err *e)
{
    const uint8_t *data = bytes;
    uint64_t body_size;
    uint32_t version;

    if (size < HEADER_SIZE) return err_set(e, -EPROTO, "snapshot: shorter than its header");
    if (memcmp(data, magic, sizeof(magic)) != 0) return err_set(e, -EPROTO, "snapshot: it is not one of Regent");
    version = bytes_u32(data + 8);
    if (version < FSM_VERSION_FIRST) return err_set(e, -EPROTO, "snapshot: version %u is none", version);
    if (version > FSM_VERSION_MAX || version < FSM_VERSION_MIN) {
        return err_set(e, -ENOTSUP, "snapshot: it is of version %u, and this program (%s) speaks versions %d to %d: "
                       "start one that speaks version %u; nothing was changed here", version, REGENT_VERSION,
                       FSM_VERSION_MIN, FSM_VERSION_MAX, version);
    }
    body_size = bytes_u64(data + 16);
    if (body_size != size - HEADER_SIZE) {
        return err_set(e, -EPROTO, "snapshot: %zu bytes instead of %llu", size - HEADER_SIZE,
                       (unsigned long long)body_size);
    }
    if (bytes_u32(data + 12) != crc_of(data + HEADER_SIZE, size - HEADER_SIZE)) {
        return err_set(e, -EPROTO, "snapshot: the CRC differs: the file is damaged");
    }
    return 0;
}

static void read_records(struct snapshot_reader *r, const uint8_t *data, size_t size)
{
    while (size > 0 && r->f.code == 0) {
        size_t length = size < LENGTH_SIZE ? size : bytes_u32(data);

        if (size < LENGTH_SIZE || BOUND(snapshot_record, length > size - LENGTH_SIZE)) {
            fields_fail(&r->f, -EPROTO, "a record", "is cut off");
            return;
        }
        snapshot_read_record(r, data + LENGTH_SIZE, length);
        data += LENGTH_SIZE + length;
        size -= LENGTH_SIZE + length;
    }
    snapshot_read_end(r);
}

int proto_snapshot_decode(struct fsm_state *state, const void *data, size_t size, struct err *e)
{
    memset(state, 0, sizeof(*state));
    return proto_snapshot_decode_zeroed(state, data, size, e);
}

int proto_snapshot_decode_zeroed(struct fsm_state *state, const void *data, size_t size, struct err *e)
{
    struct snapshot_reader r = {.state = state, .f = {.e = e, .what = "snapshot"}};
    const char *broken;
    int rc;

    fsm_init_zeroed(state);
    rc = proto_snapshot_check(data, size, e);
    if (rc != 0) return rc;
    state->version = bytes_u32((const uint8_t *)data + 8);
    read_records(&r, (const uint8_t *)data + HEADER_SIZE, size - HEADER_SIZE);
    /* Last of all the rules of the state itself: nothing that no sequence of commands could make gets in. */
    broken = r.f.code == 0 ? fsm_invariant(state) : NULL;
    if (broken != NULL) fields_fail(&r.f, -EPROTO, "broken rule:", broken);
    if (r.f.code != 0) fsm_init(state);
    return r.f.code;
}
