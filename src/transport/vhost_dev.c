/* vhost_dev.c - see vhost_dev.h.
 *
 * Role: transport, control thread. Distrusted: the VMM; every message was passed by vhost_msg_check() before an effect
 * here sees it.
 *
 * Theory. Three steps for each message: vhost_msg.c says whether it may be obeyed, the function of its row in `effects`
 * does it, and the reply follows from the result. Messages that name a ring are in vhost_ring.c.
 *
 * RESET_DEVICE keeps guest memory and the protocol features: QEMU sends neither again.
 *
 * What outlives this process (state.h) is a picture of the device, made anew by dev_keep() and made valid by one store. A
 * successor that finds a message which is not noted as obeyed obeys it again, whatever had been done of it, so the picture may
 * show any part of its effects; in each of these orders:
 *
 *	SET_MEM_TABLE, *_MEM_REG	the new regions are noted, then rings follow, then the old descriptors are closed
 *	KICK, CALL, ERR			the new descriptor is noted, then the ring gets it, which closes the old one
 *	a ring starts			it is noted that it runs, then it may take the first chain: who finds that it did not run
 *					would begin anew, and answer twice
 *	a ring stops			it stops, then it is noted where: who finds that it ran goes on, and stops it again
 *	ADD_MEM_REG, REM_MEM_REG	cannot be done twice: a successor's first message that adds what is there, or removes what is
 *					not, is taken for one that was half done (`again`)
 *	all others			have no effect but in here, or may be done twice
 *
 * The number of the message and its reply are noted in one picture with its effects: then it is over.
 */
#include "transport/vhost_dev_int.h"

#include <endian.h>
#include <sys/stat.h>

#include "common/crashpoint.h"
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
	int old = dev->backend_req_fd;

	(void)reply;
	dev->backend_req_fd = take_fd(&msg->fds[0]);
	dev_keep(dev);
	close_fd(&old);
	return 0;
}

static void drop_inflight(struct vhost_dev *dev)
{
	int old = take_fd(&dev->inflight_fd);

	gmem_unref(dev->inflight);
	dev->inflight = NULL;
	dev_keep(dev);
	close_fd(&old);
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
		drop_inflight(dev);
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

/* A new set takes the place of the old one: running rings follow, those that waited for their memory start. It is noted already. */
static void set_memory(struct vhost_dev *dev, struct gmem *m)
{
	CRASHPOINT("memory-noted");
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
	int r = m ? 0 : -ENOMEM, old[GMEM_SLOTS_MAX];
	uint32_t nold = dev->nrows;

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
	for (uint32_t i = 0; i < nold; i++)
		old[i] = dev->row[i].fd;
	for (uint32_t i = 0; i < t->count; i++)
		dev->row[i] = (struct region_row){ t->region[i], vhost_msg_take_fd(msg, i) };
	dev->nrows = t->count;
	dev_keep(dev);
	set_memory(dev, m);
	for (uint32_t i = 0; i < nold; i++)
		close_fd(&old[i]);
	return 0;
}

static int do_get_max_mem_slots(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)dev;
	(void)msg;
	reply_u64(reply, GMEM_SLOTS_MAX);
	return 0;
}

/* The row of exactly this region; nrows: there is none. */
static uint32_t find_row(const struct vhost_dev *dev, const struct vhost_region *r)
{
	uint32_t i = 0;

	while (i < dev->nrows && (dev->row[i].r.guest_addr != r->guest_addr || dev->row[i].r.size != r->size ||
				  dev->row[i].r.user_addr != r->user_addr))
		i++;
	return i;
}

static int do_add_mem_reg(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	struct gmem *m;
	int r;

	(void)reply;
	if (dev->again && find_row(dev, &msg->p.reg.region) < dev->nrows) {
		set_memory(dev, gmem_ref(dev->mem));
		return 0;
	}
	r = add_region(dev->mem, &msg->p.reg.region, msg->fds[0], "guest memory", &m);
	if (r)
		return r;
	dev->row[dev->nrows++] = (struct region_row){ msg->p.reg.region, vhost_msg_take_fd(msg, 0) };
	dev_keep(dev);
	set_memory(dev, m);
	return 0;
}

