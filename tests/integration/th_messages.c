/*
 * test-hostile: vhost-user messages that break the rules.
 *
 * Those whose frame is right must be refused (seen by NEED_REPLY) with the
 * connection kept; where the frame itself is broken nobody knows where the
 * next message begins, so the daemon may hang up as well, but then it must end
 * as if the VMM had gone: by itself and not by a signal.
 */
#define _GNU_SOURCE 1
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "test-hostile.h"

#define MAX_FDS 200

static void expect_refusal(uint32_t request, const void *payload, uint32_t size, const int *fds,
			   unsigned int nfds)
{
	int err;

	ck_ok(vu_send(VU, request, VU_FLAG_NEED_REPLY, payload, size, fds, nfds));
	err = vu_wait_ack(VU, request);
	ck_assert_msg(err == VU_REFUSED, "message %u of %u bytes with %u descriptors: %s", request,
		      size, nfds, err ? tu_error(err) : "accepted");
	ck_ok(vu_alive(VU));
}

/* Accepted or refused, but answered. */
static void expect_answer(uint32_t request, const void *payload, uint32_t size, const int *fds,
			  unsigned int nfds)
{
	ck_ok(vu_send(VU, request, VU_FLAG_NEED_REPLY, payload, size, fds, nfds));
	ck_ok(vu_wait_ack(VU, request));
	ck_ok(vu_alive(VU));
}

/*
 * After bytes that are no message: the daemon may go on, or hang up and end.
 * Only in the first case can the fixture look for health.
 */
static void expect_life_or_end(void)
{
	int err = vu_alive(VU);
	int status;

	if (!err)
		return;
	ck_assert_msg(err == -ECONNRESET || err == -EPIPE || err == -EPROTO, "%s", tu_error(err));
	dev_close(&env.dev);
	fs_close(FS);
	env.connected = false;
	status = daemon_wait(&env.d, vuf_timeout_ms());
	ck_assert_msg(status >= 0 && status < 128, "the daemon ended with %d", status);
	env.running = false;
}

static void any_fds(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
}

static void close_fds(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

/* Requests whose payload has one right size. */
static const struct {
	uint32_t request;
	uint32_t size;
} sized[] = {
	{ VU_SET_FEATURES, 8 },	       { VU_SET_PROTOCOL_FEATURES, 8 },
	{ VU_SET_VRING_NUM, 8 },       { VU_SET_VRING_ADDR, 40 },
	{ VU_SET_VRING_BASE, 8 },      { VU_SET_VRING_KICK, 8 },
	{ VU_SET_VRING_CALL, 8 },      { VU_SET_VRING_ERR, 8 },
	{ VU_SET_VRING_ENABLE, 8 },    { VU_ADD_MEM_REG, 40 },
	{ VU_REM_MEM_REG, 40 },	       { VU_SET_INFLIGHT_FD, 24 },
	{ VU_SET_MEM_TABLE, 8 + 32 },
};

START_TEST(wrong_sizes)
{
	static const uint8_t zeros[512];
	uint32_t request = sized[_i].request, size = sized[_i].size;

	expect_refusal(request, zeros, 0, NULL, 0);
	expect_refusal(request, zeros, 1, NULL, 0);
	expect_refusal(request, zeros, size - 1, NULL, 0);
	if (request != VU_SET_MEM_TABLE)
		expect_refusal(request, zeros, size + 1, NULL, 0);
	expect_refusal(request, zeros, 512, NULL, 0);
}
END_TEST

/* One descriptor too few, too many, far too many. None may leak. */
START_TEST(wrong_descriptor_counts)
{
	static const uint8_t zeros[40];
	int fds[MAX_FDS];

	any_fds(fds, MAX_FDS);
	for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++) {
		uint32_t request = sized[i].request;

		/* These two are the only ones that may do without. */
		if (request == VU_SET_VRING_KICK || request == VU_SET_VRING_CALL ||
		    request == VU_SET_VRING_ERR || request == VU_ADD_MEM_REG)
			expect_refusal(request, zeros, sized[i].size, NULL, 0);
		expect_refusal(request, zeros, sized[i].size, fds, 2);
		expect_refusal(request, zeros, sized[i].size, fds, 8);
	}
	for (int round = 0; round < 50; round++) {
		expect_answer(VU_SET_OWNER, NULL, 0, fds, 3);
		expect_answer(VU_SET_VRING_ENABLE, &(struct vu_ring_state){ 3, 1 }, 8, fds, 8);
	}
	/* More than a receiver has room for: some are lost, so the frame is broken. */
	ck_ok(vu_send(VU, VU_SET_OWNER, 0, NULL, 0, fds, MAX_FDS));
	close_fds(fds, MAX_FDS);
	expect_life_or_end();
}
END_TEST

