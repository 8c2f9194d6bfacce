/* test_fsworker_ops.c - the fsworker's answers about names, attributes and directories, good and bad. */
#include "fsw_fixture.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const struct ipc_cred user = { .uid = 1000, .gid = 1001, .umask = 022 };
static const struct ipc_cred superuser = { .umask = 0 };

static void start(void)
{
	fx_start(&(struct fx_config){ .flags = CFG_XATTR | CFG_FLOCK | CFG_POSIX_LOCK, .pool = 2 });
}

START_TEST(lookup)
{
	struct ipc_entry e, again;
	char longest[257];

	fx_write_file("file", "hello", 0640);
	ck_ok(fx_lookup(ROOT, "file", &e));
	ck_assert_uint_eq(e.st.stx_size, 5);
	ck_assert_uint_eq(e.st.stx_mode, S_IFREG | 0640);
	ck_assert_uint_eq(e.st.stx_ino, fx_lstat("file").st_ino);
	ck_assert(e.st.stx_mask & STATX_BTIME);
	/* One object, one number, whatever its name. */
	ck_ok(linkat(fx_dirfd, "file", fx_dirfd, "other", 0));
	ck_ok(fx_lookup(ROOT, "other", &again));
	ck_assert_uint_eq(e.nodeid, again.nodeid);
	ck_err(fx_lookup(ROOT, "absent", &e), ENOENT);
	ck_err(fx_lookup(again.nodeid, "x", &e), ENOTDIR);
	ck_ok(symlink("file", fx_path("link")));
	ck_ok(fx_lookup(ROOT, "link", &e));
	ck_assert(S_ISLNK(e.st.stx_mode));
	ck_err(fx_lookup(e.nodeid, "x", &e), ENOTDIR);
	memset(longest, 'n', 255);
	longest[255] = '\0';
	ck_err(fx_lookup(ROOT, longest, &e), ENOENT);
}
END_TEST

/* Names that are no single component never reach the kernel. */
START_TEST(lookup_bad_names)
{
	static const struct {
		const char *bytes;
		uint32_t len;
	} bad[] = { { "", 0 }, { "a/b", 3 }, { "/", 1 }, { "../x", 4 }, { "a\0b", 3 }, { "file\0", 5 }, { "\0", 1 } };
	struct ipc_lookup_req l = { .parent = ROOT };
	struct ipc_mkdir_req m = { .parent = ROOT, .mode = 0755 };
	struct ipc_unlink_req u = { .parent = ROOT };

	fx_write_file("file", "x", 0644);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_err(fx_ask(IPC_LOOKUP, &l, sizeof(l), bad[i].bytes, bad[i].len), EINVAL);
		ck_err(fx_ask(IPC_MKDIR, &m, sizeof(m), bad[i].bytes, bad[i].len), EINVAL);
		ck_err(fx_ask(IPC_UNLINK, &u, sizeof(u), bad[i].bytes, bad[i].len), EINVAL);
	}
	ck_err(ASK_TAIL(MKDIR, &m, "."), EINVAL);
	ck_err(ASK_TAIL(MKDIR, &m, ".."), EINVAL);
	ck_err(ASK_TAIL(UNLINK, &u, ".."), EINVAL);
	ck_err(fx_mkdir(ROOT, "..", 0755, NULL, NULL), EINVAL);
}
END_TEST

START_TEST(lookup_dots)
{
	struct ipc_entry dir, sub, e;

	ck_ok(fx_mkdir(ROOT, "dir", 0755, NULL, &dir));
	ck_ok(fx_mkdir(dir.nodeid, "sub", 0755, NULL, &sub));
	ck_ok(fx_lookup(sub.nodeid, "..", &e));
	ck_assert_uint_eq(e.nodeid, dir.nodeid);
	ck_ok(fx_lookup(sub.nodeid, ".", &e));
	ck_assert_uint_eq(e.nodeid, sub.nodeid);
	ck_ok(fx_lookup(dir.nodeid, "..", &e));
	ck_assert_uint_eq(e.nodeid, ROOT);
	/* Nothing is above the share. */
	ck_ok(fx_lookup(ROOT, "..", &e));
	ck_assert_uint_eq(e.nodeid, ROOT);
	ck_assert_uint_eq(e.st.stx_ino, fx_lstat(".").st_ino);
	fx_write_file("file", "x", 0644);
	ck_err(fx_lookup(fx_node(ROOT, "file"), "..", &e), ENOTDIR);
}
END_TEST

