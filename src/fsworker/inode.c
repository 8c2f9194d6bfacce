/* inode.c - the table of inodes; see inode.h for what it is.
 *
 * Locks: a shard's lock covers its chains and the nlookup of the slots in them. References are atomic
 * (slots.h); a slot that is found in a chain under the lock is valid, because whoever makes it invalid takes it
 * out of its chain first, under the same lock.
 */
#include "fsworker/inode_inner.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "fsworker/journal.h"
#include "fsworker/resolve.h"

#include <sys/auxv.h>

#define SHARD_HEADS_MIN 16u

/* inode_hash() - see inode_inner.h. */
uint64_t inode_hash(const struct inode_table *t, const struct inode_key *k)
{
	uint64_t h = k->ino ^ t->seed;

	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ull;
	h ^= (k->dev << 17 | k->dev >> 47) + k->mnt_id * 0xd6e8feb86659fd93ull;
	h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9ull;
	return h ^ (h >> 31);
}

static uint32_t *head_of(struct inode_shard *sh, uint64_t hash)
{
	return &sh->heads[(hash / INODE_SHARDS) & sh->mask];
}

/* inode_chain_find() - see inode_inner.h. */
uint32_t inode_chain_find(struct inode_table *t, struct inode_shard *sh, uint64_t hash, const struct inode_key *k)
{
	uint32_t i = *head_of(sh, hash);

	while (i) {
		const struct inode_slot *s = &t->slots[i];

		if (s->ino == k->ino && s->dev == k->dev && s->mnt_id == k->mnt_id)
			break;
		i = t->ids.next[i];
	}
	return i;
}

/* More room in a shard's hash. Without memory it goes on as it is: longer chains, same answers. */
static void shard_grow(struct inode_table *t, struct inode_shard *sh)
{
	uint32_t mask = sh->mask * 2 + 1;
	uint32_t *heads = calloc((size_t)mask + 1, sizeof(*heads));
	uint32_t *old = sh->heads;
	uint32_t old_mask = sh->mask;

	if (!heads)
		return;
	sh->heads = heads;
	sh->mask = mask;
	for (uint32_t b = 0; b <= old_mask; b++) {
		for (uint32_t i = old[b], next; i; i = next) {
			struct inode_key k = inode_key_of_slot(&t->slots[i]);
			uint32_t *head = head_of(sh, inode_hash(t, &k));

			next = t->ids.next[i];
			t->ids.next[i] = *head;
			*head = i;
		}
	}
	free(old);
}

/* inode_chain_insert() - see inode_inner.h. */
void inode_chain_insert(struct inode_table *t, struct inode_shard *sh, uint64_t hash, uint32_t index)
{
	uint32_t *head;

	if (sh->used > sh->mask && sh->mask < UINT32_MAX / 4)
		shard_grow(t, sh);
	head = head_of(sh, hash);
	t->ids.next[index] = *head;
	*head = index;
	sh->used++;
}

