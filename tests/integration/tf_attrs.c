/*
 * test-fuse: GETATTR, SETATTR, STATX, STATFS, ACCESS, SYNCFS.
 */
#define _GNU_SOURCE 1
#include <sys/statvfs.h>
#include <time.h>

#include "test-fuse.h"

static uint64_t make(const char *name, const char *text, mode_t mode)
{
	tu_write_file(tu_path(&env, name), text, strlen(text), mode);
	return tu_lookup(FS, TU_ROOT, name);
}

static void set(uint64_t node, struct fuse_setattr_in sa, const char *name)
{
	struct fuse_attr_out a;
	struct stat st;

	ck_ok(fs_setattr(FS, node, &sa, &a));
	st = tf_lstat(name);
	tf_check_attr(&a.attr, &st);
}

START_TEST(getattr_sees_the_host)
{
	struct fuse_attr_out a;
	uint64_t node = make("file", "12345", 0644);
	struct stat st;

	ck_assert_int_eq(truncate(tu_path(&env, "file"), 123456), 0);
	ck_assert_int_eq(chmod(tu_path(&env, "file"), 04711), 0);
	ck_ok(fs_getattr(FS, node, NULL, &a));
	st = tf_lstat("file");
	tf_check_attr(&a.attr, &st);
	ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
	st = tf_lstat(".");
	tf_check_attr(&a.attr, &st);
}
END_TEST

START_TEST(getattr_by_handle)
{
	struct fuse_attr_out a;
	uint64_t node = make("file", "12345", 0644);
	uint64_t fh = tu_open_file(FS, node, O_RDONLY);
	uint64_t forged = fh + 1000;

	ck_assert_int_eq(unlink(tu_path(&env, "file")), 0);
	ck_ok(fs_getattr(FS, node, &fh, &a));
	ck_assert_uint_eq(a.attr.size, 5);
	ck_assert_uint_eq(a.attr.nlink, 0);
	ck_err(fs_getattr(FS, node, &forged, &a), EBADF);
	ck_ok(fs_release(FS, node, fh, O_RDONLY, 0, 0));
}
END_TEST

static void same_both_ways(uint64_t node, uint64_t fh, const char *name)
{
	struct stat st = tf_lstat(name);
	struct fuse_attr_out a;

	ck_ok(fs_getattr(FS, node, &fh, &a));
	tf_check_attr(&a.attr, &st);
	ck_ok(fs_getattr(FS, node, NULL, &a));
	tf_check_attr(&a.attr, &st);
}

/* Of an open file, all that changes at the host: by its handle, by its nodeid, and by no handle of another file. With setuid and
 * setgid bits and without: who answers is not the same. */
START_TEST(getattr_of_open_file)
{
	static const mode_t modes[] = { 0751, 06751, 0640, 02711, 0600 };
	struct timespec times[2] = { { 1234567890, 123456789 }, { 1111111111, 987654321 } };
	uint64_t node = make("file", "12345", 0644), other = make("other", "1", 0600);
	uint64_t fh = tu_open_file(FS, node, O_RDONLY), other_fh = tu_open_file(FS, other, O_RDONLY);
	struct fuse_attr_out a;
	struct stat st;

	ck_assert_int_eq(truncate(tu_path(&env, "file"), 123456), 0);
	ck_assert_int_eq(chown(tu_path(&env, "file"), 11, 12), 0);
	ck_assert_int_eq(link(tu_path(&env, "file"), tu_path(&env, "second")), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, tu_path(&env, "file"), times, 0), 0);
	same_both_ways(node, fh, "file");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		ck_assert_int_eq(chmod(tu_path(&env, "file"), modes[i]), 0);
		same_both_ways(node, fh, "file");
	}
	ck_err(fs_getattr(FS, node, &other_fh, &a), EBADF);
	ck_ok(fs_release(FS, other, other_fh, O_RDONLY, 0, 0));
	ck_err(fs_getattr(FS, other, &other_fh, &a), EBADF);
	ck_ok(fs_getattr(FS, other, NULL, &a));
	st = tf_lstat("other");
	tf_check_attr(&a.attr, &st);
	ck_ok(fs_release(FS, node, fh, O_RDONLY, 0, 0));
}
END_TEST

