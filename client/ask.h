/* Asking the group: finds the leader and stays with it, over elections and lost connections.
 *
 * The client library: `regent` and test tools use it. It is blocking, and one asker belongs to one thread. */
#ifndef REGENT_CLIENT_ASK_H
#define REGENT_CLIENT_ASK_H

#include "client/connect.h"

enum { ASK_ENDPOINTS_MAX = 8, ASK_MEMBERS_MAX = 8, ASK_PATIENCE_MS = 5000, ASK_DEAD_MS = 1000 };

struct asker {
    int64_t patience_ms; /* How long one asker_ask() goes on; ASK_PATIENCE_MS unless the caller sets it. */
    int64_t dead_ms;     /* As long as no manager answered at all and nothing is under way; ASK_DEAD_MS, likewise. */
    unsigned endpoints_n;
    char endpoints[ASK_ENDPOINTS_MAX][FSM_PATH_SIZE];
    unsigned members_n; /* Addresses of the group, as a manager told them: tried after the endpoints. */
    char members[ASK_MEMBERS_MAX][FSM_ADDRESS_SIZE];
    bool has_said_hello;
    unsigned next;                 /* Endpoint or member to try next. */
    char leader[FSM_ADDRESS_SIZE]; /* Where we were sent; empty: not known. */
    struct link link;
    struct fsm_request_id id; /* Of the last request that changes something. */
    uint64_t index;           /* Highest index that a manager told: all up to it is committed. */
};

/* 'list': addresses with commas between. Returns 0; or -EINVAL with a text. Then asker_fini(). */
int asker_init(struct asker *k, const char *list, struct err *e) MUST_CHECK;
/* TCP uses the certificates in 'dir' (link_set_tls_dir()). Returns 0, or -ENAMETOOLONG with a text. */
int asker_set_tls_dir(struct asker *k, const char *dir, struct err *e) MUST_CHECK;
/* Closes the connection and forgets certificates; harmless when repeated. */
void asker_fini(struct asker *k);

/* Asks until there is an answer of the leader, at most k->patience_ms. Returns the answer's code; or without any answer
 * CLIENT_NO_LEADER.
 *
 * A request that changes something gets a fresh id, and is repeated under that id when its answer was lost: it is done
 * once, or not at all. CLIENT_UNKNOWN when it was sent and nobody could say in time what became of it, or the managers
 * remember no longer. r->id then tells which request it was.
 * Before a change, and before it follows events, it asks a manager for the addresses of the group: when that manager
 * ends later, the others are asked in its place.
 * 'a' is always initialised and has a text then; client_answer_fini() it.
 * 'stale_ok': rather than nothing, take what one manager remembers (code CLIENT_NO_LEADER, with JSON). */
enum client_code asker_ask(struct asker *k, struct client_request *r, bool stale_ok, struct client_answer *a);

/* After asker_ask() gave CLIENT_MORE: waits up to 'ms' for the next. CLIENT_MORE; or another code when the stream ended
 * (CLIENT_NO_LEADER with an empty text when nothing came: ask again from where you are). */
enum client_code asker_more(struct asker *k, int64_t ms, struct client_answer *a);

#endif
