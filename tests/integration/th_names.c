/*
 * test-hostile: names that are no names. Each must be refused with an error,
 * and nothing may appear inside of the share, let alone outside of it.
 */
#define _GNU_SOURCE 1
#include <dirent.h>

#include "test-hostile.h"

struct name {
	const char *p;
	size_t n;	/* with its terminator, or without one */
};

static char too_long[257], huge[100000];

static const struct name names[] = {
	{ "", 1 },
	{ "/", 2 },
	{ "a/b", 4 },
	{ "/tmp/ESC", 9 },
	{ "../ESC2", 8 },
	{ "dir/", 5 },
	{ "./x", 4 },
	{ "in\0side", 8 },		/* bytes after the end */
	{ "nul\0", 5 },
	{ "unterminated", 12 },
	{ too_long, 257 },
	{ huge, sizeof(huge) },
};

static const struct name dots[] = {
	{ ".", 2 },
	{ "..", 3 },
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

static int send_name(uint32_t op, const void *fixed, size_t len, const struct name *name,
		     const void *rest, size_t rest_len)
{
	struct fs_arg args[] = { { fixed, len }, { name->p, name->n }, { rest, rest_len } };
	char reply[512];

	return fs_call(FS, op, TU_ROOT, args, 3, reply, 0, sizeof(reply), NULL);
}

static void refused(uint32_t op, const void *fixed, size_t len, const struct name *name,
		    const void *rest, size_t rest_len)
{
	int err = send_name(op, fixed, len, name, rest, rest_len);

	ck_assert_msg(err < 0 && err != FS_BROKEN, "opcode %u, name \"%.20s\" (%zu bytes): %s", op,
		      name->p, name->n, tu_error(err));
}

static unsigned int entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void every_op(const struct name *name)
{
	struct fuse_mknod_in mknod_in = { .mode = S_IFREG | 0644 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_create_in create = { .flags = O_RDWR | O_CREAT, .mode = 0644 };
	struct fuse_rename_in rename_in = { .newdir = TU_ROOT };
	struct fuse_rename2_in rename2 = { .newdir = TU_ROOT };
	struct fuse_link_in link_in = { .oldnodeid = tu_lookup(FS, TU_ROOT, "file") };
	static const struct name file = { "file", 5 };
	char both[64 + sizeof(huge)];

	refused(FUSE_MKNOD, &mknod_in, sizeof(mknod_in), name, NULL, 0);
	refused(FUSE_MKDIR, &mkdir_in, sizeof(mkdir_in), name, NULL, 0);
	refused(FUSE_CREATE, &create, sizeof(create), name, NULL, 0);
	refused(FUSE_UNLINK, NULL, 0, name, NULL, 0);
	refused(FUSE_RMDIR, NULL, 0, name, NULL, 0);
	refused(FUSE_LINK, &link_in, sizeof(link_in), name, NULL, 0);
	/* As the old name, and as the new one. */
	refused(FUSE_RENAME, &rename_in, sizeof(rename_in), name, "fine", 5);
	refused(FUSE_RENAME2, &rename2, sizeof(rename2), name, "fine", 5);
	if (name->n < sizeof(both)) {
		refused(FUSE_RENAME, &rename_in, sizeof(rename_in), &file, name->p, name->n);
		refused(FUSE_RENAME2, &rename2, sizeof(rename2), &file, name->p, name->n);
	}
	/* The name of a link, and then a target that ends too early. */
	refused(FUSE_SYMLINK, NULL, 0, name, "target", 7);
}

START_TEST(bad_names)
{
	const struct name *name = &names[_i];
	unsigned int before, outside;

	memset(too_long, 'l', 256);
	memset(huge, 'h', sizeof(huge) - 1);
	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	ck_assert_int_eq(mkdir(tu_path(&env, "dir"), 0755), 0);
	before = entries(env.share);
	outside = entries(env.dir);
	refused(FUSE_LOOKUP, NULL, 0, name, NULL, 0);
	every_op(name);
	ck_assert_uint_eq(entries(env.share), before);
	ck_assert_uint_eq(entries(env.dir), outside);
	ck_assert_int_eq(access("/tmp/ESC", F_OK), -1);
	ck_assert_int_eq(access("/ESC2", F_OK), -1);
}
END_TEST

/*
 * "." and ".." are no names either, but for LOOKUP, where an export of the
 * guest's mount may use them: the root's parent is then the root itself.
 */
START_TEST(dot_names)
{
	struct fuse_entry_out e;
	struct stat st;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	ck_assert_int_eq(mkdir(tu_path(&env, "dir"), 0755), 0);
	ck_assert_int_eq(stat(env.share, &st), 0);
	for (size_t i = 0; i < N(dots); i++) {
		int err = fs_lookup(FS, TU_ROOT, dots[i].p, &e);

		every_op(&dots[i]);
		ck_assert_int_ne(err, FS_BROKEN);
		if (err == 0)
			ck_assert_uint_eq(e.attr.ino, st.st_ino);
		/* Below the root the parent may be given, but nothing beyond. */
		err = fs_lookup(FS, tu_lookup(FS, TU_ROOT, "dir"), dots[i].p, &e);
		ck_assert_int_ne(err, FS_BROKEN);
		if (err == 0 && i == 1)
			ck_assert_uint_eq(e.attr.ino, st.st_ino);
	}
}
END_TEST

START_TEST(bad_symlink_targets)
{
	static const struct name link_name = { "link", 5 };
	static char target[5000];

	memset(target, 't', sizeof(target));
	refused(FUSE_SYMLINK, NULL, 0, &link_name, "no end", 6);
	refused(FUSE_SYMLINK, NULL, 0, &link_name, "in\0side", 8);
	refused(FUSE_SYMLINK, NULL, 0, &link_name, NULL, 0);
	target[4999] = '\0';
	refused(FUSE_SYMLINK, NULL, 0, &link_name, target, sizeof(target));
	ck_assert_int_eq(access(tu_path(&env, "link"), F_OK), -1);
}
END_TEST

START_TEST(bad_xattr_names)
{
	static const struct name bad[] = { { "", 1 }, { "user.x", 6 }, { huge, sizeof(huge) },
					   { "user.", 6 } };
	struct fuse_setxattr_in set = { .size = 1 };
	struct fuse_getxattr_in get = { .size = 100 };

	memset(huge, 'h', sizeof(huge) - 1);
	memcpy(huge, "user.", 5);
	for (size_t i = 0; i < N(bad); i++) {
		refused(FUSE_SETXATTR, &set, sizeof(set), &bad[i], "v", i == 1 ? 0 : 1);
		refused(FUSE_GETXATTR, &get, sizeof(get), &bad[i], NULL, 0);
		refused(FUSE_REMOVEXATTR, NULL, 0, &bad[i], NULL, 0);
	}
}
END_TEST

/* Right names in the wrong places. */
START_TEST(name_under_nothing)
{
	struct fuse_entry_out e;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_err(fs_mkdir(FS, node, "x", 0755, &e), ENOTDIR);
	ck_err(fs_unlink(FS, node, "x"), ENOTDIR);
	ck_err(fs_rename(FS, node, "x", TU_ROOT, "y"), ENOTDIR);
	ck_err(fs_rename(FS, TU_ROOT, "file", node, "y"), ENOTDIR);
	ck_err(fs_symlink(FS, node, "x", "t", &e), ENOTDIR);
}
END_TEST

/**
 * names_case() - Names that are no names
 *
 * Return: the test case
 */
TCase *names_case(void)
{
	TCase *tc = th_case("names");

	tcase_add_loop_test(tc, bad_names, 0, (int)N(names));
	tcase_add_test(tc, dot_names);
	tcase_add_test(tc, bad_symlink_targets);
	tcase_add_test(tc, bad_xattr_names);
	tcase_add_test(tc, name_under_nothing);
	return tc;
}
