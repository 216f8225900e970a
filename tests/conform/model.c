/* Performs conformance scripts (sim/conform/) on the simulated mysqld and prints the transcripts that
 * tests/lib/conform.py makes of the same scripts on real servers.
 *
 *     model SCRIPT ...      for each: "script SCRIPT", then a line a line of the script, " -> " and what came of it
 *
 * One world a script: servers m, a and r, and a client's host. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "sim/mysqld.h"
#include "sim/net.h"
#include "sim/wire.h"

enum { SERVERS_N = 3, SESSIONS_MAX = 32, VALUES_MAX = 32, LINE_SIZE = 8192, SAID_SIZE = 4096, WAIT_US = 20 * SIM_S,
       PENDING_US = 300 * SIM_MS, POLL_US = 20 * SIM_MS };

struct client {
    char name[32];
    sim_node server;
    struct sim_stream *stream;
    bool is_in, is_lost;
    unsigned login_code;
    bool is_answered;
    char id[24];              /* Of the session on the server. */
    struct wire_reply *reply; /* Kept until the next request. */
};

static struct {
    struct sim *sim;
    sim_node node;
    struct mysqld *servers[SERVERS_N];
    struct client clients[SESSIONS_MAX];
    struct { char name[16], text[SAID_SIZE]; } values[VALUES_MAX];
    unsigned values_n;
    const char *path;
    unsigned line_n;
} w;

static const char names[] = "mar";

static void give_up(const char *why, const char *line)
{
    fprintf(stderr, "%s:%u: %s: %s\n", w.path, w.line_n, why, line);
    exit(2);
}

static struct mysqld *server_of(char name)
{
    const char *at = strchr(names, name);
    if (!at || name == '\0') give_up("no such server", &name);
    return w.servers[at - names];
}

static void run_us(int64_t us)
{
    int64_t until = sim_now_us(w.sim) + us;
    while (sim_step(w.sim, until)) {}
}

/* --- sessions --------------------------------------------------------------------------------------------------- */

static void drop_reply(struct client *c)
{
    if (c->reply) sim_blob_unref(&c->reply->head.blob);
    c->reply = NULL;
}

static void on_received(void *arg, struct sim_blob *blob)
{
    struct client *c = arg;
    struct wire_reply *reply = (struct wire_reply *)blob;
    if (!c->is_in) {
        c->login_code = reply->result.code;
        c->is_in = reply->result.status == DB_OK;
        c->is_answered = true;
        return;
    }
    drop_reply(c);
    sim_blob_ref(blob);
    c->reply = reply;
    c->is_answered = true;
}

static void on_closed(void *arg, enum sim_closed why)
{
    struct client *c = arg;
    c->stream = NULL;
    c->is_lost = c->is_answered = true;
    if (why == SIM_CLOSED_REFUSED && !c->is_in) c->login_code = 2003;
}

static const struct sim_stream_ops client_ops = {.received = on_received, .closed = on_closed};

static void client_drop(struct client *c)
{
    if (c->stream) sim_stream_close(c->stream);
    drop_reply(c);
    memset(c, 0, sizeof(*c));
}

static bool wait_answer(struct client *c, int64_t us)
{
    int64_t until = sim_now_us(w.sim) + us;
    while (!c->is_answered && sim_step(w.sim, until)) {}
    return c->is_answered;
}

static struct client *client_find(const char *name)
{
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (strcmp(w.clients[i].name, name) == 0) return &w.clients[i];
    return NULL;
}

static void client_learn_id(struct client *c);

