/* What answer.c and answer_member.c share: a text or a JSON document into an answer. Not for others. */
#ifndef REGENT_MANAGER_ANSWER_PRIVATE_H
#define REGENT_MANAGER_ANSWER_PRIVATE_H

#include <stdarg.h>
#include <stdio.h>

#include "manager/answer.h"

static inline enum answer_kind say(struct client_answer *a, enum client_code code, const char *format, ...)
    REGENT_PRINTF(3, 4);

static inline enum answer_kind say(struct client_answer *a, enum client_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(a->text, sizeof(a->text), format, args);
    va_end(args);
    a->code = code;
    return ANSWER_NOW;
}

/* Puts '*json' into the answer and releases it. */
static inline void attach(struct client_answer *a, json_t *json)
{
    MUST(json != NULL);
    a->json = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    MUST(a->json != NULL);
}

#endif
