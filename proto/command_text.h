/* A command of the log, told field by field: for people who read a log offline (`regent log dump`).
 *
 * Made from the message's own description, so that a kind of command that is new to this version is told too. */
#ifndef REGENT_PROTO_COMMAND_TEXT_H
#define REGENT_PROTO_COMMAND_TEXT_H

#include "fsm/command.h"
#include "lib/base/err.h"

enum { PROTO_PATH_SIZE = 96 };

enum proto_field_type {
    PROTO_FIELD_TEXT,   /* 'text' of 'size' bytes, with a NUL behind; may have control characters. */
    PROTO_FIELD_BYTES,  /* The same, not made of printable characters. */
    PROTO_FIELD_NUMBER, /* 'number'. */
    PROTO_FIELD_SIGNED, /* (int64_t)number. */
    PROTO_FIELD_TIME,   /* (int64_t)number: microseconds since 1970. */
    PROTO_FIELD_TRUE,
    PROTO_FIELD_SERVER, /* 'number': place of a server in its cluster. */
    PROTO_FIELD_SET,    /* 'number': places of servers, one bit each. */
};

/* Borrowed until the function that is given it returns. */
struct proto_field {
    char path[PROTO_PATH_SIZE]; /* "reason", "servers.0.name" */
    enum proto_field_type type;
    const char *text;
    size_t size;
    uint64_t number;
};

struct proto_visitor {
    void (*field)(void *arg, const struct proto_field *field);
    void *arg;
};

struct proto_command_head {
    struct fsm_request_id id;
    struct wall time;
    uint32_t kind;
    char name[PROTO_PATH_SIZE]; /* "plan_step"; "unknown-99": of a newer version. */
    bool newer;                 /* It has fields that this version does not know. */
};

/* Fills '*head' and gives each field of the command that is not empty, zero or false to 'visitor' (may be NULL), in
 * their order; 0 for a server is told. -EPROTO: the bytes are no command. */
int proto_command_describe(const void *data, size_t size, struct proto_command_head *head,
                           const struct proto_visitor *visitor, struct err *e) MUST_CHECK;

#endif
