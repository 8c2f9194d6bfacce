/*
 * test-fuse: LINK, SYMLINK, READLINK, and that no symbolic link is followed.
 */
#define _GNU_SOURCE 1
#include "test-fuse.h"

START_TEST(hard_link)
{
	struct fuse_entry_out e, dir;
	struct stat st;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_ok(fs_link(FS, node, TU_ROOT, "second", &e));
	ck_assert_uint_eq(e.nodeid, node);
	st = tf_lstat("second");
	tf_check_attr(&e.attr, &st);
	ck_assert_uint_eq(st.st_nlink, 2);
	ck_err(fs_link(FS, node, TU_ROOT, "file", &e), EEXIST);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &dir));
	ck_err(fs_link(FS, dir.nodeid, TU_ROOT, "dirlink", &e), EPERM);
	ck_ok(fs_link(FS, node, dir.nodeid, "third", &e));
	ck_assert_uint_eq(tf_lstat("dir/third").st_nlink, 3);
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
	ck_assert_uint_eq(tf_lstat("second").st_nlink, 2);
}
END_TEST

/* The last name is gone and no handle is open: nothing to link to. */
START_TEST(link_of_a_dead_file)
{
	struct fuse_entry_out e;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
	ck_err2(fs_link(FS, node, TU_ROOT, "back", &e), ENOENT, ESTALE);
}
END_TEST

START_TEST(link_of_a_symlink)
{
	struct fuse_entry_out e, l;

	ck_ok(fs_symlink(FS, TU_ROOT, "sym", "/etc/passwd", &l));
	ck_ok(fs_link(FS, l.nodeid, TU_ROOT, "sym2", &e));
	ck_assert(S_ISLNK(tf_lstat("sym2").st_mode));
	ck_assert_uint_eq(tf_lstat("sym2").st_ino, tf_lstat("sym").st_ino);
}
END_TEST

START_TEST(symlink_readlink)
{
	char target[4096], buf[5000];
	struct fuse_entry_out e;
	struct stat st;
	ssize_t n;

	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	for (size_t len = 1; len <= 4095; len = len * 3 + 1) {
		char name[32];

		snprintf(name, sizeof(name), "l%zu", len);
		target[len] = '\0';
		ck_ok(fs_symlink(FS, TU_ROOT, name, target, &e));
		target[len] = 't';
		st = tf_lstat(name);
		tf_check_attr(&e.attr, &st);
		n = fs_readlink(FS, e.nodeid, buf, sizeof(buf));
		ck_assert_int_eq(n, (ssize_t)len);
		ck_assert_int_eq(memcmp(buf, target, len), 0);
		n = readlink(tu_path(&env, name), buf, sizeof(buf));
		ck_assert_int_eq(n, (ssize_t)len);
	}
	target[4095] = '\0';
	ck_ok(fs_symlink(FS, TU_ROOT, "longest", target, &e));
	ck_assert_int_eq(fs_readlink(FS, e.nodeid, buf, sizeof(buf)), 4095);
	ck_err(fs_symlink(FS, TU_ROOT, "longest", "x", &e), EEXIST);
	ck_err2(fs_symlink(FS, TU_ROOT, "empty", "", &e), ENOENT, EINVAL);
	/* Linux says ENOENT where it is asked by descriptor. */
	ck_err2(fs_readlink(FS, TU_ROOT, buf, sizeof(buf)), EINVAL, ENOENT);
}
END_TEST

/*
 * A link inside the share points at a file and at a directory outside of it.
 * To the daemon it is an object of its own: whatever is asked of its node must
 * fail or act on the link, and never reach what it points at.
 */
