/* lib/tls: who may talk to whom, and what is told to those who may not; rotation and revocation while running. */
#include "lib/tls_identity.h"
#include "tests/unit/tls_fixture.h"

static struct tls_fixture f;
static struct tls *m1; /* The accepting manager of most tests; without CRL. */

static int set_up(void **state)
{
    (void)state;
    fixture_init(&f);
    fixture_issue(&f, TLS_MANAGER, "m1", 1);
    fixture_issue(&f, TLS_MANAGER, "m2", 2);
    fixture_issue(&f, TLS_AGENT, "db1", 0);
    fixture_issue(&f, TLS_OPERATOR, "operator", 0);
    m1 = fixture_open(&f, "m1", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_close(m1);
    fixture_fini(&f);
    return 0;
}

static struct meeting meet(struct tls *accepting, struct tls *calling, enum frame_protocol protocol)
{
    struct meeting m = {.accepted = tls_accept_new(accepting), .called = tls_connect_new(calling, protocol)};

    assert_non_null(m.accepted);
    assert_non_null(m.called);
    meeting_run(&m);
    return m;
}

#define ASSERT_TELLS(e, words)                                                                                        \
    do {                                                                                                              \
        if (strstr((e).text, words) == NULL) fail_msg("\"%s\" does not tell \"%s\"", (e).text, words);               \
        assert_null(strchr((e).text, '\n'));                                                                          \
    } while (0)

static void managers_know_each_other(void **state)
{
    struct tls *m2 = fixture_open(&f, "m2", NULL);
    struct meeting m = meet(m1, m2, FRAME_RAFT);
    struct tls_identity peer;
    enum frame_protocol protocol = FRAME_AGENT;
    struct err e = {0};

    (void)state;
    assert_true(m.has_accepted && m.has_called);
    assert_int_equal(tls_peer(m.accepted, &peer, &protocol, &e), 0);
    assert_int_equal(protocol, FRAME_RAFT);
    assert_int_equal(peer.role, TLS_MANAGER);
    assert_string_equal(peer.name, "m2");
    assert_int_equal(peer.id, 2);
    assert_true(peer.not_after_s > fixture_now_s() + 396 * FIXTURE_DAY_S);
    assert_int_equal(strlen(peer.serial), 32);
    assert_true(peer.anchor != 0);
    assert_string_equal(peer.serial, tls_self(m2)->serial);
    assert_int_equal(tls_peer(m.called, &peer, NULL, &e), 0);
    assert_int_equal(peer.id, 1);
    assert_string_equal(SSL_get_version(m.called), "TLSv1.3");
    assert_false(SSL_SESSION_is_resumable(SSL_get_session(m.called)));
    meeting_fini(&m);
    tls_close(m2);
}

/* Who calls, with what, and whether he gets in. */
static void role_and_protocol_agree(void **state)
{
    static const struct {
        const char *who;
        enum frame_protocol protocol;
        const char *refusal; /* NULL: let in. */
    } rows[] = {
        {"m2", FRAME_RAFT, NULL},
        {"m2", FRAME_PEER, NULL},
        {"m2", FRAME_CLIENT, NULL},
        {"m2", FRAME_AGENT, "wrong role: manager m2 asked for protocol regent-agent/1, which is for agents only"},
        {"db1", FRAME_RAFT, "wrong role: agent db1 asked for protocol regent-raft/1, which is for managers only"},
        {"db1", FRAME_PEER, "wrong role: agent db1"},
        {"db1", FRAME_CLIENT, "wrong role: agent db1"},
        {"db1", FRAME_AGENT, NULL},
        {"operator", FRAME_RAFT, "wrong role: operator operator asked for protocol regent-raft/1"},
        {"operator", FRAME_PEER, "wrong role: operator operator"},
        {"operator", FRAME_CLIENT, NULL},
        {"operator", FRAME_AGENT, "wrong role: operator operator"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls *caller = fixture_open(&f, rows[i].who, NULL);
        struct meeting m = meet(m1, caller, rows[i].protocol);
        struct tls_identity peer;
        struct err e = {0};

        assert_int_equal(m.has_accepted, rows[i].refusal == NULL);
        assert_int_equal(m.has_called, rows[i].refusal == NULL);
        assert_int_equal(tls_peer(m.accepted, &peer, NULL, &e), rows[i].refusal == NULL ? 0 : -EACCES);
        if (rows[i].refusal != NULL) {
            ASSERT_TELLS(m.accept_error, rows[i].refusal);
            ASSERT_TELLS(m.call_error, "role may not do this");
            assert_int_equal(m.accept_error.code, -EACCES);
        }
        meeting_fini(&m);
        tls_close(caller);
    }
}

static void only_a_manager_is_called(void **state)
{
    struct tls *agent = fixture_open(&f, "db1", NULL), *person = fixture_open(&f, "operator", NULL);
    struct meeting m = meet(agent, person, FRAME_CLIENT);

    (void)state;
    assert_false(m.has_called);
    ASSERT_TELLS(m.call_error, "it is no manager but agent db1");
    meeting_fini(&m);
    m = meet(person, m1, FRAME_CLIENT);
    assert_false(m.has_called);
    ASSERT_TELLS(m.call_error, "not made for this use");
    meeting_fini(&m);
    tls_close(agent);
    tls_close(person);
}

/* A caller that no honest program is: any certificate or none, any version, any ALPN. */
static struct meeting meet_rogue(const char *name, int version, const char *alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct meeting m = {.accepted = tls_accept_new(m1)};

    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    if (name != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, fixture_path(&f, name, ".crt")), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, fixture_path(&f, name, ".key"), SSL_FILETYPE_PEM), 1);
    }
    m.called = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (alpn != NULL) {
        unsigned char wire[64] = {(unsigned char)strlen(alpn)};

        memcpy(wire + 1, alpn, wire[0]);
        assert_int_equal(SSL_set_alpn_protos(m.called, wire, 1u + wire[0]), 0);
    }
    SSL_set_connect_state(m.called);
    meeting_run(&m);
    return m;
}

