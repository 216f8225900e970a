/* plan_step() by scripts: tests/golden/plan_*.txt. Lines that begin with "> " drive a small world (plan_world.h), the
 * others are the transcript that must come out: verdicts, proposals, verbs. GOLDEN_UPDATE=1 writes them anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>

#include "plan_world.h"

enum { WORDS_MAX = 8, LINE_SIZE = 4096 };

static struct world *w;

static uint8_t server(const char *name)
{
    return name != NULL && strncmp(name, "db", 2) == 0 ? (uint8_t)(atoi(name + 2) - 1) : FSM_SERVER_NONE;
}

static void set_down(struct world_server *s, bool is_alive, bool is_frozen)
{
    s->alive = is_alive;
    s->frozen = is_frozen;
    s->down_at = w->now;
}

static void operator_failover(char **word, bool is_dry)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    static struct fsm_command command;
    static char buffer[LINE_SIZE];
    struct text dry = TEXT_ON(buffer);
    bool accept_loss = word[2] != NULL && text_equal(word[2], "accept-loss");
    world_input(w, &in, outcomes);
    enum fsm_code code = plan_operator_failover(&in, server(word[1]), accept_loss, &command, &dry);
    fprintf(w->out, "%s\n%s", fsm_code_name(code), buffer);
    if (code == FSM_OK && !is_dry) (void)world_propose(w, &command);
}

static void pause_cluster(bool is_paused)
{
    static struct fsm_command c;
    memset(&c, 0, sizeof(c));
    c.kind = CMD_CLUSTER_PAUSE;
    (void)TEXT_COPY(c.u.cluster_pause.cluster, "shop");
    c.u.cluster_pause.paused = is_paused;
    (void)world_propose(w, &c);
}

static void show(void)
{
    const struct fsm_cluster *c = world_cluster(w);
    fprintf(w->out, "epoch %llu master %s backup %s\n", (unsigned long long)c->epoch, world_name(w, c->master),
            world_name(w, c->backup));
    for (uint8_t i = 0; i < c->reigns_n; i++) {
        const struct fsm_reign *r = &c->reigns[i];
        fprintf(w->out, "reign %llu of %s k %d ackers %x%s%s\n", (unsigned long long)r->epoch,
                world_name(w, r->master), r->k, r->ackers, r->lossless ? " lossless since " : "", r->since);
    }
    for (uint8_t i = 0; i < w->servers_n; i++) {
        const struct world_server *s = &w->servers[i];
        fprintf(w->out, "%s %s%s%s, follows %s%s, executed %llu%s%s\n", c->servers[i].name,
                fsm_server_state_name(c->servers[i].state), s->alive ? "" : ", dead",
                s->read_only ? "" : ", WRITABLE", s->receiving ? world_name(w, (uint8_t)s->source) : "-",
                s->replica_flag ? " as acker" : "", (unsigned long long)s->executed,
                c->servers[i].reason[0] ? ": " : "", c->servers[i].reason);
    }
}

static void explain(void)
{
    diagnose_tell(world_cluster(w), w->view, &w->update->diagnosis);
    fprintf(w->out, "%s%schange: %s\n", w->update->diagnosis.suspicious ? "(suspicious)\n" : "",
            w->update->diagnosis.evidence, w->update->diagnosis.change);
    for (uint8_t i = 0; i < w->servers_n; i++) {
        const char *text = diagnose_server(world_cluster(w), w->view, i);
        if (text != NULL) fprintf(w->out, "%s: %s\n", world_name(w, i), text);
    }
}

/* Words about one server: "kill db1". Returns false when there is no such word. */
static bool do_server(struct world_server *s, char **word)
{
    const char *verb = word[0];
    uint64_t n = word[2] != NULL ? strtoull(word[2], NULL, 10) : 0;
    if (text_equal(verb, "kill")) set_down(s, false, false);
    else if (text_equal(verb, "freeze")) set_down(s, true, true);
    else if (text_equal(verb, "thaw")) set_down(s, true, false);
    else if (text_equal(verb, "start")) world_restart(s);
    else if (text_equal(verb, "lag")) s->received = s->applied = s->executed = s->executed - n, s->receiving = false;
    else if (text_equal(verb, "commit")) s->executed += n;
    else if (text_equal(verb, "errant")) s->executed += n, s->wrote_by = (uint8_t)(s - w->servers + 1);
    else if (text_equal(verb, "ahead")) s->received = s->applied = s->executed = s->executed + n;
    else if (text_equal(verb, "unapplied")) s->slow_applier = true, s->executed -= n, s->applied -= n;
    else if (text_equal(verb, "semisync-off")) s->source_enabled = false;
    else if (text_equal(verb, "semisync-on")) s->source_enabled = true;
    else if (text_equal(verb, "unacked")) s->executed += n, s->no_tx += n;
    else if (text_equal(verb, "busy")) s->is_busy = true;
    else if (text_equal(verb, "strangers")) s->strangers = (unsigned)n;
    else if (text_equal(verb, "acker-flag")) s->replica_flag = true;
    else if (text_equal(verb, "detach")) s->receiving = false;
    else if (text_equal(verb, "attach")) s->receiving = s->applier = true, s->has_forgotten = false;
    else if (text_equal(verb, "forget")) s->has_forgotten = true;
    else if (text_equal(verb, "heartbeat")) s->heartbeat_ms = (uint32_t)n;
    else if (text_equal(verb, "apply")) s->slow_applier = false;
    else if (text_equal(verb, "applier-error")) s->applier = false, s->sql_errno = (uint32_t)n;
    else if (text_equal(verb, "applier-stop")) s->applier = false;
    else if (text_equal(verb, "never-attaches")) s->never_attaches = true;
    else if (text_equal(verb, "attaches")) s->never_attaches = false;
    else if (text_equal(verb, "writable")) s->read_only = false;
    else if (text_equal(verb, "read-only")) s->read_only = true;
    else if (text_equal(verb, "no-channel")) s->source = -1, s->receiving = false;
    else if (text_equal(verb, "unsupported")) s->supported = false;
    else if (text_equal(verb, "login-refused")) s->login_refused = true;
    else if (text_equal(verb, "login-accepted")) s->login_refused = false;
    else if (text_equal(verb, "never-closes")) s->never_closes = true;
    else if (text_equal(verb, "closes")) s->never_closes = false;
    else if (text_equal(verb, "no-semisync")) s->source_enabled = s->replica_flag = false;
    else if (text_equal(verb, "token")) s->token = n;
    else return false;
    return true;
}

