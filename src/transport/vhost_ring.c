/* vhost_ring.c - rings as the VMM sets them up: when one runs, and what the messages that name a ring do.
 *
 * Role: transport, control thread. Distrusted: the VMM; every message was passed by vhost_msg_check() before an effect
 * here sees it.
 *
 * Theory. What the VMM tells of a ring is kept in `struct ring` in whatever order it comes, repeated or not. A ring runs
 * as soon as all that it needs is there: size, addresses, a kick descriptor (or the word that there is none), and that it
 * is enabled. The protocol has rings "started but disabled", in which a back end must do nothing that shows; here such
 * a ring does not run at all, and remembers its index. So after the reply to SET_VRING_ENABLE 0 nothing touches the
 * ring's memory any more, which user-mode Linux relies on: it frees the ring then and never sends GET_VRING_BASE.
 *
 *	event				running ring			other ring
 *	NUM, BASE			same size only (vhost_msg.c)	kept
 *	ADDR				same: nothing; else restarted	kept, may start
 *	KICK				replaced			kept, starts
 *	CALL, ERR			replaced			kept
 *	ENABLE 1			nothing				kept, may start
 *	ENABLE 0			stopped, keeps index and kick	kept
 *	GET_VRING_BASE			stopped, kick is gone		kick is gone
 *	memory changes			goes on, or stops if its	may start
 *					memory is gone
 *	SET_FEATURES without bit 30	nothing				enabled, may start
 *	RESET_DEVICE			dropped				all forgotten but CALL and ERR
 */
#include "transport/vhost_dev_int.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/roles.h"

static int ring_need_queue(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];
	int r;

	if (ring->queue)
		return 0;
	if (ring->link_fd < 0)
		return -EIO; /* gone with an attempt that failed */
	ring->queue = queue_new(dev->fuse, i, take_fd(&ring->link_fd), dev->bulk + i * IPC_BULK_LINK,
				dev->state ? state_ring(dev->state, i) : NULL);
	if (!ring->queue) {
		r = errno ? -errno : -ENOMEM;
		log_limited(LOG_LVL_ERR, "ring %u: no thread could be started for it (error %d)", i, -r);
		return r;
	}
	return 0;
}

/* This ring's part of the in-flight region, if there is one that is large enough. */
static void *ring_inflight(struct vhost_dev *dev, uint32_t i)
{
	uint64_t stride = vhost_inflight_stride(dev->inflight_size);

	if (!dev->inflight || i >= dev->inflight_queues || dev->ring_env[i].num > dev->inflight_size)
		return NULL;
	return gmem_at(dev->inflight, (struct gpa){ i * stride }, stride);
}

/**
 * ring_try_start() - Run a ring if all that it needs is there
 * @dev:	The device
 * @i:		The ring
 *
 * Return: 0, also when something is still missing or it runs already; or -errno, and why is logged
 */
int ring_try_start(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];
	struct vhost_ring_env *env = &dev->ring_env[i];
	struct virtq_config cfg = {
		.size = env->num,
		.desc_user = ring->addr.desc,
		.avail_user = ring->addr.avail,
		.used_user = ring->addr.used,
		.base = ring->base,
		.event_idx = vhost_has_feature(dev, VIRTIO_BIT_EVENT_IDX),
		.indirect = vhost_has_feature(dev, VIRTIO_BIT_INDIRECT_DESC),
		.inflight = ring_inflight(dev, i),
	};
	int r;

	if (env->running || !ring->enabled || !ring->kick_set || !ring->addr_set || !env->num)
		return 0;
	cfg.resume = ring->resume;
	r = ring_need_queue(dev, i);
	if (!r)
		r = queue_start(ring->queue, &cfg, dev->mem);
	if (r) {
		log_limited(LOG_LVL_WARN, "ring %u cannot be started: %s", i,
			    r == -EFAULT ? "it is not in guest memory; " SHARE_HINT :
			    r == -EINVAL ? "its parts are not aligned" : "no memory or no threads are left");
		return r;
	}
	env->running = true;
	ring->resume = false;
	if (cfg.inflight)
		ring->inflight = gmem_ref(dev->inflight);
	dev_keep(dev);
	CRASHPOINT("ring-starts");
	queue_enable(ring->queue, true);
	log_debug("ring %u runs: %u entries, from index %u%s", i, env->num, ring->base,
		  cfg.inflight ? ", with an in-flight record" : "");
	return 0;
}

