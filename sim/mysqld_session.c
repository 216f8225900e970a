/* Sessions of a simulated server: logins, requests, KILL, the user lock. See mysqld_private.h.
 *
 * Happy path: the stream is accepted, a login is answered, each request runs and is answered. A request that comes
 * while one runs waits, as in a socket. Failure modes: the peer goes away: what runs goes on to its end (nobody looks
 * at the socket meanwhile), then the session ends and gives its user lock back; KILL: see session_kill(). */
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_program.h"

static void session_take(struct session *s, struct sim_blob *blob);

/* --- life ------------------------------------------------------------------------------------------------------- */

static void session_free(struct session *s)
{
    struct mysqld *m = s->m;
    sim_cancel(m->sim, &s->event);
    sim_cancel(m->sim, &s->wake);
    sim_cancel(m->sim, &s->idle_event);
    for (unsigned i = 0; i < s->queued_n; i++) sim_blob_unref(s->queued[i]);
    if (s->reply) sim_blob_unref(&s->reply->head.blob);
    literals_drop(s->frame.literals);
    if (s->next) s->next->prev = s->prev;
    if (s->prev) s->prev->next = s->next;
    else m->sessions = s->next;
    m->sessions_n--;
    free(s);
}

/* --- user locks -------------------------------------------------------------------------------------------------- */

static unsigned lock_find(struct mysqld *m, const char *name)
{
    for (unsigned i = 0; i < USER_LOCKS_MAX; i++) {
        if (m->locks[i].name[0] == '\0') MUST(TEXT_COPY(m->locks[i].name, name));
        if (text_equal(m->locks[i].name, name)) return i;
    }
    not_understood("more user locks than the model has", name, "");
}

bool lock_take(struct session *s, const char *name)
{
    unsigned i = lock_find(s->m, name);
    s->wait_lock = i;
    if (!s->m->locks[i].owner) s->m->locks[i].owner = s;
    return s->m->locks[i].owner == s;
}

const struct session *lock_owner(struct mysqld *m, const char *name)
{
    return m->locks[lock_find(m, name)].owner;
}

static void lock_release_at(struct session *s, unsigned i)
{
    struct session *oldest = NULL;
    if (s->m->locks[i].owner != s) return;
    s->m->locks[i].owner = NULL;
    for (struct session *other = s->m->sessions; other; other = other->next)
        if (other != s && other->wait == WAIT_LOCK && other->wait_lock == i) oldest = other;
    if (oldest) session_wake(oldest);
}

void lock_release(struct session *s, const char *name)
{
    lock_release_at(s, lock_find(s->m, name));
}