START_TEST(setattr_mode)
{
	uint64_t node = make("file", "x", 0644);

	set(node, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = S_IFREG | 06755 }, "file");
	ck_assert_uint_eq(tf_lstat("file").st_mode, S_IFREG | 06755);
	set(node, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0 }, "file");
	ck_assert_uint_eq(tf_lstat("file").st_mode, S_IFREG);
}
END_TEST

START_TEST(setattr_owner)
{
	uint64_t node = make("file", "x", 0644);

	set(node, (struct fuse_setattr_in){ .valid = FATTR_UID, .uid = 4000 }, "file");
	ck_assert_uint_eq(tf_lstat("file").st_uid, 4000);
	ck_assert_uint_eq(tf_lstat("file").st_gid, 0);
	set(node, (struct fuse_setattr_in){ .valid = FATTR_GID, .gid = 4001 }, "file");
	ck_assert_uint_eq(tf_lstat("file").st_uid, 4000);
	ck_assert_uint_eq(tf_lstat("file").st_gid, 4001);
	set(node,
	    (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID, .uid = 1, .gid = 2 }, "file");
	ck_assert_uint_eq(tf_lstat("file").st_uid, 1);
	ck_assert_uint_eq(tf_lstat("file").st_gid, 2);
}
END_TEST

START_TEST(setattr_size)
{
	uint64_t node = make("file", "1234567890", 0644);
	uint64_t fh = tu_open_file(FS, node, O_RDWR);
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE, .size = 4 };
	char buf[16] = "";

	set(node, sa, "file");
	ck_assert_uint_eq(tu_read_file(tu_path(&env, "file"), buf, sizeof(buf)), 4);
	sa.size = 7;
	sa.valid |= FATTR_FH;
	sa.fh = fh;
	set(node, sa, "file");
	ck_assert_uint_eq(tu_read_file(tu_path(&env, "file"), buf, sizeof(buf)), 7);
	ck_assert_int_eq(memcmp(buf, "1234\0\0\0", 7), 0);
	sa.size = 6ull << 30;
	set(node, sa, "file");
	ck_assert_int_eq(tf_lstat("file").st_size, 6ll << 30);
	/* By handle also when the file has no name any more. */
	ck_assert_int_eq(unlink(tu_path(&env, "file")), 0);
	sa.size = 1;
	ck_ok(fs_setattr(FS, node, &sa, &(struct fuse_attr_out){ 0 }));
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 16, 0, 0), 1);
	sa.fh = fh + 1000;
	ck_err(fs_setattr(FS, node, &sa, &(struct fuse_attr_out){ 0 }), EBADF);
}
END_TEST

START_TEST(setattr_size_errors)
{
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE, .size = 1 };
	uint64_t node = make("file", "1234567890", 0644);
	struct fuse_attr_out a;

	ck_err(fs_setattr(FS, TU_ROOT, &sa, &a), EISDIR);
	sa.size = ~0ull;
	ck_err2(fs_setattr(FS, node, &sa, &a), EINVAL, EFBIG);
	ck_assert_int_eq(tf_lstat("file").st_size, 10);
	sa.size = 1ull << 62;
	ck_err(fs_setattr(FS, node, &sa, &a), EFBIG);
}
END_TEST

