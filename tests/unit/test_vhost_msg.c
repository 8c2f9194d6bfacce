/* test_vhost_msg.c - which messages of a VMM pass, and which rule refuses the others. */
#include "transport/vhost_msg.h"

#include <check.h>

static struct vhost_ring_env rings[3];
static struct vhost_env env;
static struct vhost_msg msg;
static const char *why;

static void set_up(void)
{
	memset(rings, 0, sizeof(rings));
	memset(&msg, 0, sizeof(msg));
	env = (struct vhost_env){
		.features_offered = VHOST_BIT(28) | VHOST_BIT(29) | VHOST_BIT(30) | VHOST_BIT(32),
		.proto_offered = 0xb229,
		.nrings = 3,
		.ring = rings,
	};
	env.proto = env.proto_offered;
}

static void make(uint32_t request, uint32_t size, uint32_t nfds)
{
	memset(&msg, 0, sizeof(msg));
	msg.hdr = (struct vhost_hdr){ request, VHOST_VERSION, size };
	msg.nfds = nfds;
	for (uint32_t i = 0; i < nfds && i < VHOST_FDS_MAX; i++)
		msg.fds[i] = 100 + (int)i;
}

static void passes(void)
{
	why = NULL;
	ck_assert_int_eq(vhost_msg_check(&msg, &env, &why), VHOST_PASS);
	ck_assert_ptr_null(why);
}

static void refused(void)
{
	why = NULL;
	ck_assert_int_eq(vhost_msg_check(&msg, &env, &why), VHOST_REFUSE);
	ck_assert_ptr_nonnull(why);
}

/* A message of each kind that passes. */
static void make_good(uint32_t request)
{
	switch (request) {
	case VHOST_GET_FEATURES:
	case VHOST_SET_OWNER:
	case VHOST_RESET_OWNER:
	case VHOST_GET_PROTOCOL_FEATURES:
	case VHOST_GET_QUEUE_NUM:
	case VHOST_RESET_DEVICE:
	case VHOST_GET_MAX_MEM_SLOTS:
		make(request, 0, 0);
		break;
	case VHOST_SET_BACKEND_REQ_FD:
		make(request, 0, 1);
		break;
	case VHOST_SET_FEATURES:
		make(request, 8, 0);
		msg.p.u64 = env.features_offered;
		break;
	case VHOST_SET_PROTOCOL_FEATURES:
		make(request, 8, 0);
		msg.p.u64 = env.proto_offered;
		break;
	case VHOST_SET_MEM_TABLE:
		make(request, 8 + 32 * 2, 2);
		msg.p.table.count = 2;
		msg.p.table.region[0] = (struct vhost_region){ 0x1000, 0x2000, 0x7000, 0 };
		msg.p.table.region[1] = (struct vhost_region){ 0x100000, 0x2000, 0x9000, 0x123 };
		break;
	case VHOST_SET_VRING_NUM:
		make(request, 8, 0);
		msg.p.state = (struct vhost_vring_state){ 2, 1024 };
		break;
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_ENABLE:
		make(request, 8, 0);
		msg.p.state = (struct vhost_vring_state){ 2, 1 };
		break;
	case VHOST_SET_VRING_ADDR:
		make(request, 40, 0);
		msg.p.addr = (struct vhost_vring_addr){ 1, 0, 0x1000, 0x3004, 0x2002, UINT64_MAX };
		break;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		make(request, 8, 1);
		msg.p.u64 = 2;
		break;
	case VHOST_GET_CONFIG:
		make(request, VHOST_CONFIG_HEAD + 40, 0);
		msg.p.config.size = 40;
		break;
	case VHOST_GET_INFLIGHT_FD:
		make(request, 24, 0);
		msg.p.inflight = (struct vhost_inflight){ .num_queues = 3, .queue_size = 256 };
		break;
	case VHOST_SET_INFLIGHT_FD:
		make(request, 24, 1);
		msg.p.inflight = (struct vhost_inflight){ 3 * vhost_inflight_stride(256), 4096, 3, 256, 0 };
		break;
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG:
		make(request, 40, request == VHOST_ADD_MEM_REG);
		msg.p.reg.region = (struct vhost_region){ 0x1000, 0x2000, 0x7000, 0 };
		break;
	default:
		make(request, 0, 0);
	}
}

static bool served(uint32_t request)
{
	make_good(request);
	return vhost_msg_check(&msg, &env, &why) == VHOST_PASS;
}

START_TEST(every_request_has_a_verdict)
{
	unsigned n = 0;

	for (uint32_t r = 0; r < 2 * VHOST_REQUEST_END; r++) {
		enum vhost_verdict v;

		make_good(r);
		v = vhost_msg_check(&msg, &env, &why);
		n += v == VHOST_PASS;
		ck_assert_int_eq(v == VHOST_UNKNOWN, r == 0 || r >= VHOST_REQUEST_END);
		ck_assert_str_ne(vhost_msg_name(r), "");
		ck_assert(v != VHOST_UNKNOWN || !strcmp(vhost_msg_name(r), "unknown request"));
	}
	ck_assert_uint_eq(n, 24);
	make(UINT32_MAX, 0, 0);
	ck_assert_int_eq(vhost_msg_check(&msg, &env, &why), VHOST_UNKNOWN);
}
END_TEST

