/* test_vhost_dev.c - a whole VMM's conversation, over a real socket, with queues that only write down what is asked of them.
 *
 * The functions of queue.h are defined here, so the library's own are not linked.
 */
#include "transport/vhost_dev.h"

#include <check.h>
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/log.h"

#define PAGE 4096u
#define GUEST 0x40000000ull
#define USER 0x7e0000000000ull
#define NLINKS 3u

struct queue {
	struct virtq *vq;
	int link, kick, call, err;
	bool enabled;
	unsigned starts, stops, drops;
	void *inflight;
};
static struct queue queues[NLINKS];
static unsigned nqueues;

struct queue *queue_new(struct fuse_dev *dev, unsigned index, int link_fd, void *bulk, struct state_ring *state)
{
	struct queue *q = &queues[index];

	ck_assert_ptr_null(dev);
	ck_assert_ptr_null(state);
	ck_assert_ptr_eq(bulk, (void *)(0x100000 + index * IPC_BULK_LINK));
	*q = (struct queue){ virtq_new(), link_fd, -1, -1, -1, false, 0, 0, 0, NULL };
	nqueues++;
	return q;
}

void queue_free(struct queue *q)
{
	close_fd(&q->link);
	close_fd(&q->kick);
	close_fd(&q->call);
	close_fd(&q->err);
	virtq_free(q->vq);
	nqueues--;
}

int queue_start(struct queue *q, const struct virtq_config *cfg, struct gmem *m)
{
	int r = virtq_start(q->vq, cfg, m, false);

	q->starts += !r;
	q->inflight = cfg->inflight;
	return r;
}

uint16_t queue_stop(struct queue *q)
{
	q->stops++;
	return virtq_stop(q->vq);
}

void queue_drop(struct queue *q)
{
	q->drops++;
	virtq_stop(q->vq);
}

bool queue_started(const struct queue *q)
{
	return q->vq && virtq_started(q->vq);
}

void queue_enable(struct queue *q, bool on)
{
	q->enabled = on;
}

int queue_set_gmem(struct queue *q, struct gmem *m)
{
	return virtq_set_gmem(q->vq, m);
}

void queue_set_kick(struct queue *q, int fd)
{
	close_fd(&q->kick);
	q->kick = fd;
}

void queue_set_call(struct queue *q, int fd)
{
	close_fd(&q->call);
	q->call = fd;
}

void queue_set_err(struct queue *q, int fd)
{
	close_fd(&q->err);
	q->err = fd;
}

/* the VMM's side ----------------------------------------------------------------------------------- */

static struct vhost_dev *dev;
static struct vhost_conn conn;
static struct vhost_reply reply;
static int vmm, mem;
static unsigned fds_before;

