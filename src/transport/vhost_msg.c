/* vhost_msg.c - see vhost_msg.h.
 *
 * Theory. One row per request: sizes, descriptors, what must have been negotiated, how the ring is named, and a function
 * for what is left. A request without a row is unknown; one with `absent` belongs to a feature that this back end does
 * not offer, and has a row for its name only. Fuzzed as it stands (tests/fuzz/fuzz_vhost_msg.c).
 */
#include "transport/vhost_msg.h"

#define RING_NUM_MAX 32768u

#define OWN_REPLY 1u  /* answered by a message of its own, also when it fails */
#define RING_STATE 2u /* payload is a vring state: index must name a ring */
#define RING_ADDR 4u  /* payload is vring addresses */
#define RING_FD 8u    /* payload is index and flag of a descriptor */
#define IF_OFFERED 16u /* `proto` need only be offered, not agreed on */

typedef const char *check_fn(const struct vhost_msg *msg, const struct vhost_env *env);

struct row {
	const char *name;
	const char *absent; /* always refused, for this reason */
	uint32_t size_min, size_max;
	uint32_t fds_min, fds_max;
	uint64_t proto; /* bit of the protocol feature that it needs, or 0 */
	uint32_t flags;
	check_fn *check; /* what is left to check, or NULL */
};

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static bool region_wraps(const struct vhost_region *r)
{
	uint64_t end;

	return !checked_add(r->guest_addr, r->size, &end) || !checked_add(r->user_addr, r->size, &end) ||
	       !checked_add(r->mmap_offset, r->size, &end);
}

static const char *check_region(const struct vhost_region *r)
{
	if (r->size == 0)
		return "a memory region is empty";
	if (region_wraps(r))
		return "a memory region wraps around";
	return NULL;
}

static const char *check_features(const struct vhost_msg *msg, const struct vhost_env *env)
{
	if (msg->p.u64 & ~env->features_offered)
		return "a feature that was not offered";
	if (msg->p.u64 == env->features)
		return NULL;
	for (uint32_t i = 0; i < env->nrings; i++)
		if (env->ring[i].running)
			return "features cannot change while a ring runs";
	return NULL;
}

static const char *check_proto(const struct vhost_msg *msg, const struct vhost_env *env)
{
	return msg->p.u64 & ~env->proto_offered ? "a protocol feature that was not offered" : NULL;
}

/* User-mode Linux 6.1 sends room for two regions whatever it counts: the payload may be longer than need be. */
static const char *check_table(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_mem_table *t = &msg->p.table;

	(void)env;
	if (t->count == 0)
		return "no memory that is shared: guest memory must be shared (memory-backend-memfd,share=on)";
	if (t->count > VHOST_TABLE_REGIONS_MAX)
		return "more memory regions than the protocol allows";
	if (msg->hdr.size < offsetof(struct vhost_mem_table, region) + t->count * sizeof(t->region[0]))
		return "the payload is shorter than its count says";
	if (msg->nfds != t->count)
		return "the number of descriptors is not that of the memory regions";
	for (uint32_t i = 0; i < t->count; i++) {
		const char *why = check_region(&t->region[i]);

		if (why)
			return why;
	}
	return NULL;
}

static const char *check_mem_reg(const struct vhost_msg *msg, const struct vhost_env *env)
{
	(void)env;
	return check_region(&msg->p.reg.region);
}

static const char *check_num(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_ring_env *ring = &env->ring[msg->p.state.index];

	if (!power_of_two(msg->p.state.num) || msg->p.state.num > RING_NUM_MAX)
		return "the ring's size is no power of two up to 32768";
	if (ring->running && ring->num != msg->p.state.num)
		return "the ring's size cannot change while it runs";
	return NULL;
}

static const char *check_base(const struct vhost_msg *msg, const struct vhost_env *env)
{
	if (msg->p.state.num > UINT16_MAX)
		return "the ring's index has more than 16 bits";
	if (env->ring[msg->p.state.index].running)
		return "the ring's index cannot be set while it runs";
	return NULL;
}

static const char *check_enable(const struct vhost_msg *msg, const struct vhost_env *env)
{
	(void)env;
	return msg->p.state.num > 1 ? "neither 0 nor 1" : NULL;
}