static const char raft_alpn[] = "regent-raft/1";

static void expect_refused(struct meeting m, const char *here, const char *there)
{
    struct tls_identity peer;

    assert_false(m.has_accepted);
    assert_false(m.has_called);
    ASSERT_TELLS(m.accept_error, here);
    ASSERT_TELLS(m.call_error, there);
    assert_int_equal(tls_peer(m.accepted, &peer, NULL, NULL), -EACCES);
    meeting_fini(&m);
}

static void dates_are_checked(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m3", 3);

    (void)state;
    s.not_after_s = fixture_now_s() - 10;
    fixture_write_cert(&f, &f.ca, "expired", &s, NULL);
    expect_refused(meet_rogue("expired", 0, raft_alpn), "the certificate of manager m3 (serial ",
                   "our certificate has expired");
    expect_refused(meet_rogue("expired", 0, raft_alpn), ") expired on 20", "refused us");
    s.not_before_s = fixture_now_s() + 3600;
    s.not_after_s = s.not_before_s + 3600;
    fixture_write_cert(&f, &f.ca, "early", &s, NULL);
    expect_refused(meet_rogue("early", 0, raft_alpn), "is not yet valid: from 20", "not valid there");
}

static void other_cas_are_refused(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m2", 2);
    struct fixture_ca stranger = fixture_ca_new("stranger");

    (void)state;
    fixture_write_cert(&f, &f.other, "impostor", &s, NULL);
    expect_refused(meet_rogue("impostor", 0, raft_alpn), "is of another CA than ours", "another CA than its own");
    fixture_write_cert(&f, &stranger, "stranger", &s, NULL);
    expect_refused(meet_rogue("stranger", 0, raft_alpn), "(issuer /CN=Regent CA stranger)", "another CA");
    fixture_ca_free(&stranger);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    expect_refused(meet_rogue(NULL, 0, raft_alpn), "it showed no certificate", "it wants a certificate");
    expect_refused(meet_rogue("m2", TLS1_2_VERSION, raft_alpn), "it does not speak TLS 1.3", "does not speak TLS 1.3");
    expect_refused(meet_rogue("m2", 0, NULL), "manager m2 named no protocol (ALPN)", "refused us");
    expect_refused(meet_rogue("m2", 0, "h2"), "no protocol that we know", "does not know our protocol");
    struct meeting m = meet_rogue("m2", 0, raft_alpn);
    assert_true(m.has_accepted && m.has_called); /* Else the rows above would prove nothing. */
    meeting_fini(&m);
}

