/* What a fuzz target is made of. One file tests/fuzz/fuzz_NAME.c is one target:
 *
 *     static bool run(const uint8_t *data, size_t size)   feeds hostile bytes to a decoder and checks its properties by
 *                                                         MUST(); true: the decoder took them for good
 *     static void seed(void)                              gives real encodings to fuzz_put(); all are good
 *     FUZZ_TARGET(NAME, run, seed)
 *
 * and nothing else has to be written: fuzz.mk finds the file, tests/fuzz/run makes and shrinks the corpus in
 * tests/fuzz/corpus/NAME, and tests/unit/test_fuzz_corpus.c runs that corpus, cut and bent, with every `make test`.
 *
 * Who reads bytes from outside, and the target that feeds it:
 *
 *     TLS, certificates       lib/tls_identity: certificate (records and ASN.1 themselves are OpenSSL's)
 *     frames, preambles       lib/frame: frame; manager/peers, of a manager: peer_frames, hello, observation
 *     Raft                    raft/transport: handshake; raft/wire: wire
 *     clients                 proto/client: client_request, client_answer; lib/token: token
 *     the log                 proto/command: command, command_text; fsm: apply; proto/snapshot: snapshot
 *     a data directory        raft/log_*: log_files; raft/storage, raft/seal: node_files
 *     files of operators      manager/config*: config, cluster_file; mysql/endpoint: option_file
 *     servers                 mysql/gtid*: gtid_pos, gtid_set; mysql/probe: probe
 *
 * With libFuzzer (REGENT_LIBFUZZER) a target is a program of its own; else all are linked into one and list
 * themselves. */
#ifndef REGENT_TESTS_FUZZ_H
#define REGENT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/must.h"

struct fuzz_target {
    const char *name;
    bool (*run)(const uint8_t *data, size_t size);
    void (*seed)(void);
    struct fuzz_target *next;
};

/* All targets, in no order; and the one that takes what is put. */
extern struct fuzz_target *fuzz_targets;
/* Where fuzz_put() hands its bytes. */
extern void (*fuzz_sink)(const void *data, size_t size);

/* One seed. Borrows. */
static inline void fuzz_put(const void *data, size_t size)
{
    fuzz_sink(data, size);
}

static inline void fuzz_put_text(const char *text)
{
    fuzz_put(text, strlen(text));
}

/* One seed that an encoder made: frees it. */
static inline void fuzz_put_owned(void *data, size_t size)
{
    fuzz_put(data, size);
    free(data);
}

/* True when all 'size' bytes are 0: what a decoder that refuses must leave behind. */
static inline bool fuzz_is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* True when the text ends within its array. */
#define FUZZ_IS_TEXT(array) (memchr((array), '\0', sizeof(array)) != NULL)

/* Takes the next byte of the input away, 0 at its end: for the few choices that a target lets the fuzzer make. */
static inline uint8_t fuzz_take(const uint8_t **data, size_t *size)
{
    if (*size == 0) return 0;
    (*size)--;
    return *(*data)++;
}

#ifdef REGENT_LIBFUZZER
#define FUZZ_TARGET(target_name, run_function, seed_function)                                                         \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                                     \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                                      \
    {                                                                                                                 \
        (void)seed_function;                                                                                          \
        (void)run_function(data, size);                                                                               \
        return 0;                                                                                                     \
    }
#else
#define FUZZ_TARGET(target_name, run_function, seed_function)                                                         \
    static struct fuzz_target fuzz_this = {#target_name, run_function, seed_function, NULL};                          \
    __attribute__((constructor)) static void fuzz_list_this(void)                                                     \
    {                                                                                                                 \
        fuzz_this.next = fuzz_targets;                                                                                \
        fuzz_targets = &fuzz_this;                                                                                    \
    }
#endif

#endif
