/*
 * test-fuse: SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR.
 */
#define _GNU_SOURCE 1
#include <sys/xattr.h>

#include "test-fuse.h"

static char big[65536], out[65536 + 1];

static uint64_t make(const char *name)
{
	tu_write_file(tu_path(&env, name), "x", 1, 0644);
	return tu_lookup(FS, TU_ROOT, name);
}

START_TEST(set_get_list_remove)
{
	uint64_t node = make("file");
	const char *path = tu_path(&env, "file");
	char buf[256];
	ssize_t n;

	ck_err(fs_getxattr(FS, node, "user.a", buf, 256), ENODATA);
	ck_err(fs_getxattr(FS, node, "user.a", NULL, 0), ENODATA);
	ck_ok(fs_setxattr(FS, node, "user.a", "value\0with", 10, 0));
	ck_assert_int_eq(getxattr(path, "user.a", buf, sizeof(buf)), 10);
	ck_assert_int_eq(memcmp(buf, "value\0with", 10), 0);
	ck_assert_int_eq(fs_getxattr(FS, node, "user.a", NULL, 0), 10);
	ck_assert_int_eq(fs_getxattr(FS, node, "user.a", buf, 10), 10);
	ck_assert_int_eq(memcmp(buf, "value\0with", 10), 0);
	ck_err(fs_getxattr(FS, node, "user.a", buf, 9), ERANGE);
	ck_err(fs_setxattr(FS, node, "user.a", "x", 1, XATTR_CREATE), EEXIST);
	ck_err(fs_setxattr(FS, node, "user.b", "x", 1, XATTR_REPLACE), ENODATA);
	ck_ok(fs_setxattr(FS, node, "user.b", "", 0, 0));
	ck_assert_int_eq(fs_getxattr(FS, node, "user.b", buf, 256), 0);

	n = fs_listxattr(FS, node, NULL, 0);
	ck_assert_int_eq(n, listxattr(path, NULL, 0));
	ck_assert_int_eq(fs_listxattr(FS, node, buf, (uint32_t)n), n);
	ck_assert_ptr_nonnull(memmem(buf, (size_t)n, "user.a", 7));
	ck_assert_ptr_nonnull(memmem(buf, (size_t)n, "user.b", 7));
	ck_err(fs_listxattr(FS, node, buf, (uint32_t)n - 1), ERANGE);

	ck_ok(fs_removexattr(FS, node, "user.a"));
	ck_err(fs_removexattr(FS, node, "user.a"), ENODATA);
	ck_assert_int_eq(getxattr(path, "user.a", buf, sizeof(buf)), -1);
}
END_TEST

/* Before SETXATTR_EXT the request was eight bytes shorter. */
START_TEST(short_form)
{
	uint64_t node;

	ck_ok(fs_start(FS, 31, FS_GUEST_FLAGS & ~(uint64_t)FUSE_SETXATTR_EXT));
	ck_assert(!(FS->flags & FUSE_SETXATTR_EXT));
	node = make("file");
	ck_ok(fs_setxattr(FS, node, "user.short", "v", 1, 0));
	ck_assert_int_eq(getxattr(tu_path(&env, "file"), "user.short", big, sizeof(big)), 1);
	ck_assert_int_eq(big[0], 'v');
}
END_TEST

START_TEST(large_values)
{
	uint64_t node = make("file");
	int err;

	tu_fill(big, sizeof(big), 3);
	ck_ok(fs_setxattr(FS, node, "user.k", big, 2000, 0));
	ck_assert_int_eq(fs_getxattr(FS, node, "user.k", out, 2000), 2000);
	ck_assert_int_eq(memcmp(big, out, 2000), 0);
	/* How much fits depends on the host's file system, which must be asked. */
	err = fs_setxattr(FS, node, "user.big", big, 65536, 0);
	if (setxattr(tu_path(&env, "file"), "user.big", big, 65536, 0) == 0) {
		ck_ok(err);
		ck_assert_int_eq(fs_getxattr(FS, node, "user.big", out, 65536), 65536);
		ck_assert_int_eq(memcmp(big, out, 65536), 0);
	} else {
		ck_err(err, errno);
	}
}
END_TEST

