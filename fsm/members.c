/* MEMBER and TOKEN: the table of managers, and who may become one. PURE.
 *
 * Raft's own configuration decides who votes; it knows no names, no wishes and only one change at a time. This table
 * holds what is wanted; the leader (manager/members.c) compares the two, makes one change of Raft's configuration at a
 * time and records what it found (IS). So a leader that dies between two steps leaves nothing half done that the next
 * one would not see. An id is given once: members_next only grows, also over snapshots, and an id below it without a
 * row or token is that of a removed member for ever. */
#include <string.h>

#include "fsm/internal.h"

#define HOLDS(condition, what)                                                                                        \
    do {                                                                                                              \
        if (!(condition)) return (what);                                                                              \
    } while (0)

static void note(struct fsm_apply *a, const char *kind, const char *text)
{
    fsm_event_add(a, &(struct fsm_note){NULL, kind, text, ""});
}

/* The writable row of 'id', or NULL with a text in the result. */
static struct fsm_member *find_row(struct fsm_apply *a, uint64_t id)
{
    const struct fsm_member *m = fsm_member_find(a->state, id);

    if (m == NULL) {
        (void)FSM_REFUSE(a, FSM_NOT_FOUND, "the group has no member with the id %llu", (unsigned long long)id);
        return NULL;
    }
    return &a->state->members[m - a->state->members];
}

static void drop_row(struct fsm_state *state, const struct fsm_member *row)
{
    size_t at = (size_t)(row - state->members);

    state->members_n--;
    memmove(&state->members[at], &state->members[at + 1], (state->members_n - at) * sizeof(*row));
    memset(&state->members[state->members_n], 0, sizeof(*row));
}

static void drop_token(struct fsm_state *state, const struct fsm_token *token)
{
    size_t at = (size_t)(token - state->tokens);

    state->tokens_n--;
    memmove(&state->tokens[at], &state->tokens[at + 1], (state->tokens_n - at) * sizeof(*token));
    memset(&state->tokens[state->tokens_n], 0, sizeof(*token));
}

/* Appends before the first row with a greater id. */
static struct fsm_member *add_row(struct fsm_state *state, uint64_t id, const char *name, const char *address)
{
    size_t at = state->members_n;

    while (at > 0 && state->members[at - 1].id > id) at--;
    memmove(&state->members[at + 1], &state->members[at], (state->members_n - at) * sizeof(state->members[0]));
    state->members_n++;
    memset(&state->members[at], 0, sizeof(state->members[at]));
    state->members[at].id = id;
    FSM_TEXT_SET(state->members[at].name, name);
    FSM_TEXT_SET(state->members[at].address, address);
    return &state->members[at];
}

static enum fsm_code check_place(struct fsm_apply *a, const char *name, const char *address)
{
    if (!fsm_name_is_valid(name)) {
        return FSM_REFUSE(a, FSM_INVALID, "\"%s\" is not a name: letters, digits, then also . _ -", name);
    }
    if (!fsm_address_is_valid(address)) return FSM_REFUSE(a, FSM_INVALID, "\"%s\" is not host:port", address);
    return FSM_OK;
}

/* No other member than 'id' listens at 'address'. */
static enum fsm_code check_free(struct fsm_apply *a, uint64_t id, const char *address)
{
    for (uint8_t i = 0; i < a->state->members_n; i++) {
        const struct fsm_member *m = &a->state->members[i];

        if (m->id == id || !text_equal(m->address, address)) continue;
        return FSM_REFUSE(a, FSM_EXISTS, "member %s has the address %s", m->name, address);
    }
    return FSM_OK;
}

/* --- FIRST --- */

