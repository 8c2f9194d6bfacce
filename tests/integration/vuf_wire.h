/*
 * The vhost-user wire format as a front end sees it.
 *
 * Written from the protocol's specification and shared with no back end: the
 * tests are a second reading of it, so a number that the daemon has wrong
 * cannot be wrong here by the same slip.
 */
#ifndef VUF_WIRE_H
#define VUF_WIRE_H

#include <stdint.h>

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_SET_VRING_ENDIAN = 23,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
};

/* Message flags: two bits of version, then reply and need-reply. */
#define VU_VERSION 1u
#define VU_FLAG_REPLY (1u << 2)
#define VU_FLAG_NEED_REPLY (1u << 3)

/* Protocol feature bits. */
#define VU_P_MQ 0
#define VU_P_LOG_SHMFD 1
#define VU_P_REPLY_ACK 3
#define VU_P_CONFIG 9
#define VU_P_INFLIGHT_SHMFD 12
#define VU_P_RESET_DEVICE 13
#define VU_P_CONFIGURE_MEM_SLOTS 15
#define VU_P_STATUS 16
#define VU_P_DEVICE_STATE 19

/* Virtio feature bits that matter to this device. */
#define VU_F_NOTIFY_ON_EMPTY 24
#define VU_F_LOG_ALL 26
#define VU_F_INDIRECT 28
#define VU_F_EVENT_IDX 29
#define VU_F_PROTOCOL_FEATURES 30
#define VU_F_VERSION_1 32

#define VU_BIT(n) (1ull << (n))

/* Payload of KICK, CALL and ERR: ring index, and a flag for "no descriptor". */
#define VU_NOFD (1ull << 8)

#define VU_MAX_FDS 16
#define VU_MAX_REGIONS 8
#define VU_MAX_PAYLOAD 4096
#define VU_CONFIG_HEAD 12

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vu_ring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_ring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vu_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t mmap_offset;
};

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_region regions[VU_MAX_REGIONS];
};

struct vu_mem_slot {
	uint64_t padding;
	struct vu_region region;
};

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[256];
};

struct vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

_Static_assert(sizeof(struct vu_header) == 12, "wire size");
_Static_assert(sizeof(struct vu_ring_addr) == 40, "wire size");
_Static_assert(sizeof(struct vu_region) == 32, "wire size");
_Static_assert(sizeof(struct vu_mem_slot) == 40, "wire size");

#endif
