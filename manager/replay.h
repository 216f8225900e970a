/* The replicated state of a stopped node, made again from its files: from a snapshot, or from nothing when its log
 * begins at the first entry, and the commands behind. For the offline tools; no manager runs on the directory. */
#ifndef REGENT_MANAGER_REPLAY_H
#define REGENT_MANAGER_REPLAY_H

#include "fsm/apply.h"
#include "lib/base/err.h"
#include "raft/log_read.h"

/* Where a replay begins: the place of a snapshot in image->snapshots, or REPLAY_EMPTY. */
enum { REPLAY_EMPTY = LOG_SNAPSHOTS_MAX };

/* True when the state at 'index' can be made from 'source': it is there, not behind 'index', and no entry between is
 * missing. */
bool replay_can(const struct log_image *image, unsigned source, uint64_t index);
/* Log index that 'source' stands for; 0 for REPLAY_EMPTY. */
uint64_t replay_index(const struct log_image *image, unsigned source);
/* Sets '*state' to what 'source' holds. Returns 0; -EBADMSG (damaged), -ENOTSUP (of a newer version), with a text. */
int replay_begin(const struct log_image *image, unsigned source, struct fsm_state *state, struct err *e) MUST_CHECK;
/* Applies one entry, as a manager would: commands of a newer version are refused by the state, other kinds of entries
 * change nothing. 'command' is room to decode into. 'result' (may be NULL) is for commands. -EBADMSG: no command. */
int replay_entry(struct fsm_state *state, const struct log_entry *entry, struct fsm_command *command,
                 struct fsm_result *result, struct err *e) MUST_CHECK;
/* The state at 'index' from 'source', for which replay_can() holds. -EBADMSG also when a digest that a majority put
 * into the log (agreement.h) is not that of the state. */
int replay_to(const struct log_image *image, unsigned source, uint64_t index, struct fsm_state *state,
              struct err *e) MUST_CHECK;

#endif
