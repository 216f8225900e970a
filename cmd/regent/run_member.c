/* regent member and regent token: who is in the group of managers, who may come, who leaves.
 *
 * A change is first recorded by the group, then carried out by its leader, one at a time; promote, demote and remove
 * wait until that is done. Failure modes: refused (exit code 5, nothing changed); the leader finds that it can not be
 * done after all, and records why; nobody can say (exit code 4).
 *
 * The secret of a token is made here; only its hash leaves this process, and it is printed once. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/regent/render.h"
#include "cmd/regent/run.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/token.h"
#include "manager/config.h"

enum { TTL_DEFAULT_S = 3600, FOLLOW_MS = 60000, POLL_US = 100000 };

static bool take_address(char to[FSM_ADDRESS_SIZE], const char *address)
{
    char host[FSM_ADDRESS_SIZE];
    uint16_t port;
    if (config_split_address(address, host, sizeof(host), &port) == 0 && text_copy(to, FSM_ADDRESS_SIZE, address))
        return true;
    fprintf(stderr, "regent: \"%.100s\" is no address: HOST:PORT\n", address);
    return false;
}

/* ---- tokens ---- */

/* What the operator does next, told plainly. */
static void print_next(json_t *json, const char *address)
{
    const char *name = field(json, "name"), *id = field(json, "id");
    fprintf(stderr,
            "\nId %s is reserved for %s until %s. On the host of %s:\n"
            "  1. write the line above into a file that only regentd can read (mode 0600)\n"
            "  2. with TLS: regent pki issue manager %s --id %s\n"
            "  3. a configuration with node: %s, listen: %s, and no group\n"
            "  4. regentd --config FILE --join %s --token-file FILE\n",
            id, name, field(json, "expires"), name, name, id, name, address != NULL ? address : "HOST:PORT",
            "ADDRESS-OF-A-MANAGER");
}

static bool print_token(const struct cli *cli, json_t *json, struct token *t, const char *address)
{
    char text[TOKEN_TEXT_SIZE];
    t->group = strtoull(field(json, "group"), NULL, 16);
    t->id = (uint64_t)json_integer_value(json_object_get(json, "id"));
    if (t->group == 0 || t->id == 0) return false;
    token_print(t, text);
    if (cli->json) {
        MUST(json_object_set_new(json, "token", json_string(text)) == 0);
        print_json(json);
    } else {
        printf("%s\n", text);
        (void)fflush(stdout);
        print_next(json, address);
    }
    return true;
}

/* Asks for a token of 'name'; 'address' may be NULL. */
static enum client_code create_token(const struct cli *cli, struct asker *k, const char *name, const char *address)
{
    struct client_request r = {.op = CLIENT_TOKEN_CREATE};
    struct client_answer a;
    struct token t = {0};
    struct err e = {0};
    if (!take_name(r.server, name)) return CLIENT_USAGE;
    if (address != NULL && !take_address(r.member.address, address)) return CLIENT_USAGE;
    if (token_random(t.secret, sizeof(t.secret), &e) != 0) {
        fprintf(stderr, "regent: %s\n", e.text);
        return CLIENT_FAILED;
    }
    token_hash(t.secret, r.member.hash);
    r.member.ttl_s = cli->ttl_s > 0 ? cli->ttl_s : TTL_DEFAULT_S;
    enum client_code code = asker_ask(k, &r, false, &a);
    json_t *json = code == CLIENT_OK ? answer_json(&a) : NULL;
    code = tell(&a);
    if (code == CLIENT_OK && (json == NULL || !print_token(cli, json, &t, address))) {
        fputs("regent: the manager's answer does not name the token: create another\n", stderr);
        code = CLIENT_FAILED;
    }
    json_decref(json);
    client_answer_fini(&a);
    return code;
}

static enum client_code with_asker(const struct cli *cli, const char *name, const char *address)
{
    struct asker k;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = create_token(cli, &k, name, address);
    asker_fini(&k);
    return code;
}

enum client_code run_token_create(const struct cli *cli)
{
    return with_asker(cli, cli->args[0], NULL);
}

enum client_code run_token_revoke(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_TOKEN_REVOKE};
    return take_name(r.server, cli->args[0]) ? ask_change(cli, &r) : CLIENT_USAGE;
}

enum client_code run_member_add(const struct cli *cli)
{
    return with_asker(cli, cli->args[0], cli->args[1]);
}

/* ---- changes ---- */

/* The row of 'name' in `member list`. CLIENT_OK with NULL: there is none. */
static enum client_code look(struct asker *k, const char *name, json_t **row)
{
    struct client_request r = {.op = CLIENT_MEMBER_LIST};
    struct client_answer a;
    size_t i;
    json_t *m;
    *row = NULL;
    enum client_code code = asker_ask(k, &r, false, &a);
    json_t *json = code == CLIENT_OK ? answer_json(&a) : NULL;
    if (code == CLIENT_OK && json == NULL) code = CLIENT_FAILED;
    json_array_foreach(field_array(json, "members"), i, m)
    {
        if (strcmp(field(m, "name"), name) == 0) *row = json_incref(m);
    }
    json_decref(json);
    client_answer_fini(&a);
    return code;
}

