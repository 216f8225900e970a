/* Tokens as text: what is printed can be read, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/token.h"

static void round_trip(void **state)
{
    struct token t = {.group = 0xfedcba9876543210, .id = UINT64_MAX}, back;
    char text[TOKEN_TEXT_SIZE], line[TOKEN_TEXT_SIZE + 4];
    struct err e = {0};
    (void)state;
    assert_int_equal(token_random(t.secret, sizeof t.secret, &e), 0);
    token_print(&t, text);
    assert_int_equal(token_parse(&back, text, &e), 0);
    assert_memory_equal(&back, &t, sizeof t);
    strcpy(line, "  ");
    strcat(line, text);
    strcat(line, "\n");
    assert_int_equal(token_parse(&back, line, &e), 0);
    assert_memory_equal(&back, &t, sizeof t);
    /* Each cut is refused, and the secret is in no text. */
    for (size_t n = 0; n < strlen(text); n++) {
        char cut[TOKEN_TEXT_SIZE];
        strcpy(cut, text);
        cut[n] = '\0';
        assert_int_equal(token_parse(&back, cut, &e), -EINVAL);
        assert_null(strstr(e.text, text + 40));
    }
}

static void other_texts_are_refused(void **state)
{
#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const char *const bad[] = {
        "regent-token-2 0000000000000001 4 " SECRET, "regent-token-1 1 4 " SECRET,
        "regent-token-1 0000000000000001 0 " SECRET, "regent-token-1 0000000000000001 -4 " SECRET,
        "regent-token-1 0000000000000001 4 " SECRET "0", "regent-token-1 0000000000000001 4 " SECRET " more",
        "regent-token-1 000000000000000g 4 " SECRET, "regent-token-1 0000000000000001 99999999999999999999 " SECRET,
    };
    struct token t;
    struct err e = {0};
    (void)state;
    assert_int_equal(token_parse(&t, "regent-token-1 0000000000000001 4 " SECRET, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_int_equal(token_parse(&t, bad[i], &e), -EINVAL);
}

/* The vector of FIPS 180 for 32 zero bytes, and that one bit makes a difference. */
static void hash_is_sha256(void **state)
{
    static const uint8_t expected[] = {0x66, 0x68, 0x7a, 0xad, 0xf8, 0x62, 0xbd, 0x77, 0x6c, 0x8f, 0xc1,
                                       0x8b, 0x8e, 0x9f, 0x8e, 0x20, 0x08, 0x97, 0x14, 0x85, 0x6e, 0xe2,
                                       0x33, 0xb3, 0x90, 0x2a, 0x59, 0x1d, 0x0d, 0x5f, 0x29, 0x25};
    uint8_t secret[TOKEN_SECRET_SIZE] = {0}, hash[32];
    (void)state;
    token_hash(secret, hash);
    assert_true(token_equal(hash, expected, sizeof hash));
    secret[31] = 1;
    token_hash(secret, hash);
    assert_false(token_equal(hash, expected, sizeof hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(hash_is_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
