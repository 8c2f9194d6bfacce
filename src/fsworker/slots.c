/* slots.c - see slots.h. */
#include "fsworker/slots.h"

/*
 * slots_init() - Make a table of free slots
 * @s:		Table
 * @count:	Number of slots, slot 0 and those of the caller included
 * @first:	First slot to hand out
 * @marks:	See slots.h; what they say is bounded, not believed
 *
 * Return: 0, -EINVAL for a table without room, -ENOMEM
 */
int slots_init(struct slots *s, uint32_t count, uint32_t first, _Atomic uint32_t *marks)
{
	uint32_t each;

	*s = (struct slots){ .count = count };
	if (first == 0 || count <= first)
		return -EINVAL;
	/* Memory of this size comes from the kernel as untouched pages: what is never used costs nothing. */
	s->life = calloc(count, sizeof(*s->life));
	s->next = calloc(count, sizeof(*s->next));
	if (!s->life || !s->next) {
		slots_fini(s);
		return -ENOMEM;
	}
	if (!marks)
		marks = s->own_marks;
	each = (count - first + SLOTS_SHARDS - 1) / SLOTS_SHARDS;
	for (uint32_t i = 0; i < SLOTS_SHARDS; i++) {
		struct slots_shard *sh = &s->shard[i];
		uint64_t start = MIN((uint64_t)first + (uint64_t)i * each, count);

		pthread_mutex_init(&sh->lock, NULL);
		sh->first = (uint32_t)start;
		sh->end = (uint32_t)MIN(start + each, count);
		sh->fresh = &marks[i];
		*sh->fresh = MIN(MAX(*sh->fresh, sh->first), sh->end);
	}
	return 0;
}

/* slots_fini() - Free the memory of a table */
void slots_fini(struct slots *s)
{
	free_ptr(&s->life);
	free_ptr(&s->next);
}

static struct slots_shard *shard_of(struct slots *s, uint32_t index)
{
	for (uint32_t i = SLOTS_SHARDS - 1; i > 0; i--)
		if (index >= s->shard[i].first && s->shard[i].first < s->shard[i].end)
			return &s->shard[i];
	return &s->shard[0];
}

static uint32_t take_from(struct slots *s, struct slots_shard *sh)
{
	uint32_t index = 0;

	pthread_mutex_lock(&sh->lock);
	if (sh->free) {
		index = sh->free;
		sh->free = s->next[index];
	} else if (*sh->fresh < sh->end) {
		index = (*sh->fresh)++;
	}
	pthread_mutex_unlock(&sh->lock);
	return index;
}

/* slots_take() - see slots.h. */
uint32_t slots_take(struct slots *s, uint32_t shard_hint)
{
	for (uint32_t i = 0; i < SLOTS_SHARDS; i++) {
		uint32_t index = take_from(s, &s->shard[(shard_hint + i) % SLOTS_SHARDS]);

		if (index)
			return index;
	}
	return 0;
}

/* slots_publish() - see slots.h. */
void slots_publish(struct slots *s, uint32_t index, uint32_t refs)
{
	uint64_t life = atomic_load_explicit(&s->life[index], memory_order_relaxed);

	atomic_store_explicit(&s->life[index], life | SLOTS_VALID | refs, memory_order_release);
}

/* slots_publish_cold() - see slots.h. */
void slots_publish_cold(struct slots *s, uint32_t index)
{
	uint64_t life = atomic_load_explicit(&s->life[index], memory_order_relaxed);

	atomic_store_explicit(&s->life[index], life | SLOTS_VALID | SLOTS_COLD, memory_order_release);
}

/* slots_get() - see slots.h. */
uint64_t slots_get(struct slots *s, uint64_t id)
{
	uint32_t index = slots_index(id);
	uint64_t life;

	if (unlikely(index == 0 || index >= s->count))
		return 0;
	life = atomic_load_explicit(&s->life[index], memory_order_relaxed);
	do {
		if (unlikely((life >> 32) != (id >> 32) || !(life & SLOTS_VALID) ||
			     (life & SLOTS_REFS) == SLOTS_REFS))
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&s->life[index], &life, (life + 1) | SLOTS_RECENT,
							memory_order_acquire, memory_order_relaxed));
	return life;
}

