/*
 * test-vhost: rings stopped, started, disabled and reset while in use.
 */
#define _GNU_SOURCE 1
#include <sys/eventfd.h>

#include "hostlock.h"
#include "test-vhost.h"

#define N 40
#define COUNTER_FULL 0xfffffffffffffffeull

static struct freq *q[N];

static void submit_all(void)
{
	struct fuse_getattr_in in = { 0 };

	for (unsigned int i = 0; i < N; i++) {
		q[i] = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(in), sizeof(struct fuse_attr_out));
		ck_assert_ptr_nonnull(q[i]);
		fs_put(q[i], &in, sizeof(in));
		ck_ok(fs_submit(q[i]));
	}
}

static void wait_all(void)
{
	for (unsigned int i = 0; i < N; i++) {
		ck_ok(fs_wait(q[i]));
		fs_free(q[i]);
	}
}

/*
 * Whenever a ring is stopped, what had been taken is completed and the answer
 * tells where the rest begins; each request is done exactly once in the end.
 */
START_TEST(stop_with_requests_outstanding)
{
	struct ring *r;
	uint32_t base;

	tu_start(&env, NULL, NULL);
	r = &env.dev.rings[1];
	for (int round = 0; round < 50; round++) {
		uint16_t used;

		submit_all();
		ck_ok(dev_stop_ring(&env.dev, 1, &base));
		used = ring_used_idx(r);
		ck_assert_uint_eq((uint16_t)base, used);
		ck_assert_uint_le((uint16_t)(r->avail_idx - base), N);
		/* A stopped ring is dead, kicked or not. */
		ring_kick_always(r);
		ck_ok(vu_alive(VU));
		ck_assert_uint_eq(ring_used_idx(r), used);
		ck_ok(dev_start_ring(&env.dev, 1, (uint16_t)base));
		ring_kick_always(r);
		wait_all();
	}
	tu_exercise(FS, "file");
}
END_TEST

START_TEST(vring_base_counts)
{
	uint32_t base;

	tu_start(&env, NULL, NULL);
	for (unsigned int round = 1; round <= 5; round++) {
		submit_all();
		wait_all();
		ck_ok(dev_stop_ring(&env.dev, 1, &base));
		/* One INIT came before. */
		ck_assert_uint_eq(base, round * N + 1);
		ck_ok(dev_start_ring(&env.dev, 1, (uint16_t)base));
	}
}
END_TEST

/* SET_VRING_BASE decides where a ring begins, whatever its memory says. */
START_TEST(start_at_an_odd_index)
{
	struct ring *r;
	uint32_t base;

	tu_start(&env, NULL, NULL);
	r = &env.dev.rings[1];
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	ring_reset(r);
	r->avail_idx = r->kicked_idx = r->used_idx = 65500;
	r->avail->idx = r->used->idx = 65500;
	ck_ok(dev_start_ring(&env.dev, 1, 65500));
	submit_all();
	wait_all();
	tu_exercise(FS, "file");
}
END_TEST

/* A disabled ring is not served; what waits in it is served when enabled. */
START_TEST(disable_and_enable)
{
	struct ring *r;

	tu_start(&env, NULL, NULL);
	r = &env.dev.rings[1];
	for (int round = 0; round < 50; round++) {
		ck_assert_int_eq(vu_set_vring_enable(VU, 1, 0), 0);
		submit_all();
		ring_kick_always(r);
		ck_ok(vu_alive(VU));
		ck_assert_uint_eq(ring_used_idx(r), r->used_idx);
		ck_assert_int_eq(vu_set_vring_enable(VU, 1, 1), 0);
		wait_all();
	}
}
END_TEST

/* The driver fills a ring before the device is told that it exists. */
START_TEST(requests_before_the_start)
{
	struct ring *r;
	uint32_t base;

	tu_start(&env, NULL, NULL);
	r = &env.dev.rings[1];
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	submit_all();
	ring_kick_always(r);
	ck_ok(dev_start_ring(&env.dev, 1, (uint16_t)base));
	wait_all();
}
END_TEST

