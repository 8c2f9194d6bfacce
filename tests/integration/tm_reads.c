/*
 * test-mounts: a host file system whose reads fail or take as long as they
 * like. Each test runs in both data paths.
 */
#define _GNU_SOURCE 1
#include <poll.h>

#include "test-mounts.h"

#define SIZE (8 * HOSTFS_PAGE)
#define GOOD (HOSTFS_GOOD_PAGES * HOSTFS_PAGE)

/* How long a reply that must not come yet is looked out for. */
#define TOO_EARLY_MS 200

static struct hostfs host;
static uint64_t node, fh;
static uint8_t buf[SIZE];

static void start(const char *file, int forwarded)
{
	static const char *const options[] = { "--data-path=forwarded", NULL };
	static const struct dev_config cfg = { .request_queues = 2 };

	ck_ok(hostfs_mount(&host, env.share));
	tu_start(&env, forwarded ? options : NULL, &cfg);
	node = tu_lookup(FS, TU_ROOT, file);
	fh = tu_open_file(FS, node, O_RDONLY);
}

static void check_bytes(const uint8_t *p, size_t len, uint64_t at)
{
	for (size_t i = 0; i < len; i++)
		ck_assert_uint_eq(p[i], hostfs_byte(at + i));
}

/*
 * The first part of what is asked for can be read, the second cannot. An answer
 * of the first part only would be the end of the file to a guest, which puts
 * zeroes after it.
 */
START_TEST(error_inside_a_read)
{
	start("bad", _i);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, GOOD, 0, O_RDONLY), GOOD);
	check_bytes(buf, GOOD, 0);
	ck_err(fs_read(FS, node, fh, buf, SIZE, 0, O_RDONLY), EIO);
	ck_err(fs_read(FS, node, fh, buf, SIZE, GOOD - 5, O_RDONLY), EIO);
	ck_err(fs_read(FS, node, fh, buf, SIZE, GOOD, O_RDONLY), EIO);
	/* The good part is as good as before. */
	ck_assert_int_eq(fs_read(FS, node, fh, buf, GOOD - 7, 7, O_RDONLY), GOOD - 7);
	check_bytes(buf, GOOD - 7, 7);
}
END_TEST

/* A read that is under way on a pool thread, in the transport or in the fsworker. */
static struct freq *read_begin(void)
{
	struct fuse_read_in in = { .fh = fh, .size = SIZE };
	struct freq *q = fs_new(FS, FUSE_READ, node, sizeof(in), SIZE);

	ck_assert_ptr_nonnull(q);
	fs_put(q, &in, sizeof(in));
	ck_ok(fs_submit(q));
	ck_ok(hostfs_wait_for_read(&host));
	return q;
}

static void no_reply_yet(void)
{
	struct pollfd p = { .fd = VU->fd, .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, TOO_EARLY_MS), 0);
}

/* The VMM is told that a ring has stopped when nothing writes into its memory any more. */
START_TEST(stop_with_a_read_under_way)
{
	struct vu_ring_state state = { .index = DEV_REQUEST };
	static struct vu_reply reply;
	struct freq *q;
	size_t len;
	void *p;

	start("slow", _i);
	q = read_begin();
	ck_ok(vu_send(VU, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0));
	no_reply_yet();
	hostfs_release(&host);
	ck_ok(vu_recv(VU, &reply));
	ck_assert_uint_eq(reply.head.request, VU_GET_VRING_BASE);
	memcpy(&state, reply.payload, sizeof(state));
	/* The read was completed before. */
	ck_assert_uint_eq(state.num, ring_used_idx(q->ring));
	ck_ok(fs_wait(q));
	p = fs_reply(q, &len);
	ck_assert_uint_eq(len, SIZE);
	check_bytes(p, SIZE, 0);
	fs_free(q);
	ck_ok(dev_start_ring(&env.dev, DEV_REQUEST, (uint16_t)state.num));
	ck_assert_int_eq(fs_read(FS, node, fh, buf, SIZE, 0, O_RDONLY), SIZE);
}
END_TEST

START_TEST(reset_with_a_read_under_way)
{
	struct fuse_attr_out a;
	struct freq *q;

	start("slow", _i);
	ck_assert(VU->proto & VU_BIT(VU_P_RESET_DEVICE));
	q = read_begin();
	ck_ok(vu_send(VU, VU_RESET_DEVICE, VU_FLAG_NEED_REPLY, NULL, 0, NULL, 0));
	no_reply_yet();
	hostfs_release(&host);
	ck_assert_int_eq(vu_wait_ack(VU, VU_RESET_DEVICE), 0);
	ck_assert_int_eq(vu_set_features(VU, VU->features), 0);
	for (unsigned int i = 0; i < env.dev.nrings; i++)
		ring_reset(&env.dev.rings[i]);
	ck_ok(dev_set_memory(&env.dev));
	for (unsigned int i = 0; i < env.dev.nrings; i++)
		ck_ok(dev_start_ring(&env.dev, i, 0));
	tu_init(&env);
	/* It is none of the new rings' business. */
	for (int i = 0; i < 100; i++)
		ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
	ck_assert(!q->vq.done);
}
END_TEST

/*
 * The VMM goes. A read that ends then meets a ring that is being freed; one
 * that never ends does not keep the daemon.
 */
START_TEST(hang_up_with_a_read_under_way)
{
	char *said;

	start("slow", _i & 1);
	read_begin();
	dev_close(&env.dev);
	fs_close(FS);
	env.connected = false;
	if (_i & 2)
		hostfs_release(&host);
	tu_expect_exit(&env, 0);
	/* Not by force. */
	said = daemon_stderr(&env.d);
	ck_assert_msg(!strstr(said, "killed"), "%s", said);
	free(said);
	daemon_close(&env.d);
}
END_TEST

/**
 * reads_case() - Reads that fail or wait
 *
 * Return: the test case
 */
TCase *reads_case(void)
{
	TCase *tc = tm_case("reads");

	tcase_add_loop_test(tc, error_inside_a_read, 0, 2);
	tcase_add_loop_test(tc, stop_with_a_read_under_way, 0, 2);
	tcase_add_loop_test(tc, reset_with_a_read_under_way, 0, 2);
	tcase_add_loop_test(tc, hang_up_with_a_read_under_way, 0, 4);
	return tc;
}
