/* Fuzz: option files with the account of the servers. What is refused leaves the endpoint as it was. */
#include <errno.h>

#include "mysql/db.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/fuzz.h"

static bool run(const uint8_t *data, size_t size)
{
    static struct db_endpoint to, before;
    struct err e = {0};
    int rv;

    memset(&to, 0, sizeof(to));
    memset(to.password, 'p', sizeof(to.password) - 1);
    to.port = 3306;
    before = to;
    rv = db_endpoint_read(&to, fuzz_file(data, size), "regent", &e);
    MUST(rv <= 0);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && memcmp(&to, &before, sizeof(to)) == 0);
        return false;
    }
    MUST(FUZZ_IS_TEXT(to.user) && to.user[0] != '\0');
    MUST(FUZZ_IS_TEXT(to.password) && FUZZ_IS_TEXT(to.tls_ca) && FUZZ_IS_TEXT(to.tls_cert));
    MUST(FUZZ_IS_TEXT(to.tls_key) && to.port == 3306);
    return true;
}

static void seed(void)
{
    fuzz_put_text("[regent]\nuser=regent\npassword=secret\n");
    fuzz_put_text("# ours\n[client]\nuser = x\n\n[regent]\nuser = \"re\\\"gent\"  # who\npassword = 'a\\s\\tb#c'\n"
                  "ssl_ca=/etc/ca.pem\nssl-cert = /etc/c.pem\nssl-key\t=/etc/k.pem\nssl-verify-server-cert = off\n");
    fuzz_put_text("[mysqld]\nskip-x\n[ regent ]\r\nuser=a\r\nhost=h\nport=1\n[other]\n");
    fuzz_put_text("[regent]\nuser=a\nssl-verify-server-cert\n;end");
}

FUZZ_TARGET(option_file, run, seed)
