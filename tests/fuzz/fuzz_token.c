/* Fuzz: tokens, as text that somebody pasted. */
#include <errno.h>

#include "lib/token.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    char text[512], printed[TOKEN_TEXT_SIZE];
    struct token t, again;
    struct err e = {0};

    if (size >= sizeof(text)) return false;
    memcpy(text, data, size);
    text[size] = '\0';
    if (token_parse(&t, text, &e) != 0) {
        MUST(e.text[0] != '\0');
        return false;
    }
    token_print(&t, printed);
    MUST(FUZZ_IS_TEXT(printed));
    MUST(token_parse(&again, printed, NULL) == 0);
    MUST(t.id == again.id && t.group == again.group);
    MUST(token_equal(t.secret, again.secret, sizeof(t.secret)));
    return true;
}

static void seed_one(uint64_t group, uint64_t id, const char *before, const char *behind)
{
    struct token t = {.group = group, .id = id};
    char text[TOKEN_TEXT_SIZE], all[512];

    for (unsigned i = 0; i < sizeof(t.secret); i++) t.secret[i] = (uint8_t)(i * 37);
    token_print(&t, text);
    strcpy(all, before);
    strcat(all, text);
    strcat(all, behind);
    fuzz_put_text(all);
}

static void seed(void)
{
    seed_one(1, 4, "", "\n");
    seed_one(UINT64_MAX, UINT64_MAX, " ", " \n\n");
}

FUZZ_TARGET(token, run, seed)
