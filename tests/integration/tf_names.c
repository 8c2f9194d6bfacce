/*
 * test-fuse: LOOKUP, MKDIR, UNLINK, RMDIR, RENAME, RENAME2.
 */
#define _GNU_SOURCE 1
#include "test-fuse.h"

START_TEST(lookup_missing)
{
	struct fuse_entry_out e;
	int err = fs_lookup(FS, TU_ROOT, "nothing", &e);

	/* Either an error, or a negative entry that the guest may cache. */
	if (err == 0)
		ck_assert_uint_eq(e.nodeid, 0);
	else
		ck_err(err, ENOENT);
}
END_TEST

START_TEST(lookup_attributes)
{
	struct fuse_entry_out e;
	struct stat st;

	tu_write_file(tu_path(&env, "file"), "hello", 5, 0640);
	ck_assert_int_eq(chown(tu_path(&env, "file"), 1234, 5678), 0);
	ck_ok(fs_lookup(FS, TU_ROOT, "file", &e));
	st = tf_lstat("file");
	tf_check_attr(&e.attr, &st);
	ck_assert_uint_ne(e.nodeid, 0);
	ck_assert_uint_ne(e.nodeid, TU_ROOT);
}
END_TEST

/* One inode, one nodeid: the guest's caches depend on it. */
START_TEST(lookup_is_stable)
{
	uint64_t a, b;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	ck_assert_int_eq(link(tu_path(&env, "file"), tu_path(&env, "other")), 0);
	a = tu_lookup(FS, TU_ROOT, "file");
	b = tu_lookup(FS, TU_ROOT, "other");
	ck_assert_uint_eq(a, b);
	ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, "file"), a);
}
END_TEST

START_TEST(lookup_below_a_file)
{
	struct fuse_entry_out e;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_err(fs_lookup(FS, node, "x", &e), ENOTDIR);
}
END_TEST

START_TEST(name_lengths)
{
	char name[258];
	struct fuse_entry_out e;

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	ck_ok(fs_mkdir(FS, TU_ROOT, name, 0755, &e));
	ck_assert(S_ISDIR(tf_lstat(name).st_mode));
	ck_ok(fs_lookup(FS, TU_ROOT, name, &e));
	ck_ok(fs_rmdir(FS, TU_ROOT, name));
	name[255] = 'n';
	name[256] = '\0';
	ck_err(fs_lookup(FS, TU_ROOT, name, &e), ENAMETOOLONG);
	ck_err(fs_mkdir(FS, TU_ROOT, name, 0755, &e), ENAMETOOLONG);
	ck_err(fs_unlink(FS, TU_ROOT, name), ENAMETOOLONG);
	ck_err(fs_symlink(FS, TU_ROOT, name, "t", &e), ENAMETOOLONG);
}
END_TEST

/* Names are bytes: no encoding is checked and nothing is escaped. */
START_TEST(odd_names)
{
	static const char *const names[] = { " ", "\n", "\xff\xfe", "-", "...", "a\\b", "%s%n", ".hidden" };
	struct fuse_entry_out e;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_ok(fs_mkdir(FS, TU_ROOT, names[i], 0700, &e));
		ck_assert(S_ISDIR(tf_lstat(names[i]).st_mode));
		ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, names[i]), e.nodeid);
		ck_ok(fs_rmdir(FS, TU_ROOT, names[i]));
	}
}
END_TEST

START_TEST(mkdir_rmdir)
{
	struct fuse_entry_out dir, sub, e;
	struct stat st;

	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0750, &dir));
	st = tf_lstat("dir");
	tf_check_attr(&dir.attr, &st);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0750);
	ck_err(fs_mkdir(FS, TU_ROOT, "dir", 0750, &e), EEXIST);
	ck_ok(fs_mkdir(FS, dir.nodeid, "sub", 01777, &sub));
	ck_assert_uint_eq(tf_lstat("dir/sub").st_mode, S_IFDIR | 01777);
	ck_err(fs_rmdir(FS, TU_ROOT, "dir"), ENOTEMPTY);
	ck_err(fs_unlink(FS, TU_ROOT, "dir"), EISDIR);
	ck_ok(fs_rmdir(FS, dir.nodeid, "sub"));
	ck_ok(fs_rmdir(FS, TU_ROOT, "dir"));
	ck_err(fs_rmdir(FS, TU_ROOT, "dir"), ENOENT);
	/* The node is known still, but nothing can be made in a dead directory. */
	ck_err2(fs_mkdir(FS, dir.nodeid, "sub", 0755, &e), ENOENT, ESTALE);
}
END_TEST

START_TEST(unlink_errors)
{
	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	ck_err(fs_rmdir(FS, TU_ROOT, "file"), ENOTDIR);
	ck_err(fs_unlink(FS, TU_ROOT, "nothing"), ENOENT);
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
	ck_assert_int_eq(access(tu_path(&env, "file"), F_OK), -1);
	ck_err(fs_unlink(FS, TU_ROOT, "file"), ENOENT);
}
END_TEST

