/* Answers about members and tokens. See answer_member.h. */
#include "manager/answer_member.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/token.h"
#include "manager/answer_private.h"
#include "manager/members.h"

enum { TTL_MAX_S = 30 * 24 * 3600 };

bool answer_is_member(enum client_op op)
{
    return op == CLIENT_TOKEN_CREATE || op == CLIENT_TOKEN_REVOKE || op == CLIENT_MEMBER_SET ||
           op == CLIENT_MEMBER_JOIN;
}

static const struct fsm_member *find_member(const struct answer_world *w, const struct client_request *r,
                                            struct client_answer *a)
{
    const struct fsm_member *m = fsm_member_named(w->state, r->server);
    if (m != NULL) return m;
    struct text t = TEXT_ON(a->text);
    a->code = CLIENT_FAILED;
    text_addf(&t, "the group has no member \"%s\"; it has", r->server);
    for (uint8_t i = 0; i < w->state->members_n; i++)
        text_addf(&t, "%s %s", i > 0 ? "," : "", w->state->members[i].name);
    return NULL;
}

/* ---- tokens ---- */

static enum answer_kind token_create(const struct answer_world *w, const struct client_request *r,
                                     struct fsm_command *command, struct client_answer *a)
{
    struct fsm_cmd_token *c = &command->u.token;
    uint64_t ttl_s = r->member.ttl_s;
    if (ttl_s == 0 || ttl_s > TTL_MAX_S) return say(a, CLIENT_FAILED, "a token lives 1 s to 30 days");
    command->kind = CMD_TOKEN;
    TEXT_COPY(c->name, r->server);
    TEXT_COPY(c->address, r->member.address);
    memcpy(c->hash, r->member.hash, sizeof(c->hash));
    c->expires.us = w->wall.us + (int64_t)ttl_s * 1000000;
    return ANSWER_PROPOSE;
}

static enum answer_kind token_revoke(const struct client_request *r, struct fsm_command *command)
{
    command->kind = CMD_MEMBER;
    command->u.member.act = MEMBER_ACT_REVOKE;
    TEXT_COPY(command->u.member.name, r->server);
    return ANSWER_PROPOSE;
}

/* ---- changes ---- */

