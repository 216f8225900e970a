/* SQL text to tokens, and the store of programs. See mysqld_private.h.
 *
 * A text is cut into tokens; its literals are taken out. What is left is its shape: texts that differ in literals only
 * share one program. The store grows with the shapes that Regent and the scripts use, a few hundred. Long texts that
 * come again unchanged (the probe) are found by a hash of all of it, without being cut. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_private.h"

enum { TOKENS_MAX = 4096, SHAPES_ROOM = 1024, SAME_ROOM = 64, SAME_SIZE_MIN = 400, TEXT_MAX = 32768 };

/* What cutting one text gives. */
struct cut {
    const char *sql, *at;
    char words[TEXT_MAX];
    size_t words_n;
    struct token tokens[TOKENS_MAX];
    unsigned tokens_n;
    struct value values[LITERALS_MAX];
    char texts[TEXT_MAX];
    size_t texts_n;
    unsigned values_n;
    uint64_t hash;
};

struct shape {
    struct shape *next;
    uint64_t hash;
    struct token *tokens;
    const struct program *program;
};

struct same {
    uint64_t hash;
    size_t size;
    char *sql;
    struct literals *literals;
    const struct program *program;
};

static struct cut cut;
static struct shape *shapes[SHAPES_ROOM];
static struct same sames[SAME_ROOM];

void not_understood(const char *why, const char *near, const char *sql)
{
    fprintf(stderr, "sim/mysqld: %s near \"%s\"; the model does not understand:\n%s\n", why, near, sql);
    abort();
}

/* --- cutting ---------------------------------------------------------------------------------------------------- */

static void add_token(enum token_kind kind, const char *text, size_t size)
{
    MUST(cut.tokens_n < TOKENS_MAX && cut.words_n + size + 1 <= TEXT_MAX);
    char *word = &cut.words[cut.words_n];
    memcpy(word, text, size);
    word[size] = '\0';
    cut.words_n += size + 1;
    cut.tokens[cut.tokens_n++] = (struct token){kind, word, cut.values_n};
    cut.hash = (cut.hash ^ (uint64_t)kind) * 0x100000001b3u;
    for (size_t i = 0; i < size; i++) cut.hash = (cut.hash ^ (uint8_t)text[i]) * 0x100000001b3u;
}

static void add_literal(enum token_kind kind, struct value value)
{
    MUST(cut.values_n < LITERALS_MAX);
    add_token(kind, "", 0);
    cut.values[cut.values_n++] = value;
}

static void cut_number(void)
{
    int64_t number = 0, fraction = 0, scale = 1000000;
    bool has_fraction = false;
    for (; isdigit((unsigned char)*cut.at) || *cut.at == '.'; cut.at++) {
        if (*cut.at == '.') {
            has_fraction = true;
        } else if (!has_fraction) {
            number = (int64_t)((uint64_t)number * 10 + (uint64_t)(*cut.at - '0'));
        } else if (scale > 1) {
            scale /= 10;
            fraction += scale * (*cut.at - '0');
        }
    }
    add_literal(TOKEN_NUMBER, (struct value){VALUE_NUMBER, has_fraction ? 6 : 0,
                                             has_fraction ? number * 1000000 + fraction : number, NULL});
}

static void cut_text(char quote)
{
    char *to = &cut.texts[cut.texts_n];
    const char *text = to;
    for (cut.at++;; cut.at++) {
        if (*cut.at == '\0' || cut.texts_n + 2 > TEXT_MAX) not_understood("a text without end", "", cut.sql);
        if (*cut.at == quote && cut.at[1] != quote) break;
        if (*cut.at == quote || *cut.at == '\\') cut.at++;
        *to++ = *cut.at;
        cut.texts_n++;
    }
    cut.at++;
    *to = '\0';
    cut.texts_n++;
    add_literal(TOKEN_TEXT, (struct value){VALUE_TEXT, 0, 0, text});
}

static size_t word_size(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '$') n++;
    return n;
}

static void cut_mark(void)
{
    static const char *const marks[] = {"<=>", "<>", "<=", ">=", "!="};
    size_t size = 1;
    for (size_t i = 0; i < ARRAY_LEN(marks) && size == 1; i++)
        if (strncmp(cut.at, marks[i], strlen(marks[i])) == 0) size = strlen(marks[i]);
    if (!strchr("<>=!(),;.+-*@", *cut.at)) not_understood("a character", cut.at, cut.sql);
    add_token(TOKEN_MARK, cut.at, size);
    cut.at += size;
}