START_TEST(forget)
{
	static const uint64_t forged[] = { 0, 2, 3, 5000, 1ull << 32, (1ull << 32) + 1, 1ull << 63, ~0ull };
	struct ipc_forget_req q = { .count = 3 };
	struct ipc_forget_one list[2] = { { ROOT, 5 }, { ROOT, ~0ull } };
	struct ipc_entry e;
	uint64_t node, other;

	for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
		ck_err(fx_getattr(forged[i], NULL), ESTALE);
		ck_err(fx_lookup(forged[i], "x", &e), ESTALE);
		fx_forget(forged[i], 1);
	}
	fx_write_file("file", "x", 0644);
	node = fx_node(ROOT, "file");
	ck_assert_uint_eq(fx_node(ROOT, "file"), node);
	fx_forget(node, 1);
	ck_ok(fx_getattr(node, NULL));
	fx_forget(node, 1);
	ck_err(fx_getattr(node, NULL), ESTALE);
	other = fx_node(ROOT, "file");
	ck_assert_uint_ne(other, node);
	fx_forget(other, ~0ull);
	ck_err(fx_getattr(other, NULL), ESTALE);
	/* A count that is not what the tail holds, and the root. */
	other = fx_node(ROOT, "file");
	fx_send(0, IPC_FORGET, 0, &q, sizeof(q), list, sizeof(list));
	q.count = 2;
	fx_send(0, IPC_FORGET, 0, &q, sizeof(q), list, sizeof(list));
	ck_ok(fx_getattr(ROOT, NULL));
	ck_ok(fx_getattr(other, NULL));
}
END_TEST

/* A forgotten file that is open stays open. */
START_TEST(forget_open)
{
	struct ipc_fsync_req f = { 0 };
	uint64_t node;

	fx_write_file("file", "x", 0644);
	node = fx_node(ROOT, "file");
	ck_ok(fx_open(node, O_RDONLY, &f.fh));
	fx_forget(node, 1);
	ck_err(fx_getattr(node, NULL), ESTALE);
	ck_ok(ASK(FSYNC, &f));
	ck_ok(fx_release(node, f.fh));
	ck_err(ASK(FSYNC, &f), EBADF);
}
END_TEST

START_TEST(getattr)
{
	struct ipc_getattr_req q = { .nodeid = ROOT, .sync = AT_STATX_SYNC_TYPE };
	struct statx st;
	uint64_t node, fh;

	ck_ok(fx_getattr(ROOT, &st));
	ck_assert(S_ISDIR(st.stx_mode));
	ck_err(ASK(GETATTR, &q), EINVAL);
	q.sync = 1;
	ck_err(ASK(GETATTR, &q), EINVAL);
	q.sync = AT_STATX_FORCE_SYNC;
	ck_ok(ASK(GETATTR, &q));
	fx_write_file("file", "abc", 0600);
	node = fx_node(ROOT, "file");
	ck_ok(fx_open(node, O_RDONLY, &fh));
	ck_ok(unlink(fx_path("file")));
	q = (struct ipc_getattr_req){ .nodeid = node, .fh = fh, .has_fh = 1 };
	ck_ok(ASK(GETATTR, &q));
	ck_assert_uint_eq(((const struct ipc_getattr_rep *)fx_reply.body)->st.stx_nlink, 0);
	q.fh = fh + 1;
	ck_err(ASK(GETATTR, &q), EBADF);
	/* A handle of another inode. */
	q.fh = fh;
	q.nodeid = ROOT;
	ck_err(ASK(GETATTR, &q), EBADF);
}
END_TEST

