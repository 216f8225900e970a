/* The index of a CA: one line a certificate, seven words with blanks between.
 *
 *   SERIAL ROLE NAME ID NOT_AFTER STATE HOSTS        ID 0: none. HOSTS "-": none.
 *   7f99... manager m1 1 2027-12-22T08:15:20Z current m1.example.org,192.0.2.1
 *   40c2... operator eve 0 2027-12-22T08:15:20Z revoked:2026-11-21T09:00:00Z -
 *
 * People may read it; only the tools write it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "lib/pki_private.h"

enum { INDEX_SIZE_MAX = 16 << 20, WORDS = 7, LINE_SIZE = 1024, KEPT_S = 30 * PKI_DAY_S, TIME_SIZE = 32 };

static const char title[] = "# regent pki index 1: serial role name id not_after state hosts\n";
static const char *const state_names[] = {"current", "replaced", "revoked"};

static void print_time(int64_t s, char to[TIME_SIZE])
{
    time_t t = (time_t)s;
    struct tm tm = {0};

    MUST(gmtime_r(&t, &tm) != NULL);
    MUST(strftime(to, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
}

static bool parse_time(const char *text, int64_t *s)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (end == NULL || *end != '\0') return false;
    *s = (int64_t)timegm(&tm);
    return true;
}

static bool parse_state(char *word, struct pki_entry *entry)
{
    char *colon = strchr(word, ':');

    if (colon != NULL) {
        *colon = '\0';
        entry->state = PKI_REVOKED;
        return text_equal(word, state_names[PKI_REVOKED]) && parse_time(colon + 1, &entry->revoked_s);
    }
    entry->state = text_equal(word, state_names[PKI_REPLACED]) ? PKI_REPLACED : PKI_CURRENT;
    return text_equal(word, state_names[entry->state]);
}

/* One line without its newline; it is cut into words. */
static bool parse_line(char *line, struct pki_entry *entry)
{
    char *words[WORDS], *rest = line;
    unsigned n = 0;

    memset(entry, 0, sizeof *entry);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (n == WORDS || word[0] == '\0') return false;
        words[n++] = word;
    }
    if (n != WORDS) return false;
    entry->role = tls_role_parse(words[1]);
    if (entry->role == TLS_NOBODY || !tls_name_is_valid(words[2])) return false;
    if (words[0][strspn(words[0], "0123456789abcdef")] != '\0') return false;
    return TEXT_COPY(entry->serial, words[0]) && TEXT_COPY(entry->name, words[2]) &&
           text_to_u64(words[3], &entry->id) && (entry->id != 0) == (entry->role == TLS_MANAGER) &&
           parse_time(words[4], &entry->not_after_s) && parse_state(words[5], entry) &&
           TEXT_COPY(entry->hosts, text_equal(words[6], "-") ? "" : words[6]);
}

int pki__list_add(struct pki_list *list, const struct pki_entry *entry, struct err *e)
{
    if (list->n == PKI_ENTRIES_MAX)
        return err_set(e, -ENOSPC, "the index is full (%d certificates): make a new CA", PKI_ENTRIES_MAX);
    if (list->n == list->room) {
        unsigned room = list->room == 0 ? 64 : list->room * 2;
        struct pki_entry *base = realloc(list->base, room * sizeof *base);

        if (base == NULL) return err_errno(e, -ENOMEM, "index");
        list->base = base;
        list->room = room;
    }
    list->base[list->n++] = *entry;
    return 0;
}

int pki__index_read(const char *path, struct pki_list *list, struct err *e)
{
    struct pki_entry entry;
    char *data, *rest;
    size_t size;
    int rv = file_read(path, INDEX_SIZE_MAX, &data, &size, e);

    if (rv != 0) return rv;
    if (strncmp(data, title, strlen(title)) != 0)
        rv = err_set(e, -EINVAL, "%s: it is no index of this version of Regent (its first line differs)", path);
    rest = data;
    for (unsigned number = 1; rv == 0 && rest != NULL && rest[0] != '\0'; number++) {
        char *line = strsep(&rest, "\n");

        if (line[0] == '#') continue;
        if (parse_line(line, &entry)) rv = pki__list_add(list, &entry, e);
        else
            rv = err_set(e, -EINVAL, "%s:%u: this line is not understood: repair it, or take the file from a backup",
                         path, number);
    }
    free(data);
    return rv;
}

static bool is_forgotten(const struct pki_entry *entry, int64_t now_s)
{
    /* Of managers all are kept: their ids must not come again. */
    return entry->role != TLS_MANAGER && entry->state != PKI_CURRENT && entry->not_after_s + KEPT_S < now_s;
}

static void print_entry(struct text *t, const struct pki_entry *entry)
{
    char at[TIME_SIZE];

    print_time(entry->not_after_s, at);
    text_addf(t, "%s %s %s %llu %s %s", entry->serial, tls_role_name(entry->role), entry->name,
              (unsigned long long)entry->id, at, state_names[entry->state]);
    if (entry->state == PKI_REVOKED) {
        print_time(entry->revoked_s, at);
        text_addf(t, ":%s", at);
    }
    text_addf(t, " %s\n", entry->hosts[0] != '\0' ? entry->hosts : "-");
}

int pki__index_write(const char *path, const struct pki_list *list, int64_t now_s, struct err *e)
{
    size_t size = sizeof title + (size_t)list->n * LINE_SIZE;
    char *data = malloc(size);
    struct text t;
    int rv;

    if (data == NULL) return err_errno(e, -ENOMEM, "save %s", path);
    t = text_on(data, size);
    text_add(&t, title);
    for (unsigned i = 0; i < list->n; i++)
        if (!is_forgotten(&list->base[i], now_s)) print_entry(&t, &list->base[i]);
    MUST(!t.cut);
    rv = file_write_atomic(path, data, t.len, 0644, e);
    free(data);
    return rv;
}
