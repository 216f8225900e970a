/* Listener. See listen.h. */
#include "manager/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "lib/base/text.h"
#include "lib/log.h"
#include "manager/config.h"

enum { LISTEN_BACKLOG = 128 };

struct listen {
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    bool has_pipe, pipe_bound, closing;
    unsigned handles_n; /* Open: memory is freed with the last one. */
    unsigned pending_n; /* Connections without a preamble yet. */
    char path[108];
    listen_accept_fn *accept;
    void *arg;
    struct pending *pending; /* List. */
};

/* A connection whose preamble is being read. */
struct pending {
    struct listen *listen;
    struct pending *next, **link;
    uv_stream_t *stream;
    uv_timer_t deadline;
    bool local, done;
    size_t have;
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
};

static void listen_unref(struct listen *l)
{
    MUST(l->handles_n > 0);
    if (--l->handles_n == 0) free(l);
}

static void listener_closed(uv_handle_t *handle)
{
    listen_unref(handle->data);
}

/* --- one connection --------------------------------------------------------------------------------------------- */

static void stream_freed(uv_handle_t *handle)
{
    free(handle);
}

static void deadline_closed(uv_handle_t *handle)
{
    struct pending *p = handle->data;
    listen_unref(p->listen);
    free(p);
}

/* Takes the connection off the list; its stream is the caller's from here on. */
static uv_stream_t *pending_end(struct pending *p)
{
    uv_stream_t *stream = p->stream;
    MUST(!p->done);
    p->done = true;
    *p->link = p->next;
    if (p->next) p->next->link = p->link;
    p->listen->pending_n--;
    uv_read_stop(stream);
    stream->data = NULL;
    uv_close((uv_handle_t *)&p->deadline, deadline_closed);
    return stream;
}

static void pending_drop(struct pending *p, const char *why)
{
    if (p->done) return;
    log_limited(LOG_LEVEL_WARN, "listen.refused", "text=\"a connection was closed: %s\"", why);
    uv_close((uv_handle_t *)pending_end(p), stream_freed);
}

static void on_deadline(uv_timer_t *timer)
{
    pending_drop(timer->data, "it did not say within 2 s which protocol it speaks");
}

/* Exactly the preamble is read: what follows belongs to the protocol's own code. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct pending *p = handle->data;
    *buf = uv_buf_init((char *)p->preamble + p->have, (unsigned)(sizeof p->preamble - p->have));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct pending *p = stream->data;
    if (n == 0) return;
    if (n < 0) {
        pending_drop(p, "it ended before its first 8 bytes");
        return;
    }
    p->have += (size_t)n;
    if (p->have < sizeof p->preamble) return;
    int protocol = frame_preamble_read(p->preamble);
    if (protocol < 0 || (p->local && protocol != FRAME_CLIENT)) {
        pending_drop(p, "it does not speak a protocol of Regent");
        return;
    }
    struct listen *l = p->listen;
    l->accept(l->arg, (enum frame_protocol)protocol, pending_end(p));
}

static void pending_begin(struct listen *l, uv_stream_t *stream, bool local)
{
    struct pending *p = calloc(1, sizeof *p);
    if (!p || l->pending_n >= LISTEN_PENDING_MAX) {
        log_limited(LOG_LEVEL_WARN, "listen.full", "text=\"too many connections that say nothing: one was closed\"");
        free(p);
        uv_close((uv_handle_t *)stream, stream_freed);
        return;
    }
    p->listen = l;
    p->stream = stream;
    p->local = local;
    p->next = l->pending;
    p->link = &l->pending;
    if (p->next) p->next->link = &p->next;
    l->pending = p;
    l->pending_n++;
    l->handles_n++;
    uv_timer_init(stream->loop, &p->deadline);
    p->deadline.data = p;
    uv_timer_start(&p->deadline, on_deadline, LISTEN_PREAMBLE_MS, 0);
    stream->data = p;
    if (uv_read_start(stream, on_alloc, on_read) != 0) pending_drop(p, "reading failed");
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listen *l = server->data;
    bool local = server == (uv_stream_t *)&l->pipe;
    if (status != 0 || l->closing) return;
    uv_stream_t *stream = malloc(local ? sizeof(uv_pipe_t) : sizeof(uv_tcp_t));
    MUST(stream); /* A few hundred bytes. */
    int rc;
    if (local) rc = uv_pipe_init(server->loop, (uv_pipe_t *)stream, 0);
    else rc = uv_tcp_init(server->loop, (uv_tcp_t *)stream);
    MUST(rc == 0);
    rc = uv_accept(server, stream);
    if (rc != 0) {
        log_limited(LOG_LEVEL_WARN, "listen.accept", "text=\"a connection was not accepted: %s\"", uv_strerror(rc));
        uv_close((uv_handle_t *)stream, stream_freed);
        return;
    }
    if (!local) uv_tcp_nodelay((uv_tcp_t *)stream, 1);
    pending_begin(l, stream, local);
}

