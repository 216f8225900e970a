/* The end of a process that found itself in a state that cannot be. It says where first, without the heap, which may be
 * what is broken; then how it came there, which may need the heap (backtrace() loads a library at its first call). */
#include "lib/base/must.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STACK_DEPTH = 48 };

void must_fail(const char *file, int line, const char *condition)
{
    void *stack[STACK_DEPTH];

    (void)dprintf(STDERR_FILENO, "%s:%d: this cannot be: %s\n", file, line, condition);
    backtrace_symbols_fd(stack, backtrace(stack, STACK_DEPTH), STDERR_FILENO);
    abort();
}