static void chain_remove(struct inode_table *t, struct inode_shard *sh, uint64_t hash, uint32_t index)
{
	uint32_t *at = head_of(sh, hash);

	while (*at && *at != index)
		at = &t->ids.next[*at];
	if (*at) {
		*at = t->ids.next[index];
		sh->used--;
	}
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/*
 * inode_table_init() - Make a table without inodes
 * @t:		Table
 * @slots:	Memory of the slots, all zero or that of a process before (see inode_restore()), borrowed
 * @count:	Number of slots in it, slots 0 and 1 included
 * @fd_limit:	Most descriptors that inodes may hold
 * @generation:	Of this process, see ipc_held()
 *
 * Return: 0, -EINVAL or -ENOMEM
 */
int inode_table_init(struct inode_table *t, void *slots, uint64_t count, uint32_t fd_limit, uint32_t generation)
{
	const uint64_t *random = (const uint64_t *)getauxval(AT_RANDOM);
	int r;

	memset(t, 0, sizeof(*t));
	if (count > UINT32_MAX)
		return -EINVAL;
	r = slots_init(&t->ids, (uint32_t)count, INODE_ROOT + 1,
		       slots ? ((struct inode_head *)slots)->marks : NULL);
	if (r < 0)
		return r;
	t->slots = slots;
	t->fd_limit = t->cool.fd_cache = fd_limit;
	t->generation = generation;
	pthread_mutex_init(&t->cool.lock, NULL);
	t->fds = calloc(count, sizeof(*t->fds));
	/* Who may choose inode numbers on the host's file system should not choose our chains with them. */
	if (random)
		memcpy(&t->seed, random, sizeof(t->seed));
	if (!t->fds)
		goto no_memory;
	for (uint32_t i = 0; i < INODE_SHARDS; i++) {
		pthread_mutex_init(&t->shard[i].lock, NULL);
		t->shard[i].mask = SHARD_HEADS_MIN - 1;
		t->shard[i].heads = calloc(SHARD_HEADS_MIN, sizeof(uint32_t));
		if (!t->shard[i].heads)
			goto no_memory;
	}
	return 0;

no_memory:
	inode_table_fini(t);
	return -ENOMEM;
}

/* inode_table_fini() - Close every descriptor and free the private memory */
void inode_table_fini(struct inode_table *t)
{
	inode_end_cooler(t);
	if (t->fds && t->shard[INODE_SHARDS - 1].heads)
		inode_forget_all(t);
	free_ptr(&t->fds);
	free_ptr(&t->cool.slot_of_fd);
	for (uint32_t i = 0; i < INODE_SHARDS; i++)
		free_ptr(&t->shard[i].heads);
	slots_fini(&t->ids);
}

/*
 * inode_set_fd() - The slot has this descriptor from now on
 *
 * Before it is published, or under cool.lock.
 */
void inode_set_fd(struct inode_table *t, uint32_t index, int fd)
{
	struct inode_cooler *c = &t->cool;
	uint32_t top = atomic_load_explicit(&c->fd_top, memory_order_relaxed);

	t->fds[index] = fd;
	t->slots[index].held = ipc_held(t->generation, fd);
	if ((uint32_t)fd >= c->nfds || index == INODE_ROOT)
		return;
	atomic_store_explicit(&c->slot_of_fd[fd], index, memory_order_relaxed);
	while ((uint32_t)fd >= top &&
	       !atomic_compare_exchange_weak_explicit(&c->fd_top, &top, (uint32_t)fd + 1, memory_order_relaxed, memory_order_relaxed))
		;
}

/* All but its state and what it is had by. */
static void slot_fill(struct inode_table *t, uint32_t index, const struct statx *st, uint64_t nlookup)
{
	struct inode_slot *s = &t->slots[index];
	bool born = st->stx_mask & STATX_BTIME;

	s->generation = (uint32_t)(t->ids.life[index] >> 32);
	__atomic_store_n(&s->mode, st->stx_mode, __ATOMIC_RELAXED);
	s->nlookup = nlookup;
	s->ino = st->stx_ino;
	s->dev = statx_dev(st);
	s->mnt_id = st->stx_mnt_id;
	s->btime_sec = born ? st->stx_btime.tv_sec : 0;
	s->btime_nsec = born ? st->stx_btime.tv_nsec : 0;
	s->handle_len = s->name_len = 0;
}

static void slot_live(struct inode_table *t, uint32_t index)
{
	CRASHPOINT("filling");
	__atomic_store_n(&t->slots[index].state, INODE_LIVE, __ATOMIC_RELEASE);
	CRASHPOINT("filled");
}

/* The guest is told of an object once more; under its shard's lock. */
static void count_lookup(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];

	journal_counting(index, s->nlookup);
	CRASHPOINT("counting");
	s->nlookup = saturating_add(s->nlookup, 1);
	CRASHPOINT("counting-done");
	journal_counted();
	CRASHPOINT("counted");
}

/*
 * inode_set_root() - Put the share's root into the table
 * @t:	Table without a root
 * @fd:	Its descriptor, borrowed for the life of the table
 * @st:	Its attributes
 *
 * Return: 0
 */
