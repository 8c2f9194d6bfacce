/* fuzz_vhost_msg.c - any bytes as messages: what passes the check must keep what vhost_msg.h promises.
 *
 * Input: records of
 *	byte 0		protocol features agreed on (bits of all that are offered), bit 7: the second ring runs
 *	byte 1		low 4 bits: descriptors; bit 4 fds_lost; bit 5 oversize
 *	bytes 2-3	length of the payload that is there, little endian
 *	header, payload	as on the wire
 */
#include "transport/vhost_msg.h"

#define HEAD 4u
#define NRINGS 3u

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t proto_bits[] = { VHOST_P_MQ,	    VHOST_P_REPLY_ACK,		 VHOST_P_CONFIG,
				      VHOST_P_INFLIGHT_SHMFD, VHOST_P_RESET_DEVICE, VHOST_P_CONFIGURE_MEM_SLOTS,
				      VHOST_P_BACKEND_REQ };

static void check_region(const struct vhost_region *r)
{
	MUST(r->size);
	MUST(r->guest_addr <= UINT64_MAX - r->size && r->user_addr <= UINT64_MAX - r->size);
	MUST(r->mmap_offset <= UINT64_MAX - r->size);
}

static void check_ring_passed(const struct vhost_msg *m, const struct vhost_env *env)
{
	switch (m->hdr.request) {
	case VHOST_SET_VRING_NUM:
		MUST(m->p.state.num && m->p.state.num <= 32768 && !(m->p.state.num & (m->p.state.num - 1)));
		__attribute__((fallthrough));
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_ENABLE:
		MUST(m->p.state.index < env->nrings);
		MUST(m->hdr.request != VHOST_SET_VRING_BASE || m->p.state.num <= UINT16_MAX);
		break;
	case VHOST_SET_VRING_ADDR:
		MUST(m->p.addr.index < env->nrings);
		break;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		MUST((m->p.u64 & 0xff) < env->nrings && m->nfds <= 1);
		break;
	}
}

static void check_passed(const struct vhost_msg *m, const struct vhost_env *env)
{
	MUST(m->hdr.request < VHOST_REQUEST_END && !m->oversize && !m->fds_lost);
	MUST(m->hdr.size <= sizeof(struct vhost_config));
	check_ring_passed(m, env);
	switch (m->hdr.request) {
	case VHOST_SET_MEM_TABLE:
		MUST(m->p.table.count == m->nfds && m->nfds && m->nfds <= VHOST_TABLE_REGIONS_MAX);
		MUST(m->hdr.size >= 8 + 32 * m->p.table.count);
		for (uint32_t i = 0; i < m->p.table.count; i++)
			check_region(&m->p.table.region[i]);
		break;
	case VHOST_ADD_MEM_REG:
		MUST(m->nfds == 1);
		check_region(&m->p.reg.region);
		break;
	case VHOST_GET_CONFIG:
		MUST((uint64_t)m->p.config.offset + m->p.config.size <= VHOST_CONFIG_MAX);
		break;
	case VHOST_SET_INFLIGHT_FD:
		MUST(m->nfds == 1);
		MUST(m->p.inflight.mmap_size >= m->p.inflight.num_queues * (16 + 16ull * m->p.inflight.queue_size));
		__attribute__((fallthrough));
	case VHOST_GET_INFLIGHT_FD:
		MUST(m->p.inflight.num_queues && m->p.inflight.num_queues <= env->nrings);
		break;
	case VHOST_SET_FEATURES:
		MUST(!(m->p.u64 & ~env->features_offered));
		break;
	case VHOST_SET_PROTOCOL_FEATURES:
		MUST(!(m->p.u64 & ~env->proto_offered));
		break;
	}
}

static size_t one_record(const uint8_t *data, size_t size)
{
	static struct vhost_msg m;
	struct vhost_ring_env rings[NRINGS] = { [1] = { 256, data[0] >> 7 } };
	struct vhost_env env = { .features_offered = 0x170000000ull, .nrings = NRINGS, .ring = rings };
	const size_t len = MIN(MIN(data[2] | (size_t)data[3] << 8, size - HEAD), sizeof(m.hdr) + sizeof(m.p));
	const char *why = NULL;
	enum vhost_verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(proto_bits); i++) {
		env.proto_offered |= VHOST_BIT(proto_bits[i]);
		if (data[0] >> i & 1)
			env.proto |= VHOST_BIT(proto_bits[i]);
	}
	memset(&m, 0, sizeof(m));
	m.nfds = MIN(data[1] & 15u, VHOST_FDS_MAX);
	m.fds_lost = data[1] >> 4 & 1;
	m.oversize = data[1] >> 5 & 1;
	memcpy(&m.hdr, data + HEAD, MIN(len, sizeof(m.hdr)));
	if (len > sizeof(m.hdr))
		memcpy(&m.p, data + HEAD + sizeof(m.hdr), len - sizeof(m.hdr));
	v = vhost_msg_check(&m, &env, &why);
	MUST((v == VHOST_PASS) == (why == NULL));
	if (v == VHOST_PASS)
		check_passed(&m, &env);
	MUST(vhost_msg_name(m.hdr.request)[0]);
	(void)vhost_msg_replies(m.hdr.request);
	return HEAD + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > HEAD) {
		size_t used = one_record(data, size);

		data += used;
		size -= used;
	}
	return 0;
}
