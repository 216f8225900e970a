/* lib/pki: a CA in a directory. What is issued must be good for lib/tls; what is refused must say why. */
#include "tests/unit/tls_fixture.h"

#include <errno.h>
#include <openssl/pem.h>

#include "lib/pki.h"

static char dir[64];

static int set_up(void **state)
{
    struct err e = {0};

    (void)state;
    (void)TEXT_COPY(dir, "/tmp/regent-test-pki.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    return pki_init(dir, "test", fixture_now_s() + 3650 * FIXTURE_DAY_S, &e);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(dir, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Lives until the fourth next call. */
static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static struct pki *open_to_change(void)
{
    struct err e = {0};
    struct pki *p = pki_open(dir, true, &e);

    if (p == NULL) fail_msg("%s", e.text);
    return p;
}

static struct pki_entry issue(enum tls_role role, const char *name, uint64_t id)
{
    struct pki_subject s = fixture_subject(role, name, id);
    struct pki *p = open_to_change();
    struct pki_entry entry;
    struct err e = {0};

    if (pki_issue(p, &s, &entry, &e) != 0) fail_msg("%s: %s", name, e.text);
    pki_close(p);
    return entry;
}

static int try_issue(const struct pki_subject *s, struct err *e)
{
    struct pki *p = open_to_change();
    struct pki_entry entry;
    int rv = pki_issue(p, s, &entry, e);

    pki_close(p);
    return rv;
}

static int take_back(const char *which)
{
    struct pki *p = open_to_change();
    int rv = pki_revoke(p, which, NULL);

    pki_close(p);
    return rv;
}

static struct tls *open_tls(const char *name, struct err *e)
{
    struct tls_files files = {0};

    (void)TEXT_COPY(files.ca, at("ca.crt"));
    (void)TEXT_COPY(files.crl, at("crl.pem"));
    snprintf(files.cert, sizeof files.cert, "%s/%s.crt", dir, name);
    snprintf(files.key, sizeof files.key, "%s/%s.key", dir, name);
    return tls_open(&files, e);
}

static unsigned mode_of(const char *name)
{
    struct stat st;

    assert_int_equal(stat(at(name), &st), 0);
    return (unsigned)st.st_mode & 07777;
}

#define ASSERT_TELLS(e, words)                                                                                        \
    do {                                                                                                              \
        if (strstr((e).text, words) == NULL) fail_msg("\"%s\" does not tell \"%s\"", (e).text, words);               \
    } while (0)

static void a_ca_is_made_once(void **state)
{
    struct pki_about about;
    struct err e = {0};
    struct pki *p;

    (void)state;
    assert_int_equal(mode_of("ca.key"), 0600);
    assert_int_equal(mode_of("ca.crt"), 0644);
    assert_int_equal(mode_of("crl.pem"), 0644);
    assert_int_equal(pki_init(dir, "test", fixture_now_s() + FIXTURE_DAY_S, &e), -EEXIST);
    ASSERT_TELLS(e, "never overwritten");
    p = pki_open(dir, false, &e);
    assert_non_null(p);
    pki_tell(p, &about);
    pki_close(p);
    assert_string_equal(about.ca_name, "Regent CA test");
    assert_true(about.has_key);
    assert_true(about.not_after_s > fixture_now_s() + 3649 * FIXTURE_DAY_S);
    assert_true(about.crl_until_s > fixture_now_s() + 300 * FIXTURE_DAY_S);
    assert_int_equal(pki_init(at("other"), "two words", fixture_now_s() + FIXTURE_DAY_S, &e), -EINVAL);
    assert_int_equal(pki_init(at("other"), "late", fixture_now_s() - 1, &e), -EINVAL);
    /* Interrupted before its certificate was there. */
    assert_int_equal(pki_init(at("other"), "again", fixture_now_s() + FIXTURE_DAY_S, &e), 0);
    assert_int_equal(mode_of("other"), 0700);
    assert_int_equal(unlink(at("other/ca.crt")), 0);
    assert_int_equal(pki_init(at("other"), "again", fixture_now_s() + FIXTURE_DAY_S, &e), 0);
    assert_null(pki_open(at("nowhere"), false, &e));
    assert_int_equal(e.code, -ENOENT);
    ASSERT_TELLS(e, "regent pki init");
}

static void what_is_issued_is_good(void **state)
{
    static const enum tls_role roles[] = {TLS_MANAGER, TLS_AGENT, TLS_OPERATOR};
    static const char *const names[] = {"good1", "good-2.x", "Good_3"};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        struct pki_entry entry = issue(roles[i], names[i], roles[i] == TLS_MANAGER ? 11 : 0);
        struct tls *t = open_tls(names[i], &e);

        if (t == NULL) fail_msg("%s", e.text);
        assert_int_equal(tls_self(t)->role, roles[i]);
        assert_string_equal(tls_self(t)->name, names[i]);
        assert_int_equal(tls_self(t)->id, roles[i] == TLS_MANAGER ? 11 : 0);
        assert_string_equal(tls_self(t)->serial, entry.serial);
        assert_int_equal(tls_self(t)->not_after_s, entry.not_after_s);
        assert_int_equal(strlen(entry.serial), 32);
        tls_close(t);
    }
    assert_int_equal(mode_of("good1.key"), 0600);
    assert_int_equal(mode_of("good1.crt"), 0644);
}

static void hosts_stand_in_it(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "hosted", 21);
    struct pki_entry entry;
    struct err e = {0};
    char *data;
    size_t size;

    (void)state;
    (void)TEXT_COPY(s.hosts, "db.example.org,192.0.2.1,2001:db8::1");
    struct pki *p = open_to_change();
    assert_int_equal(pki_issue(p, &s, &entry, &e), 0);
    assert_int_equal(pki_renew(p, "hosted", s.not_after_s, &entry, &e), 0);
    pki_close(p);
    assert_string_equal(entry.hosts, s.hosts);
    assert_int_equal(file_read(at("hosted.crt"), 1 << 16, &data, &size, NULL), 0);
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_check_host(cert, "db.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "2001:db8::1", 0), 1);
    assert_int_equal(X509_check_host(cert, "example.org", 0, 0, NULL), 0);
    X509_free(cert);
    BIO_free(bio);
    free(data);
}

static void nonsense_is_refused(void **state)
{
    static const char *const names[] = {"",    "ca",  "../x", "a/b", "-x", ".hidden", "two words", "a\n",
                                        "äöü", "a:b", "URI:x"};
    static const char *const hosts[] = {"a b", "-x", "x-", "a..b", ".a", "a.", "1.2.3", "300.1.1.1", "x,,y",
                                        "a,URI:regent:operator:x", "a_b", ":::1", "otherName:1"};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct pki_subject s = fixture_subject(TLS_AGENT, names[i], 0);

        if (try_issue(&s, &e) != -EINVAL) fail_msg("the name \"%s\" was taken", names[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct pki_subject s = fixture_subject(TLS_AGENT, "fine", 0);

        (void)TEXT_COPY(s.hosts, hosts[i]);
        if (try_issue(&s, &e) != -EINVAL) fail_msg("the host \"%s\" was taken", hosts[i]);
    }
    struct pki_subject s = fixture_subject(TLS_MANAGER, "fine", 0);
    assert_int_equal(try_issue(&s, &e), -EINVAL);
    ASSERT_TELLS(e, "--id N");
    s = fixture_subject(TLS_AGENT, "fine", 3);
    assert_int_equal(try_issue(&s, &e), -EINVAL);
    s = fixture_subject(TLS_NOBODY, "fine", 0);
    assert_int_equal(try_issue(&s, &e), -EINVAL);
    s = fixture_subject(TLS_AGENT, "fine", 0);
    s.not_after_s = s.not_before_s;
    assert_int_equal(try_issue(&s, &e), -EINVAL);
    assert_int_equal(access(at("fine.key"), F_OK), -1);
}

static void one_id_one_certificate(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "twin", 31);
    struct pki_entry entry;
    struct err e = {0};

    (void)state;
    (void)issue(TLS_MANAGER, "first", 31);
    assert_int_equal(try_issue(&s, &e), -EEXIST);
    ASSERT_TELLS(e, "manager first has a certificate for id 31");
    s = fixture_subject(TLS_AGENT, "first", 0);
    assert_int_equal(try_issue(&s, &e), -EEXIST);
    ASSERT_TELLS(e, "regent pki renew first");
    /* After a renewal, too, and whatever became of the old one. */
    struct pki *p = open_to_change();
    assert_int_equal(pki_renew(p, "first", fixture_now_s() + FIXTURE_DAY_S, &entry, &e), 0);
    assert_true(pki_next_id(p) >= 32);
    pki_close(p);
    s = fixture_subject(TLS_MANAGER, "twin", 31);
    assert_int_equal(try_issue(&s, &e), -EEXIST);
    assert_int_equal(take_back("first"), 2);
    p = open_to_change();
    assert_string_equal(pki_id_was_of(p, 31, "twin"), "first");
    assert_true(pki_next_id(p) >= 32);
    pki_close(p);
    assert_int_equal(try_issue(&s, &e), 0);
}

static void renewal_interrupts_nothing(void **state)
{
    struct pki_entry first = issue(TLS_MANAGER, "renewed", 41), second;
    struct err e = {0};
    unsigned n;

    (void)state;
    struct tls *old = open_tls("renewed", &e), *new;
    struct pki *p = open_to_change();
    assert_int_equal(pki_renew(p, "renewed", first.not_after_s + FIXTURE_DAY_S, &second, &e), 0);
    assert_int_equal(pki_renew(p, "unknown", first.not_after_s, &second, &e), -ENOENT);
    pki_close(p);
    assert_string_not_equal(first.serial, second.serial);
    assert_int_equal(second.id, 41);
    assert_int_equal(second.role, TLS_MANAGER);
    new = open_tls("renewed", &e);
    if (old == NULL || new == NULL) fail_msg("%s", e.text);
    struct meeting m = {.accepted = tls_accept_new(new), .called = tls_connect_new(old, FRAME_RAFT)};
    meeting_run(&m);
    assert_true(m.has_accepted && m.has_called);
    meeting_fini(&m);
    assert_true(tls_files_changed(old));
    assert_int_equal(tls_reload(old, &e), 0);
    assert_string_equal(tls_self(old)->serial, second.serial);

    p = pki_open(dir, false, &e);
    const struct pki_entry *list = pki_entries(p, &n);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(list[i].serial, first.serial) == 0) assert_int_equal(list[i].state, PKI_REPLACED);
        if (strcmp(list[i].serial, second.serial) == 0) assert_int_equal(list[i].state, PKI_CURRENT);
    }
    assert_string_equal(pki_current(p, "renewed")->serial, second.serial);
    pki_close(p);
    /* Only the old one, whose key was stolen. */
    assert_int_equal(take_back(first.serial), 1);
    assert_int_equal(tls_reload(new, &e), 0);
    struct tls_identity id = *tls_self(new);
    assert_int_equal(tls_check_again(new, &id, &e), 0);
    (void)TEXT_COPY(id.serial, first.serial);
    assert_int_equal(tls_check_again(new, &id, &e), -EACCES);
    tls_close(old);
    tls_close(new);
}

