/* The parser, part two: statements. See mysqld_private.h, mysqld_program.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/mysqld_parse.h"

static void parse_statements(struct parser *x, bool is_top);

/* --- SELECT ----------------------------------------------------------------------------------------------------- */

/* "SELECT 'A' AS p UNION SELECT 'B' ...": the privileges that a verb needs. The rest of that statement is always the
 * same; it is compared word by word. */
static void parse_privileges(struct parser *x)
{
    static const struct token *rest;
    if (!rest) {
        rest = tokens_of(") AS needed WHERE p NOT IN (SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES"
                         " WHERE GRANTEE = CONCAT('''', LEFT(CURRENT_USER(), LENGTH(CURRENT_USER()) -"
                         " LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), '''@''',"
                         " SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))");
    }
    int into = parse_local(x, x->t->text);
    unsigned n = 0, first = 0;
    if (into < 0) parse_fail(x, "a variable");
    x->t++;
    parse_expect_all(x, "FROM (");
    do {
        parse_expect(x, "SELECT");
        unsigned literal = parse_literal(x, TOKEN_TEXT);
        if (n++ == 0) first = literal;
        (void)parse_accept_all(x, "AS p");
    } while (parse_accept(x, "UNION"));
    for (const struct token *t = rest; t->kind != TOKEN_END; t++, x->t++)
        if (t->kind != x->t->kind || strcmp(t->text, x->t->text) != 0) parse_fail(x, "the check of privileges");
    emit(x, OP_PRIVILEGES, 0, n, first);
    emit(x, OP_SET_LOCAL, (unsigned)into, 0, 0);
}

/* Items up to FROM, INTO or the end. Returns how many; their names go to 'names'. */
static unsigned parse_items(struct parser *x, uint32_t *names, unsigned room)
{
    unsigned n = 0;
    do {
        const char *name = x->t->kind == TOKEN_NUMBER || x->t->kind == TOKEN_TEXT ? "literal" : x->t->text;
        if (parse_accept_all(x, "COUNT ( * )")) emit(x, OP_ROWS_COUNT, 0, 0, 0);
        else parse_expression(x);
        if (parse_accept(x, "AS")) name = (x->t++)->text;
        if (n == room) parse_fail(x, "too many columns");
        names[n++] = parse_name(x, name);
    } while (parse_accept(x, ","));
    return n;
}

static void emit_set_begin(struct parser *x, const uint32_t *names, unsigned n, uint32_t at)
{
    /* The names of a set lie together. */
    struct program *p = x->p;
    uint32_t first = p->names_n;
    for (unsigned i = 0; i < n; i++) {
        p->names = realloc(p->names, (p->names_n + 1) * sizeof(*p->names));
        MUST(p->names);
        p->names_room = p->names_n + 1;
        p->names[p->names_n] = p->names[names[i]];
        p->names_n++;
    }
    p->code[at].a = (uint8_t)n;
    p->code[at].c = first;
}

static void parse_into(struct parser *x, int *locals, unsigned *n)
{
    *n = 0;
    do {
        int local = parse_local(x, x->t->text);
        if (local < 0 || *n == LOCALS_MAX) parse_fail(x, "a variable");
        locals[(*n)++] = local;
        x->t++;
    } while (parse_accept(x, ","));
}

/* Of the clients' table: "COUNT(*), ... FROM t.t", "id FROM t.t WHERE id = 5" is not needed. */
static void parse_select_rows(struct parser *x, uint32_t begin)
{
    uint32_t names[32];
    unsigned n = parse_items(x, names, ARRAY_LEN(names));
    parse_expect(x, "FROM");
    parse_rows_name(x);
    emit(x, OP_ROW, n, 0, 0);
    emit_set_begin(x, names, n, begin);
}

