/*
 * A whole virtio-fs device: connection, guest memory and rings together.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vuf_dev.h"

static int refused(int err)
{
	return err == VU_REFUSED ? -EREMOTEIO : err;
}

static int negotiate_proto(struct vudev *dev)
{
	uint64_t want = VU_BIT(VU_P_MQ) | VU_BIT(VU_P_REPLY_ACK) | VU_BIT(VU_P_CONFIG) |
			VU_BIT(VU_P_INFLIGHT_SHMFD) | VU_BIT(VU_P_RESET_DEVICE) |
			VU_BIT(VU_P_CONFIGURE_MEM_SLOTS);
	int err = vu_get_protocol_features(&dev->vu, &dev->offered_proto);

	if (!err)
		err = vu_set_protocol_features(&dev->vu, dev->offered_proto & want);
	if (!err && (dev->vu.proto & VU_BIT(VU_P_MQ)))
		err = vu_get_queue_num(&dev->vu, &dev->queue_num);
	return err;
}

/**
 * dev_negotiate() - Connection up to the point where memory is set
 * @dev:	Filled in; to be given to dev_close() in any case
 * @fd:		Connected socket, owned by @dev from now on
 * @cfg:	What to use of that which the back end offers
 *
 * Return: 0 or a negative errno
 */
int dev_negotiate(struct vudev *dev, int fd, const struct dev_config *cfg)
{
	uint64_t want = VU_BIT(VU_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES);
	int err;

	memset(dev, 0, sizeof(*dev));
	vu_init(&dev->vu, fd);
	dev->cfg = *cfg;
	if (!dev->cfg.request_queues)
		dev->cfg.request_queues = 1;
	if (!dev->cfg.queue_size)
		dev->cfg.queue_size = 128;
	if (!dev->cfg.regions)
		dev->cfg.regions = 2;
	if (!dev->cfg.region_size)
		dev->cfg.region_size = 32u << 20;
	if (!cfg->no_indirect)
		want |= VU_BIT(VU_F_INDIRECT);
	if (!cfg->no_event_idx)
		want |= VU_BIT(VU_F_EVENT_IDX);

	err = vu_get_features(&dev->vu, &dev->offered);
	if (!err && !(dev->offered & VU_BIT(VU_F_PROTOCOL_FEATURES)))
		err = -EPROTO;
	if (!err)
		err = negotiate_proto(dev);
	dev->vu.want_ack = !cfg->no_ack;
	if (!err)
		err = vu_set_owner(&dev->vu);
	if (!err)
		err = vu_set_features(&dev->vu, dev->offered & want);
	if (!err)
		err = gmem_init(&dev->mem, dev->cfg.regions, dev->cfg.region_size);
	return refused(err);
}

/**
 * dev_set_memory() - Tell the back end about all of guest memory
 * @dev:	Device
 *
 * Return: 0 or a negative errno
 */
int dev_set_memory(struct vudev *dev)
{
	struct vu_region regions[VU_MAX_REGIONS];
	int fds[VU_MAX_REGIONS];
	int err = 0;

	for (unsigned int i = 0; i < dev->mem.n; i++) {
		regions[i] = dev->mem.regions[i].wire;
		fds[i] = dev->mem.regions[i].fd;
	}
	if (!dev->cfg.add_mem_reg)
		return refused(vu_set_mem_table(&dev->vu, regions, fds, dev->mem.n, 0));
	for (unsigned int i = 0; i < dev->mem.n && !err; i++)
		err = vu_add_mem_reg(&dev->vu, &regions[i], fds[i]);
	return refused(err);
}

/**
 * dev_setup_ring() - Send all of a ring's set-up, but do not enable it
 * @dev:	Device
 * @i:		Ring
 * @base:	Index to start from
 *
 * Return: 0 or a negative errno
 */