static void locks_release(struct session *s)
{
    for (unsigned i = 0; i < USER_LOCKS_MAX; i++) lock_release_at(s, i);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

void session_end(struct session *s)
{
    if (s->stream) sim_stream_close(s->stream);
    s->stream = NULL;
    locks_release(s);
    session_free(s);
}

void sessions_free(struct mysqld *m)
{
    while (m->sessions) session_free(m->sessions); /* Their streams died with the process. */
    for (unsigned i = 0; i < USER_LOCKS_MAX; i++) m->locks[i].owner = NULL;
    m->read_only_waiter = NULL;
}

struct session *session_find(struct mysqld *m, uint64_t id)
{
    struct session *s = m->sessions;
    while (s && s->id != id) s = s->next;
    return s;
}

static void end_event(void *arg)
{
    struct session *s = arg;
    s->event = 0;
    session_end(s);
}

/* An idle session ends at once. One that waits for a lock ends; one that waits for an ack stops waiting; one that waits
 * for a thread to end goes on until it has. */
void session_kill(struct session *s, enum kill kill)
{
    struct mysqld *m = s->m;
    if (s->dump) {
        (void)source_kill(m, s->id);
        return;
    }
    if (kill > s->kill) s->kill = kill;
    if (!s->is_busy) {
        if (kill == KILL_ONE_QUERY) s->kill = KILL_NONE;
        else if (s->event == 0) s->event = sim_after(m->sim, m->node, work_us(m, 20, 200), end_event, s);
        return;
    }
    if (s->wait == WAIT_COMMIT) commit_look_soon(m);
    if (s->wait == WAIT_LOCK || s->wait == WAIT_READ_ONLY || s->wait == WAIT_WRITE) session_wake(s);
}

/* --- requests --------------------------------------------------------------------------------------------------- */

static void send_reply(struct session *s)
{
    struct wire_reply *reply = s->reply;
    s->reply = NULL;
    if (s->stream) (void)sim_stream_send(s->stream, &reply->head.blob);
    else sim_blob_unref(&reply->head.blob);
}

static void idle_look(void *arg)
{
    struct session *s = arg;
    int64_t now = sim_now_us(s->m->sim), ends = s->idle_us + (int64_t)s->wait_timeout_s * SIM_S;
    s->idle_event = 0;
    if (!s->is_busy && now >= ends && s->event == 0) {
        session_end(s);
        return;
    }
    if (s->is_busy || ends <= now) ends = now + (int64_t)s->wait_timeout_s * SIM_S;
    s->idle_event = sim_at(s->m->sim, s->m->node, ends, idle_look, s);
}

/* Between two requests. The session may be gone when it returns. */
static void session_idle(struct session *s)
{
    s->is_busy = false;
    s->idle_us = sim_now_us(s->m->sim);
    if (s->kill == KILL_ONE_QUERY) s->kill = KILL_NONE;
    if (s->kill == KILL_SESSION) {
        session_end(s);
        return;
    }
    if (s->queued_n > 0) {
        struct sim_blob *blob = s->queued[0];
        memmove(&s->queued[0], &s->queued[1], --s->queued_n * sizeof(s->queued[0]));
        session_take(s, blob);
        sim_blob_unref(blob);
        return;
    }
    if (!s->stream) {
        session_end(s);
        return;
    }
    bool is_short = s->wait_timeout_s < 3600;
    if (is_short && s->idle_event == 0)
        s->idle_event = sim_after(s->m->sim, s->m->node, (int64_t)s->wait_timeout_s * SIM_S, idle_look, s);
}

void session_answer(struct session *s)
{
    struct frame *f = &s->frame;
    struct db_result *r = &s->reply->result;
    if (s->kill != KILL_SESSION) {
        if (f->error != 0) {
            r->status = DB_ERROR;
            r->code = f->error;
            (void)TEXT_COPY(r->error, f->error_text);
        }
        send_reply(s);
    }
    literals_drop(f->literals);
    f->literals = NULL;
    session_idle(s);
}

static void begin_event(void *arg)
{
    struct session *s = arg;
    s->event = 0;
    session_run(s);
}

static void begin_query(struct session *s, const struct wire_query *query)
{
    struct frame *f = &s->frame;
    MUST(!f->literals && !s->reply);
    f->program = program_of(query->sql, query->size, &f->literals);
    f->pc = f->statement_end = 0;
    f->depth = f->stage = 0;
    f->sets_n = 0;
    f->error = f->pending_error = 0;
    f->error_text[0] = '\0';
    for (unsigned i = 0; i < LOCALS_MAX; i++) f->locals[i] = (struct value){0};
    if (f->program->guard_token >= 0) s->guard_token = (uint64_t)f->literals->v[f->program->guard_token].number;
    if (f->program->guard_term >= 0) s->guard_term = (uint64_t)f->literals->v[f->program->guard_term].number;
    for (unsigned i = 0; i < USER_VARS_MAX; i++)
        if (s->vars[i].value.kind == VALUE_TEXT) s->vars[i].value = (struct value){0}; /* Its text is gone. */
    (void)TEXT_COPY(s->statement, query->sql);
    s->reply = wire_reply_new();
    s->timed_out = false;
    s->waited_us = 0;
    s->event = sim_after(s->m->sim, s->m->node, s->m->now.statement_us, begin_event, s);
}

static enum account account_of(const char *user)
{
    if (text_equal(user, WIRE_USER_PROBE)) return ACCOUNT_PROBE;
    if (text_equal(user, WIRE_USER_CONTROL)) return ACCOUNT_CONTROL;
    if (text_equal(user, WIRE_USER_REPLICATION)) return ACCOUNT_REPLICATION;
    if (text_equal(user, WIRE_USER_CLIENT)) return ACCOUNT_CLIENT;
    return ACCOUNT_ROOT;
}

static unsigned login_error(const struct session *s, const struct wire_login *login)
{
    const struct mysqld *m = s->m;
    bool is_refused = m->refused_user[0] == '\0' || text_equal(m->refused_user, login->user);
    if (m->refuse_code != 0 && is_refused) return m->refuse_code;
    enum account account = account_of(login->user);
    bool is_admin = account == ACCOUNT_ROOT || account == ACCOUNT_CONTROL; /* CONNECTION ADMIN */
    unsigned room = m->now.max_connections + (is_admin ? 1 : 0);
    if (m->sessions_n > room) return 1040;
    if (!text_equal(login->password, WIRE_PASSWORD)) return 1045;
    return 0;
}

static void login_event(void *arg)
{
    struct session *s = arg;
    s->event = 0;
    bool is_refused = s->reply->result.status != DB_OK;
    s->is_in = !is_refused;
    send_reply(s);
    if (is_refused) session_end(s);
    else session_idle(s);
}

static void take_login(struct session *s, const struct wire_login *login)
{
    unsigned code = login_error(s, login);
    (void)TEXT_COPY(s->user, login->user);
    s->account = account_of(login->user);
    s->reply = wire_reply_new();
    if (code != 0) {
        s->reply->result.status = DB_ERROR;
        s->reply->result.code = code;
        (void)TEXT_COPY(s->reply->result.error, code == 1040 ? "Too many connections" : "Access denied");
    }
    s->is_busy = true;
    s->event = sim_after(s->m->sim, s->m->node, work_us(s->m, 50, 300), login_event, s);
}

static void take_kill(struct session *s, const struct peer_message *message)
{
    (void)source_kill(s->m, message->thread_id);
    s->reply = wire_reply_new();
    send_reply(s);
}

/* Borrows the blob. */
static void session_take(struct session *s, struct sim_blob *blob)
{
    const struct wire_head *head = (const struct wire_head *)blob;
    if (!s->is_busy && s->kill == KILL_SESSION) return; /* It was killed, and its end is on the way. */
    if (s->is_busy) {
        MUST(s->queued_n < QUEUED_MAX);
        sim_blob_ref(blob);
        s->queued[s->queued_n++] = blob;
        return;
    }
    if (head->kind == WIRE_LOGIN) {
        take_login(s, (const struct wire_login *)blob);
        return;
    }
    if (s->kill == KILL_SESSION) return; /* It ends in a moment. */
    if (head->kind == WIRE_OTHER) {
        const struct peer_message *message = (const struct peer_message *)blob;
        if (message->kind == PEER_REQUEST) source_begin(s, blob);
        if (message->kind == PEER_KILL) take_kill(s, message);
        return;
    }
    MUST(head->kind == WIRE_QUERY && s->is_in);
    s->is_busy = true;
    begin_query(s, (const struct wire_query *)blob);
}

/* --- streams ---------------------------------------------------------------------------------------------------- */

static void on_received(void *arg, struct sim_blob *blob)
{
    struct session *s = arg;
    const struct wire_head *head = (const struct wire_head *)blob;
    if (s->dump && head->kind == WIRE_OTHER) {
        const struct peer_message *message = (const struct peer_message *)blob;
        MUST(message->kind == PEER_ACK);
        source_acked(s, message->index);
        return;
    }
    session_take(s, blob);
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct session *s = arg;
    (void)why;
    s->stream = NULL;
    if (s->dump) source_closed(s);
    else if (!s->is_busy && s->event == 0) session_end(s);
}

static const struct sim_stream_ops session_ops = {.received = on_received, .closed = on_closed};

static bool on_accept(void *arg, struct sim_stream *stream, sim_node from)
{
    struct mysqld *m = arg;
    (void)from;
    if (m->sessions_n >= SESSIONS_MAX) return false;
    struct session *s = calloc(1, sizeof(*s));
    MUST(s);
    s->m = m;
    s->stream = stream;
    s->id = ++m->next_session_id;
    s->log_bin = true;
    s->lock_wait_s = 86400;
    s->wait_timeout_s = 28800;
    s->next = m->sessions;
    if (m->sessions) m->sessions->prev = s;
    m->sessions = s;
    m->sessions_n++;
    sim_stream_take(stream, &session_ops, s);
    return true;
}

void sessions_listen(struct mysqld *m)
{
    sim_listen(m->sim, m->node, on_accept, m);
}
