/* A token: the permission to join a group once, as text in a file.
 *
 *   regent-token-1 GROUP ID SECRET      group id and secret in hexadecimal, the reserved id in decimal
 *
 * The group keeps only the hash of the secret. */
#ifndef REGENT_TOKEN_H
#define REGENT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { TOKEN_SECRET_SIZE = 32, TOKEN_TEXT_SIZE = 128, TOKEN_NONCE_SIZE = 16 };

struct token {
    uint64_t group;
    uint64_t id;
    uint8_t secret[TOKEN_SECRET_SIZE];
};

/* Bytes that nobody can guess. -EIO when the system has none. */
int token_random(void *to, size_t size, struct err *e) MUST_CHECK;

/* SHA-256 of a secret. */
void token_hash(const uint8_t secret[TOKEN_SECRET_SIZE], uint8_t hash[32]);

/* Compares in a time that does not depend on where they differ. */
bool token_equal(const uint8_t *a, const uint8_t *b, size_t size);

/* Writes the text, without a newline. */
void token_print(const struct token *t, char text[TOKEN_TEXT_SIZE]);

/* Reads a text (blanks around it are fine). -EINVAL with what is wrong; the secret is never in that text. */
int token_parse(struct token *t, const char *text, struct err *e) MUST_CHECK;

/* Reads a file with a token. A warning is for the caller to give: '*is_open' is true when others may read the file. */
int token_read(struct token *t, const char *path, bool *is_open, struct err *e) MUST_CHECK;

#endif