static void cut(const char *manager, uint8_t i, bool is_cut)
{
    uint8_t m = (uint8_t)(atoi(manager + 1) - 1);
    w->servers[i].cut[m] = is_cut;
    w->servers[i].cut_at[m] = w->now;
}

static void do_line(char **word)
{
    uint8_t i = server(word[1]);
    if (text_equal(word[0], "stranger")) { /* Another server answers at this one's address. */
        (void)TEXT_COPY(w->servers[i].identity, "another");
        return;
    }
    if (i < FSM_SERVERS_MAX && !text_equal(word[0], "operator") && !text_equal(word[0], "dry")) {
        char identity[FSM_NAME_SIZE];
        (void)TEXT_COPY(identity, w->servers[i].identity);
        assert_true(do_server(&w->servers[i], word));
        (void)TEXT_COPY(w->servers[i].identity, identity);
        return;
    }
    if (text_equal(word[0], "cluster")) {
        world_declare(w, (uint8_t)atoi(word[1]), fsm_durability_parse(word[2]));
    } else if (text_equal(word[0], "enrolled")) world_enrol(w);
    else if (text_equal(word[0], "run")) world_run(w, atoi(word[1]));
    else if (text_equal(word[0], "leader")) world_lead(w, (uint8_t)(atoi(word[1] + 1) - 1));
    else if (text_equal(word[0], "no-past")) w->has_no_past[atoi(word[1] + 1) - 1] = true;
    else if (text_equal(word[0], "mute")) w->view->managers[atoi(word[1] + 1) - 1].heard = false;
    else if (text_equal(word[0], "unmute")) w->view->managers[atoi(word[1] + 1) - 1].heard = true;
    else if (text_equal(word[0], "cut")) cut(word[1], server(word[2]), true);
    else if (text_equal(word[0], "heal")) cut(word[1], server(word[2]), false);
    else if (text_equal(word[0], "operator")) operator_failover(word, false);
    else if (text_equal(word[0], "dry")) operator_failover(word, true);
    else if (text_equal(word[0], "pause")) pause_cluster(true);
    else if (text_equal(word[0], "resume")) pause_cluster(false);
    else if (text_equal(word[0], "show")) show();
    else if (text_equal(word[0], "explain")) explain();
    else fail_msg("no such word: %s", word[0]);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 18);
    size_t n = fread(text, 1, (1 << 18) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

/* Runs the "> " lines of 'script' and returns what comes out, to be freed. */
static char *play(const char *script)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    w = world_new(f);
    for (const char *at = script; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        char line[LINE_SIZE] = "";
        char *word[WORDS_MAX] = {NULL}, *save = NULL;
        size_t len = strcspn(at, "\n");
        assert_true(len < sizeof(line));
        memcpy(line, at, len);
        if (line[0] == '#') fprintf(f, "%s\n", line);
        if (strncmp(line, "> ", 2) != 0) continue;
        fprintf(f, "%s\n", line);
        unsigned n = 0;
        char *next = strtok_r(line + 2, " ", &save);
        for (; next != NULL && n + 1 < WORDS_MAX; next = strtok_r(NULL, " ", &save)) word[n++] = next;
        do_line(word);
    }
    fclose(f);
    return out;
}

