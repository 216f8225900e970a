/* The parser, part one: tokens, expressions, subqueries. See mysqld_private.h, mysqld_program.h.
 *
 * Strict: what Regent's statements and the conformance scripts contain, and nothing else. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/mysqld_parse.h"

enum { DEPTH_MAX = 40 };

void parse_fail(const struct parser *x, const char *why)
{
    not_understood(why, x->t->kind == TOKEN_NUMBER || x->t->kind == TOKEN_TEXT ? "a literal" : x->t->text, x->sql);
}

bool parse_is(const struct parser *x, const char *word)
{
    return (x->t->kind == TOKEN_WORD || x->t->kind == TOKEN_MARK) && strcasecmp(x->t->text, word) == 0;
}

bool parse_accept(struct parser *x, const char *word)
{
    if (!parse_is(x, word)) return false;
    x->t++;
    return true;
}

void parse_expect(struct parser *x, const char *word)
{
    if (!parse_accept(x, word)) parse_fail(x, word);
}

bool parse_accept_all(struct parser *x, const char *words)
{
    const struct token *began = x->t;
    char word[32];
    while (*words != '\0') {
        size_t n = strcspn(words, " ");
        MUST(n < sizeof(word));
        memcpy(word, words, n);
        word[n] = '\0';
        words += n + (words[n] == ' ');
        if (parse_accept(x, word)) continue;
        x->t = began;
        return false;
    }
    return true;
}

void parse_expect_all(struct parser *x, const char *words)
{
    if (!parse_accept_all(x, words)) parse_fail(x, words);
}

unsigned parse_literal(struct parser *x, enum token_kind kind)
{
    if (x->t->kind != kind) parse_fail(x, "a literal was expected");
    return (x->t++)->literal;
}

uint32_t emit(struct parser *x, enum op op, unsigned a, unsigned b, uint32_t c)
{
    struct program *p = x->p;
    if (p->n == p->room) {
        p->room = p->room ? p->room * 2 : 64;
        p->code = realloc(p->code, p->room * sizeof(*p->code));
        MUST(p->code);
    }
    MUST(a <= UINT8_MAX && b <= UINT16_MAX);
    p->code[p->n] = (struct code){(uint8_t)op, (uint8_t)a, (uint16_t)b, c};
    return p->n++;
}

void patch(struct parser *x, uint32_t at)
{
    x->p->code[at].c = x->p->n;
}

int parse_local(const struct parser *x, const char *name)
{
    for (unsigned i = x->locals_n; i-- > 0;)
        if (strcasecmp(x->locals[i], name) == 0) return (int)i;
    return -1;
}

enum system parse_system(const struct parser *x, const char *name)
{
    static const char *const names[SYSTEM_IGNORED] = {
        "server_id", "read_only", "gtid_slave_pos", "gtid_current_pos", "gtid_binlog_pos", "gtid_strict_mode",
        "log_bin", "log_slave_updates", "sync_binlog", "innodb_flush_log_at_trx_commit", "sync_relay_log",
        "rpl_semi_sync_master_enabled", "rpl_semi_sync_slave_enabled", "rpl_semi_sync_master_timeout",
        "rpl_semi_sync_master_wait_point", "rpl_semi_sync_master_wait_no_slave",
        "rpl_semi_sync_slave_kill_conn_timeout", "slave_net_timeout", "sql_log_bin", "lock_wait_timeout",
        "wait_timeout", "max_connections"};
    static const char *const ignored[] = {"sql_mode", "time_zone", "autocommit", "innodb_lock_wait_timeout"};
    for (unsigned i = 0; i < SYSTEM_IGNORED; i++)
        if (strcasecmp(names[i], name) == 0) return (enum system)i;
    for (unsigned i = 0; i < ARRAY_LEN(ignored); i++)
        if (strcasecmp(ignored[i], name) == 0) return SYSTEM_IGNORED;
    parse_fail(x, "a variable");
}

/* --- tables ----------------------------------------------------------------------------------------------------- */

static const char *const table_names[TABLES_N] = {
    "regent . fence", "information_schema . PROCESSLIST", "information_schema . GLOBAL_STATUS",
    "information_schema . SYSTEM_VARIABLES", "information_schema . COLUMNS", "information_schema . TABLES",
    "information_schema . SCHEMATA"};

