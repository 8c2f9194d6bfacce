/* virtq.c - see virtq.h.
 *
 * Role: transport; a virtq belongs to the thread of its ring, nothing here locks. Distrusted: the guest, which may write
 * every byte of the ring at any time, and the VMM, which may write the in-flight record.
 *
 * Theory. An index or descriptor is read once, into a local variable, and only the copy is checked and used; the
 * compiler is kept from reading it again (load16(), fetch_desc()). Both indices run freely over 16 bits; a ring has a
 * power of two entries, so `index & mask` is the entry.
 *
 * Order. The guest's avail.idx is read with acquire: entries and descriptors behind it are read after it. used.idx is
 * written after its entries. Asking for a notification is the classic "each writes its own word, then reads the other's":
 * want_kick() writes avail_event and then reads avail.idx, publish() writes used.idx and then reads used_event, while
 * the guest does the reverse with a full barrier between. Both sides of ours are sequentially consistent accesses,
 * which neither x86-64 nor arm64 lets pass each other.
 *
 * In flight. `busy` has a bit for each head that was popped and not pushed: a head that the guest offers again while it
 * is busy breaks the ring, and a push of one that is not busy is refused. When the configuration has an in-flight
 * record, the VMM's or our own, the same is written there (virtq_record.c), so that another process can go on: heads still
 * marked are handed out once more, in their old order, before anything new.
 */
#include "transport/virtq_int.h"

#include <endian.h>

#include "common/crashpoint.h"

#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u
#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

#define CHAIN_BYTES_MAX (1ull << 32) /* the specification's limit */

/* The ring in guest memory, little endian. */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
struct ring_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[]; /* size entries, then used_event */
};
struct ring_used {
	uint16_t flags;
	uint16_t idx;
	struct {
		uint32_t id;
		uint32_t len;
	} ring[]; /* size entries, then avail_event */
};

_Static_assert(sizeof(struct ring_desc) == 16, "wire size");

#ifdef __SANITIZE_THREAD__
char virtq_guest_order;
#endif

static inline uint16_t load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint16_t load16_acquire(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline uint16_t load16_fenced(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

static inline void store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

static inline void store16_fenced(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_SEQ_CST);
}

static inline const uint16_t *used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->cfg.size];
}

static inline uint16_t *avail_event(const struct virtq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->cfg.size];
}

static inline void set_busy(struct virtq *vq, uint16_t head)
{
	vq->busy[head / 64] |= 1ull << (head % 64);
	vq->inflight++;
}

static inline void clear_busy(struct virtq *vq, uint16_t head)
{
	vq->busy[head / 64] &= ~(1ull << (head % 64));
	vq->inflight--;
}

/* Indirect tables need not be aligned, hence memcpy(); the barrier makes *out a copy that is never read again from
 * memory that the guest can write. */
static inline void fetch_desc(const char *table, uint32_t i, struct ring_desc *out)
{
	struct ring_desc d;

	memcpy(&d, table + (size_t)i * sizeof(d), sizeof(d));
	__asm__ volatile("" : : : "memory");
	out->addr = le64toh(d.addr);
	out->len = le32toh(d.len);
	out->flags = le16toh(d.flags);
	out->next = le16toh(d.next);
}

