/* Raises the group's active version (fsm/version.h) when all managers speak a higher one.
 *
 * Runs on the leader. Happy path: the last manager was upgraded, connects and says hello; CMD_VERSION is proposed
 * within a second. Failure modes: a manager is away or says nothing -> the group stays where it is; a manager goes back
 * to the older program at that very moment -> it stops at CMD_VERSION with a text; the proposal's outcome is unknown ->
 * looked at again a second later (the command names the version that it starts from: a second one is refused). */
#ifndef REGENT_MANAGER_UPGRADE_H
#define REGENT_MANAGER_UPGRADE_H

#include "manager/ports.h"
#include "proto/hello.h"

enum { UPGRADE_PAUSE_MS = 1000, UPGRADE_MEMBERS_MAX = 24 };

/* Who must speak a version, and who said what. */
struct upgrade_view {
    uint32_t active;
    unsigned members_n;
    uint64_t members[UPGRADE_MEMBERS_MAX]; /* Ids of all managers of the group, voters or not. */
    unsigned hellos_n;
    struct hello hellos[UPGRADE_MEMBERS_MAX]; /* Of those that are connected, and of this manager. */
};

/* PURE. The version to raise the group to: the highest that all members speak; or 0 when that is not above the active
 * one, or a member has not said hello. */
uint32_t upgrade_target(const struct upgrade_view *view);

struct upgrade;

/* Borrows 'ports'. NULL when memory is out. */
struct upgrade *upgrade_new(const struct ports *ports);
/* No proposal of it may be outstanding. */
void upgrade_free(struct upgrade *upgrade);
/* Once a round of a leader. 'view' is filled but for 'active'. */
void upgrade_run(struct upgrade *upgrade, struct upgrade_view *view);

#endif