/* Follows a change until it is done. CLIENT_MORE: not yet. */
static enum client_code look_done(struct asker *k, const char *name, const char *want)
{
    json_t *row;
    enum client_code code = look(k, name, &row);
    if (code == CLIENT_OK && row == NULL) code = strcmp(want, "gone") == 0 ? CLIENT_OK : CLIENT_FAILED;
    else if (code == CLIENT_OK && strcmp(field(row, "want"), want) != 0) code = CLIENT_REFUSED;
    else if (code == CLIENT_OK) code = strcmp(field(row, "role"), want) == 0 ? CLIENT_OK : CLIENT_MORE;
    json_decref(row);
    return code;
}

static enum client_code follow(const struct cli *cli, struct asker *k, const char *name, enum fsm_member_role role)
{
    const char *want = fsm_member_role_name(role);
    struct mono end = mono_add_ms(clock_mono(), FOLLOW_MS);
    enum client_code code = CLIENT_MORE;
    while (mono_before(clock_mono(), end)) {
        code = look_done(k, name, want);
        if (code != CLIENT_MORE && code != CLIENT_NO_LEADER) break;
        (void)usleep(POLL_US);
    }
    if (code == CLIENT_OK && cli->command == NULL) {
        fprintf(stderr, "%s is removed\n", name);
    } else if (code == CLIENT_OK && cli->json) {
        printf("{\"name\": \"%s\", \"role\": \"%s\"}\n", name, want);
    } else if (code == CLIENT_OK) {
        if (role == MEMBER_GONE) printf("%s is removed; what is left of it stops by itself\n", name);
        else printf("%s is a %s\n", name, want);
    }
    if (code == CLIENT_REFUSED) fprintf(stderr, "regent: the leader gave it up: see `regent events --last 5`\n");
    if (code == CLIENT_MORE || code == CLIENT_NO_LEADER) {
        fprintf(stderr, "regent: this is not done yet, and goes on: see `regent member list`\n");
        code = CLIENT_UNKNOWN;
    }
    return code;
}

/* Asks for 'role' and waits until it is so. */
static enum client_code set_role(const struct cli *cli, struct asker *k, const char *name, enum fsm_member_role role)
{
    struct client_request r = {.op = CLIENT_MEMBER_SET, .member = {.role = role}};
    struct client_answer a;
    if (!take_name(r.server, name)) return CLIENT_USAGE;
    (void)asker_ask(k, &r, false, &a);
    enum client_code code = tell(&a);
    client_answer_fini(&a);
    return code == CLIENT_OK ? follow(cli, k, name, role) : code;
}

static enum client_code run_role(const struct cli *cli, enum fsm_member_role role)
{
    struct asker k;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = set_role(cli, &k, cli->args[0], role);
    asker_fini(&k);
    return code;
}

enum client_code run_member_promote(const struct cli *cli)
{
    return run_role(cli, MEMBER_VOTER);
}

enum client_code run_member_demote(const struct cli *cli)
{
    return run_role(cli, MEMBER_STANDBY);
}

enum client_code run_member_remove(const struct cli *cli)
{
    return run_role(cli, MEMBER_GONE);
}

/* True when the leader heard of it within a second. */
static bool is_live(json_t *row)
{
    json_t *contact = json_object_get(row, "contact_ms");
    return json_is_integer(contact) && json_integer_value(contact) <= 1000;
}

static enum client_code replace(const struct cli *cli, struct asker *k)
{
    const char *old = cli->args[0];
    char address[FSM_ADDRESS_SIZE];
    json_t *row;
    if (!take_address(address, cli->args[2])) return CLIENT_USAGE;
    enum client_code code = look(k, old, &row);
    bool live = row != NULL && is_live(row), known = row != NULL;
    json_decref(row);
    if (code != CLIENT_OK) {
        fputs("regent: the managers can not be asked who is in the group\n", stderr);
        return code;
    }
    if (live) {
        fprintf(stderr, "regent: %s answers: to exchange a live manager, first `regent member add %s %s`, and when "
                "that one is a voter `regent member remove %s`\n", old, cli->args[1], address, old);
        return CLIENT_REFUSED;
    }
    /* Not known: an earlier try has removed it. */
    const struct cli quiet = {0}; /* Of `replace` the token is what stdout is for. */
    if (known) code = set_role(&quiet, k, old, MEMBER_GONE);
    else fprintf(stderr, "regent: there is no member %s (any more)\n", old);
    return code == CLIENT_OK ? create_token(cli, k, cli->args[1], address) : code;
}

enum client_code run_member_replace(const struct cli *cli)
{
    struct asker k;
    if (!start_asker(cli, &k)) return CLIENT_USAGE;
    enum client_code code = replace(cli, &k);
    asker_fini(&k);
    return code;
}

enum client_code run_member_set_address(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_MEMBER_SET};
    if (!take_name(r.server, cli->args[0]) || !take_address(r.member.address, cli->args[1])) return CLIENT_USAGE;
    return ask_change(cli, &r);
}

enum client_code run_member_transfer(const struct cli *cli)
{
    struct client_request r = {.op = CLIENT_MEMBER_TRANSFER};
    if (!take_name(r.server, cli->args[0])) return CLIENT_USAGE;
    return ask_change(cli, &r);
}
