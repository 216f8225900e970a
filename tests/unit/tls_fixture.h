/* A CA in a temporary directory, certificates of every kind, and handshakes in memory. For tests of TLS. */
#ifndef REGENT_TESTS_TLS_FIXTURE_H
#define REGENT_TESTS_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "lib/pki_cert.h"
#include "lib/tls.h"

enum { FIXTURE_DAY_S = 24 * 3600, FIXTURE_PATH_SIZE = 256 };

struct fixture_ca {
    EVP_PKEY *key;
    X509 *cert;
};

struct tls_fixture {
    char dir[64];
    struct fixture_ca ca, other; /* 'other' has the same name, but another key. */
};

static inline int64_t fixture_now_s(void)
{
    return (int64_t)time(NULL);
}

/* Lives until the fourth next call. */
static inline const char *fixture_path(const struct tls_fixture *f, const char *name, const char *suffix)
{
    static char paths[4][FIXTURE_PATH_SIZE];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, FIXTURE_PATH_SIZE, "%s/%s%s", f->dir, name, suffix);
    return path;
}

static inline void fixture_save(const char *path, char *pem, mode_t mode)
{
    struct err e = {0};

    assert_non_null(pem);
    if (file_write_atomic(path, pem, strlen(pem), mode, &e) != 0) fail_msg("%s", e.text);
    pki_wipe(pem);
}

static inline struct fixture_ca fixture_ca_new(const char *name)
{
    int64_t now_s = fixture_now_s();
    struct fixture_ca ca;

    ca.key = pki_key_new(NULL);
    assert_non_null(ca.key);
    ca.cert = pki_ca_new(name, ca.key, now_s - FIXTURE_DAY_S * 400, now_s + FIXTURE_DAY_S * 3650, NULL);
    assert_non_null(ca.cert);
    return ca;
}

static inline void fixture_ca_free(struct fixture_ca *ca)
{
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
}

