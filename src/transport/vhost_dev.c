/* vhost_dev.c - see vhost_dev.h.
 *
 * Role: transport, control thread. Distrusted: the VMM; every message was passed by vhost_msg_check() before an effect
 * here sees it.
 *
 * Theory. Three steps for each message: vhost_msg.c says whether it may be obeyed, the function of its row in `effects`
 * does it, and the reply follows from the result. Messages that name a ring are in vhost_ring.c.
 *
 * RESET_DEVICE keeps guest memory and the protocol features: QEMU sends neither again.
 */
#include "transport/vhost_dev_int.h"

#include <endian.h>

#include "common/log.h"

#define FEATURES_OFFERED                                                             \
	(VHOST_BIT(VIRTIO_BIT_VERSION_1) | VHOST_BIT(VIRTIO_BIT_INDIRECT_DESC) |     \
	 VHOST_BIT(VIRTIO_BIT_EVENT_IDX) | VHOST_BIT(VHOST_BIT_PROTOCOL_FEATURES))
#define PROTO_OFFERED                                                                \
	(VHOST_BIT(VHOST_P_MQ) | VHOST_BIT(VHOST_P_REPLY_ACK) |                      \
	 VHOST_BIT(VHOST_P_INFLIGHT_SHMFD) | VHOST_BIT(VHOST_P_RESET_DEVICE) |       \
	 VHOST_BIT(VHOST_P_CONFIGURE_MEM_SLOTS))

/* features ----------------------------------------------------------------------------------------- */

static void reply_u64(struct vhost_reply *reply, uint64_t v)
{
	reply->hdr.size = sizeof(v);
	reply->p.u64 = v;
}

static int do_get_features(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->env.features_offered);
	return 0;
}

static int do_set_features(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	int r = 0;

	(void)reply;
	dev->env.features = msg->p.u64;
	if (vhost_has_feature(dev, VHOST_BIT_PROTOCOL_FEATURES))
		return 0;
	for (uint32_t i = 0; i < dev->env.nrings && !r; i++) {
		dev->ring[i].enabled = true;
		r = ring_try_start(dev, i);
	}
	return r;
}

static int do_get_proto(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->env.proto_offered);
	return 0;
}

static int do_set_proto(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	dev->env.proto = msg->p.u64;
	return 0;
}

/* SET_OWNER has no meaning with one connection, RESET_OWNER none at all: the protocol recommends to ignore it. */
static int do_nothing(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)dev;
	(void)msg;
	(void)reply;
	return 0;
}

static int do_get_queue_num(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->env.nrings);
	return 0;
}

static int do_get_config(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_config *want = &msg->p.config;
	struct vhost_fs_config fs = { .num_request_queues = htole32(dev->config.config_queues) };
	uint8_t space[VHOST_CONFIG_MAX] = { 0 };

	memcpy(fs.tag, dev->config.tag, sizeof(fs.tag));
	memcpy(space, &fs, sizeof(fs));
	reply->p.config.offset = want->offset;
	reply->p.config.size = want->size;
	reply->p.config.flags = want->flags;
	memcpy(reply->p.config.data, space + want->offset, want->size);
	reply->hdr.size = VHOST_CONFIG_HEAD + want->size;
	return 0;
}

/* We have nothing to ask of the VMM, and want no channel to it. But user-mode-linux takes the interrupt of all its rings from
 * this one (arch/um/drivers/virtio_uml.c: vu_dev->irq), and finds the device unusable without; so where there is a tag,
 * which is what such a VMM needs as well, the channel is offered, and its descriptor kept open and never touched. */
static int do_set_backend_req_fd(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	close_fd(&dev->backend_req_fd);
	dev->backend_req_fd = take_fd(&msg->fds[0]);
	return 0;
}

static int do_reset_device(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)msg;
	(void)reply;
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		ring_reset(dev, i);
	/* A region that is handed in again must not tell the next driver of this one's requests. */
	if (dev->inflight) {
		uint64_t len = dev->inflight_queues * vhost_inflight_stride(dev->inflight_size);

		memset(gmem_at(dev->inflight, (struct gpa){ 0 }, len), 0, len);
		gmem_unref(dev->inflight);
		dev->inflight = NULL;
	}
	dev->env.features = 0;
	return 0;
}

/* memory ------------------------------------------------------------------------------------------- */

static const char *why_not_mapped(int err)
{
	switch (err) {
	case -ENOSPC:
		return "there are too many regions";
	case -ENOMEM:
		return "no memory is left";
	case -EINVAL:
		return "it overlaps another, or its file is shorter than it";
	default:
		return SHARE_HINT;
	}
}

static int add_region(struct gmem *old, const struct vhost_region *r, int fd, const char *what, struct gmem **out)
{
	const struct gmem_region_desc d = {
		.guest_addr = r->guest_addr,
		.size = r->size,
		.user_addr = r->user_addr,
		.mmap_offset = r->mmap_offset,
	};
	int err = gmem_with_region(old, &d, fd, out);

	if (err)
		log_limited(LOG_LVL_WARN, "%s at %#llx, %llu bytes, cannot be mapped: %s (error %d)", what,
			    (unsigned long long)d.guest_addr, (unsigned long long)d.size, why_not_mapped(err), -err);
	return err;
}

