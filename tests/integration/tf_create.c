/*
 * test-fuse: CREATE, MKNOD, TMPFILE: whose the new object is and which mode it
 * has; and stale or forged ids.
 */
#define _GNU_SOURCE 1
#include <sys/sysmacros.h>

#include "test-fuse.h"

START_TEST(create_new)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct stat st;

	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0640, &e, &o));
	st = tf_lstat("file");
	tf_check_attr(&e.attr, &st);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
	ck_assert_int_eq(fs_write(FS, e.nodeid, o.fh, "abc", 3, 0, 0, 0), 3);
	ck_ok(fs_release(FS, e.nodeid, o.fh, O_RDWR, 0, 0));
	/* Another client may have been first: then it is an open. */
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0600, &e, &o));
	ck_assert_uint_eq(e.attr.size, 3);
	ck_assert_uint_eq(tf_lstat("file").st_mode, S_IFREG | 0640);
	ck_err(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0600, &e, &o), EEXIST);
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_TRUNC, 0600, &e, &o));
	ck_assert_int_eq(tf_lstat("file").st_size, 0);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	ck_err2(fs_create(FS, TU_ROOT, "dir", O_RDWR | O_CREAT, 0600, &e, &o), EISDIR, EEXIST);
}
END_TEST

/* The handle of a CREATE is open as asked, even where the mode forbids it. */
START_TEST(create_unreadable)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;
	char buf[4];

	FS->uid = FS->gid = 1000;
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0, &e, &o));
	ck_assert_uint_eq(tf_lstat("file").st_mode, S_IFREG);
	ck_assert_int_eq(fs_write(FS, e.nodeid, o.fh, "abc", 3, 0, 0, 0), 3);
	ck_assert_int_eq(fs_read(FS, e.nodeid, o.fh, buf, 3, 0, 0), 3);
}
END_TEST

START_TEST(owner_is_the_caller)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;

	FS->uid = 1234;
	FS->gid = 5678;
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 06777, &e, &o));
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	ck_ok(fs_symlink(FS, TU_ROOT, "sym", "t", &e));
	ck_ok(fs_mknod(FS, TU_ROOT, "fifo", S_IFIFO | 0644, 0, &e));
	ck_ok(fs_mknod(FS, TU_ROOT, "reg", S_IFREG | 0644, 0, &e));
	FS->uid = FS->gid = 0;
	ck_ok(fs_mkdir(FS, TU_ROOT, "rootdir", 0755, &e));
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = { "file", "dir", "sym", "fifo", "reg" };
		struct stat st = tf_lstat(names[i]);

		ck_assert_uint_eq(st.st_uid, 1234);
		ck_assert_uint_eq(st.st_gid, 5678);
	}
	ck_assert_uint_eq(tf_lstat("rootdir").st_uid, 0);
	ck_assert_uint_eq(tf_lstat("rootdir").st_gid, 0);
	ck_assert(S_ISREG(tf_lstat("reg").st_mode));
	ck_assert(S_ISFIFO(tf_lstat("fifo").st_mode));
}
END_TEST

/*
 * In a set-group-id directory new objects have its group, directories inherit
 * the bit, and a file keeps set-group-id only if its maker is in the group:
 * the daemon's own groups must not count (CVE-2022-0358).
 */
START_TEST(setgid_directory)
{
	struct fuse_entry_out dir, e;
	struct fuse_open_out o;

	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0777, &dir));
	ck_assert_int_eq(chown(tu_path(&env, "dir"), 0, 0), 0);
	ck_assert_int_eq(chmod(tu_path(&env, "dir"), 02777), 0);
	FS->uid = FS->gid = 1000;
	ck_ok(fs_create(FS, dir.nodeid, "file", O_RDWR | O_CREAT, 02755, &e, &o));
	ck_assert_uint_eq(tf_lstat("dir/file").st_gid, 0);
	ck_assert_uint_eq(tf_lstat("dir/file").st_mode, S_IFREG | 0755);
	ck_ok(fs_mkdir(FS, dir.nodeid, "sub", 0755, &e));
	ck_assert_uint_eq(tf_lstat("dir/sub").st_gid, 0);
	ck_assert_uint_eq(tf_lstat("dir/sub").st_mode, S_IFDIR | 02755);
	ck_ok(fs_mknod(FS, dir.nodeid, "node", S_IFREG | 02711, 0, &e));
	ck_assert_uint_eq(tf_lstat("dir/node").st_mode, S_IFREG | 0711);
}
END_TEST

/*
 * The one supplementary group that the guest sends counts as the caller's: it
 * may use a group-writable directory, and keep the set-group-id bit there.
 */
