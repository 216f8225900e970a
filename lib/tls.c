/* Contexts and their life: opened, reloaded, asked.
 *
 * Happy path: a set of files is read and checked (tls_files.c), two contexts are made over it, and each connection
 * takes one of them. In the handshake OpenSSL verifies the chain; then verify_peer() asks what the leaf names.
 * Failure modes:
 * - A peer is refused: the reason is kept with its SSL, because OpenSSL keeps only a number and drops the certificate.
 * - Files that were replaced do not fit: the set in force stays, and they are looked at again a minute later. */
#include "lib/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/tls_private.h"

enum {
    FILES_N = 4,
    RETRY_MS = 60 * 1000,
    CRL_WARN_MS = 3600 * 1000,
    EXPIRY_WARN_MS = 24 * 3600 * 1000,
    EXPIRY_WARN_S = 30 * 24 * 3600,
    CERT_LIST_MAX = 32 << 10, /* Bytes of certificates that a peer may send. */
};

/* What stat() tells of a file: enough to see that it was replaced or rewritten. */
struct look {
    uint64_t device, inode, size;
    int64_t changed_ns; /* 0: there is none. */
};

struct tls {
    struct tls_files files;
    struct tls_set *set;
    struct look looks[FILES_N]; /* Before the last reading. */
    struct mono retry_at;       /* Set while the last reload failed. */
    struct mono crl_warned, expiry_warned;
};

static int reason_index = -1;
static pthread_once_t reason_once = PTHREAD_ONCE_INIT;

static void free_reason(void *parent, void *reason, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
    /* tidy: callback */
    (void)parent;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    free(reason);
}

static void make_reason_index(void)
{
    reason_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_reason);
    MUST(reason_index >= 0);
}

/* Keeps the first reason: later ones follow from it. */
static void keep_reason(SSL *ssl, const struct err *reason)
{
    struct err *kept;

    if (SSL_get_ex_data(ssl, reason_index) != NULL) return;
    kept = malloc(sizeof *kept);
    if (kept == NULL) return;
    *kept = *reason;
    if (SSL_set_ex_data(ssl, reason_index, kept) != 1) free(kept);
}

const struct err *tls__kept_reason(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, reason_index);
}

/* Who 'cert' names, and whether he may speak what was agreed. */
static int judge(SSL *ssl, X509 *cert, struct tls_identity *peer, enum frame_protocol *protocol, struct err *e)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    int rv, agreed;

    rv = tls_identity_of(cert, peer, e);
    if (rv != 0) {
        char who[192];

        tls_describe(cert, who, sizeof who);
        return err_wrap(e, rv, "the certificate of %s is of no use here", who);
    }
    SSL_get0_alpn_selected(ssl, &name, &len);
    agreed = tls_alpn_parse(name, len);
    if (agreed < 0) return err_set(e, -EACCES, "%s %s named no protocol (ALPN)", tls_role_name(peer->role), peer->name);
    if (protocol != NULL) *protocol = (enum frame_protocol)agreed;
    return tls_may_speak(peer, (enum frame_protocol)agreed, SSL_is_server(ssl) == 1, e);
}

/* OpenSSL's callback for each certificate of a chain, once more with 'ok' for the leaf when all is well. */
static int verify_peer(int ok, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    struct tls_identity peer;
    struct err reason = {0};

    if (ok == 1 && X509_STORE_CTX_get_error_depth(ctx) > 0) return 1;
    if (ok == 1 && judge(ssl, cert, &peer, NULL, &reason) == 0) return 1;
    if (ok == 1) {
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    } else if (tls__is_crl_date(X509_STORE_CTX_get_error(ctx))) {
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    } else {
        (void)tls__verify_text(X509_STORE_CTX_get_error(ctx), cert, &reason);
    }
    keep_reason(ssl, &reason);
    return 0;
}