static int do_rem_mem_reg(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_region *reg = &msg->p.reg.region;
	const struct gmem_region_desc d = {
		.guest_addr = reg->guest_addr,
		.size = reg->size,
		.user_addr = reg->user_addr,
	};
	uint32_t i = find_row(dev, reg);
	struct gmem *m;
	int r, old;

	(void)reply;
	if (dev->again && i == dev->nrows) {
		set_memory(dev, gmem_ref(dev->mem));
		return 0;
	}
	r = gmem_without_region(dev->mem, &d, &m);
	if (r)
		return r;
	old = i < dev->nrows ? dev->row[i].fd : -1;
	if (i < dev->nrows)
		dev->row[i] = dev->row[--dev->nrows];
	dev_keep(dev);
	set_memory(dev, m);
	close_fd(&old);
	return 0;
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

static int map_inflight(uint64_t offset, uint64_t bytes, int fd, struct gmem **out)
{
	const struct vhost_region r = { .size = bytes, .mmap_offset = offset };
	struct gmem *none = gmem_new();
	int err = none ? add_region(none, &r, fd, "the in-flight region", out) : -ENOMEM;

	gmem_unref(none);
	if (!err && (uintptr_t)gmem_at(*out, (struct gpa){ 0 }, 1) % 8) {
		gmem_unref(*out);
		err = -EINVAL;
	}
	return err;
}

/* The region is guest memory of a kind: the VMM made it and may truncate it, so gmem keeps it. Rings that run go on
 * with the one they have. */
static int do_set_inflight(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_inflight *in = &msg->p.inflight;
	struct gmem *m = NULL;
	int old = dev->inflight_fd, err = map_inflight(in->mmap_offset, in->mmap_size, msg->fds[0], &m);

	(void)reply;
	if (err)
		return err;
	gmem_unref(dev->inflight);
	dev->inflight = m;
	dev->inflight_queues = in->num_queues;
	dev->inflight_size = in->queue_size;
	dev->inflight_offset = in->mmap_offset;
	dev->inflight_bytes = in->mmap_size;
	dev->inflight_fd = vhost_msg_take_fd(msg, 0);
	dev_keep(dev);
	close_fd(&old);
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

/* what outlives this process ------------------------------------------------------------------------ */

static uint32_t held(const struct vhost_dev *dev, int fd)
{
	return state_held(dev->state->generation, fd);
}

static void keep_ring(const struct vhost_dev *dev, uint32_t i, struct state_vring *out)
{
	const struct ring *ring = &dev->ring[i];
	const struct vhost_ring_env *env = &dev->ring_env[i];

	*out = (struct state_vring){
		.desc = ring->addr.desc,
		.avail = ring->addr.avail,
		.used = ring->addr.used,
		.num = env->num,
		.base = ring->base,
		.flags = (uint16_t)((ring->addr_set ? SVR_ADDR : 0) | (ring->kick_set ? SVR_KICK : 0) |
				    (ring->enabled ? SVR_ENABLED : 0) | (env->running || ring->resume ? SVR_RUNNING : 0)),
		.kick = held(dev, ring->kick_fd),
		.call = held(dev, ring->call_fd),
		.err = held(dev, ring->err_fd),
	};
}

/**
 * dev_keep() - Write down what the device is now
 * @dev:	The device
 */
void dev_keep(struct vhost_dev *dev)
{
	struct state_device *d;

	if (!dev->state)
		return;
	d = state_draft(dev->state);
	d->features = dev->env.features;
	d->proto = dev->env.proto;
	d->obeyed = dev->obeyed;
	d->reply_due = dev->reply_due;
	d->reply_hdr = dev->reply.hdr;
	d->reply_held = held(dev, dev->reply_due ? dev->reply.fd : -1);
	memcpy(d->reply, &dev->reply.p, sizeof(d->reply));
	d->backend_req = held(dev, dev->backend_req_fd);
	d->inflight = held(dev, dev->inflight_fd);
	d->inflight_queues = dev->inflight_queues;
	d->inflight_size = dev->inflight_size;
	d->inflight_offset = dev->inflight_offset;
	d->inflight_bytes = dev->inflight_bytes;
	d->nregions = dev->nrows;
	for (uint32_t i = 0; i < dev->nrows; i++) {
		const struct vhost_region *r = &dev->row[i].r;

		d->region[i] = (struct state_region){ r->guest_addr, r->size, r->user_addr, r->mmap_offset,
						      held(dev, dev->row[i].fd), 0 };
	}
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		keep_ring(dev, i, &d->ring[i]);
	state_commit(dev->state);
}

/**
 * vhost_dev_obeyed() - A message's effects are complete
 * @dev:	The device
 * @number:	Of the message
 * @reply:	What is to be sent, or NULL
 */
void vhost_dev_obeyed(struct vhost_dev *dev, uint32_t number, const struct vhost_reply *reply)
{
	dev->obeyed = number;
	dev->again = false;
	dev->reply_due = reply != NULL;
	if (reply)
		dev->reply = *reply;
	dev_keep(dev);
}

/**
 * vhost_dev_answered() - Was a message obeyed before this process began?
 * @dev:	The device
 * @number:	Of the message
 * @due:	Out: it has a reply
 * @reply:	Out: which
 *
 * Return: true when it was
 */
bool vhost_dev_answered(struct vhost_dev *dev, uint32_t number, bool *due, struct vhost_reply *reply)
{
	if (!dev->state || dev->obeyed != number)
		return false;
	*due = dev->reply_due;
	*reply = dev->reply;
	return true;
}

static void inherit_regions(struct vhost_dev *dev, const struct state_device *d, const struct state_fetch *f)
{
	uint32_t n = MIN(d->nregions, GMEM_SLOTS_MAX), numbers[GMEM_SLOTS_MAX] = { 0 };
	int fds[GMEM_SLOTS_MAX];

	for (uint32_t i = 0; i < n; i++)
		numbers[i] = d->region[i].held;
	state_fetch_all(f, numbers, fds, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct state_region *s = &d->region[i];
		const struct vhost_region r = { s->guest, s->size, s->user, s->offset };
		struct gmem *m = NULL;

		if (fds[i] < 0 || add_region(dev->mem, &r, fds[i], "guest memory", &m)) {
			close_fd(&fds[i]);
			continue;
		}
		gmem_unref(dev->mem);
		dev->mem = m;
		dev->row[dev->nrows++] = (struct region_row){ r, fds[i] };
	}
}

static void inherit_inflight(struct vhost_dev *dev, const struct state_device *d, const struct state_fetch *f)
{
	int fd = state_fetch_one(f, d->inflight);

	if (fd < 0 || d->inflight_queues == 0 || d->inflight_queues > dev->env.nrings || d->inflight_size == 0 ||
	    d->inflight_bytes < d->inflight_queues * vhost_inflight_stride(d->inflight_size) ||
	    map_inflight(d->inflight_offset, d->inflight_bytes, fd, &dev->inflight)) {
		close_fd(&fd);
		dev->inflight = NULL;
		return;
	}
	dev->inflight_fd = fd;
	dev->inflight_queues = d->inflight_queues;
	dev->inflight_size = d->inflight_size;
	dev->inflight_offset = d->inflight_offset;
	dev->inflight_bytes = d->inflight_bytes;
}

/* Events are written to these: a file of the guest's must not stand there. */
static int event_fd(int fd)
{
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)))
		close_fd(&fd);
	return fd;
}

