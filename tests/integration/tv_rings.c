/*
 * test-vhost: rings of every size and kind, and many of them.
 */
#define _GNU_SOURCE 1
#include "test-vhost.h"

#define DEPTH 64

/* Small requests, many in flight on one ring, n in all. */
static void burst(struct fs *fs, unsigned int n)
{
	struct freq *q[DEPTH] = { NULL };
	struct fuse_getattr_in in = { 0 };
	unsigned int started = 0, finished = 0, at = 0;

	while (finished < n) {
		struct freq **slot = &q[at++ % DEPTH];

		if (*slot) {
			ck_ok(fs_wait(*slot));
			fs_free(*slot);
			*slot = NULL;
			finished++;
		}
		if (started < n) {
			int err;

			*slot = fs_new(fs, FUSE_GETATTR, TU_ROOT, sizeof(in),
				       sizeof(struct fuse_attr_out));
			ck_assert_ptr_nonnull(*slot);
			fs_put(*slot, &in, sizeof(in));
			err = fs_submit(*slot);
			if (err == -EAGAIN) {
				fs_free(*slot);
				*slot = NULL;
				continue;
			}
			ck_ok(err);
			started++;
		}
	}
}

START_TEST(queue_sizes)
{
	struct dev_config cfg = { .queue_size = 1u << _i };

	tu_daemon(&env, NULL);
	tu_open(&env, &cfg);
	if (cfg.queue_size < 16)
		FS->chunk = UINT32_MAX;
	tu_init(&env);
	tu_exercise(FS, "file");
	burst(FS, 2000);
}
END_TEST

/* More than the 1024 entries that are asked for: refused cleanly, or works. */
START_TEST(larger_queues)
{
	struct dev_config cfg = { .regions = 1 };
	int fd, err;

	tu_daemon(&env, NULL);
	fd = daemon_connect(&env.d, env.socket);
	ck_ok(fd);
	env.connected = true;
	ck_ok(dev_negotiate(&env.dev, fd, &cfg));
	err = vu_set_vring_num(VU, 1, 1u << _i);
	ck_assert_int_ge(err, 0);
	if (err == 0) {
		env.dev.cfg.queue_size = 1u << _i;
		ck_ok(dev_start(&env.dev));
		fs_init(FS, &env.dev);
		tu_init(&env);
		tu_exercise(FS, "file");
		burst(FS, 2000);
	}
	ck_ok(vu_alive(VU));
}
END_TEST

/* Each combination of what a front end may choose. */
START_TEST(feature_matrix)
{
	struct dev_config cfg = {
		.no_indirect = _i & 1,
		.no_event_idx = _i & 2,
		.call_socketpair = _i & 4,
		.add_mem_reg = _i & 8,
		.no_ack = _i & 16,
		.queue_size = 256,
		.regions = _i & 32 ? 1 : 5,
	};

	tu_start(&env, NULL, &cfg);
	for (int i = 0; i < 10; i++)
		tu_exercise(FS, "file");
	burst(FS, 3000);
	tu_exercise(FS, "file");
}
END_TEST

/* Indexes are 16 bits wide and go round. */
START_TEST(index_wraps)
{
	struct dev_config cfg = { .no_event_idx = _i & 1, .queue_size = 64 };
	uint32_t base;

	tu_start(&env, NULL, &cfg);
	burst(FS, 70000);
	tu_exercise(FS, "file");
	ck_ok(dev_stop_ring(&env.dev, 1, &base));
	ck_assert_uint_eq(base, env.dev.rings[1].avail_idx);
}
END_TEST

START_TEST(many_queues)
{
	static const unsigned int counts[] = { 1, 2, 3, 8, 64 };
	struct dev_config cfg = { .request_queues = counts[_i], .queue_size = 64 };
	char name[16];

	tu_start(&env, NULL, &cfg);
	ck_assert_uint_eq(env.dev.nrings, counts[_i] + 1);
	for (unsigned int i = 1; i < env.dev.nrings; i++) {
		FS->queue = i;
		snprintf(name, sizeof(name), "file-%u", i);
		tu_exercise(FS, name);
		burst(FS, 200);
	}
}
END_TEST

/* A front end that uses fewer rings than there are: the rest do not exist. */
START_TEST(one_ring_only)
{
	static const struct dev_config cfg = { .request_queues = 3 };
	struct vudev *dev = &env.dev;
	uint32_t base;

	tu_start(&env, NULL, &cfg);
	/* Rings may be stopped in any order, the hiprio ring as well. */
	ck_ok(dev_stop_ring(dev, 0, &base));
	ck_ok(dev_stop_ring(dev, 2, &base));
	FS->queue = 3;
	burst(FS, 100);
	FS->queue = 1;
	burst(FS, 100);
	ck_ok(dev_start_ring(dev, 0, 0));
	ck_ok(dev_start_ring(dev, 2, (uint16_t)base));
	FS->queue = 2;
	tu_exercise(FS, "file");
}
END_TEST

/*
 * With EVENT_IDX both sides save notifications under load. How many is a
 * matter of speed, but every completion must be seen with none of them lost.
 */
START_TEST(nothing_is_lost)
{
	struct dev_config cfg = { .no_event_idx = _i & 1, .request_queues = 2 };

	tu_start(&env, NULL, &cfg);
	for (int i = 0; i < 30; i++) {
		FS->queue = 1 + (unsigned int)i % (env.dev.nrings - 1);
		burst(FS, 1);
		burst(FS, 500);
	}
}
END_TEST

/* The hiprio ring is served while all request rings have waiting requests. */
START_TEST(hiprio_is_never_blocked)
{
	static const char *const options[] = { "-o", "posix_lock", NULL };
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	uint64_t node, fh;
	struct freq *q;

	tu_start(&env, options, NULL);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, 2, &lk, 0);
	for (int i = 0; i < 50; i++)
		ck_ok(fs_forget(FS, 0x123456, 1));
	lk.type = F_UNLCK;
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	ck_ok(fs_wait(q));
	fs_free(q);
}
END_TEST

/**
 * rings_case() - Sizes, numbers and features of rings
 *
 * Return: the test case
 */
TCase *rings_case(void)
{
	TCase *tc = tv_case("rings");

	tcase_add_loop_test(tc, queue_sizes, 1, 11);
	tcase_add_loop_test(tc, larger_queues, 11, 16);
	tcase_add_loop_test(tc, feature_matrix, 0, 64);
	tcase_add_loop_test(tc, index_wraps, 0, 2);
	tcase_add_loop_test(tc, many_queues, 0, 5);
	tcase_add_test(tc, one_ring_only);
	tcase_add_loop_test(tc, nothing_is_lost, 0, 2);
	tcase_add_test(tc, hiprio_is_never_blocked);
	return tc;
}
