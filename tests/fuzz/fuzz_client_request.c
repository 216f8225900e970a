/* Fuzz: what a client asks a manager. */
#include <errno.h>

#include "lib/base/text.h"
#include "proto/client.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    static struct client_request r, again;
    struct err e = {0};
    void *bytes;
    size_t n;
    int rv;

    memset(&r, 0xa5, sizeof(r));
    rv = client_request_decode(&r, data, size, &e);
    MUST(rv == 0 || rv == -EPROTO);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && fuzz_is_zero(&r, sizeof(r)));
        return false;
    }
    MUST(r.op > CLIENT_none && r.op < CLIENT_OPS_N);
    MUST(FUZZ_IS_TEXT(r.cluster) && FUZZ_IS_TEXT(r.server) && FUZZ_IS_TEXT(r.spec.name));
    MUST(FUZZ_IS_TEXT(r.spec.defaults_file) && FUZZ_IS_TEXT(r.spec.group));
    MUST(client_request_encode(&r, &bytes, &n) == 0);
    memset(&again, 0x5a, sizeof(again));
    MUST(client_request_decode(&again, bytes, n, NULL) == 0);
    MUST(memcmp(&r, &again, sizeof(r)) == 0);
    free(bytes);
    return true;
}

static void seed_spec(struct fsm_cluster_spec *spec)
{
    (void)TEXT_COPY(spec->name, "shop");
    (void)TEXT_COPY(spec->defaults_file, "/etc/regent/shop.cnf");
    (void)TEXT_COPY(spec->group, "regent");
    spec->flavour = FLAVOUR_MARIADB;
    spec->durability = DURABILITY_LOSSLESS;
    spec->probe_ms = 500;
    spec->timeout_ms = 1000;
    spec->servers_n = 1;
    (void)TEXT_COPY(spec->servers[0].name, "db1");
    (void)TEXT_COPY(spec->servers[0].address, "127.0.0.1:3306");
    spec->servers[0].role = ROLE_MASTER;
}

static void seed(void)
{
    static struct client_request r;
    void *bytes;
    size_t n;

    for (unsigned op = CLIENT_none + 1; op < CLIENT_OPS_N; op++) {
        r = (struct client_request){.op = (enum client_op)op, .id = {.client = UINT64_MAX, .seq = op}, .number = 300};
        r.follow = r.stale_ok = op % 2 == 0;
        r.dry_run = r.accept_loss = op % 2 == 1;
        (void)TEXT_COPY(r.cluster, "shop");
        (void)TEXT_COPY(r.server, "db2");
        if (op == CLIENT_CLUSTER_SET) seed_spec(&r.spec);
        MUST(client_request_encode(&r, &bytes, &n) == 0);
        fuzz_put_owned(bytes, n);
    }
}

FUZZ_TARGET(client_request, run, seed)