/* slots_get_idle() - see slots.h. */
bool slots_get_idle(struct slots *s, uint32_t index)
{
	uint64_t life = atomic_load_explicit(&s->life[index], memory_order_relaxed);

	if ((life & (SLOTS_VALID | SLOTS_COLD | SLOTS_REFS)) != SLOTS_VALID)
		return false;
	if (life & SLOTS_RECENT) {
		atomic_fetch_and_explicit(&s->life[index], ~SLOTS_RECENT, memory_order_relaxed);
		return false;
	}
	return atomic_compare_exchange_strong_explicit(&s->life[index], &life, life + 1, memory_order_acquire,
						       memory_order_relaxed);
}

/* slots_chill() - see slots.h. */
bool slots_chill(struct slots *s, uint32_t index)
{
	uint64_t life = atomic_load_explicit(&s->life[index], memory_order_relaxed);

	return (life & (SLOTS_VALID | SLOTS_COLD | SLOTS_RECENT | SLOTS_REFS)) == (SLOTS_VALID | 1) &&
	       atomic_compare_exchange_strong_explicit(&s->life[index], &life, life | SLOTS_COLD, memory_order_acq_rel,
						       memory_order_relaxed);
}

/* slots_thaw() - see slots.h. */
void slots_thaw(struct slots *s, uint32_t index)
{
	atomic_fetch_and_explicit(&s->life[index], ~SLOTS_COLD, memory_order_acq_rel);
}

/* slots_put() - see slots.h. */
bool slots_put(struct slots *s, uint32_t index)
{
	uint64_t life = atomic_fetch_sub_explicit(&s->life[index], 1, memory_order_acq_rel);

	return (life & (SLOTS_VALID | SLOTS_REFS)) == 1;
}

/* slots_revoke() - see slots.h. */
bool slots_revoke(struct slots *s, uint32_t index)
{
	return atomic_fetch_and_explicit(&s->life[index], ~SLOTS_VALID, memory_order_acq_rel) & SLOTS_VALID;
}

static void give_back(struct slots *s, uint32_t index)
{
	struct slots_shard *sh = shard_of(s, index);

	pthread_mutex_lock(&sh->lock);
	s->next[index] = sh->free;
	sh->free = index;
	pthread_mutex_unlock(&sh->lock);
}

/* slots_free() - see slots.h. */
void slots_free(struct slots *s, uint32_t index)
{
	uint64_t life = atomic_load_explicit(&s->life[index], memory_order_relaxed);
	uint32_t generation = (uint32_t)(life >> 32);

	if (generation == UINT32_MAX)
		return; /* retired: its next id would have been one that the guest already had */
	atomic_store_explicit(&s->life[index], (uint64_t)(generation + 1) << 32, memory_order_release);
	give_back(s, index);
}

/* slots_restore() - see slots.h. */
void slots_restore(struct slots *s, uint32_t index, uint32_t generation, bool valid)
{
	atomic_store_explicit(&s->life[index], (uint64_t)generation << 32 | (valid ? SLOTS_VALID : 0), memory_order_release);
	/* The last generation is also what a retired slot has. */
	if (!valid && generation != UINT32_MAX)
		give_back(s, index);
}

/* slots_restore_cold() - see slots.h. */
void slots_restore_cold(struct slots *s, uint32_t index, uint32_t generation)
{
	atomic_store_explicit(&s->life[index], (uint64_t)generation << 32 | SLOTS_VALID | SLOTS_COLD, memory_order_release);
}

/* slots_next_used() - see slots.h. */
uint32_t slots_next_used(struct slots *s, uint32_t index)
{
	for (uint32_t i = 0; i < SLOTS_SHARDS; i++) {
		struct slots_shard *sh = &s->shard[i];
		uint32_t next = MAX(index + 1, sh->first);

		if (next < *sh->fresh)
			return next;
	}
	return 0;
}
