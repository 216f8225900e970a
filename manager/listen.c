/* Listener. See listen.h. */
#include "manager/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "lib/address.h"
#include "lib/base/text.h"
#include "lib/log.h"

enum { LISTEN_BACKLOG = 128 };

struct listen {
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    struct conn_net *net;
    bool has_pipe, pipe_bound, closing;
    unsigned refs;      /* Open handles and pending connections: memory is freed with the last one. */
    unsigned pending_n;
    char path[108];
    listen_accept_fn *accept;
    void *arg;
    struct pending *pending; /* List. */
};

/* A connection within its handshake. */
struct pending {
    struct listen *listen;
    struct pending *next, **link;
    struct conn *conn;
};

static void listen_unref(struct listen *l)
{
    MUST(l->refs > 0);
    if (--l->refs == 0) free(l);
}

static void listener_closed(uv_handle_t *handle)
{
    listen_unref(handle->data);
}

/* --- one connection --------------------------------------------------------------------------------------------- */

static void pending_end(struct pending *p)
{
    struct listen *l = p->listen;
    *p->link = p->next;
    if (p->next) p->next->link = p->link;
    l->pending_n--;
    free(p);
    listen_unref(l);
}

static void nobody_closed(void *arg, struct conn *conn, const char *why)
{
    (void)arg;
    (void)conn;
    (void)why;
}

static void on_bytes(void *arg, struct conn *conn, const uint8_t *data, size_t size)
{
    (void)arg;
    (void)conn;
    (void)data;
    (void)size;
    MUST_NOT_REACH(); /* They go to the next owner; there are none when it has refused. */
}

static void on_closed(void *arg, struct conn *conn, const char *why)
{
    (void)conn;
    (void)why;
    pending_end(arg);
}

/* The next owner may refuse it at once, and then never sets hooks. */
static void on_ready(void *arg, struct conn *conn)
{
    struct pending *p = arg;
    struct listen *l = p->listen;
    const struct conn_hooks nobody = {.ready = on_ready, .bytes = on_bytes, .closed = nobody_closed};
    conn_set_hooks(conn, &nobody);
    l->accept(l->arg, conn_protocol(conn), conn);
    pending_end(p);
}

static void stream_freed(uv_handle_t *handle)
{
    free(handle);
}

static void pending_begin(struct listen *l, uv_stream_t *stream, bool local)
{
    struct pending *p = l->pending_n < LISTEN_PENDING_MAX ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        log_limited(LOG_LEVEL_WARN, "listen.full", "text=\"too many connections within their handshake: one was "
                    "closed\"");
        uv_close((uv_handle_t *)stream, stream_freed);
        return;
    }
    const struct conn_hooks hooks = {.arg = p, .ready = on_ready, .bytes = on_bytes, .closed = on_closed};
    p->listen = l;
    p->conn = conn_accept(l->net, stream, local, &hooks);
    if (!p->conn) {
        free(p);
        return;
    }
    p->next = l->pending;
    p->link = &l->pending;
    if (p->next) p->next->link = &p->next;
    l->pending = p;
    l->pending_n++;
    l->refs++;
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
    if (rc == 0) {
        pending_begin(l, stream, local);
        return;
    }
    log_limited(LOG_LEVEL_WARN, "listen.accept", "text=\"a connection was not accepted: %s\"", uv_strerror(rc));
    uv_close((uv_handle_t *)stream, stream_freed);
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

/* The first address of a name; once, at the start. */
static bool look_up(const char *host, uint16_t port, struct sockaddr_storage *to)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    if (getaddrinfo(host, NULL, &hints, &found) != 0) return false;
    bool good = found->ai_addrlen <= sizeof *to && (found->ai_family == AF_INET || found->ai_family == AF_INET6);
    if (good) memcpy(to, found->ai_addr, found->ai_addrlen);
    if (to->ss_family == AF_INET6) ((struct sockaddr_in6 *)to)->sin6_port = htons(port);
    else ((struct sockaddr_in *)to)->sin_port = htons(port);
    freeaddrinfo(found);
    return good;
}

static int bind_tcp(struct listen *l, const char *address, struct err *e)
{
    char host[256];
    uint16_t port;
    struct sockaddr_storage to;
    if (address_split(address, host, sizeof host, &port) != 0)
        return err_set(e, -EINVAL, "listen address '%s' is not host:port", address);
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&to) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&to) != 0 && !look_up(host, port, &to))
        return err_set(e, -EINVAL, "listen address '%s': the host has no address here (DNS, /etc/hosts); 0.0.0.0 and "
                       "[::] are all addresses of this host", address);
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

struct listen *listen_start(struct conn_net *net, const char *address, const char *path, struct err *e)
{
    struct listen *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    l->net = net;
    uv_tcp_init(net->loop, &l->tcp);
    l->tcp.data = l;
    l->refs = 1;
    l->has_pipe = path[0] != '\0';
    if (l->has_pipe) {
        uv_pipe_init(net->loop, &l->pipe, 0);
        l->pipe.data = l;
        l->refs++;
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
    for (struct pending *p = listen->pending; p; p = p->next) conn_close(p->conn, "this manager is stopping");
    if (listen->pipe_bound) unlink(listen->path);
    if (listen->has_pipe) uv_close((uv_handle_t *)&listen->pipe, listener_closed);
    uv_close((uv_handle_t *)&listen->tcp, listener_closed);
}