/* Has `event` been passed on the way from `old` to `now`? All three wrap. */
static inline bool passed_event(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/**
 * virtq_new() - A virtqueue that is not attached to anything
 *
 * Return: the virtqueue, or NULL without memory
 */
struct virtq *virtq_new(void)
{
	return calloc(1, sizeof(struct virtq));
}

/**
 * virtq_free() - Detach and free
 * @vq:	The virtqueue, may be NULL
 */
void virtq_free(struct virtq *vq)
{
	if (!vq)
		return;
	virtq_stop(vq);
	free(vq->batch);
	free(vq->again);
	free(vq);
}

/* start and stop ----------------------------------------------------------------------------------- */

static bool aligned(const void *host, uint64_t user, uint64_t to)
{
	return ((uintptr_t)host & (to - 1)) == 0 && (user & (to - 1)) == 0;
}

/* Finds the three parts of the ring in a set of guest memory. */
static int attach(struct virtq *vq, const struct gmem *m)
{
	const struct virtq_config *c = &vq->cfg;
	uint64_t event = c->event_idx ? sizeof(uint16_t) : 0;
	const void *desc = gmem_at_user(m, c->desc_user, sizeof(struct ring_desc) * c->size);
	const void *avail = gmem_at_user(m, c->avail_user, sizeof(struct ring_avail) + 2ull * c->size + event);
	void *used = gmem_at_user(m, c->used_user, sizeof(struct ring_used) + 8ull * c->size + event);

	if (!desc || !avail || !used)
		return -EFAULT;
	if (!aligned(desc, c->desc_user, 16) || !aligned(avail, c->avail_user, 2) ||
	    !aligned(used, c->used_user, 4))
		return -EINVAL;
	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	return 0;
}

static void detach(struct virtq *vq)
{
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
}

/* The indices, from the configuration, the used ring and, if there is one, the in-flight record. */
static int resume(struct virtq *vq)
{
	vq->next_avail = vq->cfg.base;
	vq->seen_avail = vq->cfg.base;
	vq->next_used = load16(&vq->used->idx);
	vq->published = vq->next_used;
	vq->record = NULL;
	vq->own = NULL;
	vq->batch_n = 0;
	vq->again_n = 0;
	vq->again_pos = 0;
	return vq->cfg.inflight || vq->cfg.own ? record_open(vq, vq->next_used) : 0;
}

/**
 * virtq_start() - Attach to a ring in guest memory
 * @vq:			The virtqueue, stopped
 * @cfg:		Where the ring is, untrusted
 * @m:			Guest memory; the virtqueue takes its own reference
 * @keep_inflight:	The ring goes on where it was stopped: heads popped then can still be pushed
 *
 * With an in-flight record that has heads in flight, those come out of virtq_pop() first, and the next available index
 * follows from the record instead of @cfg->base, which a VMM cannot know after a crash. An own record that does not fit
 * to the ring any more leaves the virtqueue broken.
 *
 * Return: 0; -EINVAL: size or alignment; -EFAULT: not in guest memory; -ENOMEM
 */
int virtq_start(struct virtq *vq, const struct virtq_config *cfg, struct gmem *m, bool keep_inflight)
{
	int r;

	if (vq->started || cfg->size == 0 || cfg->size > VIRTQ_SIZE_MAX || (cfg->size & (cfg->size - 1)))
		return -EINVAL;
	if (!keep_inflight || cfg->size != vq->cfg.size) {
		memset(vq->busy, 0, sizeof(vq->busy));
		vq->inflight = 0;
	}
	vq->cfg = *cfg;
	vq->mask = (uint16_t)(cfg->size - 1);
	vq->why_broken = NULL;
	vq->call_owed = false;
	r = attach(vq, m);
	if (!r)
		r = resume(vq);
	if (r) {
		detach(vq);
		vq->record = NULL;
		vq->own = NULL;
		return r;
	}
	vq->mem = gmem_ref(m);
	vq->started = true;
	if (vq->why_broken)
		return 0;
	store16(&vq->used->flags, 0);
	if (cfg->event_idx)
		store16(avail_event(vq), vq->next_avail);
	return 0;
}

/**
 * virtq_set_gmem() - Memory was added or removed: find the ring again
 * @vq:	The virtqueue
 * @m:	The new set; the virtqueue takes its own reference
 *
 * Return: 0, or -EFAULT when the ring is no longer there: the virtqueue is broken then
 */
int virtq_set_gmem(struct virtq *vq, struct gmem *m)
{
	if (!vq->started)
		return 0;
	gmem_ref(m);
	gmem_unref(vq->mem);
	vq->mem = m;
	if (attach(vq, m)) {
		detach(vq);
		virtq_break(vq, "the ring's memory was removed");
		return -EFAULT;
	}
	return 0;
}

/**
 * virtq_stop() - Detach from guest memory
 * @vq:	The virtqueue; without effect when it is not started
 *
 * Heads in flight stay known until the next start; pushing one only forgets it.
 *
 * Return: the next available index
 */
uint16_t virtq_stop(struct virtq *vq)
{
	if (vq->started) {
		vq->started = false;
		detach(vq);
		vq->record = NULL;
		vq->own = NULL;
		gmem_unref(vq->mem);
		vq->mem = NULL;
	}
	return vq->next_avail;
}

/**
 * virtq_started() - Is it attached to a ring?
 * @vq:	The virtqueue
 *
 * Return: true from virtq_start() to virtq_stop(), also when it is broken
 */
bool virtq_started(const struct virtq *vq)
{
	return vq->started;
}

/**
 * virtq_why_broken() - The rule that the guest broke
 * @vq:	The virtqueue
 *
 * Return: a constant sentence, or NULL when it is not broken
 */
const char *virtq_why_broken(const struct virtq *vq)
{
	return vq->why_broken;
}

/**
 * virtq_break() - Touch this ring no more until it is started anew
 * @vq:		The virtqueue
 * @why:	A constant sentence; the first one is kept
 */
void virtq_break(struct virtq *vq, const char *why)
{
	if (!vq->why_broken)
		vq->why_broken = why;
	if (vq->own)
		vq->own->broken = 1;
}

/**
 * virtq_inflight() - Heads that were popped and not pushed
 * @vq:	The virtqueue
 *
 * Return: how many
 */
uint32_t virtq_inflight(const struct virtq *vq)
{
	return vq->inflight;
}

/* taking chains ------------------------------------------------------------------------------------ */

static inline const char *add_seg(struct virtq *vq, struct virtq_elem *e, const struct ring_desc *d)
{
	uint32_t n = (uint32_t)e->nout + e->nin;
	uint64_t end;

	if (unlikely(n == VIRTQ_SEGS_MAX))
		return "a chain has too many descriptors";
	if (unlikely(d->len == 0))
		return "a descriptor is empty";
	if (unlikely(!checked_add(d->addr, (uint64_t)d->len, &end)))
		return "a descriptor wraps around the address space";
	if (d->flags & DESC_F_WRITE) {
		e->nin++;
		e->in_len += d->len;
	} else {
		if (unlikely(e->nin))
			return "a readable descriptor follows a writable one";
		e->nout++;
		e->out_len += d->len;
	}
	vq->seg[n].addr.v = d->addr;
	vq->seg[n].len = d->len;
	return NULL;
}

/* Follows a chain through one table of `count` descriptors. A descriptor that refers to an indirect table ends it and
 * is left in *indirect; NULL where none is allowed. Whoever makes more steps than the table has entries goes in circles. */
static const char *walk(struct virtq *vq, struct virtq_elem *e, const char *table, uint32_t count, uint32_t i,
			struct ring_desc *indirect)
{
	for (uint32_t steps = 0; steps < count; steps++) {
		struct ring_desc d;
		const char *why;

		if (unlikely(i >= count))
			return "a descriptor index is out of range";
		fetch_desc(table, i, &d);
		if (d.flags & DESC_F_INDIRECT) {
			if (!indirect)
				return "an indirect table refers to another";
			if (!vq->cfg.indirect)
				return "indirect descriptors were not negotiated";
			if (d.flags & DESC_F_NEXT)
				return "a descriptor follows an indirect one";
			*indirect = d;
			return NULL;
		}
		why = add_seg(vq, e, &d);
		if (unlikely(why))
			return why;
		if (!(d.flags & DESC_F_NEXT))
			return NULL;
		i = d.next;
	}
	return "the descriptors of a chain form a loop";
}

static const char *fetch_chain(struct virtq *vq, uint16_t head, struct virtq_elem *e)
{
	struct ring_desc indirect = { .flags = 0 };
	const char *why, *table;

	e->head = head;
	e->nout = 0;
	e->nin = 0;
	e->out_len = 0;
	e->in_len = 0;
	e->seg = vq->seg;
	why = walk(vq, e, (const char *)vq->desc, vq->cfg.size, head, &indirect);
	if (!why && indirect.flags) {
		if (indirect.len == 0 || indirect.len % sizeof(struct ring_desc))
			return "an indirect table has an odd size";
		table = gmem_at(vq->mem, (struct gpa){ indirect.addr }, indirect.len);
		if (!table)
			return "an indirect table is not in guest memory";
		why = walk(vq, e, table, indirect.len / sizeof(struct ring_desc), 0, NULL);
	}
	if (!why && e->out_len + e->in_len > CHAIN_BYTES_MAX)
		why = "a chain is longer than 4 GiB";
	return why;
}

static enum virtq_status broken(struct virtq *vq, const char *why)
{
	virtq_break(vq, why);
	return VIRTQ_BROKEN;
}

/* The next head: one of those to hand out again, else the next of the available ring. */
static inline enum virtq_status next_head(struct virtq *vq, uint16_t *head, bool *again)
{
	*again = false;
	if (unlikely(vq->again_pos < vq->again_n)) {
		*head = vq->again[vq->again_pos++];
		*again = true;
		return VIRTQ_OK;
	}
	if (vq->seen_avail == vq->next_avail) {
		uint16_t idx = load16_acquire(&vq->avail->idx);

		GUEST_GAVE();

		if (unlikely((uint16_t)(idx - vq->next_avail) > vq->cfg.size))
			return broken(vq, "the available index is more than a ring ahead");
		vq->seen_avail = idx;
		if (idx == vq->next_avail)
			return VIRTQ_EMPTY;
	}
	*head = load16(&vq->avail->ring[vq->next_avail & vq->mask]);
	if (unlikely(*head > vq->mask))
		return broken(vq, "a head is out of range");
	if (unlikely(is_busy(vq, *head)))
		return broken(vq, "a head was made available again while in flight");
	vq->next_avail++;
	return VIRTQ_OK;
}

/**
 * virtq_pop() - Take the next available chain
 * @vq:	The virtqueue
 * @e:	Filled in when there is one; its segments stay valid until the next call
 *
 * Return: VIRTQ_OK, VIRTQ_EMPTY (also when not started), or VIRTQ_BROKEN
 */
enum virtq_status virtq_pop(struct virtq *vq, struct virtq_elem *e)
{
	enum virtq_status s;
	const char *why;
	uint16_t head;

	if (unlikely(vq->why_broken))
		return VIRTQ_BROKEN;
	if (unlikely(!vq->started))
		return VIRTQ_EMPTY;
	s = next_head(vq, &head, &e->again);
	if (s == VIRTQ_OK) {
		why = fetch_chain(vq, head, e);
		if (unlikely(why))
			s = broken(vq, why);
	}
	if (unlikely(gmem_take_fault()))
		return broken(vq, "the VMM took guest memory away");
	if (s != VIRTQ_OK)
		return s;
	set_busy(vq, head);
	e->ticket = record_popped(vq, head, e->again);
	return VIRTQ_OK;
}

/**
 * virtq_again_first() - Put some of the heads that are to be handed out again before all others
 * @vq:		The virtqueue, started, before its first pop
 * @first:	Is this one of them?
 * @arg:	For @first
 *
 * Return: how many
 */
uint32_t virtq_again_first(struct virtq *vq, virtq_first_fn *first, void *arg)
{
	uint32_t n = 0;

	for (uint32_t i = vq->again_pos; i < vq->again_n; i++) {
		uint16_t head = vq->again[i];

		if (!vq->own || !first(arg, head, vq->own->record.desc[head].counter))
			continue;
		memmove(vq->again + vq->again_pos + n + 1, vq->again + vq->again_pos + n,
			(i - vq->again_pos - n) * sizeof(vq->again[0]));
		vq->again[vq->again_pos + n++] = head;
	}
	return n;
}

/* giving chains back ------------------------------------------------------------------------------- */

/**
 * virtq_push() - A chain is done
 * @vq:		The virtqueue
 * @head:	Its head; one that is not in flight breaks the ring, since answering twice corrupts the guest
 * @len:	Bytes that were written into it
 *
 * Not visible before virtq_publish().
 */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len)
{
	uint32_t i = vq->next_used & vq->mask;

	if (unlikely(head > vq->mask || !is_busy(vq, head))) {
		virtq_break(vq, "a head that is not in flight was given back");
		return;
	}
	clear_busy(vq, head);
	if (unlikely(!vq->started || vq->why_broken))
		return;
	if (unlikely((uint16_t)(vq->next_used - vq->published) >= vq->cfg.size)) {
		virtq_break(vq, "heads were made available again before they were given back");
		return;
	}
	__atomic_store_n(&vq->used->ring[i].id, htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n(&vq->used->ring[i].len, htole32(len), __ATOMIC_RELAXED);
	vq->next_used++;
	record_pushed(vq, head);
}

static inline bool wants_call(const struct virtq *vq, uint16_t old)
{
	if (vq->cfg.event_idx)
		return passed_event(load16_fenced(used_event(vq)), vq->published, old);
	return !(load16_fenced(&vq->avail->flags) & AVAIL_F_NO_INTERRUPT);
}

/**
 * virtq_publish() - Make all pushed chains visible with one update of the used index
 * @vq:	The virtqueue
 *
 * After a start that went on from an in-flight record, the first call returns true even if nothing was pushed: the
 * process before may have died just before it called the guest.
 *
 * Return: true when the guest wants to be called
 */
bool virtq_publish(struct virtq *vq)
{
	uint16_t old = vq->published;
	bool call = vq->call_owed;

	if (unlikely(!vq->started || vq->why_broken))
		return false;
	vq->call_owed = false;
	if (vq->next_used == old)
		return call;
	vq->published = vq->next_used;
	GUEST_TAKES();
	store16_fenced(&vq->used->idx, vq->published);
	CRASHPOINT("ring-published");
	record_published(vq);
	call |= wants_call(vq, old);
	if (unlikely(gmem_take_fault())) {
		virtq_break(vq, "the VMM took guest memory away");
		return false;
	}
	return call;
}

/* kicks -------------------------------------------------------------------------------------------- */

/**
 * virtq_pending() - Is a chain available?
 * @vq:	The virtqueue
 *
 * Return: true when virtq_pop() is worth calling
 */
bool virtq_pending(const struct virtq *vq)
{
	if (unlikely(!vq->started || vq->why_broken))
		return false;
	return load16(&vq->avail->idx) != vq->next_avail || unlikely(vq->again_pos < vq->again_n);
}

/**
 * virtq_want_kick() - Ask the guest for a kick when it makes more available
 * @vq:	The virtqueue
 *
 * Return: true when there already is more: pop again before sleeping
 */
bool virtq_want_kick(struct virtq *vq)
{
	if (unlikely(!vq->started || vq->why_broken))
		return false;
	if (vq->cfg.event_idx)
		store16_fenced(avail_event(vq), vq->next_avail);
	else
		store16_fenced(&vq->used->flags, 0);
	return load16_fenced(&vq->avail->idx) != vq->next_avail || unlikely(vq->again_pos < vq->again_n);
}

/**
 * virtq_no_kick() - No kicks please
 * @vq:	The virtqueue
 *
 * With EVENT_IDX there is nothing to do: the event index stays behind, and the guest does not kick before it comes to it
 * again 65536 chains later.
 */
void virtq_no_kick(struct virtq *vq)
{
	if (likely(vq->started && !vq->why_broken) && !vq->cfg.event_idx)
		store16(&vq->used->flags, USED_F_NO_NOTIFY);
}
