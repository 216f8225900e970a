/* Sessions with database servers. See sessions.h. */
#include "manager/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "manager/config.h"
#include "mysql/db.h"

enum {
    SESSIONS_REREAD_MS = 2000,   /* After a refused login, no more often. */
    SESSIONS_ACCOUNT_MS = 10000, /* A replication account that was read is used for so long. */
};

/* Statements that each verb and probe may rely on: plain quoting, bounded waits for locks. */
static const char SESSION_SQL[] = "SET SESSION sql_mode='', lock_wait_timeout=2, innodb_lock_wait_timeout=2";

struct link {
    struct sessions *owner;
    uint8_t cluster, server;
    enum port_session session;
    struct db_conn *conn;
    struct mono opened_at;
    bool refused;   /* The login was refused: read the option file again. */
    port_answer_fn *done;
    void *arg;
};

struct cluster_links {
    uint64_t version;
    struct link links[FSM_SERVERS_MAX][PORT_SESSIONS_N];
    struct db_endpoint account; /* Of replication. */
    struct mono account_at;
};

struct sessions {
    struct uv_loop_s *loop;
    struct sessions_hooks hooks;
    struct cluster_links *clusters[FSM_CLUSTERS_MAX];
    unsigned closing_n; /* Connections that still end. */
    bool stopping;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct sessions *sessions_new(struct uv_loop_s *loop, const struct sessions_hooks *hooks)
{
    struct sessions *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->loop = loop;
    s->hooks = *hooks;
    return s;
}

/* --- closing ---------------------------------------------------------------------------------------------------- */

static void sessions_end(struct sessions *s)
{
    if (!s->stopping || s->closing_n > 0) return;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        if (s->clusters[c]) explicit_bzero(&s->clusters[c]->account, sizeof s->clusters[c]->account);
        free(s->clusters[c]);
    }
    s->closed(s->closed_arg);
    free(s);
}

static void conn_closed(void *arg)
{
    struct sessions *s = arg;
    MUST(s->closing_n > 0);
    s->closing_n--;
    sessions_end(s);
}

static void link_close(struct link *l)
{
    if (!l->conn) return;
    struct db_conn *conn = l->conn;
    l->conn = NULL;
    l->refused = false;
    l->owner->closing_n++;
    db_close(conn, conn_closed, l->owner);
}

