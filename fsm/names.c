/* Names of the enums of fsm/state.h and fsm/command.h, from the lists that define them. PURE. */
#include "fsm/command.h"
#include "lib/base/text.h"

/* Index in 'names' of 'name', or 0 ("none") when it is not there. */
static int find(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 1; i < n; i++) {
        if (text_equal(names[i], name)) return (int)i;
    }
    return 0;
}

static const char *pick(const char *const *names, size_t n, int value)
{
    return value >= 0 && (size_t)value < n ? names[value] : "?";
}

#define ITEM(id, text) #text,
#define NAMES(NAME, LIST)                                                                                             \
    static const char *const NAME##_names[] = {"none", LIST(ITEM)};                                                   \
    const char *NAME##_name(enum NAME v) { return pick(NAME##_names, ARRAY_LEN(NAME##_names), (int)v); }
#define PARSE(NAME)                                                                                                   \
    enum NAME NAME##_parse(const char *name)                                                                          \
    {                                                                                                                 \
        return (enum NAME)find(NAME##_names, ARRAY_LEN(NAME##_names), name);                                          \
    }

NAMES(fsm_flavour, FSM_FLAVOURS)
NAMES(fsm_durability, FSM_DURABILITIES)
NAMES(fsm_role, FSM_ROLES)
NAMES(fsm_server_state, FSM_SERVER_STATES)
NAMES(fsm_plan_kind, FSM_PLAN_KINDS)
NAMES(fsm_step, FSM_STEPS)
NAMES(fsm_plan_state, FSM_PLAN_STATES)
NAMES(fsm_fence, FSM_FENCES)
NAMES(fsm_member_role, FSM_MEMBER_ROLES)
PARSE(fsm_flavour)
PARSE(fsm_durability)
PARSE(fsm_role)

const char *fsm_code_text(enum fsm_code code)
{
    static const char *const texts[] = {
#define X(id, text) text,
        FSM_CODES(X)
#undef X
    };
    return pick(texts, ARRAY_LEN(texts), (int)code);
}

const char *fsm_code_name(enum fsm_code code)
{
    switch (code) {
    case FSM_OK: return "ok";
    case FSM_NOT_FOUND: return "not_found";
    case FSM_EXISTS: return "exists";
    case FSM_INVALID: return "invalid";
    case FSM_BUSY: return "busy";
    case FSM_STALE: return "stale";
    case FSM_FULL: return "full";
    case FSM_UNSAFE: return "unsafe";
    case FSM_UNKNOWN: return "unknown";
    case FSM_EXPIRED: return "expired";
    case FSM_CODES_N: break;
    }
    return "?";
}
