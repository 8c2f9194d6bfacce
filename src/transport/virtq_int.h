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

/* Our own is the same, and what else a successor must know of the ring. */
struct virtq_own {
	uint64_t ticket; /* the last one that was given out */
	uint16_t skew;   /* next available index, less the used index and the heads in flight: 0 unless the VMM had its own mind */
	uint16_t broken; /* virtq_break(): answers that came since were not given to the guest, and nobody will give them again */
	uint16_t zero[2];
	struct record record; /* counters are tickets */
};

_Static_assert(sizeof(struct record_desc) == 16 && sizeof(struct record) == 16, "wire size");
_Static_assert(sizeof(struct virtq_own) + VIRTQ_SIZE_MAX * sizeof(struct record_desc) == VIRTQ_OWN_BYTES, "what virtq.h says");

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

	struct record *record;  /* the VMM's, or NULL */
	struct virtq_own *own;  /* or NULL */
	uint64_t counter;       /* of the VMM's record */
	uint64_t ticket;        /* the last one */
	/* with one of the records only */
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

/* record_open() - begin to use the records of the configuration: go on from ours if that is wanted, or from the VMM's when it is
 * of this ring, and make the other say the same. 0 or -ENOMEM. */
int record_open(struct virtq *vq, uint16_t used_idx) NODISCARD;

/* record_popped(), record_pushed(), record_published() - what is written down at each of these steps. Return of the first:
 * the chain's ticket. */
uint64_t record_popped(struct virtq *vq, uint16_t head, bool again);
void record_pushed(struct virtq *vq, uint16_t head);
void record_published(struct virtq *vq);

#endif