START_TEST(setattr)
{
	struct ipc_setattr_req q = { .valid = IPC_SET_MODE, .mode = 04711 };
	struct stat st;
	uint64_t fh;

	fx_write_file("file", "hello", 0644);
	q.nodeid = fx_node(ROOT, "file");
	ck_ok(ASK(SETATTR, &q));
	ck_assert_uint_eq(fx_lstat("file").st_mode, S_IFREG | 04711);
	/* Owner and mode at once: the mode is what is there afterwards. */
	q.valid = IPC_SET_UID | IPC_SET_GID | IPC_SET_MODE;
	q.uid = 12;
	q.gid = 34;
	q.mode = 06755;
	ck_ok(ASK(SETATTR, &q));
	st = fx_lstat("file");
	ck_assert_uint_eq(st.st_mode, S_IFREG | 06755);
	ck_assert(st.st_uid == 12 && st.st_gid == 34);
	q.valid = IPC_SET_UID;
	q.uid = UINT32_MAX;
	ck_err(ASK(SETATTR, &q), EINVAL);
	q.uid = 13;
	ck_ok(ASK(SETATTR, &q));
	st = fx_lstat("file");
	ck_assert(st.st_uid == 13 && st.st_gid == 34);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	/* Size, by nodeid and by handle; whose writer may keep setuid, and whose may not. */
	ck_ok(chmod(fx_path("file"), 06755));
	q.valid = IPC_SET_SIZE;
	q.size = 3;
	ck_ok(ASK(SETATTR, &q));
	ck_assert_int_eq(fx_lstat("file").st_size, 3);
	ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 06755);
	q.valid = IPC_SET_SIZE | IPC_SET_KILL_SUIDGID;
	ck_ok(ASK(SETATTR, &q));
	ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 0755);
	ck_ok(fx_open(q.nodeid, O_RDWR, &fh));
	q.valid = IPC_SET_SIZE | IPC_SET_FH;
	q.fh = fh;
	q.size = 100;
	ck_ok(ASK(SETATTR, &q));
	ck_assert_int_eq(fx_lstat("file").st_size, 100);
	ck_assert_uint_eq(((const struct ipc_setattr_rep *)fx_reply.body)->st.stx_size, 100);
	q.fh = ~fh;
	ck_err(ASK(SETATTR, &q), EBADF);
	q.valid = IPC_SET_SIZE;
	q.size = UINT64_MAX;
	ck_err(ASK(SETATTR, &q), EINVAL);
	q.valid = 0x80000000u;
	ck_err(ASK(SETATTR, &q), EINVAL);
	q.nodeid = ROOT;
	q.valid = IPC_SET_SIZE;
	q.size = 0;
	ck_err(ASK(SETATTR, &q), EISDIR);
}
END_TEST

START_TEST(setattr_times)
{
	struct ipc_setattr_req q = { .valid = IPC_SET_ATIME | IPC_SET_MTIME };
	struct stat st;

	ck_ok(symlink("nowhere", fx_path("link")));
	q.nodeid = fx_node(ROOT, "link");
	q.atime = (struct ipc_time){ .sec = 1000, .nsec = 5 };
	q.mtime = (struct ipc_time){ .sec = -2000, .nsec = 999999999 };
	ck_ok(ASK(SETATTR, &q));
	st = fx_lstat("link");
	ck_assert_int_eq(st.st_atim.tv_sec, 1000);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 999999999);
	q.mtime.nsec = 1000000000;
	ck_err(ASK(SETATTR, &q), EINVAL);
	q.mtime.nsec = UTIME_OMIT;
	ck_err(ASK(SETATTR, &q), EINVAL);
	q.valid = IPC_SET_MTIME | IPC_SET_MTIME_NOW;
	ck_ok(ASK(SETATTR, &q));
	ck_assert_int_gt(fx_lstat("link").st_mtim.tv_sec, 1000000);
	ck_assert_int_eq(fx_lstat("link").st_atim.tv_sec, 1000);
	q.valid = IPC_SET_MODE;
	q.mode = 0600;
	ck_err(ASK(SETATTR, &q), EOPNOTSUPP);
	q.valid = IPC_SET_UID;
	q.uid = 77;
	ck_ok(ASK(SETATTR, &q));
	ck_assert_uint_eq(fx_lstat("link").st_uid, 77);
	q.valid = IPC_SET_SIZE;
	ck_err(ASK(SETATTR, &q), EINVAL);
}
END_TEST