/* Rows of a virtual table, as a set or into variables. */
static void parse_select_table(struct parser *x, const struct token *from, uint32_t begin)
{
    const struct token *items = x->t;
    uint32_t names[32];
    int locals[LOCALS_MAX];
    unsigned locals_n = 0;
    unsigned cursor = x->scopes_n;
    x->t = from;
    uint32_t next = parse_from(x);
    const struct token *end = x->t;
    x->t = items;
    bool is_count = parse_accept_all(x, "COUNT ( * )"), is_max = !is_count && parse_accept_all(x, "MAX (");
    unsigned n = 1;
    if (is_count || is_max) {
        names[0] = parse_name(x, is_count ? "COUNT" : "MAX");
        if (is_max) parse_expression(x);
        if (is_max) parse_expect(x, ")");
        emit(x, is_max ? OP_MAX : OP_COUNT, cursor, 0, 0);
        emit(x, OP_JUMP, 0, 0, next);
        patch(x, next);
        emit(x, OP_TAKE_AGGREGATE, cursor, 0, 0);
        emit(x, OP_ROW, 1, 0, 0);
    } else {
        n = parse_items(x, names, ARRAY_LEN(names));
        if (parse_accept(x, "INTO")) parse_into(x, locals, &locals_n);
        for (unsigned i = locals_n; i-- > 0;) emit(x, OP_SET_LOCAL, (unsigned)locals[i], 0, 0);
        if (locals_n == 0) emit(x, OP_ROW, n, 0, 0);
        if (locals_n == 0) emit(x, OP_JUMP, 0, 0, next);
        patch(x, next);
    }
    if (x->t != from || (locals_n > 0 && locals_n != n)) parse_fail(x, "the columns");
    x->t = end;
    x->scopes_n--;
    if (locals_n == 0) emit_set_begin(x, names, n, begin);
    else x->p->code[begin].op = OP_JUMP, x->p->code[begin].c = begin + 1;
}

static void parse_select(struct parser *x)
{
    const struct token *from = parse_find_from(x);
    if (parse_accept_all(x, "GROUP_CONCAT ( p ) INTO")) {
        parse_privileges(x);
        return;
    }
    uint32_t begin = emit(x, OP_SET_BEGIN, 0, 0, 0);
    if (from) {
        struct parser look = *x;
        look.t = from + 1;
        if (parse_is_rows(&look)) parse_select_rows(x, begin);
        else parse_select_table(x, from, begin);
        return;
    }
    uint32_t names[32];
    unsigned n = parse_items(x, names, ARRAY_LEN(names));
    emit(x, OP_ROW, n, 0, 0);
    emit_set_begin(x, names, n, begin);
}

/* --- SET, IF, FOR, DECLARE, SIGNAL ------------------------------------------------------------------------------ */

static void parse_assignment(struct parser *x)
{
    bool is_global = parse_accept(x, "GLOBAL"), is_session = !is_global && parse_accept(x, "SESSION");
    const struct token *name = x->t++;
    int local = name->kind == TOKEN_WORD && !is_global && !is_session ? parse_local(x, name->text) : -1;
    parse_expect(x, "=");
    bool is_word = x->t->kind == TOKEN_WORD && (parse_is(x, "ON") || parse_is(x, "OFF"));
    if (is_word) emit(x, OP_CALL, CALL_CONSTANT, parse_is(x, "ON"), 0), x->t++;
    else parse_expression(x);
    if (name->kind == TOKEN_USER) emit(x, OP_SET_USER, 0, 0, parse_name(x, name->text));
    else if (local >= 0) emit(x, OP_SET_LOCAL, (unsigned)local, 0, 0);
    else emit(x, is_global ? OP_SET_GLOBAL : OP_SET_SESSION, (unsigned)parse_system(x, name->text), 0, 0);
}

static void parse_if(struct parser *x)
{
    parse_expression(x);
    parse_expect(x, "THEN");
    uint32_t otherwise = emit(x, OP_JUMP_UNLESS, 0, 0, 0);
    parse_statements(x, false);
    parse_expect_all(x, "END IF");
    patch(x, otherwise);
}

