/* Fuzz: regentd.yaml, through libyaml, the tree and the schema. What is printed reads back as the same struct. */
#include <errno.h>
#include <stdio.h>

#include "manager/config.h"
#include "tests/fuzz/config_files.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    static struct config config, again;
    struct err e = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *out;
    int rv = config_read(&config, fuzz_file(data, size), &e);

    MUST(rv <= 0);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && strchr(e.text, '\n') == NULL);
        return false;
    }
    MUST(config.group_n <= CONFIG_GROUP_MAX); /* None: of a member that joins. */
    out = open_memstream(&text, &n);
    MUST(out != NULL);
    config_print(&config, out);
    MUST(fclose(out) == 0);
    rv = config_read(&again, fuzz_file(text, n), &e);
    if (rv != 0) (void)fprintf(stderr, "%s\n%s", e.text, text);
    MUST(rv == 0);
    MUST(memcmp(&config, &again, sizeof(config)) == 0);
    free(text);
    return true;
}

static void seed(void)
{
    fuzz_put_text("node: m1\nlisten: 127.0.0.1:7401\ndata_dir: /var/lib/regent\nsocket: /run/regent.sock\n"
                  "insecure_loopback: true\nlog: {level: debug, journal: true}\n"
                  "raft: {heartbeat: 100ms, election: 2s}\n"
                  "group:\n  - {name: m1, address: 127.0.0.1:7401}\n  - {name: m2, address: '[::1]:7402'}\n"
                  "  - {name: m3, address: localhost:7403}\n");
    fuzz_put_text("node: m4\nlisten: 127.0.0.1:7404\ndata_dir: /d\ninsecure_loopback: true\n");
    fuzz_put_text("group: [{name: a, address: \"127.0.0.1:1\"}] # alone\nnode: a\nlisten: 127.0.0.1:1\n"
                  "data_dir: /d\ninsecure_loopback: true\n");
    fuzz_put_text("node: m4\nlisten: 10.0.0.4:7401\ndata_dir: /d\n"
                  "tls: {ca: /t/ca.crt, cert: /t/m4.crt, key: /t/m4.key, crl: /t/crl.pem}\n");
    fuzz_put_files("tests/golden/config/regentd-*.yaml", run);
}

FUZZ_TARGET(config, run, seed)