START_TEST(supplementary_group)
{
	struct {
		struct fuse_ext_header h;
		uint32_t n;
		uint32_t group;
	} ext = { .h = { .size = sizeof(ext), .type = FN_EXT_GROUPS }, .n = 1, .group = 4242 };
	struct fuse_entry_out dir, e;
	struct fuse_open_out o;

	if (!(FS->flags & FN_CREATE_SUPP_GROUP))
		return;
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0777, &dir));
	ck_assert_int_eq(chown(tu_path(&env, "dir"), 0, 4242), 0);
	ck_assert_int_eq(chmod(tu_path(&env, "dir"), 02775), 0);
	FS->uid = FS->gid = 1000;
	FS->ext = &ext;
	FS->ext_len = sizeof(ext);
	ck_ok(fs_create(FS, dir.nodeid, "file", O_RDWR | O_CREAT, 02755, &e, &o));
	ck_assert_uint_eq(tf_lstat("dir/file").st_gid, 4242);
	ck_assert_uint_eq(tf_lstat("dir/file").st_uid, 1000);
	ck_assert_uint_eq(tf_lstat("dir/file").st_mode, S_IFREG | 02755);
	/* The next request has no such group. */
	FS->ext_len = 0;
	ck_ok(fs_mknod(FS, TU_ROOT, "plain", S_IFREG | 0644, 0, &e));
	ck_assert_uint_eq(tf_lstat("plain").st_gid, 1000);
}
END_TEST

/* Who applies the umask was settled by INIT. */
START_TEST(umask_applies_once)
{
	uint32_t mode = FS->flags & FUSE_DONT_MASK ? 0777 : 0750;
	struct fuse_entry_out e;
	struct fuse_open_out o;

	FS->umask = 027;
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, mode, &e, &o));
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", mode, &e));
	ck_ok(fs_mknod(FS, TU_ROOT, "node", S_IFIFO | mode, 0, &e));
	ck_assert_uint_eq(tf_lstat("file").st_mode & 07777, 0750);
	ck_assert_uint_eq(tf_lstat("dir").st_mode & 07777, 0750);
	ck_assert_uint_eq(tf_lstat("node").st_mode & 07777, 0750);
	/* The daemon was started with umask 022, which must not matter. */
	FS->umask = 0;
	ck_ok(fs_mkdir(FS, TU_ROOT, "open", 0777, &e));
	ck_assert_uint_eq(tf_lstat("open").st_mode & 07777, 0777);
}
END_TEST

START_TEST(tmpfile_and_link)
{
	struct fuse_entry_out e, l;
	struct fuse_open_out o;
	char buf[8] = "";

	FS->uid = 1000;
	FS->gid = 1001;
	ck_ok(fs_tmpfile(FS, TU_ROOT, O_RDWR, 0640, &e, &o));
	ck_assert_uint_eq(e.attr.nlink, 0);
	ck_assert_uint_eq(e.attr.uid, 1000);
	ck_assert_uint_eq(e.attr.gid, 1001);
	ck_assert_uint_eq(e.attr.mode, S_IFREG | 0640);
	ck_assert_int_eq(fs_write(FS, e.nodeid, o.fh, "tmp", 3, 0, 0, 0), 3);
	ck_ok(fs_link(FS, e.nodeid, TU_ROOT, "named", &l));
	ck_assert_uint_eq(l.nodeid, e.nodeid);
	ck_ok(fs_release(FS, e.nodeid, o.fh, O_RDWR, 0, 0));
	tu_read_file(tu_path(&env, "named"), buf, 7);
	ck_assert_str_eq(buf, "tmp");
	ck_err(fs_tmpfile(FS, e.nodeid, O_RDWR, 0600, &l, &o), ENOTDIR);
}
END_TEST

TCase *create_case(void)
{
	TCase *tc = tf_case("create");

	tcase_add_test(tc, create_new);
	tcase_add_test(tc, create_unreadable);
	tcase_add_test(tc, owner_is_the_caller);
	tcase_add_test(tc, setgid_directory);
	tcase_add_test(tc, supplementary_group);
	tcase_add_test(tc, umask_applies_once);
	tcase_add_test(tc, tmpfile_and_link);
	return tc;
}

/* What was never given out or was given back is stale, whatever its number. */
START_TEST(forged_nodeids)
{
	static const uint64_t forged[] = { 0, 2, 3, 1000, 1ull << 20, 1ull << 32, (1ull << 32) + 1,
					   1ull << 63, ~0ull, ~0ull - 1 };
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct fuse_open_out o;

	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		ck_err(fs_getattr(FS, forged[i], NULL, &a), ESTALE);
		ck_err(fs_lookup(FS, forged[i], "x", &e), ESTALE);
		ck_err(fs_open(FS, forged[i], O_RDONLY, &o), ESTALE);
		ck_err(fs_opendir(FS, forged[i], O_RDONLY, &o), ESTALE);
		ck_err(fs_mkdir(FS, forged[i], "x", 0755, &e), ESTALE);
		ck_err(fs_rename(FS, TU_ROOT, "x", forged[i], "y"), ESTALE);
		ck_err(fs_link(FS, forged[i], TU_ROOT, "y", &e), ESTALE);
	}
}
END_TEST

