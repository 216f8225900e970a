/* Fuzz: commands as `regent log dump` tells them, also those of newer versions. */
#include <errno.h>

#include "proto/command_text.h"
#include "proto/convert.h"
#include "tests/fuzz/commands.h"
#include "tests/fuzz/fuzz.h"

static void look(void *arg, const struct proto_field *field)
{
    unsigned *n = arg;

    (*n)++;
    MUST(FUZZ_IS_TEXT(field->path) && field->path[0] != '\0');
    if (field->type == PROTO_FIELD_TEXT || field->type == PROTO_FIELD_BYTES) {
        MUST(field->text != NULL && field->text[field->size] == '\0');
    }
}

static bool run(const uint8_t *data, size_t size)
{
    struct proto_command_head head;
    struct err e = {0};
    unsigned n = 0;
    int rv = proto_command_describe(data, size, &head, &(struct proto_visitor){.field = look, .arg = &n}, &e);

    MUST(rv == 0 || rv == -EPROTO);
    MUST(FUZZ_IS_TEXT(head.name) && (rv == 0 || e.text[0] != '\0'));
    return rv == 0;
}

static void put(const struct fsm_command *command)
{
    void *bytes;
    size_t n;

    MUST(proto_command_encode(command, &bytes, &n) == 0);
    fuzz_put_owned(bytes, n);
}

static void seed(void)
{
    fuzz_commands(put);
}

FUZZ_TARGET(command_text, run, seed)