/* The first protocol that the caller offers and we know. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    /* tidy: callback */
    (void)ssl;
    (void)arg;
    for (unsigned i = 0; i < in_len && in[i] < in_len - i; i += 1u + in[i]) {
        if (tls_alpn_parse(in + i + 1, in[i]) < 0) continue;
        *out = in + i + 1;
        *out_len = in[i];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_rules(SSL_CTX *ctx, struct tls_set *set)
{
    int verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) return -EINVAL;
    if (SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1) return -EINVAL;
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_num_tickets(ctx, 0) != 1) return -EINVAL;
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
    SSL_CTX_set_verify(ctx, verify, verify_peer);
    SSL_CTX_set_verify_depth(ctx, TLS_DEPTH_MAX);
    SSL_CTX_set1_cert_store(ctx, set->store);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
    if (SSL_CTX_use_certificate(ctx, set->cert) != 1 || SSL_CTX_use_PrivateKey(ctx, set->key) != 1) return -EINVAL;
    return SSL_CTX_set1_chain(ctx, set->chain) == 1 ? 0 : -EINVAL;
}

SSL_CTX *tls__context_new(struct tls_set *set, bool is_accepting, struct err *e)
{
    SSL_CTX *ctx = SSL_CTX_new(is_accepting ? TLS_server_method() : TLS_client_method());

    (void)pthread_once(&reason_once, make_reason_index);
    ERR_clear_error();
    if (ctx != NULL && set_rules(ctx, set) == 0) return ctx;
    (void)err_set(e, -EINVAL, "OpenSSL refuses what TLS 1.3 between us needs: %s", tls__queue_text());
    SSL_CTX_free(ctx);
    return NULL;
}

static struct look look_at(const char *path)
{
    struct stat st;

    if (path[0] == '\0' || stat(path, &st) != 0) return (struct look){0};
    return (struct look){.device = st.st_dev,
                         .inode = st.st_ino,
                         .size = (uint64_t)st.st_size,
                         .changed_ns = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec};
}

static void look_at_all(const struct tls_files *files, struct look looks[FILES_N])
{
    looks[0] = look_at(files->ca);
    looks[1] = look_at(files->cert);
    looks[2] = look_at(files->key);
    looks[3] = look_at(files->crl);
}

struct tls *tls_open(const struct tls_files *files, struct err *e)
{
    struct tls *t = calloc(1, sizeof *t);

    if (t == NULL) {
        (void)err_errno(e, -ENOMEM, "TLS");
        return NULL;
    }
    t->files = *files;
    look_at_all(&t->files, t->looks);
    t->set = tls__set_read(&t->files, e);
    if (t->set != NULL && tls__set_check_self(t->set, false, e) == 0) return t;
    tls_close(t);
    return NULL;
}

void tls_close(struct tls *t)
{
    if (t == NULL) return;
    tls__set_free(t->set);
    free(t);
}

int tls_reload(struct tls *t, struct err *e)
{
    struct tls_set *set;
    int rv;

    look_at_all(&t->files, t->looks); /* Before reading: what is replaced meanwhile is seen next time. */
    t->retry_at = mono_add_ms(clock_mono(), RETRY_MS);
    set = tls__set_read(&t->files, e);
    if (set == NULL) return -EINVAL;
    rv = tls__set_check_self(set, set->self_digest == t->set->self_digest, e);
    if (rv != 0) {
        tls__set_free(set);
        return rv;
    }
    tls__set_free(t->set);
    t->set = set;
    t->retry_at = t->crl_warned = t->expiry_warned = MONO_NEVER;
    return 0;
}

/* True when 'every_ms' has passed since '*last', which is then now. */
static bool is_due(struct mono *last, struct mono now, int64_t every_ms)
{
    if (mono_is_set(*last) && mono_since_ms(now, *last) < every_ms) return false;
    *last = now;
    return true;
}

