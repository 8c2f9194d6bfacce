/*
 * test-fuse: GETLK, SETLK, SETLKW as POSIX locks and as flock: real locks on
 * the host's file, against other processes there and against a second guest.
 */
#define _GNU_SOURCE 1
#include <poll.h>

#include "hostlock.h"
#include "test-fuse.h"

#define OWNER_A 0x1111000011110000ull
#define OWNER_B 0x2222000022220000ull
#define OWNER_C 0x3333000033330000ull
#define END_OF_FILE 0x7fffffffffffffffull

static uint64_t node, fh;
static const char *path;

static void setup_file(void)
{
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	path = tu_path(&env, "file");
}

static int lock(uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	struct fuse_file_lock lk = { .start = start, .end = end, .type = type, .pid = FS->pid };

	return fs_setlk(FS, FUSE_SETLK, node, fh, owner, &lk, 0);
}

static int lock_and_wait(uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	struct fuse_file_lock lk = { .start = start, .end = end, .type = type, .pid = FS->pid };

	return fs_setlk(FS, FUSE_SETLKW, node, fh, owner, &lk, 0);
}

static struct freq *lock_wait_begin(uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	struct fuse_file_lock lk = { .start = start, .end = end, .type = type, .pid = FS->pid };
	struct freq *q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, owner, &lk, 0);

	ck_assert_ptr_nonnull(q);
	return q;
}

/* The same queue must go on while a lock waits in it. */
static void queue_is_free(struct freq *waiting)
{
	struct fuse_attr_out a;

	for (int i = 0; i < 100; i++)
		ck_ok(fs_getattr(FS, node, NULL, &a));
	ck_assert(!waiting->vq.done);
}

START_TEST(posix_against_the_host)
{
	struct hostlock h;

	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 100, 199));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 150, 10), EAGAIN);
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 199, 1), EAGAIN);
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 200, 10));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 100));
	ck_ok(lock(OWNER_A, F_UNLCK, 150, 159));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 150, 10));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 150, 11), EAGAIN);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, END_OF_FILE));
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	ck_err(lock(OWNER_A, F_RDLCK, 5, 5), EAGAIN);
	hostlock_drop(&h);
	ck_ok(lock(OWNER_A, F_RDLCK, 5, 5));
	/* Read locks are shared. */
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 0, 0));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0), EAGAIN);
}
END_TEST

START_TEST(posix_between_owners)
{
	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	ck_err(lock(OWNER_B, F_WRLCK, 5, 15), EAGAIN);
	ck_ok(lock(OWNER_B, F_WRLCK, 10, 19));
	/* An owner's locks merge, split and convert; they do not conflict. */
	ck_ok(lock(OWNER_A, F_RDLCK, 0, 9));
	ck_ok(lock(OWNER_B, F_RDLCK, 0, 9));
	ck_err(lock(OWNER_A, F_WRLCK, 0, 9), EAGAIN);
	ck_ok(lock(OWNER_B, F_UNLCK, 0, 9));
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
}
END_TEST

START_TEST(getlk_names_the_holder)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .start = 0, .end = END_OF_FILE };
	struct hostlock h;

	setup_file();
	ck_ok(fs_getlk(FS, node, fh, OWNER_B, &lk));
	ck_assert_uint_eq(lk.type, F_UNLCK);
	FS->pid = 4711;
	ck_ok(lock(OWNER_A, F_WRLCK, 10, 19));
	lk = (struct fuse_file_lock){ .type = F_RDLCK, .start = 0, .end = END_OF_FILE };
	ck_ok(fs_getlk(FS, node, fh, OWNER_B, &lk));
	ck_assert_uint_eq(lk.type, F_WRLCK);
	ck_assert_uint_eq(lk.start, 10);
	ck_assert_uint_eq(lk.end, 19);
	ck_assert_uint_eq(lk.pid, 4711);
	/* For its owner it is no obstacle. */
	lk = (struct fuse_file_lock){ .type = F_WRLCK, .start = 0, .end = END_OF_FILE };
	ck_ok(fs_getlk(FS, node, fh, OWNER_A, &lk));
	ck_assert_uint_eq(lk.type, F_UNLCK);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, END_OF_FILE));
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_RDLCK, 30, 0));
	lk = (struct fuse_file_lock){ .type = F_WRLCK, .start = 0, .end = END_OF_FILE };
	ck_ok(fs_getlk(FS, node, fh, OWNER_B, &lk));
	ck_assert_uint_eq(lk.type, F_RDLCK);
	ck_assert_uint_eq(lk.start, 30);
	ck_assert_uint_eq(lk.end, END_OF_FILE);
	hostlock_drop(&h);
}
END_TEST

