/* Clients that write. See client.h.
 *
 * Happy path: connect, log in, INSERT, OK, think, INSERT. Failure modes: refused, closed, an error (read-only, ...), or
 * no answer in time: the connection is closed, and the next server is tried after a short pause. A row is never sent
 * twice: each attempt has an id of its own, so that a row whose answer was lost may be there or not. */
#include "sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/text.h"
#include "sim/check.h"
#include "sim/wire.h"

enum client_stage { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_LOGIN, CLIENT_READY, CLIENT_WRITING };

struct client {
    struct site *site;
    struct sim *sim;
    sim_node node;
    struct rng rng;
    uint64_t next_id, written_id;
    unsigned server;
    enum client_stage stage;
    struct sim_stream *stream;
    sim_event timer;
    int64_t think_us, patience_us;
};

static void begin(void *arg);

static void later(struct client *c, int64_t us)
{
    sim_cancel(c->sim, &c->timer);
    c->timer = sim_after(c->sim, c->node, us, begin, c);
}

static void give_up(struct client *c)
{
    if (c->stream) sim_stream_close(c->stream);
    c->stream = NULL;
    c->stage = CLIENT_IDLE;
    c->server = (c->server + 1) % c->site->servers_n;
    later(c, rng_between(&c->rng, 10 * SIM_MS, 60 * SIM_MS));
}

static void on_patience_ends(void *arg)
{
    struct client *c = arg;
    c->timer = 0;
    give_up(c);
}

static void wait_for_answer(struct client *c)
{
    sim_cancel(c->sim, &c->timer);
    c->timer = sim_after(c->sim, c->node, c->patience_us, on_patience_ends, c);
}

static void write_row(struct client *c)
{
    char sql[96];
    c->written_id = c->next_id++;
    struct text t = TEXT_ON(sql);
    text_add(&t, "INSERT INTO t.t VALUES (");
    text_add_u64(&t, c->written_id, 0);
    text_add(&t, ")");
    c->stage = CLIENT_WRITING;
    c->site->world->stats.writes++;
    (void)sim_stream_send(c->stream, &wire_query_new(sql)->head.blob);
    wait_for_answer(c);
}

static void on_opened(void *arg)
{
    struct client *c = arg;
    c->stage = CLIENT_LOGIN;
    (void)sim_stream_send(c->stream, &wire_login_new(WIRE_USER_CLIENT, WIRE_PASSWORD, "client")->head.blob);
    wait_for_answer(c);
}

static void on_received(void *arg, struct sim_blob *blob)
{
    struct client *c = arg;
    const struct wire_reply *reply = (const struct wire_reply *)blob;
    if (reply->result.status != DB_OK) {
        give_up(c);
    } else if (c->stage == CLIENT_LOGIN) {
        write_row(c);
    } else {
        c->site->world->stats.acks++;
        check_acked(c->site->world->check, c->site, c->server, c->written_id);
        c->stage = CLIENT_READY;
        int64_t think_us = rng_between(&c->rng, c->think_us / 2, c->think_us * 3 / 2);
        later(c, think_us);
    }
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct client *c = arg;
    (void)why;
    c->stream = NULL;
    give_up(c);
}

static void begin(void *arg)
{
    static const struct sim_stream_ops ops = {on_opened, on_received, on_closed};
    struct client *c = arg;
    c->timer = 0;
    if (c->stage == CLIENT_READY) {
        write_row(c);
        return;
    }
    c->stage = CLIENT_CONNECTING;
    c->stream = sim_connect(c->sim, c->node, mysqld_node(c->site->servers[c->server]), &ops, c);
    wait_for_answer(c);
}

struct client *client_new(struct site *site, unsigned index)
{
    static const struct sim_node_hooks no_hooks;
    struct client *c = calloc(1, sizeof *c);
    char name[SIM_NAME_SIZE];
    MUST(c);
    c->site = site;
    c->sim = site->world->sim;
    rng_init(&c->rng, site->world->seed, "client", site->index * 16 + index);
    (void)snprintf(name, sizeof name, "%c-c%u", 'a' + (int)site->index, index + 1);
    c->node = sim_node_add(c->sim, name, &no_hooks);
    c->next_id = ((uint64_t)site->index * 16 + index + 1) << 32 | 1;
    c->think_us = rng_between(&c->rng, 50 * SIM_MS, 80 * SIM_MS) * site->clients_n;
    c->patience_us = rng_log_between(&c->rng, 500 * SIM_MS, 10 * SIM_S);
    sim_boot(c->sim, c->node);
    return c;
}

void client_free(struct client *client)
{
    free(client);
}

void client_start(struct client *client)
{
    later(client, rng_between(&client->rng, 0, 200 * SIM_MS));
}
