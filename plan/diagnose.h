/* Diagnosis: from evidence to verdict. PURE. The table of DESIGN §8, one row a rule, one test a row. */
#ifndef REGENT_PLAN_DIAGNOSE_H
#define REGENT_PLAN_DIAGNOSE_H

#include "lib/base/text.h"
#include "plan/view.h"

/* Rows in the order in which they are tried; the first that matches is the verdict.
 * X(id, name, acts, what it means) -- 'acts': the verdict calls for a plan. */
#define DIAGNOSIS_ROWS(X)                                                                                             \
    X(NOT_ENROLLED, not-enrolled, false, "the cluster is declared, its servers are not yet understood")               \
    X(PAUSED, paused, false, "an operator paused the cluster")                                                        \
    X(RESTARTED, restarted, true, "the master answers, but read-only: it restarted, or a failover has closed it")     \
    X(CLOSED, closed, false, "somebody made the master read-only; it did not restart, so it is not replaced")         \
    X(BLOCKED, blocked, false, "commits wait for an acker that is gone; the master is healthy")                       \
    X(ALARM, alarm, false, "the master answers, but not properly: alive, so it is not replaced")                      \
    X(OK, ok, false, "a majority of the managers reads the master")                                                   \
    X(GONE, gone, true, "the master's process is gone")                                                               \
    X(SILENT, silent, true, "the master answers nobody and sends nothing to any follower")                            \
    X(MINORITY, minority-view, false, "fewer than a majority of the managers see the master fail")                    \
    X(RECEIVERS_ALIVE, receivers-alive, false, "managers cannot reach the master, but followers still hear it")       \
    X(WAITING, waiting, false, "evidence against the master is not complete yet")                                     \
    X(BLIND, blind, false, "too few managers report to judge the master")

enum diagnosis_row {
#define X(id, name, acts, text) DIAGNOSIS_##id,
    DIAGNOSIS_ROWS(X)
#undef X
    DIAGNOSIS_ROWS_N
};

struct diagnosis {
    enum diagnosis_row row;
    bool acts;
    bool suspicious; /* Something is wrong with the master: probe faster until it is clear (20 ms, bounded). */
    char evidence[FSM_EVIDENCE_SIZE]; /* One "key: value" a line, per manager and per follower. */
    char change[FSM_TEXT_SIZE];       /* What would change the verdict. */
};

/* "gone", "minority-view", ...; "?" outside the enum. */
const char *diagnosis_name(enum diagnosis_row row);
/* What the verdict means, in words. */
const char *diagnosis_text(enum diagnosis_row row);

/* Judges the master of 'cluster' by 'view'. Always fills '*out'. */
void diagnose(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out);
/* The two halves of it, for who judges often and tells rarely: the verdict, its texts empty; and its texts. */
void diagnose_verdict(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out);
void diagnose_tell(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out);

/* Tells whether a server that is not the master needs attention: returns NULL, or a static text of what is wrong. */
const char *diagnose_server(const struct fsm_cluster *cluster, const struct view *view, uint8_t server);

#endif
