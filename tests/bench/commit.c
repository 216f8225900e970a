/* How long a small command takes, from the question to the answer, at one client of the group:
 *
 *     commit ADDRESS N PERIOD_MS       REGENT_TLS_DIR: certificates; without it in the clear
 *
 * One connection, one command after the other (a note: an event in the log that changes nothing else), each
 * 'PERIOD_MS' after the answer to the one before. The answer comes when the command is committed and applied at the
 * leader, so the time is all of: encode, send (TLS), decode, append and fsync at the leader and at one follower, apply,
 * answer, decode. Prints one number a command: microseconds. A command that fails or is not answered within 10 s ends
 * the program with 1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/ask.h"
#include "lib/base/text.h"
#include "lib/clock.h"

enum { WARM_UP_N = 20, PATIENCE_MS = 10000 };

static bool note(struct asker *k, uint64_t i, int64_t *took_us)
{
    static struct client_request r;
    struct client_answer a;
    struct text text;
    struct mono start;
    enum client_code code;

    r = (struct client_request){.op = CLIENT_NOTE};
    text = TEXT_ON(r.text);
    text_addf(&text, "bench %" PRIu64, i);
    start = clock_mono();
    code = asker_ask(k, &r, false, &a);
    *took_us = clock_mono().us - start.us;
    if (code != CLIENT_OK) (void)fprintf(stderr, "commit: %s\n", a.text);
    client_answer_fini(&a);
    return code == CLIENT_OK;
}

static int run(struct asker *k, uint64_t n, uint64_t period_ms)
{
    int64_t took_us;

    for (uint64_t i = 0; i < n + WARM_UP_N; i++) {
        if (!note(k, i, &took_us)) return 1;
        if (i >= WARM_UP_N) (void)printf("%" PRId64 "\n", took_us);
        if (period_ms > 0) (void)usleep((useconds_t)(period_ms * 1000));
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct asker k;
    struct err e = {0};
    uint64_t n, period_ms;
    int rv;

    if (argc != 4 || !text_to_u64(argv[2], &n) || !text_to_u64(argv[3], &period_ms)) {
        (void)fputs("usage: commit ADDRESS N PERIOD_MS\n", stderr);
        return 2;
    }
    if (asker_init(&k, argv[1], &e) != 0 || asker_set_tls_dir(&k, getenv("REGENT_TLS_DIR"), &e) != 0) {
        (void)fprintf(stderr, "commit: %s\n", e.text);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* What was measured is there when we are killed. */
    k.patience_ms = PATIENCE_MS;
    rv = run(&k, n, period_ms);
    asker_fini(&k);
    return rv;
}