/* Bytes that are no TLS at all, and a caller that goes away in the middle. */
static void noise_is_told_apart(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "it sent an HTTP request"},
        {"RGNT\1\1\0\0..........", 18, "it does not speak TLS"},
        {"\x16\x03\x01\xff\xff.............", 18, "it does not speak TLS"},
        {"\x16\x03\x01\x01", 4, "in the middle"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SSL *ssl = tls_accept_new(m1);
        BIO *in = BIO_new_mem_buf(rows[i].bytes, (int)rows[i].size), *out = BIO_new(BIO_s_mem());
        struct err e = {0};

        BIO_set_mem_eof_return(in, 0);
        SSL_set_bio(ssl, in, out);
        ERR_clear_error();
        assert_true(SSL_do_handshake(ssl) <= 0);
        assert_int_equal(tls_why(ssl, &e), -EPROTO);
        ASSERT_TELLS(e, rows[i].text);
        assert_int_equal(ERR_peek_error(), 0);
        SSL_free(ssl);
    }
}

/* A certificate with these URIs; a '|' in one stands for a zero byte. */
static X509 *cert_with_uris(const char *const *uris)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    X509 *cert = X509_dup(f.ca.cert);

    for (; *uris != NULL; uris++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        char text[128];

        snprintf(text, sizeof text, "%s", *uris);
        for (char *c = text; *c != '\0'; c++)
            if (*c == '|') *c = '\0';
        assert_int_equal(ASN1_STRING_set(value, text, (int)strlen(*uris)), 1);
        GENERAL_NAME_set0_value(name, GEN_URI, value);
        assert_true(sk_GENERAL_NAME_push(names, name) > 0);
    }
    assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
    GENERAL_NAMES_free(names);
    return cert;
}

