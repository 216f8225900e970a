/* Keys, certificates and CRLs made in memory: ECDSA P-256, X.509v3. Files and the index are lib/pki's. */
#ifndef REGENT_PKI_CERT_H
#define REGENT_PKI_CERT_H

#include "lib/tls_identity.h"

enum { PKI_HOSTS_SIZE = 512, PKI_CA_NAME_MAX = 48 };

/* What a leaf certificate shall say. Times in seconds since 1970 UTC. */
struct pki_subject {
    enum tls_role role;
    char name[TLS_NAME_SIZE];
    uint64_t id;                /* Managers: at least 1. Others: 0. */
    char hosts[PKI_HOSTS_SIZE]; /* DNS names and addresses with commas between, for other programs; may be "". */
    int64_t not_before_s, not_after_s;
};

/* One line of a CRL. */
struct pki_revoked {
    char serial[TLS_SERIAL_SIZE]; /* Hexadecimal. */
    int64_t at_s;
};

/* A new key. All pki_*_new() return NULL with 'e' filled on failure, and the caller frees the result. */
EVP_PKEY *pki_key_new(struct err *e) MUST_CHECK;

/* A CA of its own: "Regent CA NAME", may sign leaves only, signed by 'key', valid over [from_s, until_s]. */
X509 *pki_ca_new(const char *name, EVP_PKEY *key, int64_t from_s, int64_t until_s, struct err *e) MUST_CHECK;

/* A leaf for 'key' with a random serial, signed by 'ca' with 'ca_key'. 's' is checked: -EINVAL texts name the field. */
X509 *pki_cert_new(const struct pki_subject *s, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, struct err *e) MUST_CHECK;

struct pki_crl_times {
    int64_t now_s, until_s; /* Made, and to be replaced by. */
};

/* The CRL of 'ca' with 'n' entries. Its number is times.now_s. NULL: no memory. */
X509_CRL *pki_crl_new(X509 *ca, EVP_PKEY *ca_key, const struct pki_revoked *list, unsigned n,
                      struct pki_crl_times times) MUST_CHECK;

/* Is 'host' an address or a DNS name that may stand in a certificate? */
bool pki_host_is_valid(const char *host);

/* PEM text, malloc'ed, NUL-terminated; the caller frees it (of a key: pki_wipe()). NULL: no memory. */
char *pki_cert_pem(X509 *cert) MUST_CHECK;
char *pki_key_pem(EVP_PKEY *key) MUST_CHECK;
char *pki_crl_pem(X509_CRL *crl) MUST_CHECK;
void pki_wipe(char *pem); /* Overwrites and frees; NULL is fine. */

#endif
