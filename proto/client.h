/* The client protocol's messages as structs; bytes in proto/client.c, over frames of lib/frame.h. */
#ifndef REGENT_PROTO_CLIENT_H
#define REGENT_PROTO_CLIENT_H

#include "fsm/command.h"
#include "lib/base/err.h"

#define CLIENT_OPS(X)                                                                                                 \
    X(STATUS) X(EVENTS) X(EXPLAIN) X(FAILOVER) X(PLAN_LIST) X(PLAN_SHOW) X(PLAN_ABORT) X(MEMBER_LIST)                 \
    X(CLUSTER_SET) X(CLUSTER_SHOW) X(VERSION) X(NOTE)                                                                 \
    X(TOKEN_CREATE) X(MEMBER_SET) X(MEMBER_TRANSFER) X(MEMBER_JOIN) X(CLUSTER_PAUSE) X(CLUSTER_RESUME)            \
    X(TOKEN_REVOKE)

enum client_op {
    CLIENT_none = 0,
#define X(id) CLIENT_##id,
    CLIENT_OPS(X)
#undef X
    CLIENT_OPS_N
};

/* Of TOKEN_CREATE (address or "", hash, ttl_s), MEMBER_SET (role that is wanted; none: the address is new) and
 * MEMBER_JOIN (address, role to become, secret, nonce, group). The member's name is request.server; the id of a join is
 * request.number. */
struct client_member {
    char address[FSM_ADDRESS_SIZE];
    enum fsm_member_role role;
    uint8_t hash[FSM_HASH_SIZE];     /* Of the secret, which the client keeps for itself. */
    uint8_t secret[FSM_HASH_SIZE];
    uint8_t nonce[FSM_NONCE_SIZE];   /* Of the data directory that joins. */
    uint64_t group;
    uint64_t ttl_s;
};

struct client_request {
    enum client_op op;
    struct fsm_request_id id; /* For operations that change something. Its 'since': what an answer gave as index. */
    char cluster[FSM_NAME_SIZE];
    char server[FSM_NAME_SIZE];
    uint64_t number;      /* EVENTS: from this index; PLAN_*: token. */
    bool follow;          /* EVENTS: keep sending. */
    bool dry_run, accept_loss, create, stale_ok;
    struct fsm_cluster_spec spec; /* CLUSTER_SET */
    char text[FSM_TEXT_SIZE];     /* NOTE */
    struct client_member member;  /* TOKEN_CREATE, MEMBER_SET, MEMBER_JOIN */
};

/* True for a request that changes something: it needs an id, and only the leader takes it. */
bool client_request_changes(const struct client_request *r);

/* Exit codes of `regent`, and the code of every answer. */
enum client_code {
    CLIENT_OK = 0,
    CLIENT_FAILED = 1,
    CLIENT_USAGE = 2,
    CLIENT_NO_LEADER = 3,  /* no quorum or no leader */
    CLIENT_UNKNOWN = 4,    /* outcome unknown */
    CLIENT_REFUSED = 5,    /* refused by a safety rule */
    CLIENT_REDIRECT = 64,  /* never an exit code: ask 'leader' */
    CLIENT_MORE = 65,      /* EVENTS --follow: another answer follows */
    CLIENT_EXPIRED = 66,   /* never an exit code: the request id is older than what is remembered; see FSM_EXPIRED */
};

struct client_answer {
    enum client_code code;
    char text[1024];             /* For people; empty when the JSON says it all. */
    char leader[FSM_ADDRESS_SIZE];
    uint64_t index;              /* Last applied by the manager that answers; 0: it did not say. */
    char *json;                  /* malloc'd, NUL-terminated, or NULL; the holder frees it (client_answer_fini). */
};

enum { CLIENT_FRAME_REQUEST = 1, CLIENT_FRAME_ANSWER = 2 };

/* Encoders: '*data' is malloc'd, the caller frees it. -ENOMEM; -EMSGSIZE for an answer that no frame could hold. On
 * failure '*data' is NULL. Decoders take hostile bytes: -EPROTO with a text, and the output is all zero. */
int client_request_encode(const struct client_request *r, void **data, size_t *size) MUST_CHECK;
/* Also refuses a request of more than 32 KiB, which none is. */
int client_request_decode(struct client_request *r, const void *data, size_t size, struct err *e) MUST_CHECK;
/* Borrows a->json. */
int client_answer_encode(const struct client_answer *a, void **data, size_t *size) MUST_CHECK;
/* a->json is malloc'd: client_answer_fini(). An unknown code is refused. */
int client_answer_decode(struct client_answer *a, const void *data, size_t size, struct err *e) MUST_CHECK;
/* Frees a->json; harmless when repeated. */
void client_answer_fini(struct client_answer *a);

#endif