/* An outside CA may write anything: what is ambiguous is refused, what is unknown says nothing. */
static void names_are_read_strictly(void **state)
{
    static const struct {
        const char *uris[4];
        const char *refusal; /* NULL: taken. */
    } rows[] = {
        {{"regent:operator:ann"}, NULL},
        {{"https:example.org", "regent:operator:ann", "regent:later:x"}, NULL},
        {{"regent:manager:m1", "regent:id:18446744073709551615"}, NULL},
        {{NULL}, "names no role"},
        {{"regent:king:ann"}, "names no role"},
        {{"REGENT:operator:ann"}, "names no role"},
        {{"regent:operator"}, "is not allowed"},
        {{"regent:operator:"}, "is not allowed"},
        {{"regent:operator:a b"}, "is not allowed"},
        {{"regent:operator:../x"}, "is not allowed"},
        {{"regent:operator:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, "is not allowed"},
        {{"regent:operator:ann", "regent:operator:bob"}, "more than one role"},
        {{"regent:agent:ann", "regent:operator:ann"}, "more than one role"},
        {{"regent:operator:ann|.evil"}, "zero byte"},
        {{"regent:manager:m1"}, "a manager without its id"},
        {{"regent:manager:m1", "regent:id:0"}, "is no number of a manager"},
        {{"regent:manager:m1", "regent:id:01"}, "is no number of a manager"},
        {{"regent:manager:m1", "regent:id:-1"}, "is no number of a manager"},
        {{"regent:manager:m1", "regent:id:18446744073709551616"}, "is no number of a manager"},
        {{"regent:manager:m1", "regent:id:1", "regent:id:2"}, "more than one id"},
        {{"regent:operator:ann", "regent:id:1"}, "an id but no manager"},
        {{"regent:id:1"}, "names no role"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        X509 *cert = cert_with_uris(rows[i].uris);
        struct tls_identity id;
        struct err e = {0};
        int rv = tls_identity_of(cert, &id, &e);

        X509_free(cert);
        if ((rv == 0) != (rows[i].refusal == NULL)) fail_msg("row %zu: %d, %s", i, rv, e.text);
        if (rows[i].refusal != NULL) ASSERT_TELLS(e, rows[i].refusal);
    }
}

static void a_subject_forges_no_log(void **state)
{
    static const char forged[] = "a\" level=info peer=\"b\n\033[2J";
    X509 *cert = X509_dup(f.ca.cert);
    X509_NAME *name = X509_get_subject_name(cert);
    char who[192];

    (void)state;
    assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                                (const unsigned char *)forged, -1, -1, 0), 1);
    tls_describe(cert, who, sizeof who);
    assert_non_null(strstr(who, "level=info"));
    assert_null(strchr(who, '"'));
    assert_null(strchr(who, '\n'));
    assert_null(strchr(who, '\033'));
    X509_free(cert);
}

/* What is logged goes to a file until end_log(). */
static int begin_log(void)
{
    int saved = dup(STDERR_FILENO);

    (void)fflush(stderr);
    assert_non_null(freopen(fixture_path(&f, "stderr", ".log"), "w", stderr));
    return saved;
}

/* How often 'word' was logged since begin_log(). */
static unsigned end_log(int saved, const char *word)
{
    unsigned n = 0;
    char *data;
    size_t size;

    (void)fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    assert_int_equal(file_read(fixture_path(&f, "stderr", ".log"), 1 << 20, &data, &size, NULL), 0);
    for (const char *at = data; (at = strstr(at, word)) != NULL; at++) n++;
    free(data);
    return n;
}

static void what_ends_soon_is_told_in_time(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "soon", 9);
    int saved;

    (void)state;
    s.not_after_s = fixture_now_s() + 29 * FIXTURE_DAY_S;
    fixture_write_cert(&f, &f.ca, "soon", &s, NULL);
    struct tls *soon = fixture_open(&f, "soon", NULL), *m2 = fixture_open(&f, "m2", NULL);
    saved = begin_log();
    assert_false(tls_files_changed(m2));
    assert_int_equal(end_log(saved, "level="), 0);
    saved = begin_log();
    for (int i = 0; i < 3; i++) assert_false(tls_files_changed(soon));
    assert_int_equal(end_log(saved, "event=tls.expiring"), 1); /* Once a day, not at every look. */
    tls_close(soon);
    tls_close(m2);
}

static void revoked_ones_are_refused(void **state)
{
    struct pki_subject s = fixture_subject(TLS_OPERATOR, "eve", 0);
    char serial[TLS_SERIAL_SIZE];

    (void)state;
    fixture_write_cert(&f, &f.ca, "eve", &s, serial);
    fixture_write_crl(&f, "crl", serial, FIXTURE_DAY_S);
    struct tls *m2 = fixture_open(&f, "m2", "crl"), *eve = fixture_open(&f, "eve", NULL);
    expect_refused(meet(m2, eve, FRAME_CLIENT), "the certificate of operator eve (serial ", "was revoked");
    tls_close(m2);
    /* A list beyond its date still says who was revoked, and lets in who was not. */
    fixture_write_crl(&f, "old", serial, -3600);
    m2 = fixture_open(&f, "m2", "old");
    expect_refused(meet(m2, eve, FRAME_CLIENT), ") was revoked", "was revoked");
    struct meeting m = meet(m2, m1, FRAME_RAFT);
    assert_true(m.has_accepted && m.has_called);
    meeting_fini(&m);
    int saved = begin_log();
    for (int i = 0; i < 3; i++) assert_false(tls_files_changed(m2));
    assert_int_equal(end_log(saved, "event=tls.crl_old"), 1);
    tls_close(m2);
    tls_close(eve);
}

