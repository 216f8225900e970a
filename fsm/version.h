/* Versions of what is replicated: commands and snapshots have one number, the version of the format. PURE.
 *
 * The group has one *active* version (fsm_state.version), each program a range that it speaks. The rules, by which old
 * and new programs always come to the same bytes (S4):
 * - Each command says which version it needs. More than the active one: it is refused as UNKNOWN, by every program
 *   alike, without a look at its body. A kind or a field that is not of the version that the command says: likewise.
 *   So a program that speaks the active version never meets what it would have to guess.
 * - A snapshot is written in the active version.
 * - CMD_VERSION raises the active version, when all managers have announced that they speak the new one
 *   (manager/upgrade.h). A program that does not speak it stops there, and does not start on a directory that is past
 *   it (fsm_command_is_beyond(), raft_node_hooks.stored, proto_snapshot_decode()). There is no way down.
 * - Whoever adds a field to a known command makes it a sub-message or 'optional', so that its presence is seen, and
 *   lets fsm_command_needs() tell. New state is at its initial value until a command of the new version changes it.
 *
 * Until the first release version 1 is whatever the source has: kinds of commands and plans were added to it.
 *
 * REGENT_NEXT_VERSION makes the program of a version to come, for the test of rolling upgrades (tests/upgrade). It adds
 * a command and a field of the snapshot. No release is built with it. */
#ifndef REGENT_FSM_VERSION_H
#define REGENT_FSM_VERSION_H

#ifdef REGENT_NEXT_VERSION
#define FSM_VERSION_NEWEST 2
#else
#define FSM_VERSION_NEWEST 1
#endif

enum {
    FSM_VERSION_FIRST = 1,                /* Of a new group, and of commands that do not say. */
    FSM_VERSION_MIN = 1,                  /* What this program speaks: from */
    FSM_VERSION_MAX = FSM_VERSION_NEWEST, /* to. */
};

#endif
