/* Mutual TLS 1.3: who may talk to whom. One module for managers, operators and agents, on the accepting and on the
 * connecting side. It knows certificates and contexts; bytes are moved by others (lib/conn, the CLI).
 *
 * Who a peer is stands in its certificate as URIs among the subject alternative names (of any CA, ours or not):
 *
 *   regent:manager:NAME and regent:id:N (the Raft id)     regent:agent:NAME     regent:operator:NAME
 *
 * What it wants is told by ALPN. Certificate and ALPN must agree: the Raft and peer protocols are for managers only.
 * Identity, chain, purpose, dates and revocation are checked inside the handshake, so a refused peer gets an alert and
 * its handshake never ends well. Host names play no part: a peer is a member or it is not, wherever it listens.
 *
 * Files are re-read without a restart: tls_files_changed() says when, tls_reload() does it. A connection keeps the
 * context that it began with; tls_check_again() tells whether it should end. A CRL beyond its "next update" stays in
 * force, with a warning in the log: to refuse every peer because a list is old would stop the group. Loop thread only.
 *
 * Call ERR_clear_error() before every SSL_* call whose result SSL_get_error() judges, and tls_why() at once after. */
#ifndef REGENT_TLS_H
#define REGENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "lib/base/err.h"
#include "lib/frame.h"

enum { TLS_NAME_SIZE = 64, TLS_SERIAL_SIZE = 64, TLS_PATH_SIZE = 256 };

enum tls_role { TLS_NOBODY = 0, TLS_MANAGER, TLS_AGENT, TLS_OPERATOR };

/* What a certificate says of its owner. */
struct tls_identity {
    enum tls_role role;
    char name[TLS_NAME_SIZE];
    uint64_t id;                  /* The Raft id of a manager; 0 for others. */
    int64_t not_after_s;          /* Seconds since 1970 UTC. */
    char serial[TLS_SERIAL_SIZE]; /* Hexadecimal, lower case. */
    uint64_t issuer, anchor;      /* Short digests of who signed it and of the CA it was trusted by (0: unknown). */
};

/* PEM files. 'ca': one or more certificates that are trusted to sign (an intermediate without its root is fine).
 * 'cert': ours, then intermediates. 'key': ours; not readable by others (0600; 0640 when root owns it). 'crl': one or
 * more lists, one of them by the issuer of 'cert'; "" for none. */
struct tls_files {
    char ca[TLS_PATH_SIZE], cert[TLS_PATH_SIZE], key[TLS_PATH_SIZE], crl[TLS_PATH_SIZE];
};

struct tls;

/* Reads the files and checks that they fit together: our certificate is signed by 'ca', valid now, not revoked, names
 * a role, and belongs to the key. Returns NULL and fills 'e' otherwise. The caller ends it with tls_close(). */
struct tls *tls_open(const struct tls_files *files, struct err *e) MUST_CHECK;

/* Releases 't' (NULL is fine). An SSL made from it may live on. */
void tls_close(struct tls *t);

/* Re-reads all files. Returns 0, or negative errno with 'e' filled; then the old ones stay in force, and
 * tls_files_changed() is true again a minute later. Our own certificate, when it is the one in force already, may have
 * expired or been revoked since: that is logged and does not keep a new CRL out. */
int tls_reload(struct tls *t, struct err *e) MUST_CHECK;

/* True when a file differs from what was last read: call tls_reload(). A few stat() calls, for a timer of a second or
 * so. Also logs, at most once a day, that our certificate ends within 30 days, and once an hour that the CRL is old. */
bool tls_files_changed(struct tls *t);

/* Who we are. Valid until the next tls_reload() or tls_close(). */
const struct tls_identity *tls_self(const struct tls *t);

/* One accepted connection, in accept state. The caller sets BIOs or a socket and ends it with SSL_free(). NULL: no
 * memory. */
SSL *tls_accept_new(struct tls *t) MUST_CHECK;

/* One connection to be made, in connect state, that will speak 'protocol'. The other side must be a manager. As above
 * else. */
SSL *tls_connect_new(struct tls *t, enum frame_protocol protocol) MUST_CHECK;

/* After the handshake: who the other side is, and which protocol was agreed. Returns 0, or -EACCES with 'e' filled when
 * its role does not allow that. 'protocol' may be NULL. */
int tls_peer(SSL *ssl, struct tls_identity *peer, enum frame_protocol *protocol, struct err *e) MUST_CHECK;

/* Why the last SSL_do_handshake(), SSL_read() or SSL_write() failed, as half a sentence for one log line: "the
 * certificate of manager m2 (serial 1f) was revoked", "it showed no certificate". Empties OpenSSL's queue of errors.
 * Returns -EACCES when the certificate was refused, here or there; -EPROTO otherwise. */
int tls_why(SSL *ssl, struct err *e);

/* Whether a live connection of 'peer' should end: its certificate expired, was revoked, or its CA is trusted no more.
 * Returns 0, or -EACCES with the reason in 'e'. Cheap; for a timer of a few seconds and after each reload. */
int tls_check_again(struct tls *t, const struct tls_identity *peer, struct err *e) MUST_CHECK;

#endif