static const char *check_addr(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_vring_addr *a = &msg->p.addr;

	(void)env;
	if (a->flags)
		return "logging of dirty memory was not negotiated";
	if (a->desc % 16 || a->avail % 2 || a->used % 4)
		return "a part of the ring is not aligned";
	return NULL;
}

static const char *check_config(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_config *c = &msg->p.config;

	(void)env;
	if (!range_within(c->offset, c->size, VHOST_CONFIG_MAX))
		return "beyond the end of the largest configuration space";
	if (msg->hdr.size != VHOST_CONFIG_HEAD + c->size)
		return "the payload is not as long as it says";
	return NULL;
}

static const char *check_inflight(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_inflight *f = &msg->p.inflight;

	if (f->num_queues == 0 || f->num_queues > env->nrings)
		return "a number of rings that this device does not have";
	if (!power_of_two(f->queue_size) || f->queue_size > RING_NUM_MAX)
		return "the ring's size is no power of two up to 32768";
	return NULL;
}

static const char *check_set_inflight(const struct vhost_msg *msg, const struct vhost_env *env)
{
	const struct vhost_inflight *f = &msg->p.inflight;
	const char *why = check_inflight(msg, env);
	uint64_t end;

	if (why)
		return why;
	if (!checked_add(f->mmap_offset, f->mmap_size, &end))
		return "the in-flight region wraps around";
	if (f->mmap_size < f->num_queues * vhost_inflight_stride(f->queue_size))
		return "the in-flight region is too short for its rings";
	return NULL;
}

#define SIZE(n) .size_min = (n), .size_max = (n)
#define FDS(lo, hi) .fds_min = (lo), .fds_max = (hi)
#define ABSENT(feature) .absent = "it belongs to " feature ", which was not offered"