static void live_connections_are_looked_at_again(void **state)
{
    struct pki_subject s = fixture_subject(TLS_OPERATOR, "op2", 0);
    char serial[TLS_SERIAL_SIZE];
    struct tls_identity peer;
    struct err e = {0};

    (void)state;
    fixture_write_cert(&f, &f.ca, "op2", &s, serial);
    fixture_write_crl(&f, "live", NULL, FIXTURE_DAY_S);
    struct tls *m2 = fixture_open(&f, "m2", "live"), *op2 = fixture_open(&f, "op2", NULL);
    struct meeting m = meet(m2, op2, FRAME_CLIENT);
    assert_true(m.has_accepted && m.has_called);
    assert_int_equal(tls_peer(m.accepted, &peer, NULL, NULL), 0);
    assert_int_equal(tls_check_again(m2, &peer, &e), 0);
    assert_false(tls_files_changed(m2));

    fixture_write_crl(&f, "live", serial, FIXTURE_DAY_S);
    assert_true(tls_files_changed(m2));
    assert_int_equal(tls_reload(m2, &e), 0);
    assert_false(tls_files_changed(m2));
    assert_int_equal(tls_check_again(m2, &peer, &e), -EACCES);
    ASSERT_TELLS(e, "the certificate of operator op2");
    ASSERT_TELLS(e, "was revoked");
    assert_int_equal(tls_check_again(m2, tls_self(m2), &e), 0);

    struct tls_identity same_number = *tls_self(m2); /* Of another issuer: not the one on the list. */
    memcpy(same_number.serial, peer.serial, sizeof peer.serial);
    same_number.issuer = peer.issuer + 1;
    assert_int_equal(tls_check_again(m2, &same_number, &e), 0);

    fixture_write_crl(&f, "live", NULL, FIXTURE_DAY_S);
    assert_int_equal(tls_reload(m2, &e), 0);
    assert_int_equal(tls_check_again(m2, &peer, &e), 0);
    peer.not_after_s = fixture_now_s() - 2;
    assert_int_equal(tls_check_again(m2, &peer, &e), -EACCES);
    ASSERT_TELLS(e, "expired on 20");
    meeting_fini(&m);
    tls_close(m2);
    tls_close(op2);
}

static void copy_file(const char *from, const char *suffix_from, const char *to, const char *suffix_to)
{
    char *data;
    size_t size;
    struct stat st;

    assert_int_equal(stat(fixture_path(&f, from, suffix_from), &st), 0);
    assert_int_equal(file_read(fixture_path(&f, from, suffix_from), 1 << 20, &data, &size, NULL), 0);
    assert_int_equal(file_write_atomic(fixture_path(&f, to, suffix_to), data, size, st.st_mode & 07777, NULL), 0);
    free(data);
}

