/* Fuzz: who a certificate names. A stranger's certificate is read too, for the line in the log that refuses him. */
#include <openssl/err.h>
#include <openssl/x509.h>

#include "lib/pki_cert.h"
#include "tests/fuzz/fuzz.h"

static void check_identity(const struct tls_identity *id)
{
    MUST(id->role != TLS_NOBODY && tls_name_is_valid(id->name));
    MUST((id->id != 0) == (id->role == TLS_MANAGER));
    MUST(id->serial[strspn(id->serial, "-0123456789abcdef")] == '\0');
}

static bool run(const uint8_t *data, size_t size)
{
    const unsigned char *at = data;
    X509 *cert = d2i_X509(NULL, &at, (long)size);
    struct tls_identity id;
    struct err e = {0};
    char who[64];
    int rv;

    ERR_clear_error();
    if (cert == NULL) return false;
    rv = tls_identity_of(cert, &id, &e);
    if (rv == 0) check_identity(&id);
    else MUST(e.text[0] != '\0');
    tls_describe(cert, who, sizeof who);
    MUST(memchr(who, '\0', sizeof who) != NULL && who[0] != '\0');
    X509_free(cert);
    ERR_clear_error();
    return rv == 0;
}

static void seed_one(enum tls_role role, uint64_t number, const char *hosts)
{
    struct pki_subject s = {.role = role, .name = "m1", .id = number, .not_before_s = 1, .not_after_s = 4000000000};
    EVP_PKEY *key = pki_key_new(NULL);
    X509 *ca = pki_ca_new("fuzz", key, 1, 4000000000, NULL);
    unsigned char *der = NULL;
    X509 *cert;
    int size;

    MUST(ca != NULL);
    memcpy(s.hosts, hosts, strlen(hosts) + 1);
    cert = pki_cert_new(&s, key, ca, key, NULL);
    MUST(cert != NULL);
    size = i2d_X509(cert, &der);
    MUST(size > 0);
    fuzz_put(der, (size_t)size);
    OPENSSL_free(der);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
}

static void seed(void)
{
    seed_one(TLS_MANAGER, 1, "m1.example.org,192.0.2.1,::1");
    seed_one(TLS_MANAGER, INT64_MAX, "");
    seed_one(TLS_AGENT, 0, "");
    seed_one(TLS_OPERATOR, 0, "localhost");
}

FUZZ_TARGET(certificate, run, seed)
