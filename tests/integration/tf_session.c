/*
 * test-fuse: INIT of every version, sessions that follow each other, DESTROY.
 */
#define _GNU_SOURCE 1
#include "hostlock.h"
#include "test-fuse.h"

/* Each minor of the supported range, in one daemon after another's session. */
START_TEST(every_minor)
{
	struct fuse_entry_out e;

	for (uint32_t minor = 27; minor <= 60; minor++) {
		ck_ok(fs_start(FS, minor, FS_GUEST_FLAGS));
		ck_assert_uint_ge(FS->init.minor, 27);
		ck_assert_uint_le(FS->minor, minor);
		ck_assert_uint_ge(FS->init.max_write, 1u << 20);
		ck_assert_uint_ge(FS->init.max_pages, 256);
		ck_assert_uint_eq(FS->init.time_gran, 1);
		ck_err(fs_lookup(FS, TU_ROOT, "nothing", &e), ENOENT);
	}
}
END_TEST

/* What a flag means has to be agreed on: none is answered that was not asked. */
START_TEST(no_flags)
{
	struct fuse_entry_out e;

	ck_ok(fs_start(FS, 27, 0));
	ck_assert_uint_eq(FS->flags, 0);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	for (unsigned int bit = 0; bit < 42; bit++) {
		/* fs_start() itself refuses flags that were not offered. */
		ck_ok(fs_start(FS, 45, (1ull << bit) | FUSE_INIT_EXT));
	}
}
END_TEST

START_TEST(expected_flags)
{
	uint64_t want = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
			FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |
			FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES |
			FUSE_FLOCK_LOCKS | FUSE_POSIX_LOCKS;
	uint64_t newer = FUSE_INIT_EXT | FUSE_SETXATTR_EXT | FUSE_CACHE_SYMLINKS |
			 FUSE_SUBMOUNTS | FN_CREATE_SUPP_GROUP | FN_ALLOW_IDMAP;

	ck_assert_uint_eq(FS->flags & want, want);
	ck_assert_uint_eq(FS->flags & newer, newer);
	/* For /dev/fuse only, or of no use without notifications. */
	ck_assert_uint_eq(FS->flags & (FN_OVER_IO_URING | FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX |
				       FUSE_EXPLICIT_INVAL_DATA), 0);
	ck_assert_uint_eq(FS->minor, 45);
}
END_TEST

static int raw_init(uint32_t major, uint32_t minor, struct fuse_init_out *out, size_t *got)
{
	struct fuse_init_in in = { .major = major, .minor = minor };
	struct fs_arg arg = { &in, 16 };

	memset(out, 0, sizeof(*out));
	return fs_call(FS, FUSE_INIT, 0, &arg, 1, out, 0, sizeof(*out), got);
}

START_TEST(other_majors)
{
	struct fuse_init_out out;
	size_t got;
	struct fuse_entry_out e;

	/* A newer major: we say which we have, and the guest asks again. */
	ck_ok(raw_init(8, 0, &out, &got));
	ck_assert_uint_eq(out.major, 7);
	ck_ok(fs_start(FS, 45, FS_GUEST_FLAGS));
	ck_err(fs_lookup(FS, TU_ROOT, "nothing", &e), ENOENT);
	/* What is too old is refused. */
	ck_err(raw_init(6, 0, &out, &got), EPROTO);
	ck_err(raw_init(7, 26, &out, &got), EPROTO);
	ck_ok(fs_start(FS, 45, FS_GUEST_FLAGS));
	ck_err(fs_lookup(FS, TU_ROOT, "nothing", &e), ENOENT);
}
END_TEST

/*
 * The guest was rebooted or mounted again: nodes, handles and locks of the
 * session before are gone, and their numbers stay dead.
 */
START_TEST(second_init)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	struct fuse_attr_out a;
	struct fuse_open_out o;
	uint64_t node, fh, dirfh, node2;
	char c;

	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY, &o));
	dirfh = o.fh;
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, FUSE_LK_FLOCK));
	ck_err(hostlock_try(tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0), EAGAIN);
	tu_init(&env);
	ck_ok(hostlock_try(tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	ck_ok(hostlock_try(tu_path(&env, "file"), HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	ck_err(fs_getattr(FS, node, NULL, &a), ESTALE);
	ck_err(fs_read(FS, node, fh, &c, 1, 0, O_RDWR), EBADF);
	ck_err(fs_readdir(FS, TU_ROOT, dirfh, 0, &c, 1), EBADF);
	ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
	node2 = tu_lookup(FS, TU_ROOT, "file");
	tu_open_file(FS, node2, O_RDWR);
}
END_TEST

START_TEST(destroy_then_init)
{
	struct fuse_attr_out a;
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	char c;
	int err;

	ck_ok(fs_destroy(FS));
	/* Until the next INIT there is no session to work in. */
	err = fs_getattr(FS, TU_ROOT, NULL, &a);
	ck_assert_msg(err < 0 && err != FS_BROKEN, "GETATTR: %s", tu_error(err));
	err = fs_read(FS, node, fh, &c, 1, 0, O_RDWR);
	ck_assert_msg(err < 0 && err != FS_BROKEN, "READ: %s", tu_error(err));
	tu_init(&env);
	ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
	ck_err(fs_getattr(FS, node, NULL, &a), ESTALE);
	ck_ok(fs_destroy(FS));
}
END_TEST

/* INIT while others are in flight: each is answered, in either session. */
START_TEST(init_amid_traffic)
{
	struct fuse_getattr_in in = { 0 };
	struct freq *q[32];
	struct fs other = *FS;

	other.next_unique += 1ull << 40;
	for (int round = 0; round < 20; round++) {
		FS->queue = env.dev.nrings - 1;
		for (int i = 0; i < 32; i++) {
			q[i] = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(in),
				      sizeof(struct fuse_attr_out));
			fs_put(q[i], &in, sizeof(in));
			ck_assert_int_eq(fs_submit(q[i]), 0);
		}
		other.npool = 0;
		other.queue = DEV_REQUEST;
		ck_ok(fs_start(&other, 45, FS_GUEST_FLAGS));
		for (int i = 0; i < 32; i++) {
			ck_assert_int_ne(fs_wait(q[i]), FS_BROKEN);
			fs_free(q[i]);
		}
	}
}
END_TEST

TCase *session_case(void)
{
	TCase *tc = tf_case("session");

	tcase_add_test(tc, every_minor);
	tcase_add_test(tc, no_flags);
	tcase_add_test(tc, expected_flags);
	tcase_add_test(tc, other_majors);
	tcase_add_test(tc, second_init);
	tcase_add_test(tc, destroy_then_init);
	tcase_add_test(tc, init_amid_traffic);
	return tc;
}