/* --- the sockets ------------------------------------------------------------------------------------------------ */

/* libuv tells of a port in use only when listening; we want to know it before anything else is started. */
static int open_tcp(uv_tcp_t *tcp, const struct sockaddr *to)
{
    socklen_t size = to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    int one = 1, rc = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 || bind(fd, to, size) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0)
        rc = -errno;
    if (rc == 0) rc = uv_tcp_open(tcp, fd);
    if (rc != 0) close(fd);
    return rc;
}

static int bind_tcp(struct listen *l, const char *address, struct err *e)
{
    char host[256];
    uint16_t port;
    struct sockaddr_storage to;
    if (config_split_address(address, host, sizeof host, &port) != 0)
        return err_set(e, -EINVAL, "listen address '%s' is not host:port", address);
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&to) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&to) != 0)
        return err_set(e, -EINVAL, "listen address '%s' needs a numeric IP address, as 127.0.0.1:7401", address);
    int rc = open_tcp(&l->tcp, (struct sockaddr *)&to);
    if (rc == -EADDRINUSE)
        return err_set(e, rc, "listen address %s is taken by another process: stop it (ss -ltnp shows it) or give this"
                              " node another port in 'listen' and in everybody's 'group'", address);
    if (rc != 0) return err_set(e, rc, "cannot listen on %s: %s", address, uv_strerror(rc));
    return 0;
}

/* True when something answers on the Unix socket. */
static bool path_answers(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!TEXT_COPY(to.sun_path, path)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool answers = connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return answers;
}

static int bind_path(struct listen *l, const char *path, struct err *e)
{
    if (!TEXT_COPY(l->path, path))
        return err_set(e, -ENAMETOOLONG, "socket path %s is longer than 107 characters", path);
    struct stat st;
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return err_set(e, -EEXIST, "socket path %s exists and is not a socket: remove it or choose another", path);
        if (path_answers(path))
            return err_set(e, -EADDRINUSE, "another regentd answers on socket %s: stop it or use another path", path);
        unlink(path);
    }
    int rc = uv_pipe_bind(&l->pipe, path);
    if (rc != 0) return err_set(e, rc, "cannot create socket %s: %s", path, uv_strerror(rc));
    l->pipe_bound = true;
    if (chmod(path, 0660) != 0) return err_errno(e, -errno, "cannot set the mode of socket %s", path);
    return 0;
}

struct listen *listen_start(struct uv_loop_s *loop, const char *address, const char *path, struct err *e)
{
    struct listen *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    uv_tcp_init(loop, &l->tcp);
    l->tcp.data = l;
    l->handles_n = 1;
    l->has_pipe = path[0] != '\0';
    if (l->has_pipe) {
        uv_pipe_init(loop, &l->pipe, 0);
        l->pipe.data = l;
        l->handles_n++;
    }
    int rc = bind_tcp(l, address, e);
    if (rc == 0 && l->has_pipe) rc = bind_path(l, path, e);
    if (rc == 0) return l;
    listen_stop(l);
    return NULL;
}

int listen_open(struct listen *listen, listen_accept_fn *accept, void *arg, struct err *e)
{
    listen->accept = accept;
    listen->arg = arg;
    int rc = uv_listen((uv_stream_t *)&listen->tcp, LISTEN_BACKLOG, on_connection);
    if (rc == 0 && listen->has_pipe) rc = uv_listen((uv_stream_t *)&listen->pipe, LISTEN_BACKLOG, on_connection);
    return rc == 0 ? 0 : err_set(e, rc, "cannot accept connections: %s", uv_strerror(rc));
}

void listen_stop(struct listen *listen)
{
    listen->closing = true;
    while (listen->pending) {
        struct pending *p = listen->pending;
        uv_close((uv_handle_t *)pending_end(p), stream_freed);
    }
    if (listen->pipe_bound) unlink(listen->path);
    if (listen->has_pipe) uv_close((uv_handle_t *)&listen->pipe, listener_closed);
    uv_close((uv_handle_t *)&listen->tcp, listener_closed);
}
