/* A declaration in JSON as a struct: shape and sizes are checked here, all else by the group. */
#include "cmd/regent/declaration.h"

#include <string.h>

#include "cmd/regent/render.h"
#include "lib/base/text.h"

static bool read_servers(json_t *servers, struct fsm_cluster_spec *spec)
{
    size_t n = json_array_size(servers);
    if (n > FSM_SERVERS_MAX) return false;
    spec->servers_n = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        json_t *from = json_array_get(servers, i);
        spec->servers[i].role = fsm_role_parse(field(from, "role"));
        if (!TEXT_COPY(spec->servers[i].name, field(from, "name")) ||
            !TEXT_COPY(spec->servers[i].address, field(from, "address")) ||
            spec->servers[i].role == fsm_role_none)
            return false;
    }
    return true;
}

static bool read_ms(json_t *object, const char *key, uint32_t *ms)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    *ms = value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
    return *ms != 0;
}

bool declaration_read(json_t *declaration, struct fsm_cluster_spec *spec)
{
    json_t *credentials = json_object_get(declaration, "credentials"), *detect = json_object_get(declaration, "detect");
    memset(spec, 0, sizeof *spec);
    spec->flavour = fsm_flavour_parse(field(declaration, "flavour"));
    spec->durability = fsm_durability_parse(field(declaration, "durability"));
    return spec->flavour != fsm_flavour_none && spec->durability != fsm_durability_none &&
           TEXT_COPY(spec->name, field(declaration, "cluster")) && spec->name[0] != '\0' &&
           TEXT_COPY(spec->defaults_file, field(credentials, "defaults_file")) &&
           TEXT_COPY(spec->group, field(credentials, "group")) && read_ms(detect, "probe_ms", &spec->probe_ms) &&
           read_ms(detect, "timeout_ms", &spec->timeout_ms) &&
           read_servers(json_object_get(declaration, "servers"), spec);
}