START_TEST(symlinks)
{
	struct ipc_symlink_req q = { .parent = ROOT, .cred = user, .name_len = 4 };
	struct ipc_readlink_req rl;
	const struct ipc_symlink_rep *rep;

	ck_ok(ASK_TAIL(SYMLINK, &q, "linkto/where"));
	rep = fx_reply.body;
	ck_assert(S_ISLNK(rep->entry.st.stx_mode));
	ck_assert_uint_eq(rep->entry.st.stx_uid, 1000);
	rl.nodeid = rep->entry.nodeid;
	ck_ok(ASK(READLINK, &rl));
	ck_assert_uint_eq(fx_reply.tail_len, 8);
	ck_ok(memcmp(fx_reply.tail, "to/where", 8));
	ck_err(ASK_TAIL(SYMLINK, &q, "linkto/where"), EEXIST);
	ck_err(ASK_TAIL(SYMLINK, &q, "lin2"), ENOENT);
	ck_err(ASK_TAIL(SYMLINK, &q, "lin"), EINVAL);
	ck_err(ASK_TAIL(SYMLINK, &q, "a/b.target"), EINVAL);
	ck_err(fx_ask(IPC_SYMLINK, &q, sizeof(q), "lin3a\0b", 7), EINVAL);
	q.name_len = UINT32_MAX;
	ck_err(ASK_TAIL(SYMLINK, &q, "linkto/where"), EINVAL);
	rl.nodeid = ROOT;
	ck_err(ASK(READLINK, &rl), EINVAL);
}
END_TEST

START_TEST(mknod_types)
{
	struct ipc_mknod_req q = { .parent = ROOT, .cred = user, .mode = S_IFIFO | 0666 };
	struct ipc_open_req o = { 0 };
	struct ipc_opendir_req od = { 0 };

	ck_ok(ASK_TAIL(MKNOD, &q, "fifo"));
	ck_assert_uint_eq(fx_lstat("fifo").st_mode, S_IFIFO | 0644);
	ck_assert_uint_eq(fx_lstat("fifo").st_uid, 1000);
	/* To open it would wait; it must not even be tried. */
	o.nodeid = od.nodeid = fx_node(ROOT, "fifo");
	ck_err(ASK(OPEN, &o), ENXIO);
	ck_err(ASK(OPENDIR, &od), ENOTDIR);
	q.mode = S_IFSOCK | 0600;
	ck_ok(ASK_TAIL(MKNOD, &q, "sock"));
	o.nodeid = fx_node(ROOT, "sock");
	ck_err(ASK(OPEN, &o), ENXIO);
	q.mode = S_IFREG | 0600;
	ck_ok(ASK_TAIL(MKNOD, &q, "reg"));
	ck_err(ASK_TAIL(MKNOD, &q, "reg"), EEXIST);
	q.mode = S_IFCHR | 0600;
	q.rdev_major = 1;
	q.rdev_minor = 3;
	ck_ok(ASK_TAIL(MKNOD, &q, "null"));
	ck_assert_uint_eq(fx_lstat("null").st_rdev, makedev(1, 3));
	o.nodeid = fx_node(ROOT, "null");
	ck_err(ASK(OPEN, &o), ENXIO);
	q.mode = S_IFDIR | 0700;
	ck_err(ASK_TAIL(MKNOD, &q, "dir"), EINVAL);
	q.mode = S_IFLNK | 0700;
	ck_err(ASK_TAIL(MKNOD, &q, "lnk"), EINVAL);
	q.mode = 0;
	ck_err(ASK_TAIL(MKNOD, &q, "none"), EINVAL);
	ck_ok(symlink("reg", fx_path("link")));
	o.nodeid = fx_node(ROOT, "link");
	ck_err(ASK(OPEN, &o), ELOOP);
}
END_TEST

