/* Between bytes and our structs. Generated protobuf types stay in proto/.
 *
 * Encoders return malloc'd bytes (the caller frees '*data') or -ENOMEM. Decoders treat the bytes as hostile: lengths,
 * counts, enum values, indexes and NUL bytes inside strings are checked, memory is bounded by the input's size, and on
 * failure the output is all zero and 'e' says what was wrong. Unknown enum values are refused, never guessed. */
#ifndef REGENT_PROTO_CONVERT_H
#define REGENT_PROTO_CONVERT_H

#include "fsm/command.h"
#include "lib/base/err.h"
#include "plan/view.h"

/* Packs a command for the log. A kind without a struct (CMD_NONE) gives id, time and kind alone. */
int proto_command_encode(const struct fsm_command *command, void **data, size_t *size) MUST_CHECK;
/* A command of a group at version 'active', which this program speaks (fsm/version.h). -EPROTO: malformed. -ENOTSUP: it
 * needs a newer version (its body is not looked at), or its kind or a field is of one although it says otherwise: id,
 * time and version are filled and the kind is CMD_NONE, which fsm_apply() answers with UNKNOWN. */
int proto_command_decode_at(struct fsm_command *command, const void *data, size_t size, uint32_t active,
                            struct err *e) MUST_CHECK;
/* The same with the newest version that this program speaks: to look at a command, not to apply it. */
int proto_command_decode(struct fsm_command *command, const void *data, size_t size, struct err *e) MUST_CHECK;

/* Snapshot: magic "RGNTSNAP", u32 version (the active one of 'state'), u32 CRC-32 of the body, u64 body size (little
 * endian), body. Equal states give equal bytes. */
int proto_snapshot_encode(const struct fsm_state *state, void **data, size_t *size) MUST_CHECK;
/* SHA-256 of the snapshot's version and body, without making the whole: what managers compare. False: no memory. */
enum { PROTO_DIGEST_SIZE = 32 };
bool proto_state_digest(const struct fsm_state *state, uint8_t to[PROTO_DIGEST_SIZE]) MUST_CHECK;
/* Looks at header and CRC only: 0, -EPROTO or -ENOTSUP as proto_snapshot_decode(). */
int proto_snapshot_check(const void *data, size_t size, struct err *e) MUST_CHECK;
/* Decodes into '*state' (the caller's fresh object). -EPROTO; -ENOTSUP (of a version
 * that this program does not speak); -ENOMEM. */
int proto_snapshot_decode(struct fsm_state *state, const void *data, size_t size, struct err *e) MUST_CHECK;
/* The same for memory that is all zero already (fsm_init_zeroed()). */
int proto_snapshot_decode_zeroed(struct fsm_state *state, const void *data, size_t size, struct err *e) MUST_CHECK;

/* What a manager tells the leader of one cluster (ages as of sending). */
struct proto_observation {
    uint64_t manager_id;
    uint64_t term;
    char manager[FSM_NAME_SIZE];
    char cluster[FSM_NAME_SIZE];
    uint64_t declaration; /* The version of it that the sender knows: another may mean other servers by the names. */
    struct mono sent;     /* By the sender's clock (manager/transit.h). Not set: it does not tell. */
    int64_t late_ms;      /* Not sent: how long it was under way, as the receiver finds. */
    uint8_t servers_n;
    char names[FSM_SERVERS_MAX][FSM_NAME_SIZE];
    struct view_observation servers[FSM_SERVERS_MAX]; /* [servers_n]; those behind are not looked at. */
};
/* Bytes of it that 'n' servers use. */
static inline size_t proto_observation_size(uint8_t n)
{
    return offsetof(struct proto_observation, servers) + n * sizeof(struct view_observation);
}
/* Packs an observation. */
int proto_observation_encode(const struct proto_observation *o, void **data, size_t *size) MUST_CHECK;
/* -EPROTO: malformed, and all of '*o' is zero. Fields of a newer version are passed over. servers[servers_n] and those
 * behind are left as they were: the whole is large. */
int proto_observation_decode(struct proto_observation *o, const void *data, size_t size, struct err *e) MUST_CHECK;

#endif