static void bad_files_leave_the_old_in_force(void **state)
{
    struct pki_subject expired = fixture_subject(TLS_MANAGER, "m4", 4);
    struct err e = {0};

    (void)state;
    fixture_issue(&f, TLS_MANAGER, "m4", 4);
    struct tls *m4 = fixture_open(&f, "m4", NULL);
    char first[TLS_SERIAL_SIZE];
    memcpy(first, tls_self(m4)->serial, sizeof first);

    copy_file("m2", ".crt", "m4", ".crt"); /* The key is still the old one. */
    assert_true(tls_files_changed(m4));
    assert_true(tls_reload(m4, &e) < 0);
    ASSERT_TELLS(e, "does not belong to the certificate");
    assert_false(tls_files_changed(m4)); /* Not at every look; the repetition after a minute is not waited for. */

    expired.not_after_s = fixture_now_s() - 10;
    fixture_write_cert(&f, &f.ca, "m4", &expired, NULL);
    assert_true(tls_files_changed(m4));
    assert_int_equal(tls_reload(m4, &e), -EACCES);
    ASSERT_TELLS(e, "our own certificate would be refused by others: the certificate of manager m4");
    expired = fixture_subject(TLS_MANAGER, "m4", 4);
    fixture_write_cert(&f, &f.other, "m4", &expired, NULL);
    assert_int_equal(tls_reload(m4, &e), -EACCES);
    ASSERT_TELLS(e, "another CA");
    assert_int_equal(unlink(fixture_path(&f, "m4", ".key")), 0);
    assert_true(tls_files_changed(m4));
    assert_true(tls_reload(m4, &e) < 0);

    assert_string_equal(tls_self(m4)->serial, first);
    struct meeting m = meet(m1, m4, FRAME_RAFT);
    assert_true(m.has_accepted && m.has_called);

    fixture_issue(&f, TLS_MANAGER, "m4", 4);
    assert_true(tls_files_changed(m4));
    assert_int_equal(tls_reload(m4, &e), 0);
    assert_string_not_equal(tls_self(m4)->serial, first);
    assert_int_equal(SSL_write(m.called, "y", 1), 1); /* A connection outlives the context that it began with. */
    meeting_fini(&m);
    m = meet(m4, m1, FRAME_RAFT);
    assert_true(m.has_accepted && m.has_called);
    meeting_fini(&m);
    tls_close(m4);
}

/* Our own certificate, revoked or expired meanwhile, must not keep a new CRL out. */
static void own_end_keeps_no_crl_out(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m5", 5);
    char serial[TLS_SERIAL_SIZE];
    struct err e = {0};

    (void)state;
    fixture_write_cert(&f, &f.ca, "m5", &s, serial);
    fixture_write_crl(&f, "own", NULL, FIXTURE_DAY_S);
    struct tls *m5 = fixture_open(&f, "m5", "own");
    fixture_write_crl(&f, "own", serial, FIXTURE_DAY_S);
    int saved = begin_log();
    assert_int_equal(tls_reload(m5, &e), 0);
    assert_int_equal(end_log(saved, "event=tls.self"), 1);
    assert_int_equal(tls_check_again(m5, tls_self(m5), &e), -EACCES);
    tls_close(m5);
    struct tls_files files = fixture_files(&f, "m5", "own");
    assert_null(tls_open(&files, &e));
    ASSERT_TELLS(e, "was revoked");
}

/* 'first' and then 'second' into one file. Takes both texts. */
static void save_both(const char *name, const char *suffix, char *first, char *second)
{
    size_t size = strlen(first) + strlen(second) + 1;
    char *both = malloc(size);

    snprintf(both, size, "%s%s", first, second);
    fixture_save(fixture_path(&f, name, suffix), both, 0644);
    pki_wipe(first);
    pki_wipe(second);
}

static char *crl_of(const struct fixture_ca *ca)
{
    struct pki_crl_times times = {.now_s = fixture_now_s(), .until_s = fixture_now_s() + FIXTURE_DAY_S};
    X509_CRL *crl = pki_crl_new(ca->cert, ca->key, NULL, 0, times);
    char *pem = pki_crl_pem(crl);

    X509_CRL_free(crl);
    return pem;
}

