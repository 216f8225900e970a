/* What OpenSSL says of a failure, as an operator's half sentence. The reason that this side had for refusing is kept
 * with the SSL (tls.c); what the other side had comes as an alert, a number without a story. */
#include <errno.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/text.h"
#include "lib/tls_private.h"

static const struct {
    int reason;
    bool is_refusal; /* Of a certificate. */
    const char *text;
} reasons[] = {
    /* Seen here. */
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, true, "it showed no certificate"},
    {SSL_R_NO_APPLICATION_PROTOCOL, false, "it asked for no protocol that we know (ALPN)"},
    {SSL_R_UNSUPPORTED_PROTOCOL, false, "it does not speak TLS 1.3"},
    {SSL_R_WRONG_SSL_VERSION, false, "it does not speak TLS 1.3"},
    {SSL_R_UNKNOWN_PROTOCOL, false, "it does not speak TLS 1.3"},
    {SSL_R_WRONG_VERSION_NUMBER, false, "it does not speak TLS (plaintext, or another program's port)"},
    {SSL_R_HTTP_REQUEST, false, "it does not speak TLS (it sent an HTTP request)"},
    {SSL_R_HTTPS_PROXY_REQUEST, false, "it does not speak TLS (it sent an HTTP request)"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, false, "it does not speak TLS (a length beyond the bound)"},
    {SSL_R_DATA_LENGTH_TOO_LONG, false, "it does not speak TLS (a length beyond the bound)"}, /* OpenSSL 3.5. */
    {SSL_R_BAD_RECORD_TYPE, false, "it does not speak TLS (plaintext, or another program's port)"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, false, "it ended the connection in the middle"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, false, "it sent a handshake beyond the bound"},
    /* Told by the other side. */
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, true, "the other side refused us: it wants a certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, true, "the other side refused us: our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, true, "the other side refused us: our certificate was revoked"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, true, "the other side refused us: our certificate is of another CA than its own"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, true,
     "the other side refused us: our certificate is not valid there (not yet? are the clocks right?)"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, true,
     "the other side refused us: our certificate is not made for this use"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, true, "the other side refused us: it cannot check our certificate"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, true,
     "the other side refused us: our certificate's role may not do this (its log says more)"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, false, "the other side refused us: it does not know our protocol"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, false, "the other side refused us: it does not speak TLS 1.3"},
};

int tls_why(SSL *ssl, struct err *e)
{
    const struct err *kept = tls__kept_reason(ssl);
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);

    ERR_clear_error();
    if (kept != NULL) return err_set(e, kept->code, "%s", kept->text);
    if (code == 0) return err_set(e, -EPROTO, "the connection ended in the middle");
    for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].reason != reason) continue;
        return err_set(e, reasons[i].is_refusal ? -EACCES : -EPROTO, "%s", reasons[i].text);
    }
    return err_set(e, -EPROTO, "TLS: %s", ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "?");
}
