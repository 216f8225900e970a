/* The client protocol's bytes: what goes in comes out, and hostile bytes are refused without harm (run under ASan). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/client.h"
#include "proto/client.pb-c.h"

static struct client_request sample_request(void)
{
    struct client_request r = {.op = CLIENT_CLUSTER_SET, .number = 42};
    r.id = (struct fsm_request_id){.client = 0x1122334455667788u, .seq = 7, .since = 6};
    strcpy(r.text, "a note");
    strcpy(r.cluster, "shop");
    strcpy(r.server, "db2");
    r.follow = r.dry_run = r.accept_loss = r.create = r.stale_ok = true;
    strcpy(r.spec.name, "shop");
    r.spec.flavour = FLAVOUR_MARIADB;
    r.spec.durability = DURABILITY_LOSSLESS;
    strcpy(r.spec.defaults_file, "/etc/regent/my.cnf");
    strcpy(r.spec.group, "regent");
    r.spec.probe_ms = 500;
    r.spec.timeout_ms = 1000;
    r.spec.servers_n = 2;
    strcpy(r.spec.servers[0].name, "db1");
    strcpy(r.spec.servers[0].address, "127.0.0.1:3311");
    r.spec.servers[0].role = ROLE_MASTER;
    strcpy(r.spec.servers[1].name, "db2");
    strcpy(r.spec.servers[1].address, "127.0.0.1:3312");
    r.spec.servers[1].role = ROLE_BACKUP;
    return r;
}

static void request_round_trip(void **state)
{
    (void)state;
    struct client_request in = sample_request(), out;
    struct err e = {0};
    void *data;
    size_t size;
    assert_int_equal(client_request_encode(&in, &data, &size), 0);
    assert_int_equal(client_request_decode(&out, data, size, &e), 0);
    free(data);
    assert_memory_equal(&in, &out, sizeof(in));
}

/* Each operation, bare: also the one whose flags are all false. */
static void every_operation_round_trips(void **state)
{
    (void)state;
    for (int op = 1; op < CLIENT_OPS_N; op++) {
        struct client_request in = {.op = (enum client_op)op}, out;
        void *data;
        size_t size;
        if (op == CLIENT_CLUSTER_SET) in = sample_request();
        assert_int_equal(client_request_encode(&in, &data, &size), 0);
        assert_int_equal(client_request_decode(&out, data, size, NULL), 0);
        free(data);
        assert_memory_equal(&in, &out, sizeof(in));
    }
}

static void answer_round_trip(void **state)
{
    (void)state;
    struct client_answer in = {.code = CLIENT_REDIRECT, .json = strdup("{\"a\":\"\xc3\xa4\"}")}, out;
    void *data;
    size_t size;
    strcpy(in.text, "text");
    strcpy(in.leader, "10.0.0.1:7401");
    in.index = 117;
    assert_int_equal(client_answer_encode(&in, &data, &size), 0);
    assert_int_equal(client_answer_decode(&out, data, size, NULL), 0);
    free(data);
    assert_int_equal(out.code, CLIENT_REDIRECT);
    assert_string_equal(out.text, "text");
    assert_string_equal(out.leader, "10.0.0.1:7401");
    assert_int_equal(out.index, 117);
    assert_string_equal(out.json, in.json);
    client_answer_fini(&in);
    client_answer_fini(&out);
    assert_null(out.json);
}

static void empty_answer_has_no_json(void **state)
{
    (void)state;
    struct client_answer in = {.code = CLIENT_OK}, out;
    void *data;
    size_t size;
    assert_int_equal(client_answer_encode(&in, &data, &size), 0);
    assert_int_equal(client_answer_decode(&out, data, size, NULL), 0);
    free(data);
    assert_int_equal(out.code, CLIENT_OK);
    assert_null(out.json);
}

/* An answer that no frame could hold is not made. */
static void too_long_answer_is_not_encoded(void **state)
{
    (void)state;
    size_t n = 5u << 20;
    struct client_answer a = {.json = malloc(n + 1)};
    void *data = NULL;
    size_t size = 0;
    memset(a.json, 'x', n);
    a.json[n] = '\0';
    assert_int_equal(client_answer_encode(&a, &data, &size), -EMSGSIZE);
    assert_null(data);
    client_answer_fini(&a);
}

static void assert_all_zero(const void *p, size_t size)
{
    const unsigned char *bytes = p;
    for (size_t i = 0; i < size; i++) assert_int_equal(bytes[i], 0);
}

/* Decodes a copy of exactly 'size' bytes, so that ASan sees a read behind the end. What is refused leaves no trace;
 * what is taken is within its bounds: it can be encoded again. */
static void decode_request_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    struct client_request r;
    struct err e = {0};
    memcpy(copy, data, size);
    int rv = client_request_decode(&r, copy, size, &e);
    if (rv != 0) {
        assert_all_zero(&r, sizeof(r));
        assert_string_not_equal(e.text, "");
    } else {
        void *again;
        size_t again_size;
        assert_true(r.op > 0 && r.op < CLIENT_OPS_N);
        assert_int_equal(client_request_encode(&r, &again, &again_size), 0);
        free(again);
    }
    free(copy);
}

static void decode_answer_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    struct client_answer a;
    struct err e = {0};
    memcpy(copy, data, size);
    if (client_answer_decode(&a, copy, size, &e) != 0) assert_all_zero(&a, sizeof(a));
    client_answer_fini(&a);
    free(copy);
}

