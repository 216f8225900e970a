/* A small YAML file as a tree with line numbers.
 *
 * The subset that operators need: maps, lists and text, one document. Types come from the reader's schema, never from
 * YAML ("no" stays text). Refused, each with its line: anchors and aliases, tags, a second document, a key that is not
 * text, a key given twice, more than YAML_DEPTH_MAX levels, more than YAML_NODES_MAX nodes. Knows nothing of ours.
 * libyaml exports yaml_free() and more that its header does not tell, so ours are yaml_file_* and yaml_node_*. */
#ifndef REGENT_YAML_H
#define REGENT_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum { YAML_FILE_MAX = 64 << 10, YAML_NODES_MAX = 2048, YAML_DEPTH_MAX = 8 };

enum yaml_kind { YAML_KIND_TEXT, YAML_KIND_MAP, YAML_KIND_LIST };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line;     /* From 1. */
    unsigned key_line; /* Of 'key'. */
    char *key;         /* In a map: its key. Else NULL. */
    char *text;        /* YAML_KIND_TEXT: never NULL, no NUL inside. Else NULL. */
    struct yaml_node *first, *last; /* Children of a map or list, in the order of the file. */
    struct yaml_node *next;         /* Sibling. */
    unsigned children_n;
};

struct yaml_file {
    const char *path; /* As the operator wrote it; borrowed from the caller of yaml_file_read(). */
    struct yaml_node *root; /* NULL: nothing in the file. */
    struct yaml_node *nodes; /* Pool of YAML_NODES_MAX. */
    unsigned nodes_n;
};

/* Reads 'path' (kept as a pointer, so it must outlive 'file'). Returns 0 or negative errno: -EINVAL when the text is
 * wrong, with 'e' one line "PATH:LINE: what is wrong, what is expected". After an error there is nothing to free. */
int yaml_file_read(struct yaml_file *file, const char *path, struct err *e) MUST_CHECK;

/* Frees the tree. */
void yaml_file_free(struct yaml_file *file);

/* The value of 'key' in a map, or NULL (also when 'map' is NULL or no map). */
const struct yaml_node *yaml_node_find(const struct yaml_node *map, const char *key);

/* The child number 'i' from 0 of a list or map, or NULL. */
const struct yaml_node *yaml_node_child(const struct yaml_node *node, unsigned i);

/* Sets 'e' to "PATH:LINE: <text>" and returns -EINVAL. A path longer than 200 characters loses its beginning. */
int yaml_file_error(struct err *e, const char *path, unsigned line, const char *format, ...) REGENT_PRINTF(4, 5);

#endif
