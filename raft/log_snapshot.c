/* One snapshot of libraft: NAME.meta (u64 format, u64 CRC of the rest, u64 index of the configuration, u64 size, the
 * configuration) and NAME (the state, which has a checksum of its own: proto/convert.h).
 *
 * A configuration: u8 format, u64 n, n times (u64 id, address with NUL, u8 role), zeros up to 8 bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "raft/log_internal.h"

enum { META_HEADER_SIZE = 32, META_BYTES_MAX = 64 << 10, CONFIGURATION_FORMAT = 1, CONFIGURATION_HEADER_SIZE = 9 };

/* Reads one member at '*at' and moves it behind. */
static bool read_member(const uint8_t *data, size_t size, size_t *at, struct log_member *m)
{
    if (size - *at < 8) return false;
    m->id = bytes_u64(data + *at);
    *at += 8;
    const uint8_t *nul = memchr(data + *at, '\0', size - *at);
    if (nul == NULL || m->id == 0 || !TEXT_COPY(m->address, (const char *)data + *at)) return false;
    *at = (size_t)(nul - data) + 1;
    if (*at == size || data[*at] > LOG_SPARE) return false;
    m->role = (enum log_role)data[(*at)++];
    return true;
}

bool log_configuration_decode(const void *bytes, size_t size, struct log_configuration *out)
{
    const uint8_t *data = bytes;
    size_t at = CONFIGURATION_HEADER_SIZE;
    memset(out, 0, sizeof *out);
    if (data == NULL || size < at || data[0] != CONFIGURATION_FORMAT) return false;
    uint64_t n = bytes_u64(data + 1);
    if (n == 0 || n > LOG_MEMBERS_MAX) return false;
    for (; out->n < n; out->n++) {
        struct log_member *m = &out->members[out->n];
        if (!read_member(data, size, &at, m)) return false;
        for (unsigned i = 0; i < out->n; i++) {
            if (out->members[i].id == m->id || strcmp(out->members[i].address, m->address) == 0) return false;
        }
    }
    return true;
}

/* Fills the configuration; returns what is wrong, or NULL. */
static const char *read_meta(const uint8_t *data, size_t size, struct log_snapshot *s)
{
    if (size < META_HEADER_SIZE || bytes_u64(data) != LOG_FORMAT) return "it does not begin as meta data";
    uint64_t crc = bytes_u64(data + 8), index = bytes_u64(data + 16), length = bytes_u64(data + 24);
    if (length > size - META_HEADER_SIZE) return "it is cut off";
    if (crc != log_crc(0, data + 16, 16 + (size_t)length)) return "its checksum differs";
    if (!log_configuration_decode(data + META_HEADER_SIZE, (size_t)length, &s->configuration)) {
        return "it has no configuration";
    }
    s->configuration.index = index;
    return NULL;
}

static int problem(struct log_snapshot *s, const char *suffix, const char *why)
{
    struct text t = TEXT_ON(s->problem);
    text_addf(&t, "%s%s: %s", s->name, suffix, why);
    free(s->data);
    s->data = NULL;
    s->size = 0;
    return 0;
}

int log_snapshot_read(struct log_image *image, struct log_snapshot *s)
{
    char name[LOG_NAME_SIZE + 8];
    struct text t = TEXT_ON(name);
    uint8_t *meta = NULL;
    size_t size = 0;
    text_addf(&t, "%s.meta", s->name);
    int rc = log_read_file(image, name, META_BYTES_MAX, &meta, &size);
    if (rc == -EFBIG) return problem(s, ".meta", "it is too large");
    if (rc != 0) return rc;
    const char *why = read_meta(meta, size, s);
    free(meta);
    if (why != NULL) return problem(s, ".meta", why);
    rc = log_read_file(image, s->name, LOG_SNAPSHOT_BYTES_MAX, &s->data, &s->size);
    if (rc == -EFBIG) return problem(s, "", "it is too large");
    return rc;
}
