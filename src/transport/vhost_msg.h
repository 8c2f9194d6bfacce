/* vhost_msg.h - is this message of the VMM one that may be obeyed? Pure: no side effect, no system call.
 *
 * Role: transport. Distrusted: the VMM. What passes vhost_msg_check() has the right size and number of descriptors, names
 * an existing ring, was negotiated, comes in a state that allows it, and holds numbers that make sense by themselves.
 * Whether addresses lie in guest memory and descriptors are what they should be is found out by doing (vhost_dev.c).
 */
#ifndef VFSD_VHOST_MSG_H
#define VFSD_VHOST_MSG_H

#include "common/base.h"
#include "transport/vhost_wire.h"

#define VHOST_FDS_MAX 8u
#define VHOST_PAYLOAD_MAX 4096u

union vhost_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_mem_table table;
	struct vhost_mem_reg reg;
	struct vhost_config config;
	struct vhost_inflight inflight;
	uint8_t bytes[VHOST_PAYLOAD_MAX];
};

/* A message as it was received: all of it untrusted. Bytes behind hdr.size are zero. */
struct vhost_msg {
	struct vhost_hdr hdr;
	bool oversize; /* hdr.size is more than p holds; the payload was thrown away */
	bool fds_lost; /* more descriptors than VHOST_FDS_MAX, or than this process may have open */
	uint32_t nfds;
	int fds[VHOST_FDS_MAX]; /* -1 once taken */
	union vhost_payload p;
};

/* What vhost_dev.c knows and a check needs. */
struct vhost_ring_env {
	uint32_t num; /* 0: not set */
	bool running;
};
struct vhost_env {
	uint64_t features_offered;
	uint64_t features; /* agreed on */
	uint64_t proto_offered;
	uint64_t proto; /* agreed on */
	uint32_t nrings;
	const struct vhost_ring_env *ring; /* nrings of them */
};

enum vhost_verdict {
	VHOST_PASS,
	VHOST_REFUSE,  /* a known request that breaks a rule */
	VHOST_UNKNOWN, /* a request that no rule is known for */
};

/* vhost_msg_check() - the verdict; *why is set to a constant sentence unless it is VHOST_PASS. */
enum vhost_verdict vhost_msg_check(const struct vhost_msg *msg, const struct vhost_env *env, const char **why) NODISCARD;

/* vhost_msg_name() - of a request, for the log; "unknown request" when there is none. */
const char *vhost_msg_name(uint32_t request);

/* vhost_msg_replies() - does the protocol give this request a reply of its own? */
bool vhost_msg_replies(uint32_t request);

/* vhost_inflight_stride() - bytes of one ring's part of an in-flight region. */
uint64_t vhost_inflight_stride(uint16_t queue_size);

#endif
