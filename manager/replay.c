/* The state from the files: see replay.h. Does what consensus.c does with committed entries. */
#include "manager/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "manager/agreement.h"
#include "proto/convert.h"

uint64_t replay_index(const struct log_image *image, unsigned source)
{
    return source < image->snapshots_n ? image->snapshots[source].index : 0;
}

bool replay_can(const struct log_image *image, unsigned source, uint64_t index)
{
    uint64_t from = replay_index(image, source);
    if (source != REPLAY_EMPTY && (source >= image->snapshots_n || image->snapshots[source].problem[0] != '\0')) {
        return false;
    }
    if (from > index) return false;
    return from == index || (image->start_index <= from + 1 && log_entry_at(image, index) != NULL);
}

int replay_begin(const struct log_image *image, unsigned source, struct fsm_state *state, struct err *e)
{
    fsm_init(state);
    if (source == REPLAY_EMPTY) return 0;
    const struct log_snapshot *s = &image->snapshots[source];
    int rc = proto_snapshot_decode(state, s->data, s->size, e);
    if (rc == 0) return 0;
    (void)err_wrap(e, rc, "%s", s->name);
    return rc == -EPROTO ? -EBADMSG : rc;
}

int replay_entry(struct fsm_state *state, const struct log_entry *entry, struct fsm_command *command,
                 struct fsm_result *result, struct err *e)
{
    struct fsm_result unwanted;
    if (entry->kind != LOG_ENTRY_COMMAND || entry->index <= state->index) return 0;
    int rc = proto_command_decode_at(command, entry->data, entry->size, state->version, e);
    if (rc != 0 && rc != -ENOTSUP) {
        (void)err_wrap(e, rc, "entry %" PRIu64, entry->index);
        return rc == -EPROTO ? -EBADMSG : rc;
    }
    if (fsm_command_is_beyond(state, command)) {
        return err_set(e, -ENOTSUP, "entry %" PRIu64 " raises the group to version %u, which this program does not "
                       "speak", entry->index, command->u.version.to);
    }
    fsm_apply(state, entry->index, command, result != NULL ? result : &unwanted);
    return 0;
}

int replay_to(const struct log_image *image, unsigned source, uint64_t index, struct fsm_state *state, struct err *e)
{
    struct fsm_command *command = calloc(1, sizeof *command);
    struct agreement *agreement = calloc(1, sizeof *agreement);
    if (command == NULL || agreement == NULL) {
        free(command);
        free(agreement);
        return err_set(e, -ENOMEM, "out of memory");
    }
    int rc = replay_begin(image, source, state, e);
    for (uint64_t i = replay_index(image, source) + 1; i <= index && rc == 0; i++) {
        const struct log_entry *entry = log_entry_at(image, i);
        if (entry->kind != LOG_ENTRY_COMMAND || entry->index <= state->index) continue;
        agreement_look(agreement, state, i);
        rc = replay_entry(state, entry, command, NULL, e);
        if (rc == 0 && command->kind == CMD_DIGEST) rc = agreement_check(agreement, &command->u.digest, image->dir, e);
    }
    free(command);
    free(agreement);
    return rc;
}
