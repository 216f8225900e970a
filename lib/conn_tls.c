/* TLS of a connection, over memory BIOs: OpenSSL never sees the socket.
 *
 * Happy path: what is read goes into 'in'; the handshake, then SSL_read(), take it from there; what OpenSSL wants to
 * send lies in 'out' after each step and is written at once. Failure modes: a refused certificate or a broken record
 * ends the connection, after the alert that tells the other side; a good-bye (close-notify) ends it as an end of the
 * stream does. While the owner has paused, at most one read lies in 'in'.
 *
 * An accepted handshake begins when the first record is whole, so that slow bytes and silence cost nothing, and when
 * its address may have one (lib/conn_pace.h). What is no TLS goes to OpenSSL at once: it refuses it without any
 * cryptography. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conn_private.h"

enum { RECORD_SIZE_MAX = CONN_PIECE_SIZE + 1024 };

int conn_tls_begin(struct conn *conn)
{
    struct tls *tls = conn->net->tls;
    SSL *ssl = conn->accepted ? tls_accept_new(tls) : tls_connect_new(tls, conn->protocol);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return -ENOMEM;
    }
    (void)BIO_set_mem_eof_return(in, -1); /* Empty: more will come. */
    SSL_set_bio(ssl, in, out);            /* They are freed with it. */
    conn->ssl = ssl;
    return 0;
}

void conn_tls_free(struct conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
}

/* Writes what OpenSSL has to send. */
static int flush(struct conn *conn)
{
    static _Thread_local uint8_t record[RECORD_SIZE_MAX];
    BIO *out = SSL_get_wbio(conn->ssl);
    int n, rc = 0;
    while (rc == 0 && !conn->closing && (n = BIO_read(out, record, sizeof record)) > 0)
        rc = conn_raw_write(conn, record, (size_t)n);
    return rc;
}

/* The last that is said, if the kernel takes it at once: whether it does changes nothing. */
static void send_last(struct conn *conn)
{
    uint8_t record[256];
    int n = conn_queued(conn) > 0 ? 0 : BIO_read(SSL_get_wbio(conn->ssl), record, sizeof record);
    if (n <= 0) return;
    uv_buf_t buf = uv_buf_init((char *)record, (unsigned)n);
    (void)uv_try_write(conn->stream, &buf, 1);
}

static void fail(struct conn *conn)
{
    struct err e = {0};
    (void)tls_why(conn->ssl, &e);
    send_last(conn); /* The alert. */
    conn_fail(conn, CONN_REFUSED_TLS, e.text);
}

static void shake_hands(struct conn *conn)
{
    struct err e = {0};
    ERR_clear_error();
    int rc = SSL_do_handshake(conn->ssl);
    int code = rc == 1 ? 0 : SSL_get_error(conn->ssl, rc);
    if (rc != 1 && code != SSL_ERROR_WANT_READ) {
        fail(conn);
        return;
    }
    if (flush(conn) != 0 || rc != 1) return;
    enum frame_protocol agreed;
    if (tls_peer(conn->ssl, &conn->identity, &agreed, &e) != 0) {
        conn_fail(conn, CONN_REFUSED_TLS, e.text);
        return;
    }
    if (!conn->accepted && agreed != conn->protocol) {
        conn_fail(conn, CONN_REFUSED_TLS, "it agreed on another protocol than was asked for");
        return;
    }
    conn->protocol = agreed;
    conn_become_ready(conn);
}

/* One record at most. False when there is nothing more for now. */
static bool read_some(struct conn *conn)
{
    static _Thread_local uint8_t plain[CONN_PIECE_SIZE];
    ERR_clear_error();
    int n = SSL_read(conn->ssl, plain, sizeof plain);
    if (n > 0) {
        conn->hooks.bytes(conn->hooks.arg, conn, plain, (size_t)n);
        return true;
    }
    int code = SSL_get_error(conn->ssl, n);
    if (code == SSL_ERROR_ZERO_RETURN) conn_close(conn, "the other side closed the connection");
    else if (code != SSL_ERROR_WANT_READ) fail(conn);
    return false;
}

void conn_tls_run(struct conn *conn)
{
    if (conn->state == CONN_GREETING) shake_hands(conn);
    while (conn->state == CONN_READY && !conn->closing && !conn->paused)
        if (!read_some(conn)) break;
    if (!conn->closing) (void)flush(conn); /* Answers to what the other side asked of TLS itself. */
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

enum { HANDSHAKE_RECORD = 22, RECORD_HEADER_SIZE = 5 };

enum hello { HELLO_PART, HELLO_WHOLE, HELLO_NONE };

/* What lies in 'in': the first record of a handshake, or no TLS at all. */
static enum hello look_at_hello(struct conn *conn)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(SSL_get_rbio(conn->ssl), &bytes);
    const uint8_t *b = (const uint8_t *)bytes;
    if (n < 1) return HELLO_PART;
    if (b[0] != HANDSHAKE_RECORD) return HELLO_NONE;
    if (n < RECORD_HEADER_SIZE) return HELLO_PART;
    long length = (long)b[3] << 8 | b[4];
    if (length > SSL3_RT_MAX_ENCRYPTED_LENGTH) return HELLO_NONE;
    return n >= RECORD_HEADER_SIZE + length ? HELLO_WHOLE : HELLO_PART;
}

static void on_turn(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->closing) return;
    conn->admitted = true;
    conn_tls_run(conn);
    if (!conn->closing && !conn->paused) conn_start_reading(conn);
}

/* Whether the handshake may go on now. Else it goes on in on_turn(), or it is refused. */
static bool admit(struct conn *conn)
{
    enum hello hello = look_at_hello(conn);
    if (hello != HELLO_WHOLE) return hello == HELLO_NONE; /* That costs nothing. */
    uv_update_time(conn->net->loop);
    int wait_ms = conn_pace_take(&conn->net->pace, &conn->from, uv_now(conn->net->loop));
    if (wait_ms < 0) {
        conn_fail(conn, CONN_REFUSED_PACE, "too many connections from its address were refused lately: it may come "
                  "again in some seconds");
        return false;
    }
    conn->admitted = wait_ms == 0;
    if (conn->admitted) return true;
    (void)uv_read_stop(conn->stream);
    MUST(uv_timer_start(&conn->kick, on_turn, (uint64_t)wait_ms, 0) == 0);
    return false;
}

void conn_tls_input(struct conn *conn, const uint8_t *data, size_t size)
{
    if (BIO_write(SSL_get_rbio(conn->ssl), data, (int)size) != (int)size) {
        conn_close(conn, "out of memory");
        return;
    }
    if (!conn->accepted || conn->admitted || admit(conn)) conn_tls_run(conn);
}

bool conn_tls_has_more(const struct conn *conn)
{
    return BIO_ctrl_pending(SSL_get_rbio(conn->ssl)) > 0 || SSL_pending(conn->ssl) > 0;
}

int conn_tls_write(struct conn *conn, const void *data, size_t size)
{
    ERR_clear_error();
    if (SSL_write(conn->ssl, data, (int)size) == (int)size) return flush(conn);
    fail(conn);
    return -EPIPE;
}

void conn_tls_bye(struct conn *conn)
{
    if (conn->state != CONN_READY || conn_queued(conn) > 0) return;
    ERR_clear_error();
    (void)SSL_shutdown(conn->ssl);
    ERR_clear_error();
    send_last(conn);
}
