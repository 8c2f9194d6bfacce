/* slots.h - numbers that name things to a guest: a slot and its generation, with references.
 *
 * Role: fsworker. The guest holds 64-bit ids, generation << 32 | slot; it may make up any other. Each slot has one
 * atomic word, its life: generation, one bit that says that the id is valid, and the count of operations that
 * use it right now. Whoever has a reference may use what the slot stands for; whoever makes the word "not valid,
 * no references" owns the slot, clears it away and gives it back. Slot 0 is never handed out, so an id is
 * never 0, and an id is never handed out twice: a slot whose generation would wrap is retired.
 *
 * Two more bits are for a user who puts away part of what its idle slots stand for: RECENT is set by each use, COLD says that
 * the part is not there and who uses the slot must get it back first. They stand in the same word so that a use costs no
 * more for them, and so that a slot can be made cold in the one step that shows that nobody has used it.
 *
 * Free slots lie in shards, each with a lock of its own, so that threads which make and drop things do not meet.
 *
 * A table can go on where one of another process ended: the marks behind which no slot was ever used lie in memory of
 * the caller's, and slots_restore() says of each slot below them what its last id was.
 */
#ifndef VFSD_SLOTS_H
#define VFSD_SLOTS_H

#include "common/base.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLOTS_SHARDS 8u

struct slots_shard {
	pthread_mutex_t lock;
	uint32_t free;           /* head of the chain of used and freed slots; 0: none */
	_Atomic uint32_t *fresh; /* slots from here to end were never used */
	uint32_t first, end;
} __attribute__((aligned(64)));

struct slots {
	_Atomic uint64_t *life;
	uint32_t *next; /* chain of free slots; a user's own chain while the slot is taken */
	uint32_t count;
	struct slots_shard shard[SLOTS_SHARDS];
	_Atomic uint32_t own_marks[SLOTS_SHARDS]; /* for a table that nobody takes over */
};

#define SLOTS_VALID (1ull << 31)
#define SLOTS_COLD (1ull << 30)
#define SLOTS_RECENT (1ull << 29)
#define SLOTS_REFS (SLOTS_RECENT - 1)

static inline uint32_t slots_index(uint64_t id)
{
	return (uint32_t)id;
}

static inline uint64_t slots_id(const struct slots *s, uint32_t index)
{
	return (s->life[index] & ~0xffffffffull) | index;
}

/* slots_init() - a table of slots 1 to count - 1; those below `first` are the caller's own. @marks: SLOTS_SHARDS words,
 * borrowed, of the table before or all zero; NULL: there is none. 0 or -ENOMEM. */
int slots_init(struct slots *s, uint32_t count, uint32_t first, _Atomic uint32_t *marks) NODISCARD;
void slots_fini(struct slots *s);

/* slots_take() - a free slot, or 0 when there is none. Its id is not valid before slots_publish(). */
uint32_t slots_take(struct slots *s, uint32_t shard_hint) NODISCARD;

/* slots_publish() - the slot is filled in: make its id valid, with `refs` references taken for the caller. */
void slots_publish(struct slots *s, uint32_t index, uint32_t refs);

/* slots_publish_cold() - the same for a slot that is cold from the start, and without references. */
void slots_publish_cold(struct slots *s, uint32_t index);

/* slots_get() - take a reference by id. 0 when the id is not valid, else the slot's life. */
uint64_t slots_get(struct slots *s, uint64_t id) NODISCARD;

/* slots_put() - drop a reference. True when it was the last of an id that is no longer valid: the caller now
 * clears the slot away and calls slots_free(). */
bool slots_put(struct slots *s, uint32_t index) NODISCARD;

/* slots_revoke() - make an id invalid. Only one caller of those who race gets true; it must hold a reference (so
 * that the slot goes at the earliest with its slots_put()). */
bool slots_revoke(struct slots *s, uint32_t index) NODISCARD;

/* slots_get_idle() - take a reference to a slot that is valid, not cold, in use by nobody, and has not been used since this
 * was asked the last time. Does not count as use. */
bool slots_get_idle(struct slots *s, uint32_t index) NODISCARD;

/* slots_chill() - make a slot cold, if nobody but the caller, with its reference of slots_get_idle(), has used it since.
 * The reference stays. */
bool slots_chill(struct slots *s, uint32_t index) NODISCARD;

/* slots_thaw() - it is all there again. */
void slots_thaw(struct slots *s, uint32_t index);

static inline bool slots_cold(const struct slots *s, uint32_t index)
{
	return s->life[index] & SLOTS_COLD;
}

/* slots_free() - give a slot back that was cleared away, or that was taken and never published. */
void slots_free(struct slots *s, uint32_t index);

/* slots_restore() - before the table is used, for each slot that slots_next_used() names: the generation of its id, if that
 * is valid, or of its next one. */
void slots_restore(struct slots *s, uint32_t index, uint32_t generation, bool valid);

/* slots_restore_cold() - the same for a valid one that is cold. */
void slots_restore_cold(struct slots *s, uint32_t index, uint32_t generation);

/* slots_next_used() - the lowest slot above `index` that is or was ever in use, 0 at the end. */
uint32_t slots_next_used(struct slots *s, uint32_t index);

#endif
