/* virtq_record.c - the in-flight record of a ring, as the vhost-user document lays it down ("Inflight I/O tracking", split
 * virtqueue).
 *
 * Role: transport, the ring's thread. Distrusted: the VMM, which may write its record at any time: each field is read
 * once, and at worst a head is handed out again or not, which is the guest's own loss. Our own record, which a successor of
 * this process goes on from, is written by nobody else, but the process before may have been taken over by the guest: its
 * numbers are bounded like the VMM's.
 *
 * Theory. The record is written so that at any moment a process that knows nothing else can tell which heads were taken
 * and not given back: a head is marked before it is served; a batch that is about to be given back is a list from
 * last_batch_head, and its marks are wiped after used.idx has moved. Between those two, used.idx is ahead of the record's.
 *
 * In our own record the counter of a head is its ticket: what else is remembered of a chain is known by it (state.h), so a mark
 * that was left by another chain of the same head is told from one of this. A head keeps its ticket when it is handed out
 * again. The two records are written one after the other; a successor believes ours and makes the VMM's say the same.
 */
#include "transport/virtq_int.h"

#include "common/crashpoint.h"

/* The record says how far the last process came. A batch that it had made visible but not yet crossed out is found by
 * used.idx being ahead of the record's; it is a list that begins at last_batch_head. False: this record is not of
 * this ring. */
static bool record_settle(struct record *rec, uint32_t size, uint16_t used_idx)
{
	uint16_t head = __atomic_load_n(&rec->last_batch_head, __ATOMIC_RELAXED);
	uint16_t n = (uint16_t)(used_idx - __atomic_load_n(&rec->used_idx, __ATOMIC_RELAXED));

	if (__atomic_load_n(&rec->version, __ATOMIC_ACQUIRE) != RECORD_VERSION ||
	    __atomic_load_n(&rec->desc_num, __ATOMIC_RELAXED) != size || n > size)
		return false;
	for (; n; n--) {
		if (head >= size)
			return false;
		__atomic_store_n(&rec->desc[head].inflight, 0, __ATOMIC_RELAXED);
		head = __atomic_load_n(&rec->desc[head].next, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&rec->used_idx, used_idx, __ATOMIC_RELEASE);
	return true;
}

/* Shell sort: no recursion and no memory of its own, unlike qsort(). */
static void sort_by_counter(uint16_t *heads, uint32_t n, const uint64_t *counter)
{
	for (uint32_t gap = n / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < n; i++) {
			uint16_t h = heads[i];
			uint32_t k = i;

			for (; k >= gap && counter[heads[k - gap]] > counter[h]; k -= gap)
				heads[k] = heads[k - gap];
			heads[k] = h;
		}
}

/* Collects the heads to hand out again, oldest first. *next: one more than the highest counter among them. */
static int record_collect(struct virtq *vq, struct record *rec, uint64_t *next)
{
	AUTO_FREE uint64_t *counter = calloc(vq->cfg.size, sizeof(*counter));
	uint32_t n = 0;

	if (!counter)
		return -ENOMEM;
	for (uint32_t i = 0; i < vq->cfg.size; i++) {
		struct record_desc *d = &rec->desc[i];

		counter[i] = __atomic_load_n(&d->counter, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&d->inflight, __ATOMIC_RELAXED))
			continue;
		if (counter[i] >= *next && counter[i] < UINT64_MAX)
			*next = counter[i] + 1;
		if (!is_busy(vq, (uint16_t)i))
			vq->again[n++] = (uint16_t)i;
	}
	sort_by_counter(vq->again, n, counter);
	vq->again_n = (uint16_t)n;
	return 0;
}

/* Where to go on in the available ring: each head that was taken from it is either in the used ring or in flight. */
static void go_on(struct virtq *vq, uint16_t used_idx, uint16_t skew)
{
	vq->next_avail = (uint16_t)(used_idx + vq->again_n + vq->inflight + skew);
	vq->seen_avail = vq->next_avail;
	vq->call_owed = true; /* the last process may have died between writing used.idx and calling */
}