START_TEST(setattr_times)
{
	uint64_t node = make("file", "x", 0644);
	struct fuse_setattr_in sa = {
		.valid = FATTR_ATIME | FATTR_MTIME,
		.atime = 1000000000,
		.atimensec = 123456789,
		.mtime = (uint64_t)-5000,	/* before 1970 */
		.mtimensec = 987654321,
	};
	time_t now = time(NULL);
	struct stat st;

	set(node, sa, "file");
	st = tf_lstat("file");
	ck_assert_int_eq(st.st_atim.tv_sec, 1000000000);
	ck_assert_int_eq(st.st_atim.tv_nsec, 123456789);
	ck_assert_int_eq(st.st_mtim.tv_sec, -5000);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 987654321);
	/* One of the two leaves the other alone. */
	sa = (struct fuse_setattr_in){ .valid = FATTR_MTIME | FATTR_MTIME_NOW };
	set(node, sa, "file");
	st = tf_lstat("file");
	ck_assert_int_eq(st.st_atim.tv_sec, 1000000000);
	ck_assert_int_ge(st.st_mtim.tv_sec, now - 2);
	sa = (struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_ATIME_NOW };
	set(node, sa, "file");
	ck_assert_int_ge(tf_lstat("file").st_atim.tv_sec, now - 2);
	sa = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 5 };
	set(TU_ROOT, sa, ".");
	ck_assert_int_eq(tf_lstat(".").st_mtim.tv_sec, 5);
}
END_TEST

START_TEST(setattr_several_at_once)
{
	uint64_t node = make("file", "1234567890", 0600);
	struct fuse_setattr_in sa = {
		.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_MTIME,
		.mode = 0640,
		.uid = 10,
		.gid = 20,
		.size = 3,
		.mtime = 777,
	};
	struct stat st;

	set(node, sa, "file");
	st = tf_lstat("file");
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_uint_eq(st.st_uid, 10);
	ck_assert_uint_eq(st.st_gid, 20);
	ck_assert_int_eq(st.st_size, 3);
	ck_assert_int_eq(st.st_mtime, 777);
}
END_TEST

/*
 * With KILLPRIV_V2 the server clears setuid and setgid when the request says
 * so, and leaves them alone when it does not: the guest's writer may be one
 * who keeps them.
 */
START_TEST(killpriv)
{
	uint64_t node, fh;
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE, .size = 5 };
	struct fuse_attr_out a;

	if (!(FS->flags & FUSE_HANDLE_KILLPRIV_V2))
		return;
	node = make("file", "1234567890", 06755);
	fh = tu_open_file(FS, node, O_RDWR);
	ck_ok(fs_write(FS, node, fh, "x", 1, 0, O_RDWR, 0));
	ck_assert_uint_eq(tf_lstat("file").st_mode & 07777, 06755);
	ck_ok(fs_setattr(FS, node, &sa, &a));
	ck_assert_uint_eq(tf_lstat("file").st_mode & 07777, 06755);
	ck_ok(fs_write(FS, node, fh, "x", 1, 0, O_RDWR, FUSE_WRITE_KILL_SUIDGID));
	ck_assert_uint_eq(tf_lstat("file").st_mode & 07777, 0755);

	ck_assert_int_eq(chmod(tu_path(&env, "file"), 06755), 0);
	sa.valid |= FATTR_KILL_SUIDGID;
	ck_ok(fs_setattr(FS, node, &sa, &a));
	ck_assert_uint_eq(tf_lstat("file").st_mode & 07777, 0755);
	ck_assert_uint_eq(a.attr.mode & 07777, 0755);
}
END_TEST

