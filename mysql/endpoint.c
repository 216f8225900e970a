/* Reads an account out of one group of a MySQL option file ("my.cnf").
 *
 * The syntax is the servers': "[group]", "key = value" with the value in quotes or bare, escapes \b \t \n \r \\ \s, and
 * \" \' inside quotes, comments with # or ; at the start of a line and with # behind a value, dash and underscore alike
 * in keys, a later value of a key replaces an earlier one. Stricter than theirs: !include is refused (an account comes
 * from one file whose owner is known), an unknown key of our group is an error, so that a typing error in "password"
 * is not found by a refused login. Keys by which clients find servers are passed over: ours are in the cluster file. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/log.h"
#include "mysql/db.h"

enum {
    FILE_BYTES_MAX = 64 << 10,
    KEY_SIZE = 64,
};

struct reader {
    struct db_endpoint *to;
    const char *path, *group;
    struct err *e;
    unsigned line;      /* Of the file, from 1. */
    bool is_our_group;  /* The current line is in 'group'. */
    bool was_found;
};

static const char *const PASSED_OVER[] = {"host", "port", "socket", "protocol", "default-character-set"};

/* Reads the whole file into malloc'd memory with a NUL behind. */
static int read_file(const char *path, char **data, size_t *size, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* Non-blocking: 'path' may name a FIFO. */
    if (fd < 0) return err_errno(e, errno == EACCES || errno == ENOENT ? -errno : -EINVAL, "%s", path);
    struct stat st;
    MUST(fstat(fd, &st) == 0);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
        (void)close(fd);
        return err_set(e, -EINVAL, "%s: not a regular file of at most %d bytes", path, FILE_BYTES_MAX);
    }
    if ((st.st_mode & (S_IRGRP | S_IROTH)) != 0) {
        log_limited(LOG_LEVEL_WARN, "credentials.mode", "file=%s text=\"others than the owner may read the password; "
                    "chmod 600\"", path);
    }
    *data = malloc(FILE_BYTES_MAX + 1);
    MUST(*data != NULL);
    *size = 0;
    for (;;) {
        ssize_t n = read(fd, *data + *size, FILE_BYTES_MAX - *size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        *size += (size_t)n;
    }
    (void)close(fd);
    (*data)[*size] = '\0';
    return 0;
}

static int fail(const struct reader *r, const char *what, const char *key)
{
    return err_set(r->e, -EINVAL, "%s:%u: %s%s%s", r->path, r->line, what, key[0] == '\0' ? "" : " ", key);
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s)) s++;
    char *end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1])) end--;
    *end = '\0';
    return s;
}

/* Cuts a comment behind a value: a # outside of quotes. */
static void cut_comment(char *s)
{
    char quote = '\0';
    for (; *s != '\0'; s++) {
        if (*s == '\\' && s[1] != '\0') {
            s++;
        } else if (quote == '\0' && (*s == '"' || *s == '\'')) {
            quote = *s;
        } else if (*s == quote) {
            quote = '\0';
        } else if (*s == '#' && quote == '\0') {
            *s = '\0';
            return;
        }
    }
}

/* The character for which backslash and 'c' stand; NUL when both are meant as they are. */
static char unescaped(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case 's': return ' ';
    case '\\':
    case '"':
    case '\'': return c;
    default: return '\0';
    }
}

static void unescape(char *s)
{
    char *to = s;
    for (; *s != '\0'; s++) {
        char c = *s == '\\' ? unescaped(s[1]) : '\0';
        if (c != '\0') s++;
        *to++ = c != '\0' ? c : *s;
    }
    *to = '\0';
}

/* Takes quotes and escapes off, in place. Returns NULL when a quote is not closed, or something follows it. */
static char *read_value(char *raw)
{
    cut_comment(raw);
    char *value = trim(raw);
    char quote = value[0];
    if (quote == '"' || quote == '\'') {
        char *end = ++value;
        while (*end != '\0' && *end != quote) end += *end == '\\' && end[1] != '\0' ? 2 : 1;
        if (*end != quote || end[1] != '\0') return NULL;
        *end = '\0';
    }
    unescape(value);
    return value;
}

static bool read_bool(const char *value, bool *to)
{
    static const char *const YES[] = {"1", "on", "true", "yes"};
    static const char *const NO[] = {"0", "off", "false", "no"};
    for (size_t i = 0; i < ARRAY_LEN(YES); i++) {
        if (strcasecmp(value, YES[i]) == 0 || strcasecmp(value, NO[i]) == 0) {
            *to = strcasecmp(value, YES[i]) == 0;
            return true;
        }
    }
    return false;
}