/* Writes what is true now into a record that said something else. Counters of heads that are not in flight stay. A record that is
 * whole stays so meanwhile: where it is this ring's, which starts again where it stopped, nothing of it changes, and who dies in
 * here has lost nothing; where it was another's, nobody resumes from it. */
static void record_write(struct virtq *vq, struct record *rec, uint16_t used_idx)
{
	if (__atomic_load_n(&rec->version, __ATOMIC_RELAXED) != RECORD_VERSION ||
	    __atomic_load_n(&rec->desc_num, __ATOMIC_RELAXED) != vq->cfg.size)
		__atomic_store_n(&rec->version, 0, __ATOMIC_RELEASE);
	CRASHPOINT("record-writing");
	for (uint32_t i = 0; i < vq->cfg.size; i++)
		__atomic_store_n(&rec->desc[i].inflight, is_busy(vq, (uint16_t)i), __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < vq->again_n; i++)
		__atomic_store_n(&rec->desc[vq->again[i]].inflight, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->features, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->desc_num, (uint16_t)vq->cfg.size, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->last_batch_head, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->used_idx, used_idx, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->version, RECORD_VERSION, __ATOMIC_RELEASE);
}

static uint64_t new_ticket(struct virtq *vq)
{
	vq->ticket++;
	if (vq->own)
		__atomic_store_n(&vq->own->ticket, vq->ticket, __ATOMIC_RELEASE);
	return vq->ticket;
}

/* From our own record. */
static int resume_own(struct virtq *vq, uint16_t used_idx)
{
	uint64_t next = vq->ticket + 1;
	int r;

	if (vq->own->broken) {
		virtq_break(vq, "the process before had given the ring up");
		return 0;
	}
	if (!record_settle(&vq->own->record, vq->cfg.size, used_idx)) {
		virtq_break(vq, "the ring is not as the process before left it");
		return 0;
	}
	r = record_collect(vq, &vq->own->record, &next);
	if (r)
		return r;
	vq->ticket = next - 1;
	go_on(vq, used_idx, vq->own->skew);
	if (!vq->record)
		return 0;
	record_write(vq, vq->record, used_idx);
	for (uint32_t i = 0; i < vq->again_n; i++)
		__atomic_store_n(&vq->record->desc[vq->again[i]].counter, vq->counter++, __ATOMIC_RELAXED);
	return 0;
}

/* From the VMM's record, if there is one and it is of this ring. */
static int resume_vmm(struct virtq *vq, uint16_t used_idx)
{
	int r;

	if (!vq->record)
		return 0;
	if (!record_settle(vq->record, vq->cfg.size, used_idx)) {
		record_write(vq, vq->record, used_idx);
		return 0;
	}
	r = record_collect(vq, vq->record, &vq->counter);
	if (!r)
		go_on(vq, used_idx, 0);
	return r;
}

/* Our own record begins. */
static void begin_own(struct virtq *vq, uint16_t used_idx)
{
	if (!vq->own)
		return;
	vq->own->broken = 0;
	for (uint32_t i = 0; i < vq->again_n; i++)
		vq->own->record.desc[vq->again[i]].counter = new_ticket(vq);
	vq->own->skew = (uint16_t)(vq->next_avail - used_idx - vq->again_n - vq->inflight);
	record_write(vq, &vq->own->record, used_idx);
}

/**
 * record_open() - Begin to use the records of the configuration
 * @vq:		The virtqueue, attached, its indices set from the configuration
 * @used_idx:	The used ring's index
 *
 * Return: 0 or -ENOMEM; the virtqueue is broken when our own record is not of this ring
 */
