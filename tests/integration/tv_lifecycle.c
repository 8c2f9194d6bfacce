/*
 * test-vhost: rings stopped, started, disabled and reset while in use.
 */
#define _GNU_SOURCE 1
#include "test-vhost.h"

#define N 40

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
	tcase_add_test(tc, features_change);
	tcase_add_test(tc, disconnect_under_load);
	tcase_add_loop_test(tc, disconnect_early, 0, 4);
	return tc;
}