static const struct row rows[VHOST_REQUEST_END] = {
	[VHOST_GET_FEATURES] = { .name = "GET_FEATURES", .flags = OWN_REPLY },
	[VHOST_SET_FEATURES] = { .name = "SET_FEATURES", SIZE(8), .check = check_features },
	[VHOST_SET_OWNER] = { .name = "SET_OWNER" },
	[VHOST_RESET_OWNER] = { .name = "RESET_OWNER" },
	[VHOST_SET_MEM_TABLE] = { .name = "SET_MEM_TABLE", .size_min = 8, .size_max = sizeof(struct vhost_mem_table),
				  FDS(0, VHOST_TABLE_REGIONS_MAX), .check = check_table },
	[VHOST_SET_VRING_NUM] = { .name = "SET_VRING_NUM", SIZE(8), .flags = RING_STATE, .check = check_num },
	[VHOST_SET_VRING_ADDR] = { .name = "SET_VRING_ADDR", SIZE(40), .flags = RING_ADDR, .check = check_addr },
	[VHOST_SET_VRING_BASE] = { .name = "SET_VRING_BASE", SIZE(8), .flags = RING_STATE, .check = check_base },
	[VHOST_GET_VRING_BASE] = { .name = "GET_VRING_BASE", SIZE(8), .flags = RING_STATE | OWN_REPLY },
	[VHOST_SET_VRING_KICK] = { .name = "SET_VRING_KICK", SIZE(8), FDS(0, 1), .flags = RING_FD },
	[VHOST_SET_VRING_CALL] = { .name = "SET_VRING_CALL", SIZE(8), FDS(0, 1), .flags = RING_FD },
	[VHOST_SET_VRING_ERR] = { .name = "SET_VRING_ERR", SIZE(8), FDS(0, 1), .flags = RING_FD },
	[VHOST_GET_PROTOCOL_FEATURES] = { .name = "GET_PROTOCOL_FEATURES", .flags = OWN_REPLY },
	[VHOST_SET_PROTOCOL_FEATURES] = { .name = "SET_PROTOCOL_FEATURES", SIZE(8), .check = check_proto },
	[VHOST_GET_QUEUE_NUM] = { .name = "GET_QUEUE_NUM", .proto = VHOST_BIT(VHOST_P_MQ), .flags = OWN_REPLY | IF_OFFERED },
	/* Not tied to the feature bit: older QEMUs send it without having agreed on that. */
	[VHOST_SET_VRING_ENABLE] = { .name = "SET_VRING_ENABLE", SIZE(8), .flags = RING_STATE, .check = check_enable },
	[VHOST_GET_CONFIG] = { .name = "GET_CONFIG", .size_min = VHOST_CONFIG_HEAD, .size_max = sizeof(struct vhost_config),
			       .proto = VHOST_BIT(VHOST_P_CONFIG), .flags = OWN_REPLY, .check = check_config },
	[VHOST_SET_CONFIG] = { .name = "SET_CONFIG", .absent = "the configuration space is read-only" },
	[VHOST_GET_INFLIGHT_FD] = { .name = "GET_INFLIGHT_FD", .size_min = VHOST_INFLIGHT_MIN,
				    .size_max = sizeof(struct vhost_inflight),
				    .proto = VHOST_BIT(VHOST_P_INFLIGHT_SHMFD), .flags = OWN_REPLY,
				    .check = check_inflight },
	[VHOST_SET_INFLIGHT_FD] = { .name = "SET_INFLIGHT_FD", .size_min = VHOST_INFLIGHT_MIN,
				    .size_max = sizeof(struct vhost_inflight), FDS(1, 1),
				    .proto = VHOST_BIT(VHOST_P_INFLIGHT_SHMFD), .check = check_set_inflight },
	[VHOST_RESET_DEVICE] = { .name = "RESET_DEVICE", .proto = VHOST_BIT(VHOST_P_RESET_DEVICE), .flags = IF_OFFERED },
	[VHOST_GET_MAX_MEM_SLOTS] = { .name = "GET_MAX_MEM_SLOTS", .proto = VHOST_BIT(VHOST_P_CONFIGURE_MEM_SLOTS),
				      .flags = OWN_REPLY },
	[VHOST_ADD_MEM_REG] = { .name = "ADD_MEM_REG", SIZE(40), FDS(1, 1), .proto = VHOST_BIT(VHOST_P_CONFIGURE_MEM_SLOTS),
				.check = check_mem_reg },
	/* A descriptor is no use here, but some front ends send one. */
	[VHOST_REM_MEM_REG] = { .name = "REM_MEM_REG", SIZE(40), FDS(0, 1), .proto = VHOST_BIT(VHOST_P_CONFIGURE_MEM_SLOTS),
				.check = check_mem_reg },

	[VHOST_SET_LOG_BASE] = { .name = "SET_LOG_BASE", ABSENT("LOG_SHMFD") },
	[VHOST_SET_LOG_FD] = { .name = "SET_LOG_FD", ABSENT("LOG_SHMFD") },
	[VHOST_SEND_RARP] = { .name = "SEND_RARP", ABSENT("RARP") },
	[VHOST_NET_SET_MTU] = { .name = "NET_SET_MTU", ABSENT("MTU") },
	[VHOST_SET_BACKEND_REQ_FD] = { .name = "SET_BACKEND_REQ_FD", FDS(1, 1), .proto = VHOST_BIT(VHOST_P_BACKEND_REQ) },
	[VHOST_IOTLB_MSG] = { .name = "IOTLB_MSG", ABSENT("IOMMU_PLATFORM") },
	[VHOST_SET_VRING_ENDIAN] = { .name = "SET_VRING_ENDIAN", ABSENT("CROSS_ENDIAN") },
	[VHOST_CREATE_CRYPTO_SESSION] = { .name = "CREATE_CRYPTO_SESSION", ABSENT("CRYPTO_SESSION") },
	[VHOST_CLOSE_CRYPTO_SESSION] = { .name = "CLOSE_CRYPTO_SESSION", ABSENT("CRYPTO_SESSION") },
	[VHOST_POSTCOPY_ADVISE] = { .name = "POSTCOPY_ADVISE", ABSENT("PAGEFAULT") },
	[VHOST_POSTCOPY_LISTEN] = { .name = "POSTCOPY_LISTEN", ABSENT("PAGEFAULT") },
	[VHOST_POSTCOPY_END] = { .name = "POSTCOPY_END", ABSENT("PAGEFAULT") },
	[VHOST_GPU_SET_SOCKET] = { .name = "GPU_SET_SOCKET", .absent = "this device is no GPU" },
	[VHOST_VRING_KICK] = { .name = "VRING_KICK", ABSENT("INBAND_NOTIFICATIONS") },
	[VHOST_SET_STATUS] = { .name = "SET_STATUS", ABSENT("STATUS") },
	[VHOST_GET_STATUS] = { .name = "GET_STATUS", ABSENT("STATUS") },
	[VHOST_GET_SHARED_OBJECT] = { .name = "GET_SHARED_OBJECT", ABSENT("SHARED_OBJECT") },
	[VHOST_SET_DEVICE_STATE_FD] = { .name = "SET_DEVICE_STATE_FD", ABSENT("DEVICE_STATE") },
	[VHOST_CHECK_DEVICE_STATE] = { .name = "CHECK_DEVICE_STATE", ABSENT("DEVICE_STATE") },
};