static void revoked_is_revoked(void **state)
{
    struct err e = {0};

    (void)state;
    (void)issue(TLS_OPERATOR, "eve", 0);
    (void)issue(TLS_MANAGER, "watch", 51);
    struct tls *eve = open_tls("eve", &e), *watch = open_tls("watch", &e);
    assert_non_null(eve);
    assert_non_null(watch);
    assert_int_equal(take_back("nobody"), -ENOENT);
    assert_int_equal(take_back("eve"), 1);
    assert_null(open_tls("eve", &e));
    ASSERT_TELLS(e, "was revoked");
    assert_true(tls_files_changed(watch));
    assert_int_equal(tls_reload(watch, &e), 0);
    struct meeting m = {.accepted = tls_accept_new(watch), .called = tls_connect_new(eve, FRAME_CLIENT)};
    meeting_run(&m);
    assert_false(m.has_accepted || m.has_called);
    ASSERT_TELLS(m.accept_error, "operator eve");
    meeting_fini(&m);
    /* Said again, the list is written again: the first time may have been interrupted before it. */
    assert_int_equal(unlink(at("crl.pem")), 0);
    assert_int_equal(take_back("eve"), 0);
    assert_int_equal(tls_reload(watch, &e), 0);
    assert_int_equal(tls_check_again(watch, tls_self(eve), &e), -EACCES);
    /* Other changes keep it on the list, and the name may be used again. */
    struct pki_entry again = issue(TLS_OPERATOR, "eve", 0);
    assert_int_equal(tls_reload(watch, &e), 0);
    assert_int_equal(tls_check_again(watch, tls_self(eve), &e), -EACCES);
    assert_string_not_equal(again.serial, tls_self(eve)->serial);
    tls_close(eve);
    eve = open_tls("eve", &e);
    assert_non_null(eve);
    tls_close(eve);
    tls_close(watch);
}