/* A guest reboots: reset, new rings, new session, the same connection. */
START_TEST(reset_and_start_again)
{
	static const struct dev_config cfg = { .request_queues = 3 };
	struct fuse_attr_out a;
	uint64_t node;

	tu_start(&env, NULL, &cfg);
	if (!(VU->proto & VU_BIT(VU_P_RESET_DEVICE)))
		return;
	for (int round = 0; round < 10; round++) {
		tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
		if (round & 1) {
			/* Politely: stop the rings first, as QEMU does. */
			for (unsigned int i = 0; i < env.dev.nrings; i++) {
				uint32_t base;

				ck_ok(dev_stop_ring(&env.dev, i, &base));
			}
		}
		ck_assert_int_eq(vu_reset_device(VU), 0);
		ck_assert_int_eq(vu_set_features(VU, VU->features), 0);
		for (unsigned int i = 0; i < env.dev.nrings; i++)
			ring_reset(&env.dev.rings[i]);
		ck_ok(dev_set_memory(&env.dev));
		for (unsigned int i = 0; i < env.dev.nrings; i++)
			ck_ok(dev_start_ring(&env.dev, i, 0));
		tu_init(&env);
		ck_err(fs_getattr(FS, node, NULL, &a), ESTALE);
		for (unsigned int i = 1; i < env.dev.nrings; i++) {
			FS->queue = i;
			tu_exercise(FS, "other");
		}
		FS->queue = 1;
	}
}
END_TEST

static struct freq *lock_begin(uint64_t node, uint64_t fh, uint64_t owner)
{
	struct fuse_file_lock lk = { .end = 9, .type = F_WRLCK };
	struct freq *lock = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, owner, &lk, 0);

	ck_assert_ptr_nonnull(lock);
	return lock;
}

/*
 * No stop waits for a lock that may never come. When the VM goes on, the very
 * same ring has the answer, be it from while it stood still or from later.
 */
