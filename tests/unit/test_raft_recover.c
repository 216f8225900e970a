/* raft_node_recover(): one survivor of three becomes a group of its own, also when the recovery was cut off before. */
#include "tests/unit/raft_fixture.h"

#include <signal.h>

#include "raft/storage.h"

enum { COMMANDS = 30, NEW_GROUP = 0xabcdef };

static int setup(void **state)
{
    struct fixture *f = fixture_new(3);
    *state = f;
    fixture_start(f);
    fixture_elect(f);
    fixture_propose(f, COMMANDS);
    WAIT_UNTIL(f, fixture_is_settled(f));
    for (unsigned i = 0; i < f->n; i++) member_stop(&f->members[i]);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void recover(struct member *m, char *backup)
{
    struct err e = {0};
    if (raft_node_recover(m->dir, NEW_GROUP, backup, &e) != 0) fail_msg("recover: %s", e.text);
}

/* It leads alone, with all that it had. */
static void expect_new_group(struct fixture *f, uint64_t generation)
{
    struct member *m = &f->members[0];
    struct raft_node_identity who;
    struct err e = {0};
    assert_int_equal(raft_node_identity(m->dir, &who, &e), 0);
    assert_int_equal(who.group_id, NEW_GROUP);
    assert_int_equal(who.generation, generation);
    assert_int_equal(who.members_n, 1);
    unsigned before = m->applied_n;
    member_start(m);
    assert_ptr_equal(fixture_elect(f), m);
    assert_int_equal(m->applied_n - before, COMMANDS);
    fixture_propose(f, 5);
    member_stop(m);
}

static void path_in(char path[1200], const char *dir, const char *name)
{
    (void)snprintf(path, 1200, "%s/%s", dir, name);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[1200];
    path_in(path, dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const char *dir, const char *name)
{
    char path[1200];
    path_in(path, dir, name);
    return access(path, F_OK) == 0;
}

/* The copy is a data directory as it was: it starts, as member of the old group, when it is put back. */
static void expect_backup(struct fixture *f, const char *backup)
{
    struct member *m = &f->members[0];
    struct raft_node_identity who;
    struct err e = {0};
    char aside[1200];
    assert_int_equal(raft_node_identity(backup, &who, &e), 0);
    assert_int_equal(who.group_id, storage_group_id(GROUP_NAME, f->list, f->n));
    assert_int_equal(who.members_n, 3);
    path_in(aside, f->dir, "copy");
    assert_int_equal(rename(backup, aside), 0);
    m->config.data_dir = aside;
    member_start(m);
    member_stop(m);
    m->config.data_dir = m->dir;
}

static void test_survivor(void **state)
{
    struct fixture *f = *state;
    char backup[STORAGE_PATH_MAX];
    recover(&f->members[0], backup);
    expect_backup(f, backup);
    expect_new_group(f, 1);
    recover(&f->members[0], backup);
    assert_non_null(strstr(backup, "before-recovery-2"));
}

/* It was cut off while it copied; since then the node ran, and its files are others. */
static void test_half_a_copy_is_no_part_of_the_next(void **state)
{
    struct fixture *f = *state;
    char backup[STORAGE_PATH_MAX], half[1200];
    path_in(half, f->members[0].dir, "before-recovery-1.new");
    assert_int_equal(mkdir(half, 0700), 0);
    write_file(half, "node", "half");
    path_in(half, f->members[0].dir, "before-recovery-1.new/raft");
    assert_int_equal(mkdir(half, 0700), 0);
    write_file(half, "0000000000000900-0000000000000901", "of another time");
    recover(&f->members[0], backup);
    assert_false(is_there(backup, "raft/0000000000000900-0000000000000901"));
    expect_backup(f, backup);
    expect_new_group(f, 1);
}

/* It was cut off between the copy and the mark, so the directory is as it was: a copy of then is not one of now. */
static void test_a_copy_without_a_recovery(void **state)
{
    struct fixture *f = *state;
    char backup[STORAGE_PATH_MAX], old[1200];
    path_in(old, f->members[0].dir, "before-recovery-1");
    assert_int_equal(mkdir(old, 0700), 0);
    write_file(old, "node", "old");
    path_in(old, f->members[0].dir, "before-recovery-1/raft");
    assert_int_equal(mkdir(old, 0700), 0);
    write_file(old, "open-99", "of another time");
    recover(&f->members[0], backup);
    assert_false(is_there(backup, "raft/open-99"));
    expect_backup(f, backup);
    expect_new_group(f, 1);
}

/* It was cut off behind the mark: no start until it was called again. */
static void test_marked(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct storage_identity who;
    struct err e = {0};
    char backup[STORAGE_PATH_MAX];
    recover(m, backup);
    assert_int_equal(storage_read(m->dir, &who, &e), 0);
    who.recovering = true;
    assert_int_equal(storage_save(m->dir, &who, &e), 0);
    assert_int_equal(member_try_start(m, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "regent recover"));
    char again[STORAGE_PATH_MAX];
    recover(m, again);
    assert_string_equal(again, backup);
    expect_new_group(f, 1);
    expect_backup(f, backup);
}

/* It has not got the group's log: alone it would decide over an empty state. */
static void test_who_never_joined_is_no_survivor(void **state)
{
    struct fixture *f = *state;
    struct member *m = &f->members[0];
    struct storage_identity who, after;
    struct err e = {0};
    char backup[STORAGE_PATH_MAX];
    assert_int_equal(storage_read(m->dir, &who, &e), 0);
    who.joining = true;
    assert_int_equal(storage_save(m->dir, &who, &e), 0);
    assert_int_equal(raft_node_recover(m->dir, NEW_GROUP, backup, &e), -ENOENT);
    assert_non_null(strstr(e.text, "never got the group's log"));
    assert_int_equal(storage_read(m->dir, &after, &e), 0);
    assert_true(after.group_id == who.group_id && !after.recovering);
}

int main(void)
{
    log_init(LOG_LEVEL_ERR, false, "test");
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_survivor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_a_copy_is_no_part_of_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_without_a_recovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_never_joined_is_no_survivor, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
