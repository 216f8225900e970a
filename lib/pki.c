/* The directory of a CA and what is done with it.
 *
 * Happy path of a change: lock, read CA, key and index; make key and certificate in memory; write the index, then the
 * key, then the certificate, then the CRL. Failure modes: whatever fails before the index changes nothing; after it,
 * the entry stands without (all of) its files, and the owner's old files are still good until `renew` is repeated. */
#include "lib/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/pki_private.h"

enum { PATH_SIZE = 512, PEM_MAX = 1 << 20, CRL_MAX = 16 << 20, CRL_DAYS = 397, CRL_KEPT_S = 30 * PKI_DAY_S };

struct pki {
    char dir[PATH_SIZE - TLS_NAME_SIZE - 8];
    int lock_fd; /* -1: opened to read. */
    X509 *ca;
    EVP_PKEY *ca_key; /* NULL: opened to read. */
    struct pki_list list;
};

static int64_t now_s(void)
{
    return clock_wall().us / 1000000;
}

/* 'name' and 'suffix' in the directory. The sizes leave room for any name. */
static void path_in(const char *dir, const char *name, const char *suffix, char to[PATH_SIZE])
{
    struct text t = text_on(to, PATH_SIZE);

    text_addf(&t, "%s/%s%s", dir, name, suffix);
    MUST(!t.cut);
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Takes 'pem'. */
static int save_pem(const char *path, char *pem, mode_t mode, struct err *e)
{
    int rv = pem == NULL ? err_errno(e, -ENOMEM, "save %s", path)
                         : file_write_atomic(path, pem, strlen(pem), mode, e);

    pki_wipe(pem);
    return rv;
}

static X509 *read_cert(const char *path, struct err *e)
{
    char *data;
    size_t size;
    X509 *cert;
    BIO *bio;

    if (file_read(path, PEM_MAX, &data, &size, e) != 0) return NULL;
    bio = BIO_new_mem_buf(data, (int)size);
    cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    free(data);
    ERR_clear_error();
    if (cert == NULL) (void)err_set(e, -EINVAL, "%s: it holds no certificate that can be read", path);
    return cert;
}

static int ask_nobody(char *to, int size, int is_writing, void *arg)
{
    (void)to;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

static int read_ca_key(struct pki *p, struct err *e)
{
    char path[PATH_SIZE], *data;
    struct stat st;
    size_t size;
    BIO *bio;

    path_in(p->dir, "ca", ".key", path);
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return err_set(e, -EACCES,
                       "%s: others may read or write the key of the CA (mode %04o): chmod 600 it, and if they were "
                       "strangers make a new CA (docs/tls.md)",
                       path, (unsigned)st.st_mode & 07777);
    if (file_read(path, PEM_MAX, &data, &size, e) != 0)
        return err_wrap(e, -ENOENT, "the CA's key is needed for this; it may be a link to a medium that is not there");
    bio = BIO_new_mem_buf(data, (int)size);
    p->ca_key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, ask_nobody, NULL) : NULL;
    BIO_free(bio);
    pki_wipe(data);
    if (p->ca_key == NULL || X509_check_private_key(p->ca, p->ca_key) != 1) {
        ERR_clear_error();
        return err_set(e, -EINVAL, "%s: it is not the key of ca.crt there", path);
    }
    return 0;
}

static int take_dir(struct pki *p, const char *dir, struct err *e)
{
    if (TEXT_COPY(p->dir, dir) && dir[0] != '\0') return 0;
    return err_set(e, -ENAMETOOLONG, "\"%.60s...\": a path of at most %zu bytes, please", dir, sizeof p->dir - 1);
}

static int open_all(struct pki *p, bool to_change, struct err *e)
{
    char path[PATH_SIZE];
    int rv;

    path_in(p->dir, "ca", ".crt", path);
    if (!is_there(path))
        return err_set(e, -ENOENT, "there is no CA in %s: `regent pki init --dir %s` makes one", p->dir, p->dir);
    p->ca = read_cert(path, e);
    if (p->ca == NULL) return -EINVAL;
    if (to_change) {
        path_in(p->dir, "lock", "", path);
        p->lock_fd = file_lock(path, e);
        rv = p->lock_fd < 0 ? p->lock_fd : read_ca_key(p, e);
        if (rv != 0) return rv;
    }
    path_in(p->dir, "index", "", path);
    return pki__index_read(path, &p->list, e);
}

static struct pki *new_pki(struct err *e)
{
    struct pki *p = calloc(1, sizeof *p);

    if (p == NULL) (void)err_errno(e, -ENOMEM, "PKI");
    else p->lock_fd = -1;
    return p;
}

struct pki *pki_open(const char *dir, bool to_change, struct err *e)
{
    struct pki *p = new_pki(e);

    if (p == NULL) return NULL;
    if (take_dir(p, dir, e) == 0 && open_all(p, to_change, e) == 0) return p;
    pki_close(p);
    return NULL;
}

void pki_close(struct pki *p)
{
    if (p == NULL) return;
    if (p->lock_fd >= 0) (void)close(p->lock_fd);
    X509_free(p->ca);
    EVP_PKEY_free(p->ca_key);
    free(p->list.base);
    free(p);
}

const struct pki_entry *pki_entries(const struct pki *p, unsigned *n)
{
    *n = p->list.n;
    return p->list.base;
}

static struct pki_entry *find_current(const struct pki *p, const char *name)
{
    for (unsigned i = 0; i < p->list.n; i++) {
        struct pki_entry *entry = &p->list.base[i];

        if (entry->state == PKI_CURRENT && text_equal(entry->name, name)) return entry;
    }
    return NULL;
}

const struct pki_entry *pki_current(const struct pki *p, const char *name)
{
    return find_current(p, name);
}

uint64_t pki_next_id(const struct pki *p)
{
    uint64_t next = 1;

    for (unsigned i = 0; i < p->list.n; i++)
        if (p->list.base[i].id >= next) next = p->list.base[i].id + 1;
    return next;
}

const char *pki_id_was_of(const struct pki *p, uint64_t id, const char *name)
{
    for (unsigned i = 0; id != 0 && i < p->list.n; i++)
        if (p->list.base[i].id == id && !text_equal(p->list.base[i].name, name)) return p->list.base[i].name;
    return NULL;
}

void pki_tell(const struct pki *p, struct pki_about *about)
{
    char path[PATH_SIZE], *data;
    size_t size;
    X509_CRL *crl = NULL;
    BIO *bio;

    memset(about, 0, sizeof *about);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(p->ca), NID_commonName, about->ca_name,
                                    sizeof about->ca_name);
    about->not_after_s = tls_time_s(X509_get0_notAfter(p->ca));
    path_in(p->dir, "ca", ".key", path);
    about->has_key = access(path, R_OK) == 0;
    path_in(p->dir, "crl", ".pem", path);
    if (file_read(path, CRL_MAX, &data, &size, NULL) != 0) return;
    bio = BIO_new_mem_buf(data, (int)size);
    if (bio != NULL) crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    if (crl != NULL) about->crl_until_s = tls_time_s(X509_CRL_get0_nextUpdate(crl));
    X509_CRL_free(crl);
    BIO_free(bio);
    free(data);
    ERR_clear_error();
}