START_TEST(forgotten_nodeid)
{
	struct fuse_attr_out a;
	uint64_t node, again;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, "file"), node);
	ck_ok(fs_forget(FS, node, 1));
	ck_ok(fs_getattr(FS, node, NULL, &a));
	ck_ok(fs_forget(FS, node, 1));
	tf_stale(node);
	again = tu_lookup(FS, TU_ROOT, "file");
	/* Ids are not used again in a session. */
	ck_assert_uint_ne(again, node);
	ck_err(fs_getattr(FS, node, NULL, &a), ESTALE);
}
END_TEST

START_TEST(batch_forget)
{
	struct fuse_forget_one list[32];
	struct fuse_attr_out a;
	char name[16];

	for (unsigned int i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		tu_write_file(tu_path(&env, name), "x", 1, 0644);
		list[i].nodeid = tu_lookup(FS, TU_ROOT, name);
		list[i].nlookup = 1;
	}
	ck_ok(fs_batch_forget(FS, list, 31));
	for (unsigned int i = 0; i < 31; i++)
		tf_stale(list[i].nodeid);
	ck_ok(fs_getattr(FS, list[31].nodeid, NULL, &a));
}
END_TEST

/* A count too high frees nothing twice, and the root is never freed. */
START_TEST(forget_too_much)
{
	struct fuse_attr_out a;
	uint64_t node, fh;
	char c;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	fh = tu_open_file(FS, node, O_RDONLY);
	ck_ok(fs_forget(FS, node, ~0ull));
	ck_ok(fs_forget(FS, node, 1));
	/* An open handle lives on by itself. */
	ck_assert_int_eq(fs_read(FS, node, fh, &c, 1, 0, 0), 1);
	ck_ok(fs_forget(FS, TU_ROOT, ~0ull));
	ck_ok(fs_forget(FS, TU_ROOT, 1));
	ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
	ck_ok(fs_forget(FS, 0x123456789abcull, 1));
	tu_lookup(FS, TU_ROOT, "file");
}
END_TEST

START_TEST(forged_handles)
{
	static const uint64_t forged[] = { 0, 1, 2, 1000, 1ull << 32, 1ull << 63, ~0ull };
	struct fuse_file_lock lk = { .type = F_RDLCK, .end = 10 };
	uint64_t node, fh, dirfh;
	struct fuse_open_out o;
	char buf[16];

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		uint64_t f = forged[i];

		ck_err(fs_read(FS, node, f, buf, 1, 0, 0), EBADF);
		ck_err(fs_write(FS, node, f, "x", 1, 0, 0, 0), EBADF);
		ck_err(fs_fsync(FS, node, f, 0), EBADF);
		ck_err(fs_flush(FS, node, f, 1), EBADF);
		ck_err(fs_release(FS, node, f, 0, 0, 0), EBADF);
		ck_err(fs_fallocate(FS, node, f, 0, 0, 10), EBADF);
		ck_err(fs_lseek(FS, node, f, 0, SEEK_DATA), EBADF);
		ck_err(fs_readdir(FS, TU_ROOT, f, 0, buf, 16), EBADF);
		ck_err(fs_releasedir(FS, TU_ROOT, f), EBADF);
		ck_err(fs_setlk(FS, FUSE_SETLK, node, f, 1, &lk, FUSE_LK_FLOCK), EBADF);
	}
	/* A file's handle is no directory's, and neither outlives its release. */
	fh = tu_open_file(FS, node, O_RDONLY);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY, &o));
	dirfh = o.fh;
	ck_err(fs_readdir(FS, TU_ROOT, fh, 0, buf, 16), EBADF);
	ck_err(fs_read(FS, node, dirfh, buf, 1, 0, 0), EBADF);
	ck_ok(fs_release(FS, node, fh, O_RDONLY, 0, 0));
	ck_err(fs_read(FS, node, fh, buf, 1, 0, 0), EBADF);
	ck_err(fs_release(FS, node, fh, O_RDONLY, 0, 0), EBADF);
	ck_ok(fs_releasedir(FS, TU_ROOT, dirfh));
	ck_err(fs_readdir(FS, TU_ROOT, dirfh, 0, buf, 16), EBADF);
	ck_assert_uint_ne(tu_open_file(FS, node, O_RDONLY), fh);
}
END_TEST

TCase *ids_case(void)
{
	TCase *tc = tf_case("ids");

	tcase_add_test(tc, forged_nodeids);
	tcase_add_test(tc, forgotten_nodeid);
	tcase_add_test(tc, batch_forget);
	tcase_add_test(tc, forget_too_much);
	tcase_add_test(tc, forged_handles);
	return tc;
}