int dev_setup_ring(struct vudev *dev, unsigned int i, uint16_t base)
{
	struct ring *r = &dev->rings[i];
	struct vu_ring_addr addr = {
		.index = i,
		.desc = gmem_uaddr(&dev->mem, r->desc_gpa),
		.used = gmem_uaddr(&dev->mem, r->used_gpa),
		.avail = gmem_uaddr(&dev->mem, r->avail_gpa),
		.log = ~0ull,
	};
	struct vu *vu = &dev->vu;
	int err = vu_set_vring_num(vu, i, r->size);

	if (!err)
		err = vu_set_vring_base(vu, i, base);
	if (!err)
		err = vu_set_vring_addr(vu, &addr);
	if (!err)
		err = vu_set_vring_fd(vu, VU_SET_VRING_CALL, i, r->call_peer);
	if (!err)
		err = vu_set_vring_fd(vu, VU_SET_VRING_ERR, i, r->err_fd);
	if (!err)
		err = vu_set_vring_fd(vu, VU_SET_VRING_KICK, i, r->kick_fd);
	return refused(err);
}

/**
 * dev_start_ring() - Set a ring up and enable it
 * @dev:	Device
 * @i:		Ring
 * @base:	Index to start from
 *
 * Return: 0 or a negative errno
 */
int dev_start_ring(struct vudev *dev, unsigned int i, uint16_t base)
{
	int err = dev_setup_ring(dev, i, base);

	if (!err)
		err = refused(vu_set_vring_enable(&dev->vu, i, 1));
	return err;
}

/**
 * dev_stop_ring() - Disable and stop a ring
 * @dev:	Device
 * @i:		Ring
 * @base:	Index the back end would go on from
 *
 * Return: 0 or a negative errno
 */
int dev_stop_ring(struct vudev *dev, unsigned int i, uint32_t *base)
{
	int err = vu_set_vring_enable(&dev->vu, i, 0);

	if (!err)
		err = vu_get_vring_base(&dev->vu, i, base);
	return refused(err);
}

/**
 * dev_start() - Memory and rings: all that a driver does when it is loaded
 * @dev:	Negotiated device
 *
 * Uses as many request queues as were asked for and the back end has.
 *
 * Return: 0 or a negative errno
 */
int dev_start(struct vudev *dev)
{
	uint64_t max = dev->queue_num ? dev->queue_num : 2;
	unsigned int n = dev->cfg.request_queues + 1;
	int err = dev_set_memory(dev);

	if (n > max)
		n = (unsigned int)max;
	if (n > DEV_MAX_RINGS)
		n = DEV_MAX_RINGS;
	for (unsigned int i = 0; i < n && !err; i++) {
		struct ring *r = &dev->rings[i];

		dev->nrings = i + 1;
		err = ring_init(r, &dev->mem, -1, i, dev->cfg.queue_size,
				dev->cfg.call_socketpair);
		r->conn_fd = dev->vu.fd;
		r->indirect = dev->vu.features & VU_BIT(VU_F_INDIRECT);
		r->event_idx = dev->vu.features & VU_BIT(VU_F_EVENT_IDX);
		if (!err)
			err = dev_setup_ring(dev, i, 0);
	}
	/* Linux enables the rings when all of them are set up. */
	for (unsigned int i = 0; i < n && !err; i++)
		err = refused(vu_set_vring_enable(&dev->vu, i, 1));
	return err;
}

/**
 * dev_open() - Negotiate and start
 * @dev:	Filled in; to be given to dev_close() in any case
 * @fd:		Connected socket, owned by @dev from now on
 * @cfg:	What to use
 *
 * Return: 0 or a negative errno
 */
int dev_open(struct vudev *dev, int fd, const struct dev_config *cfg)
{
	int err = dev_negotiate(dev, fd, cfg);

	return err ? err : dev_start(dev);
}

/**
 * dev_close() - Hang up and release everything
 * @dev:	Device
 */
void dev_close(struct vudev *dev)
{
	vu_close(&dev->vu);
	for (unsigned int i = 0; i < dev->nrings; i++)
		ring_close(&dev->rings[i]);
	dev->nrings = 0;
	gmem_close(&dev->mem);
}
