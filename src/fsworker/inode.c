/* inode.c - the table of inodes; see inode.h for what it is.
 *
 * Locks: a shard's lock covers its chains and the nlookup of the slots in them. References are atomic
 * (slots.h); a slot that is found in a chain under the lock is valid, because whoever makes it invalid takes it
 * out of its chain first, under the same lock.
 */
#include "fsworker/inode.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "fsworker/journal.h"
#include "fsworker/resolve.h"

#include <sys/auxv.h>

#define SHARD_HEADS_MIN 16u

static uint64_t key_hash(const struct inode_table *t, const struct inode_key *k)
{
	uint64_t h = k->ino ^ t->seed;

	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ull;
	h ^= (k->dev << 17 | k->dev >> 47) + k->mnt_id * 0xd6e8feb86659fd93ull;
	h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9ull;
	return h ^ (h >> 31);
}

static struct inode_shard *shard_of(struct inode_table *t, uint64_t hash)
{
	return &t->shard[hash % INODE_SHARDS];
}

static uint32_t *head_of(struct inode_shard *sh, uint64_t hash)
{
	return &sh->heads[(hash / INODE_SHARDS) & sh->mask];
}

static struct inode_key key_of_statx(const struct statx *st)
{
	return (struct inode_key){ .ino = st->stx_ino, .dev = statx_dev(st), .mnt_id = st->stx_mnt_id };
}

static struct inode_key key_of_slot(const struct inode_slot *s)
{
	return (struct inode_key){ .ino = s->ino, .dev = s->dev, .mnt_id = s->mnt_id };
}

static uint32_t chain_find(struct inode_table *t, struct inode_shard *sh, uint64_t hash, const struct inode_key *k)
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
			struct inode_key k = key_of_slot(&t->slots[i]);
			uint32_t *head = head_of(sh, key_hash(t, &k));

			next = t->ids.next[i];
			t->ids.next[i] = *head;
			*head = i;
		}
	}
	free(old);
}

static void chain_insert(struct inode_table *t, struct inode_shard *sh, uint64_t hash, uint32_t index)
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

static void slot_fill(struct inode_table *t, uint32_t index, int fd, const struct statx *st, uint64_t nlookup)
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
	s->handle_len = 0;
	inode_set_fd(t, index, fd);
	CRASHPOINT("filling");
	__atomic_store_n(&s->state, INODE_LIVE, __ATOMIC_RELEASE);
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
	struct inode_key key = key_of_statx(st);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);

	slot_fill(t, INODE_ROOT, fd, st, UINT64_MAX);
	pthread_mutex_lock(&sh->lock);
	chain_insert(t, sh, hash, INODE_ROOT);
	pthread_mutex_unlock(&sh->lock);
	slots_publish(&t->ids, INODE_ROOT, 0);
	return 0;
}

/* A slot that a journal names, or NULL. */
static struct inode_slot *named_slot(const struct inode_table *t, uint32_t index)
{
	return index > INODE_ROOT && index < t->ids.count ? &t->slots[index] : NULL;
}

/*
 * inode_settle() - Let the one change of a count that was under way have happened, or not have happened
 * @t:	Table in the memory of the process before, not restored yet
 * @j:	Journal of the request
 *
 * The note says what the count is then, so this comes first, for every link: inode_undo() of one changes counts that another's
 * note may be about.
 */
void inode_settle(struct inode_table *t, struct journal *j)
{
	struct inode_slot *s;

	j->counted = MIN(j->counted, JOURNAL_COUNTS);
	if (j->counting == j->counted + 1 && j->counted < JOURNAL_COUNTS) {
		s = named_slot(t, j->slot[j->counted]);
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->before;
		journal_order();
	}
	j->counting = j->counted;
	/* Items that changed nothing are counted by `forgot` alone. */
	if (j->forgetting == j->forgot + 1) {
		s = named_slot(t, j->forget_slot);
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->forget_after;
		journal_order();
		j->forgot = j->forgetting;
	}
}

/*
 * inode_undo() - Take back the lookups that a request had counted which will be served again
 * @t:	Table in the memory of the process before, not restored yet
 * @j:	Journal of the request; those of all links are settled
 *
 * In memory only: a slot whose count is 0 is dropped by inode_restore().
 */
