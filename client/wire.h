/* Bytes to one manager over a socket, plaintext or TLS, each call with a deadline. */
#ifndef REGENT_CLIENT_WIRE_H
#define REGENT_CLIENT_WIRE_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/mtime.h"
#include "lib/tls.h"

struct wire {
    int fd;   /* -1: closed. */
    SSL *ssl; /* NULL: plaintext. */
};

/* A closed wire. */
void wire_init(struct wire *w);
void wire_close(struct wire *w);

/* Connects to a Unix socket, or to HOST:PORT, trying its addresses one after the other. 'is_local': only addresses of
 * this machine (127.0.0.0/8, ::1) are good enough: -EACCES for others. Returns 0 or negative errno with 'e' filled; the
 * wire is closed then. */
int wire_open_unix(struct wire *w, const char *path, struct mono deadline, struct err *e) MUST_CHECK;
int wire_open_tcp(struct wire *w, const char *address, bool is_local, struct mono deadline, struct err *e) MUST_CHECK;

/* Shakes hands as a client; from here on bytes are protected. The other side has proven to be a manager of our group's
 * CA then; whether it accepts us is seen only with its first bytes (TLS 1.3). On failure the wire is closed;
 * -EKEYREJECTED: a certificate was refused, here or there. */
int wire_start_tls(struct wire *w, struct tls *tls, struct mono deadline, struct err *e) MUST_CHECK;

/* Gives 'e' (may be NULL) the code that says "because of certificates": -EACCES may also be a socket's. Returns it. */
int wire_rejected(struct err *e);

/* Sends all. On failure the wire is closed, and some of it may have arrived. */
int wire_send(struct wire *w, const void *data, size_t size, struct mono deadline, struct err *e) MUST_CHECK;

/* Waits for bytes. Returns their number, or negative errno: -ETIMEDOUT leaves the wire open, any other closes it:
 * -ECONNRESET at the end, -EKEYREJECTED when the manager refused our certificate. */
ssize_t wire_receive(struct wire *w, void *to, size_t size, struct mono deadline, struct err *e) MUST_CHECK;

#endif
