/* Sockets of the command line: non-blocking underneath, so that no manager that is frozen or half dead can hold us
 * longer than the deadline. TLS works on memory: what it wants to say and what came in is moved by the same calls as
 * plaintext, so there is one place that waits.
 *
 * Happy path: connect, (shake hands,) send, receive.
 * Failure modes: nobody listens (told at once), host silent (-ETIMEDOUT), peer closes or talks nonsense (wire closed);
 * the manager refuses our certificate: its alert comes after our own handshake, so a failed send looks for it. */
#include "client/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"

enum { HOST_SIZE = 256, PIECE = 16384 };

void wire_init(struct wire *w)
{
    *w = (struct wire){.fd = -1};
}

void wire_close(struct wire *w)
{
    if (w->fd >= 0) close(w->fd);
    SSL_free(w->ssl);
    wire_init(w);
}

/* Waits until 'fd' is ready for 'events'. Returns 0 or -ETIMEDOUT. */
static int wait_for(int fd, short events, struct mono deadline)
{
    for (;;) {
        int64_t left_ms = mono_since_ms(deadline, clock_mono());
        if (left_ms <= 0) return -ETIMEDOUT;
        struct pollfd p = {.fd = fd, .events = events};
        int rv = poll(&p, 1, left_ms > 10000 ? 10000 : (int)left_ms + 1);
        if (rv > 0) return 0;
        if (rv < 0 && errno != EINTR) return -errno;
    }
}

/* ---- connecting ---- */

/* Connects a fresh socket. Returns the fd or negative errno. */
static int connect_to(const struct sockaddr *sa, socklen_t sa_size, struct mono deadline)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int rv = connect(fd, sa, sa_size) == 0 ? 0 : -errno;
    if (rv == -EINPROGRESS) {
        int code = 0;
        socklen_t size = sizeof(code);
        rv = wait_for(fd, POLLOUT, deadline);
        if (rv == 0) rv = getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? -code : -errno;
    }
    if (rv == 0) return fd;
    close(fd);
    return rv;
}

int wire_open_unix(struct wire *w, const char *path, struct mono deadline, struct err *e)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    wire_close(w);
    if (strlen(path) >= sizeof(sa.sun_path)) return err_errno(e, -ENAMETOOLONG, "%s", path);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = connect_to((const struct sockaddr *)&sa, sizeof(sa), deadline);
    if (fd < 0) return err_errno(e, fd, "%s", path);
    w->fd = fd;
    return 0;
}

int wire_open_tcp(struct wire *w, const char *address, bool is_local, struct mono deadline, struct err *e)
{
    char host[HOST_SIZE], service[8];
    uint16_t port;
    int rv = address_split(address, host, sizeof(host), &port);
    wire_close(w);
    if (rv != 0) return err_set(e, -EINVAL, "\"%s\" is no address: HOST:PORT, or the path of a socket", address);
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    rv = getaddrinfo(host, service, &hints, &list);
    if (rv != 0) return err_set(e, -EHOSTUNREACH, "%s: %s", address, gai_strerror(rv));
    int fd = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = is_local && !address_is_loopback(a->ai_addr) ? -EACCES : connect_to(a->ai_addr, a->ai_addrlen, deadline);
    freeaddrinfo(list);
    if (fd < 0) return err_errno(e, fd, "%s", address);
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* Only a matter of speed. */
    w->fd = fd;
    return 0;
}

/* ---- moving bytes ---- */

static int send_raw(int fd, const void *data, size_t size, struct mono deadline)
{
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) return -errno;
        if (n < 0) {
            int rv = wait_for(fd, POLLOUT, deadline);
            if (rv != 0) return rv;
            continue;
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Waits and reads once. Returns the number of bytes (not 0) or negative errno. */
static ssize_t receive_raw(int fd, void *to, size_t size, struct mono deadline)
{
    for (;;) {
        int rv = wait_for(fd, POLLIN, deadline);
        if (rv != 0) return rv;
        ssize_t n = recv(fd, to, size, 0);
        if (n > 0) return n;
        if (n == 0) return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR) return -errno;
    }
}

/* Sends what TLS has to say. */
static int flush_tls(struct wire *w, struct mono deadline)
{
    char piece[PIECE];
    int rv = 0, n;
    while (rv == 0 && (n = BIO_read(SSL_get_wbio(w->ssl), piece, sizeof(piece))) > 0)
        rv = send_raw(w->fd, piece, (size_t)n, deadline);
    return rv;
}

/* Gives TLS what came in. */
static int fill_tls(struct wire *w, struct mono deadline)
{
    char piece[PIECE];
    ssize_t n = receive_raw(w->fd, piece, sizeof(piece), deadline);
    if (n < 0) return (int)n;
    return BIO_write(SSL_get_rbio(w->ssl), piece, (int)n) == (int)n ? 0 : -ENOMEM;
}

