/* Addresses of managers and servers as text: "host:port". */
#ifndef REGENT_ADDRESS_H
#define REGENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

/* Splits "host:port" ("[::1]:7401" too): the host without brackets goes to the 'host_size' bytes at 'host'. A port has
 * one spelling, so that equal addresses are equal texts. Returns 0 or -EINVAL. */
int address_split(const char *address, char *host, size_t host_size, uint16_t *port) MUST_CHECK;

#endif
