/* Addresses of managers and servers: "host:port" as text, and which of them lead to this machine. */
#ifndef REGENT_ADDRESS_H
#define REGENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/must.h"

struct sockaddr;

/* Splits "host:port" ("[::1]:7401" too): the host without brackets goes to the 'host_size' bytes at 'host'. A port has
 * one spelling, so that equal addresses are equal texts. Returns 0 or -EINVAL. */
int address_split(const char *address, char *host, size_t host_size, uint16_t *port) MUST_CHECK;

/* True for 127.0.0.0/8 and ::1, with which alone plaintext may be spoken. */
bool address_is_loopback(const struct sockaddr *sa);

#endif