int inode_set_root(struct inode_table *t, int fd, const struct statx *st)
{
	struct inode_key key = inode_key_of_statx(st);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);

	slot_fill(t, INODE_ROOT, st, UINT64_MAX);
	inode_set_fd(t, INODE_ROOT, fd);
	slot_live(t, INODE_ROOT);
	pthread_mutex_lock(&sh->lock);
	inode_chain_insert(t, sh, hash, INODE_ROOT);
	pthread_mutex_unlock(&sh->lock);
	slots_publish(&t->ids, INODE_ROOT, 0);
	return 0;
}

/*
 * inode_get() - Use the inode that a guest names
 * @t:		Table
 * @nodeid:	The guest's number, unchecked
 * @u:		Out: the inode; end it with inode_put()
 *
 * Return: 0, -ESTALE when there is no such inode (any more)
 */
int inode_get(struct inode_table *t, uint64_t nodeid, struct inode_use *u)
{
	uint64_t life = 0;

	/* The root stays for good: no reference, so that the threads do not fight for its counter. */
	if (nodeid != INODE_ROOT) {
		life = slots_get(&t->ids, nodeid);
		if (unlikely(!life))
			return -ESTALE;
	}
	u->t = t;
	u->index = slots_index(nodeid);
	if (unlikely(life & SLOTS_COLD))
		return inode_warm(u);
	u->fd = t->fds[u->index];
	return 0;
}

/*
 * inode_get_slot() - The same for who does not need the descriptor: nothing is brought back for it
 */
int inode_get_slot(struct inode_table *t, uint64_t nodeid, struct inode_use *u)
{
	if (nodeid != INODE_ROOT && unlikely(!slots_get(&t->ids, nodeid)))
		return -ESTALE;
	*u = (struct inode_use){ .t = t, .index = slots_index(nodeid), .fd = -1 };
	return 0;
}

/* The slot is nobody's any more: close its descriptor, give it back. */
static void slot_clear(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];
	bool cold = slots_cold(&t->ids, index);
	int fd = t->fds[index];

	__atomic_store_n(&s->state, INODE_FREE, __ATOMIC_RELEASE);
	CRASHPOINT("clearing");
	s->generation++;
	inode_end_name(t, index);
	t->fds[index] = -1;
	if (!cold && (uint32_t)fd < t->cool.nfds)
		atomic_store_explicit(&t->cool.slot_of_fd[fd], 0, memory_order_relaxed);
	slots_free(&t->ids, index);
	if (cold)
		return;
	close(fd);
	atomic_fetch_sub_explicit(&t->fd_used, 1, memory_order_relaxed);
}

/* inode_put() - End the use of an inode; *u is empty afterwards, and may have been so before */
void inode_put(struct inode_use *u)
{
	struct inode_table *t = u->t;

	u->t = NULL;
	if (t && u->index != INODE_ROOT && slots_put(&t->ids, u->index))
		slot_clear(t, u->index);
}

/* Can a number that is used again be told from what it was before? */
static bool birth_known(const struct inode_slot *s, const struct statx *st)
{
	return (st->stx_mask & STATX_BTIME) && (s->btime_sec || s->btime_nsec);
}

/* Nothing says that it is another object of the same number. Under the shard's lock. */
static bool slot_same(const struct inode_slot *s, const struct statx *st)
{
	return !((__atomic_load_n(&s->mode, __ATOMIC_RELAXED) ^ st->stx_mode) & S_IFMT) &&
	       (!birth_known(s, st) || (s->btime_sec == st->stx_btime.tv_sec && s->btime_nsec == st->stx_btime.tv_nsec));
}

/* Is the object of this identity surely the slot's? One that is cold does not keep its number from being used again. */
static bool slot_shows(const struct inode_table *t, uint32_t index, const struct statx *st)
{
	const struct inode_slot *s = &t->slots[index];

	return slot_same(s, st) && (birth_known(s, st) || !slots_cold(&t->ids, index));
}

