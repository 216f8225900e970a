/* mysql/endpoint.c: option files as operators write them, and a message with file, line and key for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "mysql/db.h"

static char dir[64], path[96];
static struct db_endpoint endpoint;
static struct err err;

static void write_file(const char *content, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static int read_text(const char *content, const char *group)
{
    write_file(content, strlen(content));
    err = (struct err){0};
    endpoint = (struct db_endpoint){.host = "db1", .port = 3311, .user = "old", .password = "old", .program = "regent"};
    return db_endpoint_read(&endpoint, path, group, &err);
}

/* 'content' must be refused with 'code' and a text that contains "PATH:line: " (line 0: none) and 'what'. The endpoint
 * stays as it was. */
static void refuses(const char *content, int code, unsigned line, const char *what)
{
    char place[128];
    int rv = read_text(content, "regent");
    if (line != 0) snprintf(place, sizeof(place), "%s:%u: ", path, line);
    if (line == 0) snprintf(place, sizeof(place), "%s: ", path);
    if (rv != code) fail_msg("returned %d for: %s", rv, content);
    if (strncmp(err.text, place, strlen(place)) != 0) fail_msg("place is wrong: %s", err.text);
    if (strstr(err.text, what) == NULL) fail_msg("text is wrong: %s", err.text);
    assert_int_equal(err.code, code);
    assert_null(strstr(err.text, "s3cret"));
    assert_string_equal(endpoint.user, "old");
    assert_string_equal(endpoint.password, "old");
}

static void password_is(const char *line, const char *password)
{
    char content[512];
    snprintf(content, sizeof(content), "[regent]\nuser=u\n%s\n", line);
    assert_int_equal(read_text(content, "regent"), 0);
    assert_string_equal(endpoint.password, password);
}

static void groups(void **state)
{
    (void)state;
    static const char TEXT[] = "# comment\n"
                               "; comment\r\n"
                               "\n"
                               "[client]\n"
                               "user = wrong\n"
                               "no-such-key = 1\n"
                               "  [regent]  \r\n"
                               "user = probe # comment\r\n"
                               "password=one\n"
                               "[regent-control]\n"
                               "user=control\n"
                               "[regent]\n"
                               "password = two\n"
                               "ssl_ca = /ca.pem\n"
                               "ssl-cert=/cert.pem\n"
                               "ssl-key=\"/key.pem\"\n"
                               "host=elsewhere\n"
                               "port=1";
    assert_int_equal(read_text(TEXT, "regent"), 0);
    assert_string_equal(endpoint.user, "probe");
    assert_string_equal(endpoint.password, "two");
    assert_string_equal(endpoint.tls_ca, "/ca.pem");
    assert_string_equal(endpoint.tls_cert, "/cert.pem");
    assert_string_equal(endpoint.tls_key, "/key.pem");
    assert_true(endpoint.tls_verify_host); /* The safe default. */
    assert_string_equal(endpoint.host, "db1");
    assert_int_equal(endpoint.port, 3311);
    assert_string_equal(endpoint.program, "regent");
    assert_int_equal(read_text(TEXT, "regent-control"), 0);
    assert_string_equal(endpoint.user, "control");
    assert_string_equal(endpoint.password, "");
    assert_string_equal(endpoint.tls_ca, "");
}

static void values(void **state)
{
    (void)state;
    password_is("password=plain", "plain");
    password_is("  password   =   sp aced  ", "sp aced");
    password_is("password=", "");
    password_is("password=\"\"", "");
    password_is("password=a#b", "a");
    password_is("password=\"a#b\" # comment", "a#b");
    password_is("password='a\"b'", "a\"b");
    password_is("password=\"a'b\"", "a'b");
    password_is("password=\"a\\\"b\"", "a\"b");
    password_is("password='a\\'b#c'", "a'b#c");
    password_is("password=a=b", "a=b");
    password_is("password=a\\\\b", "a\\b");
    password_is("password=a\\sb\\tc", "a b\tc");
    password_is("password=a\\qb", "a\\qb");
    password_is("password=\"  kept  \"", "  kept  ");
    password_is("password=a\"b", "a\"b");
    password_is("password=p\xc3\xa4ss", "p\xc3\xa4ss");
}