/* Whose things are, and which mode they get. */
START_TEST(credentials)
{
	struct ipc_cred c = user;
	struct ipc_entry dir, e;
	struct stat st;
	uint64_t fh;

	ck_ok(fx_mkdir(ROOT, "dir", 0777, &user, &dir));
	st = fx_lstat("dir");
	ck_assert(st.st_uid == 1000 && st.st_gid == 1001 && st.st_mode == (S_IFDIR | 0755));
	ck_ok(fx_mkdir(ROOT, "rootdir", 0777, &superuser, &e));
	st = fx_lstat("rootdir");
	ck_assert(st.st_uid == 0 && st.st_gid == 0 && st.st_mode == (S_IFDIR | 0777));
	/* setgid for somebody outside the directory's group goes, with the supplementary group it stays. */
	ck_ok(chown(fx_path("dir"), 0, 4242));
	ck_ok(chmod(fx_path("dir"), 02777));
	c.umask = 0;
	ck_ok(fx_create(dir.nodeid, "out", O_RDWR | O_CREAT, 02755, &c, &e, &fh));
	ck_assert_uint_eq(fx_lstat("dir/out").st_mode, S_IFREG | 0755);
	ck_assert_uint_eq(fx_lstat("dir/out").st_gid, 4242);
	c.has_sup_gid = 1;
	c.sup_gid = 4242;
	ck_ok(fx_create(dir.nodeid, "in", O_RDWR | O_CREAT, 02755, &c, &e, &fh));
	ck_assert_uint_eq(fx_lstat("dir/in").st_mode, S_IFREG | 02755);
	ck_ok(fx_create(dir.nodeid, "root", O_RDWR | O_CREAT, 02755, &superuser, &e, &fh));
	ck_assert_uint_eq(fx_lstat("dir/root").st_mode, S_IFREG | 02755);
	ck_ok(fx_mkdir(dir.nodeid, "sub", 0700, &user, &e));
	ck_assert_uint_eq(fx_lstat("dir/sub").st_mode, S_IFDIR | 02700);
	/* Ids that would mean "do not change". */
	c = (struct ipc_cred){ .uid = UINT32_MAX };
	ck_err(fx_mkdir(ROOT, "x", 0777, &c, NULL), EINVAL);
	c = (struct ipc_cred){ .gid = UINT32_MAX };
	ck_err(fx_mkdir(ROOT, "x", 0777, &c, NULL), EINVAL);
	c = (struct ipc_cred){ .has_sup_gid = 7, .sup_gid = UINT32_MAX };
	ck_err(fx_mkdir(ROOT, "x", 0777, &c, NULL), EINVAL);
}
END_TEST

/* With a default ACL the umask does not count. */
START_TEST(default_acl)
{
	static const unsigned char acl[] = {
		2, 0, 0, 0,                         /* version */
		1, 0, 7, 0, 255, 255, 255, 255,     /* owner rwx */
		4, 0, 7, 0, 255, 255, 255, 255,     /* group rwx */
		32, 0, 7, 0, 255, 255, 255, 255,    /* others rwx */
	};
	struct ipc_entry dir, e;

	ck_ok(fx_mkdir(ROOT, "dir", 0755, NULL, &dir));
	if (setxattr(fx_path("dir"), "system.posix_acl_default", acl, sizeof(acl), 0) < 0)
		return; /* no ACLs here */
	ck_ok(fx_mkdir(dir.nodeid, "sub", 0775, &user, &e));
	ck_assert_uint_eq(fx_lstat("dir/sub").st_mode, S_IFDIR | 0775);
	ck_ok(fx_mkdir(ROOT, "plain", 0775, &user, &e));
	ck_assert_uint_eq(fx_lstat("plain").st_mode, S_IFDIR | 0755);
}
END_TEST

