/* virtq_int.h - what virtq.c and virtq_record.c share; nobody else includes it.
 *
 * Role: transport.
 */
#ifndef VFSD_VIRTQ_INT_H
#define VFSD_VIRTQ_INT_H

#include "transport/virtq.h"

/* A guest hands memory from one ring's reply to another ring's request; the order between the two is made by the guest, out of
 * ThreadSanitizer's sight. What is published happens before what any ring takes afterwards. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char virtq_guest_order;
#define GUEST_GAVE() __tsan_acquire(&virtq_guest_order)
#define GUEST_TAKES() __tsan_release(&virtq_guest_order)
#else
#define GUEST_GAVE() ((void)0)
#define GUEST_TAKES() ((void)0)
#endif

struct ring_desc;
struct ring_avail;
struct ring_used;

/* The in-flight record of one ring ("Inflight I/O tracking", split virtqueue), host byte order. */
struct record_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};
struct record {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct record_desc desc[];
};
#define RECORD_VERSION 1

_Static_assert(sizeof(struct record_desc) == 16 && sizeof(struct record) == 16, "wire size");

struct virtq {
	/* where the ring is; NULL unless started and whole */
	const struct ring_desc *desc;
	const struct ring_avail *avail;
	struct ring_used *used;

	uint16_t next_avail; /* next entry of the available ring to take */
	uint16_t seen_avail; /* avail.idx as last read: never more than size ahead of next_avail */
	uint16_t next_used;  /* next entry of the used ring to fill */
	uint16_t published;  /* used.idx as last written */
	uint16_t mask;       /* size - 1 */
	bool started;
	bool call_owed; /* the guest is called at the next publish whatever it asked for: see virtq_start() */
	uint32_t inflight;
	const char *why_broken;
	struct gmem *mem; /* one reference while started */
	struct virtq_config cfg;

	/* with an in-flight record only */
	struct record *record;
	uint64_t counter;
	uint16_t *batch;    /* heads pushed since the last publish */
	uint16_t batch_n;
	uint16_t *again;    /* heads to hand out again, oldest first */
	uint16_t again_n, again_pos;

	uint64_t busy[VIRTQ_SIZE_MAX / 64]; /* bit per head: popped and not pushed */
	struct virtq_seg seg[VIRTQ_SEGS_MAX];
};

static inline bool is_busy(const struct virtq *vq, uint16_t head)
{
	return vq->busy[head / 64] >> (head % 64) & 1;
}

/* record_open() - begin to use cfg.inflight: go on from it when it is of this ring, else make it so. 0 or -ENOMEM. */
int record_open(struct virtq *vq, uint16_t used_idx) NODISCARD;

/* record_popped(), record_pushed(), record_published() - what the protocol has written down at each of these steps. */
void record_popped(struct virtq *vq, uint16_t head);
void record_pushed(struct virtq *vq, uint16_t head);
void record_published(struct virtq *vq);

#endif
