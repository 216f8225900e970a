/* Messages of the session protocol. See wire.h. */
#include "sim/wire.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

static void free_plain(struct sim_blob *blob)
{
    free(blob);
}

static void free_reply(struct sim_blob *blob)
{
    struct wire_reply *reply = (struct wire_reply *)blob;
    arena_free(&reply->arena);
    free(reply);
}

static void *message_new(size_t size, enum wire_kind kind)
{
    struct wire_head *head = calloc(1, size);
    MUST(head);
    head->blob = (struct sim_blob){1, free_plain};
    head->kind = kind;
    return head;
}

struct wire_login *wire_login_new(const char *user, const char *password, const char *program)
{
    struct wire_login *login = message_new(sizeof *login, WIRE_LOGIN);
    (void)TEXT_COPY(login->user, user);
    (void)TEXT_COPY(login->password, password);
    (void)TEXT_COPY(login->program, program);
    return login;
}

struct wire_query *wire_query_new(const char *sql)
{
    size_t size = strlen(sql);
    struct wire_query *query = malloc(sizeof *query + size + 1);
    MUST(query);
    query->head = (struct wire_head){{1, free_plain}, WIRE_QUERY};
    query->size = size;
    memcpy(query->sql, sql, size + 1);
    return query;
}

struct wire_reply *wire_reply_new(void)
{
    struct wire_reply *reply = malloc(sizeof *reply);
    MUST(reply);
    reply->head = (struct wire_head){{1, free_reply}, WIRE_REPLY};
    reply->arena = (struct arena){0};
    memset(&reply->result, 0, offsetof(struct db_result, sets)); /* Those behind sets_n are not looked at. */
    return reply;
}