/* Rings that there are none of, in every message about rings. */
START_TEST(wrong_ring_index)
{
	static const uint32_t bad[] = { 200, 255, 256, 1000, 1u << 31, ~0u };
	int fd = eventfd(0, EFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vu_ring_state s = { .index = bad[i], .num = 64 };
		struct vu_ring_state on = { .index = bad[i], .num = 1 };
		struct vu_ring_addr a = { .index = bad[i] };
		uint64_t v = bad[i];

		expect_refusal(VU_SET_VRING_NUM, &s, sizeof(s), NULL, 0);
		expect_refusal(VU_SET_VRING_BASE, &s, sizeof(s), NULL, 0);
		expect_refusal(VU_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0);
		expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
		/* Bit 8 and above are no part of the index, so these may pass for ring 0. */
		if (bad[i] < 256) {
			expect_refusal(VU_SET_VRING_KICK, &v, sizeof(v), &fd, 1);
			expect_refusal(VU_SET_VRING_CALL, &v, sizeof(v), &fd, 1);
			expect_refusal(VU_SET_VRING_ERR, &v, sizeof(v), &fd, 1);
		}
	}
	close(fd);
}
END_TEST

/* GET_VRING_BASE has an answer of its own, and none to say no with. */
START_TEST(get_base_of_no_ring)
{
	struct vu_ring_state s = { .index = 200 };
	struct vu_reply reply;

	ck_ok(vu_send(VU, VU_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0));
	/* Silence, an answer or the end are all that is possible. */
	ck_ok(vu_send(VU, VU_GET_FEATURES, 0, NULL, 0, NULL, 0));
	if (vu_recv(VU, &reply) == 0 && reply.head.request == VU_GET_VRING_BASE)
		vu_recv(VU, &reply);
	expect_life_or_end();
}
END_TEST

START_TEST(wrong_ring_sizes)
{
	static const uint32_t bad[] = { 0, 3, 100, 65535, 65536, 1u << 20, 1u << 31, ~0u };
	uint32_t base;

	ck_ok(dev_stop_ring(&env.dev, TH_VICTIM, &base));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(VU_SET_VRING_NUM, &(struct vu_ring_state){ TH_VICTIM, bad[i] }, 8, NULL,
			       0);
	ck_ok(dev_start_ring(&env.dev, TH_VICTIM, (uint16_t)base));
	tu_exercise(FS, "file");
}
END_TEST

