/* The managers' hello between bytes and struct: see the header. */
#include "proto/hello.h"

#include <errno.h>
#include <string.h>

#include "fsm/version.h"
#include "lib/base/text.h"
#include "proto/fields.h"
#include "proto/hello.pb-c.h"

enum { HELLO_SIZE_MAX = 4096 };

struct hello hello_own(uint64_t id)
{
    struct hello hello = {.manager_id = id, .version_min = FSM_VERSION_MIN, .version_max = FSM_VERSION_MAX};

    (void)TEXT_COPY(hello.program, REGENT_VERSION);
    return hello;
}

int hello_encode(const struct hello *hello, void **data, size_t *size)
{
    Regent__Hello__Hello m = REGENT__HELLO__HELLO__INIT;

    m.manager_id = hello->manager_id;
    m.program = fields_bytes(hello->program);
    m.version_min = hello->version_min;
    m.version_max = hello->version_max;
    return fields_pack(&m.base, data, size);
}

int hello_decode(struct hello *hello, const void *data, size_t size, struct err *e)
{
    struct fields f = {.e = e, .what = "hello"};
    Regent__Hello__Hello *m;

    memset(hello, 0, sizeof(*hello));
    m = (Regent__Hello__Hello *)fields_unpack(&f, &regent__hello__hello__descriptor, data, size, HELLO_SIZE_MAX);
    if (m == NULL) return f.code;
    hello->manager_id = m->manager_id;
    FIELDS_TEXT(&f, m->program, hello->program);
    hello->version_min = m->version_min;
    hello->version_max = m->version_max;
    if (m->manager_id == 0) fields_fail(&f, -EPROTO, "manager_id", "is missing");
    if (m->version_min < FSM_VERSION_FIRST || m->version_max < m->version_min) {
        fields_fail(&f, -EPROTO, "the range of versions", "is none");
    }
    if (f.code != 0) memset(hello, 0, sizeof(*hello));
    protobuf_c_message_free_unpacked(&m->base, NULL);
    return f.code;
}
