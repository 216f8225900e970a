/* One connection to one manager: blocking, each call with a deadline. A Unix socket is plaintext, since the mode of its
 * file guards it. TCP is TLS as soon as there is a directory with certificates; else it is plaintext and reaches only
 * this machine. */
#ifndef REGENT_CLIENT_CONNECT_H
#define REGENT_CLIENT_CONNECT_H

#include "client/wire.h"
#include "lib/base/mtime.h"
#include "lib/frame.h"
#include "proto/client.h"

enum { LINK_DIR_SIZE = TLS_PATH_SIZE - 16 };

struct link {
    struct wire wire;
    struct frame_reader reader;
    uint64_t request;            /* Number of the last request on this connection. */
    char tls_dir[LINK_DIR_SIZE]; /* "": none. */
    struct tls_files tls_files;  /* In place of the directory; 'ca' empty: none. */
    struct tls *tls;             /* Opened with the first connection that needs it. */
    bool is_plain_tcp;           /* This connection is neither TLS nor a Unix socket. */
    bool has_answered;           /* Something came on it. */
};

/* A closed link without certificates. Then link_fini(). */
void link_init(struct link *l);
/* From now on TCP uses the files of 'dir': ca.crt, operator.crt, operator.key, and crl.pem if it is there. "" or NULL:
 * none. -ENAMETOOLONG. The files are read with the first connection. */
int link_set_tls_dir(struct link *l, const char *dir) MUST_CHECK;
/* The same with files by name, for a manager that calls as itself. Copies them. */
void link_set_tls_files(struct link *l, const struct tls_files *files);
bool link_is_open(const struct link *l); /* ... and was not closed by a failure. */
void link_close(struct link *l);         /* May be opened again. */
void link_fini(struct link *l);          /* Harmless when repeated. */

/* Connects to 'address' ("host:port", or the path of a Unix socket) and says what will be spoken. Returns 0 or negative
 * errno (-ETIMEDOUT; -EKEYREJECTED: certificates); 'e' then says which address and why, and the link is closed. */
int link_open(struct link *l, const char *address, struct mono deadline, struct err *e) MUST_CHECK;

/* Sends a request. On failure the link is closed, and the request may or may not have arrived. */
int link_send(struct link *l, const struct client_request *r, struct mono deadline, struct err *e) MUST_CHECK;

/* Receives the next answer to the last request; client_answer_fini() it. -ETIMEDOUT leaves the link open, any other
 * failure closes it; the answer is then all zero. */
int link_receive(struct link *l, struct client_answer *a, struct mono deadline, struct err *e) MUST_CHECK;

#endif