/* What a ring is made of must not change under its feet. */
START_TEST(ring_changed_while_running)
{
	struct vu_ring_addr a = { .index = TH_VICTIM };

	expect_answer(VU_SET_VRING_NUM, &(struct vu_ring_state){ TH_VICTIM, 2 }, 8, NULL, 0);
	expect_answer(VU_SET_VRING_NUM, &(struct vu_ring_state){ TH_VICTIM, 1024 }, 8, NULL, 0);
	expect_answer(VU_SET_VRING_BASE, &(struct vu_ring_state){ TH_VICTIM, 77 }, 8, NULL, 0);
	expect_answer(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	ring_kick_always(TH_RING);
	ck_ok(vu_alive(VU));
}
END_TEST

/* Addresses of rings: not in memory, not wholly, not aligned, wrapping. */
START_TEST(wrong_ring_addresses)
{
	struct ring *r = TH_RING;
	struct vu_region *reg = &env.dev.mem.regions[0].wire;
	struct vu_ring_addr good = {
		.index = TH_VICTIM,
		.desc = gmem_uaddr(&env.dev.mem, r->desc_gpa),
		.used = gmem_uaddr(&env.dev.mem, r->used_gpa),
		.avail = gmem_uaddr(&env.dev.mem, r->avail_gpa),
	};
	uint64_t bad[] = { 0, ~0ull, ~0ull - 15, reg->uaddr - 16, reg->uaddr + reg->size,
			   reg->uaddr + reg->size - 16, r->desc_gpa };
	struct vu_ring_addr a;
	uint32_t base;

	ck_ok(dev_stop_ring(&env.dev, TH_VICTIM, &base));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = good;
		a.desc = bad[i];
		expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
		a = good;
		a.used = bad[i];
		expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
		a = good;
		a.avail = bad[i];
		expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	}
	/* Odd addresses: atomic access to such a ring would be wrong. */
	a = good;
	a.desc++;
	expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	a = good;
	a.avail++;
	expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	a = good;
	a.used += 2;
	expect_refusal(VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	ck_ok(dev_start_ring(&env.dev, TH_VICTIM, (uint16_t)base));
	tu_exercise(FS, "file");
}
END_TEST

/* Kick and call descriptors that are something else. */
START_TEST(wrong_descriptor_types)
{
	static const uint32_t requests[] = { VU_SET_VRING_KICK, VU_SET_VRING_CALL,
					     VU_SET_VRING_ERR };
	uint64_t victim = TH_VICTIM;
	int fds[6], p[2];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fds[2] = open(env.share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[3] = memfd_create("x", MFD_CLOEXEC);
	fds[4] = p[0];
	fds[5] = p[1];
	for (int i = 0; i < 6; i++) {
		for (int k = 0; k < 3; k++) {
			/* Taken or not: it is their own ring's notifications that suffer. */
			expect_answer(requests[k], &victim, sizeof(victim), &fds[i], 1);
		}
		th_healthy();
	}
	close_fds(fds, 6);
	/* And one whose other end is gone. */
	ck_ok(vu_alive(VU));
}
END_TEST

START_TEST(wrong_features)
{
	uint64_t none = 0, all = ~0ull;

	expect_refusal(VU_SET_FEATURES, &all, 8, NULL, 0);
	expect_refusal(VU_SET_PROTOCOL_FEATURES, &all, 8, NULL, 0);
	/* Packed rings were not offered. */
	all = VU->features | VU_BIT(34);
	expect_refusal(VU_SET_FEATURES, &all, 8, NULL, 0);
	/* Without VERSION_1 there is no virtio-fs, but only a driver would mind. */
	ck_ok(vu_send(VU, VU_SET_FEATURES, VU_FLAG_NEED_REPLY, &none, 8, NULL, 0));
	ck_ok(vu_wait_ack(VU, VU_SET_FEATURES));
	none = VU->features;
	expect_answer(VU_SET_FEATURES, &none, 8, NULL, 0);
}
END_TEST

START_TEST(wrong_enable)
{
	expect_refusal(VU_SET_VRING_ENABLE, &(struct vu_ring_state){ TH_VICTIM, 2 }, 8, NULL, 0);
	expect_refusal(VU_SET_VRING_ENABLE, &(struct vu_ring_state){ TH_VICTIM, ~0u }, 8, NULL, 0);
}
END_TEST

/* Messages for other devices, features not negotiated, or no one at all. */
START_TEST(unknown_messages)
{
	static const uint32_t unknown[] = { 0, VU_SEND_RARP, VU_NET_SET_MTU, VU_IOTLB_MSG, 26, 28, 33,
					    42, 44, 45, 100, 1u << 16, 1u << 31, ~0u };
	static const uint8_t zeros[64];
	int fd = eventfd(0, EFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		expect_refusal(unknown[i], NULL, 0, NULL, 0);
		expect_refusal(unknown[i], zeros, 8, NULL, 0);
		expect_refusal(unknown[i], zeros, 64, &fd, 1);
	}
	close(fd);
}
END_TEST

/* Configuration space without a tag, or outside of what there is. */
START_TEST(wrong_config)
{
	static const uint32_t rows[][2] = { { 0, 257 }, { 40, 1 }, { ~0u, 1 }, { 1, ~0u },
					    { 0, 0 }, { 1u << 31, 1u << 31 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vu_config c = { .offset = rows[i][0], .size = rows[i][1] };
		struct vu_reply reply;

		ck_ok(vu_send(VU, VU_GET_CONFIG, 0, &c, VU_CONFIG_HEAD + 8, NULL, 0));
		ck_ok(vu_send(VU, VU_GET_FEATURES, 0, NULL, 0, NULL, 0));
		/* An empty answer says no; silence does where it was not negotiated. */
		ck_ok(vu_recv(VU, &reply));
		if (reply.head.request == VU_GET_CONFIG) {
			ck_assert_uint_eq(reply.head.size, 0);
			ck_ok(vu_recv(VU, &reply));
		}
		ck_assert_uint_eq(reply.head.request, VU_GET_FEATURES);
		expect_refusal(VU_SET_CONFIG, &c, VU_CONFIG_HEAD + 8, NULL, 0);
	}
}
END_TEST

START_TEST(wrong_inflight)
{
	struct vu_inflight rows[] = {
		{ 4096, 0, 65535, 128 }, { 4096, 0, 4, 65535 }, { 0, 0, 4, 128 },
		{ 64, 0, 4, 128 },	 { ~0ull, 0, 4, 128 },  { 1u << 20, ~0ull, 4, 128 },
		{ 1u << 20, 1, 4, 128 }, { 1ull << 40, 0, 4, 128 }, { 4096, 1ull << 40, 4, 128 },
		{ 1u << 20, 0, 0, 0 },
	};
	int fd = memfd_create("inflight", MFD_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (!(VU->proto & VU_BIT(VU_P_INFLIGHT_SHMFD)))
		return;
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect_refusal(VU_SET_INFLIGHT_FD, &rows[i], sizeof(rows[i]), &fd, 1);
		expect_refusal(VU_SET_INFLIGHT_FD, &rows[i], sizeof(rows[i]), &null, 1);
		expect_refusal(VU_SET_INFLIGHT_FD, &rows[i], sizeof(rows[i]), NULL, 0);
	}
	close(fd);
	close(null);
}
END_TEST

/* A frame that is none. */
START_TEST(broken_frames)
{
	struct {
		struct vu_header head;
		uint8_t rest[4096];
	} m = { .head = { .request = VU_SET_OWNER, .flags = VU_VERSION } };
	size_t len = sizeof(m.head);

	switch (_i) {
	case 0:
		m.head.flags = 0;			/* of no version */
		break;
	case 1:
		m.head.flags = 2;			/* of another version */
		break;
	case 2:
		m.head.flags |= VU_FLAG_REPLY;		/* a reply to nothing */
		break;
	case 3:
		m.head.flags = ~0u;
		break;
	case 4:
		m.head.size = ~0u;			/* a length that never comes */
		break;
	case 5:
		m.head.size = 1u << 30;
		len += 4096;
		break;
	case 6:
		m.head.size = 4096;			/* longer than any message */
		len += 4096;
		break;
	case 7:
		tu_fill(&m, sizeof(m), 1);		/* noise */
		len = sizeof(m);
		break;
	default:
		memset(&m, 0xff, sizeof(m));
		len = sizeof(m);
	}
	ck_ok(vu_send_raw(VU, &m, len, NULL, 0));
	expect_life_or_end();
}
END_TEST

/* Half a message, and then nobody; or the other half, much later. */
START_TEST(half_messages)
{
	struct vu_header head = { .request = VU_GET_FEATURES, .flags = VU_VERSION };
	struct vu_reply reply;

	if (_i == 0) {
		/* Byte by byte it is a message all the same. */
		for (size_t i = 0; i < sizeof(head); i++) {
			ck_ok(vu_send_raw(VU, (char *)&head + i, 1, NULL, 0));
			/* Rings do not wait for the rest of it. */
			FS->queue = TH_HEALTHY < env.dev.nrings ? TH_HEALTHY : TH_VICTIM;
			tu_exercise(FS, "file");
		}
		ck_ok(vu_recv(VU, &reply));
		return;
	}
	if (_i == 2)
		head.size = 8;
	ck_ok(vu_send_raw(VU, &head, _i == 1 ? 5 : sizeof(head), NULL, 0));
	ck_ok(shutdown(VU->fd, SHUT_WR));
	/* The stream has ended within a message: an error of the VMM, or its end. */
	expect_life_or_end();
}
END_TEST

/* Legal messages in no sensible order at all. */
START_TEST(random_order)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t rng;

	for (uint64_t i = 0; i < 400; i++) {
		tu_fill(&rng, sizeof(rng), i * 31 + (uint64_t)_i * 77777);
		uint32_t index = rng & 1 ? TH_VICTIM : 3;
		struct vu_ring_state s = { .index = index, .num = (uint32_t)(rng >> 8) & 1023 };
		uint64_t v = index;
		uint32_t base;

		switch ((rng >> 32) % 9) {
		case 0:
			expect_answer(VU_SET_VRING_NUM, &s, 8, NULL, 0);
			break;
		case 1:
			expect_answer(VU_SET_VRING_BASE, &s, 8, NULL, 0);
			break;
		case 2:
			s.num &= 1;
			expect_answer(VU_SET_VRING_ENABLE, &s, 8, NULL, 0);
			break;
		case 3:
			expect_answer(VU_SET_VRING_KICK, &v, 8, &fd, 1);
			break;
		case 4:
			v |= VU_NOFD;
			expect_answer(VU_SET_VRING_CALL, &v, 8, NULL, 0);
			break;
		case 5:
			ck_ok(vu_get_vring_base(VU, index, &base));
			break;
		case 6:
			ck_ok(dev_set_memory(&env.dev));
			break;
		case 7:
			v |= VU_NOFD;
			expect_answer(VU_SET_VRING_KICK, &v, 8, NULL, 0);
			break;
		default:
			eventfd_write(fd, 1);
		}
	}
	close(fd);
}
END_TEST

/**
 * messages_case() - Messages that break the rules
 *
 * Return: the test case
 */
TCase *messages_case(void)
{
	TCase *tc = th_case("messages");

	tcase_add_loop_test(tc, wrong_sizes, 0, (int)(sizeof(sized) / sizeof(sized[0])));
	tcase_add_test(tc, wrong_descriptor_counts);
	tcase_add_test(tc, wrong_ring_index);
	tcase_add_test(tc, get_base_of_no_ring);
	tcase_add_test(tc, wrong_ring_sizes);
	tcase_add_test(tc, ring_changed_while_running);
	tcase_add_test(tc, wrong_ring_addresses);
	tcase_add_test(tc, wrong_descriptor_types);
	tcase_add_test(tc, wrong_features);
	tcase_add_test(tc, wrong_enable);
	tcase_add_test(tc, unknown_messages);
	tcase_add_test(tc, wrong_config);
	tcase_add_test(tc, wrong_inflight);
	tcase_add_loop_test(tc, broken_frames, 0, 9);
	tcase_add_loop_test(tc, half_messages, 0, 3);
	tcase_add_loop_test(tc, random_order, 0, 4);
	return tc;
}
