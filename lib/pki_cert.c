/* Making certificates. Alternative names are built as structures, never as OpenSSL's configuration text: no name can
 * smuggle in another one. */
#include "lib/pki_cert.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/base/text.h"

enum { SERIAL_BYTES = 16, LABEL_MAX = 63, HOST_MAX = 253 };

static int fail(struct err *e, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return err_set(e, -EIO, "%s: %s", what, why != NULL ? why : "no memory");
}

EVP_PKEY *pki_key_new(struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    if (key == NULL) (void)fail(e, "make a key");
    return key;
}

bool pki_host_is_valid(const char *host)
{
    size_t len = strlen(host), label = 0;
    unsigned char address[16];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) return true;
    if (len == 0 || len > HOST_MAX || strspn(host, "0123456789.") == len) return false;
    for (size_t i = 0; i < len; i++) {
        bool is_dot = host[i] == '.', is_edge = label == 0 || i + 1 == len || host[i + 1] == '.';

        if (is_dot ? label == 0 : !isalnum((unsigned char)host[i]) && (host[i] != '-' || is_edge)) return false;
        label = is_dot ? 0 : label + 1;
        if (label > LABEL_MAX) return false;
    }
    return label > 0;
}

/* Copies the host at 'list' into 'host', cut when too long to be one. Returns what follows; NULL at the end. */
static const char *take_host(const char *list, char host[PKI_HOSTS_SIZE])
{
    size_t len = strcspn(list, ",");

    if (list[0] == '\0') return NULL;
    (void)text_copy(host, len + 1 < PKI_HOSTS_SIZE ? len + 1 : PKI_HOSTS_SIZE, list);
    return list[len] == ',' ? list + len + 1 : list + len;
}

static int check_subject(const struct pki_subject *s, struct err *e)
{
    char host[PKI_HOSTS_SIZE];

    if (s->role == TLS_NOBODY) return err_set(e, -EINVAL, "a certificate is for a manager, an agent or an operator");
    if (!tls_name_is_valid(s->name))
        return err_set(e, -EINVAL,
                       "\"%.70s\" is no name: 1 to 63 letters, digits, '.', '_' or '-', a letter or digit first",
                       s->name);
    if (s->role == TLS_MANAGER && (s->id == 0 || s->id > INT64_MAX))
        return err_set(e, -EINVAL, "a manager's certificate needs its Raft id: --id N, from 1 on");
    if (s->role != TLS_MANAGER && s->id != 0) return err_set(e, -EINVAL, "only a manager has an id");
    for (const char *at = s->hosts; (at = take_host(at, host)) != NULL;)
        if (!pki_host_is_valid(host))
            return err_set(e, -EINVAL, "\"%.100s\" is neither a host name nor an address", host);
    if (s->not_before_s >= s->not_after_s) return err_set(e, -EINVAL, "the certificate would end before it begins");
    return 0;
}

/* Takes 'value', also on failure. */
static bool add_name(GENERAL_NAMES *names, int type, void *value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();

    if (name == NULL || value == NULL) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0) return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool add_text(GENERAL_NAMES *names, int type, const char *text)
{
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();

    if (value == NULL || ASN1_STRING_set(value, text, -1) != 1) {
        ASN1_IA5STRING_free(value);
        return false;
    }
    return add_name(names, type, value);
}

static bool add_host(GENERAL_NAMES *names, const char *host)
{
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

    ERR_clear_error();
    if (address != NULL) return add_name(names, GEN_IPADD, address);
    return add_text(names, GEN_DNS, host);
}

static bool add_alternative_names(X509 *cert, const struct pki_subject *s)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    char uri[TLS_NAME_SIZE + 32], host[PKI_HOSTS_SIZE];
    struct text t = TEXT_ON(uri);
    bool good;

    if (names == NULL) return false;
    text_addf(&t, "regent:%s:%s", tls_role_name(s->role), s->name);
    good = add_text(names, GEN_URI, uri);
    if (s->id != 0) {
        t = TEXT_ON(uri);
        text_addf(&t, "regent:id:%llu", (unsigned long long)s->id);
        good = good && add_text(names, GEN_URI, uri);
    }
    for (const char *at = s->hosts; good && (at = take_host(at, host)) != NULL;) good = add_host(names, host);
    good = good && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return good;
}

/* An extension whose text is ours alone. */
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *text)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;
    bool good;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_nconf_nid(NULL, &ctx, nid, text);
    good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

/* 127 random bits: positive, and never as long as to need a padding byte. */
static bool set_random_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    bool good = RAND_bytes(bytes, sizeof bytes) == 1;

    if (good) {
        bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
        number = BN_bin2bn(bytes, sizeof bytes, NULL);
        good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    }
    BN_free(number);
    return good;
}

static bool set_name(X509_NAME *name, const char *common_name)
{
    return name != NULL &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0) == 1;
}

static bool set_times(X509 *cert, int64_t from_s, int64_t until_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from_s) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)until_s) != NULL;
}

