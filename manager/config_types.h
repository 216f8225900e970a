/* What the values in our configuration files may be, and the checks that both kinds of file need. Private to
 * manager/config*.c. */
#ifndef REGENT_MANAGER_CONFIG_TYPES_H
#define REGENT_MANAGER_CONFIG_TYPES_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/schema.h"
#include "lib/yaml.h"

extern const struct schema_type config_type_name;
extern const struct schema_type config_type_address;
extern const struct schema_type config_type_path;
extern const struct schema_type config_type_socket;
extern const struct schema_type config_type_bool;

/* True when both name the same host and port as far as the text tells (no resolver is asked). Both are right. */
bool config_address_equal(const char *a, const char *b);

/* True for 127.0.0.0/8, ::1 and "localhost". 'address' is right. */
bool config_address_is_loopback(const char *address);

/* Refuses two entries of the list with equal "name" or "address". Returns 0 or -EINVAL with 'e' set. */
int config_check_unique(const struct yaml_file *file, const char *list, struct err *e) MUST_CHECK;

/* The line of 'key' below 'section' ("" or NULL: root); that of the section, of the root when it is not in the file. */
unsigned config_line_of(const struct yaml_file *file, const char *section, const char *key);

#endif
