/* The one place that includes libraft. Refuses versions that lose data and hides what differs between the others.
 *
 * libraft below 0.17.1 commits entries of old terms by counting replicas (Raft section 5.4.2, figure 8): two managers
 * can apply different commands at the same index (reference/libraft.md §0, reproduced with its figure8.c). */
#ifndef REGENT_RAFT_COMPAT_H
#define REGENT_RAFT_COMPAT_H

#include <raft.h>
#include <raft/uv.h>

#if !defined(RAFT_VERSION_NUMBER) || RAFT_VERSION_NUMBER < 1701
#error "libraft is too old and unsafe. Install libraft-dev >= 0.17.1; \
on Debian 12: apt-get install -t bookworm-backports libraft-dev"
#elif RAFT_VERSION_NUMBER < 2200
#error "Regent is written and tested against libraft 0.22 (cowsql). \
On Debian 12: apt-get install -t bookworm-backports libraft-dev; Debian 13 has it"
#endif

/* What the installed library gives beyond the common v0 interface, by name. */
#define RAFT_COMPAT_STEP_CB(r) ((r)->legacy.step_cb)
#define RAFT_COMPAT_SNAPSHOT_BUSY(r) ((r)->legacy.snapshot_taking || (r)->snapshot.installing)
#define RAFT_COMPAT_CHANGE(r) ((r)->legacy.change)
#define RAFT_COMPAT_NOTED_STATE(r) ((r)->legacy.prev_state)
#define RAFT_COMPAT_TERM(r) ((uint64_t)raft_current_term(r))

#endif