void inode_undo(struct inode_table *t, struct journal *j)
{
	struct inode_slot *s;

	/* Who does this may be killed, too: each step is either not done, or the note says what it comes to. */
	while (j->counted) {
		uint32_t i = j->counted - 1;

		s = named_slot(t, j->slot[i]);
		if (s && j->undoing != i + 1) {
			j->undo_to = s->nlookup - (s->nlookup && s->nlookup != UINT64_MAX);
			journal_order();
			j->undoing = i + 1;
			journal_order();
			CRASHPOINT("undoing");
		}
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->undo_to;
		journal_order();
		CRASHPOINT("undone");
		j->counting = i;
		j->counted = i;
		journal_order();
	}
	/* The request is served again under the same note, and may be undone again: that is another undoing. */
	j->undoing = 0;
}

/* Could this be what a sound process has written? */
static bool slot_is_sound(const struct inode_slot *s)
{
	return s->state == INODE_LIVE && s->nlookup != 0 && s->handle_len <= INODE_HANDLE_MAX &&
	       s->btime_nsec < 1000000000u;
}

/* Go on with an inode, if the descriptor is the one of its slot. False: it is not. */
static bool adopt(struct inode_table *t, uint32_t index, int fd)
{
	struct inode_slot *s = &t->slots[index];
	struct inode_key key = key_of_slot(s);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);
	struct statx st;

	if (resolve_statx_fd(fd, 0, &st) < 0 || st.stx_ino != s->ino || statx_dev(&st) != s->dev ||
	    st.stx_mnt_id != s->mnt_id || ((st.stx_mode ^ s->mode) & S_IFMT) ||
	    atomic_load_explicit(&t->fd_used, memory_order_relaxed) >= t->fd_limit)
		return false;
	pthread_mutex_lock(&sh->lock);
	if (chain_find(t, sh, hash, &key)) {
		pthread_mutex_unlock(&sh->lock);
		return false;
	}
	chain_insert(t, sh, hash, index);
	pthread_mutex_unlock(&sh->lock);
	atomic_fetch_add_explicit(&t->fd_used, 1, memory_order_relaxed);
	s->mode = st.stx_mode;
	inode_set_fd(t, index, fd);
	slots_restore(&t->ids, index, s->generation, true);
	return true;
}

/* Go on with an inode of which the process before had no descriptor. What it is will be checked when it is wanted. */
static bool adopt_cold(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];
	struct inode_key key = key_of_slot(s);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);

	if (!t->cool.keeper || chain_find(t, sh, hash, &key))
		return false;
	chain_insert(t, sh, hash, index);
	t->fds[index] = -1;
	atomic_store(&t->cool.started, true);
	slots_restore_cold(&t->ids, index, s->generation);
	return true;
}

/* Nobody's any more, whatever it was. */
static void abandon(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];

	/* Also of a free one: the process before may have been killed before it counted its generation up. */
	s->state = INODE_FREE;
	s->generation += s->generation != UINT32_MAX;
	t->fds[index] = -1;
	slots_restore(&t->ids, index, s->generation, false);
}

/*
 * inode_restore() - Take over the inodes of a process before this one
 * @t:		Table with nothing but its root, in the memory of that process
 * @fetch:	How to get its descriptors
 * @arg:	For fetch
 * @lost:	Counted up: those that were dropped although the guest had them
 *
 * Before the first request. What that process wrote is not believed, a guest may have taken it over: each slot is checked
 * against its descriptor. One that does not stand the test is dropped, and its nodeid is stale.
 *
 * Return: 0, or -errno when the descriptors could not be asked for: nothing is dropped for that
 */