/* A text key and its place in the endpoint. */
struct field {
    const char *key;
    size_t offset, size;
};

#define FIELD(key, member) {key, offsetof(struct db_endpoint, member), sizeof(((struct db_endpoint *)0)->member)}

static const struct field FIELDS[] = {
    FIELD("user", user),     FIELD("password", password), FIELD("ssl-ca", tls_ca),
    FIELD("ssl-cert", tls_cert), FIELD("ssl-key", tls_key),
};

static bool is_passed_over(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(PASSED_OVER); i++) {
        if (text_equal(key, PASSED_OVER[i])) return true;
    }
    return false;
}

static int store(const struct reader *r, const char *key, const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        if (!text_equal(key, FIELDS[i].key)) continue;
        if (value == NULL) return fail(r, "a value is expected for key", key);
        if (text_copy((char *)r->to + FIELDS[i].offset, FIELDS[i].size, value)) return 0;
        return fail(r, "the value is too long for key", key);
    }
    if (text_equal(key, "ssl-verify-server-cert")) {
        if (read_bool(value == NULL ? "1" : value, &r->to->tls_verify_host)) return 0;
        return fail(r, "on or off is expected for key", key);
    }
    if (is_passed_over(key)) return 0;
    return err_set(r->e, -EINVAL, "%s:%u: unknown key %s in group [%s]; expected: user, password, ssl-ca, ssl-cert, "
                   "ssl-key, ssl-verify-server-cert", r->path, r->line, key, r->group);
}

static int read_pair(const struct reader *r, char *line)
{
    char *equals = strchr(line, '=');
    char *value = NULL;
    if (equals != NULL) {
        *equals = '\0';
    } else {
        cut_comment(line);
    }
    char key[KEY_SIZE];
    if (!TEXT_COPY(key, trim(line)) || key[0] == '\0') return fail(r, "\"key = value\" is expected", "");
    for (char *c = key; *c != '\0'; c++) {
        if (*c == '_') *c = '-';
        if (!isalnum((unsigned char)*c) && *c != '-') return fail(r, "a key is made of letters, digits and dashes", "");
    }
    if (equals != NULL) {
        value = read_value(equals + 1);
        if (value == NULL) return fail(r, "a quote is not closed, or text follows it, for key", key);
    }
    return store(r, key, value);
}

static int read_line(struct reader *r, char *raw)
{
    char *line = trim(raw);
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';') return 0;
    if (line[0] == '!') return fail(r, "!include and !includedir are not allowed here", "");
    if (line[0] == '[') {
        char *end = strchr(line, ']');
        if (end == NULL) return fail(r, "\"]\" is expected behind the name of a group", "");
        *end = '\0';
        r->is_our_group = text_equal(trim(line + 1), r->group);
        r->was_found = r->was_found || r->is_our_group;
        return 0;
    }
    return r->is_our_group ? read_pair(r, line) : 0;
}

static int read_lines(struct reader *r, char *data)
{
    for (char *line = data; line != NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        r->line++;
        int rv = read_line(r, line);
        if (rv != 0) return rv;
        line = next;
    }
    if (!r->was_found) return err_set(r->e, -ENOENT, "%s: there is no group [%s]", r->path, r->group);
    if (r->to->user[0] == '\0') {
        return err_set(r->e, -EINVAL, "%s: group [%s] has no key user", r->path, r->group);
    }
    return 0;
}

int db_endpoint_read(struct db_endpoint *to, const char *path, const char *group, struct err *e)
{
    char *data = NULL;
    size_t size = 0;
    int rv = read_file(path, &data, &size, e);
    if (rv != 0) return rv;
    MUST(data != NULL);
    struct db_endpoint whole = *to;
    whole.user[0] = whole.password[0] = whole.tls_ca[0] = whole.tls_cert[0] = whole.tls_key[0] = '\0';
    whole.tls_verify_host = true; /* Unless the file says off; without ssl-ca there is no TLS and it means nothing. */
    struct reader r = {.to = &whole, .path = path, .group = group, .e = e};
    if (strlen(data) != size) {
        rv = err_set(e, -EINVAL, "%s: contains a NUL byte", path);
    } else {
        rv = read_lines(&r, data);
    }
    if (rv == 0) *to = whole;
    explicit_bzero(data, FILE_BYTES_MAX + 1);
    explicit_bzero(&whole, sizeof(whole));
    free(data);
    return rv;
}
