/*
 * test-crash: locks are held while processes die, and who waits for one gets
 * it in the end.
 */
#define _GNU_SOURCE 1
#include "hostlock.h"
#include "test-crash.h"

#define OWNER_A 0x1111000011110000ull
#define OWNER_B 0x2222000022220000ull
#define END_OF_FILE 0x7fffffffffffffffull

static uint64_t node, fh, other_fh;
static const char *path;

static void setup_file(void)
{
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	other_fh = tu_open_file(FS, node, O_RDWR);
	path = tu_path(&env, "file");
}

static int lock(uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	struct fuse_file_lock lk = { .start = start, .end = end, .type = type, .pid = FS->pid };

	return fs_setlk(FS, FUSE_SETLK, node, owner == OWNER_A ? fh : other_fh, owner, &lk, 0);
}

static int flock_of(uint64_t handle, uint32_t type)
{
	struct fuse_file_lock lk = { .end = END_OF_FILE, .type = type, .pid = FS->pid };

	return fs_setlk(FS, FUSE_SETLK, node, handle, OWNER_A, &lk, FUSE_LK_FLOCK);
}

static struct freq *wait_begin(uint64_t owner, uint64_t start, uint64_t end, uint32_t flags)
{
	struct fuse_file_lock lk = { .start = start, .end = end, .type = F_WRLCK, .pid = FS->pid };
	struct freq *q = fs_setlk_begin(FS, FUSE_SETLKW, node, other_fh, owner, &lk, flags);

	ck_assert_ptr_nonnull(q);
	return q;
}

static void still_waits(struct freq *q)
{
	struct fuse_attr_out a;

	for (int i = 0; i < 20; i++)
		ck_ok(fs_getattr(FS, node, NULL, &a));
	ck_assert_msg(!q->vq.done, "a lock was granted too soon, or refused");
}

START_TEST(posix_lock_is_held)
{
	struct fuse_file_lock lk;

	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 10, 19));
	ck_ok(lock(OWNER_B, F_RDLCK, 30, 39));
	for (int i = 0; i < 3; i++) {
		crash_kill_and_wait(&env);
		ck_err(lock(OWNER_B, F_WRLCK, 19, 19), EAGAIN);
		ck_err(lock(OWNER_A, F_WRLCK, 30, 30), EAGAIN);
		ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 10, 1), EAGAIN);
		ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 20, 10));
		lk = (struct fuse_file_lock){ .type = F_WRLCK, .start = 0, .end = 20 };
		ck_ok(fs_getlk(FS, node, other_fh, OWNER_B, &lk));
		ck_assert_uint_eq(lk.type, F_WRLCK);
		ck_assert_uint_eq(lk.start, 10);
		ck_assert_uint_eq(lk.pid, FS->pid);
	}
	ck_ok(lock(OWNER_A, F_UNLCK, 0, END_OF_FILE));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 20));
	/* The close of any of its files frees what an owner has. */
	crash_kill_and_wait(&env);
	ck_ok(fs_flush(FS, node, other_fh, OWNER_B));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(flock_is_held)
{
	setup_file();
	ck_ok(flock_of(fh, F_WRLCK));
	for (int i = 0; i < 3; i++) {
		crash_kill_and_wait(&env);
		ck_err(flock_of(other_fh, F_WRLCK), EAGAIN);
		ck_err(hostlock_try(path, HOSTLOCK_FLOCK, F_RDLCK, 0, 0), EAGAIN);
	}
	ck_ok(flock_of(fh, F_UNLCK));
	ck_ok(hostlock_try(path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	ck_ok(flock_of(other_fh, F_WRLCK));
	crash_kill_and_wait(&env);
	ck_ok(fs_release(FS, node, other_fh, O_RDWR, FUSE_RELEASE_FLOCK_UNLOCK, OWNER_A));
	ck_ok(hostlock_try(path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(waiting_lock_is_granted)
{
	struct freq *q;

	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	q = wait_begin(OWNER_B, 5, 20, 0);
	for (int i = 0; i < 3; i++) {
		crash_kill_and_wait(&env);
		still_waits(q);
	}
	ck_ok(lock(OWNER_A, F_UNLCK, 0, 9));
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(lock(OWNER_A, F_WRLCK, 20, 20), EAGAIN);
	crash_kill_and_wait(&env);
	ck_err(lock(OWNER_A, F_WRLCK, 20, 20), EAGAIN);
	ck_ok(lock(OWNER_B, F_UNLCK, 0, END_OF_FILE));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(waiting_lock_of_the_host)
{
	struct hostlock h;
	struct freq *q;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = wait_begin(OWNER_B, 0, 9, 0);
	for (int i = 0; i < 3; i++) {
		crash_kill_and_wait(&env);
		still_waits(q);
	}
	hostlock_drop(&h);
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 1), EAGAIN);
}
END_TEST

START_TEST(waiting_flock_is_granted)
{
	struct freq *q;

	setup_file();
	ck_ok(flock_of(fh, F_WRLCK));
	q = wait_begin(OWNER_B, 0, END_OF_FILE, FUSE_LK_FLOCK);
	for (int i = 0; i < 3; i++) {
		crash_kill_and_wait(&env);
		still_waits(q);
	}
	ck_ok(flock_of(fh, F_UNLCK));
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(flock_of(fh, F_WRLCK), EAGAIN);
}
END_TEST

/* Whatever is done to the lock at the moment of the kill: granted once, to one. */
START_TEST(locks_pass_to_and_fro)
{
	struct crasher c;
	unsigned int rounds = 0;
	int64_t deadline = crash_now_ms() + 30000;

	setup_file();
	crasher_start(&c, &env, 10000, 1);
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	while (atomic_load(&c.kills) < 40 && crash_now_ms() < deadline) {
		struct freq *q = wait_begin(OWNER_B, 0, 9, 0);

		still_waits(q);
		ck_ok(lock(OWNER_A, F_UNLCK, 0, 9));
		ck_ok(fs_wait(q));
		fs_free(q);
		ck_err(lock(OWNER_A, F_WRLCK, 9, 9), EAGAIN);
		ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 0, 1), EAGAIN);
		ck_ok(lock(OWNER_B, F_UNLCK, 0, 9));
		ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
		rounds++;
	}
	crasher_stop(&c);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, 9));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	printf("locks: %u kills in %u rounds\n", atomic_load(&c.kills), rounds);
}
END_TEST

/**
 * crash_locks_case() - Locks
 *
 * Return: the test case
 */
TCase *crash_locks_case(void)
{
	TCase *tc = tc_case("locks");

	tcase_add_test(tc, posix_lock_is_held);
	tcase_add_test(tc, flock_is_held);
	tcase_add_test(tc, waiting_lock_is_granted);
	tcase_add_test(tc, waiting_lock_of_the_host);
	tcase_add_test(tc, waiting_flock_is_granted);
	tcase_add_test(tc, locks_pass_to_and_fro);
	return tc;
}
