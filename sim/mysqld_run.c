/* Performs programs: flow, values, statements. See mysqld_program.h.
 *
 * session_run() performs operations until the program ends or one has to wait; then the operation is performed again,
 * with a higher frame.stage, when it is woken. What changes the server takes a moment before it acts, so that a freeze
 * or a kill may fall between a guard and what it guards, as it may in a real server. */
#include <stdlib.h>
#include <string.h>

#include "sim/mysqld_program.h"

enum outcome { GOES_ON, WAITS, ENDED, HANDLED /* An error, by a handler of the text. */ };

/* --- stack ------------------------------------------------------------------------------------------------------ */

static void push(struct frame *f, struct value v)
{
    MUST(f->depth < STACK_MAX);
    f->stack[f->depth++] = v;
}

static struct value pop(struct frame *f)
{
    MUST(f->depth > 0);
    return f->stack[--f->depth];
}

static uint64_t pop_number(struct frame *f)
{
    struct value v = pop(f);
    return (uint64_t)v.number;
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

static bool handles(const struct frame *f, const struct handler *h, unsigned code)
{
    if (f->pc < h->from || f->pc >= h->to) return false;
    for (unsigned i = 0; i < h->codes_n; i++)
        if ((unsigned)f->literals->v[h->codes[i]].number == code) return true;
    return h->codes_n == 0;
}

/* The innermost handler takes it; without one the text ends here. */
static enum outcome fail(struct session *s, unsigned code, const char *text)
{
    struct frame *f = &s->frame;
    const struct handler *best = NULL;
    for (unsigned i = 0; i < f->program->handlers_n; i++) {
        const struct handler *h = &f->program->handlers[i];
        if (handles(f, h, code) && (!best || h->from > best->from)) best = h;
    }
    sim_cancel(s->m->sim, &s->event);
    s->wait = WAIT_NONE;
    s->reply->result.sets_n = f->sets_n; /* A set that was begun does not count. */
    f->stage = 0;
    f->depth = 0;
    if (best) {
        f->pending_error = best->is_exit ? code : 0;
        f->pc = best->is_exit ? best->target : f->statement_end;
        return HANDLED;
    }
    f->error = code;
    (void)TEXT_COPY(f->error_text, text);
    return ENDED;
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static void on_event(void *arg)
{
    struct session *s = arg;
    s->event = 0;
    if (s->wait != WAIT_TIME) s->timed_out = true;
    if (s->wait == WAIT_READ_ONLY) read_only_abandon(s);
    session_run(s);
}

static enum outcome wait_for(struct session *s, enum wait wait, int64_t timeout_us)
{
    s->wait = wait;
    s->timed_out = false;
    sim_cancel(s->m->sim, &s->event);
    if (timeout_us >= 0) s->event = sim_after(s->m->sim, s->m->node, timeout_us, on_event, s);
    return WAITS;
}

static void on_wake(void *arg)
{
    struct session *s = arg;
    s->wake = 0;
    if (s->is_busy) session_run(s);
}

void session_wake(struct session *s)
{
    if (s->wake == 0) s->wake = sim_after(s->m->sim, s->m->node, 0, on_wake, s);
}

/* The moment before a change. True once it has passed. */
static bool is_due(struct session *s, int64_t us)
{
    struct frame *f = &s->frame;
    if (f->stage > 0) return true;
    f->stage = 1;
    (void)wait_for(s, WAIT_TIME, us);
    return false;
}

static enum outcome next(struct session *s)
{
    if (s->event != 0) sim_cancel(s->m->sim, &s->event);
    s->frame.stage = 0;
    s->frame.pc++;
    s->wait = WAIT_NONE;
    return GOES_ON;
}

/* --- values ----------------------------------------------------------------------------------------------------- */

struct value number(int64_t n)
{
    return (struct value){VALUE_NUMBER, 0, n, NULL};
}

struct value text_value(const char *text)
{
    return (struct value){VALUE_TEXT, 0, 0, text};
}

static __int128 millionths(const struct value *v)
{
    if (v->kind == VALUE_TEXT) return (__int128)strtoll(v->text, NULL, 10) * 1000000;
    return v->decimals ? (__int128)v->number : (__int128)v->number * 1000000;
}

bool value_is_true(const struct value *v)
{
    return v->kind != VALUE_NULL && millionths(v) != 0;
}

static int compare(const struct value *a, const struct value *b)
{
    if (a->kind == VALUE_TEXT && b->kind == VALUE_TEXT) return strcasecmp(a->text, b->text);
    __int128 x = millionths(a), y = millionths(b);
    return x < y ? -1 : x > y;
}

static bool are_equal(const struct value *a, const struct value *b)
{
    if (a->kind == VALUE_TEXT && b->kind == VALUE_TEXT)
        return strcmp(a->text, b->text) == 0 ||
               (strlen(a->text) == strlen(b->text) && strcasecmp(a->text, b->text) == 0);
    return compare(a, b) == 0;
}

static void perform_comparison(struct frame *f, enum op op)
{
    struct value b = pop(f), a = pop(f);
    bool has_null = a.kind == VALUE_NULL || b.kind == VALUE_NULL;
    if (op == OP_SAFE_EQUAL) {
        push(f, number(has_null ? a.kind == b.kind : are_equal(&a, &b)));
        return;
    }
    if (has_null) {
        push(f, (struct value){0});
        return;
    }
    int c = op == OP_EQUAL ? !are_equal(&a, &b) : compare(&a, &b);
    bool is = op == OP_EQUAL ? c == 0 : op == OP_NOT_EQUAL ? c != 0 : op == OP_LESS ? c < 0 : op == OP_GREATER ? c > 0
              : op == OP_LESS_EQUAL ? c <= 0 : c >= 0;
    push(f, number(is));
}

static void perform_sum(struct frame *f, bool is_plus)
{
    struct value b = pop(f), a = pop(f);
    if (a.kind == VALUE_NULL || b.kind == VALUE_NULL) {
        push(f, (struct value){0});
        return;
    }
    __int128 x = millionths(&a), y = millionths(&b), sum = is_plus ? x + y : x - y;
    bool has_fraction = a.decimals || b.decimals;
    push(f, (struct value){VALUE_NUMBER, has_fraction ? 6 : 0, (int64_t)(has_fraction ? sum : sum / 1000000), NULL});
}

static void perform_logic(struct frame *f, enum op op)
{
    struct value b = pop(f), a = pop(f);
    bool is_a = value_is_true(&a), is_b = value_is_true(&b);
    bool has_null = a.kind == VALUE_NULL || b.kind == VALUE_NULL;
    bool is = op == OP_AND ? is_a && is_b : is_a || is_b;
    bool has_false = (a.kind != VALUE_NULL && !is_a) || (b.kind != VALUE_NULL && !is_b);
    bool is_known = !has_null || (op == OP_OR ? is : has_false);
    push(f, is_known ? number(is) : (struct value){0});
}

/* The value on the stack among others, which are taken from it when they lie there. */
static void perform_in(struct frame *f, const struct value *values, unsigned n, bool on_stack)
{
    bool found = false;
    if (on_stack) f->depth -= n;
    MUST(f->depth > 0);
    struct value v = pop(f);
    for (unsigned i = 0; i < n && !found && v.kind != VALUE_NULL; i++)
        found = values[i].kind != VALUE_NULL && are_equal(&v, &values[i]);
    push(f, v.kind == VALUE_NULL ? v : number(found));
}

char *reply_text(struct session *s, size_t size)
{
    return arena_alloc(&s->reply->arena, size);
}

const char *text_of_number(struct session *s, const struct value *v)
{
    static const char *const small[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    char digits[32];
    unsigned n = sizeof(digits);
    if (v->decimals == 0 && v->number >= 0 && v->number < (int64_t)ARRAY_LEN(small)) return small[v->number];
    bool is_negative = v->number < 0 && v->kind == VALUE_NUMBER;
    uint64_t left = is_negative ? (uint64_t)0 - (uint64_t)v->number : (uint64_t)v->number;
    unsigned decimals = v->decimals;
    digits[--n] = '\0';
    do {
        digits[--n] = (char)('0' + left % 10);
        left /= 10;
        if (decimals > 0 && --decimals == 0) digits[--n] = '.';
    } while (left > 0 || decimals > 0 || digits[n] == '.');
    if (is_negative) digits[--n] = '-';
    char *to = reply_text(s, sizeof(digits) - n);
    memcpy(to, &digits[n], sizeof(digits) - n);
    return to;
}

static const char *text_of(struct session *s, const struct value *v)
{
    if (v->kind == VALUE_NULL) return NULL;
    if (v->kind != VALUE_TEXT) return text_of_number(s, v);
    size_t size = strlen(v->text) + 1;
    return memcpy(reply_text(s, size), v->text, size);
}

static struct value concatenated(struct session *s, const struct value *v, unsigned n)
{
    char room[SERVER_ERROR_SIZE];
    struct text t = TEXT_ON(room);
    for (unsigned i = 0; i < n; i++) {
        if (v[i].kind == VALUE_NULL) return (struct value){0};
        text_add(&t, text_of(s, &v[i]));
    }
    struct value all = text_value(room);
    return text_value(text_of(s, &all));
}

static struct value current_user(struct session *s)
{
    struct value v[] = {text_value(s->user), text_value("@%")};
    return concatenated(s, v, 2);
}

static struct value used_lock(const struct session *s, const char *name)
{
    const struct session *owner = lock_owner(s->m, name);
    return owner ? number((int64_t)owner->id) : (struct value){0};
}

static struct value give_lock(struct session *s, const char *name)
{
    const struct session *owner = lock_owner(s->m, name);
    lock_release(s, name);
    return owner ? number(owner == s) : (struct value){0};
}

static enum outcome get_lock(struct session *s, const struct value *v, unsigned n)
{
    struct frame *f = &s->frame;
    bool is_taken = lock_take(s, v[0].text);
    int64_t timeout_s = n > 1 ? v[1].number : 0;
    if (!is_taken && timeout_s > 0 && !s->timed_out) {
        if (f->stage++ > 0) return WAITS; /* Woken, and another was first: the time-out goes on. */
        return wait_for(s, WAIT_LOCK, timeout_s * SIM_S);
    }
    s->timed_out = false;
    f->depth -= n;
    push(f, number(is_taken));
    return next(s);
}

static struct value greatest(const struct value *v)
{
    if (v[0].kind == VALUE_NULL || v[1].kind == VALUE_NULL) return (struct value){0};
    return compare(&v[0], &v[1]) >= 0 ? v[0] : v[1];
}

static struct value left_of(struct session *s, const struct value *v)
{
    if (v[0].kind == VALUE_NULL) return v[0];
    const char *text = text_of(s, &v[0]);
    size_t n = strnlen(text, (size_t)v[1].number);
    char *to = reply_text(s, n + 1);
    memcpy(to, text, n);
    to[n] = '\0';
    return text_value(to);
}

static enum outcome perform_call(struct session *s, enum call call, unsigned n)
{
    struct frame *f = &s->frame;
    struct value result = {0};
    unsigned taken = call == CALL_CONSTANT ? 0 : n;
    MUST(f->depth >= taken);
    const struct value *v = &f->stack[f->depth - taken];
    switch (call) {
    case CALL_NOW: result = number(sim_wall(s->m->sim, s->m->node).us / SIM_S); break;
    case CALL_NOW_MICRO: result = (struct value){VALUE_NUMBER, 6, sim_wall(s->m->sim, s->m->node).us, NULL}; break;
    case CALL_CONNECTION_ID: result = number((int64_t)s->id); break;
    case CALL_IS_USED_LOCK: result = used_lock(s, v[0].text); break;
    case CALL_GET_LOCK: return get_lock(s, v, n);
    case CALL_RELEASE_LOCK: result = give_lock(s, v[0].text); break;
    case CALL_IFNULL: result = v[0].kind == VALUE_NULL ? v[1] : v[0]; break;
    case CALL_GREATEST: result = greatest(v); break;
    case CALL_VERSION: result = text_value(s->m->now.version); break;
    case CALL_CURRENT_USER: result = current_user(s); break;
    case CALL_CONCAT: result = concatenated(s, v, n); break;
    case CALL_LEFT: result = left_of(s, v); break;
    case CALL_CONSTANT: result = number(n); break;
    }
    f->depth -= taken;
    push(f, result);
    return next(s);
}

/* The privileges of docs/accounts.md that the account lacks: NULL, or a list. */
__attribute__((noinline)) /* Its large frame is not for every operation. */
static void perform_privileges(struct session *s, unsigned n, uint32_t first)
{
    static const char *const granted[] = {"RELOAD", "PROCESS", "CONNECTION ADMIN", "READ_ONLY ADMIN", "BINLOG ADMIN",
                                          "REPLICATION MASTER ADMIN", "REPLICATION SLAVE ADMIN", "SLAVE MONITOR"};
    struct frame *f = &s->frame;
    char missing[SERVER_ERROR_SIZE];
    struct text t = TEXT_ON(missing);
    for (unsigned i = 0; i < n; i++) {
        const char *wanted = f->literals->v[first + i].text;
        bool is_granted = false;
        for (size_t g = 0; g < ARRAY_LEN(granted); g++) is_granted = is_granted || text_equal(granted[g], wanted);
        if (!is_granted || s->account < ACCOUNT_CONTROL || s->account == ACCOUNT_CLIENT)
            text_addf(&t, "%s%s", t.len ? "," : "", wanted);
    }
    struct value v = text_value(missing);
    push(f, t.len ? text_value(text_of(s, &v)) : (struct value){0});
}

static struct value *user_variable(struct session *s, const char *name)
{
    for (unsigned i = 0; i < USER_VARS_MAX; i++) {
        if (s->vars[i].name[0] == '\0') (void)TEXT_COPY(s->vars[i].name, name);
        if (text_equal(s->vars[i].name, name)) return &s->vars[i].value;
    }
    MUST_NOT_REACH();
}

/* --- sets ------------------------------------------------------------------------------------------------------- */

static void begin_set(struct session *s, unsigned columns_n, const char *const *names)
{
    struct db_result *r = &s->reply->result;
    MUST(r->sets_n < DB_SETS_MAX);
    r->sets[r->sets_n++] = (struct db_set){.columns_n = (uint16_t)columns_n, .names = names};
    s->frame.rows_room = 0;
}

static void add_row(struct session *s, unsigned columns_n)
{
    struct frame *f = &s->frame;
    struct db_set *set = &s->reply->result.sets[s->reply->result.sets_n - 1];
    const char **cells = (const char **)(uintptr_t)set->cells;
    if (set->rows_n == f->rows_room) {
        f->rows_room = f->rows_room ? f->rows_room * 2 : 2;
        MUST(f->rows_room <= DB_ROWS_MAX);
        cells = arena_alloc(&s->reply->arena, (size_t)f->rows_room * columns_n * sizeof(*cells));
        if (set->rows_n > 0) memcpy(cells, set->cells, (size_t)set->rows_n * columns_n * sizeof(*cells));
        set->cells = cells;
    }
    MUST(f->depth >= columns_n);
    f->depth -= columns_n;
    for (unsigned c = 0; c < columns_n; c++)
        cells[(size_t)set->rows_n * columns_n + c] = text_of(s, &f->stack[f->depth + c]);
    set->rows_n++;
}

/* --- statements ------------------------------------------------------------------------------------------------- */

static enum outcome perform_signal(struct session *s)
{
    struct value text = pop(&s->frame), code = pop(&s->frame);
    char copy[SERVER_ERROR_SIZE];
    (void)TEXT_COPY(copy, text.kind == VALUE_TEXT ? text.text : "Unhandled user-defined exception condition");
    return fail(s, (unsigned)code.number, copy);
}

static enum outcome perform_kill(struct session *s, enum kill kill)
{
    if (!is_due(s, work_us(s->m, 5, 60))) return WAITS;
    uint64_t id = pop_number(&s->frame);
    struct session *other = session_find(s->m, id);
    if (!other) return fail(s, 1094, "Unknown thread id");
    session_kill(other, kill);
    return next(s);
}

static void set_session(struct session *s, enum system name)
{
    int64_t n = pop(&s->frame).number;
    if (name == SYSTEM_SQL_LOG_BIN) s->log_bin = n != 0;
    if (name == SYSTEM_LOCK_WAIT) s->lock_wait_s = (uint32_t)n;
    if (name == SYSTEM_WAIT_TIMEOUT) s->wait_timeout_s = (uint32_t)n;
}

static unsigned set_slave_pos(struct mysqld *m, const struct value *v)
{
    struct pos pos;
    if (m->channel.io != IO_NO || m->channel.sql) return 1198;
    if (v->kind != VALUE_TEXT || !pos_parse(&pos, v->text)) return 1941;
    for (unsigned i = 0; i < pos.n; i++) {
        const struct gtid_domain *last = pos_find(&m->log.last, pos.d[i].domain);
        if (last && m->gtid_strict && last->seq > pos.d[i].seq) return 1947;
    }
    m->log.base = m->log.applied = pos;
    return 0;
}

static enum outcome set_read_only(struct session *s, bool on)
{
    struct frame *f = &s->frame;
    if (f->stage == 1) {
        f->stage = 2;
        if (!read_only_begin(s, on)) return wait_for(s, WAIT_READ_ONLY, (int64_t)s->lock_wait_s * SIM_S);
    }
    if (s->timed_out) {
        s->timed_out = false;
        f->depth--;
        return fail(s, 1205, "Lock wait timeout exceeded; try restarting transaction");
    }
    f->depth--;
    s->m->set_at_run_time[0] = true;
    mysqld_changed(s);
    return next(s);
}

static enum outcome set_global(struct session *s, enum system name)
{
    struct mysqld *m = s->m;
    struct frame *f = &s->frame;
    struct value v = f->stack[f->depth - 1];
    if (s->account < ACCOUNT_CONTROL || s->account == ACCOUNT_CLIENT) return fail(s, 1227, "Access denied");
    if (!is_due(s, work_us(m, 20, 100))) return WAITS;
    if (name == SYSTEM_READ_ONLY) return set_read_only(s, value_is_true(&v));
    f->depth--;
    switch (name) {
    case SYSTEM_SOURCE_ENABLED: commit_enable(m, value_is_true(&v)); break;
    case SYSTEM_REPLICA_ENABLED:
        m->replica_flag = value_is_true(&v);
        m->set_at_run_time[1] = true;
        break;
    case SYSTEM_SOURCE_TIMEOUT: m->source_timeout_ms = (uint64_t)v.number; break;
    case SYSTEM_WAIT_POINT: MUST(v.kind == VALUE_TEXT && text_equal(v.text, "AFTER_SYNC")); break;
    case SYSTEM_WAIT_NO_SLAVE: m->wait_no_slave = value_is_true(&v); break;
    case SYSTEM_KILL_CONN: m->kill_conn_timeout_s = (uint32_t)v.number; break;
    case SYSTEM_NET_TIMEOUT: m->now.slave_net_timeout_s = (uint32_t)v.number; break;
    case SYSTEM_STRICT: m->gtid_strict = value_is_true(&v); break;
    case SYSTEM_MAX_CONNECTIONS: m->now.max_connections = (unsigned)v.number; break;
    case SYSTEM_SLAVE_POS: {
        unsigned code = set_slave_pos(m, &v);
        if (code != 0) return fail(s, code, "gtid_slave_pos cannot be set");
        break;
    }
    case SYSTEM_SERVER_ID: case SYSTEM_READ_ONLY: case SYSTEM_CURRENT_POS: case SYSTEM_BINLOG_POS: case SYSTEM_LOG_BIN:
    case SYSTEM_LOG_UPDATES: case SYSTEM_SYNC_BINLOG: case SYSTEM_FLUSH_LOG: case SYSTEM_SYNC_RELAY:
    case SYSTEM_SQL_LOG_BIN: case SYSTEM_LOCK_WAIT: case SYSTEM_WAIT_TIMEOUT:
    case SYSTEM_IGNORED: case SYSTEMS_N:
        not_understood("a global variable that is not set in the model", "", "");
    }
    commit_look(m);
    mysqld_changed(s);
    return next(s);
}

static enum outcome check_channel(struct session *s, bool *is_fine)
{
    const struct value *name = &s->frame.stack[s->frame.depth - 1];
    *is_fine = name->kind == VALUE_NULL || name->text[0] == '\0';
    if (*is_fine) return GOES_ON;
    return fail(s, 1617, "There is no master connection of that name");
}

static enum outcome perform_threads(struct session *s, enum op op, unsigned threads)
{
    struct frame *f = &s->frame;
    bool is_fine;
    enum outcome outcome = check_channel(s, &is_fine);
    if (!is_fine) return outcome;
    int64_t us = op == OP_STOP ? work_us(s->m, 300, 3000) : work_us(s->m, 500, 3000) + 2 * fsync_us(s->m);
    if (!is_due(s, us)) return WAITS;
    if (op == OP_START) {
        unsigned code = replica_start_threads(s->m, threads & THREAD_IO, threads & THREAD_SQL);
        f->depth--;
        if (code != 0) return fail(s, code, "START SLAVE is not possible");
        mysqld_changed(s);
        return next(s);
    }
    f->stage++;
    if (!replica_stop(s, threads & THREAD_IO, threads & THREAD_SQL)) {
        s->wait = WAIT_REPLICA;
        return WAITS;
    }
    f->depth--;
    mysqld_changed(s);
    return next(s);
}

static enum outcome perform_reset(struct session *s)
{
    bool is_fine;
    enum outcome outcome = check_channel(s, &is_fine);
    if (!is_fine) return outcome;
    if (!is_due(s, 4 * fsync_us(s->m) + work_us(s->m, 500, 2000))) return WAITS;
    s->frame.depth--;
    unsigned code = replica_reset_all(s);
    if (code != 0) return fail(s, code, "RESET SLAVE ALL is not possible while a thread runs");
    mysqld_changed(s);
    return next(s);
}

static enum outcome perform_change(struct session *s, unsigned n)
{
    struct frame *f = &s->frame;
    bool is_fine;
    enum outcome outcome = check_channel(s, &is_fine);
    if (!is_fine) return outcome;
    if (!is_due(s, 6 * fsync_us(s->m) + work_us(s->m, 500, 2000))) return WAITS;
    f->depth--;
    unsigned code = replica_change(s, f->program, f->pc + 1, n);
    if (code != 0) return fail(s, code, "CHANGE MASTER is not possible while a thread runs");
    mysqld_changed(s);
    f->pc += n;
    return next(s);
}

/* --- writes ----------------------------------------------------------------------------------------------------- */

static bool may_write_read_only(const struct session *s)
{
    return s->account == ACCOUNT_CONTROL || s->account == ACCOUNT_ROOT;
}

/* Before a write: read_only, and one that is being switched on. Returns GOES_ON when it may write. */
static enum outcome before_write(struct session *s)
{
    struct mysqld *m = s->m;
    if (m->read_only && !may_write_read_only(s))
        return fail(s, 1290, "The MariaDB server is running with the --read-only option");
    if (!m->read_only_waiter || m->read_only_waiter == s) return GOES_ON;
    if (s->timed_out) {
        s->timed_out = false;
        return fail(s, 1205, "Lock wait timeout exceeded; try restarting transaction");
    }
    if (s->wait == WAIT_WRITE) return WAITS;
    return wait_for(s, WAIT_WRITE, (int64_t)s->lock_wait_s * SIM_S);
}

static enum outcome perform_commit(struct session *s, const struct mysqld_trx *t)
{
    struct frame *f = &s->frame;
    if (f->stage < 2) {
        enum outcome outcome = before_write(s);
        if (outcome != GOES_ON) return outcome;
        sim_cancel(s->m->sim, &s->event);
        f->stage = 2;
        s->wait = WAIT_COMMIT;
        commit_begin(s->m, s, t);
        return WAITS;
    }
    return next(s);
}

static struct mysqld_trx new_trx(const struct session *s, enum mysqld_trx_kind kind, uint64_t id, uint64_t token)
{
    return (struct mysqld_trx){.domain = s->m->now.domain_id, .server = s->m->now.server_id, .id = id, .token = token,
                               .kind = (uint8_t)kind};
}

/* A row that another transaction has written and not committed yet is waited for, as InnoDB does. */
static enum outcome check_row(struct session *s, uint64_t id, bool *is_fine)
{
    size_t at = log_find_row(&s->m->log, id);
    *is_fine = at == SIZE_MAX;
    if (*is_fine) return GOES_ON;
    bool is_waiting = at != LOG_UNLOGGED && !(s->m->log.e[at].t.flags & F_ENGINE);
    if (!is_waiting) return fail(s, 1062, "Duplicate entry for key 'PRIMARY'");
    int64_t now = sim_now_us(s->m->sim);
    if (s->waited_us == 0) s->waited_us = now;
    if (now - s->waited_us < 50 * SIM_S) return wait_for(s, WAIT_TIME, 20 * SIM_MS);
    s->waited_us = 0;
    return fail(s, 1205, "Lock wait timeout exceeded; try restarting transaction");
}

static enum outcome perform_write(struct session *s)
{
    struct frame *f = &s->frame;
    uint64_t id = (uint64_t)f->stack[f->depth - 1].number;
    if (f->stage < 2) {
        if (!is_due(s, work_us(s->m, 30, 150))) return WAITS;
        bool is_fine;
        enum outcome outcome = check_row(s, id, &is_fine);
        if (!is_fine) return outcome;
        s->waited_us = 0;
    }
    struct mysqld_trx t = new_trx(s, MYSQLD_TRX_WRITE, id, 0);
    enum outcome outcome = perform_commit(s, &t);
    if (outcome == GOES_ON) f->depth--;
    return outcome;
}

static enum outcome perform_reign(struct session *s)
{
    struct frame *f = &s->frame;
    if (f->stage == 0 && !s->m->has_reign) return fail(s, 1146, "Table 'regent.reign' doesn't exist");
    if (!is_due(s, work_us(s->m, 30, 150))) return WAITS;
    struct mysqld_trx t = new_trx(s, MYSQLD_TRX_REIGN, (uint64_t)f->stack[f->depth - 2].number,
                                  (uint64_t)f->stack[f->depth - 1].number);
    enum outcome outcome = perform_commit(s, &t);
    if (outcome == GOES_ON) f->depth -= 2;
    return outcome;
}

/* The fence row is local: nothing of it may be in the binlog. A server whose row was logged would spread it. */
static enum outcome before_fence(struct session *s)
{
    MUST(!s->log_bin); /* Production never writes it with the binlog on; the model has no such transaction. */
    if (!s->m->has_fence) return fail(s, 1146, "Table 'regent.fence' doesn't exist");
    return before_write(s);
}

static enum outcome perform_fence_update(struct session *s)
{
    struct frame *f = &s->frame;
    if (!is_due(s, fsync_us(s->m) + work_us(s->m, 20, 100))) return WAITS;
    enum outcome outcome = before_fence(s);
    if (outcome != GOES_ON) return outcome;
    uint64_t epoch = pop_number(f), term = pop_number(f), token = pop_number(f);
    if (!s->m->has_fence_row) return next(s);
    s->m->fence.token = token;
    s->m->fence.term = term;
    if (epoch > s->m->fence.epoch) s->m->fence.epoch = epoch;
    s->guard_token = token;
    s->guard_term = term;
    mysqld_changed(s);
    return next(s);
}

static enum outcome perform_fence_insert(struct session *s)
{
    struct frame *f = &s->frame;
    if (!is_due(s, fsync_us(s->m) + work_us(s->m, 20, 100))) return WAITS;
    enum outcome outcome = before_fence(s);
    if (outcome != GOES_ON) return outcome;
    uint64_t epoch = pop_number(f), token = pop_number(f);
    struct value identity = pop(f);
    if (s->m->has_fence_row) return next(s); /* INSERT IGNORE */
    s->m->has_fence_row = true;
    s->m->fence = (struct mysqld_fence){.token = token, .epoch = epoch};
    (void)TEXT_COPY(s->m->fence.identity, identity.text);
    mysqld_changed(s);
    return next(s);
}

static unsigned make(struct mysqld *m, enum ddl ddl, bool *is_new)
{
    bool *what = ddl == DDL_SCHEMA || ddl == DDL_SCHEMA_IF ? &m->has_schema
                 : ddl == DDL_FENCE || ddl == DDL_FENCE_IF ? &m->has_fence
                 : ddl == DDL_REIGN_IF ? &m->has_reign : &m->has_term;
    *is_new = !*what;
    if (!*is_new) return ddl == DDL_SCHEMA ? 1007 : ddl == DDL_FENCE ? 1050 : 0;
    if (what != &m->has_schema && !m->has_schema) return 1049;
    if (what == &m->has_term && !m->has_fence) return 1146;
    *what = true;
    if (what == &m->has_fence) m->has_term = true;
    return 0;
}

/* DDL is logged also when it changes nothing ("IF NOT EXISTS"), and then waits for an ack like any commit. */
static enum outcome perform_ddl(struct session *s, enum ddl ddl)
{
    struct frame *f = &s->frame;
    if (f->stage < 2) {
        if (!is_due(s, 3 * fsync_us(s->m) + work_us(s->m, 200, 1000))) return WAITS;
        enum outcome outcome = before_write(s);
        if (outcome != GOES_ON) return outcome;
        bool is_new;
        unsigned code = make(s->m, ddl, &is_new);
        if (code != 0) return fail(s, code, "DDL is not possible");
        if (!s->log_bin) return next(s);
    }
    struct mysqld_trx t = new_trx(s, MYSQLD_TRX_SCHEMA, (uint64_t)ddl, 0);
    return perform_commit(s, &t);
}

/* FLUSH BINARY LOGS needs the lock of the group that is being written, and that one may wait behind an ack. */
static enum outcome perform_flush(struct session *s)
{
    if (!is_due(s, fsync_us(s->m))) return WAITS;
    if (commit_waiting_n(s->m) > 0 || s->m->commits.logged.first) return wait_for(s, WAIT_TIME, 5 * SIM_MS);
    s->m->log.file_n++;
    s->m->log.file_pos = 4;
    return next(s);
}

/* --- the machine ------------------------------------------------------------------------------------------------ */

static bool perform_value(struct session *s, const struct code *c)
{
    struct frame *f = &s->frame;
    switch ((enum op)c->op) {
    case OP_LITERAL: push(f, f->literals->v[c->c]); return true;
    case OP_NULL: push(f, (struct value){0}); return true;
    case OP_LOCAL: push(f, f->locals[c->a]); return true;
    case OP_USER: push(f, *user_variable(s, f->program->names[c->c])); return true;
    case OP_SYSTEM: push(f, system_value(s, (enum system)c->a)); return true;
    case OP_COLUMN:
        push(f, table_cell(s, (enum table)f->cursors[c->a].table, f->cursors[c->a].row - 1, (enum column)c->b));
        return true;
    case OP_LOOP_VALUE: push(f, number((int64_t)f->loop_ids[f->loop_i - 1])); return true;
    case OP_EQUAL: case OP_SAFE_EQUAL: case OP_NOT_EQUAL: case OP_LESS: case OP_GREATER: case OP_LESS_EQUAL:
    case OP_GREATER_EQUAL: perform_comparison(f, (enum op)c->op); return true;
    case OP_ADD: case OP_SUBTRACT: perform_sum(f, c->op == OP_ADD); return true;
    case OP_AND: case OP_OR: perform_logic(f, (enum op)c->op); return true;
    case OP_NOT: {
        struct value v = pop(f);
        push(f, v.kind == VALUE_NULL ? v : number(!value_is_true(&v)));
        return true;
    }
    case OP_IS_NULL: push(f, number(pop(f).kind == VALUE_NULL)); return true;
    case OP_IN: perform_in(f, &f->stack[f->depth - c->b], c->b, true); return true;
    case OP_IN_LITERALS: perform_in(f, &f->literals->v[c->c], c->b, false); return true;
    case OP_ROWS_COUNT: push(f, number((int64_t)s->m->log.visible_n)); return true;
    case OP_PRIVILEGES: perform_privileges(s, c->b, c->c); return true;
    case OP_DROP: f->depth--; return true;
    case OP_SET_LOCAL: f->locals[c->a] = pop(f); return true;
    case OP_SET_USER: *user_variable(s, f->program->names[c->c]) = pop(f); return true;
    case OP_SET_SESSION: set_session(s, (enum system)c->a); return true;
    case OP_CALL: case OP_JUMP: case OP_JUMP_UNLESS: case OP_OPEN: case OP_NEXT: case OP_COUNT: case OP_MAX:
    case OP_TAKE_AGGREGATE: case OP_STATEMENT: case OP_SET_GLOBAL: case OP_SIGNAL: case OP_RESIGNAL: case OP_LOOP_BEGIN:
    case OP_LOOP_ADD: case OP_LOOP_NEXT: case OP_KILL: case OP_SET_BEGIN: case OP_ROW: case OP_SET_OK:
    case OP_SHOW_CHANNELS: case OP_STOP: case OP_START: case OP_RESET_ALL: case OP_CHANGE: case OP_FENCE_UPDATE:
    case OP_FENCE_INSERT: case OP_REIGN_INSERT: case OP_WRITE: case OP_DDL: case OP_FLUSH: case OP_END: break;
    }
    return false;
}

static enum outcome goto_pc(struct session *s, uint32_t pc)
{
    s->frame.pc = pc;
    return GOES_ON;
}

static enum outcome perform_cursor(struct session *s, const struct code *c)
{
    struct frame *f = &s->frame;
    struct cursor *cursor = &f->cursors[c->a];
    if (c->op == OP_OPEN) {
        unsigned code = table_error(s->m, (enum table)c->b);
        if (code != 0) return fail(s, code, "Table doesn't exist");
        *cursor = (struct cursor){0, (uint8_t)c->b};
        f->aggregate[c->a] = (struct value){0};
    } else if (c->op == OP_NEXT) {
        if (!table_has_row(s->m, (enum table)cursor->table, cursor->row)) return goto_pc(s, c->c);
        cursor->row++;
    } else if (c->op == OP_COUNT) {
        f->aggregate[c->a] = number(f->aggregate[c->a].number + 1);
    } else if (c->op == OP_MAX) {
        struct value v = pop(f);
        if (f->aggregate[c->a].kind == VALUE_NULL || compare(&v, &f->aggregate[c->a]) > 0) f->aggregate[c->a] = v;
    } else {
        /* COUNT of nothing is 0, MAX of nothing is NULL; OP_COUNT is not reached for nothing. */
        bool is_count = f->program->code[f->pc - 2].op == OP_COUNT;
        push(f, is_count ? number(f->aggregate[c->a].number) : f->aggregate[c->a]);
    }
    return next(s);
}

static enum outcome perform_loop(struct session *s, const struct code *c)
{
    struct frame *f = &s->frame;
    if (c->op == OP_LOOP_BEGIN) {
        f->loop_n = f->loop_i = 0;
    } else if (c->op == OP_LOOP_ADD) {
        MUST(f->loop_n < LOOP_IDS_MAX);
        f->loop_ids[f->loop_n++] = pop_number(f);
    } else {
        if (f->loop_i == f->loop_n) return goto_pc(s, c->c);
        f->loop_i++;
    }
    return next(s);
}

static enum outcome perform(struct session *s)
{ /* tidy: long-switch */
    struct frame *f = &s->frame;
    const struct code *c = &f->program->code[f->pc];
    if (perform_value(s, c)) return next(s);
    switch ((enum op)c->op) {
    case OP_CALL: return perform_call(s, (enum call)c->a, c->b);
    case OP_JUMP: return goto_pc(s, c->c);
    case OP_JUMP_UNLESS: {
        struct value v = pop(f);
        return value_is_true(&v) ? next(s) : goto_pc(s, c->c);
    }
    case OP_OPEN: case OP_NEXT: case OP_COUNT: case OP_MAX: case OP_TAKE_AGGREGATE: return perform_cursor(s, c);
    case OP_STATEMENT:
        f->statement_end = c->c;
        f->sets_n = s->reply->result.sets_n;
        return next(s);
    case OP_SET_GLOBAL: return set_global(s, (enum system)c->a);
    case OP_SIGNAL: return perform_signal(s);
    case OP_RESIGNAL: return fail(s, f->pending_error, "raised again");
    case OP_LOOP_BEGIN: case OP_LOOP_ADD: case OP_LOOP_NEXT: return perform_loop(s, c);
    case OP_KILL: return perform_kill(s, (enum kill)c->a);
    case OP_SET_BEGIN:
        begin_set(s, c->a, &f->program->names[c->c]);
        return next(s);
    case OP_ROW:
        add_row(s, c->a);
        return next(s);
    case OP_SET_OK:
        begin_set(s, 0, NULL);
        return next(s);
    case OP_SHOW_CHANNELS:
        show_channels(s);
        return next(s);
    case OP_STOP: case OP_START: return perform_threads(s, (enum op)c->op, c->a);
    case OP_RESET_ALL: return perform_reset(s);
    case OP_CHANGE: return perform_change(s, c->b);
    case OP_FENCE_UPDATE: return perform_fence_update(s);
    case OP_FENCE_INSERT: return perform_fence_insert(s);
    case OP_REIGN_INSERT: return perform_reign(s);
    case OP_WRITE: return perform_write(s);
    case OP_DDL: return perform_ddl(s, (enum ddl)c->a);
    case OP_FLUSH: return perform_flush(s);
    case OP_END: return ENDED;
    case OP_LITERAL: case OP_NULL: case OP_LOCAL: case OP_USER: case OP_SYSTEM: case OP_COLUMN: case OP_LOOP_VALUE:
    case OP_EQUAL: case OP_SAFE_EQUAL: case OP_NOT_EQUAL: case OP_LESS: case OP_GREATER: case OP_LESS_EQUAL:
    case OP_GREATER_EQUAL: case OP_ADD: case OP_SUBTRACT: case OP_AND: case OP_OR: case OP_NOT: case OP_IS_NULL:
    case OP_IN: case OP_IN_LITERALS: case OP_ROWS_COUNT: case OP_PRIVILEGES: case OP_DROP: case OP_SET_LOCAL:
    case OP_SET_USER: case OP_SET_SESSION: break;
    }
    MUST_NOT_REACH();
}

/* KILL is looked at where a statement begins and where one has waited for a lock; a commit and the end of a thread are
 * seen through. */
static bool is_ended_by_kill(struct session *s)
{
    const struct frame *f = &s->frame;
    if (s->kill == KILL_NONE) return false;
    bool is_between = f->program->code[f->pc].op == OP_STATEMENT || f->program->code[f->pc].op == OP_END;
    bool is_lock = s->wait == WAIT_LOCK || s->wait == WAIT_READ_ONLY || s->wait == WAIT_WRITE;
    return is_between || is_lock;
}

void session_run(struct session *s)
{
    enum outcome outcome = GOES_ON;
    while (outcome == GOES_ON || outcome == HANDLED) {
        if (is_ended_by_kill(s)) {
            bool is_done = s->frame.program->code[s->frame.pc].op == OP_END;
            if (s->wait == WAIT_READ_ONLY) read_only_abandon(s);
            if (!is_done && s->kill == KILL_ONE_QUERY) s->frame.error = 1317;
            break;
        }
        outcome = perform(s);
    }
    if (outcome == WAITS) return;
    sim_cancel(s->m->sim, &s->event);
    s->wait = WAIT_NONE;
    session_answer(s);
}
