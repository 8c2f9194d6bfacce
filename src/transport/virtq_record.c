/* virtq_record.c - the in-flight record of a ring, as the vhost-user document lays it down ("Inflight I/O tracking", split
 * virtqueue).
 *
 * Role: transport, the ring's thread. Distrusted: the VMM, which may write the record at any time: each field is read
 * once, and at worst a head is handed out again or not, which is the guest's own loss.
 *
 * Theory. The record is written so that at any moment a process that knows nothing else can tell which heads were taken
 * and not given back: a head is marked before it is served; a batch that is about to be given back is a list from
 * last_batch_head, and its marks are wiped after used.idx has moved. Between those two, used.idx is ahead of the record's.
 */
#include "transport/virtq_int.h"

/* The record says how far the last process came. A batch that it had made visible but not yet crossed out is found by
 * used.idx being ahead of the record's; it is a list that begins at last_batch_head. False: this record is not of
 * this ring. */
static bool record_settle(struct virtq *vq, uint16_t used_idx)
{
	struct record *rec = vq->record;
	uint16_t head = __atomic_load_n(&rec->last_batch_head, __ATOMIC_RELAXED);
	uint16_t n = (uint16_t)(used_idx - __atomic_load_n(&rec->used_idx, __ATOMIC_RELAXED));

	if (n > vq->cfg.size)
		return false;
	for (; n; n--) {
		if (head >= vq->cfg.size)
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

/* Collects the heads to hand out again and finds where to go on in the available ring: each head that was taken from it
 * is either in the used ring or in flight. */
static int record_resume(struct virtq *vq, uint16_t used_idx)
{
	AUTO_FREE uint64_t *counter = calloc(vq->cfg.size, sizeof(*counter));
	uint32_t n = 0;

	if (!counter)
		return -ENOMEM;
	for (uint32_t i = 0; i < vq->cfg.size; i++) {
		struct record_desc *d = &vq->record->desc[i];

		counter[i] = __atomic_load_n(&d->counter, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&d->inflight, __ATOMIC_RELAXED))
			continue;
		if (counter[i] >= vq->counter && counter[i] < UINT64_MAX)
			vq->counter = counter[i] + 1;
		if (!is_busy(vq, (uint16_t)i))
			vq->again[n++] = (uint16_t)i;
	}
	sort_by_counter(vq->again, n, counter);
	vq->again_n = (uint16_t)n;
	vq->next_avail = (uint16_t)(used_idx + n + vq->inflight);
	vq->seen_avail = vq->next_avail;
	vq->call_owed = true; /* the last process may have died between writing used.idx and calling */
	return 0;
}

static void record_clear(struct virtq *vq, uint16_t used_idx)
{
	struct record *rec = vq->record;

	__atomic_store_n(&rec->version, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < vq->cfg.size; i++)
		__atomic_store_n(&rec->desc[i].inflight, is_busy(vq, (uint16_t)i), __ATOMIC_RELAXED);
	__atomic_store_n(&rec->features, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->desc_num, (uint16_t)vq->cfg.size, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->last_batch_head, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->used_idx, used_idx, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->version, RECORD_VERSION, __ATOMIC_RELEASE);
}

/**
 * record_open() - Begin to use the in-flight record of the configuration
 * @vq:		The virtqueue, attached, its indices set from the configuration
 * @used_idx:	The used ring's index
 *
 * Goes on from the record when it is of this ring: see record_resume(); else begins a new one.
 *
 * Return: 0 or -ENOMEM
 */
int record_open(struct virtq *vq, uint16_t used_idx)
{
	uint32_t size = vq->cfg.size;

	free(vq->batch);
	free(vq->again);
	vq->batch = calloc(size, sizeof(*vq->batch));
	vq->again = calloc(size, sizeof(*vq->again));
	if (!vq->batch || !vq->again)
		return -ENOMEM;
	vq->record = vq->cfg.inflight;
	if (__atomic_load_n(&vq->record->version, __ATOMIC_ACQUIRE) == RECORD_VERSION &&
	    __atomic_load_n(&vq->record->desc_num, __ATOMIC_RELAXED) == size && record_settle(vq, used_idx))
		return record_resume(vq, used_idx);
	record_clear(vq, used_idx);
	return 0;
}

/**
 * record_popped() - A chain is in flight
 * @vq:		The virtqueue
 * @head:	Its head
 */
void record_popped(struct virtq *vq, uint16_t head)
{
	struct record_desc *d = &vq->record->desc[head];

	__atomic_store_n(&d->counter, vq->counter++, __ATOMIC_RELAXED);
	__atomic_store_n(&d->inflight, 1, __ATOMIC_RELEASE);
}

/**
 * record_pushed() - A chain joins the batch that will be made visible
 * @vq:		The virtqueue
 * @head:	Its head
 */
void record_pushed(struct virtq *vq, uint16_t head)
{
	struct record *rec = vq->record;
	uint16_t last = __atomic_load_n(&rec->last_batch_head, __ATOMIC_RELAXED);

	__atomic_store_n(&rec->desc[head].next, last, __ATOMIC_RELAXED);
	__atomic_store_n(&rec->last_batch_head, head, __ATOMIC_RELEASE);
	vq->batch[vq->batch_n++] = head;
}

/**
 * record_published() - The batch was made visible
 * @vq:		The virtqueue
 */
void record_published(struct virtq *vq)
{
	for (uint32_t i = 0; i < vq->batch_n; i++)
		__atomic_store_n(&vq->record->desc[vq->batch[i]].inflight, 0, __ATOMIC_RELAXED);
	vq->batch_n = 0;
	__atomic_store_n(&vq->record->used_idx, vq->published, __ATOMIC_RELEASE);
}