/* NULL when the login was refused: '*code' says why. */
static struct client *client_of(const char *name, unsigned *code)
{
    struct client *c = client_find(name);
    if (c) return c;
    c = client_find("");
    if (!c) give_up("too many sessions", name);
    const char *account = name[1] == '\0' ? "root" : name[2] == '@' ? "root" : name[2] == '%' ? WIRE_USER_CONTROL
                          : WIRE_USER_CLIENT;
    snprintf(c->name, sizeof(c->name), "%s", name);
    c->stream = sim_connect(w.sim, w.node, mysqld_node(server_of(name[0])), &client_ops, c);
    struct wire_login *login = wire_login_new(account, WIRE_PASSWORD, "client");
    (void)sim_stream_send(c->stream, &login->head.blob);
    if (!wait_answer(c, 5 * SIM_S)) c->login_code = 2003;
    *code = c->login_code;
    if (c->is_in) {
        client_learn_id(c);
        return c;
    }
    client_drop(c);
    return NULL;
}

static void client_send(struct client *c, const char *sql)
{
    struct wire_query *query = wire_query_new(sql);
    c->is_answered = c->is_lost;
    drop_reply(c);
    if (c->stream) (void)sim_stream_send(c->stream, &query->head.blob);
    else sim_blob_unref(&query->head.blob);
}

static void show_set(struct text *t, const struct db_set *set)
{
    if (set->columns_n == 0) {
        text_add(t, "ok");
        return;
    }
    if (set->rows_n == 0) text_add(t, "none");
    for (unsigned i = 0; i < set->rows_n * set->columns_n; i++) {
        const char *between = i == 0 ? "" : i % set->columns_n == 0 ? " | " : " ";
        const char *cell = set->cells[i];
        text_addf(t, "%s%s", between, cell ? cell : "NULL");
    }
}

/* What came of the request; the session is dropped when it is lost. */
static void client_answer(struct client *c, int64_t us, struct text *said)
{
    if (!wait_answer(c, us)) {
        text_add(said, "pending");
        return;
    }
    if (!c->reply) {
        text_add(said, "lost");
        client_drop(c);
        return;
    }
    const struct db_result *r = &c->reply->result;
    for (unsigned i = 0; i < r->sets_n; i++) {
        if (i > 0) text_add(said, " ; ");
        show_set(said, &r->sets[i]);
    }
    if (r->status == DB_ERROR) text_addf(said, "%serror %u", r->sets_n > 0 ? " ; " : "", r->code);
}

static void client_learn_id(struct client *c)
{
    struct text t = TEXT_ON(c->id);
    client_send(c, "SELECT CONNECTION_ID()");
    client_answer(c, WAIT_US, &t);
}

/* --- lines ------------------------------------------------------------------------------------------------------ */

/* $name is a value; @TO_a@ all options that point at a. */
static void expand(const char *text, char *to, size_t size)
{
    struct text t = text_on(to, size);
    while (*text != '\0') {
        char one[2] = {*text, '\0'};
        size_t best = 0;
        unsigned which = 0;
        for (unsigned i = 0; *text == '$' && i < w.values_n; i++) {
            size_t n = strlen(w.values[i].name);
            if (n > best && strncmp(text + 1, w.values[i].name, n) == 0) best = n, which = i;
        }
        if (best > 0) {
            text_add(&t, w.values[which].text);
            text += best + 1;
        } else if (strncmp(text, "@TO_", 4) == 0 && text[5] == '@') {
            text_addf(&t, "MASTER_HOST='%c', MASTER_PORT=3306, MASTER_USER='%s', MASTER_PASSWORD='%s',"
                          " MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=0.25, MASTER_CONNECT_RETRY=1",
                      text[4], WIRE_USER_REPLICATION, WIRE_PASSWORD);
            text += 6;
        } else {
            text_add(&t, one);
            text++;
        }
    }
    if (t.cut) give_up("too long", text);
}

static void sync_line(const char *name, const char *sql, struct text *said)
{
    char expanded[LINE_SIZE];
    unsigned code = 0;
    struct client *c = client_of(name, &code);
    if (!c) {
        text_addf(said, "no session %u", code);
        return;
    }
    expand(sql, expanded, sizeof(expanded));
    client_send(c, expanded);
    client_answer(c, WAIT_US, said);
}