/**
 * names_case() - LOOKUP, MKDIR, UNLINK, RMDIR
 *
 * Return: the test case
 */
TCase *names_case(void)
{
	TCase *tc = tf_case("names");

	tcase_add_test(tc, lookup_missing);
	tcase_add_test(tc, lookup_attributes);
	tcase_add_test(tc, lookup_is_stable);
	tcase_add_test(tc, lookup_below_a_file);
	tcase_add_test(tc, name_lengths);
	tcase_add_test(tc, odd_names);
	tcase_add_test(tc, mkdir_rmdir);
	tcase_add_test(tc, unlink_errors);
	return tc;
}

static void make(const char *name, const char *text)
{
	tu_write_file(tu_path(&env, name), text, strlen(text), 0644);
}

static void expect(const char *name, const char *text)
{
	char buf[64] = "";

	tu_read_file(tu_path(&env, name), buf, sizeof(buf) - 1);
	ck_assert_str_eq(buf, text);
}

START_TEST(rename_plain)
{
	struct fuse_entry_out dir;
	uint64_t node;

	make("a", "A");
	node = tu_lookup(FS, TU_ROOT, "a");
	ck_ok(fs_rename(FS, TU_ROOT, "a", TU_ROOT, "b"));
	expect("b", "A");
	ck_assert_int_eq(access(tu_path(&env, "a"), F_OK), -1);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &dir));
	ck_ok(fs_rename2(FS, TU_ROOT, "b", dir.nodeid, "c", 0));
	expect("dir/c", "A");
	/* It is the same object under every name. */
	ck_assert_uint_eq(tu_lookup(FS, dir.nodeid, "c"), node);
	make("d", "D");
	ck_ok(fs_rename(FS, TU_ROOT, "d", dir.nodeid, "c"));
	expect("dir/c", "D");
	ck_assert_uint_ne(tu_lookup(FS, dir.nodeid, "c"), node);
}
END_TEST

START_TEST(rename_errors)
{
	struct fuse_entry_out dir, sub;

	make("file", "F");
	ck_err(fs_rename(FS, TU_ROOT, "nothing", TU_ROOT, "x"), ENOENT);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &dir));
	ck_ok(fs_mkdir(FS, dir.nodeid, "sub", 0755, &sub));
	ck_err(fs_rename(FS, TU_ROOT, "dir", sub.nodeid, "loop"), EINVAL);
	ck_err(fs_rename(FS, TU_ROOT, "file", TU_ROOT, "dir"), EISDIR);
	ck_err(fs_rename(FS, TU_ROOT, "dir", TU_ROOT, "file"), ENOTDIR);
	ck_ok(fs_mkdir(FS, TU_ROOT, "other", 0755, &sub));
	ck_err2(fs_rename(FS, TU_ROOT, "other", TU_ROOT, "dir"), ENOTEMPTY, EEXIST);
	ck_err(fs_rename2(FS, TU_ROOT, "file", TU_ROOT, "x", 1u << 20), EINVAL);
	ck_err(fs_rename2(FS, TU_ROOT, "file", TU_ROOT, "dir", RENAME_NOREPLACE | RENAME_EXCHANGE),
	       EINVAL);
	expect("file", "F");
}
END_TEST

START_TEST(rename_noreplace)
{
	make("a", "A");
	make("b", "B");
	ck_err(fs_rename2(FS, TU_ROOT, "a", TU_ROOT, "b", RENAME_NOREPLACE), EEXIST);
	expect("a", "A");
	expect("b", "B");
	ck_ok(fs_rename2(FS, TU_ROOT, "a", TU_ROOT, "c", RENAME_NOREPLACE));
	expect("c", "A");
}
END_TEST

START_TEST(rename_exchange)
{
	struct fuse_entry_out dir;

	make("a", "A");
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &dir));
	ck_ok(fs_rename2(FS, TU_ROOT, "a", TU_ROOT, "dir", RENAME_EXCHANGE));
	expect("dir", "A");
	ck_assert(S_ISDIR(tf_lstat("a").st_mode));
	ck_err(fs_rename2(FS, TU_ROOT, "a", TU_ROOT, "no", RENAME_EXCHANGE), ENOENT);
}
END_TEST

/* What overlayfs in the guest needs: a 0:0 device stays behind. */
START_TEST(rename_whiteout)
{
	struct stat st;

	make("a", "A");
	ck_ok(fs_rename2(FS, TU_ROOT, "a", TU_ROOT, "b", RENAME_WHITEOUT));
	expect("b", "A");
	st = tf_lstat("a");
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_uint_eq(st.st_rdev, 0);
}
END_TEST

/**
 * rename_case() - RENAME and RENAME2
 *
 * Return: the test case
 */
TCase *rename_case(void)
{
	TCase *tc = tf_case("rename");

	tcase_add_test(tc, rename_plain);
	tcase_add_test(tc, rename_errors);
	tcase_add_test(tc, rename_noreplace);
	tcase_add_test(tc, rename_exchange);
	tcase_add_test(tc, rename_whiteout);
	return tc;
}