/* A new set takes the place of the old one: running rings follow, those that waited for their memory start. */
static void set_memory(struct vhost_dev *dev, struct gmem *m)
{
	for (uint32_t i = 0; i < dev->env.nrings; i++) {
		if (!dev->ring_env[i].running || queue_set_gmem(dev->ring[i].queue, m) == 0)
			continue;
		log_limited(LOG_LVL_WARN, "ring %u stops: the VMM removed the memory that it is in", i);
		ring_stop(dev, i);
	}
	gmem_unref(dev->mem);
	dev->mem = m;
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		if (gmem_at_user(m, dev->ring[i].addr.desc, 1))
			(void)!ring_try_start(dev, i); /* why not was logged; the memory is there */
}

static int do_set_mem_table(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_mem_table *t = &msg->p.table;
	struct gmem *m = gmem_new();
	int r = m ? 0 : -ENOMEM;

	(void)reply;
	for (uint32_t i = 0; i < t->count && !r; i++) {
		struct gmem *more = NULL;

		r = add_region(m, &t->region[i], msg->fds[i], "guest memory", &more);
		if (!r) {
			gmem_unref(m);
			m = more;
		}
	}
	if (r) {
		gmem_unref(m);
		return r;
	}
	set_memory(dev, m);
	return 0;
}

static int do_get_max_mem_slots(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)dev;
	(void)msg;
	reply_u64(reply, GMEM_SLOTS_MAX);
	return 0;
}

static int do_add_mem_reg(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	struct gmem *m;
	int r = add_region(dev->mem, &msg->p.reg.region, msg->fds[0], "guest memory", &m);

	(void)reply;
	if (!r)
		set_memory(dev, m);
	return r;
}

static int do_rem_mem_reg(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_region *reg = &msg->p.reg.region;
	const struct gmem_region_desc d = {
		.guest_addr = reg->guest_addr,
		.size = reg->size,
		.user_addr = reg->user_addr,
	};
	struct gmem *m;
	int r = gmem_without_region(dev->mem, &d, &m);

	(void)reply;
	if (!r)
		set_memory(dev, m);
	return r;
}

/* in-flight region --------------------------------------------------------------------------------- */

static int do_get_inflight(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_inflight *want = &msg->p.inflight;
	uint64_t size = want->num_queues * vhost_inflight_stride(want->queue_size);
	int fd = gmem_new_memfd("virtiofsd-inflight", size);

	(void)dev;
	if (fd < 0)
		return fd;
	reply->fd = fd;
	reply->hdr.size = msg->hdr.size;
	reply->p.inflight.mmap_size = size;
	reply->p.inflight.num_queues = want->num_queues;
	reply->p.inflight.queue_size = want->queue_size;
	return 0;
}

/* The region is guest memory of a kind: the VMM made it and may truncate it, so gmem keeps it. Rings that run go on
 * with the one they have. */
static int do_set_inflight(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_inflight *in = &msg->p.inflight;
	const struct vhost_region r = { .size = in->mmap_size, .mmap_offset = in->mmap_offset };
	struct gmem *none = gmem_new(), *m = NULL;
	int err = none ? add_region(none, &r, msg->fds[0], "the in-flight region", &m) : -ENOMEM;

	(void)reply;
	gmem_unref(none);
	if (err)
		return err;
	if ((uintptr_t)gmem_at(m, (struct gpa){ 0 }, 1) % 8) {
		gmem_unref(m);
		return -EINVAL;
	}
	gmem_unref(dev->inflight);
	dev->inflight = m;
	dev->inflight_queues = in->num_queues;
	dev->inflight_size = in->queue_size;
	return 0;
}

/* dispatch ----------------------------------------------------------------------------------------- */

static effect_fn *const effects[VHOST_REQUEST_END] = {
	[VHOST_GET_FEATURES] = do_get_features,
	[VHOST_SET_FEATURES] = do_set_features,
	[VHOST_SET_OWNER] = do_nothing,
	[VHOST_RESET_OWNER] = do_nothing,
	[VHOST_SET_MEM_TABLE] = do_set_mem_table,
	[VHOST_SET_VRING_NUM] = vhost_set_num,
	[VHOST_SET_VRING_ADDR] = vhost_set_addr,
	[VHOST_SET_VRING_BASE] = vhost_set_base,
	[VHOST_GET_VRING_BASE] = vhost_get_base,
	[VHOST_SET_VRING_KICK] = vhost_set_kick,
	[VHOST_SET_VRING_CALL] = vhost_set_call,
	[VHOST_SET_VRING_ERR] = vhost_set_err,
	[VHOST_GET_PROTOCOL_FEATURES] = do_get_proto,
	[VHOST_SET_PROTOCOL_FEATURES] = do_set_proto,
	[VHOST_GET_QUEUE_NUM] = do_get_queue_num,
	[VHOST_SET_BACKEND_REQ_FD] = do_set_backend_req_fd,
	[VHOST_SET_VRING_ENABLE] = vhost_set_enable,
	[VHOST_GET_CONFIG] = do_get_config,
	[VHOST_GET_INFLIGHT_FD] = do_get_inflight,
	[VHOST_SET_INFLIGHT_FD] = do_set_inflight,
	[VHOST_RESET_DEVICE] = do_reset_device,
	[VHOST_GET_MAX_MEM_SLOTS] = do_get_max_mem_slots,
	[VHOST_ADD_MEM_REG] = do_add_mem_reg,
	[VHOST_REM_MEM_REG] = do_rem_mem_reg,
};

