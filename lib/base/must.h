/* MUST(): checks that stay in every build.
 *
 * What cannot happen is checked with MUST and ends the process with the place and the condition;
 * what can happen (disks, networks, servers, operators) is an error and is returned (lib/base/err.h). */
#ifndef REGENT_MUST_H
#define REGENT_MUST_H

#define REGENT_NORETURN __attribute__((noreturn))
#define MUST_CHECK __attribute__((warn_unused_result))
#define REGENT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Prints 'condition' with its place to stderr and aborts. Never returns. */
REGENT_NORETURN void must_fail(const char *file, int line, const char *condition);

#define MUST(condition) ((condition) ? (void)0 : must_fail(__FILE__, __LINE__, #condition))
#define MUST_NOT_REACH() must_fail(__FILE__, __LINE__, "not reached")

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
