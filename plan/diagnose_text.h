/* The texts of a diagnosis. PURE. Private to plan/. */
#ifndef REGENT_PLAN_DIAGNOSE_TEXT_H
#define REGENT_PLAN_DIAGNOSE_TEXT_H

#include "plan/diagnose.h"

/* Writes one "key: value" line per manager (what it sees of 'master') and per other server (its receiver from
 * 'master', its applier). */
void diagnosis_evidence(const struct fsm_cluster *cluster, const struct view *view, uint8_t master, struct text *t);

/* Writes what would change the verdict 'row'. */
void diagnosis_change(const struct fsm_cluster *cluster, const struct view *view, enum diagnosis_row row,
                      struct text *t);

#endif