static const struct row *row_of(uint32_t request)
{
	return request < ARRAY_SIZE(rows) && rows[request].name ? &rows[request] : NULL;
}

static const char *check_frame(const struct vhost_msg *msg, const struct row *row)
{
	if ((msg->hdr.flags & VHOST_VERSION_MASK) != VHOST_VERSION)
		return "another version of the protocol";
	if (msg->hdr.flags & VHOST_FLAG_REPLY)
		return "a reply where a request is due";
	if (row->absent)
		return row->absent;
	if (msg->oversize || msg->hdr.size < row->size_min || msg->hdr.size > row->size_max)
		return "the payload has the wrong size";
	if (msg->fds_lost)
		return "there are more descriptors than could be taken";
	if (msg->nfds < row->fds_min || msg->nfds > row->fds_max)
		return "the wrong number of descriptors";
	return NULL;
}

static const char *check_ring(const struct vhost_msg *msg, const struct vhost_env *env, const struct row *row)
{
	uint64_t index = 0;

	if (row->flags & RING_STATE)
		index = msg->p.state.index;
	else if (row->flags & RING_ADDR)
		index = msg->p.addr.index;
	else if (row->flags & RING_FD)
		index = msg->p.u64 & VHOST_FD_INDEX_MASK;
	else
		return NULL;
	if (index >= env->nrings)
		return "there is no such ring";
	if (!(row->flags & RING_FD))
		return NULL;
	if (msg->p.u64 & ~(VHOST_FD_INDEX_MASK | VHOST_FD_NONE))
		return "bits are set that have no meaning";
	if ((msg->nfds == 0) != !!(msg->p.u64 & VHOST_FD_NONE))
		return "it says one thing of its descriptor and does another";
	return NULL;
}

/**
 * vhost_msg_check() - Is this message one that may be obeyed?
 * @msg:	The message, untrusted
 * @env:	State of the device
 * @why:	Set to a constant sentence unless the message passes
 *
 * Return: the verdict
 */
enum vhost_verdict vhost_msg_check(const struct vhost_msg *msg, const struct vhost_env *env, const char **why)
{
	const struct row *row = row_of(msg->hdr.request);
	uint64_t proto;

	if (!row) {
		*why = "it is not known";
		return VHOST_UNKNOWN;
	}
	proto = row->flags & IF_OFFERED ? env->proto_offered : env->proto;
	*why = check_frame(msg, row);
	if (!*why && (row->proto & ~proto))
		*why = "its protocol feature was not negotiated";
	if (!*why)
		*why = check_ring(msg, env, row);
	if (!*why && row->check)
		*why = row->check(msg, env);
	return *why ? VHOST_REFUSE : VHOST_PASS;
}

/**
 * vhost_msg_name() - Name of a request, for the log
 * @request:	Its number
 *
 * Return: a constant string
 */
const char *vhost_msg_name(uint32_t request)
{
	const struct row *row = row_of(request);

	return row ? row->name : "unknown request";
}

/**
 * vhost_msg_replies() - Does the protocol give this request a reply of its own?
 * @request:	Its number
 *
 * Return: true for a request that the VMM waits for whatever was negotiated
 */
bool vhost_msg_replies(uint32_t request)
{
	const struct row *row = row_of(request);

	return row && (row->flags & OWN_REPLY);
}

/**
 * vhost_inflight_stride() - Bytes of one ring's part of an in-flight region
 * @queue_size:	Entries of the ring
 *
 * A head of 16 bytes and 16 for each descriptor, to the next cache line: rings are written by different threads.
 *
 * Return: the number
 */
uint64_t vhost_inflight_stride(uint16_t queue_size)
{
	return ALIGN_UP(16 + 16 * (uint64_t)queue_size, 64);
}
