/* Fuzz: cluster files, which operators write and `regent` sends. What is printed reads back as the same struct. */
#include <errno.h>
#include <stdio.h>

#include "manager/config.h"
#include "tests/fuzz/config_files.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    static struct fsm_cluster_spec spec, again;
    struct err e = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *out;
    int rv = config_read_cluster(&spec, fuzz_file(data, size), &e);

    MUST(rv <= 0);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && strchr(e.text, '\n') == NULL);
        return false;
    }
    MUST(spec.servers_n >= 1 && spec.servers_n <= FSM_SERVERS_MAX);
    out = open_memstream(&text, &n);
    MUST(out != NULL);
    config_print_cluster(&spec, out);
    MUST(fclose(out) == 0);
    rv = config_read_cluster(&again, fuzz_file(text, n), &e);
    if (rv != 0) (void)fprintf(stderr, "%s\n%s", e.text, text);
    MUST(rv == 0);
    MUST(memcmp(&spec, &again, sizeof(spec)) == 0);
    free(text);
    return true;
}

static void seed(void)
{
    fuzz_put_text("cluster: shop\nflavour: mariadb\ndurability: lossless\n"
                  "credentials: {defaults_file: /etc/regent/shop.cnf, group: regent}\n"
                  "detect: {probe: 500ms, timeout: 1s}\nservers:\n"
                  "  - {name: db1, address: '127.0.0.1:3311', role: master}\n"
                  "  - {name: db2, address: '[fd00::1]:3306', role: backup}\n"
                  "  - {name: db3, address: db3.example:3306, role: replica}\n");
    fuzz_put_text("cluster: a\nflavour: mysql\ncredentials:\n    defaults_file: /c\n"
                  "servers: [{name: \"1\", address: 'h:1', role: master}]\n");
    fuzz_put_files("tests/golden/config/cluster-*.yaml", run);
}

FUZZ_TARGET(cluster_file, run, seed)