static enum fsm_code check_first(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    if (a->state->members_next != 0) return FSM_REFUSE(a, FSM_EXISTS, "the first members are recorded already");
    if (c->members_n < 1 || c->members_n > FSM_MEMBERS_MAX) return FSM_REFUSE(a, FSM_INVALID, "no members");
    for (uint8_t i = 0; i < c->members_n; i++) {
        enum fsm_code code = check_place(a, c->members[i].name, c->members[i].address);

        if (code != FSM_OK) return code;
        if (c->members[i].id == 0 || c->members[i].id == UINT64_MAX) {
            return FSM_REFUSE(a, FSM_INVALID, "member %s has no id", c->members[i].name);
        }
        for (uint8_t j = 0; j < i; j++) {
            if (c->members[j].id == c->members[i].id || text_equal(c->members[j].name, c->members[i].name) ||
                text_equal(c->members[j].address, c->members[i].address)) {
                return FSM_REFUSE(a, FSM_INVALID, "member %s is there twice", c->members[i].name);
            }
        }
    }
    return FSM_OK;
}

static enum fsm_code apply_first(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code = check_first(a, c);

    if (code != FSM_OK) return code;
    text_addf(&text, "the group begins with %u managers:", c->members_n);
    for (uint8_t i = 0; i < c->members_n; i++) {
        struct fsm_member *m = add_row(a->state, c->members[i].id, c->members[i].name, c->members[i].address);

        m->role = MEMBER_VOTER;
        m->want = MEMBER_VOTER;
        if (m->id >= a->state->members_next) a->state->members_next = m->id + 1;
        text_addf(&text, " %s", m->name);
    }
    note(a, "member.first", buffer);
    return FSM_OK;
}

/* --- JOIN --- */

static enum fsm_code repeat_join(struct fsm_apply *a, const struct fsm_cmd_member *c, struct fsm_member *m)
{
    if (memcmp(m->nonce, c->nonce, sizeof(m->nonce)) != 0 || memcmp(m->hash, c->hash, sizeof(m->hash)) != 0) {
        return FSM_REFUSE(a, FSM_EXISTS, "the token of %s was used by another data directory: if that one is lost, "
                          "remove %s and create a token under a new name or id", m->name, m->name);
    }
    if (!text_equal(m->address, c->address)) {
        return FSM_REFUSE(a, FSM_EXISTS, "%s joined with the address %s: start it there, or change it by `regent member"
                          " set-address`", m->name, m->address);
    }
    a->result->value = m->id;
    return FSM_OK;
}

static enum fsm_code check_token(struct fsm_apply *a, const struct fsm_cmd_member *c, const struct fsm_token *t)
{
    if (t == NULL || memcmp(t->hash, c->hash, sizeof(t->hash)) != 0) {
        return FSM_REFUSE(a, FSM_NOT_FOUND, "the token is not valid: it was used, replaced, revoked or never made: "
                          "`regent token create %s` makes one", c->name);
    }
    if (a->command->time.us >= t->expires.us) {
        return FSM_REFUSE(a, FSM_STALE, "the token of %s has expired: `regent token create %s` makes another", t->name,
                          t->name);
    }
    if (!text_equal(t->name, c->name)) {
        return FSM_REFUSE(a, FSM_INVALID, "the token was made for %s, not for %s", t->name, c->name);
    }
    if (t->address[0] != '\0' && !text_equal(t->address, c->address)) {
        return FSM_REFUSE(a, FSM_INVALID, "the token was made for the address %s, not for %s", t->address, c->address);
    }
    return FSM_OK;
}

