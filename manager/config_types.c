/* Names, addresses and paths as our files have them. */
#include "manager/config_types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/address.h"
#include "lib/base/text.h"
#include "manager/config.h"

#define LETTERS_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

enum {
    SOCKET_PATH_MAX = 107, /* sun_path of unix(7), without its NUL. */
    HOST_SIZE = FSM_ADDRESS_SIZE,
};

/* The first character is a letter or digit, so that no name looks like an option or a path. */
static bool name_is_right(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len >= FSM_NAME_SIZE || strchr(LETTERS_DIGITS, s[0]) == NULL) return false;
    return strspn(s, LETTERS_DIGITS "._-") == len;
}

static bool address_is_right(const char *s)
{
    char host[HOST_SIZE];
    uint16_t port;

    return strlen(s) < FSM_ADDRESS_SIZE && config_split_address(s, host, sizeof host, &port) == 0;
}

static bool path_is_right(const char *s)
{
    if (s[0] != '/' || strlen(s) >= FSM_PATH_SIZE) return false;
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f) return false;
    }
    return true;
}

static bool socket_is_right(const char *s)
{
    return path_is_right(s) && strlen(s) <= SOCKET_PATH_MAX;
}

const struct schema_type config_type_name = {
    .kind = SCHEMA_TEXT,
    .expected = "a name of at most 63 letters, digits, \".\", \"_\" and \"-\" that begins with a letter or digit",
    .check = name_is_right,
};
const struct schema_type config_type_address = {
    .kind = SCHEMA_TEXT,
    .expected = "host:port, like 127.0.0.1:7401, db1.example:3306 or \"[::1]:7401\"",
    .check = address_is_right,
};
const struct schema_type config_type_path = {
    .kind = SCHEMA_TEXT,
    .expected = "an absolute path of at most 255 characters",
    .check = path_is_right,
};
const struct schema_type config_type_socket = {
    .kind = SCHEMA_TEXT,
    .expected = "an absolute path of at most 107 characters (the kernel's limit for a socket)",
    .check = socket_is_right,
};
const struct schema_type config_type_bool = {.kind = SCHEMA_BOOL};

int config_split_address(const char *address, char *host, size_t host_size, uint16_t *port)
{
    return address_split(address, host, host_size, port);
}

bool config_address_equal(const char *a, const char *b)
{
    char host_a[HOST_SIZE], host_b[HOST_SIZE];
    struct in6_addr v6_a, v6_b;
    uint16_t port_a, port_b;

    if (config_split_address(a, host_a, sizeof host_a, &port_a) != 0) return false;
    if (config_split_address(b, host_b, sizeof host_b, &port_b) != 0) return false;
    if (port_a != port_b) return false;
    if (strcasecmp(host_a, host_b) == 0) return true;
    if (inet_pton(AF_INET6, host_a, &v6_a) != 1 || inet_pton(AF_INET6, host_b, &v6_b) != 1) return false;
    return memcmp(&v6_a, &v6_b, sizeof v6_a) == 0;
}

bool config_address_is_loopback(const char *address)
{
    char host[HOST_SIZE];
    struct in6_addr v6;
    struct in_addr v4;
    uint16_t port;

    if (config_split_address(address, host, sizeof host, &port) != 0) return false;
    if (strcasecmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && memcmp(&v6, &in6addr_loopback, sizeof v6) == 0;
}

static int refuse_repeated(const struct yaml_file *file, const char *what, const struct yaml_node *node,
                           const struct yaml_node *before, struct err *e)
{
    return yaml_file_error(e, file->path, node->line,
                           "%s \"%s\" is used twice, expected another one (first on line %u)", what, node->text,
                           before->line);
}

int config_check_unique(const struct yaml_file *file, const char *list, struct err *e)
{
    const struct yaml_node *items = yaml_node_find(file->root, list);

    if (items == NULL) return 0;
    for (const struct yaml_node *a = items->first; a != NULL; a = a->next) {
        const struct yaml_node *name = yaml_node_find(a, "name"), *address = yaml_node_find(a, "address");

        for (const struct yaml_node *b = items->first; b != a; b = b->next) {
            const struct yaml_node *name_b = yaml_node_find(b, "name"), *address_b = yaml_node_find(b, "address");

            if (text_equal(name->text, name_b->text)) return refuse_repeated(file, "name", name, name_b, e);
            if (!config_address_equal(address->text, address_b->text)) continue;
            return refuse_repeated(file, "address", address, address_b, e);
        }
    }
    return 0;
}

unsigned config_line_of(const struct yaml_file *file, const char *section, const char *key)
{
    const struct yaml_node *map = file->root, *node;

    if (section != NULL && section[0] != '\0') {
        map = yaml_node_find(file->root, section);
        if (map == NULL) return file->root->line;
    }
    node = yaml_node_find(map, key);
    if (node != NULL) return node->line;
    return map->key_line != 0 ? map->key_line : map->line;
}
