/* A TCP port for a server under test: outside the range from which the kernel takes ports for outgoing connections, so
 * that it is still free when the server is started, or started again. Among tests it is reserved by an abstract socket,
 * as tests/lib/scene.py does it, until the process ends. Header only. */
#ifndef REGENT_TESTS_FREE_PORT_H
#define REGENT_TESTS_FREE_PORT_H

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline bool port_is_reserved(uint16_t port)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "regent-test-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* Left open: it is the reservation. */
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

    if (fd < 0) return false;
    if (bind(fd, (struct sockaddr *)&un, size) == 0) return true;
    close(fd);
    return false;
}

static inline bool port_is_free(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0;

    if (fd >= 0) close(fd);
    return is_free;
}

/* 0: there is none. */
static inline uint16_t free_port(void)
{
    enum { FIRST = 15000, LAST = 31999, TRIES = 1000 };

    for (int i = 0; i < TRIES; i++) {
        uint16_t port = 0;
        if (getrandom(&port, sizeof port, 0) != sizeof port) return 0;
        port = (uint16_t)(FIRST + port % (LAST - FIRST + 1));
        if (port_is_reserved(port) && port_is_free(port)) return port;
    }
    return 0;
}

#endif
