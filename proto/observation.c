/* Observations between bytes and structs: see proto/convert.h. They come from another manager and are treated as
 * hostile; fields of a newer version are passed over, since an observation is not part of what the group agrees on. */
#include <errno.h>
#include <string.h>

#include "proto/convert.h"
#include "proto/fields.h"
#include "proto/observation.pb-c.h"

enum { OBSERVATION_SIZE_MAX = 256 << 10, MS_MAX = INT32_MAX };

static const int64_t SENT_US_MAX = INT64_MAX / 4; /* No clock tells that: differences of two do not overflow. */

/* --- encoding --- */

struct parts { /* The messages of one server; they borrow the texts. */
    Regent__Observation__Server server;
    Regent__Observation__Facts facts;
    Regent__Observation__Flow flow;
    Regent__Observation__Channel channels[VIEW_CHANNELS_MAX];
    Regent__Observation__Channel *pointers[VIEW_CHANNELS_MAX];
};

static uint8_t described(uint8_t channels_n)
{
    return channels_n < VIEW_CHANNELS_MAX ? channels_n : VIEW_CHANNELS_MAX;
}

static void fill_channel(Regent__Observation__Channel *m, const struct view_channel *c)
{
    regent__observation__channel__init(m);
    m->name = fields_bytes(c->name);
    m->source_host = fields_bytes(c->source_host);
    m->source_port = c->source_port;
    m->source_server_id = c->source_server_id;
    m->io = (uint32_t)c->io;
    m->applier = c->applier;
    m->io_errno = c->io_errno;
    m->sql_errno = c->sql_errno;
    m->error = fields_bytes(c->error);
    m->received = fields_bytes(c->received);
    m->heartbeats = c->heartbeats;
    m->heartbeat_period_ms = c->heartbeat_period_ms;
    m->receive_mark = c->receive_mark;
    m->gtid = c->gtid;
    m->lag_ms = c->lag_ms;
    m->idle_ms = c->idle_ms;
}

static void fill_flow(Regent__Observation__Flow *m, const struct view_facts *f)
{
    regent__observation__flow__init(m);
    m->yes_tx = f->yes_tx;
    m->stalled_ms = f->stalled_ms;
    m->acked_ms = f->acked_ms;
}

static void fill_facts(struct parts *p, const struct view_facts *f)
{
    Regent__Observation__Facts *m = &p->facts;

    regent__observation__facts__init(m);
    m->version = fields_bytes(f->version);
    m->supported = f->supported;
    m->server_id = f->server_id;
    m->identity = fields_bytes(f->identity);
    m->token = f->token;
    m->fence_epoch = f->fence_epoch;
    m->started_s = f->started_s;
    m->read_only = f->read_only;
    m->executed = fields_bytes(f->executed);
    m->binlog = fields_bytes(f->binlog);
    m->source_enabled = f->source_enabled;
    m->replica_enabled = f->replica_enabled;
    m->source_on = f->source_on;
    m->replica_on = f->replica_on;
    m->source_clients = f->source_clients;
    m->no_tx = f->no_tx;
    m->wait_sessions = f->wait_sessions;
    m->source_timeout_ms = f->source_timeout_ms;
    m->after_sync = f->after_sync;
    m->wait_no_replica = f->wait_no_replica;
    m->kill_conn_timeout_s = f->kill_conn_timeout_s;
    m->durable = f->durable;
    m->relay_durable = f->relay_durable;
    m->log_replica_updates = f->log_replica_updates;
    m->gtid_strict = f->gtid_strict;
    m->binlog_on = f->binlog_on;
    m->channels_n = f->channels_n;
    fill_flow(&p->flow, f);
    m->flow = &p->flow;
    m->n_channels = described(f->channels_n);
    m->channels = p->pointers;
    for (uint8_t i = 0; i < m->n_channels; i++) {
        fill_channel(&p->channels[i], &f->channels[i]);
        p->pointers[i] = &p->channels[i];
    }
}

