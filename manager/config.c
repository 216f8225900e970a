/* regentd.yaml: its keys, and the rules that concern more than one of them. Issue 2, "Fixed shapes". */
#include "manager/config.h"

#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/schema.h"
#include "lib/suggest.h"
#include "lib/yaml.h"
#include "manager/config_types.h"

static const char *const log_levels[] = {"err", "warn", "info", "debug"};

static const struct schema_type type_log_level = {
    .kind = SCHEMA_WORD, .choices = log_levels, .choices_n = ARRAY_LEN(log_levels)};
static const struct schema_type type_heartbeat = {.kind = SCHEMA_DURATION, .min_ms = 10, .max_ms = 10000};
static const struct schema_type type_election = {.kind = SCHEMA_DURATION, .min_ms = 50, .max_ms = 60000};

/* section, key, type, destination, default (NULL: required; "": may be left out) */
#define CONFIG_KEYS(X)                                                                                                \
    X("", "node", config_type_name, node, NULL)                                                                       \
    X("", "listen", config_type_address, listen, NULL)                                                                \
    X("", "data_dir", config_type_path, data_dir, NULL)                                                               \
    X("", "socket", config_type_socket, socket, "")                                                                   \
    X("", "insecure_loopback", config_type_bool, insecure_loopback, "false")                                          \
    X("tls", "ca", config_type_path, tls.ca, "")                                                                      \
    X("tls", "cert", config_type_path, tls.cert, "")                                                                  \
    X("tls", "key", config_type_path, tls.key, "")                                                                    \
    X("tls", "crl", config_type_path, tls.crl, "")                                                                    \
    X("log", "level", type_log_level, log_level, "info")                                                              \
    X("log", "journal", config_type_bool, log_journal, "false")                                                       \
    X("raft", "heartbeat", type_heartbeat, heartbeat_ms, "100ms")                                                     \
    X("raft", "election", type_election, election_ms, "500ms")

#define MEMBER_KEYS(X)                                                                                                \
    X("", "name", config_type_name, name, NULL)                                                                       \
    X("", "address", config_type_address, address, NULL)

#define CONFIG_ROW(section, key, type, member, fallback)                                                              \
    {section, key, &type, offsetof(struct config, member), sizeof(((struct config *)0)->member), fallback},
#define MEMBER_ROW(section, key, type, member, fallback)                                                              \
    {section, key, &type, offsetof(struct config_member, member), sizeof(((struct config_member *)0)->member),    \
     fallback},

static const struct schema_key config_keys[] = {CONFIG_KEYS(CONFIG_ROW)};
static const struct schema_key member_keys[] = {MEMBER_KEYS(MEMBER_ROW)};

static const struct schema_list group_list = {
    .key = "group",
    .keys = member_keys,
    .keys_n = ARRAY_LEN(member_keys),
    .offset = offsetof(struct config, group),
    .item_size = sizeof(struct config_member),
    .count_offset = offsetof(struct config, group_n),
    .count_size = sizeof(unsigned),
    .max = CONFIG_GROUP_MAX,
    .optional = true, /* Only first members need it. */
};

static const struct schema config_schema = {.keys = config_keys, .keys_n = ARRAY_LEN(config_keys), .list = &group_list};

/* An even group needs one more vote than the odd one below it and survives no more failures. */
static int check_group_size(const struct config *config, const struct yaml_file *file, struct err *e)
{
    if (config->group_n == 0 || config->group_n % 2 == 1) return 0; /* None: of a member that joins. */
    return yaml_file_error(e, file->path, config_line_of(file, NULL, "group"),
                           "group has %u members, expected 1, 3, 5 or 7: %u survive no more failures than %u do",
                           config->group_n, config->group_n, config->group_n - 1);
}

static bool is_wildcard(const char *address)
{
    char host[FSM_ADDRESS_SIZE];
    uint16_t port;

    if (config_split_address(address, host, sizeof host, &port) != 0) return false;
    return text_equal(host, "0.0.0.0") || text_equal(host, "::");
}

/* With TLS a node may listen on all its addresses; the others still need one of them. */
static bool listens_on_own(const struct config *config, const char *own)
{
    char host[FSM_ADDRESS_SIZE];
    uint16_t port, own_port;

    if (config_address_equal(config->listen, own)) return true;
    if (config->tls.ca[0] == '\0' || !is_wildcard(config->listen)) return false;
    if (config_split_address(config->listen, host, sizeof host, &port) != 0) return false;
    return config_split_address(own, host, sizeof host, &own_port) == 0 && port == own_port;
}

const char *config_own_address(const struct config *config)
{
    for (unsigned i = 0; i < config->group_n; i++)
        if (text_equal(config->group[i].name, config->node)) return config->group[i].address;
    return config->listen; /* Of a member that joins. */
}