static enum answer_kind member_set(const struct answer_world *w, const struct client_request *r,
                                   struct fsm_command *command, struct client_answer *a)
{
    const struct fsm_member *m = find_member(w, r, a);
    struct fsm_cmd_member *c = &command->u.member;
    if (m == NULL) return ANSWER_NOW;
    command->kind = CMD_MEMBER;
    c->id = m->id;
    if (r->member.role == fsm_member_role_none) {
        c->act = MEMBER_ACT_MOVE;
        TEXT_COPY(c->address, r->member.address);
        return ANSWER_PROPOSE;
    }
    c->act = MEMBER_ACT_WANT;
    c->role = r->member.role;
    if (c->role == MEMBER_VOTER || m->want == c->role) return ANSWER_PROPOSE;
    struct members_sight sight = {.state = w->state, .peers = w->node->peers, .peers_n = w->node->peers_n,
                                  .live_ms = w->node->live_ms};
    char why[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(why);
    if (members_may_leave(&sight, m->id, &text)) return ANSWER_PROPOSE;
    return say(a, CLIENT_REFUSED, "%s is not %s, the group could then decide nothing: %s", m->name,
               c->role == MEMBER_GONE ? "removed" : "demoted", why);
}

/* ---- joins ---- */

/* The stored hash of the token of 'id', used or not. */
static const uint8_t *stored_hash(const struct fsm_state *s, uint64_t id)
{
    const struct fsm_token *token = fsm_token_find(s, id);
    const struct fsm_member *m = fsm_member_find(s, id);
    return token != NULL ? token->hash : m != NULL ? m->hash : NULL;
}

static enum answer_kind member_join(const struct answer_world *w, const struct client_request *r,
                                    struct fsm_command *command, struct client_answer *a)
{
    static const uint8_t nobodys[FSM_HASH_SIZE];
    struct fsm_cmd_member *c = &command->u.member;
    uint8_t hash[FSM_HASH_SIZE];
    const uint8_t *stored = stored_hash(w->state, r->number);
    if (r->member.group != w->node->group)
        return say(a, CLIENT_FAILED, "the token is of group %016" PRIx64 ", this is group %016" PRIx64
                   ": give --join an address of the group that made the token", r->member.group, w->node->group);
    token_hash(r->member.secret, hash);
    /* A first member never joined: its zeros are no hash. */
    bool known = token_equal(hash, stored != NULL ? stored : nobodys, sizeof(hash));
    if (!known)
        return say(a, CLIENT_FAILED, "the token of %s is not valid: it was replaced or revoked, has expired, or its "
                   "member was removed; `regent token create %s` makes one", r->server, r->server);
    command->kind = CMD_MEMBER;
    c->act = MEMBER_ACT_JOIN;
    c->id = r->number;
    c->role = r->member.role;
    TEXT_COPY(c->name, r->server);
    TEXT_COPY(c->address, r->member.address);
    memcpy(c->hash, hash, sizeof(c->hash));
    memcpy(c->nonce, r->member.nonce, sizeof(c->nonce));
    return ANSWER_PROPOSE;
}

enum answer_kind answer_member(const struct answer_world *w, const struct client_request *r,
                               struct fsm_command *command, struct client_answer *a)
{
    if (r->op == CLIENT_TOKEN_CREATE) return token_create(w, r, command, a);
    if (r->op == CLIENT_TOKEN_REVOKE) return token_revoke(r, command);
    return r->op == CLIENT_MEMBER_SET ? member_set(w, r, command, a) : member_join(w, r, command, a);
}

/* ---- what was applied ---- */

static void print_group(uint64_t group, char text[24])
{
    snprintf(text, 24, "%016" PRIx64, group);
}

static void token_created(const struct answer_world *w, const struct client_request *r, uint64_t id,
                          struct client_answer *a)
{
    const struct fsm_token *token = fsm_token_find(w->state, id);
    char group[24], expires[32] = "";
    print_group(w->node->group, group);
    if (token != NULL) clock_print(token->expires, expires);
    say(a, CLIENT_OK, "id %" PRIu64 " is reserved for %s", id, r->server);
    attach(a, json_pack("{s:s, s:I, s:s, s:s, s:s}", "name", r->server, "id", (json_int_t)id, "group", group,
                        "group_name", w->node->group_name, "expires", expires));
}

static void joined(const struct answer_world *w, const struct client_request *r, uint64_t id, struct client_answer *a)
{
    json_t *members = json_array();
    char group[24];
    print_group(w->node->group, group);
    for (uint8_t i = 0; i < w->state->members_n; i++) {
        const struct fsm_member *m = &w->state->members[i];
        json_t *one = json_pack("{s:I, s:s, s:s}", "id", (json_int_t)m->id, "name", m->name, "address", m->address);
        MUST(json_array_append_new(members, one) == 0);
    }
    say(a, CLIENT_OK, "%s is admitted with the id %" PRIu64, r->server, id);
    attach(a, json_pack("{s:I, s:s, s:s, s:o}", "id", (json_int_t)id, "group", group, "group_name",
                        w->node->group_name, "members", members));
}

void answer_member_applied(const struct answer_world *w, const struct client_request *r,
                           const struct fsm_result *result, struct client_answer *a)
{
    const char *role = fsm_member_role_name(r->member.role);
    if (r->op == CLIENT_TOKEN_CREATE) {
        token_created(w, r, result->value, a);
        return;
    }
    if (r->op == CLIENT_TOKEN_REVOKE) {
        say(a, CLIENT_OK, "the token of %s is revoked", r->server);
        attach(a, json_pack("{s:s, s:I, s:I}", "name", r->server, "id", (json_int_t)result->value, "index",
                            (json_int_t)result->index));
        return;
    }
    if (r->op == CLIENT_MEMBER_JOIN) {
        joined(w, r, result->value, a);
        return;
    }
    if (r->member.role == fsm_member_role_none) say(a, CLIENT_OK, "%s listens at %s", r->server, r->member.address);
    else if (r->member.role == MEMBER_GONE) say(a, CLIENT_OK, "%s is being removed", r->server);
    else say(a, CLIENT_OK, "%s becomes a %s", r->server, role);
    attach(a, json_pack("{s:s, s:s, s:I}", "name", r->server, "want", role, "index", (json_int_t)result->index));
}

/* ---- hand-over ---- */

static const char *leader_of(const struct answer_world *w)
{
    const char *name = report_leader_name(w->node);
    return name[0] != '\0' ? name : "nobody";
}

enum answer_kind answer_member_transfer(const struct answer_world *w, const struct client_request *r,
                                        struct client_answer *a, uint64_t *target)
{
    *target = 0;
    if (r->server[0] == '\0') return ANSWER_TRANSFER;
    const struct fsm_member *m = find_member(w, r, a);
    if (m == NULL) return ANSWER_NOW;
    *target = m->id;
    if (m->id != w->node->id) return ANSWER_TRANSFER;
    attach(a, json_pack("{s:s}", "leader", m->name));
    return say(a, CLIENT_OK, "%s leads already", m->name);
}

void answer_transferred(const struct answer_world *w, const struct client_request *r, int status,
                        struct client_answer *a)
{
    const char *to = r->server[0] != '\0' ? r->server : "another voter";
    memset(a, 0, sizeof(*a));
    switch (status) {
    case 0:
        say(a, CLIENT_OK, "%s leads now", leader_of(w));
        attach(a, json_pack("{s:s}", "leader", leader_of(w)));
        return;
    case -ENOTCONN: answer_not_leader(w, a); return;
    case -EINVAL:
        say(a, CLIENT_REFUSED, "%s is no voter that answers, and only one can lead; %s leads on", to, leader_of(w));
        return;
    case -EBUSY: say(a, CLIENT_FAILED, "a hand-over or a change of the members is under way: try again"); return;
    case -ETIMEDOUT: say(a, CLIENT_FAILED, "%s did not take over in time; %s leads", to, leader_of(w)); return;
    default: say(a, CLIENT_UNKNOWN, "the hand-over was cut short; see `regent member list`");
    }
}