static void verification(void **state)
{
    (void)state;
    assert_int_equal(read_text("[regent]\nuser=u\nssl-verify-server-cert=OFF\n", "regent"), 0);
    assert_false(endpoint.tls_verify_host);
    assert_int_equal(read_text("[regent]\nuser=u\nssl_verify_server_cert\n", "regent"), 0);
    assert_true(endpoint.tls_verify_host);
    refuses("[regent]\nuser=u\nssl-verify-server-cert=perhaps\n", -EINVAL, 3, "ssl-verify-server-cert");
}

static void mistakes(void **state)
{
    (void)state;
    char text[1024];
    refuses("[regent]\nuser=u\npasword=s3cret\n", -EINVAL, 3, "pasword");
    refuses("!include /etc/other.cnf\n[regent]\nuser=u\n", -EINVAL, 1, "!include");
    refuses("[regent]\nuser=u\n  !includedir /etc/x\n", -EINVAL, 3, "!include");
    refuses("[regent\nuser=u\n", -EINVAL, 1, "]");
    refuses("[regent]\nuser=u\npassword=\"s3cret\n", -EINVAL, 3, "password");
    refuses("[regent]\nuser=u\npassword=\"s3cret\" more\n", -EINVAL, 3, "password");
    refuses("[regent]\nuser\n", -EINVAL, 2, "user");
    refuses("[regent]\n=s3cret\n", -EINVAL, 2, "key");
    refuses("[regent]\nus er=u\n", -EINVAL, 2, "key");
    refuses("[regent]\npassword=s3cret\n", -EINVAL, 0, "user");
    refuses("[other]\nuser=u\n", -ENOENT, 0, "[regent]");
    refuses("", -ENOENT, 0, "[regent]");
    snprintf(text, sizeof(text), "[regent]\nuser=%0300d\n", 1);
    refuses(text, -EINVAL, 2, "user");
    snprintf(text, sizeof(text), "[regent]\n%0300d=1\n", 1);
    refuses(text, -EINVAL, 2, "key");
}

static void files(void **state)
{
    (void)state;
    err = (struct err){0};
    assert_int_equal(db_endpoint_read(&endpoint, "/no/such/file", "regent", &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/file"));
    assert_int_equal(db_endpoint_read(&endpoint, dir, "regent", &err), -EINVAL);
    write_file("[regent]\nuser=u\0x\n", 18);
    assert_int_equal(db_endpoint_read(&endpoint, path, "regent", &err), -EINVAL);
    char *large = calloc(1, 100000);
    assert_non_null(large);
    memset(large, '#', 99999);
    write_file(large, 99999);
    free(large);
    assert_int_equal(db_endpoint_read(&endpoint, path, "regent", &err), -EINVAL);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(db_endpoint_read(&endpoint, path, "regent", &err), -EINVAL); /* And does not wait for a writer. */
    unlink(path);
}

/* Too open a file is read, and warned about. */
static void open_file_warns(void **state)
{
    (void)state;
    char out[128];
    char line[512] = "";
    snprintf(out, sizeof(out), "%s/stderr", dir);
    write_file("[regent]\nuser=u\npassword=s3cret\n", 32);
    assert_int_equal(chmod(path, 0644), 0);
    fflush(stderr);
    int saved = dup(2);
    assert_non_null(freopen(out, "w", stderr));
    int rv = db_endpoint_read(&endpoint, path, "regent", &err);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    assert_int_equal(rv, 0);
    FILE *file = fopen(out, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    unlink(out);
    assert_non_null(strstr(line, path));
    assert_non_null(strstr(line, "chmod 600"));
    assert_null(strstr(line, "s3cret"));
}

static int make_dir(void **state)
{
    (void)state;
    log_init(LOG_LEVEL_WARN, false, "test");
    strcpy(dir, "/tmp/regent-unit-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof(path), "%s/my.cnf", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char out[128];
    snprintf(out, sizeof(out), "%s/stderr", dir);
    unlink(out);
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups),   cmocka_unit_test(values), cmocka_unit_test(verification),
        cmocka_unit_test(mistakes), cmocka_unit_test(files),  cmocka_unit_test(open_file_warns),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
