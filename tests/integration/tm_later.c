/*
 * test-mounts: what the host mounts while the daemon runs.
 */
#define _GNU_SOURCE 1
#include <sys/mount.h>

#include "test-mounts.h"

/* It stays out, unless --propagate-mounts asks for it. */
START_TEST(later_mounts)
{
	static const char *const propagate[] = { "--propagate-mounts", NULL };
	struct fuse_entry_out e, in;

	ck_assert_int_eq(mount(env.share, env.share, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount(NULL, env.share, NULL, MS_SHARED, NULL), 0);
	ck_assert_int_eq(mkdir(tu_path(&env, "sub"), 0755), 0);
	tu_start(&env, _i == 0 ? NULL : propagate, NULL);
	ck_assert_int_eq(mount("none", tu_path(&env, "sub"), "tmpfs", 0, NULL), 0);
	tu_write_file(tu_path(&env, "sub/file"), "x", 1, 0644);
	ck_ok(fs_lookup(FS, TU_ROOT, "sub", &e));
	ck_assert_int_eq(fs_lookup(FS, e.nodeid, "file", &in), _i == 0 ? -ENOENT : 0);
}
END_TEST

/**
 * later_case() - Mounts that appear later
 *
 * Return: the test case
 */
TCase *later_case(void)
{
	TCase *tc = tm_case("later");

	tcase_add_loop_test(tc, later_mounts, 0, 2);
	return tc;
}
