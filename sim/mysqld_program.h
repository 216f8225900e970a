/* Programs of the simulated mysqld: what mysqld_parse*.c make of a text and mysqld_run*.c perform. Private to them.
 *
 * A program is linear: expressions work on a stack, loops and conditions jump, so a statement that has to wait (a lock,
 * an ack, a thread that ends) simply goes on at the same operation later. Tables are virtual: a cursor walks over what
 * the server knows. */
#ifndef REGENT_SIM_MYSQLD_PROGRAM_H
#define REGENT_SIM_MYSQLD_PROGRAM_H

#include "sim/mysqld_private.h"

enum op {
    /* Values. */
    OP_LITERAL, OP_NULL, OP_LOCAL, OP_USER, OP_SYSTEM, OP_COLUMN, OP_LOOP_VALUE, OP_CALL,
    OP_EQUAL, OP_SAFE_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_GREATER, OP_LESS_EQUAL, OP_GREATER_EQUAL,
    OP_ADD, OP_SUBTRACT, OP_AND, OP_OR, OP_NOT, OP_IS_NULL, OP_IN, OP_IN_LITERALS, OP_ROWS_COUNT, OP_PRIVILEGES,
    /* Flow. */
    OP_JUMP, OP_JUMP_UNLESS, OP_DROP,
    /* Cursors: a: which. */
    OP_OPEN,    /* b: table */
    OP_NEXT,    /* c: where to go when there is no further row */
    OP_COUNT, OP_MAX, OP_TAKE_AGGREGATE,
    /* Statements. */
    OP_STATEMENT, /* c: end */
    OP_SET_LOCAL, OP_SET_USER, OP_SET_SESSION, OP_SET_GLOBAL, OP_SIGNAL, OP_RESIGNAL,
    OP_LOOP_BEGIN, OP_LOOP_ADD, OP_LOOP_NEXT, OP_KILL,
    OP_SET_BEGIN, /* a: columns, c: first name */
    OP_ROW, OP_SET_OK, OP_SHOW_CHANNELS,
    OP_STOP, OP_START, OP_RESET_ALL, OP_CHANGE,
    OP_FENCE_UPDATE, OP_FENCE_INSERT, OP_REIGN_INSERT, OP_WRITE, OP_DDL, OP_FLUSH,
    OP_END
};

struct code {
    uint8_t op, a;
    uint16_t b;
    uint32_t c;
};

enum { HANDLER_CODES_MAX = 4, HANDLERS_MAX = 16 };

struct handler {
    uint32_t from, to, target; /* In force at from .. to - 1; an EXIT handler goes on at 'target'. */
    bool is_exit;
    unsigned codes_n, codes[HANDLER_CODES_MAX]; /* Literals. None: any error. */
};

struct program {
    struct code *code;
    uint32_t n, room;
    const char **names;
    uint32_t names_n, names_room;
    struct handler handlers[HANDLERS_MAX];
    unsigned handlers_n;
    /* Literals that the fence row's token and term are compared with: those of the verb. -1: none. */
    int guard_token, guard_term;
};

enum table { TABLE_FENCE, TABLE_SESSIONS, TABLE_STATUS, TABLE_VARIABLES, TABLE_COLUMNS, TABLE_TABLES, TABLE_SCHEMAS,
             TABLES_N };

enum column {
    COLUMN_ID, COLUMN_IDENTITY, COLUMN_TOKEN, COLUMN_EPOCH, COLUMN_TERM,
    COLUMN_USER, COLUMN_COMMAND, COLUMN_STATE, COLUMN_INFO,
    COLUMN_VARIABLE_NAME, COLUMN_VARIABLE_VALUE, COLUMN_GLOBAL_VALUE, COLUMN_ORIGIN,
    COLUMN_TABLE_SCHEMA, COLUMN_TABLE_NAME, COLUMN_COLUMN_NAME, COLUMN_SCHEMA_NAME,
};

enum system {
    SYSTEM_SERVER_ID, SYSTEM_READ_ONLY, SYSTEM_SLAVE_POS, SYSTEM_CURRENT_POS, SYSTEM_BINLOG_POS, SYSTEM_STRICT,
    SYSTEM_LOG_BIN, SYSTEM_LOG_UPDATES, SYSTEM_SYNC_BINLOG, SYSTEM_FLUSH_LOG, SYSTEM_SYNC_RELAY,
    SYSTEM_SOURCE_ENABLED, SYSTEM_REPLICA_ENABLED, SYSTEM_SOURCE_TIMEOUT, SYSTEM_WAIT_POINT, SYSTEM_WAIT_NO_SLAVE,
    SYSTEM_KILL_CONN, SYSTEM_NET_TIMEOUT, SYSTEM_SQL_LOG_BIN, SYSTEM_LOCK_WAIT, SYSTEM_WAIT_TIMEOUT,
    SYSTEM_MAX_CONNECTIONS, SYSTEM_IGNORED,
    SYSTEMS_N
};

enum call {
    CALL_NOW, CALL_NOW_MICRO, CALL_CONNECTION_ID, CALL_IS_USED_LOCK, CALL_GET_LOCK, CALL_RELEASE_LOCK, CALL_IFNULL,
    CALL_GREATEST, CALL_VERSION, CALL_CURRENT_USER, CALL_CONCAT, CALL_LEFT,
    CALL_CONSTANT, /* The number of its arguments, of which it has none: 0 or 1. */
};

enum ddl { DDL_SCHEMA, DDL_SCHEMA_IF, DDL_FENCE, DDL_FENCE_IF, DDL_REIGN_IF, DDL_TERM };

enum { THREAD_IO = 1, THREAD_SQL = 2 };

enum change { CHANGE_HOST = 1, CHANGE_PORT, CHANGE_USER, CHANGE_PASSWORD, CHANGE_GTID, CHANGE_HEARTBEAT, CHANGE_RETRY };

/* Options of CHANGE MASTER lie in the program as pairs: enum change in 'a', literal in 'c' (GTID: none). */

/* A row of the table is there; false: behind the last. */
bool table_has_row(const struct mysqld *m, enum table table, uint32_t row);
struct value table_cell(struct session *s, enum table table, uint32_t row, enum column column);
/* 0, or the error of opening it (1146). */
unsigned table_error(const struct mysqld *m, enum table table);
struct value system_value(struct session *s, enum system name);
/* The answer to SHOW ALL SLAVES STATUS, as a set of s->reply. */
void show_channels(struct session *s);
/* Texts of the statement that runs; live as long as its reply. */
char *reply_text(struct session *s, size_t size);
const char *text_of_number(struct session *s, const struct value *v);
bool value_is_true(const struct value *v);
struct value number(int64_t n);
struct value text_value(const char *text);

/* Position as text, kept until it changes. */
const char *pos_text(struct mysqld *m, unsigned slot, const struct pos *pos);

#endif
