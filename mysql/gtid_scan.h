/* Inside of the GTID parsers: the two steps that both flavours share. PURE. Included by gtid.c and gtid_set.c only. */
#ifndef REGENT_MYSQL_GTID_SCAN_H
#define REGENT_MYSQL_GTID_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/* Space and line ends, as the servers print them behind commas. */
static inline const char *gtid_scan_space(const char *s)
{
    while (*s == ' ' || *s == '\n' || *s == '\r' || *s == '\t') s++;
    return s;
}

static inline bool gtid_scan_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads an unsigned decimal at '*s' and moves '*s' behind it. False when there is none, or it is above 'max'. */
static inline bool gtid_scan_number(const char **s, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;
    if (!gtid_scan_is_digit(**s)) return false;
    for (; gtid_scan_is_digit(**s); (*s)++) {
        unsigned digit = (unsigned)(**s - '0');
        if (sum > (max - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

#endif