static void fill_server(struct parts *p, const char *name, const struct view_observation *o)
{
    Regent__Observation__Server *m = &p->server;

    regent__observation__server__init(m);
    m->name = fields_bytes(name);
    m->outcome = (uint32_t)o->outcome;
    m->age_ms = o->age_ms;
    m->ok_age_ms = o->ok_age_ms;
    m->alive_age_ms = o->alive_age_ms;
    m->refused_n = o->refused_n;
    m->refused_span_ms = o->refused_span_ms;
    m->failing_ms = o->failing_ms;
    m->took_ms = o->took_ms;
    m->error = fields_bytes(o->error);
    if (!o->facts.set) return;
    fill_facts(p, &o->facts);
    m->facts = &p->facts;
}

int proto_observation_encode(const struct proto_observation *o, void **data, size_t *size)
{
    Regent__Observation__Observation m = REGENT__OBSERVATION__OBSERVATION__INIT;
    Regent__Observation__Server *servers[FSM_SERVERS_MAX];
    struct parts parts[FSM_SERVERS_MAX];

    MUST(o->servers_n <= FSM_SERVERS_MAX);
    m.manager_id = o->manager_id;
    m.term = o->term;
    m.manager = fields_bytes(o->manager);
    m.cluster = fields_bytes(o->cluster);
    m.declaration = o->declaration;
    m.sent_us = o->sent.us;
    for (uint8_t i = 0; i < o->servers_n; i++) {
        fill_server(&parts[i], o->names[i], &o->servers[i]);
        servers[i] = &parts[i].server;
    }
    m.n_servers = o->servers_n;
    m.servers = servers;
    return fields_pack(&m.base, data, size);
}

/* --- decoding --- */

/* Ages are added to one another: what no manager can mean is as old as can be, or not known. */
static int64_t read_ms(int64_t ms)
{
    return ms < 0 ? -1 : ms < MS_MAX ? ms : MS_MAX;
}

static void read_channel(struct fields *f, const Regent__Observation__Channel *m, struct view_channel *c)
{
    FIELDS_TEXT(f, m->name, c->name);
    FIELDS_TEXT(f, m->source_host, c->source_host);
    c->source_port = (uint16_t)fields_below(f, "source_port", m->source_port, UINT16_MAX + 1u);
    c->source_server_id = m->source_server_id;
    c->io = (enum view_io)fields_below(f, "io", m->io, VIEW_IO_YES + 1);
    c->applier = m->applier;
    c->io_errno = m->io_errno;
    c->sql_errno = m->sql_errno;
    FIELDS_TEXT(f, m->error, c->error);
    FIELDS_TEXT(f, m->received, c->received);
    c->heartbeats = m->heartbeats;
    c->heartbeat_period_ms = m->heartbeat_period_ms;
    c->receive_mark = m->receive_mark;
    c->gtid = m->gtid;
    c->lag_ms = m->lag_ms;
    c->idle_ms = read_ms(m->idle_ms);
}

static void read_channels(struct fields *f, const Regent__Observation__Facts *m, struct view_facts *facts)
{
    facts->channels_n = (uint8_t)fields_below(f, "channels_n", m->channels_n, UINT8_MAX + 1u);
    if (m->n_channels != described(facts->channels_n)) {
        fields_fail(f, -EPROTO, "channels", "are not as many as said");
        facts->channels_n = 0;
        return;
    }
    for (size_t i = 0; i < m->n_channels; i++) read_channel(f, m->channels[i], &facts->channels[i]);
}

/* A manager of an older version cannot tell. */
static void read_flow(const Regent__Observation__Flow *m, struct view_facts *facts)
{
    facts->yes_tx = m != NULL ? m->yes_tx : 0;
    facts->stalled_ms = m != NULL ? read_ms(m->stalled_ms) : -1;
    facts->acked_ms = m != NULL ? read_ms(m->acked_ms) : -1;
}