struct wire {
	struct vhost_hdr hdr;
	uint8_t payload[VHOST_PAYLOAD_MAX];
};
static struct wire answer;
static int answer_fd;

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void no_log(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

static void open_dev(uint32_t flags)
{
	static struct ipc_config_transport config;
	struct vhost_dev_params p = { .config = &config, .bulk = (char *)0x100000 };
	int links[NLINKS], sv[2];

	log_to_sink(no_log);
	fds_before = count_fds();
	for (unsigned i = 0; i < NLINKS; i++)
		links[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	p.link_fds = links;
	config.nlinks = NLINKS;
	config.config_queues = 1; /* fewer than there are rings */
	config.flags = flags;
	strcpy(config.tag, "myfs");
	dev = vhost_dev_new(&p);
	ck_assert_ptr_nonnull(dev);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	vmm = sv[0];
	vhost_conn_init(&conn, sv[1]);
	mem = memfd_create("guest", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(mem, 64 * PAGE), 0);
	answer_fd = -1;
}

static void set_up(void)
{
	ck_assert_int_eq(gmem_install_sigbus(), 0);
	open_dev(CFG_HAS_TAG);
}

/* Nothing may be left behind, whatever was sent. */
static void tear_down(void)
{
	vhost_dev_free(dev);
	vhost_conn_close(&conn);
	close(vmm);
	close(mem);
	close_fd(&answer_fd);
	ck_assert_uint_eq(nqueues, 0);
	ck_assert_uint_eq(count_fds(), fds_before);
}

static void send_bytes(const void *bytes, size_t len, const int *fds, unsigned nfds)
{
	char control[CMSG_SPACE(253 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(vmm, &mh, 0), (ssize_t)len);
}

/* What the control loop does for each message. */
static void serve(void)
{
	const char *why;

	ck_assert_int_eq(vhost_conn_recv(&conn, &why), 1);
	if (vhost_dev_handle(dev, &conn.msg, &reply)) {
		ck_assert_int_eq(vhost_conn_send(&conn, &reply), 0);
		close_fd(&reply.fd);
	}
	vhost_conn_done(&conn);
	ck_assert_int_eq(vhost_conn_recv(&conn, &why), -EAGAIN);
}

/* Take the answer, if there is one. */
static bool receive(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { .iov_base = &answer, .iov_len = sizeof(answer) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	ssize_t n;

	memset(&answer, 0, sizeof(answer));
	close_fd(&answer_fd);
	n = recvmsg(vmm, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return false;
	ck_assert_int_eq(n, (ssize_t)(sizeof(answer.hdr) + answer.hdr.size));
	ck_assert_uint_eq(answer.hdr.flags, VHOST_VERSION | VHOST_FLAG_REPLY);
	if (CMSG_FIRSTHDR(&mh))
		memcpy(&answer_fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(int));
	return true;
}

static bool ask(uint32_t request, uint32_t flags, const void *payload, uint32_t size, const int *fds, unsigned nfds)
{
	struct wire w = { .hdr = { request, VHOST_VERSION | flags, size } };

	memcpy(w.payload, payload, size);
	send_bytes(&w, sizeof(w.hdr) + size, fds, nfds);
	serve();
	if (!receive())
		return false;
	ck_assert_uint_eq(answer.hdr.request, request);
	return true;
}

/* With NEED_REPLY: what was the result? */
static uint64_t result(uint32_t request, const void *payload, uint32_t size, const int *fds, unsigned nfds)
{
	uint64_t v;

	ck_assert(ask(request, VHOST_FLAG_NEED_REPLY, payload, size, fds, nfds));
	ck_assert_uint_eq(answer.hdr.size, 8);
	memcpy(&v, answer.payload, 8);
	return v;
}

static uint64_t result_u64(uint32_t request, uint64_t v)
{
	return result(request, &v, 8, NULL, 0);
}

static uint64_t result_state(uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_vring_state s = { index, num };

	return result(request, &s, sizeof(s), NULL, 0);
}

static uint64_t query_u64(uint32_t request)
{
	uint64_t v;

	ck_assert(ask(request, 0, "", 0, NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 8);
	memcpy(&v, answer.payload, 8);
	return v;
}

static uint64_t set_fd(uint32_t request, uint64_t index)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t r = result(request, &index, 8, &fd, 1);

	close(fd);
	return r;
}

static uint64_t set_addr(uint32_t index, uint64_t at)
{
	const struct vhost_vring_addr a = { index, 0, USER + at, USER + at + 2 * PAGE, USER + at + PAGE, UINT64_MAX };

	return result(VHOST_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
}

static uint64_t set_table(void)
{
	struct vhost_mem_table t = { .count = 1, .region = { { GUEST, 64 * PAGE, USER, 0 } } };

	return result(VHOST_SET_MEM_TABLE, &t, 8 + 2 * 32, &mem, 1); /* room for two, as user-mode Linux has it */
}

static uint32_t get_base(uint32_t index)
{
	const struct vhost_vring_state s = { index, 0 };
	struct vhost_vring_state r;

	ck_assert(ask(VHOST_GET_VRING_BASE, VHOST_FLAG_NEED_REPLY, &s, sizeof(s), NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 8);
	memcpy(&r, answer.payload, 8);
	ck_assert_uint_eq(r.index, index);
	return r.num;
}

static void negotiate(void)
{
	uint64_t proto = query_u64(VHOST_GET_PROTOCOL_FEATURES);

	ck_assert_uint_eq(proto, 0xb229); /* MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT, RESET_DEVICE, MEM_SLOTS */
	ck_assert_uint_eq(result_u64(VHOST_SET_PROTOCOL_FEATURES, proto), 0); /* asks for its own acknowledgement */
	ck_assert_uint_eq(result(VHOST_SET_OWNER, "", 0, NULL, 0), 0);
	ck_assert_uint_eq(query_u64(VHOST_GET_QUEUE_NUM), NLINKS);
	ck_assert_uint_eq(result_u64(VHOST_SET_FEATURES, query_u64(VHOST_GET_FEATURES)), 0);
}

static void set_ring(uint32_t i, uint32_t base)
{
	ck_assert_uint_eq(result_state(VHOST_SET_VRING_NUM, i, 256), 0);
	ck_assert_uint_eq(result_state(VHOST_SET_VRING_BASE, i, base), 0);
	ck_assert_uint_eq(set_addr(i, i * 8 * PAGE), 0);
	ck_assert_uint_eq(set_fd(VHOST_SET_VRING_KICK, i), 0);
	ck_assert_uint_eq(set_fd(VHOST_SET_VRING_CALL, i), 0);
}

static void run_ring(uint32_t i, uint32_t base)
{
	set_ring(i, base);
	ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, i, 1), 0);
	ck_assert(queue_started(&queues[i]));
	ck_assert(queues[i].enabled);
}

/* conversations ------------------------------------------------------------------------------------ */

START_TEST(qemu)
{
	const struct vhost_mem_reg reg = { 0, { GUEST, 64 * PAGE, USER, 0 } };

	negotiate();
	ck_assert_uint_eq(query_u64(VHOST_GET_MAX_MEM_SLOTS), GMEM_SLOTS_MAX);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(set_fd(VHOST_SET_VRING_CALL, i), 0);
		ck_assert_uint_eq(set_fd(VHOST_SET_VRING_ERR, i), 0);
	}
	for (int twice = 0; twice < 2; twice++)
		ck_assert_uint_eq(result(VHOST_RESET_DEVICE, "", 0, NULL, 0), 0);
	ck_assert_int_ge(queues[0].err, 0);
	for (int boot = 0; boot < 3; boot++) {
		ck_assert_uint_eq(result_u64(VHOST_SET_FEATURES, query_u64(VHOST_GET_FEATURES)), 0);
		if (boot == 0)
			ck_assert_uint_eq(result(VHOST_ADD_MEM_REG, &reg, sizeof(reg), &mem, 1), 0);
		run_ring(0, 0);
		set_ring(1, 0);
		ck_assert(!queue_started(&queues[1]));
		run_ring(1, 0);
		ck_assert_uint_eq(nqueues, 2); /* none for the ring that nobody uses */
		ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, 1, 0), 0);
		ck_assert(!queue_started(&queues[1]));
		ck_assert_uint_eq(get_base(0), 0);
		ck_assert_uint_eq(get_base(1), 0);
		if (boot == 1) /* older ones stop without a reset */
			ck_assert_uint_eq(result(VHOST_RESET_DEVICE, "", 0, NULL, 0), 0);
	}
	ck_assert_uint_eq(result(VHOST_REM_MEM_REG, &reg, sizeof(reg), &mem, 1), 0);
	ck_assert_uint_ne(result(VHOST_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
}
END_TEST

/* The driver is unloaded and loaded again: rings move without GET_VRING_BASE. */
START_TEST(user_mode_linux)
{
	negotiate();
	for (int twice = 0; twice < 2; twice++)
		ck_assert_uint_eq(result(VHOST_SET_BACKEND_REQ_FD, "", 0, &mem, 1), 0);
	for (int load = 0; load < 3; load++) {
		ck_assert_uint_eq(set_table(), 0);
		for (uint32_t i = 0; i < 2; i++) {
			ck_assert_uint_eq(set_fd(VHOST_SET_VRING_CALL, i), 0);
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_NUM, i, 256), 0);
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_BASE, i, 0), 0);
			ck_assert_uint_eq(set_addr(i, (i + 2 * (unsigned)load) * 8 * PAGE), 0);
		}
		for (uint32_t i = 0; i < 2; i++) {
			ck_assert_uint_eq(set_fd(VHOST_SET_VRING_KICK, i), 0);
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, i, 1), 0);
			ck_assert(queue_started(&queues[i]));
		}
		for (uint32_t i = 0; i < 2; i++) {
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, i, 0), 0);
			ck_assert(!queue_started(&queues[i])); /* its memory is freed now */
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, i, 1), 0);
			ck_assert(queue_started(&queues[i]));
			ck_assert_uint_eq(result_state(VHOST_SET_VRING_ENABLE, i, 0), 0);
		}
	}
}
END_TEST