START_TEST(remove_and_rename)
{
	struct ipc_unlink_req u = { .parent = ROOT };
	struct ipc_rmdir_req d = { .parent = ROOT };
	struct ipc_rename_req q = { .old_parent = ROOT, .new_parent = ROOT, .name_len = 1, .cred = user };
	struct ipc_entry dir;

	ck_ok(fx_mkdir(ROOT, "dir", 0755, NULL, &dir));
	fx_write_file("a", "a", 0644);
	fx_write_file("b", "bb", 0644);
	ck_err(ASK_TAIL(UNLINK, &u, "dir"), EISDIR);
	ck_err(ASK_TAIL(RMDIR, &d, "a"), ENOTDIR);
	ck_err(ASK_TAIL(UNLINK, &u, "none"), ENOENT);
	q.flags = RENAME_NOREPLACE;
	ck_err(ASK_TAIL(RENAME, &q, "ab"), EEXIST);
	q.flags = RENAME_EXCHANGE;
	ck_ok(ASK_TAIL(RENAME, &q, "ab"));
	ck_assert_int_eq(fx_lstat("a").st_size, 2);
	q.flags = RENAME_WHITEOUT;
	if (ASK_TAIL(RENAME, &q, "ac") == 0) {
		struct stat st = fx_lstat("a");

		ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0 && st.st_uid == 1000);
		ck_assert_int_eq(fx_lstat("c").st_size, 2);
		ck_ok(renameat(fx_dirfd, "c", fx_dirfd, "a"));
	}
	q.flags = 8;
	ck_err(ASK_TAIL(RENAME, &q, "ab"), EINVAL);
	q.flags = RENAME_NOREPLACE | RENAME_EXCHANGE;
	ck_err(ASK_TAIL(RENAME, &q, "ab"), EINVAL);
	q.flags = 0;
	q.new_parent = dir.nodeid;
	ck_ok(ASK_TAIL(RENAME, &q, "abeta"));
	ck_assert_int_eq(fx_lstat("dir/beta").st_size, 2);
	ck_err(ASK_TAIL(RMDIR, &d, "dir"), ENOTEMPTY);
	q.name_len = 20;
	ck_err(ASK_TAIL(RENAME, &q, "ab"), EINVAL);
	q.name_len = 2;
	ck_err(ASK_TAIL(RENAME, &q, "ab"), EINVAL);
	q.name_len = 3;
	ck_err(ASK_TAIL(RENAME, &q, "../x"), EINVAL);
	q.name_len = 1;
	q.new_parent = 999;
	ck_err(ASK_TAIL(RENAME, &q, "bb"), ESTALE);
	u.parent = dir.nodeid;
	ck_ok(ASK_TAIL(UNLINK, &u, "beta"));
	ck_ok(ASK_TAIL(RMDIR, &d, "dir"));
	ck_err(fx_mkdir(dir.nodeid, "sub", 0755, NULL, NULL), ENOENT);
}
END_TEST

START_TEST(hard_links)
{
	struct ipc_link_req q = { .parent = ROOT };
	const struct ipc_link_rep *rep;
	uint64_t node;

	fx_write_file("a", "a", 0644);
	q.nodeid = node = fx_node(ROOT, "a");
	ck_ok(ASK_TAIL(LINK, &q, "b"));
	rep = fx_reply.body;
	ck_assert_uint_eq(rep->entry.nodeid, node);
	ck_assert_uint_eq(rep->entry.st.stx_nlink, 2);
	/* It counted as a lookup. */
	fx_forget(node, 1);
	ck_ok(fx_getattr(node, NULL));
	fx_forget(node, 1);
	ck_err(fx_getattr(node, NULL), ESTALE);
	q.nodeid = fx_node(ROOT, "a");
	ck_err(ASK_TAIL(LINK, &q, "b"), EEXIST);
	ck_err(ASK_TAIL(LINK, &q, "x/y"), EINVAL);
	ck_ok(symlink("a", fx_path("s")));
	q.nodeid = fx_node(ROOT, "s");
	ck_ok(ASK_TAIL(LINK, &q, "s2"));
	ck_assert(S_ISLNK(fx_lstat("s2").st_mode));
	q.nodeid = ROOT;
	ck_err(ASK_TAIL(LINK, &q, "r"), EPERM);
	q.nodeid = 12345;
	ck_err(ASK_TAIL(LINK, &q, "r"), ESTALE);
}
END_TEST