START_TEST(lock_errors)
{
	setup_file();
	ck_err(lock(OWNER_A, 99, 0, 9), EINVAL);
	ck_err(lock(OWNER_A, F_WRLCK, 10, 5), EINVAL);
	fh = tu_open_file(FS, node, O_RDONLY);
	ck_ok(lock(OWNER_A, F_RDLCK, 0, 9));
}
END_TEST

START_TEST(setlkw_waits_for_the_host)
{
	struct hostlock h;
	struct freq *q;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = lock_wait_begin(OWNER_A, F_WRLCK, 0, 9);
	queue_is_free(q);
	hostlock_drop(&h);
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 1), EAGAIN);
}
END_TEST

START_TEST(setlkw_waits_for_an_owner)
{
	struct freq *q;

	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	q = lock_wait_begin(OWNER_B, F_WRLCK, 5, 20);
	queue_is_free(q);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, 9));
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(lock(OWNER_A, F_WRLCK, 20, 20), EAGAIN);
}
END_TEST

/* Only since Linux 6.6 the host tells what an open file description has locked, by which a circle is found. */
static bool finds_deadlocks(void)
{
	struct flock any = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool can;

	ck_assert_int_ge(fd, 0);
	can = fcntl(fd, F_OFD_GETLK, &any) == 0;
	close(fd);
	return can;
}

START_TEST(setlkw_in_a_circle_of_two)
{
	struct freq *q;

	setup_file();
	if (!finds_deadlocks())
		return;
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	ck_ok(lock(OWNER_B, F_WRLCK, 10, 19));
	q = lock_wait_begin(OWNER_A, F_RDLCK, 15, 15);
	queue_is_free(q);
	ck_err(lock_and_wait(OWNER_B, F_WRLCK, 5, 30), EDEADLK);
	/* Who was refused keeps what it has, and the other waits on. */
	queue_is_free(q);
	ck_err(lock(OWNER_C, F_RDLCK, 10, 10), EAGAIN);
	ck_ok(lock(OWNER_B, F_UNLCK, 10, 19));
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(lock(OWNER_B, F_WRLCK, 15, 15), EAGAIN);
}
END_TEST