START_TEST(statx_birth_time)
{
	uint64_t node = make("file", "12345", 0644);
	struct fn_statx_out out;
	struct statx stx;

	if (FS->minor < 39)
		return;
	ck_ok(fs_statx(FS, node, NULL, STATX_BASIC_STATS | STATX_BTIME, &out));
	ck_assert_int_eq(statx(AT_FDCWD, tu_path(&env, "file"), AT_SYMLINK_NOFOLLOW,
			       STATX_BASIC_STATS | STATX_BTIME, &stx), 0);
	ck_assert_uint_eq(out.stat.mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	ck_assert_uint_eq(out.stat.mask & STATX_BTIME, stx.stx_mask & STATX_BTIME);
	ck_assert_uint_eq(out.stat.ino, stx.stx_ino);
	ck_assert_uint_eq(out.stat.size, 5);
	ck_assert_uint_eq(out.stat.mode, stx.stx_mode);
	ck_assert_uint_eq(out.stat.nlink, 1);
	ck_assert_int_eq(out.stat.mtime.sec, stx.stx_mtime.tv_sec);
	ck_assert_uint_eq(out.stat.mtime.nsec, stx.stx_mtime.tv_nsec);
	if (stx.stx_mask & STATX_BTIME) {
		ck_assert_int_eq(out.stat.btime.sec, stx.stx_btime.tv_sec);
		ck_assert_uint_eq(out.stat.btime.nsec, stx.stx_btime.tv_nsec);
	}
}
END_TEST

START_TEST(statfs_agrees)
{
	struct fuse_kstatfs st;
	struct statvfs sv;
	uint64_t node = make("file", "x", 0644);

	ck_assert_int_eq(statvfs(env.share, &sv), 0);
	ck_ok(fs_statfs(FS, TU_ROOT, &st));
	ck_assert_uint_eq(st.blocks, sv.f_blocks);
	ck_assert_uint_eq(st.files, sv.f_files);
	ck_assert_uint_eq(st.bsize, sv.f_bsize);
	ck_assert_uint_eq(st.frsize, sv.f_frsize);
	ck_assert_uint_eq(st.namelen, sv.f_namemax);
	ck_ok(fs_statfs(FS, node, &st));
	ck_assert_uint_eq(st.blocks, sv.f_blocks);
}
END_TEST

/*
 * The guest checks permissions itself; a server may answer ACCESS for the ids
 * of the request or tell that it does not do this.
 */
START_TEST(access_and_syncfs)
{
	uint64_t node = make("file", "x", 0600);
	int err = fs_access(FS, node, R_OK);

	if (err != -ENOSYS) {
		ck_ok(err);
		FS->uid = FS->gid = 1000;
		ck_err(fs_access(FS, node, R_OK), EACCES);
		FS->uid = FS->gid = 0;
	}
	ck_ok(fs_access(FS, TU_ROOT, F_OK) == -ENOSYS ? 0 : fs_access(FS, TU_ROOT, F_OK));
	ck_ok(fs_syncfs(FS, TU_ROOT));
}
END_TEST

/* Operations this file system does not have: the guest must learn so. */
START_TEST(unsupported_operations)
{
	uint64_t node = make("file", "x", 0644);
	uint64_t fh = tu_open_file(FS, node, O_RDONLY);
	struct fuse_ioctl_in in = { .fh = fh, .cmd = 0x5401, .out_size = 64 };
	struct fuse_ioctl_out res;
	char out[64];
	uint32_t revents;
	uint64_t block;

	ck_err2(fs_ioctl(FS, node, &in, NULL, out, 64, &res), ENOSYS, ENOTTY);
	ck_err(fs_poll(FS, node, fh, 1, &revents), ENOSYS);
	ck_err2(fs_bmap(FS, node, 0, 4096, &block), ENOSYS, EINVAL);
	ck_err(fs_call(FS, 3000, node, NULL, 0, NULL, 0, 0, NULL), ENOSYS);
	ck_err(fs_call(FS, 0, node, NULL, 0, NULL, 0, 0, NULL), ENOSYS);
	ck_err(fs_call(FS, 48, node, &(struct fs_arg){ out, 40 }, 1, NULL, 0, 0, NULL), ENOSYS);
}
END_TEST

/**
 * attrs_case() - Attributes
 *
 * Return: the test case
 */
TCase *attrs_case(void)
{
	TCase *tc = tf_case("attrs");

	tcase_add_test(tc, getattr_sees_the_host);
	tcase_add_test(tc, getattr_by_handle);
	tcase_add_test(tc, getattr_of_open_file);
	tcase_add_test(tc, setattr_mode);
	tcase_add_test(tc, setattr_owner);
	tcase_add_test(tc, setattr_size);
	tcase_add_test(tc, setattr_size_errors);
	tcase_add_test(tc, setattr_times);
	tcase_add_test(tc, setattr_several_at_once);
	tcase_add_test(tc, killpriv);
	tcase_add_test(tc, statx_birth_time);
	tcase_add_test(tc, statfs_agrees);
	tcase_add_test(tc, access_and_syncfs);
	tcase_add_test(tc, unsupported_operations);
	return tc;
}