static void inherit_ring(struct vhost_dev *dev, uint32_t i, const struct state_vring *s, const struct state_fetch *f)
{
	const uint32_t numbers[3] = { s->kick, s->call, s->err };
	struct ring *ring = &dev->ring[i];
	int fds[3] = { -1, -1, -1 };

	if (s->kick || s->call || s->err)
		state_fetch_all(f, numbers, fds, 3);
	ring->kick_fd = event_fd(fds[0]);
	ring->call_fd = event_fd(fds[1]);
	ring->err_fd = event_fd(fds[2]);
	ring->addr = (struct vhost_vring_addr){ .index = i, .desc = s->desc, .avail = s->avail, .used = s->used };
	ring->addr_set = s->flags & SVR_ADDR;
	ring->kick_set = s->flags & SVR_KICK;
	ring->enabled = s->flags & SVR_ENABLED;
	ring->resume = s->flags & SVR_RUNNING;
	ring->base = s->base;
	/* As vhost_msg.c would have it; virtq_start() looks at the addresses. */
	if (s->num <= VIRTQ_SIZE_MAX && !(s->num & (s->num - 1)))
		dev->ring_env[i].num = s->num;
}

/**
 * vhost_dev_inherit() - Become the device that the process before this one left behind
 * @dev:	The device, new
 * @f:		Where descriptors are
 *
 * When it returns everything is ours, and the state says so.
 */
