/*
 * vhost-user messages: one call for each message that this device knows.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vuf_msg.h"

int vu_get_features(struct vu *vu, uint64_t *features)
{
	return vu_query_u64(vu, VU_GET_FEATURES, features);
}

/**
 * vu_set_features() - Acknowledge virtio features
 * @vu:		Connection
 * @features:	Those that the driver wants
 *
 * Return: as vu_command()
 */
int vu_set_features(struct vu *vu, uint64_t features)
{
	int err = vu_set_u64(vu, VU_SET_FEATURES, features);

	if (!err)
		vu->features = features;
	return err;
}

int vu_get_protocol_features(struct vu *vu, uint64_t *features)
{
	return vu_query_u64(vu, VU_GET_PROTOCOL_FEATURES, features);
}

/**
 * vu_set_protocol_features() - Acknowledge protocol features
 * @vu:		Connection
 * @features:	Those that the front end wants
 *
 * Return: as vu_command()
 */
int vu_set_protocol_features(struct vu *vu, uint64_t features)
{
	int err = vu_set_u64(vu, VU_SET_PROTOCOL_FEATURES, features);

	if (!err)
		vu->proto = features;
	return err;
}

int vu_get_queue_num(struct vu *vu, uint64_t *num)
{
	return vu_query_u64(vu, VU_GET_QUEUE_NUM, num);
}

int vu_get_max_mem_slots(struct vu *vu, uint64_t *num)
{
	return vu_query_u64(vu, VU_GET_MAX_MEM_SLOTS, num);
}

int vu_set_owner(struct vu *vu)
{
	return vu_command(vu, VU_SET_OWNER, NULL, 0, NULL, 0);
}

int vu_reset_owner(struct vu *vu)
{
	return vu_command(vu, VU_RESET_OWNER, NULL, 0, NULL, 0);
}

int vu_reset_device(struct vu *vu)
{
	return vu_command(vu, VU_RESET_DEVICE, NULL, 0, NULL, 0);
}

/**
 * vu_set_mem_table() - Replace the memory map
 * @vu:			Connection
 * @regions:		Regions
 * @fds:		One descriptor each
 * @n:			How many
 * @extra_bytes:	Bytes beyond what the count needs, as user-mode-linux 6.1
 *			sends them
 *
 * Return: as vu_command()
 */
int vu_set_mem_table(struct vu *vu, const struct vu_region *regions, const int *fds,
		     unsigned int n, size_t extra_bytes)
{
	struct vu_mem_table table;
	size_t size = offsetof(struct vu_mem_table, regions) + n * sizeof(*regions) + extra_bytes;

	if (n > VU_MAX_REGIONS || size > sizeof(table))
		return -E2BIG;
	memset(&table, 0, sizeof(table));
	table.count = n;
	memcpy(table.regions, regions, n * sizeof(*regions));
	return vu_command(vu, VU_SET_MEM_TABLE, &table, (uint32_t)size, fds, n);
}

/**
 * vu_add_mem_reg() - Add one region to the memory map
 * @vu:		Connection
 * @region:	Region
 * @fd:		Its descriptor, or -1 to send none
 *
 * Return: as vu_command()
 */
int vu_add_mem_reg(struct vu *vu, const struct vu_region *region, int fd)
{
	struct vu_mem_slot slot = { .region = *region };

	return vu_command(vu, VU_ADD_MEM_REG, &slot, sizeof(slot), &fd, fd >= 0 ? 1 : 0);
}

/**
 * vu_rem_mem_reg() - Remove one region from the memory map
 * @vu:		Connection
 * @region:	Region
 * @fd:		A descriptor, which back ends must accept and ignore, or -1
 *
 * Return: as vu_command()
 */
int vu_rem_mem_reg(struct vu *vu, const struct vu_region *region, int fd)
{
	struct vu_mem_slot slot = { .region = *region };

	return vu_command(vu, VU_REM_MEM_REG, &slot, sizeof(slot), &fd, fd >= 0 ? 1 : 0);
}

static int set_state(struct vu *vu, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_ring_state s = { .index = index, .num = num };

	return vu_command(vu, request, &s, sizeof(s), NULL, 0);
}

int vu_set_vring_num(struct vu *vu, uint32_t index, uint32_t num)
{
	return set_state(vu, VU_SET_VRING_NUM, index, num);
}

int vu_set_vring_base(struct vu *vu, uint32_t index, uint32_t base)
{
	return set_state(vu, VU_SET_VRING_BASE, index, base);
}