static void ring_stopped(struct vhost_dev *dev, uint32_t i)
{
	dev->ring_env[i].running = false;
	dev->ring[i].resume = false;
	gmem_unref(dev->ring[i].inflight);
	dev->ring[i].inflight = NULL;
	CRASHPOINT("ring-stopped");
	dev_keep(dev);
}

/**
 * ring_prepare() - Make the queue of a ring that was used before this process began
 * @dev:	The device
 * @i:		The ring
 */
void ring_prepare(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];

	if (!ring->resume && ring->kick_fd < 0 && ring->call_fd < 0 && ring->err_fd < 0)
		return;
	if (ring_need_queue(dev, i)) {
		close_fd(&ring->kick_fd);
		close_fd(&ring->call_fd);
		close_fd(&ring->err_fd);
		return;
	}
	queue_set_kick(ring->queue, ring->kick_fd);
	queue_set_call(ring->queue, ring->call_fd);
	queue_set_err(ring->queue, ring->err_fd);
}

/**
 * ring_resume() - Go on with a ring that ran when the process before this one died
 * @dev:	The device
 * @i:		The ring
 */
void ring_resume(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];
	int r;

	if (!ring->resume)
		return;
	r = ring_try_start(dev, i);
	/* Neither the guest nor the VMM decides whether there is memory, a thread or a descriptor: the next process may have one; here
	 * what is in flight would be lost. */
	if (r && r != -EFAULT && r != -EINVAL) {
		log_err("ring %u: it cannot go on here (error %d)", i, -r);
		_exit(ROLE_EXIT_FAIL);
	}
	if (r || !dev->ring_env[i].running)
		log_err("ring %u ran, and does not any more", i);
	ring->resume = false;
	log_debug("ring %u goes on", i);
}

/**
 * ring_stop() - Stop a ring if it runs
 * @dev:	The device
 * @i:		The ring
 *
 * Returns once nothing touches the ring's memory any more.
 */
void ring_stop(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];

	if (!dev->ring_env[i].running)
		return;
	queue_enable(ring->queue, false);
	ring->base = queue_stop(ring->queue);
	ring_stopped(dev, i);
	log_debug("ring %u stands at index %u", i, ring->base);
}

/**
 * ring_reset() - Drop what is in flight and forget all but the CALL and ERR descriptors
 * @dev:	The device
 * @i:		The ring
 *
 * QEMU sends ERR once, before it resets the device for the first time.
 */
void ring_reset(struct vhost_dev *dev, uint32_t i)
{
	struct ring *ring = &dev->ring[i];

	if (ring->queue) {
		queue_enable(ring->queue, false);
		queue_drop(ring->queue);
	}
	ring->addr_set = false;
	ring->kick_set = false;
	ring->kick_fd = -1;
	ring->enabled = false;
	ring->base = 0;
	dev->ring_env[i].num = 0;
	ring_stopped(dev, i);
	if (ring->queue)
		queue_set_kick(ring->queue, -1);
}

/* messages ----------------------------------------------------------------------------------------- */