/* Sizes, descriptors, flags: the same for all. */
START_TEST(frames)
{
	for (uint32_t r = 1; r < VHOST_REQUEST_END; r++) {
		if (!served(r))
			continue;
		make_good(r);
		msg.hdr.size = VHOST_PAYLOAD_MAX;
		refused();
		make_good(r);
		msg.oversize = true;
		refused();
		make_good(r);
		msg.fds_lost = true;
		refused();
		make_good(r);
		msg.nfds = VHOST_FDS_MAX;
		refused();
		make_good(r);
		msg.hdr.flags = 0;
		refused();
		make_good(r);
		msg.hdr.flags = 2;
		refused();
		make_good(r);
		msg.hdr.flags |= VHOST_FLAG_REPLY;
		refused();
		make_good(r);
		msg.hdr.flags |= VHOST_FLAG_NEED_REPLY;
		passes();
		make_good(r);
		if (msg.hdr.size) {
			msg.hdr.size--;
			if (r != VHOST_GET_INFLIGHT_FD && r != VHOST_SET_INFLIGHT_FD)
				refused();
			msg.hdr.size = 0;
			refused();
		} else {
			msg.hdr.size = 8;
			refused();
		}
	}
}
END_TEST

START_TEST(features)
{
	make_good(VHOST_SET_FEATURES);
	msg.p.u64 |= VHOST_BIT(26);
	refused();
	make_good(VHOST_SET_FEATURES);
	rings[1].running = true;
	refused();
	env.features = msg.p.u64;
	passes();
	make_good(VHOST_SET_PROTOCOL_FEATURES);
	msg.p.u64 |= VHOST_BIT(19);
	refused();
}
END_TEST

START_TEST(not_negotiated)
{
	const uint32_t need[] = { VHOST_GET_CONFIG,  VHOST_GET_INFLIGHT_FD, VHOST_SET_INFLIGHT_FD,  VHOST_ADD_MEM_REG,
				  VHOST_REM_MEM_REG, VHOST_GET_MAX_MEM_SLOTS, VHOST_SET_BACKEND_REQ_FD };

	env.proto = 0;
	for (size_t i = 0; i < ARRAY_SIZE(need); i++) {
		make_good(need[i]);
		refused();
	}
	make_good(VHOST_GET_QUEUE_NUM); /* these need only have been offered */
	passes();
	make_good(VHOST_RESET_DEVICE);
	passes();
	env.proto_offered = 0;
	make_good(VHOST_GET_QUEUE_NUM);
	refused();
	make_good(VHOST_RESET_DEVICE);
	refused();
}
END_TEST

START_TEST(mem_table)
{
	make_good(VHOST_SET_MEM_TABLE);
	msg.hdr.size = 8 + 32 * 8; /* longer than the count needs, as user-mode Linux sends it */
	passes();
	msg.hdr.size = 8 + 32 * 8 + 1;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.count = 1;
	msg.nfds = 1;
	passes();
	msg.nfds = 2;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.nfds = 1;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.count = 3;
	msg.nfds = 3;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.count = 0;
	msg.nfds = 0;
	refused();
	ck_assert_ptr_nonnull(strstr(why, "share=on"));
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.count = UINT32_MAX;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.region[1].size = 0;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.region[1].guest_addr = UINT64_MAX - 5;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.region[1].user_addr = UINT64_MAX - 5;
	refused();
	make_good(VHOST_SET_MEM_TABLE);
	msg.p.table.region[1].mmap_offset = UINT64_MAX - 5;
	refused();
}
END_TEST

START_TEST(one_region)
{
	make_good(VHOST_ADD_MEM_REG);
	msg.nfds = 0;
	refused();
	msg.nfds = 2;
	refused();
	make_good(VHOST_ADD_MEM_REG);
	msg.p.reg.region.size = UINT64_MAX;
	refused();
	make_good(VHOST_REM_MEM_REG);
	msg.nfds = 1; /* of no use, but some send it */
	passes();
	msg.nfds = 2;
	refused();
}
END_TEST

START_TEST(ring_index)
{
	const uint32_t by_state[] = { VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE,
				      VHOST_SET_VRING_ENABLE };
	const uint32_t by_fd[] = { VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR };

	for (size_t i = 0; i < ARRAY_SIZE(by_state); i++) {
		make_good(by_state[i]);
		msg.p.state.index = 3;
		refused();
		msg.p.state.index = UINT32_MAX;
		refused();
	}
	make_good(VHOST_SET_VRING_ADDR);
	msg.p.addr.index = 3;
	refused();
	for (size_t i = 0; i < ARRAY_SIZE(by_fd); i++) {
		make_good(by_fd[i]);
		msg.p.u64 = 3;
		refused();
		msg.p.u64 = 0xff;
		refused();
		make_good(by_fd[i]);
		msg.p.u64 = VHOST_FD_NONE;
		refused(); /* it has one */
		msg.nfds = 0;
		passes();
		msg.p.u64 = 0;
		refused(); /* it has none */
		make_good(by_fd[i]);
		msg.p.u64 |= 1ull << 9;
		refused();
		msg.p.u64 = 1ull << 63;
		refused();
	}
}
END_TEST