static enum fsm_code apply_join(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    const struct fsm_member *known = fsm_member_find(a->state, c->id);
    const struct fsm_token *token = fsm_token_find(a->state, c->id);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code;
    struct fsm_member *m;

    if (known != NULL) return repeat_join(a, c, &a->state->members[known - a->state->members]);
    code = check_place(a, c->name, c->address);
    if (code == FSM_OK) code = check_token(a, c, token);
    if (code == FSM_OK) code = check_free(a, c->id, c->address);
    if (code != FSM_OK) return code;
    if (c->role != MEMBER_STANDBY && c->role != MEMBER_VOTER) {
        return FSM_REFUSE(a, FSM_INVALID, "a member joins to become a standby or a voter");
    }
    if (a->state->members_n == FSM_MEMBERS_MAX) {
        return FSM_REFUSE(a, FSM_FULL, "the group has %d members: that is the limit; remove one first",
                          FSM_MEMBERS_MAX);
    }
    m = add_row(a->state, c->id, c->name, c->address);
    m->role = MEMBER_JOINING;
    m->want = c->role;
    memcpy(m->hash, c->hash, sizeof(m->hash));
    memcpy(m->nonce, c->nonce, sizeof(m->nonce));
    drop_token(a->state, token);
    a->result->value = m->id;
    text_addf(&text, "%s at %s joins with the id %llu, to become a %s", m->name, m->address, (unsigned long long)m->id,
              fsm_member_role_name(m->want));
    note(a, "member.joined", buffer);
    return FSM_OK;
}

/* --- WANT, KEEP, IS, MOVE --- */

/* A group without a voter could never decide again. */
static bool is_last_voter(const struct fsm_state *state, const struct fsm_member *m)
{
    for (uint8_t i = 0; i < state->members_n; i++) {
        const struct fsm_member *other = &state->members[i];

        if (other != m && other->want == MEMBER_VOTER && other->role == MEMBER_VOTER) return false;
    }
    return true;
}

static const char *want_kind(enum fsm_member_role role)
{
    return role == MEMBER_VOTER ? "member.promote" : role == MEMBER_STANDBY ? "member.demote" : "member.remove";
}

static enum fsm_code apply_want(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    struct fsm_member *m = find_row(a, c->id);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (m == NULL) return FSM_NOT_FOUND;
    if (c->role != MEMBER_STANDBY && c->role != MEMBER_VOTER && c->role != MEMBER_GONE) {
        return FSM_REFUSE(a, FSM_INVALID, "a member can be a standby, a voter or be removed");
    }
    if (m->want == c->role) return FSM_OK;
    if (m->want == MEMBER_GONE) return FSM_REFUSE(a, FSM_BUSY, "%s is being removed", m->name);
    if (c->role != MEMBER_VOTER && m->role == MEMBER_VOTER && is_last_voter(a->state, m)) {
        return FSM_REFUSE(a, FSM_UNSAFE, "%s is the last voter: without it the group can decide nothing", m->name);
    }
    m->want = c->role;
    if (c->role == MEMBER_GONE) text_addf(&text, "%s (id %llu) is to be removed", m->name, (unsigned long long)m->id);
    else text_addf(&text, "%s is to become a %s", m->name, fsm_member_role_name(c->role));
    note(a, want_kind(c->role), buffer);
    return FSM_OK;
}

static enum fsm_code apply_keep(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    struct fsm_member *m = find_row(a, c->id);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (m == NULL) return FSM_NOT_FOUND;
    if (m->role == MEMBER_JOINING) return FSM_REFUSE(a, FSM_INVALID, "%s is not in the group yet", m->name);
    if (m->want == m->role) return FSM_OK;
    text_addf(&text, "%s stays a %s: %s", m->name, fsm_member_role_name(m->role), c->reason);
    m->want = m->role;
    note(a, "member.kept", buffer);
    return FSM_OK;
}

static enum fsm_code found_gone(struct fsm_apply *a, struct fsm_member *m)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (m->want != MEMBER_GONE) return FSM_REFUSE(a, FSM_STALE, "%s is not to be removed", m->name);
    text_addf(&text, "%s (id %llu) is removed from the group", m->name, (unsigned long long)m->id);
    drop_row(a->state, m);
    note(a, "member.removed", buffer);
    return FSM_OK;
}