static void play_golden(const char *path)
{
    char *expected = read_file(path);
    char *out = play(expected);
    if (w->broken[0] != '\0') print_error("%s: broken: %s\n", path, w->broken);
    if (w->refused_n != 0) print_error("%s: %u proposals were refused\n", path, w->refused_n);
    assert_int_equal(w->refused_n, 0);
    assert_string_equal(w->broken, "");
    world_free(w);
    if (getenv("GOLDEN_UPDATE") != NULL) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(out, f);
        fclose(f);
    } else if (!text_equal(expected, out)) {
        print_error("%s differs; got:\n%s\n", path, out);
        assert_true(false);
    }
    free(expected);
    free(out);
}

static void test_golden(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("tests/golden/plan_*.txt", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) play_golden(found.gl_pathv[i]);
    assert_true(found.gl_pathc >= 10);
    globfree(&found);
}

/* The end of an enrolment: "lossless since" needs three readings in the right order (A7). */

static struct view_observation *seen(uint8_t manager, uint8_t i)
{
    return &w->view->managers[manager].servers[i];
}

/* The master as m3 and then m1 (the leader) read it, the backup read in between. */
static void look_in_order(void)
{
    world_look(w);
    seen(0, 0)->age_ms = 2;
    seen(0, 1)->age_ms = 5;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) seen(m, 0)->took_ms = seen(m, 1)->took_ms = 1;
    seen(1, 0)->age_ms = 20;
    seen(2, 0)->age_ms = 40;
}

static bool is_proven(void)
{
    struct plan_input in;
    struct verb_outcome outcomes[FSM_SERVERS_MAX];
    world_input(w, &in, outcomes);
    plan_step(&in, w->update);
    assert_int_equal(in.state->plans[0].step, STEP_VERIFY);
    return w->update->propose && w->update->command.u.plan_step.target[0] != '\0';
}

