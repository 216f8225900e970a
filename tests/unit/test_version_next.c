/* The same log of a mixed group, read by the program of a version to come (REGENT_NEXT_VERSION): equal bytes until the
 * switch, what is new after it. */
#include <libgen.h>

#include "tests/unit/version_log.h"

static char build[512] = "."; /* Where test_version is, too. */

static void both_programs_come_to_the_same_state(void **arg)
{
    struct version_log *l = version_log_new();
    char command[600];
    unsigned crc = 0;
    (void)arg;
    assert_int_equal(FSM_VERSION_MAX, 2);
    version_log_mixed(l);
    snprintf(command, sizeof(command), "%s/test_version --crc", build);
    FILE *old = popen(command, "r");
    assert_non_null(old);
    assert_int_equal(fscanf(old, "%x", &crc), 1);
    assert_int_equal(pclose(old), 0);
    assert_int_equal(crc, version_log_crc(l));
    free(l);
}

static void the_switch_lets_the_new_in(void **arg)
{
    struct version_log *l = version_log_new();
    (void)arg;
    assert_int_equal(version_log_label(l, 1, 2, "red"), FSM_UNKNOWN);
    assert_int_equal(version_log_raise(l, 1, 1, 2), FSM_OK);
    assert_int_equal(l->state.version, 2);
    assert_int_equal(l->state.version_since, l->index);
    assert_int_equal(version_log_label(l, 1, 2, "red"), FSM_UNKNOWN); /* The first result, for ever. */
    assert_true(l->result.repeated);
    assert_int_equal(version_log_label(l, 2, 1, "red"), FSM_UNKNOWN); /* It says less than it needs. */
    assert_string_equal(l->state.label, "");
    assert_int_equal(version_log_label(l, 3, 2, "blue"), FSM_OK);
    assert_string_equal(l->state.label, "blue");
    assert_int_equal(version_log_label(l, 4, 3, "green"), FSM_UNKNOWN);
    assert_int_equal(version_log_raise(l, 2, 1, 2), FSM_STALE);
    assert_int_equal(version_log_raise(l, 3, 2, 1), FSM_INVALID);
    free(l);
}

/* The snapshot is of the active version and carries the new field; today's program says which version it needs. */
static void snapshots_carry_version_and_field(void **arg)
{
    struct version_log *l = version_log_new();
    struct fsm_state *back = malloc(sizeof(*back));
    uint8_t *data;
    size_t size;
    (void)arg;
    assert_int_equal(proto_snapshot_encode(&l->state, (void **)&data, &size), 0);
    assert_int_equal(data[8], 1);
    free(data);
    assert_int_equal(version_log_raise(l, 1, 1, 2), FSM_OK);
    assert_int_equal(version_log_label(l, 2, 2, "blue"), FSM_OK);
    assert_int_equal(proto_snapshot_encode(&l->state, (void **)&data, &size), 0);
    assert_int_equal(data[8], 2);
    assert_int_equal(proto_snapshot_decode(back, data, size, NULL), 0);
    assert_memory_equal(back, &l->state, sizeof(*back));
    data[8] = 3;
    assert_int_equal(proto_snapshot_check(data, size, NULL), -ENOTSUP);
    free(data);
    free(back);
    free(l);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_programs_come_to_the_same_state),
        cmocka_unit_test(the_switch_lets_the_new_in),
        cmocka_unit_test(snapshots_carry_version_and_field),
    };
    if (argc > 0) snprintf(build, sizeof(build), "%s", dirname(argv[0]));
    return cmocka_run_group_tests_name("version_next", tests, NULL, NULL);
}