static enum fsm_code apply_is(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    struct fsm_member *m = find_row(a, c->id);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    const char *kind = "member.added";

    if (m == NULL) return FSM_NOT_FOUND;
    if (c->role == MEMBER_GONE) return found_gone(a, m);
    if (c->role != MEMBER_STANDBY && c->role != MEMBER_VOTER) return FSM_REFUSE(a, FSM_INVALID, "no such role");
    if (m->role == c->role) return FSM_OK;
    if (m->role == MEMBER_VOTER && is_last_voter(a->state, m)) {
        return FSM_REFUSE(a, FSM_UNSAFE, "%s is the last voter", m->name);
    }
    if (m->role != MEMBER_JOINING) kind = c->role == MEMBER_VOTER ? "member.promoted" : "member.demoted";
    m->role = c->role;
    text_addf(&text, "%s is a %s", m->name, fsm_member_role_name(m->role));
    note(a, kind, buffer);
    return FSM_OK;
}

static enum fsm_code apply_move(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    struct fsm_member *m = find_row(a, c->id);
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code;

    if (m == NULL) return FSM_NOT_FOUND;
    code = check_place(a, m->name, c->address);
    if (code == FSM_OK) code = check_free(a, m->id, c->address);
    if (code != FSM_OK) return code;
    if (text_equal(m->address, c->address)) return FSM_OK;
    text_addf(&text, "%s moves from %s to %s", m->name, m->address, c->address);
    FSM_TEXT_SET(m->address, c->address);
    note(a, "member.moved", buffer);
    return FSM_OK;
}

static enum fsm_code apply_revoke(struct fsm_apply *a, const struct fsm_cmd_member *c)
{
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    for (uint8_t i = 0; i < a->state->tokens_n; i++) {
        const struct fsm_token *t = &a->state->tokens[i];

        if (!text_equal(t->name, c->name)) continue;
        a->result->value = t->id;
        text_addf(&text, "the token of %s is revoked, and its id %llu is not given again", t->name,
                  (unsigned long long)t->id);
        drop_token(a->state, t);
        note(a, "token.revoked", buffer);
        return FSM_OK;
    }
    if (fsm_member_named(a->state, c->name) == NULL)
        return FSM_REFUSE(a, FSM_NOT_FOUND, "there is no token of %s", c->name);
    return FSM_REFUSE(a, FSM_NOT_FOUND, "the token of %s was used: %s is a member, `regent member remove %s` takes it "
                      "out again", c->name, c->name, c->name);
}

enum fsm_code fsm_apply_member(struct fsm_apply *a)
{
    const struct fsm_cmd_member *c = &a->command->u.member;

    switch (c->act) {
    case MEMBER_ACT_FIRST: return apply_first(a, c);
    case MEMBER_ACT_JOIN: return apply_join(a, c);
    case MEMBER_ACT_WANT: return apply_want(a, c);
    case MEMBER_ACT_KEEP: return apply_keep(a, c);
    case MEMBER_ACT_IS: return apply_is(a, c);
    case MEMBER_ACT_MOVE: return apply_move(a, c);
    case MEMBER_ACT_REVOKE: return apply_revoke(a, c);
    case fsm_member_act_none:
    case fsm_member_act_count: break;
    }
    return FSM_REFUSE(a, FSM_INVALID, "no such change of a member");
}

/* --- TOKEN --- */

/* Tokens that nobody can use any more: expired ones, and an older one of the same name. */
static void drop_void_tokens(struct fsm_state *state, const char *name, struct wall now)
{
    for (size_t i = state->tokens_n; i-- > 0;) {
        const struct fsm_token *t = &state->tokens[i];

        if (t->expires.us <= now.us || text_equal(t->name, name)) drop_token(state, t);
    }
}