static void warn_of_dates(struct tls *t, struct mono now)
{
    int64_t now_s = clock_wall().us / 1000000, ends_s = t->set->self.not_after_s;
    char date[32];

    if (t->set->crl_until_s != 0 && now_s > t->set->crl_until_s && is_due(&t->crl_warned, now, CRL_WARN_MS)) {
        tls_time_print(t->set->crl_until_s, date);
        log_err("tls.crl_old",
                "file=%s until=\"%s\" text=\"newer revocations may be missing; it stays in force\" "
                "action=\"put a new crl.pem there (regent pki revoke or renew makes one)\"",
                t->files.crl, date);
    }
    if (ends_s - now_s < EXPIRY_WARN_S && is_due(&t->expiry_warned, now, EXPIRY_WARN_MS)) {
        tls_time_print(ends_s, date);
        log_warn("tls.expiring", "file=%s until=\"%s\" action=\"regent pki renew %s, then replace the files\"",
                 t->files.cert, date, t->set->self.name);
    }
}

bool tls_files_changed(struct tls *t)
{
    struct look looks[FILES_N];
    struct mono now = clock_mono();

    warn_of_dates(t, now);
    look_at_all(&t->files, looks);
    if (memcmp(looks, t->looks, sizeof looks) != 0) return true;
    return mono_is_set(t->retry_at) && !mono_before(now, t->retry_at);
}

const struct tls_identity *tls_self(const struct tls *t)
{
    return &t->set->self;
}

SSL *tls_accept_new(struct tls *t)
{
    SSL *ssl = SSL_new(t->set->accepting);

    if (ssl != NULL) SSL_set_accept_state(ssl);
    return ssl;
}

SSL *tls_connect_new(struct tls *t, enum frame_protocol protocol)
{
    const char *name = tls_alpn_name(protocol);
    unsigned char wire[1 + TLS_ALPN_SIZE];
    SSL *ssl = SSL_new(t->set->calling);

    MUST(strlen(name) <= TLS_ALPN_SIZE);
    wire[0] = (unsigned char)strlen(name);
    memcpy(wire + 1, name, wire[0]);
    if (ssl == NULL) return NULL;
    SSL_set_connect_state(ssl);
    if (SSL_set_alpn_protos(ssl, wire, 1u + wire[0]) == 0) return ssl;
    SSL_free(ssl);
    return NULL;
}

/* The certificate of the CA that made the other side trusted. */
static uint64_t anchor_of(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int n = chain != NULL ? sk_X509_num(chain) : 0;

    return n > 0 ? tls_cert_digest(sk_X509_value(chain, n - 1)) : 0;
}

int tls_peer(SSL *ssl, struct tls_identity *peer, enum frame_protocol *protocol, struct err *e)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    int rv;

    memset(peer, 0, sizeof *peer);
    if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK || SSL_is_init_finished(ssl) == 0)
        rv = err_set(e, -EACCES, "it has not proven who it is");
    else rv = judge(ssl, cert, peer, protocol, e);
    if (rv == 0) peer->anchor = anchor_of(ssl);
    X509_free(cert);
    return rv;
}

int tls_check_again(struct tls *t, const struct tls_identity *peer, struct err *e)
{
    const char *role = tls_role_name(peer->role);
    bool has_anchor = peer->anchor == 0;
    char date[32];

    if (clock_wall().us / 1000000 > peer->not_after_s) {
        tls_time_print(peer->not_after_s, date);
        return err_set(e, -EACCES, "the certificate of %s %s (serial %s) expired on %s", role, peer->name, peer->serial,
                       date);
    }
    if (tls__set_has_revoked(t->set, peer))
        return err_set(e, -EACCES, "the certificate of %s %s (serial %s) was revoked", role, peer->name, peer->serial);
    for (unsigned i = 0; i < t->set->anchors_n; i++) has_anchor |= t->set->anchors[i] == peer->anchor;
    if (has_anchor) return 0;
    return err_set(e, -EACCES, "the CA of the certificate of %s %s (serial %s) is trusted no more", role, peer->name,
                   peer->serial);
}
