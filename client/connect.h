/* One connection to one manager: blocking, each call with a deadline. */
#ifndef REGENT_CLIENT_CONNECT_H
#define REGENT_CLIENT_CONNECT_H

#include "lib/base/mtime.h"
#include "lib/frame.h"
#include "proto/client.h"

struct link {
    int fd; /* -1: closed. */
    struct frame_reader reader;
    uint64_t request; /* Number of the last request on this connection. */
};

/* A closed link. */
void link_init(struct link *l);
void link_close(struct link *l);

/* Connects to 'address' ("host:port", or the path of a Unix socket) and sends the preamble. Returns 0 or negative errno
 * (-ETIMEDOUT); 'e' then says which address and why, and the link is closed. */
int link_open(struct link *l, const char *address, struct mono deadline, struct err *e) MUST_CHECK;

/* Sends a request. On failure the link is closed, and the request may or may not have arrived. */
int link_send(struct link *l, const struct client_request *r, struct mono deadline, struct err *e) MUST_CHECK;

/* Receives the next answer to the last request; client_answer_fini() it. -ETIMEDOUT leaves the link open, any other
 * failure closes it; the answer is then all zero. */
int link_receive(struct link *l, struct client_answer *a, struct mono deadline, struct err *e) MUST_CHECK;

#endif
