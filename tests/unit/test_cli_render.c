/* The CLI's text, made of JSON: golden texts (tests/golden/cli_*.txt), and what no JSON may do to a terminal.
 *
 * The renderers are no part of libregent.a, so their sources are compiled into this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cmd/regent/declaration.c"
#include "cmd/regent/render_plan.c"
#include "cmd/regent/render_status.c"
#include "cmd/regent/render_text.c"
#include "tests/unit/handmade.h"

/* What a renderer writes. */
struct page {
    char *text;
    size_t size;
    struct style style;
};

static struct page page_new(bool colour)
{
    struct page p = {.style = {.colour = colour}};
    return p;
}

static void page_open(struct page *p)
{
    p->style.out = open_memstream(&p->text, &p->size);
    assert_non_null(p->style.out);
}

static const char *page_text(struct page *p)
{
    fclose(p->style.out);
    return p->text;
}

static void expect_page(struct page *p, const char *path)
{
    bool equal = golden_equal(path, page_text(p));
    free(p->text);
    assert_true(equal);
}

static json_t *status_of(struct handmade *h)
{
    struct report_cluster c = handmade_report(h);
    return report_status(&h->node, &c, 1);
}

static void healthy(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct page p = page_new(false);
    json_t *status = status_of(h);
    page_open(&p);
    render_status(&p.style, status);
    fputs("----\n", p.style.out);
    render_topology(&p.style, status, NULL);
    json_decref(status);
    free(h);
    expect_page(&p, "tests/golden/cli_healthy.txt");
}

/* db1 died, db2 takes over; db3 is chained below db2, db4 is quarantined with a reason. */
static void in_trouble(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct page p = page_new(false);
    handmade_plan(h, PLAN_STATE_RUNNING, STEP_PROMOTE);
    handmade_fails(h, 0, VIEW_REFUSED);
    HANDMADE_FACTS(h, 2, (f->channels[0].source_server_id = 12, f->channels[0].source_port = 3312));
    h->state.clusters[0].servers[3].state = SERVER_QUARANTINED;
    TEXT_COPY(h->state.clusters[0].servers[3].reason, "holds transactions that no other server has: rebuild it");
    json_t *status = status_of(h);
    page_open(&p);
    render_status(&p.style, status);
    fputs("----\n", p.style.out);
    render_topology(&p.style, status, "shop");
    json_decref(status);
    free(h);
    expect_page(&p, "tests/golden/cli_trouble.txt");
}

static void tokens_and_what_became_of_them(void **unused)
{
    (void)unused;
    struct page p = page_new(false);
    json_t *json = json_pack("{s:[{s:i,s:s,s:s,s:s},{s:i,s:s,s:s,s:s}]}", "tokens", "id", 4, "name", "m4", "address",
                             "", "expires", "2026-11-21T10:59:59.999Z", "id", 5, "name", "m5", "address",
                             "10.0.0.5:7401", "expires", "2026-11-21T11:00:00.001Z");
    assert_non_null(json);
    page_open(&p);
    render_tokens(&p.style, json, "2026-11-21T11:00:00.000Z");
    json_decref(json);
    expect_page(&p, "tests/golden/cli_tokens.txt");
}

static void without_leader(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct page p = page_new(false);
    h->node.established = false;
    h->node.leader_id = 0;
    json_t *status = status_of(h), *members = report_members(&h->node, &h->state);
    page_open(&p);
    render_status(&p.style, status);
    fputs("----\n", p.style.out);
    render_members(&p.style, members);
    json_decref(status);
    json_decref(members);
    free(h);
    expect_page(&p, "tests/golden/cli_stale.txt");
}

static void plans_and_events(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct page p = page_new(false);
    struct fsm_plan *plan = handmade_plan(h, PLAN_STATE_FAILED, STEP_PROMOTE);
    TEXT_COPY(plan->reason, "db2 does not answer: start it, then `regent failover shop`");
    handmade_event(h, 118, "shop", "step apply begins");
    h->state.events[0].evidence[0] = '\0';
    handmade_event(h, 119, "", "m2 became leader");
    strcpy(h->diagnosis.evidence, "m1 db1: connection refused for 2.3 s\nm2 db1: connection refused for 2.2 s\n");
    strcpy(h->diagnosis.change, "an answer of db1 to two managers");
    struct report_cluster c = handmade_report(h);
    json_t *all[] = {report_plans(&h->state, NULL), report_plan(&h->state, plan, true),
                     report_event(&h->state.events[0]), report_event(&h->state.events[1]),
                     report_explain(&c, "plan 117 failed, waiting"), report_declaration(&h->state.clusters[0])};
    page_open(&p);
    render_plans(&p.style, all[0]);
    fputs("----\n", p.style.out);
    render_plan(&p.style, all[1]);
    fputs("----\n", p.style.out);
    render_event(&p.style, all[2]);
    render_event(&p.style, all[3]);
    fputs("----\n", p.style.out);
    render_explain(&p.style, all[4]);
    fputs("----\n", p.style.out);
    assert_true(render_declaration(&p.style, all[5]));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) json_decref(all[i]);
    free(h);
    expect_page(&p, "tests/golden/cli_plans.txt");
}

