/* The probe: one round trip that tells all we want to know of a server. PURE: text out, results in. */
#ifndef REGENT_MYSQL_PROBE_H
#define REGENT_MYSQL_PROBE_H

#include "lib/base/text.h"
#include "mysql/result.h"
#include "plan/view.h"

enum { PROBE_SQL_SIZE = 4096 };

/* Writes the probe for 'flavour' (several statements, one request). Needs no privilege but SLAVE MONITOR /
 * REPLICA MONITOR and SELECT on regent.*, and writes nothing. Works on a server on which regent's schema is absent. */
void probe_write(enum fsm_flavour flavour, struct text *sql);

/* Reads the probe's answer into '*facts' (facts->set true). Returns VIEW_OK, VIEW_UNSUPPORTED (with facts->version and
 * 'error'), or VIEW_FAILED with 'error' when the answer has not the expected shape. idle_ms, stalled_ms and acked_ms
 * are left at -1: they take several probes (manager/observe.c). */
enum view_outcome probe_read(enum fsm_flavour flavour, const struct db_result *result, struct view_facts *facts,
                             struct text *error);

/* Maps a failed request to an outcome, and the alarm text. */
enum view_outcome probe_failure(const struct db_result *result, struct text *error);

#endif