START_TEST(xattrs)
{
	struct ipc_setxattr_req s = { .name_len = 6 };
	struct ipc_getxattr_req g = { .size = 100 };
	struct ipc_listxattr_req l = { .size = 100 };
	struct ipc_removexattr_req rm;
	char big[256];

	fx_write_file("file", "x", 0644);
	s.nodeid = g.nodeid = l.nodeid = rm.nodeid = fx_node(ROOT, "file");
	ck_err(ASK_TAIL(GETXATTR, &g, "user.a"), ENODATA);
	ck_ok(ASK_TAIL(SETXATTR, &s, "user.avalue"));
	ck_ok(ASK_TAIL(GETXATTR, &g, "user.a"));
	ck_assert_uint_eq(fx_reply.tail_len, 5);
	ck_ok(memcmp(fx_reply.tail, "value", 5));
	ck_assert_uint_eq(((const struct ipc_getxattr_rep *)fx_reply.body)->size, 5);
	g.size = 0;
	ck_ok(ASK_TAIL(GETXATTR, &g, "user.a"));
	ck_assert_uint_eq(fx_reply.tail_len, 0);
	ck_assert_uint_eq(((const struct ipc_getxattr_rep *)fx_reply.body)->size, 5);
	g.size = 4;
	ck_err(ASK_TAIL(GETXATTR, &g, "user.a"), ERANGE);
	g.size = UINT32_MAX;
	ck_ok(ASK_TAIL(GETXATTR, &g, "user.a"));
	ck_ok(ASK(LISTXATTR, &l));
	ck_assert_uint_ge(fx_reply.tail_len, 7);
	s.flags = XATTR_CREATE;
	ck_err(ASK_TAIL(SETXATTR, &s, "user.avalue"), EEXIST);
	s.flags = 99;
	ck_err(ASK_TAIL(SETXATTR, &s, "user.avalue"), EINVAL);
	s.flags = 0;
	s.name_len = 60;
	ck_err(ASK_TAIL(SETXATTR, &s, "user.avalue"), EINVAL);
	s.name_len = 0;
	ck_err(ASK_TAIL(SETXATTR, &s, "user.avalue"), EINVAL);
	ck_ok(ASK_TAIL(REMOVEXATTR, &rm, "user.a"));
	ck_err(ASK_TAIL(REMOVEXATTR, &rm, "user.a"), ENODATA);
	memset(big, 'n', sizeof(big));
	ck_err(fx_ask(IPC_REMOVEXATTR, &rm, sizeof(rm), big, 255), EOPNOTSUPP);
	fx_w.flags &= ~CFG_XATTR;
	ck_err(ASK_TAIL(GETXATTR, &g, "user.a"), EOPNOTSUPP);
	ck_err(ASK(LISTXATTR, &l), EOPNOTSUPP);
}
END_TEST

/* The guest says that whoever sets this ACL may not keep setgid. */
START_TEST(acl_kills_setgid)
{
	static const unsigned char acl[] = {
		2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255,
	};
	static const char name[] = "system.posix_acl_access";
	struct ipc_setxattr_req s = { .name_len = sizeof(name) - 1, .acl_kill_sgid = 1 };
	char tail[sizeof(name) - 1 + sizeof(acl)];

	memcpy(tail, name, sizeof(name) - 1);
	memcpy(tail + sizeof(name) - 1, acl, sizeof(acl));
	for (gid_t gid = 0; gid < 2; gid++) {
		fx_write_file("file", "x", 0644);
		ck_ok(chown(fx_path("file"), 1000, gid));
		ck_ok(chmod(fx_path("file"), 02755));
		s.nodeid = fx_node(ROOT, "file");
		if (fx_ask(IPC_SETXATTR, &s, sizeof(s), tail, sizeof(tail)) == EOPNOTSUPP)
			return;
		ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 0755);
	}
}
END_TEST

START_TEST(statfs_access_syncfs)
{
	struct ipc_statfs_req sf = { .nodeid = ROOT };
	struct ipc_access_req a = { .cred = user, .mask = R_OK };
	struct ipc_syncfs_req sy = { .nodeid = ROOT };

	ck_ok(ASK(STATFS, &sf));
	ck_assert_uint_eq(((const struct ipc_statfs_rep *)fx_reply.body)->namelen, 255);
	fx_write_file("file", "x", 0600);
	a.nodeid = fx_node(ROOT, "file");
	ck_err(ASK(ACCESS, &a), EACCES);
	a.mask = F_OK;
	ck_ok(ASK(ACCESS, &a));
	a.mask = 64;
	ck_err(ASK(ACCESS, &a), EINVAL);
	a.cred = superuser;
	a.mask = R_OK | W_OK;
	ck_ok(ASK(ACCESS, &a));
	a.mask = X_OK;
	ck_err(ASK(ACCESS, &a), EACCES);
	ck_ok(ASK(SYNCFS, &sy));
	sy.nodeid = sf.nodeid = 77;
	ck_err(ASK(SYNCFS, &sy), ESTALE);
	ck_err(ASK(STATFS, &sf), ESTALE);
}
END_TEST

