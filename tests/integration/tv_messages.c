/*
 * test-vhost: what is negotiated, and messages in the orders that real front
 * ends send them.
 */
#define _GNU_SOURCE 1
#include <sys/eventfd.h>

#include "test-vhost.h"

static void negotiate(const struct dev_config *cfg)
{
	int fd;

	tu_daemon(&env, NULL);
	fd = daemon_connect(&env.d, env.socket);
	ck_ok(fd);
	env.connected = true;
	ck_ok(dev_negotiate(&env.dev, fd, cfg));
	fs_init(FS, &env.dev);
}

START_TEST(offered_features)
{
	static const struct dev_config cfg;
	uint64_t must = VU_BIT(VU_F_VERSION_1) | VU_BIT(VU_F_INDIRECT) | VU_BIT(VU_F_EVENT_IDX) |
			VU_BIT(VU_F_PROTOCOL_FEATURES);
	uint64_t must_proto = VU_BIT(VU_P_MQ) | VU_BIT(VU_P_REPLY_ACK) |
			      VU_BIT(VU_P_CONFIGURE_MEM_SLOTS) | VU_BIT(VU_P_RESET_DEVICE) |
			      VU_BIT(VU_P_INFLIGHT_SHMFD);
	uint64_t slots;

	negotiate(&cfg);
	ck_assert_uint_eq(env.dev.offered & must, must);
	/* Packed rings and in-order completion are not what this device does. */
	ck_assert_uint_eq(env.dev.offered & (VU_BIT(34) | VU_BIT(35)), 0);
	ck_assert_uint_eq(env.dev.offered_proto & must_proto, must_proto);
	/* QEMU 7.1 to 8.0 crash at CONFIG, so it needs --tag. */
	ck_assert_uint_eq(env.dev.offered_proto & VU_BIT(VU_P_CONFIG), 0);
	/* Hiprio and at least 64 request queues. */
	ck_assert_uint_ge(env.dev.queue_num, 65);
	ck_ok(vu_get_max_mem_slots(VU, &slots));
	ck_assert_uint_ge(slots, 32);
}
END_TEST

START_TEST(messages_repeated)
{
	static const struct dev_config cfg = { .request_queues = 2 };
	uint64_t v;

	tu_start(&env, NULL, &cfg);
	for (int i = 0; i < 3; i++) {
		ck_ok(vu_get_features(VU, &v));
		ck_assert_uint_eq(v, env.dev.offered);
		ck_ok(vu_get_protocol_features(VU, &v));
		ck_assert_uint_eq(v, env.dev.offered_proto);
		ck_ok(vu_get_queue_num(VU, &v));
		ck_assert_uint_eq(v, env.dev.queue_num);
		ck_assert_int_eq(vu_set_features(VU, VU->features), 0);
		ck_assert_int_eq(vu_set_protocol_features(VU, VU->proto), 0);
		ck_assert_int_eq(vu_set_vring_enable(VU, 1, 1), 0);
		tu_exercise(FS, "file");
	}
}
END_TEST

/* Without NEED_REPLY nothing may be answered; the next answer shows it. */
START_TEST(no_reply_unless_wanted)
{
	static const struct dev_config cfg = { .no_ack = true };
	uint64_t v;

	tu_start(&env, NULL, &cfg);
	ck_assert_int_eq(vu_set_vring_enable(VU, 1, 1), 0);
	ck_assert_int_eq(vu_set_owner(VU), 0);
	ck_ok(vu_get_features(VU, &v));
	/* An error without NEED_REPLY is silent as well. */
	ck_assert_int_eq(vu_set_vring_num(VU, 200, 3), 0);
	ck_ok(vu_get_features(VU, &v));
	ck_assert_uint_eq(v, env.dev.offered);
	tu_exercise(FS, "file");
}
END_TEST

/* QEMU 11.1: descriptors before memory, RESET_DEVICE twice before the start. */
START_TEST(order_of_qemu_11)
{
	static const struct dev_config cfg = { .request_queues = 2, .add_mem_reg = true };
	struct vudev *dev = &env.dev;

	negotiate(&cfg);
	for (unsigned int i = 0; i < 3; i++) {
		struct ring *r = &dev->rings[i];

		ck_ok(ring_init(r, &dev->mem, -1, i, 128, false));
		r->indirect = VU->features & VU_BIT(VU_F_INDIRECT);
		r->event_idx = VU->features & VU_BIT(VU_F_EVENT_IDX);
		r->conn_fd = VU->fd;
		dev->nrings = i + 1;
		ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_CALL, i, r->call_peer), 0);
		ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_ERR, i, r->err_fd), 0);
	}
	if (VU->proto & VU_BIT(VU_P_RESET_DEVICE)) {
		ck_assert_int_eq(vu_reset_device(VU), 0);
		ck_assert_int_eq(vu_reset_device(VU), 0);
	}
	ck_assert_int_eq(vu_set_features(VU, VU->features), 0);
	ck_ok(dev_set_memory(dev));
	for (unsigned int i = 0; i < 3; i++)
		ck_ok(dev_setup_ring(dev, i, 0));
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(vu_set_vring_enable(VU, i, 1), 0);
	tu_init(&env);
	tu_exercise(FS, "file");
}
END_TEST

