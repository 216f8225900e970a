/* Configuration files: what is refused with which words (tests/golden/config_bad.txt), what is accepted, and that the
 * normal form reads back as the same bytes. Run from the top of the checkout; GOLDEN=write rewrites the golden file. */
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "lib/suggest.h"
#include "manager/config.h"
#include "manager/config_types.h"

static const char golden_path[] = "tests/golden/config_bad.txt";
static const char bad_files[] = "tests/golden/config/*.yaml";

static char dir[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    (void)TEXT_COPY(dir, "/tmp/regent-test-config.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes 'size' bytes into a file of the temporary directory; its path into 'path' of 128 bytes. */
static void write_file(const char *name, const void *data, size_t size, char *path)
{
    struct text t = text_on(path, 128);

    text_addf(&t, "%s/%s", dir, name);
    assert_int_equal(file_write_atomic(path, data, size, 0600, NULL), 0);
}

static int read_any(const char *path, struct err *e)
{
    static struct fsm_cluster_spec spec;
    static struct config config;

    if (strstr(path, "/cluster-") != NULL) return config_read_cluster(&spec, path, e);
    return config_read(&config, path, e);
}

/* Reads the golden file, or writes 'transcript' to it when asked, and compares. */
static void compare_golden(const char *transcript, size_t size)
{
    const char *mode = getenv("GOLDEN");
    size_t golden_size;
    char *golden;

    if (mode != NULL && text_equal(mode, "write")) {
        assert_int_equal(file_write_atomic(golden_path, transcript, size, 0644, NULL), 0);
    }
    assert_int_equal(file_read(golden_path, 1 << 20, &golden, &golden_size, NULL), 0);
    assert_string_equal(transcript, golden);
    free(golden);
}

static void every_bad_file_is_refused_with_its_line(void **state)
{
    char *transcript = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&transcript, &size);
    glob_t files;

    (void)state;
    assert_int_equal(glob(bad_files, 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 25);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct err e = {0};
        const char *path = files.gl_pathv[i];

        assert_int_equal(read_any(path, &e), -EINVAL);
        assert_int_equal(e.code, -EINVAL);
        assert_int_equal(strncmp(e.text, path, strlen(path)), 0);
        assert_int_equal(e.text[strlen(path)], ':');
        assert_null(strchr(e.text, '\n'));
        assert_non_null(strstr(e.text, "expected"));
        (void)fprintf(out, "%s\n", e.text + strlen("tests/golden/config/"));
    }
    assert_int_equal(fclose(out), 0);
    compare_golden(transcript, size);
    free(transcript);
    globfree(&files);
}

/* Checks that 'text' as a regentd.yaml is refused with 'code', and that the message holds 'part'. */
static void expect_refused(const char *text, size_t size, int code, const char *part)
{
    struct err e = {0};
    char path[128];

    write_file("bad.yaml", text, size, path);
    assert_int_equal(read_any(path, &e), code);
    if (strstr(e.text, part) == NULL) fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

static void large_files_are_refused(void **state)
{
    size_t size = YAML_FILE_MAX + 1;
    char *text = malloc(size);

    (void)state;
    assert_non_null(text);
    memset(text, '#', size);
    expect_refused(text, size, -EFBIG, "bad.yaml:1: the file is too large, expected at most 65536 bytes");
    /* One byte less is a comment of one line. */
    expect_refused(text, size - 1, -EINVAL, "bad.yaml:1: the file is empty");
    memset(text, '[', 2000);
    expect_refused(text, 2000, -EINVAL, "bad.yaml:1: nested too deeply, expected at most 8 levels");
    text[0] = '[';
    for (size_t i = 1; i + 1 < 6000; i += 2) memcpy(text + i, "a,", 2);
    expect_refused(text, 6000, -EINVAL, "bad.yaml:1: too many values, expected at most 2048");
    free(text);
}

static void unreadable_files_are_told(void **state)
{
    struct config config;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_read(&config, "/nonexistent/regentd.yaml", &e), -ENOENT);
    assert_string_equal(e.text, "read /nonexistent/regentd.yaml: No such file or directory");
    assert_int_equal(config_read(&config, dir, &e), -EISDIR);
}

static void long_paths_keep_the_message(void **state)
{
    struct config config;
    struct err e = {0};
    char path[1024];
    struct text t = TEXT_ON(path);

    (void)state;
    text_add(&t, dir);
    for (int i = 0; i < 4; i++) text_addf(&t, "/%0200d", i);
    assert_int_equal(file_make_dirs(path, 0700, NULL), 0);
    text_add(&t, "/r.yaml");
    assert_int_equal(file_write_atomic(path, "node: m1\n", 9, 0600, NULL), 0);
    assert_int_equal(config_read(&config, path, &e), -EINVAL);
    assert_non_null(strstr(e.text, "/r.yaml:1: key \"listen\" is missing, expected host:port"));
}

static void print_to(const char *path, const void *what, bool cluster)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    if (cluster) config_print_cluster(what, out);
    else config_print(what, out);
    assert_int_equal(fclose(out), 0);
}