START_TEST(limits)
{
	uint64_t node = make("file");
	char name[300] = "user.";

	memset(name + 5, 'n', 255);
	name[255] = '\0';
	ck_ok(fs_setxattr(FS, node, name, "v", 1, 0));
	name[255] = 'n';
	name[256] = '\0';
	ck_err(fs_setxattr(FS, node, name, "v", 1, 0), ERANGE);
	ck_err2(fs_setxattr(FS, node, "", "v", 1, 0), ERANGE, EINVAL);
	ck_err(fs_setxattr(FS, node, "nonamespace", "v", 1, 0), EOPNOTSUPP);
	ck_err2(fs_setxattr(FS, node, "user.x", "v", 1, 77), EINVAL, EOPNOTSUPP);
}
END_TEST

START_TEST(on_other_objects)
{
	struct fuse_entry_out e;

	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	ck_ok(fs_setxattr(FS, e.nodeid, "user.d", "v", 1, 0));
	ck_assert_int_eq(getxattr(tu_path(&env, "dir"), "user.d", out, 10), 1);
	ck_ok(fs_setxattr(FS, TU_ROOT, "user.root", "v", 1, 0));
	ck_assert_int_eq(getxattr(env.share, "user.root", out, 10), 1);
	/* The host allows user attributes on files and directories only. */
	ck_ok(fs_symlink(FS, TU_ROOT, "sym", "dir", &e));
	ck_err(fs_setxattr(FS, e.nodeid, "user.l", "v", 1, 0), EPERM);
	ck_err2(fs_getxattr(FS, e.nodeid, "user.d", out, 10), ENODATA, EPERM);
	ck_assert_int_eq(fs_listxattr(FS, e.nodeid, out, 100), 0);
	ck_ok(fs_mknod(FS, TU_ROOT, "fifo", S_IFIFO | 0644, 0, &e));
	ck_err(fs_setxattr(FS, e.nodeid, "user.l", "v", 1, 0), EPERM);
	ck_assert_int_eq(fs_listxattr(FS, e.nodeid, out, 100), 0);
}
END_TEST

/* A file's capabilities go through, and a write removes them as on the host. */
START_TEST(security_capability)
{
	static const unsigned char cap[20] = { 1, 0, 0, 2, 1 };
	uint64_t node = make("file");
	uint64_t fh;

	ck_err(fs_getxattr(FS, node, "security.capability", out, 64), ENODATA);
	/* The transport may say so of an open file, but must not go on when it has some. */
	fh = tu_open_file(FS, node, O_RDWR);
	ck_err(fs_getxattr(FS, node, "security.capability", out, 64), ENODATA);
	ck_err(fs_getxattr(FS, node, "security.capability", out, 0), ENODATA);
	ck_ok(setxattr(tu_path(&env, "file"), "security.capability", cap, sizeof(cap), 0));
	ck_assert_int_eq(fs_getxattr(FS, node, "security.capability", out, 0), 20);
	ck_assert_int_eq(fs_getxattr(FS, node, "security.capability", out, 64), 20);
	ck_ok(removexattr(tu_path(&env, "file"), "security.capability"));
	ck_err(fs_getxattr(FS, node, "security.capability", out, 64), ENODATA);
	ck_ok(fs_setxattr(FS, node, "security.capability", cap, sizeof(cap), 0));
	ck_assert_int_eq(getxattr(tu_path(&env, "file"), "security.capability", out, 64), 20);
	ck_assert_int_eq(fs_getxattr(FS, node, "security.capability", out, 64), 20);
	ck_assert_int_eq(fs_write(FS, node, fh, "y", 1, 0, O_RDWR, FUSE_WRITE_KILL_SUIDGID), 1);
	ck_err(fs_getxattr(FS, node, "security.capability", out, 64), ENODATA);
}
END_TEST

TCase *xattrs_case(void)
{
	TCase *tc = tf_case("xattrs");

	tcase_add_test(tc, set_get_list_remove);
	tcase_add_test(tc, short_form);
	tcase_add_test(tc, large_values);
	tcase_add_test(tc, limits);
	tcase_add_test(tc, on_other_objects);
	tcase_add_test(tc, security_capability);
	return tc;
}
