/* From a certificate to who its owner is. What is read here was signed by our CA, but perhaps not made by our tools:
 * lengths, characters and counts are checked, and what is ambiguous is refused. */
#include "lib/tls_identity.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "lib/base/text.h"

enum { NAMES_MAX = 64 }; /* Alternative names looked at in one certificate. */

static const char *const role_names[] = {"nobody", "manager", "agent", "operator"};

static const struct alpn {
    enum frame_protocol protocol;
    const char *name;
    unsigned roles; /* Bits of enum tls_role: who may call with it. */
    const char *who;
} alpns[] = {
    {FRAME_RAFT, "regent-raft/1", 1u << TLS_MANAGER, "managers only"},
    {FRAME_PEER, "regent-peer/1", 1u << TLS_MANAGER, "managers only"},
    {FRAME_CLIENT, "regent-client/1", 1u << TLS_OPERATOR | 1u << TLS_MANAGER, "operators and managers only"},
    {FRAME_AGENT, "regent-agent/1", 1u << TLS_AGENT, "agents only"},
};

const char *tls_role_name(enum tls_role role)
{
    MUST((size_t)role < ARRAY_LEN(role_names));
    return role_names[role];
}

enum tls_role tls_role_parse(const char *name)
{
    for (size_t i = 1; i < ARRAY_LEN(role_names); i++)
        if (text_equal(name, role_names[i])) return (enum tls_role)i;
    return TLS_NOBODY;
}

static const struct alpn *alpn_of(enum frame_protocol protocol)
{
    for (size_t i = 0; i < ARRAY_LEN(alpns); i++)
        if (alpns[i].protocol == protocol) return &alpns[i];
    MUST_NOT_REACH();
}

const char *tls_alpn_name(enum frame_protocol protocol)
{
    return alpn_of(protocol)->name;
}

int tls_alpn_parse(const uint8_t *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(alpns); i++)
        if (len == strlen(alpns[i].name) && memcmp(name, alpns[i].name, len) == 0) return (int)alpns[i].protocol;
    return -EPROTO;
}

bool tls_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= TLS_NAME_SIZE || !isalnum((unsigned char)name[0])) return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL) return false;
    return true;
}

static int take_id(struct tls_identity *id, const char *text, struct err *e)
{
    uint64_t value;

    if (!text_to_u64(text, &value) || value == 0 || text[0] == '0')
        return err_set(e, -EACCES, "its id \"%.24s\" is no number of a manager", text);
    if (id->id != 0) return err_set(e, -EACCES, "it names more than one id");
    id->id = value;
    return 0;
}

/* One URI. Those that are not ours, or of a kind that is not known yet, say nothing. */
static int take_uri(struct tls_identity *id, const char *uri, struct err *e)
{
    static const char scheme[] = "regent:";
    const char *kind = uri + strlen(scheme), *value;
    char word[16];
    size_t len;

    if (strncmp(uri, scheme, strlen(scheme)) != 0) return 0;
    len = strcspn(kind, ":");
    value = kind[len] == ':' ? kind + len + 1 : kind + len;
    if (len >= sizeof word) return 0;
    (void)text_copy(word, len + 1, kind);
    if (text_equal(word, "id")) return take_id(id, value, e);
    if (tls_role_parse(word) == TLS_NOBODY) return 0;
    if (id->role != TLS_NOBODY) return err_set(e, -EACCES, "it names more than one role");
    if (!tls_name_is_valid(value)) return err_set(e, -EACCES, "its name \"%.40s\" is not allowed", uri);
    id->role = tls_role_parse(word);
    (void)TEXT_COPY(id->name, value);
    return 0;
}