static void read_facts(struct fields *f, const Regent__Observation__Facts *m, struct view_facts *facts)
{
    facts->set = true;
    FIELDS_TEXT(f, m->version, facts->version);
    facts->supported = m->supported;
    facts->server_id = m->server_id;
    FIELDS_TEXT(f, m->identity, facts->identity);
    facts->token = m->token;
    facts->fence_epoch = m->fence_epoch;
    facts->started_s = m->started_s;
    facts->read_only = m->read_only;
    FIELDS_TEXT(f, m->executed, facts->executed);
    FIELDS_TEXT(f, m->binlog, facts->binlog);
    facts->source_enabled = m->source_enabled;
    facts->replica_enabled = m->replica_enabled;
    facts->source_on = m->source_on;
    facts->replica_on = m->replica_on;
    facts->source_clients = m->source_clients;
    facts->no_tx = m->no_tx;
    facts->wait_sessions = m->wait_sessions;
    facts->source_timeout_ms = m->source_timeout_ms;
    facts->after_sync = m->after_sync;
    facts->wait_no_replica = m->wait_no_replica;
    facts->kill_conn_timeout_s = m->kill_conn_timeout_s;
    facts->durable = m->durable;
    facts->relay_durable = m->relay_durable;
    facts->log_replica_updates = m->log_replica_updates;
    facts->gtid_strict = m->gtid_strict;
    facts->binlog_on = m->binlog_on;
    read_flow(m->flow, facts);
    read_channels(f, m, facts);
}

static void read_server(struct fields *f, const Regent__Observation__Server *m, struct view_observation *o)
{
    o->outcome = (enum view_outcome)fields_below(f, "outcome", m->outcome, VIEW_OUTCOMES_N);
    o->age_ms = read_ms(m->age_ms);
    o->ok_age_ms = read_ms(m->ok_age_ms);
    o->alive_age_ms = read_ms(m->alive_age_ms);
    o->took_ms = read_ms(m->took_ms);
    o->refused_n = m->refused_n;
    o->refused_span_ms = read_ms(m->refused_span_ms);
    o->failing_ms = read_ms(m->failing_ms);
    FIELDS_TEXT(f, m->error, o->error);
    if (m->facts != NULL) read_facts(f, m->facts, &o->facts);
}

static void read_observation(struct fields *f, const Regent__Observation__Observation *m, struct proto_observation *o)
{
    o->manager_id = m->manager_id;
    o->term = m->term;
    FIELDS_TEXT(f, m->manager, o->manager);
    FIELDS_TEXT(f, m->cluster, o->cluster);
    o->declaration = m->declaration;
    o->sent.us = m->sent_us > 0 && m->sent_us < SENT_US_MAX ? m->sent_us : 0;
    o->servers_n = (uint8_t)fields_count(f, "servers", m->n_servers, FSM_SERVERS_MAX);
    for (uint8_t i = 0; i < o->servers_n; i++) {
        memset(&o->servers[i], 0, sizeof(o->servers[i]));
        FIELDS_TEXT(f, m->servers[i]->name, o->names[i]);
        read_server(f, m->servers[i], &o->servers[i]);
    }
}

int proto_observation_decode(struct proto_observation *o, const void *data, size_t size, struct err *e)
{
    struct fields f = {.e = e, .what = "observation"};
    ProtobufCMessage *m;

    memset(o, 0, proto_observation_size(0));
    m = fields_unpack(&f, &regent__observation__observation__descriptor, data, size, OBSERVATION_SIZE_MAX);
    if (m != NULL) read_observation(&f, (const Regent__Observation__Observation *)m, o);
    if (f.code != 0) memset(o, 0, sizeof(*o));
    if (m == NULL) return f.code;
    protobuf_c_message_free_unpacked(m, NULL);
    return f.code;
}