/* Was an acknowledgement asked for, and may it be? SET_PROTOCOL_FEATURES may ask for its own. */
static bool wants_ack(const struct vhost_dev *dev, const struct vhost_msg *msg)
{
	uint64_t proto = dev->env.proto;

	if (msg->hdr.request == VHOST_SET_PROTOCOL_FEATURES && msg->hdr.size == sizeof(msg->p.u64))
		proto |= msg->p.u64;
	return (msg->hdr.flags & VHOST_FLAG_NEED_REPLY) && (proto & VHOST_BIT(VHOST_P_REPLY_ACK));
}

/* The reply to a query that failed. The VMM waits for one, and each kind of query has its way to say no: no payload,
 * or for the in-flight region one of no size. */
static void reply_failed_query(const struct vhost_msg *msg, struct vhost_reply *reply)
{
	memset(&reply->p, 0, sizeof(struct vhost_inflight));
	reply->hdr.size = 0;
	if (msg->hdr.request == VHOST_GET_INFLIGHT_FD && msg->hdr.size >= VHOST_INFLIGHT_MIN &&
	    msg->hdr.size <= sizeof(struct vhost_inflight))
		reply->hdr.size = msg->hdr.size;
}

static int handle(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const char *why = "it is not known";

	if (vhost_msg_check(msg, &dev->env, &why) != VHOST_PASS || !effects[msg->hdr.request]) {
		log_limited(LOG_LVL_WARN, "message %s (%u) of the VMM is ignored: %s",
			    vhost_msg_name(msg->hdr.request), msg->hdr.request, why);
		return -EINVAL;
	}
	log_debug("%s", vhost_msg_name(msg->hdr.request));
	return effects[msg->hdr.request](dev, msg, reply);
}

/**
 * vhost_dev_handle() - Do what a message says, or log why not
 * @dev:	The device
 * @msg:	The message as received; descriptors that are of use are taken from it
 * @reply:	Filled in
 *
 * Return: true when @reply is to be sent; its descriptor is the caller's to close
 */
bool vhost_dev_handle(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	int r;

	reply->fd = -1;
	reply->hdr = (struct vhost_hdr){ .request = msg->hdr.request, .flags = VHOST_VERSION | VHOST_FLAG_REPLY };
	memset(&reply->p, 0, sizeof(struct vhost_config));
	r = handle(dev, msg, reply);
	if (vhost_msg_replies(msg->hdr.request)) {
		if (r)
			reply_failed_query(msg, reply);
		return true;
	}
	if (!wants_ack(dev, msg))
		return false;
	reply_u64(reply, (uint64_t)-r);
	return true;
}

/* start and end ------------------------------------------------------------------------------------ */

/**
 * vhost_dev_new() - The device before the VMM said anything
 * @p:	See vhost_dev.h
 *
 * Return: the device, or NULL without memory
 */
struct vhost_dev *vhost_dev_new(const struct vhost_dev_params *p)
{
	struct vhost_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->mem = gmem_new();
	if (!dev->mem) {
		free(dev);
		return NULL;
	}
	dev->config = *p->config;
	dev->fuse = p->fuse;
	dev->bulk = p->bulk;
	dev->env.features_offered = FEATURES_OFFERED;
	dev->env.proto_offered = PROTO_OFFERED;
	if (dev->config.flags & CFG_HAS_TAG)
		dev->env.proto_offered |= VHOST_BIT(VHOST_P_CONFIG) | VHOST_BIT(VHOST_P_BACKEND_REQ);
	dev->backend_req_fd = -1;
	dev->env.nrings = dev->config.nlinks;
	dev->env.ring = dev->ring_env;
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		dev->ring[i].link_fd = p->link_fds[i];
	return dev;
}

/**
 * vhost_dev_free() - The VMM is gone
 * @dev:	The device
 */
void vhost_dev_free(struct vhost_dev *dev)
{
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		ring_reset(dev, i);
	for (uint32_t i = 0; i < dev->env.nrings; i++) {
		if (dev->ring[i].queue)
			queue_free(dev->ring[i].queue);
		close_fd(&dev->ring[i].link_fd);
	}
	close_fd(&dev->backend_req_fd);
	gmem_unref(dev->inflight);
	gmem_unref(dev->mem);
	free(dev);
}