static void test_lossless_since(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 3, DURABILITY_PREFER_LOSSLESS);
    while (w->state->plans[0].step != STEP_VERIFY && w->now < WORLD_START_MS + 1000) world_tick(w);
    look_in_order();
    assert_true(is_proven());
    look_in_order();
    seen(0, 0)->facts.no_tx = 1; /* A commit went by unacknowledged. */
    assert_false(is_proven());
    look_in_order();
    seen(2, 0)->facts.started_s = 9; /* Another incarnation. */
    assert_false(is_proven());
    look_in_order();
    (void)TEXT_COPY(seen(2, 0)->facts.binlog, "0-1-101"); /* Not received by the backup. */
    assert_false(is_proven());
    look_in_order();
    seen(0, 1)->age_ms = seen(1, 1)->age_ms = seen(2, 1)->age_ms = 50; /* The backup was read before the master. */
    assert_false(is_proven());
    look_in_order();
    seen(0, 0)->age_ms = 6; /* The master was not read after the backup. */
    assert_false(is_proven());
    look_in_order();
    seen(0, 2)->facts.replica_enabled = true; /* Somebody else may acknowledge (A6). */
    assert_false(is_proven());
    for (unsigned i = 0; i < 10; i++) {
        look_in_order();
        if (i == 0) seen(0, 0)->facts.source_timeout_ms = 10000;
        if (i == 1) seen(0, 0)->facts.after_sync = false;
        if (i == 2) seen(0, 0)->facts.wait_no_replica = false;
        if (i == 3) seen(0, 0)->facts.durable = false;
        if (i == 4) seen(0, 1)->facts.relay_durable = false;
        if (i == 5) seen(2, 0)->facts.source_on = false; /* Only the older reading. */
        if (i == 6) seen(0, 0)->facts.source_on = false;
        if (i == 7) seen(0, 0)->facts.source_clients = 2; /* A stranger (A6). */
        if (i == 8) seen(2, 0)->facts.source_clients = 2;
        if (i == 9) seen(0, 1)->facts.replica_on = false;
        if (is_proven()) fail_msg("proven in spite of %u", i);
    }
    world_free(w);
}

static void enrol_for(int64_t ms, enum fsm_durability durability)
{
    w = world_new(NULL);
    world_declare(w, 4, durability);
    w->servers[3].replica_flag = true;
    for (uint8_t m = 0; m < WORLD_MANAGERS; m++) w->servers[3].cut[m] = true;
    world_run(w, ms);
}

/* db4 acknowledges too, and no manager can read it: nothing is lossless then (A6). */
static void test_unread_stranger(void **state)
{
    (void)state;
    enrol_for(30000, DURABILITY_LOSSLESS);
    assert_int_equal(world_cluster(w)->epoch, 0);
    world_free(w);
    enrol_for(30000, DURABILITY_PREFER_LOSSLESS);
    assert_int_equal(world_cluster(w)->epoch, 1);
    assert_false(world_cluster(w)->reigns[0].lossless);
    /* Gone from the master, but never understood: it might come back. */
    w->servers[3].replica_flag = false;
    world_run(w, 5000);
    assert_false(world_cluster(w)->reigns[0].lossless);
    world_free(w);
}

/* Rare heartbeats cannot tell silence: such a replica is not taken in. */
static void test_rare_heartbeats_are_not_enrolled(void **state)
{
    (void)state;
    w = world_new(NULL);
    world_declare(w, 4, DURABILITY_PREFER_LOSSLESS);
    w->servers[2].heartbeat_ms = 0;
    w->servers[3].heartbeat_ms = 251;
    world_run(w, 20000);
    assert_int_equal(world_cluster(w)->servers[1].state, SERVER_MEMBER);
    for (uint8_t i = 2; i < 4; i++) assert_int_equal(world_cluster(w)->servers[i].state, SERVER_QUARANTINED);
    assert_non_null(strstr(world_cluster(w)->servers[2].reason, "MASTER_HEARTBEAT_PERIOD"));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_since),
        cmocka_unit_test(test_unread_stranger),
        cmocka_unit_test(test_rare_heartbeats_are_not_enrolled),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