START_TEST(setlkw_in_a_circle_of_three)
{
	uint64_t first = 0, first_fh = 0;
	struct freq *a, *b;

	/* Over two files: what an owner has in one and waits for in the other. */
	setup_file();
	if (!finds_deadlocks())
		return;
	first = node;
	first_fh = fh;
	ck_ok(lock(OWNER_A, F_RDLCK, 0, 0));
	ck_ok(lock(OWNER_C, F_RDLCK, 0, 0));
	fh = tu_create(FS, TU_ROOT, "second", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(lock(OWNER_A, F_WRLCK, 1, 1));
	ck_ok(lock(OWNER_B, F_WRLCK, 2, 2));
	ck_ok(lock(OWNER_C, F_WRLCK, 3, 3));
	a = lock_wait_begin(OWNER_A, F_WRLCK, 2, 2);
	b = lock_wait_begin(OWNER_B, F_WRLCK, 3, 3);
	queue_is_free(a);
	queue_is_free(b);
	node = first;
	fh = first_fh;
	ck_err(lock_and_wait(OWNER_C, F_WRLCK, 0, 0), EDEADLK);
	ck_assert(!a->vq.done && !b->vq.done);
	/* A shared lock is not in the way of another. */
	ck_ok(lock_and_wait(OWNER_C, F_RDLCK, 0, 5));
	ck_ok(fs_interrupt(FS, b->vq.unique));
	ck_err(fs_wait(b), EINTR);
	ck_ok(fs_interrupt(FS, a->vq.unique));
	ck_err(fs_wait(a), EINTR);
	fs_free(a);
	fs_free(b);
}
END_TEST

START_TEST(setlkw_in_a_row_is_no_circle)
{
	struct freq *b, *c;

	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	ck_ok(lock(OWNER_B, F_WRLCK, 10, 19));
	c = lock_wait_begin(OWNER_C, F_WRLCK, 0, 19);
	b = lock_wait_begin(OWNER_B, F_WRLCK, 0, 9);
	queue_is_free(b);
	queue_is_free(c);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, 9));
	ck_ok(fs_wait(b));
	queue_is_free(c);
	ck_ok(lock(OWNER_B, F_UNLCK, 0, END_OF_FILE));
	ck_ok(fs_wait(c));
	fs_free(b);
	fs_free(c);
}
END_TEST

/* The waiter's process dies: its file is flushed and released. */
START_TEST(setlkw_ends_with_its_owner)
{
	struct hostlock h;
	struct freq *q;
	int err;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = lock_wait_begin(OWNER_A, F_WRLCK, 0, 9);
	queue_is_free(q);
	ck_ok(fs_flush(FS, node, fh, OWNER_A));
	ck_ok(fs_release(FS, node, fh, O_RDWR, 0, OWNER_A));
	err = fs_wait(q);
	ck_assert_msg(err < 0 && err != FS_BROKEN, "SETLKW: %s", tu_error(err));
	fs_free(q);
	hostlock_drop(&h);
	/* And it must not be granted afterwards to one who is gone. */
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(setlkw_interrupted)
{
	struct hostlock h;
	struct freq *q;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = lock_wait_begin(OWNER_A, F_WRLCK, 0, 9);
	queue_is_free(q);
	ck_ok(fs_interrupt(FS, q->vq.unique));
	ck_err(fs_wait(q), EINTR);
	fs_free(q);
	hostlock_drop(&h);
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	/* INTERRUPT of what is not there is ignored. */
	ck_ok(fs_interrupt(FS, 0x7777777777ull));
}
END_TEST

/* As many waiters as a server may have threads, and more. */
START_TEST(many_waiters)
{
	struct freq *q[100];
	struct hostlock h;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	for (unsigned int i = 0; i < 100; i++)
		q[i] = lock_wait_begin(OWNER_A + i, F_RDLCK, i, i);
	queue_is_free(q[0]);
	hostlock_drop(&h);
	for (unsigned int i = 0; i < 100; i++) {
		ck_ok(fs_wait(q[i]));
		fs_free(q[i]);
	}
}
END_TEST

/* The guest hangs up with a lock waiting: the daemon must end all the same. */
START_TEST(disconnect_with_a_waiter)
{
	struct hostlock h;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	queue_is_free(lock_wait_begin(OWNER_A, F_WRLCK, 0, 9));
	tu_stop(&env);
	hostlock_drop(&h);
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(flush_drops_posix_locks)
{
	setup_file();
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	ck_ok(lock(OWNER_B, F_WRLCK, 10, 19));
	ck_ok(fs_flush(FS, node, fh, OWNER_A));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 10));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 10, 1), EAGAIN);
	ck_ok(fs_flush(FS, node, fh, OWNER_B));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

/* As hostlock_try() for all of a range, without a process for it: this one holds no locks. */
static void ck_host_sees_no_lock(int fd, off_t len)
{
	struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = len };

	ck_assert_int_eq(fcntl(fd, F_GETLK, &f), 0);
	ck_assert_int_eq(f.l_type, F_UNLCK);
}

