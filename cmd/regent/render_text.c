/* What all renderers use: fields of JSON, colours, times, tables. */
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/regent/render.h"
#include "lib/base/must.h"

enum { RING = 16, RING_SIZE = 512, COLUMNS_MAX = 16 };

static char *ring_next(void)
{
    static char ring[RING][RING_SIZE];
    static unsigned next;
    return ring[next++ % RING];
}

struct style style_stdout(void)
{
    const char *no_color = getenv("NO_COLOR");
    return (struct style){.out = stdout, .colour = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0')};
}

const char *field(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (json_is_string(value)) return json_string_value(value);
    if (!json_is_integer(value)) return "";
    char *text = ring_next();
    snprintf(text, RING_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return text;
}

bool field_is_true(json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

json_t *field_array(json_t *object, const char *key)
{
    static json_t *empty;
    json_t *value = json_object_get(object, key);
    if (json_is_array(value)) return value;
    if (empty == NULL) empty = json_array();
    MUST(empty != NULL);
    return empty;
}

const char *field_names(json_t *object, const char *key)
{
    json_t *names = field_array(object, key), *name;
    char *text = ring_next();
    size_t i, len = 0;
    text[0] = '\0';
    json_array_foreach(names, i, name)
    {
        if (!json_is_string(name) || len >= RING_SIZE) continue;
        int n = snprintf(text + len, RING_SIZE - len, "%s%s", len > 0 ? ", " : "", json_string_value(name));
        len += n > 0 ? (size_t)n : 0;
    }
    return text[0] != '\0' ? text : "none";
}

void put_safe(FILE *out, const char *s)
{
    for (; *s != '\0'; s++) fputc((unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s, out);
}

const char *short_time(const char *iso)
{
    char *text = ring_next();
    snprintf(text, RING_SIZE, "%.23s", iso);
    char *t = strchr(text, 'T');
    if (t != NULL) *t = ' ';
    return text;
}

/* ---- colours ---- */

enum hue { PLAIN, GREEN, YELLOW, RED };

static enum hue hue_of(const char *word)
{
    static const char *const green[] = {"ok", "finished", "lossless"};
    static const char *const yellow[] = {"degraded", "paused", "stopped", "attention", "maintenance", "unknown", "new",
                                         "too-many-connections", "running", "aborted", "not lossless", "failing_over",
                                         "ends soon"};
    static const char *const red[] = {"stalled", "no_master", "quarantined", "down", "unreachable", "login-refused",
                                      "failing", "unsupported", "broken", "read-only", "writable", "failed",
                                      "expired"};
    for (size_t i = 0; i < ARRAY_LEN(green); i++)
        if (strcmp(word, green[i]) == 0) return GREEN;
    for (size_t i = 0; i < ARRAY_LEN(yellow); i++)
        if (strcmp(word, yellow[i]) == 0) return YELLOW;
    for (size_t i = 0; i < ARRAY_LEN(red); i++)
        if (strcmp(word, red[i]) == 0) return RED;
    return PLAIN;
}

const char *colour_of(const struct style *s, const char *word)
{
    static const char *const escapes[] = {"", "\033[32m", "\033[33m", "\033[1;31m"};
    return s->colour ? escapes[hue_of(word)] : "";
}

const char *colour_end(const struct style *s)
{
    return s->colour ? "\033[0m" : "";
}

const char *colour_name(const struct style *s, const char *word)
{
    static const char *const names[] = {NULL, "green", "yellow", "red"};
    return s->colour ? names[hue_of(word)] : NULL;
}

/* ---- tables ---- */

struct libscols_table *table_new(const struct style *s, const char *const *columns)
{
    struct libscols_table *t = scols_new_table();
    MUST(t != NULL);
    scols_table_enable_colors(t, s->colour);
    scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER); /* Whole texts, also when narrower: never cut a reason. */
    scols_table_set_column_separator(t, "  ");
    scols_table_enable_nolinesep(t, 0);
    for (; *columns != NULL; columns++) {
        const char *name = *columns;
        int flags = name[0] == '>' ? SCOLS_FL_RIGHT : name[0] == '|' ? SCOLS_FL_TREE : 0;
        MUST(scols_table_new_column(t, flags != 0 ? name + 1 : name, 0, flags) != NULL);
    }
    return t;
}

struct libscols_line *table_line(struct libscols_table *t, struct libscols_line *parent, const char *const *cells)
{
    struct libscols_line *line = scols_table_new_line(t, parent);
    MUST(line != NULL);
    for (size_t i = 0; i < scols_table_get_ncols(t) && cells[i] != NULL; i++)
        MUST(scols_line_set_data(line, i, cells[i]) == 0);
    return line;
}

void table_print(const struct style *s, struct libscols_table *t, unsigned indent)
{
    char *text = NULL;
    if (scols_table_is_empty(t)) {
        scols_unref_table(t);
        return;
    }
    MUST(scols_print_table_to_string(t, &text) == 0 && text != NULL);
    scols_unref_table(t);
    for (char *line = text, *end; *line != '\0'; line = end) {
        size_t len = strcspn(line, "\n");
        end = line + len + (line[len] == '\n');
        while (len > 0 && line[len - 1] == ' ') len--; /* The last column's padding. */
        fprintf(s->out, "%*s%.*s\n", (int)indent, "", (int)len, line);
    }
    free(text);
}
