/* The shell of regentd. See shell.h. The ports that driver, observer and executor see are filled in shell_ports.c. */
#include "manager/shell_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "mysql/db.h"

enum { STOP_MS = 5000 };

/* --- rounds ----------------------------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* It only keeps poll from waiting: the round runs in on_check(). */
}

void shell_wake(struct shell *s)
{
    if (!s->stopping) uv_idle_start(&s->idle, on_idle);
}

static void on_timer(uv_timer_t *timer)
{
    shell_wake(timer->data);
}

void shell_arm(struct shell *s)
{
    if (s->stopping || !mono_is_set(s->wake_at)) return;
    int64_t in_us = s->wake_at.us - clock_mono().us;
    if (in_us <= 0) {
        shell_wake(s);
        return;
    }
    uv_update_time(&s->loop);
    uv_timer_start(&s->timer, on_timer, (uint64_t)((in_us + 999) / 1000), 0);
}

/* Tells whoever reads the log who leads, once a change. */
static void note_leader(struct shell *s, const struct raft_node_status *status)
{
    bool is_same = status->leader_id == s->told_leader && status->established == s->told_established;
    if (is_same && status->term == s->told_term) return;
    bool gained = status->established && !s->told_established;
    if (gained) log_info("raft.leader", "term=%llu text=\"this manager leads\"", (unsigned long long)status->term);
    else if (status->leader_id != s->told_leader && status->leader_id != 0 && status->leader_id != status->id)
        log_info("raft.follower", "term=%llu leader=%s", (unsigned long long)status->term, status->leader_address);
    else if (s->told_established && !status->established)
        log_warn("raft.deposed", "term=%llu text=\"this manager leads no more\"", (unsigned long long)status->term);
    s->told_term = status->term;
    s->told_leader = status->leader_id;
    s->told_established = status->established;
}

/* Agreement checked at run time: the leader counts, the others tell it what they have, once. */
static void compare_states(struct shell *s)
{
    struct agreement_digest digest;
    consensus_run(s->consensus);
    if (!consensus_digest(s->consensus, &digest) || digest.index == s->told_digest) return;
    if (peers_tell_digest(s->peers, &digest)) s->told_digest = digest.index;
}

static void shell_round(struct shell *s)
{
    struct raft_node_status status;
    s->wake_at = MONO_NEVER;
    s->in_round = true;
    raft_node_run(consensus_node(s->consensus));
    if (s->fatal || s->stopping) return;
    uint64_t term;
    recovery_run(&s->recovery, consensus_is_established(s->consensus, &term));
    shell_status(s, &status);
    note_leader(s, &status);
    peers_run(s->peers, &status);
    compare_states(s);
    if (s->applied) {
        s->applied = false;
        driver_poke_all(s->driver);
    }
    observe_run(s->observe);
    driver_run(s->driver);
    execute_run(s->execute);
    hand_over_run(s->hand_over);
    int64_t wait_ms = members_run(s->members, &status);
    if (wait_ms >= 0) s->ports.clock.wake_at(s, mono_add_ms(clock_mono(), wait_ms));
    if (status.established) shell_upgrade(s, &status);
    clients_run(s->clients);
    s->in_round = false;
    shell_arm(s);
}

static void on_check(uv_check_t *check)
{
    struct shell *s = check->data;
    uv_idle_stop(&s->idle);
    if (!s->stopping) shell_round(s);
}

/* --- stopping --------------------------------------------------------------------------------------------------- */

static void last_closed(uv_handle_t *handle)
{
    (void)handle; /* Members of the shell: the loop ends when no handle is left. */
}

static void sessions_closed(void *arg)
{
    struct shell *s = arg;
    s->sessions = NULL;
}

static void consensus_closed(void *arg)
{
    (void)arg; /* The loop ends when no handle is left; free_all() follows. */
}

/* A thread that hangs in a name look-up must not keep the process: everything that matters is on disk by now. */
static void on_last_resort(uv_timer_t *timer)
{
    struct shell *s = timer->data;
    log_warn("regentd.stop", "text=\"some connections did not close within %d s: ending anyway\"", STOP_MS / 1000);
    _exit(s->fatal ? 1 : 0);
}

