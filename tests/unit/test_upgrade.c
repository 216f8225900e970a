/* When the active version is raised: who must speak the higher one; the bytes of hello. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/version.h"
#include "manager/upgrade.h"

static void put(struct upgrade_view *v, uint64_t id, uint32_t min, uint32_t max)
{
    v->members[v->members_n++] = id;
    v->hellos[v->hellos_n++] = (struct hello){.manager_id = id, .version_min = min, .version_max = max};
}

static void the_lowest_member_counts(void **state)
{
    struct upgrade_view v = {.active = 1};
    (void)state;
    assert_int_equal(upgrade_target(&v), 0); /* Nobody knows the members yet. */
    put(&v, 1, 1, 2);
    put(&v, 2, 1, 1);
    put(&v, 3, 1, 3);
    assert_int_equal(upgrade_target(&v), 0);
    v.hellos[1].version_max = 2;
    assert_int_equal(upgrade_target(&v), 2);
    v.hellos[0].version_max = v.hellos[1].version_max = 4;
    assert_int_equal(upgrade_target(&v), 3);
    v.active = 3; /* Never down, never again. */
    assert_int_equal(upgrade_target(&v), 0);
    v.active = 4;
    assert_int_equal(upgrade_target(&v), 0);
}

/* A manager that is away might come back as the older program. */
static void each_member_must_have_said_so(void **state)
{
    struct upgrade_view v = {.active = 1};
    (void)state;
    put(&v, 1, 1, 2);
    put(&v, 2, 1, 2);
    v.members[v.members_n++] = 3;
    assert_int_equal(upgrade_target(&v), 0);
    v.hellos[v.hellos_n++] = (struct hello){.manager_id = 9, .version_min = 1, .version_max = 2}; /* No member. */
    assert_int_equal(upgrade_target(&v), 0);
    v.hellos[v.hellos_n++] = (struct hello){.manager_id = 3, .version_min = 1, .version_max = 2};
    assert_int_equal(upgrade_target(&v), 2);
}

static void a_program_that_forgot_old_versions_is_not_left_behind(void **state)
{
    struct upgrade_view v = {.active = 1};
    (void)state;
    put(&v, 1, 1, 2);
    put(&v, 2, 3, 4);
    assert_int_equal(upgrade_target(&v), 0);
    v.hellos[0].version_max = 3;
    assert_int_equal(upgrade_target(&v), 3);
}

static void hello_round_trip(void **state)
{
    struct hello own = hello_own(7), back;
    void *data;
    size_t size;
    (void)state;
    assert_int_equal(own.version_min, FSM_VERSION_MIN);
    assert_int_equal(own.version_max, FSM_VERSION_MAX);
    assert_int_equal(hello_encode(&own, &data, &size), 0);
    assert_int_equal(hello_decode(&back, data, size, NULL), 0);
    assert_memory_equal(&back, &own, sizeof own);
    free(data);
}

static void hostile_hellos_are_refused(void **state)
{
    const struct hello bad[] = {{0, "x", 1, 1, 0}, {1, "x", 0, 1, 0}, {1, "x", 2, 1, 0}};
    struct err e = {0};
    struct hello back, zero = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        void *data;
        size_t size;
        assert_int_equal(hello_encode(&bad[i], &data, &size), 0);
        assert_int_equal(hello_decode(&back, data, size, &e), -EPROTO);
        assert_memory_equal(&back, &zero, sizeof back);
        free(data);
    }
    struct hello own = hello_own(1);
    uint8_t *data;
    size_t size;
    assert_int_equal(hello_encode(&own, (void **)&data, &size), 0);
    for (size_t n = 0; n < size; n++) {
        uint8_t *exact = malloc(n + 1);
        memcpy(exact, data, n);
        (void)!hello_decode(&back, exact, n, NULL);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (hello_decode(&back, exact, n, NULL) == 0) assert_true(back.manager_id != 0);
            exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(exact);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_member_counts),
        cmocka_unit_test(each_member_must_have_said_so),
        cmocka_unit_test(a_program_that_forgot_old_versions_is_not_left_behind),
        cmocka_unit_test(hello_round_trip),
        cmocka_unit_test(hostile_hellos_are_refused),
    };
    return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