static int take_uris(struct tls_identity *id, const GENERAL_NAMES *names, struct err *e)
{
    int n = names != NULL ? sk_GENERAL_NAME_num(names) : 0;

    if (n > NAMES_MAX) return err_set(e, -EACCES, "it has more than %d alternative names", NAMES_MAX);
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_IA5STRING *uri;
        int rv;

        if (name->type != GEN_URI) continue;
        uri = name->d.uniformResourceIdentifier;
        if (strlen((const char *)ASN1_STRING_get0_data(uri)) != (size_t)ASN1_STRING_length(uri))
            return err_set(e, -EACCES, "a name in it holds a zero byte");
        rv = take_uri(id, (const char *)ASN1_STRING_get0_data(uri), e);
        if (rv != 0) return rv;
    }
    if (id->role == TLS_NOBODY)
        return err_set(e, -EACCES, "it names no role (no alternative name like URI:regent:operator:NAME)");
    if (id->role == TLS_MANAGER && id->id == 0)
        return err_set(e, -EACCES, "it names a manager without its id (URI:regent:id:N)");
    if (id->role != TLS_MANAGER && id->id != 0) return err_set(e, -EACCES, "it names an id but no manager");
    return 0;
}

int64_t tls_time_s(const ASN1_TIME *t)
{
    struct tm tm = {0};

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void tls_time_print(int64_t s, char *to)
{
    time_t t = (time_t)s;
    struct tm tm = {0};

    if (gmtime_r(&t, &tm) == NULL || strftime(to, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) to[0] = '\0';
}

static uint64_t digest(const unsigned char *data, size_t size)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    uint64_t value = 0;

    if (EVP_Digest(data, size, md, &len, EVP_sha256(), NULL) != 1) return 1;
    MUST(len >= sizeof value);
    memcpy(&value, md, sizeof value);
    return value != 0 ? value : 1;
}

uint64_t tls_name_digest(const X509_NAME *name)
{
    const unsigned char *der = NULL;
    size_t size = 0;

    return X509_NAME_get0_der(name, &der, &size) == 1 ? digest(der, size) : 1;
}

uint64_t tls_cert_digest(const X509 *cert)
{
    unsigned char *der = NULL;
    int size = i2d_X509(cert, &der);
    uint64_t value = size > 0 ? digest(der, (size_t)size) : 1;

    OPENSSL_free(der);
    return value;
}

bool tls_serial_print(const ASN1_INTEGER *serial, char to[TLS_SERIAL_SIZE])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    bool fits = hex != NULL && text_copy(to, TLS_SERIAL_SIZE, hex);

    for (char *c = to; fits && *c != '\0'; c++) *c = (char)tolower((unsigned char)*c);
    if (!fits) to[0] = '\0';
    OPENSSL_free(hex);
    BN_free(number);
    return fits;
}

int tls_identity_of(X509 *cert, struct tls_identity *id, struct err *e)
{
    GENERAL_NAMES *names;
    int rv;

    memset(id, 0, sizeof *id);
    if (!tls_serial_print(X509_get0_serialNumber(cert), id->serial))
        return err_set(e, -EACCES, "its serial number is too long");
    id->not_after_s = tls_time_s(X509_get0_notAfter(cert));
    id->issuer = tls_name_digest(X509_get_issuer_name(cert));
    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    rv = take_uris(id, names, e);
    GENERAL_NAMES_free(names);
    return rv;
}

int tls_may_speak(const struct tls_identity *id, enum frame_protocol protocol, bool has_called, struct err *e)
{
    const struct alpn *a = alpn_of(protocol);

    if (!has_called && id->role == TLS_MANAGER) return 0;
    if (!has_called)
        return err_set(e, -EACCES, "it is no manager but %s %s", tls_role_name(id->role), id->name);
    if ((a->roles & 1u << id->role) != 0) return 0;
    return err_set(e, -EACCES, "wrong role: %s %s asked for protocol %s, which is for %s", tls_role_name(id->role),
                   id->name, a->name, a->who);
}

void tls_name_print(const X509_NAME *name, char *to, size_t size)
{
    (void)X509_NAME_oneline(name, to, (int)size); /* Escapes what is not printable. */
    for (char *c = to; *c != '\0'; c++)
        if (*c == '"') *c = '\'';
}

void tls_describe(X509 *cert, char *to, size_t size)
{
    struct text t = text_on(to, size);
    struct tls_identity id;
    char subject[96];

    if (tls_identity_of(cert, &id, NULL) == 0) {
        text_addf(&t, "%s %s (serial %s)", tls_role_name(id.role), id.name, id.serial);
    } else {
        tls_name_print(X509_get_subject_name(cert), subject, sizeof subject);
        text_addf(&t, "%s (serial %s)", subject, id.serial);
    }
}
