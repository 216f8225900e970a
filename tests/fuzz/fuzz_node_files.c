/* Fuzz: what says who a node is and what it promised: DATA_DIR/node and DATA_DIR/seal. What is read is written and read
 * to the same.
 *
 * Input: u8 which (0 seal) | the file. Its checksum is made right first. */
#include <endian.h>
#include <errno.h>
#include <zlib.h>

#include "raft/seal.h"
#include "raft/storage.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/fuzz.h"

enum { FILE_MAX = 16 << 10, SEAL_BODY = 16, SEAL_BYTES = 64 };

static struct fuzz_dir dir;

static void remove_dir(void)
{
    fuzz_dir_end(&dir);
}

static bool run_seal(uint8_t *file, size_t size)
{
    struct seal_state state, again;
    struct err e = {0};
    uint32_t crc;
    int rv;

    if (size >= SEAL_BYTES) {
        crc = htole32((uint32_t)crc32(0, file + SEAL_BODY, SEAL_BYTES - SEAL_BODY));
        memcpy(file + 12, &crc, sizeof(crc));
    }
    fuzz_dir_put(&dir, "seal", file, size);
    rv = seal_read(dir.path, &state, &e);
    MUST(rv == 0 || (rv == -EBADMSG && e.text[0] != '\0'));
    if (rv == 0) {
        MUST(seal_create(dir.path, &state, NULL) == 0 && seal_read(dir.path, &again, NULL) == 0);
        MUST(memcmp(&state, &again, sizeof(state)) == 0);
    }
    fuzz_dir_drop(&dir, "seal");
    return rv == 0;
}

/* The last line is "crc " and 8 digits, over all before it. */
static void mend_node(uint8_t *file, size_t size)
{
    char digits[9];

    if (size < 14 || memcmp(file + size - 14, "\ncrc ", 5) != 0 || file[size - 1] != '\n') return;
    (void)snprintf(digits, sizeof(digits), "%08lx", crc32(0, file, (uInt)(size - 13)));
    memcpy(file + size - 9, digits, 8);
}

static void check_node(const struct storage_identity *id)
{
    MUST(id->id != 0 && id->group_id != 0 && id->members_n <= RAFT_NODE_MEMBERS_MAX);
    MUST(FUZZ_IS_TEXT(id->group_name) && FUZZ_IS_TEXT(id->address));
    for (unsigned i = 0; i < id->members_n; i++)
        MUST(FUZZ_IS_TEXT(id->members[i].name) && FUZZ_IS_TEXT(id->members[i].address) && id->members[i].id != 0);
}

static bool run_node(uint8_t *file, size_t size)
{
    static struct storage_identity id, again;
    struct err e = {0};
    int rv;

    mend_node(file, size);
    fuzz_dir_put(&dir, "node", file, size);
    memset(&id, 0xa5, sizeof(id));
    rv = storage_read(dir.path, &id, &e);
    MUST(rv == 0 || (rv < 0 && e.text[0] != '\0'));
    if (rv == 0) {
        check_node(&id);
        MUST(storage_save(dir.path, &id, NULL) == 0);
        memset(&again, 0x5a, sizeof(again));
        MUST(storage_read(dir.path, &again, NULL) == 0 && memcmp(&id, &again, sizeof(id)) == 0);
    }
    fuzz_dir_drop(&dir, "node");
    return rv == 0;
}

static bool run(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX];
    bool is_seal = fuzz_take(&data, &size) == 0;

    if (size > sizeof(file)) return false;
    memcpy(file, data, size);
    if (dir.path[0] == '\0') {
        fuzz_dir_make(&dir, "");
        (void)atexit(remove_dir);
    }
    return is_seal ? run_seal(file, size) : run_node(file, size);
}

/* What was written into the directory, as a seed. */
static void put_written(uint8_t which, const char *name)
{
    uint8_t bytes[FILE_MAX];
    char path[128];
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    f = fopen(path, "rb");
    MUST(f != NULL);
    bytes[0] = which;
    n = fread(bytes + 1, 1, sizeof(bytes) - 1, f);
    (void)fclose(f);
    fuzz_dir_drop(&dir, name);
    fuzz_put(bytes, n + 1);
}

static void seed(void)
{
    struct storage_identity id = {.group_name = "prod", .group_id = 77, .id = 2, .address = "10.0.0.2:7400"};
    struct seal_state state = {.id = 2, .version = 3, .term = 4, .vote = 1, .index = 1000, .index_term = 4};

    if (dir.path[0] == '\0') {
        fuzz_dir_make(&dir, "");
        (void)atexit(remove_dir);
    }
    MUST(seal_create(dir.path, &state, NULL) == 0);
    put_written(0, "seal");
    MUST(storage_save(dir.path, &id, NULL) == 0);
    put_written(1, "node");
    id.members_n = 2;
    id.joining = true;
    id.generation = 3;
    for (unsigned i = 0; i < 2; i++) {
        id.members[i].id = i + 1;
        strcpy(id.members[i].name, i == 0 ? "m1" : "m2");
        strcpy(id.members[i].address, i == 0 ? "[::1]:7400" : "b.example:7400");
    }
    MUST(storage_save(dir.path, &id, NULL) == 0);
    put_written(1, "node");
}

FUZZ_TARGET(node_files, run, seed)