START_TEST(without_protocol_features)
{
	uint64_t features = VHOST_BIT(32), v;
	uint64_t none = VHOST_FD_NONE;
	struct vhost_mem_table t = { .count = 1, .region = { { GUEST, 64 * PAGE, USER, 0 } } };
	struct vhost_vring_state num = { 0, 64 };
	const struct vhost_vring_addr a = { 0, 0, USER, USER + PAGE, USER + 2 * PAGE, 0 };

	/* NEED_REPLY was not negotiated: no answer to anything */
	ck_assert(!ask(VHOST_SET_FEATURES, VHOST_FLAG_NEED_REPLY, &features, 8, NULL, 0));
	ck_assert(!ask(VHOST_SET_MEM_TABLE, 0, &t, 8 + 32, &mem, 1));
	ck_assert(!ask(VHOST_SET_VRING_KICK, 0, &none, 8, NULL, 0)); /* any order will do */
	ck_assert(!ask(VHOST_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0));
	ck_assert(!queue_started(&queues[0]));
	ck_assert(!ask(VHOST_SET_VRING_NUM, 0, &num, sizeof(num), NULL, 0));
	ck_assert(queue_started(&queues[0]));
	v = 99;
	ck_assert(!ask(VHOST_SET_FEATURES, 0, &v, 8, NULL, 0));
	ck_assert(!ask(77, VHOST_FLAG_NEED_REPLY, &v, 8, NULL, 0));
	ck_assert_uint_eq(query_u64(VHOST_GET_FEATURES) & features, features);
}
END_TEST

