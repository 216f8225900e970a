/* The parser's own: what its two halves share. Private to mysqld_parse*.c. */
#ifndef REGENT_SIM_MYSQLD_PARSE_H
#define REGENT_SIM_MYSQLD_PARSE_H

#include "sim/mysqld_program.h"

enum { SCOPES_MAX = CURSORS_MAX, NAME_SIZE = 24 };

struct parser {
    const struct token *t;
    const char *sql;
    struct program *p;
    char locals[LOCALS_MAX][NAME_SIZE];
    unsigned locals_n;
    char loop[NAME_SIZE]; /* Variable of the FOR that is being parsed; "": none. */
    enum table scopes[SCOPES_MAX];
    unsigned scopes_n;
    unsigned depth;
};

/* Ends the process. */
REGENT_NORETURN void parse_fail(const struct parser *x, const char *why);
bool parse_is(const struct parser *x, const char *word); /* A word (any case) or mark; does not move. */
bool parse_accept(struct parser *x, const char *word);
void parse_expect(struct parser *x, const char *word);
/* Several words at once, separated by blanks. */
bool parse_accept_all(struct parser *x, const char *words);
void parse_expect_all(struct parser *x, const char *words);
unsigned parse_literal(struct parser *x, enum token_kind kind);
/* Appends an operation; returns where it is. patch(): its 'c' becomes the present end. */
uint32_t emit(struct parser *x, enum op op, unsigned a, unsigned b, uint32_t c);
void patch(struct parser *x, uint32_t at);
/* Number of the variable; -1: there is none of that name. */
int parse_local(const struct parser *x, const char *name);
void parse_expression(struct parser *x); /* In mysqld_parse_expr.c, as all that follows. */
/* "SELECT ..." of one value, in place of an expression; 'is_exists': whether there is a row. */
void parse_subquery(struct parser *x, bool is_exists);
/* "FROM table [WHERE ...]" is behind the token; the scope stays open. Returns where OP_NEXT is. */
uint32_t parse_from(struct parser *x);
/* Where FROM stands, at this depth of brackets, before the statement's end; NULL: there is none. */
const struct token *parse_find_from(const struct parser *x);
/* Number of the name among the program's. */
uint32_t parse_name(struct parser *x, const char *name);
enum system parse_system(const struct parser *x, const char *name);
bool parse_is_rows(const struct parser *x); /* The clients' table is next. */
void parse_rows_name(struct parser *x);

#endif
