/* The seal file: 64 bytes, little endian: magic, u32 version, u32 CRC-32 of what follows, then struct seal_state. */
#include "raft/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/base/bytes.h"
#include "lib/file.h"
#include "raft/storage.h"

enum { SEAL_SIZE = 64, SEAL_VERSION = 1, BODY = 16, FIELDS = 6 };
static const char magic[8] = {'R', 'G', 'N', 'T', 'S', 'E', 'A', 'L'};

static void encode(uint8_t *to, const struct seal_state *s)
{
    const uint64_t fields[FIELDS] = {s->id, s->version, s->term, s->vote, s->index, s->index_term};
    memcpy(to, magic, sizeof magic);
    bytes_put_u32(to + 8, SEAL_VERSION);
    for (unsigned i = 0; i < FIELDS; i++) bytes_put_u64(to + BODY + 8 * i, fields[i]);
    bytes_put_u32(to + 12, (uint32_t)crc32(0, to + BODY, SEAL_SIZE - BODY));
}

static bool decode(const uint8_t *from, size_t size, struct seal_state *s)
{
    uint64_t fields[FIELDS];
    if (size != SEAL_SIZE || memcmp(from, magic, sizeof magic) != 0) return false;
    if (bytes_u32(from + 8) != SEAL_VERSION) return false;
    if (bytes_u32(from + 12) != (uint32_t)crc32(0, from + BODY, SEAL_SIZE - BODY)) return false;
    for (unsigned i = 0; i < FIELDS; i++) fields[i] = bytes_u64(from + BODY + 8 * i);
    *s = (struct seal_state){fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]};
    return true;
}

int seal_read(const char *dir, struct seal_state *out, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    char *data = NULL;
    size_t size = 0;
    int rc = storage_path(path, dir, "seal", e);
    if (rc == 0) rc = file_read(path, SEAL_SIZE, &data, &size, e);
    if (rc != 0 && rc != -EFBIG) return rc;
    bool good = rc == 0 && decode((const uint8_t *)data, size, out);
    free(data);
    return good ? 0 : err_set(e, -EBADMSG, "%s is damaged", path);
}

int seal_create(const char *dir, const struct seal_state *state, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    uint8_t record[SEAL_SIZE];
    int rc = storage_path(path, dir, "seal", e);
    if (rc != 0) return rc;
    encode(record, state);
    return file_write_atomic(path, record, sizeof record, 0600, e);
}

int seal_open(struct seal *seal, const char *dir, const struct seal_state *state, struct err *e)
{
    char path[STORAGE_PATH_MAX];
    seal->fd = -1;
    int rc = storage_path(path, dir, "seal", e);
    if (rc != 0) return rc;
    seal->state = *state;
    seal->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return seal->fd >= 0 ? 0 : err_errno(e, -errno, "open %s", path);
}

void seal_close(struct seal *seal)
{
    if (seal->fd >= 0) (void)close(seal->fd);
    seal->fd = -1;
}

static int write_record(struct seal *seal)
{
    uint8_t record[SEAL_SIZE];
    encode(record, &seal->state);
    ssize_t n = pwrite(seal->fd, record, sizeof record, 0);
    if (n < 0) return -errno;
    return n == SEAL_SIZE ? 0 : -ENOSPC;
}

static int write_durably(struct seal *seal)
{
    int rc = write_record(seal);
    if (rc == 0 && fdatasync(seal->fd) != 0) rc = -errno;
    return rc;
}

int seal_vote(struct seal *seal, uint64_t term, uint64_t vote)
{
    seal->state.version++;
    seal->state.term = term;
    seal->state.vote = vote;
    return write_durably(seal);
}

int seal_lower(struct seal *seal, uint64_t index)
{
    uint64_t last = index > 0 ? index - 1 : 0;
    if (seal->state.index <= last) return 0;
    seal->state.index = last;
    seal->state.index_term = 0;
    return write_durably(seal);
}

void seal_raise(struct seal *seal, uint64_t index, uint64_t term)
{
    if (index < seal->state.index) return;
    seal->state.index = index;
    seal->state.index_term = term;
    (void)write_record(seal);
}