static int check_own_member(const struct config *config, const struct yaml_file *file, struct err *e)
{
    const char *names[CONFIG_GROUP_MAX], *near;
    const struct config_member *own = NULL;

    if (config->group_n == 0 && is_wildcard(config->listen)) {
        return yaml_file_error(e, file->path, config_line_of(file, NULL, "listen"),
                               "listen is \"%s\", expected the address by which the others reach this manager: "
                               "there is no group that tells it", config->listen);
    }
    if (config->group_n == 0) return 0;
    for (unsigned i = 0; i < config->group_n; i++) {
        names[i] = config->group[i].name;
        if (text_equal(names[i], config->node)) own = &config->group[i];
    }
    if (own == NULL) {
        near = suggest(config->node, names, config->group_n);
        return yaml_file_error(e, file->path, config_line_of(file, NULL, "node"),
                               "node \"%s\" is not in group, expected the name of one of its members%s%s%s",
                               config->node, near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near,
                               near == NULL ? "" : "\"?");
    }
    if (listens_on_own(config, own->address)) return 0;
    return yaml_file_error(e, file->path, config_line_of(file, NULL, "listen"),
                           "listen is \"%s\", expected the address that group has for node \"%s\": \"%s\"",
                           config->listen, config->node, own->address);
}

/* All of it or nothing; the list of revoked certificates may be missing. */
static int check_tls(const struct config *config, const struct yaml_file *file, struct err *e)
{
    const struct {
        const char *key, *value;
    } needed[] = {{"ca", config->tls.ca}, {"cert", config->tls.cert}, {"key", config->tls.key}};

    if (yaml_node_find(file->root, "tls") == NULL) return 0;
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (needed[i].value[0] != '\0') continue;
        return yaml_file_error(e, file->path, config_line_of(file, "tls", needed[i].key),
                               "key \"tls.%s\" is missing, expected ca, cert and key (and crl, if there is one)",
                               needed[i].key);
    }
    if (!config->insecure_loopback) return 0;
    return yaml_file_error(e, file->path, config_line_of(file, NULL, "insecure_loopback"),
                           "insecure_loopback is true beside tls, expected only one of them");
}

/* Without TLS nobody else may be able to talk to a manager. */
static int check_plaintext(const struct config *config, const struct yaml_file *file, struct err *e)
{
    const struct yaml_node *group = yaml_node_find(file->root, "group");

    if (config->tls.ca[0] != '\0') return 0;
    if (!config->insecure_loopback) {
        return yaml_file_error(e, file->path, config_line_of(file, NULL, "insecure_loopback"),
                               "there is no tls, expected \"tls: {ca: PATH, cert: PATH, key: PATH, crl: PATH}\" "
                               "(`regent pki` makes the files), or \"insecure_loopback: true\" to try it out on one "
                               "host");
    }
    if (config->group_n == 0 && !config_address_is_loopback(config->listen)) {
        return yaml_file_error(e, file->path, config_line_of(file, NULL, "listen"),
                               "listen is \"%s\", expected a loopback address (127.0.0.1, [::1], localhost): "
                               "managers talk without TLS", config->listen);
    }
    for (unsigned i = 0; i < config->group_n; i++) {
        if (config_address_is_loopback(config->group[i].address)) continue;
        return yaml_file_error(e, file->path, yaml_node_find(yaml_node_child(group, i), "address")->line,
                               "group.address is \"%s\", expected a loopback address (127.0.0.1, [::1], localhost): "
                               "managers talk without TLS", config->group[i].address);
    }
    return 0;
}

static int check_raft(const struct config *config, const struct yaml_file *file, struct err *e)
{
    char heartbeat[16], election[16];

    if (config->election_ms >= 2 * config->heartbeat_ms) return 0;
    schema_print_duration(config->heartbeat_ms, heartbeat);
    schema_print_duration(config->election_ms, election);
    return yaml_file_error(e, file->path, config_line_of(file, "raft", "election"),
                           "raft.election is %s, expected at least twice raft.heartbeat (%s)", election, heartbeat);
}

int config_read(struct config *config, const char *path, struct err *e)
{
    struct yaml_file file;
    int rv = yaml_file_read(&file, path, e);

    if (rv != 0) return rv;
    memset(config, 0, sizeof *config); /* Padding too: equal files give equal bytes. */
    rv = schema_read(&config_schema, &file, config, e);
    if (rv == 0) rv = config_check_unique(&file, "group", e);
    if (rv == 0) rv = check_group_size(config, &file, e);
    if (rv == 0) rv = check_own_member(config, &file, e);
    if (rv == 0) rv = check_tls(config, &file, e);
    if (rv == 0) rv = check_plaintext(config, &file, e);
    if (rv == 0) rv = check_raft(config, &file, e);
    yaml_file_free(&file);
    return rv;
}

void config_print(const struct config *config, FILE *out)
{
    schema_print(&config_schema, config, out);
}
