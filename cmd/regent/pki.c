/* `regent pki`: the commands around a CA in a directory. No manager is asked; what matters is done by lib/pki. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/regent/pki.h"
#include "cmd/regent/run.h"
#include "lib/base/text.h"
#include "lib/clock.h"

static const char dir_default[] = "/etc/regent/pki";

static const char *dir_of(const struct cli *cli)
{
    return cli->dir != NULL ? cli->dir : dir_default;
}

static int64_t now_s(void)
{
    return clock_wall().us / 1000000;
}

static int64_t end_s(const struct cli *cli, int64_t days_default)
{
    return now_s() + (cli->days != 0 ? (int64_t)cli->days : days_default) * PKI_DAY_S;
}

/* Says why not on stderr. */
static enum client_code fail(int code, const struct err *e)
{
    fprintf(stderr, "regent: %s\n", e->text);
    if (code == -EEXIST) return CLIENT_REFUSED;
    return code == -EINVAL ? CLIENT_USAGE : CLIENT_FAILED;
}

enum client_code run_pki_init(const struct cli *cli)
{
    const char *name = cli->args_n > 0 ? cli->args[0] : "regent", *dir = dir_of(cli);
    struct err e = {0};
    int rv = pki_init(dir, name, end_s(cli, PKI_CA_DAYS), &e);

    if (rv != 0) return fail(rv, &e);
    if (cli->json) return show_pki(dir, true);
    printf("Regent CA %s is made: %s/ca.crt, its key ca.key, and crl.pem, which revokes nothing yet.\n"
           "Who has ca.key can make himself a manager: keep it from others, best on no host of the group.\n"
           "Next: regent pki issue manager NAME --host HOST, for each manager; regent pki issue operator operator\n",
           name, dir);
    return CLIENT_OK;
}

/* The options --host as one list. */
static int join_hosts(const struct cli *cli, char to[PKI_HOSTS_SIZE], struct err *e)
{
    struct text t = text_on(to, PKI_HOSTS_SIZE);

    for (unsigned i = 0; i < cli->hosts_n; i++) text_addf(&t, "%s%s", i > 0 ? "," : "", cli->hosts[i]);
    return t.cut ? err_set(e, -EINVAL, "--host: more than %d characters in all", PKI_HOSTS_SIZE - 1) : 0;
}

static void tell_issued(const struct cli *cli, const struct pki_entry *entry, const char *verb)
{
    const char *dir = dir_of(cli);
    char date[32];

    if (cli->json) {
        json_t *json = pki_entry_json(entry, now_s());

        print_json(json);
        json_decref(json);
        return;
    }
    tls_time_print(entry->not_after_s, date);
    printf("%s: %s %s", verb, tls_role_name(entry->role), entry->name);
    if (entry->id != 0) printf(", id %" PRIu64, entry->id);
    printf(", valid until %.10s: %s/%s.crt and its key %s.key\n", date, dir, entry->name, entry->name);
}

static void tell_cut(const struct pki_entry *entry, int64_t wanted_s)
{
    if (entry->not_after_s < wanted_s)
        fputs("regent: it ends with the CA, earlier than asked for: time for a new CA (docs/tls.md)\n", stderr);
}

static int issue(struct pki *p, const struct cli *cli, struct pki_subject *s, struct err *e)
{
    struct pki_entry entry;
    const char *before;
    int rv;

    if (s->role == TLS_MANAGER && s->id == 0) s->id = pki_next_id(p);
    rv = pki_issue(p, s, &entry, e);
    if (rv != 0) return rv;
    tell_issued(cli, &entry, "issued");
    tell_cut(&entry, s->not_after_s);
    before = pki_id_was_of(p, s->id, s->name);
    if (before != NULL)
        fprintf(stderr, "regent: id %" PRIu64 " was manager %s's: a group never uses an id again; is this meant?\n",
                s->id, before);
    if (!cli->json && s->role == TLS_OPERATOR)
        printf("His host needs ca.crt, crl.pem, and these two as operator.crt and operator.key, in /etc/regent/tls or "
               "a directory\nnamed by --tls-dir. No copy of the key need stay here.\n");
    else if (!cli->json)
        printf("Its host needs ca.crt, crl.pem, %s.crt and %s.key. No copy of the key need stay here.\n", s->name,
               s->name);
    return 0;
}

enum client_code run_pki_issue(const struct cli *cli)
{
    struct pki_subject s = {.role = tls_role_parse(cli->args[0]),
                            .id = cli->id,
                            .not_before_s = now_s() - PKI_BACKDATE_S,
                            .not_after_s = end_s(cli, PKI_DAYS)};
    struct err e = {0};
    struct pki *p;
    int rv;

    if (s.role == TLS_NOBODY) {
        fprintf(stderr, "regent: \"%s\" is no role: manager, agent or operator\n", cli->args[0]);
        return CLIENT_USAGE;
    }
    if (!TEXT_COPY(s.name, cli->args[1])) {
        fprintf(stderr, "regent: a name has at most %d characters\n", TLS_NAME_SIZE - 1);
        return CLIENT_USAGE;
    }
    rv = join_hosts(cli, s.hosts, &e);
    if (rv != 0) return fail(rv, &e);
    p = pki_open(dir_of(cli), true, &e);
    if (p == NULL) return fail(e.code == -EINVAL ? -EIO : e.code, &e);
    rv = issue(p, cli, &s, &e);
    pki_close(p);
    return rv == 0 ? CLIENT_OK : fail(rv, &e);
}

enum client_code run_pki_renew(const struct cli *cli)
{
    struct pki_entry entry, old = {0};
    struct err e = {0};
    struct pki *p = pki_open(dir_of(cli), true, &e);
    int rv;

    if (p == NULL) return fail(-EIO, &e);
    if (pki_current(p, cli->args[0]) != NULL) old = *pki_current(p, cli->args[0]);
    rv = pki_renew(p, cli->args[0], end_s(cli, PKI_DAYS), &entry, &e);
    pki_close(p);
    if (rv != 0) return fail(rv, &e);
    tell_issued(cli, &entry, "renewed");
    tell_cut(&entry, end_s(cli, PKI_DAYS) - 1);
    if (!cli->json && old.not_after_s > now_s())
        printf("Put both where the old ones are; the program sees it by itself. The old certificate is valid until its "
               "end. If\nits key may be known to others: regent pki revoke %s\n",
               old.serial);
    return CLIENT_OK;
}

enum client_code run_pki_revoke(const struct cli *cli)
{
    struct err e = {0};
    const char *dir = dir_of(cli);
    struct pki *p = pki_open(dir, true, &e);
    int n;

    if (p == NULL) return fail(-EIO, &e);
    n = pki_revoke(p, cli->args[0], &e);
    pki_close(p);
    if (n < 0) return fail(n, &e);
    if (cli->json) return show_pki(dir, true);
    if (n == 0) printf("%s was revoked before; %s/crl.pem is written anew.\n", cli->args[0], dir);
    else printf("%d certificate%s of %s revoked.\n", n, n == 1 ? "" : "s", cli->args[0]);
    printf("Copy %s/crl.pem to every manager: each reads it within seconds, and then ends what is connected with it.\n",
           dir);
    return CLIENT_OK;
}

enum client_code run_pki_show(const struct cli *cli)
{
    return show_pki(dir_of(cli), cli->json);
}
