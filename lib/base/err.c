/* Errors with text: see the header. A text that does not fit loses its end, never its beginning, which says what was
 * attempted. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

int err_set(struct err *e, int code, const char *format, ...)
{
    char text[ERR_TEXT_SIZE]; /* The arguments may point into 'e' itself. */
    va_list args;

    MUST(code < 0);
    if (e == NULL) return code;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    e->code = code;
    (void)TEXT_COPY(e->text, text);
    return code;
}

int err_errno(struct err *e, int code, const char *format, ...)
{
    char text[ERR_TEXT_SIZE], reason[128];
    struct text t;
    va_list args;

    MUST(code < 0);
    if (e == NULL) return code;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    e->code = code;
    t = TEXT_ON(e->text);
    text_addf(&t, "%s: %s", text, strerror_r(-code, reason, sizeof reason));
    return code;
}

int err_wrap(struct err *e, int code, const char *format, ...)
{
    char text[ERR_TEXT_SIZE], inner[ERR_TEXT_SIZE];
    struct text t;
    va_list args;

    if (e == NULL) return code;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)TEXT_COPY(inner, e->text);
    if (e->code == 0) e->code = code;
    t = TEXT_ON(e->text);
    text_add(&t, text);
    if (inner[0] != '\0') text_addf(&t, ": %s", inner);
    return e->code;
}