/* A new slot for an object that is known by its name. Under the shard's lock. Return: slot, 0 when there is none left. */
static uint32_t add_named(struct inode_table *t, struct inode_shard *sh, uint64_t hash, uint64_t parent, const struct name *name,
			  const struct statx *st)
{
	uint32_t i = slots_take(&t->ids, (uint32_t)hash);

	if (!i)
		return 0;
	journal_counting(i, 0);
	slot_fill(t, i, st, 1);
	inode_set_name(t, i, parent, name);
	slot_live(t, i);
	journal_counted();
	inode_chain_insert(t, sh, hash, i);
	slots_publish_cold(&t->ids, i);
	return i;
}

/* Find, or add, an object that was seen by name. */
static uint64_t see(struct inode_table *t, uint64_t parent, const struct name *name, const struct statx *st, bool add)
{
	struct inode_key key = inode_key_of_statx(st);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);
	uint64_t nodeid = 0;
	uint32_t i;

	pthread_mutex_lock(&sh->lock);
	i = inode_chain_find(t, sh, hash, &key);
	if (!i && add) {
		i = add_named(t, sh, hash, parent, name, st);
	} else if (i && slot_shows(t, i, st) && !inode_named_else(t, i, parent, name)) {
		count_lookup(t, i);
		__atomic_store_n(&t->slots[i].mode, st->stx_mode, __ATOMIC_RELAXED);
	} else {
		i = 0;
	}
	if (i)
		nodeid = slots_id(&t->ids, i);
	pthread_mutex_unlock(&sh->lock);
	return nodeid;
}

/*
 * inode_find() - The nodeid of an object that was seen by name, counted as one more lookup
 * @t:		Table
 * @parent:	Nodeid of the directory
 * @name:	Name in it
 * @st:		What statx() said of the name
 *
 * Between that call and this one the object may have gone and its number been used again, hence the look at the
 * birth time; when in doubt the answer is "unknown", and the caller opens the name and asks inode_intern().
 *
 * Return: nodeid, 0 when the object is not in the table, or is to be opened by this name
 */
uint64_t inode_find(struct inode_table *t, uint64_t parent, const struct name *name, const struct statx *st)
{
	return see(t, parent, name, st, false);
}

/*
 * inode_list() - The same for what was seen in a listing: what is not known is added without opening it, where that can be
 *
 * Return: nodeid, 0 when the object is to be opened
 */
uint64_t inode_list(struct inode_table *t, uint64_t parent, const struct name *name, const struct statx *st)
{
	return see(t, parent, name, st, inode_may_name(st, name));
}

/* inode_known() - Is there an object of this identity in the table? Only a hint: it may go at any time. */
bool inode_known(struct inode_table *t, const struct inode_key *key)
{
	uint64_t hash = inode_hash(t, key);
	struct inode_shard *sh = inode_shard_of(t, hash);
	bool known;

	pthread_mutex_lock(&sh->lock);
	known = inode_chain_find(t, sh, hash, key) != 0;
	pthread_mutex_unlock(&sh->lock);
	return known;
}

/* inode_find_slot() - The slot of an object that was seen by name, with a reference; 0 when it is not known. @sure: out,
 * false when it is cold and another object may have its number by now. */
uint32_t inode_find_slot(struct inode_table *t, const struct statx *st, bool *sure)
{
	struct inode_key key = inode_key_of_statx(st);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);
	uint32_t i;

	pthread_mutex_lock(&sh->lock);
	i = inode_chain_find(t, sh, hash, &key);
	if (i == INODE_ROOT || (i && !slots_get(&t->ids, slots_id(&t->ids, i))))
		i = 0;
	*sure = i && slot_shows(t, i, st);
	pthread_mutex_unlock(&sh->lock);
	return i;
}

/* inode_table_full() - Say that there is no room. Return: error */
int inode_table_full(const char *what, int error)
{
	log_limited(LOG_LVL_WARN, "the guest knows too many files: no %s left for another one", what);
	return error;
}

