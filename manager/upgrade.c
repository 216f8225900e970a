/* Raising the active version: see the header. */
#include "manager/upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

struct upgrade {
    const struct ports *ports;
    uint64_t client, seq;
    bool proposing;
    struct mono next_at;
    struct fsm_command command;
};

static const struct hello *find_hello(const struct upgrade_view *view, uint64_t id)
{
    for (unsigned i = 0; i < view->hellos_n; i++)
        if (view->hellos[i].manager_id == id) return &view->hellos[i];
    return NULL;
}

uint32_t upgrade_target(const struct upgrade_view *view)
{
    uint32_t lowest = UINT32_MAX, floor = 0;
    for (unsigned i = 0; i < view->members_n; i++) {
        const struct hello *hello = find_hello(view, view->members[i]);
        if (hello == NULL) return 0;
        if (hello->version_max < lowest) lowest = hello->version_max;
        if (hello->version_min > floor) floor = hello->version_min;
    }
    return view->members_n > 0 && lowest > view->active && lowest >= floor ? lowest : 0;
}

struct upgrade *upgrade_new(const struct ports *ports)
{
    struct upgrade *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->ports = ports;
    u->client = ports->clock.random(ports->ctx) | 1;
    return u;
}

void upgrade_free(struct upgrade *upgrade)
{
    free(upgrade);
}

static void proposed(void *arg, int status, const struct fsm_result *result)
{
    struct upgrade *u = arg;
    u->proposing = false;
    if (status == 0 && result->code == FSM_OK)
        log_info("version.raised", "version=%u index=%llu text=\"all managers speak it\"", u->command.u.version.to,
                 (unsigned long long)result->index);
}

void upgrade_run(struct upgrade *upgrade, struct upgrade_view *view)
{
    struct upgrade *u = upgrade;
    const struct ports *p = u->ports;
    const struct fsm_state *state = p->consensus.state(p->ctx);
    uint64_t term;
    struct mono now = p->clock.now(p->ctx);
    if (u->proposing || mono_before(now, u->next_at) || !p->consensus.is_established(p->ctx, &term)) return;
    view->active = state->version;
    uint32_t target = upgrade_target(view);
    if (target == 0) return;
    memset(&u->command, 0, sizeof u->command);
    u->command.kind = CMD_VERSION;
    u->command.id = (struct fsm_request_id){.client = u->client, .seq = ++u->seq, .since = state->index};
    u->command.time = p->clock.wall(p->ctx);
    u->command.u.version = (struct fsm_cmd_version){.from = state->version, .to = target};
    u->next_at = mono_add_ms(now, UPGRADE_PAUSE_MS);
    u->proposing = p->consensus.propose(p->ctx, &u->command, proposed, u) == 0;
}