/*
 * One thread closes the file while others of its process lock it. What the
 * process had before it closed ends, whatever comes in between; what was
 * granted meanwhile its kernel undoes, as on a local file.
 */
START_TEST(flush_against_setlk)
{
	enum { N = 24, ROUNDS = 300 };
	struct fuse_file_lock lk = { .type = F_WRLCK };
	struct fuse_flush_in fl = { .lock_owner = OWNER_A };
	struct hostlock h;
	struct freq *q[N + 1];
	int fd;

	setup_file();
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	fl.fh = fh;
	/* An owner that is in use for long: it waits for a lock. */
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_POSIX, F_WRLCK, 20, 10));
	q[0] = lock_wait_begin(OWNER_A, F_WRLCK, 20, 29);
	queue_is_free(q[0]);
	ck_ok(fs_flush(FS, node, fh, OWNER_A));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 10));
	hostlock_drop(&h);
	ck_ok(fs_wait(q[0]));
	fs_free(q[0]);
	ck_ok(lock(OWNER_A, F_UNLCK, 0, END_OF_FILE));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	/* And owners that are for a moment, again and again. */
	for (unsigned int round = 0; round < ROUNDS; round++) {
		FS->queue = DEV_REQUEST;
		ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
		for (unsigned int i = 0; i <= N; i++) {
			FS->queue = DEV_REQUEST + i % (env.dev.nrings - 1);
			if (i == N / 2) {
				q[i] = fs_new(FS, FUSE_FLUSH, node, sizeof(fl), 0);
				ck_assert_ptr_nonnull(q[i]);
				fs_put(q[i], &fl, sizeof(fl));
				ck_ok(fs_submit(q[i]));
			} else {
				lk.start = lk.end = 100 + i;
				q[i] = fs_setlk_begin(FS, FUSE_SETLK, node, fh, OWNER_A, &lk, 0);
				ck_assert_ptr_nonnull(q[i]);
			}
		}
		for (unsigned int i = 0; i <= N; i++) {
			ck_ok(fs_wait(q[i]));
			fs_free(q[i]);
		}
		ck_host_sees_no_lock(fd, 10);
		ck_ok(round & 1 ? fs_flush(FS, node, fh, OWNER_A) : lock(OWNER_A, F_UNLCK, 0, END_OF_FILE));
		ck_host_sees_no_lock(fd, 0);
	}
	close(fd);
}
END_TEST

/* An OFD lock of the guest: its owner is the open file, which FLUSH and RELEASE do not name. */
START_TEST(release_drops_locks_of_its_file)
{
	uint64_t first, second;

	setup_file();
	first = fh;
	second = tu_open_file(FS, node, O_RDWR);
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	/* A process that has locked through two handles keeps what it has while one is open. */
	ck_ok(lock(OWNER_B, F_WRLCK, 10, 19));
	fh = second;
	ck_ok(lock(OWNER_B, F_WRLCK, 20, 29));
	ck_ok(fs_flush(FS, node, first, 0x77));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 10), EAGAIN);
	ck_ok(fs_release(FS, node, first, O_RDWR, 0, 0));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 10));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 10, 1), EAGAIN);
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 20, 1), EAGAIN);
	ck_ok(fs_flush(FS, node, second, OWNER_B));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

