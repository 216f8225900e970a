/* The normal form: every key with its value, defaults too, in the order of the table. */
#include <string.h>

#include "lib/base/text.h"
#include "lib/schema.h"

/* Text that YAML reads back as it is, in a line of its own and between braces. */
static bool is_plain(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(s);

    if (len == 0 || (s[0] != '/' && strchr(letters, s[0]) == NULL)) return false;
    if (strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-") != len) return false;
    return s[len - 1] != ':';
}

static void print_text(const char *s, FILE *out)
{
    if (is_plain(s)) {
        (void)fputs(s, out);
        return;
    }
    (void)fputc('"', out);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') (void)fputc('\\', out);
        (void)fputc(*s, out);
    }
    (void)fputc('"', out);
}

static void print_value(const struct schema_key *key, const char *from, FILE *out)
{
    const struct schema_type *type = key->type;
    char duration[16];
    unsigned choice;
    uint32_t ms;

    switch (type->kind) {
    case SCHEMA_TEXT:
    case SCHEMA_WORD: print_text(from, out); return;
    case SCHEMA_ENUM:
        memcpy(&choice, from, sizeof choice);
        MUST(choice >= 1 && choice <= type->choices_n);
        (void)fputs(type->choices[choice - 1], out);
        return;
    case SCHEMA_BOOL: (void)fputs(*(const bool *)from ? "true" : "false", out); return;
    case SCHEMA_DURATION:
        memcpy(&ms, from, sizeof ms);
        schema_print_duration(ms, duration);
        (void)fputs(duration, out);
        return;
    }
    MUST_NOT_REACH();
}

static bool is_left_out(const struct schema_key *key, const char *from)
{
    return key->type->kind == SCHEMA_TEXT && from[key->offset] == '\0';
}

/* "{a: 1, b: 2}": the keys of one section or list entry. */
static void print_map(const struct schema_key *keys, unsigned keys_n, const char *section, const char *from, FILE *out)
{
    const char *before = "{";

    for (unsigned i = 0; i < keys_n; i++) {
        if (!text_equal(keys[i].section, section) || is_left_out(&keys[i], from)) continue;
        (void)fprintf(out, "%s%s: ", before, keys[i].key);
        print_value(&keys[i], from + keys[i].offset, out);
        before = ", ";
    }
    (void)fputs("}\n", out);
}

static void print_list(const struct schema_list *list, const char *from, FILE *out)
{
    uint32_t n;

    if (list->count_size == 1) n = *(const uint8_t *)(from + list->count_offset);
    else memcpy(&n, from + list->count_offset, sizeof n);
    if (n == 0) return;
    (void)fprintf(out, "%s:\n", list->key);
    for (uint32_t i = 0; i < n; i++) {
        (void)fputs("  - ", out);
        print_map(list->keys, list->keys_n, "", from + list->offset + i * list->item_size, out);
    }
}

static bool is_section_left_out(const struct schema *schema, const char *section, const char *from)
{
    for (unsigned i = 0; i < schema->keys_n; i++) {
        const struct schema_key *key = &schema->keys[i];

        if (text_equal(key->section, section) && !is_left_out(key, from)) return false;
    }
    return true;
}

void schema_print(const struct schema *schema, const void *from, FILE *out)
{
    const char *section = "";

    for (unsigned i = 0; i < schema->keys_n; i++) {
        const struct schema_key *key = &schema->keys[i];

        if (key->section[0] != '\0') {
            if (text_equal(key->section, section)) continue;
            section = key->section;
            if (is_section_left_out(schema, section, from)) continue;
            (void)fprintf(out, "%s: ", section);
            print_map(schema->keys, schema->keys_n, section, from, out);
        } else if (!is_left_out(key, from)) {
            (void)fprintf(out, "%s: ", key->key);
            print_value(key, (const char *)from + key->offset, out);
            (void)fputc('\n', out);
        }
    }
    if (schema->list != NULL) print_list(schema->list, from, out);
}
