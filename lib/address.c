/* Addresses of managers and servers: see the header. */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/base/text.h"

#define LETTERS_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* A host name, an IPv4 address, or (in brackets) an IPv6 address. Only digits and dots: it must be IPv4. */
static bool host_is_right(const char *host, bool bracketed)
{
    struct in6_addr v6;
    struct in_addr v4;
    size_t len = strlen(host);

    if (bracketed) return inet_pton(AF_INET6, host, &v6) == 1;
    if (len == 0 || host[0] == '-' || host[0] == '.') return false;
    if (strspn(host, "0123456789.") == len) return inet_pton(AF_INET, host, &v4) == 1;
    return strspn(host, LETTERS_DIGITS "._-") == len && strstr(host, "..") == NULL;
}

int address_split(const char *address, char *host, size_t host_size, uint16_t *port)
{
    const char *colon = strrchr(address, ':'), *begin = address, *end = colon;
    bool bracketed = address[0] == '[';
    uint64_t number;

    if (colon == NULL || colon == address) return -EINVAL;
    if (bracketed) {
        if (end[-1] != ']') return -EINVAL;
        begin++;
        end--;
    }
    if (end <= begin || (size_t)(end - begin) >= host_size) return -EINVAL;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (!host_is_right(host, bracketed)) return -EINVAL;
    /* One spelling a port, so that equal addresses are equal text. */
    if (colon[1] == '0' || strlen(colon + 1) > 5 || !text_to_u64(colon + 1, &number)) return -EINVAL;
    if (number > UINT16_MAX) return -EINVAL;
    *port = (uint16_t)number;
    return 0;
}

bool address_is_loopback(const struct sockaddr *sa)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (sa->sa_family == AF_INET) {
        memcpy(&v4, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, sizeof v4);
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (sa->sa_family != AF_INET6) return false;
    memcpy(&v6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, sizeof v6);
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}
