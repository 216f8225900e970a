/* Consensus: bytes to meaning. See consensus.h. */
#include "manager/consensus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/version.h"
#include "lib/base/mutant.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "proto/convert.h"

/* A proposal of this process whose callback has not run yet. At most RAFT_NODE_QUEUE_MAX. */
struct proposal {
    struct consensus *owner;
    struct proposal *next;
    struct fsm_request_id id;
    bool applied;
    struct fsm_result result;
    port_proposed_fn *done;
    void *arg;
};

struct consensus {
    struct raft_node *node;
    struct fsm_state *state;
    struct fsm_command command; /* Decoded into: too large for the stack of a callback. */
    struct proposal *proposals;
    struct consensus_hooks hooks;
    struct agreement agreement;
    struct fsm_request_id id; /* Of the last digest that was proposed. */
    bool proposing;           /* A digest. */
    bool failed;              /* Nothing is applied any more, and no snapshot taken. */
    char data_dir[FSM_PATH_SIZE];
};

static void fail(struct consensus *c, const char *text)
{
    c->failed = true;
    c->hooks.fatal(c->hooks.arg, text);
}

static void keep_result(struct consensus *c, const struct fsm_request_id *id, const struct fsm_result *result)
{
    for (struct proposal *p = c->proposals; p; p = p->next) {
        if (p->id.client != id->client || p->id.seq != id->seq) continue;
        p->applied = true;
        p->result = *result;
    }
}

/* For whoever has to know what became of a request: which entry of the log it was, and whether it took effect there. */
static void log_applied(const struct consensus *c, uint64_t index, const struct fsm_result *result)
{
    log_debug("fsm.applied", "index=%llu client=%016llx seq=%llu since=%llu kind=%d code=%s first=%llu repeated=%d",
              (unsigned long long)index, (unsigned long long)c->command.id.client,
              (unsigned long long)c->command.id.seq, (unsigned long long)c->command.id.since, (int)c->command.kind,
              fsm_code_name(result->code), (unsigned long long)result->index, (int)result->repeated);
}

/* The operator's text when the group has gone on to a version that this program does not speak. */
static int say_beyond(uint64_t index, uint32_t version, struct err *e)
{
    return err_set(e, -ENOTSUP, "the group was raised to version %u at index %llu, and this regentd (%s) speaks "
                   "versions %d to %d: start one that speaks version %u; the data directory is as it was, and there is "
                   "no way back to the older version", version, (unsigned long long)index, REGENT_VERSION,
                   FSM_VERSION_MIN, FSM_VERSION_MAX, version);
}

/* Before anything is opened: what goes on beyond this program, committed or not, is not for it. */
static int on_stored(void *arg, const struct raft_node_stored *stored, struct err *e)
{
    struct consensus *c = arg;
    if (stored->is_snapshot) return proto_snapshot_check(stored->data, stored->size, e) == -ENOTSUP ? -ENOTSUP : 0;
    if (proto_command_decode(&c->command, stored->data, stored->size, NULL) != 0) return 0; /* Judged when applied. */
    if (c->command.kind != CMD_VERSION || c->command.u.version.to <= FSM_VERSION_MAX) return 0;
    return say_beyond(stored->index, c->command.u.version.to, e);
}

static void on_apply(void *arg, uint64_t index, const void *data, size_t size)
{
    struct consensus *c = arg;
    struct err e = {0};
    struct fsm_result result = {0};
    if (c->failed || (MUTANT(apply_uncommitted) && index <= c->state->index)) return;
    agreement_look(&c->agreement, c->state, index);
    int rc = proto_command_decode_at(&c->command, data, size, c->state->version, &e);
    if (rc != 0 && rc != -ENOTSUP) {
        char base[ERR_TEXT_SIZE];
        struct text text = TEXT_ON(base);
        text_addf(&text, "the Raft log is corrupt at index %llu (%s): wipe this node's data directory and add it again"
                         " under a new id", (unsigned long long)index, e.text);
        fail(c, base);
        return;
    }
    if (fsm_command_is_beyond(c->state, &c->command)) {
        (void)say_beyond(index, c->command.u.version.to, &e);
        fail(c, e.text);
        return;
    }
    fsm_apply(c->state, index, &c->command, &result);
    log_applied(c, index, &result);
    if (result.code != FSM_OK)
        log_info("fsm.refused", "index=%llu kind=%d code=%s text=\"%s\"", (unsigned long long)index,
                 (int)c->command.kind, fsm_code_name(result.code), result.text);
    keep_result(c, &c->command.id, &result);
    bool digest = c->command.kind == CMD_DIGEST && result.code == FSM_OK && !result.repeated;
    if (digest && agreement_check(&c->agreement, &c->command.u.digest, c->data_dir, &e) != 0) {
        fail(c, e.text);
        return;
    }
    c->hooks.applied(c->hooks.arg);
}

static int on_snapshot(void *arg, void **data, size_t *size)
{
    struct consensus *c = arg;
    if (c->failed) return -EBUSY;
    return proto_snapshot_encode(c->state, data, size);
}

static int on_restore(void *arg, const void *data, size_t size, struct err *e)
{
    struct consensus *c = arg;
    struct fsm_state *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return err_set(e, -ENOMEM, "out of memory for a snapshot");
    int rc = proto_snapshot_decode_zeroed(fresh, data, size, e);
    if (rc != 0) {
        free(fresh);
        return rc;
    }
    free(c->state);
    c->state = fresh;
    log_debug("fsm.restored", "index=%llu", (unsigned long long)fresh->index);
    c->hooks.applied(c->hooks.arg);
    return 0;
}

