/* Fuzz: a whole log of commands against the state. No command breaks an invariant or the state's own snapshot.
 *
 * Input: u16 length (little endian) | command, again and again; a length of 0 is an index that holds nothing for us. */
#include <errno.h>

#include "fsm/apply.h"
#include "proto/convert.h"
#include "tests/fuzz/commands.h"
#include "tests/fuzz/fuzz.h"

enum { COMMANDS_MAX = 64 };

/* Restored from its snapshot, the state is the same to the byte. */
static void check_snapshot(const struct fsm_state *state)
{
    static struct fsm_state restored;
    struct err e = {0};
    void *bytes;
    size_t n;

    MUST(proto_snapshot_encode(state, &bytes, &n) == 0);
    MUST(proto_snapshot_decode(&restored, bytes, n, &e) == 0);
    MUST(memcmp(state, &restored, sizeof(restored)) == 0);
    free(bytes);
}

static bool run(const uint8_t *data, size_t size)
{
    static struct fsm_state state;
    static struct fsm_command command;
    struct fsm_result result;
    unsigned applied = 0;

    fsm_init(&state);
    for (uint64_t index = 1; size >= 2 && index <= COMMANDS_MAX; index++) {
        size_t n = (size_t)fuzz_take(&data, &size);

        n |= (size_t)fuzz_take(&data, &size) << 8;
        if (n > size) break;
        if (n == 0) {
            fsm_skip(&state, index);
        } else {
            /* What is refused is CMD_NONE, which the manager applies, too. */
            if (proto_command_decode(&command, data, n, NULL) != 0) MUST(command.kind == CMD_NONE);
            if (fsm_command_is_beyond(&state, &command)) break; /* There the manager ends. */
            fsm_apply(&state, index, &command, &result);
            MUST(state.index == index && FUZZ_IS_TEXT(result.text));
            MUST(fsm_invariant(&state) == NULL);
            applied += result.code == FSM_OK;
        }
        data += n;
        size -= n;
    }
    if (applied > 0) check_snapshot(&state);
    return applied > 0;
}

static uint8_t stream[32 << 10];
static size_t stream_n;

static void put(const struct fsm_command *command)
{
    void *bytes;
    size_t n;

    MUST(proto_command_encode(command, &bytes, &n) == 0);
    MUST(n < sizeof(stream) - stream_n - 2);
    stream[stream_n++] = (uint8_t)n;
    stream[stream_n++] = (uint8_t)(n >> 8);
    memcpy(stream + stream_n, bytes, n);
    stream_n += n;
    free(bytes);
    fuzz_put(stream, stream_n); /* Each beginning of the life is a seed. */
}

static void seed(void)
{
    stream_n = 0;
    fuzz_commands(put);
}

FUZZ_TARGET(apply, run, seed)
