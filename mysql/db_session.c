/* One session of the client library: options, connect, and why a connect failed. In a connection's thread; blocks.
 *
 * Why a connect failed is not taken from the library: it reports a refused connect and a connect that found no route
 * with the same number (2002), and the errno in its text is left over from an earlier call (it says 115, EINPROGRESS,
 * for a refused connect, also on loopback: measured with 3.3.20). So after a failure that took less than the connect
 * timeout we connect a plain socket ourselves and look at its errno; see why_failed(). This costs one round trip, only
 * after failures, and a connect that succeeds at that point is closed again at once. */
#include "mysql/db_impl.h"

#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <mysql.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/text.h"

enum {
    PACKET_BYTES_MAX = 16 << 20, /* Largest packet accepted from a server. */
    AFTERMATH_MS_MAX = 1000,     /* Of our own connect after a failure. */
    TIMER_SLACK_MS = 50,         /* Timeouts of the kernel may end a little early. */
};

/* Plugins that do not send the password readable. dialog and mysql_clear_password stay out (ecosystem.md §3). */
static const char *const AUTH_PLUGINS = "mysql_native_password,client_ed25519,caching_sha2_password,parsec";

void db_library_init(void)
{
    MUST(mysql_library_init(0, NULL, NULL) == 0);
    /* Many small threads: the default of 8 arenas a core would cost more than they do. */
    (void)mallopt(M_ARENA_MAX, 2);
}

void db_library_end(void)
{
    mysql_library_end();
}

static void set(MYSQL *mysql, enum mysql_option option, const void *value)
{
    MUST(mysql_optionsv(mysql, option, value) == 0);
}

/* From 3.4 on the library checks either CA and host name together, or nothing [measured with 3.4 of Debian 13]. */
static bool library_checks_host_with_ca(void)
{
    return mysql_get_client_version() >= 30400;
}

/* Both ways are said explicitly, since the library's default changed between 3.3 and 3.4. A CA that is given is always
 * checked: where that cannot be had without the host name, the host name is checked as well. */
static void set_tls(MYSQL *mysql, const struct db_endpoint *endpoint)
{
    my_bool is_wanted = endpoint->tls_ca[0] != '\0';
    my_bool must_verify_host = is_wanted && (endpoint->tls_verify_host || library_checks_host_with_ca());
    set(mysql, MYSQL_OPT_SSL_ENFORCE, &is_wanted);
    set(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &must_verify_host);
    if (!is_wanted) return;
    set(mysql, MYSQL_OPT_SSL_CA, endpoint->tls_ca);
    if (endpoint->tls_cert[0] != '\0') set(mysql, MYSQL_OPT_SSL_CERT, endpoint->tls_cert);
    if (endpoint->tls_key[0] != '\0') set(mysql, MYSQL_OPT_SSL_KEY, endpoint->tls_key);
}

/* No read or write timeout: they would end long statements; our own deadline ends the rest. During the connect the
 * library applies the connect timeout to each read. */
