/* Recovery's first command. See recovery.h. */
#include "manager/recovery.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"

void recovery_init(struct recovery *r, struct consensus *consensus, struct raft_node_identity *who)
{
    *r = (struct recovery){.who = who, .consensus = consensus, .id = {.client = clock_random() | 1}};
}

bool recovery_is_done(const struct recovery *r)
{
    return consensus_state(r->consensus)->generation >= r->who->generation;
}

static void on_proposed(void *arg, int status, const struct fsm_result *result)
{
    struct recovery *r = arg;
    r->busy = false;
    if (status == 0 && result->code == FSM_OK) {
        log_warn("recovery.done", "generation=%llu text=\"the group was made anew from this manager; all clusters are "
                 "paused: compare each with its servers, then `regent cluster resume` it\"",
                 (unsigned long long)r->who->generation);
    } else if (status == 0) {
        log_err("recovery.refused", "text=\"%s\"", result->text);
    }
}

void recovery_run(struct recovery *r, bool leads)
{
    static struct fsm_command command; /* Large; loop thread only. */
    if (!leads || r->busy || recovery_is_done(r)) return;
    memset(&command, 0, sizeof command);
    if (r->id.seq == 0) r->id = (struct fsm_request_id){r->id.client, 1, consensus_state(r->consensus)->index};
    command.id = r->id;
    command.time = clock_wall();
    command.kind = CMD_RECOVERED;
    command.u.recovered = (struct fsm_cmd_recovered){.survivor = r->who->id, .group_id = r->who->group_id,
                                                     .generation = r->who->generation};
    r->busy = consensus_propose(r->consensus, &command, on_proposed, r) == 0;
}