static int save_index(const struct pki *p, struct err *e)
{
    char path[PATH_SIZE];

    path_in(p->dir, "index", "", path);
    return pki__index_write(path, &p->list, now_s(), e);
}

/* All that were revoked and could still be taken for good, also by a clock that is behind. */
static int save_crl(const struct pki *p, struct err *e)
{
    struct pki_crl_times times = {.now_s = now_s() - PKI_BACKDATE_S, .until_s = now_s() + CRL_DAYS * PKI_DAY_S};
    struct pki_revoked *list = calloc(p->list.n + 1, sizeof *list);
    char path[PATH_SIZE];
    X509_CRL *crl = NULL;
    unsigned n = 0;
    int rv;

    path_in(p->dir, "crl", ".pem", path);
    for (unsigned i = 0; list != NULL && i < p->list.n; i++) {
        const struct pki_entry *entry = &p->list.base[i];

        if (entry->state != PKI_REVOKED || entry->not_after_s + CRL_KEPT_S < now_s()) continue;
        (void)TEXT_COPY(list[n].serial, entry->serial);
        list[n++].at_s = entry->revoked_s;
    }
    if (list != NULL) crl = pki_crl_new(p->ca, p->ca_key, list, n, times);
    rv = save_pem(path, crl != NULL ? pki_crl_pem(crl) : NULL, 0644, e);
    X509_CRL_free(crl);
    free(list);
    return rv;
}

