/* Who a certificate names, and what that role may do. No contexts, no files. */
#ifndef REGENT_TLS_IDENTITY_H
#define REGENT_TLS_IDENTITY_H

#include "lib/tls.h"

enum { TLS_ALPN_SIZE = 16 };

/* "manager", "agent", "operator", "nobody". */
const char *tls_role_name(enum tls_role role);
/* The role of that name, or TLS_NOBODY. */
enum tls_role tls_role_parse(const char *name);

/* The name that ALPN has for 'protocol'. */
const char *tls_alpn_name(enum frame_protocol protocol);
/* The protocol of an ALPN name of 'len' bytes (no NUL), or -EPROTO. */
int tls_alpn_parse(const uint8_t *name, size_t len);

/* 1 to 63 letters, digits, '.', '_', '-', the first a letter or digit. */
bool tls_name_is_valid(const char *name);

/* Fills 'id' from the names in the certificate (all but 'anchor'). Returns 0, or -EACCES with the reason in 'e': no
 * role, more than one, a manager without id. */
int tls_identity_of(X509 *cert, struct tls_identity *id, struct err *e) MUST_CHECK;

/* Whether 'id' may speak 'protocol'. 'has_called': it is the side that connected; the other is always a manager.
 * Returns 0, or -EACCES with the reason in 'e'. */
int tls_may_speak(const struct tls_identity *id, enum frame_protocol protocol, bool has_called,
                  struct err *e) MUST_CHECK;

/* "manager m2 (serial 1f)", or the subject of a certificate without role, for a message. */
void tls_describe(X509 *cert, char *to, size_t size);

/* A subject or issuer on one line of printable text without double quotes: what a stranger writes there must not end a
 * value in our log. */
void tls_name_print(const X509_NAME *name, char *to, size_t size);

/* A time in a certificate as seconds since 1970; 0 when it cannot be read. */
int64_t tls_time_s(const ASN1_TIME *t);
/* "2026-11-21 08:15:20 UTC"; 'to' has at least 32 bytes. */
void tls_time_print(int64_t s, char *to);

/* A short digest of a name, and of a whole certificate; never 0. */
uint64_t tls_name_digest(const X509_NAME *name);
uint64_t tls_cert_digest(const X509 *cert);

/* Writes a serial number as lower-case hexadecimal. False when it does not fit. */
bool tls_serial_print(const ASN1_INTEGER *serial, char to[TLS_SERIAL_SIZE]);

#endif