START_TEST(session)
{
	struct ipc_init_req q = { .flags = IPC_INIT_SUBMOUNTS };
	struct ipc_destroy_req d = { 0 };
	uint64_t node, fh;
	char name[16];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fx_write_file(name, "x", 0644);
		node = fx_node(ROOT, name);
	}
	ck_ok(fx_open(node, O_RDONLY, &fh));
	ck_ok(ASK(INIT, &q));
	ck_err(fx_getattr(node, NULL), ESTALE);
	ck_err(fx_release(node, fh), EBADF);
	ck_ok(fx_getattr(ROOT, NULL));
	ck_assert_uint_ne(fx_node(ROOT, name), node);
	ck_ok(ASK(DESTROY, &d));
	ck_ok(ASK(DESTROY, &d));
	ck_assert_uint_eq(atomic_load(&fx_w.inodes.fd_used), 0);
}
END_TEST

/* A mount below the share: the guest is told, if it understands, and numbers of two file systems are not confused. */
START_TEST(submounts)
{
	struct ipc_init_req q = { .flags = IPC_INIT_SUBMOUNTS };
	struct ipc_entry sub, plain, again;
	struct ipc_flush_req fl = { 0 };
	struct ipc_cred c = superuser;

	ck_ok(fx_mkdir(ROOT, "sub", 0755, NULL, &plain));
	ck_assert_uint_eq(plain.flags, 0);
	if (mount("none", fx_path("sub"), "tmpfs", 0, NULL) < 0)
		return;
	ck_ok(fx_lookup(ROOT, "sub", &sub));
	ck_assert_uint_ne(sub.nodeid, plain.nodeid);
	ck_assert_uint_eq(sub.flags, 0);
	ck_ok(ASK(INIT, &q));
	ck_ok(fx_lookup(ROOT, "sub", &sub));
	ck_assert_uint_eq(sub.flags, IPC_ENTRY_SUBMOUNT);
	ck_ok(fx_lookup(ROOT, "sub", &again));
	ck_assert_uint_eq(again.flags, IPC_ENTRY_SUBMOUNT);
	ck_assert_uint_eq(again.nodeid, sub.nodeid);
	ck_ok(fx_mkdir(sub.nodeid, "inner", 0755, NULL, &plain));
	ck_assert_uint_eq(plain.flags, 0);
	ck_ok(fx_lookup(sub.nodeid, "..", &again));
	ck_assert_uint_eq(again.nodeid, ROOT);
	ck_ok(fx_create(sub.nodeid, "file", O_RDWR | O_CREAT, 0644, &c, &again, &fl.fh));
	fl.nodeid = again.nodeid;
	ck_ok(ASK(FLUSH, &fl));
}
END_TEST

static void start_mounts(void)
{
	/* Its own mount namespace, which ends with the process of the test. */
	if (unshare(CLONE_NEWNS) == 0)
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	start();
}

static void stop_mounts(void)
{
	umount2(fx_path("sub"), MNT_DETACH);
	fx_stop();
}

/* A kernel that does not know the newer calls. */
static void start_old(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 452 /* fchmodat2 */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	ck_ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	ck_ok(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0));
	start();
}

int main(void)
{
	TCase *old = tcase_create("older kernels");
	TCase *mounts = tcase_create("mounts");
	Suite *s = suite_create("fsworker_ops");
	TCase *tc = tcase_create("names and attributes");
	SRunner *sr;
	int failed;

	if (geteuid() != 0)
		return 77; /* acts for others: only the superuser can */
	tcase_add_checked_fixture(tc, start, fx_stop);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, lookup);
	tcase_add_test(tc, lookup_bad_names);
	tcase_add_test(tc, lookup_dots);
	tcase_add_test(tc, forget);
	tcase_add_test(tc, forget_open);
	tcase_add_test(tc, getattr);
	tcase_add_test(tc, setattr);
	tcase_add_test(tc, setattr_times);
	tcase_add_test(tc, symlinks);
	tcase_add_test(tc, mknod_types);
	tcase_add_test(tc, credentials);
	tcase_add_test(tc, default_acl);
	tcase_add_test(tc, remove_and_rename);
	tcase_add_test(tc, hard_links);
	tcase_add_test(tc, xattrs);
	tcase_add_test(tc, acl_kills_setgid);
	tcase_add_test(tc, statfs_access_syncfs);
	tcase_add_test(tc, session);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(mounts, start_mounts, stop_mounts);
	tcase_add_test(mounts, submounts);
	suite_add_tcase(s, mounts);
	tcase_add_checked_fixture(old, start_old, fx_stop);
	tcase_add_test(old, setattr);
	tcase_add_test(old, setattr_times);
	suite_add_tcase(s, old);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