int wire_rejected(struct err *e)
{
    if (e != NULL) e->code = -EKEYREJECTED;
    return -EKEYREJECTED;
}

static int why(struct wire *w, struct err *e)
{
    int rv = tls_why(w->ssl, e);
    return rv == -EACCES ? wire_rejected(e) : rv;
}

/* After an SSL call returned 'rv' <= 0: moves bytes. Returns 0 when the call may be repeated. */
static int go_on(struct wire *w, int rv, struct mono deadline, struct err *e)
{
    int error = SSL_get_error(w->ssl, rv);
    if (error == SSL_ERROR_ZERO_RETURN) return err_errno(e, -ECONNRESET, "TLS");
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        (void)flush_tls(w, deadline); /* The alert that tells the other side. */
        return why(w, e);
    }
    rv = flush_tls(w, deadline);
    if (rv == 0) rv = fill_tls(w, deadline);
    return rv == 0 || rv == -ETIMEDOUT ? rv : err_errno(e, rv, "TLS");
}

static int shake_hands(struct wire *w, struct mono deadline, struct err *e)
{
    struct tls_identity peer;
    int rv = 0;
    while (rv == 0) {
        ERR_clear_error();
        int done = SSL_do_handshake(w->ssl);
        if (done == 1) break;
        rv = go_on(w, done, deadline, e);
        if (rv == -ETIMEDOUT) rv = err_errno(e, rv, "handshake of TLS");
    }
    if (rv == -ECONNRESET)
        return err_set(e, rv, "it ends the connection in the handshake of TLS: is it a manager, and does it use TLS?");
    if (rv == 0) rv = flush_tls(w, deadline);
    return rv != 0 ? rv : tls_peer(w->ssl, &peer, NULL, e) == 0 ? 0 : wire_rejected(e);
}

int wire_start_tls(struct wire *w, struct tls *tls, struct mono deadline, struct err *e)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    int rv = 0;
    w->ssl = tls_connect_new(tls, FRAME_CLIENT);
    if (w->ssl == NULL || in == NULL || out == NULL) rv = err_errno(e, -ENOMEM, "TLS");
    if (rv == 0) {
        SSL_set_bio(w->ssl, in, out);
        rv = shake_hands(w, deadline, e);
    } else {
        BIO_free(in);
        BIO_free(out);
    }
    if (rv != 0) wire_close(w);
    return rv;
}

/* A manager that refuses us says so and closes; then sending fails before anybody read why. */
static int look_for_alert(struct wire *w, int code, struct err *e)
{
    struct mono soon = mono_add_ms(clock_mono(), 20);
    char byte;
    if (w->ssl == NULL || fill_tls(w, soon) != 0) return err_errno(e, code, "sending");
    ERR_clear_error();
    int n = SSL_read(w->ssl, &byte, 1);
    if (n <= 0 && SSL_get_error(w->ssl, n) == SSL_ERROR_SSL) return why(w, e);
    return err_errno(e, code, "sending");
}

int wire_send(struct wire *w, const void *data, size_t size, struct mono deadline, struct err *e)
{
    int rv = 0;
    if (w->ssl == NULL) {
        rv = send_raw(w->fd, data, size, deadline);
    } else if (size > 0) {
        size_t done = 0;
        while (rv == 0 && done < size) {
            size_t n = 0;
            ERR_clear_error();
            if (SSL_write_ex(w->ssl, (const char *)data + done, size - done, &n) != 1) rv = -EPROTO;
            done += n;
            if (rv == 0) rv = flush_tls(w, deadline);
        }
        ERR_clear_error();
    }
    if (rv == 0) return 0;
    rv = look_for_alert(w, rv, e);
    wire_close(w);
    return rv;
}

static ssize_t receive_tls(struct wire *w, void *to, size_t size, struct mono deadline, struct err *e)
{
    for (;;) {
        size_t n = 0;
        ERR_clear_error();
        int rv = SSL_read_ex(w->ssl, to, size, &n);
        if (rv == 1) return (ssize_t)n;
        rv = go_on(w, rv, deadline, e);
        if (rv != 0) return rv;
    }
}

ssize_t wire_receive(struct wire *w, void *to, size_t size, struct mono deadline, struct err *e)
{
    ssize_t n = w->ssl != NULL ? receive_tls(w, to, size, deadline, e) : receive_raw(w->fd, to, size, deadline);
    if (n < 0 && (w->ssl == NULL || n == -ETIMEDOUT)) (void)err_errno(e, (int)n, "receiving");
    if (n < 0 && n != -ETIMEDOUT) wire_close(w);
    return n;
}
