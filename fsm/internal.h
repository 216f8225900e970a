/* What the files of fsm/ share: the command being applied, events, refusals, the reigns. PURE. Private to fsm/. */
#ifndef REGENT_FSM_INTERNAL_H
#define REGENT_FSM_INTERNAL_H

#include "fsm/command.h"
#include "lib/base/text.h"

/* One command on its way into the state. A rule checks first, then changes: a refusal changes nothing. */
struct fsm_apply {
    struct fsm_state *state;
    uint64_t index;
    const struct fsm_command *command;
    struct fsm_result *result;
};

/* Refuses: puts a printf-formatted text for the operator into the result; its value is 'code'. */
#define FSM_REFUSE(a, code, ...)                                                                                      \
    ({                                                                                                                \
        struct text refusal_ = TEXT_ON((a)->result->text);                                                            \
        text_addf(&refusal_, __VA_ARGS__);                                                                            \
        (enum fsm_code)(code);                                                                                        \
    })

/* Copies 's' and fills the rest of 'to' with zeros, so that equal texts are equal bytes (S4). */
void fsm_text_set(char *to, size_t size, const char *s);
#define FSM_TEXT_SET(array, s) fsm_text_set((array), sizeof(array), (s))

/* Records an event of 'cluster' (NULL: of the group). 'evidence' may be "". */
struct fsm_note {
    const struct fsm_cluster *cluster;
    const char *kind;
    const char *text;
    const char *evidence;
};
void fsm_event_add(struct fsm_apply *a, const struct fsm_note *note);

/* Remembers a result; the oldest one leaves a full window. */
void fsm_dedup_add(struct fsm_state *state, struct fsm_request_id id, const struct fsm_result *result);

/* The writable form of fsm_cluster_find(), or NULL with a text in the result. */
struct fsm_cluster *fsm_apply_cluster(struct fsm_apply *a, const char *name);
/* The plan that runs on 'cluster', or NULL. */
struct fsm_plan *fsm_apply_running(struct fsm_state *state, const struct fsm_cluster *cluster);
/* "db1", or "nobody" for FSM_SERVER_NONE. */
const char *fsm_server_name(const struct fsm_cluster *cluster, uint8_t server);
static inline bool fsm_server_is(const struct fsm_cluster *cluster, uint8_t server, enum fsm_server_state state)
{
    /* Both bounds: the compiler of Debian 13 does not know that the first implies the second. */
    return server < FSM_SERVERS_MAX && server < cluster->servers_n && cluster->servers[server].state == state;
}
/* All servers of 'cluster'. */
static inline fsm_set fsm_set_all(const struct fsm_cluster *cluster)
{
    return (fsm_set)((1u << cluster->servers_n) - 1u);
}
static inline fsm_set fsm_set_one(uint8_t server)
{
    return server < FSM_SERVERS_MAX ? FSM_BIT(server) : 0;
}
/* Appends "db1, db2", or "nobody". */
void fsm_text_servers(struct text *t, const struct fsm_cluster *cluster, fsm_set servers);

/* Quarantines 'server' and records it. 'reason' says why and what to do. */
void fsm_quarantine(struct fsm_apply *a, struct fsm_cluster *cluster, uint8_t server, const char *reason);
void fsm_quarantine_set(struct fsm_apply *a, struct fsm_cluster *cluster, fsm_set servers, const char *reason);

/* Gives master, backup and all others their current roles. */
void fsm_roles_set(struct fsm_cluster *cluster);

/* --- reigns (A8) --- */
/* Keeps the incarnations of the reign's master and ackers, and with the master's the counter; 0 keeps what is there. */
void fsm_reign_started_set(struct fsm_reign *reign, const uint64_t *started_s, uint64_t no_tx);
/* Records "reign.unproven" with the reason. */
void fsm_note_unproven(struct fsm_apply *a, const struct fsm_cluster *cluster, const struct fsm_reign *reign,
                       const char *reason);
/* True when a reign of 'master' fits into the list, also after the past ones of 'plan' were put back. */
bool fsm_reign_fits(const struct fsm_cluster *cluster, const struct fsm_plan *plan, uint8_t master);
/* Lists a reign. One that the same server led before is absorbed: its ackers may still acknowledge for that server. */
void fsm_reign_list(struct fsm_cluster *cluster, const struct fsm_reign *reign);
/* Absorbs into 'reign' the ackers of what its master led before 'plan' took it off the list, but for the revoked ones:
 * nobody stopped them, so they may attach again by themselves. */
void fsm_reign_absorb_past(struct fsm_reign *reign, const struct fsm_plan *plan);
/* Moves the whole list into 'plan'. */
void fsm_reigns_end(struct fsm_cluster *cluster, struct fsm_plan *plan);
/* Puts what fsm_reigns_end() took back into the list. */
void fsm_reigns_restore(struct fsm_cluster *cluster, struct fsm_plan *plan);
/* OPEN is done: lists the unproven past reigns of 'plan' as unfenced, without the ackers that follow no more. */
void fsm_reigns_keep_unfenced(struct fsm_cluster *cluster, const struct fsm_plan *plan);
/* Takes 'confirmed' out of the ackers of every unfenced reign, and off the list those that cannot acknowledge then. */
void fsm_reigns_shrink_unfenced(struct fsm_cluster *cluster, fsm_set confirmed);
/* Takes the unfenced reign of 'master' off the list: it is closed (F2). */
void fsm_reigns_drop_unfenced(struct fsm_cluster *cluster, uint8_t master);
/* Takes the oldest unfenced reign off the list. False when there is none. */
bool fsm_reigns_forget(struct fsm_cluster *cluster, struct fsm_reign *forgotten);
/* The listed reign of 'epoch', or NULL. */
struct fsm_reign *fsm_reign_find(struct fsm_cluster *cluster, uint64_t epoch);

/* --- texts of declarations and members --- */
/* Letters, digits, and inside also '.', '_' and '-': safe in file names, metrics and SQL. */
bool fsm_name_is_valid(const char *name);
/* host:port */
bool fsm_address_is_valid(const char *address);
/* What must hold of members and tokens: NULL, or the broken rule. */
const char *fsm_members_invariant(const struct fsm_state *state);

/* FSM_OK, or UNKNOWN with a text for a command that is not of the active version. */
enum fsm_code fsm_version_check(struct fsm_apply *a);

/* --- one a command --- */
enum fsm_code fsm_apply_cluster_set(struct fsm_apply *a);
enum fsm_code fsm_apply_version(struct fsm_apply *a);
#ifdef REGENT_NEXT_VERSION
enum fsm_code fsm_apply_label(struct fsm_apply *a);
#endif
enum fsm_code fsm_apply_server_state(struct fsm_apply *a);
enum fsm_code fsm_apply_plan_begin(struct fsm_apply *a);
enum fsm_code fsm_apply_plan_step(struct fsm_apply *a);
enum fsm_code fsm_apply_plan_end(struct fsm_apply *a);
enum fsm_code fsm_apply_reign_proof(struct fsm_apply *a);
enum fsm_code fsm_apply_member(struct fsm_apply *a);
enum fsm_code fsm_apply_token(struct fsm_apply *a);
enum fsm_code fsm_apply_recovered(struct fsm_apply *a);

#endif