X509 *pki_ca_new(const char *name, EVP_PKEY *key, int64_t from_s, int64_t until_s, struct err *e)
{
    char common_name[sizeof "Regent CA " + PKI_CA_NAME_MAX];
    struct text t = TEXT_ON(common_name);
    X509 *ca = X509_new();
    bool good;

    text_addf(&t, "Regent CA %s", name);
    if (!tls_name_is_valid(name) || t.cut) {
        X509_free(ca);
        (void)err_set(e, -EINVAL, "\"%.70s\" is no name for a CA: 1 to %d letters, digits, '.', '_' or '-'", name,
                      PKI_CA_NAME_MAX);
        return NULL;
    }
    good = ca != NULL && X509_set_version(ca, X509_VERSION_3) == 1 && set_random_serial(ca) &&
           set_name(X509_get_subject_name(ca), common_name) && set_name(X509_get_issuer_name(ca), common_name) &&
           set_times(ca, from_s, until_s) && X509_set_pubkey(ca, key) == 1 &&
           add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(ca, ca, NID_subject_key_identifier, "hash") && X509_sign(ca, key, EVP_sha256()) > 0;
    if (good) return ca;
    (void)fail(e, "make the certificate of the CA");
    X509_free(ca);
    return NULL;
}

X509 *pki_cert_new(const struct pki_subject *s, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, struct err *e)
{
    const char *use = s->role == TLS_OPERATOR ? "clientAuth" : "serverAuth,clientAuth";
    X509 *cert;
    bool good;

    if (check_subject(s, e) != 0) return NULL;
    cert = X509_new();
    good = cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_random_serial(cert) &&
           set_name(X509_get_subject_name(cert), s->name) &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
           set_times(cert, s->not_before_s, s->not_after_s) && X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, ca, NID_ext_key_usage, use) &&
           add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
           add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") && add_alternative_names(cert, s) &&
           X509_sign(cert, ca_key, EVP_sha256()) > 0;
    if (good) return cert;
    (void)fail(e, "make a certificate");
    X509_free(cert);
    return NULL;
}

static bool add_revoked(X509_CRL *crl, const struct pki_revoked *r)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    BIGNUM *number = NULL;
    ASN1_INTEGER *serial = BN_hex2bn(&number, r->serial) > 0 ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)r->at_s);
    bool good = entry != NULL && serial != NULL && at != NULL && X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
                X509_REVOKED_set_revocationDate(entry, at) == 1;

    ASN1_TIME_free(at);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    if (good && X509_CRL_add0_revoked(crl, entry) == 1) return true;
    X509_REVOKED_free(entry);
    return false;
}

static bool set_crl_number(X509_CRL *crl, int64_t value)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    bool good = number != NULL && ASN1_INTEGER_set_int64(number, value) == 1 &&
                X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, X509V3_ADD_DEFAULT) == 1;

    ASN1_INTEGER_free(number);
    return good;
}

static bool set_crl_issuer(X509_CRL *crl, X509 *ca)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;
    bool good;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca, NULL, NULL, crl, 0);
    extension = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    good = extension != NULL && X509_CRL_add_ext(crl, extension, -1) == 1 &&
           X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

X509_CRL *pki_crl_new(X509 *ca, EVP_PKEY *ca_key, const struct pki_revoked *list, unsigned n,
                      struct pki_crl_times times)
{
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)times.now_s), *until = ASN1_TIME_set(NULL, (time_t)times.until_s);
    X509_CRL *crl = X509_CRL_new();
    bool good = crl != NULL && now != NULL && until != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
                X509_CRL_set1_lastUpdate(crl, now) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
                set_crl_issuer(crl, ca) && set_crl_number(crl, times.now_s);

    for (unsigned i = 0; good && i < n; i++) good = add_revoked(crl, &list[i]);
    good = good && X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, ca_key, EVP_sha256()) > 0;
    ASN1_TIME_free(now);
    ASN1_TIME_free(until);
    ERR_clear_error();
    if (good) return crl;
    X509_CRL_free(crl);
    return NULL;
}

/* What was written to 'bio' as text; releases it. */
static char *take_text(BIO *bio, bool good)
{
    char *data, *copy = NULL;
    long size = bio != NULL ? BIO_get_mem_data(bio, &data) : 0;

    if (good && size > 0) copy = malloc((size_t)size + 1);
    if (copy != NULL) {
        memcpy(copy, data, (size_t)size);
        copy[size] = '\0';
    }
    BIO_free(bio);
    ERR_clear_error();
    return copy;
}

char *pki_cert_pem(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return take_text(bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
}

char *pki_key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    return take_text(bio, bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

char *pki_crl_pem(X509_CRL *crl)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return take_text(bio, bio != NULL && PEM_write_bio_X509_CRL(bio, crl) == 1);
}

void pki_wipe(char *pem)
{
    if (pem == NULL) return;
    OPENSSL_cleanse(pem, strlen(pem));
    free(pem);
}