enum fsm_code fsm_apply_token(struct fsm_apply *a)
{
    const struct fsm_cmd_token *c = &a->command->u.token;
    const char *address = c->address[0] != '\0' ? c->address : "any.host:1";
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);
    enum fsm_code code = check_place(a, c->name, address);
    struct fsm_token *t;

    if (code != FSM_OK) return code;
    if (a->state->members_next == 0) {
        return FSM_REFUSE(a, FSM_BUSY, "the leader has not recorded the first members yet: try again");
    }
    if (fsm_member_named(a->state, c->name) != NULL) {
        return FSM_REFUSE(a, FSM_EXISTS, "the group has a member %s: remove it first, or choose another name", c->name);
    }
    if (c->address[0] != '\0') code = check_free(a, 0, c->address);
    if (code != FSM_OK) return code;
    if (c->expires.us <= a->command->time.us) return FSM_REFUSE(a, FSM_INVALID, "the token would have expired already");
    if (a->state->members_next == UINT64_MAX) return FSM_REFUSE(a, FSM_FULL, "all ids were given");
    drop_void_tokens(a->state, c->name, a->command->time);
    if (a->state->tokens_n == FSM_TOKENS_MAX) {
        return FSM_REFUSE(a, FSM_FULL, "%d unused tokens are the limit: wait until one expires", FSM_TOKENS_MAX);
    }
    t = &a->state->tokens[a->state->tokens_n++];
    t->id = a->state->members_next++;
    FSM_TEXT_SET(t->name, c->name);
    FSM_TEXT_SET(t->address, c->address);
    memcpy(t->hash, c->hash, sizeof(t->hash));
    t->expires = c->expires;
    a->result->value = t->id;
    text_addf(&text, "a token reserves the id %llu for %s", (unsigned long long)t->id, t->name);
    note(a, "token.created", buffer);
    return FSM_OK;
}

/* --- what always holds --- */

#define IS_TEXT(array) (memchr((array), '\0', sizeof(array)) != NULL)

static const char *check_member(const struct fsm_state *state, uint8_t i)
{
    const struct fsm_member *m = &state->members[i];

    HOLDS(m->id > 0 && m->id < state->members_next, "a member's id was given to it");
    HOLDS(i == 0 || state->members[i - 1].id < m->id, "members are in the order of their ids");
    HOLDS(IS_TEXT(m->name) && m->name[0] != '\0' && IS_TEXT(m->address) && m->address[0] != '\0',
          "a member has a name and an address");
    HOLDS(fsm_member_named(state, m->name) == m, "names of members are unique");
    HOLDS(m->role == MEMBER_JOINING || m->role == MEMBER_STANDBY || m->role == MEMBER_VOTER, "a member has a role");
    HOLDS(m->want == MEMBER_STANDBY || m->want == MEMBER_VOTER || m->want == MEMBER_GONE, "a member has an aim");
    for (uint8_t j = 0; j < i; j++) {
        HOLDS(!text_equal(state->members[j].address, m->address), "addresses of members are unique");
    }
    return NULL;
}

static const char *check_tokens(const struct fsm_state *state)
{
    for (uint8_t i = 0; i < state->tokens_n; i++) {
        const struct fsm_token *t = &state->tokens[i];

        HOLDS(t->id > 0 && t->id < state->members_next, "a token's id was given to it");
        HOLDS(i == 0 || state->tokens[i - 1].id < t->id, "tokens are in the order of their ids");
        HOLDS(IS_TEXT(t->name) && t->name[0] != '\0' && IS_TEXT(t->address), "a token has a name");
        HOLDS(fsm_member_find(state, t->id) == NULL, "an id has one owner");
    }
    return NULL;
}

const char *fsm_members_invariant(const struct fsm_state *state)
{
    unsigned voters = 0;

    HOLDS(state->members_n <= FSM_MEMBERS_MAX && state->tokens_n <= FSM_TOKENS_MAX, "the members have their size");
    HOLDS(state->members_next > 0 || state->members_n + state->tokens_n == 0, "ids are given by the table");
    for (uint8_t i = 0; i < state->members_n; i++) {
        const char *broken = check_member(state, i);

        if (broken != NULL) return broken;
        voters += state->members[i].role == MEMBER_VOTER && state->members[i].want == MEMBER_VOTER;
    }
    HOLDS(state->members_n == 0 || voters > 0, "the group keeps a voter");
    return check_tokens(state);
}