/* A shared lock needs no description that writes, and becomes one when the owner locks for writing. */
START_TEST(shared_locks_do_not_write)
{
	uint64_t rw;
	int fd;

	setup_file();
	rw = fh;
	fh = tu_open_file(FS, node, O_RDONLY);
	ck_ok(lock(OWNER_A, F_RDLCK, 0, 9));
	ck_ok(lock(OWNER_A, F_RDLCK, 30, END_OF_FILE));
	ck_ok(fs_release(FS, node, rw, O_RDWR, 0, 0));
	/* A read lease is refused while anything has the file open for writing. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* The guest does not wait for the end of what it has released. */
	for (int i = 0; i < 100 && fcntl(fd, F_SETLEASE, F_RDLCK) < 0; i++)
		usleep(10000);
	ck_assert_int_eq(fcntl(fd, F_GETLEASE), F_RDLCK);
	close(fd);
	fh = tu_open_file(FS, node, O_RDWR);
	ck_ok(lock(OWNER_A, F_WRLCK, 10, 19));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 10, 1), EAGAIN);
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 10), EAGAIN);
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_RDLCK, 0, 10));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 20, 10));
	ck_err(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 100, 1), EAGAIN);
	ck_ok(fs_flush(FS, node, fh, OWNER_A));
	ck_ok(hostlock_try(path, HOSTLOCK_POSIX, F_WRLCK, 0, 0));
}
END_TEST

static void open_second(struct env *two)
{
	static const char *const options[] = { "-o", "flock,posix_lock", NULL };

	tu_setup(two);
	strcpy(two->share, env.share);
	tu_start(two, options, NULL);
}

START_TEST(posix_between_two_guests)
{
	static struct env two;
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = END_OF_FILE };
	uint64_t node2, fh2;
	struct freq *q;

	setup_file();
	open_second(&two);
	node2 = tu_lookup(&two.fs, TU_ROOT, "file");
	fh2 = tu_open_file(&two.fs, node2, O_RDWR);
	ck_ok(lock(OWNER_A, F_WRLCK, 0, 9));
	/* The same owner number in another guest is another owner. */
	ck_err(fs_setlk(&two.fs, FUSE_SETLK, node2, fh2, OWNER_A, &lk, 0), EAGAIN);
	q = fs_setlk_begin(&two.fs, FUSE_SETLKW, node2, fh2, OWNER_A, &lk, 0);
	ck_ok(fs_getattr(&two.fs, node2, NULL, &(struct fuse_attr_out){ 0 }));
	/* A guest that is gone holds no lock. */
	tu_stop(&env);
	ck_ok(fs_wait(q));
	fs_free(q);
	tu_stop(&two);
}
END_TEST

/**
 * posix_locks_case() - POSIX record locks
 *
 * Return: the test case
 */
TCase *posix_locks_case(void)
{
	TCase *tc = tf_case("posix-locks");

	tcase_add_test(tc, posix_against_the_host);
	tcase_add_test(tc, posix_between_owners);
	tcase_add_test(tc, getlk_names_the_holder);
	tcase_add_test(tc, lock_errors);
	tcase_add_test(tc, setlkw_waits_for_the_host);
	tcase_add_test(tc, setlkw_waits_for_an_owner);
	tcase_add_test(tc, setlkw_in_a_circle_of_two);
	tcase_add_test(tc, setlkw_in_a_circle_of_three);
	tcase_add_test(tc, setlkw_in_a_row_is_no_circle);
	tcase_add_test(tc, setlkw_ends_with_its_owner);
	tcase_add_test(tc, setlkw_interrupted);
	tcase_add_test(tc, many_waiters);
	tcase_add_test(tc, disconnect_with_a_waiter);
	tcase_add_test(tc, flush_drops_posix_locks);
	tcase_add_test(tc, flush_against_setlk);
	tcase_add_test(tc, release_drops_locks_of_its_file);
	tcase_add_test(tc, shared_locks_do_not_write);
	tcase_add_test(tc, posix_between_two_guests);
	return tc;
}

static int flock_call(struct fs *fs, uint32_t opcode, uint64_t n, uint64_t h, uint32_t type)
{
	struct fuse_file_lock lk = { .end = END_OF_FILE, .type = type };

	return fs_setlk(fs, opcode, n, h, OWNER_A, &lk, FUSE_LK_FLOCK);
}

