/* The client server. See clients.h. */
#include "manager/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "lib/log.h"
#include "manager/stream.h"

struct clients;

/* One connection. Memory lives until the stream is closed and no barrier or proposal points here. */
struct client {
    struct clients *owner;
    struct stream *stream; /* NULL: closed. */
    bool busy;             /* A barrier or a proposal is under way. */
    bool following;
    uint64_t frame_request; /* Request id of the frame to answer. */
    uint64_t next_index;
    struct client_request request;
};

struct clients {
    struct consensus *consensus;
    struct clients_hooks hooks;
    struct client *all[CLIENTS_MAX];
    unsigned all_n;
    bool stopping;
    struct fsm_command command;
};

struct clients *clients_new(struct consensus *consensus, const struct clients_hooks *hooks)
{
    struct clients *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->consensus = consensus;
    c->hooks = *hooks;
    return c;
}

static void client_release(struct client *client)
{
    if (client->stream || client->busy) return;
    struct clients *c = client->owner;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (c->all[i] == client) c->all[i] = NULL;
    c->all_n--;
    free(client);
}

/* A client that waits for us may be silent; another one may not be for long. */
static void set_idle(struct client *client)
{
    if (client->stream) stream_set_idle(client->stream, client->busy || client->following ? 0 : CLIENTS_IDLE_MS);
}

/* Sends and releases the answer. */
static void send_answer(struct client *client, struct client_answer *answer)
{
    void *data = NULL;
    size_t size = 0;
    /* Of what is in the answer, all is committed: the client may take the index as 'since' of its next request. */
    answer->index = consensus_state(client->owner->consensus)->index;
    int rc = client->stream ? client_answer_encode(answer, &data, &size) : -EPIPE;
    if (rc == 0) {
        struct frame_header header = {
            .body_size = (uint32_t)size, .type = CLIENT_FRAME_ANSWER, .request = client->frame_request};
        rc = size > FRAME_BODY_MAX ? -EMSGSIZE : stream_send(client->stream, &header, data);
    }
    if (rc == -EMSGSIZE || rc == -ENOMEM) {
        log_limited(LOG_LEVEL_WARN, "clients.answer", "text=\"an answer could not be sent: errno %d\"", -rc);
        stream_close(client->stream);
    }
    free(data);
    client_answer_fini(answer);
    set_idle(client);
}

static void world_of(struct clients *c, struct answer_world *world)
{
    memset(world, 0, sizeof *world);
    c->hooks.world(c->hooks.arg, world);
}

static void on_result(void *arg, int status, const struct fsm_result *result)
{
    struct client *client = arg;
    struct answer_world world;
    struct client_answer answer;
    world_of(client->owner, &world);
    client->busy = false;
    answer_result(&world, &client->request, status, result, &answer);
    send_answer(client, &answer);
    client_release(client);
}

static void propose(struct client *client, struct fsm_command *command)
{
    client->busy = true;
    set_idle(client);
    int rc = consensus_propose(client->owner->consensus, command, on_result, client);
    if (rc != 0) on_result(client, rc, &(struct fsm_result){0});
}

static void on_transferred(void *arg, int status, uint64_t index)
{
    struct client *client = arg;
    struct answer_world world;
    struct client_answer answer;
    (void)index;
    world_of(client->owner, &world);
    client->busy = false;
    answer_transferred(&world, &client->request, status, &answer);
    send_answer(client, &answer);
    client_release(client);
}

static void hand_over(struct client *client, uint64_t target)
{
    client->busy = true;
    int rc = raft_node_transfer(consensus_node(client->owner->consensus), target, on_transferred, client);
    if (rc != 0) on_transferred(client, rc, 0);
}

static void answer_now(struct client *client)
{
    struct clients *c = client->owner;
    struct answer_world world;
    struct client_answer answer;
    world_of(c, &world);
    enum answer_kind kind = answer_request(&world, &client->request, &c->command, &answer, &client->next_index);
    if (kind == ANSWER_PROPOSE) {
        client_answer_fini(&answer);
        propose(client, &c->command);
        return;
    }
    if (kind == ANSWER_TRANSFER) {
        client_answer_fini(&answer);
        hand_over(client, client->next_index);
        return;
    }
    client->following = kind == ANSWER_FOLLOW;
    send_answer(client, &answer);
}

static void on_barrier(void *arg, int status, uint64_t index)
{
    struct client *client = arg;
    (void)index;
    client->busy = false;
    if (!client->stream) {
        client_release(client);
        return;
    }
    if (status == 0) {
        answer_now(client);
        return;
    }
    struct answer_world world;
    struct client_answer answer;
    world_of(client->owner, &world);
    answer_not_leader(&world, &answer);
    send_answer(client, &answer);
}