int record_open(struct virtq *vq, uint16_t used_idx)
{
	uint32_t size = vq->cfg.size;
	int r;

	free(vq->batch);
	free(vq->again);
	vq->batch = calloc(size, sizeof(*vq->batch));
	vq->again = calloc(size, sizeof(*vq->again));
	if (!vq->batch || !vq->again)
		return -ENOMEM;
	vq->record = vq->cfg.inflight;
	vq->own = vq->cfg.own;
	if (vq->own)
		vq->ticket = MAX(vq->ticket, vq->own->ticket);
	if (vq->own && vq->cfg.resume)
		return resume_own(vq, used_idx);
	r = resume_vmm(vq, used_idx);
	if (!r)
		begin_own(vq, used_idx);
	return r;
}

/**
 * record_popped() - A chain is in flight
 * @vq:		The virtqueue
 * @head:	Its head
 * @again:	It was handed out again, and has a ticket
 *
 * Return: its ticket
 */
uint64_t record_popped(struct virtq *vq, uint16_t head, bool again)
{
	struct record_desc *d;

	if (unlikely(vq->record)) {
		d = &vq->record->desc[head];
		__atomic_store_n(&d->counter, vq->counter++, __ATOMIC_RELAXED);
		__atomic_store_n(&d->inflight, 1, __ATOMIC_RELEASE);
	}
	if (!vq->own)
		return new_ticket(vq);
	d = &vq->own->record.desc[head];
	if (again)
		return d->counter;
	__atomic_store_n(&d->counter, new_ticket(vq), __ATOMIC_RELEASE);
	CRASHPOINT("ring-numbered");
	__atomic_store_n(&d->inflight, 1, __ATOMIC_RELEASE);
	CRASHPOINT("ring-popped");
	return d->counter;
}

static void add_to_batch(struct record *rec, uint16_t head)
{
	uint16_t last = __atomic_load_n(&rec->last_batch_head, __ATOMIC_RELAXED);

	__atomic_store_n(&rec->desc[head].next, last, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->last_batch_head, head, __ATOMIC_RELEASE);
}

/**
 * record_pushed() - A chain joins the batch that will be made visible
 * @vq:		The virtqueue
 * @head:	Its head
 */
void record_pushed(struct virtq *vq, uint16_t head)
{
	if (vq->record)
		add_to_batch(vq->record, head);
	if (vq->own)
		add_to_batch(&vq->own->record, head);
	if (vq->record || vq->own)
		vq->batch[vq->batch_n++] = head;
	CRASHPOINT("ring-pushed");
}

static void cross_out(struct virtq *vq, struct record *rec)
{
	for (uint32_t i = 0; i < vq->batch_n; i++) {
		__atomic_store_n(&rec->desc[vq->batch[i]].inflight, 0, __ATOMIC_RELAXED);
		CRASHPOINT("ring-crossing-out");
	}
	__atomic_store_n(&rec->used_idx, vq->published, __ATOMIC_RELEASE);
}

/**
 * record_published() - The batch was made visible
 * @vq:		The virtqueue
 */
void record_published(struct virtq *vq)
{
	if (vq->record)
		cross_out(vq, vq->record);
	if (vq->own)
		cross_out(vq, &vq->own->record);
	vq->batch_n = 0;
}

/* virtq_own_broken() - Had the process before given this ring up? */
bool virtq_own_broken(const void *own)
{
	return ((const struct virtq_own *)own)->broken;
}

/**
 * virtq_own_next() - Look at what a process before left behind
 * @own:	Its record
 * @head:	In: where to begin; out: a head that is in flight
 * @ticket:	Out: its ticket
 *
 * Return: false when there are no more
 */
bool virtq_own_next(const void *own, uint16_t *head, uint64_t *ticket)
{
	const struct virtq_own *o = own;
	uint32_t size = MIN(o->record.desc_num, VIRTQ_SIZE_MAX);

	if (o->record.version != RECORD_VERSION)
		return false;
	for (uint32_t i = *head; i < size; i++)
		if (o->record.desc[i].inflight) {
			*head = (uint16_t)i;
			*ticket = o->record.desc[i].counter;
			return true;
		}
	return false;
}
