/*
 * vhost-user messages: a front end's connection.
 */
#ifndef VUF_MSG_H
#define VUF_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vuf_wire.h"

/* Results of a message beside 0 and negative errno values. */
#define VU_REFUSED 1	/* the back end acknowledged it with an error */

struct vu {
	int fd;
	uint64_t features;	/* acknowledged virtio features */
	uint64_t proto;		/* acknowledged protocol features */
	bool want_ack;		/* ask for a reply to every message */
	uint64_t last_ack;	/* value of the last acknowledgement */
};

struct vu_reply {
	struct vu_header head;
	uint8_t payload[VU_MAX_PAYLOAD];
	int fds[VU_MAX_FDS];
	unsigned int nfds;
};

void vu_init(struct vu *vu, int fd);
void vu_close(struct vu *vu);

int vu_send_raw(struct vu *vu, const void *bytes, size_t len, const int *fds, unsigned int nfds);
int vu_send(struct vu *vu, uint32_t request, uint32_t extra_flags, const void *payload,
	    uint32_t size, const int *fds, unsigned int nfds);
int vu_recv(struct vu *vu, struct vu_reply *reply);
int vu_wait_ack(struct vu *vu, uint32_t request);
int vu_command(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	       const int *fds, unsigned int nfds);
int vu_query(struct vu *vu, uint32_t request, const void *payload, uint32_t size, void *out,
	     uint32_t out_size);
int vu_query_u64(struct vu *vu, uint32_t request, uint64_t *value);
int vu_set_u64(struct vu *vu, uint32_t request, uint64_t value);
int vu_alive(struct vu *vu);

int vu_get_features(struct vu *vu, uint64_t *features);
int vu_set_features(struct vu *vu, uint64_t features);
int vu_get_protocol_features(struct vu *vu, uint64_t *features);
int vu_set_protocol_features(struct vu *vu, uint64_t features);
int vu_get_queue_num(struct vu *vu, uint64_t *num);
int vu_get_max_mem_slots(struct vu *vu, uint64_t *num);
int vu_set_owner(struct vu *vu);
int vu_reset_owner(struct vu *vu);
int vu_reset_device(struct vu *vu);
int vu_set_mem_table(struct vu *vu, const struct vu_region *regions, const int *fds,
		     unsigned int n, size_t extra_bytes);
int vu_add_mem_reg(struct vu *vu, const struct vu_region *region, int fd);
int vu_rem_mem_reg(struct vu *vu, const struct vu_region *region, int fd);
int vu_set_vring_num(struct vu *vu, uint32_t index, uint32_t num);
int vu_set_vring_base(struct vu *vu, uint32_t index, uint32_t base);
int vu_get_vring_base(struct vu *vu, uint32_t index, uint32_t *base);
int vu_set_vring_addr(struct vu *vu, const struct vu_ring_addr *addr);
int vu_set_vring_fd(struct vu *vu, uint32_t request, uint32_t index, int fd);
int vu_set_vring_enable(struct vu *vu, uint32_t index, uint32_t on);
int vu_get_config(struct vu *vu, uint32_t offset, uint32_t size, void *out);
int vu_set_config(struct vu *vu, uint32_t offset, uint32_t size, const void *data);
int vu_get_inflight_fd(struct vu *vu, struct vu_inflight *io, int *fd);
int vu_set_inflight_fd(struct vu *vu, const struct vu_inflight *in, int fd);

#endif
