/* What shell.c, shell_ports.c and shell_tls.c share. Not for others. */
#ifndef REGENT_MANAGER_SHELL_PRIVATE_H
#define REGENT_MANAGER_SHELL_PRIVATE_H

#include <uv.h>

#include "lib/base/text.h"
#include "lib/clock.h"
#include "manager/clients.h"
#include "manager/consensus.h"
#include "manager/driver.h"
#include "manager/hand_over.h"
#include "manager/listen.h"
#include "manager/members.h"
#include "manager/peers.h"
#include "manager/recovery.h"
#include "manager/sessions.h"
#include "manager/shell.h"
#include "manager/upgrade.h"

struct shell {
    uv_loop_t loop;
    uv_idle_t idle;
    uv_check_t check;
    uv_timer_t timer, last_resort;
    uv_signal_t sigint, sigterm, sighup;
    uv_timer_t tls_timer;
    unsigned tls_looks;
    const struct config *config;
    struct ports ports;
    struct conn_net net; /* Owns its 'tls'. */
    struct listen *listen;
    struct consensus *consensus;
    struct sessions *sessions;
    struct peers *peers;
    struct observe *observe;
    struct execute *execute;
    struct driver *driver;
    struct clients *clients;
    struct members *members;
    struct hand_over *hand_over;
    struct raft_node_identity identity;
    struct upgrade *upgrade;
    struct recovery recovery;
    struct report_node node; /* As of the last shell_world(). */
    struct mono wake_at;
    bool in_round, applied, stopping, fatal;
    char fatal_text[ERR_TEXT_SIZE];
    uint64_t told_term, told_leader;
    uint64_t told_digest; /* Index; to the leader that we are connected to. */
    bool told_established;
};

/* A round follows in this turn of the loop or the next. */
void shell_wake(struct shell *s);
/* A round follows at s->wake_at at the latest. */
void shell_arm(struct shell *s);
/* Ends everything in order; the loop ends when the last handle is closed. */
void shell_stop(struct shell *s);
void shell_fill_ports(struct shell *s);
/* The node's status, with names and addresses of the table of members. */
void shell_status(struct shell *s, struct raft_node_status *status);

/* The leader looks whether the group can go on to a higher version. */
void shell_upgrade(struct shell *s, const struct raft_node_status *status);

/* Certificates (shell_tls.c): handles, which need no files; the files, and looking at them; closing the handles. */
void shell_tls_init(struct shell *s);
int shell_tls_open(struct shell *s, struct err *e) MUST_CHECK;
void shell_tls_stop(struct shell *s);

/* Hooks of the modules. */
const struct fsm_state *shell_state(void *arg);
void shell_hangup(void *arg, uint8_t cluster, uint8_t server, enum port_session session);
void shell_observed(void *arg, const struct proto_observation *observation);
void shell_digest(void *arg, uint64_t id, const struct agreement_digest *digest);
void shell_leader_connected(void *arg);
void shell_changed(void *arg, uint8_t cluster);
void shell_world(void *arg, struct answer_world *world);
void shell_applied(void *arg);
void shell_woken(void *arg);
void shell_fatal(void *arg, const char *text);
void shell_accept(void *arg, enum frame_protocol protocol, struct conn *conn);

#endif