START_TEST(changes_while_running)
{
	negotiate();
	ck_assert_uint_eq(set_table(), 0);
	run_ring(1, 7);
	ck_assert_uint_eq(queues[1].starts, 1);
	ck_assert_uint_eq(result_state(VHOST_SET_VRING_NUM, 1, 256), 0);
	ck_assert_uint_ne(result_state(VHOST_SET_VRING_NUM, 1, 128), 0);
	ck_assert_uint_ne(result_state(VHOST_SET_VRING_BASE, 1, 0), 0);
	ck_assert_uint_ne(result_u64(VHOST_SET_FEATURES, VHOST_BIT(30)), 0);
	ck_assert_uint_eq(set_fd(VHOST_SET_VRING_KICK, 1), 0);
	ck_assert_uint_eq(set_addr(1, 8 * PAGE), 0); /* where it is */
	ck_assert_uint_eq(queues[1].starts, 1);
	ck_assert_uint_ne(set_addr(1, 64 * PAGE), 0); /* nowhere */
	ck_assert(queue_started(&queues[1]));
	ck_assert_uint_eq(set_addr(1, 16 * PAGE), 0);
	ck_assert_uint_eq(queues[1].starts, 2);
	ck_assert_uint_eq(set_table(), 0);
	ck_assert(queue_started(&queues[1]));
	ck_assert_uint_eq(get_base(1), 7);
	ck_assert(!queue_started(&queues[1]));
	ck_assert_int_eq(queues[1].kick, -1);
	ck_assert_uint_eq(set_fd(VHOST_SET_VRING_KICK, 1), 0); /* starts again where it was */
	ck_assert(queue_started(&queues[1]));
	ck_assert_uint_eq(get_base(1), 7);
}
END_TEST