static void reread_config(const struct config *config)
{
    struct config again;
    struct err e = {0};
    char path[128];

    write_file("print.yaml", "", 0, path);
    print_to(path, config, false);
    memset(&again, 0xa5, sizeof again);
    if (config_read(&again, path, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(&again, config, sizeof again);
}

static void reread_cluster(const struct fsm_cluster_spec *spec)
{
    struct fsm_cluster_spec again;
    struct err e = {0};
    char path[128];

    write_file("print.yaml", "", 0, path);
    print_to(path, spec, true);
    memset(&again, 0xa5, sizeof again);
    if (config_read_cluster(&again, path, &e) != 0) fail_msg("%s", e.text);
    assert_memory_equal(&again, spec, sizeof again);
}

static void read_config_text(struct config *config, const char *text)
{
    struct err e = {0};
    char path[128];

    write_file("good.yaml", text, strlen(text), path);
    if (config_read(config, path, &e) != 0) fail_msg("%s", e.text);
}

static void read_cluster_text(struct fsm_cluster_spec *spec, const char *text)
{
    struct err e = {0};
    char path[128];

    write_file("good.yaml", text, strlen(text), path);
    if (config_read_cluster(spec, path, &e) != 0) fail_msg("%s", e.text);
}

static void the_examples_are_right(void **state)
{
    struct config config;
    struct fsm_cluster_spec spec;
    struct err e = {0};

    (void)state;
    if (config_read(&config, "docs/regentd.yaml.example", &e) != 0) fail_msg("%s", e.text);
    assert_int_equal(config.group_n, 3);
    assert_string_equal(config.group[2].address, "127.0.0.1:7403");
    assert_string_equal(config.socket, "/run/regent/regentd.sock");
    reread_config(&config);
    if (config_read_cluster(&spec, "docs/cluster.yaml.example", &e) != 0) fail_msg("%s", e.text);
    assert_int_equal(spec.servers_n, 4);
    assert_int_equal(spec.servers[1].role, ROLE_BACKUP);
    assert_string_equal(spec.defaults_file, "/etc/regent/my.cnf");
    reread_cluster(&spec);
}

static void defaults_of_a_manager(void **state)
{
    struct config c;

    (void)state;
    read_config_text(&c, "node: m1\nlisten: 127.0.0.1:7401\ndata_dir: /d\ninsecure_loopback: true\n"
                         "group: [{name: m1, address: 127.0.0.1:7401}]\n");
    assert_string_equal(c.node, "m1");
    assert_string_equal(c.data_dir, "/d");
    assert_string_equal(c.socket, "");
    assert_string_equal(c.log_level, "info");
    assert_false(c.log_journal);
    assert_int_equal(c.heartbeat_ms, 100);
    assert_int_equal(c.election_ms, 500);
    assert_true(c.insecure_loopback);
    reread_config(&c);
}

static void tls_takes_any_address_and_a_listener_for_all(void **state)
{
    struct config c;

    (void)state;
    read_config_text(&c, "node: m1\nlisten: \"[::]:7401\"\ndata_dir: /d\n"
                         "tls: {ca: /t/ca.crt, cert: /t/m1.crt, key: /t/m1.key}\n"
                         "group: [{name: m1, address: m1.example:7401}]\n");
    assert_string_equal(c.tls.ca, "/t/ca.crt");
    assert_string_equal(c.tls.key, "/t/m1.key");
    assert_string_equal(c.tls.crl, "");
    assert_string_equal(config_own_address(&c), "m1.example:7401");
    assert_false(c.insecure_loopback);
    reread_config(&c);
    read_config_text(&c, "node: m1\nlisten: 0.0.0.0:7401\ndata_dir: /d\n"
                         "tls: {ca: /t/ca.crt, cert: /t/m1.crt, key: /t/m1.key, crl: /t/crl.pem}\n"
                         "group: [{name: m1, address: 10.1.2.3:7401}]\n");
    assert_string_equal(c.tls.crl, "/t/crl.pem");
    reread_config(&c);
}

static void odd_values_are_kept_by_the_normal_form(void **state)
{
    struct config c;

    (void)state;
    read_config_text(&c, "node: \"no\"\nlisten: \"[::1]:7401\"\ndata_dir: \"/d a/#{x}: \\\"y\\\\z,\"\n"
                         "socket: '/run/''a'' *&!|>%@.sock'\ninsecure_loopback: true\n"
                         "log: {level: debug, journal: true}\nraft: {heartbeat: 1s, election: 1m}\n"
                         "group:\n- {name: 1e3, address: localhost:1}\n- {address: \"[0:0::1]:7401\", name: no}\n"
                         "- {name: null, address: 127.9.9.9:65535}\n");
    assert_string_equal(c.data_dir, "/d a/#{x}: \"y\\z,");
    assert_string_equal(c.socket, "/run/'a' *&!|>%@.sock");
    assert_string_equal(c.group[2].name, "null");
    assert_int_equal(c.election_ms, 60000);
    reread_config(&c);
}

static void a_path_may_end_in_a_colon(void **state)
{
    struct config c;

    (void)state;
    read_config_text(&c, "node: m1\nlisten: 127.0.0.1:1\ndata_dir: \"/d:\"\ninsecure_loopback: true\n"
                         "group: [{name: m1, address: 127.0.0.1:1}]\n");
    assert_string_equal(c.data_dir, "/d:");
    reread_config(&c);
}

static void groups_of_1_3_5_and_7_are_accepted(void **state)
{
    (void)state;
    for (int n = 1; n <= 7; n += 2) {
        char buffer[1024];
        struct text t = TEXT_ON(buffer);
        struct config c;

        text_add(&t, "node: m1\nlisten: 127.0.0.1:7401\ndata_dir: /d\ninsecure_loopback: true\ngroup:\n");
        for (int i = 1; i <= n; i++) text_addf(&t, "- {name: m%d, address: 127.0.0.1:%d}\n", i, 7400 + i);
        assert_false(t.cut);
        read_config_text(&c, buffer);
        assert_int_equal(c.group_n, n);
        reread_config(&c);
    }
}

static void clusters_of_every_flavour_are_well_formed(void **state)
{
    const struct {
        const char *text;
        enum fsm_flavour flavour;
    } rows[] = {{"mariadb", FLAVOUR_MARIADB}, {"mysql", FLAVOUR_MYSQL}, {"ndb", FLAVOUR_NDB}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buffer[512];
        struct text t = TEXT_ON(buffer);
        struct fsm_cluster_spec s;

        text_addf(&t, "cluster: shop\nflavour: %s\ncredentials: {defaults_file: /c}\n"
                      "servers: [{name: a, address: h:1, role: master}]\n", rows[i].text);
        read_cluster_text(&s, buffer);
        assert_int_equal(s.flavour, rows[i].flavour);
        assert_int_equal(s.durability, DURABILITY_PREFER_LOSSLESS);
        assert_string_equal(s.group, "regent");
        assert_int_equal(s.probe_ms, 500);
        assert_int_equal(s.timeout_ms, 1000);
        assert_int_equal(s.servers[0].role, ROLE_MASTER);
        reread_cluster(&s);
    }
}

static void a_full_cluster_survives_its_normal_form(void **state)
{
    char buffer[4096];
    struct text t = TEXT_ON(buffer);
    struct fsm_cluster_spec s;

    (void)state;
    text_add(&t, "cluster: c\nflavour: mariadb\ndurability: async\ncredentials: {defaults_file: '/x y', group: g}\n"
                 "detect: {probe: 45s, timeout: 10m}\nservers:\n");
    for (int i = 1; i <= FSM_SERVERS_MAX; i++) {
        text_addf(&t, "- {name: db%d, address: \"[2001:db8::%d]:3306\", role: %s}\n", i, i,
                  i == 3 ? "master" : i == 5 ? "backup" : "replica");
    }
    assert_false(t.cut);
    read_cluster_text(&s, buffer);
    assert_int_equal(s.durability, DURABILITY_ASYNC);
    assert_int_equal(s.probe_ms, 45000);
    assert_int_equal(s.servers_n, FSM_SERVERS_MAX);
    assert_int_equal(s.servers[15].role, ROLE_REPLICA);
    reread_cluster(&s);
}

static void addresses_are_split(void **state)
{
    static const char *const bad[] = {"",      ":",       ":1",     "a",      "a:",    "a:+1", "a: 1",   "a:1 ",
                                      "[]:1",  "[::1]1",  "[::1:1", "::1]:1", "[a]:1", "-a:1", "a..b:1", "1.2.3:1",
                                      "a:1:1", "::1:7401"};
    char host[64];
    uint16_t port = 0;

    (void)state;
    assert_int_equal(config_split_address("127.0.0.1:7401", host, sizeof host, &port), 0);
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 7401);
    assert_int_equal(config_split_address("[::1]:65535", host, sizeof host, &port), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 65535);
    assert_int_equal(config_split_address("db-1.example:1", host, 12, &port), -EINVAL); /* Host does not fit. */
    assert_int_equal(config_split_address("db-1.example:1", host, 13, &port), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (config_split_address(bad[i], host, sizeof host, &port) != -EINVAL) fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void loopback_is_told_from_the_rest(void **state)
{
    (void)state;
    assert_true(config_address_is_loopback("127.0.0.1:1"));
    assert_true(config_address_is_loopback("127.255.1.2:1"));
    assert_true(config_address_is_loopback("[0:0:0:0:0:0:0:1]:1"));
    assert_true(config_address_is_loopback("LocalHost:1"));
    assert_false(config_address_is_loopback("128.0.0.1:1"));
    assert_false(config_address_is_loopback("0.0.0.0:1"));
    assert_false(config_address_is_loopback("[::]:1"));
    assert_false(config_address_is_loopback("127.0.0.1.example:1"));
    assert_false(config_address_is_loopback("localhost.example:1"));
}

static void suggestions_are_near_or_absent(void **state)
{
    static const char *const names[] = {"probe", "timeout", "address", "name"};

    (void)state;
    assert_string_equal(suggest("porbe", names, 4), "probe");   /* Swapped. */
    assert_string_equal(suggest("timout", names, 4), "timeout"); /* Lost. */
    assert_string_equal(suggest("NAME", names, 4), "name");
    assert_string_equal(suggest("addr", names, 4), "address"); /* Its beginning. */
    assert_string_equal(suggest("names_of", names, 4), "name");
    assert_null(suggest("zookeeper", names, 4));
    assert_null(suggest("", names, 4));
    assert_null(suggest("a", names, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_file_is_refused_with_its_line),
        cmocka_unit_test(large_files_are_refused),
        cmocka_unit_test(unreadable_files_are_told),
        cmocka_unit_test(long_paths_keep_the_message),
        cmocka_unit_test(the_examples_are_right),
        cmocka_unit_test(defaults_of_a_manager),
        cmocka_unit_test(tls_takes_any_address_and_a_listener_for_all),
        cmocka_unit_test(odd_values_are_kept_by_the_normal_form),
        cmocka_unit_test(a_path_may_end_in_a_colon),
        cmocka_unit_test(groups_of_1_3_5_and_7_are_accepted),
        cmocka_unit_test(clusters_of_every_flavour_are_well_formed),
        cmocka_unit_test(a_full_cluster_survives_its_normal_form),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(loopback_is_told_from_the_rest),
        cmocka_unit_test(suggestions_are_near_or_absent),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
