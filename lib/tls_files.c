/* Certificates, key and CRLs from files, all of one moment: read with a bound each, parsed, and checked to fit together
 * before anything of them is used. Whatever is wrong is told with the file's name and what to do. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/tls_private.h"

enum { PEM_SIZE_MAX = 1 << 20, CRL_SIZE_MAX = 16 << 20, CRLS_MAX = 32, CHAIN_MAX = 8 };

const char *tls__queue_text(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return reason != NULL ? reason : "no reason given";
}

/* Nobody may ask for a passphrase: a daemon has no terminal. */
static int no_passphrase(char *to, int size, int is_writing, void *arg)
{
    (void)to;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

/* A file's bytes as a BIO over '*data', which the caller frees after the BIO. */
static BIO *open_pem(const char *path, size_t max, char **data, struct err *e)
{
    size_t size;
    BIO *bio;

    if (file_read(path, max, data, &size, e) != 0) return NULL;
    bio = BIO_new_mem_buf(*data, (int)size);
    if (bio == NULL) {
        free(*data);
        *data = NULL;
        (void)err_errno(e, -ENOMEM, "read %s", path);
    }
    ERR_clear_error();
    return bio;
}

/* Whether reading ended because there was no more, not because of a broken block. Empties the queue. */
static bool ended_well(void)
{
    unsigned long last = ERR_peek_last_error();
    bool well = last == 0 || (ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE);

    ERR_clear_error();
    return well;
}

/* All certificates of a file, 1 to 'max'. */
static STACK_OF(X509) *read_certs(const char *path, int max, struct err *e)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    char *data = NULL;
    BIO *bio = certs != NULL ? open_pem(path, PEM_SIZE_MAX, &data, e) : NULL;
    X509 *cert;
    int n;

    while (bio != NULL && sk_X509_num(certs) <= max && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        MUST(sk_X509_push(certs, cert) > 0);
    n = sk_X509_num(certs);
    BIO_free(bio);
    free(data);
    if (bio != NULL && n > 0 && n <= max && ended_well()) return certs;
    if (bio != NULL && n > max) (void)err_set(e, -EINVAL, "%s: it holds more than %d certificates", path, max);
    else if (bio != NULL) (void)err_set(e, -EINVAL, "%s: it holds %s", path,
                                        n == 0 ? "no certificate in PEM form" : "a certificate that cannot be read");
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return NULL;
}

static int add_crl(struct tls_set *set, X509_CRL *crl)
{
    int64_t until_s = tls_time_s(X509_CRL_get0_nextUpdate(crl));

    if (until_s != 0 && (set->crl_until_s == 0 || until_s < set->crl_until_s)) set->crl_until_s = until_s;
    if (sk_X509_CRL_push(set->crls, crl) <= 0) {
        X509_CRL_free(crl);
        return -ENOMEM;
    }
    return X509_STORE_add_crl(set->store, crl) == 1 ? 0 : -EINVAL;
}

static int read_crls(struct tls_set *set, const char *path, struct err *e)
{
    char *data = NULL;
    X509_CRL *crl;
    BIO *bio;
    int rv = 0, n;

    if (path[0] == '\0') return 0;
    bio = open_pem(path, CRL_SIZE_MAX, &data, e);
    if (bio == NULL) return -EINVAL;
    while (rv == 0 && sk_X509_CRL_num(set->crls) <= CRLS_MAX &&
           (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL)
        rv = add_crl(set, crl);
    n = sk_X509_CRL_num(set->crls);
    BIO_free(bio);
    free(data);
    if (rv == 0 && n > 0 && n <= CRLS_MAX && ended_well()) {
        (void)X509_STORE_set_flags(set->store, X509_V_FLAG_CRL_CHECK);
        return 0;
    }
    ERR_clear_error();
    if (n > CRLS_MAX) return err_set(e, -EINVAL, "%s: it holds more than %d CRLs", path, CRLS_MAX);
    return err_set(e, -EINVAL, "%s: it holds %s", path,
                   n == 0 ? "no CRL in PEM form" : "a CRL that cannot be read");
}

static int read_anchors(struct tls_set *set, const char *path, struct err *e)
{
    STACK_OF(X509) *certs = read_certs(path, TLS_ANCHORS_MAX, e);
    int rv = certs != NULL ? 0 : -EINVAL;

    for (int i = 0; rv == 0 && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);

        if (X509_check_ca(cert) == 0)
            rv = err_set(e, -EINVAL, "%s: certificate %d in it is none of a CA, so it must not be trusted as one", path,
                         i + 1);
        else if (X509_STORE_add_cert(set->store, cert) != 1)
            rv = err_set(e, -EINVAL, "%s: %s", path, tls__queue_text());
        else set->anchors[set->anchors_n++] = tls_cert_digest(cert);
    }
    sk_X509_pop_free(certs, X509_free);
    return rv;
}

/* The rule of PostgreSQL: a key is for its owner alone; one that root owns may be read by a group. */
static int check_key_mode(const char *path, struct err *e)
{
    struct stat st;
    mode_t forbidden;

    if (stat(path, &st) != 0) return err_errno(e, -errno, "read %s", path);
    forbidden = S_IRWXO | S_IXGRP | S_IWGRP | (st.st_uid == 0 ? 0 : S_IRGRP);
    if ((st.st_mode & forbidden) == 0) return 0;
    return err_set(e, -EACCES,
                   "%s: others may read or write this private key (mode %04o), so it may be known to them: chmod 600 "
                   "it, and renew it if they were strangers",
                   path, (unsigned)st.st_mode & 07777);
}

static EVP_PKEY *read_key(const char *path, struct err *e)
{
    char *data = NULL;
    EVP_PKEY *key;
    BIO *bio;

    if (check_key_mode(path, e) != 0) return NULL;
    bio = open_pem(path, PEM_SIZE_MAX, &data, e);
    if (bio == NULL) return NULL;
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    OPENSSL_cleanse(data, strlen(data));
    free(data);
    if (key == NULL)
        (void)err_set(e, -EINVAL, "%s: it holds no private key that can be read (PEM, without a passphrase)", path);
    ERR_clear_error();
    return key;
}

static int read_own(struct tls_set *set, const struct tls_files *files, struct err *e)
{
    int rv;

    set->chain = read_certs(files->cert, CHAIN_MAX, e);
    if (set->chain == NULL) return -EINVAL;
    set->cert = sk_X509_shift(set->chain);
    set->self_digest = tls_cert_digest(set->cert);
    rv = tls_identity_of(set->cert, &set->self, e);
    if (rv != 0) return err_wrap(e, rv, "%s: the certificate is of no use here", files->cert);
    set->key = read_key(files->key, e);
    if (set->key == NULL) return -EINVAL;
    if (X509_check_private_key(set->cert, set->key) == 1) return 0;
    ERR_clear_error();
    return err_set(e, -EINVAL,
                   "%s does not belong to the certificate %s: copy both of one `regent pki issue` or `renew`",
                   files->key, files->cert);
}

void tls__set_free(struct tls_set *set)
{
    if (set == NULL) return;
    SSL_CTX_free(set->accepting);
    SSL_CTX_free(set->calling);
    X509_STORE_free(set->store);
    sk_X509_CRL_pop_free(set->crls, X509_CRL_free);
    sk_X509_pop_free(set->chain, X509_free);
    X509_free(set->cert);
    EVP_PKEY_free(set->key);
    free(set);
}

static int read_all(struct tls_set *set, const struct tls_files *files, struct err *e)
{
    int rv;

    set->store = X509_STORE_new();
    set->crls = sk_X509_CRL_new_null();
    if (set->store == NULL || set->crls == NULL) return err_errno(e, -ENOMEM, "TLS");
    /* An intermediate alone may be trusted: a CA for Regent below that of the house, not all that the house signs. */
    (void)X509_STORE_set_flags(set->store, X509_V_FLAG_PARTIAL_CHAIN);
    (void)X509_STORE_set_depth(set->store, TLS_DEPTH_MAX);
    rv = read_anchors(set, files->ca, e);
    if (rv == 0) rv = read_crls(set, files->crl, e);
    if (rv == 0) rv = read_own(set, files, e);
    if (rv != 0) return rv;
    set->accepting = tls__context_new(set, true, e);
    set->calling = set->accepting != NULL ? tls__context_new(set, false, e) : NULL;
    return set->calling != NULL ? 0 : -EINVAL;
}

struct tls_set *tls__set_read(const struct tls_files *files, struct err *e)
{
    struct tls_set *set = calloc(1, sizeof *set);

    if (set == NULL) {
        (void)err_errno(e, -ENOMEM, "TLS");
        return NULL;
    }
    if (read_all(set, files, e) == 0) return set;
    tls__set_free(set);
    return NULL;
}

bool tls__is_crl_date(int error)
{
    return error == X509_V_ERR_CRL_HAS_EXPIRED || error == X509_V_ERR_CRL_NOT_YET_VALID;
}

static int pass_crl_date(int ok, X509_STORE_CTX *ctx)
{
    if (ok == 1 || !tls__is_crl_date(X509_STORE_CTX_get_error(ctx))) return ok;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

/* Verifies the own certificate for one purpose. Returns X509_V_OK or what is wrong. */
static int verify_self(const struct tls_set *set, int purpose)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;

    if (ctx != NULL && X509_STORE_CTX_init(ctx, set->store, set->cert, set->chain) == 1) {
        (void)X509_STORE_CTX_set_purpose(ctx, purpose);
        X509_STORE_CTX_set_verify_cb(ctx, pass_crl_date);
        error = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return error;
}

int tls__set_check_self(const struct tls_set *set, bool is_old, struct err *e)
{
    struct err reason = {0};
    int error = verify_self(set, X509_PURPOSE_SSL_CLIENT);

    if (error == X509_V_OK && set->self.role == TLS_MANAGER) error = verify_self(set, X509_PURPOSE_SSL_SERVER);
    if (error == X509_V_OK) return 0;
    (void)tls__verify_text(error, set->cert, &reason);
    if (!is_old || (error != X509_V_ERR_CERT_HAS_EXPIRED && error != X509_V_ERR_CERT_REVOKED))
        return err_set(e, -EACCES, "our own certificate would be refused by others: %s", reason.text);
    log_err("tls.self", "text=\"others refuse us: %s\" action=\"regent pki renew or issue, then replace the files\"",
            reason.text);
    return 0;
}

static int refuse_date(X509 *cert, bool is_late, const char *who, struct err *e)
{
    char date[32];

    tls_time_print(tls_time_s(is_late ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert)), date);
    if (is_late) return err_set(e, -EACCES, "the certificate of %s expired on %s", who, date);
    return err_set(e, -EACCES, "the certificate of %s is not yet valid: from %s on (are the clocks right?)", who, date);
}

/* Most errors of a chain mean the same to an operator. */
int tls__verify_text(int error, X509 *cert, struct err *e)
{
    char who[192] = "the other side", issuer[96];

    if (cert == NULL) return err_set(e, -EACCES, "its certificate: %s", X509_verify_cert_error_string(error));
    tls_describe(cert, who, sizeof who);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return refuse_date(cert, true, who, e);
    case X509_V_ERR_CERT_NOT_YET_VALID: return refuse_date(cert, false, who, e);
    case X509_V_ERR_CERT_REVOKED: return err_set(e, -EACCES, "the certificate of %s was revoked", who);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        tls_name_print(X509_get_issuer_name(cert), issuer, sizeof issuer);
        return err_set(e, -EACCES, "the certificate of %s is of another CA than ours (issuer %s)", who, issuer);
    case X509_V_ERR_INVALID_PURPOSE:
        return err_set(e, -EACCES, "the certificate of %s is not made for this use (extended key usage)", who);
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return err_set(e, -EACCES, "the file of CRLs holds none by the issuer of the certificate of %s", who);
    default:
        return err_set(e, -EACCES, "the certificate of %s: %s", who, X509_verify_cert_error_string(error));
    }
}

bool tls__set_has_revoked(const struct tls_set *set, const struct tls_identity *id)
{
    for (int i = 0; i < sk_X509_CRL_num(set->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(set->crls, i);
        BIGNUM *number = NULL;
        ASN1_INTEGER *serial;
        X509_REVOKED *entry = NULL;

        if (tls_name_digest(X509_CRL_get_issuer(crl)) != id->issuer) continue;
        if (BN_hex2bn(&number, id->serial) == 0) return false;
        serial = BN_to_ASN1_INTEGER(number, NULL);
        BN_free(number);
        MUST(serial != NULL);
        /* 2 would be "removed from the CRL", of delta lists. */
        if (X509_CRL_get0_by_serial(crl, &entry, serial) != 1) entry = NULL;
        ASN1_INTEGER_free(serial);
        if (entry != NULL) return true;
    }
    return false;
}
