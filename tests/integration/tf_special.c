/*
 * test-fuse: FIFOs, sockets and device nodes. The guest opens them itself;
 * the daemon never does, whatever it is asked. A FIFO opened would hang a
 * thread, a device opened would act on the host.
 */
#define _GNU_SOURCE 1
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "test-fuse.h"

static void never_opened(uint64_t node)
{
	static const uint32_t flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK,
					  O_RDWR | O_TRUNC };
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE };
	struct fuse_open_out o;
	struct fuse_attr_out a;

	for (int i = 0; i < 5; i++) {
		int err = fs_open(FS, node, flags[i], &o);

		ck_assert_msg(err < 0 && err != FS_BROKEN, "OPEN: %s", tu_error(err));
	}
	ck_err(fs_opendir(FS, node, O_RDONLY, &o), ENOTDIR);
	ck_err2(fs_setattr(FS, node, &sa, &a), EINVAL, EBADF);
}

/* All that needs no opening works as for other objects. */
static void attributes_work(uint64_t node, const char *name)
{
	struct fuse_setattr_in sa = { .valid = FATTR_MODE | FATTR_UID | FATTR_MTIME,
				      .mode = 0604, .uid = 33, .mtime = 99 };
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct stat st;
	char other[64];

	ck_ok(fs_setattr(FS, node, &sa, &a));
	st = tf_lstat(name);
	tf_check_attr(&a.attr, &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	ck_assert_uint_eq(st.st_uid, 33);
	ck_assert_int_eq(st.st_mtime, 99);
	snprintf(other, sizeof(other), "%s-link", name);
	ck_ok(fs_link(FS, node, TU_ROOT, other, &e));
	ck_ok(fs_rename(FS, TU_ROOT, other, TU_ROOT, "renamed"));
	ck_ok(fs_unlink(FS, TU_ROOT, "renamed"));
}

START_TEST(fifo)
{
	struct fuse_entry_out e;

	ck_ok(fs_mknod(FS, TU_ROOT, "fifo", S_IFIFO | 0644, 0, &e));
	ck_assert(S_ISFIFO(e.attr.mode));
	never_opened(e.nodeid);
	attributes_work(e.nodeid, "fifo");
	/* Put where the daemon expects a file to be created or opened. */
	ck_assert_int_lt(fs_create(FS, TU_ROOT, "fifo", O_RDWR | O_CREAT, 0644, &e,
				   &(struct fuse_open_out){ 0 }), 0);
}
END_TEST

START_TEST(device)
{
	struct fuse_entry_out e;
	struct stat st;

	/* /dev/null's number: a write to it would show that it was opened. */
	ck_ok(fs_mknod(FS, TU_ROOT, "null", S_IFCHR | 0666, (1 << 8) | 3, &e));
	st = tf_lstat("null");
	tf_check_attr(&e.attr, &st);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_uint_eq(major(st.st_rdev), 1);
	ck_assert_uint_eq(minor(st.st_rdev), 3);
	never_opened(e.nodeid);
	attributes_work(e.nodeid, "null");
	ck_ok(fs_mknod(FS, TU_ROOT, "disk", S_IFBLK | 0600, (253 << 8) | 0, &e));
	ck_assert(S_ISBLK(tf_lstat("disk").st_mode));
	never_opened(e.nodeid);
	/* One that the administrator left in the tree. */
	ck_assert_int_eq(mknod(tu_path(&env, "host"), S_IFCHR | 0666, makedev(1, 5)), 0);
	never_opened(tu_lookup(FS, TU_ROOT, "host"));
	ck_assert_int_lt(fs_create(FS, TU_ROOT, "host", O_RDWR | O_CREAT, 0644, &e,
				   &(struct fuse_open_out){ 0 }), 0);
}
END_TEST

START_TEST(socket_file)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct fuse_entry_out e;

	ck_assert_int_lt(snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", env.share),
			 sizeof(sa.sun_path));
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	never_opened(tu_lookup(FS, TU_ROOT, "s"));
	attributes_work(tu_lookup(FS, TU_ROOT, "s"), "s");
	ck_ok(fs_mknod(FS, TU_ROOT, "guest-made", S_IFSOCK | 0644, 0, &e));
	ck_assert(S_ISSOCK(tf_lstat("guest-made").st_mode));
	never_opened(e.nodeid);
	close(s);
}
END_TEST

START_TEST(mknod_errors)
{
	struct fuse_entry_out e;

	ck_ok(fs_mknod(FS, TU_ROOT, "fifo", S_IFIFO | 0644, 0, &e));
	ck_err(fs_mknod(FS, TU_ROOT, "fifo", S_IFIFO | 0644, 0, &e), EEXIST);
	/* A type that is none. */
	ck_assert_int_lt(fs_mknod(FS, TU_ROOT, "odd", 0170000 | 0644, 0, &e), 0);
	ck_assert_int_eq(access(tu_path(&env, "odd"), F_OK), -1);
}
END_TEST

/* The host swaps a file for a FIFO and back under the daemon's hands. */
START_TEST(type_changes)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;

	for (int i = 0; i < 50; i++) {
		tu_write_file(tu_path(&env, "x"), "x", 1, 0644);
		ck_ok(fs_lookup(FS, TU_ROOT, "x", &e));
		ck_assert_int_eq(unlink(tu_path(&env, "x")), 0);
		ck_assert_int_eq(mkfifo(tu_path(&env, "x"), 0644), 0);
		/* The node is still the file; the name is the FIFO. */
		fs_open(FS, e.nodeid, O_RDONLY, &o);
		ck_ok(fs_lookup(FS, TU_ROOT, "x", &e));
		ck_assert(S_ISFIFO(e.attr.mode));
		ck_assert_int_lt(fs_open(FS, e.nodeid, O_RDONLY, &o), 0);
		ck_assert_int_eq(unlink(tu_path(&env, "x")), 0);
	}
}
END_TEST

TCase *special_case(void)
{
	TCase *tc = tf_case("special");

	tcase_add_test(tc, fifo);
	tcase_add_test(tc, device);
	tcase_add_test(tc, socket_file);
	tcase_add_test(tc, mknod_errors);
	tcase_add_test(tc, type_changes);
	return tc;
}