static void mangle(const uint8_t *data, size_t size, void (*decode)(const uint8_t *, size_t))
{
    uint8_t *copy = malloc(size);
    for (size_t n = 0; n < size; n++) decode(data, n);
    for (size_t bit = 0; bit < size * 8; bit++) {
        memcpy(copy, data, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        decode(copy, size);
    }
    free(copy);
}

static void cut_and_flipped_requests(void **state)
{
    (void)state;
    struct client_request r = sample_request();
    void *data;
    size_t size;
    assert_int_equal(client_request_encode(&r, &data, &size), 0);
    mangle(data, size, decode_request_copy);
    free(data);
}

static void cut_and_flipped_answers(void **state)
{
    (void)state;
    struct client_answer a = {.code = CLIENT_MORE, .json = strdup("{\"events\":[]}")};
    void *data;
    size_t size;
    strcpy(a.text, "some text");
    assert_int_equal(client_answer_encode(&a, &data, &size), 0);
    mangle(data, size, decode_answer_copy);
    free(data);
    client_answer_fini(&a);
}

/* Random bytes: nothing is believed, nothing is hurt. */
static void noise(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    uint8_t bytes[256];
    for (int round = 0; round < 20000; round++) {
        size_t size = 0;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        size_t want = x % sizeof(bytes);
        while (size < want) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            bytes[size++] = (uint8_t)x;
        }
        decode_request_copy(bytes, size);
        decode_answer_copy(bytes, size);
    }
}

static ProtobufCBinaryData bytes_of(const char *s, size_t len)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)s, .len = len};
}

static void refuse(const Regent__Client__Request *m, const char *word)
{
    struct client_request r;
    struct err e = {0};
    size_t size = regent__client__request__get_packed_size(m);
    uint8_t *data = malloc(size + 1);
    regent__client__request__pack(m, data);
    assert_int_equal(client_request_decode(&r, data, size, &e), -EPROTO);
    assert_non_null(strstr(e.text, word));
    assert_all_zero(&r, sizeof(r));
    free(data);
}

/* Each rule by name: a message that breaks this one only. */
static void broken_rules(void **state)
{
    (void)state;
    char name[FSM_NAME_SIZE + 1];
    memset(name, 'n', sizeof(name));
    Regent__Client__Request m = REGENT__CLIENT__REQUEST__INIT;
    refuse(&m, "operation");
    m.op = CLIENT_OPS_N;
    refuse(&m, "operation");
    m.op = CLIENT_STATUS;
    m.cluster = bytes_of("a\0b", 3);
    refuse(&m, "cluster");
    m.cluster = bytes_of(name, FSM_NAME_SIZE); /* One too many: no room for the NUL. */
    refuse(&m, "cluster");
    m.cluster = bytes_of("", 0);
    m.server = bytes_of(name, FSM_NAME_SIZE);
    refuse(&m, "server");
    m.server = bytes_of("", 0);
    Regent__Client__Spec spec = REGENT__CLIENT__SPEC__INIT;
    m.spec = &spec;
    refuse(&m, "declaration");
    m.op = CLIENT_CLUSTER_SET;
    refuse(&m, "flavour");
    spec.flavour = FLAVOUR_MARIADB;
    refuse(&m, "durability");
    spec.durability = fsm_durability_count;
    refuse(&m, "durability");
    spec.durability = DURABILITY_ASYNC;
    Regent__Client__Server server = REGENT__CLIENT__SERVER__INIT;
    Regent__Client__Server *servers[FSM_SERVERS_MAX + 1];
    for (size_t i = 0; i < FSM_SERVERS_MAX + 1; i++) servers[i] = &server;
    spec.servers = servers;
    spec.n_servers = FSM_SERVERS_MAX + 1;
    refuse(&m, "servers");
    spec.n_servers = 1;
    refuse(&m, "role");
    m.spec = NULL;
    refuse(&m, "declaration");
}

/* A request larger than any honest one is refused before it is parsed. */
static void huge_request_is_refused_unread(void **state)
{
    (void)state;
    size_t size = 1u << 20;
    uint8_t *data = calloc(1, size);
    struct client_request r;
    struct err e = {0};
    assert_int_equal(client_request_decode(&r, data, size, &e), -EPROTO);
    assert_non_null(strstr(e.text, "too long"));
    free(data);
}

static void unknown_code_is_refused(void **state)
{
    (void)state;
    const uint32_t codes[] = {6, 63, 67, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        Regent__Client__Answer m = REGENT__CLIENT__ANSWER__INIT;
        struct client_answer a;
        uint8_t data[32];
        m.code = codes[i];
        size_t size = regent__client__answer__pack(&m, data);
        assert_int_equal(client_answer_decode(&a, data, size, NULL), -EPROTO);
    }
}

/* What a newer client asks for in addition (say, another dry run) must not be left out silently. */
static void requests_of_a_newer_version_are_refused(void **state)
{
    (void)state;
    struct client_request in = sample_request(), out;
    struct err e = {0};
    uint8_t *data, longer[512];
    size_t size;
    assert_int_equal(client_request_encode(&in, (void **)&data, &size), 0);
    memcpy(longer, data, size);
    free(data);
    memcpy(longer + size, "\xa0\x06\x01", 3); /* Field 100, a number. */
    assert_int_equal(client_request_decode(&out, longer, size + 3, &e), -EPROTO);
    assert_non_null(strstr(e.text, "newer version"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip),          cmocka_unit_test(every_operation_round_trips),
        cmocka_unit_test(answer_round_trip),           cmocka_unit_test(empty_answer_has_no_json),
        cmocka_unit_test(too_long_answer_is_not_encoded), cmocka_unit_test(cut_and_flipped_requests),
        cmocka_unit_test(cut_and_flipped_answers),     cmocka_unit_test(noise),
        cmocka_unit_test(broken_rules),                cmocka_unit_test(huge_request_is_refused_unread),
        cmocka_unit_test(unknown_code_is_refused),     cmocka_unit_test(requests_of_a_newer_version_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