void sessions_stop(struct sessions *sessions, void (*closed)(void *arg), void *arg)
{
    sessions->stopping = true;
    sessions->closed = closed;
    sessions->closed_arg = arg;
    for (uint8_t c = 0; c < FSM_CLUSTERS_MAX; c++) {
        if (!sessions->clusters[c]) continue;
        for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
            for (int k = 0; k < PORT_SESSIONS_N; k++) link_close(&sessions->clusters[c]->links[i][k]);
    }
    sessions_end(sessions);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static struct cluster_links *cluster_links_of(struct sessions *s, uint8_t c)
{
    if (s->clusters[c]) return s->clusters[c];
    struct cluster_links *cl = calloc(1, sizeof *cl);
    if (!cl) return NULL;
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
        for (int k = 0; k < PORT_SESSIONS_N; k++)
            cl->links[i][k] = (struct link){.owner = s, .cluster = c, .server = i, .session = (enum port_session)k};
    s->clusters[c] = cl;
    return cl;
}

static void follow_declaration(struct cluster_links *cl, const struct fsm_cluster *declared)
{
    if (cl->version == declared->version) return;
    cl->version = declared->version;
    cl->account_at = MONO_NEVER;
    for (uint8_t i = 0; i < FSM_SERVERS_MAX; i++)
        for (int k = 0; k < PORT_SESSIONS_N; k++) link_close(&cl->links[i][k]);
}

/* Reads the account of a kind of session: its own group if there is one, else the cluster's. */
static int read_account(struct db_endpoint *to, const struct fsm_cluster *cluster, const char *suffix, bool required)
{
    char group[FSM_NAME_SIZE + 32];
    struct text text = TEXT_ON(group);
    struct err e = {0};
    text_addf(&text, "%s%s", cluster->group, suffix);
    int rc = db_endpoint_read(to, cluster->defaults_file, group, &e);
    if (rc == -ENOENT && !required && suffix[0] != '\0') {
        e = (struct err){0};
        rc = db_endpoint_read(to, cluster->defaults_file, cluster->group, &e);
    }
    if (rc != 0)
        log_limited(LOG_LEVEL_ERR, "credentials.unreadable", "cluster=%s text=\"%s: this manager cannot log in to the"
                    " cluster's servers until the file is there and readable\"", cluster->name, e.text);
    return rc;
}

static void on_hangup(void *arg)
{
    struct link *l = arg;
    l->owner->hooks.hangup(l->owner->hooks.arg, l->cluster, l->server, l->session);
}

static int link_open(struct link *l, const struct fsm_cluster *cluster)
{
    struct db_endpoint endpoint;
    struct err e = {0};
    memset(&endpoint, 0, sizeof endpoint);
    const char *suffix = l->session == PORT_PROBE ? "" : "-control";
    if (read_account(&endpoint, cluster, suffix, false) != 0) return -ENOENT;
    const char *address = cluster->servers[l->server].address;
    int rc = config_split_address(address, endpoint.host, sizeof endpoint.host, &endpoint.port);
    MUST(rc == 0); /* Checked when the cluster was declared. */
    endpoint.connect_timeout_ms = cluster->timeout_ms;
    endpoint.init_sql = SESSION_SQL;
    TEXT_COPY(endpoint.program, l->session == PORT_PROBE ? "regent-probe" : "regent-control");
    l->conn = db_open(l->owner->loop, &endpoint, on_hangup, l, &e);
    l->opened_at = clock_mono();
    explicit_bzero(&endpoint, sizeof endpoint);
    if (l->conn) return 0;
    log_limited(LOG_LEVEL_ERR, "session.failed", "cluster=%s server=%s text=\"%s\"", cluster->name,
                cluster->servers[l->server].name, e.text);
    return -EBUSY;
}

static void answered(void *arg, const struct db_result *result)
{
    struct link *l = arg;
    port_answer_fn *done = l->done;
    if (result->status == DB_ERROR && result->code == 1045) l->refused = true;
    done(l->arg, result);
}

int sessions_query(struct sessions *sessions, const struct port_request *request)
{
    MUST(request->cluster < FSM_CLUSTERS_MAX && request->server < FSM_SERVERS_MAX);
    const struct fsm_cluster *declared = &sessions->hooks.state(sessions->hooks.arg)->clusters[request->cluster];
    struct cluster_links *cl = cluster_links_of(sessions, request->cluster);
    if (!cl || sessions->stopping || !declared->used || request->server >= declared->servers_n) return -EBUSY;
    follow_declaration(cl, declared);
    struct link *l = &cl->links[request->server][request->session];
    if (l->refused && mono_since_ms(clock_mono(), l->opened_at) >= SESSIONS_REREAD_MS) {
        MARK(session_reads_account_again);
        link_close(l);
    }
    if (!l->conn) {
        int rc = link_open(l, declared);
        if (rc != 0) return rc;
    }
    port_answer_fn *old_done = l->done;
    void *old_arg = l->arg;
    l->done = request->done;
    l->arg = request->arg;
    int rc = db_query(l->conn, request->sql, request->deadline_ms, answered, l);
    if (rc == 0) return 0;
    l->done = old_done;
    l->arg = old_arg;
    return -EBUSY;
}

void sessions_drop(struct sessions *sessions, uint8_t cluster, uint8_t server, enum port_session session)
{
    MUST(cluster < FSM_CLUSTERS_MAX && server < FSM_SERVERS_MAX);
    struct cluster_links *cl = sessions->clusters[cluster];
    if (cl && cl->links[server][session].conn) db_drop(cl->links[server][session].conn);
}

bool sessions_replication_account(struct sessions *sessions, uint8_t cluster, const char **user, const char **password)
{
    MUST(cluster < FSM_CLUSTERS_MAX);
    const struct fsm_cluster *declared = &sessions->hooks.state(sessions->hooks.arg)->clusters[cluster];
    struct cluster_links *cl = cluster_links_of(sessions, cluster);
    if (!cl) return false;
    follow_declaration(cl, declared);
    struct mono now = clock_mono();
    if (!mono_is_set(cl->account_at) || mono_since_ms(now, cl->account_at) > SESSIONS_ACCOUNT_MS) {
        /* Verbs that run borrow the account: it is replaced whole, or not at all. */
        struct db_endpoint fresh;
        memset(&fresh, 0, sizeof fresh);
        int rc = read_account(&fresh, declared, "-replication", true);
        if (rc == 0) cl->account = fresh;
        explicit_bzero(&fresh, sizeof fresh);
        if (rc != 0) return false;
        cl->account_at = now;
    }
    *user = cl->account.user;
    *password = cl->account.password;
    return true;
}
