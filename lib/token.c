/* Tokens: see token.h. Secrets go through here and nowhere into a log. */
#include "lib/token.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/text.h"
#include "lib/file.h"

#define MAGIC "regent-token-1"

enum { FILE_SIZE_MAX = 4096 };

int token_random(void *to, size_t size, struct err *e)
{
    if (RAND_bytes(to, (int)size) == 1) return 0;
    return err_set(e, -EIO, "the system gives no random bytes");
}

void token_hash(const uint8_t secret[TOKEN_SECRET_SIZE], uint8_t hash[32])
{
    unsigned size = 0;
    MUST(EVP_Digest(secret, TOKEN_SECRET_SIZE, hash, &size, EVP_sha256(), NULL) == 1 && size == 32);
}

bool token_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void token_print(const struct token *t, char text[TOKEN_TEXT_SIZE])
{
    struct text out = text_on(text, TOKEN_TEXT_SIZE);
    text_addf(&out, MAGIC " %016" PRIx64 " %" PRIu64 " ", t->group, t->id);
    for (unsigned i = 0; i < TOKEN_SECRET_SIZE; i++) text_addf(&out, "%02x", t->secret[i]);
    MUST(!out.cut);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *s, uint8_t *to, size_t size)
{
    if (strlen(s) != 2 * size) return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit(s[2 * i]), low = digit(s[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_words(struct token *t, char *words)
{
    uint8_t group[8];
    char *rest = NULL;
    const char *magic = strtok_r(words, " \t\r\n", &rest), *group_text = strtok_r(NULL, " \t\r\n", &rest);
    const char *id = strtok_r(NULL, " \t\r\n", &rest), *secret = strtok_r(NULL, " \t\r\n", &rest);
    if (magic == NULL || group_text == NULL || id == NULL || secret == NULL) return false;
    if (strtok_r(NULL, " \t\r\n", &rest) != NULL || strcmp(magic, MAGIC) != 0) return false;
    if (!parse_hex(group_text, group, sizeof group) || !text_to_u64(id, &t->id) || t->id == 0) return false;
    for (size_t i = 0; i < sizeof group; i++) t->group = t->group << 8 | group[i];
    return parse_hex(secret, t->secret, sizeof t->secret);
}

int token_parse(struct token *t, const char *text, struct err *e)
{
    char words[FILE_SIZE_MAX];
    memset(t, 0, sizeof *t);
    bool good = text_copy(words, sizeof words, text) && parse_words(t, words);
    OPENSSL_cleanse(words, sizeof words);
    if (good) return 0;
    memset(t, 0, sizeof *t);
    return err_set(e, -EINVAL, "this is no token: it is one line, as `regent token create` printed it");
}

int token_read(struct token *t, const char *path, bool *is_open, struct err *e)
{
    char *data = NULL;
    size_t size = 0;
    struct stat st;
    memset(t, 0, sizeof *t);
    *is_open = stat(path, &st) == 0 && (st.st_mode & 0044) != 0;
    int rc = file_read(path, FILE_SIZE_MAX - 1, &data, &size, e);
    if (rc != 0) return rc;
    rc = token_parse(t, data, e);
    OPENSSL_cleanse(data, size);
    free(data);
    return rc == 0 ? 0 : err_wrap(e, rc, "%s", path);
}