/* The declaration that is shown can be fed back: it reads as the same spec. */
static void declaration_reads_back(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    struct page p = page_new(false);
    struct fsm_cluster_spec spec;
    struct err e = {0};
    char path[] = "/tmp/regent-declaration-XXXXXX";
    json_t *d = report_declaration(&h->state.clusters[0]);
    page_open(&p);
    assert_true(render_declaration(&p.style, d));
    const char *text = page_text(&p);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    int rv = config_read_cluster(&spec, path, &e);
    unlink(path);
    assert_int_equal(written, strlen(text));
    assert_int_equal(rv, 0);
    assert_string_equal(spec.name, "shop");
    assert_int_equal(spec.servers_n, 4);
    assert_string_equal(spec.servers[3].address, "127.0.0.1:3314");
    assert_int_equal(spec.timeout_ms, 1000);
    json_decref(d);
    free(p.text);
    free(h);
}

static char *render_one_status(json_t *status, bool colour)
{
    struct page p = page_new(colour);
    page_open(&p);
    render_status(&p.style, status);
    render_topology(&p.style, status, NULL);
    page_text(&p);
    return p.text;
}

static void colours_only_when_asked(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    handmade_fails(h, 2, VIEW_REFUSED);
    json_t *status = status_of(h);
    char *plain = render_one_status(status, false), *colour = render_one_status(status, true);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(colour, "\033[1;31m"));
    free(plain);
    free(colour);
    json_decref(status);
    free(h);
}

/* A server's error text with an escape sequence in it does not reach the terminal as one. */
static void no_escape_from_a_server(void **unused)
{
    (void)unused;
    struct handmade *h = handmade_new();
    handmade_fails(h, 2, VIEW_FAILED);
    for (uint8_t m = 0; m < 3; m++) strcpy(h->view.managers[m].servers[2].error, "\033]0;owned\007\033[2J");
    handmade_event(h, 1, "shop", "\033[2J");
    strcpy(h->diagnosis.evidence, "m1: \033[2J\n");
    struct report_cluster c = handmade_report(h);
    json_t *status = status_of(h), *event = report_event(&h->state.events[0]), *explain = report_explain(&c, "\033[2J");
    struct page p = page_new(false);
    page_open(&p);
    render_status(&p.style, status);
    render_topology(&p.style, status, NULL);
    render_event(&p.style, event);
    render_explain(&p.style, explain);
    assert_null(strchr(page_text(&p), '\033'));
    assert_non_null(strstr(p.text, "owned"));
    free(p.text);
    json_decref(status);
    json_decref(event);
    json_decref(explain);
    free(h);
}

/* Servers in a ring, and one that follows a stranger: each is shown once. */
static void rings_end(void **unused)
{
    (void)unused;
    static const char text[] = "{'clusters':[{'name':'r','state':'ok','epoch':1,'master':'a','servers':["
                               "{'name':'a','source':'b'},{'name':'b','source':'a'},"
                               "{'name':'c','source':'d'},{'name':'d','source':'c'},"
                               "{'name':'self','source':'self'},{'name':'e','source':'other:1'}]}]}";
    char quoted[sizeof(text)];
    for (size_t i = 0; i < sizeof(text); i++) quoted[i] = text[i] == '\'' ? '"' : text[i];
    json_t *status = json_loads(quoted, 0, NULL);
    assert_non_null(status);
    struct page p = page_new(false);
    page_open(&p);
    render_topology(&p.style, status, NULL);
    json_decref(status);
    expect_page(&p, "tests/golden/cli_rings.txt");
}

/* Older or newer managers, or nonsense: no key is needed, no type is trusted. */
static void any_json_is_survived(void **unused)
{
    (void)unused;
    const char *const texts[] = {"{}", "[]", "{\"clusters\":7}", "{\"clusters\":[null,{},{\"servers\":[1,{}]}]}",
                                 "{\"plans\":[{\"token\":\"x\"},[]],\"members\":[0],\"tokens\":[0],\"steps\":[0]}",
                                 "{\"servers\":[{}],\"evidence\":[1,null,\"x\"],\"found\":[{}],\"events\":3}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *json = json_loads(texts[i], 0, NULL);
        struct page p = page_new(true);
        page_open(&p);
        render_status(&p.style, json);
        render_topology(&p.style, json, NULL);
        render_event(&p.style, json);
        render_explain(&p.style, json);
        render_plans(&p.style, json);
        render_plan(&p.style, json);
        render_members(&p.style, json);
        render_tokens(&p.style, json, "2026-11-21T11:00:00.000Z");
        assert_false(render_declaration(&p.style, json));
        page_text(&p);
        assert_true(p.size > 0);
        free(p.text);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(healthy),
        cmocka_unit_test(in_trouble),
        cmocka_unit_test(without_leader),
        cmocka_unit_test(tokens_and_what_became_of_them),
        cmocka_unit_test(plans_and_events),
        cmocka_unit_test(declaration_reads_back),
        cmocka_unit_test(colours_only_when_asked),
        cmocka_unit_test(no_escape_from_a_server),
        cmocka_unit_test(rings_end),
        cmocka_unit_test(any_json_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