/* By one of the same name, as `regent pki init` makes it in another directory. */
static void a_ca_can_be_replaced(void **state)
{
    struct fixture_ca next = fixture_ca_new("test");
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m6", 6), op = fixture_subject(TLS_OPERATOR, "op6", 0);
    struct tls_identity peer;
    struct err e = {0};

    (void)state;
    /* Step 1: both are trusted; members still show certificates of the first. */
    save_both("cas", ".crt", pki_cert_pem(f.ca.cert), pki_cert_pem(next.cert));
    save_both("crls", ".pem", crl_of(&f.ca), crl_of(&next));
    fixture_write_cert(&f, &f.ca, "m6", &s, NULL);
    fixture_write_cert(&f, &f.ca, "op6", &op, NULL);
    struct tls_files files = fixture_files(&f, "m6", "crls");
    (void)TEXT_COPY(files.ca, fixture_path(&f, "cas", ".crt"));
    struct tls *m6 = tls_open(&files, &e), *op6 = fixture_open(&f, "op6", NULL);
    assert_non_null(m6);
    struct meeting m = meet(m6, op6, FRAME_CLIENT);
    assert_true(m.has_accepted && m.has_called);
    assert_int_equal(tls_peer(m.accepted, &peer, NULL, &e), 0);
    /* Step 2: our certificate is of the next one. Step 3: the first is trusted no more. */
    fixture_write_cert(&f, &next, "m6", &s, NULL);
    assert_int_equal(tls_reload(m6, &e), 0);
    assert_int_equal(tls_check_again(m6, &peer, &e), 0);
    struct meeting n = meet(m6, op6, FRAME_CLIENT); /* Each side by another CA; op6 does not know the next one yet. */
    ASSERT_TELLS(n.call_error, "another CA");
    meeting_fini(&n);
    n = meet(m6, m6, FRAME_RAFT);
    assert_true(n.has_accepted && n.has_called);
    meeting_fini(&n);
    fixture_save(fixture_path(&f, "cas", ".crt"), pki_cert_pem(next.cert), 0644);
    fixture_save(fixture_path(&f, "crls", ".pem"), crl_of(&next), 0644);
    assert_int_equal(tls_reload(m6, &e), 0);
    assert_int_equal(tls_check_again(m6, &peer, &e), -EACCES);
    ASSERT_TELLS(e, "is trusted no more");
    meeting_fini(&m);
    tls_close(op6);
    tls_close(m6);
    fixture_ca_free(&next);
}

/* An outside CA: an intermediate signs; peers send it along, or it alone is trusted. */
static void intermediates_work(void **state)
{
    struct fixture_ca root = fixture_ca_new("root"), middle = fixture_ca_new("middle");
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m7", 7);
    BASIC_CONSTRAINTS any = {.ca = 0xff};
    struct err e = {0};
    char *leaf, *above;
    size_t size;

    (void)state;
    assert_int_equal(X509_add1_ext_i2d(root.cert, NID_basic_constraints, &any, 1, X509V3_ADD_REPLACE), 1);
    assert_true(X509_sign(root.cert, root.key, EVP_sha256()) > 0);
    assert_int_equal(X509_set_issuer_name(middle.cert, X509_get_subject_name(root.cert)), 1);
    assert_true(X509_sign(middle.cert, root.key, EVP_sha256()) > 0);
    fixture_save(fixture_path(&f, "root", ".crt"), pki_cert_pem(root.cert), 0644);
    fixture_save(fixture_path(&f, "middle", ".crt"), pki_cert_pem(middle.cert), 0644);
    fixture_write_cert(&f, &middle, "m7", &s, NULL);
    assert_int_equal(file_read(fixture_path(&f, "m7", ".crt"), 1 << 20, &leaf, &size, NULL), 0);
    struct tls_files files = fixture_files(&f, "m7", NULL);
    (void)TEXT_COPY(files.ca, fixture_path(&f, "root", ".crt"));
    assert_null(tls_open(&files, &e)); /* Nobody knows the intermediate. */
    ASSERT_TELLS(e, "another CA");
    above = pki_cert_pem(middle.cert);
    leaf = realloc(leaf, size + strlen(above) + 1);
    fixture_save(fixture_path(&f, "m7", ".crt"), strcat(leaf, above), 0644);
    struct tls *by_root = tls_open(&files, &e);
    if (by_root == NULL) fail_msg("%s", e.text);
    (void)TEXT_COPY(files.ca, fixture_path(&f, "middle", ".crt"));
    struct tls *by_middle = tls_open(&files, &e);
    if (by_middle == NULL) fail_msg("%s", e.text);
    struct meeting m = meet(by_root, by_middle, FRAME_RAFT);
    assert_true(m.has_accepted && m.has_called);
    meeting_fini(&m);
    m = meet(by_root, m1, FRAME_RAFT);
    assert_false(m.has_accepted || m.has_called);
    meeting_fini(&m);
    pki_wipe(above);
    tls_close(by_root);
    tls_close(by_middle);
    fixture_ca_free(&root);
    fixture_ca_free(&middle);
}

