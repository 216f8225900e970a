/* YAML by libyaml's events, built into a tree without recursion.
 *
 * libyaml checks the syntax; the builder here refuses what we do not want (see the header). The first error ends the
 * reading: in YAML a mistake often makes nonsense of the lines behind it. */
#include "lib/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/base/text.h"
#include "lib/file.h"

enum { YAML_PATH_SHOWN_MAX = 200 };

struct builder {
    struct yaml_file *file;
    struct err *e;
    struct yaml_node *stack[YAML_DEPTH_MAX]; /* Open maps and lists. */
    unsigned depth;
    char *key; /* Of the map on top: read, its value is to come. Owned. */
    unsigned key_line;
    unsigned documents_n;
};

int yaml_file_error(struct err *e, const char *path, unsigned line, const char *format, ...)
{
    char text[ERR_TEXT_SIZE];
    size_t len = strlen(path);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?'; /* From the file: the message stays one line. */
    }
    if (len > YAML_PATH_SHOWN_MAX) {
        return err_set(e, -EINVAL, "...%s:%u: %s", path + len - YAML_PATH_SHOWN_MAX, line, text);
    }
    return err_set(e, -EINVAL, "%s:%u: %s", path, line, text);
}

#define FAIL(b, line, ...) yaml_file_error((b)->e, (b)->file->path, line, __VA_ARGS__)

const struct yaml_node *yaml_node_find(const struct yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != YAML_KIND_MAP) return NULL;
    for (const struct yaml_node *n = map->first; n != NULL; n = n->next) {
        if (text_equal(n->key, key)) return n;
    }
    return NULL;
}

const struct yaml_node *yaml_node_child(const struct yaml_node *node, unsigned i)
{
    const struct yaml_node *n = node == NULL ? NULL : node->first;

    while (n != NULL && i-- > 0) n = n->next;
    return n;
}

static struct yaml_node *top(struct builder *b)
{
    return b->depth == 0 ? NULL : b->stack[b->depth - 1];
}

static bool key_is_next(struct builder *b)
{
    return b->depth > 0 && top(b)->kind == YAML_KIND_MAP && b->key == NULL;
}

/* A new node below the container on top, with the key that waits; or the root. NULL, and said, when there are too many.
 */
static struct yaml_node *add_node(struct builder *b, enum yaml_kind kind, unsigned line)
{
    struct yaml_file *file = b->file;
    struct yaml_node *parent = top(b), *node;

    if (file->nodes_n == YAML_NODES_MAX) {
        (void)FAIL(b, line, "too many values, expected at most %d", YAML_NODES_MAX);
        return NULL;
    }
    node = &file->nodes[file->nodes_n++];
    *node = (struct yaml_node){.kind = kind, .line = line, .key = b->key, .key_line = b->key_line};
    b->key = NULL;
    if (parent == NULL) {
        file->root = node;
        return node;
    }
    if (parent->last != NULL) parent->last->next = node;
    else parent->first = node;
    parent->last = node;
    parent->children_n++;
    return node;
}

static int take_key(struct builder *b, char *key, unsigned line)
{
    const struct yaml_node *before = yaml_node_find(top(b), key);

    b->key = key;
    b->key_line = line;
    if (before == NULL) return 0;
    return FAIL(b, line, "key \"%.60s\" is given twice, expected once (first on line %u)", key, before->key_line);
}

static int add_scalar(struct builder *b, const yaml_event_t *event, unsigned line)
{
    const char *value = (const char *)event->data.scalar.value;
    struct yaml_node *node;
    char *copy;

    if (strlen(value) != event->data.scalar.length) return FAIL(b, line, "a NUL character, expected text");
    copy = strdup(value);
    if (copy == NULL) return err_errno(b->e, -ENOMEM, "read %s", b->file->path);
    if (key_is_next(b)) return take_key(b, copy, line);
    node = add_node(b, YAML_KIND_TEXT, line);
    if (node == NULL) {
        free(copy);
        return -EINVAL;
    }
    node->text = copy;
    return 0;
}

static int open_container(struct builder *b, enum yaml_kind kind, unsigned line)
{
    struct yaml_node *node;

    if (key_is_next(b)) return FAIL(b, line, "a map or list as a key, expected a key that is plain text");
    if (b->depth == YAML_DEPTH_MAX) {
        return FAIL(b, line, "nested too deeply, expected at most %d levels", YAML_DEPTH_MAX);
    }
    node = add_node(b, kind, line);
    if (node == NULL) return -EINVAL;
    b->stack[b->depth++] = node;
    return 0;
}

static bool is_decorated(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    return anchor != NULL || tag != NULL;
}

