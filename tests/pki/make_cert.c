/* Makes certificates that `regent pki` never would: expired ones, future ones, an id that another member has. The CA
 * is one of `regent pki`; its index does not learn of them.
 *
 *   make_cert CA_DIR ROLE NAME ID BEGINS_S ENDS_S FILE      writes FILE.crt and FILE.key; times from now, may be < 0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>

#include "lib/base/text.h"
#include "lib/file.h"
#include "lib/pki_cert.h"

enum { PATH_SIZE = 512, ARGUMENTS = 8 };

static void fail(const char *text)
{
    fprintf(stderr, "make_cert: %s\n", text);
    exit(1);
}

static FILE *open_file(const char *dir, const char *name)
{
    char path[PATH_SIZE];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "r");
    if (file == NULL) fail(path);
    return file;
}

static void save(const char *file, const char *suffix, char *pem, mode_t mode)
{
    char path[PATH_SIZE];
    struct err e = {0};

    snprintf(path, sizeof path, "%s%s", file, suffix);
    if (pem == NULL || file_write_atomic(path, pem, strlen(pem), mode, &e) != 0) fail(e.text);
    pki_wipe(pem);
}

int main(int argc, char **argv)
{
    int64_t now_s = (int64_t)time(NULL);
    struct pki_subject s = {0};
    struct err e = {0};

    if (argc != ARGUMENTS) fail("CA_DIR ROLE NAME ID BEGINS_S ENDS_S FILE");
    FILE *crt = open_file(argv[1], "ca.crt"), *key = open_file(argv[1], "ca.key");
    X509 *ca = PEM_read_X509(crt, NULL, NULL, NULL);
    EVP_PKEY *ca_key = PEM_read_PrivateKey(key, NULL, NULL, NULL), *own = pki_key_new(&e);
    fclose(crt);
    fclose(key);
    if (ca == NULL || ca_key == NULL || own == NULL) fail("the CA cannot be read");
    s.role = tls_role_parse(argv[2]);
    if (!TEXT_COPY(s.name, argv[3])) fail("the name is too long");
    s.id = strtoull(argv[4], NULL, 10);
    s.not_before_s = now_s + strtoll(argv[5], NULL, 10);
    s.not_after_s = now_s + strtoll(argv[6], NULL, 10);
    X509 *cert = pki_cert_new(&s, own, ca, ca_key, &e);
    if (cert == NULL) fail(e.text);
    save(argv[7], ".key", pki_key_pem(own), 0600);
    save(argv[7], ".crt", pki_cert_pem(cert), 0644);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(own);
    return 0;
}
