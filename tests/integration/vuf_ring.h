/*
 * Split virtqueues, the driver's side.
 */
#ifndef VUF_RING_H
#define VUF_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "vuf_mem.h"

/* Seen by the device as one descriptor. */
struct gseg {
	uint64_t gpa;
	uint32_t len;
};

/*
 * One request. Its owner fills in the upper half and may submit it again and
 * again without a new allocation.
 */
struct vreq {
	const struct gseg *segs;	/* those the device reads come first */
	unsigned int nout;
	unsigned int nin;
	const uint8_t *reply;		/* here: 16 bytes of fuse_out_header */
	uint64_t unique;		/* must come back in the reply */
	bool noreply;			/* FORGET: the used length must be 0 */
	void *owner;

	/* Kept by the ring. */
	struct gbuf table;		/* indirect table, once one was needed */
	unsigned int table_room;
	bool table_valid;		/* owner clears it when segs change */
	bool done;
	int error;			/* 0, or -EPROTO for a bad completion */
	uint32_t used_len;
	uint16_t head;
};

struct ring {
	unsigned int index;
	unsigned int size;
	struct gmem *gm;
	struct gbuf mem;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	int kick_fd;			/* we write, the back end reads */
	int call_fd;			/* we read */
	int call_peer;			/* the back end writes; may equal call_fd */
	int err_fd;
	int conn_fd;			/* the device's socket, or -1: see ring_sleep() */
	bool indirect;
	bool event_idx;

	uint16_t avail_idx;		/* next entry of avail to be filled */
	uint16_t kicked_idx;		/* avail_idx at the last kick decision */
	uint16_t used_idx;		/* next entry of used to be looked at */
	uint16_t free_head;
	unsigned int nfree;
	uint16_t *next;			/* free list and chains, not in guest memory */
	struct vreq **slots;		/* request in flight, by head */

	uint64_t kicks, kicks_saved, sleeps, completions;
	bool broken;			/* the device broke a rule; see stderr */
};

int ring_init(struct ring *r, struct gmem *gm, int region, unsigned int index, unsigned int size,
	      bool call_socketpair);
void ring_reset(struct ring *r);
void ring_close(struct ring *r);
int ring_prepare(struct ring *r, struct vreq *q);
int ring_add(struct ring *r, struct vreq *q);
bool ring_kick(struct ring *r);
void ring_kick_always(struct ring *r);
struct vreq *ring_pop(struct ring *r);
bool ring_arm(struct ring *r);
void ring_disarm(struct ring *r);
int ring_sleep(struct ring *r, int timeout_ms);
int ring_wait(struct ring *r, struct vreq *q);
unsigned int ring_inflight(const struct ring *r);
uint16_t ring_used_idx(const struct ring *r);
void ring_put_raw(struct ring *r, uint16_t head);

#endif
