/* Switches one BOUND() of the code off: lib/base/bound.h. Only in the fuzzer's build. */
#include "lib/base/bound.h"

#ifdef REGENT_BOUND_SWITCH
#include <stdlib.h>
#include <string.h>

bool bound_is_off(const char *name)
{
    static const char *off;

    if (off == NULL) {
        off = getenv("REGENT_BOUND_OFF");
        if (off == NULL) off = "";
    }
    return strcmp(off, name) == 0;
}
#endif