static const char *channel_field(const struct db_result *r, const char *field)
{
    if (r->sets_n == 0 || r->sets[0].rows_n == 0) return "absent";
    for (unsigned i = 0; i < r->sets[0].columns_n; i++) {
        if (strcmp(r->sets[0].names[i], field) != 0) continue;
        return r->sets[0].cells[i] ? r->sets[0].cells[i] : "NULL";
    }
    return "absent";
}

static const struct db_result *ask_channel(char server)
{
    char name[2] = {server, '\0'}, nothing[SAID_SIZE];
    struct text t = TEXT_ON(nothing);
    unsigned code = 0;
    struct client *c = client_of(name, &code);
    if (!c) give_up("no session for the channel", name);
    client_send(c, "SHOW ALL SLAVES STATUS");
    client_answer(c, WAIT_US, &t);
    if (!c->reply) give_up("the session was lost", name);
    return &c->reply->result;
}

static void channel_line(char server, char *fields, struct text *said)
{
    const struct db_result *r = ask_channel(server);
    char *rest = fields;
    for (char *field; (field = strtok_r(rest, " ", &rest)) != NULL;)
        text_addf(said, "%s%s", said->len ? " " : "", channel_field(r, field));
}

static bool channel_is(char server, const char *conditions, struct text *seen)
{
    char copy[LINE_SIZE];
    bool is_so = true;
    const struct db_result *r = ask_channel(server);
    expand(conditions, copy, sizeof(copy));
    char *rest = copy;
    for (char *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        char *value = strchr(one, '=');
        if (!value) give_up("FIELD=VALUE", one);
        *value++ = '\0';
        const char *is = channel_field(r, one);
        is_so = is_so && strcmp(is, value) == 0;
        text_addf(seen, "%s%s=%s", seen->len ? " " : "", one, is);
    }
    return is_so;
}

static void channel_until_line(char server, const char *conditions, struct text *said)
{
    int64_t until = sim_now_us(w.sim) + WAIT_US;
    for (;;) {
        char room[SAID_SIZE];
        struct text seen = TEXT_ON(room);
        if (channel_is(server, conditions, &seen)) {
            text_add(said, "ok");
            return;
        }
        if (sim_now_us(w.sim) >= until) {
            text_addf(said, "not: %s", room);
            return;
        }
        run_us(POLL_US);
    }
}

static void until_line(const char *name, const char *wanted, const char *sql, struct text *said)
{
    int64_t until = sim_now_us(w.sim) + WAIT_US;
    char expanded[LINE_SIZE];
    expand(wanted, expanded, sizeof(expanded));
    for (;;) {
        char room[SAID_SIZE];
        struct text seen = TEXT_ON(room);
        sync_line(name, sql, &seen);
        if (strcmp(room, expanded) == 0) {
            text_add(said, "ok");
            return;
        }
        if (sim_now_us(w.sim) >= until) {
            text_addf(said, "not: %s", room);
            return;
        }
        run_us(POLL_US);
    }
}

static void let_line(const char *variable, const char *text)
{
    unsigned i = 0;
    while (i < w.values_n && strcmp(w.values[i].name, variable) != 0) i++;
    if (i == VALUES_MAX) give_up("too many values", variable);
    if (i == w.values_n) w.values_n++;
    snprintf(w.values[i].name, sizeof(w.values[i].name), "%s", variable);
    snprintf(w.values[i].text, sizeof(w.values[i].text), "%s", text);
}

static void drop_session_of(char server)
{
    char name[2] = {server, '\0'};
    struct client *c = client_find(name);
    if (c) client_drop(c);
}

static void start_server(char server, const char *options)
{
    struct mysqld *m = server_of(server);
    struct mysqld_options *file = mysqld_file(m);
    *file = mysqld_options((uint32_t)(strchr(names, server) - names) + 1);
    file->init_role_slave = strstr(options, "--init-rpl-role=SLAVE") != NULL;
    file->replica_flag = strstr(options, "--rpl-semi-sync-slave-enabled=1") != NULL;
    file->read_only = strstr(options, "--read-only=0") == NULL;
    file->skip_slave_start = strstr(options, "--skip-slave-start=0") == NULL;
    if (strstr(options, "--max-connections=10")) file->max_connections = 10;
    mysqld_start(m);
    while (!mysqld_is_up(m)) run_us(SIM_MS);
}