void shell_stop(struct shell *s)
{
    if (s->stopping) return;
    s->stopping = true;
    uv_timer_start(&s->last_resort, on_last_resort, STOP_MS, 0);
    uv_unref((uv_handle_t *)&s->last_resort);
    if (s->listen) listen_stop(s->listen);
    if (s->clients) clients_stop(s->clients);
    if (s->peers) peers_stop(s->peers);
    if (s->execute) execute_cancel_all(s->execute);
    if (s->sessions) sessions_stop(s->sessions, sessions_closed, s);
    if (s->consensus) consensus_stop(s->consensus, consensus_closed, s);
    uv_close((uv_handle_t *)&s->idle, last_closed);
    uv_close((uv_handle_t *)&s->check, last_closed);
    uv_close((uv_handle_t *)&s->timer, last_closed);
    uv_close((uv_handle_t *)&s->sigint, last_closed);
    uv_close((uv_handle_t *)&s->sigterm, last_closed);
    shell_tls_stop(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct shell *s = handle->data;
    log_info("regentd.stop", "text=\"told to stop by %s\"", number == SIGINT ? "SIGINT" : "SIGTERM");
    shell_stop(s);
}

/* --- starting --------------------------------------------------------------------------------------------------- */

static void init_handles(struct shell *s)
{
    uv_idle_init(&s->loop, &s->idle);
    uv_check_init(&s->loop, &s->check);
    uv_timer_init(&s->loop, &s->timer);
    uv_timer_init(&s->loop, &s->last_resort);
    s->last_resort.data = s;
    uv_signal_init(&s->loop, &s->sigint);
    uv_signal_init(&s->loop, &s->sigterm);
    s->idle.data = s->check.data = s->timer.data = s->sigint.data = s->sigterm.data = s;
    uv_check_start(&s->check, on_check);
    uv_signal_start(&s->sigint, on_signal, SIGINT);
    uv_signal_start(&s->sigterm, on_signal, SIGTERM);
    shell_tls_init(s);
}

/* A first member's id is its place in 'group'; later the data directory tells it. */
static uint64_t place_in_group(const struct config *config)
{
    for (unsigned i = 0; i < config->group_n; i++)
        if (text_equal(config->group[i].name, config->node)) return i + 1;
    return 0;
}

static void fill_node_config(const struct config *config, struct raft_node_config *out)
{
    memset(out, 0, sizeof *out);
    out->data_dir = config->data_dir;
    out->id = place_in_group(config);
    TEXT_COPY(out->address, config_own_address(config));
    out->heartbeat_ms = config->heartbeat_ms;
    out->election_timeout_ms = config->election_ms;
    out->snapshot_threshold = 1024;
    out->snapshot_trailing = 2048;
}

/* The data directory says who this is, and under which address the group knows it. */
static int identify(struct shell *s, struct raft_node_config *node, struct err *e)
{
    struct raft_node_identity *who = &s->identity;
    int rc = raft_node_identity(s->config->data_dir, who, e);
    if (rc != 0) return rc;
    for (unsigned i = 0; i < who->members_n; i++) {
        if (who->members[i].id != who->id || text_equal(who->members[i].name, s->config->node)) continue;
        return err_set(e, -EPERM, "data_dir %s belongs to node %s (id %llu), this configuration is node %s: set "
                       "data_dir to the directory of this node", s->config->data_dir, who->members[i].name,
                       (unsigned long long)who->id, s->config->node);
    }
    node->id = who->id;
    if (text_equal(who->address, node->address)) return 0;
    log_warn("regentd.moved", "from=%s to=%s text=\"this manager listens elsewhere: tell the group by `regent member "
             "set-address %s %s`\"", who->address, node->address, s->config->node, node->address);
    return raft_node_move(node, e);
}

static int start_modules(struct shell *s, struct err *e)
{
    struct sessions_hooks sessions_hooks = {s, shell_state, shell_hangup};
    struct peers_hooks peers_hooks = {s, shell_observed, shell_digest, shell_leader_connected};
    struct clients_hooks clients_hooks = {s, shell_world};
    shell_fill_ports(s);
    s->sessions = sessions_new(&s->loop, &sessions_hooks);
    s->peers = peers_new(&s->net, s->config->node, &peers_hooks);
    s->observe = observe_new(&s->ports, shell_changed, s);
    s->execute = execute_new(&s->ports, shell_changed, s);
    if (s->observe && s->execute) s->driver = driver_new(&s->ports, s->observe, s->execute);
    s->clients = clients_new(s->consensus, &clients_hooks);
    s->hand_over = hand_over_new(s->consensus, s->observe, s->driver);
    s->members = members_new(s->consensus, s->config->election_ms);
    s->upgrade = upgrade_new(&s->ports);
    if (s->sessions && s->peers && s->driver && s->clients && s->hand_over && s->members && s->upgrade) return 0;
    return err_set(e, -ENOMEM, "out of memory");
}

static int start_all(struct shell *s, struct err *e)
{
    struct raft_node_config node;
    struct consensus_hooks hooks = {s, shell_applied, shell_woken, shell_fatal};
    fill_node_config(s->config, &node);
    node.net = &s->net;
    int rc = shell_tls_open(s, e);
    if (rc != 0) return rc;
    s->listen = listen_start(&s->net, s->config->listen, s->config->socket, e);
    if (!s->listen) return e->code;
    if (identify(s, &node, e) != 0) return e->code;
    s->consensus = consensus_start(&s->loop, &node, &hooks, e);
    if (!s->consensus) return e->code;
    recovery_init(&s->recovery, s->consensus, &s->identity);
    rc = start_modules(s, e);
    return rc == 0 ? listen_open(s->listen, shell_accept, s, e) : rc;
}

static void free_all(struct shell *s)
{
    if (s->driver) driver_free(s->driver);
    if (s->execute) execute_free(s->execute);
    if (s->observe) observe_free(s->observe);
    clients_free(s->clients);
    members_free(s->members);
    hand_over_free(s->hand_over);
    upgrade_free(s->upgrade);
    consensus_free(s->consensus);
    tls_close(s->net.tls);
}

int shell_run(const struct config *config, struct err *e)
{
    struct shell *s = calloc(1, sizeof *s);
    if (!s) return err_set(e, -ENOMEM, "out of memory");
    s->config = config;
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_loop_init(&s->loop);
    if (rc != 0) {
        free(s);
        return err_set(e, rc, "cannot make an event loop: %s", uv_strerror(rc));
    }
    db_library_init();
    init_handles(s);
    rc = start_all(s, e);
    if (rc == 0) {
        log_info("regentd.start", "listen=%s data_dir=%s pid=%d", config->listen, config->data_dir, (int)getpid());
        shell_wake(s);
    } else {
        shell_stop(s);
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&s->last_resort, last_closed);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    if (rc == 0 && s->fatal) rc = err_set(e, -EIO, "%s", s->fatal_text);
    free_all(s);
    MUST(uv_loop_close(&s->loop) == 0);
    db_library_end();
    free(s);
    return rc;
}

int shell_bootstrap(const struct config *config, struct err *e)
{
    struct raft_node_config node;
    struct raft_node_member members[CONFIG_GROUP_MAX];
    memset(members, 0, sizeof members);
    fill_node_config(config, &node);
    if (config->group_n == 0)
        return err_set(e, -EINVAL, "--bootstrap needs `group`, the list of the first members; to enter a group that "
                       "exists use --join");
    for (unsigned i = 0; i < config->group_n; i++) {
        members[i].id = i + 1;
        TEXT_COPY(members[i].name, config->group[i].name);
        TEXT_COPY(members[i].address, config->group[i].address);
    }
    return raft_node_bootstrap(&node, members, config->group_n, config->group[0].name, e);
}
