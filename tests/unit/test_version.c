/* Versions of commands and snapshots, as the program of today sees them: what it refuses, and where it stops. */
#include "tests/unit/version_log.h"

static void this_is_no_program_of_a_version_to_come(void **arg)
{
    (void)arg;
    assert_int_equal(FSM_VERSION_MAX, 1);
    assert_null(strstr(REGENT_VERSION, "next"));
}

static void a_mixed_group_refuses_what_is_newer(void **arg)
{
    struct version_log *l = version_log_new();
    (void)arg;
    version_log_mixed(l);
    free(l);
}

static void only_the_next_step_raises(void **arg)
{
    struct version_log *l = version_log_new();
    (void)arg;
    assert_int_equal(version_log_raise(l, 1, 2, 3), FSM_STALE);
    assert_int_equal(version_log_raise(l, 2, 0, 1), FSM_STALE);
    assert_int_equal(version_log_raise(l, 3, 1, 1), FSM_INVALID);
    assert_int_equal(version_log_raise(l, 4, 1, 0), FSM_INVALID);
    assert_int_equal(l->state.version, 1);
    free(l);
}

static void the_switch_to_an_unknown_version_is_beyond(void **arg)
{
    struct version_log *l = version_log_new();
    struct fsm_command command = {.id = {8, 1, 0}, .kind = CMD_VERSION, .u.version = {1, 2}};
    (void)arg;
    assert_true(fsm_command_is_beyond(&l->state, &command));
    command.u.version.from = 2; /* Refused by all, so nobody has to stop. */
    assert_false(fsm_command_is_beyond(&l->state, &command));
    command.u.version.from = 1;
    command.u.version.to = 1;
    assert_false(fsm_command_is_beyond(&l->state, &command));
    command.kind = CMD_EVENT;
    command.u.version.to = 2;
    assert_false(fsm_command_is_beyond(&l->state, &command));
    free(l);
}

/* For test_version_next. */
static int print_crc(void)
{
    struct version_log *l = version_log_new();
    version_log_mixed(l);
    printf("%08x\n", version_log_crc(l));
    free(l);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--crc") == 0) return print_crc();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_is_no_program_of_a_version_to_come),
        cmocka_unit_test(a_mixed_group_refuses_what_is_newer),
        cmocka_unit_test(only_the_next_step_raises),
        cmocka_unit_test(the_switch_to_an_unknown_version_is_beyond),
    };
    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