/**
 * vhost_set_num() - SET_VRING_NUM: size of a ring
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_num(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	dev->ring_env[msg->p.state.index].num = msg->p.state.num;
	return ring_try_start(dev, msg->p.state.index);
}

/**
 * vhost_set_base() - SET_VRING_BASE: where to go on
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_base(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	dev->ring[msg->p.state.index].base = (uint16_t)msg->p.state.num;
	return 0;
}

static bool addr_in_memory(const struct vhost_dev *dev, const struct vhost_vring_addr *a)
{
	uint64_t num = MAX(dev->ring_env[a->index].num, 1);

	return gmem_at_user(dev->mem, a->desc, 16 * num) && gmem_at_user(dev->mem, a->avail, 4 + 2 * num) &&
	       gmem_at_user(dev->mem, a->used, 4 + 8 * num);
}

/**
 * vhost_set_addr() - SET_VRING_ADDR: where a ring is; a running one is moved there
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_addr(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	const struct vhost_vring_addr *a = &msg->p.addr;
	struct ring *ring = &dev->ring[a->index];

	(void)reply;
	if (ring->addr_set && ring->addr.desc == a->desc && ring->addr.avail == a->avail &&
	    ring->addr.used == a->used)
		return ring_try_start(dev, a->index);
	if (!addr_in_memory(dev, a)) {
		log_limited(LOG_LVL_WARN, "ring %u is not in guest memory; " SHARE_HINT, a->index);
		return -EFAULT;
	}
	ring_stop(dev, a->index);
	ring->addr = *a;
	ring->addr_set = true;
	return ring_try_start(dev, a->index);
}

/**
 * vhost_get_base() - GET_VRING_BASE: stop a ring and say where it stands
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Filled in
 *
 * Return: 0
 */
int vhost_get_base(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	struct ring *ring = &dev->ring[msg->p.state.index];

	ring_stop(dev, msg->p.state.index);
	ring->kick_set = false;
	ring->kick_fd = -1;
	dev_keep(dev);
	if (ring->queue)
		queue_set_kick(ring->queue, -1);
	reply->hdr.size = sizeof(reply->p.state);
	reply->p.state.index = msg->p.state.index;
	reply->p.state.num = ring->base;
	return 0;
}

/**
 * vhost_set_enable() - SET_VRING_ENABLE: run or do not
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_enable(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	uint32_t i = msg->p.state.index;

	(void)reply;
	dev->ring[i].enabled = msg->p.state.num;
	if (dev->ring[i].enabled)
		return ring_try_start(dev, i);
	ring_stop(dev, i);
	return 0;
}

/* Hands a descriptor, or -1 for none, to the ring's queue. @slot: where its number is noted. */
static int set_ring_fd(struct vhost_dev *dev, struct vhost_msg *msg, int *slot, void (*set)(struct queue *, int))
{
	uint32_t i = msg->p.u64 & VHOST_FD_INDEX_MASK;
	int r;

	if (!msg->nfds && !dev->ring[i].queue)
		return 0;
	r = ring_need_queue(dev, i);
	if (r)
		return r;
	*slot = vhost_msg_take_fd(msg, 0);
	dev_keep(dev);
	CRASHPOINT("ring-descriptor-noted");
	set(dev->ring[i].queue, *slot);
	return 0;
}

/**
 * vhost_set_kick() - SET_VRING_KICK: how the guest wakes the ring
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_kick(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	uint32_t i = msg->p.u64 & VHOST_FD_INDEX_MASK;
	int r = set_ring_fd(dev, msg, &dev->ring[i].kick_fd, queue_set_kick);

	(void)reply;
	if (r)
		return r;
	if (!msg->nfds)
		log_limited(LOG_LVL_WARN, "ring %u: the VMM gives no kick descriptor; nothing will wake the ring", i);
	dev->ring[i].kick_set = true;
	return ring_try_start(dev, i);
}

/**
 * vhost_set_call() - SET_VRING_CALL: how the ring wakes the guest
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_call(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	return set_ring_fd(dev, msg, &dev->ring[msg->p.u64 & VHOST_FD_INDEX_MASK].call_fd, queue_set_call);
}

/**
 * vhost_set_err() - SET_VRING_ERR: where a broken ring is reported
 * @dev:	The device
 * @msg:	The message, checked
 * @reply:	Untouched
 *
 * Return: 0 or -errno
 */
int vhost_set_err(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply)
{
	(void)reply;
	return set_ring_fd(dev, msg, &dev->ring[msg->p.u64 & VHOST_FD_INDEX_MASK].err_fd, queue_set_err);
}