/* inode_may_add() - Would a new inode find room? To ask before something is made that could then not be answered.
 * Return: 0, -ENFILE */
int inode_may_add(struct inode_table *t)
{
	return inode_make_room(t);
}

/* inode_lock_shard() - The shard of a slot in use, locked; its hash */
struct inode_shard *inode_lock_shard(struct inode_table *t, uint32_t index, uint64_t *hash)
{
	struct inode_key key = inode_key_of_slot(&t->slots[index]);
	struct inode_shard *sh;

	*hash = inode_hash(t, &key);
	sh = inode_shard_of(t, *hash);
	pthread_mutex_lock(&sh->lock);
	return sh;
}

/*
 * inode_drop_gone() - The object of a slot in use is no more, or cannot be had any more: its id ends
 *
 * For the guest it is as if it had never looked it up. What it gives back later is ignored.
 */
void inode_drop_gone(struct inode_table *t, uint32_t index)
{
	uint64_t hash;
	struct inode_shard *sh = inode_lock_shard(t, index, &hash);

	t->slots[index].nlookup = 0;
	if (slots_revoke(&t->ids, index))
		chain_remove(t, sh, hash, index);
	pthread_mutex_unlock(&sh->lock);
}

/* inode_is() - Is what was seen here the object of a slot in use? Nothing of it may be missing. */
bool inode_is(struct inode_table *t, uint32_t index, const struct statx *st)
{
	uint64_t hash;
	struct inode_shard *sh = inode_lock_shard(t, index, &hash);
	const struct inode_slot *s = &t->slots[index];
	struct inode_key key = inode_key_of_statx(st);
	bool same = s->ino == key.ino && s->dev == key.dev && s->mnt_id == key.mnt_id && slot_same(s, st);

	pthread_mutex_unlock(&sh->lock);
	return same;
}

/* An object was opened that has the identity of a cold slot, which may have been another one's: bring that back, or end it.
 * A reference to the slot is given up. @other: it was, for sure. 0: look again; -errno */
static int settle(struct inode_table *t, uint32_t index, bool other)
{
	AUTO_INODE u = { .t = t, .index = index, .fd = -1 };
	int r = 0;

	if (other)
		inode_drop_gone(t, index);
	else
		r = inode_warm(&u);
	return r == -ESTALE ? 0 : r;
}

/*
 * inode_intern() - The nodeid of an object that was opened, counted as one more lookup
 * @t:		Table
 * @fd:		Its O_PATH descriptor; taken over (and closed when the object is known already)
 * @st:		Its attributes, asked of that descriptor
 * @nodeid:	Out: number
 *
 * Two descriptors that are open at the same time and show the same identity are the same object, so finding and
 * inserting under one lock never makes two slots for one object, nor one slot for two.
 *
 * Return: 0; -ENFILE without a descriptor to spare, -ENOMEM when the table is full, or another -errno (then *fd is
 * still the caller's)
 */
