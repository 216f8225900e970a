/* Asking the group: finds the leader and stays with it, over elections and lost connections. */
#ifndef REGENT_CLIENT_ASK_H
#define REGENT_CLIENT_ASK_H

#include "client/connect.h"

enum { ASK_ENDPOINTS_MAX = 8, ASK_PATIENCE_MS = 5000 };

struct asker {
    unsigned endpoints_n;
    char endpoints[ASK_ENDPOINTS_MAX][FSM_PATH_SIZE];
    unsigned next;                 /* Endpoint to try next. */
    char leader[FSM_ADDRESS_SIZE]; /* Where we were sent; empty: not known. */
    struct link link;
    struct fsm_request_id id; /* Of the last request that changes something. */
};

/* 'list': addresses with commas between. Returns 0; or -EINVAL with a text. Then asker_fini(). */
int asker_init(struct asker *k, const char *list, struct err *e) MUST_CHECK;
void asker_fini(struct asker *k);

/* Asks until there is an answer of the leader, at most ASK_PATIENCE_MS. A request that changes something gets a fresh
 * id, and is repeated under that id when its answer was lost, so it is done once. Returns the answer's code; or without
 * any answer CLIENT_NO_LEADER, or CLIENT_UNKNOWN when such a request was sent and nobody could say what became of it.
 * 'a' is always initialised and has a text then; client_answer_fini() it.
 * 'stale_ok': rather than nothing, take what one manager remembers (code CLIENT_NO_LEADER, with JSON). */
enum client_code asker_ask(struct asker *k, struct client_request *r, bool stale_ok, struct client_answer *a);

/* After asker_ask() gave CLIENT_MORE: waits up to 'ms' for the next. CLIENT_MORE; or another code when the stream ended
 * (CLIENT_NO_LEADER with an empty text when nothing came: ask again from where you are). */
enum client_code asker_more(struct asker *k, int64_t ms, struct client_answer *a);

#endif
