/* regentd --join. See join.h. */
#include "cmd/regentd/join.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ask.h"
#include "lib/base/text.h"
#include "lib/file.h"
#include "lib/token.h"
#include "raft/node.h"

enum { PATIENCE_MS = 15000 };

/* The nonce of this data directory: made once, before anybody is asked. */
static int own_nonce(const char *dir, uint8_t nonce[TOKEN_NONCE_SIZE], struct err *e)
{
    char path[FSM_PATH_SIZE + 8];
    char *data = NULL;
    size_t size = 0;
    struct text t = TEXT_ON(path);
    text_addf(&t, "%s/join", dir);
    int rc = file_read(path, TOKEN_NONCE_SIZE, &data, &size, e);
    if (rc == 0 && size == TOKEN_NONCE_SIZE) {
        memcpy(nonce, data, TOKEN_NONCE_SIZE);
        free(data);
        return 0;
    }
    free(data);
    if (rc != 0 && rc != -ENOENT && rc != -EFBIG) return rc;
    rc = token_random(nonce, TOKEN_NONCE_SIZE, e);
    return rc == 0 ? file_write_atomic(path, nonce, TOKEN_NONCE_SIZE, 0600, e) : rc;
}

static void forget_nonce(const char *dir)
{
    char path[FSM_PATH_SIZE + 8];
    struct text t = TEXT_ON(path);
    text_addf(&t, "%s/join", dir);
    (void)unlink(path); /* Left behind, it does no harm. */
}

static void fill_request(const struct config *config, const struct join_options *options, const struct token *t,
                         struct client_request *r)
{
    *r = (struct client_request){.op = CLIENT_MEMBER_JOIN, .number = t->id};
    TEXT_COPY(r->server, config->node);
    TEXT_COPY(r->member.address, config->listen);
    memcpy(r->member.secret, t->secret, sizeof r->member.secret);
    r->member.group = t->group;
    r->member.role = options->standby ? MEMBER_STANDBY : MEMBER_VOTER;
}

static bool read_members(json_t *list, struct raft_node_identity *out)
{
    json_t *m;
    size_t i;
    json_array_foreach(list, i, m)
    {
        const char *name = json_string_value(json_object_get(m, "name"));
        const char *address = json_string_value(json_object_get(m, "address"));
        if (out->members_n == RAFT_NODE_MEMBERS_MAX || name == NULL || address == NULL) return false;
        struct raft_node_member *to = &out->members[out->members_n++];
        to->id = (uint64_t)json_integer_value(json_object_get(m, "id"));
        if (to->id == 0 || !TEXT_COPY(to->name, name) || !TEXT_COPY(to->address, address)) return false;
    }
    return out->members_n > 0;
}

/* What the leader answered, as the identity of this node. */
static int read_answer(const struct client_answer *a, const struct token *t, struct raft_node_identity *out,
                       struct err *e)
{
    json_t *json = a->json != NULL ? json_loads(a->json, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(json, "group_name"));
    memset(out, 0, sizeof *out);
    out->id = (uint64_t)json_integer_value(json_object_get(json, "id"));
    out->group_id = t->group;
    bool good = name != NULL && TEXT_COPY(out->group_name, name) && out->id == t->id &&
                read_members(json_object_get(json, "members"), out);
    json_decref(json);
    return good ? 0 : err_set(e, -EPROTO, "the leader's answer cannot be read: is it of another version?");
}

static int ask(const struct config *config, const struct join_options *options, const struct token *t,
               struct raft_node_identity *out, struct err *e)
{
    struct asker k;
    struct client_request r;
    struct client_answer a;
    fill_request(config, options, t, &r);
    int rc = own_nonce(config->data_dir, r.member.nonce, e);
    if (rc == 0) rc = asker_init(&k, options->addresses, e);
    if (rc != 0) return rc;
    if (config->tls.ca[0] != '\0') link_set_tls_files(&k.link, &config->tls);
    k.patience_ms = PATIENCE_MS;
    k.dead_ms = PATIENCE_MS;
    enum client_code code = asker_ask(&k, &r, false, &a);
    asker_fini(&k);
    rc = code == CLIENT_OK ? read_answer(&a, t, out, e)
                           : err_set(e, -EACCES, "%s is not admitted to the group: %s", config->node, a.text);
    client_answer_fini(&a);
    return rc;
}

/* True when the directory is a node's already; then 'rc' says whether it is the right one. */
static bool is_joined(const struct config *config, int *rc, struct err *e)
{
    struct raft_node_identity who;
    struct err none;
    *rc = raft_node_identity(config->data_dir, &who, &none);
    if (*rc == -ENOENT) return false;
    if (*rc != 0) *rc = err_set(e, *rc, "%s", none.text);
    return true; /* The name is checked when it starts. */
}

int join(const struct config *config, const struct join_options *options, struct err *e)
{
    struct raft_node_config node = {.data_dir = config->data_dir};
    struct raft_node_identity who = {0};
    struct token t;
    bool is_open;
    int rc;
    if (is_joined(config, &rc, e)) return rc;
    rc = token_read(&t, options->token_file, &is_open, e);
    if (rc == 0) rc = file_make_dirs(config->data_dir, 0700, e);
    if (rc != 0) return rc;
    if (is_open) fprintf(stderr, "regentd: warning: others may read %s: a token is a secret\n", options->token_file);
    rc = ask(config, options, &t, &who, e);
    memset(t.secret, 0, sizeof t.secret);
    if (rc != 0) return rc;
    node.id = who.id;
    TEXT_COPY(node.address, config->listen);
    rc = raft_node_join(&node, &who, e);
    if (rc != 0) return rc;
    forget_nonce(config->data_dir);
    printf("%s is admitted to the group with the id %" PRIu64 " and a data directory of its own: %s\n", config->node,
           who.id, config->data_dir);
    (void)fflush(stdout);
    return 0;
}