int inode_intern(struct inode_table *t, int *fd, const struct statx *st, uint64_t *nodeid)
{
	struct inode_key key = inode_key_of_statx(st);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);
	int r = 0, known_fd = -1;
	uint32_t i;

	/* What is known already needs no room; the rest is counted below. */
	(void)!inode_make_room(t);
	for (;;) {
		bool other;

		pthread_mutex_lock(&sh->lock);
		i = inode_chain_find(t, sh, hash, &key);
		if (!i || slot_shows(t, i, st) || !slots_cold(&t->ids, i) || !slots_get(&t->ids, slots_id(&t->ids, i)))
			break;
		other = !slot_same(&t->slots[i], st);
		pthread_mutex_unlock(&sh->lock);
		r = settle(t, i, other);
		if (r < 0)
			return r;
	}
	if (i) {
		struct inode_slot *s = &t->slots[i];

		count_lookup(t, i);
		__atomic_store_n(&s->mode, st->stx_mode, __ATOMIC_RELAXED);
		s->btime_sec = st->stx_mask & STATX_BTIME ? st->stx_btime.tv_sec : 0;
		s->btime_nsec = st->stx_mask & STATX_BTIME ? st->stx_btime.tv_nsec : 0;
		known_fd = take_fd(fd);
		/* It is known by another name, and this may be the one that stays. */
		if (unlikely(s->name_len) && atomic_load_explicit(&t->fd_used, memory_order_relaxed) < t->fd_limit)
			(void)inode_give_fd(t, i, &known_fd);
	} else if (atomic_fetch_add_explicit(&t->fd_used, 1, memory_order_relaxed) >= t->fd_limit) {
		r = -ENFILE;
	} else {
		i = slots_take(&t->ids, (uint32_t)hash);
		if (i) {
			journal_counting(i, 0);
			slot_fill(t, i, st, 1);
			inode_set_fd(t, i, take_fd(fd));
			slot_live(t, i);
			journal_counted();
			inode_chain_insert(t, sh, hash, i);
			slots_publish(&t->ids, i, 0);
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0)
		*nodeid = slots_id(&t->ids, i);
	pthread_mutex_unlock(&sh->lock);
	if (r < 0) {
		atomic_fetch_sub_explicit(&t->fd_used, 1, memory_order_relaxed);
		return inode_table_full(r == -ENFILE ? "descriptor" : "place in the table", r);
	}
	close_fd(&known_fd);
	return 0;
}

/*
 * inode_remember() - The guest is told of an inode in use once more
 *
 * If it has been forgotten meanwhile, by an answer that crossed this request, the guest gets a nodeid that is stale
 * already, and will look the name up again.
 */
void inode_remember(const struct inode_use *u)
{
	uint64_t hash;
	struct inode_shard *sh = inode_lock_shard(u->t, u->index, &hash);
	struct inode_slot *s = &u->t->slots[u->index];

	if (s->nlookup)
		count_lookup(u->t, u->index);
	pthread_mutex_unlock(&sh->lock);
}

/* Count lookups down; at zero the id ends. The caller holds a reference. */
static void forget_used(struct inode_table *t, uint32_t index, uint64_t nlookup)
{
	uint64_t hash;
	struct inode_shard *sh = inode_lock_shard(t, index, &hash);
	struct inode_slot *s = &t->slots[index];

	/* A count that has reached its maximum is no longer known, and stays there until the session ends. */
	if (s->nlookup != UINT64_MAX || nlookup == UINT64_MAX) {
		journal_forgetting(index, s->nlookup - MIN(s->nlookup, nlookup));
		CRASHPOINT("forgetting");
		s->nlookup -= MIN(s->nlookup, nlookup);
		CRASHPOINT("forgotten");
	}
	journal_forgot();
	if (s->nlookup == 0 && slots_revoke(&t->ids, index))
		chain_remove(t, sh, hash, index);
	pthread_mutex_unlock(&sh->lock);
}

/*
 * inode_forget() - The guest drops some of its lookups
 * @t:		Table
 * @nodeid:	Unchecked; what is not known is ignored
 * @nlookup:	How many; more than there are drops all
 */
void inode_forget(struct inode_table *t, uint64_t nodeid, uint64_t nlookup)
{
	AUTO_INODE u = { 0 };

	if (nodeid == INODE_ROOT || inode_get_slot(t, nodeid, &u) < 0) {
		journal_forgot();
		return;
	}
	/* UINT64_MAX means "all" inside; a guest that says it drops as many as can be counted. */
	forget_used(t, u.index, MIN(nlookup, UINT64_MAX - 1));
}

/*
 * inode_forget_all() - The end of a session: every id but the root's becomes invalid
 *
 * Operations that still use an inode keep it until they end.
 */
void inode_forget_all(struct inode_table *t)
{
	for (uint32_t i = slots_next_used(&t->ids, INODE_ROOT); i; i = slots_next_used(&t->ids, i)) {
		AUTO_INODE u = { 0 };

		if (inode_get_slot(t, slots_id(&t->ids, i), &u) == 0)
			forget_used(t, i, UINT64_MAX);
	}
}
