/* Observation: what this manager sees of every server, and what the other managers tell the leader.
 *
 * Reaches the world only through manager/ports.h, so that the simulator links this very object. Happy path: every
 * probe period each server gets one probe (mysql/probe.h); its answer, or the way it failed, becomes this manager's
 * view_observation; a manager that does not lead pushes its observations to the leader. Failure modes:
 * - an idle probe session hangs up: the server is probed at once, and again 20 ms later (a killed process is known in
 *   milliseconds);
 * - something about a master looks wrong: all servers of that cluster are probed every 20 ms for at most 10 s, then
 *   five times a second until it is clear;
 * - pushes stop arriving: the observations age, and count as not heard after VIEW_HEARD_MS (plan/diagnose.h judges).
 * All functions run on the loop thread. */
#ifndef REGENT_MANAGER_OBSERVE_H
#define REGENT_MANAGER_OBSERVE_H

#include "manager/ports.h"
#include "plan/view.h"
#include "proto/convert.h"

struct observe;

/* Called with the index of a cluster whose observations changed in a way that a decision may rest on. */
typedef void observe_changed_fn(void *arg, uint8_t cluster);

/* Makes an observer. Borrows 'ports' for its life. Returns NULL when memory is out. */
struct observe *observe_new(const struct ports *ports, observe_changed_fn *changed, void *arg);
void observe_free(struct observe *observe);

/* One round: follows changed declarations, starts the probes that are due, pushes what changed, asks to be woken. */
void observe_run(struct observe *observe);

/* The idle probe session with a server ended: probes it at once. */
void observe_hangup(struct observe *observe, uint8_t cluster, uint8_t server);

/* Takes what another manager saw. Reports of unknown managers, clusters or servers are ignored, and those that were
 * made under another declaration. Ages count from when it was sent. Borrows 'report'. */
void observe_receive(struct observe *observe, const struct proto_observation *report);

/* Another manager leads now: push everything to it in the next round. */
void observe_push_all(struct observe *observe);

/* The leader's diagnosis finds the cluster suspicious (or not any more): probe fast. */
void observe_suspect(struct observe *observe, uint8_t cluster, bool suspicious);

/* All managers' observations of a cluster with ages as of now; borrowed until the next call of this module. NULL when
 * the cluster is not observed yet as it is declared now: what was seen under another declaration may be of other
 * servers. */
const struct view *observe_view(struct observe *observe, uint8_t cluster);

#endif
