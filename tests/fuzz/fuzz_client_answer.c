/* Fuzz: what a manager answers a client. */
#include <errno.h>

#include "lib/base/text.h"
#include "proto/client.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    struct client_answer a, again;
    struct err e = {0};
    void *bytes;
    size_t n;
    int rv;

    memset(&a, 0xa5, sizeof(a));
    rv = client_answer_decode(&a, data, size, &e);
    MUST(rv == 0 || rv == -EPROTO);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && fuzz_is_zero(&a, sizeof(a)));
        return false;
    }
    MUST(FUZZ_IS_TEXT(a.text) && FUZZ_IS_TEXT(a.leader));
    MUST(a.json == NULL || (a.json[0] != '\0' && strlen(a.json) <= size));
    MUST(client_answer_encode(&a, &bytes, &n) == 0);
    MUST(client_answer_decode(&again, bytes, n, NULL) == 0);
    MUST(a.code == again.code && memcmp(a.text, again.text, sizeof(a.text)) == 0);
    MUST(memcmp(a.leader, again.leader, sizeof(a.leader)) == 0);
    MUST((a.json == NULL) == (again.json == NULL) && (a.json == NULL || strcmp(a.json, again.json) == 0));
    client_answer_fini(&a);
    client_answer_fini(&again);
    free(bytes);
    return true;
}

static void put(enum client_code code, const char *text, const char *leader, const char *json)
{
    struct client_answer a = {.code = code};
    void *bytes;
    size_t n;
    char copy[128];

    (void)TEXT_COPY(a.text, text);
    (void)TEXT_COPY(a.leader, leader);
    (void)TEXT_COPY(copy, json == NULL ? "" : json);
    a.json = json == NULL ? NULL : copy;
    MUST(client_answer_encode(&a, &bytes, &n) == 0);
    fuzz_put_owned(bytes, n);
}

static void seed(void)
{
    put(CLIENT_OK, "", "", "{\"clusters\": []}");
    put(CLIENT_REFUSED, "no: db3 is not proven", "", NULL);
    put(CLIENT_REDIRECT, "", "127.0.0.1:7401", NULL);
    put(CLIENT_MORE, "", "", "{\"index\": 1}");
}

FUZZ_TARGET(client_answer, run, seed)
