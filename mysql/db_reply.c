/* Runs a text of one or several statements on a session and copies what the server answers. In a connection's thread.
 *
 * Rows are read one by one and not buffered by the library, so a result beyond the bounds of mysql/result.h costs time
 * (until the request's deadline) but no memory: what is beyond is read and thrown away, and 'cut' is set. */
#include "mysql/db_impl.h"

#include <mysql.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

enum {
    ROWS_FIRST = 16, /* Rows for which a set has room at first; doubles. */
    MYSQL_SESSION_WAS_KILLED = 3169, /* Not in MariaDB's header: numbers of MySQL 8. */
    MYSQL_CLIENT_INTERACTION_TIMEOUT = 4031,
};

struct db_reply *db_reply_new(void)
{
    struct db_reply *reply = calloc(1, sizeof(*reply));
    MUST(reply != NULL);
    return reply;
}

void db_reply_free(struct db_reply *reply)
{
    if (reply == NULL) return;
    arena_free(&reply->arena);
    free(reply);
}

static bool take_bytes(struct db_reply *reply, size_t bytes)
{
    if (bytes > DB_BYTES_MAX - reply->bytes) {
        reply->result.cut = true;
        return false;
    }
    reply->bytes += bytes;
    return true;
}

/* Copies a text of 'length' bytes. NULL (with 'cut' set) when the request's bytes are used up. A NUL inside would
 * hide what follows from readers of the cell, so it counts as cut, too. */
static const char *copy_text(struct db_reply *reply, const char *text, size_t length)
{
    if (memchr(text, '\0', length) != NULL) {
        reply->result.cut = true;
        return NULL;
    }
    if (!take_bytes(reply, length + 1)) return NULL;
    char *copy = arena_alloc(&reply->arena, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static void copy_names(struct db_reply *reply, struct db_set *set, MYSQL_RES *rows)
{
    unsigned columns_n = mysql_num_fields(rows);
    if (columns_n > DB_COLUMNS_MAX) {
        columns_n = DB_COLUMNS_MAX;
        reply->result.cut = true;
    }
    const char **names = arena_alloc(&reply->arena, columns_n * sizeof(*names));
    const MYSQL_FIELD *fields = mysql_fetch_fields(rows);
    for (unsigned c = 0; c < columns_n; c++) {
        names[c] = copy_text(reply, fields[c].name, strlen(fields[c].name));
        if (names[c] == NULL) names[c] = "";
    }
    set->columns_n = (uint16_t)columns_n;
    set->names = names;
}

/* Makes room for one more row. The array that was outgrown stays in the reply's memory until the reply is freed. */
static const char **grow(struct db_reply *reply, const char **cells, const struct db_set *set, uint32_t *room_rows)
{
    if (set->rows_n < *room_rows) return cells;
    uint32_t rows = *room_rows == 0 ? ROWS_FIRST : *room_rows * 2;
    const char **larger = arena_alloc(&reply->arena, (size_t)rows * set->columns_n * sizeof(*larger));
    if (cells != NULL) memcpy(larger, cells, (size_t)set->rows_n * set->columns_n * sizeof(*larger));
    *room_rows = rows;
    return larger;
}

static void copy_row(struct db_reply *reply, const char **cells, MYSQL_ROW row, const unsigned long *lengths,
                     unsigned columns_n)
{
    for (unsigned c = 0; c < columns_n; c++) {
        if (row[c] != NULL) {
            cells[c] = copy_text(reply, row[c], lengths[c]);
        } else {
            cells[c] = NULL;
            (void)take_bytes(reply, 1); /* So that rows of NULLs are bounded, too. */
        }
    }
}

/* Copies the rows of one set into '*set'; reads on to the end when the bounds are hit. */
static void copy_rows(struct db_reply *reply, struct db_set *set, MYSQL_RES *rows)
{
    uint32_t room_rows = 0;
    const char **cells = NULL;
    copy_names(reply, set, rows);
    for (MYSQL_ROW row = mysql_fetch_row(rows); row != NULL; row = mysql_fetch_row(rows)) {
        if (set->rows_n == DB_ROWS_MAX) reply->result.cut = true;
        if (reply->result.cut) continue;
        cells = grow(reply, cells, set, &room_rows);
        copy_row(reply, cells + (size_t)set->rows_n * set->columns_n, row, mysql_fetch_lengths(rows), set->columns_n);
        set->rows_n++;
    }
    set->cells = cells;
}

/* Copies the result that the server sends now. Returns false when there was an error instead. */
static bool copy_set(struct db_reply *reply, MYSQL *mysql)
{
    struct db_set set = {0};
    MYSQL_RES *rows = mysql_use_result(mysql);
    if (rows != NULL) {
        copy_rows(reply, &set, rows);
        bool is_whole = mysql_errno(mysql) == 0;
        mysql_free_result(rows);
        if (!is_whole) return false;
    } else {
        if (mysql_errno(mysql) != 0) return false;
        set.affected = mysql_affected_rows(mysql);
    }
    if (reply->result.sets_n < DB_SETS_MAX) {
        reply->result.sets[reply->result.sets_n++] = set;
    } else {
        reply->result.cut = true;
    }
    return true;
}

static bool ends_session(unsigned code)
{
    return code == ER_SERVER_SHUTDOWN || code == ER_CONNECTION_KILLED || code == MYSQL_SESSION_WAS_KILLED ||
           code == MYSQL_CLIENT_INTERACTION_TIMEOUT;
}

/* An error number of the client library means that the talk with the server broke off, and the outcome is unknown. */
static void set_error(struct db_result *result, MYSQL *mysql)
{
    result->code = mysql_errno(mysql);
    bool is_broken = result->code == 0 || db_is_client_error(result->code);
    result->status = is_broken ? DB_LOST : DB_ERROR;
    result->session_lost = is_broken || ends_session(result->code);
    (void)TEXT_COPY(result->error, mysql_error(mysql));
}

void db_session_run(struct db_session *session, const char *sql, struct db_reply *reply)
{
    MYSQL *mysql = session->mysql;
    bool is_good = mysql_real_query(mysql, sql, strlen(sql)) == 0 && copy_set(reply, mysql);
    /* mysql_next_result() says -1 at the end, but also after some errors: only mysql_more_results() tells the end. */
    while (is_good && mysql_more_results(mysql)) is_good = mysql_next_result(mysql) == 0 && copy_set(reply, mysql);
    if (!is_good) set_error(&reply->result, mysql);
}