/* From FROM on: the ids of the rows, of those only for which the condition of ORDER BY is 'is_late' when it has one. */
static void parse_loop_rows(struct parser *x, bool is_late)
{
    unsigned cursor = x->scopes_n;
    uint32_t next = parse_from(x);
    if (parse_accept_all(x, "ORDER BY")) {
        parse_expression(x);
        if (!is_late) emit(x, OP_NOT, 0, 0, 0);
        emit(x, OP_JUMP_UNLESS, 0, 0, next);
    }
    emit(x, OP_COLUMN, cursor, COLUMN_ID, 0);
    emit(x, OP_LOOP_ADD, 0, 0, 0);
    emit(x, OP_JUMP, 0, 0, next);
    patch(x, next);
    x->scopes_n--;
}

static void parse_for(struct parser *x)
{
    if (x->loop[0] != '\0' || !TEXT_COPY(x->loop, x->t->text)) parse_fail(x, "a loop in a loop");
    x->t++;
    parse_expect_all(x, "IN ( SELECT ID");
    emit(x, OP_LOOP_BEGIN, 0, 0, 0);
    const struct token *from = x->t;
    struct parser look = *x;
    look.t++; /* Behind FROM: up to ')', and ORDER when it has one. */
    while (look.t->kind != TOKEN_END && !parse_is(&look, "DO") && !parse_is(&look, "ORDER")) look.t++;
    parse_loop_rows(x, false);
    if (parse_is(&look, "ORDER")) { /* BY a condition: first those for which it is false. */
        x->t = from;
        parse_loop_rows(x, true);
    }
    parse_expect_all(x, ") DO");
    uint32_t again = emit(x, OP_LOOP_NEXT, 0, 0, 0);
    parse_statements(x, false);
    parse_expect_all(x, "END FOR");
    emit(x, OP_JUMP, 0, 0, again);
    patch(x, again);
    x->loop[0] = '\0';
}

static void parse_handler(struct parser *x, bool is_exit, uint32_t *exit_body)
{
    struct program *p = x->p;
    MUST(p->handlers_n < HANDLERS_MAX);
    struct handler *h = &p->handlers[p->handlers_n++];
    *h = (struct handler){.is_exit = is_exit};
    parse_expect_all(x, "HANDLER FOR");
    if (!parse_accept(x, "SQLEXCEPTION")) {
        do {
            MUST(h->codes_n < HANDLER_CODES_MAX);
            h->codes[h->codes_n++] = parse_literal(x, TOKEN_NUMBER);
        } while (parse_accept(x, ","));
    }
    uint32_t over = emit(x, OP_JUMP, 0, 0, 0);
    h->target = p->n;
    parse_expect(x, "BEGIN");
    unsigned before = p->handlers_n;
    parse_statements(x, false);
    MUST(p->handlers_n == before);
    parse_expect(x, "END");
    *exit_body = emit(x, OP_JUMP, 0, 0, 0); /* To the end of the block: patched there. */
    patch(x, over);
    h->from = p->n;
}

static void parse_variables(struct parser *x)
{
    unsigned first = x->locals_n;
    do {
        if (x->locals_n == LOCALS_MAX || !TEXT_COPY(x->locals[x->locals_n], x->t->text)) parse_fail(x, "a variable");
        x->locals_n++;
        x->t++;
    } while (parse_accept(x, ","));
    while (!parse_is(x, "DEFAULT") && !parse_is(x, ";")) x->t++; /* The type. */
    bool has_default = parse_accept(x, "DEFAULT");
    const struct token *value = x->t;
    for (unsigned i = first; i < x->locals_n; i++) {
        x->t = value;
        if (has_default) parse_expression(x);
        else emit(x, OP_NULL, 0, 0, 0);
        emit(x, OP_SET_LOCAL, i, 0, 0);
    }
}

