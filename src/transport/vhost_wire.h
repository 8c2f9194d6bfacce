/* vhost_wire.h - the vhost-user protocol on the wire: numbers and structs, in host byte order as the protocol has it.
 *
 * Role: transport. Written from the protocol's document (QEMU, docs/interop/vhost-user).
 */
#ifndef VFSD_VHOST_WIRE_H
#define VFSD_VHOST_WIRE_H

#include <stdint.h>

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_IOTLB_MSG = 22,
	VHOST_SET_VRING_ENDIAN = 23,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_CREATE_CRYPTO_SESSION = 26,
	VHOST_CLOSE_CRYPTO_SESSION = 27,
	VHOST_POSTCOPY_ADVISE = 28,
	VHOST_POSTCOPY_LISTEN = 29,
	VHOST_POSTCOPY_END = 30,
	VHOST_GET_INFLIGHT_FD = 31,
	VHOST_SET_INFLIGHT_FD = 32,
	VHOST_GPU_SET_SOCKET = 33,
	VHOST_RESET_DEVICE = 34,
	VHOST_VRING_KICK = 35,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
	VHOST_GET_SHARED_OBJECT = 41,
	VHOST_SET_DEVICE_STATE_FD = 42,
	VHOST_CHECK_DEVICE_STATE = 43,
	VHOST_REQUEST_END,
};

/* Header flags. */
#define VHOST_VERSION_MASK 3u
#define VHOST_VERSION 1u
#define VHOST_FLAG_REPLY (1u << 2)
#define VHOST_FLAG_NEED_REPLY (1u << 3)

/* Feature bits of the device that this back end knows. */
#define VIRTIO_BIT_INDIRECT_DESC 28
#define VIRTIO_BIT_EVENT_IDX 29
#define VHOST_BIT_PROTOCOL_FEATURES 30
#define VIRTIO_BIT_VERSION_1 32

/* Protocol feature bits that this back end knows. */
#define VHOST_P_MQ 0
#define VHOST_P_REPLY_ACK 3
#define VHOST_P_BACKEND_REQ 5
#define VHOST_P_CONFIG 9
#define VHOST_P_INFLIGHT_SHMFD 12
#define VHOST_P_RESET_DEVICE 13
#define VHOST_P_CONFIGURE_MEM_SLOTS 15

#define VHOST_BIT(n) (1ull << (n))

/* Payload of SET_VRING_KICK, _CALL and _ERR. */
#define VHOST_FD_INDEX_MASK 0xffull
#define VHOST_FD_NONE (1ull << 8)

#define VHOST_TABLE_REGIONS_MAX 8u
#define VHOST_CONFIG_HEAD 12u
#define VHOST_CONFIG_MAX 256u
#define VHOST_INFLIGHT_MIN 20u /* QEMU and others send 24, with the padding at the end of the struct */

struct vhost_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_region region[VHOST_TABLE_REGIONS_MAX];
};

struct vhost_mem_reg {
	uint64_t padding;
	struct vhost_region region;
};

struct vhost_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_CONFIG_MAX];
};

struct vhost_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};

/* Configuration space of a virtio file system device, little endian. */
struct vhost_fs_config {
	char tag[36];
	uint32_t num_request_queues;
};

_Static_assert(sizeof(struct vhost_hdr) == 12, "wire size");
_Static_assert(sizeof(struct vhost_vring_state) == 8, "wire size");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "wire size");
_Static_assert(sizeof(struct vhost_mem_table) == 264, "wire size");
_Static_assert(sizeof(struct vhost_mem_reg) == 40, "wire size");
_Static_assert(sizeof(struct vhost_inflight) == 24, "wire size");
_Static_assert(sizeof(struct vhost_fs_config) == 40, "wire size");

#endif
