/* A small CA in a directory, offline: issues, renews and revokes the certificates that lib/tls reads.
 *
 *   ca.crt  ca.key (0600)  crl.pem   NAME.crt  NAME.key (0600) of each who was given one   index   lock
 *
 * The index is a text file with a line for each certificate ever issued, written before the certificate: what exists
 * can be revoked. Every file is replaced atomically; a command that was interrupted is repeated with `renew`. */
#ifndef REGENT_PKI_H
#define REGENT_PKI_H

#include "lib/pki_cert.h"

enum {
    PKI_ENTRIES_MAX = 16384,
    PKI_DAY_S = 24 * 3600,
    PKI_CA_DAYS = 3650,
    PKI_DAYS = 397,      /* Of a leaf: a year, and a month to be late. */
    PKI_WARN_DAYS = 30,  /* From then on `renew` is due. */
    PKI_BACKDATE_S = 300 /* So that clocks that are a little behind see a valid one. */
};

/* Current: the one that its owner shall use, also when it has expired. Replaced: by a renewal; valid to its end. */
enum pki_state { PKI_CURRENT, PKI_REPLACED, PKI_REVOKED };

/* One certificate ever issued. */
struct pki_entry {
    char serial[TLS_SERIAL_SIZE];
    enum tls_role role;
    enum pki_state state;
    char name[TLS_NAME_SIZE];
    uint64_t id; /* Managers; else 0. */
    char hosts[PKI_HOSTS_SIZE];
    int64_t not_after_s, revoked_s; /* revoked_s: 0 unless revoked. */
};

struct pki_about {
    char ca_name[128]; /* "Regent CA NAME" */
    int64_t not_after_s;
    int64_t crl_until_s; /* 0: crl.pem is missing or cannot be read. */
    bool has_key;        /* ca.key is there and readable. */
};

struct pki;

/* Makes 'dir' (0700) with a new CA, its key, an empty CRL and an empty index. -EEXIST when there is a CA already: it
 * is never overwritten. 'not_after_s': end of the CA. */
int pki_init(const char *dir, const char *name, int64_t not_after_s, struct err *e) MUST_CHECK;

/* Opens the directory: to read, which needs neither the lock nor the key; or 'to_change', which takes both. NULL with
 * 'e' filled (-ENOENT: no CA there; -EBUSY: locked). The caller ends it with pki_close(). */
struct pki *pki_open(const char *dir, bool to_change, struct err *e) MUST_CHECK;
void pki_close(struct pki *p); /* NULL is fine. */

/* What was issued, oldest first. Borrowed until the next change. */
const struct pki_entry *pki_entries(const struct pki *p, unsigned *n);
/* The current certificate of 'name', or NULL. */
const struct pki_entry *pki_current(const struct pki *p, const char *name);
/* An id above all that this CA ever gave to a manager. */
uint64_t pki_next_id(const struct pki *p);
/* The name of another manager that had this id, or NULL: ids of a group are never used again. */
const char *pki_id_was_of(const struct pki *p, uint64_t id, const char *name);
void pki_tell(const struct pki *p, struct pki_about *about); /* Facts on the CA itself. */

/* Issues a certificate with a new key and writes NAME.key and NAME.crt. s->not_after_s is cut to the CA's end. -EEXIST
 * when the name, or the manager's id, has a current certificate. All changes also write crl.pem anew. On failure the
 * index may hold an entry without a certificate: harmless, and `renew` makes one; close 'p'. 'issued' is a copy. */
int pki_issue(struct pki *p, const struct pki_subject *s, struct pki_entry *issued, struct err *e) MUST_CHECK;

/* A new key and certificate for the owner of a current one, with the same role, name, id and hosts. -ENOENT when there
 * is none. */
int pki_renew(struct pki *p, const char *name, int64_t not_after_s, struct pki_entry *issued,
              struct err *e) MUST_CHECK;

/* Revokes all certificates of 'which', a name; or only one, when it is a serial number. Returns how many; 0 when they
 * were revoked already (crl.pem is still written anew); -ENOENT when nobody is called that. After a failure repeat it.
 */
int pki_revoke(struct pki *p, const char *which, struct err *e) MUST_CHECK;

#endif