/* Behind BEGIN, up to its END. */
static void parse_block(struct parser *x)
{
    struct program *p = x->p;
    unsigned handlers = p->handlers_n, locals = x->locals_n;
    uint32_t bodies[HANDLERS_MAX];
    while (parse_accept(x, "DECLARE")) {
        bool is_exit = parse_accept(x, "EXIT");
        uint32_t body = 0;
        if (is_exit || parse_accept(x, "CONTINUE")) {
            parse_handler(x, is_exit, &body);
            bodies[p->handlers_n - 1] = body;
        } else {
            parse_variables(x);
        }
        parse_expect(x, ";");
    }
    unsigned declared = p->handlers_n;
    parse_statements(x, false);
    parse_expect(x, "END");
    for (unsigned i = handlers; i < declared; i++) {
        p->handlers[i].to = p->n;
        patch(x, bodies[i]);
    }
    x->locals_n = locals;
}

static void parse_signal(struct parser *x)
{
    parse_expect(x, "SQLSTATE");
    (void)parse_literal(x, TOKEN_TEXT);
    parse_expect_all(x, "SET MYSQL_ERRNO =");
    parse_expression(x);
    if (parse_accept(x, ",")) {
        parse_expect_all(x, "MESSAGE_TEXT =");
        parse_expression(x);
    } else {
        emit(x, OP_NULL, 0, 0, 0);
    }
    emit(x, OP_SIGNAL, 0, 0, 0);
}

/* --- replication ------------------------------------------------------------------------------------------------ */

/* The name of the channel: '' only, or none. */
static void parse_channel(struct parser *x)
{
    if (x->t->kind == TOKEN_TEXT) emit(x, OP_LITERAL, 0, 0, (x->t++)->literal);
    else emit(x, OP_NULL, 0, 0, 0);
}

static void parse_threads(struct parser *x, enum op op)
{
    parse_expect(x, "SLAVE");
    parse_channel(x);
    unsigned threads = parse_accept(x, "IO_THREAD") ? THREAD_IO : parse_accept(x, "SQL_THREAD") ? THREAD_SQL : 3;
    emit(x, op, threads, 0, 0);
}

