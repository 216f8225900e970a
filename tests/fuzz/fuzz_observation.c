/* Fuzz: what managers tell the leader of the servers. */
#include <errno.h>

#include "lib/base/text.h"
#include "proto/convert.h"
#include "tests/fuzz/fuzz.h"

/* A text that runs over its array lands in the next member, where no sanitizer looks. */
static void check_texts(const struct proto_observation *o)
{
    MUST(FUZZ_IS_TEXT(o->manager) && FUZZ_IS_TEXT(o->cluster));
    for (unsigned i = o->servers_n; i < FSM_SERVERS_MAX; i++) MUST(o->names[i][0] == '\0');
    for (unsigned i = 0; i < o->servers_n; i++) {
        const struct view_facts *f = &o->servers[i].facts;

        MUST(FUZZ_IS_TEXT(o->names[i]) && FUZZ_IS_TEXT(o->servers[i].error));
        MUST(FUZZ_IS_TEXT(f->version) && FUZZ_IS_TEXT(f->identity) && FUZZ_IS_TEXT(f->executed));
        MUST(FUZZ_IS_TEXT(f->binlog));
        for (unsigned c = 0; c < VIEW_CHANNELS_MAX; c++) {
            MUST(FUZZ_IS_TEXT(f->channels[c].name) && FUZZ_IS_TEXT(f->channels[c].source_host));
            MUST(FUZZ_IS_TEXT(f->channels[c].error) && FUZZ_IS_TEXT(f->channels[c].received));
        }
    }
}

static bool run(const uint8_t *data, size_t size)
{
    static struct proto_observation o, again;
    struct err e = {0};
    void *bytes;
    size_t n;
    int rv;

    memset(&o, 0xa5, sizeof(o));
    rv = proto_observation_decode(&o, data, size, &e);
    MUST(rv == 0 || rv == -EPROTO);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && fuzz_is_zero(&o, sizeof(o)));
        return false;
    }
    MUST(o.servers_n <= FSM_SERVERS_MAX);
    check_texts(&o);
    MUST(proto_observation_encode(&o, &bytes, &n) == 0);
    memset(&again, 0x5a, sizeof(again));
    MUST(proto_observation_decode(&again, bytes, n, NULL) == 0);
    MUST(memcmp(&o, &again, proto_observation_size(o.servers_n)) == 0);
    free(bytes);
    return true;
}

static void put(const struct proto_observation *o)
{
    void *bytes;
    size_t n;

    MUST(proto_observation_encode(o, &bytes, &n) == 0);
    fuzz_put_owned(bytes, n);
}

static void seed_facts(struct view_facts *f)
{
    f->set = f->supported = f->read_only = f->replica_enabled = f->durable = f->binlog_on = true;
    f->server_id = 2;
    f->token = 9;
    f->started_s = 1795226883;
    (void)TEXT_COPY(f->version, "10.11.19-MariaDB");
    (void)TEXT_COPY(f->identity, "id-db2");
    (void)TEXT_COPY(f->executed, "0-1-100,7-2-3");
    (void)TEXT_COPY(f->binlog, "0-1-100");
    f->channels_n = 1;
    f->channels[0].source_port = 3306;
    f->channels[0].io = VIEW_IO_YES;
    f->channels[0].lag_ms = f->channels[0].idle_ms = -1;
    (void)TEXT_COPY(f->channels[0].source_host, "127.0.0.1");
    (void)TEXT_COPY(f->channels[0].received, "0-1-100");
}

static void seed(void)
{
    static struct proto_observation o;

    put(&o);
    o = (struct proto_observation){.manager_id = 3, .term = 12, .manager = "m3", .cluster = "shop", .servers_n = 1};
    (void)TEXT_COPY(o.names[0], "db1");
    o.servers[0] = (struct view_observation){.outcome = VIEW_REFUSED, .age_ms = 20, .ok_age_ms = -1, .refused_n = 4};
    (void)TEXT_COPY(o.servers[0].error, "connection refused");
    put(&o);
    o.servers_n = 2;
    (void)TEXT_COPY(o.names[1], "db2");
    o.servers[1].outcome = VIEW_OK;
    seed_facts(&o.servers[1].facts);
    put(&o);
}

FUZZ_TARGET(observation, run, seed)
