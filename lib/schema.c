/* The schema binder: see the header. One level (root, section, list entry) is read at a time: first the keys that are
 * there, then those that are missing. */
#include "lib/schema.h"

#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/suggest.h"

enum { NAMES_MAX = 32, LABEL_SIZE = 64, NAMES_TEXT_SIZE = 256 };

struct reader {
    const struct schema *schema;
    const struct yaml_file *file;
    struct err *e;
};

/* One map of the file and the keys that it may have. */
struct level {
    const char *label; /* Name of the section or list; "" at the root. */
    const char *section;
    const struct schema_key *keys;
    unsigned keys_n;
    const struct yaml_node *map; /* NULL: absent, all is default. */
    unsigned line;               /* Where a missing key is reported. */
    char *base;                  /* Struct that the offsets count from. */
    bool root;
};

#define FAIL(r, line, ...) yaml_file_error((r)->e, (r)->file->path, line, __VA_ARGS__)

/* ", did you mean "x"?", or nothing. */
static void add_suggestion(struct text *t, const char *word, const char *const *names, unsigned names_n)
{
    const char *near = suggest(word, names, names_n);

    if (near != NULL) text_addf(t, ", did you mean \"%s\"?", near);
}

static void add_names(struct text *t, const char *const *names, unsigned names_n)
{
    for (unsigned i = 0; i < names_n; i++) {
        const char *between = i == 0 ? "" : i + 1 == names_n ? " or " : ", ";

        text_addf(t, "%s%s", between, names[i]);
    }
}

/* A file's text in a message: cut, and without control characters. */
static void add_shown(struct text *t, const char *s)
{
    enum { SHOWN_MAX = 60 };

    text_add(t, "\"");
    for (unsigned i = 0; s[i] != '\0' && i < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c < 0x20 || c == 0x7f) text_addf(t, "\\x%02x", c);
        else text_addf(t, "%c", c);
    }
    text_add(t, strlen(s) > SHOWN_MAX ? "...\"" : "\"");
}

void schema_print_duration(uint32_t ms, char *to)
{
    struct text t = text_on(to, 16);

    if (ms > 0 && ms % 60000 == 0) text_addf(&t, "%um", ms / 60000);
    else if (ms > 0 && ms % 1000 == 0) text_addf(&t, "%us", ms / 1000);
    else text_addf(&t, "%ums", ms);
}

static bool parse_duration(const struct schema_type *type, const char *text, uint32_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    size_t digits_n = strspn(text, "0123456789");
    char digits[12];
    uint64_t value, each = 0;

    if (digits_n == 0 || digits_n >= sizeof digits) return false;
    memcpy(digits, text, digits_n);
    digits[digits_n] = '\0';
    if (!text_to_u64(digits, &value)) return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (text_equal(text + digits_n, units[i].unit)) each = units[i].ms;
    }
    if (each == 0) return false;
    value *= each; /* At most 11 digits: no overflow. */
    if (value < type->min_ms || value > type->max_ms) return false;
    *ms = (uint32_t)value;
    return true;
}

/* Number of 'text' among the choices, or choices_n. */
static unsigned find_choice(const struct schema_type *type, const char *text)
{
    unsigned i = 0;

    while (i < type->choices_n && !text_equal(type->choices[i], text)) i++;
    return i;
}

/* Parses 'text' into the destination. Returns false when it is not right; the destination is then untouched. */
static bool parse_value(const struct schema_key *key, const char *text, void *to)
{
    const struct schema_type *type = key->type;
    unsigned choice;

    switch (type->kind) {
    case SCHEMA_TEXT:
        if (!type->check(text) || strlen(text) >= key->size) return false;
        return text_copy(to, key->size, text);
    case SCHEMA_WORD:
        if (find_choice(type, text) == type->choices_n) return false;
        return text_copy(to, key->size, text);
    case SCHEMA_ENUM:
        choice = find_choice(type, text);
        if (choice == type->choices_n) return false;
        choice++;
        MUST(key->size == sizeof choice);
        memcpy(to, &choice, sizeof choice);
        return true;
    case SCHEMA_BOOL:
        if (!text_equal(text, "true") && !text_equal(text, "false")) return false;
        *(bool *)to = text_equal(text, "true");
        return true;
    case SCHEMA_DURATION: return parse_duration(type, text, to);
    }
    MUST_NOT_REACH();
}