static void on_wake(void *arg)
{
    struct consensus *c = arg;
    c->hooks.wake(c->hooks.arg);
}

static void on_fatal(void *arg, const char *text)
{
    struct consensus *c = arg;
    c->hooks.fatal(c->hooks.arg, text);
}

static bool on_is_removed(void *arg, uint64_t id)
{
    const struct consensus *c = arg;
    return fsm_member_is_removed(c->state, id);
}

static bool on_address_of(void *arg, uint64_t id, char address[128])
{
    const struct consensus *c = arg;
    const struct fsm_member *row = fsm_member_find(c->state, id);
    return row != NULL && text_copy(address, 128, row->address);
}

struct consensus *consensus_start(struct uv_loop_s *loop, const struct raft_node_config *config,
                                  const struct consensus_hooks *hooks, struct err *e)
{
    struct consensus *c = calloc(1, sizeof *c);
    if (c) c->state = calloc(1, sizeof *c->state);
    if (!c || !c->state) {
        free(c);
        err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    c->hooks = *hooks;
    (void)TEXT_COPY(c->data_dir, config->data_dir); /* For texts only. */
    c->id.client = clock_random();
    fsm_init_zeroed(c->state);
    struct raft_node_hooks node_hooks = {.arg = c, .apply = on_apply, .snapshot = on_snapshot, .restore = on_restore,
                                         .wake = on_wake, .fatal = on_fatal, .stored = on_stored,
                                         .is_removed = on_is_removed, .address_of = on_address_of};
    c->node = raft_node_start(loop, config, &node_hooks, e);
    if (c->node) return c;
    consensus_free(c);
    return NULL;
}

struct raft_node *consensus_node(struct consensus *consensus)
{
    return consensus->node;
}

const struct fsm_state *consensus_state(const struct consensus *consensus)
{
    return consensus->state;
}

bool consensus_is_established(const struct consensus *consensus, uint64_t *term)
{
    return raft_node_is_established(consensus->node, term);
}

static void on_proposed(void *arg, int status, uint64_t index)
{
    struct proposal *p = arg;
    struct consensus *c = p->owner;
    (void)index;
    for (struct proposal **link = &c->proposals; *link; link = &(*link)->next) {
        if (*link != p) continue;
        *link = p->next;
        break;
    }
    /* What failed applies nothing any more: the next leader's state will tell whether the command took effect. */
    if (status == 0 && c->failed && !p->applied) status = -EIO;
    MUST(status != 0 || p->applied);
    p->done(p->arg, status, &p->result);
    free(p);
}

int consensus_propose(struct consensus *consensus, const struct fsm_command *command, port_proposed_fn *done,
                      void *arg)
{
    void *data = NULL;
    size_t size = 0;
    struct proposal *p = calloc(1, sizeof *p);
    if (!p) return -ENOMEM;
    int rc = proto_command_encode(command, &data, &size);
    if (rc == 0) {
        *p = (struct proposal){.owner = consensus, .id = command->id, .done = done, .arg = arg};
        rc = raft_node_propose(consensus->node, data, size, on_proposed, p);
    }
    if (rc != 0) {
        free(data);
        free(p);
        return rc;
    }
    p->next = consensus->proposals;
    consensus->proposals = p;
    if (MUTANT(apply_uncommitted)) on_apply(consensus, consensus->state->index + 1, data, size);
    free(data);
    return 0;
}

static void on_digest_proposed(void *arg, int status, uint64_t index)
{
    struct consensus *c = arg;
    (void)status; /* Lost or not: consensus_run() proposes it again until it has been applied. */
    (void)index;
    c->proposing = false;
}

static void propose_digest(struct consensus *c, const struct fsm_cmd_digest *digest)
{
    struct fsm_command *command = calloc(1, sizeof *command);
    void *data = NULL;
    size_t size = 0;
    if (!command) return;
    c->id.seq++;
    c->id.since = c->state->index;
    command->id = c->id;
    command->time = clock_wall();
    command->kind = CMD_DIGEST;
    command->u.digest = *digest;
    if (proto_command_encode(command, &data, &size) == 0)
        c->proposing = raft_node_propose(c->node, data, size, on_digest_proposed, c) == 0;
    free(data);
    free(command);
}

void consensus_run(struct consensus *consensus)
{
    struct raft_node_status status;
    struct agreement_digest own;
    struct fsm_cmd_digest digest;
    if (consensus->failed || consensus->proposing || !agreement_own(&consensus->agreement, &own)) return;
    raft_node_status(consensus->node, &status);
    if (status.role != RAFT_NODE_LEADER || !status.established) return;
    if (agreement_wish(&consensus->agreement, &status, &digest)) propose_digest(consensus, &digest);
}

bool consensus_digest(const struct consensus *consensus, struct agreement_digest *out)
{
    return agreement_own(&consensus->agreement, out);
}

void consensus_report(struct consensus *consensus, uint64_t id, const struct agreement_digest *digest)
{
    agreement_report(&consensus->agreement, id, digest);
}

void consensus_stop(struct consensus *consensus, void (*closed)(void *arg), void *arg)
{
    raft_node_stop(consensus->node, closed, arg);
}

void consensus_free(struct consensus *consensus)
{
    if (!consensus) return;
    free(consensus->state);
    free(consensus);
}