static void cut_one(void)
{
    size_t ats = cut.at[0] == '@' ? cut.at[1] == '@' ? 2 : 1 : 0;
    size_t size = word_size(cut.at + ats);
    if (isspace((unsigned char)*cut.at)) {
        cut.at++;
    } else if (isdigit((unsigned char)*cut.at)) {
        cut_number();
    } else if (*cut.at == '\'' || *cut.at == '"') {
        cut_text(*cut.at);
    } else if (size > 0) {
        add_token(ats == 0 ? TOKEN_WORD : ats == 1 ? TOKEN_USER : TOKEN_SYSTEM, cut.at + ats, size);
        cut.at += ats + size;
    } else {
        cut_mark();
    }
}

static void cut_all(const char *sql)
{
    cut.sql = cut.at = sql;
    cut.words_n = cut.texts_n = 0;
    cut.tokens_n = cut.values_n = 0;
    cut.hash = 0xcbf29ce484222325u;
    while (*cut.at != '\0') cut_one();
    add_token(TOKEN_END, "", 0);
}

/* --- keeping ---------------------------------------------------------------------------------------------------- */

void literals_drop(struct literals *literals)
{
    if (literals && --literals->refs == 0) free(literals);
}

static struct literals *literals_make(void)
{
    struct literals *l = malloc(sizeof(*l) + cut.values_n * sizeof(struct value) + cut.texts_n);
    MUST(l);
    *l = (struct literals){.refs = 1, .n = cut.values_n, .v = (struct value *)(l + 1)};
    char *texts = (char *)(l->v + l->n);
    if (cut.texts_n > 0) memcpy(texts, cut.texts, cut.texts_n);
    for (unsigned i = 0; i < l->n; i++) {
        l->v[i] = cut.values[i];
        if (l->v[i].kind == VALUE_TEXT) l->v[i].text = texts + (cut.values[i].text - cut.texts);
    }
    return l;
}

static struct token *tokens_keep(void)
{
    struct token *tokens = malloc(cut.tokens_n * sizeof(*tokens) + cut.words_n);
    MUST(tokens);
    char *words = (char *)(tokens + cut.tokens_n);
    memcpy(words, cut.words, cut.words_n);
    memcpy(tokens, cut.tokens, cut.tokens_n * sizeof(*tokens));
    for (unsigned i = 0; i < cut.tokens_n; i++) tokens[i].text = words + (cut.tokens[i].text - cut.words);
    return tokens;
}

const struct token *tokens_of(const char *text)
{
    static struct cut kept; /* This may be called while a text is being parsed. */
    kept = cut;
    cut_all(text);
    const struct token *tokens = tokens_keep();
    cut = kept;
    return tokens;
}

static bool is_same_shape(const struct shape *shape)
{
    for (unsigned i = 0; i < cut.tokens_n; i++) {
        const struct token *a = &shape->tokens[i], *b = &cut.tokens[i];
        if (a->kind != b->kind || strcmp(a->text, b->text) != 0) return false;
    }
    return true;
}

static const struct program *program_of_cut(void)
{
    struct shape **at = &shapes[cut.hash % SHAPES_ROOM];
    for (struct shape *s = *at; s; s = s->next)
        if (s->hash == cut.hash && is_same_shape(s)) return s->program;
    struct shape *shape = calloc(1, sizeof(*shape));
    MUST(shape);
    shape->hash = cut.hash;
    shape->tokens = tokens_keep();
    shape->program = program_parse(shape->tokens, cut.sql);
    shape->next = *at;
    *at = shape;
    return shape->program;
}

/* Of some of its words: who finds it compares all of it. */
static uint64_t hash_of(const char *s, size_t size)
{
    uint64_t hash = size * 0x9e3779b97f4a7c15u, word;
    for (size_t at = 0; at + sizeof word <= size; at += 128) {
        memcpy(&word, s + at, sizeof word);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    return hash ^ hash >> 29;
}

static void same_keep(struct same *same, const char *sql, struct literals *literals, const struct program *program)
{
    free(same->sql);
    literals_drop(same->literals);
    same->sql = malloc(same->size + 1);
    MUST(same->sql);
    memcpy(same->sql, sql, same->size + 1);
    literals->refs++;
    same->literals = literals;
    same->program = program;
}

const struct program *program_of(const char *sql, size_t size, struct literals **literals)
{
    bool is_long = size >= SAME_SIZE_MIN;
    uint64_t hash = is_long ? hash_of(sql, size) : 0;
    struct same *same = &sames[hash % SAME_ROOM];
    if (is_long && same->hash == hash && same->size == size && same->sql && memcmp(same->sql, sql, size) == 0) {
        *literals = same->literals;
        same->literals->refs++;
        return same->program;
    }
    cut_all(sql);
    const struct program *program = program_of_cut();
    *literals = literals_make();
    if (is_long) {
        same->hash = hash;
        same->size = size;
        same_keep(same, sql, *literals, program);
    }
    return program;
}
