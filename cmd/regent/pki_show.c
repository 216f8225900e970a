/* `regent pki show`: the index of a CA as JSON and as a table, and what it warns of. */
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/pki.h"
#include "cmd/regent/render.h"
#include "cmd/regent/run.h"
#include "lib/clock.h"

enum { CA_WARN_DAYS = 420 }; /* A leaf of full length, and a month to act. */

static int64_t days_left(int64_t end_s, int64_t now_s)
{
    int64_t s = end_s - now_s;

    return s >= 0 ? s / PKI_DAY_S : -((-s + PKI_DAY_S - 1) / PKI_DAY_S);
}

static void set_time(json_t *object, const char *key, int64_t s)
{
    char text[32];

    clock_print((struct wall){s * 1000000}, text);
    MUST(json_object_set_new(object, key, s != 0 ? json_string(text) : json_null()) == 0);
}

static const char *state_of(const struct pki_entry *entry, int64_t now_s)
{
    if (entry->state == PKI_REVOKED) return "revoked";
    if (entry->not_after_s <= now_s) return "expired";
    if (entry->state == PKI_REPLACED) return "replaced";
    return days_left(entry->not_after_s, now_s) < PKI_WARN_DAYS ? "ends soon" : "current";
}

json_t *pki_entry_json(const struct pki_entry *entry, int64_t now_s)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "name", entry->name, "role", tls_role_name(entry->role),
                             "serial", entry->serial, "hosts", entry->hosts, "state", state_of(entry, now_s),
                             "days_left", (json_int_t)days_left(entry->not_after_s, now_s));

    MUST(json != NULL);
    if (entry->id != 0) MUST(json_object_set_new(json, "id", json_integer((json_int_t)entry->id)) == 0);
    set_time(json, "not_after", entry->not_after_s);
    if (entry->state == PKI_REVOKED) set_time(json, "revoked_at", entry->revoked_s);
    return json;
}

static json_t *pki_json(const struct pki *p, const char *dir, int64_t now_s)
{
    struct pki_about about;
    const struct pki_entry *entries;
    json_t *json, *list = json_array(), *ca;
    unsigned n;

    pki_tell(p, &about);
    entries = pki_entries(p, &n);
    for (unsigned i = 0; i < n; i++) MUST(json_array_append_new(list, pki_entry_json(&entries[i], now_s)) == 0);
    ca = json_pack("{s:s, s:I, s:b}", "name", about.ca_name, "days_left",
                   (json_int_t)days_left(about.not_after_s, now_s), "has_key", (int)about.has_key);
    MUST(ca != NULL);
    set_time(ca, "not_after", about.not_after_s);
    set_time(ca, "crl_until", about.crl_until_s);
    json = json_pack("{s:s, s:o, s:o}", "dir", dir, "ca", ca, "certificates", list);
    MUST(json != NULL);
    return json;
}

static void render_one(const struct style *s, struct libscols_table *t, json_t *entry)
{
    const char *state = field(entry, "state");
    char until[11];
    const char *cells[] = {field(entry, "name"),  field(entry, "role"),   field(entry, "id"), until,
                           field(entry, "days_left"), state, field(entry, "serial"), field(entry, "hosts"), NULL};
    struct libscols_line *line;

    snprintf(until, sizeof until, "%.10s", field(entry, "not_after"));
    line = table_line(t, NULL, cells);
    if (colour_name(s, state) != NULL) scols_line_set_color(line, colour_name(s, state));
}

void render_pki(const struct style *s, json_t *pki)
{
    static const char *const columns[] = {"NAME", "ROLE", ">ID", "UNTIL", ">DAYS", "STATE", "SERIAL", "HOSTS", NULL};
    json_t *ca = json_object_get(pki, "ca"), *list = field_array(pki, "certificates"), *entry;
    struct libscols_table *t;
    size_t i;

    fprintf(s->out, "%s in %s, until %.10s (%s days)%s\n", field(ca, "name"), field(pki, "dir"), field(ca, "not_after"),
            field(ca, "days_left"), field_is_true(ca, "has_key") ? "" : "; its key is not here");
    if (json_array_size(list) == 0) {
        fputs("nothing was issued yet\n", s->out);
        return;
    }
    t = table_new(s, columns);
    json_array_foreach(list, i, entry)
    {
        render_one(s, t, entry);
    }
    table_print(s, t, 0);
}

static void warn(const struct pki *p, int64_t now_s)
{
    struct pki_about about;
    const struct pki_entry *entries;
    unsigned n;

    pki_tell(p, &about);
    entries = pki_entries(p, &n);
    for (unsigned i = 0; i < n; i++) {
        int64_t days = days_left(entries[i].not_after_s, now_s);

        if (entries[i].state != PKI_CURRENT || days >= PKI_WARN_DAYS) continue;
        fprintf(stderr, "regent: the certificate of %s %s%s: regent pki renew %s\n", entries[i].name,
                days < 0 ? "has expired" : "ends within 30 days", days < 0 ? ", so it is refused" : "",
                entries[i].name);
    }
    if (days_left(about.not_after_s, now_s) < CA_WARN_DAYS)
        fprintf(stderr, "regent: the CA ends in %" PRId64 " days, and what it issues no later: begin with a new one "
                "(docs/tls.md)\n", days_left(about.not_after_s, now_s));
    if (about.crl_until_s < now_s)
        fputs("regent: crl.pem is missing or old: renew or revoke any certificate, then copy it to the managers\n",
              stderr);
}

enum client_code show_pki(const char *dir, bool is_json)
{
    int64_t now_s = clock_wall().us / 1000000;
    struct err e = {0};
    struct pki *p = pki_open(dir, false, &e);
    json_t *json;

    if (p == NULL) {
        fprintf(stderr, "regent: %s\n", e.text);
        return CLIENT_FAILED;
    }
    json = pki_json(p, dir, now_s);
    if (is_json) {
        print_json(json);
    } else {
        struct style s = style_stdout();

        render_pki(&s, json);
    }
    json_decref(json);
    warn(p, now_s);
    pki_close(p);
    return CLIENT_OK;
}
