/* Fuzz: what a manager tells the leader of its program and versions. */
#include <errno.h>

#include "proto/hello.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    struct hello h, again;
    struct err e = {0};
    void *bytes;
    size_t n;
    int rv;

    memset(&h, 0xa5, sizeof(h));
    rv = hello_decode(&h, data, size, &e);
    MUST(rv == 0 || rv == -EPROTO);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && fuzz_is_zero(&h, sizeof(h)));
        return false;
    }
    MUST(h.manager_id != 0 && FUZZ_IS_TEXT(h.program) && h.version_min <= h.version_max);
    MUST(hello_encode(&h, &bytes, &n) == 0);
    MUST(hello_decode(&again, bytes, n, NULL) == 0);
    MUST(memcmp(&h, &again, sizeof(h)) == 0);
    free(bytes);
    return true;
}

static void put(const struct hello *h)
{
    void *bytes;
    size_t n;

    MUST(hello_encode(h, &bytes, &n) == 0);
    fuzz_put_owned(bytes, n);
}

static void seed(void)
{
    struct hello own = hello_own(3), other = {.manager_id = UINT64_MAX, .program = "9.9.9", .version_min = 1};

    other.version_max = UINT32_MAX;
    put(&own);
    put(&other);
}

FUZZ_TARGET(hello, run, seed)