static void add_expected(struct text *t, const struct schema_type *type)
{
    char min[16], max[16];

    text_add(t, ", expected ");
    if (type->expected != NULL) text_add(t, type->expected);
    else if (type->kind == SCHEMA_BOOL) text_add(t, "true or false");
    else add_names(t, type->choices, type->choices_n);
    if (type->kind != SCHEMA_DURATION) return;
    schema_print_duration(type->min_ms, min);
    schema_print_duration(type->max_ms, max);
    text_addf(t, "a duration with its unit (500ms, 1s, 2m) from %s to %s", min, max);
}

static void make_label(const struct level *level, const char *key, char *label)
{
    struct text t = text_on(label, LABEL_SIZE);

    text_addf(&t, "%.30s%s%.30s", level->label, level->label[0] == '\0' ? "" : ".", key);
}

static int read_value(struct reader *r, const struct level *level, const struct schema_key *key,
                      const struct yaml_node *node)
{
    char label[LABEL_SIZE], message[ERR_TEXT_SIZE];
    struct text t = TEXT_ON(message);

    make_label(level, key->key, label);
    text_add(&t, label);
    if (node->kind != YAML_KIND_TEXT) {
        text_add(&t, node->kind == YAML_KIND_MAP ? " is a map" : " is a list");
    } else if (node->text[0] == '\0') {
        text_add(&t, " has no value");
    } else {
        if (parse_value(key, node->text, level->base + key->offset)) return 0;
        text_add(&t, " is ");
        add_shown(&t, node->text);
    }
    add_expected(&t, key->type);
    if (node->kind == YAML_KIND_TEXT && key->type->choices_n > 0) {
        add_suggestion(&t, node->text, key->type->choices, key->type->choices_n);
    }
    return FAIL(r, node->line, "%s", message);
}

/* All that may stand at a level: keys, and at the root also the sections and the list. Returns their number. */
static unsigned level_names(const struct reader *r, const struct level *level, const char *names[NAMES_MAX])
{
    const char *section = "";
    unsigned n = 0;

    for (unsigned i = 0; i < level->keys_n; i++) {
        const struct schema_key *key = &level->keys[i];

        MUST(n < NAMES_MAX - 1);
        if (text_equal(key->section, level->section)) {
            names[n++] = key->key;
        } else if (level->root && !text_equal(key->section, section)) {
            section = key->section;
            names[n++] = section;
        }
    }
    if (level->root && r->schema->list != NULL) names[n++] = r->schema->list->key;
    return n;
}

/* The key of that name in another place of the file: ", did you mean "detect.probe"?". */
static void add_elsewhere(const struct reader *r, struct text *t, const char *word)
{
    for (unsigned i = 0; i < r->schema->keys_n; i++) {
        const struct schema_key *key = &r->schema->keys[i];

        if (!text_equal(key->key, word)) continue;
        text_addf(t, ", did you mean \"%s%s%s\"?", key->section, key->section[0] == '\0' ? "" : ".", word);
        return;
    }
}

static int refuse_unknown(struct reader *r, const struct level *level, const struct yaml_node *node)
{
    const char *names[NAMES_MAX];
    char label[LABEL_SIZE], message[ERR_TEXT_SIZE];
    unsigned names_n = level_names(r, level, names);
    struct text t = TEXT_ON(message);

    make_label(level, node->key, label);
    text_add(&t, "unknown key ");
    add_shown(&t, label);
    text_add(&t, ", expected ");
    add_names(&t, names, names_n);
    if (suggest(node->key, names, names_n) != NULL) add_suggestion(&t, node->key, names, names_n);
    else add_elsewhere(r, &t, node->key);
    return FAIL(r, node->key_line, "%s", message);
}

static const struct schema_key *find_key(const struct level *level, const char *name)
{
    for (unsigned i = 0; i < level->keys_n; i++) {
        const struct schema_key *key = &level->keys[i];

        if (text_equal(key->section, level->section) && text_equal(key->key, name)) return key;
    }
    return NULL;
}

static bool is_name_of_level(const struct reader *r, const struct level *level, const char *name)
{
    const char *names[NAMES_MAX];
    unsigned n = level_names(r, level, names);

    for (unsigned i = 0; i < n; i++) {
        if (text_equal(names[i], name)) return true;
    }
    return false;
}

