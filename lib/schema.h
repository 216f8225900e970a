/* Binds a YAML file to a struct by a table, and prints the struct in normal form by the same table.
 *
 * A file has keys at its root, sections (one map each) and at most one list of maps:
 *
 *     node: m1                                  root key "node"
 *     raft: {heartbeat: 100ms}                  key "heartbeat" of section "raft"
 *     group: [{name: m1, address: h:7401}]      list "group" with the keys "name" and "address"
 *
 * Unknown keys, missing keys and wrong values are refused with their line, what is expected and the nearest word that
 * would be right. What is printed reads back as the same struct. Knows nothing of ours. */
#ifndef REGENT_SCHEMA_H
#define REGENT_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/yaml.h"

enum schema_kind {
    SCHEMA_TEXT,     /* char[]; 'check' says whether it is right. */
    SCHEMA_WORD,     /* char[]; one of 'choices'. */
    SCHEMA_ENUM,     /* enum; 'choices' number i from 0 is the value i + 1 (0 is "none", never in a file). */
    SCHEMA_BOOL,     /* bool; "true" or "false". */
    SCHEMA_DURATION, /* uint32_t in ms; "500ms", "1s", "2m", between 'min_ms' and 'max_ms'. */
};

struct schema_type {
    enum schema_kind kind;
    const char *expected; /* Completes "expected ..."; NULL: the choices. */
    bool (*check)(const char *text);
    const char *const *choices;
    unsigned choices_n;
    uint32_t min_ms, max_ms;
};

struct schema_key {
    const char *section; /* "": the root, or an entry of the list. */
    const char *key;
    const struct schema_type *type;
    size_t offset, size;  /* Of the destination in the struct, in bytes. */
    const char *fallback; /* Default, as a file would have it; "": text stays empty; NULL: required. */
};

struct schema_list {
    const char *key;
    const struct schema_key *keys;
    unsigned keys_n;
    size_t offset, item_size;        /* Of the array in the struct; of one entry. */
    size_t count_offset, count_size; /* Of the number of entries; 1 or 4 bytes. */
    unsigned max;                    /* Entries; at least one is required, */
    bool optional;                   /* or none at all. */
};

struct schema {
    const struct schema_key *keys; /* Those of one section stand together. */
    unsigned keys_n;
    const struct schema_list *list; /* May be NULL. */
};

/* Fills the struct at 'to' (zeroed by the caller) from 'file'. Returns 0, or -EINVAL with 'e' as yaml_file_error()
 * sets it; then 'to' is undefined. */
int schema_read(const struct schema *schema, const struct yaml_file *file, void *to, struct err *e) MUST_CHECK;

/* Prints the struct at 'from' as YAML with all defaults. Empty optional text is left out, and so is a section
 * that has nothing else. */
void schema_print(const struct schema *schema, const void *from, FILE *out);

/* Writes 'ms' as a duration in its largest whole unit ("500ms", "1s") into 'to' of at least 16 bytes. */
void schema_print_duration(uint32_t ms, char *to);

#endif
