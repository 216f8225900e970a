/* Which version a command needs, and how the active one is raised: fsm/version.h. PURE. */
#include "fsm/version.h"

#include "fsm/apply.h"
#include "fsm/internal.h"

uint32_t fsm_kind_needs(uint32_t kind)
{
    switch ((enum fsm_command_kind)kind) {
    case CMD_CLUSTER_SET:
    case CMD_SERVER_STATE:
    case CMD_PLAN_BEGIN:
    case CMD_PLAN_STEP:
    case CMD_PLAN_END:
    case CMD_CLUSTER_PAUSE:
    case CMD_EVENT:
    case CMD_REIGN_PROOF:
    case CMD_MEMBER:
    case CMD_TOKEN:
    case CMD_VERSION:
    case CMD_DIGEST:
    case CMD_RECOVERED: return 1;
#ifdef REGENT_NEXT_VERSION
    case CMD_LABEL: return 2;
#endif
    case CMD_NONE: break;
    }
    return 0;
}

uint32_t fsm_command_needs(const struct fsm_command *command)
{
    return fsm_kind_needs((uint32_t)command->kind); /* No field was added to a known kind so far. */
}

static uint32_t declared_version(const struct fsm_command *command)
{
    return command->version != 0 ? command->version : fsm_command_needs(command);
}

enum fsm_code fsm_version_check(struct fsm_apply *a)
{
    uint32_t declared = declared_version(a->command), active = a->state->version;

    if (declared > active) {
        return FSM_REFUSE(a, FSM_UNKNOWN, "the command needs version %u, and the group runs at version %u until all "
                          "managers are upgraded", declared, active);
    }
    if (fsm_command_needs(a->command) > declared) {
        return FSM_REFUSE(a, FSM_UNKNOWN, "version %u has no command %d", declared, (int)a->command->kind);
    }
    return FSM_OK;
}

bool fsm_command_is_beyond(const struct fsm_state *state, const struct fsm_command *command)
{
    const struct fsm_cmd_version *c = &command->u.version;

    if (command->kind != CMD_VERSION || c->to <= FSM_VERSION_MAX) return false;
    return c->from == state->version && fsm_dedup_find(state, command->id) == NULL;
}

enum fsm_code fsm_apply_version(struct fsm_apply *a)
{
    const struct fsm_cmd_version *c = &a->command->u.version;
    char buffer[FSM_TEXT_SIZE];
    struct text text = TEXT_ON(buffer);

    if (c->from != a->state->version) {
        return FSM_REFUSE(a, FSM_STALE, "the group runs at version %u already", a->state->version);
    }
    if (c->to <= c->from) return FSM_REFUSE(a, FSM_INVALID, "there is no way down from version %u", c->from);
    MUST(c->to <= FSM_VERSION_MAX); /* fsm_command_is_beyond() */
    a->state->version = c->to;
    a->state->version_since = a->index;
    text_addf(&text, "the group runs at version %u now: managers that do not speak it cannot come back", c->to);
    fsm_event_add(a, &(struct fsm_note){NULL, "version.raised", buffer, ""});
    return FSM_OK;
}

#ifdef REGENT_NEXT_VERSION
enum fsm_code fsm_apply_label(struct fsm_apply *a)
{
    FSM_TEXT_SET(a->state->label, a->command->u.label);
    fsm_event_add(a, &(struct fsm_note){NULL, "label", a->command->u.label, ""});
    return FSM_OK;
}
#endif