START_TEST(symlinks_are_not_followed)
{
	char outside[PATH_MAX + 16], buf[PATH_MAX + 16];
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE };
	struct fuse_entry_out e, l, d;
	struct fuse_attr_out a;
	struct fuse_open_out o;
	struct stat st;

	snprintf(outside, sizeof(outside), "%s/secret", env.dir);
	tu_write_file(outside, "secret", 6, 0600);
	ck_ok(fs_symlink(FS, TU_ROOT, "file", outside, &l));
	ck_ok(fs_symlink(FS, TU_ROOT, "dir", env.dir, &d));
	ck_assert(S_ISLNK(l.attr.mode));
	ck_ok(fs_lookup(FS, TU_ROOT, "file", &e));
	ck_assert(S_ISLNK(e.attr.mode));

	ck_assert_int_lt(fs_open(FS, l.nodeid, O_RDONLY, &o), 0);
	ck_assert_int_lt(fs_open(FS, l.nodeid, O_RDWR | O_TRUNC, &o), 0);
	ck_err(fs_lookup(FS, d.nodeid, "secret", &e), ENOTDIR);
	ck_assert_int_lt(fs_opendir(FS, d.nodeid, O_RDONLY, &o), 0);
	ck_err(fs_mkdir(FS, d.nodeid, "new", 0755, &e), ENOTDIR);
	ck_err(fs_unlink(FS, d.nodeid, "secret"), ENOTDIR);
	ck_err(fs_rename(FS, d.nodeid, "secret", TU_ROOT, "stolen"), ENOTDIR);
	ck_assert_int_lt(fs_setattr(FS, l.nodeid, &sa, &a), 0);
	ck_assert_int_lt(fs_setxattr(FS, l.nodeid, "user.x", "v", 1, 0), 0);
	/* CREATE over a link, dangling or not, must not create what it names. */
	ck_assert_int_lt(fs_create(FS, TU_ROOT, "file", O_RDWR, 0644, &e, &o), 0);
	snprintf(buf, sizeof(buf), "%s/new", env.dir);
	ck_ok(fs_symlink(FS, TU_ROOT, "dangling", buf, &e));
	ck_assert_int_lt(fs_create(FS, TU_ROOT, "dangling", O_RDWR, 0644, &e, &o), 0);
	ck_assert_int_eq(access(buf, F_OK), -1);

	/* These act on the link itself. */
	sa = (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID, .uid = 77, .gid = 78 };
	ck_ok(fs_setattr(FS, l.nodeid, &sa, &a));
	ck_assert_uint_eq(tf_lstat("file").st_uid, 77);
	sa = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 1000 };
	ck_ok(fs_setattr(FS, l.nodeid, &sa, &a));
	ck_assert_int_eq(tf_lstat("file").st_mtime, 1000);
	sa = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0777 };
	fs_setattr(FS, l.nodeid, &sa, &a);

	ck_assert_int_eq(stat(outside, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, 0);
	ck_assert_int_eq(st.st_size, 6);
	ck_assert_int_ne(st.st_mtime, 1000);
}
END_TEST

/* A directory known to the guest is replaced by a link on the host. */
START_TEST(a_directory_becomes_a_symlink)
{
	struct fuse_entry_out dir, e;
	char outside[PATH_MAX + 16];

	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &dir));
	snprintf(outside, sizeof(outside), "%s/outside", env.dir);
	ck_assert_int_eq(rename(tu_path(&env, "dir"), tu_path(&env, "moved")), 0);
	ck_assert_int_eq(mkdir(outside, 0755), 0);
	ck_assert_int_eq(symlink(outside, tu_path(&env, "dir")), 0);
	ck_ok(fs_mkdir(FS, dir.nodeid, "sub", 0755, &e));
	ck_assert(S_ISDIR(tf_lstat("moved/sub").st_mode));
	ck_ok(fs_lookup(FS, TU_ROOT, "dir", &e));
	ck_assert(S_ISLNK(e.attr.mode));
}
END_TEST

/**
 * links_case() - Hard and symbolic links
 *
 * Return: the test case
 */
TCase *links_case(void)
{
	TCase *tc = tf_case("links");

	tcase_add_test(tc, hard_link);
	tcase_add_test(tc, link_of_a_dead_file);
	tcase_add_test(tc, link_of_a_symlink);
	tcase_add_test(tc, symlink_readlink);
	tcase_add_test(tc, symlinks_are_not_followed);
	tcase_add_test(tc, a_directory_becomes_a_symlink);
	return tc;
}
