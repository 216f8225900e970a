/* Text for people, made of the managers' JSON. Each function writes to one stream and needs no network, so that tests
 * call it with JSON by hand. JSON of another version may lack a key: then its place stays empty. */
#ifndef REGENT_CMD_RENDER_H
#define REGENT_CMD_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct style {
    FILE *out;
    bool colour;
};

/* stdout; colours on a terminal, unless NO_COLOR is set. */
struct style style_stdout(void);

/* Every cluster with its servers as tables; the answer of `regent --json status`. */
void render_status(const struct style *s, json_t *status);
/* 'name' NULL: all clusters. */
void render_topology(const struct style *s, json_t *status, const char *name);
void render_event(const struct style *s, json_t *event);
void render_explain(const struct style *s, json_t *explain);
void render_plans(const struct style *s, json_t *plans);
void render_plan(const struct style *s, json_t *plan);
void render_members(const struct style *s, json_t *members);
/* The unused tokens in the same answer; 'now' (ISO, as the managers write times) tells which have expired. */
void render_tokens(const struct style *s, json_t *members, const char *now);
/* What a CA issued, as `regent --json pki show` has it. */
void render_pki(const struct style *s, json_t *pki);
/* As a cluster file. Returns false when the JSON is no declaration. */
bool render_declaration(const struct style *s, json_t *declaration);

/* ---- for the renderers ---- */

/* The text, number as text or "" at 'key'; borrowed from the JSON or from a small ring of static buffers (16). */
const char *field(json_t *object, const char *key);
bool field_is_true(json_t *object, const char *key);
json_t *field_array(json_t *object, const char *key); /* Borrowed; an empty array when missing. */
/* Names of an array with commas, or "none". In the same ring. */
const char *field_names(json_t *object, const char *key);
/* Writes 's' without control characters, which a server's error text could smuggle to the terminal. */
void put_safe(FILE *out, const char *s);
/* "2026-11-21 02:08:03.123" of an ISO time; "" of "". In the same ring. */
const char *short_time(const char *iso);
/* The escape sequence for a state or health word, and the one that ends it; "" without colours. */
const char *colour_of(const struct style *s, const char *word);
const char *colour_end(const struct style *s);
/* The name that libsmartcols knows for it, or NULL. */
const char *colour_name(const struct style *s, const char *word);

struct libscols_table;
struct libscols_line;
/* A table with these column names (NULL-terminated list; one that begins with '>' is aligned right; one that begins
 * with '|' carries a tree). Memory failure is MUST. */
struct libscols_table *table_new(const struct style *s, const char *const *columns);
struct libscols_line *table_line(struct libscols_table *t, struct libscols_line *parent, const char *const *cells);
/* Prints with 'indent' spaces before each line, and releases the table. */
void table_print(const struct style *s, struct libscols_table *t, unsigned indent);

#endif