static int find_column(enum table table, const char *name)
{
    static const struct { enum table table; const char *name; enum column column; } columns[] = {
        {TABLE_FENCE, "id", COLUMN_ID}, {TABLE_FENCE, "identity", COLUMN_IDENTITY},
        {TABLE_FENCE, "token", COLUMN_TOKEN}, {TABLE_FENCE, "epoch", COLUMN_EPOCH}, {TABLE_FENCE, "term", COLUMN_TERM},
        {TABLE_SESSIONS, "ID", COLUMN_ID}, {TABLE_SESSIONS, "USER", COLUMN_USER},
        {TABLE_SESSIONS, "COMMAND", COLUMN_COMMAND}, {TABLE_SESSIONS, "STATE", COLUMN_STATE},
        {TABLE_SESSIONS, "INFO", COLUMN_INFO},
        {TABLE_STATUS, "VARIABLE_NAME", COLUMN_VARIABLE_NAME}, {TABLE_STATUS, "VARIABLE_VALUE", COLUMN_VARIABLE_VALUE},
        {TABLE_VARIABLES, "VARIABLE_NAME", COLUMN_VARIABLE_NAME},
        {TABLE_VARIABLES, "GLOBAL_VALUE", COLUMN_GLOBAL_VALUE}, {TABLE_VARIABLES, "GLOBAL_VALUE_ORIGIN", COLUMN_ORIGIN},
        {TABLE_COLUMNS, "TABLE_SCHEMA", COLUMN_TABLE_SCHEMA}, {TABLE_COLUMNS, "TABLE_NAME", COLUMN_TABLE_NAME},
        {TABLE_COLUMNS, "COLUMN_NAME", COLUMN_COLUMN_NAME},
        {TABLE_TABLES, "TABLE_SCHEMA", COLUMN_TABLE_SCHEMA}, {TABLE_TABLES, "TABLE_NAME", COLUMN_TABLE_NAME},
        {TABLE_SCHEMAS, "SCHEMA_NAME", COLUMN_SCHEMA_NAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (columns[i].table == table && strcasecmp(columns[i].name, name) == 0) return (int)columns[i].column;
    return -1;
}

bool parse_is_rows(const struct parser *x)
{
    struct parser look = *x;
    return parse_accept_all(&look, "t . t") || parse_accept_all(&look, "shop . writes");
}

void parse_rows_name(struct parser *x)
{
    if (!parse_accept_all(x, "t . t")) parse_expect_all(x, "shop . writes");
}

const struct token *parse_find_from(const struct parser *x)
{
    int depth = 0;
    for (const struct token *t = x->t; t->kind != TOKEN_END; t++) {
        if (t->kind == TOKEN_MARK && t->text[0] == '(') depth++;
        if (t->kind == TOKEN_MARK && t->text[0] == ')') depth--;
        if (depth < 0 || (t->kind == TOKEN_MARK && t->text[0] == ';')) return NULL;
        if (depth == 0 && t->kind == TOKEN_WORD && strcasecmp(t->text, "FROM") == 0) return t;
    }
    return NULL;
}

uint32_t parse_from(struct parser *x)
{
    unsigned table = 0;
    parse_expect(x, "FROM");
    while (table < TABLES_N && !parse_accept_all(x, table_names[table])) table++;
    if (table == TABLES_N || x->scopes_n == SCOPES_MAX) parse_fail(x, "a table");
    unsigned cursor = x->scopes_n;
    x->scopes[x->scopes_n++] = (enum table)table;
    emit(x, OP_OPEN, cursor, table, 0);
    uint32_t next = emit(x, OP_NEXT, cursor, 0, 0);
    if (parse_accept(x, "WHERE")) {
        parse_expression(x);
        emit(x, OP_JUMP_UNLESS, 0, 0, next);
    }
    return next;
}

/* --- expressions ------------------------------------------------------------------------------------------------ */

void parse_subquery(struct parser *x, bool is_exists)
{
    const struct token *items = x->t, *from = parse_find_from(x);
    unsigned cursor = x->scopes_n;
    if (!from) parse_fail(x, "a subquery without FROM");
    x->t = from;
    uint32_t next = parse_from(x);
    const struct token *end = x->t;
    x->t = items;
    uint32_t found = 0;
    bool is_count = parse_accept_all(x, "COUNT ( * )"), is_max = !is_count && parse_accept_all(x, "MAX (");
    if (is_count) {
        emit(x, OP_COUNT, cursor, 0, 0);
    } else {
        parse_expression(x);
        if (is_max) parse_expect(x, ")");
        if (is_max) emit(x, OP_MAX, cursor, 0, 0);
    }
    if (x->t != from) parse_fail(x, "one value");
    x->t = end;
    x->scopes_n--;
    if (is_count || is_max) {
        emit(x, OP_JUMP, 0, 0, next);
        patch(x, next);
        emit(x, OP_TAKE_AGGREGATE, cursor, 0, 0);
        return;
    }
    if (is_exists) emit(x, OP_DROP, 0, 0, 0);
    if (is_exists) emit(x, OP_CALL, CALL_CONSTANT, 1, 0);
    found = emit(x, OP_JUMP, 0, 0, 0);
    patch(x, next);
    if (is_exists) emit(x, OP_CALL, CALL_CONSTANT, 0, 0);
    else emit(x, OP_NULL, 0, 0, 0);
    patch(x, found);
}

static void parse_case(struct parser *x)
{
    uint32_t ends[16];
    unsigned n = 0;
    while (parse_accept(x, "WHEN")) {
        parse_expression(x);
        uint32_t otherwise = emit(x, OP_JUMP_UNLESS, 0, 0, 0);
        parse_expect(x, "THEN");
        parse_expression(x);
        if (n == ARRAY_LEN(ends)) parse_fail(x, "too many cases");
        ends[n++] = emit(x, OP_JUMP, 0, 0, 0);
        patch(x, otherwise);
    }
    if (parse_accept(x, "ELSE")) parse_expression(x);
    else emit(x, OP_NULL, 0, 0, 0);
    parse_expect(x, "END");
    while (n > 0) patch(x, ends[--n]);
}

static void parse_call(struct parser *x)
{
    static const struct { const char *name; enum call call; } calls[] = {
        {"CONNECTION_ID", CALL_CONNECTION_ID}, {"IS_USED_LOCK", CALL_IS_USED_LOCK}, {"GET_LOCK", CALL_GET_LOCK},
        {"RELEASE_LOCK", CALL_RELEASE_LOCK}, {"IFNULL", CALL_IFNULL}, {"GREATEST", CALL_GREATEST},
        {"VERSION", CALL_VERSION}, {"CURRENT_USER", CALL_CURRENT_USER}, {"CONCAT", CALL_CONCAT}, {"LEFT", CALL_LEFT}};
    unsigned n = 0;
    size_t i = 0;
    if (parse_accept_all(x, "UNIX_TIMESTAMP ( )")) {
        emit(x, OP_CALL, CALL_NOW, 0, 0);
        return;
    }
    if (parse_accept_all(x, "UNIX_TIMESTAMP ( SYSDATE (")) {
        (void)parse_literal(x, TOKEN_NUMBER);
        parse_expect_all(x, ") )");
        emit(x, OP_CALL, CALL_NOW_MICRO, 0, 0);
        return;
    }
    while (i < ARRAY_LEN(calls) && !parse_is(x, calls[i].name)) i++;
    if (i == ARRAY_LEN(calls)) parse_fail(x, "a function");
    x->t++;
    parse_expect(x, "(");
    while (!parse_accept(x, ")")) {
        parse_expression(x);
        n++;
        if (!parse_is(x, ")")) parse_expect(x, ",");
    }
    emit(x, OP_CALL, calls[i].call, n, 0);
}

static bool parse_column(struct parser *x)
{
    int local = parse_local(x, x->t->text);
    for (unsigned i = x->scopes_n; i-- > 0;) {
        int column = find_column(x->scopes[i], x->t->text);
        if (column < 0) continue;
        emit(x, OP_COLUMN, i, (unsigned)column, 0);
        x->t++;
        return true;
    }
    if (local < 0) return false;
    emit(x, OP_LOCAL, (unsigned)local, 0, 0);
    x->t++;
    return true;
}

static void parse_system_value(struct parser *x)
{
    x->t++;
    if (x->t[-1].kind == TOKEN_SYSTEM && strcasecmp(x->t[-1].text, "GLOBAL") == 0) {
        parse_expect(x, ".");
        x->t++;
    }
    emit(x, OP_SYSTEM, (unsigned)parse_system(x, x->t[-1].text), 0, 0);
}

uint32_t parse_name(struct parser *x, const char *name)
{
    struct program *p = x->p;
    for (uint32_t i = 0; i < p->names_n; i++)
        if (strcmp(p->names[i], name) == 0) return i;
    if (p->names_n == p->names_room) {
        p->names_room = p->names_room ? p->names_room * 2 : 16;
        p->names = realloc(p->names, p->names_room * sizeof(*p->names));
        MUST(p->names);
    }
    p->names[p->names_n] = name;
    return p->names_n++;
}

static void parse_primary(struct parser *x)
{
    if (++x->depth > DEPTH_MAX) parse_fail(x, "too deep");
    if (x->t->kind == TOKEN_NUMBER || x->t->kind == TOKEN_TEXT) {
        emit(x, OP_LITERAL, 0, 0, (x->t++)->literal);
    } else if (x->t->kind == TOKEN_SYSTEM) {
        parse_system_value(x);
    } else if (x->t->kind == TOKEN_USER) {
        emit(x, OP_USER, 0, 0, parse_name(x, (x->t++)->text));
    } else if (parse_accept(x, "NULL")) {
        emit(x, OP_NULL, 0, 0, 0);
    } else if (parse_accept(x, "CASE")) {
        parse_case(x);
    } else if (parse_accept_all(x, "EXISTS ( SELECT")) {
        parse_subquery(x, true);
        parse_expect(x, ")");
    } else if (parse_accept_all(x, "( SELECT")) {
        parse_subquery(x, false);
        parse_expect(x, ")");
    } else if (parse_accept(x, "(")) {
        parse_expression(x);
        parse_expect(x, ")");
    } else if (x->loop[0] != '\0' && parse_is(x, x->loop) && strcmp(x->t[1].text, ".") == 0) {
        x->t += 3; /* r.ID: the loop has one column. */
        emit(x, OP_LOOP_VALUE, 0, 0, 0);
    } else if (strcmp(x->t[1].text, "(") == 0) {
        parse_call(x);
    } else if (x->t->kind != TOKEN_WORD || !parse_column(x)) {
        parse_fail(x, "a value");
    }
    x->depth--;
}

static void parse_sum(struct parser *x)
{
    parse_primary(x);
    for (;;) {
        bool is_plus = parse_is(x, "+");
        if (!is_plus && !parse_is(x, "-")) return;
        x->t++;
        parse_primary(x);
        emit(x, is_plus ? OP_ADD : OP_SUBTRACT, 0, 0, 0);
    }
}

/* The code from 'first' on does nothing but push 'n' literals that lie together. */
static bool are_literals(const struct program *p, uint32_t first, unsigned n)
{
    for (uint32_t i = first; i < p->n; i++)
        if (p->code[i].op != OP_LITERAL || p->code[i].c != p->code[first].c + (i - first)) return false;
    return p->n - first == n;
}

static void parse_in(struct parser *x, bool is_not)
{
    unsigned n = 0;
    uint32_t first = x->p->n;
    parse_expect(x, "(");
    do {
        parse_sum(x);
        n++;
    } while (parse_accept(x, ","));
    parse_expect(x, ")");
    uint32_t literal = x->p->code[first].c;
    if (are_literals(x->p, first, n)) {
        x->p->n = first; /* They are compared where they lie. */
        emit(x, OP_IN_LITERALS, 0, n, literal);
    } else {
        emit(x, OP_IN, 0, n, 0);
    }
    if (is_not) emit(x, OP_NOT, 0, 0, 0);
}

/* "token > 100": who sent this text says so under which token it acts. */
static void note_guard(struct parser *x)
{
    const struct code *c = &x->p->code[x->p->n];
    if (x->p->n < 3 || c[-1].op != OP_GREATER || c[-2].op != OP_LITERAL || c[-3].op != OP_COLUMN) return;
    if (x->scopes_n == 0 || x->scopes[c[-3].a] != TABLE_FENCE) return;
    if (c[-3].b == COLUMN_TOKEN) x->p->guard_token = (int)c[-2].c;
    if (c[-3].b == COLUMN_TERM) x->p->guard_term = (int)c[-2].c;
}

static void parse_comparison(struct parser *x)
{
    static const struct { const char *mark; enum op op; } marks[] = {
        {"=", OP_EQUAL}, {"<=>", OP_SAFE_EQUAL}, {"<>", OP_NOT_EQUAL}, {"!=", OP_NOT_EQUAL}, {"<", OP_LESS},
        {">", OP_GREATER}, {"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL}};
    parse_sum(x);
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (!parse_accept(x, marks[i].mark)) continue;
        parse_sum(x);
        emit(x, marks[i].op, 0, 0, 0);
        note_guard(x);
        return;
    }
    if (parse_accept_all(x, "IS NOT NULL")) {
        emit(x, OP_IS_NULL, 0, 0, 0);
        emit(x, OP_NOT, 0, 0, 0);
    } else if (parse_accept_all(x, "IS NULL")) {
        emit(x, OP_IS_NULL, 0, 0, 0);
    } else if (parse_accept_all(x, "NOT IN")) {
        parse_in(x, true);
    } else if (parse_accept(x, "IN")) {
        parse_in(x, false);
    }
}

static void parse_not(struct parser *x)
{
    bool is_not = parse_accept(x, "NOT");
    parse_comparison(x);
    if (is_not) emit(x, OP_NOT, 0, 0, 0);
}

static void parse_and(struct parser *x)
{
    parse_not(x);
    while (parse_accept(x, "AND")) {
        parse_not(x);
        emit(x, OP_AND, 0, 0, 0);
    }
}

void parse_expression(struct parser *x)
{
    parse_and(x);
    while (parse_accept(x, "OR")) {
        parse_and(x);
        emit(x, OP_OR, 0, 0, 0);
    }
}