int inode_restore(struct inode_table *t, fetch_fn *fetch, void *arg, uint32_t *lost)
{
	uint32_t index[FETCH_BATCH], n, i = INODE_ROOT;
	uint32_t held[FETCH_BATCH];
	int fds[FETCH_BATCH], r = 0;

	do {
		for (n = 0; n < FETCH_BATCH && (i = slots_next_used(&t->ids, i)) != 0;) {
			const struct inode_slot *s = &t->slots[i];

			if (slot_is_sound(s) && s->held == 0 && s->handle_len && adopt_cold(t, i)) {
				continue;
			} else if (slot_is_sound(s)) {
				index[n] = i;
				held[n++] = s->held;
			} else {
				*lost += s->state == INODE_LIVE && s->nlookup != 0;
				abandon(t, i);
			}
		}
		if (n)
			r = fetch(arg, held, fds, n);
		for (uint32_t k = 0; r == 0 && k < n; k++) {
			if (fds[k] >= 0 && adopt(t, index[k], fds[k])) {
				CRASHPOINT("adopted");
				continue;
			}
			close_fd(&fds[k]);
			if (t->slots[index[k]].handle_len && adopt_cold(t, index[k]))
				continue;
			abandon(t, index[k]);
			++*lost;
		}
	} while (i && r == 0);
	return r;
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

/*
 * inode_find() - The nodeid of an object that was seen by name, counted as one more lookup
 * @t:	Table
 * @st:	What statx() said of the name
 *
 * Between that call and this one the object may have gone and its number been used again, hence the look at the
 * birth time; when in doubt the answer is "unknown", and the caller opens the name and asks inode_intern().
 *
 * Return: nodeid, 0 when the object is not in the table
 */
uint64_t inode_find(struct inode_table *t, const struct statx *st)
{
	struct inode_key key = key_of_statx(st);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);
	uint64_t nodeid = 0;
	uint32_t i;

	pthread_mutex_lock(&sh->lock);
	i = chain_find(t, sh, hash, &key);
	if (i && slot_shows(t, i, st)) {
		count_lookup(t, i);
		__atomic_store_n(&t->slots[i].mode, st->stx_mode, __ATOMIC_RELAXED);
		nodeid = slots_id(&t->ids, i);
	}
	pthread_mutex_unlock(&sh->lock);
	return nodeid;
}

/* inode_known() - Is there an object of this identity in the table? Only a hint: it may go at any time. */
bool inode_known(struct inode_table *t, const struct inode_key *key)
{
	uint64_t hash = key_hash(t, key);
	struct inode_shard *sh = shard_of(t, hash);
	bool known;

	pthread_mutex_lock(&sh->lock);
	known = chain_find(t, sh, hash, key) != 0;
	pthread_mutex_unlock(&sh->lock);
	return known;
}

/* inode_find_slot() - The slot of an object that was seen by name, with a reference; 0 when it is not known. @sure: out,
 * false when it is cold and another object may have its number by now. */
uint32_t inode_find_slot(struct inode_table *t, const struct statx *st, bool *sure)
{
	struct inode_key key = key_of_statx(st);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);
	uint32_t i;

	pthread_mutex_lock(&sh->lock);
	i = chain_find(t, sh, hash, &key);
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

static struct inode_shard *lock_shard_of_slot(struct inode_table *t, uint32_t index, uint64_t *hash)
{
	struct inode_key key = key_of_slot(&t->slots[index]);
	struct inode_shard *sh;

	*hash = key_hash(t, &key);
	sh = shard_of(t, *hash);
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
	struct inode_shard *sh = lock_shard_of_slot(t, index, &hash);

	t->slots[index].nlookup = 0;
	if (slots_revoke(&t->ids, index))
		chain_remove(t, sh, hash, index);
	pthread_mutex_unlock(&sh->lock);
}

/* inode_is() - Is what was seen here the object of a slot in use? Nothing of it may be missing. */
bool inode_is(struct inode_table *t, uint32_t index, const struct statx *st)
{
	uint64_t hash;
	struct inode_shard *sh = lock_shard_of_slot(t, index, &hash);
	const struct inode_slot *s = &t->slots[index];
	struct inode_key key = key_of_statx(st);
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
	struct inode_key key = key_of_statx(st);
	uint64_t hash = key_hash(t, &key);
	struct inode_shard *sh = shard_of(t, hash);
	int r = 0, known_fd = -1;
	uint32_t i;

	/* What is known already needs no room; the rest is counted below. */
	(void)!inode_make_room(t);
	for (;;) {
		bool other;

		pthread_mutex_lock(&sh->lock);
		i = chain_find(t, sh, hash, &key);
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
	} else if (atomic_fetch_add_explicit(&t->fd_used, 1, memory_order_relaxed) >= t->fd_limit) {
		r = -ENFILE;
	} else {
		i = slots_take(&t->ids, (uint32_t)hash);
		if (i) {
			journal_counting(i, 0);
			slot_fill(t, i, take_fd(fd), st, 1);
			CRASHPOINT("filled");
			journal_counted();
			chain_insert(t, sh, hash, i);
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
	struct inode_shard *sh = lock_shard_of_slot(u->t, u->index, &hash);
	struct inode_slot *s = &u->t->slots[u->index];

	if (s->nlookup)
		count_lookup(u->t, u->index);
	pthread_mutex_unlock(&sh->lock);
}

/* Count lookups down; at zero the id ends. The caller holds a reference. */
static void forget_used(struct inode_table *t, uint32_t index, uint64_t nlookup)
{
	uint64_t hash;
	struct inode_shard *sh = lock_shard_of_slot(t, index, &hash);
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