static void parse_change(struct parser *x)
{
    static const struct { const char *name; enum change change; } options[] = {
        {"MASTER_HOST", CHANGE_HOST}, {"MASTER_PORT", CHANGE_PORT}, {"MASTER_USER", CHANGE_USER},
        {"MASTER_PASSWORD", CHANGE_PASSWORD}, {"MASTER_USE_GTID", CHANGE_GTID},
        {"MASTER_HEARTBEAT_PERIOD", CHANGE_HEARTBEAT}, {"MASTER_CONNECT_RETRY", CHANGE_RETRY}};
    parse_expect(x, "MASTER");
    parse_channel(x);
    parse_expect(x, "TO");
    uint32_t at = emit(x, OP_CHANGE, 0, 0, 0);
    unsigned n = 0;
    do {
        size_t i = 0;
        while (i < ARRAY_LEN(options) && !parse_is(x, options[i].name)) i++;
        if (i == ARRAY_LEN(options)) parse_fail(x, "an option of CHANGE MASTER");
        x->t++;
        parse_expect(x, "=");
        uint32_t literal = 0;
        enum token_kind kind = x->t->kind == TOKEN_TEXT ? TOKEN_TEXT : TOKEN_NUMBER;
        if (options[i].change == CHANGE_GTID) parse_expect(x, "slave_pos");
        else literal = parse_literal(x, kind);
        emit(x, OP_END, options[i].change, 0, literal);
        n++;
    } while (parse_accept(x, ","));
    x->p->code[at].b = (uint16_t)n;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void parse_update(struct parser *x)
{
    parse_expect_all(x, "regent . fence SET token =");
    unsigned token = parse_literal(x, TOKEN_NUMBER);
    parse_expect_all(x, ", term =");
    unsigned term = parse_literal(x, TOKEN_NUMBER);
    parse_expect_all(x, ", epoch = GREATEST ( epoch ,");
    unsigned epoch = parse_literal(x, TOKEN_NUMBER);
    parse_expect_all(x, ") WHERE id =");
    (void)parse_literal(x, TOKEN_NUMBER);
    emit(x, OP_LITERAL, 0, 0, token);
    emit(x, OP_LITERAL, 0, 0, term);
    emit(x, OP_LITERAL, 0, 0, epoch);
    emit(x, OP_FENCE_UPDATE, 0, 0, 0);
}

static void parse_insert(struct parser *x)
{
    if (parse_accept_all(x, "IGNORE INTO regent . fence ( id , identity , token , epoch ) VALUES (")) {
        (void)parse_literal(x, TOKEN_NUMBER);
        for (int i = 0; i < 3; i++) {
            parse_expect(x, ",");
            parse_expression(x);
        }
        parse_expect(x, ")");
        emit(x, OP_FENCE_INSERT, 0, 0, 0);
    } else if (parse_accept_all(x, "INTO regent . reign ( cluster , epoch , master , token , at ) VALUES (")) {
        (void)parse_literal(x, TOKEN_TEXT);
        parse_expect(x, ",");
        parse_expression(x);
        parse_expect(x, ",");
        (void)parse_literal(x, TOKEN_TEXT);
        parse_expect(x, ",");
        parse_expression(x);
        parse_expect_all(x, ", SYSDATE (");
        (void)parse_literal(x, TOKEN_NUMBER);
        parse_expect_all(x, ") )");
        emit(x, OP_REIGN_INSERT, 0, 0, 0);
    } else {
        parse_expect(x, "INTO");
        parse_rows_name(x);
        parse_expect_all(x, "VALUES (");
        emit(x, OP_LITERAL, 0, 0, parse_literal(x, TOKEN_NUMBER));
        while (parse_accept(x, ",")) x->t++; /* Further columns are not looked at. */
        parse_expect(x, ")");
        emit(x, OP_WRITE, 0, 0, 0);
    }
}

static const struct token *emit_table(struct parser *x, enum ddl ddl, const struct token *columns)
{
    emit(x, OP_DDL, ddl, 0, 0);
    return columns;
}

static void parse_create(struct parser *x)
{
    static const struct token *fence, *reign;
    if (!fence) {
        fence = tokens_of("(id TINYINT UNSIGNED NOT NULL PRIMARY KEY, identity VARCHAR(63) CHARACTER SET ascii COLLATE"
                          " ascii_bin NOT NULL, token BIGINT UNSIGNED NOT NULL, epoch BIGINT UNSIGNED NOT NULL, term"
                          " BIGINT UNSIGNED NOT NULL DEFAULT 0) ENGINE=InnoDB");
        reign = tokens_of("(id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, cluster VARCHAR(63) NOT NULL, epoch"
                          " BIGINT UNSIGNED NOT NULL, master VARCHAR(63) NOT NULL, token BIGINT UNSIGNED NOT NULL, at"
                          " DATETIME(6) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
    }
    const struct token *rest = NULL;
    if (parse_accept_all(x, "DATABASE IF NOT EXISTS regent")) emit(x, OP_DDL, DDL_SCHEMA_IF, 0, 0);
    else if (parse_accept_all(x, "DATABASE regent")) emit(x, OP_DDL, DDL_SCHEMA, 0, 0);
    else if (parse_accept_all(x, "TABLE IF NOT EXISTS regent . fence")) rest = emit_table(x, DDL_FENCE_IF, fence);
    else if (parse_accept_all(x, "TABLE regent . fence")) rest = emit_table(x, DDL_FENCE, fence);
    else if (parse_accept_all(x, "TABLE IF NOT EXISTS regent . reign")) rest = emit_table(x, DDL_REIGN_IF, reign);
    else parse_fail(x, "CREATE");
    for (const struct token *t = rest; t && t->kind != TOKEN_END; t++, x->t++)
        if (t->kind != x->t->kind || strcasecmp(t->text, x->t->text) != 0) parse_fail(x, "the table's columns");
}

/* --- all -------------------------------------------------------------------------------------------------------- */

static bool parse_flow(struct parser *x, bool is_top)
{
    if (parse_accept(x, "IF")) {
        parse_if(x);
    } else if (parse_accept(x, "FOR")) {
        parse_for(x);
    } else if (parse_accept_all(x, "BEGIN NOT ATOMIC") || (!is_top && parse_accept(x, "BEGIN"))) {
        parse_block(x);
        if (is_top) emit(x, OP_SET_OK, 0, 0, 0);
    } else {
        return false;
    }
    return true;
}

static void parse_simple(struct parser *x)
{
    uint32_t at = emit(x, OP_STATEMENT, 0, 0, 0);
    if (parse_accept(x, "SELECT")) {
        parse_select(x);
    } else if (parse_accept(x, "SET")) {
        do parse_assignment(x);
        while (parse_accept(x, ","));
    } else if (parse_accept(x, "SIGNAL")) {
        parse_signal(x);
    } else if (parse_accept(x, "RESIGNAL")) {
        emit(x, OP_RESIGNAL, 0, 0, 0);
    } else if (parse_accept(x, "KILL")) {
        bool is_query = parse_accept(x, "QUERY");
        if (!is_query) (void)parse_accept(x, "CONNECTION");
        parse_expression(x);
        emit(x, OP_KILL, is_query ? KILL_ONE_QUERY : KILL_SESSION, 0, 0);
    } else if (parse_accept(x, "STOP")) {
        parse_threads(x, OP_STOP);
    } else if (parse_accept(x, "START")) {
        parse_threads(x, OP_START);
    } else if (parse_accept_all(x, "RESET SLAVE")) {
        parse_channel(x);
        parse_expect(x, "ALL");
        emit(x, OP_RESET_ALL, 0, 0, 0);
    } else if (parse_accept(x, "CHANGE")) {
        parse_change(x);
    } else if (parse_accept_all(x, "SHOW ALL SLAVES STATUS")) {
        emit(x, OP_SHOW_CHANNELS, 0, 0, 0);
    } else if (parse_accept(x, "UPDATE")) {
        parse_update(x);
    } else if (parse_accept(x, "INSERT")) {
        parse_insert(x);
    } else if (parse_accept(x, "CREATE")) {
        parse_create(x);
    } else if (parse_accept_all(x, "ALTER TABLE regent . fence ADD COLUMN IF NOT EXISTS term BIGINT UNSIGNED NOT NULL"
                                   " DEFAULT")) {
        (void)parse_literal(x, TOKEN_NUMBER);
        emit(x, OP_DDL, DDL_TERM, 0, 0);
    } else if (parse_accept_all(x, "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")) {
        emit(x, OP_FLUSH, 0, 0, 0);
    } else {
        parse_fail(x, "a statement");
    }
    patch(x, at);
}

static bool makes_a_set(const struct token *t)
{
    return t->kind == TOKEN_WORD && (strcasecmp(t->text, "SELECT") == 0 || strcasecmp(t->text, "SHOW") == 0);
}

/* Statements up to END (or the text's end at the top). */
static void parse_statements(struct parser *x, bool is_top)
{
    while (x->t->kind != TOKEN_END && !parse_is(x, "END")) {
        bool needs_ok = is_top && !makes_a_set(x->t);
        if (!parse_flow(x, is_top)) {
            parse_simple(x);
            if (needs_ok) emit(x, OP_SET_OK, 0, 0, 0);
        }
        if (!parse_accept(x, ";") && !(is_top && x->t->kind == TOKEN_END)) parse_fail(x, ";");
    }
}

const struct program *program_parse(const struct token *tokens, const char *sql)
{
    struct program *p = calloc(1, sizeof(*p));
    MUST(p);
    p->guard_token = p->guard_term = -1;
    struct parser x = {.t = tokens, .sql = sql, .p = p};
    parse_statements(&x, true);
    if (x.t->kind != TOKEN_END) parse_fail(&x, "the end");
    emit(&x, OP_END, 0, 0, 0);
    return p;
}