void vhost_dev_inherit(struct vhost_dev *dev, const struct state_fetch *f)
{
	const struct state_device *d = state_device(dev->state);

	dev->env.features = d->features & dev->env.features_offered;
	dev->env.proto = d->proto & dev->env.proto_offered;
	dev->obeyed = d->obeyed;
	dev->again = true;
	dev->reply_due = d->reply_due && d->reply_hdr.size <= sizeof(d->reply);
	dev->reply.hdr = d->reply_hdr;
	memcpy(&dev->reply.p, d->reply, sizeof(d->reply));
	/* Else its number may mean something else by now. */
	if (dev->reply_due && dev->obeyed == STATE_NUMBER(dev->state->head->conn.progress))
		dev->reply.fd = state_fetch_one(f, d->reply_held);
	dev->backend_req_fd = state_fetch_one(f, d->backend_req);
	inherit_regions(dev, d, f);
	inherit_inflight(dev, d, f);
	for (uint32_t i = 0; i < dev->env.nrings; i++) {
		inherit_ring(dev, i, &d->ring[i], f);
		state_ring_inherit(state_ring(dev->state, i), dev->state->generation, f);
	}
	dev_keep(dev);
}

/**
 * vhost_dev_resume() - Run the rings that ran
 * @dev:	The device, after vhost_dev_inherit()
 *
 * All queues are there before the first takes a chain again: an INTERRUPT may mean a request of another.
 */
void vhost_dev_resume(struct vhost_dev *dev)
{
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		ring_prepare(dev, i);
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		ring_resume(dev, i);
	dev_keep(dev);
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
	dev->inflight_fd = -1;
	dev->reply.fd = -1;
	dev->state = p->state;
	dev->env.nrings = dev->config.nlinks;
	dev->env.ring = dev->ring_env;
	for (uint32_t i = 0; i < dev->env.nrings; i++) {
		dev->ring[i].link_fd = p->link_fds[i];
		dev->ring[i].kick_fd = dev->ring[i].call_fd = dev->ring[i].err_fd = -1;
	}
	return dev;
}

/**
 * vhost_dev_free() - The VMM is gone
 * @dev:	The device
 */
void vhost_dev_free(struct vhost_dev *dev)
{
	dev->state = NULL; /* nobody will take over */
	for (uint32_t i = 0; i < dev->env.nrings; i++)
		ring_reset(dev, i);
	for (uint32_t i = 0; i < dev->env.nrings; i++) {
		if (dev->ring[i].queue)
			queue_free(dev->ring[i].queue);
		close_fd(&dev->ring[i].link_fd);
	}
	close_fd(&dev->backend_req_fd);
	close_fd(&dev->inflight_fd);
	for (uint32_t i = 0; i < dev->nrows; i++)
		close_fd(&dev->row[i].fd);
	gmem_unref(dev->inflight);
	gmem_unref(dev->mem);
	free(dev);
}