static int make_ca(struct pki *p, const char *name, int64_t not_after_s, struct err *e)
{
    char path[PATH_SIZE];
    int rv;

    path_in(p->dir, "ca", ".crt", path);
    if (is_there(path)) return err_set(e, -EEXIST, "%s is there already: a CA is never overwritten", path);
    p->ca_key = pki_key_new(e);
    if (p->ca_key == NULL) return -EIO;
    p->ca = pki_ca_new(name, p->ca_key, now_s() - PKI_BACKDATE_S, not_after_s, e);
    if (p->ca == NULL) return e != NULL && e->code != 0 ? e->code : -EIO;
    /* The certificate last: without it, init can be repeated. */
    path_in(p->dir, "ca", ".key", path);
    rv = save_pem(path, pki_key_pem(p->ca_key), 0600, e);
    if (rv == 0) rv = save_crl(p, e);
    if (rv == 0) rv = save_index(p, e);
    path_in(p->dir, "ca", ".crt", path);
    return rv == 0 ? save_pem(path, pki_cert_pem(p->ca), 0644, e) : rv;
}

int pki_init(const char *dir, const char *name, int64_t not_after_s, struct err *e)
{
    struct pki *p = new_pki(e);
    char path[PATH_SIZE];
    int rv;

    if (p == NULL) return -ENOMEM;
    rv = take_dir(p, dir, e);
    if (rv == 0 && not_after_s <= now_s()) rv = err_set(e, -EINVAL, "the CA would have ended already");
    if (rv == 0) rv = file_make_dirs(p->dir, 0700, e);
    if (rv == 0) {
        path_in(p->dir, "lock", "", path);
        p->lock_fd = file_lock(path, e);
        rv = p->lock_fd < 0 ? p->lock_fd : make_ca(p, name, not_after_s, e);
    }
    pki_close(p);
    return rv;
}

/* Key and certificate for 's' in memory, and the entry that the index gets. */
static int make_leaf(struct pki *p, struct pki_subject *s, EVP_PKEY **key, X509 **cert, struct err *e)
{
    int64_t ca_end_s = tls_time_s(X509_get0_notAfter(p->ca));

    if (text_equal(s->name, "ca")) return err_set(e, -EINVAL, "\"ca\" is the CA's own name here: choose another");
    if (s->not_after_s > ca_end_s) s->not_after_s = ca_end_s;
    *key = pki_key_new(e);
    if (*key == NULL) return -EIO;
    *cert = pki_cert_new(s, *key, p->ca, p->ca_key, e);
    return *cert != NULL ? 0 : -EINVAL;
}

static int save_leaf(struct pki *p, const struct pki_entry *entry, EVP_PKEY *key, X509 *cert, struct err *e)
{
    char path[PATH_SIZE];
    int rv = save_index(p, e);

    path_in(p->dir, entry->name, ".key", path);
    if (rv == 0) rv = save_pem(path, pki_key_pem(key), 0600, e);
    path_in(p->dir, entry->name, ".crt", path);
    if (rv == 0) rv = save_pem(path, pki_cert_pem(cert), 0644, e);
    return rv == 0 ? save_crl(p, e) : rv;
}