static void stop_server(char server)
{
    struct mysqld *m = server_of(server);
    drop_session_of(server);
    mysqld_stop(m);
    while (sim_process(w.sim, mysqld_node(m)) != SIM_DEAD) run_us(SIM_MS);
}

static void perform(char *line, struct text *said, bool *is_silent);

static void within_line(char *line, struct text *said)
{
    int64_t low, high, began = sim_now_us(w.sim);
    int used = 0;
    bool is_silent;
    if (sscanf(line, "within %" SCNd64 "..%" SCNd64 " ms %n", &low, &high, &used) != 2) give_up("within", line);
    perform(line + used, said, &is_silent);
    int64_t took_ms = (sim_now_us(w.sim) - began) / 1000;
    if (took_ms >= low && took_ms <= high) text_add(said, ", in time");
    else text_addf(said, ", took %" PRId64 " ms", took_ms);
}

static bool perform_world(char *line, struct text *said, bool *is_silent)
{
    char server = '\0';
    int used = 0;
    *is_silent = true;
    if (sscanf(line, "kill %c", &server) == 1) {
        drop_session_of(server);
        sim_kill(w.sim, mysqld_node(server_of(server)));
    } else if (sscanf(line, "stop %c", &server) == 1) {
        stop_server(server);
    } else if (sscanf(line, "start %c%n", &server, &used) == 1) {
        start_server(server, line + used);
    } else if (sscanf(line, "freeze %c", &server) == 1) {
        sim_pause(w.sim, mysqld_node(server_of(server)));
    } else if (sscanf(line, "thaw %c", &server) == 1) {
        sim_resume(w.sim, mysqld_node(server_of(server)));
    } else if (sscanf(line, "purge %c", &server) == 1) {
        mysqld_purge(server_of(server), 0);
    } else if (strncmp(line, "pause ", 6) == 0) {
        run_us(atoll(line + 6) * SIM_MS);
    } else if (sscanf(line, "channel %c until %n", &server, &used) == 1 && used > 0) {
        channel_until_line(server, line + used, said);
        *is_silent = false;
    } else if (sscanf(line, "channel %c %n", &server, &used) == 1 && used > 0) {
        channel_line(server, line + used, said);
        *is_silent = false;
    } else {
        return strncmp(line, "fact ", 5) == 0;
    }
    return true;
}

/* "m.w& SQL", "m.w: SQL", "m.w wait", ...; 'name' is cut out of the line. */
static void perform_session(const char *name, char *rest, struct text *said, bool *is_silent)
{
    char expanded[LINE_SIZE];
    unsigned code = 0;
    *is_silent = false;
    if (rest[0] == ':') {
        sync_line(name, rest + 2, said);
    } else if (rest[0] == '&') {
        struct client *c = client_of(name, &code);
        if (!c) give_up("no session", name);
        expand(rest + 2, expanded, sizeof(expanded));
        client_send(c, expanded);
        run_us(2 * SIM_MS);
        *is_silent = true;
    } else if (strcmp(rest, " wait") == 0) {
        client_answer(client_find(name), WAIT_US, said);
    } else if (strcmp(rest, " pending") == 0) {
        text_add(said, wait_answer(client_find(name), PENDING_US) ? "no" : "yes");
    } else if (strcmp(rest, " close") == 0) {
        client_drop(client_find(name));
        *is_silent = true;
    } else if (strncmp(rest, " until \"", 8) == 0) {
        char *end = strstr(rest + 8, "\": ");
        if (!end) give_up("until", rest);
        *end = '\0';
        until_line(name, rest + 8, end + 3, said);
    } else {
        give_up("a line that is not of the language", rest);
    }
}

