/* Cluster files: what an operator declares about one cluster. Issue 2, "Fixed shapes".
 *
 * A file says what is wanted; whether this version can manage it (flavour) is for the manager to say. */
#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/schema.h"
#include "lib/yaml.h"
#include "manager/config.h"
#include "manager/config_types.h"

#define NAME_OF(id, text) #text,
static const char *const flavours[] = {FSM_FLAVOURS(NAME_OF)};
static const char *const durabilities[] = {FSM_DURABILITIES(NAME_OF)};
static const char *const roles[] = {FSM_ROLES(NAME_OF)};
#undef NAME_OF

static const struct schema_type type_flavour = {
    .kind = SCHEMA_ENUM, .choices = flavours, .choices_n = ARRAY_LEN(flavours)};
static const struct schema_type type_durability = {
    .kind = SCHEMA_ENUM, .choices = durabilities, .choices_n = ARRAY_LEN(durabilities)};
static const struct schema_type type_role = {.kind = SCHEMA_ENUM, .choices = roles, .choices_n = ARRAY_LEN(roles)};
static const struct schema_type type_probe = {.kind = SCHEMA_DURATION, .min_ms = 20, .max_ms = 60000};
/* Not below 1 s: followers hear a heartbeat each 250 ms, and silence is judged by four of them (DESIGN §8). */
static const struct schema_type type_timeout = {.kind = SCHEMA_DURATION, .min_ms = 1000, .max_ms = 600000};

/* section, key, type, destination, default (NULL: required) */
#define SPEC_KEYS(X)                                                                                                  \
    X("", "cluster", config_type_name, name, NULL)                                                                    \
    X("", "flavour", type_flavour, flavour, NULL)                                                                     \
    X("", "durability", type_durability, durability, "prefer-lossless")                                               \
    X("credentials", "defaults_file", config_type_path, defaults_file, NULL)                                          \
    X("credentials", "group", config_type_name, group, "regent")                                                      \
    X("detect", "probe", type_probe, probe_ms, "500ms")                                                               \
    X("detect", "timeout", type_timeout, timeout_ms, "1s")

#define SERVER_KEYS(X)                                                                                                \
    X("", "name", config_type_name, name, NULL)                                                                       \
    X("", "address", config_type_address, address, NULL)                                                              \
    X("", "role", type_role, role, NULL)

#define AT(member) offsetof(struct fsm_cluster_spec, member)
#define SIZE_OF(member) sizeof(((struct fsm_cluster_spec *)0)->member)
#define SPEC_ROW(section, key, type, member, fallback) {section, key, &type, AT(member), SIZE_OF(member), fallback},
#define SERVER_ROW(section, key, type, member, fallback)                                                              \
    {section, key, &type, AT(servers[0].member) - AT(servers[0]), SIZE_OF(servers[0].member), fallback},

static const struct schema_key spec_keys[] = {SPEC_KEYS(SPEC_ROW)};
static const struct schema_key server_keys[] = {SERVER_KEYS(SERVER_ROW)};

static const struct schema_list servers_list = {
    .key = "servers",
    .keys = server_keys,
    .keys_n = ARRAY_LEN(server_keys),
    .offset = AT(servers),
    .item_size = SIZE_OF(servers[0]),
    .count_offset = AT(servers_n),
    .count_size = sizeof(uint8_t),
    .max = FSM_SERVERS_MAX,
};

static const struct schema spec_schema = {.keys = spec_keys, .keys_n = ARRAY_LEN(spec_keys), .list = &servers_list};

static unsigned role_line(const struct yaml_node *servers, int i)
{
    return yaml_node_find(yaml_node_child(servers, (unsigned)i), "role")->line;
}

/* Counts the servers of a role; the second one is refused. */
static int check_single(const struct fsm_cluster_spec *s, const struct yaml_file *file, enum fsm_role role,
                        struct err *e)
{
    const struct yaml_node *items = yaml_node_find(file->root, "servers");
    int first = -1;

    for (int i = 0; i < s->servers_n; i++) {
        if (s->servers[i].role != role) continue;
        if (first < 0) {
            first = i;
            continue;
        }
        return yaml_file_error(e, file->path, role_line(items, i),
                               "server \"%s\" is a second %s, expected one (\"%s\" on line %u)", s->servers[i].name,
                               roles[role - 1], s->servers[first].name, role_line(items, first));
    }
    if (role != ROLE_MASTER || first >= 0) return 0;
    return yaml_file_error(e, file->path, config_line_of(file, NULL, "servers"),
                           "no server has the role master, expected exactly one (the server that accepts writes now)");
}

static int check_detect(const struct fsm_cluster_spec *s, const struct yaml_file *file, struct err *e)
{
    char probe[16], timeout[16];

    if (s->timeout_ms >= 2 * s->probe_ms) return 0;
    schema_print_duration(s->probe_ms, probe);
    schema_print_duration(s->timeout_ms, timeout);
    return yaml_file_error(e, file->path, config_line_of(file, "detect", "timeout"),
                           "detect.timeout is %s, expected at least twice detect.probe (%s): one lost answer must not "
                           "count as silence", timeout, probe);
}

int config_read_cluster(struct fsm_cluster_spec *to, const char *path, struct err *e)
{
    struct yaml_file file;
    int rv = yaml_file_read(&file, path, e);

    if (rv != 0) return rv;
    memset(to, 0, sizeof *to); /* Padding too: equal files give equal bytes. */
    rv = schema_read(&spec_schema, &file, to, e);
    if (rv == 0) rv = config_check_unique(&file, "servers", e);
    if (rv == 0) rv = check_single(to, &file, ROLE_MASTER, e);
    if (rv == 0) rv = check_single(to, &file, ROLE_BACKUP, e);
    if (rv == 0) rv = check_detect(to, &file, e);
    yaml_file_free(&file);
    return rv;
}

void config_print_cluster(const struct fsm_cluster_spec *from, FILE *out)
{
    schema_print(&spec_schema, from, out);
}
