/* Names and texts of the enums of plan/, each from its one list. PURE. */
#include "plan/diagnose.h"
#include "plan/verb.h"

const char *view_outcome_text(enum view_outcome outcome)
{
    static const char *const texts[] = {
#define X(id, text) text,
        VIEW_OUTCOMES(X)
#undef X
    };
    return (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "?";
}

const char *diagnosis_name(enum diagnosis_row row)
{
    static const char *const names[] = {
#define X(id, name, acts, text) #name,
        DIAGNOSIS_ROWS(X)
#undef X
    };
    return (size_t)row < ARRAY_LEN(names) ? names[row] : "?";
}

const char *diagnosis_text(enum diagnosis_row row)
{
    static const char *const texts[] = {
#define X(id, name, acts, text) text,
        DIAGNOSIS_ROWS(X)
#undef X
    };
    return (size_t)row < ARRAY_LEN(texts) ? texts[row] : "?";
}

const char *verb_name(enum verb_kind kind)
{
    static const char *const names[] = {
        "none",
#define X(id, name) #name,
        VERB_KINDS(X)
#undef X
    };
    return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "?";
}
