/* Fuzz: commands of the log. What is decoded is encoded and decoded to the same struct. */
#include <errno.h>

#include "lib/base/text.h"
#include "proto/convert.h"
#include "tests/fuzz/commands.h"
#include "tests/fuzz/fuzz.h"

/* A text that runs over its array lands in the next member, where no sanitizer looks: each is looked at here. */
static bool spec_texts_end(const struct fsm_cluster_spec *s)
{
    for (unsigned i = 0; i < FSM_SERVERS_MAX; i++) {
        if (!FUZZ_IS_TEXT(s->servers[i].name) || !FUZZ_IS_TEXT(s->servers[i].address)) return false;
    }
    return FUZZ_IS_TEXT(s->name) && FUZZ_IS_TEXT(s->defaults_file) && FUZZ_IS_TEXT(s->group);
}

static bool step_texts_end(const struct fsm_cmd_plan_step *c)
{
    for (unsigned i = 0; i < FSM_SERVERS_MAX; i++) {
        if (!FUZZ_IS_TEXT(c->found[i].received) || !FUZZ_IS_TEXT(c->found[i].executed)) return false;
        if (!FUZZ_IS_TEXT(c->identity[i])) return false;
    }
    return FUZZ_IS_TEXT(c->target) && FUZZ_IS_TEXT(c->reason) && FUZZ_IS_TEXT(c->evidence);
}

static bool member_texts_end(const struct fsm_cmd_member *c)
{
    for (unsigned i = 0; i < FSM_MEMBERS_MAX; i++) {
        if (!FUZZ_IS_TEXT(c->members[i].name) || !FUZZ_IS_TEXT(c->members[i].address)) return false;
    }
    return FUZZ_IS_TEXT(c->name) && FUZZ_IS_TEXT(c->address) && FUZZ_IS_TEXT(c->reason);
}

static bool texts_end(const struct fsm_command *c)
{
    switch ((int)c->kind) { /* As a number: a new kind need not be listed here before it has texts. */
    case CMD_CLUSTER_SET: return spec_texts_end(&c->u.cluster_set.spec);
    case CMD_SERVER_STATE:
        return FUZZ_IS_TEXT(c->u.server_state.cluster) && FUZZ_IS_TEXT(c->u.server_state.server) &&
               FUZZ_IS_TEXT(c->u.server_state.reason);
    case CMD_PLAN_BEGIN:
        return FUZZ_IS_TEXT(c->u.plan_begin.cluster) && FUZZ_IS_TEXT(c->u.plan_begin.verdict) &&
               FUZZ_IS_TEXT(c->u.plan_begin.evidence);
    case CMD_PLAN_STEP: return step_texts_end(&c->u.plan_step);
    case CMD_PLAN_END: return FUZZ_IS_TEXT(c->u.plan_end.reason);
    case CMD_CLUSTER_PAUSE: return FUZZ_IS_TEXT(c->u.cluster_pause.cluster);
    case CMD_EVENT:
        return FUZZ_IS_TEXT(c->u.event.cluster) && FUZZ_IS_TEXT(c->u.event.kind) && FUZZ_IS_TEXT(c->u.event.text) &&
               FUZZ_IS_TEXT(c->u.event.evidence);
    case CMD_REIGN_PROOF:
        return FUZZ_IS_TEXT(c->u.reign_proof.cluster) && FUZZ_IS_TEXT(c->u.reign_proof.since) &&
               FUZZ_IS_TEXT(c->u.reign_proof.reason);
    case CMD_MEMBER: return member_texts_end(&c->u.member);
    case CMD_TOKEN: return FUZZ_IS_TEXT(c->u.token.name) && FUZZ_IS_TEXT(c->u.token.address);
    case CMD_VERSION:
    case CMD_DIGEST:
    case CMD_RECOVERED: return true; /* Numbers and a digest. */
    default: return c->kind != CMD_NONE;
    }
}

static bool run(const uint8_t *data, size_t size)
{
    static struct fsm_command command, again;
    struct err e = {0};
    void *bytes;
    size_t n;
    int rv;

    memset(&command, 0xa5, sizeof(command));
    rv = proto_command_decode(&command, data, size, &e);
    MUST(rv == 0 || rv == -EPROTO || rv == -ENOTSUP);
    if (rv != 0) {
        MUST(e.text[0] != '\0' && command.kind == CMD_NONE);
        MUST(rv == -ENOTSUP || fuzz_is_zero(&command, sizeof(command)));
        return false;
    }
    MUST(texts_end(&command));
    MUST(proto_command_encode(&command, &bytes, &n) == 0);
    memset(&again, 0x5a, sizeof(again));
    MUST(proto_command_decode(&again, bytes, n, NULL) == 0);
    MUST(memcmp(&command, &again, sizeof(command)) == 0);
    free(bytes);
    return true;
}

static void put(const struct fsm_command *command)
{
    void *bytes;
    size_t n;

    MUST(proto_command_encode(command, &bytes, &n) == 0);
    fuzz_put_owned(bytes, n);
}

/* Kinds that are no part of the life of a cluster. */
static void put_kind(struct fsm_command *c, enum fsm_command_kind kind)
{
    c->id = (struct fsm_request_id){.client = 7, .seq = 40 + (uint64_t)kind, .since = 39};
    c->time.us = INT64_C(1795226883000000);
    c->kind = kind;
    put(c);
    memset(c, 0, sizeof(*c));
}

/* Two texts at the bound: the longest name, and the same of which its length says one byte more than there may be. */
static void put_longest_name(struct fsm_command *c)
{
    memset(c->u.token.name, 'n', sizeof(c->u.token.name) - 1);
    put_kind(c, CMD_TOKEN);
}

static void seed(void)
{
    static struct fsm_command c;

    fuzz_commands(put);
    c.u.digest.index = 1024;
    memset(c.u.digest.digest, 0xd1, sizeof(c.u.digest.digest));
    put_kind(&c, CMD_DIGEST);
    c.u.recovered = (struct fsm_cmd_recovered){.survivor = 2, .group_id = UINT64_MAX, .generation = 1};
    put_kind(&c, CMD_RECOVERED);
    (void)TEXT_COPY(c.u.token.name, "m4");
    (void)TEXT_COPY(c.u.token.address, "10.0.0.4:7400");
    memset(c.u.token.hash, 0x77, sizeof(c.u.token.hash));
    c.u.token.expires.us = INT64_C(1795230483000000);
    put_kind(&c, CMD_TOKEN);
    put_longest_name(&c);
}

FUZZ_TARGET(command, run, seed)