/* user-mode-linux: a table longer than its count needs; on, off, on. */
START_TEST(order_of_user_mode_linux)
{
	static const struct dev_config cfg = { .regions = 1, .call_socketpair = true };
	struct vudev *dev = &env.dev;

	negotiate(&cfg);
	ck_assert_int_eq(vu_set_mem_table(VU, &dev->mem.regions[0].wire, &dev->mem.regions[0].fd, 1,
					  sizeof(struct vu_region)), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct ring *r = &dev->rings[i];

		ck_ok(ring_init(r, &dev->mem, -1, i, 256, true));
		r->indirect = VU->features & VU_BIT(VU_F_INDIRECT);
		r->event_idx = VU->features & VU_BIT(VU_F_EVENT_IDX);
		r->conn_fd = VU->fd;
		dev->nrings = i + 1;
		ck_ok(dev_setup_ring(dev, i, 0));
		ck_assert_int_eq(vu_set_vring_enable(VU, i, 1), 0);
		ck_assert_int_eq(vu_set_vring_enable(VU, i, 0), 0);
		ck_assert_int_eq(vu_set_vring_enable(VU, i, 1), 0);
	}
	tu_init(&env);
	tu_exercise(FS, "file");
}
END_TEST

/* A ring's messages may come in any order before its first kick. */
START_TEST(ring_messages_shuffled)
{
	static const struct dev_config cfg = { .regions = 1 };
	static const char *const orders[] = { "nbacrke", "abnrcke", "ecrabnk", "crnabek", "rbancek" };
	struct vudev *dev = &env.dev;
	const char *order = orders[_i];

	negotiate(&cfg);
	ck_ok(dev_set_memory(dev));
	for (unsigned int i = 0; i < 2; i++) {
		struct ring *r = &dev->rings[i];
		struct vu_ring_addr addr = { .index = i };

		ck_ok(ring_init(r, &dev->mem, -1, i, 64, false));
		r->indirect = VU->features & VU_BIT(VU_F_INDIRECT);
		r->event_idx = VU->features & VU_BIT(VU_F_EVENT_IDX);
		r->conn_fd = VU->fd;
		dev->nrings = i + 1;
		addr.desc = gmem_uaddr(&dev->mem, r->desc_gpa);
		addr.avail = gmem_uaddr(&dev->mem, r->avail_gpa);
		addr.used = gmem_uaddr(&dev->mem, r->used_gpa);
		for (const char *m = order; *m; m++) {
			int err = 0;

			if (*m == 'n')
				err = vu_set_vring_num(VU, i, 64);
			else if (*m == 'b')
				err = vu_set_vring_base(VU, i, 0);
			else if (*m == 'a')
				err = vu_set_vring_addr(VU, &addr);
			else if (*m == 'c')
				err = vu_set_vring_fd(VU, VU_SET_VRING_CALL, i, r->call_peer);
			else if (*m == 'r')
				err = vu_set_vring_fd(VU, VU_SET_VRING_ERR, i, r->err_fd);
			else if (*m == 'k')
				err = vu_set_vring_fd(VU, VU_SET_VRING_KICK, i, r->kick_fd);
			else
				err = vu_set_vring_enable(VU, i, 1);
			ck_assert_msg(err == 0, "'%c' of \"%s\": %d", *m, order, err);
		}
	}
	tu_init(&env);
	tu_exercise(FS, "file");
}
END_TEST

/* New descriptors for a running ring: the old ones mean nothing any more. */
START_TEST(descriptors_replaced)
{
	struct ring *r;
	int fd;

	tu_start(&env, NULL, NULL);
	r = &env.dev.rings[1];
	for (int i = 0; i < 20; i++) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_CALL, 1, fd), 0);
		close(r->call_fd);
		r->call_fd = r->call_peer = fd;
		tu_exercise(FS, "file");
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_KICK, 1, fd), 0);
		close(r->kick_fd);
		r->kick_fd = fd;
		tu_exercise(FS, "file");
		ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_ERR, 1, -1), 0);
	}
}
END_TEST

/* No call descriptor: the front end polls. */
START_TEST(no_call_descriptor)
{
	struct fuse_getattr_in in = { 0 };
	struct freq *q;

	tu_start(&env, NULL, NULL);
	ck_assert_int_eq(vu_set_vring_fd(VU, VU_SET_VRING_CALL, 1, -1), 0);
	for (int i = 0; i < 100; i++) {
		q = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(in), sizeof(struct fuse_attr_out));
		fs_put(q, &in, sizeof(in));
		ck_ok(fs_submit(q));
		/* Check's own time-out ends this if no completion ever comes. */
		while (!q->vq.done)
			ring_pop(q->ring);
		ck_ok(fs_result(q));
		fs_free(q);
	}
}
END_TEST

START_TEST(reset_owner)
{
	int err;

	tu_start(&env, NULL, NULL);
	err = vu_reset_owner(VU);
	/* Deprecated: refusing it, ignoring it and disabling all rings are right. */
	ck_assert_int_ge(err, 0);
	ck_ok(vu_alive(VU));
}
END_TEST

/**
 * messages_case() - Negotiation and orders of messages
 *
 * Return: the test case
 */
TCase *messages_case(void)
{
	TCase *tc = tv_case("messages");

	tcase_add_test(tc, offered_features);
	tcase_add_test(tc, messages_repeated);
	tcase_add_test(tc, no_reply_unless_wanted);
	tcase_add_test(tc, order_of_qemu_11);
	tcase_add_test(tc, order_of_user_mode_linux);
	tcase_add_loop_test(tc, ring_messages_shuffled, 0, 5);
	tcase_add_test(tc, descriptors_replaced);
	tcase_add_test(tc, no_call_descriptor);
	tcase_add_test(tc, reset_owner);
	return tc;
}