/* Writes NAME.crt and NAME.key, signed by 'ca', and tells the serial. */
static inline void fixture_write_cert(const struct tls_fixture *f, const struct fixture_ca *ca, const char *file,
                                      const struct pki_subject *s, char serial[TLS_SERIAL_SIZE])
{
    EVP_PKEY *key = pki_key_new(NULL);
    struct err e = {0};
    X509 *cert = pki_cert_new(s, key, ca->cert, ca->key, &e);

    if (cert == NULL) fail_msg("%s", e.text);
    fixture_save(fixture_path(f, file, ".crt"), pki_cert_pem(cert), 0644);
    fixture_save(fixture_path(f, file, ".key"), pki_key_pem(key), 0600);
    if (serial != NULL) assert_true(tls_serial_print(X509_get0_serialNumber(cert), serial));
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* A subject that is valid now; managers get 'id'. */
static inline struct pki_subject fixture_subject(enum tls_role role, const char *name, uint64_t id)
{
    struct pki_subject s = {.role = role,
                            .id = id,
                            .not_before_s = fixture_now_s() - 300,
                            .not_after_s = fixture_now_s() + FIXTURE_DAY_S * 397};

    assert_true(TEXT_COPY(s.name, name));
    return s;
}

static inline void fixture_issue(const struct tls_fixture *f, enum tls_role role, const char *name, uint64_t id)
{
    struct pki_subject s = fixture_subject(role, name, id);

    fixture_write_cert(f, &f->ca, name, &s, NULL);
}

/* Writes 'file'.pem with the given serials revoked; its next update lies 'until_s' from now. */
static inline void fixture_write_crl(const struct tls_fixture *f, const char *file, const char *serial, int64_t until_s)
{
    struct pki_revoked list[1] = {{.at_s = fixture_now_s()}};
    struct pki_crl_times times = {.now_s = fixture_now_s() - FIXTURE_DAY_S, .until_s = fixture_now_s() + until_s};
    X509_CRL *crl;

    if (serial != NULL) (void)TEXT_COPY(list[0].serial, serial);
    crl = pki_crl_new(f->ca.cert, f->ca.key, list, serial != NULL, times);
    assert_non_null(crl);
    fixture_save(fixture_path(f, file, ".pem"), pki_crl_pem(crl), 0644);
    X509_CRL_free(crl);
}

static inline struct tls_files fixture_files(const struct tls_fixture *f, const char *name, const char *crl)
{
    struct tls_files files = {0};

    (void)TEXT_COPY(files.ca, fixture_path(f, "ca", ".crt"));
    (void)TEXT_COPY(files.cert, fixture_path(f, name, ".crt"));
    (void)TEXT_COPY(files.key, fixture_path(f, name, ".key"));
    if (crl != NULL) (void)TEXT_COPY(files.crl, fixture_path(f, crl, ".pem"));
    return files;
}

static inline struct tls *fixture_open(const struct tls_fixture *f, const char *name, const char *crl)
{
    struct tls_files files = fixture_files(f, name, crl);
    struct err e = {0};
    struct tls *t = tls_open(&files, &e);

    if (t == NULL) fail_msg("%s: %s", name, e.text);
    return t;
}

static inline void fixture_init(struct tls_fixture *f)
{
    memset(f, 0, sizeof *f);
    (void)TEXT_COPY(f->dir, "/tmp/regent-test-tls.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->ca = fixture_ca_new("test");
    f->other = fixture_ca_new("test");
    fixture_save(fixture_path(f, "ca", ".crt"), pki_cert_pem(f->ca.cert), 0644);
    fixture_save(fixture_path(f, "other", ".crt"), pki_cert_pem(f->other.cert), 0644);
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void fixture_fini(struct tls_fixture *f)
{
    fixture_ca_free(&f->ca);
    fixture_ca_free(&f->other);
    (void)nftw(f->dir, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Two ends that meet in memory. */
struct meeting {
    SSL *accepted, *called;
    bool has_accepted, has_called; /* Handshake and, for the caller, the first byte of the other side came well. */
    struct err accept_error, call_error;
};

/* One attempt of one side: true when it stands still with success, false otherwise. */
static inline bool meeting_step(SSL *ssl, struct err *e, bool *is_over)
{
    int rv;

    if (*is_over) return e->code == 0;
    ERR_clear_error();
    rv = SSL_do_handshake(ssl);
    if (rv == 1) return true;
    rv = SSL_get_error(ssl, rv);
    if (rv == SSL_ERROR_WANT_READ || rv == SSL_ERROR_WANT_WRITE) return false;
    (void)tls_why(ssl, e);
    *is_over = true;
    return false;
}

/* Lets both shake hands, and the caller read one byte: in TLS 1.3 he learns only there that he was refused. */
static inline void meeting_run(struct meeting *m)
{
    bool accept_over = false, call_over = false, has_byte = false;
    BIO *a, *b;
    char byte = 0;

    assert_int_equal(BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16), 1);
    SSL_set_bio(m->accepted, a, a);
    SSL_set_bio(m->called, b, b);
    for (int i = 0; i < 16; i++) {
        bool called = meeting_step(m->called, &m->call_error, &call_over);
        int n;

        if (meeting_step(m->accepted, &m->accept_error, &accept_over) && !m->has_accepted) {
            m->has_accepted = true;
            ERR_clear_error();
            assert_int_equal(SSL_write(m->accepted, "x", 1), 1);
        }
        if (!called || has_byte || call_over) continue;
        ERR_clear_error();
        n = SSL_read(m->called, &byte, 1);
        has_byte = n == 1;
        if (n == 1 || SSL_get_error(m->called, n) == SSL_ERROR_WANT_READ) continue;
        (void)tls_why(m->called, &m->call_error);
        call_over = true;
    }
    m->has_called = has_byte && byte == 'x';
}

static inline void meeting_fini(struct meeting *m)
{
    SSL_free(m->accepted);
    SSL_free(m->called);
    memset(m, 0, sizeof *m);
}

#endif
