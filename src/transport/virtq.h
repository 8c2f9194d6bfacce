/* virtq.h - split virtqueue, device side (virtio 1.2 section 2.7), on memory that the guest writes at any time.
 *
 * Role: transport; each virtq belongs to the thread of its ring. Distrusted: everything in the ring. Each index,
 * descriptor and indirect table is fetched once into private memory and checked there: count <= ring size (and total
 * of direct and indirect <= VIRTQ_SEGS_MAX), no loop, no zero length, no wrap, readable before writable, indirect not
 * nested and not together with NEXT, available index not more than a ring ahead, head in range and not in flight.
 * Addresses are only translated when they are used (gmem_at). A broken rule makes the virtq VIRTQ_BROKEN for good
 * (until it is started anew) and says why; nothing else happens.
 */
#ifndef VFSD_VIRTQ_H
#define VFSD_VIRTQ_H

#include "transport/gmem.h"

#define VIRTQ_SIZE_MAX 32768u
#define VIRTQ_SEGS_MAX 2048u /* descriptors of one chain that we take; more is an error of that chain */

struct virtq_seg {
	struct gpa addr;
	uint32_t len;
};

/* One chain, copied out of the ring. */
struct virtq_elem {
	uint16_t head;
	uint16_t nout, nin;        /* device-readable segments come first in seg[], then the device-writable */
	uint64_t out_len, in_len;  /* their sums */
	struct virtq_seg *seg;     /* points into the virtq's scratch: valid until the next virtq_pop() */
	uint64_t ticket;           /* no other chain of this ring ever has the same, whichever process takes it; never 0 */
	bool again;                /* it was taken before, by this process or one before it */
};

/* Our own in-flight record: memory that outlives the process, and that no VMM writes. */
#define VIRTQ_OWN_BYTES (32 + 16 * VIRTQ_SIZE_MAX)

struct virtq_config {
	uint32_t size; /* power of two, <= VIRTQ_SIZE_MAX; checked by vhost_msg.c, checked again here */
	uint64_t desc_user, avail_user, used_user; /* VMM virtual addresses */
	uint16_t base;        /* next available index to take */
	bool event_idx;       /* VIRTIO_F_EVENT_IDX negotiated */
	bool indirect;        /* VIRTIO_F_INDIRECT_DESC negotiated */
	void *inflight;       /* this ring's part of the in-flight region, or NULL; see the vhost-user document, "Inflight I/O tracking" */
	void *own;            /* VIRTQ_OWN_BYTES, or NULL */
	bool resume;          /* go on from `own`, where a process before this one stopped dead; base does not count then */
};

enum virtq_status { VIRTQ_OK, VIRTQ_EMPTY, VIRTQ_BROKEN };

struct virtq;

struct virtq *virtq_new(void);
void virtq_free(struct virtq *vq);

/* virtq_start() - attach to a ring in guest memory. Return 0, -EINVAL (size, alignment, base), -EFAULT (address outside
 * of memory). Forgets all heads in flight unless keep_inflight. */
int virtq_start(struct virtq *vq, const struct virtq_config *cfg, struct gmem *m, bool keep_inflight) NODISCARD;

/* virtq_set_gmem() - memory was added or removed: find the ring again in the new set (takes its own reference).
 * -EFAULT: the ring is no longer there; the virtq is then broken. */
int virtq_set_gmem(struct virtq *vq, struct gmem *m) NODISCARD;

/* virtq_stop() - detach from guest memory. Return the next available index (for GET_VRING_BASE). */
uint16_t virtq_stop(struct virtq *vq);

bool virtq_started(const struct virtq *vq);
const char *virtq_why_broken(const struct virtq *vq); /* NULL: it is not; else a constant sentence */
void virtq_break(struct virtq *vq, const char *why);
uint32_t virtq_inflight(const struct virtq *vq); /* heads popped and not pushed */

/* virtq_pop() - take the next available chain.
 * VIRTQ_OK: *e is filled (a chain whose descriptors break a rule breaks the queue: VIRTQ_BROKEN). */
enum virtq_status virtq_pop(struct virtq *vq, struct virtq_elem *e);

/* virtq_again_first() - of the heads to hand out again, those for which @first says so come before all others; the order
 * among them stays. Return how many they are. */
typedef bool virtq_first_fn(void *arg, uint16_t head, uint64_t ticket);
uint32_t virtq_again_first(struct virtq *vq, virtq_first_fn *first, void *arg);

/* virtq_own_broken() - did the process before give the ring of an own record up? */
bool virtq_own_broken(const void *own);

/* virtq_own_next() - the next head that is in flight in an own record, from *head on, and its ticket; for who looks at what a
 * process before left behind. False: there are no more. */
bool virtq_own_next(const void *own, uint16_t *head, uint64_t *ticket);

/* virtq_push() - the chain is done, `len` bytes were written into it. Not visible before virtq_publish(). */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len);

/* virtq_publish() - make all pushed chains visible with one update of the used index.
 * Return true when the guest wants to be called (EVENT_IDX or NO_INTERRUPT taken into account). */
bool virtq_publish(struct virtq *vq);

/* virtq_want_kick() - ask the guest for a kick when it makes more available. Return true when there already is more:
 * pop again before sleeping. virtq_no_kick() - no kicks please, while we are at it anyway. */
bool virtq_want_kick(struct virtq *vq);
void virtq_no_kick(struct virtq *vq);

/* virtq_pending() - is a chain available? One load; for polling. */
bool virtq_pending(const struct virtq *vq);

#endif
