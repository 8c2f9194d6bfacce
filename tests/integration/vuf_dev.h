/*
 * A whole virtio-fs device: connection, guest memory and rings together.
 */
#ifndef VUF_DEV_H
#define VUF_DEV_H

#include "vuf_mem.h"
#include "vuf_msg.h"
#include "vuf_ring.h"

#define DEV_HIPRIO 0
#define DEV_REQUEST 1		/* first request queue */
#define DEV_MAX_RINGS 257

struct dev_config {
	unsigned int request_queues;	/* at most; 0 means 1 */
	unsigned int queue_size;	/* 0 means 128 */
	unsigned int regions;		/* 0 means 2 */
	uint64_t region_size;		/* 0 means 32 MiB */
	bool no_indirect;
	bool no_event_idx;
	bool no_ack;			/* never set NEED_REPLY */
	bool call_socketpair;
	bool add_mem_reg;		/* ADD_MEM_REG instead of SET_MEM_TABLE */
};

struct vudev {
	struct vu vu;
	struct gmem mem;
	struct ring rings[DEV_MAX_RINGS];
	unsigned int nrings;
	struct dev_config cfg;
	uint64_t offered;		/* virtio features of the back end */
	uint64_t offered_proto;
	uint64_t queue_num;		/* answer to GET_QUEUE_NUM, or 0 */
};

int dev_negotiate(struct vudev *dev, int fd, const struct dev_config *cfg);
int dev_set_memory(struct vudev *dev);
int dev_setup_ring(struct vudev *dev, unsigned int i, uint16_t base);
int dev_start_ring(struct vudev *dev, unsigned int i, uint16_t base);
int dev_stop_ring(struct vudev *dev, unsigned int i, uint32_t *base);
int dev_start(struct vudev *dev);
int dev_open(struct vudev *dev, int fd, const struct dev_config *cfg);
void dev_close(struct vudev *dev);

#endif