static void set_options(MYSQL *mysql, const struct db_endpoint *endpoint)
{
    unsigned protocol = MYSQL_PROTOCOL_TCP; /* "localhost" is a host, not a unix socket. */
    unsigned timeout_s = (endpoint->connect_timeout_ms + 999) / 1000;
    if (timeout_s == 0) timeout_s = 1;
    unsigned off = 0;
    my_bool no = 0;
    size_t packet_bytes = PACKET_BYTES_MAX;
    set(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    set(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    set(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
    set(mysql, MYSQL_OPT_RECONNECT, &no);
    set(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_bytes);
    set(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    set(mysql, MARIADB_OPT_RESTRICTED_AUTH, AUTH_PLUGINS);
    if (endpoint->program[0] != '\0') {
        MUST(mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", endpoint->program) == 0);
    }
    set_tls(mysql, endpoint);
}

/* Connects a plain socket to one address. Returns 0, or errno (ETIMEDOUT after 'timeout_ms'). */
static int try_address(const struct addrinfo *address, int timeout_ms)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0) return errno;
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof(error);
        int n = poll(&p, 1, timeout_ms);
        if (n == 0) {
            error = ETIMEDOUT;
        } else if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    (void)close(fd);
    return error;
}

/* What a plain connect says: 0 (somebody listens at one of the addresses), ECONNREFUSED only when all addresses
 * refuse, else the errno of the last one that did something else. */
static int try_host(const struct db_endpoint *endpoint, int timeout_ms)
{
    char port[8];
    struct text t = TEXT_ON(port);
    text_addf(&t, "%u", endpoint->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct addrinfo *list = NULL;
    if (getaddrinfo(endpoint->host, port, &hints, &list) != 0) return EHOSTUNREACH;
    int error = ECONNREFUSED;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int one = try_address(a, timeout_ms);
        if (one != ECONNREFUSED) error = one;
        if (one == 0) break;
    }
    freeaddrinfo(list);
    return error;
}

bool db_is_client_error(unsigned code)
{
    return (code >= CR_MIN_ERROR && code <= 2999) || (code >= 5000 && code <= 5999);
}

/* A server that answers, but with which we cannot talk: an alarm, not death. */
static bool is_disagreement(unsigned code)
{
    return code == CR_SSL_CONNECTION_ERROR || code == CR_AUTH_PLUGIN_CANNOT_LOAD || code == CR_AUTH_PLUGIN_ERR ||
           code == CR_VERSION_ERROR;
}

static void say_errno(struct db_result *result, const struct db_endpoint *endpoint, int error)
{
    char reason[128];
    struct text t = TEXT_ON(result->error);
    text_addf(&t, "connect to %s:%u: %s", endpoint->host, endpoint->port, strerror_r(error, reason, sizeof(reason)));
}

/* Maps a failed connect that took 'took_ms' to a status, and says it for people. */
static void why_failed(struct db_result *result, const struct db_endpoint *endpoint, MYSQL *mysql, uint64_t took_ms)
{
    result->code = mysql_errno(mysql);
    struct text t = TEXT_ON(result->error);
    text_addf(&t, "connect to %s:%u: %s", endpoint->host, endpoint->port, mysql_error(mysql));
    result->status = DB_UNREACHABLE;
    if (!db_is_client_error(result->code)) {
        result->status = DB_ERROR;
    } else if (result->code == CR_UNKNOWN_HOST) {
        result->status = DB_UNREACHABLE;
    } else if (took_ms + TIMER_SLACK_MS >= endpoint->connect_timeout_ms) {
        result->status = DB_TIMED_OUT;
        say_errno(result, endpoint, ETIMEDOUT);
    } else {
        uint64_t left_ms = endpoint->connect_timeout_ms - took_ms;
        int error = try_host(endpoint, left_ms < AFTERMATH_MS_MAX ? (int)left_ms : AFTERMATH_MS_MAX);
        if (error == ECONNREFUSED) result->status = DB_REFUSED;
        if (error == ETIMEDOUT) result->status = DB_TIMED_OUT;
        if (error == 0 && is_disagreement(result->code)) result->status = DB_ERROR;
        if (error != 0) say_errno(result, endpoint, error);
    }
}

bool db_session_connect(struct db_session *session, const struct db_endpoint *endpoint, struct db_result *result)
{
    MYSQL *mysql = mysql_init(NULL);
    MUST(mysql != NULL);
    set_options(mysql, endpoint);
    uint64_t start_ns = uv_hrtime();
    unsigned long flags = CLIENT_MULTI_STATEMENTS | CLIENT_MULTI_RESULTS;
    if (mysql_real_connect(mysql, endpoint->host, endpoint->user, endpoint->password, NULL, endpoint->port, NULL,
                           flags) == NULL) {
        why_failed(result, endpoint, mysql, (uv_hrtime() - start_ns) / 1000000);
        mysql_close(mysql);
        return false;
    }
    *session = (struct db_session){.mysql = mysql, .fresh = true};
    /* The library does not set it (ecosystem.md §3): programs that we start must not inherit the session. */
    (void)fcntl(db_session_fd(session), F_SETFD, FD_CLOEXEC);
    return true;
}

int db_session_fd(const struct db_session *session)
{
    return session->mysql == NULL ? -1 : (int)mysql_get_socket(session->mysql);
}

void db_session_close(struct db_session *session)
{
    if (session->mysql != NULL) mysql_close(session->mysql);
    *session = (struct db_session){0};
}
