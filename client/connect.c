/* Requests and answers as frames over one wire.
 *
 * Happy path: connect, say the protocol (ALPN, or the preamble), request frame, answer frame.
 * Failure modes: those of the wire; certificates that are missing or do not fit, before anything is sent; an answer
 * that is none (link closed). */
#include "client/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/text.h"

static const char no_dir[] = "without certificates only managers on this machine (127.0.0.0/8, ::1) are talked to. "
                             "Name the directory with ca.crt, operator.crt and operator.key: --tls-dir or "
                             "REGENT_TLS_DIR (see `regent pki issue operator --help`)";

static void start_connection(struct link *l)
{
    wire_init(&l->wire);
    frame_reader_init(&l->reader);
    l->request = 0;
    l->has_answered = l->is_plain_tcp = false;
}

void link_init(struct link *l)
{
    memset(l, 0, sizeof(*l));
    start_connection(l);
}

int link_set_tls_dir(struct link *l, const char *dir)
{
    tls_close(l->tls);
    l->tls = NULL;
    return TEXT_COPY(l->tls_dir, dir != NULL ? dir : "") ? 0 : -ENAMETOOLONG;
}

void link_set_tls_files(struct link *l, const struct tls_files *files)
{
    tls_close(l->tls);
    l->tls = NULL;
    l->tls_files = *files;
}

bool link_is_open(const struct link *l)
{
    return l->wire.fd >= 0;
}

void link_close(struct link *l)
{
    wire_close(&l->wire);
    frame_reader_fini(&l->reader);
    start_connection(l);
}

void link_fini(struct link *l)
{
    link_close(l);
    tls_close(l->tls);
    l->tls = NULL;
}

/* After a failure: closes the link and tells what it was doing, or what most likely was wrong. */
static int give_up(struct link *l, int rv, const char *doing, struct err *e)
{
    bool is_unwelcome = l->is_plain_tcp && !l->has_answered && (rv == -ECONNRESET || rv == -EPIPE);
    link_close(l);
    if (!is_unwelcome) return err_wrap(e, rv, "%s", doing);
    return err_set(e, rv, "it ended the connection without an answer: if it uses TLS, name the directory with the "
                          "certificates: --tls-dir or REGENT_TLS_DIR");
}

static void file_in(const struct link *l, const char *name, char to[TLS_PATH_SIZE])
{
    struct text t = text_on(to, TLS_PATH_SIZE);
    text_addf(&t, "%s/%s", l->tls_dir, name);
    MUST(!t.cut);
}

static int read_certificates(struct link *l, struct err *e)
{
    struct tls_files files = l->tls_files;
    if (l->tls != NULL) return 0;
    if (files.ca[0] == '\0') {
        file_in(l, "ca.crt", files.ca);
        file_in(l, "operator.crt", files.cert);
        file_in(l, "operator.key", files.key);
        file_in(l, "crl.pem", files.crl);
        if (access(files.crl, F_OK) != 0) files.crl[0] = '\0';
    }
    l->tls = tls_open(&files, e);
    if (l->tls != NULL) return 0;
    (void)err_wrap(e, -EKEYREJECTED, "certificates");
    return wire_rejected(e);
}

static int open_tcp(struct link *l, const char *address, struct mono deadline, struct err *e)
{
    bool is_local = l->tls_dir[0] == '\0' && l->tls_files.ca[0] == '\0';
    int rv = is_local ? 0 : read_certificates(l, e);
    if (rv != 0) return rv;
    rv = wire_open_tcp(&l->wire, address, is_local, deadline, e);
    if (rv == -EACCES && is_local) return err_set(e, -EKEYREJECTED, "%s: %s", address, no_dir);
    if (rv != 0 || is_local) return rv;
    rv = wire_start_tls(&l->wire, l->tls, deadline, e);
    return rv == 0 ? 0 : err_wrap(e, rv, "%s", address);
}

int link_open(struct link *l, const char *address, struct mono deadline, struct err *e)
{
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    bool is_unix = strchr(address, '/') != NULL;
    link_close(l);
    int rv = is_unix ? wire_open_unix(&l->wire, address, deadline, e) : open_tcp(l, address, deadline, e);
    if (rv != 0 || l->wire.ssl != NULL) return rv;
    l->is_plain_tcp = !is_unix;
    frame_preamble(preamble, FRAME_CLIENT);
    rv = wire_send(&l->wire, preamble, sizeof(preamble), deadline, e);
    return rv == 0 ? 0 : give_up(l, rv, address, e);
}

int link_send(struct link *l, const struct client_request *r, struct mono deadline, struct err *e)
{
    void *body;
    size_t size;
    int rv = client_request_encode(r, &body, &size);
    if (rv != 0) return err_errno(e, rv, "request");
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header_write(header, &(struct frame_header){
                                   .body_size = (uint32_t)size, .type = CLIENT_FRAME_REQUEST, .request = ++l->request});
    rv = wire_send(&l->wire, header, sizeof(header), deadline, e);
    if (rv == 0) rv = wire_send(&l->wire, body, size, deadline, e);
    free(body);
    if (rv == 0) return 0;
    return give_up(l, rv, "the request", e);
}

/* Reads once into the reader. */
static int read_some(struct link *l, struct mono deadline, struct err *e)
{
    uint8_t buffer[16384];
    ssize_t n = wire_receive(&l->wire, buffer, sizeof(buffer), deadline, e);
    if (n < 0) return (int)n;
    l->has_answered = true;
    int rv = frame_reader_push(&l->reader, buffer, (size_t)n);
    return rv == 0 ? 0 : err_errno(e, rv, "receiving");
}

int link_receive(struct link *l, struct client_answer *a, struct mono deadline, struct err *e)
{
    struct frame_header h;
    const uint8_t *body;
    memset(a, 0, sizeof(*a));
    while (frame_reader_peek(&l->reader, &h, &body) == 0) {
        int rv = read_some(l, deadline, e);
        if (rv == 0) continue;
        return rv == -ETIMEDOUT ? err_wrap(e, rv, "waiting for the answer")
                                : give_up(l, rv, "waiting for the answer", e);
    }
    int rv = h.type == CLIENT_FRAME_ANSWER && h.request == l->request
                 ? client_answer_decode(a, body, h.body_size, e)
                 : err_set(e, -EPROTO, "this is not the answer to what was asked: is it a manager of this version?");
    frame_reader_pop(&l->reader);
    if (rv != 0) link_close(l);
    return rv;
}