START_TEST(flock_against_the_host)
{
	struct hostlock h;

	setup_file();
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_WRLCK));
	ck_err(hostlock_try(path, HOSTLOCK_FLOCK, F_RDLCK, 0, 0), EAGAIN);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_RDLCK));
	ck_ok(hostlock_try(path, HOSTLOCK_FLOCK, F_RDLCK, 0, 0));
	ck_err(hostlock_try(path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0), EAGAIN);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_UNLCK));
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	ck_err(flock_call(FS, FUSE_SETLK, node, fh, F_RDLCK), EAGAIN);
	hostlock_drop(&h);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_RDLCK));
}
END_TEST

/* A flock belongs to the open file, not to a lock owner. */
START_TEST(flock_between_handles)
{
	uint64_t fh2;

	setup_file();
	fh2 = tu_open_file(FS, node, O_RDONLY);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_WRLCK));
	ck_err(flock_call(FS, FUSE_SETLK, node, fh2, F_WRLCK), EAGAIN);
	ck_ok(fs_release(FS, node, fh, O_RDWR, FUSE_RELEASE_FLOCK_UNLOCK, OWNER_A));
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh2, F_WRLCK));
	ck_ok(fs_release(FS, node, fh2, O_RDONLY, FUSE_RELEASE_FLOCK_UNLOCK, OWNER_A));
	ck_ok(hostlock_try(path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
}
END_TEST

static struct freq *flock_begin(struct fs *fs, uint64_t n, uint64_t h)
{
	struct fuse_file_lock lk = { .end = END_OF_FILE, .type = F_WRLCK };
	struct freq *q = fs_setlk_begin(fs, FUSE_SETLKW, n, h, OWNER_A, &lk, FUSE_LK_FLOCK);

	ck_assert_ptr_nonnull(q);
	return q;
}

START_TEST(flock_waits)
{
	struct hostlock h;
	struct freq *q;
	int err;

	setup_file();
	ck_ok(hostlock_hold(&h, path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	q = flock_begin(FS, node, fh);
	queue_is_free(q);
	hostlock_drop(&h);
	ck_ok(fs_wait(q));
	fs_free(q);
	ck_err(hostlock_try(path, HOSTLOCK_FLOCK, F_RDLCK, 0, 0), EAGAIN);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_UNLCK));

	ck_ok(hostlock_hold(&h, path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	q = flock_begin(FS, node, fh);
	queue_is_free(q);
	ck_ok(fs_release(FS, node, fh, O_RDWR, FUSE_RELEASE_FLOCK_UNLOCK, OWNER_A));
	err = fs_wait(q);
	ck_assert_msg(err < 0 && err != FS_BROKEN, "SETLKW: %s", tu_error(err));
	fs_free(q);
	hostlock_drop(&h);
	ck_ok(hostlock_try(path, HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
}
END_TEST

START_TEST(flock_between_two_guests)
{
	static struct env two;
	uint64_t node2, fh2;
	struct freq *q;

	setup_file();
	open_second(&two);
	node2 = tu_lookup(&two.fs, TU_ROOT, "file");
	fh2 = tu_open_file(&two.fs, node2, O_RDWR);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_WRLCK));
	ck_err(flock_call(&two.fs, FUSE_SETLK, node2, fh2, F_RDLCK), EAGAIN);
	q = flock_begin(&two.fs, node2, fh2);
	ck_ok(fs_getattr(&two.fs, node2, NULL, &(struct fuse_attr_out){ 0 }));
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_UNLCK));
	ck_ok(fs_wait(q));
	fs_free(q);
	tu_stop(&two);
	ck_ok(flock_call(FS, FUSE_SETLK, node, fh, F_WRLCK));
}
END_TEST

/**
 * flock_case() - flock(2) locks
 *
 * Return: the test case
 */
TCase *flock_case(void)
{
	TCase *tc = tf_case("flock");

	tcase_add_test(tc, flock_against_the_host);
	tcase_add_test(tc, flock_between_handles);
	tcase_add_test(tc, flock_waits);
	tcase_add_test(tc, flock_between_two_guests);
	return tc;
}
