/* What lib/tls*.c share: one set of files, read and checked. */
#ifndef REGENT_TLS_PRIVATE_H
#define REGENT_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "lib/tls_identity.h"

enum { TLS_ANCHORS_MAX = 32, TLS_DEPTH_MAX = 5 };

/* Read from the files at one moment. Never changed, but replaced as a whole. */
struct tls_set {
    X509_STORE *store;            /* Trusted certificates and CRLs; the rules of verification. */
    X509 *cert;                   /* Ours. */
    STACK_OF(X509) *chain;        /* Intermediates that we send along. */
    EVP_PKEY *key;
    STACK_OF(X509_CRL) *crls;     /* Also in the store. */
    SSL_CTX *accepting, *calling; /* Share the store. */
    struct tls_identity self;
    uint64_t self_digest;
    uint64_t anchors[TLS_ANCHORS_MAX]; /* Digests of the certificates of 'ca'. */
    unsigned anchors_n;
    int64_t crl_until_s; /* When the first CRL wants to be replaced; 0: never. */
};

/* Reads and checks all files but the dates and revocation of our own certificate: tls__set_check_self() does that.
 * Returns NULL with 'e' filled; the caller ends it with tls__set_free() (NULL is fine). */
struct tls_set *tls__set_read(const struct tls_files *files, struct err *e) MUST_CHECK;
void tls__set_free(struct tls_set *set); /* Contexts live on in their connections. */

/* Verifies our own certificate as a peer would. Returns 0 or -EACCES with the reason. 'is_old': it is in force already,
 * so that dates and revocation are told in the log but are no failure. */
int tls__set_check_self(const struct tls_set *set, bool is_old, struct err *e) MUST_CHECK;

/* The reason for an X509_V_ERR_* of 'cert' (may be NULL), as half a sentence. Returns -EACCES. */
int tls__verify_text(int error, X509 *cert, struct err *e);

/* An expired or a future CRL is still a list of what was revoked. */
bool tls__is_crl_date(int error);

/* Is 'serial' by 'issuer' on a CRL of the set? */
bool tls__set_has_revoked(const struct tls_set *set, const struct tls_identity *id);

/* The context for one side. 'accepting' and 'calling' are made by this, over set->store. NULL with 'e' filled. */
SSL_CTX *tls__context_new(struct tls_set *set, bool is_accepting, struct err *e) MUST_CHECK;

/* Why this side refused the peer; NULL when it did not. Owned by 'ssl'. */
const struct err *tls__kept_reason(const SSL *ssl);

/* The first error in OpenSSL's queue as text; empties the queue. */
const char *tls__queue_text(void);

#endif