static void begin(struct client *client)
{
    uint64_t term;
    struct consensus *consensus = client->owner->consensus;
    if (!answer_needs_barrier(&client->request) || !consensus_is_established(consensus, &term)) {
        answer_now(client);
        return;
    }
    client->busy = true;
    set_idle(client);
    int rc = raft_node_barrier(consensus_node(consensus), on_barrier, client);
    if (rc != 0) on_barrier(client, rc, 0);
}

/* Operators may ask for everything, and so may who can reach the Unix socket, or this host without TLS. Another manager
 * gets what it needs to join, and nothing else. */
static bool may_ask(const struct client *client, const struct client_request *request)
{
    const struct tls_identity *who = conn_identity(stream_conn(client->stream));
    switch (who->role) {
    case TLS_NOBODY:
    case TLS_OPERATOR: return true;
    case TLS_MANAGER:
        /* The others would never let in whose certificate has not the id of the token. */
        return request->op == CLIENT_VERSION || (request->op == CLIENT_MEMBER_JOIN && request->number == who->id);
    case TLS_AGENT: return false;
    }
    MUST_NOT_REACH();
}

static void tell_not_allowed(const struct client *client, struct text *text)
{
    const struct tls_identity *who = conn_identity(stream_conn(client->stream));
    if (who->role == TLS_MANAGER && client->request.op == CLIENT_MEMBER_JOIN) {
        text_addf(text, "The token is for the id %llu, and the certificate of %s has the id %llu: issue one with "
                  "`regent pki issue manager %s --id %llu`.", (unsigned long long)client->request.number, who->name,
                  (unsigned long long)who->id, who->name, (unsigned long long)client->request.number);
        return;
    }
    text_addf(text, "The certificate of %s does not allow this: use that of an operator.", who->name);
}

static void on_frame(void *arg, struct stream *stream, const struct frame_header *header, const uint8_t *body)
{
    struct client *client = arg;
    struct err e = {0};
    if (client->busy || client->following) { /* One request at a time: a client that does not wait is not ours. */
        stream_close(stream);
        return;
    }
    client->frame_request = header->request;
    int rc = header->type == CLIENT_FRAME_REQUEST ? client_request_decode(&client->request, body, header->body_size, &e)
                                                  : err_set(&e, -EPROTO, "not a request");
    if (rc == 0 && may_ask(client, &client->request)) {
        begin(client);
        return;
    }
    struct client_answer answer = {.code = rc == 0 ? CLIENT_REFUSED : CLIENT_USAGE};
    struct text text = TEXT_ON(answer.text);
    if (rc == 0) tell_not_allowed(client, &text);
    else text_addf(&text, "the manager does not understand the request (%s): is regent of another version?", e.text);
    send_answer(client, &answer);
}

static void on_closed(void *arg, struct stream *stream, const char *why)
{
    struct client *client = arg;
    (void)stream;
    (void)why;
    client->stream = NULL;
    client_release(client);
}

void clients_accept(struct clients *clients, struct conn *conn)
{
    unsigned i = 0;
    while (i < CLIENTS_MAX && clients->all[i]) i++;
    struct client *client = i < CLIENTS_MAX && !clients->stopping ? calloc(1, sizeof *client) : NULL;
    if (!client) {
        conn_refuse(conn, CONN_REFUSED_LIMIT, "%d clients are connected", CLIENTS_MAX);
        return;
    }
    client->owner = clients;
    clients->all[i] = client;
    clients->all_n++;
    client->stream = stream_take(conn, on_frame, on_closed, client);
    if (client->stream) set_idle(client);
    else client_release(client);
}

static void serve_follower(struct client *client, const struct answer_world *world)
{
    struct client_answer answer;
    if (!world->node->established) {
        answer_not_leader(world, &answer);
        client->following = false;
        send_answer(client, &answer);
        return;
    }
    while (client->stream && stream_queued(client->stream) < FRAME_BODY_MAX &&
           answer_events_since(world, &client->request, &client->next_index, &answer))
        send_answer(client, &answer);
}

void clients_run(struct clients *clients)
{
    struct answer_world world;
    bool filled = false;
    for (unsigned i = 0; i < CLIENTS_MAX && clients->all_n > 0; i++) {
        struct client *client = clients->all[i];
        if (!client || !client->stream || !client->following) continue;
        if (!filled) world_of(clients, &world);
        filled = true;
        serve_follower(client, &world);
    }
}

void clients_stop(struct clients *clients)
{
    clients->stopping = true;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (clients->all[i] && clients->all[i]->stream) stream_close(clients->all[i]->stream);
}

void clients_free(struct clients *clients)
{
    if (!clients) return;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) free(clients->all[i]);
    free(clients);
}