static void perform_let(char *line)
{
    char variable[16], name[32], room[SAID_SIZE];
    struct text t = TEXT_ON(room);
    int used = 0;
    unsigned code = 0;
    if (sscanf(line, "let %15s = %31[^: ]%n", variable, name, &used) != 2) give_up("let", line);
    const char *rest = line + used;
    if (strcmp(rest, " id") == 0) {
        struct client *c = client_of(name, &code);
        if (!c) give_up("no session", name);
        text_add(&t, c->id);
    } else {
        sync_line(name, rest + 2, &t);
    }
    let_line(variable, room);
}

static void perform(char *line, struct text *said, bool *is_silent)
{
    if (perform_world(line, said, is_silent)) return;
    if (strncmp(line, "within ", 7) == 0) {
        *is_silent = false;
        within_line(line, said);
        return;
    }
    if (strncmp(line, "let ", 4) == 0) {
        perform_let(line);
        *is_silent = true;
        return;
    }
    char name[32];
    size_t n = strcspn(line, ":& ");
    if (n >= sizeof(name)) give_up("a name", line);
    memcpy(name, line, n);
    name[n] = '\0';
    perform_session(name, line + n, said, is_silent);
}

/* --- worlds ----------------------------------------------------------------------------------------------------- */

static void world_begin(uint64_t seed)
{
    static const char *const node_names[SERVERS_N] = {"m", "a", "r"};
    memset(&w.clients, 0, sizeof(w.clients));
    w.values_n = 0;
    w.sim = sim_new(seed);
    for (unsigned i = 0; i < SERVERS_N; i++) {
        struct mysqld_options options = mysqld_options(i + 1);
        w.servers[i] = mysqld_new(w.sim, node_names[i], &options);
    }
    w.node = sim_node_add(w.sim, "client", &(struct sim_node_hooks){0});
    for (sim_node from = 0; from < sim_nodes_n(w.sim); from++)
        for (sim_node to = 0; to < sim_nodes_n(w.sim); to++)
            *sim_link(w.sim, from, to) = (struct sim_link){.latency_us = 30, .jitter_us = 20};
    sim_boot(w.sim, w.node);
    mysqld_set_up_master(w.servers[0], true);
    for (unsigned i = 1; i < SERVERS_N; i++) mysqld_set_up_replica(w.servers[i], w.servers[0], i == 1);
    for (unsigned i = 0; i < SERVERS_N; i++) mysqld_start(w.servers[i]);
    run_us(3 * SIM_S);
}

static void world_end(void)
{
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (w.clients[i].name[0] != '\0') client_drop(&w.clients[i]);
    for (unsigned i = 0; i < SERVERS_N; i++) mysqld_free(w.servers[i]);
    sim_free(w.sim);
}

static void run_line(char *line)
{
    char copy[LINE_SIZE], room[SAID_SIZE];
    struct text said = TEXT_ON(room);
    bool is_silent = false;
    while (*line == ' ') line++;
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#') return;
    snprintf(copy, sizeof(copy), "%s", line);
    perform(copy, &said, &is_silent);
    if (is_silent) printf("%s\n", line);
    else printf("%s -> %s\n", line, room);
    fflush(stdout);
}

/* A backslash at its end joins a line with the next. */
static bool read_line(FILE *file, char *line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && fgets(line + n, (int)(size - n), file)) {
        w.line_n++;
        n += strlen(line + n);
        if (n < 2 || line[n - 1] != '\n' || line[n - 2] != '\\') return true;
        n -= 2;
    }
    line[n] = '\0';
    return n > 0;
}

int main(int argc, char **argv)
{
    static char line[LINE_SIZE];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "re");
        w.path = argv[i];
        w.line_n = 0;
        if (!file) give_up("cannot be read", argv[i]);
        printf("script %s\n", argv[i]);
        world_begin((uint64_t)i);
        while (read_line(file, line, sizeof(line))) run_line(line);
        world_end();
        (void)fclose(file);
    }
    return argc > 1 ? 0 : 2;
}
