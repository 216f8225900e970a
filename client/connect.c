/* Sockets of the command line: non-blocking underneath, so that no manager that is frozen or half dead can hold us
 * longer than the deadline.
 *
 * Happy path: connect, preamble, request frame, answer frame.
 * Failure modes: nobody listens (told at once), host silent (-ETIMEDOUT), peer closes or talks nonsense (link closed).
 */
#include "client/connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"

void link_init(struct link *l)
{
    *l = (struct link){.fd = -1};
    frame_reader_init(&l->reader);
}

void link_close(struct link *l)
{
    if (l->fd >= 0) close(l->fd);
    frame_reader_fini(&l->reader);
    link_init(l);
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

static int send_all(int fd, const void *data, size_t size, struct mono deadline)
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

static int open_unix(const char *path, struct mono deadline)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa.sun_path)) return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    return connect_to((const struct sockaddr *)&sa, sizeof(sa), deadline);
}

static int open_tcp(const char *address, struct mono deadline, struct err *e)
{
    char host[FSM_ADDRESS_SIZE], service[8];
    uint16_t port;
    int rv = address_split(address, host, sizeof(host), &port);
    if (rv != 0) return err_set(e, -EINVAL, "\"%s\" is no address: HOST:PORT, or the path of a socket", address);
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    rv = getaddrinfo(host, service, &hints, &list);
    if (rv != 0) return err_set(e, -EHOSTUNREACH, "%s: %s", address, gai_strerror(rv));
    int fd = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_to(a->ai_addr, a->ai_addrlen, deadline);
    freeaddrinfo(list);
    if (fd < 0) return err_errno(e, fd, "%s", address);
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* Only a matter of speed. */
    return fd;
}

int link_open(struct link *l, const char *address, struct mono deadline, struct err *e)
{
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    link_close(l);
    int fd;
    if (strchr(address, '/') != NULL) {
        fd = open_unix(address, deadline);
        if (fd < 0) return err_errno(e, fd, "%s", address);
    } else {
        fd = open_tcp(address, deadline, e);
        if (fd < 0) return fd;
    }
    l->fd = fd;
    frame_preamble(preamble, FRAME_CLIENT);
    int rv = send_all(fd, preamble, sizeof(preamble), deadline);
    if (rv == 0) return 0;
    link_close(l);
    return err_errno(e, rv, "%s", address);
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
    rv = send_all(l->fd, header, sizeof(header), deadline);
    if (rv == 0) rv = send_all(l->fd, body, size, deadline);
    free(body);
    if (rv == 0) return 0;
    link_close(l);
    return err_errno(e, rv, "sending the request");
}

/* Reads once into the reader. */
static int read_some(struct link *l, struct mono deadline)
{
    uint8_t buffer[16384];
    int rv = wait_for(l->fd, POLLIN, deadline);
    if (rv != 0) return rv;
    ssize_t n = recv(l->fd, buffer, sizeof(buffer), 0);
    if (n == 0) return -ECONNRESET;
    if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return frame_reader_push(&l->reader, buffer, (size_t)n);
}

int link_receive(struct link *l, struct client_answer *a, struct mono deadline, struct err *e)
{
    struct frame_header h;
    const uint8_t *body;
    memset(a, 0, sizeof(*a));
    while (frame_reader_peek(&l->reader, &h, &body) == 0) {
        int rv = read_some(l, deadline);
        if (rv == 0) continue;
        if (rv != -ETIMEDOUT) link_close(l);
        return err_errno(e, rv, "waiting for the answer");
    }
    int rv = h.type == CLIENT_FRAME_ANSWER && h.request == l->request
                 ? client_answer_decode(a, body, h.body_size, e)
                 : err_set(e, -EPROTO, "this is not the answer to what was asked: is it a manager of this version?");
    frame_reader_pop(&l->reader);
    if (rv != 0) link_close(l);
    return rv;
}
