/* What lib/pki.c and lib/pki_index.c share. */
#ifndef REGENT_PKI_PRIVATE_H
#define REGENT_PKI_PRIVATE_H

#include "lib/pki.h"

struct pki_list {
    struct pki_entry *base; /* malloc'ed. */
    unsigned n, room;
};

/* Reads the index into an empty list; a line that is not understood is an error with its number. */
int pki__index_read(const char *path, struct pki_list *list, struct err *e) MUST_CHECK;
/* Replaces the index, without entries of agents and operators that expired long before 'now_s' and are not current. */
int pki__index_write(const char *path, const struct pki_list *list, int64_t now_s, struct err *e) MUST_CHECK;
/* Appends a copy. -ENOSPC beyond PKI_ENTRIES_MAX. */
int pki__list_add(struct pki_list *list, const struct pki_entry *entry, struct err *e) MUST_CHECK;

#endif