START_TEST(ring_numbers)
{
	const uint32_t bad[] = { 0, 3, 1000, 65536, 1u << 31 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_good(VHOST_SET_VRING_NUM);
		msg.p.state.num = bad[i];
		refused();
	}
	make_good(VHOST_SET_VRING_NUM);
	msg.p.state.num = 32768;
	passes();
	make_good(VHOST_SET_VRING_BASE);
	msg.p.state.num = 65535;
	passes();
	msg.p.state.num = 65536;
	refused();
	make_good(VHOST_SET_VRING_ENABLE);
	msg.p.state.num = 2;
	refused();
	make_good(VHOST_SET_VRING_ADDR);
	msg.p.addr.flags = 1;
	refused();
	make_good(VHOST_SET_VRING_ADDR);
	msg.p.addr.desc += 8;
	refused();
	make_good(VHOST_SET_VRING_ADDR);
	msg.p.addr.avail += 1;
	refused();
	make_good(VHOST_SET_VRING_ADDR);
	msg.p.addr.used += 2;
	refused();
}
END_TEST

START_TEST(running_ring)
{
	rings[2] = (struct vhost_ring_env){ .num = 512, .running = true };
	make_good(VHOST_SET_VRING_NUM);
	refused();
	msg.p.state.num = 512;
	passes();
	make_good(VHOST_SET_VRING_BASE);
	refused();
	msg.p.state.index = 1;
	passes();
	make_good(VHOST_SET_VRING_KICK);
	passes();
	make_good(VHOST_GET_VRING_BASE);
	passes();
}
END_TEST

START_TEST(config_space)
{
	for (uint32_t n = 0; n <= VHOST_CONFIG_MAX; n++) { /* byte by byte, as user-mode Linux reads it */
		make(VHOST_GET_CONFIG, VHOST_CONFIG_HEAD + n, 0);
		msg.p.config.size = n;
		passes();
		msg.p.config.offset = VHOST_CONFIG_MAX - n;
		passes();
		msg.p.config.offset++;
		refused();
	}
	make_good(VHOST_GET_CONFIG);
	msg.p.config.size++;
	refused();
	make_good(VHOST_GET_CONFIG);
	msg.p.config.offset = UINT32_MAX;
	refused();
	make(VHOST_SET_CONFIG, VHOST_CONFIG_HEAD + 4, 0);
	msg.p.config.size = 4;
	refused();
}
END_TEST

START_TEST(inflight)
{
	ck_assert_uint_eq(vhost_inflight_stride(1), 64);
	ck_assert_uint_eq(vhost_inflight_stride(256) % 64, 0);
	ck_assert_uint_ge(vhost_inflight_stride(32768), 16 + 16 * 32768);
	make_good(VHOST_SET_INFLIGHT_FD);
	msg.hdr.size = 20; /* without the padding */
	passes();
	msg.p.inflight.mmap_size--;
	refused();
	make_good(VHOST_SET_INFLIGHT_FD);
	msg.p.inflight.mmap_offset = UINT64_MAX;
	refused();
	make_good(VHOST_SET_INFLIGHT_FD);
	msg.nfds = 0;
	refused();
	make_good(VHOST_GET_INFLIGHT_FD);
	msg.p.inflight.num_queues = 4;
	refused();
	msg.p.inflight.num_queues = 0;
	refused();
	make_good(VHOST_GET_INFLIGHT_FD);
	msg.p.inflight.queue_size = 100;
	refused();
	msg.p.inflight.queue_size = 0;
	refused();
}
END_TEST

START_TEST(replies)
{
	ck_assert(vhost_msg_replies(VHOST_GET_FEATURES));
	ck_assert(vhost_msg_replies(VHOST_GET_VRING_BASE));
	ck_assert(!vhost_msg_replies(VHOST_SET_FEATURES));
	ck_assert(!vhost_msg_replies(0));
	ck_assert(!vhost_msg_replies(UINT32_MAX));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_msg");
	TCase *t = tcase_create("vhost_msg");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, every_request_has_a_verdict);
	tcase_add_test(t, frames);
	tcase_add_test(t, features);
	tcase_add_test(t, not_negotiated);
	tcase_add_test(t, mem_table);
	tcase_add_test(t, one_region);
	tcase_add_test(t, ring_index);
	tcase_add_test(t, ring_numbers);
	tcase_add_test(t, running_ring);
	tcase_add_test(t, config_space);
	tcase_add_test(t, inflight);
	tcase_add_test(t, replies);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