START_TEST(restart_with_a_lock_waiting)
{
	static const char *const options[] = { "-o", "posix_lock", NULL };
	struct hostlock h;
	struct freq *lock;
	uint64_t node, fh;
	uint32_t base;

	tu_start(&env, options, NULL);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(hostlock_hold(&h, tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	submit_all();
	lock = lock_begin(node, fh, 1);
	wait_all();
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	if (_i == 0)
		hostlock_drop(&h);
	ck_ok(vu_alive(VU));
	ck_ok(dev_start_ring(&env.dev, 1, (uint16_t)base));
	submit_all();
	wait_all();
	if (_i == 1)
		hostlock_drop(&h);
	ck_ok(fs_wait(lock));
	fs_free(lock);
	ck_err(hostlock_try(tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 1), EAGAIN);
	/* A second answer would be that of a head that is not in flight. */
	tu_exercise(FS, "other");
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	ck_assert_uint_eq(base, ring_used_idx(&env.dev.rings[1]));
	ck_assert_uint_eq(base, env.dev.rings[1].used_idx);
}
END_TEST

/*
 * A ring of another size is another ring, even if it goes on at the same index:
 * the head that waited means nothing there. Its lock is called off, and one
 * that is asked for in the new ring is answered there, once.
 */
START_TEST(another_size_with_a_lock_waiting)
{
	static const char *const options[] = { "-o", "posix_lock", NULL };
	static const unsigned int sizes[] = { 16, 256 };
	struct ring *r = &env.dev.rings[1];
	struct freq *old, *lock;
	struct hostlock h;
	uint64_t node, fh;
	uint32_t base;

	tu_start(&env, options, NULL);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(hostlock_hold(&h, tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	/* Its head is beyond the smaller ring. */
	submit_all();
	old = lock_begin(node, fh, 1);
	ck_assert_uint_gt(old->vq.head, 16);
	wait_all();
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	ring_close(r);
	ck_ok(ring_init(r, &env.dev.mem, -1, 1, sizes[_i], false));
	r->conn_fd = VU->fd;
	r->indirect = r->event_idx = true;
	r->avail_idx = r->kicked_idx = r->used_idx = (uint16_t)base;
	r->avail->idx = r->used->idx = (uint16_t)base;
	ck_ok(dev_start_ring(&env.dev, 1, (uint16_t)base));
	lock = lock_begin(node, fh, 2);
	tu_exercise(FS, "other");
	ck_assert(!lock->vq.done);
	hostlock_drop(&h);
	ck_ok(fs_wait(lock));
	tu_exercise(FS, "other");
	ck_assert(!old->vq.done);
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	ck_assert_uint_eq(base, ring_used_idx(r));
	ck_assert_uint_eq(base, r->used_idx);
}
END_TEST

/* Features may change from one start to the next. */
START_TEST(features_change)
{
	uint64_t all, less;
	uint32_t base;

	tu_start(&env, NULL, NULL);
	all = VU->features;
	less = all & ~(VU_BIT(VU_F_EVENT_IDX) | VU_BIT(VU_F_INDIRECT));
	for (int round = 0; round < 6; round++) {
		for (unsigned int i = 0; i < env.dev.nrings; i++)
			ck_ok(dev_stop_ring(&env.dev, i, &base));
		ck_assert_int_eq(vu_set_features(VU, round & 1 ? all : less), 0);
		for (unsigned int i = 0; i < env.dev.nrings; i++) {
			ring_reset(&env.dev.rings[i]);
			env.dev.rings[i].event_idx = round & 1;
			env.dev.rings[i].indirect = round & 1;
			ck_ok(dev_start_ring(&env.dev, i, 0));
		}
		tu_init(&env);
		tu_exercise(FS, "file");
	}
}
END_TEST

/* Hanging up in the middle of work ends the daemon, cleanly and soon. */
START_TEST(disconnect_under_load)
{
	tu_start(&env, NULL, NULL);
	submit_all();
	tu_stop(&env);
}
END_TEST

/* Make an eventfd such that the next write to it blocks. */
static void fill_counter(int fd)
{
	uint64_t count, full = COUNTER_FULL;

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	(void)!read(fd, &count, sizeof(count));
	ck_assert_int_eq(write(fd, &full, sizeof(full)), sizeof(full));
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
}

/*
 * A VMM whose call descriptor takes no more: the ring's thread hangs in it, at
 * once or when it has an answer. That must not keep the daemon when the VMM
 * goes.
 */
START_TEST(disconnect_with_a_full_call)
{
	int call = eventfd(0, EFD_CLOEXEC);
	struct ring *r = &env.dev.rings[1];
	char *said;

	ck_assert_int_ge(call, 0);
	tu_start(&env, NULL, NULL);
	if (_i == 0) {
		fill_counter(call);
		/* There will be no reply to it. */
		VU->want_ack = false;
		ck_ok(vu_set_vring_fd(VU, VU_SET_VRING_CALL, 1, call));
	} else {
		uint16_t before = ring_used_idx(r);

		ck_ok(vu_set_vring_fd(VU, VU_SET_VRING_CALL, 1, call));
		fill_counter(call);
		ck_assert(ring_arm(r));
		submit_all();
		for (int ms = 0; ring_used_idx(r) == before; ms++) {
			ck_assert_int_le(ms, vuf_timeout_ms());
			usleep(1000);
		}
	}
	dev_close(&env.dev);
	fs_close(FS);
	env.connected = false;
	tu_expect_exit(&env, 0);
	/* Not by force. */
	said = daemon_stderr(&env.d);
	ck_assert_msg(!strstr(said, "killed"), "%s", said);
	free(said);
	daemon_close(&env.d);
	close(call);
}
END_TEST

/* Hanging up before anything was said, and after each step of the start. */
START_TEST(disconnect_early)
{
	static const struct dev_config cfg;
	int fd;

	tu_daemon(&env, NULL);
	fd = daemon_connect(&env.d, env.socket);
	ck_ok(fd);
	if (_i == 0) {
		close(fd);
	} else {
		ck_ok(dev_negotiate(&env.dev, fd, &cfg));
		if (_i == 2)
			ck_ok(dev_set_memory(&env.dev));
		if (_i == 3)
			ck_ok(dev_start(&env.dev));
		dev_close(&env.dev);
	}
	tu_expect_exit(&env, 0);
}
END_TEST

/**
 * lifecycle_case() - Stop, start, reset
 *
 * Return: the test case
 */
TCase *lifecycle_case(void)
{
	TCase *tc = tv_case("lifecycle");

	tcase_add_test(tc, stop_with_requests_outstanding);
	tcase_add_test(tc, vring_base_counts);
	tcase_add_test(tc, start_at_an_odd_index);
	tcase_add_test(tc, disable_and_enable);
	tcase_add_test(tc, requests_before_the_start);
	tcase_add_test(tc, reset_and_start_again);
	tcase_add_loop_test(tc, restart_with_a_lock_waiting, 0, 2);
	tcase_add_loop_test(tc, another_size_with_a_lock_waiting, 0, 2);
	tcase_add_test(tc, features_change);
	tcase_add_test(tc, disconnect_under_load);
	tcase_add_loop_test(tc, disconnect_with_a_full_call, 0, 2);
	tcase_add_loop_test(tc, disconnect_early, 0, 4);
	return tc;
}