static void one_at_a_time(void **state)
{
    struct pki *p = open_to_change(), *reader;
    struct err e = {0};

    (void)state;
    assert_null(pki_open(dir, true, &e));
    assert_int_equal(e.code, -EBUSY);
    reader = pki_open(dir, false, &e);
    assert_non_null(reader);
    pki_close(reader);
    pki_close(p);
    pki_close(open_to_change());
}

static void the_key_may_be_elsewhere(void **state)
{
    struct err e = {0};
    struct pki_about about;
    struct pki *p;

    (void)state;
    assert_int_equal(rename(at("ca.key"), at("kept")), 0);
    assert_null(pki_open(dir, true, &e));
    ASSERT_TELLS(e, "the CA's key is needed for this");
    p = pki_open(dir, false, &e);
    assert_non_null(p);
    pki_tell(p, &about);
    assert_false(about.has_key);
    pki_close(p);
    assert_int_equal(symlink(at("kept"), at("ca.key")), 0);
    pki_close(open_to_change());
    assert_int_equal(chmod(at("kept"), 0640), 0);
    assert_null(pki_open(dir, true, &e));
    ASSERT_TELLS(e, "others may read or write the key of the CA (mode 0640)");
    assert_int_equal(unlink(at("ca.key")), 0);
    EVP_PKEY *other = pki_key_new(&e);
    fixture_save(at("ca.key"), pki_key_pem(other), 0600);
    EVP_PKEY_free(other);
    assert_null(pki_open(dir, true, &e));
    ASSERT_TELLS(e, "not the key of ca.crt");
    assert_int_equal(chmod(at("kept"), 0600), 0);
    assert_int_equal(rename(at("kept"), at("ca.key")), 0);
}

