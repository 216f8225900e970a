/* Errors that have more to say than a number.
 *
 * A function that can fail returns 0 or a negative errno and, where text helps, fills the caller's
 * 'struct err'. The outermost context comes first: "load snapshot /var/lib/x: CRC differs". */
#ifndef REGENT_ERR_H
#define REGENT_ERR_H

#include "lib/base/must.h"

enum { ERR_TEXT_SIZE = 512 };

struct err {
    int code;                 /* 0 or negative errno. */
    char text[ERR_TEXT_SIZE]; /* One sentence for an operator; cut at the end when too long. */
};

/* Sets code and text. 'e' may be NULL. Returns 'code', which must be negative. */
int err_set(struct err *e, int code, const char *format, ...) REGENT_PRINTF(3, 4);

/* As err_set(), with ": <text of errno value code>" behind the text. */
int err_errno(struct err *e, int code, const char *format, ...) REGENT_PRINTF(3, 4);

/* Puts "<context>: " before the text that 'e' holds and returns its code. 'e' may be NULL (then 'code'). */
int err_wrap(struct err *e, int code, const char *format, ...) REGENT_PRINTF(3, 4);

#endif
