/* Results of SQL requests, as plain data. PURE: no client library here; the simulator builds them too. */
#ifndef REGENT_MYSQL_RESULT_H
#define REGENT_MYSQL_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DB_SETS_MAX = 16,
    DB_ROWS_MAX = 2048,     /* Of one set. */
    DB_COLUMNS_MAX = 128,
    DB_BYTES_MAX = 1 << 20, /* Of one request, over all sets. */
    DB_ERROR_SIZE = 256,
};

enum db_status {
    DB_OK = 0,
    DB_ERROR,       /* The server answered with an error: code is its number (1045, 1205, ...). The session lives
                       unless session_lost. */
    DB_REFUSED,     /* No session: connection refused. */
    DB_UNREACHABLE, /* No session: host unknown, no route, ... */
    DB_LOST,        /* The session ended while the request ran: outcome unknown. */
    DB_TIMED_OUT,   /* Our deadline: outcome unknown. */
    DB_CANCELED,    /* db_drop() or db_close(). */
};

struct db_set {
    uint32_t rows_n;
    uint16_t columns_n; /* 0: the statement returned no rows (an OK packet). */
    const char *const *names;  /* [columns_n] */
    const char *const *cells;  /* [rows_n * columns_n], NUL-terminated; NULL: SQL NULL. */
    uint64_t affected;
};

struct db_result {
    enum db_status status;
    unsigned code; /* Server's or client library's error number; 0 when OK. */
    bool session_lost; /* The session is gone: user locks and session variables with it. */
    bool connected;    /* A new session was made for this request. */
    bool cut;          /* A bound was hit: the result is not whole and must not be trusted. */
    char error[DB_ERROR_SIZE]; /* For people; never to be parsed. */
    uint16_t sets_n; /* Sets of the statements that succeeded; with DB_ERROR: those before the failing one. */
    struct db_set sets[DB_SETS_MAX];
};

/* Cell of set 's', row 'r', by column name (case-insensitive); NULL when absent or SQL NULL. */
const char *db_cell(const struct db_result *result, unsigned s, unsigned r, const char *name);
/* True when both name the same column or variable. */
bool db_is_name(const char *a, const char *b);

/* Reads cells of one set. Names are looked for behind the one that was found last, so that who asks in about the order
 * of the columns does not compare with all of them. */
struct db_reader {
    const struct db_set *set; /* NULL: every cell is absent. */
    size_t next;              /* Column. */
};
/* As db_cell(). */
const char *db_read(struct db_reader *reader, unsigned r, const char *name);
uint64_t db_read_u64(struct db_reader *reader, unsigned r, const char *name, uint64_t missing);
/* A reader of the first set that has a column of that name. */
struct db_reader db_reader_of(const struct db_result *result, const char *name);

/* As number; 'missing' when absent, NULL or not an unsigned decimal. */
uint64_t db_cell_u64(const struct db_result *result, unsigned s, unsigned r, const char *name, uint64_t missing);

#endif