static void a_broken_index_is_told(void **state)
{
    static const char *const lines[] = {
        "short\n",
        "00 manager a 1 2030-01-01T00:00:00Z current -\n00 manager b x 2030-01-01T00:00:00Z current -\n",
        "00 manager a 0 2030-01-01T00:00:00Z current -\n",
        "00 agent a 1 2030-01-01T00:00:00Z current -\n",
        "00 king a 0 2030-01-01T00:00:00Z current -\n",
        "00 agent a 0 soon current -\n",
        "00 agent a 0 2030-01-01T00:00:00Z revoked -\n",
        "00 agent a 0 2030-01-01T00:00:00Z gone:2030-01-01T00:00:00Z -\n",
        "XY agent a 0 2030-01-01T00:00:00Z current -\n",
        "00 agent ../a 0 2030-01-01T00:00:00Z current -\n",
        "00 agent a 0 2030-01-01T00:00:00Z current - more\n",
    };
    struct err e = {0};
    char *good, text[512];
    size_t size;

    (void)state;
    assert_int_equal(file_read(at("index"), 1 << 20, &good, &size, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        snprintf(text, sizeof text, "%.*s%s", (int)strcspn(good, "\n") + 1, good, lines[i]);
        assert_int_equal(file_write_atomic(at("index"), text, strlen(text), 0644, NULL), 0);
        if (pki_open(dir, false, &e) != NULL) fail_msg("taken: %s", lines[i]);
        ASSERT_TELLS(e, i == 1 ? "index:3: " : "index:2: ");
    }
    assert_int_equal(file_write_atomic(at("index"), "", 0, 0644, NULL), 0);
    assert_null(pki_open(dir, true, &e));
    ASSERT_TELLS(e, "no index of this version");
    assert_int_equal(file_write_atomic(at("index"), good, size, 0644, NULL), 0);
    free(good);
    pki_close(open_to_change());
}

/* A file that cannot be replaced: the entry stands, so what half exists can be revoked, and renew completes it. */
static void an_interrupted_issue_is_completed(void **state)
{
    struct pki_subject s = fixture_subject(TLS_MANAGER, "half", 61);
    struct pki_entry entry;
    struct err e = {0};

    (void)state;
    assert_int_equal(mkdir(at("half.crt.new"), 0700), 0);
    assert_true(try_issue(&s, &e) < 0);
    ASSERT_TELLS(e, "half.crt");
    assert_int_equal(rmdir(at("half.crt.new")), 0);
    assert_int_equal(try_issue(&s, &e), -EEXIST);
    struct pki *p = open_to_change();
    assert_int_equal(pki_renew(p, "half", s.not_after_s, &entry, &e), 0);
    pki_close(p);
    struct tls *t = open_tls("half", &e);
    assert_non_null(t);
    tls_close(t);
}

static void nothing_outlives_the_ca(void **state)
{
    struct pki_subject s = fixture_subject(TLS_AGENT, "long", 0);
    struct pki_about about;
    struct pki_entry entry;
    struct err e = {0};
    struct pki *p = open_to_change();

    (void)state;
    s.not_after_s += 20 * 365 * (int64_t)FIXTURE_DAY_S;
    pki_tell(p, &about);
    assert_int_equal(pki_issue(p, &s, &entry, &e), 0);
    assert_int_equal(entry.not_after_s, about.not_after_s);
    pki_close(p);
}

/* What expired long ago leaves the index, but never a current one, and never a manager: his id must not come again. */
static void old_entries_are_forgotten(void **state)
{
    static const char old[] = "01 agent old 0 2020-01-01T00:00:00Z replaced -\n"
                              "02 agent kept 0 2020-01-01T00:00:00Z current -\n"
                              "03 manager gone 977 2020-01-01T00:00:00Z revoked:2019-01-01T00:00:00Z -\n";
    struct err e = {0};
    FILE *f = fopen(at("index"), "a");
    char *data;
    size_t size;

    (void)state;
    assert_true(fputs(old, f) >= 0 && fclose(f) == 0);
    (void)issue(TLS_AGENT, "fresh", 0);
    struct pki *p = pki_open(dir, false, &e);
    assert_int_equal(pki_next_id(p), 978);
    assert_non_null(pki_current(p, "kept"));
    pki_close(p);
    assert_int_equal(file_read(at("index"), 1 << 20, &data, &size, NULL), 0);
    assert_null(strstr(data, " old "));
    assert_non_null(strstr(data, " gone 977 "));
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ca_is_made_once),
        cmocka_unit_test(what_is_issued_is_good),
        cmocka_unit_test(hosts_stand_in_it),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(one_id_one_certificate),
        cmocka_unit_test(renewal_interrupts_nothing),
        cmocka_unit_test(revoked_is_revoked),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(the_key_may_be_elsewhere),
        cmocka_unit_test(a_broken_index_is_told),
        cmocka_unit_test(an_interrupted_issue_is_completed),
        cmocka_unit_test(nothing_outlives_the_ca),
        cmocka_unit_test(old_entries_are_forgotten),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