static int read_present(struct reader *r, const struct level *level)
{
    const struct yaml_node *node = level->map == NULL ? NULL : level->map->first;

    for (; node != NULL; node = node->next) {
        const struct schema_key *key = find_key(level, node->key);
        int rv = 0;

        if (key != NULL) rv = read_value(r, level, key, node);
        else if (!is_name_of_level(r, level, node->key)) rv = refuse_unknown(r, level, node);
        if (rv != 0) return rv;
    }
    return 0;
}

static int read_absent(struct reader *r, const struct level *level)
{
    for (unsigned i = 0; i < level->keys_n; i++) {
        const struct schema_key *key = &level->keys[i];
        char label[LABEL_SIZE], message[ERR_TEXT_SIZE];
        struct text t = TEXT_ON(message);

        if (!text_equal(key->section, level->section) || yaml_node_find(level->map, key->key) != NULL) continue;
        if (key->fallback != NULL) {
            MUST(key->fallback[0] == '\0' || parse_value(key, key->fallback, level->base + key->offset));
            continue;
        }
        make_label(level, key->key, label);
        text_addf(&t, "key \"%s\" is missing", label);
        add_expected(&t, key->type);
        return FAIL(r, level->line, "%s", message);
    }
    return 0;
}

static int read_level(struct reader *r, const struct level *level)
{
    int rv = 0;

    if (level->map != NULL && level->map->kind != YAML_KIND_MAP) {
        const char *names[NAMES_MAX];
        char message[ERR_TEXT_SIZE];
        struct text t = TEXT_ON(message);

        text_add(&t, level->root ? "the file" : level->label);
        text_add(&t, " is no map, expected {key: value, ...} with the keys ");
        add_names(&t, names, level_names(r, level, names));
        return FAIL(r, level->map->line, "%s", message);
    }
    rv = read_present(r, level);
    return rv == 0 ? read_absent(r, level) : rv;
}

static int read_sections(struct reader *r, char *to)
{
    const struct schema *schema = r->schema;
    const char *section = "";

    for (unsigned i = 0; i < schema->keys_n; i++) {
        const struct yaml_node *map;
        struct level level;
        int rv;

        if (text_equal(schema->keys[i].section, section)) continue;
        section = schema->keys[i].section;
        map = yaml_node_find(r->file->root, section);
        level = (struct level){.label = section, .section = section, .keys = schema->keys, .keys_n = schema->keys_n,
                               .map = map, .line = map == NULL ? r->file->root->line : map->key_line, .base = to};
        rv = read_level(r, &level);
        if (rv != 0) return rv;
    }
    return 0;
}

static int read_list(struct reader *r, const struct schema_list *list, char *to)
{
    const struct yaml_node *node = yaml_node_find(r->file->root, list->key), *item;
    uint32_t n = 0;

    if (node == NULL && list->optional) return 0;
    if (node == NULL) {
        return FAIL(r, r->file->root->line, "key \"%s\" is missing, expected a list of 1 to %u entries", list->key,
                    list->max);
    }
    if (node->kind != YAML_KIND_LIST || node->children_n == 0) {
        return FAIL(r, node->line, "%s is %s, expected a list of 1 to %u entries", list->key,
                    node->kind == YAML_KIND_LIST ? "empty" : "no list", list->max);
    }
    for (item = node->first; item != NULL; item = item->next) {
        struct level level = {.label = list->key, .section = "", .keys = list->keys, .keys_n = list->keys_n,
                              .map = item, .line = item->line, .base = to + list->offset + n * list->item_size};
        int rv;

        if (n == list->max) {
            return FAIL(r, item->line, "%s has %u entries, expected at most %u", list->key, node->children_n,
                        list->max);
        }
        rv = read_level(r, &level);
        if (rv != 0) return rv;
        n++;
    }
    if (list->count_size == 1) *(uint8_t *)(to + list->count_offset) = (uint8_t)n;
    else memcpy(to + list->count_offset, &n, sizeof n);
    return 0;
}

int schema_read(const struct schema *schema, const struct yaml_file *file, void *to, struct err *e)
{
    struct reader r = {.schema = schema, .file = file, .e = e};
    struct level root = {.label = "", .section = "", .keys = schema->keys, .keys_n = schema->keys_n,
                         .map = file->root, .base = to, .root = true};
    int rv;

    if (file->root == NULL) return FAIL(&r, 1, "the file is empty, expected \"key: value\" lines");
    root.line = file->root->line;
    rv = read_level(&r, &root);
    if (rv == 0) rv = read_sections(&r, to);
    if (rv == 0 && schema->list != NULL) rv = read_list(&r, schema->list, to);
    return rv;
}
