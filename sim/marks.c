/* Which marks were reached. See marks.h.
 *
 * The linker puts the marks of all objects into one section and gives its begin and end a name; weak, for a build
 * without marks has no such section. */
#include "sim/marks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mark.h"
#include "lib/base/must.h"

extern struct mark __start_regent_marks[] __attribute__((weak));
extern struct mark __stop_regent_marks[] __attribute__((weak));

static int compare_names(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return strcmp(__start_regent_marks[*x].name, __start_regent_marks[*y].name);
}

static void sort(unsigned order[MARKS_MAX], unsigned n)
{
    for (unsigned i = 0; i < n; i++) order[i] = i;
    qsort(order, n, sizeof order[0], compare_names);
    for (unsigned i = 1; i < n; i++) MUST(compare_names(&order[i - 1], &order[i]) != 0);
}

unsigned marks_n(void)
{
    size_t bytes = (size_t)((uintptr_t)__stop_regent_marks - (uintptr_t)__start_regent_marks);
    MUST(bytes / sizeof(struct mark) <= MARKS_MAX);
    return (unsigned)(bytes / sizeof(struct mark));
}

void marks_read(uint8_t out[MARKS_MAX / 8])
{
    for (unsigned i = 0; i < marks_n(); i++)
        if (__start_regent_marks[i].reached_n > 0) out[i / 8] = (uint8_t)(out[i / 8] | 1u << (i % 8));
}

void marks_print(const uint64_t seeds[MARKS_MAX])
{
    unsigned order[MARKS_MAX], n = marks_n(), reached_n = 0;
    sort(order, n);
    for (unsigned i = 0; i < n; i++) {
        reached_n += seeds[order[i]] > 0;
        printf("mark %s %llu\n", __start_regent_marks[order[i]].name, (unsigned long long)seeds[order[i]]);
    }
    printf("marks: %u of %u reached\n", reached_n, n);
}