static void expect_no_open(const struct tls_files *files, const char *text)
{
    struct err e = {0};

    assert_null(tls_open(files, &e));
    ASSERT_TELLS(e, text);
}

static void write_text(const char *name, const char *suffix, const char *text)
{
    assert_int_equal(file_write_atomic(fixture_path(&f, name, suffix), text, strlen(text), 0600, NULL), 0);
}

static void keys_of_others_are_refused(void **state)
{
    struct tls_files files = fixture_files(&f, "m8", NULL);

    (void)state;
    fixture_issue(&f, TLS_MANAGER, "m8", 8);
    assert_int_equal(chmod(files.key, 0644), 0);
    expect_no_open(&files, "others may read or write this private key (mode 0644)");
    assert_int_equal(chmod(files.key, 0660), 0);
    expect_no_open(&files, "others may read");
    assert_int_equal(chmod(files.key, 0640), 0);
    if (geteuid() == 0) {
        struct tls *t = fixture_open(&f, "m8", NULL);

        tls_close(t);
        assert_int_equal(chown(files.key, 65534, 65534), 0);
    }
    expect_no_open(&files, "(mode 0640)");
    assert_int_equal(chmod(files.key, 0400), 0);
    struct tls *t = fixture_open(&f, "m8", NULL);
    tls_close(t);
}

static void files_that_do_not_fit_are_named(void **state)
{
    struct tls_files files = fixture_files(&f, "none", NULL);

    (void)state;
    expect_no_open(&files, "/none.crt: No such file");
    files = fixture_files(&f, "m2", "none");
    expect_no_open(&files, "/none.pem: No such file");
    files = fixture_files(&f, "m2", NULL);
    (void)TEXT_COPY(files.ca, files.cert);
    expect_no_open(&files, "is none of a CA");
    files = fixture_files(&f, "m2", NULL);
    (void)TEXT_COPY(files.key, fixture_path(&f, "m1", ".key"));
    expect_no_open(&files, "does not belong to the certificate");
    write_text("junk", ".pem", "no PEM here\n");
    files = fixture_files(&f, "m2", "junk");
    expect_no_open(&files, "holds no CRL in PEM form");
    (void)TEXT_COPY(files.ca, files.crl);
    expect_no_open(&files, "holds no certificate in PEM form");
    write_text("half", ".pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    (void)TEXT_COPY(files.ca, fixture_path(&f, "half", ".pem"));
    expect_no_open(&files, "/half.pem: it holds");
    /* A list by another CA says nothing of ours: nobody could be checked. */
    struct tls_fixture g = f;
    g.ca = fixture_ca_new("elsewhere");
    fixture_write_crl(&g, "elsewhere", NULL, FIXTURE_DAY_S);
    files = fixture_files(&f, "m2", "elsewhere");
    expect_no_open(&files, "the file of CRLs holds none by the issuer");
    fixture_ca_free(&g.ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(managers_know_each_other),
        cmocka_unit_test(role_and_protocol_agree),
        cmocka_unit_test(only_a_manager_is_called),
        cmocka_unit_test(dates_are_checked),
        cmocka_unit_test(other_cas_are_refused),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(noise_is_told_apart),
        cmocka_unit_test(names_are_read_strictly),
        cmocka_unit_test(a_subject_forges_no_log),
        cmocka_unit_test(what_ends_soon_is_told_in_time),
        cmocka_unit_test(revoked_ones_are_refused),
        cmocka_unit_test(live_connections_are_looked_at_again),
        cmocka_unit_test(bad_files_leave_the_old_in_force),
        cmocka_unit_test(own_end_keeps_no_crl_out),
        cmocka_unit_test(a_ca_can_be_replaced),
        cmocka_unit_test(intermediates_work),
        cmocka_unit_test(keys_of_others_are_refused),
        cmocka_unit_test(files_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