static int take_event(struct builder *b, const yaml_event_t *event)
{
    unsigned line = (unsigned)event->start_mark.line + 1;

    if (event->type == YAML_ALIAS_EVENT || is_decorated(event)) {
        return FAIL(b, line, "an anchor (&), alias (*) or tag (!), expected plain values: write them out, in quotes "
                             "if they begin with such a sign");
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents_n++ == 0) return 0;
        return FAIL(b, line, "a second document, expected one document a file");
    case YAML_SCALAR_EVENT: return add_scalar(b, event, line);
    case YAML_MAPPING_START_EVENT: return open_container(b, YAML_KIND_MAP, line);
    case YAML_SEQUENCE_START_EVENT: return open_container(b, YAML_KIND_LIST, line);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        MUST(b->depth > 0);
        b->depth--;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT: return 0;
    }
    MUST_NOT_REACH();
}

/* True when the indentation of line 'line' (from 1) holds a tab: libyaml's own words for that help nobody. */
static bool is_tab_indented(const char *text, unsigned line)
{
    while (line > 1 && text != NULL) {
        text = strchr(text, '\n');
        if (text != NULL) text++;
        line--;
    }
    return text != NULL && text[strspn(text, " ")] == '\t';
}

static unsigned line_at(const char *text, size_t size, size_t offset)
{
    unsigned line = 1;

    for (size_t i = 0; i < offset && i < size; i++) line += text[i] == '\n';
    return line;
}

/* What libyaml says of the mistakes that operators make most, in words that say what to do. */
static const struct hint {
    const char *problem;
    const char *ours;
    bool at_context; /* The mistake is where the context began, not where it was noticed. */
} hints[] = {
    {"mapping values are not allowed in this context",
     "\": \" where no key can be, expected quotes around a value that holds it, or less indentation", false},
    {"could not find expected ':'", "a line that is no \"key: value\", expected \": \" behind its key", true},
};

static const struct hint *find_hint(const char *problem)
{
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        if (text_equal(hints[i].problem, problem)) return &hints[i];
    }
    return NULL;
}

static int syntax_error(struct builder *b, const yaml_parser_t *parser, const char *text, size_t size)
{
    unsigned line = (unsigned)parser->problem_mark.line + 1;
    unsigned context_line = (unsigned)parser->context_mark.line + 1;
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    const struct hint *hint = find_hint(problem);

    if (parser->error == YAML_MEMORY_ERROR) return err_errno(b->e, -ENOMEM, "read %s", b->file->path);
    if (parser->error == YAML_READER_ERROR) {
        return FAIL(b, line_at(text, size, parser->problem_offset), "%s, expected UTF-8 text", problem);
    }
    if (is_tab_indented(text, line)) return FAIL(b, line, "a tab indents this line, expected spaces");
    if (hint != NULL) return FAIL(b, hint->at_context ? context_line : line, "%s", hint->ours);
    if (parser->context == NULL || context_line == line) {
        return FAIL(b, line, "%s, expected YAML (\"key: value\")", problem);
    }
    return FAIL(b, line, "%s, expected YAML (\"key: value\"; %s that begins on line %u)", problem, parser->context,
                context_line);
}

static int build(struct builder *b, const char *text, size_t size)
{
    yaml_parser_t parser;
    yaml_event_t event;
    bool ended = false;
    int rv = 0;

    if (yaml_parser_initialize(&parser) == 0) return err_errno(b->e, -ENOMEM, "read %s", b->file->path);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    while (rv == 0 && !ended) {
        if (yaml_parser_parse(&parser, &event) == 0) {
            rv = syntax_error(b, &parser, text, size);
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        rv = take_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    free(b->key);
    b->key = NULL;
    return rv;
}

int yaml_file_read(struct yaml_file *file, const char *path, struct err *e)
{
    struct builder b = {.file = file, .e = e};
    char *text;
    size_t size;
    int rv;

    *file = (struct yaml_file){.path = path};
    rv = file_read(path, YAML_FILE_MAX, &text, &size, e);
    if (rv == -EFBIG) {
        (void)yaml_file_error(e, path, 1, "the file is too large, expected at most %d bytes", YAML_FILE_MAX);
        return rv;
    }
    if (rv != 0) return rv;
    file->nodes = calloc(YAML_NODES_MAX, sizeof *file->nodes);
    rv = file->nodes == NULL ? err_errno(e, -ENOMEM, "read %s", path) : build(&b, text, size);
    free(text);
    if (rv != 0) yaml_file_free(file);
    return rv;
}

void yaml_file_free(struct yaml_file *file)
{
    for (unsigned i = 0; i < file->nodes_n; i++) {
        free(file->nodes[i].key);
        free(file->nodes[i].text);
    }
    free(file->nodes);
    *file = (struct yaml_file){0};
}