int vu_set_vring_enable(struct vu *vu, uint32_t index, uint32_t on)
{
	return set_state(vu, VU_SET_VRING_ENABLE, index, on);
}

/**
 * vu_get_vring_base() - Stop a ring
 * @vu:		Connection
 * @index:	Ring
 * @base:	Index of the next available entry the back end would take
 *
 * Return: as vu_query()
 */
int vu_get_vring_base(struct vu *vu, uint32_t index, uint32_t *base)
{
	struct vu_ring_state in = { .index = index };
	struct vu_ring_state out;
	int err = vu_query(vu, VU_GET_VRING_BASE, &in, sizeof(in), &out, sizeof(out));

	if (!err && out.index != index)
		err = -EPROTO;
	if (!err)
		*base = out.num;
	return err;
}

int vu_set_vring_addr(struct vu *vu, const struct vu_ring_addr *addr)
{
	return vu_command(vu, VU_SET_VRING_ADDR, addr, sizeof(*addr), NULL, 0);
}

/**
 * vu_set_vring_fd() - Send a kick, call or err descriptor
 * @vu:		Connection
 * @request:	VU_SET_VRING_KICK, _CALL or _ERR
 * @index:	Ring
 * @fd:		Descriptor, or -1 for "none"
 *
 * Return: as vu_command()
 */
int vu_set_vring_fd(struct vu *vu, uint32_t request, uint32_t index, int fd)
{
	uint64_t value = index | (fd < 0 ? VU_NOFD : 0);

	return vu_command(vu, request, &value, sizeof(value), &fd, fd >= 0 ? 1 : 0);
}

/**
 * vu_get_config() - Read device configuration space
 * @vu:		Connection
 * @offset:	Where from
 * @size:	How much
 * @out:	Buffer of @size bytes
 *
 * Return: 0, VU_REFUSED if the back end answered with a payload of size 0, as
 * the protocol wants for an error, or a negative errno
 */
int vu_get_config(struct vu *vu, uint32_t offset, uint32_t size, void *out)
{
	struct vu_config c = { .offset = offset, .size = size };
	struct vu_reply reply;
	struct vu_config r;
	int err;

	if (size > sizeof(c.data))
		return -E2BIG;
	err = vu_send(vu, VU_GET_CONFIG, 0, &c, VU_CONFIG_HEAD + size, NULL, 0);
	if (!err)
		err = vu_recv(vu, &reply);
	if (err)
		return err;
	if (reply.head.request != VU_GET_CONFIG || reply.nfds)
		return -EPROTO;
	if (reply.head.size == 0)
		return VU_REFUSED;
	memset(&r, 0, sizeof(r));
	if (reply.head.size != VU_CONFIG_HEAD + size)
		return -EPROTO;
	memcpy(&r, reply.payload, reply.head.size);
	if (r.offset != offset || r.size != size)
		return -EPROTO;
	memcpy(out, r.data, size);
	return 0;
}

int vu_set_config(struct vu *vu, uint32_t offset, uint32_t size, const void *data)
{
	struct vu_config c = { .offset = offset, .size = size };

	if (size > sizeof(c.data))
		return -E2BIG;
	memcpy(c.data, data, size);
	return vu_command(vu, VU_SET_CONFIG, &c, VU_CONFIG_HEAD + size, NULL, 0);
}

/**
 * vu_get_inflight_fd() - Ask for a buffer that records requests in flight
 * @vu:	Connection
 * @io:	In: queue count and size. Out: where the buffer lies in the file
 * @fd:	Descriptor of the file, to be closed by the caller
 *
 * Return: 0 or a negative errno
 */
int vu_get_inflight_fd(struct vu *vu, struct vu_inflight *io, int *fd)
{
	struct vu_reply reply;
	int err = vu_send(vu, VU_GET_INFLIGHT_FD, 0, io, sizeof(*io), NULL, 0);

	if (!err)
		err = vu_recv(vu, &reply);
	if (err)
		return err;
	if (reply.head.request != VU_GET_INFLIGHT_FD || reply.head.size != sizeof(*io) ||
	    reply.nfds != 1) {
		for (unsigned int i = 0; i < reply.nfds; i++)
			close(reply.fds[i]);
		return -EPROTO;
	}
	memcpy(io, reply.payload, sizeof(*io));
	*fd = reply.fds[0];
	return 0;
}

int vu_set_inflight_fd(struct vu *vu, const struct vu_inflight *in, int fd)
{
	return vu_command(vu, VU_SET_INFLIGHT_FD, in, sizeof(*in), &fd, fd >= 0 ? 1 : 0);
}