/* What issue and renew share, after their own checks. */
static int give(struct pki *p, const struct pki_subject *wanted, struct pki_entry *issued, struct err *e)
{
    struct pki_subject s = *wanted;
    struct pki_entry entry = {.role = s.role, .state = PKI_CURRENT, .id = s.id};
    const struct pki_entry *old;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    size_t old_i;
    int rv = make_leaf(p, &s, &key, &cert, e);

    if (rv == 0) {
        (void)TEXT_COPY(entry.name, s.name);
        (void)TEXT_COPY(entry.hosts, s.hosts);
        entry.not_after_s = s.not_after_s;
        MUST(tls_serial_print(X509_get0_serialNumber(cert), entry.serial));
        old = find_current(p, s.name);
        old_i = old != NULL ? (size_t)(old - p->list.base) : SIZE_MAX;
        rv = pki__list_add(&p->list, &entry, e); /* The list may have moved. */
        if (rv == 0 && old_i != SIZE_MAX) p->list.base[old_i].state = PKI_REPLACED;
        if (rv == 0) rv = save_leaf(p, &entry, key, cert, e);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    if (rv == 0) *issued = entry;
    return rv;
}

int pki_issue(struct pki *p, const struct pki_subject *s, struct pki_entry *issued, struct err *e)
{
    const struct pki_entry *old = find_current(p, s->name);

    if (old != NULL)
        return err_set(e, -EEXIST,
                       "%s %s has a certificate (serial %s): `regent pki renew %s` replaces it, or revoke it first",
                       tls_role_name(old->role), old->name, old->serial, old->name);
    for (unsigned i = 0; s->id != 0 && i < p->list.n; i++) {
        old = &p->list.base[i];
        if (old->id == s->id && old->state == PKI_CURRENT)
            return err_set(e, -EEXIST,
                           "manager %s has a certificate for id %llu, and two members with one id would vote twice: "
                           "take another id, or revoke it first",
                           old->name, (unsigned long long)s->id);
    }
    return give(p, s, issued, e);
}

int pki_renew(struct pki *p, const char *name, int64_t not_after_s, struct pki_entry *issued, struct err *e)
{
    const struct pki_entry *old = find_current(p, name);
    struct pki_subject s = {.not_before_s = now_s() - PKI_BACKDATE_S, .not_after_s = not_after_s};

    if (old == NULL)
        return err_set(e, -ENOENT, "\"%.70s\" has no current certificate in %s: `regent pki issue` makes one", name,
                       p->dir);
    s.role = old->role;
    s.id = old->id;
    (void)TEXT_COPY(s.name, old->name);
    (void)TEXT_COPY(s.hosts, old->hosts);
    return give(p, &s, issued, e);
}

int pki_revoke(struct pki *p, const char *which, struct err *e)
{
    bool is_name = false, was_revoked = false;
    int64_t now = now_s();
    int n = 0, rv;

    for (unsigned i = 0; i < p->list.n; i++) is_name |= text_equal(p->list.base[i].name, which);
    for (unsigned i = 0; i < p->list.n; i++) {
        struct pki_entry *entry = &p->list.base[i];

        if (!text_equal(is_name ? entry->name : entry->serial, which)) continue;
        was_revoked |= entry->state == PKI_REVOKED;
        if (entry->state == PKI_REVOKED) continue;
        if (entry->state == PKI_REPLACED && entry->not_after_s < now) continue;
        entry->state = PKI_REVOKED;
        entry->revoked_s = now;
        n++;
    }
    if (n == 0 && !was_revoked)
        return err_set(e, -ENOENT, "no certificate in %s has the name or serial number \"%.70s\"", p->dir, which);
    rv = save_index(p, e);
    if (rv == 0) rv = save_crl(p, e);
    return rv == 0 ? n : rv;
}
