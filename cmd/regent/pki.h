/* What the pki commands share: a CA's content as JSON, and shown. */
#ifndef REGENT_CMD_PKI_H
#define REGENT_CMD_PKI_H

#include <jansson.h>

#include "cmd/regent/commands.h"
#include "lib/pki.h"

/* One certificate: name, role, id (managers), serial, hosts, not_after, days_left, state, revoked_at. The caller owns
 * it. */
json_t *pki_entry_json(const struct pki_entry *entry, int64_t now_s);

/* Prints what the CA in 'dir' issued, as JSON or as a table, and warns on stderr of what ends soon. */
enum client_code show_pki(const char *dir, bool is_json);

#endif