START_TEST(ring_loses_its_memory)
{
	const struct vhost_mem_reg reg = { 0, { GUEST, 64 * PAGE, USER, 0 } };

	negotiate();
	ck_assert_uint_eq(result(VHOST_ADD_MEM_REG, &reg, sizeof(reg), &mem, 1), 0);
	run_ring(1, 3);
	ck_assert_uint_eq(result(VHOST_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
	ck_assert(!queue_started(&queues[1]));
	ck_assert_uint_eq(result(VHOST_ADD_MEM_REG, &reg, sizeof(reg), &mem, 1), 0);
	ck_assert(queue_started(&queues[1]));
	ck_assert_uint_eq(get_base(1), 3);
}
END_TEST

START_TEST(config_space)
{
	struct vhost_config c = { .offset = 0, .size = 0 };
	uint32_t n;

	ck_assert(ask(VHOST_GET_CONFIG, 0, &c, VHOST_CONFIG_HEAD, NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 0); /* not negotiated yet: an error has no payload */
	negotiate();
	for (uint32_t size = 1; size <= 40; size++) {
		c.size = size;
		ck_assert(ask(VHOST_GET_CONFIG, 0, &c, VHOST_CONFIG_HEAD + size, NULL, 0));
		ck_assert_uint_eq(answer.hdr.size, VHOST_CONFIG_HEAD + size);
	}
	ck_assert_str_eq((char *)answer.payload + VHOST_CONFIG_HEAD, "myfs");
	memcpy(&n, answer.payload + VHOST_CONFIG_HEAD + 36, 4);
	ck_assert_uint_eq(le32toh(n), 1);
	ck_assert(ask(VHOST_SET_CONFIG, VHOST_FLAG_NEED_REPLY, &c, VHOST_CONFIG_HEAD + 40, NULL, 0));
	ck_assert_int_ne(answer.payload[0], 0);
}
END_TEST

START_TEST(no_tag_no_config)
{
	tear_down();
	open_dev(0);
	ck_assert_uint_eq(query_u64(VHOST_GET_PROTOCOL_FEATURES), 0xb009);
}
END_TEST

START_TEST(inflight_region)
{
	struct vhost_inflight in = { .num_queues = 2, .queue_size = 256 };
	AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint16_t version;

	negotiate();
	ck_assert_uint_eq(set_table(), 0);
	ck_assert(ask(VHOST_GET_INFLIGHT_FD, 0, &in, sizeof(in), NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, sizeof(in));
	ck_assert_int_ge(answer_fd, 0);
	memcpy(&in, answer.payload, sizeof(in));
	ck_assert_uint_eq(in.num_queues, 2);
	ck_assert_uint_ge(in.mmap_size, 2 * (16 + 16 * 256));
	ck_assert_uint_eq(result(VHOST_SET_INFLIGHT_FD, &in, sizeof(in), &answer_fd, 1), 0);
	run_ring(1, 0);
	ck_assert_ptr_nonnull(queues[1].inflight);

	/* while it runs another one is set, and then none */
	ck_assert(ask(VHOST_GET_INFLIGHT_FD, 0, &in, 20, NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 20);
	in.mmap_offset = 0;
	ck_assert_uint_eq(result(VHOST_SET_INFLIGHT_FD, &in, 20, &answer_fd, 1), 0);
	memcpy(&version, (char *)queues[1].inflight + 8, 2);
	ck_assert_uint_eq(version, 1);
	ck_assert_uint_eq(result(VHOST_RESET_DEVICE, "", 0, NULL, 0), 0);
	ck_assert_uint_eq(result_u64(VHOST_SET_FEATURES, query_u64(VHOST_GET_FEATURES)), 0);
	run_ring(1, 0);
	ck_assert_ptr_null(queues[1].inflight);

	in.num_queues = 9;
	ck_assert(ask(VHOST_GET_INFLIGHT_FD, 0, &in, sizeof(in), NULL, 0));
	ck_assert_int_eq(answer_fd, -1);
	memcpy(&in, answer.payload, sizeof(in));
	ck_assert_uint_eq(in.mmap_size, 0);
	in = (struct vhost_inflight){ 65536, 0, 2, 256, 0 };
	ck_assert_uint_ne(result(VHOST_SET_INFLIGHT_FD, &in, sizeof(in), &null, 1), 0);
}
END_TEST

START_TEST(wrong_messages)
{
	struct vhost_mem_table t = { .count = 1, .region = { { GUEST, 65 * PAGE, USER, 0 } } };
	int many[253];

	negotiate();
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = mem;
	ck_assert_uint_ne(result(VHOST_SET_MEM_TABLE, &t, 40, &mem, 1), 0); /* beyond the end of the file */
	ck_assert_uint_ne(result(VHOST_SET_OWNER, "", 0, many, 1), 0);
	ck_assert_uint_ne(result(VHOST_SET_OWNER, "", 0, many, 253), 0);
	ck_assert_uint_ne(result(VHOST_SET_OWNER, &t, sizeof(t), NULL, 0), 0);
	ck_assert_uint_ne(result(99, &t, 40, many, 8), 0);
	ck_assert_uint_ne(result(0, "", 0, NULL, 0), 0);
	ck_assert_uint_ne(set_addr(1, 0), 0); /* no memory yet */
	ck_assert_uint_ne(result_state(VHOST_SET_VRING_ENABLE, 3, 1), 0);
	ck_assert(ask(VHOST_GET_VRING_BASE, 0, (uint64_t[]){ 3 }, 8, NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 0);
	ck_assert(ask(VHOST_GET_FEATURES, 0, (uint64_t[]){ 3 }, 8, NULL, 0));
	ck_assert_uint_eq(answer.hdr.size, 0);
	ck_assert_uint_eq(query_u64(VHOST_GET_QUEUE_NUM), NLINKS);
}
END_TEST

/* the stream --------------------------------------------------------------------------------------- */

START_TEST(pieces)
{
	struct wire w = { .hdr = { VHOST_SET_VRING_KICK, VHOST_VERSION, 8 }, .payload = { 1 } };
	const char *why;

	negotiate();
	for (size_t i = 0; i < 20; i++) {
		send_bytes((char *)&w + i, 1, &mem, i == 15); /* the descriptor comes with a byte of the payload */
		if (i < 19)
			ck_assert_int_eq(vhost_conn_recv(&conn, &why), -EAGAIN);
	}
	serve();
	ck_assert_int_ge(queues[1].kick, 0);
}
END_TEST

START_TEST(two_at_once)
{
	struct vhost_hdr h[2] = { { VHOST_GET_FEATURES, 1, 0 }, { VHOST_GET_QUEUE_NUM, 1, 0 } };
	const char *why;

	send_bytes(h, sizeof(h), NULL, 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(vhost_conn_recv(&conn, &why), 1);
		ck_assert_uint_eq(conn.msg.hdr.request, h[i].request);
		vhost_conn_done(&conn);
	}
	ck_assert_int_eq(vhost_conn_recv(&conn, &why), -EAGAIN);
}
END_TEST

START_TEST(oversize_is_skipped)
{
	static char big[100000];
	struct vhost_hdr h = { VHOST_SET_FEATURES, VHOST_VERSION | VHOST_FLAG_NEED_REPLY, sizeof(big) };

	negotiate();
	send_bytes(&h, sizeof(h), NULL, 0);
	send_bytes(big, sizeof(big), &mem, 1);
	serve();
	ck_assert(receive());
	ck_assert_int_ne(answer.payload[0], 0);
	ck_assert_uint_eq(query_u64(VHOST_GET_QUEUE_NUM), NLINKS);
}
END_TEST

START_TEST(noise)
{
	const char *why = NULL;

	send_bytes("GET / HTTP/1.1\r\n\r\n", 18, &mem, 1);
	ck_assert_int_eq(vhost_conn_recv(&conn, &why), -EPROTO);
	ck_assert_ptr_nonnull(why);
}
END_TEST

START_TEST(hang_up)
{
	const char *why = NULL;

	if (_i) {
		send_bytes("12345", 5, &mem, 1);
		ck_assert_int_eq(vhost_conn_recv(&conn, &why), -EAGAIN);
	}
	shutdown(vmm, SHUT_WR);
	ck_assert_int_eq(vhost_conn_recv(&conn, &why), _i ? -EPROTO : 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_dev");
	TCase *t = tcase_create("vhost_dev");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, qemu);
	tcase_add_test(t, user_mode_linux);
	tcase_add_test(t, without_protocol_features);
	tcase_add_test(t, changes_while_running);
	tcase_add_test(t, ring_loses_its_memory);
	tcase_add_test(t, config_space);
	tcase_add_test(t, no_tag_no_config);
	tcase_add_test(t, inflight_region);
	tcase_add_test(t, wrong_messages);
	tcase_add_test(t, pieces);
	tcase_add_test(t, two_at_once);
	tcase_add_test(t, oversize_is_skipped);
	tcase_add_test(t, noise);
	tcase_add_loop_test(t, hang_up, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
