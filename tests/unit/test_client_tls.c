/* client/: the command line over TLS. What it talks to, what it refuses to talk to, and what it tells when it is
 * refused. The manager is a thread with a socket. */
#include "tests/unit/tls_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "client/ask.h"
#include "lib/clock.h"

enum { PATIENCE_MS = 10000, BIG = 300000 };

enum manners { ANSWERS, ANSWERS_AND_RUNS, FREEZES, PLAIN_AND_CLOSES };

/* Serves one connection after the other until its listener is shut down. */
struct manager {
    int listener;
    uint16_t port;
    struct tls *tls;
    enum manners manners;
    char refusal[ERR_TEXT_SIZE]; /* Why the last handshake failed here. */
    atomic_bool is_over;         /* ... and when that was. */
    pthread_t thread;
};

static struct tls_fixture f;

static int set_up(void **state)
{
    (void)state;
    fixture_init(&f);
    fixture_issue(&f, TLS_MANAGER, "m1", 1);
    fixture_issue(&f, TLS_AGENT, "db1", 0);
    fixture_issue(&f, TLS_OPERATOR, "operator", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_fini(&f);
    return 0;
}

static void answer_requests(SSL *ssl)
{
    static char big[BIG];
    struct client_answer a = {.code = CLIENT_OK, .index = 7};
    struct frame_header h;
    uint8_t header[FRAME_HEADER_SIZE], body[4096];
    void *data;
    size_t size, n;

    memset(big, 'x', sizeof big - 1);
    a.json = big;
    while (SSL_read_ex(ssl, header, sizeof header, &n) == 1) {
        assert_int_equal(n, sizeof header);
        assert_int_equal(frame_header_read(&h, header), 0);
        for (size_t left = h.body_size; left > 0; left -= n)
            if (SSL_read_ex(ssl, body, left, &n) != 1) return;
        assert_int_equal(client_answer_encode(&a, &data, &size), 0);
        h.type = CLIENT_FRAME_ANSWER;
        h.body_size = (uint32_t)size;
        frame_header_write(header, &h);
        assert_int_equal(SSL_write_ex(ssl, header, sizeof header, &n), 1);
        for (size_t sent = 0; sent < size; sent += n)
            if (SSL_write_ex(ssl, (char *)data + sent, size - sent, &n) != 1) break;
        free(data);
    }
}

static void serve(struct manager *m, int fd)
{
    struct timeval wait = {.tv_sec = 5};
    struct err e = {0};
    char byte;
    SSL *ssl;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (m->manners == FREEZES) {
        while (recv(fd, &byte, 1, 0) > 0) continue;
        return;
    }
    if (m->manners == PLAIN_AND_CLOSES) {
        (void)recv(fd, &byte, 1, 0);
        return;
    }
    ssl = tls_accept_new(m->tls);
    SSL_set_fd(ssl, fd);
    ERR_clear_error();
    if (SSL_do_handshake(ssl) == 1) answer_requests(ssl);
    else (void)tls_why(ssl, &e);
    snprintf(m->refusal, sizeof m->refusal, "%s", e.text);
    ERR_clear_error();
    SSL_free(ssl);
    m->is_over = true;
    if (m->manners == ANSWERS_AND_RUNS) return; /* What comes now is answered by a reset. */
    (void)shutdown(fd, SHUT_WR);
    while (recv(fd, &byte, 1, 0) > 0) continue; /* Else what is unread would overtake the alert as a reset. */
}

static void *run_manager(void *arg)
{
    struct manager *m = arg;
    int fd;

    while ((fd = accept(m->listener, NULL, NULL)) >= 0) {
        serve(m, fd);
        close(fd);
    }
    return NULL;
}

static void start(struct manager *m, const char *name, const char *crl, enum manners manners)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof sa;

    *m = (struct manager){.listener = socket(AF_INET, SOCK_STREAM, 0), .manners = manners};
    assert_int_equal(bind(m->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(m->listener, 8), 0);
    assert_int_equal(getsockname(m->listener, (struct sockaddr *)&sa, &size), 0);
    m->port = ntohs(sa.sin_port);
    m->tls = fixture_open(&f, name, crl);
    assert_int_equal(pthread_create(&m->thread, NULL, run_manager, m), 0);
}

static void stop(struct manager *m)
{
    (void)shutdown(m->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(m->thread, NULL), 0);
    close(m->listener);
    tls_close(m->tls);
}

static enum client_code ask(const struct manager *m, const char *tls_dir, struct client_answer *a)
{
    struct client_request r = {.op = CLIENT_STATUS};
    struct asker k;
    struct err e = {0};
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", m->port);
    assert_int_equal(asker_init(&k, address, &e), 0);
    assert_int_equal(asker_set_tls_dir(&k, tls_dir, &e), 0);
    k.dead_ms = 1; /* One try. */
    enum client_code code = asker_ask(&k, &r, false, a);
    asker_fini(&k);
    return code;
}

static void expect_failure(const struct manager *m, const char *tls_dir, const char *text)
{
    struct client_answer a;

    assert_int_equal(ask(m, tls_dir, &a), CLIENT_NO_LEADER);
    if (strstr(a.text, text) == NULL) fail_msg("\"%s\" does not tell \"%s\"", a.text, text);
    client_answer_fini(&a);
}

static void an_operator_is_answered(void **state)
{
    struct client_answer a;
    struct manager m;

    (void)state;
    start(&m, "m1", NULL, ANSWERS);
    assert_int_equal(ask(&m, f.dir, &a), CLIENT_OK);
    assert_int_equal(strlen(a.json), BIG - 1); /* Many records of TLS. */
    client_answer_fini(&a);
    stop(&m);
}

static void only_managers_are_asked(void **state)
{
    struct manager m;

    (void)state;
    start(&m, "db1", NULL, ANSWERS);
    expect_failure(&m, f.dir, "it is no manager but agent db1");
    stop(&m);
    assert_non_null(strstr(m.refusal, "refused us"));
}

static void a_refusal_is_told(void **state)
{
    char serial[TLS_SERIAL_SIZE], dir[128];
    struct pki_subject s = fixture_subject(TLS_OPERATOR, "eve", 0);
    struct manager m;

    (void)state;
    snprintf(dir, sizeof dir, "%s/eve", f.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    fixture_write_cert(&f, &f.ca, "eve/operator", &s, serial);
    fixture_save(fixture_path(&f, "eve/ca", ".crt"), pki_cert_pem(f.ca.cert), 0644);
    fixture_write_crl(&f, "crl_of_manager", serial, FIXTURE_DAY_S);
    start(&m, "m1", "crl_of_manager", ANSWERS);
    expect_failure(&m, dir, "No manager was asked, because of certificates: ");
    expect_failure(&m, dir, "refused us: our certificate was revoked");
    stop(&m);
    assert_non_null(strstr(m.refusal, "operator eve"));

    fixture_save(fixture_path(&f, "eve/ca", ".crt"), pki_cert_pem(f.other.cert), 0644);
    fixture_write_cert(&f, &f.other, "eve/operator", &s, NULL);
    start(&m, "m1", NULL, ANSWERS);
    expect_failure(&m, dir, "of another CA than ours");
    stop(&m);
}

/* A list of the operator's own: a revoked manager's key may be in wrong hands. */
static void a_revoked_manager_is_not_asked(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "m2", 2);
    char serial[TLS_SERIAL_SIZE];
    struct manager m;

    (void)state;
    fixture_write_cert(&f, &f.ca, "m2", &s, serial);
    fixture_write_crl(&f, "crl", serial, FIXTURE_DAY_S);
    start(&m, "m2", NULL, ANSWERS);
    expect_failure(&m, f.dir, "the certificate of manager m2");
    stop(&m);
    assert_int_equal(unlink(fixture_path(&f, "crl", ".pem")), 0);
}

/* The manager is gone before we send: sending fails, but its alert lies there to be read. */
static void a_refusal_is_told_also_after_a_reset(void **state)
{
    struct pki_subject s = fixture_subject(TLS_OPERATOR, "late_eve", 0);
    struct client_request r = {.op = CLIENT_STATUS};
    struct mono end = mono_add_ms(clock_mono(), PATIENCE_MS);
    char serial[TLS_SERIAL_SIZE], dir[128], address[32];
    struct err e = {0};
    struct manager m;
    struct link l;
    int rv = 0;

    (void)state;
    snprintf(dir, sizeof dir, "%s/late_eve", f.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    fixture_write_cert(&f, &f.ca, "late_eve/operator", &s, serial);
    fixture_save(fixture_path(&f, "late_eve/ca", ".crt"), pki_cert_pem(f.ca.cert), 0644);
    fixture_write_crl(&f, "crl_of_late", serial, FIXTURE_DAY_S);
    start(&m, "m1", "crl_of_late", ANSWERS_AND_RUNS);
    snprintf(address, sizeof address, "127.0.0.1:%u", m.port);
    link_init(&l);
    assert_int_equal(link_set_tls_dir(&l, dir), 0);
    if (link_open(&l, address, end, &e) != 0) fail_msg("%s", e.text);
    while (!m.is_over && mono_before(clock_mono(), end)) usleep(1000);
    usleep(50 * 1000); /* Closed a moment later. */
    for (int i = 0; i < 100 && rv == 0; i++) {
        rv = link_send(&l, &r, end, &e);
        usleep(1000);
    }
    assert_int_equal(rv, -EKEYREJECTED);
    if (strstr(e.text, "our certificate was revoked") == NULL) fail_msg("%s", e.text);
    link_fini(&l);
    stop(&m);
}

static void own_files_are_checked_first(void **state)
{
    struct pki_subject s = fixture_subject(TLS_OPERATOR, "late", 0);
    struct manager m;
    char dir[128];

    (void)state;
    start(&m, "m1", NULL, ANSWERS);
    expect_failure(&m, "/nonexistent/tls", "certificates: read /nonexistent/tls/ca.crt: No such file");
    s.not_after_s = fixture_now_s() - 60;
    snprintf(dir, sizeof dir, "%s/late", f.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    fixture_save(fixture_path(&f, "late/ca", ".crt"), pki_cert_pem(f.ca.cert), 0644);
    fixture_write_cert(&f, &f.ca, "late/operator", &s, NULL);
    expect_failure(&m, dir, "would be refused by others: the certificate of operator late");
    stop(&m);
}

static void plaintext_stays_at_home(void **state)
{
    struct asker k;
    struct err e = {0};
    struct client_request r = {.op = CLIENT_STATUS};
    struct client_answer a;

    (void)state;
    /* A documentation address (RFC 5737): nothing is sent, so nobody has to be there. */
    assert_int_equal(asker_init(&k, "192.0.2.1:7401", &e), 0);
    k.dead_ms = 1;
    assert_int_equal(asker_ask(&k, &r, false, &a), CLIENT_NO_LEADER);
    assert_non_null(strstr(a.text, "only managers on this machine"));
    assert_non_null(strstr(a.text, "--tls-dir"));
    client_answer_fini(&a);
    asker_fini(&k);
}

static void a_mix_up_is_told(void **state)
{
    struct manager m;

    (void)state;
    start(&m, "m1", NULL, PLAIN_AND_CLOSES);
    expect_failure(&m, f.dir, "does it use TLS?");
    expect_failure(&m, "", "if it uses TLS, name the directory");
    stop(&m);
}

static void a_frozen_manager_holds_nobody(void **state)
{
    struct mono before = clock_mono();
    struct manager m;

    (void)state;
    start(&m, "m1", NULL, FREEZES);
    expect_failure(&m, f.dir, "handshake of TLS: Connection timed out");
    assert_true(mono_since_ms(clock_mono(), before) < PATIENCE_MS);
    stop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operator_is_answered),        cmocka_unit_test(only_managers_are_asked),
        cmocka_unit_test(a_refusal_is_told),              cmocka_unit_test(a_revoked_manager_is_not_asked),
        cmocka_unit_test(own_files_are_checked_first),    cmocka_unit_test(plaintext_stays_at_home),
        cmocka_unit_test(a_mix_up_is_told),               cmocka_unit_test(a_frozen_manager_holds_nobody),
        cmocka_unit_test(a_refusal_is_told_also_after_a_reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
